"""Fiscal calendars: opening their years, whatever month they begin in, for the operator or for a business unit with years of its own.

A year is twelve months, four quarters and two halves. Years of 52 or 53 weeks do not exist here: months are what closes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.utils.text import slugify

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config import jobs
from config.locks import one_at_a_time
from config.models import JobState
from config.refusals import Conflict, Forbidden, Problem, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    ONE,
    FiscalCalendar,
    Grain,
    Measure,
    Period,
    PeriodState,
    PlanAssignment,
    PlanState,
    PlanVersion,
    Team,
    TeamPlacement,
)
from quotas.selectors import periods
from quotas.services import facts, parity, plans, recredit, simulating

FIRST_YEAR, LAST_YEAR = 2000, 2099  # a name has two digits for its year
MOST_YEARS: Final = 10
OPENED: Final = (PeriodState.OPEN, PeriodState.FUTURE)
GRAINS: Final = (
    (Grain.YEAR, 12, ""),
    (Grain.HALF, 6, "-H{}"),
    (Grain.QUARTER, 3, "-Q{}"),
    (Grain.MONTH, 1, "-M{:02}"),
)


@dataclass(frozen=True, slots=True)
class NewCalendar:
    """A calendar that is to be made.

    prefix         One to four capital letters; the names of its periods begin with it: CY17, CY17-Q3.
    first_month    1 to 12. A year is named after the one in which it ends.
    time_zone      IANA name; a close date is a day in it.
    business_unit  Name of a team that is made at the top of the tree and sells by this calendar; empty makes none.
    """

    name: str
    prefix: str
    first_month: int
    time_zone: str
    slug: str = ""
    business_unit: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """What was made. plan is None where none was asked for; in review, it waits for a second comp admin."""

    calendar: FiscalCalendar
    periods: list[Period]
    unit: Team | None = None
    plan: PlanVersion | None = None


def open_years(
    *,
    years: Sequence[int],
    by: User,
    at: datetime,
    calendar: FiscalCalendar | None = None,
    new: NewCalendar | None = None,
    state: str = PeriodState.OPEN,
) -> list[Period]:
    """Add fiscal years with their halves, quarters and months; the operator's calendar if none is given. See set_up."""
    return set_up(years=years, by=by, at=at, calendar=calendar, new=new, state=state).periods


@transaction.atomic
def set_up(
    *,
    years: Sequence[int],
    by: User,
    at: datetime,
    calendar: FiscalCalendar | None = None,
    new: NewCalendar | None = None,
    state: str = PeriodState.OPEN,
    plan: bool = False,
    checked_by: User | None = None,
) -> Opened:
    """Open years of a calendar that is there or of a new one, and give its people something to be credited under.

    Earlier years than those that are there may be opened. Credit of a closed month never goes back into them: what is
    corrected is posted into the earliest open month at or after its own.

    state       Of the months: open, or future for those that are to be opened later.
    plan        Write the plan "every eligible line at 100 %" for these years, for everybody. It is published if checked_by,
                another comp admin, is given; else it waits in review for one.
    Raises      Forbidden, Invalid with a pointer for each field, Conflict where the plan cannot be had.
    """
    _refuse_unless_comp_admin(by)
    one_at_a_time("quotas.calendars")
    wanted = sorted(set(years))
    refuse_if_any([*_year_problems(wanted), *_state_problems(state), *(_problems_of(new) if new else ())])
    acting(by=by, at=at, reason=f"Opened {', '.join(map(str, wanted))}")
    unit = None
    if new is not None:
        calendar, unit = _make(new, at)
    elif calendar is None:
        calendar = periods.calendar()
    if calendar is None:
        refuse_if_any(
            [Problem("no_calendar", "There is no fiscal calendar yet: name a new one.", "/calendar")]
        )
    assert calendar is not None  # noqa: S101 -- refused above
    refuse_if_any(_overlaps(calendar, wanted))
    engine.lock_periods_exclusively()  # its ledger partitions are made: nobody posts meanwhile
    opened = [period for year in wanted for period in _open(calendar, year, state)]
    written = None
    if plan:
        written = _plan_for(calendar, opened, by=by, checked_by=checked_by, at=at)
    if new is None and state == PeriodState.OPEN:
        what = f"{calendar.name}: {', '.join(map(str, wanted))} opened"
        recredit.follow_opening(calendar_id=calendar.pk, what=what, by=by, at=at)
    return Opened(calendar, opened, unit, written)


