"""How tests ask the REST API: as a signed-in person, in JSON, and what they look at in an answer."""

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from marketplace.models import Customer, Offering
from quotas.crediting import engine
from quotas.models import Deal, DealKind, DealState, Rep
from quotas.services import approving, booking
from tests import kept, make

Json = dict[str, Any]
Browser = TypeVar("Browser", bound=Client)
MORNING = make.AT.replace(hour=0)  # before whatever a request of the same day says


def signed_in(browser: Browser, who: User | Rep) -> Browser:
    """With the session of a user, or of the user behind a rep, as signing in leaves it; a seventh of the work of force_login."""
    user = make.login(who) if isinstance(who, Rep) else who
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save(must_create=True)
    assert session.session_key is not None
    browser.cookies[settings.SESSION_COOKIE_NAME] = session.session_key
    return browser


def client(who: User | Rep) -> APIClient:
    return signed_in(APIClient(), who)


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


def posted(world: make.World, who: Rep, **changes: Any) -> Deal:
    """Logged through the API."""
    answer = client(who).post("/api/v1/deals/", deal_body(world, **changes))
    assert answer.status_code == 201, answer.content
    return Deal.objects.get(pk=answer.json()["id"])


def logged(world: make.World, who: Rep, **changes: Any) -> Deal:
    """A draft in USD of what *changes* make of deal_body, where it is not the request that matters."""
    body = deal_body(world, **changes)
    lines = [
        make.Line(
            Offering.objects.get(slug=line["offering"]), int(Decimal(line["amount"]["amount"]).scaleb(2))
        )
        for line in body["lines"]
    ]
    shares = {
        Rep.objects.get(slug=share["rep"]): int(Decimal(share["percent"]).scaleb(4))
        for share in body.get("shares", [])
    }
    draft = make.draft(
        owner=Rep.objects.get(slug=body["owner"]) if "owner" in body else who,
        customer=Customer.objects.get(slug=body["customer"]),
        lines=lines,
        shares=shares,
        kind=body.get("kind", DealKind.NEW_BUSINESS),
        close_date=date.fromisoformat(body["close_date"]),
        title=body.get("title", ""),
        new_customer=body.get("new_customer", False),
        source="api",
    )
    return booking.log_deal(draft=draft, by=make.login(who), at=MORNING)


def submitted(world: make.World, who: Rep, **changes: Any) -> Deal:
    return booking.submit_deal(deal_id=logged(world, who, **changes).pk, by=make.login(who), at=MORNING)


def approved(world: make.World, owner: Rep, by: Rep, **changes: Any) -> Deal:
    """Logged, submitted and approved, so that it is credited."""
    deal = submitted(world, owner, **changes)
    approving.approve_deal(deal_id=deal.pk, by=make.login(by), at=MORNING)
    return Deal.objects.get(pk=deal.pk)


@transaction.atomic
def credited_at_once(*sales: make.Sale) -> list[Deal]:
    """Approved deals as make.deals() writes them, and what the engine posts for all of them at once."""
    deals = make.deals(replace(sale, state=DealState.APPROVED) for sale in sales)
    pks = [deal.pk for deal in deals]
    engine.post(engine.ByDeal(pks), key=f"made-{pks[0]}", kind="load", by=None, at=MORNING)
    return deals


@dataclass(frozen=True)
class Scene:
    """Ana sold the third-party model, Cy of the other team the house's own, and both together the third-party one again."""

    world: make.World
    anas: Deal
    cys: Deal
    both: Deal
    draft: Deal
    people: dict[str, User]

    def client(self, who: str) -> APIClient:
        return client(self.people[who])


@kept.world
def scene() -> Scene:
    world = make.world()
    half = [{"rep": rep.slug, "percent": "50"} for rep in (world.ana, world.cy)]
    house = [{"offering": world.house.slug, "amount": usd("77.00")}]
    sellers = (world.ana, world.bo, world.cy, world.mia, world.zed, world.rex)
    return Scene(
        world=world,
        anas=approved(
            world,
            world.ana,
            world.mia,
            title="Secret of Ana",
            shares=[{"rep": world.ana.slug, "percent": "100"}],
        ),
        cys=approved(world, world.cy, world.zed, lines=house),
        both=approved(world, world.ana, world.mia, shares=half),
        draft=logged(world, world.ana),
        people={
            **dict(zip(("ana", "bo", "cy", "mia", "zed", "rex"), map(make.login, sellers), strict=True)),
            "admin": world.admin,
            "auditor": world.auditor,
            "third": make.user(role="partner", publisher=world.third.publisher),
            "house": make.user(role="partner", publisher=world.house.publisher),
            "stranger": make.user(role="partner"),
            "engineer": make.user(role="engineer"),
            "catalog": make.user(role="catalog_manager"),
        },
    )
