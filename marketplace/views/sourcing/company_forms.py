"""Forms of companies and what binds them. What a service refuses stands beside the field that it is about."""

import re
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms
from django.http import QueryDict
from django.urls import reverse_lazy

from config import formats
from config.choosing import OneOf
from config.language import _, later, spoken_choices
from config.refusals import Refusal
from marketplace.models import (
    Bound,
    Company,
    Currency,
    PublicFact,
    Publisher,
    Relationship,
    RelationshipKind,
    RelationshipStatus,
    RiskSeverity,
    SpendPlan,
    SupplierAgreement,
)
from marketplace.selectors.public_facts import citation
from marketplace.services.sourcing.companies import AgreementDraft, RelationshipDraft
from marketplace.services.sourcing.plans import PlanDraft

_TIMES: Final = {"": 0, "k": 3, "m": 6, "b": 9, "bn": 9, "t": 12}
_AMOUNT: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*(k|m|bn?|t)?", re.IGNORECASE)
_SHARE: Final = re.compile(r"\d{1,3}(?:\.\d{1,4})?")


class AmountField(forms.CharField):
    """Money as people write it: 30B, 500M, 1,250.50. Cleans to a Decimal in the currency's unit, or None."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        super().__init__(
            max_length=30,
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}),
            **options,
        )

    def clean(self, value: Any) -> Any:
        try:
            text = formats.typed(re.sub(r"[\s$€£¥]", "", super().clean(value)))
        except formats.Unreadable as unreadable:
            raise forms.ValidationError(str(unreadable)) from unreadable
        if not text:
            return None
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise forms.ValidationError(_("Write an amount such as 500M, 30B or 1,250.50, not below zero."))
        return Decimal(found[1]).scaleb(_TIMES[(found[2] or "").lower()])


class ShareField(forms.CharField):
    """Per cent as people write it, read exactly into parts per million; empty is unknown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False,
            max_length=12,
            widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}),
            **options,
        )

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip().rstrip("%").strip()
        if not text:
            return None
        with suppress(formats.Unreadable):
            text = formats.typed(text, most=100)
        if not _SHARE.fullmatch(text) or Decimal(text) > 100:
            raise forms.ValidationError(_("Enter a number from 0 to 100, with at most four decimals."))
        return int(Decimal(text) * 10_000)


