"""What a test that commits leaves behind for the next one: nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config.databases import APPLICATION_ROLE, OWNER_ROLE
from marketplace.models import TaskArea
from tests import make
from tests.conftest import TEMPLATE, Database

pytestmark = pytest.mark.django_db(transaction=True)


def clone(database: Database) -> int:
    """Which clone it is: a new one has a number of its own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", [database.name])
        return int(cursor.fetchone()[0])


def test_rows_and_numbers_are_as_they_were_in_the_same_database(worker_database: Database) -> None:
    database = worker_database
    database.clear()
    before, first = clone(database), make.task_area().pk
    make.world()
    migrations = MigrationRecorder.Migration.objects.count()
    with psycopg.connect(database.address(OWNER_ROLE), autocommit=True) as owner:
        owner.execute("DELETE FROM django_migrations WHERE app = 'quotas'")
    database.clear()
    assert MigrationRecorder.Migration.objects.count() == migrations
    assert not TaskArea.objects.exists()
    assert make.task_area().pk == first
    assert clone(database) == before


@pytest.mark.parametrize(
    "left",
    [
        "CREATE TABLE left_behind (id int)",
        "ALTER TABLE quotas_dealshare DISABLE TRIGGER deal_shares_add_up_to_one_million",
    ],
)
def test_whatever_else_was_changed_makes_a_new_one(worker_database: Database, left: str) -> None:
    before = clone(worker_database)
    with psycopg.connect(worker_database.address(OWNER_ROLE), autocommit=True) as owner:
        owner.execute(left)
    worker_database.clear()
    assert clone(worker_database) != before


def test_what_tests_took_back_does_not_stay_in_the_way(worker_database: Database) -> None:
    database = worker_database
    with psycopg.connect(database.address(OWNER_ROLE), autocommit=True) as owner:
        owner.execute("CREATE TABLE taken_back (n int)")
        with owner.transaction(force_rollback=True):
            owner.execute("INSERT INTO taken_back SELECT generate_series(1, 100000)")
        size = "SELECT pg_relation_size('taken_back')"
        assert owner.execute(size).fetchone() != (0,)
        database.sweep()
        assert owner.execute(size).fetchone() == (0,)


@pytest.mark.soak
def test_the_suites_migrations_which_take_a_short_cut_make_what_migrate_makes(
    worker_database: Database, tmp_path: Path
) -> None:
    server = worker_database.server
    with psycopg.connect(server.address(database="postgres"), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS at_length")
        admin.execute(f"CREATE DATABASE at_length OWNER {OWNER_ROLE}")
    with psycopg.connect(server.address(database="at_length"), autocommit=True) as admin:
        admin.execute(f"ALTER SCHEMA public OWNER TO {OWNER_ROLE}")
    url = "postgresql://{}@/at_length?host=" + quote(str(server.sockets), safe="")
    addresses = {"DATABASE_OWNER_URL": url.format(OWNER_ROLE), "DATABASE_URL": url.format(APPLICATION_ROLE)}
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--database", "owner", "--verbosity", "0"],
        cwd=Path(__file__).resolve().parent.parent,
        env={**os.environ, **addresses, "PARITY_LOCAL_DIR": str(tmp_path)},
        check=True,
    )

    def dumped(database: str) -> str:
        done = subprocess.run(  # noqa: S603
            [
                str(server.binaries / "pg_dump"),
                "--exclude-table-data=django_migrations",
                server.address(database=database),
            ],
            user=server.account.pw_uid if server.account else None,
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
        return re.sub(r"(?m)^\\(un)?restrict .*$", "", done.stdout)

    assert dumped(TEMPLATE) == dumped("at_length")
