"""The interface in a real browser: accessible in both themes and sizes, by keyboard, on paper, and without scripts."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from accounts.models import RoleGrant, User
from bench.accessibility import FOCUS, MOVES, SHARED
from config import clock
from tests.accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.urls("tests.ui.urls"), pytest.mark.django_db(transaction=True)]

WIDE, RAIL, PHONE, NARROW = 1440, 900, 390, 320


@pytest.fixture
def manager(transactional_db: None) -> User:
    user = User.objects.create_user(email="tomas@example.com", name="Tomás Vidal")
    for role in ("rep", "manager"):
        RoleGrant.objects.create(user=user, role=role, granted_at=clock.now())
    return user


def assert_accessible(page: Page) -> None:
    assert violations(page) == []


# What goes with a word that a narrower page leaves out.
NAMED = ("link-name", "button-name", "label", "target-size", "scrollable-region-focusable")


def assert_accessible_everywhere(page: Page) -> None:
    """By every rule where there is most and least room, between them by what a width can break; dark by what a theme can."""
    page.emulate_media(color_scheme="light")
    for width, rules in ((WIDE, ()), (RAIL, NAMED), (PHONE, NAMED), (NARROW, ())):
        page.set_viewport_size({"width": width, "height": 800})
        assert violations(page, *rules) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out sideways"
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == [], "dark"


def test_every_part_is_accessible_in_every_size_and_theme(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    page.goto("/accounts/login/")
    expect(page.get_by_role("button", name="Sales rep")).to_be_visible()
    assert_accessible_everywhere(page)
    sign_in(manager)
    for path in ("/styleguide/", "/told/"):
        page.goto(path)
        assert_accessible_everywhere(page)
    page.set_viewport_size({"width": WIDE, "height": 800})
    page.goto("/styleguide/?theme=both")
    assert violations(page, "color-contrast") == []


def test_open_dialogs_are_accessible_and_give_the_focus_back(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/styleguide/")
    why = page.get_by_role("button", name="Standard \N{MULTIPLICATION SIGN} 1.00").first
    why.press("Enter")
    drawer = page.get_by_role("dialog", name="Why this credit")
    expect(drawer).to_be_visible()
    assert page.evaluate(MOVES) == [], "less motion was asked for"
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(why).to_be_focused()


# What Tab stops at in a page as it is read: of radio buttons with one name it is the chosen one, or the first.
CONTROLS = """() => {
  const before = (one, other) => one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_PRECEDING;
  const radios = [...document.querySelectorAll("[type=radio]")];
  window.controls = [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(node =>
    !node.disabled && node.type !== "hidden" && node.tabIndex === 0 && !node.closest("dialog:not([open])")
    && node.checkVisibility({ visibilityProperty: true })
    && !(node.type === "radio" && !node.checked && radios.some(other => other !== node && other.name === node.name
         && other.form === node.form && (other.checked || before(node, other)))));
  window.met = [];
  addEventListener("focusin", event => met.includes(event.target) || met.push(event.target));
  return controls.length;
}"""
REACHED = """() => ({
  missed: controls.filter(node => !met.includes(node)).map(node => node.outerHTML.slice(0, 120)),
  out_of_order: met.filter((node, at) => at && met[at - 1].compareDocumentPosition(node) & Node.DOCUMENT_POSITION_PRECEDING)
    .map(node => node.outerHTML.slice(0, 120)),
})"""
SCROLLERS = 20  # what only scrolls is a stop of its own


def test_tab_stops_at_every_control_as_it_is_read_and_each_shows_it(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/styleguide/")
    for _ in range(page.evaluate(CONTROLS) + SCROLLERS):
        page.keyboard.press("Tab")
    assert page.evaluate(REACHED) == {"missed": [], "out_of_order": []}
    page.evaluate(SHARED)
    assert page.evaluate(FOCUS) == []


def test_a_part_put_into_the_drawer_opens_it_and_the_next_one_starts_empty(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/opener/")
    page.get_by_role("link", name="Why").click()
    drawer = page.get_by_role("dialog", name="Why this credit")
    expect(drawer).to_be_visible()
    expect(page.get_by_text("Shown.")).to_be_visible()
    assert_accessible(page)
    drawer.get_by_role("button", name="Close").click()
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page.locator("#drawer")).to_be_empty()
    expect(page.get_by_role("link", name="Why")).to_be_focused()


def test_an_error_is_said_and_its_page_is_not_put_in(
    page: Page, manager: User, sign_in: Callable[[User], None], expected_complaints: list[str]
) -> None:
    expected_complaints += ["500 (Internal Server Error)", "Response Status Error Code 500"]
    sign_in(manager)
    page.goto("/opener/")
    page.get_by_role("button", name="Break").click()
    expect(page.get_by_text("That did not work. Nothing was changed; please try again.")).to_be_visible()
    expect(page.get_by_text("secret")).to_have_count(0)


def test_the_palette_opens_filters_and_goes(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/styleguide/")
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Command palette")
    expect(palette).to_be_visible()
    assert_accessible(page)
    page.keyboard.type("appr")
    expect(palette.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    page.wait_for_url("**/approvals/")
    page.keyboard.press("Control+k")
    page.keyboard.type("zzz")
    expect(palette.get_by_text("Nothing found")).to_be_visible()


def test_single_keys_move_jump_and_can_be_switched_off(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/styleguide/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="Lukas Brandt")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Filter reps")).to_be_focused()
    page.keyboard.type("gd")
    expect(page.get_by_role("searchbox", name="Filter reps")).to_have_value("gd")
    page.get_by_role("heading", name="Style guide").click()
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of a single key are on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    page.get_by_label("Shortcuts of a single key are on").check()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/deals/")


def test_the_theme_is_kept_by_the_server_and_paper_has_the_figures_and_not_the_controls(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.emulate_media(color_scheme="light")
    page.goto("/styleguide/")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Switch colour theme").click()
    assert page.evaluate(background) != light
    dark = page.evaluate(background)
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate(background) == dark
    page.emulate_media(media="print")
    for hidden in (".side", ".top", ".foot", ".acts >> nth=0", ".filters", ".pager"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.get_by_text("Amara Okafor").first).to_be_visible()
    expect(page.get_by_text("Demo, synthetic data")).to_be_visible()


def test_a_message_can_be_undone_dismissed_and_is_escaped(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.goto("/told/")
    toasts = page.get_by_role("status").filter(has=page.get_by_role("button", name="Undo"))
    expect(toasts.get_by_text("<b>Period</b> is closed.")).to_be_visible()
    assert toasts.get_by_role("button", name="Undo").count() == 1
    toasts.get_by_role("button", name="Dismiss").last.click()
    expect(page.get_by_text("<b>Period</b> is closed.")).to_have_count(0)


def test_on_a_phone_rows_are_cards_and_stay_a_table_for_a_screen_reader_and_all_of_the_navigation_is_reachable(
    page: Page, manager: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(manager)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/styleguide/")
    board = page.get_by_role("table").first
    expect(board.get_by_role("row")).to_have_count(7)
    expect(board.get_by_role("rowheader").first).to_contain_text("Amara Okafor")
    shown = board.locator("tbody tr").evaluate_all("rows => rows.map(row => getComputedStyle(row).display)")
    assert set(shown) == {"grid"}
    expect(page.get_by_role("link", name="Approvals")).to_have_count(0)
    page.get_by_role("button", name="More").click()
    expect(page.get_by_role("link", name="Approvals")).to_be_visible()
    assert_accessible(page)


def test_without_scripts_pages_are_read_and_the_theme_is_switched(
    browser: Browser, live_server: Any, manager: User
) -> None:
    client = Client()
    client.force_login(manager)
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False, color_scheme="light")
    context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )
    page = context.new_page()
    page.goto("/styleguide/?theme=both")
    expect(page.get_by_role("button", name="Search or jump to")).to_have_count(0)
    page.get_by_role("button", name="Switch colour theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.url.endswith("/styleguide/?theme=both")
    context.close()
