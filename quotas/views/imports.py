"""Imports of sales data: the list with its upload, and one import from its map over its check to what became of every row."""

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from urllib.parse import quote

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.text import slugify
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, formats, jobs
from config.exports import defused
from config.given import given
from config.language import _, later, spoken, spoken_choices
from config.models import Job, JobState
from config.paging import paged
from config.posted import posted_from
from config.refusals import Problem, Refusal
from config.uploads import too_long
from marketplace.models import Currency
from quotas.import_forms import TOO_LARGE, MapForm, UploadForm
from quotas.importers.maps import draft_of, write_map
from quotas.models import ImportKind, ImportMap, ImportOutcome, SalesImport, SalesImportState
from quotas.selectors import imports as selectors
from quotas.selectors.policies import names_in_force
from quotas.services import importing
from quotas.views import HtmxRequest, signed_in, wants_part

PAGE: Final = 30
ROWS: Final = 50
MARKS: Final[Mapping[str, tuple[str, str, str]]] = {
    ImportOutcome.NEW: (later("New"), "accent", "plus"),
    ImportOutcome.CHANGED: (later("Changed"), "accent", "file-pen-line"),
    ImportOutcome.UNCHANGED: (later("Unchanged"), "good", "check"),
    ImportOutcome.CANCELLED: (later("Cancelled"), "warn", "undo-2"),
    ImportOutcome.LEFT_OUT: (later("Left out"), "muted", "circle-minus"),
    ImportOutcome.REFUSED: (later("Refused"), "bad", "x"),
}
MADE: Final[Mapping[str, tuple[str, str]]] = {
    "reps": ("rep", "reps"),
    "teams": ("team", "teams"),
    "territories": ("territory", "territories"),
    "accounts": ("account", "accounts"),
    "publishers": ("publisher", "publishers"),
    "offerings": ("offering", "offerings"),
}


def _reader(request: HttpRequest) -> User:
    """Comp admins, managers and auditors; for everybody else these pages do not exist."""
    user = signed_in(request)
    if not importing.may_read_imports(user):
        raise Http404
    return user


def _run(request: HttpRequest, pk: int) -> tuple[User, SalesImport]:
    user = _reader(request)
    return user, get_object_or_404(selectors.imports_for(user), pk=pk)


def _may_work(user: User, run: SalesImport) -> bool:
    """Whose import it is; a comp admin also another's."""
    mine = run.requested_by_id == user.pk or user.has_role(Role.COMP_ADMIN)
    return mine and importing.may_import(user, run.kind)


# --- the list and the upload -------------------------------------------------------------------------------


@csrf_exempt  # the inner view checks it, once the length has been looked at: the check itself reads the whole body
@login_required
def imports(request: HtmxRequest) -> HttpResponse:
    """The list, and the upload."""
    if request.method == "POST" and too_long(request, importing.LARGEST):
        user = _reader(request)
        return _list(request, user, _upload_form(user), too_large=TOO_LARGE, status=413)
    return _imports(request)


@csrf_protect
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def _imports(request: HtmxRequest) -> HttpResponse:
    user = _reader(request)
    if request.method != "POST":
        return _list(request, user, _upload_form(user, kind=given(request.GET, "kind")))
    if not selectors.kinds_of(user):
        raise Http404
    form = UploadForm(
        request.POST,
        request.FILES,
        kinds=spoken_choices(selectors.kinds_of(user)),
        maps=[saved.name for saved in selectors.maps()],
    )
    if form.is_valid():
        file, at = form.cleaned_data["file"], clock.now()
        try:
            run = importing.upload(
                kind=form.cleaned_data["kind"],
                file_name=file.name,
                pieces=file.chunks(),
                by=user,
                at=at,
            )
        except Refusal as refused:
            for problem in refused.problems:
                name = problem.pointer.strip("/")
                form.add_error(name if name in form.fields else None, problem.message)
        else:
            return _taken(request, run, form.cleaned_data["map"], by=user)
    return _list(request, user, form, status=422)


