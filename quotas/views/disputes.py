"""Disputes: the list with its clock, one thread seen by both sides, opening one from any row; and the inbox of numbers that moved."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats
from config.given import given, tidy
from config.language import _, later, spoken_choices
from config.ordering import Orders
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from quotas.forms import minor
from quotas.models import Discrepancy, Dispute, DisputeKind, Measure, Period, Posting, Rep
from quotas.plan_forms import Described
from quotas.selectors import adjustments as adjusting
from quotas.selectors import discrepancies as moved
from quotas.selectors import dispute_tables, periods
from quotas.selectors import disputes as selectors
from quotas.selectors.disputes import Clock, Subject
from quotas.selectors.visibility import SEES_EVERYTHING, deals_for
from quotas.services import discrepancies as seeing
from quotas.services import disputes as services
from quotas.services.disputes import DisputeDraft
from quotas.views import HtmxRequest, signed_in, wants_part
from quotas.views.adjustments import AdjustmentForm, of_dispute

TABS: Final = (("", later("Waiting")), ("answered", later("Answered")), ("all", later("All")))
HEADS: Final[Mapping[str, tuple[str, ...]]] = {
    "due": ("due_at",),
    "opened": ("opened_at",),
    "said": ("last_at",),
    "rep": ("rep__name",),
}
URGENT: Final = Orders(Dispute, "due", **HEADS)
LATEST: Final = Orders(Dispute, "-opened", **HEADS)
ORDERED: Final = {
    "due": later("the most urgent first"),
    "-due": later("the least urgent first"),
    "opened": later("the oldest first"),
    "-opened": later("the latest first"),
    "said": later("the longest silent first"),
    "-said": later("the last word first"),
    "rep": later("by rep"),
    "-rep": later("by rep"),
}


@dataclass(frozen=True, slots=True)
class Row:
    dispute: Dispute
    clock: Clock
    mine: bool  # this person can answer it


@require_safe
@login_required
@vary_on_headers("HX-Request")
def disputes(request: HtmxRequest) -> HttpResponseBase:
    """What waits, the most urgent first unless another order is asked for; or what was answered, or all, the latest first. A fixed number of queries."""
    user, asked, today = _reader(request), request.GET, clock.today()
    show, kind, rep = (given(asked, name) for name in ("show", "kind", "rep"))
    visible = selectors.disputes_for(user, today)
    found = visible
    if show == "":
        found = found.filter(state__in=selectors.OPEN)
    elif show == "answered":
        found = found.exclude(state__in=selectors.OPEN)
    if kind in DisputeKind.values:
        found = found.filter(kind=kind)
    if rep:
        found = found.filter(rep__name__icontains=rep)
    found = selectors.with_last_word(found)
    order, now = (LATEST if show else URGENT).of(asked), clock.now()
    if form := exporting.asked(request):
        table = dispute_tables.disputes(found, at=now, order=order.fields)
        return exporting.answer(
            request, form, name="disputes", title="Disputes", table=table, total=found.count()
        )
    page = order.page(selectors.with_names(found))
    answers = user.has_role(Role.MANAGER, Role.COMP_ADMIN)
    open_ = visible.filter(state__in=selectors.OPEN)
    context = {
        "rows": [
            Row(
                each,
                selectors.clock_of(each, now),
                answers and user.pk not in (each.rep.user_id, each.opened_by_id),
            )
            for each in page.rows
        ],
        "tabs": TABS,
        "show": show,
        "kind": kind,
        "kinds": [("", _("Everything wrong")), *spoken_choices(DisputeKind.choices)],
        "rep": rep,
        "ordered": ORDERED[order.sort],
        "narrowed": bool(kind or rep),
        "waiting": open_.count(),
        "late": open_.filter(due_at__lt=now).count(),
        "own_only": not answers and not user.has_role(*SEES_EVERYTHING),
        "may_open": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
        **page.context,
        "today": today,
    }
    part = wants_part(request) and request.htmx.target == "disputes"
    return render(request, "quotas/disputes.html" + ("#list" if part else ""), context)


# --- opening one --------------------------------------------------------------------------------------------------


class DisputeForm(Described):
    """What somebody says is wrong. What a row says already has no field."""

    rep = forms.ChoiceField(label=later("Whose number"), choices=())
    kind = forms.ChoiceField(label=later("What is wrong"), choices=spoken_choices(DisputeKind.choices))
    deal = forms.CharField(
        label=later("Deal"),
        required=False,
        max_length=20,
        help_text=later("Leave it empty if it is about a whole period."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "D-000123"}),
    )
    period = forms.CharField(
        label=later("Period"),
        required=False,
        max_length=10,
        help_text=later("As it is named, such as FY27-M01."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "list": "periods", "placeholder": "FY27-M01"}),
    )
    measure = forms.ChoiceField(label=later("Measure"), required=False, choices=())
    claimed = forms.CharField(
        label=later("What it ought to be"),
        required=False,
        max_length=24,
        help_text=later("If you know: the amount that you expect."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "decimal", "class": "num-in"}),
    )
    text = forms.CharField(
        label=later("What happened"),
        max_length=services.LONGEST,
        help_text=later("What you expected, and why. Both sides read it."),
        error_messages={"required": later("Say what is wrong and why.")},
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    def __init__(self, *args: Any, about: Subject, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.about = about
        self.measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
        self.fields["rep"].choices = [(each.slug, each.name) for each in about.reps]  # type: ignore[attr-defined]
        self.fields["measure"].choices = [  # type: ignore[attr-defined]
            ("", _("Not about one")),
            *((m.slug, m.name) for m in self.measures),
        ]
        if len(about.reps) == 1:
            self.fields["rep"].widget = forms.HiddenInput()
            self.fields["rep"].initial = about.reps[0].slug
        self.fields["kind"].initial = about.likely_kind
        if about.measure is not None:
            del self.fields["measure"]
        if about.deal is not None or about.entry is not None or about.quota is not None:
            del self.fields["deal"]
        if about.period is not None or about.deal is not None:
            del self.fields["period"]

    def clean(self) -> dict[str, Any]:
        cleaned = dict(super().clean() or self.cleaned_data)
        measure = self.about.measure or next(
            (m for m in self.measures if m.slug == cleaned.get("measure")), None
        )
        cleaned["of_measure"] = measure
        cleaned["claimed_minor"] = None
        if cleaned.get("claimed"):
            if measure is None:
                self.add_error("claimed", _("Say in which measure you mean the amount."))
            else:
                exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
                cleaned["claimed_minor"] = minor(cleaned["claimed"], exponent)
                if cleaned["claimed_minor"] is None:
                    self.add_error(
                        "claimed",
                        formats.misread(cleaned["claimed"]) or _("Enter an amount, such as 1250.00."),
                    )
        number = str(cleaned.get("deal") or "").strip().upper().removeprefix("D-")
        cleaned["deal_id"] = (
            int(number) if number.isascii() and number.isdecimal() and len(number) < 16 else None
        )
        if number and cleaned["deal_id"] is None:
            self.add_error("deal", _("Enter a deal's number, such as D-000123."))
        name = tidy(cleaned.get("period"))
        cleaned["of_period"] = Period.objects.filter(name__iexact=name).first() if name else self.about.period
        if name and cleaned["of_period"] is None:
            self.add_error("period", _("There is no period of that name, such as FY27-M01."))
        return cleaned

    def draft(self) -> DisputeDraft:
        asked, about = self.cleaned_data, self.about
        rep = next(each for each in about.reps if each.slug == asked["rep"])
        measure, period = asked["of_measure"], asked["of_period"]
        return DisputeDraft(
            rep_id=rep.pk,
            kind=asked["kind"],
            text=asked["text"],
            entry_id=about.entry.pk if about.entry else None,
            deal_id=about.deal.pk if about.deal else asked["deal_id"],
            quota_id=about.quota.pk if about.quota else None,
            period_id=period.pk if period and not about.entry else None,
            measure_id=measure.pk if measure else None,
            claimed_minor=asked["claimed_minor"],
        )


@require_http_methods(["GET", "POST"])
@login_required
def new(request: HtmxRequest) -> HttpResponse:
    """?entry=, ?deal=, ?quota= or ?period= says what it is about; without one the form asks."""
    user = _reader(request)
    about = _subject(request, user)
    if request.method == "GET":
        return _new_page(request, DisputeForm(about=about), about)
    form = DisputeForm(request.POST, about=about)
    if form.is_valid():
        try:
            dispute = services.open_dispute(draft=form.draft(), by=user, at=clock.now())
        except Refusal as refused:
            for problem in form.place(refused.problems):
                form.add_error(None, problem.message)
        else:
            messages.success(
                request,
                _("%(dispute_reference)s is open. An answer is due by %(due_at)s.")
                % {
                    "dispute_reference": dispute.reference,
                    "due_at": formats.day(clock.day_of(dispute.due_at)),
                },
            )
            return redirect("quotas:dispute", dispute.pk)
    return _new_page(request, form, about)


def _new_page(request: HtmxRequest, form: DisputeForm, about: Subject) -> HttpResponse:
    today = clock.today()
    names = [p.name for p in periods.all_periods() if p.starts <= today] if "period" in form.fields else []
    context = {"form": form, "about": about, "periods": names, "today": today}
    return render(
        request, "quotas/dispute_new.html", context, status=422 if form.is_bound and form.errors else 200
    )


def _subject(request: HtmxRequest, user: User) -> Subject:
    """What the address says it is about. Raises Http404 for what this person cannot dispute."""
    asked, today = request.GET, clock.today()
    numbers: dict[str, int | None] = {}
    for name in ("entry", "deal", "quota"):
        text = given(asked, name).upper().removeprefix("D-")
        if text and not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise Http404
        numbers[f"{name}_id"] = int(text) if text else None
    named = given(asked, "period")
    period = Period.objects.filter(name=named).first() if named else None
    slug = given(asked, "rep")
    rep = Rep.objects.filter(slug=slug).first() if slug else None
    if (named and period is None) or (slug and rep is None):
        raise Http404
    found = selectors.subject(user, today, period=period, rep=rep, **numbers)
    if found is None or not found.reps:
        raise Http404
    return found


# --- one of them --------------------------------------------------------------------------------------------------


class AnswerForm(AdjustmentForm):
    """The adjustment that goes with an accepted dispute; its rep is the dispute's."""

    prefix = "adjustment"

    def __init__(self, *args: Any, rep: Rep, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.whose = rep
        del self.fields["rep"], self.fields["dispute"]

    def clean(self) -> dict[str, Any]:
        return {**super().clean(), "rep": self.whose, "dispute": None}


@require_safe
@login_required
def dispute(request: HtmxRequest, pk: int) -> HttpResponse:
    return _page(request, _reader(request), pk)


def _page(
    request: HtmxRequest,
    user: User,
    pk: int,
    *,
    wrong: Iterable[Problem] = (),
    do: str = "",
    text: str = "",
    answer: AnswerForm | None = None,
) -> HttpResponse:
    today, now = clock.today(), clock.now()
    found = selectors.with_names(selectors.disputes_for(user, today)).filter(pk=pk).first()
    if found is None:
        raise Http404
    is_open = found.state in selectors.OPEN
    may_answer = is_open and selectors.may_answer(user, found, today)
    mine = user.pk in (found.rep.user_id, found.opened_by_id)
    problems = list(wrong)
    doing = do or given(request.GET, "do")
    kept = found.evidence
    measures = {m.slug: m for m in Measure.objects.select_related("currency")}
    people = Rep.objects.in_bulk([share["rep"] for share in (kept.get("deal") or {}).get("shares", ())])
    context = {
        "dispute": found,
        "clock": selectors.clock_of(found, now),
        "thread": list(found.messages.select_related("by").order_by("pk")),
        "adjustments": list(
            adjusting.with_people(adjusting.adjustments_for(user, today).filter(dispute=found)).order_by("pk")
        ),
        "evidence": _shown(kept, measures, people),
        "is_open": is_open,
        "may_answer": may_answer,
        "may_take": may_answer and found.assigned_to_id != user.pk,
        "may_speak": is_open and selectors.may_speak(user, found, today),
        "may_withdraw": is_open and mine,
        "sees_deal": found.deal_id is not None and deals_for(user, today).filter(pk=found.deal_id).exists(),
        "do": doing,
        "asks": (may_answer and doing in ("accept", "reject", "adjust"))
        or (is_open and mine and doing == "withdraw"),
        "answer": answer
        or (
            AnswerForm(rep=found.rep, initial=of_dispute(found)) if may_answer and doing == "adjust" else None
        ),
        "wrong": problems,
        "text": text,
    }
    failed = problems or (answer is not None and answer.errors)
    return render(request, "quotas/dispute.html", context, status=422 if failed else 200)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Evidence in the words of its page."""

    deal: dict[str, Any] | None
    shares: Sequence[tuple[str, int]]
    credits: Sequence[tuple[Measure | None, dict[str, Any]]]
    gaps: Sequence[dict[str, Any]]
    quotas: Sequence[tuple[Measure | None, dict[str, Any]]]
    totals: Sequence[tuple[Measure | None, str, int]]
    plan_versions: Sequence[str]


def _shown(kept: dict[str, Any], measures: dict[str, Measure], people: dict[int, Rep]) -> Frozen:
    deal = kept.get("deal")
    sums: dict[tuple[str, str], int] = {}
    for total in kept.get("totals", ()):
        key = total["measure"], total["period"]
        sums[key] = sums.get(key, 0) + total["direct_minor"] + total["overlay_minor"]
    return Frozen(
        deal=deal,
        shares=[
            (
                people[share["rep"]].name
                if share["rep"] in people
                else _("Rep %(share)s") % {"share": share["rep"]},
                share["ppm"],
            )
            for share in (deal or {}).get("shares", ())
        ],
        credits=[(measures.get(credit["measure"]), credit) for credit in kept.get("credits", ())],
        gaps=kept.get("without_credit", ()),
        quotas=[(measures.get(quota["measure"]), quota) for quota in kept.get("quotas", ())],
        totals=[(measures.get(measure), period, amount) for (measure, period), amount in sums.items()],
        plan_versions=kept.get("plan_versions", ()),
    )


@posted_from("quotas:dispute", "pk")
@login_required
def act(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """Say something, take it, accept or reject it, or withdraw it."""
    user, now = _reader(request), clock.now()
    text = request.POST.get("text", "")
    number = request.POST.get("revision", "")
    about: dict[str, Any] = {"dispute_id": pk, "by": user, "at": now}
    seen: dict[str, Any] = {
        "expected_revision": int(number) if number.isdecimal() and len(number) < 9 else None
    }
    answer: AnswerForm | None = None
    try:
        if action == "say":
            services.say(text=text, **about)
        elif action == "take":
            services.take(**about, **seen)
        elif action == "withdraw":
            services.withdraw(text=text, **about, **seen)
        elif action in ("accept", "reject"):
            services.resolve(accept=action == "accept", text=text, **about, **seen)
        elif action == "adjust":
            found = selectors.disputes_for(user, clock.today()).select_related("rep").filter(pk=pk).first()
            if found is None:
                raise Http404
            answer = AnswerForm(request.POST, rep=found.rep)
            if not answer.is_valid():
                return _page(request, user, pk, do=action, text=text, answer=answer)
            services.resolve(accept=True, text=text, adjustment=answer.draft(), **about, **seen)
        else:
            raise Http404
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        problems = answer.place(refused.problems) if answer is not None else list(refused.problems)
        return _page(request, user, pk, wrong=problems, do=action, text=text, answer=answer)
    messages.success(request, _SAID[action])
    return redirect("quotas:dispute", pk)


_SAID: Final = {
    "say": later("Your message is in the thread."),
    "take": later("You look into it. The other side sees that."),
    "withdraw": later("It is withdrawn."),
    "accept": later("It is accepted. The rep has been told."),
    "reject": later("It is rejected. The rep has been told why."),
    "adjust": later("It is accepted, and the adjustment waits for another comp admin."),
}


def waiting_count(request: HttpRequest) -> int:
    """Open ones: for who answers, what they can answer; for a rep the own ones."""
    user = request.user
    if not isinstance(user, User) or not user.has_role(*selectors.READERS):
        return 0
    if user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        return selectors.waiting_for(user, clock.today()).count()
    if user.has_role(Role.AUDITOR):
        return Dispute.objects.filter(state__in=selectors.OPEN).count()
    return Dispute.objects.filter(state__in=selectors.OPEN, rep__user=user).count()


# --- numbers that moved -------------------------------------------------------------------------------------------


MOVED: Final = Orders(Discrepancy, "-moved", moved=("id",), period=("period__starts",), rep=("rep__name",))
MOVED_ORDERED: Final = {
    "-moved": later("the latest first"),
    "moved": later("the oldest first"),
    "period": later("the earliest month first"),
    "-period": later("the latest month first"),
    "rep": later("by rep"),
    "-rep": later("by rep"),
}


@dataclass(frozen=True, slots=True)
class MovedRow:
    discrepancy: Discrepancy
    cause: moved.Cause
    mine: bool

    @property
    def change_minor(self) -> int:
        return self.discrepancy.now_minor - self.discrepancy.shown_minor


@require_safe
@login_required
@vary_on_headers("HX-Request")
def discrepancies(request: HtmxRequest) -> HttpResponseBase:
    """Numbers that moved after they had been shown, the latest first: one's own, the team's, everybody's. A fixed number of queries."""
    user, asked, today = _reader(request), request.GET, clock.today()
    show, rep, number = (given(asked, name) for name in ("show", "rep", "posting"))
    visible = moved.discrepancies_for(user, today)
    own = moved.own_discrepancies(user)
    team = user.has_role(Role.MANAGER, *SEES_EVERYTHING)
    found = visible
    if show == "new":
        found = found.filter(seen_at=None)
    elif show == "mine":
        found = own
    if rep:
        found = found.filter(rep__name__icontains=rep)
    posting = None
    if number:
        if not (number.isdecimal() and len(number) < 16):
            raise Http404
        posting = Posting.objects.filter(pk=int(number)).first()
        found = found.filter(posting=int(number))
    order = MOVED.of(asked)
    if form := exporting.asked(request):
        table = dispute_tables.discrepancies(found, order=order.fields)
        return exporting.answer(
            request,
            form,
            name="numbers that moved",
            title="Numbers that moved",
            table=table,
            total=found.count(),
        )
    page = order.page(moved.with_names(found))
    context = {
        "rows": [
            MovedRow(each, moved.cause_of(each.posting), each.rep.user_id == user.pk) for each in page.rows
        ],
        "postings": [
            (each, moved.cause_of(each), n, new) for each, n, new in moved.counted_by_posting(visible, 8)
        ]
        if team
        else [],
        "posting": posting,
        "team": team,
        "show": show,
        "rep": rep,
        "ordered": MOVED_ORDERED[order.sort],
        "narrowed": bool(show or rep or number),
        "unseen": own.filter(seen_at=None).count(),
        "may_dispute": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
        **page.context,
        "today": today,
    }
    part = wants_part(request) and request.htmx.target == "moved"
    return render(request, "quotas/discrepancies.html" + ("#list" if part else ""), context)


@require_POST
@login_required
def seen(request: HtmxRequest) -> HttpResponse:
    """Mark one's own as looked at: those named, or all of them."""
    user = _reader(request)
    numbers = request.POST.getlist("discrepancy")
    if any(not (n.isdecimal() and len(n) < 16) for n in numbers):
        raise Http404
    ids = [int(n) for n in numbers] or list(
        moved.own_discrepancies(user).filter(seen_at=None).values_list("pk", flat=True)
    )
    try:
        seeing.mark_seen(discrepancy_ids=ids, by=user, at=clock.now())
    except NotFound as missing:
        raise Http404 from missing
    return redirect("quotas:discrepancies")


def unseen_count(request: HttpRequest) -> int:
    """Own numbers that moved and were not looked at."""
    user = request.user
    return moved.unseen(user) if isinstance(user, User) and user.has_role(Role.REP, Role.MANAGER) else 0


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not user.has_role(*selectors.READERS):
        raise Http404
    return user
