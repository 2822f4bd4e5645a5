"""Lists of deals: what they are worth, what they earned, what looks entered twice."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db import connection
from django.db.models import (
    BooleanField,
    Case,
    Count,
    F,
    Prefetch,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
    prefetch_related_objects,
)

from accounts.models import User
from marketplace.models import Offering
from quotas.crediting import engine
from quotas.crediting.explain import Missing, missing_unsaved
from quotas.crediting.explanation.pending import document_of
from quotas.models import (
    ENDED,
    AccountOwnership,
    CreditEntry,
    Deal,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Measure,
    Period,
    ReceiverClass,
    RuleVersion,
)
from quotas.selectors.finding import Word
from quotas.selectors.visibility import reps_for

DUPLICATE_DAYS: Final = 30


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another deal with the same customer, offering and amount, closed within 30 days."""

    deal_id: int
    reference: str
    close_date: date
    state: str
    line_no: int

    @property
    def state_name(self) -> str:
        return str(DealState(self.state).label)


@dataclass(frozen=True, slots=True)
class Usual:
    """What a customer bought before, as far as the asking person may see it."""

    last: Deal | None = None
    offerings: tuple[Offering, ...] = ()

    @property
    def currency(self) -> str:
        return self.last.in_force.currency.code if self.last else ""


def usual_of(customer_id: int, visible: QuerySet[Deal], most: int = 5) -> Usual:
    """The latest deal of a customer and the offerings of the latest five, the most recent first. 4 queries."""
    deals = list(with_facts(visible.filter(customer=customer_id)).order_by("-id")[:most])
    complete(deals)
    sold = {line.offering_id: line.offering for deal in deals for line in deal.in_force.lines.all()}
    return Usual(deals[0] if deals else None, tuple(sold.values()))


@dataclass(frozen=True, slots=True)
class Criteria:
    """What a list is narrowed to; empty is everything."""

    state: str = ""
    held: bool = False
    amended: bool = False
    period: Period | None = None
    words: str = ""
    rep: str = ""
    source: str = ""
    own_rep: int | None = None


def with_facts(deals: QuerySet[Deal]) -> QuerySet[Deal]:
    """Deals with everything a row shows. 3 queries."""
    lines = DealLine.objects.select_related("offering__publisher", "plan").order_by("line_no")
    shares = DealShare.objects.select_related("rep").order_by("ordinal")
    return deals.select_related(
        "owner", "customer", "latest_version__currency", "credited_version__currency", "amended_by"
    ).prefetch_related(Prefetch("latest_version__lines", lines), Prefetch("latest_version__shares", shares))


def with_facts_of(found: Collection[int] | None = None) -> QuerySet[Deal]:
    """with_facts() of deals by ids that were found among those which their reader may see; None where the ids are filtered by afterwards."""
    deals = Deal.objects.all()
    return with_facts(deals if found is None else deals.filter(pk__in=found))


def complete(
    deals: Iterable[Deal],
    *,
    lines: QuerySet[DealLine] | None = None,
    shares: QuerySet[DealShare] | None = None,
) -> None:
    """Fetch what stands of those deals whose amendment waits; of all the others the latest version is it. 2 queries or none."""
    standing = [
        d.credited_version for d in deals if d.amended_at is not None and d.credited_version is not None
    ]
    if standing:
        prefetch_related_objects(
            standing,
            Prefetch(
                "lines",
                lines
                if lines is not None
                else DealLine.objects.select_related("offering__publisher", "plan").order_by("line_no"),
            ),
            Prefetch(
                "shares",
                shares if shares is not None else DealShare.objects.select_related("rep").order_by("ordinal"),
            ),
        )


def closes_in(starts: date, ends: date) -> Q:
    """Deals whose version in force closes in [starts, ends)."""
    latest = Q(latest_version__close_date__gte=starts, latest_version__close_date__lt=ends)
    standing = Q(credited_version__close_date__gte=starts, credited_version__close_date__lt=ends)
    return Q(latest, amended_at=None) | Q(standing, amended_at__isnull=False)


def narrowed(
    deals: QuerySet[Deal],
    criteria: Criteria,
    *,
    words: Sequence[Word] = (),
    but_state: bool = False,
    names: bool = True,
) -> QuerySet[Deal]:
    """The deals that meet the criteria.

    words      What the words of the criteria mean, from looked_up(): looked up once however often a list is narrowed.
    but_state  Leave the state out, for the counts beside the states.
    names      Whether sources are any business of who asks.
    """
    if criteria.own_rep is not None:
        shared = DealShare.objects.filter(rep=criteria.own_rep).values("version")
        deals = deals.filter(Q(owner=criteria.own_rep) | _takes_part(shared))
    if criteria.rep:
        shared = DealShare.objects.filter(rep__slug=criteria.rep).values("version")
        deals = deals.filter(Q(owner__slug=criteria.rep) | _takes_part(shared))
    if criteria.source and names:
        deals = deals.filter(source=criteria.source)
    if criteria.period is not None:
        deals = deals.filter(
            closes_in(criteria.period.starts, criteria.period.ends), calendar=criteria.period.calendar_id
        )
    for word in words:
        deals = deals.filter(word.condition)
    if not but_state:
        if criteria.held:
            deals = deals.filter(held=True)
        elif criteria.amended:
            deals = deals.filter(amended_at__isnull=False)
        elif criteria.state:
            deals = deals.filter(state=criteria.state)
    return deals


def _takes_part(versions: QuerySet[DealShare, Any]) -> Q:
    """In what is entered now; and while an amendment waits, in what stands and is credited."""
    return Q(latest_version__in=versions) | Q(credited_version__in=versions, amended_at__isnull=False)


