"""Crediting that is not posted: what a deal would earn, before it is saved."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import connection
from django.db.models import Sum

from accounts.models import User
from config.clock import day_of
from marketplace.models import Customer
from quotas.crediting import engine
from quotas.models import CreditEntry, Deal, Grain, KeptGroup, Measure, Period, PeriodState, ReceiverClass
from quotas.selectors import asof, kept
from quotas.selectors.kept import Look
from quotas.selectors.leaderboard import day_of as day_read
from quotas.selectors.periods import calendar_of_rep, months_in
from quotas.selectors.targets import quotas_by_measure
from quotas.selectors.visibility import reps_for
from quotas.services import keeping
from quotas.services.booking import DealDraft, Facts

EstimatedCredit = engine.Desired
EstimatedGap = engine.Uncredited


@dataclass(frozen=True)
class StandingChange:
    """What a deal would do to a rep's standing in a measure, in the quarter in which it would be posted; minor units of the measure.

    Ranks are among all reps by credited amount, competition ranks; None before the first credit. Among very many reps they are
    those of the leaderboard as it is kept, and None until it is.
    """

    rep_id: int
    measure_id: int
    period_id: int
    credited_before: int
    credited_after: int
    quota_minor: int | None
    rank_before: int | None
    rank_after: int | None

    @property
    def gained(self) -> int:
        return self.credited_after - self.credited_before


@dataclass(frozen=True)
class Estimate:
    """What a deal would earn if it were approved now, by the engine that posts.

    measures  Those that are in it, by id, with their currencies.
    stands    Measure to what stands for the deal that is amended.
    """

    credits: list[EstimatedCredit]
    uncredited: list[EstimatedGap]
    standings: list[StandingChange]
    measures: Mapping[int, Measure]
    stands: Mapping[int, int] = field(default_factory=dict)


def estimate(
    *,
    draft: DealDraft,
    at: datetime,
    amends: Deal | None = None,
    seen_by: User | None = None,
    facts: Facts | None = None,
) -> Estimate:
    """Credit, attainment and rank of a deal that is not saved. Writes nothing of it; a fixed number of queries.

    amends   The approved deal that the draft would amend: the credits are what would stand then, the standings move by the difference.
    facts    Those that the draft was weighed by, so that nothing is read again; of no amendment.
    seen_by  Leaves out overlay credit of reps whose numbers this person may not see; None leaves out nothing.
    """
    asked = document(draft, amends=amends, facts=None if amends is not None else facts)
    credits, uncredited = engine.desired(engine.Unsaved([asked]))
    overlay = {c.rep_id for c in credits if c.receiver_class == ReceiverClass.OVERLAY}
    if seen_by is not None and overlay:
        seen = set(reps_for(seen_by, day_of(at)).filter(pk__in=overlay).values_list("pk", flat=True))
        credits = [c for c in credits if c.receiver_class == ReceiverClass.DIRECT or c.rep_id in seen]
    stands = (
        dict(
            CreditEntry.objects.filter(deal=amends)
            .order_by()
            .values_list("measure_id")
            .annotate(Sum("amount_minor"))
        )
        if amends is not None
        else {}
    )
    touched = {credit.measure_id for credit in credits} | stands.keys()
    measures = Measure.objects.select_related("currency").in_bulk(touched)
    standings = _standings(credits, amends, measures, at)
    return Estimate(credits, uncredited, standings, measures, stands)


def document(draft: DealDraft, *, amends: Deal | None = None, facts: Facts | None = None) -> dict[str, Any]:
    """A draft in the shape of lines_from_json.sql; calendar and the customer's segment and region as they would be pinned.

    facts  Those that the draft was weighed by, so that nothing is read again.
    """
    customer = (
        amends.in_force
        if amends is not None
        else facts.customers.get(draft.customer_id)
        if facts is not None
        else Customer.objects.filter(pk=draft.customer_id).first()
    )
    calendar_id = facts.calendar_of(draft, amends) if facts is not None else _calendar_id(draft, amends)
    return {
        "calendar_id": calendar_id,
        "customer_id": draft.customer_id,
        "kind": draft.kind,
        "close_date": draft.close_date.isoformat(),
        "currency": draft.currency,
        "segment": customer.segment if customer else "",
        "region": customer.region if customer else "",
        "new_customer": draft.new_customer,
        "refunds_id": draft.refunds_id,
        "lines": [
            {
                "line_no": line.line_no or number,
                "offering_id": line.offering_id,
                "plan_id": line.plan_id,
                "amount": line.amount_minor,
                "billed": line.billed_minor,
                "quantity": None if line.quantity is None else str(line.quantity),
                "term": line.term_months,
            }
            for number, line in enumerate(draft.lines, start=1)
        ],
        "shares": [
            {"ordinal": n, "rep_id": share.rep_id, "ppm": share.ppm}
            for n, share in enumerate(draft.shares, start=1)
        ],
    }


def _calendar_id(draft: DealDraft, amends: Deal | None) -> int | None:
    """The deal's own, else that of its owner on the close date."""
    if amends is not None:
        return amends.calendar_id
    found = calendar_of_rep(draft.owner_id, draft.close_date)
    return found.pk if found else None


