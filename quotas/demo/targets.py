"""What everybody is asked for: quotas of reps by quarter, half and year, and of teams a little below their sum."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from quotas.demo.calendar import PeriodFact, periods
from quotas.demo.customers import CustomerFact
from quotas.demo.dice import Dice
from quotas.demo.organisation import AE, AREAS, SPECIALIST, SUCCESS, Organisation, Person

BOOKINGS, CONSUMPTION, NEW_CUSTOMERS = "ai-bookings", "ai-consumption", "new-customers"
MINOR = {BOOKINGS: 100, CONSUMPTION: 100, NEW_CUSTOMERS: 1_000_000}

# US dollars a year in the United States.
A_YEAR = {"enterprise": 2_800_000, "corporate": 1_500_000, "public-sector": 1_900_000}
OF_AN_EXECUTIVE = {AE: 100, SPECIALIST: 40, SUCCESS: 28}  # per cent
SEASON = {"Q1": 22, "Q2": 26, "Q3": 23, "Q4": 29}  # per cent of a year
AN_ACCOUNT_USES = {"enterprise": 84_000, "corporate": 27_000, "public-sector": 54_000}  # US dollars a quarter
WON_A_QUARTER = {"enterprise": 1, "corporate": 2, "public-sector": 1}
GROWTH = 115  # per cent, from one year to the next
TEAM_SHARE = 94  # per cent of its reps' sum: a manager hands out more than is asked of them
GROUP_SHARE = 98

RAMP = (10, 20, 30, 40, 50, 60, 70, 80, 90)  # per cent of the quota that count, month by month
LEAVE = (date(2026, 7, 20), date(2026, 8, 31))

Key = tuple[str, str, str]  # measure, period, slug of a rep or team


@dataclass(frozen=True)
class ReliefFact:
    """Days on which only a part of a person's quotas counts."""

    person: str
    kind: str
    starts: date
    ends: date
    percent: int
    reason: str


@dataclass(frozen=True)
class Targets:
    """Whole units of the measure: US dollars, customers."""

    reps: dict[Key, int]
    teams: dict[Key, int]


def targets(found: Organisation, customers: list[CustomerFact], seed: int, today: date) -> Targets:
    quarters = [period for period in periods() if period.grain == "Q"]
    reps: dict[Key, int] = {}
    teams: dict[Key, int] = defaultdict(int)
    places = {team.slug: team for team in found.teams}
    accounts = _accounts(customers, quarters, today)
    for person in found.people:
        if not person.sells:
            continue
        dice = Dice(seed, "target", person.slug)
        stretch = dice.number(92, 108)
        for quarter in quarters:
            months = _months_worked(person, quarter)
            stay = next(
                (
                    s
                    for s in reversed(person.stays)
                    if s.starts < quarter.ends and (s.ends is None or s.ends > quarter.starts)
                ),
                None,
            )
            if not months or stay is None:
                continue
            place = places[stay.team]
            level = AREAS[place.area].level * (GROWTH if quarter.name.startswith("FY27") else 100)
            asked = A_YEAR[place.segment] * SEASON[quarter.name[-2:]] * OF_AN_EXECUTIVE[person.role] * stretch
            wanted = {
                BOOKINGS: _round(asked * level * months // (3 * 10**10), 10_000),
                CONSUMPTION: _round(
                    sum(AN_ACCOUNT_USES[c.segment] for c in accounts[person.slug, quarter.name])
                    * level
                    * stretch
                    // 10**6,
                    5_000,
                ),
                NEW_CUSTOMERS: WON_A_QUARTER[place.segment] if person.role == AE else 0,
            }
            for measure, amount in wanted.items():
                for name in (quarter.name, quarter.half, quarter.year):
                    if amount and name:
                        key = (measure, name, person.slug)
                        reps[key] = reps.get(key, 0) + amount
                        teams[measure, name, stay.team] += amount
    return Targets(reps, _teams(found, teams))


def reliefs(found: Organisation) -> list[ReliefFact]:
    """Whoever joined last ramps up, and somebody in the team of the log-ins is on leave."""
    joined = [p for p in found.people if p.sells and p.hired_on is not None and p.left_on is None]
    made = []
    if joined:
        last = max(joined, key=lambda p: (p.starts, p.slug))
        for month, percent in enumerate(RAMP):
            starts, ends = _months_on(last.starts, month), _months_on(last.starts, month + 1)
            made.append(
                ReliefFact(last.slug, "ramp", starts, ends, percent, "New in the seat: nine months to ramp")
            )
    away = next(
        (p for p in reversed(found.sellers(found.home, LEAVE[0])) if p.role == AE and not p.log_in), None
    )
    if away is not None:
        made.append(ReliefFact(away.slug, "leave", *LEAVE, 0, "Parental leave"))
    return made


def _months_on(day: date, months: int) -> date:
    """The first of a month, so many months after that of *day*."""
    number = day.year * 12 + day.month - 1 + months
    return date(number // 12, number % 12 + 1, 1)


def _teams(found: Organisation, sums: dict[Key, int]) -> dict[Key, int]:
    """Of a team, a little less than its reps' sum; of a group, a little less than its teams'."""
    parents = {team.slug: team.parent for team in found.teams}
    asked: dict[Key, int] = {}
    for measure, period, slug in sorted(sums):
        asked[measure, period, slug] = _nice(measure, sums[measure, period, slug], TEAM_SHARE)
    for depth in (3, 2, 1):
        above: dict[Key, int] = defaultdict(int)
        for (measure, period, slug), amount in asked.items():
            parent = parents[slug]
            if parent and _depth(slug, parents) == depth:
                above[measure, period, parent] += amount
        for key, amount in above.items():
            asked[key] = _nice(key[0], amount, GROUP_SHARE)
    return asked


def _depth(slug: str, parents: dict[str, str | None]) -> int:
    parent = parents[slug]
    return 0 if parent is None else 1 + _depth(parent, parents)


def _accounts(
    customers: list[CustomerFact], quarters: list[PeriodFact], today: date
) -> dict[tuple[str, str], list[CustomerFact]]:
    """(rep, quarter) to the accounts with usage that the rep owns in it; of later quarters, those of today."""
    found: dict[tuple[str, str], list[CustomerFact]] = defaultdict(list)
    for quarter in quarters:
        day = min(quarter.starts, today)
        for customer in customers:
            if customer.uses_from and customer.uses_from <= day and (owner := customer.owner_on(day)):
                found[owner.slug, quarter.name].append(customer)
    return found


def _months_worked(person: Person, quarter: PeriodFact) -> int:
    """Months of the quarter, out of three. Joining and leaving is on the first of a month."""
    starts = max(person.starts, quarter.starts)
    ends = min(person.ends or quarter.ends, quarter.ends)
    return max(0, (ends.year - starts.year) * 12 + ends.month - starts.month)


def _round(amount: int, step: int) -> int:
    return (amount + step // 2) // step * step


def _nice(measure: str, amount: int, share: int) -> int:
    """*share* per cent of an amount as a number that somebody would write down."""
    step = 1 if measure == NEW_CUSTOMERS else 10_000
    return max(step, _round(amount * share, 100 * step) // 100)
