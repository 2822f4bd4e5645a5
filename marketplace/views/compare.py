"""Offerings side by side; which ones, which day and whether only differences stand in the address, so that it can be shared."""

from datetime import date
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import User
from config import clock
from marketplace.models import Offering
from marketplace.selectors.compare import MOST, compare
from marketplace.selectors.resources import with_facts
from marketplace.selectors.search import ORDERINGS, find, with_sort_keys
from marketplace.selectors.spelling import read_as
from marketplace.selectors.substitutes import its_like
from marketplace.selectors.visibility import offerings_for
from marketplace.views import HtmxRequest, day_asked, signed_in
from marketplace.views.catalog import asked, picks

ONLY: Final = "differences"
FIRST: Final = 3  # of a list, where nothing in it is chosen
PROPOSED: Final = 6


@require_safe
@login_required
def comparison(request: HtmxRequest) -> HttpResponse:
    """About 20 queries. What the boxes of a list send is turned into the address that is passed on; no box, its first three.

    beside=SKU is an offering with what serves the same tasks.
    """
    user, on = signed_in(request), day_asked(request)
    chosen = picks(request.GET)
    only, left = request.GET.get("only") == ONLY, request.GET.get("left_out", "")
    day = on.isoformat() if on != clock.today() else ""
    if request.GET.getlist("offering"):
        return HttpResponseRedirect(_address(chosen[:MOST], day, only, len(chosen) - MOST))
    if request.GET.get("first") and not chosen:
        return HttpResponseRedirect(_address(_first(request.GET, user, on), day, only))
    if beside := request.GET.get("beside", ""):
        one = get_object_or_404(with_facts(offerings_for(user)), slug=beside)
        others = _proposed([one], user, on)[: FIRST - 1]
        return HttpResponseRedirect(_address([one.slug, *(o.slug for o in others)], day, only))
    found = {o.slug: o for o in with_facts(offerings_for(user)).filter(slug__in=chosen[:MOST])}
    offerings = [found[slug] for slug in chosen if slug in found]
    compared = compare(offerings, on)
    slugs = [o.slug for o in offerings]
    context = {
        "comparison": compared.differences() if only and len(offerings) > 1 else compared,
        "heads": [(o, _address([s for s in slugs if s != o.slug], day, only)) for o in offerings],
        "unknown": [slug for slug in chosen[:MOST] if slug not in found],
        "left_out": int(left) if left.isascii() and left.isdigit() and len(left) < 5 else 0,
        "room": len(offerings) < MOST,
        "proposed": [(o, _address([*slugs, o.slug], day, only)) for o in _proposed(offerings, user, on)],
        "slugs": ",".join(slugs),
        "only": only,
        "everything": _address(slugs, day, False),
        "differences": _address(slugs, day, True),
        "on": on,
        "today": clock.today(),
    }
    return render(request, "marketplace/compare.html", context)


def _first(asked_for: QueryDict, user: User, on: date) -> list[str]:
    """The first of what a list of the catalog shows, in its order. 2 queries or 4."""
    given, ordering = asked(asked_for, on)
    visible = offerings_for(user)
    criteria, _corrected = read_as(visible, given)
    listed = with_sort_keys(find(visible, criteria), ordering, criteria)
    return [offering.slug for offering in listed.order_by(*ORDERINGS[ordering])[:FIRST]]


def _proposed(offerings: list[Offering], user: User, on: date) -> list[Offering]:
    """What could be set beside them: what serves the same tasks as the first. 5 queries, none when all places are taken."""
    if not offerings or len(offerings) >= MOST:
        return []
    chosen = {offering.pk for offering in offerings}
    first = (
        offerings_for(user)
        .select_related("model_version")
        .prefetch_related("task_areas")
        .get(pk=offerings[0].pk)
    )
    found = its_like(first, offerings_for(user), on, PROPOSED + MOST)
    return [offering for offering in found if offering.pk not in chosen][:PROPOSED]


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
