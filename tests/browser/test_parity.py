"""The parity report in a real browser: an unequal rule is seen, an exception is asked for and approved, and the verdict says so."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Role
from quotas.models import DealState, ParityProof
from tests import make
from tests.accessibility import PHONE, WIDE, violations
from tests.make import Line, Rule, World

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/quotas/parity/?period=FY27-Q1"


@pytest.fixture
def world() -> World:
    built = make.world()
    make.deal(
        owner=built.ana,
        customer=built.customer,
        lines=[Line(built.house, 1_000_00), Line(built.third, 1_000_00)],
        close_date=make.TODAY,
        state=DealState.APPROVED,
    )
    make.plan_version(
        rules=[
            Rule(
                built.bookings,
                slug="push",
                name="A push for our own",
                factor_ppm=1_200_000,
                priority=5,
                publishers=[built.house.publisher],
            )
        ]
    )
    return built


def verdict(page: "Page", name: str) -> str:
    return page.locator(f"section[aria-labelledby={name}-verdict] .said").inner_text()


def test_what_is_not_equal_is_seen_on_a_phone_too_excepted_by_two_people_and_kept(
    page: "Page", world: World, sign_in: Callable[[Any], None]
) -> None:
    sign_in(world.mia.user)
    page.set_viewport_size(PHONE)
    page.goto(ADDRESS)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.select_option("#between-a", world.house.publisher.slug)
    page.select_option("#between-b", world.third.publisher.slug)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**between=publisher**")
    assert verdict(page, "rules") == "Not equal"
    page.click("text=Commercial path")
    page.wait_for_url("**between=path**")
    assert verdict(page, "rules") == "Clean"

    sign_in(world.admin)
    page.set_viewport_size(WIDE)
    page.goto(ADDRESS)
    assert (verdict(page, "rules"), verdict(page, "eligibility")) == ("Not equal", "Clean")
    assert violations(page) == []
    page.click("text=The lines that differ most")
    assert (
        page.locator("table[aria-label], [aria-label='Lines that earn other than their twin']").count() >= 1
    )
    assert page.get_by_role("link", name="D-").first.is_visible()

    # By keyboard: the form opens, is filled and sent without a mouse.
    summary = page.locator("summary", has_text="Ask for an exception").first
    summary.focus()
    page.keyboard.press("Enter")
    page.get_by_label("Reason").first.fill("The launch quarter, as the board decided.")
    page.get_by_role("button", name="Ask for it").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**#exceptions")
    assert verdict(page, "rules") == "Not equal"
    assert page.get_by_role("button", name="Approve").count() == 0

    sign_in(make.user(role=Role.COMP_ADMIN))
    page.goto(ADDRESS)
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url("**#exceptions")
    assert verdict(page, "rules") == "Clean but for exceptions"

    page.get_by_role("button", name="Keep this proof").click()
    page.wait_for_selector("text=is kept as number")
    assert ParityProof.objects.get().rules_verdict == "excepted"
    assert "says what is true now" in page.inner_text("main")
