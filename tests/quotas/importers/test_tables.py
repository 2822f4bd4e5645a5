"""Files of tables: whatever a file is, its rows come out as they stand, or one message says what to do."""

import codecs
import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from quotas.importers import texts, workbooks
from quotas.importers.layouts import MOST_COLUMNS, Cell, Layout, Unreadable
from quotas.importers.tables import layout_of, rows
from quotas.importers.values import dates_seen
from tests.depth import examples

Table = tuple[Layout, list[tuple[int, list[Cell]]]]


def read(content: bytes, **said: str) -> Table:
    file = io.BytesIO(content)
    layout = layout_of(file, **said)
    return layout, list(rows(file, layout))


def refused(content: bytes, **said: str) -> Unreadable:
    with pytest.raises(Unreadable) as why:
        read(content, **said)
    assert len(why.value.message) < 300
    assert why.value.message.endswith(".")
    return why.value


class Endless(io.RawIOBase):
    """A beginning, then the same for ever; it counts what is read of it."""

    def __init__(self, head: bytes, again: bytes, size: int = 2 * 1024**3) -> None:
        self.head, self.again, self.size, self.at, self.taken = head, again, size, 0, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        size = max(0, min(size, self.size - self.at))
        start, self.at, self.taken = self.at, self.at + size, self.taken + size
        found = self.head[start : start + size]
        start = max(0, start - len(self.head)) % len(self.again)
        missing = size - len(found)
        return found + (self.again * (missing // len(self.again) + 2))[start : start + missing]


# CSV


TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn")) | st.sampled_from("\r\n\",;\t|' "), max_size=12
)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "windows-1252", "utf-32"]


@given(
    st.integers(2, 6).flatmap(lambda wide: st.lists(st.lists(TEXT, min_size=wide, max_size=wide), min_size=1, max_size=8)),
    st.sampled_from(",;\t|"),
    st.sampled_from(ENCODINGS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
)  # fmt: skip
@settings(max_examples=examples(25), deadline=None)
def test_whatever_is_written_as_csv_comes_back(
    table: list[list[str]], delimiter: str, encoding: str, end: str, last: bool
) -> None:
    assume(all(any(cell.strip() for cell in row[1:]) for row in table))
    head = [f"Name {'abcdef'[i]}" for i in range(len(table[0]))]
    out = io.StringIO(newline="")
    # A writer quotes the ends of lines only if they are its own.
    broken = any(c in cell for row in table for cell in row for c in "\r\n")
    writer = csv.writer(
        out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if broken else csv.QUOTE_MINIMAL
    )
    writer.writerows([head, *table])
    text = out.getvalue() if last else out.getvalue().removesuffix(end)
    content = text.encode(encoding, "replace")
    table = [[cell.encode(encoding, "replace").decode(encoding) for cell in row] for row in table]
    assume("\ufeff" not in text)

    layout, found = read(content, delimiter=delimiter, encoding=encoding)

    assert layout.columns == tuple(head)
    assert [cells for _line, cells in found] == table
    lines = text.encode(encoding, "replace").decode(encoding)
    physical = io.StringIO(lines, newline="").readlines()
    for line, cells in found:  # the row does begin there
        assert next(csv.reader(physical[line - 1 :], delimiter=delimiter)) == cells


HEAD = "Opportunity ID{0}Owner{0}Amount{0}Close Date\n"
ROWS = "O-1{0}José Núñez{0}1234,50{0}2026-07-01\nO-2{0}Zoë{0}99,00{0}2026-07-02\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "seen"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("windows-1252", "windows-1252"),
    ],
)
def test_delimiter_and_encoding_are_seen(delimiter: str, encoding: str, seen: str) -> None:
    text = (HEAD + ROWS).format(delimiter)
    if delimiter == ",":
        text = text.replace("1234,50", '"1234,50"').replace("99,00", '"99,00"')
    layout, found = read(text.encode(encoding))
    assert layout == Layout(
        "csv", seen, delimiter, "", (), ("Opportunity ID", "Owner", "Amount", "Close Date"), 1
    )
    assert found == [
        (2, ["O-1", "José Núñez", "1234,50", "2026-07-01"]),
        (3, ["O-2", "Zoë", "99,00", "2026-07-02"]),
    ]


