"""Boards of many people are kept: what is kept is what would be worked out, and whoever shows it says of when it is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config import clock
from quotas.models import ONE, CreditEntry, KeptBoard, KeptPlace, Period, Team
from quotas.selectors import asof, kept
from quotas.selectors.approvers import WAITING, Approvers, approvals_waiting_for, count_waiting_for
from quotas.selectors.boards import Board, team_board
from quotas.selectors.leaderboard import Leaderboard, Standing, leaderboard
from quotas.selectors.ledger import newest
from quotas.selectors.visibility import deals_for
from quotas.services import approving, booking, keeping
from quotas.services.delegating import delegate, set_limit
from tests import make
from tests.make import Line, World

pytestmark = pytest.mark.django_db

SOON = make.AT + timedelta(minutes=5)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Every board in it is a large one."""
    monkeypatch.setattr(kept, "LARGE", 0)
    monkeypatch.setattr(kept, "LARGE_ENTRIES", 0)
    return make.world()


def sell(
    world: World, rep: Any, leader: Any, amount: int, *, days_ago: int = 0, at: datetime = make.AT
) -> int:
    draft = make.draft(
        owner=rep,
        customer=world.customer,
        lines=[Line(world.house, amount), Line(world.third, amount // 3)],
        shares={rep: 900_000, world.cy if rep != world.cy else world.bo: 100_000},
        close_date=make.TODAY - timedelta(days=days_ago),
    )
    deal = booking.log_deal(draft=draft, by=rep.user, at=at)
    booking.submit_deal(deal_id=deal.pk, by=rep.user, at=at)
    if leader is not None:
        approving.approve_deal(deal_id=deal.pk, by=leader.user, at=at)
    return deal.pk


def some_credit(world: World) -> None:
    sell(world, world.ana, world.mia, 500_00, days_ago=20)
    sell(world, world.cy, world.zed, 300_00, days_ago=20)
    sell(world, world.cy, world.zed, 300_00, days_ago=6)
    sell(world, world.bo, world.mia, 550_00)
    sell(world, world.ana, None, 70_00)
    # Two who tie, and one with credit and nothing to rank it by.
    for _ in range(2):
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=make.rep(team=world.other))
    make.total(
        rep=make.rep(team=world.other),
        team=world.other,
        measure=world.bookings,
        month=world.year.month(1),
        direct_minor=12_00,
    )


def ranks(world: World, at: datetime = SOON, **asked: Any) -> Leaderboard:
    given: dict[str, Any] = {"by": "attainment", "group": "rep", **asked}
    return leaderboard(measure=world.bookings, period=world.year.quarters[0], at=at, **given)


def board_of(world: World, team: Team, viewer: User, at: datetime = SOON) -> Board:
    return team_board(team=team, period=world.year.quarters[0], measure=world.bookings, at=at, viewer=viewer)


def keep_everything(at: datetime = make.AT) -> int:
    boards = keeping.due(at=at)
    assert all(keeping.keep(board_id=board, at=at) for board in boards)
    return len(boards)


def all_pages(world: World, **asked: Any) -> list[Standing]:
    found: list[Standing] = []
    cursor = None
    while True:
        page = ranks(world, limit=2, after=cursor, **asked)
        assert page.kept
        found += page.entries
        cursor = page.cursor
        if cursor is None:
            return found


BOARDS: list[dict[str, Any]] = [
    {"by": by, "group": group, "within": within}
    for by, group in (("attainment", "rep"), ("credit", "rep"), ("attainment", "team"), ("credit", "team"))
    for within in (False, True)
] + [{"by": "credit", "group": group, "within": False} for group in ("publisher", "offering")]


def test_a_kept_leaderboard_is_the_one_that_would_be_worked_out(world: World) -> None:
    some_credit(world)
    asked: list[dict[str, Any]] = [
        {"by": each["by"], "group": each["group"], "team": world.region if each["within"] else None}
        for each in BOARDS
    ]
    live = [ranks(world, **each) for each in asked]
    middle = ranks(world, around_rep=world.ana.pk, limit=2)
    for page in live:
        assert not page.kept
        keeping.looked_at(page.look, at=make.AT)

    assert keep_everything() == len(BOARDS)

    for each, page in zip(asked, live, strict=True):
        again = ranks(world, **each)
        assert again.kept
        assert again.as_of == make.AT
        assert page.as_of == SOON
        # When a tie was reached is known to both; what the live board leaves open is no part of what is shown.
        assert list(again.entries) == list(page.entries), each
        assert all_pages(world, **each) == list(page.entries), each
    assert any(entry.previous_rank not in (None, entry.rank) for entry in live[0].entries)
    assert any(entry.rank is None for entry in live[0].entries)
    around = ranks(world, around_rep=world.ana.pk, limit=2)
    assert around.kept
    assert list(around.entries) == list(middle.entries)
    assert ranks(world, around_rep=world.mia.pk).entries == []


def test_a_kept_quota_board_is_the_one_that_would_be_worked_out(world: World) -> None:
    some_credit(world)
    viewers = [world.admin, make.login(world.mia), make.login(world.ana)]
    for team in (world.region, world.team):
        keeping.looked_at(board_of(world, team, world.admin).look, at=make.AT)
    live = [board_of(world, team, viewer) for team in (world.region, world.team) for viewer in viewers]

    assert keep_everything() == 2

    shown = [board_of(world, team, viewer) for team in (world.region, world.team) for viewer in viewers]
    for mine, theirs in zip(shown, live, strict=True):
        assert mine.kept
        assert not theirs.kept
        assert mine.as_of == make.AT
        assert replace(mine, look=None, as_of=SOON) == replace(theirs, look=None)
    assert live[0].credited_minor > 0
    assert live[0].pending_minor > 0
    assert sum(live[0].bands) == 5
    assert live[-1].rows[0].money != live[-1].rows[-1].money, "who looks decides what is shown"


def test_what_is_kept_says_of_when_it_is_until_it_is_worked_out_again(world: World) -> None:
    some_credit(world)
    keeping.looked_at(ranks(world).look, at=make.AT)
    keep_everything()
    sell(world, world.ana, world.mia, 9_000_00, at=SOON)

    old = ranks(world)
    assert old.as_of == make.AT
    assert old.entries[0].name == "Cy"
    late = make.AT + kept.FRESH + timedelta(minutes=1)
    assert not ranks(world, at=late).kept, "too old to be shown, and something has changed since"
    assert ranks(world, at=late).entries[0].name == "Ana"
    assert keep_everything(at=SOON) == 1
    assert ranks(world).as_of == SOON
    assert ranks(world).entries[0].name == "Ana"
    assert keeping.due(at=SOON + timedelta(minutes=2)) == [], "nothing has changed since"
    assert ranks(world, at=SOON + timedelta(hours=2)).kept, "old, and still so"
    tomorrow = make.AT + timedelta(days=1)
    assert not ranks(world, at=tomorrow).kept, "another day has other ranks of a week ago"
    assert len(keeping.due(at=tomorrow)) == 1, "it is ready in the morning"


def test_a_board_that_is_changed_all_the_time_is_left_alone_for_a_while(world: World) -> None:
    some_credit(world)
    keeping.looked_at(ranks(world).look, at=make.AT)
    keep_everything()
    KeptBoard.objects.update(took_ms=10_000)
    sell(world, world.cy, world.zed, 9_000_00, at=SOON)
    assert keeping.due(at=make.AT + timedelta(seconds=199)) == []
    assert len(keeping.due(at=make.AT + timedelta(seconds=200))) == 1


def test_what_nobody_looks_at_is_left_alone_and_thrown_away_in_the_end(world: World) -> None:
    some_credit(world)
    keeping.looked_at(ranks(world).look, at=make.AT)
    keep_everything()
    assert KeptPlace.objects.exists()
    assert keeping.due(at=make.AT + timedelta(days=20)) == []
    assert KeptBoard.objects.exists()
    assert keeping.due(at=make.AT + timedelta(days=31)) == []
    assert not KeptBoard.objects.exists()
    assert not KeptPlace.objects.exists()


def test_a_small_board_and_one_of_another_time_are_never_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_credit(world)
    monkeypatch.setattr(kept, "LARGE", 1_000)
    keeping.looked_at(ranks(world).look, at=make.AT)
    keeping.looked_at(board_of(world, world.team, world.admin).look, at=make.AT)
    monkeypatch.setattr(kept, "LARGE", 0)
    restated = asof.reading(world.year.quarters[0], view="restated")
    keeping.looked_at(ranks(world, reading=restated).look, at=make.AT)
    assert not KeptBoard.objects.exists()


def test_pages_keep_a_large_board_and_say_of_when_it_is(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_credit(world)
    client.force_login(world.admin)
    monkeypatch.setattr(clock, "now", lambda: make.AT)
    pages = ("/quotas/leaderboard/", "/quotas/leaderboard/wall/", f"/quotas/board/{world.region.slug}/")
    for page in pages:
        assert client.get(page).status_code == 200
    assert KeptBoard.objects.count() == 2
    keep_everything()
    monkeypatch.setattr(clock, "now", lambda: SOON)
    said = {page: client.get(page).content.decode() for page in pages}
    assert "All ranks as of" in said[pages[0]]
    assert "6 in all, ranked as of" in said[pages[0]]
    assert "All figures as of" in said[pages[2]]
    answer = client.get(f"/api/v1/leaderboards/{world.bookings.slug}/?by=attainment")
    assert datetime.fromisoformat(answer.json()["as_of"]) == make.AT


def test_a_team_of_many_is_shown_fifty_at_a_time_and_finds_oneself(world: World, client: Client) -> None:
    quarter = world.year.quarters[0]
    for place in range(55):
        rep = make.rep(team=world.team, name=f"Person {place:02}")
        make.quota(measure=world.bookings, period=quarter, rep=rep)
        make.total(
            rep=rep,
            team=world.team,
            measure=world.bookings,
            month=world.year.month(1),
            direct_minor=10_00 + place,
        )
    client.force_login(make.login(world.ana))
    address = f"/quotas/board/{world.team.slug}/?period=FY27-Q1"

    first = client.get(address).content.decode()
    second = client.get(address + "&page=2").content.decode()

    shown = [first.count(f"Person {place:02}</") for place in range(55)]
    assert sum(map(bool, shown)) == 50
    assert "Person 04</" not in first
    assert "Person 04</" in second
    assert "Page 1 of 2" in first
    assert "page=2#rows" in first
    assert "<mark>You</mark>" in second
    assert "Person 04</" in client.get(address + "&q=person+04").content.decode(), (
        "found on no page but its own"
    )


def test_the_newest_entries_come_from_all_months_in_one_order(world: World) -> None:
    some_credit(world)
    months = list(Period.objects.filter(grain="M").values_list("pk", flat=True))
    entries = CreditEntry.objects.all()
    every = sorted(entries.values_list("id", flat=True), reverse=True)
    assert entries.values("posting_period").distinct().count() > 1
    assert newest(entries, months, size=3) == every[:3]
    assert newest(entries, months, size=3, beyond=every[2]) == every[3:6]
    assert newest(entries, months, size=3, beyond=every[6], up=True) == every[3:6]
    july = world.year.month(1).pk
    only = set(entries.filter(posting_period=july).values_list("id", flat=True))
    assert newest(entries, [july], size=100) == [pk for pk in every if pk in only]


def test_who_has_what_to_decide_on_is_what_looking_at_each_deal_says(world: World) -> None:
    """Of deals with and without sharers who decide, handed in by others, first approved, amended, and of who is away."""
    sell(world, world.ana, None, 100_00)
    sell(world, world.bo, None, 200_00)
    sell(world, world.cy, None, 300_00)
    admin, mia = User.objects.get(pk=world.admin.pk), make.login(world.mia)
    checker = make.user(role="comp_admin")
    for by, owner, shares in (
        (mia, world.ana, {world.ana: ONE}),
        (admin, world.bo, {world.bo: ONE}),
        (make.login(world.ana), world.ana, {world.ana: 500_000, world.mia: 500_000}),
        (make.login(world.mia), world.mia, {world.mia: ONE}),
        (make.login(world.rex), world.rex, {world.rex: ONE}),
    ):
        draft = make.draft(
            owner=owner, customer=world.customer, lines=[Line(world.house, 5_000_00)], shares=shares
        )
        deal = booking.log_deal(draft=draft, by=by, at=make.AT)
        booking.submit_deal(deal_id=deal.pk, by=by, at=make.AT)
    set_limit(
        amount_minor=9_000_00, currency="USD", starts=make.TODAY, reason="Two of us", by=admin, at=make.AT
    )
    large = sell(world, world.bo, None, 20_000_00)
    approving.approve_deal(deal_id=large, by=make.login(world.mia), at=SOON)
    delegate(
        of_id=mia.pk,
        to_id=make.login(world.zed).pk,
        starts=make.TODAY,
        ends=make.TODAY + timedelta(days=3),
        reason="Away",
        by=mia,
        at=make.AT,
    )
    found = {}
    for person in (world.mia, world.zed, world.rex, world.ana, world.auditor, admin, checker):
        user = User.objects.get(pk=(person if isinstance(person, User) else make.login(person)).pk)
        waiting = list(deals_for(user, make.TODAY).filter(WAITING))
        naive = {deal.pk for deal in waiting if user.pk in Approvers([deal], make.TODAY).able(deal)}
        assert set(approvals_waiting_for(user, make.TODAY).values_list("pk", flat=True)) == naive, user
        assert count_waiting_for(user, make.TODAY) == len(naive)
        found[user.pk] = len(naive)
    assert len(set(found.values())) > 3, found


def test_counting_what_waits_asks_as_often_for_many_deals_as_for_few(world: World) -> None:
    sell(world, world.ana, None, 100_00)
    sell(world, world.cy, None, 100_00)

    def queries() -> int:
        user = User.objects.get(pk=world.admin.pk)
        with CaptureQueriesContext(connection) as seen:
            count_waiting_for(user, make.TODAY)
        return len(seen)

    few = queries()
    for _ in range(6):
        sell(world, world.bo, None, 100_00)
    assert queries() == few <= 12
