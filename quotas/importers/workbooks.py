"""XLSX, row by row: a ZIP archive of XML parts, read as streams with everything bounded that a file could make grow.

Not by openpyxl: its read-only mode keeps an element for each row and each text of the workbook, reads a sheet that does not
state its size once more, and makes floats of the numbers.
"""

import os
import re
import sys
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from functools import lru_cache
from itertools import islice
from typing import BinaryIO, Final, cast
from xml.parsers import expat

from marketplace.importers.files import storable_text
from quotas.importers.layouts import (
    LONGEST_CELL,
    LONGEST_ROW,
    LOOKED_AT,
    Cell,
    Footer,
    Layout,
    Unreadable,
    blank,
    empty,
    head_among,
    names_of,
    no_rows,
    quoted,
)

MOST_ROWS: Final = 1_048_576  # of a sheet, by the format's own rule; and columns
MOST_COLUMNS: Final = 16_384
MOST_PARTS: Final = 10_000
MOST_STRINGS: Final = 10_000_000
KEPT_STRINGS: Final = 48 * 1024 * 1024  # bytes in memory; the others wait in a temporary file
SMALL_PART: Final = 32 * 1024 * 1024  # unpacked
LARGE_PART: Final = 4 * 1024 * 1024 * 1024
RATIO_FROM: Final = 16 * 1024 * 1024  # from so much unpacked a part may not be …
MOST_RATIO: Final = 200  # … so many times as large as it was packed
PIECE: Final = 16 * 1024  # small: the rows in it may be wide
LONGEST_NUMBER: Final = 40
LONGEST_TOKEN: Final = 1024 * 1024
MOST_AT_ONCE: Final = 2 * 1024 * 1024  # of the archive's own directory
SHEETS_TRIED: Final = 20

Attributes = dict[str, str]


def _damaged() -> Unreadable:
    return Unreadable(
        "damaged",
        "The workbook is damaged and cannot be read. Open it, save it again as .xlsx, and upload that.",
    )


def _bomb() -> Unreadable:
    return Unreadable(
        "too_large",
        "The workbook unpacks to far more than a table has. Save the sheet that matters as CSV and upload that.",
    )


@contextmanager
def _or_damaged() -> Iterator[None]:
    try:
        yield
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
        expat.ExpatError,
        EOFError,
        OSError,
        RuntimeError,
        NotImplementedError,
        ValueError,
        ArithmeticError,
        LookupError,
    ) as wrong:
        raise _damaged() from wrong


# The archive


