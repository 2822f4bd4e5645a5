"""What the catalog's pages show of crediting, and to whom."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client

from accounts.models import Role
from marketplace.extension import Change, impacts_of
from quotas.panels import deals_and_credit
from tests import make
from tests.quotas import selling

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


def test_an_offering_shows_its_deals_and_credit_to_who_may_see_them() -> None:
    world = make.world()
    selling.handed_in(
        owner=world.ana, lines=[make.Line(world.third, 100_00), make.Line(world.house, 900_00)], at=AT
    )
    selling.credited(owner=world.ana, leader=world.mia, lines=[make.Line(world.third, 50_00)], at=AT)
    for who in (world.ana, world.mia, world.rex):
        shown = deals_and_credit(world.third, make.login(who), AT.date())
        assert shown is not None
        assert (shown.context["open"], shown.context["approved"]) == (1, 1)
        assert shown.context["credit"] == [("AI bookings", "$50")]
    hidden = deals_and_credit(world.third, make.login(world.cy), AT.date())
    assert hidden is not None
    assert (hidden.context["open"], hidden.context["approved"], hidden.context["credit"]) == (0, 0, [])
    assert deals_and_credit(world.third, make.user(role=Role.ENGINEER), AT.date()) is None
    page = Client()
    page.force_login(make.login(world.mia))
    assert b"Deals and credit" in page.get(f"/catalog/{world.third.slug}/").content


def test_a_retirement_names_the_open_deals_that_close_after_it() -> None:
    world = make.world()
    last_day, first_day = date(2026, 8, 20), date(2026, 8, 21)
    before, after = (
        make.deal(owner=world.ana, lines=[make.Line(world.third)], close_date=day)
        for day in (last_day, first_day + timedelta(days=3))
    )
    change = Change("offering", "Third-party model retires", (world.third.pk,), first_day)
    found = list(impacts_of(change, make.login(world.mia), AT.date()))
    assert [(i.title, i.day) for i in found] == [(after.reference, date(2026, 8, 24))]
    assert before.reference not in {i.title for i in found}
    assert list(impacts_of(change, make.login(world.zed), AT.date())) == []
