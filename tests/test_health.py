"""Alive, and able to work."""

from typing import Any

import pytest
from django.db import connections
from django.test import Client

from config import health

pytestmark = pytest.mark.django_db


def test_alive_needs_no_database(client: Client, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


def test_ready_when_database_migrations_and_broker_are(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"status": "ok", "checks": {"database": "ok", "migrations": "ok", "broker": "ok"}},
    )


def test_a_migration_that_is_missing_is_named_by_number(client: Client, owner_connection: Any) -> None:
    owner_connection.execute(
        "DELETE FROM django_migrations WHERE id = (SELECT max(id) FROM django_migrations WHERE app = 'platform')"
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "ok",
        "migrations": "failed: 1 not applied",
        "broker": "ok",
    }


def test_a_broker_that_is_away_is_named(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from celery import Celery

    monkeypatch.setattr(health, "app", Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"].startswith("failed: ")
    assert "127.0.0.1" not in answer.content.decode()


def test_a_queue_folder_that_cannot_be_written_is_named(client: Client, settings: Any, tmp_path: Any) -> None:
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path / "gone")}
    answer = client.get("/readyz")
    assert answer.json()["checks"]["broker"] == "failed: its folder cannot be written"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_is_named_and_nothing_leaks(client: Client) -> None:
    connection = connections["default"]
    host = connection.settings_dict["HOST"]
    connection.close()
    connection.settings_dict["HOST"] = "/nowhere"
    try:
        answer = client.get("/readyz")
    finally:
        connection.settings_dict["HOST"] = host
        connection.close()
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "failed: OperationalError"
    assert "nowhere" not in answer.content.decode()
    assert client.get("/healthz").status_code == 200
