"""Lists: keyset pages, strict filters, ETags."""

from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.core.signing import Signer
from django_filters import BooleanFilter, ChoiceFilter, DateFilter, DateTimeFilter, IsoDateTimeFilter
from django_filters.rest_framework import FilterSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Notification
from config.rest.pagination import Keyset, Place
from config.rest.problems import BadQuery
from tests.depth import examples
from tests.rest.conftest import AT, Caller

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.rest.endpoints")]


def walk(caller: Caller, path: str) -> list[list[str]]:
    """The keys of every page, forwards; then checks that walking back gives the same pages."""
    pages, answer = [], caller.get(path).json()
    while True:
        pages.append([row["key"] for row in answer["results"]])
        if answer["next"] is None:
            break
        answer = caller.get(answer["next"]).json()
    back = [pages[-1]]
    while answer["previous"] is not None:
        answer = caller.get(answer["previous"]).json()
        back.append([row["key"] for row in answer["results"]])
    assert back[::-1] == pages
    return pages


def test_a_list_walks_to_its_end_and_back_in_a_stable_order(
    caller: Caller, notes: list[Notification]
) -> None:
    assert walk(caller, "/api/v1/notes/?page_size=2") == [["n4", "n3"], ["n2", "n1"], ["n0"]]


def test_empty_values_come_last_in_both_directions(caller: Caller, notes: list[Notification]) -> None:
    assert walk(caller, "/api/v1/notes/?page_size=1&ordering=read_at") == [
        ["n1"],
        ["n3"],
        ["n0"],
        ["n2"],
        ["n4"],
    ]
    assert walk(caller, "/api/v1/notes/?page_size=2&ordering=-read_at") == [
        ["n3", "n1"],
        ["n4", "n2"],
        ["n0"],
    ]


def test_a_row_that_comes_in_meanwhile_moves_nobody(caller: Caller, notes: list[Notification]) -> None:
    first = caller.get("/api/v1/notes/?page_size=2").json()
    Notification.objects.create(user=caller.user, key="new", text="x", created_at=AT + timedelta(days=1))
    assert [row["key"] for row in caller.get(first["next"]).json()["results"]] == ["n2", "n1"]


def test_total_only_where_asked_for(caller: Caller, notes: list[Notification]) -> None:
    assert "total" not in caller.get("/api/v1/notes/").json()
    assert caller.get("/api/v1/notes/?count=true&page_size=2&key=n1,n2,n3").json()["total"] == 3


def test_a_list_costs_the_same_whatever_its_length(
    caller: Caller, notes: list[Notification], django_assert_num_queries: Any
) -> None:
    caller.get("/api/v1/notes/")
    with django_assert_num_queries(2):  # the key with its user, the rows
        caller.get("/api/v1/notes/?page_size=1")
    with django_assert_num_queries(2):
        caller.get("/api/v1/notes/?page_size=5")


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("colour=red", "colour", "unknown_parameter"),
        ("format=json", "format", "unknown_parameter"),
        ("page_size=0", "page_size", "out_of_range"),
        ("page_size=201", "page_size", "out_of_range"),
        ("page_size=%D9%A3", "page_size", "out_of_range"),
        ("count=yes", "count", "invalid"),
        ("cursor=abc", "cursor", "invalid_cursor"),
        ("cursor=%00", "cursor", "invalid_cursor"),
        ("ordering=text", "ordering", "invalid_choice"),
        ("url=/a,/c", "url", "invalid_choice"),
        ("above=many", "above", "invalid"),
        ("since=04/05/2026", "since", "invalid"),
        ("read=yes", "read", "invalid_choice"),
        ("key=n1&key=n2", "key", "given_twice"),
    ],
)
def test_what_cannot_be_understood_is_named_not_ignored(
    caller: Caller, query: str, parameter: str, code: str
) -> None:
    answer = caller.get(f"/api/v1/notes/?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert [(e["parameter"], e["code"]) for e in answer.json()["errors"]] == [(parameter, code)]


def test_an_unknown_parameter_gets_a_suggestion(caller: Caller) -> None:
    (error,) = caller.get("/api/v1/notes/?page_sise=3").json()["errors"]
    assert error["detail"].startswith(
        "page_sise is not known here. Did you mean page_size? Known are above, count, cursor"
    )


def test_a_value_that_is_not_known_is_answered_with_those_that_are(caller: Caller) -> None:
    (error,) = caller.get("/api/v1/notes/?url=/a,/c").json()["errors"]
    assert error["detail"] == "/c is not known here. Known are /a, /b."


def test_no_filter_of_the_api_takes_what_it_does_not_know_for_not_asked() -> None:
    """Nor a day for another one: django-filter's own filters do."""
    import_module("config.urls")
    guessing = {BooleanFilter, ChoiceFilter, DateFilter, DateTimeFilter, IsoDateTimeFilter}
    filters = [
        (f"{each.__module__}.{each.__qualname__}", name, type(found))
        for each in FilterSet.__subclasses__()
        + [c for s in FilterSet.__subclasses__() for c in s.__subclasses__()]
        for name, found in each.base_filters.items()
    ]
    assert len(filters) > 50
    assert [found for found in filters if found[2] in guessing] == []


def test_a_single_resource_takes_no_parameters(caller: Caller, notes: list[Notification]) -> None:
    answer = caller.get(f"/api/v1/notes/{notes[0].pk}/?page_size=2")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"] == "page_size is not known: this address takes no parameters."


def test_filters_are_comma_separated_sets(caller: Caller, notes: list[Notification]) -> None:
    assert [row["key"] for row in caller.get("/api/v1/notes/?key=n0,n4,n9").json()["results"]] == ["n4", "n0"]
    assert len(caller.get("/api/v1/notes/?url=/a,/b").json()["results"]) == 5


def test_a_cursor_of_another_order_is_refused(caller: Caller, notes: list[Notification]) -> None:
    cursor = caller.get("/api/v1/notes/?page_size=1").json()["next"].split("cursor=")[1].split("&")[0]
    answer = caller.get(f"/api/v1/notes/?ordering=key&cursor={cursor}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "invalid_cursor")


@given(cursor=st.text(max_size=80))
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_cursor_crashes_the_server(cursor: str) -> None:
    order = Keyset(Notification, ("-created_at", "-id"))
    if cursor:
        with pytest.raises(BadQuery):
            order.place(cursor)


@pytest.mark.parametrize(
    "forged", [[], [["-created_at", "-id"], 0, [["t", "never"], ["", 1]]], {"a": 1}, "x", [[], 0, [1]]]
)
def test_even_a_signed_cursor_is_not_believed(forged: object) -> None:
    signed = Signer(salt="config.rest.pagination").sign_object(forged)
    with pytest.raises(BadQuery):
        Keyset(Notification, ("-created_at", "-id")).place(signed)


def test_a_cursor_says_the_same_place_the_same_way() -> None:
    order = Keyset(Notification, ("-created_at", "-id"))
    place = Place((AT, 7), backwards=True)
    assert order.cursor(place) == order.cursor(place)
    assert order.place(order.cursor(place)) == place


def test_computed_endpoints_read_their_query_strictly(caller: Caller) -> None:
    assert caller.get("/api/v1/sums/?upto=4").json() == {"sum": 10}
    for query, code in (("upto=many", "invalid"), ("upto=101", "max_value"), ("", "required")):
        answer = caller.get(f"/api/v1/sums/?{query}")
        assert answer.status_code == 400
        assert [(e["parameter"], e["code"]) for e in answer.json()["errors"]] == [("upto", code)]
