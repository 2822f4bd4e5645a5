from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"

    def ready(self) -> None:
        from config.context import count_for
        from quotas import panels, tasks, trails  # noqa: F401 -- they register themselves with the catalog, the outbox and the audit trail
        from quotas.views import adjustments, disputes, statements
        from quotas.views.approvals import waiting_count

        count_for("quotas:approvals", waiting_count)
        count_for("quotas:disputes", disputes.waiting_count)
        count_for("quotas:adjustments", adjustments.waiting_count)
        count_for("quotas:statements", statements.waiting_count)
