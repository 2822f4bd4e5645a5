"""Money in JSON: {"amount": "3.00", "currency": "USD"}, a decimal string, exact to the minor unit."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from config.refusals import Invalid, Problem

PLAIN: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")
CODE: Final = re.compile(r"[A-Z]{3}")

MONEY_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["amount", "currency"],
    "additionalProperties": False,
    "properties": {
        "amount": {"type": "string", "pattern": r"^-?\d{1,15}(\.\d{1,9})?$", "examples": ["412000.00"]},
        "currency": {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["USD"]},
    },
}


class Currency(Protocol):
    @property
    def code(self) -> str: ...

    @property
    def exponent(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Money:
    """An amount as somebody wrote it, with its currency."""

    amount: Decimal
    currency: str

    def minor(self, exponent: int, *, pointer: str = "") -> int:
        """In minor units. Raises Invalid (too_many_digits) rather than round; exponent as ISO 4217 has it: JPY 0, USD 2."""
        scaled = self.amount.scaleb(exponent)
        if scaled != scaled.to_integral_value():
            digits = f"at most {exponent} digits" if exponent else "no digits"
            raise Invalid(
                Problem(
                    "too_many_digits",
                    f"{self.currency} has {digits} after the point.",
                    f"{pointer}/amount" if pointer else "/amount",
                )
            )
        return int(scaled)


def money(minor: int | None, code: str, exponent: int) -> dict[str, str] | None:
    """Minor units as the API writes them; None stays None, an unknown price is not 0."""
    return None if minor is None else {"amount": decimal(minor, exponent), "currency": code}


def decimal(value: int, exponent: int) -> str:
    """An integer of 10^-exponent as a decimal string: (300, 2) is "3.00", (-5, 0) is "-5"."""
    units, part = divmod(abs(value), 10**exponent)
    sign = "-" if value < 0 else ""
    return f"{sign}{units}.{part:0{exponent}d}" if exponent else f"{sign}{units}"


@extend_schema_field(MONEY_SCHEMA)
class MoneyField(serializers.Field[Money, Any, dict[str, str] | None, Any]):
    """Reads a Money; writes an integer of the object beside a currency of the object.

    minor      Path to the minor units, as in "amount_minor". Only for writing out.
    currency   Path to the currency: something with code and exponent. Only for writing out.
    """

    default_error_messages = {
        "not_money": 'Write money as {{"amount": "3.00", "currency": "USD"}}.',
        "unknown_field": "Money has an amount and a currency, nothing else.",
        "required": "This field is required.",
        "not_a_decimal": 'Write the amount as a plain decimal in a string, such as "3.00".',
        "not_a_currency": "Write the currency as three capital letters, such as USD.",
    }

    def __init__(self, *, minor: str = "", currency: str = "currency", **options: Any) -> None:
        self.minor = minor
        self.currency = currency
        if minor:
            options["source"] = "*"
            options.setdefault("read_only", True)
        super().__init__(**options)

    def to_representation(self, value: Any) -> dict[str, str] | None:
        if isinstance(value, Money):
            return {"amount": f"{value.amount:f}", "currency": value.currency}
        currency: Currency = _follow(value, self.currency)
        return money(_follow(value, self.minor), currency.code, currency.exponent)

    def to_internal_value(self, data: Any) -> Money:
        if not isinstance(data, Mapping):
            self.fail("not_money")
        wrong: dict[str, list[ErrorDetail]] = {}
        for name in data.keys() - {"amount", "currency"}:
            wrong[str(name)] = self._error("unknown_field")
        for name, known, code in (("amount", PLAIN, "not_a_decimal"), ("currency", CODE, "not_a_currency")):
            if name not in data:
                wrong[name] = self._error("required")
            elif not isinstance(data[name], str) or not known.fullmatch(data[name]):
                wrong[name] = self._error(code)
        if wrong:
            raise serializers.ValidationError(wrong)
        return Money(Decimal(data["amount"]), data["currency"])

    def _error(self, code: str) -> Any:
        return [ErrorDetail(str(self.error_messages[code]), code)]


def _follow(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value