def day_field(label: str, *, required: bool = False, help_text: str = "") -> forms.DateField:
    return forms.DateField(
        label=label,
        required=required,
        help_text=help_text,
        error_messages={
            "required": later("Enter the day."),
            "invalid": later("Enter a day, such as 2026-08-14."),
        },
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


def reason_field(help_text: str = later("It stands in the trail beside what you change.")) -> forms.CharField:
    return forms.CharField(
        label=later("Reason"),
        max_length=300,
        help_text=help_text,
        error_messages={"required": later("Say why.")},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def source_field() -> forms.CharField:
    return forms.CharField(
        label=later("Known from"),
        max_length=200,
        help_text=later(
            "A document with its place, or a person with the day. Never a guess: that is an assumption."
        ),
        error_messages={"required": later("Say where it is known from.")},
    )


class Refusable(forms.Form):
    """Shows what a service refuses."""

    use_required_attribute = False
    places: ClassVar[dict[str, str]] = {}
    """Pointer's name to the field's, where they differ."""

    def refuse(self, refused: Refusal) -> None:
        for problem in refused.problems:
            name = problem.pointer.lstrip("/")
            name = self.places.get(name, name)
            self.add_error(name if name in self.fields else None, problem.message)

    def to_minor(self, amount: Decimal | None, currency: Currency | None, name: str = "amount") -> int | None:
        """Adds an error where the amount has more digits than its currency."""
        if amount is None:
            return None
        scaled = amount.scaleb(currency.exponent if currency is not None else 2)
        if scaled != scaled.to_integral_value():
            self.add_error(name, _("That has more digits after the point than the currency."))
            return None
        return int(scaled)


class CompanyChoice(OneOf):
    def __init__(self, label: str, help_text: str = "") -> None:
        super().__init__(
            Company.objects.order_by("name", "id"),
            find=reverse_lazy("marketplace:sourcing-find", args=["companies"]),
            empty_label=later("Choose one"),
            label=label,
            help_text=help_text,
            error_messages={
                "required": later("Choose the company."),
                "invalid_choice": later("There is no such company."),
            },
        )


class CurrencyChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def __init__(self, *, required: bool = False) -> None:
        super().__init__(
            Currency.objects.order_by("code"),
            to_field_name="code",
            required=required,
            empty_label=later("None"),
            label=later("Currency"),
            error_messages={"invalid_choice": later("That currency is not known here.")},
        )

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.code)


class FactChoice(OneOf):
    """The public statement that it is known from, if any."""

    def __init__(self) -> None:
        super().__init__(
            PublicFact.objects.order_by("paragraph", "id"),
            find=reverse_lazy("marketplace:sourcing-find", args=["facts"]),
            required=False,
            empty_label=later("None"),
            label=later("Public fact"),
            help_text=later("The statement that it repeats."),
        )

    def label_from_instance(self, obj: Any) -> str:
        return _("%(subject)s, %(counterpart)s: %(kind)s (paragraph %(paragraph)s)") % {
            "subject": obj.subject,
            "counterpart": obj.counterpart,
            "kind": obj.kind.replace("_", " "),
            "paragraph": obj.paragraph,
        }


class CompanyForm(Refusable):
    name = forms.CharField(
        max_length=120, error_messages={"required": later("Enter the name.")}, label=later("Name")
    )
    about = forms.CharField(label=later("What it does"), max_length=300, required=False)
    publisher = forms.ModelChoiceField(
        Publisher.objects.filter(company=None).order_by("name"),
        to_field_name="slug",
        required=False,
        empty_label=later("It sells nothing here"),
        label=later("Publisher"),
        help_text=later("As whom it sells in the catalog."),
    )


class RelationshipForm(Refusable):
    """One tie; every field that is empty is not stated."""

    kind = forms.ChoiceField(
        label=later("Kind"),
        choices=[("", later("Choose one")), *spoken_choices(RelationshipKind.choices)],
        error_messages={"required": later("Choose the kind.")},
    )
    payer = CompanyChoice(later("Who pays"), later("Of dependence: who depends."))
    payee = CompanyChoice(later("Who is paid"), later("Of dependence: on whom."))
    amount = AmountField(
        label=later("Amount"), help_text=later("Such as 30B or 500M. Empty is unknown, never zero.")
    )
    currency = CurrencyChoice()
    bound = forms.ChoiceField(
        label=later("The amount is"),
        choices=spoken_choices(Bound.choices),
        initial=Bound.UNKNOWN,
        required=False,
    )
    per = forms.ChoiceField(
        label=later("Paid"),
        choices=[("", later("Once")), ("year", later("Every year")), ("month", later("Every month"))],
        required=False,
    )
    status = forms.ChoiceField(
        label=later("Status"),
        choices=[("", later("Not stated")), *spoken_choices(RelationshipStatus.choices)],
        required=False,
    )
    starts_on = day_field(later("Starts on"), help_text=later("Empty is not stated."))
    ends_on = day_field(later("Ends before"), help_text=later("The first day after it. Empty is not stated."))
    stake = ShareField(
        label=later("Share"),
        help_text=later("Of equity: held. Of dependence: of their business. Empty is unknown."),
    )
    note = forms.CharField(
        label=later("The source's words"),
        max_length=300,
        required=False,
        help_text=later("Its qualifier: on track, up to, upwards of."),
    )
    fact = FactChoice()
    source = source_field()
    reason = reason_field()

    def __init__(self, data: QueryDict | None = None, *, correcting: bool = False, **options: Any) -> None:
        super().__init__(data, **options)
        if not correcting:
            del self.fields["reason"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.minor = self.to_minor(given.get("amount"), given.get("currency"))
        return given

    def draft(self) -> RelationshipDraft:
        given = self.cleaned_data
        fact = given["fact"]
        return RelationshipDraft(
            kind=given["kind"],
            payer_id=given["payer"].pk,
            payee_id=given["payee"].pk,
            source=given["source"],
            amount_minor=self.minor,
            currency=given["currency"].code if given["currency"] else "",
            bound=given["bound"] or Bound.UNKNOWN,
            per=given["per"],
            status=given["status"],
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            stake_ppm=given["stake"],
            note=given["note"],
            fact_id=fact.pk if fact else None,
        )


def initial_of(row: Relationship) -> dict[str, Any]:
    """A tie as its form shows it."""
    amount = ""
    if row.amount_minor is not None and row.currency is not None:
        amount = formats.entered(
            Decimal(row.amount_minor).scaleb(-row.currency.exponent).normalize(), grouped=True
        )
    return {
        "kind": row.kind,
        "payer": row.payer.slug,
        "payee": row.payee.slug,
        "amount": amount,
        "currency": row.currency_id,
        "bound": row.bound,
        "per": row.per,
        "status": row.status,
        "starts_on": row.starts_on,
        "ends_on": row.ends_on,
        "stake": percent_text(row.stake_ppm),
        "note": row.note,
        "fact": row.fact.slug if row.fact is not None else None,
        "source": row.source,
    }


def percent_text(ppm: int | None) -> str:
    return "" if ppm is None else formats.entered((Decimal(ppm) / 10_000).normalize())


def source_of(fact: PublicFact | None) -> str:
    return citation(fact) if fact is not None else ""


class EndForm(Refusable):
    ends_on = day_field(
        later("Ends before"), required=True, help_text=later("The first day on which it no longer holds.")
    )
    reason = reason_field()


class TermForm(Refusable):
    """A term that is taken for granted."""

    starts_on = day_field(later("From"), required=True)
    ends_on = day_field(later("To before"), required=True, help_text=later("The first day after the term."))
    reason = reason_field(later("It is named wherever a figure rests on it."))


class WithdrawForm(Refusable):
    reason = reason_field()


class DrawForm(Refusable):
    """What a month's bill took."""

    places: ClassVar[dict[str, str]] = {}

    month = forms.CharField(
        label=later("Month"),
        max_length=10,
        help_text=later("Such as 2026-07. It has to be over."),
        error_messages={"required": later("Enter the month.")},
        widget=forms.TextInput(attrs={"type": "month", "placeholder": "2026-07"}),
    )
    amount = AmountField(
        label=later("Drawn"),
        required=True,
        help_text=later("Such as 310M, credit notes taken off."),
        error_messages={"required": later("Enter what the month took.")},
    )
    source = source_field()
    replacing = forms.BooleanField(
        label=later("It takes the place of what is recorded for that month"), required=False
    )

    def __init__(self, data: QueryDict | None = None, *, currency: Currency | None, **options: Any) -> None:
        super().__init__(data, **options)
        self._currency = currency

    def clean_month(self) -> date:
        text = str(self.cleaned_data["month"]).strip()
        try:
            return date.fromisoformat(f"{text[:7]}-01")
        except ValueError:
            raise forms.ValidationError(_("Enter a month, such as 2026-07.")) from None

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.minor = self.to_minor(given.get("amount"), self._currency)
        return given


class AgreementForm(Refusable):
    """What is agreed with a supplier; text that is empty is not stated."""

    name = forms.CharField(
        max_length=120, error_messages={"required": later("Enter the name.")}, label=later("Name")
    )
    starts_on = day_field(later("From"), required=True)
    ends_on = day_field(
        later("To before"), help_text=later("The first day after it. Empty: until further notice.")
    )
    access = forms.CharField(
        max_length=300,
        required=False,
        help_text=later("To which models, since when, in which order."),
        widget=forms.Textarea(attrs={"rows": 2}),
        label=later("Access"),
    )
    pricing = forms.CharField(max_length=300, required=False, label=later("Pricing"))
    discount = ShareField(
        label=later("Discount"),
        help_text=later("Off the list prices of its plans; spend is worked out with it. Empty is none."),
    )
    exclusivity = forms.CharField(max_length=300, required=False, label=later("Exclusivity"))
    roadmap_asks = forms.CharField(
        label=later("Roadmap asks"),
        max_length=500,
        required=False,
        help_text=later("What we have asked for, and what was said."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    renews_on = day_field(later("Renews on"), help_text=later("Empty is unknown."))
    renews_by_itself = forms.NullBooleanField(
        label=later("Renews by itself"),
        required=False,
        widget=forms.Select(
            choices=[("", later("Not stated")), ("true", later("Yes")), ("false", later("No"))]
        ),
    )
    notice_days = forms.IntegerField(
        label=later("Notice, days"),
        required=False,
        min_value=0,
        max_value=3660,
        help_text=later("Before the renewal. Empty is unknown."),
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "num-in"}),
    )
    source = source_field()
    reason = reason_field()

    def __init__(self, data: QueryDict | None = None, *, correcting: bool = False, **options: Any) -> None:
        super().__init__(data, **options)
        if not correcting:
            del self.fields["reason"]

    def draft(self, supplier: Company) -> AgreementDraft:
        given = self.cleaned_data
        return AgreementDraft(
            supplier_id=supplier.pk,
            name=given["name"],
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            source=given["source"],
            access=given["access"],
            pricing=given["pricing"],
            discount_ppm=given["discount"] or 0,
            exclusivity=given["exclusivity"],
            roadmap_asks=given["roadmap_asks"],
            renews_on=given["renews_on"],
            renews_by_itself=given["renews_by_itself"],
            notice_days=given["notice_days"],
        )


def agreement_initial(row: SupplierAgreement) -> dict[str, Any]:
    return {
        "name": row.name,
        "starts_on": row.effective.lower,
        "ends_on": row.effective.upper,
        "access": row.access,
        "pricing": row.pricing,
        "discount": percent_text(row.discount_ppm),
        "exclusivity": row.exclusivity,
        "roadmap_asks": row.roadmap_asks,
        "renews_on": row.renews_on,
        "renews_by_itself": "" if row.renews_by_itself is None else str(row.renews_by_itself).lower(),
        "notice_days": row.notice_days,
        "source": row.source,
    }


class RiskForm(Refusable):
    title = forms.CharField(
        label=later("What happened, or is expected"),
        max_length=160,
        error_messages={"required": later("Say what happened.")},
    )
    dated = day_field(later("Day"), help_text=later("A day ahead is expected. Empty is not stated."))
    severity = forms.ChoiceField(
        choices=spoken_choices(RiskSeverity.choices),
        initial=RiskSeverity.MEDIUM,
        help_text=later("Our own judgement."),
        label=later("Severity"),
    )
    detail = forms.CharField(
        max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2}), label=later("Detail")
    )
    fact = FactChoice()
    source = source_field()


