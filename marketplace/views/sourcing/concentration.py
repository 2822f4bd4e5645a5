"""Concentration by supplier over the months, what has one supplier only, what runs with us, and of whom each account buys."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import User
from config import charts, clock, exporting, formats, month_charts
from config.charts import Bin, Share, Tone
from config.exports import Amount, Column, Table
from config.formats import rounded
from config.given import given
from config.language import _, later, ngettext, spoken
from config.month_charts import Limit, Mark, Part
from config.months import add_months, month_of
from config.paging import paged
from marketplace.extension import buyers_between
from marketplace.models import Publisher
from marketplace.selectors.sourcing import buyers as buying
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.concentration import (
    END_OF_DAYS,
    FIRST_DAY,
    ONE,
    Basis,
    Exposure,
    FeatureSourcing,
    Hosted,
    Series,
    Sourced,
    Spread,
    grade,
)
from marketplace.selectors.sourcing.costing import USD
from marketplace.views import day_asked, signed_in

SPANS: Final = (12, 24, 36)
TONES: Final[Sequence[Tone]] = ("c1", "c2", "c3", "c4", "c5")
MOST_EVENTS: Final = 12
STATES: Final[dict[Sourced, tuple[Tone, str]]] = {
    Sourced.SOLE: ("bad", "circle-alert"),
    Sourced.COVERED: ("warn", "circle-dot"),
    Sourced.SEVERAL: ("good", "circle-check"),
    Sourced.UNBOUND: ("muted", "circle-minus"),
}
MEANS: Final = {
    Basis.SPEND: later(
        "What our own usage cost by the price in effect, less agreed discounts. Lines without a price are in no share."
    ),
    Basis.FEATURES: later(
        "Each feature that runs on something has one vote, split by the shares of its traffic on the last day of the"
        " month; in the running month, on the day itself."
    ),
    Basis.TOKENS: later("Tokens in and out that our own features used."),
    Basis.DEALS: later(
        "What was sold of each offering, by close date, in USD: the sums that you may read. An offering without a model"
        " counts for its publisher."
    ),
}


def reader(request: HttpRequest) -> User:
    """Who reads sourcing; for everybody else the page does not exist."""
    user = signed_in(request)
    if not reads_sourcing(user):
        raise Http404
    return user


def day_of(request: HttpRequest) -> date:
    """The day that is asked for; today for one that nobody can mean."""
    asked = day_asked(request)
    return asked if FIRST_DAY <= asked < END_OF_DAYS else clock.today()


def amount(basis: Basis, value: int, *, compact: bool = True) -> str:
    """As the basis counts: money, tokens, votes."""
    if basis in (Basis.SPEND, Basis.DEALS):
        return formats.money(value, USD, 2, compact=compact)
    if basis == Basis.TOKENS:
        return formats.count(value, 0, compact=compact)
    return formats.count(value // 10_000 * 10_000)


def unknown_in_words(basis: Basis, spread: Spread) -> str:
    """What is in no share; nothing where all is."""
    unknown = spread.unknown
    if not unknown:
        return ""
    if basis == Basis.FEATURES:
        votes = (amount(basis, unknown), formats.whole(rounded(Fraction(spread.total + unknown, ONE))))
        return _("%(unstated)s of %(votes)s votes not stated") % {"unstated": votes[0], "votes": votes[1]}
    if basis == Basis.DEALS:
        return ngettext(
            "%(sums)s sum in a currency without a rate", "%(sums)s sums in a currency without a rate", unknown
        ) % {"sums": formats.whole(unknown)}
    return ngettext(
        "%(lines)s line unpriced, %(share)s of tokens",
        "%(lines)s lines unpriced, %(share)s of tokens",
        unknown,
    ) % {"lines": formats.whole(unknown), "share": formats.percent(spread.gap_ppm or 0, ONE)}


# --- the page -----------------------------------------------------------------------------------------------------


@require_safe
@login_required
def concentration(request: HttpRequest) -> HttpResponseBase:
    """A fixed number of queries, whatever there is."""
    user, on = reader(request), day_of(request)
    basis = basis_asked(request.GET)
    found = Exposure(user, on, _span(request.GET))
    series = found.series(basis)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"concentration by {basis.value}",
            title=f"Concentration by {basis.label.lower()}",
            table=_table(found, series),
            said=[("What it counts", MEANS[basis])],
        )
    return render(
        request,
        "marketplace/sourcing/concentration.html",
        {
            "on": on,
            "today": clock.today(),
            "months": len(found.months),
            "spans": SPANS,
            "basis": basis,
            "cards": [card(found, each, current=each == basis) for each in Basis],
            "means": MEANS[basis],
            **_charts(found, series),
            "suppliers": _suppliers(found, series),
            "last": series.last,
            "last_day": found.as_of(basis, series.last) if series.last else "",
            "before": series.before,
            "gap": unknown_in_words(basis, series.last) if series.last else "",
            "year": series.year,
            "findings": found.findings,
            "rules": rules(),
            "features": [feature_row(found, each) for each in found.sourcing],
            "sole": len(found.sole),
            "products": _products(found),
            "shown_months": [formats.month_name(month) for month in _latest(found)],
            "hosted": _hosted(found),
            "hosted_twin": _hosted_twin(found),
            "events": _events(found, whole=request.GET.get("events") == "all"),
            "event_total": len(found.events),
        },
    )


def basis_asked(params: QueryDict) -> Basis:
    asked = params.get("by", "")
    return Basis(asked) if asked in Basis.values else Basis.SPEND


def _span(params: QueryDict) -> int:
    asked = params.get("months", "")
    return int(asked) if asked in {str(span) for span in SPANS} else 24


def card(found: Exposure, basis: Basis, *, current: bool = False) -> dict[str, Any]:
    """One index as a figure with its word and its trend."""
    series = found.series(basis)
    last, before, change = series.last, series.before, series.change
    graded = grade(last.hhi if last else None)
    values = [float(spread.hhi) for spread in series.spreads if spread.hhi is not None]
    largest = next(iter(last.shares.items()), None) if last else None
    return {
        "basis": basis,
        "label": _("HHI by %(basis)s") % {"basis": spoken(basis.label).lower()},
        "value": formats.whole(last.hhi or 0) if last else _("Unknown"),
        "sub": f"{found.name(largest[0])} {formats.percent(largest[1], ONE)}" if largest else "",
        "spark": charts.sparkline(
            values, label=_("HHI by %(basis)s by month") % {"basis": spoken(basis.label).lower()}
        )
        if len(values) > 1
        else "",
        "word": graded.word,
        "tone": graded.tone,
        "rule": graded.rule,
        "change": formats.whole(change, signed=True) if change is not None else "",
        "since": _("since %(month)s") % {"month": formats.month(before.month)} if before is not None else "",
        "as_of": found.as_of(basis, last) if last else _("nothing is known of these months"),
        "current": current,
        "gap": unknown_in_words(basis, last) if last else "",
        "sound": last is None or last.sound,
    }


def runs(months: Sequence[date]) -> str:
    """Months in words, those that follow each other as one: "Sep 2024 to Jul 2025, Oct 2025"."""
    found: list[list[date]] = []
    for month in months:
        if found and add_months(found[-1][-1], 1) == month:
            found[-1].append(month)
        else:
            found.append([month])
    return ", ".join(
        formats.month(run[0])
        if len(run) == 1
        else _("%(first)s to %(last)s") % {"first": formats.month(run[0]), "last": formats.month(run[-1])}
        for run in found
    )


def rules() -> list[str]:
    """What is warned of, in words, out of the settings."""
    limits = settings.SOURCING_THRESHOLDS
    return [
        (
            _(
                "HHI: the sum of the squared shares in per cent, 0 to 10,000; moderate from %(moderate)s, high from %(high)s on."
            )
            % {"moderate": formats.whole(limits["hhi_moderate"]), "high": formats.whole(limits["hhi_high"])}
        ),
        _("One supplier, not ourselves, above %(share)s of spend.")
        % {"share": formats.percent(limits["largest_supplier_ppm"], ONE, 0)},
        (
            _(
                "A sole-sourced feature: all its traffic goes to models of one supplier, and nothing of another supplier is bound to it"
                " as a fallback or without traffic, or qualified for it."
            )
        ),
        _("A product whose features all run on one supplier's models."),
    ]


def tones(order: Sequence[int]) -> dict[int, Tone]:
    return {pk: TONES[place] if place < len(TONES) else "muted" for place, pk in enumerate(order)}


def _charts(found: Exposure, series: Series) -> dict[str, Any]:
    basis, spreads = series.basis, series.spreads
    names = [formats.month_short(spread.month) for spread in spreads]
    limits = settings.SOURCING_THRESHOLDS
    place = {spread.month: at for at, spread in enumerate(spreads)}
    order = series.suppliers
    tone = tones(order)
    head = [_("Month"), "HHI", *[found.name(pk) for pk in order], _("In no share"), _("What happened")]
    happened = {
        month: "; ".join(event.what for event in found.events if month_of(event.day) == month)
        for month in place
    }
    return {
        "trend": month_charts.trend(
            [spread.hhi for spread in spreads],
            label=_("HHI by %(basis)s, by month, against its thresholds")
            % {"basis": spoken(basis.label).lower()},
            names=names,
            limits=[
                Limit(
                    limits["hhi_high"],
                    _("High from %(limits)s") % {"limits": formats.whole(limits["hhi_high"])},
                    "bad",
                ),
                Limit(
                    limits["hhi_moderate"],
                    _("Moderate from %(limits)s") % {"limits": formats.whole(limits["hhi_moderate"])},
                    "warn",
                ),
            ],
            marks=[
                Mark(
                    place[month],
                    f"{formats.day(event.day)}: {event.what}, {event.detail}, {event.who}",
                    round=event.kind == "binding",
                )
                for event in found.events
                if (month := month_of(event.day)) in place
            ],
            unsure=[not spread.sound for spread in spreads],
            top=10_000,
            write=lambda value: formats.whole(round(value)),
        ),
        "columns": month_charts.columns(
            [
                [
                    Part(found.name(pk), spread.amounts.get(pk, 0), tone[pk])
                    for pk in order
                    if spread.amounts.get(pk)
                ]
                for spread in spreads
            ],
            label=_("Shares by %(basis)s, by month and supplier") % {"basis": spoken(basis.label).lower()},
            names=names,
            unsure=[bool(spread.total) and not spread.sound for spread in spreads],
            write=lambda value, total: formats.percent(value, total),
        ),
        "twin": charts.table_twin(
            _("HHI and shares by %(basis)s, by month") % {"basis": spoken(basis.label).lower()},
            head,
            [
                [
                    formats.month(spread.month),
                    formats.whole(spread.hhi) if spread.hhi is not None else "unknown",
                    *(
                        formats.percent(spread.share(pk), ONE) if spread.total else formats.NO_VALUE
                        for pk in order
                    ),
                    unknown_in_words(basis, spread) or _("nothing"),
                    happened[spread.month] or formats.NO_VALUE,
                ]
                for spread in spreads
            ],
        ),
        "incomplete": runs([s.month for s in spreads if s.unknown]),
        "empty_months": runs([s.month for s in spreads if not s.total]),
    }


def _suppliers(found: Exposure, series: Series) -> list[dict[str, Any]]:
    """Every supplier that had anything, with its last month, its year and its change."""
    basis, last, before, year = series.basis, series.last, series.before, series.year
    tone = tones(series.suppliers)
    listed = []
    for pk in series.suppliers:
        now = last.share(pk) if last else 0
        listed.append(
            {
                "supplier": found.suppliers[pk],
                "tone": tone[pk],
                "share": formats.percent(now, ONE),
                "amount": amount(basis, last.amounts.get(pk, 0)) if last else "",
                "change": formats.percent(now - before.share(pk), ONE, signed=True).replace("%", "")
                if before
                else "",
                "year_share": formats.percent(year.share(pk), ONE) if year and year.total else "",
                "year_amount": amount(basis, year.amounts.get(pk, 0)) if year else "",
            }
        )
    return listed


def feature_row(found: Exposure, each: FeatureSourcing) -> dict[str, Any]:
    tone, picture = STATES[each.state]
    own = len(each.carriers) == 1 and found.suppliers[each.carriers[0]].own
    return {
        "each": each,
        "shares": [
            (
                found.name(pk),
                formats.percent(each.votes[pk], ONE, 0) if pk in each.votes else _("share not stated"),
            )
            for pk in each.carriers
        ],
        "unknown": formats.percent(each.unknown, ONE, 0) if each.unknown else "",
        "ready": found.names(each.ready),
        "word": spoken(each.state.label),
        "tone": tone,
        "icon": picture,
        "own": own,
        "url": _feature_url(each.feature.slug),
    }


def _feature_url(slug: str) -> str:
    return reverse("marketplace:feature", args=[slug])


def _latest(found: Exposure) -> list[date]:
    """The months that the table of products has room for."""
    months = [month for month, _rest in found.products[0].months] if found.products else []
    return months[-12:]


def _products(found: Exposure) -> list[dict[str, Any]]:
    return [
        {
            "product": each.product,
            "now": found.names(each.now),
            "count": len(each.now),
            "since": formats.month(each.several_since) if each.several_since else "",
            "earlier": each.several_since == each.months[0][0] if each.months else False,
            "months": [
                (formats.month(month), len(suppliers), found.names(suppliers) or _("nothing bound"))
                for month, suppliers in each.months[-12:]
            ],
            "url": reverse("marketplace:product", args=[each.product.slug]),
        }
        for each in found.products
    ]


def _hosted(found: Exposure) -> list[dict[str, Any]]:
    """The latest month known of each, as a bar with its words."""
    return [
        {"title": title, "what": what, **_bar(title, rows, write)}
        for title, what, rows, write in _hosting(found)
    ]


def _hosting(found: Exposure) -> list[tuple[str, str, Sequence[Hosted], Any]]:
    return [
        (_("Models"), _("Model versions that features are bound to"), found.hosted_models, formats.whole),
        (_("Usage"), _("Tokens, as the usage says where they ran"), found.hosted_usage, _tokens),
        (_("Deal value"), _("Of offerings with a model, in USD"), found.hosted_deals, _usd),
    ]


def _tokens(value: int) -> str:
    return amount(Basis.TOKENS, value)


def _usd(value: int) -> str:
    return amount(Basis.DEALS, value)


def _bar(title: str, rows: Sequence[Hosted], write: Any) -> dict[str, Any]:
    last = next((row for row in reversed(rows) if row.total), None)
    if last is None:
        return {"bar": "", "legend": "", "month": "", "apart": ""}
    parts: list[tuple[str, int, Tone]] = [
        (_("With us"), last.ours, "c3"),
        (_("Elsewhere"), last.elsewhere, "c1"),
        (_("Not known where"), last.unknown, "muted"),
    ]
    return {
        "month": formats.month(last.month),
        "share": formats.percent(last.ours, last.total),
        "bar": charts.share_bar(
            [Share(text, value, tone) for text, value, tone in parts if value],
            label=_("%(title)s hosted") % {"title": title},
        ),
        "legend": charts.legend(
            (text, f"{write(value)}, {formats.percent(value, last.total)}", tone)
            for text, value, tone in parts
            if value
        ),
        "apart": write(last.none) if last.none else "",
    }


def _hosted_twin(found: Exposure) -> SafeString:
    by_month: dict[date, list[str]] = {}
    for at, (_title, _what, rows, _write) in enumerate(_hosting(found)):
        for row in rows:
            line = by_month.setdefault(row.month, [formats.NO_VALUE] * 6)
            if row.total:
                line[2 * at] = formats.percent(row.ours, row.total)
                line[2 * at + 1] = formats.percent(row.unknown, row.total)
    return charts.table_twin(
        _("Share hosted by us, by month"),
        [
            _("Month"),
            *(head for title in (_("Models"), _("Usage"), _("Deals")) for head in (title, _("Not known"))),
        ],
        [[formats.month(month), *line] for month, line in sorted(by_month.items())],
    )


def _events(found: Exposure, *, whole: bool) -> list[dict[str, Any]]:
    return [
        {
            "event": event,
            "kind": _("Mix") if event.kind == "binding" else _("Decision"),
            "tone": "c1" if event.kind == "binding" else "c4",
            "url": _feature_url(event.feature)
            if event.feature
            else reverse("marketplace:decision", args=[event.decision_id]),
        }
        for event in reversed(found.events if whole else found.events[-MOST_EVENTS:])
    ]


def _table(found: Exposure, series: Series) -> Table:
    basis = series.basis
    in_money = basis in (Basis.SPEND, Basis.DEALS)
    columns = [
        Column("month", "Month", "date"),
        Column("supplier", "Supplier"),
        Column("amount", "Amount", "money", "Currency")
        if in_money
        else Column("votes", "Votes", "number")
        if basis == Basis.FEATURES
        else Column("tokens", "Tokens", "whole"),
        Column("share", "Share", "percent"),
        Column("hhi", "HHI of the month", "whole"),
        Column("in_no_share", "In no share"),
    ]

    def rows() -> Iterable[Sequence[Any]]:
        for spread in series.spreads:
            said = unknown_in_words(basis, spread) or None
            if not spread.total:
                yield (spread.month, None, None, None, None, said or _("Nothing is known."))
            for pk, share in spread.shares.items():
                value = spread.amounts[pk]
                yield (
                    spread.month,
                    found.name(pk),
                    Amount(value, USD, 2)
                    if in_money
                    else Decimal(value) / ONE
                    if basis == Basis.FEATURES
                    else value,
                    Fraction(share, ONE),
                    spread.hhi,
                    said,
                )

    return Table(columns, rows)


# --- of whom each account buys ------------------------------------------------------------------------------------


@require_safe
@login_required
def buyers(request: HttpRequest) -> HttpResponseBase:
    """Accounts by the number of publishers they buy from, over the last twelve whole months and the running one up to the day."""
    user, on = reader(request), day_of(request)
    end = date.fromordinal(on.toordinal() + 1)
    first = add_months(on, -12)
    names = dict(Publisher.objects.values_list("pk", "name"))
    every = buying.rows(buyers_between(user, first, end), names)
    words = given(request.GET, "q", 100)
    asked = request.GET.get("publishers", "")
    band = int(asked) if asked in {str(n) for n in range(1, buying.MANY + 1)} else None
    sort = request.GET.get("sort", "")
    sort = sort if sort in buying.SORTS else "publishers"
    found = buying.ordered(buying.narrowed(every, words, band), sort)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="accounts by publishers",
            title="Of how many publishers accounts buy",
            table=_buyers_table(found),
            said=[("Spend of", f"{first.isoformat()} to before {end.isoformat()}")],
            total=len(found),
        )
    page = paged(request, found)
    bands = buying.bands(every)
    values = {number: sum(row.value for row in every if row.band == number) for number, _rest in bands}
    total = sum(values.values())
    return render(
        request,
        "marketplace/sourcing/buyers.html",
        {
            "on": on,
            "today": clock.today(),
            "first": first,
            "page": page,
            "rows": [_buyer(row) for row in page],
            "total": len(found),
            "every": len(every),
            "words": words,
            "band": band,
            "bands": [(number, _band(number), count) for number, count in bands],
            "sort": sort,
            "chart": charts.histogram(
                [Bin(_band(number), count) for number, count in bands],
                label=_("Accounts by the number of publishers they buy from"),
            )
            if every
            else "",
            "twin": charts.table_twin(
                _("Accounts by the number of publishers they buy from"),
                [_("Publishers"), _("Accounts"), _("Share of accounts"), _("Spend"), _("Share of spend")],
                [
                    [
                        _band(number),
                        formats.whole(count),
                        formats.percent(count, len(every)),
                        _usd(values[number]),
                        formats.percent(values[number], total),
                    ]
                    for number, count in bands
                ],
            ),
            "single": bands[0][1],
            "single_value": _usd(values[1]),
            "single_share": formats.percent(values[1], total),
        },
    )


def _band(number: int) -> str:
    return _("%(number)s or more") % {"number": number} if number == buying.MANY else str(number)


def _buyer(row: buying.Row) -> dict[str, Any]:
    return {
        "buyer": row.buyer,
        "names": ", ".join(row.names[:4])
        + (_(" and %(names)s more") % {"names": len(row.names) - 4} if len(row.names) > 4 else ""),
        "value": formats.money(row.value, USD, 2, compact=True),
        "largest": formats.percent(row.largest, row.value, 0),
        "first": row.names[0] if row.names else "",
        "others": ", ".join(_("%(code)s apart") % {"code": code} for code in row.others),
    }


def _buyers_table(found: Sequence[buying.Row]) -> Table:
    columns = [
        Column("customer", "Customer"),
        Column("slug", "Name in addresses"),
        Column("publishers", "Publishers", "whole"),
        Column("names", "Of whom"),
        Column("spend", "Spend", "money", "Currency"),
        Column("largest", "With the largest", "percent"),
    ]
    return Table(
        columns,
        lambda: (
            (
                row.buyer.name,
                row.buyer.slug,
                row.buyer.publishers,
                ", ".join(row.names),
                Amount(row.value, USD, 2),
                Fraction(row.largest, row.value) if row.value else None,
            )
            for row in found
        ),
    )
