"""What closes pay: differences to what was paid, exact, once, and explained by what each entry keeps. RULES 16."""

from datetime import date

import pytest
from django.db import ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from quotas.crediting.earning import worked_out_again
from quotas.models import EarningEntry, FxRate, Measure, Quota, Rep, TeamMembership
from quotas.selectors.earnings import balances, estimates
from quotas.services.earning import digest_of, post_earnings
from tests import make
from tests.quotas.earnings.worlds import STEEPER, PayWorld, lines, paid, pay_world, publish

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def every_entry_works_out_again() -> object:
    """After each test: an entry's amount is what it keeps says, and a digest covers what is there."""
    yield None
    for entry in EarningEntry.objects.filter(kind="earned"):
        assert worked_out_again(entry.worked_out) == entry.amount_minor


def test_months_of_a_quarter_pay_the_difference_that_they_make() -> None:
    world = pay_world(*STEEPER)
    world.credit(80_000_00, 1)
    world.credit(10_000_00, 1, overlay=True)  # counts for its receiver like direct credit
    world.credit(30_000_00, 2)
    assert lines(world.close(1)) == [("earned", "FY27-M01", 9_000_00)]
    assert lines(world.close(2)) == [("earned", "FY27-M02", 4_000_00)]  # 10,000 at 1, 20,000 at 1.5
    assert lines(world.close(3)) == []
    world.credit(10_000_00, 4)  # another quarter begins at nothing
    assert lines(world.close(4)) == [("earned", "FY27-M04", 1_000_00)]


def test_a_close_that_is_asked_again_pays_nothing_and_says_the_same() -> None:
    world = pay_world()
    make.draw(rep=world.bo)
    world.credit(80_000_00, 1)
    close = world.close(1)
    before = lines(close)
    assert post_earnings(close=close, at=world.now) == close.payments_digest
    assert lines(close) == before
    assert digest_of(close) == close.payments_digest


def test_credit_that_comes_late_pays_its_own_month_and_moves_the_later_ones() -> None:
    world = pay_world(*STEEPER)
    world.credit(60_000_00, 1)
    world.credit(30_000_00, 2)
    world.close(1)
    world.close(2)
    world.credit(20_000_00, 1, posted=3)
    # July earns 2,000 more. August's 30,000 now begin at 80,000: 20,000 at 1 and 10,000 at 1.5, which is 500 more.
    assert lines(world.close(3)) == [("earned", "FY27-M01", 2_000_00), ("earned", "FY27-M02", 500_00)]
    assert paid(world.ana) == 11_500_00


def test_a_reversal_takes_pay_back_by_itself() -> None:
    world = pay_world(*STEEPER)
    world.credit(120_000_00, 1)
    world.close(1)
    assert paid(world.ana) == 13_000_00
    world.credit(-120_000_00, 1, posted=2)
    assert lines(world.close(2)) == [("earned", "FY27-M01", -13_000_00)]
    world.credit(-5_000_00, 2, posted=3)  # below nothing nothing is earned, and nothing is owed
    assert lines(world.close(3)) == []


def test_a_close_does_not_know_what_was_posted_after_its_mark() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    close = world.close(1)
    world.credit(10_000_00, 1)
    post_earnings(close=close, at=world.tick())
    assert lines(close) == [("earned", "FY27-M01", 1_000_00)]


def test_a_month_does_not_pay_what_is_posted_into_a_later_one() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    world.credit(5_000_00, 1, posted=2)  # came while July was being closed
    assert lines(world.close(1)) == [("earned", "FY27-M01", 1_000_00)]
    assert lines(world.close(2)) == [("earned", "FY27-M01", 500_00)]


def test_a_month_closed_again_pays_differences_beside_its_first_version() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    make.draw(rep=world.bo, amount_minor=1_000_00)
    first = world.close(1)
    world.reopen(first)
    world.credit(-2_000_00, 1)
    world.credit(4_000_00, 1, rep=world.bo)
    second = world.close(1, version=2)
    assert lines(second) == [
        ("draw", "FY27-M01", -400_00),  # bo earned 400 after all
        ("earned", "FY27-M01", -200_00),
        ("earned", "FY27-M01", 400_00),
    ]
    assert lines(first) == [("draw", "FY27-M01", 1_000_00), ("earned", "FY27-M01", 1_000_00)]
    assert balances() == {(world.bo.pk, "USD"): 600_00}