class PlanForm(Refusable):
    """What is planned to be spent with a supplier over a span."""

    supplier = CompanyChoice(later("Supplier"))
    starts_on = day_field(later("From"), required=True)
    ends_on = day_field(later("To before"), required=True, help_text=later("The first day after the plan."))
    amount = AmountField(
        label=later("Amount"),
        required=True,
        help_text=later("Of the whole span, such as 500M. It counts evenly by days."),
        error_messages={"required": later("Enter the amount.")},
    )
    currency = CurrencyChoice(required=True)
    bound = forms.ChoiceField(
        label=later("The amount is"),
        choices=spoken_choices(choice for choice in Bound.choices if choice[0] != Bound.UNKNOWN),
        initial=Bound.EXACT,
    )
    fact = FactChoice()
    source = source_field()
    reason = reason_field()

    def __init__(self, data: QueryDict | None = None, *, correcting: bool = False, **options: Any) -> None:
        super().__init__(data, **options)
        suppliers = Company.objects.exclude(publisher=None).order_by("name", "id")
        self.fields["supplier"].queryset = suppliers  # type: ignore[attr-defined]
        self.fields["currency"].error_messages["required"] = _("An amount needs its currency, such as USD.")
        # A public statement is its own source.
        self.fields["source"].required = data is None or not data.get("fact")
        if correcting:
            self.fields["supplier"].disabled = True
        else:
            del self.fields["reason"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.minor = self.to_minor(given.get("amount"), given.get("currency"))
        given["source"] = given.get("source") or source_of(given.get("fact"))
        return given

    def draft(self) -> PlanDraft:
        given = self.cleaned_data
        fact = given["fact"]
        return PlanDraft(
            supplier_id=given["supplier"].pk,
            starts_on=given["starts_on"],
            ends_on=given["ends_on"],
            amount_minor=self.minor,
            currency=given["currency"].code,
            source=given["source"],
            bound=given["bound"],
            fact_id=fact.pk if fact else None,
        )


def plan_initial(row: SpendPlan) -> dict[str, Any]:
    """A plan as its form shows it."""
    amount = Decimal(row.amount_minor).scaleb(-row.currency.exponent).normalize()
    return {
        "supplier": row.supplier.slug,
        "starts_on": row.effective.lower,
        "ends_on": row.effective.upper,
        "amount": formats.entered(amount, grouped=True),
        "currency": row.currency_id,
        "bound": row.bound,
        "fact": row.fact.slug if row.fact is not None else None,
        "source": row.source,
    }
