"""What a quota comes to: the SQL beside a naive count of days. RULES 11.2 and 11.3."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from config.formats import rounded
from quotas.models import Period, Quota, QuotaMethod, Rep
from quotas.selectors.boards import team_board
from quotas.selectors.targets import quotas_of_reps, quotas_of_teams, reliefs_of
from tests import make
from tests.depth import examples

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Given:
    """versions: first day as days after the beginning of the period, None for all of it, and amount. reliefs: first day, length (None: no end), factor."""

    method: str
    versions: Sequence[tuple[int | None, int]]
    reliefs: Sequence[tuple[int, int | None, int]]


def naive(case: Given, period: Period) -> int:
    """Day by day: the amount of the last version that has begun, or of the last of all, times what counts of that day."""
    days = (period.ends - period.starts).days
    counted = Fraction(0)
    for day in range(days):
        amount = case.versions[-1][1]
        if case.method == QuotaMethod.WEIGHTED:
            # A later version counts from its first day; what an earlier one said of later days is void.
            amount = next(
                (amount for starts, amount in reversed(case.versions) if (starts or 0) <= day),
                case.versions[0][1],
            )
        factor = next(
            (
                ppm
                for first, length, ppm in case.reliefs
                if first <= day and (length is None or day < first + length)
            ),
            1_000_000,
        )
        counted += Fraction(amount * factor, 1_000_000)
    return rounded(counted / days)


@st.composite
def cases(draw: st.DrawFn) -> Given:
    amounts = st.one_of(st.integers(0, 50), st.integers(0, 9_000_000_000_000))
    versions = draw(
        st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 91)), amounts), min_size=1, max_size=4)
    )
    reliefs: list[tuple[int, int | None, int]] = []
    at = draw(st.integers(-40, 95))
    for _ in range(draw(st.integers(0, 3))):
        length = draw(st.integers(1, 50))
        reliefs.append((at, length, draw(st.sampled_from([0, 1, 333_333, 500_000, 999_999]))))
        at += length + draw(st.integers(0, 20))
    endless: bool = draw(st.booleans())
    if reliefs and endless:
        reliefs[-1] = (reliefs[-1][0], None, reliefs[-1][2])
    return Given(draw(st.sampled_from(QuotaMethod.values)), [(None, versions[0][1]), *versions[1:]], reliefs)


@settings(
    max_examples=examples(6), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=st.lists(cases(), min_size=1, max_size=12))
def test_a_quota_is_what_counting_its_days_one_by_one_says(asked: list[Given]) -> None:
    with transaction.atomic():
        period, measure, team = make.fiscal_year().quarters[0], make.measure(), make.team()
        expected = {}
        for case in asked:
            rep = make.rep(team=team)
            expected[rep.pk] = naive(case, period)
            write(case, rep, period, measure.pk)
        assert quotas_of_reps(expected, measure=measure, period=period) == expected
        transaction.set_rollback(True)


def test_a_teams_quota_is_weighted_by_days_and_no_relief_of_its_people_changes_it() -> None:
    world = make.world()
    quarter = world.year.quarters[0]
    whose: dict[str, Any] = {
        "measure": world.bookings,
        "period": quarter,
        "team": world.team,
        "method": QuotaMethod.WEIGHTED,
    }
    make.quota(**whose, amount_minor=92_00, superseded_at=make.AT)
    make.quota(**whose, amount_minor=184_00, version=2, starts=date(2026, 8, 1))
    make.relief(rep=world.ana, effective=(date(2026, 7, 1), date(2026, 10, 1)))
    assert quotas_of_teams([world.team.pk], measure=world.bookings, period=quarter) == {
        world.team.pk: 31_00 + 61 * 2_00
    }


def test_boards_add_up_what_counts_and_know_who_is_relieved(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    world = make.world()
    quarter = world.year.quarters[0]
    ramp = make.relief(
        rep=world.ana, kind="ramp", effective=(date(2026, 6, 1), date(2026, 8, 16)), factor_ppm=500_000
    )
    make.relief(rep=world.bo, effective=(date(2026, 10, 1), None))
    board = team_board(
        team=world.team, period=quarter, measure=world.bookings, at=make.AT, viewer=make.login(world.mia)
    )
    assert {row.name: row.quota_minor for row in board.rows} == {"Ana": 75_000_00, "Bo": 100_000_00}
    assert board.assigned_minor == 175_000_00
    assert {row.name: row.detail for row in board.rows} == {
        "Ana": "Account executive, ramp",
        "Bo": "Account executive",
    }
    peers = team_board(
        team=world.team, period=quarter, measure=world.bookings, at=make.AT, viewer=make.login(world.bo)
    )
    assert {row.detail for row in peers.rows} == {
        "Account executive"
    }  # why somebody is relieved is not for peers
    with django_assert_max_num_queries(1):
        assert reliefs_of([world.ana.pk, world.bo.pk], quarter) == {world.ana.pk: [ramp]}


def write(case: Given, rep: Rep, period: Period, measure_id: int) -> None:
    last = len(case.versions)
    Quota.objects.bulk_create(
        Quota(
            measure_id=measure_id,
            period=period,
            rep=rep,
            version=n,
            amount_minor=amount,
            starts=None if starts is None else period.starts + timedelta(days=starts),
            method=case.method,
            recorded_at=make.AT,
            superseded_at=None if n == last else make.AT,
        )
        for n, (starts, amount) in enumerate(case.versions, start=1)
    )
    for first, length, ppm in case.reliefs:
        begins = period.starts + timedelta(days=first)
        make.relief(
            rep=rep,
            effective=(begins, None if length is None else begins + timedelta(days=length)),
            factor_ppm=ppm,
        )
