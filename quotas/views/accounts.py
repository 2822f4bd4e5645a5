"""Customer accounts: the list, one account with all that this person may see of it, and what the customer has committed to spend."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import charts, clock, exporting, formats
from config.exports import Amount, Column, Table
from config.given import given
from config.language import _, later
from config.ordering import Orders
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from config.slices import in_slices
from marketplace.models import Currency, Customer
from marketplace.services.commitments import LONGEST_NAME, LONGEST_REASON, end_commitment, record_commitment
from quotas.forms import minor
from quotas.models import Deal
from quotas.plan_forms import Described, next_day
from quotas.selectors import accounts as selectors
from quotas.selectors.accounts import Account, Narrowed
from quotas.selectors.drawdown import DrawDown
from quotas.views import HtmxRequest, sales_user, wants_part

ORDERS: Final = Orders(
    Customer, "name", name=("name",), segment=("segment", "name"), region=("region", "name")
)
TONES: Final[Sequence[charts.Tone]] = ("c1", "c2", "c3", "c4", "c5")


# --- the list -----------------------------------------------------------------------------------------------------


@require_safe
@login_required
@vary_on_headers("HX-Request")
def accounts(request: HtmxRequest) -> HttpResponseBase:
    user, asked, today = _reader(request), request.GET, clock.today()
    visible = selectors.accounts_for(user, today)
    by = Narrowed(
        words=given(asked, "q"),
        segment=given(asked, "segment"),
        region=given(asked, "region"),
        renewing=asked.get("renewing") == "yes",
        risky=asked.get("risk") == "yes",
    )
    order = ORDERS.of(asked)
    found = selectors.narrowed(visible, by, user, today)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name="accounts",
            title="Accounts",
            table=_table(found, order.fields, user, today),
            total=found.count(),
        )
    page = order.page(found)
    context = {
        **page.context,
        "rows": selectors.rows(page.rows, user, today),
        "people": selectors.sees_people(user),
        "by": by,
        "total": found.count(),
        "segments": _values(visible, "segment"),
        "regions": _values(visible, "region"),
        "today": today,
    }
    part = wants_part(request) and request.htmx.target == "accounts"
    return render(request, "quotas/accounts.html" + ("#list" if part else ""), context)


def _values(visible: QuerySet[Customer], name: str) -> list[str]:
    return list(visible.order_by(name).values_list(name, flat=True).distinct())


def _table(found: QuerySet[Customer], order: Sequence[str], user: User, on: date) -> Table:
    def lines() -> Iterable[tuple[Any, ...]]:
        for page in in_slices(found, order):
            for row in selectors.rows(page, user, on):
                draw, customer = row.running, row.customer
                yield (
                    *(customer.name, customer.slug, customer.segment, customer.region, customer.country),
                    *((row.owner, row.open_deals, row.won_deals) if people else ()),
                    *(
                        (
                            draw.commitment.name,
                            *_amounts(draw),
                            draw.commitment.effective.upper - timedelta(1),
                        )
                        if draw
                        else (None,) * 5
                    ),
                    *(draw.standing.word if draw else None, row.renews),
                )

    people = selectors.sees_people(user)
    columns = [
        Column("customer", "Customer"),
        Column("slug", "Name in addresses"),
        Column("segment", "Segment"),
        Column("region", "Region"),
        Column("country", "Country"),
    ]
    if people:
        columns += [
            Column("owner", "Owner"),
            Column("open_deals", "Open deals", "whole"),
            Column("won_deals", "Won deals", "whole"),
        ]
    columns += [
        Column("commitment", "Commitment"),
        Column("committed", "Committed", "money", "Currency"),
        Column("drawn", "Drawn down", "money", "Currency"),
        Column("left", "Left", "money", "Currency"),
        Column("last_day", "Last day", "date"),
        Column("standing", "Standing"),
        Column("next_renewal", "Next renewal", "date"),
    ]
    return Table(columns, lines)


def _amounts(draw: DrawDown) -> tuple[Amount, Amount, Amount]:
    currency = draw.commitment.currency
    return (
        Amount(draw.commitment.amount_minor, currency.code, currency.exponent),
        Amount(draw.drawn, currency.code, currency.exponent),
        Amount(draw.left, currency.code, currency.exponent),
    )


# --- one account --------------------------------------------------------------------------------------------------


class CommitmentForm(Described):
    """What a customer has committed to, as it is entered."""

    name = forms.CharField(
        max_length=LONGEST_NAME,
        help_text=later("What the contract calls it."),
        error_messages={"required": later("Say what the contract calls it.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        label=later("Name"),
    )
    amount = forms.CharField(
        max_length=24,
        label=later("Committed"),
        error_messages={"required": later("Enter an amount.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "decimal", "class": "num-in"}),
    )
    currency = forms.ChoiceField(choices=(), label=later("Currency"))
    starts = forms.DateField(
        label=later("First day"),
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2026-10-01."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    last = forms.DateField(
        label=later("Last day"),
        error_messages={
            "required": later("Choose a day."),
            "invalid": later("Enter a day, such as 2027-09-30."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        max_length=LONGEST_REASON,
        help_text=later("It is kept with the commitment."),
        error_messages={"required": later("Say why.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        label=later("Reason"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        self.fields["currency"].choices = [(code, code) for code in self.currencies]  # type: ignore[attr-defined]
        if "USD" in self.currencies:
            self.fields["currency"].initial = "USD"

    def clean(self) -> dict[str, Any]:
        cleaned = dict(super().clean() or self.cleaned_data)
        currency = self.currencies.get(cleaned.get("currency", ""))
        if cleaned.get("amount") and currency is not None:
            amount = minor(cleaned["amount"], currency.exponent)
            if amount is None or amount <= 0:
                self.add_error(
                    "amount",
                    _("Enter an amount in %(currency_code)s, such as 250,000.")
                    % {"currency_code": currency.code},
                )
            cleaned["amount_minor"] = amount
        if cleaned.get("last") == date.max:
            self.add_error("last", _("Choose an earlier day."))
        return cleaned

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        return super().place(
            Problem(p.code, p.message, p.pointer.replace("/ends", "/last")) for p in problems
        )


@dataclass(frozen=True, slots=True)
class DealRow:
    deal: Deal
    minor: int


@require_safe
@login_required
def account(request: HtmxRequest, slug: str) -> HttpResponse:
    """One account; ?commit opens the form that records a commitment."""
    user = _reader(request)
    return _page(request, user, _visible(user, slug), opened="commit" in request.GET)


@posted_from("quotas:account", "slug")
@login_required
def commit(request: HtmxRequest, slug: str) -> HttpResponse:
    user = _writer(request)
    customer = _visible(user, slug)
    form = CommitmentForm(request.POST)
    if form.is_valid():
        entered = form.cleaned_data
        ends = next_day(entered["last"])
        assert ends is not None  # noqa: S101 -- the form refuses the last day of all
        try:
            record_commitment(
                customer_id=customer.pk,
                name=entered["name"],
                amount_minor=entered["amount_minor"],
                currency=entered["currency"],
                starts=entered["starts"],
                ends=ends,
                reason=entered["reason"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            for problem in form.place(refused.problems):
                form.add_error(None, problem.message)
        else:
            messages.success(
                request, _("The commitment is recorded; what was bought on its days draws it down.")
            )
            return redirect(reverse("quotas:account", args=[slug]) + "#commitments")
    return _page(request, user, customer, form=form, opened=True)


@posted_from("quotas:account", "slug")
@login_required
def end(request: HtmxRequest, slug: str, pk: int) -> HttpResponse:
    """Let a commitment end on the day that is entered, that day included."""
    user = _writer(request)
    customer = _visible(user, slug)
    try:
        last = next_day(forms.DateField().clean(request.POST.get("last")))
    except forms.ValidationError:
        last = None
    if last is None:
        wrong = [Problem("last_day_missing", _("Choose the last day of the commitment."))]
        return _page(request, user, customer, about=pk, wrong=wrong)
    try:
        end_commitment(
            commitment_id=pk,
            customer_id=customer.pk,
            ends=last,
            reason=request.POST.get("reason", ""),
            by=user,
            at=clock.now(),
        )
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        return _page(request, user, customer, about=pk, wrong=refused.problems)
    messages.success(request, _("The commitment ends; what drew it until then stays drawn."))
    return redirect(reverse("quotas:account", args=[slug]) + "#commitments")


def _page(
    request: HtmxRequest,
    user: User,
    customer: Customer,
    *,
    form: CommitmentForm | None = None,
    opened: bool = False,
    about: int = 0,
    wrong: Sequence[Problem] = (),
) -> HttpResponse:
    today = clock.today()
    shown = selectors.account(customer, user, today)
    may_write = user.has_role(Role.COMP_ADMIN)
    context = {
        "account": shown,
        "customer": customer,
        "deal_tables": [
            (_("Open deals"), _rows(shown.open_deals), _("No deal is open.")),
            (_("Won deals"), _rows(shown.won_deals), _("Nothing was won here yet.")),
        ],
        "usage_chart": _usage_chart(shown),
        "usage": list(reversed(shown.usage)),
        "publishers_bar": _publishers_bar(shown),
        "bought": list(zip(shown.bought, [*TONES, *["muted"] * len(shown.bought)], strict=False)),
        "may_write": may_write,
        "may_log": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
        "opened": opened and may_write,
        "form": form or (CommitmentForm() if opened and may_write else None),
        "about": about,
        "wrong": wrong,
        "today": today,
    }
    failed = bool(wrong) or (form is not None and bool(form.errors))
    return render(request, "quotas/account.html", context, status=422 if failed else 200)


def _rows(deals: Iterable[Deal]) -> list[DealRow]:
    return [DealRow(deal, sum(line.value_minor for line in deal.in_force.lines.all())) for deal in deals]


def _usage_chart(shown: Account) -> SafeString | None:
    """Of the currency with most months; the table beside it has every one."""
    codes = [month.currency.code for month in shown.usage]
    months = [m for m in shown.usage if m.currency.code == max(set(codes), key=lambda c: (codes.count(c), c))]
    if len(months) < 2:
        return None
    currency = months[0].currency
    last = len(months) - 1
    return charts.line_chart(
        [month.minor for month in months],
        length=last,
        label=(_("Monthly usage in %(currency_code)s, ") % {"currency_code": currency.code})
        + ", ".join(
            f"{formats.month(m.starts)} {formats.money(m.minor, currency.code, currency.exponent, compact=True)}"
            for m in months
        ),
        ticks=[(0, formats.month(months[0].starts)), (last, formats.month(months[-1].starts))],
        write=lambda value: formats.money(value, currency.code, currency.exponent, compact=True, trim=True),
    )


def _publishers_bar(shown: Account) -> SafeString | None:
    if not shown.bought:
        return None
    tones = [*TONES, *["muted"] * len(shown.bought)]
    return charts.share_bar(
        [
            charts.Share(each.publisher.name, each.minor, tone)  # type: ignore[arg-type]
            for each, tone in zip(shown.bought, tones, strict=False)
        ],
        label=_("Bought in the last 12 months by publisher"),
    )


def _reader(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(*selectors.READERS):
        raise Http404
    return user


def _writer(request: HtmxRequest) -> User:
    user = _reader(request)
    if not user.has_role(Role.COMP_ADMIN):
        raise Http404
    return user


def _visible(user: User, slug: str) -> Customer:
    customer = selectors.accounts_for(user, clock.today()).filter(slug=slug).first()
    if customer is None:
        raise Http404
    return customer
