"""Recredit runs as they are read: what a change of facts can touch among the credited deals, and what a run came to.

What a change can touch is always told too widely, never too narrowly: the engine finds what really differs.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db import models
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Exists, Max, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Abs

from config.language import marked
from config.models import Job
from quotas.models import (
    AccountOwnership,
    CreditEntry,
    CustomerTerritory,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    Grain,
    Measure,
    Period,
    PeriodState,
    PlanState,
    Posting,
    Reason,
    Receivers,
    Rep,
    RuleVersion,
    TeamMembership,
    Territory,
    TerritoryAssignment,
    UncreditedLine,
)

KIND: Final = "quotas.recredit"  # of the jobs that are runs
RULES_LOOK_AT: Final = frozenset(
    {"family", "commercial_path", "task_areas", "pricing_form"}
)  # of an offering and its plans
MOST_NAMED: Final = 10_000  # beyond so many deals a run takes the span of days instead of naming them


def run_of_plan(plan_version_id: int) -> Job | None:
    """The run that the publication of a version started; None where nothing had been sold on its days. 1 query."""
    return Job.objects.filter(kind=KIND, parameters__once=f"plan:{plan_version_id}").order_by("pk").first()


def credited(starts: date, ends: date | None) -> QuerySet[Deal]:
    """Deals that the engine credits, by their credit date in [starts, ends); no end is for ever."""
    deals = Deal.objects.filter(state=DealState.APPROVED, credited_version__close_date__gte=starts)
    return deals if ends is None else deals.filter(credited_version__close_date__lt=ends)


def day_after_the_last(starts: date) -> date | None:
    """The day after the last credit date from *starts* on; None where nothing is credited from then on."""
    last = credited(starts, None).aggregate(day=Max("credited_version__close_date"))["day"]
    return None if last is None else last + timedelta(days=1)


def first_day(starts: date) -> date | None:
    """The first credit date from *starts* on; None where nothing is credited from then on."""
    return credited(starts, None).aggregate(day=Min("credited_version__close_date"))["day"]  # type: ignore[no-any-return]


def named(deals: QuerySet[Deal]) -> list[int] | None:
    """Their ids, or None where there are too many to name."""
    ids = list(deals.order_by("pk").values_list("pk", flat=True).distinct()[: MOST_NAMED + 1])
    return ids if len(ids) <= MOST_NAMED else None


def in_currency(currency: str, starts: date, ends: date | None) -> QuerySet[Deal]:
    return credited(starts, ends).filter(credited_version__currency_id=currency)


def of_customers(customers: Iterable[int], starts: date, ends: date | None) -> QuerySet[Deal]:
    return credited(starts, ends).filter(customer__in=customers)


def consumption_of(customer_id: int, starts: date, ends: date | None) -> QuerySet[Deal]:
    return credited(starts, ends).filter(customer=customer_id, credited_version__kind=DealKind.CONSUMPTION)


def on_offerings(offerings: Iterable[int], starts: date, ends: date | None) -> QuerySet[Deal]:
    lines = DealLine.objects.filter(version=OuterRef("credited_version"), offering__in=offerings)
    return credited(starts, ends).filter(Exists(lines))


def of_rep(rep_id: int, starts: date, ends: date | None) -> QuerySet[Deal]:
    """Deals of which a rep earns, or could by what they own and cover: shares, accounts, territories, and entries that stand."""
    return of_people(reps=[rep_id], starts=starts, ends=ends)


def of_people(
    *,
    reps: Collection[int],
    territories: Collection[int] = (),
    customers: Collection[int] = (),
    starts: date,
    ends: date | None,
) -> QuerySet[Deal]:
    """The same for several reps, beside every deal with a customer of these, or with one that lies in these territories."""
    days = DateRange(starts, ends)
    shares = DealShare.objects.filter(rep__in=reps, version=OuterRef("credited_version"))
    accounts = AccountOwnership.objects.filter(rep__in=reps, superseded_at=None, credits__overlap=days)
    covered = TerritoryAssignment.objects.filter(rep__in=reps, superseded_at=None, effective__overlap=days)
    kept = Territory.objects.filter(
        Q(house_rep__in=reps) | Q(pk__in=covered.values("territory")) | Q(pk__in=territories)
    )
    inside = CustomerTerritory.objects.filter(territory__in=kept, superseded_at=None, effective__overlap=days)
    earned = CreditEntry.objects.filter(rep__in=reps, credit_date__gte=starts)
    if ends is not None:
        earned = earned.filter(credit_date__lt=ends)
    return credited(starts, ends).filter(
        Exists(shares)
        | Q(credited_version__kind=DealKind.CONSUMPTION, customer__in=accounts.values("customer"))
        | Q(customer__in=inside.values("customer"))
        | Q(customer__in=customers)
        | Q(pk__in=earned.values("deal"))
    )


def customers_in(territory_id: int, starts: date, ends: date | None) -> QuerySet[CustomerTerritory]:
    return CustomerTerritory.objects.filter(
        territory=territory_id, superseded_at=None, effective__overlap=DateRange(starts, ends)
    )


def roles_held(rep_id: int, starts: date, ends: date | None) -> set[str]:
    """The roles that a rep has on some day of the span."""
    return set(
        TeamMembership.objects.filter(
            rep=rep_id, superseded_at=None, effective__overlap=DateRange(starts, ends)
        ).values_list("role", flat=True)
    )


def overlay_by_role(roles: Iterable[str]) -> bool:
    """Whether a published rule gives overlay to everybody in one of these roles: then any deal can touch their holders."""
    return RuleVersion.objects.filter(
        plan_version__state=PlanState.PUBLISHED, receivers=Receivers.ROLE, roles__overlap=sorted(roles)
    ).exists()


def waiting_for_a_month(calendar_id: int) -> QuerySet[Deal]:
    """Approved deals of a calendar without credit for want of an open month, where there is one now."""
    months = Period.objects.filter(calendar=calendar_id, grain=Grain.MONTH, state=PeriodState.OPEN)
    ends = months.aggregate(last=Max("ends"))["last"]
    if ends is None:
        return Deal.objects.none()
    waiting = UncreditedLine.objects.filter(deal=OuterRef("pk"), reason=Reason.NO_PERIOD)
    return credited(date.min, ends).filter(Exists(waiting), calendar=calendar_id)


# What a run came to.


class Cause(models.TextChoices):
    """Why a run was started."""

    PLAN = "plan", marked("Plan")
    FX = "fx", marked("Exchange rate")
    ELIGIBILITY = "eligibility", marked("Eligibility decision")
    TEAM = "team", marked("Team")
    TERRITORY = "territory", marked("Territory")
    OWNER = "owner", marked("Account owner")
    CATALOG = "catalog", marked("Catalog")
    PERIOD = "period", marked("Month opened")
    MANUAL = "manual", marked("By hand")


POSTED_LATER: Final = "posted_to_open_period"
WRITES: Final = ("credited", "reversed")
OF_ENTRIES: Final[Mapping[str, tuple[str, str]]] = {
    "credited": ("Entries written", "New credit in the ledger"),
    "reversed": ("Entries reversed", "Exact reversals of entries that no longer hold"),
    POSTED_LATER: ("Posted to an open month", "Of these: their own month is closed, and stays their origin"),
    "unchanged": ("Entries unchanged", "Looked at, and right as they are"),
}
SHORT: Final[Mapping[str, str]] = {
    Reason.NOT_ELIGIBLE: "Not eligible",
    Reason.RATE_ZERO: "Counts at 0%",
    Reason.NO_RULE: "No rule",
    Reason.NO_TEAM: "No team",
    Reason.NO_RECEIVER: "No account owner",
    Reason.NO_FX_RATE: "No exchange rate",
    Reason.NO_PERIOD: "No open period",
    Reason.HELD: "Held",
    Reason.TOO_LARGE: "Too large",
    Reason.NOTHING: "Credit of zero",
}
MOST_SHOWN: Final = 25
MOST_SUMMED: Final = 50_000  # entries of a run beyond which nobody waits for a page to add them up


@dataclass(frozen=True, slots=True)
class Told:
    """One count of a run or of a preview, in words. reason: it counts what earns nothing."""

    name: str
    label: str
    detail: str
    count: int
    reason: bool


@dataclass(frozen=True, slots=True)
class MovedStanding:
    """What a run moved in a rep's measure and month of origin; minor units of the measure."""

    rep: Rep
    measure: Measure
    period: Period
    amount: int


