"""Periods as the heads of spreadsheets name them: Jul-26, 2026-07, FY27-M01, Q1 FY27."""

import re
from collections.abc import Mapping
from typing import Final

from config.names import fold
from quotas.importers.layouts import Cell
from quotas.importers.words import text_of

# What the heads of a wide table of quotas look like, by the name that a map gives it.
PERIOD_FORMS: Final = ("MMM YYYY", "MMM YY", "YYYY-MM", "MM/YYYY", "FY27-M01", "Q1 FY27", "Q1 2027")

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            ("jan", "january"),
            ("feb", "february"),
            ("mar", "march"),
            ("apr", "april"),
            ("may",),
            ("jun", "june"),
            ("jul", "july"),
            ("aug", "august"),
            ("sep", "sept", "september"),
            ("oct", "october"),
            ("nov", "november"),
            ("dec", "december"),
        ),
        start=1,
    )
    for name in names
}
_PERIODS: Final[Mapping[str, re.Pattern[str]]] = {
    "MMM YYYY": re.compile(r"(?P<month>[a-z]+)[\s./_-]*(?P<year>20\d\d)"),
    "MMM YY": re.compile(r"(?P<month>[a-z]+)[\s./_'\u2019-]+(?P<year>\d\d)"),
    "YYYY-MM": re.compile(r"(?P<year>20\d\d)[./_-]?(?P<number>\d\d)(?:-01(?:[ t]00:00.*)?)?"),
    "MM/YYYY": re.compile(r"(?P<number>\d{1,2})[./-](?P<year>20\d\d)"),
    "FY27-M01": re.compile(r"(?P<prefix>[a-z]{1,4})(?:20)?(?P<short>\d\d)(?:[\s_-]*(?P<part>[qhm]\d{1,2}))?"),
    "Q1 FY27": re.compile(r"(?P<part>[qhm]\d{1,2})[\s/_-]*(?P<prefix>[a-z]{1,4})[\s'\u2019]*(?:20)?(?P<short>\d\d)"),
    "Q1 2027": re.compile(r"(?:(?P<part>[qh]\d)[\s/_-]*20(?P<short>\d\d)|20(?P<short2>\d\d)[\s/_-]*(?P<part2>[qh]\d))"),
}  # fmt: skip


def period_named(head: Cell, form: str = "", calendar: str = "") -> str:
    """What a column's name or a cell means: the name of a period (FY27-Q1) or the first day of a month (2026-07-01); empty if neither.

    form      One of PERIOD_FORMS; empty tries those that can be read without a calendar.
    calendar  Prefix for "Q1 2027", which does not say whose year it is.
    """
    text = fold(text_of(head))
    for name in [form] if form else PERIOD_FORMS:
        found = _PERIODS[name].fullmatch(text)
        if found is None:
            continue
        part = found.groupdict()
        if part.get("month") or part.get("number"):
            month = _MONTHS.get(part.get("month") or "", 0) or int(part.get("number") or 0)
            year = int(part["year"]) + (2000 if len(part["year"]) == 2 else 0)
            if 1 <= month <= 12:
                return f"{year}-{month:02d}-01"
            continue
        prefix = part["prefix"].upper() if part.get("prefix") else calendar
        if not prefix or (not form and prefix not in {"FY", "CY", calendar}):
            continue
        named = _part(part.get("part") or part.get("part2"))
        if named is not None:
            return f"{prefix}{part.get('short') or part.get('short2')}{named}"
    return ""


def _part(text: str | None) -> str | None:
    """-Q1, -H2, -M05, empty for the year; None for a part that no year has."""
    if text is None:
        return ""
    grain, number = text[0].upper(), int(text[1:])
    if not 1 <= number <= {"Q": 4, "H": 2, "M": 12}[grain]:
        return None
    return f"-{grain}{number:02d}" if grain == "M" else f"-{grain}{number}"
