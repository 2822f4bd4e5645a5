"""Drafts on the deals of the past: by rule, publisher and offering; stopped, kept, two side by side. RULES 17.1 to 17.3."""

from datetime import date
from typing import Any

import pytest
from django.db import transaction

from accounts.models import User
from config import jobs
from config.models import Job, JobState
from config.refusals import Conflict, Forbidden
from quotas.crediting import engine
from quotas.models import CreditEntry, Deal, Period, PlanVersion
from quotas.selectors import impact, whatif_tables
from quotas.services import plans, simulating
from quotas.services.plans import RuleDraft
from tests import make
from tests.make import AT, Line, World

pytestmark = pytest.mark.django_db
AUGUST = {"starts": date(2026, 8, 1), "ends": date(2026, 8, 15)}


@pytest.fixture
def world() -> World:
    world = make.world()
    for amount, offering in ((1_000_00, world.house), (300_00, world.third)):
        make.deal(owner=world.ana, customer=world.customer, lines=[Line(offering, amount)], state="approved")
    return world


def draft(world: World, name: str, factor: int, **more: Any) -> PlanVersion:
    version = plans.start_draft(
        plan_id=world.plan_version.plan_id, starts=date(2026, 10, 1), by=world.admin, at=AT
    )
    plans.save_rule(
        plan_version_id=version.pk,
        draft=RuleDraft(
            name=name, measure_id=world.bookings.pk, factor_ppm=factor, **{"priority": 1, **more}
        ),
        by=world.admin,
        at=AT,
    )
    return version


def previewed(version: PlanVersion, by: User) -> Job:
    job = simulating.start_simulation(plan_version_id=version.pk, by=by, at=AT, **AUGUST)
    return jobs.work_off(job_id=job.pk, now=lambda: AT)


def told(run: Job, by: str) -> dict[str, tuple[int | None, int | None, int]]:
    ((_, movers),) = impact.taken_apart(run, by)
    return {mover.name: (mover.before, mover.after, mover.change) for mover in movers}


def test_a_preview_is_taken_apart_by_rule_publisher_offering_and_origin(world: World) -> None:
    """The new rule takes the house model over from the old one, which keeps the third party's."""
    run = previewed(
        draft(world, "House push", 1_500_000, conditions={"offerings": [world.house.pk]}), world.admin
    )
    assert told(run, "rules") == {
        "House push": (0, 1_500_00, 1_500_00),
        "Every deal at its value": (1_300_00, 300_00, -1_000_00),
    }
    one = (1_000_00, 1_500_00, 500_00)
    assert told(run, "publishers") == {world.house.publisher.name: one}
    assert told(run, "offerings") == {"House model": one}
    assert told(run, "origins") == {"First party": one}
    assert told(run, "teams") == {"Team": (1_300_00, 1_800_00, 500_00)}
    assert told(run, "reps") == {"Ana": (1_300_00, 1_800_00, 500_00)}
    assert told(run, "months") == {"August 2026": (None, None, 500_00)}
    rows = [list(row) for row in whatif_tables.differences(run, "everything").rows()]
    assert [(row[1], row[2]) for row in rows] == [
        ("Rep", "Ana"),
        ("Team", "Team"),
        ("Rule", "House push"),
        ("Rule", "Every deal at its value"),
        ("Publisher", world.house.publisher.name),
        ("Offering", "House model"),
        ("Origin", "First party"),
        ("Month", "August 2026"),
    ]
    assert not CreditEntry.objects.exists()


def test_a_rule_that_changes_hands_without_money_shows_by_rule_alone(world: World) -> None:
    run = previewed(draft(world, "The same by another name", 1_000_000), world.admin)
    assert run.result["moves"] == run.result["offerings"] == []
    assert told(run, "rules") == {
        "The same by another name": (0, 1_300_00, 1_300_00),
        "Every deal at its value": (1_300_00, 0, -1_300_00),
    }


def test_receivers_caps_and_spiffs_of_a_draft_move_what_publishing_it_would(world: World) -> None:
    """Overlay by role for the leader, a cap that cuts, a SPIFF on the third party: each to the cent, beside rules that stay."""
    version = draft(world, "Capped", 1_200_000, cap_minor=1_000_00)
    for more in (
        {"name": "Leaders", "factor_ppm": 100_000, "receivers": 3, "conditions": {"roles": ["manager"]}},
        {
            "name": "Push",
            "factor_ppm": 50_000,
            "exclusive": False,
            "conditions": {"offerings": [world.third.pk]},
        },
    ):
        plans.save_rule(
            plan_version_id=version.pk,
            draft=RuleDraft(measure_id=world.bookings.pk, **more),  # type: ignore[arg-type]
            by=world.admin,
            at=AT,
        )
    run = previewed(version, world.admin)
    with transaction.atomic():
        for each, versions in (
            ("before", [world.plan_version.pk]),
            ("after", [world.plan_version.pk, version.pk]),
        ):
            simulating._back_to(version, AUGUST["starts"], AUGUST["ends"])
            wanted, _ = engine.desired(
                engine.BySpan(AUGUST["starts"], AUGUST["ends"]), plan_versions=versions
            )
            sums: dict[int, int] = {}
            for entry in wanted:
                sums[entry.rep_id] = sums.get(entry.rep_id, 0) + entry.amount
            column = 3 if each == "before" else 4
            for move in run.result["moves"]:
                assert move[column] == sums.pop(move[2], 0)
            assert not sums
        transaction.set_rollback(True)
    assert told(run, "reps")["Ana"] == (1_300_00, 1_000_00 + 360_00 + 15_00, 75_00)
    assert told(run, "rules")["Push"] == (0, 15_00, 15_00)


