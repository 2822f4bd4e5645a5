"""Evidence per task. Results are ranked only among results of the same benchmark, version, metric and harness; missing is not zero.

A contender of a ranking is a model version, or a name that is joined to none; its best result stands for it, so that who
was tried in more variants is not counted more often.
"""

import math
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils.text import slugify

from marketplace.models import Evaluation, Offering, PublicFact, TaskArea
from marketplace.selectors.public_facts import fact_behind
from marketplace.selectors.visibility import PUBLISHED

Z: Final = 1.959964  # 95 % of a normal distribution lie within
RATE_WORDS: Final = ("rate", "percent", "pct", "pass@", "accuracy", "resolved", "correct")
Contender = tuple[str, int | str]


class RankingKey(NamedTuple):
    """Only results that agree in all of it are compared. Where the harness is not stated, its source stands for it.

    task   Id of the task area: a benchmark that is used for two tasks is two rankings.
    """

    benchmark: str
    version: str
    metric: str
    harness: str
    source: str
    higher_is_better: bool
    task: int

    @property
    def title(self) -> str:
        return f"{self.benchmark} {self.version}".strip()

    @property
    def measured(self) -> str:
        """The metric in words; empty where it is not stated."""
        return self.metric.replace("_", " ")

    @property
    def conditions(self) -> str:
        """Metric and harness in words; a missing harness is said to be missing."""
        metric = self.measured or "metric not stated"
        return f"{metric}, {f'harness {self.harness}' if self.harness else 'harness not stated'}"

    @property
    def slug(self) -> str:
        """For addresses: the same key is the same word."""
        return slugify(
            "-".join(
                (self.benchmark, self.version, self.metric, self.harness, urlsplit(self.source).path)
            ).replace("/", "-")
        )


@dataclass(frozen=True, slots=True)
class Interval:
    """95 % interval of a score, in the score's own unit. computed: by us from the number of cases, else the source's."""

    low: Decimal
    high: Decimal
    computed: bool


@dataclass(frozen=True, slots=True)
class Result:
    """One result with its place among the contenders it may be compared with; ties share a place (1, 1, 3)."""

    evaluation: Evaluation
    place: int
    of: int
    interval: Interval | None = None

    @property
    def measured(self) -> str:
        """The metric in words; empty where it is not stated."""
        return self.evaluation.metric.replace("_", " ")

    @property
    def source_name(self) -> str:
        """Short enough for a table: the host of an address, else the source as it is."""
        return source_name(self.evaluation)


@dataclass(frozen=True, slots=True)
class Finding:
    """A published statement without figures. subject: whom the source names, where that is more than this one version."""

    evaluation: Evaluation
    subject: str = ""
    fact: PublicFact | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one offering's model version in one task area."""

    task_area: TaskArea
    results: list[Result] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class Ranking:
    """The results that may be compared with each other: one entry a contender, best first."""

    def __init__(self, key: RankingKey, evaluations: Iterable[Evaluation]) -> None:
        self.key = key
        self.evaluations = sorted(evaluations, key=lambda e: e.pk)
        self.scale = 100 if any((e.score or 0) > 1 for e in self.evaluations) else 1

    @cached_property
    def best(self) -> dict[Contender, Evaluation]:
        """The best result of each contender; of equal ones the first that was recorded."""
        best: dict[Contender, Evaluation] = {}
        for evaluation in self.evaluations:
            name = contender_of(evaluation)
            if name not in best or self.merit(evaluation) > self.merit(best[name]):
                best[name] = evaluation
        return best

    def merit(self, evaluation: Evaluation) -> Decimal:
        """The score, turned so that more is better."""
        score = evaluation.score if evaluation.score is not None else Decimal(0)
        return score if self.key.higher_is_better else -score

    @cached_property
    def merits(self) -> list[Decimal]:
        """Of the contenders' best results, lowest first."""
        return sorted(self.merit(best) for best in self.best.values())

    @cached_property
    def members(self) -> frozenset[int]:
        """Ids of the results that stand in it."""
        return frozenset(evaluation.pk for evaluation in self.evaluations)

    def place(self, evaluation: Evaluation) -> int:
        """One more than the other contenders that did better."""
        merit, own = self.merit(evaluation), self.best.get(contender_of(evaluation))
        better = len(self.merits) - bisect_right(self.merits, merit)
        return 1 + better - (own is not None and self.merit(own) > merit)

    def beaten(self, contender: Contender) -> tuple[int, int, int]:
        """How many of the others it did better than, how many it is level with, and how many others there are."""
        own = self.merit(self.best[contender])
        worse = bisect_left(self.merits, own)
        return worse, bisect_right(self.merits, own) - worse - 1, len(self.best) - 1

    def interval(self, evaluation: Evaluation) -> Interval | None:
        return interval_of(evaluation, self.scale)

    @property
    def in_order(self) -> list[Result]:
        """One result a contender, best first; of equal ones by name."""
        entries = sorted(self.best.values(), key=lambda e: (-self.merit(e), e.subject.lower(), e.pk))
        return [Result(e, self.place(e), len(self.best), self.interval(e)) for e in entries]

    @property
    def variants(self) -> int:
        """Results beyond the best ones of their contenders."""
        return len(self.evaluations) - len(self.best)


