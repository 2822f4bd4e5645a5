"""Which period is meant, and how far it has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from django.db.models import Q

from quotas.models import FiscalCalendar, Grain, Period

WORDS = {Grain.MONTH: "month", Grain.QUARTER: "quarter", Grain.HALF: "half", Grain.YEAR: "year"}
PARTS = {Grain.QUARTER: "quarter", Grain.HALF: "half", Grain.YEAR: "year"}


def calendar() -> FiscalCalendar | None:
    """The operator's calendar: the first one made. 1 query."""
    return FiscalCalendar.objects.order_by("pk").first()


def current_period(on: date, grain: str = Grain.QUARTER) -> Period | None:
    """The period of a grain that contains a day; without one the last that began before it. 1 query."""
    return (
        Period.objects.filter(grain=grain, starts__lte=on)
        .order_by("calendar_id", "-starts")
        .select_related("calendar")
        .first()
    )


def period_named(name: str) -> Period | None:
    """FY27, FY27-H1, FY27-Q2 or FY27-M05 of the operator's calendar. 1 query."""
    return Period.objects.filter(name__iexact=name).order_by("calendar_id").select_related("calendar").first()


def all_periods() -> Sequence[Period]:
    """Every period of the operator's calendar, oldest first, the longer of two that start together first. 2 queries."""
    own = calendar()
    if own is None:
        return []
    order = {grain: at for at, grain in enumerate((Grain.YEAR, Grain.HALF, Grain.QUARTER, Grain.MONTH))}
    return sorted(own.periods.all(), key=lambda period: (period.starts, order[Grain(period.grain)]))


def leaves_of(period: Period) -> list[Period]:
    """The months of a period, oldest first; a month is its own. 1 query."""
    if period.grain == Grain.MONTH:
        return [period]
    return list(
        Period.objects.filter(Q(**{PARTS[Grain(period.grain)]: period}), grain=Grain.MONTH).order_by("starts")
    )


def last_day(period: Period, on: date) -> date:
    """The day as at which a period is read: today, or its own last day if that is earlier."""
    return min(on, period.ends - timedelta(days=1))


@dataclass(frozen=True, slots=True)
class Switch:
    """The period shown, its neighbours of the same grain, and what else can be chosen."""

    chosen: Period
    before: Period | None
    after: Period | None
    choices: Sequence[Period]


def switch(chosen: Period, on: date) -> Switch:
    """The periods to choose from: everything that has begun, newest first. 1 query."""
    begun = [
        period
        for period in Period.objects.filter(calendar_id=chosen.calendar_id).order_by("starts")
        if period.starts <= on or period.pk == chosen.pk
    ]
    same = [period for period in begun if period.grain == chosen.grain]
    around = list(pairwise([None, *same, None]))
    before = next((left for left, right in around if right is not None and right.pk == chosen.pk), None)
    after = next((right for left, right in around if left is not None and left.pk == chosen.pk), None)
    return Switch(chosen, before, after, sorted(begun, key=lambda p: (p.ends, p.starts), reverse=True))