def _taken(request: HttpRequest, run: SalesImport, name: str, *, by: User) -> HttpResponse:
    """Uploaded; with a saved map if one was chosen that fits."""
    if name:
        saved = selectors.maps().filter(name=name).first()
        try:
            if saved is not None:
                importing.set_map(run_id=run.pk, text=saved.text, name=saved.name, by=by, at=clock.now())
        except Refusal as refused:
            messages.warning(
                request,
                _("The map %(name)s does not fit this file, so it was guessed. %(refused)s")
                % {"name": name, "refused": refused},
            )
    return redirect("quotas:import", run.pk)


def _upload_form(user: User, *, kind: str = "") -> UploadForm:
    return UploadForm(
        kinds=spoken_choices(selectors.kinds_of(user)),
        maps=[saved.name for saved in selectors.maps()],
        kind=kind,
    )


def _list(
    request: HtmxRequest, user: User, form: UploadForm, *, too_large: str = "", status: int = 200
) -> HttpResponse:
    """3 queries and those of the frame, whatever the number."""
    page = paged(request, selectors.imports_for(user), size=PAGE)
    context = {
        "page": page,
        "runs": [Run(run) for run in page],
        "form": form,
        "too_large": too_large,
        "may_import": bool(selectors.kinds_of(user)),
        "maps": [
            (saved, spoken(saved.get_kind_display()), importing.may_import(user, saved.kind))
            for saved in selectors.maps()
        ],
    }
    return render(request, "quotas/imports.html", context, status=status)


class Run:
    """An import in the words of its pages."""

    def __init__(self, run: SalesImport) -> None:
        self.run = run
        self.pk = run.pk
        self.job: Job | None = run.job
        ended = self.job is None or self.job.finished
        self.stopped = run.state in selectors.UNDER_WAY and ended
        self.failure = (
            self.job.error if self.stopped and self.job and self.job.state == JobState.FAILED else ""
        )
        self.busy = run.state in selectors.UNDER_WAY and not ended
        self.here = bool(run.look.get("kind"))  # uploaded, not read from the command line
        self.counts = [(MARKS[outcome][0], number) for outcome, number in selectors.told(run) if number]

    @property
    def state(self) -> tuple[str, str, str]:
        """Word, tone, icon."""
        if self.stopped:
            return (_("Failed"), "bad", "circle-x") if self.failure else (_("Stopped"), "warn", "circle-stop")
        return {
            SalesImportState.UPLOADED: (_("Map it"), "accent", "circle-dot"),
            SalesImportState.CHECKING: (_("Checking"), "accent", "clock"),
            SalesImportState.CHECKED: (_("Checked"), "accent", "circle-check"),
            SalesImportState.IMPORTING: (_("Importing"), "accent", "clock"),
            SalesImportState.DONE: (_("Imported"), "good", "circle-check"),
            SalesImportState.REFUSED: (_("Nothing imported"), "bad", "x"),
            SalesImportState.FAILED: (_("Failed"), "bad", "circle-x"),
        }[SalesImportState(self.run.state)]

    @property
    def size(self) -> str:
        units = (("MB", 1024**2), ("kB", 1024))
        return next(
            (f"{self.run.bytes / n:.1f} {unit}" for unit, n in units if self.run.bytes >= n),
            _("%(bytes)s bytes") % {"bytes": self.run.bytes},
        )

    @property
    def left(self) -> str:
        """How long it will still take, by what the rows so far took; empty while that says nothing."""
        job = self.job
        if job is None or job.finished or job.started_at is None or not job.out_of or not job.so_far:
            return ""
        seconds = (
            (clock.now() - job.started_at).total_seconds() / job.so_far * max(job.out_of - job.so_far, 0)
        )
        if seconds < 0:
            return ""  # the demo's clock goes back at midnight
        return (
            _("less than a minute left")
            if seconds < 60
            else _("about %(seconds)s min left") % {"seconds": f"{seconds / 60:.0f}"}
        )


# --- one import --------------------------------------------------------------------------------------------


