"""Dated facts of one kind, changed in memory by a whole file and written at the end: only what really differs, nothing overwritten.

A span is half-open; here date.min and date.max stand for no bound, so that days compare. Ids below zero are of rows that are
yet to be made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Final

from django.db import models
from django.db.backends.postgresql.psycopg_any import DateRange

from config import bulk

FIRST: Final = date.min
LAST: Final = date.max

Subject = tuple[int, ...]
Value = tuple[Any, ...]
Days = tuple[date, date]
Changes = Mapping[Subject, Sequence[tuple[date, date, Value | None, Value | None]]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A value over [starts, ends). row: the id of the row that says so; below zero that of the row it is left of; 0 where none does."""

    starts: date
    ends: date
    value: Value
    row: int = 0


class Spans:
    """What is in force of one kind of dated fact, and what it is to become.

    of    Attributes that say whom a row is about; rows of one subject do not overlap.
    says  Attributes that say what holds for it; none where the row says all by being there.
    """

    def __init__(self, rows: "models.QuerySet[Any]", *, of: Sequence[str], says: Sequence[str] = ()) -> None:
        """Reads and locks the rows of *rows* that are in force. 1 query."""
        self._model, self._of, self._says = rows.model, tuple(of), tuple(says)
        self._known: dict[Subject, tuple[Piece, ...]] = {}
        found = rows.filter(superseded_at=None).select_for_update(of=("self",)).order_by("pk")
        for pk, effective, *rest in found.values_list("pk", "effective", *of, *says):
            if not effective.isempty:
                subject, value = tuple(rest[: len(self._of)]), tuple(rest[len(self._of) :])
                piece = Piece(effective.lower or FIRST, effective.upper or LAST, value, pk)
                self._known[subject] = (*self._known.get(subject, ()), piece)
        self._now: dict[Subject, tuple[Piece, ...]] = {}

    def forget(self) -> None:
        """Back to what is in force."""
        self._now.clear()

    def of(self, subject: Subject) -> tuple[Piece, ...]:
        return self._now[subject] if subject in self._now else self._known.get(subject, ())

    def on(self, subject: Subject, day: date) -> Value | None:
        """What holds for it on a day; None where nothing does."""
        return next((p.value for p in self.of(subject) if p.starts <= day < p.ends), None)

    def until(self, subject: Subject, day: date) -> date:
        """How long a change from a day on holds that names no end: as long as what it takes the place of, else until the next."""
        for piece in self.of(subject):
            if piece.starts <= day < piece.ends:
                return piece.ends
        return min((p.starts for p in self.of(subject) if p.starts > day), default=LAST)

    def put(self, subject: Subject, days: Days, value: Value = ()) -> bool:
        """Let *value* hold on all of these days. Answers whether that is news."""
        reached = days[0]
        for piece in sorted(self.of(subject), key=lambda p: p.starts):
            if piece.value == value and piece.starts <= reached:
                reached = max(reached, piece.ends)
        if reached >= days[1]:
            return False
        self._now[subject] = (*self._less(subject, days), Piece(*days, value))
        return True

    def clear(self, subject: Subject, days: Days) -> bool:
        """Let nothing hold on these days. Answers whether anything did."""
        if not any(p.starts < days[1] and days[0] < p.ends for p in self.of(subject)):
            return False
        self._now[subject] = tuple(self._less(subject, days))
        return True

    def _less(self, subject: Subject, days: Days) -> Iterator[Piece]:
        for piece in self.of(subject):
            if piece.ends <= days[0] or days[1] <= piece.starts:
                yield piece
                continue
            if piece.starts < days[0]:
                yield Piece(piece.starts, days[0], piece.value, -abs(piece.row))
            if days[1] < piece.ends:
                yield Piece(days[1], piece.ends, piece.value, -abs(piece.row))

    def is_new(self, subject: Subject) -> bool:
        """Whether nothing is in force of it, on no day."""
        return subject not in self._known

    def subjects(self) -> list[Subject]:
        """Of what something is in force, on some day."""
        return list(self._known)

    def changes(self) -> Changes:
        """Whatever differs from what is in force: from, to before, what holds now, what is to hold."""
        found = {}
        for subject, pieces in self._now.items():
            before = self._known.get(subject, ())
            marks = sorted({day for p in (*before, *pieces) for day in (p.starts, p.ends)})
            parts = []
            for starts, ends in pairwise(marks):
                old, new = _on(before, starts), _on(pieces, starts)
                if old != new:
                    parts.append((starts, ends, old, new))
            if parts:
                found[subject] = parts
        return found

    def write(self, at: datetime, made: Mapping[int, int]) -> None:
        """Supersede what no longer holds as it stands and write what holds instead. 2 statements.

        made  Ids below zero to those of the rows that were made for them.
        """
        gone, rows = [], []
        for subject in self.changes():
            kept = {piece.row for piece in self._now[subject] if piece.row > 0}
            gone += [piece.row for piece in self._known.get(subject, ()) if piece.row not in kept]
            for piece in self._now[subject]:
                if piece.row <= 0:
                    said = dict(zip((*self._of, *self._says), (*subject, *piece.value), strict=True))
                    real = {
                        name: made[value] if isinstance(value, int) and value < 0 else value
                        for name, value in said.items()
                    }
                    rows.append(
                        self._model(**real, effective=_range(piece.starts, piece.ends), recorded_at=at)
                    )
        if gone:
            self._model._default_manager.filter(pk__in=gone).update(superseded_at=at)
        if rows:
            bulk.insert(rows)


def _on(pieces: Sequence[Piece], day: date) -> Value | None:
    return next((p.value for p in pieces if p.starts <= day < p.ends), None)


def _range(starts: date, ends: date) -> DateRange:
    return DateRange(None if starts == FIRST else starts, None if ends == LAST else ends)
