"""Equal footing: what each publisher offers, how it is treated, seen and sold, side by side and by name, never by size."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from django.db.models import Count, Q, QuerySet

from marketplace.extension import Sales
from marketplace.models import CommercialPath, Offering, Plan, PricingForm, Program, Publisher, TaskArea
from marketplace.selectors.exposure import Exposure, ShuffleCheck, exposure, shuffle_check
from marketplace.selectors.on_sale import on_sale
from marketplace.selectors.recommender import Constraints, load, rank
from marketplace.selectors.search import DIMENSIONS

Currency = str
_OF_PLANS: Final = ("deployment", "processing_tier", "pricing_form")


@dataclass(frozen=True, slots=True)
class Sold:
    """Approved deals and their value by currency, minor units. deals: one that has two of its offerings counts for each."""

    deals: int = 0
    value_minor: Mapping[Currency, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PublisherFooting:
    """One publisher's side of it; everything of what may be sold on the day.

    deployments, tiers, forms   Public plans by deployment type, processing tier and pricing form.
    paths       Offerings by commercial path.
    countries   Offerings with a list of countries; the others are sold in all.
    counting    Program to the offerings that count for it at some rate.
    seen        Share of exposure, None where there is no list.
    """

    publisher: Publisher
    offerings: int
    deployments: Counter[str]
    tiers: Counter[str]
    forms: Counter[str]
    paths: Counter[str]
    countries: int
    counting: Mapping[Program, int]
    seen: float | None
    seen_by_name: float
    seen_by_price: float
    recommended: float
    sold: Sold

    @property
    def plans(self) -> int:
        return sum(self.deployments.values())


@dataclass(frozen=True, slots=True)
class Footing:
    """All publishers by name. columns: what occurs among the plans and paths at all, in a fixed order."""

    rows: list[PublisherFooting]
    deployments: list[str]
    tiers: list[str]
    forms: list[str]
    paths: list[str]
    exposure: Exposure
    check: ShuffleCheck
    offerings: int
    deals: int
    value_minor: Mapping[Currency, int]


def footing(
    visible: QuerySet[Offering], on: date, sales: Iterable[Sales], *, shuffles: int, seed: int
) -> Footing:
    """The whole page. 16 queries, whatever the number of offerings and publishers."""
    offered = on_sale(visible, on)
    counts = _offerings(offered, on)
    tasks = list(TaskArea.objects.order_by("position", "id"))
    known = load(offered, on, tasks=tasks, order_only=True)
    recommendations = [rank(known, task, Constraints()) for task in tasks]
    seen = exposure(offered, recommendations, on)
    check = shuffle_check(known, tasks, shuffles=shuffles, seed=seed)
    plans = _plans(offered, on)
    sold = _sold(sales)
    sold_by: dict[int, list[Sold]] = defaultdict(list)
    for pk, seller in Offering.objects.filter(pk__in=sold).values_list("pk", "publisher_id"):
        sold_by[seller].append(sold[pk])
    sellers = Publisher.objects.in_bulk(counts.keys() | sold_by.keys())
    rows = [
        PublisherFooting(
            publisher=publisher,
            offerings=counts[pk].offerings,
            deployments=plans[pk]["deployment"],
            tiers=plans[pk]["processing_tier"],
            forms=plans[pk]["pricing_form"],
            paths=counts[pk].paths,
            countries=counts[pk].countries,
            counting=counts[pk].counting,
            seen=seen.of(pk),
            seen_by_name=seen.by_name.get(pk, 0.0),
            seen_by_price=seen.by_price.get(pk, 0.0),
            recommended=seen.recommended.get(pk, 0.0),
            sold=_together(sold_by[pk]),
        )
        for pk, publisher in sorted(sellers.items(), key=lambda item: (item[1].name.lower(), item[0]))
    ]
    total = _together(row.sold for row in rows)
    return Footing(
        rows=rows,
        deployments=sorted({name for row in rows for name in row.deployments}, key=lambda n: (not n, n)),
        tiers=_in_order(("standard", "batch", "priority", "flex"), {t for row in rows for t in row.tiers}),
        forms=_in_order(PricingForm.values, {f for row in rows for f in row.forms}),
        paths=_in_order(CommercialPath.values, {p for row in rows for p in row.paths}),
        exposure=seen,
        check=check,
        offerings=sum(row.offerings for row in rows),
        deals=total.deals,
        value_minor=total.value_minor,
    )


@dataclass(frozen=True, slots=True)
class _Offered:
    """What one publisher has on sale, counted."""

    offerings: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    countries: int = 0
    counting: Mapping[Program, int] = field(default_factory=lambda: dict.fromkeys(Program, 0))


def _offerings(offered: QuerySet[Offering], on: date) -> dict[int, _Offered]:
    """By publisher id. 1 query, in which the offerings are counted where they are: there may be thousands."""
    found: dict[int, _Offered] = defaultdict(_Offered)
    rows: Iterable[Mapping[str, Any]] = (
        offered.order_by()
        .values("publisher_id")
        .annotate(
            n=Count("pk"),
            limited=Count("pk", filter=Q(billing_countries__isnull=False)),
            **{f"path_{path}": Count("pk", filter=Q(commercial_path=path)) for path in CommercialPath},
            **{
                f"for_{program}": Count("pk", filter=DIMENSIONS["eligible"]((program,), on))
                for program in Program
            },
        )
    )
    for row in rows:
        found[row["publisher_id"]] = _Offered(
            row["n"],
            Counter({path.value: n for path in CommercialPath if (n := row[f"path_{path}"])}),
            row["limited"],
            {program: row[f"for_{program}"] for program in Program},
        )
    return found


def _plans(offered: QuerySet[Offering], on: date) -> dict[int, dict[str, Counter[str]]]:
    """Publisher id to its public plans by each of their facts. 1 query."""
    found: dict[int, dict[str, Counter[str]]] = defaultdict(lambda: {name: Counter() for name in _OF_PLANS})
    rows = (
        Plan.objects.filter(offering__in=offered.values("pk"), is_public=True)
        .exclude(withdrawn_on__lte=on)
        .order_by()
        .values_list("offering__publisher_id", *_OF_PLANS)
        .annotate(Count("pk"))
    )
    for publisher, *values, n in rows:
        for name, value in zip(_OF_PLANS, values, strict=True):
            found[publisher][name][value] += n
    return found


def _sold(sales: Iterable[Sales]) -> dict[int, Sold]:
    """By offering; several finders may know of one."""
    found: dict[int, Sold] = {}
    for each in sales:
        found[each.offering_id] = _together(
            [found.get(each.offering_id, Sold()), Sold(each.deals, each.value_minor)]
        )
    return found


def _together(several: Iterable[Sold]) -> Sold:
    deals, value = 0, Counter[str]()
    for each in several:
        deals += each.deals
        value.update(each.value_minor)
    return Sold(deals, dict(value))


def _in_order(known: Iterable[str], found: set[str]) -> list[str]:
    listed = [name for name in known if name in found]
    return listed + sorted(found - set(listed))
