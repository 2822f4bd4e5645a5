"""A span of the ledger: which entries somebody asks for, and what they come to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.db.models import Count, Max, Q, QuerySet, Sum

from config.clock import first_moment
from quotas.models import Adjustment, CreditEntry, CreditTotal, Grain, Measure, Period, Rep, Team, TotalBasis
from quotas.selectors import periods, teams
from quotas.selectors.finding import named

MOST_REPS: Final = 500
MOST_ADDED: Final = 50_000  # entries that are added up unasked


@dataclass(frozen=True, slots=True)
class Span:
    """What a span of the ledger is narrowed to; empty is everything.

    period   Its months take the entries; with origin, they are the months in which the credit is dated.
    moved    Only entries posted in its months and dated in others, or dated in them and posted in others: what restating moves.
    first    First and last operator's day on which entries were posted.
    team     With every team below it on the day asked.
    rep      A slug, an employee number or a part of a name.
    deal     With the adjustments about it.
    """

    period: Period | None = None
    origin: bool = False
    moved: bool = False
    first: date | None = None
    last: date | None = None
    measure: Measure | None = None
    team: Team | None = None
    rep: str = ""
    deal: int | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """What the entries of one measure come to; minor units of the measure."""

    measure: Measure
    entries: int
    reversals: int
    net_minor: int


def months_of(span: Span) -> list[int]:
    """Every month whose partition can hold an entry of the span. 1 query, or 2."""
    months = Period.objects.filter(grain=Grain.MONTH)
    if span.period is not None:
        if span.moved or span.origin:
            months = months.filter(calendar=span.period.calendar_id, ends__gt=span.period.starts)
        else:
            return [leaf.pk for leaf in periods.leaves_of(span.period)]
    return list(months.values_list("pk", flat=True))


def entries_in(
    span: Span, entries: QuerySet[CreditEntry], on: date, months: Sequence[int] | None = None
) -> QuerySet[CreditEntry]:
    """Those of *entries* that the span asks for. 1 to 4 queries; every partition that can hold one is named by its month.

    months  What months_of says, where that is known.
    """
    if span.period is not None and (span.moved or span.origin):
        leaves = [leaf.pk for leaf in periods.leaves_of(span.period)]
        of_origin = Q(origin_period__in=leaves)
        entries = entries.filter(Q(posting_period__in=leaves) ^ of_origin if span.moved else of_origin)
    found = entries.filter(posting_period__in=months_of(span) if months is None else months)
    if span.first is not None:
        found = found.filter(posting__recorded_at__gte=first_moment(span.first))
    if span.last is not None:
        found = found.filter(posting__recorded_at__lt=first_moment(span.last + timedelta(days=1)))
    if span.measure is not None:
        found = found.filter(measure=span.measure)
    if span.team is not None:
        below = list(teams.below(span.team.pk, on))
        found = found.filter(team__in=below)
        credited = _credited_in(below, span.measure, months_of(span) if months is None else months)
        if len(credited) <= MOST_REPS:  # there is an index of reps, and none of teams
            found = found.filter(rep__in=credited)
    if span.rep:
        exact = Rep.objects.filter(Q(slug=span.rep) | Q(employee_no=span.rep))
        every = exact.values_list("pk", flat=True).union(
            named(Rep.objects.all(), span.rep).values_list("pk", flat=True)
        )
        found = found.filter(rep__in=list(every[:MOST_REPS]))
    if span.deal is not None:
        about = Q(deal=span.deal)
        for pk, rep in Adjustment.objects.filter(deal=span.deal).values_list("pk", "rep"):
            about |= Q(rep=rep, adjustment=pk)  # of adjustments there is no index
        found = found.filter(about)
    return found


def _credited_in(below: Sequence[int], measure: Measure | None, months: Sequence[int]) -> list[int]:
    """Reps with an entry in one of these teams, one more than MOST_REPS at most: whoever has one has a total. 1 query, or 2."""
    measures = [measure.pk] if measure is not None else list(Measure.objects.values_list("pk", flat=True))
    totals = CreditTotal.objects.filter(
        period__in=months, measure__in=measures, basis=TotalBasis.REPORTED, team__in=below
    )
    return list(totals.order_by().values_list("rep", flat=True).distinct()[: MOST_REPS + 1])


def next_ids(
    found: QuerySet[CreditEntry],
    months: Sequence[int],
    *,
    size: int,
    beyond: int | None = None,
    up: bool = False,
) -> list[int]:
    """Ids of the next entries downwards, or with *up* upwards: from the one beyond which they lie, else from the end. 1 query.

    Each month's are found along its own index: all months in one order would be sorted first.
    """
    order = "id" if up else "-id"
    if beyond is not None:
        found = found.filter(id__gt=beyond) if up else found.filter(id__lt=beyond)
    pages = [
        found.filter(posting_period=month).order_by(order).values_list("id", flat=True)[:size]
        for month in months
    ]
    if not pages:
        return []
    ids = sorted(pages[0].union(*pages[1:], all=True) if len(pages) > 1 else pages[0], reverse=not up)
    return sorted(ids[:size], reverse=True)


def are_many(found: QuerySet[CreditEntry]) -> bool:
    """Whether there are more than are added up unasked. 1 query."""
    return found.order_by().values("pk")[: MOST_ADDED + 1].count() > MOST_ADDED


def sums(found: QuerySet[CreditEntry]) -> list[Sums]:
    """By measure, in their order. 2 queries."""
    counted = (
        found.order_by()
        .values_list("measure")
        .annotate(
            n=Count("pk"), undone=Count("pk", filter=Q(reverses_id__isnull=False)), net=Sum("amount_minor")
        )
    )
    by_measure = {measure: rest for measure, *rest in counted}
    known = Measure.objects.filter(pk__in=by_measure).select_related("currency").order_by("position", "pk")
    return [Sums(measure, *by_measure[measure.pk]) for measure in known]


def last_entry(found: QuerySet[CreditEntry]) -> int:
    """The newest of them, 0 without any; what is posted later is no part of a file begun now. 1 query."""
    return found.order_by().aggregate(last=Max("pk"))["last"] or 0


def with_names(found: QuerySet[CreditEntry]) -> QuerySet[CreditEntry]:
    """With whatever a row of the page names, in the same query."""
    return found.select_related(
        "rep",
        "team",
        "measure__currency",
        "posting",
        "posting_period",
        "origin_period",
        "deal__customer",
        "rule_version",
        "adjustment",
    )
