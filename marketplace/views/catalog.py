"""Browse the catalog: filters and order stand in the address, and the list says what each offering counts for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock, formats
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import Lifecycle, Offering, PriceVersion, Program
from marketplace.selectors.eligibility import Chip, eligibility_strips
from marketplace.selectors.facets import Facet, facets
from marketplace.selectors.prices import amount_text, prices_on
from marketplace.selectors.resources import PLANS
from marketplace.selectors.search import (
    DIMENSIONS,
    LONGEST_SEARCH,
    ORDERINGS,
    Criteria,
    find,
    suggestion,
    with_sort_keys,
)
from marketplace.selectors.visibility import offerings_for, publishers_for
from marketplace.views import HtmxRequest, signed_in, wants_part

PAGE: Final = 50
COLUMNS: Final = (
    ("Offering", "name", ""),
    ("Context", "context", "r p3"),
    ("Price", "input_price", "r c-lead"),
)
FIRST_FACETS: Final = ("origin", "path", "eligible")


@dataclass(frozen=True, slots=True)
class Row:
    """One offering as the list shows it."""

    offering: Offering
    stage: Lifecycle
    chips: list[Chip]
    price: str
    price_unit: str

    @property
    def context(self) -> str:
        version = self.offering.model_version
        return (
            formats.whole(version.context_window) if version and version.context_window else formats.NO_VALUE
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet, with the address that chooses it or lets go of it."""

    label: str
    count: int
    chosen: bool
    href: str


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    label: str
    choices: list[Choice]


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    css: str
    href: str
    direction: str


@require_safe
@login_required
@vary_on_headers("HX-Request")
def catalog(request: HtmxRequest) -> HttpResponse:
    criteria, ordering = _asked(request.GET, clock.today())
    visible = offerings_for(signed_in(request))
    found = find(visible, criteria)
    keyset = Keyset(Offering, ORDERINGS[ordering])
    try:
        place = keyset.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    page, before, behind = keyset.page(
        with_sort_keys(found, ordering, criteria.on)
        .select_related("publisher", "model_version")
        .prefetch_related(PLANS),
        place,
        PAGE,
    )
    total = found.count()
    groups = [_group(facet, request.GET) for facet in facets(visible, criteria)]
    context = {
        "criteria": criteria,
        "today": criteria.on,
        "rows": rows(page, criteria.on),
        "total": total,
        "everything": visible.count(),
        "first_groups": [g for g in groups if g.name in FIRST_FACETS],
        "more_groups": [g for g in groups if g.name not in FIRST_FACETS],
        "more_chosen": sum(c.chosen for g in groups if g.name not in FIRST_FACETS for c in g.choices)
        + (criteria.min_context is not None)
        + (criteria.max_input_price is not None),
        "columns": [_column(*column, ordering, request.GET) for column in COLUMNS],
        "previous": address(request.GET, cursor=keyset.cursor(before)) if before else "",
        "next": address(request.GET, cursor=keyset.cursor(behind)) if behind else "",
        "suggestion": suggestion(visible, criteria.search) if criteria.search and not total else "",
        "hidden": [
            (k, v)
            for k, v in request.GET.items()
            if k not in ("search", "cursor", "min_context", "max_input_price")
        ],
    }
    template = "marketplace/catalog.html#browse" if wants_part(request) else "marketplace/catalog.html"
    return render(request, template, context)


@require_safe
@login_required
def publisher(request: HtmxRequest, slug: str) -> HttpResponse:
    """Who makes it, and everything of theirs that is on sale."""
    user = signed_in(request)
    found = get_object_or_404(publishers_for(user), slug=slug)
    today = clock.today()
    own = offerings_for(user).filter(publisher=found)
    listed = list(
        own.select_related("publisher", "model_version").prefetch_related(PLANS).order_by("name", "id")
    )
    counts = own.aggregate(
        sold_by_cloud=Count("pk", filter=Q(commercial_path="sold_by_cloud")),
        marketplace=Count("pk", filter=Q(commercial_path="marketplace")),
    )
    shown = rows(listed, today)
    counting = sum(row.chips[0].tone in ("good", "accent") for row in shown)
    return render(
        request,
        "marketplace/publisher.html",
        {"publisher": found, "rows": shown, "counts": counts, "counting": counting, "today": today},
    )


