"""Background work of the catalog. Tasks carry ids, and are safe to deliver twice."""

import logging
from collections.abc import Callable
from datetime import date, datetime

from celery import shared_task

from config import clock
from marketplace.services import change_sets, lifecycle, private_offers, webhooks

log = logging.getLogger(__name__)


@shared_task(name="marketplace.daily", acks_late=True)
def daily(**_newer: object) -> None:
    """What the day brings: sets that were approved for it, stages that begin, offers that expire.

    It runs every few minutes, so that a day missed is caught up with at once. Safe beside itself and safe to deliver twice:
    each part is a transaction of its own that finds nothing left to do.
    """
    at, on = clock.now(), clock.today()
    _in_peace(change_sets.apply_due, on=on, at=at)
    _in_peace(lifecycle.carry_out_due, on=on, at=at)
    _in_peace(private_offers.expire_due, on=on, at=at)


@shared_task(name="marketplace.deliver_webhooks", acks_late=True)
def deliver_webhooks(**_newer: object) -> None:
    """Send what is due. Safe beside itself: what one worker has taken, another passes over until its lease ends."""
    while webhooks.deliver_due(at=clock.now()):
        pass


@shared_task(name="marketplace.forget_deliveries", acks_late=True)
def forget_deliveries(**_newer: object) -> None:
    """The delivery log does not grow for ever."""
    webhooks.forget_old(at=clock.now())


def _in_peace(carry_out: Callable[..., object], *, on: date, at: datetime) -> None:
    """One part that fails must not keep the others from their day; the next run comes to it again."""
    try:
        carry_out(on=on, at=at)
    except Exception:
        log.exception("%s.%s failed", carry_out.__module__, carry_out.__name__)