def test_an_encoding_that_shows_only_behind_the_first_megabyte_is_seen() -> None:
    plain = b"id,owner\n" + b"1," + b"Smith " * 40 + b"\n"
    plain = plain[:9] + plain[9:] * 5_000
    for name, seen in (("Zoë".encode(), "utf-8"), ("Zoë".encode("windows-1252"), "windows-1252")):
        layout, found = read(plain + b"2," + name + b"\n")
        assert (layout.encoding, found[-1]) == (seen, (5_002, ["2", "Zoë"]))


def test_a_byte_that_is_no_text_names_its_line_and_asks_for_the_encoding() -> None:
    content = (
        "id;owner\n1;Zoë\n".encode()
        + (b"2;" + b"Smith " * 40 + b"\n") * 5_000
        + "3;Zoë\n".encode("windows-1252")
    )
    why = refused(content)
    assert why.code == "encoding"
    assert "Line 5,003 is not UTF-8 text" in why.message
    assert refused("id;owner\n1;Zoë\n".encode("windows-1252"), encoding="utf-8").message.startswith("Line 2 ")
    assert refused(b"a,b\n1,2\n", encoding="zip").code == "unknown_encoding"
    # One broken letter among good ones does not make the others gibberish.
    assert refused("id;owner\n1;Zoë\n2;Jos".encode() + b"\xc3\n").message.startswith(
        "Line 3 is not UTF-8 text"
    )


def test_a_mark_is_believed_before_what_is_said() -> None:
    assert read(codecs.BOM_UTF8 + "id,owner\n1,Zoë\n".encode(), encoding="windows-1252")[1] == [
        (2, ["1", "Zoë"])
    ]


def test_lines_are_counted_with_quoted_newlines_and_blank_rows_are_left_out() -> None:
    layout, found = read(
        b'\n\nid,note,n\r\n1,"two\r\nlines ""here""",5\r\n\r\n , ,\r\n2,x\r\n3,y,6,,\r\n4,z,7,more\r\n'
    )
    assert (layout.head, layout.columns) == (3, ("id", "note", "n"))
    assert found == [
        (4, ["1", 'two\r\nlines "here"', "5"]),
        (8, ["2", "x", ""]),
        (9, ["3", "y", "6"]),
        (10, ["4", "z", "7", "more"]),
    ]


def test_the_names_of_columns_are_each_there_once() -> None:
    layout, found = read(b' Amount , amount,,"Close\n Date",Amount (2),,\n1,2,3,4,5,,\n')
    assert layout.columns == ("Amount", "amount (2)", "Column 3", "Close Date", "Amount (2) (2)")
    assert found == [(3, ["1", "2", "3", "4", "5"])]


@pytest.mark.parametrize(
    ("table", "head", "columns"),
    [
        (b",name,amount\n0,Ann,5\n", 1, ("Column 1", "name", "amount")),  # as data frames are written
        (b"Pipeline,,,,\n,,,,\nid,name,a,b,c\n1,,,,5\n2,x,,,\n", 3, ("id", "name", "a", "b", "c")),
        (b"id,name,a,b,c,d,e,f\n1,x,,,,,,\n2,,,,,,,y\n", 1, ("id", "name", "a", "b", "c", "d", "e", "f")),
        (
            b"rep;2026-07;Jul-26;FY27-M01\nAnn;1,5;2;3\nBob;1,5;2;3\n",
            1,
            ("rep", "2026-07", "Jul-26", "FY27-M01"),
        ),
        (b"name\nAnn\nBob\n", 1, ("name",)),
    ],
)
def test_the_head_is_the_first_row_that_is_filled_as_the_table_is(
    table: bytes, head: int, columns: tuple[str, ...]
) -> None:
    layout, _found = read(table)
    assert (layout.head, layout.columns) == (head, columns)


