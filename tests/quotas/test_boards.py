"""The board's numbers: they reconcile, they respect who looks, and they cost the same for few and for many."""

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from quotas.models import ONE, Deal, DealKind, DealState, Measure, Period, Receivers, SalesRole, Team
from quotas.selectors import pace
from quotas.selectors.boards import Board, team_board
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def board(world: World, team: Team, viewer: User | None = None, **other: Any) -> Board:
    asked: dict[str, Any] = {"period": world.year.quarters[0], "measure": world.bookings, **other}
    return team_board(team=team, at=make.AT, viewer=viewer or world.admin, **asked)


def sell(
    world: World,
    shares: dict[Any, int],
    amount: int,
    *,
    approve: bool = True,
    on: date = make.TODAY,
    by: Any = None,
) -> int:
    """A deal of the first sharer, submitted, and approved by the rep leading his team."""
    owner = next(iter(shares))
    facts = {
        "owner": owner,
        "customer": world.customer,
        "lines": [Line(world.house, amount)],
        "shares": shares,
        "close_date": on,
    }
    if not approve:
        return selling.handed_in(**facts).pk
    return selling.credited(leader=by or world.mia, **facts).pk


def test_a_board_of_teams_adds_up_and_so_does_each_team_below(world: World) -> None:
    sell(world, {world.ana: 700_000, world.cy: 300_000}, 10_000_00)
    sell(world, {world.cy: ONE}, 500_00, by=world.zed)

    region = board(world, world.region)

    assert region.of_teams
    assert {row.name: row.credited_minor for row in region.rows} == {"Team": 7_000_00, "Other team": 3_500_00}
    assert region.credited_minor == 10_500_00 == sum(region.by_day)
    assert region.credited_minor == sum(flow.amount_minor for flow in region.flows)
    for row in region.rows:
        assert board(world, Team.objects.get(pk=row.id)).credited_minor == row.credited_minor
    assert [step.name for step in region.path] == ["Company", "Region"]
    assert board(world, world.company).credited_minor == region.credited_minor


def test_rows_show_credit_pending_quota_and_rank(world: World) -> None:
    sell(world, {world.ana: ONE}, 60_000_00)
    sell(world, {world.bo: ONE}, 20_000_00, on=make.TODAY - timedelta(days=10))
    sell(world, {world.bo: 250_000, world.ana: 750_000}, 1_000_00, approve=False)

    first, second = board(world, world.team).rows

    assert (first.name, first.rank, first.credited_minor, first.pending_minor) == (
        "Ana",
        1,
        60_000_00,
        750_00,
    )
    assert (second.name, second.rank, second.credited_minor, second.pending_minor) == (
        "Bo",
        2,
        20_000_00,
        250_00,
    )
    assert (first.previous_rank, second.previous_rank) == (None, 1)
    assert (first.quota_minor, second.quota_minor) == (100_000_00, 100_000_00)
    assert first.trend[-1] == 60_000_00
    assert second.trend[-3:] == [0, 20_000_00, 20_000_00]
    shown = board(world, world.team)
    assert (shown.pending_minor, shown.pending_deals, shown.oldest_pending) == (1_000_00, 1, make.AT)
    assert shown.quota_minor == shown.assigned_minor == 200_000_00
    assert shown.bands == [0, 1, 0, 1, 0, 0]
    assert not shown.own_quota


def test_pending_is_converted_and_shared(world: World) -> None:
    make.fx(code="EUR", rate="1.0837")
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        state=DealState.SUBMITTED,
        code="EUR",
        lines=[Line(world.house, 100_00)],
        shares={world.ana: 700_000, world.cy: 300_000},
    )
    assert deal.state == DealState.SUBMITTED
    (row,) = [r for r in board(world, world.team).rows if r.name == "Ana"]
    assert row.pending_minor == 75_86
    assert board(world, world.region).pending_minor == 75_86 + 32_51


def test_a_team_s_own_quota_stands_and_over_assignment_is_told(world: World) -> None:
    make.quota(
        measure=world.bookings, period=world.year.quarters[0], team=world.team, amount_minor=180_000_00
    )
    shown = board(world, world.team)
    assert shown.own_quota
    assert shown.quota_minor == 180_000_00
    assert shown.over_assignment_minor == 20_000_00


