"""Handing quotas down: parts that add up, what is left visible, who is nobody, and sums at every level. RULES 11.7 to 11.9."""

from fractions import Fraction
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from config.refusals import Conflict, Invalid, Stale
from quotas.models import Quota, Rep, SalesRole
from quotas.selectors.quota_planning import Authority, Sheet, band, sheet
from quotas.services.quota_planning import (
    Plan,
    Way,
    _shared,
    carry,
    distribute,
    fingerprint,
    use_plans,
)
from tests import make

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> make.World:
    return make.world()


def asked(world: make.World, **more: Any) -> dict[str, Any]:
    return {
        "team": world.team,
        "measure": world.bookings,
        "period": world.year.quarters[0],
        "authority": Authority(world.admin, make.TODAY),
        "today": make.TODAY,
        **more,
    }


def proposed(plan: Plan) -> dict[str, int]:
    return {part.line.name: part.proposed_minor for part in plan.parts}


def credited(world: make.World, who: Rep, minor: int, *, year: int = 2026, month: int = 1) -> None:
    make.total(
        rep=who,
        team=who.memberships.get().team,
        measure=world.bookings,
        month=make.fiscal_year(year=year).month(month),
        direct_minor=minor,
    )


@given(
    rest=st.integers(0, 9_000_000_000_000),
    people=st.lists(st.tuples(st.integers(0, 10**13), st.integers(0, 1_000_000)), min_size=1, max_size=9),
    step=st.sampled_from([1, 100, 1_000_00]),
)
def test_parts_add_up_to_whole_steps_and_to_what_counts(
    rest: int, people: list[tuple[int, int]], step: int
) -> None:
    weights = [Fraction(weight) for weight, _ppm in people]
    counted = [Fraction(ppm, 1_000_000) for _weight, ppm in people]
    parts = _shared(rest, weights, [Fraction(1)] * len(people), Way(step_minor=step))
    assert all(part % step == 0 for part in parts)
    assert sum(parts) == (rest - rest % step if any(weights) else 0)
    relieved = _shared(rest, weights, counted, Way(reliefs=True))
    if any(w * c for w, c in zip(weights, counted, strict=True)):
        counts = sum((part * c for part, c in zip(relieved, counted, strict=True)), Fraction(0))
        assert abs(counts - rest) <= len(people)  # a minor unit each: the parts are whole


def test_a_quota_is_handed_down_by_what_was_credited_a_year_before(world: make.World) -> None:
    make.quota(measure=world.bookings, period=world.year.quarters[0], team=world.team, amount_minor=100_00)
    with pytest.raises(Conflict) as nothing:
        distribute(**asked(world), way=Way())
    assert nothing.value.problems[0].code == "no_history"
    credited(world, world.ana, 200_00)
    credited(world, world.bo, 100_00, month=3)
    credited(world, world.bo, 999_00, month=4)  # of another quarter
    plan = distribute(**asked(world), way=Way(over_assignment_ppm=50_000))
    assert (plan.target_minor, plan.handed_minor, plan.remainder_minor) == (100_00, 105_00, 0)
    assert proposed(plan) == {"Ana": 70_00, "Bo": 35_00}
    assert plan.sheet.history is not None
    assert plan.sheet.history.words == "credited in FY26-Q1"
    assert (plan.sheet.own.history_minor, plan.sheet.own.growth) == (300_00, Fraction(-200, 300))
    new = make.rep(team=world.team, name="Di")
    plan = distribute(**asked(world), way=Way())
    assert proposed(plan) == {"Ana": 44_45, "Bo": 22_22, "Di": 33_33}  # as the others on average
    assert [part.line.id for part in plan.parts if part.guessed] == [new.pk]
    plan = distribute(**asked(world), way=Way(), keep={(world.ana.pk, 0): 70_00})
    assert proposed(plan) == {"Ana": 70_00, "Bo": 15_00, "Di": 15_00}
    rounded = distribute(**asked(world), way=Way(by="current", step_minor=7_00))
    assert (proposed(rounded), rounded.remainder_minor) == ({"Ana": 49_00, "Bo": 49_00, "Di": 0}, 2_00)
    with pytest.raises(Conflict) as much:
        distribute(**asked(world), way=Way(), keep={(world.ana.pk, 0): 100_01})
    assert "exceeds what there is to hand down by $0.01" in much.value.problems[0].message
    with pytest.raises(Invalid):
        distribute(**asked(world), way=Way(over_assignment_ppm=-1))
    assert Quota.objects.filter(rep=new).count() == 0


