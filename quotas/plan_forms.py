"""Forms of plans: text and ticks in, drafts for the services out. What is wrong stands beside its field."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.http import QueryDict
from django.urls import reverse_lazy

from config import formats
from config.choosing import MOST, OneOf
from config.language import _, later, spoken, spoken_choices
from config.refusals import Problem
from marketplace.models import CommercialPath, Currency, Customer, Offering, PricingForm, Publisher, TaskArea
from quotas.forms import MOST_PER_CENT, minor, named, ppm, sought, written_ppm
from quotas.models import (
    DealKind,
    Grain,
    Measure,
    PayBy,
    PlanComponent,
    PlanVersion,
    Receivers,
    RuleVersion,
    SalesRole,
    Territory,
)
from quotas.selectors.linter import place
from quotas.selectors.pay_words import components_of, terms_of
from quotas.selectors.rules import LABELS
from quotas.services.plans import ComponentDraft, RuleDraft, ScaleDraft
from quotas.services.simulating import Tryout

NUMBERED: Final = frozenset({"offerings", "publishers", "task_areas", "territories"})
EVERYBODY: Final = "everybody"
FIRST: Final = 24  # values of a condition of many that are shown


class Described(forms.Form):
    """A form whose fields say where their help and their error stand."""

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            bound = self[name]
            ids = [f"{bound.auto_id}_helptext"] if field.help_text else []
            if not isinstance(field.widget, forms.CheckboxSelectMultiple | forms.RadioSelect):
                field.widget.attrs["aria-describedby"] = " ".join([*ids, f"{bound.auto_id}_error"])

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        """Put each problem beside its field; returns those that no field is about."""
        rest = []
        for problem in problems:
            name = problem.pointer.strip("/").split("/")[-1]
            if name in self.fields:
                self.add_error(name, problem.message)
            else:
                rest.append(problem)
        return rest


def _day(label: str, *, required: bool, help_text: str = "") -> forms.DateField:
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


def _text(
    label: str, *, required: bool = True, help_text: str = "", css: str = "", **attrs: Any
) -> forms.CharField:
    return forms.CharField(
        label=label,
        required=required,
        max_length=200,
        help_text=help_text,
        widget=forms.TextInput(attrs={"autocomplete": "off", **({"class": css} if css else {}), **attrs}),
    )


def next_day(last: date | None) -> date | None:
    """People name the last day; spans are half-open."""
    return last + timedelta(days=1) if last and last < date.max else None


def last_day(ends: date | None) -> date | None:
    return ends - timedelta(days=1) if ends else None


class VersionForm(Described):
    """The dates and the purpose of a version."""

    starts = _day(
        later("First day"),
        required=True,
        help_text=later("Deals that close from this day on are credited by it."),
    )
    last = _day(later("Last day"), required=False, help_text=later("Empty: until further notice."))
    note = forms.CharField(
        label=later("What it is for"),
        required=False,
        max_length=500,
        help_text=later("Whoever reviews it reads this first."),
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def span(self) -> tuple[date | None, date | None]:
        return self.cleaned_data["starts"], next_day(self.cleaned_data["last"])

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        return super().place(
            Problem(p.code, p.message, p.pointer.replace("/ends", "/last")) for p in problems
        )


class PlanForm(VersionForm):
    """A new plan with its first version."""

    field_order = ("name", "starts", "last", "note")
    name = _text(later("Name of the plan"), placeholder=later("FY27 partner plan"))


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule in its form. many: more values than are shown; unknown: what was typed and means none."""

    field: Any
    ticked: int
    name: str
    many: bool
    total: int
    unknown: str


