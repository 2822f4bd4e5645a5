"""A small catalog with results, for tests of what is made of evidence."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from marketplace.models import Evaluation, Offering, TaskArea
from marketplace.selectors.evidence import Ranking, rankings_of
from tests import make


def task(slug: str = "coding", name: str = "") -> TaskArea:
    return TaskArea.objects.get_or_create(slug=slug, defaults={"name": name or slug.capitalize()})[0]


def result(
    of: Offering | None,
    score: str | None,
    *,
    area: TaskArea | None = None,
    subject: str = "",
    **more: Any,
) -> Evaluation:
    """Of an offering's model version, or of a name that nothing is joined to."""
    facts: dict[str, Any] = {
        "benchmark": "Bench",
        "metric": "pass@1",
        "harness": "H",
        "source": "https://a.example/x",
        "licence": "MIT",
        **more,
    }
    return Evaluation.objects.create(
        task_area=area or task(),
        model_version=of.model_version if of else None,
        subject=subject or (of.name if of else "Somebody"),
        score=None if score is None else Decimal(score),
        **facts,
    )


def rated(*scores: str, area: TaskArea | None = None, **more: Any) -> list[Offering]:
    """New offerings for the task, priced, each with one result of the same ranking."""
    area = area or task()
    offerings = []
    for score in scores:
        offering = sold(area)
        result(offering, score, area=area, **more)
        offerings.append(offering)
    return offerings


def sold(area: TaskArea, *, price: str | None = "1.00", **more: Any) -> Offering:
    """On sale for a task; price is that of a million tokens, in or out, None for no plan at all."""
    offering = make.offering(**more)
    offering.task_areas.add(area)
    if price is not None:
        make.price(plan=make.plan(offering=offering), rows={"input-tokens": price, "output-tokens": price})
    return offering


def unsaved(scores: Iterable[tuple[str, float]], **more: Any) -> list[Evaluation]:
    """Results of one ranking that no database has seen; numbered as they come."""
    return [
        Evaluation(
            pk=at,
            task_area_id=1,
            subject=subject,
            benchmark=more.get("benchmark", "Bench"),
            metric="points",
            harness=more.get("harness", "H"),
            score=Decimal(str(score)),
            source="https://a.example/x",
        )
        for at, (subject, score) in enumerate(scores, start=more.get("first", 1))
    ]


def rankings(*results: Evaluation) -> list[Ranking]:
    return list(rankings_of(results).values())
