"""The recommender ranks by evidence within rankings, says why, and cannot see whose a model is."""

import math
import random
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from config import charts
from marketplace.models import AiModel, Evaluation, Offering, Origin, Program, Publisher, TaskArea
from marketplace.selectors import recommender
from marketplace.selectors.costs import Usage
from marketplace.selectors.recommender import (
    Candidate,
    Constraints,
    Recommendation,
    pareto,
    quality,
    recommend,
)
from marketplace.selectors.strength import strengths
from tests import make
from tests.marketplace.conftest import TODAY, Catalog
from tests.marketplace.evidence_world import rankings, rated, result, sold, task, unsaved

Browser = Callable[[User], Client]

scores = st.lists(st.integers(0, 9), min_size=2, max_size=8)


def ask(on: date = TODAY, slug: str = "coding", **constraints: object) -> Recommendation:
    found = recommend(
        task=slug,
        constraints=Constraints(**constraints),  # type: ignore[arg-type]
        visible=Offering.objects.all(),
        on=on,
    )
    assert found is not None
    return found


def places(found: Recommendation) -> list[tuple[int | None, str]]:
    return [(c.place, c.offering.slug) for c in found.ranked]


# Strength, from comparisons alone.


@given(scores)
def test_within_one_ranking_the_better_score_is_the_larger_share(points: list[int]) -> None:
    results = unsaved((f"m{at}", float(p)) for at, p in enumerate(points))
    found = strengths(rankings(*results))
    ordered = sorted(results, key=lambda e: e.score or 0)
    for worse, better in pairwise(ordered):
        low, high = found["subject", worse.subject].share, found["subject", better.subject].share
        assert low == high if worse.score == better.score else low < high


@given(scores, scores, st.randoms(use_true_random=False))
def test_the_order_in_which_results_are_read_changes_nothing(
    one: list[int], two: list[int], dice: random.Random
) -> None:
    results = [
        *unsaved(((f"m{at}", float(p)) for at, p in enumerate(one)), benchmark="A"),
        *unsaved(((f"m{at}", float(p)) for at, p in enumerate(two)), benchmark="B", first=100),
    ]
    before = strengths(rankings(*results))
    dice.shuffle(results)
    for number, evaluation in enumerate(results, start=1):
        evaluation.pk = number
    assert strengths(rankings(*results)) == before


def test_two_contenders_are_as_far_apart_as_the_formula_says() -> None:
    """The one root of 1 - p(2s) + 1 - 2 p(s) = 0, found by halving."""
    found = strengths(rankings(*unsaved([("winner", 1.0), ("loser", 0.0)])))
    low, high = 0.0, 5.0
    for _halving in range(60):
        s = (low + high) / 2
        slope = 1 - 1 / (1 + math.exp(-2 * s)) + 1 - 2 / (1 + math.exp(-s))
        low, high = (s, high) if slope > 0 else (low, s)
    expected = 1 / (1 + math.exp(-2 * low))
    assert found["subject", "winner"].share == pytest.approx(expected, abs=1e-4)
    assert found["subject", "loser"].share == pytest.approx(1 - expected, abs=1e-4)


def test_to_win_among_strong_ones_says_more_than_to_win_among_weak_ones() -> None:
    strong, weak = [(f"s{n}", 90.0 + n) for n in range(5)], [(f"w{n}", 10.0 + n) for n in range(5)]
    field = unsaved([*strong, *weak], benchmark="Common")
    among_strong = unsaved([*strong, ("one", 92.5)], benchmark="Strong", first=100)
    among_weak = unsaved([*weak, ("two", 12.5)], benchmark="Weak", first=200)
    found = strengths(rankings(*field, *among_strong, *among_weak))
    assert found["subject", "one"].share > found["subject", "two"].share + 0.3


def test_few_comparisons_leave_a_wider_range_than_many() -> None:
    many = unsaved([(f"m{n}", float(n)) for n in range(20)], benchmark="A")
    few = unsaved([("m19", 1.0), ("new", 2.0)], benchmark="B", first=100)
    found = strengths(rankings(*many, *few))
    span = {name: s.high - s.low for (_kind, name), s in found.items()}
    assert span["new"] > span["m10"]
    assert all(s.low <= s.share <= s.high for s in found.values())


# What stands where.


