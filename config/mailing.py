"""Mail: promised in the transaction that causes it, sent by a worker, never twice to one person under one key.

promise_mail() owes the mail through the outbox. Its handler addresses it: one row for each person, unique by person and key,
written in the language, locale and zone of that person: what is said, and every figure in it, is promised as data.
Sending takes one row at a time: it is marked as begun and committed before the server is spoken to, so a worker that is killed
in between leaves a mail that is perhaps not sent, and never one that is sent again. A server that cannot be reached, or says
no, is tried again, later and later; one that falls silent when it has the mail may have taken it, and is not.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from smtplib import SMTPException, SMTPServerDisconnected
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F, Q

from accounts.models import User
from config import formats, locales, outbox
from config.celery import ask
from config.language import _, marked, ngettext, spoken
from config.models import Mail

log = logging.getLogger(__name__)

TOPIC: Final = "mail"
SUBJECT: Final = 200
LAST_ATTEMPT: Final = 8
LONGEST_WAIT: Final = timedelta(hours=2)
TOO_OLD: Final = timedelta(days=2)  # a mail that nothing took until then is news to nobody
OPTIONAL: Final = {
    "digest": marked("What I have not read yet, once a business day"),
    "approvals-due": marked("Deals that wait for me"),
    "approvals-overdue": marked("Deals that wait too long below me"),
    "dispute-due": marked("Disputes that I have to answer"),
}
"""Kinds that a person may switch off, and how they are called. All others concern what has to be known."""
BEGINS, ENDS = "\ue000", "\ue001"  # round what is written when it is known who reads it
_FIGURE: Final = re.compile(f"{BEGINS}([^{BEGINS}{ENDS}]*){ENDS}")
WHY: Final = marked("You get this mail because it concerns your work in Parity.")


def promise_mail(
    *,
    key: str,
    to: Iterable[int],
    subject: str,
    text: str,
    at: datetime,
    link: str = "",
    why: str = WHY,
) -> None:
    """Owe a mail to some users. Must be called in the transaction that causes it; the same key again reaches only those whom it has not.

    key      What it is about, its kind first: approvals-wait:2026-08-14.
    to       Ids of users. Services, and people who may not log in any more, get none.
    subject  One line; what would break it is taken out. Like the text said by say(), say_many(), amount(), day() and moment(),
             which are written for each reader's eyes; what is recorded beside it is in_english().
    text     Plain text, without greeting and footer.
    link     A path of ours to look at, such as /quotas/approvals/.
    why      Why one gets it: a marked sentence of its own at the end.
    """
    people = sorted(set(to))
    if not people:
        return
    payload: dict[str, Any] = {
        "key": key,
        "to": people,
        "subject": _unbroken(subject),
        "text": text.strip(),
        "link": link,
        "why": why,
    }
    named = hashlib.sha256(repr((key, people)).encode()).hexdigest()
    outbox.promise(topic=TOPIC, key=f"mail:{named}", payload=payload, at=at)


def say(message: str, **values: object) -> str:
    """A message with its values in a text that several people get, each in the own language. Whole numbers are grouped, texts stay."""
    return _figure("say", message, values)


def say_many(singular: str, plural: str, number: int, **values: object) -> str:
    """The same where the form depends on a number, which is a value of that name too."""
    return _figure("many", singular, plural, number, values)


def amount(minor: int, code: str, exponent: int) -> str:
    """An amount in such a text: each reads it in the own way."""
    return _figure("amount", minor, code, exponent)


def day(on: date) -> str:
    """A business day in such a text."""
    return _figure("day", on.isoformat())


def moment(at: datetime) -> str:
    """A time in such a text: each reads it on the own clock."""
    return _figure("moment", at.isoformat())


def _figure(*parts: object) -> str:
    """Figures within figures are escaped by JSON, so that the outermost ends where it ends."""
    return f"{BEGINS}{json.dumps(parts)}{ENDS}"


def written(text: str) -> str:
    """The text as whoever reads it now reads it."""

    def figure(match: re.Match[str]) -> str:
        try:
            return _write(*json.loads(match[1]))
        except (ValueError, TypeError, LookupError):  # somebody's own text that happens to hold the marks
            return match[1]

    return _FIGURE.sub(figure, text)


def in_english(text: str) -> str:
    """The text as a record has it."""
    with locales.house():
        return written(text)


def _write(kind: str, *parts: Any) -> str:
    match kind:
        case "say":
            message, values = parts
            return spoken(message) % _values(values)
        case "many":
            singular, plural, number, values = parts
            return ngettext(singular, plural, number) % _values({"number": number, **values})
        case "amount":
            return formats.money(*parts)
        case "day":
            return formats.day(date.fromisoformat(parts[0]))
        case _:
            return formats.moment_short(datetime.fromisoformat(parts[0]))


def _values(values: dict[str, Any]) -> dict[str, str]:
    return {
        name: formats.whole(value) if isinstance(value, int) else written(value)
        for name, value in values.items()
    }


def one_line(subject: str) -> str:
    """Without line breaks or other control characters: a header that is one line cannot be made into two."""
    return _unbroken(subject)[:SUBJECT]


def _unbroken(subject: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", subject).split())


def wants(user: User, kind: str) -> bool:
    """Whether a person gets mails of a kind (the first word of their key)."""
    switched_off = kind in OPTIONAL and kind in user.mails_off
    return bool(user.is_active and not user.is_service and kind) and not switched_off


def kind_of(key: str) -> str:
    """What a mail is about, in one word."""
    return key.partition(":")[0]


def absolute(path: str) -> str:
    """The address of one of our pages as it stands in a mail."""
    return f"{settings.SITE_URL}{path}" if path else ""


@outbox.handles(TOPIC)
def address(payload: dict[str, Any], at: datetime) -> None:
    """One mail for each person who wants it. 2 statements."""
    kind = kind_of(payload["key"])
    link, why = payload.get("link", ""), payload.get("why", WHY)

    def written_for(user: User) -> Mail:
        with locales.read_by(user):
            return Mail(
                user=user,
                key=payload["key"],
                subject=one_line(written(payload["subject"])),
                text=body(written(payload["text"]), link=link, why=spoken(why)),
                created_at=at,
            )

    people = [user for user in User.objects.filter(pk__in=payload["to"]).order_by("pk") if wants(user, kind)]
    Mail.objects.bulk_create([written_for(user) for user in people], ignore_conflicts=True)
    transaction.on_commit(_ask_for_a_round, robust=True)


def body(text: str, *, link: str, why: str) -> str:
    """The whole of a mail: what it says, where to look, whose Parity it is, why one gets it."""
    parts = [
        text,
        absolute(link),
        "-- \n"
        + _("Parity at %(operator)s · %(address)s")
        % {"operator": settings.OPERATOR["name"], "address": f"{settings.SITE_URL}/"}
        + f"\n{why}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def on() -> bool:
    """Whether mails go anywhere: to a server, or in the demo into files. Without either they wait until they are too old."""
    return bool(settings.EMAIL_HOST) or bool(settings.DEMO_MODE)


def send_due(*, at: datetime, limit: int = 100) -> int:
    """Send up to *limit* mails that are due, the oldest first; returns how many were tried. Never within a transaction."""
    if not on():
        return 0
    _give_up_the_old(at)
    tried = 0
    for pk in _due(at, limit):
        mail = _begin(pk, at)
        if mail is not None:
            tried += 1
            _send(mail, at)
    return tried


def _due(at: datetime, limit: int) -> list[int]:
    """Neither sent nor begun, and not to wait; a wait further ahead than any can be is void, as the demo's clock goes back at midnight."""
    return list(
        Mail.objects.filter(
            Q(not_before=None) | Q(not_before__lte=at) | Q(not_before__gt=at + LONGEST_WAIT),
            begun_at=None,
            sent_at=None,
            failed_at=None,
        )
        .order_by("pk")
        .values_list("pk", flat=True)[:limit]
    )


