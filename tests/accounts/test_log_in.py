"""Coming in and going out."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.models import User
from accounts.views import DEMO_LOGINS
from tests import make

pytestmark = pytest.mark.django_db
LOGIN = "/accounts/login/"


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def log_in(client: Client, email: str, password: str = make.PASSWORD, **more: str) -> Any:
    return client.post(LOGIN, {"username": email, "password": password, **more})


def who(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_the_letter_case_of_an_email_does_not_matter(client: Client) -> None:
    user = make.user(email="Mixed.Case@demo.example")
    answer = log_in(client, "mixed.CASE@DEMO.example")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert who(client) == str(user.pk)


def test_one_sentence_for_everything_that_is_wrong(client: Client) -> None:
    make.user(email="known@demo.example")
    asleep = make.user(email="asleep@demo.example")
    User.objects.filter(pk=asleep.pk).update(is_active=False)
    service = make.user(email="service@demo.example", service=True)
    answers = [
        log_in(client, "known@demo.example", "wrong"),
        log_in(client, "nobody@demo.example"),
        log_in(client, asleep.email),
        log_in(client, service.email),
        log_in(client, service.email, "!"),
    ]
    assert {a.status_code for a in answers} == {422}
    assert {str(a.context["form"].non_field_errors()) for a in answers} == {
        str(answers[0].context["form"].non_field_errors())
    }
    assert answers[0].context["form"].non_field_errors() == [
        "That e-mail and password do not match an account."
    ]
    assert who(client) is None


def test_what_is_no_email_is_said_beside_the_field(client: Client, subtests: pytest.Subtests) -> None:
    for email in ("", "not an e-mail", "a" * 300 + "@demo.example", "x\x00@demo.example"):
        with subtests.test(email=email):
            answer = log_in(client, email)
            assert answer.status_code == 422
            assert answer.context["form"].has_error("username")


def test_guessing_a_password_is_stopped_even_for_the_right_one(client: Client) -> None:
    make.user(email="known@demo.example")
    codes = [log_in(client, "known@demo.example", f"guess {n}").status_code for n in range(10)]
    assert set(codes) == {422}
    blocked = log_in(client, "KNOWN@demo.example")
    assert (blocked.status_code, who(client)) == (429, None)
    assert "Too many wrong tries" in blocked.content.decode()


def test_a_block_of_one_account_is_none_of_another(client: Client) -> None:
    make.user(email="known@demo.example")
    other = make.user(email="other@demo.example")
    for n in range(11):
        log_in(client, "known@demo.example", f"guess {n}")
    log_in(client, "other@demo.example")
    assert who(client) == str(other.pk)


def test_guessing_many_accounts_from_one_address_is_stopped(client: Client) -> None:
    make.user(email="known@demo.example")
    for n in range(50):
        log_in(client, f"guess{n}@demo.example")
    assert log_in(client, "known@demo.example").status_code == 429
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert log_in(elsewhere, "known@demo.example").status_code == 302


def test_coming_in_forgets_the_accounts_failures(client: Client) -> None:
    make.user(email="known@demo.example")
    for _ in range(3):
        for n in range(9):
            log_in(client, "known@demo.example", f"guess {n}")
        assert log_in(client, "known@demo.example").status_code == 302


@pytest.mark.parametrize(
    ("after", "to"),
    [
        ("/catalog/", "/catalog/"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("javascript:x", "/"),
    ],
)
def test_afterwards_it_goes_on_where_one_was_but_never_elsewhere(client: Client, after: str, to: str) -> None:
    make.user(email="known@demo.example")
    assert log_in(client, "known@demo.example", next=after)["Location"] == to


def test_the_demo_has_a_button_for_each_role_and_production_has_none(client: Client, settings: Any) -> None:
    page = client.get(LOGIN)
    assert [login["email"] for login in page.context["demo_logins"]] == [one[2] for one in DEMO_LOGINS]
    for one in DEMO_LOGINS:
        assert f'value="{one[2]}"' in page.content.decode()
    settings.DEMO_MODE = False
    settings.DEMO_TODAY = None
    page = client.get(LOGIN)
    assert page.context["demo_logins"] == []
    assert "demo.example" not in page.content.decode()


def test_the_form_needs_its_token() -> None:
    make.user(email="known@demo.example")
    careful = Client(enforce_csrf_checks=True)
    assert log_in(careful, "known@demo.example").status_code == 403
    token = careful.get(LOGIN).cookies["csrftoken"].value
    assert log_in(careful, "known@demo.example", csrfmiddlewaretoken=token).status_code == 302


def test_going_out_takes_a_post(client: Client) -> None:
    client.force_login(make.user())
    assert client.get("/accounts/logout/").status_code == 405
    assert who(client) is not None
    assert client.post("/accounts/logout/")["Location"] == LOGIN
    assert who(client) is None


def test_an_account_that_is_put_to_sleep_is_out_at_once(client: Client) -> None:
    user = make.user()
    client.force_login(user)
    assert client.get("/accounts/notifications/").status_code == 200
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert client.get("/accounts/notifications/").status_code == 302
