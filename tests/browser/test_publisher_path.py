"""A partner changes a price, a reviewer hands it back, the partner mends it, and another approves: in a real browser."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from marketplace.models import ChangeSet, PriceVersion
from tests import make

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


class House:
    def __init__(self) -> None:
        self.publisher = make.publisher(name="Lab", slug="lab")
        self.partner = make.user(role="partner", name="Petra Partner", publisher=self.publisher)
        self.reviewer = make.user(role="catalog_manager", name="Rita Reviewer")
        self.other = make.user(role="catalog_manager", name="Otto Other")
        self.offering = make.offering(publisher=self.publisher, name="Lab One", slug="lab-one")
        self.plan = make.plan(offering=self.offering, slug="standard")
        self.price = make.price(plan=self.plan)


@pytest.fixture
def house(transactional_db: None) -> House:
    return House()


def test_a_price_is_drafted_handed_back_mended_approved_and_announced(
    page: "Page", house: House, sign_in: SignIn, expected_complaints: list[str]
) -> None:
    # The partner, from the first page on, without an address to know.
    sign_in(house.partner)
    page.goto("/")
    page.click("nav[aria-label=Main] >> text=Publisher console")
    page.click("main >> text=Lab One")
    page.click("text=New price")
    page.fill("#box-source", "")
    page.fill("#box-rows-0-amount", "cheap")
    page.press("#box-rows-0-amount", "Tab")
    page.wait_for_selector("#box-rows-0-amount-found >> text=an amount")
    page.fill("#box-rows-0-amount", "2.50")
    page.fill("#box-start", "2026-10-01")
    expected_complaints.append("status of 422")
    page.click("button:has-text('Add to the change set'):not(.sr)")
    page.wait_for_selector("#box-source-found >> text=cannot be empty")
    assert page.input_value("#box-rows-0-amount") == "2.50"
    page.fill("#box-source", "Price list of autumn")
    page.click("button:has-text('Add to the change set'):not(.sr)")
    page.wait_for_selector("h1:has-text('New price: Lab One')")
    draft = ChangeSet.objects.get()
    assert "USD\N{NO-BREAK SPACE}3.00 per million input tokens" in page.inner_text("#item-0")
    assert "−17%" in page.inner_text("#item-0") or "−16.7%" in page.inner_text("#item-0")
    page.click("a:has-text('Check it')")
    page.wait_for_selector("text=Checked: nothing is wrong.")
    page.fill("#set-note", "Announced to customers already")
    page.click("button:has-text('Submit for review')")
    page.wait_for_selector(".toast >> text=is submitted")

    # A reviewer asks for changes, at the field.
    sign_in(house.reviewer)
    page.goto(reverse("marketplace:change-set", args=[draft.pk]))
    hand_back(page, "Name the list by its date.")
    draft.refresh_from_db()
    assert draft.state == "changes_requested"

    # The partner mends it.
    sign_in(house.partner)
    page.goto(reverse("marketplace:console"))
    page.click("text=See what to mend")
    page.wait_for_selector("text=Name the list by its date.")
    page.click("#item-0 >> text=Edit")
    page.fill("#box-source", "Price list of 1 October 2026")
    page.click("button:has-text('Save the change')")
    page.wait_for_selector("h1:has-text('New price: Lab One')")
    page.click("button:has-text('Submit for review')")
    page.wait_for_selector(".toast >> text=is submitted")

    # Another approves.
    sign_in(house.other)
    page.goto(reverse("marketplace:change-set", args=[draft.pk]))
    approve(page)
    draft.refresh_from_db()
    assert (draft.state, draft.reviewed_by) == ("applied", house.other)
    made = PriceVersion.objects.exclude(pk=house.price.pk).get()
    assert made.source == "Price list of 1 October 2026"

    # Everybody sees the price that is announced.
    sign_in(house.partner)
    page.goto(reverse("marketplace:prices", args=["lab-one"]))
    said = re.sub(r"\s+", " ", page.inner_text("main"))
    assert "1 Oct 2026" in said
    assert "2.50" in said


def hand_back(page: "Page", note: str) -> None:
    _open(page, "Request changes")
    page.locator("form:has(button:has-text('Request changes')) [name=note]:visible").last.fill(note)
    page.locator("button[type=submit]:has-text('Request changes'):visible").last.click()
    page.wait_for_load_state()


def approve(page: "Page") -> None:
    _open(page, "Approve")
    page.locator("button[type=submit]:has-text('Approve'):visible").last.click()
    page.wait_for_load_state()


def _open(page: "Page", text: str) -> None:
    """Where the step is folded away, unfold it."""
    folded = page.locator(f"summary:has-text('{text}'):visible")
    if folded.count():
        folded.first.click()


def test_a_change_is_made_without_scripts(
    browser: Any, live_server: Any, house: House, sign_in: SignIn, context: Any
) -> None:
    sign_in(house.partner)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto(reverse("marketplace:console-change", args=["price.add"]) + "?offering=lab-one&plan=standard")
    rows = page.locator(".rows-table > li").count()
    page.click("text=Add a row")
    expect(page.locator(".rows-table > li")).to_have_count(rows + 1)
    page.fill("#box-start", "2026-10-01")
    page.fill("#box-source", "Autumn")
    page.press("#box-source", "Enter")
    assert "Nothing changes until it is approved" in page.inner_text("body")
    assert ChangeSet.objects.get().items.count() == 1
    plain.close()