def contender_of(evaluation: Evaluation) -> Contender:
    if evaluation.model_version_id is not None:
        return "version", evaluation.model_version_id
    return "subject", evaluation.subject


def ranking_key(evaluation: Evaluation) -> RankingKey:
    return RankingKey(
        evaluation.benchmark,
        evaluation.benchmark_version,
        evaluation.metric,
        evaluation.harness,
        "" if evaluation.harness else evaluation.source,
        evaluation.higher_is_better,
        evaluation.task_area_id,
    )


def rankings_of(evaluations: Iterable[Evaluation]) -> dict[RankingKey, Ranking]:
    """Everything with a score, kept apart by what may be compared; what only repeats another result is left out."""
    scored = [evaluation for evaluation in evaluations if evaluation.score is not None]
    stated = {_run(evaluation) for evaluation in scored if evaluation.harness}
    grouped: dict[RankingKey, list[Evaluation]] = defaultdict(list)
    for evaluation in scored:
        if evaluation.harness or _run(evaluation) not in stated:
            grouped[ranking_key(evaluation)].append(evaluation)
    return {key: Ranking(key, grouped[key]) for key in sorted(grouped)}


def _run(evaluation: Evaluation) -> tuple[int, str, str, date | None, Decimal | None]:
    """What two reports of one run agree in. A compilation that leaves the harness out would else compare what differs in it, and count it twice."""
    return (
        evaluation.task_area_id,
        slugify(evaluation.benchmark),
        evaluation.source,
        evaluation.dated,
        evaluation.score,
    )


def public_evaluations(on: date) -> QuerySet[Evaluation]:
    """What may be told to everybody and was known on *on*: nothing of a version whose every offering is still unpublished."""
    sold = Offering.objects.filter(model_version=OuterRef("model_version"))
    return Evaluation.objects.filter(
        Q(model_version=None) | ~Exists(sold) | Exists(sold.filter(publication__in=PUBLISHED)), known_on(on)
    )


def known_on(on: date) -> Q:
    """Dated on *on* or before; what has no date counts as known."""
    return Q(dated=None) | Q(dated__lte=on)


