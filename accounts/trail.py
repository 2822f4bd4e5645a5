"""Reading the audit trail: what changed, from what to what."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import AuditEvent, User
from config.exports import Column, Table
from config.slices import in_slices

MOST_PEOPLE: Final = 100
WATCHED: Final = """
SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname = 'audit_insert' AND NOT t.tgisinternal ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One column of a changed row. Columns keep the names that they have in the database: that is what is proven."""

    column: str
    before: str
    after: str


def events(
    *,
    who: str = "",
    table: str = "",
    row: int | None = None,
    action: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[AuditEvent]:
    """The part of the trail that is asked for, with actors, unordered.

    who     A part of a name or e-mail.
    since   First day, until: last day, both in the operator's time zone.
    """
    found = AuditEvent.objects.select_related("actor")
    if who:
        people = User.objects.filter(Q(name__icontains=who) | Q(email__icontains=who)).order_by("id")
        found = found.filter(actor__in=list(people.values_list("id", flat=True)[:MOST_PEOPLE]))
    if table:
        found = found.filter(table=table)
    if row is not None:
        found = found.filter(row=row)
    if action:
        found = found.filter(action=action)
    if since is not None:
        found = found.filter(at__gte=_midnight(since))
    if until is not None:
        found = found.filter(at__lt=_midnight(until + timedelta(days=1)))
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE))


def tables() -> list[tuple[str, str]]:
    """Table and what a person calls it, for every table that leaves a trail. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(WATCHED)
        return sorted(((name, called(name)) for (name,) in cursor.fetchall()), key=lambda pair: pair[1])


def as_table(found: QuerySet[AuditEvent], order: Sequence[str]) -> Table:
    """A row a changed column, in the order of the page: what a diff says on one line."""
    columns = [
        Column("event", "Change", "whole"),
        Column("at", "When", "instant"),
        Column("what", "What"),
        Column("row", "Row", "whole"),
        Column("action", "Action"),
        Column("who", "Who"),
        Column("email", "E-mail"),
        Column("reason", "Reason"),
        Column("column", "Column"),
        Column("before", "Before"),
        Column("after", "After"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        words: dict[str, str] = {}
        for page in in_slices(found, order):
            for event in page:
                what = words.setdefault(event.table, called(event.table))
                actor = event.actor
                who = (actor.name, actor.email) if actor else ("The system", "")
                told = (event.pk, event.at, what, event.row, event.get_action_display(), *who, event.reason)
                for change in changes(event):
                    yield (*told, change.column, change.before, change.after)

    return Table(columns, rows)


def called(table: str) -> str:
    """The table's model as a word: quotas_dealversion is "Deal version"."""
    known = {model._meta.db_table: str(model._meta.verbose_name) for model in apps.get_models()}
    return known.get(table, table.replace("_", " ")).capitalize()


def changes(event: AuditEvent) -> list[Change]:
    """What differs; for a row that was added or removed, each column that has something in it."""
    before: Mapping[str, Any] = event.before or {}
    after: Mapping[str, Any] = event.after or {}
    columns = [*before, *(name for name in after if name not in before)]
    return [
        Change(name, _said(before.get(name)), _said(after.get(name)))
        for name in columns
        if name != "id"
        and before.get(name) != after.get(name)
        and (before.get(name), after.get(name)) != (None, "")
    ]


def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
    return str(value)