REPORT = (
    "Won opportunities FY27\nAs of 2026-08-14 10:22\n\nOpportunity ID,Owner,Amount\nO-1,Ann,5\nO-2,Bob,6\n{0}\n"
    '"Won opportunities FY27"\n"Copyright (c) 2000-2026 Example, inc. All rights reserved."\n'
    '"Confidential Information - Do Not Distribute"\n"Generated By:  Ann"\n"Acme"\n'
)


def test_titles_above_and_the_footer_below_a_report_are_not_rows() -> None:
    layout, found = read(REPORT.format("").encode())
    assert (layout.head, layout.columns) == (4, ("Opportunity ID", "Owner", "Amount"))
    assert found == [(5, ["O-1", "Ann", "5"]), (6, ["O-2", "Bob", "6"])]
    # A row of one cell among others, or at the end without such words, is a row: its reader refuses it.
    assert read(b"id,owner,n\n1,Ann,5\nTotal\n2,Bob,6\nTotal\n")[1] == [
        (2, ["1", "Ann", "5"]),
        (3, ["Total", "", ""]),
        (4, ["2", "Bob", "6"]),
        (5, ["Total", "", ""]),
    ]
    long = b"id,owner,n\n" + b"Copyright (c) of a song\n" * 20
    assert len(read(long)[1]) == 18  # nobody prints so many lines below a table


