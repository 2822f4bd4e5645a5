"""Amendments and partial cancellations: what waits counts nothing, what is approved posts only the difference."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from config.refusals import Conflict, Forbidden, Invalid, NotFound, Refusal, Stale
from quotas.crediting.explain import explain_deal
from quotas.models import (
    CreditEntry,
    Deal,
    DealEvent,
    DealState,
    DealVersion,
    Period,
    Posting,
    Rep,
    UncreditedLine,
)
from quotas.services import approving, booking
from quotas.services.booking import DealDraft, LineDraft, ShareDraft
from tests import make
from tests.quotas import selling
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


@pytest.fixture
def world() -> make.World:
    return make.world()


def approved(world: make.World, **changes: object) -> Deal:
    """Two lines, 100.00 and 50.00, all of it Ana's unless *changes* says otherwise; approved by Mia."""
    asked: dict[str, Any] = {
        "owner": world.ana,
        "lines": [make.Line(world.house, 100_00), make.Line(world.third, 50_00)],
    }
    return selling.credited(leader=world.mia, at=AT, **{**asked, **changes})


def facts(deal: Deal) -> DealDraft:
    return booking.draft_of(Deal.objects.select_related("latest_version").get(pk=deal.pk))


def amended(world: make.World, deal: Deal, draft: DealDraft, by: Rep | None = None) -> Deal:
    return booking.amend_deal(
        deal_id=deal.pk, draft=draft, by=make.login(by or world.ana), at=AT, reason="As agreed"
    )


def codes(refusal: Refusal) -> set[tuple[str, str]]:
    return {(p.code, p.pointer) for p in refusal.problems}


def net(deal: Deal, **only: object) -> int:
    return CreditEntry.objects.filter(deal=deal, **only).aggregate(n=Sum("amount_minor"))["n"] or 0


def live() -> dict[int, tuple[int, int, int]]:
    """Entries that stand: id to line, rep and amount."""
    gone = [e.reverses_id for e in CreditEntry.objects.exclude(reverses_id=None) if e.reverses_id]
    entries: Iterable[CreditEntry] = CreditEntry.objects.filter(reverses_id=None).exclude(pk__in=gone)
    return {e.pk: (e.pins.line_no, e.rep_id, e.amount_minor) for e in entries}


def with_amount(draft: DealDraft, place: int, amount: int) -> DealDraft:
    lines = list(draft.lines)
    lines[place] = replace(lines[place], amount_minor=amount)
    return replace(draft, lines=tuple(lines))


def test_an_amendment_waits_and_what_stands_stays_credited(world: make.World) -> None:
    deal = approved(world)
    before = live()
    done = amended(world, deal, with_amount(facts(deal), 0, 300_00))
    assert (done.state, done.amended_by_id) == (DealState.APPROVED, make.login(world.ana).pk)
    assert (done.latest.number, done.in_force.number) == (2, 1)
    assert live() == before
    assert Posting.objects.count() == 1


def test_approving_an_amendment_touches_nothing_but_the_line_that_changed(world: make.World) -> None:
    deal = approved(world)
    (first, second) = sorted(live())
    amended(world, deal, with_amount(facts(deal), 0, 300_00))
    done = approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert (done.in_force.number, done.amended_at, done.submitted_by_id) == (
        2,
        None,
        make.login(world.ana).pk,
    )
    assert net(deal) == 350_00
    assert second in live()
    assert first not in live()
    assert CreditEntry.objects.count() == 4  # two at first, a reversal, a new one
    assert Posting.objects.latest("id").kind == "amend"
    assert list(DealEvent.objects.order_by("id").values_list("action", flat=True))[-2:] == [
        "amended",
        "amendment_approved",
    ]
    assert broken() == {}


