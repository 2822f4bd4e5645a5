"""Trying a plan version before it is published: on one deal, and on the deals of the past. Nothing of it is kept but the answer.

Both run the engine that posts. What has to be otherwise for a while (a draft that begins next quarter, a month that is not
open yet) is changed in a savepoint that is rolled back.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Min

from accounts.audit import acting
from accounts.models import Role, User
from config import jobs
from config.clock import day_of
from config.models import Job
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import Customer, Plan
from quotas.crediting import engine
from quotas.models import (
    AccountOwnership,
    CustomerTerritory,
    Deal,
    DealKind,
    DealState,
    Grain,
    Period,
    PeriodState,
    PlanAssignment,
    PlanState,
    PlanVersion,
    Rep,
    TeamMembership,
)
from quotas.selectors.periods import calendar_of_rep
from quotas.selectors.plans import OPEN_STATES, SIMULATE, begins_in_the_past, history_digest, past_part

MOST_MONTHS: Final = 60
LARGEST_MOVERS: Final = 25


# --- the two sides ----------------------------------------------------------------------------------------


def sides(version: PlanVersion) -> tuple[list[int], list[int]]:
    """Ids of the plan versions to compare: what is published, and the same with this version beside it. 1 query."""
    published = list(
        PlanVersion.objects.filter(state=PlanState.PUBLISHED)
        .exclude(pk=version.pk)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    return published, [*published, version.pk]


@contextmanager
def for_a_moment() -> Iterator[None]:
    """What is written inside is undone at the end, whatever happens."""
    with transaction.atomic():
        savepoint = transaction.savepoint()
        try:
            yield
        finally:
            transaction.savepoint_rollback(savepoint)


# --- one deal ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tryout:
    """A deal to try; amount in minor units of its currency. pricing_form and territory_id may be left open."""

    kind: str
    offering_id: int
    segment: str
    region: str
    role: str
    amount_minor: int
    close_date: date
    currency: str = "USD"
    pricing_form: str = ""
    territory_id: int | None = None
    new_customer: bool = False


@dataclass(frozen=True)
class Earned:
    """What the deal would earn on one side, and why not."""

    credits: list[engine.Desired]
    gaps: list[engine.Uncredited]

    def total(self, measure_id: int) -> int:
        return sum(credit.amount for credit in self.credits if credit.measure_id == measure_id)


@dataclass(frozen=True)
class Tried:
    """The same deal under what is published and with the version. rep, customer: whom it was tried with."""

    before: Earned
    after: Earned
    rep: Rep | None
    customer: Customer | None


def try_deal(*, version: PlanVersion, tryout: Tryout, at: datetime) -> Tried:
    """What one deal would earn, by the engine. Sold by somebody who holds the role, to a customer of that segment and region."""
    day = tryout.close_date
    customer = _customer(tryout)
    rep = _holder(tryout.role, day)
    if tryout.kind == DealKind.CONSUMPTION:
        customer, rep = _account(tryout) or (customer, rep)
    calendar = calendar_of_rep(rep.pk, day) if rep else None
    document = {
        "calendar_id": calendar.pk if calendar else None,
        "customer_id": customer.pk if customer else None,
        "kind": tryout.kind,
        "close_date": day.isoformat(),
        "currency": tryout.currency,
        "segment": tryout.segment,
        "region": tryout.region,
        "new_customer": tryout.new_customer,
        "refunds_id": None,
        "lines": [
            {
                "line_no": 1,
                "offering_id": tryout.offering_id,
                "plan_id": _plan(tryout),
                "amount": tryout.amount_minor,
                "quantity": None,
                "term": None,
            }
        ],
        "shares": [{"ordinal": 1, "rep_id": rep.pk, "ppm": 1_000_000}] if rep else [],
    }
    before, after = sides(version)
    with for_a_moment():
        acting(by=None, at=at, reason="Trying a deal")
        # A month that is to come is not open yet; the rules are what is tried here.
        Period.objects.filter(grain=Grain.MONTH, starts__lte=day, ends__gt=day).exclude(
            state=PeriodState.OPEN
        ).update(state=PeriodState.OPEN)
        earned = [
            Earned(*engine.desired(engine.Unsaved([document]), plan_versions=versions))
            for versions in (before, after)
        ]
    return Tried(earned[0], earned[1], rep, customer)


def _holder(role: str, day: date) -> Rep | None:
    return (
        Rep.objects.filter(
            memberships__role=role, memberships__superseded_at=None, memberships__effective__contains=day
        )
        .order_by("pk")
        .first()
    )


def _customer(tryout: Tryout) -> Customer | None:
    """One of that segment and region, in the territory if one is asked for, else rather in one than in none."""
    lying = CustomerTerritory.objects.filter(superseded_at=None, effective__contains=tryout.close_date)
    if tryout.territory_id is not None:
        asked = Customer.objects.filter(pk__in=lying.filter(territory=tryout.territory_id).values("customer"))
        alike = asked.filter(segment=tryout.segment, region=tryout.region)
        return alike.order_by("pk").first() or asked.order_by("pk").first()
    alike = Customer.objects.filter(segment=tryout.segment, region=tryout.region)
    return (
        alike.filter(pk__in=lying.values("customer")).order_by("pk").first() or alike.order_by("pk").first()
    )


def _account(tryout: Tryout) -> tuple[Customer, Rep] | None:
    """For consumption: an account whose owner holds the role."""
    holders = TeamMembership.objects.filter(
        role=tryout.role, superseded_at=None, effective__contains=tryout.close_date
    )
    owned = (
        AccountOwnership.objects.filter(
            superseded_at=None, credits__contains=tryout.close_date, rep__in=holders.values("rep")
        )
        .select_related("customer", "rep")
        .order_by("pk")
    )
    alike = owned.filter(customer__segment=tryout.segment, customer__region=tryout.region)
    found = alike.first() or owned.first()
    return (found.customer, found.rep) if found else None


def _plan(tryout: Tryout) -> int | None:
    if not tryout.pricing_form:
        return None
    return (
        Plan.objects.filter(offering=tryout.offering_id, pricing_form=tryout.pricing_form)
        .order_by("position", "pk")
        .values_list("pk", flat=True)
        .first()
    )


# --- the deals of the past --------------------------------------------------------------------------------


def usual_span(version: PlanVersion, on: date) -> tuple[date, date]:
    """The months that a preview takes if nobody says otherwise: what the version would recredit, else the last twelve months."""
    if begins_in_the_past(version, on):
        starts, ends = past_part(version, on)
        first = _first_deal()
        if starts is None or first is None or starts < first:
            starts = min(first or on, ends - timedelta(days=1))
        return starts.replace(day=1), max(ends, starts + timedelta(days=1))
    return on.replace(year=on.year - 1, day=1), on + timedelta(days=1)


@transaction.atomic
def start_simulation(
    *, plan_version_id: int, starts: date | None = None, ends: date | None = None, by: User, at: datetime
) -> Job:
    """Compare what is published with the same and this version, over the deals with a credit date in [starts, ends), month by month.

    A version that begins in the past is taken by its own dates: what moves is what its publication would move. One that
    is to come is taken as if it had been in force all the time; rules with dates of their own move back by whole years.
    Raises  NotFound, Forbidden, Invalid.
    """
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin previews a plan.")
    version = (
        PlanVersion.objects.filter(pk=plan_version_id, state__in=OPEN_STATES).select_related("plan").first()
    )
    if version is None:
        raise NotFound.of("plan_version_not_found", "There is no such draft.")
    on = day_of(at)
    usual = usual_span(version, on)
    first, last = (starts or usual[0]).replace(day=1), min(ends or usual[1], on + timedelta(days=1))
    months = _months(first, last)
    refuse_if_any(
        [Problem("no_past_days", "Choose months that have begun, the first before the last.", "/starts")]
        if not months
        else [Problem("too_many_months", f"At most {MOST_MONTHS} months at once.", "/starts")]
        if len(months) > MOST_MONTHS
        else []
    )
    dated = begins_in_the_past(version, on)
    job = jobs.start(
        kind=SIMULATE,
        title=f"Impact of {version} on history",
        parameters={
            "plan_version_id": version.pk,
            "digest": history_digest(version),
            "starts": first.isoformat(),
            "ends": last.isoformat(),
            "as_if": not dated,
            "covers_the_past": dated and first <= usual[0] and last >= min(usual[1], on + timedelta(days=1)),
        },
        by_id=by.pk,
        at=at,
        unit="months",
    )
    job.total = len(months)
    job.save(update_fields=["total"])
    return job


def cancel_simulation(*, job_id: int, by: User, at: datetime) -> Job:
    """Stop a preview after the month it is at. Nothing of it is shown. Raises Forbidden, NotFound, Conflict where it is over."""
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin stops a preview.")
    job = Job.objects.filter(kind=SIMULATE, pk=job_id).first()
    if job is None:
        raise NotFound.of("no_such_preview", "There is no such preview.")
    if job.finished:
        raise Conflict(Problem("preview_is_over", "This preview is over already."))
    return jobs.cancel(job_id=job_id, at=at)


@jobs.carries_out(SIMULATE)
def step(job: Job, at: datetime) -> bool:
    """Compare one month; at the end, say who moves. A draft that changed meanwhile ends the run: its answer would be about nothing."""
    asked = job.parameters
    version = (
        PlanVersion.objects.filter(pk=asked["plan_version_id"], state__in=OPEN_STATES)
        .select_related("plan")
        .first()
    )
    if version is None or history_digest(version) != asked["digest"]:
        job.result = {"outdated": True}
        return False
    span = date.fromisoformat(asked["starts"]), date.fromisoformat(asked["ends"])
    months = _months(*span)
    nth = job.cursor.get("next", 0)
    job.total = len(months)
    by_month = job.cursor.setdefault("months", [])
    with for_a_moment():
        acting(by=job.requested_by, at=at, reason=job.title)
        if asked["as_if"]:
            _back_to(version, *span)
        before, after = sides(version)
        found = engine.compare(engine.BySpan(*months[nth]), before=before, after=after)
    periods = _leaves_within(
        months[nth]
    )  # refunds of a later month come with their originals, and count in their own
    changed: dict[int, int] = defaultdict(int)
    for move in found.standings:
        if move.period_id in periods:
            changed[move.measure_id] += move.after - move.before
    for kind, rows in (("moves", found.standings), ("rules", found.rules), ("offerings", found.offerings)):
        _gather(job.cursor.setdefault(kind, {}), rows, periods)
    by_month.append([months[nth][0].isoformat(), {str(pk): change for pk, change in sorted(changed.items())}])
    job.cursor["next"] = job.done = nth + 1
    if nth + 1 < len(months):
        return True
    job.result = _summary(job.cursor)
    job.counts = {"standings_that_move": len(job.result["moves"])}
    job.cursor = {"next": len(months)}
    return False


def _gather(
    into: dict[str, list[int]],
    rows: Iterable[engine.Move | engine.RuleMove | engine.OfferingMove],
    periods: set[int],
) -> None:
    """Add up what is before and after by measure and whatever else the rows tell apart, whatever the month."""
    for measure, period, *subject, before, after in rows:
        if period in periods:
            known = into.setdefault(":".join(map(str, (measure, *subject))), [0, 0])
            known[0] += before
            known[1] += after


def _largest_first(gathered: dict[str, list[int]]) -> list[list[int]]:
    """[measure, ..., before, after] for what moves, the largest move first."""
    moves = [
        [*(int(part) for part in key.split(":")), *amounts]
        for key, amounts in gathered.items()
        if amounts[0] != amounts[1]
    ]
    return sorted(moves, key=lambda m: (-abs(m[-1] - m[-2]), m[:-2]))


def _summary(gathered: dict[str, Any]) -> dict[str, Any]:
    """What moves, the largest move first, and sums by measure, team and month beside it.

    moves      [measure, team, rep, before, after]
    rules      [measure, rule, before, after]
    offerings  [measure, offering, before, after]
    """
    moves = _largest_first(gathered["moves"])
    measures: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    teams: dict[tuple[int, int], int] = defaultdict(int)
    for measure, team, _rep, before, after in moves:
        change = after - before
        sums = measures[measure]
        sums[0 if change > 0 else 1] += change
        sums[2 if change > 0 else 3] += 1
        teams[measure, team] += change
    return {
        "moves": moves,
        "measures": {
            str(pk): {"up": up, "down": down, "winners": winners, "losers": losers}
            for pk, (up, down, winners, losers) in sorted(measures.items())
        },
        "teams": [
            [*key, change]
            for key, change in sorted(teams.items(), key=lambda t: (-abs(t[1]), t[0]))
            if change
        ],
        "months": gathered["months"],
        "rules": _largest_first(gathered["rules"]),
        "offerings": _largest_first(gathered["offerings"]),
    }


def _leaves_within(month: tuple[date, date]) -> set[int]:
    """The fiscal months, of whatever calendar, that share days with a calendar month."""
    return set(
        Period.objects.filter(grain=Grain.MONTH, starts__lt=month[1], ends__gt=month[0]).values_list(
            "pk", flat=True
        )
    )


def _months(starts: date, ends: date) -> list[tuple[date, date]]:
    """Calendar months of [starts, ends), the last one perhaps begun only. The fiscal leaves are calendar months."""
    found = []
    at = starts
    while at < ends:
        next_month = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
        found.append((at, min(next_month, ends)))
        at = next_month
    return found


def _back_to(version: PlanVersion, starts: date, ends: date) -> None:
    """As if the version had been in force over [starts, ends). Belongs in a savepoint that is rolled back."""
    PlanVersion.objects.filter(pk=version.pk).update(effective=DateRange(starts, ends))
    for rule in version.rules.exclude(effective=None):
        years = 0
        lower = rule.effective.lower
        while lower is not None and _years_back(lower, years) >= ends:
            years += 1
        if years:
            upper = rule.effective.upper
            rule.effective = DateRange(
                _years_back(rule.effective.lower, years), _years_back(upper, years) if upper else None
            )
            rule.save(update_fields=["effective"])
    if PlanVersion.objects.filter(plan=version.plan_id, state=PlanState.PUBLISHED).exists():
        return
    # A plan that nobody has had yet: those who will have it on its first day have it all the time.
    assignments = PlanAssignment.objects.filter(plan=version.plan_id, superseded_at=None)
    first = version.effective.lower
    kept = [a for a in assignments if first is None or first in a.effective]
    assignments.exclude(pk__in=[a.pk for a in kept]).delete()
    assignments.update(effective=DateRange(starts, None))


def _years_back(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year - years)
    except ValueError:  # 29 February
        return day.replace(year=day.year - years, day=28)


def _first_deal() -> date | None:
    first: date | None = Deal.objects.filter(state=DealState.APPROVED).aggregate(
        day=Min("credited_version__close_date")
    )["day"]
    return first
