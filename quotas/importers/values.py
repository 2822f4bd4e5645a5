"""From a cell to a day or a number. The format is said, or seen from samples; it is never guessed, and no float is made on the way.

Cells that a spreadsheet has typed already (a day, a number) pass as they are.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from marketplace.importers.rows import shown
from quotas.importers.layouts import Cell

EXCEL_SERIAL: Final = "Excel serial"
DATE_FORMATS: Final[tuple[str, ...]] = (
    *("YYYY-MM-DD", "YYYY/MM/DD", "YYYY.MM.DD", "YYYYMMDD"),
    *("DD.MM.YYYY", "DD/MM/YYYY", "DD-MM-YYYY", "MM/DD/YYYY", "MM-DD-YYYY", "MM.DD.YYYY"),
    *("D Mon YYYY", "DD-Mon-YYYY", "DD/Mon/YYYY", "Mon D, YYYY", "YYYY-Mon-DD"),
    *("DD.MM.YY", "DD/MM/YY", "DD-MM-YY", "MM/DD/YY", "MM-DD-YY", "MM.DD.YY"),
    *("YY-MM-DD", "YY/MM/DD", "YY.MM.DD", "D Mon YY", "DD-Mon-YY"),
    EXCEL_SERIAL,
)
# What stands for "nothing" in the exports of databases and spreadsheets; skipped where formats are looked for.
NULL_WORDS: Final = frozenset(
    {"", "-", "--", "–", "null", "(null)", "none", "n/a", "na", "nan", "nil", r"\n"}
)

FIRST_YEAR: Final = 1950
LAST_YEAR: Final = 2100
_FIRST_YEARS: Final = (
    1899,
    1900,
    1904,
)  # in which spreadsheets begin to count days: what they make of no day, or of a time
LONGEST_DAY: Final = 60
LONGEST_NUMBER: Final = 120
MOST_DIGITS: Final = 40

_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_MONTH_OF: Final = {
    short: number
    for number, name in enumerate(_MONTHS, start=1)
    for short in {name, name[:3], *(("sept",) if name == "september" else ())}
}
_MONTH: Final = "|".join(sorted(_MONTH_OF, key=len, reverse=True))
_TIME: Final = (
    r"(?:(?:T|,?\s+(?:at\s+)?)"
    r"(?:[0-9]{6}|[0-9]{1,2}[:.][0-9]{2}(?:[:.][0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r"(?:\s*[ap]\.?m\.?)?(?:\s*(?:Z|[A-Z]{2,5}|\([A-Z]{2,5}\)))?(?:\s*[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_PARTS: Final = {
    "YYYY": "(?P<y>[0-9]{4})",
    "YY": "(?P<y>[0-9]{2})",
    "MM": "(?P<m>[0-9]{1,2})",
    "DD": "(?P<d>[0-9]{1,2})",
    "D": "(?P<d>[0-9]{1,2})",
    "Mon": rf"(?P<m>{_MONTH})\.?",
    ", ": r",?\s+",
    " ": r",?\s+",
}
_SERIAL: Final = re.compile(r"[1-7][0-9]{4}(?:[.,][0-9]+)?")
_DESTROYED: Final = re.compile(
    r"[0-9]{1,3}:[0-9]{2}(?::[0-9]{2})?(?:[.,][0-9]+)?(?:\s*[ap]m)?"  # 00:00.0
    r"|\#+"  # the column was too narrow
    r"|\#(?:value|ref|num|name|div|n/a|null|spill|calc)\S*"
    r"|(?:0?1[./-]0{1,2}|0{1,2}[./-]0?1)[./-](?:1900|00)(?:\s.*)?|1900-0?1-0{1,2}(?:[T\s].*)?"  # day 0
    r"|[0-9][.,]?[0-9]*e\+?[0-9]+"  # 4.5E+04
    rf"|(?:{_MONTH})\.?[-/.'\s]+[0-9]{{2,4}}|[0-9]{{1,2}}[-/.\s]+(?:{_MONTH})\.?",  # Jan-24, 24-Jan
    re.IGNORECASE,
)


class WrongValue(ValueError):
    """One cell cannot be taken: code and message for the report."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


# Days


def _pattern(form: str) -> re.Pattern[str]:
    if form == "YYYYMMDD":
        body = "(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"
    else:
        tokens = re.findall(r"YYYY|YY|MM|DD|Mon|D|, |.", form)
        body = "".join(_PARTS.get(token) or re.escape(token) for token in tokens)
    return re.compile(body + _TIME, re.IGNORECASE)


_PATTERNS: Final = {form: _pattern(form) for form in DATE_FORMATS if form != EXCEL_SERIAL}


