"""Shares, the index and its thresholds, against figures worked out by hand; what has one supplier only; who buys of how many."""

from datetime import date
from fractions import Fraction

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Role, User
from marketplace.extension import buyers_between, monthly_sales_between, sales_between
from marketplace.models import BindingRole, ModelVersion, Offering, Plan, Substitution
from marketplace.selectors.sourcing.concentration import (
    ONE,
    Basis,
    Exposure,
    Series,
    Sourced,
    Spread,
    grade,
    hhi,
    shares,
)
from quotas.models import DealKind, DealState
from tests import make

TODAY = date(2026, 8, 14)
JUNE, JULY = date(2026, 6, 1), date(2026, 7, 1)
SWITCH = date(2026, 7, 1)
database = pytest.mark.django_db


# The two measures.


@pytest.mark.parametrize(
    ("amounts", "index"),
    [
        ([5], 10_000),
        ([1, 1], 5_000),
        ([50, 30, 20], 3_800),  # 2,500 + 900 + 400
        ([1, 1, 1], 3_333),
        ([2, 1], 5_556),  # 4,444.4 + 1,111.1 = 5,555.6
        ([1] * 10, 1_000),
        ([7, 0, 0], 10_000),
        ([], 0),
        ([0, 0], 0),
        ([10**17, 3 * 10**17], 6_250),
        ([Fraction(1, 3), Fraction(1, 3)], 5_000),
    ],
)
def test_the_index_is_the_sum_of_squared_shares_in_per_cent(
    amounts: list[int | Fraction], index: int
) -> None:
    assert hhi(amounts) == index


def test_a_negative_amount_is_no_share() -> None:
    for measure in (lambda: hhi([1, -1]), lambda: shares({"a": 3, "b": -1})):
        with pytest.raises(ValueError, match="cannot be negative"):
            measure()


@given(st.lists(st.integers(0, 10**15), max_size=12))
def test_shares_add_up_and_the_index_lies_between_equal_parts_and_one_supplier(amounts: list[int]) -> None:
    found = shares(dict(enumerate(amounts)))
    there = sum(amount > 0 for amount in amounts)
    assert sum(found.values()) == (ONE if there else 0)
    assert hhi(amounts) == hhi(sorted(amounts)) <= 10_000
    if there:
        assert hhi(amounts) >= 10_000 // there - 1


def test_odd_parts_of_shares_go_to_the_largest_remainder() -> None:
    assert shares({"a": 1, "b": 1, "c": 1}) == {"a": 333_334, "b": 333_333, "c": 333_333}
    assert shares({"a": 0}) == {}


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (None, "Unknown"),
        (0, "Low"),
        (1_799, "Low"),
        (1_800, "Moderate"),
        (2_499, "Moderate"),
        (2_500, "High"),
    ],
)
def test_a_threshold_belongs_to_the_word_above_it(index: int | None, word: str) -> None:
    assert grade(index).word == word


def test_thresholds_are_the_operators(settings: pytest.FixtureRequest) -> None:
    settings.SOURCING_THRESHOLDS = {"hhi_moderate": 10, "hhi_high": 20}  # type: ignore[attr-defined]
    assert [grade(index).word for index in (9, 10, 20)] == ["Low", "Moderate", "High"]
    assert grade(20).rule == "20 or more"


