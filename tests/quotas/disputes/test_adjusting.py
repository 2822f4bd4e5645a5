"""Credit given by hand: by two people, into an open month, once, and gone with its deal. RULES 13."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from django.db import DatabaseError, transaction

from accounts.models import User
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal
from quotas.crediting.explain import explain_entry
from quotas.crediting.invariants import broken
from quotas.models import (
    Adjustment,
    AdjustmentReason,
    CreditEntry,
    CreditTotal,
    Deal,
    PeriodState,
    Posting,
    TotalBasis,
)
from quotas.services import approving, booking
from quotas.services.adjusting import (
    AdjustmentDraft,
    ask_adjustment,
    decide_adjustment,
    undo_adjustment,
    withdraw_adjustment,
)
from tests import make
from tests.make import AT, Line, World

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


@pytest.fixture
def checker() -> User:
    return make.user(role="comp_admin", name="Second admin")


def draft(world: World, **changes: object) -> AdjustmentDraft:
    asked = AdjustmentDraft(
        rep_id=world.ana.pk,
        measure_id=world.bookings.pk,
        amount_minor=250_00,
        credit_date=date(2026, 8, 3),
        reason_code=AdjustmentReason.MISSING_CREDIT,
        note="The deal was logged twice and one was cancelled by mistake.",
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def approved(world: World, amount: int = 1_000_00) -> Deal:
    facts = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.house, amount)])
    deal = booking.log_deal(draft=facts, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    return approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)


def reported(world: World) -> int:
    """Ana's total of the quarter, as boards read it."""
    rows = CreditTotal.objects.filter(
        period=world.year.quarters[0], rep=world.ana, basis=TotalBasis.REPORTED
    ).values_list("direct_minor", flat=True)
    return sum(rows)


def code(refused: "pytest.ExceptionInfo[Refusal]") -> str:
    return refused.value.problems[0].code


def test_one_asks_another_approves_and_then_it_counts_and_explains_itself(
    world: World, checker: User
) -> None:
    asked = ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    assert (asked.state, reported(world), CreditEntry.objects.count()) == ("asked", 0, 0)

    done = decide_adjustment(adjustment_id=asked.pk, approve=True, by=checker, at=AT, note="Seen in the CRM")

    assert (done.state, done.decided_by, reported(world)) == ("posted", checker, 250_00)
    entry = CreditEntry.objects.get()
    assert (entry.deal_id, entry.component, entry.team_id, entry.amount_minor) == (
        None,
        5,
        world.team.pk,
        250_00,
    )
    told = explain_entry(entry.pk)
    assert told.holds
    assert told.sentence == f"{asked.reference} gives $250.00 to Ana by hand: credit was missing."
    assert [step.value for step in told.steps] == ["$250.00", "", "$250.00"]
    assert (told.rules, told.parts, told.pins["adjustment"]) == ([], [], asked.pk)
    assert broken() == {}


def test_who_asked_is_no_second_person_and_the_rep_is_none_either(world: World, checker: User) -> None:
    own = make.rep(team=world.team, user=checker, name="Cleo")
    asked = ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    of_cleo = ask_adjustment(draft=draft(world, rep_id=own.pk), by=world.admin, at=AT)
    for adjustment, who, refusal in (
        (asked, world.admin, "same_person"),
        (of_cleo, checker, "own_credit"),
        (asked, make.login(world.mia), "not_a_comp_admin"),
    ):
        with pytest.raises(Forbidden) as refused:
            decide_adjustment(adjustment_id=adjustment.pk, approve=True, by=who, at=AT)
        assert code(refused) == refusal
    with pytest.raises(Invalid) as mine:
        ask_adjustment(draft=draft(world, rep_id=own.pk), by=checker, at=AT)
    assert code(mine) == "own_credit"
    with pytest.raises(Forbidden) as rep:
        ask_adjustment(draft=draft(world), by=make.login(world.ana), at=AT)
    assert code(rep) == "not_for_adjusting"
    with pytest.raises(NotFound):
        decide_adjustment(adjustment_id=asked.pk, approve=True, by=make.login(world.cy), at=AT)
    assert (Posting.objects.count(), reported(world)) == (0, 0)


def test_a_manager_asks_for_the_reps_below_and_for_nobody_else(world: World) -> None:
    mia = make.login(world.mia)
    assert ask_adjustment(draft=draft(world), by=mia, at=AT).asked_by == mia
    for rep in (world.cy, world.mia):
        with pytest.raises(Invalid) as refused:
            ask_adjustment(draft=draft(world, rep_id=rep.pk), by=mia, at=AT)
        assert code(refused) in ("unknown_rep", "own_credit")


def test_bad_input_gets_one_clear_message_and_nothing_is_written(
    world: World, subtests: pytest.Subtests
) -> None:
    asked: list[tuple[dict[str, object], str]] = [
        ({"amount_minor": 0}, "amount_zero"),
        ({"amount_minor": 9_000_000_000_001}, "too_large"),
        ({"note": "  "}, "note_missing"),
        ({"reason_code": "deal_cancelled"}, "unknown_reason"),
        ({"measure_id": 0}, "unknown_measure"),
        ({"credit_date": date(2026, 8, 15)}, "credit_date_ahead"),
        ({"credit_date": date(2019, 12, 31), "confirmed": True}, "no_team"),
        ({"credit_date": date(2025, 7, 31)}, "credit_date_far_off"),
        ({"deal_id": 0}, "unknown_deal"),
    ]
    for changes, wrong in asked:
        with subtests.test(wrong):
            with pytest.raises(Invalid) as refused:
                ask_adjustment(draft=draft(world, **changes), by=world.admin, at=AT)
            assert [problem.code for problem in refused.value.problems] == [wrong]
            assert not Adjustment.objects.exists()


