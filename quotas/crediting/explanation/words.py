"""How facts, rules and amounts are said in explanations; the same words for a credit, a missing one and an estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from config import house as formats
from marketplace.models import CommercialPath, PricingForm
from quotas.crediting.arithmetic import ONE_PPM
from quotas.models import DealKind, Measure, SalesRole

CONDITIONS: Final[Mapping[str, str]] = {
    "deal_kinds": "kind of deal",
    "regions": "region",
    "segments": "segment",
    "roles": "role",
    "territories": "territory",
    "publishers": "publisher",
    "families": "family",
    "offerings": "offering",
    "paths": "commercial path",
    "task_areas": "task area",
    "pricing_forms": "pricing",
}
"""Conditions of a rule in the order in which they are tried: what a rep knows best comes first."""

_CHOICES: Final[Mapping[str, Mapping[str, str]]] = {
    "paths": dict(CommercialPath.choices),
    "pricing_forms": dict(PricingForm.choices),
    "deal_kinds": dict(DealKind.choices),
    "roles": dict(SalesRole.choices),
}
_INITIALS: Final = ("emea", "apac", "latam", "mea", "uk", "us")
DEALS: Final[Mapping[str, str]] = {
    DealKind.NEW_BUSINESS: "new business",
    DealKind.EXPANSION: "expansions",
    DealKind.RENEWAL: "renewals",
    DealKind.REFUND: "refunds",
    DealKind.CONSUMPTION: "consumption",
}


@dataclass(frozen=True)
class Money:
    """Writes minor units of one currency, or of a count where there is none."""

    code: str | None
    exponent: int

    def __call__(self, minor: int) -> str:
        return formats.measured(minor, self.code, self.exponent)

    def exact(self, numerator: int, digits: int) -> str:
        """numerator / 10^digits minor units with every decimal that it has, not rounded."""
        if self.code is None:
            return formats.count(numerator, self.exponent + digits)
        while digits and numerator % 10 == 0:
            numerator, digits = numerator // 10, digits - 1
        return formats.money(numerator, self.code, self.exponent + digits)


def money_of(measure: Measure) -> Money:
    """Reads the measure's currency: select_related it."""
    if measure.currency is None:
        return Money(None, formats.COUNT_EXPONENT)
    return Money(measure.currency.code, measure.currency.exponent)


def percent(ppm: int) -> str:
    """Parts per million as per cent, with as many decimals as it has: 333333 is "33.3333%"."""
    text = formats.percent(ppm, ONE_PPM, 4).rstrip("%")
    return f"{text.rstrip('0').rstrip('.')}%"


def day(on: date) -> str:
    return f"{on:%-d %B %Y}"


def span(effective: Any) -> str:
    """A half-open span of days as people say it: its last day is the one before its end."""
    first, end = effective.lower, effective.upper
    last = end - timedelta(days=1) if end else None
    if first and last:
        return f"from {day(first)} to {day(last)}"
    return f"since {day(first)}" if first else f"until {day(last)}" if last else "always"


def place(name: str) -> str:
    """A region or segment as it is read: "emea" is "EMEA", "public-sector" is "Public sector"."""
    return name.upper() if name in _INITIALS else name.replace("-", " ").replace("_", " ").capitalize()


def said(condition: str, value: object, names: Mapping[str, Mapping[int, str]]) -> str:
    """One value of a condition; names has those of ids, by condition."""
    if value is None or value == "":
        return "none"
    if isinstance(value, int):
        return names.get(condition, {}).get(value, f"number {value}")
    if condition in ("regions", "segments"):
        return place(str(value))
    label = _CHOICES.get(condition, {}).get(str(value), str(value))
    return label[0].lower() + label[1:] if condition in _CHOICES else label


def either(words: Sequence[str], joined: str = "or") -> str:
    if not words:
        return "nothing"
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joined} {words[-1]}"


def both(words: Sequence[str]) -> str:
    return either(words, "and")


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
