"""Equal footing, and how one publisher's catalog stands."""

from datetime import date, timedelta
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from config import clock, formats
from config.language import _, later, ngettext, spoken
from config.paging import PAGE, paged
from marketplace.extension import sales_between
from marketplace.models import CommercialPath, Currency, PricingForm, Program
from marketplace.selectors.exposure import SEED, SHUFFLES
from marketplace.selectors.footing import Footing, PublisherFooting, footing
from marketplace.selectors.public_facts import FOOTING, facts_about, facts_named
from marketplace.selectors.scorecard import POLICY_DAYS, scorecard
from marketplace.selectors.visibility import offerings_for, publishers_for
from marketplace.views import day_asked, signed_in

SPANS: Final = ((90, later("90 days")), (365, later("A year")), (730, later("Two years")))
FEW_DAYS, MOST_DAYS = 1, 3660


@require_safe
@login_required
def equal_footing(request: HttpRequest) -> HttpResponse:
    """Deals are those that this person may see; a partner's are its own, so that no share of others can be worked out."""
    user, on = signed_in(request), day_asked(request)
    first, end, days = span_asked(request, on)
    found = footing(offerings_for(user), on, sales_between(user, first, end), shuffles=SHUFFLES, seed=SEED)
    outside = user.has_role("partner")
    currencies = Currency.objects.in_bulk(list(found.value_minor))
    page = paged(request, found.rows, size=PAGE)
    main = max(found.value_minor, key=lambda code: (code == "USD", found.value_minor[code]), default="")
    return render(
        request,
        "marketplace/footing.html",
        {
            "found": found,
            "page": page,
            "rows": [_shown(row, found, main, currencies, outside) for row in page],
            "deployments": [(name, _words(name)) for name in found.deployments],
            "tiers": [(name, _words(name)) for name in found.tiers],
            "forms": [(name, spoken(PricingForm(name).label)) for name in found.forms],
            "paths": [(name, spoken(CommercialPath(name).label)) for name in found.paths],
            "programs": [(program, spoken(program.label)) for program in Program],
            "outside": outside,
            "facts": facts_named(FOOTING),
            "first": first,
            "last": end - timedelta(days=1),
            "days": days,
            "spans": SPANS,
            "main": main,
            "others": [_money(v, c, currencies) for c, v in found.value_minor.items() if c != main],
            "on": on,
            "today": clock.today(),
        },
    )


def _shown(
    row: PublisherFooting, found: Footing, main: str, currencies: dict[str, Currency], outside: bool
) -> dict[str, object]:
    """A row with its shares as text. Shares of deals and value are for who sees everybody's."""
    value = row.sold.value_minor.get(main, 0)
    return {
        "row": row,
        "deployments": [row.deployments[name] for name in found.deployments],
        "tiers": [row.tiers[name] for name in found.tiers],
        "forms": [row.forms[name] for name in found.forms],
        "paths": [row.paths[name] for name in found.paths],
        "counting": [(row.counting[p], formats.percent(row.counting[p], row.offerings, 0)) for p in Program],
        "share": formats.percent(row.offerings, found.offerings),
        "seen": _percent(row.seen),
        "seen_by_name": _percent(row.seen_by_name if found.exposure.by_name else None),
        "seen_by_price": _percent(row.seen_by_price if found.exposure.by_price else None),
        "recommended": _percent(row.recommended if found.exposure.recommended else None),
        "deals_share": formats.NO_VALUE if outside else formats.percent(row.sold.deals, found.deals),
        "value": _money(value, main, currencies) if value else formats.NO_VALUE,
        "value_share": formats.NO_VALUE
        if outside
        else formats.percent(value, found.value_minor.get(main, 0)),
    }


@require_safe
@login_required
def publisher_scorecard(request: HttpRequest, slug: str) -> HttpResponse:
    user, on = signed_in(request), day_asked(request)
    publisher = get_object_or_404(publishers_for(user), slug=slug)
    first, end, days = span_asked(request, on)
    card = scorecard(publisher, user, on, since=first, until=end)
    currencies = Currency.objects.in_bulk(list(card.sold.value_minor if card.sold else ()))
    return render(
        request,
        "marketplace/scorecard.html",
        {
            "card": card,
            "page": paged(request, card.notices, size=PAGE),
            "publisher": publisher,
            "facts": facts_about(publisher),
            "values": [_money(v, c, currencies) for c, v in sorted(card.sold.value_minor.items())]
            if card.sold
            else [],
            "median": _length(card.turn_round.median) if card.turn_round and card.turn_round.median else "",
            "policy_days": POLICY_DAYS,
            "first": first,
            "last": end - timedelta(days=1),
            "days": days,
            "spans": SPANS,
            "on": on,
            "today": clock.today(),
        },
    )


def span_asked(request: HttpRequest, on: date) -> tuple[date, date, int]:
    """First day, end and length of the span that deals are counted in: so many days up to and with *on*."""
    written = request.GET.get("days", "")
    days = int(written) if written.isascii() and written.isdigit() and len(written) < 6 else 365
    days = min(max(days, FEW_DAYS), MOST_DAYS)
    end = on + timedelta(days=1)
    return end - timedelta(days=days), end, days


def _percent(share: float | None) -> str:
    return formats.NO_VALUE if share is None else formats.percent(round(share * 1_000_000), 1_000_000)


def _money(minor: int, code: str, currencies: dict[str, Currency]) -> str:
    exponent = currencies[code].exponent if code in currencies else 2
    return formats.money(minor, code or "USD", exponent, compact=True)


def _words(name: str) -> str:
    return name.replace("-", " ").capitalize() if name else _("Not stated")


def _length(span: timedelta) -> str:
    """A length of time as people say it: 3 days, 5 hours, 20 minutes."""
    minutes = round(span.total_seconds() / 60)
    if minutes >= 1440:
        days = round(minutes / 1440)
        return ngettext("%(count)s day", "%(count)s days", days) % {"count": days}
    if minutes >= 60:
        hours = round(minutes / 60)
        return ngettext("%(count)s hour", "%(count)s hours", hours) % {"count": hours}
    return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}