def test_a_closed_month_sends_it_to_the_open_one_and_it_keeps_its_origin(world: World, checker: User) -> None:
    make.fiscal_year(states={1: PeriodState.CLOSED})
    asked = ask_adjustment(draft=draft(world, credit_date=date(2026, 7, 20)), by=world.admin, at=AT)
    decide_adjustment(adjustment_id=asked.pk, approve=True, by=checker, at=AT)
    entry = CreditEntry.objects.select_related("posting_period", "origin_period").get()
    assert (entry.posting_period.name, entry.origin_period.name) == ("FY27-M02", "FY27-M01")
    assert (
        explain_entry(entry.pk)
        .steps[-1]
        .detail.endswith("it belongs to FY27-M01, which was closed. Direct, for Team.")
    )
    make.fiscal_year(states={2: PeriodState.CLOSED})
    with pytest.raises(Conflict) as nowhere:
        ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    assert code(nowhere) == "no_open_period"
    assert broken() == {}


def test_it_is_decided_once_and_asked_for_once(world: World, checker: User) -> None:
    asked = ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    with pytest.raises(Conflict) as twice:
        ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    assert code(twice) == "asked_already"
    with pytest.raises(Invalid):
        decide_adjustment(adjustment_id=asked.pk, approve=False, by=checker, at=AT)
    decide_adjustment(adjustment_id=asked.pk, approve=False, by=checker, at=AT, note="It was not missing")
    for late in (True, False):
        with pytest.raises(Conflict) as refused:
            decide_adjustment(adjustment_id=asked.pk, approve=late, by=checker, at=AT, note="Again")
        assert code(refused) == "decided_already"
    with pytest.raises(Conflict):
        withdraw_adjustment(adjustment_id=asked.pk, by=world.admin, at=AT)
    with pytest.raises(DatabaseError), transaction.atomic():
        Adjustment.objects.filter(pk=asked.pk).update(amount_minor=1)
    assert reported(world) == 0


def test_undone_by_two_people_it_nets_to_nothing_and_a_refused_undo_can_be_asked_again(
    world: World, checker: User
) -> None:
    posted = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=80_00)
    undo = undo_adjustment(adjustment_id=posted.pk, by=world.admin, at=AT, note="Wrong person")
    with pytest.raises(Conflict) as twice:
        undo_adjustment(adjustment_id=posted.pk, by=checker, at=AT, note="Wrong person")
    assert code(twice) == "undone_already"
    decide_adjustment(adjustment_id=undo.pk, approve=False, by=checker, at=AT, note="It was right")
    assert reported(world) == 80_00

    again = undo_adjustment(adjustment_id=posted.pk, by=world.admin, at=AT, note="It was not")
    with pytest.raises(Forbidden):
        decide_adjustment(adjustment_id=again.pk, approve=True, by=world.admin, at=AT)
    decide_adjustment(adjustment_id=again.pk, approve=True, by=checker, at=AT)

    assert reported(world) == 0
    reversal = CreditEntry.objects.get(reverses_id__isnull=False)
    told = explain_entry(reversal.pk)
    assert told.holds
    assert (
        told.sentence
        == f"{again.reference} undoes {posted.reference} exactly: $80.00 no longer stands for Ana."
    )
    assert broken() == {}


def test_cancelling_its_deal_undoes_it_at_once_and_ends_what_waits(world: World) -> None:
    deal = approved(world)
    stands = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=-40_00, deal=deal)
    undone = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=10_00, deal=deal)
    undo = undo_adjustment(adjustment_id=undone.pk, by=world.admin, at=AT, note="Not this deal")
    waits = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=7_00, deal=deal, posted=False)
    assert reported(world) == 970_00

    approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew")

    assert reported(world) == 0
    for adjustment in (undo, waits):
        adjustment.refresh_from_db()
        assert (adjustment.state, adjustment.decision_note) == (
            "withdrawn",
            f"{deal.reference} was cancelled.",
        )
    stands.refresh_from_db()
    assert (stands.undone_by.reason_code, stands.undone_by.amount_minor) == ("deal_cancelled", 40_00)
    entry = CreditEntry.objects.get(adjustment=stands, reverses_id__isnull=False)
    assert "It followed the cancellation" in explain_entry(entry.pk).steps[1].detail
    with pytest.raises(Invalid) as gone:
        make.adjustment(rep=world.ana, measure=world.bookings, deal=deal, posted=False)
    assert code(gone) == "deal_not_approved"
    assert broken() == {}


def test_a_move_of_the_rep_before_approval_is_followed(world: World, checker: User) -> None:
    asked = ask_adjustment(draft=draft(world), by=world.admin, at=AT)
    world.ana.memberships.update(team=world.other)
    decide_adjustment(adjustment_id=asked.pk, approve=True, by=checker, at=AT)
    assert CreditEntry.objects.get().team_id == world.other.pk
    assert broken() == {}


Refused = Callable[[], None]