def evidence_of(offering: Offering, on: date) -> list[Evidence]:
    """What was known on *on*, by task area; first what has figures. 4 queries, none for an offering without a model."""
    version = offering.model_version
    if version is None:
        return []
    own = list(
        Evaluation.objects.filter(known_on(on), model_version=version)
        .select_related("task_area")
        .order_by("task_area__position", "benchmark", "harness", "variant", "id")
    )
    comparable = public_evaluations(on) | Evaluation.objects.filter(known_on(on), model_version=version)
    rankings = rankings_of(
        comparable.filter(
            Q(benchmark__in={e.benchmark for e in own})
            | Q(source__in={e.source for e in own if not e.harness}),
            score__isnull=False,
        ).order_by("id")
    )
    facts = list(PublicFact.objects.filter(kind="task_evaluation").order_by("id"))
    areas: dict[int, Evidence] = {}
    for evaluation in own:
        area = areas.setdefault(evaluation.task_area_id, Evidence(evaluation.task_area))
        if evaluation.score is None:
            area.findings.append(Finding(evaluation, "", fact_behind(evaluation, facts)))
            continue
        ranking = rankings.get(ranking_key(evaluation))
        if ranking is None or evaluation.pk not in ranking.members:
            continue  # it repeats another of these
        area.results.append(
            Result(evaluation, ranking.place(evaluation), len(ranking.best), ranking.interval(evaluation))
        )
    for evaluation in unjoined_findings(on):
        if names(evaluation.subject, version.model.name):
            area = areas.setdefault(evaluation.task_area_id, Evidence(evaluation.task_area))
            area.findings.append(Finding(evaluation, evaluation.subject, fact_behind(evaluation, facts)))
    return sorted(areas.values(), key=lambda e: (not e.results, e.task_area.position, e.task_area.pk))


def unjoined_findings(on: date) -> QuerySet[Evaluation]:
    """Findings without figures about a name that stands for no single version."""
    return (
        Evaluation.objects.filter(known_on(on), score=None, model_version=None)
        .select_related("task_area")
        .order_by("task_area__position", "id")
    )


def names(subject: str, model: str) -> bool:
    """Whether a statement about *subject* is also one about *model*: "Claude" is about every Claude, "X 4" not about X 4.5."""
    said, words = subject.lower().split(), model.lower().split()
    return bool(said) and words[: len(said)] == said


