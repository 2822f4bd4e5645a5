from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"

    def ready(self) -> None:
        from config.context import count_for
        from config.pages import home_of
        from marketplace import tasks  # noqa: F401 -- found by the worker
        from marketplace.services import importing, telling  # noqa: F401 -- they register a job and the outbox handler
        from marketplace.services.sourcing import telling as sourcing_telling  # noqa: F401 -- it listens
        from marketplace.views import home
        from marketplace.views.decisions import proposals_waiting
        from marketplace.views.imports import disagreements_waiting
        from marketplace.views.requests import requests_waiting

        home_of("catalog_manager", home.catalog_home)
        count_for("marketplace:decisions", proposals_waiting)
        count_for("marketplace:requests", requests_waiting)
        count_for("marketplace:imports", disagreements_waiting)
        from marketplace.views.change_sets import waiting_count

        count_for("marketplace:change-sets", waiting_count)
        from marketplace.views.sourcing.substitution import proposals_waiting as substitutions_waiting

        count_for("marketplace:substitutions", substitutions_waiting)
