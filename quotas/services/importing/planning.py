"""What imports of people and of territories have in common: all rows are held in memory, because any row may be about any other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Protocol, TypeVar

from quotas.importers.tables import Cell, Unreadable
from quotas.models import ImportOutcome
from quotas.services.importing.context import MOST_EXAMPLES, Context
from quotas.services.importing.directory import Named, Register, Unclear
from quotas.services.importing.spans import Spans, Subject

MOST_ROWS: Final = 30_000  # some 5 KB each, with all that is worked out of it
LONGEST: Final = {"rep": 150, "team": 120, "territory": 120, "account": 160}  # characters of a name


class Refused(Exception):
    """A row stays out. field: which one is to blame; message: a sentence that says what to do."""

    def __init__(self, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.field = code, message, field


@dataclass(slots=True, eq=False)
class Row:
    """One row of the file.

    touches  What it changed in the present planning, though later rows may have changed it back.
    """

    line: int
    cells: list[Cell]
    values: dict[str, Any]
    touches: list[tuple[Spans, Subject]] = field(default_factory=list)

    def forget(self) -> None:
        self.touches.clear()

    def hold(self, book: Spans, subject: Subject, day: date, ends: date | None) -> None:
        """Let a fact that says all by being there hold from a day on: to *ends*, else as long as it does already."""
        news = book.put(subject, (day, ends or book.until(subject, day)))
        if ends is not None and book.on(subject, ends) is not None:
            news |= book.clear(subject, (ends, book.until(subject, ends)))
        if news:
            self.touches.append((book, subject))


R = TypeVar("R", bound=Row)


class Planning(Protocol):
    """What the rows come to, taken together. refused: lines that cannot be taken; the others have to be planned again without them."""

    refused: dict[int, Refused]

    def write(self) -> None: ...


def carry_out(
    context: Context,
    *,
    make: Callable[[int, list[Cell], dict[str, Any]], R],
    plan: Callable[[Sequence[R]], Callable[[Sequence[R]], Planning]],
    outcome_of: Callable[[R, bool], str],
    what_of: Callable[[R], str],
) -> None:
    """Read every row, plan them together, refuse what cannot be, write the rest and count it.

    plan        Reads once what is known, for these rows; what it returns plans any part of them.
    outcome_of  Of a row, and whether anything that it touched is not as it was.
    what_of     The row as what it becomes, in a few words.
    Raises      Unreadable for a file of too many rows.
    """
    rows, refused = _read(context, make)
    planned = plan(rows)
    while rows:
        made = planned(rows)
        if not made.refused:
            _tell(context, rows, refused, outcome_of, what_of)
            made.write()
            return
        _refuse(context, rows, made.refused, refused)
        rows = [row for row in rows if row.line not in made.refused]
    _tell(context, rows, refused, outcome_of, what_of)


def attempt(rows: Iterable[R], step: Callable[[R], None], refused: dict[int, Refused]) -> None:
    """Take a step for each row that is not refused yet, and note whom it refuses."""
    for row in rows:
        if row.line in refused:
            continue
        try:
            step(row)
        except Refused as why:
            refused[row.line] = why
        except Unclear as why:
            refused[row.line] = Refused(why.code, why.message)


def named_or_made(
    register: Register, name: str, *, field: str, new: list[Named], next_id: Callable[[], int], create: bool
) -> Named:
    """A team or a territory by its name or slug, where it is missing one to be made. Raises Refused, Unclear."""
    found = register.named(name)
    if found is None:
        if not create:
            raise missing(register.word, name, field)
        fits(name, register.word, field)
        found = register.add(Named(next_id(), "", name))
        new.append(found)
    return found


def fits(name: str, word: str, field: str) -> None:
    if len(name) > LONGEST[word]:
        raise Refused("name_too_long", f"The name of a {word} has at most {LONGEST[word]} characters.", field)


def missing(word: str, name: str, field: str) -> Refused:
    return Refused(
        f"unknown_{word}",
        f"There is no {word} called {name}. Correct it, add it first, or let the import create what is missing.",
        field,
    )


def _read(
    context: Context, make: Callable[[int, list[Cell], dict[str, Any]], R]
) -> tuple[list[R], dict[int, str]]:
    """The rows that can be read, and line to what is wrong with each other."""
    rows: list[R] = []
    refused: dict[int, str] = {}
    for line, cells, values, wrong in context.rows():
        if wrong:
            refused[line] = " ".join(one.message for one in wrong)
            context.refuse(line, cells, wrong[0].code, refused[line], wrong[0].column)
        elif len(rows) == MOST_ROWS:
            raise Unreadable(
                "too_many_rows", f"A file of {context.run.kind} has at most {MOST_ROWS:,} rows: divide it."
            )
        else:
            rows.append(make(line, cells, values))
    return rows, refused


def _refuse(
    context: Context, rows: Iterable[Row], refusals: dict[int, Refused], refused: dict[int, str]
) -> None:
    for row in rows:
        if row.line in refusals:
            why = refusals[row.line]
            refused[row.line] = why.message
            column = context.mapping.columns.get(why.field, "")
            context.refuse(row.line, row.cells, why.code, why.message, column)


def _tell(
    context: Context,
    rows: Sequence[R],
    refused: dict[int, str],
    outcome_of: Callable[[R, bool], str],
    what_of: Callable[[R], str],
) -> None:
    """Count the rows that were taken, and show the first of all."""
    changed: dict[int, set[Subject]] = {}
    examples: list[dict[str, Any]] = [
        {"line": line, "outcome": ImportOutcome.REFUSED.value, "what": "", "problems": [why]}
        for line, why in sorted(refused.items())[:MOST_EXAMPLES]
    ]
    for nth, row in enumerate(rows):
        for book, _subject in row.touches:
            if id(book) not in changed:
                changed[id(book)] = set(book.changes())
        outcome = outcome_of(row, any(subject in changed[id(book)] for book, subject in row.touches))
        context.count(outcome)
        if nth < MOST_EXAMPLES:
            examples.append({"line": row.line, "outcome": outcome, "what": what_of(row), "problems": []})
    for example in sorted(examples, key=lambda example: example["line"]):
        context.example(example)
