"""Offerings side by side; which ones, which day and whether only differences stand in the address, so that it can be shared."""

from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from config import clock
from marketplace.selectors.compare import MOST, compare
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for
from marketplace.views import HtmxRequest, day_asked, signed_in
from marketplace.views.catalog import picks

ONLY: Final = "differences"


@require_safe
@login_required
def comparison(request: HtmxRequest) -> HttpResponse:
    """About 10 queries. What the boxes of a list send is turned into the address that is passed on."""
    user, on = signed_in(request), day_asked(request)
    chosen = picks(request.GET)
    only = request.GET.get("only") == ONLY
    day = on.isoformat() if on != clock.today() else ""
    if request.GET.getlist("offering"):
        return HttpResponseRedirect(_address(chosen[:MOST], day, only, len(chosen) - MOST))
    found = {o.slug: o for o in with_facts(offerings_for(user)).filter(slug__in=chosen[:MOST])}
    offerings = [found[slug] for slug in chosen if slug in found]
    compared = compare(offerings, on)
    slugs = [o.slug for o in offerings]
    context = {
        "comparison": compared.differences() if only and len(offerings) > 1 else compared,
        "heads": [(o, _address([s for s in slugs if s != o.slug], day, only)) for o in offerings],
        "unknown": [slug for slug in chosen[:MOST] if slug not in found],
        "left_out": int(request.GET["left_out"]) if request.GET.get("left_out", "").isdigit() else 0,
        "room": len(offerings) < MOST,
        "slugs": ",".join(slugs),
        "only": only,
        "everything": _address(slugs, day, False),
        "differences": _address(slugs, day, True),
        "on": on,
        "today": clock.today(),
    }
    return render(request, "marketplace/compare.html", context)


def _address(slugs: list[str], day: str, only: bool, left_out: int = 0) -> str:
    query = QueryDict(mutable=True)
    if slugs:
        query["offerings"] = ",".join(slugs)
    if day:
        query["as_of"] = day
    if only:
        query["only"] = ONLY
    if left_out > 0:
        query["left_out"] = str(left_out)
    return f"{reverse('marketplace:compare')}?{query.urlencode(safe=',')}"
