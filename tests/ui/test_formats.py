"""Numbers as text: exact, whatever their size."""

import re
import sys
import unicodedata
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from django import forms
from django.template import engines
from django.utils import formats as django_formats
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from config import charts, formats, house, locales, machine_formats

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


# --- by the locale of whoever reads -----------------------------------------------------------------------

DAY = date(2026, 8, 14)
NARROW = "\N{NARROW NO-BREAK SPACE}"
LATE = datetime(2026, 8, 14, 23, 5, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("tag", "amount", "large", "share", "day", "clock"),
    [
        ("en", f"{MINUS}$1,234.56", "$18.83M", "71.3%", "14 Aug 2026", "01:05"),
        ("en-US", f"{MINUS}$1,234.56", "$18.83M", "71.3%", "Aug 14, 2026", f"1:05{NARROW}AM"),
        ("de-DE", f"{MINUS}1.234,56{GAP}$", f"18,83{GAP}Mio.{GAP}$", f"71,3{GAP}%", "14.08.2026", "01:05"),
        ("fr-FR", f"{MINUS}1{NARROW}234,56{GAP}$US", f"18,83{GAP}M{GAP}$US", f"71,3{GAP}%", "14 août 2026", "01:05"),
        ("nl-NL", f"US${GAP}{MINUS}1.234,56", f"US${GAP}18,83{GAP}mln.", "71,3%", "14 aug 2026", "01:05"),
        ("tr-TR", f"{MINUS}$1.234,56", f"$18,83{GAP}Mn", "%71,3", "14 Ağu 2026", "01:05"),
        ("ja-JP", f"{MINUS}$1,234.56", "$1,883万", "71.3%", "2026/08/14", "1:05"),
        ("hi-IN", f"{MINUS}$1,234.56", f"$1.88{GAP}क॰", "71.3%", "14 अग॰ 2026", "1:05 am"),
    ],
)  # fmt: skip
def test_numbers_and_days_are_written_as_in_the_readers_locale(
    tag: str, amount: str, large: str, share: str, day: str, clock: str
) -> None:
    with locales.using(locales.style(tag)), timezone.override("Europe/Berlin"):
        assert formats.money(-123_456) == amount
        assert formats.money(1_883_000_000, compact=True) == large
        assert formats.percent(713, 1000) == share
        assert formats.day(DAY) == day
        assert formats.clock(LATE).partition(f"{GAP}CEST") == (clock, f"{GAP}CEST", "")


@pytest.mark.parametrize(
    ("tag", "share", "third"),
    [("en", "60%", "33.3333%"), ("nl-NL", "60%", "33,3333%"), ("de-DE", f"60{GAP}%", f"33,3333{GAP}%"), ("tr-TR", "%60", "%33,3333")],
)  # fmt: skip
def test_an_exact_share_has_the_decimals_that_it_needs_in_every_locale(
    tag: str, share: str, third: str
) -> None:
    with locales.using(locales.style(tag)):
        assert (formats.exact_percent(600_000), formats.exact_percent(333_333)) == (share, third)
        assert formats.exact_percent(0) == share.replace("60", "0")


def test_india_groups_in_its_own_way_and_letters_do_not_touch_digits() -> None:
    with locales.using(locales.style("en-IN")):
        assert formats.whole(123_456_789) == "12,34,56,789"
        assert formats.money(123, "CHF") == f"CHF{GAP}1.23"


@pytest.mark.parametrize("tag", [locales.HOUSE_TAG, *locales.OFFERED, "ar-EG", "fa-IR", "mr-IN"])
def test_every_locale_writes_every_form_in_latin_digits_without_marks_of_direction(tag: str) -> None:
    style = locales.style(tag)
    with locales.using(style):
        texts = [
            *(formats.money(minor, compact=compact) for minor in (-5, 0, 123_456_789_012) for compact in (True, False)),
            *(formats.percent(-713, 1000), formats.points(Fraction(1, 20)), formats.count(1_500_000), formats.multiplier(1_100_000)),
            *(locales.write(form, LATE) for form in style.forms),
        ]  # fmt: skip
    digits = {letter for text in texts for letter in text if letter.isdigit()}
    assert digits <= set("0123456789")
    assert not any(unicodedata.category(letter) == "Cf" for text in texts for letter in text)
    assert all(texts)


@given(
    st.sampled_from(("en", "de-DE", "fr-FR", "de-CH", "en-IN", "pt-BR")),
    st.integers(-(10**14), 10**14),
    st.integers(0, 4),
)
def test_what_stands_in_a_box_and_what_is_written_both_read_back_exactly(
    tag: str, minor: int, places: int
) -> None:
    value = Decimal(minor).scaleb(-places)
    with locales.using(locales.style(tag)):
        for text in (
            formats.entered(value, places),
            formats.entered(value, places, grouped=True),
            formats.money(minor, "EUR", places) if places else "",
        ):
            assert not text or Decimal(re.sub(r"[^-.0-9]", "", formats.typed(text))) == value


