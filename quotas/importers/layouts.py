"""What every kind of file has in common: a head, columns, limits, and one message for what cannot be read."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

Cell = str | date | Decimal | None

MOST_COLUMNS: Final = 400
LONGEST_CELL: Final = 100_000
LONGEST_ROW: Final = 1024 * 1024
LONGEST_NAME: Final = 200
LOOKED_AT: Final = 60  # rows in which the head is looked for
LONGEST_FOOTER: Final = 8


class Unreadable(Exception):
    """The file as a whole cannot be read: code is stable, the message is one sentence or two and says what to do."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


@dataclass(frozen=True)
class Layout:
    """How a file is to be read.

    kind      csv, xlsx or jsonl.
    encoding  Of text; delimiter: of CSV; both empty otherwise.
    sheet     The one that is read; sheets: all that can be seen in the workbook.
    columns   Their names, each once.
    head      Line of the head, from 1; 0 in JSON Lines, which have none.
    """

    kind: str
    encoding: str
    delimiter: str
    sheet: str
    sheets: tuple[str, ...]
    columns: tuple[str, ...]
    head: int


def quoted(text: str, longest: int = 60) -> str:
    text = "".join(c if c.isprintable() else " " for c in text[: longest + 1])
    return f"“{text[:longest]}…”" if len(text) > longest else f"“{text}”"


def blank(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def head_among(rows: Sequence[Sequence[Cell]]) -> int:
    """Which of the first rows names the columns: the first that is filled as the table is; titles above it are short.

    rows     None of them blank.
    Returns  Its index.
    """
    filled = [sum(not blank(cell) for cell in row) for row in rows]
    widest = max(filled)
    # The table's own width: of the rows that are more than a title, the one in the middle.
    typical = sorted(n for n in filled if n > widest // 2 or n == widest)
    usual = typical[len(typical) // 2]
    enough = 1 if usual == 1 else max(2, (usual + 1) // 2)
    found = next(i for i, n in enumerate(filled) if n >= enough)
    # A head with most of its names left out is still the head, unless it is as short as a title.
    if found and filled[0] > 2 and len(rows[0]) >= len(rows[found]):
        return 0
    return found


def names_of(head: Sequence[Cell], below: Iterable[Sequence[Cell]]) -> tuple[str, ...]:
    """Names of columns, each once: Column 7 where there is none, “Amount (2)” for the second Amount.

    below   Rows under the head: unnamed columns at the end count only if one of them has something there.
    Raises  Unreadable for too many columns, or a head that has no words.
    """
    names = [
        " ".join((cell.isoformat() if isinstance(cell, date) else str(cell or "")).split()) for cell in head
    ]
    reach = max((i for row in below for i, cell in enumerate(row) if not blank(cell)), default=-1) + 1
    while names and not names[-1] and len(names) > reach:
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise too_many_columns(len(names))
    if not any(c.isalpha() for name in names for c in name):
        raise Unreadable(
            "no_head",
            "The first row names no columns: it has only numbers or days. Put a row with the names of the columns above it.",
        )
    taken: set[str] = set()
    found = []
    for number, name in enumerate(names, start=1):
        name = name[:LONGEST_NAME] or f"Column {number}"
        unique, times = name, 1
        while unique.casefold() in taken:
            times += 1
            unique = f"{name} ({times})"
        taken.add(unique.casefold())
        found.append(unique)
    return tuple(found)


def too_many_columns(number: int) -> Unreadable:
    return Unreadable(
        "too_many_columns",
        f"The file has {number:,} columns; at most {MOST_COLUMNS} are read. Export only the columns that are needed.",
    )


def no_rows(what: str = "file") -> Unreadable:
    return Unreadable(
        "no_rows", f"The {what} has the names of columns, and no rows below them. There is nothing to import."
    )


def empty(what: str = "file") -> Unreadable:
    return Unreadable("empty", f"The {what} is empty. Export it again.")


_FOOTER: Final = re.compile(
    r"\s*(?:copyright\s+(?:\(c\)|©)|confidential information\b.*do not distribute\b)", re.IGNORECASE
)


class Footer:
    """Holds back rows of a single cell until it is known whether the table goes on below them.

    The last ones are dropped where one of them can be nothing but what a report prints below its table; a row that only
    might be is a row of the table, for its reader to refuse.
    """

    def __init__(self, wide: int) -> None:
        self.wide = wide
        self.held: list[tuple[int, list[Cell]]] = []

    def pass_on(self, line: int, cells: list[Cell], filler: Cell) -> list[tuple[int, list[Cell]]]:
        """The rows that are rows for certain, in order. *cells* is made as wide as the columns, what is blank behind them cut."""
        if all(blank(cell) for cell in cells):
            return []
        while len(cells) > self.wide and blank(cells[-1]):
            cells.pop()
        cells.extend([filler] * (self.wide - len(cells)))
        self.held.append((line, cells))
        single = self.wide > 2 and not blank(cells[0]) and all(blank(cell) for cell in cells[1:])
        if single and len(self.held) <= LONGEST_FOOTER:
            return []
        certain, self.held = self.held, []
        return certain

    def rest(self) -> list[tuple[int, list[Cell]]]:
        """At the end of the table."""
        if any(isinstance(cells[0], str) and _FOOTER.match(cells[0]) for _line, cells in self.held):
            return []
        return self.held