def test_a_quota_that_changes_afterwards_moves_the_months_it_is_for() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    world.credit(10_000_00, 2)
    world.close(1)
    world.close(2)
    quota = Quota.objects.get(rep=world.ana, period=world.year.quarters[0])
    quota.superseded_at = world.tick()
    quota.save()
    made = make.quota(
        measure=world.bookings, period=quota.period, rep=world.ana, amount_minor=50_000_00, version=2
    )
    Quota.objects.filter(pk=made.pk).update(recorded_at=world.now)
    assert lines(world.close(3)) == [("earned", "FY27-M01", 1_000_00), ("earned", "FY27-M02", 1_000_00)]


def test_leave_lessens_the_quota_and_so_raises_what_is_earned() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    world.close(1)
    relief = make.relief(rep=world.ana, effective=(date(2026, 7, 1), date(2026, 8, 16)))  # 46 of 92 days
    relief.recorded_at = world.tick()
    relief.save()
    assert lines(world.close(2)) == [("earned", "FY27-M01", 1_000_00)]


def test_who_leaves_the_plan_afterwards_gives_back_and_who_joins_is_paid() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    world.credit(10_000_00, 1, rep=world.bo)
    world.close(1)
    plan = world.version.plan
    everybody = plan.assignments.get()
    everybody.superseded_at = world.tick()
    everybody.save()
    own = make.assignment(plan=plan, rep=world.ana)
    own.recorded_at = world.now
    own.save()
    close = world.close(2)
    assert lines(close) == [("earned", "FY27-M01", -1_000_00)]
    assert EarningEntry.objects.get(close=close).worked_out["why"] == "no_plan"
    later = make.assignment(plan=plan, rep=world.bo)
    later.recorded_at = world.tick()
    later.save()
    assert lines(world.close(3)) == [("earned", "FY27-M01", 1_000_00)]


def test_a_version_published_for_the_past_pays_the_difference() -> None:
    world = pay_world()
    world.credit(50_000_00, 1)
    world.close(1)
    version = make.plan_version(plan=world.version.plan, rules=[], state="draft")
    component = make.component(version=version, measure=world.bookings, target_incentive_minor=80_000_00)
    make.pay_scale(component, (0, 1_000_000))
    publish(version, world.tick())
    close = world.close(2)
    assert lines(close) == [("earned", "FY27-M01", 5_000_00)]
    assert EarningEntry.objects.get(close=close).plan_version == version


def test_a_role_that_changes_afterwards_brings_its_own_plan() -> None:
    world = pay_world()
    plan = world.version.plan
    plan.assignments.update(role="specialist")
    world.credit(10_000_00, 1)
    assert lines(world.close(1)) == []
    TeamMembership.objects.filter(rep=world.ana).update(role="specialist", recorded_at=world.tick())
    assert lines(world.close(2)) == [("earned", "FY27-M01", 1_000_00)]


def test_without_a_quota_nothing_is_paid_until_there_is_one() -> None:
    world = pay_world(quota=None)
    world.credit(10_000_00, 1)
    assert lines(world.close(1)) == []
    made = make.quota(measure=world.bookings, period=world.year.quarters[0], rep=world.ana)
    Quota.objects.filter(pk=made.pk).update(recorded_at=world.tick())
    assert lines(world.close(2)) == [("earned", "FY27-M01", 1_000_00)]


def test_what_was_over_before_the_first_close_was_paid_elsewhere() -> None:
    world = pay_world(*STEEPER)
    world.credit(60_000_00, 1)
    world.credit(60_000_00, 2)
    world.credit(10_000_00, 1, posted=2)
    # July was closed without Parity: its 60,000 are not paid again, the 10,000 that it did not know of are.
    close = world.close(2)
    assert lines(close) == [("earned", "FY27-M01", 1_000_00), ("earned", "FY27-M02", 7_500_00)]
    assert (
        EarningEntry.objects.get(close=close, origin_period=world.month(1)).worked_out["paid_elsewhere"]
        == 6_000_00
    )
    for number, minor in ((1, 70_000_00), (2, 60_000_00)):
        make.total(
            rep=world.ana,
            team=world.team,
            measure=world.bookings,
            month=world.month(number),
            direct_minor=minor,
        )
    (found,) = estimates(world.ana, on=date(2026, 8, 31))
    assert (found.earned, found.paid, found.elsewhere) == (14_500_00, 8_500_00, 6_000_00)
    assert found.still_to_come == 0


