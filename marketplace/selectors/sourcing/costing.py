"""What our own use of models cost: usage by the month, times the price in effect, less what is agreed with its supplier.

- The list price of the plan as which the model is bought, in USD where it has one, in the world's market.
- Where prices or discounts change within a month, its tokens count evenly by days.
- Days without a price in effect, and meters whose price is unknown, make a line unpriced: named, never zero.
- Tiers by month and rates for long requests are read as if the line were the only one of its plan, with requests as counted.
- Exact fractions inside, rounded once a line, half away from zero, to minor units.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Final

from django.db.models import QuerySet

from config.formats import rounded
from config.months import add_months
from marketplace.models import FeatureUsage, Plan, PriceVersion, SupplierAgreement
from marketplace.selectors.costs import Usage, monthly_cost
from marketplace.selectors.prices import WORLD, price_versions

USD: Final = "USD"
ONE: Final = 1_000_000
NOT_SOLD: Final = "No plan sells it."
NO_PRICE: Final = "No price is in effect."


@dataclass(frozen=True, slots=True)
class Priced:
    """What something cost. amount in the currency's major unit, exact; None is not known, and why says why not.

    listed   The same at list prices, before what is agreed with the supplier.
    """

    amount: Fraction | None
    currency: str = USD
    why: str = ""
    listed: Fraction | None = None

    @property
    def minor(self) -> int | None:
        """Cents; half away from zero."""
        return None if self.amount is None else rounded(self.amount * 100)

    @property
    def listed_minor(self) -> int | None:
        """Cents at list prices."""
        return None if self.listed is None else rounded(self.listed * 100)


@dataclass(frozen=True, slots=True)
class SpendLine:
    """Usage of one feature, model version, plan and host in one month, with its cost.

    supplier_id   The publisher that makes the model.
    month         Its first day.
    """

    feature_id: int
    version_id: int
    supplier_id: int
    plan_id: int | None
    host_id: int | None
    month: date
    usage: Usage
    cost: Priced
    synthetic: bool

    @property
    def tokens(self) -> int:
        return self.usage.input_tokens + self.usage.output_tokens


class PriceBook:
    """Every price and discount that a span of months may need, read once: 4 queries, then none."""

    def __init__(self, plan_ids: Iterable[int], first: date, end: date) -> None:
        wanted = set(plan_ids)
        self._edges: dict[int, Sequence[date]] = {}
        self._listed: dict[int, Sequence[PriceVersion]] = {}
        self._plans = {
            plan.pk: plan
            for plan in Plan.objects.filter(pk__in=wanted).select_related("offering__model_version__model")
        }
        self._versions: dict[int, list[PriceVersion]] = defaultdict(list)
        listed = price_versions(wanted).filter(effective__overlap=(first, end), market=WORLD)
        for version in listed.defer("recorded_at", "superseded_at"):
            self._versions[version.plan_id].append(version)
        self._discounts: dict[int, list[SupplierAgreement]] = defaultdict(list)
        for agreement in SupplierAgreement.objects.filter(
            superseded_at=None, discount_ppm__gt=0, supplier__publisher__isnull=False
        ).select_related("supplier"):
            self._discounts[agreement.supplier.publisher_id or 0].append(agreement)

    def cost(self, plan_id: int | None, month: date, usage: Usage) -> Priced:
        """What a month's usage costs on a plan. No query."""
        plan = self._plans.get(plan_id or 0)
        if plan is None:
            return Priced(None, why=NOT_SOLD)
        end = add_months(month, 1)
        days = (end - month).days
        total = listed = Fraction(0)
        currency = ""
        for start, stop, version in self._pieces(plan, month, end):
            if version is None:
                return Priced(None, why=NO_PRICE)
            if currency and version.currency_id != currency:
                return Priced(None, why="Its price changes its currency within the month.")
            currency = version.currency_id
            found = monthly_cost([version], usage, plan, currency)
            if found.total is None:
                return Priced(None, currency, found.why_unknown)
            part = found.total * Fraction((stop - start).days, days)
            listed += part
            total += part * self._kept(plan, start)
        return Priced(total, currency, listed=listed)

    def plan(self, plan_id: int | None) -> Plan | None:
        """With its offering and model; None for one that nobody asked for. No query."""
        return self._plans.get(plan_id or 0)

    def last(self, plan: Plan, before: date) -> PriceVersion | None:
        """The list price that ended last up to *before*; None where none that is known here did. No query."""
        ended = [v for v in self._in_one_currency(plan) if v.effective.upper and v.effective.upper <= before]
        return max(ended, key=lambda version: version.effective.upper, default=None)

    def pieces(self, plan: Plan, month: date) -> list[tuple[date, date, PriceVersion | None, Fraction]]:
        """A month in stretches of one price and one discount: [start, end), price in effect, part of the list price that is paid.

        What monthly_cost says of a price, times that part and the days of the stretch, is what cost() adds up. No query.
        """
        return [
            (start, stop, version, self._kept(plan, start))
            for start, stop, version in self._pieces(plan, month, add_months(month, 1))
        ]

    def _pieces(self, plan: Plan, month: date, end: date) -> list[tuple[date, date, PriceVersion | None]]:
        """The month cut wherever a price or a discount begins or ends."""
        versions = self._in_one_currency(plan)
        days = [month, *(day for day in self._edges_of(plan) if month < day < end), end]
        return [
            (start, stop, next((v for v in versions if _holds(v.effective, start)), None))
            for start, stop in pairwise(days)
        ]

    def _edges_of(self, plan: Plan) -> Sequence[date]:
        """Days on which its price or its discount begins or ends, in order."""
        if plan.pk not in self._edges:
            spans = [
                *(v.effective for v in self._in_one_currency(plan)),
                *(a.effective for a in self._discounts.get(self._supplier(plan), ())),
            ]
            days = {day for span in spans for day in (span.lower, span.upper) if day is not None}
            self._edges[plan.pk] = sorted(days)
        return self._edges[plan.pk]

    def _in_one_currency(self, plan: Plan) -> Sequence[PriceVersion]:
        if plan.pk not in self._listed:
            found = self._versions.get(plan.pk, [])
            self._listed[plan.pk] = [version for version in found if version.currency_id == USD] or found
        return self._listed[plan.pk]

    def _kept(self, plan: Plan, day: date) -> Fraction:
        """The part of the list price that is paid."""
        for agreement in self._discounts.get(self._supplier(plan), ()):
            if _holds(agreement.effective, day):
                return 1 - Fraction(agreement.discount_ppm, ONE)
        return Fraction(1)

    def _supplier(self, plan: Plan) -> int:
        version = plan.offering.model_version
        return version.model.publisher_id if version is not None else plan.offering.publisher_id


