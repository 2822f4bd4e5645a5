"""What changed from one revision of an offering to the next."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from marketplace.models import Offering, OfferingRevision


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


def history_of(offering: Offering) -> list[Step]:
    """Newest first. 1 query."""
    steps = []
    before: dict[str, Any] | None = None
    for revision in offering.revisions.select_related("recorded_by").order_by("number"):
        steps.append(Step(revision, [] if before is None else list(_changes(before, revision.body))))
        before = revision.body
    return steps[::-1]


def _changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[FieldChange]:
    for name in after.keys() | before.keys():
        if name != "revision" and before.get(name) != after.get(name):
            yield FieldChange(name.replace("_", " "), _written(before.get(name)), _written(after.get(name)))


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
