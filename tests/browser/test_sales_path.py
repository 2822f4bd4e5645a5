"""The whole path in a real browser: a deal is logged with its credit in sight, approved with others, explained, amended and cut."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from quotas.models import CreditEntry, Deal, DealState
from quotas.services import approving, booking
from tests import make
from tests.browser.hand import Hand
from tests.make import Line, World
from tests.ui.plain import Reader

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


def posted() -> int:
    return sum(CreditEntry.objects.values_list("amount_minor", flat=True))


def nine_more(world: World) -> None:
    for n in range(9):
        draft = make.draft(
            owner=world.bo, customer=world.customer, lines=[Line(world.house, (n + 1) * 100_00)]
        )
        deal = booking.log_deal(draft=draft, by=make.login(world.bo), at=make.AT)
        booking.submit_deal(deal_id=deal.pk, by=make.login(world.bo), at=make.AT)


def test_a_rep_logs_a_deal_in_under_a_minute_and_a_manager_approves_ten(
    page: "Page", world: World, sign_in: SignIn
) -> None:
    # The rep logs it without a mouse: three letters of the customer, the offering, the amount; its credit is in sight.
    sign_in(world.ana.user)
    page.goto(reverse("quotas:deals"))
    rep = Hand(page)
    rep.press("n")
    page.wait_for_selector("#id_customer:focus")
    rep.type(world.customer.name[:3])
    page.wait_for_selector(f"#combo-list [aria-selected=true] >> text={world.customer.name}")
    rep.press("Enter", "Tab")
    assert page.input_value("#id_customer") == world.customer.name
    rep.type(world.house.name[:3])
    page.wait_for_selector("#combo-list [aria-selected=true]")
    rep.press("Tab")
    page.wait_for_selector("#id_lines-0-amount:focus")
    assert page.input_value("#id_lines-0-offering") == world.house.name
    rep.type("40,000")
    page.wait_for_selector("#estimate >> text=$40,000.00")
    assert re.search(r"Attainment\s+0\.0%\s+40\.0%", page.inner_text("#estimate"))
    page.wait_for_selector("#line-0-more >> text=Counts in full")
    assert not Deal.objects.exists()
    rep.press("Control+Enter")
    page.wait_for_selector(".toast >> text=waits for approval")
    assert (rep.clicks, rep.keys) == (0, 17)  # docs/journeys.md quotes it
    deal = Deal.objects.get()
    assert deal.state == DealState.SUBMITTED
    assert f"It waits for {world.mia.name}." in page.inner_text("main")
    assert page.locator("button:has-text('Approve')").count() == 0

    # What was sent too early is undone, and sent again.
    page.click(".toast button:has-text('Undo')")
    page.wait_for_selector(".toast >> text=is with you again")
    deal.refresh_from_db()
    assert deal.state == DealState.DRAFT
    page.click("main .acts >> text=Edit")
    page.wait_for_selector("#estimate >> text=$40,000.00")

    # A second line and a split; what is wrong is said when a field is left.
    page.click("text=Add a line")
    page.wait_for_selector("#id_lines-1-offering:focus")
    page.keyboard.type(world.third.name[:3])
    page.wait_for_selector("#combo-list [aria-selected=true]")
    page.keyboard.press("Tab")
    page.keyboard.type("12..5")
    page.keyboard.press("Tab")
    page.wait_for_selector("#id_lines-1-amount_error li")
    page.fill("#id_lines-1-amount", "20,000")
    page.keyboard.press("Tab")
    page.wait_for_selector("#id_lines-1-amount_error:empty", state="attached")
    page.wait_for_selector("#estimate >> text=$60,000.00")
    page.click("text=Add a participant")
    page.wait_for_selector("#id_shares-1-rep:focus")
    page.keyboard.type(world.bo.name)
    page.keyboard.press("Tab")
    page.fill("#id_shares-0-percent", "75")
    page.fill("#id_shares-1-percent", "20")
    page.wait_for_selector("#remainder >> text=5% left to share out")
    page.fill("#id_shares-1-percent", "25")
    page.wait_for_selector("#estimate >> text=$45,000.00")
    page.click("button:has-text('Submit for approval')")
    page.wait_for_selector(".toast >> text=waits for approval")

    # The manager approves it together with nine others: two clicks and a key.
    nine_more(world)
    sign_in(world.mia.user)
    page.goto(reverse("quotas:approvals"))
    manager = Hand(page)
    manager.click("tbody tr:first-child [type=checkbox]")
    manager.click("tbody tr:nth-child(10) [type=checkbox]", shift=True)
    assert page.inner_text("[data-chosen]") == "10"
    manager.press("a")
    page.wait_for_selector(".toast >> text=10 deals are approved and their credit is posted")
    assert (manager.clicks, manager.keys) == (2, 1)
    assert posted() == 60_000_00 + sum(range(1, 10)) * 100_00

    # From the first page the rep is one click away from why a credit is what it is, and dispute is the next.
    sign_in(world.ana.user)
    page.goto("/")
    rep = Hand(page)
    rep.click("main .why >> nth=0")
    page.wait_for_selector("#drawer[open] >> text=it comes to the same amount")
    assert rep.clicks == 1
    assert "Split" in page.inner_text("#drawer")
    assert "Dispute" in page.inner_text("#drawer")
    page.keyboard.press("Escape")


def test_an_approved_deal_is_amended_approved_and_cancelled_in_part(
    page: "Page", world: World, sign_in: SignIn
) -> None:
    deal = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, 40_000_00), Line(world.third, 20_000_00)],
        state=DealState.SUBMITTED,
    )
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=make.AT)

    # The rep proposes more, and sees what stands beside what would.
    sign_in(world.ana.user)
    page.goto(reverse("quotas:deal", args=[deal.pk]))
    page.click("text=Amend")
    page.wait_for_selector("#id_lines-0-amount:focus")
    page.fill("#id_lines-0-amount", "50,000.00")
    page.wait_for_selector("#estimate >> text=$70,000.00")
    assert "$60,000.00" in page.inner_text("#estimate")
    page.fill("#id_reason", "They ordered more")
    page.click("button.primary:has-text('Propose the amendment')")
    page.wait_for_selector(".toast >> text=waits for approval")
    assert posted() == 60_000_00

    # The manager sees what changes in the drawer, and approves it there.
    sign_in(world.mia.user)
    page.goto(reverse("quotas:approvals"))
    page.click(f"a[aria-label='Review {deal.reference}']")
    page.wait_for_selector("#drawer >> text=They ordered more")
    assert "+$10,000.00" in page.inner_text("#drawer")
    page.click("#drawer button:has-text('Approve the amendment')")
    page.wait_for_selector(".toast >> text=the difference in credit is posted")
    assert posted() == 70_000_00

    # A part is cancelled in a dialog.
    page.goto(reverse("quotas:deal", args=[deal.pk]))
    page.click("a:has-text('Cancel a part')")
    page.wait_for_selector("dialog[open]")
    page.fill("#remaining-dialog-2", "5,000")
    page.fill("#reason-dialog-cancel-part", "Fewer seats")
    page.click("dialog[open] button:has-text('Cancel a part')")
    page.wait_for_selector(".toast >> text=A part of")
    assert posted() == 55_000_00
    assert Deal.objects.select_related("latest_version").get().in_force.number == 3


@pytest.mark.django_db
def test_the_form_works_without_scripts(world: World) -> None:
    ana = Reader(world.ana.user)
    ana.open(reverse("quotas:deal-new"))
    first = {"lines-0-offering": world.house.name, "lines-0-amount": "100"}
    ana.send({"customer": world.customer.name, **first}, ("do", "add-line"))
    assert not Deal.objects.exists()
    ana.send({"lines-1-offering": world.third.name, "lines-1-amount": "50"}, ("do", "draft"))
    deal = Deal.objects.get()
    assert ana.at == reverse("quotas:deal", args=[deal.pk])
    assert deal.state == DealState.DRAFT
    assert list(deal.latest.lines.values_list("amount_minor", flat=True)) == [100_00, 50_00]


def test_three_offerings_are_compared_in_three_clicks_and_a_list_is_kept_as_it_is_liked(
    page: "Page", world: World, sign_in: SignIn
) -> None:
    area = make.task_area(name="Coding")
    for offering in (world.house, world.third, *(make.offering(name=f"Other {n}") for n in range(2))):
        offering.task_areas.add(area)
    sign_in(world.mia.user)
    page.goto("/")
    anybody = Hand(page)
    anybody.click(".side >> text=Catalog")
    anybody.click(f"tbody >> text={world.third.name}")
    anybody.click("main .acts >> text=Compare with its like")
    page.wait_for_selector(".compare thead th:nth-child(4)")
    assert anybody.clicks == 3
    page.goto(reverse("marketplace:catalog"))
    anybody.click("button:has-text('Compare first three')")
    page.wait_for_selector(".compare thead th:nth-child(4)")

    # Columns go into the address, and with it into a view; how close the rows stand holds in every list.
    make.deal(owner=world.ana, customer=world.customer, lines=[Line(world.house, 5_00)])
    page.goto(reverse("quotas:deals") + "?sort=-closed")
    assert page.is_visible("td:has-text('Ana')")
    page.click(".list-menu summary")
    page.uncheck("label:has-text('Owner')")
    page.check("label:has-text('Compact')")
    page.click("button:has-text('Apply')")
    page.wait_for_url("**/deals/?sort=-closed&hide=owner")
    assert not page.is_visible("td:has-text('Ana')")
    assert page.locator("html[data-rows=close]").count() == 1
    page.click(".list-menu summary")
    page.fill("#view-name", "Without owners")
    page.press("#view-name", "Enter")
    page.wait_for_selector(".toast >> text=Saved as Without owners")
    page.goto(reverse("quotas:deals"))
    page.click(".list-menu summary")
    page.click(".list-menu >> text=Without owners")
    page.wait_for_url("**/deals/?sort=-closed&hide=owner")

    # The palette finds what is no page: a deal by its number, an account, an offering, a person; and where one was.
    page.keyboard.press("Control+k")
    for words, kind in (
        (f"{Deal.objects.get().pk:06d}", "Deal"),
        (world.customer.name, "Account"),
        (world.third.name, world.third.publisher.name),
        (world.ana.name, "Their deals"),
    ):
        page.fill("#palette input", words)
        page.wait_for_selector(f"#palette-found a:has-text('{kind}')")
    page.fill("#palette input", "")
    page.wait_for_selector(f"[data-recent] >> text={world.third.name}")
