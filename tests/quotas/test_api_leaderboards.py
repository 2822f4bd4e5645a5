"""Leaderboards through REST: ranks for all, amounts for some, and nothing of others for partners."""

import base64
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.sealed import seal, unseal
from quotas.models import Rep
from tests import make
from tests.quotas.api import client, credited_at_once, problems, usd

pytestmark = pytest.mark.django_db
BOARDS = "/api/v1/leaderboards/"


@pytest.fixture
def world() -> make.World:
    """Cy leads with $900, Ana and Bo share the second place with $500; all in August."""
    world = make.world()
    for rep, team, amount in (
        (world.ana, world.team, 500_00),
        (world.bo, world.team, 500_00),
        (world.cy, world.other, 900_00),
    ):
        make.total(rep=rep, team=team, measure=world.bookings, month=world.year.month(2), direct_minor=amount)
    return world


def board(world: make.World, who: Any, query: str = "") -> dict[str, Any]:
    answer = client(who).get(f"{BOARDS}{world.bookings.slug}/?{query}")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def test_the_list_names_a_board_for_each_measure(world: make.World) -> None:
    make.measure(slug="new-customers", basis="new_customers", name="New customers")
    listed = client(world.ana).get(BOARDS).json()["results"]
    assert [(b["measure"], b["currency"], b["url"]) for b in listed] == [
        (world.bookings.slug, "USD", f"http://testserver{BOARDS}{world.bookings.slug}/"),
        ("new-customers", None, f"http://testserver{BOARDS}new-customers/"),
    ]
    assert client(world.ana).get(f"{BOARDS}nothing/").status_code == 404


def test_ranks_are_shared_and_the_next_is_skipped(world: make.World) -> None:
    make.total(
        rep=world.mia, team=world.team, measure=world.bookings, month=world.year.month(2), direct_minor=1_00
    )
    shown = board(world, world.admin, "period=FY27-Q1")
    assert [(e["rank"], e["slug"], e["value"]) for e in shown["results"]][:4] == [
        (1, world.cy.slug, usd("900.00")),
        (2, world.ana.slug, usd("500.00")),
        (2, world.bo.slug, usd("500.00")),
        (4, world.mia.slug, usd("1.00")),
    ]
    first = shown["results"][0]
    assert (first["name"], first["team"], first["attainment_percent"], first["status"], first["quota"]) == (
        "Cy",
        world.other.slug,
        "0.9000",
        "at_risk",
        usd("100000.00"),
    )
    assert {
        key: shown[key]
        for key in ("measure", "period", "by", "group", "team", "on", "pace_percent", "suppressed")
    } == {
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "by": "credit",
        "group": "rep",
        "team": None,
        "on": "2026-08-14",
        "pace_percent": "48.9130",
        "suppressed": False,
    }


def test_a_rep_sees_rank_and_per_cent_of_colleagues_and_money_of_nobody_else(
    world: make.World, settings: Any
) -> None:
    entries = board(world, world.ana)["results"]
    assert [(e["slug"], e["rank"], e["attainment_percent"]) for e in entries][:3] == [
        (world.cy.slug, 1, "0.9000"),
        (world.ana.slug, 2, "0.5000"),
        (world.bo.slug, 2, "0.5000"),
    ]
    shown = {e["slug"]: (e["value"], e["quota"]) for e in entries}
    assert shown[world.ana.slug] == (usd("500.00"), usd("100000.00"))
    assert {shown[rep.slug] for rep in (world.bo, world.cy)} == {(None, None)}
    led = {e["slug"]: e["value"] for e in board(world, world.mia)["results"]}
    assert (led[world.ana.slug], led[world.bo.slug], led[world.cy.slug]) == (
        usd("500.00"),
        usd("500.00"),
        None,
    )
    settings.REPS_SEE_PEERS_MONEY = True
    assert {e["value"]["amount"] for e in board(world, world.ana)["results"][:3]} == {"500.00", "900.00"}


def test_teams_are_shown_in_money_to_who_manages_them(world: make.World) -> None:
    for who, seen in (
        (world.ana, {world.team.slug: None, world.other.slug: None}),
        (world.mia, {world.team.slug: usd("1000.00"), world.other.slug: None}),
        (world.rex, {world.team.slug: usd("1000.00"), world.other.slug: usd("900.00")}),
    ):
        entries = board(world, who, "group=team")["results"]
        assert {e["slug"]: e["value"] for e in entries} == seen


def test_around_me_shows_the_neighbours(world: make.World) -> None:
    for amount in range(10):
        make.total(
            rep=make.rep(team=world.other),
            team=world.other,
            measure=world.bookings,
            month=world.year.month(2),
            direct_minor=100 + amount,
        )
    shown = board(world, world.bo, "around=me&page_size=2")
    assert [e["slug"] for e in shown["results"]][1] == world.bo.slug
    assert (len(shown["results"]), shown["next"]) == (3, None)
    answer = client(world.admin).get(f"{BOARDS}{world.bookings.slug}/?around=me")
    assert (answer.status_code, problems(answer)) == (400, [("no_rep", "around")])


def test_pages_join_without_a_gap_and_their_cursors_tell_no_amount(world: make.World) -> None:
    for amount in range(7):
        make.total(
            rep=make.rep(team=world.other),
            team=world.other,
            measure=world.bookings,
            month=world.year.month(2),
            direct_minor=123_400 + amount,
        )
    ana, found, address = client(world.ana), [], f"{BOARDS}{world.bookings.slug}/?page_size=3&period=FY27-Q1"
    while address:
        body = ana.get(address).json()
        found += [e["slug"] for e in body["results"]]
        address = body["next"]
        if address:
            cursor = address.split("cursor=")[1].split("&")[0]
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            assert b"1234" not in raw
    assert (
        len(found) == len(set(found)) == Rep.objects.filter(pk__gt=0).count() - 3
    )  # the managers have nothing
    assert (
        ana.get(f"{BOARDS}{world.bookings.slug}/?page_size=3")["ETag"]
        == ana.get(f"{BOARDS}{world.bookings.slug}/?page_size=3")["ETag"]
    )


