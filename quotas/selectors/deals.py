"""Lists of deals: what they are worth, what they earned, what looks entered twice."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Prefetch, Q, QuerySet, Sum

from quotas.crediting import engine
from quotas.models import CreditEntry, Deal, DealLine, DealShare, DealState, Measure, Period, RuleVersion

DUPLICATE_DAYS: Final = 30
NOT_DUPLICATES: Final = (DealState.CANCELLED, DealState.REJECTED)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another deal with the same customer, offering and amount, closed within 30 days."""

    deal_id: int
    reference: str
    close_date: date
    state: str
    line_no: int


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a list is narrowed to; empty is everything."""

    state: str = ""
    held: bool = False
    period: Period | None = None
    words: str = ""
    rep: str = ""
    own_rep: int | None = None


def with_facts(deals: QuerySet[Deal]) -> QuerySet[Deal]:
    """Deals with everything a row shows. 3 queries."""
    lines = DealLine.objects.select_related("offering__publisher", "plan").order_by("line_no")
    shares = DealShare.objects.select_related("rep").order_by("ordinal")
    return deals.select_related("owner", "customer", "latest_version__currency").prefetch_related(
        Prefetch("latest_version__lines", lines), Prefetch("latest_version__shares", shares)
    )


def narrowed(
    deals: QuerySet[Deal], criteria: Criteria, *, but_state: bool = False, names: bool = True
) -> QuerySet[Deal]:
    """The deals that meet the criteria.

    but_state  Leave the state out, for the counts beside the states.
    names      Whether customers' and reps' names may be searched; a partner's search must not find what he cannot see.
    """
    if criteria.own_rep is not None:
        shared = DealShare.objects.filter(rep=criteria.own_rep).values("version")
        deals = deals.filter(Q(owner=criteria.own_rep) | Q(latest_version__in=shared))
    if criteria.rep:
        shared = DealShare.objects.filter(rep__slug=criteria.rep).values("version")
        deals = deals.filter(Q(owner__slug=criteria.rep) | Q(latest_version__in=shared))
    if criteria.period is not None:
        span = criteria.period
        deals = deals.filter(
            latest_version__close_date__gte=span.starts, latest_version__close_date__lt=span.ends
        )
    for word in criteria.words.split()[:6]:
        deals = deals.filter(_matches(word, names=names))
    if not but_state:
        if criteria.held:
            deals = deals.filter(held=True)
        elif criteria.state:
            deals = deals.filter(state=criteria.state)
    return deals


def _matches(word: str, *, names: bool) -> Q:
    sold = DealLine.objects.filter(Q(offering__name__icontains=word) | Q(offering__slug__icontains=word))
    found = Q(latest_version__in=sold.values("version"))
    number = word.upper().removeprefix("D-").lstrip("0")
    if number.isdecimal() and len(number) < 16:
        found |= Q(pk=int(number))
    if names:
        found |= (
            Q(customer__name__icontains=word)
            | Q(owner__name__icontains=word)
            | Q(latest_version__title__icontains=word)
        )
        found |= Q(external_id__iexact=word)
    return found


def counts_by_state(deals: QuerySet[Deal]) -> dict[str, int]:
    """State to number of deals. 1 query."""
    return dict(deals.order_by().values_list("state").annotate(Count("pk")))


def credit_of(deals: Iterable[int], entries: QuerySet[CreditEntry]) -> dict[int, list[tuple[Measure, int]]]:
    """Deal to net credit by measure, as far as these entries go; a deal without an entry is missing. 2 queries."""
    found: dict[int, list[tuple[Measure, int]]] = {}
    own = entries.filter(deal__in=list(deals)).order_by()
    measures = {measure.pk: measure for measure in Measure.objects.select_related("currency")}
    for deal_id, measure_id, amount in own.values_list("deal_id", "measure_id").annotate(Sum("amount_minor")):
        found.setdefault(deal_id, []).append((measures[measure_id], amount))
    for credit in found.values():
        credit.sort(key=lambda each: (each[0].position, each[0].pk))
    return found


# --- entered twice ----------------------------------------------------------------------------------------

_DUPLICATES: Final = """
SELECT DISTINCT ON (asked.place, d.id) asked.place, d.id, v.close_date, d.state, l.line_no
  FROM unnest(%(places)s::int[], %(customers)s::bigint[], %(offerings)s::bigint[], %(amounts)s::bigint[], %(currencies)s::text[],
              %(days)s::date[], %(deals)s::bigint[]) AS asked (place, customer_id, offering_id, amount_minor, currency_id, day, deal_id)
  JOIN quotas_deal d ON d.customer_id = asked.customer_id AND d.id <> asked.deal_id AND NOT d.state = ANY(%(out)s)
  JOIN quotas_dealversion v ON v.id = d.latest_version_id AND v.currency_id = asked.currency_id AND v.kind <> 'consumption'
   AND abs(v.close_date - asked.day) <= %(near)s
  JOIN quotas_dealline l ON l.version_id = v.id AND l.offering_id = asked.offering_id AND l.amount_minor = asked.amount_minor
 ORDER BY asked.place, d.id, l.line_no
