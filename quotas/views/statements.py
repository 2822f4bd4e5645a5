"""Statements: the list of those that one may see, one statement, and a close's as files."""

from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats, job_files
from config.given import given
from config.language import _, later, ngettext
from config.models import Job, JobState
from config.ordering import Orders
from config.refusals import NotFound, Refusal
from quotas.models import CloseState, PeriodClose, Statement
from quotas.selectors import statement_digests, statement_tables
from quotas.selectors.statements import (
    acknowledged,
    change_of,
    closes_with,
    content_of,
    disputes_of,
    statements_for,
    version_after,
    with_heads,
)
from quotas.selectors.visibility import SEES_EVERYTHING
from quotas.services import statements as services
from quotas.views import HtmxRequest, sales_user, wants_part

OF_A_CLOSE: Final = Orders(
    Statement, "rep", rep=("rep__name",), entries=("entries",), acknowledged=("acknowledged_at",)
)
OF_A_REP: Final = Orders(
    Statement,
    ("-close__period__starts", "-close__version", "id"),
    period=("close__period__starts", "close__version"),
    entries=("entries",),
    acknowledged=("acknowledged_at",),
)
STATES: Final = (
    ("", later("Every state")),
    ("open", later("Not acknowledged")),
    ("done", later("Acknowledged")),
)
FORMS: Final = (("xlsx", later("Excel")), ("csv", "CSV"), ("jsonl", later("JSON Lines")))
MOST: Final = 500  # entries of one rule that the page shows
WATCH: Final = (Role.MANAGER, *SEES_EVERYTHING)


def waiting_count(request: HttpRequest) -> int:
    """How many statements this person has not acknowledged; for the navigation. 1 query."""
    return Statement.objects.filter(
        rep__user=request.user.pk, acknowledged_at=None, close__state=CloseState.CLOSED
    ).count()


@require_safe
@login_required
@vary_on_headers("HX-Request")
def statements(request: HtmxRequest) -> HttpResponseBase:
    """A rep's own; others choose a close, the latest first. A fixed number of queries."""
    user = sales_user(request)
    seen = statements_for(user, clock.today())
    watches = user.has_role(*WATCH)
    closes = closes_with(seen)
    chosen = _chosen(request, closes) if watches else None
    of_close = seen.filter(close=chosen) if chosen else seen
    found = _narrowed(request, of_close)
    order = (OF_A_CLOSE if chosen else OF_A_REP).of(request.GET)
    if form := exporting.asked(request):
        return _as_file(request, form, chosen, found, order.fields)
    page = order.page_of(found, with_heads(Statement.objects.all()))
    context = {
        "statements": page.rows,
        "closes": closes,
        "close": chosen,
        "watches": watches,
        "counted": acknowledged(of_close) if chosen else None,
        "may_remind": chosen is not None and chosen.state == CloseState.CLOSED and not _reads_alone(user),
        "packs": _packs(user, chosen) if chosen else [],
        "states": STATES,
        "formats": FORMS,
        "state": given(request.GET, "state"),
        "q": given(request.GET, "q"),
        "user_pk": user.pk,
        "today": clock.today(),
    } | page.context
    part = wants_part(request) and request.htmx.target == "statements"
    return render(request, "quotas/statements.html" + ("#list" if part else ""), context)


def _reads_alone(user: User) -> bool:
    return user.has_role(Role.AUDITOR) and not user.has_role(Role.MANAGER, Role.COMP_ADMIN)


def _chosen(request: HtmxRequest, closes: list[PeriodClose]) -> PeriodClose | None:
    """?close=FY27-M01.v2, else the latest. Raises Http404 for one that is not there, or not theirs."""
    name = given(request.GET, "close")
    if not name:
        return closes[0] if closes else None
    found = next((each for each in closes if _name(each) == name), None)
    if found is None:
        raise Http404
    return found


def _name(close: PeriodClose) -> str:
    return f"{close.period.name}.v{close.version}"


def _narrowed(request: HtmxRequest, found: QuerySet[Statement]) -> QuerySet[Statement]:
    state, q = given(request.GET, "state"), given(request.GET, "q")
    if state in ("open", "done"):
        found = found.filter(acknowledged_at__isnull=state == "open")
    if q:
        found = found.filter(Q(rep__name__icontains=q) | Q(rep__slug=q) | Q(rep__employee_no=q))
    return found


def _as_file(
    request: HtmxRequest,
    form: Any,
    chosen: PeriodClose | None,
    found: QuerySet[Statement],
    order: Sequence[str],
) -> HttpResponseBase:
    """The list, or with ?what=lines every line of every statement of the close."""
    if chosen is not None and request.GET.get("what") == "lines":
        return exporting.answer(
            request,
            form,
            name=f"statements {chosen} lines",
            title=f"Statements of {chosen}, line by line",
            table=statement_tables.all_rows(found),
            said=[("Digest of all", chosen.statements_digest)],
        )
    return exporting.answer(
        request,
        form,
        name=f"statements {chosen or ''}",
        title=f"Statements of {chosen}" if chosen else "Statements",
        table=statement_tables.listed(found, order),
        said=[("Digest of all", chosen.statements_digest)] if chosen else (),
        total=found.count(),
    )


