"""What each operation's body may hold: declared once, for reading, for saying what differs, and for the REST schema.

A kind reads one JSON value into a Python one (a date, a Decimal, a list ...) and reports everything that is wrong with it at
its JSON pointer; says() writes it for people. Absent fields stay absent: in an update that means unchanged.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any, Final

from config.language import marked
from marketplace.models import (
    CommercialPath,
    OfferingKind,
    Operation,
    Origin,
    PricingForm,
    Severity,
)

MOST_ITEMS: Final = 20_000
LONGEST_BODY: Final = 100_000  # characters of JSON
MOST_LISTED: Final = 300
ITEM_PARTS: Final = ("operation", "body", "expected_revision")
# Words that stand where an offering's slug stands in an address.
RESERVED: Final = frozenset(
    [
        "answer",
        "calculator",
        "change-sets",
        "changes",
        "compare",
        "decisions",
        "discrepancies",
        "evidence",
        "facets",
        "footing",
        "imports",
        "new",
        "policy",
        "prices",
        "private-offers",
        "publishers",
        "recommend",
        "requests",
        "retire",
        "scorecard",
        "search",
        "spreadsheet",
        "tasks",
        "upload",
        "views",
    ]
)
MISSING: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Found:
    """What validation says about one field. pointer: JSON pointer such as /items/0/body/name."""

    pointer: str
    code: str
    message: str
    severity: str = Severity.ERROR

    @property
    def stops(self) -> bool:
        return self.severity == Severity.ERROR


@dataclass(frozen=True, slots=True)
class ItemDraft:
    """One change that somebody asks for, as it was sent. expected_revision: of the offering, when the change was written."""

    operation: str
    body: Mapping[str, Any]
    expected_revision: int | None = None


def escaped(name: str) -> str:
    """One reference token of a JSON pointer, short enough to be kept."""
    return name[:40].replace("~", "~0").replace("/", "~1")


# --- kinds of values


class Kind:
    """Reads anything of JSON; subclasses refuse what they are not."""

    wants = "a value"
    schema: Mapping[str, Any] = {}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        """The value, or MISSING after saying in *found* what is wrong."""
        raise NotImplementedError

    def says(self, value: Any) -> str:
        """A JSON value of this kind for people; it may be one that cannot be read."""
        return _short(value)

    def wrong(self, at: str, found: list[Found], code: str = "", message: str = "") -> Any:
        found.append(Found(at, code or "invalid", message or f"Write {self.wants}."))
        return MISSING


@dataclass(frozen=True)
class Text(Kind):
    most: int
    blank: bool = False

    @property
    def wants(self) -> str:  # type: ignore[override]
        return f"a text of at most {self.most} characters"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"type": "string", "maxLength": self.most, **({} if self.blank else {"minLength": 1})}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, str):
            return self.wrong(at, found)
        text = raw.strip()
        if len(text) > self.most:
            return self.wrong(at, found, "too_long", f"At most {self.most} characters; it has {len(text)}.")
        if not text and not self.blank:
            return self.wrong(at, found, "required", "This cannot be empty.")
        return text


@dataclass(frozen=True)
class Pattern(Kind):
    pattern: str
    wants: str = ""
    most: int = 80

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"type": "string", "pattern": f"^{self.pattern}$", "maxLength": self.most}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, str) or len(raw) > self.most or not re.fullmatch(self.pattern, raw):
            return self.wrong(at, found)
        return raw


@dataclass(frozen=True)
class Choice(Kind):
    choices: tuple[tuple[str, str], ...]

    @property
    def wants(self) -> str:  # type: ignore[override]
        return f"one of {', '.join(value for value, _ in self.choices)}"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"type": "string", "enum": [value for value, _ in self.choices]}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, str) or all(raw != value for value, _ in self.choices):
            return self.wrong(at, found, "unknown_choice")
        return raw

    def says(self, value: Any) -> str:
        return next((label for known, label in self.choices if known == value), _short(value))


@dataclass(frozen=True)
class Flag(Kind):
    wants: str = "true or false"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "boolean"})

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        return raw if isinstance(raw, bool) else self.wrong(at, found)


@dataclass(frozen=True)
class Whole(Kind):
    least: int = 0
    most: int = 2**31 - 1

    @property
    def wants(self) -> str:  # type: ignore[override]
        return f"a whole number from {self.least:,} to {self.most:,}"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"type": "integer", "minimum": self.least, "maximum": self.most}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if isinstance(raw, bool) or not isinstance(raw, int) or not self.least <= raw <= self.most:
            return self.wrong(at, found)
        return raw

    def says(self, value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else _short(value)


@dataclass(frozen=True)
class Amount(Kind):
    """A decimal, written as a string so that no program rounds it on the way."""

    decimals: int = 10
    digits: int = 10  # before the point
    negative: bool = False

    @property
    def wants(self) -> str:  # type: ignore[override]
        sign = "" if self.negative else " that is not negative"
        return f'a decimal in a string, such as "3.00",{sign} with at most {self.decimals} decimals'

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        sign = "-?" if self.negative else ""
        return {"type": "string", "pattern": rf"^{sign}\d{{1,{self.digits}}}(\.\d{{1,{self.decimals}}})?$"}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if isinstance(raw, bool) or not isinstance(raw, str | int) or len(str(raw)) > 60:
            return self.wrong(at, found, "not_a_decimal")
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", str(raw).strip()):
            return self.wrong(at, found, "not_a_decimal")
        number = Decimal(str(raw).strip())
        out_of_range = (
            not number.is_finite()
            or abs(number.adjusted()) > 40
            or abs(number) >= Decimal(10) ** self.digits
            or number != round(number, self.decimals)
            or (number < 0 and not self.negative)
        )
        if out_of_range:
            return self.wrong(at, found, "amount_out_of_range")
        return number


@dataclass(frozen=True)
class Day(Kind):
    wants: str = "a day, such as 2026-08-14"
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string", "format": "date"})

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if isinstance(raw, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", raw):
            try:
                day = date.fromisoformat(raw)
            except ValueError:
                return self.wrong(at, found, "no_such_day", f"There is no day {raw}.")
            if 1950 <= day.year <= 2200:
                return day
            return self.wrong(at, found, "day_out_of_range", "Write a day between 1950 and 2200.")
        return self.wrong(at, found)

    def says(self, value: Any) -> str:
        try:
            return f"{date.fromisoformat(value):%-d %b %Y}"
        except (TypeError, ValueError):
            return _short(value)


@dataclass(frozen=True)
class Several(Kind):
    """A list of plain values, none of them twice."""

    each: Kind
    most: int = MOST_LISTED

    @property
    def wants(self) -> str:  # type: ignore[override]
        return f"a list of at most {self.most}"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"type": "array", "items": dict(self.each.schema), "maxItems": self.most, "uniqueItems": True}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, list | tuple) or len(raw) > self.most:
            return self.wrong(at, found)
        read = [self.each.read(value, f"{at}/{place}", found) for place, value in enumerate(raw)]
        seen = []
        for place, value in enumerate(read):
            if value in seen and value is not MISSING:
                found.append(Found(f"{at}/{place}", "twice", f"{_short(value)} is there already."))
                return MISSING
            seen.append(value)
        return MISSING if any(value is MISSING for value in read) else read

    def says(self, value: Any) -> str:
        if not isinstance(value, list | tuple):
            return _short(value)
        return ", ".join(self.each.says(one) for one in value) or "none"


@dataclass(frozen=True)
class Answers(Kind):
    """Word to true, false or null for unknown."""

    wants: str = "an object of words to true, false or null"
    schema: Mapping[str, Any] = field(
        default_factory=lambda: {"type": "object", "additionalProperties": {"type": ["boolean", "null"]}}
    )

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, Mapping) or len(raw) > 60:
            return self.wrong(at, found)
        good = True
        for name, value in raw.items():
            if not re.fullmatch(r"[a-z0-9_-]{1,40}", str(name)) or not (
                value is None or isinstance(value, bool)
            ):
                self.wrong(f"{at}/{escaped(str(name))}", found)
                good = False
        return dict(raw) if good else MISSING

    def says(self, value: Any) -> str:
        if not isinstance(value, Mapping):
            return _short(value)
        said = {True: "yes", False: "no", None: "unknown"}
        return (
            ", ".join(
                f"{str(name).replace('_', ' ')}: {said.get(answer, '?') if answer is None or isinstance(answer, bool) else '?'}"
                for name, answer in sorted(value.items())
            )
            or "none"
        )


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a body.

    needed    It must be there; nullable: null means what *empty* says.
    """

    name: str
    kind: Kind
    label: str
    needed: bool = False
    nullable: bool = False
    empty: str = marked("none")
    help: str = ""

    def says(self, value: Any, say: Callable[[str], str] = str) -> str:
        """say: what to make of words that are ours; what somebody wrote stays as it is."""
        if value is None or value == "":
            return say(self.empty)
        if isinstance(value, bool):
            return say(marked("Yes") if value else marked("No")).lower()
        said = self.kind.says(value)
        return say(said) if isinstance(self.kind, Choice) else said