@pytest.mark.django_db
def test_results_of_different_harnesses_never_meet() -> None:
    one, two = sold(task()), sold(task())
    result(one, "90", harness="A")
    result(two, "10", harness="B")
    found = ask()
    assert found.ranked == []
    assert {c.offering for c in found.unknown} == {one, two}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "differs", [{"benchmark_version": "2"}, {"metric": "pass@5"}, {"benchmark": "Other"}]
)
def test_another_version_metric_or_benchmark_is_another_ranking(differs: dict[str, Any]) -> None:
    first, second = rated("50", "40")
    result(second, "99", **differs)
    result(None, "1", subject="x", **differs)
    found = {c.offering: c for c in ask().ranked}
    assert [s.better for s in found[first].standings] == [1]
    assert sorted((s.better, s.others) for s in found[second].standings) == [(0, 1), (1, 1)]


@pytest.mark.django_db
def test_the_best_variant_stands_for_a_model_and_variants_are_not_counted_twice() -> None:
    first, second = rated("50", "40")
    for score in ("10", "20", "60"):
        result(second, score, variant=f"v{score}")
    found = ask()
    assert places(found) == [(1, second.slug), (2, first.slug)]
    (standing,) = found.ranked[0].standings
    assert (standing.better, standing.others, standing.result.variant) == (1, 1, "v60")


@pytest.mark.django_db
def test_no_evidence_and_findings_without_figures_are_groups_of_their_own() -> None:
    best, worst = rated("90", "1")
    unknown, said = sold(task(), name="Nobody tested it"), sold(task(), name="Aurora 2")
    finding = result(None, None, subject="Aurora", finding="Better at it than others.")
    found = ask()
    assert places(found) == [(1, best.slug), (2, worst.slug)]
    assert [c.offering for c in found.unknown] == [unknown]
    assert [(c.offering, [f.evaluation for f in c.findings]) for c in found.said_of] == [(said, [finding])]
    assert found.said_of[0].place is None
    assert found.said_of[0].reasons[0] == "Without figures: Better at it than others."


@pytest.mark.django_db
def test_a_finding_about_one_model_is_not_about_the_next_one() -> None:
    named, other = sold(task(), name="Aurora 4"), sold(task(), name="Aurora 4.5")
    result(None, None, subject="Aurora 4", finding="Good.")
    found = ask()
    assert [c.offering for c in found.said_of] == [named]
    assert [c.offering for c in found.unknown] == [other]


@pytest.mark.django_db
def test_who_is_equally_strong_shares_a_place_and_the_cheaper_stands_first() -> None:
    area = task()
    for price in ("9.00", "1.00"):
        result(sold(area, price=price), "80")
    result(sold(area), "70")
    found = ask()
    assert [c.place for c in found.ranked] == [1, 1, 3]
    assert [c.tied for c in found.ranked] == [True, True, False]
    assert [c.cost for c in found.ranked[:2]] == [4, 36]


@pytest.mark.django_db
def test_reasons_name_the_ranking_the_price_and_the_quota() -> None:
    first, _second = rated("0.5", "0.4", sample_size=225, metric="pass_rate", harness="tool/diff")
    result(None, "0.4", subject="x", metric="pass_rate", harness="tool/diff")
    make.decision(offering=first)
    best = ask().ranked[0]
    assert best.pick
    assert best.reasons == [
        "Better than all of 2 in Bench (pass rate, harness tool/diff, n 225)",
        f"$1.00 per million input tokens, $1.00 per million output tokens ({best.pick.plan.name})",
        "Quota: counts in full",
    ]
    assert ask().ranked[1].standings[0].text.endswith("n 225); level with 1")


@pytest.mark.django_db
def test_every_constraint_that_is_not_met_is_named() -> None:
    (offering,) = rated("50")
    version = offering.model_version
    assert version
    version.modalities_in, version.context_window = ["text"], 8000
    version.save()
    found = ask(
        modalities_in=("text", "image"),
        modalities_out=("text",),
        min_context=100_000,
        region="eu",
        eligible_for=(Program.QUOTA.value,),
        lifecycle=("preview",),
        max_input_price=Decimal("0.50"),
        budget=Decimal("3.99"),
    )
    assert (found.ranked, found.unknown) == ([], [])
    (excluded,) = found.excluded
    assert excluded.reasons == (
        "Its stage is generally available.",
        "It does not take in image.",
        "It is not known whether it can give out text.",
        "Its context is 8,000 tokens.",
        "No public plan of it is stated to run in eu.",
        "Quota: not decided.",
        "Its input price is unknown.",
        "Its cost is unknown.",
    )
    dear = ask(max_input_price=Decimal("0.50"), budget=Decimal("3.99"))
    assert dear.excluded[0].reasons == (
        "Its input price is $1.00 a million tokens.",
        "Its cost is $4.00 a month.",
    )
    assert ask(budget=Decimal("4.00")).excluded == []


