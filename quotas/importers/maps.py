"""Maps of imported files: which column is which field, how its values are written and what they mean. Written as TOML, bound to a file, then applied row by row.

docs/importing.md describes every key for the people who write one. Plain Python, no database: whether a rep or an offering exists
is asked by whoever takes the values.
"""

import codecs
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

import tomli_w

from config.names import fold
from config.refusals import Problem
from marketplace.importers.rows import shown
from quotas.importers.converting import Wrong, fixed, iso_day
from quotas.importers.fields import FIELDS, ORIGINS, PATHS, ROLES, STAGES, FieldSpec
from quotas.importers.mapping import NULLS, UNDECIDED, ImportMapping, Split, WrongMap
from quotas.importers.period_names import PERIOD_FORMS, period_named
from quotas.importers.reading import Reader, bind
from quotas.importers.values import DATE_FORMATS, DECIMALS, GROUPINGS
from quotas.importers.words import listed, nearest, path_of

__all__ = [
    "FIELDS", "KEYS", "NULLS", "PERIOD_FORMS", "ROLES", "STAGES", "UNDECIDED", "FieldSpec", "ImportMapping", "Reader", "Split", "Wrong", "WrongMap",
    "bind", "draft_of", "path_of", "period_named", "read_map", "write_map",
]  # fmt: skip

LARGEST_MAP: Final = 256 * 1024
MOST_SPLITS: Final = 20
FRACTIONS: Final = {"0-100": False, "0-1": True}
RESERVED: Final = ("parity", "api")

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("kind", "source", "name", "file", "formats", "columns", "constants", "defaults", "prefixes", "values", "splits", "rows", "periods", "create"),
    "file": ("encoding", "delimiter", "sheet", "nulls"),
    "formats": ("date", "dates", "decimal", "grouping", "percent"),
    "rows": ("several_lines", "calendar"),
    "splits": ("rep", "percent"),
    "create": ("team", "role", "segment", "region", "country", "publisher", "origin", "commercial_path", "since"),
}  # fmt: skip


def read_map(text: str) -> ImportMapping:
    """Raises WrongMap with every problem at once."""
    mapping, problems = draft_of(text)
    if problems:
        raise WrongMap(problems)
    return mapping


def draft_of(text: str) -> tuple[ImportMapping, tuple[Problem, ...]]:
    """What can be understood of a map, and what is wrong or open in it: a page shows both."""
    if len(text) > LARGEST_MAP:
        return ImportMapping(""), (
            Problem("map_too_large", f"A map has at most {LARGEST_MAP // 1024} thousand characters."),
        )
    try:
        found = tomllib.loads(text, parse_float=Decimal)
    except ValueError as why:  # beside TOMLDecodeError, what Python says of a number of 5,000 digits
        return ImportMapping(""), (
            Problem("not_toml", f"The map is not TOML: {why}. Texts stand in double quotes."),
        )
    except RecursionError:
        return ImportMapping(""), (Problem("not_toml", "The map is not TOML: it is nested too deeply."),)
    return _Draft(found).mapping()


