"""How a file is read, as a value: what a map says once it is understood."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from config.refusals import Problem

UNDECIDED: Final = "?"  # stands in a map where a person still has to choose
ANY_OTHER: Final = "*"
NULLS: Final = frozenset({"NULL", "null", "N/A", "n/a", "#N/A", "-", "--"})


@dataclass(frozen=True, slots=True)
class Split:
    """Two columns: a participant and their part."""

    rep: str
    percent: str


@dataclass(frozen=True, slots=True)
class ImportMapping:
    """How a kind of file is read.

    nulls        Texts that mean an empty cell, as they stand.
    date_formats Field to form, where it is not date_format.
    constants    Field to the value of every row.
    defaults     Field to the value where its cell is empty.
    prefixes     Field to what is put in front of an untranslated value.
    values       Field to its translations; matched trimmed and whatever the case, ANY_OTHER for the rest.
    fractions    Percentages of splits are written 0 to 1, not 0 to 100.
    several_lines Rows of one external id that follow each other are lines of one deal.
    calendar     Prefix of the fiscal calendar; empty is the operator's.
    periods      Of a wide table of quotas: column to the name of a period or the first day of a month.
    period_form  One of PERIOD_FORMS: periods are read off the columns' names, and off the cells of a period's column.
    create       What is missing and made gets these values.
    """

    kind: str
    name: str = ""
    source: str = ""
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    nulls: frozenset[str] = NULLS
    date_format: str = "YYYY-MM-DD"
    date_formats: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    grouping: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    splits: tuple[Split, ...] = ()
    fractions: bool = False
    several_lines: bool = False
    calendar: str = ""
    periods: Mapping[str, str] = field(default_factory=dict)
    period_form: str = ""
    create: Mapping[str, str] = field(default_factory=dict)

    def form_of(self, name: str) -> str:
        """The date format of a field."""
        return self.date_formats.get(name, self.date_format)


class WrongMap(Exception):
    """The map cannot be used. problems point at their places in the TOML, such as columns.amount."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(p.message for p in self.problems))
