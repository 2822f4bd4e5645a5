"""Numbers as text: exact, whatever their size."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import formats

MINUS = "\N{MINUS SIGN}"
GAP = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("minor", "code", "exponent", "text"),
    [
        (123_456, "USD", 2, "$1,234.56"),
        (-5, "USD", 2, f"{MINUS}$0.05"),
        (0, "USD", 2, "$0.00"),
        (1_234, "JPY", 0, "¥1,234"),
        (1_234_567, "KWD", 3, f"KWD{GAP}1,234.567"),
        (900_719_925_474_099_312_345, "EUR", 2, "€9,007,199,254,740,993,123.45"),
    ],
)
def test_money_is_exact(minor: int, code: str, exponent: int, text: str) -> None:
    assert formats.money(minor, code, exponent) == text


@pytest.mark.parametrize(
    ("minor", "text"),
    [
        (1_883_000_000, "$18.83M"),
        (2_640_000_000, "$26.40M"),
        (75_400_000, "$754K"),
        (8_640_000, "$86.4K"),
        (9_994_999, "$99.9K"),
        (9_995_000, "$100K"),  # one decimal would read 100.0
        (99_950_000, "$1.00M"),  # a half goes up, into the next tier
        (99_949_999, "$999K"),
        (99_999_499_999, "$999.99M"),
        (99_999_500_000, "$1.00B"),
        (99_999, "$999.99"),
        (100_000, "$1.0K"),
        (1_250, "$12.50"),
        (5_000, "$50"),
        (0, "$0"),
        (-5_800_000, f"{MINUS}$58.0K"),
        (3_000_000_000_000, "$30.00B"),
        (123_456_789_000_000_000, "$1,234.57T"),
    ],
)
def test_compact_money_keeps_three_digits_and_rounds_halves_away_from_zero(minor: int, text: str) -> None:
    assert formats.money(minor, compact=True) == text


def test_an_axis_drops_a_zero_fraction_and_a_change_shows_its_sign() -> None:
    assert formats.money(800_000_000, compact=True, trim=True) == "$8M"
    assert formats.money(800_000_000, trim=True) == "$8,000,000"
    assert formats.money(41_200_000, compact=True, signed=True) == "+$412K"
    assert formats.money(0, signed=True) == "$0.00"


@pytest.mark.parametrize(
    ("micro", "text"),
    [(12_000_000, "12"), (500_000, "0.5"), (-1, f"{MINUS}0.000001"), (0, "0"), (1_234_500_000, "1,234.5")],
)
def test_a_count_is_kept_in_millionths_and_read_as_a_number(micro: int, text: str) -> None:
    assert formats.count(micro) == text


def test_a_large_count_can_be_compact_and_a_small_one_stays_exact() -> None:
    assert formats.count(12_340_000_000_000, compact=True) == "12.34M"
    assert formats.count(1_500_000, compact=True) == "1.5"


def test_a_value_of_a_measure_is_money_with_a_currency_and_a_count_without() -> None:
    assert formats.measured(150, "USD", 2) == "$1.50"
    assert formats.measured(3_000_000, None, 6, signed=True) == "+3"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (713, 1000, "71.3%"),
        (1, 3, "33.3%"),
        (-1, 3, f"{MINUS}33.3%"),
        (5, 10_000, "0.1%"),  # exactly 0.05: half away from zero
        (-5, 10_000, f"{MINUS}0.1%"),
        (-4, 10_000, "0.0%"),  # no minus before a zero
        (1, 0, "\N{EN DASH}"),
        (10**30 + 1, 10**30, "100.0%"),
    ],
)
def test_percent_of_two_integers_is_rounded_exactly(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


def test_points_always_show_their_sign_and_multipliers_two_decimals() -> None:
    assert formats.points(Fraction(1, 20)) == "+5.0"
    assert formats.points(Fraction(-32, 1000)) == f"{MINUS}3.2"
    assert formats.multiplier(1_100_000) == f"\N{MULTIPLICATION SIGN}{GAP}1.10"
    assert formats.multiplier(1_083_701) == f"\N{MULTIPLICATION SIGN}{GAP}1.083701"
    assert formats.multiplier(0) == f"\N{MULTIPLICATION SIGN}{GAP}0.00"


@given(st.integers(-(10**18), 10**18), st.integers(0, 6))
def test_exact_money_reads_back_as_the_same_integer(minor: int, exponent: int) -> None:
    text = formats.money(minor, "USD", exponent)
    assert int(text.replace("$", "").replace(",", "").replace(".", "").replace(MINUS, "-")) == minor


@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_compact_money_never_turns_the_order_round(one: int, other: int) -> None:
    def value(minor: int) -> Fraction:
        text = formats.money(minor, compact=True).removeprefix("$").replace(",", "")
        powers = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
        return Fraction(text.rstrip("KMBT")) * powers.get(text[-1], 1)

    small, large = sorted((one, other))
    assert value(small) <= value(large)


@given(st.fractions())
def test_rounding_is_to_the_nearest_and_symmetric(value: Fraction) -> None:
    assert abs(formats.rounded(value) - value) <= Fraction(1, 2)
    assert formats.rounded(-value) == -formats.rounded(value)
