"""The Celery application. Tasks carry ids, are acknowledged late and are safe to deliver twice."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

app = Celery("parity")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["config", "quotas", "marketplace"])
