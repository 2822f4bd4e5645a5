"""How a person reads: set on a page, in effect on that person's pages and mails, and nowhere else."""

import ast
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone

from accounts.models import AuditEvent, User
from config import formats, locales, mailing, outbox
from config.middleware import ReaderMiddleware
from config.models import Mail
from quotas.models import Deal
from tests import make
from tests.make import World

GAP = "\N{NO-BREAK SPACE}"
PAGE = "/accounts/preferences/"
LATE = datetime(2026, 8, 14, 23, 5, tzinfo=UTC)


def german(user: User | None) -> Client:
    assert user is not None
    User.objects.filter(pk=user.pk).update(locale="de-DE", time_zone="Europe/Berlin")
    return browser(user)


def browser(user: User | None) -> Client:
    assert user is not None
    client = Client()
    client.force_login(user)
    return client


# --- the page ---------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_person_chooses_and_the_next_page_is_written_so() -> None:
    user = make.user(role="rep")
    page = browser(user)
    assert "14 Aug 2026" in page.get(PAGE).content.decode()
    answer = page.post(PAGE, {"locale": "de-DE", "time_zone": "berlin"}, follow=True)
    user.refresh_from_db()
    assert (user.locale, user.time_zone, user.language) == ("de-DE", "Europe/Berlin", "")
    said = answer.content.decode()
    assert f"<dd>{formats.MINUS}1.234,56{GAP}$</dd>" in said
    assert 'value="Europe/Berlin"' in said
    assert AuditEvent.objects.filter(table="accounts_user", row=user.pk, reason="Preferences").count() == 1
    page.post(PAGE, {"locale": "", "time_zone": ""})
    user.refresh_from_db()
    assert (user.locale, user.time_zone) == ("", "")


@pytest.mark.django_db
def test_what_is_not_on_offer_is_refused_and_nothing_is_kept(subtests: pytest.Subtests) -> None:
    user = make.user(role="rep")
    page = browser(user)
    for wrong in (
        {"locale": "xx-XX"},
        {"locale": "ar-EG"},
        {"time_zone": "Mars/Olympus"},
        {"time_zone": "../../etc/passwd"},
    ):
        with subtests.test(wrong=wrong):
            answer = page.post(PAGE, {"locale": "de-DE", "time_zone": "Europe/Berlin"} | wrong)
            assert answer.status_code == 422
            user.refresh_from_db()
            assert (user.locale, user.time_zone) == ("", "")


@pytest.mark.django_db
def test_what_is_chosen_can_be_seen_before_it_is_kept_and_a_choice_of_one_language_is_none() -> None:
    user = make.user(role="rep")
    page = browser(user)
    part = page.get(PAGE, {"locale": "ja-JP", "time_zone": "Asia/Tokyo"}, headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert "<dd>$1,883万</dd>" in part.content.decode()
    assert f"{GAP}JST" in part.content.decode()
    assert 'name="language"' not in page.get(PAGE).content.decode()
    user.refresh_from_db()
    assert user.locale == ""


# --- what is in effect, and for how long ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "decimal"),
    [("/quotas/board/", ","), ("/api/v1/deals/", "."), ("/quotas/board/?format=csv", ".")],
)
def test_it_is_in_effect_on_pages_only_and_never_outlives_a_request(path: str, decimal: str) -> None:
    seen = []

    def view(_request: HttpRequest) -> HttpResponse:
        seen.append((locales.current().decimal, timezone.get_current_timezone_name()))
        raise RuntimeError

    request = RequestFactory().get(path, headers={"cookie": f"{settings.SESSION_COOKIE_NAME}=x"})
    request.user = User(locale="de-DE", time_zone="Asia/Tokyo")
    with pytest.raises(RuntimeError):
        ReaderMiddleware(view)(request)
    assert seen == [(decimal, "Asia/Tokyo" if decimal == "," else settings.TIME_ZONE)]
    assert locales.current() is locales.HOUSE
    assert timezone.get_current_timezone_name() == settings.TIME_ZONE


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.mark.django_db
def test_pages_differ_and_files_and_the_api_do_not(world: World) -> None:
    make.deal(owner=world.ana, customer=world.customer, lines=[make.Line(world.house, 1_234_567_89)])
    plain = {
        path: browser(world.mia.user).get(path, follow=True) for path in ("/quotas/deals/", "/quotas/board/")
    }
    data = (
        "/quotas/deals/?format=csv",
        "/quotas/deals/?format=jsonl",
        "/api/v1/deals/",
        "/quotas/board/?format=csv",
    )

    def body(answer: Any) -> bytes:
        return b"".join(answer.streaming_content) if answer.streaming else answer.content

    before = {path: body(browser(world.mia.user).get(path)) for path in data}
    page = german(world.mia.user)
    assert f"1,23{GAP}Mio.{GAP}$" in page.get("/quotas/deals/").content.decode()
    assert "$1.23M" in plain["/quotas/deals/"].content.decode()
    board = page.get("/quotas/board/", follow=True).content.decode()
    assert "CEST" in board
    assert "CEST" not in plain["/quotas/board/"].content.decode()
    for path in data:
        assert body(page.get(path)) == before[path], path