@pytest.mark.django_db
def test_what_is_not_on_sale_that_day_is_excluded_with_its_reason() -> None:
    (retired,) = rated("50")
    Offering.objects.filter(pk=retired.pk).update(retires_on=TODAY)
    assert ask(on=TODAY - timedelta(days=1)).excluded == []
    assert ask().excluded[0].reasons == (f"{retired.name} has been retired since 14 Aug 2026.",)


@pytest.mark.django_db
def test_results_of_a_later_day_were_not_known_yet() -> None:
    first, second = rated("50", "40")
    result(second, "60", variant="late", dated=TODAY)
    assert places(ask()) == [(1, second.slug), (2, first.slug)]
    assert places(ask(on=TODAY - timedelta(days=1))) == [(1, first.slug), (2, second.slug)]


@pytest.mark.django_db
def test_an_unpublished_offering_of_others_is_in_no_ranking() -> None:
    first, second = rated("50", "40")
    secret = sold(task(), publication="draft")
    result(secret, "99")
    found = recommend(
        task="coding",
        constraints=Constraints(),
        visible=Offering.objects.exclude(pk=secret.pk),
        on=TODAY,
    )
    assert found
    assert places(found) == [(1, first.slug), (2, second.slug)]
    assert found.ranked[0].standings[0].others == 1
    assert found.excluded == []


@pytest.mark.django_db
def test_the_cheapest_public_plan_of_the_standard_tier_is_reckoned_with() -> None:
    offering = sold(task(), price="2.00")
    result(offering, "50")
    result(None, "40", subject="x")
    for tier, public, price in (
        ("batch", True, "0.50"),
        ("standard", False, "0.10"),
        ("standard", True, "1.00"),
    ):
        plan = make.plan(offering=offering, public=public)
        plan.processing_tier = tier
        plan.save()
        make.price(plan=plan, rows={"input-tokens": price, "output-tokens": price})
    found = ask(usage=Usage(input_tokens=1_000_000, output_tokens=1_000_000))
    assert found.ranked[0].cost == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("country", "cost"), [("", 4), ("IN", 2)])
def test_another_markets_list_is_reckoned_with_only_there(country: str, cost: int) -> None:
    offering = sold(task(), price="2.00")
    result(offering, "50")
    result(None, "40", subject="x")
    (plan,) = offering.plans.all()
    make.price(plan=plan, market="IN", rows={"input-tokens": "1", "output-tokens": "1"})
    found = ask(usage=Usage(input_tokens=1_000_000, output_tokens=1_000_000), country=country)
    assert found.ranked[0].cost == cost


@pytest.mark.django_db
def test_an_unknown_price_is_unknown_and_not_on_the_frontier() -> None:
    area = task()
    known, unknown = sold(area), make.offering()
    unknown.task_areas.add(area)
    make.price(plan=make.plan(offering=unknown), rows={"input-tokens": None, "output-tokens": "1.00"})
    result(known, "10")
    result(unknown, "90")
    found = ask()
    assert [c.cost for c in found.ranked] == [None, 4]
    assert [c.offering for c in found.frontier] == [known]


@pytest.mark.django_db
def test_of_many_without_evidence_the_first_are_listed_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recommender, "LOOKED_AT", 2)
    area = task()
    rated("50", "40")
    said = sold(area, name="Zephyr 1")
    result(None, None, subject="Zephyr", finding="Good at it.")
    named = [sold(area, name=name) for name in ("Delta", "Alpha", "Echo", "Beta")]
    found = ask()
    assert [c.offering.name for c in found.unknown] == ["Alpha", "Beta"]
    assert (found.more, len(found.ranked), [c.offering for c in found.said_of]) == (2, 2, [said])
    monkeypatch.setattr(recommender, "LOOKED_AT", len(named))
    assert (len(ask().unknown), ask().more) == (4, 0)


