"""A deal pins what its customer has accepted privately, on the days on which that holds, and nobody else's."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.refusals import Invalid
from marketplace.models import Customer, Offering, Plan, PrivateOffer
from marketplace.services import private_offers
from marketplace.services.pricing import RowDraft
from quotas.models import Deal, DealKind, DealLine
from quotas.services import booking
from tests import make

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
ON = date(2026, 8, 14)
DAY = timedelta(days=1)


@pytest.fixture
def world() -> make.World:
    return make.world()


def accepted(plan: Plan, customer: Customer, start: date, end: date | None) -> PrivateOffer:
    by = make.user(role="catalog_manager")
    draft = private_offers.OfferDraft(
        plan_id=plan.pk,
        customer_id=customer.pk,
        currency="USD",
        start=start,
        end=end,
        open_until=start,
        rows=[RowDraft("input-tokens", 1_000_000, "token", Decimal("1.5"))],
    )
    offer = private_offers.draft_offer(draft=draft, by=by, at=AT)
    private_offers.send_offer(private_offer_id=offer.pk, on=start, by=by, at=AT)
    return private_offers.accept_offer(private_offer_id=offer.pk, decided_by="Dana", on=start, by=by, at=AT)


def pinned(
    world: make.World, plan: Plan, customer: Customer, close: date, price: int | None = None
) -> int | None:
    line = booking.LineDraft(
        offering_id=plan.offering_id, amount_minor=100_00, plan_id=plan.pk, price_version_id=price
    )
    draft = booking.DealDraft(
        owner_id=world.ana.pk,
        customer_id=customer.pk,
        kind=DealKind.NEW_BUSINESS,
        close_date=close,
        currency="USD",
        lines=(line,),
        shares=(booking.ShareDraft(world.ana.pk, 1_000_000),),
    )
    deal: Deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    return DealLine.objects.get(version=deal.latest_version).price_version_id


def test_the_accepted_price_is_pinned_for_its_customer_on_its_days(world: make.World) -> None:
    plan = make.plan(offering=world.house)
    customer, other = make.customer(), make.customer()
    listed = make.price(plan=plan)
    offer = accepted(plan, customer, ON - 10 * DAY, ON + DAY)
    assert pinned(world, plan, customer, ON) == offer.price.pk
    assert pinned(world, plan, customer, ON - 10 * DAY) == offer.price.pk
    assert pinned(world, plan, other, ON) == listed.pk
    assert pinned(world, plan, customer, ON + DAY) == listed.pk
    assert pinned(world, plan, customer, ON, price=listed.pk) == listed.pk


def test_nobody_quotes_what_another_customer_was_offered(world: make.World) -> None:
    plan = make.plan(offering=world.house)
    customer, other = make.customer(), make.customer()
    offer = accepted(plan, customer, ON - DAY, None)
    assert pinned(world, plan, customer, ON, price=offer.price.pk) == offer.price.pk
    with pytest.raises(Invalid) as refused:
        pinned(world, plan, other, ON, price=offer.price.pk)
    assert [(p.code, p.pointer) for p in refused.value.problems] == [
        ("unknown_price", "/lines/0/price_version")
    ]
    assert pinned(world, plan, other, ON) is None


def test_a_withdrawn_plan_is_not_ordered_any_more(world: make.World) -> None:
    plan = make.plan(offering=world.house)
    Plan.objects.filter(pk=plan.pk).update(withdrawn_on=ON)
    assert Offering.objects.get(pk=plan.offering_id).publication == "live"
    with pytest.raises(Invalid) as refused:
        pinned(world, plan, make.customer(), ON)
    assert [(p.code, p.pointer) for p in refused.value.problems] == [("plan_withdrawn", "/lines/0/plan")]
    assert pinned(world, plan, make.customer(), ON - DAY) is None


def test_private_prices_cost_no_query_more(world: make.World) -> None:
    plan = make.plan(offering=world.house)
    customer = make.customer()
    make.price(plan=plan)
    draft = make.draft(owner=world.ana, lines=[make.Line(world.house, 100_00)])
    with CaptureQueriesContext(connection) as before:
        booking.facts_for([draft])
    accepted(plan, customer, ON - DAY, None)
    with CaptureQueriesContext(connection) as after:
        booking.facts_for([draft])
    assert len(after) == len(before)
