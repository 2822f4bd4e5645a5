"""The ledger as it stands: a span of its entries with what they come to, each one a click from its explanation. And every list as a file."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock, exporting
from config.given import given
from config.ordering import PAGE, Order, Orders, Page
from quotas.models import CreditEntry, Measure, Period, Team
from quotas.selectors import exports, periods
from quotas.selectors.ledger import (
    MOST_ADDED,
    Span,
    are_many,
    entries_in,
    last_entry,
    months_of,
    next_ids,
    sums,
    with_names,
)
from quotas.selectors.visibility import entries_for
from quotas.services.exporting import DATASETS, kept_nights
from quotas.views import HtmxRequest, wants_part
from quotas.views.recredits import reviewer

EVERY: Final = "all"
ORDERS: Final = Orders(
    CreditEntry, "-entry", entry=("id",), date=("credit_date",), rep=("rep__name",), amount=("amount_minor",)
)
# Along the index of each month; any other order reads all that is asked for.
BY_ENTRY: Final = ("entry", "-entry")


@require_safe
@login_required
@vary_on_headers("HX-Request")
def ledger(request: HtmxRequest) -> HttpResponseBase:
    """Without a period in the address that of today's quarter; counts first, then 50 entries a page. A fixed number of queries."""
    user = reviewer(request.user)
    today, asked = clock.today(), request.GET
    span = _span(asked, today)
    months = months_of(span)
    found = entries_in(span, entries_for(user, today), today, months)
    large = are_many(found)
    order = _order(request, span, large)
    if form := exporting.asked(request):
        counted = sums(found)
        return exporting.answer(
            request,
            form,
            name=f"ledger {span.period or ''} {span.first or ''} {span.last or ''}",
            title="Ledger",
            table=exports.ledger(found, until=last_entry(found), order=order.fields),
            said=[
                (
                    "Period",
                    f"{span.period or 'All'}, {'moved by restating' if span.moved else 'of origin' if span.origin else 'of posting'}",
                )
            ],
            total=sum(each.entries for each in counted),
        )
    visible = entries_for(user, today)
    if order.sort in BY_ENTRY:
        page = _along_the_index(order, found, visible, months)
    else:
        page = order.page_of(found, with_names(visible.filter(posting_period__in=months)))
    unasked = large and asked.get("sums") != "1"
    counted = [] if unasked else sums(found)
    context = {
        "entries": page.rows,
        "span": span,
        "sums": counted,
        "large": MOST_ADDED if unasked else 0,
        "sortable": not large,
        "total": sum(each.entries for each in counted),
        "reversals": sum(each.reversals for each in counted),
        "rep": span.rep,
        "deal": f"D-{span.deal:06d}" if span.deal else "",
        "periods": _choices(span.period, today),
        "measures": Measure.objects.order_by("position", "pk"),
        "teams": Team.objects.order_by("name"),
        "narrowed": bool(
            span.measure
            or span.team
            or span.rep
            or span.deal
            or span.first
            or span.last
            or span.period is None
        ),
        "today": today,
    } | page.context
    if wants_part(request) and request.htmx.target == "entries":
        return render(request, "quotas/ledger.html#list", context)
    return render(request, "quotas/ledger.html", context)


def _order(request: HtmxRequest, span: Span, large: bool) -> Order:
    """By number always; otherwise where there are no more than are read for it, and by amount where all are of one measure."""
    order = ORDERS.of(request.GET)
    by_amount = order.sort in ("amount", "-amount") and span.measure is None
    return ORDERS.of(request.GET, free=order.sort in BY_ENTRY or not (large or by_amount))


def _along_the_index(
    order: Order, found: QuerySet[CreditEntry], visible: QuerySet[CreditEntry], months: Sequence[int]
) -> Page:
    place = order.place
    ids = next_ids(
        found,
        months,
        size=PAGE + 1,
        beyond=place.values[0] if place else None,
        up=(order.sort == "entry") != (place is not None and place.backwards),
    )
    return order.page(with_names(visible.filter(posting_period__in=months, id__in=ids)))


def _span(asked: Mapping[str, str], today: date) -> Span:
    """What the address asks for. Raises Http404 for a name that nothing has; what makes no sense else is left aside."""
    name, measure, team = (given(asked, what) for what in ("period", "measure", "team"))
    period = None if name == EVERY else periods.period_named(name) if name else periods.current_period(today)
    if name and name != EVERY and period is None:
        raise Http404
    number = given(asked, "deal").upper().removeprefix("D-")
    return Span(
        period=period,
        origin=asked.get("by") == "origin",
        moved=asked.get("by") == "moved" and period is not None,
        first=_day(asked, "from"),
        last=_day(asked, "to"),
        measure=get_object_or_404(Measure, slug=measure) if measure else None,
        team=get_object_or_404(Team, slug=team) if team else None,
        rep=given(asked, "rep"),
        deal=int(number) if number.isascii() and number.isdecimal() and len(number) < 16 else None,
    )


def _day(asked: Mapping[str, str], name: str) -> date | None:
    try:
        return date.fromisoformat(given(asked, name))
    except ValueError:
        return None


def _choices(chosen: Period | None, today: date) -> list[Period]:
    """Months and what contains them, from the newest that has begun."""
    begun = [period for period in periods.all_periods() if period.starts <= today or period == chosen]
    found = sorted(begun, key=lambda period: (period.ends, period.starts), reverse=True)
    return found if chosen is None or chosen in found else [chosen, *found]


@require_safe
@login_required
def exports_page(request: HtmxRequest) -> HttpResponseBase:
    """Every list of the organisation as a file, and the nights that were written."""
    reviewer(request.user)
    shown = [each for each in DATASETS if not each.catalog]
    return render(
        request, "quotas/exports.html", {"datasets": shown, "nights": kept_nights(), "today": clock.today()}
    )


@require_safe
@login_required
def export(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """One of them."""
    reviewer(request.user)
    chosen = next((each for each in DATASETS if each.slug == slug and not each.catalog), None)
    form = exporting.asked(request)
    if chosen is None or form is None:
        raise Http404
    return exporting.answer(
        request, form, name=chosen.slug, title=chosen.title, table=chosen.table(clock.now(), None)
    )
