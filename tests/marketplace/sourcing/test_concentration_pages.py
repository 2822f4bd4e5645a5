"""The overview, concentration, who buys of how many, and the brief: what they say, to whom, and in how many queries."""

import re
from collections.abc import Callable
from datetime import date
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import Role, User
from marketplace.models import Scenario, SpendPlan, Substitution
from marketplace.selectors.sourcing.concentration import Exposure
from marketplace.selectors.sourcing.outlook import must_move
from marketplace.selectors.sourcing.summary import Summary
from marketplace.views.sourcing.brief import Notes
from marketplace.views.sourcing.concentration import runs
from quotas.models import DealState
from tests import make
from tests.marketplace.sourcing.test_concentration import JULY, TODAY, grow, priced, sells, version_of

Browser = Callable[[User], Client]
PAGES = ("/sourcing/", "/sourcing/concentration/", "/sourcing/concentration/accounts/", "/sourcing/brief/")
REST = "/api/v1/sourcing/exposure/"
pytestmark = pytest.mark.django_db


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


@pytest.fixture
def lead(browser_of: Browser) -> Client:
    return browser_of(make.user(role=Role.SOURCING_LEAD, name="Lea Lead"))


def supplier_of_july(name: str, per_million: str, tokens: int = 1_000_000, month: date = JULY) -> None:
    """One feature of its own that ran on the supplier's model in a month, with the company behind it."""
    plan = priced(per_million)
    publisher = plan.offering.publisher
    publisher.name = name
    publisher.save()
    make.company(publisher=publisher)
    feature = make.feature(name=f"Feature on {name}")
    make.binding(feature=feature, version=version_of(plan))
    make.usage(feature=feature, version=version_of(plan), plan=plan, month=month, tokens=(0, 0, tokens))


def test_what_has_nothing_recorded_says_what_to_do(lead: Client) -> None:
    assert "Nothing is recorded yet" in text(lead, "/sourcing/")
    for by, said in (
        ("spend", "Import usage first"),
        ("features", "Bind features"),
        ("deals", "No sale that"),
    ):
        assert said in text(lead, f"/sourcing/concentration/?by={by}")
    assert "No account bought anything" in text(lead, "/sourcing/concentration/accounts/")
    assert "No product is recorded" in text(lead, "/sourcing/brief/")


@pytest.mark.parametrize(
    "roles", [[Role.PARTNER], [Role.REP, Role.ENGINEER, Role.MANAGER, Role.CATALOG_MANAGER]]
)
def test_for_who_does_not_read_sourcing_none_of_it_exists(browser_of: Browser, roles: list[Role]) -> None:
    user = make.user(roles=roles)
    client, api = browser_of(user), APIClient()
    api.force_login(user)
    assert [client.get(path).status_code for path in PAGES] == [404] * 4
    assert client.get("/sourcing/concentration/?format=csv").status_code == 404
    assert api.get(REST).status_code == 404


def test_concentration_says_the_index_its_word_its_rule_and_who_is_behind_it(lead: Client) -> None:
    make.world(rules=[])
    supplier_of_july("Acme", "3")
    supplier_of_july("Beta", "1")
    seen = text(lead, "/sourcing/concentration/")
    for part in (
        "HHI by spend 6,250",
        "Acme 75.0%",
        "High is 2,500 or more. Jul 2026.",
        "Acme has 75.0% of spend One supplier, not ourselves, above 60%. Jul 2026.",
        "Sole-sourced 2 features of 2",
        "Nothing is known of Aug 2024 to Jun 2026: a gap, not a zero.",
        "Feature on Beta",
    ):
        assert part in seen, part
    assert "HHI by features 5,000" in text(lead, "/sourcing/concentration/?by=features")


def test_an_address_that_makes_no_sense_shows_the_page(lead: Client, subtests: pytest.Subtests) -> None:
    """Each page takes what it knows and lets go of the rest, so they are given several things at once."""
    grow()
    for query in ("by=;&as_of=0001-01-01&page=99&q=%00", "months=0&as_of=9999-12-31", "months=x&sort=;"):
        for path in PAGES:
            with subtests.test(path=path, query=query):
                assert lead.get(f"{path}?{query}").status_code == 200
    assert lead.get("/sourcing/concentration/?format=pdf").status_code == 404


