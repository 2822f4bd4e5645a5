"""Tables as files: CSV, XLSX and JSON Lines out of one description of the columns and one pass over the rows.

CSV         UTF-8 with a byte order mark, because Excel reads anything else as the code page of its machine; CRLF, one row of
            heads, no title above it. Amounts are exact decimals with their currency in a column beside them, percentages per
            cent with four decimals, days and instants ISO 8601.
XLSX        Real numbers, dates and percentages; the head is frozen and has filters; a second sheet says what it is, of when
            and for whom. A number that 15 digits do not hold is written as text rather than wrong.
JSON Lines  One object a row under the columns' names, with money, counts and percentages as in REST.

Nothing is kept: CSV and JSON Lines are pieces of some 64 KiB while rows come, XLSX goes through a file row by row.

A text that a spreadsheet would take for a formula is defused: in CSV by an apostrophe before it (armed() takes it off again),
in XLSX by being a text, and one that stays a text when somebody edits the cell.
"""

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, BinaryIO, Final, Literal, NamedTuple, get_args
from zoneinfo import ZoneInfo

from xlsxwriter import Workbook

from config.formats import rounded
from config.rest.fields import decimal

Format = Literal["csv", "xlsx", "jsonl"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
Kind = Literal["text", "whole", "number", "money", "percent", "date", "instant", "flag"]

CONTENT_TYPES: Final[dict[Format, str]] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "jsonl": "application/x-ndjson; charset=utf-8",
}
MOST_XLSX_ROWS: Final = 1_048_575  # of a sheet, below its head
HELD_ROWS: Final = 500  # of a workbook that is held in memory
PIECE: Final = 65_536
_DIGITS: Final = 10**15  # beyond, a spreadsheet's numbers are no longer exact
_LONGEST_CELL: Final = 32_767
_CUT: Final = " [cut]"
_SEEN_FOR_WIDTH: Final = 500
_WIDTHS: Final = (9, 60)
# What Excel, LibreOffice and Google Sheets take for the beginning of a formula, full-width signs included; space before it
# does not help. Apostrophes count along, so that taking one off is exact.
_FORMULA: Final = re.compile(r"'*(?:[\t\r\n]|[\s\ufeff\u200b]*[=+\-@＝＋－＠])")  # noqa: RUF001


class Amount(NamedTuple):
    """An amount in minor units. code is empty for a count, which has an exponent and no currency."""

    minor: int
    code: str
    exponent: int


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    name      Of the field in JSON Lines.
    label     Head in CSV and XLSX, as the page calls it.
    kind      text: str; whole: int; number: Decimal; money: Amount; percent: a Fraction of one; date; instant: an aware
              datetime; flag: bool. None is empty in each.
    currency  Head of the currency column of a money column; columns with the same head side by side share one. Without it
              the label with "currency" behind it.
    key       Of the list's column that shows it ({% columns %}): hidden there, it is not in the file. Without one it always is.
    """

    name: str
    label: str
    kind: Kind = "text"
    currency: str = ""
    key: str = ""


Rows = Callable[[], Iterable[Sequence[Any]]]


@dataclass(frozen=True)
class Table:
    """Columns and what stands in them. rows is called once, when writing begins, and gives a value a column."""

    columns: Sequence[Column]
    rows: Rows


def without(table: Table, hidden: Collection[str]) -> Table:
    """The table as somebody sees the list who has hidden columns of it."""
    kept = [place for place, column in enumerate(table.columns) if column.key not in hidden]
    if len(kept) == len(table.columns):
        return table
    return Table(
        [table.columns[place] for place in kept],
        lambda: ([row[place] for place in kept] for row in table.rows()),
    )


@dataclass(frozen=True)
class Export:
    """A table to be written once.

    name   Stem of the file's name.
    title  What it is, for people.
    at     As of when; its zone is the one in which instants are written.
    by     For whom: what is in it is what this person may see.
    said   What it was narrowed to and what else is to be known, for the second sheet: (what, value).
    total  How many rows there will be, where that is known before.
    """

    name: str
    title: str
    table: Table
    at: datetime
    by: str = ""
    said: Sequence[tuple[str, str]] = field(default_factory=tuple)
    total: int | None = None

    def file_name(self, form: Format) -> str:
        """Says what and when: deals-fy27-q1-2026-08-14.csv."""
        stem = re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:80]
        return f"{stem}-{self.at:%Y-%m-%d}.{form}"


class TooManyRows(Exception):
    """More rows than a sheet holds; nothing of the file is to be used. The message says what to do."""

    def __init__(self) -> None:
        super().__init__(
            f"An Excel sheet holds {MOST_XLSX_ROWS:,} rows and this has more: take CSV or JSON Lines, or narrow it."
        )


def format_named(name: str) -> Format:
    """Raises ValueError for another than csv, xlsx, jsonl."""
    for form in FORMATS:
        if name == form:
            return form
    raise ValueError(f"There is no format {name}; there are {', '.join(FORMATS)}.")


def ratio(part: int | None, whole: int | None) -> Fraction | None:
    """For a percent column: None where there is nothing to divide."""
    return Fraction(part, whole) if part is not None and whole else None


def defused(text: str) -> str:
    """As it may stand in a CSV cell: an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if _FORMULA.match(text) else text