# --- years ------------------------------------------------------------------------------------------------


def first_day(calendar: FiscalCalendar, year: int, month: int = 1) -> date:
    """Of the month-th month, from 1, of the fiscal year that is named after *year*; 13 is the first of the next year."""
    begins = year if calendar.first_month == 1 else year - 1
    passed = calendar.first_month - 2 + month
    return date(begins + passed // 12, passed % 12 + 1, 1)


def _open(calendar: FiscalCalendar, year: int, state: str) -> Iterator[Period]:
    """The year, then its halves, quarters and months; 4 statements."""
    above: dict[str, Period] = {}  # by "Y", and by grain and number
    for grain, months, suffix in GRAINS:
        made = Period.objects.bulk_create(
            Period(
                calendar=calendar,
                grain=grain,
                name=f"{calendar.prefix}{year % 100:02}{suffix.format(number)}",
                starts=first_day(calendar, year, months * (number - 1) + 1),
                ends=first_day(calendar, year, months * number + 1),
                year=above.get("Y1"),
                half=above.get(f"H{(months * number + 5) // 6}") if months < 6 else None,
                quarter=above.get(f"Q{(number + 2) // 3}") if grain == Grain.MONTH else None,
                state=state if grain == Grain.MONTH else PeriodState.FUTURE,
            )
            for number in range(1, 12 // months + 1)
        )
        above |= {f"{grain}{number}": period for number, period in enumerate(made, start=1)}
        yield from made


def _year_problems(years: Sequence[int]) -> Iterator[Problem]:
    if not years:
        yield Problem("no_years", "Say which years: 2017, or 2018 2019 2020.", "/years")
    elif len(years) > MOST_YEARS:
        yield Problem("too_many_years", f"Open at most {MOST_YEARS} years at once.", "/years")
    for year in years:
        if not FIRST_YEAR <= year <= LAST_YEAR:
            yield Problem(
                "year_out_of_range", f"{year} is not between {FIRST_YEAR} and {LAST_YEAR}.", "/years"
            )


def _state_problems(state: str) -> Iterator[Problem]:
    if state not in OPENED:
        yield Problem("wrong_state", "Months begin as open or as future.", "/state")


def _overlaps(calendar: FiscalCalendar, years: Sequence[int]) -> Iterator[Problem]:
    """1 query."""
    there = list(Period.objects.filter(calendar=calendar, grain=Grain.YEAR).order_by("starts"))
    for year in years:
        starts, ends = first_day(calendar, year), first_day(calendar, year + 1)
        for other in there:
            if other.starts < ends and starts < other.ends:
                yield Problem(
                    "year_overlaps",
                    f"{calendar.name} has {other.name} already, from {formats.day(other.starts)} to before"
                    f" {formats.day(other.ends)}: leave {year} out.",
                    "/years",
                )


# --- a new calendar ---------------------------------------------------------------------------------------


def _make(new: NewCalendar, at: datetime) -> tuple[FiscalCalendar, Team | None]:
    made = FiscalCalendar.objects.create(
        slug=_slug(new),
        name=new.name.strip(),
        prefix=new.prefix,
        first_month=new.first_month,
        time_zone=new.time_zone,
    )
    name = new.business_unit.strip()
    if not name:
        return made, None
    unit = Team.objects.create(slug=slugify(name)[:80], name=name, calendar=made)
    TeamPlacement.objects.create(team=unit, parent=None, effective=DateRange(None, None), recorded_at=at)
    return made, unit


def _slug(new: NewCalendar) -> str:
    return (new.slug or slugify(new.name))[:40]


def _problems_of(new: NewCalendar) -> Iterator[Problem]:
    """4 queries."""
    name, unit = new.name.strip(), new.business_unit.strip()
    if not name or len(name) > 80 or not _slug(new):
        yield Problem("calendar_unnamed", "Give the calendar a name of at most 80 characters.", "/name")
    elif FiscalCalendar.objects.filter(slug=_slug(new)).exists():
        yield Problem(
            "calendar_taken", "There is a calendar of this name already: open years of that one.", "/name"
        )
    if not (
        1 <= len(new.prefix) <= 4 and new.prefix.isascii() and new.prefix.isalpha() and new.prefix.isupper()
    ):
        yield Problem("wrong_prefix", "A prefix is one to four capital letters, such as CY.", "/prefix")
    elif (of := FiscalCalendar.objects.filter(prefix=new.prefix).first()) is not None:
        yield Problem(
            "prefix_taken",
            f"Names that begin with {new.prefix} are those of {of.name}: choose another prefix.",
            "/prefix",
        )
    if not 1 <= new.first_month <= 12:
        yield Problem("wrong_month", "A year begins in a month from 1 to 12.", "/first_month")
    try:
        ZoneInfo(new.time_zone)
    except (KeyError, ValueError, OSError):
        yield Problem(
            "unknown_time_zone", "A time zone has an IANA name, such as Europe/Berlin or UTC.", "/time_zone"
        )
    if unit and (len(unit) > 120 or not slugify(unit)):
        yield Problem(
            "unit_unnamed", "A business unit has a name of at most 120 characters.", "/business_unit"
        )
    elif unit and Team.objects.filter(slug=slugify(unit)[:80]).exists():
        yield Problem(
            "unit_taken",
            f"There is a team {unit} already: a business unit is a team of its own.",
            "/business_unit",
        )


# --- something to be credited under ------------------------------------------------------------------------


def _plan_for(
    calendar: FiscalCalendar, opened: Sequence[Period], *, by: User, checked_by: User | None, at: datetime
) -> PlanVersion:
    """One rule a measure, for everybody, on the days of these years alone: a plan is not of a unit but of days."""
    years = [period for period in opened if period.grain == Grain.YEAR]
    starts, ends = years[0].starts, years[-1].ends
    _refuse_covered(starts, ends)
    if checked_by is not None and checked_by.pk == by.pk:
        raise Conflict.of(
            "needs_a_second_person", "Another comp admin than you has to publish the plan.", "/checked_by"
        )
    names = years[0].name if len(years) == 1 else f"{years[0].name} to {years[-1].name}"
    reason = f"So that what closes in {names} of {calendar.name} is credited"
    version = plans.start_plan(
        name=f"{names} plan", starts=starts, ends=ends, note="Every eligible line at 100 %.", by=by, at=at
    )
    for measure in Measure.objects.order_by("position", "pk"):
        rule = plans.RuleDraft(f"{measure.name}: every eligible line at 100 %", measure.pk, ONE)
        plans.save_rule(plan_version_id=version.pk, draft=rule, by=by, at=at)
    facts.assign_plan(plan_id=version.plan_id, starts=starts, ends=ends, by=by, at=at, reason=reason)
    preview = simulating.start_simulation(plan_version_id=version.pk, by=by, at=at)
    if jobs.work_off(job_id=preview.pk, now=lambda: at).state != JobState.DONE:
        raise Conflict.of(
            "preview_failed", "The plan's impact on history could not be worked out: try again."
        )
    parity.prove_plan(plan_version_id=version.pk, by=by, at=at)
    plans.ask_for_review(plan_version_id=version.pk, by=by, at=at)
    if checked_by is not None:
        plans.publish_plan(plan_version_id=version.pk, by=checked_by, at=at, reason=reason)
        acting(by=by, at=at, reason=reason)
    version.refresh_from_db()
    return version


def _refuse_covered(starts: date, ends: date) -> None:
    """A second plan of everybody would compete with the first one for the same lines. 1 query."""
    other = (
        PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__overlap=DateRange(starts, ends))
        .filter(
            plan__in=PlanAssignment.objects.filter(
                superseded_at=None, effective__overlap=DateRange(starts, ends)
            ).values("plan")
        )
        .select_related("plan")
        .first()
    )
    if other is not None:
        raise Conflict.of(
            "days_have_a_plan",
            f"{other} credits days of these years already, whatever the calendar: open the years without a plan.",
            "/plan",
        )


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin opens fiscal years.")
