"""Two people at the same number at the same moment: one wins, the other is told."""

from datetime import date

import pytest
from django.db.models import Sum

from quotas.crediting.invariants import broken
from quotas.models import Adjustment, CreditEntry, Dispute, DisputeMessage
from quotas.services.adjusting import AdjustmentDraft, decide_adjustment
from quotas.services.approving import approve_deal, cancel_deal
from quotas.services.booking import log_deal, submit_deal
from quotas.services.disputes import DisputeDraft, open_dispute, resolve
from tests import make
from tests.make import AT, Line
from tests.quotas.test_races import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def test_answers_decisions_and_the_cancellation_of_the_deal_at_once_leave_one_story() -> None:
    world = make.world()
    facts = make.draft(owner=world.ana, customer=world.customer, lines=[Line(world.house, 100_00)])
    deal = log_deal(draft=facts, by=make.login(world.ana), at=AT)
    submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    opened = open_dispute(
        draft=DisputeDraft(rep_id=world.ana.pk, kind="wrong_amount", text="Too little", deal_id=deal.pk),
        by=make.login(world.ana),
        at=AT,
    )
    asks = AdjustmentDraft(
        rep_id=world.ana.pk,
        measure_id=world.bookings.pk,
        amount_minor=5_00,
        credit_date=date(2026, 8, 14),
        reason_code="wrong_amount",
        note="As signed",
        deal_id=deal.pk,
    )
    answers = at_once(
        *[
            lambda who=who: resolve(
                dispute_id=opened.pk, accept=True, text="Right", by=who, at=AT, adjustment=asks
            )
            for who in (
                world.admin,
                make.login(world.mia),
                make.login(world.rex),
                make.user(role="comp_admin"),
            )
        ]
    )
    assert answers == {"done": 1, "Conflict": 3}
    assert (Adjustment.objects.count(), DisputeMessage.objects.count()) == (1, 2)

    waiting = Adjustment.objects.get()
    admins = [make.user(role="comp_admin") for _ in range(4)]
    outcomes = at_once(
        *[lambda who=who: decide_adjustment(adjustment_id=waiting.pk, approve=True, by=who, at=AT) for who in admins],
        lambda: cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew"),
    )  # fmt: skip
    assert outcomes["done"] in (1, 2)  # the cancellation, and a decision if it came before
    assert outcomes["done"] + outcomes["Conflict"] == 5
    assert (CreditEntry.objects.aggregate(net=Sum("amount_minor"))["net"] or 0) == 0
    assert Dispute.objects.get().state in ("accepted", "in_review")
    assert broken() == {}
