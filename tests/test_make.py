"""What builds rows for every other test builds rows that the database accepts."""

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from quotas.models import CreditTotal, Deal, DealLine, DealState, Grain, Period, PeriodState
from tests import make

pytestmark = pytest.mark.django_db


def test_a_world_has_a_year_of_periods_in_every_grain_and_twelve_open_or_future_months() -> None:
    world = make.world()
    assert [len(g) for g in (world.year.months, world.year.quarters, world.year.halves)] == [12, 4, 2]
    assert [m.state for m in world.year.months[:3]] == [
        PeriodState.OPEN,
        PeriodState.OPEN,
        PeriodState.FUTURE,
    ]
    assert (world.year.month(12).name, str(world.year.month(12).ends)) == ("FY27-M12", "2027-07-01")
    assert Period.objects.filter(grain=Grain.MONTH).count() == 24


def test_a_deal_of_any_state_can_be_made_and_its_shares_are_checked_by_the_database() -> None:
    world = make.world()
    for state in DealState.values:
        deal = make.deal(
            owner=world.ana, state=state, shares={world.ana: 700_000, world.bo: 300_000}, by=world.ana.user
        )
        assert Deal.objects.get(pk=deal.pk).state == state
    make.deal(owner=world.ana, shares={world.ana: 999_999})
    with pytest.raises(IntegrityError, match="add up"), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_many_deals_are_made_in_as_many_queries_as_one() -> None:
    world = make.world()
    sale = make.Sale(
        owner=world.ana,
        customer=world.customer,
        lines=[make.Line(world.third, 5_00), make.Line(world.house, 7_00)],
        state=DealState.APPROVED,
    )
    asked = []
    for n in (1, 4):
        with CaptureQueriesContext(connection) as seen:
            make.deals([sale] * n)
        asked.append(len(seen))
    assert asked[0] == asked[1]
    lines = DealLine.objects.filter(version__in=Deal.objects.values("credited_version"))
    assert sorted(lines.values_list("line_no", "amount_minor")) == [(1, 5_00)] * 5 + [(2, 7_00)] * 5


def test_a_total_is_kept_at_every_grain() -> None:
    world = make.world()
    for _ in range(2):
        make.total(
            rep=world.ana,
            team=world.team,
            measure=world.bookings,
            month=world.year.month(2),
            direct_minor=5_00,
        )
    kept = CreditTotal.objects.values_list("period__name", "basis", "direct_minor")
    assert sorted(kept) == [
        ("FY27", 1, 10_00),
        ("FY27-H1", 1, 10_00),
        ("FY27-M02", 1, 10_00),
        ("FY27-Q1", 1, 10_00),
    ]


def test_prices_rates_owners_and_partners_can_be_made() -> None:
    plan = make.plan()
    assert make.price(plan=plan).rows.count() == 2
    assert make.fx().rate_e9 == 1_083_700_000
    rep = make.rep(login=True)
    make.ownership(customer=make.customer(), rep=rep)
    assert rep.user is not None
    assert rep.user.role_names == {"rep"}
    assert make.user(role="partner").publisher_membership.publisher.origin == "third"
    assert make.decision(offering=plan.offering).level == 3
