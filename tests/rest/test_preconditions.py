"""ETag, If-None-Match, If-Match."""

import pytest
from django.test import RequestFactory

from accounts.models import Notification
from config.rest import preconditions
from tests.rest.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.rest.endpoints")]


def test_the_same_answer_is_not_sent_twice(caller: Caller, notes: list[Notification]) -> None:
    for path in ("/api/v1/notes/", f"/api/v1/notes/{notes[0].pk}/", "/api/v1/sums/?upto=3"):
        first = caller.get(path)
        assert first["ETag"].startswith('"')
        assert first["Cache-Control"] == "private, no-cache"
        assert "Authorization" in first["Vary"]
        again = caller.send("GET", path, "", If_None_Match=f'"other", {first["ETag"]}')
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])


def test_a_change_changes_the_tag_of_the_resource_and_of_its_list(
    caller: Caller, notes: list[Notification]
) -> None:
    paths = ("/api/v1/notes/", f"/api/v1/notes/{notes[0].pk}/")
    before = [caller.get(path)["ETag"] for path in paths]
    Notification.objects.filter(pk=notes[0].pk).update(text="other")
    after = [caller.get(path)["ETag"] for path in paths]
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_a_change_needs_to_say_which_state_was_seen(caller: Caller, notes: list[Notification]) -> None:
    path = f"/api/v1/notes/{notes[0].pk}/"
    answer = caller.send("PATCH", path, {"text": "mine"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (428, "precondition_required")
    assert caller.get(path).json()["text"] == "note 0"


def test_a_stale_change_is_refused_and_a_fresh_one_gets_its_new_tag(
    caller: Caller, notes: list[Notification]
) -> None:
    path = f"/api/v1/notes/{notes[0].pk}/"
    seen = caller.get(path)["ETag"]
    first = caller.send("PATCH", path, {"text": "mine"}, If_Match=seen)
    assert (first.status_code, first.json()["text"]) == (200, "mine")
    assert first["ETag"] == caller.get(path)["ETag"] != seen
    second = caller.send("PATCH", path, {"text": "theirs"}, If_Match=seen)
    assert (second.status_code, second.json()["errors"][0]["code"]) == (412, "stale")
    assert caller.get(path).json()["text"] == "mine"


def test_an_action_honours_if_match_but_does_not_ask_for_it(
    caller: Caller, notes: list[Notification]
) -> None:
    path = f"/api/v1/notes/{notes[0].pk}/"
    assert caller.send("POST", f"{path}read/", {}, If_Match='"other"').status_code == 412
    assert caller.get(path).json()["read_at"] is None
    assert (
        caller.send("POST", f"{path}read/", {}, If_Match=caller.get(path)["ETag"]).json()["read_at"]
        is not None
    )
    assert caller.send("POST", f"{path}read/", {}).status_code == 200


def test_a_weak_tag_matches_for_reading_and_not_for_writing(
    caller: Caller, notes: list[Notification]
) -> None:
    path = f"/api/v1/notes/{notes[0].pk}/"
    weak = "W/" + caller.get(path)["ETag"]
    assert caller.send("GET", path, "", If_None_Match=weak).status_code == 304
    assert caller.send("PATCH", path, {"text": "mine"}, If_Match=weak).status_code == 412


def test_the_compressed_form_has_a_strong_tag_of_its_own_that_works_everywhere(
    caller: Caller, notes: list[Notification]
) -> None:
    path = "/api/v1/notes/"
    plain = caller.get(path)
    packed = [caller.send("GET", path, "", Accept_Encoding="gzip") for _ in range(2)]
    assert packed[0]["Content-Encoding"] == "gzip"
    assert packed[0].content == packed[1].content
    assert packed[0]["ETag"] == f'{plain["ETag"][:-1]}-gzip"'
    again = caller.send("GET", path, "", Accept_Encoding="gzip", If_None_Match=packed[0]["ETag"])
    assert (again.status_code, again["ETag"]) == (304, packed[0]["ETag"])
    Notification.objects.filter(pk=notes[0].pk).update(text="long " * 50)
    one = f"/api/v1/notes/{notes[0].pk}/"
    tag = caller.send("GET", one, "", Accept_Encoding="gzip")["ETag"]
    assert tag.endswith('-gzip"')
    assert caller.send("PATCH", one, {"text": "mine"}, If_Match=tag).status_code == 200


def test_an_endpoint_that_forgets_to_look_at_if_match_fails_loudly(
    caller: Caller, notes: list[Notification]
) -> None:
    caller.raise_request_exception = True
    with pytest.raises(AssertionError, match="without matched"):
        caller.send("DELETE", f"/api/v1/notes/{notes[0].pk}/", "", If_Match='"x"')


def test_a_star_matches_whatever_there_is(caller: Caller, notes: list[Notification]) -> None:
    assert (
        caller.send("PATCH", f"/api/v1/notes/{notes[0].pk}/", {"text": "mine"}, If_Match="*").status_code
        == 200
    )


@pytest.mark.parametrize("header", ["", ",", '"', "W/", 'x"y', '"a', "*, *", "\x00"])
def test_a_malformed_header_matches_nothing(header: str) -> None:
    request = RequestFactory().get("/", headers={"If-Match": header, "If-None-Match": header})
    assert not preconditions.matches(request, '"a"')
    assert preconditions.not_modified(request, '"a"') is None


def test_indentation_cannot_be_asked_for_because_the_tag_is_made_of_the_bytes(caller: Caller) -> None:
    usual = caller.get("/api/v1/sums/?upto=3")
    indented = caller.send("GET", "/api/v1/sums/?upto=3", "", Accept="application/json; indent=8")
    assert indented.content == usual.content == b'{"sum":6}'