@require_safe
@login_required
@never_cache
@vary_on_headers("HX-Request")
def sales_import(request: HtmxRequest, pk: int) -> HttpResponse:
    """One import: its map, its progress, its preview or its result, whichever it is at."""
    user, run = _run(request, pk)
    mine = Run(run)
    work = _may_work(user, run)
    again = run.state in (SalesImportState.CHECKED, SalesImportState.REFUSED, SalesImportState.FAILED)
    asked = work and request.GET.get("step") == "map" and (again or mine.stopped)
    if (run.state == SalesImportState.UPLOADED or asked) and mine.here:
        return _map_page(request, user, run)
    context = {**_frame(user, run, mine), **_result(run, mine)}
    return render(request, "quotas/import.html" + ("#run" if wants_part(request) else ""), context)


def _frame(user: User, run: SalesImport, mine: Run) -> dict[str, Any]:
    step = {SalesImportState.UPLOADED: 1, SalesImportState.CHECKING: 2, SalesImportState.CHECKED: 2}
    return {
        "run": run,
        "mine": mine,
        "job": run.job,
        "may_work": _may_work(user, run),
        "step": step.get(SalesImportState(run.state), 3),
    }


def _result(run: SalesImport, mine: Run) -> dict[str, Any]:
    """Counts, reasons, examples and what comes next. 4 queries."""
    preview: Mapping[str, Any] = run.preview or {}
    refused = int(run.counts.get(ImportOutcome.REFUSED, 0))
    created = preview.get("created") or {}
    currencies = {currency.code: currency for currency in Currency.objects.all()}
    source = draft_of(run.map_text)[0].source if run.map_text else ""
    return {
        "told": [
            (outcome, MARKS[outcome], number, selectors.SAID[outcome])
            for outcome, number in selectors.told(run)
        ],
        "reasons": [(reason, MARKS[reason.outcome]) for reason in selectors.reasons(run)],
        "refused": refused,
        "kept_out": bool(refused and run.options.get("all_or_nothing")),
        "reported": selectors.rows_of(run).exists(),
        "examples": [_example(each, currencies) for each in preview.get("examples", [])],
        "credit": [_credit(each, currencies) for each in preview.get("credit") or []],
        "nothing": preview.get("nothing") or [],
        "estimated": preview.get("estimated") or 0,
        "waits": preview.get("waits") or [],
        "gone": preview.get("gone") or 0,
        "created": [
            f"{formats.whole(int(number))} {MADE[name][0] if int(number) == 1 else MADE[name][1]}"
            for name, number in created.items()
            if int(number) and name in MADE
        ],
        "decisions": preview.get("decisions") or [],
        "is_deals": run.kind == ImportKind.DEALS,
        "does_something": bool(preview.get("gone"))
        or any(
            run.counts.get(outcome)
            for outcome in (ImportOutcome.NEW, ImportOutcome.CHANGED, ImportOutcome.CANCELLED)
        ),
        "links": _links(run, source),
    }


def _links(run: SalesImport, source: str) -> list[tuple[str, str, str]]:
    """(address, text, icon) of where one goes on from here; a page that does not exist is left out."""
    wanted = {
        ImportKind.DEALS: [
            ("quotas:deals", f"?source={quote(source)}", _("The deals of this source"), "handshake"),
            ("quotas:approvals", "", _("What waits for approval"), "clipboard-check"),
            ("quotas:reconciliation", f"?source={quote(source)}", _("Against the CRM"), "git-compare"),
            ("quotas:board", "", _("Quota board"), "chart-column"),
        ],
        ImportKind.QUOTAS: [("quotas:board", "", _("Quota board"), "chart-column")],
        ImportKind.REPS: [("quotas:board", "", _("Quota board"), "chart-column"), ("quotas:recredits", "", _("Recredit runs"), "rotate-ccw")],
        ImportKind.TERRITORIES: [("quotas:facts", "", _("Territories"), "map"), ("quotas:recredits", "", _("Recredit runs"), "rotate-ccw")],
    }  # fmt: skip
    found = []
    for name, query, text, icon in wanted[ImportKind(run.kind)]:
        try:
            found.append((reverse(name) + query, text, icon))
        except NoReverseMatch:
            continue
    return found


