"""Adjustments: what was given or taken by hand, what waits for its second person, and asking for one."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting, formats
from config.given import given
from config.language import _, later, spoken_choices
from config.ordering import Orders
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from quotas.forms import minor
from quotas.models import Adjustment, AdjustmentState, Dispute, Measure, Rep
from quotas.plan_forms import Described
from quotas.selectors import adjustments as selectors
from quotas.selectors import dispute_tables
from quotas.selectors.disputes import disputes_for, may_dispute
from quotas.selectors.visibility import SEES_EVERYTHING, deals_for
from quotas.services import adjusting
from quotas.services.adjusting import BY_HAND, AdjustmentDraft
from quotas.views import HtmxRequest, signed_in, wants_part
from quotas.views.facts import Thing

PAGE: Final = 50
ORDERS: Final = Orders(Adjustment)
STATES: Final = (("", later("Every state")), *spoken_choices(AdjustmentState.choices))


class AdjustmentForm(Described):
    """What is asked for, as it is entered."""

    rep = Thing(Rep, later("Rep"))
    measure = forms.ChoiceField(label=later("Measure"), choices=())
    amount = forms.CharField(
        label=later("Amount"),
        max_length=24,
        help_text=later("In the measure's currency; with a minus it takes credit away."),
        error_messages={"required": later("Enter an amount.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "text", "class": "num-in"}),
    )
    credit_date = forms.DateField(
        label=later("Credit date"),
        help_text=later("It picks the team and the month. Of a closed month it goes to the open one."),
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2026-08-14."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason_code = forms.ChoiceField(
        label=later("Reason"), choices=spoken_choices((each.value, each.label) for each in BY_HAND)
    )
    deal = forms.CharField(
        label=later("Deal"),
        required=False,
        max_length=20,
        help_text=later("What it is about: cancelling the deal undoes it."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "D-000123"}),
    )
    note = forms.CharField(
        label=later("Why"),
        max_length=adjusting.LONGEST_NOTE,
        help_text=later("The rep and the auditors read it."),
        error_messages={"required": later("Say why.")},
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    confirmed = forms.BooleanField(label=later("The credit date is meant"), required=False)
    dispute = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
        self.fields["measure"].choices = [(m.slug, m.name) for m in self.measures]  # type: ignore[attr-defined]
        # Whether the credit date has to be confirmed, and is asked about.
        self.far_off = self.is_bound and bool(self.data.get(self.add_prefix("confirmed")))

    def clean(self) -> dict[str, Any]:
        cleaned = dict(super().clean() or self.cleaned_data)
        measure = next((m for m in self.measures if m.slug == cleaned.get("measure")), None)
        cleaned["measure"] = measure
        if measure is not None and cleaned.get("amount"):
            exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
            cleaned["amount_minor"] = minor(cleaned["amount"], exponent)
            if cleaned["amount_minor"] is None:
                in_ = (
                    _(" in %(currency_code)s") % {"currency_code": measure.currency.code}
                    if measure.currency
                    else ""
                )
                self.add_error(
                    "amount",
                    formats.misread(cleaned["amount"])
                    or _("Enter an amount%(in)s, such as 250 or -250.") % {"in": in_},
                )
        reference = str(cleaned.get("deal") or "").strip().upper().removeprefix("D-")
        cleaned["deal_id"] = None
        if reference:
            if reference.isascii() and reference.isdecimal() and len(reference) < 16:
                cleaned["deal_id"] = int(reference)
            else:
                self.add_error("deal", _("Enter a deal's number, such as D-000123."))
        return cleaned

    def draft(self) -> AdjustmentDraft:
        asked = self.cleaned_data
        return AdjustmentDraft(
            rep_id=asked["rep"].pk,
            measure_id=asked["measure"].pk,
            amount_minor=asked["amount_minor"],
            credit_date=asked["credit_date"],
            reason_code=asked["reason_code"],
            note=asked["note"],
            deal_id=asked["deal_id"],
            dispute_id=asked["dispute"],
            confirmed=asked["confirmed"],
        )

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        problems = list(problems)
        if any(problem.code == "credit_date_far_off" for problem in problems):
            self.far_off = True
        return super().place(problems)


@require_safe
@login_required
@vary_on_headers("HX-Request")
def adjustments(request: HtmxRequest) -> HttpResponseBase:
    """What this person may see, the latest first, narrowed by state, rep, measure and deal. A fixed number of queries."""
    user, asked, today = _reader(request), request.GET, clock.today()
    state, rep, measure = (given(asked, name) for name in ("state", "rep", "measure"))
    found = selectors.adjustments_for(user, today)
    if state in AdjustmentState.values:
        found = found.filter(state=state)
    if rep:
        found = found.filter(rep__name__icontains=rep)
    if measure:
        found = found.filter(measure__slug=measure)
    if form := exporting.asked(request):
        table = dispute_tables.adjustments(found)
        return exporting.answer(
            request, form, name="adjustments", title="Adjustments", table=table, total=found.count()
        )
    page = ORDERS.of(asked).page(selectors.with_people(found), PAGE)
    waiting = list(selectors.with_people(selectors.waiting_for(user)).order_by("asked_at", "pk")[:PAGE])
    context = {
        "adjustments": page.rows,
        "waiting": waiting,
        "state": state,
        "states": STATES,
        "rep": rep,
        "measure": measure,
        "measures": Measure.objects.order_by("position", "pk"),
        "narrowed": bool(state or rep or measure),
        "may_ask": selectors.may_ask(user),
        **page.context,
        "today": today,
    }
    part = wants_part(request) and request.htmx.target == "adjustments"
    return render(request, "quotas/adjustments.html" + ("#list" if part else ""), context)


@require_http_methods(["GET", "POST"])
@login_required
def new(request: HtmxRequest) -> HttpResponse:
    """Fill it in, see where it would go, ask for it."""
    user, today = _reader(request), clock.today()
    if not selectors.may_ask(user):
        raise Http404
    if request.method == "GET":
        return _form_page(request, AdjustmentForm(initial=_initial(request, user, today)))
    form = AdjustmentForm(request.POST)
    if not form.is_valid():
        return _form_page(request, form)
    draft = form.draft()
    try:
        if draft.dispute_id and not disputes_for(user, today).filter(pk=draft.dispute_id).exists():
            raise NotFound.of("unknown_dispute", _("There is no such dispute."))
        if request.POST.get("do") != "ask":
            where = adjusting.check(draft, by=user, at=clock.now())
            if request.POST.get("do") == "edit":
                return _form_page(request, form)
            return _form_page(request, form, where=where)
        asked = adjusting.ask_adjustment(draft=draft, by=user, at=clock.now())
    except Refusal as refused:
        for problem in form.place(refused.problems):
            form.add_error(None, problem.message)
        return _form_page(request, form)
    messages.success(
        request,
        _("%(asked_reference)s waits for another comp admin. Nothing counts before.")
        % {"asked_reference": asked.reference},
    )
    return redirect("quotas:adjustment", asked.pk)


def _form_page(
    request: HtmxRequest, form: AdjustmentForm, *, where: selectors.Destination | None = None
) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "where": where, "today": clock.today()}
    if where is not None:
        asked = form.cleaned_data
        deal = (
            deals_for(signed_in(request), clock.today())
            .select_related("customer")
            .filter(pk=asked["deal_id"])
            .first()
            if asked["deal_id"]
            else None
        )
        context |= {
            "asked": asked,
            "deal": deal,
            "sent": [(name, form.data.get(name, "")) for name in form.fields if form.data.get(name)],
            "reason": dict(form.fields["reason_code"].choices)[asked["reason_code"]],  # type: ignore[attr-defined]
            "dispute": Dispute.objects.filter(pk=asked["dispute"]).first() if asked["dispute"] else None,
        }
    return render(
        request, "quotas/adjustment_new.html", context, status=422 if form.is_bound and form.errors else 200
    )


def _initial(request: HttpRequest, user: User, today: date) -> dict[str, Any]:
    """What the address says: ?rep=slug&measure=slug&deal=D-1&dispute=2&credit_date=."""
    asked = request.GET
    initial: dict[str, Any] = {
        name: given(asked, name) for name in ("measure", "deal", "credit_date", "reason_code", "amount")
    }
    initial["credit_date"] = initial["credit_date"] or today
    rep = selectors.adjustable_reps(user, today).filter(slug=given(asked, "rep")).first()
    if rep is not None:
        initial["rep"] = rep.name
    number = given(asked, "dispute")
    if number.isdecimal() and len(number) < 16:
        dispute = (
            disputes_for(user, today)
            .select_related("rep", "deal", "measure__currency", "period")
            .filter(pk=int(number))
            .first()
        )
        if dispute is not None:
            initial |= of_dispute(dispute)
    return initial


def of_dispute(dispute: Dispute) -> dict[str, Any]:
    """What an adjustment that answers a dispute begins with."""
    kept = dispute.evidence.get("deal") or {}
    initial: dict[str, Any] = {
        "dispute": dispute.pk,
        "rep": dispute.rep.name,
        "deal": dispute.deal.reference if dispute.deal and dispute.deal.state == "approved" else "",
        "reason_code": {
            "missing_credit": "missing_credit",
            "wrong_amount": "wrong_amount",
            "split": "wrong_split",
            "period": "wrong_period",
            "owner": "wrong_owner",
        }.get(dispute.kind, "goodwill"),
        "note": _("Answers %(dispute_reference)s.") % {"dispute_reference": dispute.reference},
    }
    if kept.get("close_date"):
        initial["credit_date"] = kept["close_date"]
    elif dispute.period is not None:
        initial["credit_date"] = min(clock.today(), dispute.period.starts)
    if dispute.measure is not None:
        initial["measure"] = dispute.measure.slug
        if dispute.claimed_minor is not None:
            standing = sum(
                credit["amount_minor"]
                for credit in dispute.evidence.get("credits", ())
                if credit["measure"] == dispute.measure.slug
            )
            currency = dispute.measure.currency
            exponent = currency.exponent if currency else formats.COUNT_EXPONENT
            initial["amount"] = formats.entered(Decimal(dispute.claimed_minor - standing).scaleb(-exponent))
    return initial


@require_safe
@login_required
def adjustment(request: HtmxRequest, pk: int) -> HttpResponse:
    return _page(request, _reader(request), pk)


def _page(
    request: HtmxRequest, user: User, pk: int, *, wrong: Iterable[Problem] = (), do: str = "", note: str = ""
) -> HttpResponse:
    today = clock.today()
    found = selectors.with_people(selectors.adjustments_for(user, today)).filter(pk=pk).first()
    if found is None:
        raise Http404
    asked = found.state == AdjustmentState.ASKED
    undo = getattr(found, "undone_by", None)
    admin = user.has_role(Role.COMP_ADMIN)
    own = found.rep.user_id == user.pk
    problems = list(wrong)
    context = {
        "adjustment": found,
        "entries": selectors.entries_of(found) if found.state == AdjustmentState.POSTED else [],
        "where": selectors.open_month(found.origin_period) if asked and found.undoes_id is None else None,
        "undo": undo,
        "sees_deal": found.deal_id is not None and deals_for(user, today).filter(pk=found.deal_id).exists(),
        "may_decide": asked and admin and found.asked_by_id != user.pk and not own,
        "own_request": asked and found.asked_by_id == user.pk,
        "may_undo": found.state == AdjustmentState.POSTED
        and found.undoes_id is None
        and undo is None
        and admin
        and not own,
        "may_dispute": may_dispute(user, found.rep, today) and found.state == AdjustmentState.POSTED,
        "sees_list": user.has_role(Role.MANAGER, *SEES_EVERYTHING),
        "wrong": problems,
        "do": do or request.GET.get("do", ""),
        "note": note,
    }
    return render(request, "quotas/adjustment.html", context, status=422 if problems else 200)


@posted_from("quotas:adjustment", "pk")
@login_required
def act(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """Approve, reject, withdraw or ask to undo."""
    user, now = _reader(request), clock.now()
    note = request.POST.get("note", "")
    try:
        if action in ("approve", "reject"):
            done = adjusting.decide_adjustment(
                adjustment_id=pk, approve=action == "approve", by=user, at=now, note=note
            )
        elif action == "withdraw":
            done = adjusting.withdraw_adjustment(adjustment_id=pk, by=user, at=now, note=note)
        elif action == "undo":
            done = adjusting.undo_adjustment(adjustment_id=pk, by=user, at=now, note=note)
        else:
            raise Http404
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _page(request, user, pk, wrong=refused.problems, do=action, note=note)
    messages.success(request, _said(done, action))
    return redirect("quotas:adjustment", done.pk)


def _said(done: Adjustment, action: str) -> str:
    if action == "approve":
        (entry, *_rest) = selectors.entries_of(done)
        where = entry.posting_period.name
        late = (
            _("; %(origin_period_name)s is closed") % {"origin_period_name": entry.origin_period.name}
            if entry.posting_period_id != entry.origin_period_id
            else ""
        )
        return _("%(done_reference)s is posted in %(where)s%(late)s.") % {
            "done_reference": done.reference,
            "where": where,
            "late": late,
        }
    return {
        "reject": _("%(done_reference)s is turned down. Nothing was posted.")
        % {"done_reference": done.reference},
        "withdraw": _("%(done_reference)s is withdrawn. Nothing was posted.")
        % {"done_reference": done.reference},
        "undo": _("%(done_reference)s asks for the exact opposite and waits for another comp admin.")
        % {"done_reference": done.reference},
    }[action]


def waiting_count(request: HttpRequest) -> int:
    """What this person is to decide on, for the navigation. 1 query."""
    user = request.user
    return selectors.waiting_for(user).count() if isinstance(user, User) else 0


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not user.has_role(*selectors.READERS):
        raise Http404
    return user