@pytest.mark.parametrize(
    ("tag", "text", "read"),
    [
        ("de-DE", "1.234,56", "1234.56"),
        ("de-DE", "1234.56", "1234.56"),  # as a program, and our own boxes, write it
        ("de-DE", "12.345.678", "12345678"),
        ("de-DE", "33,333", "33.333"),
        ("de-DE", "0.125", "0.125"),
        ("de-DE", f"{MINUS}1,5 Mio", "-1.5 Mio"),
        ("de-CH", "1\u2019234.50", "1234.50"),
        ("fr-FR", f"1{NARROW}234,5", "1234.5"),
        ("en-IN", "12,34,567.5", "1234567.5"),
        ("en", "$1,234.56", "$1234.56"),
        ("en", "about ten", "about ten"),
    ],
)  # fmt: skip
def test_what_is_typed_is_read_by_the_readers_separators(tag: str, text: str, read: str) -> None:
    with locales.using(locales.style(tag)):
        assert formats.typed(text) == read


@pytest.mark.parametrize(
    ("tag", "text", "said"),
    [
        ("de-DE", "1.234", "1.234 can be read in two ways: write 1234 or 1,234."),
        ("de-DE", "1,234.56", "1,234.56 is not a number as it is written here: write it like 1234,56."),
        ("en", "1,5", "1,5 is not a number as it is written here: write it like 1234.56."),
        ("en", "1.234,56", "1.234,56 is not a number as it is written here: write it like 1234.56."),
    ],
)
def test_what_can_be_read_in_two_ways_or_none_is_refused_and_says_what_to_write(
    tag: str, text: str, said: str
) -> None:
    with locales.using(locales.style(tag)):
        assert formats.misread(text) == said
        if tag == "de-DE":
            assert formats.typed("33.333", most=100) == "33.333"  # a share cannot be 33333 per cent


def test_a_moment_names_its_zone_where_it_is_not_the_operators_and_a_day_never_shifts() -> None:
    assert formats.moment(LATE) == "14 Aug 2026, 16:05"
    with timezone.override("America/Sao_Paulo"):
        assert formats.moment(LATE) == f"14 Aug 2026, 20:05{GAP}UTC{MINUS}3"
    with timezone.override("Asia/Tokyo"):
        assert formats.moment_exact(LATE) == f"15 Aug 2026, 08:05:09{GAP}JST"
        assert formats.day(DAY) == "14 Aug 2026"
        assert formats.day(LATE) == "15 Aug 2026"
    assert formats.day(LATE) == "14 Aug 2026"  # the same moment, kept for nobody


def test_the_houses_own_style_never_asks_who_is_reading() -> None:
    with locales.using(locales.style("de-DE")), timezone.override("Asia/Tokyo"):
        assert house.money(-123_456) == f"{MINUS}$1,234.56"
        assert house.percent(713, 1000) == "71.3%"
        assert house.day(LATE) == "14 Aug 2026"
        assert house.moment(LATE) == "14 Aug 2026, 16:05"
        assert formats.percent(713, 1000) == f"71,3{GAP}%"


def test_charts_draw_the_same_lines_for_everybody() -> None:
    """Only words and figures change: coordinates, widths and ids are for programs."""

    def drawn() -> str:
        return "".join(
            (
                charts.attainment_bar(713, 1000, pending=55, pace_ppm=612_345),
                charts.sparkline([1.5, 2.25, 3.125], label="Weeks"),
                charts.line_chart(
                    [1_250, 33_333, 250_000_050],
                    length=2,
                    label="Usage",
                    ticks=[(0, "first"), (2, "last")],
                    write=formats.money,
                ),
            )
        )

    def geometry(svg: str) -> list[str]:
        return re.findall(
            r' (?:x|y|x1|x2|y1|y2|width|height|d|points|viewBox|transform|class|cx|cy|r)="([^"]*)"', svg
        )

    plain = drawn()
    with locales.using(locales.style("de-DE")):
        german = drawn()
    assert german != plain
    assert geometry(german) == geometry(plain)


def test_what_a_template_writes_without_a_filter_is_for_programs_in_every_language() -> None:
    template = engines["django"].from_string("{{ share }} {{ day }} {{ field }}")
    field = forms.DateInput(attrs={"type": "date"}).render("on", DAY)
    sys.modules["config.machine_formats.de.formats"] = (
        machine_formats  # as PlatformConfig does for a language on offer
    )
    try:
        with translation.override("de"):
            django_formats.reset_format_cache()
            field = forms.DateInput(attrs={"type": "date"}).render("on", DAY)
            assert template.render({"share": 12.5, "day": DAY, "field": field}) == (
                '12.5 2026-08-14 <input type="date" name="on" value="2026-08-14">'
            )
    finally:
        del sys.modules["config.machine_formats.de.formats"]
        django_formats.reset_format_cache()


@pytest.mark.parametrize(
    ("header", "tag"),
    [
        ("", "en"),
        ("en-US,en;q=0.9", "en"),  # what browsers say whoever owns them
        ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
        ("de", "de-DE"),
        ("en-GB", "en-GB"),
        ("xx-YY;q=0.9,fr;q=0.5", "fr-FR"),
        (";q=x,,*", "en"),
    ],
)
def test_an_unknown_visitor_reads_as_the_browser_asks(header: str, tag: str) -> None:
    assert locales.accepted(header).tag == tag
