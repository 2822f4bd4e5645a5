from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"

    def ready(self) -> None:
        from quotas import panels, tasks  # noqa: F401 -- they register themselves with the catalog and the outbox
