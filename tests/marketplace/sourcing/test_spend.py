"""Spend by supplier, product, feature and model, against figures worked out by hand; run-rate, plan and forecast."""

from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from django.db.backends.postgresql.psycopg_any import DateRange
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from marketplace.models import Bound, Company, Feature, ModelVersion, Plan, Publisher, SpendPlan
from marketplace.selectors.sourcing.costing import NOT_SOLD
from marketplace.selectors.sourcing.spend import line_through, monthly, run_rate
from marketplace.selectors.sourcing.usage_lines import explained, lines_in_force, priced, summed
from tests import make

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
JUNE, JULY, AUGUST = date(2026, 6, 1), date(2026, 7, 1), date(2026, 8, 1)
MILLION = 1_000_000


def sold(by: Publisher | None = None, price: str = "1") -> tuple[Plan, ModelVersion]:
    """A plan that takes *price* dollars for a million tokens out, and its model."""
    offering = make.offering(publisher=by) if by is not None else make.offering()
    plan = make.plan(offering=offering)
    make.price(plan=plan, rows={"output-tokens": price})
    version = offering.model_version
    assert version is not None
    return plan, version


def used(
    plan: Plan, version: ModelVersion, month: date, millions: int, feature: Feature | None = None
) -> None:
    make.usage(feature=feature, version=version, plan=plan, month=month, tokens=(0, 0, millions * MILLION))


def plan_of(company: Company, amount: int, start: date = JULY, end: date = date(2027, 7, 1)) -> SpendPlan:
    return SpendPlan.objects.create(
        supplier=company,
        effective=DateRange(start, end),
        amount_minor=amount,
        currency=make.currency(),
        bound=Bound.ABOUT,
        source="made for a test",
        recorded_at=AT,
    )


@pytest.mark.django_db
def test_the_same_lines_add_up_whichever_way_they_are_looked_at() -> None:
    product = make.product(name="Assistant")
    one, two = make.feature(product=product), make.feature(product=product)
    (plan_a, a), (plan_b, b) = sold(price="1"), sold(price="10")
    make.agreement(supplier=make.company(publisher=plan_b.offering.publisher), discount_ppm=200_000)
    used(plan_a, a, JUNE, 5, one)
    used(plan_a, a, JULY, 7, one)
    used(plan_b, b, JULY, 3, two)
    make.usage(feature=two, version=make.model_version(), month=JULY, tokens=(4, 0, 4))
    seen = {by: monthly(JUNE, AUGUST, by) for by in ("supplier", "product", "feature", "model")}
    # 5 and 7 at $1; 3 at $10 less 20%
    for found in seen.values():
        assert (found.totals, found.total, found.listed) == ((5_00, 31_00), 36_00, 42_00)
        assert (found.unpriced_lines, found.lines) == (1, 4)
        assert [(each.why, each.lines, each.tokens) for each in found.unpriced] == [(NOT_SOLD, 1, 8)]
    assert [(row.name, row.amounts, row.saved) for row in seen["supplier"].rows[:2]] == [
        (plan_b.offering.publisher.name, (None, 24_00), 6_00),
        (plan_a.offering.publisher.name, (5_00, 7_00), 0),
    ]
    assert seen["supplier"].rows[2].total is None
    assert [(row.name, row.total) for row in seen["product"].rows] == [("Assistant", 36_00)]
    assert {(row.slug, row.total, row.unpriced) for row in seen["feature"].rows} == {
        (one.slug, 12_00, 0),
        (two.slug, 24_00, 1),
    }
    assert [row.total for row in seen["model"].rows] == [24_00, 12_00, None]


@pytest.mark.django_db
def test_another_currency_is_in_no_sum() -> None:
    offering = make.offering()
    plan = make.plan(offering=offering)
    make.price(plan=plan, rows={"output-tokens": "2"}, code="EUR")
    version = offering.model_version
    assert version is not None
    used(plan, version, JULY, 3)
    found = monthly(JULY, AUGUST)
    assert (found.total, dict(found.apart), found.unpriced_lines) == (None, {"EUR": Fraction(6)}, 0)


@pytest.mark.django_db
def test_the_run_rate_is_of_whole_months_and_stands_beside_its_plan() -> None:
    plan, version = sold()
    company = make.company(publisher=plan.offering.publisher)
    for month, millions in ((date(2026, 5, 1), 10), (JUNE, 20), (JULY, 30), (AUGUST, 400)):
        used(plan, version, month, millions)
    make.usage(version=version, month=JULY)
    plan_of(company, 365_00)
    ended = plan_of(company, 100_00, date(2026, 5, 1), JULY)
    [rate] = run_rate(ON)
    assert (rate.last, rate.last_minor, rate.annual) == (JULY, 30_00, 360_00)
    assert (rate.trailing_minor, rate.annual_trailing, rate.unpriced) == (60_00, 240_00, 1)
    assert rate.plan is not None
    # 31 of 365 days have passed with July
    assert (rate.plan.to_date, rate.plan.spent, rate.plan.over) == (31_00, 30_00, -1_00)
    assert (rate.plan.months_done, rate.plan.months, rate.plan.unpriced) == (1, 12, 1)
    [before] = rate.ended
    assert (before.plan, before.to_date, before.spent, before.forecast) == (ended, 100_00, 30_00, None)