@dataclass(frozen=True, slots=True)
class MovedDeal:
    deal: Deal
    measure: Measure
    amount: int


def told(counts: Mapping[str, int]) -> list[Told]:
    """Counts by outcome in a fixed order: entries, then reasons; what is nought is left out, but for entries written and reversed."""
    entries = [
        Told(name, label, detail, counts.get(name, 0), reason=False)
        for name, (label, detail) in OF_ENTRIES.items()
        if counts.get(name) or name in WRITES
    ]
    reasons = [
        Told(
            reason.value,
            SHORT.get(reason, str(reason.label)),
            f"{reason.label}.",
            counts[reason],
            reason=True,
        )
        for reason in Reason
        if counts.get(reason)
    ]
    return entries + reasons


def runs() -> QuerySet[Job]:
    """Recredit runs, the latest first. Of nobody's own: comp admins and auditors see all of them, others none."""
    return Job.objects.filter(kind=KIND).select_related("requested_by").order_by("-pk")


def written(job: Job) -> int:
    """How many entries a run has written so far, reversals included."""
    return sum(int(job.counts.get(name, 0)) for name in WRITES)


def moved_standings(job: Job) -> list[MovedStanding]:
    """The standings that a run moved most. 4 queries; none for a run that is too large to add up."""
    rows = list(
        _entries_of(job)
        .values_list("rep", "measure", "origin_period")
        .annotate(total=Sum("amount_minor"))
        .exclude(total=0)
        .order_by(Abs("total").desc(), "rep", "measure", "origin_period")[:MOST_SHOWN]
    )
    reps = Rep.objects.in_bulk({row[0] for row in rows})
    measures = Measure.objects.select_related("currency").in_bulk({row[1] for row in rows})
    periods = Period.objects.in_bulk({row[2] for row in rows})
    return [MovedStanding(reps[r], measures[m], periods[p], amount) for r, m, p, amount in rows]


