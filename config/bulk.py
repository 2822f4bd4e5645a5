"""Thousands of rows at once: PostgreSQL's COPY and one UPDATE from arrays, where Django's ways cost many times their statement."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection, models
from psycopg import sql

M = TypeVar("M", bound=models.Model)

FEW = 200  # up to so many rows one INSERT is as fast


def insert(rows: Sequence[M]) -> list[M]:
    """Insert rows of one model and give them their ids, in their order. Raises what a bulk_create would.

    For plain columns: values go to the database as they are, without the preparation of special fields.
    """
    if len(rows) <= FEW:
        return type(rows[0])._default_manager.bulk_create(rows) if rows else []
    meta = rows[0]._meta
    table = sql.Identifier(meta.db_table)
    columns = [field for field in meta.concrete_fields if field.attname]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [meta.db_table, len(rows)],
        )
        for row, (pk,) in zip(rows, cursor.fetchall(), strict=True):
            row.pk = pk
        names = [field.attname for field in columns]
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
            table, sql.SQL(", ").join([sql.Identifier(str(field.column)) for field in columns])
        )
        # Past Django's cursor, which has no copy(); its errors become Django's all the same.
        with connection.wrap_database_errors, cursor.cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row([getattr(row, name) for name in names])
    for row in rows:
        row._state.adding = False
        row._state.db = connection.alias
    return list(rows)


def update(
    model: type[models.Model], ids: Sequence[int], values: Mapping[str, tuple[str, Sequence[Any]]]
) -> None:
    """Give each row of *ids* its own values, in one statement.

    values  Column to the SQL type of its array and the values, in the order of *ids*.
    """
    columns = list(values)
    statement = sql.SQL("UPDATE {} t SET {} FROM unnest({}) AS x ({}) WHERE t.id = x.id").format(
        sql.Identifier(model._meta.db_table),
        sql.SQL(", ").join(sql.SQL("{0} = x.{0}").format(sql.Identifier(name)) for name in columns),
        sql.SQL(", ").join(
            sql.SQL("%s::{}[]").format(sql.SQL(kind)) for kind in ("bigint", *(values[c][0] for c in columns))
        ),
        sql.SQL(", ").join(sql.Identifier(name) for name in ("id", *columns)),
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(ids), *(list(values[name][1]) for name in columns)])
