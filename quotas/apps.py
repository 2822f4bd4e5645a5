from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"

    def ready(self) -> None:
        from config.context import count_for
        from config.pages import home_of
        from quotas import panels, tasks, trails  # noqa: F401 -- they register themselves with the catalog, the outbox and the audit trail
        from quotas.views import (
            adjustments,
            disputes,
            home,
            home_admin,
            home_auditor,
            home_manager,
            statements,
        )
        from quotas.views.approvals import waiting_count

        home_of("comp_admin", home_admin.admin_home)
        home_of("manager", home_manager.manager_home)
        home_of("rep", home.rep_home)
        home_of("auditor", home_auditor.auditor_home)
        count_for("quotas:approvals", waiting_count)
        count_for("quotas:disputes", disputes.waiting_count)
        count_for("quotas:adjustments", adjustments.waiting_count)
        count_for("quotas:statements", statements.waiting_count)
