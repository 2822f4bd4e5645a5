"""The rows of a file as deals: which rows belong together, and what is decided about them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from quotas.importers.maps import Wrong
from quotas.importers.tables import Cell
from quotas.models import Deal, SourceRecord, SourceState
from quotas.services.booking import MOST_LINES, DealDraft

Read = tuple[int, list[Cell], dict[str, Any], list[Wrong]]
"""A row as Context.rows gives it: line, cells, values by field, what is wrong with them."""


@dataclass(slots=True)
class Row:
    line: int
    cells: list[Cell]
    values: dict[str, Any]
    wrong: list[Wrong]


@dataclass(slots=True)
class Sale:
    """The rows of one deal, and what is to become of them."""

    rows: list[Row]
    external_id: str
    stage: str
    digest: bytes = b""
    record: SourceRecord | None = None
    deal: Deal | None = None
    deal_id: int | None = None
    draft: DealDraft | None = None
    problem: Wrong | None = None
    outcome: str = ""
    todo: str = ""
    waits: str = ""
    waiting: bool = False  # an amendment of it waits
    goes_on: bool = False  # that amendment is what the source says still
    takes_back: bool = False  # that amendment is not what the source says any more
    foreign: bool = False  # a manager's file has it, and it is another team's

    @property
    def first(self) -> dict[str, Any]:
        return self.rows[0].values

    @property
    def wins(self) -> bool:
        return self.stage in ("approved", "submitted")

    @property
    def same_row(self) -> bool:
        """Whether the source says what it said last, and nothing stood in the way of that."""
        record = self.record
        return (
            record is not None
            and bytes(record.digest) == self.digest
            and not record.code
            and record.state != SourceState.GONE
        )

    @property
    def moves(self) -> bool:
        """Whether its deal may be changed by it."""
        return not self.outcome or bool(self.todo)

    def refuse(self, code: str, message: str, field: str = "", column: str = "") -> None:
        if self.problem is None:
            self.problem = Wrong(field, column, code, message)

    @property
    def version(self) -> str:
        """The source's own version, so that it sorts as text: instants as they stand, numbers led by zeros."""
        version = str(self.first.get("changed_on") or "")
        return version.zfill(40) if version.isdecimal() else version[:40]


def sales_of(rows: Iterable[Read], *, together: bool) -> Iterator[Sale]:
    """Each row a deal of its own; *together*, those of one id that follow each other are lines of one."""
    held: Sale | None = None
    for line, cells, values, wrong in rows:
        row = Row(line, cells, values, wrong)
        external_id = values.get("external_id") or ""
        # One line more than a deal may have is refused; a whole file of one id is not gathered for that.
        follows = held is not None and together and external_id and held.external_id == external_id
        if held is not None and follows and len(held.rows) <= MOST_LINES:
            held.rows.append(row)
            continue
        if held is not None:
            yield held
        held = Sale([row], external_id, values.get("stage") or "")
    if held is not None:
        yield held
