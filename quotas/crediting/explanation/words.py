"""How facts, rules and amounts are said in explanations; the same words for a credit, a missing one and an estimate.

They are said as whoever reads them now reads: in English and the house's style, unless a page has them told (telling.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from django.utils.translation import get_language

from config import formats
from config.language import _, marked, ngettext, spoken
from marketplace.models import CommercialPath, PricingForm
from quotas.crediting.arithmetic import ONE_PPM
from quotas.models import DealKind, Measure, SalesRole

CONDITIONS: Final[Mapping[str, str]] = {
    "deal_kinds": marked("kind of deal"),
    "regions": marked("region"),
    "segments": marked("segment"),
    "roles": marked("role"),
    "territories": marked("territory"),
    "publishers": marked("publisher"),
    "families": marked("family"),
    "offerings": marked("offering"),
    "paths": marked("commercial path"),
    "task_areas": marked("task area"),
    "pricing_forms": marked("pricing"),
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
    DealKind.NEW_BUSINESS: marked("new business"),
    DealKind.EXPANSION: marked("expansions"),
    DealKind.RENEWAL: marked("renewals"),
    DealKind.REFUND: marked("refunds"),
    DealKind.CONSUMPTION: marked("consumption"),
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
    places = next(places for places in range(5) if not ppm % 10 ** (4 - places))
    return formats.percent(ppm, ONE_PPM, places)


def multiplied(ppm: int) -> str:
    """A share that something is multiplied by: "× 70%"."""
    return f"\N{MULTIPLICATION SIGN} {percent(ppm)}"


def day(on: date) -> str:
    """14 August 2026; a moment falls on the day that it was for whoever reads."""
    return formats.day_long(on)


def span(effective: Any) -> str:
    """A half-open span of days as people say it: its last day is the one before its end."""
    first, end = effective.lower, effective.upper
    last = end - timedelta(days=1) if end else None
    if first and last:
        return _("from %(first)s to %(last)s") % {"first": day(first), "last": day(last)}
    if first:
        return _("since %(day)s") % {"day": day(first)}
    return _("until %(day)s") % {"day": day(last)} if last else _("always")


def place(name: str) -> str:
    """A region or segment as it is read: "emea" is "EMEA", "public-sector" is "Public sector"."""
    return name.upper() if name in _INITIALS else name.replace("-", " ").replace("_", " ").capitalize()


def inside(label: str) -> str:
    """A label within a sentence."""
    return small(spoken(label))


def small(text: str) -> str:
    """What begins a sentence, within one: small in English; other languages keep what their catalog says."""
    return text[:1].lower() + text[1:] if (get_language() or "en").startswith("en") else text


def said(condition: str, value: object, names: Mapping[str, Mapping[int, str]]) -> str:
    """One value of a condition; names has those of ids, by condition."""
    if value is None or value == "":
        return _("none")
    if isinstance(value, int):
        return names.get(condition, {}).get(value) or _("number %(number)s") % {"number": value}
    if condition in ("regions", "segments"):
        return place(str(value))
    label = _CHOICES.get(condition, {}).get(str(value), str(value))
    return inside(label) if condition in _CHOICES else label


def either(words: Sequence[str]) -> str:
    """a, b or c."""
    if len(words) > 1:
        return _("%(some)s or %(last)s") % {"some": ", ".join(words[:-1]), "last": words[-1]}
    return words[0] if words else _("nothing")


def both(words: Sequence[str]) -> str:
    """a, b and c."""
    if len(words) > 1:
        return _("%(some)s and %(last)s") % {"some": ", ".join(words[:-1]), "last": words[-1]}
    return words[0] if words else _("nothing")


def conditions(number: int) -> str:
    return ngettext("%(number)s condition", "%(number)s conditions", number) % {"number": number}


def stopped(text: str) -> str:
    """What somebody wrote, as a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def sentence(phrase: str) -> str:
    """A phrase as a sentence of its own."""
    return f"{phrase[:1].upper()}{phrase[1:]}."