class RuleForm(Described):
    """A rule in plain choices. An empty condition means any."""

    name = _text(
        later("Name"), help_text=later("What people call it, such as “New business in EMEA counts 110%”.")
    )
    measure = forms.ChoiceField(label=later("What it measures"), choices=())
    receivers = forms.ChoiceField(
        label=later("Who earns"),
        choices=spoken_choices(Receivers.choices),
        initial=Receivers.SHARES,
        widget=forms.RadioSelect,
    )
    exclusive = forms.ChoiceField(
        label=later("How it counts"),
        choices=[
            ("one", later("One such rule wins, and multiplies the credit")),
            ("adds", later("SPIFF: adds to whatever else applies")),
        ],
        initial="one",
        widget=forms.RadioSelect,
    )
    factor = _text(
        later("Multiplier or own factor"),
        help_text=later("110 lifts the credit by a tenth; a SPIFF of 5 adds 5% of it."),
        inputmode="decimal",
        css="num-in",
    )
    cap = _text(
        later("Cap a deal"),
        required=False,
        help_text=later("The most that one deal earns under it, in the measure's own currency. Empty: none."),
        inputmode="decimal",
        css="num-in",
    )
    starts = _day(later("From"), required=False, help_text=later("Empty: as long as the version."))
    last = _day(later("Until, that day included"), required=False)
    priority = _text(
        later("Priority"),
        required=False,
        help_text=later("The higher wins; then the one with more conditions."),
        inputmode="numeric",
        css="num-in",
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, rule: RuleVersion | None = None) -> None:
        self.measures = {
            m.pk: m for m in Measure.objects.select_related("currency").order_by("position", "pk")
        }
        options_of = condition_choices(rule)
        self.many = {name for name, options in options_of.items() if len(options) > MOST}
        self.unknown: dict[str, str] = {}
        if data is not None and self.many:
            data = self._with_added(data, options_of)
        super().__init__(data, initial=None if rule is None else self._entered(rule))
        self.fields["measure"].choices = [(pk, m.name) for pk, m in self.measures.items()]  # type: ignore[attr-defined]
        for name, options in options_of.items():
            self.fields[name] = forms.MultipleChoiceField(
                label=spoken(LABELS[name]),
                required=False,
                choices=options,
                widget=forms.CheckboxSelectMultiple,
                initial=None if rule is None else [str(value) for value in getattr(rule, name) or ()],
            )

    def _with_added(
        self, data: Mapping[str, Any], options: Mapping[str, Sequence[tuple[str, str]]]
    ) -> QueryDict:
        """What was typed into a condition of many values is ticked with the rest."""
        more = data.copy() if isinstance(data, QueryDict) else QueryDict("", mutable=True)
        if not isinstance(data, QueryDict):
            for name, value in data.items():
                more.setlist(name, list(value) if isinstance(value, list | tuple) else [value])
        for name in self.many:
            text = more.get(f"more-{name}", "").strip()
            if not text:
                continue
            model: Any = {"offerings": Offering, "publishers": Publisher, "territories": Territory}.get(name)
            found = [str(row.pk) for row in named(model.objects.all(), [text])[text]] if model else [text]
            if len(found) == 1 and found[0] in {value for value, _label in options[name]}:
                more.appendlist(name, found[0])
                more[f"more-{name}"] = ""
            else:
                self.unknown[name] = text
        return more

    @property
    def conditions(self) -> list[Condition]:
        """Each condition's field as it is shown: of many values those that are ticked and the first of the rest."""
        shown = []
        for name in LABELS:
            field, ticked = self[name], {str(value) for value in self[name].value() or ()}
            options: list[tuple[str, str]] = list(field.field.choices)  # type: ignore[attr-defined]
            if name in self.many:
                mine = [option for option in options if option[0] in ticked]
                rest = [option for option in options if option[0] not in ticked]
                field.field.widget.choices = [*mine, *rest[: max(FIRST - len(mine), 0)]]
            shown.append(
                Condition(
                    field, len(ticked), name, name in self.many, len(options), self.unknown.get(name, "")
                )
            )
        return shown

    def clean_factor(self) -> int:
        text = self.cleaned_data["factor"]
        value = ppm(text)
        if value is None or value < 0:
            raise forms.ValidationError(
                formats.misread(text, most=MOST_PER_CENT)
                or _("Enter a percentage of 0 or more, such as 110 or 5, with at most four decimals.")
            )
        return value

    def clean_priority(self) -> int:
        text = str(self.cleaned_data["priority"] or "0").strip().replace("−", "-")
        if not text.removeprefix("-").isdecimal() or len(text) > 6:
            raise forms.ValidationError(_("Enter a whole number."))
        return int(text)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in self.unknown:
            self.add_error(name, _("Nothing is called so, or several are: take one of the list."))
        text = str(cleaned.get("cap") or "").strip()
        measure = self.measures.get(int(cleaned.get("measure") or 0))
        if text and measure is not None:
            exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
            amount = minor(text, exponent)
            if amount is None or amount < 0:
                self.add_error("cap", _wrong_amount(text, 2_000_000))
            cleaned["cap"] = amount
        return cleaned

    def draft(self) -> RuleDraft:
        """What was entered; only after is_valid()."""
        entered = self.cleaned_data
        return RuleDraft(
            name=entered["name"],
            measure_id=int(entered["measure"]),
            factor_ppm=entered["factor"],
            receivers=int(entered["receivers"]),
            exclusive=entered["exclusive"] == "one",
            cap_minor=entered["cap"] if entered["cap"] != "" else None,
            starts=entered["starts"],
            ends=next_day(entered["last"]),
            priority=entered["priority"],
            conditions={name: [int(v) if name in NUMBERED else v for v in entered[name]] for name in LABELS},
        )

    def place(self, problems: Iterable[Problem]) -> list[Problem]:
        return super().place(
            Problem(p.code, p.message, p.pointer.replace("/ends", "/last")) for p in problems
        )

    def _entered(self, rule: RuleVersion) -> dict[str, Any]:
        measure = self.measures[rule.measure_id]
        exponent = measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT
        return {
            "name": rule.name,
            "measure": rule.measure_id,
            "receivers": rule.receivers,
            "exclusive": "one" if rule.exclusive else "adds",
            "factor": written_ppm(rule.factor_ppm),
            "cap": "" if rule.cap_minor is None else _major(rule.cap_minor, exponent),
            "starts": rule.effective.lower if rule.effective else None,
            "last": last_day(rule.effective.upper) if rule.effective else None,
            "priority": str(rule.priority),
        }


