"""What nearly every test begins with is made once a session and brought back by one statement.

A fiscal year is 19 rows and twelve partitions of the ledger, a world some hundred rows that triggers look at, the
project's own catalog thousands. `stock` makes each of them in a clone of the migrated template, keeps its rows in a schema of their own
and what its function returned beside them; `take` puts the rows back as they were and hands that out. Numbers of rows
are never given twice, so what a test adds is always younger than what was kept.
"""

import pickle
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import count
from typing import Any, TypeVar

import psycopg
from django.db import connection, transaction
from psycopg import sql

FIRST = 120_000  # of the numbers in names; from here on all have as many digits, so that they sort by age
SPARE = 2_000  # of them are for what is kept

# What exists once in a database may be there already, by the very same key.
SHARED = {"marketplace_currency", "quotas_fiscalcalendar", "quotas_period"}
ONCE = " ON CONFLICT ON CONSTRAINT {} DO NOTHING"

Made = TypeVar("Made")
numbers = count(FIRST + SPARE)
_stocked = False

SCHEMA = """
CREATE SCHEMA kept;
CREATE TABLE kept.made (name text PRIMARY KEY, put text NOT NULL, what bytea NOT NULL);
-- As it was, whatever triggers and foreign keys would say.
CREATE FUNCTION kept.take(wanted text) RETURNS bytea
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET session_replication_role = replica AS $$
DECLARE
  one kept.made;
BEGIN
  SELECT * INTO one FROM kept.made WHERE name = wanted;
  IF FOUND THEN
    EXECUTE one.put;
  END IF;
  RETURN one.what;
EXCEPTION WHEN unique_violation OR exclusion_violation THEN
  RETURN NULL;  -- a part of it was made in another way before
END $$;
"""
TABLES = """
SELECT c.relname,
  (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'),
  (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
"""


class NotKept(Exception):
    """It changes rows that were there before, which nobody could take back."""


def take(name: str) -> Any:
    """What was kept under *name*, its rows in the database again. None if it cannot be had here, so that it has to be made."""
    if not _stocked:
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT kept.take(%s)", [name])
        (found,) = cursor.fetchone()
    return None if found is None else pickle.loads(found)  # noqa: S301 -- our own, of this session


def world(build: Callable[[], Made]) -> Callable[[], Made]:
    """What *build* makes, brought back where it is kept under its name, as make.KEPT says.

    A fiscal year that was made before stays as it is.
    """

    @wraps(build)
    def found() -> Made:
        back: Made | None = take(build.__name__)
        return build() if back is None else back

    return found


def ready() -> None:
    """From now on this process's databases are clones of the stocked one."""
    global _stocked
    _stocked = True


def stock(address: str, builders: dict[str, Callable[[], Any]]) -> None:
    """Make and keep each of them, one upon those before, in the database that Django's default connection leads to.

    address   Of the same database, as its superuser.
    """
    global numbers
    younger, numbers = numbers, count(FIRST)
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(SCHEMA)
        admin.execute("GRANT USAGE ON SCHEMA kept TO PUBLIC")
        tables = {name: (key, columns) for name, key, columns in admin.execute(TABLES)}
        before = _counts(admin, tables)
        ready()
        for name, build in builders.items():
            with transaction.atomic():
                made = build()
            _keep(admin, name, made, tables, before)
        admin.execute("VACUUM")
    assert next(numbers) < FIRST + SPARE, "more numbers are needed for what is kept"
    numbers = younger


def _counts(admin: psycopg.Connection, tables: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Rows of each table and the newest transaction among them."""
    query = "SELECT {}, count(*), coalesce(max(xmin::text::bigint), 0) FROM {}"
    each = (sql.SQL(query).format(sql.Literal(name), sql.Identifier("public", name)) for name in tables)
    return {name: (rows, newest) for name, rows, newest in admin.execute(sql.SQL(" UNION ALL ").join(each))}


def _keep(
    admin: psycopg.Connection,
    name: str,
    made: Any,
    tables: dict[str, tuple[str, list[str]]],
    before: dict[str, tuple[int, int]],
) -> None:
    """Copy what is new into the schema, and clear it away."""
    put = []
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        for table in [name for name, found in _counts(admin, tables).items() if found != before[name]]:
            key, columns = tables[table]
            public, rows = sql.Identifier("public", table), sql.Identifier("kept", f"{name} {table}")
            listed = sql.SQL(", ").join(map(sql.Identifier, columns))
            new = sql.SQL("xmin::text::bigint > {}").format(sql.Literal(before[table][1]))
            admin.execute(
                sql.SQL("CREATE TABLE {} AS SELECT {} FROM {} WHERE {}").format(rows, listed, public, new)
            )
            admin.execute(sql.SQL("DELETE FROM {} WHERE {}").format(public, new))
            put.append(
                sql.SQL(
                    "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}" + ONCE * (table in SHARED)
                )
                .format(public, listed, listed, rows, sql.Identifier(key))
                .as_string(admin)
            )
        if _counts(admin, tables) != before:
            raise NotKept(name)
        admin.execute(
            "INSERT INTO kept.made VALUES (%s, %s, %s)", [name, ";\n".join(put), pickle.dumps(made)]
        )
