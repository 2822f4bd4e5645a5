"""Some rows of a file, column by column: what their cells hold, and what they can therefore be."""

import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

from config.names import fold
from quotas.importers.layouts import Cell, Layout
from quotas.importers.mapping import NULLS
from quotas.importers.values import EXCEL_SERIAL, WrongValue, date_reader, dates_seen, numbers_seen
from quotas.importers.words import text_of

MOST_WORDS: Final = 40  # a column with more is no list of stages
LOOKED_AT: Final = 20  # cells of a column; there may be 400 columns
DAY_WORDS: Final = frozenset({"date", "day", "time", "on", "at", "starts", "ends", "from", "until"})


def plain(head: str) -> str:
    """A column's name as names are compared: "Deal - Owner", "deal_owner" and "DealOwner" are the same."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", head)
    return fold(re.sub(r"[_\-./:]+", " ", spaced))


class Samples:
    """by_name: columns by their plain names; the first of two alike."""

    def __init__(self, layout: Layout, rows: Sequence[Sequence[Cell]]) -> None:
        self.heads, self.rows = layout.columns, rows
        self.by_name: dict[str, str] = {}
        self._cells: dict[str, list[Cell]] = {}
        for place, head in enumerate(layout.columns):
            self.by_name.setdefault(plain(head), head)
            cells = (row[place] for row in rows if place < len(row))
            self._cells[head] = [cell for cell in cells if (text := text_of(cell)) and text not in NULLS]
        self._fitting: dict[tuple[str, str], bool] = {}

    def cells(self, head: str) -> list[Cell]:
        """What a column says; empty cells left out."""
        return self._cells[head]

    def words(self, head: str) -> list[str]:
        """Each text of a column once, in order."""
        return list(dict.fromkeys(text_of(cell) for cell in self.cells(head)))

    def example(self, head: str) -> str:
        return text_of(self.cells(head)[0])

    def fits(self, kind: str, head: str) -> bool:
        """Whether the cells can be of a kind of field: an amount of days, or a close date of names, cannot. An empty column can."""
        known = self._fitting.get((kind, head))
        if known is None:
            known = self._fitting[kind, head] = not self.cells(head) or self._can_be(kind, head)
        return known

    def _can_be(self, kind: str, head: str) -> bool:
        cells = self.cells(head)[:LOOKED_AT]
        match kind:
            case "date":
                seen = dates_seen(cells)
                named = not DAY_WORDS.isdisjoint(plain(head).split())
                return bool(seen.formats) or (seen.destroyed and named)
            case "decimal" | "whole":
                return bool(numbers_seen(cells).choices)
            case "choice":
                return len(self.words(head)) <= MOST_WORDS
        return True

    def could(self, kind: str, head: str) -> bool:
        """The same, of a column that says something."""
        return (bool(self.cells(head)) or not self.rows) and self.fits(kind, head)

    def unique(self, head: str) -> bool:
        """Whether it tells the rows apart."""
        cells = self.cells(head)
        return bool(cells) and len(cells) == len(self.rows) == len(set(map(text_of, cells)))

    def forms(self, head: str) -> tuple[str, ...]:
        """Formats in which all cells are days, one of those that agree; more than one is ambiguous."""
        cells = self.cells(head)
        # Typed days are the same in every format.
        texts = [cell for cell in cells if not isinstance(cell, date)]
        found: dict[tuple[date | None, ...], str] = {}
        for form in dates_seen(cells).formats:
            read: Callable[[Cell], date | None] = date_reader(form)
            found.setdefault(tuple(read(text) for text in texts), form)
        return tuple(found.values())

    def serial(self, head: str) -> bool:
        """Whether all cells are the numbers that a spreadsheet counts days by."""
        read = date_reader(EXCEL_SERIAL)
        try:
            return all(read(cell) is not None for cell in self.cells(head))
        except WrongValue:
            return False
