"""The parity report: two verdicts on a period, with everything that stands behind them."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting
from config.given import given, written
from config.language import _
from config.paging import paged
from config.posted import posted_from
from config.refusals import Invalid, NotFound, Problem, Refusal
from marketplace.models import Publisher
from marketplace.selectors.visibility import publishers_for
from quotas.models import ParityException, ParityProof, ParityVerdict
from quotas.selectors import exports, periods
from quotas.selectors import parity as proofs
from quotas.selectors.plans import OPEN_STATES
from quotas.services import parity as services
from quotas.views import HtmxRequest, chosen_period, signed_in

READS: Final = (Role.COMP_ADMIN, Role.AUDITOR, Role.MANAGER, Role.SOURCING_LEAD)
READS_ALL: Final = (Role.COMP_ADMIN, Role.AUDITOR)


@require_safe
@login_required
def parity(request: HtmxRequest) -> HttpResponseBase:
    """Of the period and comparison in the address; ?proof= shows what was found once, ?ask= opens the form of an exception."""
    user = _reader(request)
    return _page(request, user, request.GET)


def _page(
    request: HtmxRequest,
    user: User,
    asked: Mapping[str, str],
    *,
    wrong: tuple[Problem, ...] = (),
    entered: Mapping[str, str] | None = None,
) -> HttpResponseBase:
    today = clock.today()
    number = given(asked, "proof")
    proof: ParityProof | None
    if number:
        proof = _proof(number)
        if _unpublished(proof) and not user.has_role(*READS_ALL):
            raise Http404
        report, then = proofs.report_kept(proof), True
        period = proof.period or chosen_period({}, today)
    else:
        period, then = chosen_period(asked, today), False
        report, proof = proofs.current_report(period, between=_between(asked), on=today)
    sees_all = user.has_role(*READS_ALL)
    mends = not then or (
        proof is not None and proof.plan_version is not None and proof.plan_version.state in OPEN_STATES
    )
    if form := exporting.asked(request):
        table, title = (
            exports.parity(report.findings, lines=sees_all),
            _("Parity of %(period)s") % {"period": period},
        )
        said = [(_("Between"), str(report.between)), (_("In short"), _summary(report))]
        return exporting.answer(request, form, name=f"parity {period}", title=title, table=table, said=said)
    context: dict[str, Any] = {
        "period": period,
        "switch": periods.switch(period, today),
        "report": report,
        "found": _prepared(report),
        "unequal_offerings": sum(
            group["offerings_in_all"] for group in report.findings["eligibility"]["findings"]
        ),
        "unequal_value": sum(group["value_minor"] for group in report.findings["eligibility"]["findings"]),
        "between": str(report.between),
        "last_day": report.ends - timedelta(days=1),
        "then": then,
        "proof": proof,
        "proof_is_current": not then and proofs.is_of(proof, report),
        "sees_all": sees_all,
        "mends": mends,
        "settled": not mends,
        "may_ask": user.has_role(Role.COMP_ADMIN) and mends,
        "may_prove": sees_all and not then,
        "publishers": _choices(user, report.between),
        "summary": _summary(report),
        "wrong": wrong,
        "entered": entered
        or {"ask": given(asked, "ask"), "starts": report.starts.isoformat(), "ends": report.ends.isoformat()},
        "here": request.GET.urlencode(),
    }
    if sees_all:
        context["kept"] = proofs.kept_proofs(period, beside=proof)
        context["exceptions"] = page = paged(request, proofs.exceptions(), by="exceptions")
        page.object_list = [(each, _standing(each, today)) for each in page.object_list]
    return render(request, "quotas/parity.html", context, status=422 if wrong else 200)


@require_POST
@login_required
def prove(request: HtmxRequest) -> HttpResponse:
    """Prove the period of the form and keep what is found."""
    user = _reader(request)
    if not user.has_role(*READS_ALL):
        raise Http404
    period = chosen_period(request.POST, clock.today())
    between = _between(request.POST)
    kept = services.prove_period(period_id=period.pk, between=str(between), by=user, at=clock.now())
    messages.success(
        request,
        _("The proof of %(period_name)s is kept as number %(kept_pk)s.")
        % {"period_name": period.name, "kept_pk": kept.pk},
    )
    return redirect(f"{reverse('quotas:parity')}?{_address(period=period.name, between=str(between))}")


@posted_from("quotas:parity")
@login_required
def ask(request: HtmxRequest) -> HttpResponseBase:
    """Ask for an exception of a rule or of a decision, named as rule:7 or decision:7."""
    user = _reader(request)
    what, _rest, number = given(request.POST, "ask").partition(":")
    if what not in ("rule", "decision") or not (number.isdecimal() and len(number) < 16):
        raise Http404
    back = QueryDict(request.POST.get("here", "")[:500])
    try:
        services.ask_exception(
            rule_id=int(number) if what == "rule" else None,
            decision_id=int(number) if what == "decision" else None,
            starts=_day(request.POST, "starts"),
            ends=_day(request.POST, "ends", before=date.max) + timedelta(days=1),
            by=user,
            at=clock.now(),
            reason=written(request.POST, "reason"),
        )
    except NotFound as missing:
        raise Http404 from missing
    except Invalid as refused:
        entered = {name: request.POST.get(name, "") for name in ("ask", "starts", "ends", "reason")}
        return _page(request, user, back.dict(), wrong=refused.problems, entered=entered)
    except Refusal as refused:
        raise Http404 from refused
    messages.success(
        request,
        _("The exception is asked for. Another comp admin approves it; until then it covers nothing."),
    )
    return redirect(f"{reverse('quotas:parity')}?{back.urlencode()}#exceptions")


@require_POST
@login_required
def decide(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """Approve or withdraw an exception."""
    user = _reader(request)
    order: dict[str, Any] = {"exception_id": pk, "by": user, "at": clock.now()}
    try:
        if action == "approve":
            services.approve_exception(**order)
            messages.success(request, _("The exception is approved: it covers its days."))
        else:
            reason = written(request.POST, "reason")
            services.withdraw_exception(**order, reason=reason)
            messages.success(request, _("The exception is withdrawn: it covers nothing any more."))
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    back = QueryDict(request.POST.get("here", "")[:500])
    return redirect(f"{reverse('quotas:parity')}?{back.urlencode()}#exceptions")


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not user.has_role(*READS):
        raise Http404
    return user


def _between(asked: Mapping[str, str]) -> proofs.Between:
    """Of the address; two publishers can come as two parameters, from the form."""
    named = given(asked, "between") or "origin"
    if named == "publisher":
        named = f"publisher:{given(asked, 'a')},{given(asked, 'b')}"
    try:
        return proofs.Between.parse(named)
    except Invalid as unknown:
        raise Http404 from unknown


def _proof(number: str) -> ParityProof:
    if not (number.isdecimal() and len(number) < 16):
        raise Http404
    found = proofs.proof_numbered(int(number))
    if found is None:
        raise Http404
    return found


def _choices(user: User, between: proofs.Between) -> dict[str, Any]:
    """Publishers to compare, and the two that are."""
    every = list(publishers_for(user).order_by("name"))
    chosen = between.publishers or _first_of_each(every)
    return {"every": every, "a": chosen[0] if chosen else None, "b": chosen[1] if len(chosen) > 1 else None}


def _prepared(report: proofs.Report) -> Mapping[str, Any]:
    """The findings with what the page needs beside them: what an exception would name, and shares of the whole."""
    found = dict(report.findings)
    rules = dict(found["rules"])
    rules["findings"] = [
        {**finding, "subject": f"rule:{finding['rule']['id']}"} for finding in rules["findings"]
    ]
    eligibility = dict(found["eligibility"])
    eligibility["findings"] = [
        {
            **group,
            "subject": f"decision:{group['decision']['id']}" if group["decision"] else "",
        }
        for group in eligibility["findings"]
    ]
    eligibility["rates"] = [
        {**row, "ppm": row["value_minor"] * 1_000_000 // row["of_minor"] if row["of_minor"] > 0 else None}
        for row in eligibility["rates"]
    ]
    return {**found, "rules": rules, "eligibility": eligibility}


def _first_of_each(every: list[Publisher]) -> tuple[Publisher, ...]:
    first = next((p for p in every if p.origin == "first"), None)
    third = next((p for p in every if p.origin == "third"), None)
    return tuple(p for p in (first, third) if p is not None)


def _summary(report: proofs.Report) -> str:
    """Both verdicts in one sentence, so that neither stands alone."""
    one = {
        ParityVerdict.CLEAN: _("The rules treat both sides alike"),
        ParityVerdict.EXCEPTED: _("The rules treat both sides alike but for what is excepted"),
        ParityVerdict.REFUSED: _("The rules do not treat both sides alike"),
    }[report.rules_verdict]
    other = {
        ParityVerdict.CLEAN: _("both count toward quota alike"),
        ParityVerdict.EXCEPTED: _("both count toward quota alike but for what is excepted"),
        ParityVerdict.REFUSED: _("they do not count toward quota alike"),
    }[report.eligibility_verdict]
    same = (report.rules_verdict == ParityVerdict.REFUSED) == (
        report.eligibility_verdict == ParityVerdict.REFUSED
    )
    return f"{one}, {'and' if same else 'but'} {other}."


def _unpublished(proof: ParityProof) -> bool:
    """Of a version that is for comp admins and auditors alone."""
    return proof.plan_version is not None and proof.plan_version.published_at is None


def _standing(exception: ParityException, today: date) -> str:
    if exception.withdrawn_at is not None:
        return "withdrawn"
    if exception.approved_at is None:
        return "asked"
    if exception.effective.upper is not None and exception.effective.upper <= today:
        return "expired"
    return "approved"


def _day(posted: Mapping[str, str], name: str, *, before: date | None = None) -> date:
    """A day of the form. Raises Invalid with its place."""
    try:
        day = date.fromisoformat(given(posted, name))
        if before is not None and day >= before:
            raise ValueError(name)
        return day
    except ValueError:
        raise Invalid.of("not_a_day", _("Give a day, such as 2026-12-31."), f"/{name}") from None


def _address(**values: str) -> str:
    made = QueryDict(mutable=True)
    made.update(values)
    return made.urlencode()
