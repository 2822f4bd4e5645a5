"""What previews on history found, as pages show it: who moves, and by which rule, publisher or offering; two drafts side by side. RULES 17."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db.models import F, QuerySet, Sum

from config.models import Job, JobState
from marketplace.models import Offering, Origin
from quotas.models import CreditTotal, Grain, Measure, PlanVersion, Rep, RuleVersion, Team, TotalBasis
from quotas.selectors.plans import SIMULATE, history_digest

REPS: Final = "reps"
BYS: Final[Mapping[str, str]] = {
    REPS: "Rep",
    "teams": "Team",
    "rules": "Rule",
    "publishers": "Publisher",
    "offerings": "Offering",
    "origins": "Origin",
    "months": "Month",
}


@dataclass(frozen=True, slots=True)
class Mover:
    """Somebody or something, and by how much it moves; before is what the months that move held.

    before, after  None for months, of which only the change is kept.
    """

    name: str
    slug: str
    detail: str
    before: int | None
    after: int | None
    change: int


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


@dataclass(frozen=True, slots=True)
class Run:
    """A preview in the words of its pages. outcome is what it came to, in a sentence."""

    job: Job
    version: PlanVersion | None
    starts: date
    last: date
    outcome: str

    @property
    def shown(self) -> bool:
        """Whether there is something to read."""
        return self.job.state == JobState.DONE and "moves" in self.job.result


def runs() -> QuerySet[Job]:
    """Every preview on history, the latest first."""
    return Job.objects.filter(kind=SIMULATE).select_related("requested_by").order_by("-pk")


def told(jobs: Iterable[Job]) -> list[Run]:
    """With the versions that they were about. 1 query."""
    jobs = list(jobs)
    versions = PlanVersion.objects.select_related("plan").in_bulk(
        {job.parameters["plan_version_id"] for job in jobs}
    )
    return [
        Run(
            job=job,
            version=versions.get(job.parameters["plan_version_id"]),
            starts=date.fromisoformat(job.parameters["starts"]),
            last=date.fromisoformat(job.parameters["ends"]) - timedelta(days=1),
            outcome=_outcome(job),
        )
        for job in jobs
    ]


def _outcome(job: Job) -> str:
    months = f"{job.done} of {job.total} months"
    if job.state == JobState.CANCELLED:
        return f"Stopped after {months}"
    if job.state == JobState.FAILED:
        return f"Failed after {months}"
    if job.state != JobState.DONE:
        return f"{months} compared"
    if job.result.get("outdated"):
        return "The draft changed meanwhile"
    moved = job.result.get("moves", [])
    people = len({move[2] for move in moved})
    return f"{people:,} {'rep moves' if people == 1 else 'reps move'}" if people else "Nobody moves"


def time_left(job: Job, now: datetime) -> str:
    """How long it will still take, by what its months so far took; empty while that says nothing."""
    if job.state != JobState.RUNNING or not job.total or not job.done or job.started_at is None:
        return ""
    seconds = (now - job.started_at).total_seconds() / job.done * (job.total - job.done)
    if seconds < 0:
        return ""  # the demo's clock goes back at midnight
    return "less than a minute left" if seconds < 60 else f"about {seconds / 60:.0f} min left"


def is_current(run: Job, version: PlanVersion) -> bool:
    """Whether the run was about this very version, beside what is published now. 3 queries."""
    return bool(run.parameters["digest"] == history_digest(version)) and not run.result.get("outdated")


def read(run: Job, *, most: int) -> Impact:
    """The largest movers both ways, by measure. A fixed number of queries."""
    result = run.result
    measures = _measures()
    chosen: dict[int, tuple[list[list[int]], list[list[int]]]] = {}
    for measure in measures:
        own = [move for move in result["moves"] if move[0] == measure.pk]  # the largest move first
        chosen[measure.pk] = (
            [move for move in own if move[4] > move[3]][:most],
            [move for move in own if move[4] < move[3]][:most],
        )
    movers = _reps([move for pair in chosen.values() for side in pair for move in side])
    credited = _credited(run)
    return Impact(
        [
            MeasureImpact(
                measure=measure,
                **_sums(result["measures"].get(str(measure.pk))),
                credited=credited.get(measure.pk, 0),
                gaining=[movers[tuple(move)] for move in chosen[measure.pk][0]],
                losing=[movers[tuple(move)] for move in chosen[measure.pk][1]],
            )
            for measure in measures
        ]
    )


def _measures() -> list[Measure]:
    return list(Measure.objects.select_related("currency").order_by("position", "pk"))


def _sums(found: dict[str, int] | None) -> dict[str, int]:
    return found or {"up": 0, "down": 0, "winners": 0, "losers": 0}


# --- taken apart ------------------------------------------------------------------------------------------


def taken_apart(
    run: Job, by: str, *, most: int | None = None, names: PlanVersion | None = None
) -> list[tuple[Measure, list[Mover]]]:
    """The difference by one of BYS: for each measure that moves, the largest move first; months in their order. At most 4 queries.

    most   How many of each measure; None is all.
    names  Rules are called as in this version, where it has them.
    """
    rows = _rows(run, by)
    kept: list[tuple[Measure, list[list[Any]]]] = []
    for measure in _measures():
        own = [row for row in rows if row[0] == measure.pk]
        kept.append((measure, own if most is None else own[:most]))
    every = [row for _, own in kept for row in own]
    if by == REPS:
        movers: Callable[[list[Any]], Mover] = _named(_reps(every))
    elif by == "rules":
        movers = _rule_namer(every, names)
    elif by == "months":
        movers = _month
    else:
        movers = _namer(by, every)
    return [(measure, [movers(row) for row in own]) for measure, own in kept if own]


def lacks_parts(run: Job) -> bool:
    """Whether the run was made before rules and offerings were told apart."""
    return "moves" in run.result and "rules" not in run.result


def _rows(run: Job, by: str) -> list[list[Any]]:
    """[measure, key, before, after], for reps [measure, team, rep, before, after], for months [measure, first day, change]."""
    result = run.result
    if by == REPS:
        return list(result["moves"])
    if by == "months":
        return [
            [int(pk), first, change]
            for first, changes in result["months"]
            for pk, change in changes.items()
            if change
        ]
    if by == "teams":
        return _added_up([[m, team, before, after] for m, team, _, before, after in result["moves"]])
    if by == "rules":
        return list(result.get("rules", []))
    offerings = result.get("offerings", [])
    if by == "offerings":
        return list(offerings)
    of: dict[int, Any] = dict(
        Offering.objects.filter(pk__in={row[1] for row in offerings}).values_list(
            "pk", "publisher_id" if by == "publishers" else "publisher__origin"
        )
    )
    return _added_up([[measure, of[pk], before, after] for measure, pk, before, after in offerings])


def _added_up(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """By measure and key, the largest move first, without what comes to nothing."""
    sums: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    for *key, before, after in rows:
        known = sums[tuple(key)]
        known[0] += before
        known[1] += after
    found = [[*key, *pair] for key, pair in sums.items() if pair[0] != pair[1]]
    return sorted(found, key=lambda row: (-abs(row[-1] - row[-2]), *map(str, row[:-2])))


def _reps(moves: Iterable[Sequence[int]]) -> dict[tuple[int, ...], Mover]:
    moves = list(moves)
    reps = Rep.objects.in_bulk({move[2] for move in moves})
    teams = Team.objects.in_bulk({move[1] for move in moves})
    return {
        tuple(move): Mover(
            reps[move[2]].name, reps[move[2]].slug, teams[move[1]].name, move[3], move[4], move[4] - move[3]
        )
        for move in moves
    }


def _named(movers: Mapping[tuple[int, ...], Mover]) -> Callable[[list[Any]], Mover]:
    return lambda row: movers[tuple(row)]


def _month(row: list[Any]) -> Mover:
    return Mover(f"{date.fromisoformat(row[1]):%B %Y}", row[1], "", None, None, row[2])


def _namer(by: str, rows: Sequence[list[Any]]) -> Callable[[list[Any]], Mover]:
    keys = {row[1] for row in rows}
    known: dict[Any, tuple[str, str, str]]
    if by == "teams":
        known = {t.pk: (t.name, t.slug, "") for t in Team.objects.filter(pk__in=keys)}
    elif by == "origins":
        known = {value: (str(label), value, "") for value, label in Origin.choices}
    else:
        sold = Offering.objects.select_related("publisher")
        if by == "offerings":
            known = {o.pk: (o.name, o.slug, o.publisher.name) for o in sold.filter(pk__in=keys)}
        else:
            known = {
                o.publisher_id: (o.publisher.name, o.publisher.slug, str(o.publisher.get_origin_display()))
                for o in sold.filter(publisher__in=keys).distinct("publisher").order_by("publisher")
            }
    return lambda row: Mover(*known[row[1]], row[2], row[3], row[3] - row[2])


def _rule_namer(rows: Sequence[list[Any]], names: PlanVersion | None) -> Callable[[list[Any]], Mover]:
    """A rule is called as in *names*, else as in the last version that has it."""
    versions = (
        RuleVersion.objects.filter(rule__in={row[1] for row in rows})
        .select_related("rule", "plan_version__plan")
        .order_by("plan_version__number", "pk")
    )
    known: dict[int, RuleVersion] = {}
    for version in versions:
        own = known.get(version.rule_id)
        if own is None or names is None or own.plan_version_id != names.pk:
            known[version.rule_id] = version

    def mover(row: list[Any]) -> Mover:
        version = known[row[1]]
        return Mover(
            version.name,
            version.rule.slug,
            version.plan_version.plan.name,
            row[2],
            row[3],
            row[3] - row[2],
        )

    return mover


# --- two drafts side by side ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    """Somebody or something under two drafts: the change that each would make, and how far the second is from the first."""

    name: str
    detail: str
    one: int
    other: int

    @property
    def apart(self) -> int:
        return self.other - self.one


@dataclass(frozen=True, slots=True)
class MeasurePair:
    """One measure under two drafts. one and other are the sums as a preview tells them."""

    measure: Measure
    one: MeasureImpact
    other: MeasureImpact
    pairs: Sequence[Pair]

    @property
    def apart(self) -> int:
        return self.other.change - self.one.change


def comparable(one: Job, other: Job) -> bool:
    """Whether two previews looked at the same days in the same way."""
    return all(one.parameters[name] == other.parameters[name] for name in ("starts", "ends", "as_if"))


def side_by_side(one: Job, other: Job, by: str, *, most: int | None = None) -> list[MeasurePair]:
    """What two previews found, by one of BYS, whatever differs most between them first. A fixed number of queries."""
    sums = [read(run, most=0) for run in (one, other)]
    apart: list[dict[int, dict[tuple[str, str, str], int]]] = []
    for run in (one, other):
        found: dict[int, dict[tuple[str, str, str], int]] = {}
        for measure, movers in taken_apart(run, by):
            of = found.setdefault(measure.pk, defaultdict(int))
            for mover in movers:
                of[mover.slug, mover.name, mover.detail] += mover.change
        apart.append(found)
    pairs = []
    for first, second in zip(sums[0].measures, sums[1].measures, strict=True):
        ones, others = (found.get(first.measure.pk, {}) for found in apart)
        keys = dict.fromkeys((*ones, *others))
        rows = [Pair(key[1], key[2], ones.get(key, 0), others.get(key, 0)) for key in keys]
        if by != "months":
            rows.sort(key=lambda row: (-abs(row.apart), -abs(row.one), row.name))
        if rows or first.winners or second.winners or first.losers or second.losers:
            pairs.append(MeasurePair(first.measure, first, second, rows[:most]))
    return pairs


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
