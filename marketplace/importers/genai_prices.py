"""The genai-prices package (MIT): every model of every provider, with dated prices, context tiers and request variants.

A row is one model of one provider. Prices by start date become spans of days; a tier becomes a line above a context size;
batch, priority, flex and other variants become plans of their own, whose prices are the standard ones where the variant
says nothing else, as the package computes them. A price for hours of the day becomes a plan that names its hours (UTC),
beside the standard plan for the rest of the day. A model without any price is free only where its name says so.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

import genai_prices as package
from genai_prices import types as their
from genai_prices.units import UnitDef, _get_registry

from marketplace.importers.rows import (
    LEFT_OUT,
    ListingFacts,
    PlanFacts,
    PriceLine,
    PriceSpan,
    Row,
    WrongRow,
    family_of,
    fitting,
    plain,
    price,
    slug,
    whole,
)

LABEL: Final = f"genai-prices {package.__version__}"

# Their unit of use to our meter, where the catalog has a name of its own; the others keep theirs.
METERS: Final = {
    "cache_read_tokens": "cached-input-tokens",
    "cache_write_tokens": "cache-write-tokens",
    "cache_write_1h_tokens": "cache-write-1h-tokens",
}
UNITS: Final = {
    "tokens": "token",
    "characters": "character",
    "messages": "message",
    "durations": "second",
    "pixels": "pixel",
    "document_pages": "page",
    "rerank": "search",
    "tool_calls": "call",
    "requests": "request",
}
# (key, value) of a variant's condition: slug, name, processing tier, deployment, zone.
VARIANTS: Final = {
    ("processing", "batch"): ("batch", "Batch", "batch", "", ""),
    ("service_tier", "priority"): ("priority", "Priority processing", "priority", "", ""),
    ("service_tier", "flex"): ("flex", "Flex processing", "flex", "", ""),
    ("service_tier", "fast"): ("fast", "Fast processing", "priority", "fast", ""),
    ("speed", "fast"): ("fast-mode", "Fast mode", "priority", "fast-mode", ""),
}
ZONES: Final = {"eu": "eu", "us": "us", "global": "global"}

_Prices = tuple[tuple[str, Decimal | their.TieredPrices], ...]


def rows(providers: Iterable[their.Provider] | None = None) -> Iterator[Row]:
    """One row for each model of *providers* (else of all that the package knows), in the package's order."""
    if providers is None:
        from genai_prices.data import providers as all_of_them  # 1.5 MB of literals: only when they are read

        providers = all_of_them
    number = 0
    for provider in providers:
        for model in provider.models:
            number += 1
            yield _row(number, provider, model)


def _row(number: int, provider: their.Provider, model: their.ModelInfo) -> Row:
    original = _plain(model)
    notes: list[str] = []
    try:
        plans = _plans(model, notes)
        facts: dict[str, Any] = {}
        if context := whole(model.context_window, "context_window"):
            facts["context_window"] = context
    except WrongRow as why:
        return Row.wrong(number, model.id, provider.id, original, why)
    if model.deprecated:
        notes.append("The source calls it deprecated and gives no day.")
    return Row(
        number,
        model.id,
        provider.id,
        original,
        ListingFacts(
            name=(model.name or model.id)[:120],
            provider_name=provider.name,
            plans=plans,
            family=family_of(model.id),
            facts=facts,
        ),
        notes=tuple(dict.fromkeys(notes)),
    )


def _plans(model: their.ModelInfo, notes: list[str]) -> tuple[PlanFacts, ...]:
    """Raises WrongRow where there is no price to take."""
    conditions = (
        model.prices
        if isinstance(model.prices, list)
        else [their.ConditionalPrice(constraint=None, prices=model.prices)]
    )
    by_day = [c for c in conditions if not isinstance(c.constraint, their.TimeOfDateConstraint)]
    by_hour = [c for c in conditions if isinstance(c.constraint, their.TimeOfDateConstraint)]
    standard = _standard(by_day or conditions[:1])
    if not any(prices for _, _, prices in standard):
        if not (model.id.endswith(":free") or "(free)" in (model.name or "").lower()):
            raise WrongRow("no_price", "The source gives no price for it.", LEFT_OUT)
        notes.append("The source lists it as free.")
        free = tuple(PriceLine(m, 1_000_000, "token", Decimal(0)) for m in ("input-tokens", "output-tokens"))
        return (PlanFacts("free", "Free", "free", (PriceSpan(None, None, free),)),)
    plans = [_plan("standard", "Pay as you go", standard, notes)]
    for hours, prices in _by_hours(by_hour):
        name = ", ".join(f"{a:%H:%M}–{b:%H:%M}" for a, b in hours) + " UTC"
        marks = "-".join(f"{a:%H%M}-{b:%H%M}" for a, b in hours)
        plan = _plan(
            fitting(f"hours-{marks}", 60), f"Pay as you go, {name}"[:120], [(None, None, prices)], notes
        )
        plans.append(dataclasses.replace(plan, deployment=name[:30]))
        notes.append(f"Other prices hold at {name}: a plan of its own.")
    for condition in dict.fromkeys(tuple(v.when.items()) for v in model.price_variants or ()):
        spans = _varied(standard, model.price_variants or [], condition)
        if spans is None:
            continue
        its_slug, name, tier, deployment, zone = _named(condition)
        plan = _plan(its_slug, name, spans, notes)
        plans.append(dataclasses.replace(plan, processing_tier=tier, deployment=deployment, zone=zone))
    return tuple(plans)


