"""A period's figures in their versions: as reported, restated, as a close froze them, and as they were known at a moment."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from config.refusals import Invalid
from quotas.models import Period, Quota, TeamMembership
from quotas.selectors.asof import Reading
from quotas.selectors.boards import Board, team_board
from quotas.selectors.leaderboard import leaderboard
from quotas.services.reading import asked_reading
from tests import make
from tests.quotas.closing.months import AT, Months, five_closed, later, months

pytestmark = pytest.mark.django_db

HUNDRED, TWENTY = 100_00, 20_00


@pytest.fixture
def made() -> Months:
    return months()


def read(period: Period, at: datetime = AT, /, **asked: str) -> Reading:
    return asked_reading(asked, period=Period.objects.get(pk=period.pk), at=at)


def board(made: Months, period: Period, at: datetime = AT, **asked: str) -> Board:
    return team_board(
        team=made.world.team,
        period=Period.objects.get(pk=period.pk),
        measure=made.world.bookings,
        at=at,
        viewer=made.admin,
        reading=read(period, at, **asked),
    )


def credited(made: Months, period: Period, at: datetime = AT, **asked: str) -> int:
    """By the board, which is held against its chart, its trend and the leaderboard of the same version."""
    shown = board(made, period, at, **asked)
    assert shown.credited_minor == sum(shown.by_day) == sum(flow.amount_minor for flow in shown.flows)
    ranks = leaderboard(
        measure=made.world.bookings,
        period=period,
        group="team",
        at=at,
        reading=read(period, at, **asked),
    )
    of_team = [row.credited_minor for row in ranks.entries if row.id == made.world.team.pk]
    assert of_team in ([shown.credited_minor], [] if not shown.credited_minor else None)
    return shown.credited_minor


def test_reported_restated_and_closed_are_told_apart_now_and_as_of_a_moment(made: Months) -> None:
    """July is closed with 100; 20 more are dated in it and posted in August; reopened and closed again it froze the same."""
    made.sold(amount=HUNDRED)
    late = made.held(amount=TWENTY)
    first = made.close()
    made.released(late, at=later(hours=1))
    july, august, quarter = made.july, made.august, made.world.year.quarters[0]

    assert credited(made, july) == HUNDRED
    assert credited(made, july, view="restated") == HUNDRED + TWENTY
    assert credited(made, july, view="closed") == HUNDRED
    assert credited(made, august) == TWENTY
    assert credited(made, august, view="restated") == 0
    # Within the quarter the two are one; what its last closed month froze is less.
    assert credited(made, quarter) == credited(made, quarter, view="restated") == HUNDRED + TWENTY
    assert credited(made, quarter, view="closed", close="1") == HUNDRED
    # As of a moment, restated counts by origin what was known then.
    before, after = AT.isoformat(), later(hours=1).isoformat()
    for view, moment, amount in (
        ("restated", before, HUNDRED),
        ("restated", after, HUNDRED + TWENTY),
        ("reported", after, HUNDRED),
    ):
        assert credited(made, july, later(hours=2), view=view, as_of=moment) == amount

    made.reopen(first, at=later(hours=2))
    made.sold(amount=1_00, at=later(hours=3))
    made.close(at=later(hours=4))
    assert credited(made, july, view="closed", close="1") == HUNDRED
    assert credited(made, july, view="closed", close="2") == HUNDRED + 1_00
    assert credited(made, july, view="closed") == HUNDRED + 1_00
    assert credited(made, july, view="restated") == HUNDRED + TWENTY + 1_00


def test_a_closed_board_has_the_quotas_and_the_people_of_its_close(made: Months) -> None:
    world = made.world
    make.quota(measure=world.bookings, period=made.july, rep=world.ana, amount_minor=200_00)
    made.sold(amount=HUNDRED)
    made.close()
    Quota.objects.filter(period=made.july).update(superseded_at=later(hours=1))
    make.quota(measure=world.bookings, period=made.july, rep=world.ana, amount_minor=50_00, version=2)
    TeamMembership.objects.filter(rep=world.bo).update(superseded_at=later(hours=1))

    def rows(**asked: str) -> dict[str, int | None]:
        return {row.name: row.quota_minor for row in board(made, made.july, later(hours=2), **asked).rows}

    assert rows() == {"Ana": 50_00}
    assert rows(view="closed") == {"Ana": 200_00, "Bo": None}
    assert read(made.july, view="closed").quotas_of_reps([world.ana.pk], world.bookings) == {
        world.ana.pk: 200_00
    }


def test_as_of_a_moment_knows_what_had_been_recorded_then(made: Months) -> None:
    world, month = made.world, made.august
    on = date(2026, 8, 10)
    make.quota(measure=world.bookings, period=month, rep=world.ana, amount_minor=200_00)
    made.sold(on=on, amount=HUNDRED)
    made.sold(on=on, amount=TWENTY, at=later(minutes=10))
    changed = later(minutes=20)
    Quota.objects.filter(period=month).update(superseded_at=changed)
    make.quota(measure=world.bookings, period=month, rep=world.ana, amount_minor=300_00, version=2)
    Quota.objects.filter(version=2).update(recorded_at=changed)

    def known(moment: datetime) -> tuple[int, int | None]:
        at = later(hours=1)
        amount = credited(made, month, at, as_of=moment.isoformat())
        shown = board(made, month, at, as_of=moment.isoformat())
        (ana,) = [row for row in shown.rows if row.id == world.ana.pk]
        return amount, ana.quota_minor

    assert known(AT) == (HUNDRED, 200_00)
    assert known(later(minutes=10)) == (HUNDRED + TWENTY, 200_00)
    assert known(changed) == (HUNDRED + TWENTY, 300_00)
    assert board(made, month, later(hours=1), as_of="2026-08-01").rows == []  # nobody was in the team yet


def test_an_answer_once_given_never_changes(made: Months) -> None:
    """What is recorded earlier and becomes known later is not in it; another moment of the same day knows it."""
    on = date(2026, 8, 10)
    made.sold(on=on, amount=HUNDRED)
    asked = later(hours=1).isoformat()
    assert credited(made, made.august, later(hours=2), as_of=asked) == HUNDRED
    made.sold(on=on, amount=TWENTY, at=later(minutes=30))
    assert credited(made, made.august, later(hours=3), as_of=asked) == HUNDRED
    assert (
        credited(made, made.august, later(hours=3), as_of=later(minutes=59).isoformat()) == HUNDRED + TWENTY
    )
    assert credited(made, made.august, later(hours=3)) == HUNDRED + TWENTY


def test_what_cannot_be_read_is_said(made: Months, subtests: pytest.Subtests) -> None:
    for asked, code in (
        ({"view": "wrong"}, "invalid_choice"),
        ({"view": "closed"}, "no_such_close"),
        ({"view": "closed", "as_of": "2026-08-01"}, "frozen"),
        ({"view": "restated", "close": "1"}, "not_closed"),
        ({"close": "first"}, "invalid_choice"),
        ({"as_of": "yesterday"}, "invalid_moment"),
        ({"as_of": "9999-12-31"}, "invalid_moment"),
        ({"as_of": "2030-01-01"}, "in_the_future"),
    ):
        with subtests.test(**asked):
            with pytest.raises(Invalid) as refused:
                read(made.july, **asked)
            assert [problem.code for problem in refused.value.problems] == [code]


def test_a_moment_is_read_in_the_calendar_s_time_zone_and_a_day_is_its_end(made: Months) -> None:
    zone = ZoneInfo(made.august.calendar.time_zone)
    written = read(made.august, AT, as_of="2026-08-10T09:30").moment
    assert written == datetime(2026, 8, 10, 9, 30, tzinfo=zone)
    assert read(made.august, AT, as_of="2026-08-10T09:30:00 02:00").moment == datetime.fromisoformat(
        "2026-08-10T09:30:00+02:00"
    )
    day = read(made.august, AT, as_of="2026-08-10").moment
    assert day is not None
    assert written is not None
    assert timedelta(hours=14) <= day - written <= timedelta(hours=15)
    assert read(made.august, AT, as_of=AT.date().isoformat()).moment == AT


def test_a_version_costs_the_same_for_few_and_for_many(made: Months) -> None:
    made.sold(amount=HUNDRED)
    made.close()

    def queries(**asked: str) -> int:
        reading = read(made.july, **asked)
        with CaptureQueriesContext(connection) as taken:
            team_board(
                team=made.world.region,
                period=made.july,
                measure=made.world.bookings,
                at=AT,
                viewer=made.admin,
                reading=reading,
            )
        return len(taken)

    views: list[dict[str, str]] = [{}, {"view": "restated"}, {"view": "closed"}, {"as_of": AT.isoformat()}]
    queries()  # what is asked once a viewer
    before = [queries(**view) for view in views]
    for _ in range(3):
        who = make.rep(team=make.team(parent=made.world.region))
        make.quota(measure=made.world.bookings, period=made.july, rep=who)
    assert [queries(**view) for view in views] == before
    assert max(before) <= before[0]  # another version asks no more than the one of now


# --- pages and REST ---------------------------------------------------------------------------------------


@pytest.fixture
def reopened() -> Months:
    """July closed with 1,014.00, then with 20.00 more; 5.00 were held then, and are released."""
    made, first = five_closed()
    made.reopen(first, at=later(hours=1))
    made.sold(amount=TWENTY, at=later(hours=1))
    late = made.held(amount=5_00)
    made.close(at=later(hours=2))
    made.released(late, at=later(hours=3))
    return made


def test_the_board_says_which_version_it_is_and_what_lies_between_to_who_may_see_money(
    reopened: Months, client: Client
) -> None:
    client.force_login(reopened.admin)
    page = client.get(f"/quotas/board/{reopened.world.team.slug}/", {"period": "FY27-M01"})
    html = page.content.decode()
    shown = page.context["versions"]
    assert [choice.text for choice in shown.choices] == ["As reported", "Restated", "Closed v1", "Closed v2"]
    assert "FY27-M01 restated is $5.00 more than as reported" in html
    assert [(each.figure, each.moved) for each in shown.closed] == [
        ("$1,014.00", ""),
        ("$1,034.00", "+$20.00"),
    ]
    moved = client.get(shown.entries)
    assert [entry.amount_minor for entry in moved.context["entries"]] == [5_00]

    file = client.get(
        f"/quotas/board/{reopened.world.team.slug}/",
        {"period": "FY27-M01", "view": "closed", "close": "1", "format": "csv"},
    )
    assert (
        "As-closed--FY27-M01-v1" in file["Content-Disposition"]
        or "closed" in file["Content-Disposition"].lower()
    )
    assert b"1014.00" in b"".join(file)

    wrong = client.get(f"/quotas/board/{reopened.world.team.slug}/", {"period": "FY27-M02", "view": "closed"})
    assert "was never closed" in wrong.content.decode()

    client.force_login(make.login(reopened.world.ana))
    for address in (f"/quotas/board/{reopened.world.team.slug}/", "/quotas/leaderboard/"):
        shown = client.get(address, {"period": "FY27-M01", "view": "restated"}).context["versions"]
        assert (shown.moved, shown.since, list(shown.closed), shown.entries) == ("", "", [], "")
        assert shown.reading.name == "Restated"


def test_the_api_reads_every_version(reopened: Months, client: Client) -> None:
    client.force_login(reopened.admin)
    slug = reopened.world.bookings.slug

    def amounts(**asked: str) -> tuple[str, str, str]:
        standing = client.get(f"/api/v1/leaderboards/{slug}/", {"period": "FY27-M01", **asked}).json()
        (row,) = [each for each in standing["results"] if each["value"]]
        of_rep, of_team = (
            client.get(
                "/api/v1/attainments/", {"period": "FY27-M01", "measure": slug, "group": group, **asked}
            ).json()["results"]
            for group in ("rep", "team")
        )
        (rep,) = [each for each in of_rep if each["slug"] == reopened.world.ana.slug]
        (team,) = [each for each in of_team if each["slug"] == reopened.world.company.slug]
        assert rep["view"] == team["view"] == standing["view"]
        return row["value"]["amount"], rep["credited"]["amount"], team["credited"]["amount"]

    assert amounts() == ("1034.00",) * 3
    assert amounts(view="restated") == ("1039.00",) * 3
    assert amounts(view="closed", close="1") == ("1014.00",) * 3
    bad = client.get(f"/api/v1/leaderboards/{slug}/", {"period": "FY27-M01", "view": "closed", "close": "9"})
    assert bad.status_code == 400
    assert bad.json()["errors"][0]["code"] == "no_such_close"