@dataclass(frozen=True)
class Members(Kind):
    """An object with known members; a member that nobody reads is an error, not a quiet loss."""

    fields: tuple[Field, ...]
    wants: str = "a JSON object"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {
            "type": "object",
            "additionalProperties": False,
            "required": [f.name for f in self.fields if f.needed],
            "properties": {
                f.name: {"oneOf": [dict(f.kind.schema), {"type": "null"}]}
                if f.nullable
                else dict(f.kind.schema)
                for f in self.fields
            },
        }

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        """What could be read; members that are wrong are reported and left out."""
        if not isinstance(raw, Mapping):
            return self.wrong(at, found)
        known = {f.name: f for f in self.fields}
        found.extend(
            Found(f"{at}/{escaped(str(name))}", "unknown_field", "This member is not known here.")
            for name in list(raw)[:MOST_LISTED]
            if name not in known
        )
        read: dict[str, Any] = {}
        for name, one in known.items():
            where = f"{at}/{name}"
            if name not in raw:
                if one.needed:
                    found.append(Found(where, "required", f"Say {one.label.lower()}."))
            elif raw[name] is None:
                if one.nullable:
                    read[name] = None
                else:
                    found.append(Found(where, "not_null", f"{one.label} cannot be null."))
            else:
                value = one.kind.read(raw[name], where, found)
                if value is not MISSING:
                    read[name] = value
        return read