def test_a_removed_line_leaves_the_numbers_and_the_credit_of_the_others_alone(world: make.World) -> None:
    deal = approved(world)
    kept = next(pk for pk, (line, _, _) in live().items() if line == 2)
    draft = facts(deal)
    new = LineDraft(offering_id=make.offering(publisher=world.third.publisher).pk, amount_minor=7_00)
    amended(world, deal, replace(draft, lines=(draft.lines[1], new)))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    deal.refresh_from_db()
    assert [(x.line_no, x.amount_minor) for x in deal.latest.lines.order_by("line_no")] == [
        (2, 50_00),
        (3, 7_00),
    ]
    assert live()[kept] == (2, world.ana.pk, 50_00)
    assert {(line, amount) for line, _, amount in live().values()} == {(2, 50_00), (3, 7_00)}
    assert all(e.evaluated_minor == e.amount_minor for e in explain_deal(deal.pk).credits)
    assert broken() == {}


def test_lines_that_come_without_numbers_are_known_by_what_they_say(world: make.World) -> None:
    deal = approved(world)
    unnumbered = tuple(replace(line, line_no=None) for line in facts(deal).lines)
    amended(
        world, deal, replace(facts(deal), lines=(replace(unnumbered[1], amount_minor=60_00), unnumbered[0]))
    )
    version = Deal.objects.select_related("latest_version").get(pk=deal.pk).latest
    assert {(x.line_no, x.offering_id, x.amount_minor) for x in version.lines.all()} == {
        (1, world.house.pk, 100_00),
        (2, world.third.pk, 60_00),
    }


def test_another_offering_on_a_line_is_another_line_even_for_the_same_amount(world: make.World) -> None:
    deal = approved(world)
    draft = facts(deal)
    other = make.offering(publisher=world.third.publisher)
    amended(
        world, deal, replace(draft, lines=(replace(draft.lines[0], offering_id=other.pk), draft.lines[1]))
    )
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert {(line, amount) for line, _, amount in live().values()} == {(2, 50_00), (3, 100_00)}


def test_a_new_split_moves_credit_from_one_to_the_other(world: make.World) -> None:
    deal = approved(world)
    split = (ShareDraft(world.ana.pk, 600_000), ShareDraft(world.bo.pk, 400_000))
    amended(world, deal, replace(facts(deal), shares=split))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert (net(deal, rep=world.ana), net(deal, rep=world.bo)) == (90_00, 60_00)
    assert broken() == {}


def test_a_new_close_date_moves_the_credit_to_its_month(world: make.World) -> None:
    deal = approved(world)
    amended(world, deal, replace(facts(deal), close_date=date(2026, 7, 31)))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    july, august = world.year.month(1), world.year.month(2)
    assert (net(deal, origin_period=july), net(deal, origin_period=august)) == (150_00, 0)
    assert (net(deal, posting_period=july), net(deal, posting_period=august)) == (150_00, 0)
    assert broken() == {}


def test_an_amendment_of_a_closed_month_is_posted_into_the_open_one(world: make.World) -> None:
    deal = approved(world, close_date=date(2026, 7, 20))
    Period.objects.filter(pk=world.year.month(1).pk).update(state="closed")
    amended(world, deal, with_amount(facts(deal), 1, 80_00))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    july, august = world.year.month(1), world.year.month(2)
    assert (net(deal, posting_period=july), net(deal, posting_period=august)) == (150_00, 30_00)
    assert net(deal, origin_period=july) == 180_00
    assert broken() == {}


def test_only_a_comp_admin_moves_a_deal_into_a_closed_month(world: make.World) -> None:
    deal = approved(world)
    Period.objects.filter(pk=world.year.month(1).pk).update(state="closed")
    earlier = replace(facts(deal), close_date=date(2026, 7, 31))
    with pytest.raises(Invalid) as refused:
        amended(world, deal, earlier)
    assert codes(refused.value) == {("period_closed", "/close_date")}
    booking.amend_deal(deal_id=deal.pk, draft=earlier, by=world.admin, at=AT, reason="Signed in July")
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert net(deal, origin_period=world.year.month(1)) == 150_00
    assert net(deal, posting_period=world.year.month(2)) == 150_00
    assert broken() == {}