def usage_between(first: date, end: date) -> QuerySet[FeatureUsage]:
    """What was used in the months of [first, end), corrections in place of what they correct. 1 query."""
    return (
        FeatureUsage.objects.filter(superseded_at=None, month__gte=first, month__lt=end)
        .select_related("model_version__model")
        .order_by("month", "feature_id", "model_version_id", "id")
    )


def spend_lines(first: date, end: date) -> list[SpendLine]:
    """Every line of usage in the months of [first, end) with what it cost. 5 queries, whatever the number of lines."""
    rows = list(usage_between(first, end))
    book = PriceBook((row.plan_id for row in rows if row.plan_id is not None), first, end)
    found = []
    for row in rows:
        usage = Usage(
            input_tokens=row.input_tokens,
            cached_input_tokens=row.cached_tokens,
            output_tokens=row.output_tokens,
            requests=row.requests or 0,
        )
        found.append(
            SpendLine(
                feature_id=row.feature_id,
                version_id=row.model_version_id,
                supplier_id=row.model_version.model.publisher_id,
                plan_id=row.plan_id,
                host_id=row.host_id,
                month=row.month,
                usage=usage,
                cost=book.cost(row.plan_id, row.month, usage),
                synthetic=row.synthetic,
            )
        )
    return found


class SpendLines:
    """Lines of usage with their cost, read once for all that ask: a span within one that was read takes no query."""

    def __init__(self) -> None:
        self._span: tuple[date, date] | None = None
        self._lines: list[SpendLine] = []

    def __call__(self, first: date, end: date) -> list[SpendLine]:
        if self._span is not None and self._span[0] <= first and end <= self._span[1]:
            return [line for line in self._lines if first <= line.month < end]
        span = (first, end)
        if self._span is not None:
            span = min(first, self._span[0]), max(end, self._span[1])
        self._lines, self._span = spend_lines(*span), span
        return [line for line in self._lines if first <= line.month < end]


def _holds(span: object, day: date) -> bool:
    lower, upper = getattr(span, "lower", None), getattr(span, "upper", None)
    return (lower is None or lower <= day) and (upper is None or day < upper)
