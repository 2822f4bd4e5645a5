"""CSV and JSON Lines, in blocks: what is in memory is a row and a block, however large the file."""

import codecs
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import Any, BinaryIO, Final

from marketplace.importers.files import storable_text
from quotas.importers.layouts import (
    LONGEST_CELL,
    LONGEST_ROW,
    LOOKED_AT,
    MOST_COLUMNS,
    Cell,
    Footer,
    Layout,
    Unreadable,
    empty,
    head_among,
    names_of,
    no_rows,
    quoted,
    too_many_columns,
)

BLOCK: Final = 256 * 1024
SAMPLE: Final = 1024 * 1024
MOST_SEARCHED: Final = 16 * 1024 * 1024  # for the first letter that is not ASCII
DELIMITERS: Final = ",;\t|"
DELIMITER_NAMES: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
FIRST_OBJECTS: Final = 1_000  # whose names are the columns

# One of the whole process. No cell that means something is longer, and an open quotation mark ends here.
csv.field_size_limit(LONGEST_CELL)


# Bytes to text


_MARKS: Final = (  # longest first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FAMILIES: Final = re.compile(
    r"utf-8(?:-sig)?|utf-(?:16|32)(?:-[lb]e)?|ascii|cp\d+|iso8859-\d+|koi8-[rtu]|mac-[a-z]+|gb\w+|big5\w*"
    r"|euc_\w+|shift_jis\w*|johab|tis-620|hp-roman8|kz1048|ptcp154"
)


_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ufffe\uffff]")


def _known_encoding(given: str) -> str:
    try:
        codec = codecs.lookup(given)
    except (LookupError, ValueError):
        codec = None
    if codec is None or not _FAMILIES.fullmatch(codec.name.replace("iso8859_", "iso8859-")):
        raise Unreadable(
            "unknown_encoding",
            f"{quoted(given)} is not a text encoding. Say utf-8, utf-16 or windows-1252, or leave it out.",
        )
    return "utf-8" if codec.name in ("utf-8-sig", "ascii") else given.strip().lower()


def encoding_of(file: BinaryIO, sample: bytes, given: str = "") -> str:
    """A mark at the beginning is believed first, then what is *given*, then what the first bytes can be.

    Raises  Unreadable for what is no text.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    if given:
        return _known_encoding(given)
    if b"\x00" in sample[:4096]:
        # UTF-16 without its mark: of Latin letters, and of every comma, one byte is zero.
        even, odd = sample[0:4096:2], sample[1:4096:2]
        for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
            if zeros.count(0) > 0.3 * len(zeros) and others.count(0) < 0.05 * len(others):
                return encoding
        raise _binary()
    telling = _first_telling(file, sample)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(telling)
    except UnicodeDecodeError as wrong:
        # Where letters of several bytes come before it, it is UTF-8 that is broken, and read otherwise it would be gibberish.
        return "windows-1252" if telling[: wrong.start].isascii() else "utf-8"
    return "utf-8"


def _first_telling(file: BinaryIO, sample: bytes) -> bytes:
    """The first part that has anything but ASCII in it: only there one encoding differs from another."""
    if len(sample) < SAMPLE or not sample.isascii():
        return sample
    file.seek(len(sample))
    for _ in range(len(sample), MOST_SEARCHED, BLOCK):
        block = file.read(BLOCK)
        if not block.isascii():
            # Decoding begins at the first letter of more than one byte, never in the middle of one.
            start = next(i for i, byte in enumerate(block) if byte > 127)
            return block[start:] + file.read(4)
        if not block:
            break
    return sample


def _binary() -> Unreadable:
    return Unreadable(
        "not_text", "The file holds binary data, not a table. Save it as .xlsx or CSV and upload that."
    )


def sample_text(sample: bytes, encoding: str) -> str:
    """The beginning as text. Raises Unreadable if it does not decode, or is hardly text."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample, len(sample) < SAMPLE)
    except UnicodeDecodeError as wrong:
        raise _undecodable(wrong, encoding, 1) from wrong
    text = text.removeprefix("\ufeff")
    first = text[:20_000]
    if len(_CONTROLS.findall(first)) > 0.02 * len(first):
        raise _binary()
    if not text.strip():
        raise empty()
    return text


def _undecodable(wrong: UnicodeDecodeError, encoding: str, line: int) -> Unreadable:
    before = wrong.object[: wrong.start].decode(encoding, "ignore")
    line += before.count("\n") or before.count("\r")
    return Unreadable(
        "encoding",
        f"Line {line:,} is not {encoding.upper()} text. Say which encoding the file has, or save it as UTF-8 and upload"
        " it again.",
    )


def lines_of(file: BinaryIO, encoding: str, row: Callable[[], int]) -> Iterator[str]:
    """Lines with their ends, from the beginning; \\n, \\r\\n and \\r all end one.

    row     Line in which the row in progress begins: one that goes on for too long is no row.
    Raises  Unreadable at a byte that does not decode, a NUL, or a row longer than LONGEST_ROW.
    """
    return chain.from_iterable(_blocks(file, encoding, row))


