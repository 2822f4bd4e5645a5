"""What closes a rep's gap: the fewest open deals, by the engine, with nothing that is not theirs. RULES 17.5."""

from datetime import date
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from quotas.crediting import engine
from quotas.models import Deal, DealState, Grain, Period, Quota
from quotas.selectors.gap import GapPlan, closing_the_gap
from tests import make
from tests.make import AT, TODAY, Line, World
from tests.quotas.api import client, problems, usd

pytestmark = pytest.mark.django_db
ONE = 1_000_000


@pytest.fixture
def world() -> World:
    world = make.world()
    Quota.objects.all().delete()
    make.quota(measure=world.bookings, period=world.year.quarters[0], rep=world.ana, amount_minor=1_000_00)
    return world


def deal(world: World, amount: int, on: date = date(2026, 9, 10), **more: Any) -> Deal:
    return make.deal(
        **{
            "owner": world.ana,
            "customer": world.customer,
            "lines": [Line(world.house, amount)],
            "close_date": on,
            **more,
        }
    )


def open_september() -> None:
    Period.objects.filter(grain=Grain.MONTH, name="FY27-M03").update(state="open")


def plan(world: World) -> GapPlan:
    return closing_the_gap(rep=world.ana, measure=world.bookings, period=world.year.quarters[0], on=TODAY)


def credited(*deals: Deal) -> None:
    with transaction.atomic():
        engine.post(engine.ByDeal([d.pk for d in deals]), key=f"{deals}", kind="approve", by=None, at=AT)


def told(found: GapPlan) -> list[tuple[int, int, int, int, bool]]:
    return [
        (s.open.deal.pk, s.open.credit_minor, s.running_minor, s.left_minor, s.closes) for s in found.steps
    ]


def test_the_fewest_deals_close_the_gap_and_of_two_alike_the_sooner(world: World) -> None:
    open_september()
    credited(deal(world, 300_00, TODAY, state="approved"))
    small = deal(world, 100_00)
    late = deal(world, 400_00, date(2026, 9, 20), state="submitted")
    soon = deal(world, 400_00, date(2026, 9, 1), state="returned")
    shared = deal(world, 1_000_00, shares={world.bo: 750_000, world.ana: 250_000}, owner=world.bo)
    deal(world, 900_00, owner=world.cy)
    found = plan(world)
    assert (found.credited_minor, found.quota_minor, found.gap_minor) == (300_00, 1_000_00, 700_00)
    assert told(found) == [
        (soon.pk, 400_00, 700_00, 300_00, False),
        (late.pk, 400_00, 1_100_00, 0, True),
        (shared.pk, 250_00, 1_350_00, 0, False),
        (small.pk, 100_00, 1_450_00, 0, False),
    ]
    assert (found.needed, found.short_minor, found.open_minor) == (2, 0, 1_150_00)
    assert [step.open.late for step in found.steps] == [False] * 4


def test_what_does_not_count_in_the_period_is_told_apart(world: World) -> None:
    """The quarter after is not open yet: nothing can be posted there, and the deal says so."""
    open_september()
    october = deal(world, 500_00, date(2026, 10, 2))
    original = deal(world, 300_00, TODAY, state="approved")
    credited(original)
    refund = deal(world, -100_00, TODAY, kind="refund", refunds=original, state="submitted")
    counted = deal(world, 200_00, date(2026, 7, 30))
    found = plan(world)
    assert [step.open.deal.pk for step in found.steps] == [counted.pk]
    assert found.steps[0].open.late
    assert (found.needed, found.short_minor) == (None, 500_00)
    others = {each.deal.pk: (each.credit_minor, list(each.reasons)) for each in found.others}
    assert others[refund.pk] == (-100_00, [])
    assert others[october.pk] == (0, ["No open period can take the credit"])
    Period.objects.filter(grain=Grain.MONTH, name="FY27-M04").update(state="open")
    (later,) = plan(world).later
    assert (later.deal.pk, later.credit_minor) == (october.pk, 500_00)


def test_a_waiting_amendment_adds_its_difference(world: World) -> None:
    open_september()
    sold = deal(world, 300_00, TODAY, state="approved")
    credited(sold)
    more = deal(world, 450_00, TODAY)
    version = more.latest
    Deal.objects.filter(pk=more.pk).update(state=DealState.REJECTED)
    Deal.objects.filter(pk=sold.pk).update(latest_version=version, amended_by=world.ana.user, amended_at=AT)
    (step,) = plan(world).steps
    assert (step.open.deal.pk, step.open.state, step.open.credit_minor) == (sold.pk, "amended", 150_00)
    assert (step.running_minor, step.left_minor) == (450_00, 550_00)


def test_the_number_of_queries_does_not_grow_with_the_deals(world: World) -> None:
    open_september()
    counts = []
    for _ in range(2):
        for _ in range(3):
            deal(world, 10_00)
        plan(world)
        with CaptureQueriesContext(connection) as captured:
            plan(world)
        counts.append(len(captured))
    assert counts[0] == counts[1] <= 12


def test_rest_tells_a_rep_of_their_own_gap_and_nobody_else(world: World) -> None:
    open_september()
    sold = deal(world, 1_200_00, state="submitted")
    answer = client(world.ana).get("/api/v1/me/gap/?period=FY27-Q1")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert {name: body[name] for name in ("rep", "measure", "period", "quota", "gap", "deals_needed")} == {
        "rep": world.ana.slug,
        "measure": world.bookings.slug,
        "period": "FY27-Q1",
        "quota": usd("1000.00"),
        "gap": usd("1000.00"),
        "deals_needed": 1,
    }
    (step,) = body["steps"]
    assert (step["deal"], step["deal_state"], step["credit"], step["left"], step["closes"]) == (
        sold.pk,
        "submitted",
        usd("1200.00"),
        usd("0.00"),
        True,
    )
    assert client(world.bo).get("/api/v1/me/gap/").json()["quota"] is None
    assert client(world.admin).get("/api/v1/me/gap/").status_code == 404
    assert client(make.user(role="partner")).get("/api/v1/me/gap/").status_code == 404
    wrong = client(world.ana).get("/api/v1/me/gap/?period=FY99")
    assert (wrong.status_code, problems(wrong)) == (400, [("unknown_period", "period")])