def _standings(
    credits: list[EstimatedCredit], amends: Deal | None, known: Mapping[int, Measure], at: datetime
) -> list[StandingChange]:
    """As reported: credit of a month that is closed counts in the quarter that takes its posting."""
    months = Period.objects.filter(pk__in={credit.posting_period_id for credit in credits})
    quarter = (
        Period.objects.select_related("calendar").filter(pk__in=months.values("quarter")).first()
        if credits
        else None
    )
    if quarter is None:
        return []
    gained: dict[tuple[int, int], int] = defaultdict(int)
    for credit in credits:
        gained[credit.measure_id, credit.rep_id] += credit.amount
    if amends is not None:
        for measure_id, rep_id, amount in _reversed_in(quarter, amends):
            gained[measure_id, rep_id] -= amount
    measures = [measure for pk, measure in known.items() if pk in {m for m, _ in gained}]
    quotas = quotas_by_measure({r for _, r in gained}, measures=[m.pk for m in measures], period=quarter)
    looks = kept.looked_up_together(
        [Look(KeptGroup.REP, "credit", asof.now(quarter), measure, None) for measure in measures],
        on=day_read(quarter, at),
        at=at,
    )
    if any(look.kept for look in looks) or kept.many_reps():
        for look in looks:
            keeping.looked_at(replace(look, large=True), at=at)
        before_and_ranks = _ranks_kept(quarter, looks, gained)
    else:
        before_and_ranks = _ranks(quarter.pk, gained)
    return [
        StandingChange(
            rep_id=rep_id,
            measure_id=measure_id,
            period_id=quarter.pk,
            credited_before=before,
            credited_after=before + gained[measure_id, rep_id],
            quota_minor=quotas.get((measure_id, rep_id)),
            rank_before=rank_before,
            rank_after=rank_after,
        )
        for measure_id, rep_id, before, rank_before, rank_after in before_and_ranks
    ]


def _reversed_in(quarter: Period, deal: Deal) -> Iterator[tuple[int, int, int]]:
    """Measure, rep and amount of what stands for a deal and would be reversed in a quarter: where it was posted, or in the next open month. 2 queries."""
    opened = list(
        Period.objects.filter(calendar=quarter.calendar_id, grain=Grain.MONTH, state=PeriodState.OPEN)
        .order_by("starts")
        .values_list("starts", "quarter")
    )
    standing = CreditEntry.objects.filter(deal=deal).order_by()
    for measure_id, rep_id, starts, amount in standing.values_list(
        "measure_id", "rep_id", "posting_period__starts"
    ).annotate(Sum("amount_minor")):
        if next((pk for first, pk in opened if first >= starts), None) == quarter.pk:
            yield measure_id, rep_id, amount


Ranked = tuple[int, int, int, int | None, int | None]

_RANKS = """
with gained as (select * from unnest(%s::bigint[], %s::bigint[], %s::bigint[]) g(measure_id, rep_id, gain)),
standing as materialized (
  select measure_id, rep_id, sum(direct_minor + overlay_minor) amount from quotas_credittotal
  where period_id = %s and basis = 1 and measure_id = any(%s) group by measure_id, rep_id)
select g.measure_id, g.rep_id, coalesce(own.amount, 0)::bigint,
  case when own.rep_id is not null then 1 + count(s.rep_id) filter (where s.amount > own.amount) end,
  1 + count(s.rep_id) filter (where s.amount > coalesce(own.amount, 0) + g.gain)
from gained g
left join standing own on own.measure_id = g.measure_id and own.rep_id = g.rep_id
left join standing s on s.measure_id = g.measure_id and s.rep_id <> g.rep_id
group by g.measure_id, g.rep_id, g.gain, own.rep_id, own.amount
order by g.measure_id, g.rep_id"""


def _ranks(period_id: int, gained: Mapping[tuple[int, int], int]) -> list[Ranked]:
    """Per measure and rep: credited now, rank now, rank with the gain. 1 query over the period's totals."""
    keys = sorted(gained)
    with connection.cursor() as cursor:
        cursor.execute(
            _RANKS,
            [
                [m for m, _ in keys],
                [r for _, r in keys],
                [gained[k] for k in keys],
                period_id,
                sorted({m for m, _ in keys}),
            ],
        )
        return list(cursor.fetchall())


def _ranks_kept(
    quarter: Period, looks: Sequence[Look], gained: Mapping[tuple[int, int], int]
) -> list[Ranked]:
    """The same among very many reps: credit by the rep's own entries, ranks by the kept leaderboards. 3 queries."""
    entries = CreditEntry.objects.filter(
        posting_period__in=months_in(quarter),
        measure__in={measure_id for measure_id, _ in gained},
        rep__in={rep_id for _, rep_id in gained},
    ).order_by()
    stand: dict[tuple[int, int], int] = {
        (measure_id, rep_id): amount
        for measure_id, rep_id, amount in entries.values_list("measure_id", "rep_id").annotate(
            Sum("amount_minor")
        )
    }
    boards = {look.measure.pk: look.kept for look in looks if look.kept is not None and not look.old}
    moves = [
        (measure_id, rep_id, stand.get((measure_id, rep_id), 0), gain)
        for (measure_id, rep_id), gain in sorted(gained.items())
    ]
    ranked = [move for move in moves if move[0] in boards]
    ranks = kept.ranks_by_credit(
        [
            (boards[measure_id], rep_id, credited)
            for measure_id, rep_id, before, gain in ranked
            for credited in (before, before + gain)
        ]
    )
    told = {move[:2]: (ranks[2 * n], ranks[2 * n + 1]) for n, move in enumerate(ranked)}
    return [
        (
            *(measure_id, rep_id, before),
            told[measure_id, rep_id][0]
            if (measure_id, rep_id) in told and (measure_id, rep_id) in stand
            else None,
            told[measure_id, rep_id][1] if (measure_id, rep_id) in told else None,
        )
        for measure_id, rep_id, before, _gain in moves
    ]
