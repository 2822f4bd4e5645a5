import sys

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate
from django.utils.translation import to_locale

from config import machine_formats, roles


class PlatformConfig(AppConfig):
    """Outbox and idempotency records: what every app needs and none owns."""

    name = "config"
    label = "platform"
    verbose_name = "Platform"

    def ready(self) -> None:
        from config import mailing  # noqa: F401 -- registers itself with the outbox and the checks

        for code, _name in settings.LANGUAGES:
            sys.modules[f"{settings.FORMAT_MODULE_PATH}.{to_locale(code)}.formats"] = machine_formats
        post_migrate.connect(roles.apply, sender=self, dispatch_uid="application-role")