def test_a_separator_that_the_file_names_is_used() -> None:
    layout, found = read(b"sep=^\r\nid^n,a;m|e\r\n1^Ann,;|\r\n")
    assert (layout.delimiter, layout.head, found) == ("^", 2, [(3, ["1", "Ann,;|"])])
    assert read(b"id^n\n1^2\n", delimiter="^")[1] == [(2, ["1", "2"])]
    assert read(b"id\tn\n1\t2\n", delimiter="tab")[0].delimiter == "\t"
    assert refused(b"id,n\n1,2\n", delimiter="||").code == "unknown_delimiter"


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty", "empty"),
        (b" \r\n\t \n", "empty", "empty"),
        (codecs.BOM_UTF8 + b"\n", "empty", "empty"),
        (b"\x00" * 5000, "not_a_table", "binary data"),
        (b"id,name\n", "no_rows", "nothing to import"),
        (b"1,2,3\n4,5,6\n", "no_head", "names of the columns"),
        (b"2026-07-01;5\n2026-07-02;6\n", "no_head", "names of the columns"),
        ((",".join(f"c{i}" for i in range(500)) + "\n" + "1," * 499 + "1\n").encode(), "too_many_columns", "500 columns; at most 400"),
        (b'id,n\n1,"a\n2,b\n3,c\n', "unclosed_quote", "begins in line 2"),
        (b'id,n\n1,a\n2,"b" c"\n', "stray_quote", "begins in line 3"),
        (b"id,n\n1,a\n2," + b"x" * 100_001 + b"\n", "cell_too_long", "begins in line 3"),
        (b"id,n\n1,a\n2,\x00\n", "not_text", "binary data"),
        (b"id,n\n" + b"1,a\n" * 2000 + b"2,\x00\n", "nul", "Line 2,002"),
        (b"PK\x05\x06" + b"\x00" * 18, "archive", "Unpack"),
        (gzip.compress(b"id,n\n1,2\n", mtime=0), "archive", "gzip archive. Unpack it"),
        (b"%PDF-1.7\n", "not_a_table", "PDF"),
        (b"\x89PNG\r\n\x1a\n", "not_a_table", "picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 600, "old_office", "as .xlsx without a password"),
        (b"<html><table><tr><td>id</td></tr></table>", "not_a_table", "under another name"),
        (random.Random(7).randbytes(4000), "not_text", "binary data"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_one_message_that_says_what_to_do(content: bytes, code: str, says: str) -> None:
    why = refused(content)
    assert (why.code, says in why.message) == (code, True), why.message


@pytest.mark.parametrize(
    ("head", "again", "code", "line"),
    [
        (b'id,n\n1,a\n2,"', b"b,c\n", "cell_too_long", "line 3"),
        (b'id,n\n1,a\n2,"a"', b',"b\n"', "row_too_long", "line 3"),
        (b"id,n\n1,a\n2", b",b", "row_too_long", "line 3"),
        (b"id,n", b",b", "row_too_long", "line 1"),
        (b'{"id": 1}\n{"n": "', b"b", "row_too_long", "line 2"),
    ],
)
def test_of_two_gigabytes_without_an_end_little_is_read(
    head: bytes, again: bytes, code: str, line: str
) -> None:
    file = Endless(head, again)
    with pytest.raises(Unreadable) as why:
        list(rows(file, layout_of(file)))  # type: ignore[arg-type]
    assert (why.value.code, line in why.value.message) == (code, True)
    assert file.taken < texts.MOST_SEARCHED + 6 * 1024**2


def test_rows_stream() -> None:
    file = Endless(b"id,name\n", b"1,a\n")
    layout = layout_of(file)  # type: ignore[arg-type]
    found = rows(file, layout)  # type: ignore[arg-type]
    assert [next(found) for _ in range(3)] == [(2, ["1", "a"]), (3, ["1", "a"]), (4, ["1", "a"])]
    assert file.taken <= texts.MOST_SEARCHED + texts.BLOCK


# JSON Lines


def test_json_lines_give_what_they_say_with_numbers_as_written() -> None:
    content = (
        b'{"id": 7, "amount": 0.10000000000000000001, "won": true}\n\n'
        b'{"id": "8", "who": {"a": [1.50, null, "\xc3\xa9"]}, "amount": 1e3, "won": null}\r\n'
        b'{"amount": NaN, "id": "x\\u0000\\ud800"}'
    )
    layout, found = read(content)
    assert layout == Layout("jsonl", "utf-8", "", "", (), ("id", "amount", "won", "who"), 0)
    assert found == [
        (1, [Decimal(7), Decimal("0.10000000000000000001"), "true", None]),
        (3, ["8", Decimal("1E+3"), None, '{"a": [1.50, null, "é"]}']),
        (4, ["x\ufffd?", "NaN", None, None]),
    ]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b'[{"id": 1}, {"id": 2}]', "json_list", "one object in each line"),
        (b'[\n {"id": 1}\n]', "json_list", "one object in each line"),
        (b'{\n "id": 1\n}', "not_json_lines", "Line 1 is not a whole"),
        (b'{"id": 1}\n5\n', "not_json_lines", "Line 2"),
        (b'{"id": 1}\n{"id": 1', "not_json_lines", "Line 2"),
        (b'{"id": 1}\n{"id": 1, "id": 2}', "duplicate_name", "Line 2 names “id” twice"),
        (b'{"id": 1}\n' * 1000 + b'{"id": 1, "new": 2}', "new_column", "Line 1,001 names “new”"),
        (b'{"a": ' + b"[" * 200_000, "not_json_lines", "Line 1"),
        (json.dumps({f"c{i}": 1 for i in range(MOST_COLUMNS + 1)}).encode(), "too_many_columns", "401 columns"),
        (b"{}\n{}\n", "no_head", "name nothing"),
    ],
)  # fmt: skip
def test_what_is_no_json_lines_names_the_line(content: bytes, code: str, says: str) -> None:
    why = refused(content)
    assert (why.code, says in why.message) == (code, True), why.message


def test_a_head_in_square_brackets_is_csv() -> None:
    assert read(b"[Id],[Name]\n1,Ann\n")[0].columns == ("[Id]", "[Name]")


# Workbooks


def workbook(write: Callable[[Any, Any], object], **options: Any) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, options)
    write(book, book.add_worksheet("Deals"))
    book.close()
    return out.getvalue()