def _blocks(file: BinaryIO, encoding: str, row: Callable[[], int]) -> Iterator[Iterable[str]]:
    file.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    rest, given = "", 0  # what is not a whole line yet; line ends given out
    stuck, since = 0, 0  # the row that was in progress at the last block; characters given out since then
    first, last = True, False
    while not last:
        block = file.read(BLOCK)
        last = not block
        try:
            text = decoder.decode(block, last)
        except UnicodeDecodeError as wrong:
            raise _undecodable(wrong, encoding, given + _ends(rest) + 1) from wrong
        if "\x00" in text:
            line = given + _ends(rest + text[: text.index("\x00")]) + 1
            raise Unreadable(
                "nul", f"Line {line:,} has a NUL in it, which no text has. Export the file again."
            )
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        text = rest + text
        end = len(text) if last else text.rfind("\n") + 1 or text.rfind("\r", 0, -1) + 1
        whole, rest = text[:end], text[end:]
        since = since + end if row() == stuck else end
        stuck = row()
        if len(rest) > LONGEST_ROW:
            raise _row_too_long(given + _ends(whole) + 1)
        if since > LONGEST_ROW + 2 * BLOCK:
            raise _row_too_long(stuck)
        if whole:
            yield io.StringIO(whole, newline="")
            given += _ends(whole)


def _ends(text: str) -> int:
    """Number of line ends."""
    returns = text.count("\r")
    return text.count("\n") + (returns - text.count("\r\n") if returns else 0)


def _row_too_long(line: int) -> Unreadable:
    return Unreadable(
        "row_too_long",
        f"The row that begins in line {line:,} is longer than {LONGEST_ROW // 1024**2} MB."
        " Perhaps a quotation mark in it is not closed. Nothing of the file was taken.",
    )


# CSV


def csv_layout(text: str, *, whole: bool, encoding: str, delimiter: str = "") -> Layout:
    """How a CSV file that begins with *text* is laid out; whole: there is no more of it. Raises Unreadable."""
    if not whole:
        cut = max(text.rfind("\n"), text.rfind("\r")) + 1
        if not cut:
            raise _row_too_long(1)
        text = text[:cut]
    lines = io.StringIO(text, newline="")
    first = lines.readline()
    said = re.fullmatch(r'"?sep=(.)"?', first.rstrip("\r\n"), re.IGNORECASE)
    above = 0
    if said:
        above, text = 1, text[len(first) :]
    if delimiter:
        delimiter = _known_delimiter(delimiter)
    elif said and said[1] not in '"\\' and not said[1].isalnum():
        delimiter = said[1]
    else:
        delimiter = _delimiter_of(text)
    found, wrong = _first_rows(text, delimiter)
    if wrong is not None and not (str(wrong) == "unexpected end of data" and not whole):
        line = above + (found[-1][2] if found else 0) + 1
        raise _not_csv(wrong, line)
    if not found:
        raise empty() if whole else _row_too_long(above + 1)
    index = head_among([cells for _line, cells, _after in found])
    line, head, _after = found[index]
    below = [cells for _line, cells, _after in found[index + 1 :]]
    names = names_of(head, below)
    if not below and whole:
        raise no_rows()
    return Layout("csv", encoding, delimiter, "", (), names, above + line)


def _known_delimiter(given: str) -> str:
    delimiter = DELIMITER_NAMES.get(given.strip().lower(), given)
    if len(delimiter) != 1 or delimiter in '"\\\r\n\0' or delimiter.isalnum():
        raise Unreadable(
            "unknown_delimiter",
            f"{quoted(given)} cannot stand between columns. Say one character, such as ; or tab, or leave it out.",
        )
    return delimiter


