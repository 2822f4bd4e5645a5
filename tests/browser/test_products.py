"""Changing what a feature runs on, in a real browser: the total follows what is typed, and everybody can use the pages."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Role
from marketplace.selectors.sourcing.binding import bindings_on
from marketplace.services.sourcing.binding import MixRow, set_mix
from tests import make
from tests.accessibility import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SignIn = Callable[[Any], None]


def test_a_lead_moves_traffic_and_sees_the_total_while_typing(page: "Page", sign_in: SignIn) -> None:
    lead, feature = make.user(role=Role.SOURCING_LEAD), make.feature(name="Chat")
    one = make.offering(name="Comet", retires_on=date(2026, 11, 1)).model_version
    assert one is not None
    make.model_version(name="Dawn")
    rows = [MixRow(one.pk, "default", 1_000_000)]
    set_mix(feature_id=feature.pk, from_day=date(2026, 6, 1), rows=rows, reason="Alone", by=lead, at=make.AT)
    sign_in(lead)
    page.goto(f"/sourcing/features/{feature.slug}/mix/")
    assert violations(page) == []
    page.get_by_label("Share", exact=True).first.fill("60")
    page.get_by_label("Share", exact=True).first.blur()
    page.get_by_text("40% missing").wait_for()
    page.get_by_label("Model", exact=True).nth(1).fill("Dawn")
    page.get_by_label("Share", exact=True).nth(1).fill("40")
    page.get_by_label("Share", exact=True).nth(1).blur()
    page.get_by_text("Adds up", exact=True).wait_for()
    page.get_by_label("Reason").fill("A second maker")
    page.get_by_role("button", name="State this mix").click()
    page.get_by_text("Chat runs on this mix from").wait_for()
    assert set(bindings_on(make.TODAY).values_list("share_ppm", flat=True)) == {400_000, 600_000}
