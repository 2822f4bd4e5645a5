"""Production: everything secret comes from the environment, and the demo cannot start."""

import os

from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("PARITY_DEMO", "0")

from config.settings.base import *  # noqa: F403
from config.settings.base import DEMO_MODE, LEDGER_SEAL_KEY, SECRET_KEY

if DEMO_MODE or "DEMO_TODAY" in os.environ:
    raise ImproperlyConfigured("Production has no demo mode: unset PARITY_DEMO and DEMO_TODAY.")
if len(SECRET_KEY) < 50:
    raise ImproperlyConfigured("Set SECRET_KEY to at least 50 random characters.")
if len(LEDGER_SEAL_KEY) < 32:
    raise ImproperlyConfigured(
        "Set LEDGER_SEAL_KEY to at least 32 random characters: the ledger is sealed with it."
    )
for required in ("DATABASE_URL", "CELERY_BROKER_URL", "ALLOWED_HOSTS"):
    if not os.environ.get(required):
        raise ImproperlyConfigured(f"Set {required}: production has no default for it.")

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_HSTS_SECONDS = 365 * 24 * 3600
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
