"""Each clause of who earns, under which rule, and what a cap leaves, by a small example: the figures, and that the oracle says the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from quotas.crediting import engine
from quotas.models import CreditEntry, Deal, DealKind, DealState, Measure, Receivers, Rep, SalesRole
from tests import make
from tests.oracle import Oracle
from tests.quotas.crediting.test_engine import agree_on_unsaved, same
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 12, tzinfo=UTC)
EVERYTHING = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))
JULY, AUGUST = date(2026, 7, 20), date(2026, 8, 10)
TURN = date(2026, 8, 1)
CAP_CUT = 4


def agreed(*deals: Deal) -> tuple[list[engine.Desired], list[engine.Uncredited]]:
    """What these deals earn: by id, one by one, by span of days, unsaved and posted, always the same and what the oracle says."""
    expected = Oracle().credit(deals)
    everything = {deal.pk for deal in deals}
    entries, gaps = engine.desired(engine.ByDeal(sorted(everything)))
    same((entries, gaps), expected, everything)
    assert engine.desired(EVERYTHING) == (entries, gaps)
    agree_on_unsaved(list(deals), expected)
    for deal in deals:
        day = deal.latest.close_date
        for source in (engine.ByDeal([deal.pk]), engine.BySpan(day, day + timedelta(days=1))):
            alone, _ = engine.desired(source)
            assert [e for e in alone if e.deal_id == deal.pk] == [e for e in entries if e.deal_id == deal.pk]
    with transaction.atomic():
        for deal in reversed(deals):
            engine.post(engine.ByDeal([deal.pk]), key=f"d{deal.pk}", kind="approve", by=None, at=AT)
        stored = CreditEntry.objects.filter(reverses_id=None).exclude(
            pk__in=CreditEntry.objects.exclude(reverses_id=None).values("reverses_id")
        )
        assert Counter(stored.values_list("deal_id", "line_no", "rep_id", "component", "amount_minor")) == Counter(
            (e.deal_id, e.line_no, e.rep_id, e.component, e.amount) for e in entries
        )  # fmt: skip
        assert broken() == {}
        transaction.set_rollback(True)
    return entries, gaps


def by_rep(entries: Sequence[engine.Desired], receiver_class: int) -> Counter[int]:
    found: Counter[int] = Counter()
    for e in entries:
        if e.receiver_class == receiver_class:
            found[e.rep_id] += e.amount
    return found


def left_of(entries: Sequence[engine.Desired], *deals: Deal) -> list[int]:
    """What stands of each deal."""
    return [sum(e.amount for e in entries if e.deal_id == d.pk) for d in deals]


def cuts(entries: Sequence[engine.Desired], *deals: Deal) -> list[int]:
    return [sum(e.amount for e in entries if e.deal_id == d.pk and e.component == CAP_CUT) for d in deals]


def sold(world: make.World, amount: int, on: date = AUGUST, **more: Any) -> Deal:
    lines = [make.Line(world.house, amount)]
    given = {"owner": world.ana, "customer": world.customer, "lines": lines, "close_date": on}
    return make.deal(**{**given, **more}, state=DealState.APPROVED)


def back(world: make.World, original: Deal, amount: int, on: date = AUGUST) -> Deal:
    return sold(world, -amount, on, kind=DealKind.REFUND, refunds=original)


def hold(deal: Deal) -> Deal:
    deal.held = True
    deal.save()
    return deal


def two_versions(world: make.World, first: make.Rule, second: make.Rule) -> None:
    """Of one plan, the second from August on; the same slug is the same rule."""
    plan = make.comp_plan()
    make.plan_version(plan=plan, rules=[first])
    make.plan_version(plan=plan, rules=[second], effective=(TURN, None))


@pytest.fixture
def world() -> make.World:
    return make.world(rules=[], quotas=False)


def capped(world: make.World, cap: int | None) -> make.Rule:
    return make.Rule(world.bookings, slug="capped", cap_minor=cap)


# Caps of refunds.


def test_a_refund_takes_back_what_is_left_of_the_cap_and_no_more(world: make.World) -> None:
    make.plan_version(rules=[capped(world, 100)])
    original = sold(world, 150)
    refunds = [back(world, original, n) for n in (30, 50, 60, 40)]
    entries, _ = agreed(original, *refunds)
    assert left_of(entries, original, *refunds) == [100, 0, -30, -60, -40]


def test_a_refund_is_capped_as_its_original_was_whatever_the_rule_says_since(world: make.World) -> None:
    two_versions(world, capped(world, 100), capped(world, 30))
    original = sold(world, 150, JULY)
    refund = back(world, original, 90)
    entries, _ = agreed(original, refund)
    assert left_of(entries, original, refund) == [100, -40]


@pytest.mark.parametrize(("first", "second", "left"), [(None, 30, [150, -90]), (100, None, [100, -40])])
def test_no_cap_at_first_is_none_for_the_refund_and_a_cap_at_first_stays_one(
    world: make.World, first: int | None, second: int | None, left: list[int]
) -> None:
    two_versions(world, capped(world, first), capped(world, second))
    original = sold(world, 150, JULY)
    refund = back(world, original, 90)
    assert left_of(agreed(original, refund)[0], original, refund) == left


def test_where_the_original_earned_nothing_under_the_rule_each_refund_has_its_own_cap(
    world: make.World,
) -> None:
    of_refunds = replace(capped(world, 30), deal_kinds=["refund"])
    two_versions(world, of_refunds, replace(of_refunds, cap_minor=70))
    original = sold(world, 150, JULY)
    early, late = back(world, original, 100, JULY), back(world, original, 100)
    entries, _ = agreed(original, early, late)
    assert left_of(entries, early, late) == [-30, -70]


def test_an_original_of_nothing_earned_nothing(world: make.World) -> None:
    two_versions(world, capped(world, 100), capped(world, 30))
    original = sold(world, 0, JULY)
    refund = back(world, original, 90)
    assert cuts(agreed(original, refund)[0], refund) == [60]


def test_a_held_original_and_a_held_refund_count_for_the_caps_of_the_others(world: make.World) -> None:
    make.plan_version(rules=[capped(world, 100)])
    original = sold(world, 150)
    first, second = back(world, original, 30), back(world, original, 50)
    for held in (original, first):
        hold(held)
    entries, gaps = agreed(original, first, second)
    assert left_of(entries, original, first, second) == [0, 0, -30]
    assert {(g.deal_id, g.reason) for g in gaps} == {(original.pk, "held"), (first.pk, "held")}


def test_a_cancelled_refund_is_out_of_the_family(world: make.World) -> None:
    make.plan_version(rules=[capped(world, 100)])
    original = sold(world, 150)
    first, second = back(world, original, 90), back(world, original, 50)
    assert left_of(agreed(original, first, second)[0], second) == [-50]
    first.state = DealState.CANCELLED
    first.save()
    assert left_of(agreed(original, second)[0], second) == [0]


def test_a_refund_takes_units_and_a_new_customer_back(world: make.World) -> None:
    units, customers = make.measure(basis="units"), make.measure(basis="new_customers")
    make.plan_version(rules=[make.Rule(units, slug="units"), make.Rule(customers, slug="customers")])
    seats = [make.Line(world.house, 100, quantity=Decimal("2.5"))]
    original = sold(world, 100, lines=seats, new_customer=True)
    refund = sold(world, -100, kind=DealKind.REFUND, refunds=original, lines=[replace(seats[0], amount_minor=-100)], new_customer=True)  # fmt: skip
    entries, _ = agreed(original, refund)
    assert [(e.deal_id, e.measure_id, e.amount) for e in entries] == [
        (original.pk, units.pk, 2_500_000),
        (original.pk, customers.pk, 1_000_000),
        (refund.pk, units.pk, -2_500_000),
        (refund.pk, customers.pk, -1_000_000),
    ]


# Overlay.


def overlay(world: make.World, receivers: int, **more: Any) -> make.Rule:
    rule = make.Rule(world.bookings, slug=f"overlay-{receivers}", receivers=receivers, factor_ppm=200_000)
    return replace(rule, **more)


def covering(
    world: make.World, rep: Rep, effective: make.Span = make.ALWAYS, house: Rep | None = None
) -> None:
    territory = make.territory(house_rep=house)
    make.lies_in(customer=world.customer, territory=territory)
    make.covers(rep=rep, territory=territory, effective=effective)


def test_who_covers_a_territory_earns_on_the_whole_value_outside_the_shares(world: make.World) -> None:
    make.plan_version(rules=[make.Rule(world.bookings, slug="base"), overlay(world, Receivers.TERRITORY)])
    covering(world, world.cy)
    entries, gaps = agreed(sold(world, 100_00, shares={world.ana: 700_000, world.bo: 300_000}))
    assert by_rep(entries, 1) == {world.ana.pk: 70_00, world.bo.pk: 30_00}
    assert by_rep(entries, 2) == {world.cy.pk: 20_00}
    assert sorted(e.amount for e in entries if e.receiver_class == 2) == [-80_00, 100_00]
    assert gaps == []


def test_a_territory_that_nobody_covers_on_the_day_is_its_house_reps(world: make.World) -> None:
    make.plan_version(rules=[overlay(world, Receivers.TERRITORY)])
    covering(world, world.cy, (TURN, None), house=world.bo)
    before, after = sold(world, 100, JULY), sold(world, 100, TURN)
    entries, _ = agreed(before, after)
    assert [(e.deal_id, e.rep_id) for e in entries if e.component == 1] == [
        (before.pk, world.bo.pk),
        (after.pk, world.cy.pk),
    ]


def test_a_customer_counts_where_they_lie_on_the_day_and_a_rule_where_it_says(world: make.World) -> None:
    named, other = make.territory(), make.territory()
    make.plan_version(rules=[overlay(world, Receivers.TERRITORY, territories=[named])])
    make.lies_in(customer=world.customer, territory=named, effective=(TURN, None))
    make.lies_in(customer=world.customer, territory=other)
    make.covers(rep=world.cy, territory=named)
    make.covers(rep=world.bo, territory=other)
    entries, _ = agreed(sold(world, 100, JULY), late := sold(world, 100, TURN))
    assert {(e.deal_id, e.rep_id) for e in entries} == {(late.pk, world.cy.pk)}


def test_who_holds_the_role_on_the_day_earns_and_who_is_both_earns_once(world: make.World) -> None:
    specialist = make.rep(team=world.other, role=SalesRole.SPECIALIST, effective=(TURN, None))
    make.plan_version(
        rules=[
            overlay(world, Receivers.TERRITORY, priority=1),
            overlay(world, Receivers.ROLE, roles=["specialist"]),
        ]
    )
    deal, earlier = sold(world, 100, TURN), sold(world, 100, JULY)
    assert by_rep(agreed(deal, earlier)[0], 2) == {specialist.pk: 20}
    covering(world, specialist, (TURN, None))
    entries, _ = agreed(deal, earlier)
    assert [e.amount for e in entries] == [100, -80]


def test_overlay_without_a_team_says_so_only_where_a_rule_would_have_given_something(
    world: make.World,
) -> None:
    units = make.measure(basis="units")
    gone = make.rep(team=world.team, effective=(None, JULY))
    covering(world, gone)
    make.plan_version(
        rules=[make.Rule(world.bookings, slug="base"), make.Rule(units, slug="units"), overlay(world, Receivers.TERRITORY, deal_kinds=["renewal"])]
    )  # fmt: skip
    line = [make.Line(world.house, 100, quantity=Decimal(1))]
    _, gaps = agreed(
        renewal := sold(world, 100, kind=DealKind.RENEWAL, lines=line), sold(world, 100, lines=line)
    )
    assert [tuple(g) for g in gaps] == [(renewal.pk, 1, world.bookings.pk, gone.pk, "no_team")]


def test_overlay_without_a_rule_or_of_nothing_has_no_reason(world: make.World) -> None:
    covering(world, world.cy)
    make.plan_version(rules=[overlay(world, Receivers.TERRITORY)])
    entries, gaps = agreed(sold(world, 0))
    assert entries == []
    assert [(g.rep_id, g.reason) for g in gaps] == [(world.ana.pk, "no_rule")]


# Which rule.


@pytest.mark.parametrize("condition", ["task_areas", "territories"])
def test_a_task_area_and_a_territory_are_conditions_that_make_a_rule_the_more_particular(
    world: make.World, condition: str
) -> None:
    area = make.task_area()
    world.house.task_areas.add(area)
    receivers = Receivers.TERRITORY if condition == "territories" else Receivers.SHARES
    territory = make.territory()
    make.lies_in(customer=world.customer, territory=territory)
    make.covers(rep=world.ana, territory=territory)
    any_ = make.Rule(world.bookings, slug="any", receivers=receivers, factor_ppm=2_000_000)
    named: dict[str, Any] = {condition: [area if condition == "task_areas" else territory]}
    version = make.plan_version(rules=[any_, replace(any_, slug="particular", factor_ppm=1_000_000, **named)])
    entries, _ = agreed(sold(world, 100))
    assert [e.rule_version_id for e in entries] == [version.rules.get(rule__slug="particular").pk]


def test_priority_then_conditions_then_age_decide_between_rules(world: make.World) -> None:
    plain = make.Rule(world.bookings, slug="first")
    particular = replace(plain, slug="particular", regions=["americas"])
    urgent = replace(plain, slug="urgent", priority=1)

    def winner(*rules: make.Rule) -> str:
        with transaction.atomic():
            version = make.plan_version(rules=rules)
            entries, _ = agreed(sold(world, 100))
            slugs = dict(version.rules.values_list("pk", "rule__slug"))
            transaction.set_rollback(True)
        return slugs[entries[0].rule_version_id]

    assert winner(plain, replace(plain, slug="second")) == "first"
    assert winner(plain, particular) == "particular"
    assert winner(particular, urgent, plain) == "urgent"


def test_one_of_the_offerings_task_areas_is_enough_and_none_is_not(world: make.World) -> None:
    areas = [make.task_area() for _ in range(3)]
    world.house.task_areas.set(areas[:2])
    make.plan_version(rules=[make.Rule(world.bookings, slug="coding", task_areas=areas[1:])])
    deal = sold(world, 0, lines=[make.Line(world.house, 100), make.Line(world.third, 100)])
    entries, gaps = agreed(deal)
    assert [e.line_no for e in entries] == [1]
    assert [(g.line_no, g.reason) for g in gaps] == [(2, "no_rule")]


def test_plans_add_up_everybodys_the_roles_and_ones_own_each_on_its_days(world: make.World) -> None:
    def spiff(slug: str) -> make.Rule:
        return make.Rule(world.bookings, slug=slug, exclusive=False, factor_ppm=10_000)

    plans = {
        slug: make.comp_plan(for_everybody=False) for slug in ("all", "role", "own", "other", "gone", "bos")
    }
    rule_of = {}
    for slug, plan in plans.items():
        rule_of[make.plan_version(plan=plan, rules=[spiff(slug)]).rules.get().rule_id] = slug
    make.assignment(plan=plans["all"])
    make.assignment(plan=plans["role"], role="account_executive", effective=(None, TURN))
    make.assignment(plan=plans["own"], rep=world.ana, effective=(None, AUGUST))
    make.assignment(plan=plans["other"], rep=world.ana, effective=(JULY, TURN))
    make.assignment(plan=plans["bos"], rep=world.bo)
    gone = make.assignment(plan=plans["gone"], rep=world.ana)
    gone.superseded_at = AT
    gone.save()
    days = [date(2026, 7, 19), JULY, date(2026, 7, 31), TURN, date(2026, 8, 9), AUGUST]
    deals = [sold(world, 100_00, day) for day in days]
    entries, _ = agreed(*deals)
    found = [{rule_of[e.rule_id] for e in entries if e.deal_id == deal.pk} for deal in deals]
    assert found == [
        {"all", "role", "own"},
        {"all", "role", "own", "other"},
        {"all", "role", "own", "other"},
        {"all", "own"},
        {"all", "own"},
        {"all"},
    ]


# Consumption.


def used(world: make.World, on: date, consumed: int, billed: int | None) -> Deal:
    return sold(world, 0, on, kind=DealKind.CONSUMPTION, lines=[make.Line(world.house, consumed, billed_minor=billed)])  # fmt: skip


def test_billed_is_what_was_metered_until_the_bill_is_known_and_consumed_never_looks_at_it(
    world: make.World,
) -> None:
    consumed, billed = make.measure(basis="consumed"), make.measure(basis="billed")
    make.plan_version(rules=[make.Rule(m, slug=m.slug) for m in (consumed, billed)])
    make.ownership(customer=world.customer, rep=world.bo)
    deals = [used(world, JULY, 100, None), used(world, AUGUST, 100, 80)]
    entries, _ = agreed(*deals)

    def of(measure: Measure) -> list[tuple[int, int]]:
        return [(e.rep_id, e.amount) for e in entries if e.measure_id == measure.pk]

    assert (of(consumed), of(billed)) == ([(world.bo.pk, 100), (world.bo.pk, 100)], [(world.bo.pk, 100), (world.bo.pk, 80)])  # fmt: skip


def test_until_the_holdover_ends_the_former_owner_is_credited(world: make.World) -> None:
    consumed = make.measure(basis="consumed")
    make.plan_version(rules=[make.Rule(consumed, slug="used")])
    make.ownership(customer=world.customer, rep=world.ana, effective=(None, JULY), credits=(None, AUGUST))
    make.ownership(customer=world.customer, rep=world.bo, effective=(JULY, None), credits=(AUGUST, None))
    days = [date(2026, 7, 19), JULY, date(2026, 8, 9), AUGUST]
    entries, _ = agreed(*[used(world, day, 100, None) for day in days])
    assert [e.rep_id for e in entries] == [world.ana.pk, world.ana.pk, world.ana.pk, world.bo.pk]
