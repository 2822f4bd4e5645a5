"""The outbox: owed once, carried out once, whatever dies in between."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django.conf import settings
from django.db import connection, transaction

from accounts.handlers import NOTIFY
from accounts.models import Notification, User
from config import celery, clock, outbox, tasks
from config.celery import app
from config.models import IdempotencyRecord, OutboxMessage
from tests import make

AT = datetime(2026, 8, 14, 9, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.fixture
def handler() -> Iterator[list[Any]]:
    """A topic "test.note" that notes what it carries out; replace its behaviour through outbox._handlers."""
    done: list[Any] = []
    outbox.handles("test.note")(lambda payload, at: done.append((payload, at)))
    yield done
    del outbox._handlers["test.note"]


def owe(key: str = "k", topic: str = "test.note", payload: dict[str, Any] | None = None) -> None:
    with transaction.atomic():
        outbox.promise(topic=topic, key=key, payload=payload or {}, at=AT)


def sweep_once(at: datetime) -> None:
    for message_id in outbox.lease(at=at):
        outbox.carry_out(message_id=message_id, at=at)


def test_an_effect_is_carried_out_once(handler: list[Any]) -> None:
    owe(payload={"id": 7})
    owe(payload={"id": 7})
    sweep_once(AT)
    sweep_once(AT + timedelta(days=1))
    assert handler == [({"id": 7}, AT)]
    assert OutboxMessage.objects.get().done_at == AT


@pytest.mark.django_db(transaction=True)
def test_a_promise_outside_a_transaction_is_refused(handler: list[Any]) -> None:
    with pytest.raises(RuntimeError, match="belongs in the transaction"):
        outbox.promise(topic="test.note", key="k", payload={}, at=AT)
    assert not OutboxMessage.objects.exists()


def test_a_topic_that_nobody_handles_is_refused_when_it_is_promised() -> None:
    with pytest.raises(LookupError, match="nobody\\.knows"):
        owe(topic="nobody.knows")
    assert not OutboxMessage.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_cause_that_is_undone_owes_nothing(handler: list[Any]) -> None:
    def undone() -> None:
        with transaction.atomic():
            outbox.promise(topic="test.note", key="k", payload={}, at=AT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        undone()
    assert not OutboxMessage.objects.exists()


def test_what_is_done_is_not_done_again_by_a_late_worker(handler: list[Any]) -> None:
    owe()
    (message_id,) = outbox.lease(at=AT)
    assert outbox.carry_out(message_id=message_id, at=AT)
    assert not outbox.carry_out(message_id=message_id, at=AT + timedelta(hours=1))
    assert len(handler) == 1


def test_a_worker_killed_after_its_lease_is_replaced_when_the_lease_ends(handler: list[Any]) -> None:
    owe()
    assert len(outbox.lease(at=AT)) == 1  # and then its process is killed
    sweep_once(AT + timedelta(minutes=4))
    assert handler == []
    sweep_once(AT + timedelta(minutes=5))
    sweep_once(AT + timedelta(minutes=20))
    assert len(handler) == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_in_the_middle_leaves_no_half_effect(handler: list[Any]) -> None:
    """Its connection breaks between the effect and the tick: both are gone, and the next sweep does both."""
    person = make.user()

    def notify_then_die(payload: dict[str, Any], at: datetime) -> None:
        Notification.objects.create(user=person, key="half", text="x", created_at=at)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (pid,) = cursor.fetchone()
        killer(pid)
        Notification.objects.count()

    outbox._handlers["test.note"] = notify_then_die
    owe()
    message_ids = outbox.lease(at=AT)
    with pytest.raises(Exception, match=r"terminat|closed"):
        outbox.carry_out(message_id=message_ids[0], at=AT)
    connection.close()
    assert not Notification.objects.exists()
    outbox._handlers["test.note"] = lambda payload, at: Notification.objects.create(  # type: ignore[assignment]
        user=person, key="half", text="x", created_at=at
    )
    sweep_once(AT + timedelta(hours=1))
    sweep_once(AT + timedelta(hours=2))
    assert Notification.objects.count() == 1


def killer(pid: int) -> None:
    """Ends one connection from another one, as a crash would."""
    done = threading.Event()

    def kill() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        connection.close()
        done.set()

    threading.Thread(target=kill).start()
    assert done.wait(10)


@pytest.mark.django_db(transaction=True)
def test_the_same_message_delivered_to_two_workers_at_once_is_done_by_one(handler: list[Any]) -> None:
    person = make.user()
    inside, second_is_back = threading.Event(), threading.Event()

    def slow(payload: dict[str, Any], at: datetime) -> None:
        Notification.objects.create(
            user=person, key=f"by {threading.current_thread().name}", text="x", created_at=at
        )
        inside.set()
        assert second_is_back.wait(20)

    outbox._handlers["test.note"] = slow
    owe()
    (message_id,) = outbox.lease(at=AT)
    outcomes: dict[str, bool] = {}

    def work(name: str) -> None:
        try:
            outcomes[name] = outbox.carry_out(message_id=message_id, at=AT)
        finally:
            connection.close()

    first = threading.Thread(target=work, args=("first",), name="first")
    first.start()
    assert inside.wait(20)
    second = threading.Thread(target=work, args=("second",), name="second")
    second.start()
    second.join(20)
    second_is_back.set()
    first.join(20)
    assert outcomes == {"first": True, "second": False}
    assert [n.key for n in Notification.objects.all()] == ["by first"]


@pytest.mark.django_db(transaction=True)
def test_sweeps_on_many_workers_do_each_effect_once(handler: list[Any]) -> None:
    person = make.user()
    for number in range(24):
        owe(
            key=f"k{number}",
            topic=NOTIFY,
            payload={"user_ids": [person.pk], "key": f"n{number}", "text": "x"},
        )
    OutboxMessage.objects.update(attempts=0)

    def work() -> None:
        try:
            tasks.sweep_outbox()
        finally:
            connection.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert Notification.objects.count() == 24
    assert set(OutboxMessage.objects.values_list("attempts", flat=True)) == {1}
    assert not OutboxMessage.objects.filter(done_at=None).exists()


def test_an_effect_that_fails_is_undone_noted_and_tried_later(handler: list[Any]) -> None:
    person = make.user()

    def fail(payload: dict[str, Any], at: datetime) -> None:
        Notification.objects.create(user=person, key="half", text="x", created_at=at)
        raise ZeroDivisionError("nothing to divide")

    outbox._handlers["test.note"] = fail
    owe()
    with pytest.raises(ZeroDivisionError):
        sweep_once(AT)
    message = OutboxMessage.objects.get()
    assert message.last_error == "ZeroDivisionError: nothing to divide"
    assert (message.done_at, message.failed_at, message.leased_until) == (
        None,
        None,
        AT + timedelta(seconds=10),
    )
    assert not Notification.objects.exists()
    assert outbox.lease(at=AT + timedelta(seconds=9)) == []
    assert outbox.lease(at=AT + timedelta(seconds=10)) == [message.pk]


def test_after_the_last_attempt_it_is_given_up_and_kept_for_a_person(handler: list[Any]) -> None:
    def fail(payload: dict[str, Any], at: datetime) -> None:
        raise ZeroDivisionError

    outbox._handlers["test.note"] = fail
    owe()
    at, attempts = AT, 0
    while outbox.lease(at=at):
        attempts += 1
        with pytest.raises(ZeroDivisionError):
            outbox.carry_out(message_id=OutboxMessage.objects.get().pk, at=at)
        at += timedelta(hours=1)
    assert attempts == outbox.LAST_ATTEMPT
    assert OutboxMessage.objects.get().failed_at is not None


def test_a_lease_from_before_the_demos_midnight_is_void(handler: list[Any]) -> None:
    """The demo's clock goes back 24 hours at midnight: what was leased at 23:58 would be owed for ever."""
    owe()
    outbox.lease(at=AT + timedelta(hours=14, minutes=58))
    sweep_once(AT - timedelta(hours=9))
    assert len(handler) == 1


