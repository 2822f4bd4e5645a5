"""Evidence per task. Results are ranked only among results of the same benchmark, metric and harness; missing is not zero."""

from collections import defaultdict
from dataclasses import dataclass
from urllib.parse import urlsplit

from marketplace.models import Evaluation, Offering, TaskArea


@dataclass(frozen=True, slots=True)
class Result:
    """One result with its place among those it may be compared with; ties share a place (1, 1, 3)."""

    evaluation: Evaluation
    place: int
    of: int

    @property
    def source_name(self) -> str:
        """Short enough for a table: the host of an address, else the source as it is."""
        return urlsplit(self.evaluation.source).hostname or self.evaluation.source


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one offering's model version in one task area."""

    task_area: TaskArea
    results: list[Result]
    findings: list[Evaluation]


def ranking_key(evaluation: Evaluation) -> tuple[str, str, str, str]:
    """Only results that agree in all of it are compared. Where the harness is not stated, its source stands for it."""
    return (
        evaluation.benchmark,
        evaluation.metric,
        evaluation.harness,
        "" if evaluation.harness else evaluation.source,
    )


def evidence_of(offering: Offering) -> list[Evidence]:
    """By task area; first what has figures. 2 queries, none for an offering without a model."""
    if offering.model_version_id is None:
        return []
    own = list(
        Evaluation.objects.filter(model_version=offering.model_version_id)
        .select_related("task_area")
        .order_by("task_area__position", "benchmark", "harness", "variant", "id")
    )
    rivals: dict[tuple[str, str, str, str], list[Evaluation]] = defaultdict(list)
    for evaluation in Evaluation.objects.filter(
        benchmark__in={e.benchmark for e in own}, score__isnull=False
    ):
        rivals[ranking_key(evaluation)].append(evaluation)
    areas: dict[int, Evidence] = {}
    for evaluation in own:
        area = areas.setdefault(evaluation.task_area_id, Evidence(evaluation.task_area, [], []))
        if evaluation.score is None:
            area.findings.append(evaluation)
            continue
        others = rivals[ranking_key(evaluation)]
        better = sum(_better(other, evaluation) for other in others)
        area.results.append(Result(evaluation, better + 1, len(others)))
    return list(areas.values())


def _better(one: Evaluation, other: Evaluation) -> bool:
    if one.score is None or other.score is None:
        return False
    return one.score > other.score if other.higher_is_better else one.score < other.score
