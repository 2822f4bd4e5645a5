"""What a scenario comes to: figures worked out by hand, and what can be told of everything it may be asked."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from marketplace.models import (
    BindingRole,
    Feature,
    ModelVersion,
    MoveKind,
    Plan,
    Publisher,
    ScenarioMove,
    SpendPlan,
    Substitution,
)
from marketplace.selectors.costs import Usage
from marketplace.selectors.sourcing.costing import PriceBook
from marketplace.selectors.sourcing.scenario import Outcome, evaluate
from marketplace.selectors.sourcing.scenario_mix import ONE, Mix, Part, move_share, spread, without
from tests import make

TODAY = date(2026, 8, 14)
SEPTEMBER, OCTOBER, NOVEMBER = date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1)
db = pytest.mark.django_db


def sold(
    low: str = "3", high: str = "15", *, publisher: Publisher | None = None, name: str = "", **more: object
) -> tuple[ModelVersion, Plan]:
    """A version on sale, with the prices of a million tokens in and out."""
    plan = make.plan(offering=make.offering(publisher=publisher, name=name))
    make.price(plan=plan, rows={"input-tokens": low, "output-tokens": high})
    version = plan.offering.model_version
    assert version is not None
    ModelVersion.objects.filter(pk=version.pk).update(**more)
    version.refresh_from_db()
    return version, plan


def used(feature: Feature, version: ModelVersion, *, millions: int = 1) -> None:
    """As much in as out in each of the three months that are looked back at, so that a month is expected to be like them."""
    for month in (5, 6, 7):
        make.usage(
            feature=feature,
            version=version,
            month=date(2026, month, 1),
            tokens=(millions * 1_000_000, 0, millions * 1_000_000),
        )


def share(
    source: ModelVersion, target: ModelVersion, ppm: int, feature: Feature | None = None
) -> ScenarioMove:
    return ScenarioMove(kind=MoveKind.SHARE, source=source, target=target, share_ppm=ppm, feature=feature)


def look(*moves: ScenarioMove, starts_on: date = SEPTEMBER, months: int = 2, on: date = TODAY) -> Outcome:
    return evaluate(moves, starts_on=starts_on, months=months, on=on)


def codes(found: Outcome) -> list[str]:
    return sorted(finding.code for finding in found.findings)


# Money.


@db
def test_moving_half_of_a_feature_costs_what_its_tokens_cost_on_either_model() -> None:
    feature = make.feature()
    (a, _), (b, _) = sold("3", "15"), sold("1", "5")
    make.binding(feature=feature, version=a)
    used(feature, a)
    found = look(share(a, b, 500_000))
    # A month is a million tokens in and one out: 18 dollars on a; half on each is 9 and 3.
    assert found.before.by_month == [18_00, 18_00]
    assert found.after.by_month == [12_00, 12_00]
    assert (found.difference, found.before.hhi, found.after.hhi) == (-12_00, 10_000, 6_250)
    [row] = found.features
    assert [(s.name, s.share_ppm) for s in row.shares_after] == [
        (a.model.name, 500_000),
        (b.model.name, 500_000),
    ]
    assert found.obstacles == []


@db
def test_announced_prices_announced_mixes_and_a_start_within_a_month_count_by_days() -> None:
    feature = make.feature()
    a, plan = sold("3", "15")
    plan.price_versions.update(effective=(date(2020, 1, 1), OCTOBER))
    make.price(plan=plan, effective=(OCTOBER, None), rows={"input-tokens": "6", "output-tokens": "30"})
    b, _ = sold("1", "5")
    make.binding(feature=feature, version=a, effective=(date(2020, 1, 1), NOVEMBER))
    make.binding(feature=feature, version=b, effective=(NOVEMBER, None))
    used(feature, a)
    found = look(share(a, b, 500_000), starts_on=date(2026, 9, 16), months=3)
    assert found.before.by_month == [18_00, 36_00, 6_00]
    # 15 of 30 days at 18 and 15 at 12; then 18 and 3; in November b has all of it either way.
    assert found.after.by_month == [15_00, 21_00, 6_00]


@db
def test_a_price_by_per_cent_compounds_and_leaves_the_days_before_it_alone() -> None:
    feature = make.feature()
    a, plan = sold("3", "15")
    make.binding(feature=feature, version=a)
    used(feature, a)
    dearer = ScenarioMove(kind=MoveKind.PRICE, plan=plan, change_ppm=200_000)
    cheaper = ScenarioMove(kind=MoveKind.PRICE, plan=plan, change_ppm=-500_000)
    found = look(dearer, cheaper, starts_on=date(2026, 9, 16))
    assert found.after.by_month == [9_00 + 5_40, 10_80]
    assert [f.code for f in found.obstacles] == ["price_move", "price_move"]


@db
@pytest.mark.parametrize(
    "rows",
    [
        {"input-tokens": "3.1", "output-tokens": "15.7"},
        {"input-tokens": "3.1", "cached-input-tokens": "0.31", "output-tokens": "15.7"},
        {"input-tokens": "3.1", "output-tokens": None},
        {"input-tokens": "3.1", "output-tokens": "15.7", "requests": "2"},
        {"input-tokens": "3.1"},
    ],
)
def test_every_kind_of_list_costs_what_the_price_book_says(rows: dict[str, str | None]) -> None:
    feature = make.feature()
    plan = make.plan()
    make.price(plan=plan, rows=rows)
    version = plan.offering.model_version
    assert version is not None
    make.binding(feature=feature, version=version)
    make.usage(feature=feature, version=version, tokens=(1_234_567, 234_567, 345_678))
    usage = Usage(input_tokens=1_234_567, cached_input_tokens=234_567, output_tokens=345_678)
    wanted = PriceBook([plan.pk], SEPTEMBER, OCTOBER).cost(plan.pk, SEPTEMBER, usage)
    [line] = look(months=1).before.lines
    assert (line.minor, line.why) == (wanted.minor, wanted.why)


@db
def test_a_month_costs_what_the_price_book_says_with_discount_tiers_and_long_requests() -> None:
    feature = make.feature()
    version, plan = sold("3", "15")
    row = plan.price_versions.get().rows.get(meter="input-tokens")
    for tier, above, amount in ((600_000, 0, "2"), (0, 100_000, "7")):
        row.pk, row.tier_from, row.above_context, row.amount = None, tier, above, amount
        row.save()
    supplier = make.company(publisher=plan.offering.publisher)
    make.agreement(supplier=supplier, discount_ppm=123_456, effective=(date(2026, 9, 11), None))
    make.binding(feature=feature, version=version)
    for month in (5, 6, 7):
        made = make.usage(
            feature=feature, version=version, month=date(2026, month, 1), tokens=(1_000_001, 7, 333_333)
        )
        made.requests = 9
        made.save()
    usage = Usage(input_tokens=1_000_001, cached_input_tokens=7, output_tokens=333_333, requests=9)
    book = PriceBook([plan.pk], SEPTEMBER, NOVEMBER)
    wanted = [book.cost(plan.pk, month, usage).minor for month in (SEPTEMBER, OCTOBER)]
    assert look().before.by_month == wanted
    assert wanted[0] != wanted[1]


@db
def test_a_version_that_retires_keeps_its_last_price_and_is_named_while_another_gap_stays_without_a_price() -> (
    None
):
    feature = make.feature()
    (a, plan), (b, gap) = sold("3", "15", name="Leaves"), sold("1", "5")
    plan.offering.retires_on = date(2026, 9, 16)
    plan.offering.save()
    plan.price_versions.update(effective=(date(2020, 1, 1), date(2026, 9, 16)))
    gap.price_versions.update(effective=(date(2020, 1, 1), date(2026, 9, 16)))
    make.binding(feature=feature, version=a, share_ppm=500_000)
    make.binding(feature=feature, version=b, share_ppm=500_000, role="selectable")
    used(feature, a)
    found = look()
    assert found.before.by_month == [9_00, 9_00]
    assert [(u.version_id, u.months) for u in found.before.unpriced] == [(b.pk, 2)]
    [held] = [f for f in found.findings if f.code == "price_held"]
    assert "Leaves (retires on 16 Sep 2026). Its last price is held" in held.text


@db
def test_traffic_without_a_price_is_named_and_never_a_saving() -> None:
    feature, other = make.feature(), make.feature()
    (a, _), (b, _) = sold("3", "15"), sold("1", "5")
    free = make.model_version(name="Unsold")
    for each in (feature, other):
        make.binding(feature=each, version=a)
        used(each, a)
    found = look(share(a, free, 500_000, feature), share(a, b, ONE, other))
    [first, second] = found.features
    assert (first.difference, first.why) == (None, "Other tokens than before have no price.")
    assert second.difference == -24_00
    assert found.difference == -24_00
    [unpriced] = found.after.unpriced
    assert (unpriced.version_id, unpriced.why, unpriced.tokens, unpriced.months) == (
        free.pk,
        "No plan sells it.",
        2_000_000,
        2,
    )


# A supplier ends.


def world_without_one() -> tuple[list[Feature], dict[str, ModelVersion], ScenarioMove]:
    """Four features on a model that goes: one has a fallback, one others, one a qualified substitution, one nothing."""
    leaver = make.publisher()
    versions = {
        "gone": sold("3", "15", publisher=leaver)[0],
        "step in": sold("1", "5")[0],
        "one": sold("2", "10")[0],
        "two": sold("4", "20")[0],
    }
    features = [make.feature(name=f"Feature {n}") for n in range(4)]
    gone = versions["gone"]
    make.binding(feature=features[0], version=gone, share_ppm=800_000)
    make.binding(feature=features[0], version=versions["one"], share_ppm=200_000, role="selectable")
    make.binding(feature=features[0], version=versions["step in"], role=BindingRole.FALLBACK)
    make.binding(feature=features[1], version=gone, share_ppm=600_000)
    make.binding(feature=features[1], version=versions["one"], share_ppm=100_000, role="selectable")
    make.binding(feature=features[1], version=versions["two"], share_ppm=300_000, role="selectable")
    make.binding(feature=features[2], version=gone)
    make.binding(feature=features[3], version=gone)
    for place, state in ((2, "qualified"), (3, "proposed")):
        Substitution.objects.create(
            feature=features[place],
            replaced=gone,
            alternative=versions["two"],
            state=state,
            reason="Made for a test",
            proposed_at=make.AT,
            decided_at=make.AT if state == "qualified" else None,
        )
    for feature in features:
        used(feature, gone)
    company = make.company(publisher=leaver, name="Leaver")
    return features, versions, ScenarioMove(kind=MoveKind.END_SUPPLIER, supplier=company)


def shares_after(found: Outcome, feature: Feature) -> dict[str, int]:
    row = next(row for row in found.features if row.feature == feature)
    return {s.name: s.share_ppm for s in row.shares_after if s.share_ppm}


@db
def test_a_supplier_that_ends_gives_way_to_fallbacks_then_the_others_then_what_is_qualified() -> None:
    features, versions, end = world_without_one()
    found = look(end, months=1)
    name = {key: version.model.name for key, version in versions.items()}
    assert shares_after(found, features[0]) == {name["step in"]: 800_000, name["one"]: 200_000}
    assert shares_after(found, features[1]) == {name["one"]: 250_000, name["two"]: 750_000}
    assert shares_after(found, features[2]) == {name["two"]: ONE}
    assert shares_after(found, features[3]) == {}
    # Before: 18 x 0.8 + 12 x 0.2, then 18 x 0.6 + 12 x 0.1 + 24 x 0.3, then 18 twice.
    assert [row.before for row in found.features] == [16_80, 19_20, 18_00, 18_00]
    assert [row.after for row in found.features] == [4_80 + 2_40, 3_00 + 18_00, 24_00, 0]
    assert [row.difference for row in found.features] == [-9_60, 1_80, 6_00, None]
    assert "100.0% of its traffic has no model from 1 Sep 2026 on" in found.obstacles[0].text
    assert [f.code for f in found.obstacles] == ["uncovered"]
    assert [taken.how for taken in found.taken[features[1].pk]] == ["bound", "bound"]


@db
def test_what_takes_over_has_to_be_able_to_and_the_next_one_does_where_it_is_not() -> None:
    features, versions, end = world_without_one()
    step_in = versions["step in"]
    ModelVersion.objects.filter(pk=step_in.pk).update(released_on=date(2026, 9, 11))
    features[2].min_context = 100_000
    features[2].save()
    ModelVersion.objects.filter(pk=versions["two"].pk).update(context_window=8_000)
    found = look(end, months=1)
    mixes = [mix for mix in found.after.mixes[features[0].pk] if mix.parts]
    one = [(mix.start, mix.part(versions["one"].pk)) for mix in mixes]
    assert [(start, part.share_ppm) for start, part in one if part] == [
        (SEPTEMBER, ONE),
        (date(2026, 9, 11), 200_000),
    ]
    assert [f.feature_id for f in found.findings if f.code == "uncovered"] == [f.pk for f in features[2:]]


@db
def test_what_is_agreed_with_a_supplier_is_named_when_it_ends() -> None:
    _features, _versions, end = world_without_one()
    assert end.supplier is not None
    make.agreement(supplier=end.supplier, notice_days=90, renews_on=date(2027, 1, 1))
    ours = make.company(name="We", operator=True)
    make.relationship(
        payer=end.supplier, payee=ours, kind="compute_commitment", amount_minor=30_000_000_000_00
    )
    text = " ".join(f.text for f in look(end).findings)
    assert "90 days' notice, renews on 1 Jan 2027" in text
    assert "Leaver to We: compute commitment exactly $30B" in text


# Quality, plans and treatment.


@db
def test_quality_is_a_mean_by_tokens_with_the_interval_of_what_moves() -> None:
    feature = make.feature(task="coding")
    (a, _), (b, _) = sold(), sold()
    make.binding(feature=feature, version=a)
    used(feature, a)
    suite = make.suite(task="coding")
    make.suite_run(suite=suite, version=a, score=("0.47", "0.50", "0.53"))
    make.suite_run(suite=suite, version=b, score=("0.66", "0.70", "0.74"))
    [row] = look(share(a, b, 500_000)).quality
    assert row.before is not None
    assert row.after is not None
    assert row.change is not None
    assert [row.before.score, row.after.score] == pytest.approx([0.5, 0.6])
    # Half of 0.03 and half of 0.04 below and above: the root of 0.015 squared and 0.02 squared is 0.025.
    assert [row.after.low, row.after.high] == pytest.approx([0.575, 0.625])
    assert [row.change.low, row.change.high] == pytest.approx([0.075, 0.125])
    assert row.verdict == "better"


@db
def test_a_score_that_is_missing_makes_no_mean_and_is_named() -> None:
    feature = make.feature(task="coding")
    (a, _), (b, _) = sold(), sold(name="Unjudged")
    make.binding(feature=feature, version=a)
    used(feature, a)
    make.suite_run(suite=make.suite(task="coding"), version=a)
    [row] = look(share(a, b, 500_000)).quality
    assert (row.verdict, row.after, row.missing) == ("unknown", None, ("Unjudged",))
    assert row.before is not None


@db
def test_what_does_not_move_needs_no_score_for_the_change_to_be_known() -> None:
    feature = make.feature(task="coding")
    (a, _), (b, _), (still, _) = sold(), sold(), sold(name="Unjudged")
    make.binding(feature=feature, version=a, share_ppm=400_000)
    make.binding(feature=feature, version=still, share_ppm=600_000, role="selectable")
    used(feature, a)
    suite = make.suite(task="coding")
    make.suite_run(suite=suite, version=a, score=("0.47", "0.50", "0.53"))
    make.suite_run(suite=suite, version=b, score=("0.66", "0.70", "0.74"))
    [row] = look(share(a, b, ONE)).quality
    assert (row.before, row.after, row.missing, row.verdict) == (None, None, ("Unjudged",), "better")
    assert row.change is not None
    assert row.change.score == pytest.approx(0.4 * 0.2)


@db
def test_where_less_is_better_a_lower_score_is_an_improvement_and_nothing_moved_is_the_same() -> None:
    feature = make.feature(task="coding")
    (a, _), (b, _) = sold(), sold()
    make.binding(feature=feature, version=a)
    used(feature, a)
    suite = make.suite(task="coding")
    for version, score in ((a, ("0.47", "0.50", "0.53")), (b, ("0.26", "0.30", "0.34"))):
        run = make.suite_run(suite=suite, version=version, score=score)
        run.higher_is_better = False
        run.save()
    [row] = look(share(a, b, ONE)).quality
    assert row.change is not None
    assert row.change.score == pytest.approx(0.2)
    assert row.verdict == "better"
    assert [row.verdict for row in look().quality] == ["same"]


@db
def test_spend_plans_stand_beside_what_falls_on_their_days() -> None:
    feature = make.feature()
    a, _ = sold("3", "15")
    b, plan = sold("1", "5")
    make.binding(feature=feature, version=a)
    used(feature, a)
    SpendPlan.objects.create(
        supplier=make.company(publisher=plan.offering.publisher),
        effective=(date(2026, 9, 16), date(2026, 9, 26)),
        amount_minor=5_00,
        currency=make.currency(),
        source="made for a test",
        recorded_at=make.AT,
    )
    [row] = look(share(a, b, ONE)).plans
    assert (row.planned, row.before, row.after) == (5_00, 0, 2_00)  # a third of a month at 6 dollars


@db
def test_credit_eligibility_is_the_traffic_on_what_counts_on_the_first_day() -> None:
    feature = make.feature()
    (a, plan_a), (b, plan_b) = sold(), sold(name="Starts to count")
    make.binding(feature=feature, version=a)
    used(feature, a)
    make.decision(offering=plan_a.offering, rate_ppm=0)
    make.decision(offering=plan_b.offering, effective=(SEPTEMBER, OCTOBER))
    credit = look(share(a, b, 250_000)).credit
    assert (credit.ppm_before, credit.ppm_after) == (0, 250_000)
    assert credit.changes == (("Starts to count", "1 Oct 2026"),)
    assert look(share(a, b, 250_000), starts_on=OCTOBER).credit.ppm_after == 0


# What speaks against it.


@db
def test_what_a_feature_asks_and_a_target_does_not_have_is_named() -> None:
    feature = make.feature(
        name="Strict",
        min_context=200_000,
        modalities_in=["text", "image"],
        modalities_out=["text"],
        zone="eu",
    )
    a, _ = sold()
    make.binding(feature=feature, version=a)
    small, plan = sold(name="Small", context_window=128_000, modalities_in=["text"], modalities_out=["text"])
    plan.zone = "us"
    plan.save()
    unsure, _ = sold(name="Unsure")
    found = look(share(a, small, 500_000), share(a, unsure, 500_000))
    assert [(f.code, f.blocks) for f in found.findings] == [
        ("context", True),
        ("modalities", True),
        ("zone", True),
        ("context", False),
        ("modalities", False),
        ("modalities", False),
        ("zone", False),
    ]
    assert found.findings[0].text.endswith(
        "Strict: Small holds 128,000 tokens; 200,000 tokens of context are asked."
    )
    assert found.findings[2].text.endswith("Small is bought in US; the feature runs in EU.")


@db
def test_a_feature_with_a_zone_buys_a_target_there_where_it_is_sold_there() -> None:
    feature = make.feature(zone="eu")
    a, _ = sold()
    make.binding(feature=feature, version=a)
    used(feature, a)
    b, plan = sold("1", "5")
    there = make.plan(offering=plan.offering)
    there.zone, there.position = "eu", 9
    there.save()
    make.price(plan=there, rows={"input-tokens": "2", "output-tokens": "10"})
    found = look(share(a, b, ONE), months=1)
    assert found.after.by_month == [12_00]
    assert "zone" not in codes(found)


@db
def test_targets_that_are_not_out_or_retire_and_moves_of_nothing_are_named() -> None:
    feature = make.feature(name="Chat")
    a, _ = sold(name="Present")
    make.binding(feature=feature, version=a)
    late, _ = sold(name="Late", released_on=date(2026, 9, 20))
    brief, plan = sold(name="Brief")
    plan.offering.retires_on = date(2026, 10, 20)
    plan.offering.save()
    over, plan = sold(name="Over")
    plan.offering.retires_on = date(2026, 8, 20)
    plan.offering.save()
    away = make.company(publisher=make.publisher(), name="Away")
    found = look(
        share(a, late, 500_000),
        share(a, brief, 500_000),
        share(a, over, 500_000),
        share(make.model_version(name="Idle"), a, ONE),
        ScenarioMove(kind=MoveKind.END_SUPPLIER, supplier=away),
    )
    said = {f.code: f.text for f in found.obstacles}
    assert "Late is out on 20 Sep 2026 only, after 1 Sep 2026" in said["not_released"]
    assert (
        "Over retires on 20 Aug 2026 and runs nothing from 1 Sep 2026 on, when a mix begins"
        in said["retired"]
    )
    assert [f.text.split(" takes")[0] for f in found.doubts] == ["Brief"]
    nothing = [f.text for f in found.obstacles if f.code == "nothing_moves"]
    assert "Move 4 moves nothing: no feature runs on Idle" in nothing[0]
    assert "Move 5 moves nothing: no feature runs on a model of Away" in nothing[1]


@db
def test_shares_that_are_not_stated_are_taken_evenly_and_have_to_be_stated_before_a_promotion() -> None:
    feature = make.feature()
    (a, _), (b, _), (c, _) = sold("3", "15"), sold("1", "5"), sold("2", "10")
    make.binding(feature=feature, version=a, share_ppm=400_000)
    make.binding(feature=feature, version=b, share_ppm=None, role="selectable")
    make.binding(feature=feature, version=c, share_ppm=None, role="selectable")
    used(feature, a)
    found = look(share(b, a, ONE), months=1)
    assert found.before.by_month == [7_20 + 1_80 + 3_60]
    assert found.after.by_month == [12_60 + 3_60]
    assert [f.code for f in found.obstacles] == ["share_not_stated"]


# What it costs us.


@db
def test_the_number_of_queries_depends_on_nothing() -> None:
    def queries(moves: Sequence[ScenarioMove]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            look(*moves, months=36)
        return len(caught)

    _features, versions, end = world_without_one()
    few = queries([end])
    for n in range(6):
        more = make.feature(task=f"task-{n}")
        bound, _ = sold()
        make.binding(feature=more, version=bound)
        used(more, bound)
        make.suite_run(version=bound)
        make.agreement(supplier=make.company(publisher=bound.model.publisher), discount_ppm=1)
    assert queries([end, share(versions["one"], versions["two"], 500_000)]) == few
    assert few <= 22


# Mixes.

PARTS = st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True)


@given(total=st.integers(0, ONE), weights=st.dictionaries(st.integers(0, 9), st.integers(0, 50)))
def test_what_is_spread_adds_up_and_is_never_off_by_more_than_one(
    total: int, weights: dict[int, int]
) -> None:
    parts = spread(total, weights)
    assert sum(parts.values()) == (total if weights else 0)
    whole = sum(weights.values())
    for key, part in parts.items():
        exact = Fraction(total * weights[key], whole) if whole else Fraction(total, len(weights))
        assert abs(part - exact) < 1


@given(versions=PARTS, target=st.integers(0, 7), moved=st.integers(1, ONE), gone=st.sets(st.integers(0, 7)))
def test_traffic_is_neither_lost_nor_made_and_one_model_stays_the_default(
    versions: list[int], target: int, moved: int, gone: set[int]
) -> None:
    shares = spread(ONE, dict.fromkeys(versions, 1))
    parts = [
        Part(v, "selectable" if place else "default", shares[v], None) for place, v in enumerate(versions)
    ]
    parts.append(Part(99, "fallback", 0, None))
    mix = Mix(SEPTEMBER, OCTOBER, tuple(parts))
    if target != versions[0]:
        mix = move_share(mix, versions[0], target, moved, None)
    assert mix.uncovered_ppm == 0
    left, taken = without(mix, lambda pk: pk in gone | {99}, lambda _pk: [], lambda _pk: True)
    lost = sum(p.share_ppm for p in mix.parts if p.version_id in gone)
    assert left.uncovered_ppm == (0 if any(p.share_ppm for p in left.parts) else lost)
    assert sum(t.share_ppm for t in taken) == lost - left.uncovered_ppm
    assert sum(p.role == "default" for p in left.parts) == (1 if any(p.share_ppm for p in left.parts) else 0)
