"""Plans as a comp admin works on them: a version with its checklist, rules in plain choices, a test bench, the impact on history.

Published versions are for everybody who is measured by them; drafts are for comp admins and auditors.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats
from config.exports import Format
from config.given import given, written
from config.language import _, later, spoken, spoken_choices
from config.models import Job
from config.paging import paged
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal, Stale
from quotas.forms import named
from quotas.models import (
    Component,
    CompPlan,
    Grain,
    Measure,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    Reason,
    Rep,
    RuleVersion,
    SalesRole,
)
from quotas.plan_forms import (
    EVERYBODY,
    PAYS,
    AssignmentForm,
    ComponentsForm,
    PlanForm,
    RuleForm,
    SpanForm,
    TryForm,
    VersionForm,
    last_day,
    next_day,
)
from quotas.selectors import impact as impacts
from quotas.selectors import whatif_tables
from quotas.selectors.linter import Weight
from quotas.selectors.pay_words import PayTerms, components_of, terms_of
from quotas.selectors.pay_words import sentences as in_words
from quotas.selectors.plans import (
    OPEN_STATES,
    SIMULATE,
    base_of,
    begins_in_the_past,
    fingerprint,
    gate,
    in_force,
    rule_fingerprint,
)
from quotas.selectors.recredits import run_of_plan
from quotas.selectors.rules import (
    difference,
    names_in,
    reach_of_rule,
    sentence,
    version_shown,
)
from quotas.services import facts, parity, plans, simulating
from quotas.services.simulating import Earned
from quotas.views import HtmxRequest, pay_curves, sales_user, wants_part

WRITES: Final = (Role.COMP_ADMIN,)
REVIEWS: Final = (Role.COMP_ADMIN, Role.AUDITOR)
MOVERS: Final = 15
PARTS: Final = 50
RUNS: Final = 10


# --- who sees what ----------------------------------------------------------------------------------------


def _version(request: HtmxRequest, slug: str, number: int, *, writing: bool = False) -> PlanVersion:
    """The version of the address, if this person may see it, or change it; else 404."""
    user = sales_user(request)
    found = (
        PlanVersion.objects.select_related("plan", "drafted_by", "published_by", "review_asked_by")
        .filter(plan__slug=slug, number=number)
        .first()
    )
    if found is None:
        raise Http404
    if writing and not user.has_role(*WRITES):
        raise Http404
    if found.published_at is None and not user.has_role(*REVIEWS):
        raise Http404
    return found


def _writer(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(*WRITES):
        raise Http404
    return user


def _reviewer(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(*REVIEWS):
        raise Http404
    return user


def _address(version: PlanVersion, name: str = "plan-version", *more: Any) -> str:
    return reverse(f"quotas:{name}", args=[version.plan.slug, version.number, *more])


def _frame(request: HtmxRequest, version: PlanVersion, tab: str) -> dict[str, Any]:
    """What every page of a version shows."""
    user = sales_user(request)
    draft = version.state == PlanState.DRAFT
    return {
        "version": version,
        "plan": version.plan,
        "tab": tab,
        "is_open": version.state in OPEN_STATES,
        "withdrawn": version.state == PlanState.SUPERSEDED and version.published_at is None,
        "may_write": user.has_role(*WRITES),
        "may_edit": user.has_role(*WRITES) and draft,
        "reviews": user.has_role(*REVIEWS),
        "last": last_day(version.effective.upper),
        "today": clock.today(),
    }


# --- a version --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """Something this person may do with the version now. asks: what it does, said where it asks why."""

    name: str
    text: str
    icon: str
    css: str = ""
    asks: str = ""
    needs_reason: bool = False


@require_safe
@login_required
def version(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    return _version_page(request, _version(request, slug, number))


def _version_page(
    request: HtmxRequest,
    found: PlanVersion,
    *,
    asked: str = "",
    wrong: Sequence[Problem] = (),
    reason: str = "",
    status: int = 200,
) -> HttpResponse:
    user = sales_user(request)
    context = _frame(request, found, "rules")
    base = base_of(found)
    context |= {
        "shown": version_shown(found),
        "components": found.components.select_related("measure", "currency").order_by(
            "measure__position", "pk"
        ),
        "base": base,
        "wrong": wrong,
        "asked": asked,
        "reason": reason,
        "revision": fingerprint(found),
        "governs": found.pk in {v.pk for v in in_force(clock.today(), found.plan.versions.all()).values()},
    }
    if context["is_open"]:
        checked = gate(found, on=clock.today())
        outranked = plans.outranked(found)
        told = [each for each in checked.findings if each.weight == Weight.TELLS]
        context |= {
            "gate": checked,
            "findings": [each for each in checked.findings if each.weight != Weight.TELLS],
            "overlaps": told,
            "difference": difference(found, base),
            "outranked": outranked,
            "actions": _actions(user, found, ready=not checked.open and not outranked),
            "retroactive": begins_in_the_past(found, clock.today()),
            "may_publish": plans.may_publish(user, found),
            "usual": _usual(found),
        }
    elif base is not None:
        context["difference"] = difference(found, base)
    if context["reviews"] and found.published_at is not None:
        context["recredit"] = run_of_plan(found.pk)
    return render(request, "quotas/plan_version.html", context, status=status)


def _usual(found: PlanVersion) -> tuple[date, date]:
    """The first and the last day that a preview takes if nobody says otherwise."""
    starts, ends = simulating.usual_span(found, clock.today())
    return starts, ends - timedelta(days=1)


def _actions(user: User, found: PlanVersion, *, ready: bool) -> list[Action]:
    """What may be done now; the services refuse the rest whatever this says."""
    if not user.has_role(*WRITES):
        return []
    actions = []
    if found.state == PlanState.DRAFT:
        actions.append(Action("review", _("Ask for review"), "send", "primary"))
    else:
        if ready and plans.may_publish(user, found):
            actions.append(
                Action(
                    "publish",
                    _("Publish"),
                    "check",
                    "primary",
                    asks=_("From here on it is in force on its days, and it never changes."),
                )
            )
        actions.append(
            Action(
                "send-back",
                _("Send back"),
                "undo-2",
                asks=_("It becomes a draft again, with your reason."),
                needs_reason=True,
            )
        )
    actions.append(
        Action(
            "withdraw",
            _("Withdraw"),
            "ban",
            "danger",
            asks=_("It is given up. It stays readable, and is never published."),
            needs_reason=True,
        )
    )
    return actions


_SERVICES: Final[Mapping[str, Callable[..., PlanVersion]]] = {
    "review": plans.ask_for_review,
    "send-back": plans.send_back,
    "publish": plans.publish_plan,
    "withdraw": plans.withdraw_draft,
}
_DONE: Final[Mapping[str, str]] = {
    "review": later("{} waits for a second comp admin."),
    "send-back": later("{} is a draft again."),
    "publish": later("{} is published."),
    "withdraw": later("{} is withdrawn."),
}


@posted_from("quotas:plan-version", "slug", "number")
@login_required
def act(request: HtmxRequest, slug: str, number: int, action: str) -> HttpResponse:
    """Ask for a review, send back, publish or withdraw, as the version was when the page was read."""
    user = _writer(request)
    found = _version(request, slug, number, writing=True)
    if action not in _SERVICES:
        raise Http404
    order: dict[str, Any] = {"plan_version_id": found.pk, "by": user, "at": clock.now()}
    reason = written(request.POST, "reason")
    if action != "review":
        order["reason"] = reason
    if action in ("review", "publish"):
        order["expected"] = request.POST.get("revision") or None
    try:
        done = _SERVICES[action](**order)
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        found.refresh_from_db()
        if _did_already(user, found, action):  # the button was pressed twice, and the first was heard
            return redirect(_address(found))
        return _version_page(
            request, found, asked=action, wrong=refused.problems, reason=reason, status=refused.status
        )
    messages.success(request, _DONE[action].format(done))
    return redirect(_address(done))


def _did_already(user: User, found: PlanVersion, action: str) -> bool:
    if action == "publish":
        return found.state == PlanState.PUBLISHED and found.published_by_id == user.pk
    return action == "review" and found.state == PlanState.IN_REVIEW and found.review_asked_by_id == user.pk


@require_POST
@login_required
def prove(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """Run the parity proof of the version as it stands."""
    user = _reviewer(request)
    found = _version(request, slug, number)
    try:
        proof = parity.prove_plan(plan_version_id=found.pk, by=user, at=clock.now())
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
        return redirect(_address(found))
    clean = "refused" not in (proof.rules_verdict, proof.eligibility_verdict)
    tell = messages.success if clean else messages.warning
    tell(
        request,
        _("The proof is clean.") if clean else _("The proof refuses this version: the checklist says why."),
    )
    return redirect(f"{_address(found)}#gate")


# --- starting and dating ----------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@login_required
def new_plan(request: HtmxRequest) -> HttpResponse:
    user = _writer(request)
    form = PlanForm(request.POST if request.method == "POST" else None, initial={"starts": _next_quarter()})
    if request.method == "POST" and form.is_valid():
        starts, ends = form.span()
        try:
            made = plans.start_plan(
                name=form.cleaned_data["name"],
                starts=starts,
                ends=ends,
                note=form.cleaned_data["note"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            rest = form.place(refused.problems)
            return _form_page(request, "new_plan", form, rest)
        messages.success(request, _("%(made)s is started: add its first rule.") % {"made": made})
        return redirect(_address(made))
    return _form_page(request, "new_plan", form)


@require_http_methods(["GET", "POST"])
@login_required
def new_version(request: HtmxRequest, slug: str) -> HttpResponse:
    user = _writer(request)
    plan = CompPlan.objects.filter(slug=slug).first()
    if plan is None:
        raise Http404
    form = VersionForm(
        request.POST if request.method == "POST" else None, initial={"starts": _next_quarter()}
    )
    if request.method == "POST" and form.is_valid():
        starts, ends = form.span()
        try:
            made = plans.start_draft(
                plan_id=plan.pk,
                starts=starts,
                ends=ends,
                note=form.cleaned_data["note"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            return _form_page(request, "new_version", form, form.place(refused.problems), plan=plan)
        messages.success(
            request,
            _("%(made)s is a draft, with the rules that are in force on its first day.") % {"made": made},
        )
        return redirect(_address(made))
    return _form_page(request, "new_version", form, plan=plan)


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """The dates and the purpose of a draft."""
    user = _writer(request)
    found = _version(request, slug, number, writing=True)
    initial = {
        "starts": found.effective.lower,
        "last": last_day(found.effective.upper),
        "note": found.note,
    }
    form = VersionForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        starts, ends = form.span()
        try:
            plans.change_draft(
                plan_version_id=found.pk,
                starts=starts,
                ends=ends,
                note=form.cleaned_data["note"],
                by=user,
                at=clock.now(),
                expected=request.POST.get("revision") or None,
            )
        except Refusal as refused:
            return _form_page(
                request, "edit", form, form.place(refused.problems), version=found, status=refused.status
            )
        messages.success(request, _("The draft has its new dates."))
        return redirect(_address(found))
    return _form_page(request, "edit", form, version=found)


def _form_page(
    request: HtmxRequest,
    what: str,
    form: VersionForm,
    wrong: Sequence[Problem] = (),
    *,
    plan: CompPlan | None = None,
    version: PlanVersion | None = None,
    status: int = 422,
) -> HttpResponse:
    return render(
        request,
        "quotas/plan_edit.html",
        {
            "what": what,
            "form": form,
            "wrong": wrong,
            "plan": plan or (version.plan if version else None),
            "version": version,
            "revision": request.POST.get("revision") or (fingerprint(version) if version else ""),
        },
        status=status if form.errors or wrong else 200,
    )


def _next_quarter() -> date:
    """The first day of the next calendar quarter: plans rarely begin on another."""
    today = clock.today()
    month = (today.month - 1) // 3 * 3 + 4
    return date(today.year + month // 13, (month - 1) % 12 + 1, 1)


# --- rules ------------------------------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@login_required
def rule_new(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    return _rule_page(request, _version(request, slug, number, writing=True), None)


@require_http_methods(["GET", "POST"])
@login_required
def rule_edit(request: HtmxRequest, slug: str, number: int, pk: int) -> HttpResponse:
    found = _version(request, slug, number, writing=True)
    rule = found.rules.select_related("measure__currency").filter(pk=pk).first()
    if rule is None:
        return _gone(request, found)
    return _rule_page(request, found, rule)


def _gone(request: HtmxRequest, found: PlanVersion) -> HttpResponse:
    """A rule that somebody took out: what was typed comes back as a new rule, which can be saved or let go."""
    text = _("This rule is not in the draft any more: somebody took it out.")
    if request.method != "POST" or found.state != PlanState.DRAFT:
        messages.warning(request, text)
        return redirect(_address(found))
    again = Problem(
        "rule_not_found", f"{text} " + _("What you entered is still here: saved, it is a new rule.")
    )
    form = RuleForm(request.POST)
    return _rule_form(request, found, None, form, wrong=[again], fresh=True, status=409)


def _rule_page(request: HtmxRequest, found: PlanVersion, rule: RuleVersion | None) -> HttpResponse:
    if found.state != PlanState.DRAFT and request.method != "POST":
        messages.warning(
            request,
            _("%(version)s is %(state)s: its rules do not change.")
            % {"version": found, "state": spoken(found.get_state_display()).lower()},
        )
        return redirect(_address(found))
    if request.method != "POST":
        return _rule_form(request, found, rule, RuleForm(rule=rule))
    user = _writer(request)
    form = RuleForm(request.POST, rule=rule)
    if not form.is_valid():
        return _rule_form(request, found, rule, form, status=422)
    try:
        plans.save_rule(
            plan_version_id=found.pk,
            draft=form.draft(),
            by=user,
            at=clock.now(),
            rule_version_id=rule.pk if rule else None,
            expected=request.POST.get("revision") or None,
        )
    except Stale as stale:
        return _rule_form(request, found, rule, form, wrong=stale.problems, stale=True, status=412)
    except NotFound:
        return _gone(request, found)
    except Refusal as refused:
        if refused.problems[0].code == "rule_twice":
            messages.info(request, refused.problems[0].message)
            return redirect(_address(found))
        rest = form.place(refused.problems)
        return _rule_form(request, found, rule, form, wrong=rest, status=refused.status)
    messages.success(
        request, _("“%(cleaned_data)s” is saved in the draft.") % {"cleaned_data": form.cleaned_data["name"]}
    )
    return redirect(_address(found))


def _rule_form(
    request: HtmxRequest,
    found: PlanVersion,
    rule: RuleVersion | None,
    form: RuleForm,
    *,
    wrong: Sequence[Problem] = (),
    stale: bool = False,
    fresh: bool = False,
    status: int = 200,
) -> HttpResponse:
    """fresh: it is saved as a new rule, wherever the form was sent to."""
    context = _frame(request, found, "rules") | {
        "form": form,
        "two": [form["receivers"], form["exclusive"]],
        "rule": rule,
        "wrong": wrong,
        "stale": stale,
        "fresh": fresh,
        "revision": "" if fresh else request.POST.get("revision") or (rule_fingerprint(rule) if rule else ""),
        **_live(found, form, rule),
    }
    return render(request, "quotas/plan_rule.html", context, status=status)


@require_POST
@login_required
def rule_live(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """The sentence of what is being typed, and what it reaches."""
    _writer(request)
    found = _version(request, slug, number, writing=True)
    pk = request.POST.get("rule", "")
    rule = found.rules.filter(pk=int(pk)).first() if pk.isdecimal() and len(pk) < 16 else None
    form = RuleForm(request.POST, rule=rule)
    form.is_valid()
    return render(request, "quotas/plan_rule.html#live", _live(found, form, None))


def _live(found: PlanVersion, form: RuleForm, rule: RuleVersion | None) -> dict[str, Any]:
    """Of what was entered as far as it can be read; of the stored rule where nothing was entered yet."""
    if form.is_bound:
        wrong = [name for name in form.errors if name != "name"]
        if wrong:
            typed = next((name for name in wrong if form[name].value()), "")
            unclear = f"{form[typed].label}: {form.errors[typed][0]}" if typed else ""
            return {"sentence": "", "reached": None, "unclear": unclear}
        form.cleaned_data.setdefault("name", _("This rule"))
        problems = [p for p in plans.rule_problems(form.draft()) if p.pointer != "/name"]
        if problems:
            return {"sentence": "", "reached": None, "unclear": problems[0].message}
        rule = plans.unsaved_rule(found, form.draft())
    if rule is None:
        return {"sentence": "", "reached": None}
    return {
        "sentence": sentence(rule, names_in([rule])),
        "measure": rule.measure,
        "reached": reach_of_rule(rule, on=clock.today()),
    }


@require_POST
@login_required
def rule_remove(request: HtmxRequest, slug: str, number: int, pk: int) -> HttpResponse:
    user = _writer(request)
    found = _version(request, slug, number, writing=True)
    try:
        plans.remove_rule(
            plan_version_id=found.pk,
            rule_version_id=pk,
            by=user,
            at=clock.now(),
            expected=request.POST.get("revision") or None,
        )
    except NotFound:
        messages.info(request, _("The rule is not in the draft any more."))
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    else:
        messages.success(request, _("The rule is taken out of the draft."))
    return redirect(_address(found))


# --- components and assignments ---------------------------------------------------------------------------


@require_http_methods(["GET", "POST"])
@login_required
def components(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    found = _version(request, slug, number, writing=request.method == "POST")
    form = ComponentsForm(version=found, data=request.POST if request.method == "POST" else None)
    status = 200
    if request.method == "POST":
        user = _writer(request)
        drafts = form.drafts()
        status = 422
        if drafts is not None:
            try:
                plans.save_components(
                    plan_version_id=found.pk,
                    components=drafts,
                    by=user,
                    at=clock.now(),
                    expected=request.POST.get("revision") or None,
                )
            except Refusal as refused:
                form.place(drafts, refused.problems)
                status = refused.status
            else:
                messages.success(request, _("The components are saved."))
                return redirect(_address(found, "plan-components"))
    context = _frame(request, found, "components") | {
        "form": form,
        "rows": form.shown(),
        "paid": [(c, terms, in_words(terms), pay_curves.of_component(c, terms)) for c, terms in _paid(found)],
        "pay_choices": PAYS,
        "windows": spoken_choices(Grain.choices),
        "revision": request.POST.get("revision") or fingerprint(found),
    }
    return render(request, "quotas/plan_components.html", context, status=status)


def _paid(found: PlanVersion) -> list[tuple[PlanComponent, PayTerms]]:
    """The stored components that pay, with how."""
    return [(c, terms) for c in components_of(found) if (terms := terms_of(c)) is not None]


@require_http_methods(["GET", "POST"])
@login_required
def assignments(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """Who has the plan, whatever its version; with a form to assign it and one to end each assignment."""
    found = _version(request, slug, number, writing=request.method == "POST")
    form = AssignmentForm(initial={"starts": max(clock.today(), found.effective.lower or date.min)})
    wrong: Sequence[Problem] = ()
    if request.method == "POST":
        user = _writer(request)
        ending = request.POST.get("end", "")
        made: facts.FactChange | Sequence[Problem] = ()
        if ending:
            made = _end(request, user, found, ending)
        else:
            form = AssignmentForm(request.POST)
            made = _assign(user, found, form) if form.is_valid() else ()
        if isinstance(made, facts.FactChange):
            return _after(request, found, made)
        wrong = made
    every = paged(
        request,
        PlanAssignment.objects.filter(plan=found.plan_id, superseded_at=None)
        .select_related("rep")
        .order_by("effective", "role", "rep__name", "pk"),
    )
    today = clock.today()
    context = _frame(request, found, "assignments") | {
        "page": every,
        "assignments": [
            {
                "row": each,
                "whom": each.rep.name
                if each.rep
                else spoken(dict(SalesRole.choices).get(each.role, "")) or _("Everybody"),
                "last": last_day(each.effective.upper),
                "ends": last_day(each.effective.lower)
                if each.effective.lower is not None and each.effective.lower > today
                else today,
                "now": today in each.effective,
                "over": each.effective.upper is not None and each.effective.upper <= today,
            }
            for each in every
        ],
        "form": form,
        "wrong": wrong,
        "ending": {name: request.POST.get(name, "") for name in ("end", "last", "reason")},
    }
    return render(
        request, "quotas/plan_assignments.html", context, status=422 if wrong or form.errors else 200
    )


def _assign(user: User, found: PlanVersion, form: AssignmentForm) -> facts.FactChange | Sequence[Problem]:
    entered = form.cleaned_data
    rep = None
    if entered["whom"] == "rep":
        found_reps = named(Rep.objects.all(), [entered["rep"]])[entered["rep"]]
        if len(found_reps) != 1:
            form.add_error(
                "rep",
                _("Choose one rep from the list.") if not found_reps else _("Several reps have this name."),
            )
            return ()
        rep = found_reps[0]
    try:
        return facts.assign_plan(
            plan_id=found.plan_id,
            role="" if entered["whom"] in (EVERYBODY, "rep") else entered["whom"],
            rep_id=rep.pk if rep else None,
            starts=entered["starts"],
            ends=next_day(entered["last"]),
            by=user,
            at=clock.now(),
            reason=entered["reason"],
        )
    except Refusal as refused:
        return form.place(
            Problem(p.code, p.message, {"/ends": "/last", "/role": "/whom"}.get(p.pointer, p.pointer))
            for p in refused.problems
        )


def _end(
    request: HtmxRequest, user: User, found: PlanVersion, ending: str
) -> facts.FactChange | Sequence[Problem]:
    own = PlanAssignment.objects.filter(
        plan=found.plan_id, pk=int(ending) if ending.isdecimal() and len(ending) < 16 else 0
    ).first()
    if own is None:
        raise Http404
    try:
        ends = next_day(date.fromisoformat(request.POST.get("last", "")))
    except ValueError:
        ends = None
    if ends is None:
        return [Problem("last_day_missing", _("Choose the last day of the assignment."))]
    first = own.effective.lower
    if first is not None and ends < first:
        return [
            Problem(
                "ends_before_it_starts",
                _("It begins on %(first)s: to take it back altogether, choose %(before)s as its last day.")
                % {"first": formats.day(first), "before": formats.day(first - timedelta(days=1))},
            )
        ]
    try:
        return facts.end_assignment(
            assignment_id=own.pk,
            ends=ends,
            by=user,
            at=clock.now(),
            reason=written(request.POST, "reason"),
        )
    except Refusal as refused:
        return refused.problems


def _after(request: HtmxRequest, found: PlanVersion, change: facts.FactChange) -> HttpResponse:
    """Where it started a run, there: what moves is seen on its page."""
    run = _(" What was credited on those days is being worked out again.") if change.job else ""
    messages.success(request, f"{change.what}.{run}")
    return (
        redirect("quotas:recredit", change.job.pk)
        if change.job
        else redirect(_address(found, "plan-assignments"))
    )


# --- a deal to try ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """One entry that a tried deal would have."""

    who: str
    overlay: bool
    component: str
    rule: str
    amount: int


@dataclass(frozen=True, slots=True)
class TriedMeasure:
    """What a tried deal earns in one measure on both sides."""

    measure: Measure
    before: int
    after: int
    parts_before: Sequence[Part]
    parts_after: Sequence[Part]
    why_before: Sequence[str]
    why_after: Sequence[str]

    @property
    def change(self) -> int:
        return self.after - self.before

    @property
    def overlay_before(self) -> int:
        return sum(part.amount for part in self.parts_before if part.overlay)

    @property
    def overlay_after(self) -> int:
        return sum(part.amount for part in self.parts_after if part.overlay)


@require_safe
@login_required
@vary_on_headers("HX-Request")
def try_deal(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    """What one deal would earn with this version, and without it."""
    _reviewer(request)
    found = _version(request, slug, number)
    day = max(clock.today(), found.effective.lower or date.min)
    asked = "amount" in request.GET
    form = TryForm(request.GET) if asked else TryForm(initial={"close_date": day, "amount": "100,000"})
    context = _frame(request, found, "try") | {"form": form}
    if asked and form.is_valid():
        tryout = form.tryout()
        if tryout.close_date not in found.effective:
            form.add_error("close_date", _("The version holds on no such day: choose one of its own."))
        else:
            tried = simulating.try_deal(version=found, tryout=tryout, at=clock.now())
            context |= {"tried": tried, "measures": _measures(tried)}
    template = "quotas/plan_try.html"
    if wants_part(request) and request.htmx.target == "tried":
        template += "#tried"
    return render(request, template, context)


def _measures(tried: simulating.Tried) -> list[TriedMeasure]:
    sides = (tried.before, tried.after)
    credits = [credit for side in sides for credit in side.credits]
    rules = dict(
        RuleVersion.objects.filter(pk__in={c.rule_version_id for c in credits}).values_list("pk", "name")
    )
    reps = dict(Rep.objects.filter(pk__in={c.rep_id for c in credits}).values_list("pk", "name"))

    def parts(side: Earned, measure: Measure) -> list[Part]:
        return [
            Part(
                who=reps[c.rep_id],
                overlay=c.receiver_class == 2,
                component=spoken(Component(c.component).label),
                rule=rules[c.rule_version_id],
                amount=c.amount,
            )
            for c in sorted(side.credits, key=lambda c: (c.receiver_class, c.rep_id, c.component))
            if c.measure_id == measure.pk
        ]

    def why(side: Earned, measure: Measure) -> list[str]:
        words = [
            spoken(Reason(gap.reason).label) for gap in side.gaps if gap.measure_id in (None, measure.pk)
        ]
        return list(dict.fromkeys(words))

    found = []
    for measure in Measure.objects.select_related("currency").order_by("position", "pk"):
        one = TriedMeasure(
            measure,
            tried.before.total(measure.pk),
            tried.after.total(measure.pk),
            parts(tried.before, measure),
            parts(tried.after, measure),
            why(tried.before, measure),
            why(tried.after, measure),
        )
        if one.parts_before or one.parts_after or one.why_before or one.why_after:
            found.append(one)
    return found


# --- the impact on history --------------------------------------------------------------------------------


@require_safe
@login_required
@vary_on_headers("HX-Request")
def impact(request: HtmxRequest, slug: str, number: int) -> HttpResponseBase:
    """What the version would have moved on the deals of the past, by rep, rule, publisher and so on: the newest preview, or the one of ?run=."""
    _reviewer(request)
    found = _version(request, slug, number)
    runs = list(_runs(found)[:RUNS])
    run = _chosen(request, found, runs)
    by = given(request.GET, "by") or impacts.REPS
    if by not in (*impacts.BYS, whatif_tables.EVERYTHING):
        raise Http404
    if form := exporting.asked(request):
        return _impact_file(request, form, found, run, by)
    if by == whatif_tables.EVERYTHING:  # of files alone
        by = impacts.REPS
    starts, last = _usual(found)
    context = _frame(request, found, "impact") | {
        "form": SpanForm(initial={"starts": starts, "last": last}),
        "runs": impacts.told(runs),
        "run": run,
        "retroactive": begins_in_the_past(found, clock.today()),
        "busy": run is not None and not run.finished,
        "by": by,
        "bys": impacts.BYS,
        "everything": whatif_tables.EVERYTHING,
    }
    if run is not None:
        context |= {
            "span": _span(run),
            "is_current": impacts.is_current(run, found),
            "left": impacts.time_left(run, clock.now()),
        }
        if run.result.get("moves") is not None:
            read = impacts.read(run, most=MOVERS)
            apart = {}
            if by != impacts.REPS:
                apart = {
                    measure.pk: movers
                    for measure, movers in impacts.taken_apart(run, by, most=PARTS + 1, names=found)
                }
            context |= {
                "impact": read,
                "lacks_parts": impacts.lacks_parts(run),
                "moving": [
                    (each, movers[:PARTS], len(movers) > PARTS)
                    for each in read.measures
                    if each.winners or each.losers
                    for movers in [apart.get(each.measure.pk, [])]
                ],
                "by_text": impacts.BYS[by],
            }
    if wants_part(request) and request.htmx.target == "impact":
        return render(request, "quotas/plan_impact.html#impact", context)
    return render(request, "quotas/plan_impact.html", context)


@require_POST
@login_required
def impact_start(request: HtmxRequest, slug: str, number: int) -> HttpResponse:
    user = _writer(request)
    found = _version(request, slug, number, writing=True)
    form = SpanForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Choose the first and the last day to look at."))
        return redirect(_address(found, "plan-impact"))
    try:
        run = simulating.start_simulation(
            plan_version_id=found.pk,
            starts=form.cleaned_data["starts"],
            ends=next_day(form.cleaned_data["last"]),
            by=user,
            at=clock.now(),
        )
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
        return redirect(_address(found, "plan-impact"))
    return redirect(f"{_address(found, 'plan-impact')}?run={run.pk}")


@require_safe
@login_required
def impact_csv(request: HtmxRequest, slug: str, number: int, run: int) -> HttpResponseBase:
    """Everybody who moves, as CSV, or in the format that is asked for."""
    _reviewer(request)
    found = _version(request, slug, number)
    job = _runs(found).filter(pk=run).first()
    return _impact_file(request, exporting.asked(request) or "csv", found, job, impacts.REPS)


@require_POST
@login_required
def impact_cancel(request: HtmxRequest, slug: str, number: int, run: int) -> HttpResponse:
    """Stop a preview after the month it is at."""
    user = _writer(request)
    found = _version(request, slug, number, writing=True)
    if not _runs(found).filter(pk=run).exists():
        raise Http404
    try:
        simulating.cancel_simulation(job_id=run, by=user, at=clock.now())
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    else:
        messages.success(request, _("The preview stops after the month it is at. Nothing of it is shown."))
    return redirect(f"{_address(found, 'plan-impact')}?run={run}")


def _impact_file(
    request: HtmxRequest, form: Format, found: PlanVersion, run: Job | None, by: str
) -> HttpResponseBase:
    if run is None or "moves" not in run.result:
        raise Http404
    return exporting.answer(
        request,
        form,
        name=f"impact {found.plan.slug} v{found.number} {run.pk} {by}",
        title=f"Impact of {found}",
        table=whatif_tables.differences(run, by, names=found),
        said=[("Credit dates", " to ".join(day.isoformat() for day in _span(run)))],
    )


def _runs(found: PlanVersion) -> Any:
    return (
        Job.objects.filter(kind=SIMULATE, parameters__plan_version_id=found.pk)
        .select_related("requested_by")
        .order_by("-pk")
    )


def _chosen(request: HtmxRequest, found: PlanVersion, runs: Sequence[Job]) -> Job | None:
    asked = given(request.GET, "run")
    if not asked:
        return runs[0] if runs else None
    if not asked.isdecimal() or len(asked) > 15:
        raise Http404
    run: Job | None = _runs(found).filter(pk=int(asked)).first()
    if run is None:
        raise Http404
    return run


def _span(run: Job) -> tuple[date, date]:
    return (
        date.fromisoformat(run.parameters["starts"]),
        date.fromisoformat(run.parameters["ends"]) - timedelta(days=1),
    )