def interval_of(evaluation: Evaluation, scale: int) -> Interval | None:
    """The source's interval; else Wilson's 95 % where the score is a rate of a known number of cases; else none.

    scale   100 where the rate is in per cent, 1 where it is a fraction.
    """
    if evaluation.interval_low is not None and evaluation.interval_high is not None:
        return Interval(evaluation.interval_low, evaluation.interval_high, computed=False)
    metric = evaluation.metric.lower()
    if evaluation.score is None or not evaluation.sample_size or not any(w in metric for w in RATE_WORDS):
        return None
    share = float(evaluation.score) / scale
    if not 0 <= share <= 1:
        return None
    low, high = wilson(share, evaluation.sample_size)
    unit = Decimal(scale)
    return Interval(
        (Decimal(f"{low:.6f}") * unit).normalize(), (Decimal(f"{high:.6f}") * unit).normalize(), computed=True
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a *share* that was seen in *n* cases; all of [0, 1] where there are none."""
    if n <= 0:
        return 0.0, 1.0
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    reach = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return max(0.0, min(share, middle - reach)), min(1.0, max(share, middle + reach))


def source_name(evaluation: Evaluation) -> str:
    return urlsplit(evaluation.source).hostname or evaluation.source


# What is known of each task, by publisher.


@dataclass(frozen=True, slots=True)
class Cell:
    """What one publisher's offerings have to show in one task. best: the best place, in which ranking."""

    results: int
    findings: int
    best: Result | None = None
    best_in: RankingKey | None = None

    @property
    def known(self) -> bool:
        return bool(self.results or self.findings)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task area; cells by publisher id. offerings: how many that may be seen serve it."""

    task_area: TaskArea
    offerings: int
    results: int
    findings: int
    cells: Mapping[int, Cell]


def task_matrix(visible: QuerySet[Offering], on: date) -> list[TaskRow]:
    """Every task area with what each publisher's visible offerings have to show. 5 queries, whatever the number of offerings."""
    areas = list(TaskArea.objects.order_by("position", "id"))
    through = Offering.task_areas.through._default_manager.filter(offering__in=visible.values("pk"))
    serving = dict(through.order_by().values_list("taskarea_id").annotate(Count("pk")))
    evaluations = list(public_evaluations(on).order_by("id"))
    rankings = rankings_of(evaluations)
    told: dict[int, list[Evaluation]] = defaultdict(list)
    about_some = Q(model_version__in={e.model_version_id for e in evaluations if e.model_version_id})
    for evaluation in evaluations:
        told[evaluation.task_area_id].append(evaluation)
        if evaluation.model_version_id is None and evaluation.score is None and evaluation.subject:
            about_some |= Q(model_version__model__name__istartswith=evaluation.subject.split()[0])
    publishers: dict[int, set[int]] = defaultdict(set)
    named: dict[str, set[int]] = defaultdict(set)
    for version_id, model, publisher_id in (
        visible.filter(about_some)
        .order_by()
        .values_list("model_version_id", "model_version__model__name", "publisher_id")
        .distinct()
    ):
        publishers[version_id].add(publisher_id)
        named[model].add(publisher_id)
    rows = []
    for area in areas:
        own = told[area.pk]
        results: dict[int, list[Evaluation]] = defaultdict(list)
        findings: dict[int, int] = defaultdict(int)
        for evaluation in own:
            if evaluation.model_version_id is not None:
                about = publishers.get(evaluation.model_version_id, set())
            elif evaluation.score is None:
                about = {p for model, ids in named.items() if names(evaluation.subject, model) for p in ids}
            else:
                continue
            for publisher_id in about:
                if evaluation.score is None:
                    findings[publisher_id] += 1
                else:
                    results[publisher_id].append(evaluation)
        cells = {
            publisher_id: _cell(results[publisher_id], findings[publisher_id], rankings)
            for publisher_id in results.keys() | findings.keys()
        }
        rows.append(
            TaskRow(
                area,
                serving.get(area.pk, 0),
                sum(e.score is not None for e in own),
                sum(e.score is None for e in own),
                cells,
            )
        )
    return rows


def _cell(results: Sequence[Evaluation], findings: int, rankings: Mapping[RankingKey, Ranking]) -> Cell:
    """The best place is the one with most behind it: place / contenders, then the larger ranking; alone is no place."""
    placed = []
    for evaluation in results:
        ranking = rankings.get(ranking_key(evaluation))
        if ranking is not None and evaluation.pk in ranking.members and len(ranking.best) > 1:
            placed.append((Result(evaluation, ranking.place(evaluation), len(ranking.best)), ranking.key))
    if not placed:
        return Cell(len(results), findings)
    best, key = min(placed, key=lambda p: (p[0].place / p[0].of, -p[0].of, p[1], p[0].evaluation.pk))
    return Cell(len(results), findings, best, key)


# One task.


@dataclass(frozen=True, slots=True)
class TaskEvidence:
    """Everything that is known for one task area.

    rankings   Of two contenders or more, with an offering that may be seen among them; the largest first.
    others     The same without any such offering.
    alone      Results that nothing is compared with, of what may be seen.
    sold_as    Model version id to the offerings that sell it.
    """

    task_area: TaskArea
    rankings: list[Ranking]
    others: list[Ranking]
    alone: list[Result]
    findings: list[Finding]
    sold_as: Mapping[int, list[Offering]]


def task_evidence(area: TaskArea, visible: QuerySet[Offering], on: date) -> TaskEvidence:
    """What was known on *on* for one task. 3 queries."""
    known = list(public_evaluations(on).filter(task_area=area).select_related("task_area").order_by("id"))
    sold_as: dict[int, list[Offering]] = defaultdict(list)
    versions = {e.model_version_id for e in known if e.model_version_id is not None}
    for offering in visible.filter(model_version__in=versions).order_by("name", "id"):
        sold_as[offering.model_version_id or 0].append(offering)
    facts = list(PublicFact.objects.filter(kind="task_evaluation").order_by("id"))
    shown: tuple[list[Ranking], list[Ranking]] = ([], [])
    alone = []
    for ranking in sorted(rankings_of(known).values(), key=lambda r: (-len(r.best), r.key)):
        sold = any(kind == "version" and version in sold_as for kind, version in ranking.best)
        if len(ranking.best) > 1:
            shown[0 if sold else 1].append(ranking)
        elif sold:
            alone += ranking.in_order
    return TaskEvidence(
        area,
        *shown,
        alone,
        [
            Finding(e, "" if e.model_version_id else e.subject, fact_behind(e, facts))
            for e in known
            if e.score is None
        ],
        sold_as,
    )
