"""Monthly usage: what was metered and billed, to whom it is credited, and a file of it to record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats
from config.given import given
from config.language import _
from config.ordering import Orders
from config.posted import posted_from
from config.refusals import Problem, Refusal
from quotas.models import Deal, DealKind, DealState, Period
from quotas.selectors import exports, periods
from quotas.selectors.deals import owners_of_usage
from quotas.selectors.visibility import deals_for
from quotas.services.consumption import COLUMNS, may_record_usage, record_usage_file
from quotas.views import HtmxRequest, sales_user, wants_part

PAGE: Final = 50
ORDERS: Final = Orders(Deal, ("-credited_version__close_date", "-id"))
LARGEST_FILE: Final = 4_000_000
SEES: Final = (Role.REP, Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR)


@dataclass(frozen=True, slots=True)
class Row:
    """A customer's usage of a month. billed_minor is empty while every line of it is an estimate."""

    deal: Deal
    month: Period | None
    consumed_minor: int
    billed_minor: int | None
    estimated: int
    owner: str

    @property
    def lines(self) -> Any:
        return self.deal.in_force.lines.all()

    @property
    def difference_minor(self) -> int:
        return (self.billed_minor or 0) - self.consumed_minor if self.billed_minor is not None else 0


@require_safe
@login_required
@vary_on_headers("HX-Request")
def usage(request: HtmxRequest) -> HttpResponseBase:
    user = _reader(request)
    if form := exporting.asked(request):
        month = _month(request.GET)
        found = _found(user, month, given(request.GET, "q"), request.GET.get("billed", ""))
        name = _("usage %(value)s") % {"value": month or ""}
        return exporting.answer(request, form, name=name, title="Usage", table=exports.usage(found))
    return _page(request, user)


def _reader(request: HttpRequest) -> User:
    user = sales_user(request)
    if not user.has_role(*SEES):
        raise Http404
    return user


def _page(
    request: HtmxRequest,
    user: User,
    *,
    wrong: Sequence[Problem] = (),
    counts: Mapping[str, int] | None = None,
    source: str = "metering",
) -> HttpResponse:
    asked = request.GET
    month = _month(asked)
    words, billed = given(asked, "q"), asked.get("billed", "")
    found = _found(user, month, words, billed)
    page = ORDERS.of(asked).page(found, PAGE)
    context = {
        "rows": _rows(page.rows),
        "month": month,
        "months": [
            p for p in reversed(periods.all_periods()) if p.grain == "M" and p.starts <= clock.today()
        ],
        "words": words,
        "billed": billed,
        **page.context,
        "may_record": may_record_usage(user),
        "columns": COLUMNS,
        "wrong": [_written(problem) for problem in wrong[:200]],
        "more_wrong": max(0, len(wrong) - 200),
        "counts": counts,
        "source": source,
        "today": clock.today(),
    }
    if wants_part(request) and request.htmx.target == "usage":
        return render(request, "quotas/usage.html#list", context)
    return render(request, "quotas/usage.html", context, status=422 if wrong else 200)


def _month(asked: Mapping[str, str]) -> Period | None:
    name = given(asked, "month")
    found = periods.period_named(name) if name else None
    if name and found is None:
        raise Http404
    return found


def _found(user: User, month: Period | None, words: str, billed: str) -> QuerySet[Deal]:
    deals = deals_for(user, clock.today()).filter(
        state=DealState.APPROVED, credited_version__kind=DealKind.CONSUMPTION
    )
    if month is not None:
        deals = deals.filter(
            credited_version__close_date__gte=month.starts, credited_version__close_date__lt=month.ends
        )
    for word in words.split()[:6]:
        deals = deals.filter(customer__name__icontains=word)
    if billed in ("yes", "no"):
        open_lines = deals.filter(credited_version__lines__billed_minor=None).values("pk")
        deals = deals.filter(pk__in=open_lines) if billed == "no" else deals.exclude(pk__in=open_lines)
    return deals.select_related("customer", "latest_version", "credited_version__currency").prefetch_related(
        "credited_version__lines__offering"
    )


def _rows(page: Sequence[Deal]) -> list[Row]:
    """2 queries, whatever their number."""
    months = list(Period.objects.filter(grain="M", calendar__in={deal.calendar_id for deal in page}))
    owners = owners_of_usage(page)
    rows = []
    for deal in page:
        version = deal.credited_version
        assert version is not None  # noqa: S101 -- these deals are approved
        lines = list(version.lines.all())
        known = [line.billed_minor for line in lines if line.billed_minor is not None]
        rows.append(
            Row(
                deal=deal,
                month=next(
                    (
                        m
                        for m in months
                        if m.calendar_id == deal.calendar_id and m.starts <= version.close_date < m.ends
                    ),
                    None,
                ),
                consumed_minor=sum(line.amount_minor for line in lines),
                # What is not billed yet counts with its estimate, so that the two columns can be compared.
                billed_minor=sum(
                    line.amount_minor if line.billed_minor is None else line.billed_minor for line in lines
                )
                if known
                else None,
                estimated=len(lines) - len(known),
                owner=owners.get(deal.pk, ""),
            )
        )
    return rows


@posted_from("quotas:usage")
@login_required
def record(request: HtmxRequest) -> HttpResponse:
    """Check a file, or record it; every problem is said by line."""
    user = _reader(request)
    if not may_record_usage(user):
        raise Http404
    source = given(request.POST, "source", 20) or "metering"
    file = request.FILES.get("file")
    dry_run = request.POST.get("do") == "check"
    if file is None or (file.size or 0) > LARGEST_FILE:
        said = _("Choose a CSV file first.") if file is None else _("A file has at most 4 MB: split it.")
        return _page(request, user, wrong=[Problem("no_file", said)], source=source)
    try:
        text = file.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        said = _("This is not a text in UTF-8: save it as CSV UTF-8.")
        return _page(request, user, wrong=[Problem("not_text", said)], source=source)
    try:
        counts = record_usage_file(text=text, source=source, by=user, at=clock.now(), dry_run=dry_run)
    except Refusal as refused:
        return _page(request, user, wrong=refused.problems, source=source)
    if dry_run:
        return _page(request, user, counts=counts, source=source)
    messages.success(
        request,
        _("Recorded: %(new)s new, %(changed)s changed, %(unchanged)s unchanged.")
        % {
            "new": formats.whole(counts["new"]),
            "changed": formats.whole(counts["changed"]),
            "unchanged": formats.whole(counts["unchanged"]),
        },
    )
    return redirect("quotas:usage")


def _written(problem: Problem) -> tuple[str, str, str]:
    """Line, column and sentence."""
    _rest, line, *column = (problem.pointer or "/").split("/")
    return line, "".join(column), problem.message