def rows(offerings: Sequence[Offering], on: date) -> list[Row]:
    """What the list shows of *offerings*, whose publisher, version and plans are at hand. 3 queries."""
    chips = eligibility_strips(offerings, on)
    first_plans = {o.pk: [p.pk for p in o.plans.all() if p.is_public] for o in offerings}
    prices = prices_on([pk for plans in first_plans.values() for pk in plans], on)
    shown = []
    for offering in offerings:
        versions = next((prices[pk] for pk in first_plans[offering.pk] if pk in prices), [])
        price, unit = _headline(versions)
        shown.append(Row(offering, offering.lifecycle_on(on), chips[offering.pk], price, unit))
    return shown


def _headline(versions: list[PriceVersion]) -> tuple[str, str]:
    """The price that a row shows, and what it is per."""
    if not versions:
        return formats.NO_VALUE, "no price in effect"
    version = versions[0]
    symbol = version.currency.symbol or f"{version.currency.code} "
    by_meter = {row.meter: row for row in version.rows.all() if row.tier_from == 0}
    if "input-tokens" in by_meter:
        said = [
            amount_text(row.amount, symbol, version.currency.exponent)
            for row in (by_meter.get("input-tokens"), by_meter.get("output-tokens"))
            if row is not None
        ]
        return " / ".join(said), "million tokens in / out" if len(said) > 1 else "million tokens in"
    row = next(iter(by_meter.values()), None)
    if row is None:
        return formats.NO_VALUE, ""
    return amount_text(row.amount, symbol, version.currency.exponent), f"per {row.unit.replace('-', ' and ')}"


def _asked(params: QueryDict, today: date) -> tuple[Criteria, str]:
    """What an address asks for; what makes no sense in it is left aside, because people edit addresses."""
    ordering = params.get("ordering", "name")
    return (
        Criteria(
            on=_day(params.get("as_of", "")) or today,
            search=params.get("search", "")[:LONGEST_SEARCH].replace("\x00", ""),
            chosen={
                name: tuple(v for v in params.get(name, "").replace("\x00", "").split(",") if v)
                for name in DIMENSIONS
                if params.get(name) and _known(name, params.get(name, ""))
            },
            min_context=_number(params.get("min_context", "")),
            max_input_price=_amount(params.get("max_input_price", "")),
        ),
        ordering if ordering in ORDERINGS else "name",
    )


def _known(name: str, written: str) -> bool:
    """Rates are looked up by program name, so those must be real ones."""
    return name != "eligible" or set(written.split(",")) <= set(Program.values)


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


def _number(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None


def _amount(written: str) -> Decimal | None:
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < Decimal(10) ** 10 else None


def _group(facet: Facet, params: QueryDict) -> Group:
    chosen = [value.value for value in facet.values if value.chosen]
    choices = []
    for value in facet.values:
        kept = [v for v in chosen if v != value.value] if value.chosen else [*chosen, value.value]
        choices.append(
            Choice(value.label, value.count, value.chosen, address(params, **{facet.name: ",".join(kept)}))
        )
    return Group(facet.name, facet.label, choices)


def _column(label: str, ordering: str, css: str, current: str, params: QueryDict) -> Column:
    direction = "ascending" if current == ordering else "descending" if current == f"-{ordering}" else "none"
    other = f"-{ordering}" if current == ordering else ordering
    return Column(label, css, address(params, ordering=other), direction)


def address(params: QueryDict, **changes: Any) -> str:
    """This page's address with *changes*; an empty value takes a parameter away, and the list starts anew."""
    changed = params.copy()
    changed.pop("cursor", None)
    for name, value in changes.items():
        if value:
            changed[name] = value
        else:
            changed.pop(name, None)
    return f"?{changed.urlencode(safe=',')}"
