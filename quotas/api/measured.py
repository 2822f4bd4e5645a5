"""Amounts of measures in JSON: money where the measure has a currency, else a decimal string."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.formats import COUNT_EXPONENT, rounded
from config.rest.fields import MONEY_SCHEMA, decimal, money
from quotas.models import Measure

Measured = dict[str, str] | str

COUNT_SCHEMA: dict[str, Any] = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$", "examples": ["12", "0.5"]}
MEASURED_SCHEMA: dict[str, Any] = {
    "oneOf": [MONEY_SCHEMA, COUNT_SCHEMA],
    "description": "Money of a measure that has a currency, a decimal string of one that counts.",
}
MEASURED_OR_NULL: dict[str, Any] = {
    "oneOf": [MONEY_SCHEMA, COUNT_SCHEMA, {"type": "null"}],
    "description": "Money or a decimal string, as the measure has it. Null where there is none, or where it is not yours to see.",
}


def measured(value: int | None, measure: Measure) -> Measured | None:
    """A value of a measure; None stays None. Reads the measure's currency: select_related it."""
    if value is None:
        return None
    if measure.currency is None:
        digits = decimal(value, COUNT_EXPONENT)
        return digits.rstrip("0").rstrip(".")
    return money(value, measure.currency.code, measure.currency.exponent)


def percent(part: int, whole: int | None) -> str | None:
    """part / whole in per cent with four decimals, halves away from zero; None without anything to divide by."""
    return None if not whole else decimal(rounded(Fraction(part * 1_000_000, whole)), 4)


def percent_of_ppm(ppm: int) -> str:
    return decimal(ppm, 4)


@extend_schema_field(MEASURED_SCHEMA)
class MeasuredField(serializers.Field[Any, Any, Measured | None, Any]):
    """Writes the minor units at *minor* of an object in the terms of the measure at *measure*."""

    def __init__(self, *, minor: str = "amount_minor", measure: str = "measure", **options: Any) -> None:
        self.minor, self.measure = minor, measure
        super().__init__(source="*", read_only=True, **options)

    def to_representation(self, value: Any) -> Measured | None:
        return measured(_read(value, self.minor), _read(value, self.measure))


@extend_schema_field(MEASURED_OR_NULL)
class MeasuredOrNull(MeasuredField):
    """The same where it can be missing."""


def _read(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, Mapping) else getattr(value, name)