def _first_rows(text: str, delimiter: str) -> tuple[list[tuple[int, list[str], int]], csv.Error | None]:
    """(line where it begins, cells, last line of it) of the first rows that are not blank, and what stopped them."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found: list[tuple[int, list[str], int]] = []
    begins = 1
    try:
        for cells in reader:
            if any(cells) and any(cell.strip() for cell in cells):
                found.append((begins, cells, reader.line_num))
                if len(found) == LOOKED_AT:
                    break
            begins = reader.line_num + 1
    except csv.Error as wrong:
        return found, wrong
    return found, None


def _delimiter_of(text: str) -> str:
    """The one that gives most rows the same number of cells, at least two; of equals the one with more."""

    def merit(delimiter: str) -> tuple[bool, float, int]:
        found, wrong = _first_rows(text, delimiter)
        widths = Counter(len(cells) for _line, cells, _after in found if len(cells) > 1)
        if not widths:
            return (False, 0, 0)
        width, times = max(widths.items(), key=lambda item: (item[1], item[0]))
        whole = wrong is None or str(wrong) == "unexpected end of data"
        return (whole, round(times / len(found), 1), width)

    return max(DELIMITERS, key=merit)


def _not_csv(wrong: csv.Error, line: int) -> Unreadable:
    why = str(wrong)
    if "field larger" in why:
        return Unreadable(
            "cell_too_long",
            f"The row that begins in line {line:,} has a cell of more than {LONGEST_CELL:,} characters."
            " Perhaps a quotation mark in it is not closed. Nothing of the file was taken.",
        )
    if "unexpected end" in why:
        return Unreadable(
            "unclosed_quote",
            f"In the row that begins in line {line:,} a quotation mark is not closed. Close it, or export the file again.",
        )
    if "expected after" in why:
        return Unreadable(
            "stray_quote",
            f"In the row that begins in line {line:,} a quotation mark stands inside a quoted cell and is not doubled."
            " Export the file again as CSV.",
        )
    return Unreadable("not_csv", f"The row that begins in line {line:,} is not CSV. Export the file again.")


def csv_rows(file: BinaryIO, layout: Layout) -> Iterator[tuple[int, list[Cell]]]:
    wide = len(layout.columns)
    above = layout.head - 1
    begins = layout.head
    lines = lines_of(file, layout.encoding, lambda: begins)
    for _ in islice(lines, above):  # titles, and what says the separator
        pass
    reader = csv.reader(lines, delimiter=layout.delimiter, strict=True)
    second = 1 if wide > 2 else 0
    footer = Footer(wide)
    try:
        next(reader, None)
        begins = above + reader.line_num + 1
        for cells in reader:
            if len(cells) == wide and cells[second].strip() and not footer.held:
                yield begins, cells  # type: ignore[misc]  # a list of texts is one of cells
            else:
                yield from footer.pass_on(begins, cells, "")  # type: ignore[arg-type]
            begins = above + reader.line_num + 1
    except csv.Error as wrong:
        raise _not_csv(wrong, begins) from wrong
    yield from footer.rest()


# JSON Lines


def looks_like_json(text: str) -> bool:
    """Does it begin as an object or a list of them? “[Id],[Name]” is the head of a CSV file."""
    return re.match(r'\s*(?:\{\s*["}]|\{\s*$|\[\s*(?:\{|\]|\Z))', text) is not None


def json_layout(file: BinaryIO, encoding: str) -> Layout:
    """Raises Unreadable."""
    names: dict[str, None] = {}
    rows = 0
    for _line, row in islice(_objects(file, encoding), FIRST_OBJECTS):
        names.update(dict.fromkeys(row))
        rows += 1
        if len(names) > MOST_COLUMNS:
            raise too_many_columns(len(names))
    if not rows:
        raise empty()
    if not names:
        raise Unreadable("no_head", "The objects of the file are empty: they name nothing.")
    return Layout("jsonl", encoding, "", "", (), tuple(names), 0)


def json_rows(file: BinaryIO, layout: Layout) -> Iterator[tuple[int, list[Cell]]]:
    known = dict.fromkeys(layout.columns).keys()
    for line, row in _objects(file, layout.encoding):
        if not row.keys() <= known:
            new = next(name for name in row if name not in known)
            raise Unreadable(
                "new_column",
                f"Line {line:,} names {quoted(new)}, which none of the first {FIRST_OBJECTS:,} lines does."
                " Give every line all names, or put one that has them all at the top.",
            )
        cells = [_cell(row.get(name)) for name in layout.columns]
        if any(cell is not None and cell != "" for cell in cells):
            yield line, cells


def _objects(file: BinaryIO, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    line = 0
    decode = json.JSONDecoder(
        parse_float=Decimal, parse_int=Decimal, parse_constant=str, object_pairs_hook=_object
    ).decode
    for text in lines_of(file, encoding, lambda: line + 1):  # noqa: B023  # where it stands by then
        line += 1
        if not text.strip():
            continue
        if len(text) > LONGEST_ROW:
            raise _row_too_long(line)
        try:
            row = decode(text)
        except _Twice as wrong:
            raise Unreadable(
                "duplicate_name", f"Line {line:,} names {quoted(str(wrong))} twice. Name it once."
            ) from wrong
        except (ValueError, RecursionError) as wrong:
            start = text.lstrip()[:1]
            if start == "[":
                raise _list() from wrong
            raise Unreadable(
                "not_json_lines",
                f"Line {line:,} is not a whole JSON object. Write one object in each line (JSON Lines).",
            ) from wrong
        if isinstance(row, list):
            raise _list()
        if not isinstance(row, dict):
            raise Unreadable(
                "not_json_lines", f"Line {line:,} is not a JSON object. Write one object in each line."
            )
        yield line, row


def _list() -> Unreadable:
    return Unreadable(
        "json_list",
        "The file is a JSON list. Write one object in each line (JSON Lines), without brackets and commas around them.",
    )


class _Twice(Exception):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice(next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1))
    return found


def _cell(value: Any) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        value = _json(value)
    return storable_text(value) if isinstance(value, str) else value


def _json(value: Any) -> str:
    """JSON text with numbers as they were written."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)}: {_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
