"""Money in and out, exact."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import serializers

from config.refusals import Invalid
from config.rest.fields import Money, MoneyField, decimal, money


class Out(serializers.Serializer[Any]):
    value = MoneyField(minor="amount_minor", currency="price.currency")


@given(minor=st.integers(-(10**14), 10**14), exponent=st.integers(0, 4))
def test_what_is_written_reads_back_to_the_minor_unit(minor: int, exponent: int) -> None:
    read = MoneyField().run_validation(money(minor, "USD", exponent))
    assert read.minor(exponent) == minor


@pytest.mark.parametrize(
    ("value", "exponent", "text"),
    [(300, 2, "3.00"), (-5, 2, "-0.05"), (0, 2, "0.00"), (-5, 0, "-5"), (1500, 3, "1.500")],
)
def test_decimals_have_the_digits_of_their_currency(value: int, exponent: int, text: str) -> None:
    assert decimal(value, exponent) == text


def test_an_unknown_price_is_not_zero() -> None:
    assert money(None, "USD", 2) is None


@pytest.mark.parametrize(
    "amount",
    [
        3.0,
        3,
        True,
        None,
        "NaN",
        "Infinity",
        "1e3",
        "1E3",
        " 1",
        "1 ",
        "1,000",
        "",
        "+1",
        ".5",
        "1.",
        "1_000",
        "٣",
        "1\n",
        "9" * 16,
    ],
)
def test_only_a_plain_decimal_in_a_string_is_an_amount(amount: object) -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        MoneyField().run_validation({"amount": amount, "currency": "USD"})
    assert refused.value.get_codes() == {"amount": ["not_a_decimal"]}


@pytest.mark.parametrize("currency", ["usd", "US", "USDX", 7, None, "USD\n"])
def test_only_three_capitals_are_a_currency(currency: object) -> None:
    with pytest.raises(serializers.ValidationError) as refused:
        MoneyField().run_validation({"amount": "1", "currency": currency})
    assert refused.value.get_codes() == {"currency": ["not_a_currency"]}


@pytest.mark.parametrize(("amount", "exponent"), [("0.001", 2), ("1.5", 0), ("1.0000000001"[:11], 3)])
def test_digits_that_the_currency_does_not_have_are_refused_not_rounded(amount: str, exponent: int) -> None:
    with pytest.raises(Invalid) as refused:
        Money(Decimal(amount) + Decimal("0.0001") * (exponent == 3), "USD").minor(
            exponent, pointer="/lines/0/amount"
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("too_many_digits", "/lines/0/amount/amount")
    ]


def test_zeros_behind_are_no_digits() -> None:
    assert Money(Decimal("1.500"), "USD").minor(2) == 150


def test_money_is_written_from_minor_units_and_the_currency_beside_them() -> None:
    row = SimpleNamespace(
        amount_minor=-12345, price=SimpleNamespace(currency=SimpleNamespace(code="KWD", exponent=3))
    )
    assert Out(row).data == {"value": {"amount": "-12.345", "currency": "KWD"}}
