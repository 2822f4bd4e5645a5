from django.apps import AppConfig
from django.db.models.signals import post_migrate

from config import roles


class PlatformConfig(AppConfig):
    """Outbox and idempotency records: what every app needs and none owns."""

    name = "config"
    label = "platform"
    verbose_name = "Platform"

    def ready(self) -> None:
        from config import mailing  # noqa: F401 -- registers itself with the outbox and the checks

        post_migrate.connect(roles.apply, sender=self, dispatch_uid="application-role")
