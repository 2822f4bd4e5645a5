"""Which model for which task: our own evaluations and the published ones side by side, a ranking a task, no overall winner."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from django.db.models import Q

from marketplace.models import Evaluation, ModelVersion, Offering, PublicFact, SuiteRun, TaskArea
from marketplace.selectors.evidence import Finding, known_on, names, unjoined_findings
from marketplace.selectors.public_facts import fact_behind
from marketplace.selectors.sourcing.binding import bindings_on
from marketplace.selectors.sourcing.judging import Key, Quality, chosen, comparable, in_order
from marketplace.selectors.visibility import PUBLISHED


@dataclass(frozen=True, slots=True)
class Column:
    """One task. entries: of its one ranking, best first; elsewhere: version id to how many other rankings have it."""

    task_area: TaskArea
    key: Key | None
    entries: Mapping[int, Quality]
    elsewhere: Mapping[int, int]
    findings: list[Finding]

    @property
    def ordered(self) -> list[tuple[int, Quality]]:
        return list(in_order(self.entries))

    @property
    def known(self) -> bool:
        return bool(self.entries or self.findings)


@dataclass(frozen=True, slots=True)
class Matrix:
    """columns: tasks about which something is known, in order; unknown: the others; versions: by maker and name."""

    columns: list[Column]
    unknown: list[TaskArea]
    versions: list[ModelVersion]
    bound: Collection[int]
    sold_as: Mapping[int, Offering]


def matrix(on: date) -> Matrix:
    """What was known on *on* of every version that powers a feature then or that we have judged. 8 queries."""
    bound = set(bindings_on(on).values_list("model_version_id", flat=True).order_by())
    judged = set(SuiteRun.objects.filter(dated__lte=on).values_list("model_version_id", flat=True))
    areas = list(TaskArea.objects.order_by("position", "id"))
    wanted = bound | judged
    rankings = comparable(wanted, [area.pk for area in areas], on=on)
    versions = list(
        ModelVersion.objects.filter(pk__in=wanted)
        .select_related("model__publisher")
        .order_by("model__publisher__name", "model__name", "label", "id")
    )
    said = _findings(versions, on)
    columns = []
    for area in areas:
        of_task = rankings.get(area.pk, {})
        entries = chosen(of_task, wanted)
        key = next((entry.key for entry in entries.values()), None)
        elsewhere: dict[int, int] = defaultdict(int)
        for other, those in of_task.items():
            if other != key:
                for version in those:
                    elsewhere[version] += 1
        columns.append(Column(area, key, entries, dict(elsewhere), said.get(area.pk, [])))
    return Matrix(
        [column for column in columns if column.known],
        [column.task_area for column in columns if not column.known],
        versions,
        bound,
        sold_as(wanted),
    )


def _findings(versions: Iterable[ModelVersion], on: date) -> dict[int, list[Finding]]:
    """Statements without figures about any of the versions, by task area id. 3 queries."""
    known = list(versions)
    models = {version.model.name for version in known}
    facts = list(PublicFact.objects.filter(kind="task_evaluation").order_by("id"))
    joined = Evaluation.objects.filter(known_on(on), score=None, model_version__in=[v.pk for v in known])
    found: dict[int, list[Finding]] = defaultdict(list)
    for evaluation in joined.select_related("task_area").order_by("id"):
        found[evaluation.task_area_id].append(Finding(evaluation, "", fact_behind(evaluation, facts)))
    for evaluation in unjoined_findings(on):
        if any(names(evaluation.subject, model) for model in models):
            found[evaluation.task_area_id].append(
                Finding(evaluation, evaluation.subject, fact_behind(evaluation, facts))
            )
    return found


def sold_as(versions: Collection[int]) -> dict[int, Offering]:
    """Version id to the first offering by name that sells it, of those that everybody may see. 1 query."""
    found: dict[int, Offering] = {}
    for offering in Offering.objects.filter(
        Q(publication__in=PUBLISHED), model_version__in=versions
    ).order_by("name", "id"):
        found.setdefault(offering.model_version_id or 0, offering)
    return found
