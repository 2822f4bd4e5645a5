"""Once a business day, what somebody has not read yet."""

from datetime import datetime, timedelta

import pytest
from django.test import Client

from accounts.digests import MOST_TOLD, promise_digests
from accounts.models import Notification, User
from config import outbox
from config.models import Mail
from tests import make
from tests.make import AT  # a Friday

pytestmark = pytest.mark.django_db


def told(at: datetime = AT) -> list[Mail]:
    """The mails that a round makes."""
    known = set(Mail.objects.values_list("pk", flat=True))
    promise_digests(at=at)
    for message in outbox.lease(at=at):
        outbox.carry_out(message_id=message, at=at)
    return list(Mail.objects.exclude(pk__in=known).order_by("user_id"))


def note(user: User, text: str, at: datetime = AT, **more: object) -> Notification:
    return Notification.objects.create(user=user, key=text, text=text, url="/quotas/", created_at=at, **more)


def test_what_is_unread_is_told_once_and_the_newest_first() -> None:
    me, other = make.user(), make.user()
    note(me, "Your deal was approved.", AT - timedelta(hours=2))
    note(me, "A statement waits.", AT - timedelta(hours=1))
    note(me, "Read already.", read_at=AT)
    [mail] = told()
    assert mail.user == me
    assert mail.subject == "2 things since you last looked"
    assert mail.text.index("A statement waits.") < mail.text.index("Your deal was approved.")
    assert "Read already" not in mail.text
    assert not told(AT + timedelta(minutes=15))
    assert other.pk not in Mail.objects.values_list("user", flat=True)


def test_the_next_digest_tells_only_what_is_new() -> None:
    me = make.user()
    note(me, "Old news.")
    told()
    monday = AT + timedelta(days=3)
    assert not told(monday)
    note(me, "New news.", monday)
    assert not told(monday - timedelta(days=1)), "a Sunday"
    [mail] = told(monday + timedelta(hours=1))
    assert mail.subject == "New news."
    assert "Old news" not in mail.text


def test_a_long_list_is_cut_and_says_so() -> None:
    me = make.user()
    for number in range(MOST_TOLD + 3):
        note(me, f"No. {number}.")
    [mail] = told()
    assert "- and 3 more" in mail.text


def test_who_does_not_want_it_gets_none_and_may_change_that(client: Client) -> None:
    me = make.user()
    note(me, "Your deal was approved.")
    client.force_login(me)
    client.post("/accounts/notifications/mail/", {"mail": ["approvals-due"]})
    me.refresh_from_db()
    assert me.mails_off == ["approvals-overdue", "digest", "dispute-due"]
    assert not told()
    page = client.get("/accounts/notifications/").content.decode()
    assert 'value="approvals-due" checked' in page
    assert 'value="digest" checked' not in page
    client.post("/accounts/notifications/mail/", {"mail": ["digest", "what-is-this"]})
    assert [mail.user for mail in told()] == [me]


def test_a_program_gets_none() -> None:
    note(make.user(service=True), "Never.")
    assert not told()


def test_any_number_of_people_takes_the_same_readings(django_assert_max_num_queries: object) -> None:
    for _person in range(5):
        note(make.user(), "News.")
    with django_assert_max_num_queries(4 + 2 + 5):  # type: ignore[operator]  # a savepoint, a promise for each
        assert promise_digests(at=AT) == 5
