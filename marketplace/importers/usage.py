"""A file of what our own products used of which models: CSV in, rows as they are meant or the reason why not. No database."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from marketplace.importers.files import storable_text, text_of
from marketplace.importers.rows import Unreadable, WrongRow, shown

NEEDED: Final = ("month", "feature", "model", "input_tokens", "output_tokens")
COLUMNS: Final = (
    "month",
    "feature",
    "model",
    "version",
    "plan",
    "host",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "requests",
)
# Of the files that are written here, so that a file of refused rows or of lines can be mended and sent back.
LEFT_ASIDE: Final = frozenset(
    (
        "line",
        "why",
        "product",
        "supplier",
        "at_list_price",
        "cost",
        "currency",
        "without_a_price_because",
        "source",
        "made_up",
        "recorded",
    )
)
TOKENS: Final = ("input_tokens", "cached_tokens", "output_tokens")
MOST_ROWS: Final = 20_000
LONGEST: Final = 200

_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/](\d{1,2})(?:[-/]0?1)?")
_YEAR_LAST: Final = re.compile(r"(\d{1,2})[-/](\d{4})")
_IN_WORDS: Final = re.compile(r"([a-z]{3})[a-z]*\.?[-\s/]+(\d{4}|\d{2})", re.IGNORECASE)
_WHOLE: Final = re.compile(r"-?(?:\d{1,19}|\d{1,3}(?:[,\s'\u2019_]\d{3}){1,6})")


@dataclass(frozen=True, slots=True)
class UsageRow:
    """line: where it stands in its file, the head being line 1. plan, version and host are empty where they are left out."""

    line: int
    month: date
    feature: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    requests: int | None = None
    version: str = ""
    plan: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class WrongUsage:
    """A row that was not taken. said: as it stands in the file, for the file of what is to be mended."""

    line: int
    column: str
    code: str
    message: str
    said: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UsageFile:
    """rows: those that can be read. said: by line, every row as it stands."""

    rows: tuple[UsageRow, ...]
    wrong: tuple[WrongUsage, ...]
    said: Mapping[int, Mapping[str, str]]


def read(content: bytes) -> UsageFile:
    """Every row, in the encodings and with the delimiters that spreadsheets save. Raises Unreadable where it is no such table."""
    text = text_of(content)
    head = text.splitlines()[0]
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=max(",;\t", key=head.count),
        strict=True,
        skipinitialspace=True,
    )
    rows: list[UsageRow] = []
    wrong: list[WrongUsage] = []
    said: dict[int, Mapping[str, str]] = {}
    try:
        names = _head(next(reader))
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(said) >= MOST_ROWS:
                raise Unreadable(
                    "too_many_rows", f"The file has more than {MOST_ROWS:,} rows: send it in parts."
                )
            line = reader.line_num
            given = {name: storable_text(cell.strip()) for name, cell in zip(names, cells, strict=False)}
            said[line] = {name: cell[:LONGEST] for name, cell in given.items()}
            found = [("", "columns_do_not_fit", _misfit(names, cells))] if len(cells) != len(names) else []
            try:
                if not found:
                    found = problems(given)
                if not found:
                    rows.append(_row(line, given))
            except WrongRow as unread:
                found = [("", unread.code, str(unread))]
            wrong += [WrongUsage(line, column, code, message, said[line]) for column, code, message in found]
    except csv.Error as broken:
        raise Unreadable("not_csv", f"Line {reader.line_num} of the file is not CSV: {broken}.") from broken
    if not said:
        raise Unreadable("no_rows", "The file has a head and no row below it.")
    return UsageFile(tuple(rows), tuple(wrong), said)


def _head(cells: Sequence[str]) -> list[str]:
    names = [re.sub(r"[\s\-]+", "_", cell.strip().lower()) for cell in cells]
    missing = [name for name in NEEDED if name not in names]
    unknown = [name for name in names if name not in COLUMNS and name not in LEFT_ASIDE]
    if missing or unknown or len(set(names)) < len(names):
        said = f"It has no column {', '.join(missing)}. " if missing else ""
        said += f"Unknown: {', '.join(shown(name) for name in unknown[:5])}. " if unknown else ""
        said += "" if missing or unknown else "It names a column twice. "
        raise Unreadable("wrong_head", f"{said}The first line names the columns {', '.join(COLUMNS)}.")
    return names


def _misfit(names: Sequence[str], cells: Sequence[str]) -> str:
    return f"The head has {len(names)} columns and this row {len(cells)}: quote a value that has the separator in it."


def problems(given: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Column, code and message of every value that cannot be read."""
    found = [
        (name, "required", f"{name.replace('_', ' ').capitalize()} is missing.")
        for name in NEEDED
        if not given.get(name)
    ]
    if given.get("month") and month_in(given["month"]) is None:
        found.append(("month", "not_a_month", f"{shown(given['month'])} is no month: write it as 2026-07."))
    for name in (*TOKENS, "requests"):
        if (value := given.get(name, "")) and not _WHOLE.fullmatch(value):
            hint = " A spreadsheet has shortened it: show the column as a whole number and save again."
            rounded = hint if re.fullmatch(r"[\d.,]+e\+?\d+", value, re.IGNORECASE) else ""
            found.append(
                (
                    name,
                    "not_a_whole_number",
                    f"{shown(value)} is no whole number: write it as 1250000.{rounded}",
                )
            )
    return found


def _row(line: int, given: Mapping[str, str]) -> UsageRow:
    month = month_in(given["month"])
    if month is None:
        raise WrongRow("not_a_month", "Write the month as 2026-07.")
    return UsageRow(
        line=line,
        month=month,
        feature=given["feature"],
        model=given["model"],
        input_tokens=_whole(given["input_tokens"]),
        output_tokens=_whole(given["output_tokens"]),
        cached_tokens=_whole(given.get("cached_tokens") or "0"),
        requests=_whole(given["requests"]) if given.get("requests") else None,
        version=given.get("version", ""),
        plan=given.get("plan", ""),
        host=given.get("host", ""),
    )


def _whole(written: str) -> int:
    return int(re.sub(r"[^\d-]", "", written))


def month_in(written: str) -> date | None:
    """Its first day: 2026-07, 2026-07-01, 07/2026 and Jul-26, which spreadsheets make of the first."""
    text = written.strip()
    if found := _YEAR_FIRST.fullmatch(text):
        year, month = int(found[1]), int(found[2])
    elif found := _YEAR_LAST.fullmatch(text):
        month, year = int(found[1]), int(found[2])
    elif (found := _IN_WORDS.fullmatch(text)) and found[1].lower() in _NAMES:
        month, year = _NAMES.index(found[1].lower()) + 1, int(found[2])
        year += 2000 if year < 100 else 0
    else:
        return None
    return date(year, month, 1) if 2000 <= year <= 2100 and 1 <= month <= 12 else None
