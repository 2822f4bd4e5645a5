"""From the cells of one column to the values of one field: nulls, translations, prefixes, defaults, formats."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from config.names import fold, tidy
from marketplace.importers.rows import shown
from quotas.importers.fields import FieldSpec
from quotas.importers.layouts import Cell
from quotas.importers.mapping import ANY_OTHER, ImportMapping
from quotas.importers.period_names import period_named
from quotas.importers.values import DECIMALS, WrongValue, date_reader, decimal_reader
from quotas.importers.words import listed, text_of

MOST_REMEMBERED: Final = 1 << 15  # values of one column; memory stays bounded whatever the file holds
LONGEST_REMEMBERED: Final = 100


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one cell. column: as the file names it; empty where it is about the row."""

    field: str
    column: str
    code: str
    message: str


_SPOILT_ID: Final = re.compile(r"\d(?:[.,]\d+)?[eE]\+\d+")
_YES: Final = frozenset({"true", "1", "yes", "y", "x", "t", "ja", "oui", "sí", "si", "wahr"})
_NO: Final = frozenset({"false", "0", "no", "n", "f", "nein", "non", "falsch"})
# Most amounts are digits and no more; the general reader of numbers takes many times longer.
_PLAIN: Final = {
    mark: re.compile(rf"-?[0-9]{{1,15}}(?:[{mark}][0-9]{{1,8}})?").fullmatch for mark in DECIMALS
}
_TIME: Final = re.compile(r"[T ]\s*(\d{1,2}):(\d\d)(?::(\d\d))?(?:\.\d+)?\s*([AaPp]\.?[Mm])?")


def iso_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def _parse(spec: FieldSpec, text: str) -> Any:
    """Text that is not empty to the value of a field, for every kind but dates and decimals. Raises WrongValue."""
    match spec.kind:
        case "choice":
            word = re.sub(r"[\s-]+", "_", text.casefold())
            if word not in spec.choices:
                raise WrongValue("not_a_choice", f"{shown(text)} is none of {listed(spec.choices)}.")
            return word
        case "currency":
            code = text.upper()
            if not (len(code) == 3 and code.isascii() and code.isalpha()):
                raise WrongValue(
                    "not_a_currency", f"{shown(text)} is no currency: three letters, such as USD."
                )
            return code
        case "flag":
            word = text.casefold()
            if word not in _YES and word not in _NO:
                raise WrongValue("not_a_flag", f"{shown(text)} says neither yes nor no.")
            return word in _YES
        case "id" if _SPOILT_ID.fullmatch(text):
            raise WrongValue(
                "id_destroyed",
                f"{shown(text)} is an id that a spreadsheet has rounded; its digits are lost. Export it again, and do not save it in a spreadsheet before.",
            )
        case "name" if spec.needed and ";" in text:
            raise WrongValue(
                "several_values",
                f"{shown(text)} names several, and one belongs here: give each a row of its own, or translate it in the map.",
            )
    if spec.longest and len(text) > spec.longest:
        if spec.name == "title":
            return text[: spec.longest - 1] + "…"
        raise WrongValue("too_long", f"{shown(text)} has more than {spec.longest} characters.")
    return text


def fixed(spec: FieldSpec, text: str) -> Any:
    """The value of a constant, a default or a translation, or a Wrong."""
    try:
        if spec.kind == "date":
            day = iso_day(text)
            if day is None:
                raise WrongValue("not_a_day", f"{shown(text)} is not a day: write 2026-07-01.")
            return day
        if spec.kind in ("decimal", "whole"):
            return _whole(decimal_reader()(text), text) if spec.kind == "whole" else decimal_reader()(text)
        if spec.kind == "period":
            return period_named(text) or text
        return _parse(spec, text)
    except WrongValue as why:
        return Wrong(spec.name, "", why.code, why.message)


def _whole(number: Decimal | None, cell: Cell) -> int | None:
    if number is None:
        return None
    if number != number.to_integral_value() or not 0 <= number < 1_000_000_000:
        raise WrongValue("not_whole", f"{shown(text_of(cell))} is no whole number.")
    return int(number)


Convert = Callable[[Cell], Any]


class Remembered(dict[Cell, Any]):
    """Values by cell: the days, names and words of a file repeat, so each is read once."""

    def __init__(self, convert: Convert) -> None:
        super().__init__()
        self.convert = convert

    def __missing__(self, cell: Cell) -> Any:
        if type(cell) is str and len(cell) > LONGEST_REMEMBERED:
            return self.convert(cell)
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        value = self[cell] = self.convert(cell)
        return value


