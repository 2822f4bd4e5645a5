"""A session that ends, or begins anew, while a page is open: where one logs in again, and what becomes of what was typed."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from config.language import _

NOT_KEPT: Final = frozenset({"csrfmiddlewaretoken", "password"})


class LogInAgainMiddleware:
    """Whoever has to log in gets the log-in page as a whole, and afterwards the page that was open.

    A part of a page that is asked for by a script would get the form in its place, and what is sent leads to an address that
    is no page: both mean the page that they come from.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not _asks_to_log_in(response):
            return response
        htmx = getattr(request, "htmx", None)
        if htmx:
            again = redirect_to_login(htmx.current_url_abs_path or "/")
            return HttpResponseClientRedirect(again["Location"], headers={"Cache-Control": "no-store"})
        if request.method not in ("GET", "HEAD") and (page := _page_of(request)):
            return redirect_to_login(page)
        return response


def _asks_to_log_in(response: HttpResponse) -> bool:
    if response.status_code != 302:
        return False
    where = urlsplit(response["Location"])
    return where.path == resolve_url(settings.LOGIN_URL) and REDIRECT_FIELD_NAME in QueryDict(where.query)


def _page_of(request: HttpRequest) -> str:
    """The page of ours that a form was sent from; nothing where it is not known."""
    page = request.headers.get("Referer", "")
    if not _is_ours(request, page):
        return ""
    split = urlsplit(page)
    return split._replace(scheme="", netloc="", fragment="").geturl()


def _is_ours(request: HttpRequest, address: str) -> bool:
    return url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ) and bool(urlsplit(address).netloc)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form from before its reader logged in again: what was typed is kept, and sent once somebody has looked at it.

    Only for a form of ours, as the browser says by Origin: another site's is never offered to be sent.
    """
    if getattr(request, "htmx", None):
        said = _("You logged in again since this page was opened. Reload it, then go on.")
        answer = HttpResponse(status=403)
        return trigger_client_event(answer, "toast", {"text": said, "tone": "bad"})
    page = _page_of(request)
    ours = _is_ours(request, request.headers.get("Origin") or page)
    typed = [
        (name, value) for name, values in request.POST.lists() if name not in NOT_KEPT for value in values
    ]
    keeps = ours and request.user.is_authenticated and not request.FILES
    context = {
        "typed": typed if keeps else [],
        "address": request.get_full_path(),
        "page": page if ours else "",
        "files": bool(request.FILES),
    }
    return render(request, "403_csrf.html", context, status=403)
