"""What a test that commits leaves behind for the next one: nothing."""

import psycopg
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from config.databases import OWNER_ROLE
from marketplace.models import TaskArea
from tests import make
from tests.conftest import Database

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