class _Careful:
    """The file as zipfile sees it: no reading of a large piece at once, whatever the archive says of its directory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        if size > MOST_AT_ONCE:
            raise _bomb()
        content = self._file.read(MOST_AT_ONCE + 1 if size < 0 else size)
        if len(content) > MOST_AT_ONCE:
            raise _bomb()
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


@dataclass(frozen=True)
class _Page:
    name: str
    part: zipfile.ZipInfo
    hidden: bool


@dataclass
class _Book:
    archive: zipfile.ZipFile
    pages: list[_Page] = field(default_factory=list)
    strings: zipfile.ZipInfo | None = None
    days: Mapping[int, str] = field(default_factory=dict)  # style to day or time
    from_1904: bool = False

    @property
    def visible(self) -> tuple[str, ...]:
        return tuple(page.name for page in self.pages if not page.hidden) or tuple(p.name for p in self.pages)


def _open(file: BinaryIO) -> _Book:
    archive = zipfile.ZipFile(cast(BinaryIO, _Careful(file)))
    parts = {part.filename.replace("\\", "/").lower(): part for part in archive.infolist()}
    if len(parts) > MOST_PARTS:
        raise _bomb()
    if "[content_types].xml" not in parts:
        if "mimetype" in parts:
            raise Unreadable(
                "opendocument",
                "The file is an OpenDocument spreadsheet. Save it as .xlsx or CSV and upload that.",
            )
        raise Unreadable(
            "archive",
            "The file is a ZIP archive, not a workbook. Unpack it and upload the table that is in it.",
        )
    main = _main_part(archive, parts)
    if main.endswith(".bin"):
        raise Unreadable(
            "xlsb", "The file is a binary workbook (.xlsb). Save it as .xlsx or CSV and upload that."
        )
    if main not in parts:
        raise Unreadable(
            "no_workbook", "The file is no workbook. Save the table as .xlsx or CSV and upload that."
        )
    book = _Book(archive)
    folder, _, name = main.rpartition("/")
    related = _related(archive, parts, f"{folder}/_rels/{name}.rels", folder)
    sheets: list[tuple[str, str, str]] = []

    def seen(tag: str, attributes: Attributes) -> None:
        if tag == "sheet":
            key = next((v for k, v in attributes.items() if k == "id" or k.endswith(":id")), "")
            sheets.append((attributes.get("name", ""), key, attributes.get("state", "visible")))
        elif tag == "workbookPr":
            book.from_1904 = attributes.get("date1904", "0").lower() in ("1", "true", "on")
        elif tag in ("document", "presentation"):
            raise Unreadable(
                "no_workbook", "The file is no workbook. Save the table as .xlsx or CSV and upload that."
            )

    _walk(archive, parts[main], seen)
    for sheet, key, state in sheets:
        kind, target = related.get(key, ("", ""))
        if kind == "worksheet" and target in parts:
            book.pages.append(_Page(sheet, parts[target], state != "visible"))
    if not book.pages:
        raise Unreadable(
            "no_workbook", "The workbook has no sheet with a table. Save the table as .xlsx or CSV."
        )
    for kind, target in related.values():
        if kind == "sharedStrings":
            book.strings = parts.get(target)
        elif kind == "styles" and target in parts:
            book.days = _day_styles(archive, parts[target])
    return book


def _main_part(archive: zipfile.ZipFile, parts: Mapping[str, zipfile.ZipInfo]) -> str:
    for kind, target in _related(archive, parts, "_rels/.rels", "").values():
        if kind == "officeDocument":
            return target
    return "xl/workbook.xml"


def _related(
    archive: zipfile.ZipFile, parts: Mapping[str, zipfile.ZipInfo], name: str, folder: str
) -> dict[str, tuple[str, str]]:
    """Id to (kind, name of the part in lower case)."""
    found: dict[str, tuple[str, str]] = {}

    def seen(tag: str, attributes: Attributes) -> None:
        if tag == "Relationship" and len(found) < MOST_PARTS:
            target = attributes.get("Target", "").replace("\\", "/")
            path: list[str] = []
            for step in (target if target.startswith("/") else f"{folder}/{target}").split("/"):
                if step == "..":
                    path = path[:-1]
                elif step not in ("", "."):
                    path.append(step)
            kind = attributes.get("Type", "").rpartition("/")[2]
            found[attributes.get("Id", "")] = (kind, "/".join(path).lower())

    if name.lower() in parts:
        _walk(archive, parts[name.lower()], seen)
    return found


# Parts


def _pieces(archive: zipfile.ZipFile, part: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """What it unpacks to, counted as it comes: what the archive says of its sizes is not believed."""
    if part.flag_bits & 1:
        raise Unreadable("protected", "The workbook is protected by a password. Save it without one.")
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _damaged()
    unpacked = 0
    with archive.open(part) as stream:
        while piece := stream.read(PIECE):
            unpacked += len(piece)
            if unpacked > most or (unpacked > RATIO_FROM and unpacked > MOST_RATIO * part.compress_size):
                raise _bomb()
            yield piece


def _parse(
    archive: zipfile.ZipFile, part: zipfile.ZipInfo, parser: expat.XMLParserType, most: int
) -> Iterator[None]:
    """Feed the parser piece by piece, pausing after each."""
    fed = 0
    for piece in _pieces(archive, part, most):
        parser.Parse(piece, False)
        fed += len(piece)
        if fed - parser.CurrentByteIndex > LONGEST_TOKEN:  # one tag, of megabytes
            raise _damaged()
        yield
    parser.Parse(b"", True)
    yield


def _parser() -> expat.XMLParserType:
    """Without a document type nothing in it can refer to anything: no entities, no files."""
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def refuse(*_any: object) -> None:
        raise _damaged()

    parser.StartDoctypeDeclHandler = refuse
    return parser


def _walk(
    archive: zipfile.ZipFile,
    part: zipfile.ZipInfo,
    seen: Callable[[str, Attributes], None],
    left: Callable[[str], None] | None = None,
) -> None:
    """Call *seen* for each element, by its name without a prefix."""
    parser = _parser()
    parser.StartElementHandler = lambda name, attributes: seen(name.rpartition(":")[2], attributes)
    if left is not None:
        parser.EndElementHandler = lambda name: left(name.rpartition(":")[2])
    for _ in _parse(archive, part, parser, SMALL_PART):
        pass


# Days


_BUILT_IN_DAYS: Final = {*range(14, 18), 22, *range(27, 37), *range(50, 59)}
_BUILT_IN_TIMES: Final = {*range(18, 22), *range(45, 48)}
_NO_CODE: Final = re.compile(r'"[^"]*"?|\\.|[_*].|\[[^\]]*\]?|AM/PM|A/P', re.IGNORECASE)


def _day_styles(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> dict[int, str]:
    """Index of a cell's style to “day” or “time”, for those that show a number as one."""
    codes: dict[int, str] = {}
    styles: dict[int, str] = {}
    inside, count = False, 0

    def seen(tag: str, attributes: Attributes) -> None:
        nonlocal inside, count
        if tag == "numFmt" and len(codes) < MOST_PARTS:
            codes[int(attributes["numFmtId"])] = attributes.get("formatCode", "")
        elif tag == "cellXfs":
            inside = True
        elif tag == "xf" and inside:
            if kind := _shows(int(attributes.get("numFmtId", "0")), codes):
                styles[count] = kind
            count += 1

    def left(tag: str) -> None:
        nonlocal inside
        inside = inside and tag != "cellXfs"

    _walk(archive, part, seen, left)
    return styles


