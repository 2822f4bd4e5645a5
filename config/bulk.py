"""Thousands of rows at once: PostgreSQL's COPY and one UPDATE from arrays, where Django's ways cost many times their statement."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from django.db import connection, models
from django.db.models import F, Func
from django.db.models.expressions import RawSQL
from psycopg import sql

M = TypeVar("M", bound=models.Model)

FEW = 200  # up to so many rows one INSERT is as fast


def any_of(field: str, values: Collection[int] | Collection[str], *, kind: str = "bigint") -> Func:
    """A condition for filter(): the field is one of so many values, given as one array where field__in makes a parameter of each.

    kind  The SQL type of the values.
    """
    array = RawSQL(f"%s::{kind}[]", [list(values)])  # noqa: S611 -- the type is a name of ours
    return Func(
        F(field),
        array,
        template="(%(expressions)s))",
        arg_joiner=" = ANY(",
        output_field=models.BooleanField(),
    )


def reserve(model: type[models.Model], how_many: int) -> list[int]:
    """Ids for rows that are to be inserted, so that rows of several tables can name each other first. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)",
            [model._meta.db_table, how_many],
        )
        return [pk for (pk,) in cursor.fetchall()]


def copy(model: type[models.Model], attributes: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert rows by COPY, as many as there are. Raises what a bulk_create would.

    attributes  Of the model's columns, by attribute such as rep_id; the rows give their values in this order. A column
                that is left out has the database's own default, or is refused.
    """
    named = {field.attname: str(field.column) for field in model._meta.concrete_fields}
    columns = [named[name] for name in attributes]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    # Past Django's cursor, which has no copy(); its errors become Django's all the same.
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.cursor.copy(statement) as into,
    ):
        for row in rows:
            into.write_row(row)


def insert(rows: Sequence[M]) -> list[M]:
    """Insert rows of one model and give them their ids, in their order; a row that has its id keeps it. Raises what a bulk_create would.

    For plain columns: values go to the database as they are, without the preparation of special fields.
    """
    if len(rows) <= FEW:
        return type(rows[0])._default_manager.bulk_create(rows) if rows else []
    without = [row for row in rows if row.pk is None]
    if without:
        for row, pk in zip(without, reserve(type(rows[0]), len(without)), strict=True):
            row.pk = pk
    names = [field.attname for field in rows[0]._meta.concrete_fields if field.attname]
    copy(type(rows[0]), names, ([getattr(row, name) for name in names] for row in rows))
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