def armed(cell: str) -> str:
    """What was defused, as it was."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell[1:]) else cell


def pieces(export: Export, form: Format) -> Iterator[bytes]:
    """CSV or JSON Lines as it is to be sent. XLSX cannot be sent before it is whole: write_xlsx."""
    if form == "csv":
        return _csv(export)
    if form == "jsonl":
        return _json_lines(export)
    raise ValueError(f"{form} is no stream of lines")


def write(export: Export, form: Format, file: BinaryIO) -> int:
    """Write the whole of it; returns the number of rows. Raises TooManyRows (XLSX)."""
    if form == "xlsx":
        return write_xlsx(export, file)
    counted = _Counted(export.table.rows)
    file.writelines(pieces(replace(export, table=Table(export.table.columns, counted)), form))
    return counted.rows


class _Counted:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.rows = 0

    def __call__(self) -> Iterator[Sequence[Any]]:
        for row in self._rows():
            self.rows += 1
            yield row


# --- columns as they stand in a sheet ---------------------------------------------------------------------


class _Cell(NamedTuple):
    """One column of the sheet: of which value, under which head; kind currency is the code of an amount."""

    place: int
    label: str
    kind: str


def _cells(columns: Sequence[Column]) -> list[_Cell]:
    """The columns with those of the currencies, each behind the last amount that shares it."""
    cells: list[_Cell] = []
    for index, column in enumerate(columns):
        cells.append(_Cell(index, column.label, column.kind))
        if column.kind != "money":
            continue
        after = columns[index + 1] if index + 1 < len(columns) else None
        if not (
            column.currency
            and after is not None
            and after.kind == "money"
            and after.currency == column.currency
        ):
            cells.append(_Cell(index, column.currency or f"{column.label} currency", "currency"))
    return cells


def _code_of(row: Sequence[Any], index: int, columns: Sequence[Column]) -> str:
    """The currency of the amounts that end at *index*: an empty amount does not hide that of its neighbour."""
    while True:
        if row[index] is not None:
            return str(row[index].code)
        before = index - 1
        shared = before >= 0 and columns[before].kind == "money"
        if not (shared and columns[index].currency and columns[before].currency == columns[index].currency):
            return ""
        index = before


def _count_text(amount: Amount) -> str:
    written = decimal(amount.minor, amount.exponent)
    return written.rstrip("0").rstrip(".") if "." in written else written


def _amount_text(amount: Amount) -> str:
    """Money to its minor unit; a count without zeros at its end."""
    return decimal(amount.minor, amount.exponent) if amount.code else _count_text(amount)


def _per_cent(value: Fraction) -> str:
    return decimal(rounded(value * 1_000_000), 4)


# --- CSV --------------------------------------------------------------------------------------------------


def _csv(export: Export) -> Iterator[bytes]:
    columns = export.table.columns
    zone = export.at.tzinfo
    cells = _cells(columns)
    writers = [(cell.place, cell.kind == "currency", _csv_writer(cell.kind, zone)) for cell in cells]
    text = io.StringIO()
    line = csv.writer(text, lineterminator="\r\n").writerow
    text.write("\ufeff")
    line([defused(cell.label) for cell in cells])
    for row in export.table.rows():
        line(
            [
                _code_of(row, index, columns)
                if is_code
                else ""
                if (value := row[index]) is None
                else written(value)
                for index, is_code, written in writers
            ]
        )
        if text.tell() > PIECE:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _csv_writer(kind: str, zone: Any) -> Callable[[Any], str]:
    match kind:
        case "money":
            return _amount_text
        case "percent":
            return _per_cent
        case "number":
            return _plain
        case "date":
            return date.isoformat
        case "instant":
            return lambda at: str(at.astimezone(zone).isoformat())
        case "flag":
            return lambda flag: "true" if flag else "false"
        case "text":
            return lambda text: defused(str(text))
    return str


def _plain(value: Decimal) -> str:
    """Without an exponent."""
    return f"{value:f}"


# --- JSON Lines -------------------------------------------------------------------------------------------


def _json_lines(export: Export) -> Iterator[bytes]:
    zone = export.at.tzinfo
    writers = [
        (column.name, index, _json_writer(column.kind, zone))
        for index, column in enumerate(export.table.columns)
    ]
    dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    held: list[str] = []
    size = 0
    for row in export.table.rows():
        line = dumps(
            {
                name: None if (value := row[index]) is None else written(value)
                for name, index, written in writers
            }
        )
        held.append(line)
        size += len(line)
        if size > PIECE:
            yield ("\n".join(held) + "\n").encode()
            held.clear()
            size = 0
    if held:
        yield ("\n".join(held) + "\n").encode()


def _json_writer(kind: str, zone: Any) -> Callable[[Any], Any]:
    match kind:
        case "money":
            return _json_amount
        case "percent":
            return _per_cent
        case "number":
            return _plain
        case "date":
            return date.isoformat
        case "instant":
            return lambda at: at.astimezone(zone).isoformat()
        case "whole":
            return int
        case "flag":
            return bool
    return str


def _json_amount(amount: Amount) -> Any:
    if not amount.code:
        return _count_text(amount)
    return {"amount": decimal(amount.minor, amount.exponent), "currency": amount.code}


# --- XLSX -------------------------------------------------------------------------------------------------

_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "default_date_format": "yyyy-mm-dd",
}


def write_xlsx(export: Export, file: BinaryIO) -> int:
    """The workbook, its rows through a file of their own; returns their number. Raises TooManyRows: what was written is none.

    One that is known to be small is held in memory: a third of the time, where there are thousands of them.
    """
    if export.total is not None and export.total > MOST_XLSX_ROWS:
        raise TooManyRows
    if export.total is not None and export.total <= HELD_ROWS:
        book = Workbook(file, {**_OPTIONS, "constant_memory": False, "in_memory": True})
        book.set_properties({"title": export.title, "created": export.at.replace(tzinfo=None)})
        rows = _Sheet(book, export).write()
        _about(book, export, rows)
        book.close()
        return rows
    with tempfile.TemporaryDirectory(prefix="parity-export-") as place:
        book = Workbook(file, {**_OPTIONS, "tmpdir": place})
        book.use_zip64()
        book.set_properties({"title": export.title, "created": export.at.replace(tzinfo=None)})
        with closing(_Parts(book)) as parts:
            rows = _Sheet(book, export).write()
            _about(book, export, rows)
            parts.wanted = True
        return rows


class _Parts:
    """The files of rows of a workbook: put together at the end, or given back where the workbook is not wanted."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self.wanted = False

    def close(self) -> None:
        if self.wanted:
            self.book.close()
            return
        for sheet in self.book.worksheets():
            sheet.row_data_fh.close()


