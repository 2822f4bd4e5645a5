"""Keys of the publisher's programs: made, changed over, revoked. A key is shown once, in the answer that made it."""

from datetime import date, timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from config import clock
from config.calls import call
from config.language import _, spoken
from config.paging import paged
from config.posted import posted_from
from config.refusals import NotFound, Refusal
from marketplace.selectors import console
from marketplace.services.publisher_keys import OVERLAP, SCOPES, make_key, revoke_key, rotate_key
from marketplace.views.console.seat import Seat, own_seat, seat

USUAL: Final = ("catalog:read", "catalog:write")
LASTS: Final = timedelta(days=180)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def keys(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, seat(request))
    at_desk = own_seat(request)
    entered: dict[str, Any] = {
        "name": request.POST.get("name", "").strip()[:60],
        "scopes": request.POST.getlist("scopes"),
        "last_day": request.POST.get("last_day", "").strip()[:10],
    }
    try:
        last = date.fromisoformat(entered["last_day"]) if entered["last_day"] else None
    except ValueError:
        return _page(
            request, at_desk, entered, {"last_day": [_("Write a day, such as 2027-06-30.")]}, status=422
        )
    try:
        row, key = make_key(
            publisher_id=at_desk.publisher.pk,
            name=entered["name"],
            scopes=entered["scopes"],
            last_day=last,
            by=at_desk.user,
            at=clock.now(),
        )
    except Refusal as refusal:
        wrong: dict[str, list[str]] = {}
        for problem in refusal.problems:
            wrong.setdefault(problem.pointer.strip("/") or "form", []).append(problem.message)
        return _page(request, at_desk, entered, wrong, status=refusal.status)
    return _page(request, at_desk, made=(row, key), status=201)


@never_cache
@posted_from("marketplace:console-keys")
@login_required
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """rotate shows the new key once; revoke goes back to the list."""
    at_desk = own_seat(request)
    chosen: dict[str, Any] = {
        "publisher_id": at_desk.publisher.pk,
        "key_id": pk,
        "by": at_desk.user,
        "at": clock.now(),
    }
    try:
        if action == "rotate":
            return _page(request, at_desk, made=rotate_key(**chosen), status=201)
        if action == "revoke":
            revoke_key(**chosen)
            messages.success(request, _("The key is revoked. Requests with it are refused from now on."))
            return HttpResponseRedirect(at_desk.to("console-keys"))
    except NotFound:
        raise Http404 from None
    except Refusal as refusal:
        return _page(
            request, at_desk, wrong={"form": [p.message for p in refusal.problems]}, status=refusal.status
        )
    raise Http404


def _page(
    request: HttpRequest,
    at_desk: Seat,
    entered: dict[str, Any] | None = None,
    wrong: dict[str, list[str]] | None = None,
    *,
    made: tuple[Any, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    now = clock.now()
    fresh = {"name": "", "scopes": list(USUAL), "last_day": (clock.day_of(now) + LASTS).isoformat()}
    context = {
        "seat": at_desk,
        "tab": "keys",
        "lines": paged(request, console.keys_of(at_desk.publisher, now)),
        "scopes": [(scope.value, spoken(scope.label)) for scope in SCOPES],
        "entered": entered or fresh,
        "wrong": wrong or {},
        "made": made,
        "overlap": OVERLAP.days,
        "today": clock.day_of(now),
        "call": call(request, "GET", "/api/v1/offerings/"),
    }
    return render(request, "marketplace/console/keys.html", context, status=status)