@require_safe
@login_required
def statement(request: HtmxRequest, pk: int) -> HttpResponseBase:
    """Checked against the ledger each time that it is read. About 30 queries, whatever its length."""
    user = sales_user(request)
    found = get_object_or_404(with_heads(statements_for(user, clock.today())), pk=pk)
    content = content_of(found)
    if form := exporting.asked(request):
        export = services.export_of([content], at=clock.now())
        return exporting.answer(
            request,
            form,
            name=export.name,
            title=export.title,
            table=export.table,
            said=export.said,
            total=export.total,
        )
    mine = found.rep.user_id == user.pk
    newer = version_after(found)
    context = {
        "statement": found,
        "close": found.close,
        "content": content,
        "holds": statement_digests.holds(found),
        "change": change_of(content),
        "later": newer,
        "disputes": disputes_of(content),
        "mine": mine,
        "may_acknowledge": mine and found.acknowledged_at is None and found.close.state == CloseState.CLOSED,
        "may_dispute": mine or user.has_role(Role.MANAGER, Role.COMP_ADMIN),
        "watches": user.has_role(*WATCH),
        "most": f":{MOST}",
        "most_number": MOST,
        "close_name": _name(found.close),
        "today": clock.today(),
    }
    return render(request, "quotas/statement.html", context)


@require_POST
@login_required
def acknowledge(request: HtmxRequest, pk: int) -> HttpResponse:
    user = sales_user(request)
    return _done(
        request,
        lambda: services.acknowledge(statement_id=pk, by=user, at=clock.now()),
        _("You acknowledged this statement."),
        reverse("quotas:statement", args=[pk]),
    )


@require_POST
@login_required
def remind(request: HtmxRequest, pk: int) -> HttpResponse:
    user = sales_user(request)
    close = get_object_or_404(PeriodClose.objects.select_related("period"), pk=pk)

    def reminded() -> str:
        meant = services.remind(close_id=pk, by=user, at=clock.now())
        return ngettext(
            "%(count)s rep is reminded, each once a day at most.",
            "%(count)s reps are reminded, each once a day at most.",
            meant,
        ) % {"count": formats.whole(meant)}

    return _done(
        request, reminded, "", f"{reverse('quotas:statements')}?{urlencode({'close': _name(close)})}"
    )


@require_POST
@login_required
def pack(request: HtmxRequest, pk: int) -> HttpResponse:
    """Start a ZIP with a file for each rep."""
    user = sales_user(request)
    close = get_object_or_404(PeriodClose.objects.select_related("period"), pk=pk)
    try:
        job = services.start_pack(
            close_id=pk, form=request.POST.get("format", "xlsx"), by=user, at=clock.now()
        )
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        messages.error(request, str(refused))
        return redirect(f"{reverse('quotas:statements')}?{urlencode({'close': _name(close)})}")
    return redirect("quotas:statement-pack", job.pk)


def _done(request: HtmxRequest, act: Callable[[], object], said: str, back: str) -> HttpResponse:
    try:
        told = act()
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, said or str(told))
    return redirect(back)


def _packs(user: User, close: PeriodClose) -> list[Job]:
    """What this person had packed of a close lately. 1 query."""
    return list(
        Job.objects.filter(kind=services.PACK, requested_by=user, parameters__close=close.pk).order_by("-pk")[
            :3
        ]
    )


def _own_pack(request: HtmxRequest, pk: int) -> Job:
    """Only who asked for it: what is in it is what that person may see."""
    user = sales_user(request)
    return get_object_or_404(
        Job.objects.select_related("requested_by", "progress"), kind=services.PACK, requested_by=user, pk=pk
    )


def _kept(job: Job) -> bool:
    """Whether it can be fetched: its files are there, and whoever asked for it may still see all that is in it. At most 3 queries."""
    return job.state == JobState.DONE and job.files.exists() and services.may_still_see(job, clock.today())


@require_safe
@login_required
@vary_on_headers("HX-Request")
def packed(request: HtmxRequest, pk: int) -> HttpResponse:
    job = _own_pack(request, pk)
    close = get_object_or_404(PeriodClose.objects.select_related("period"), pk=job.parameters["close"])
    context = {
        "job": job,
        "close": close,
        "close_name": _name(close),
        "kept": _kept(job),
    }
    return render(request, "quotas/statement_pack.html" + ("#pack" if wants_part(request) else ""), context)


@require_safe
@login_required
def pack_file(request: HtmxRequest, pk: int) -> HttpResponseBase:
    job = _own_pack(request, pk)
    if not _kept(job):
        raise Http404
    close = get_object_or_404(PeriodClose.objects.select_related("period"), pk=job.parameters["close"])
    answer = StreamingHttpResponse(job_files.zipped(job, job.requested_at), content_type="application/zip")
    name = (f"statements-{close.period.name}-v{close.version}-{job.parameters['format']}.zip").lower()
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "private, no-store"
    return answer
