"""Private offers: the list, one of them, and the form. Catalog managers make and decide them; who sees which says selectors/private_offers.py."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_safe

from accounts.models import User
from config import clock, exporting, formats
from config.given import given, written
from config.language import _, later, marked, spoken, spoken_choices
from config.posted import posted_from
from config.refusals import Problem, Refusal
from config.rest.pagination import Keyset
from config.rest.problems import BadQuery
from marketplace.models import Currency, Offering, Plan, PriceRow, PrivateOffer, PrivateOfferState
from marketplace.selectors import exports
from marketplace.selectors.prices import METERS, prices_on, row_text
from marketplace.selectors.private_offers import may_see_customers, private_offers_for
from marketplace.selectors.visibility import offerings_for
from marketplace.services import private_offers as service
from marketplace.services.pricing import RowDraft
from marketplace.services.private_offers import OfferDraft
from marketplace.views import is_short, signed_in
from marketplace.views.costs import find_customer

PAGE: Final = 50
USUAL_ROWS: Final = {
    "tokens": (("input-tokens", 1_000_000, "token"), ("output-tokens", 1_000_000, "token")),
    "provisioned": (("provisioned-units", 1, "unit-hour"),),
    "seat": (("seats", 1, "seat-month"),),
    "subscription": (("seats", 1, "seat-month"),),
}
STEPS: Final[dict[str, Callable[..., PrivateOffer]]] = {
    "send": service.send_offer,
    "accept": service.accept_offer,
    "decline": service.decline_offer,
    "withdraw": service.withdraw_offer,
}
SAID: Final = {
    "send": later("{} is sent: the customer can accept it until {}."),
    "accept": later("{} is accepted: its price is locked."),
    "decline": later("{} is declined."),
    "withdraw": later("{} is withdrawn."),
}


PER: Final = {
    1: later("%(meter)s, per %(unit)s"),
    1000: later("%(meter)s, per thousand %(unit)s"),
    1_000_000: later("%(meter)s, per million %(unit)s"),
}
UNITS: Final = {
    "token": (marked("token"), marked("tokens")),
    "seat-month": (marked("seat and month"), marked("seats and months")),
    "unit-hour": (marked("unit and hour"), marked("units and hours")),
}
"""One of a unit, and several."""


@require_safe
@login_required
def offers(request: HttpRequest) -> HttpResponseBase:
    user = signed_in(request)
    found = private_offers_for(user)
    state = request.GET.get("state", "")
    if state in PrivateOfferState.values:
        found = found.filter(state=state)
    words = written(request.GET, "q")
    inside = may_see_customers(user)
    if words:
        named = Q(plan__offering__name__icontains=words) | Q(plan__name__icontains=words)
        found = found.filter(named | Q(customer__name__icontains=words) if inside else named)
    if form := exporting.asked(request):
        table = exports.private_offers(found, customers=inside)
        return exporting.answer(request, form, name="private offers", title="Private offers", table=table)
    keyset = Keyset(PrivateOffer, ("-id",))
    try:
        place = keyset.place(request.GET.get("cursor", ""))
    except BadQuery:  # an old or altered address: start at the beginning
        place = None
    rows, before, behind = keyset.page(found.order_by(), place, PAGE)
    asked = request.GET.copy()

    def address(cursor: Any) -> str:
        asked["cursor"] = keyset.cursor(cursor)
        return f"?{asked.urlencode()}"

    context = {
        "rows": [Shown(offer) for offer in rows],
        "state": state,
        "states": spoken_choices(PrivateOfferState.choices)
        if user.has_role("catalog_manager", "auditor")
        else [s for s in spoken_choices(PrivateOfferState.choices) if s[0] != PrivateOfferState.DRAFT],
        "words": words,
        "inside": inside,
        "may_make": user.has_role("catalog_manager"),
        "previous": address(before) if before else "",
        "next": address(behind) if behind else "",
        "today": clock.today(),
    }
    return render(request, "marketplace/private_offers.html", context)


@dataclass(frozen=True, slots=True)
class Shown:
    """An offer with its price in words."""

    offer: PrivateOffer

    @property
    def texts(self) -> list[str]:
        return [row_text(row, self.offer.price) for row in self.offer.price.rows.all()]


@dataclass(frozen=True, slots=True)
class Compared:
    """One row of the offer beside the list price of the plan on the offer's first day."""

    text: str
    listed: str
    change: str


