"""A month: its checklist, who asked to close it, how far the close is, what it came to, and its versions. For comp admins; auditors read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting
from config.given import given, written
from config.language import _
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from quotas.models import CloseState, Grain, Measure, Period, PeriodClose, PeriodState, Seal
from quotas.selectors import closing as selectors
from quotas.selectors import closing_tables
from quotas.selectors.closing import Item
from quotas.services import closing, parity
from quotas.views import HtmxRequest, signed_in, wants_part


@dataclass(frozen=True, slots=True)
class Version:
    """A close that was approved, with its seal once it has one, and what it came to by measure."""

    close: PeriodClose
    seal: Seal | None
    totals: Sequence[tuple[Measure, dict[str, int]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """Something to acknowledge, and what was entered about it."""

    item: Item
    seen: bool
    why: str


@require_safe
@login_required
@vary_on_headers("HX-Request")
def period(request: HtmxRequest, name: str) -> HttpResponseBase:
    """One month; ?format=csv is what its newest close froze, ?close=1&format=csv its first one."""
    user = _reader(request)
    month = _period(name)
    if month.grain != Grain.MONTH:
        return redirect("quotas:periods")
    if form := exporting.asked(request):
        close = _asked_close(month, given(request.GET, "close"))
        title = _("What %(close)s froze") % {"close": close}
        table = closing_tables.frozen(close)
        return exporting.answer(
            request, form, name=f"{month.name} close {close.version}", title=title, table=table
        )
    return _page(request, user, month)


@posted_from("quotas:period", "name")
@login_required
def act(request: HtmxRequest, name: str, action: str) -> HttpResponse:
    """Prove, ask, approve, call back, go on, open, ask to reopen, reopen: whatever is refused comes back with the page."""
    user = _reader(request)
    if not user.has_role(Role.COMP_ADMIN):
        raise Http404
    month = _period(name)
    does = _ACTIONS.get(action)
    if does is None or month.grain != Grain.MONTH:
        raise Http404
    try:
        said = does(request, user, month)
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _page(request, user, _period(name), wrong=refused.problems, about=action)
    messages.success(request, said)
    return redirect("quotas:period", month.name)


def _page(
    request: HtmxRequest, user: User, month: Period, *, wrong: Iterable[Problem] = (), about: str = ""
) -> HttpResponse:
    """The page, or its changing part while a job runs. A fixed number of queries."""
    at = clock.now()
    problems = list(wrong)
    close = selectors.standing(month)
    versions = _versions(month)
    newest = versions[-1] if versions else None
    writes = user.has_role(Role.COMP_ADMIN)
    asked = close is not None and close.state == CloseState.ASKED
    live = month.state == PeriodState.OPEN or asked
    items = selectors.checklist(month, at=at) if live else []
    last = selectors.last_closed(month.calendar_id)
    job = close.job if close is not None else None
    measures = {measure.pk: measure for measure in _measures()}
    late = selectors.late_entries(month, items) if live else None
    late_deals = [
        (deal, [(measures[pk], minor) for pk, minor in expected.by_measure.items()])
        for deal, expected in (late.deals if late else ())
    ]
    context: dict[str, Any] = {
        "month": month,
        "close": close,
        "job": job,
        "versions": versions,
        "newest": newest,
        "blockers": selectors.blockers(items),
        "acknowledge": [
            Asked(
                item,
                item.slug in request.POST.getlist("seen"),
                _text(request, f"why-{item.slug}"),
            )
            for item in selectors.to_acknowledge(items)
        ],
        "note": _text(request, "note"),
        "reason": _text(request, "reason"),
        "fine": [item for item in items if item.state == selectors.OK],
        "checked": bool(items),
        "late": late,
        "late_deals": late_deals,
        "statements_url": f"{reverse('quotas:statements')}?close={newest.close.period.name}.v{newest.close.version}"
        if newest and newest.close.statements_digest
        else "",
        "payments_url": f"{reverse('quotas:earnings-payments')}?close={newest.close.pk}"
        if newest and newest.close.payments_digest
        else "",
        "may_write": writes,
        "mine": close is not None and close.asked_by_id == user.pk,
        "asked": asked,
        "running": close is not None and close.state == CloseState.CLOSING,
        "stopped": close is not None
        and close.state == CloseState.CLOSING
        and job is not None
        and job.finished,
        "may_reopen": writes
        and close is not None
        and close.state == CloseState.CLOSED
        and last is not None
        and last.pk == month.pk,
        "reopen_mine": close is not None and close.reopen_asked_by_id == user.pk,
        "before_parity": month.state == PeriodState.CLOSED and close is None,
        "steps": _steps(close),
        "wrong": problems,
        "about": about,
        "today": clock.today(),
    }
    if len(versions) > 1:
        moved, count = selectors.between_versions(versions[-2].close, versions[-1].close)
        context |= {
            "moved": [(each, measures[each.measure_id]) for each in moved],
            "moved_count": count,
            "earlier": versions[-2],
            "compared": _compared(versions),
        }
    template = "quotas/period.html" + ("#now" if wants_part(request) and not problems else "")
    return render(request, template, context, status=422 if problems else 200)


def _steps(close: PeriodClose | None) -> list[tuple[str, str]]:
    """Each step of the close with done, now or later."""
    if close is None or close.job is None:
        return []
    done = close.job.done
    return [
        (
            closing.SAID[name],
            "done" if nth < done else "now" if nth == done and not close.job.finished else "later",
        )
        for nth, name in enumerate(closing.STEPS)
    ]


def _compared(versions: Sequence[Version]) -> list[tuple[Measure, list[int]]]:
    """By measure, what each version came to, direct and overlay together."""
    measures = {measure.pk: measure for version in versions for measure, _rest in version.totals}
    return [
        (
            measure,
            [
                sum(parts["direct"] + parts["overlay"] for each, parts in version.totals if each.pk == pk)
                for version in versions
            ],
        )
        for pk, measure in measures.items()
    ]


def _versions(month: Period) -> list[Version]:
    """Oldest first. 3 queries."""
    measures = {measure.slug: measure for measure in _measures()}
    found = (
        selectors.closes()
        .filter(period=month, frozen_digest__gt="")
        .prefetch_related("seals")
        .order_by("version", "pk")
    )
    return [
        Version(
            close,
            next(iter(close.seals.all()), None),
            [(measure, close.totals[slug]) for slug, measure in measures.items() if slug in close.totals],
        )
        for close in found
    ]


def _measures() -> list[Measure]:
    return list(Measure.objects.select_related("currency").order_by("position", "pk"))


# --- what may be done -------------------------------------------------------------------------------------


def _prove(_request: HtmxRequest, user: User, month: Period) -> str:
    parity.prove_period(period_id=month.pk, by=user, at=clock.now())
    return _("Parity of %(month_name)s is proved anew; the checklist says how it came out.") % {
        "month_name": month.name
    }


def _ask(request: HtmxRequest, user: User, month: Period) -> str:
    closing.ask_close(period_id=month.pk, by=user, at=clock.now(), note=_text(request, "note"))
    return _(
        "Asked for. Nothing posts into %(month_name)s any more; another comp admin approves its close."
    ) % {"month_name": month.name}


def _approve(request: HtmxRequest, user: User, month: Period) -> str:
    seen = {slug: _text(request, f"why-{slug}") for slug in request.POST.getlist("seen")}
    closing.approve_close(close_id=_standing(month).pk, by=user, at=clock.now(), acknowledged=seen)
    return _("Approved: %(month_name)s is being closed.") % {"month_name": month.name}


def _call_back(request: HtmxRequest, user: User, month: Period) -> str:
    close = _standing(month)
    closing.call_back(close_id=close.pk, by=user, at=clock.now(), note=_text(request, "note"))
    if close.state == CloseState.ASKED:
        return _("Called back: %(month_name)s is open again.") % {"month_name": month.name}
    return _("Called back: %(month_name)s stays closed.") % {"month_name": month.name}


def _go_on(_request: HtmxRequest, user: User, month: Period) -> str:
    closing.go_on(close_id=_standing(month).pk, by=user, at=clock.now())
    return _("The close goes on with the step that was not done.")


def _open(_request: HtmxRequest, user: User, month: Period) -> str:
    closing.open_month(period_id=month.pk, by=user, at=clock.now())
    return _("%(month_name)s is open: it takes credit.") % {"month_name": month.name}


def _ask_reopen(request: HtmxRequest, user: User, month: Period) -> str:
    closing.ask_reopen(period_id=month.pk, reason=_text(request, "reason"), by=user, at=clock.now())
    return _("Asked for. Another comp admin reopens %(month_name)s.") % {"month_name": month.name}


def _reopen(_request: HtmxRequest, user: User, month: Period) -> str:
    close = _standing(month)
    closing.reopen(close_id=close.pk, by=user, at=clock.now())
    return _(
        "%(month_name)s is open again. Version %(version)s stays as it was; its next close is version %(next)s."
    ) % {"month_name": month.name, "version": close.version, "next": close.version + 1}


_ACTIONS: Final[dict[str, Callable[[HtmxRequest, User, Period], str]]] = {
    "prove": _prove,
    "ask": _ask,
    "approve": _approve,
    "call-back": _call_back,
    "go-on": _go_on,
    "open": _open,
    "ask-reopen": _ask_reopen,
    "reopen": _reopen,
}


def _text(request: HtmxRequest, name: str) -> str:
    return written(request.POST, name)


def _standing(month: Period) -> PeriodClose:
    close = selectors.standing(month)
    if close is None:
        raise NotFound.of("unknown_close", _("There is no such close."))
    return close


def _asked_close(month: Period, version: str) -> PeriodClose:
    if version and (not version.isdecimal() or len(version) > 4):
        raise Http404
    found = selectors.closes().filter(period=month, frozen_digest__gt="")
    close = (found.filter(version=int(version)) if version else found).first()
    if close is None:
        raise Http404
    return close


def _period(name: str) -> Period:
    found = (
        Period.objects.select_related("calendar", "quarter", "half", "year").filter(name=name[:10]).first()
    )
    if found is None:
        raise Http404
    return found


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not selectors.sees_closes(user):
        raise Http404
    return user
