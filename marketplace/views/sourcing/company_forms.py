"""Forms of companies and what binds them. What a service refuses stands beside the field that it is about."""

import re
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Final

from django import forms
from django.http import QueryDict

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
    SupplierAgreement,
)
from marketplace.selectors.public_facts import citation
from marketplace.services.sourcing.companies import AgreementDraft, RelationshipDraft

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
        text = re.sub(r"[,\s$€£¥]", "", super().clean(value))
        if not text:
            return None
        found = _AMOUNT.fullmatch(text)
        if found is None:
            raise forms.ValidationError("Write an amount such as 500M, 30B or 1,250.50, not below zero.")
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
        if not _SHARE.fullmatch(text) or Decimal(text) > 100:
            raise forms.ValidationError("Enter a number from 0 to 100, with at most four decimals.")
        return int(Decimal(text) * 10_000)


def day_field(label: str, *, required: bool = False, help_text: str = "") -> forms.DateField:
    return forms.DateField(
        label=label,
        required=required,
        help_text=help_text,
        error_messages={"required": "Enter the day.", "invalid": "Enter a day, such as 2026-08-14."},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )


def reason_field(help_text: str = "It stands in the trail beside what you change.") -> forms.CharField:
    return forms.CharField(
        label="Reason",
        max_length=300,
        help_text=help_text,
        error_messages={"required": "Say why."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def source_field() -> forms.CharField:
    return forms.CharField(
        label="Known from",
        max_length=200,
        help_text="A document with its place, or a person with the day. Never a guess: that is an assumption.",
        error_messages={"required": "Say where it is known from."},
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
            self.add_error(name, "That has more digits after the point than the currency.")
            return None
        return int(scaled)


class CompanyChoice(forms.ModelChoiceField):  # type: ignore[type-arg]  # its own generic is not one at run time
    def __init__(self, label: str, help_text: str = "") -> None:
        super().__init__(
            Company.objects.order_by("name", "id"),
            to_field_name="slug",
            empty_label="Choose one",
            label=label,
            help_text=help_text,
            error_messages={"required": "Choose the company.", "invalid_choice": "There is no such company."},
        )


class CurrencyChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    def __init__(self, *, required: bool = False) -> None:
        super().__init__(
            Currency.objects.order_by("code"),
            to_field_name="code",
            required=required,
            empty_label="None",
            label="Currency",
            error_messages={"invalid_choice": "That currency is not known here."},
        )

    def label_from_instance(self, obj: Any) -> str:
        return str(obj.code)


class FactChoice(forms.ModelChoiceField):  # type: ignore[type-arg]
    """The public statement that it is known from, if any."""

    def __init__(self) -> None:
        super().__init__(
            PublicFact.objects.order_by("paragraph", "id"),
            to_field_name="slug",
            required=False,
            empty_label="None",
            label="Public fact",
            help_text="The statement that it repeats.",
        )

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.subject}, {obj.counterpart}: {obj.kind.replace('_', ' ')} (paragraph {obj.paragraph})"


class CompanyForm(Refusable):
    name = forms.CharField(max_length=120, error_messages={"required": "Enter the name."})
    about = forms.CharField(label="What it does", max_length=300, required=False)
    publisher = forms.ModelChoiceField(
        Publisher.objects.filter(company=None).order_by("name"),
        to_field_name="slug",
        required=False,
        empty_label="It sells nothing here",
        label="Publisher",
        help_text="As whom it sells in the catalog.",
    )


class RelationshipForm(Refusable):
    """One tie; every field that is empty is not stated."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=[("", "Choose one"), *RelationshipKind.choices],
        error_messages={"required": "Choose the kind."},
    )
    payer = CompanyChoice("Who pays", "Of dependence: who depends.")
    payee = CompanyChoice("Who is paid", "Of dependence: on whom.")
    amount = AmountField(label="Amount", help_text="Such as 30B or 500M. Empty is unknown, never zero.")
    currency = CurrencyChoice()
    bound = forms.ChoiceField(
        label="The amount is", choices=Bound.choices, initial=Bound.UNKNOWN, required=False
    )
    per = forms.ChoiceField(
        label="Paid", choices=[("", "Once"), ("year", "Every year"), ("month", "Every month")], required=False
    )
    status = forms.ChoiceField(
        label="Status", choices=[("", "Not stated"), *RelationshipStatus.choices], required=False
    )
    starts_on = day_field("Starts on", help_text="Empty is not stated.")
    ends_on = day_field("Ends before", help_text="The first day after it. Empty is not stated.")
    stake = ShareField(
        label="Share", help_text="Of equity: held. Of dependence: of their business. Empty is unknown."
    )
    note = forms.CharField(
        label="The source's words",
        max_length=300,
        required=False,
        help_text="Its qualifier: on track, up to, upwards of.",
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
        amount = f"{Decimal(row.amount_minor).scaleb(-row.currency.exponent).normalize():,f}"
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
    return "" if ppm is None else f"{(Decimal(ppm) / 10_000).normalize():f}"


def source_of(fact: PublicFact | None) -> str:
    return citation(fact) if fact is not None else ""


class EndForm(Refusable):
    ends_on = day_field("Ends before", required=True, help_text="The first day on which it no longer holds.")
    reason = reason_field()


class TermForm(Refusable):
    """A term that is taken for granted."""

    starts_on = day_field("From", required=True)
    ends_on = day_field("To before", required=True, help_text="The first day after the term.")
    reason = reason_field("It is named wherever a figure rests on it.")


class WithdrawForm(Refusable):
    reason = reason_field()


class DrawForm(Refusable):
    """What a month's bill took."""

    places: ClassVar[dict[str, str]] = {}

    month = forms.CharField(
        label="Month",
        max_length=10,
        help_text="Such as 2026-07. It has to be over.",
        error_messages={"required": "Enter the month."},
        widget=forms.TextInput(attrs={"type": "month", "placeholder": "2026-07"}),
    )
    amount = AmountField(
        label="Drawn",
        required=True,
        help_text="Such as 310M, credit notes taken off.",
        error_messages={"required": "Enter what the month took."},
    )
    source = source_field()
    replacing = forms.BooleanField(
        label="It takes the place of what is recorded for that month", required=False
    )

    def __init__(self, data: QueryDict | None = None, *, currency: Currency | None, **options: Any) -> None:
        super().__init__(data, **options)
        self._currency = currency

    def clean_month(self) -> date:
        text = str(self.cleaned_data["month"]).strip()
        try:
            return date.fromisoformat(f"{text[:7]}-01")
        except ValueError:
            raise forms.ValidationError("Enter a month, such as 2026-07.") from None

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        self.minor = self.to_minor(given.get("amount"), self._currency)
        return given


class AgreementForm(Refusable):
    """What is agreed with a supplier; text that is empty is not stated."""

    name = forms.CharField(max_length=120, error_messages={"required": "Enter the name."})
    starts_on = day_field("From", required=True)
    ends_on = day_field("To before", help_text="The first day after it. Empty: until further notice.")
    access = forms.CharField(
        max_length=300,
        required=False,
        help_text="To which models, since when, in which order.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    pricing = forms.CharField(max_length=300, required=False)
    discount = ShareField(
        label="Discount",
        help_text="Off the list prices of its plans; spend is worked out with it. Empty is none.",
    )
    exclusivity = forms.CharField(max_length=300, required=False)
    roadmap_asks = forms.CharField(
        label="Roadmap asks",
        max_length=500,
        required=False,
        help_text="What we have asked for, and what was said.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    renews_on = day_field("Renews on", help_text="Empty is unknown.")
    renews_by_itself = forms.NullBooleanField(
        label="Renews by itself",
        required=False,
        widget=forms.Select(choices=[("", "Not stated"), ("true", "Yes"), ("false", "No")]),
    )
    notice_days = forms.IntegerField(
        label="Notice, days",
        required=False,
        min_value=0,
        max_value=3660,
        help_text="Before the renewal. Empty is unknown.",
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
        label="What happened, or is expected",
        max_length=160,
        error_messages={"required": "Say what happened."},
    )
    dated = day_field("Day", help_text="A day ahead is expected. Empty is not stated.")
    severity = forms.ChoiceField(
        choices=RiskSeverity.choices, initial=RiskSeverity.MEDIUM, help_text="Our own judgement."
    )
    detail = forms.CharField(max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 2}))
    fact = FactChoice()
    source = source_field()
