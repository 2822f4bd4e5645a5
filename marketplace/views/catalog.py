"""Browse the catalog: filters, order and day stand in the address, and the list says what each offering counts for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Count, F, Q, QuerySet
from django.http import HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import User
from config import calls, clock, exporting, formats
from config.given import given, tidy, written
from config.language import _, later, spoken
from config.paging import paged
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import Lifecycle, Offering, Program
from marketplace.selectors import exports
from marketplace.selectors.eligibility import Chip, eligibility_strips
from marketplace.selectors.facets import Counted, Facet, counted
from marketplace.selectors.headlines import NONE, Headline, headlines
from marketplace.selectors.public_facts import facts_about
from marketplace.selectors.requests import names_customers
from marketplace.selectors.search import (
    DIMENSIONS,
    LABELS,
    LONGEST_SEARCH,
    ORDERINGS,
    Criteria,
    find,
    with_sort_keys,
)
from marketplace.selectors.spelling import read_as, with_a_word_less
from marketplace.selectors.visibility import offerings_for, publishers_for
from marketplace.views import HtmxRequest, day_asked, is_short, signed_in, wants_part

PAGE: Final = 50
COLUMNS: Final = (
    (later("Offering"), "name", ""),
    (later("Context"), "context", "r p3 k2"),
    (later("Price"), "input_price", "r c-lead k3"),
)
FIRST_FACETS: Final = ("origin", "path", "eligible")
FIRST_VALUES: Final = 12  # of a long facet; the others unfold
ORDERS: Final = {
    "relevance": later("Best match"),
    "name": later("Name"),
    "input_price": later("Lowest input price"),
    "-input_price": later("Highest input price"),
    "-context": later("Largest context"),
    "-released_on": later("Newest model"),
    "-available_on": later("Newest on sale"),
    "evidence": later("Best evidence"),
}
BOUNDS: Final = {
    "min_context": later("Context from {} tokens"),
    "max_context": later("Context to {} tokens"),
    "min_input_price": later("Input from ${}"),
    "max_input_price": later("Input to ${}"),
}
ITS_OWN: Final = ("search", "cursor", "ordering", "as_of", *BOUNDS)  # have a field of their own in the form


@dataclass(frozen=True, slots=True)
class Row:
    """One offering as the list shows it. evidence: its share in words, where the list is sorted by it."""

    offering: Offering
    href: str
    stage: Lifecycle
    chips: list[Chip]
    price: Headline
    evidence: str = ""

    @property
    def context(self) -> str:
        tokens: int | None = getattr(self.offering, "window", None)
        return formats.whole(tokens) if tokens else formats.NO_VALUE


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a facet, with the address that chooses it or lets go of it."""

    label: str
    count: int
    chosen: bool
    href: str


@dataclass(frozen=True, slots=True)
class Group:
    """A facet; of a long one the values with most offerings first, the others behind a fold."""

    name: str
    label: str
    choices: list[Choice]
    more: list[Choice]


@dataclass(frozen=True, slots=True)
class Column:
    label: str
    css: str
    href: str
    direction: str


@dataclass(frozen=True, slots=True)
class Narrowing:
    """One thing that narrows the list, and the address without it. found: how many that leads to, where it is counted."""

    label: str
    href: str
    found: int | None = None


