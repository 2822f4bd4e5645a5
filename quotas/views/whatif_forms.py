"""Forms of questions: a deal split otherwise, an account another's, another quota. Sent by GET, because nothing is written."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from django import forms

from config import formats
from config.formats import COUNT_EXPONENT
from config.language import _, later, spoken_choices
from config.refusals import Problem, Refusal
from marketplace.models import Customer
from quotas.forms import minor, ppm, written_ppm
from quotas.models import Deal, Measure, Period, QuotaMethod, Rep
from quotas.services.booking import ShareDraft
from quotas.views.facts import Day, Thing

ROWS: Final = 6


class Question(forms.Form):
    """What every question has: problems of the service beside their fields."""

    use_required_attribute = False

    def refuse(self, refused: Refusal) -> None:
        for problem in refused.problems:
            self.add_error(self.field_of(problem), problem.message)

    def field_of(self, problem: Problem) -> str | None:
        name = problem.pointer.strip("/").split("/")[0]
        return name if name in self.fields else None


class SplitForm(Question):
    """Reps and per cents in rows; what a deal has now stands in them first."""

    deal = forms.CharField(
        label=later("Deal"),
        max_length=20,
        help_text=later("Its number, such as D-000017."),
        error_messages={"required": later("Enter the deal's number.")},
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for n in range(1, ROWS + 1):
            self.fields[f"rep_{n}"] = Thing(Rep, _("Rep %(n)s") % {"n": n}, required=False)
            self.fields[f"percent_{n}"] = forms.CharField(
                label=later("Share %(n)s") % {"n": n},
                required=False,
                max_length=12,
                widget=forms.TextInput(
                    attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}
                ),
            )

    def clean_deal(self) -> int:
        digits = self.cleaned_data["deal"].strip().upper().removeprefix("D-").lstrip("0")
        if not digits.isdecimal() or not digits.isascii() or len(digits) > 15:
            raise forms.ValidationError(_("Enter the deal's number, such as D-000017."))
        return int(digits)

    def clean(self) -> dict[str, Any]:
        """shares: the rows that were filled in, in their order."""
        entered = super().clean() or {}
        shares = []
        for n in range(1, ROWS + 1):
            rep, text = entered.get(f"rep_{n}"), entered.get(f"percent_{n}") or ""
            if rep is None and not text:
                continue
            share = ppm(text)
            if rep is None and f"rep_{n}" not in self.errors:
                self.add_error(f"rep_{n}", _("Choose who has this share."))
            if share is None or not 0 < share <= 1_000_000:
                self.add_error(f"percent_{n}", _("Enter a share above 0 % and at most 100 %."))
            elif rep is not None:
                shares.append(ShareDraft(rep.pk, share))
        if not shares and not self.errors:
            self.add_error("rep_1", _("Say who would have the credit."))
        entered["shares"] = shares
        return entered

    def field_of(self, problem: Problem) -> str | None:
        """A problem of a share stands beside its row; of all of them, above."""
        parts = problem.pointer.strip("/").split("/")
        if len(parts) == 3 and parts[0] == "shares":
            return f"{'percent' if parts[2] == 'percent' else 'rep'}_{int(parts[1]) + 1}"
        return super().field_of(problem)

    @property
    def rows(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[f"rep_{n}"], self[f"percent_{n}"]) for n in range(1, ROWS + 1)]

    @staticmethod
    def starting_with(deal: Deal, shares: Iterable[tuple[str, int]]) -> dict[str, str]:
        """The shares that a deal has, to start from."""
        start = {"deal": deal.reference}
        for n, (name, share) in enumerate(list(shares)[:ROWS], start=1):
            start |= {f"rep_{n}": name, f"percent_{n}": written_ppm(share)}
        return start


class AccountForm(Question):
    customer = Thing(Customer, later("Customer"))
    rep = Thing(Rep, later("New owner"))
    starts = Day(later("From"), help_text=later("The first credit date that is the new owner's."))
    holdover_until = Day(
        later("Holdover to before"),
        required=False,
        help_text=later(
            "Until then whoever is credited now is credited still. Empty: the new owner from the first day."
        ),
    )


class QuotaForm(Question):
    rep = Thing(Rep, later("Rep"))
    measure = forms.ChoiceField(label=later("Measure"))
    period = forms.ChoiceField(label=later("Period"))
    amount = forms.CharField(
        label=later("Quota"),
        max_length=24,
        error_messages={"required": later("Enter the quota.")},
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num-in"}),
    )
    method = forms.ChoiceField(
        label=later("Earlier versions"), choices=spoken_choices(QuotaMethod.choices), required=False
    )
    starts = Day(
        later("From"),
        required=False,
        help_text=later("The first day of the new quota, where versions are weighted by their days."),
    )

    def __init__(
        self, *args: Any, measures: Sequence[Measure], periods: Sequence[Period], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.measures = {str(measure.pk): measure for measure in measures}
        self.fields["measure"].choices = [(pk, m.name) for pk, m in self.measures.items()]  # type: ignore[attr-defined]
        self.fields["period"].choices = [(str(p.pk), p.name) for p in periods]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        entered = super().clean() or {}
        measure = self.measures.get(entered.get("measure", ""))
        if measure is not None and "amount" in entered:
            exponent = measure.currency.exponent if measure.currency else COUNT_EXPONENT
            amount = minor(entered["amount"], exponent)
            if amount is None or amount < 0:
                self.add_error(
                    "amount",
                    formats.misread(entered["amount"])
                    or _("Enter an amount such as %(example)s, not below zero.")
                    % {"example": formats.whole(100_000)},
                )
            entered["amount_minor"] = amount
        return entered