@transaction.atomic(durable=True)
def _begin(pk: int, at: datetime) -> Mail | None:
    """Take a mail for this worker, committed before its server hears of it; None where another worker was first."""
    begun = Mail.objects.filter(pk=pk, begun_at=None, sent_at=None, failed_at=None).update(
        begun_at=at, attempts=F("attempts") + 1
    )
    return Mail.objects.select_related("user").get(pk=pk) if begun else None


def _give_up_the_old(at: datetime) -> None:
    open_ = Mail.objects.filter(sent_at=None, failed_at=None)
    open_.filter(begun_at=None, created_at__lt=at - TOO_OLD).update(
        failed_at=at, last_error="Nothing took it for two days."
    )
    open_.filter(begun_at__lt=at - LONGEST_WAIT).update(
        failed_at=at, last_error="Its worker ended while it was sent: it is not sent again."
    )


def _send(mail: Mail, at: datetime) -> None:
    if not wants(mail.user, kind_of(mail.key)):  # left, or switched it off, since it was addressed
        Mail.objects.filter(pk=mail.pk).update(failed_at=at, last_error="Not wanted any more.")
        return
    reached = False
    try:
        server = get_connection()
        server.open()
        reached = True
        _message(mail, server).send()
    except Exception as failure:  # whatever a server does; the mail's row says it
        log.warning("mail %s to user %s: %s", mail.key, mail.user_id, failure)
        again = (not reached or isinstance(failure, SMTPException)) and not isinstance(
            failure, SMTPServerDisconnected
        )
        Mail.objects.filter(pk=mail.pk).update(
            begun_at=None if again else at,
            not_before=at + min(timedelta(seconds=30 * 2**mail.attempts), LONGEST_WAIT),
            failed_at=None if again and mail.attempts < LAST_ATTEMPT else at,
            last_error=f"{type(failure).__name__}: {failure}"[:2000],
        )
        return
    Mail.objects.filter(pk=mail.pk).update(sent_at=at, last_error="")
    with suppress(Exception):  # it is sent, whatever becomes of the connection
        server.close()


def _message(mail: Mail, server: BaseEmailBackend) -> EmailMessage:
    """The same mail has the same Message-ID, so that a mailbox recognises what a server relayed twice."""
    named = hashlib.sha256(f"{mail.key}\n{mail.user_id}".encode()).hexdigest()[:32]
    host = urlsplit(settings.SITE_URL).hostname or "localhost"
    return EmailMessage(
        subject=one_line(f"[Parity] {mail.subject}"),
        body=mail.text,
        to=[mail.user.email],
        connection=server,
        headers={
            "Message-ID": f"<{named}@{host}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
        },
    )


def _ask_for_a_round() -> None:
    ask("config.send_mails")


@checks.register(checks.Tags.security, deploy=True)
def mail_goes_somewhere(app_configs: Any, **_newer: Any) -> Sequence[checks.CheckMessage]:
    """A production without a mail server says so: reminders and the digests of closes would reach nobody."""
    if on():
        return []
    return [
        checks.Warning(
            "No mail server is set: reminders, escalations and the digests of closes reach nobody by mail.",
            hint="Set EMAIL_HOST, and EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD and EMAIL_USE_TLS as it needs them.",
            id="config.W001",
        )
    ]
