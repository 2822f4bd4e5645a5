"""A first map for a file nobody has described: from the names that known exports give their columns, and from what the cells hold.

What is certain is filled in. Where a person has to look, the guess asks: a value that is likely stands in the map to be confirmed,
and where two readings differ UNDECIDED stands there, which no import accepts.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from marketplace.importers.rows import shown
from quotas.importers.fields import FIELDS, STAGES
from quotas.importers.layouts import Cell, Layout
from quotas.importers.mapping import UNDECIDED, ImportMapping, Split
from quotas.importers.period_names import PERIOD_FORMS, period_named
from quotas.importers.samples import Samples, plain
from quotas.importers.values import (
    DATE_FORMATS,
    EXCEL_SERIAL,
    dates_seen,
    numbers_seen,
)
from quotas.importers.words import currencies_of, listed, text_of

ENOUGH_SIGNS: Final = 3
FEWEST_PERIODS: Final = 2
MOST_NUMBERS: Final = 12  # columns in which it is looked how numbers are written
USUAL_CURRENCIES: Final = ("USD", "EUR", "GBP", "CAD", "AUD", "CHF", "JPY", "INR", "SEK")
NEEDED_TYPES: Final = {"amount": "number", "close_date": "day"}
OPTIONAL_DAYS: Final = ("created_on", "changed_on", "starts", "ends", "territory_starts", "territory_ends")


@dataclass(frozen=True, slots=True)
class Question:
    """Where a person decides.

    field    Of FIELDS, or source, calendar or splits.
    column   The one it is about; empty where none was found.
    choices  What may be chosen, the likeliest first: columns, formats, currencies or stages; empty where no choice helps.
    why      A sentence or two.
    """

    field: str
    column: str
    choices: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Guess:
    """matched: whose export it looks like, for people; empty for anybody's file."""

    mapping: ImportMapping
    questions: tuple[Question, ...]
    matched: str


def guess(kind: str, layout: Layout, samples: Sequence[Sequence[Cell]]) -> Guess:
    """The likeliest map of a file of *kind*, by its head and some of its rows."""
    return _Guess(kind, layout, samples).made()


@cache
def _known() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("exports.toml").read_text(encoding="utf-8"))


def _bare(word: str) -> str:
    """A stage as stages are compared: "Closed - Won" and "closedwon" are the same."""
    return re.sub(r"[\W_]+", "", word).casefold()


