"""The homes of those who sell: they say what the other pages say, to whom it is theirs, at the same cost for few and for many."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from accounts.models import Role, RoleGrant, User
from quotas.models import Rep
from quotas.selectors import home
from quotas.selectors.boards import team_board
from quotas.services import approving
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def as_user(who: Rep | User) -> Client:
    client = Client()
    user = make.login(who) if isinstance(who, Rep) else who
    client.force_login(User.objects.get(pk=user.pk))
    return client


def sell(world: World, owner: Rep, amount: int, *, approve: bool = True, on: date = make.TODAY) -> int:
    """Handed in, and approved by whoever leads the owner's team."""
    facts: dict[str, Any] = {
        "customer": world.customer,
        "lines": [Line(world.house, amount)],
        "close_date": on,
    }
    if not approve:
        return selling.handed_in(owner=owner, **facts).pk
    return selling.credited(owner=owner, leader=world.zed if owner == world.cy else world.mia, **facts).pk


def saved(world: World, owner: Rep, amount: int, on: date = make.TODAY) -> int:
    """A draft."""
    return make.deal(
        owner=owner, customer=world.customer, lines=[Line(world.house, amount)], close_date=on
    ).pk


def to_do(client: Client) -> list[str]:
    shown = client.get("/").context
    return [each.text for each in (*shown["to_do"], *shown["to_do_more"])]


# --- a rep ------------------------------------------------------------------------------------------------


def test_a_rep_s_home_says_what_the_board_says(world: World) -> None:
    sell(world, world.ana, 40_000_00, on=make.TODAY - timedelta(days=20))
    sell(world, world.ana, 5_000_00)
    sell(world, world.ana, 7_000_00, approve=False)
    sell(world, world.bo, 60_000_00)

    shown = as_user(world.ana).get("/").context
    row = next(
        row
        for row in team_board(
            team=world.team,
            period=world.year.quarters[0],
            measure=world.bookings,
            at=make.AT,
            viewer=world.admin,
        ).rows
        if row.name == "Ana"
    )

    mine = shown["mine"]
    assert (mine.credited_minor, mine.quota_minor, mine.pending_minor, mine.last_week_minor) == (
        *(row.attained_minor, row.quota_minor, row.pending_minor, row.last_week_minor),
    )
    assert (mine.credited_minor, mine.pending_minor, mine.last_week_minor) == (45_000_00, 7_000_00, 5_000_00)
    assert list(mine.trend) == list(row.trend)
    assert sum(mine.by_day) == 45_000_00
    assert mine.forecast.middle_minor == 45_000_00 * 92 // 45
    assert [each.name for each in shown["ranked"]] == ["Bo", "Ana", "Cy"]
    assert [each.open.credit_minor for each in shown["opened"]] == [7_000_00]
    assert shown["opened"][0].left_minor == 48_000_00
    assert [entry.amount_minor for entry in shown["entries"]] == [5_000_00, 40_000_00]
    assert all(entry.rep_id == world.ana.pk for entry in shown["entries"])


def test_peers_are_shown_without_their_amounts(world: World) -> None:
    sell(world, world.bo, 61_234_00)
    page = as_user(world.ana).get("/").content.decode()
    assert ">Bo<" in page
    assert "61.2%" in page
    assert "61,234" not in page
    assert "$61" not in page