def _shows(number: int, codes: Mapping[int, str]) -> str:
    if (code := codes.get(number)) is None:
        return "day" if number in _BUILT_IN_DAYS else "time" if number in _BUILT_IN_TIMES else ""
    if code.lower() in ("general", "standard"):
        return ""
    bare = _NO_CODE.sub("", code.partition(";")[0]).lower()
    if "y" in bare or "d" in bare or ("m" in bare and "h" not in bare and "s" not in bare):
        return "day"
    return "time" if "h" in bare or "s" in bare else ""


# Excel keeps fifteen digits and writes seventeen: 1.1000000000000001 is 1.1.
_FIFTEEN: Final = Context(prec=15, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_WIDE: Final = Context(prec=60, traps=[InvalidOperation])
_FIRST_WITH_FULL_DAYS: Final = 10_000  # in a cell that shows a time: 1927; below, it is hours


@lru_cache(maxsize=8192)
def _number(text: str) -> Cell:
    if text.isdecimal() and len(text) <= 15:
        return Decimal(text)
    try:
        number = _FIFTEEN.create_decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite():
        return text
    if -40 <= number.adjusted() <= 40 and number == number.to_integral_value():
        return number.quantize(Decimal(1), context=_WIDE)
    return number


@lru_cache(maxsize=8192)
def _day(text: str, kind: str, *, from_1904: bool) -> Cell:
    """The day, or what the spreadsheet would show where it has lost it."""
    number = _number(text)
    if not isinstance(number, Decimal):
        return number
    if kind == "time" and number < _FIRST_WITH_FULL_DAYS:
        seconds = int(number % 1 * 86_400)
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}" if number >= 0 else "#####"
    if not 0 <= number < 2_958_466:  # 9999-12-31
        return "#####"
    serial = int(number)
    if from_1904:
        return date(1904, 1, 1) + timedelta(days=serial) if serial < 2_957_004 else "#####"
    if serial == 0:
        return "1/0/1900"
    # Day 60 is 29 February 1900, which was not.
    return date(1899, 12, 30) + timedelta(days=serial + (serial < 60))


# Texts


_ESCAPED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


def _plain(text: str) -> str:
    if "_x" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    return storable_text(text)


