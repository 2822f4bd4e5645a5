"""Is it alive, and can it work? For a load balancer, a supervisor and whoever is woken at night."""

import os
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from config.celery import app

SECONDS: Final = 3


@never_cache
@require_safe
def healthz(_request: HttpRequest) -> JsonResponse:
    """This process answers. Asks nobody else, so that a slow database restarts no web server."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """It can do its work; 503 names the check that fails. Says what, never where or as whom: anybody may ask."""
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "migrations": _migrations,
        "broker": _broker,
    }
    said = {name: _outcome(check) for name, check in checks.items()}
    ready = all(outcome == "ok" for outcome in said.values())
    return JsonResponse(
        {"status": "ok" if ready else "unavailable", "checks": said}, status=200 if ready else 503
    )


def _outcome(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # whatever is wrong, the answer is "not ready", not a crash
        return f"failed: {type(error).__name__}"


def _database() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return "ok"


def _migrations() -> str:
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    waiting = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    return f"failed: {waiting} not applied" if waiting else "ok"


def _broker() -> str:
    transport = {
        **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
        "max_retries": 0,
        "socket_connect_timeout": SECONDS,
    }
    with app.connection_for_write(connect_timeout=SECONDS, transport_options=transport) as broker:
        broker.ensure_connection(max_retries=1, timeout=SECONDS)
        _channel = broker.default_channel  # some transports connect no earlier
    for folder in ("data_folder_in", "data_folder_out"):
        place = settings.CELERY_BROKER_TRANSPORT_OPTIONS.get(folder)
        if place and not os.access(str(place), os.W_OK):
            return "failed: its folder cannot be written"
    return "ok"