def test_a_file_has_the_shares_that_the_page_shows(lead: Client) -> None:
    supplier_of_july("Acme", "3")
    supplier_of_july("Beta", "1")
    response = lead.get("/sourcing/concentration/?by=spend&months=12&format=csv")
    lines = b"".join(response).decode("utf-8-sig").split("\r\n")
    assert lines[0] == "Month,Supplier,Amount,Currency,Share,HHI of the month,In no share"
    assert lines[1].endswith("Nothing is known.")
    assert lines[12:14] == [
        "2026-07-01,Acme,3.00,USD,75.0000,6250,",
        "2026-07-01,Beta,1.00,USD,25.0000,6250,",
    ]


def test_accounts_are_listed_by_the_number_of_their_publishers(lead: Client) -> None:
    world = make.world(rules=[])
    for name, offerings in (("Wide", (world.house, world.third)), ("Narrow", (world.third,))):
        make.deal(
            owner=world.ana,
            customer=make.customer(name=name),
            state=DealState.APPROVED,
            lines=[make.Line(o, 100_00) for o in offerings],
        )
    path = "/sourcing/concentration/accounts/"
    seen = text(lead, path)
    assert "1 of 2 buy from one alone: $100, 33.3% of spend" in seen
    assert seen.index("Narrow") < seen.index("Wide")
    assert "Narrow" not in text(lead, f"{path}?publishers=2").split("Spend")[-1]
    assert "No account matches" in text(lead, f"{path}?q=zzz")
    rows = b"".join(lead.get(f"{path}?sort=-value&format=csv")).decode("utf-8-sig")
    assert [line.split(",")[0] for line in rows.split("\r\n")[1:3]] == ["Wide", "Narrow"]


def test_the_overview_names_what_waits_and_what_comes_in_the_order_of_days(lead: Client) -> None:
    us = make.company(name="Us Inc", operator=True)
    supplier_of_july("Acme", "3")
    acme = make.company(name="Labs")
    make.relationship(kind="compute_commitment", payer=acme, payee=us, amount_minor=30_000_000_000_00)
    make.agreement(supplier=acme, renews_on=date(2026, 10, 13), notice_days=30)
    old = make.model_version(name="Oldtimer")
    sells(old, retires_on=date(2026, 9, 20))
    feature = make.feature(name="Chat")
    make.binding(feature=feature, version=old)
    Substitution.objects.create(
        feature=feature,
        replaced=old,
        alternative=make.model_version(),
        reason="Made for a test",
        proposed_at=make.AT,
    )
    Scenario.objects.create(
        name="Asked",
        starts_on=TODAY,
        state="asked",
        made_by=make.user(),
        made_at=make.AT,
        asked_by=make.user(),
        asked_at=make.AT,
    )
    seen = text(lead, "/sourcing/")
    order = [
        "Last day for notice to Labs: 13 Sep 2026",
        "Oldtimer 1 retires on 20 Sep 2026",
        "1 scenario to promote or decline",
        "2 features on one other supplier, without an alternative",
        "1 proposed alternative to qualify or reject",
        "Labs to Us Inc: no term stated",
        "What comes",
        "13 Sep 2026 in 30 days",
        "20 Sep 2026 in 37 days",
        "13 Oct 2026 in 60 days",
    ]
    assert [part for part in order if part not in seen] == []
    assert sorted(order, key=seen.index) == order
    assert "Run-rate a year $36" in seen
    assert "Commitment shortfall Unknown Labs to Us Inc, $30B" in seen


def test_a_version_moves_only_features_that_still_have_it_when_it_retires() -> None:
    version = make.model_version()
    sells(version, retires_on=date(2026, 10, 1))
    kept, left = make.feature(), make.feature()
    make.binding(feature=kept, version=version)
    make.binding(feature=left, version=version, effective=(None, date(2026, 10, 1)))
    [moving] = must_move(TODAY)
    assert (moving.day, moving.features) == (date(2026, 10, 1), (kept,))