def euro_commission(world: PayWorld) -> Measure:
    """3 % of credit in euros, paid in dollars because the component's target incentive is in dollars."""
    measure = make.measure(name="Bookings in euros", code="EUR")
    version = make.plan_version(plan=make.comp_plan(), rules=[], state="draft")
    component = make.component(version=version, measure=measure, target_incentive_minor=10_000_00)
    make.pay_scale(component, (0, 30_000), by="amount", window="M")
    publish(version)
    return measure


def test_a_commission_is_converted_at_the_last_day_of_its_month_and_waits_for_a_rate() -> None:
    world = pay_world()
    measure = euro_commission(world)
    make.fx(rate="1.10", effective=(date(2026, 7, 1), date(2026, 8, 1)))
    world.credit(10_000_00, 1, measure=measure)
    world.credit(10_000_00, 2, measure=measure)
    assert lines(world.close(1)) == [("earned", "FY27-M01", 330_00)]
    assert lines(world.close(2)) == []  # there is no rate for August
    rate = make.fx(rate="1.20", effective=(date(2026, 8, 1), date(2026, 9, 1)))
    FxRate.objects.filter(pk=rate.pk).update(recorded_at=world.tick())
    assert lines(world.close(3)) == [("earned", "FY27-M02", 360_00)]


def test_a_recoverable_draw_is_paid_and_taken_back_from_what_is_earned_above_it() -> None:
    world = pay_world()
    make.draw(rep=world.ana, amount_minor=1_000_00, effective=(date(2026, 7, 1), date(2026, 9, 1)))
    world.credit(4_000_00, 1)
    world.credit(15_000_00, 2)
    world.credit(90_000_00, 3)
    assert lines(world.close(1)) == [("draw", "FY27-M01", 600_00), ("earned", "FY27-M01", 400_00)]
    assert balances() == {(world.ana.pk, "USD"): 600_00}
    assert lines(world.close(2)) == [("earned", "FY27-M02", 1_500_00), ("recovery", "FY27-M02", -500_00)]
    # The draw is over; what is left of its balance is taken back all the same.
    assert lines(world.close(3)) == [("earned", "FY27-M03", 9_000_00), ("recovery", "FY27-M03", -100_00)]
    assert balances() == {}


def test_a_draw_that_is_not_recoverable_leaves_no_balance() -> None:
    world = pay_world()
    make.draw(rep=world.ana, amount_minor=1_000_00, recoverable=False)
    world.credit(90_000_00, 2)
    assert lines(world.close(1)) == [("draw", "FY27-M01", 1_000_00)]
    assert lines(world.close(2)) == [("earned", "FY27-M02", 9_000_00)]


def test_pay_is_charged_to_the_nearest_cost_centre_above_the_team_of_the_month() -> None:
    world = pay_world()
    above = make.team()
    above.cost_centre = "CC-100"
    above.save()
    below = make.team(parent=above)
    cy = make.rep(team=below)
    make.quota(measure=world.bookings, period=world.year.quarters[0], rep=cy)
    world.credit(10_000_00, 1, rep=cy)
    world.credit(10_000_00, 1)
    close = world.close(1)
    assert dict(EarningEntry.objects.filter(close=close).values_list("rep_id", "cost_centre")) == {
        cy.pk: "CC-100",
        world.ana.pk: "",
    }


def test_the_digest_covers_every_column_and_entries_never_change() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    close = world.close(1)
    entry = EarningEntry.objects.get()
    with pytest.raises(ProgrammingError), transaction.atomic():
        EarningEntry.objects.filter(pk=entry.pk).update(amount_minor=1)
    assert digest_of(world.close(2)) != close.payments_digest  # of nothing


def test_a_hundred_people_cost_as_many_queries_as_two() -> None:
    world = pay_world()
    world.credit(10_000_00, 1)
    with CaptureQueriesContext(connection) as few:
        world.close(1)
    others: list[Rep] = [make.rep(team=world.team) for _ in range(20)]
    for rep in others:
        made = make.quota(measure=world.bookings, period=world.year.quarters[0], rep=rep)
        Quota.objects.filter(pk=made.pk).update(recorded_at=make.AT)
        world.credit(10_000_00, 2, rep=rep)
    with CaptureQueriesContext(connection) as many:
        close = world.close(2)
    assert len(lines(close)) == 20
    assert len(many) <= len(few) + 6  # the earlier month is looked at too
