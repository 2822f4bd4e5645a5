"""Jobs: step by step, each step once; who may look at one and stop it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from rest_framework.test import APIClient

from accounts.models import Role, User
from config import jobs
from config.models import Job, JobState
from config.tasks import sweep_jobs, work_off_job
from marketplace.models import Customer
from tests import make
from tests.quotas.api import client, problems

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
KIND = "test.countdown"


@pytest.fixture(autouse=True)
def countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of job that counts down from parameters.of and fails at parameters.fails."""

    def step(job: Job, at: datetime) -> bool:
        job.total = job.parameters["of"]
        make.customer()  # something that the step writes
        jobs.count(job, {"counted": 1})
        job.done += 1
        if job.done == job.parameters.get("fails"):
            raise RuntimeError("the third wheel")
        return bool(job.done < job.parameters["of"])

    monkeypatch.setitem(jobs._steps, KIND, step)


def start(of: int = 3, by: User | None = None, **parameters: Any) -> Job:
    return jobs.start(
        kind=KIND, title="Count down", parameters={"of": of, **parameters}, by_id=by.pk if by else None, at=AT
    )


def work_off(job: Job, at: datetime = AT) -> Job:
    return jobs.work_off(job_id=job.pk, now=lambda: at)


def test_each_step_moves_the_job_on_until_it_is_done() -> None:
    job = start()
    assert (job.state, job.total, job.done) == (JobState.WAITING, None, 0)
    assert jobs.step_once(job_id=job.pk, at=AT)
    job.refresh_from_db()
    assert (job.state, job.total, job.done, job.started_at) == (JobState.RUNNING, 3, 1, AT)
    later = AT + timedelta(minutes=1)
    job = work_off(job, later)
    assert (job.state, job.done, job.counts, job.finished_at) == (JobState.DONE, 3, {"counted": 3}, later)
    assert not jobs.step_once(job_id=job.pk, at=AT)
    job.refresh_from_db()
    assert job.done == 3


def test_a_step_that_fails_leaves_nothing_behind_and_is_tried_five_times() -> None:
    job = start(fails=2)
    before = Customer.objects.count()
    for attempt in (1, 2, 3, 4):
        job = work_off(job)
        assert (job.state, job.done, job.attempts) == (JobState.RUNNING, 1, attempt)
        assert job.error == "RuntimeError: the third wheel"
    job = work_off(job)
    assert (job.state, job.attempts, job.finished_at) == (JobState.FAILED, 5, AT)
    assert job.counts == {"counted": 1}
    assert Customer.objects.count() == before + 1
    assert job.pk not in jobs.unfinished()


def test_a_failure_is_forgotten_once_the_step_works(monkeypatch: pytest.MonkeyPatch) -> None:
    job = start(fails=2)
    work_off(job)
    Job.objects.filter(pk=job.pk).update(parameters={"of": 3})
    job = work_off(job)
    assert (job.state, job.attempts, job.error, job.done) == (JobState.DONE, 0, "", 3)


def test_a_job_that_waits_is_cancelled_at_once_and_one_that_runs_after_its_step() -> None:
    waiting, running = start(), start()
    jobs.step_once(job_id=running.pk, at=AT)
    assert jobs.cancel(job_id=waiting.pk, at=AT).state == JobState.CANCELLED
    asked = jobs.cancel(job_id=running.pk, at=AT)
    assert (asked.state, asked.cancel_asked_at) == (JobState.RUNNING, AT)
    stopped = work_off(running)
    assert (stopped.state, stopped.done, stopped.finished_at) == (JobState.CANCELLED, 1, AT)
    done = work_off(start())
    assert jobs.cancel(job_id=done.pk, at=AT).state == JobState.DONE


def test_beat_hands_out_what_is_not_finished_and_nothing_else() -> None:
    first, second = start(), start()
    jobs.cancel(job_id=first.pk, at=AT)
    assert jobs.unfinished() == [second.pk]
    sweep_jobs()
    second.refresh_from_db()
    assert second.state == JobState.DONE
    work_off_job(second.pk, something_newer=1)
    second.refresh_from_db()
    assert second.done == 3