def latest_versions(deals: QuerySet[Deal]) -> QuerySet[DealVersion]:
    """Those of these deals. Nearly every version is one; the planner would take it for a coincidence, were it not in a CASE."""
    latest = Case(
        When(deal__latest_version=F("pk"), then=Value(True)),
        default=Value(False),
        output_field=BooleanField(),
    )
    return DealVersion.objects.filter(Q(latest), deal__in=deals.values("pk"))


@dataclass(frozen=True, slots=True)
class Counted:
    """How many deals, by state and in all. Of those that are counted to a bound, more says that there are more."""

    by_state: Mapping[str, int]
    held: int
    amended: int
    more: bool = False

    @property
    def all(self) -> int:
        return sum(self.by_state.values())


def counted(deals: QuerySet[Deal], most: int | None = None) -> Counted:
    """3 queries along indexes; or, where many conditions have to be met, 1 that stops behind the first *most* of them."""
    deals = deals.order_by()
    if most is None:
        return Counted(
            dict(deals.values_list("state").annotate(Count("pk"))),
            deals.filter(held=True).count(),
            deals.filter(amended_at__isnull=False).count(),
        )
    rows = list(deals.values_list("state", "held", "amended_at")[: most + 1])
    return Counted(
        Counter(state for state, *_rest in rows),
        sum(held for _state, held, _amended in rows),
        sum(amended is not None for *_rest, amended in rows),
        more=len(rows) > most,
    )


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


# --- refunds ----------------------------------------------------------------------------------------------


def refunded_by(originals: Iterable[int], *, settled: bool = False) -> list[tuple[int, int, int, int]]:
    """(original, offering, refund, amount) of what their refunds take back, negative; those that wait for approval count too. 1 query.

    settled  Approved ones alone.
    """
    approved = Q(version__deal__state=DealState.APPROVED, version=F("version__deal__credited_version"))
    waiting = Q(version__deal__state=DealState.SUBMITTED, version=F("version__deal__latest_version"))
    return list(
        DealLine.objects.filter(
            approved if settled else approved | waiting, version__refunds__in=list(originals)
        )
        .order_by()
        .values_list("version__refunds_id", "offering_id", "version__deal_id")
        .annotate(Sum("amount_minor"))
    )


def refunds_of(original: int) -> list[Deal]:
    """The refunds of a deal that are approved or wait for it, oldest first, each with the version in force. 1 query."""
    named = DealVersion.objects.filter(refunds=original).values("deal")
    approved = Q(state=DealState.APPROVED, credited_version__refunds=original)
    waiting = Q(state=DealState.SUBMITTED, latest_version__refunds=original)
    return list(
        Deal.objects.filter(approved | waiting, pk__in=named)
        .select_related("latest_version__currency", "credited_version__currency")
        .order_by("id")
    )


# --- consumption ------------------------------------------------------------------------------------------


def owners_of_usage(deals: Iterable[Deal]) -> dict[int, str]:
    """By consumption deal, the name of the account's owner on its credit date; missing where nobody was. 1 query."""
    wanted = list(deals)
    spans: dict[int, list[AccountOwnership]] = defaultdict(list)
    for span in AccountOwnership.objects.filter(
        customer__in={deal.customer_id for deal in wanted}, superseded_at=None
    ).select_related("rep"):
        spans[span.customer_id].append(span)
    return {
        deal.pk: span.rep.name
        for deal in wanted
        for span in spans[deal.customer_id]
        if deal.in_force.close_date in span.credits
    }


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
                "out": list(ENDED),
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
    """What a deal would earn if it were approved now; minor units by measure id, and a sentence for each thing that earns nothing."""

    by_measure: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_rep: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))
    reasons: list[str] = field(default_factory=list)


def expected_credit(
    deals: Sequence[Deal],
    *,
    versions: Sequence[DealVersion] | None = None,
    seen_by: User | None = None,
    on: date | None = None,
    why: Callable[..., Sequence[Missing]] = missing_unsaved,
) -> dict[int, Expected]:
    """By deal, for deals that come from with_facts(): one run of the engine that posts. A fixed number of queries.

    versions  What to credit of each, in their order, with its lines and shares; the latest otherwise.
    seen_by   Leaves out overlay credit of reps whose numbers this person may not see on the day *on*; None leaves out nothing.
    why       Tells the reasons: as records have them, unless a page has telling.missing_unsaved tell them as its reader reads.
    """
    found = {deal.pk: Expected() for deal in deals}
    if not deals:
        return found
    chosen = versions if versions is not None else [deal.latest for deal in deals]
    documents = [
        document_of(version, customer_id=deal.customer_id, calendar_id=deal.calendar_id)
        for deal, version in zip(deals, chosen, strict=True)
    ]
    credits, uncredited = engine.desired(engine.Unsaved(documents))
    overlay = {credit.rep_id for credit in credits if credit.receiver_class == ReceiverClass.OVERLAY}
    if seen_by is not None and on is not None and overlay:
        overlay -= set(reps_for(seen_by, on).filter(pk__in=overlay).values_list("pk", flat=True))
        credits = [c for c in credits if c.receiver_class == ReceiverClass.DIRECT or c.rep_id not in overlay]
    for credit in credits:
        expected = found[deals[credit.deal_id - 1].pk]
        expected.by_measure[credit.measure_id] += credit.amount
        expected.by_rep[credit.measure_id, credit.rep_id] += credit.amount
    for gap in why(uncredited, documents):
        reasons = found[deals[gap.deal_id - 1].pk].reasons
        if gap.sentence not in reasons:
            reasons.append(gap.sentence)
    return found


def rule_names(rule_versions: Iterable[int]) -> dict[int, str]:
    """Rule version to its name. 1 query."""
    return dict(RuleVersion.objects.filter(pk__in=set(rule_versions)).values_list("pk", "name"))
