"""make run: one process in the foreground that starts everything, keeps it alive and stops it in order.

Web server and worker are children in sessions of their own, so that Ctrl-C reaches only us. A child that dies is
restarted with a growing pause; after QUICK_DEATHS in a row that came within QUICK_SECONDS of a start, everything stops.
"""

import contextlib
import ctypes
import errno
import fcntl
import http.client
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from config.embedded import EmbeddedError, Server
from config.local import local_dir

BASE_DIR = Path(__file__).resolve().parent.parent
QUICK_SECONDS = 10
QUICK_DEATHS = 5
READY_SECONDS = 90
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1

LOG_INS = ("rep", "manager", "admin", "catalog", "partner", "sourcing")


class Refused(Exception):
    """One line for the person at the terminal."""


@dataclass
class Child:
    """One supervised process."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started: float = 0.0
    quick_deaths: int = 0
    next_start: float = 0.0
    rest: bytes = field(default=b"", repr=False)

    def start(self, environment: dict[str, str], watched: selectors.BaseSelector) -> None:
        read, write = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603
            self.command,
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        os.close(write)
        os.set_blocking(read, False)
        self.pipe = read
        self.started = time.monotonic()
        watched.register(read, selectors.EVENT_READ, self)

    def signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    def bury(self, watched: selectors.BaseSelector) -> None:
        """Nothing of it is left: not its own children, not its pipe."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.relay(watched)
        if self.pipe in watched.get_map():
            watched.unregister(self.pipe)
        os.close(self.pipe)
        self.process = None

    def relay(self, watched: selectors.BaseSelector) -> None:
        """Its output, each line under its name. A pipe that it has closed is not watched any more."""
        try:
            while chunk := os.read(self.pipe, 65536):
                self.rest += chunk
        except BlockingIOError:
            *lines, self.rest = self.rest.split(b"\n")
        else:
            lines, self.rest = self.rest.splitlines(), b""
            if self.pipe in watched.get_map():
                watched.unregister(self.pipe)
        for line in lines:
            say(f"{self.name:6} | {line.decode(errors='replace').rstrip()}")