def condition_choices(rule: RuleVersion | None = None) -> dict[str, list[tuple[str, str]]]:
    """What each condition can name, and whatever the rule names although it is gone. 8 queries."""
    customers = Customer.objects.order_by()
    offerings = list(
        Offering.objects.exclude(commercial_path=CommercialPath.INTERNAL)
        .select_related("publisher")
        .order_by("name", "pk")
    )
    found: dict[str, list[tuple[str, str]]] = {
        "deal_kinds": spoken_choices(DealKind.choices),
        "segments": [
            (s, place(s)) for s in sorted(set(customers.values_list("segment", flat=True).distinct()))
        ],
        "regions": [
            (r, place(r)) for r in sorted(set(customers.values_list("region", flat=True).distinct()))
        ],
        "roles": spoken_choices(SalesRole.choices),
        "publishers": [(str(p.pk), p.name) for p in Publisher.objects.order_by("name", "pk")],
        "families": [(f, f) for f in sorted({o.family for o in offerings})],
        "offerings": [(str(o.pk), f"{o.name}, {o.publisher.name}") for o in offerings],
        "paths": spoken_choices(CommercialPath.choices),
        "task_areas": [(str(a.pk), a.name) for a in TaskArea.objects.order_by("position", "pk")],
        "pricing_forms": spoken_choices(PricingForm.choices),
        "territories": [(str(t.pk), t.name) for t in Territory.objects.order_by("name", "pk")],
    }
    if rule is not None:
        for name, options in found.items():
            known = {value for value, _rest in options}
            gone = [str(value) for value in getattr(rule, name) or () if str(value) not in known]
            options += [(value, _("%(value)s, not for sale any more") % {"value": value}) for value in gone]
    return found