@require_safe
@login_required
@vary_on_headers("HX-Request")
def catalog(request: HtmxRequest) -> HttpResponseBase:
    """About 15 queries, whatever the number of offerings."""
    user, today = signed_in(request), clock.today()
    if request.GET.get("as_of") == today.isoformat():  # no day to keep: the form always sends one
        request.GET = QueryDict(address(request.GET, as_of="").removeprefix("?"))
    given, ordering = asked(request.GET, day_asked(request))
    visible = offerings_for(user)
    criteria, corrected = read_as(visible, given)
    if form := exporting.asked(request):
        listed = with_sort_keys(find(visible, criteria), ordering, criteria)
        table = exports.offerings(listed, ORDERINGS[ordering], criteria.on)
        said = [(_("As on"), criteria.on.isoformat())]
        return exporting.answer(request, form, name="catalog", title="Offerings", table=table, said=said)
    keyset = Keyset(Offering, ORDERINGS[ordering])
    try:
        place = keyset.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    page, before, behind = keyset.page(
        with_sort_keys(find(visible, criteria), ordering, criteria)
        .annotate(window=F("index__context"))
        .select_related("publisher"),
        place,
        PAGE,
    )
    found = counted(visible, criteria)
    groups = [_group(facet, request.GET) for facet in found.facets]
    labels = {facet.name: {v.value: spoken(v.label) for v in facet.values} for facet in found.facets}
    narrowings = _narrowings(given, labels, request.GET, found)
    context = {
        "criteria": given,
        "corrected": corrected,
        "today": today,
        "on": criteria.on,
        "rows": rows(page, criteria.on, by_evidence=ordering == "evidence"),
        "total": found.total,
        "everything": visible.count() if given.narrowed else found.total,
        "narrowings": narrowings,
        "let_go": [n for n in narrowings if n.found],
        "shorter": [] if found.total else _shorter(visible, criteria, request.GET),
        "first_groups": [g for g in groups if g.name in FIRST_FACETS],
        "more_groups": [g for g in groups if g.name not in FIRST_FACETS],
        "more_chosen": sum(
            c.chosen for g in groups if g.name not in FIRST_FACETS for c in (*g.choices, *g.more)
        )
        + sum(bound is not None for bound in criteria.bounds),
        "columns": [_column(*column, ordering, request.GET) for column in COLUMNS],
        "ordering": ordering,
        "orders": _orders(ordering, bool(given.search)),
        "by_evidence": ordering == "evidence",
        "evidence_tasks": ", ".join(labels["task"].get(t, t) for t in criteria.chosen.get("task", ())),
        "previous": address(request.GET, cursor=keyset.cursor(before)) if before else "",
        "next": address(request.GET, cursor=keyset.cursor(behind)) if behind else "",
        "hidden": [(k, v) for k, v in request.GET.items() if v and k not in ITS_OWN],
        "filters": parse_qsl(_kept(request.GET)),
        "query": _kept(request.GET),
        "wanted": given.search,
        "names_customers": names_customers(user),
    }
    if not wants_part(request):
        sets = {name: ",".join(filter(None, request.GET.getlist(name))) for name in request.GET}
        context["call"] = calls.reading(
            request, reverse("offering-list"), sets | {"cursor": "", "ordering": ordering}
        )
        return render(request, "marketplace/catalog.html", context)
    part = render(request, "marketplace/catalog.html#browse", context)
    part["HX-Push-Url"] = f"{request.path}?{_kept(request.GET, cursor=request.GET.get('cursor', ''))}".rstrip(
        "?"
    )
    return part


@require_safe
@login_required
def publisher(request: HtmxRequest, slug: str) -> HttpResponse:
    """Who makes it, and what of theirs there is, fifty at a time."""
    user = signed_in(request)
    found = get_object_or_404(publishers_for(user), slug=slug)
    on, today = day_asked(request), clock.today()
    own = offerings_for(user).filter(publisher=found)
    listed = own.annotate(window=F("index__context")).select_related("publisher").order_by("name", "id")
    page = paged(request, listed, size=PAGE)
    counts = own.aggregate(
        sold_by_cloud=Count("pk", filter=Q(commercial_path="sold_by_cloud")),
        marketplace=Count("pk", filter=Q(commercial_path="marketplace")),
        toward_quota=Count("pk", filter=DIMENSIONS["eligible"]((Program.QUOTA,), on)),
    )
    return render(
        request,
        "marketplace/publisher.html",
        {
            "publisher": found,
            "page": page,
            "rows": rows(list(page), on),
            "counts": counts,
            "on": on,
            "today": today,
            "facts": facts_about(found),
        },
    )


def rows(offerings: Sequence[Offering], on: date, *, by_evidence: bool = False) -> list[Row]:
    """What the list shows of *offerings*, whose publisher and window (of the index) are at hand. 2 queries."""
    chips = eligibility_strips(offerings, on)
    prices = headlines([o.pk for o in offerings], on)
    # To find an address takes as long as all else of a row: once for all of them.
    before, _some, behind = reverse("marketplace:offering", args=["some"]).rpartition("some")
    return [
        Row(
            o,
            f"{before}{o.slug}{behind}",
            o.lifecycle_on(on),
            chips[o.pk],
            prices.get(o.pk, NONE),
            _evidence(getattr(o, "evidence", None)) if by_evidence else "",
        )
        for o in offerings
    ]


def _evidence(share: int | None) -> str:
    """In words, from ppm; what was never compared is said to be so."""
    return "" if share is None else _("Better than %(share)s") % {"share": formats.percent(share, 1000000, 0)}


def asked(params: QueryDict, on: date) -> tuple[Criteria, str]:
    """What an address asks for, and in which order; what makes no sense in it is left aside, because people edit addresses."""
    search = given(params, "search", LONGEST_SEARCH)
    ordering = params.get("ordering", "")
    if ordering not in ORDERINGS or (ordering == "relevance" and not search):
        ordering = "relevance" if search else "name"
    return (
        Criteria(
            on=on,
            search=search,
            chosen={
                name: tuple(v for v in written(params, name).split(",") if v)
                for name in DIMENSIONS
                if params.get(name) and _known(name, params.get(name, ""))
            },
            min_context=_number(params.get("min_context", "")),
            max_context=_number(params.get("max_context", "")),
            min_input_price=_amount(params.get("min_input_price", "")),
            max_input_price=_amount(params.get("max_input_price", "")),
        ),
        ordering,
    )