def test_a_kind_that_nobody_carries_out_is_refused() -> None:
    with pytest.raises(LookupError):
        jobs.start(kind="test.nobody", title="", parameters={}, by_id=None, at=AT)
    assert Job.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_job_that_a_transaction_started_vanishes_with_it_and_a_worker_is_asked_after_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(jobs, "_ask", asked.append)
    with transaction.atomic():
        start()
        transaction.set_rollback(True)
    assert (Job.objects.count(), asked) == (0, [])
    with transaction.atomic():
        job = start()
        assert asked == []
    assert asked == [job.pk]


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_one_job_do_each_step_once() -> None:
    job = start(of=20)
    seen = []

    def work() -> None:
        try:
            while not Job.objects.get(pk=job.pk).finished:
                work_off(job)
            seen.append("done")
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == ["done"] * 4
    job.refresh_from_db()
    assert (job.done, job.counts) == (20, {"counted": 20})
    assert Customer.objects.count() == 20


@pytest.mark.django_db(transaction=True)
def test_cancelling_beside_a_worker_stops_it_without_a_lost_step() -> None:
    job = start(of=10_000)

    def work() -> None:
        try:
            while not Job.objects.get(pk=job.pk).finished:
                work_off(job)
        finally:
            connections.close_all()

    def step_on() -> None:
        try:
            while Job.objects.get(pk=job.pk).done < 5:
                pass
            jobs.cancel(job_id=job.pk, at=AT)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work), threading.Thread(target=step_on)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert 5 <= job.done < 10_000
    assert job.counts == {"counted": job.done}
    assert Customer.objects.count() == job.done


# REST.


def test_a_job_is_seen_by_who_asked_for_it_and_by_those_who_watch_over_it() -> None:
    asker = make.user(role=Role.REP)
    job = start(by=asker)
    admin, auditor = make.user(role=Role.COMP_ADMIN), make.user(role=Role.AUDITOR)
    where = f"/api/v1/jobs/{job.pk}/"
    for who in (asker, admin, auditor):
        answer = client(who).get(where)
        assert answer.status_code == 200, answer.content
        body = answer.json()
        assert (body["id"], body["state"], body["done"], body["total"]) == (job.pk, "waiting", 0, None)
        assert body["requested_by"] == asker.name
        assert answer["ETag"]
    for who in (make.user(role=Role.REP), make.user(role=Role.MANAGER), make.user(role=Role.PARTNER)):
        assert client(who).get(where).status_code == 404
        assert client(who).post(f"{where}cancel/").status_code == 404
    assert APIClient().get(where).status_code == 401
    jobs.step_once(job_id=job.pk, at=AT)
    assert client(asker).get(where).json()["counts"] == {"counted": 1}


def test_a_job_is_stopped_by_who_asked_for_it_and_by_comp_admins_and_only_while_it_goes_on() -> None:
    asker = make.user(role=Role.REP)
    first, second = start(by=asker), start(by=asker)
    refused = client(make.user(role=Role.AUDITOR)).post(f"/api/v1/jobs/{first.pk}/cancel/")
    assert (refused.status_code, problems(refused)[0][0]) == (403, "not_your_job")
    stopped = client(asker).post(f"/api/v1/jobs/{first.pk}/cancel/")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "cancelled")
    again = client(asker).post(f"/api/v1/jobs/{first.pk}/cancel/")
    assert (again.status_code, problems(again)[0][0]) == (409, "job_finished")
    stale = client(asker).post(f"/api/v1/jobs/{second.pk}/cancel/", headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    second.refresh_from_db()
    assert second.cancel_asked_at is None
    assert (
        client(make.user(role=Role.COMP_ADMIN)).post(f"/api/v1/jobs/{second.pk}/cancel/").status_code == 200
    )