MOST_TIERS: Final = 12
BLANK_TIERS: Final = 2
PAYS: Final = [("", later("Nothing: it only counts toward attainment")), *spoken_choices(PayBy.choices)]


class ComponentsForm:
    """One row a measure: its weight, perhaps a target incentive, and how it pays. A row without a weight is no component."""

    def __init__(self, *, version: PlanVersion, data: QueryDict | None = None) -> None:
        self.measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
        self.currencies = {c.code: c for c in Currency.objects.order_by("code")}
        known = {c.measure_id: c for c in components_of(version)}
        self.paid = {pk for pk, component in known.items() if terms_of(component) is not None}
        self.errors: dict[int, dict[str, str]] = {}
        self.rest: list[Problem] = []
        self.rows: list[dict[str, Any]] = []
        usual = next(iter(self.currencies), "USD") if "USD" not in self.currencies else "USD"
        for measure in self.measures:
            component = known.get(measure.pk)
            weight = written_ppm(component.weight_ppm) if component else ""
            incentive = (
                _major(component.target_incentive_minor, component.currency.exponent)
                if component and component.target_incentive_minor is not None and component.currency
                else ""
            )
            code = component.currency_id if component and component.currency_id else usual
            pay = self._stored(measure, component, code)
            if data is not None:
                weight = str(data.get(f"weight-{measure.pk}", ""))[:40]
                incentive = str(data.get(f"incentive-{measure.pk}", ""))[:40]
                code = str(data.get(f"currency-{measure.pk}", code))[:3]
                pay = self._entered(measure, data)
            rows = pay["tiers"]
            blank = max(BLANK_TIERS, 3 - len(rows))
            pay["tiers"] = (rows + [("", "")] * blank)[:MOST_TIERS]
            self.rows.append(
                {"measure": measure, "weight": weight, "incentive": incentive, "currency": code, "pay": pay}
            )

    def _stored(self, measure: Measure, component: PlanComponent | None, code: str) -> dict[str, Any]:
        terms = terms_of(component) if component else None
        if terms is None:
            return {
                "by": "",
                "window": Grain.QUARTER,
                "tiers": [],
                "threshold": "",
                "cap": "",
                "whole": False,
            }
        cap = terms.currency or self.currencies.get(code)
        return {
            "by": terms.by,
            "window": terms.window,
            "tiers": [
                (self._place(start, terms.by, measure), written_ppm(rate)) for start, rate in terms.tiers
            ],
            "threshold": self._place(terms.threshold, terms.by, measure) if terms.threshold else "",
            "cap": "" if terms.cap_minor is None or cap is None else _major(terms.cap_minor, cap.exponent),
            "whole": terms.whole_amount,
        }

    def _entered(self, measure: Measure, data: QueryDict) -> dict[str, Any]:
        def text(name: str) -> str:
            return str(data.get(f"{name}-{measure.pk}", ""))[:40].strip()

        tiers = [(text(f"from{nth}"), text(f"rate{nth}")) for nth in range(MOST_TIERS)]
        return {
            "by": text("pays"),
            "window": text("window"),
            "tiers": [pair for pair in tiers if any(pair)],
            "threshold": text("threshold"),
            "cap": text("cap"),
            "whole": bool(data.get(f"whole-{measure.pk}")),
        }

    def _place(self, at: int, by: str, measure: Measure) -> str:
        if by == PayBy.ATTAINMENT:
            return written_ppm(at)
        return _major(at, measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT)

    def _read_place(self, text: str, by: str, measure: Measure) -> int | None:
        if by == PayBy.ATTAINMENT:
            return ppm(text)
        return minor(text, measure.currency.exponent if measure.currency else formats.COUNT_EXPONENT)

    @property
    def together(self) -> int | None:
        """Parts per million; None where a weight cannot be read."""
        weights = [ppm(row["weight"]) for row in self.rows if row["weight"].strip()]
        return None if None in weights else sum(weight for weight in weights if weight is not None)

    def drafts(self) -> list[ComponentDraft] | None:
        """What was entered; None where something cannot be read, which is then said in errors."""
        found = []
        for row in self.rows:
            pk, weight, incentive = row["measure"].pk, row["weight"].strip(), row["incentive"].strip()
            pay = row["pay"]
            rates = any(any(pair) for pair in pay["tiers"]) or pay["threshold"] or pay["cap"]
            if rates and not pay["by"] and pk not in self.paid:
                self._wrong(pk, "tiers", _("Choose what it pays by, or empty the rates."))
            if not weight and not incentive and not pay["by"]:
                continue
            read = ppm(weight)
            if read is None or not 0 < read <= 1_000_000:
                self._wrong(pk, "weight", _("Enter a percentage above 0 and up to 100."))
            currency = self.currencies.get(row["currency"])
            amount = minor(incentive, currency.exponent) if incentive and currency else None
            if incentive and (amount is None or amount < 0):
                self._wrong(pk, "incentive", _wrong_amount(incentive, 60_000))
            scale = self._scale(row) if pay["by"] else None
            found.append(ComponentDraft(pk, read or 0, amount, row["currency"] if incentive else None, scale))
        return None if self.errors else found

    def _scale(self, row: Mapping[str, Any]) -> ScaleDraft:
        """What was entered of how a component pays; what cannot be read is said in errors."""
        measure, pay = row["measure"], row["pay"]
        by = pay["by"]
        if by not in PayBy.values or pay["window"] not in Grain.values:
            self._wrong(measure.pk, "tiers", _("Choose what it pays by, and the window."))
        tiers = []
        for nth, (start, rate) in enumerate((pair for pair in pay["tiers"] if any(pair)), start=1):
            at, of = self._read_place(start, by, measure), ppm(rate)
            if not start or not rate:
                self._wrong(
                    measure.pk,
                    "tiers",
                    _("Rate %(nth)s: say both from where on and how much.") % {"nth": nth},
                )
            elif at is None or of is None:
                self._wrong(
                    measure.pk, "tiers", _("Rate %(nth)s: enter numbers, such as 50 and 100.") % {"nth": nth}
                )
            else:
                tiers.append((at, of))
        threshold = self._read_place(pay["threshold"], by, measure) if pay["threshold"] else 0
        if threshold is None:
            self._wrong(measure.pk, "threshold", _("Enter a number, such as 50."))
        money = self.currencies.get(row["currency"]) if row["incentive"].strip() else measure.currency
        cap = minor(pay["cap"], money.exponent) if pay["cap"] and money else None
        if pay["cap"] and cap is None:
            self._wrong(measure.pk, "cap", _wrong_amount(pay["cap"], 30_000))
        return ScaleDraft(
            tiers=tiers,
            by=by,
            window=pay["window"],
            threshold=threshold or 0,
            whole_amount=pay["whole"],
            cap_minor=cap,
        )

    def _wrong(self, measure: int, field: str, said: str) -> None:
        self.errors.setdefault(measure, {}).setdefault(field, said)

    def place(self, drafts: Sequence[ComponentDraft], problems: Iterable[Problem]) -> None:
        """Put each problem beside the field of its measure; what is about all of them goes to rest."""
        fields = {"weight": "weight", "tiers": "tiers", "by": "tiers", "threshold": "threshold", "cap": "cap"}
        for problem in problems:
            steps = problem.pointer.strip("/").split("/")
            if len(steps) >= 3 and steps[1].isdecimal():
                of = drafts[int(steps[1])].measure_id
                self._wrong(of, fields.get(steps[-1], "incentive"), problem.message)
            else:
                self.rest.append(problem)

    def shown(self) -> list[dict[str, Any]]:
        return [{**row, "errors": self.errors.get(row["measure"].pk, {})} for row in self.rows]


