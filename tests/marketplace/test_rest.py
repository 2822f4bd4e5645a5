"""The catalog over REST: shapes, filters, isolation, cost."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from marketplace.api import resources as shapes
from marketplace.models import Offering
from tests import make
from tests.marketplace.conftest import Catalog

Browser = Callable[[User], Client]

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(browser_of: Browser) -> Callable[..., Any]:
    client = browser_of(make.user(role="rep"))

    def get(path: str, status: int = 200) -> Any:
        response = client.get(f"/api/v1/{path}")
        assert response.status_code == status, response.content
        return response.json()

    return get


def declared(shape: type) -> set[str]:
    return set(shape().fields)


def test_answers_have_exactly_the_members_that_the_schema_declares(
    catalog: Catalog, api: Callable[..., Any]
) -> None:
    offering = api("offerings/claude-sonnet-4-5/")
    assert set(offering) == declared(shapes.OfferingResource)
    assert set(offering["model"]) == declared(shapes.OfferedModel)
    assert set(offering["eligibility"]) == declared(shapes.ProgramsShape)
    assert set(offering["eligibility"]["quota"]) == declared(shapes.TreatmentShape)
    assert set(offering["plans"][0]) == declared(shapes.PlanResource)
    assert set(api("publishers/anthropic/")) == declared(shapes.PublisherResource)
    assert set(api("models/gpt-5/")) == declared(shapes.ModelResource)
    assert set(api("models/gpt-5/")["versions"][0]) == declared(shapes.VersionShape)
    price = api("offerings/gpt-4-1/prices/")["results"][0]
    assert set(price) == declared(shapes.PriceResource)
    assert set(price["rows"][0]) == declared(shapes.PriceRowShape)
    eligibility = api("offerings/gpt-4-1/eligibility/")
    assert set(eligibility) == declared(shapes.EligibilityResource)
    assert set(eligibility["decisions"][0]) == declared(shapes.DecisionResource)
    assert set(api("offerings/gpt-4-1/evaluations/")["results"][0]) == declared(shapes.EvaluationResource)
    assert set(api("offerings/o3/substitutes/")["results"][0]) == declared(shapes.SubstituteResource)
    assert set(api("offerings/o3/answer/")) == declared(shapes.AnswerResource)
    assert set(api("offerings/facets/")) == declared(shapes.FacetsResource)


def test_every_row_comes_once_whatever_the_order(catalog: Catalog, api: Callable[..., Any]) -> None:
    there = api("offerings/?publisher=openai&count=true")["total"]
    assert there > 16
    for ordering in ("name", "-input_price", "context", "-available_on"):
        seen = []
        path = f"offerings/?publisher=openai&page_size=8&ordering={ordering}"
        while path:
            page = api(path)
            seen += [row["slug"] for row in page["results"]]
            path = page["next"].split("/api/v1/")[1] if page["next"] else ""
        assert len(seen) == len(set(seen)) == there, ordering


def test_facets_count_what_the_list_holds(catalog: Catalog, api: Callable[..., Any]) -> None:
    facets = api("offerings/facets/?origin=third&search=gpt")
    assert facets["total"] == api("offerings/?origin=third&search=gpt&count=true")["total"]
    for value in facets["facets"]["lifecycle"]:
        page = api(f"offerings/?origin=third&search=gpt&lifecycle={value['value']}&count=true")
        assert page["total"] == value["count"]


WRONG_PARAMETERS = [
    ("offerings/?flavour=1", "flavour", "unknown_parameter"),
    ("offerings/facets/?flavour=1", "flavour", "unknown_parameter"),
    ("offerings/o3/answer/?flavour=1", "flavour", "unknown_parameter"),
    ("offerings/?lifecycle=fresh", "lifecycle", "invalid_choice"),
    ("offerings/facets/?origin=both", "origin", "invalid_choice"),
    ("offerings/?as_of=yesterday", "as_of", "invalid"),
    ("offerings/o3/?as_of=yesterday", "as_of", "invalid"),
    ("offerings/?ordering=colour", "ordering", "invalid_choice"),
    ("offerings/?min_context=-1", "min_context", "min_value"),
    ("offerings/?max_input_price=NaN", "max_input_price", "invalid"),
    ("offerings/o3/answer/?on=2026-13-01", "on", "invalid"),
    ("offerings/o3/answer/?on=2026-08-14&as_of=2026-08-15", "as_of", "given_twice"),
    ("offerings/o3/answer/?country=DEU", "country", "invalid"),
    ("offerings/o3/answer/?plan=gold", "plan", "unknown_plan"),
    ("offerings/?cursor=abc", "cursor", "invalid_cursor"),
]


def test_a_wrong_parameter_is_named(api: Callable[..., Any], subtests: pytest.Subtests) -> None:
    make.offering(slug="o3")
    for path, parameter, code in WRONG_PARAMETERS:
        with subtests.test(path=path):
            (error,) = api(path, 400)["errors"]
            assert (error["parameter"], error["code"]) == (parameter, code)


def test_as_of_gives_the_lifecycle_and_treatment_of_that_day(
    catalog: Catalog, api: Callable[..., Any]
) -> None:
    stages = {
        day: api(f"offerings/claude-sonnet-4-5/?as_of={day}")["lifecycle"]
        for day in ("2025-11-17", "2025-11-18", "2026-08-02", "2026-09-01", "2026-11-30")
    }
    assert list(stages.values()) == ["announced", "generally_available", "legacy", "deprecated", "retired"]
    before = api("offerings/claude-sonnet-4-5/?as_of=2025-11-17")["eligibility"]["quota"]
    after = api("offerings/claude-sonnet-4-5/?as_of=2025-11-18")["eligibility"]["quota"]
    assert (before["counts"], before["rate"], before["until"]) == (False, "0", "2025-11-18")
    assert (after["counts"], after["rate"], after["assumed"]) == (True, "1", True)


def test_a_price_says_amount_currency_per_and_unit(catalog: Catalog, api: Callable[..., Any]) -> None:
    (price,) = api("offerings/gpt-4-1/prices/?plan=global-batch&as_of=2026-08-14")["results"]
    assert (price["plan"], price["effective_from"], price["effective_until"]) == (
        "global-batch",
        "2025-04-14",
        "2027-04-14",
    )
    assert price["rows"][0] == {
        "meter": "input-tokens",
        "tier_from": 0,
        "above_context": 0,
        "price": {"amount": "1.00", "currency": "USD", "per": 1_000_000, "unit": "token"},
    }
    assert api("offerings/gpt-4-1/prices/?as_of=2025-04-13")["results"] == []
    (unknown,) = api("offerings/gpt-4-1/prices/?plan=global-provisioned")["results"]
    assert unknown["rows"][0]["price"]["amount"] is None


def test_the_answer_names_code_replacement_and_decisions(catalog: Catalog, api: Callable[..., Any]) -> None:
    answer = api("offerings/o3/answer/?on=2026-12-01&country=de")
    assert (answer["sellable"], answer["code"], answer["country"]) == (False, "retired", "DE")
    assert answer["replacement"] == {"slug": "gpt-5", "name": "GPT-5"}
    fine = api("offerings/claude-sonnet-4-5/answer/")
    assert (fine["sellable"], fine["code"], fine["until"]) == (True, None, "2026-09-01")
    assert (
        fine["quota"]["decision"]
        == api("offerings/claude-sonnet-4-5/eligibility/")["programs"]["quota"]["decision"]
    )
    assert [w["code"] for w in fine["warnings"]] == ["legacy"]


def test_an_empty_parameter_is_as_good_as_none(catalog: Catalog, api: Callable[..., Any]) -> None:
    assert api("offerings/o3/answer/?on=&plan=&country=&customer=") == api("offerings/o3/answer/")
    assert api("offerings/o3/prices/?as_of=&plan=&market=") == api("offerings/o3/prices/")


def test_a_customers_country_counts_and_partners_learn_of_no_customer(
    catalog: Catalog, api: Callable[..., Any], browser_of: Browser
) -> None:
    Offering.objects.filter(slug="o3").update(billing_countries=["US"])
    customer = make.customer(country="DE")
    assert api(f"offerings/o3/answer/?customer={customer.slug}")["code"] == "region_unavailable"
    api("offerings/o3/answer/?customer=nobody", 404)
    partner = browser_of(make.user(role="partner"))
    assert partner.get(f"/api/v1/offerings/o3/answer/?customer={customer.slug}").status_code == 404


def test_what_is_not_yours_is_not_there(catalog: Catalog, browser_of: Browser) -> None:
    draft = Offering.objects.select_related("publisher").get(slug="claude-opus-4-5")
    Offering.objects.filter(pk=draft.pk).update(publication="draft")
    own, other = (
        browser_of(make.user(role="partner", publisher=draft.publisher)),
        browser_of(make.user(role="partner")),
    )
    below = ("", "plans/", "prices/", "eligibility/", "evaluations/", "substitutes/", "answer/")
    for path in (f"/api/v1/offerings/claude-opus-4-5/{part}" for part in below):
        assert own.get(path).status_code == 200, path
        assert other.get(path).status_code == 404, path
    for client, seen in ((own, 4), (other, 3)):
        assert client.get("/api/v1/offerings/?publisher=anthropic&count=true").json()["total"] == seen
        assert client.get("/api/v1/publishers/anthropic/").json()["offerings"] == seen
        facets = client.get("/api/v1/offerings/facets/").json()["facets"]["publisher"]
        assert next(v["count"] for v in facets if v["value"] == "anthropic") == seen
    assert other.get("/api/v1/models/claude-opus-4-5/").status_code == 404
    assert own.get("/api/v1/models/claude-opus-4-5/").status_code == 200


def test_an_unpublished_replacement_and_its_name_stay_hidden(
    catalog: Catalog, api: Callable[..., Any]
) -> None:
    Offering.objects.filter(slug="gpt-5").update(publication="draft")
    assert "gpt-5" not in [s["slug"] for s in api("offerings/o3/substitutes/")["results"]]
    assert api("offerings/o3/")["replacement"] is None
    answer = api("offerings/o3/answer/?on=2026-12-01")
    assert answer["replacement"] is None
    assert "GPT-5" not in answer["why"]


def test_an_unchanged_list_is_not_sent_again(catalog: Catalog, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    first = client.get("/api/v1/offerings/?search=claude")
    again = client.get("/api/v1/offerings/?search=claude", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    Offering.objects.filter(slug="claude-opus-4-5").update(summary="New")
    assert (
        client.get("/api/v1/offerings/?search=claude", headers={"If-None-Match": first["ETag"]}).status_code
        == 200
    )


def test_lists_cost_the_same_for_few_and_for_many(browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    make.decision(path="marketplace")
    paths = ("offerings/", "models/", "publishers/", "offerings/?ordering=-input_price&eligible=quota")

    def grow() -> None:
        make.price(plan=make.plan())

    def cost(path: str, rows: int) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get(f"/api/v1/{path}").json()["results"]) == rows
        return len(queries)

    grow()
    few = [cost(path, 1) for path in paths]
    for _ in range(5):
        grow()
    assert [cost(path, 6) for path in paths] == few
    assert max(few) <= 8


def test_substitutes_are_ranked_by_tasks_in_common_and_the_named_one_leads(
    catalog: Catalog, api: Callable[..., Any]
) -> None:
    found = api("offerings/o3/substitutes/")["results"]
    assert found[0]["slug"] == "gpt-5"
    assert found[0]["named"]
    shared = [len(s["shared_tasks"]) for s in found[1:]]
    assert shared == sorted(shared, reverse=True)
    assert {s["publisher"]["slug"] for s in found} > {"openai", "anthropic"}
    assert "o3" not in [s["slug"] for s in found]