def _example(example: Mapping[str, Any], currencies: Mapping[str, Currency]) -> dict[str, Any]:
    """A row as it would become, with its amounts written out."""
    lines = [
        {**line, "written": _amount(str(line.get("amount") or ""), currencies.get(line.get("currency")))}
        for line in example.get("lines") or []
    ]
    outcome = str(example.get("outcome", ""))
    day = str(example.get("close_date") or "")
    return {
        **example,
        "lines": lines,
        "mark": MARKS.get(outcome, (outcome, "muted", "")),
        "closed": formats.day(date.fromisoformat(day) if day else None),
    }


def _credit(credit: Mapping[str, Any], currencies: Mapping[str, Currency]) -> dict[str, Any]:
    currency = currencies.get(str(credit.get("currency") or ""))
    code, exponent = (currency.code, currency.exponent) if currency else (None, formats.COUNT_EXPONENT)
    return {**credit, "written": formats.measured(int(credit["amount"]), code, exponent)}


def _amount(amount: str, currency: Currency | None) -> str:
    """A decimal string as amounts are written elsewhere; what is none, or has too many digits, stays as it is."""
    if not amount or currency is None:
        return amount or formats.NO_VALUE
    try:
        minor = Decimal(amount).scaleb(currency.exponent)
    except InvalidOperation:
        return amount
    if minor != minor.to_integral_value():
        return f"{amount} {currency.code}"
    return formats.money(int(minor), currency.code, currency.exponent)


# --- the map -----------------------------------------------------------------------------------------------


def _form(
    run: SalesImport, user: User, data: Mapping[str, str] | None = None, *, again: bool = False
) -> MapForm | None:
    """None where the map cannot be read at all: then only its text can be mended."""
    mapping, _open = draft_of(run.map_text)
    if mapping.kind != run.kind:
        return None
    return MapForm(
        data,
        kind=run.kind,
        look=run.look,
        mapping=mapping,
        options=run.options or {"create_missing": False},
        calendars=[(c.prefix, f"{c.name} ({c.prefix})") for c in selectors.calendars()],
        policies=names_in_force() if user.has_role(Role.COMP_ADMIN) else (),
        again=again,
    )


def _map_page(
    request: HtmxRequest,
    user: User,
    run: SalesImport,
    form: MapForm | None = None,
    *,
    text: str | None = None,
    wrong: tuple[Problem, ...] = (),
    status: int = 200,
) -> HttpResponse:
    """How the file is read: by clicking, or as TOML."""
    form = form or _form(run, user)
    context = {
        **_frame(user, run, Run(run)),
        "step": 1,
        "form": form,
        "columns": len(run.look.get("columns", [])),
        "open_questions": sum(len(every) for every in form.questions.values()) if form else 0,
        "text": run.map_text if text is None else text,
        "wrong": wrong,
        "maps": selectors.maps(run.kind),
        "admin": user.has_role(Role.COMP_ADMIN),
        "offerings": selectors.offering_names() if form and form.wants_offerings else [],
    }
    return render(request, "quotas/import_map.html", context, status=status)


@posted_from("quotas:import", "pk")
@login_required
def import_map(request: HtmxRequest, pk: int) -> HttpResponse:
    """Say how the file is read; and, where that is what was pressed, check it or keep the map under a name."""
    user, run = _run(request, pk)
    if not _may_work(user, run):
        raise Http404
    do = request.POST.get("do", "")
    if do == "again":
        return _asked_again(request, user, run)
    if do in ("toml", "take"):
        return _text_taken(request, user, run)
    form = _form(run, user, request.POST.dict())
    if form is None:
        raise Http404
    if not form.is_valid():
        return _map_page(request, user, run, form, status=422)
    text = write_map(form.mapping())
    try:
        importing.set_map(run_id=run.pk, text=text, name=run.map_name, by=user, at=clock.now())
        if do == "keep":
            name = given(request.POST, "map_name")
            importing.save_map(name=name, kind=run.kind, text=text, by=user, at=clock.now())
            importing.set_map(run_id=run.pk, text=text, name=name, by=user, at=clock.now())
            messages.success(
                request,
                _("The map is kept as %(name)s. Choose it when you upload the next file.") % {"name": name},
            )
        elif do == "check":
            importing.check(
                run_id=run.pk, options=importing.Options(**form.options()), by=user, at=clock.now()
            )
        else:
            messages.success(request, _("The map is set. Nothing was imported yet."))
    except Refusal as refused:
        form.place(refused.problems)
        return _map_page(request, user, run, form, status=422)
    return redirect("quotas:import", run.pk)


