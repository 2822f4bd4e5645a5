from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"

    def ready(self) -> None:
        from quotas import tasks  # noqa: F401 -- registers the outbox handlers