def test_nobody_with_an_interest_decides_on_an_amendment(world: make.World) -> None:
    deal = approved(world)
    by_mia = amended(world, deal, with_amount(facts(deal), 0, 1_00), by=world.mia)
    with pytest.raises(Forbidden) as refused:
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert codes(refused.value) == {("self_approval", "")}
    assert list(approving.approvals_waiting_for(make.login(world.rex), AT.date())) == [by_mia]
    assert not approving.approvals_waiting_for(make.login(world.mia), AT.date()).exists()
    approving.reject_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT, reason="No")
    shared = (ShareDraft(world.ana.pk, 500_000), ShareDraft(world.mia.pk, 500_000))
    amended(world, deal, replace(facts(deal), shares=shared))  # a share in the new version
    with pytest.raises(Forbidden):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT)
    alone = (ShareDraft(world.ana.pk, 1_000_000),)
    amended(world, deal, replace(facts(deal), shares=alone))  # a share in the old version
    with pytest.raises(Forbidden):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert net(deal, rep=world.mia) == 75_00
    assert broken() == {}


def test_a_rejected_amendment_leaves_everything_as_it_was(world: make.World) -> None:
    deal = approved(world)
    before = live()
    amended(world, deal, with_amount(facts(deal), 0, 1_00))
    with pytest.raises(Conflict):
        approving.reject_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason=" ")
    with pytest.raises(Conflict):
        approving.return_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Mend it")
    done = approving.reject_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Not agreed")
    assert (done.state, done.latest.number, done.in_force.number) == (DealState.APPROVED, 1, 1)
    assert live() == before
    assert DealEvent.objects.latest("id").reason == "Not agreed"
    amended(world, deal, with_amount(facts(deal), 0, 2_00))
    assert DealVersion.objects.filter(deal=deal).latest("number").number == 3


def test_a_second_amendment_takes_the_place_of_the_one_that_waits(world: make.World) -> None:
    deal = approved(world)
    amended(world, deal, with_amount(facts(deal), 0, 1_00))
    amended(world, deal, with_amount(facts(deal), 0, 2_00), by=world.mia)
    with pytest.raises(Forbidden):  # now Mia proposed what waits
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT)
    assert net(deal) == 52_00


