"""Homes in a real browser: a rep reads why a credit is what it is, a comp admin's checklist arrives by itself; on a desk and on a phone."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from quotas.services import approving, booking
from tests import make
from tests.accessibility import accessible

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_rep_reads_why_and_an_admin_sees_what_blocks_a_close(
    page: "Page", transactional_db: None, sign_in: Callable[[Any], None]
) -> None:
    world = make.world()
    ana = make.login(world.ana)
    for amount in (1_000_00, 2_000_00):
        draft = make.draft(owner=world.ana, customer=world.customer, lines=[make.Line(world.house, amount)])
        deal = booking.log_deal(draft=draft, by=ana, at=make.AT)
        booking.submit_deal(deal_id=deal.pk, by=ana, at=make.AT)
        if amount == 1_000_00:
            approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=make.AT)
    sign_in(ana)
    page.goto("/")
    assert page.inner_text("h1") == "Your FY27-Q1"
    assert page.get_attribute("nav[aria-label=Main] a[aria-current]", "href") == "/"
    accessible(page)
    page.click(".feed .why")
    page.wait_for_selector("#drawer[open] >> text=Every deal at its value")
    page.keyboard.press("Escape")
    page.click("text=Log deal")
    page.wait_for_url("**/quotas/deals/new/")
    page.keyboard.press("Escape")
    page.locator("body").press("g")
    page.locator("body").press("h")
    page.wait_for_url(lambda url: url.endswith("/"))

    sign_in(world.admin)
    page.goto("/")
    page.wait_for_selector("#close-part >> text=The checklist")
    accessible(page)
