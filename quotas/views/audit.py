"""The auditor's desk: seals and closes, a digest checked, the ledger verified, samples of evidence, who can do what. For auditors and comp admins."""

from datetime import date
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock, exporting, formats, job_files
from config.given import given
from config.language import _
from config.models import Job, JobState
from config.posted import posted_from
from config.refusals import NotFound, Refusal
from quotas.models import Measure
from quotas.selectors import audit as selectors
from quotas.selectors import duties as duty_selectors
from quotas.selectors import periods
from quotas.selectors.verifying import known_digest
from quotas.services import auditing
from quotas.views import HtmxRequest, chosen_measure, wants_part
from quotas.views.recredits import reviewer

PACKS: Final = 10


@require_safe
@login_required
@vary_on_headers("HX-Request")
def desk(request: HtmxRequest) -> HttpResponse:
    """The page, or how far the verification is. A fixed number of queries."""
    reviewer(request.user)
    part = "#verified" if wants_part(request) else ""
    return render(request, f"quotas/audit.html{part}", _desk(request, {}))


def _desk(request: HtmxRequest, wrong: dict[str, str]) -> dict[str, Any]:
    asked = given(request.GET, "digest")
    today = clock.today()
    current = periods.current_period(today)
    verified = (
        Job.objects.filter(kind=auditing.VERIFICATION).select_related("requested_by").order_by("-pk").first()
    )
    values = request.POST if request.method == "POST" else request.GET
    return {
        "seals": selectors.newest_seals(),
        "closes": selectors.newest_closes(),
        "digest": asked,
        "known": known_digest(asked) if asked else None,
        "verified": verified,
        "result": verified.result if verified and verified.state == JobState.DONE else {},
        "packs": Job.objects.filter(kind=auditing.PACK)
        .select_related("requested_by", "progress")
        .order_by("-pk")[:PACKS],
        "periods": [each for each in periods.all_periods() if each.starts <= today][::-1],
        "measures": Measure.objects.order_by("position", "pk"),
        "values": values,
        "chosen_period": given(values, "period") or (current.name if current else ""),
        "wrong": wrong,
    }


@posted_from("quotas:audit")
@login_required
def sample(request: HtmxRequest) -> HttpResponseBase:
    """Draw a sample; what is wrong with the form stands beside it."""
    user = reviewer(request.user)
    asked = request.POST
    period = periods.period_named(given(asked, "period"))
    if period is None:
        raise Http404
    measure, _rest = chosen_measure(asked)
    exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
    wrong = {}
    numbers = {}
    for name, otherwise in (("count", "25"), ("least", "0"), ("mark", "")):
        text = formats.whole_typed(given(asked, name)) or otherwise
        if text and not (text.isascii() and text.isdecimal() and len(text) < 13):
            wrong[name] = _("Write a whole number.")
        numbers[name] = int(text) if text and name not in wrong else 0
    if not wrong:
        try:
            job = auditing.start_pack(
                period=period,
                measure=measure,
                count=numbers["count"],
                seed=given(asked, "seed"),
                stratified=asked.get("stratified") == "on",
                least_minor=numbers["least"] * 10**exponent,
                mark_id=numbers["mark"] or None,
                by=user,
                at=clock.now(),
            )
        except NotFound as missing:
            raise Http404 from missing
        except Refusal as refused:
            wrong = {problem.pointer.strip("/"): problem.message for problem in refused.problems}
        else:
            return redirect("quotas:audit-pack", job.pk)
    return render(request, "quotas/audit.html", _desk(request, wrong), status=422)


@require_safe
@login_required
@vary_on_headers("HX-Request")
def pack(request: HtmxRequest, pk: int) -> HttpResponse:
    job = _pack(request, pk)
    context = {
        "job": job,
        "kept": job.state == JobState.DONE and job.files.exists(),
        "seed": job.parameters["seed"],
        "mark": job.parameters["mark"],
        "strata": job.cursor.get("strata", []),
        "rows": [
            {**row, "credited_on": date.fromisoformat(row["credit_date"])}
            for row in (job.cursor.get("rows", []) if job.state == JobState.DONE else [])
        ],
    }
    return render(request, "quotas/audit_pack.html" + ("#pack" if wants_part(request) else ""), context)


@require_safe
@login_required
def pack_file(request: HtmxRequest, pk: int) -> HttpResponseBase:
    job = _pack(request, pk)
    if job.state != JobState.DONE or not job.files.exists():
        raise Http404
    answer = StreamingHttpResponse(job_files.zipped(job, job.requested_at), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="evidence-{job.pk}.zip"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def _pack(request: HtmxRequest, pk: int) -> Job:
    reviewer(request.user)
    return get_object_or_404(
        Job.objects.select_related("requested_by", "progress"), kind=auditing.PACK, pk=pk
    )


@require_POST
@login_required
def verify(request: HtmxRequest) -> HttpResponse:
    auditing.start_verification(by=reviewer(request.user), at=clock.now())
    messages.success(
        request,
        _("The ledger is being verified. What is found stands here, and in the mail if it does not hold."),
    )
    return redirect("quotas:audit")


@require_safe
@login_required
def duties(request: HtmxRequest) -> HttpResponseBase:
    """Who can do what, and the proofs that nobody did both sides of one thing."""
    reviewer(request.user)
    found = duty_selectors.report(sellers=request.GET.get("who") == "all")
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="segregation of duties",
            title="Segregation of duties",
            table=duty_selectors.as_table(found),
            said=[
                (
                    proof.rule,
                    f"{formats.whole(proof.checked)} {proof.of} checked, {formats.whole(proof.broken)} broken",
                )
                for proof in found.proofs
            ],
        )
    context = {"report": found, "duties": duty_selectors.DUTIES, "everybody": request.GET.get("who") == "all"}
    return render(request, "quotas/duties.html", context)