def parts_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def altered(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    parts = parts_of(content)
    parts[part] = change(parts[part])
    return zipped(parts)


def deals(book: Any, sheet: Any) -> None:
    day = book.add_format({"num_format": "dd/mm/yyyy"})
    shown_as_time = book.add_format({"num_format": "mm:ss.0"})
    money = book.add_format({"num_format": '[Red]"USD" #,##0.00;[$-409]d'})
    sheet.merge_range("A1:F1", "Won opportunities")
    sheet.write_row("A3", ["Opportunity ID", "Owner", "Amount", "Close Date", "Created", "Won", "Note"])
    sheet.write_row("A4", ["O-1", "José"])
    sheet.write_number("C4", 1234.1, money)
    sheet.write_datetime("D4", datetime(2026, 7, 1, 23, 59, 59), day)  # noqa: DTZ001  # a spreadsheet has no zones
    sheet.write_number("E4", 46204.75, shown_as_time)
    sheet.write_boolean("F4", True)
    sheet.write_rich_string("G4", "two ", book.add_format({"bold": True}), "halves")
    sheet.write_row("A6", ["O-2", "Zoë", "$1,234.50"])
    sheet.write_formula("C7", "=1/0", None, "#DIV/0!")
    sheet.write_formula("D7", "=1/3", None, 1 / 3)
    sheet.write_formula("E7", '="x"', None, "x")
    sheet.write_number("A7", 20565.600000000002)
    sheet.write_number("B7", 285)
    sheet.write_number("F7", 0.5, shown_as_time)
    sheet.write_number("G7", 0, day)


@pytest.mark.parametrize("constant_memory", [False, True])
@pytest.mark.parametrize("from_1904", [False, True])
def test_a_workbook_gives_days_and_exact_numbers(constant_memory: bool, from_1904: bool) -> None:
    content = workbook(deals, constant_memory=constant_memory, date_1904=from_1904)
    layout, found = read(content)
    assert layout == Layout(
        *("xlsx", "", "", "Deals", ("Deals",)),
        ("Opportunity ID", "Owner", "Amount", "Close Date", "Created", "Won", "Note"),
        3,
    )
    created = date(2030, 7, 2) if from_1904 else date(2026, 7, 1)
    zero = date(1904, 1, 1) if from_1904 else "1/0/1900"
    assert found == [
        (4, ["O-1", "José", Decimal("1234.1"), date(2026, 7, 1), created, "true", "two halves"]),
        (6, ["O-2", "Zoë", "$1,234.50", None, None, None, None]),
        (
            7,
            [
                Decimal("20565.6"),
                Decimal(285),
                "#DIV/0!",
                Decimal("0.333333333333333"),
                "x",
                "12:00:00",
                zero,
            ],
        ),
    ]
    assert str(found[2][1][1]) == "285"


def test_a_workbook_of_another_program_reads_the_same() -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "Read me"
    book.active.append(["How to use this workbook"])
    book.active.append(["Carefully"])
    hidden = book.create_sheet("Lists")
    hidden.append(["a", "b"])
    hidden.append([1, 2])
    hidden.sheet_state = "hidden"
    sheet = book.create_sheet("Deals FY27")
    sheet.append(["id", "day", "amount", date(2026, 7, 1)])
    sheet.append(["1", date(1900, 2, 28), 1.1, True])
    sheet.append(["2", datetime(2026, 7, 1, 12), -5, None])  # noqa: DTZ001
    out = io.BytesIO()
    book.save(out)
    layout, found = read(out.getvalue())
    assert (layout.sheet, layout.sheets) == ("Deals FY27", ("Read me", "Deals FY27"))
    assert layout.columns == ("id", "day", "amount", "2026-07-01")
    assert found == [
        (2, ["1", date(1900, 2, 28), Decimal("1.1"), "true"]),
        (3, ["2", date(2026, 7, 1), Decimal(-5), None]),
    ]
    assert read(out.getvalue(), sheet="lists")[1] == [(2, [Decimal(1), Decimal(2)])]
    why = refused(out.getvalue(), sheet="Deals")
    assert (why.code, "It has “Read me”, “Deals FY27”." in why.message) == ("no_such_sheet", True)


def test_prefixes_strict_names_and_cells_without_places_are_understood() -> None:
    content = workbook(
        lambda _book, sheet: sheet.write_row(0, 0, ["id", "name"]) or sheet.write_row(1, 0, [1, "x"])
    )
    inline = (
        b'<?xml version="1.0"?><x:worksheet xmlns:x="http://purl.oclc.org/ooxml/spreadsheetml/main"><x:sheetData>'
        b'<x:row><x:c t="inlineStr"><x:is><x:t>id</x:t></x:is></x:c><x:c t="str"><x:v>name</x:v></x:c></x:row>'
        b'<x:row r="3"><x:c><x:v>285.0</x:v></x:c><x:c t="inlineStr"><x:is><x:t>A_x000D_b</x:t>'
        b'<x:rPh><x:t>phonetic</x:t></x:rPh></x:is></x:c><x:c t="d"><x:v>2026-07-01T00:00:00</x:v></x:c></x:row>'
        b"</x:sheetData></x:worksheet>"
    )
    _layout, found = read(altered(content, "xl/worksheets/sheet1.xml", lambda _old: inline))
    assert found == [(3, [Decimal(285), "A\rb", date(2026, 7, 1)])]
    assert str(found[0][1][0]) == "285"


def test_a_report_saved_as_a_workbook_loses_its_footer() -> None:
    lines = [
        line.strip('"').split(",")
        for line in REPORT.format("").replace("2000-2026 Example, inc.", "").splitlines()
    ]
    content = workbook(
        lambda _book, sheet: [sheet.write_row(i, 0, line) for i, line in enumerate(lines) if line != [""]]
    )
    assert [cells[0] for _row, cells in read(content)[1]] == ["O-1", "O-2"]


SMALL = workbook(
    lambda _book, sheet: sheet.write_row(0, 0, ["id", "name"]) or sheet.write_row(1, 0, [1, "x"])
)
SHEET = "xl/worksheets/sheet1.xml"


def sheet_of(body: bytes, before: bytes = b"") -> bytes:
    return altered(
        SMALL, SHEET, lambda _old: b"<?xml version='1.0'?>" + before + b"<worksheet><sheetData>" + body + b"</sheetData></worksheet>"
    )  # fmt: skip


HEAD_ROW = b'<row><c t="str"><v>id</v></c><c t="str"><v>name</v></c></row><row><c><v>1</v></c></row>'
LAUGHS = b'<!DOCTYPE w [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (SMALL[:-60], "damaged"),
        (SMALL[: SMALL.index(SHEET.encode()) + 60] + b"\x00" * 40 + SMALL[SMALL.index(SHEET.encode()) + 100 :], "damaged"),
        (zipped({"deals.csv": b"id,name\n"}), "archive"),
        (zipped({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}), "opendocument"),
        (zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<document/>"}), "no_workbook"),
        (sheet_of(HEAD_ROW + b"<row><c><v>&c;</v></c></row>", LAUGHS), "damaged"),
        (sheet_of(HEAD_ROW, b'<!DOCTYPE w SYSTEM "file:///etc/passwd">'), "damaged"),
        (sheet_of(HEAD_ROW + b'<row><c t="s"><v>99</v></c></row>'), "damaged"),
        (sheet_of(HEAD_ROW + b'<row r="2"><c><v>1</v></c></row>'), "damaged"),
        (sheet_of(HEAD_ROW + b'<row><c r="AAAAAAAA5"><v>1</v></c></row>'), "damaged"),
        (sheet_of(HEAD_ROW + b'<row r="1048577"><c><v>1</v></c></row>'), "too_large"),
        (sheet_of(HEAD_ROW + b'<row><c t="str"><v>' + b"x" * 100_001 + b"</v></c></row>"), "cell_too_long"),
        (sheet_of(HEAD_ROW + b"<row " + b"x" * 2_000_000), "damaged"),
        (sheet_of(b""), "empty"),
        (sheet_of(HEAD_ROW[: HEAD_ROW.index(b"<row>", 1)]), "no_rows"),
        (altered(SMALL, "xl/sharedStrings.xml", lambda _old: b"<sst><si><t>" + b"x" * 200_000 + b"</t></si></sst>"), "cell_too_long"),
        (altered(SMALL, "xl/workbook.xml", lambda _old: b"<workbook/>"), "no_workbook"),
    ],
)  # fmt: skip
def test_a_workbook_that_is_none_is_one_message(content: bytes, code: str) -> None:
    assert refused(content).code == code