# Whose it is.


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in (1, 2))])
def test_publisher_labels_shuffled_the_ranking_stays(catalog: Catalog, seed: int) -> None:
    """In the database itself: every offering and model gets another publisher, origins are swapped."""
    tasks = list(TaskArea.objects.values_list("slug", flat=True))
    before = {slug: ask(slug=slug) for slug in tasks}
    dice = random.Random(seed)
    publishers = list(Publisher.objects.order_by("pk"))
    for publisher in publishers:
        publisher.origin = Origin.FIRST if publisher.origin == Origin.THIRD else Origin.THIRD
        publisher.save()
    offerings, models = list(Offering.objects.order_by("pk")), list(AiModel.objects.order_by("pk"))
    for offering in offerings:
        offering.publisher = dice.choice(publishers)
    for model in models:
        model.publisher = dice.choice(publishers)
    Offering.objects.bulk_update(offerings, ["publisher"])
    AiModel.objects.bulk_update(models, ["publisher"])
    for slug in tasks:
        after = ask(slug=slug)
        assert places(after) == places(before[slug])
        for group in ("said_of", "unknown"):
            names = [[c.offering.slug for c in getattr(found, group)] for found in (before[slug], after)]
            assert names[0] == names[1]
        assert [c.offering.slug for c in after.frontier] == [c.offering.slug for c in before[slug].frontier]
    assert sum(len(found.ranked) for found in before.values()) == 40


def test_the_order_in_which_evaluations_were_recorded_changes_nothing(catalog: Catalog) -> None:
    before = places(ask())
    rows = list(Evaluation.objects.order_by("pk"))
    Evaluation.objects.all().delete()
    random.Random(7).shuffle(rows)
    for row in rows:
        row.pk = None
    Evaluation.objects.bulk_create(rows)
    assert places(ask()) == before


# The frontier.


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_frontier_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    class Point:
        def __init__(self, at: int, cost: int, worth: int) -> None:
            self.offering = Offering(name=f"o{at}", slug=f"o{at}")
            self.cost, self.worth = cost, worth

    made = [Point(at, *point) for at, point in enumerate(points)]
    found = pareto(made, lambda c: float(c.worth))  # type: ignore[arg-type, attr-defined]
    expected = {
        p.offering.slug
        for p in made
        if not any(
            q.cost <= p.cost and q.worth >= p.worth and (q.cost, q.worth) != (p.cost, p.worth) for q in made
        )
    }
    assert {c.offering.slug for c in found} == expected


def test_a_chart_of_nothing_one_dot_free_dots_and_far_costs_is_drawn() -> None:
    def drawn(*dots: charts.Dot) -> str:
        return charts.scatter(
            dots, label="<L>", write_cost=lambda c: f"${c:g}", write_worth=lambda w: f"{w:g}"
        )

    assert "Nothing to draw yet" in drawn()
    assert drawn(charts.Dot("A & B", 1, 0.5, edge=True)).count("A &amp; B") == 2
    assert "free" not in drawn(charts.Dot("A", 0, 1))
    far = drawn(
        charts.Dot("A", 0, 1), charts.Dot("B", 0.1, 2, edge=True), charts.Dot("C", 1000, 3, edge=True)
    )
    assert [f"${n}" in far for n in ("0", "0.1", "1", "10", "100", "1000")] == [True] * 6
    assert 'aria-label="&lt;L&gt;"' in far
    with pytest.raises(ValueError, match="negative"):
        drawn(charts.Dot("A", -1, 1))


@given(
    st.lists(st.tuples(st.floats(0.01, 999), st.floats(0, 1), st.integers(3, 30)), min_size=1, max_size=25)
)
def test_names_in_the_chart_never_touch_at_the_width_of_a_phone(
    points: list[tuple[float, float, int]],
) -> None:
    dots = [charts.Dot("x" * size, cost, worth, edge=True) for cost, worth, size in points]
    width, height = charts._NOMINAL
    across, _ticks = charts._cost_axis([dot.cost for dot in dots])
    spots = [(across(dot.cost), 100 - dot.worth * 100) for dot in dots]
    boxes = []
    for x, y, dx, dy, anchor, text in charts._placed_names(dots, spots):
        left = float(x) / 100 * width + dx
        wide = len(text) * charts._LETTER
        left -= wide if anchor == "end" else wide / 2 if anchor == "middle" else 0
        bottom = float(y) / 100 * height + dy
        boxes.append((left, bottom - 9, left + wide, bottom + 2))
    for at, one in enumerate(boxes):
        assert one[0] >= -1
        assert one[2] <= width + 1
        for other in boxes[at + 1 :]:
            assert one[0] >= other[2] or other[0] >= one[2] or one[1] >= other[3] or other[1] >= one[3]


