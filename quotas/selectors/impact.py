"""What a preview on history found, as a page shows it: winners and losers by size, teams, months, totals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import F, Sum

from config.models import Job
from quotas.models import CreditTotal, Grain, Measure, PlanVersion, Rep, Team, TotalBasis
from quotas.selectors.plans import history_digest


@dataclass(frozen=True, slots=True)
class Mover:
    """A rep or a team, and by how much they move; before is what the months that move held."""

    name: str
    slug: str
    team: str
    before: int
    after: int

    @property
    def change(self) -> int:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class MeasureImpact:
    """One measure: what goes up and down, who most, and against what was credited in the same months."""

    measure: Measure
    up: int
    down: int
    winners: int
    losers: int
    credited: int
    gaining: Sequence[Mover]
    losing: Sequence[Mover]
    teams: Sequence[tuple[str, str, int]]
    months: Sequence[tuple[date, int]]

    @property
    def change(self) -> int:
        return self.up + self.down

    @property
    def sides(self) -> list[tuple[str, Sequence[Mover]]]:
        return [("Who gains most", self.gaining), ("Who loses most", self.losing)]


@dataclass(frozen=True, slots=True)
class Impact:
    measures: Sequence[MeasureImpact]

    @property
    def moves(self) -> bool:
        return any(each.winners or each.losers for each in self.measures)


def is_current(run: Job, version: PlanVersion) -> bool:
    """Whether the run was about this very version, beside what is published now. 3 queries."""
    return bool(run.parameters["digest"] == history_digest(version)) and not run.result.get("outdated")


def read(run: Job, *, most: int) -> Impact:
    """The largest movers both ways, by measure. A fixed number of queries."""
    result = run.result
    measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
    moves = result["moves"]
    chosen: dict[int, tuple[list[list[int]], list[list[int]]]] = {}
    for measure in measures:
        own = [move for move in moves if move[0] == measure.pk]  # the largest move first
        chosen[measure.pk] = (
            [move for move in own if move[4] > move[3]][:most],
            [move for move in own if move[4] < move[3]][:most],
        )
    named = [move for pair in chosen.values() for side in pair for move in side]
    reps = Rep.objects.in_bulk({move[2] for move in named})
    teams = Team.objects.in_bulk(
        {move[1] for move in named} | {team for _, team, _ in result["teams"][: most * 9]}
    )
    credited = _credited(run)

    def mover(move: list[int]) -> Mover:
        rep, team = reps[move[2]], teams[move[1]]
        return Mover(rep.name, rep.slug, team.name, move[3], move[4])

    return Impact(
        [
            MeasureImpact(
                measure=measure,
                **_sums(result["measures"].get(str(measure.pk))),
                credited=credited.get(measure.pk, 0),
                gaining=[mover(move) for move in chosen[measure.pk][0]],
                losing=[mover(move) for move in chosen[measure.pk][1]],
                teams=[
                    (teams[team].name, teams[team].slug, change)
                    for pk, team, change in result["teams"][: most * 9]
                    if pk == measure.pk
                ][:most],
                months=[
                    (date.fromisoformat(first), changes.get(str(measure.pk), 0))
                    for first, changes in result["months"]
                ],
            )
            for measure in measures
        ]
    )


def _sums(found: dict[str, int] | None) -> dict[str, int]:
    return found or {"up": 0, "down": 0, "winners": 0, "losers": 0}


def _credited(run: Job) -> dict[int, int]:
    """What the ledger holds for the months looked at, by the month of its origin: measure to minor units. 1 query."""
    return {
        pk: int(together)
        for pk, together in CreditTotal.objects.filter(
            basis__in=TotalBasis.values,  # what was reported and what restating adds to it
            period__grain=Grain.MONTH,
            period__starts__gte=run.parameters["starts"],
            period__starts__lt=run.parameters["ends"],
        )
        .values("measure_id")
        .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
        .values_list("measure_id", "together")
    }
