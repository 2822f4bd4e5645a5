"""The home of who keeps the catalog: what waits for a review or an answer, what happens next by itself, which facts are missing."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from config import clock
from config.language import later
from config.pages import Homes
from marketplace.models import ChangeSetState, RequestState
from marketplace.selectors import change_sets, decisions, imports
from marketplace.selectors import home as selectors
from marketplace.selectors.changes import Asked, announced
from marketplace.selectors.requests import requests_for
from marketplace.selectors.visibility import offerings_for
from marketplace.views import signed_in

ROWS: Final = 5
AHEAD: Final = 7
MISSING: Final = {
    "price": later("Public plans without a price in effect"),
    "replacement": later("Retiring without a replacement"),
    "tasks": later("Without a task area"),
    "context": later("Context window unknown"),
    "path": later("Commercial path assumed"),
}


def catalog_home(request: HttpRequest, homes: Homes) -> HttpResponse:
    """A fixed number of queries."""
    user, today, at = signed_in(request), clock.today(), clock.now()
    seen = change_sets.change_sets_for(user)
    waiting = change_sets.listed(seen.filter(state__in=change_sets.WAITING)).order_by("submitted_at", "pk")
    proposed = decisions.in_state(decisions.decisions_for(user), "proposed", today).order_by("pk")
    asked = requests_for(user).filter(state=RequestState.OPEN).order_by("made_at", "pk")
    offerings = offerings_for(user)
    retiring = selectors.retiring(offerings, today)
    context: dict[str, Any] = {
        "homes": homes,
        "at": at,
        "user_pk": user.pk,
        "sets": waiting[:ROWS],
        "sets_all": waiting.count(),
        "sets_mine": change_sets.waiting_for(user),
        "scheduled": seen.filter(state=ChangeSetState.SCHEDULED).order_by("apply_on", "pk")[:ROWS],
        "decisions": [(each, decisions.about(each)) for each in proposed[:ROWS]],
        "decisions_all": decisions.waiting(),
        "ahead": announced(user, today, Asked())[:AHEAD],
        "retiring": retiring[:ROWS],
        "retiring_all": retiring.count(),
        "retiring_days": selectors.RETIRING_DAYS,
        "missing": [(MISSING[each.slug], each) for each in selectors.missing_facts(offerings, today)],
        "requests": asked[:ROWS],
        "requests_all": asked.count(),
        "disagreements": imports.open_discrepancies(),
        "imports": imports.imports_for(user)[:2],
    }
    return render(request, "marketplace/home.html", context)
