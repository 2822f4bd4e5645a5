"""Quotas out of a file, long (a row each) or wide (a column a period): what differs becomes a new version.

A cell without an amount says nothing; a zero is a target of zero. Where a file gives every month of a quarter, every quarter of
a half or both halves of a year, and no row of its own for the longer one, that is set as their sum.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from config import house as formats
from config.names import fold
from config.slices import in_batches
from quotas.importers.tables import Cell, Unreadable
from quotas.importers.values import scaled
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    Grain,
    ImportOutcome,
    Measure,
    Period,
    PeriodState,
    ValueBasis,
)
from quotas.services.importing.context import MOST_EXAMPLES, Context
from quotas.services.importing.creating import RepFacts
from quotas.services.importing.directory import People
from quotas.services.importing.planning import fits, missing
from quotas.services.importing.refused import Refused
from quotas.services.quota_versions import (
    InForce,
    Key,
    NewVersion,
    differs,
    versions_in_force,
    wait_for_others,
    write_versions,
)

AT_ONCE: Final = 2_000  # rows that are looked up and written together
MOST_TARGETS: Final = (
    400_000  # that a file may give: whether it gives one twice, and their sums, is known in memory
)
PARENTS: Final = ((Grain.MONTH, "quarter_id"), (Grain.QUARTER, "half_id"), (Grain.HALF, "year_id"))

Whose = tuple[int, int]  # rep and team, one of them 0


@dataclass(slots=True, eq=False)
class _Row:
    line: int
    cells: list[Cell]
    values: dict[str, Any]
    targets: dict[Key, NewVersion] = field(default_factory=dict)
    column: str = ""
    refused: Refused | None = None
    left_out: Refused | None = None
    outcome: str = ""


def run_quotas(context: Context) -> None:
    """Targets of reps and teams. Raises Unreadable where there is no calendar or no measure, or the file gives too many."""
    wait_for_others()
    desk = _Desk(context)
    for batch in in_batches(desk.readable(), AT_ONCE):
        desk.take(batch)
    desk.add_up()


class _Desk:
    """One reading of one file. given: every target that it gave so far, for sums and for what it gives twice."""

    def __init__(self, context: Context) -> None:
        self.context = context
        if context.calendar is None:
            raise Unreadable("no_calendar", "There is no fiscal calendar: open its years first.")
        self.periods = {p.pk: p for p in Period.objects.filter(calendar=context.calendar)}
        self.by_name = {fold(p.name): p for p in self.periods.values()}
        self.by_days = {(p.starts, p.ends): p for p in self.periods.values()}
        self.months = {p.starts: p for p in self.periods.values() if p.grain == Grain.MONTH}
        self.open = self._open()
        self.measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
        if not self.measures:
            raise Unreadable("no_measure", "There is no measure to set quotas for: publish a plan first.")
        self.by_measure = {
            fold(text): measure
            for measure in reversed(self.measures)
            for text in (measure.slug, measure.name)
        }
        self.people = People(People.stored())
        self.made_reps: dict[str, int] = {}
        self.teams: dict[str, int] = {}
        self.given: dict[Key, int] = {}
        self.whole: dict[Key, int] = {}

    def _open(self) -> set[int]:
        """Ids of the periods in which a month is not closed."""
        found = set()
        for month in self.months.values():
            if month.state not in (PeriodState.CLOSING, PeriodState.CLOSED):
                found |= {month.pk, month.quarter_id, month.half_id, month.year_id}
        return {pk for pk in found if pk is not None}

    def readable(self) -> Iterator[_Row]:
        for line, cells, values, wrong in self.context.rows():
            row = _Row(line, cells, values)
            if wrong:
                message = " ".join(one.message for one in wrong)
                row.refused, row.column = Refused(wrong[0].code, message), wrong[0].column
            yield row

    # A batch of rows.

    def take(self, batch: Sequence[_Row]) -> None:
        """Read, compare and write some rows. A fixed number of statements."""
        self._make_missing([row for row in batch if row.refused is None])
        for row in batch:
            if row.refused is None:
                self._read(row)
        known = versions_in_force({key for row in batch if row.refused is None for key in row.targets})
        written: dict[Key, NewVersion] = {}
        for row in batch:
            if row.refused is None and row.left_out is None:
                self._compare(row, known, written)
        self._write(written, known)
        for row in batch:
            self._tell(row)

    def _read(self, row: _Row) -> None:
        said = row.values
        try:
            rep_id, team_id = self._whose(said)
            measure = self._measure(said)
            found: dict[Key, NewVersion] = {}
            for period, amount in self._asked(said):
                key = measure.pk, period.pk, rep_id, team_id
                if key in found:
                    raise Refused("given_twice", f"The row gives {period.name} twice.")
                found[key] = self._target(said, period, measure, amount)
            if not found:
                row.left_out = Refused("no_amount", "The row has no amount.", "amount")
            row.targets = found
        except Refused as why:
            row.refused = why

    def _asked(self, said: Mapping[str, Any]) -> list[tuple[Period, Decimal]]:
        """The periods that a row gives an amount for."""
        if "targets" in said:
            return [(self._period(name, ""), amount) for name, amount in said["targets"]]
        if said["amount"] is None:
            return []
        return [(self._period_of(said), said["amount"])]

    def _period_of(self, said: Mapping[str, Any]) -> Period:
        if said["period"]:
            return self._period(said["period"], "period")
        first, last = said["period_start"], said["period_end"]
        if first is None or last is None:
            raise Refused("no_period", "Name the period, or give its first and its last day.", "period")
        found = self.by_days.get((first, last + timedelta(days=1))) or self.by_days.get((first, last))
        if found is None:
            raise Refused(
                "unknown_period",
                f"No period of {self.context.calendar} is from {formats.day(first)} to {formats.day(last)}. {self._advice()}",
                "period_start",
            )
        return found

    def _period(self, text: str, field: str) -> Period:
        """By its name, else a month by its first day."""
        found = self.by_name.get(fold(text))
        if found is None:
            try:
                found = self.months.get(date.fromisoformat(text))
            except ValueError:
                found = None
        if found is None:
            raise Refused(
                "unknown_period", f"{self.context.calendar} has no period {text}. {self._advice()}", field
            )
        return found

    @staticmethod
    def _advice() -> str:
        return "Open its year first, on the page of periods or with manage.py open_years, or name another calendar in the map."

    def _target(
        self, said: Mapping[str, Any], period: Period, measure: Measure, amount: Decimal
    ) -> NewVersion:
        starts = said["starts"]
        if amount < 0:
            raise Refused(
                "quota_negative", f"A quota is not negative: {period.name} has {amount:f}.", "amount"
            )
        exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
        minor = scaled(amount, exponent)
        if minor > LARGEST_AMOUNT_MINOR:
            raise Refused("amount_too_large", f"{amount:f} is more than a quota can be.", "amount")
        if starts is not None and not period.starts <= starts < period.ends:
            raise Refused("starts_outside", f"{formats.day(starts)} is not a day of {period.name}.", "starts")
        return NewVersion(minor, None if starts == period.starts else starts, said["method"] or "")

    # Whose it is, and what it measures.

    def _whose(self, said: Mapping[str, Any]) -> Whose:
        """The rep's where one is named; the team beside the name says where the rep is."""
        if name := said["rep"]:
            person = self.people.named(name)
            if person is not None:
                return person.id, 0
            if name in self.made_reps:
                return self.made_reps[name], 0
            raise self._not_made(name, "rep")
        if name := said["team"]:
            team_id = self._team(name)
            if team_id is None:
                raise self._not_made(name, "team")
            return 0, team_id
        raise Refused("nobody_named", "Name the rep or the team whose quota it is.", "rep")

    def _not_made(self, name: str, word: str) -> Refused:
        """Why a rep or a team is not there, though it may have been asked for."""
        if name in self.context.creator.refused:
            return Refused(*self.context.creator.refused[name], word)
        return missing(word, name, word)

    def _team(self, name: str) -> int | None:
        if name not in self.teams:
            tree, calendar = self.context.creator.tree, self.context.calendar
            try:
                found = tree.find(name, calendar.pk if calendar else None)
            except Refused as why:
                raise Refused(*why.problem, "team") from why
            if found is None:
                return None
            self.teams[name] = found
        return self.teams[name]

    def _make_missing(self, rows: Sequence[_Row]) -> None:
        """Make the reps and teams that these rows name and nobody knows, if that was asked for."""
        if not self.context.options.create_missing:
            return
        reps: dict[str, RepFacts] = {}
        teams: set[str] = set()
        for row in rows:
            rep, team = row.values["rep"], row.values["team"]
            try:
                if rep and rep not in self.made_reps and self.people.named(rep) is None:
                    fits(rep, "rep", "rep")
                    reps.setdefault(rep, RepFacts(team=team or ""))
                elif team and not rep and self._team(team) is None:
                    fits(team, "team", "team")
                    teams.add(team)
            except Refused as why:
                row.refused = why
        if reps:
            self.made_reps |= self.context.creator.reps(reps)
        if teams:
            self.teams |= self.context.creator.teams(teams)

    def _measure(self, said: Mapping[str, Any]) -> Measure:
        name, currency = said["measure"], said["currency"]
        if name:
            found = self.by_measure.get(fold(name))
            if found is None:
                known = ", ".join(measure.name for measure in self.measures[:10])
                raise Refused("unknown_measure", f"There is no measure {name}: there are {known}.", "measure")
            if currency and found.currency_id and found.currency_id != currency:
                raise Refused(
                    "other_currency",
                    f"{found.name} is measured in {found.currency_id}, not in {currency}.",
                    "currency",
                )
            return found
        fitting = [
            measure
            for measure in self.measures
            if measure.basis == ValueBasis.CONTRACT_VALUE and currency in (None, measure.currency_id)
        ]
        if not fitting:
            raise Refused(
                "no_measure",
                f"No measure counts contract value{f' in {currency}' if currency else ''}: name the measure.",
                "measure",
            )
        return fitting[0]

    # What is in force, what is to be.

    def _compare(self, row: _Row, known: Mapping[Key, InForce], written: dict[Key, NewVersion]) -> None:
        """Decide what becomes of a row: as a whole, so that nothing of a refused one is written."""
        news: dict[Key, NewVersion] = {}
        for key, target in row.targets.items():
            period = self.periods[key[1]]
            before = self.given.get(key)
            if before is not None and (before != target.amount_minor or target.starts):
                row.refused = Refused(
                    "given_twice",
                    f"An earlier row of the file gives another quota for {period.name}.",
                    "amount",
                )
                return
            old = known.get(key)
            if before is None and (old is None or differs(target, old)):
                if key[1] not in self.open:
                    row.refused = Refused(
                        "period_closed", f"{period.name} is closed: its quotas stay as they are.", "period"
                    )
                    return
                news[key] = target
        if len(self.given) + len(row.targets) > MOST_TARGETS:
            raise Unreadable("too_many_rows", f"A file has at most {MOST_TARGETS:,} quotas: divide it.")
        for key, target in row.targets.items():
            self.given.setdefault(key, target.amount_minor)
            if target.starts is None:
                self.whole.setdefault(key, target.amount_minor)
        written.update(news)
        row.outcome = (
            ImportOutcome.UNCHANGED.value
            if not news
            else ImportOutcome.CHANGED.value
            if any(key in known for key in news)
            else ImportOutcome.NEW.value
        )

    def _write(self, written: Mapping[Key, NewVersion], known: Mapping[Key, InForce]) -> None:
        write_versions(written, known, by_id=self.context.by.pk, at=self.context.at)

    # Sums.

    def add_up(self) -> None:
        """Set longer periods that the file gives in full by their parts, and not themselves."""
        for grain, above in PARENTS:
            parts: dict[int, set[int]] = defaultdict(set)
            for period in self.periods.values():
                if period.grain == grain and getattr(period, above) is not None:
                    parts[getattr(period, above)].add(period.pk)
            sums: dict[Key, list[int]] = defaultdict(list)
            for (measure_id, period_id, rep_id, team_id), amount in self.whole.items():
                period = self.periods[period_id]
                if period.grain == grain and getattr(period, above) is not None:
                    sums[measure_id, getattr(period, above), rep_id, team_id].append(amount)
            whole = {
                key: sum(amounts)
                for key, amounts in sums.items()
                if len(amounts) == len(parts[key[1]]) and key not in self.given
            }
            self.whole |= whole
            self._set_sums({key: amount for key, amount in whole.items() if amount <= LARGEST_AMOUNT_MINOR})

    def _set_sums(self, sums: Mapping[Key, int]) -> None:
        for some in in_batches(sums, AT_ONCE):
            known = versions_in_force(set(some))
            written = {
                key: NewVersion(sums[key])
                for key in some
                if key[1] in self.open and (key not in known or known[key].amount_minor != sums[key])
            }
            self._write(written, known)

    # What became of it.

    def _tell(self, row: _Row) -> None:
        context, columns = self.context, self.context.mapping.columns
        why = row.refused or row.left_out
        if row.refused is not None:
            outcome = ImportOutcome.REFUSED.value
            column = row.column or columns.get(row.refused.field, "")
            context.refuse(row.line, row.cells, row.refused.code, row.refused.message, column)
        elif row.left_out is not None:
            outcome = ImportOutcome.LEFT_OUT.value
            context.leave_out(
                row.line,
                row.cells,
                row.left_out.code,
                row.left_out.message,
                columns.get(row.left_out.field, ""),
            )
        else:
            outcome = row.outcome
            context.count(outcome)
        if len(context.examples) < MOST_EXAMPLES:
            context.example(
                {
                    "line": row.line,
                    "outcome": outcome,
                    "what": self._what(row) if why is None else "",
                    "problems": [why.message] if why is not None else [],
                }
            )

    def _what(self, row: _Row) -> str:
        parts = [row.values["rep"] or row.values["team"]]
        measures = {measure.pk: measure for measure in self.measures}
        for (measure_id, period_id, _rep, _team), target in row.targets.items():
            measure = measures[measure_id]
            exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
            amount = formats.measured(target.amount_minor, measure.currency_id, exponent)
            parts.append(f"{self.periods[period_id].name} {amount}")
        return ", ".join(parts)
