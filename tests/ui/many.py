"""Many of everything: the rows of a database are written again and again, past all triggers, so that every list is long.

A copy differs from its row in what may not be there twice: in a text or a number where there is one (sixty rules of one
plan), else its parent is the same copy of the parent (sixty people of one team, each in it once). Whatever else it refers
to stays, so that everything has sixty of what it can have many of.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg
from django.apps import apps
from django.db.models import (
    BooleanField,
    DateTimeField,
    Field,
    ForeignKey,
    GeneratedField,
    IntegerField,
    Model,
    PositiveSmallIntegerField,
    SmallIntegerField,
    TextField,
)
from django.db.models.fields import CharField
from psycopg import sql

STEP: Final = 10_000_000  # between the numbers of one copy's rows and the next one's
COUNT: Final = 300  # the same of numbers that count; sixty times that fits into two bytes
KINDS: Final = {"state", "status", "kind", "publication", "outcome", "severity", "role", "recipient"}
MOST_KINDS: Final = 8

# A house has a handful of these whatever its size: columns, tabs and choices are made of them.
FEW: Final = {
    *("marketplace.Currency", "marketplace.TaskArea", "marketplace.Plan", "marketplace.PriceRow"),
    *(
        "marketplace.WebhookSecret",
        "quotas.Measure",
        "quotas.FiscalCalendar",
        "quotas.Period",
        "quotas.PeriodClose",
    ),
    *("quotas.PlanComponent", "quotas.PayScale", "quotas.RateTier", "quotas.ApprovalLimit"),
}
# Worked out from other rows, or never read by a page.
UNSEEN: Final = {
    *(
        "accounts.Mail",
        "config.IdempotencyRecord",
        "config.OutboxMessage",
        "quotas.KeptBoard",
        "quotas.KeptPlace",
    ),
    *("marketplace.SearchWord", "marketplace.FacetTerm"),
}
OURS: Final = {"accounts", "config", "marketplace", "quotas"}
# Texts that mean something though they have no choices.
CODES: Final = {
    "market",
    "meter",
    "unit",
    "table",
    "source",
    "source_slug",
    "zone",
    "metric",
    "harness",
    "name_of",
}
UNIQUE: Final = """
SELECT i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND (i.indisunique OR i.indisexclusion) ORDER BY 1, 2
"""


@dataclass
class Copied:
    """How a table is copied. rows: of which; changed: columns with a value of the copy's own; follows: those that lead to the
    same copy of another row."""

    model: type[Model]
    fields: list[Field[Any, Any]]
    rows: set[Any] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    alone: bool = False  # nothing of a copy could be its own

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(self.model._meta.db_table)

    def named(self, column: str) -> Field[Any, Any]:
        return next(each for each in self.fields if each.column == column)


def multiply(address: str, copies: int, first: Mapping[str, str]) -> dict[str, list[Any]]:
    """Write *copies* of rows of every table. Returns the model's label to the primary keys of those that were copied.

    address  Of the database, as its superuser.
    first    Model's label to a condition: its rows are copied before others, and what belongs to them.
    """
    with psycopg.connect(address) as admin:
        admin.execute("SET LOCAL session_replication_role = replica")
        tables = _tables(admin)
        for each in tables.values():
            if not each.alone:
                each.rows |= _rows(admin, each, tables, first)
        _with_parents(admin, tables)
        for each in tables.values():
            if each.rows:
                admin.execute(_insert(each), {"rows": list(each.rows), "copies": copies})
        admin.execute("ANALYZE")
    return {label: sorted(each.rows) for label, each in tables.items()}


def _tables(admin: psycopg.Connection) -> dict[str, Copied]:
    """By label, what is referred to before what refers to it."""
    unique = defaultdict(list)
    for table, definition in admin.execute(UNIQUE):
        unique[table.strip('"')].append(definition.partition(" USING ")[2].partition(" WHERE ")[0])
    found: dict[str, Copied] = {}

    def add(model: type[Model], above: tuple[type[Model], ...] = ()) -> None:
        label = model._meta.label
        if model in above or label in found or label in FEW | UNSEEN or model._meta.app_label not in OURS:
            return
        for each in model._meta.concrete_fields:
            if isinstance(each, ForeignKey):
                add(_above(each), (*above, model))
        fields = [each for each in model._meta.concrete_fields if not isinstance(each, GeneratedField)]
        found[label] = copied = Copied(model, fields)
        copied.alone = (
            model._meta.pk.column is None
        )  # keys of several columns: sums and parts, which no list shows row by row
        for definition in unique[model._meta.db_table]:
            _tell_apart(copied, [each for each in fields if re.search(rf"\b{each.column}\b", definition)])

    for model in apps.get_models(include_auto_created=True):
        add(model)
    return found


def _tell_apart(copied: Copied, columns: list[Field[Any, Any]]) -> None:
    """Change one of the columns that may not be there twice together."""
    told = [each for each in columns if each.column in copied.changed | copied.follows]
    if any(not each.null for each in told):
        return
    own = [each for each in columns if not isinstance(each, ForeignKey) and not each.choices]
    for kind in (TextField, CharField, IntegerField, DateTimeField, BooleanField):
        for each in own:
            if isinstance(each, kind) and each.name not in CODES:
                copied.changed.add(str(each.column))
                return
    parents = [
        each
        for each in columns
        if isinstance(each, ForeignKey) and _above(each)._meta.label not in FEW | UNSEEN
    ]
    sure = [each for each in parents if not each.null]
    copied.follows |= {each.column for each in sure[:1] or parents}  # any of them may be empty
    copied.alone = copied.alone or not (parents or told)


def _rows(
    admin: psycopg.Connection, copied: Copied, tables: Mapping[str, Copied], first: Mapping[str, str]
) -> set[Any]:
    """One of each kind, best one that belongs to what is copied already."""
    meta = copied.model._meta
    key = sql.Identifier(_key(meta))
    kinds = [sql.Identifier(str(each.column)) for each in copied.fields if each.name in KINDS]
    belongs: list[sql.Composable] = [sql.SQL("0::int")]
    for each in copied.fields:
        above = tables.get(_above(each)._meta.label) if isinstance(each, ForeignKey) else None
        if above and above.rows and above is not copied:
            rows = sql.SQL(", ").join(sql.Literal(row) for row in above.rows)
            belongs.append(
                sql.SQL("coalesce({} IN ({}), false)::int").format(sql.Identifier(str(each.column)), rows)
            )
    query = sql.SQL("SELECT {kinds} {key} FROM {table} WHERE {first} ORDER BY {order} LIMIT {most}").format(
        kinds=sql.SQL("DISTINCT ON ({})").format(sql.SQL(", ").join(kinds)) if kinds else sql.SQL(""),
        key=key,
        table=copied.table,
        first=sql.SQL(first.get(meta.label, "true")),  # a constant of the test
        order=sql.SQL(", ").join([*kinds, sql.SQL("({}) DESC").format(sql.SQL(" + ").join(belongs)), key]),
        most=sql.Literal(MOST_KINDS if kinds else 1),
    )
    return {row for (row,) in admin.execute(query)}


def _above(reference: Any) -> type[Model]:
    """Which model a foreign key leads to."""
    return reference.related_model  # type: ignore[no-any-return]


def _key(meta: Any) -> str:
    """Column of the primary key, where it is one."""
    return str(meta.pk.column)


def _with_parents(admin: psycopg.Connection, tables: Mapping[str, Copied]) -> None:
    """A copy that follows its parent's copy needs one."""
    left = [each for each in tables.values() if not each.alone]
    while left:
        copied = left.pop()
        for column in copied.follows:
            above = tables[_above(copied.named(column))._meta.label]
            query = sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {2} = ANY(%s) AND {0} IS NOT NULL").format(
                sql.Identifier(column), copied.table, sql.Identifier(_key(copied.model._meta))
            )
            more = {row for (row,) in admin.execute(query, [list(copied.rows)])} - above.rows
            if more:
                above.rows |= more
                left.append(above)


