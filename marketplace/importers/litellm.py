"""LiteLLM's price file (MIT): one JSON object, model name to prices per single token, limits and abilities.

What the file leaves open and how it is read here:
- Its zeros: it writes 0 both for "free" and for "nobody filled it in". Zero is free only where the name says free; beside
  another price a zero is unknown, or nothing at all for a model that puts out no text; a row of zeros is left out.
- deprecation_date is the day on which the provider switches the model off: our retires_on.
- A model that one runs on one's own machine is sold by nobody and left out.
- input_cost_per_token_above_200k_tokens is a price for the whole of a request with more input than that.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from marketplace.importers.files import Twice, few_enough, json_of, kept, mapping_of, pairs_of, storable_text
from marketplace.importers.rows import (
    LEFT_OUT,
    MILLION,
    ListingFacts,
    PlanFacts,
    PriceLine,
    PriceSpan,
    Row,
    Unreadable,
    WrongRow,
    day,
    family_of,
    price,
    whole,
)

LABEL: Final = "LiteLLM"

# Their field to (our meter, units the price is for, unit).
METERS: Final = {
    "input_cost_per_token": ("input-tokens", MILLION, "token"),
    "output_cost_per_token": ("output-tokens", MILLION, "token"),
    "cache_read_input_token_cost": ("cached-input-tokens", MILLION, "token"),
    "input_cost_per_token_cache_hit": ("cached-input-tokens", MILLION, "token"),
    "cache_creation_input_token_cost": ("cache-write-tokens", MILLION, "token"),
    "cache_creation_input_token_cost_above_1hr": ("cache-write-1h-tokens", MILLION, "token"),
    "input_cost_per_audio_token": ("input-audio-tokens", MILLION, "token"),
    "output_cost_per_audio_token": ("output-audio-tokens", MILLION, "token"),
    "cache_read_input_audio_token_cost": ("cache-audio-read-tokens", MILLION, "token"),
    "cache_creation_input_audio_token_cost": ("cache-audio-write-tokens", MILLION, "token"),
    "input_cost_per_image_token": ("input-image-tokens", MILLION, "token"),
    "output_cost_per_image_token": ("output-image-tokens", MILLION, "token"),
    "cache_read_input_image_token_cost": ("cache-image-read-tokens", MILLION, "token"),
    "input_cost_per_video_token": ("input-video-tokens", MILLION, "token"),
    "output_cost_per_video_token": ("output-video-tokens", MILLION, "token"),
    "output_cost_per_reasoning_token": ("output-reasoning-tokens", MILLION, "token"),
    "input_cost_per_character": ("input-characters", MILLION, "character"),
    "output_cost_per_character": ("output-characters", MILLION, "character"),
    "input_cost_per_pixel": ("input-pixels", MILLION, "pixel"),
    "output_cost_per_pixel": ("output-pixels", MILLION, "pixel"),
    "input_cost_per_image": ("input-images", 1, "image"),
    "output_cost_per_image": ("output-images", 1, "image"),
    "input_cost_per_second": ("input-seconds", 3600, "second"),
    "output_cost_per_second": ("output-seconds", 3600, "second"),
    "output_cost_per_second_480p": ("output-seconds-480p", 3600, "second"),
    "output_cost_per_second_720p": ("output-seconds-720p", 3600, "second"),
    "output_cost_per_second_1080p": ("output-seconds-1080p", 3600, "second"),
    "cost_per_second": ("seconds", 3600, "second"),
    "input_cost_per_audio_per_second": ("input-audio-seconds", 3600, "second"),
    "input_cost_per_video_per_second": ("input-video-seconds", 3600, "second"),
    "output_cost_per_video_per_second": ("output-video-seconds", 3600, "second"),
    "input_cost_per_query": ("queries", 1000, "query"),
    "input_cost_per_request": ("requests", 1000, "request"),
    "ocr_cost_per_page": ("input-document-pages", 1000, "page"),
    "annotation_cost_per_page": ("input-annotated-document-pages", 1000, "page"),
    "code_interpreter_cost_per_session": ("code-sessions", 1, "session"),
}
TIERS: Final = {"batches": "batch", "priority": "priority", "flex": "flex"}
PLANS: Final = {
    "standard": "Pay as you go",
    "batch": "Batch",
    "priority": "Priority processing",
    "flex": "Flex processing",
}
CAPABILITIES: Final = {
    "supports_reasoning": "reasoning",
    "supports_function_calling": "tool_call",
    "supports_response_schema": "structured_output",
    "supports_prompt_caching": "prompt_caching",
    "supports_web_search": "web_search",
    "supports_computer_use": "computer_use",
}
INPUTS: Final = {
    "supports_vision": "image",
    "supports_pdf_input": "pdf",
    "supports_audio_input": "audio",
    "supports_video_input": "video",
}
TEXT_MODES: Final = frozenset({"chat", "completion", "responses"})
ON_ONES_OWN: Final = frozenset({"ollama", "ollama_chat", "lm_studio", "llamafile", "vllm", "hosted_vllm"})
READ: Final = frozenset(
    {
        *("litellm_provider", "mode", "max_input_tokens", "max_output_tokens", "deprecation_date", "source"),
        *("supported_modalities", "supported_output_modalities", "max_tokens"),
        *CAPABILITIES,
        *INPUTS,
    }
)
MODALITIES: Final = frozenset({"text", "image", "pdf", "audio", "video", "embeddings", "file", "code"})
_TIER: Final = re.compile(r"_(batches|priority|flex)$")
_ABOVE: Final = re.compile(r"_above_(\d{1,5})k_tokens$")


def rows(content: bytes) -> Iterator[Row]:
    """One row for each entry of the file, `sample_spec` included. Raises Unreadable for a file that is not one of these."""
    found = json_of(content)
    if not isinstance(found, Mapping):
        raise Unreadable(
            "not_this_file", "The file is a list; LiteLLM's price file is one JSON object by model name."
        )
    pairs = pairs_of(found)
    few_enough(len(pairs))
    objects = [value for _, value in pairs if isinstance(value, Mapping)]
    if pairs and not any("litellm_provider" in value for value in objects):
        raise Unreadable(
            "not_this_file", "No entry names a litellm_provider: this is not LiteLLM's price file."
        )
    twice = Twice(pairs)
    for number, (key, value) in enumerate(pairs, start=1):
        yield _row(number, key, value, twice)


def _row(number: int, key: str, value: Any, twice: Twice) -> Row:
    provider = ""
    original = kept(value)
    try:
        said = value.get("litellm_provider") if isinstance(value, Mapping) else None
        provider = said if isinstance(said, str) else ""
        if key == "sample_spec":
            provider = ""
            raise WrongRow("sample", "The file's own explanation of its fields, not a model.", LEFT_OUT)
        twice.check(key, value)
        entry = mapping_of(value)
        if not provider:
            raise WrongRow("provider_missing", "It does not say who sells it (litellm_provider).")
        if provider in ON_ONES_OWN:
            raise WrongRow("own_machine", "It runs on one's own machine; nobody sells it.", LEFT_OUT)
        notes: list[str] = []
        ignored: list[str] = []
        facts = ListingFacts(
            name=_name(key)[:120],
            provider_name=storable_text(provider).replace("_", " ").title(),
            plans=_plans(key, entry, notes, ignored),
            family=family_of(key),
            facts=_facts(entry, notes),
            retires_on=day(entry.get("deprecation_date"), "deprecation_date"),
        )
    except WrongRow as why:
        return Row.wrong(number, storable_text(key), storable_text(provider), original, why)
    return Row(
        number,
        storable_text(key),
        storable_text(provider),
        original,
        facts,
        notes=tuple(notes),
        ignored=tuple(ignored),
    )


def _name(key: str) -> str:
    return storable_text(key.rsplit("/", 1)[-1]).strip() or storable_text(key)


@lru_cache(maxsize=2048)
def _understood(name: str) -> tuple[str, str, int] | None:
    """Of a price field: its base field, the processing tier, the context above which it holds. None: no price field of ours."""
    if name in METERS:
        return name, "standard", 0
    tier, above, base = "standard", 0, name
    for _ in range(2):  # the two endings come in either order
        if found := _TIER.search(base):
            tier, base = TIERS[found[1]], base[: found.start()]
        elif found := _ABOVE.search(base):
            above, base = int(found[1]) * 1000, base[: found.start()]
    return (base, tier, above) if base in METERS else None


def _plans(key: str, entry: Mapping[str, Any], notes: list[str], ignored: list[str]) -> tuple[PlanFacts, ...]:
    """Raises WrongRow for a price that cannot be one, or where there is none."""
    found: dict[str, dict[tuple[str, int], PriceLine]] = {}
    for name, written in entry.items():
        understood = _understood(name)
        if understood is None:
            if name not in READ:
                ignored.append(storable_text(name)[:60])
            continue
        base, tier, above = understood
        meter, per, unit = METERS[base]
        amount = price(written, name, times=per, unit=unit, notes=notes)
        line = PriceLine(meter, per, unit, amount, above)
        present = found.setdefault(tier, {}).setdefault((meter, above), line)
        if present != line:
            raise WrongRow(
                "two_prices", f"{name}: another field of the row gives another price for the same."
            )
    if not found:
        raise WrongRow("no_price", "The source gives no price for it.", LEFT_OUT)
    free = key.lower().endswith((":free", "-free", "/free"))
    mode = entry.get("mode")
    plans = []
    for tier, name in PLANS.items():
        lines = _without_empty_zeros(list(found.get(tier, {}).values()), free, mode in TEXT_MODES, notes)
        if lines:
            tokens = any(line.unit == "token" for line in lines)
            form = "free" if all(line.amount == 0 for line in lines) else "tokens" if tokens else "metered"
            plans.append(
                PlanFacts(tier, name, form, (PriceSpan(None, None, tuple(lines)),), processing_tier=tier)
            )
    if not plans:
        raise WrongRow(
            "zero_not_said_free",
            "Every price is 0 and nothing says that it is free: the source writes 0 where it does not know.",
            LEFT_OUT,
        )
    return tuple(plans)


def _without_empty_zeros(lines: list[PriceLine], free: bool, text: bool, notes: list[str]) -> list[PriceLine]:
    """Zero is free where the name says so; else it is unknown, or not a meter of this model at all."""
    if free or all(line.amount for line in lines):
        return lines
    if not any(line.amount for line in lines):
        return []
    kept_lines = []
    for line in lines:
        if line.amount:
            kept_lines.append(line)
        elif text and line.meter in ("input-tokens", "output-tokens"):
            kept_lines.append(PriceLine(line.meter, line.per, line.unit, None, line.above_context))
            notes.append(f"{line.meter}: the source writes 0 beside other prices; taken as unknown.")
    return kept_lines


def _facts(entry: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """Facts of the model version. Raises WrongRow for a limit that is no number."""
    facts: dict[str, Any] = {}
    for ours, theirs in (("context_window", "max_input_tokens"), ("max_output", "max_output_tokens")):
        if limit := whole(entry.get(theirs), theirs):
            facts[ours] = limit
    capabilities = {}
    for name, ours in CAPABILITIES.items():
        if isinstance(entry.get(name), bool):
            capabilities[ours] = entry[name]
        elif name in entry:
            notes.append(f"{name} says neither true nor false; taken as unknown.")
    if capabilities:
        facts["capabilities"] = capabilities
    inputs = _words(entry.get("supported_modalities")) or (
        ["text", *(m for name, m in INPUTS.items() if entry.get(name) is True)]
        if entry.get("mode") in TEXT_MODES and any(entry.get(name) is True for name in INPUTS)
        else []
    )
    if inputs:
        facts["modalities_in"] = inputs
    if outputs := _words(entry.get("supported_output_modalities")):
        facts["modalities_out"] = outputs
    return facts


def _words(value: Any) -> list[str]:
    """The modalities of a list that the catalog knows."""
    if not isinstance(value, list):
        return []
    return list(dict.fromkeys(v for v in value if isinstance(v, str) and v in MODALITIES))
