"""Forms of changes, made from the shapes that the change sets themselves are checked by.

A form only turns what was typed into the body of an item, and shows what validation finds beside the field it is about:
there is one mechanism that knows what is right, whether a change comes from here, from REST or from a spreadsheet.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.http import QueryDict

from config import formats
from config.language import _, later, marked, spoken, spoken_choices
from marketplace.services.change_sets.shapes import (
    Amount,
    Answers,
    Choice,
    Day,
    Field,
    Flag,
    Found,
    Kind,
    Members,
    Pattern,
    Rows,
    Several,
    SlugOrNew,
    Text,
    Whole,
)

Options = Sequence[tuple[str, str]]
SPARE_ROWS: Final = 1
MOST_ROWS: Final = 100
# What a new row begins with; alone it is no row.
BEGUN: Final = frozenset(
    {
        *("per", "unit", "tier_from", "above_context", "market", "currency"),
        *("processing_tier", "pricing_form", "is_public"),
    }
)
_ONE: Final = {
    "Plans": marked("Plan"),
    "Prices": marked("Price"),
    "Price rows": marked("Row"),
    "Aliases": marked("Alias"),
}
_ADD: Final = {
    "Plans": marked("Add a plan"),
    "Prices": marked("Add a price"),
    "Price rows": marked("Add a row"),
    "Aliases": marked("Add an alias"),
}
_OF_JSON: Final = (
    (later('a decimal in a string, such as "3.00",'), later("an amount, such as 3.00,")),
    ("null", "empty"),
)
# Shorter than in a list of differences, where they stand without their field.
_LABELS: Final = {"end": later("Until, that day not included")}
METERS: Final = (("input-tokens", 1_000_000, "token"), ("output-tokens", 1_000_000, "token"))
KNOWN_ANSWERS: Final = (("", later("Unknown")), ("yes", later("Yes")), ("no", later("No")))
LONG: Final = 160  # characters from which on a text gets several lines


@dataclass
class Box:
    """One field of a form: what it is called, what stands in it, what is wrong with it.

    name      In the form: the path through the body with hyphens, such as plans-0-name.
    pointer   The same as a JSON pointer below the body: /plans/0/name.
    look      text, long, number, day, choice, ticks or tick.
    """

    name: str
    pointer: str
    label: str
    look: str
    value: Any = ""
    options: Options = ()
    help: str = ""
    needed: bool = False
    listed: str = ""
    found: list[Found] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"box-{self.name}"

    @property
    def wrong(self) -> bool:
        return any(f.stops for f in self.found)

    @property
    def described_by(self) -> str:
        return " ".join(
            [
                *([f"{self.id}-help"] if self.help else []),
                f"{self.id}-found",
            ]
        )


@dataclass
class Part:
    """Some fields under a heading, and the lists below them."""

    title: str
    boxes: list[Box] = field(default_factory=list)
    rows: list["RowsPart"] = field(default_factory=list)
    help: str = ""


@dataclass
class RowsPart:
    """A list of objects: each row has the same fields."""

    name: str
    label: str
    rows: list[Part] = field(default_factory=list)
    heads: list[tuple[str, str]] = field(default_factory=list)
    help: str = ""
    found: list[Found] = field(default_factory=list)

    @property
    def one(self) -> str:
        """What one of them is called."""
        return spoken(_ONE.get(self.label, self.label))

    @property
    def add(self) -> str:
        return spoken(_ADD.get(self.label, "")) or _("Add to the list")

    @property
    def table(self) -> bool:
        """Rows of short fields stand in a table; rows with lists of their own do not."""
        return not any(row.rows for row in self.rows) and len(self.heads) <= 6


@dataclass(frozen=True)
class Known:
    """What the catalog offers to choose from: options by pointer without numbers, such as /plans/currency."""

    options: Mapping[str, Options] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    capabilities: Sequence[str] = ()


class ItemForm:
    """The form of one operation.

    shape      Its members.
    values     The body to begin with: of an item, or how things are.
    hidden     Members that the address decides; they are not shown.
    groups     Title, help, names: the rest comes under the first.
    """

    def __init__(
        self,
        shape: Members,
        values: Mapping[str, Any],
        *,
        known: Known,
        hidden: Sequence[str] = (),
        groups: Sequence[tuple[str, str, Sequence[str]]] = (("", "", ()),),
        spare: Mapping[str, int] | None = None,
    ) -> None:
        self.shape, self.known = shape, known
        self.spare = dict(spare or {})
        shown = [f for f in shape.fields if f.name not in hidden]
        grouped = {name for _title, _help, names in groups for name in names}
        self.parts: list[Part] = []
        for place, (title, text, names) in enumerate(groups):
            mine = [f for f in shown if f.name in names or (place == 0 and f.name not in grouped)]
            if mine:
                part = self._part(mine, values, "", "")
                part.title, part.help = title, text
                self.parts.append(part)

    # --- what is shown

    def _part(self, fields: Iterable[Field], values: Mapping[str, Any], name: str, pointer: str) -> Part:
        part = Part("")
        for one in fields:
            path, where = f"{name}{one.name}", f"{pointer}/{one.name}"
            value = values.get(one.name)
            match one.kind:
                case Rows():
                    part.rows.append(self._rows(one, one.kind, value, path, where))
                case Members():
                    inside = self._part(one.kind.fields, _mapping(value), f"{path}-", where)
                    part.boxes += inside.boxes
                    part.rows += inside.rows
                case Answers():
                    part.boxes += self._answers(_mapping(value), path, where)
                case _:
                    part.boxes.append(self._box(one, value, path, where))
        return part

    def _rows(self, one: Field, kind: Rows, value: Any, path: str, where: str) -> RowsPart:
        given = list(value) if isinstance(value, list | tuple) else []
        extra = self.spare.get(path, SPARE_ROWS if isinstance(kind.each.fields[-1].kind, Amount) else 0)
        given += [{}] * extra
        part = RowsPart(path, one.label, help=spoken(one.help))
        part.heads = [(spoken(f.label), spoken(f.help)) for f in kind.each.fields]
        for number, row in enumerate(given[:MOST_ROWS]):
            part.rows.append(
                self._part(kind.each.fields, _mapping(row), f"{path}-{number}-", f"{where}/{number}")
            )
        return part

    def _answers(self, value: Mapping[str, Any], path: str, where: str) -> list[Box]:
        said = {True: "yes", False: "no"}
        return [
            Box(
                f"{path}-{word}",
                f"{where}/{word}",
                word.replace("_", " ").capitalize(),
                "choice",
                said[answer] if isinstance(answer := value.get(word), bool) else "",
                KNOWN_ANSWERS,
            )
            for word in sorted({*self.known.capabilities, *value})
        ]

    def _box(self, one: Field, value: Any, path: str, where: str) -> Box:
        plain = "/".join(p for p in where.split("/") if not p.isdigit())
        options = self.known.options.get(plain, ())
        box = Box(
            path,
            where,
            _LABELS.get(one.name) or spoken(one.label),
            _look(one),
            value,
            options,
            spoken(one.help),
            one.needed,
        )
        box.listed = self.known.lists.get(plain, "")
        match one.kind:
            case Choice():
                none = (
                    ()
                    if one.needed and value
                    else (("", _("Choose") if one.needed else _capital(spoken(one.empty))),)
                )
                box.options = (*none, *spoken_choices(one.kind.choices))
            case Several() if options:
                box.look = "ticks"
                box.value = [str(v) for v in value] if isinstance(value, list | tuple) else []
                return box
            case Flag() if one.nullable:
                box.look, box.options = "choice", KNOWN_ANSWERS
                box.value = {True: "yes", False: "no"}[value] if isinstance(value, bool) else ""
                return box
            case Flag():
                box.value = bool(value)
                return box
            case Several():
                box.help = box.help or (
                    _("Separated by commas. Empty: %(empty)s.") % {"empty": spoken(one.empty)}
                    if one.nullable
                    else _("Separated by commas.")
                )
            case _ if options:
                box.look = "choice"
                box.options = (("", _("Choose") if one.needed else _capital(spoken(one.empty))), *options)
        whole = isinstance(one.kind, Whole) and isinstance(value, int) and not isinstance(value, bool)
        box.value = formats.whole(value) if whole else written(value)
        if one.nullable and not box.help and one.empty != "none" and box.look != "choice":
            box.help = _("Empty: %(empty)s.") % {"empty": spoken(one.empty)}
        return box

    # --- what was typed

    def read(self, data: QueryDict) -> dict[str, Any]:
        """The body as it was typed; what cannot be a number or a day stays as it is, for validation to say so."""
        return self._read(self.shape.fields, data, "")

    def _read(self, fields: Iterable[Field], data: QueryDict, name: str) -> dict[str, Any]:
        body: dict[str, Any] = {}
        for one in fields:
            path = f"{name}{one.name}"
            match one.kind:
                case Rows():
                    rows = self._read_rows(one.kind, data, path)
                    if rows is not None:
                        body[one.name] = rows
                case Members():
                    inside = self._read(one.kind.fields, data, f"{path}-")
                    if any(v not in (None, "", [], False, {}) for v in inside.values()):
                        body[one.name] = {k: v for k, v in inside.items() if v not in (None, "", [])}
                    elif one.nullable and any(key.startswith(f"{path}-") for key in data):
                        body[one.name] = None
                case Answers():
                    said = {"yes": True, "no": False}
                    answers = {
                        key.removeprefix(f"{path}-"): said[value]
                        for key in data
                        if key.startswith(f"{path}-") and (value := str(data[key])) in said
                    }
                    if any(key.startswith(f"{path}-") for key in data):
                        body[one.name] = answers
                case _ if f"{path}.shown" in data or path in data:
                    body[one.name] = _value(one, data, path)
        return body

    def _read_rows(self, kind: Rows, data: QueryDict, path: str) -> list[Any] | None:
        numbers = sorted(
            {
                int(number)
                for key in data
                if key.startswith(f"{path}-")
                and (number := key.removeprefix(f"{path}-").split("-")[0]).isascii()
                and number.isdigit()
                and len(number) < 4
            }
        )
        if not numbers:
            return None
        rows = [self._read(kind.each.fields, data, f"{path}-{number}-") for number in numbers[:MOST_ROWS]]
        nullable = {f.name for f in kind.each.fields if f.nullable}
        return [
            {k: v for k, v in row.items() if v is not None or k in nullable} for row in rows if _typed(row)
        ]

    # --- what is wrong

    def place(self, found: Iterable[Found]) -> list[Found]:
        """Put what was found, with pointers below the body, beside its field; returns what no field is about."""
        boxes = {box.pointer: box for box in self.boxes()}
        lists = {part.name: part for part in self._lists(self.parts)}
        rest = []
        for one in found:
            where = one.pointer
            while where and where not in boxes and where.strip("/").replace("/", "-") not in lists:
                where = where.rpartition("/")[0]
            if where in boxes:
                boxes[where].found.append(one)
            elif where:
                lists[where.strip("/").replace("/", "-")].found.append(one)
            else:
                rest.append(one)
        return rest

    def boxes(self) -> Iterator[Box]:
        yield from _boxes(self.parts)

    def _lists(self, parts: Iterable[Part]) -> Iterator[RowsPart]:
        for part in parts:
            for rows in part.rows:
                yield rows
                yield from self._lists(rows.rows)

    def box(self, name: str) -> Box | None:
        return next((box for box in self.boxes() if box.name == name), None)


def _boxes(parts: Iterable[Part]) -> Iterator[Box]:
    for part in parts:
        yield from part.boxes
        for rows in part.rows:
            yield from _boxes(rows.rows)


def _look(one: Field) -> str:
    match one.kind:
        case Day():
            return "day"
        case Amount() | Whole():
            return "number"
        case Flag():
            return "tick"
        case Choice():
            return "choice"
        case Text() if one.kind.most > LONG and one.name in ("summary", "reason", "finding"):
            return "long"
    return "text"


def _value(one: Field, data: QueryDict, path: str) -> Any:
    kind: Kind = one.kind
    typed = data.get(path, "").strip()
    nothing = None if one.nullable else ""
    match kind:
        case Flag():
            return {"yes": True, "no": False}.get(typed) if one.nullable else bool(typed)
        case Several():
            several = [
                part.strip() for given in data.getlist(path) for part in given.split(",") if part.strip()
            ]
            if isinstance(kind.each, Pattern) and kind.each.most == 2:
                several = [word.upper() for word in several]
            return several or (None if one.nullable else [])
        case Whole():
            digits = formats.whole_typed(typed)
            return (
                int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 30 else typed or None
            )
        case Amount():
            return _ungrouped(typed.removeprefix("$").strip()) or None
        case SlugOrNew():
            return typed or None
    return typed or nothing


def _ungrouped(typed: str) -> str:
    """1,234.50 as 1234.50; what cannot be read for certain stays, so that 2,50 is refused and never read as 250."""
    try:
        return formats.typed(typed)
    except formats.Unreadable:
        return typed


def _typed(row: Mapping[str, Any], begun: frozenset[str] = BEGUN) -> bool:
    """Whether somebody wrote something into a row, beyond what stood there to begin with."""
    for name, value in row.items():
        if name in begun or value in (None, "", False, []):
            continue
        if not isinstance(value, list) or any(
            not isinstance(one, Mapping) or _typed(one, BEGUN | {"meter"}) for one in value
        ):
            return True
    return False


def written(value: Any) -> str:
    """A JSON value as it stands in a field."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(str(v) for v in value)
    return str(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def below(found: Iterable[Found], item: int) -> list[Found]:
    """What is about the body of the item at that place, with pointers below the body."""
    start = f"/items/{item}"
    mine = []
    for one in found:
        if one.pointer == start or one.pointer.startswith(f"{start}/"):
            inside = one.pointer.removeprefix(start).removeprefix("/body")
            mine.append(Found(inside, one.code, _to_a_reader(one.message), one.severity))
    return mine


def _to_a_reader(message: str) -> str:
    """What is said about JSON, as it is said about a field."""
    for said, meant in _OF_JSON:
        message = message.replace(str(said), str(meant))
    return message
