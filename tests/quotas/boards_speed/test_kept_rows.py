"""A kept board has its order beside it: a page makes the rows that it shows, and they are those that would be worked out."""

import re
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config import clock
from quotas.models import KeptBoard, Team
from quotas.selectors import kept
from quotas.selectors.boards import ORDER, Board, Row, Rows, team_board
from quotas.selectors.kept import BeingWorkedOut
from quotas.services import approving, booking, keeping
from tests import make
from tests.make import Line, World

pytestmark = pytest.mark.django_db

SOON = make.AT + timedelta(minutes=5)
NAMES = re.compile(
    r'<th scope="row"><div class="who">.*?<(?:a|b)(?: href="[^"]*")?>([^<]*)</(?:a|b)>(?:<mark>|<small>)'
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Every board in it is a large one."""
    monkeypatch.setattr(kept, "LARGE", 0)
    monkeypatch.setattr(kept, "LARGE_ENTRIES", 0)
    monkeypatch.setattr(clock, "now", lambda: SOON)
    return make.world()


def people(world: World, many: int) -> None:
    """Members with quotas and credit of their own, so that no two stand alike."""
    for place in range(many):
        rep = make.rep(team=world.team, name=f"Person {place:02}")
        make.quota(
            measure=world.bookings, period=world.year.quarters[0], rep=rep, amount_minor=(place + 3) * 10_00
        )
        make.total(
            rep=rep,
            team=world.team,
            measure=world.bookings,
            month=world.year.month(1),
            direct_minor=10_00 + place * place,
        )


def sell(world: World, amount: int, *, days_ago: int = 0, approve: bool = True) -> None:
    draft = make.draft(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, amount)],
        shares={world.ana: 1_000_000},
        close_date=make.TODAY - timedelta(days=days_ago),
    )
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=make.AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=make.AT)
    if approve:
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=make.AT)


def board_of(world: World, team: Team, viewer: User) -> Board:
    return team_board(
        team=team, period=world.year.quarters[0], measure=world.bookings, at=SOON, viewer=viewer
    )


def keep(world: World, *teams: Team) -> None:
    for team in teams:
        with pytest.raises(BeingWorkedOut) as waits:
            board_of(world, team, world.admin)
        keeping.looked_at(waits.value.look, at=make.AT)
    for board in keeping.due(at=make.AT):
        assert keeping.keep(board_id=board, at=make.AT)


def test_rows_are_made_when_they_are_asked_for_and_ones_own_with_the_first() -> None:
    asked: list[list[int]] = []

    def made(ids: Collection[int]) -> list[Row]:
        asked.append(list(ids))
        return [Row("rep", pk, f"r-{pk}", f"Rep {pk}", "", credited_minor=pk) for pk in ids]

    rows = Rows([5, 3, 9, 7, 1], made, own=7)

    assert [row.id for row in rows[1:3]] == [3, 9]
    assert rows[1:3][0].name == "Rep 3"
    assert rows.mine == rows[3]
    assert (rows.my_place, rows[::-1].my_place, rows[:3].my_place, rows[:3].mine) == (3, 1, None, None)
    assert asked == [[3, 9, 7]], "nothing is made twice"
    assert [row.id for row in rows[::-1]] == [1, 7, 9, 3, 5]
    assert asked == [[3, 9, 7], [1, 5]]
    assert len(rows) == 5
    assert rows == [rows[at] for at in range(5)]
    assert rows != rows[1:]
    assert Rows([5], made, own=None).mine is None


def test_rows_are_looked_for_without_being_made() -> None:
    def made(ids: Collection[int]) -> list[Row]:
        assert list(ids) == [3]
        return [Row("rep", pk, "", "Ana Berg", "Specialist", credited_minor=pk) for pk in ids]

    def texts(ids: Collection[int]) -> dict[int, str]:
        return {5: "Bo Berg Specialist", 3: "Ana Berg Specialist", 9: "Cy Specialist"}

    rows = Rows([5, 3, 9], made, own=None, texts=texts)

    assert len(rows.matching(["berg", "SPEC"])) == 2
    assert [row.id for row in rows.matching(["ana"])] == [3]
    assert len(rows.matching(["Cy", "berg"])) == 0


def test_a_board_that_was_kept_without_its_order_is_the_same_board(world: World) -> None:
    people(world, 4)
    sell(world, 500_00, days_ago=20)
    sell(world, 90_00)
    sell(world, 70_00, approve=False)
    keep(world, world.region, world.team)
    viewers = [world.admin, make.login(world.mia), make.login(world.ana)]
    shown = [board_of(world, team, viewer) for team in (world.region, world.team) for viewer in viewers]
    assert shown[-1].ranked > 3
    assert shown[-1].behind > 0
    assert shown[-1].waiting == 1
    for board in KeptBoard.objects.all():
        body = board.body or {}
        assert len(body.pop(ORDER)["places"]) == len(body["members"] or {1, 2}) - (board.team == world.team)
        KeptBoard.objects.filter(pk=board.pk).update(body=body)

    again = [board_of(world, team, viewer) for team in (world.region, world.team) for viewer in viewers]

    assert [replace(each, look=None) for each in again] == [replace(each, look=None) for each in shown]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "&page=2",
        "&sort=attainment",
        "&sort=name",
        "&sort=-credited&page=2",
        "&sort=landing",
        "&show=behind",
        "&show=pending",
        "&q=person+1",
        "&q=EXECUTIVE+2&sort=-name",
        "&q=person&show=behind",
    ],
)
def test_a_page_of_a_kept_board_shows_what_a_page_worked_out_would(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    people(world, 54)
    sell(world, 90_00, approve=False)
    keep(world, world.team)
    address = f"/quotas/board/{world.team.slug}/?period=FY27-Q1{asked}"
    for viewer in (world.ana, world.mia):
        client.force_login(make.login(viewer))
        said = client.get(address).content.decode()
        with monkeypatch.context() as small:
            small.setattr(kept, "LARGE", 10**9)
            KeptBoard.objects.update(built_at=None)
            worked_out = client.get(address).content.decode()
        KeptBoard.objects.update(built_at=make.AT)

        def of(page: str) -> tuple[list[str], list[str], bool]:
            rows = page[page.index('id="rows"') : page.index("</table>")]
            return NAMES.findall(rows), re.findall(r"<em>\d+</em>|\d+ of \d+", rows), "page=2" in page

        assert "All figures as of" in said
        assert "All figures as of" not in worked_out
        assert of(said) == of(worked_out)
        assert of(said)[0]


def test_a_page_of_a_kept_board_asks_as_often_for_many_as_for_few_and_names_those_it_shows(
    world: World, client: Client
) -> None:
    people(world, 3)
    keep(world, world.team)
    client.force_login(make.login(world.ana))
    address = f"/quotas/board/{world.team.slug}/?period=FY27-Q1"

    def asked() -> list[str]:
        with CaptureQueriesContext(connection) as seen:
            assert client.get(address).status_code == 200
        return [query["sql"] for query in seen]

    asked()
    few = asked()
    people(world, 70)
    KeptBoard.objects.update(built_at=None)
    assert keeping.keep(board_id=KeptBoard.objects.get().pk, at=make.AT)
    many = asked()

    assert len(many) <= len(few)
    names = [sql for sql in many if '"quotas_rep"."slug" AS "slug"' in sql]
    assert len(names) == 1
    assert len(re.findall(r"\b\d+\b", names[0].partition("WHERE")[2])) == 51, "fifty, and the viewer"
