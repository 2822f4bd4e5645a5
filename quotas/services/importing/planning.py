"""What imports of people and of territories have in common: all rows are held in memory, because any row may be about any other."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Generic, Protocol, TypeVar

from django.db import transaction

from config.names import fold
from quotas.importers.tables import Cell, Unreadable
from quotas.models import ImportOutcome
from quotas.services.importing.context import MOST_EXAMPLES, Context
from quotas.services.importing.directory import Named, Register
from quotas.services.importing.refused import Refused
from quotas.services.importing.spans import LAST, Spans, Subject

MOST_ROWS: Final = 30_000  # some 5 KB each, with all that is worked out of it
LONGEST: Final = {"rep": 150, "team": 120, "territory": 120, "account": 160}  # characters of a name

FEW: Final = (
    3  # times that only those rows are taken out which a second reading finds odd, not also those around them
)
PEOPLE: Final = ("rep", "employee_no", "email", "slug", "manager", "house_rep")
PLACES: Final = ("team", "parent_team", "region", "territory", "account")
CONTRADICTED: Final = Refused(
    "rows_contradict",
    "Rows of this file contradict each other here: what one says is undone by another, or by what follows from it. Say of each"
    " person one team and one manager for a day, and of each team one place.",
)


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

    def hold(self, book: Spans, subject: Subject, day: date, ends: date | None, until: date = LAST) -> None:
        """Let a fact that says all by being there hold from a day on: to *ends*, else as long as it does already.

        until  From when on another row says what holds.
        """
        news = book.put(subject, (day, ends or book.until(subject, day)))
        if ends is not None and ends < until and book.on(subject, ends) is not None:
            news |= book.clear(subject, (ends, min(until, book.until(subject, ends))))
        if news:
            self.touches.append((book, subject))


R = TypeVar("R", bound=Row)


class Planning(Protocol):
    """What the rows come to, taken together. refused: lines that cannot be taken; the others have to be planned again without them."""

    refused: dict[int, Refused]

    @property
    def news(self) -> bool:
        """Whether there is anything to write."""

    def write(self) -> dict[int, Refused]:
        """Make what is new and write what differs. Returns the lines that name what cannot be made: then it is to be rolled back."""

    def follow(self) -> None:
        """Start the recredit run that follows, once it stays written."""


def carry_out(
    context: Context,
    *,
    make: Callable[[int, list[Cell], dict[str, Any]], R],
    plan: Callable[[Sequence[R]], Callable[[Sequence[R]], Planning]],
    outcome_of: Callable[[R, bool], str],
    what_of: Callable[[R], str],
) -> None:
    """Read every row, plan them together, refuse what cannot be, write the rest and count it.

    What is written is planned a second time: a file that would come out differently then contradicts itself, and the rows
    that do are refused too. So the same file again changes nothing, whatever it says.

    plan        Reads once what is known, for these rows; what it returns plans any part of them.
    outcome_of  Of a row, and whether anything that it touched is not as it was.
    what_of     The row as what it becomes, in a few words.
    Raises      Unreadable for a file of too many rows.
    """
    rows, unreadable = _read(context, make)
    desk = _Desk(context, rows, plan, outcome_of, what_of)
    done = desk.settle()
    if done.made.news:
        done.made.follow()
    _tell(context, rows, unreadable, done)


@dataclass
class _Done(Generic[R]):
    """A plan and what it makes of each row. said: of the first, in a few words."""

    made: Planning
    refused: dict[int, Refused]
    taken: list[tuple[R, str]]
    said: list[str]

    @property
    def moved(self) -> set[int]:
        """Lines that find something to change."""
        return {row.line for row, outcome in self.taken if outcome != ImportOutcome.UNCHANGED}


@dataclass
class _Desk(Generic[R]):
    """The rows of one file, on their way from what they say to what is written."""

    context: Context
    rows: Sequence[R]
    plan: Callable[[Sequence[R]], Callable[[Sequence[R]], Planning]]
    outcome_of: Callable[[R, bool], str]
    what_of: Callable[[R], str]

    def settle(self, *, again: bool = True) -> _Done[R]:
        """Write what can be taken together and stays as it is when it is read again.

        again  Whether a file of which rows were kept out is read again as a whole, which settles it anew.
        """
        planned = self.plan(self.rows)
        kept_out: dict[int, Refused] = {}
        attempts = 0
        while True:
            attempts += 1
            done = self._agree(planned, kept_out)
            if not done.made.news:
                return done
            before, counts = transaction.savepoint(), self.context.creator.counts.copy()
            wrong = done.made.write()
            if not wrong and (odd := self._odd(done, kept_out, again=again)):
                wrong = dict.fromkeys(self._around(odd, done, attempts), CONTRADICTED)
            if not wrong:
                transaction.savepoint_commit(before)
                return done
            transaction.savepoint_rollback(before)
            self.context.creator.forget(counts)
            kept_out |= wrong

    def _agree(self, planned: Callable[[Sequence[R]], Planning], kept_out: Mapping[int, Refused]) -> _Done[R]:
        """A plan of those rows that can be taken together, and why the others cannot."""
        refused = dict(kept_out)
        while True:
            taken = [row for row in self.rows if row.line not in refused]
            made = planned(taken)
            if not made.refused:
                break
            refused |= made.refused
        said = [self.what_of(row) for row in taken[:MOST_EXAMPLES]]
        return _Done(made, refused, list(zip(taken, self._outcomes(taken), strict=True)), said)

    def _outcomes(self, rows: Sequence[R]) -> Iterator[str]:
        books = {id(book): book for row in rows for book, _subject in row.touches}
        changed = {key: set(book.changes()) for key, book in books.items()}
        for row in rows:
            yield self.outcome_of(row, any(subject in changed[id(book)] for book, subject in row.touches))

    def _odd(self, done: _Done[R], kept_out: Mapping[int, Refused], *, again: bool) -> set[int]:
        """Lines that would be refused or change something, where they did not, if the file were read again as things stand now."""
        self.context.creator.forget()
        found = self._agree(self.plan(self.rows), kept_out)
        if not found.made.news and again and kept_out:
            before, counts = transaction.savepoint(), self.context.creator.counts.copy()
            found = self.settle(again=False)
            transaction.savepoint_rollback(before)
            self.context.creator.forget(counts)
        lost = found.refused.keys() - done.refused.keys()
        return lost | found.moved if lost or found.made.news else set()

    def _around(self, odd: Set[int], done: _Done[R], attempts: int) -> set[int]:
        """Which rows are kept out for it: themselves, else those around them, whose taking makes them odd; in the end, all."""
        taken = {row.line for row, _outcome in done.taken}
        if attempts <= FEW and not odd.isdisjoint(taken):
            return taken & odd
        for fields in (PEOPLE, (*PEOPLE, *PLACES)):
            names = {name for row in self.rows if row.line in odd for name in _names(row, fields)}
            around = {row.line for row in self.rows if not names.isdisjoint(_names(row, fields))} & taken
            if around and attempts <= 2 * FEW:
                return around
        return taken


def _names(row: Row, fields: Iterable[str]) -> Iterator[str]:
    return (fold(text) for name in fields if (text := row.values.get(name)))


def attempt(rows: Iterable[R], step: Callable[[R], None], refused: dict[int, Refused]) -> None:
    """Take a step for each row that is not refused yet, and note whom it refuses."""
    for row in rows:
        if row.line in refused:
            continue
        try:
            step(row)
        except Refused as why:
            refused[row.line] = why


def named_or_made(
    register: Register, name: str, *, field: str, new: list[Named], next_id: Callable[[], int], create: bool
) -> Named:
    """A team or a territory by its name or slug, where it is missing one to be made. Raises Refused."""
    found = register.named(name)
    if found is None:
        if not create:
            raise missing(register.word, name, field)
        fits(name, register.word, field)
        found = register.add(Named(next_id(), "", name))
        new.append(found)
    return found


def make_named(
    new: Sequence[Named],
    make: Callable[[list[str]], Mapping[str, int]],
    refused: Mapping[str, tuple[str, str]],
) -> tuple[dict[int, int], dict[int, tuple[str, str]]]:
    """Ids below zero to those of what was made for them, and to what is wrong with those whose name *make* has put into *refused*."""
    if not new:
        return {}, {}
    ids = make([one.name for one in new])
    made = {one.id: ids[one.name] for one in new if one.name in ids}
    return made, {one.id: refused[one.name] for one in new if one.name not in ids}


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


def _tell(context: Context, rows: Sequence[R], unreadable: Mapping[int, str], done: _Done[R]) -> None:
    """Report what was refused, count what was taken, and show the first of all."""
    for row in rows:
        if (why := done.refused.get(row.line)) is not None:
            column = context.mapping.columns.get(why.field, "")
            context.refuse(row.line, row.cells, why.code, why.message, column)
    for _row, outcome in done.taken:
        context.count(outcome)
    problems = {**unreadable} | {line: why.message for line, why in done.refused.items()}
    examples: list[dict[str, Any]] = [
        {"line": line, "outcome": ImportOutcome.REFUSED.value, "what": "", "problems": [why]}
        for line, why in sorted(problems.items())[:MOST_EXAMPLES]
    ]
    examples += [
        {"line": row.line, "outcome": outcome, "what": what, "problems": []}
        for (row, outcome), what in zip(done.taken, done.said, strict=False)
    ]
    for example in sorted(examples, key=lambda example: example["line"]):
        context.example(example)
