"""Every refusal is application/problem+json."""

import json
import logging

import pytest
from django.db import OperationalError
from django.test import Client
from psycopg.errors import DeadlockDetected

from accounts.models import Notification
from config.refusals import Invalid, Problem
from config.rest.problems import escaped, problem_response
from tests.rest.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.rest.endpoints")]


def test_a_refusal_of_a_service_keeps_each_problem_with_its_pointer(caller: Caller) -> None:
    answer = caller.send("GET", "/api/v1/failing/?how=invalid", "", X_Request_ID="given-by-caller")
    assert answer.status_code == 422
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    assert answer.json() == {
        "type": "urn:parity:problem:invalid",
        "title": "What was sent cannot be accepted",
        "status": 422,
        "detail": "They add up to 90 %. It is retired.",
        "errors": [
            {"pointer": "/shares", "code": "shares_do_not_add_up", "detail": "They add up to 90 %."},
            {"pointer": "/lines/0/offering", "code": "retired", "detail": "It is retired."},
        ],
        "request_id": "given-by-caller",
    }


def test_a_body_is_read_strictly_and_everything_wrong_is_said_at_once(caller: Caller) -> None:
    body = {
        "key": "k",
        "colour": "red",
        "lines": [
            {"amount": {"amount": "1.00", "currency": "USD"}, "note": "fine"},
            {"amount": {"amount": 1.5, "tax": "0"}, "note": "much too long", "a/b": 1},
        ],
    }
    answer = caller.send("POST", "/api/v1/notes/", body)
    assert answer.status_code == 422
    assert sorted((e["pointer"], e["code"]) for e in answer.json()["errors"]) == [
        ("/colour", "unknown_field"),
        ("/lines/1/amount/amount", "not_a_decimal"),
        ("/lines/1/amount/currency", "required"),
        ("/lines/1/amount/tax", "unknown_field"),
        ("/lines/1/a~1b", "unknown_field"),
        ("/lines/1/note", "max_length"),
        ("/text", "required"),
    ]
    assert not Notification.objects.exists()


@pytest.mark.parametrize("body", ["[]", "3", '"x"', "null"])
def test_a_body_of_another_kind_is_invalid(caller: Caller, body: str) -> None:
    answer = caller.send("POST", "/api/v1/notes/", body)
    assert answer.status_code == 422
    assert [e["pointer"] for e in answer.json()["errors"]] == [""]


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":',
        b'{"key": NaN}',
        b'{"key": Infinity}',
        b'{"key": "a", "key": "b"}',
        b'{"key": "\xff"}',
        b"[" * 100_000,
        b'{"key": ' + b"9" * 50 + b"}",
        b'{"key": 1e' + b"9" * 50 + b"}",
    ],
    ids=["cut off", "nan", "infinity", "doubled", "not utf-8", "deep", "long number", "long exponent"],
)
def test_json_that_cannot_be_meant_is_refused(caller: Caller, body: bytes) -> None:
    answer = caller.send("POST", "/api/v1/notes/", body)
    assert answer.status_code == 400
    assert [e["code"] for e in answer.json()["errors"]] == ["malformed_json"]


def test_a_body_larger_than_the_limit_is_413(caller: Caller, settings: object) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000  # type: ignore[attr-defined]
    body = {"key": "k", "text": "x" * 1000}
    for headers in ({}, {"Idempotency_Key": "k"}):
        answer = caller.send("POST", "/api/v1/notes/", body, **headers)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/notes/999999/", 404, "not_found"),
        ("GET", "/api/v1/notes/not-a-number/", 404, "not_found"),
        ("GET", f"/api/v1/notes/{'9' * 40}/", 404, "not_found"),
        ("GET", "/api/v1/nowhere/", 404, "not_found"),
        ("PUT", "/api/v1/notes/", 405, "method_not_allowed"),
        ("OPTIONS", "/api/v1/notes/", 405, "method_not_allowed"),
        ("GET", "/api/v1/failing/?how=suspicious", 400, "bad_request"),
    ],
)
def test_each_status_has_its_code(caller: Caller, method: str, path: str, status: int, code: str) -> None:
    answer = caller.send(method, path, "")
    assert answer["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert [e["code"] for e in answer.json()["errors"]] == [code]
    assert "inner detail" not in answer.content.decode()


def test_somebody_elses_row_is_as_if_it_were_not_there(
    caller: Caller, new_caller: object, notes: list[Notification]
) -> None:
    other = new_caller()  # type: ignore[operator]
    mine, theirs = (c.get(f"/api/v1/notes/{notes[0].pk}/") for c in (caller, other))
    nothing = other.get("/api/v1/notes/999999/")
    assert mine.status_code == 200
    assert {**theirs.json(), "request_id": ""} == {**nothing.json(), "request_id": ""}


def test_only_json_is_read_and_written(caller: Caller) -> None:
    sent = caller.generic("POST", "/api/v1/notes/", "key=1", content_type="application/x-www-form-urlencoded")
    assert (sent.status_code, sent.json()["errors"][0]["code"]) == (415, "unsupported_media_type")
    asked = caller.send("GET", "/api/v1/notes/", "", Accept="text/csv")
    assert (asked.status_code, asked.json()["errors"][0]["code"]) == (406, "not_acceptable")


def test_an_unexpected_error_tells_the_log_and_not_the_caller(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "django.request"):
        answer = caller.get("/api/v1/failing/?how=crash")
    assert answer.status_code == 500
    assert answer.json()["errors"] == [
        {"pointer": "", "code": "unexpected", "detail": "It has been logged under this request id."}
    ]
    assert b"secret" not in answer.content
    assert "a secret that nobody outside may read" in caplog.text
    caller.raise_request_exception = True
    with pytest.raises(ZeroDivisionError):
        caller.get("/api/v1/failing/?how=crash")


def test_without_a_key_or_a_session_it_is_401(db: None) -> None:
    answer = Client().get("/api/v1/notes/")
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="Parity"'
    assert answer.json()["errors"][0]["code"] == "not_authenticated"


def test_a_session_needs_a_csrf_token_to_change_something(caller: Caller) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(caller.user)
    assert browser.get("/api/v1/notes/").status_code == 200
    body = json.dumps({"key": "k", "text": "t"})
    answer = browser.post("/api/v1/notes/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:parity:problem:forbidden")
    assert not Notification.objects.exists()


def test_a_deadlock_is_not_a_crash_but_a_reason_to_try_again() -> None:
    failure = OperationalError("deadlock detected")
    failure.__cause__ = DeadlockDetected()
    answer = problem_response(failure, {})
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert json.loads(answer.content)["errors"][0]["code"] == "busy"


def test_pointers_are_escaped_and_further_fields_of_a_problem_are_kept() -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class NotSellable(Problem):
        replacement: str = ""

    assert escaped("a/b~c") == "a~1b~0c"
    answer = problem_response(Invalid(NotSellable("retired", "It is retired.", "/x", "newer")), {})
    assert json.loads(answer.content)["errors"] == [
        {"pointer": "/x", "code": "retired", "detail": "It is retired.", "replacement": "newer"}
    ]


def test_a_forgotten_slash_does_not_turn_a_post_into_a_get(caller: Caller) -> None:
    answer = caller.send("POST", "/api/v1/notes", {"key": "k", "text": "t"})
    assert (answer.status_code, answer["Location"]) == (308, "/api/v1/notes/")
    assert not Notification.objects.exists()
