from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts import handlers  # noqa: F401 -- registers itself with the outbox
