"""Imports: what was read, the report of one of them row by row, and the queue of disagreements. For who keeps the catalog."""

import json
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import F
from django.db.models.functions import Abs
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.text import format_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats, jobs
from config.language import _, later, spoken, spoken_choices
from config.models import JobState
from config.paging import paged
from config.refusals import Refusal
from config.uploads import too_long
from marketplace.importers.files import LARGEST
from marketplace.models import (
    CatalogImport,
    DiscrepancyState,
    ImportSource,
    ImportState,
    RowOutcome,
)
from marketplace.selectors import exports
from marketplace.selectors import imports as selectors
from marketplace.selectors.prices import METERS
from marketplace.services import importing
from marketplace.services.change_sets.shapes import MODEL, OFFERING_FACTS
from marketplace.views import HtmxRequest, signed_in, wants_part

RUNS: Final = 30
LABELS: Final = {field.name: field.label for field in (*MODEL.fields, *OFFERING_FACTS)}
TOO_LARGE: Final = format_lazy(
    later("The file is larger than {megabytes} MB. Nothing of it was read."), megabytes=LARGEST // 1024**2
)
QUEUE: Final = {
    "open": (later("Open"), (DiscrepancyState.OPEN,)),
    "decided": (later("Decided"), (DiscrepancyState.KEPT, DiscrepancyState.TAKEN)),
}


class UploadForm(forms.Form):
    use_required_attribute = False
    source = forms.ChoiceField(
        label=later("Source"),
        choices=spoken_choices(ImportSource.choices),
        help_text=later("The package is installed and needs no file."),
    )
    stated_on = forms.DateField(
        label=later("As of"),
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=later("The day for which the source speaks; its prices are taken from this day on."),
    )
    file = forms.FileField(
        label=later("File"),
        required=False,
        allow_empty_file=True,
        help_text=format_lazy(
            later("JSON, CSV or YAML as the source publishes it, at most {megabytes} MB."),
            megabytes=LARGEST // 1024**2,
        ),
    )


def _reader(request: HttpRequest) -> User:
    user = signed_in(request)
    if not importing.may_read(user):
        raise Http404
    return user


@csrf_exempt  # the inner view checks it, once the length has been looked at: the check itself reads the whole body
@login_required
def imports(request: HtmxRequest) -> HttpResponseBase:
    """The list, and the upload."""
    if request.method == "GET" and (form := exporting.asked(request)):
        table = exports.import_runs(selectors.imports_for(_reader(request)))
        return exporting.answer(request, form, name="imports", title="Imports", table=table)
    if request.method == "POST" and too_long(request, LARGEST):
        empty = UploadForm(initial={"stated_on": clock.today()})
        return _list(request, empty, too_large=str(TOO_LARGE), status=413)
    return _imports(request)