def test_whoever_proposed_an_amendment_can_take_it_back(world: make.World) -> None:
    deal = approved(world)
    amended(world, deal, with_amount(facts(deal), 0, 1_00))
    with pytest.raises(Forbidden):
        approving.withdraw_amendment(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    done = approving.withdraw_amendment(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    assert (done.amended_at, done.latest.number, net(deal)) == (None, 1, 150_00)
    with pytest.raises(Conflict):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)


def test_a_stale_or_needless_amendment_is_refused(world: make.World) -> None:
    deal = approved(world)
    draft = with_amount(facts(deal), 0, 1_00)
    by = make.login(world.ana)
    with pytest.raises(Stale):
        booking.amend_deal(
            deal_id=deal.pk, draft=draft, by=by, at=AT, reason="x", expected_revision=deal.revision - 1
        )
    for wrong, reason in ((facts(deal), "x"), (draft, "")):
        with pytest.raises(Conflict):
            booking.amend_deal(deal_id=deal.pk, draft=wrong, by=by, at=AT, reason=reason)
    with pytest.raises(NotFound):
        booking.amend_deal(deal_id=deal.pk, draft=draft, by=make.login(world.zed), at=AT, reason="x")
    waiting = booking.log_deal(draft=make.draft(owner=world.ana), by=by, at=AT)
    with pytest.raises(Conflict):
        booking.amend_deal(deal_id=waiting.pk, draft=facts(waiting), by=by, at=AT, reason="x")
    assert DealVersion.objects.filter(deal=deal).count() == 1


def test_customer_owner_and_kind_apart_stay(world: make.World) -> None:
    deal = approved(world)
    other = replace(
        facts(deal), customer_id=make.customer().pk, owner_id=world.bo.pk, kind="consumption", shares=()
    )
    with pytest.raises(Invalid) as refused:
        amended(world, deal, other)
    assert codes(refused.value) >= {
        ("customer_stays", "/customer"),
        ("owner_stays", "/owner"),
        ("kind_stays", "/kind"),
    }


def test_what_was_on_sale_when_it_was_sold_stands_in_the_way_of_no_amendment(world: make.World) -> None:
    deal = approved(world)
    world.house.retires_on = date(2026, 8, 1)  # decided later, with an earlier date
    world.house.save()
    amended(world, deal, with_amount(facts(deal), 0, 90_00))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert net(deal) == 140_00


def test_an_amendment_keeps_the_pins_of_what_stays(world: make.World) -> None:
    deal = approved(world)
    pinned = {x.line_no: x.offering_revision_id for x in deal.latest.lines.all()}
    customer = deal.customer
    customer.segment = "public-sector"
    customer.save()
    amended(world, deal, with_amount(facts(deal), 0, 90_00))
    version = Deal.objects.select_related("latest_version").get(pk=deal.pk).latest
    assert version.segment == "enterprise"
    assert {x.line_no: x.offering_revision_id for x in version.lines.all()} == pinned


def test_many_amendments_and_deals_are_approved_together(world: make.World) -> None:
    deals = [approved(world) for _ in range(2)]
    for deal in deals:
        amended(world, deal, with_amount(facts(deal), 0, 10_00))
    new = booking.log_deal(draft=make.draft(owner=world.ana), by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=new.pk, by=make.login(world.ana), at=AT)
    approving.approve_deals(
        deal_ids=[*(d.pk for d in deals), new.pk], by=make.login(world.mia), at=AT, reason="Fine"
    )
    assert [net(deal) for deal in (*deals, new)] == [60_00, 60_00, 10_000_00]
    assert broken() == {}


# --- held, cancelled ---------------------------------------------------------------------------------------


def test_an_amendment_of_a_held_deal_counts_when_it_is_released(world: make.World) -> None:
    deal = approved(world)
    approving.hold_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Paperwork")
    amended(world, deal, with_amount(facts(deal), 0, 200_00))
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert net(deal) == 0
    assert set(UncreditedLine.objects.filter(deal=deal).values_list("line_no", "reason")) == {
        (1, "held"),
        (2, "held"),
    }
    approving.release_deal(deal_id=deal.pk, by=world.admin, at=AT)
    assert net(deal) == 250_00
    assert broken() == {}


def test_holding_while_an_amendment_waits_holds_what_stands(world: make.World) -> None:
    deal = approved(world)
    amended(world, deal, with_amount(facts(deal), 0, 200_00))
    approving.hold_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Paperwork")
    approving.release_deal(deal_id=deal.pk, by=world.admin, at=AT)
    assert net(deal) == 150_00
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert net(deal) == 250_00


def test_cancelling_a_deal_drops_the_amendment_that_waits(world: make.World) -> None:
    deal = approved(world)
    amended(world, deal, with_amount(facts(deal), 0, 200_00))
    done = approving.cancel_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Withdrawn")
    assert (done.state, done.amended_at, done.latest.number, net(deal)) == (DealState.CANCELLED, None, 1, 0)
    assert broken() == {}


def test_a_service_cancels_what_was_deleted_in_its_source(world: make.World) -> None:
    crm, other = make.user(service=True), make.user(service=True)
    (pk,) = booking.record_deals(
        drafts=[make.draft(owner=world.ana, source="crm", external_id="1")], by=crm, at=AT, state="submitted"
    )
    approving.approve_deal(deal_id=pk, by=make.login(world.mia), at=AT)
    with pytest.raises(NotFound):
        approving.cancel_deal(deal_id=pk, by=other, at=AT, reason="Deleted in the CRM")
    done = approving.cancel_deal(deal_id=pk, by=crm, at=AT, reason="Deleted in the CRM")
    assert (done.state, net(done)) == (DealState.CANCELLED, 0)


# --- a part ------------------------------------------------------------------------------------------------


def test_a_part_is_cancelled_at_once_with_the_pins_and_shares_of_the_deal(world: make.World) -> None:
    lines = [make.Line(world.house, 100_01, quantity=Decimal(9)), make.Line(world.third, 50_00)]
    deal = approved(world, lines=lines, shares={world.ana: 700_000, world.bo: 300_000})
    untouched = {pk for pk, (line, _, _) in live().items() if line == 2}
    old = deal.latest
    done = approving.cancel_part(
        deal_id=deal.pk, amounts={1: 33_34}, by=make.login(world.mia), at=AT, reason="Fewer seats"
    )
    left = done.in_force.lines.get(line_no=1)
    assert (left.amount_minor, left.quantity) == (33_34, Decimal("3.0003"))
    assert left.offering_revision_id == old.lines.get(line_no=1).offering_revision_id
    assert list(done.in_force.shares.values_list("ordinal", "rep_id", "ppm")) == list(
        old.shares.values_list("ordinal", "rep_id", "ppm")
    )
    assert untouched <= set(live())
    assert (net(deal, rep=world.ana), net(deal, rep=world.bo)) == (23_34 + 35_00, 10_00 + 15_00)
    assert (done.state, done.in_force.number, done.latest_version_id) == (
        DealState.APPROVED,
        2,
        done.credited_version_id,
    )
    assert DealEvent.objects.latest("id").action == "partly_cancelled"
    assert all(e.evaluated_minor == e.amount_minor for e in explain_deal(deal.pk).credits)
    assert broken() == {}


def test_a_whole_line_goes_and_its_number_is_told_why_it_earns_nothing(world: make.World) -> None:
    deal = approved(world)
    approving.cancel_part(deal_id=deal.pk, amounts={2: 0}, by=world.admin, at=AT, reason="Line withdrawn")
    assert net(deal) == 100_00
    assert UncreditedLine.objects.get(deal=deal).reason == "nothing"
    assert broken() == {}


def test_a_part_is_less_than_the_whole_and_more_than_nothing(
    world: make.World, subtests: pytest.Subtests
) -> None:
    deal = approved(world)
    cases: list[tuple[dict[int, int], type[Refusal], tuple[str, str]]] = [
        ({1: 100_01}, Invalid, ("not_less", "/lines/1")),
        ({1: -1}, Invalid, ("not_less", "/lines/1")),
        ({7: 1}, Invalid, ("unknown_line", "/lines/7")),
        ({1: 100_00}, Conflict, ("nothing_changed", "/lines")),
        ({}, Conflict, ("nothing_changed", "/lines")),
        ({1: 0, 2: 0}, Conflict, ("nothing_is_left", "/lines")),
    ]
    for amounts, kind, expected in cases:
        with subtests.test(expected[0], amounts=amounts):
            with pytest.raises(kind) as refused:
                approving.cancel_part(deal_id=deal.pk, amounts=amounts, by=world.admin, at=AT, reason="Test")
            assert codes(refused.value) == {expected}
            assert (DealVersion.objects.filter(deal=deal).count(), net(deal)) == (1, 150_00)


def test_a_part_is_decided_on_like_a_cancellation(world: make.World) -> None:
    deal = approved(world)
    for who in (make.login(world.ana), make.login(world.zed)):
        with pytest.raises((Forbidden, NotFound)):
            approving.cancel_part(deal_id=deal.pk, amounts={1: 1}, by=who, at=AT, reason="Test")
    with pytest.raises(Stale):
        approving.cancel_part(
            deal_id=deal.pk, amounts={1: 1}, by=world.admin, at=AT, reason="Test", expected_revision=1
        )
    amended(world, deal, with_amount(facts(deal), 0, 200_00))
    with pytest.raises(Conflict) as refused:
        approving.cancel_part(deal_id=deal.pk, amounts={1: 1}, by=world.admin, at=AT, reason="Test")
    assert codes(refused.value) == {("amendment_waits", "")}


def test_a_part_of_a_capped_deal_shares_the_cut_anew() -> None:
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, slug="capped", cap_minor=120_00)])
    deal = approved(world)
    assert net(deal) == 120_00
    approving.cancel_part(deal_id=deal.pk, amounts={1: 80_00}, by=world.admin, at=AT, reason="Test")
    assert net(deal) == 120_00
    approving.cancel_part(deal_id=deal.pk, amounts={1: 40_00}, by=world.admin, at=AT, reason="Test")
    assert net(deal) == 90_00
    assert broken() == {}
