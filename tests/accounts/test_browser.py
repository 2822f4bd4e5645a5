"""The pages of accounts in a real browser: accessible, and usable without a mouse or a password to remember."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views import defaults

from accounts.models import Notification, User
from accounts.services import grant_role, withdraw_role
from accounts.sessions import csrf_failure
from tests import make
from tests.accessibility import accessible

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

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


ERRORS: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "400": lambda request: defaults.bad_request(request, Exception()),
    "403": lambda request: defaults.permission_denied(request, Exception()),
    "403_csrf": csrf_failure,
    "404": lambda request: defaults.page_not_found(request, Exception()),
    "500": defaults.server_error,
}


def _serving(said: str) -> Callable[["Route"], None]:
    def serve(route: "Route") -> None:
        route.fulfill(body=said, content_type="text/html")

    return serve


def test_the_pages_are_accessible(page: "Page", auditor: User, sign_in: Callable[[User], None]) -> None:
    """Those that one meets logged out or lost among them: an error page is served in the place of one."""
    for status, failed in ERRORS.items():
        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        said = failed(request).content.decode()
        page.route(f"**/oops/{status}", _serving(said))
    own = [f"/accounts/{name}" for name in ("audit/", "audit/?who=nobody", "notifications/", "preferences/")]
    seen = 0
    for who, addresses in (
        (None, ["/accounts/login/", *(f"/oops/{status}" for status in ERRORS)]),
        (auditor, own),
    ):
        if who is not None:
            sign_in(who)
        for address in addresses:
            page.goto(address)
            accessible(page)
            seen += 1
    assert seen == 10


def test_a_session_that_ends_while_a_deal_is_typed_leads_to_the_log_in_page_and_back_to_what_was_typed(
    page: "Page", sign_in: Callable[[User], None]
) -> None:
    world = make.world()
    ana = make.login(world.ana)
    ana.set_password("quite a long one")
    ana.save()
    sign_in(ana)
    page.goto("/quotas/deals/new/")
    page.get_by_label("Title").fill("Twelve seats")
    ends = Session.objects.all().delete
    ends()
    page.locator("[name=lines-0-amount]").fill("1234.50")
    page.get_by_role("heading", name="Log in").wait_for()  # the whole page, where a preview was asked for
    assert page.locator("nav.side").count() == 0
    page.get_by_label("E-mail").fill(ana.email)
    page.get_by_label("Password").fill("quite a long one")
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_text("What you had entered is back").wait_for()
    assert page.locator("[name=lines-0-amount]").input_value() == "1234.50"
    assert page.get_by_label("Title").input_value() == "Twelve seats"

    page.goto("/quotas/deals/new/")  # only once, and only after a log-in
    assert page.locator("[name=lines-0-amount]").input_value() == ""


def test_a_demo_button_logs_in_and_a_notification_is_read(page: "Page", transactional_db: None) -> None:
    user = make.user(role="sourcing_lead", email="sourcing@demo.example", name="Sana Ito")
    Notification.objects.create(user=user, key="k", text="D-000123 was approved", created_at=AT)
    page.goto("/accounts/login/?next=/accounts/notifications/")
    page.get_by_role("button", name="Sourcing lead").click()
    page.get_by_role("button", name="Mark as read: D-000123 was approved").click()
    page.get_by_text("All read").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
