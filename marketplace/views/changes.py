"""What is new in the catalog, by week, and what is announced for it; with the addresses by which one is kept told."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock, exporting
from config.language import _, later, spoken, spoken_choices
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import CatalogChange
from marketplace.selectors import exports
from marketplace.selectors.changes import KINDS, Asked, announced, changes_for, chosen, page_of, weeks
from marketplace.selectors.visibility import publishers_for
from marketplace.selectors.webhooks import endpoints_for
from marketplace.services.feeds import renew_address, token_of
from marketplace.views import HtmxRequest, day_asked, signed_in, wants_part
from marketplace.views.feeds import tag_of

PAGE: Final = 50
FIRST_ANNOUNCED: Final = 8
ICONS: Final = {
    "offering": "package",
    "price": "receipt-text",
    "eligibility": "scale",
    "lifecycle": "hourglass",
}
TONES: Final = {"offering": "accent", "price": "warn", "eligibility": "good", "lifecycle": "muted"}


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the page."""

    change: CatalogChange
    tone: str
    icon: str
    kind: str
    url: str
    others: list[tuple[CatalogChange, str]]
    ahead: bool


@require_safe
@login_required
@vary_on_headers("HX-Request")
def changes(request: HtmxRequest) -> HttpResponseBase:
    """About 10 queries, whatever the number of changes."""
    user = signed_in(request)
    today, on = clock.today(), day_asked(request)
    publishers = list(publishers_for(user).order_by("name"))
    kind = request.GET.get("kind", "")
    publisher = request.GET.get("publisher", "")
    asked = Asked(
        (kind,) if kind in KINDS else (),
        (publisher,) if publisher in {p.slug for p in publishers} else (),
    )
    order = Keyset(CatalogChange, ("-at", "-number"))
    try:
        place = order.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    found = chosen(changes_for(user), asked)
    if on < today:
        found = found.filter(at__lt=_midnight_after(on))
    if form := exporting.asked(request):
        table, title = exports.changes(found), _("Changes of the catalog")
        return exporting.answer(request, form, name="catalog changes", title=title, table=table)
    page, before, behind = order.page(found, place, PAGE)
    coming = announced(user, on, asked)
    filters = {"kind": kind if asked.kinds else "", "publisher": publisher if asked.publishers else ""}
    token = token_of(user)
    context = {
        "on": on,
        "today": today,
        "as_of": on if on != today else None,
        "kind": filters["kind"],
        "publisher": filters["publisher"],
        "kinds": spoken_choices(KINDS.items()),
        "publishers": publishers,
        "narrowed": bool(asked.kinds or asked.publishers),
        "weeks": [
            (week, [_line(entry.change, entry.others, on) for entry in week.entries]) for week in weeks(page)
        ],
        "coming": [(a, TONES[a.kind], spoken(KINDS[a.kind])) for a in coming[:FIRST_ANNOUNCED]],
        "coming_later": [
            (a, TONES[a.kind], spoken(KINDS[a.kind]))
            for a in coming[FIRST_ANNOUNCED : FIRST_ANNOUNCED + PAGE]
        ],
        "previous": _address(request, order.cursor(before)) if before else "",
        "next": _address(request, order.cursor(behind)) if behind else "",
        "first_page": place is None,
        "feeds": [(name, _feed_address(request, where, filters, token)) for name, where in FEEDS]
        if token
        else [],
        "feed_tag": tag_of(),
        "has_webhooks": user.has_role("partner", "catalog_manager") and endpoints_for(user).exists(),
        "may_have_webhooks": user.has_role("partner", "catalog_manager"),
        "api_address": request.build_absolute_uri(reverse("change-list")),
    }
    template = "marketplace/changes.html#list" if wants_part(request) else "marketplace/changes.html"
    return render(request, template, context)


FEEDS: Final = ((later("Atom"), "marketplace:feed-atom"), (later("JSON Feed"), "marketplace:feed-json"))


@require_POST
@login_required
def renew_feed(request: HttpRequest) -> HttpResponse:
    """A first personal address, or a new one that voids the old."""
    address = renew_address(by=signed_in(request), at=clock.now())
    said = (
        _("Your feed address is ready.")
        if address.number == 1
        else _("The old feed address is void; this is the new one.")
    )
    messages.success(request, said)
    return HttpResponseRedirect(reverse("marketplace:changes") + "#subscribe")


def _line(change: CatalogChange, others: tuple[CatalogChange, ...], on: date) -> Line:
    return Line(
        change=change,
        tone=TONES[change.kind],
        icon=ICONS[change.kind],
        kind=spoken(KINDS[change.kind]),
        url=page_of(change),
        others=[(other, page_of(other)) for other in others],
        ahead=change.first_day > on,
    )


def _feed_address(request: HttpRequest, where: str, filters: dict[str, str], token: str) -> str:
    given = {name: value for name, value in filters.items() if value}
    return request.build_absolute_uri(f"{reverse(where)}?{urlencode({**given, 'key': token})}")


def _address(request: HttpRequest, cursor: str) -> str:
    query = request.GET.copy()
    query["cursor"] = cursor
    return f"?{query.urlencode()}"


def _midnight_after(on: date) -> datetime:
    return datetime.combine(on + timedelta(days=1), time(), ZoneInfo(settings.TIME_ZONE))
