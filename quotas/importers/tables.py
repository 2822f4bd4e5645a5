"""A file of a table, whatever it is: how it is laid out, and its rows. Bounded memory for a file of any size.

What is wrong with the whole file is one Unreadable, from either function; what is wrong with a row is its reader's to say.
"""

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Final

from marketplace.importers.files import MAGIC
from quotas.importers.layouts import Cell, Layout, Unreadable, empty
from quotas.importers.texts import (
    SAMPLE,
    csv_layout,
    csv_rows,
    encoding_of,
    json_layout,
    json_rows,
    looks_like_json,
    sample_text,
)
from quotas.importers.workbooks import workbook_layout, workbook_rows

__all__ = ["Cell", "Layout", "Unreadable", "first_rows", "layout_of", "rows"]

FIRST: Final = 200  # rows that a map is guessed from


def layout_of(
    file: BinaryIO, *, file_name: str = "", encoding: str = "", delimiter: str = "", sheet: str = ""
) -> Layout:
    """What is said is believed; the rest is seen from the first megabyte, or the first rows of a workbook.

    file       Can be read and sought; it is left anywhere.
    file_name  As uploaded: settles only whether text is JSON Lines.
    encoding, delimiter, sheet   Empty where not known. A byte order mark is believed before *encoding*.
    Raises     Unreadable.
    """
    file.seek(0)
    sample = file.read(SAMPLE)
    if not sample.strip(b"\x00 \t\r\n"):
        raise empty() if not sample.strip() else _not_a_table("binary data")
    if sample.startswith(b"PK\x03\x04"):
        return workbook_layout(file, sheet)
    _known_otherwise(sample)
    encoding = encoding_of(file, sample, encoding)
    text = sample_text(sample, encoding)
    if looks_like_json(text) or (
        file_name.lower().endswith((".jsonl", ".ndjson", ".json")) and text.lstrip()[:1] in "{["
    ):
        return json_layout(file, encoding)
    start = text[:2000].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<table", "{\\rtf")):
        raise _not_a_table("a formatted document under another name")
    return csv_layout(text, whole=len(sample) < SAMPLE, encoding=encoding, delimiter=delimiter)


def _known_otherwise(sample: bytes) -> None:
    """Raises Unreadable for what is a file of another kind."""
    for magic, name in MAGIC:
        if sample.startswith(magic):
            if magic == b"\xd0\xcf\x11\xe0":
                raise Unreadable(
                    "old_office",
                    "The file is an old Excel workbook (.xls), or protected by a password."
                    " Save it as .xlsx without a password, or as CSV, and upload that.",
                )
            if "archive" in name:
                raise Unreadable(
                    "archive", f"The file is {name}. Unpack it and upload the table that is in it."
                )
            raise _not_a_table(name)


def _not_a_table(what: str) -> Unreadable:
    return Unreadable(
        "not_a_table", f"The file is {what}, not a table. Save it as .xlsx or CSV and upload that."
    )


def rows(file: BinaryIO, layout: Layout) -> Iterator[tuple[int, list[Cell]]]:
    """(line where the row begins, its cells), without the head, blank rows, and what a report prints below its table.

    As many cells as there are columns at least; more where the row has more, which is for its reader to refuse. Text files
    give texts as they stand; a workbook also days and numbers; JSON Lines also numbers. The file may not be moved meanwhile.
    Raises  Unreadable, at the row where it is found.
    """
    if layout.kind == "xlsx":
        return workbook_rows(file, layout)
    return json_rows(file, layout) if layout.kind == "jsonl" else csv_rows(file, layout)


def first_rows(file: BinaryIO, layout: Layout) -> list[list[Cell]]:
    """What a map is guessed from. Raises Unreadable."""
    return [cells for _line, cells in islice(rows(file, layout), FIRST)]
