"""A form that is sent twice from one showing of its page, by a second click or by loading the answer again, is done once."""

import hashlib
import time
from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User
from config import claims, clock
from config.claims import Claim
from config.language import _
from config.models import IdempotencyRecord

TOKEN: Final = "csrfmiddlewaretoken"  # noqa: S105 -- the name of the field; Django masks it anew for each showing of a page
FORM: Final = "application/x-www-form-urlencoded"
WAIT: Final = 10.0  # seconds for the first of two to be done
STEP: Final = 0.1


class SentOnceMiddleware:
    """What was done is answered by the redirect to what came of it, to the first and to whoever comes after.

    Only such answers are remembered: what was refused, checked or previewed is done anew. Parts of pages are asked for as often
    as somebody types, and files are known by their content where they are read.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        mine: Claim | None = getattr(request, "sent_once", None)
        if mine is not None:
            _settle(mine, request, response)
        return response

    def process_view(
        self, request: HttpRequest, _view: Any, _args: Any, _named: Any
    ) -> HttpResponseBase | None:
        """After the check of the token, before the view."""
        user = request.user
        if request.method != "POST" or not isinstance(user, User) or request.content_type != FORM:
            return None
        if TOKEN not in request.POST or getattr(request, "htmx", False):
            return None
        digest = hashlib.sha256(request.get_full_path().encode() + b"\n" + request.body).hexdigest()
        found = claims.claim(user, f"form:{digest}", digest, clock.now())
        waited = 0.0
        while isinstance(found, IdempotencyRecord) and found.status is None and waited < WAIT:
            time.sleep(STEP)
            waited += STEP
            found = claims.claim(user, f"form:{digest}", digest, clock.now())
        if isinstance(found, Claim):
            request.sent_once = found  # type: ignore[attr-defined]
            return None
        if found.status is None:
            messages.warning(request, _("What you sent is still being done: look again in a moment."))
            return HttpResponseRedirect(_page_of(request))
        messages.info(request, _("This was sent twice: it is done once."))
        return HttpResponseRedirect(found.headers["Location"])


def _settle(mine: Claim, request: HttpRequest, response: HttpResponse) -> None:
    if response.status_code in (302, 303) and not _says_that_it_failed(request):
        claims.in_flight(mine).update(status=response.status_code, headers={"Location": response["Location"]})
    else:
        claims.release(mine)


def _says_that_it_failed(request: HttpRequest) -> bool:
    """Whether the page that follows will say so: then the same may be tried again."""
    queued = getattr(messages.get_messages(request), "_queued_messages", ())
    return any(message.level >= messages.ERROR for message in queued)


def _page_of(request: HttpRequest) -> str:
    page = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(page, {request.get_host()}, require_https=request.is_secure())
    return page if ours else "/"
