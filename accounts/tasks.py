"""Background work about people."""

from zoneinfo import ZoneInfo

from celery import shared_task
from django.conf import settings

from accounts.digests import promise_digests
from config import clock


@shared_task(name="accounts.mail_digests", acks_late=True)
def mail_digests(**_newer: object) -> None:
    """What nobody has read, once a business day. It is asked for every quarter of an hour, so that a morning missed is caught up with."""
    at = clock.now()
    if at.astimezone(ZoneInfo(settings.TIME_ZONE)).hour >= settings.DIGEST_HOUR:
        promise_digests(at=at)
