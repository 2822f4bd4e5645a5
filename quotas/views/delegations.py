"""Who stands in for whom, and above which amount two people approve. Managers delegate their own; comp admins see to the rest; auditors read."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.exports import Column, Table
from config.language import _, later
from config.paging import paged
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from marketplace.models import Currency
from quotas.forms import minor, sought
from quotas.plan_forms import Described, next_day
from quotas.selectors import delegations as read
from quotas.selectors.delegations import Standing, named_people
from quotas.services import delegating
from quotas.views import HtmxRequest, signed_in


def _day(label: str, *, help_text: str = "") -> forms.DateField:
    return forms.DateField(
        label=label,
        help_text=help_text,
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2026-10-01."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


def _reason(placeholder: str) -> forms.CharField:
    return forms.CharField(
        label=later("Reason"),
        max_length=delegating.LONGEST_REASON,
        help_text=later("It stays in the audit trail."),
        error_messages={"required": later("Say why.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": placeholder}),
    )


class Person(forms.CharField):
    """Somebody out of many, by name or e-mail. Reads as the user."""

    def __init__(self, *, find: str, **named: Any) -> None:
        super().__init__(max_length=300, widget=forms.TextInput(attrs=sought(find)), **named)
        self.find = find
        self.people: QuerySet[User] = User.objects.none()

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        found = named_people(self.people, text)
        if len(found) != 1:
            raise forms.ValidationError(
                _("Several people have this name: enter the e-mail.")
                if found
                else _("Nobody of this name can be chosen: take one of the list.")
            )
        return found[0]


class DelegationForm(Described):
    """Who stands in for whom, from the first day to the last."""

    of = Person(
        label=later("Approvals of"),
        find="principals",
        error_messages={"required": later("Choose a manager.")},
    )
    to = Person(
        label=later("Are decided by"),
        find="deciders",
        help_text=later("A manager or a comp admin. Deals in which they have a share stay out of it."),
        error_messages={"required": later("Choose who stands in.")},
    )
    starts = _day(later("First day"))
    ends = _day(later("Last day"), help_text=later("At most a year after the first."))
    reason = _reason(later("Annual leave"))

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, people in (("of", read.principals(user)), ("to", read.deciders(user))):
            field = self.fields[name]
            if not isinstance(field, Person):
                raise TypeError(name)
            field.people = people
        if not user.has_role(Role.COMP_ADMIN):
            self.fields["of"].initial = user.pk
            self.fields["of"].widget = forms.HiddenInput()


class LimitForm(Described):
    """The amount, or nothing to lift the limit."""

    amount = forms.CharField(
        label=later("Two people approve above"),
        required=False,
        max_length=24,
        help_text=later("Empty: from that day on one approval is enough."),
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "inputmode": "decimal",
                "class": "num-in",
                "placeholder": "1,000,000",
            }
        ),
    )
    currency = forms.ChoiceField(label=later("Currency"), choices=())
    starts = _day(later("From"), help_text=later("For what is handed in from this day on. Never dated back."))
    reason = _reason(later("Audit finding 14"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        self.fields["currency"].choices = [(code, code) for code in self.currencies]  # type: ignore[attr-defined]
        if "USD" in self.currencies:
            self.fields["currency"].initial = "USD"

    def clean(self) -> dict[str, Any]:
        """The limit in minor units of its currency, exactly."""
        cleaned = dict(super().clean() or self.cleaned_data)
        written = str(cleaned.get("amount", "")).strip()
        currency = self.currencies.get(cleaned.get("currency", ""))
        cleaned["amount_minor"] = None
        if written and currency is not None:
            cleaned["amount_minor"] = minor(written, currency.exponent)
            if cleaned["amount_minor"] is None:
                self.add_error(
                    "amount",
                    formats.misread(written)
                    or _("Enter an amount in %(currency_code)s, such as 1000000.")
                    % {"currency_code": currency.code},
                )
        return cleaned


@require_safe
@login_required
def delegations(request: HtmxRequest) -> HttpResponseBase:
    user = _reader(request)
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name="delegations", title="Delegations", table=_table(user, clock.today())
        )
    return _page(request, user)


@posted_from("quotas:delegations")
@login_required
def new(request: HtmxRequest) -> HttpResponse:
    user = _writer(request)
    form = DelegationForm(request.POST, user=user)
    if form.is_valid():
        read_ = form.cleaned_data
        try:
            made = delegating.delegate(
                of_id=read_["of"].pk,
                to_id=read_["to"].pk,
                starts=read_["starts"],
                ends=next_day(read_["ends"]) or read_["ends"],  # the last of all days is too late anyway
                reason=read_["reason"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refusal:
            _place(form, refusal.problems)
        else:
            messages.success(
                request,
                _("%(to_name)s decides for %(of_name)s %(made)s.")
                % {"to_name": made.to.name, "of_name": made.of.name, "made": delegating.in_words(made)},
            )
            return redirect("quotas:delegations")
    return _page(request, user, delegation=form)


@require_POST
@login_required
def end(request: HtmxRequest, pk: int) -> HttpResponse:
    user = _writer(request)
    try:
        ended = delegating.end_delegation(delegation_id=pk, by=user, at=clock.now())
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refusal:
        for problem in refusal.problems:
            messages.error(request, problem.message)
    else:
        messages.success(
            request,
            _("%(to_name)s does not decide for %(of_name)s any more.")
            % {"to_name": ended.to.name, "of_name": ended.of.name},
        )
    return redirect("quotas:delegations")


@posted_from("quotas:delegations")
@login_required
def limit(request: HtmxRequest) -> HttpResponse:
    user = _writer(request)
    if not user.has_role(Role.COMP_ADMIN):
        raise Http404
    form = LimitForm(request.POST, prefix="limit")
    if form.is_valid():
        read_ = form.cleaned_data
        try:
            made = delegating.set_limit(
                amount_minor=read_["amount_minor"],
                currency=read_["currency"],
                starts=read_["starts"],
                reason=read_["reason"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refusal:
            _place(form, refusal.problems)
        else:
            day = formats.day(read_["starts"])
            messages.success(
                request,
                _("From %(day)s on two people approve deals above %(amount_minor)s.")
                % {
                    "day": day,
                    "amount_minor": formats.money(
                        made.amount_minor, made.currency_id, made.currency.exponent, trim=True
                    ),
                }
                if made is not None
                else _("From %(day)s on one approval is enough.") % {"day": day},
            )
            return redirect("quotas:delegations")
    return _page(request, user, limit_form=form)


def _place(form: Described, problems: Iterable[Problem]) -> None:
    for problem in form.place(problems):
        form.add_error(None, problem.message)


def _page(
    request: HtmxRequest,
    user: User,
    *,
    delegation: DelegationForm | None = None,
    limit_form: LimitForm | None = None,
) -> HttpResponse:
    today = clock.today()
    admin = user.has_role(Role.COMP_ADMIN)
    standing = paged(request, read.standing(user, today))
    over = paged(request, read.over(user, today), by="over")
    limits = read.limits(today)
    wrong = (delegation is not None and delegation.errors) or (limit_form is not None and limit_form.errors)
    context = {
        "page": standing,
        "spans": [read.span_of(each, today) for each in standing],
        "past_page": over,
        "past": [read.span_of(each, today) for each in over],
        "limits": [span for span in limits if span.standing in (Standing.IN_FORCE, Standing.AHEAD)],
        "past_limits": [span for span in limits if span.standing in (Standing.OVER, Standing.ENDED)],
        "limit_now": next((span for span in limits if span.standing == Standing.IN_FORCE), None),
        "form": delegation or DelegationForm(user=user, initial={"starts": today}),
        "limit_form": limit_form or LimitForm(prefix="limit", initial={"starts": today}),
        "may_delegate": user.has_role(Role.MANAGER, Role.COMP_ADMIN),
        "may_limit": admin,
        "own": not user.has_role(*read.SEES_EVERYBODY),
        "opened": bool(delegation and delegation.errors),
        "limit_opened": bool(limit_form and limit_form.errors),
        "user_pk": user.pk,
        "today": today,
    }
    return render(request, "quotas/delegations.html", context, status=422 if wrong else 200)


def _table(user: User, today: date) -> Table:
    columns = [
        Column("of", "Approvals of"),
        Column("to", "Decided by"),
        Column("starts", "First day", "date"),
        Column("ends", "Last day", "date"),
        Column("standing", "State"),
        Column("reason", "Reason"),
        Column("recorded_by", "Recorded by"),
    ]
    return Table(
        columns,
        lambda: (
            (
                span.delegation.of.name,
                span.delegation.to.name,
                span.delegation.effective.lower,
                span.last,
                span.standing.label,
                span.delegation.reason,
                span.delegation.recorded_by.name,
            )
            for found in (read.standing(user, today), read.over(user, today))
            for span in (read.span_of(each, today) for each in found.iterator(chunk_size=2_000))
        ),
    )


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not read.may_read_delegations(user):
        raise Http404
    return user


def _writer(request: HtmxRequest) -> User:
    user = _reader(request)
    if not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        raise Http404
    return user
