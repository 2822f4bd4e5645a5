"""Periods, customers, quotas and attainments through REST."""

from datetime import date

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests import make
from tests.quotas.api import approved, client, credited_at_once, ids, problems, usd

pytestmark = pytest.mark.django_db
ATTAINMENTS, QUOTAS, PERIODS, CUSTOMERS = (
    f"/api/v1/{name}/" for name in ("attainments", "quotas", "periods", "customers")
)


@pytest.fixture
def world() -> make.World:
    return make.world()


def test_periods_are_named_and_only_months_have_a_state(world: make.World) -> None:
    engineer = client(make.user(role="engineer"))
    month = engineer.get(f"{PERIODS}FY27-M02/").json()
    assert month == {
        "id": world.year.month(2).pk,
        "name": "FY27-M02",
        "calendar": "fiscal",
        "grain": "month",
        "starts": "2026-08-01",
        "ends": "2026-09-01",
        "state": "open",
        "quarter": "FY27-Q1",
        "half": "FY27-H1",
        "year": "FY27",
    }
    year = engineer.get(f"{PERIODS}FY27/").json()
    assert (year["grain"], year["state"], year["quarter"], year["year"]) == ("year", None, None, None)
    assert engineer.get(f"{PERIODS}FY99/").status_code == 404


def test_periods_are_filtered_by_grain_state_and_day(world: make.World) -> None:
    engineer = client(make.user(role="engineer"))
    for query, names in (
        ("grain=half&on=2026-08-14", ["FY27-H1"]),
        ("on=2026-08-14", ["FY27", "FY27-H1", "FY27-Q1", "FY27-M02"]),
        ("on=2026-06-30&grain=month", ["FY26-M12"]),
        ("on=2026-07-01&grain=month", ["FY27-M01"]),
        ("state=future&on=2026-09-01", ["FY27-M03"]),
    ):
        found = engineer.get(f"{PERIODS}?{query}").json()["results"]
        assert sorted(p["name"] for p in found) == sorted(names), query
    answer = engineer.get(f"{PERIODS}?grain=week")
    assert (answer.status_code, problems(answer)) == (400, [("invalid_choice", "grain")])


def test_customers_are_searched_by_name_or_slug(world: make.World) -> None:
    contoso = make.customer(
        name="Contoso Léman", slug="contoso-leman", segment="corporate", region="emea", country="CH"
    )
    ana = client(world.ana)
    assert ids(ana.get(f"{CUSTOMERS}?search=oso lé")) == [contoso.pk]
    assert ids(ana.get(f"{CUSTOMERS}?search=contoso-l")) == [contoso.pk]
    assert ids(ana.get(f"{CUSTOMERS}?search=%25")) == []
    assert ids(ana.get(f"{CUSTOMERS}?segment=corporate&country=CH")) == [contoso.pk]
    assert ana.get(f"{CUSTOMERS}contoso-leman/").json() == {
        "id": contoso.pk,
        "slug": "contoso-leman",
        "name": "Contoso Léman",
        "segment": "corporate",
        "region": "emea",
        "country": "CH",
        "industry": "",
    }


def test_a_quota_is_listed_in_its_last_version_unless_more_is_asked_for(world: make.World) -> None:
    quarter = world.year.quarters[1]
    options = {"measure": world.bookings, "period": quarter, "rep": world.ana}
    old = make.quota(**options, amount_minor=100, superseded_at=make.AT)  # type: ignore[arg-type]
    new = make.quota(**options, amount_minor=200, version=2, starts=date(2026, 11, 1))  # type: ignore[arg-type]
    ana = client(world.ana)
    assert ids(ana.get(f"{QUOTAS}?period=FY27-Q2")) == [new.pk]
    assert ids(ana.get(f"{QUOTAS}?period=FY27-Q2&superseded=true")) == [old.pk, new.pk]
    assert ids(ana.get(f"{QUOTAS}?period=FY27-Q2&rep={world.bo.slug}")) == []
    assert ana.get(f"{QUOTAS}{new.pk}/").json() == {
        "id": new.pk,
        "measure": world.bookings.slug,
        "period": "FY27-Q2",
        "rep": world.ana.slug,
        "team": None,
        "amount": usd("2.00"),
        "version": 2,
        "starts": "2026-11-01",
        "method": "last",
        "recorded_at": "2026-08-14T12:00:00-07:00",
        "superseded_at": None,
    }


