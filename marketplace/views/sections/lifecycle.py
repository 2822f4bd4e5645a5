"""The life of an offering by its dates: drawn, told, and what may be done about it."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from accounts.models import Role, User
from config import formats
from config.charts import Tone
from config.language import _, later, spoken
from config.timelines import Stretch, timeline
from marketplace.models import Lifecycle, Offering
from marketplace.selectors.on_sale import named_replacement
from marketplace.selectors.visibility import offerings_for

NOTES: Final[dict[str, tuple[str, Tone]]] = {
    Lifecycle.PREVIEW: (later("May be sold; terms may still change."), "c2"),
    Lifecycle.GENERALLY_AVAILABLE: (later("May be sold."), "good"),
    Lifecycle.LEGACY: (later("30 days' notice: may still be sold."), "warn"),
    Lifecycle.DEPRECATED: (later("No new deals for the last 90 days."), "bad"),
    Lifecycle.RETIRED: (later("No longer answers."), "muted"),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One date of the lifecycle. days: until it begins, counted from the day that is looked at; 0 or less has begun."""

    label: str
    day: date
    note: str
    tone: Tone
    past: bool
    now: bool
    days: int


def lifecycle_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """1 query."""
    stages = stages_of(offering, on)
    own = getattr(user, "publisher_membership", None) if user.has_role(Role.PARTNER) else None
    keeps = user.has_role(Role.CATALOG_MANAGER)
    return {
        "on": on,
        "offering": offering,
        "stages": stages,
        "drawing": timeline(
            [Stretch(s.label, s.day, s.tone) for s in stages],
            on=on,
            label=_("The life of %(offering)s: %(stages)s")
            % {
                "offering": offering.name,
                "stages": ", ".join(
                    _("%(stage)s from %(day)s") % {"stage": s.label, "day": formats.day(s.day)}
                    for s in stages
                ),
            },
        ),
        "next": next((s for s in stages if not s.past), None),
        "replacement": named_replacement(offering),
        "replaces": offerings_for(user).filter(replacement=offering).order_by("name"),
        "may_retire": keeps or (own is not None and own.publisher_id == offering.publisher_id),
        "keeps": keeps,
    }


def stages_of(offering: Offering, on: date) -> list[Stage]:
    """Those that have a date, in the order of their days."""
    dated = (
        (Lifecycle.PREVIEW, offering.preview_on),
        (Lifecycle.GENERALLY_AVAILABLE, offering.available_on),
        (Lifecycle.LEGACY, offering.legacy_on),
        (Lifecycle.DEPRECATED, offering.deprecated_on),
        (Lifecycle.RETIRED, offering.retires_on),
    )
    current = offering.lifecycle_on(on)
    found = [
        Stage(spoken(stage.label), day, *NOTES[stage], day <= on, stage == current, (day - on).days)
        for stage, day in dated
        if day is not None
    ]
    return sorted(found, key=lambda stage: stage.day)
