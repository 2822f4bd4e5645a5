"""What closes a rep's gap: the open deals that would, the fewest first. RULES 17.5."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.db.models import F, Q, Sum

from accounts.models import Role, User
from quotas.crediting import engine
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    Measure,
    Period,
    Reason,
    Rep,
    TotalBasis,
)
from quotas.selectors import periods
from quotas.selectors.targets import quotas_of_reps
from quotas.selectors.visibility import reps_for

MOST_OPEN: Final = 500
AMENDED: Final = "amended"  # beside the states of a deal: an amendment of an approved one waits


@dataclass(frozen=True, slots=True)
class OpenDeal:
    """An open deal and what it would add to the rep's credit in the measure; of an amendment the difference.

    state    draft, submitted, returned, or amended.
    late     Its close date has passed.
    reasons  Why it would earn nothing, in words.
    """

    deal: Deal
    state: str
    close_date: date
    credit_minor: int
    late: bool = False
    reasons: Sequence[str] = ()

    @property
    def reference(self) -> str:
        return self.deal.reference


@dataclass(frozen=True, slots=True)
class Step:
    """The next open deal: what is credited with it and all before it, and what is then left of the gap, at least nothing."""

    open: OpenDeal
    running_minor: int
    left_minor: int
    closes: bool


@dataclass(frozen=True, slots=True)
class GapPlan:
    """Amounts in minor units of the measure.

    quota_minor  None, or nothing to reach: there is no gap.
    steps        Deals that count in the period: the largest credit first, so that the fewest close the gap; of two alike
                 the one that closes sooner.
    needed       How many of them close it; None where all together do not.
    short_minor  What is left of the gap when all of them are won.
    later        Deals that would count after the period, the soonest first; others earn this rep nothing here, or take away.
    more         How many open deals there are beyond those that were looked at.
    """

    rep: Rep
    measure: Measure
    period: Period
    on: date
    credited_minor: int
    quota_minor: int | None
    steps: Sequence[Step]
    later: Sequence[OpenDeal]
    others: Sequence[OpenDeal]
    more: int = 0

    @property
    def gap_minor(self) -> int | None:
        """What is missing to the quota, at least nothing."""
        return max(0, self.quota_minor - self.credited_minor) if self.quota_minor else None

    @property
    def needed(self) -> int | None:
        if self.gap_minor == 0:
            return 0
        return next((nth for nth, step in enumerate(self.steps, start=1) if step.closes), None)

    @property
    def short_minor(self) -> int:
        return self.steps[-1].left_minor if self.steps else self.gap_minor or 0

    @property
    def open_minor(self) -> int:
        """What all of them would add in the period."""
        return sum(step.open.credit_minor for step in self.steps)


def whose_gap(user: User, slug: str, on: date) -> Rep | None:
    """The rep of an address, if this person may see their amounts; without an address the person themself. 1 or 2 queries."""
    if not user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR):
        return None
    seen = reps_for(user, on)
    return seen.filter(slug=slug).first() if slug else seen.filter(user=user).first()


def closing_the_gap(*, rep: Rep, measure: Measure, period: Period, on: date) -> GapPlan:
    """The plan as of a day. 10 queries at most, one of them the engine's, whatever the number of deals."""
    found, more = _open_deals(rep)
    leaves = set(periods.months_in(period))
    ends = period.ends
    documents = _documents(found)
    credits, gaps = engine.desired(engine.Unsaved(documents)) if documents else ([], [])
    inside: dict[int, int] = defaultdict(int)
    outside: dict[int, int] = defaultdict(int)
    for each in credits:
        if each.rep_id == rep.pk and each.measure_id == measure.pk:
            (inside if each.posting_period_id in leaves else outside)[each.deal_id] += each.amount
    why: dict[int, dict[str, None]] = defaultdict(dict)
    for gap in gaps:
        if gap.measure_id in (None, measure.pk) and gap.rep_id in (None, rep.pk):
            why[gap.deal_id][str(Reason(gap.reason).label)] = None
    stands = _standing(rep, measure, leaves, [deal.pk for deal in found if deal.amended_at is not None])
    counting: list[OpenDeal] = []
    later: list[OpenDeal] = []
    others: list[OpenDeal] = []
    for nth, deal in enumerate(found, start=1):
        version = deal.latest
        amount = inside[nth] - stands.get(deal.pk, 0)
        then = not amount and outside[nth] > 0 and version.close_date >= ends
        looked_at = OpenDeal(
            deal=deal,
            state=AMENDED if deal.amended_at is not None else deal.state,
            close_date=version.close_date,
            credit_minor=outside[nth] if then else amount,
            late=version.close_date < on and deal.state != DealState.APPROVED,
            reasons=tuple(why[nth]) if not amount and not then else (),
        )
        (later if then else counting if amount > 0 else others).append(looked_at)
    quota = quotas_of_reps([rep.pk], measure=measure, period=period).get(rep.pk)
    credited = _credited(rep, measure, period)
    return GapPlan(
        rep=rep,
        measure=measure,
        period=period,
        on=on,
        credited_minor=credited,
        quota_minor=quota,
        steps=_steps(counting, credited, quota),
        later=sorted(later, key=lambda o: (o.close_date, -o.credit_minor, o.deal.pk)),
        others=others,
        more=more,
    )


