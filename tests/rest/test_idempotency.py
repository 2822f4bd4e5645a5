"""Idempotency-Key, with real threads where it matters."""

import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory

from accounts.models import Notification
from config import claims, clock
from config.models import IdempotencyRecord
from config.rest import idempotency
from tests.rest import endpoints
from tests.rest.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.rest.endpoints")]
NOTES = "/api/v1/notes/"


def post(caller: Caller, text: str, *, idem: str = "k1", key: str = "a", **headers: str) -> Any:
    return caller.send("POST", NOTES, {"key": key, "text": text}, Idempotency_Key=idem, **headers)


def test_a_repetition_gets_the_first_answer_and_does_nothing(caller: Caller) -> None:
    first = post(caller, "once")
    again = post(caller, "once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert {h: again[h] for h in ("Location", "ETag", "Content-Type")} == {
        h: first[h] for h in ("Location", "ETag", "Content-Type")
    }
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 1


def test_the_address_in_location_is_the_new_resource(caller: Caller) -> None:
    first = post(caller, "once")
    assert caller.get(first["Location"]).json() == first.json()
    assert caller.get(first["Location"])["ETag"] == first["ETag"]


def test_the_same_key_with_another_body_or_address_is_refused(caller: Caller) -> None:
    post(caller, "once")
    other = post(caller, "twice", key="b")
    assert (other.status_code, other.json()["errors"][0]["code"]) == (422, "idempotency_key_reused")
    elsewhere = caller.send("POST", f"{NOTES}1/read/", {"key": "a", "text": "once"}, Idempotency_Key="k1")
    assert elsewhere.status_code == 422
    assert Notification.objects.count() == 1


def test_a_browser_too_may_send_a_key(caller: Caller) -> None:
    """The check of the session's token looks into the body before the key's digest does."""
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(caller.user)
    token = get_token(RequestFactory().get("/"))
    browser.cookies["csrftoken"] = token
    body = json.dumps({"key": "a", "text": "once"})
    headers = {"X-CSRFToken": token, "Idempotency-Key": "k1"}
    answers = [browser.post(NOTES, body, content_type="application/json", headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201]
    assert answers[1]["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 1


def test_a_key_belongs_to_its_caller(caller: Caller, new_caller: Callable[[], Caller]) -> None:
    assert post(caller, "once").status_code == post(new_caller(), "other").status_code == 201
    assert Notification.objects.count() == 2


def test_without_a_key_nothing_is_remembered(caller: Caller) -> None:
    caller.send("POST", NOTES, {"key": "a", "text": "once"})
    assert not IdempotencyRecord.objects.exists()


def test_a_refusal_is_remembered_and_its_work_undone(caller: Caller) -> None:
    first = post(caller, "refuse")
    again = post(caller, "refuse")
    assert (first.status_code, again.status_code) == (409, 409)
    assert again.content == first.content
    assert (again["Content-Type"], again["Idempotent-Replayed"]) == ("application/problem+json", "true")
    assert not Notification.objects.exists()


def test_a_crash_lets_go_of_the_key(caller: Caller) -> None:
    assert post(caller, "crash").status_code == 500
    assert not IdempotencyRecord.objects.exists()
    assert not Notification.objects.exists()


def test_a_stale_precondition_is_tried_again(caller: Caller, notes: list[Notification]) -> None:
    path = f"{NOTES}{notes[0].pk}/read/"
    stale = caller.send("POST", path, {}, Idempotency_Key="k", If_Match='"old"')
    fresh = caller.send(
        "POST", path, {}, Idempotency_Key="k", If_Match=caller.get(f"{NOTES}{notes[0].pk}/")["ETag"]
    )
    assert (stale.status_code, fresh.status_code) == (412, 200)


@pytest.mark.parametrize("idem", ["", "x" * 256, "a\tb"])
def test_a_key_that_cannot_be_kept_is_refused(caller: Caller, idem: str) -> None:
    answer = post(caller, "once", idem=idem)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "invalid_idempotency_key")


def test_a_claim_whose_process_died_blocks_only_for_a_while(caller: Caller) -> None:
    first = again = post(caller, "once")
    now = clock.now()
    for age, status in (
        (timedelta(minutes=4), 409),
        (timedelta(minutes=6), 201),
        (-timedelta(hours=23), 201),
    ):
        Notification.objects.all().delete()
        IdempotencyRecord.objects.update(status=None, created_at=now - age)
        again = post(caller, "once")
        assert again.status_code == status, age
    assert again.json()["text"] == first.json()["text"]


def test_work_that_was_overtaken_is_undone(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process comes back after its lease: the other one's work stands, its own does not."""
    settle = idempotency._settle

    def late(claim: claims.Claim, answer: Any) -> None:
        IdempotencyRecord.objects.filter(pk=claim.record_id, status=None).update(created_at=clock.now())
        settle(claim, answer)

    monkeypatch.setattr(idempotency, "_settle", late)
    answer = post(caller, "once")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "in_flight")
    assert not Notification.objects.exists()
    assert IdempotencyRecord.objects.get().status is None


def _in_threads(*calls: Callable[[], Any]) -> list[Any]:
    answers: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        try:
            answers[number] = calls[number]()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


@pytest.mark.django_db(transaction=True)
def test_the_second_request_in_flight_is_told_so(caller: Caller) -> None:
    endpoints.entered.clear()
    endpoints.may_go_on.clear()
    second: list[Any] = []

    def meanwhile() -> Any:
        assert endpoints.entered.wait(20)
        try:
            second.append(post(caller, "wait"))
        finally:
            endpoints.may_go_on.set()

    first, _none = _in_threads(lambda: post(caller, "wait"), meanwhile)
    assert (first.status_code, second[0].status_code) == (201, 409)
    assert second[0].json()["errors"][0]["code"] == "in_flight"
    assert post(caller, "wait")["Idempotent-Replayed"] == "true"
    assert Notification.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_do_it_once(caller: Caller) -> None:
    answers = _in_threads(*[lambda: post(caller, "once") for _ in range(20)])
    assert {a.status_code for a in answers} <= {201, 409}
    created = [a for a in answers if a.status_code == 201]
    assert len({a.content for a in created}) == 1
    assert sum("Idempotent-Replayed" not in a for a in created) == 1
    assert Notification.objects.count() == 1
