"""Refunds: what is left of the original bounds them, and their families move together."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db.models import Sum

from config.refusals import Conflict, Forbidden, Invalid, Refusal
from quotas.models import CreditEntry, Deal, DealState
from quotas.services import approving, booking
from tests import make
from tests.quotas import selling
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


@pytest.fixture
def world() -> make.World:
    return make.world()


@pytest.fixture
def capped() -> make.World:
    """As in RULES 6.7: everything counts in full, up to 100.00 a deal."""
    world = make.world(rules=[])
    make.plan_version(rules=[make.Rule(world.bookings, slug="capped", cap_minor=100_00)])
    return world


def asked(world: make.World, **changes: Any) -> dict[str, Any]:
    return {
        "owner": world.ana,
        "customer": world.customer,
        "lines": [make.Line(world.house, 150_00)],
        **changes,
    }


def logged(world: make.World, **changes: object) -> Deal:
    draft = make.draft(**asked(world, **changes))
    return booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)


def submitted(world: make.World, **changes: object) -> Deal:
    return booking.submit_deal(deal_id=logged(world, **changes).pk, by=make.login(world.ana), at=AT)


def approved(world: make.World, **changes: object) -> Deal:
    """A refund by the services, an original as they leave it."""
    if "refunds" not in changes:
        return selling.credited(leader=world.mia, at=AT, **asked(world, **changes))
    deal = submitted(world, **changes)
    return approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)


def refund(world: make.World, of: Deal, amount: int, **changes: object) -> dict[str, object]:
    return {"kind": "refund", "refunds": of, "lines": [make.Line(world.house, -amount)], **changes}


def codes(refusal: Refusal) -> set[tuple[str, str]]:
    return {(p.code, p.pointer) for p in refusal.problems}


def net(*deals: Deal) -> list[int]:
    return [
        CreditEntry.objects.filter(deal=deal).aggregate(n=Sum("amount_minor"))["n"] or 0 for deal in deals
    ]


def test_refunds_take_back_what_is_left_and_not_a_cent_more(world: make.World) -> None:
    original = approved(world)
    approved(world, **refund(world, original, 100_00))
    with pytest.raises(Invalid) as refused:
        logged(world, **refund(world, original, 50_01))
    assert codes(refused.value) == {("more_than_is_left", "/lines/0/amount")}
    assert "At most $50.00 of House model is left" in str(refused.value)
    approved(world, **refund(world, original, 50_00))
    with pytest.raises(Invalid) as refused:
        logged(world, **refund(world, original, 1))
    assert "Nothing of House model is left" in str(refused.value)
    assert CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] == 0
    assert broken() == {}


def test_a_refund_that_waits_takes_its_part_before_it_is_approved(world: make.World) -> None:
    original = approved(world)
    submitted(world, **refund(world, original, 100_00))
    draft = {**refund(world, original, 60_00)}
    with pytest.raises(Invalid):
        logged(world, **draft)


def test_of_two_refunds_that_are_too_much_together_one_is_approved(world: make.World) -> None:
    original = approved(world)
    first, second = (logged(world, **refund(world, original, 100_00)) for _ in range(2))
    for deal in (first, second):  # past the check at submission, as two sessions at once would be
        Deal.objects.filter(pk=deal.pk).update(
            state="submitted", submitted_by=make.login(world.ana), submitted_at=AT
        )
    with pytest.raises(Invalid):
        approving.approve_deals(deal_ids=[first.pk, second.pk], by=make.login(world.mia), at=AT)
    approving.approve_deal(deal_id=first.pk, by=make.login(world.mia), at=AT)
    with pytest.raises(Invalid) as refused:
        approving.approve_deal(deal_id=second.pk, by=make.login(world.mia), at=AT)
    assert codes(refused.value) == {("more_than_is_left", "/lines/0/amount")}
    assert net(original, first, second) == [150_00, -100_00, 0]


def test_a_refund_is_of_what_was_sold(world: make.World, subtests: pytest.Subtests) -> None:
    original = approved(world)
    make.fx()
    changes: dict[tuple[str, str], dict[str, object]] = {
        ("refund_to_another_customer", "/customer"): {"customer": make.customer()},
        ("not_in_the_original", "/lines/0/offering"): {"lines": [make.Line(world.third, -1_00)]},
        ("refund_in_another_currency", "/currency"): {"code": "EUR"},
        ("refund_before_its_original", "/close_date"): {"close_date": date(2026, 8, 1)},
        ("refund_is_negative", "/lines/0/amount"): {"lines": [make.Line(world.house, 1_00)]},
    }
    for expected, change in changes.items():
        with subtests.test(expected[0]):
            with pytest.raises(Invalid) as refused:
                logged(world, **{**refund(world, original, 1_00), **change})
            assert expected in codes(refused.value)


def test_a_refund_is_not_refunded(world: make.World) -> None:
    original = approved(world)
    back = approved(world, **refund(world, original, 50_00))
    with pytest.raises(Invalid) as refused:
        logged(world, **refund(world, back, 1_00))
    assert codes(refused.value) == {("not_refundable", "/refunds")}


def test_an_original_is_cancelled_after_its_refunds(world: make.World) -> None:
    original = approved(world)
    back = approved(world, **refund(world, original, 50_00))
    waits = submitted(world, **refund(world, original, 10_00))
    with pytest.raises(Conflict) as refused:
        approving.cancel_deal(deal_id=original.pk, by=world.admin, at=AT, reason="Withdrawn")
    assert codes(refused.value) == {("deal_has_refunds", "")}
    assert f"{back.reference}, {waits.reference}" in str(refused.value)
    assert net(original) == [150_00]
    for deal in (back, waits, original):
        approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Withdrawn")
    assert net(original, back, waits) == [0, 0, 0]
    assert broken() == {}


def test_less_than_was_refunded_is_left_of_no_original(world: make.World) -> None:
    original = approved(world)
    approved(world, **refund(world, original, 100_00))
    with pytest.raises(Invalid) as refused:
        approving.cancel_part(deal_id=original.pk, amounts={1: 99_99}, by=world.admin, at=AT, reason="x")
    assert codes(refused.value) == {("below_its_refunds", "/lines")}
    draft = booking.draft_of(Deal.objects.select_related("latest_version").get(pk=original.pk))
    less = replace(draft, lines=(replace(draft.lines[0], amount_minor=99_99),))
    with pytest.raises(Invalid) as refused:
        booking.amend_deal(deal_id=original.pk, draft=less, by=make.login(world.ana), at=AT, reason="x")
    assert codes(refused.value) == {("below_its_refunds", "/lines")}
    approving.cancel_part(deal_id=original.pk, amounts={1: 100_00}, by=world.admin, at=AT, reason="x")
    assert net(original) == [100_00]


def test_the_example_of_the_rules_a_cap_stands_until_the_rest_is_below_it(capped: make.World) -> None:
    original = approved(capped)
    first = approved(capped, **refund(capped, original, 30_00))
    second = approved(capped, **refund(capped, original, 50_00))
    assert net(original, first, second) == [100_00, 0, -30_00]
    assert broken() == {}


def test_cancelling_a_refund_posts_its_siblings_again(capped: make.World) -> None:
    original = approved(capped)
    first = approved(capped, **refund(capped, original, 30_00))
    second = approved(capped, **refund(capped, original, 50_00))
    approving.cancel_deal(deal_id=first.pk, by=capped.admin, at=AT, reason="Not paid out")
    assert net(original, first, second) == [100_00, 0, 0]
    approving.cancel_part(deal_id=original.pk, amounts={1: 120_00}, by=capped.admin, at=AT, reason="Less")
    assert net(original, first, second) == [100_00, 0, -30_00]
    assert broken() == {}


def test_amending_a_refund_posts_its_siblings_again(capped: make.World) -> None:
    original = approved(capped)
    first = approved(capped, **refund(capped, original, 30_00))
    second = approved(capped, **refund(capped, original, 50_00))
    draft = booking.draft_of(Deal.objects.select_related("latest_version").get(pk=first.pk))
    more = replace(draft, lines=(replace(draft.lines[0], amount_minor=-80_00),))
    booking.amend_deal(deal_id=first.pk, draft=more, by=make.login(capped.ana), at=AT, reason="All of it")
    assert net(original, first, second) == [100_00, 0, -30_00]
    approving.approve_deal(deal_id=first.pk, by=make.login(capped.mia), at=AT)
    assert net(original, first, second) == [100_00, -30_00, -50_00]
    assert broken() == {}
    too_much = replace(draft, lines=(replace(draft.lines[0], amount_minor=-100_01),))
    with pytest.raises(Invalid) as refused:
        booking.amend_deal(deal_id=first.pk, draft=too_much, by=make.login(capped.ana), at=AT, reason="x")
    assert codes(refused.value) == {("more_than_is_left", "/lines/0/amount")}


def test_a_held_original_counts_for_the_cap_of_its_refund(capped: make.World) -> None:
    original = approved(capped)
    approving.hold_deal(deal_id=original.pk, by=capped.admin, at=AT, reason="Paperwork")
    back = approved(capped, **refund(capped, original, 30_00))
    assert net(original, back) == [0, 0]
    approving.release_deal(deal_id=original.pk, by=capped.admin, at=AT)
    assert net(original, back) == [100_00, 0]
    approving.hold_deal(deal_id=back.pk, by=capped.admin, at=AT, reason="Paperwork")
    approving.cancel_deal(deal_id=back.pk, by=capped.admin, at=AT, reason="Not paid out")
    approving.cancel_deal(deal_id=original.pk, by=capped.admin, at=AT, reason="Withdrawn")
    assert net(original, back) == [0, 0]
    assert broken() == {}


def test_a_refund_starts_from_what_is_left(world: make.World) -> None:
    lines = [make.Line(world.house, 100_00), make.Line(world.house, 50_00), make.Line(world.third, 7_00)]
    original = approved(world, lines=lines, shares={world.ana: 700_000, world.bo: 300_000})
    approved(world, **refund(world, original, 120_00))
    deal = Deal.objects.select_related("latest_version").get(pk=original.pk)
    draft = booking.refund_of(deal, on=date(2026, 8, 14))
    assert [(x.offering_id, x.amount_minor) for x in draft.lines] == [
        (world.house.pk, -30_00),
        (world.third.pk, -7_00),
    ]
    assert [(s.rep_id, s.ppm) for s in draft.shares] == [(world.ana.pk, 700_000), (world.bo.pk, 300_000)]
    assert booking.problems(draft, at=AT) == []


def test_somebody_with_a_share_does_not_approve_the_refund(world: make.World) -> None:
    original = approved(world)
    back = submitted(world, **refund(world, original, 10_00, shares={world.mia: 1_000_000}))
    with pytest.raises(Forbidden):
        approving.approve_deal(deal_id=back.pk, by=make.login(world.mia), at=AT)
    assert Deal.objects.get(pk=back.pk).state == DealState.SUBMITTED
