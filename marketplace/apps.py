from django.apps import AppConfig


class MarketplaceConfig(AppConfig):
    name = "marketplace"

    def ready(self) -> None:
        from marketplace import tasks  # noqa: F401 -- found by the worker
        from marketplace.services import telling  # noqa: F401 -- registers the outbox handler
