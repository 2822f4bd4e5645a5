"""Pay: one's own with an estimate, the managed teams', everybody's by close; payment files, accruals, how an entry came about."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, exporting
from config.given import given
from config.paging import paged
from quotas.models import EarningEntry, EarningKind, Period, PeriodClose, Rep
from quotas.selectors import earnings
from quotas.selectors.earnings import SEES_PAY, Estimate, Sums
from quotas.selectors.pay_words import sentences, terms_of
from quotas.selectors.visibility import SEES_EVERYTHING, rep_of, reps_for
from quotas.views import HtmxRequest, pay_curves, signed_in


@require_safe
@login_required
def index(request: HtmxRequest) -> HttpResponseBase:
    """Everybody whose pay this person may see, by close. Who sees only themselves is led to their own page."""
    user = _reader(request)
    mine = rep_of(user)
    if not user.has_role(Role.MANAGER, *SEES_EVERYTHING):
        if mine is None:
            return render(request, "quotas/earnings.html", {"nobody": True})
        return redirect("quotas:earnings-of", mine.slug)
    closes = earnings.closes_that_paid()
    context: dict[str, Any] = {"closes": closes, "tab": "people", "sees_all": _sees_all(user), "mine": mine}
    if not closes:
        return render(request, "quotas/earnings.html", context)
    close = _chosen(request, closes)
    seen = earnings.earnings_for(user, clock.today())
    before = _before(close, closes)
    people = earnings.people_paid(seen, close, before)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"earnings {close.period.name} v{close.version}",
            title=f"What {close} pays, by person",
            table=earnings.people_table(people, close),
            said=earnings.control_lines(earnings.control_totals(seen.filter(close=close))),
        )
    page = paged(request, people)
    context |= {
        "close": close,
        "before": before,
        "page": page,
        "count": len(people),
        "totals": earnings.control_totals(seen.filter(close=close)),
    }
    return render(request, "quotas/earnings.html", context)


@require_safe
@login_required
def payments(request: HtmxRequest) -> HttpResponseBase:
    """The payment file of a close, entry by entry, with its control totals."""
    _overseer(request)
    closes = earnings.closes_that_paid()
    context: dict[str, Any] = {"closes": closes, "tab": "payments", "sees_all": True}
    if not closes:
        return render(request, "quotas/earnings.html", context)
    close = _chosen(request, closes)
    entries = EarningEntry.objects.filter(close=close)
    totals = earnings.control_totals(entries)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"payments {close.period.name} v{close.version}",
            title=f"Payment file of {close}",
            table=earnings.payments(entries),
            said=[*earnings.control_lines(totals), ("Digest", close.payments_digest)],
            total=sum(sums.entries for sums in totals),
        )
    shown = entries.select_related(
        "rep", "measure", "plan", "currency", "origin_period", "close__period"
    ).order_by("rep__name", "rep_id", "kind", "pk")
    page = paged(request, shown)
    context |= {"close": close, "page": page, "totals": totals, "count": page.paginator.count}
    return render(request, "quotas/earnings.html", context)


@require_safe
@login_required
def accrual(request: HtmxRequest) -> HttpResponseBase:
    """What a close charges to each cost centre."""
    _overseer(request)
    closes = earnings.closes_that_paid()
    context: dict[str, Any] = {"closes": closes, "tab": "accrual", "sees_all": True}
    if not closes:
        return render(request, "quotas/earnings.html", context)
    close = _chosen(request, closes)
    entries = EarningEntry.objects.filter(close=close)
    totals, found = earnings.control_totals(entries), earnings.accrual(entries)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"accrual {close.period.name} v{close.version}",
            title=f"Accrual of {close} by cost centre",
            table=earnings.accrual_table(found, close.period),
            said=[*earnings.control_lines(totals), ("Digest", close.payments_digest)],
            total=len(found),
        )
    context |= {"close": close, "centres": found, "totals": totals, "count": len(found)}
    return render(request, "quotas/earnings.html", context)


# --- one person -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drawn:
    """An estimate with its curve, and how its component pays in words."""

    estimate: Estimate
    said: Sequence[str]
    curve: SafeString


@dataclass(frozen=True, slots=True)
class ClosePaid:
    """What one close paid a person."""

    close: PeriodClose
    entries: Sequence[EarningEntry]
    totals: Sequence[Sums]


@require_safe
@login_required
def person(request: HtmxRequest, slug: str) -> HttpResponseBase:
    """This window so far as an estimate, what each close paid and how it came about, draws and what is owed of them."""
    user = _reader(request)
    today = clock.today()
    rep = reps_for(user, today).filter(slug=slug).first()
    if rep is None:
        raise Http404
    entries = earnings.earnings_for(user, today).filter(rep=rep)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"earnings {rep.slug}",
            title=f"What {rep.name} was paid",
            table=earnings.payments(entries),
            said=earnings.control_lines(earnings.control_totals(entries)),
        )
    own = rep.user_id == user.pk
    context = {
        "rep": rep,
        "own": own,
        "back": user.has_role(Role.MANAGER, *SEES_EVERYTHING),
        "today": today,
        "estimates": [_drawn(each) for each in earnings.estimates(rep, on=today)],
        "closes": _by_close(entries),
        "draws": earnings.draws_shown(Rep.objects.filter(pk=rep.pk), today),
        "totals": earnings.control_totals(entries),
    }
    return render(request, "quotas/earnings_person.html", context)


def _by_close(entries: QuerySet[EarningEntry]) -> list[ClosePaid]:
    """The last close first. 1 query."""
    rows = entries.select_related(
        "close__period", "measure__currency", "plan", "currency", "origin_period"
    ).order_by("-close__approved_at", "-close_id", "kind", "-origin_period__starts", "pk")
    found = []
    for close, group in groupby(rows, key=lambda entry: entry.close):
        every = list(group)
        found.append(ClosePaid(close, every, _totals(every)))
    return found


def _totals(entries: Sequence[EarningEntry]) -> list[Sums]:
    by: dict[str, list[EarningEntry]] = {}
    for entry in entries:
        by.setdefault(entry.currency.code, []).append(entry)

    def of(rows: Sequence[EarningEntry], kind: str) -> int:
        return sum(entry.amount_minor for entry in rows if entry.kind == kind)

    return [
        Sums(
            rows[0].currency,
            len(rows),
            of(rows, EarningKind.EARNED),
            sum(
                e.amount_minor
                for e in rows
                if e.kind == EarningKind.EARNED and e.origin_period_id != e.close.period_id
            ),
            of(rows, EarningKind.DRAW),
            of(rows, EarningKind.RECOVERY),
        )
        for _, rows in sorted(by.items())
    ]


def _drawn(estimate: Estimate) -> Drawn:
    terms = terms_of(estimate.pay.component)
    return Drawn(estimate, sentences(terms) if terms else (), pay_curves.of_estimate(estimate))


@require_safe
@login_required
def entry(request: HtmxRequest, pk: int) -> HttpResponse:
    """How one entry was worked out, from what it keeps."""
    user = _reader(request)
    found = (
        earnings.earnings_for(user, clock.today())
        .select_related("rep", "measure__currency", "plan", "plan_version__plan", "currency", "origin_period")
        .select_related("close__period", "draw")
        .filter(pk=pk)
        .first()
    )
    if found is None:
        raise Http404
    context = {
        "entry": found,
        "name": earnings.component_name(found),
        "worked": earnings.worked_out(found),
        "own": found.rep.user_id == user.pk,
        "unit": found.measure.currency if found.measure else None,
    }
    return render(request, "quotas/earning.html", context)


# --- who sees what ----------------------------------------------------------------------------------------


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not user.has_role(*SEES_PAY):
        raise Http404
    return user


def _overseer(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not _sees_all(user):
        raise Http404
    return user


def _sees_all(user: User) -> bool:
    return user.has_role(*SEES_EVERYTHING)


def _chosen(request: HtmxRequest, closes: Sequence[PeriodClose]) -> PeriodClose:
    """The close of the address, else the last one."""
    asked = given(request.GET, "close")
    if not asked:
        return closes[0]
    found = next((close for close in closes if str(close.pk) == asked), None)
    if found is None:
        raise Http404
    return found


def _before(close: PeriodClose, closes: Sequence[PeriodClose]) -> Period | None:
    """The month before it that paid, in the same calendar. A later version pays differences: there is nothing to hold them against."""
    if close.version > 1:
        return None
    earlier = [
        c.period
        for c in closes
        if c.period.calendar_id == close.period.calendar_id and c.period.starts < close.period.starts
    ]
    return max(earlier, key=lambda period: period.starts, default=None)