def _steps(deals: Iterable[OpenDeal], credited: int, quota: int | None) -> list[Step]:
    """Largest first: no smaller number of deals could close the gap."""
    steps: list[Step] = []
    running = credited
    for deal in sorted(deals, key=lambda o: (-o.credit_minor, o.close_date, o.deal.pk)):
        before, running = running, running + deal.credit_minor
        steps.append(
            Step(
                deal,
                running,
                max(0, (quota or 0) - running),
                closes=bool(quota) and before < (quota or 0) <= running,
            )
        )
    return steps


def _open_deals(rep: Rep) -> tuple[list[Deal], int]:
    """Those that the rep has a share of as they are now entered, the latest first. 2 queries at most."""
    mine = (
        Deal.objects.filter(
            Q(state__in=[DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED])
            | Q(state=DealState.APPROVED, amended_at__isnull=False),
            latest_version__in=DealShare.objects.filter(rep=rep).values("version"),
        )
        .exclude(latest_version__kind=DealKind.CONSUMPTION)
        .select_related("customer", "latest_version", "credited_version")
        .order_by("-pk")
    )
    found = list(mine[: MOST_OPEN + 1])
    if len(found) <= MOST_OPEN:
        return found, 0
    return found[:MOST_OPEN], mine.count() - MOST_OPEN


def _documents(deals: Sequence[Deal]) -> list[dict[str, Any]]:
    """In the shape of lines_from_json.sql, as they are now entered; a held deal is looked at as if it were not. 2 queries, none without any."""
    if not deals:
        return []
    versions = [deal.latest for deal in deals]
    lines: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for line in DealLine.objects.filter(version__in=versions).order_by("version_id", "line_no"):
        lines[line.version_id].append(
            {
                "line_no": line.line_no,
                "offering_id": line.offering_id,
                "plan_id": line.plan_id,
                "amount": line.amount_minor,
                "billed": line.billed_minor,
                "quantity": None if line.quantity is None else str(line.quantity),
                "term": line.term_months,
            }
        )
    shares: dict[int, list[dict[str, int]]] = defaultdict(list)
    for share in DealShare.objects.filter(version__in=versions).order_by("version_id", "ordinal"):
        shares[share.version_id].append({"ordinal": share.ordinal, "rep_id": share.rep_id, "ppm": share.ppm})
    return [
        {
            "calendar_id": deal.calendar_id,
            "customer_id": deal.customer_id,
            "kind": version.kind,
            "close_date": version.close_date.isoformat(),
            "currency": version.currency_id,
            "segment": version.segment,
            "region": version.region,
            "new_customer": version.new_customer,
            "refunds_id": version.refunds_id,
            "lines": lines[version.pk],
            "shares": shares[version.pk],
        }
        for deal, version in zip(deals, versions, strict=True)
    ]


def _standing(rep: Rep, measure: Measure, leaves: set[int], deals: Sequence[int]) -> dict[int, int]:
    """What already stands in the period for deals that are amended. 1 query, none where there is no such deal."""
    if not deals:
        return {}
    return dict(
        CreditEntry.objects.filter(deal__in=deals, rep=rep, measure=measure, posting_period__in=leaves)
        .order_by()
        .values_list("deal_id")
        .annotate(Sum("amount_minor"))
    )


def _credited(rep: Rep, measure: Measure, period: Period) -> int:
    """As reported, direct and overlay. 1 query."""
    together = CreditTotal.objects.filter(
        rep=rep, measure=measure, period=period, basis=TotalBasis.REPORTED
    ).aggregate(together=Sum(F("direct_minor") + F("overlay_minor")))["together"]
    return int(together or 0)
