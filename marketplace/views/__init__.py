"""Pages: parse, one call, render. A part of a page is asked for by the page's own address."""

from datetime import date
from decimal import Decimal
from typing import Final

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.models import User
from config import clock

FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2999, 12, 31)


class HtmxRequest(HttpRequest):
    htmx: HtmxDetails


def signed_in(request: HttpRequest) -> User:
    """The user of a view that asks for a log-in."""
    if isinstance(request.user, AnonymousUser):
        raise TypeError("signed_in is for views behind login_required.")
    return request.user


def wants_part(request: HtmxRequest) -> bool:
    """Whether only the changing part is asked for; a restored history entry gets the whole page."""
    return bool(request.htmx) and not request.htmx.history_restore_request and not request.htmx.boosted


def day_asked(request: HttpRequest, name: str = "as_of") -> date:
    """The day that a page is asked for; today without one, with one that cannot be read, or with one that no calendar of ours has."""
    try:
        day = date.fromisoformat(request.GET.get(name, ""))
    except ValueError:
        return clock.today()
    return day if FIRST_DAY <= day <= LAST_DAY else clock.today()


def is_short(amount: Decimal) -> bool:
    """Whether it can be written out: 1e-999999999 is read in no time, and has a thousand million digits."""
    exponent = amount.as_tuple().exponent
    return isinstance(exponent, int) and -20 <= exponent <= 20


def country_code(written: str) -> str:
    """Two letters, as ISO 3166-1 writes them; empty for what is no such code."""
    code = written.strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""
