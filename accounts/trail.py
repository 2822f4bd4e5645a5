"""Reading the audit trail: what changed, from what to what."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import BooleanField, Field, ForeignKey, Model, Q, QuerySet

from accounts.models import AuditEvent, User
from config.exports import Column, Table
from config.language import marked, spoken
from config.slices import in_slices

MOST_PEOPLE: Final = 100
YES_NO: Final = {"yes": marked("Yes"), "no": marked("No")}
WATCHED: Final = """
SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE t.tgname = 'audit_insert' AND NOT t.tgisinternal ORDER BY c.relname
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One column of a changed row. Columns keep the names that they have in the database: that is what is proven.

    label  What a person calls the column; empty where only the proof is asked for.
    """

    column: str
    before: str
    after: str
    label: str = ""


Page = Callable[[AuditEvent], str]
_pages: dict[str, Page] = {}


def leads(table: str, to: Page) -> None:
    """Register where a row of a table has its page. What is above accounts says so; an empty address is none."""
    _pages[table] = to


def page_of(event: AuditEvent) -> str:
    """The address of the page that shows the row now; empty where there is none, or the row is gone."""
    to = _pages.get(event.table)
    return to(event) if to is not None and event.action != "delete" else ""


def events(
    *,
    who: str = "",
    table: str = "",
    row: int | None = None,
    action: str = "",
    since: date | None = None,
    until: date | None = None,
    reason: str = "",
    request: str = "",
) -> QuerySet[AuditEvent]:
    """The part of the trail that is asked for, with actors, unordered.

    who     A part of a name or e-mail.
    since   First day, until: last day, both in the operator's time zone.
    reason  A part of it.
    request All that one request, or one run in the background, changed.
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
    if reason:
        found = found.filter(~Q(reason=""), reason__icontains=reason)  # the first is what its index is of
    if request:
        found = found.filter(~Q(request_id=""), request_id=request)
    return found


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(settings.TIME_ZONE))


def tables() -> list[tuple[str, str]]:
    """Table and what a person calls it, for every table that leaves a trail. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(WATCHED)
        return sorted(((name, called(name)) for (name,) in cursor.fetchall()), key=lambda pair: pair[1])


def as_table(found: QuerySet[AuditEvent], order: Sequence[str], *, diffs: bool = True) -> Table:
    """A row a changed column, in the order of the page: what a diff says on one line; without *diffs* a row a change."""
    columns = [
        Column("event", "Change", "whole"),
        Column("at", "When", "instant"),
        Column("what", "What"),
        Column("row", "Row", "whole"),
        Column("action", "Action"),
        Column("who", "Who", key="who"),
        Column("email", "E-mail", key="who"),
        Column("reason", "Reason", key="what"),
        Column("request", "Request", key="what"),
        Column("column", "Column", key="what"),
        Column("before", "Before", key="what"),
        Column("after", "After", key="what"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        words: dict[str, str] = {}
        for page in in_slices(found, order):
            for event in page:
                what = words.setdefault(event.table, called(event.table))
                actor = event.actor
                who = (actor.name, actor.email) if actor else ("The system", "")
                told = (
                    event.pk,
                    event.at,
                    what,
                    event.row,
                    event.get_action_display(),
                    *who,
                    event.reason,
                    event.request_id,
                )
                if not diffs:
                    yield (*told, "", "", "")
                    continue
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


def worded(shown: Sequence[AuditEvent]) -> list[list[Change]]:
    """The changes of each event in the words of whoever looks: columns by their names, choices by their labels, rows of other tables by theirs.

    1 query for each other table that is named, whatever the number of events.
    """
    models = {model._meta.db_table: model for model in apps.get_models()}
    raw = [changes(event) for event in shown]
    fields = {event.table: _columns(models.get(event.table)) for event in shown}
    named: dict[type[Model], set[int]] = defaultdict(set)
    for event, of in zip(shown, raw, strict=True):
        for change in of:
            field = fields[event.table].get(change.column)
            if isinstance(field, ForeignKey) and isinstance(field.related_model, type):
                named[field.related_model] |= {
                    int(x) for x in (change.before, change.after) if x.isdecimal() and len(x) < 19
                }
    names = {model: _names(model, ids) for model, ids in named.items() if ids}
    return [
        [_worded(change, fields[event.table].get(change.column), names) for change in of]
        for event, of in zip(shown, raw, strict=True)
    ]


def _columns(model: type[Model] | None) -> "dict[str, Field[Any, Any]]":
    return {str(field.column): field for field in model._meta.concrete_fields} if model else {}


def _names(model: type[Model], ids: set[int]) -> dict[str, str]:
    """Where a row has a name of its own that needs no other table; else its number has to do."""
    own = next(
        (f for f in ("name", "title", "slug", "email") if f in {x.name for x in model._meta.fields}), ""
    )
    if not own or not model._meta.managed:
        return {}
    return {
        str(pk): str(name)
        for pk, name in model._default_manager.filter(pk__in=ids).values_list("pk", own)
        if name
    }


def _worded(
    change: Change, field: "Field[Any, Any] | None", names: Mapping[type[Model], Mapping[str, str]]
) -> Change:
    if field is None:
        return Change(
            change.column, change.before, change.after, change.column.replace("_", " ").capitalize()
        )
    label = str(field.verbose_name).capitalize()
    choices = {str(key): spoken(text) for key, text in field.flatchoices}
    if isinstance(field, BooleanField):
        choices = {word: spoken(text).lower() for word, text in YES_NO.items()}
    known: Mapping[str, str] = {}
    if isinstance(field, ForeignKey) and isinstance(field.related_model, type):
        known = names.get(field.related_model, {})

    def said(value: str) -> str:
        return f"{known[value]} ({value})" if value in known else choices.get(value, value)

    return Change(change.column, said(change.before), said(change.after), label)


def _said(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
    return str(value)