def test_a_zip_bomb_posing_as_a_workbook_is_given_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked = 0
    real = workbooks._pieces

    def counted(*given: Any) -> Iterable[bytes]:
        nonlocal unpacked
        for piece in real(*given):
            unpacked += len(piece)
            yield piece

    monkeypatch.setattr(workbooks, "_pieces", counted)
    monkeypatch.setattr(workbooks, "RATIO_FROM", 2 * 1024**2)
    blank_rows = b"<row/>" * 1_000_000  # 6 MB, of some 6 kB
    assert refused(sheet_of(HEAD_ROW + blank_rows)).code == "too_large"
    assert unpacked < 3 * 1024**2
    assert (
        refused(altered(SMALL, "xl/styles.xml", lambda _old: b"<s>" + b" " * 6_000_000)).code == "too_large"
    )


def test_a_directory_of_the_archive_that_is_too_large_is_not_read() -> None:
    end = SMALL.rindex(b"PK\x05\x06")
    lying = SMALL[: end + 12] + (3_000_000).to_bytes(4, "little") + SMALL[end + 16 :]
    lying = SMALL[:end] + b"\x00" * 3_000_000 + lying[end:]
    assert refused(lying).code == "too_large"


def test_the_texts_of_a_workbook_that_do_not_fit_in_memory_wait_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workbooks, "KEPT_STRINGS", 1000)
    table: Sequence[list[str]] = [[f"Name {i} é", f"text {i % 7}", "same"] for i in range(300)]
    content = workbook(
        lambda _book, sheet: [sheet.write_row(i, 0, line) for i, line in enumerate([["a", "b", "c"], *table])]
    )
    assert [cells for _row, cells in read(content)[1]] == table