@require_safe
@login_required
def offer(request: HttpRequest, pk: int) -> HttpResponse:
    user = signed_in(request)
    return _offer_page(request, user, get_object_or_404(private_offers_for(user), pk=pk))


def _offer_page(
    request: HttpRequest, user: User, found: PrivateOffer, wrong: Sequence[Problem] = ()
) -> HttpResponse:
    today = clock.today()
    context = {
        "offer": found,
        "rows": _compared(found),
        "inside": may_see_customers(user),
        "may_decide": user.has_role("catalog_manager"),
        "overdue": found.state == PrivateOfferState.SENT and found.open_until < today,
        "wrong": wrong,
        "decided_by": request.POST.get("decided_by", ""),
        "today": today,
    }
    return render(request, "marketplace/private_offer.html", context, status=409 if wrong else 200)


def _compared(found: PrivateOffer) -> list[Compared]:
    listed = _list_rows(found.plan, found.effective.lower, found.price.currency_id, found.customer.country)
    shown = []
    for row in found.price.rows.all():
        theirs = listed.get((row.meter, row.tier_from, row.above_context))
        shown.append(
            Compared(
                row_text(row, found.price),
                row_text(theirs, theirs.version) if theirs is not None else _("No list price"),
                _change(theirs, row),
            )
        )
    return shown


def _list_rows(plan: Plan, on: date, currency: str, country: str) -> dict[tuple[str, int, int], PriceRow]:
    """Of the plan's list price in that currency where the customer is, each knowing its version. 2 queries."""
    found = {}
    in_effect = prices_on([plan.pk], on, country).get(plan.pk, [])
    if version := next((v for v in in_effect if v.currency_id == currency), None):
        for row in version.rows.all():
            row.version = version
            found[row.meter, row.tier_from, row.above_context] = row
    return found


def _change(listed: PriceRow | None, row: PriceRow) -> str:
    if listed is None or not listed.amount or row.amount is None or listed.per != row.per:
        return ""
    change = row.amount - listed.amount
    if not change:
        return _("as listed")
    places = 10**10
    return formats.percent(int(change * places), int(listed.amount * places), 0, signed=True)


