"""The large boards that many will look at: of the quarter that runs and of the one before it, before anybody does."""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Count

from quotas.models import Grain, KeptGroup, Measure, Period, Team, TeamMembership
from quotas.selectors import asof, kept, periods
from quotas.selectors.asof import Reading
from quotas.selectors.kept import Look

QUARTERS: Final = 2  # of each calendar: the one of today, and before it
LARGEST_TEAMS: Final = 20  # more of them are kept once somebody has looked
RANKED: Final = (
    (KeptGroup.REP, "attainment"),
    (KeptGroup.REP, "credit"),
    (KeptGroup.TEAM, "attainment"),
)
SOLD: Final = (KeptGroup.PUBLISHER, KeptGroup.OFFERING)


def foreseen(*, at: datetime) -> list[Look]:
    """Which these are, the running quarter's first. A fixed number of queries, and 5 for each quarter."""
    quarters = list(_quarters(at))
    measures = list(Measure.objects.order_by("position", "pk"))
    many = kept.many_reps()
    calendars = periods.Calendars()
    teams: dict[date, list[Team]] = {}
    found: list[Look] = []
    for quarter in quarters:
        reading = asof.now(quarter)
        on = reading.day(_today(quarter, at))
        if many and on not in teams:
            teams[on] = _large_teams(reading, on)
        groups = [(group, by) for group, by in RANKED if many]
        if kept.many_entries(list(periods.months_in(quarter))):
            groups += [(group, "credit") for group in SOLD]
        its_own = [
            team
            for team in teams.get(on, ())
            if (calendar := calendars.of_team(team.pk, on)) and calendar.pk == quarter.calendar_id
        ]
        for measure in measures:
            found += [Look(group, by, reading, measure, None, large=True) for group, by in groups]
            found += [Look(KeptGroup.BOARD, "", reading, measure, team, large=True) for team in its_own]
    return found


def _today(period: Period, at: datetime) -> date:
    return at.astimezone(ZoneInfo(period.calendar.time_zone)).date()


def _quarters(at: datetime) -> Iterator[Period]:
    """Those that have begun, the latest of each calendar first."""
    every = Period.objects.filter(grain=Grain.QUARTER).select_related("calendar")
    latest = sorted(every, key=lambda q: (-q.starts.toordinal(), q.calendar_id))
    begun = [quarter for quarter in latest if quarter.starts <= _today(quarter, at)]
    counted = {
        quarter.pk: nth
        for _calendar, own in groupby(sorted(begun, key=lambda q: q.calendar_id), lambda q: q.calendar_id)
        for nth, quarter in enumerate(own)
    }
    yield from (quarter for quarter in begun if counted[quarter.pk] < QUARTERS)


def _large_teams(reading: Reading, on: date) -> list[Team]:
    """The teams with more people in and below them than a board reads for each look, the largest first. 3 queries."""
    parents = reading.parents(on)
    people: dict[int, int] = {}
    members = (
        TeamMembership.objects.filter(superseded_at=None, effective__contains=on)
        .order_by()
        .values_list("team_id")
        .annotate(Count("pk"))
    )
    for team, count in members:
        above: int | None = team
        passed: set[int] = set()
        while above is not None and above not in passed:
            passed.add(above)
            people[above] = people.get(above, 0) + count
            above = parents.get(above)
    large = sorted(
        (pk for pk, count in people.items() if count > kept.LARGE), key=lambda pk: (-people[pk], pk)
    )
    named = Team.objects.in_bulk(large[:LARGEST_TEAMS])
    return [named[pk] for pk in large[:LARGEST_TEAMS]]
