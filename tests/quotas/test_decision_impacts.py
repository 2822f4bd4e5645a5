"""What a decision or a retirement would hit among deals and credit, and who is told what when an offering ends."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification, Role, User
from config.refusals import Invalid
from marketplace.extension import Change, Impact, impacts_of
from marketplace.models import Offering
from quotas.models import Deal
from quotas.panels import MOST_NAMED, USED_LATELY
from quotas.services import booking
from quotas.services.consumption import UsageRow, record_usage
from quotas.services.ending import tell_owners
from quotas.tasks import tell_the_owners_of_open_deals
from tests import make
from tests.quotas import selling

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
ON = date(2026, 8, 14)
PAST = date(2026, 7, 1)


def approved(world: make.World, offering: Offering, amount: int = 100_00) -> Deal:
    return selling.credited(owner=world.ana, leader=world.mia, lines=[make.Line(offering, amount)], at=AT)


def decided(offering: Offering, **more: object) -> Change:
    """On quota, for everything of the offering's publisher."""
    fields = {"first_day": PAST, "program": "quota", "publisher_id": offering.publisher_id, **more}
    return Change("eligibility", "Decided", None, **fields)  # type: ignore[arg-type]


def found(change: Change, user: User, kind: str = "") -> list[Impact]:
    return [i for i in impacts_of(change, user, ON) if not kind or i.kind == kind]


def test_a_decision_for_a_publisher_reaches_its_open_deals_and_nobody_elses() -> None:
    world = make.world()
    theirs = make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=ON)
    make.deal(owner=world.ana, lines=[make.Line(world.house)], close_date=ON)
    assert [i.title for i in found(decided(world.third), world.admin, "open deal")] == [theirs.reference]


def test_a_decision_for_a_path_leaves_out_what_follows_something_more_specific() -> None:
    world = make.world()
    other = make.offering(path="marketplace")
    deals = {o: make.deal(owner=world.ana, lines=[make.Line(o)], close_date=ON) for o in (world.third, other)}
    change = Change("eligibility", "Decided", None, PAST, program="quota", commercial_path="marketplace")
    assert {i.title for i in found(change, world.admin, "open deal")} == {d.reference for d in deals.values()}
    make.decision(publisher=other.publisher)
    assert [i.title for i in found(change, world.admin, "open deal")] == [deals[world.third].reference]
    make.decision(offering=world.third)
    assert found(change, world.admin, "open deal") == []


def test_deals_that_close_outside_the_days_of_a_decision_are_not_hit() -> None:
    world = make.world()
    until = ON + timedelta(days=5)
    inside = make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=until - timedelta(days=1))
    make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=until)
    change = decided(world.third, first_day=ON, until=until)
    assert [i.title for i in found(change, world.admin, "open deal")] == [inside.reference]


def test_credited_lines_are_counted_with_their_credit_and_the_run_that_follows() -> None:
    world = make.world()
    approved(world, world.third, 100_00)
    approved(world, world.third, 50_00)
    approved(world, world.house, 900_00)
    impacts = found(decided(world.third), world.admin)
    assert [(i.kind, i.title) for i in impacts if i.kind != "open deal"] == [
        ("credit", "2 credited deals, 2 lines"),
        ("recredit", "A recredit run follows"),
    ]
    assert impacts[0].detail == "AI bookings $150"
    assert found(decided(world.third, program="commitment"), world.admin) == []
    assert found(decided(world.third, first_day=ON + timedelta(days=1)), world.admin) == []


def test_everybody_sees_of_it_what_they_may_see() -> None:
    world = make.world()
    approved(world, world.third)
    make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=ON)
    change = decided(world.third)
    keeper = make.user(role=Role.CATALOG_MANAGER)
    seen = {who: found(change, user) for who, user in (("keeper", keeper), ("zed", make.login(world.zed)))}
    assert seen["zed"] == []
    (deal,) = [i for i in seen["keeper"] if i.kind == "open deal"]
    assert (deal.url, "Ana" in deal.detail) == ("", True)  # knows of it, cannot open it
    (credit,) = [i for i in seen["keeper"] if i.kind == "credit"]
    assert credit.title == "1 credited deal, 1 line"
    assert "$" not in credit.detail
    partner = make.user(role=Role.PARTNER, publisher=world.third.publisher)
    for impact in found(change, partner):
        assert impact.kind == "open deal"
        assert world.customer.name not in impact.detail
        assert "Ana" not in impact.detail
    assert found(change, make.user(role=Role.PARTNER)) == []
    assert found(change, make.user(role=Role.ENGINEER)) == []


def test_it_costs_the_same_for_few_deals_and_for_many() -> None:
    world = make.world()

    def cost(more: int) -> int:
        for _ in range(more):
            make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=ON)
        user = User.objects.get(pk=world.admin.pk)
        with CaptureQueriesContext(connection) as queries:
            impacts_of(decided(world.third), user, ON)
        return len(queries)

    assert cost(1) == cost(10) <= 9


def test_of_very_many_open_deals_the_nearest_are_named_and_the_rest_counted() -> None:
    world = make.world()
    for _ in range(MOST_NAMED + 3):
        make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=ON)
    impacts = found(decided(world.third), world.admin, "open deal")
    assert len(impacts) == MOST_NAMED + 1
    assert impacts[-1].title == "3 more"


