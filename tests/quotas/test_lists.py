"""The menu of a list: columns in the address, density in a cookie, views under names of one's own."""

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from accounts.models import SavedView, User
from config.lists import kept, page_of
from tests import make
from tests.make import Line, World

pytestmark = pytest.mark.django_db
Browser = Callable[..., Client]

DEALS = "/quotas/deals/"


@pytest.fixture
def browser_of() -> Browser:
    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def world() -> World:
    built = make.world()
    make.deal(owner=built.ana, customer=built.customer, lines=[Line(built.house, 5_00)])
    return built


def table(client: Client, address: str) -> str:
    found = re.search(r'<table class="([^"]*)"', client.get(address).content.decode())
    assert found is not None
    return found[1]


def test_columns_stand_in_the_address_beside_the_filters(world: World, browser_of: Browser) -> None:
    client = browser_of(world.mia.user)
    assert table(client, DEALS) == ""
    sent = client.post(
        "/lists/",
        {
            "here": f"{DEALS}?state=draft&cursor=x&hide=value",
            "columns": "sold,owner,closed,value,credit",
            "show": ["sold", "closed", "value"],
        },
    )
    assert sent["Location"] == f"{DEALS}?state=draft&hide=owner,credit"
    assert table(client, sent["Location"]) == "no-k2 no-k5"
    assert table(client, f"{DEALS}?hide=nothing,closed") == "no-k3"
    again = client.post("/lists/", {"here": f"{DEALS}?hide=owner", "columns": "sold,owner", "reset": "1"})
    assert again["Location"] == DEALS


def test_how_close_rows_stand_holds_in_every_list(world: World, browser_of: Browser) -> None:
    client = browser_of(world.mia.user)
    client.post("/lists/", {"here": DEALS, "columns": "owner", "show": "owner", "close": "1"})
    assert 'data-rows="close"' in client.get("/quotas/leaderboard/").content.decode()
    client.post("/lists/", {"here": DEALS, "columns": "owner", "show": "owner"})
    assert 'data-rows="close"' not in client.get("/quotas/leaderboard/").content.decode()


def test_a_view_belongs_to_its_owner_and_its_page(world: World, browser_of: Browser) -> None:
    client, other = browser_of(world.mia.user), browser_of(world.ana.user)
    board = f"/quotas/board/{world.team.slug}/"
    kept_at = client.post("/lists/views/", {"here": f"{board}?sort=name&hide=pace", "name": "By name"})
    assert kept_at["Location"] == f"{board}?sort=name&hide=pace"
    view = SavedView.objects.get()
    assert (view.page, view.query) == (f"quotas:board/{world.team.slug}", "sort=name&hide=pace")
    assert 'href="?sort=name&amp;hide=pace"' in client.get(board).content.decode()
    assert "By name" not in other.get(board).content.decode()
    assert "By name" not in client.get(f"/quotas/board/{world.company.slug}/").content.decode()
    assert other.post(f"/lists/views/{view.pk}/remove/", {"here": board}).status_code == 404
    assert client.post(f"/lists/views/{view.pk}/remove/", {"here": board})["Location"] == board
    assert not SavedView.objects.exists()


@pytest.mark.parametrize(
    "here", ["", "https://evil.example/", "//evil.example/quotas/deals/", "/no/such/page/"]
)
def test_the_menu_leads_back_to_pages_of_ours_alone(world: World, browser_of: Browser, here: str) -> None:
    client = browser_of(world.mia.user)
    for address in ("/lists/", "/lists/views/"):
        assert client.post(address, {"here": here, "name": "X"}).status_code == 404
    assert not SavedView.objects.exists()


def test_a_page_of_a_list_is_no_part_of_a_view() -> None:
    assert kept(QueryDict("q=a+b&cursor=x&state=&page=3&team=a&team=b")) == "q=a+b&team=a&team=b"
    assert page_of("/quotas/deals/") == "quotas:deals"
    assert page_of("/no/such/page/") == ""


def rows_of(client: Client, address: str) -> list[dict[str, str]]:
    answer: Any = client.get(address)
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


def test_a_file_leaves_out_what_is_hidden_in_its_list(world: World, browser_of: Browser) -> None:
    client = browser_of(world.mia.user)
    whole, less = (rows_of(client, f"{DEALS}?format=csv{hide}") for hide in ("", "&hide=owner,value,nothing"))
    gone = ("Owner", "Shares", "Value", "Currency")
    assert less == [{name: text for name, text in row.items() if name not in gone} for row in whole] != whole
    board = f"/quotas/board/{world.team.slug}/"
    assert {"Quota", "Landing %"} - set(rows_of(client, f"{board}?format=csv&hide=quota")[0]) == {"Quota"}
    checker = browser_of(world.admin)
    trail = rows_of(checker, "/accounts/audit/?format=csv&hide=what")
    assert len({row["Change"] for row in trail}) == len(
        trail
    )  # a row a change, as its columns are not asked for
    assert "Before" not in trail[0]
    assert "Who" in trail[0]