def test_who_moved_on_keeps_a_row_so_that_the_team_still_adds_up(world: World) -> None:
    sell(world, {world.ana: ONE}, 100_00)
    membership = world.ana.memberships.get()
    membership.superseded_at = make.AT
    membership.save()
    make.membership(rep=world.ana, team=world.team, effective=(make.LONG_AGO, make.TODAY))
    make.membership(rep=world.ana, team=world.other, effective=(make.TODAY, None))

    here = board(world, world.team)
    row = next(r for r in here.rows if r.name == "Ana")
    assert (row.member, row.credited_minor, row.quota_minor, row.rank) == (False, 100_00, None, None)
    assert here.credited_minor == 100_00
    there = next(r for r in board(world, world.other).rows if r.name == "Ana")
    assert (there.credited_minor, there.elsewhere_minor, there.attained_minor) == (0, 100_00, 100_00)
    assert board(world, world.other).credited_minor == 0


def test_a_manager_sees_the_money_of_his_subtree_and_a_rep_only_his_own(world: World) -> None:
    sell(world, {world.ana: ONE}, 100_00)
    sell(world, {world.bo: ONE}, 200_00)

    def amounts(viewer: Any, team: Team) -> tuple[bool, dict[str, bool]]:
        shown = board(world, team, viewer.user)
        return shown.money, {row.name: row.money for row in shown.rows}

    assert amounts(world.mia, world.team) == (True, {"Ana": True, "Bo": True})
    assert amounts(world.zed, world.team) == (False, {"Ana": False, "Bo": False})
    assert amounts(world.ana, world.team) == (False, {"Ana": True, "Bo": False})
    assert amounts(world.rex, world.region) == (True, {"Team": True, "Other team": True})
    assert amounts(world.mia, world.region) == (False, {"Team": True, "Other team": False})
    assert {entry.rep for entry in board(world, world.team, make.login(world.ana)).latest} == {"Ana"}
    assert {entry.rep for entry in board(world, world.team, make.login(world.mia)).latest} == {"Ana", "Bo"}
    assert board(world, world.team, make.login(world.cy)).latest == []


def test_colleagues_see_money_where_the_operator_says_so(world: World, settings: Any) -> None:
    settings.REPS_SEE_PEERS_MONEY = True
    shown = board(world, world.team, make.login(world.ana))
    assert shown.money
    assert all(row.money for row in shown.rows)


def test_the_same_number_of_queries_for_three_reps_and_for_fifteen(world: World) -> None:
    viewer = make.login(world.mia)
    assert viewer is not None

    def queries(team: Team) -> int:
        fresh = User.objects.get(pk=viewer.pk)
        with CaptureQueriesContext(connection) as seen:
            board(world, team, fresh)
        return len(seen)

    def fill(count: int) -> None:
        for place in range(count):
            rep = make.rep(team=world.team)
            make.quota(measure=world.bookings, period=world.year.quarters[0], rep=rep)
            make.total(
                rep=rep,
                team=world.team,
                measure=world.bookings,
                month=world.year.month(1),
                direct_minor=place,
            )

    fill(3)
    board(world, world.team)
    few = queries(world.team), queries(world.region)
    fill(12)
    assert (queries(world.team), queries(world.region)) == few
    assert max(few) <= 29


def test_a_period_before_its_first_day_and_a_count_have_boards_too(world: World) -> None:
    later = board(world, world.team, period=world.year.quarters[3])
    assert (later.progress.elapsed, later.by_day, later.forecast, later.credited_minor) == (0, [], None, 0)
    count = make.measure(basis="new_customers")
    make.quota(measure=count, period=world.year.quarters[0], rep=world.ana, amount_minor=4_000_000)
    assert [row.name for row in board(world, world.team, measure=count).rows] == ["Ana", "Bo"]


def test_who_only_leads_has_no_row(world: World) -> None:
    assert world.mia.memberships.get().role == SalesRole.MANAGER
    assert "Mia" not in {row.name for row in board(world, world.team).rows}


# --- pace -------------------------------------------------------------------------------------------------


def test_pace_counts_today_as_elapsed() -> None:
    so_far = pace.progress(date(2026, 7, 1), date(2026, 10, 1), date(2026, 8, 14))
    assert (so_far.elapsed, so_far.days, so_far.left, so_far.pace_ppm) == (45, 92, 47, 489_130)
    assert pace.due(9_200, so_far) == 4_500
    assert pace.run_rate(4_500, so_far) == 9_200
    assert pace.progress(date(2026, 7, 1), date(2026, 10, 1), date(2026, 6, 30)).elapsed == 0
    assert pace.progress(date(2026, 7, 1), date(2026, 10, 1), date(2027, 6, 30)).elapsed == 92


