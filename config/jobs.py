"""Jobs: long work in the background that is resumable, safe to deliver twice and safe to kill.

A kind of job registers one function, step(job, at). Each call does a bounded piece of work, moves job.cursor, job.done and
job.counts, and says whether there is more; all of that is one transaction under a lock on the job's row. A worker that is
killed leaves the last finished step behind it, and beat hands the rest to another one.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction

from config.celery import ask
from config.models import Job, JobState

log = logging.getLogger(__name__)

Step = Callable[[Job, datetime], bool]
LAST_ATTEMPT: Final = 5

_steps: dict[str, Step] = {}


def carries_out(kind: str) -> Callable[[Step], Step]:
    """Register the step of a kind of job: it answers True while there is more to do."""

    def register(step: Step) -> Step:
        _steps[kind] = step
        return step

    return register


def start(
    *, kind: str, title: str, parameters: Mapping[str, Any], by_id: int | None, at: datetime, unit: str = ""
) -> Job:
    """Write a job down and ask a worker for it after the commit. Belongs in the transaction that causes it, if there is one."""
    if kind not in _steps:
        raise LookupError(f"Nobody carries out {kind!r}.")
    job = Job.objects.create(
        kind=kind, title=title, parameters=dict(parameters), unit=unit, requested_by_id=by_id, requested_at=at
    )
    transaction.on_commit(lambda: _ask(job.pk), robust=True)
    return job


def cancel(*, job_id: int, at: datetime) -> Job:
    """Ask a job to stop after the present step; one that has not begun stops at once. What is done stays done."""
    with transaction.atomic():
        job = Job.objects.get(pk=job_id)
        if not job.finished:
            Job.objects.filter(pk=job_id, cancel_asked_at=None).update(cancel_asked_at=at)
            Job.objects.filter(pk=job_id, state=JobState.WAITING).update(
                state=JobState.CANCELLED, finished_at=at
            )
    return Job.objects.get(pk=job_id)


def work_off(*, job_id: int, now: Callable[[], datetime]) -> Job:
    """Do the steps of one job until it is finished. Two workers at the same job: the second leaves it to the first.

    A step that fails is rolled back and tried again by the next sweep; after the last attempt the job has failed and says why.
    """
    while step_once(job_id=job_id, at=now()):
        pass
    return Job.objects.get(pk=job_id)


def step_once(*, job_id: int, at: datetime) -> bool:
    """One step in one transaction. True while there is more to do for this worker."""
    try:
        with transaction.atomic():
            job = Job.objects.select_for_update(skip_locked=True, no_key=True).filter(pk=job_id).first()
            if job is None or job.finished:
                return False
            if job.cancel_asked_at is not None:
                job.state, job.finished_at = JobState.CANCELLED, at
                job.save(update_fields=["state", "finished_at"])
                return False
            if job.started_at is None:
                job.started_at = at
            job.state = JobState.RUNNING
            more = _steps[job.kind](job, at)
            job.attempts, job.error = 0, ""
            if not more:
                job.state, job.finished_at = JobState.DONE, at
            job.save()
            return more
    except Exception as failure:
        log.exception("Step of job %s failed", job_id)
        with transaction.atomic():
            job = Job.objects.select_for_update().get(pk=job_id)
            job.attempts += 1
            job.error = f"{type(failure).__name__}: {failure}"[:2000]
            if job.attempts >= LAST_ATTEMPT:
                job.state, job.finished_at = JobState.FAILED, at
            job.save(update_fields=["attempts", "error", "state", "finished_at"])
        return False


class Progress:
    """Tells how far a long step is, about twice a second, through a session of its own: its transaction has not ended yet.

    Where the job itself was written by the same transaction nobody could see it, and nothing is told.
    """

    EVERY: Final = 0.5

    def __init__(self, job: Job) -> None:
        self._job_id = job.pk
        self._next = 0.0
        self._session = None if connection.savepoint_ids else connections.create_connection(DEFAULT_DB_ALIAS)

    def tell(self, done: int, total: int | None) -> None:
        moment = time.monotonic()
        if self._session is None or moment < self._next:
            return
        self._next = moment + self.EVERY
        with self._session.cursor() as cursor:
            cursor.execute(
                "INSERT INTO platform_jobprogress (job_id, done, total) VALUES (%s, %s, %s)"
                " ON CONFLICT (job_id) DO UPDATE SET done = excluded.done, total = excluded.total",
                [self._job_id, done, total],
            )

    def close(self) -> None:
        if self._session is not None:
            self._session.close()


def count(job: Job, outcomes: Mapping[str, int]) -> None:
    """Add to the job's counts by name."""
    for name, number in outcomes.items():
        job.counts[name] = job.counts.get(name, 0) + number


def unfinished() -> list[int]:
    """What a sweep hands out: the oldest first."""
    return list(
        Job.objects.filter(state__in=[JobState.WAITING, JobState.RUNNING])
        .order_by("id")
        .values_list("id", flat=True)[:20]
    )


def _ask(job_id: int) -> None:
    ask("config.work_off_job", job_id)
