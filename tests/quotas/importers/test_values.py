"""Cells to days and numbers: read as said, seen from samples, never guessed."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas.importers.layouts import Cell
from quotas.importers.values import (
    DATE_FORMATS,
    EXCEL_SERIAL,
    WrongValue,
    currency_of,
    date_reader,
    dates_seen,
    decimal_reader,
    numbers_seen,
)

JUNE = date(2008, 6, 1)


@pytest.mark.parametrize(
    ("form", "written"),
    [
        ("YYYY-MM-DD", "2008-06-01"),
        ("YYYY-MM-DD", "2008-06-01 00:00:00.000"),
        ("YYYY-MM-DD", "2008-06-01T23:59:59.999999Z"),
        ("YYYY-MM-DD", " 2008-06-01T23:30:00+13:00 "),
        ("YYYYMMDD", "20080601"),
        ("YYYYMMDD", "20080601T120000Z"),
        ("DD.MM.YYYY", "1.6.2008 08:15"),
        ("DD-MM-YYYY", "01-06-2008 00:00"),
        ("MM/DD/YYYY", "6/1/2008 12:00:00 AM"),
        ("MM/DD/YYYY", "06/01/2008, 11:59 p.m. PST"),
        ("D Mon YYYY", "1 June 2008"),
        ("D Mon YYYY", "01 Jun, 2008 at 3:00 PM"),
        ("DD-Mon-YYYY", "01-JUN-2008"),
        ("Mon D, YYYY", "Jun. 1 2008"),
        ("DD.MM.YY", "01.06.08"),
        ("YY-MM-DD", "08-06-01"),
        (EXCEL_SERIAL, "39600"),
        (EXCEL_SERIAL, Decimal("39600.75")),
        ("MM/DD/YYYY", date(2008, 6, 1)),
    ],
)
def test_a_day_is_read_as_written_and_its_time_is_cut_off(form: str, written: Cell) -> None:
    assert date_reader(form)(written) == JUNE


def refusal(form: str, written: Cell) -> WrongValue:
    with pytest.raises(WrongValue) as why:
        date_reader(form)(written)
    return why.value


@pytest.mark.parametrize(
    "written",
    [
        *("00:00.0", "12:30:00", "########", "1/0/1900", "00.01.1900", "1900-01-00", "1/0/1900 0:00"),
        *("39600", "45292.5", Decimal(45292), "4.5E+04", "Jan-24", "24-Jan", "Mar 2024", "3. Jun", "#VALUE!"),
        *("12/30/1899", date(1900, 1, 5), "1904-01-01"),
    ],
)
def test_what_a_spreadsheet_has_made_of_a_date_is_refused_in_every_format(written: Cell) -> None:
    for form in DATE_FORMATS:
        if form != EXCEL_SERIAL:
            why = refusal(form, written)
            assert (why.code, "Export the file again" in why.message) == ("date_destroyed", True), form


@pytest.mark.parametrize(
    ("form", "written", "code", "says"),
    [
        ("YYYY-MM-DD", "2025-02-31", "not_a_day", "not a day that exists"),
        ("DD/MM/YYYY", "31/06/2008", "not_a_day", "not a day that exists"),
        ("MM/DD/YYYY", "13/06/2008", "wrong_date_format", "It would be one as DD/MM/YYYY."),
        ("DD.MM.YYYY", "01-06-2008", "wrong_date_format", "as DD-MM-YYYY or MM-DD-YYYY."),
        ("DD.MM.YYYY", "01.06.08", "wrong_date_format", "as DD.MM.YY or MM.DD.YY or YY.MM.DD."),
        ("YYYY-MM-DD", "soon", "not_a_date", "is not a date as YYYY-MM-DD"),
        ("YYYY-MM-DD", "9999-12-31", "not_a_day", "after 2100"),
        ("YYYY-MM-DD", "2024-W01-1", "not_a_date", "is not a date"),
        ("YYYY-MM-DD", "x" * 90_000, "not_a_date", "is not a date"),
        (EXCEL_SERIAL, "2008-06-01", "not_a_date", "such as 45292"),
        ("yyyy-mm-dd", "", "unknown_date_format", "Use one of YYYY-MM-DD,"),
    ],
)
def test_what_is_no_day_says_why_and_what_it_would_be(form: str, written: str, code: str, says: str) -> None:
    with pytest.raises(WrongValue) as why:
        date_reader(form)(written)
    assert why.value.code == code
    assert says in why.value.message


@pytest.mark.parametrize(
    ("samples", "formats", "destroyed"),
    [
        (["01-06-2008 00:00"], ("DD-MM-YYYY", "MM-DD-YYYY"), False),
        (["01-06-2008 00:00", "13-06-2008 00:00", "NULL"], ("DD-MM-YYYY",), False),
        (["06/06/2008"], ("DD/MM/YYYY", "MM/DD/YYYY"), False),  # the same day so far, and another one further down
        (["2008-06-01", "", "2008-06-30T10:00:00Z"], ("YYYY-MM-DD",), False),
        (["31/12/25"], ("DD/MM/YY", "YY/MM/DD"), False),
        (["2008-06-01", "01.06.2008"], (), False),
        (["00:00.0", "00:00.0"], (), True),
        (["45292", "13/06/2024"], (), True),  # a spreadsheet took those for dates that it could
        (["20565.60", "1054", "NULL"], (), False),  # amounts
        ([date(2008, 6, 1), None], ("YYYY-MM-DD",), False),
        ([Decimal(39600)], (), True),
        ([date(2008, 6, 1), "1/6/2008"], ("DD/MM/YYYY", "MM/DD/YYYY"), False),
        ([None, "-", "N/A"], (), False),
    ],
)  # fmt: skip
def test_the_format_of_dates_is_what_all_samples_allow(
    samples: list[Cell], formats: tuple[str, ...], destroyed: bool
) -> None:
    seen = dates_seen(samples)
    assert (seen.formats, seen.destroyed) == (formats, destroyed)


WRITTEN = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "Mon": "%b", "D": "%d"}


@given(st.dates(date(1970, 1, 1), date(2068, 12, 31)), st.sampled_from(DATE_FORMATS))
def test_every_format_reads_what_it_writes_and_is_among_those_seen(day: date, form: str) -> None:
    if form == EXCEL_SERIAL:
        written = str((day - date(1899, 12, 30)).days)
    else:
        pattern = form
        for part in ("YYYY", "YY", "MM", "DD", "Mon"):
            pattern = pattern.replace(part, WRITTEN[part])
        written = day.strftime(pattern.replace("D", "%d") if "D" in pattern else pattern)
        assert form in dates_seen([written]).formats
    assert date_reader(form)(written) == day


# Numbers


@pytest.mark.parametrize(
    ("decimal", "grouping", "written", "number"),
    [
        (".", "", "1054", "1054"),
        (".", "", "-0.50", "-0.50"),
        (".", ",", "$125,000.00", "125000.00"),
        (".", ",", "1,234,567", "1234567"),
        (".", ",", "(1,234.00)", "-1234.00"),
        (".", ",", "($1,234.00)", "-1234.00"),
        (".", ",", "-$1,234.00", "-1234.00"),
        (".", " ", "USD 1 234.50", "1234.50"),
        (",", " ", "1\u202f234\u00a0567,8 €", "1234567.8"),
        (",", ".", "1.234-", "-1234"),
        (",", ".", "\u22121.234,5", "-1234.5"),
        (",", "", "880,3484", "880.3484"),
        (".", "'", "CHF 1\u2019234.05", "1234.05"),
        (".", "", "12 %", "12"),
        (".", "", ".5", "0.5"),
        (".", "", "1.2E+05", "1.2E+5"),
        (",", "", "1,2E-02", "0.012"),
        (".", "", Decimal("12.50"), "12.50"),
    ],
)
def test_a_number_is_read_exactly_as_it_is_written(
    decimal: str, grouping: str, written: Cell, number: str
) -> None:
    read = decimal_reader(decimal, grouping)(written)
    assert read is not None
    assert read.as_tuple() == Decimal(number).as_tuple()


@pytest.mark.parametrize(
    ("decimal", "grouping", "written", "code"),
    [
        (".", "", "1,234", "wrong_number_format"),
        (".", ",", "1.234,50", "wrong_number_format"),
        (".", ",", "12,34", "wrong_number_format"),
        (".", ",", "1,2345.00", "not_a_number"),
        (".", "", "inf", "not_a_number"),
        (".", "", "NaN", "not_a_number"),
        (".", "", Decimal("NaN"), "absurd"),
        (".", "", "1e400", "absurd"),
        (".", "", "1" * 41, "absurd"),
        (".", "", "9" * 90_000, "not_a_number"),
        (".", "", "(-5)", "not_a_number"),
        (".", "", "--5", "not_a_number"),
        (".", "", "(5", "not_a_number"),
        (".", "", "12 units", "not_a_number"),
        (".", "", "٣", "not_a_number"),
        (".", "", "1.5M", "not_a_number"),
        (".", "", "#DIV/0!", "not_a_number"),
        (".", "", date(2026, 7, 1), "not_a_number"),
        (".", ".", "5", "unknown_number_format"),
    ],
)
def test_what_is_no_number_as_said_is_refused(decimal: str, grouping: str, written: Cell, code: str) -> None:
    with pytest.raises(WrongValue) as why:
        decimal_reader(decimal, grouping)(written)
    assert why.value.code == code


def test_a_wrong_format_names_the_one_that_would_do() -> None:
    with pytest.raises(
        WrongValue, match=r"It would be one with “,” for decimals and “\.” between thousands\.$"
    ):
        decimal_reader(".", ",")("1.234,50")


@pytest.mark.parametrize(
    ("samples", "choices"),
    [
        (["1,234"], ((".", ","), (",", "."))),
        (["1.234"], ((".", ","), (",", "."))),
        (["1,234", "0.5"], ((".", ","),)),
        (["880,3484", "972,785", "NULL"], ((",", "."),)),
        (["$1,234,567"], ((".", ","),)),
        (["500", "1054"], ((".", ""),)),
        (["500.00"], ((".", ","),)),  # 1,250.00 further down is read then
        (["1'000", "5"], ((".", "'"),)),
        (["Acme"], ()),
        ([date(2026, 1, 1)], ()),
        ([Decimal(5), None], ((".", ""),)),
    ],
)
def test_how_numbers_are_written_is_what_all_samples_allow(
    samples: list[Cell], choices: tuple[tuple[str, str], ...]
) -> None:
    assert set(numbers_seen(samples).choices) == set(choices)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**15), max_value=10**15),
    st.sampled_from([(".", ","), (",", "."), (".", " "), (",", "'"), (".", ""), (",", "")]),
)
def test_a_number_comes_back_from_how_it_is_written(number: Decimal, marks: tuple[str, str]) -> None:
    decimal, grouping = marks
    written = f"{number:,}" if grouping else f"{number}"
    written = "".join({".": decimal, ",": grouping}.get(c, c) for c in written)
    assert decimal_reader(decimal, grouping)(written) == number
    readings = {decimal_reader(*choice)(written) for choice in numbers_seen([written]).choices}
    assert number in readings


@pytest.mark.parametrize(
    ("written", "currency"),
    [("EUR 100", "EUR"), ("100 €", "EUR"), ("(£5)", "GBP"), ("$5", ""), ("US$ 5", "USD"), ("5", ""), (None, ""), ("5 %", "")],
)  # fmt: skip
def test_an_amount_that_names_its_currency_is_heard(written: Cell, currency: str) -> None:
    assert currency_of(written) == currency
