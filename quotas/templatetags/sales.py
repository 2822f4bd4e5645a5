"""Amounts of a measure, and explanations of a credit, as the sales pages write them."""

from fractions import Fraction
from typing import Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config import formats
from config.language import _, later, spoken
from quotas.models import Component, Measure, PlanState
from quotas.views import Writer

register = template.Library()


@register.simple_tag
def amount(measure: Measure, minor: int | None, compact: bool = False, signed: bool = False) -> str:
    """Minor units of a measure: money of its currency, or a count."""
    if minor is None:
        return formats.NO_VALUE
    write = Writer.of(measure)
    return formats.measured(minor, write.code, write.exponent, compact=compact, signed=signed)


@register.simple_tag
def gap(attained: int, quota: int | None, pace_ppm: int) -> str:
    """Percentage points ahead of linear pace, or behind it."""
    if not quota:
        return formats.NO_VALUE
    return formats.points(Fraction(attained, quota) - Fraction(pace_ppm, 1_000_000))


@register.simple_tag
def component(number: int) -> str:
    return spoken(Component(number).label)


@register.filter
def exact_percent(ppm: int) -> str:
    """Parts per million as per cent, with as many decimals as it has and no sign: 333333 is "33.3333%"."""
    return formats.exact_percent(abs(ppm))


@register.filter
def place(name: str) -> str:
    """A region or segment as it is read: "emea" is "EMEA", "public-sector" is "Public sector"."""
    return (
        name.upper()
        if name in ("emea", "apac", "latam", "mea", "uk", "us")
        else name.replace("-", " ").capitalize()
    )


_PINS: Final = {
    "adjustment": later("Adjustment"),
    "deal": later("Deal"),
    "deal_version": later("Version of the deal"),
    "dispute": later("Dispute"),
    "eligibility_decision": later("Eligibility decision"),
    "fx_rate": later("Exchange rate"),
    "plan_version": later("Version of the plan"),
    "posting": later("Posting"),
    "reverses": later("Reverses"),
    "rule": later("Rule"),
    "rule_version": later("Version of the rule"),
    "team": later("Team"),
    "undone_by": later("Undone by"),
}


@register.filter
def plan_state(state: str) -> str:
    """The state of a plan version as a proof has kept it."""
    return spoken(PlanState(state).label)


@register.filter
def pin(name: str) -> str:
    """What an explanation calls one of its pins."""
    return str(_PINS[name])


@register.simple_tag
def hidden_amount() -> SafeString:
    """In place of an amount that this person may not see."""
    return format_html(
        '<span class="dim" aria-hidden="true">{}</span><span class="sr">{}</span>',
        *(formats.NO_VALUE, _("not shown to you")),
    )
