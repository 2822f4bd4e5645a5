"""The leaderboard against a naive ranking of the same totals."""

from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.refusals import Invalid
from quotas.models import CreditTotal, Measure, Period, QuotaMethod, Rep, Team
from quotas.selectors.leaderboard import Leaderboard, leaderboard
from tests import make
from tests.depth import examples
from tests.quotas import selling

pytestmark = pytest.mark.django_db


@pytest.fixture
def quarter() -> Period:
    return make.fiscal_year().quarters[0]


def month() -> Period:
    return make.fiscal_year().month(1)


def read(measure: Measure, quarter: Period, **how: Any) -> Leaderboard:
    return leaderboard(measure=measure, period=quarter, at=make.AT, **how)


def everything(measure: Measure, quarter: Period, **how: Any) -> list[tuple[int | None, int]]:
    """Every page of a board, as (rank, rep id)."""
    seen: list[tuple[int | None, int]] = []
    after = None
    while True:
        page = read(measure, quarter, after=after, **how)
        seen += [(entry.rank, entry.id) for entry in page.entries]
        after = page.cursor
        if after is None:
            return seen


def test_ties_share_a_rank_and_the_next_one_is_skipped(quarter: Period) -> None:
    measure, team = make.measure(), make.team()
    reps = [make.rep(team=team) for _ in range(4)]
    for rep, amount in zip(reps, (500, 900, 500, 100), strict=True):
        make.total(rep=rep, team=team, measure=measure, month=month(), direct_minor=amount)

    board = read(measure, quarter)

    assert [(e.rank, e.id, e.credited_minor) for e in board.entries] == [
        (1, reps[1].pk, 900),
        (2, reps[0].pk, 500),
        (2, reps[2].pk, 500),
        (4, reps[3].pk, 100),
    ]
    assert board.cursor is None
    assert board.entries[0].team == team.name


def test_a_rep_of_two_teams_is_ranked_once_by_the_sum(quarter: Period) -> None:
    measure, one, two = make.measure(), make.team(), make.team()
    moved, stayed = make.rep(team=one), make.rep(team=one)
    make.total(rep=moved, team=one, measure=measure, month=month(), direct_minor=400, overlay_minor=50)
    make.total(rep=moved, team=two, measure=measure, month=month(), direct_minor=400)
    make.total(rep=stayed, team=one, measure=measure, month=month(), direct_minor=800)

    assert [(e.rank, e.id, e.credited_minor) for e in read(measure, quarter).entries] == [
        (1, moved.pk, 850),
        (2, stayed.pk, 800),
    ]


def test_attainment_compares_ratios_that_a_double_cannot_tell_apart(quarter: Period) -> None:
    measure, team = make.measure(), make.team()
    big = 1_000_000_000
    less, more = make.rep(team=team), make.rep(team=team)
    make.total(rep=less, team=team, measure=measure, month=month(), direct_minor=big - 1)
    make.quota(measure=measure, period=quarter, rep=less, amount_minor=big)
    make.total(rep=more, team=team, measure=measure, month=month(), direct_minor=big)
    make.quota(measure=measure, period=quarter, rep=more, amount_minor=big + 1)
    assert (big - 1) / big == big / (big + 1)

    board = read(measure, quarter, by="attainment")

    assert [(e.rank, e.id) for e in board.entries] == [(1, more.pk), (2, less.pk)]
    assert board.entries[0].attainment == (big, big + 1)


def test_a_zero_quota_or_none_is_not_ranked_and_comes_last(quarter: Period) -> None:
    measure, team = make.measure(), make.team()
    zero, none, low, idle = (make.rep(team=team) for _ in range(4))
    make.quota(measure=measure, period=quarter, rep=zero, amount_minor=0)
    make.quota(measure=measure, period=quarter, rep=low, amount_minor=1_000)
    make.quota(measure=measure, period=quarter, rep=idle, amount_minor=1_000)
    for rep, amount in ((zero, 900), (none, 950), (low, 1)):
        make.total(rep=rep, team=team, measure=measure, month=month(), direct_minor=amount)

    ranked = [(low.pk, 1), (idle.pk, 2), (none.pk, None), (zero.pk, None)]
    assert [(e.id, e.rank) for e in read(measure, quarter, by="attainment").entries] == ranked
    assert [(rep, rank) for rank, rep in everything(measure, quarter, by="attainment", limit=1)] == ranked
    assert [e.attainment for e in read(measure, quarter, by="attainment").entries][2:] == [None, None]


