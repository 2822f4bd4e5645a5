"""Counts under the same filters. A value's count is the length of the list if it alone were chosen in its dimension."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.db.models import Count, F, Func, Q, QuerySet

from marketplace.models import Offering, Plan, Program, Publisher, TaskArea
from marketplace.selectors.eligibility import rate_of
from marketplace.selectors.search import (
    CAPABILITIES,
    DIMENSIONS,
    LABELS,
    Criteria,
    find,
    stage_on,
    value_labels,
)


@dataclass(frozen=True, slots=True)
class FacetValue:
    value: str
    label: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """One dimension, with every value that some offering has, and every chosen one."""

    name: str
    label: str
    values: list[FacetValue]

    @property
    def chosen(self) -> int:
        return sum(value.chosen for value in self.values)


def facets(offerings: QuerySet[Offering], criteria: Criteria) -> list[Facet]:
    """All dimensions in the order of LABELS. 12 queries, whatever the number of offerings."""
    labels: Mapping[str, Mapping[str, str]] = {
        **value_labels(),
        "publisher": dict(Publisher.objects.order_by("name").values_list("slug", "name")),
    }
    found = []
    for name in DIMENSIONS:
        counts = _COUNTERS[name](find(offerings, criteria.without(name)).order_by(), criteria.on)
        chosen = criteria.chosen.get(name, ())
        known = labels[name]
        values = [v for v in known if counts.get(v) or v in chosen]
        values += sorted((counts.keys() | set(chosen)) - known.keys())
        found.append(
            Facet(
                name,
                LABELS[name],
                [FacetValue(v, known.get(v, v), counts.get(v, 0), v in chosen) for v in values],
            )
        )
    return found


Counts = dict[str, int]


def _by(path: str) -> Callable[[QuerySet[Offering], date], Counts]:
    def count(offerings: QuerySet[Offering], _on: date) -> Counts:
        return dict(offerings.values_list(path).annotate(n=Count("pk")).values_list(path, "n"))

    return count


def _by_element(path: str) -> Callable[[QuerySet[Offering], date], Counts]:
    def count(offerings: QuerySet[Offering], _on: date) -> Counts:
        each = offerings.annotate(_element=Func(F(path), function="unnest")).values("pk", "_element")
        counts: Counts = {}
        for row in each.values_list("_element", "pk").distinct():
            counts[row[0]] = counts.get(row[0], 0) + 1
        return counts

    return count


def _by_capability(offerings: QuerySet[Offering], _on: date) -> Counts:
    return _aggregated(
        offerings,
        {c: Q(model_version__capabilities__contains={c: True}) for c in CAPABILITIES},
    )


def _by_eligibility(offerings: QuerySet[Offering], on: date) -> Counts:
    rated = offerings.annotate(**{f"_rate_of_{p.value}": rate_of(p.value, on) for p in Program})
    return _aggregated(rated, {p.value: Q(**{f"_rate_of_{p.value}__gt": 0}) for p in Program})


def _aggregated(offerings: QuerySet[Offering], conditions: Mapping[str, Q]) -> Counts:
    counted: dict[str, Any] = {
        f"n_{name}": Count("pk", filter=condition) for name, condition in conditions.items()
    }
    result = offerings.aggregate(**counted)
    return {name: result[f"n_{name}"] for name in conditions if result[f"n_{name}"]}


def _by_stage(offerings: QuerySet[Offering], on: date) -> Counts:
    staged = offerings.annotate(_stage_now=stage_on(on)).values_list("_stage_now")
    return dict(staged.annotate(n=Count("pk")).values_list("_stage_now", "n"))


def _by_task(offerings: QuerySet[Offering], _on: date) -> Counts:
    used = TaskArea.objects.filter(offerings__in=offerings.values("pk")).annotate(
        n=Count("offerings", distinct=True)
    )
    return dict(used.values_list("slug", "n"))


def _by_zone(offerings: QuerySet[Offering], _on: date) -> Counts:
    rows = Plan.objects.filter(offering__in=offerings.values("pk"), is_public=True).exclude(zone="")
    return dict(
        rows.values_list("zone").annotate(n=Count("offering_id", distinct=True)).values_list("zone", "n")
    )


_COUNTERS: Final[Mapping[str, Callable[[QuerySet[Offering], date], Counts]]] = {
    "publisher": _by("publisher__slug"),
    "origin": _by("publisher__origin"),
    "path": _by("commercial_path"),
    "lifecycle": _by_stage,
    "eligible": _by_eligibility,
    "task": _by_task,
    "modality_in": _by_element("model_version__modalities_in"),
    "modality_out": _by_element("model_version__modalities_out"),
    "capability": _by_capability,
    "region": _by_zone,
}
