"""The three formats: what a reader gets back is what was written, and no cell is a formula."""

import csv
import io
import json
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from config import exports
from config.exports import Amount, Column, Export, Format, Table, TooManyRows, armed, defused, pieces, write

AT = datetime(2026, 8, 14, 12, tzinfo=ZoneInfo("America/Los_Angeles"))
COLUMNS = [
    Column("deal", "Deal"),
    Column("line", "Line", "whole"),
    Column("closed", "Closed", "date"),
    Column("posted", "Posted", "instant"),
    Column("credited", "Credited", "money", "Currency"),
    Column("quota", "Quota", "money", "Currency"),
    Column("cap", "Cap", "money"),
    Column("attainment", "Attainment %", "percent"),
    Column("rate", "Rate", "number"),
    Column("held", "Held", "flag"),
]
NAIVE_DAY = datetime.fromisoformat("2026-07-01")  # a cell has no zone
NAIVE_INSTANT = datetime.fromisoformat("2026-08-13T20:04:05")
POSTED = datetime(2026, 8, 14, 3, 4, 5, tzinfo=UTC)
FULL = (
    *('Söhne, "GmbH"\n2', 7, date(2026, 7, 1), POSTED, Amount(-123_456, "USD", 2), Amount(99, "USD", 2)),
    *(Amount(5_000, "JPY", 0), Fraction(2, 3), Decimal("1.0837"), True),
)
COUNT = (
    *("=1+1", 0, None, None, None, Amount(500_000, "", 6)),
    *(None, Fraction(-1, 8), Decimal("1E+3"), False),
)
EMPTY = (None,) * 10


def export(rows: Sequence[Sequence[Any]] = (FULL, COUNT, EMPTY), **more: Any) -> Export:
    return Export("Deals FY27/Q1", "Deals: all", Table(COLUMNS, lambda: iter(rows)), AT, **more)


def written(made: Export, form: Format) -> bytes:
    file = io.BytesIO()
    write(made, form, file)
    return file.getvalue()


def test_csv_has_heads_exact_amounts_with_their_currency_and_iso_days() -> None:
    content = written(export(), "csv")
    assert content.startswith(b"\xef\xbb\xbfDeal,")  # or Excel takes it for another code page
    assert content.count(b"\r\n") == 4
    head, full, count, empty = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    assert head == [
        *("Deal", "Line", "Closed", "Posted", "Credited", "Quota", "Currency", "Cap", "Cap currency"),
        *("Attainment %", "Rate", "Held"),
    ]
    assert full == [
        *('Söhne, "GmbH"\n2', "7", "2026-07-01", "2026-08-13T20:04:05-07:00", "-1234.56", "0.99", "USD"),
        *("5000", "JPY", "66.6667", "1.0837", "true"),
    ]
    assert count == ["'=1+1", "0", "", "", "", "0.5", "", "", "", "-12.5000", "1000", "false"]
    assert empty == [""] * 12


def test_json_lines_write_as_rest_does() -> None:
    full, count, empty = (json.loads(line) for line in written(export(), "jsonl").splitlines())
    assert full == {
        "deal": 'Söhne, "GmbH"\n2',
        "line": 7,
        "closed": "2026-07-01",
        "posted": "2026-08-13T20:04:05-07:00",
        "credited": {"amount": "-1234.56", "currency": "USD"},
        "quota": {"amount": "0.99", "currency": "USD"},
        "cap": {"amount": "5000", "currency": "JPY"},
        "attainment": "66.6667",
        "rate": "1.0837",
        "held": True,
    }
    assert (count["deal"], count["quota"], count["credited"]) == (
        "=1+1",
        "0.5",
        None,
    )  # no cell, so no apostrophe
    assert set(empty.values()) == {None}


def test_xlsx_has_numbers_and_dates_a_frozen_head_with_filters_and_a_sheet_about_it() -> None:
    said = [("Narrowed to", "state: held; =cmd()")]
    book = load_workbook(io.BytesIO(written(export(by="Ana", said=said), "xlsx")))
    sheet, about = book.worksheets
    assert (sheet.title, about.title) == ("Deals  all", "About")
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:L4")
    assert [cell.value for cell in sheet[2]] == [
        *('Söhne, "GmbH"\n2', 7, NAIVE_DAY, NAIVE_INSTANT, -1234.56, 0.99),
        *("USD", 5000, "JPY", 0.666667, 1.0837, True),
    ]
    assert [sheet[2][at].number_format for at in (2, 4, 7, 9)] == ["yyyy-mm-dd", "#,##0.00", "#,##0", "0.0%"]
    formula = sheet["A3"]
    assert (formula.value, formula.data_type, formula.quotePrefix) == ("=1+1", "s", True)
    assert [cell.value for cell in sheet[4]] == [None] * 12
    told = {str(what): value for what, value in about.iter_rows(values_only=True)}
    assert told["As of"] == "2026-08-14 12:00 America/Los_Angeles"
    assert (told["Written for"], told["Rows"]) == ("Ana: what this person may see", "3")
    assert told["Narrowed to"] == "state: held; =cmd()"


