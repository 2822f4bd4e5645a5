"""Brings in task suites with the answers of models. What is there stays: a changed suite comes as a new version."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.db.models import F

from accounts.audit import acting
from accounts.models import User
from config.clock import day_of
from config.refusals import Problem, refuse_if_any
from marketplace.importers.suites import StagedSuite
from marketplace.models import Answer, ModelVersion, SuiteCase, TaskArea, TaskSuite
from marketplace.services.sourcing.access import must_lead_sourcing


@dataclass(slots=True)
class Loaded:
    """suites: by slug, those that are new; left: those that were there; unknown: models that the catalog does not have."""

    suites: dict[str, TaskSuite] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    cases: int = 0
    answers: int = 0


@transaction.atomic
def load_suites(
    *,
    staged: Sequence[StagedSuite],
    by: User,
    at: datetime,
    leave_out_unknown: bool = False,
    synthetic: bool = False,
) -> Loaded:
    """Add what is not there yet. A suite of the same slug and version stays as it is, answers included.

    leave_out_unknown   Leave out answers of models that the catalog does not have; else they keep the whole file out.
    Raises              Forbidden; Invalid (unknown_task, unknown_model, two_versions, twice).
    """
    acting(by=by, at=at, reason="Task suites loaded")
    must_lead_sourcing(by)
    areas = dict(TaskArea.objects.values_list("slug", "pk"))
    versions = _versions()
    done = Loaded()
    problems = _problems(staged, areas)
    named = sorted({model for suite in staged for case in suite.cases for model in case.answers})
    for model in named:
        found = versions.get(model)
        if found is None and not leave_out_unknown:
            problems.append(
                Problem("unknown_model", f"The catalog has no model {model}.", f"/answers/{model}")
            )
        elif found is None:
            done.unknown.append(model)
    refuse_if_any(problems)
    there = set(TaskSuite.objects.values_list("slug", "version"))
    for suite in staged:
        if (suite.slug, suite.version) in there:
            done.left.append(f"{suite.slug} {suite.version}")
        else:
            _add(done, suite, areas[suite.task_area], versions, at, synthetic=synthetic)
    return done


def _versions() -> dict[str, ModelVersion]:
    """By slug of the model, the newest; and each by slug@label. 1 query."""
    found: dict[str, ModelVersion] = {}
    for version in ModelVersion.objects.select_related("model").order_by(
        F("released_on").asc(nulls_first=True), "label", "pk"
    ):
        found[f"{version.model.slug}@{version.label}"] = version
        found[version.model.slug] = version
    return found


def _problems(staged: Iterable[StagedSuite], areas: dict[str, int]) -> list[Problem]:
    found, seen = [], set()
    for place, suite in enumerate(staged):
        if suite.task_area not in areas:
            found.append(
                Problem(
                    "unknown_task",
                    f"{suite.slug}: tasks are {', '.join(sorted(areas))}.",
                    f"/suites/{place}/task_area",
                )
            )
        if (suite.slug, suite.version) in seen:
            found.append(
                Problem("twice", f"{suite.slug} {suite.version} is in the file twice.", f"/suites/{place}")
            )
        seen.add((suite.slug, suite.version))
    return found


def _add(
    done: Loaded,
    suite: StagedSuite,
    area: int,
    versions: dict[str, ModelVersion],
    at: datetime,
    *,
    synthetic: bool,
) -> None:
    made = TaskSuite.objects.create(
        slug=suite.slug,
        version=suite.version,
        name=suite.name,
        task_area_id=area,
        about=suite.about,
        criteria=suite.criteria,
        synthetic=synthetic,
    )
    cases = SuiteCase.objects.bulk_create(
        SuiteCase(suite=made, number=number, prompt=case.prompt)
        for number, case in enumerate(suite.cases, start=1)
    )
    answers = Answer.objects.bulk_create(
        Answer(
            case=case,
            model_version=versions[model],
            harness=suite.harness,
            text=text,
            produced_on=suite.produced_on or day_of(at),
            synthetic=synthetic,
        )
        for case, staged in zip(cases, suite.cases, strict=True)
        # Not in the order of the file, or the order of the ids would tell who wrote what.
        for model, text in sorted(staged.answers.items(), key=lambda item: _shuffled(item[1]))
        if model in versions
    )
    done.suites[suite.slug] = made
    done.cases += len(cases)
    done.answers += len(answers)


def _shuffled(text: str) -> int:
    """The same in every process."""
    return random.Random(text).getrandbits(64)  # noqa: S311 -- an order, not a secret
