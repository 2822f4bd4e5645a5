"""The console's first page, the team, and what programs need to know."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

from accounts.scopes import Scope
from config import clock
from config.calls import call
from config.language import _, spoken
from config.paging import paged
from marketplace.models import ChangeSetState, Publication
from marketplace.selectors import console
from marketplace.selectors.visibility import SEES_EVERYTHING
from marketplace.services.publisher_keys import SCOPES
from marketplace.views import day_asked
from marketplace.views.console.seat import membership, person, seat

ON_SALE = (Publication.LIVE, Publication.PREVIEW)


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """Own offerings and change sets, and what to do next. Who keeps the catalog chooses whose console to look at."""
    user = person(request)
    if not request.GET.get("as") and membership(user) is None and user.has_role(*SEES_EVERYTHING):
        return render(
            request, "marketplace/console/choose.html", {"publishers": console.publishers_at_work()}
        )
    at_desk = seat(request)
    on = day_asked(request)
    offerings = console.own_offerings(at_desk.publisher, on)
    sets = console.own_sets(at_desk.publisher)
    mending = [s for s in sets if s.change_set.state == ChangeSetState.CHANGES_REQUESTED]
    dated = [o for o in offerings if o.next_day is not None]
    context = {
        "seat": at_desk,
        "tab": "home",
        "on": on,
        "offerings": paged(request, offerings),
        "sets": sets,
        "insiders": console.insiders(at_desk.publisher),
        "open_sets": [s for s in sets if s.change_set.state in console.OPEN],
        "mending": mending,
        "on_sale": sum(o.offering.publication in ON_SALE for o in offerings),
        "next": min(dated, key=lambda o: o.next_day or on, default=None),
        "unpriced": sum(o.unpriced for o in offerings),
        "findings": sum(s.findings for s in sets),
        "changes": console.own_changes(at_desk.publisher),
        "scorecard": _url("scorecard", at_desk.publisher.slug),
        "webhooks": _url("console-webhooks") or _url("webhooks"),
        "spreadsheet": _url("spreadsheet-upload"),
        "call": call(request, "GET", f"/api/v1/offerings/?publisher={at_desk.publisher.slug}"),
    }
    return render(request, "marketplace/console/home.html", context)


@require_safe
@login_required
def team(request: HttpRequest) -> HttpResponse:
    """Who acts for the publisher: its own people and programs, nobody else's."""
    at_desk = seat(request)
    people = console.members(at_desk.publisher, clock.now())
    context = {
        "seat": at_desk,
        "tab": "team",
        "people": paged(request, [m for m in people if not m.user.is_service]),
        "services": paged(request, [m for m in people if m.user.is_service], by="programs"),
        "call": call(request, "GET", f"/api/v1/publishers/{at_desk.publisher.slug}/"),
    }
    return render(request, "marketplace/console/team.html", context)


@require_safe
@login_required
def developers(request: HttpRequest) -> HttpResponse:
    """How a program does what the console does."""
    at_desk = seat(request)
    offering = next((o.offering for o in console.own_offerings(at_desk.publisher, clock.today())), None)
    if offering is None and not at_desk.own:
        raise Http404
    slug = offering.slug if offering else "your-offering"
    items = [{"operation": "offering.update", "body": {"slug": slug, "summary": _("What it is good for.")}}]
    sets = "/api/v1/change-sets/"
    context = {
        "seat": at_desk,
        "tab": "developers",
        "scopes": [(s.value, spoken(s.label)) for s in Scope if s in SCOPES],
        "calls": [
            (
                "check",
                _("Check without keeping anything"),
                _("Every wrong field comes back at once, each with its JSON pointer."),
                call(request, "POST", f"{sets}validate/", {"items": items}),
            ),
            (
                "create",
                _("Make a draft"),
                _(
                    "Send an Idempotency-Key: repeated with the same key and body, the first answer comes back and nothing is made twice."
                ),
                call(
                    request,
                    "POST",
                    sets,
                    {"title": _("New summary"), "items": items},
                    key="7d5f6c1e-new-summary",
                ),
            ),
            (
                "submit",
                _("Submit it for review"),
                _("If-Match takes the ETag you read last; 412 says that it has changed since."),
                call(request, "POST", f"{sets}ID/submit/", key="7d5f6c1e-submit"),
            ),
            (
                "poll",
                _("Ask how it stands"),
                _("Or let a webhook tell you: change_set.decided."),
                call(request, "GET", f"{sets}ID/"),
            ),
        ],
        "webhooks": _url("console-webhooks") or _url("webhooks"),
    }
    return render(request, "marketplace/console/developers.html", context)


def _url(name: str, *args: object) -> str:
    """The address of a part that may not be installed; empty without it."""
    try:
        return reverse(f"marketplace:{name}", args=args)
    except NoReverseMatch:
        return ""
