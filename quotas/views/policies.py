"""Straight-through policies: what each asks for in words, its versions, and a form for the next one. For comp admins; auditors read."""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, formats
from config.given import given, written
from config.language import _, later
from config.paging import paged
from config.posted import posted_from
from config.refusals import Conflict, NotFound, Problem, Refusal
from marketplace.models import Currency
from quotas.forms import minor
from quotas.models import StraightThroughPolicy
from quotas.plan_forms import Described
from quotas.selectors.policies import every_policy, may_read_policies
from quotas.services import policies
from quotas.views import HtmxRequest, signed_in

TEXT: Final = {"autocomplete": "off"}


class DraftForm(Described):
    """What a policy asks for, as it is entered."""

    name = forms.CharField(
        max_length=policies.NAME,
        help_text=later(
            "Maps and imports ask for it by this name. The name of a policy that is there drafts its next version."
        ),
        error_messages={"required": later("Give it a name.")},
        widget=forms.TextInput(attrs={**TEXT, "placeholder": "CRM imports"}),
        label=later("Name"),
    )
    sources = forms.CharField(
        label=later("Sources that it trusts"),
        max_length=500,
        help_text=later("As the maps of imports name them, with commas between."),
        error_messages={"required": later("Name at least one source.")},
        widget=forms.TextInput(attrs={**TEXT, "placeholder": "salesforce, hubspot"}),
    )
    most = forms.CharField(
        label=later("Largest deal"),
        required=False,
        max_length=24,
        help_text=later("Empty: any amount. A deal in another currency than the limit's waits."),
        widget=forms.TextInput(attrs={**TEXT, "inputmode": "decimal", "class": "num-in"}),
    )
    currency = forms.ChoiceField(label=later("Currency of the limit"), required=False, choices=())
    late_after_days = forms.IntegerField(
        label=later("Days after the close date"),
        required=False,
        min_value=0,
        max_value=policies.LATEST,
        help_text=later("A deal that closed longer ago waits. Empty: never too late."),
        error_messages={"invalid": later("Enter a number of days.")},
        widget=forms.TextInput(attrs={**TEXT, "inputmode": "numeric", "class": "num-in"}),
    )
    default_share = forms.BooleanField(
        label=later("Only deals that are the owner's alone"), required=False, initial=True
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        self.fields["currency"].choices = [(code, code) for code in self.currencies]  # type: ignore[attr-defined]
        if "USD" in self.currencies:
            self.fields["currency"].initial = "USD"

    def clean_most(self) -> str:
        return str(self.cleaned_data["most"]).strip()

    def clean(self) -> dict[str, Any]:
        """The limit in minor units of its currency, exactly."""
        cleaned = dict(super().clean() or self.cleaned_data)
        written, currency = cleaned.get("most", ""), self.currencies.get(cleaned.get("currency", ""))
        cleaned["most_minor"] = None
        if written and currency is not None:
            cleaned["most_minor"] = minor(written, currency.exponent)
            if cleaned["most_minor"] is None:
                self.add_error(
                    "most",
                    formats.misread(written)
                    or _("Enter an amount in %(currency_code)s, such as 100000.")
                    % {"currency_code": currency.code},
                )
        return cleaned

    def arguments(self) -> dict[str, Any]:
        names = ("name", "currency", "most_minor", "late_after_days", "default_share")
        return {
            **{name: self.cleaned_data[name] for name in names},
            "sources": self.cleaned_data["sources"].replace(";", ",").split(","),
        }


@require_safe
@login_required
def index(request: HtmxRequest) -> HttpResponse:
    """Every policy; ?draft=NAME opens the form with what its newest version says."""
    user = _reader(request)
    name = given(request.GET, "draft")
    return _page(request, user, DraftForm(initial=_initial(name)), opened="draft" in request.GET)


@posted_from("quotas:policies")
@login_required
def draft(request: HtmxRequest) -> HttpResponse:
    user = _comp_admin(request)
    form = DraftForm(request.POST)
    if form.is_valid():
        try:
            made = policies.draft_policy(**form.arguments(), by=user, at=clock.now())
        except Refusal as refused:
            for problem in form.place(refused.problems):
                form.add_error(None, problem.message)
        else:
            messages.success(
                request, _("%(made)s is drafted: another comp admin publishes it.") % {"made": made}
            )
            return redirect("quotas:policies")
    return _page(request, user, form, opened=True)


@posted_from("quotas:policies")
@login_required
def act(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """Publish a draft, or withdraw what is in force or waits."""
    user = _comp_admin(request)
    ways: dict[str, Callable[[], str]] = {
        "publish": lambda: _published(pk, user, request.POST.get("drafted_at", "")),
        "withdraw": lambda: _withdrawn(pk, user, written(request.POST, "reason")),
    }
    if action not in ways:
        raise Http404
    try:
        said = ways[action]()
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _page(request, user, DraftForm(), opened=False, wrong=refused.problems, about=pk)
    messages.success(request, said)
    return redirect("quotas:policies")


def _published(pk: int, by: User, seen: str) -> str:
    try:
        drafted_at = datetime.fromisoformat(seen)
    except ValueError as odd:
        raise Conflict.of("drafted_anew", _("Read the draft again, then publish it.")) from odd
    policy = policies.publish_policy(policy_id=pk, by=by, at=clock.now(), drafted_at=drafted_at)
    return _("%(policy)s is in force.") % {"policy": policy}


def _withdrawn(pk: int, by: User, reason: str) -> str:
    policy = policies.withdraw_policy(policy_id=pk, by=by, at=clock.now(), reason=reason)
    return _("%(policy)s is withdrawn; what was approved under it stays approved.") % {"policy": policy}


def _page(
    request: HtmxRequest,
    user: User,
    form: DraftForm,
    *,
    opened: bool,
    wrong: Iterable[Problem] = (),
    about: int = 0,
) -> HttpResponse:
    problems = list(wrong)
    context = {
        "policies": paged(request, every_policy(), size=20),
        "form": form,
        "opened": opened or form.is_bound,
        "wrong": problems,
        "about": about,
        "may_write": user.has_role(Role.COMP_ADMIN),
        "user_pk": user.pk,
        "today": clock.today(),
    }
    return render(request, "quotas/policies.html", context, status=422 if problems or form.errors else 200)


def _initial(name: str) -> dict[str, Any]:
    """What the newest version of that name says, so that a change begins with what is."""
    newest = (
        StraightThroughPolicy.objects.filter(name__iexact=name)
        .select_related("currency")
        .order_by("-version")
        .first()
        if name
        else None
    )
    if newest is None:
        return {"name": name} if name else {}
    most = ""
    if newest.most_minor is not None and newest.currency is not None:
        most = formats.entered(Decimal(newest.most_minor).scaleb(-newest.currency.exponent), grouped=True)
    return {
        "name": newest.name,
        "sources": ", ".join(newest.sources),
        "most": most,
        "currency": newest.currency_id or "USD",
        "late_after_days": newest.late_after_days,
        "default_share": newest.default_share,
    }


def _reader(request: HtmxRequest) -> User:
    user = signed_in(request)
    if not may_read_policies(user):
        raise Http404
    return user


def _comp_admin(request: HtmxRequest) -> User:
    user = _reader(request)
    if not user.has_role(Role.COMP_ADMIN):
        raise Http404
    return user
