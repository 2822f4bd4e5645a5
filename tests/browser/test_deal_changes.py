"""What happens to an approved deal in a real browser: amended with the credit in sight, approved in the drawer, cancelled in part."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from quotas.models import CreditEntry, Deal
from quotas.services import approving, booking
from tests import make

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]
AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


def test_an_approved_deal_is_amended_approved_and_cancelled_in_part(page: "Page", sign_in: SignIn) -> None:
    world = make.world()
    draft = make.draft(
        owner=world.ana,
        customer=world.customer,
        lines=[make.Line(world.house, 40_000_00), make.Line(world.third, 20_000_00)],
    )
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)

    # The rep proposes more, and sees what stands beside what would.
    sign_in(world.ana.user)
    page.goto(f"/quotas/deals/{deal.pk}/")
    page.click("text=Amend")
    page.wait_for_url("**/amend/")
    page.fill("#id_lines-0-amount", "50,000.00")
    page.wait_for_selector("#estimate >> text=$70,000.00")
    assert "$60,000.00" in page.inner_text("#estimate")
    page.fill("#id_reason", "They ordered more")
    page.click("button.primary:has-text('Propose the amendment')")
    page.wait_for_selector(".toast >> text=waits for approval")
    assert sum(e.amount_minor for e in CreditEntry.objects.all()) == 60_000_00

    # The manager sees what changes in the drawer, and approves it there.
    sign_in(world.mia.user)
    page.goto("/quotas/approvals/")
    page.click(f"a[aria-label='Review {deal.reference}']")
    page.wait_for_selector("#drawer >> text=They ordered more")
    assert "+$10,000.00" in page.inner_text("#drawer")
    page.click("#drawer button:has-text('Approve the amendment')")
    page.wait_for_selector(".toast >> text=the difference in credit is posted")
    assert sum(e.amount_minor for e in CreditEntry.objects.all()) == 70_000_00
    assert CreditEntry.objects.count() == 4

    # A part is cancelled in a dialog.
    page.goto(f"/quotas/deals/{deal.pk}/")
    page.click("a:has-text('Cancel a part')")
    page.wait_for_selector("dialog[open]")
    page.fill("#remaining-dialog-2", "5,000")
    page.fill("#reason-dialog-cancel-part", "Fewer seats")
    page.click("dialog[open] button:has-text('Cancel a part')")
    page.wait_for_selector(".toast >> text=A part of")
    assert sum(e.amount_minor for e in CreditEntry.objects.all()) == 55_000_00
    assert Deal.objects.select_related("latest_version").get().in_force.number == 3