class _Draft:
    """One reading of a parsed map; collects what is wrong."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found
        self.problems: list[Problem] = []
        self.specs: Mapping[str, FieldSpec] = {}

    def say(self, code: str, message: str, *place: str) -> None:
        self.problems.append(Problem(code, message, path_of(*place)))

    def mapping(self) -> tuple[ImportMapping, tuple[Problem, ...]]:
        self.known(self.found, KEYS[""])
        kind = self.choice("kind", tuple(FIELDS), needed=True)
        self.specs = {spec.name: spec for spec in FIELDS.get(kind, ())}
        file, formats, rows = self.table("file"), self.table("formats"), self.table("rows")
        self.known(file, KEYS["file"], "file")
        self.known(formats, KEYS["formats"], "formats")
        self.known(rows, KEYS["rows"], "rows")
        periods = dict(self.texts("periods", limited=False))
        form = periods.pop("form", "")
        mapping = ImportMapping(
            kind=kind,
            name=self.text(self.found, "name"),
            source=self.source(kind),
            encoding=self.encoding(file),
            delimiter=self.delimiter(file),
            sheet=self.text(file, "sheet", "file"),
            nulls=self.nulls(file),
            date_format=self.date_form(formats.get("date", "YYYY-MM-DD"), "formats", "date"),
            date_formats=self.date_forms(formats),
            decimal=self.sign(formats, "decimal", DECIMALS, "."),
            grouping=self.sign(formats, "grouping", GROUPINGS, ""),
            columns=self.columns(),
            constants=self.fixed("constants"),
            defaults=self.fixed("defaults"),
            prefixes=self.prefixes(),
            values=self.values(),
            splits=self.splits(kind),
            fractions=FRACTIONS.get(self.choice("percent", tuple(FRACTIONS), formats, "formats"), False),
            several_lines=self.flag(rows, "several_lines", "rows"),
            calendar=self.text(rows, "calendar", "rows"),
            periods=periods,
            period_form=self.period_form(form),
            create=self.create(),
        )
        if self.specs:
            self.whole(mapping)
        return mapping, tuple(self.problems)

    # Pieces

    def known(self, table: Mapping[str, Any], names: Iterable[str], *place: str) -> None:
        for key in table:
            if key not in names:
                self.say("unknown_key", f"{shown(key)} is not known here. {nearest(key, names)}", *place, key)

    def table(self, *place: str) -> Mapping[str, Any]:
        found: Any = self.found
        for key in place:
            found = found.get(key, {})
        if isinstance(found, Mapping):
            return found
        self.say("not_a_table", f"{path_of(*place)} is a table: write [{path_of(*place)}].", *place)
        return {}

    def text(self, table: Mapping[str, Any], key: str, *place: str) -> str:
        return self.as_text(table.get(key, ""), *place, key)

    def as_text(self, value: Any, *place: str) -> str:
        """A TOML value as text: days, numbers and true/false may stand without quotes."""
        if isinstance(value, str):
            return value.strip()
        if isinstance(value, bool):
            return "true" if value else "false"
        if (isinstance(value, int) and value.bit_length() < 100) or (
            isinstance(value, Decimal) and value.is_finite()
        ):
            return str(value)
        if isinstance(value, date) and not isinstance(value, datetime):
            return value.isoformat()
        kind = "a time" if isinstance(value, datetime | time) else "no text"
        self.say("not_a_text", f"This is {kind}: a text in double quotes belongs here.", *place)
        return ""

    def texts(self, *place: str, limited: bool = True) -> Mapping[str, str]:
        """A table of texts. limited: its keys are fields of the kind."""
        table = self.table(*place)
        if limited and self.specs:
            self.known(table, self.specs, *place)
        found = {}
        for key, value in table.items():
            said = len(self.problems)
            text = self.as_text(value, *place, key)
            if len(self.problems) == said and (not limited or not self.specs or key in self.specs):
                found[key] = text
        return found

    def choice(
        self,
        key: str,
        choices: tuple[str, ...],
        table: Mapping[str, Any] | None = None,
        *place: str,
        needed: bool = False,
    ) -> str:
        value = self.text(self.found if table is None else table, key, *place)
        if value in choices:
            return value
        if value:
            self.say("not_a_choice", f"{shown(value)} is none of {listed(choices)}.", *place, key)
        elif needed:
            self.say("missing", f"Say which {key}: {listed(choices)}.", *place, key)
        return ""

    def flag(self, table: Mapping[str, Any], key: str, *place: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            self.say("not_a_flag", f"{key} is true or false, without quotes.", *place, key)
            return False
        return value

    def source(self, kind: str) -> str:
        value = self.text(self.found, "source")
        if not value:
            if kind == "deals":
                self.say(
                    "missing",
                    "Name the source, such as salesforce: with the id it identifies a deal.",
                    "source",
                )
        elif value in RESERVED:
            self.say("source_reserved", f"{shown(value)} is Parity's own. Choose another name.", "source")
        elif not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,19}", value):
            self.say(
                "source_name",
                "A source's name has at most 20 small letters, digits and hyphens, such as salesforce-emea.",
                "source",
            )
        return value

    def encoding(self, table: Mapping[str, Any]) -> str:
        value = self.text(table, "encoding", "file")
        if value:
            try:
                "a".encode(codecs.lookup(value).name)
            except (LookupError, ValueError, TypeError):
                self.say(
                    "unknown_encoding",
                    f"{shown(value)} is no encoding. Usual ones: utf-8, utf-16, windows-1252.",
                    "file",
                    "encoding",
                )
                return ""
        return value

    def delimiter(self, table: Mapping[str, Any]) -> str:
        value = table.get("delimiter", "")
        if value == "tab":
            return "\t"
        if isinstance(value, str) and len(value) <= 1 and value not in ('"', "\r", "\n"):
            return value
        self.say("delimiter", 'The delimiter is one character, such as ";", or "tab".', "file", "delimiter")
        return ""

    def nulls(self, table: Mapping[str, Any]) -> frozenset[str]:
        value = table.get("nulls")
        if value is None:
            return NULLS
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return frozenset(one.strip() for one in value) - {""}
        self.say("nulls", 'nulls is a list of texts, such as ["NULL", "-"].', "file", "nulls")
        return NULLS

    def date_form(self, value: Any, *place: str) -> str:
        if value == UNDECIDED:
            self.undecided("how dates are written", (), *place)
            return UNDECIDED
        text = self.as_text(value, *place)
        form = next((one for one in DATE_FORMATS if one.casefold() == text.casefold()), "")
        if not form:
            self.say(
                "unknown_date_format",
                f"{shown(text)} is no date format. Known: {listed(DATE_FORMATS)}.",
                *place,
            )
        return form or "YYYY-MM-DD"

    def date_forms(self, formats: Mapping[str, Any]) -> dict[str, str]:
        table = formats.get("dates", {})
        if not isinstance(table, Mapping):
            self.say("not_a_table", "formats.dates is a table: write [formats.dates].", "formats", "dates")
            return {}
        dated = (
            [s.name for s in self.specs.values() if s.kind in ("date", "version")] if self.specs else table
        )
        self.known(table, dated, "formats", "dates")
        return {k: self.date_form(v, "formats", "dates", k) for k, v in table.items() if k in dated}

    def sign(self, formats: Mapping[str, Any], key: str, choices: tuple[str, ...], otherwise: str) -> str:
        value = formats.get(key, otherwise)
        if value == UNDECIDED:
            self.undecided("how numbers are written", (".", ","), "formats", key)
            return UNDECIDED
        if value not in choices:
            self.say(
                "number_format",
                f"{shown(value)} is none of {listed(f'“{c}”' for c in choices)}.",
                "formats",
                key,
            )
            return otherwise
        return str(value)

    def columns(self) -> dict[str, str]:
        columns = self.texts("columns")
        for name, column in columns.items():
            if column == UNDECIDED:
                self.undecided(f"which column is the {self.label(name)}", (), "columns", name)
            elif not column:
                self.say("missing", "Name a column of the file, or leave the line out.", "columns", name)
        return {name: column for name, column in columns.items() if column}

    def fixed(self, table: str) -> dict[str, str]:
        """Constants or defaults: final values, days as YYYY-MM-DD, numbers with a point."""
        found = dict(self.texts(table))
        for name, value in found.items():
            if value == UNDECIDED:
                self.undecided(f"the {self.label(name)}", (), table, name)
            elif not value:
                self.say("missing", "An empty text says nothing; leave the line out.", table, name)
            elif name in self.specs:
                wrong = fixed(self.specs[name], value)
                if isinstance(wrong, Wrong):
                    self.say(wrong.code, wrong.message, table, name)
        return {name: value for name, value in found.items() if value}

    def prefixes(self) -> dict[str, str]:
        found = {}
        for name, value in self.table("prefixes").items():
            if self.specs and name not in self.specs:
                continue
            if not isinstance(value, str):
                self.say("not_a_text", "A prefix is a text in double quotes.", "prefixes", name)
            elif self.specs and self.specs[name].kind not in ("text", "name", "id"):
                self.say("prefix", f"A prefix has no meaning for the {self.label(name)}.", "prefixes", name)
            else:
                found[name] = value  # not stripped: its last space matters
        if self.specs:
            self.known(self.table("prefixes"), self.specs, "prefixes")
        return found

    def values(self) -> dict[str, dict[str, str]]:
        tables = self.table("values")
        if self.specs:
            self.known(tables, self.specs, "values")
        found: dict[str, dict[str, str]] = {}
        for name in tables:
            if self.specs and name not in self.specs:
                continue
            found[name] = {}
            folded: dict[str, str] = {}
            for word, meaning in self.texts("values", name, limited=False).items():
                place = ("values", name, word)
                if folded.setdefault(fold(word), meaning) != meaning:
                    self.say(
                        "value_twice",
                        f"{shown(word)} is here twice; upper and lower case are the same.",
                        *place,
                    )
                elif meaning == UNDECIDED:
                    choices = self.specs[name].choices if name in self.specs else ()
                    self.undecided(f"what {shown(word)} means", choices, *place)
                elif meaning and name in self.specs:
                    wrong = fixed(self.specs[name], meaning)
                    if isinstance(wrong, Wrong):
                        self.say(wrong.code, wrong.message, *place)
                found[name][word] = meaning
        return found

    def splits(self, kind: str) -> tuple[Split, ...]:
        found = self.found.get("splits", [])
        if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
            self.say(
                "not_a_list", "Write each pair of columns under [[splits]], in double brackets.", "splits"
            )
            return ()
        if found and kind not in ("deals", ""):
            self.say("splits", "Only deals have splits.", "splits")
        if len(found) > MOST_SPLITS:
            self.say("splits", f"A deal has at most {MOST_SPLITS} splits.", "splits")
        pairs = []
        for number, one in enumerate(found[:MOST_SPLITS]):
            place = ("splits", str(number))
            self.known(one, KEYS["splits"], *place)
            pair = Split(self.text(one, "rep", *place), self.text(one, "percent", *place))
            for key, value in (("rep", pair.rep), ("percent", pair.percent)):
                if not value:
                    self.say("missing", f"Say which column has the {key} of this split.", *place, key)
            pairs.append(pair)
        return tuple(pairs)

    def period_form(self, form: str) -> str:
        if form == UNDECIDED:
            self.undecided("which periods the columns' names mean", PERIOD_FORMS, "periods", "form")
        elif form and form not in PERIOD_FORMS:
            self.say(
                "period_form",
                f"{shown(form)} is no form of periods. Known: {listed(PERIOD_FORMS)}.",
                "periods",
                "form",
            )
            return ""
        return form

    def create(self) -> dict[str, str]:
        self.known(self.table("create"), KEYS["create"], "create")
        found = {
            key: self.as_text(value, "create", key)
            for key, value in self.table("create").items()
            if key in KEYS["create"]
        }
        for key, choices in (("role", ROLES), ("origin", ORIGINS), ("commercial_path", PATHS)):
            if found.get(key, choices[0]) not in choices:
                self.say("not_a_choice", f"{shown(found[key])} is none of {listed(choices)}.", "create", key)
        if "since" in found and iso_day(found["since"]) is None:
            self.say(
                "not_a_day", f"{shown(found['since'])} is not a day: write 2026-07-01.", "create", "since"
            )
        if "country" in found and not re.fullmatch("[A-Z]{2}", found["country"]):
            self.say("country", "A country has two capital letters, such as DE.", "create", "country")
        return {key: value for key, value in found.items() if value}

    # The whole

    def label(self, name: str) -> str:
        return self.specs[name].label.lower() if name in self.specs else name

    def undecided(self, what: str, choices: Iterable[str], *place: str) -> None:
        known = listed(choices)
        self.say("undecided", f"Decide {what}{': ' + known if known else ''}.", *place)

    def whole(self, mapping: ImportMapping) -> None:
        given = mapping.columns.keys() | mapping.constants.keys()
        for spec in self.specs.values():
            if spec.needed and spec.name not in given:
                self.say(
                    "missing",
                    f"Say which column is the {self.label(spec.name)}, or give all rows the same under [constants].",
                    "columns",
                    spec.name,
                )
        for name in mapping.columns.keys() & mapping.constants.keys():
            self.say(
                "column_and_constant",
                f"The {self.label(name)} has a column and a constant. For empty cells use [defaults].",
                "constants",
                name,
            )
        for table, names in (
            ("defaults", mapping.defaults),
            ("prefixes", mapping.prefixes),
            ("values", mapping.values),
        ):
            for name in names:
                if name not in mapping.columns:
                    self.say(
                        "no_column", f"The {self.label(name)} has no column to apply it to.", table, name
                    )
        if mapping.decimal == mapping.grouping:
            self.say(
                "number_format",
                f"{shown(mapping.decimal)} cannot part both the decimals and the thousands.",
                "formats",
                "grouping",
            )
        if mapping.kind == "deals" and "stage" in mapping.columns and not mapping.values.get("stage"):
            self.say(
                "missing",
                f"Say under [values.stage] what each stage means: {listed(STAGES)}.",
                "values",
                "stage",
            )
        if mapping.kind == "quotas":
            self.whole_quotas(mapping, given)
        if mapping.kind == "territories" and not given & {"rep", "account", "house_rep"}:
            self.say(
                "missing",
                "Say which column is the rep, the account or the house rep of a territory.",
                "columns",
            )
        if mapping.kind != "quotas" and (mapping.periods or mapping.period_form):
            self.say("periods", "Only quotas have periods as columns.", "periods")

    def whole_quotas(self, mapping: ImportMapping, given: set[str]) -> None:
        if not given & {"rep", "team"}:
            self.say("missing", "Say which column is the rep, or the team.", "columns", "rep")
        wide = bool(mapping.periods) or (bool(mapping.period_form) and "period" not in given)
        for column, period in mapping.periods.items():
            if period == UNDECIDED:
                self.undecided(f"which period the column {shown(column)} is", (), "periods", column)
            elif not period:
                self.say("missing", "Name a period, such as FY27-M01.", "periods", column)
        if wide:
            if "amount" in given:
                self.say(
                    "periods",
                    "Quotas stand either in a column a period, or in one column with the period beside it.",
                    "columns",
                    "amount",
                )
            return
        if "amount" not in given:
            self.say("missing", "Say which column is the quota, or name the periods' columns under [periods].", "columns", "amount")  # fmt: skip
        if "period" not in given and not {"period_start", "period_end"} <= given:
            self.say("missing", "Say which column is the period, or its first and its last day.", "columns", "period")  # fmt: skip


def write_map(mapping: ImportMapping) -> str:
    """TOML that read_map reads to the same mapping."""
    plain = ImportMapping(mapping.kind)
    top: dict[str, Any] = {"kind": mapping.kind}
    for key in ("name", "source"):
        if getattr(mapping, key):
            top[key] = getattr(mapping, key)
    file: dict[str, Any] = {}
    for key in ("encoding", "delimiter", "sheet"):
        if getattr(mapping, key):
            file[key] = getattr(mapping, key)
    if mapping.delimiter == "\t":
        file["delimiter"] = "tab"
    if mapping.nulls != plain.nulls:
        file["nulls"] = sorted(mapping.nulls)
    formats: dict[str, Any] = {}
    for key, name in (("date", "date_format"), ("decimal", "decimal"), ("grouping", "grouping")):
        if getattr(mapping, name) != getattr(plain, name):
            formats[key] = getattr(mapping, name)
    if mapping.fractions:
        formats["percent"] = "0-1"
    if mapping.date_formats:
        formats["dates"] = dict(mapping.date_formats)
    rows: dict[str, Any] = {}
    if mapping.several_lines:
        rows["several_lines"] = True
    if mapping.calendar:
        rows["calendar"] = mapping.calendar
    periods: dict[str, str] = {"form": mapping.period_form} if mapping.period_form else {}
    tables = {
        "file": file,
        "formats": formats,
        "columns": dict(mapping.columns),
        "constants": dict(mapping.constants),
        "defaults": dict(mapping.defaults),
        "prefixes": dict(mapping.prefixes),
        "values": {name: dict(words) for name, words in mapping.values.items()},
        "splits": [{"rep": one.rep, "percent": one.percent} for one in mapping.splits],
        "rows": rows,
        "periods": periods | dict(mapping.periods),
        "create": dict(mapping.create),
    }
    return tomli_w.dumps(top | {key: table for key, table in tables.items() if table})
