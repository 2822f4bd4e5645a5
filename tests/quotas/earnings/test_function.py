"""What credit earns, as a pure function: published examples to the cent, and laws that hold for any scale. RULES 16."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quotas.crediting.arithmetic import mul_ppm, split
from quotas.crediting.earning import (
    Scale,
    Tier,
    ahead,
    bands,
    by_month,
    drawn,
    earned,
    part_of_year,
)

PERCENT = 10_000  # of a million
CENT = 100


def commission(*tiers: tuple[int, int], **facts: Any) -> Scale:
    """Tiers as (whole units of credit, per cent); credit and pay are in cents."""
    return Scale(
        tuple(Tier(start * CENT, rate * PERCENT) for start, rate in tiers), hundred=1_000_000, **facts
    )


# Facts of published examples, restated; each names its source.
ORACLE_STEPS = commission((0, 1), (1000, 2), (3000, 3), (8000, 5))
ORACLE_RATES = commission((0, 1), (10000, 2), (50000, 3), (100000, 4), whole_amount=True)
GHERKIN = commission((0, 10), (5000, 12))
SALESTOOL = commission((0, 5), (10000, 7), (25000, 10))


@pytest.mark.parametrize(
    ("scale", "sales", "pay"),
    [
        # docs.oracle.com, Sales Compensation: examples of calculating earnings using step rates
        *[
            (ORACLE_STEPS, sales, pay)
            for sales, pay in [(200, 2), (300, 3), (1500, 20), (1200, 14), (2000, 30), (4500, 95)]
        ],
        # docs.oracle.com, Sales Compensation: splitting attainment numbers across rate tiers (1, 2 and 3 % of all of it)
        *[(ORACLE_RATES, sales, pay) for sales, pay in [(5000, 50), (15000, 300), (60000, 1800)]],
        # gist.github.com/richardlawrence/1138036
        (commission((0, 10)), 10000, 1000),
        (GHERKIN, 6000, 620),
        (GHERKIN, 5000, 500),
        # huggingface.co/salestool/TieredCommissionCalculator
        (SALESTOOL, 30000, 2050),
    ],
)
def test_published_examples_come_out_to_the_cent(scale: Scale, sales: int, pay: int) -> None:
    assert earned(sales * CENT, scale) == pay * CENT
    assert sum(band.pays for band in bands(sales * CENT, scale)) == pay * CENT


def test_every_golden_case_passes(shared_dir: Path) -> None:
    path = shared_dir / "data" / "golden_cases.json"
    if not path.is_file():
        pytest.skip("the golden cases are not beside the checkout")
    cases = json.loads(path.read_text())["cases"]
    assert len(cases) == 7
    for case in cases:
        _check(case)


def _rate(text: str) -> int:
    return int(Fraction(text.rstrip("%")) * PERCENT)


def _check(case: dict[str, Any]) -> None:
    tiers = tuple(Tier(tier[0] * CENT, _rate(tier[2])) for tier in case.get("tiers", ()))
    if "transactions" in case:
        pays = [earned(sales * CENT, Scale(tiers, 1_000_000)) for _, _, sales in case["transactions"]]
        assert pays == [pay * CENT for pay in case["expected_each"]], case["id"]
        assert sum(pays) == case["expected_total"] * CENT
    elif "expected_rates" in case:
        scale = Scale(tiers, 1_000_000, whole_amount=True)
        for sales, rate in zip(case["inputs"], case["expected_rates"], strict=True):
            assert earned(sales * CENT, scale) == mul_ppm(sales * CENT, _rate(rate)), case["id"]
    elif "revenue_split" in case:
        shares = [percent * PERCENT for percent in case["revenue_split"].values()]
        parts = split(case["deal"], shares)
        assert dict(zip(case["revenue_split"], parts, strict=True)) == case["expected_revenue_credit"]
        overlay = {who: mul_ppm(case["deal"], p * PERCENT) for who, p in case["overlay_split"].items()}
        assert overlay == case["expected_overlay_credit"]
    else:
        scale = Scale(tiers or (Tier(0, _rate(case["rate"])),), 1_000_000)
        assert earned(case["sales"] * CENT, scale) == case["expected"] * CENT, case["id"]


# $60,000 a year, so $15,000 a quarter; a quota of $400,000. Half a per cent of target for each per cent up to 50 %, one up to
# 100 %, then 1.5: so 75 % of target at 100 %.
OVER_QUOTA = Scale(
    (Tier(0, 500_000), Tier(500_000, 1_000_000), Tier(1_000_000, 1_500_000)),
    hundred=400_000_00,
    worth=(15_000_00, 400_000_00),
)


@pytest.mark.parametrize(
    ("credit", "pay"),
    [
        (-1, 0),
        (0, 0),
        (100_000_00, 1_875_00),  # 25 % x 0.5
        (200_000_00, 3_750_00),
        (400_000_00, 11_250_00),
        (600_000_00, 22_500_00),  # and 50 % x 1.5
    ],
)
def test_attainment_pays_parts_of_the_target_incentive(credit: int, pay: int) -> None:
    assert earned(credit, OVER_QUOTA) == pay


def test_a_threshold_pays_nothing_below_and_everything_from_it_on() -> None:
    scale = replace(OVER_QUOTA, threshold=500_000)
    assert earned(199_999_99, scale) == 0
    assert earned(200_000_00, scale) == 3_750_00


def test_a_cap_is_the_most_that_a_window_pays() -> None:
    capped = replace(OVER_QUOTA, cap_minor=20_000_00)
    assert earned(500_000_00, capped) == 16_875_00
    assert earned(600_000_00, capped) == 20_000_00


def test_a_rate_over_the_whole_amount_jumps_where_its_tier_begins() -> None:
    scale = replace(OVER_QUOTA, whole_amount=True)
    assert earned(399_999_99, scale) == 15_000_00
    assert earned(400_000_00, scale) == 22_500_00


def test_half_a_cent_is_rounded_away_from_zero() -> None:
    assert earned(1, Scale((Tier(0, 500_000),), 1_000_000)) == 1
    assert earned(1, Scale((Tier(0, 499_999),), 1_000_000)) == 0


def test_without_a_quota_nothing_is_earned() -> None:
    assert earned(100, replace(OVER_QUOTA, hundred=0, worth=(15_000_00, 1))) == 0


def test_what_comes_next_says_how_much_is_missing_and_what_it_brings() -> None:
    next_up = ahead(300_000_00, replace(OVER_QUOTA, threshold=500_000))
    assert next_up is not None
    assert next_up == (1_000_000, 100_000_00, 3_750_00, 1_500_000)
    first = ahead(0, replace(OVER_QUOTA, threshold=500_000))
    assert first is not None
    assert first == (500_000, 200_000_00, 3_750_00, 1_000_000)
    assert ahead(400_000_00, OVER_QUOTA) is None
    assert ahead(350_000_00, replace(OVER_QUOTA, cap_minor=1_000_00)) is None


def test_the_parts_of_a_year_add_up_and_the_earlier_windows_get_the_odd_cents() -> None:
    assert [part_of_year(100_03, "Q", n) for n in (1, 2, 3, 4)] == [25_01, 25_01, 25_01, 25_00]
    assert sum(part_of_year(100_03, "M", n) for n in range(1, 13)) == 100_03
    assert part_of_year(100_03, "Y", 1) == 100_03


@pytest.mark.parametrize(
    ("made", "draw", "balance", "expected"),
    [
        (400, 1000, 0, (600, 0)),  # up to the draw
        (-200, 1000, 500, (1200, 0)),  # a claw-back too
        (1000, 1000, 500, (0, 0)),
        (1300, 1000, 500, (0, 300)),  # taken back from what is above the draw
        (9000, 1000, 500, (0, 500)),  # and no more than is owed
        (300, 0, 500, (0, 300)),  # the draw is over, the balance is not
        (-300, 0, 500, (0, 0)),
        (300, 0, 0, (0, 0)),
    ],
)
def test_a_draw_fills_up_and_is_taken_back(
    made: int, draw: int, balance: int, expected: tuple[int, int]
) -> None:
    assert drawn(made, draw, balance) == expected


# --- laws -------------------------------------------------------------------------------------------------


@st.composite
def scales(draw: st.DrawFn, *, whole: bool | None = None, cuts: bool = True) -> Scale:
    starts = sorted(draw(st.sets(st.integers(1, 3_000_000), max_size=4)))
    rates = draw(st.lists(st.integers(0, 5_000_000), min_size=len(starts) + 1, max_size=len(starts) + 1))
    quota = draw(st.integers(1, 10**10))
    return Scale(
        tuple(Tier(start, rate) for start, rate in zip([0, *starts], rates, strict=True)),
        hundred=quota,
        worth=(draw(st.integers(0, 10**8)), quota),
        threshold=draw(st.integers(0, 2_000_000)) if cuts else 0,
        whole_amount=draw(st.booleans()) if whole is None else whole,
        cap_minor=draw(st.none() | st.integers(0, 10**8)) if cuts else None,
    )


law = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
credits = st.integers(-(10**10), 3 * 10**10)


@law
@given(scales(), st.lists(credits, max_size=8), st.integers(0, 255))
def test_neither_order_nor_batches_matter(scale: Scale, amounts: list[int], cuts: int) -> None:
    whole = earned(sum(amounts), scale)
    assert sum(by_month(amounts, scale)) == whole
    assert sum(by_month(sorted(amounts), scale)) == whole
    assert sum(by_month(_merged(amounts[::-1], cuts), scale)) == whole


def _merged(amounts: Sequence[int], cuts: int) -> list[int]:
    """The same credit in other batches: each bit of *cuts* joins two neighbours."""
    found: list[int] = []
    for nth, amount in enumerate(amounts):
        if found and cuts >> nth & 1:
            found[-1] += amount
        else:
            found.append(amount)
    return found


@law
@given(scales(), st.lists(credits, max_size=6))
def test_what_was_paid_already_is_never_paid_again(scale: Scale, amounts: list[int]) -> None:
    paid = by_month(amounts, scale)
    assert [due - done for due, done in zip(by_month(amounts, scale), paid, strict=True)] == [0] * len(paid)


@law
@given(scales(whole=False), credits, st.integers(0, 10**10))
def test_more_credit_never_pays_less_at_the_margin(scale: Scale, x: int, more: int) -> None:
    assert earned(x + more, scale) >= earned(x, scale)


@law
@given(scales(whole=False, cuts=False), credits)
def test_a_marginal_scale_has_no_jump(scale: Scale, x: int) -> None:
    """One unit of credit more is worth at most the highest rate, and one for the rounding."""
    steepest = max(tier.rate_ppm for tier in scale.tiers)
    step = Fraction(steepest * scale.worth[0], 1_000_000 * scale.worth[1])
    assert earned(x + 1, scale) - earned(x, scale) <= step + 1


@law
@given(scales(whole=True, cuts=False), st.integers(0, 3 * 10**10))
def test_the_whole_amount_jumps_only_where_a_tier_begins(scale: Scale, x: int) -> None:
    edges = {-(-tier.starts_at * scale.hundred // 1_000_000) for tier in scale.tiers}
    step = Fraction(max(t.rate_ppm for t in scale.tiers) * scale.worth[0], 1_000_000 * scale.worth[1])
    if x + 1 not in edges:
        assert abs(earned(x + 1, scale) - earned(x, scale)) <= step + 1


@law
@given(scales(cuts=False), st.integers(0, 3 * 10**10))
def test_the_bands_that_are_shown_add_up_to_the_pay(scale: Scale, x: int) -> None:
    shown = bands(x, scale)
    assert abs(sum(band.pays for band in shown) - earned(x, scale)) <= len(shown)
    assert abs(sum(band.credit for band in shown) - x) <= len(shown)
