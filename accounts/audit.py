"""Tells the audit trail's triggers who is acting, when and why."""

from datetime import datetime

from django.db import connection

from accounts.models import User
from config.middleware import current_request_id


def acting(*, by: User | None, at: datetime, reason: str = "") -> None:
    """Name the actor for the rest of this transaction. Every service calls it first; outside a transaction it would be lost."""
    if not connection.in_atomic_block:
        raise RuntimeError("audit.acting needs a transaction: the trail would not know who it was.")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('parity.actor', %s, true), set_config('parity.at', %s, true),"
            " set_config('parity.reason', %s, true), set_config('parity.request', %s, true)",
            [str(by.pk) if by else "", at.isoformat(), reason, current_request_id()],
        )
