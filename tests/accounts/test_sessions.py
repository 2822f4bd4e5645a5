"""A session that ends, or begins anew, while a page is open."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse, reverse_lazy

from accounts.models import User
from tests import make
from tests.ui.pseudo import Forms

pytestmark = pytest.mark.django_db
HERE = "http://testserver"
DEAL = "/quotas/deals/new/?customer=kairos"
PREFERENCES = "/accounts/preferences/"


def asked_for(address: str) -> str:
    split = urlsplit(address)
    assert split.path == "/accounts/login/"
    return parse_qs(split.query)["next"][0]


@pytest.mark.parametrize(
    ("method", "part"), [("get", reverse_lazy("quotas:find")), ("post", reverse_lazy("accounts:mails"))]
)
def test_a_part_that_is_asked_for_without_a_session_leads_to_the_whole_log_in_page(
    method: str, part: str
) -> None:
    """And from there to the page that was open, not to the address of the part."""
    asks = {"HX-Request": "true", "HX-Current-URL": f"{HERE}{DEAL}", "HX-Target": "drawer"}
    answer = getattr(Client(), method)(str(part), headers=asks)
    assert (answer.status_code, answer.content) == (200, b"")
    assert asked_for(answer["HX-Redirect"]) == DEAL
    assert answer["Cache-Control"] == "no-store"


def test_what_is_sent_without_a_session_leads_back_to_the_page_that_it_was_typed_on() -> None:
    act, page = reverse("accounts:mails"), f"{HERE}/accounts/notifications/?cursor=x"
    sent = Client().post(act, headers={"Referer": page})
    assert asked_for(sent["Location"]) == "/accounts/notifications/?cursor=x"
    for elsewhere in ("https://elsewhere.example/accounts/", "//elsewhere.example", "/relative/", ""):
        assert asked_for(Client().post(act, headers={"Referer": elsewhere})["Location"]) == act


def test_logging_out_and_pages_that_are_asked_for_whole_are_left_alone() -> None:
    client = Client()
    assert asked_for(client.get(f"{PREFERENCES}?a=1")["Location"]) == f"{PREFERENCES}?a=1"
    client.force_login(make.user())
    assert (
        client.post("/accounts/logout/", headers={"Referer": f"{HERE}/quotas/"})["Location"]
        == "/accounts/login/"
    )


def from_before(**more: str) -> tuple[Client, User, dict[str, str]]:
    """Somebody who has a page from before logging in again, and what its form sends."""
    user = make.user(name="Ada Min")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.get(PREFERENCES)
    return client, user, {"locale": "de-DE", "csrfmiddlewaretoken": "o" * 64, **more}


def test_a_form_from_before_is_kept_and_sent_by_its_reader_after_a_look() -> None:
    client, user, typed = from_before()
    answer = client.post(PREFERENCES, typed, headers={"Origin": HERE, "Referer": f"{HERE}{PREFERENCES}"})
    said = answer.content.decode()
    assert answer.status_code == 403
    assert "You are logged in as Ada Min" in said
    user.refresh_from_db()
    assert user.locale == ""
    (form,) = (form for form in Forms(said).forms if form.action == PREFERENCES)
    again = form.sent()
    assert again["locale"] == ["de-DE"]
    assert again["csrfmiddlewaretoken"] != [typed["csrfmiddlewaretoken"]]
    assert client.post(PREFERENCES, again, headers={"Origin": HERE}).status_code == 302
    user.refresh_from_db()
    assert user.locale == "de-DE"


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://elsewhere.example"}, {"Referer": "https://elsewhere.example/x"}, {}]
)
def test_a_form_of_another_site_is_never_offered_to_be_sent(headers: dict[str, str]) -> None:
    client, _user, typed = from_before()
    answer = client.post(PREFERENCES, typed, headers=headers)
    assert answer.status_code == 403
    assert [form for form in Forms(answer.content.decode()).forms if form.action == PREFERENCES] == []
    assert b"elsewhere.example" not in answer.content


def test_a_password_never_comes_back_and_nobody_is_asked_to_send_for_nobody() -> None:
    client, _user, typed = from_before(password="s3cret-of-ada")
    for who in (client, Client(enforce_csrf_checks=True)):
        answer = who.post(PREFERENCES, typed, headers={"Origin": HERE})
        assert answer.status_code == 403
        assert b"s3cret-of-ada" not in answer.content


def test_a_script_is_told_in_a_word_that_the_page_is_from_before() -> None:
    client, _user, typed = from_before()
    answer = client.post(PREFERENCES, typed, headers={"Origin": HERE, "HX-Request": "true"})
    assert (answer.status_code, answer.content) == (403, b"")
    assert "logged in again" in json.loads(answer["HX-Trigger"])["toast"]["text"]


def test_the_page_says_so_without_a_token_too() -> None:
    assert settings.CSRF_FAILURE_VIEW == "accounts.sessions.csrf_failure"
    answer = Client(enforce_csrf_checks=True).post("/accounts/login/", {"username": "a@b.example"})
    assert answer.status_code == 403
    assert b"Nothing was saved" in answer.content