def moved_deals(job: Job) -> list[MovedDeal]:
    """The deals whose credit a run moved most. 3 queries; none for a run that is too large to add up."""
    rows = list(
        _entries_of(job)
        .values_list("deal", "measure")
        .annotate(total=Sum("amount_minor"))
        .exclude(total=0)
        .order_by(Abs("total").desc(), "deal", "measure")[:MOST_SHOWN]
    )
    deals = Deal.objects.select_related("customer").in_bulk({row[0] for row in rows})
    measures = Measure.objects.select_related("currency").in_bulk({row[1] for row in rows})
    return [MovedDeal(deals[d], measures[m], amount) for d, m, amount in rows]


def closed_months(starts: date, ends: date | None) -> list[Period]:
    """The months of a span that take no entry any more. 1 query."""
    months = Period.objects.filter(
        grain=Grain.MONTH, ends__gt=starts, state__in=[PeriodState.CLOSING, PeriodState.CLOSED]
    )
    return list((months if ends is None else months.filter(starts__lt=ends)).order_by("starts"))


def _entries_of(job: Job) -> QuerySet[CreditEntry]:
    """None of a run that is too large for a page to add up."""
    return CreditEntry.objects.none() if written(job) > MOST_SUMMED else entries_of(job)


def entries_of(job: Job) -> QuerySet[CreditEntry]:
    """What a run wrote. With every month named and ids between two, each partition is read by its key. 2 queries."""
    first, last = job.result.get("entries", [0, 0])
    if not last:
        return CreditEntry.objects.none()
    months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
    postings = list(
        Posting.objects.filter(key__startswith=f"recredit:{job.pk}:").values_list("pk", flat=True)
    )
    return CreditEntry.objects.filter(
        posting_period__in=months, pk__gte=first, pk__lte=last, posting__in=postings
    ).order_by()
