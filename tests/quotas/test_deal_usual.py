"""What the form of a deal proposes once the customer is known: the currency of its last deal, and what it bought before."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from tests import make
from tests.make import Line, World
from tests.quotas.test_pages import entered

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    built = make.world()
    make.fx(code="EUR", rate="1.1")
    make.deal(owner=built.ana, customer=built.customer, lines=[Line(built.third, 5_00)], code="EUR")
    return built


def told(world: World, user: User | None, **fields: str) -> str:
    assert user is not None
    client = Client()
    client.force_login(user)
    sent = entered(world, left="1", **fields)
    return client.post(reverse("quotas:deal-estimate"), sent, headers={"HX-Request": "true"}).content.decode()


def currency(page: str) -> str:
    """Which one the renewed field has, nothing where it is left alone."""
    found = re.search(r'id="deal-currency".*?<option value="(\w+)" selected', page, re.DOTALL)
    return found[1] if found else ""


def test_another_customer_brings_its_currency_once_and_what_it_bought(world: World) -> None:
    first = told(world, world.ana.user, usual_of="")
    assert currency(first) == "EUR"
    assert f'<option value="{world.third.name}">' in first.partition('id="offerings-first"')[2]
    assert f'name="usual_of" value="{world.customer.pk}"' in first
    assert ">EUR</span>" in first.partition('id="line-0-code"')[2]
    # Who then chooses dollars keeps them.
    again = told(world, world.ana.user, usual_of=str(world.customer.pk))
    assert currency(again) == ""
    assert ">USD</span>" in again.partition('id="line-0-code"')[2]


def test_what_colleagues_sold_it_is_not_told(world: World) -> None:
    seen = told(world, make.login(world.bo), usual_of="")
    assert currency(seen) == ""
    assert "Last deal" not in seen


def test_the_cursor_stands_where_the_next_thing_is_to_be_done(world: World) -> None:
    client = Client()
    assert world.ana.user is not None
    client.force_login(world.ana.user)

    def starts(page: str) -> list[str]:
        return re.findall(r'<input[^>]* autofocus[^>]* id="([\w-]+)"', page)

    new = reverse("quotas:deal-new")
    assert starts(client.get(new).content.decode()) == ["id_customer"]
    added = client.post(new, entered(world, do="add-line")).content.decode()
    assert starts(added) == ["id_lines-1-offering"]
    wrong = client.post(new, entered(world, do="submit", lines__0__amount="")).content.decode()
    assert starts(wrong) == ["id_lines-0-amount"]
