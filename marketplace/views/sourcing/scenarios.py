"""Switches on paper: the list, one with what it comes to, its form, several side by side. A move is tried before it is kept."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.exports import Column, Table
from config.language import _, later
from config.months import add_months
from config.refusals import Problem, Refusal
from marketplace.models import (
    Binding,
    ModelVersion,
    MoveKind,
    Scenario,
    ScenarioMove,
    ScenarioState,
)
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.binding import plans_to_buy
from marketplace.selectors.sourcing.scenario import Outcome, evaluate
from marketplace.selectors.sourcing.scenarios import (
    MOST_COMPARED,
    in_words,
    moves_of,
    scenarios_for,
    version_name,
)
from marketplace.services.sourcing import scenarios as service
from marketplace.services.sourcing.scenarios import MoveDraft, ScenarioDraft
from marketplace.views import HtmxRequest, signed_in, wants_part
from marketplace.views.sourcing import scenario_result
from marketplace.views.sourcing.scenario_compare import compared

TABS: Final = {"": later("All"), "own": later("Mine"), "asked": later("Waiting"), "decided": later("Decided")}


# --- the list ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    scenario: Scenario
    moves: list[str]
    own: bool
    waits: bool


@require_safe
@login_required
def scenarios(request: HtmxRequest) -> HttpResponseBase:
    user = _reader(request)
    found = scenarios_for(user)
    tab = request.GET.get("show", "")
    tab = tab if tab in TABS else ""
    if form := exporting.asked(request):
        table = _table(_of_tab(found, tab, user))
        return exporting.answer(request, form, name="scenarios", title="Scenarios", table=table)
    every = list(found.order_by("-id"))
    rows = [scenario for scenario in every if _in_tab(scenario, tab, user)]
    context = {
        "rows": [
            Listed(
                each,
                [in_words(move) for move in moves_of(each)],
                each.made_by_id == user.pk,
                each.state == ScenarioState.ASKED and each.asked_by_id != user.pk and _leads(user),
            )
            for each in rows
        ],
        "tabs": [
            (value, text, sum(_in_tab(each, value, user) for each in every), value == tab)
            for value, text in TABS.items()
        ],
        "tab": tab,
        "leads": _leads(user),
        "most": MOST_COMPARED,
        "today": clock.today(),
    }
    return render(request, "marketplace/sourcing/scenarios.html", context)


def _in_tab(scenario: Scenario, tab: str, user: User) -> bool:
    if tab == "own":
        return scenario.made_by_id == user.pk
    if tab == "asked":
        return scenario.state == ScenarioState.ASKED
    return not tab or scenario.state in (ScenarioState.PROMOTED, ScenarioState.DECLINED)


def _of_tab(found: QuerySet[Scenario], tab: str, user: User) -> list[Scenario]:
    return [each for each in found.order_by("-id") if _in_tab(each, tab, user)]


def _table(rows: list[Scenario]) -> Table:
    columns = [
        Column("id", "Number", "whole"),
        Column("name", "Name"),
        Column("state", "State"),
        Column("made_by", "Made by"),
        Column("made_at", "Made at", "instant"),
        Column("starts_on", "From", "date"),
        Column("months", "Months", "whole"),
        Column("shared", "Shared", "flag"),
        Column("moves", "Moves"),
        Column("note", "Note"),
    ]
    return Table(
        columns,
        lambda: (
            (
                each.pk,
                each.name,
                each.get_state_display(),
                each.made_by.name,
                each.made_at,
                each.starts_on,
                each.months,
                each.shared,
                "; ".join(in_words(move) for move in moves_of(each)),
                each.note,
            )
            for each in rows
        ),
    )


# --- one --------------------------------------------------------------------------------------------------


@require_safe
@login_required
def scenario(request: HtmxRequest, pk: int) -> HttpResponseBase:
    """Its result; with a move in the address, what that would add. Nothing is written."""
    user = _reader(request)
    found = get_object_or_404(scenarios_for(user), pk=pk)
    on, moves = clock.today(), moves_of(found)
    own = found.made_by_id == user.pk and _leads(user) and found.state == ScenarioState.DRAFT
    tried, wrong = _tried(request.GET) if own else (None, [])
    extra: list[ScenarioMove] = []
    if tried is not None and not wrong:
        try:
            extra = service.unsaved([tried])
        except Refusal as refused:
            wrong = list(refused.problems)
    outcome = evaluate(
        [*moves, *extra], starts_on=found.starts_on, months=found.months, on=on, growth_ppm=found.growth_ppm
    )
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"scenario {found.pk}",
            title=found.name,
            table=scenario_result.lines_table(outcome),
            said=[(f"Move {n}", in_words(move)) for n, move in enumerate(moves, start=1)],
        )
    context: dict[str, Any] = {
        "scenario": found,
        "own": own,
        "tried": _hidden(tried) if extra else [],
        "tried_words": in_words(extra[0]) if extra else "",
        # A form that is still being filled in says nothing; who presses the button is told.
        "wrong": wrong if "try" in request.GET else [],
        **scenario_result.shown(outcome),
    }
    if wants_part(request):
        response = render(request, "marketplace/sourcing/_scenario_result.html", context)
    else:
        context |= {
            "moves": [(move, in_words(move)) for move in moves],
            "may_copy": _leads(user),
            "may_ask": own and bool(moves) and not outcome.obstacles and not extra,
            "may_take_back": found.state == ScenarioState.ASKED and found.asked_by_id == user.pk,
            "may_decide": found.state == ScenarioState.ASKED
            and _leads(user)
            and user.pk not in (found.asked_by_id, found.made_by_id),
            "first_day": service.first_day(found, on),
            "later": service.first_day(found, on) != found.starts_on,
            "today": on,
            **(_choices(outcome, request.GET) if own else {}),
        }
        response = render(
            request, "marketplace/sourcing/scenario.html", context, status=422 if context["wrong"] else 200
        )
    patch_vary_headers(response, ("HX-Request",))
    return response


def _tried(sent: QueryDict) -> tuple[MoveDraft | None, list[Problem]]:
    """The move in an address, with what cannot be read of it."""
    kind = sent.get("kind", "")
    if kind not in MoveKind.values:
        return None, []
    draft, wrong = read_move(sent)
    return draft, wrong


def read_move(sent: Mapping[str, Any]) -> tuple[MoveDraft, list[Problem]]:
    """A move as a form sends it: ids, and shares in per cent."""
    wrong: list[Problem] = []

    def number(name: str) -> int | None:
        text = str(sent.get(name, "")).strip()
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else None

    def ppm(name: str, what: str) -> int | None:
        text = str(sent.get(name, "")).strip().removesuffix("%").replace("\N{MINUS SIGN}", "-").strip()
        try:
            value = Decimal(formats.typed(text, most=999)) * 10_000
        except (ArithmeticError, formats.Unreadable):
            wrong.append(
                Problem(
                    "not_a_number",
                    _("Write %(what)s in per cent, such as 50 or 12.5.") % {"what": what},
                    f"/{name}",
                )
            )
            return None
        if not value.is_finite() or value != value.to_integral_value() or abs(value) > 10**9:
            wrong.append(
                Problem(
                    "not_a_number",
                    _("Write %(what)s with four decimals at most.") % {"what": what},
                    f"/{name}",
                )
            )
            return None
        return int(value)

    kind = str(sent.get("kind", ""))
    if kind == MoveKind.SHARE:
        draft = MoveDraft(
            kind,
            feature_id=number("feature"),
            source_id=number("source"),
            target_id=number("target"),
            share_ppm=ppm("share", _("the share")),
        )
    elif kind == MoveKind.PRICE:
        draft = MoveDraft(kind, plan_id=number("plan"), change_ppm=ppm("change", _("the change")))
    else:
        draft = MoveDraft(kind, supplier_id=number("supplier"))
    return draft, wrong


def _hidden(draft: MoveDraft | None) -> list[tuple[str, str]]:
    """The fields that send a tried move again, to be kept."""
    if draft is None:
        return []
    fields = {
        "kind": draft.kind,
        "feature": draft.feature_id,
        "source": draft.source_id,
        "target": draft.target_id,
        "share": None if draft.share_ppm is None else Decimal(draft.share_ppm) / 10_000,
        "plan": draft.plan_id,
        "change": None if draft.change_ppm is None else Decimal(draft.change_ppm) / 10_000,
        "supplier": draft.supplier_id,
    }
    return [
        (name, f"{value:f}" if isinstance(value, Decimal) else str(value))
        for name, value in fields.items()
        if value is not None
    ]


def _choices(outcome: Outcome, sent: QueryDict) -> dict[str, Any]:
    """What the forms for a move offer. 4 queries."""
    facts = outcome.facts
    bound = {
        part.version_id
        for mixes in outcome.after.mixes.values()
        for mix in mixes
        for part in mix.parts
        if part.share_ppm
    }
    plans = {
        p.plan_id
        for mixes in outcome.after.mixes.values()
        for m in mixes
        for p in m.parts
        if p.plan_id is not None and p.share_ppm
    }
    makers = {facts.supplier_id(pk) for pk in bound}
    return {
        "features": [
            (product, [(f.pk, f.name) for f in group])
            for product, group in groupby(facts.features.values(), key=lambda f: f.product.name)
        ],
        "sources": sorted(((pk, facts.name(pk)) for pk in bound), key=lambda each: each[1].lower()),
        "targets": _targets(facts.starts_on),
        "plan_choices": sorted(
            ((pk, str(facts.book.plan(pk))) for pk in plans), key=lambda each: each[1].lower()
        ),
        "makers": [(c.pk, c.name) for c in facts.companies.values() if c.publisher_id in makers],
        "sent": {
            name: sent.get(name, "")
            for name in ("kind", "feature", "source", "target", "share", "plan", "change", "supplier")
        },
    }


def _targets(on: date) -> list[tuple[str, list[tuple[int, str]]]]:
    """Versions that can be bought by tokens, or that some feature runs on, by maker. 3 queries."""
    rows = list(
        ModelVersion.objects.select_related("model__publisher").order_by(
            "model__publisher__name", "model__name", "label"
        )
    )
    sold = plans_to_buy([row.pk for row in rows])
    bound = set(
        Binding.objects.filter(superseded_at=None, effective__endswith=None).values_list(
            "model_version", flat=True
        )
    )
    rows = [row for row in rows if row.pk in sold or row.pk in bound]
    return [
        (maker, [(row.pk, version_name(row)) for row in group])
        for maker, group in groupby(rows, key=lambda row: row.model.publisher.name)
    ]


# --- what is done to one ----------------------------------------------------------------------------------


@require_POST
@login_required
def act(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """One step of a scenario; what is refused is told on its page."""
    user = _reader(request)
    found = get_object_or_404(scenarios_for(user), pk=pk)
    step = STEPS.get(action)
    if step is None:
        raise Http404
    try:
        to, said = step(found, request.POST, user)
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
        return redirect("marketplace:scenario", pk)
    messages.success(request, said)
    return redirect("marketplace:scenario", to.pk) if to is not None else redirect("marketplace:scenarios")


Step = Callable[[Scenario, QueryDict, User], tuple[Scenario | None, str]]


def _revision(sent: QueryDict) -> int | None:
    text = sent.get("revision", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _add(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    draft, wrong = read_move(sent)
    if wrong:
        raise Refusal(*wrong)
    made = service.add_move(
        scenario_id=found.pk, move=draft, by=user, at=clock.now(), expected_revision=_revision(sent)
    )
    return made, _("The move is kept. Nothing that runs has changed.")


def _remove(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    text = sent.get("position", "")
    position = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    made = service.remove_move(
        scenario_id=found.pk, position=position, by=user, at=clock.now(), expected_revision=_revision(sent)
    )
    return made, _("The move is taken out.")


def _share(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    shared = sent.get("shared") == "1"
    made = service.share_scenario(
        scenario_id=found.pk, shared=shared, by=user, at=clock.now(), expected_revision=_revision(sent)
    )
    return made, _("Every reader of sourcing sees it now.") if shared else _("Only you see it now.")


def _copy(found: Scenario, _sent: QueryDict, user: User) -> tuple[Scenario, str]:
    made = service.copy_scenario(scenario_id=found.pk, on=clock.today(), by=user, at=clock.now())
    return made, _("This copy is yours, and only you see it.")


def _delete(found: Scenario, sent: QueryDict, user: User) -> tuple[None, str]:
    service.delete_scenario(scenario_id=found.pk, by=user, at=clock.now(), expected_revision=_revision(sent))
    return None, _("“%(found_name)s” is deleted.") % {"found_name": found.name}


def _ask(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    made = service.ask_promotion(
        scenario_id=found.pk, on=clock.today(), by=user, at=clock.now(), expected_revision=_revision(sent)
    )
    return (
        made,
        _("The other sourcing leads are told. One of them decides; until then nothing that runs changes."),
    )


def _take_back(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    made = service.take_back(scenario_id=found.pk, by=user, at=clock.now(), expected_revision=_revision(sent))
    return made, _("It is a draft again.")


def _decide(found: Scenario, sent: QueryDict, user: User) -> tuple[Scenario, str]:
    promote = sent.get("decision") == "promote"
    made = service.decide(
        scenario_id=found.pk,
        promote=promote,
        on=clock.today(),
        by=user,
        at=clock.now(),
        note=sent.get("note", ""),
        expected_revision=_revision(sent),
    )
    if promote:
        return made, _("Promoted: the features' mixes say it from its first day on.")
    return made, _("Declined. Nothing that runs has changed.")


STEPS: Final[Mapping[str, Step]] = {
    "add": _add,
    "remove": _remove,
    "share": _share,
    "copy": _copy,
    "delete": _delete,
    "ask": _ask,
    "take-back": _take_back,
    "decide": _decide,
}


# --- the form ---------------------------------------------------------------------------------------------


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HtmxRequest) -> HttpResponse:
    user = _lead(request)
    values = {
        "name": "",
        "starts_on": add_months(clock.today(), 1).isoformat(),
        "months": "12",
        "growth": "0",
        "note": "",
        "shared": "",
    }
    if request.method != "POST":
        return _form(request, values, {})
    values |= {name: request.POST.get(name, "") for name in values}
    draft, wrong = _draft(values, [])
    if not wrong:
        try:
            made = service.make_scenario(draft=draft, on=clock.today(), by=user, at=clock.now())
        except Refusal as refused:
            wrong = _by_field(refused)
        else:
            messages.success(request, _("Now add what moves."))
            return redirect("marketplace:scenario", made.pk)
    return _form(request, values, wrong)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def change(request: HtmxRequest, pk: int) -> HttpResponse:
    """Name, days and note of a draft of one's own; its moves stay."""
    user = _reader(request)
    found = get_object_or_404(scenarios_for(user), pk=pk)
    if found.made_by_id != user.pk or not _leads(user) or found.state != ScenarioState.DRAFT:
        messages.error(
            request,
            _("Only who made it changes it, and only while it is a draft: copy it, and change the copy."),
        )
        return redirect("marketplace:scenario", pk)
    values = {
        "name": found.name,
        "starts_on": found.starts_on.isoformat(),
        "months": str(found.months),
        "growth": formats.entered((Decimal(found.growth_ppm) / 10_000).normalize()),
        "note": found.note,
        "shared": "1" if found.shared else "",
    }
    if request.method != "POST":
        return _form(request, values, {}, found)
    values |= {name: request.POST.get(name, "") for name in values}
    draft, wrong = _draft(values, [service.draft_of(move) for move in moves_of(found)])
    if not wrong:
        try:
            service.revise_scenario(
                scenario_id=pk,
                draft=draft,
                on=clock.today(),
                by=user,
                at=clock.now(),
                expected_revision=_revision(request.POST),
            )
        except Refusal as refused:
            wrong = _by_field(refused)
        else:
            messages.success(request, _("Saved."))
            return redirect("marketplace:scenario", pk)
    return _form(request, values, wrong, found)