@pytest.mark.django_db
def test_a_forecast_goes_on_at_the_mean_of_three_months_with_the_line_as_its_range() -> None:
    plan, version = sold()
    company = make.company(publisher=plan.offering.publisher)
    for at, millions in enumerate((10, 20, 30, 40, 50, 60), start=2):
        used(plan, version, date(2026, at, 1), millions)
    plan_of(company, 100_00, JULY, date(2026, 10, 1))
    [rate] = run_rate(ON)
    assert rate.plan is not None
    assert rate.plan.forecast is not None
    forecast = rate.plan.forecast
    # August and September: 50 each; the line leads to 70 and 80, and missed no month
    assert (forecast.first, forecast.months, forecast.rest) == (AUGUST, 2, 100_00)
    assert (forecast.low, forecast.high) == (100_00, 150_00)
    assert rate.plan.landing == (160_00, 160_00, 210_00)


@pytest.mark.django_db
def test_two_months_are_too_few_for_a_forecast() -> None:
    plan, version = sold()
    company = make.company(publisher=plan.offering.publisher)
    for month in (JUNE, JULY):
        used(plan, version, month, 10)
    plan_of(company, 100_00)
    [rate] = run_rate(ON)
    assert rate.plan is not None
    assert rate.plan.forecast is None
    assert rate.plan.why_none == "A forecast needs 3 whole months with a price; there are 2."


@pytest.mark.django_db
def test_what_retires_within_the_plan_is_named_with_its_spend() -> None:
    plan, version = sold()
    company = make.company(publisher=plan.offering.publisher)
    plan.offering.retires_on = date(2026, 11, 30)
    plan.offering.save()
    other, lasting = sold(by=plan.offering.publisher)
    used(plan, version, JULY, 30)
    used(other, lasting, JULY, 5)
    plan_of(company, 365_00)
    [rate] = run_rate(ON)
    assert [(each.version, each.end, each.minor) for each in rate.retiring] == [
        (version, date(2026, 11, 30), 30_00)
    ]


@pytest.mark.django_db
def test_a_supplier_with_a_plan_and_no_spend_is_shown() -> None:
    plan_of(make.company(publisher=make.publisher()), 100_00)
    [rate] = run_rate(ON)
    assert (rate.last_minor, rate.annual, rate.plan is not None) == (None, None, True)
    assert rate.plan is not None
    assert "there are 0" in rate.plan.why_none


@pytest.mark.django_db
def test_a_line_tells_how_it_comes_to_its_cost_and_what_it_corrects() -> None:
    offering = make.offering()
    plan = make.plan(offering=offering)
    make.price(plan=plan, effective=(date(2026, 1, 1), date(2026, 7, 11)), rows={"output-tokens": "31"})
    make.price(plan=plan, effective=(date(2026, 7, 11), None), rows={"output-tokens": "62"})
    version = offering.model_version
    assert version is not None
    make.agreement(
        supplier=make.company(publisher=offering.publisher), discount_ppm=100_000, effective=(JULY, None)
    )
    wrong = make.usage(version=version, plan=plan, tokens=(0, 0, 9 * MILLION))
    wrong.superseded_at = AT
    wrong.save()
    used(plan, version, JULY, 1, wrong.feature)
    [line] = explained(list(lines_in_force()))
    assert [(s.start.day, s.end, s.off) for s in line.stretches] == [
        (1, date(2026, 7, 11), Fraction(1, 10)),
        (11, AUGUST, Fraction(1, 10)),
    ]
    assert [meter.amount for s in line.stretches for meter in s.meters] == [31, 62]
    # 10 days at $31 and 21 at $62 of 31 days, less a tenth
    assert (line.cost.listed_minor, line.cost.minor, line.off_minor) == (52_00, 46_80, 5_20)
    assert line.before == (wrong,)
    whole = summed([line])
    assert (whole.minor, whole.listed, whole.unpriced, whole.lines) == (46_80, 52_00, 0, 1)


@pytest.mark.django_db
def test_any_number_of_lines_takes_the_same_queries(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for _each in range(3):
        plan, version = sold()
        plan_of(make.company(publisher=plan.offering.publisher), 100_00)
        for month in (JUNE, JULY):
            used(plan, version, month, 1)
    with django_assert_num_queries(7):
        monthly(JUNE, AUGUST, "model")
    with django_assert_num_queries(11):
        run_rate(ON)
    rows = list(lines_in_force())
    with django_assert_num_queries(4):
        priced(rows)
    with django_assert_num_queries(5):
        explained(rows)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=12))
def test_the_line_misses_evenly_on_both_sides(values: list[int]) -> None:
    level, slope = line_through(values)
    misses = [value - (level + slope * at) for at, value in enumerate(values)]
    assert sum(misses) == 0
    assert sum(at * miss for at, miss in enumerate(misses)) == 0