def test_a_series_compares_with_the_year_before_else_with_the_earliest_month_known() -> None:
    spreads = [Spread(date(2025 + n // 12, n % 12 + 1, 1), {1: 1}) for n in range(14)]
    spreads[13] = Spread(date(2026, 2, 1), {1: 1, 2: 1})
    series = Series(Basis.SPEND, spreads)
    assert series.before == spreads[1]
    assert (series.change, series.year.hhi if series.year else None) == (-5_000, hhi([12, 1]))
    short = Series(Basis.SPEND, [*spreads[9:12], Spread(date(2026, 1, 1), {}), spreads[13]])
    assert short.before == spreads[9]
    assert short.spreads[3].hhi is None
    assert Series(Basis.SPEND, [spreads[0], Spread(JUNE, {})]).last == spreads[0]
    # A month of which more than a tenth is in no share is nothing to compare with.
    open_ = Spread(date(2025, 10, 1), {1: 1}, unknown=1, gap_ppm=100_001)
    assert Series(Basis.SPEND, [open_, *spreads[10:]]).before == spreads[10]


# What the months say.


def version_of(plan: Plan) -> ModelVersion:
    assert plan.offering.model_version is not None
    return plan.offering.model_version


def priced(per_million: str = "1") -> Plan:
    plan = make.plan()
    make.price(plan=plan, rows={"output-tokens": per_million})
    return plan


def maker(version: ModelVersion) -> int:
    return version.model.publisher_id


def sells(version: ModelVersion, retires_on: date | None = None) -> Offering:
    """An offering of a version that has none yet."""
    made = make.offering(publisher=version.model.publisher, retires_on=retires_on)
    made.model_version = version
    made.save()
    return made


def lead() -> User:
    return make.user(role=Role.SOURCING_LEAD)


@database
def test_spend_is_shared_by_maker_and_month_and_what_has_no_price_stands_apart() -> None:
    one, other = priced("1"), priced("3")
    for month, tokens in ((JUNE, (3_000_000, 1_000_000)), (JULY, (1_000_000, 1_000_000))):
        for plan, out in zip((one, other), tokens, strict=True):
            make.usage(version=version_of(plan), plan=plan, month=month, tokens=(0, 0, out))
    make.usage(version=make.model_version(), month=JULY, tokens=(0, 0, 9_000_000))
    found = Exposure(lead(), TODAY, 12)
    june, july = found.series(Basis.SPEND).spreads[-2:]
    first, second = maker(version_of(one)), maker(version_of(other))
    assert (june.amounts, june.hhi, june.unknown) == ({first: 300, second: 300}, 5_000, 0)
    assert (july.amounts, july.hhi, july.unknown) == ({first: 100, second: 300}, 6_250, 1)
    assert (july.gap_ppm, july.sound, june.sound) == (818_182, False, True)
    assert found.series(Basis.SPEND).spreads[0].hhi is None
    used = found.series(Basis.TOKENS).spreads[-1]
    assert (used.total, used.hhi) == (11_000_000, hhi([1, 1, 9]))


@database
def test_a_feature_is_one_vote_split_by_its_shares_on_the_last_day_of_the_month() -> None:
    one, two, three = (make.model_version() for _ in range(3))
    moved, mixed = make.feature(), make.feature()
    make.binding(feature=moved, version=one, effective=(date(2026, 1, 1), SWITCH))
    make.binding(feature=moved, version=two, effective=(SWITCH, None))
    with transaction.atomic():
        make.binding(feature=mixed, version=two, share_ppm=750_000)
        make.binding(feature=mixed, version=three, share_ppm=250_000, role=BindingRole.SELECTABLE)
        make.binding(feature=mixed, version=one, role=BindingRole.FALLBACK)
    june, july, august = Exposure(lead(), TODAY, 12).series(Basis.FEATURES).spreads[-3:]
    assert june.amounts == {maker(one): ONE, maker(two): 750_000, maker(three): 250_000}
    assert june.hhi == hhi([100, 75, 25])
    assert july.amounts == august.amounts == {maker(two): 1_750_000, maker(three): 250_000}
    assert august.month == date(2026, 8, 1)


@database
def test_a_share_that_nobody_states_is_unknown_unless_it_can_only_be_one_suppliers() -> None:
    whose = make.publisher()
    same = [make.model_version(publisher=whose) for _ in range(2)]
    other, third = make.model_version(), make.model_version()
    with transaction.atomic():
        known = make.feature()
        make.binding(feature=known, version=other, share_ppm=400_000)
        for version in same:
            make.binding(feature=known, version=version, share_ppm=None, role=BindingRole.SELECTABLE)
        unknown = make.feature()
        make.binding(feature=unknown, version=other, share_ppm=None)
        make.binding(feature=unknown, version=third, share_ppm=None, role=BindingRole.SELECTABLE)
    last = Exposure(lead(), TODAY, 12).series(Basis.FEATURES).spreads[-1]
    assert last.amounts == {maker(other): 400_000, whose.pk: 600_000}
    assert last.unknown == ONE


@database
def test_sole_sourced_is_without_another_supplier_in_traffic_in_reserve_or_qualified() -> None:
    ours, theirs = make.publisher(), make.publisher()
    held, twin, foreign = (make.model_version(publisher=p) for p in (ours, ours, theirs))
    sole, spare, qualified, several, empty, offered = (make.feature(name=n) for n in "abcdef")
    for feature in (sole, spare, qualified):
        make.binding(feature=feature, version=held)
    make.binding(feature=sole, version=twin, role=BindingRole.FALLBACK)
    make.binding(feature=spare, version=foreign, role=BindingRole.FALLBACK)
    with transaction.atomic():
        make.binding(feature=several, version=held, share_ppm=500_000)
        make.binding(feature=several, version=foreign, share_ppm=500_000, role=BindingRole.SELECTABLE)
        make.binding(feature=offered, version=held)
        make.binding(feature=offered, version=foreign, share_ppm=0, role=BindingRole.SELECTABLE)
    for feature, state in ((sole, "proposed"), (qualified, "qualified")):
        Substitution.objects.create(
            feature=feature,
            replaced=held,
            alternative=foreign,
            state=state,
            reason="Made for a test",
            proposed_at=make.AT,
            decided_at=None if state == "proposed" else make.AT,
        )
    found = Exposure(lead(), TODAY, 12)
    assert {each.feature.name: each.state for each in found.sourcing} == {
        "a": Sourced.SOLE,
        "b": Sourced.COVERED,
        "c": Sourced.COVERED,
        "d": Sourced.SEVERAL,
        "e": Sourced.UNBOUND,
        "f": Sourced.COVERED,
    }
    assert [each.feature for each in found.sole] == [sole]
    assert any(f.word == "Sole-sourced" and f.what == "1 feature of 6" for f in found.findings)
    # An alternative that can no longer be run is none.
    sells(foreign, retires_on=TODAY)
    again = {each.feature.name: each.state for each in Exposure(lead(), TODAY, 12).sourcing}
    assert again["c"] == Sourced.SOLE
    assert empty.name == "e"


@database
def test_a_product_has_the_suppliers_of_the_last_day_of_each_month() -> None:
    product = make.product()
    feature = make.feature(product=product)
    one, two = make.model_version(), make.model_version()
    make.binding(feature=feature, version=one, effective=(date(2026, 1, 1), SWITCH))
    with transaction.atomic():
        make.binding(feature=feature, version=one, share_ppm=500_000, effective=(SWITCH, None))
        make.binding(
            feature=feature,
            version=two,
            share_ppm=500_000,
            effective=(SWITCH, None),
            role=BindingRole.SELECTABLE,
        )
    [found] = Exposure(lead(), TODAY, 12).products
    assert [(month.month, len(suppliers)) for month, suppliers in found.months[-4:]] == [
        (5, 1),
        (6, 1),
        (7, 2),
        (8, 2),
    ]
    assert found.several_since == JULY


@database
def test_what_runs_with_us_is_told_by_models_by_usage_and_by_deals_and_unknown_is_no_zero() -> None:
    us, them = make.company(operator=True), make.company()
    here, there, nowhere = (make.model_version() for _ in range(3))
    make.hosting(version=here, host=us, effective=(JULY, None))
    make.hosting(version=here, host=them)
    make.hosting(version=there, host=them)
    for version, host, out in ((here, us, 6), (there, them, 3), (nowhere, None, 1)):
        make.binding(version=version)
        make.usage(version=version, host=host, month=JULY, tokens=(0, 0, out))
    world = make.world(rules=[])
    sold = [sells(here), sells(nowhere)]
    seat = make.offering(kind="service")
    make.deal(
        owner=world.ana,
        state=DealState.APPROVED,
        close_date=JULY,
        lines=[make.Line(sold[0], 800_00), make.Line(sold[1], 200_00), make.Line(seat, 50_00)],
    )
    found = Exposure(lead(), TODAY, 12)

    def last(rows: list) -> tuple[int, int, int, int]:  # type: ignore[type-arg]
        row = next(r for r in rows if r.month == JULY)
        return row.ours, row.elsewhere, row.unknown, row.none

    assert last(found.hosted_models) == (1, 1, 1, 0)
    assert last(found.hosted_usage) == (6, 3, 1, 0)
    assert last(found.hosted_deals) == (800_00, 0, 200_00, 50_00)
    june = next(r for r in found.hosted_models if r.month == JUNE)
    assert (june.ours, june.elsewhere) == (0, 2)


@database
def test_changes_of_mixes_and_decisions_in_force_are_marked_with_day_and_people() -> None:
    feature = make.feature(name="Chat")
    one, two = make.model_version(), make.model_version()
    make.binding(feature=feature, version=one, effective=(date(2024, 1, 1), SWITCH))
    changed = make.binding(feature=feature, version=two, effective=(SWITCH, None))
    changed.made_by = make.user(name="Emeka Buyer")
    changed.save()
    seller = make.publisher(name="Acme")
    make.offering(publisher=seller)
    make.decision(publisher=seller, effective=(date(2026, 7, 9), None), rate_ppm=500_000)
    make.decision(publisher=seller, effective=(date(2026, 7, 9), None), program="resale", checked=False)
    found = Exposure(lead(), TODAY, 12).events
    assert [(event.day, event.kind) for event in found] == [
        (SWITCH, "binding"),
        (date(2026, 7, 9), "decision"),
    ]
    assert found[0].who == "Emeka Buyer"
    assert found[0].detail == f"{two} 100%"
    assert found[1].detail == "Counts 50%"
    assert "Acme" in found[1].what
    assert "checked by" in found[1].who


@database
def test_one_supplier_above_the_threshold_of_spend_is_warned_of_unless_it_is_ourselves() -> None:
    plan = priced()
    make.usage(version=version_of(plan), plan=plan, month=JULY, tokens=(0, 0, 1_000_000))
    words = [f.what for f in Exposure(lead(), TODAY, 12).findings]
    assert f"{plan.offering.publisher.name} has 100.0% of spend" in words
    make.company(publisher=plan.offering.publisher, operator=True)
    assert not any("of spend" in f.what for f in Exposure(lead(), TODAY, 12).findings)


# What others know: sales and buyers.


@database
def test_a_sourcing_lead_reads_sums_of_what_was_sold_and_by_month_they_add_up() -> None:
    world = make.world(rules=[])
    make.fx(code="EUR", rate="2")
    for day, code, amount in ((date(2026, 6, 30), "USD", 100_00), (JULY, "USD", 50_00), (JULY, "EUR", 10_00)):
        make.deal(
            owner=world.ana,
            state=DealState.APPROVED,
            close_date=day,
            code=code,
            lines=[make.Line(world.third, amount)],
        )
    make.deal(owner=world.ana, state=DealState.SUBMITTED, lines=[make.Line(world.third)])
    user = lead()
    months = monthly_sales_between(user, JUNE, TODAY)
    assert [(s.month, s.deals, s.value_minor) for s in months] == [
        (JUNE, 1, {"USD": 100_00}),
        (JULY, 2, {"USD": 70_00}),
    ]
    [whole] = sales_between(user, JUNE, TODAY)
    assert (whole.deals, whole.value_minor, whole.month) == (3, {"USD": 170_00}, None)
    assert sales_between(make.login(world.cy), JUNE, TODAY) == []
    spread = Exposure(user, TODAY, 12).series(Basis.DEALS).spreads[-1]
    assert spread.amounts == {world.third.publisher_id: 70_00}


@database
def test_an_account_buys_from_those_publishers_of_whom_something_is_left() -> None:
    world = make.world(rules=[])
    wide, narrow = make.customer(name="Wide"), make.customer(name="Narrow")
    for customer, offerings in ((wide, (world.house, world.third)), (narrow, (world.third,))):
        make.deal(
            owner=world.ana,
            customer=customer,
            state=DealState.APPROVED,
            lines=[make.Line(o, 100_00) for o in offerings],
        )
    bought = make.deal(
        owner=world.ana, customer=narrow, state=DealState.APPROVED, lines=[make.Line(world.house, 10_00)]
    )
    make.deal(
        owner=world.ana,
        customer=narrow,
        state=DealState.APPROVED,
        kind=DealKind.REFUND,
        refunds=bought,
        lines=[make.Line(world.house, -10_00)],
    )
    # Usage is metered: the contract's line says the same spend again.
    make.deal(
        owner=world.ana,
        customer=wide,
        state=DealState.APPROVED,
        kind=DealKind.CONSUMPTION,
        lines=[make.Line(world.house, 7_00, billed_minor=8_00)],
    )
    found = {b.name: b for b in buyers_between(lead(), date(2025, 8, 1), date(2026, 8, 15))}
    assert {name: b.publishers for name, b in found.items()} == {"Wide": 2, "Narrow": 1}
    assert found["Wide"].value_minor[world.house.publisher_id] == {"USD": 8_00}
    assert found["Wide"].total_minor == {"USD": 108_00}
    for other in (make.login(world.cy), make.user(role=Role.PARTNER), make.user(role=Role.ENGINEER)):
        assert buyers_between(other, date(2025, 8, 1), date(2026, 8, 15)) == []


# What it costs.


def grow() -> None:
    """One more of everything that a page on concentration reads."""
    plan = priced()
    version, feature = version_of(plan), make.feature()
    make.binding(feature=feature, version=version, effective=(date(2026, 3, 1), None))
    make.usage(feature=feature, version=version, plan=plan, month=JULY)
    make.decision(publisher=plan.offering.publisher, effective=(date(2026, 7, 1), None))
    make.hosting(version=version, host=make.company())
    world_deal(plan)
    Substitution.objects.create(
        feature=feature,
        replaced=version,
        alternative=make.model_version(),
        state="qualified",
        reason="Made for a test",
        proposed_at=make.AT,
        decided_at=make.AT,
    )


def world_deal(plan: Plan) -> None:
    make.deal(state=DealState.APPROVED, lines=[make.Line(plan.offering)], close_date=JULY)


@database
def test_all_of_it_costs_the_same_queries_for_few_and_for_many() -> None:
    def read() -> int:
        user = User.objects.get(pk=reader.pk)
        with CaptureQueriesContext(connection) as queries:
            found = Exposure(user, TODAY, 24)
            for basis in Basis:
                _ = found.series(basis).year
            _ = (found.sourcing, found.products, found.events, found.findings)
            _ = (found.hosted_models, found.hosted_usage, found.hosted_deals)
        return len(queries)

    make.fiscal_year()
    reader = lead()
    grow()
    few = read()
    for _ in range(4):
        grow()
    assert read() == few <= 22