def test_what_15_digits_cannot_hold_is_text_in_xlsx_and_exact_everywhere() -> None:
    large = 9_000_000_000_000_001
    columns = [Column("amount", "Amount", "money"), Column("id", "Id", "whole")]
    made = Export("large", "Large", Table(columns, lambda: [(Amount(large, "USD", 2), large)]), AT)
    assert written(made, "csv").decode("utf-8-sig").splitlines()[1] == f"90000000000000.01,USD,{large}"
    row = load_workbook(io.BytesIO(written(made, "xlsx"))).worksheets[0][2]
    assert [cell.value for cell in row] == ["90000000000000.01", "USD", str(large)]
    short = Export("short", "Short", Table(columns, lambda: [(Amount(900_000_000_000_001, "USD", 2), 1)]), AT)
    assert load_workbook(io.BytesIO(written(short, "xlsx"))).worksheets[0]["A2"].value == 9_000_000_000_000.01


FULL_WIDTH = "\uff1d\uff0b\uff0d\uff20"  # as = + - @ stand in Japanese text; Excel takes them too
DANGEROUS = [
    *("=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n1", " =1", "\ufeff=1", "'=1"),
    *(f"{sign}1" for sign in FULL_WIDTH),
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_a_spreadsheet_takes_for_a_formula_is_defused(text: str) -> None:
    assert defused(text) == f"'{text}"
    assert armed(defused(text)) == text


@given(st.text(alphabet="'=+-@\t\r\n ab1" + FULL_WIDTH, max_size=8))
def test_a_text_read_back_is_the_text_that_was_written(text: str) -> None:
    made = Export("t", "T", Table([Column("a", "A"), Column("b", "B")], lambda: [(text, "x")]), AT)
    _head, row = csv.reader(io.StringIO(written(made, "csv").decode("utf-8-sig"), newline=""))
    assert armed(row[0]) == text
    assert not row[0].lstrip().startswith(("=", "+", "-", "@"))
    [line] = written(made, "jsonl").splitlines()
    assert json.loads(line)["a"] == text


def test_a_negative_number_stays_a_number_and_a_long_text_says_that_it_is_cut() -> None:
    columns = [Column("a", "A", "number"), Column("b", "B")]
    made = Export("n", "N", Table(columns, lambda: [(Decimal(-3), "x" * 40_000)]), AT)
    assert written(made, "csv").decode("utf-8-sig").splitlines()[1].startswith("-3,xxx")
    sheet = load_workbook(io.BytesIO(written(made, "xlsx"))).worksheets[0]
    assert sheet["A2"].value == -3
    assert len(str(sheet["B2"].value)) == 32_767
    assert str(sheet["B2"].value).endswith("x [cut]")


def test_a_sheet_that_cannot_hold_it_says_what_to_do_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(exports, "MOST_XLSX_ROWS", 2)
    with pytest.raises(TooManyRows, match="take CSV or JSON Lines, or narrow it"):
        written(export(), "xlsx")
    with pytest.raises(TooManyRows):
        written(export([], total=3), "xlsx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_lines_leave_while_rows_are_read_and_none_is_kept(form: Format) -> None:
    read = 0

    def rows() -> Iterator[Sequence[Any]]:
        nonlocal read
        while read < 5_000:
            read += 1
            yield FULL

    seen = [(len(part), read) for part in pieces(Export("many", "Many", Table(COLUMNS, rows), AT), form)]
    assert len(seen) > 5
    assert all(size < 2 * exports.PIECE for size, _read in seen)
    assert seen[0][1] < 1_500
    assert [read for _size, read in seen] == sorted({read for _size, read in seen})
    assert read == 5_000


def test_a_file_is_named_after_what_and_when() -> None:
    assert export().file_name("xlsx") == "deals-fy27-q1-2026-08-14.xlsx"
