"""Recredit runs: the list, and one run with its progress and what it came to. For comp admins; auditors read."""

from datetime import date
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting
from config.given import given
from config.language import _, spoken, spoken_choices
from config.models import Job, JobState
from config.refusals import Refusal
from quotas.selectors import exports
from quotas.selectors import recredits as selectors
from quotas.services.recredit import Cause, cancel_run
from quotas.views import HtmxRequest, wants_part

PAGE: Final = 30


@require_safe
@login_required
@vary_on_headers("HX-Request")
def recredits(request: HtmxRequest) -> HttpResponseBase:
    user = reviewer(request.user)
    cause, state, before = (given(request.GET, name) for name in ("cause", "state", "before"))
    rows = selectors.runs()
    if cause in Cause.values:
        rows = rows.filter(parameters__cause=cause)
    if state in JobState.values:
        rows = rows.filter(state=state)
    if form := exporting.asked(request):
        table = exports.recredit_runs(rows)
        return exporting.answer(request, form, name="recredit runs", title="Recredit runs", table=table)
    if before.isdecimal() and len(before) < 18:
        rows = rows.filter(pk__lt=int(before))
    page = list(rows[: PAGE + 1])
    context = {
        "runs": [Run(job) for job in page[:PAGE]],
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "first_page": not before,
        "cause": cause,
        "state": state,
        "causes": [("", _("Every cause")), *spoken_choices(Cause.choices)],
        "states": [("", _("Every state")), *spoken_choices(JobState.choices)],
        "may_start": user.has_role(Role.COMP_ADMIN),
    }
    return render(request, "quotas/recredits.html" + ("#list" if wants_part(request) else ""), context)


@require_safe
@login_required
@vary_on_headers("HX-Request")
def recredit(request: HtmxRequest, pk: int) -> HttpResponseBase:
    user = reviewer(request.user)
    job = get_object_or_404(selectors.runs(), pk=pk)
    if form := exporting.asked(request):
        table, title = exports.recredit_moves(job), _("What run %(pk)s moved") % {"pk": pk}
        return exporting.answer(request, form, name=f"recredit run {pk}", title=title, table=table)
    context: dict[str, Any] = {
        "run": Run(job),
        "job": job,
        "may_cancel": user.has_role(Role.COMP_ADMIN) and not job.finished and job.cancel_asked_at is None,
        "standings": selectors.moved_standings(job) if job.finished else [],
        "deals": selectors.moved_deals(job) if job.finished else [],
        "too_many": selectors.written(job) > selectors.MOST_SUMMED,
        "most": selectors.MOST_SHOWN,
    }
    return render(request, "quotas/recredit.html" + ("#run" if wants_part(request) else ""), context)


@require_POST
@login_required
def cancel(request: HtmxRequest, pk: int) -> HttpResponse:
    user = reviewer(request.user)
    get_object_or_404(selectors.runs(), pk=pk)
    try:
        cancel_run(job_id=pk, by=user, at=clock.now())
    except Refusal as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, _("The run stops after its present step. What it has posted stays posted."))
    return redirect("quotas:recredit", pk)


class Run:
    """A run in the words of its pages."""

    def __init__(self, job: Job) -> None:
        asked = job.parameters
        self.job = job
        self.pk = job.pk
        self.cause = spoken(Cause(asked["cause"]).label)
        self.what = asked["what"]
        self.reason = asked["reason"]
        self.starts, self.ends = (date.fromisoformat(asked[name]) for name in ("starts", "ends"))
        self.named = None if asked["deals"] is None else len(asked["deals"])
        self.counts = selectors.told(job.counts)
        self.written = selectors.written(job)

    @property
    def left(self) -> str:
        """How long it will still take, by what the deals so far took; empty while that says nothing."""
        job = self.job
        if job.state != JobState.RUNNING or not job.total or not job.done or job.started_at is None:
            return ""
        seconds = (clock.now() - job.started_at).total_seconds() / job.done * (job.total - job.done)
        if seconds < 0:
            return ""  # the demo's clock goes back at midnight
        return (
            _("less than a minute left")
            if seconds < 60
            else _("about %(seconds)s min left") % {"seconds": f"{seconds / 60:.0f}"}
        )


def reviewer(user: Any) -> User:
    """Comp admins and auditors; for everybody else these pages do not exist."""
    if not isinstance(user, User) or not user.has_role(Role.COMP_ADMIN, Role.AUDITOR):
        raise Http404
    return user
