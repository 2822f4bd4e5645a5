"""Background work that no app owns: the outbox, jobs, and sweeping out what nobody needs any more."""

import logging
from datetime import timedelta
from typing import Final

from celery import shared_task
from django.contrib.sessions.models import Session
from django.db.models import Q

from config import clock, job_files, jobs, mailing, outbox
from config.models import IdempotencyRecord, Mail, OutboxMessage

ANSWERS_KEPT: Final = timedelta(hours=24)
EFFECTS_KEPT: Final = timedelta(days=30)
FILES_KEPT: Final = timedelta(days=7)  # that jobs made
BATCH: Final = 100

log = logging.getLogger(__name__)


@shared_task(name="config.sweep_outbox", acks_late=True)
def sweep_outbox(**_newer: object) -> None:
    """Carry out what is owed. Safe beside itself: a message is leased, and its effect and its tick are one transaction."""
    while message_ids := outbox.lease(at=clock.now(), limit=BATCH):
        for message_id in message_ids:
            try:
                outbox.carry_out(message_id=message_id, at=clock.now())
            except (
                Exception
            ):  # one effect that fails must not hold up the others; the outbox notes it and tries again
                log.exception("Outbox message %s failed", message_id)


@shared_task(name="config.send_mails", acks_late=True)
def send_mails(**_newer: object) -> None:
    """Send what is due. Safe beside itself: whoever begins a mail sends it."""
    while mailing.send_due(at=clock.now(), limit=BATCH) == BATCH:
        pass


@shared_task(name="config.work_off_job", acks_late=True)
def work_off_job(job_id: int, **_newer: object) -> None:
    """Do the steps of one job. Safe to deliver twice: the second worker finds its row locked and leaves it."""
    jobs.work_off(job_id=job_id, now=clock.now)


@shared_task(name="config.sweep_jobs", acks_late=True)
def sweep_jobs(**_newer: object) -> None:
    """Go on with jobs whose worker or message was lost, or whose step failed."""
    for job_id in jobs.unfinished():
        jobs.work_off(job_id=job_id, now=clock.now)


@shared_task(name="config.tidy", acks_late=True)
def tidy(**_newer: object) -> None:
    """Forget old answers, effects done long ago, what old mails said and sessions that ended. Given-up effects stay for a person to see."""
    at = clock.now()
    IdempotencyRecord.objects.filter(created_at__lt=at - ANSWERS_KEPT).delete()
    OutboxMessage.objects.filter(done_at__lt=at - EFFECTS_KEPT).delete()
    Mail.objects.filter(created_at__lt=at - EFFECTS_KEPT).exclude(text="").update(text="")
    Session.objects.filter(Q(expire_date__lt=at)).delete()
    job_files.forget(before=at - FILES_KEPT)
