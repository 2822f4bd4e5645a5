"""Tests: the demo's settings on a throw-away database, with plain static files."""

import os

from config.settings.base import *  # noqa: F403
from config.settings.base import MIDDLEWARE as BASE_MIDDLEWARE
from config.settings.base import REST_FRAMEWORK as BASE_REST
from config.settings.base import STORAGES as BASE_STORAGES

SECRET_KEY = "only-for-tests-" + "x" * 50
MIDDLEWARE = [
    m for m in BASE_MIDDLEWARE if not m.startswith("whitenoise")
]  # it wants collected files; tests find theirs
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **BASE_STORAGES,
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
CELERY_TASK_ALWAYS_EAGER = False
CELERY_BROKER_URL = "memory://"  # the real one has tests of its own; no test may fill a checkout's queue
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, str | float] = {}  # type: ignore[no-redef]
REST_FRAMEWORK = {**BASE_REST, "DEFAULT_THROTTLE_RATES": {"read": None, "write": None}}
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "testserver"]
os.environ.setdefault(
    "DJANGO_ALLOW_ASYNC_UNSAFE", "1"
)  # Playwright's synchronous API runs an event loop in the tests' thread