def test_what_to_do_next_is_made_of_facts_in_the_order_of_their_urgency(world: World) -> None:
    client = as_user(world.ana)
    plan = f"{world.plan_version} waits for you to accept it."
    assert to_do(client) == [plan, "No open deal adds to AI bookings"]
    back = sell(world, world.ana, 1_000_00, approve=False)
    approving.return_deal(deal_id=back, by=make.login(world.mia), at=make.AT, reason="Which customer?")
    late = saved(world, world.ana, 2_000_00, on=make.TODAY - timedelta(days=3))
    best = saved(world, world.ana, 3_000_00, on=make.TODAY + timedelta(days=3))
    for on in (make.TODAY - timedelta(days=4), make.TODAY):  # what a colleague shares is theirs to hand in
        make.deal(
            owner=world.bo,
            customer=world.customer,
            lines=[Line(world.house, 20_000_00)],
            shares={world.bo: 500_000, world.ana: 500_000},
            close_date=on,
        )
    customer = world.customer.name
    assert to_do(client) == [
        f"D-{back:06d} came back: {customer}",
        f"D-{late:06d} is not handed in: {customer}",
        plan,
        f"D-{best:06d} closes on 17 Aug 2026: {customer}",  # only what is won is handed in
    ]
    assert "Which customer?" in client.get("/").content.decode()
    saved(world, world.ana, 4_000_00, on=make.TODAY - timedelta(days=2))
    assert to_do(client)[1] == "2 deals are not handed in"
    won = saved(world, world.ana, 5_000_00)
    assert f"Hand in D-{won:06d}: {customer}" in to_do(client)


def test_a_rep_s_home_costs_the_same_for_few_and_for_many(world: World) -> None:
    def look(who: Rep) -> int:
        client = as_user(who)
        with CaptureQueriesContext(connection) as seen:
            assert client.get("/").status_code == 200
        return len(seen)

    back = sell(world, world.ana, 500_00, approve=False)
    approving.return_deal(deal_id=back, by=make.login(world.mia), at=make.AT, reason="Mend it.")
    sell(world, world.ana, 1_000_00)
    saved(world, world.ana, 2_000_00)
    few = look(world.ana)
    for n in range(2):
        sell(world, world.ana, 1_000_00 * (n + 1))
        sell(world, world.ana, 2_000_00 * (n + 1), approve=False)
        saved(world, world.ana, 3_000_00, on=make.TODAY - timedelta(days=n))
        more = make.rep(team=world.team)
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=more)
    assert look(world.ana) == few
    assert few < 80


def test_without_a_rep_a_quota_or_a_begun_period_the_home_says_what_comes(
    world: World, settings: Settings
) -> None:
    assert "You are not set up to sell yet" in as_user(make.user(role=Role.REP)).get("/").content.decode()
    fresh = make.rep(team=world.team, name="Fay", login=True)
    page = as_user(fresh).get("/").content.decode()
    for said in (
        "You have no quota in FY27-Q1 yet",
        "No open deal",
        "No credit yet",
        "No rank yet",
        "No plan pays you",
    ):
        assert said in page
    settings.DEMO_TODAY = date(2025, 6, 1)  # before the first period that is known
    page = as_user(world.ana).get("/").content.decode()
    assert "Begins on 1 Jul 2025" in page
    assert "FY26-Q1 begins on" in page


# --- whose home -------------------------------------------------------------------------------------------


def test_the_first_role_decides_and_who_has_several_chooses(world: World) -> None:
    RoleGrant.objects.create(user=make.login(world.mia), role=Role.REP, granted_at=make.AT)
    client = as_user(world.mia)
    assert client.get("/").templates[0].name == "quotas/home_manager.html"
    own = client.get("/?role=rep")
    assert own.templates[0].name == "quotas/home.html"
    assert [role for role, _name in own.context["homes"].tabs] == ["manager", "rep"]
    shown = as_user(world.ana).get("/?role=comp_admin")
    assert shown.templates[0].name == "quotas/home.html", "a role that one has not is no choice"
    assert shown.context["homes"].tabs == []


# --- a team -----------------------------------------------------------------------------------------------


def test_a_manager_sees_what_waits_who_moves_and_who_is_behind_with_nothing_open(world: World) -> None:
    sell(world, world.bo, 50_000_00, on=make.TODAY - timedelta(days=10))
    sell(world, world.ana, 60_000_00)
    waiting = sell(world, world.bo, 1_000_00, approve=False)
    make.rep(team=world.team, name="Nil")

    shown = as_user(world.mia).get("/").context
    work = shown["work"]
    assert [(each.name, each.moved) for each in work.up] == [("Ana", 1)]
    assert [(each.name, each.moved) for each in work.down] == [("Bo", -1)]
    assert (work.risky, work.risks, work.without_quota) == ([], 0, 1)
    assert [row.deal.pk for row in shown["queue"].rows] == [waiting]
    assert shown["board"].credited_minor == 110_000_00

    above = as_user(world.rex).get("/").context["work"]
    assert [(each.name, each.team, each.open) for each in above.risky] == [("Cy", "Other team", 0)]
    saved(world, world.cy, 1_00)
    assert as_user(world.rex).get("/").context["work"].risks == 0