@posted_from("marketplace:private-offer", "pk")
@login_required
def step(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Send, accept, decline or withdraw it; back to its page, with what stands in the way."""
    user = signed_in(request)
    found = get_object_or_404(private_offers_for(user), pk=pk)
    act = STEPS.get(name)
    if act is None or not user.has_role("catalog_manager"):
        raise Http404
    more: dict[str, Any] = {}
    if name in ("send", "accept"):
        more["on"] = clock.today()
    if name in ("accept", "decline"):
        more["decided_by"] = written(request.POST, "decided_by")
    if name == "withdraw":
        more["reason"] = given(request.POST, "reason", 500)
    revision = request.POST.get("revision", "")
    if revision.isdecimal() and len(revision) < 10:
        more["expected_revision"] = int(revision)
    try:
        act(private_offer_id=found.pk, by=user, at=clock.now(), **more)
    except Refusal as refused:
        fresh = private_offers_for(user).get(pk=found.pk)
        return _offer_page(request, user, fresh, refused.problems)
    messages.success(request, SAID[name].format(found.reference, formats.day(found.open_until)))
    return redirect("marketplace:private-offer", pk=found.pk)


# --- the form


@dataclass(slots=True)
class RowEntry:
    """One meter of the form: what the list says and what is offered."""

    meter: str
    per: int
    unit: str
    tier_from: int
    above_context: int
    listed: Decimal | None
    listed_text: str
    value: str
    error: str = ""

    @property
    def name(self) -> str:
        return f"amount-{self.meter}-{self.tier_from}-{self.above_context}"

    @property
    def label(self) -> str:
        meter = spoken(METERS.get(self.meter, self.meter.replace("-", " ")))
        one, many = UNITS.get(self.unit, (self.unit.replace("-", " "),) * 2)
        said = PER.get(self.per) or _("%(meter)s, per %(count)s %(unit)s")
        label = said % {
            "meter": meter[:1].upper() + meter[1:],
            "count": formats.whole(self.per),
            "unit": spoken(many if self.per > 1 else one),
        }
        if self.tier_from:
            label += _(", from %(tier_from)s on") % {"tier_from": formats.whole(self.tier_from)}
        if self.above_context:
            label += _(", in requests of more than %(above_context)s") % {
                "above_context": formats.whole(self.above_context)
            }
        return label


@dataclass(slots=True)
class Form:
    """What was entered, and what is wrong with it, by field."""

    values: dict[str, str]
    rows: list[RowEntry]
    currencies: list[Currency]
    errors: dict[str, list[str]] = field(default_factory=dict)

    def say(self, name: str, message: str) -> None:
        self.errors.setdefault(name, []).append(message)


@require_GET
@login_required
def choose(request: HttpRequest) -> HttpResponse:
    """First step of a new offer: for which plan. ?offering= is a name or SKU; with it the plans are shown."""
    user = _maker(request)
    text = written(request.GET, "offering")
    known = offerings_for(user)
    found = (
        (known.filter(slug=text).first() or known.filter(name__iexact=text).order_by("id").first())
        if text
        else None
    )
    context = {
        "text": text,
        "found": found,
        "plans": list(found.plans.order_by("position", "id")) if found is not None else [],
        "customer": request.GET.get("customer", ""),
    }
    return render(request, "marketplace/private_offer_plan.html", context)


@require_http_methods(["GET", "POST"])
@login_required
def new(request: HttpRequest, slug: str, plan: str) -> HttpResponse:
    user = _maker(request)
    offering = get_object_or_404(offerings_for(user), slug=slug)
    chosen = get_object_or_404(offering.plans, slug=plan)
    return _edit(request, user, offering, chosen, None)


@require_http_methods(["GET", "POST"])
@login_required
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """A draft only."""
    user = _maker(request)
    found = get_object_or_404(private_offers_for(user), pk=pk, state=PrivateOfferState.DRAFT)
    return _edit(request, user, found.plan.offering, found.plan, found)


def _maker(request: HttpRequest) -> User:
    user = signed_in(request)
    if not user.has_role("catalog_manager"):
        raise Http404
    return user


def _edit(
    request: HttpRequest, user: User, offering: Offering, plan: Plan, before: PrivateOffer | None
) -> HttpResponse:
    form = _form(request, plan, before)
    if request.method == "POST":
        draft = _read(form, plan, user)
        if draft is not None:
            try:
                saved = (
                    service.draft_offer(draft=draft, by=user, at=clock.now())
                    if before is None
                    else service.revise_offer(
                        private_offer_id=before.pk,
                        draft=draft,
                        by=user,
                        at=clock.now(),
                        expected_revision=before.revision,
                    )
                )
            except Refusal as refused:
                _place(form, refused.problems)
            else:
                messages.success(
                    request,
                    _("%(saved_reference)s is a draft: look at it, then send it.")
                    % {"saved_reference": saved.reference},
                )
                return redirect("marketplace:private-offer", pk=saved.pk)
    context = {
        "offering": offering,
        "plan": plan,
        "offer": before,
        "form": form,
        "back": reverse("marketplace:private-offer", args=[before.pk])
        if before is not None
        else reverse("marketplace:private-offers"),
        "page_title": _("Edit %(before_reference)s") % {"before_reference": before.reference}
        if before is not None
        else _("New private offer"),
    }
    return render(request, "marketplace/private_offer_form.html", context, status=422 if form.errors else 200)


def _form(request: HttpRequest, plan: Plan, before: PrivateOffer | None) -> Form:
    """Filled with what was sent, else with the draft, else with the list price of the plan.

    Another currency than the amounts were shown in shows its own list first: nobody offers dollars as euros.
    """
    today = clock.today()
    sent = request.POST if request.method == "POST" else None
    start = before.effective.lower if before is not None else today
    currencies = list(Currency.objects.order_by("code"))
    usual = before.price.currency_id if before is not None else "USD"
    asked = (sent or request.GET).get("currency") or usual
    currency = asked if asked in {each.code for each in currencies} else usual
    listed = _list_rows(plan, start, currency, before.customer.country if before is not None else "")
    rows = _rows(plan, listed, before if currency == usual else None)
    values = {
        "currency": currency,
        "customer": before.customer.slug if before is not None else request.GET.get("customer", ""),
        "start": start.isoformat(),
        "end": before.effective.upper.isoformat() if before is not None and before.effective.upper else "",
        "open_until": before.open_until.isoformat() if before is not None else "",
        "note": before.note if before is not None else "",
        "discount": "",
    }
    if sent is not None:
        values = {name: written(sent, name) for name in values}
        values["currency"] = currency
        form = Form(values, rows, currencies)
        if asked != currency:
            form.say("currency", _("Choose one of these currencies."))
        elif sent.get("listed_in", currency) != currency:
            form.say(
                "currency",
                _("The amounts below are now the list's in %(currency)s: look at them, then save.")
                % {"currency": currency},
            )
        else:
            for row in rows:
                row.value = written(sent, row.name)
        return form
    return Form(values, rows, currencies)


def _rows(
    plan: Plan, listed: dict[tuple[str, int, int], PriceRow], before: PrivateOffer | None
) -> list[RowEntry]:
    own = {
        (r.meter, r.tier_from, r.above_context): r
        for r in (before.price.rows.all() if before is not None else ())
    }
    known = {**listed, **own}
    if not known:
        return [
            RowEntry(meter, per, unit, 0, 0, None, _("no list price"), "")
            for meter, per, unit in USUAL_ROWS.get(plan.pricing_form, ())
        ]
    entries = []
    for key, row in known.items():
        theirs = listed.get(key)
        offered = own.get(key, theirs)
        entries.append(
            RowEntry(
                row.meter,
                row.per,
                row.unit,
                row.tier_from,
                row.above_context,
                theirs.amount if theirs is not None else None,
                row_text(theirs, theirs.version) if theirs is not None else _("no list price"),
                _plain(offered.amount if offered is not None else None),
            )
        )
    return entries


def _plain(amount: Decimal | None) -> str:
    return "" if amount is None else f"{amount.normalize():f}"


def _read(form: Form, plan: Plan, user: User) -> OfferDraft | None:
    """The draft, or None with the form's errors said."""
    customer, said = find_customer(form.values["customer"], user)
    if customer is None:
        form.say("customer", said or _("Name the customer."))
    days: dict[str, date | None] = {}
    for name in ("start", "end", "open_until"):
        text = form.values[name]
        try:
            days[name] = date.fromisoformat(text) if text else None
        except ValueError:
            form.say(name, _("Write a day as 2026-08-14."))
            continue
        if days[name] is None and name != "end":
            form.say(name, _("Choose a day."))
    discount = _number(form.values["discount"])
    if form.values["discount"] and (discount is None or not 0 <= discount <= 100):
        form.say("discount", _("Between 0 and 100 per cent."))
        discount = None
    rows = []
    for row in form.rows:
        amount: Decimal | None
        if discount is not None and row.listed is not None:
            amount = (row.listed * (100 - discount) / 100).quantize(Decimal("0.0000000001")).normalize()
        else:
            amount = _number(row.value)
            if row.value and amount is None:
                row.error = _("Write an amount such as 2.55.")
            elif not row.value:
                row.error = _("An offer says what it costs: write an amount, 0 for free.")
        if row.error:
            form.say(row.name, row.error)
        rows.append(RowDraft(row.meter, row.per, row.unit, amount, row.tier_from, row.above_context))
    start, open_until = days.get("start"), days.get("open_until")
    if form.errors or customer is None or start is None or open_until is None:
        return None
    return OfferDraft(
        plan_id=plan.pk,
        customer_id=customer.pk,
        currency=form.values["currency"],
        start=start,
        end=days.get("end"),
        open_until=open_until,
        rows=rows,
        note=form.values["note"],
    )


def _number(written: str) -> Decimal | None:
    try:
        number = Decimal(formats.typed(written)) if written else None
    except (InvalidOperation, formats.Unreadable):
        return None
    return number if number is not None and number.is_finite() and is_short(number) else None


def _place(form: Form, problems: Sequence[Problem]) -> None:
    for problem in problems:
        parts = problem.pointer.strip("/").split("/")
        if parts[0] == "rows" and len(parts) > 1 and parts[1].isdecimal():
            row = form.rows[int(parts[1])]
            row.error = problem.message
            form.say(row.name, problem.message)
        else:
            form.say(parts[0] if parts[0] in form.values else "", problem.message)