# Cost, page and endpoint.


@pytest.mark.django_db
def test_the_number_of_queries_does_not_grow_with_offerings() -> None:
    counts = []
    for _round in range(2):
        rated("50", "40", "30")
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert ask().ranked
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 12


def test_page_and_endpoint_give_the_same_answer(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    query = "task=coding&modality_in=image&budget=20&input_tokens=2000000&output_tokens=500000"
    body = client.get(f"/api/v1/recommendations/?{query}").json()
    found = client.get(f"/recommend/?{query}").context["found"]
    assert [r["offering"]["slug"] for r in body["results"]] == [c.offering.slug for c in found.ranked]
    assert [r["reasons"] for r in body["results"]] == [c.reasons for c in found.ranked]
    assert [r["offering"]["slug"] for r in body["without_evidence"]] == [
        c.offering.slug for c in found.unknown
    ]
    assert [e["reasons"] for e in body["excluded"]] == [list(e.reasons) for e in found.excluded]
    assert len(body["results"]) == 11
    o3 = next(r for r in body["results"] if r["offering"]["slug"] == "o3")
    assert o3["cost_a_month"] == {"amount": "8.00", "currency": "USD"}
    assert (o3["place"], o3["on_frontier"]) == (1, True)
    assert o3["standings"][0] == {
        "benchmark": "aider-polyglot",
        "benchmark_version": "",
        "metric": "pass_rate_2",
        "harness": "aider/diff",
        "variant": "high",
        "place": 3,
        "better_than": 40,
        "level_with": 0,
        "others": 42,
        "source": "https://aider.chat/docs/leaderboards/",
        "licence": "Apache-2.0",
    }


def test_a_question_that_makes_no_sense_is_refused_by_name(
    catalog: Catalog, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(make.user(role="rep"))
    for query, parameter in (
        ("", "task"),
        ("task=nothing", "task"),
        ("task=coding&modality_in=smell", "modality_in"),
        ("task=coding&budget=cheap", "budget"),
        ("task=coding&input_tokens=-1", "input_tokens"),
        ("task=coding&cached_input_tokens=9000000", "cached_input_tokens"),
        ("task=coding&as_of=2025-02-31", "as_of"),
        ("task=coding&publisher=openai", "publisher"),
    ):
        with subtests.test(query=query):
            response = client.get(f"/api/v1/recommendations/?{query}")
            assert response.status_code == 400
            assert parameter in str(response.json()["errors"])


def test_the_page_draws_one_harness_alone_when_asked_to(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    page = client.get("/recommend/?task=coding")
    ranking = next(r for r in page.context["rankings"] if r.key.benchmark == "SWE-Bench Pro")
    drawn = client.get(f"/recommend/?task=coding&by={ranking.key.slug}").context["frontier"]
    assert (drawn.by, drawn.drawn) == ("SWE-Bench Pro", 6)
    assert "45.9" in drawn.table
    assert "%" not in drawn.table


def test_an_edited_address_still_shows_a_page(
    catalog: Catalog, browser_of: Browser, subtests: pytest.Subtests
) -> None:
    client = browser_of(make.user(role="rep"))
    for query in (
        "",
        "?task=no-such",
        "?task=coding&budget=x&min_context=-3&as_of=never&country=%00",
    ):
        with subtests.test(query=query):
            response = client.get(f"/recommend/{query}")
            assert response.status_code == 200
            assert [c.place for c in response.context["found"].ranked][:2] == [1, 2]


@pytest.mark.django_db
def test_without_tasks_the_page_says_what_to_do(browser_of: Browser) -> None:
    page = browser_of(make.user(role="rep")).get("/recommend/").content.decode()
    assert "No tasks yet" in page


def test_candidates_without_comparisons_have_no_quality() -> None:
    assert quality(Candidate(Offering(), {})) == 0.0
