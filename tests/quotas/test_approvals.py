"""Who approves: the nearest manager, whoever stands in for them, and a second person above the limit (RULES.md 12)."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Notification, Role, User
from config import outbox
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal
from quotas.crediting.invariants import broken
from quotas.models import (
    ApprovalLimit,
    CreditEntry,
    Deal,
    DealAction,
    DealApproval,
    DealState,
    Delegation,
    Period,
    PeriodState,
)
from quotas.selectors.approvers import Approvers, approvals_waiting_for, may_approve
from quotas.selectors.visibility import deals_for
from quotas.services import approving, booking
from quotas.services.delegating import delegate, end_delegation, set_limit
from tests import make
from tests.make import AT, TODAY, Line, World

pytestmark = pytest.mark.django_db
LATER = AT + timedelta(hours=1)


@pytest.fixture
def world() -> Iterator[World]:
    """Whatever a test does, what it leaves keeps the invariants."""
    made = make.world(quotas=False)
    yield made
    assert broken() == {}


def person(rep: Any) -> User:
    """As of a new request: roles are remembered on the instance."""
    return User.objects.get(pk=rep.pk if isinstance(rep, User) else rep.user_id)


def submitted(
    world: World, minor: int = 1_000_00, *, owner: Any = None, at: datetime = AT, **facts: Any
) -> Deal:
    owner = owner or world.ana
    draft = make.draft(owner=owner, customer=world.customer, lines=[Line(world.third, minor)], **facts)
    deal = booking.log_deal(draft=draft, by=make.login(owner), at=at)
    return booking.submit_deal(deal_id=deal.pk, by=make.login(owner), at=at)


def deciders(deal: Deal) -> set[int]:
    """Of the deal as it is stored now."""
    stored = Deal.objects.get(pk=deal.pk)
    return Approvers([stored], TODAY).of(stored)


def comp_admins() -> set[int]:
    return set(User.objects.filter(role_grants__role=Role.COMP_ADMIN).values_list("pk", flat=True))


def limit(world: World, minor: int = 5_000_00, *, starts: date = TODAY, at: datetime = AT) -> None:
    set_limit(
        amount_minor=minor, currency="USD", starts=starts, reason="Two pairs of eyes", by=world.admin, at=at
    )


def code(refusal: pytest.ExceptionInfo[Any]) -> str:
    found: str = refusal.value.problems[0].code
    return found


def approve(deal: Deal, by: Any, at: datetime = LATER) -> Deal:
    return approving.approve_deal(deal_id=deal.pk, by=person(by), at=at)


def stand_in(world: World, of: Any, to: Any, days: int = 7, **facts: Any) -> Delegation:
    return delegate(
        of_id=person(of).pk,
        to_id=person(to).pk,
        starts=facts.pop("starts", TODAY),
        ends=facts.pop("ends", TODAY + timedelta(days=days)),
        reason="Annual leave",
        by=person(facts.pop("by", of)),
        at=AT,
    )


# --- two approvals ----------------------------------------------------------------------------------------------


def test_a_deal_above_the_limit_is_credited_after_the_second_approval(world: World) -> None:
    limit(world)
    small, large = submitted(world, 5_000_00), submitted(world, 5_000_01)
    assert approve(small, world.mia).state == DealState.APPROVED
    approve(large, world.mia)
    large.refresh_from_db()
    assert (large.state, large.decided_by) == (DealState.SUBMITTED, None)
    assert not CreditEntry.objects.filter(deal=large).exists()
    assert [e.action for e in large.events.order_by("id")][-1] == DealAction.FIRST_APPROVED
    assert deciders(large) == {world.rex.user_id, *comp_admins()}
    with pytest.raises(Forbidden) as same:
        approve(large, world.mia)
    assert code(same) == "second_approver_is_first"
    assert "outside your chain" in str(same.value)
    approve(large, world.rex)
    large.refresh_from_db()
    assert (large.state, large.decided_by_id) == (DealState.APPROVED, world.rex.user_id)
    assert CreditEntry.objects.filter(deal=large).count() == 1
    assert list(
        DealApproval.objects.filter(deal=large).order_by("ordinal").values_list("ordinal", "by_id")
    ) == [
        (1, world.mia.user_id),
        (2, world.rex.user_id),
    ]


def test_a_comp_admin_gives_the_second_approval_and_a_lower_manager_cannot(world: World) -> None:
    limit(world)
    # Mia has a share, so the deal goes to her manager first; she, below him, cannot give the second.
    deal = submitted(world, 9_000_00, shares={world.ana: 500_000, world.cy: 500_000})
    lower = submitted(world, 9_000_00, owner=world.mia)
    approve(lower, world.rex)
    with pytest.raises(Refusal):
        approve(lower, world.zed)
    assert deciders(lower) == comp_admins()
    approve(lower, world.admin)
    approve(deal, world.mia)
    approve(deal, world.admin)
    assert set(Deal.objects.values_list("state", flat=True)) == {DealState.APPROVED}


def test_neither_a_share_nor_the_submission_goes_with_the_second_approval(world: World) -> None:
    limit(world)
    shared = submitted(world, 9_000_00, shares={world.ana: 500_000, world.rex: 500_000})
    approve(shared, world.mia)
    with pytest.raises(Forbidden) as own:
        approve(shared, world.rex)
    assert code(own) == "self_approval"
    draft = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.third, 9_000_00)])
    handed_in = booking.log_deal(draft=draft, by=world.admin, at=AT)
    booking.submit_deal(deal_id=handed_in.pk, by=world.admin, at=AT)
    approve(handed_in, world.mia)
    with pytest.raises(Forbidden):
        approve(handed_in, world.admin)
    assert not CreditEntry.objects.exists()


def test_returning_and_submitting_again_begins_anew(world: World) -> None:
    limit(world)
    deal = submitted(world, 9_000_00)
    approve(deal, world.mia)
    approving.return_deal(deal_id=deal.pk, by=person(world.rex), at=LATER, reason="Which plan?")
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=LATER + timedelta(minutes=1))
    assert deciders(deal) == {world.mia.user_id}
    approve(deal, world.mia, LATER + timedelta(minutes=2))
    approve(deal, world.admin, LATER + timedelta(minutes=3))
    assert DealApproval.objects.filter(deal=deal).count() == 3


def test_an_amendment_needs_two_if_what_stands_or_what_is_to_come_is_above_the_limit(world: World) -> None:
    deal = submitted(world, 4_000_00)
    approve(deal, world.mia)
    limit(world, at=LATER)

    def amend(minor: int, at: datetime) -> None:
        draft = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.third, minor)])
        booking.amend_deal(deal_id=deal.pk, draft=draft, by=make.login(world.ana), at=at, reason="More seats")

    amend(9_000_00, LATER + timedelta(minutes=1))
    approve(deal, world.mia, LATER + timedelta(minutes=2))
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 4_000_00
    approve(deal, world.admin, LATER + timedelta(minutes=3))
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 9_000_00
    amend(1_000_00, LATER + timedelta(minutes=4))
    approve(deal, world.mia, LATER + timedelta(minutes=5))
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 9_000_00
    amend(1_500_00, LATER + timedelta(minutes=6))  # takes the place of the one that waits: anew
    assert may_approve(person(world.mia), Deal.objects.get(pk=deal.pk), TODAY)


def test_the_amount_is_converted_and_without_a_rate_it_is_above(world: World) -> None:
    make.fx(code="EUR", rate="1.25")
    make.fx(code="JPY", rate="0.0067")
    limit(world)
    deals = [
        submitted(world, 4_000_00, code="EUR"),
        submitted(world, 4_000_01, code="EUR"),
        submitted(world, 746_268, code="JPY"),
        submitted(world, 746_270, code="JPY"),
    ]
    two = Approvers(deals, TODAY).two
    assert [deal.pk in two for deal in deals] == [False, True, False, True]
    set_limit(
        amount_minor=9_000_00, currency="EUR", starts=TODAY, reason="In euros", by=world.admin, at=LATER
    )
    two = Approvers(deals, TODAY).two  # from yen to euros there is no rate
    assert [deal.pk in two for deal in deals] == [False, False, True, True]


def test_the_limit_counts_from_its_day_and_no_policy_passes_it(world: World) -> None:
    limit(world, starts=TODAY + timedelta(days=1))
    today = submitted(world, 9_000_00)
    assert approve(today, world.mia).state == DealState.APPROVED
    tomorrow = AT + timedelta(days=1)
    large = submitted(world, 9_000_00, at=tomorrow)
    with pytest.raises(Conflict) as refused:
        approving.approve_deals(
            deal_ids=[large.pk], by=world.admin, at=tomorrow + timedelta(hours=1), policy="CRM"
        )
    assert code(refused) == "above_the_limit"
    assert not CreditEntry.objects.filter(deal=large).exists()


def test_a_limit_is_set_changed_and_lifted_and_never_dated_back(world: World) -> None:
    limit(world)
    with pytest.raises(Conflict):
        limit(world)
    for wrong in ({"starts": TODAY - timedelta(days=1)}, {"amount_minor": 0}, {"reason": " "}):
        facts = {"amount_minor": 1, "currency": "USD", "starts": TODAY, "reason": "x", **wrong}
        with pytest.raises(Invalid):
            set_limit(by=world.admin, at=AT, **facts)  # type: ignore[arg-type]
    with pytest.raises(Forbidden):
        set_limit(amount_minor=1, currency="USD", starts=TODAY, reason="x", by=person(world.mia), at=AT)
    limit(world, 7_000_00, starts=TODAY + timedelta(days=10), at=LATER)
    set_limit(
        amount_minor=None,
        currency="",
        starts=TODAY + timedelta(days=20),
        reason="Over",
        by=world.admin,
        at=LATER,
    )
    in_force = ApprovalLimit.objects.filter(superseded_at=None).order_by("effective")
    assert [
        ((limit.effective.lower - TODAY).days, (limit.effective.upper - TODAY).days, limit.amount_minor)
        for limit in in_force
    ] == [(0, 10, 5_000_00), (10, 20, 7_000_00)]
    trail = AuditEvent.objects.filter(table="quotas_approvallimit").order_by("id").first()
    assert trail is not None
    assert (trail.actor_id, trail.reason) == (world.admin.pk, "Two pairs of eyes")


def test_the_invariants_see_one_approver_above_the_limit_and_a_delegate_with_a_share() -> None:
    world = make.world(quotas=False)
    deal = submitted(world, 9_000_00)
    ApprovalLimit.objects.create(
        amount_minor=5_000_00,
        currency_id="USD",
        effective=(TODAY, None),
        recorded_by=world.admin,
        recorded_at=AT - timedelta(days=1),
    )
    DealApproval.objects.create(
        deal=deal,
        version=deal.latest,
        ordinal=1,
        by=make.login(world.ana),
        on_behalf_of=make.login(world.mia),
        at=AT,
        submitted_at=AT,
    )
    with transaction.atomic():
        Deal.objects.filter(pk=deal.pk).update(state=DealState.APPROVED, credited_version=deal.latest)
        deal.events.create(version=deal.latest, action=DealAction.APPROVED, by=person(world.mia), at=LATER)
    found = set(broken())
    assert "a deal above the limit has two approvers" in found
    assert "no delegate approves a deal in which they have a share" in found


# --- delegation ------------------------------------------------------------------------------------------------


def test_a_delegate_decides_on_the_queue_of_whoever_is_away(world: World) -> None:
    deal = submitted(world)
    with pytest.raises(NotFound):
        approve(deal, world.zed)
    stand_in(world, world.mia, world.zed)
    assert list(approvals_waiting_for(person(world.zed), TODAY)) == [deal]
    assert list(approvals_waiting_for(person(world.mia), TODAY)) == [deal]  # it is still hers
    assert not approvals_waiting_for(person(world.zed), TODAY + timedelta(days=7)).exists()
    approve(deal, world.zed)
    given = DealApproval.objects.get()
    assert (given.by_id, given.on_behalf_of_id, given.ordinal) == (world.zed.user_id, world.mia.user_id, 1)
    assert deal in deals_for(person(world.zed), TODAY)  # what he decided on he may still read
    other = submitted(world, owner=world.bo)
    approving.return_deal(deal_id=other.pk, by=person(world.zed), at=LATER, reason="Which plan?")
    assert other.events.order_by("id").last().reason == "For Mia: Which plan?"  # type: ignore[union-attr]
    drafted = make.deal(owner=world.ana, customer=world.customer)
    assert drafted not in deals_for(person(world.zed), TODAY)


def test_a_delegate_has_no_share_and_does_not_make_one_approvable(world: World) -> None:
    stand_in(world, world.mia, world.zed)
    shared = submitted(world, shares={world.ana: 500_000, world.zed: 500_000})
    assert deciders(shared) == {world.mia.user_id}
    with pytest.raises(Forbidden) as own:
        approve(shared, world.zed)
    assert code(own) == "self_approval"
    # Mia has a share, so it is not hers to decide, and not her delegate's either: it goes to her manager.
    hers = submitted(world, shares={world.ana: 500_000, world.mia: 500_000})
    assert deciders(hers) == {world.rex.user_id}
    with pytest.raises(Refusal):
        approve(hers, world.zed)
    # Who handed it in cannot decide on it by standing in for somebody else.
    draft = make.draft(owner=world.cy, customer=world.customer, lines=[Line(world.third, 1_000_00)])
    handed_in = booking.log_deal(draft=draft, by=make.login(world.zed), at=AT)
    booking.submit_deal(deal_id=handed_in.pk, by=make.login(world.zed), at=AT)
    stand_in(world, world.rex, world.zed)
    assert deciders(handed_in) == {world.rex.user_id}


def test_delegation_is_not_passed_on_and_does_not_make_two_approvals_out_of_one(world: World) -> None:
    stand_in(world, world.mia, world.zed)
    stand_in(world, world.zed, world.rex)
    limit(world)
    deal = submitted(world, 9_000_00)
    assert deciders(deal) == {world.mia.user_id, world.zed.user_id}
    approve(deal, world.zed)  # for Mia
    deal = Deal.objects.get(pk=deal.pk)
    for who in (world.mia, world.zed):
        with pytest.raises(Forbidden) as same:
            approve(deal, who)
        assert code(same) == "second_approver_is_first"
    stand_in(world, world.rex, world.mia)
    assert deciders(deal) == {world.rex.user_id, *comp_admins()}
    approve(deal, world.rex)
    assert Deal.objects.get(pk=deal.pk).state == DealState.APPROVED


def test_delegations_do_not_overlap_are_not_dated_back_and_end_early(world: World) -> None:
    first = stand_in(world, world.mia, world.zed)
    with pytest.raises(Conflict) as overlaps:
        stand_in(
            world, world.mia, world.rex, starts=TODAY + timedelta(days=6), ends=TODAY + timedelta(days=9)
        )
    assert (
        overlaps.value.problems[0].message
        == "Zed decides for Mia from 14 Aug 2026 to 20 Aug 2026 already: end that first, or choose other days."
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        Delegation.objects.create(
            of=person(world.mia),
            to=person(world.rex),
            effective=(TODAY, TODAY + timedelta(days=1)),
            reason="x",
            recorded_by=world.admin,
            recorded_at=AT,
        )
    stand_in(world, world.mia, world.rex, starts=TODAY + timedelta(days=7), ends=TODAY + timedelta(days=9))
    with pytest.raises(NotFound):
        end_delegation(delegation_id=first.pk, by=person(world.ana), at=LATER)
    end_delegation(delegation_id=first.pk, by=person(world.zed), at=LATER)
    with pytest.raises(Conflict):
        end_delegation(delegation_id=first.pk, by=person(world.mia), at=LATER)
    assert not may_approve(person(world.zed), submitted(world), TODAY)
    stand_in(world, world.mia, world.zed, days=3)


def test_what_cannot_be_delegated(world: World, subtests: pytest.Subtests) -> None:
    wrong: list[tuple[str, str, str, dict[str, Any], str]] = [
        ("mia", "mia", "mia", {}, "delegated_to_oneself"),
        ("mia", "ana", "mia", {}, "cannot_decide"),
        ("mia", "auditor", "mia", {}, "cannot_decide"),
        ("ana", "mia", "admin", {}, "not_a_manager"),
        ("mia", "zed", "mia", {"starts": TODAY - timedelta(days=1)}, "starts_in_the_past"),
        ("mia", "zed", "mia", {"ends": TODAY}, "ends_before_it_starts"),
        ("mia", "zed", "mia", {"ends": TODAY + timedelta(days=400)}, "too_long"),
        ("mia", "zed", "rex", {}, "not_your_queue"),
        ("ana", "mia", "ana", {}, "not_your_queue"),
        ("mia", "admin", "admin", {}, "own_appointment"),
    ]
    for of, to, by, facts, said in wrong:
        with subtests.test(said, of=of, to=to, by=by):
            with pytest.raises(Refusal) as refused:
                stand_in(world, getattr(world, of), getattr(world, to), by=getattr(world, by), **facts)
            assert [p.code for p in refused.value.problems] == [said]
            assert not Delegation.objects.exists()


def test_who_is_gone_does_not_stand_in_and_both_people_are_told(world: World) -> None:
    stand_in(world, world.mia, world.zed, by=world.admin)
    for message in outbox.lease(at=AT):
        outbox.carry_out(message_id=message, at=AT)
    assert set(Notification.objects.filter(key__startswith="delegated:").values_list("user", flat=True)) == {
        world.mia.user_id,
        world.zed.user_id,
    }
    deal = submitted(world)
    zed = person(world.zed)
    zed.is_active = False
    zed.save()
    assert deciders(deal) == {world.mia.user_id}


# --- many at once -----------------------------------------------------------------------------------------------


def outcomes(done: list[approving.Decided]) -> list[tuple[str, str]]:
    return [(each.outcome, each.problem.code if each.problem else "") for each in done]


def test_each_of_many_deals_is_decided_by_itself_and_says_why_not(world: World) -> None:
    limit(world)
    fine, large, own = submitted(world), submitted(world, 9_000_00), submitted(world, owner=world.mia)
    gone = submitted(world)
    approving.return_deal(deal_id=gone.pk, by=person(world.mia), at=AT, reason="Which plan?")
    stale, foreign = submitted(world), submitted(world, owner=world.cy)
    done = approving.decide_deals(
        decision="approve",
        deal_ids=[fine.pk, large.pk, own.pk, gone.pk, stale.pk, foreign.pk, fine.pk],
        by=person(world.mia),
        at=LATER,
        reason="Seen",
        revisions={stale.pk: stale.revision - 1, fine.pk: fine.revision},
    )
    assert outcomes(done) == [
        ("approved", ""),
        ("first_approved", ""),
        ("refused", "self_approval"),
        ("refused", "deal_not_submitted"),
        ("refused", "deal_changed"),
        ("refused", "deal_not_found"),
    ]
    assert set(CreditEntry.objects.values_list("deal", flat=True)) == {fine.pk}
    assert Deal.objects.get(pk=stale.pk).state == DealState.SUBMITTED


def test_returning_and_rejecting_many_needs_a_reason_and_spares_what_stands(world: World) -> None:
    standing = submitted(world)
    approve(standing, world.mia, AT)
    draft = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.third, 2_000_00)])
    booking.amend_deal(deal_id=standing.pk, draft=draft, by=make.login(world.ana), at=AT, reason="More")
    waiting = submitted(world)
    both = [standing.pk, waiting.pk]
    with pytest.raises(Conflict) as silent:
        approving.decide_deals(decision="reject", deal_ids=both, by=person(world.mia), at=LATER)
    assert code(silent) == "reason_needed"
    done = approving.decide_deals(
        decision="return", deal_ids=both, by=person(world.mia), at=LATER, reason="Which plan?"
    )
    assert outcomes(done) == [("refused", "amendment_not_returnable"), ("returned", "")]
    done = approving.decide_deals(
        decision="reject", deal_ids=both, by=person(world.mia), at=LATER, reason="Not sold"
    )
    assert outcomes(done) == [("rejected", ""), ("refused", "deal_not_submitted")]
    standing.refresh_from_db()
    assert (standing.state, standing.amended_at) == (DealState.APPROVED, None)
    assert sum(CreditEntry.objects.values_list("amount_minor", flat=True)) == 1_000_00
    with pytest.raises(Conflict) as many:
        approving.decide_deals(decision="approve", deal_ids=range(1, 202), by=world.admin, at=LATER)
    assert code(many) == "too_many_at_once"


def test_one_deal_that_cannot_be_posted_does_not_hold_up_the_others(world: World) -> None:
    """Where every later month is closed, a correction has nowhere to go: that amendment is refused, the deals beside it are approved."""
    amended = submitted(world, close_date=date(2026, 6, 30))
    approve(amended, world.mia, AT)
    draft = make.draft(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.third, 2_000_00)],
        close_date=date(2026, 6, 30),
    )
    booking.amend_deal(deal_id=amended.pk, draft=draft, by=make.login(world.ana), at=AT, reason="More")
    beside = [submitted(world, owner=world.bo) for _ in range(2)]
    other = make.calendar_years()
    make.fiscal_year(year=2026, of=other)
    Deal.objects.filter(pk__in=[deal.pk for deal in beside]).update(calendar=other)
    Period.objects.filter(calendar=make.calendar()).update(state=PeriodState.CLOSED)
    done = approving.decide_deals(
        decision="approve",
        deal_ids=[amended.pk, *(deal.pk for deal in beside)],
        by=person(world.mia),
        at=LATER,
    )
    assert outcomes(done) == [("refused", "no_open_period"), ("approved", ""), ("approved", "")]
    assert Deal.objects.get(pk=amended.pk).amended_at == AT


def test_six_deals_are_decided_in_as_many_queries_as_two(world: World) -> None:
    limit(world)

    def queries(decision: str, how_many: int) -> int:
        sales = [
            make.Sale(
                owner=world.bo,
                customer=world.customer,
                lines=[Line(world.third, 9_000_00 if n % 2 else 1_000_00)],
                state=DealState.SUBMITTED,
            )
            for n in range(how_many)
        ]
        ids = [deal.pk for deal in make.deals(sales)]
        mia = person(world.mia)
        with CaptureQueriesContext(connection) as seen:
            done = approving.decide_deals(decision=decision, deal_ids=ids, by=mia, at=LATER, reason="Why not")
        assert "refused" not in {each.outcome for each in done}
        return len(seen)

    queries("approve", 2)
    for decision in ("approve", "reject"):
        assert queries(decision, 6) <= queries(decision, 2)


def test_one_approval_costs_two_queries_for_limits_and_delegations(world: World) -> None:
    deal, mia = submitted(world), person(world.mia)
    with CaptureQueriesContext(connection) as seen:
        approving.approve_deal(deal_id=deal.pk, by=mia, at=LATER)
    about = [q["sql"] for q in seen if "approvallimit" in q["sql"] or "delegation" in q["sql"]]
    assert len(about) == 3  # who stands in, which limit, and whether Mia sees the deal for somebody else
    assert Role.MANAGER in mia.role_names
