"""Setting quotas: who may, what becomes a version, what is refused and that nothing of it is written. RULES 11.1, 11.4 to 11.6."""

from datetime import date, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, User
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Stale
from quotas.models import Quota, QuotaMethod, Rep, Team
from quotas.selectors.targets import quotas_of_reps
from quotas.services.quota_planning import Effect, QuotasSet, Target, preview_quotas, set_quotas
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> make.World:
    return make.world()


def of(who: Rep | Team, amount_minor: int) -> Target:
    return Target(amount_minor, **({"rep_id": who.pk} if isinstance(who, Rep) else {"team_id": who.pk}))


def put(world: make.World, by: User | Rep, *targets: Target, quarter: int = 0, **more: Any) -> QuotasSet:
    return set_quotas(
        measure_id=world.bookings.pk,
        period_id=world.year.quarters[quarter].pk,
        targets=targets,
        by=make.login(by) if isinstance(by, Rep) else by,
        at=more.pop("at", make.AT),
        **{"reason": "New territory", **more},
    )


def code(refused: pytest.ExceptionInfo[Any]) -> list[tuple[str, str]]:
    return [(p.code, p.pointer) for p in refused.value.problems]


def test_only_what_changes_becomes_a_version_and_the_rep_hears_of_it(world: make.World) -> None:
    done = put(world, world.mia, of(world.ana, 120_000_00), of(world.bo, 100_000_00))
    assert done == QuotasSet(((world.ana.pk, 0),), 1)
    old, new = Quota.objects.filter(rep=world.ana).order_by("version")
    assert (old.superseded_at, new.version, new.amount_minor, new.superseded_at) == (
        make.AT,
        2,
        120_000_00,
        None,
    )
    assert new.recorded_by == world.mia.user
    assert Quota.objects.get(rep=world.bo).version == 1
    trail = AuditEvent.objects.get(table="quotas_quota", row=new.pk, action="insert")
    assert (trail.actor, trail.reason) == (world.mia.user, "New territory")
    told = OutboxMessage.objects.get(topic="accounts.notify", payload__text__icontains="set your")
    assert told.payload["user_ids"] == [world.ana.user_id]
    assert put(world, world.mia, of(world.ana, 120_000_00)) == QuotasSet((), 1)
    assert Quota.objects.filter(rep=world.ana).count() == 2


def test_a_manager_sets_what_is_below_and_never_the_own(world: make.World) -> None:
    make.quota(measure=world.bookings, period=world.year.quarters[0], team=world.team)
    second = make.rep(team=world.team, role="manager", login=True)
    for by, target in (
        (world.mia, of(world.mia, 1)),
        (world.mia, of(second, 1)),
        (world.mia, of(world.team, 1)),
        (world.rex, of(world.region, 1)),
        (world.rex, of(world.rex, 1)),
    ):
        with pytest.raises(Forbidden) as own:
            put(world, by, target)
        assert own.value.problems[0].code == "own_quota"
    for target in (of(world.cy, 1), of(world.other, 1), of(world.region, 1), Target(1, rep_id=2**40)):
        with pytest.raises(Invalid) as unseen:
            put(world, world.mia, target)
        assert unseen.value.problems[0].code in ("unknown_rep", "unknown_team")
    nobodies: list[User | Rep] = [world.ana, world.auditor]
    for somebody in nobodies:
        with pytest.raises(Forbidden) as nobody:
            put(world, somebody, of(world.bo, 1))
        assert nobody.value.problems[0].code == "not_a_planner"
    assert not Quota.objects.filter(amount_minor=1).exists()
    assert put(world, world.rex, of(world.team, 1), of(world.mia, 1), of(world.cy, 1)).unchanged == 0
    assert put(world, world.admin, of(world.region, 1)).unchanged == 0


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_written(world: make.World) -> None:
    with pytest.raises(Invalid) as refused:
        put(
            world,
            world.admin,
            of(world.ana, -1),
            of(world.bo, 9_000_000_000_001),
            of(world.bo, 5),
            Target(1),
            Target(1, rep_id=world.cy.pk, team_id=world.team.pk),
            starts=date(2026, 10, 1),
            method="middle",
            reason="x" * 501,
        )
    assert code(refused) == [
        ("quota_negative", "/targets/0/amount"),
        ("amount_too_large", "/targets/1/amount"),
        ("given_twice", "/targets/2"),
        ("rep_or_team", "/targets/3"),
        ("rep_or_team", "/targets/4"),
        ("starts_outside", "/starts"),
        ("unknown_method", "/method"),
        ("reason_too_long", "/reason"),
    ]
    with pytest.raises(Invalid):
        put(world, world.admin)
    with pytest.raises(NotFound):
        set_quotas(
            measure_id=2**40,
            period_id=world.year.year.pk,
            targets=[of(world.ana, 1)],
            by=world.admin,
            at=make.AT,
        )
    assert Quota.objects.count() == 3


