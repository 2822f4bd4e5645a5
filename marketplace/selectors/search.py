"""Finding offerings: every condition in one place, so that list, facets, page and REST mean the same by it.

Words are looked up in the index that services/indexing.py keeps. Nothing here looks at whose an offering is, but for the
two filters that are asked for by name; a publisher's name is found as text and weighs less than the offering's own.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from django.contrib.postgres.search import SearchQuery
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    DateField,
    DecimalField,
    F,
    Func,
    IntegerField,
    Q,
    QuerySet,
    TextField,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import In

from marketplace.models import (
    CommercialPath,
    Evaluation,
    Lifecycle,
    Offering,
    Origin,
    Program,
    ScopeLevel,
    TaskArea,
)
from marketplace.selectors.evidence import public_evaluations, rankings_of
from marketplace.selectors.strength import strengths
from marketplace.selectors.words import words

MODALITIES: Final = ("text", "image", "audio", "pdf", "video")
CAPABILITIES: Final = ("reasoning", "tool_call", "structured_output", "attachment", "temperature")
REGIONS: Final = ("global", "eu", "us")
LONGEST_SEARCH: Final = 100
MOST_WORDS: Final = 12

# Ordering by name, and what it means; each ends in the id, so that no two rows stand at one place.
ORDERINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "name": ("name", "id"),
    "-name": ("-name", "-id"),
    "relevance": ("-relevance", "name", "id"),
    "evidence": ("-evidence", "name", "id"),
    "available_on": ("first_day", "id"),
    "-available_on": ("-first_day", "-id"),
    "released_on": ("released", "id"),
    "-released_on": ("-released", "-id"),
    "context": ("context", "id"),
    "-context": ("-context", "-id"),
    "input_price": ("input_price", "id"),
    "-input_price": ("-input_price", "-id"),
}


@dataclass(frozen=True, slots=True)
class Criteria:
    """What is looked for. Values of one dimension are alternatives, dimensions narrow each other.

    chosen                              Dimension (a key of DIMENSIONS) to values.
    min_context, max_context            Tokens.
    min_input_price, max_input_price    USD for a million input tokens, of the first public plan.
    on                                  The day that lifecycle, eligibility, evidence and prices are looked at.
    """

    on: date
    search: str = ""
    chosen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    min_context: int | None = None
    max_input_price: Decimal | None = None
    min_input_price: Decimal | None = None
    max_context: int | None = None

    @property
    def words(self) -> list[str]:
        return words(self.search[:LONGEST_SEARCH])[:MOST_WORDS]

    def without_choices(self) -> "Criteria":
        return replace(self, chosen={})

    @property
    def bounds(self) -> tuple[Any, ...]:
        return self.min_context, self.max_context, self.min_input_price, self.max_input_price

    @property
    def narrowed(self) -> bool:
        return bool(
            self.search or any(self.chosen.values()) or any(bound is not None for bound in self.bounds)
        )


def find(offerings: QuerySet[Offering], criteria: Criteria) -> QuerySet[Offering]:
    """Those of *offerings* that meet all of *criteria*. Adds no rows twice, and asks nothing by itself."""
    if criteria.search.strip():
        if not criteria.words:
            return offerings.none()
        offerings = offerings.filter(index__document=beginning(criteria.words))
    for dimension, values in criteria.chosen.items():
        if values:
            offerings = offerings.filter(DIMENSIONS[dimension](values, criteria.on))
    bounds = Q()
    if criteria.min_context is not None:
        bounds &= Q(index__context__gte=criteria.min_context)
    if criteria.max_context is not None:
        bounds &= Q(index__context__lte=criteria.max_context)
    if criteria.min_input_price is not None or criteria.max_input_price is not None:
        offerings = offerings.alias(_input_price=input_price(criteria.on))
        if criteria.min_input_price is not None:
            bounds &= Q(_input_price__gte=criteria.min_input_price)
        if criteria.max_input_price is not None:
            bounds &= Q(_input_price__lte=criteria.max_input_price)
    return offerings.filter(bounds)


def beginning(looked_for: list[str], weights: str = "") -> SearchQuery:
    """Each word begins some word of the document; with *weights* a word of one of those."""
    written = " & ".join(f"{word}:*{weights}" for word in looked_for)
    return SearchQuery(written, search_type="raw", config="simple")


def ordered(offerings: QuerySet[Offering], ordering: str, criteria: Criteria) -> QuerySet[Offering]:
    """With what the ordering of that name sorts by, sorted. Unknown values come last."""
    keys = ORDERINGS[ordering]
    offerings = with_sort_keys(offerings, ordering, criteria)
    return offerings.order_by(
        *(
            F(k.lstrip("-")).desc(nulls_last=True) if k.startswith("-") else F(k).asc(nulls_last=True)
            for k in keys
        )
    )


def with_sort_keys(offerings: QuerySet[Offering], ordering: str, criteria: Criteria) -> QuerySet[Offering]:
    """What the ordering of that name reads. No query, but 1 for the order by evidence."""
    match ordering.lstrip("-"):
        case "available_on":
            return offerings.annotate(first_day=Coalesce("available_on", "preview_on"))
        case "released_on":
            return offerings.annotate(released=F("index__released_on"))
        case "context":
            return offerings.annotate(context=F("index__context"))
        case "input_price":
            return offerings.annotate(input_price=input_price(criteria.on))
        case "relevance":
            return offerings.annotate(relevance=relevance(criteria))
        case "evidence":
            return offerings.annotate(evidence=evidence(criteria))
    return offerings


def relevance(criteria: Criteria) -> Combinable:
    """How well the words fit, in five steps: it is the name, begins it, is in a name, in the model or publisher, in the summary."""
    looked_for = criteria.words
    if not looked_for:
        return Value(0, IntegerField())
    together = "".join(looked_for)
    return Case(
        When(index__called=together, then=Value(4)),
        When(index__called__startswith=together, then=Value(3)),
        When(index__document=beginning(looked_for, "A"), then=Value(2)),
        When(index__document=beginning(looked_for, "AB"), then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )


def evidence(criteria: Criteria) -> Combinable:
    """Share of all tested models that it is expected to do better than in the chosen tasks, ppm; null without evidence. 1 query.

    The same share that a recommendation goes by: see strength.py.
    """
    known = public_evaluations(criteria.on).filter(score__isnull=False).order_by("id")
    if tasks := criteria.chosen.get("task"):
        known = known.filter(task_area__slug__in=tasks)
    return Cast(
        Func(
            Value(_shares(tuple(known.values_list(*COMPARED)))),
            Cast("model_version_id", TextField()),
            template="(%(expressions)s)",
            arg_joiner="::jsonb ->> ",
        ),
        IntegerField(),
    )


COMPARED: Final = (
    *("id", "model_version_id", "subject", "benchmark", "benchmark_version", "metric"),
    *("higher_is_better", "harness", "source", "score"),
)


@lru_cache(maxsize=64)
def _shares(results: tuple[tuple[Any, ...], ...]) -> str:
    """Model version to ppm as a JSON object, for the same results worked out once a process."""
    known = (Evaluation(**dict(zip(COMPARED, result, strict=True))) for result in results)
    return json.dumps(
        {
            str(name): round(strength.share * 1_000_000)
            for (kind, name), strength in strengths(rankings_of(known).values()).items()
            if kind == "version"
        }
    )


class InEffect(Func):
    """What a timeline of the index says on a day: the value at the last of its days that is not behind it."""

    arity = 3

    def as_sql(  # type: ignore[override]  # the template and its parameters are of no use here
        self, compiler: Any, connection: Any, **_extra: Any
    ) -> tuple[str, tuple[Any, ...]]:
        (values, values_with), (days, days_with), (on, on_with) = (
            compiler.compile(expression) for expression in self.source_expressions
        )
        # Before the first day the place is 0, where an array has nothing.
        return f"({values})[width_bucket({on}::date, {days})]", (*values_with, *on_with, *days_with)


def input_price(on: date) -> Func:
    """USD for a million input tokens of the first public plan that has such a price, as SQL over Offering."""
    return InEffect(
        F("index__input_usd"),
        F("index__input_from"),
        Value(on, DateField()),
        output_field=DecimalField(max_digits=26, decimal_places=10),
    )


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


Condition = Callable[[tuple[str, ...], date], Q]


def _one_of(path: str) -> Condition:
    return lambda values, _on: Q(**{f"{path}__in": values})


def _some_term(dimension: str) -> Condition:
    """Stated to have it; unknown is not enough."""
    return lambda values, _on: Q(index__terms__overlap=[f"{dimension}:{value}" for value in values])


def _at_stage(values: tuple[str, ...], on: date) -> Q:
    return Q(In(stage_on(on), list(values)))


class CountsFor(Func):
    """Whether the most specific decision in force counts an offering for a program, at whatever rate.

    Written out: Django takes longer to put five subqueries together than they take. Each is worked out once, not once
    an offering.
    """

    arity = 5
    conditional = True
    output_field = BooleanField()

    def as_sql(  # type: ignore[override]  # the template and its parameters are of no use here
        self, compiler: Any, connection: Any, **_extra: Any
    ) -> tuple[str, tuple[Any, ...]]:
        (pk, _), (publisher, _), (path, _), *given = (compiler.compile(e) for e in self.source_expressions)
        (program, program_with), (on, on_with) = given

        def decided(column: str, level: ScopeLevel, rate: str = "") -> str:
            return (
                f"(SELECT {column} FROM marketplace_eligibilitydecision WHERE checked_at IS NOT NULL"  # noqa: S608
                f" AND superseded_at IS NULL AND level = {level:d} AND program = {program} AND effective @> {on}::date{rate})"
            )

        some = " AND rate_ppm > 0"
        # Nothing here is null: what a decision of a level is about is held by a constraint.
        text = (
            f"({pk} IN {decided('offering_id', ScopeLevel.OFFERING, some)}"
            f" OR {pk} NOT IN {decided('offering_id', ScopeLevel.OFFERING)}"
            f" AND ({publisher} IN {decided('publisher_id', ScopeLevel.PUBLISHER, some)}"
            f" OR {publisher} NOT IN {decided('publisher_id', ScopeLevel.PUBLISHER)}"
            f" AND {path} IN {decided('commercial_path', ScopeLevel.PATH, some)}))"
        )
        return text, (*program_with, *on_with) * 5


def _eligible(values: tuple[str, ...], on: date) -> Q:
    counts = Q()
    for program in values:
        counts |= Q(
            CountsFor("pk", "publisher_id", "commercial_path", Value(program), Value(on, DateField()))
        )
    return counts


DIMENSIONS: Final[Mapping[str, Condition]] = {
    "publisher": _one_of("publisher__slug"),
    "origin": _one_of("publisher__origin"),
    "path": _one_of("commercial_path"),
    "lifecycle": _at_stage,
    "eligible": _eligible,
    "task": _some_term("task"),
    "modality_in": _some_term("modality_in"),
    "modality_out": _some_term("modality_out"),
    "capability": _some_term("capability"),
    "region": _some_term("region"),
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