def test_a_steady_pace_lands_on_its_run_rate_without_a_spread() -> None:
    so_far = pace.Progress(28, 56)
    landing = pace.forecast(2_800, [100] * 28, so_far)
    assert landing is not None
    assert (landing.low_minor, landing.middle_minor, landing.high_minor) == (5_600, 5_600, 5_600)
    assert "28 days" in landing.method
    uneven = pace.forecast(2_800, [0] * 14 + [200] * 14, so_far)
    assert uneven is not None
    assert uneven.low_minor is not None
    assert uneven.high_minor is not None
    assert uneven.low_minor < 5_600 < uneven.high_minor


def test_two_weeks_are_too_few_for_a_range_and_the_end_is_certain() -> None:
    early = pace.forecast(200, [10] * 20, pace.Progress(20, 92))
    assert early is not None
    assert (early.low_minor, early.middle_minor) == (None, 920)
    over = pace.forecast(500, [10] * 50, pace.Progress(50, 50))
    assert over is not None
    assert (over.low_minor, over.middle_minor, over.high_minor) == (500, 500, 500)
    assert pace.forecast(0, [], pace.Progress(0, 92)) is None


def test_a_refund_that_waits_takes_back_in_units_and_new_customers_too(world: World) -> None:
    lines = [make.Line(world.house, -900_00, quantity=Decimal("1.5"))]
    sold = make.deal(owner=world.ana, customer=world.customer, lines=[Line(world.house, 900_00)])
    for number, kind in enumerate((DealKind.NEW_BUSINESS, DealKind.REFUND)):
        make.deal(
            owner=world.ana,
            customer=world.customer,
            state=DealState.SUBMITTED,
            kind=kind,
            refunds=sold if number else None,
            new_customer=True,
            lines=lines if number else [make.Line(world.house, 900_00, quantity=Decimal(4))],
        )
    pending = {
        basis: board(world, world.team, measure=make.measure(basis=basis)).pending_minor
        for basis in ("units", "new_customers", "contract_value")
    }
    assert pending == {"units": 2_500_000, "new_customers": 0, "contract_value": 0}
    lines = [make.Line(world.house, -800_00, quantity=Decimal(1))]
    make.deal(
        owner=world.bo,
        customer=world.customer,
        state=DealState.SUBMITTED,
        kind=DealKind.REFUND,
        refunds=sold,
        lines=lines,
    )
    shown = board(world, world.team, measure=make.measure(basis="units"))
    assert (shown.waiting, {row.name: row.pending_minor for row in shown.rows}["Bo"]) == (2, -1_000_000)


def test_the_week_of_a_rep_has_overlay_in_it_and_that_of_the_team_its_own_credit_alone(world: World) -> None:
    here = make.territory()
    make.covers(rep=world.ana, territory=here)
    make.lies_in(customer=world.customer, territory=here)
    rule = make.Rule(world.bookings, receivers=Receivers.TERRITORY, factor_ppm=200_000)
    make.plan_version(plan=make.comp_plan(), rules=[rule])
    sell(world, {world.cy: ONE}, 1_000_00, by=world.zed)

    shown = board(world, world.team)

    ana = next(row for row in shown.rows if row.name == "Ana")
    assert (ana.credited_minor, ana.attained_minor, ana.last_week_minor, ana.trend[-1]) == (0, *[200_00] * 3)
    assert (ana.rank, ana.previous_rank) == (1, None)
    assert shown.trend[-1] == shown.credited_minor == 0


def test_the_file_has_a_landing_below_nothing_as_the_page_has_it(world: World, client: Client) -> None:
    sold = sell(world, {world.ana: ONE}, 90_000_00, on=date(2026, 6, 1))
    selling.credited(
        owner=world.ana,
        leader=world.mia,
        customer=world.customer,
        lines=[Line(world.house, -45_000_00)],
        kind=DealKind.REFUND,
        refunds=Deal.objects.get(pk=sold),
    )
    client.force_login(world.admin)
    asked = f"/quotas/board/{world.team.slug}/?period={world.year.quarters[0].name}&format="
    rows = [json.loads(line) for line in client.get(asked + "jsonl").getvalue().splitlines()]
    assert [(row["name"], row["attainment_percent"], row["landing_percent"]) for row in rows] == [
        ("Bo", "0.0000", "0.0000"),
        ("Ana", "-45.0000", "-92.0000"),
    ]


def test_the_measure_decides_what_waits(world: World) -> None:
    sell(world, {world.ana: ONE}, 100_00, approve=False)
    consumed: Measure = make.measure(basis="consumed")
    period: Period = world.year.quarters[0]
    assert board(world, world.team, measure=consumed, period=period).pending_deals == 0
