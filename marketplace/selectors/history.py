"""What changed from one revision of an offering to the next."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from config.clock import day_of, first_moment
from marketplace.models import Alias, Offering, OfferingRevision


@dataclass(frozen=True, slots=True)
class FieldChange:
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Step:
    """One revision beside the one before it; the first has no changes."""

    revision: OfferingRevision
    changes: list[FieldChange]


def history_of(offering: Offering, on: date | None = None) -> list[Step]:
    """Newest first, of *on* what had been recorded by the end of that day. 1 query."""
    steps = []
    before: dict[str, Any] | None = None
    for revision in offering.revisions.select_related("recorded_by").order_by("number"):
        if on is not None and day_of(revision.recorded_at) > on:
            break
        steps.append(Step(revision, [] if before is None else list(_changes(before, revision.body))))
        before = revision.body
    return steps[::-1]


def reading_on(offering: Offering, on: date) -> OfferingRevision | None:
    """The revision that held at the end of *on*, where that is not the one that holds now; the first one for any day before it. 1 query."""
    held = (
        offering.revisions.filter(recorded_at__lt=first_moment(on + timedelta(days=1)))
        .order_by("-number")
        .first()
    ) or offering.revisions.order_by("number").first()
    return held if held is not None and held.number != offering.revision else None


def known_as(offering: Offering) -> QuerySet[Alias]:
    """Every other name of the offering, its plans and its model version, with its days. 1 query."""
    return (
        Alias.objects.filter(
            Q(offering=offering)
            | Q(plan__offering=offering)
            | Q(model_version=offering.model_version_id, model_version__isnull=False)
        )
        .select_related("plan")
        .order_by("used_by", "name", "effective")
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[FieldChange]:
    for name in sorted(after.keys() | before.keys()):
        if name == "plans":
            yield from _plan_changes(before.get(name) or [], after.get(name) or [])
        elif name != "revision" and before.get(name) != after.get(name):
            yield FieldChange(name.replace("_", " "), _written(before.get(name)), _written(after.get(name)))


def _plan_changes(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[FieldChange]:
    """Plan by plan; a field that an older release did not record counts as unchanged while it is empty."""
    old = {plan["slug"]: plan for plan in before}
    for plan in after:
        was = old.pop(plan["slug"], None)
        if was is None:
            yield FieldChange("plan", "nothing", str(plan["name"]))
            continue
        for name in sorted(plan.keys() | was.keys()):
            if was.get(name) != plan.get(name):
                field = f"{plan['name']}, {name.replace('_', ' ')}"
                yield FieldChange(field, _written(was.get(name)), _written(plan.get(name)))
    for plan in old.values():
        yield FieldChange("plan", str(plan["name"]), "nothing")


def _written(value: Any) -> str:
    match value:
        case None | "" | []:
            return "nothing"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(_written(v) for v in value)
        case dict():
            return str(value.get("name") or value.get("slug") or "set")
    return str(value)
