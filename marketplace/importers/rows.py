"""What every reader of a foreign source yields: one row each, understood or with the reason why not. Plain Python, no database."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

REFUSED: Final = "refused"
LEFT_OUT: Final = "left_out"

MILLION: Final = 1_000_000
MOST_DECIMALS: Final = 10
# Nothing that is sold by the unit costs more; a figure above it is per million where per one was meant, or broken.
DEAREST: Final = {
    "token": Decimal(100_000),  # per million
    "": Decimal(1_000_000),
}
LONGEST_CONTEXT: Final = 100_000_000


class Unreadable(Exception):
    """The whole file is not what it claims. code is stable, the message says what to do; nothing of it was taken."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class WrongRow(Exception):
    """One row cannot be taken: code and message for the report."""

    def __init__(self, code: str, message: str, outcome: str = REFUSED) -> None:
        self.code, self.outcome = code, outcome
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class PriceLine:
    """amount: USD per *per* units of the meter; None is unknown, zero is free.

    above_context   Holds for the whole of a request with more input tokens than this.
    """

    meter: str
    per: int
    unit: str
    amount: Decimal | None
    above_context: int = 0
    tier_from: int = 0


@dataclass(frozen=True, slots=True)
class PriceSpan:
    """One price list over [start, end). start None: since before the source says; end None: until further notice."""

    start: date | None
    end: date | None
    lines: tuple[PriceLine, ...]


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """One way to buy it. prices: in order of days, not overlapping; a gap means that the source gives no price."""

    slug: str
    name: str
    pricing_form: str
    prices: tuple[PriceSpan, ...]
    processing_tier: str = "standard"
    deployment: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ListingFacts:
    """A model as one provider sells it.

    facts      Of the model version, by the catalog's field names; what is absent is unknown.
    available_on, deprecated_on, retires_on   Days of its lifecycle, where the source states them.
    """

    name: str
    provider_name: str
    plans: tuple[PlanFacts, ...]
    family: str = ""
    open_weights: bool | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    available_on: date | None = None
    deprecated_on: date | None = None
    retires_on: date | None = None


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """One benchmark result. facts: by the field names of an evaluation; task_area may be empty where the source has none."""

    subject: str
    task_area: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a source says of a model itself, without selling it. evaluations: its benchmark results, in the same row."""

    name: str
    maker: str
    facts: Mapping[str, Any]
    family: str = ""
    open_weights: bool | None = None
    evaluations: tuple[EvaluationFacts, ...] = ()


Facts = ListingFacts | ModelFacts | EvaluationFacts


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a source.

    number    Place in the source, from 1.
    key       As the source names it, within its provider.
    original  The row as it stands there, JSON-ready.
    facts     What it says; None when it is refused or left out, and then outcome, code and message say why.
    notes     What was decided while reading it, in sentences for the report.
    ignored   Fields that the importer has no use for.
    """

    number: int
    key: str
    provider: str
    original: Any
    facts: Facts | None = None
    outcome: str = ""
    code: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @classmethod
    def wrong(cls, number: int, key: str, provider: str, original: Any, why: WrongRow) -> "Row":
        return cls(number, key, provider, original, outcome=why.outcome, code=why.code, message=str(why))


# Numbers


def exact(written: object, where: str) -> Decimal:
    """The number as it is written, without binary rounding: 1.5e-05 is 0.000015.

    Raises WrongRow for what is no number, for NaN, Infinity and anything below zero.
    """
    if isinstance(written, bool) or not isinstance(written, int | float | str | Decimal):
        raise WrongRow("not_a_number", f"{where}: {shown(written)} is not a number.")
    try:
        number = Decimal(str(written).strip())
    except InvalidOperation as wrong:
        raise WrongRow("not_a_number", f"{where}: {shown(written)} is not a number.") from wrong
    if not number.is_finite():
        raise WrongRow("not_finite", f"{where}: {number} is not a finite number.")
    if number < 0:
        raise WrongRow("negative", f"{where}: {shown(written)} is below zero.")
    return number


