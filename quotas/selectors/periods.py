"""Which period is meant, and how far it has come."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any

from django.db.models import Q

from quotas.models import FiscalCalendar, Grain, Period, Team, TeamMembership, TeamPlacement

WORDS = {Grain.MONTH: "month", Grain.QUARTER: "quarter", Grain.HALF: "half", Grain.YEAR: "year"}
PARTS = {Grain.QUARTER: "quarter", Grain.HALF: "half", Grain.YEAR: "year"}


def calendar() -> FiscalCalendar | None:
    """The operator's calendar: the first one made. 1 query."""
    return FiscalCalendar.objects.order_by("pk").first()


class Calendars:
    """Every fiscal calendar, and which one a team or a rep has on a day: the nearest one above in the tree, at the top the operator's.

    1 query for one calendar, 3 more the first time that a team is asked about where there are several; none for each question after that.
    """

    def __init__(self) -> None:
        self.every = list(FiscalCalendar.objects.order_by("pk"))
        self._by_id = {each.pk: each for each in self.every}
        self._teams: dict[tuple[int, date], FiscalCalendar] = {}

    @property
    def several(self) -> bool:
        return len(self.every) > 1

    @property
    def operators(self) -> FiscalCalendar | None:
        return self.every[0] if self.every else None

    def numbered(self, pk: int) -> FiscalCalendar:
        """A calendar by its id."""
        return self._by_id[pk]

    def of_team(self, team_id: int | None, on: date) -> FiscalCalendar | None:
        """The team's calendar on a day; the operator's for none at all. None only where there is no calendar."""
        if team_id is None or not self.several:
            return self.operators
        key = team_id, on
        if key not in self._teams:
            own = next((pk for each in self._upwards(team_id, on) if (pk := self._of_heads.get(each))), None)
            self._teams[key] = self._by_id[own] if own else self.every[0]
        return self._teams[key]

    def of_member(self, memberships: Sequence[TeamMembership], on: date) -> FiscalCalendar | None:
        """The calendar of the rep whose memberships these are: of the team of the day, else of the last one before it, else of the first."""
        if not memberships or not self.several:
            return self.operators
        begun = [m for m in memberships if m.effective.lower is None or m.effective.lower <= on]
        latest = max(begun, key=_begins, default=None) or min(memberships, key=_begins)
        return self.of_team(latest.team_id, on)

    def _upwards(self, team_id: int, on: date) -> Iterator[int]:
        at: int | None = team_id
        passed: set[int] = set()
        while at is not None and at not in passed:
            passed.add(at)
            yield at
            at = next((parent for span, parent in self._placements.get(at, ()) if on in span), None)

    @cached_property
    def _of_heads(self) -> dict[int, int]:
        return dict(Team.objects.exclude(calendar=None).values_list("pk", "calendar_id"))

    @cached_property
    def _placements(self) -> dict[int, list[tuple[Any, int | None]]]:
        found: dict[int, list[tuple[Any, int | None]]] = {}
        for team_id, parent_id, span in TeamPlacement.objects.filter(superseded_at=None).values_list(
            "team_id", "parent_id", "effective"
        ):
            found.setdefault(team_id, []).append((span, parent_id))
        return found


def _begins(membership: TeamMembership) -> date:
    return membership.effective.lower or date.min


def calendar_of_team(team_id: int | None, on: date) -> FiscalCalendar | None:
    """The fiscal calendar of a team on a day; Calendars does many at the cost of one. 1 query, 3 where there are several calendars."""
    return Calendars().of_team(team_id, on)


def calendar_of_rep(rep_id: int, on: date) -> FiscalCalendar | None:
    """The fiscal calendar of the team that a rep is in on a day. 1 query, 4 where there are several calendars."""
    known = Calendars()
    if not known.several:
        return known.operators
    return known.of_member(list(TeamMembership.objects.filter(rep=rep_id, superseded_at=None)), on)


