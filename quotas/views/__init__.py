"""Pages: parse, one call, render. A part of a page is asked for by the page's own address."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest
from django_htmx.middleware import HtmxDetails

from accounts.models import Role, User
from config import formats
from config.given import given
from quotas.models import FiscalCalendar, Measure, Period
from quotas.selectors import periods

SALES = (Role.REP, Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR, Role.SOURCING_LEAD)


class HtmxRequest(HttpRequest):
    htmx: HtmxDetails


def signed_in(request: HttpRequest) -> User:
    """The user of a view that asks for a log-in."""
    if isinstance(request.user, AnonymousUser):
        raise TypeError("signed_in is for views behind login_required.")
    return request.user


def sales_user(request: HttpRequest, *more: str) -> User:
    """The user, if selling is any business of theirs; for everybody else these pages do not exist."""
    user = signed_in(request)
    if not user.has_role(*SALES, *more):
        raise Http404
    return user


def wants_part(request: HtmxRequest) -> bool:
    """Whether only the changing part is asked for; a restored history entry gets the whole page."""
    return bool(request.htmx) and not request.htmx.history_restore_request and not request.htmx.boosted


def chosen_period(
    asked: Mapping[str, str], on: date, calendar: Callable[[], FiscalCalendar | None] | None = None
) -> Period:
    """The period of the address, else the quarter of the day. Raises Http404 for a name that no period has.

    calendar  Whose quarter is meant; the operator's if none is given.
    """
    name = given(asked, "period")
    if name:
        found = periods.period_named(name)
    else:
        own = calendar() if calendar else None
        found = periods.current_period(on, calendar_id=own.pk if own else None)
    if found is None:
        raise Http404
    return found


def chosen_measure(asked: Mapping[str, str]) -> tuple[Measure, list[Measure]]:
    """The measure of the address, else the first; and all of them. 1 query."""
    every = list(Measure.objects.select_related("currency").order_by("position", "pk"))
    slug = asked.get("measure", "")
    found = next((measure for measure in every if not slug or measure.slug == slug), None)
    if found is None:
        raise Http404
    return found, every


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes amounts of one measure."""

    code: str | None
    exponent: int

    @classmethod
    def of(cls, measure: Measure) -> "Writer":
        currency = measure.currency
        return cls(currency.code, currency.exponent) if currency else cls(None, formats.COUNT_EXPONENT)

    def __call__(self, minor: int) -> str:
        return formats.measured(minor, self.code, self.exponent)

    def compact(self, minor: int) -> str:
        return formats.measured(minor, self.code, self.exponent, compact=True)

    def axis(self, minor: int) -> str:
        if self.code:
            return formats.money(minor, self.code, self.exponent, compact=True, trim=True)
        return formats.count(minor, self.exponent, compact=True)
