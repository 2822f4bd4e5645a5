"""Equal footing: what each publisher offers, how it is treated, seen and sold, side by side and by name, never by size."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from django.db.models import Count, QuerySet

from marketplace.extension import Sales
from marketplace.models import CommercialPath, Offering, Plan, PricingForm, Program, Publisher, TaskArea
from marketplace.selectors.eligibility import bulk_treatments
from marketplace.selectors.exposure import Exposure, ShuffleCheck, exposure, on_sale, shuffle_check
from marketplace.selectors.recommender import Constraints, load, rank

Currency = str


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
    """The whole page. 19 queries, whatever the number of offerings and publishers."""
    offered = on_sale(visible, on)
    offerings = list(offered.select_related("publisher").order_by("publisher__name", "publisher_id", "id"))
    tasks = list(TaskArea.objects.order_by("position", "id"))
    known = load(offered, on, tasks=tasks, order_only=True)
    recommendations = [rank(known, task, Constraints()) for task in tasks]
    seen = exposure(offered, recommendations, on)
    check = shuffle_check(known, tasks, shuffles=shuffles, seed=seed)
    treated = bulk_treatments(offerings, on) if offerings else {}
    plans = {name: _plans(offered, name, on) for name in ("deployment", "processing_tier", "pricing_form")}
    sold = _sold(sales)
    publisher_of = dict(Offering.objects.filter(pk__in=sold).values_list("pk", "publisher_id"))
    by_publisher: dict[int, list[Offering]] = defaultdict(list)
    for offering in offerings:
        by_publisher[offering.publisher_id].append(offering)
    sellers = {o.publisher_id: o.publisher for o in offerings}
    for publisher in Publisher.objects.filter(pk__in=set(publisher_of.values()) - sellers.keys()):
        sellers[publisher.pk] = publisher
    rows = [
        PublisherFooting(
            publisher=publisher,
            offerings=len(by_publisher[pk]),
            deployments=plans["deployment"].get(pk, Counter()),
            tiers=plans["processing_tier"].get(pk, Counter()),
            forms=plans["pricing_form"].get(pk, Counter()),
            paths=Counter(o.commercial_path for o in by_publisher[pk]),
            countries=sum(o.billing_countries is not None for o in by_publisher[pk]),
            counting={p: sum(treated[o.pk][p].counts for o in by_publisher[pk]) for p in Program},
            seen=seen.of(pk),
            seen_by_name=seen.by_name.get(pk, 0.0),
            seen_by_price=seen.by_price.get(pk, 0.0),
            recommended=seen.recommended.get(pk, 0.0),
            sold=_together(sold[o] for o, seller in publisher_of.items() if seller == pk),
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
        offerings=len(offerings),
        deals=total.deals,
        value_minor=total.value_minor,
    )


def _plans(offered: QuerySet[Offering], name: str, on: date) -> dict[int, Counter[str]]:
    """Publisher id to its public plans by one of their facts."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    rows = (
        Plan.objects.filter(offering__in=offered.values("pk"), is_public=True)
        .exclude(withdrawn_on__lte=on)
        .order_by()
        .values("offering__publisher_id", name)
        .annotate(n=Count("pk"))
    )
    for row in rows:
        found[row["offering__publisher_id"]][row[name]] = row["n"]
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
