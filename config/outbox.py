"""The outbox: an asynchronous effect is a row, written in the transaction that causes it.

promise() writes the row and asks a worker for it after the commit. Should that message be lost (the filesystem broker
loses one when a worker is killed), beat sweeps what is still owed. A worker takes a lease, so two never carry out the
same effect at once, and the effect and its tick are one transaction, so it happens once.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import F, Q

from config.celery import ask
from config.models import OutboxMessage

Handler = Callable[[dict[str, Any], datetime], None]

LEASE = timedelta(minutes=5)
LONGEST_WAIT = timedelta(hours=1)
LAST_ATTEMPT = 8

_handlers: dict[str, Handler] = {}


def handles(topic: str) -> Callable[[Handler], Handler]:
    """Register the function that carries out a topic: handler(payload, at), inside a transaction, safe to run twice."""

    def register(handler: Handler) -> Handler:
        _handlers[topic] = handler
        return handler

    return register


def promise(*, topic: str, key: str, payload: dict[str, Any], at: datetime) -> None:
    """Owe an effect. Must be called in the transaction that causes it; the same key again changes nothing."""
    promise_each(topic=topic, payloads={key: payload}, at=at)


def promise_each(*, topic: str, payloads: Mapping[str, dict[str, Any]], at: datetime) -> None:
    """Owe one effect for each key, in one statement."""
    if not connection.in_atomic_block:
        raise RuntimeError("outbox.promise belongs in the transaction that causes the effect.")
    if topic not in _handlers:
        raise LookupError(f"Nobody handles {topic!r}.")
    OutboxMessage.objects.bulk_create(
        [
            OutboxMessage(topic=topic, key=key, payload=payload, created_at=at)
            for key, payload in payloads.items()
        ],
        ignore_conflicts=True,
    )
    transaction.on_commit(_ask_for_a_sweep, robust=True)


def _ask_for_a_sweep() -> None:
    ask("config.sweep_outbox")


def lease(*, at: datetime, limit: int = 100) -> list[int]:
    """Take up to *limit* owed messages for this worker; the longest owed first."""
    with transaction.atomic():
        due = list(
            OutboxMessage.objects.select_for_update(skip_locked=True)
            # A lease further ahead than any can reach is void: the demo's clock goes back at midnight.
            .filter(
                Q(leased_until=None) | Q(leased_until__lte=at) | Q(leased_until__gt=at + LONGEST_WAIT),
                done_at=None,
                failed_at=None,
            )
            .order_by("id")
            .values_list("id", flat=True)[:limit]
        )
        OutboxMessage.objects.filter(id__in=due).update(leased_until=at + LEASE, attempts=F("attempts") + 1)
    return due


def carry_out(*, message_id: int, at: datetime) -> bool:
    """Do one effect and tick it off in one transaction. False when it was done already or somebody else has it."""
    try:
        with transaction.atomic():
            message = (
                OutboxMessage.objects.select_for_update(skip_locked=True)
                .filter(id=message_id, done_at=None, failed_at=None)
                .first()
            )
            if message is None:
                return False
            _handlers[message.topic](message.payload, at)
            message.done_at = at
            message.last_error = ""
            message.save(update_fields=["done_at", "last_error"])
            return True
    except Exception as failure:
        message = OutboxMessage.objects.get(id=message_id)
        wait = min(timedelta(seconds=5 * 2**message.attempts), LONGEST_WAIT)
        OutboxMessage.objects.filter(id=message_id, done_at=None).update(
            last_error=f"{type(failure).__name__}: {failure}"[:2000],
            leased_until=at + wait,
            failed_at=at if message.attempts >= LAST_ATTEMPT else None,
        )
        raise
