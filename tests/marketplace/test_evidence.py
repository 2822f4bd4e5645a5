"""Evidence is ranked among its like alone, and a revision says what changed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from marketplace.models import Evaluation, ModelVersion, Offering, Publication, TaskArea
from marketplace.selectors.evidence import evidence_of, public_evaluations, rankings_of, wilson
from marketplace.selectors.history import history_of
from marketplace.services.publishing import move_publication
from tests import make
from tests.marketplace.conftest import TODAY, Catalog

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
        subject=str(facts.pop("subject", "it")),
        score=None if score is None else Decimal(score),
        **facts,
    )


def places(offering: Offering) -> list[tuple[int, int]]:
    return [(r.place, r.of) for area in evidence_of(offering, TODAY) for r in area.results]


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
    (area,) = evidence_of(offering, TODAY)
    assert (area.results, [f.evaluation for f in area.findings]) == ([], [finding])


def test_what_has_no_model_has_no_evidence() -> None:
    result(None, "99")
    assert evidence_of(make.offering(kind="seat"), TODAY) == []


def test_a_revision_says_what_changed() -> None:
    offering = make.plan().offering
    manager = make.user(role="catalog_manager")
    for to in (Publication.STOPPED, Publication.LIVE):
        move_publication(offering_id=offering.pk, to=to, by=manager, at=AT)
    newest, middle, first = history_of(offering)
    assert [(c.name, c.before, c.after) for c in newest.changes] == [("publication", "stopped", "live")]
    assert (newest.revision.number, middle.revision.recorded_by, first.changes) == (3, manager, [])


# Intervals, days, and what is said of a whole family.


def test_a_rate_of_a_known_number_of_cases_has_wilson_s_interval() -> None:
    """61.3 % of 225: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n) is 54.8 to 67.4."""
    offering = make.offering()
    result(offering.model_version, "61.3", metric="pass_rate_2", sample_size=225)
    (area,) = evidence_of(offering, TODAY)
    interval = area.results[0].interval
    assert interval
    assert (round(interval.low, 1), round(interval.high, 1)) == (Decimal("54.8"), Decimal("67.4"))
    assert interval.computed


def test_a_fraction_stays_a_fraction_and_the_source_s_own_interval_stands() -> None:
    offering = make.offering()
    version = offering.model_version
    result(version, "0.5", benchmark="A", sample_size=100)
    result(version, "50", benchmark="B", interval_low=Decimal(40), interval_high=Decimal(60), sample_size=100)
    result(version, "50", benchmark="C", metric="elo", sample_size=100)
    result(version, "50", benchmark="D")
    (area,) = evidence_of(offering, TODAY)
    fraction, given, elo, unsized = (r.interval for r in area.results)
    assert fraction
    assert given
    assert (round(fraction.low, 3), round(fraction.high, 3)) == (Decimal("0.404"), Decimal("0.596"))
    assert (given.low, given.high, given.computed) == (Decimal(40), Decimal(60), False)
    assert (elo, unsized) == (None, None)


@pytest.mark.parametrize(("share", "n"), [(0.0, 10), (1.0, 10), (0.5, 1), (0.3, 10_000)])
def test_wilson_s_interval_holds_its_share_and_stays_within_one(share: float, n: int) -> None:
    low, high = wilson(share, n)
    assert 0 <= low <= share <= high <= 1
    assert high > low
    assert wilson(share, 0) == (0, 1)


def test_another_version_of_the_benchmark_is_another_ranking() -> None:
    offering = make.offering()
    result(offering.model_version, "10", benchmark_version="1")
    result(None, "99", benchmark_version="2")
    assert places(offering) == [(1, 1)]


def test_variants_of_one_model_do_not_push_each_other_down() -> None:
    offering, rival = make.offering(), make.offering()
    for score in ("10", "20", "30"):
        result(offering.model_version, score, variant=score)
    result(rival.model_version, "15")
    assert sorted(places(offering)) == [(1, 2), (1, 2), (2, 2)]


def test_as_on_an_earlier_day_later_results_are_not_there() -> None:
    offering = make.offering()
    result(offering.model_version, "10", dated=TODAY)
    result(None, "5", dated=TODAY + timedelta(days=1))
    assert places(offering) == [(1, 1)]
    assert evidence_of(offering, TODAY - timedelta(days=1)) == []


def test_a_finding_of_a_family_is_said_of_the_family_and_not_of_this_version() -> None:
    offering, other = make.offering(name="Aurora Large 2"), make.offering(name="Auroral 1")
    finding = result(None, None, finding="Better than others", subject="Aurora")
    (area,) = evidence_of(offering, TODAY)
    assert [(f.evaluation, f.subject) for f in area.findings] == [(finding, "Aurora")]
    assert evidence_of(other, TODAY) == []


def test_what_is_not_published_counts_in_nobody_else_s_ranking() -> None:
    offering, secret = make.offering(), make.offering(publication="draft")
    result(offering.model_version, "10")
    result(secret.model_version, "99")
    assert places(offering) == [(1, 1)]
    assert places(secret) == [(1, 2)]


def test_the_section_shows_source_licence_cases_and_what_is_synthetic(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    version = Offering.objects.get(slug="o3").model_version
    area = TaskArea.objects.get(slug="coding")
    Evaluation.objects.create(
        task_area=area,
        model_version=version,
        subject="o3",
        benchmark="Made up",
        score=Decimal(1),
        source="our own",
        synthetic=True,
    )
    html = browser_of(make.user(role="rep")).get("/catalog/o3/").content.decode()
    section = html[html.index('id="evidence"') :]
    assert 'href="https://aider.chat/docs/leaderboards/"' in section
    for said in (
        "Apache-2.0",
        "n 225",
        "Harness aider/diff, as high",
        "75.7 to 85.9, computed",
        "Place 3 of 43",
    ):
        assert said in section, said
    assert section.count("Synthetic") == 1
    assert "Licence not stated" in section


def test_every_result_of_the_data_files_names_its_source_and_licence(catalog: Catalog) -> None:
    assert not Evaluation.objects.filter(source="").exists()
    assert not Evaluation.objects.filter(score__isnull=False, licence="").exists()
    assert set(Evaluation.objects.filter(score=None).values_list("licence", flat=True)) == {""}


# The tasks.


def test_the_matrix_shows_the_best_place_and_no_overall_winner(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    page = browser_of(make.user(role="rep")).get("/tasks/")
    cells = {
        row.task_area.slug: {p.slug: c for p, c in zip(page.context["publishers"], cells, strict=True)}
        for row, cells in page.context["rows"]
    }
    best = cells["groundedness"]["microsoft"].best
    assert (best.place, best.of) == (3, 92)
    assert (cells["slides"]["anthropic"].results, cells["slides"]["anthropic"].findings) == (0, 1)
    assert not cells["retrieval"]["openai"].known
    assert "no overall winner" in page.content.decode()


def test_a_task_shows_each_ranking_on_its_own_with_where_it_comes_from(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    client = browser_of(make.user(role="rep"))
    page = client.get("/tasks/coding/")
    known = page.context["known"]
    assert len({r.key for r in known.rankings}) == len(known.rankings) == 3
    assert all(len(r.best) > 1 for r in known.rankings)
    assert 'href="/sourcing/facts/#fact-eval-coding"' in page.content.decode()
    assert client.get("/tasks/nothing/").status_code == 404


def test_a_task_page_costs_the_same_however_much_is_known(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    client = browser_of(make.user(role="rep"))
    counts = []
    for slug in ("coding", "groundedness"):
        with CaptureQueriesContext(connection) as captured:
            client.get(f"/tasks/{slug}/")
        counts.append(len(captured))
    assert counts[0] == counts[1]


# The seed's facts that concern the catalog.

CATALOG_FACTS = {
    "incentive_policy": ("/equal-footing/", "/catalog/publishers/anthropic/"),
    "catalog_policy": ("/equal-footing/",),
    "task_evaluation": (
        "/tasks/coding/",
        "/tasks/slides/",
        "/tasks/spreadsheets/",
        "/tasks/reasoning/",
        "/tasks/general-work/",
    ),
    "feature_binding": ("/catalog/publishers/anthropic/",),
}
ALSO = {"multi-model": "/tasks/", "lock-in": "/tasks/"}


def test_every_seed_fact_of_the_catalog_stands_on_a_page_with_its_source(
    catalog: Catalog, browser_of: Callable[[User], Client], shared_dir: Path
) -> None:
    told = (
        json.loads((shared_dir / "catalog" / "seed_facts.json").read_text())
        if (shared_dir / "catalog").is_dir()
        else json.loads((shared_dir / "data" / "catalog" / "seed_facts.json").read_text())
    )
    client = browser_of(make.user(role="rep"))
    register = client.get("/sourcing/facts/").content.decode()
    pages = {
        path: client.get(path).content.decode()
        for paths in (*CATALOG_FACTS.values(), ALSO.values())
        for path in paths
    }
    walked = 0
    for fact in told["facts"]:
        paths = CATALOG_FACTS.get(fact["kind"], ()) or ([ALSO[fact["id"]]] if fact["id"] in ALSO else [])
        if not paths:
            continue
        walked += 1
        link = f'href="/sourcing/facts/#fact-{fact["id"]}"'
        showing = [path for path in paths if link in pages[path]]
        assert showing, fact["id"]
        place = f"aragraph {fact['paragraph']}"
        refs = ", ".join(str(number) for number in fact["cited"])
        for path in showing:
            near = pages[path].split(link)[1][:200]
            assert place in near, (path, fact["id"])
            assert refs in near, (path, fact["id"])
        assert f'id="fact-{fact["id"]}"' in register
    assert walked == 13


def test_a_report_that_leaves_the_harness_out_does_not_count_the_same_run_twice() -> None:
    offering, rival = make.offering(), make.offering()
    for version, score in ((offering.model_version, "50"), (rival.model_version, "40")):
        result(version, score, benchmark="bench-mark", dated=TODAY)
        result(version, score, benchmark="Bench Mark", harness="", dated=TODAY)
    result(offering.model_version, "30", benchmark="Bench Mark", harness="", dated=TODAY)
    (area,) = evidence_of(offering, TODAY)
    assert [(r.evaluation.benchmark, r.evaluation.score, r.place, r.of) for r in area.results] == [
        ("Bench Mark", Decimal(30), 1, 1),
        ("bench-mark", Decimal(50), 1, 2),
    ]


def test_results_of_the_data_files_that_only_repeat_others_are_not_compared(catalog: Catalog) -> None:
    """31 of models.dev's are Aider's own; what each is of is known from there."""
    repeated = Evaluation.objects.filter(benchmark="Aider Polyglot")
    assert repeated.count() == 31
    assert not [key for key in rankings_of(public_evaluations(TODAY)) if key.benchmark == "Aider Polyglot"]
    for model in repeated.exclude(model_version=None).values_list("model_version__model__slug", flat=True):
        assert Evaluation.objects.filter(
            benchmark="aider-polyglot", model_version__model__slug=model
        ).exists()
