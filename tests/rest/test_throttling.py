"""Rates, and the headers that tell them."""

import pytest
from rest_framework.settings import api_settings

from config.rest import throttling
from tests.rest.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.rest.endpoints")]


@pytest.fixture
def rates(settings: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three reads and one write a minute; the clock stands 15 s into a minute."""
    monkeypatch.setattr(throttling, "time", lambda: 1_000_000_035.0)
    monkeypatch.setattr(
        api_settings, "DEFAULT_THROTTLE_RATES", {"read": "3/min", "write": "1/min"}, raising=False
    )


def test_what_is_left_is_said_and_then_refused(caller: Caller, rates: None) -> None:
    answers = [caller.get("/api/v1/notes/") for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert [a["RateLimit"] for a in answers] == [f'"read";r={left};t=45' for left in (2, 1, 0, 0)]
    assert answers[0]["RateLimit-Policy"] == '"read";q=3;w=60'
    assert answers[3]["Retry-After"] == "45"
    assert answers[3].json()["errors"][0]["code"] == "throttled"


def test_reading_and_writing_are_counted_apart(caller: Caller, rates: None) -> None:
    body = {"key": "k", "text": "t"}
    assert caller.send("POST", "/api/v1/notes/", body).status_code == 201
    assert caller.send("POST", "/api/v1/notes/", {**body, "key": "l"}).status_code == 429
    assert caller.get("/api/v1/notes/").status_code == 200


def test_each_caller_has_its_own(caller: Caller, new_caller: object, rates: None) -> None:
    last = [caller.get("/api/v1/notes/") for _ in range(4)][-1]
    other = new_caller().get("/api/v1/notes/")  # type: ignore[operator]
    assert (last.status_code, other.status_code) == (429, 200)


def test_a_new_window_begins_anew(caller: Caller, rates: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        caller.get("/api/v1/notes/")
    monkeypatch.setattr(throttling, "time", lambda: 1_000_000_080.0)
    assert caller.get("/api/v1/notes/")["RateLimit"] == '"read";r=2;t=60'


def test_without_rates_there_is_no_limit_and_no_header(caller: Caller) -> None:
    assert "RateLimit" not in caller.get("/api/v1/notes/")


@pytest.mark.parametrize("text", ["300", "300/fortnight", "many/min"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"rate|invalid literal"):
        throttling.rate(text)
