"""Change sets over REST: one answer with every wrong field, preconditions, idempotency, and nothing of other publishers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from marketplace.api import change_sets as shapes
from marketplace.models import ChangeSet, Hold, Offering, Publication, Publisher
from tests import make
from tests.marketplace.test_change_sets import ROWS, drafted, new_offering, submitted, update

pytestmark = pytest.mark.django_db

BASE = "/api/v1/change-sets/"
Api = Callable[..., Any]


@pytest.fixture
def publisher() -> Publisher:
    make.currency()
    return make.publisher(name="Acme", slug="acme")


@pytest.fixture
def partner(publisher: Publisher) -> User:
    return make.user(role="partner", name="Pat Partner", publisher=publisher)


@pytest.fixture
def reviewer() -> User:
    return make.user(role="catalog_manager", name="Rae Reviewer")


def api_of(user: User) -> Api:
    client = Client(raise_request_exception=True)
    client.force_login(user)

    def call(method: str, path: str = "", body: Any = None, status: int = 200, **headers: str) -> Any:
        response = client.generic(
            method,
            path if path.startswith("/") else BASE + path,
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        assert response.status_code == status, response.content
        call.last = response  # type: ignore[attr-defined]
        return response.json() if response.content else None

    return call


def as_json(*items: Any) -> list[dict[str, Any]]:
    return [{"operation": item.operation, "body": item.body} for item in items]


def errors(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(e.get("pointer", ""), e["code"]) for e in answer["errors"]}


def test_a_set_goes_its_way_over_rest(partner: User, reviewer: User) -> None:
    mine, theirs = api_of(partner), api_of(reviewer)
    made = mine("POST", "", {"title": "A model", "items": as_json(new_offering())}, 201)
    assert set(made) == set(shapes.ChangeSetResource().fields)
    assert (made["state"], made["publisher"], made["channel"], made["item_count"]) == (
        "draft",
        "acme",
        "api",
        1,
    )
    assert mine.last["Location"].endswith(f"{BASE}{made['id']}/")  # type: ignore[attr-defined]
    at = f"{made['id']}/"
    assert mine("POST", f"{at}submit/")["state"] == "submitted"
    assert theirs("POST", f"{at}take-up/")["state"] == "in_review"
    said = {
        "note": "Nearly",
        "findings": [{"pointer": "/items/0/body/name", "message": "Mend the name."}],
    }
    back = theirs("POST", f"{at}request-changes/", said)
    assert (back["state"], back["findings"][0]["pointer"], back["findings"][0]["found_by"]) == (
        "changes_requested",
        "/items/0/body/name",
        "reviewer",
    )
    mine("PATCH", at, {"title": "Other"}, 428)
    mine("PATCH", at, {"title": "Other"}, 412, If_Match='"old"')
    mine("GET", at)
    tag = mine.last["ETag"]  # type: ignore[attr-defined]
    mended = mine("PATCH", at, {"items": as_json(new_offering(name="Right"))}, If_Match=tag)
    assert mended["items"][0]["body"]["name"] == "Right"
    mine("POST", f"{at}submit/", None, 412, If_Match=tag)
    mine("POST", f"{at}submit/")
    done = theirs("POST", f"{at}approve/", {"note": "Fine"})
    assert (done["state"], done["items"][0]["before"]) == ("applied", {})
    assert Offering.objects.get().name == "Right"
    theirs("POST", f"{at}approve/", {}, 409)


def test_every_wrong_field_stands_in_one_answer_with_its_pointer(partner: User) -> None:
    api = api_of(partner)
    items = [
        *as_json(new_offering(name="", available_on="2025-02-31")),
        {"operation": "offering.update", "body": {"slug": "nobody", "colour": 1}},
        {"operation": "explode", "body": []},
    ]
    tried = api("POST", "validate/", {"items": items})
    assert tried["valid"] is False
    assert {(f["pointer"], f["code"]) for f in tried["findings"]} == {
        ("/items/0/body/name", "required"),
        ("/items/0/body/available_on", "no_such_day"),
        ("/items/1/body/slug", "unknown_offering"),
        ("/items/1/body/colour", "unknown_field"),
        ("/items/2/operation", "unknown_operation"),
        ("/items/2/body", "invalid"),
    }
    refused = api("POST", "", {"title": "T", "items": items}, 422)
    assert errors(refused) == {("/items/2/operation", "unknown_operation"), ("/items/2/body", "invalid")}
    assert not ChangeSet.objects.exists()
    made = api("POST", "", {"title": "T", "items": items[:2]}, 201)
    assert len(made["findings"]) == 4
    refused = api("POST", f"{made['id']}/submit/", None, 422)
    assert errors(refused) == {(f["pointer"], f["code"]) for f in made["findings"]}
    assert errors(api("POST", "", {"items": {}, "more": 1}, 422)) == {
        ("/title", "required"),
        ("/items", "not_a_list"),
        ("/more", "unknown_field"),
    }


def test_a_dry_run_keeps_nothing(partner: User) -> None:
    api = api_of(partner)
    assert api("POST", "validate/", {"items": as_json(new_offering())}) == {"valid": True, "findings": []}
    assert not ChangeSet.objects.exists()
    assert not Offering.objects.exists()
    assert not Hold.objects.exists()


def test_the_second_set_on_an_offering_is_a_conflict(
    partner: User, reviewer: User, publisher: Publisher
) -> None:
    make.offering(publisher=publisher, slug="there")
    first = submitted(partner, update("there", name="A"))
    second = drafted(reviewer, update("there", name="B"))
    refused = api_of(reviewer)("POST", f"{second.pk}/submit/", None, 409)
    assert errors(refused) == {("", "held")}
    assert first.reference in refused["detail"]


def test_sent_again_with_the_same_key_it_is_made_once(partner: User) -> None:
    api = api_of(partner)
    body = {"title": "A model", "items": as_json(new_offering())}
    first = api("POST", "", body, 201, Idempotency_Key="one")
    again = api("POST", "", body, 201, Idempotency_Key="one")
    assert first["id"] == again["id"]
    assert ChangeSet.objects.count() == 1


def test_a_publisher_learns_nothing_of_others(partner: User, reviewer: User) -> None:
    make.offering(slug="foreign", publication=Publication.APPROVED)
    theirs = drafted(reviewer, update("foreign", name="X"))
    other = drafted(make.user(role="partner"), new_offering("elsewhere"))
    api = api_of(partner)
    assert api("GET")["results"] == []
    for pk in (theirs.pk, other.pk, 999_999):
        for method, path, headers in (
            ("GET", f"{pk}/", {}),
            ("GET", f"{pk}/items/", {}),
            ("PATCH", f"{pk}/", {"If_Match": "*"}),
            *(
                ("POST", f"{pk}/{step}/", {})
                for step in ("submit", "withdraw", "approve", "reject", "take-up")
            ),
        ):
            assert errors(api(method, path, {}, 404, **headers)) == {("", "not_found")}
    hidden = api("POST", "validate/", {"items": as_json(update("foreign", name="X"))})
    absent = api("POST", "validate/", {"items": as_json(update("nothing", name="X"))})
    assert hidden == absent
    slug = other.publisher.slug  # type: ignore[union-attr]
    known = api("POST", "", {"title": "T", "publisher": slug, "items": []}, 422)
    unknown = api("POST", "", {"title": "T", "publisher": "nobody", "items": []}, 422)
    assert known["errors"] == unknown["errors"]


def test_who_neither_keeps_the_catalog_nor_publishes_finds_nothing() -> None:
    api = api_of(make.user(role="rep"))
    assert api("GET")["results"] == []
    api("POST", "", {"title": "T", "items": []}, 404)
    api("POST", "validate/", {"items": []}, 404)


def test_an_auditor_reads_and_decides_nothing(partner: User) -> None:
    made = submitted(partner, new_offering())
    api = api_of(make.user(role="auditor"))
    assert [row["id"] for row in api("GET")["results"]] == [made.pk]
    for step, body in (
        ("approve", {}),
        ("reject", {"note": "No"}),
        ("request-changes", {"note": "No"}),
        ("take-up", None),
    ):
        api("POST", f"{made.pk}/{step}/", body, 403)
    made.refresh_from_db()
    assert made.state == "submitted"


def test_the_list_is_filtered_and_costs_the_same_for_few_and_for_many(partner: User, reviewer: User) -> None:
    api = api_of(reviewer)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            api("GET", "?state=draft,submitted&publisher=acme&channel=browser")
        return len(queries)

    submitted(partner, new_offering("n-0"))
    cost()
    few = cost()
    for n in range(1, 5):
        drafted(partner, new_offering(f"n-{n}"))
    assert cost() == few
    rows = api("GET", "?state=draft")["results"]
    assert len(rows) == 4
    assert set(rows[0]) == set(shapes.ChangeSetListed().fields)
    api("GET", "?stat=draft", None, 400)
    api("GET", "?state=drafty", None, 400)


def test_a_long_sets_items_come_by_pages(reviewer: User, publisher: Publisher) -> None:
    make.task_area(slug="coding")
    items = [
        {
            "operation": "evaluation.add",
            "body": {
                "task_area": "coding",
                "subject": f"S{n}",
                "benchmark": "B",
                "score": "1.5",
                "source": "x",
            },
        }
        for n in range(201)
    ]
    api = api_of(reviewer)
    made = api("POST", "", {"title": "Many", "items": items}, 201)
    assert made["items"] is None
    page = api("GET", f"{made['id']}/items/?page_size=150")
    rest = api("GET", page["next"].split("testserver")[-1])
    subjects = [row["body"]["subject"] for row in (*page["results"], *rest["results"])]
    assert subjects == [f"S{n}" for n in range(201)]


def test_a_price_keeps_its_digits(partner: User, reviewer: User, publisher: Publisher) -> None:
    make.plan(offering=make.offering(publisher=publisher, slug="there"), slug="standard")
    body = {
        "offering": "there",
        "plan": "standard",
        "currency": "USD",
        "start": "2026-09-01",
        "source": "x",
        "rows": [{**ROWS[0], "amount": "0.0000015"}],
    }
    api = api_of(partner)
    made = api("POST", "", {"title": "P", "items": [{"operation": "price.add", "body": body}]}, 201)
    assert made["items"][0]["body"]["rows"][0]["amount"] == "0.0000015"
    assert made["findings"] == []
