"""Credits, their explanations and estimates through REST."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from quotas.models import CreditEntry, Deal, Posting, Receivers
from tests import make
from tests.quotas.api import approved, client, credited_at_once, deal_body, ids, problems, usd

pytestmark = pytest.mark.django_db
CREDITS, ESTIMATES = "/api/v1/credits/", "/api/v1/credit-estimates/"


@pytest.fixture
def world() -> make.World:
    """With an uplift of 10 % for new business, and a count of new customers beside the money."""
    world = make.world(rules=[])
    customers = make.measure(basis="new_customers", name="New customers")
    make.plan_version(
        rules=[
            make.Rule(
                world.bookings,
                slug="base",
                name="New business",
                factor_ppm=1_100_000,
                deal_kinds=["new_business"],
            ),
            make.Rule(customers, slug="logo", name="New customers count"),
        ]
    )
    return world


def body_of_two(world: make.World) -> dict[str, object]:
    return deal_body(
        world,
        new_customer=True,
        shares=[{"rep": world.ana.slug, "percent": "70"}, {"rep": world.bo.slug, "percent": "30"}],
    )


def test_a_credit_says_what_it_is_and_under_which_rule(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, **body_of_two(world))
    answer = client(world.ana).get(f"{CREDITS}?measure={world.bookings.slug}")
    credit, uplift = sorted(answer.json()["results"], key=lambda c: c["component"])
    entry = CreditEntry.objects.get(pk=credit["id"])
    assert entry.rule_version is not None
    recorded = credit.pop("recorded_at")
    assert recorded.startswith("2026-08-14T")
    assert credit == {
        "id": entry.pk,
        "deal": deal.pk,
        "line_no": 1,
        "rep": world.ana.slug,
        "team": world.team.slug,
        "measure": world.bookings.slug,
        "component": "credit",
        "receiver": "direct",
        "amount": usd("700.00"),
        "credit_date": "2026-08-03",
        "posting_period": "FY27-M02",
        "origin_period": "FY27-M02",
        "rule": {
            "slug": "base",
            "name": "New business",
            "plan_version": str(entry.rule_version.plan_version),
        },
        "adjustment": None,
        "reverses": None,
        "reversed_by": None,
    }
    assert (uplift["component"], uplift["amount"]) == ("uplift", usd("70.00"))
    assert client(world.ana).get(f"{CREDITS}{entry.pk}/").json() == {**credit, "recorded_at": recorded}


def test_a_count_is_a_decimal_string(world: make.World) -> None:
    approved(world, world.ana, world.mia, **body_of_two(world))
    shown = client(world.mia).get(CREDITS).json()["results"]
    assert sorted(c["amount"] for c in shown if c["measure"] != world.bookings.slug) == ["0.3", "0.7"]


def test_credits_are_filtered_by_rep_measure_component_and_both_periods(world: make.World) -> None:
    approved(world, world.ana, world.mia, **body_of_two(world))
    mia = client(world.mia)
    everything = CreditEntry.objects.all()
    for query, expected in (
        (f"rep={world.bo.slug}", everything.filter(rep=world.bo)),
        (f"rep={world.bo.slug},{world.ana.slug}", everything),
        (f"measure={world.bookings.slug}", everything.filter(measure=world.bookings)),
        ("component=uplift", everything.filter(component=2)),
        ("component=credit,uplift", everything.filter(component__in=[1, 2])),
        ("period=FY27-M02", everything),
        ("period=FY27", everything),
        ("period=FY27-Q2", everything.none()),
        ("origin_period=FY27-Q1", everything),
        ("origin_period=FY26", everything.none()),
        (f"team={world.team.slug}", everything),
        (f"team={world.region.slug}", everything.none()),
    ):
        assert set(ids(mia.get(f"{CREDITS}?{query}"))) == {e.pk for e in expected}, query
    for query, name in (("component=bonus", "component"), ("deal=x", "deal"), ("period=Q1", "period")):
        answer = mia.get(f"{CREDITS}?{query}")
        assert answer.status_code == 400
        assert [where for _code, where in problems(answer)] == [name]


def test_an_explanation_leads_to_the_amount(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, **body_of_two(world))
    entry = CreditEntry.objects.get(rep=world.ana, component=2)
    answer = client(world.ana).get(f"{CREDITS}{entry.pk}/explanation/")
    told = answer.json()
    assert told["credit"]["amount"] == usd("70.00")
    assert [step["label"] for step in told["steps"]] == [
        "Deal value",
        "Split",
        "Eligibility",
        "Uplift",
        "Quota credit",
    ]
    assert "New business" in told["sentence"]
    assert told["pins"]["rule_version"] == entry.rule_version_id
    assert told["pins"]["eligibility_decision"] == entry.decision_id
    whole = client(world.ana).get(f"/api/v1/deals/{deal.pk}/explanation/").json()
    assert (whole["deal"], whole["reference"]) == (deal.pk, deal.reference)
    assert told in whole["credits"]
    assert len(whole["credits"]) == 3
    assert whole["uncredited"] == []


def test_what_earned_nothing_is_explained_with_its_reason(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, kind="renewal")
    told = client(world.ana).get(f"/api/v1/deals/{deal.pk}/explanation/").json()
    assert told["credits"] == []
    assert [(gap["line_no"], gap["measure"], gap["reason"]) for gap in told["uncredited"]] == [
        (1, world.bookings.slug, "no_rule")
    ]
    assert told["uncredited"][0]["detail"]


def test_an_estimate_is_what_is_credited_afterwards_and_writes_nothing(world: make.World) -> None:
    approved(world, world.bo, world.mia)
    body = body_of_two(world)
    before = (Deal.objects.count(), CreditEntry.objects.count(), Posting.objects.count())
    answer = client(world.ana).post(ESTIMATES, body)
    assert answer.status_code == 200
    assert (Deal.objects.count(), CreditEntry.objects.count(), Posting.objects.count()) == before
    estimated = answer.json()
    deal = approved(world, world.ana, world.mia, **body)
    posted = client(world.mia).get(f"{CREDITS}?deal={deal.pk}").json()["results"]
    keys = ("line_no", "rep", "team", "measure", "component", "amount", "rule")

    def told(credits: list[dict[str, object]]) -> list[str]:
        return sorted(str([c[key] for key in keys]) for c in credits)

    assert told(estimated["credits"]) == told(posted)
    assert len(posted) == 6
    of_bookings = next(s for s in estimated["standings"] if s["measure"] == world.bookings.slug)
    assert of_bookings == {
        "rep": world.ana.slug,
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "quota": usd("100000.00"),
        "credited_before": usd("0.00"),
        "credited_after": usd("770.00"),
        "attainment_before": "0.0000",
        "attainment_after": "0.7700",
        "rank_before": None,
        "rank_after": 2,
    }


def test_an_estimate_keeps_the_overlay_of_others_from_a_rep_as_the_ledger_does(world: make.World) -> None:
    make.lies_in(customer=world.customer, territory=(place := make.territory()))
    make.covers(rep=world.cy, territory=place)
    make.plan_version(
        rules=[make.Rule(world.bookings, slug="overlay", receivers=Receivers.TERRITORY, factor_ppm=200_000)]
    )
    seen = {
        who: {c["rep"] for c in client(who).post(ESTIMATES, body_of_two(world)).json()["credits"]}
        for who in (world.ana, world.rex)
    }
    assert world.cy.slug not in seen[world.ana]
    assert world.cy.slug in seen[world.rex]


def test_an_estimate_says_why_there_would_be_no_credit(world: make.World) -> None:
    answer = client(world.ana).post(ESTIMATES, deal_body(world, kind="renewal"))
    assert answer.json()["credits"] == []
    assert [(gap["measure"], gap["reason"]) for gap in answer.json()["uncredited"]] == [
        (world.bookings.slug, "no_rule")
    ]


def test_a_list_of_credits_costs_the_same_queries_whatever_its_length(world: make.World) -> None:
    sale = make.Sale(
        owner=world.ana,
        customer=world.customer,
        lines=[make.Line(world.third)],
        shares={world.ana: 700_000, world.bo: 300_000},
    )
    counted: list[list[int]] = []
    for more in (1, 5):
        credited_at_once(*[sale] * more)
        counted.append([])
        for who in (world.ana, world.mia, world.admin):
            asking = client(who)
            with CaptureQueriesContext(connection) as queries:
                assert ids(asking.get(CREDITS))
            counted[-1].append(len(queries))
    assert counted[0] == counted[1]
    assert max(counted[0]) <= 8


def test_an_estimate_costs_the_same_queries_whatever_its_size(world: make.World) -> None:
    counted = []
    for lines in (1, 4):
        body = {
            **body_of_two(world),
            "lines": [{"offering": world.third.slug, "amount": usd("10.00")}] * lines,
        }
        asking = client(world.ana)
        with CaptureQueriesContext(connection) as queries:
            assert asking.post(ESTIMATES, body).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 50
