"""Tests: the demo's settings on a throw-away database, with plain static files."""

import os

# Playwright's synchronous interface runs an event loop in the tests' thread.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "1")

from config.settings.base import *  # noqa: F403
from config.settings.base import CELERY_BROKER_TRANSPORT_OPTIONS as BASE_TRANSPORT
from config.settings.base import MIDDLEWARE as BASE_MIDDLEWARE
from config.settings.base import REST_FRAMEWORK as BASE_REST
from config.settings.base import STORAGES as BASE_STORAGES

SECRET_KEY = "only-for-tests-" + "x" * 50
LEDGER_SEAL_KEY = "only-for-tests-" + "s" * 32
MIDDLEWARE = [
    m for m in BASE_MIDDLEWARE if not m.startswith("whitenoise")
]  # wants collected files; tests find theirs
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **BASE_STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
REST_FRAMEWORK = {**BASE_REST, "DEFAULT_THROTTLE_RATES": {"read": None, "write": None}}
# The real brokers have tests of their own; no test may fill a checkout's queue.
CELERY_BROKER_URL = "memory://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    name: value for name, value in BASE_TRANSPORT.items() if not name.endswith(("_in", "_out", "_folder"))
}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