# All of them


@given(
    st.one_of(
        st.binary(max_size=300),
        st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")),
        st.builds(lambda at, wrong: SMALL[:at] + wrong + SMALL[at + len(wrong) :], st.integers(0, len(SMALL)), st.binary(min_size=1, max_size=9)),
        st.builds(lambda at, wrong: sheet_of(HEAD_ROW[:at] + wrong + HEAD_ROW[at:]), st.integers(0, len(HEAD_ROW)), st.binary(min_size=1, max_size=9)),
        st.builds(lambda start, rest: start + rest, st.sampled_from([b"{", b"[{", b"PK\x03\x04", b'sep=;\n"', b"\xff\xfe", b"a,b\n"]), st.binary(max_size=80)),
    )
)  # fmt: skip
@example(b"\xfe\xff")
@example(b"sep=;")
@example(b'{"a":1}\n{"b":')
@settings(max_examples=examples(40), deadline=None)
def test_no_bytes_do_more_than_be_refused(content: bytes) -> None:
    try:
        layout, found = read(content)
    except Unreadable:
        return
    assert all(len(cells) >= len(layout.columns) for _line, cells in found)
    assert len(set(layout.columns)) == len(layout.columns)


@pytest.fixture
def variants(shared_dir: Path) -> Path:
    folder = shared_dir / "data" / "crm" / "format_variants"
    if not folder.is_dir():
        pytest.skip("the CRM samples are not beside the checkout")
    return folder


def test_four_people_exported_the_same_orders(variants: Path) -> None:
    tables = {path.name[:2]: read(path.read_bytes()) for path in variants.glob("*.csv")}
    assert {
        name: (layout.delimiter, layout.encoding, len(found)) for name, (layout, found) in tables.items()
    } == {
        "v1": (",", "utf-8", 32),
        "v4": (";", "utf-8", 32),
        "v5": (",", "utf-8", 32),
        "v6": (",", "utf-8", 32),
    }
    assert len({layout.columns for layout, _found in tables.values()}) == 1

    def column(which: str, name: str) -> list[Cell]:
        layout, found = tables[which]
        return [cells[layout.columns.index(name)] for _line, cells in found]

    assert dates_seen(column("v1", "OrderDate")).formats == ("YYYY-MM-DD",)
    assert dates_seen(column("v4", "DueDate")).formats == ("YYYY-MM-DD",)
    assert dates_seen(column("v5", "OrderDate")).formats == ("DD-MM-YYYY", "MM-DD-YYYY")
    assert dates_seen(column("v5", "DueDate")).formats == ("DD-MM-YYYY",)
    assert dates_seen(column("v6", "OrderDate")).destroyed
