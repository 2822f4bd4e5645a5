"""Finding offerings: every condition in one place, so that list, facets, page and REST mean the same by it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import Final

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db.models import Case, CharField, F, Func, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Coalesce, Concat

from marketplace.models import (
    CommercialPath,
    Lifecycle,
    Offering,
    Origin,
    Plan,
    Program,
    TaskArea,
)
from marketplace.selectors.eligibility import rate_of
from marketplace.selectors.prices import headline

MODALITIES: Final = ("text", "image", "audio", "pdf", "video")
CAPABILITIES: Final = ("reasoning", "tool_call", "structured_output", "attachment", "temperature")
REGIONS: Final = ("global", "eu", "us")
LONGEST_SEARCH: Final = 100
WORD: Final = re.compile(r"[^\W_]+")

# Ordering by name, and what it means; each ends in the id, so that no two rows stand at one place.
ORDERINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name", "id"),
    "-name": ("-name", "-id"),
    "available_on": ("first_day", "id"),
    "-available_on": ("-first_day", "-id"),
    "context": ("context", "id"),
    "-context": ("-context", "-id"),
    "input_price": ("input_price", "id"),
    "-input_price": ("-input_price", "-id"),
}


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is looked for. Values of one dimension are alternatives, dimensions narrow each other.

    chosen            Dimension (a key of DIMENSIONS) to values.
    min_context       Tokens.
    max_input_price   USD for a million input tokens, of the first public plan.
    on                The day that lifecycle, eligibility and prices are looked at.
    """

    on: date
    search: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_context: int | None = None
    max_input_price: Decimal | None = None

    def without(self, dimension: str) -> "Criteria":
        return replace(self, chosen={k: v for k, v in self.chosen.items() if k != dimension})

    @property
    def narrowed(self) -> bool:
        return bool(
            self.search
            or any(self.chosen.values())
            or self.min_context is not None
            or self.max_input_price is not None
        )


def find(offerings: QuerySet[Offering], criteria: Criteria) -> QuerySet[Offering]:
    """Those of *offerings* that meet all of *criteria*. Adds no rows twice."""
    if criteria.search.strip():
        offerings = _matching(offerings, criteria.search)
    for dimension, values in criteria.chosen.items():
        if values:
            offerings = DIMENSIONS[dimension](offerings, values, criteria.on)
    if criteria.min_context is not None:
        offerings = offerings.filter(model_version__context_window__gte=criteria.min_context)
    if criteria.max_input_price is not None:
        offerings = offerings.alias(_dearest=headline("input-tokens", criteria.on)).filter(
            _dearest__lte=criteria.max_input_price
        )
    return offerings


def ordered(offerings: QuerySet[Offering], ordering: str, on: date) -> QuerySet[Offering]:
    """With what the ordering of that name sorts by, sorted. Unknown values come last."""
    keys = ORDERINGS[ordering]
    offerings = with_sort_keys(offerings, ordering, on)
    return offerings.order_by(
        *(
            F(k.lstrip("-")).desc(nulls_last=True) if k.startswith("-") else F(k).asc(nulls_last=True)
            for k in keys
        )
    )


def with_sort_keys(offerings: QuerySet[Offering], ordering: str, on: date) -> QuerySet[Offering]:
    match ordering.lstrip("-"):
        case "available_on":
            return offerings.annotate(first_day=Coalesce("available_on", "preview_on"))
        case "context":
            return offerings.annotate(context=F("model_version__context_window"))
        case "input_price":
            return offerings.annotate(input_price=headline("input-tokens", on))
    return offerings


def stage_on(on: date) -> Case:
    """Offering.lifecycle_on as SQL."""
    return Case(
        When(retires_on__lte=on, then=Value(Lifecycle.RETIRED.value)),
        When(deprecated_on__lte=on, then=Value(Lifecycle.DEPRECATED.value)),
        When(legacy_on__lte=on, then=Value(Lifecycle.LEGACY.value)),
        When(available_on__lte=on, then=Value(Lifecycle.GENERALLY_AVAILABLE.value)),
        When(preview_on__lte=on, then=Value(Lifecycle.PREVIEW.value)),
        default=Value(Lifecycle.ANNOUNCED.value),
        output_field=CharField(),
    )


def suggestion(offerings: QuerySet[Offering], search: str) -> str:
    """The nearest name when nothing was found by *search*; empty if none is near. 1 query."""
    names = {name.lower(): name for name in offerings.values_list("name", flat=True)}
    near = get_close_matches(search.strip().lower(), list(names), n=1, cutoff=0.6)
    return names[near[0]] if near else ""


