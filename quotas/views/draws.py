"""Draws: who has one, what is owed of it; a comp admin sets and ends them with a reason, auditors read."""

from collections.abc import Iterable
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.exports import Amount, Column, Table
from config.given import given, tidy, written
from config.language import _, later
from config.paging import paged
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from marketplace.models import Currency
from quotas.forms import minor, named, sought
from quotas.models import Rep
from quotas.plan_forms import Described, next_day
from quotas.selectors.earnings import DrawShown, draws_shown
from quotas.selectors.visibility import SEES_EVERYTHING
from quotas.services.draws import end_draw, set_draw
from quotas.views import HtmxRequest, signed_in

TEXT: Final = {"autocomplete": "off"}
STATES: Final = {"running": later("Running"), "coming": later("To come"), "over": later("Over")}


def _day(label: str, *, required: bool, help_text: str) -> forms.DateField:
    return forms.DateField(
        label=label,
        required=required,
        help_text=help_text,
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2026-10-01."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


class DrawForm(Described):
    """A draw as it is entered."""

    rep = forms.CharField(
        label=later("Rep"),
        max_length=150,
        help_text=later("The whole name, or the employee number."),
        error_messages={"required": later("Say who gets it.")},
        widget=forms.TextInput(attrs=sought("reps")),
    )
    amount = forms.CharField(
        label=later("A month"),
        max_length=24,
        help_text=later("The least pay of each month that begins in its days."),
        error_messages={"required": later("Enter an amount.")},
        widget=forms.TextInput(attrs={**TEXT, "inputmode": "decimal", "class": "num-in"}),
    )
    currency = forms.ChoiceField(
        choices=(),
        help_text=later("Earnings in another currency do not count against it."),
        label=later("Currency"),
    )
    starts = _day(later("First day"), required=True, help_text=later("In a month that was never closed."))
    last = _day(later("Last day"), required=False, help_text=later("Empty: until further notice."))
    recoverable = forms.BooleanField(
        label=later("Recoverable: taken back from what later months earn above it"),
        required=False,
        initial=True,
    )
    reason = forms.CharField(
        max_length=500,
        help_text=later("It is kept with the draw."),
        error_messages={"required": later("Say why.")},
        widget=forms.TextInput(attrs=TEXT),
        label=later("Reason"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        self.fields["currency"].choices = [(code, code) for code in self.currencies]  # type: ignore[attr-defined]
        if "USD" in self.currencies:
            self.fields["currency"].initial = "USD"

    def clean_rep(self) -> Rep:
        name = tidy(self.cleaned_data["rep"])
        found = list(Rep.objects.filter(employee_no=name)) or named(Rep.objects.all(), [name])[name]
        if not found:
            raise forms.ValidationError(_("Nobody sells under this name: choose one of the list."))
        if len(found) > 1:
            raise forms.ValidationError(_("Several people have this name: enter the employee number."))
        return found[0]

    def clean(self) -> dict[str, Any]:
        cleaned = dict(super().clean() or self.cleaned_data)
        currency = self.currencies.get(cleaned.get("currency", ""))
        if cleaned.get("amount") and currency is not None:
            amount = minor(cleaned["amount"], currency.exponent)
            if amount is None or amount <= 0:
                self.add_error(
                    "amount",
                    formats.misread(cleaned["amount"])
                    or _("Enter an amount in %(currency_code)s, such as %(example)s.")
                    % {"currency_code": currency.code, "example": formats.whole(3000)},
                )
            cleaned["amount_minor"] = amount
        return cleaned

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        return super().place(
            Problem(p.code, p.message, p.pointer.replace("/ends", "/last")) for p in problems
        )


@require_safe
@login_required
def index(request: HtmxRequest) -> HttpResponseBase:
    """Every draw that stands; ?set opens the form, for the rep of ?rep=."""
    user = _reader(request)
    shown = draws_shown(Rep.objects.all(), clock.today())
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name="draws", title="Draws", table=_table(shown), total=len(shown)
        )
    who = given(request.GET, "rep")
    name = Rep.objects.filter(slug=who).values_list("name", flat=True).first() if who else None
    return _page(request, user, shown, DrawForm(initial={"rep": name or ""}), opened="set" in request.GET)


@posted_from("quotas:draws")
@login_required
def set_one(request: HtmxRequest) -> HttpResponse:
    user = _writer(request)
    form = DrawForm(request.POST)
    if form.is_valid():
        entered = form.cleaned_data
        try:
            made = set_draw(
                rep_id=entered["rep"].pk,
                amount_minor=entered["amount_minor"],
                currency=entered["currency"],
                recoverable=entered["recoverable"],
                starts=entered["starts"],
                ends=next_day(entered["last"]),
                reason=tidy(entered["reason"]),
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            for problem in form.place(refused.problems):
                form.add_error(None, problem.message)
        else:
            messages.success(request, _("%(rep_name)s has a draw.") % {"rep_name": made.rep.name})
            return redirect("quotas:draws")
    return _page(request, user, draws_shown(Rep.objects.all(), clock.today()), form, opened=True)


@posted_from("quotas:draws")
@login_required
def end(request: HtmxRequest, pk: int) -> HttpResponse:
    """Let a draw end on the day that is entered, that day included."""
    user = _writer(request)
    try:
        ends = next_day(forms.DateField().clean(request.POST.get("last")))
    except forms.ValidationError:
        ends = None
    if ends is None:
        return _refused(
            request, user, pk, [Problem("last_day_missing", _("Choose the last day of the draw."))]
        )
    try:
        end_draw(
            draw_id=pk,
            ends=ends,
            reason=written(request.POST, "reason"),
            by=user,
            at=clock.now(),
        )
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _refused(request, user, pk, refused.problems)
    messages.success(request, _("The draw ends; what is owed of it is still taken back."))
    return redirect("quotas:draws")


def _refused(request: HtmxRequest, user: User, pk: int, wrong: Iterable[Problem]) -> HttpResponse:
    shown = draws_shown(Rep.objects.all(), clock.today())
    return _page(request, user, shown, DrawForm(), opened=False, about=pk, wrong=list(wrong))


def _page(
    request: HtmxRequest,
    user: User,
    shown: list[DrawShown],
    form: DrawForm,
    *,
    opened: bool,
    about: int = 0,
    wrong: list[Problem] | None = None,
) -> HttpResponse:
    may_write = user.has_role(Role.COMP_ADMIN)
    context = {
        "page": paged(request, shown),
        "shown": shown,
        "form": form,
        "opened": (opened or form.is_bound) and may_write,
        "may_write": may_write,
        "about": about,
        "wrong": wrong or [],
        "today": clock.today(),
    }
    return render(request, "quotas/draws.html", context, status=422 if form.errors or wrong else 200)


def _table(shown: list[DrawShown]) -> Table:
    def rows() -> Iterable[tuple[Any, ...]]:
        for each in shown:
            draw, currency = each.draw, each.draw.currency
            yield (
                *(draw.rep.employee_no, draw.rep.slug, draw.rep.name),
                Amount(draw.amount_minor, currency.code, currency.exponent),
                Amount(each.balance, currency.code, currency.exponent),
                *(draw.recoverable, draw.effective.lower, each.last),
                *(STATES[each.state], draw.reason),
            )

    return Table(
        [
            Column("employee_no", "Employee number"),
            Column("rep", "Rep"),
            Column("name", "Name"),
            Column("amount", "A month", "money", "Currency"),
            Column("owed", "Still to be taken back", "money", "Currency"),
            Column("recoverable", "Recoverable", "flag"),
            Column("first_day", "First day", "date"),
            Column("last_day", "Last day", "date"),
            Column("state", "State"),
            Column("reason", "Reason"),
        ],
        rows,
    )


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not user.has_role(*SEES_EVERYTHING):
        raise Http404
    return user


def _writer(request: HtmxRequest) -> User:
    user = _reader(request)
    if not user.has_role(Role.COMP_ADMIN):
        raise Http404
    return user