"""


@dataclass(frozen=True, slots=True)
class Sold:
    """A line as it is compared; deal_id is its own deal, 0 before it is saved."""

    customer_id: int
    offering_id: int
    amount_minor: int
    currency: str
    day: date
    deal_id: int = 0


def duplicates(sold: Sequence[Sold]) -> list[list[Duplicate]]:
    """For each line, the other deals that look the same. 1 query, whatever their number."""
    found: list[list[Duplicate]] = [[] for _ in sold]
    if not sold:
        return found
    with connection.cursor() as cursor:
        cursor.execute(
            _DUPLICATES,
            {
                "places": list(range(len(sold))),
                "customers": [line.customer_id for line in sold],
                "offerings": [line.offering_id for line in sold],
                "amounts": [line.amount_minor for line in sold],
                "currencies": [line.currency for line in sold],
                "days": [line.day for line in sold],
                "deals": [line.deal_id for line in sold],
                "near": DUPLICATE_DAYS,
                "out": list(NOT_DUPLICATES),
            },
        )
        for place, deal, day, state, line_no in cursor.fetchall():
            found[place].append(Duplicate(deal, f"D-{deal:06d}", day, state, line_no))
    return found


def duplicates_of(deals: Sequence[Deal]) -> dict[int, list[Duplicate]]:
    """By deal, for deals that come from with_facts(). 1 query."""
    sold, owners = [], []
    for deal in deals:
        version = deal.latest_version
        if version is None or version.kind == "consumption":
            continue
        for line in version.lines.all():
            sold.append(
                Sold(
                    deal.customer_id,
                    line.offering_id,
                    line.amount_minor,
                    version.currency_id,
                    version.close_date,
                    deal.pk,
                )
            )
            owners.append(deal.pk)
    found: dict[int, list[Duplicate]] = {}
    for owner, same in zip(owners, duplicates(sold), strict=True):
        known = found.setdefault(owner, [])
        known += [each for each in same if each.deal_id not in {other.deal_id for other in known}]
    return found


# --- what would be credited -------------------------------------------------------------------------------


@dataclass
class Expected:
    """What a deal would earn if it were approved now; minor units by measure id, and the reasons for what earns nothing."""

    by_measure: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    reasons: list[str] = field(default_factory=list)


def expected_credit(deals: Sequence[Deal]) -> dict[int, Expected]:
    """By deal, for deals that come from with_facts(): one run of the engine that posts. 4 queries, whatever their number."""
    found = {deal.pk: Expected() for deal in deals}
    if not deals:
        return found
    credits, uncredited = engine.desired(engine.Unsaved([_document(deal) for deal in deals]))
    for credit in credits:
        found[deals[credit.deal_id - 1].pk].by_measure[credit.measure_id] += credit.amount
    for gap in uncredited:
        reasons = found[deals[gap.deal_id - 1].pk].reasons
        if gap.reason not in reasons:
            reasons.append(gap.reason)
    return found


def _document(deal: Deal) -> Mapping[str, Any]:
    """A stored version in the shape that the engine takes for unsaved deals."""
    version = deal.latest_version
    assert version is not None  # noqa: S101 -- every deal is written with a version
    return {
        "customer_id": deal.customer_id,
        "kind": version.kind,
        "close_date": version.close_date.isoformat(),
        "currency": version.currency_id,
        "segment": version.segment,
        "region": version.region,
        "new_customer": version.new_customer,
        "lines": [
            {
                "line_no": line.line_no,
                "offering_id": line.offering_id,
                "plan_id": line.plan_id,
                "amount": line.amount_minor,
                "quantity": None if line.quantity is None else str(line.quantity),
                "term": line.term_months,
            }
            for line in version.lines.all()
        ],
        "shares": [{"ordinal": s.ordinal, "rep_id": s.rep_id, "ppm": s.ppm} for s in version.shares.all()],
    }


def rule_names(rule_versions: Iterable[int]) -> dict[int, str]:
    """Rule version to its name. 1 query."""
    return dict(RuleVersion.objects.filter(pk__in=set(rule_versions)).values_list("pk", "name"))