class AssignmentForm(Described):
    """Who has the plan, from when until when."""

    whom = forms.ChoiceField(label=later("Who"), choices=())
    rep = _text(
        later("Or one rep"),
        required=False,
        help_text=later("With “One rep” above: the whole name, as suggested."),
        **sought("reps"),
    )
    starts = _day(later("First day"), required=True)
    last = _day(later("Last day"), required=False, help_text=later("Empty: until further notice."))
    reason = _text(
        later("Reason"), help_text=later("It is kept with the assignment, and with the run that it starts.")
    )

    def __init__(self, data: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        choices = [(EVERYBODY, _("Everybody")), *spoken_choices(SalesRole.choices), ("rep", _("One rep"))]
        self.fields["whom"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("rep") and cleaned.get("whom") != "rep":
            self.add_error("whom", _("A rep is named below: choose “One rep”, or empty the name."))
        return cleaned


class TryForm(Described):
    """A deal to try a version on."""

    kind = forms.ChoiceField(
        choices=spoken_choices(DealKind.choices), initial=DealKind.NEW_BUSINESS, label=later("Kind of deal")
    )
    offering = OneOf(
        Offering.objects.exclude(commercial_path=CommercialPath.INTERNAL).order_by("name", "pk"),
        find=reverse_lazy("quotas:deal-find", args=["offerings"]),
        label=later("Offering"),
        empty_label=None,
        error_messages={"invalid_choice": later("Choose one of the offerings.")},
    )
    pricing_form = forms.ChoiceField(
        choices=[("", later("Any")), *spoken_choices(PricingForm.choices)],
        required=False,
        label=later("Pricing"),
    )
    region = forms.ChoiceField(choices=(), label=later("Region"))
    segment = forms.ChoiceField(choices=(), label=later("Segment"))
    role = forms.ChoiceField(
        choices=spoken_choices(SalesRole.choices), initial=SalesRole.ACCOUNT_EXECUTIVE, label=later("Sold by")
    )
    territory = OneOf(
        Territory.objects.order_by("name", "pk"),
        find=reverse_lazy("quotas:deal-find", args=["territories"]),
        required=False,
        label=later("Territory of the customer"),
        empty_label=later("Wherever such a customer lies"),
        error_messages={"invalid_choice": later("Choose one of the territories.")},
    )
    amount = _text(later("Amount in US dollars"), inputmode="decimal", css="num-in")
    close_date = _day(later("Close date"), required=True)
    new_customer = forms.BooleanField(required=False, label=later("New customer"))

    def __init__(self, data: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        choices = condition_choices()
        for name, options in (
            ("region", choices["regions"]),
            ("segment", choices["segments"]),
        ):
            self.fields[name].choices = options  # type: ignore[attr-defined]

    def clean_amount(self) -> int:
        value = minor(self.cleaned_data["amount"], 2)
        if value is None or value <= 0 or value > 9_000_000_000_000:
            raise forms.ValidationError(_wrong_amount(self.cleaned_data["amount"], 100_000))
        return value

    def tryout(self) -> Tryout:
        entered = self.cleaned_data
        return Tryout(
            kind=entered["kind"],
            offering_id=entered["offering"].pk,
            segment=entered["segment"],
            region=entered["region"],
            role=entered["role"],
            amount_minor=entered["amount"],
            close_date=entered["close_date"],
            pricing_form=entered["pricing_form"],
            territory_id=entered["territory"].pk if entered["territory"] else None,
            new_customer=entered["new_customer"],
        )


class SpanForm(Described):
    """Months of the past."""

    starts = _day(later("From"), required=True)
    last = _day(later("Until, that day included"), required=True)


def _wrong_amount(text: object, example: int) -> str:
    return formats.misread(text) or _("Enter an amount, such as %(example)s.") % {
        "example": formats.whole(example)
    }


def _major(amount: int, exponent: int) -> str:
    """Minor units as they are typed, without zero decimals."""
    value = Decimal(amount).scaleb(-exponent)
    return formats.entered(value.normalize(), grouped=True)