def _draft(values: Mapping[str, str], moves: list[MoveDraft]) -> tuple[ScenarioDraft, dict[str, list[str]]]:
    wrong: dict[str, list[str]] = {}
    try:
        start = date.fromisoformat(values["starts_on"].strip())
    except ValueError:
        start = clock.today()
        wrong["starts_on"] = [_("Write a day as 2026-09-01.")]
    text = values["months"].strip()
    months = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 0
    try:
        growth = Decimal(formats.typed(values["growth"].strip().removesuffix("%") or "0", most=999)) * 10_000
    except (ArithmeticError, formats.Unreadable):
        growth = Decimal("NaN")
    if not growth.is_finite() or growth != growth.to_integral_value() or abs(growth) > 10**9:
        growth = Decimal(0)
        wrong["growth"] = [_("Write the growth in per cent a year, such as 20 or -5.")]
    draft = ScenarioDraft(
        values["name"], start, months, values["note"], values["shared"] == "1", moves, int(growth)
    )
    return draft, wrong


def _by_field(refused: Refusal) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for problem in refused.problems:
        found.setdefault(problem.pointer.strip("/").split("/")[0], []).append(problem.message)
    return found


def _form(
    request: HtmxRequest,
    values: Mapping[str, str],
    errors: Mapping[str, list[str]],
    found: Scenario | None = None,
) -> HttpResponse:
    context = {
        "values": values,
        "errors": errors,
        "whole": errors.get("", []) + errors.get("moves", []),
        "scenario": found,
        "revision": request.POST.get("revision") or (found.revision if found is not None else ""),
        "today": clock.today(),
    }
    return render(request, "marketplace/sourcing/scenario_form.html", context, status=422 if errors else 200)