def test_who_read_another_version_is_told_whose_quota_moved(world: make.World) -> None:
    put(world, world.admin, of(world.ana, 1))
    with pytest.raises(Stale) as stale:
        put(
            world,
            world.mia,
            of(world.ana, 2),
            of(world.bo, 2),
            expected_versions={(world.ana.pk, 0): 1, (world.bo.pk, 0): 1},
        )
    assert "quota of Ana since" in stale.value.problems[0].message
    assert Quota.objects.filter(rep=world.bo).count() == 1
    with pytest.raises(Stale):
        put(world, world.admin, of(world.team, 2), quarter=1, expected_versions={(0, world.team.pk): 1})
    seen = {(world.ana.pk, 0): 2, (0, world.team.pk): 0}
    assert put(world, world.admin, of(world.ana, 2), of(world.team, 3), expected_versions=seen).unchanged == 0


def test_a_period_that_has_begun_asks_why_and_a_closed_one_asks_a_comp_admin(world: make.World) -> None:
    for reason in ("", "  "):
        with pytest.raises(Invalid) as refused:
            put(world, world.mia, of(world.ana, 1), reason=reason)
        assert code(refused) == [("reason_missing", "/reason")]
    assert put(world, world.mia, of(world.ana, 1), quarter=1, reason="").changed
    assert put(world, world.mia, of(world.ana, 100_000_00), reason="").unchanged == 1
    make.fiscal_year(states={1: "closed", 2: "closed"})
    assert put(world, world.mia, of(world.ana, 2)).changed  # a month of it is open
    make.fiscal_year(states={3: "closed"})
    with pytest.raises(Conflict) as closed:
        put(world, world.mia, of(world.ana, 3))
    assert code(closed) == [("period_closed", "")]
    with pytest.raises(Invalid) as why:
        put(world, world.admin, of(world.cy, 3), of(world.team, 1), reason="")
    assert "What its close froze stays as it was." in why.value.problems[0].message
    assert put(world, world.admin, of(world.ana, 3)).changed


def test_a_change_in_the_middle_counts_by_days_or_for_all_and_is_seen_before_it_is_saved(
    world: make.World,
) -> None:
    quarter = world.year.quarters[0]
    make.total(
        rep=world.ana,
        team=world.team,
        measure=world.bookings,
        month=world.year.month(1),
        direct_minor=60_000_00,
    )
    asked: dict[str, Any] = {
        "measure_id": world.bookings.pk,
        "period_id": quarter.pk,
        "targets": [of(world.ana, 192_000_00), of(world.bo, 100_000_00), of(world.team, 120_000_00)],
        "starts": date(2026, 9, 1),
        "by": make.login(world.rex),
        "at": make.AT,
    }
    whose = [(world.ana.pk, 0), (0, world.team.pk)]
    by_days = preview_quotas(**asked, method=QuotaMethod.WEIGHTED)
    # 62 of 92 days at 100,000 and 30 at 192,000
    assert by_days == [
        Effect(whose[0], "Ana", 100_000_00, 130_000_00, 60_000_00),
        Effect(whose[1], world.team.name, None, 39_130_43, 60_000_00),  # 30 days of 92: it is a team's first
    ]
    replaced = preview_quotas(**asked, method=QuotaMethod.LAST)
    assert [e.after_minor for e in replaced] == [192_000_00, 120_000_00]
    assert (Quota.objects.count(), OutboxMessage.objects.count()) == (3, 0)
    set_quotas(**asked, method=QuotaMethod.WEIGHTED, reason="Two territories merged")
    assert quotas_of_reps([world.ana.pk], measure=world.bookings, period=quarter) == {
        world.ana.pk: 130_000_00
    }
    again = set_quotas(
        **{**asked, "at": make.AT + timedelta(hours=1)}, method=QuotaMethod.WEIGHTED, reason="Once more"
    )
    assert again == QuotasSet((), 3)


def test_many_quotas_take_no_more_queries_than_few(world: make.World) -> None:
    reps = [make.rep(team=world.team) for _ in range(12)]

    def queries(some: list[Rep], amount: int) -> int:
        with CaptureQueriesContext(
            connection,
        ) as asked:
            put(world, world.admin, *(of(rep, amount) for rep in some), quarter=1)
        return len(asked)

    assert queries(reps[:2], 1) == queries(reps, 2) <= 24
