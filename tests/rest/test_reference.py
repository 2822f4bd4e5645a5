"""The schema, the committed copy of it, and its page."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from openapi_spec_validator import validate

if TYPE_CHECKING:
    from playwright.sync_api import Page

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    out = StringIO()
    call_command("spectacular", "--format", "openapi-json", "--fail-on-warn", stdout=out, stderr=StringIO())
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


@pytest.fixture(autouse=True)
def _fresh_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def test_the_committed_schema_is_what_the_code_says(schema: dict[str, Any]) -> None:
    assert yaml.load(COMMITTED.read_text(), yaml.CSafeLoader) == schema, "run make schema"


def test_it_is_valid_openapi_3_1(schema: dict[str, Any]) -> None:
    assert schema["openapi"] == "3.1.0"
    validate(schema)


def test_every_operation_says_how_it_refuses_and_how_it_is_sent_again(schema: dict[str, Any]) -> None:
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            headers = {p["name"] for p in operation["parameters"] if p["in"] == "header"}
            answers = set(operation["responses"])
            assert {"400", "401", "403", "429"} <= answers, where
            if method == "get":
                assert "If-None-Match" in headers, where
                assert "304" in answers, where
            if method == "post":
                assert "Idempotency-Key" in headers, where
                assert {"409", "412", "413", "422"} <= answers, where
            if method in ("put", "patch", "delete"):
                assert "If-Match" in headers, where
                assert {"412", "428"} <= answers, where
            if "{" in path:
                assert "404" in answers, where


def test_every_operation_says_in_a_line_what_it_is_for(schema: dict[str, Any]) -> None:
    operations = [(path, method, o) for path, found in schema["paths"].items() for method, o in found.items()]
    assert [(path, method) for path, method, o in operations if not o.get("summary")] == []


def test_a_list_s_filters_are_those_of_its_facets_and_of_no_writing(schema: dict[str, Any]) -> None:
    def asked(path: str, method: str = "get") -> set[str]:
        return {p["name"] for p in schema["paths"][path][method]["parameters"] if p["in"] == "query"}

    paging = {"cursor", "page_size", "count", "ordering"}
    assert asked("/api/v1/offerings/facets/") == asked("/api/v1/offerings/") - paging
    for path, methods in schema["paths"].items():
        for method in methods:
            assert method == "get" or not asked(path, method), (method, path)


@pytest.mark.parametrize(
    ("path", "name"),
    [("deals", "amended"), ("usage", "billed"), ("statements", "acknowledged"), ("quotas", "superseded")],
)
def test_a_filter_by_yes_or_no_is_a_boolean(schema: dict[str, Any], path: str, name: str) -> None:
    asked = {p["name"]: p for p in schema["paths"][f"/api/v1/{path}/"]["get"]["parameters"]}
    assert asked[name]["schema"] == {"type": "boolean"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/usage/", "200"),
        ("/api/v1/quotas/", "200"),
        ("/api/v1/quota-reliefs/", "201"),
        ("/api/v1/accounts/{slug}/commitments/", "201"),
    ],
)
def test_a_write_is_promised_the_status_that_it_answers_with(
    schema: dict[str, Any], path: str, status: str
) -> None:
    answers = schema["paths"][path]["post"]["responses"]
    assert [code for code in answers if code.startswith("2")] == [status]


def test_an_amendment_is_asked_for_no_more_than_what_changes(schema: dict[str, Any]) -> None:
    sent = schema["paths"]["/api/v1/deals/{id}/amend/"]["post"]["requestBody"]
    described = sent["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert "required" not in schema["components"]["schemas"][described]


def test_nothing_is_promised_that_null_would_break(schema: dict[str, Any]) -> None:
    """One of null and anything is neither for null, as both hold."""
    for name, described in schema["components"]["schemas"].items():
        for member, shape in described.get("properties", {}).items():
            assert {} not in shape.get("oneOf", ()), f"{name}.{member}"


def test_what_holds_for_every_operation_is_said_once(schema: dict[str, Any]) -> None:
    for word in (
        "Bearer",
        "page_size",
        "If-None-Match",
        "If-Match",
        "Idempotency-Key",
        "problem+json",
        "Retry-After",
    ):
        assert word in schema["info"]["description"]


def test_both_ways_to_come_in_are_described(schema: dict[str, Any]) -> None:
    schemes = schema["components"]["securitySchemes"]
    assert schemes["apiKey"]["scheme"] == "bearer"
    assert schemes["session"]["in"] == "cookie"


def test_it_says_which_scope_an_operation_asks_for(schema: dict[str, Any]) -> None:
    assert "catalog:write" in schema["components"]["securitySchemes"]["apiKey"]["description"]
    assert {"apiKey": ["deals:write"]} in schema["paths"]["/api/v1/deals/"]["post"]["security"]
    assert {"apiKey": ["catalog:read"]} in schema["paths"]["/api/v1/offerings/"]["get"]["security"]


@pytest.mark.django_db
def test_the_schema_is_served_to_anybody(client: Client, schema: dict[str, Any]) -> None:
    answer = client.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    assert answer.json() == schema


@pytest.mark.browser
def test_the_reference_works_offline_under_the_strict_policy(page: "Page", schema: dict[str, Any]) -> None:
    """With the first operations of the schema: it takes long to draw them all."""
    few = {**schema, "paths": dict(list(schema["paths"].items())[:5])}
    page.route("**/api/schema/", lambda route: route.fulfill(json=few))
    foreign = []
    page.on(
        "request",
        lambda r: (
            foreign.append(r.url) if "localhost" not in r.url and not r.url.startswith("data:") else None
        ),
    )
    page.goto("/api/docs/")
    page.get_by_role("heading", name="Parity").first.wait_for()
    page.locator(".opblock-summary").first.click()
    page.locator(".opblock-body").first.wait_for()
    assert foreign == []
