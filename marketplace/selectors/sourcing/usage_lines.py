"""The lines behind a figure of spend: one feature, model version, plan and host in a month, with how its cost comes about."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

from django.db.models import QuerySet

from config.exports import Amount, Column, Table
from config.months import add_months
from marketplace.models import FeatureUsage, PriceVersion
from marketplace.selectors.costs import CostLine, Usage, monthly_cost
from marketplace.selectors.sourcing.costing import USD, PriceBook, Priced
from marketplace.selectors.sourcing.spend import Spend, SpendRow

FILTERS: Final = {
    "supplier": "model_version__model__publisher__slug",
    "product": "feature__product__slug",
    "feature": "feature__slug",
    "model": "model_version__model__slug",
    "version": "model_version__label",
    "host": "host__slug",
}
NEWEST: Final = ("-month", "feature__product__position", "feature__position", "model_version_id", "id")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Days of a month over which one price and one discount hold. off: what is agreed to come off, a part of one."""

    start: date
    end: date
    version: PriceVersion | None
    off: Fraction
    meters: tuple[CostLine, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """before: what was stated of it until it was corrected, the latest first."""

    row: FeatureUsage
    cost: Priced
    stretches: tuple[Stretch, ...] = ()
    before: tuple[FeatureUsage, ...] = ()

    @property
    def off_minor(self) -> int | None:
        if self.cost.minor is None or self.cost.listed_minor is None:
            return None
        return self.cost.listed_minor - self.cost.minor

    @property
    def in_usd(self) -> bool:
        return self.cost.currency == USD


@dataclass(frozen=True, slots=True)
class Sum:
    """What lines cost together. minor and listed: USD cents of those that have a price; None where none has."""

    lines: int
    minor: int | None
    listed: int
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    unpriced: int
    elsewhere: int
    synthetic: int


def lines_in_force(**narrowed: str) -> QuerySet[FeatureUsage]:
    """Every line that no correction has replaced, narrowed by the names of FILTERS that are not empty."""
    rows = FeatureUsage.objects.filter(superseded_at=None).select_related(
        "feature__product",
        "model_version__model__publisher",
        "plan__offering",
        "host",
        "brought_by__imported_by",
        "recorded_by",
    )
    return rows.filter(**{FILTERS[name]: value for name, value in narrowed.items() if value})


def priced(rows: Sequence[FeatureUsage]) -> list[Line]:
    """With what each costs. 4 queries."""
    book = _book(rows)
    return [Line(row, _cost(book, row)) for row in rows]


def explained(rows: Sequence[FeatureUsage]) -> list[Line]:
    """With how each comes to its cost, and what was stated of it before. 5 queries."""
    book = _book(rows)
    before = _corrected(rows)
    return [
        Line(row, _cost(book, row), _stretches(book, row), tuple(before.get(_key(row), ()))) for row in rows
    ]


def summed(lines: Sequence[Line]) -> Sum:
    usd = [line.cost for line in lines if line.cost.minor is not None and line.in_usd]
    return Sum(
        lines=len(lines),
        minor=sum(cost.minor or 0 for cost in usd) if usd else None,
        listed=sum(cost.listed_minor or 0 for cost in usd),
        input_tokens=sum(line.row.input_tokens for line in lines),
        cached_tokens=sum(line.row.cached_tokens for line in lines),
        output_tokens=sum(line.row.output_tokens for line in lines),
        unpriced=sum(line.cost.minor is None for line in lines),
        elsewhere=sum(line.cost.minor is not None and not line.in_usd for line in lines),
        synthetic=sum(line.row.synthetic for line in lines),
    )


def _book(rows: Sequence[FeatureUsage]) -> PriceBook:
    months = [row.month for row in rows] or [date(2000, 1, 1)]
    plans = {row.plan_id for row in rows if row.plan_id is not None}
    return PriceBook(plans, min(months), add_months(max(months), 1))


def _usage(row: FeatureUsage) -> Usage:
    return Usage(
        input_tokens=row.input_tokens,
        cached_input_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        requests=row.requests or 0,
    )


def _cost(book: PriceBook, row: FeatureUsage) -> Priced:
    return book.cost(row.plan_id, row.month, _usage(row))


def _stretches(book: PriceBook, row: FeatureUsage) -> tuple[Stretch, ...]:
    plan = book.plan(row.plan_id)
    if plan is None:
        return ()
    usage = _usage(row)
    return tuple(
        Stretch(
            start,
            end,
            version,
            1 - kept,
            monthly_cost([version], usage, plan, version.currency_id).lines if version is not None else (),
        )
        for start, end, version, kept in book.pieces(plan, row.month)
    )


Key = tuple[int, int, int | None, int | None, date]


def _key(row: FeatureUsage) -> Key:
    return row.feature_id, row.model_version_id, row.plan_id, row.host_id, row.month


def _corrected(rows: Sequence[FeatureUsage]) -> dict[Key, list[FeatureUsage]]:
    """1 query."""
    found: dict[Key, list[FeatureUsage]] = defaultdict(list)
    for row in FeatureUsage.objects.filter(
        superseded_at__isnull=False,
        month__in={row.month for row in rows},
        feature__in={row.feature_id for row in rows},
    ).order_by("-superseded_at", "-id"):
        found[_key(row)].append(row)
    return found


# --- as files ----------------------------------------------------------------------------------------------


def _usd(minor: int | None) -> Amount | None:
    return None if minor is None else Amount(minor, USD, 2)


def lines_table(lines: Sequence[Line]) -> Table:
    """A row a line; what costs nobody knows what has an empty cost and its reason."""
    columns = [
        Column("month", "Month", "date"),
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("supplier", "Supplier"),
        Column("model", "Model"),
        Column("version", "Version"),
        Column("plan", "Plan"),
        Column("host", "Host"),
        Column("input_tokens", "Input tokens", "whole"),
        Column("cached_tokens", "Cached tokens", "whole"),
        Column("output_tokens", "Output tokens", "whole"),
        Column("requests", "Requests", "whole"),
        Column("list_price", "At list price", "money", "Currency"),
        Column("cost", "Cost", "money", "Currency"),
        Column("why", "Without a price because"),
        Column("source", "Source"),
        Column("made_up", "Made up", "flag"),
        Column("recorded_at", "Recorded", "instant"),
    ]

    def rows() -> Iterator[Sequence[object]]:
        for line in lines:
            row, version = line.row, line.row.model_version
            yield (
                row.month,
                row.feature.product.slug,
                row.feature.slug,
                version.model.publisher.slug,
                version.model.slug,
                version.label,
                f"{row.plan.offering.slug}/{row.plan.slug}" if row.plan is not None else "",
                row.host.slug if row.host is not None else "",
                row.input_tokens,
                row.cached_tokens,
                row.output_tokens,
                row.requests,
                _amount(line.cost.listed_minor, line.cost),
                _amount(line.cost.minor, line.cost),
                line.cost.why,
                row.source,
                row.synthetic,
                row.recorded_at,
            )

    return Table(columns, rows)


def _amount(minor: int | None, cost: Priced) -> Amount | None:
    return None if minor is None else Amount(minor, cost.currency, 2)


def spend_table(spend: Spend) -> Table:
    """A row a month and supplier (or product, feature, model): tidy, for a pivot table."""
    columns = [
        Column("month", "Month", "date"),
        Column(spend.by, spend.by.capitalize()),
        Column("name", "Name"),
        Column("under", "Of"),
        Column("cost", "Cost", "money", "Currency"),
        Column("unpriced_lines", "Lines without a price", "whole"),
    ]

    def cells(row: SpendRow) -> Iterator[Sequence[object]]:
        for month, amount, open_ in zip(spend.months, row.amounts, row.unpriced_by_month, strict=True):
            if amount is not None or open_:
                yield month, row.slug, row.name, row.under, _usd(amount), open_

    def rows() -> Iterator[Sequence[object]]:
        for row in spend.rows:
            yield from cells(row)

    return Table(columns, rows)
