"""Changes of dated facts: what they leave of what was known, what they touch, and that a run then leaves nothing to do."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEvent, Role
from config import jobs
from config.models import Job, JobState
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal
from quotas.crediting import engine
from quotas.models import (
    AccountOwnership,
    CreditEntry,
    CustomerTerritory,
    DealKind,
    DealState,
    FxRate,
    PlanAssignment,
    Receivers,
    TeamMembership,
    TeamPlacement,
    TerritoryAssignment,
)
from quotas.selectors.facts import written_rate
from quotas.services import facts
from tests import make
from tests.depth import examples
from tests.quotas.crediting.worlds import LAST_DAY, Rich, worlds
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
JUL, AUG, SEP = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)
EVER = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


def span(starts: date | None, ends: date | None) -> DateRange:
    return DateRange(starts, ends)


def post(key: str) -> dict[str, int]:
    with transaction.atomic():
        return dict(engine.post(EVER, key=key, kind="recredit", by=None, at=AT).counts)


def work_off(change: facts.FactChange) -> Job:
    assert change.job is not None
    job = jobs.work_off(job_id=change.job.pk, now=lambda: AT)
    assert job.state == JobState.DONE, job.error
    return job


def net() -> dict[int, int]:
    sums: dict[int, int] = {}
    for rep, amount in CreditEntry.objects.values_list("rep_id", "amount_minor"):
        sums[rep] = sums.get(rep, 0) + amount
    return {rep: amount for rep, amount in sums.items() if amount}


def in_force(rows: Any, *names: str) -> list[tuple[Any, ...]]:
    return sorted(
        rows.filter(superseded_at=None).values_list(*names, "effective"),
        key=lambda row: row[-1].lower or date.min,
    )


def test_a_corrected_rate_splits_the_one_in_force_and_keeps_it() -> None:
    world = make.world()
    old = make.fx(code="EUR", rate="1.1", effective=(date(2026, 1, 1), None))
    made = facts.correct_rate(
        from_currency="EUR",
        to_currency="USD",
        rate_e9=1_200_000_000,
        starts=JUL,
        ends=AUG,
        by=world.admin,
        at=AT,
        reason="The bank sent another rate",
    )
    assert in_force(FxRate.objects, "rate_e9") == [
        (1_100_000_000, span(date(2026, 1, 1), JUL)),
        (1_200_000_000, span(JUL, AUG)),
        (1_100_000_000, span(AUG, None)),
    ]
    old.refresh_from_db()
    assert (old.effective, old.superseded_at) == (span(date(2026, 1, 1), None), AT)
    assert (made.cause, made.starts, made.ends, made.deals, made.job) == ("fx", JUL, AUG, (), None)
    assert made.what == "1 EUR is 1.2000 USD from 1 Jul 2026 to before 1 Aug 2026"
    trail = AuditEvent.objects.filter(table="quotas_fxrate", row=old.pk).latest("id")
    assert (trail.actor_id, trail.reason) == (world.admin.pk, "The bank sent another rate")


def test_a_corrected_rate_without_an_end_holds_as_long_as_what_it_corrects() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1", effective=(JUL, AUG))
    make.fx(code="EUR", rate="1.3", effective=(AUG, SEP))

    def correct(day: date, rate: int) -> facts.FactChange:
        return facts.correct_rate(
            from_currency="EUR",
            to_currency="USD",
            rate_e9=rate,
            starts=day,
            by=world.admin,
            at=AT,
            reason="A typing error",
        )

    assert correct(JUL, 1_150_000_000).ends == AUG
    assert (
        correct(date(2026, 6, 10), 1_050_000_000).ends == JUL
    )  # none was in force: until the next one known
    assert correct(SEP, 1_400_000_000).ends is None
    assert in_force(FxRate.objects, "rate_e9") == [
        (1_050_000_000, span(date(2026, 6, 10), JUL)),
        (1_150_000_000, span(JUL, AUG)),
        (1_300_000_000, span(AUG, SEP)),
        (1_400_000_000, span(SEP, None)),
    ]


def test_a_corrected_rate_moves_the_credit_of_its_deals_alone() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    deals = [
        make.deal(
            owner=world.ana,
            customer=world.customer,
            lines=[make.Line(world.house, 100_00)],
            close_date=day,
            code=code,
            state=DealState.APPROVED,
        )
        for day, code in (
            (date(2026, 7, 10), "EUR"),
            (date(2026, 7, 10), "USD"),
            (date(2026, 8, 1), "EUR"),
        )
    ]
    assert post("first") == {"credited": 3}
    made = facts.correct_rate(
        from_currency="EUR",
        to_currency="USD",
        rate_e9=1_200_000_000,
        starts=JUL,
        ends=AUG,
        by=world.admin,
        at=AT,
        reason="The bank sent another rate",
    )
    assert made.deals == (deals[0].pk,)
    assert net() == {world.ana.pk: 110_00 + 100_00 + 110_00}  # nothing moves before the run
    assert work_off(made).counts == {"credited": 1, "reversed": 1, "posted_to_open_period": 0}
    assert net() == {world.ana.pk: 120_00 + 100_00 + 110_00}
    assert post("again") == {"unchanged": 3}


def test_a_rep_who_moves_takes_the_credit_of_those_days_along_and_stays_until_they_would_have_left() -> None:
    world = make.world()
    TeamMembership.objects.filter(rep=world.bo).update(effective=span(date(2025, 1, 1), SEP))
    for day in (date(2026, 6, 30), JUL):
        make.deal(
            owner=world.ana,
            lines=[make.Line(world.house, 100_00)],
            shares={world.ana: 500_000, world.bo: 500_000},
            close_date=day,
            state=DealState.APPROVED,
        )
    make.deal(owner=world.ana, lines=[make.Line(world.house, 7_00)], close_date=JUL, state=DealState.APPROVED)
    assert post("first") == {"credited": 5}
    made = facts.move_rep(
        rep_id=world.bo.pk,
        team_id=world.other.pk,
        role="specialist",
        starts=JUL,
        by=world.admin,
        at=AT,
        reason="Moved on 1 July; HR told us late",
    )
    assert made.what == "Bo is specialist in Other team from 1 Jul 2026 to before 1 Sep 2026"
    assert in_force(world.bo.memberships, "team_id", "role") == [
        (world.team.pk, "account_executive", span(date(2025, 1, 1), JUL)),
        (world.other.pk, "specialist", span(JUL, SEP)),
    ]
    job = work_off(made)
    assert (job.total, job.done, job.counts) == (
        1,
        1,
        {"credited": 1, "reversed": 1, "unchanged": 1, "posted_to_open_period": 0},
    )
    live = CreditEntry.objects.filter(rep=world.bo.pk, credit_date=JUL, team=world.other.pk)
    assert [entry.amount_minor for entry in live] == [50_00]
    assert broken() == {}


def test_a_role_that_an_overlay_rule_pays_makes_a_move_touch_every_deal() -> None:
    world = make.world()
    make.plan_version(
        rules=[make.Rule(world.bookings, receivers=Receivers.ROLE, roles=["specialist"], factor_ppm=200_000)]
    )
    make.deal(
        owner=world.cy, lines=[make.Line(world.house, 100_00)], close_date=JUL, state=DealState.APPROVED
    )
    assert post("first") == {"credited": 1}
    made = facts.move_rep(
        rep_id=world.bo.pk,
        team_id=world.team.pk,
        role="specialist",
        starts=JUL,
        by=world.admin,
        at=AT,
        reason="Became a specialist",
    )
    assert (made.deals, made.starts, made.ends) == (None, JUL, None)
    work_off(made)
    assert net() == {world.cy.pk: 100_00, world.bo.pk: 20_00}


def test_a_rep_is_touched_by_what_they_own_by_what_they_cover_and_by_what_they_have_earned() -> None:
    world = make.world()
    consumed = make.measure(basis="consumed")
    in_person = make.comp_plan(for_everybody=False)
    overlay = [make.Rule(world.bookings, receivers=Receivers.TERRITORY, factor_ppm=200_000)]
    make.plan_version(plan=in_person, rules=overlay)
    by_role = make.Rule(world.bookings, receivers=Receivers.ROLE, roles=["house"], factor_ppm=100_000)
    make.plan_version(rules=[make.Rule(consumed), by_role])
    newcomer = make.rep(team=world.team, effective=(make.LONG_AGO, date(2020, 2, 1)))
    coverer, house = make.rep(team=world.team), make.rep(team=world.team, role="house")
    make.ownership(customer=world.customer, rep=newcomer)
    nordics = make.territory()
    make.covers(rep=coverer, territory=nordics)
    covered = make.customer()
    make.lies_in(customer=covered, territory=nordics)
    used = make.deal(
        owner=world.ana,
        customer=world.customer,
        kind=DealKind.CONSUMPTION,
        lines=[make.Line(world.house, 1_00)],
        close_date=JUL,
        state=DealState.APPROVED,
    )
    there = make.deal(owner=world.cy, customer=covered, lines=[make.Line(world.house, 10_00)],
                      close_date=JUL, state=DealState.APPROVED)  # fmt: skip
    post("first")
    assert net() == {world.cy.pk: 10_00, house.pk: 1_00}
    given: dict[str, Any] = {"by": world.admin, "at": AT, "reason": "Late"}
    owns = facts.move_rep(rep_id=newcomer.pk, team_id=world.team.pk, role="specialist", starts=JUL, **given)
    assert owns.deals == (used.pk,)
    work_off(owns)
    covers = facts.assign_plan(plan_id=in_person.pk, rep_id=coverer.pk, starts=JUL, **given)
    assert covers.deals == (there.pk,)
    work_off(covers)
    assert net() == {world.cy.pk: 10_00, house.pk: 1_00, newcomer.pk: 1_00, coverer.pk: 2_00}
    earned = facts.move_rep(rep_id=house.pk, team_id=world.other.pk, role="house", starts=JUL, **given)
    assert earned.deals == (there.pk,)
    assert work_off(earned).counts["reversed"] == 2  # credit and uplift
    left = post("again")
    assert not {"credited", "reversed"} & left.keys(), left


def test_a_plan_whose_overlay_is_by_role_touches_every_deal_also_when_one_person_gets_it() -> None:
    world = make.world()
    plan = make.comp_plan(for_everybody=False)
    make.plan_version(
        plan=plan,
        rules=[make.Rule(world.bookings, receivers=Receivers.ROLE, roles=["specialist"], factor_ppm=200_000)],
    )
    helper = make.rep(team=world.team, role="specialist")
    make.rep(team=world.team, role="specialist")
    make.deal(
        owner=world.cy, lines=[make.Line(world.house, 100_00)], close_date=JUL, state=DealState.APPROVED
    )
    post("first")
    made = facts.assign_plan(
        plan_id=plan.pk, rep_id=helper.pk, starts=JUL, by=world.admin, at=AT, reason="The new plan"
    )
    assert made.deals is None
    work_off(made)
    assert net() == {world.cy.pk: 100_00, helper.pk: 20_00}


def test_a_placed_team_moves_no_credit_and_never_ends_up_below_itself() -> None:
    world = make.world()
    make.deal(owner=world.ana, close_date=JUL, state=DealState.APPROVED)
    post("first")

    def place(team: Any, parent: Any, day: date = JUL) -> facts.FactChange:
        return facts.place_team(
            team_id=team.pk,
            parent_id=parent.pk if parent else None,
            starts=day,
            by=world.admin,
            at=AT,
            reason="Reorganised",
        )

    made = place(world.team, world.company)
    assert (made.cause, made.deals, made.job) == ("team", (), None)
    assert in_force(TeamPlacement.objects.filter(team=world.team), "parent_id") == [
        (world.region.pk, span(make.LONG_AGO, JUL)),
        (world.company.pk, span(JUL, None)),
    ]
    with pytest.raises(Invalid) as refused:
        place(world.company, world.team)
    assert refused.value.problems[0].code == "parent_is_below"
    place(world.other, None, AUG)
    place(world.company, world.other, SEP)
    with pytest.raises(Invalid):  # below it from September on alone, and the span reaches beyond
        place(world.other, world.company, AUG)
    assert post("again") == {"unchanged": 1}


def owned(customer: Any) -> list[tuple[Any, ...]]:
    return in_force(AccountOwnership.objects.filter(customer=customer), "rep_id", "credits")


def test_an_account_goes_to_its_new_owner_and_its_credit_after_the_holdover() -> None:
    world = make.world(rules=[])
    consumed = make.measure(basis="consumed")
    make.plan_version(rules=[make.Rule(consumed)])
    make.ownership(customer=world.customer, rep=world.ana)
    used = [
        make.deal(
            owner=world.ana,
            customer=world.customer,
            kind=DealKind.CONSUMPTION,
            lines=[make.Line(world.house, amount)],
            close_date=day,
            state=DealState.APPROVED,
        )
        for day, amount in (
            (date(2026, 6, 30), 1_00),
            (date(2026, 7, 31), 10_00),
            (date(2026, 8, 31), 100_00),
        )
    ]
    make.deal(owner=world.ana, customer=world.customer, close_date=AUG, state=DealState.APPROVED)
    post("first")
    made = facts.transfer_account(
        customer_id=world.customer.pk,
        rep_id=world.bo.pk,
        starts=JUL,
        holdover_until=AUG,
        by=world.admin,
        at=AT,
        reason="Bo takes it over",
    )
    assert made.what == (f"{world.customer} is Bo's account from 1 Jul 2026 on, credited from 1 Aug 2026 on")
    assert owned(world.customer) == [
        (world.ana.pk, span(make.LONG_AGO, AUG), span(make.LONG_AGO, JUL)),
        (world.bo.pk, span(AUG, None), span(JUL, None)),
    ]
    assert made.deals == (used[1].pk, used[2].pk)
    work_off(made)
    assert net() == {world.ana.pk: 11_00, world.bo.pk: 100_00}
    assert broken() == {}


def test_a_second_transfer_takes_over_what_the_first_left_and_cuts_its_holdover() -> None:
    world = make.world()
    make.ownership(customer=world.customer, rep=world.ana)

    def transfer(rep: Any, day: date, until: date | None) -> None:
        facts.transfer_account(
            customer_id=world.customer.pk,
            rep_id=rep.pk,
            starts=day,
            holdover_until=until,
            by=world.admin,
            at=AT,
            reason="Territories were drawn anew",
        )

    transfer(world.bo, JUL, SEP)
    transfer(world.cy, AUG, None)
    assert owned(world.customer) == [
        (world.ana.pk, span(make.LONG_AGO, AUG), span(make.LONG_AGO, JUL)),
        (world.bo.pk, DateRange(empty=True), span(JUL, AUG)),
        (world.cy.pk, span(AUG, None), span(AUG, None)),
    ]


@pytest.mark.parametrize(
    ("until", "code"),
    [(JUL, "holdover_too_short"), (SEP, "holdover_too_long"), (date(2026, 9, 2), "holdover_too_long")],
)
def test_a_holdover_ends_after_the_transfer_and_before_the_next_one(until: date, code: str) -> None:
    world = make.world()
    make.ownership(customer=world.customer, rep=world.ana, effective=(make.LONG_AGO, SEP))
    make.ownership(customer=world.customer, rep=world.cy, effective=(SEP, None))
    before = owned(world.customer)
    with pytest.raises(Invalid) as refused:
        facts.transfer_account(
            customer_id=world.customer.pk,
            rep_id=world.bo.pk,
            starts=JUL,
            holdover_until=until,
            by=world.admin,
            at=AT,
            reason="Bo takes it over",
        )
    assert [(p.code, p.pointer) for p in refused.value.problems] == [(code, "/holdover_until")]
    assert owned(world.customer) == before


def test_covering_and_leaving_a_territory_moves_the_overlay_of_its_customers_on_those_days() -> None:
    world = make.world()
    make.plan_version(rules=[make.Rule(world.bookings, receivers=Receivers.TERRITORY, factor_ppm=200_000)])
    nordics = make.territory(name="Nordics", house_rep=world.zed)
    make.lies_in(customer=world.customer, territory=nordics, effective=(JUL, None))
    for day, amount in ((date(2026, 6, 30), 1_00), (JUL, 10_00), (AUG, 100_00)):
        make.deal(
            owner=world.ana,
            customer=world.customer,
            lines=[make.Line(world.house, amount)],
            close_date=day,
            state=DealState.APPROVED,
        )
    make.deal(
        owner=world.ana, close_date=JUL, state=DealState.APPROVED, lines=[make.Line(world.house, 1000_00)]
    )
    post("first")
    assert net() == {world.ana.pk: 1111_00, world.zed.pk: 22_00}
    covered = facts.cover_territory(
        territory_id=nordics.pk,
        rep_id=world.bo.pk,
        starts=date(2026, 6, 1),
        by=world.admin,
        at=AT,
        reason="Vacant",
    )
    assert len(covered.deals or ()) == 3  # the deal of June too: it might have lain there
    work_off(covered)
    assert net() == {world.ana.pk: 1111_00, world.bo.pk: 22_00}
    left = facts.leave_territory(
        territory_id=nordics.pk, rep_id=world.bo.pk, ends=AUG, by=world.admin, at=AT, reason="Left in July"
    )
    assert (left.starts, left.ends) == (AUG, None)
    work_off(left)
    assert net() == {world.ana.pk: 1111_00, world.bo.pk: 2_00, world.zed.pk: 20_00}
    assert in_force(TerritoryAssignment.objects, "rep_id") == [(world.bo.pk, span(date(2026, 6, 1), AUG))]
    out = facts.take_out_of_territory(
        customer_id=world.customer.pk,
        territory_id=nordics.pk,
        ends=JUL,
        by=world.admin,
        at=AT,
        reason="Moved",
    )
    work_off(out)
    assert net() == {world.ana.pk: 1111_00}
    assert in_force(CustomerTerritory.objects, "customer_id") == []
    back = facts.put_in_territory(
        customer_id=world.customer.pk,
        territory_id=nordics.pk,
        starts=JUL,
        ends=date(2026, 7, 2),
        by=world.admin,
        at=AT,
        reason="For a day",
    )
    work_off(back)
    assert net() == {world.ana.pk: 1111_00, world.bo.pk: 2_00}
    assert broken() == {}


def test_a_plan_is_assigned_and_taken_back_by_date() -> None:
    world = make.world(rules=[])
    plan = make.comp_plan(name="Sellers", for_everybody=False)
    make.plan_version(plan=plan, rules=[make.Rule(world.bookings)])
    for day in (JUL, AUG):
        make.deal(
            owner=world.ana,
            lines=[make.Line(world.house, 100_00)],
            shares={world.ana: 500_000, world.mia: 500_000},
            close_date=day,
            state=DealState.APPROVED,
        )
    assert post("first") == {"no_rule": 4}
    sellers = facts.assign_plan(
        plan_id=plan.pk, role="account_executive", starts=JUL, by=world.admin, at=AT, reason="The new plan"
    )
    assert (sellers.what, sellers.deals) == (
        "Sellers is assigned to every account executive from 1 Jul 2026 on",
        None,
    )
    work_off(sellers)
    assert net() == {world.ana.pk: 100_00}
    mia = facts.assign_plan(
        plan_id=plan.pk,
        rep_id=world.mia.pk,
        starts=AUG,
        ends=SEP,
        by=world.admin,
        at=AT,
        reason="Mia sells in August",
    )
    work_off(mia)
    assert net() == {world.ana.pk: 100_00, world.mia.pk: 50_00}
    (first,) = PlanAssignment.objects.filter(plan=plan, role="account_executive")
    ended = facts.end_assignment(
        assignment_id=first.pk, ends=AUG, by=world.admin, at=AT, reason="For July alone"
    )
    work_off(ended)
    assert net() == {world.ana.pk: 50_00, world.mia.pk: 50_00}
    with pytest.raises(Conflict) as replaced:
        facts.end_assignment(assignment_id=first.pk, ends=JUL, by=world.admin, at=AT, reason="Again")
    assert replaced.value.problems[0].code == "superseded"
    (left,) = PlanAssignment.objects.filter(plan=plan, role="account_executive", superseded_at=None)
    work_off(
        facts.end_assignment(assignment_id=left.pk, ends=JUL, by=world.admin, at=AT, reason="Not at all")
    )
    assert net() == {world.mia.pk: 50_00}
    assert broken() == {}


def changes(world: make.World, **who: Any) -> dict[str, Callable[[], facts.FactChange]]:
    """One valid change of each kind, by *who*."""
    nordics = make.territory()
    make.covers(rep=world.cy, territory=nordics)
    make.lies_in(customer=make.customer(), territory=nordics)
    FxRate.objects.first() or make.fx()
    assigned = PlanAssignment.objects.first()
    assert assigned is not None
    lies = CustomerTerritory.objects.latest("id")
    given = {"by": world.admin, "at": AT, "reason": "Because", **who}
    return {
        "correct_rate": lambda: facts.correct_rate(
            from_currency="EUR", to_currency="USD", rate_e9=10**9, starts=JUL, **given
        ),
        "move_rep": lambda: facts.move_rep(
            rep_id=world.ana.pk, team_id=world.other.pk, role="specialist", starts=JUL, **given
        ),
        "place_team": lambda: facts.place_team(
            team_id=world.other.pk, parent_id=world.company.pk, starts=JUL, **given
        ),
        "transfer_account": lambda: facts.transfer_account(
            customer_id=world.customer.pk, rep_id=world.bo.pk, starts=JUL, **given
        ),
        "cover_territory": lambda: facts.cover_territory(
            territory_id=nordics.pk, rep_id=world.bo.pk, starts=JUL, **given
        ),
        "leave_territory": lambda: facts.leave_territory(
            territory_id=nordics.pk, rep_id=world.cy.pk, ends=JUL, **given
        ),
        "put_in_territory": lambda: facts.put_in_territory(
            customer_id=world.customer.pk, territory_id=nordics.pk, starts=JUL, **given
        ),
        "take_out_of_territory": lambda: facts.take_out_of_territory(
            customer_id=lies.customer_id, territory_id=nordics.pk, ends=JUL, **given
        ),
        "assign_plan": lambda: facts.assign_plan(
            plan_id=assigned.plan_id, role="manager", starts=JUL, **given
        ),
        "end_assignment": lambda: facts.end_assignment(assignment_id=assigned.pk, ends=JUL, **given),
    }


def known() -> list[Any]:
    models = (
        FxRate,
        TeamMembership,
        TeamPlacement,
        AccountOwnership,
        TerritoryAssignment,
        CustomerTerritory,
        PlanAssignment,
    )
    return [sorted(m.objects.values_list("pk", "effective", "superseded_at")) for m in models]


KINDS = (
    "correct_rate",
    "move_rep",
    "place_team",
    "transfer_account",
    "cover_territory",
    "leave_territory",
    "put_in_territory",
    "take_out_of_territory",
    "assign_plan",
    "end_assignment",
)


def test_only_a_comp_admin_changes_a_fact_and_never_without_a_reason(subtests: pytest.Subtests) -> None:
    world = make.world()
    make.deal(owner=world.ana, close_date=JUL, state=DealState.APPROVED)
    for who, expected in (
        ({"by": make.user(role=Role.MANAGER)}, Forbidden),
        ({"by": world.auditor}, Forbidden),
        ({"reason": "  "}, Invalid),
        ({"reason": "x" * 501}, Invalid),
    ):
        refused, before = changes(world, **who), known()
        for kind in KINDS:
            with subtests.test(kind, refused=expected.__name__):
                with pytest.raises(expected):
                    refused[kind]()
                assert known() == before
    made, before = changes(world), known()
    for kind in KINDS:
        with subtests.test(kind), transaction.atomic():
            made[kind]()
            assert known() != before
            with pytest.raises(Conflict):  # it is so already
                made[kind]()
            transaction.set_rollback(True)


def test_a_preview_writes_nothing_at_all(subtests: pytest.Subtests) -> None:
    world = make.world()
    make.deal(owner=world.ana, close_date=JUL, state=DealState.APPROVED)
    post("first")
    made, before, entries = changes(world), known(), CreditEntry.objects.count()
    trail = AuditEvent.objects.count()
    for kind in KINDS:
        with subtests.test(kind), transaction.atomic():
            facts.preview(made[kind])
            assert known() == before
            assert (CreditEntry.objects.count(), AuditEvent.objects.count(), Job.objects.count()) == (
                entries,
                trail,
                0,
            )
            assert made[kind]().what  # and it can be made afterwards
            transaction.set_rollback(True)


def test_a_preview_tells_what_the_run_then_does() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    for close, amount in ((JUL, 100_00), (AUG, 50_00)):
        make.deal(
            owner=world.ana,
            lines=[make.Line(world.house, amount)],
            close_date=close,
            code="EUR",
            state=DealState.APPROVED,
        )
    post("first")
    arguments: dict[str, Any] = {
        "from_currency": "EUR",
        "to_currency": "USD",
        "rate_e9": 1_200_000_000,
        "starts": JUL,
        "by": world.admin,
        "at": AT,
        "reason": "The bank sent another rate",
    }
    impact = facts.preview(facts.correct_rate, **arguments)
    assert [
        (m.rep_id, m.before, m.after) for m in sorted(impact.preview.standings, key=lambda m: m.period_id)
    ] == [
        (world.ana.pk, 110_00, 120_00),
        (world.ana.pk, 55_00, 60_00),
    ]
    assert [(d.before, d.after) for d in impact.preview.deals] == [(110_00, 120_00), (55_00, 60_00)]
    assert impact.preview.counts == {"credited": 2, "reversed": 2}
    job = work_off(facts.correct_rate(**arguments))
    assert job.counts == {**impact.preview.counts, "posted_to_open_period": 0}


def test_what_does_not_exist_is_named_where_it_was_asked_for() -> None:
    world = make.world()
    given: dict[str, Any] = {"by": world.admin, "at": AT, "reason": "Because", "starts": JUL}
    for change, arguments, pointers in (
        (facts.move_rep, {"rep_id": 0, "team_id": 0, "role": "king"}, ["/rep", "/team", "/role"]),
        (facts.place_team, {"team_id": 0, "parent_id": 0}, ["/team", "/parent", "/parent"]),
        (facts.transfer_account, {"customer_id": 0, "rep_id": 0}, ["/customer", "/rep"]),
        (
            facts.cover_territory,
            {"territory_id": 0, "rep_id": 0, "ends": JUL},
            ["/ends", "/territory", "/rep"],
        ),
        (facts.put_in_territory, {"territory_id": 0, "customer_id": 0}, ["/territory", "/customer"]),
        (facts.assign_plan, {"plan_id": 0, "rep_id": 0, "role": "manager"}, ["/plan", "/rep", "/role"]),
        (
            facts.correct_rate,
            {"from_currency": "USD", "to_currency": "USD", "rate_e9": 0},
            ["/to_currency", "/rate"],
        ),
        (
            facts.correct_rate,
            {"from_currency": "XXX", "to_currency": "YYY", "rate_e9": 10**15 + 1},
            ["/from_currency", "/to_currency", "/rate"],
        ),
    ):
        with pytest.raises(Invalid) as refused:
            change(**given, **arguments)
        assert [p.pointer for p in refused.value.problems] == pointers
    with pytest.raises(NotFound):
        facts.end_assignment(assignment_id=0, ends=JUL, by=world.admin, at=AT, reason="Because")


@pytest.mark.parametrize(
    ("rate", "written"), [(1_083_700_000, "1.0837"), (10**9, "1.0000"), (1, "0.000000001")]
)
def test_a_rate_is_written_with_four_decimals_or_as_many_as_it_takes(rate: int, written: str) -> None:
    assert written_rate(rate) == written


@st.composite
def drawn_changes(draw: st.DrawFn, rich: Rich) -> Callable[..., facts.FactChange]:
    """A change of any kind, on days on which deals close."""
    starts, ends = sorted(draw(st.tuples(*[st.dates(date(2026, 7, 5), LAST_DAY)] * 2)))
    until = draw(st.none() | st.just(ends if ends > starts else None))
    rep, customer = draw(st.sampled_from(rich.reps)), draw(st.sampled_from(rich.customers))
    territory, team = draw(st.sampled_from(rich.territories)), draw(st.sampled_from(rich.teams))
    plans = sorted(PlanAssignment.objects.values_list("plan", flat=True).distinct())
    made: list[Callable[..., facts.FactChange]] = [
        lambda **given: facts.correct_rate(
            from_currency=code, to_currency="USD", rate_e9=1_234_567_891, starts=starts, ends=until, **given
        ),
        lambda **given: facts.move_rep(
            rep_id=rep.pk, team_id=team.pk, role=role or "specialist", starts=starts, **given
        ),
        lambda **given: facts.transfer_account(
            customer_id=customer.pk, rep_id=rep.pk, starts=starts, holdover_until=until, **given
        ),
        lambda **given: facts.cover_territory(
            territory_id=territory.pk, rep_id=rep.pk, starts=starts, ends=until, **given
        ),
        lambda **given: facts.leave_territory(territory_id=territory.pk, rep_id=rep.pk, ends=starts, **given),
        lambda **given: facts.put_in_territory(
            customer_id=customer.pk, territory_id=territory.pk, starts=starts, ends=until, **given
        ),
        lambda **given: facts.take_out_of_territory(
            customer_id=customer.pk, territory_id=territory.pk, ends=starts, **given
        ),
    ]
    code = draw(st.sampled_from(["EUR", "JPY", "GBP"]))
    role = draw(st.sampled_from(["", "specialist", "account_executive", "house"]))
    if plans:
        plan, in_person = draw(st.sampled_from(plans)), draw(st.booleans())
        made.append(
            lambda **given: facts.assign_plan(
                plan_id=plan,
                role="" if in_person else role,
                rep_id=rep.pk if in_person else None,
                starts=starts,
                ends=until,
                **given,
            )
        )
        assignments = sorted(PlanAssignment.objects.filter(superseded_at=None).values_list("pk", flat=True))
        assignment = draw(st.sampled_from(assignments)) if assignments else 0
        made.append(lambda **given: facts.end_assignment(assignment_id=assignment, ends=starts, **given))
    chosen: Callable[..., facts.FactChange] = draw(st.sampled_from(made))
    return chosen


@pytest.fixture
def rich() -> Rich:
    return Rich()


@settings(max_examples=examples(5), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_after_any_changes_and_their_runs_nothing_is_left_to_post(data: st.DataObject, rich: Rich) -> None:
    with transaction.atomic():
        data.draw(worlds(rich))
        admin = make.user(role=Role.COMP_ADMIN)
        post("first")
        for n in range(3):
            change = data.draw(drawn_changes(rich))
            given: dict[str, Any] = {"by": admin, "at": AT, "reason": "Drawn"}
            try:
                impact = facts.preview(change, **given)
            except Refusal:
                continue
            before = CreditEntry.objects.count()
            made = change(**given)
            if made.job is not None:
                counts = work_off(made).counts
                written = counts.get("credited", 0) + counts.get("reversed", 0)
                assert CreditEntry.objects.count() - before == written
                told = impact.preview.counts
                assert (told.get("credited", 0), told.get("reversed", 0)) == (
                    counts.get("credited", 0),
                    counts.get("reversed", 0),
                )
            left = post(f"check-{n}")
            assert not {"credited", "reversed"} & left.keys(), (made, left)
        assert broken() == {}
        transaction.set_rollback(True)