class Field:
    """Turns the cells of one column into values of one field; what is wrong comes back as a Wrong instead."""

    def __init__(self, spec: FieldSpec, column: str, mapping: ImportMapping) -> None:
        self.spec, self.column = spec, column
        self.nulls = mapping.nulls
        self.prefix = mapping.prefixes.get(spec.name, "")
        self.words = {
            fold(word): fixed(spec, meaning) if meaning else None
            for word, meaning in mapping.values.get(spec.name, {}).items()
        }
        self.any_other = ANY_OTHER in self.words
        self.other = self.words.pop(ANY_OTHER, None)
        self.strict = spec.name == "stage"  # a CRM's own “Submitted” must not pass for ours
        default = mapping.defaults.get(spec.name)
        self.empty: Any = None
        if default is not None:
            self.empty = fixed(spec, default)
        elif spec.needed:
            self.empty = self.wrong("empty", f"{spec.label}: the cell is empty.")
        self.form, self.calendar = mapping.period_form, mapping.calendar
        if spec.kind in ("date", "version"):
            self.day = date_reader(mapping.form_of(spec.name))
        else:
            self.number = decimal_reader(mapping.decimal, mapping.grouping)
            self.plain, self.point = _PLAIN[mapping.decimal], mapping.decimal == "."

    def wrong(self, code: str, message: str) -> Wrong:
        return Wrong(self.spec.name, self.column, code, message)

    def converter(self) -> Convert:
        """Ids, titles and amounts hardly repeat: remembering them would cost more than reading them."""
        if self.spec.kind == "decimal" and not self.words and not self.any_other:
            return self.decimal
        if self.spec.kind == "id" or self.spec.name == "title":
            return self.read
        return Remembered(self.read).__getitem__

    def decimal(self, cell: Cell) -> Any:
        if type(cell) is str:
            if self.plain(cell):
                return Decimal(cell if self.point else cell.replace(",", "."))
            if not cell or cell in self.nulls:
                return self.empty
        try:
            value = self.number(cell)
        except WrongValue as why:
            if type(cell) is str and cell.strip() in self.nulls:
                return self.empty
            return self.wrong(why.code, why.message)
        return self.empty if value is None else value

    def read(self, cell: Cell) -> Any:
        text = text_of(cell)
        if not text or text in self.nulls:
            return self.empty
        if self.words:
            known = self.words.get(fold(text), self)
            if known is not self:
                return self.empty if known is None else known
        if self.any_other:
            return self.empty if self.other is None else self.other
        if self.strict:
            return self.wrong(
                "unknown_value",
                f"{self.spec.label} {shown(text)} is not translated. Say under [values.{self.spec.name}] what it means, or what any other does.",
            )
        try:
            return self.value(cell, text)
        except WrongValue as why:
            return self.wrong(why.code, why.message)

    def value(self, cell: Cell, text: str) -> Any:
        """Raises WrongValue."""
        match self.spec.kind:
            case "date":
                return self.day(cell)
            case "decimal":
                return self.number(cell)
            case "whole":
                return _whole(self.number(cell), cell)
            case "version":
                return self.version(cell, text)
            case "period":
                return self.period(cell, text)
            case "name":
                return _parse(self.spec, self.prefix + tidy(text))
        return _parse(self.spec, self.prefix + text)

    def version(self, cell: Cell, text: str) -> str:
        """Sorts as text: a counter with leading zeros, or a day with the time behind it. Raises WrongValue."""
        if text.isascii() and text.isdigit() and len(text) <= 20:
            return text.zfill(20)
        day = self.day(cell)
        if day is None:
            return ""
        at = _TIME.search(text) if isinstance(cell, str) else None
        if at is None:
            return day.isoformat()
        hour = int(at[1])
        if at[4]:
            hour = hour % 12 + (12 if at[4][0] in "Pp" else 0)
        hours = f"{hour:02d}:{at[2]}:{at[3] or '00'}"
        return day.isoformat() if hours == "00:00:00" else f"{day.isoformat()}T{hours}"

    def period(self, cell: Cell, text: str) -> str:
        """Raises WrongValue."""
        named = period_named(cell, self.form, self.calendar)
        if not named and self.form:
            raise WrongValue("unknown_period", f"{shown(text)} is no period as {self.form} writes it.")
        return named or text

    def percent(self, fractions: bool) -> Convert:
        """Of a split, as a percentage; where the file has fractions, a cell that says % is one already."""

        def read(cell: Cell) -> Any:
            value = self.decimal(cell)
            if not isinstance(value, Decimal):
                return value
            if fractions and not (type(cell) is str and "%" in cell):
                value *= 100
            if not 0 <= value <= 100:
                return self.wrong("not_a_percentage", f"{shown(text_of(cell))} is not between 0 and 100 %.")
            return value

        return Remembered(read).__getitem__
