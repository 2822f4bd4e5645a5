"""The page and the endpoint give one answer, for any offering, plan, country, region, customer and day."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.models import Offering, Plan, PrivateOffer
from marketplace.selectors.resources import with_facts
from marketplace.services import private_offers
from marketplace.services.pricing import RowDraft
from marketplace.services.private_offers import OfferDraft
from tests import make
from tests.depth import examples

ON = date(2026, 8, 14)
DAY = timedelta(days=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(db: None) -> None:
    """The whole catalog, with a private offer on every ninth plan: once for all examples of the law below."""
    maker, _checker, _loaded = make.catalog()
    rep = make.user(role="rep")
    made_at = datetime(2026, 7, 1, 9, tzinfo=UTC)
    for nth, plan in enumerate(Plan.objects.filter(is_public=True).order_by("offering__slug", "pk")[::9]):
        customer = make.customer(slug=f"buyer-{nth % 5}-{nth}", country=("DE", "US", "JP")[nth % 3])
        draft = OfferDraft(
            plan_id=plan.pk,
            customer_id=customer.pk,
            currency="USD",
            start=date(2026, 8, 1),
            end=date(2026, 8, 1) + (20 + 40 * (nth % 4)) * DAY,
            open_until=date(2026, 8, 10),
            rows=[RowDraft("input-tokens", 1_000_000, "token", Decimal(nth))],
        )
        offer = private_offers.draft_offer(draft=draft, by=maker, at=made_at)
        PrivateOffer.objects.filter(pk=offer.pk).update(
            state="accepted", decided_at=made_at, decided_by="Dana"
        )
    client = Client()
    client.force_login(rep)
    World.client = client
    World.offerings = list(
        with_facts(Offering.objects.order_by("slug")).prefetch_related("plans__private_offers__customer")
    )


class World:
    client: Client
    offerings: list[Offering]


@settings(
    max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_page_and_endpoint_give_the_same_answer(world: None, data: st.DataObject) -> None:
    offering = data.draw(st.sampled_from(World.offerings), "offering")
    plans = list(offering.plans.all())
    plan = data.draw(st.sampled_from([None, *plans]), "plan")
    country = data.draw(st.sampled_from(["", "DE", "US", "KP"]), "country")
    region = data.draw(st.sampled_from(["", "eu", "us", "global", "westeurope"]), "region")
    buyers = [o.customer for p in plans for o in p.private_offers.all()]
    customer = data.draw(st.sampled_from([None, *buyers]), "customer")
    on = data.draw(st.dates(date(2024, 1, 1), date(2028, 1, 1)) | st.just(ON), "day")
    asked = {
        "as_of": on.isoformat(),
        "plan": plan.slug if plan else "",
        "country": country,
        "region": region,
        "customer": customer.slug if customer else "",
    }
    body = World.client.get(f"/api/v1/offerings/{offering.slug}/answer/", asked).json()
    page = World.client.get(f"/catalog/{offering.slug}/", asked, headers={"HX-Request": "true"})
    html = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.content.decode())))

    assert ("It may be sold" in html) is body["sellable"]
    if body["code"]:
        assert body["why"] in html
    for caution in body["warnings"]:
        assert caution["message"] in html
    for program in ("quota", "commitment", "credits", "resale", "co_sell"):
        if body[program]["decision"]:
            assert f"Decision {body[program]['decision']}" in html
    shown = [p for p in body["prices"] if plan or p["private_offer"]] or body["prices"][:1]
    for price in shown:
        assert f"price version {price['id']}." in html
        assert price["why"] in html
    if not body["prices"]:
        assert "Price in effect None" in html
    for end in body["endings"]:
        assert f"{date.fromisoformat(end['day']):%-d %b %Y}: " in html
        assert end["why"] in html
    assert (body["until"] is None) is ("Until Further notice" in html)
    if body["replacement"]:
        assert body["replacement"]["name"] in html
