"""Addresses that take what a form sends, and answer a refused one with its page."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

View = Callable[..., HttpResponseBase]


def posted_from(page: str, *kept: str) -> Callable[[View], View]:
    """What is sent is taken; who only looks here is led to *page*, with the query.

    A refused form is answered at the address that it was sent to. Its page has links to itself, and can be opened again.

    kept   Which parts of the address the page's own has too.
    """

    def takes_what_is_sent(view: View) -> View:
        sent: View = require_POST(view)

        @wraps(sent)
        def answer(request: HttpRequest, **named: Any) -> HttpResponseBase:
            if request.method not in ("GET", "HEAD"):
                return sent(request, **named)
            where = reverse(page, kwargs={name: named[name] for name in kept})
            asked = request.GET.urlencode()
            return redirect(f"{where}?{asked}" if asked else where)

        return answer

    return takes_what_is_sent
