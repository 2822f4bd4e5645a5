"""Eligibility decisions: the register, the policy as one page, a proposal with what it would hit, and its check by another person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import uuid4

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.backends.postgresql.psycopg_any import DateRange
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.charts import Tone
from config.given import given, tidy, written
from config.language import _, later, spoken, spoken_choices
from config.ordering import Orders
from config.refusals import Refusal
from marketplace.extension import Impact, impacts_of
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Plan,
    Program,
    Publisher,
    ScopeLevel,
)
from marketplace.selectors import decisions as register
from marketplace.selectors import exports
from marketplace.selectors.decisions import DecisionState, Reach, Replaced, about, state_of
from marketplace.selectors.eligibility import ONE, Treatment
from marketplace.selectors.public_facts import FOOTING, facts_named
from marketplace.selectors.visibility import offerings_for
from marketplace.services.eligibility import (
    LONGEST,
    MOST_AT_ONCE,
    Scope,
    check_decision,
    propose_decisions,
    withdraw_decision,
)
from marketplace.views import HtmxRequest, day_asked, signed_in

PAGE: Final = 50
ORDERS: Final = Orders(EligibilityDecision)
MOST_OFFERED: Final = 20
TABS: Final = (
    ("in_force", later("In force")),
    ("announced", later("Announced")),
    ("proposed", later("Proposed")),
    ("ended", later("Ended")),
)
LOOKS: Final[dict[DecisionState, tuple[Tone, str]]] = {
    DecisionState.IN_FORCE: ("good", "circle-check"),
    DecisionState.ANNOUNCED: ("accent", "calendar-range"),
    DecisionState.PROPOSED: ("warn", "clock-alert"),
    DecisionState.ENDED: ("muted", "circle-minus"),
    DecisionState.SUPERSEDED: ("muted", "circle-minus"),
    DecisionState.WITHDRAWN: ("muted", "circle-x"),
}


def proposals_waiting(_request: HttpRequest) -> int:
    """For the counter beside the entry."""
    return register.waiting()


@dataclass(frozen=True, slots=True)
class Line:
    """A decision as a list shows it."""

    decision: EligibilityDecision
    about: str
    treatment: Treatment
    state: tuple[str, Tone, str]
    slug: str


def _line(decision: EligibilityDecision, on: date) -> Line:
    """slug: of the offering that it is about, if any."""
    offering = decision.offering or (decision.plan.offering if decision.plan is not None else None)
    state = state_of(decision, on)
    return Line(
        decision,
        about(decision),
        Treatment(Program(decision.program), decision.rate_ppm, "", decision),
        (spoken(state.label), *LOOKS[state]),
        offering.slug if offering is not None else "",
    )


# --- the register and the policy --------------------------------------------------------------------------


@require_safe
@login_required
def decisions(request: HtmxRequest) -> HttpResponseBase:
    """7 queries, whatever the number of decisions."""
    user, on = signed_in(request), day_asked(request)
    rows = _filtered(register.decisions_for(user), request.GET)
    counts = register.counts_by_state(rows, on)
    state = request.GET.get("state", "in_force")
    state = state if state in register.STATES else "in_force"
    insiders = not user.has_role(Role.PARTNER)
    if form := exporting.asked(request):
        table = exports.decisions(register.in_state(rows, state, on), on, people=insiders)
        name, title = _("decisions %(state)s") % {"state": state}, _("Eligibility decisions")
        return exporting.answer(request, form, name=name, title=title, table=table)
    page = ORDERS.of(request.GET).page(register.in_state(rows, state, on), PAGE)
    insider = user.has_role(*register.SEES_PROPOSALS)
    return render(
        request,
        "marketplace/decisions.html",
        {
            "on": on,
            "today": clock.today(),
            "lines": [_line(decision, on) for decision in page.rows],
            "tabs": [
                (name, label, counts[name], name == state)
                for name, label in TABS
                if insider or name != "proposed"
            ],
            "state": state,
            "asked": {
                name: request.GET.get(name, "") for name in ("search", "program", "level", "publisher")
            },
            "programs": spoken_choices(Program.choices),
            "levels": [(name, spoken(ScopeLevel(number).label)) for name, number in register.LEVELS.items()],
            "publishers": Publisher.objects.filter(
                pk__in=register.decisions_for(user).exclude(publisher=None).values("publisher")
            ).order_by("name"),
            "filtered": any(request.GET.get(name) for name in ("search", "program", "level", "publisher")),
            **page.context,
            "may_decide": user.has_role(Role.CATALOG_MANAGER),
            "insiders": insiders,
        },
    )


def _filtered(rows: QuerySet[EligibilityDecision], params: QueryDict) -> QuerySet[EligibilityDecision]:
    """What makes no sense in an address is left aside."""
    program, level = params.get("program", ""), params.get("level", "")
    publisher, search = given(params, "publisher"), given(params, "search", 80)
    if program in Program.values:
        rows = rows.filter(program=program)
    if level in register.LEVELS:
        rows = rows.filter(level=register.LEVELS[level])
    if publisher:
        rows = rows.filter(
            Q(publisher__slug=publisher)
            | Q(offering__publisher__slug=publisher)
            | Q(plan__offering__publisher__slug=publisher)
        )
    if search:
        number = search.lstrip("#")
        rows = rows.filter(
            Q(reason__icontains=search)
            | Q(evidence__icontains=search)
            | Q(publisher__name__icontains=search)
            | Q(offering__name__icontains=search)
            | Q(plan__offering__name__icontains=search)
            | (Q(pk=int(number)) if number.isdecimal() and number.isascii() and len(number) < 16 else Q())
        )
    return rows


@require_safe
@login_required
def policy(request: HtmxRequest) -> HttpResponse:
    """Everybody may read why something counts. 3 queries."""
    user, on = signed_in(request), day_asked(request)
    found = register.policy(user, on)
    return render(
        request,
        "marketplace/policy.html",
        {
            "on": on,
            "today": clock.today(),
            "programs": [spoken(program.label) for program in Program],
            "defaults": [
                (
                    spoken(default.label),
                    [
                        Treatment(program, cell.rate_ppm, cell.reason, cell)
                        if cell is not None
                        else Treatment(program, None, "")
                        for program, cell in zip(Program, default.cells, strict=True)
                    ],
                )
                for default in found.defaults
            ],
            "decided": any(cell for default in found.defaults for cell in default.cells),
            "exceptions": [_line(decision, on) for decision in found.exceptions],
            "coming": [_line(decision, on) for decision in found.coming],
            "facts": facts_named(FOOTING),
            "may_decide": user.has_role(Role.CATALOG_MANAGER),
            "insider": user.has_role(*register.SEES_PROPOSALS),
        },
    )


# --- proposing --------------------------------------------------------------------------------------------


class Percent(forms.CharField):
    """A share as people write it, read exactly into parts per million."""

    def __init__(self) -> None:
        super().__init__(
            label=later("Rate"),
            max_length=12,
            help_text=later("Share of the value that counts. 0 is a decision too: it does not count."),
            error_messages={"required": later("Enter the rate.")},
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}),
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip().rstrip("%").strip()
        try:
            percent = Decimal(formats.typed(text, most=100))
        except (InvalidOperation, formats.Unreadable):
            percent = Decimal("NaN")
        ppm = percent * 10_000 if percent.is_finite() and -1 < percent < 10_000 else None
        if ppm is None or not 0 <= ppm <= ONE or ppm != int(ppm):
            raise forms.ValidationError(_("Enter a number from 0 to 100, with at most four decimals."))
        return int(ppm)


def _day_field(label: str, *, required: bool, help_text: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=required,
        help_text=help_text,
        error_messages={
            "required": later("Say from when on."),
            "invalid": later("Enter a day, such as 2026-08-14."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class ProposalForm(forms.Form):
    """A decision, or several at once, for another person to check. things: offerings and plans as SKU or SKU/plan."""

    use_required_attribute = False

    programs = forms.MultipleChoiceField(
        label=later("Programs"),
        choices=spoken_choices(Program.choices),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": later("Choose at least one program.")},
    )
    kind = forms.ChoiceField(
        label=later("Decide for"),
        choices=[
            ("offerings", later("Offerings or plans")),
            ("publisher", later("Everything of a publisher")),
            ("path", later("A commercial path")),
        ],
        initial="offerings",
        widget=forms.RadioSelect,
    )
    path = forms.ChoiceField(
        label=later("Commercial path"),
        choices=[("", later("Choose one")), *spoken_choices(CommercialPath.choices)],
        error_messages={"required": later("Choose the commercial path.")},
    )
    publisher = forms.ModelChoiceField(
        Publisher.objects.filter(Exists(Offering.objects.filter(publisher=OuterRef("pk")))).order_by("name"),
        to_field_name="slug",
        empty_label=later("Choose one"),
        label=later("Publisher"),
        error_messages={"required": later("Choose the publisher.")},
    )
    add = forms.CharField(
        label=later("Add an offering"),
        max_length=4000,
        error_messages={"required": later("Add at least one offering.")},
        help_text=later("Its SKU, or several with spaces between; SKU/plan for one plan of it."),
        widget=forms.TextInput(attrs={"list": "offering-options", "autocomplete": "off"}),
    )
    rate = Percent()
    start = _day_field(
        later("From"),
        required=True,
        help_text=later("It may lie in the past: what was credited since is worked out again."),
    )
    end = _day_field(
        later("To before"),
        required=False,
        help_text=later("The first day on which it no longer holds. Empty: until further notice."),
    )
    reason = forms.CharField(
        max_length=LONGEST,
        help_text=later("Everybody whom it concerns reads it."),
        error_messages={"required": later("Say why: it is shown to everybody it concerns.")},
        widget=forms.Textarea(attrs={"rows": 2}),
        label=later("Reason"),
    )
    evidence = forms.CharField(
        max_length=LONGEST,
        required=False,
        help_text=later(
            "Where it is written: a contract, a message, a paragraph of a source with its reference numbers."
        ),
        widget=forms.Textarea(attrs={"rows": 2}),
        label=later("Evidence"),
    )
    assumed = forms.BooleanField(
        label=later("A date or the rate is not public and was assumed"),
        required=False,
        help_text=later("The evidence says which."),
    )

    def __init__(self, data: QueryDict | None, *, user: User, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        asked = data.getlist("things") if data is not None else (initial or {}).get("things", [])
        added = data.get("add", "") if data is not None else ""
        words = [*asked, *added.replace(",", " ").split()]
        self.things = list(dict.fromkeys(word for w in words if (word := tidy(w).lower())))[
            : MOST_AT_ONCE + 1
        ]
        self._user = user
        self._found: dict[str, Offering | Plan] | None = None

    @property
    def found(self) -> dict[str, Offering | Plan]:
        """Those of things that exist, by how they are written. 2 queries."""
        if self._found is None:
            skus = {thing.partition("/")[0] for thing in self.things}
            offerings = {
                o.slug: o for o in offerings_for(self._user).filter(slug__in=skus).select_related("publisher")
            }
            plans = {
                f"{p.offering.slug}/{p.slug}": p
                for p in Plan.objects.filter(offering__in=[o.pk for o in offerings.values()]).select_related(
                    "offering__publisher"
                )
            }
            known: dict[str, Offering | Plan] = {**offerings, **plans}
            self._found = {thing: known[thing] for thing in self.things if thing in known}
        return self._found

    @property
    def chosen(self) -> list[tuple[str, str, str]]:
        """What was added so far: how it is written, its name, and what is wrong with it."""
        return [
            (
                thing,
                _name(self.found[thing]) if thing in self.found else thing,
                "" if thing in self.found else _("There is no such offering or plan."),
            )
            for thing in self.things
        ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        kind = given.get("kind")
        for name, its in (("path", "path"), ("publisher", "publisher"), ("add", "offerings")):
            if kind != its or (name == "add" and self.things):
                self.errors.pop(name, None)  # it is asked for only where that is what it is decided for
        unknown = [thing for thing in self.things if thing not in self.found] if kind == "offerings" else []
        if unknown:
            self.add_error(
                "add",
                _("There is no %(unknown)s: take it away or mend it.") % {"unknown": ", ".join(unknown[:5])},
            )
        if given.get("start") and given.get("end") and given["end"] <= given["start"]:
            self.add_error("end", _("It ends before it starts."))
        return given

    def scopes(self) -> list[Scope]:
        match self.cleaned_data["kind"]:
            case "path":
                return [Scope(commercial_path=self.cleaned_data["path"])]
            case "publisher":
                return [Scope(publisher_id=self.cleaned_data["publisher"].pk)]
        return [
            Scope(plan_id=thing.pk) if isinstance(thing, Plan) else Scope(offering_id=thing.pk)
            for thing in self.found.values()
        ]

    def drafts(self, by: User) -> list[EligibilityDecision]:
        """As they would be kept, with what they are about at hand; nothing is kept."""
        given = self.cleaned_data
        things: Sequence[dict[str, Any]]
        match given["kind"]:
            case "path":
                things = [{"level": ScopeLevel.PATH, "commercial_path": given["path"]}]
            case "publisher":
                things = [{"level": ScopeLevel.PUBLISHER, "publisher": given["publisher"]}]
            case _:
                things = [
                    {"level": ScopeLevel.PLAN, "plan": thing}
                    if isinstance(thing, Plan)
                    else {"level": ScopeLevel.OFFERING, "offering": thing}
                    for thing in self.found.values()
                ]
        return [
            EligibilityDecision(
                program=program,
                rate_ppm=given["rate"],
                effective=DateRange(given["start"], given["end"]),
                reason=given["reason"],
                evidence=given["evidence"],
                assumed=given["assumed"],
                made_by=by,
                **thing,
            )
            for program in given["programs"]
            for thing in things
        ]

    def sent(self) -> list[tuple[str, str]]:
        """Everything that was entered, for a form that sends it again."""
        single = ("kind", "path", "publisher", "rate", "start", "end", "reason", "evidence")
        return [
            *(("programs", program) for program in self.cleaned_data["programs"]),
            *(("things", thing) for thing in self.things),
            *((name, str(self.data.get(name, ""))) for name in single),
            *([("assumed", "on")] if self.cleaned_data["assumed"] else []),
        ]

    def refuse(self, refused: Refusal) -> None:
        """Each problem beside the field that it is about."""
        fields = {"/program": "programs", "/scope": "add", "/scopes": "add"}
        for problem in refused.problems:
            name = fields.get(problem.pointer, problem.pointer.lstrip("/"))
            self.add_error(name if name in self.fields else None, problem.message)


def _name(thing: Offering | Plan) -> str:
    return (
        _("%(offering_name)s, plan %(thing_name)s")
        % {"offering_name": thing.offering.name, "thing_name": thing.name}
        if isinstance(thing, Plan)
        else thing.name
    )


@dataclass(frozen=True, slots=True)
class Preview:
    """What a proposal would do: what it ends, which offerings it moves, and what others say that it hits."""

    decisions: list[EligibilityDecision]
    abouts: list[str]
    programs: list[Treatment]
    replaced: list[Replaced]
    reach: Reach
    deals: list[Impact]
    others: list[Impact]
    backdated: bool

    @property
    def first(self) -> EligibilityDecision:
        return self.decisions[0]


def _preview(found: list[EligibilityDecision], user: User, today: date) -> Preview:
    change = register.change_of(found)
    impacts = impacts_of(change, user, today)
    programs = {d.program: Treatment(Program(d.program), d.rate_ppm, "", d) for d in found}
    return Preview(
        found,
        register.abouts(found),
        [programs[program.value] for program in Program if program.value in programs],
        register.replaced_by(found),
        register.reach_of(change),
        [impact for impact in impacts if impact.kind == "open deal"],
        [impact for impact in impacts if impact.kind != "open deal"],
        change.first_day < today,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def propose(request: HtmxRequest) -> HttpResponse:
    """Enter it, see what it would hit, then propose it: each step by the page's own address."""
    user, today = _keeper(request), clock.today()
    if request.method != "POST":
        form = ProposalForm(None, user=user, initial=_initial(request.GET, today))
        return _form_page(request, form)
    form = ProposalForm(request.POST, user=user)
    do = request.POST.get("do", "preview")
    if do in ("add", "edit"):
        form = ProposalForm(
            None,
            user=user,
            initial={
                **{name: request.POST.get(name, "") for name in form.fields if name != "add"},
                "programs": request.POST.getlist("programs"),
                "things": form.things,
            },
        )
        return _form_page(request, form)
    if not form.is_valid():
        return _form_page(request, form, status=422)
    if do == "make":
        try:
            made = propose_decisions(
                programs=form.cleaned_data["programs"],
                scopes=form.scopes(),
                rate_ppm=form.cleaned_data["rate"],
                start=form.cleaned_data["start"],
                end=form.cleaned_data["end"],
                reason=form.cleaned_data["reason"],
                evidence=form.cleaned_data["evidence"],
                assumed=form.cleaned_data["assumed"],
                proposal=request.POST.get("token", "")[:80],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
            return _form_page(request, form, status=422)
        messages.success(request, _("Proposed. Somebody else has to check it before it holds."))
        return redirect("marketplace:decision", made[0].pk)
    context = {
        "form": form,
        "preview": _preview(form.drafts(user), user, today),
        "token": uuid4().hex,
        "today": today,
    }
    return render(request, "marketplace/decision_new.html", context)


def _form_page(request: HtmxRequest, form: ProposalForm, status: int = 200) -> HttpResponse:
    return render(
        request, "marketplace/decision_new.html", {"form": form, "today": clock.today()}, status=status
    )


def _initial(params: QueryDict, today: date) -> dict[str, Any]:
    """What an address proposes: ?offerings=a,b or the catalog's ?offering=a&offering=b, else ?publisher=slug, ?path=; ?program=."""
    things = [
        *(thing for thing in params.get("offerings", "").split(",") if thing),
        *params.getlist("offering"),
    ]
    given = ("", "") if things else (params.get("publisher"), params.get("path"))
    return {
        "programs": [p for p in params.get("program", "").split(",") if p in Program.values],
        "kind": "publisher" if given[0] else "path" if given[1] else "offerings",
        "publisher": given[0] or None,
        "path": given[1] or "",
        "things": things,
        "start": today,
    }


@require_safe
@login_required
def find_offerings(request: HtmxRequest) -> HttpResponse:
    """What the field for offerings offers while it is typed into."""
    words = written(request.GET, "add").replace(",", " ").split()[-1:]
    found: QuerySet[Offering] = Offering.objects.none()
    if words and len(words[0]) <= 80:
        found = (
            offerings_for(_keeper(request))
            .filter(Q(slug__icontains=words[0]) | Q(name__icontains=words[0]))
            .select_related("publisher")
            .order_by("name", "id")[:MOST_OFFERED]
        )
    return render(request, "marketplace/_offering_options.html", {"offerings": found})


# --- one decision -----------------------------------------------------------------------------------------


@require_safe
@login_required
def decision(request: HtmxRequest, pk: int) -> HttpResponse:
    user, today = signed_in(request), clock.today()
    found = get_object_or_404(register.decisions_for(user), pk=pk)
    state = state_of(found, today)
    together = [d for d in register.proposed_with(found) if d.checked_at == found.checked_at]
    if not user.has_role(*register.SEES_PROPOSALS):
        together = [found]
    context: dict[str, Any] = {
        "line": _line(found, today),
        "state": state,
        "today": today,
        "together": [_line(d, today) for d in together if d.pk != found.pk],
        "outside": user.has_role(Role.PARTNER),
        "may_check": state == "proposed"
        and user.has_role(Role.CATALOG_MANAGER)
        and found.made_by_id != user.pk,
        "own": found.made_by_id == user.pk,
        "may_withdraw": state in ("proposed", "announced", "in_force", "ended")
        and user.has_role(Role.CATALOG_MANAGER),
        "insider": user.has_role(*register.SEES_PROPOSALS),
    }
    if state == "proposed":
        waiting = [d for d in together if d.superseded_at is None]
        context["preview"] = _preview(waiting, user, today)
    return render(request, "marketplace/decision.html", context)


@require_POST
@login_required
def check(request: HtmxRequest, pk: int) -> HttpResponse:
    """seen: the decisions that whoever checks was told will end; others that overlap by now are refused."""
    user = _keeper(request)
    get_object_or_404(register.decisions_for(user), pk=pk)
    seen = [int(n) for n in request.POST.get("seen", "").split(",") if n.isdecimal() and len(n) < 16]
    try:
        check_decision(decision_id=pk, by=user, at=clock.now(), replacing=bool(seen), only=seen)
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    else:
        messages.success(request, _("Checked: it holds for its days, and everybody concerned is told."))
    return redirect("marketplace:decision", pk)


@require_POST
@login_required
def withdraw(request: HtmxRequest, pk: int) -> HttpResponse:
    user = _keeper(request)
    get_object_or_404(register.decisions_for(user), pk=pk)
    try:
        withdraw_decision(decision_id=pk, by=user, at=clock.now(), reason=request.POST.get("reason", ""))
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    else:
        messages.success(request, _("Withdrawn. It stays in the register, with what was credited under it."))
    return redirect("marketplace:decision", pk)


def _keeper(request: HtmxRequest) -> User:
    """Whoever may decide; to others the page does not exist."""
    user = signed_in(request)
    if not user.has_role(Role.CATALOG_MANAGER):
        raise Http404
    return user
