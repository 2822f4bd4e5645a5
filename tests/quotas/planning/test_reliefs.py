"""Ramp and leave: recorded whole or not at all, ended without being overwritten. RULES 11.3."""

from datetime import date
from typing import Any

import pytest

from accounts.models import AuditEvent
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from quotas.models import QuotaRelief, Rep
from quotas.selectors.targets import quotas_of_reps
from quotas.services.quota_planning import ReliefStep, end_relief, record_relief
from tests import make

pytestmark = pytest.mark.django_db
JULY, AUGUST, SEPTEMBER, OCTOBER = (date(2026, m, 1) for m in (7, 8, 9, 10))


@pytest.fixture
def world() -> make.World:
    return make.world()


def record(world: make.World, *steps: ReliefStep, of: Rep | None = None, **more: Any) -> list[QuotaRelief]:
    given = {"kind": "ramp", "reason": "New hire", "by": make.login(world.mia), "at": make.AT, **more}
    return record_relief(rep_id=(of or world.ana).pk, steps=steps, **given)


def test_a_ramp_shrinks_a_quota_step_by_step_and_ends_without_being_overwritten(world: make.World) -> None:
    quarter = world.year.quarters[0]

    def comes_to() -> int:
        return quotas_of_reps([world.ana.pk], measure=world.bookings, period=quarter)[world.ana.pk]

    ramp = record(world, ReliefStep(JULY, AUGUST, 250_000), ReliefStep(AUGUST, OCTOBER, 500_000))
    assert comes_to() == 41_576_09  # (31 x 25 % + 61 x 50 %) / 92 of 100,000
    left = end_relief(relief_id=ramp[1].pk, on=SEPTEMBER, reason="Fast learner", by=world.admin, at=make.AT)
    assert left is not None
    assert (left.effective.lower, left.effective.upper, left.factor_ppm) == (AUGUST, SEPTEMBER, 500_000)
    assert comes_to() == 57_880_43
    ramp[1].refresh_from_db()
    assert (ramp[1].superseded_at, ramp[1].effective.upper) == (make.AT, OCTOBER)
    assert AuditEvent.objects.get(table="quotas_quotarelief", row=left.pk).reason == "Fast learner"
    with pytest.raises(Conflict):
        end_relief(relief_id=ramp[1].pk, on=AUGUST, reason="Again", by=world.admin, at=make.AT)
    with pytest.raises(Invalid):
        end_relief(relief_id=left.pk, on=SEPTEMBER, reason="Later", by=world.admin, at=make.AT)
    for relief in (ramp[0], left):
        gone = end_relief(relief_id=relief.pk, on=JULY, reason="Never happened", by=world.admin, at=make.AT)
        assert gone is None
    assert comes_to() == 100_000_00


def test_relief_is_recorded_whole_or_not_at_all(world: make.World) -> None:
    record(world, ReliefStep(AUGUST, None), kind="leave")
    with pytest.raises(Conflict) as overlaps:
        record(world, ReliefStep(JULY, AUGUST, 500_000), ReliefStep(AUGUST, SEPTEMBER, 750_000))
    assert "Ana has leave from 1 Aug 2026 until further notice already" in str(overlaps.value)
    for steps, code in (
        ([], "steps_missing"),
        ([ReliefStep(AUGUST, AUGUST)], "span_is_empty"),
        ([ReliefStep(JULY, AUGUST, 1_000_000)], "factor_out_of_range"),
        ([ReliefStep(JULY, SEPTEMBER), ReliefStep(AUGUST, OCTOBER)], "spans_overlap"),
    ):
        with pytest.raises(Invalid) as wrong:
            record(world, *steps, of=world.bo)
        assert [p.code for p in wrong.value.problems] == [code]
    with pytest.raises(Invalid):
        record(world, ReliefStep(JULY, AUGUST), of=world.bo, reason=" ")
    assert QuotaRelief.objects.count() == 1


def test_a_manager_records_it_for_the_people_below_alone(world: make.World) -> None:
    step = ReliefStep(JULY, AUGUST)
    with pytest.raises(Forbidden):
        record(world, step, of=world.mia)
    with pytest.raises(NotFound):
        record(world, step, of=world.cy)
    with pytest.raises(Forbidden):
        record(world, step, by=make.login(world.bo))
    (relief,) = record(world, step, of=world.mia, by=make.login(world.rex))
    with pytest.raises(Forbidden):
        end_relief(relief_id=relief.pk, on=JULY, reason="Mine", by=make.login(world.mia), at=make.AT)
    with pytest.raises(NotFound):
        end_relief(relief_id=2**40, on=JULY, reason="None", by=world.admin, at=make.AT)
    with pytest.raises(NotFound):
        end_relief(relief_id=relief.pk, on=JULY, reason="Hers", by=make.login(world.zed), at=make.AT)