# --- side by side -----------------------------------------------------------------------------------------


@require_safe
@login_required
def compare(request: HtmxRequest) -> HttpResponseBase:
    """Two to four of those that this person sees: ?ids=1&ids=2, or ids=1,2."""
    user = _reader(request)
    given = [part for text in request.GET.getlist("ids") for part in text.split(",")]
    ids = list(dict.fromkeys(int(p) for p in given if p.isascii() and p.isdecimal() and len(p) < 16))
    known = {each.pk: each for each in scenarios_for(user).filter(pk__in=ids[:50])}
    if len(known) != len(ids):
        raise Http404
    if not 2 <= len(ids) <= MOST_COMPARED:
        messages.error(
            request,
            _("Choose two to %(MOST_COMPARED)s scenarios to lay side by side.")
            % {"MOST_COMPARED": MOST_COMPARED},
        )
        return redirect("marketplace:scenarios")
    on = clock.today()
    pairs = [
        (
            known[pk],
            evaluate(
                moves_of(known[pk]),
                starts_on=known[pk].starts_on,
                months=known[pk].months,
                on=on,
                growth_ppm=known[pk].growth_ppm,
            ),
        )
        for pk in ids
    ]
    context = compared(pairs)
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name="scenarios compared", title="Scenarios side by side", table=context["table"]
        )
    return render(request, "marketplace/sourcing/scenario_compare.html", {**context, "today": on})


# --- who --------------------------------------------------------------------------------------------------


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not reads_sourcing(user):
        raise Http404
    return user


def _lead(request: HtmxRequest) -> User:
    """A sourcing lead; auditors read only."""
    user = _reader(request)
    if not _leads(user):
        raise PermissionDenied
    return user


def _leads(user: User) -> bool:
    return user.has_role(Role.SOURCING_LEAD)