class Supervisor:
    """Starts, watches, stops."""

    def __init__(self, local: Path, host: str, port: int) -> None:
        self.local = local
        self.host = host
        self.port = port
        self.stopping = threading.Event()
        self.watched = selectors.DefaultSelector()
        self.database = None if os.environ.get("DATABASE_URL") else Server.of_checkout(local)
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "config.settings.base",
            **os.environ,
            "PYTHONUNBUFFERED": "1",
        }
        self.children = [
            Child("web", self._web()),
            Child("worker", self._worker()),
        ]

    def _web(self) -> list[str]:
        address = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return [
            *(sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", address),
            *("--workers", "2", "--threads", "4", "--graceful-timeout", "5", "--timeout", "60"),
            *("--log-level", "warning", "--no-control-socket"),
        ]

    def _worker(self) -> list[str]:
        return [
            # Run as root (a container) it would print seven lines about it at every start.
            *(sys.executable, "-W", "ignore::Warning:celery.platforms"),
            *("-m", "celery", "--app", "config", "--quiet", "worker"),
            *("--beat", "--schedule", str(self.local / "celerybeat-schedule")),
            *("--concurrency", "1", "--loglevel", "warning", "--without-gossip", "--without-mingle"),
        ]

    def run(self) -> None:
        """Until told to stop. Raises Refused when something cannot start."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._prepare()
            for child in self.children:
                child.start(self.environment, self.watched)
            self._wait_until_ready()
            if not self.stopping.is_set():
                self._greet()
            while not self.stopping.is_set():
                self._watch()
        finally:
            self._shut_down()

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping.set()

    def _prepare(self) -> None:
        if self.database:
            self.database.start()
        if self.stopping.is_set():
            return
        # A process of its own: its memory goes with it, and what it refuses it has said already.
        prepared = subprocess.Popen(
            [sys.executable, "-m", "config.prepare"],
            cwd=BASE_DIR,
            env=self.environment,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        while prepared.poll() is None:
            if self.stopping.is_set():
                os.killpg(prepared.pid, signal.SIGKILL)  # it works in transactions: the next start goes on
            time.sleep(0.05)
        if prepared.returncode and not self.stopping.is_set():
            raise Refused("")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.stopping.is_set() and not self._answers():
            if time.monotonic() > deadline:
                raise Refused(f"The web server does not answer on {self._url()} after {READY_SECONDS} s.")
            self._watch(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(self._reachable_host(), self.port, timeout=2)
        try:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _watch(self, seconds: float = 0.5) -> None:
        """One round: pass output on, restart what died."""
        self._pass_output_on(seconds)
        now = time.monotonic()
        if self.database and not self.stopping.is_set() and not self.database.pid():
            say("PostgreSQL has stopped; starting it again.")
            self.database.start()
        for child in self.children:
            if self.stopping.is_set():
                return
            if child.process is None:
                if now >= child.next_start:
                    child.start(self.environment, self.watched)
            elif (code := child.process.poll()) is not None:
                child.bury(self.watched)
                quick = now - child.started < QUICK_SECONDS
                child.quick_deaths = child.quick_deaths + 1 if quick else 1
                if child.quick_deaths >= QUICK_DEATHS:
                    raise Refused(
                        f"The {child.name} died {QUICK_DEATHS} times in a row (last exit code {code}): giving up."
                    )
                pause = 2 ** (child.quick_deaths - 1) / 2
                child.next_start = now + pause
                say(f"The {child.name} died (exit code {code}); starting it again in {pause:g} s.")

    def _pass_output_on(self, seconds: float) -> None:
        for key, _ in self.watched.select(seconds):
            key.data.relay(self.watched)

    def _shut_down(self) -> None:
        """Web first, so that nobody is promised more; then the worker; the database last."""
        for child in self.children:
            child.signal(signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while child.process and child.process.poll() is None and time.monotonic() < deadline:
                self._pass_output_on(0.05)
            child.bury(self.watched)
        if self.database:
            self.database.stop()

    def _reachable_host(self) -> str:
        return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104

    def _url(self) -> str:
        host = self._reachable_host()
        return f"http://{'localhost' if host in ('127.0.0.1', '::1') else host}:{self.port}/"

    def _greet(self) -> None:
        say(f"\nParity is at {self._url()}")
        production = self.environment["DJANGO_SETTINGS_MODULE"].endswith(".production")
        if not production and self.environment.get("PARITY_DEMO", "1") == "1":
            say("All data is synthetic. Log in with the password demo as one of")
            for name in LOG_INS:
                say(f"  {name}@demo.example")
        say("Ctrl-C stops it.\n")


def _die_with_parent() -> None:
    """On Linux a child ends when we are killed hard; elsewhere the next start finds the port taken and says so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def only_one(local: Path) -> int:
    """A lock that lasts as long as this process. Raises Refused when another holds it."""
    local.mkdir(parents=True, exist_ok=True)
    lock = os.open(local / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(lock, 20).decode().strip()
        raise Refused(
            f"Parity runs from {local} already (process {holder or 'unknown'}): stop that one first."
        ) from error
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    return lock


def port_from(environment: dict[str, str]) -> int:
    given = environment.get("PORT") or "8000"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise Refused(f"PORT must be a number from 1 to 65535, not {given}.")
    return int(given)


def check_free(host: str, port: int) -> None:
    """Raises Refused when nobody can listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Refused(
                    f"Port {port} is taken: stop what listens there or choose another (PORT=8001 make run)."
                ) from error
            raise Refused(f"Cannot listen on {host}:{port}: {error.strerror}.") from error


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    local = local_dir(BASE_DIR)
    host = os.environ.get("HOST") or "127.0.0.1"
    try:
        port = port_from(dict(os.environ))
        lock = only_one(local)
        check_free(host, port)
        Supervisor(local, host, port).run()
        os.close(lock)
    except (Refused, EmbeddedError) as refusal:
        if str(refusal):
            sys.stderr.write(f"{refusal}\n")
        return 1
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sys.stderr.write(f"The disk is full: no space left under {local}.\n")
            return 1
        sys.stderr.write(
            f"{error.filename or local} cannot be used ({error.strerror}): set PARITY_LOCAL_DIR.\n"
        )
        return 1
    say("Stopped.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
