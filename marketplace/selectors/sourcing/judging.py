"""Our own evaluations beside the published ones: what may be compared, and the best evidence there is per task.

A ranking holds results of one suite version, metric and harness; preferences come out of one round, since a share of
wins means nothing against another field. Of a version's several runs of one ranking the newest stands. A task speaks
through one ranking at a time: no score is carried from one ranking into another, and missing is not zero.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from marketplace.models import Evaluation, SuiteRun
from marketplace.selectors.evidence import RankingKey, known_on, rankings_of, wilson

PREFERENCE: Final = "preference"
INTERNAL: Final = "internal"
PUBLISHED: Final = "published"
FOUR_PLACES: Final = Decimal("0.0001")  # as a run keeps its figures


class RunKey(NamedTuple):
    """Only runs that agree in all of it are compared. round: id of the round that a preference came out of, else 0."""

    suite: int
    title: str
    suite_slug: str
    metric: str
    harness: str
    higher_is_better: bool
    round: int
    task: int

    @property
    def conditions(self) -> str:
        """Metric and harness in words."""
        return f"{self.metric}, harness {self.harness}"


Key = RunKey | RankingKey


@dataclass(frozen=True, slots=True)
class Quality:
    """What one model version reached in one task, in one ranking.

    score, low, high   In the unit of the ranking; low and high are 95 %, None where no interval is known.
    n                  Cases or votes behind it; None is not stated.
    scale              What the score is of: 1 of fractions, 100 of per cents; score / scale lies in 0 to 1 for rates.
    run, evaluation    Exactly one of them: our own run, or the published result.
    """

    score: Decimal
    low: Decimal | None
    high: Decimal | None
    n: int | None
    key: Key
    scale: int = 1
    run: SuiteRun | None = None
    evaluation: Evaluation | None = None

    @property
    def kind(self) -> str:
        """internal or published."""
        return PUBLISHED if self.run is None else INTERNAL

    @property
    def higher_is_better(self) -> bool:
        return self.key.higher_is_better

    @property
    def synthetic(self) -> bool:
        of = self.run or self.evaluation
        return of is not None and of.synthetic

    @property
    def dated(self) -> date | None:
        of = self.run or self.evaluation
        return of.dated if of is not None else None

    @property
    def merit(self) -> Decimal:
        """The score, turned so that more is better."""
        return self.score if self.higher_is_better else -self.score


Best = dict[tuple[int, int], Quality]
Entries = dict[int, Quality]  # by version id


def quality(version_ids: Iterable[int], task_area_ids: Iterable[int], *, on: date | None = None) -> Best:
    """(task area id, version id) to the best comparable evidence: for each task, of one ranking. 2 queries.

    on   What was known on that day; None: everything that is recorded.

    A ranking that compares two of the versions or more comes before one that does not, our own before a published one,
    then the one that covers more of them, then the newest, then the one with more behind it. A version that is not in
    its task's ranking is absent: its results elsewhere could not be compared with the others'.
    """
    versions, tasks = set(version_ids), set(task_area_ids)
    found: Best = {}
    for task, rankings in comparable(versions, tasks, on=on).items():
        entries = chosen(rankings, versions)
        found.update({(task, version): entry for version, entry in entries.items()})
    return found


def comparable(
    versions: Collection[int], tasks: Collection[int], *, on: date | None = None
) -> dict[int, dict[Key, Entries]]:
    """Task area id to its rankings, each with the entry of every one of the *versions* that is in it. 2 queries."""
    found: dict[int, dict[Key, Entries]] = defaultdict(dict)
    for key, entries in _own(versions, tasks, on).items():
        found[key.task][key] = entries
    evaluations = Evaluation.objects.filter(
        task_area__in=tasks, model_version__in=versions, score__isnull=False
    ).order_by("id")
    if on is not None:
        evaluations = evaluations.filter(known_on(on))
    for published, ranking in rankings_of(evaluations).items():
        best: Entries = {}
        for evaluation in ranking.best.values():
            interval = ranking.interval(evaluation)
            if evaluation.score is not None and evaluation.model_version_id is not None:
                best[evaluation.model_version_id] = Quality(
                    evaluation.score,
                    interval.low if interval else None,
                    interval.high if interval else None,
                    evaluation.sample_size,
                    published,
                    ranking.scale,
                    evaluation=evaluation,
                )
        found[published.task][published] = best
    return found


def _own(versions: Collection[int], tasks: Collection[int], on: date | None) -> dict[RunKey, Entries]:
    """The newest run of each version in each ranking. 1 query."""
    runs = (
        SuiteRun.objects.filter(suite__task_area__in=tasks, model_version__in=versions)
        .select_related("suite")
        .order_by("dated", "id")
    )
    if on is not None:
        runs = runs.filter(dated__lte=on)
    found: dict[RunKey, Entries] = defaultdict(dict)
    for run in runs:
        key = run_key(run)
        found[key][run.model_version_id] = Quality(
            run.score, run.interval_low, run.interval_high, run.sample_size, key, run=run
        )
    return found


def run_key(run: SuiteRun) -> RunKey:
    suite = run.suite
    return RunKey(
        suite.pk,
        f"{suite.name} {suite.version}",
        suite.slug,
        run.metric,
        run.harness,
        run.higher_is_better,
        run.round_id or 0,
        suite.task_area_id,
    )


def chosen(rankings: Mapping[Key, Entries], versions: Collection[int]) -> Entries:
    """The entries of the ranking that says most about *versions*; none where no ranking says anything."""
    enough = min(2, len(versions))

    def weight(item: tuple[Key, Entries]) -> tuple[bool, bool, int, date, int, str]:
        key, entries = item
        newest = max((entry.dated for entry in entries.values() if entry.dated), default=date.min)
        behind = sum(entry.n or 0 for entry in entries.values())
        return len(entries) >= enough, isinstance(key, RunKey), len(entries), newest, behind, str(key)

    best = max(rankings.items(), key=weight, default=None)
    return best[1] if best is not None else {}


def in_order(entries: Mapping[int, Quality]) -> Sequence[tuple[int, Quality]]:
    """Best first; of equal ones by version id."""
    return sorted(entries.items(), key=lambda item: (-item[1].merit, item[0]))


def interval_of_rate(score: Decimal, n: int) -> tuple[Decimal, Decimal]:
    """Wilson's 95 % interval of a fraction that was seen in *n* cases, as a run keeps it; it holds the score."""
    low, high = (Decimal(end).quantize(FOUR_PLACES) for end in wilson(float(score), n))
    return min(low, score), max(high, score)
