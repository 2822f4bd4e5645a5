"""Numbers and days as the house writes them, whoever asks: for what is kept, counted over, sealed, or sent to programs.

The same functions as config/formats.py. Services and the crediting engine write with these, so that a record does not depend
on who happened to look; a test holds it.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import wraps
from typing import Final, ParamSpec
from zoneinfo import ZoneInfo

from django.conf import settings

from config import formats
from config.formats import COUNT_EXPONENT, NO_VALUE, iso, rounded
from config.locales import HOUSE, MINUS, in_effect

__all__ = [
    "COUNT_EXPONENT",
    "MINUS",
    "NO_VALUE",
    "count",
    "day",
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


money: Final = _in_house(formats.money)
count: Final = _in_house(formats.count)
measured: Final = _in_house(formats.measured)
percent: Final = _in_house(formats.percent)
points: Final = _in_house(formats.points)
multiplier: Final = _in_house(formats.multiplier)
whole: Final = _in_house(formats.whole)
decimal: Final = _in_house(formats.decimal)


@_in_house
def day(value: date | None, otherwise: str = NO_VALUE) -> str:
    return formats.day(_operators(value) if value is not None else None, otherwise)


@_in_house
def day_short(value: date) -> str:
    return formats.day_short(_operators(value))


@_in_house
def month(value: date) -> str:
    return formats.month(_operators(value))


@_in_house
def month_long(value: date) -> str:
    return formats.month_long(_operators(value))


@_in_house
def moment(value: datetime) -> str:
    return formats.moment(_clock(value))


@_in_house
def moment_exact(value: datetime) -> str:
    return formats.moment_exact(_clock(value))


def _operators(value: date) -> date:
    """A moment on the operator's clock; a day as it is."""
    return _clock(value) if isinstance(value, datetime) else value


def _clock(value: datetime) -> datetime:
    zone = ZoneInfo(settings.TIME_ZONE)
    return value.astimezone(zone).replace(tzinfo=None) if value.tzinfo is not None else value
