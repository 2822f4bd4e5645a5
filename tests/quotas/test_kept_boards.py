"""Boards of many people are kept: what is kept is what would be worked out, and whoever shows it says of when it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from config import clock
from quotas.models import ONE, CreditEntry, DealState, KeptBoard, KeptGroup, KeptPlace, Period, Rep, Team
from quotas.selectors import boards, home, kept
from quotas.selectors.approvers import WAITING, Approvers, approvals_waiting_for, count_waiting_for
from quotas.selectors.asof import Reading
from quotas.selectors.boards import Board, team_board
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.leaderboard import Leaderboard, Standing, leaderboard
from quotas.selectors.ledger import next_ids
from quotas.selectors.visibility import deals_for
from quotas.services import approving, keeping
from quotas.services.delegating import delegate, set_limit
from quotas.services.reading import asked_reading
from quotas.tasks import keep_boards
from tests import make
from tests.make import Line, World
from tests.quotas import selling
from tests.quotas.closing.months import AT, later, months

pytestmark = pytest.mark.django_db

SOON = make.AT + timedelta(minutes=5)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every board is a large one."""
    monkeypatch.setattr(kept, "LARGE", 0)
    monkeypatch.setattr(kept, "LARGE_ENTRIES", 0)


@pytest.fixture
def quiet(large: None) -> World:
    return make.world()


@pytest.fixture
def world(large: None) -> World:
    """With some credit."""
    return selling.busy()


def sell(world: World, rep: Rep, leader: Rep | None, amount: int, *, at: datetime = make.AT) -> int:
    facts = {"owner": rep, "at": at, **selling.sale(world, rep, amount)}
    return (selling.handed_in(**facts) if leader is None else selling.credited(leader=leader, **facts)).pk


