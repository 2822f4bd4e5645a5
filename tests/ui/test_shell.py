"""The frame: who is offered which way, and at what cost."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import override_settings

from config import context, views
from config.context import Shell, shell
from config.pages import ROLE_LABELS

pytestmark = pytest.mark.urls("tests.ui.urls")


def asked(path: str, user: Any, **cookies: str) -> HttpRequest:
    request = RequestFactory().get(path)
    request.user = user
    request.COOKIES.update(cookies)
    return request


def texts(frame: Shell) -> list[str]:
    return [link.entry.text for link in frame.links]


def test_a_manager_is_offered_approvals_and_a_rep_is_not(person_as: Callable[..., Any]) -> None:
    assert texts(Shell(asked("/", person_as("manager")))) == [
        "Home",
        "Quota board",
        "Deals",
        "Approvals",
        "Catalog",
        "Style guide",
    ]
    assert texts(Shell(asked("/", person_as("rep")))) == [
        "Home",
        "Quota board",
        "Deals",
        "Catalog",
        "Style guide",
    ]


def test_the_audit_trail_is_for_comp_admins_and_auditors(person_as: Callable[..., Any]) -> None:
    offered = {role: "Audit trail" in texts(Shell(asked("/", person_as(role)))) for role in ROLE_LABELS}
    assert {role for role, seen in offered.items() if seen} == {"comp_admin", "auditor"}


def test_a_partner_is_not_led_to_the_board(person_as: Callable[..., Any]) -> None:
    assert texts(Shell(asked("/", person_as("partner")))) == ["Home", "Deals", "Catalog", "Style guide"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "Home"),
        ("/deals/", "Deals"),
        ("/deals/7/", "Deals"),
        ("/dealsish/", None),
        ("/board/", "Quota board"),
    ],
)
def test_the_entry_of_this_page_is_marked(path: str, text: str | None, person: Any) -> None:
    marked = [link.entry.text for link in Shell(asked(path, person)).links if link.active]
    assert marked == ([text] if text else [])


def test_an_app_can_say_how_many_things_wait(
    monkeypatch: pytest.MonkeyPatch, person_as: Callable[..., Any]
) -> None:
    calls: list[HttpRequest] = []

    def waiting(request: HttpRequest) -> int:
        calls.append(request)
        return 14

    monkeypatch.setitem(context._counters, "quotas:approvals", waiting)
    frame = Shell(asked("/", person_as("manager")))
    assert {link.entry.text: link.count for link in frame.links if link.count} == {"Approvals": 14}
    assert [link.count for group in frame.groups for link in group[1]].count(14) == 1
    assert len(calls) == 1, "asked once, however often the links are shown"
    assert Shell(asked("/", person_as("rep"))).links
    assert len(calls) == 1, "not asked for somebody who does not see the entry"


def test_nothing_is_asked_before_it_is_shown(person: Any) -> None:
    frame = shell(asked("/", person))["shell"]
    assert person.notifications.asked == 0
    assert (frame.unread, frame.unread) == (3, 3)
    assert person.notifications.asked == 1


@override_settings(DEMO_MODE=True, DEMO_TODAY=date(2026, 8, 14))
def test_the_demo_shows_its_business_date(person: Any) -> None:
    frame = Shell(asked("/", person))
    assert frame.demo
    assert frame.today == date(2026, 8, 14)


@pytest.mark.parametrize(
    ("cookie", "theme", "other"),
    [("dark", "dark", "light"), ("light", "light", "dark"), ("", "", "dark"), ('"><script>', "", "dark")],
)
def test_only_a_known_theme_is_taken_from_the_cookie(
    cookie: str, theme: str, other: str, person: Any
) -> None:
    frame = Shell(asked("/", person, theme=cookie))
    assert (frame.theme, frame.other_theme) == (theme, other)


@pytest.mark.parametrize(
    ("sent", "back"),
    [("/board/?q=1", "/board/?q=1"), ("https://evil.example/", "/"), ("//evil.example/", "/"), (None, "/")],
)
def test_the_theme_switch_keeps_the_choice_and_goes_back_only_to_this_site(
    sent: str | None, back: str
) -> None:
    request = RequestFactory().post("/theme/", {"theme": "dark", **({"next": sent} if sent else {})})
    response = views.theme(request)
    assert response.status_code == 302
    assert response["Location"] == back
    assert response.cookies["theme"].value == "dark"
    assert response.cookies["theme"]["samesite"] == "Lax"


def test_the_theme_can_be_left_to_the_system_and_is_not_changed_by_a_get() -> None:
    response = views.theme(RequestFactory().post("/theme/", {"theme": "system"}))
    assert response.cookies["theme"]["max-age"] == 0
    assert views.theme(RequestFactory().get("/theme/", {"theme": "dark"})).status_code == 405