def date_reader(form: str) -> Callable[[Cell], date | None]:
    """A function from a cell to its day, None for an empty one; it raises WrongValue.

    A time and its zone behind the day are cut off: it is the day as written. Two-digit years are 2000 to 2068, 1969 to 1999.
    Raises  WrongValue for a format that is none of DATE_FORMATS.
    """
    if form == EXCEL_SERIAL:
        return _serial_day
    if (pattern := _PATTERNS.get(form)) is None:
        raise WrongValue(
            "unknown_date_format",
            f"{shown(form)} is not a date format. Use one of {', '.join(DATE_FORMATS)}.",
        )

    def read(cell: Cell) -> date | None:
        if cell is None:
            return None
        if isinstance(cell, date):
            return _plausible(cell, cell.isoformat())
        text = str(cell).strip()
        if not text:
            return None
        if len(text) > LONGEST_DAY:
            raise WrongValue("not_a_date", f"{shown(text)} is not a date.")
        if (found := pattern.fullmatch(text)) is None or (day := _day(found)) is None:
            raise _why_no_day(text, form, known_form=found is not None)
        return _plausible(day, text)

    return read


def _day(found: re.Match[str]) -> date | None:
    """None where there is no such day."""
    year, month = int(found["y"]), found["m"]
    if len(found["y"]) == 2:
        year += 2000 if year <= 68 else 1900
    try:
        return date(year, int(month) if month.isdigit() else _MONTH_OF[month.lower()], int(found["d"]))
    except ValueError:
        return None


def _plausible(day: date, text: str) -> date:
    if FIRST_YEAR <= day.year <= LAST_YEAR:
        return day
    if day.year in _FIRST_YEARS:
        raise _destroyed(text)
    raise WrongValue(
        "not_a_day", f"{shown(text)} cannot be meant: the year is before {FIRST_YEAR} or after {LAST_YEAR}."
    )


def _serial_day(cell: Cell) -> date | None:
    """Days since 1899-12-30, as a spreadsheet counts them. Its time of day is cut off."""
    if cell is None or isinstance(cell, date):
        return None if cell is None else _plausible(cell, cell.isoformat())
    text = f"{cell:f}" if isinstance(cell, Decimal) else cell.strip()
    if not text:
        return None
    if not _SERIAL.fullmatch(text):
        raise WrongValue("not_a_date", f"{shown(text)} is not a day number of Excel, such as 45292.")
    return _plausible(date(1899, 12, 30) + timedelta(days=int(text[:5])), text)


def _destroyed(text: str) -> WrongValue:
    return WrongValue(
        "date_destroyed",
        f"{shown(text)} is what a spreadsheet has made of a date: the day is lost. Export the file again from"
        " where it comes from, with dates as YYYY-MM-DD, and do not open it in a spreadsheet before.",
    )


def is_destroyed(cell: Cell) -> bool:
    """Was this a date before a spreadsheet opened the file? Only for columns of dates: 45292 may be an amount elsewhere."""
    if isinstance(cell, date):
        return cell.year in _FIRST_YEARS
    text = (f"{cell:f}" if isinstance(cell, Decimal) else cell or "").strip()
    if len(text) > LONGEST_DAY:
        return False
    return bool(_SERIAL.fullmatch(text) or _DESTROYED.fullmatch(text)) or any(
        day.year in _FIRST_YEARS for _form, day in _days_of(text)
    )


def _why_no_day(text: str, form: str, *, known_form: bool) -> WrongValue:
    if _SERIAL.fullmatch(text):
        return WrongValue(
            "date_destroyed",
            f"{shown(text)} is a spreadsheet's number for a day, not the day. Export the file again with dates as"
            f" YYYY-MM-DD; or say the format {EXCEL_SERIAL}, if the whole column is such numbers.",
        )
    if is_destroyed(text):
        return _destroyed(text)
    others = _forms_of(text)
    if others:
        return WrongValue(
            "wrong_date_format",
            f"{shown(text)} is not a date as {form}. It would be one as {' or '.join(others)}.",
        )
    if known_form:
        return WrongValue("not_a_day", f"{shown(text)} is not a day that exists (read as {form}).")
    if any(pattern.fullmatch(text) for pattern in _PATTERNS.values()):
        return WrongValue("not_a_day", f"{shown(text)} is not a day that exists.")
    return WrongValue("not_a_date", f"{shown(text)} is not a date as {form}.")


def _days_of(text: str) -> Iterator[tuple[str, date]]:
    """Every format in which it is a day, and which."""
    if len(text) <= LONGEST_DAY:
        for form, pattern in _PATTERNS.items():
            if (found := pattern.fullmatch(text)) and (day := _day(found)):
                yield form, day