@dataclass(frozen=True)
class Rows(Kind):
    """A list of objects."""

    each: Members
    least: int = 0
    most: int = 200

    @property
    def wants(self) -> str:  # type: ignore[override]
        return f"a list of {self.least} to {self.most} objects"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {
            "type": "array",
            "items": dict(self.each.schema),
            "minItems": self.least,
            "maxItems": self.most,
        }

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        if not isinstance(raw, list | tuple) or not self.least <= len(raw) <= self.most:
            return self.wrong(at, found)
        read = [self.each.read(value, f"{at}/{place}", found) for place, value in enumerate(raw)]
        return MISSING if any(value is MISSING for value in read) else read


@dataclass(frozen=True)
class SlugOrNew(Kind):
    """A slug of something that is there, or an object that describes a new one."""

    slug: Kind
    new: Members
    wants: str = "a slug, or an object for a new one"

    @property
    def schema(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"oneOf": [dict(self.slug.schema), dict(self.new.schema)]}

    def read(self, raw: Any, at: str, found: list[Found]) -> Any:
        """Always a dict with a slug."""
        if isinstance(raw, Mapping):
            return self.new.read(raw, at, found)
        slug = self.slug.read(raw, at, found)
        return slug if slug is MISSING else {"slug": slug}

    def says(self, value: Any) -> str:
        return _short(value.get("name") or value.get("slug")) if isinstance(value, Mapping) else _short(value)


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = value
    elif isinstance(value, int | Decimal | date):
        text = str(value)
    else:
        text = json.dumps(value, default=str)
    return text if len(text) <= 300 else f"{text[:299]}\N{HORIZONTAL ELLIPSIS}"