def test_who_has_a_quota_and_no_credit_is_on_the_board_below_those_with_credit(quarter: Period) -> None:
    measure, team = make.measure(), make.team()
    idle, sold, refunded = (make.rep(team=team) for _ in range(3))
    make.quota(measure=measure, period=quarter, rep=idle)
    make.total(rep=sold, team=team, measure=measure, month=month(), direct_minor=5)
    make.total(rep=refunded, team=team, measure=measure, month=month(), direct_minor=-5)

    assert everything(measure, quarter) == [(1, sold.pk), (2, idle.pk), (3, refunded.pk)]
    assert everything(measure, quarter, limit=1) == everything(measure, quarter)


def test_weighted_quotas_count_by_their_days(quarter: Period) -> None:
    measure, rep = make.measure(), make.rep()
    make.total(rep=rep, team=rep.memberships.get().team, measure=measure, month=month(), direct_minor=10)
    make.quota(
        measure=measure,
        period=quarter,
        rep=rep,
        amount_minor=9_200,
        method=QuotaMethod.WEIGHTED,
        superseded_at=make.AT,
    )
    make.quota(
        measure=measure,
        period=quarter,
        rep=rep,
        amount_minor=18_400,
        version=2,
        starts=quarter.starts + timedelta(days=46),
        method=QuotaMethod.WEIGHTED,
    )

    (entry,) = read(measure, quarter, by="attainment").entries
    assert entry.quota_minor == 46 * 100 + 46 * 200


