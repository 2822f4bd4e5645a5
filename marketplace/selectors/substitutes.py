"""What could be sold instead: the named replacement, then what serves the same tasks. Whose model it is plays no part."""

from dataclasses import dataclass
from datetime import date

from django.db.models import QuerySet

from marketplace.models import Offering
from marketplace.selectors.on_sale import why_not


@dataclass(frozen=True, slots=True)
class Substitute:
    """named: the publisher or the operator named it. tasks: those that both serve."""

    offering: Offering
    named: bool
    tasks: tuple[str, ...]

    @property
    def why(self) -> str:
        shared = f"serves {', '.join(self.tasks)}" if self.tasks else ""
        if self.named:
            return f"Named as its replacement{f'; {shared}' if shared else ''}."
        return f"{shared[:1].upper()}{shared[1:]} too."


def substitutes(
    offering: Offering, visible: QuerySet[Offering], on: date, limit: int = 20
) -> list[Substitute]:
    """On sale on *on*, best match first: the replacement, then most tasks in common, then by name. 2 queries.

    A candidate must put out what the offering puts out. *offering* has its task areas at hand.
    """
    wanted = {area.pk for area in offering.task_areas.all()}
    candidates = (
        visible.exclude(pk=offering.pk)
        .filter(task_areas__in=wanted)
        .distinct()
        .select_related("publisher", "model_version", "replacement")
        .prefetch_related("task_areas")
    )
    if offering.replacement_id is not None:
        candidates = candidates | (
            visible.filter(pk=offering.replacement_id)
            .distinct()
            .select_related("publisher", "model_version", "replacement")
        )
    needed = set((offering.model_version.modalities_out if offering.model_version else None) or ())
    found = []
    for candidate in candidates:
        named = candidate.pk == offering.replacement_id
        gives = set((candidate.model_version.modalities_out if candidate.model_version else None) or ())
        if why_not(candidate, on) is not None or not (named or needed <= gives):
            continue
        shared = tuple(area.name for area in candidate.task_areas.all() if area.pk in wanted)
        found.append(Substitute(candidate, named, shared))
    found.sort(key=lambda s: (not s.named, -len(s.tasks), s.offering.name, s.offering.pk))
    return found[:limit]