class _Sheet:
    """The rows of one export on the first sheet."""

    def __init__(self, book: Any, export: Export) -> None:
        self.export = export
        self.zone = export.at.tzinfo
        self.cells = _cells(export.table.columns)
        self.sheet = book.add_worksheet(re.sub(r"[\[\]:*?/\\']", " ", export.title)[:31])
        self.book = book
        self.plain = book.add_format({"valign": "top"})
        self.quoted = book.add_format({"valign": "top", "quote_prefix": True})
        self.formats: dict[tuple[str, int], Any] = {}

    def write(self) -> int:
        cells, sheet, columns = self.cells, self.sheet, self.export.table.columns
        bold = self.book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        for at, cell in enumerate(cells):
            sheet.write_string(0, at, cell.label, bold)
        sheet.freeze_panes(1, 0)
        widths = [len(cell.label) + 3 for cell in cells]  # room for the filter's button
        put = [self._put(cell.kind) for cell in cells]
        number = 0
        for row in self.export.table.rows():
            number += 1
            if number > MOST_XLSX_ROWS:
                raise TooManyRows
            for at, cell in enumerate(cells):
                value: Any = (
                    _code_of(row, cell.place, columns) if cell.kind == "currency" else row[cell.place]
                )
                if value is None or value == "":
                    continue
                length = put[at](number, at, value)
                if number <= _SEEN_FOR_WIDTH and length > widths[at]:
                    widths[at] = length
        for at, width in enumerate(widths):
            sheet.set_column(at, at, min(max(width + 1, _WIDTHS[0]), _WIDTHS[1]))
        if cells:
            sheet.autofilter(0, 0, number, len(cells) - 1)
        return number

    def _put(self, kind: str) -> Callable[[int, int, Any], int]:
        """Writes a value; answers how wide it is."""
        match kind:
            case "money":
                return self._amount
            case "whole":
                return self._whole
            case "number":
                return self._number
            case "percent":
                return self._percent
            case "date":
                return self._date
            case "instant":
                return self._instant
            case "flag":
                return self._flag
        return self._text

    def _format(self, kind: str, places: int = 0) -> Any:
        known = self.formats.get((kind, places))
        if known is None:
            code = {
                "money": "#,##0" + ("." + "0" * places if places else ""),
                "count": "#,##0" + (".######" if places else ""),
                "number": "General",
                "percent": "0.0%",
                "date": "yyyy-mm-dd",
                "instant": "yyyy-mm-dd hh:mm:ss",
            }[kind]
            known = self.book.add_format({"num_format": code, "valign": "top"})
            self.formats[kind, places] = known
        return known

    def _exact(self, row: int, at: int, value: Decimal, look: Any) -> int:
        """A number where 15 digits hold it, else the text of it."""
        written = f"{value:f}"
        if len(value.as_tuple().digits) > 15 and len(written.strip("-0.").replace(".", "")) > 15:
            self.sheet.write_string(row, at, written, self.plain)
        else:
            self.sheet.write_number(row, at, value, look)
        return len(written) + len(written) // 4

    def _amount(self, row: int, at: int, value: Amount) -> int:
        exact = Decimal(value.minor).scaleb(-value.exponent)
        if value.code:
            return self._exact(row, at, exact, self._format("money", value.exponent))
        places = value.exponent if value.minor % 10**value.exponent else 0
        return self._exact(row, at, exact, self._format("count", places))

    def _whole(self, row: int, at: int, value: int) -> int:
        if abs(value) >= _DIGITS:
            return self._text(row, at, str(value))
        self.sheet.write_number(row, at, value, self.plain)
        return len(str(value))

    def _number(self, row: int, at: int, value: Decimal) -> int:
        return self._exact(row, at, value.normalize() if value else Decimal(0), self._format("number"))

    def _percent(self, row: int, at: int, value: Fraction) -> int:
        self.sheet.write_number(
            row, at, Decimal(rounded(value * 1_000_000)).scaleb(-6), self._format("percent")
        )
        return 8

    def _date(self, row: int, at: int, value: date) -> int:
        if value.year < 1900:
            return self._text(row, at, value.isoformat())
        self.sheet.write_datetime(row, at, value, self._format("date"))
        return 10

    def _instant(self, row: int, at: int, value: datetime) -> int:
        local = value.astimezone(self.zone).replace(tzinfo=None)
        self.sheet.write_datetime(row, at, local, self._format("instant"))
        return 19

    def _flag(self, row: int, at: int, value: bool) -> int:
        self.sheet.write_boolean(row, at, value, self.plain)
        return 5

    def _text(self, row: int, at: int, value: Any) -> int:
        text = str(value)
        if len(text) > _LONGEST_CELL // 2:
            text = _cut(text)
        self.sheet.write_string(row, at, text, self.quoted if _FORMULA.match(text) else self.plain)
        return len(text)


