"""The main pages as everybody meets them: in both themes, on a small screen, by keyboard, without scripts."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.urls import reverse

from bench.accessibility import DEAD
from quotas.models import CreditEntry, Deal
from quotas.services import approving, booking
from tests import make
from tests.accessibility import LOOKS, violations
from tests.make import Line, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, BrowserContext, Page

    SignIn = Callable[[Any], None]

pytestmark = pytest.mark.django_db(transaction=True)

SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
ANIMATED = "document.getAnimations().length"


@pytest.fixture
def world() -> World:
    """One deal approved, one waiting, one draft, and a cancelled one."""
    built = make.world()
    make.quota(
        measure=built.bookings, period=built.year.quarters[0], team=built.team, amount_minor=180_000_00
    )
    seller, leader = built.ana.user, built.mia.user
    assert seller is not None
    assert leader is not None
    deals = []
    for offering in (built.house, built.third, built.house, built.third):
        draft = make.draft(
            owner=built.ana,
            customer=built.customer,
            lines=[Line(offering, 50_000_00)],
            shares={built.ana: 800_000, built.bo: 200_000},
        )
        deals.append(booking.log_deal(draft=draft, by=seller, at=make.AT))
    for deal in deals[:3]:
        booking.submit_deal(deal_id=deal.pk, by=seller, at=make.AT)
    for deal in deals[:2]:
        approving.approve_deal(deal_id=deal.pk, by=leader, at=make.AT)
    approving.cancel_deal(deal_id=deals[1].pk, by=leader, at=make.AT, reason="Withdrawn")
    return built


def visited_alone(world: World) -> "list[tuple[Any, list[str]]]":
    """Who reads what, with something to see on each: the pages that the walk without scripts does not come by."""
    waiting = Deal.objects.order_by("id")[2]
    return [
        (
            world.ana.user,
            [
                reverse("quotas:leaderboard") + "?around=me",
                reverse("marketplace:offering", args=[world.third.slug]),
            ],
        ),
        (
            world.mia.user,
            [
                reverse("quotas:deal", args=[waiting.pk]) + "?do=reject",
                reverse("quotas:approvals"),
            ],
        ),
        (
            world.admin,
            [
                reverse("quotas:parity"),
                reverse("quotas:statements"),
                reverse("quotas:plans"),
                reverse("quotas:periods"),
            ],
        ),
        (make.user(role="sourcing_lead"), [reverse("marketplace:sourcing")]),
    ]


def come_by(world: World) -> "list[tuple[Any, list[str]]]":
    """The pages that the walk without scripts comes by, and a form."""
    approved, _cancelled, _waiting, draft = Deal.objects.order_by("id")
    entry = CreditEntry.objects.filter(rep=world.ana).order_by("id")[0]
    return [
        (
            world.mia.user,
            [
                reverse("quotas:board", args=[world.team.slug]),
                reverse("quotas:deals"),
                reverse("quotas:deal", args=[approved.pk]),
            ],
        ),
        (
            world.ana.user,
            [
                reverse("quotas:deal-edit", args=[draft.pk]),
                reverse("quotas:credit-explanation", args=[entry.pk]),
                reverse("marketplace:catalog"),
                reverse("marketplace:compare") + f"?offerings={world.house.slug},{world.third.slug}",
            ],
        ),
    ]


def test_the_main_pages_are_accessible_in_both_themes_and_on_a_small_screen(
    page: "Page", world: World, sign_in: "SignIn"
) -> None:
    """Every rule where there is most room, in light; in dark and at 400 % what a theme and a width can break."""
    found: list[str] = []
    for user, addresses in [*come_by(world), *visited_alone(world)]:
        sign_in(user)
        for address in addresses:
            page.set_viewport_size({"width": 1440, "height": 900})
            page.emulate_media(color_scheme="light")
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            found += [f"{address}: {broken}" for broken in violations(page)]
            if page.evaluate(ANIMATED):
                found.append(f"{address} moves, though less motion was asked for")
            for width in (1440, 1080, 768, 320):  # the last is 400 % of 1280
                page.set_viewport_size({"width": width, "height": 800})
                if wide := page.evaluate(SIDEWAYS):
                    found.append(f"{address} at {width}: {wide} px too wide")
            page.emulate_media(color_scheme="dark")
            found += [f"{address} at 320, dark: {broken}" for broken in violations(page, *LOOKS)]
    assert not found, "\n".join(found)


def test_without_scripts_every_page_is_read_and_no_control_is_dead(
    browser: "Browser", context: "BrowserContext", live_server: Any, world: World, sign_in: "SignIn"
) -> None:
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False, color_scheme="light")
    page = plain.new_page()

    def enter(user: Any) -> None:
        sign_in(user)
        plain.clear_cookies()
        plain.add_cookies(context.cookies())  # type: ignore[arg-type]  # the one is the other's shape

    def downloads(what: str) -> None:
        """An export is a link that is there once its menu is opened, and answers with the file."""
        page.locator("details.export summary").first.click()
        link = page.locator("details.export a", has_text=what).first
        assert link.is_visible()
        answer = plain.request.get(urljoin(page.url, str(link.get_attribute("href"))))
        assert answer.status == 200
        assert "attachment" in answer.headers["content-disposition"]

    def nothing_is_dead() -> None:
        assert page.evaluate(DEAD) == [], page.url

    for user, addresses in visited_alone(world):
        enter(user)
        for address in addresses:
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            nothing_is_dead()

    # The board: down to a person's credit, another period by its form, the theme, the menu of a phone.
    enter(world.mia.user)
    page.goto(reverse("quotas:board", args=[world.region.slug]))
    page.locator("main tbody").get_by_role("link", name=world.team.name, exact=True).click()
    assert world.ana.user is not None
    assert world.ana.user.name in page.inner_text("main")
    nothing_is_dead()
    downloads("CSV")
    with page.expect_navigation():
        page.get_by_role("button", name="Show", exact=True).first.click()
    assert "period=" in page.url
    with page.expect_navigation():
        page.get_by_role("button", name="Switch colour theme").click()
    assert page.get_attribute("html", "data-theme") == "dark"
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="More").click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Deals").click()
    page.wait_for_url("**/deals/")
    page.set_viewport_size({"width": 1440, "height": 900})

    # The deals: filtered, sought, and one opened with why it credits what it does.
    with page.expect_navigation():
        page.locator("main .chip", has_text="Submitted").click()
    assert "state=submitted" in page.url
    assert page.locator("main tbody tr").count() == 1
    nothing_is_dead()
    page.goto(reverse("quotas:deals"))
    page.locator("main input[type=search]").fill("no such customer")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert "No deal matches" in page.inner_text("main")
    approved = Deal.objects.order_by("id")[0]
    page.goto(reverse("quotas:deal", args=[approved.pk]))
    nothing_is_dead()
    with page.expect_navigation():
        page.locator("main a", has_text="Why this credit").first.click()
    assert urlsplit(page.url).path.endswith("/explanation/")
    nothing_is_dead()

    # The catalog: by facet and order, and two offerings beside each other.
    page.goto(reverse("marketplace:catalog"))
    with page.expect_navigation():
        page.locator("main .chip", has_text="Third party").first.click()
    assert "origin=" in page.url
    assert page.locator("main tbody tr").count() == 1
    page.goto(reverse("marketplace:catalog"))
    nothing_is_dead()
    for box in page.locator("main tbody [type=checkbox]").all()[:2]:
        box.check()
    with page.expect_navigation():
        page.locator("button.compares").click()
    assert urlsplit(page.url).path == reverse("marketplace:compare")
    nothing_is_dead()
    plain.close()