def _forms_of(text: str) -> tuple[str, ...]:
    """Every format in which it is a day that may be meant."""
    return tuple(form for form, day in _days_of(text) if FIRST_YEAR <= day.year <= LAST_YEAR)


@dataclass(frozen=True)
class DatesSeen:
    """formats: each reads every sample; more than one means that a person must say which. destroyed: a spreadsheet has lost days."""

    formats: tuple[str, ...]
    destroyed: bool


def dates_seen(samples: Iterable[Cell]) -> DatesSeen:
    """In which formats a column's samples are days. Empty cells and NULL_WORDS count for nothing."""
    told = _told(samples)
    formats = set(_PATTERNS)
    for sample in told:
        if isinstance(sample, str):
            formats.intersection_update(_forms_of(sample))
        elif isinstance(sample, Decimal):
            formats.clear()
    if all(isinstance(sample, date) for sample in told):  # whatever is said reads them
        formats = {"YYYY-MM-DD"} if told else set()
    read_all = tuple(form for form in DATE_FORMATS if form in formats)
    lost = [is_destroyed(sample) for sample in told]
    dates_besides = all(
        gone or isinstance(sample, date) or (isinstance(sample, str) and _forms_of(sample))
        for gone, sample in zip(lost, told, strict=True)
    )  # of amounts some look like a day's number, and others do not
    return DatesSeen(read_all, not read_all and any(lost) and dates_besides)


def _told(samples: Iterable[Cell]) -> list[Cell]:
    stripped = (sample.strip() if isinstance(sample, str) else sample for sample in samples)
    return [
        sample
        for sample in stripped
        if sample is not None and not (isinstance(sample, str) and sample.lower() in NULL_WORDS)
    ]


# Numbers


DECIMALS: Final = (".", ",")
GROUPINGS: Final = ("", ",", ".", " ", "'")
_CHOICES: Final = (*((".", g) for g in ("", ",", " ", "'")), *((",", g) for g in ("", ".", " ", "'")))
_SAME: Final = str.maketrans(
    {
        **dict.fromkeys("\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}", " "),
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{MINUS SIGN}": "-",
    }
)
_SIGN: Final = "[$€£¥₹₩₽₺₴₪₫₦฿₱₡₲₵₸]"
_CURRENCY: Final = rf"(?:[A-Z]{{3}}|[A-Z]{{0,3}}{_SIGN}|kr\.?|zł|Kč|Fr\.)"
_DRESSED: Final = re.compile(
    rf"(?P<o1>\()?\s*(?P<m1>[+-])?\s*(?P<c1>{_CURRENCY})?\s*(?P<o2>\()?\s*(?P<m2>[+-])?\s*"
    r"(?P<n>[0-9.,][0-9.,' ]*(?:[eE][+-]?[0-9]{1,4})?)"
    rf"\s*(?P<m3>-)?\s*(?P<z1>\))?\s*(?P<c2>{_CURRENCY}|%)?\s*(?P<m4>-)?(?P<z2>\))?"
)
_ISO_OF: Final = {"€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "₽": "RUB", "₺": "TRY", "₴": "UAH", "₪": "ILS",
                  "₫": "VND", "₦": "NGN", "฿": "THB", "₱": "PHP", "₸": "KZT", "zł": "PLN", "Kč": "CZK",
                  "US$": "USD", "CA$": "CAD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD", "R$": "BRL"}  # fmt: skip


def decimal_reader(decimal: str = ".", grouping: str = "") -> Callable[[Cell], Decimal | None]:
    """A function from a cell to its number, None for an empty one; it raises WrongValue.

    grouping  Between threes of digits: "" for none; " " is also the narrow spaces, "'" also the apostrophe.
    Currency signs and codes, a percent sign, brackets or a minus behind for negative numbers are understood: 12 % is 12.
    Raises    WrongValue for marks that are none of DECIMALS and GROUPINGS, or the same.
    """
    if decimal not in DECIMALS or grouping not in GROUPINGS or decimal == grouping:
        raise WrongValue(
            "unknown_number_format",
            f"The decimal mark is one of {' '.join(DECIMALS)}; digits are grouped by another of , . ' a space, or nothing.",
        )
    pattern = _number(decimal, grouping)

    def read(cell: Cell) -> Decimal | None:
        if cell is None:
            return None
        if isinstance(cell, Decimal):
            return _sane(cell)
        if isinstance(cell, date):
            raise WrongValue("not_a_number", f"{cell.isoformat()} is a day, where a number should be.")
        text = cell.strip()
        if not text:
            return None
        found = _read_number(text, pattern, decimal, grouping)
        if found is None:
            raise _why_no_number(text, decimal, grouping)
        return _sane(found)

    return read