def asked_for(params: QueryDict, user: User, on: date) -> QuerySet[Offering]:
    """The offerings that an address of the catalog lists: the ones picked by SKU, else all that meet its filters. 1 query or 3."""
    visible = offerings_for(user)
    if picked := picks(params):
        return visible.filter(slug__in=picked)
    criteria, _corrected = read_as(visible, asked(params, on)[0])
    return find(visible, criteria)


def picks(params: QueryDict) -> list[str]:
    """SKUs written together (offerings=a,b) and those chosen by their boxes (offering=c&offering=d), each once, in order."""
    named = [*params.get("offerings", "").split(","), *params.getlist("offering")]
    return list(dict.fromkeys(s for w in named if (s := tidy(w).lower())))


def _known(name: str, written: str) -> bool:
    """Rates are looked up by program name, so those must be real ones."""
    return name != "eligible" or set(written.split(",")) <= set(Program.values)


def _number(written: str) -> int | None:
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else None


def _amount(written: str) -> Decimal | None:
    try:
        amount = Decimal(written)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and 0 <= amount < Decimal(10) ** 10 and is_short(amount) else None


def _group(facet: Facet, params: QueryDict) -> Group:
    chosen = [value.value for value in facet.values if value.chosen]
    choices = {}
    for value in facet.values:
        kept = [v for v in chosen if v != value.value] if value.chosen else [*chosen, value.value]
        choices[value.value] = Choice(
            spoken(value.label), value.count, value.chosen, address(params, **{facet.name: ",".join(kept)})
        )
    if len(choices) <= FIRST_VALUES:
        return Group(facet.name, spoken(facet.label), list(choices.values()), [])
    # By number of offerings, not by who they are; a chosen one is always in sight.
    largest = sorted(facet.values, key=lambda v: (not v.chosen, -v.count, v.label))[:FIRST_VALUES]
    first = {v.value for v in largest}
    return Group(
        facet.name,
        spoken(facet.label),
        [choice for value, choice in choices.items() if value in first],
        [choice for value, choice in choices.items() if value not in first],
    )


def _orders(current: str, searched: bool) -> list[tuple[str, str, bool]]:
    """What the sort menu offers: value, text, chosen. The usual order has no value, so that it follows what is searched."""
    usual = "relevance" if searched else "name"
    offered = sorted((name for name in ORDERS if searched or name != "relevance"), key=lambda n: n != usual)
    return [("" if name == usual else name, ORDERS[name], name == current) for name in offered]


def _narrowings(
    criteria: Criteria, labels: dict[str, dict[str, str]], params: QueryDict, found: Counted
) -> list[Narrowing]:
    """Everything that narrows the list, each with the address without it."""
    said = []
    if criteria.search:
        said.append(
            Narrowing(
                f"\N{LEFT DOUBLE QUOTATION MARK}{criteria.search}\N{RIGHT DOUBLE QUOTATION MARK}",
                address(params, search="", ordering=""),
            )
        )
    for name, values in criteria.chosen.items():
        for value in values:
            kept = ",".join(v for v in values if v != value)
            label = f"{spoken(LABELS[name])}: {labels[name].get(value, value)}"
            said.append(
                Narrowing(label, address(params, **{name: kept}), None if kept else found.without[name])
            )
    for name, text in BOUNDS.items():
        if (bound := getattr(criteria, name)) is not None:
            written = formats.whole(bound) if isinstance(bound, int) else f"{bound:f}"
            said.append(Narrowing(text.format(written), address(params, **{name: ""})))
    return said


def _shorter(visible: QuerySet[Offering], criteria: Criteria, params: QueryDict) -> list[Narrowing]:
    return [
        Narrowing(reading.search, address(QueryDict(), search=reading.search), reading.found)
        for reading in with_a_word_less(visible, criteria)
    ]


def _column(label: str, ordering: str, css: str, current: str, params: QueryDict) -> Column:
    direction = "ascending" if current == ordering else "descending" if current == f"-{ordering}" else "none"
    other = f"-{ordering}" if current == ordering else ordering
    return Column(label, css, address(params, ordering=other), direction)


def _kept(params: QueryDict, **more: str) -> str:
    """A query string worth keeping: nothing empty, and no page of it."""
    return address(params, **more).removeprefix("?")


def address(params: QueryDict, **changes: Any) -> str:
    """This page's address with *changes*; an empty value takes a parameter away, and the list starts anew."""
    changed = {name: value for name, value in params.items() if value and name != "cursor"} | changes
    return "?" + urlencode([(name, value) for name, value in changed.items() if value], safe=",")