def test_around_a_rep_shows_both_sides_with_their_true_ranks(quarter: Period) -> None:
    measure, team = make.measure(), make.team()
    reps = [make.rep(team=team) for _ in range(9)]
    for place, rep in enumerate(reps):
        make.total(rep=rep, team=team, measure=measure, month=month(), direct_minor=900 - 100 * (place // 2))

    board = read(measure, quarter, around_rep=reps[4].pk, limit=4)

    assert [(e.rank, e.id) for e in board.entries] == [
        (3, reps[2].pk),
        (3, reps[3].pk),
        (5, reps[4].pk),
        (5, reps[5].pk),
        (7, reps[6].pk),
    ]
    assert read(measure, quarter, around_rep=make.rep().pk).entries == []


def test_a_team_limits_the_board_to_the_people_in_its_subtree(quarter: Period) -> None:
    measure, top = make.measure(), make.team()
    child, other = make.team(parent=top), make.team()
    inside, outside = make.rep(team=child), make.rep(team=other)
    for rep, team in ((inside, child), (outside, other)):
        make.total(rep=rep, team=team, measure=measure, month=month(), direct_minor=10)

    assert [e.id for e in read(measure, quarter, team=top).entries] == [inside.pk]
    teams = read(measure, quarter, group="team", team=top)
    assert [(e.id, e.name, e.team, e.credited_minor) for e in teams.entries] == [
        (child.pk, child.name, top.name, 10)
    ]


def test_a_cursor_that_no_page_gave_out_is_refused_and_so_is_attainment_of_publishers(
    quarter: Period,
) -> None:
    measure = make.measure()
    for broken in ("nonsense", "W10", "WyJ4IixudWxsLDEsMF0"):
        with pytest.raises(Invalid) as refused:
            read(measure, quarter, after=broken)
        assert refused.value.problems[0].pointer == "/cursor"
    with pytest.raises(Invalid) as no_quota:
        read(measure, quarter, group="publisher", by="attainment")
    assert no_quota.value.problems[0].code == "no_quota"


@pytest.mark.parametrize("by", ["credit", "attainment"])
@pytest.mark.parametrize("group", ["rep", "team"])
def test_queries_do_not_grow_with_the_number_of_reps(quarter: Period, by: str, group: str) -> None:
    measure = make.measure()

    def add(count: int) -> None:
        team = make.team()
        for place in range(count):
            rep = make.rep(team=team)
            make.total(rep=rep, team=team, measure=measure, month=month(), direct_minor=place + 1)
            make.quota(measure=measure, period=quarter, rep=rep)

    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            read(measure, quarter, by=by, group=group)
        return len(seen)

    add(3)
    few = queries()
    add(60)
    assert queries() <= few <= 10


@settings(
    max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    amounts=st.lists(
        st.tuples(st.integers(-3, 6), st.one_of(st.none(), st.integers(0, 5)), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    limit=st.integers(1, 5),
    by=st.sampled_from(["credit", "attainment"]),
)
def test_pages_add_up_to_the_naive_ranking(
    quarter: Period, amounts: list[tuple[int, int | None, bool]], limit: int, by: str
) -> None:
    measure, team, second = make.measure(), _team(), _team()
    reps: dict[int, tuple[int, int | None, bool]] = {}
    for credited, quota, split in amounts:
        rep = Rep.objects.create(slug=f"r-{measure.pk}-{len(reps)}", name="R")
        reps[rep.pk] = (credited, quota, split)
        if credited or quota is None:
            parts = ((team, credited - 1), (second, 1)) if split else ((team, credited),)
            for where, part in parts:
                CreditTotal.objects.create(
                    period=quarter,
                    measure=measure,
                    basis=1,
                    team=where,
                    rep=rep,
                    direct_minor=part,
                    overlay_minor=0,
                )
        if quota is not None:
            make.quota(measure=measure, period=quarter, rep=rep, amount_minor=quota)

    # The reps of all examples are in one database: of many examples together the board is large, and kept for nobody.
    with patch("quotas.selectors.leaderboard.is_large", return_value=False):
        assert everything(measure, quarter, by=by, limit=limit) == _naive(reps, by)


def _naive(reps: dict[int, tuple[int, int | None, bool]], by: str) -> list[tuple[int | None, int]]:
    if by == "credit":
        keys = {rep: Fraction(credited) for rep, (credited, _quota, _split) in reps.items()}
    else:
        keys = {rep: Fraction(credited, quota) for rep, (credited, quota, _split) in reps.items() if quota}
    ranked = sorted(keys, key=lambda rep: (-keys[rep], rep))
    found: list[tuple[int | None, int]] = [
        (1 + sum(key > keys[rep] for key in keys.values()), rep) for rep in ranked
    ]
    rest = sorted(reps.keys() - keys.keys(), key=lambda rep: (-reps[rep][0], rep))
    return found + [(None, rep) for rep in rest]


def _team() -> Team:
    return Team.objects.create(slug=f"t-{Team.objects.count()}", name="T")


@pytest.mark.parametrize("by", ["credit", "attainment"])
def test_the_rank_of_a_week_ago_leaves_out_what_is_dated_since(by: str) -> None:
    world = make.world()

    def sell(rep: Rep, leader: Rep, amount: int, days_ago: int) -> None:
        selling.credited(
            owner=rep,
            leader=leader,
            customer=world.customer,
            lines=[make.Line(world.house, amount)],
            close_date=make.TODAY - timedelta(days=days_ago),
        )

    sell(world.ana, world.mia, 500_00, 20)
    sell(world.cy, world.zed, 300_00, 20)
    sell(world.cy, world.zed, 300_00, 6)
    sell(world.bo, world.mia, 550_00, 0)

    board = leaderboard(measure=world.bookings, period=world.year.quarters[0], by=by, at=make.AT)  # type: ignore[arg-type]

    assert [(e.name, e.rank, e.previous_rank, e.movement) for e in board.entries] == [
        ("Cy", 1, 2, 1),
        ("Bo", 2, None, None),
        ("Ana", 3, 1, -2),
    ]


def test_a_quarter_that_is_over_is_read_as_at_its_last_day() -> None:
    last = make.fiscal_year(year=2026).quarters[3]
    board = read(make.measure(), last)
    assert board.on == date(2026, 6, 30)
    assert board.pace_ppm == 1_000_000
    assert isinstance(board.as_of, datetime)


def test_a_wall_shows_ranks_without_money_and_goes_on_to_the_next_measure(client: Client) -> None:
    world = make.world()
    second = make.measure(name="Second measure")
    make.total(rep=world.ana, team=world.team, measure=world.bookings, month=month(), direct_minor=54_321_00)
    make.quota(measure=second, period=world.year.quarters[0], rep=world.bo)
    client.force_login(world.admin)
    page = client.get("/quotas/leaderboard/wall/?rotate=1&period=FY27-Q1").content.decode()
    assert "Ana" in page
    assert "54.3%" in page
    assert "54,321" not in page
    assert f"measure={second.slug}" in page, "the next one"
    assert 'hx-trigger="every 60s"' in page, "it asks again where an answer did not come"
    page = client.get(f"/quotas/leaderboard/wall/?group=team&measure={second.slug}").content.decode()
    assert f"measure={second.slug}" in page, "it stays"
    client.force_login(make.user(role="partner"))
    assert client.get("/quotas/leaderboard/wall/").status_code == 404
