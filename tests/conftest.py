"""The suite's real PostgreSQL, its browser, and what a test may ask for.

One throw-away server a session, one template database migrated by the owner, one clone of it per worker, used
as the application role: what production refuses, the tests are refused too. TEST_POSTGRES_BIN names the programs
of another PostgreSQL (CI runs the engine's tests on Debian's 15).
"""

import fcntl
import gc
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connections
from django.test import Client, TransactionTestCase
from psycopg import sql

from config.databases import APPLICATION_ROLE, OWNER_ROLE
from config.embedded import FAST_AND_FORGETFUL, MAJOR, Server
from config.migrating import migrate
from tests import kept

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, WebError
    from pytest_django.live_server_helper import LiveServer
    from pytest_django.plugin import DjangoDbBlocker

TEMPLATE = "parity"
STOCKED = "stocked"  # the template with what tests begin with beside it, see tests.kept
PLACE = pytest.StashKey[Path]()
DATABASE = pytest.StashKey["Database"]()
MEMORY = Path("/dev/shm")  # noqa: S108 -- the kernel's disk in memory; mkdtemp makes a private directory in it
ROOMY = 4 * 1024**3  # bytes; a session's server holds a tenth of it
ALIVE = pytest.StashKey[int]()
CHROMIUM = (  # its headless shell draws the same pages for two thirds of the work
    os.environ.get("CHROMIUM")
    or shutil.which("chromium-headless-shell")
    or shutil.which("chromium")
    or "/usr/bin/chromium"
)
REDIS = shutil.which("redis-server")
BROWSER_FIXTURES = {"page", "context", "new_context", "browser"}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: now and then each of them waits, for a page, for a process or for a moment to come."""
    return (os.cpu_count() or 1) * 3 // 2


# The session's server. Whoever runs the session (not its workers) makes the place and clears it away.


def pytest_configure(config: pytest.Config) -> None:
    if given := getattr(config, "workerinput", {}).get("parity_place"):
        config.stash[PLACE] = Path(given)
        return
    _clear_abandoned()
    place = Path(tempfile.mkdtemp(prefix="parity-test-", dir=_scratch()))
    place.chmod(0o711)  # run as root, the server is somebody else and passes through
    config.stash[PLACE] = place
    alive = os.open(place / "alive", os.O_RDWR | os.O_CREAT)
    fcntl.flock(alive, fcntl.LOCK_EX)
    config.stash[ALIVE] = alive


def _scratch() -> Path:
    """Memory if there is plenty: a world's months are files, and a disk writes them out at every clone."""
    try:
        room = os.statvfs(MEMORY)
        free = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        return Path(tempfile.gettempdir())
    enough = (
        free
        and int(free[1]) * 1024 > ROOMY
        and room.f_bavail * room.f_frsize > ROOMY
        and os.access(MEMORY, os.W_OK)
    )
    return MEMORY if enough else Path(tempfile.gettempdir())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["parity_place"] = str(node.config.stash[PLACE])


def pytest_unconfigure(config: pytest.Config) -> None:
    if ALIVE in config.stash:
        _clear(config.stash[PLACE])
        os.close(config.stash[ALIVE])


def _server(place: Path) -> Server:
    programs = os.environ.get("TEST_POSTGRES_BIN")
    major = MAJOR
    if programs:
        said = subprocess.run(  # noqa: S603
            [f"{programs}/postgres", "--version"], capture_output=True, text=True, check=True
        )
        major = int(said.stdout.removeprefix("postgres (PostgreSQL) ").split(".")[0])
    return Server(
        root=place / "postgres",
        sockets=place / "run",
        settings={
            **FAST_AND_FORGETFUL,
            "autovacuum": "off",
            "max_connections": "200",
            "max_wal_size": "256MB",
            "update_process_title": "off",
            "track_activities": "off",
        },
        durable=False,
        major=major,
        programs=Path(programs) if programs else None,
    )


def _clear(place: Path) -> None:
    if (place / "postgres").exists():
        _server(place).stop(mode="immediate")
    shutil.rmtree(place, ignore_errors=True)


