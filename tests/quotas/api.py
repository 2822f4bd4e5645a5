"""How tests ask the REST API: as a signed-in person, in JSON, and what they look at in an answer."""

from typing import Any

from rest_framework.test import APIClient

from accounts.models import User
from quotas.models import Deal, Rep
from tests import make

Json = dict[str, Any]


def client(who: User | Rep) -> APIClient:
    """A browser's session of a user, or of the user behind a rep."""
    user = who.user if isinstance(who, Rep) else who
    assert user is not None
    found = APIClient()
    found.force_login(User.objects.get(pk=user.pk))  # roles are remembered on the instance
    return found


def problems(answer: Any) -> list[tuple[str, str]]:
    """(code, pointer or parameter) of each error of a problem+json answer, in order."""
    assert answer["Content-Type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    return [(error["code"], error.get("pointer", error.get("parameter"))) for error in body["errors"]]


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [row["id"] for row in answer.json()["results"]]


def usd(amount: str) -> Json:
    return {"amount": amount, "currency": "USD"}


def deal_body(world: make.World, **changes: Any) -> Json:
    """A deal of one line that Ana can log."""
    body: Json = {
        "customer": world.customer.slug,
        "close_date": "2026-08-03",
        "currency": "USD",
        "lines": [{"offering": world.third.slug, "amount": usd("1000.00")}],
    }
    return {**body, **changes}


def logged(world: make.World, who: Rep, **changes: Any) -> Deal:
    """Logged through the API."""
    answer = client(who).post("/api/v1/deals/", deal_body(world, **changes))
    assert answer.status_code == 201, answer.content
    return Deal.objects.get(pk=answer.json()["id"])


def approved(world: make.World, owner: Rep, by: Rep, **changes: Any) -> Deal:
    """Logged, submitted and approved through the API, so that it is credited."""
    deal = logged(world, owner, **changes)
    assert client(owner).post(f"/api/v1/deals/{deal.pk}/submit/").status_code == 200
    answer = client(by).post(f"/api/v1/deals/{deal.pk}/approve/")
    assert answer.status_code == 200, answer.content
    return Deal.objects.get(pk=deal.pk)