def test_a_cursor_is_sealed_and_a_broken_one_is_none(world: make.World) -> None:
    text = '["50000", null, 7, false]'
    sealed = seal(text, purpose="leaderboard")
    assert unseal(sealed, purpose="leaderboard") == text
    assert seal(text, purpose="leaderboard") == sealed
    for broken in ("", "x", "ä", "%%%", sealed[:-2], "A" + sealed[1:]):
        if broken != sealed:
            with pytest.raises(ValueError, match="not sealed here"):
                unseal(broken, purpose="leaderboard")
    with pytest.raises(ValueError, match="not sealed here"):
        unseal(sealed, purpose="another")
    plain = base64.urlsafe_b64encode(text.encode()).decode()
    answer = client(world.ana).get(f"{BOARDS}{world.bookings.slug}/?cursor={plain}")
    assert (answer.status_code, problems(answer)) == (400, [("invalid_cursor", "cursor")])


def test_wrong_parameters_are_named(world: make.World) -> None:
    ana = client(world.ana)
    for query, expected in (
        ("by=luck", [("invalid_choice", "by")]),
        ("group=planet", [("invalid_choice", "group")]),
        ("group=offering&by=attainment", [("no_quota", "by")]),
        ("around=you", [("invalid_choice", "around")]),
        ("around=me&group=team", [("not_a_rep", "around")]),
        ("period=FY99", [("unknown_period", "period")]),
        ("team=x", [("unknown_team", "team")]),
        ("page_size=201", [("out_of_range", "page_size")]),
        ("limit=3", [("unknown_parameter", "limit")]),
    ):
        answer = ana.get(f"{BOARDS}{world.bookings.slug}/?{query}")
        assert (query, answer.status_code, problems(answer)) == (query, 400, expected)


def test_a_partner_sees_ranks_without_names_and_small_groups_not_at_all(world: make.World) -> None:
    partner = make.user(role="partner", publisher=world.third.publisher)
    entries = board(world, partner, "period=FY27-Q1")["results"]
    assert [e["rank"] for e in entries][:3] == [1, 2, 2]
    for entry in entries:
        assert {entry[key] for key in ("id", "slug", "name", "team", "value", "quota")} == {None}
    small = board(world, partner, f"team={world.team.slug}")
    assert (small["results"], small["suppressed"], small["next"]) == ([], True, None)
    assert board(world, partner, "group=team") | {"results": [], "suppressed": True} == board(
        world, partner, "group=team"
    )
    for _ in range(2):
        make.rep(team=world.team)
    grown = board(world, partner, "group=team")
    assert [(e["slug"], e["value"]) for e in grown["results"]] == [(world.team.slug, None)]
    assert grown["suppressed"] is True


def test_a_partner_sees_own_offerings_alone_and_their_value_once_enough_people_sold_them(
    world: make.World,
) -> None:
    own = world.third
    partner = make.user(role="partner", publisher=own.publisher)
    sellers = [world.ana, world.bo, *(make.rep(team=world.team, login=True) for _ in range(3))]
    each = make.Sale(customer=world.customer, lines=[make.Line(own, 1000_00)])
    credited_at_once(
        *(replace(each, owner=seller) for seller in sellers[:4]),
        replace(each, owner=world.cy, lines=[make.Line(world.house, 5000_00)]),
    )
    for group, subject in (("offering", own), ("publisher", own.publisher)):
        few = board(world, partner, f"group={group}")
        assert [(e["rank"], e["slug"], e["value"]) for e in few["results"]] == [(2, subject.slug, None)]
        assert few["suppressed"] is True
        staff = board(world, world.ana, f"group={group}")
        assert [e["value"] for e in staff["results"]] == [usd("5000.00"), usd("4000.00")]
    credited_at_once(replace(each, owner=sellers[4]))
    for group in ("offering", "publisher"):
        enough = board(world, partner, f"group={group}")
        assert [(e["rank"], e["value"]) for e in enough["results"]] == [(1, usd("5000.00"))]
        assert enough["suppressed"] is False
        narrowed = board(world, partner, f"group={group}&team={world.team.slug}")
        assert [e["value"] for e in narrowed["results"]] == [None]
    stranger = make.user(role="partner")
    assert board(world, stranger, "group=offering")["results"] == []
    outsider = make.user(role="engineer")
    assert [e["value"] for e in board(world, outsider, "group=offering")["results"]] == [None, None]


def test_a_board_costs_the_same_queries_whatever_the_number_of_reps(world: make.World) -> None:
    asked = ("", "by=attainment", "group=team", "group=offering", "around=me")
    asking = client(world.mia)

    def counted() -> dict[str, int]:
        found = {}
        for query in asked:
            with CaptureQueriesContext(connection) as queries:
                assert asking.get(f"{BOARDS}{world.bookings.slug}/?{query}").status_code == 200
            found[query] = len(queries)
        return found

    few = counted()
    for _ in range(25):
        rep = make.rep(team=make.team(parent=world.region))
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=rep)
        make.total(
            rep=rep, team=world.team, measure=world.bookings, month=world.year.month(2), direct_minor=5
        )
    many = counted()
    assert max(few.values()) <= 20
    # A full page does without the second statement, or needs it.
    assert {query: n for query, n in many.items() if n > few[query] + 1} == {}
