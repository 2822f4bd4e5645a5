"""The whole path in a real browser: a deal is logged with its credit in sight, approved, explained, counted and reversed."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from quotas.models import CreditEntry, Deal, DealState
from quotas.services import approving, booking
from tests import make
from tests.accessibility import violations
from tests.make import Line, World

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


@pytest.fixture
def world() -> World:
    built = make.world()
    q1 = built.year.quarters[0]
    make.quota(measure=built.bookings, period=q1, team=built.team, amount_minor=180_000_00)
    return built


def fill_line(page: "Page", at: int, offering: str, amount: str) -> None:
    page.fill(f"#id_lines-{at}-offering", offering)
    page.fill(f"#id_lines-{at}-amount", amount)


def test_a_deal_goes_all_the_way_and_back(page: "Page", world: World, sign_in: SignIn) -> None:
    board = reverse("quotas:board", args=[world.team.slug]) + "?period=FY27-Q1"

    # The rep logs it: two lines, a split, and the credit in sight before anything is saved.
    sign_in(world.ana.user)
    page.goto(board)
    assert "Your credit" in page.inner_text("main")
    page.keyboard.press("n")
    page.wait_for_url("**/deals/new/")
    page.fill("#id_customer", world.customer.name[:8])
    page.wait_for_selector(f'#customers option[value="{world.customer.name}"]', state="attached")
    page.fill("#id_customer", world.customer.name)
    fill_line(page, 0, world.house.name, "40,000.00")
    page.wait_for_selector("#estimate >> text=$40,000.00")
    page.click("text=Add a line")
    page.wait_for_selector("#id_lines-1-offering")
    fill_line(page, 1, world.third.name, "20,000")
    page.wait_for_selector("#estimate >> text=$60,000.00")
    page.click("text=Add a participant")
    page.wait_for_selector("#id_shares-1-rep")
    page.fill("#id_shares-0-percent", "75")
    page.fill("#id_shares-1-rep", world.bo.name)
    page.fill("#id_shares-1-percent", "20")
    page.wait_for_selector("#remainder >> text=5% left to share out")
    page.fill("#id_shares-1-percent", "25")
    page.wait_for_selector("#estimate >> text=$45,000.00")
    panel = page.inner_text("#estimate")
    assert "$15,000.00" in panel
    assert re.search(r"Attainment\s+0\.0%\s+45\.0%", panel)
    assert not Deal.objects.exists()

    # What is wrong is said when a field is left.
    page.fill("#id_lines-1-amount", "12..5")
    page.press("#id_lines-1-amount", "Tab")
    page.wait_for_selector("#id_lines-1-amount_error >> text=Enter a number")
    page.fill("#id_lines-1-amount", "20,000")
    page.press("#id_lines-1-amount", "Tab")
    page.wait_for_selector("#id_lines-1-amount_error:empty", state="attached")
    page.wait_for_selector("#line-1-more >> text=Counts in full")

    page.click("button:has-text('Submit for approval')")
    page.wait_for_selector(".toast >> text=waits for approval")
    deal = Deal.objects.get()
    assert deal.state == DealState.SUBMITTED
    assert page.locator("button:has-text('Approve')").count() == 0

    # The manager approves it from the queue.
    sign_in(world.mia.user)
    page.goto(reverse("quotas:approvals"))
    page.click(f"[aria-label='Review {deal.reference}']")
    page.wait_for_selector("#drawer[open] >> text=Expected credit")
    page.keyboard.press("Escape")
    page.check(f"[aria-label^='Choose {deal.reference}']")
    page.click("text=Approve the chosen")
    page.wait_for_selector(".toast >> text=credit is posted")
    assert sorted(CreditEntry.objects.values_list("amount_minor", flat=True)) == [
        5_000_00,
        10_000_00,
        15_000_00,
        30_000_00,
    ]

    # The credit explains itself, the board and the leaderboard have moved.
    page.goto(board)
    assert "$60.0K" in page.inner_text(".kpis")
    row = page.inner_text("#rows tbody tr:first-child")
    assert "Ana" in row
    assert "45.0%" in row
    page.click(".feed .why >> nth=0")
    page.wait_for_selector("#drawer[open] >> text=it comes to the same amount")
    assert "Split" in page.inner_text("#drawer")
    page.keyboard.press("Escape")
    page.goto(reverse("quotas:leaderboard") + "?period=FY27-Q1&by=credit")
    assert "$45.0K" in page.inner_text("#ranks tbody tr:first-child")

    # Cancelling reverses it exactly.
    page.goto(reverse("quotas:deal", args=[deal.pk]))
    page.click("text=Cancel deal >> nth=0")
    page.fill("dialog[open] textarea", "The customer withdrew")
    page.click("dialog[open] button:has-text('Cancel deal')")
    page.wait_for_selector(".toast >> text=is cancelled")
    assert page.locator("tr.reversal").count() == 4
    assert "net $0.00" in page.inner_text("main")
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 0
    page.goto(board)
    assert "$0" in page.inner_text(".kpis")


def test_the_form_works_without_scripts(
    browser: Any, live_server: Any, world: World, sign_in: SignIn, context: Any
) -> None:
    sign_in(world.ana.user)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto(reverse("quotas:deal-new"))
    page.fill("#id_customer", world.customer.name)
    fill_line(page, 0, world.house.name, "100")
    page.click("text=Add a line")
    fill_line(page, 1, world.third.name, "50")
    page.click("button:has-text('Save draft') >> visible=true >> nth=-1")
    assert "Draft" in page.inner_text("main")
    assert Deal.objects.get().latest_version.lines.count() == 2  # type: ignore[union-attr]
    plain.close()


def pages_of(world: World) -> list[tuple[Any, str]]:
    """Who looks at what, with something to see on each page."""
    assert world.ana.user is not None
    assert world.mia.user is not None
    deals = []
    for lines in (
        [Line(world.house, 50_000_00)],
        [Line(world.third, 20_000_00)],
        [Line(world.house, 50_000_00)],
    ):
        draft = make.draft(
            owner=world.ana,
            customer=world.customer,
            lines=lines,
            shares={world.ana: 800_000, world.bo: 200_000},
        )
        deal = booking.log_deal(draft=draft, by=world.ana.user, at=make.AT)
        deals.append(booking.submit_deal(deal_id=deal.pk, by=world.ana.user, at=make.AT))
    approving.approve_deal(deal_id=deals[0].pk, by=world.mia.user, at=make.AT)
    approving.approve_deal(deal_id=deals[1].pk, by=world.mia.user, at=make.AT)
    approving.cancel_deal(deal_id=deals[1].pk, by=world.mia.user, at=make.AT, reason="Withdrawn")
    returned = booking.log_deal(
        draft=make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.third, 5_00)]),
        by=world.ana.user,
        at=make.AT,
    )
    entry = CreditEntry.objects.filter(rep=world.ana).order_by("id").values_list("pk", flat=True)[0]
    manager, rep = world.mia.user, world.ana.user
    return [
        (rep, reverse("quotas:board", args=[world.team.slug])),
        (manager, reverse("quotas:board", args=[world.team.slug])),
        (world.admin, reverse("quotas:board", args=[world.company.slug])),
        (rep, reverse("quotas:leaderboard") + "?around=me"),
        (manager, reverse("quotas:leaderboard") + "?group=offering"),
        (manager, reverse("quotas:deals")),
        (rep, reverse("quotas:deals") + "?state=rejected"),
        (rep, reverse("quotas:deal-new")),
        (manager, reverse("quotas:deal-new")),
        (rep, reverse("quotas:deal-edit", args=[returned.pk])),
        (manager, reverse("quotas:deal", args=[deals[0].pk])),
        (manager, reverse("quotas:deal", args=[deals[1].pk])),
        (manager, reverse("quotas:deal", args=[deals[2].pk]) + "?do=reject"),
        (
            make.user(role="partner", publisher=world.third.publisher),
            reverse("quotas:deal", args=[deals[1].pk]),
        ),
        (manager, reverse("quotas:approvals")),
        (rep, reverse("quotas:approvals").replace("approvals", "periods")),
        (world.admin, reverse("quotas:plans")),
        (rep, reverse("quotas:credit-explanation", args=[entry])),
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_breaks_a_rule_of_accessibility_or_scrolls_sideways(
    page: "Page", world: World, sign_in: SignIn, live_server: Any, context: Any, theme: str
) -> None:
    context.add_cookies([{"name": "theme", "value": theme, "url": live_server.url}])
    found: list[str] = []
    for user, address in pages_of(world):
        sign_in(user)
        page.set_viewport_size({"width": 1440, "height": 900})
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        found += [f"{address}: {broken}" for broken in violations(page)]
        for width in (320, 390, 768, 1440) if theme == "light" else ():  # a theme moves nothing
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wide > 0:
                found.append(f"{address} at {width}: {wide} px too wide")
    assert not found, "\n".join(found)
