"""The pages of accounts in a real browser: accessible, and usable without a mouse or a password to remember."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from accounts.models import Notification, User
from accounts.services import grant_role, withdraw_role
from tests import make
from tests.accessibility import violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

AT = datetime(2026, 8, 14, 18, tzinfo=UTC)
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def auditor(transactional_db: None) -> User:
    user = make.user(role="auditor", name="Ada Min")
    grant_role(user_id=user.pk, role="rep", by=user, at=AT, reason="to see what a rep sees")
    withdraw_role(user_id=user.pk, role="rep", by=user, at=AT, reason="seen")
    Notification.objects.create(
        user=user, key="k", text="D-000123 was approved", url="/accounts/audit/", created_at=AT
    )
    return user


@pytest.mark.parametrize(
    "path", ["/accounts/audit/", "/accounts/audit/?who=nobody", "/accounts/notifications/"]
)
@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_the_pages_are_accessible(
    path: str, scheme: Any, width: int, page: "Page", auditor: User, sign_in: Callable[[User], None]
) -> None:
    sign_in(auditor)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width, "nothing sticks out sideways"


def test_a_demo_button_logs_in_and_a_notification_is_read(page: "Page", transactional_db: None) -> None:
    user = make.user(role="sourcing_lead", email="sourcing@demo.example", name="Sana Ito")
    Notification.objects.create(user=user, key="k", text="D-000123 was approved", created_at=AT)
    page.goto("/accounts/login/?next=/accounts/notifications/")
    page.get_by_role("button", name="Sourcing lead").click()
    page.get_by_role("button", name="Mark as read: D-000123 was approved").click()
    page.get_by_text("All read").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