def _matching(offerings: QuerySet[Offering], search: str) -> QuerySet[Offering]:
    """Every word begins some word of the name, SKU, family, publisher, summary or model; "gpt-5.1" is three words."""
    words = WORD.findall(search[:LONGEST_SEARCH].lower())
    if not words:
        return offerings.none()
    text = Concat(
        *(
            "name",
            Value(" "),
            "slug",
            Value(" "),
            "family",
            Value(" "),
            "publisher__name",
            Value(" "),
            "summary",
        ),
        *(Value(" "), Coalesce("model_version__model__name", Value(""))),
        output_field=TextField(),
    )
    spaced = Func(
        text,
        Value("[^[:alnum:]]+"),
        Value(" "),
        Value("g"),
        function="regexp_replace",
        output_field=TextField(),
    )
    query = SearchQuery(" & ".join(f"{word}:*" for word in words), search_type="raw", config="simple")
    return offerings.alias(_text=SearchVector(spaced, config="simple")).filter(_text=query)


Narrow = Callable[[QuerySet[Offering], tuple[str, ...], date], QuerySet[Offering]]


def _one_of(path: str) -> Narrow:
    def narrow(offerings: QuerySet[Offering], values: tuple[str, ...], _on: date) -> QuerySet[Offering]:
        return offerings.filter(**{f"{path}__in": values})

    return narrow


def _overlaps(path: str) -> Narrow:
    def narrow(offerings: QuerySet[Offering], values: tuple[str, ...], _on: date) -> QuerySet[Offering]:
        return offerings.filter(**{f"{path}__overlap": list(values)})

    return narrow


def _with_capability(offerings: QuerySet[Offering], values: tuple[str, ...], _on: date) -> QuerySet[Offering]:
    """Stated to have it; unknown is not enough."""
    has = Q()
    for value in values:
        has |= Q(model_version__capabilities__contains={value: True})
    return offerings.filter(has)


def _for_task(offerings: QuerySet[Offering], values: tuple[str, ...], _on: date) -> QuerySet[Offering]:
    through = Offering.task_areas.through._default_manager
    used = through.filter(taskarea__slug__in=values).values("offering_id")
    return offerings.filter(pk__in=used)


def _at_stage(offerings: QuerySet[Offering], values: tuple[str, ...], on: date) -> QuerySet[Offering]:
    return offerings.alias(_stage=stage_on(on)).filter(_stage__in=values)


def _eligible(offerings: QuerySet[Offering], values: tuple[str, ...], on: date) -> QuerySet[Offering]:
    counts = Q()
    for value in values:
        offerings = offerings.alias(**{f"_rate_{value}": rate_of(value, on)})
        counts |= Q(**{f"_rate_{value}__gt": 0})
    return offerings.filter(counts)


def _processed_in(offerings: QuerySet[Offering], values: tuple[str, ...], _on: date) -> QuerySet[Offering]:
    return offerings.filter(pk__in=Plan.objects.filter(zone__in=values, is_public=True).values("offering"))


DIMENSIONS: Final[Mapping[str, Narrow]] = {
    "publisher": _one_of("publisher__slug"),
    "origin": _one_of("publisher__origin"),
    "path": _one_of("commercial_path"),
    "lifecycle": _at_stage,
    "eligible": _eligible,
    "task": _for_task,
    "modality_in": _overlaps("model_version__modalities_in"),
    "modality_out": _overlaps("model_version__modalities_out"),
    "capability": _with_capability,
    "region": _processed_in,
}
LABELS: Final[Mapping[str, str]] = {
    "publisher": "Publisher",
    "origin": "Origin",
    "path": "Commercial path",
    "lifecycle": "Lifecycle",
    "eligible": "Eligible for",
    "task": "Task",
    "modality_in": "Takes in",
    "modality_out": "Gives out",
    "capability": "Capability",
    "region": "Data zone",
}


def value_labels() -> dict[str, dict[str, str]]:
    """By dimension, every value that is fixed and its label; publishers and tasks are data. 1 query."""
    return {
        "origin": {o.value: o.label for o in Origin},
        "path": {p.value: p.label for p in CommercialPath},
        "lifecycle": {s.value: s.label for s in Lifecycle},
        "eligible": {p.value: p.label for p in Program},
        "task": dict(TaskArea.objects.order_by("position").values_list("slug", "name")),
        "modality_in": {m: m.upper() if m == "pdf" else m.capitalize() for m in MODALITIES},
        "modality_out": {m: m.upper() if m == "pdf" else m.capitalize() for m in MODALITIES},
        "capability": {c: c.replace("_", " ").capitalize() for c in CAPABILITIES},
        "region": {"global": "Global", "eu": "EU", "us": "US"},
    }