def _asked_again(request: HtmxRequest, user: User, run: SalesImport) -> HttpResponse:
    """The questions anew, after a column was chosen. Nothing is kept."""
    form = _form(run, user, request.POST.dict(), again=True)
    if form is None:
        raise Http404
    context = {
        **_frame(user, run, Run(run)),
        "form": form,
        "admin": user.has_role(Role.COMP_ADMIN),
        "offerings": selectors.offering_names() if form.wants_offerings else [],
    }
    return render(request, "quotas/_import_questions.html", context)


def _text_taken(request: HtmxRequest, user: User, run: SalesImport) -> HttpResponse:
    """The map as TOML, written by hand or saved before."""
    name = ""
    text = request.POST.get("text", "")[:200_000]
    if request.POST.get("do") == "take":
        saved = get_object_or_404(selectors.maps(run.kind), name=request.POST.get("saved", ""))
        text, name = saved.text, saved.name
    try:
        importing.set_map(run_id=run.pk, text=text, name=name, by=user, at=clock.now())
    except Refusal as refused:
        return _map_page(request, user, run, text=text, wrong=refused.problems, status=422)
    messages.success(
        request, _("The file is read by %(name)s now.") % {"name": name} if name else _("The map is set.")
    )
    return redirect("quotas:import", run.pk)


@login_required
@require_POST
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Check it again, import what was checked, or stop what is under way."""
    user, run = _run(request, pk)
    if not _may_work(user, run) or action not in ("check", "carry-out", "stop"):
        raise Http404
    try:
        if action == "check":
            importing.check(run_id=pk, options=importing.Options(**run.options), by=user, at=clock.now())
        elif action == "carry-out":
            importing.carry_out(run_id=pk, by=user, at=clock.now())
        elif run.job is not None and not run.job.finished:
            jobs.cancel(job_id=run.job.pk, at=clock.now())
            messages.success(request, _("It stops after its present part."))
    except Refusal as refused:
        messages.error(request, str(refused))
    return redirect("quotas:import", pk)


# --- files to take away ------------------------------------------------------------------------------------


@require_safe
@login_required
def import_report(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """The rows that were refused or left out, each as it stands in the file with its line and reason, as CSV."""
    _user, run = _run(request, pk)
    answer = StreamingHttpResponse(_csv(run), content_type="text/csv; charset=utf-8")
    stem = slugify(run.file_name.rpartition(".")[0]) or "import"
    answer["Content-Disposition"] = f'attachment; filename="{stem}-{run.reference.lower()}-report.csv"'
    return answer


def _csv(run: SalesImport) -> Iterator[str]:
    """With a byte order mark, so that a spreadsheet reads it as UTF-8."""
    yield "\ufeff"
    held = io.StringIO(newline="")
    writer = csv.writer(held)
    for row in selectors.report(run):
        writer.writerow([defused(cell) if isinstance(cell, str) else cell for cell in row])
        if held.tell() > 65_536:
            yield held.getvalue()
            held.seek(0)
            held.truncate()
    yield held.getvalue()


@require_safe
@login_required
def map_text(request: HttpRequest, pk: int) -> HttpResponse:
    """A saved map as a file for the command line."""
    _reader(request)
    saved = get_object_or_404(ImportMap, pk=pk)
    answer = HttpResponse(saved.text, content_type="application/toml; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{slugify(saved.name) or "map"}.toml"'
    return answer


@login_required
@require_POST
def map_remove(request: HttpRequest, pk: int) -> HttpResponse:
    user = _reader(request)
    saved = get_object_or_404(ImportMap, pk=pk)
    if not importing.may_import(user, saved.kind):
        raise Http404
    importing.remove_map(name=saved.name, by=user, at=clock.now())
    messages.success(
        request,
        _("The map %(saved_name)s is gone. What was imported with it stays.") % {"saved_name": saved.name},
    )
    return redirect("quotas:imports")