def _number(decimal: str, grouping: str) -> re.Pattern[str]:
    d = re.escape(decimal)
    whole = rf"[0-9]{{1,3}}(?:{re.escape(grouping)}[0-9]{{3}})+|[0-9]+" if grouping else "[0-9]+"
    return re.compile(rf"(?:{whole})(?:{d}[0-9]+)?|{d}[0-9]+|[0-9]+(?:{d}[0-9]+)?[eE][+-]?[0-9]{{1,4}}")


_READ_BY: Final = {choice: _number(*choice) for choice in _CHOICES}


def _read_number(text: str, pattern: re.Pattern[str], decimal: str, grouping: str) -> Decimal | None:
    """None for what is no number written so."""
    if len(text) > LONGEST_NUMBER:
        return None
    dressed = _DRESSED.fullmatch(text.translate(_SAME))
    if dressed is None:
        return None
    opened = sum(dressed[name] is not None for name in ("o1", "o2"))
    closed = sum(dressed[name] is not None for name in ("z1", "z2"))
    signs = [dressed[name] for name in ("m1", "m2", "m3", "m4") if dressed[name]]
    if opened != closed or opened + len(signs) > 1 or (dressed["c1"] and dressed["c2"]):
        return None
    written = dressed["n"].strip()
    if pattern.fullmatch(written) is None:
        return None
    if grouping:
        written = written.replace(grouping, "")
    number = Decimal(written.replace(",", ".") if decimal == "," else written)
    return -number if opened or signs == ["-"] else number


def _sane(number: Decimal) -> Decimal:
    if not number.is_finite() or (
        number and (abs(number.adjusted()) > MOST_DIGITS or len(number.as_tuple().digits) > MOST_DIGITS)
    ):
        raise WrongValue("absurd", f"{shown(number)} is not a number that can be meant.")
    return number


def _why_no_number(text: str, decimal: str, grouping: str) -> WrongValue:
    others = () if text.lower() in NULL_WORDS else numbers_seen([text]).choices
    if others:
        return WrongValue(
            "wrong_number_format",
            f"{shown(text)} is not a number with {_marks(decimal, grouping)}."
            f" It would be one with {' or with '.join(_marks(*other) for other in others)}.",
        )
    return WrongValue("not_a_number", f"{shown(text)} is not a number.")


def _marks(decimal: str, grouping: str) -> str:
    between = {"": "nothing", " ": "spaces"}.get(grouping, f"“{grouping}”")
    return f"“{decimal}” for decimals and {between} between thousands"


@dataclass(frozen=True)
class NumbersSeen:
    """choices: (decimal mark, grouping) that read every sample, one for each way in which they differ; more than one is ambiguous."""

    choices: tuple[tuple[str, str], ...]


def numbers_seen(samples: Iterable[Cell]) -> NumbersSeen:
    """How a column's samples are written as numbers. Empty cells and NULL_WORDS count for nothing.

    Of the choices that read all samples alike only the simplest stays: 500 alone is (".", ""). Where the decimal mark
    is seen, the usual grouping comes with it, for larger numbers further down: 500.00 is (".", ",").
    """
    told = _told(samples)
    texts = [sample for sample in told if isinstance(sample, str)]
    if any(isinstance(sample, date) for sample in told):
        return NumbersSeen(())
    found: dict[tuple[Decimal, ...], tuple[str, str]] = {}
    for choice, pattern in _READ_BY.items():
        numbers = [_read_number(text, pattern, *choice) for text in texts]
        if all(number is not None for number in numbers):
            found.setdefault(tuple(number for number in numbers if number is not None), choice)
    usual = {".": ",", ",": "."}
    return NumbersSeen(
        tuple((d, usual[d] if not g and any(d in text for text in texts) else g) for d, g in found.values())
    )


def scaled(number: Decimal, decimals: int) -> int:
    """How many of its smallest units a number is, half of one away from zero: 1.005 with two decimals is 101."""
    return int(number.scaleb(decimals).to_integral_value(rounding=ROUND_HALF_UP))


def currency_of(cell: Cell) -> str:
    """The ISO code that an amount says of itself: EUR for “EUR 100” and “100 €”; empty where it says none, or only $ or ¥ or kr."""
    if not isinstance(cell, str) or len(cell) > LONGEST_NUMBER:
        return ""
    dressed = _DRESSED.fullmatch(cell.strip().translate(_SAME))
    mark = (dressed["c1"] or dressed["c2"] or "") if dressed else ""
    return mark if len(mark) == 3 and mark.isascii() and mark.isalpha() else _ISO_OF.get(mark, "")
