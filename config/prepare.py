"""What must be true before anything is served: assets built, database reachable and migrated, demo loaded.

python -m config.prepare          all of it
python -m config.prepare assets   only the assets, for the tests

Each refusal is one line on standard error and exit code 1.
"""

import errno
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command, get_commands
from django.db import OperationalError, connections

from config.local import local_dir
from config.migrating import migrate

BASE_DIR = Path(__file__).resolve().parent.parent
OLDEST_POSTGRESQL = 15
ALMOST_FULL = 16 * 1024**2  # bytes; a server without space for its log dies before it can say so


class NotReady(Exception):
    """One line for the person at the terminal."""


def main(arguments: list[str]) -> int:
    local = local_dir(BASE_DIR)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.base")
    try:
        local.mkdir(parents=True, exist_ok=True)
        (local / "assets").mkdir(exist_ok=True)  # before the settings look for it
        django.setup()
        if arguments == ["assets"]:
            assets(local)
        else:
            database()
            assets(local)
            folders()
            migrate()
            call_command(
                "reindex_catalog", missing=True, verbosity=0
            )  # after an upgrade that brings the index
            demo()
    except (NotReady, ImproperlyConfigured, CommandError) as refusal:
        return refused(str(refusal))
    except OperationalError as error:
        if "No space left on device" in str(error) or shutil.disk_usage(local).free < ALMOST_FULL:
            return refused(f"The disk is full: no space left under {local}.")
        return refused(f"The database went away: {_first_line(error)}")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return refused(f"The disk is full: no space left for {error.filename or local}.")
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR):
            return refused(
                f"{error.filename or local} cannot be written ({error.strerror}): set PARITY_LOCAL_DIR."
            )
        raise
    return 0


def refused(line: str) -> int:
    sys.stderr.write(" ".join(line.split()) + "\n")
    return 1


def assets(local: Path) -> None:
    """Icons, font and hashed static files; each only when something it is made of has changed."""
    lock = BASE_DIR / "requirements.lock"
    code = BASE_DIR / "config"
    builder = code / "management" / "commands" / "build_assets.py"
    with _when_changed(
        local / "assets.stamp", lock, builder, BASE_DIR / "static", BASE_DIR / "templates"
    ) as changed:
        if changed:
            say("Building icons and font ...")
            call_command("build_assets", verbosity=0)
    inputs = (lock, code / "storage.py", code / "settings" / "base.py", BASE_DIR / "static", local / "assets")
    with _when_changed(local / "static.stamp", *inputs) as changed:
        if changed or not settings.STATIC_ROOT.is_dir():
            say("Collecting static files ...")
            call_command("collectstatic", interactive=False, clear=True, verbosity=0)


@contextmanager
def _when_changed(stamp: Path, *inputs: Path) -> Iterator[bool]:
    """Whether the files below *inputs* differ from those that *stamp* remembers; they are remembered after success."""
    digest = hashlib.sha256()
    for given in inputs:
        for path in sorted(given.rglob("*")) if given.is_dir() else [given]:
            if path.is_file():
                found = path.stat()
                digest.update(f"{path} {found.st_size} {found.st_mtime_ns}\n".encode())
    state = digest.hexdigest()
    yield not stamp.exists() or stamp.read_text() != state
    stamp.write_text(state)


def folders() -> None:
    """The filesystem broker expects its folders."""
    for name, value in settings.CELERY_BROKER_TRANSPORT_OPTIONS.items():
        if name.endswith("_folder") or name.startswith("data_folder"):
            Path(str(value)).mkdir(parents=True, exist_ok=True)


def database() -> None:
    """Both roles can log in, and the server is one that we know."""
    for alias, source in (("owner", "DATABASE_OWNER_URL"), ("default", "DATABASE_URL")):
        variable = source if os.environ.get(source) else "DATABASE_URL"
        given = connections[alias].settings_dict
        parameters = {
            **{name.lower(): given[name] for name in ("USER", "PASSWORD", "HOST", "PORT") if given[name]},
            **{name: value for name, value in given["OPTIONS"].items() if name != "assume_role"},
        }
        try:
            with psycopg.connect(dbname=given["NAME"], **{"connect_timeout": 10, **parameters}) as connection:
                version = connection.info.server_version
        except psycopg.OperationalError as error:
            raise NotReady(f"{variable}: the database cannot be reached: {_first_line(error)}") from error
        if version // 10000 < OLDEST_POSTGRESQL:
            raise NotReady(
                f"{variable}: PostgreSQL {version // 10000} is too old, {OLDEST_POSTGRESQL} or newer is needed."
            )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def demo() -> None:
    if not settings.DEMO_MODE:
        return
    if "load_demo" not in get_commands():
        say("There is no load_demo command: going on without demo data.")
        return
    call_command("load_demo", verbosity=1)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