def test_one_failing_effect_does_not_hold_up_the_others(
    handler: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    def sometimes(payload: dict[str, Any], at: datetime) -> None:
        if payload.get("bad"):
            raise ZeroDivisionError
        handler.append(payload)

    outbox._handlers["test.note"] = sometimes
    owe("a", payload={"bad": True})
    owe("b", payload={"id": 2})
    tasks.sweep_outbox()
    assert handler == [{"id": 2}]
    assert "failed" in caplog.text


def test_a_notification_reaches_each_person_once() -> None:
    people = [make.user(), make.user()]
    for key in ("first delivery", "second delivery"):
        ids = [p.pk for p in (*people, people[0])]
        payload = {"user_ids": ids, "key": "deal:7:approved", "text": "Approved", "url": "/deals/7/"}
        owe(key, topic=NOTIFY, payload=payload)
    sweep_once(AT)
    assert sorted(Notification.objects.values_list("user_id", "key", "text", "url")) == sorted(
        (p.pk, "deal:7:approved", "Approved", "/deals/7/") for p in people
    )


@pytest.mark.django_db(transaction=True)
def test_a_promise_asks_a_worker_for_a_sweep_after_the_commit(
    handler: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(
        app, "send_task", lambda name, **_: asked.append((name, OutboxMessage.objects.count()))
    )
    with transaction.atomic():
        outbox.promise(topic="test.note", key="k", payload={}, at=AT)
        assert asked == []
    assert asked == [(tasks.sweep_outbox.name, 1)]


def test_tidying_forgets_what_is_old_and_nothing_else(
    handler: list[Any], monkeypatch: pytest.MonkeyPatch, django_user_model: type[User]
) -> None:
    person = make.user()
    for key, age in (("old", timedelta(hours=25)), ("new", timedelta(hours=23))):
        IdempotencyRecord.objects.create(caller=person, key=key, request_digest="0" * 64, created_at=AT - age)
    for key in ("done long ago", "done lately", "given up", "owed"):
        owe(key)
    OutboxMessage.objects.filter(key="done long ago").update(done_at=AT - timedelta(days=31))
    OutboxMessage.objects.filter(key="done lately").update(done_at=AT - timedelta(days=29))
    OutboxMessage.objects.filter(key="given up").update(failed_at=AT - timedelta(days=99))
    monkeypatch.setattr(clock, "now", lambda: AT)
    tasks.tidy()
    assert [r.key for r in IdempotencyRecord.objects.all()] == ["new"]
    assert sorted(m.key for m in OutboxMessage.objects.all()) == ["done lately", "given up", "owed"]


def test_both_tasks_are_known_to_the_worker_and_to_beat(settings: Any) -> None:
    from config.celery import app

    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert {"config.sweep_outbox", "config.tidy"} <= scheduled & set(app.tasks)
    assert app.tasks["config.sweep_outbox"].acks_late


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", ["redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"])
def test_a_broker_that_is_away_holds_nobody_up_and_loses_nothing(
    handler: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    away = Celery("away", broker=address, set_as_current=False)
    away.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    monkeypatch.setattr(celery, "app", away)
    owe()
    assert "beat will sweep" in caplog.text
    sweep_once(AT)
    assert len(handler) == 1
