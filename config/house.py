"""Numbers and days as the house writes them, whoever asks: for what is kept, counted over, sealed, or sent to programs.

The same functions as config/formats.py. Services and the crediting engine write with these, so that a record does not depend
on who happened to look; a test holds it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone

from config import formats
from config.formats import COUNT_EXPONENT, NO_VALUE, iso, rounded
from config.locales import HOUSE, MINUS, in_effect, using

__all__ = [
    "COUNT_EXPONENT",
    "MINUS",
    "NO_VALUE",
    "count",
    "day",
    "day_long",
    "day_short",
    "decimal",
    "iso",
    "measured",
    "moment",
    "moment_exact",
    "money",
    "month",
    "month_long",
    "multiplier",
    "percent",
    "points",
    "rounded",
    "whole",
]

P = ParamSpec("P")


def _in_house(function: Callable[P, str]) -> Callable[P, str]:
    @wraps(function)
    def written(*args: P.args, **kwargs: P.kwargs) -> str:
        token = in_effect.set(HOUSE)
        try:
            return function(*args, **kwargs)
        finally:
            in_effect.reset(token)

    return written


def _on_the_operators_clock(function: Callable[P, str]) -> Callable[P, str]:
    @wraps(function)
    def written(*args: P.args, **kwargs: P.kwargs) -> str:
        with using(HOUSE), timezone.override(ZoneInfo(settings.TIME_ZONE)):
            return function(*args, **kwargs)

    return written


money: Final = _in_house(formats.money)
count: Final = _in_house(formats.count)
measured: Final = _in_house(formats.measured)
percent: Final = _in_house(formats.percent)
points: Final = _in_house(formats.points)
multiplier: Final = _in_house(formats.multiplier)
whole: Final = _in_house(formats.whole)
decimal: Final = _in_house(formats.decimal)
day: Final = _on_the_operators_clock(formats.day)
day_long: Final = _on_the_operators_clock(formats.day_long)
day_short: Final = _on_the_operators_clock(formats.day_short)
month: Final = _on_the_operators_clock(formats.month)
month_long: Final = _on_the_operators_clock(formats.month_long)
moment: Final = _on_the_operators_clock(formats.moment)
moment_exact: Final = _on_the_operators_clock(formats.moment_exact)