def test_attainment_is_credit_against_quota_and_pace(world: make.World) -> None:
    approved(world, world.ana, world.mia, lines=[{"offering": world.third.slug, "amount": usd("71234.56")}])
    answer = client(world.ana).get(ATTAINMENTS)
    (row,) = answer.json()["results"]
    assert row.pop("as_of").startswith("2026-08-14T")
    assert row.pop("weighted") == []
    assert row == {
        "view": "reported",
        "close": None,
        "group": "rep",
        "id": world.ana.pk,
        "slug": world.ana.slug,
        "name": "Ana",
        "team": world.team.slug,
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "credited": usd("71234.56"),
        "quota": usd("100000.00"),
        "attainment_percent": "71.2346",
        "pace_percent": "48.9130",  # 45 of 92 days
        "gap_to_pace": usd("22321.52"),
        "status": "ahead",
    }
    half = client(world.ana).get(f"{ATTAINMENTS}?period=FY27-H1").json()["results"][0]
    assert (half["credited"], half["quota"], half["attainment_percent"], half["status"]) == (
        usd("71234.56"),
        None,
        None,
        "no_quota",
    )


def test_a_managers_number_is_the_direct_credit_of_the_teams_below(world: make.World) -> None:
    credited_at_once(
        *(
            make.Sale(owner=owner, customer=world.customer, lines=[make.Line(world.third, minor)])
            for owner, minor in ((world.ana, 10_00), (world.bo, 20_00), (world.cy, 5_00))
        )
    )
    make.quota(measure=world.bookings, period=world.year.quarters[0], team=world.region, amount_minor=70_00)
    rows = {row["slug"]: row for row in client(world.rex).get(f"{ATTAINMENTS}?group=team").json()["results"]}
    assert {slug: row["credited"] for slug, row in rows.items()} == {
        world.region.slug: usd("35.00"),
        world.team.slug: usd("30.00"),
        world.other.slug: usd("5.00"),
    }
    assert (rows[world.region.slug]["attainment_percent"], rows[world.region.slug]["team"]) == (
        "50.0000",
        world.company.slug,
    )
    below = client(world.admin).get(f"{ATTAINMENTS}?team={world.region.slug}").json()["results"]
    assert sum(float(row["credited"]["amount"]) for row in below) == 35.0
    assert {
        row["slug"]
        for row in client(world.rex).get(f"{ATTAINMENTS}?team={world.team.slug}").json()["results"]
    } == {
        world.ana.slug,
        world.bo.slug,
        world.mia.slug,
    }


def test_an_unknown_period_measure_team_or_group_is_an_error(world: make.World) -> None:
    admin = client(world.admin)
    for query, code in (
        ("period=FY99", "unknown_period"),
        ("period=fy27", "unknown_period"),
        ("measure=x", "unknown_measure"),
        ("team=x", "unknown_team"),
        ("group=planet", "invalid_choice"),
        ("page_size=0", "out_of_range"),
        ("cursor=x", "invalid_cursor"),
        ("reps=x", "unknown_parameter"),
    ):
        answer = admin.get(f"{ATTAINMENTS}?{query}")
        assert (query, answer.status_code, problems(answer)) == (query, 400, [(code, query.split("=")[0])])
    both = admin.get(f"{ATTAINMENTS}?group=team&rep={world.ana.slug}")
    assert (both.status_code, problems(both)) == (400, [("not_a_team", "rep")])


def queries_of(who: APIClient, address: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert ids(who.get(address))
    return len(queries)


def test_attainments_cost_the_same_queries_whatever_the_number_of_reps(world: make.World) -> None:
    counted = []
    for more in (0, 6):
        for _ in range(more):
            rep = make.rep(team=world.team)
            make.team(parent=world.region)
            make.quota(measure=world.bookings, period=world.year.quarters[0], rep=rep)
            make.total(
                rep=rep, team=world.team, measure=world.bookings, month=world.year.month(2), direct_minor=5
            )
        asking = client(world.rex)
        counted.append([queries_of(asking, f"{ATTAINMENTS}{query}") for query in ("", "?group=team")])
    assert counted[0] == counted[1]
    assert max(counted[0]) <= 16


def test_lists_cost_the_same_queries_whatever_their_length(world: make.World) -> None:
    counted = []
    for more in (0, 4):
        for _ in range(more):
            make.customer()
            make.quota(measure=world.bookings, period=world.year.quarters[0], rep=make.rep(team=world.team))
        if more:
            make.fiscal_year(year=2028)
        asking = client(world.mia)
        counted.append([queries_of(asking, address) for address in (QUOTAS, CUSTOMERS, PERIODS)])
    assert counted[0] == counted[1]
    assert max(counted[0]) <= 10
