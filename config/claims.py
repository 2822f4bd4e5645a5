"""Work that is done once, however often it is asked for: whoever claims its key may do it, others see who has it or what came of it.

A key is claimed in a transaction of its own before the work, so that a second request sees it in flight. A claim whose
process died is void after LEASE.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from accounts.models import User
from config.models import IdempotencyRecord

LEASE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do one request's work."""

    record_id: int
    since: datetime


def claim(caller: User, key: str, digest: str, at: datetime) -> Claim | IdempotencyRecord:
    """The right to work; else the record of who has it or had it, for this request or, by its digest, another one. At most 4 queries."""
    record, new = IdempotencyRecord.objects.get_or_create(
        caller=caller, key=key, defaults={"request_digest": digest, "created_at": at}
    )
    if new:
        return Claim(record.pk, at)
    if record.status is not None or record.request_digest != digest:
        return record
    # A claim from the future is void too: the demo's clock goes back at midnight.
    void = abs(at - record.created_at) >= LEASE
    if void and in_flight(Claim(record.pk, record.created_at)).update(created_at=at):
        return Claim(record.pk, at)
    return record


def in_flight(mine: Claim) -> QuerySet[IdempotencyRecord]:
    """The record of a claim, as long as nobody took it over and nothing is remembered."""
    return IdempotencyRecord.objects.filter(id=mine.record_id, created_at=mine.since, status=None)


def release(mine: Claim) -> None:
    """Let go of the key: the same request may well be done when it comes again."""
    in_flight(mine).delete()