def test_the_last_four_quarters_stand_in_for_a_year_before(world: make.World) -> None:
    make.quota(measure=world.bookings, period=world.year.quarters[1], team=world.team, amount_minor=100_00)
    credited(world, world.ana, 400_00, month=12)
    credited(world, world.bo, 100_00, year=2027, month=2)
    found = distribute(**asked(world, period=world.year.quarters[1]), way=Way(history="last_four_quarters"))
    assert found.sheet.history is not None
    assert found.sheet.history.words == "average of FY26-Q2 to FY27-Q1, for as many months"
    assert {p.line.name: p.line.history_minor for p in found.parts} == {"Ana": 100_00, "Bo": 25_00}
    assert proposed(found) == {"Ana": 80_00, "Bo": 20_00}


def test_ramp_and_leave_are_carried_by_all_if_asked_and_a_vacant_seat_is_named(world: make.World) -> None:
    quarter = world.year.quarters[0]
    make.quota(measure=world.bookings, period=quarter, team=world.team, amount_minor=90_00)
    make.relief(rep=world.bo, effective=(quarter.starts, quarter.ends), factor_ppm=500_000, kind="ramp")
    house = make.rep(team=world.team, name="House", role=SalesRole.HOUSE)
    make.territory(name="Alps", house_rep=house)
    taken = make.territory(name="Bay", house_rep=house)
    make.covers(rep=world.cy, territory=taken)
    plain = distribute(**asked(world), way=Way(by="evenly"))
    assert (proposed(plain), plain.remainder_minor) == ({"Ana": 45_00, "Bo": 45_00}, 22_50)
    carried = distribute(**asked(world), way=Way(by="evenly", reliefs=True))
    assert (proposed(carried), carried.remainder_minor) == ({"Ana": 60_00, "Bo": 60_00}, 0)
    with_house = distribute(**asked(world), way=Way(by="evenly", vacant=True))
    assert proposed(with_house) == {"Ana": 30_00, "Bo": 30_00, "House": 30_00}
    seat = with_house.parts[-1].line
    assert (seat.vacant, seat.territories) == (True, ["Alps"])


def test_a_quota_is_carried_to_the_last_rep_and_saved_only_as_it_was_seen(world: make.World) -> None:
    quarter = world.year.quarters[0]
    make.quota(measure=world.bookings, period=quarter, team=world.region, amount_minor=300_00)
    way = Way(by="evenly")
    given: dict[str, Any] = {**asked(world, team=world.region), "way": way}
    plans = carry(**given)
    assert {plan.sheet.team.name: proposed(plan) for plan in plans} == {
        "Region": {"Team": 200_00, "Other team": 100_00},  # each person as much as the next
        "Team": {"Ana": 100_00, "Bo": 100_00},
        "Other team": {"Cy": 100_00},
    }
    seen = fingerprint(plans)
    given["authority"] = Authority(make.login(world.rex), make.TODAY)
    save: dict[str, Any] = {
        "seen": seen,
        "measure": world.bookings,
        "period": quarter,
        "reason": "A new half-year",
        "by": make.login(world.rex),
        "at": make.AT,
    }
    make.quota(measure=world.bookings, period=quarter, team=world.other, amount_minor=1)
    with pytest.raises(Stale):
        use_plans(plans=carry(**given), **save)
    assert Quota.objects.filter(team=world.team).count() == 0
    plans = carry(**given)
    done = use_plans(plans=plans, **{**save, "seen": fingerprint(plans)})
    assert len(done.changed) == 5
    page = sheet(**asked(world, team=world.region))
    assert (page.own.as_set_minor, page.own.over, page.difference_minor) == (300_00, Fraction(0), 0)


def test_sums_and_over_assignment_stand_at_every_level(world: make.World) -> None:
    quarter = world.year.quarters[0]
    make.quota(measure=world.bookings, period=quarter, team=world.region, amount_minor=280_000_00)
    make.quota(measure=world.bookings, period=quarter, team=world.team, amount_minor=150_000_00)
    make.relief(rep=world.ana, effective=(quarter.starts, quarter.ends))

    def found() -> Sheet:
        return sheet(**asked(world, team=world.region))

    page = found()
    assert (page.own.as_set_minor, page.own.assigned_minor) == (300_000_00, 200_000_00)
    assert page.own.over == Fraction(-80, 280)
    mine, other = sorted(page.lines, key=lambda line: line.name, reverse=True)
    assert (mine.name, mine.over, mine.band, mine.people) == ("Team", Fraction(-1, 3), "short", 2)
    assert (other.name, other.over, other.band) == ("Other team", None, "none")
    assert (page.parts_minor, page.difference_minor) == (150_000_00, -130_000_00)
    assert [step.name for step in page.path] == ["Company", "Region"]
    assert [band(Fraction(n, 100)) for n in (-1, 0, 10, 11)] == ["short", "good", "good", "over"]

    def queries() -> int:
        with CaptureQueriesContext(connection) as taken:
            found()
        return len(taken)

    few = queries()
    for _ in range(5):
        make.rep(team=make.team(parent=world.region))
        make.rep(team=world.region)
    assert queries() == few <= 15