@contextmanager
def small() -> Iterator[None]:
    """As if no board were large: each is worked out for the look."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept, "LARGE", 10**9)
        patch.setattr(kept, "LARGE_ENTRIES", 10**9)
        yield


def ranks(world: World, at: datetime = SOON, **asked: Any) -> Leaderboard:
    given: dict[str, Any] = {"by": "attainment", "group": "rep", **asked}
    return leaderboard(measure=world.bookings, period=world.year.quarters[0], at=at, **given)


def board_of(
    world: World, team: Team, viewer: User, at: datetime = SOON, reading: Reading | None = None
) -> Board:
    quarter = world.year.quarters[0]
    return team_board(
        team=team, period=quarter, measure=world.bookings, at=at, viewer=viewer, reading=reading
    )


def version(period: Period, **asked: str) -> Reading:
    return asked_reading(asked, period=Period.objects.get(pk=period.pk), at=SOON)


def look_for(board: Callable[[], object], at: datetime = make.AT) -> KeptBoard:
    """Somebody looks, and is told that it is being worked out."""
    with pytest.raises(BeingWorkedOut) as waits:
        board()
    found = keeping.looked_at(waits.value.look, at=at)
    assert found is not None
    return found


def keep_everything(at: datetime = make.AT) -> int:
    found = keeping.due(at=at)
    assert all(keeping.keep(board_id=board, at=at) for board in found)
    return len(found)


def all_pages(world: World, **asked: Any) -> list[Standing]:
    found: list[Standing] = []
    cursor = None
    while True:
        page = ranks(world, limit=2, after=cursor, **asked)
        assert page.look is not None
        assert page.look.kept is not None
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
    asked: list[dict[str, Any]] = [
        {"by": each["by"], "group": each["group"], "team": world.region if each["within"] else None}
        for each in BOARDS
    ]
    with small():
        live = [ranks(world, **each) for each in asked]
        middle = ranks(world, around_rep=world.ana.pk, limit=2)
    for each in asked:
        look_for(lambda each=each: ranks(world, **each))  # type: ignore[misc]

    assert keep_everything() == len(BOARDS)

    for each, page in zip(asked, live, strict=True):
        again = ranks(world, **each)
        assert again.kept
        assert not page.kept
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
    viewers = [world.admin, make.login(world.mia), make.login(world.ana)]
    teams = (world.region, world.team)
    for team in teams:
        look_for(lambda team=team: board_of(world, team, world.admin))  # type: ignore[misc]
    with small():
        live = [board_of(world, team, viewer) for team in teams for viewer in viewers]
        work = home.team_at_work(live[0].inside, period=live[0].period, measure=world.bookings, on=live[0].on)

    assert keep_everything() == 2

    shown = [board_of(world, team, viewer) for team in teams for viewer in viewers]
    for mine, theirs in zip(shown, live, strict=True):
        assert mine.kept
        assert not theirs.kept
        assert mine.as_of == make.AT
        assert replace(mine, look=None, as_of=SOON) == replace(theirs, look=None)
    assert live[0].credited_minor > 0
    assert live[0].pending_minor > 0
    assert sum(live[0].bands) == 5
    assert live[-1].rows[0].money != live[-1].rows[-1].money, "who looks decides what is shown"
    kept_with_it = KeptBoard.objects.get(team=world.region).body or {}
    assert home.TeamAtWork.of(kept_with_it["work"]) == work
    assert work.risks > 0


def test_a_board_of_another_version_is_kept_as_that_version_has_it() -> None:
    """Restated, as of a moment and closed: July is closed with 100, and 20 more are dated in it and posted in August."""
    made = months()
    world, july = made.world, made.july
    make.quota(measure=world.bookings, period=july, rep=world.ana, amount_minor=200_00)
    made.sold(amount=100_00)
    late = made.held(amount=20_00)
    made.close()
    made.released(late, at=later(hours=1))
    at = later(hours=2)
    found = {}
    for asked in ({"view": "restated"}, {"as_of": AT.isoformat()}, {"view": "closed"}):
        reading = asked_reading(asked, period=Period.objects.get(pk=july.pk), at=at)

        def shown(reading: Reading = reading) -> Leaderboard:
            return leaderboard(
                measure=world.bookings, period=july, by="attainment", at=at, reading=reading, limit=5
            )

        def team(reading: Reading = reading) -> Board:
            return team_board(
                team=world.region,
                period=july,
                measure=world.bookings,
                at=at,
                viewer=made.admin,
                reading=reading,
            )

        live, live_board = shown(), team()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept, "LARGE", 0)
            asked_for = [look_for(shown, at=at), look_for(team, at=at)]
            assert keep_everything(at) == 2, asked
            again, board = shown(), team()
            assert again.look is not None
            assert again.look.kept == asked_for[0]
            assert list(again.entries) == list(live.entries) != []
            assert replace(board, look=None, as_of=at) == replace(live_board, look=None)
            settled = "view" not in asked or asked["view"] == "closed"
            assert (again.kept, board.kept) == (not settled, not settled), (
                "what never changes is of no moment"
            )
            assert again.sum_minor == (board.credited_minor if settled else None)
            found[reading.name] = board.credited_minor
    assert list(found.values()) == [120_00, 100_00, 100_00]
    assert KeptBoard.objects.count() == 6
    # A year later what a close froze is still there, and nothing of it is ever due again.
    keeping.forget(at=at + timedelta(days=3))
    assert set(KeptBoard.objects.values_list("view", flat=True)) == {"restated", "closed"}
    keeping.forget(at=at + timedelta(days=365))
    assert set(KeptBoard.objects.values_list("view", flat=True)) == {"closed"}
    assert set(KeptPlace.objects.values_list("board__view", flat=True)) == {"closed"}
    assert keeping.due(at=at + timedelta(days=365)) == []


def test_what_is_kept_says_of_when_it_is_until_it_is_worked_out_again(world: World) -> None:
    look_for(lambda: ranks(world))
    keep_everything()
    sell(world, world.ana, world.mia, 9_000_00, at=SOON)

    first = ranks(world)
    assert (first.as_of, first.old) == (make.AT, False)
    assert first.entries[0].name == "Cy"
    late = make.AT + kept.FRESH + timedelta(minutes=1)
    assert ranks(world, at=late).old, "a newer one is due: something has changed since"
    assert ranks(world, at=late).entries[0].name == "Cy"
    assert keep_everything(at=SOON) == 1
    assert ranks(world).as_of == SOON
    assert ranks(world).entries[0].name == "Ana"
    assert keeping.due(at=SOON + timedelta(minutes=2)) == [], "nothing has changed since"
    assert not ranks(world, at=SOON + timedelta(hours=2)).old, "of long ago, and still so"
    tomorrow = make.AT + timedelta(days=1)
    before = ranks(world, at=tomorrow)
    assert before.old, "another day has other ranks of a week ago"
    assert before.on == make.TODAY, "and it says of which day it is"
    assert len(keeping.due(at=tomorrow)) == 1, "it is ready in the morning"
    with pytest.raises(BeingWorkedOut):
        ranks(world, at=SOON + kept.SHOWN + timedelta(minutes=1))


def test_many_first_looks_ask_a_worker_once(
    world: World, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    tasks: list[str] = []
    monkeypatch.setattr(keeping, "ask", tasks.append)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(5):
            look_for(lambda: ranks(world))
            look_for(lambda: board_of(world, world.region, world.admin))
    assert tasks == ["quotas.keep_boards"] * 2, "one for each board"
    assert KeptBoard.objects.count() == 2
    keep_everything()
    late = make.AT + kept.FRESH + timedelta(minutes=1)
    sell(world, world.ana, world.mia, 9_000_00, at=SOON)
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(5):
            keeping.looked_at(ranks(world, at=late).look, at=late)
    assert len(tasks) == 3, "an old one is asked for anew by the first who sees it"


def test_a_board_is_worked_out_by_one_worker_at_a_time(world: World) -> None:
    board = look_for(lambda: ranks(world))
    other = connections.create_connection("default")
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('quotas.keep'), hashtext(%s))", [str(board.pk)])
            assert not keeping.keep(board_id=board.pk, at=make.AT)
            cursor.execute("SELECT pg_advisory_unlock_all()")
    finally:
        other.close()
    assert keeping.keep(board_id=board.pk, at=make.AT)
    assert ranks(world).kept


def test_what_could_not_be_worked_out_is_said_and_tried_again_later(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gives_up(*_given: object, **_named: object) -> None:
        raise DatabaseError("it took too long")

    board = look_for(lambda: board_of(world, world.region, world.admin))
    with monkeypatch.context() as patch:
        patch.setattr(boards, "figures_to_keep", gives_up)
        with pytest.raises(DatabaseError):
            keeping.keep(board_id=board.pk, at=make.AT)
    client.force_login(world.admin)
    monkeypatch.setattr(clock, "now", lambda: SOON)
    assert (
        "could not be worked out just now"
        in client.get(f"/quotas/board/{world.region.slug}/").content.decode()
    )
    assert keeping.due(at=make.AT + timedelta(minutes=4)) == []
    assert keep_everything(at=SOON) == 1
    assert board_of(world, world.region, world.admin).kept


def test_boards_that_many_will_look_at_are_kept_before_anybody_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: make.AT)
    waited_for = look_for(lambda: ranks(world, by="credit", group="team"))
    keeping.foresee(at=make.AT)
    assert keeping.due(at=make.AT)[0] == waited_for.pk, "what somebody waits for comes first"

    keep_boards()

    assert keeping.due(at=make.AT) == []
    of_bookings = KeptBoard.objects.filter(
        measure=world.bookings, period=world.year.quarters[0], asked_at=None
    )
    assert sorted(of_bookings.values_list("group", "by", "team__name")) == sorted(
        [
            (KeptGroup.REP, "attainment", None),
            (KeptGroup.REP, "credit", None),
            (KeptGroup.TEAM, "attainment", None),
            (KeptGroup.PUBLISHER, "credit", None),
            (KeptGroup.OFFERING, "credit", None),
            *((KeptGroup.BOARD, "", team.name) for team in Team.objects.all()),
        ]
    )
    assert ranks(world).kept
    assert board_of(world, world.region, world.admin).kept
    # Nobody looks: a change is taken in after an hour, not after a minute.
    sell(world, world.ana, world.mia, 9_000_00, at=SOON)
    keeping.foresee(at=make.AT + timedelta(minutes=50))
    assert keeping.due(at=make.AT + timedelta(minutes=59)) == [waited_for.pk]
    assert set(keeping.due(at=make.AT + timedelta(minutes=60))).issuperset(
        of_bookings.values_list("pk", flat=True)
    )
    with small():
        KeptBoard.objects.all().delete()
        keeping.foresee(at=make.AT)
    assert not KeptBoard.objects.exists(), "a small organisation has none"


def test_a_board_that_is_changed_all_the_time_is_left_alone_for_a_while(world: World) -> None:
    look_for(lambda: ranks(world))
    keep_everything()
    KeptBoard.objects.update(took_ms=10_000)
    sell(world, world.cy, world.zed, 9_000_00, at=SOON)
    assert keeping.due(at=make.AT + timedelta(seconds=199)) == []
    assert len(keeping.due(at=make.AT + timedelta(seconds=200))) == 1


def test_what_nobody_looks_at_is_left_alone_and_thrown_away_in_the_end(world: World) -> None:
    look_for(lambda: ranks(world))
    keep_everything()
    assert KeptPlace.objects.exists()
    assert keeping.due(at=make.AT + timedelta(days=20)) == []
    keeping.forget(at=make.AT + timedelta(days=29))
    assert KeptBoard.objects.exists()
    keeping.forget(at=make.AT + timedelta(days=31))
    assert not KeptBoard.objects.exists()
    assert not KeptPlace.objects.exists()


def test_a_small_board_is_never_kept(world: World) -> None:
    with small():
        assert keeping.looked_at(ranks(world).look, at=make.AT) is None
        assert keeping.looked_at(board_of(world, world.team, world.admin).look, at=make.AT) is None
    assert not KeptBoard.objects.exists()


def test_pages_answer_at_once_say_that_a_board_is_being_worked_out_and_then_of_when_it_is(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(world.admin)
    monkeypatch.setattr(clock, "now", lambda: make.AT)
    pages = (
        "/quotas/leaderboard/",
        "/quotas/leaderboard/wall/",
        f"/quotas/board/{world.region.slug}/",
        "/quotas/leaderboard/?view=restated",
    )
    rest = f"/api/v1/leaderboards/{world.bookings.slug}/?by=attainment"
    by_itself = {"HX-Request": "true", "HX-Target": "making"}
    for page in pages:
        waiting = client.get(page)
        assert waiting.status_code == 200
        assert "being worked out" in waiting.content.decode()
    part = client.get(pages[2], headers=by_itself).content.decode()
    assert part.lstrip().startswith("<section")
    assert "A worker takes it up" in part
    KeptBoard.objects.filter(group="board").update(begun_at=make.AT, done=4)
    assert "4 of 9" in client.get(pages[2]).content.decode()
    asked = client.get(rest)
    assert (asked.status_code, asked.headers["Retry-After"]) == (503, "3")
    assert asked.json()["errors"][0]["code"] == "being_worked_out"
    assert KeptBoard.objects.count() == 3

    keep_everything()

    monkeypatch.setattr(clock, "now", lambda: SOON)
    said = {page: client.get(page).content.decode() for page in pages}
    assert "All ranks as of" in said[pages[0]]
    assert "6 in all, ranked as of" in said[pages[0]]
    assert "All figures as of" in said[pages[2]]
    assert not any("is being worked out" in page for page in said.values())
    there = client.get(pages[2], headers=by_itself)
    assert there.headers["HX-Retarget"] == there.headers["HX-Reselect"] == "#main"
    assert "All figures as of" in there.content.decode()
    assert datetime.fromisoformat(client.get(rest).json()["as_of"]) == make.AT
    late = make.AT + kept.FRESH + timedelta(minutes=1)
    sell(world, world.ana, world.mia, 9_000_00, at=SOON)
    monkeypatch.setattr(clock, "now", lambda: late)
    assert all(
        "A newer one is being worked out" in client.get(page).content.decode()
        for page in (pages[0], pages[2])
    )


def test_homes_say_that_a_board_is_being_worked_out(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: make.AT)
    for person in (world.ana, world.rex):
        client.force_login(make.login(person))
        for expected in (True, False):
            assert ("being worked out" in client.get("/").content.decode()) is expected, person
            keep_everything()


def test_a_team_of_many_is_shown_fifty_at_a_time_and_finds_oneself(quiet: World, client: Client) -> None:
    quarter = quiet.year.quarters[0]
    for place in range(55):
        rep = make.rep(team=quiet.team, name=f"Person {place:02}")
        make.quota(measure=quiet.bookings, period=quarter, rep=rep)
        make.total(
            rep=rep,
            team=quiet.team,
            measure=quiet.bookings,
            month=quiet.year.month(1),
            direct_minor=10_00 + place,
        )
    client.force_login(make.login(quiet.ana))
    address = f"/quotas/board/{quiet.team.slug}/?period=FY27-Q1"

    with small():
        first = client.get(address).content.decode()
        second = client.get(address + "&page=2").content.decode()
        found = client.get(address + "&q=person+04").content.decode()

    shown = [first.count(f"Person {place:02}</") for place in range(55)]
    assert sum(map(bool, shown)) == 50
    assert "Person 04</" not in first
    assert "Person 04</" in second
    assert "Page 1 of 2" in first
    assert "page=2#rows" in first
    assert "<mark>You</mark>" in second
    assert "Person 04</" in found, "found on no page but its own"


def test_the_newest_entries_come_from_all_months_in_one_order(world: World) -> None:
    months = list(Period.objects.filter(grain="M").values_list("pk", flat=True))
    entries = CreditEntry.objects.all()
    every = sorted(entries.values_list("id", flat=True), reverse=True)
    assert entries.values("posting_period").distinct().count() > 1
    assert next_ids(entries, months, size=3) == every[:3]
    assert next_ids(entries, months, size=3, beyond=every[2]) == every[3:6]
    assert next_ids(entries, months, size=3, beyond=every[6], up=True) == every[3:6]
    july = world.year.month(1).pk
    only = set(entries.filter(posting_period=july).values_list("id", flat=True))
    assert next_ids(entries, [july], size=100) == [pk for pk in every if pk in only]


def test_who_has_what_to_decide_on_is_what_looking_at_each_deal_says(quiet: World) -> None:
    """Of deals with and without sharers who decide, handed in by others, first approved, amended, and of who is away."""
    sell(quiet, quiet.ana, None, 100_00)
    sell(quiet, quiet.bo, None, 200_00)
    sell(quiet, quiet.cy, None, 300_00)
    admin, mia = User.objects.get(pk=quiet.admin.pk), make.login(quiet.mia)
    checker = make.user(role="comp_admin")
    for by, owner, shares in (
        (mia, quiet.ana, {quiet.ana: ONE}),
        (admin, quiet.bo, {quiet.bo: ONE}),
        (make.login(quiet.ana), quiet.ana, {quiet.ana: 500_000, quiet.mia: 500_000}),
        (make.login(quiet.mia), quiet.mia, {quiet.mia: ONE}),
        (make.login(quiet.rex), quiet.rex, {quiet.rex: ONE}),
    ):
        make.deal(
            owner=owner,
            customer=quiet.customer,
            lines=[Line(quiet.house, 5_000_00)],
            shares=shares,
            by=by,
            state=DealState.SUBMITTED,
        )
    set_limit(
        amount_minor=9_000_00, currency="USD", starts=make.TODAY, reason="Two of us", by=admin, at=make.AT
    )
    large = sell(quiet, quiet.bo, None, 20_000_00)
    approving.approve_deal(deal_id=large, by=make.login(quiet.mia), at=SOON)
    delegate(
        of_id=mia.pk,
        to_id=make.login(quiet.zed).pk,
        starts=make.TODAY,
        ends=make.TODAY + timedelta(days=3),
        reason="Away",
        by=mia,
        at=make.AT,
    )
    found = {}
    for person in (quiet.mia, quiet.zed, quiet.rex, quiet.ana, quiet.auditor, admin, checker):
        user = User.objects.get(pk=(person if isinstance(person, User) else make.login(person)).pk)
        waiting = list(deals_for(user, make.TODAY).filter(WAITING))
        naive = {deal.pk for deal in waiting if user.pk in Approvers([deal], make.TODAY).able(deal)}
        assert set(approvals_waiting_for(user, make.TODAY).values_list("pk", flat=True)) == naive, user
        assert count_waiting_for(user, make.TODAY) == len(naive)
        found[user.pk] = len(naive)
    assert len(set(found.values())) > 3, found


def test_counting_what_waits_asks_as_often_for_many_deals_as_for_few(quiet: World) -> None:
    sell(quiet, quiet.ana, None, 100_00)
    sell(quiet, quiet.cy, None, 100_00)

    def queries() -> int:
        user = User.objects.get(pk=quiet.admin.pk)
        with CaptureQueriesContext(connection) as seen:
            count_waiting_for(user, make.TODAY)
        return len(seen)

    few = queries()
    for _ in range(4):
        sell(quiet, quiet.bo, None, 100_00)
    assert queries() == few <= 12
