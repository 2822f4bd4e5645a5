"""make run and make test stand on these: the embedded server, what the suite's database refuses, one line per refusal."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from config import supervisor
from config.databases import APPLICATION_ROLE, OWNER_ROLE
from config.embedded import MAJOR, EmbeddedError, Server, upgrade
from config.supervisor import Child, Refused, Supervisor
from tests.conftest import Database

BASE_DIR = Path(__file__).resolve().parent.parent


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path that the server's user may pass through, which pytest's own is not."""
    path = Path(tempfile.mkdtemp(prefix="parity-place-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def server(place: Path) -> Iterator[Server]:
    # Without fsync, yet commits reach the kernel, as they must to outlive a killed process.
    made = Server(root=place / "postgres", sockets=place / "run", settings={"fsync": "off"}, durable=False)
    yield made
    made.stop(mode="immediate")


def values(address: str, query: str) -> list[object]:
    with psycopg.connect(address, autocommit=True) as session:
        return [row[0] for row in session.execute(query.encode())]


# The embedded server


def test_the_wheel_has_the_major_version_that_the_code_names(worker_database: Database) -> None:
    wheel = Server(root=Path("/nowhere"), sockets=Path("/nowhere"))

    said = subprocess.run(  # noqa: S603
        [wheel.binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    )

    assert f"PostgreSQL) {MAJOR}." in said.stdout


def test_a_server_is_private_and_neither_role_is_a_superuser(server: Server) -> None:
    assert server.start() is True
    assert server.start() is False

    assert values(server.address(), "SHOW listen_addresses") == [""]
    assert values(server.address(), "SHOW jit") == ["off"]
    assert values(server.address(), "SHOW timezone") == ["UTC"]
    assert values(server.address(), "SELECT datcollate FROM pg_database WHERE datname = 'parity'") == [
        "C.UTF-8"
    ]
    assert values(server.address(), "SELECT rolname FROM pg_roles WHERE rolsuper") == ["postgres"]
    assert server.sockets.stat().st_mode & 0o077 == 0
    assert server.data.stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        values(server.address(APPLICATION_ROLE), "CREATE TABLE mine ()")


def test_after_a_hard_kill_the_data_is_there_and_a_recycled_process_id_does_not_matter(
    server: Server,
) -> None:
    server.start()
    with psycopg.connect(server.address(OWNER_ROLE), autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    killed = server.pid()
    assert killed
    os.kill(killed, signal.SIGKILL)
    pid_file = server.data / "postmaster.pid"
    other = subprocess.Popen(["sleep", "60"], user=pid_file.stat().st_uid)  # noqa: S607
    try:
        pid_file.write_text(pid_file.read_text().replace(str(killed), str(other.pid), 1))

        assert server.pid() is None
        server.start()

        assert server.pid() not in (None, killed, other.pid)
        assert values(server.address(OWNER_ROLE), "SELECT answer FROM kept") == [42]
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_an_interrupted_set_up_is_begun_again(server: Server) -> None:
    half_done = server.root / f"{MAJOR}.new"
    half_done.mkdir(parents=True)
    (half_done / "PG_VERSION").write_text("half")

    server.start()

    assert values(server.address(), "SELECT 1") == [1]
    assert not half_done.exists()


def test_data_of_an_older_major_version_is_refused_and_then_moved(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = Server.of_checkout(place)
    old = Server(root=new.root, sockets=new.sockets, major=16)
    old.start()
    with psycopg.connect(old.address(OWNER_ROLE), autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
        session.execute(f"GRANT SELECT ON kept TO {APPLICATION_ROLE}")
    old.stop()
    try:
        with pytest.raises(
            EmbeddedError, match=r"16 holds data of PostgreSQL 16, this version runs 18: run .* upgrade"
        ):
            new.start()
        assert not new.data.exists()

        assert upgrade(place).startswith("Moved from PostgreSQL 16 to 18.")

        new.start()
        assert values(new.address(), "SHOW server_version_num")[0] >= "180000"  # type: ignore[operator]
        assert values(new.address(APPLICATION_ROLE), "SELECT sum(n) FROM kept") == [500500]
        assert values(new.address(), "SELECT tableowner FROM pg_tables WHERE tablename = 'kept'") == [
            OWNER_ROLE
        ]
        assert (new.root / "16" / "PG_VERSION").exists()
        assert upgrade(place).endswith("nothing to do.")
    finally:
        old.stop(mode="immediate")
        new.stop(mode="immediate")


def test_a_socket_directory_of_somebody_else_is_refused(place: Path) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (place / "run").symlink_to(elsewhere)

    with pytest.raises(EmbeddedError, match="belongs to somebody else"):
        Server.of_checkout(place).start()


# The suite's own database


@pytest.mark.django_db
def test_tests_run_as_the_application_role() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_user, session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        )

        assert cursor.fetchone() == (APPLICATION_ROLE, APPLICATION_ROLE, False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("time", ["first", "second"])
def test_what_a_transactional_test_commits_is_gone_in_the_next(time: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_session")
        before = cursor.fetchone()
        cursor.execute("INSERT INTO django_session VALUES ('left', 'over', now())")

    assert before == (0,), time


def test_the_owner_is_at_hand_and_its_changes_do_not_stay(owner_connection: psycopg.Connection) -> None:
    owner_connection.execute("CREATE TABLE of_the_owner ()")

    assert owner_connection.execute("SELECT current_user").fetchone() == (OWNER_ROLE,)


# One line for each refusal


def refusal(program: str, place: Path, **environment: str) -> str:
    """What *program* says when it refuses: exit code 1 and one line."""
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", program],
        cwd=BASE_DIR,
        env={**inherited, "PARITY_LOCAL_DIR": str(place), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.strip()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port(place: Path, taken: int) -> None:
    said = refusal("config.supervisor", place, PORT=str(taken))

    assert said == f"Port {taken} is taken: stop what listens there or choose another (PORT=8001 make run)."
    assert not (place / "postgres").exists()


@pytest.mark.parametrize("given", ["http", "0", "65536", "-1"])
def test_a_port_that_is_none(given: str) -> None:
    with pytest.raises(Refused, match=rf"^PORT must be a number from 1 to 65535, not {given}\.$"):
        supervisor.port_from({"PORT": given})


def test_a_local_directory_that_cannot_be_written(place: Path) -> None:
    (place / "file").touch()

    assert refusal("config.supervisor", place / "file" / "local", PORT="1") == (
        f"{place}/file/local cannot be used (Not a directory): set PARITY_LOCAL_DIR."
    )


def test_only_one_runs_from_a_local_directory(place: Path) -> None:
    lock = supervisor.only_one(place)
    try:
        said = refusal("config.supervisor", place)
    finally:
        os.close(lock)

    assert said == f"Parity runs from {place} already (process {os.getpid()}): stop that one first."


def test_a_database_that_cannot_be_reached(place: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        said = refusal(
            "config.supervisor", place, DATABASE_URL=f"postgresql://me:secret@127.0.0.1:{port}/parity"
        )

    assert said.startswith("DATABASE_URL: the database cannot be reached: ")
    assert "Connection refused" in said
    assert "secret" not in said


def test_a_database_address_of_another_kind(place: Path) -> None:
    said = refusal("config.supervisor", place, DATABASE_URL="mysql://me@127.0.0.1/parity")

    assert said == "DATABASE_URL must start with postgresql://, not mysql://"


def test_a_postgresql_that_is_too_old(place: Path) -> None:
    with old_postgresql("14.11") as port:
        said = refusal(
            "config.prepare", place, DATABASE_URL=f"postgresql://me@127.0.0.1:{port}/parity?sslmode=disable"
        )

    assert said == "DATABASE_URL: PostgreSQL 14 is too old, 15 or newer is needed."


class old_postgresql:  # noqa: N801 -- reads as a function
    """Says what a server of that version says at log-in; none so old can be had here."""

    def __init__(self, version: str) -> None:
        self.version = version.encode()

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()
        port: int = self.listener.getsockname()[1]
        return port

    def serve(self) -> None:
        session, _ = self.listener.accept()
        with session:
            session.recv(4096)  # the start-up packet
            for kind, body in (
                (b"R", (0).to_bytes(4, "big")),
                (b"S", b"server_version\0" + self.version + b"\0"),
                (b"S", b"client_encoding\0UTF8\0"),
                (b"Z", b"I"),
            ):
                session.sendall(kind + (len(body) + 4).to_bytes(4, "big") + body)
            session.settimeout(10)
            while session.recv(4096):  # BEGIN of the driver never comes: nothing is asked
                pass

    def __exit__(self, *_: object) -> None:
        self.thread.join(15)
        self.listener.close()


PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": "s" * 60,
    "LEDGER_SEAL_KEY": "k" * 40,
    "DATABASE_URL": "postgresql://me@127.0.0.1:1/parity",
    "CELERY_BROKER_URL": "redis://127.0.0.1:1/0",
    "ALLOWED_HOSTS": "parity.example",
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PARITY_DEMO": "1"}, "Production has no demo mode: unset PARITY_DEMO and DEMO_TODAY."),
        ({"DEMO_TODAY": "2026-08-14"}, "Production has no demo mode: unset PARITY_DEMO and DEMO_TODAY."),
        ({"SECRET_KEY": "short"}, "Set SECRET_KEY to at least 50 random characters."),
        (
            {"LEDGER_SEAL_KEY": "short"},
            "Set LEDGER_SEAL_KEY to at least 32 random characters: the ledger is sealed with it.",
        ),
        ({"DATABASE_URL": ""}, "Set DATABASE_URL: production has no default for it."),
        ({"ALLOWED_HOSTS": ""}, "Set ALLOWED_HOSTS: production has no default for it."),
    ],
)
def test_production_settings_misused(place: Path, changed: dict[str, str], said: str) -> None:
    assert refusal("config.prepare", place, **{**PRODUCTION, **changed}) == said


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="needs root to mount a small disk")
def test_a_full_disk(place: Path) -> None:
    small = place / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=False)  # noqa: S603, S607
    if mounted.returncode:
        pytest.skip("this root may not mount")
    try:
        small.chmod(0o711)
        assert refusal("config.supervisor", small / "local", PORT="1").startswith(
            "The disk is full: no space left "
        )
        assert not (small / "local" / "postgres" / str(MAJOR)).exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)  # noqa: S603, S607


# The supervisor


@pytest.fixture
def watched(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A supervisor of no database and one child that the test chooses."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    made = Supervisor(place, "127.0.0.1", 1)
    made.children = []
    yield made
    made._shut_down()
    made.watched.close()


def started(made: Supervisor, code: str) -> Child:
    child = Child("child", [sys.executable, "-c", code])
    made.children.append(child)
    child.start(made.environment, made.watched)
    return child


def test_a_child_that_dies_is_started_again(watched: Supervisor, capsys: pytest.CaptureFixture[str]) -> None:
    child = started(watched, "import time; print('here', flush=True); time.sleep(60)")
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and capsys.readouterr().out.count("child  | here") == 0:
        watched._watch(0.05)

    assert child.process is not None
    assert child.process.poll() is None
    assert child.process.pid != first


def test_a_child_that_keeps_dying_stops_everything(
    watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "QUICK_DEATHS", 2)
    started(watched, "raise SystemExit(7)")

    def wait_for_it() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            watched._watch(0.05)

    with pytest.raises(Refused, match=r"^The child died 2 times in a row \(last exit code 7\): giving up\.$"):
        wait_for_it()


def test_a_child_that_ignores_the_signal_and_its_own_children_are_ended(
    watched: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "STOP_SECONDS", 0.5)
    child = started(
        watched,
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.fork(); print('deaf', flush=True); time.sleep(60)",
    )
    assert child.process
    group = child.process.pid
    assert watched.watched.select(10)

    watched._shut_down()

    deadline = time.monotonic() + 10
    while running(group) and time.monotonic() < deadline:  # a grandchild is reaped by init in its own time
        time.sleep(0.05)
    assert not running(group)


def running(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