def test_attainment_just_behind_pace_is_no_risk_and_far_behind_is(world: World) -> None:
    """Pace on day 45 of 92 is 48.9 %; three points under it is the edge."""
    quarter = world.year.quarters[0]
    for name, amount in (("Near", 45_920_00), ("Far", 45_900_00)):
        rep = make.rep(team=world.team, name=name)
        make.quota(measure=world.bookings, period=quarter, rep=rep)
        make.total(
            rep=rep, team=world.team, measure=world.bookings, month=world.year.month(1), direct_minor=amount
        )
    found = home.team_at_work([world.team.pk], period=quarter, measure=world.bookings, on=make.TODAY)
    assert {each.name for each in found.risky} == {"Ana", "Bo", "Far"}
    assert found.risks == 3


def test_the_homes_of_who_leads_keeps_or_audits_cost_the_same_for_few_and_for_many(world: World) -> None:
    def look() -> list[int]:
        found = []
        for client in clients:
            with CaptureQueriesContext(connection) as seen:
                assert client.get("/").status_code == 200
            found.append(len(seen))
        return found

    clients = [as_user(who) for who in (world.mia, world.admin, world.auditor)]
    sell(world, world.ana, 1_000_00, approve=False)
    make.adjustment(rep=world.bo, measure=world.bookings, posted=False)
    sell(world, world.ana, 1_000_00)
    few = look()
    for n in range(2):
        more = make.rep(team=world.team)
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=more)
        sell(world, world.ana, 1_000_00 + n, approve=False)
        make.adjustment(rep=world.bo, measure=world.bookings, amount_minor=5_00 + n, posted=False)
    assert look() == few


# --- who keeps the plan, and who audits -------------------------------------------------------------------


def test_a_comp_admin_sees_what_closes_and_what_needs_a_second_person(world: World) -> None:
    asked = make.adjustment(rep=world.ana, measure=world.bookings, posted=False)
    own = make.adjustment(rep=world.bo, measure=world.bookings, posted=False, by=world.admin)
    held = sell(world, world.ana, 1_000_00)
    approving.hold_deal(deal_id=held, by=world.admin, at=make.AT, reason="Looked at.")
    client = as_user(world.admin)

    shown = client.get("/").context
    assert [(each.url, each.mine) for each in shown["second"]] == [
        (reverse("quotas:adjustment", args=[asked.pk]), False),
        (reverse("quotas:adjustment", args=[own.pk]), True),
    ]
    first = shown["next"]
    assert first.name == "FY26-M01"
    assert next(month.name for month, _close in shown["months"]) == first.name
    assert [fact.text for fact in shown["facts"]] == ["1 deal is held"]
    part = client.get("/", headers={"HX-Request": "true", "HX-Target": "close-part"})
    assert part.templates[0].name == "quotas/_home_close.html"
    assert "Nobody has kept a proof of parity of it." in part.content.decode()
    assert client.get("/", headers={"HX-Request": "true"}).templates[0].name == "quotas/home_admin.html", (
        "another part is not asked for"
    )


def test_an_auditor_sees_seals_duties_and_the_last_changes(world: World) -> None:
    client = as_user(world.auditor)
    shown = client.get("/")
    assert "It has not been verified yet." in shown.content.decode()
    assert shown.context["events"]
    part = client.get("/", headers={"HX-Request": "true", "HX-Target": "duties-part"})
    assert part.templates[0].name == "quotas/_home_duties.html"
    assert part.context["report"].broken == 0
    assert "All 11" in part.content.decode()