def _clear_abandoned() -> None:
    """A session that was killed hard could not clear up; its lock is free, so the next one does it."""
    for place in [
        found for root in {Path(tempfile.gettempdir()), MEMORY} for found in root.glob("parity-test-*")
    ]:
        try:
            if time.time() - (place / "alive").stat().st_mtime < 60:
                continue  # perhaps not locked yet
            alive = os.open(place / "alive", os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(place)
        except BlockingIOError:
            continue
        finally:
            os.close(alive)


# The worker's database.


TABLES = """
SELECT c.relname, pg_relation_size(c.oid) FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND pg_relation_size(c.oid) > 0
"""
SEQUENCES = "SELECT sequencename, last_value, start_value FROM pg_sequences WHERE schemaname = 'public'"
SHAPE = " UNION ALL ".join(  # of everything that a statement about the schema can change
    f"SELECT count(*), max(xmin::text::bigint) FROM {catalog}"  # noqa: S608
    for catalog in ("pg_class", "pg_attribute", "pg_trigger", "pg_constraint", "pg_proc", "pg_index")
)
DIGEST = """
SELECT md5(string_agg(said, '|' ORDER BY said)) FROM (
  SELECT concat_ws(' ', oid::regclass, relkind, relowner, relacl, relispartition, reloptions) FROM pg_class
  WHERE relnamespace = 'public'::regnamespace
  UNION ALL SELECT concat_ws(' ', c.oid::regclass, attname, atttypid, attnotnull, atthasdef, attacl)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0
  UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, convalidated) FROM pg_constraint
  UNION ALL SELECT concat_ws(' ', oid::regprocedure, md5(prosrc), proacl) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS x (said)
"""
PARTITIONS = "SELECT oid::regclass::text FROM pg_class WHERE relispartition AND relkind = 'r'"
OTHERS = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
SWOLLEN = 200_000  # bytes of a table, mostly of rows that tests took back: nobody else clears those away here
SWEPT_EVERY = 30  # tests


class Database:
    """This worker's clone of the template."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.tests = 0
        self._shape: list[tuple[Any, ...]] = []
        self._digest: object = None
        self._partitions: set[str] = set()
        self._full: dict[str, list[bytes]] = {}  # tables that migrations filled, to what they hold
        self._numbers: dict[str, tuple[int | None, int]] = {}

    def address(self, role: str) -> str:
        return self.server.address(role, self.name)

    def clear(self) -> None:
        """As the template is: rows are removed, which takes a tenth of a new clone; anything else makes one.

        The ledger's guard refuses the flush that Django would do, rightly; so this is a superuser past all triggers.
        """
        connections.close_all()
        with psycopg.connect(self.server.address(database=self.name), autocommit=True) as admin:
            admin.execute(OTHERS)
            if not self._cleared(admin):
                admin.close()
                self.renew()

    def sweep(self) -> None:
        """What tests took back is still there, dead, in tables and catalogs, and is read past by whoever comes later.

        After some hundred worlds, each with 24 partitions, the next one costs four times as much.
        """
        with psycopg.connect(self.server.address(database=self.name), autocommit=True) as admin:
            admin.execute("VACUUM")

    def _cleared(self, admin: psycopg.Connection) -> bool:
        if admin.execute(SHAPE).fetchall() != self._shape:
            # Mostly it is a period that was opened, which gives the ledger a partition.
            opened = {name for (name,) in admin.execute(PARTITIONS)} - self._partitions
            for name in opened:
                admin.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            if admin.execute(DIGEST).fetchone() != self._digest:
                return False
            self._shape = admin.execute(SHAPE).fetchall()
        sizes: dict[str, int] = dict(admin.execute(TABLES).fetchall())
        touched = [name for name in sizes if name not in self._full]
        refilled = [name for name, rows in self._full.items() if self._rows(admin, name) != rows]
        changed = {
            name: before
            for name, last, start in admin.execute(SEQUENCES)
            if (before := self._numbers.get(name)) != (last, start) and before is not None
        }
        with admin.transaction():
            admin.execute("SET LOCAL session_replication_role = replica")
            for name in (*touched, *refilled):
                admin.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
            for name in refilled:
                with (
                    admin.cursor() as cursor,
                    cursor.copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy,
                ):
                    for row in self._full[name]:
                        copy.write(row)
            for name, (last, start) in changed.items():
                admin.execute(
                    "SELECT setval(%s::regclass, %s, %s)",
                    [f'"{name}"', start if last is None else last, last is not None],
                )
        if swollen := [sql.Identifier(name) for name, size in sizes.items() if size > SWOLLEN]:
            admin.execute(sql.SQL("VACUUM {}").format(sql.SQL(", ").join(swollen)))
        return True

    @staticmethod
    def _rows(admin: psycopg.Connection, table: str) -> list[bytes]:
        ordered = sql.SQL("COPY (SELECT * FROM {} t ORDER BY t::text) TO STDOUT").format(
            sql.Identifier(table)
        )
        with admin.cursor() as cursor, cursor.copy(ordered) as copy:
            return [bytes(row) for row in copy]

    def renew(self) -> None:
        """As the template is, whatever happened before."""
        connections.close_all()
        with psycopg.connect(self.server.address(database="postgres"), autocommit=True) as admin:
            admin.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name))
            )
            _clone(admin, STOCKED, self.name)
        with psycopg.connect(self.server.address(database=self.name), autocommit=True) as admin:
            self._shape = admin.execute(SHAPE).fetchall()
            self._digest = admin.execute(DIGEST).fetchone()
            self._partitions = {name for (name,) in admin.execute(PARTITIONS)}
            filled = [table for table, _size in admin.execute(TABLES)]
            self._full = {table: rows for table in filled if (rows := self._rows(admin, table))}
            self._numbers = {name: (last, start) for name, last, start in admin.execute(SEQUENCES)}


def _clone(admin: psycopg.Connection, template: str, name: str) -> None:
    admin.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY file_copy").format(
            *map(sql.Identifier, (name, OWNER_ROLE, template))
        )
    )


def _point(alias: str, server: Server, role: str, name: str) -> None:
    connections.settings[alias].update(
        NAME=name, USER=role, PASSWORD="", HOST=str(server.sockets), PORT="", CONN_MAX_AGE=0, OPTIONS={}
    )
    connections[alias].close()


def _migrated_server(place: Path) -> Server:
    """Started, migrated and stocked by the first worker that needs it; the others wait at the lock."""
    from tests import make  # models, which are not there yet when this module is

    server = _server(place)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            server.start()
            _point("owner", server, OWNER_ROLE, TEMPLATE)
            _point("default", server, APPLICATION_ROLE, TEMPLATE)
            migrate()
            connections.close_all()
            with psycopg.connect(server.address(database="postgres"), autocommit=True) as admin:
                _clone(admin, TEMPLATE, STOCKED)
            _point("default", server, APPLICATION_ROLE, STOCKED)
            kept.stock(server.address(database=STOCKED), make.KEPT)
            connections.close_all()
            (place / "ready").touch()
    kept.ready()
    return server


@pytest.fixture(scope="session")
def worker_database(
    request: pytest.FixtureRequest, django_test_environment: None, django_db_blocker: "DjangoDbBlocker"
) -> Iterator[Database]:
    with django_db_blocker.unblock():
        server = _migrated_server(request.config.stash[PLACE])
        name = f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
        database = Database(server, name)
        database.renew()
        request.config.stash[DATABASE] = database
        _point("default", server, APPLICATION_ROLE, name)
        _point("owner", server, OWNER_ROLE, name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _case: database.clear())
        yield database
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture(scope="session")
def django_db_setup(worker_database: Database) -> None:
    """Replaces pytest-django's own, which would create databases as the application role."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    database = item.config.stash.get(DATABASE, None)
    if database:
        database.tests += 1
        if database.tests % SWEPT_EVERY == 0:
            database.sweep()


@pytest.fixture
def owner_connection(worker_database: Database, transactional_db: None) -> Iterator[psycopg.Connection]:
    """The owner, past Django and committing at once; the test becomes a transactional one."""
    with psycopg.connect(worker_database.address(OWNER_ROLE), autocommit=True) as connection:
        yield connection


# What may be absent.


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference data kept beside the checkout, or where PARITY_SHARED says."""
    given = os.environ.get("PARITY_SHARED")
    path = Path(given) if given else Path(__file__).resolve().parent.parent.parent / "shared"
    if not path.is_dir():
        pytest.skip("no shared reference data: set PARITY_SHARED")
    return path


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded stays, so that collecting garbage, which a test makes much of, need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    for item in items:
        if BROWSER_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("browser") and not Path(CHROMIUM).exists():
            item.add_marker(pytest.mark.skip(reason=f"no Chromium at {CHROMIUM}"))
        if item.get_closest_marker("redis") and not REDIS:
            item.add_marker(pytest.mark.skip(reason="no redis-server program"))
    yield
    # One worker begins with the browser, which often waits; the others have work meanwhile, and no long test is left for the end.
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "no Chromium at" in str(r.longrepr)]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} browser tests were skipped: no Chromium at {CHROMIUM}; install it or set CHROMIUM."
        )


# The browser: Debian's Chromium, pages as a reader has them, and no complaint left unread.


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    flags = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    return {**browser_type_launch_args, "executable_path": CHROMIUM, "args": flags}


@pytest.fixture(scope="session")
def base_url() -> str:
    """Instead of the plug-in's, which pytest 9 warns about; a context gets the live server's below."""
    return ""


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any], live_server: "LiveServer") -> dict[str, Any]:
    return {
        **browser_context_args,
        "base_url": live_server.url,
        "viewport": {"width": 1440, "height": 900},
        "locale": "en-US",
        "timezone_id": "America/Los_Angeles",
        "reduced_motion": "reduce",
    }


@pytest.fixture
def expected_complaints() -> list[str]:
    """A test that provokes an error in the console appends a part of its text."""
    return []


@pytest.fixture
def context(
    context: "BrowserContext", expected_complaints: list[str], transactional_db: None
) -> Iterator["BrowserContext"]:
    """Each error in the console, each breach of the content security policy and each uncaught exception fails the test."""
    complaints: list[str] = []

    def hear(message: "ConsoleMessage") -> None:
        if message.type == "error" or "Content Security Policy" in message.text:
            complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def uncaught(error: "WebError") -> None:
        complaints.append(f"uncaught: {error.error}")

    context.on("console", hear)
    context.on("weberror", uncaught)
    yield context
    # A navigation that overtakes the fade of the one before; Chromium says so, and nothing is lost.
    known = [*expected_complaints, "Transition was aborted", "Transition was skipped"]
    left = [said for said in complaints if not any(part in said for part in known)]
    assert not left, "the browser complained:\n" + "\n".join(left)


@pytest.fixture
def sign_in(context: "BrowserContext", live_server: "LiveServer") -> Callable[[Any], None]:
    """Puts a user's session into the browser without the form."""
    from django.conf import settings

    def as_user(user: Any) -> None:
        client = Client()
        client.force_login(user)
        context.add_cookies(
            [
                {
                    "name": settings.SESSION_COOKIE_NAME,
                    "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
                    "url": live_server.url,
                }
            ]
        )

    return as_user
