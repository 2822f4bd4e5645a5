"""What every kind of import is given: the rows as the map reads them, and where to say what became of each."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, Final

from django.db import connection

from accounts.models import User
from config import bulk
from config.slices import in_batches
from quotas.importers.maps import ImportMapping, Wrong, bind
from quotas.importers.tables import Cell, layout_of, rows
from quotas.models import FiscalCalendar, ImportOutcome, ImportRow, SalesImport
from quotas.services.importing.creating import Creator
from quotas.services.importing.options import Options

MOST_EXAMPLES: Final = 10
SPOOLED: Final = 8 * 1024**2
SEEN: Final = "import_seen"  # a table of the session, for as long as the transaction
A_REPORT: Final = 5_000  # rows of the report that are written at a time


def _spool() -> Any:
    return SpooledTemporaryFile(SPOOLED, "w+", encoding="utf-8")


@dataclass
class Context:
    """One reading of one file. Nothing here commits: who made it decides what becomes of the transaction."""

    run: SalesImport
    file: BinaryIO
    mapping: ImportMapping
    options: Options
    by: User
    at: datetime
    today: date
    dry_run: bool
    calendar: FiscalCalendar | None
    creator: Creator
    tell: Callable[[int, int | None], None] = lambda done, total: None
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)
    credit: dict[str, Any] = field(default_factory=dict)
    read: int = 0
    without_id: int = 0  # rows of deals that nobody can tell apart
    _report: Any = field(default_factory=_spool)

    def rows(self) -> Iterator[tuple[int, list[Cell], dict[str, Any], list[Wrong]]]:
        """The line where a row begins, its cells, what the map makes of them by field, and what it cannot read.

        Raises Unreadable about the whole file, WrongMap for a column that is not there.
        """
        mapping = self.mapping
        layout = layout_of(
            self.file,
            file_name=self.run.file_name,
            encoding=mapping.encoding,
            delimiter=mapping.delimiter,
            sheet=mapping.sheet,
        )
        if not self.run.look:  # from the command line; the report names the columns
            self.run.look = {"columns": [{"name": name} for name in layout.columns]}
        reader = bind(mapping, layout)
        width = len(layout.columns)
        for line, cells in rows(self.file, layout):
            self.read += 1
            if not self.read % 500:
                self.tell(self.read, self._expected())
            values, wrong = reader.read(cells)
            if len(cells) > width:
                wrong = [
                    *wrong,
                    Wrong(
                        "", "", "too_many_cells", f"The row has {len(cells)} cells, the head {width} columns."
                    ),
                ]
            yield line, cells, values, wrong

    def _expected(self) -> int | None:
        """How many rows there will be: known from the last check, else by how much of the file they took so far."""
        if self.run.rows:
            return self.run.rows
        with suppress(OSError, ValueError):
            taken = self.file.tell()
            return self.read * self.run.bytes // taken if taken else None
        return None

    def count(self, outcome: str, n: int = 1) -> None:
        self.counts[outcome] += n

    def refuse(
        self,
        line: int,
        cells: Sequence[Cell],
        code: str,
        message: str,
        column: str = "",
        external_id: str = "",
    ) -> None:
        """Keep a row out and say why, in the report too."""
        self._put(ImportOutcome.REFUSED, line, cells, code, message, column, external_id)

    def leave_out(
        self,
        line: int,
        cells: Sequence[Cell],
        code: str,
        message: str,
        column: str = "",
        external_id: str = "",
    ) -> None:
        """The same for a row that is right, and that nothing is to be done with."""
        self._put(ImportOutcome.LEFT_OUT, line, cells, code, message, column, external_id)

    def example(self, example: dict[str, Any]) -> None:
        """One of the first rows as what it becomes, for the preview."""
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(example)

    def _put(
        self,
        outcome: str,
        line: int,
        cells: Sequence[Cell],
        code: str,
        message: str,
        column: str,
        external_id: str,
    ) -> None:
        self.counts[outcome] += 1
        self.reasons[code] += 1
        texts = ["" if cell is None else str(cell).replace("\x00", "") for cell in cells]
        row = [line, external_id[:80], outcome, code[:60], message[:500], column[:200], texts]
        self._report.write(json.dumps(row) + "\n")

    def write_report(self) -> None:
        """Replace what the last reading reported by what this one did."""
        ImportRow.objects.filter(run=self.run).delete()
        self._report.seek(0)
        columns = ("run_id", "line", "external_id", "outcome", "code", "message", "column", "cells")
        for slice_ in in_batches(self._report, A_REPORT):
            bulk.copy(ImportRow, columns, ([self.run.pk, *json.loads(line)] for line in slice_))

    def close(self) -> None:
        self._report.close()


class Seen:
    """Keys of a file of any size: which of them came before is known by the database, not kept in memory."""

    def __init__(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {SEEN}")
            cursor.execute(f"CREATE TEMPORARY TABLE {SEEN} (key text PRIMARY KEY) ON COMMIT DROP")

    def before(self, keys: Sequence[str]) -> set[str]:
        """Those of *keys*, each given once, that came in an earlier call; remembers the others. 1 statement."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {SEEN} SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING RETURNING key",
                [list(keys)],
            )
            new = {key for (key,) in cursor.fetchall()}
        return {key for key in keys if key not in new}