def test_the_brief_says_where_every_figure_comes_from(lead: Client) -> None:
    us = make.company(name="Us Inc", operator=True)
    supplier_of_july("Acme", "3")
    make.usage(version=make.model_version(), month=JULY)
    labs = make.company(name="Labs")
    make.relationship(kind="equity", payer=us, payee=labs, amount_minor=5_000_000_000_00, bound="at most")
    make.relationship(kind="infrastructure", payer=us, payee=labs, amount_minor=None)
    acme = Summary(make.user(role=Role.AUDITOR), TODAY).rates[0].company
    assert acme is not None
    SpendPlan.objects.create(
        supplier=acme,
        effective=(date(2026, 7, 1), date(2027, 7, 1)),
        amount_minor=40_00,
        currency=make.currency(),
        bound="about",
        source="Told by the treasurer",
        recorded_at=make.AT,
    )
    seen = text(lead, "/sourcing/brief/")
    for part in (
        "Run-rate a year 1 $36",
        "about $40",
        "Plan: Told by the treasurer.",
        "1 line without a price is in no figure",
        "Us Inc invests in Labs at most $5B",
        "unknown amount",
        "per cent unknown",
        "Traffic, mean of its features",
    ):
        assert part in seen, part
    assert "For Lea Lead" in seen


def test_foot_notes_are_numbered_once() -> None:
    notes = Notes()
    assert [notes.number(said) for said in ("a", "b", "a", "c")] == [1, 2, 1, 3]


def test_months_that_follow_each_other_are_said_as_one() -> None:
    months = [date(2025, 11, 1), date(2025, 12, 1), date(2026, 1, 1), date(2026, 3, 1)]
    assert runs(months) == "Nov 2025 to Jan 2026, Mar 2026"


def test_pages_cost_the_same_for_few_and_for_many_and_keep_the_security_policy(lead: Client) -> None:
    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            response = lead.get(path)
        html = response.content.decode()
        assert not re.search(r"<[^>]+\s(style|on[a-z]+)=", html), path
        assert not re.search(r"<script(?![^>]*\ssrc=)", html), path
        return len(queries)

    make.fiscal_year()
    make.company(operator=True)
    grow()
    few = {path: cost(path) for path in PAGES}
    for _ in range(3):
        grow()
    assert {path: cost(path) for path in PAGES} == few
    assert max(few.values()) <= 90, few


# REST.


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.force_login(make.user(role=Role.AUDITOR))
    return client


def test_rest_gives_shares_and_index_by_basis_and_month(api: APIClient) -> None:
    supplier_of_july("Acme", "3")
    supplier_of_july("Beta", "1")
    make.usage(version=make.model_version(), month=JULY)
    body = api.get(f"{REST}?basis=spend&months=2&as_of=2026-08-14").json()
    june, july = body["results"]
    assert (june["month"], june["hhi"], june["concentration"], june["shares"]) == (
        "2026-06-01",
        None,
        "unknown",
        [],
    )
    assert (july["hhi"], july["concentration"], july["currency"], july["in_no_share"]) == (
        6_250,
        "high",
        "USD",
        "1",
    )
    assert [(s["name"], s["share"], s["amount"]) for s in july["shares"]] == [
        ("Acme", "0.750000", "3.00"),
        ("Beta", "0.250000", "1.00"),
    ]
    assert {f["sourcing"] for f in body["features"]} == {"sole", "unbound"}
    assert body["thresholds"]["largest_supplier"] == "0.600000"
    every = api.get(f"{REST}?months=2").json()["results"]
    assert [row["basis"] for row in every].count("features") == 3  # the running month as well
    assert len(every) == 9


def test_rest_refuses_what_makes_no_sense(api: APIClient, subtests: pytest.Subtests) -> None:
    for query in (
        "basis=x",
        "months=0",
        "months=37",
        "as_of=x",
        "as_of=0001-01-01",
        "as_of=9999-12-31",
        "no=1",
    ):
        with subtests.test(query=query):
            assert api.get(f"{REST}?{query}").status_code == 400


def test_a_reader_of_sourcing_begins_the_day_there(lead: Client) -> None:
    assert lead.get("/").headers["Location"] == "/sourcing/"


def test_a_summary_has_no_operator_before_companies_are_known() -> None:
    found = Summary(make.user(role=Role.AUDITOR), TODAY)
    assert (found.ties, found.standings, found.run_rate) == ([], [], None)
    assert isinstance(found.exposure, Exposure)