_Span = tuple[date | None, date | None, _Prices]


def _standard(conditions: Sequence[their.ConditionalPrice]) -> list[_Span]:
    """What holds on each day, outside special hours: of the conditions met, the last one counts; with none met, the first."""
    days = sorted(
        {c.constraint.start_date for c in conditions if isinstance(c.constraint, their.StartDateConstraint)}
    )
    spans: list[_Span] = []
    for start, end in zip([None, *days], [*days, None], strict=True):
        met = [c for c in conditions if _begun(c.constraint, start)]
        spans.append((start, end, _prices((met or conditions[:1])[-1].prices)))
    return spans


def _begun(
    constraint: their.StartDateConstraint | their.TimeOfDateConstraint | None, on: date | None
) -> bool:
    """on None: before every day that the source names."""
    if isinstance(constraint, their.StartDateConstraint):
        return on is not None and constraint.start_date <= on
    return True


def _varied(
    standard: Sequence[_Span],
    variants: Sequence[their.PriceVariant],
    condition: tuple[tuple[str, str], ...],
) -> list[_Span] | None:
    """The standard prices with the variant's in their place, on the days on which there is a variant. None: it changes nothing."""
    mine = [v for v in variants if tuple(v.when.items()) == condition]
    days = sorted(
        {start for start, _, _ in standard if start is not None}
        | {v.constraint.start_date for v in mine if isinstance(v.constraint, their.StartDateConstraint)}
    )
    spans: list[_Span] = []
    differs = False
    for start, end in zip([None, *days], [*days, None], strict=True):
        active = [v for v in mine if _begun(v.constraint, start)]
        if not active:
            continue
        base = dict(next(p for s, e, p in standard if _within(start, s, e)))
        over: dict[str, Decimal | their.TieredPrices] = {}
        for variant in active:  # first to last: an earlier one keeps its figure
            for key, value in _prices(variant.prices):
                over.setdefault(key, value)
        resolved = tuple((base | over).items())
        differs = differs or any(base.get(k) != v for k, v in over.items())
        if spans and spans[-1][1] == start and spans[-1][2] == resolved:
            spans[-1] = (spans[-1][0], end, resolved)
        else:
            spans.append((start, end, resolved))
    return spans if differs else None


def _within(on: date | None, start: date | None, end: date | None) -> bool:
    if on is None:
        return start is None
    return (start is None or start <= on) and (end is None or on < end)


def _by_hours(
    conditions: Sequence[their.ConditionalPrice],
) -> list[tuple[list[tuple[time, time]], _Prices]]:
    """Hours that share one price list are one plan."""
    grouped: list[tuple[list[tuple[time, time]], _Prices]] = []
    for one in conditions:
        if not isinstance(one.constraint, their.TimeOfDateConstraint):
            continue
        hours = (one.constraint.start_time, one.constraint.end_time)
        prices = _prices(one.prices)
        for present, same in grouped:
            if same == prices:
                present.append(hours)
                break
        else:
            grouped.append(([hours], prices))
    return grouped


def _named(condition: tuple[tuple[str, str], ...]) -> tuple[str, str, str, str, str]:
    if len(condition) == 1 and condition[0] in VARIANTS:
        return VARIANTS[condition[0]]
    words = " ".join(f"{key.replace('_', ' ')} {value}" for key, value in condition)
    zone = next((ZONES[w] for w in slug(words).split("-") if w in ZONES), "")
    return fitting(slug(words), 60), words.capitalize()[:120], "standard", fitting(slug(words), 30), zone


def _plan(its_slug: str, name: str, spans: Sequence[_Span], notes: list[str]) -> PlanFacts:
    prices = tuple(PriceSpan(start, end, _lines(p, notes)) for start, end, p in spans if p)
    tokens = any(line.unit == "token" for span in prices for line in span.lines)
    return PlanFacts(its_slug, name, "tokens" if tokens else "metered", prices)


def _prices(of: their.ModelPrice) -> _Prices:
    return tuple((k, v) for k, v in of.__dict__.items() if v is not None and not k.startswith("_"))


def _lines(prices: _Prices, notes: list[str]) -> tuple[PriceLine, ...]:
    """Raises WrongRow for a price that cannot be one."""
    lines: list[PriceLine] = []
    for key, value in prices:
        unit = _unit(key)
        word = UNITS.get(unit.dimensions["family"], unit.dimensions["family"])
        meter = METERS.get(unit.usage_key) or unit.usage_key.replace("_", "-")
        steps = (
            [(0, value.base), *((t.start, t.price) for t in value.tiers)]
            if isinstance(value, their.TieredPrices)
            else [(0, value)]
        )
        for above, amount in steps:
            lines.append(PriceLine(meter, unit.per, word, price(amount, key, unit=word, notes=notes), above))
    return tuple(lines)


def _unit(key: str) -> UnitDef:
    try:
        return _get_registry().unit_for_price_key(key)
    except KeyError as unknown:
        raise WrongRow("unknown_unit", f"{key}: a unit that the package does not define.") from unknown


def _plain(value: Any) -> Any:
    """JSON-ready, without what is empty and without the pattern that recognises the model's name."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, their.ModelPrice):
        return {key: _plain(price) for key, price in _prices(value)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            f.name: _plain(inner)
            for f in dataclasses.fields(value)
            if f.name != "match" and (inner := getattr(value, f.name)) is not None
        }
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
