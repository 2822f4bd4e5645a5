"""Orders of lists: in each of them the pages hold every row once, there and back, where values tie and where they are empty."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.http import QueryDict
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEvent
from accounts.views import TRAIL
from config.ordering import Order, Orders
from quotas.models import CreditEntry, Deal, Period, PeriodClose, Statement
from quotas.selectors import ledger as ledger_selectors
from quotas.selectors.deals import latest_versions
from quotas.views import deals, ledger, statements
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db


def walked(orders: Orders, rows: "QuerySet[Any]", sort: str) -> list[list[Any]]:
    """Every page of two rows, forwards; walking back gives the same ones."""

    def page(query: str) -> tuple[list[Any], str, str]:
        found = at(query).page(rows, 2)
        return found.rows, found.previous, found.next

    def at(query: str) -> Order:
        return orders.of(QueryDict(query.removeprefix("?")))

    shown, _none, query = page(f"sort={sort}&q=kept")
    pages, before = [shown], ""
    while query:
        assert f"sort={sort}&q=kept" in query
        shown, before, query = page(query)
        pages.append(shown)
    back = [pages[-1]]
    while before:
        shown, before, _next = page(before)
        back.append(shown)
    assert back[::-1] == pages
    return pages


def value(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = getattr(row, name)
    return row


def holds(orders: Orders, rows: "QuerySet[Any]") -> None:
    every = list(rows)
    assert len(every) > 4
    for sort, fields in orders.fields.items():
        pages = walked(orders, rows, sort)
        found = [row for page in pages for row in page]
        assert sorted(row.pk for row in found) == sorted(row.pk for row in every), sort
        falling, path = fields[0].startswith("-"), fields[0].removeprefix("-")
        read = [value(row, path) for row in found]
        filled = [each for each in read if each is not None]
        assert filled == sorted(filled, reverse=falling) == read[: len(filled)], sort


@pytest.fixture
def world() -> World:
    built = make.world()
    other = make.customer(name="Aardvark")
    for n in range(6):
        owner = (built.ana, built.bo)[n % 2]
        selling.credited(
            owner=owner,
            leader=built.mia,
            customer=(built.customer, other)[n // 3],
            lines=[Line(built.house, 100_00 * (1 + n % 3))],
            close_date=make.TODAY - timedelta(days=n // 2),
            title=f"Würfel {n}",
        )
    return built


def test_every_order_of_every_long_list_walks_each_row_once(world: World) -> None:
    holds(deals.ORDERS, Deal.objects.all())
    holds(deals.BY_CLOSING, latest_versions(Deal.objects.all()))
    holds(ledger.ORDERS, CreditEntry.objects.all())
    holds(TRAIL, AuditEvent.objects.filter(table__startswith="quotas_r"))
    closes = [
        PeriodClose.objects.create(
            period=Period.objects.get(name=name), version=1, asked_by=make.login(world.mia), asked_at=make.AT
        )
        for name in ("FY27-M01", "FY27-M02")
    ]
    reps = (world.ana, world.bo, world.cy)
    Statement.objects.bulk_create(
        Statement(
            close=close,
            rep=rep,
            entries=n % 2,
            digest=f"{n}",
            issued_at=make.AT,
            acknowledged_by=rep.user if n == 1 else None,
            acknowledged_at=make.AT if n == 1 else None,
        )
        for close in closes
        for n, rep in enumerate(reps)
    )
    holds(statements.OF_A_CLOSE, Statement.objects.all())
    holds(statements.OF_A_REP, Statement.objects.all())


def shown(client: Client, **asked: str) -> str:
    return client.get(reverse("quotas:ledger"), {"period": "all", **asked}).content.decode()


def test_the_ledger_goes_by_number_always_and_by_the_rest_where_there_are_few(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    client.force_login(world.admin)
    numbers = [str(each) for each in CreditEntry.objects.order_by("id").values_list("id", flat=True)]

    def entries(page: str) -> list[str]:
        return re.findall(r">(\d+)<span class=\"sr\">: why this credit", page)

    assert entries(shown(client)) == numbers[::-1]
    assert entries(shown(client, sort="entry")) == numbers
    by_rep = CreditEntry.objects.order_by("rep__name", "id").values_list("id", flat=True)
    assert entries(shown(client, sort="rep")) == [str(each) for each in by_rep] != numbers
    by_amount = CreditEntry.objects.order_by("-amount_minor", "-id").values_list("id", flat=True)
    measure = world.bookings.slug
    assert entries(shown(client, sort="-amount", measure=measure)) == [str(each) for each in by_amount]
    assert (
        entries(shown(client, sort="-amount")) == numbers[::-1]
    )  # amounts of several measures do not compare
    monkeypatch.setattr(ledger_selectors, "MOST_ADDED", 3)
    large = shown(client, sort="rep")
    assert entries(large) == numbers[::-1]
    assert "sort=-entry" in large or "sort=entry" in large
    assert "sort=rep" not in re.findall(r"<thead>.*?</thead>", large, re.DOTALL)[0]
