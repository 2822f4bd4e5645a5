"""The Celery application. Tasks carry ids, are acknowledged late and are safe to deliver twice."""

import logging
import os
from typing import Any

from celery import Celery

from config import broker

log = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")

broker.take_over()
app = Celery("parity")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["config", "accounts", "quotas", "marketplace"])


def ask(task: str, *args: Any) -> None:
    """Ask a worker for a task that beat would come to anyway: a broker that is away is noted and nothing more."""
    try:
        app.send_task(task, args=args, retry=False)
    except Exception as unreachable:  # whatever the broker's client raises; beat sweeps what is owed anyway
        log.warning("no broker took %s, beat will sweep: %s", task, unreachable)