def _cut(text: str) -> str:
    """What a cell holds, in the UTF-16 units that Excel counts; what is cut says so."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * _LONGEST_CELL:
        return text
    return units[: 2 * (_LONGEST_CELL - len(_CUT))].decode("utf-16-le", "ignore") + _CUT


def _about(book: Any, export: Export, rows: int) -> None:
    """The second sheet: what, of when, for whom, narrowed to what."""
    sheet = book.add_worksheet("About")
    bold = book.add_format({"bold": True, "valign": "top"})
    wrap = book.add_format({"text_wrap": True, "valign": "top", "align": "left"})
    zone = export.at.tzinfo.key if isinstance(export.at.tzinfo, ZoneInfo) else f"{export.at:%Z}"
    told: list[tuple[str, str]] = [
        ("What", export.title),
        ("As of", f"{export.at:%Y-%m-%d %H:%M} {zone}".strip()),
        *([("Written for", f"{export.by}: what this person may see")] if export.by else []),
        ("Rows", f"{rows:,}"),
        *export.said,
        ("Times", f"Are of {zone}." if zone else "Carry no zone."),
    ]
    for at, (what, value) in enumerate(told):
        sheet.write_string(at, 0, what, bold)
        sheet.write_string(at, 1, value, wrap)
    sheet.set_column(0, 0, 22)
    sheet.set_column(1, 1, 90)