def _insert(copied: Copied) -> sql.Composed:
    meta = copied.model._meta
    columns = [sql.Identifier(str(each.column)) for each in copied.fields]
    return sql.SQL(
        "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {values}"
        " FROM {table}, generate_series(1, %(copies)s) AS copy (k) WHERE {key} = ANY(%(rows)s)"
    ).format(
        table=copied.table,
        columns=sql.SQL(", ").join(columns),
        values=sql.SQL(", ").join(_value(copied, each) for each in copied.fields),
        key=sql.Identifier(_key(meta)),
    )


def _value(copied: Copied, of: Field[Any, Any]) -> sql.Composable:
    column = sql.Identifier(str(of.column))
    text = isinstance(of, CharField | TextField)
    if of.column in copied.follows or (of.primary_key and not text):
        return sql.SQL("{} + k * {}").format(column, sql.Literal(STEP))
    if text and (
        of.primary_key or of.column in copied.changed or (of.name in {"name", "title"} and not of.choices)
    ):
        most = sql.Literal((of.max_length or 1_000) - 3)
        return sql.SQL(
            "CASE WHEN {0} <> '' THEN left({0}, {1}) || lpad(k::text, 3, '0') ELSE {0} END"
        ).format(column, most)
    if of.column in copied.changed and isinstance(of, BooleanField):
        return sql.SQL("false")
    if of.column in copied.changed and isinstance(of, DateTimeField):
        return sql.SQL("{} + k * interval '1 second'").format(column)
    if of.column in copied.changed:
        small = isinstance(of, SmallIntegerField | PositiveSmallIntegerField)
        return sql.SQL("{} + k * {}").format(column, sql.Literal(COUNT if small else STEP))
    return column