@csrf_protect
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def _imports(request: HtmxRequest) -> HttpResponse:
    user = _reader(request)
    if request.method != "POST":
        return _list(request, UploadForm(initial={"stated_on": clock.today()}))
    form = UploadForm(request.POST, request.FILES)
    if form.is_valid():
        upload = form.cleaned_data["file"]
        try:
            run = importing.start_import(
                source=form.cleaned_data["source"],
                content=_content(upload),
                file_name=upload.name if upload else "",
                stated_on=form.cleaned_data["stated_on"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            for problem in refused.problems:
                name = problem.pointer.strip("/")
                form.add_error(name if name in form.fields else None, problem.message)
        else:
            return redirect("marketplace:import", run.pk)
    return _list(request, form, status=422)


def _content(upload: Any | None) -> bytes | None:
    """Not a byte of what is too large."""
    if upload is None:
        return None
    if (upload.size or 0) > LARGEST:
        return bytes(LARGEST + 1)
    return bytes(upload.read())


def _list(request: HtmxRequest, form: UploadForm, *, too_large: str = "", status: int = 200) -> HttpResponse:
    user = _reader(request)
    page = paged(request, selectors.imports_for(user), size=RUNS)
    context = {
        "page": page,
        "runs": [_Run(run) for run in page],
        "form": form,
        "too_large": too_large,
        "may_import": user.has_role(Role.CATALOG_MANAGER),
        "waiting": selectors.open_discrepancies(),
    }
    return render(request, "marketplace/imports.html", context, status=status)


class _Run:
    """An import in the words of its pages."""

    def __init__(self, run: CatalogImport) -> None:
        self.run = run
        self.pk = run.pk
        self.job = run.job
        self.stopped = run.job is not None and run.job.state in (JobState.CANCELLED, JobState.FAILED)
        self.finished = run.state in (ImportState.STAGED, ImportState.FAILED) or self.stopped
        self.counts = [
            (spoken(selectors.SHORT[outcome]), run.counts[outcome.value])
            for outcome in selectors.ORDER
            if run.counts.get(outcome.value)
        ]

    @property
    def state(self) -> tuple[str, str, str]:
        """Word, tone, icon."""
        if self.run.state == ImportState.STAGED:
            return _("Staged"), "good", "check"
        if self.run.state == ImportState.FAILED:
            return _("Nothing imported"), "bad", "x"
        if self.stopped:
            return _("Stopped"), "warn", "circle-stop"
        return _("Reading"), "accent", "clock"


@require_safe
@login_required
@vary_on_headers("HX-Request")
def import_run(request: HtmxRequest, pk: int) -> HttpResponse:
    """One import: its progress, then its report. 9 queries and those of the frame, whatever the size."""
    user = _reader(request)
    run = get_object_or_404(selectors.imports_for(user), pk=pk)
    asked = {name: request.GET.get(name, "")[:200] for name in ("outcome", "provider", "code", "text")}
    if asked["outcome"] not in RowOutcome.values:
        asked["outcome"] = ""
    counted = selectors.counts(run)
    rows = selectors.rows_of(run, **asked).select_related("offering", "plan", "change_set")
    page = paged(request, rows)
    mine = _Run(run)
    may_propose = user.has_role(Role.CATALOG_MANAGER) and run.state == ImportState.STAGED
    open_rows = importing.proposable(run) if may_propose else None
    if open_rows is not None:
        for name in ("outcome", "provider", "code"):
            if asked[name]:
                open_rows = open_rows.filter(**{name: asked[name]})
    context = {
        "run": run,
        "mine": mine,
        "job": run.job,
        "tabs": [
            (outcome, spoken(selectors.SHORT[RowOutcome(outcome)]), number)
            for outcome, number in counted.items()
        ],
        "total": sum(counted.values()),
        "asked": asked,
        "said": spoken(selectors.SAID[RowOutcome(asked["outcome"])]) if asked["outcome"] else "",
        "page": page,
        "rows": [
            (row, selectors.proposes(row, spoken), _may_choose(row), _pretty(row.original)) for row in page
        ],
        "providers": selectors.providers(run, asked["outcome"]) if mine.finished else [],
        "reasons": selectors.reasons(run, asked["outcome"]) if mine.finished else [],
        "may_propose": may_propose,
        "open_rows": open_rows.count() if open_rows is not None and not asked["text"] else 0,
        "may_stop": user.has_role(Role.CATALOG_MANAGER) and not mine.finished,
        "disputes": run.discrepancies.filter(state=DiscrepancyState.OPEN).count() if mine.finished else 0,
    }
    part = "#run" if wants_part(request) else ""
    return render(request, f"marketplace/import.html{part}", context)


def _pretty(original: Any) -> str:
    return json.dumps(original, indent=1, ensure_ascii=False)


def _may_choose(row: Any) -> bool:
    return bool(row.staged) and (row.change_set is None or row.change_set.state in ("rejected", "withdrawn"))


@require_safe
@login_required
def import_report(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The rows that the page's filters leave, with the originals: as CSV, or in the format that is asked for."""
    run = get_object_or_404(selectors.imports_for(_reader(request)), pk=pk)
    asked = {name: request.GET.get(name, "")[:200] for name in ("outcome", "provider", "code", "text")}
    return exporting.answer(
        request,
        exporting.asked(request) or "csv",
        name=f"import {run.pk} {asked['outcome'] or 'rows'}",
        title=f"Import {run.pk}",
        table=exports.import_rows(selectors.rows_of(run, **asked)),
        said=[("Source", run.get_source_display()), ("File", run.file_name), ("SHA-256", run.digest)],
    )


@require_POST
@login_required
def import_propose(request: HttpRequest, pk: int) -> HttpResponse:
    """Chosen rows, or all that the filters leave, as one change set."""
    user = _reader(request)
    get_object_or_404(selectors.imports_for(user), pk=pk)
    everything = request.POST.get("all") == "1"
    ids = [int(value) for value in request.POST.getlist("row") if value.isdecimal() and len(value) < 18]
    chosen = {name: request.POST.get(name, "")[:200] for name in ("outcome", "provider", "code")}
    try:
        made = importing.propose(
            run_id=pk,
            row_ids=None if everything else ids,
            filter=chosen if everything else None,
            by=user,
            at=clock.now(),
        )
    except Refusal as refused:
        messages.error(request, str(refused))
        return redirect("marketplace:import", pk)
    messages.success(
        request,
        _("%(made_reference)s is drafted. Look through it and submit it: a second person approves.")
        % {"made_reference": made.reference},
    )
    return redirect("marketplace:change-set", made.pk)


@require_POST
@login_required
def import_stop(request: HttpRequest, pk: int) -> HttpResponse:
    user = _reader(request)
    run = get_object_or_404(selectors.imports_for(user), pk=pk)
    if not user.has_role(Role.CATALOG_MANAGER):
        raise Http404
    if run.job is not None and not run.job.finished:
        jobs.cancel(job_id=run.job.pk, at=clock.now())
        messages.success(
            request, _("The import stops after its present part. Nothing of it can be proposed.")
        )
    return redirect("marketplace:import", pk)


@require_safe
@login_required
def discrepancies(request: HttpRequest) -> HttpResponseBase:
    """What sources disagree on with us. 5 queries and those of the frame."""
    user = _reader(request)
    tab = request.GET.get("tab", "open")
    tab = tab if tab in QUEUE else "open"
    source, large = request.GET.get("source", ""), request.GET.get("large") == "1"
    every = selectors.discrepancies_for(user)
    rows = every.filter(state__in=QUEUE[tab][1])
    if source in ImportSource.values:
        rows = rows.filter(found_in__source=source)
    if large:
        rows = rows.exclude(difference_ppm__range=(-selectors.LARGE_PPM + 1, selectors.LARGE_PPM - 1))
    largest = Abs("difference_ppm").desc(nulls_last=True)
    order = F("decided_at").desc() if tab == "decided" else largest
    if form := exporting.asked(request):
        listed = rows.order_by(order, "offering__name", "field", "pk")
        name, title = _("disagreements %(tab)s") % {"tab": tab}, _("Disagreements")
        return exporting.answer(request, form, name=name, title=title, table=exports.discrepancies(listed))
    page = paged(request, rows.order_by(order, "offering__name", "field", "pk"))
    context = {
        "page": page,
        "rows": [(row, _field(row.field), _difference(row.difference_ppm)) for row in page],
        "tabs": [
            (name, label, every.filter(state__in=states).count()) for name, (label, states) in QUEUE.items()
        ],
        "tab": tab,
        "source": source,
        "large": large,
        "sources": spoken_choices(selectors.sources()),
        "may_decide": user.has_role(Role.CATALOG_MANAGER),
    }
    return render(request, "marketplace/discrepancies.html", context)


def disagreements_waiting(request: HttpRequest) -> int:
    """Beside the entry of the navigation. 1 query."""
    return selectors.open_discrepancies()


def _field(name: str) -> str:
    """price:input-tokens:above-200000 for people."""
    first, _colon, rest = name.partition(":")
    if first == "price":
        meter, _colon, above = rest.partition(":above-")
        said = _("Price: %(meter)s") % {"meter": spoken(METERS.get(meter) or meter.replace("-", " "))}
        if not above.isdecimal():
            return said
        return _("%(price)s above %(tokens)s") % {"price": said, "tokens": formats.whole(int(above))}
    words = spoken(LABELS.get(first) or first.replace("_", " ").capitalize())
    return f"{words}: {rest.replace('_', ' ').replace('-', ' ')}" if rest else words


def _difference(ppm: int | None) -> tuple[str, bool]:
    """Signed per cent, of less than one per cent two digits, and whether it is a tenth or more."""
    if ppm is None:
        return "", False
    places = 0 if abs(ppm) >= 10_000 else 6 - max(len(str(abs(ppm))), 2)
    return formats.percent(ppm, 1_000_000, places, signed=True), abs(ppm) >= selectors.LARGE_PPM


@require_POST
@login_required
def discrepancy_decide(request: HttpRequest, pk: int) -> HttpResponse:
    user = _reader(request)
    get_object_or_404(selectors.discrepancies_for(user), pk=pk)
    take = request.POST.get("take") == "1"
    try:
        found, made = importing.decide_discrepancy(
            discrepancy_id=pk, take=take, reason=request.POST.get("reason", ""), by=user, at=clock.now()
        )
    except Refusal as refused:
        messages.error(request, str(refused))
        return redirect("marketplace:discrepancies")
    if made is not None:
        messages.success(
            request,
            _("%(made_reference)s is drafted with theirs. Submit it: a second person approves.")
            % {"made_reference": made.reference},
        )
        return redirect("marketplace:change-set", made.pk)
    messages.success(
        request,
        _("Ours is kept: %(offering_name)s, %(field)s.")
        % {"offering_name": found.offering.name, "field": _field(found.field).lower()},
    )
    return redirect("marketplace:discrepancies")
