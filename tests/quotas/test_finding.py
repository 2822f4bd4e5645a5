"""Deals are found by parts of names and titles, by external ids and numbers, misspelt or not; nobody finds what he may not see."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Role, User
from quotas.models import Deal, Rep
from quotas.selectors import finding
from quotas.services import booking
from tests import make
from tests.make import Line, World

pytestmark = pytest.mark.django_db
Search = Callable[..., set[str]]


@pytest.fixture
def world() -> World:
    built = make.world()
    Rep.objects.filter(pk=built.ana.pk).update(name="Ana Belén Ortiz")
    for name, external_id, title, sold in (
        ("Northwind Health", "Opp-00417", "", built.house),
        ("Northwind Foods", "", "Würfel, second year", built.third),
        ("Kestrel & Sons", "", "", built.house),
    ):
        draft = make.draft(
            owner=built.ana,
            customer=make.customer(name=name),
            lines=[Line(sold, 100_00)],
            external_id=external_id,
            source="crm" if external_id else "parity",
            title=title,
        )
        booking.log_deal(draft=draft, by=make.login(built.ana), at=make.AT)
    return built


def page(user: User, text: str) -> str:
    client = Client()
    client.force_login(user)
    return client.get(reverse("quotas:deals"), {"q": text}).content.decode()


def found(user: User, text: str) -> set[str]:
    rows = re.findall(r'<th scope="row"><a[^>]*>([^<]*)</a>', page(user, text))
    return {row.replace("&amp;", "&") for row in rows}


FOODS, HEALTH, SONS = "Northwind Foods", "Northwind Health", "Kestrel & Sons"


@pytest.mark.parametrize("most", [finding.MOST, 0], ids=["by ids", "by the names themselves"])
def test_every_word_is_part_of_some_name_title_or_id(
    world: World, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(finding, "MOST", most)
    mia = make.login(world.mia)
    for text, expected in {
        "northwind": {FOODS, HEALTH},
        "WIND heal": {HEALTH},
        "sons & kestrel": {SONS},
        "third-party north": {FOODS},
        "ort": {FOODS, HEALTH, SONS},
        "belén northwind": {FOODS, HEALTH},
        "würf": {FOODS},
        "second": {FOODS},
        "k": {SONS},
        "nor": {FOODS, HEALTH},
        "northwind kestrel": set(),
        "&": set(),
    }.items():
        assert found(mia, text) == expected, text


def test_an_external_id_a_number_and_what_is_misspelt_are_found(world: World) -> None:
    mia = make.login(world.mia)
    deal = Deal.objects.get(customer__name=SONS)
    assert found(mia, "opp-00417") == {HEALTH}
    assert found(mia, deal.reference) == found(mia, f"{deal.pk}") & {SONS} == {SONS}
    assert found(mia, "belen") == {FOODS, HEALTH, SONS}  # without its accent
    assert found(mia, "wurfel") == {FOODS}
    assert found(mia, "norhtwind fodos") == {FOODS}
    assert "Showing results for “northwind foods”" in page(mia, "norhtwind fodos")
    assert "Showing results" not in page(mia, "northwind")
    assert found(make.login(world.zed), "northwind") == set()
    assert "Showing results" not in page(make.login(world.zed), "norhtwind")  # would tell of a name


def test_a_partner_finds_deals_by_offerings_of_its_own_alone(world: World) -> None:
    both = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, 5_00), Line(world.third, 5_00)],
        state="submitted",
    )
    partner = make.user(role=Role.PARTNER, publisher=world.third.publisher)
    assert found(partner, world.third.name) == {both.reference}
    for text in (world.house.name, world.customer.name, "ortiz", "würfel"):
        assert found(partner, text) == set()


def test_what_nearly_every_deal_has_is_not_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def chips(text: str) -> list[tuple[str, str]]:
        return re.findall(
            r'hx-push-url="true">(\w+)(?:<em>(\d+)</em>)?</a>', page(make.login(world.mia), text)
        )

    assert ("All", "2") in chips("northwind")
    monkeypatch.setattr(finding, "MOST", 0)
    assert ("All", "") in chips("northwind")
    assert ("Draft", "") in chips("northwind")


def test_the_palette_finds_deals_by_external_id_and_title(world: World) -> None:
    def palette(rep: Rep, text: str) -> str:
        client = Client()
        client.force_login(make.login(rep))
        return client.get(reverse("quotas:find"), {"q": text}).content.decode()

    health, foods = (Deal.objects.get(customer__name=name) for name in (HEALTH, FOODS))
    assert health.reference in palette(world.ana, "OPP-00417")
    assert foods.reference in palette(world.ana, "würfel")
    assert foods.reference not in palette(world.cy, "würfel")
    assert "Ana Bel" in palette(world.mia, "belen")