def current_period(on: date, grain: str = Grain.QUARTER, *, calendar_id: int | None = None) -> Period | None:
    """The period of a grain that contains a day; without one the last that began before it, without that the first to come.

    calendar_id  Whose; the operator's calendar, or the first that has such a period, if none is given.
    1 query, 2 for a calendar that has not begun.
    """
    periods = Period.objects.filter(grain=grain).select_related("calendar")
    if calendar_id is not None:
        periods = periods.filter(calendar=calendar_id)
    return (
        periods.filter(starts__lte=on).order_by("calendar_id", "-starts").first()
        or periods.order_by("calendar_id", "starts").first()
    )


def period_named(name: str) -> Period | None:
    """FY27, FY27-H1, FY27-Q2 or FY27-M05; of any calendar, because a name begins with its prefix. 1 query."""
    return Period.objects.filter(name__iexact=name).order_by("calendar_id").select_related("calendar").first()


def all_periods(of: Sequence[FiscalCalendar] | None = None) -> Sequence[Period]:
    """Every period of these calendars, the operator's if none are given, one calendar after the other.

    In each the oldest comes first, and the longer of two that start together. 1 query, 2 for the operator's.
    """
    if of is None:
        own = calendar()
        of = [own] if own else []
    place = {each.pk: at for at, each in enumerate(of)}
    found = Period.objects.filter(calendar__in=list(place))
    return sorted(found, key=lambda p: (place[p.calendar_id], p.starts, _LONGEST_FIRST[Grain(p.grain)]))


_LONGEST_FIRST = {grain: at for at, grain in enumerate((Grain.YEAR, Grain.HALF, Grain.QUARTER, Grain.MONTH))}


def leaves_of(period: Period) -> list[Period]:
    """The months of a period, oldest first; a month is its own. 1 query."""
    if period.grain == Grain.MONTH:
        return [period]
    return list(
        Period.objects.filter(Q(**{PARTS[Grain(period.grain)]: period}), grain=Grain.MONTH).order_by("starts")
    )


def months_in(period: Period) -> list[int]:
    """The ids of the months of a period, oldest first. They never change, and are asked for once for each object. 1 query."""
    known: list[int] | None = period.__dict__.get("_months_in")
    if known is None:
        known = period.__dict__["_months_in"] = [month.pk for month in leaves_of(period)]
    return known


def last_day(period: Period, on: date) -> date:
    """The day as at which a period is read: today, or its own last day if that is earlier."""
    return min(on, period.ends - timedelta(days=1))


def a_year_before(day: date) -> date:
    """The same day of the year before; of 29 February the 28th."""
    leap = (day.month, day.day) == (2, 29)
    return day.replace(year=day.year - 1, day=28 if leap else day.day)


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be chosen of one calendar, newest first."""

    calendar: FiscalCalendar
    periods: Sequence[Period]


@dataclass(frozen=True, slots=True)
class Switch:
    """The period shown, its neighbours of the same grain, and what else can be chosen: of its own calendar, then of others."""

    chosen: Period
    before: Period | None
    after: Period | None
    choices: Sequence[Choices]


def switch(chosen: Period, on: date, offered: Iterable[FiscalCalendar] = ()) -> Switch:
    """The periods to choose from: everything that has begun, newest first. 1 query.

    offered  Calendars whose periods are offered, in their order; that of the chosen one is among them or comes last.
    """
    begun: dict[int, list[Period]] = {pk: [] for pk in (*(each.pk for each in offered), chosen.calendar_id)}
    for period in (
        Period.objects.filter(calendar__in=list(begun)).select_related("calendar").order_by("starts")
    ):
        if period.starts <= on or period.pk == chosen.pk:
            begun[period.calendar_id].append(period)
    same = [period for period in begun[chosen.calendar_id] if period.grain == chosen.grain]
    around = list(pairwise([None, *same, None]))
    before = next((left for left, right in around if right is not None and right.pk == chosen.pk), None)
    after = next((right for left, right in around if left is not None and left.pk == chosen.pk), None)
    return Switch(
        chosen,
        before,
        after,
        [
            Choices(of[0].calendar, sorted(of, key=lambda p: (p.ends, p.starts), reverse=True))
            for of in begun.values()
            if of
        ],
    )
