"""Imports of sales data: which of them somebody may see, what is said of their rows, and what an import can choose from."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Count, Min, QuerySet

from accounts.models import Role, User
from marketplace.models import Offering, Publication
from quotas.models import (
    FiscalCalendar,
    ImportKind,
    ImportMap,
    ImportOutcome,
    ImportRow,
    SalesImport,
    SalesImportState,
)

MOST_REASONS: Final = 40
MOST_NAMES: Final = 500
SEES_EVERY: Final = (Role.COMP_ADMIN, Role.AUDITOR)
LEFT_BY_MAP: Final = "Not won, as the map reads their stage; or lost, and never here."
SAID: Final[Mapping[str, str]] = {
    ImportOutcome.NEW: "Not here before",
    ImportOutcome.CHANGED: "Here, and different now",
    ImportOutcome.UNCHANGED: "Here already, word for word",
    ImportOutcome.CANCELLED: "Here, and taken back",
    ImportOutcome.LEFT_OUT: "Left alone, for a reason",
    ImportOutcome.REFUSED: "Cannot be read or placed as it is",
}
UNDER_WAY: Final = (SalesImportState.CHECKING, SalesImportState.IMPORTING)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why rows were refused or left out: how many, and what was said of the first of them."""

    code: str
    rows: int
    outcome: str
    message: str
    column: str


def imports_for(user: User) -> QuerySet[SalesImport]:
    """Comp admins and auditors see every import, everybody else their own. The latest first."""
    every = SalesImport.objects.select_related("requested_by", "job", "job__progress").order_by("-pk")
    return every if user.has_role(*SEES_EVERY) else every.filter(requested_by=user)


def maps(kind: str = "") -> QuerySet[ImportMap]:
    """Saved maps by name, of one kind of file or of all."""
    every = ImportMap.objects.select_related("saved_by").order_by("name")
    return every.filter(kind=kind) if kind else every


def told(run: SalesImport) -> list[tuple[ImportOutcome, int]]:
    """Outcomes and how many rows each has; they add up to the rows of the file."""
    return [(outcome, int(run.counts.get(outcome.value, 0))) for outcome in ImportOutcome]


def reasons(run: SalesImport) -> list[Reason]:
    """Why rows were refused or left out, the most frequent first; they add up to those rows. 2 queries.

    Rows that the map itself leaves out are counted and not kept one by one: they are one reason, said last.
    """
    kept = list(
        ImportRow.objects.filter(run=run)
        .values("code", "outcome")
        .annotate(rows=Count("pk"), first=Min("pk"))
        .order_by("-rows", "code")
    )
    shown = ImportRow.objects.in_bulk([row["first"] for row in kept[:MOST_REASONS]])
    found = []
    for row in kept[:MOST_REASONS]:
        first = shown[row["first"]]
        found.append(Reason(row["code"], row["rows"], row["outcome"], first.message, first.column))
    by_map = int(run.counts.get(ImportOutcome.LEFT_OUT, 0)) - sum(
        row["rows"] for row in kept if row["outcome"] == ImportOutcome.LEFT_OUT
    )
    if by_map > 0:
        found.append(Reason("as_the_map_says", by_map, ImportOutcome.LEFT_OUT, LEFT_BY_MAP, ""))
    return found


def rows_of(run: SalesImport) -> QuerySet[ImportRow]:
    """The rows of the report in the order of the file."""
    return ImportRow.objects.filter(run=run).order_by("line", "pk")


def report(run: SalesImport) -> Iterator[list[Any]]:
    """The error report: a head, then line, outcome, reason and the row as it stands in the file. Streams; 1 query."""
    names = [str(column["name"]) for column in run.look.get("columns", [])]
    yield ["Line", "Outcome", "Reason", "What to do", "Column", *names]
    for row in rows_of(run).iterator(chunk_size=2000):
        yield [
            row.line,
            ImportOutcome(row.outcome).label,
            row.code,
            row.message,
            row.column,
            *_wide(row.cells, len(names)),
        ]


def _wide(cells: Sequence[str], width: int) -> Iterable[str]:
    return [*cells, *([""] * (width - len(cells)))]


def offering_names() -> list[str]:
    """What can be sold, for whoever names one by hand. 1 query."""
    live = Offering.objects.filter(publication=Publication.LIVE)
    return list(live.order_by("name").values_list("name", flat=True)[:MOST_NAMES])


def calendars() -> list[FiscalCalendar]:
    return list(FiscalCalendar.objects.order_by("prefix"))


def kinds_of(user: User) -> list[tuple[str, str]]:
    """What this person may import: comp admins every kind, managers deals."""
    if user.has_role(Role.COMP_ADMIN):
        return [(str(value), str(label)) for value, label in ImportKind.choices]
    return [(ImportKind.DEALS.value, ImportKind.DEALS.label)] if user.has_role(Role.MANAGER) else []