def price(
    written: object, where: str, *, times: int = 1, unit: str = "", notes: list[str] | None = None
) -> Decimal:
    """A price for *times* units out of one for a single unit.

    A source that has reckoned in binary writes 0.18000000000000002: beyond the ten decimals that are kept it is rounded,
    by less than a hundred-millionth, and *notes* says so. Raises WrongRow where it is unknown, absurd or too fine to keep.
    """
    if written is None:
        raise WrongRow("price_unknown", f"{where} is null: the price is unknown, and unknown is not zero.")
    amount = exact(written, where)
    if amount.adjusted() > 12 or amount.adjusted() < -30:
        if amount:
            raise WrongRow("absurd", f"{where}: {shown(written)} cannot be a price.")
        amount = Decimal(0)
    amount = amount * times
    if amount > DEAREST.get(unit, DEAREST[""]):
        raise WrongRow("absurd", f"{where}: {plain(amount)} USD for {times:,} of a unit cannot be a price.")
    kept = amount.quantize(Decimal(1).scaleb(-MOST_DECIMALS))
    if abs(amount - kept) > amount.scaleb(-8):
        raise WrongRow("too_fine", f"{where}: {shown(written)} is finer than the catalog keeps prices.")
    if amount != kept and notes is not None:
        notes.append(f"{where}: {shown(written)} was rounded to {plain(kept)}.")
    return kept.normalize() + 0


def plain(number: Decimal) -> str:
    """Without exponent and without zeros at the end: 0.000015, 3, 12.5."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def whole(written: object, where: str, *, most: int = LONGEST_CONTEXT) -> int | None:
    """A count, such as of tokens; None for null. Zero is unknown too: nothing has a context of no tokens."""
    if written is None:
        return None
    number = exact(written, where)
    if number.adjusted() > 18 or number != int(number) or number > most:
        raise WrongRow("absurd", f"{where}: {shown(written)} is not a number of tokens.")
    return int(number) or None


def day(written: object, where: str) -> date | None:
    """An ISO day; None for nothing. Raises WrongRow for a day that does not exist, such as 2025-02-31."""
    if written is None or written == "":
        return None
    if isinstance(written, datetime):
        return written.date()
    if isinstance(written, date):
        return written
    try:
        found = date.fromisoformat(str(written).strip())
    except ValueError as wrong:
        raise WrongRow("no_such_day", f"{where}: {shown(written)} is not a day that exists.") from wrong
    if not 1990 <= found.year <= 2100:
        raise WrongRow("absurd", f"{where}: {found.isoformat()} cannot be meant.")
    return found


def shown(written: object) -> str:
    text = written if isinstance(written, str) else str(written)
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


# Names


def slug(text: str) -> str:
    """Lower-case letters and digits, single hyphens between."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def fitting(name: str, most: int) -> str:
    """*name* in at most so many characters: what is cut off is told apart by eight digits of its digest."""
    if len(name) <= most:
        return name
    return f"{name[: most - 9].rstrip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def named_by_digest(noun: str, name: str) -> str:
    """A slug for a name that has no letter of the alphabet of slugs: the noun and eight digits of its digest."""
    return f"{noun}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


_DAY_IN_NAME: Final = re.compile(r"(?<!\d)(20\d{2})-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d)")


def day_in(name: str) -> date | None:
    """The day that a name carries: claude-haiku-4-5-20251001, gpt-4o-2024-08-06."""
    for year, month, its_day in _DAY_IN_NAME.findall(name):
        try:
            return date(int(year), int(month), int(its_day))
        except ValueError:
            continue
    return None


def family_of(key: str) -> str:
    """Groups versions: the words of the name before its first number. claude-haiku-4-5 → claude-haiku; o1-mini → o1."""
    words = slug(re.split(r"[/:]", key)[-1] or key).split("-")
    kept: list[str] = []
    for word in words:
        if any(c.isdigit() for c in word):
            break
        kept.append(word)
    return fitting("-".join(kept) or words[0] or "other", 60)


def same_lines(one: Sequence[PriceLine], other: Sequence[PriceLine]) -> bool:
    return sorted(one, key=_line_key) == sorted(other, key=_line_key)


def _line_key(line: PriceLine) -> tuple[str, int, int]:
    return line.meter, line.tier_from, line.above_context
