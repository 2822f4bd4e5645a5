"""Pay as pages write it."""

from django import template

from config import formats
from marketplace.models import Currency
from quotas.models import Grain
from quotas.selectors.pay_words import WINDOWS

register = template.Library()


@register.filter
def window_word(grain: str) -> str:
    """Grain of a window in words: quarter."""
    return WINDOWS[Grain(grain)]


@register.simple_tag
def pay(minor: int | None, currency: Currency | None, signed: bool = False, compact: bool = False) -> str:
    """Minor units of a currency as money; a dash for none."""
    if minor is None or currency is None:
        return formats.NO_VALUE
    return formats.money(minor, currency.code, currency.exponent, signed=signed, compact=compact)
