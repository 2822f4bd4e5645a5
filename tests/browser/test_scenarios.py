"""A sourcing lead tries a switch on paper, keeps it, and lays it beside another one."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from marketplace.models import Scenario
from tests.accessibility import violations
from tests.marketplace.sourcing.test_scenarios import World


@pytest.mark.browser
def test_a_move_is_tried_at_once_kept_and_compared(page: Page, sign_in: Callable[[Any], None]) -> None:
    world = World()
    made, other = world.scenario(), world.scenario(world.move(), name="The other one")
    sign_in(world.lead)
    page.goto(f"/sourcing/scenarios/{made.pk}/")
    page.get_by_label("From", exact=True).select_option(label="Alpha")
    page.get_by_label("To", exact=True).select_option(label="Beta 1")
    result = page.locator("#result")
    expect(result).to_contain_text("With one more move, not kept yet. 50% of Alpha 1 goes to Beta 1")
    result.get_by_role("button", name="Keep this move").click()
    expect(page.get_by_role("heading", name="Moves")).to_be_visible()
    expect(page.locator(".scenario-moves")).to_contain_text("50% of Alpha 1 goes to Beta 1 in every feature")
    assert Scenario.objects.get(pk=made.pk).moves.count() == 1
    page.goto("/sourcing/scenarios/")
    for name in (made.name, other.name):
        page.get_by_label(f"Lay “{name}” beside others").first.check()
    page.get_by_role("button", name="Side by side").click()
    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/sourcing/scenarios/{made.pk}/")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