class _Guess:
    def __init__(self, kind: str, layout: Layout, samples: Sequence[Sequence[Cell]]) -> None:
        self.kind, self.file = kind, Samples(layout, samples)
        self.heads, self.by_name = layout.columns, self.file.by_name
        self.specs = {spec.name: spec for spec in FIELDS[kind]}
        self.columns: dict[str, str] = {}
        self.constants: dict[str, str] = {}
        self.values: dict[str, dict[str, str]] = {}
        self.candidates: dict[str, list[str]] = {}
        self.questions: list[Question] = []
        self.mapping = ImportMapping(kind)
        self.product = self._product() if kind == "deals" else ""

    def made(self) -> Guess:
        for name in self.specs:
            self._column(name)
        {"deals": self._deals, "quotas": self._quotas, "reps": self._people, "territories": self._people}[
            self.kind
        ]()
        self._dates()
        mapping = replace(
            self.mapping,
            columns={name: self.columns[name] for name in self.specs if name in self.columns},
            constants=self.constants,
            values=self.values,
        )
        label = _known()[self.product]["label"] if self.product else ""
        order = ["source", *self.specs]
        questions = sorted(
            self.questions, key=lambda one: order.index(one.field) if one.field in order else len(order)
        )
        return Guess(mapping, tuple(questions), label)

    def ask(self, field: str, column: str, choices: Iterable[str], why: str) -> None:
        self.questions.append(Question(field, column, tuple(choices), why))

    # Columns

    def _product(self) -> str:
        """Whose export it is: the product with the most signs, if there are enough."""
        scores = {
            name: sum(sign in self.by_name for sign in product["signs"])
            for name, product in _known().items()
            if "signs" in product
        }
        best = max(scores, key=lambda name: scores[name])
        return best if scores[best] >= ENOUGH_SIGNS else ""

    def _named(self, whose: str, table: str, name: str) -> list[str]:
        """Columns whose names a table of exports.toml knows for a field, the best first, and that hold what the field needs."""
        known = _known()[whose] if whose else _known()["any"][self.kind]
        names = known.get(table, {}).get(name, ())
        heads = (self.by_name[one] for one in names if one in self.by_name)
        return [head for head in dict.fromkeys(heads) if self._fits(name, head)]

    def _fits(self, name: str, head: str) -> bool:
        return self.file.fits(self.specs[name].kind, head)

    def _column(self, name: str) -> None:
        """Certain where a known export says so; likely ones are asked about; of several likely ones none is taken."""
        if name == "currency":
            return  # follows the amount
        spec = self.specs[name]
        known = self._named(self.product, "columns", name) if self.product else []
        usual = self._named("", "columns", name)
        certain = known or (usual if len(usual) == 1 or not spec.needed else [])
        if certain:
            self.columns[name] = certain[0]
            return
        weak = self._named(self.product, "weak", name) if self.product else []
        found = usual or weak or self._named("", "weak", name) or self._worded(name)
        if not found or not (spec.needed or name in ("rep", "amount")):
            return
        label = spec.label.lower()
        if len(found) == 1:
            head = found[0]
            self.columns[name] = head
            doubt = (
                " It is an estimate; the file has no column for what it became." if _estimate(head) else ""
            )
            self.ask(name, head, self._others(name, head), f"Is “{head}” the {label}?{doubt}")
        else:
            self.columns[name] = UNDECIDED
            self.candidates[name] = found
            self.ask(name, "", found, f"Which of these is the {label}: {listed(found)}?")

    def _others(self, name: str, first: str) -> tuple[str, ...]:
        """A column and those that could stand in its place."""
        return (first, *(head for head in self.heads if head != first and self._could(name, head)))

    def _could(self, name: str, head: str) -> bool:
        return self.file.could(self.specs[name].kind, head)

    def _worded(self, name: str) -> list[str]:
        """Columns that an organisation has named itself: all words of an entry are in the name."""
        entries = [entry.split() for entry in _known()["words"].get(name, ())] if self.kind == "deals" else []
        taken = set(self.columns.values())
        found = []
        for head in self.heads:
            words = set(plain(head).split())
            if head in taken or "currency" in words or ("id" in words and name != "external_id"):
                continue
            if any(words.issuperset(entry) for entry in entries) and self._could(name, head):
                found.append(head)
        return found

    # Deals

    def _deals(self) -> None:
        if self.product:
            self.mapping = replace(self.mapping, source=self.product)
        else:
            self.mapping = replace(self.mapping, source="crm")
            self.ask(
                "source",
                "",
                ("crm",),
                "Where is this file from? A deal is known again by this name and its id.",
            )
        self._id()
        self._stages()
        self._kinds()
        self._lines()
        self._currency()
        self._splits()
        self._numbers(
            [
                *self.candidates.get("amount", [self.columns.get("amount", "")]),
                self.columns.get("quantity", ""),
            ]
        )
        for name in ("owner", "account", "offering", "amount", "close_date"):
            self._none(name)

    def _none(self, name: str) -> None:
        """Nothing looks like a field that is needed."""
        if name not in self.columns and name not in self.constants:
            label = self.specs[name].label.lower()
            same = "" if NEEDED_TYPES.get(name) else " Or give every row the same."
            fitting = [head for head in self.heads if self._could(name, head)]
            self.columns[name] = UNDECIDED
            self.ask(name, "", fitting, f"No column looks like the {label}: which one is it?{same}")

    def _id(self) -> None:
        head = self.columns.get("external_id", "")
        if not head:
            unique = [one for one in self.heads if self.file.unique(one)]
            self.columns["external_id"] = UNDECIDED
            self.ask(
                "external_id",
                "",
                unique,
                "The file has no column with the deal's id. Export it with one, or choose a column that is different in every row and never changes; otherwise a deal is not known again.",
            )
            return
        if head == UNDECIDED:
            return
        ids = [text_of(cell) for cell in self.file.cells(head)]
        if len(set(ids)) == len(ids):
            return
        runs = 1 + sum(a != b for a, b in pairwise(ids))
        together = runs == len(set(ids))
        self.mapping = replace(self.mapping, several_lines=together)
        self.ask(
            "external_id",
            head,
            (head,),
            "An id stands in several rows that follow each other: they are read as lines of one deal."
            if together
            else "An id stands in several rows that do not follow each other. Sort the file by it if they are lines of one deal.",
        )

    def _stages(self) -> None:
        known = _known()
        won_flag = self.by_name.get("is won", "")
        if "stage" not in self.columns and won_flag:
            self.columns["stage"] = won_flag
        head = self.columns.get("stage", "")
        if head == UNDECIDED:
            return
        if not head:
            self.constants["stage"] = UNDECIDED
            self.ask(
                "stage",
                "",
                STAGES,
                "No column says which deals are won. If all of them are, choose submitted; else choose the column.",
            )
            return
        if plain(head) in ("is won", "won"):
            self.values["stage"] = {"true": "submitted", "1": "submitted", "yes": "submitted", "*": "skip"}
            return
        meaning = {
            _bare(word): stage
            for stage, words in (
                (
                    "skip",
                    [
                        *known["stages"]["open"],
                        *(known[self.product].get("open", ()) if self.product else ()),
                    ],
                ),
                ("cancelled", known["stages"]["lost"]),
                ("submitted", known["stages"]["won"]),
            )
            for word in words
        }
        found = {word: meaning.get(_bare(word), UNDECIDED) for word in self.file.words(head)}
        said = {_bare(word) for word in found}
        if self.product:  # stages further down in the file than the samples
            usual = [
                *known[self.product].get("open", ()),
                *known["stages"]["lost"][:1],
                *known["stages"]["won"][:1],
            ]
            found |= {word: meaning[_bare(word)] for word in usual if _bare(word) not in said}
        self.values["stage"] = found
        unknown = [word for word, stage in found.items() if stage == UNDECIDED]
        if unknown:
            self.ask(
                "stage",
                head,
                STAGES,
                f"What do these stages mean: {listed(map(shown, unknown))}? submitted is won and waits for its approver, approved is won and needs no other approval under a policy, draft is open, cancelled is lost, skip leaves it out.",
            )

    def _kinds(self) -> None:
        head = self.columns.pop("kind", "")
        if head:
            meaning = {_bare(word): kind for kind, words in _known()["kinds"].items() for word in words}
            found = {word: meaning.get(_bare(word), UNDECIDED) for word in self.file.words(head)}
            if any(kind != UNDECIDED for kind in found.values()):
                self.columns["kind"], self.values["kind"] = head, found
                unknown = [word for word, kind in found.items() if kind == UNDECIDED]
                if unknown:
                    self.ask(
                        "kind",
                        head,
                        self.specs["kind"].choices[:3],
                        f"Which kind of deal is {listed(map(shown, unknown))}?",
                    )
                return
        self.constants["kind"] = "new_business"

    def _lines(self) -> None:
        """A report with a row a product repeats the deal's whole amount in each; the line's own is another column."""
        if not self.mapping.several_lines:
            return
        own = [
            self.by_name[name]
            for name in ("total price", "line amount", "line total", "subtotal")
            if name in self.by_name
        ]
        if own and self._fits("amount", own[0]):
            self.columns["amount"] = own[0]
        elif self.columns.get("amount", UNDECIDED) != UNDECIDED:
            self.ask(
                "amount",
                self.columns["amount"],
                self._others("amount", self.columns["amount"]),
                "A deal has several rows here. Is this the amount of each row, or of the whole deal in each? It must be the row's own.",
            )

    def _currency(self) -> None:
        """A column of currencies, best the one that belongs to the amount; else what the amounts say of themselves."""
        amount = self.columns.get("amount", "")
        beside = self.by_name.get(f"{plain(amount)} currency", "") if amount else ""
        named = self._named(self.product, "columns", "currency") if self.product else []
        found = [beside] if beside else named or self._named("", "columns", "currency")
        if found:
            self.columns["currency"] = found[0]
            self._currency_words(found[0])
            return
        said = (
            {codes for cell in self.file.cells(amount) if (codes := currencies_of(text_of(cell)))}
            if amount in self.heads
            else set()
        )
        if len(said) > 1:
            self.constants["currency"] = UNDECIDED
            self.ask(
                "currency",
                amount,
                sorted({code for codes in said for code in codes if len(codes) == 1}),
                "The amounts are in several currencies. Export them in one, or with a column that says which.",
            )
            return
        codes = next(iter(said), frozenset())
        if len(codes) == 1:
            self.constants["currency"] = next(iter(codes))
            return
        likely = [code for code in (*USUAL_CURRENCIES, *sorted(codes)) if code in codes or not codes]
        self.constants["currency"] = likely[0] if codes else UNDECIDED
        self.ask(
            "currency",
            "",
            dict.fromkeys(likely),
            f"The amounts have a sign that several countries use: are they in {likely[0]}?"
            if codes
            else "No column says in which currency the amounts are: which one is it?",
        )

    def _currency_words(self, head: str) -> None:
        meaning = {_sign(word): code for code, words in _known()["currencies"].items() for word in words}
        others = [word for word in self.file.words(head) if not re.fullmatch("[A-Za-z]{3}", word)]
        if others:
            self.values["currency"] = {word: meaning.get(_sign(word), UNDECIDED) for word in others}
            unknown = [word for word, code in self.values["currency"].items() if code == UNDECIDED]
            if unknown:
                self.ask(
                    "currency", head, USUAL_CURRENCIES, f"Which currency is {listed(map(shown, unknown))}?"
                )

    def _splits(self) -> None:
        """Pairs of columns such as "Split Rep 1" and "Split % 1"."""
        pairs = []
        percents = {
            key: head
            for head in self.heads
            if (key := _split_key(head, "percent", "%", "pct", "share", "percentage")) is not None
        }
        for head in self.heads:
            key = _split_key(head, "rep", "owner", "name", "member", "user")
            if key is not None and key in percents and head not in self.columns.values():
                pairs.append(Split(head, percents[key]))
        if not pairs:
            return
        parts = [cell for pair in pairs for cell in self.file.cells(pair.percent)]
        seen = numbers_seen(parts).choices
        fractions = bool(seen) and all(_at_most_one(cell, seen[0]) for cell in parts) and bool(parts)
        self.mapping = replace(self.mapping, splits=tuple(pairs), fractions=fractions)
        self.ask(
            "splits",
            pairs[0].rep,
            (),
            f"The deal is shared as these columns say: {listed(f'{pair.rep} / {pair.percent}' for pair in pairs)}.",
        )

    # Quotas, reps and territories

    def _quotas(self) -> None:
        self.columns.pop("currency", None)
        currency = self._named("", "columns", "currency")
        if currency:
            self.columns["currency"] = currency[0]
            self._currency_words(currency[0])
        wide = self._wide()
        if wide:
            for name in ("period", "period_start", "period_end", "amount", "starts"):
                self.columns.pop(name, None)
            self.questions = [one for one in self.questions if one.field not in ("amount", "period")]
        else:
            if {"period_start", "period_end"} <= self.columns.keys():
                self.columns.pop("period", None)
            elif "period" not in self.columns:
                self.columns["period"] = UNDECIDED
                self.ask(
                    "period", "", self.heads, "No column says for which period the quota is: which one is it?"
                )
            if "amount" not in self.columns:
                self._none("amount")
        self._numbers(list(wide) or [self.columns.get("amount", "")])
        if not self.columns.keys() & {"rep", "team"}:
            self.columns["rep"] = UNDECIDED
            self.ask(
                "rep",
                "",
                [h for h in self.heads if h not in wide],
                "No column says whose quota it is: which one is it?",
            )

    def _wide(self) -> tuple[str, ...]:
        """The columns of a wide table, if it is one: at least two whose names are periods of one form."""
        best: tuple[str, tuple[str, ...]] = ("", ())
        for form in PERIOD_FORMS:
            heads = tuple(h for h in self.heads if period_named(h, form, "FY") and self._fits("amount", h))
            if len(heads) > len(best[1]):
                best = (form, heads)
        form, heads = best
        if len(heads) < FEWEST_PERIODS:
            return ()
        self.mapping = replace(self.mapping, period_form=form)
        if form == "Q1 2027":
            self.ask(
                "calendar",
                heads[0],
                ("FY", "CY"),
                "Whose quarters are these? Name the calendar by what the names of its periods begin with, such as FY or CY.",
            )
            self.mapping = replace(self.mapping, calendar=UNDECIDED)
        return heads

    def _people(self) -> None:
        needed = "rep" if self.kind == "reps" else "territory"
        if needed not in self.columns:
            self._none(needed)
        if self.kind == "territories" and not self.columns.keys() & {"rep", "account", "house_rep"}:
            self.columns["rep"] = UNDECIDED
            self.ask("rep", "", self.heads, "Who covers the territory, or which account lies in it?")

    # Formats

    def _numbers(self, heads: Iterable[str]) -> None:
        """How the numbers of these columns are written, if all say the same or nothing."""
        heads = [head for head in heads if head in self.heads]
        cells = [cell for head in heads[:MOST_NUMBERS] for cell in self.file.cells(head)]
        choices = numbers_seen(cells).choices
        if len(choices) == 1:
            self.mapping = replace(self.mapping, decimal=choices[0][0], grouping=choices[0][1])
        elif len(choices) > 1:
            self.mapping = replace(self.mapping, decimal=UNDECIDED, grouping=UNDECIDED)
            example = next(text for cell in cells if re.search("[.,]", text := text_of(cell)))
            self.ask(
                "amount" if "amount" in self.specs else "",
                heads[0],
                dict.fromkeys(mark for mark, _ in choices),
                f"{shown(example)} can be read in two ways: is its mark for the decimals or for the thousands?",
            )

    def _dates(self) -> None:
        """One format for the file where its columns agree; a column that can be read in two ways is asked about, never decided."""
        dated = [
            n
            for n, s in self.specs.items()
            if s.kind in ("date", "version") and self.columns.get(n) in self.heads
        ]
        leading = next((name for name in dated if name not in OPTIONAL_DAYS), "")
        forms = {name: self.file.forms(self.columns[name]) for name in dated}
        if leading:
            self._leading_form(leading, forms.pop(leading))
        common = self.mapping.date_format
        own = dict(self.mapping.date_formats)
        for name, found in forms.items():
            if not self.file.cells(self.columns[name]):
                continue
            if self.specs[name].kind == "version" and not found and self._counts(name):
                continue
            if common in found:
                continue
            if len(found) == 1:
                own[name] = found[0]
            elif common == UNDECIDED and set(self.file.forms(self.columns[leading])) <= set(found):
                continue  # reads as the other column does, however that is answered
            elif name in OPTIONAL_DAYS and self.kind == "deals":
                del self.columns[name]  # nothing hangs on it
            else:
                own[name] = UNDECIDED
                self._ask_form(name, found)
        self.mapping = replace(self.mapping, date_formats=own)

    def _counts(self, name: str) -> bool:
        """Whether a version is a counter."""
        return all(text_of(cell).isdigit() for cell in self.file.cells(self.columns[name]))

    def _leading_form(self, name: str, found: tuple[str, ...]) -> None:
        if len(found) == 1:
            self.mapping = replace(self.mapping, date_format=found[0])
        elif self.file.cells(self.columns[name]):
            self.mapping = replace(self.mapping, date_format=UNDECIDED)
            self._ask_form(name, found)

    def _ask_form(self, name: str, found: tuple[str, ...]) -> None:
        head = self.columns[name]
        cells = self.file.cells(head)
        choices = found or DATE_FORMATS
        if found:
            why = f"{shown(self.file.example(head))} is a day in more than one format: which one is it?"
        elif self.file.serial(head):
            choices = (EXCEL_SERIAL,)
            why = f"The days of “{head}” are a spreadsheet's numbers ({shown(self.file.example(head))}). Are all of them?"
        elif dates_seen(cells).destroyed:
            choices = ()
            spoilt = shown(self.file.example(head))
            why = f"A spreadsheet has destroyed the days of “{head}” ({spoilt}). Export the file again and upload it without opening it in one before."
        else:
            why = f"The days of “{head}” are not all written in one known way: which format is it?"
        self.ask(name, head, choices, why)


def _estimate(head: str) -> bool:
    return not {"est", "estimated", "expected"}.isdisjoint(plain(head).split())


def _sign(word: str) -> str:
    """A currency's name as such names are compared: signs count, spaces and points do not."""
    return re.sub(r"[\s.]+", "", word).casefold()


def _split_key(head: str, *words: str) -> str | None:
    """What is left of "Split Rep 1" without its word: the same for both columns of a pair; None if it is no part of a split."""
    parts = re.sub(r"([%])", r" \1 ", plain(head)).split()
    if not any(word.startswith(("split", "co-owner")) for word in parts):
        return None
    rest = [word for word in parts if word.strip("()") not in words]
    return " ".join(rest) if len(rest) < len(parts) else None


def _at_most_one(cell: Cell, choice: tuple[str, str]) -> bool:
    if isinstance(cell, Decimal):
        return cell <= 1
    text = text_of(cell)
    if "%" in text:
        return False
    try:
        return (
            Decimal(
                text.replace(choice[1], "").replace(choice[0], ".")
                if choice[1]
                else text.replace(choice[0], ".")
            )
            <= 1
        )
    except ArithmeticError:
        return False
