"""Evidence is ranked among its like alone, and a revision says what changed."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketplace.models import Evaluation, ModelVersion, Offering, Publication, TaskArea
from marketplace.selectors.evidence import evidence_of
from marketplace.selectors.history import history_of
from marketplace.services.publishing import move_publication
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)

pytestmark = pytest.mark.django_db


def result(version: ModelVersion | None, score: str | None, **more: object) -> Evaluation:
    area, _ = TaskArea.objects.get_or_create(slug="coding", defaults={"name": "Coding"})
    facts: dict[str, object] = {
        "benchmark": "Bench",
        "metric": "pass@1",
        "harness": "H",
        "source": "https://a.example/x",
        **more,
    }
    return Evaluation.objects.create(
        task_area=area,
        model_version=version,
        subject="it",
        score=None if score is None else Decimal(score),
        **facts,
    )


def places(offering: Offering) -> list[tuple[int, int]]:
    return [(r.place, r.of) for area in evidence_of(offering) for r in area.results]


def test_ties_share_a_place_and_the_next_one_is_skipped() -> None:
    offerings = [make.offering() for _ in range(4)]
    for offering, score in zip(offerings, ("90", "80", "80", "70"), strict=True):
        result(offering.model_version, score)
    assert [places(o) for o in offerings] == [[(1, 4)], [(2, 4)], [(2, 4)], [(4, 4)]]


def test_where_lower_is_better_the_lowest_leads() -> None:
    good, bad = make.offering(), make.offering()
    result(good.model_version, "1.5", higher_is_better=False)
    result(bad.model_version, "9", higher_is_better=False)
    assert (places(good), places(bad)) == ([(1, 2)], [(2, 2)])


@pytest.mark.parametrize(
    "other",
    [{"harness": "Another"}, {"metric": "pass@5"}, {"benchmark": "Bench 2"}],
)
def test_another_harness_metric_or_benchmark_is_another_ranking(other: dict[str, object]) -> None:
    offering = make.offering()
    result(offering.model_version, "10")
    result(None, "99", **other)
    assert places(offering) == [(1, 1)]


def test_where_no_harness_is_stated_sources_are_not_mixed() -> None:
    offering = make.offering()
    result(offering.model_version, "10", harness="")
    result(None, "99", harness="", source="https://b.example/y")
    assert places(offering) == [(1, 1)]
    result(None, "99", harness="")
    assert places(offering) == [(2, 2)]


def test_the_same_harness_is_compared_wherever_it_was_published() -> None:
    offering = make.offering()
    result(offering.model_version, "10")
    result(None, "99", source="https://b.example/y")
    assert places(offering) == [(2, 2)]


def test_a_finding_without_figures_is_evidence_and_has_no_place() -> None:
    offering = make.offering()
    finding = result(offering.model_version, None, finding="Better than others")
    result(None, "99")
    (area,) = evidence_of(offering)
    assert (area.results, area.findings) == ([], [finding])


def test_what_has_no_model_has_no_evidence() -> None:
    result(None, "99")
    assert evidence_of(make.offering(kind="seat")) == []


def test_a_revision_says_what_changed() -> None:
    offering = make.plan().offering
    manager = make.user(role="catalog_manager")
    for to in (Publication.STOPPED, Publication.LIVE):
        move_publication(offering_id=offering.pk, to=to, by=manager, at=AT)
    newest, middle, first = history_of(offering)
    assert [(c.name, c.before, c.after) for c in newest.changes] == [("publication", "stopped", "live")]
    assert (newest.revision.number, middle.revision.recorded_by, first.changes) == (3, manager, [])
