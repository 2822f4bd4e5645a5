from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"

    def ready(self) -> None:
        from config.context import count_for
        from quotas import panels, tasks  # noqa: F401 -- they register themselves with the catalog and the outbox
        from quotas.views.approvals import waiting_count

        count_for("quotas:approvals", waiting_count)
