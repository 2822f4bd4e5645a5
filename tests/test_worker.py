"""A real worker with beat, on each kind of broker: what a transaction promised is done, also after a hard kill."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction

from accounts.models import Notification
from config import outbox
from tests import make

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 90  # seconds; a hang fails, a slow machine does not

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def broker(kind: str, place: Path) -> Iterator[str]:
    """The address of a broker of its own."""
    if kind == "filesystem":
        for folder in ("queue", "done", "control"):
            (place / "broker" / folder).mkdir(parents=True)
        yield "filesystem://localhost/"
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = shutil.which("redis-server") or "redis-server"
    server = subprocess.Popen(  # noqa: S603
        [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(place)],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextmanager
def worker(address: str, database: Any, place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker with beat on this test's database, as the application role."""
    url = "postgresql://{}@/" + database.name + "?host=" + quote(str(database.server.sockets), safe="")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings.base",
        "PARITY_LOCAL_DIR": str(place),
        "DATABASE_URL": url.format("parity_app"),
        "DATABASE_OWNER_URL": url.format("parity_owner"),
        "CELERY_BROKER_URL": address,
        "CELERY_SKIP_CHECKS": "1",  # Django's own, which take longer than the worker
    }
    command = [
        "-m",
        "celery",
        "-A",
        "config",
        "worker",
        "-B",
        "--pool",
        "solo",
        "--loglevel",
        "warning",
        "--schedule",
        str(place / "beat"),
    ]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, start_new_session=True)  # noqa: S603
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def owe(user_id: int, key: str) -> None:
    with transaction.atomic():
        outbox.promise(
            topic="accounts.notify",
            key=key,
            payload={"user_ids": [user_id], "key": key, "text": "Look", "url": "/"},
            at=make.AT,
        )


def delivered(key: str) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if Notification.objects.filter(key=key).exists():
            return True
        time.sleep(0.2)
    return False


@pytest.mark.parametrize("kind", ["filesystem", pytest.param("redis", marks=pytest.mark.redis)])
def test_what_is_owed_is_done_once_by_a_real_worker_also_after_a_hard_kill(
    kind: str, tmp_path: Path, worker_database: Any
) -> None:
    person = make.user()
    with broker(kind, tmp_path) as address:
        with worker(address, worker_database, tmp_path) as running:
            owe(person.pk, "first")
            assert delivered("first")
            os.killpg(running.pid, signal.SIGKILL)
        owe(person.pk, "second")
        with worker(address, worker_database, tmp_path):
            assert delivered("second")
    assert sorted(Notification.objects.values_list("key", flat=True)) == ["first", "second"]