def test_a_cap_of_both_sides_looks_at_the_lines_of_each(world: World) -> None:
    """A rule with a cap is kept; the draft takes one of a deal's two lines away from it, so that the other is no longer cut."""
    capped = make.Rule(world.bookings, slug="capped", name="Capped", priority=1, cap_minor=100_00)
    published = make.plan_version(plan=world.plan_version.plan, rules=[capped])
    taken = make.Rule(world.bookings, slug="taken", priority=2, offerings=[world.third])
    drafted = make.plan_version(plan=world.plan_version.plan, rules=[capped, taken], state="draft")
    deal = make.deal(
        owner=world.bo,
        customer=world.customer,
        lines=[Line(world.house, 80_00), Line(world.third, 80_00)],
        state="approved",
    )
    found = engine.compare(engine.ByDeal([deal.pk]), before=[published.pk], after=[drafted.pk])
    assert [(m.rep_id, m.before, m.after) for m in found.standings] == [(world.bo.pk, 100_00, 160_00)]
    assert sorted((m.before, m.after) for m in found.rules) == [(0, 80_00), (100_00, 80_00)]


def test_two_drafts_stand_side_by_side(world: World) -> None:
    """The second pays more for the house model, the same for the other."""
    generous = draft(world, "Ten per cent", 1_100_000)
    plans.withdraw_draft(plan_version_id=draft(world, "Never mind", 1).pk, by=world.admin, at=AT, reason="No")
    one = previewed(generous, world.admin)
    other = previewed(
        draft(world, "Half", 1_500_000, conditions={"offerings": [world.house.pk]}), world.admin
    )
    assert impact.comparable(one, other)
    (by_offering,) = impact.side_by_side(one, other, "offerings")
    assert [(p.name, p.one, p.other, p.apart) for p in by_offering.pairs] == [
        ("House model", 100_00, 500_00, 400_00),
        ("Third-party model", 30_00, 0, -30_00),
    ]
    assert (by_offering.one.change, by_offering.other.change, by_offering.apart) == (130_00, 500_00, 370_00)
    rows = [list(row) for row in whatif_tables.side_by_side(one, other, "reps").rows()]
    assert [row[1] for row in rows] == ["Ana"]
    later = simulating.start_simulation(
        plan_version_id=generous.pk, starts=date(2026, 7, 1), by=world.admin, at=AT
    )
    assert not impact.comparable(one, later)


def test_a_preview_is_stopped_and_the_list_keeps_what_it_came_to(world: World) -> None:
    version = draft(world, "More", 1_200_000)
    done = previewed(version, world.admin)
    job = simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT)
    assert jobs.step_once(job_id=job.pk, at=AT)
    with pytest.raises(Forbidden):
        simulating.cancel_simulation(job_id=job.pk, by=world.auditor, at=AT)
    simulating.cancel_simulation(job_id=job.pk, by=world.admin, at=AT)
    stopped = jobs.work_off(job_id=job.pk, now=lambda: AT)
    assert (stopped.state, stopped.result, stopped.done) == (JobState.CANCELLED, {}, 1)
    with pytest.raises(Conflict, match="over already"):
        simulating.cancel_simulation(job_id=job.pk, by=world.admin, at=AT)
    assert [(run.job.pk, run.outcome, run.shown) for run in impact.told(impact.runs())] == [
        (stopped.pk, "Stopped after 1 of 13 months", False),
        (done.pk, "1 rep moves", True),
    ]
    version.refresh_from_db()
    assert version.effective.lower == date(2026, 10, 1)


def test_time_left_goes_by_the_months_so_far(world: World) -> None:
    job = simulating.start_simulation(
        plan_version_id=draft(world, "More", 1_200_000).pk, by=world.admin, at=AT
    )
    assert impact.time_left(job, AT) == ""
    jobs.step_once(job_id=job.pk, at=AT)
    job.refresh_from_db()
    assert impact.time_left(job, AT) == "less than a minute left"
    assert impact.time_left(job, AT.replace(minute=AT.minute + 1)) == "about 12 min left"


def test_two_previews_at_once_do_not_disturb_each_other(world: World) -> None:
    """Steps of both, in turns: each tells what it tells alone."""
    one, other = draft(world, "Ten per cent", 1_100_000), draft(world, "Half", 1_500_000)
    alone = [previewed(version, world.admin).result for version in (one, other)]
    both = [
        simulating.start_simulation(plan_version_id=version.pk, by=world.admin, at=AT, **AUGUST)
        for version in (one, other)
    ]
    for job in both:
        jobs.step_once(job_id=job.pk, at=AT)
    assert [Job.objects.get(pk=job.pk).result for job in both] == alone


def test_closed_months_and_held_deals_are_looked_at_as_the_engine_does(world: World) -> None:
    """A closed month has history all the same; a held deal counts on neither side."""
    held = make.deal(
        owner=world.bo, customer=world.customer, lines=[Line(world.house, 500_00)], state="approved"
    )
    Deal.objects.filter(pk=held.pk).update(held=True)
    Period.objects.filter(name="FY27-M02").update(state="closed")
    Period.objects.filter(name="FY27-M03").update(state="open")
    run = previewed(draft(world, "More", 1_200_000), world.admin)
    assert told(run, "reps") == {"Ana": (1_300_00, 1_560_00, 260_00)}
