"""A rep says that a number is wrong: evidence frozen, one thread, one answer. RULES 13."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, transaction

from accounts.models import Notification, Role, RoleGrant, User
from config import outbox
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Stale
from quotas.models import (
    CreditEntry,
    Deal,
    Dispute,
    DisputeKind,
    DisputeMessage,
    Rep,
)
from quotas.selectors import disputes as reading
from quotas.selectors import evidence
from quotas.selectors.disputes import clock_of, disputes_for, due_after
from quotas.services import approving, booking, disputes
from quotas.services.adjusting import AdjustmentDraft, decide_adjustment
from quotas.services.disputes import DisputeDraft, open_dispute, resolve, say, take, withdraw
from tests import make
from tests.make import AT, Line, World
from tests.quotas.api import credited_at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def carry_out(at: datetime = AT) -> None:
    """What is owed by the outbox."""
    for message_id in OutboxMessage.objects.filter(done_at=None).order_by("id").values_list("id", flat=True):
        outbox.carry_out(message_id=message_id, at=at)


def admins() -> set[int]:
    """Comp admins: whoever drafted the plan is one too."""
    grants = RoleGrant.objects.filter(role=Role.COMP_ADMIN)
    return set(grants.values_list("user_id", flat=True))


def approved(world: World, shares: dict[Rep, int] | None = None) -> Deal:
    (deal,) = credited_at_once(
        make.Sale(
            owner=world.ana, customer=world.customer, lines=[Line(world.house, 1_000_00)], shares=shares
        )
    )
    return deal


def opened(world: World, deal: Deal | None = None, **changes: object) -> Dispute:
    deal = deal or approved(world, {world.ana: 700_000, world.bo: 300_000})
    entry = CreditEntry.objects.get(deal=deal, rep=world.ana, reverses_id=None)
    asked = DisputeDraft(
        rep_id=world.ana.pk,
        kind=DisputeKind.SPLIT,
        text="We agreed on 80 to 20.",
        entry_id=entry.pk,
        claimed_minor=800_00,
    )
    return open_dispute(draft=replace(asked, **changes), by=make.login(world.ana), at=AT)  # type: ignore[arg-type]


def missing(world: World, amount: int = 100_00) -> AdjustmentDraft:
    return AdjustmentDraft(
        rep_id=world.ana.pk,
        measure_id=world.bookings.pk,
        amount_minor=amount,
        credit_date=make.TODAY,
        reason_code="wrong_split",
        note="As agreed in writing.",
    )


def test_what_stood_is_frozen_without_names_and_stays_whatever_happens_to_the_deal(world: World) -> None:
    dispute = opened(world)
    kept = dispute.evidence
    assert kept["deal"]["shares"] == [
        {"rep": world.ana.pk, "ppm": 700_000},
        {"rep": world.bo.pk, "ppm": 300_000},
    ]
    assert kept["deal"]["lines"][0]["amount_minor"] == 1_000_00
    (credit,) = kept["credits"]
    assert (credit["amount_minor"], credit["holds"], credit["origin_period"]) == (700_00, True, "FY27-M02")
    assert "the rep for 70% of House model" in credit["sentence"]
    assert [(q["period"], q["amount_minor"]) for q in kept["quotas"]] == [("FY27-Q1", 100_000_00)]
    assert {t["direct_minor"] for t in kept["totals"]} == {700_00}
    text = evidence.canonical(kept)
    assert world.ana.name not in text
    assert dispute.evidence_digest == evidence.digest(kept)

    approving.cancel_deal(deal_id=dispute.deal_id or 0, by=world.admin, at=AT, reason="Customer withdrew")
    again = Dispute.objects.get()
    assert evidence.digest(again.evidence) == dispute.evidence_digest
    with pytest.raises(DatabaseError), transaction.atomic():
        Dispute.objects.update(evidence={})


def test_an_accepted_dispute_is_adjusted_by_a_second_person_and_the_thread_tells_all(world: World) -> None:
    dispute = opened(world)
    mia, checker = make.login(world.mia), make.user(role="comp_admin", name="Second admin")
    take(dispute_id=dispute.pk, by=mia, at=AT)
    say(dispute_id=dispute.pk, text="Have you a mail?", by=mia, at=AT)
    say(dispute_id=dispute.pk, text="I have sent it.", by=make.login(world.ana), at=AT)
    resolve(
        dispute_id=dispute.pk, accept=True, text="You are right.", by=mia, at=AT, adjustment=missing(world)
    )
    (asked,) = dispute.adjustments.all()
    decide_adjustment(adjustment_id=asked.pk, approve=True, by=checker, at=AT)

    dispute.refresh_from_db()
    assert (dispute.state, dispute.resolved_by, dispute.resolution) == ("accepted", mia, "You are right.")
    assert [message.text for message in DisputeMessage.objects.order_by("pk")] == [
        "Mia looks into it.",
        "Have you a mail?",
        "I have sent it.",
        "You are right.",
        f"{asked.reference} is asked for. It counts once another comp admin has approved it.",
        f"{asked.reference} was approved by Second admin and posted.",
    ]
    assert sum(e.amount_minor for e in CreditEntry.objects.filter(rep=world.ana)) == 800_00


def test_an_adjustment_that_is_turned_down_puts_the_dispute_back_into_review(world: World) -> None:
    dispute = opened(world)
    resolve(
        dispute_id=dispute.pk, accept=True, text="Right.", by=world.admin, at=AT, adjustment=missing(world)
    )
    checker = make.user(role="comp_admin")
    (asked,) = dispute.adjustments.all()
    decide_adjustment(adjustment_id=asked.pk, approve=False, by=checker, at=AT, note="No mail was found")
    dispute.refresh_from_db()
    assert (dispute.state, dispute.resolved_at, dispute.resolution) == ("in_review", None, "")
    resolve(dispute_id=dispute.pk, accept=False, text="There was no such mail.", by=checker, at=AT)
    assert Dispute.objects.get().state == "rejected"
    with pytest.raises(Conflict) as twice:
        resolve(dispute_id=dispute.pk, accept=True, text="Or was there?", by=world.admin, at=AT)
    assert twice.value.problems[0].code == "answered_already"


def test_a_refused_adjustment_leaves_the_dispute_as_it_was(world: World) -> None:
    dispute = opened(world)
    with pytest.raises(Invalid):
        resolve(
            dispute_id=dispute.pk,
            accept=True,
            text="Right.",
            by=world.admin,
            at=AT,
            adjustment=missing(world, 0),
        )
    assert (Dispute.objects.get().state, DisputeMessage.objects.count()) == ("open", 0)


def test_what_is_not_yours_to_dispute_is_not_there(world: World) -> None:
    deal = approved(world)
    entry = CreditEntry.objects.get(deal=deal)
    about_anas = DisputeDraft(rep_id=world.ana.pk, kind="wrong_amount", text="Too much", entry_id=entry.pk)
    for who in (make.login(world.bo), make.login(world.zed), world.auditor, make.user(role="partner")):
        with pytest.raises(NotFound):
            open_dispute(draft=about_anas, by=who, at=AT)
    with pytest.raises(NotFound):  # in one's own name, about somebody else's entry
        open_dispute(draft=replace(about_anas, rep_id=world.bo.pk), by=make.login(world.bo), at=AT)
    with pytest.raises(NotFound):  # a deal in which one has no part
        open_dispute(
            draft=DisputeDraft(rep_id=world.cy.pk, kind="owner", text="Mine", deal_id=deal.pk),
            by=make.login(world.cy),
            at=AT,
        )
    assert not Dispute.objects.exists()
    mine = opened(world, deal, claimed_minor=None)
    seen = {who.pk: disputes_for(who, make.TODAY).filter(pk=mine.pk).exists() for who in _everybody(world)}
    assert seen == {
        **dict.fromkeys((make.login(r).pk for r in (world.ana, world.mia, world.rex)), True),
        world.admin.pk: True,
        world.auditor.pk: True,
        **dict.fromkeys((make.login(r).pk for r in (world.bo, world.cy, world.zed)), False),
    }
    for act in (
        lambda who: say(dispute_id=mine.pk, text="Me too", by=who, at=AT),
        lambda who: take(dispute_id=mine.pk, by=who, at=AT),
        lambda who: resolve(dispute_id=mine.pk, accept=True, text="Yes", by=who, at=AT),
        lambda who: withdraw(dispute_id=mine.pk, by=who, at=AT),
    ):
        with pytest.raises(NotFound):
            act(make.login(world.zed))
        if act.__code__.co_names[0] != "withdraw":
            with pytest.raises(Forbidden):
                act(world.auditor)
    with pytest.raises(Forbidden):
        take(dispute_id=mine.pk, by=make.login(world.ana), at=AT)
    with pytest.raises(Forbidden):
        resolve(dispute_id=mine.pk, accept=True, text="Yes", by=make.login(world.ana), at=AT)


def _everybody(world: World) -> list[User]:
    reps = (world.ana, world.bo, world.mia, world.cy, world.zed, world.rex)
    return [*(make.login(rep) for rep in reps), world.admin, world.auditor]


def test_of_more_people_than_a_form_lists_the_one_that_it_is_about_can_be_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deal = approved(world, {world.ana: 700_000, world.bo: 300_000})
    monkeypatch.setattr(reading, "MOST_NAMED", 0)
    named = reading.subject(world.admin, make.TODAY, period=world.year.quarters[0], rep=world.bo)
    assert named is not None
    assert named.reps == [world.bo]
    about = reading.subject(world.admin, make.TODAY, deal_id=deal.pk)
    assert about is not None
    assert about.reps == [world.ana, world.bo]
    theirs = DisputeDraft(rep_id=world.bo.pk, kind="split", text="It was half", deal_id=deal.pk)
    assert open_dispute(draft=theirs, by=world.admin, at=AT).rep == world.bo


def test_bad_input_and_the_same_again_write_nothing(world: World) -> None:
    deal = approved(world)
    for changes, wrong in (
        ({"text": " "}, "text_missing"),
        ({"kind": "bad_luck"}, "unknown_kind"),
        ({"claimed_minor": 9_000_000_000_001}, "too_large"),
    ):
        with pytest.raises(Invalid) as refused:
            opened(world, deal, **changes)
        assert [p.code for p in refused.value.problems] == [wrong]
    with pytest.raises(Invalid) as nothing:
        open_dispute(
            draft=DisputeDraft(rep_id=world.ana.pk, kind="owner", text="Hm"),
            by=make.login(world.ana),
            at=AT,
        )
    assert nothing.value.problems[0].code == "about_nothing"
    first = opened(world, deal)
    with pytest.raises(Conflict) as same:
        opened(world, deal)
    assert first.reference in same.value.problems[0].message
    withdraw(dispute_id=first.pk, by=make.login(world.ana), at=AT)
    assert opened(world, deal).state == "open"


def test_a_change_since_it_was_read_is_told(world: World) -> None:
    dispute = opened(world)
    say(dispute_id=dispute.pk, text="One more thing", by=make.login(world.ana), at=AT)
    with pytest.raises(Stale):
        resolve(
            dispute_id=dispute.pk,
            accept=False,
            text="No",
            by=world.admin,
            at=AT,
            expected_revision=dispute.revision,
        )
    assert Dispute.objects.get().state == "open"


def test_five_business_days_are_given_and_who_owes_an_answer_is_reminded_once(
    world: World,
) -> None:
    friday = datetime(2026, 8, 14, 19, tzinfo=UTC)  # noon in Los Angeles
    assert due_after(friday, 5) == datetime(2026, 8, 21, 19, tzinfo=UTC)
    assert due_after(datetime(2026, 8, 15, 19, tzinfo=UTC), 1) == datetime(2026, 8, 17, 19, tzinfo=UTC)
    dispute = opened(world)
    assert dispute.due_at == due_after(AT, 5)
    assert clock_of(dispute, AT).words == "7 days left"
    assert clock_of(dispute, dispute.due_at + timedelta(hours=3)) == (
        type(clock_of(dispute, AT))("3 hours late", "bad")
    )
    assert disputes.remind(at=dispute.due_at - timedelta(days=2)) == 0
    for hours in (-20, 1, 30):
        disputes.remind(at=dispute.due_at + timedelta(hours=hours))
    carry_out(dispute.due_at)
    told = Notification.objects.filter(key=f"dispute-due:{dispute.pk}").values_list("user_id", flat=True)
    assert set(told) == {world.mia.user_id, *admins()}
    assert len(told) == len(set(told))


def test_both_sides_hear_of_it_and_nobody_else(world: World) -> None:
    dispute = opened(world)
    resolve(dispute_id=dispute.pk, accept=False, text="70 to 30 was agreed.", by=world.admin, at=AT)
    carry_out()
    about = Notification.objects.filter(url=f"/quotas/disputes/{dispute.pk}/")
    assert {(note.user_id, note.key.split(":")[0]) for note in about} == {
        (world.mia.user_id, "dispute-opened"),
        *((admin, "dispute-opened") for admin in admins()),
        (world.ana.user_id, "dispute-resolved"),
    }


def test_a_quota_can_be_disputed_by_its_rep_with_its_versions_as_evidence(world: World) -> None:
    quota = world.ana.quotas.get()
    asked = DisputeDraft(rep_id=world.ana.pk, kind="quota", text="I was on leave.", quota_id=quota.pk)
    dispute = open_dispute(draft=asked, by=make.login(world.ana), at=AT)
    assert (dispute.period, dispute.measure) == (quota.period, world.bookings)
    assert [each["quota"] for each in dispute.evidence["quotas"]] == [quota.pk]
    with pytest.raises(NotFound):
        open_dispute(draft=asked, by=make.login(world.bo), at=AT)


def test_a_line_without_credit_is_frozen_with_its_reason(world: World) -> None:
    unknown = make.offering(name="New model", path="internal")
    facts = make.draft(owner=world.ana, customer=world.customer, lines=[Line(unknown, 5_00)])
    deal = booking.log_deal(draft=facts, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    dispute = open_dispute(
        draft=DisputeDraft(rep_id=world.ana.pk, kind="missing_credit", text="Nothing came", deal_id=deal.pk),
        by=make.login(world.ana),
        at=AT,
    )
    assert [gap["reason"] for gap in dispute.evidence["without_credit"]] == ["not_eligible"]
