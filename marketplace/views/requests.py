"""Requests for offerings: everybody's own, and the queue of those who answer them."""

from typing import Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from config import clock
from config.language import _, spoken
from config.posted import posted_from
from config.refusals import Refusal
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import OfferingRequest, RequestState
from marketplace.selectors.requests import names_customers, requests_for
from marketplace.selectors.visibility import offerings_for
from marketplace.services.requests import answer_request, ask_for_offering, decline_request
from marketplace.views import HtmxRequest, signed_in

PAGE: Final = 50


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def requests(request: HtmxRequest) -> HttpResponse:
    """Those that this user sees, by state; a POST makes one. About 8 queries."""
    if request.method == "POST":
        return _ask(request)
    return _list(request, {"wanted": request.GET.get("wanted", "")[:200]})


@posted_from("marketplace:requests")
@login_required
def decide(request: HtmxRequest, pk: int) -> HttpResponse:
    """Answer with an offering, or decline with a reason."""
    user, at = signed_in(request), clock.now()
    wanted = get_object_or_404(requests_for(user), pk=pk)
    try:
        if "decline" in request.POST:
            decline_request(request_id=wanted.pk, reason=request.POST.get("reason", ""), by=user, at=at)
            messages.success(
                request, _("Declined; %(made_by_name)s is told.") % {"made_by_name": wanted.made_by.name}
            )
        else:
            answer_request(
                request_id=wanted.pk,
                offering=request.POST.get("offering", ""),
                note=request.POST.get("note", ""),
                by=user,
                at=at,
            )
            messages.success(
                request, _("Answered; %(made_by_name)s is told.") % {"made_by_name": wanted.made_by.name}
            )
    except Refusal as refused:
        wrong = {problem.pointer.strip("/"): problem.message for problem in refused.problems}
        entries = {name: request.POST.get(name, "") for name in ("offering", "note", "reason")}
        return _list(request, {"refused": wanted.pk, "wrong_here": wrong, "entries": entries}, status=422)
    return HttpResponseRedirect(reverse("marketplace:requests"))


def requests_waiting(request: HttpRequest) -> int:
    """Behind the entry of the menu: how many are open. 1 query."""
    return OfferingRequest.objects.filter(state=RequestState.OPEN).count()


def _ask(request: HtmxRequest) -> HttpResponse:
    user = signed_in(request)
    entries = {name: request.POST.get(name, "") for name in ("wanted", "why", "customer", "searched")}
    try:
        made = ask_for_offering(by=user, at=clock.now(), **entries)
    except Refusal as refused:
        wrong = {problem.pointer.strip("/"): problem.message for problem in refused.problems}
        return _list(request, {**entries, "wrong": wrong}, status=422)
    messages.success(
        request,
        _("Your request for %(wanted)s waits for a catalog manager. You will be notified.")
        % {"wanted": made.wanted},
    )
    return HttpResponseRedirect(reverse("marketplace:requests"))


def _list(request: HtmxRequest, more: dict[str, object], status: int = 200) -> HttpResponse:
    user = signed_in(request)
    state = request.GET.get("state", RequestState.OPEN)
    if state not in RequestState.values:
        state = RequestState.OPEN
    seen = requests_for(user)
    order = Keyset(OfferingRequest, ("id",) if state == RequestState.OPEN else ("-id",))
    try:
        place = order.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    page, before, behind = order.page(seen.filter(state=state), place, PAGE)
    visible = set(
        offerings_for(user).filter(pk__in=[r.offering_id for r in page]).values_list("pk", flat=True)
    )
    states = list(seen.order_by().values_list("state", flat=True))
    context = {
        "rows": [(row, row.offering_id in visible) for row in page],
        "tabs": [(s.value, spoken(s.label), states.count(s.value)) for s in RequestState],
        "state": state,
        "keeps": user.has_role("catalog_manager"),
        "sees_all": user.has_role("catalog_manager", "auditor"),
        "names_customers": names_customers(user),
        "previous": f"?state={state}&cursor={order.cursor(before)}" if before else "",
        "next": f"?state={state}&cursor={order.cursor(behind)}" if behind else "",
        **more,
    }
    return render(request, "marketplace/requests.html", context, status=status)