@pytest.mark.django_db
def test_an_amount_is_taken_as_its_writer_writes_it_and_an_ambiguous_one_is_asked_about(world: World) -> None:
    page = german(world.ana.user)
    entered = {
        "customer": world.customer.name,
        "kind": "new_business",
        "close_date": "2026-08-14",
        "currency": "USD",
        "lines": "1",
        "lines-0-offering": world.house.name,
        "lines-0-amount": "1.234,56",
        "shares": "2",
        "shares-0-rep": world.ana.name,
        "shares-0-percent": "66,6667",
        "shares-1-rep": world.bo.name,
        "shares-1-percent": "33.3333",
        "do": "draft",
    }
    asked = page.post("/quotas/deals/new/", entered | {"lines-0-amount": "1.234"})
    assert asked.status_code == 422
    assert "1.234 can be read in two ways: write 1234 or 1,234." in asked.content.decode()
    assert not Deal.objects.exists()
    page.post("/quotas/deals/new/", entered)
    version = Deal.objects.get().latest
    assert [line.amount_minor for line in version.lines.all()] == [123_456]
    assert sorted(share.ppm for share in version.shares.all()) == [333_333, 666_667]


# --- mails and records ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_mail_to_two_people_is_written_for_each() -> None:
    here, there = make.user(), make.user()
    german(there)
    text = f"{mailing.amount(123_456, 'USD', 2)} since {mailing.moment(LATE)}."
    with transaction.atomic():
        mailing.promise_mail(key="test:1", to=[here.pk, there.pk], subject="It waits", text=text, at=make.AT)
    for message in outbox.lease(at=make.AT):
        outbox.carry_out(message_id=message, at=make.AT)
    texts = dict(Mail.objects.values_list("user", "text"))
    assert texts[here.pk].startswith("$1,234.56 since 14 Aug, 16:05.")
    assert texts[there.pk].startswith(f"1.234,56{GAP}$ since 15. Aug., 01:05{GAP}CEST.")


def test_what_is_recorded_is_never_written_as_somebody_reads_it() -> None:
    """Services and the crediting engine write with config.house; only what has no words may come from config.formats."""
    wordless = {"iso", "rounded", "COUNT_EXPONENT", "NO_VALUE"}
    found = []
    for folder in ("accounts", "marketplace/services", "quotas/services", "quotas/crediting"):
        for path in sorted((Path(settings.BASE_DIR) / folder).rglob("*.py")):
            if (
                path.name in ("forms.py", "views.py") or path.parent.name == "explanation"
            ):  # explain.py sees to that
                continue
            found += [
                f"{path}:{node.lineno}"
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.ImportFrom)
                and (
                    (node.module == "config" and "formats" in {each.name for each in node.names})
                    or (node.module == "config.formats" and {each.name for each in node.names} - wordless)
                )
            ]
    assert not found
