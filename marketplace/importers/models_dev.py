"""models.dev (MIT), in both shapes that it publishes; which one a file has is seen from the file.

providers   provider id → {name, models: {model id: facts and cost in USD per million}}: a row is one model of one provider.
models      maker/model → facts and benchmarks: a row is one model, sold by nobody in particular.

Cost: an absent figure is unknown. Zero is free only where the name says so; else it is what the source writes for a model
whose use is limited or paid otherwise, and says nothing about a price.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from marketplace.importers.files import Twice, few_enough, json_of, kept, mapping_of, pairs_of, storable_text
from marketplace.importers.rows import (
    LEFT_OUT,
    MILLION,
    EvaluationFacts,
    ListingFacts,
    ModelFacts,
    PlanFacts,
    PriceLine,
    PriceSpan,
    Row,
    Unreadable,
    WrongRow,
    day,
    exact,
    family_of,
    fitting,
    price,
    shown,
    slug,
    whole,
)

LABEL: Final = "models.dev"
METERS: Final = {
    "input": "input-tokens",
    "output": "output-tokens",
    "cache_read": "cached-input-tokens",
    "cache_write": "cache-write-tokens",
    "input_audio": "input-audio-tokens",
    "output_audio": "output-audio-tokens",
    "reasoning": "output-reasoning-tokens",
}
CAPABILITIES: Final = ("reasoning", "tool_call", "structured_output", "attachment", "temperature")
READ: Final = frozenset(
    {
        *("id", "name", "family", "cost", "limit", "modalities", "knowledge", "release_date", "open_weights"),
        *("benchmarks", "status", "last_updated"),
        *CAPABILITIES,
    }
)
MODALITIES: Final = frozenset({"text", "image", "pdf", "audio", "video", "embeddings"})


def rows(content: bytes) -> Iterator[Row]:
    """One row for each model of each provider, or for each model. Raises Unreadable."""
    found = json_of(content)
    if not isinstance(found, Mapping):
        raise Unreadable("not_this_file", "The file is a list; models.dev publishes one JSON object.")
    pairs = pairs_of(found)
    objects = [value for _, value in pairs if isinstance(value, Mapping)]
    if any(isinstance(value.get("models"), Mapping) for value in objects):
        yield from _of_providers(pairs)
    elif not pairs or any("name" in value and "limit" in value for value in objects):
        few_enough(len(pairs))
        twice = Twice(pairs)
        for number, (key, value) in enumerate(pairs, start=1):
            yield _model(number, key, value, twice)
    else:
        raise Unreadable(
            "not_this_file", "No entry has models or limits: this is neither file of models.dev."
        )


def _of_providers(pairs: list[tuple[str, Any]]) -> Iterator[Row]:
    number = 0
    providers = Twice(pairs)
    for key, value in pairs:
        provider = storable_text(key)
        models = value.get("models") if isinstance(value, Mapping) else None
        try:
            providers.check(key, value)
            if not isinstance(models, Mapping):
                raise WrongRow("not_an_object", "The provider has no models.")
        except WrongRow as why:
            number += 1
            yield Row.wrong(number, provider, provider, kept(value), why)
            continue
        its = pairs_of(models)
        few_enough(number + len(its))
        twice = Twice(its)
        name = value.get("name")
        for model_key, model in its:
            number += 1
            yield _listing(
                number, model_key, model, provider, name if isinstance(name, str) else provider, twice
            )


def _listing(number: int, key: str, value: Any, provider: str, provider_name: str, twice: Twice) -> Row:
    original, key_text = kept(value), storable_text(key)
    notes: list[str] = []
    try:
        twice.check(key, value)
        entry = mapping_of(value)
        facts = ListingFacts(
            name=_text(entry.get("name"), key_text, 120),
            provider_name=storable_text(provider_name)[:120],
            plans=(_plan(key, entry, notes),),
            family=_family(entry, key),
            open_weights=_flag(entry.get("open_weights")),
            facts=_facts(entry, notes),
        )
    except WrongRow as why:
        return Row.wrong(number, key_text, provider, original, why)
    if entry.get("status") == "deprecated":
        notes.append("The source calls it deprecated and gives no day.")
    return Row(number, key_text, provider, original, facts, notes=tuple(notes), ignored=_ignored(entry))


def _model(number: int, key: str, value: Any, twice: Twice) -> Row:
    original, key_text = kept(value), storable_text(key)
    maker = key_text.partition("/")[0] if "/" in key_text else ""
    notes: list[str] = []
    try:
        twice.check(key, value)
        entry = mapping_of(value)
        facts = ModelFacts(
            name=_text(entry.get("name"), key_text, 120),
            maker=maker,
            facts=_facts(entry, notes),
            family=_family(entry, key),
            open_weights=_flag(entry.get("open_weights")),
            evaluations=tuple(_benchmarks(entry, key_text, notes)),
        )
    except WrongRow as why:
        return Row.wrong(number, key_text, maker, original, why)
    return Row(number, key_text, maker, original, facts, notes=tuple(notes), ignored=_ignored(entry))


def _plan(key: str, entry: Mapping[str, Any], notes: list[str]) -> PlanFacts:
    """Raises WrongRow where there is no price, or one that cannot be."""
    if entry.get("cost") is None:
        raise WrongRow("no_price", "The source gives no price for it.", LEFT_OUT)
    cost = mapping_of(entry["cost"], "cost")
    lines = _lines(cost, "cost", 0, notes)
    tiers = cost.get("tiers", [])
    for place, tier in enumerate(tiers if isinstance(tiers, list) else []):
        where = f"cost/tiers/{place}"
        one = mapping_of(tier, where)
        size = whole(mapping_of(one.get("tier"), where).get("size"), f"{where}/size")
        if size is None:
            raise WrongRow("tier_without_size", f"{where}: it does not say above which context it holds.")
        lines += _lines(one, where, size, notes)
    if isinstance(over := cost.get("context_over_200k"), Mapping) and not tiers:
        lines += _lines(mapping_of(over), "cost/context_over_200k", 200_000, notes)
    if len({(line.meter, line.above_context) for line in lines}) < len(lines):
        raise WrongRow("two_prices", "cost: two tiers give a price for the same.")
    if not lines:
        raise WrongRow("no_price", "The source gives no price for it.", LEFT_OUT)
    if all(line.amount == 0 for line in lines):
        if not key.lower().endswith((":free", "-free")):
            raise WrongRow(
                "zero_not_said_free",
                "Every price is 0 and nothing says that it is free: its use is limited or paid otherwise.",
                LEFT_OUT,
            )
        return PlanFacts("free", "Free", "free", (PriceSpan(None, None, tuple(lines)),))
    outputs = (
        entry.get("modalities", {}).get("output") if isinstance(entry.get("modalities"), Mapping) else None
    )
    text_out = outputs is None or "text" in (outputs if isinstance(outputs, list) else [])
    kept_lines = []
    for line in lines:
        if line.amount != 0:
            kept_lines.append(line)
        elif line.meter != "output-tokens" or (text_out and "embed" not in key.lower()):
            kept_lines.append(PriceLine(line.meter, line.per, line.unit, None, line.above_context))
            notes.append(f"{line.meter}: the source writes 0 beside other prices; taken as unknown.")
    return PlanFacts("standard", "Pay as you go", "tokens", (PriceSpan(None, None, tuple(kept_lines)),))


def _lines(cost: Mapping[str, Any], where: str, above: int, notes: list[str]) -> list[PriceLine]:
    return [
        PriceLine(
            meter, MILLION, "token", price(cost[name], f"{where}/{name}", unit="token", notes=notes), above
        )
        for name, meter in METERS.items()
        if name in cost
    ]


def _facts(entry: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    limit = mapping_of(entry.get("limit") or {}, "limit")
    for ours, theirs in (("context_window", "context"), ("max_output", "output")):
        if found := whole(limit.get(theirs), f"limit/{theirs}"):
            facts[ours] = found
    modalities = entry.get("modalities")
    if isinstance(modalities, Mapping):
        for ours, theirs in (("modalities_in", "input"), ("modalities_out", "output")):
            words = modalities.get(theirs)
            known = (
                [w for w in words if isinstance(w, str) and w in MODALITIES]
                if isinstance(words, list)
                else []
            )
            if known:
                facts[ours] = list(dict.fromkeys(known))
    if capabilities := {name: entry[name] for name in CAPABILITIES if isinstance(entry.get(name), bool)}:
        facts["capabilities"] = capabilities
    if isinstance(knowledge := entry.get("knowledge"), str) and knowledge:
        facts["knowledge_cutoff"] = _month(knowledge, notes)
    if released := _released(entry.get("release_date"), notes):
        facts["released_on"] = released
    return facts


def _month(written: str, notes: list[str]) -> str:
    """As precise as it can be: 2025, 2025-03 or 2025-03-31; of a day that does not exist, its month."""
    parts = written.split("-")
    if len(parts) == 3:
        try:
            day(written, "knowledge")
        except WrongRow:
            notes.append(f"knowledge: {shown(written)} is not a day that exists; its month was taken.")
            parts = parts[:2]
    text = "-".join(parts)
    good = [p.isdigit() for p in parts] and len(parts[0]) == 4 and text.replace("-", "").isdigit()
    if not good or len(text) > 10 or (len(parts) > 1 and not 1 <= int(parts[1]) <= 12):
        raise WrongRow("no_such_day", f"knowledge: {shown(written)} is not a day or month.")
    return text


def _released(written: object, notes: list[str]) -> Any:
    """A whole day; a month alone is not one and stays unknown."""
    if isinstance(written, str) and written.count("-") < 2:
        if written:
            notes.append(f"release_date: {shown(written)} is no day; it stays unknown.")
        return None
    return day(written, "release_date")


def _benchmarks(entry: Mapping[str, Any], subject: str, notes: list[str]) -> Iterator[EvaluationFacts]:
    found = entry.get("benchmarks")
    for place, raw in enumerate(found if isinstance(found, list) else []):
        one = mapping_of(raw, f"benchmarks/{place}")
        name = _text(one.get("name"), "", 80)
        if not name:
            notes.append(f"benchmarks/{place} has no name; it was left out.")
            continue
        if one.get("score") is None:
            notes.append(f"{name}: no score; it was left out.")
            continue
        yield EvaluationFacts(
            subject=subject,
            task_area="",
            facts={
                "benchmark": name,
                "benchmark_version": _text(one.get("version"), "", 40),
                "metric": _text(one.get("metric"), "", 60),
                "harness": _text(one.get("harness"), "", 80),
                "variant": _text(one.get("variant"), "", 80),
                "score": exact(one["score"], f"benchmarks/{place}/score"),
                "dated": day(one.get("date"), f"benchmarks/{place}/date"),
                "source": _text(one.get("source"), LABEL, 200),
                "licence": "MIT (compilation)",
            },
        )


def _family(entry: Mapping[str, Any], key: str) -> str:
    said = entry.get("family")
    return (fitting(slug(said), 60) if isinstance(said, str) else "") or family_of(key)


def _text(value: object, otherwise: str, most: int) -> str:
    return (storable_text(value).strip() if isinstance(value, str) else "")[:most] or otherwise[:most]


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _ignored(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(storable_text(name)[:60] for name in entry if name not in READ)
