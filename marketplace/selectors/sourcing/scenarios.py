"""Saved scenarios: who sees which, and their moves in words."""

import re
from collections.abc import Sequence
from typing import Final

from django.db.models import Prefetch, Q, QuerySet

from accounts.models import User
from config.formats import percent
from marketplace.models import ModelVersion, MoveKind, Scenario, ScenarioMove, ScenarioState
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.scenario_mix import ONE

MOST_COMPARED: Final = 4
DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def scenarios_for(user: User) -> QuerySet[Scenario]:
    """One's own, the shared ones, and all that somebody asked to promote; nothing for who does not read sourcing. 2 queries."""
    if not reads_sourcing(user):
        return Scenario.objects.none()
    moves = ScenarioMove.objects.select_related(
        "feature__product",
        "source__model__publisher",
        "target__model__publisher",
        "plan__offering",
        "supplier",
    ).order_by("position")
    return (
        Scenario.objects.filter(Q(made_by=user) | Q(shared=True) | ~Q(state=ScenarioState.DRAFT))
        .select_related("made_by", "asked_by", "decided_by")
        .prefetch_related(Prefetch("moves", moves))
    )


def moves_of(scenario: Scenario) -> Sequence[ScenarioMove]:
    """In their order; no query for one out of scenarios_for."""
    return list(scenario.moves.all())


def in_words(move: ScenarioMove) -> str:
    """One move as a sentence without its full stop."""
    if move.kind == MoveKind.SHARE and move.source is not None and move.target is not None:
        where = str(move.feature) if move.feature is not None else "every feature"
        return f"{share_text(move.share_ppm or 0)} of {version_name(move.source)} goes to {version_name(move.target)} in {where}"
    if move.kind == MoveKind.PRICE:
        change = move.change_ppm or 0
        return f"{move.plan} gets {share_text(abs(change))} {'cheaper' if change < 0 else 'dearer'}"
    return f"{move.supplier} ends"


def version_name(version: ModelVersion) -> str:
    """Its model's name; with its label where that says more than a day."""
    return version.model.name if not version.label or DAY.fullmatch(version.label) else str(version)


def share_text(ppm: int) -> str:
    """With as many decimals as it has, four at most: 12.5%."""
    places = next((p for p in range(4) if ppm % 10 ** (4 - p) == 0), 4)
    return percent(ppm, ONE, places)
