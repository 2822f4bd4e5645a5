"""What the schema promises of the sales endpoints is what they answer."""

from collections.abc import Callable
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker  # type: ignore[import-untyped]
from referencing import Registry, Resource

from quotas.models import CreditEntry, PeriodClose, Quota
from tests import make
from tests.quotas.api import approved, client, deal_body, logged, usd

pytestmark = pytest.mark.django_db
PLACE = "urn:parity:schema"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    generated: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return generated


Promised = Callable[..., Draft202012Validator]


@pytest.fixture(scope="module")
def promised(schema: dict[str, Any]) -> Promised:
    """What an operation answers with. Objects are closed, so that a member that is not described is found too."""
    resource = Resource.from_contents(
        {"$schema": "https://json-schema.org/draft/2020-12/schema", **_closed(schema)}
    )
    registry = Registry().with_resource(PLACE, resource)

    def of(path: str, method: str = "get", status: str = "200") -> Draft202012Validator:
        content = schema["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        return Draft202012Validator(_absolute(content), registry=registry, format_checker=FormatChecker())

    return of


def _closed(part: Any) -> Any:
    """The same schema, its references absolute and its objects without room for more."""
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {key: _closed(value) for key, value in _absolute(part).items()}
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def _absolute(part: dict[str, Any]) -> dict[str, Any]:
    return {
        key: f"{PLACE}{value}"
        if key == "$ref" and value.startswith("#")
        else _absolute(value)
        if isinstance(value, dict)
        else value
        for key, value in part.items()
    }


def test_every_answer_is_as_its_schema_says(schema: dict[str, Any], promised: Promised) -> None:
    world = make.world()
    make.measure(slug="new-customers", basis="new_customers")
    deal = approved(world, world.ana, world.mia)
    missing = approved(
        world, world.ana, world.mia, lines=[{"offering": world.house.slug, "amount": usd("0.00")}]
    )
    assert missing.uncredited_lines.count() > 0
    entry, quota = CreditEntry.objects.all()[0], Quota.objects.filter(rep=world.ana)[0]
    month = PeriodClose.objects.create(
        period=world.year.month(1),
        version=1,
        state="called_back",
        asked_by=world.admin,
        asked_at=make.AT,
        ended_at=make.AT,
    )
    of_measure = f"/api/v1/leaderboards/{world.bookings.slug}/"
    addresses = {
        "/api/v1/deals/": ["/api/v1/deals/", "/api/v1/deals/?count=true&page_size=1"],
        "/api/v1/deals/{id}/": [f"/api/v1/deals/{deal.pk}/"],
        "/api/v1/deals/{id}/explanation/": [f"/api/v1/deals/{d.pk}/explanation/" for d in (deal, missing)],
        "/api/v1/credits/": ["/api/v1/credits/"],
        "/api/v1/credits/{id}/": [f"/api/v1/credits/{entry.pk}/"],
        "/api/v1/credits/{id}/explanation/": [f"/api/v1/credits/{entry.pk}/explanation/"],
        "/api/v1/quotas/": ["/api/v1/quotas/"],
        "/api/v1/quotas/{id}/": [f"/api/v1/quotas/{quota.pk}/"],
        "/api/v1/attainments/": [
            "/api/v1/attainments/",
            "/api/v1/attainments/?group=team",
            "/api/v1/attainments/?measure=new-customers",
        ],
        "/api/v1/leaderboards/": ["/api/v1/leaderboards/"],
        "/api/v1/leaderboards/{measure}/": [
            of_measure,
            f"{of_measure}?page_size=1",
            f"{of_measure}?group=offering",
            "/api/v1/leaderboards/new-customers/?by=attainment&group=team",
        ],
        "/api/v1/periods/": ["/api/v1/periods/"],
        "/api/v1/periods/{name}/": ["/api/v1/periods/FY27/", "/api/v1/periods/FY27-M01/"],
        "/api/v1/periods/{name}/checklist/": ["/api/v1/periods/FY27-M01/checklist/"],
        "/api/v1/periods/{name}/closes/": [f"/api/v1/periods/{month.period.name}/closes/"],
        "/api/v1/periods/{name}/closes/{id}/": [f"/api/v1/periods/{month.period.name}/closes/{month.pk}/"],
        "/api/v1/quotas/{id}/versions/": [f"/api/v1/quotas/{quota.pk}/versions/"],
        "/api/v1/accounts/": ["/api/v1/accounts/"],
        "/api/v1/accounts/{slug}/": [f"/api/v1/accounts/{world.customer.slug}/"],
        "/api/v1/customers/": ["/api/v1/customers/"],
        "/api/v1/customers/{slug}/": [f"/api/v1/customers/{world.customer.slug}/"],
    }
    partner = make.user(role="partner", publisher=world.third.publisher)
    people = [client(who) for who in (world.admin, world.ana, partner)]
    for path, asked in addresses.items():
        says = promised(path)
        for address in asked:
            for who in people:
                answer = who.get(address)
                if answer.status_code != 404:
                    assert answer.status_code == 200, address
                    says.validate(answer.json())
    ours = {path for path in schema["paths"] if path.split("/")[3] in {a.split("/")[3] for a in addresses}}
    read = {path for path in ours if "get" in schema["paths"][path]}
    assert read == set(addresses)


def test_what_is_written_answers_as_its_schema_says(promised: Promised) -> None:
    world = make.world()
    ana = client(world.ana)
    logging = ana.post("/api/v1/deals/", deal_body(world))
    promised("/api/v1/deals/", "post", "201").validate(logging.json())
    estimate = ana.post("/api/v1/credit-estimates/", deal_body(world))
    promised("/api/v1/credit-estimates/", "post").validate(estimate.json())
    nothing = ana.post(
        "/api/v1/credit-estimates/",
        deal_body(world, lines=[{"offering": world.third.slug, "amount": usd("0.00")}]),
    )
    promised("/api/v1/credit-estimates/", "post").validate(nothing.json())
    deal = logged(world, world.ana)
    steps = (
        ("submit", world.ana),
        ("return", world.mia),
        ("submit", world.ana),
        ("approve", world.mia),
        ("cancel", world.mia),
    )
    for step, who in steps:
        answer = client(who).post(
            f"/api/v1/deals/{deal.pk}/{step}/", {} if step == "submit" else {"reason": "Because."}
        )
        promised(f"/api/v1/deals/{{id}}/{step}/", "post").validate(answer.json())


def test_a_sent_deal_is_described_with_its_required_members(schema: dict[str, Any]) -> None:
    described = schema["components"]["schemas"]["NewDealRequest"]
    assert sorted(described["required"]) == ["close_date", "currency", "customer", "lines"]
    line = schema["components"]["schemas"]["DealLineBodyRequest"]
    assert sorted(line["required"]) == ["amount", "offering"]
    asked = {p["name"] for p in schema["paths"]["/api/v1/deals/"]["get"]["parameters"] if p["in"] == "query"}
    assert asked == {
        "state",
        "kind",
        "period",
        "amended",
        "external_id",
        "source",
        "owner",
        "customer",
        "ordering",
        "cursor",
        "page_size",
        "count",
    }