# Retirements.


def test_a_retirement_names_the_customers_who_used_it_lately() -> None:
    world = make.world()
    make.ownership(customer=world.customer, rep=world.ana)
    old = make.customer(name="Long gone")
    make.ownership(customer=old, rep=world.ana)
    for customer, month in (
        (world.customer, date(2026, 6, 1)),
        (world.customer, PAST),
        (old, date(2026, 3, 1)),
    ):
        record_usage(
            rows=[
                UsageRow(
                    customer_id=customer.pk,
                    offering_id=world.third.pk,
                    month=month,
                    currency="USD",
                    consumed_minor=100_00,
                    billed_minor=None,
                    plan_id=None,
                    quantity=None,
                )
            ],
            source="metering",
            by=world.admin,
            at=AT,
        )
    change = Change("lifecycle", "Retires", (world.third.pk,), date(2026, 12, 1))
    assert date(2026, 3, 31) < ON - USED_LATELY
    keeper = make.user(role=Role.CATALOG_MANAGER)
    (customer_hit,) = found(change, keeper, "customer")
    assert (customer_hit.title, customer_hit.detail, customer_hit.day) == (
        world.customer.name,
        "Used in 2 of the last three months",
        date(2026, 7, 31),
    )
    assert found(change, make.user(role=Role.PARTNER, publisher=world.third.publisher), "customer") == []
    assert found(change, make.login(world.zed), "customer") == []


# Telling the owners.


def test_owners_of_open_deals_hear_once_of_each_stage_what_it_means_for_their_deal() -> None:
    world = make.world()
    Offering.objects.filter(pk=world.third.pk).update(
        legacy_on=ON, deprecated_on=date(2026, 9, 13), retires_on=date(2026, 12, 12), replacement=world.house
    )
    early, late = (
        make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=day, customer=world.customer)
        for day in (date(2026, 8, 20), date(2026, 9, 13))
    )
    approved_one = approved(world, world.house)
    change = Change("lifecycle", "Ends", (world.third.pk,), ON)
    for _ in range(2):  # the outbox may tell twice
        tell_the_owners_of_open_deals(change, AT)
    said = {n.url: n.text for n in Notification.objects.filter(user=world.ana.user, key__startswith="legacy")}
    assert said == {
        f"/quotas/deals/{early.pk}/": f"Third-party model ends: {early.reference} for {world.customer.name} closes on"
        " 20 Aug 2026, in time: it is sold until before 13 Sep 2026. House model replaces it.",
        f"/quotas/deals/{late.pk}/": f"Third-party model ends: {late.reference} for {world.customer.name} closes on"
        " 13 Sep 2026, but it is sold only until before 13 Sep 2026. House model replaces it.",
    }
    assert f"/quotas/deals/{approved_one.pk}/" not in said
    tell_owners(offering_ids=[world.third.pk], on=date(2026, 9, 13), at=AT)
    assert Notification.objects.filter(user=world.ana.user, key__startswith="deprecated").count() == 2


def test_nobody_hears_of_an_offering_that_begins() -> None:
    world = make.world()
    make.deal(owner=world.ana, lines=[make.Line(world.third)])
    tell_the_owners_of_open_deals(Change("lifecycle", "Begins", (world.third.pk,), ON), AT)
    assert Notification.objects.count() == 0


# A deal on what has ended.


def test_a_line_on_a_retired_offering_is_refused_and_its_replacement_is_one_click_away() -> None:
    world = make.world()
    ended = make.offering(name="Old model", retires_on=PAST, replacement=world.house)
    client = Client()
    client.force_login(make.login(world.ana))
    entered = {
        "customer": world.customer.name,
        "kind": "new_business",
        "close_date": ON.isoformat(),
        "currency": "USD",
        "lines": "1",
        "lines-0-offering": ended.name,
        "lines-0-amount": "120.00",
        "shares": "1",
        "shares-0-rep": world.ana.name,
        "shares-0-percent": "100",
    }
    refused = client.post("/quotas/deals/new/", {**entered, "do": "submit"})
    page = refused.content.decode()
    offer = f"switch-line-0/House model ({world.house.slug})"
    assert refused.status_code == 422
    assert "has been retired since 1 Jul 2026. It is replaced by House model." in page
    assert f'value="{offer}"' in page
    switched = client.post("/quotas/deals/new/", {**entered, "do": offer})
    assert f'value="House model ({world.house.slug})"' in switched.content.decode()
    assert Deal.objects.count() == 0
    done = client.post(
        "/quotas/deals/new/",
        {**entered, "lines-0-offering": f"House model ({world.house.slug})", "do": "submit"},
    )
    assert done.status_code == 302
    assert Deal.objects.get().latest.lines.get().offering == world.house


def test_rest_names_the_replacement_of_a_retired_offering() -> None:
    world = make.world()
    ended = make.offering(retires_on=PAST, replacement=world.house)
    with pytest.raises(Invalid) as refused:
        booking.log_deal(
            draft=make.draft(owner=world.ana, lines=[make.Line(ended)]), by=make.login(world.ana), at=AT
        )
    (problem,) = refused.value.problems
    assert isinstance(problem, booking.NotOnSale)
    assert (problem.code, problem.pointer, problem.replacement) == (
        "retired",
        "/lines/0/offering",
        world.house.slug,
    )