# --- the fields


SLUG: Final = Pattern(
    r"[a-z0-9]+(?:[-_][a-z0-9]+)*", "small letters, digits and single hyphens, at most 80 characters"
)
KNOWN: Final = Text(200)  # a slug of something that must be there: it is looked up, not judged
MARKET: Final = Pattern(r"world|[A-Z]{2}", "world, or two capital letters of a country", 10)
CURRENCY: Final = Pattern(r"[A-Z]{3}", "three capital letters, such as USD", 3)
COUNTRIES: Final = Several(Pattern(r"[A-Z]{2}", "two capital letters, such as DE", 2))
WORDS: Final = Several(Pattern(r"[a-z0-9][a-z0-9_+.-]*", "a word in small letters", 20), 60)
REGIONS: Final = Several(Pattern(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", "the name of a region", 40))
CUTOFF: Final = Pattern(
    r"([0-9]{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12][0-9]|3[01]))?)?)?", "2025, 2025-03 or 2025-03-31", 10
)
TIER: Final = Choice(tuple((t, t.capitalize()) for t in ("standard", "batch", "priority", "flex")))
EVERYWHERE: Final = "every country"
UNKNOWN: Final = "unknown"


def _choices(choices: Sequence[tuple[Any, Any]]) -> Choice:
    return Choice(tuple((str(value), str(label)) for value, label in choices))


PRICE_ROW: Final = Members(
    (
        Field(
            "meter",
            Pattern(r"[a-z0-9]+(?:[-_][a-z0-9]+)*", "a word such as input-tokens", 40),
            marked("Meter"),
            True,
        ),
        Field("per", Whole(1), marked("Per"), True, help=marked("How many units the amount buys.")),
        Field("unit", Text(20), marked("Unit"), True),
        Field(
            "tier_from",
            Whole(0, 2**53),
            marked("Tier from"),
            help=marked("First unit of the month to which it applies."),
        ),
        Field(
            "above_context",
            Whole(0),
            marked("Above context"),
            help=marked("Applies to the whole of a request with more input tokens than this."),
        ),
        Field(
            "amount",
            Amount(),
            marked("Amount"),
            True,
            nullable=True,
            empty=UNKNOWN,
            help=marked("Null is unknown, 0 is free."),
        ),
    )
)
SPAN: Final = (
    Field("start", Day(), marked("First day"), True),
    Field(
        "end",
        Day(),
        marked("First day on which it no longer holds"),
        nullable=True,
        empty=marked("further notice"),
    ),
)
PRICE_ROWS: Final = Field("rows", Rows(PRICE_ROW, 1, 100), marked("Price rows"), True)
SOURCE: Final = Field(
    "source", Text(200), marked("Source"), True, help=marked("Where the figures come from, and of when.")
)
PRICE: Final = (
    Field("market", MARKET, marked("Market")),
    Field("currency", CURRENCY, marked("Currency"), True),
    *SPAN,
    SOURCE,
    PRICE_ROWS,
)
PLAN: Final = (
    Field("name", Text(120), marked("Plan"), True),
    Field("deployment", Text(30, blank=True), marked("Deployment")),
    Field("processing_tier", TIER, marked("Processing tier")),
    Field("zone", Pattern(r"[a-z0-9-]*", "such as global, eu or us", 10), marked("Zone")),
    Field("regions", REGIONS, marked("Regions"), nullable=True, empty=UNKNOWN),
    Field("pricing_form", _choices(PricingForm.choices), marked("Pricing form"), True),
    Field("is_public", Flag(), marked("Public")),
)
PLAN_SLUG: Final = Pattern(
    SLUG.pattern, "small letters, digits and single hyphens, at most 60 characters", 60
)
WHOLE_PLAN: Final = Members(
    (
        Field("slug", PLAN_SLUG, marked("Plan's slug"), True),
        *PLAN,
        Field("prices", Rows(Members(PRICE), 0, 200), marked("Prices")),
    )
)
VERSION_FACTS: Final = (
    Field("context_window", Whole(1), marked("Context window"), nullable=True, empty=UNKNOWN),
    Field("max_output", Whole(1), marked("Most output tokens"), nullable=True, empty=UNKNOWN),
    Field("modalities_in", WORDS, marked("Reads"), nullable=True, empty=UNKNOWN),
    Field("modalities_out", WORDS, marked("Writes"), nullable=True, empty=UNKNOWN),
    Field("capabilities", Answers(), marked("Capabilities")),
    Field("languages", WORDS, marked("Languages"), nullable=True, empty=UNKNOWN),
    Field("knowledge_cutoff", CUTOFF, marked("Knowledge cut-off"), nullable=True, empty=UNKNOWN),
    Field("released_on", Day(), marked("Released"), nullable=True, empty=UNKNOWN),
)
MODEL_FACTS: Final = (
    Field("name", Text(120), marked("Model"), True),
    Field("family", replace(SLUG, most=60), marked("Family"), True),
    Field("open_weights", Flag(), marked("Open weights"), nullable=True, empty=UNKNOWN),
)


def optional(fields: tuple[Field, ...], *but: str) -> tuple[Field, ...]:
    """The same fields where absent means unchanged, without those named."""
    return tuple(replace(f, needed=False) for f in fields if f.name not in but)


MODEL: Final = Members(
    (
        Field("slug", SLUG, marked("Model's slug"), True),
        Field("version", Text(80), marked("Version"), True),
        *optional(MODEL_FACTS),
        *VERSION_FACTS,
    )
)
PUBLISHER: Final = SlugOrNew(
    KNOWN,
    Members(
        (
            Field("slug", replace(SLUG, most=60), marked("Publisher's slug"), True),
            Field("name", Text(120), marked("Publisher's name"), True),
            Field("origin", _choices(Origin.choices), marked("Origin"), True),
        )
    ),
)
STAGES: Final = (
    Field("preview_on", Day(), marked("In preview from"), nullable=True),
    Field("available_on", Day(), marked("Generally available from"), nullable=True),
    Field("legacy_on", Day(), marked("Legacy from"), nullable=True),
    Field("deprecated_on", Day(), marked("No new deals from"), nullable=True),
    Field("retires_on", Day(), marked("Retires on"), nullable=True),
)
OFFERING_FACTS: Final = (
    Field("name", Text(120), marked("Name"), True),
    Field("family", replace(SLUG, most=60), marked("Family")),
    Field("summary", Text(400, blank=True), marked("Summary")),
    Field("commercial_path", _choices(CommercialPath.choices), marked("Commercial path"), True),
    Field("path_basis", Text(200, blank=True), marked("Basis of the path")),
    Field("path_assumed", Flag(), marked("Path assumed")),
    Field("billing_countries", COUNTRIES, marked("Billing countries"), nullable=True, empty=EVERYWHERE),
    *STAGES,
    Field("replacement", KNOWN, marked("Replacement"), nullable=True),
    Field("task_areas", Several(KNOWN, 60), marked("Task areas")),
)
ALIAS: Final = (
    Field(
        "used_by",
        Pattern(r"[a-z0-9_-]*", "the slug of a source, or nothing", 40),
        marked("Used by"),
        empty=marked("people"),
    ),
    Field("name", Text(200), marked("Name"), True),
    Field("start", Day(), marked("First day"), True),
)
OFFERING: Final = Field("offering", KNOWN, marked("Offering"), True)
OFFERING_SLUG: Final = Field("slug", KNOWN, marked("Offering"), True)
OF_PLAN: Final = Field("plan", KNOWN, marked("Plan"), True)
SCORE: Final = Amount(4, 10, negative=True)

SHAPES: Final[Mapping[str, Members]] = {
    Operation.OFFERING_CREATE: Members(
        (
            Field(
                "slug",
                SLUG,
                marked("Offering's slug"),
                True,
                help=marked("The SKU. Never used again for anything else."),
            ),
            Field("kind", _choices(OfferingKind.choices), marked("Kind"), True),
            Field("publisher", PUBLISHER, marked("Publisher")),
            *OFFERING_FACTS,
            Field("model", MODEL, marked("Model"), nullable=True),
            Field("plans", Rows(WHOLE_PLAN, 0, 60), marked("Plans")),
            Field("aliases", Rows(Members(ALIAS), 0, 60), marked("Aliases")),
        )
    ),
    Operation.OFFERING_UPDATE: Members((OFFERING_SLUG, *optional(OFFERING_FACTS))),
    Operation.OFFERING_PUBLISH: Members(
        (
            OFFERING_SLUG,
            Field("on", Day(), marked("On sale from"), nullable=True, empty=marked("the day it is applied")),
        )
    ),
    Operation.OFFERING_STOP: Members((OFFERING_SLUG, Field("reason", Text(300), marked("Reason"), True))),
    Operation.OFFERING_RETIRE: Members(
        (
            OFFERING_SLUG,
            Field("retires_on", Day(), marked("Retires on"), True),
            Field("replacement", KNOWN, marked("Replacement"), nullable=True),
        )
    ),
    Operation.PLAN_CREATE: Members((OFFERING, *WHOLE_PLAN.fields)),
    Operation.PLAN_UPDATE: Members(
        (
            OFFERING,
            OF_PLAN,
            *optional(PLAN),
            Field("withdrawn_on", Day(), marked("No new orders from"), nullable=True),
        )
    ),
    Operation.PRICE_ADD: Members(
        (
            OFFERING,
            OF_PLAN,
            *PRICE,
            Field(
                "ends_previous",
                Flag(),
                marked("Ends the price before it"),
                help=marked("On its own first day; that one is open, or ends on the same day."),
            ),
        )
    ),
    Operation.PRICE_CORRECT: Members(
        (
            OFFERING,
            Field("price_version", Whole(1, 2**63 - 1), marked("Price version"), True),
            SOURCE,
            PRICE_ROWS,
        )
    ),
    Operation.MODEL_UPDATE: Members(
        (
            Field("model", KNOWN, marked("Model's slug"), True),
            Field("version", KNOWN, marked("Version"), True),
            *optional(MODEL_FACTS),
            *VERSION_FACTS,
        )
    ),
    Operation.ALIAS_ADD: Members(
        (
            *ALIAS,
            SPAN[1],
            Field("offering", KNOWN, marked("Offering"), nullable=True),
            Field("plan", KNOWN, marked("Plan"), nullable=True),
            Field("model", KNOWN, marked("Model"), nullable=True),
            Field("version", KNOWN, marked("Version"), nullable=True),
        )
    ),
    Operation.EVALUATION_ADD: Members(
        (
            Field("task_area", KNOWN, marked("Task area"), True),
            Field("model", KNOWN, marked("Model"), nullable=True, empty=marked("not in the catalog")),
            Field("version", KNOWN, marked("Version"), nullable=True),
            Field("subject", Text(120), marked("Subject"), True),
            Field("benchmark", Text(80), marked("Benchmark"), True),
            Field("benchmark_version", Text(40, blank=True), marked("Benchmark's version")),
            Field("metric", Text(60, blank=True), marked("Metric")),
            Field("higher_is_better", Flag(), marked("Higher is better")),
            Field("harness", Text(80, blank=True), marked("Harness")),
            Field("variant", Text(80, blank=True), marked("Variant")),
            Field("sample_size", Whole(1), marked("Sample size"), nullable=True, empty=UNKNOWN),
            Field("score", SCORE, marked("Score"), nullable=True, empty=marked("no figure")),
            Field("interval_low", SCORE, marked("Interval from"), nullable=True, empty=UNKNOWN),
            Field("interval_high", SCORE, marked("Interval to"), nullable=True, empty=UNKNOWN),
            Field("finding", Text(300, blank=True), marked("Finding")),
            Field("cost_usd", Amount(4, 8), marked("Cost in USD"), nullable=True, empty=UNKNOWN),
            Field("latency_s", Amount(2, 8), marked("Latency in seconds"), nullable=True, empty=UNKNOWN),
            Field("dated", Day(), marked("Dated"), nullable=True, empty=UNKNOWN),
            Field("evaluator", Text(120, blank=True), marked("Evaluator")),
            SOURCE,
            Field("licence", Text(60, blank=True), marked("Licence")),
            Field("synthetic", Flag(), marked("Synthetic")),
        )
    ),
}

# What an existing offering or plan may be said to be anew, by name.
FACTS: Final[Mapping[str, str]] = {
    one.name: one.label
    for operation in (Operation.PLAN_UPDATE, Operation.OFFERING_UPDATE)
    for one in SHAPES[operation].fields
}
NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    Operation.OFFERING_CREATE: ("slug",),
    Operation.OFFERING_UPDATE: ("slug",),
    Operation.OFFERING_PUBLISH: ("slug",),
    Operation.OFFERING_STOP: ("slug",),
    Operation.OFFERING_RETIRE: ("slug",),
    Operation.PLAN_CREATE: ("offering",),
    Operation.PLAN_UPDATE: ("offering",),
    Operation.PRICE_ADD: ("offering",),
    Operation.PRICE_CORRECT: ("offering",),
    Operation.MODEL_UPDATE: ("model",),
    Operation.ALIAS_ADD: ("offering", "model"),
    Operation.EVALUATION_ADD: ("model",),
}
LONGEST_ENTITY: Final = 120


def entity_of(operation: str, body: Mapping[str, Any]) -> str:
    """What an item is about: offering:SLUG or model:SLUG; nothing where the body does not say."""
    for name in NAMED_BY.get(operation, ()):
        slug = body.get(name)
        if isinstance(slug, str) and slug.strip():
            kind = "model" if name == "model" else "offering"
            return f"{kind}:{slug.strip()}"[:LONGEST_ENTITY]
    return ""


class CannotBeKept(Exception):
    """A value that no database keeps as JSON: the message says which."""


def plain(value: Any, depth: int = 0) -> Any:
    """The same as JSON that can be kept: days and decimals become texts. Raises CannotBeKept."""
    if depth > 12:
        raise CannotBeKept("It is nested too deeply.")
    match value:
        case None | bool():
            return value
        case int():
            if abs(value) >= 10**40:
                raise CannotBeKept("A number has more than 40 digits.")
            return value
        case str():
            if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
                raise CannotBeKept("A text has characters that cannot be kept.")
            return value
        case _ if isinstance(value, float):
            raise CannotBeKept('A number with a point is written as a decimal string, such as "3.00".')
        case Decimal():
            if not value.is_finite() or abs(value.adjusted()) > 40:
                raise CannotBeKept("A number is too large or no number.")
            return f"{value:f}"
        case date():
            return value.isoformat()
        case Mapping():
            return {plain(str(name), depth): plain(inner, depth + 1) for name, inner in value.items()}
        case list() | tuple():
            return [plain(inner, depth + 1) for inner in value]
    raise CannotBeKept(f"{type(value).__name__} is not JSON.")
