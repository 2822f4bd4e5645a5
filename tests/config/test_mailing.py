"""Mail: promised once, sent once, whatever the server or a worker does in between."""

import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends import locmem
from django.db import transaction

from config import mailing, outbox
from config.models import Mail, OutboxMessage
from tests import make
from tests.make import AT

pytestmark = pytest.mark.django_db


def promise(*people: int, key: str = "test:1", at: Any = AT, **more: Any) -> None:
    with transaction.atomic():
        mailing.promise_mail(
            key=key, to=people, subject=more.pop("subject", "Deals wait"), text="Two of them.", at=at, **more
        )
    for message in outbox.lease(at=at):
        outbox.carry_out(message_id=message, at=at)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Failures that the mail server answers with, the first one first; then it takes what comes."""
    failures: list[Exception] = []
    taken = locmem.EmailBackend.send_messages

    def send(self: locmem.EmailBackend, messages: Any) -> int:
        if failures:
            raise failures.pop(0)
        return taken(self, messages)

    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send)
    return failures


def test_a_mail_says_whose_parity_it_is_where_to_look_and_why() -> None:
    mia = make.user(email="mia@demo.example")
    promise(mia.pk, link="/quotas/approvals/", why="You get this because you approve deals.")
    assert mailing.send_due(at=AT) == 1
    (sent,) = mail.outbox
    assert (sent.to, sent.subject) == (["mia@demo.example"], "[Parity] Deals wait")
    assert sent.body == (
        "Two of them.\n\nhttp://localhost:8000/quotas/approvals/\n\n"
        "-- \nParity at Microsoft · http://localhost:8000/\nYou get this because you approve deals.\n"
    )
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"


def test_the_same_key_reaches_the_same_person_once_and_another_one_still() -> None:
    mia, ben = make.user(), make.user()
    promise(mia.pk)
    promise(mia.pk, at=AT + timedelta(days=1))
    promise(mia.pk, ben.pk)
    mailing.send_due(at=AT)
    mailing.send_due(at=AT)
    assert sorted(to for sent in mail.outbox for to in sent.to) == sorted([mia.email, ben.email])
    promise(mia.pk, key="test:2")
    mailing.send_due(at=AT)
    assert len(mail.outbox) == 3
    assert len({sent.extra_headers["Message-ID"] for sent in mail.outbox}) == 3


def test_services_and_people_who_left_get_none() -> None:
    gone, left = make.user(), make.user()
    gone.is_active = False
    gone.save()
    promise(make.user(service=True).pk, gone.pk, left.pk)
    assert list(Mail.objects.values_list("user", flat=True)) == [left.pk]
    left.is_active = False
    left.save()
    mailing.send_due(at=AT)
    assert mail.outbox == []
    promise()
    assert OutboxMessage.objects.count() == 1


def test_a_subject_cannot_become_another_header() -> None:
    promise(make.user().pk, subject="Hello\r\nBcc: everybody@demo.example\x00\u2028 you")
    mailing.send_due(at=AT)
    (sent,) = mail.outbox
    assert sent.subject == "[Parity] Hello Bcc: everybody@demo.example you"
    assert sent.message().get("Bcc") is None


def test_a_server_that_says_no_is_asked_again_later(server: list[Exception]) -> None:
    promise(make.user().pk)
    server += [smtplib.SMTPResponseException(451, b"Not now")]
    mailing.send_due(at=AT)
    assert mail.outbox == []
    mailing.send_due(at=AT + timedelta(seconds=30))  # not yet
    assert mail.outbox == []
    mailing.send_due(at=AT + timedelta(minutes=2))
    assert len(mail.outbox) == 1
    assert Mail.objects.get().last_error == ""


def test_a_server_that_never_takes_it_is_given_up(server: list[Exception]) -> None:
    promise(make.user().pk)
    server += [smtplib.SMTPResponseException(550, b"No such mailbox")] * 20
    for hour in range(0, 48, 3):
        mailing.send_due(at=AT + timedelta(hours=hour))
    row = Mail.objects.get()
    assert (row.attempts, len(server)) == (8, 12)
    assert row.failed_at is not None
    assert "No such mailbox" in row.last_error


def test_a_mail_that_may_have_gone_is_never_sent_again(server: list[Exception]) -> None:
    promise(make.user().pk)
    server += [TimeoutError("no answer to the whole mail")]
    for hours in (0, 1, 3, 30):
        mailing.send_due(at=AT + timedelta(hours=hours))
    assert mail.outbox == []
    # A worker that was killed between beginning and noting the end leaves this behind.
    promise(make.user().pk, key="test:2")
    Mail.objects.filter(key="test:2").update(begun_at=AT)
    for hours in (0, 1, 3, 30):
        mailing.send_due(at=AT + timedelta(hours=hours))
    assert mail.outbox == []
    assert [row.failed_at is not None for row in Mail.objects.all()] == [True, True]


def test_what_nothing_took_for_two_days_is_not_sent_as_news(settings: Any) -> None:
    settings.DEMO_MODE = False
    promise(make.user().pk)
    assert mailing.send_due(at=AT) == 0
    (warned,) = mailing.mail_goes_somewhere(None)
    assert warned.id == "config.W001"
    settings.EMAIL_HOST = "mail.demo.example"
    assert mailing.mail_goes_somewhere(None) == []
    mailing.send_due(at=AT + timedelta(days=3))
    assert mail.outbox == []
    assert Mail.objects.get().failed_at is not None


@pytest.mark.django_db(transaction=True)
def test_a_cause_that_is_undone_sends_nothing_and_sending_has_no_transaction_round_it() -> None:
    mia = make.user()

    def undone() -> None:
        with transaction.atomic():
            mailing.promise_mail(key="test:1", to=[mia.pk], subject="x", text="x", at=AT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert not OutboxMessage.objects.exists()
    promise(mia.pk)
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        mailing.send_due(at=AT)
    assert mail.outbox == []
    mailing.send_due(at=AT)
    assert len(mail.outbox) == 1
