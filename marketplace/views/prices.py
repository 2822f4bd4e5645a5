"""The price page of an offering: every list price through time, drawn, announced and as a table."""

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from config import charts, clock, exporting, formats
from config.charts import Held
from config.language import _
from marketplace.models import Currency, PriceVersion
from marketplace.selectors import exports
from marketplace.selectors.price_history import (
    Gap,
    MeterHistory,
    Notice,
    PriceList,
    Stretch,
    announced_changes,
    price_lists,
)
from marketplace.selectors.prices import WORLD, amount_text
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for
from marketplace.views import day_asked, signed_in

BEFORE: Final = timedelta(days=180)
AFTER: Final = timedelta(days=120)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One meter's chart with its table twin."""

    history: MeterHistory
    chart: SafeString
    table: SafeString

    @property
    def drawable(self) -> bool:
        """Some price of it is known."""
        return any(stretch.amount is not None for stretch in self.history.stretches)


@dataclass(frozen=True, slots=True)
class Listed:
    """One plan's list in one market and currency as the page shows it."""

    prices: PriceList
    meters: list[Drawn]
    on: date

    @property
    def anchor(self) -> str:
        return f"{self.prices.plan.slug}-{self.prices.market}-{self.prices.currency}".lower()

    @property
    def gaps(self) -> list[Gap]:
        """Those between two prices, or that have begun; an end that is still to come is announced instead."""
        return [gap for gap in self.prices.gaps if gap.end is not None or gap.start <= self.on]

    @property
    def where(self) -> str:
        return "" if self.prices.market == WORLD else self.prices.market


@dataclass(frozen=True, slots=True)
class Coming:
    listed: Listed
    notice: Notice


@require_safe
@login_required
def prices(request: HttpRequest, slug: str) -> HttpResponseBase:
    user = signed_in(request)
    found = get_object_or_404(with_facts(offerings_for(user)), slug=slug)
    on = day_asked(request)
    if form := exporting.asked(request):
        listed = PriceVersion.objects.filter(plan__offering=found, private_offer=None)
        name, title = (
            _("prices %(slug)s") % {"slug": found.slug},
            _("Prices of %(found_name)s") % {"found_name": found.name},
        )
        return exporting.answer(request, form, name=name, title=title, table=exports.prices(listed))
    shown = {id(prices): _listed(prices, on) for prices in price_lists(found, on)}
    with_price = {listed.prices.plan.pk for listed in shown.values()}
    context: dict[str, Any] = {
        "page_title": _("Prices of %(found_name)s") % {"found_name": found.name},
        "offering": found,
        "on": on,
        "today": clock.today(),
        "lists": list(shown.values()),
        "coming": [
            Coming(shown[id(prices)], notice)
            for prices, notice in announced_changes(listed.prices for listed in shown.values())
        ],
        "without": [plan for plan in found.plans.all() if plan.pk not in with_price],
        "outside": user.has_role("partner"),
    }
    return render(request, "marketplace/prices.html", context)


def _listed(prices: PriceList, on: date) -> Listed:
    first = min(prices.first_day or on - BEFORE, on - BEFORE)
    last = max((prices.last_day or on) + AFTER, on + AFTER)
    currency = prices.versions[0].version.currency
    return Listed(prices, [_drawn(meter, prices, currency, first, last, on) for meter in prices.meters], on)


def _drawn(
    meter: MeterHistory, prices: PriceList, currency: Currency, first: date, last: date, on: date
) -> Drawn:
    symbol = currency.symbol or f"{currency.code}\N{NO-BREAK SPACE}"

    def place(day: date | None, otherwise: date) -> float:
        return float((min(max(day or otherwise, first), last) - first).days)

    spans = [
        Held(
            place(stretch.start, first),
            place(stretch.end, last),
            float(stretch.amount) if stretch.amount is not None else None,
        )
        for stretch in meter.stretches
    ]
    length = float((last - first).days)
    now = float((on - first).days)
    ticks = [(0.0, _month(first)), (now, _month(on)), (length, _month(last))]
    chart = charts.step_chart(
        [("accent", [span for span in spans if span.end > span.start])],
        length=length,
        now=now,
        label=_said(meter, prices),
        ticks=[ticks[0], *([ticks[1]] if length * 0.3 < now < length * 0.7 else []), ticks[2]],
        write=lambda value: amount_text(Decimal(f"{value:.6g}"), symbol, 0),
    )
    table = charts.table_twin(
        _("%(meter_name)s of %(plan_name)s by day")
        % {"meter_name": meter.name, "plan_name": prices.plan.name},
        (_("From"), _("To before"), _("Price")),
        (
            (formats.day(s.start, _("Always")), formats.day(s.end, _("Further notice")), _text(s, currency))
            for s in meter.stretches
        ),
    )
    return Drawn(meter, chart, table)


def _said(meter: MeterHistory, prices: PriceList) -> str:
    parts = [
        _("%(meter_name)s %(per)s, %(plan_name)s: now %(now)s")
        % {"meter_name": meter.name, "per": meter.per, "plan_name": prices.plan.name, "now": meter.now}
    ]
    parts += [str(change) for change in meter.announced]
    return "; ".join(parts)


def _text(stretch: Stretch, currency: Currency) -> str:
    if stretch.version is None:
        return _("No price in effect")
    symbol = currency.symbol or f"{currency.code}\N{NO-BREAK SPACE}"
    return amount_text(stretch.amount, symbol, currency.exponent)


def _month(day: date) -> str:
    return formats.month(day)
