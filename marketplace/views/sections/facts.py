"""What an offering is, as it read on the day: facts are what had been recorded by then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from accounts.models import User
from config import clock, formats
from config.language import _, later, spoken
from marketplace.models import Offering, OfferingKind
from marketplace.selectors.history import known_as, reading_on
from marketplace.selectors.resources import offering_body

CAPABILITIES: Final = {
    "reasoning": later("Reasoning"),
    "tool_call": later("Tool calls"),
    "structured_output": later("Structured output"),
    "attachment": later("Attachments"),
    "temperature": later("Temperature can be set"),
}
UNKNOWN: Final = later("Unknown")


@dataclass(frozen=True, slots=True)
class OtherName:
    """An alias as the page shows it."""

    name: str
    what: str
    span: str
    in_use: bool


def facts_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """1 query for the aliases; of a day that is over 1 more."""
    reading = reading_on(offering, on) if on < clock.today() else None
    body = offering_body(offering) if reading is None else reading.body
    return {
        "facts": [
            *_facts(offering, body),
            (_("Path known from"), body.get("path_basis") or _("Not recorded")),
        ],
        "reading": reading,
        "names": [
            OtherName(
                alias.name,
                ", ".join(part for part in (alias.used_by or "people", _meaning(alias)) if part),
                _span(alias.effective.lower, alias.effective.upper),
                on in alias.effective,
            )
            for alias in known_as(offering)
        ],
    }


def _meaning(alias: Any) -> str:
    if alias.plan_id is not None:
        return _("the plan %(plan_name)s") % {"plan_name": alias.plan.name}
    return _("the model") if alias.model_version_id is not None else ""


def _span(lower: date | None, upper: date | None) -> str:
    since = _("since %(lower)s") % {"lower": formats.day(lower)} if lower else ""
    until = _("until before %(upper)s") % {"upper": formats.day(upper)} if upper else ""
    return ", ".join(part for part in (since, until) if part)


def _facts(offering: Offering, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and text; what is unknown says so."""
    kind = str(body.get("kind", offering.kind))
    facts = [
        ("SKU", offering.slug),
        (_("Kind"), spoken(dict(OfferingKind.choices).get(kind, kind))),
        (_("Family"), str(body.get("family", offering.family))),
    ]
    model = body.get("model")
    if not model:
        return facts
    capabilities = model.get("capabilities") or {}
    return [
        *facts,
        (
            _("Model"),
            _("%(model)s, version %(version)s") % {"model": model["name"], "version": model["version"]},
        ),
        (_("Context"), _tokens(model.get("context_window"))),
        (_("Longest output"), _tokens(model.get("max_output"))),
        (_("Takes in"), ", ".join(model.get("modalities_in") or ()) or UNKNOWN),
        (_("Gives out"), ", ".join(model.get("modalities_out") or ()) or UNKNOWN),
        *((label, _said(capabilities.get(name), _("Yes"), _("No"))) for name, label in CAPABILITIES.items()),
        (_("Languages"), ", ".join(model.get("languages") or ()) or UNKNOWN),
        (_("Knowledge up to"), model.get("knowledge_cutoff") or UNKNOWN),
        (_("Weights"), _said(model.get("open_weights"), _("Open"), _("Not published"))),
    ]


def _tokens(number: int | None) -> str:
    return _("%(number)s tokens") % {"number": formats.whole(number)} if number else UNKNOWN


def _said(value: Any, yes: str, no: str) -> str:
    return UNKNOWN if value is None else yes if value else no