class _Strings:
    """The texts of the workbook by number. Read as far as they are asked for; the first are kept in memory, the others on disk."""

    def __init__(self, archive: zipfile.ZipFile, part: zipfile.ZipInfo | None) -> None:
        self._kept: list[str] = []
        self._bytes = 0
        self._ends = array("Q", [0])  # of those on disk
        self._disk: BinaryIO | None = None
        self._waiting: list[bytes] = []
        self._more = self._read(archive, part) if part is not None else iter(())

    def __getitem__(self, number: int) -> str:
        while True:
            if 0 <= number < len(self._kept):
                return self._kept[number]
            place = number - len(self._kept)
            if self._disk is not None and 0 <= place < len(self._ends) - 1:
                start, end = self._ends[place], self._ends[place + 1]
                return os.pread(self._disk.fileno(), end - start, start).decode()
            if number < 0 or next(self._more, self) is self:
                raise _damaged()

    def close(self) -> None:
        if self._disk is not None:
            self._disk.close()

    def _add(self, text: str) -> None:
        if len(self._kept) + len(self._ends) > MOST_STRINGS:
            raise _bomb()
        if self._bytes < KEPT_STRINGS:
            self._kept.append(text)
            self._bytes += sys.getsizeof(text) + 8
        else:
            content = text.encode()
            self._waiting.append(content)
            self._ends.append(self._ends[-1] + len(content))

    def _write(self) -> None:
        if not self._waiting:
            return
        if self._disk is None:
            self._disk = cast(BinaryIO, tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  # close() closes it
        content = b"".join(self._waiting)
        while content:
            content = content[self._disk.write(content) :]
        self._waiting.clear()

    def _read(self, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> Iterator[None]:
        parser = _parser()
        texts: list[str] = []
        size = 0
        collecting = phonetic = False

        def start(name: str, _attributes: Attributes) -> None:
            nonlocal collecting, phonetic, size
            tag = name.rpartition(":")[2]
            if tag == "si":
                texts.clear()
                size = 0
            elif tag == "rPh":
                phonetic = True
            elif tag == "t":
                collecting = not phonetic

        def end(name: str) -> None:
            nonlocal collecting, phonetic
            tag = name.rpartition(":")[2]
            if tag == "t":
                collecting = False
            elif tag == "rPh":
                phonetic = False
            elif tag == "si":
                self._add(_plain("".join(texts)))

        def data(text: str) -> None:
            nonlocal size
            if collecting:
                size += len(text)
                if size > LONGEST_CELL:
                    raise _cell_too_long("A cell")
                texts.append(text)

        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
        for _ in _parse(archive, part, parser, LARGE_PART):
            self._write()
            yield


def _cell_too_long(which: str) -> Unreadable:
    return Unreadable(
        "cell_too_long",
        f"{which} has more than {LONGEST_CELL:,} characters. Shorten it, and upload the file again.",
    )


# Rows


def _column(letters: str) -> int:
    """A is 0."""
    number = 0
    for letter in letters.upper():
        if not "A" <= letter <= "Z":
            raise _damaged()
        number = number * 26 + ord(letter) - 64
    if not 0 < number <= MOST_COLUMNS:
        raise _damaged()
    return number - 1


def _rows(book: _Book, page: _Page) -> Generator[tuple[int, list[Cell]]]:
    """(number of the row, its cells as far as the last that is not empty)."""
    strings = _Strings(book.archive, book.strings)
    try:
        yield from _rows_with(book, page, strings)
    finally:
        strings.close()


def _rows_with(book: _Book, page: _Page, strings: _Strings) -> Iterator[tuple[int, list[Cell]]]:
    parser = _parser()
    days, from_1904 = book.days, book.from_1904
    out: list[tuple[int, list[Cell]]] = []
    cells: list[Cell] = []
    texts: list[str] = []
    columns: dict[str, int] = {}
    row, column, size, length = 0, -1, 0, 0
    kind, style = "n", ""
    collecting = phonetic = False
    row_tag = cell_tag = value_tag = text_tag = phonetic_tag = ""

    def start(name: str, attributes: Attributes) -> None:
        nonlocal row, column, kind, style, length, size, cells, collecting, phonetic
        nonlocal row_tag, cell_tag, value_tag, text_tag, phonetic_tag
        if name == cell_tag:
            kind, style = attributes.get("t", "n"), attributes.get("s", "")
            if place := attributes.get("r"):
                letters = place.rstrip("0123456789")
                if (known := columns.get(letters)) is None:
                    known = columns[letters] = _column(letters)
                column = known
            else:
                column += 1
            texts.clear()
            length = 0
        elif name in (value_tag, text_tag):
            collecting = not phonetic
        elif name == row_tag:
            number = int(attributes.get("r", row + 1))
            if number <= row:
                raise _damaged()
            if number > MOST_ROWS:
                raise _bomb()
            row, column, size, cells = number, -1, 0, []
        elif name == phonetic_tag:
            phonetic = True
        elif not row_tag:  # the root: its prefix is that of all
            prefix = name.rpartition(":")[0]
            row_tag, cell_tag, value_tag, text_tag, phonetic_tag = (
                f"{prefix}:{tag}" if prefix else tag for tag in ("row", "c", "v", "t", "rPh")
            )

    def end(name: str) -> None:
        nonlocal collecting, phonetic, size
        if name in (value_tag, text_tag):
            collecting = False
        elif name == cell_tag:
            if texts:
                value = told("".join(texts))
                if not 0 <= column < MOST_COLUMNS:
                    raise _damaged()
                size += len(value) if isinstance(value, str) else 20
                if size > LONGEST_ROW:
                    raise Unreadable(
                        "row_too_long", f"Row {row:,} is longer than {LONGEST_ROW // 1024**2} MB. Shorten it."
                    )
                if column >= len(cells):
                    cells.extend([None] * (column + 1 - len(cells)))
                cells[column] = value
                texts.clear()
        elif name == row_tag:
            if cells:
                out.append((row, cells))
        elif name == phonetic_tag:
            phonetic = False

    def told(text: str) -> Cell:
        if kind == "s":
            return strings[int(text)]
        if kind == "n" and len(text) <= LONGEST_NUMBER:
            shows = days.get(int(style)) if style else None
            return _number(text) if shows is None else _day(text, shows, from_1904=from_1904)
        if kind == "b":
            return "true" if text.strip() in ("1", "true") else "false"
        if kind == "d":
            try:
                return date.fromisoformat(text[:10])
            except ValueError:
                return text
        return _plain(text)

    def data(text: str) -> None:
        nonlocal length
        if collecting:
            length += len(text)
            if length > LONGEST_CELL:
                raise _cell_too_long(f"A cell in row {row:,}")
            texts.append(text)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    for _ in _parse(book.archive, page.part, parser, LARGE_PART):
        yield from out
        out.clear()


def workbook_layout(file: BinaryIO, sheet: str = "") -> Layout:
    """How the table of a workbook is laid out: of the sheet that is named, else of the first that has a table. Raises Unreadable."""
    with _or_damaged():
        book = _open(file)
        if sheet:
            return _page_layout(book, _named(book, sheet))
        found: Layout | None = None
        why: Unreadable | None = None
        for page in [page for page in book.pages if page.name in book.visible][:SHEETS_TRIED]:
            try:
                layout = _page_layout(book, page)
            except Unreadable as wrong:
                if wrong.code not in ("empty", "no_rows", "no_head"):
                    raise
                why = why or wrong
            else:
                if len(layout.columns) > 1:
                    return layout
                found = found or layout  # a page of text, perhaps: what follows may be a table
        if found is None:
            raise why or empty("workbook")
        return found


def _named(book: _Book, sheet: str) -> _Page:
    for same in (str, str.casefold):
        for page in book.pages:
            if same(page.name) == same(sheet):
                return page
    raise Unreadable(
        "no_such_sheet",
        f"The workbook has no sheet {quoted(sheet)}. It has {', '.join(quoted(name, 40) for name in book.visible[:10])}.",
    )


def _page_layout(book: _Book, page: _Page) -> Layout:
    rows = _rows(book, page)
    first = list(islice((row for row in rows if not all(map(blank, row[1]))), LOOKED_AT))
    rows.close()
    what = f"sheet {quoted(page.name, 40)}"
    if not first:
        raise empty(what)
    index = head_among([cells for _row, cells in first])
    line, head = first[index]
    below = [cells for _row, cells in first[index + 1 :]]
    names = names_of(head, below)
    if not below:
        raise no_rows(what)
    return Layout("xlsx", "", "", page.name, book.visible, names, line)


def workbook_rows(file: BinaryIO, layout: Layout) -> Iterator[tuple[int, list[Cell]]]:
    wide = len(layout.columns)
    second = 1 if wide > 2 else 0
    footer = Footer(wide)
    with _or_damaged():
        book = _open(file)
        for row, cells in _rows(book, _named(book, layout.sheet)):
            if row <= layout.head:
                continue
            if len(cells) == wide and not blank(cells[second]) and not footer.held:
                yield row, cells
            else:
                yield from footer.pass_on(row, cells, None)
        yield from footer.rest()
