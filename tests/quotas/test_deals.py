"""Booking, submitting and deciding: the states of a deal, who may do what, and what is refused without a trace."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from accounts.models import AuditEvent, Role
from config.models import OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Stale
from quotas.crediting import engine
from quotas.crediting.explain import explain_deal
from quotas.models import (
    CreditEntry,
    Deal,
    DealEvent,
    DealState,
    DealVersion,
    Period,
    Posting,
    UncreditedLine,
)
from quotas.services import approving, booking
from quotas.services.booking import DealDraft
from quotas.services.crediting import estimate
from tests import make
from tests.quotas import selling
from tests.quotas.closing.months import months
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


@pytest.fixture
def world() -> make.World:
    return make.world()


def submitted(world: make.World, **changes: object) -> Deal:
    return selling.handed_in(owner=world.ana, lines=[make.Line(world.house, 100_00)], at=AT, **changes)


def codes(refusal: Invalid | Conflict | Forbidden) -> set[tuple[str, str]]:
    return {(p.code, p.pointer) for p in refusal.problems}


def test_a_deal_goes_from_draft_to_credit_and_its_cancellation_reverses_it_exactly(world: make.World) -> None:
    draft = make.draft(
        owner=world.ana,
        lines=[make.Line(world.house, 100_01), make.Line(world.third, 50_00)],
        shares={world.ana: 666_667, world.bo: 333_333},
    )
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    foreseen = estimate(draft=draft, at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    assert CreditEntry.objects.count() == 0
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    posted = {(e.line_no, e.rep_id, e.component): e.amount_minor for e in CreditEntry.objects.all()}
    assert posted == {(c.line_no, c.rep_id, c.component): c.amount for c in foreseen.credits}
    assert sum(posted.values()) == 150_01
    approving.cancel_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Customer withdrew")
    assert CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] == 0
    assert CreditEntry.objects.count() == 2 * len(posted)
    assert list(DealEvent.objects.order_by("id").values_list("action", flat=True)) == [
        "logged",
        "submitted",
        "approved",
        "cancelled",
    ]
    assert broken() == {}


def test_the_standing_that_is_foreseen_is_that_of_the_quarter_that_takes_the_posting() -> None:
    here = months()
    ana, house, june = here.world.ana, here.world.house, date(2026, 6, 20)
    here.sold(amount=30_00)

    def foreseen(amount: int, amends: Deal | None = None) -> tuple[str, int, int, int]:
        draft = make.draft(owner=ana, close_date=june, lines=[make.Line(house, amount)])
        (moved,) = estimate(draft=draft, at=AT, amends=amends).standings
        quarter = Period.objects.get(pk=moved.period_id)
        return quarter.name, moved.credited_before, moved.credited_after, moved.gained

    assert foreseen(40_00) == ("FY27-Q1", 30_00, 70_00, 40_00)
    late = make.deal(owner=ana, lines=[make.Line(house, 40_00)], close_date=june, state=DealState.APPROVED)
    with transaction.atomic():
        engine.post(engine.ByDeal([late.pk]), key="late", kind="load", by=None, at=AT)
    assert foreseen(50_00, amends=late) == ("FY27-Q1", 70_00, 80_00, 10_00)


def test_an_edit_is_a_new_version_and_the_old_one_stays(world: make.World) -> None:
    deal = booking.log_deal(draft=make.draft(owner=world.ana), by=make.login(world.ana), at=AT)
    changed = make.draft(owner=world.ana, lines=[make.Line(world.third, 7_00)])
    booking.edit_deal(deal_id=deal.pk, draft=changed, by=make.login(world.ana), at=AT, expected_revision=1)
    assert [v.lines.get().amount_minor for v in DealVersion.objects.filter(deal=deal).order_by("number")] == [
        10_000_00,
        7_00,
    ]
    with pytest.raises(Stale):
        booking.edit_deal(
            deal_id=deal.pk, draft=changed, by=make.login(world.ana), at=AT, expected_revision=1
        )
    assert DealVersion.objects.filter(deal=deal).count() == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"shares": 950_000}, ("shares_do_not_add_up", "/shares")),
        ({"amount": -1}, ("negative_amount", "/lines/0/amount")),
        ({"amount": 9_000_000_000_001}, ("amount_too_large", "/lines/0/amount")),
        ({"quantity": Decimal(-1)}, ("negative_quantity", "/lines/0/quantity")),
        ({"code": "EUR"}, ("no_fx_rate", "/currency")),
        ({"close_date": date(2019, 1, 1)}, ("no_period", "/close_date")),
        ({"close_date": date(2025, 7, 1)}, ("period_closed", "/close_date")),
        ({"lines": 0}, ("no_lines", "/lines")),
        ({"retired": True}, ("retired", "/lines/0/offering")),
        ({"kind": "gift"}, ("unknown_kind", "/kind")),
        ({"kind": "refund"}, ("refund_needs_its_original", "/refunds")),
        ({"term": 0}, ("term_out_of_range", "/lines/0/term_months")),
    ],
)
def test_bad_input_is_refused_with_its_place_and_leaves_nothing(
    world: make.World, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    Period.objects.filter(name="FY26-M01").update(state="closed")
    offering = (
        make.offering(name="Old", retires_on=date(2026, 1, 1), replacement=world.house)
        if changes.get("retired")
        else world.house
    )
    line = make.Line(
        offering,
        changes.get("amount", 100_00),
        quantity=changes.get("quantity"),
        term_months=changes.get("term"),
    )
    draft = make.draft(
        owner=world.ana,
        lines=[] if changes.get("lines") == 0 else [line],
        shares={world.ana: changes.get("shares", 1_000_000)},
        code=changes.get("code", "USD"),
        close_date=changes.get("close_date", date(2026, 8, 14)),
        kind=changes.get("kind", "new_business"),
    )
    with pytest.raises(Invalid) as refused:
        booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    assert expected in codes(refused.value)
    if changes.get("retired"):
        assert "House model" in str(refused.value)
    assert (Deal.objects.count(), DealVersion.objects.count(), OutboxMessage.objects.count()) == (0, 0, 0)


def test_every_problem_is_found_at_once(world: make.World) -> None:
    draft = DealDraft(
        owner_id=0,
        customer_id=0,
        kind="gift",
        close_date=date(2019, 1, 1),
        currency="XXX",
        lines=(),
        shares=(),
    )
    found = {p.code for p in booking.problems(draft, at=AT)}
    assert found == {
        "unknown_rep",
        "unknown_customer",
        "unknown_kind",
        "no_period",
        "unknown_currency",
        "no_lines",
        "no_shares",
    }


def test_nobody_approves_a_deal_that_is_submitted_or_shared_by_them(world: make.World) -> None:
    by_mia = booking.log_deal(draft=make.draft(owner=world.ana), by=make.login(world.mia), at=AT)
    booking.submit_deal(deal_id=by_mia.pk, by=make.login(world.mia), at=AT)
    shared = submitted(world, shares={world.ana: 500_000, world.mia: 500_000})
    for deal in (by_mia, shared):
        with pytest.raises(Forbidden) as refused:
            approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
        assert codes(refused.value) == {("self_approval", "")}
        assert (
            approving.approve_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT).state
            == DealState.APPROVED
        )


def test_the_nearest_manager_decides_and_others_are_told_who_that_is(world: make.World) -> None:
    deal = submitted(world)
    with pytest.raises(Forbidden) as refused:
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT)
    assert "Mia" in str(refused.value)
    with pytest.raises(NotFound):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.zed), at=AT)
    assert list(approving.approvals_waiting_for(make.login(world.mia), AT.date())) == [deal]
    assert not approving.approvals_waiting_for(make.login(world.rex), AT.date()).exists()
    assert CreditEntry.objects.count() == 0


def test_at_the_top_the_comp_admin_decides(world: make.World) -> None:
    deal = booking.log_deal(draft=make.draft(owner=world.rex), by=make.login(world.rex), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.rex), at=AT)
    assert approving.approve_deal(deal_id=deal.pk, by=world.admin, at=AT).state == DealState.APPROVED


def test_a_second_approval_is_told_that_it_came_too_late(world: make.World) -> None:
    deal = submitted(world)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    with pytest.raises(Conflict):
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert (CreditEntry.objects.count(), Posting.objects.count()) == (1, 1)


def test_a_returned_deal_needs_a_reason_and_can_be_mended_and_submitted_again(world: make.World) -> None:
    deal = submitted(world)
    with pytest.raises(Conflict):
        approving.return_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason=" ")
    approving.return_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Wrong customer")
    booking.edit_deal(deal_id=deal.pk, draft=make.draft(owner=world.ana), by=make.login(world.ana), at=AT)
    assert booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT).state == DealState.SUBMITTED


def test_a_held_deal_counts_again_when_it_is_released(world: make.World) -> None:
    deal = submitted(world)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    approving.hold_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Paperwork")
    assert CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] == 0
    assert UncreditedLine.objects.get().reason == "held"
    approving.release_deal(deal_id=deal.pk, by=world.admin, at=AT)
    assert CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] == 100_00
    assert not UncreditedLine.objects.exists()
    assert broken() == {}


def test_approving_many_is_one_posting_and_a_fixed_number_of_statements(world: make.World) -> None:
    assert world.admin.has_role(Role.COMP_ADMIN)  # asked once a request, not once a call
    costs = []
    for n in (2, 5):
        ids = [submitted(world).pk for _ in range(n)]
        with CaptureQueriesContext(connection) as captured:
            approving.approve_deals(deal_ids=ids, by=world.admin, at=AT, policy="trusted-source v1")
        costs.append(len(captured))
    assert costs[0] == costs[1]
    assert Posting.objects.count() == 2


def test_the_trail_says_who_and_why(world: make.World) -> None:
    deal = submitted(world)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    approving.cancel_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="Customer withdrew")
    last = AuditEvent.objects.filter(table="quotas_deal", row=deal.pk).order_by("-id").first()
    assert last is not None
    assert (last.actor_id, last.at, last.reason) == (make.login(world.mia).pk, AT, "Customer withdrew")
    assert last.before is not None
    assert last.after is not None
    assert (last.before["state"], last.after["state"]) == ("approved", "cancelled")


def test_every_explanation_comes_to_its_amount() -> None:
    world = make.world(rules=[])
    make.fx(code="EUR", rate="1.083700001")
    make.plan_version(
        rules=[
            make.Rule(world.bookings, slug="base", factor_ppm=1_234_567, cap_minor=20_003),
            make.Rule(world.bookings, slug="spiff", exclusive=False, factor_ppm=50_001),
        ]
    )
    draft = make.draft(
        owner=world.ana, code="EUR", lines=[make.Line(world.house, 100_01), make.Line(world.third, 99_99)],
        shares={world.ana: 333_334, world.bo: 333_333, world.cy: 333_333},
    )  # fmt: skip
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Test")
    told = explain_deal(deal.pk)
    assert {e.entry.component for e in told.credits} == {1, 2, 3, 4}
    assert [(e.entry.pk, e.evaluated_minor) for e in told.credits] == [
        (e.entry.pk, e.amount_minor) for e in told.credits
    ]
    assert all(e.sentence and e.steps[-1].label == "Quota credit" for e in told.credits)


def test_roles_other_than_sales_see_no_deals(world: make.World) -> None:
    deal = submitted(world)
    for role in (Role.CATALOG_MANAGER, Role.SOURCING_LEAD, Role.ENGINEER):
        with pytest.raises(NotFound):
            approving.cancel_deal(deal_id=deal.pk, by=make.user(role=role), at=AT, reason="No")


def test_late_in_the_day_the_operators_date_counts_and_not_that_of_utc(world: make.World) -> None:
    evening = datetime(2026, 8, 15, 5, tzinfo=UTC)  # 22:00 on the 14th in the operator's time zone
    draft = make.draft(owner=world.ana, close_date=date(2026, 8, 15))
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=evening)
    with pytest.raises(Invalid) as refused:
        booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=evening)
    assert codes(refused.value) == {("close_date_in_future", "/close_date")}


@pytest.mark.parametrize("code", ["USD", "EUR", "JPY", "KWD"])
def test_an_explanation_of_annualised_value_comes_to_its_amount(code: str) -> None:
    world = make.world(rules=[])
    if code != "USD":
        make.fx(code=code, rate="1.083700001")
    annual = make.measure(basis="annualised_value")
    make.plan_version(rules=[make.Rule(annual, slug="annual")])
    line = make.Line(world.house, 100_01, term_months=7)
    deal = booking.log_deal(
        draft=make.draft(owner=world.ana, code=code, lines=[line]), by=make.login(world.ana), at=AT
    )
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    (told,) = explain_deal(deal.pk).credits
    assert told.evaluated_minor == told.amount_minor


def test_a_comp_admin_brings_a_deal_of_a_closed_month_and_it_is_posted_in_the_open_one(
    world: make.World,
) -> None:
    july, august = world.year.month(1), world.year.month(2)
    Period.objects.filter(pk=july.pk).update(state="closed")
    draft = make.draft(owner=world.ana, close_date=date(2026, 7, 20))
    with pytest.raises(Invalid):
        booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    assert not Deal.objects.exists()
    deal = booking.log_deal(draft=draft, by=world.admin, at=AT)
    with pytest.raises(Invalid):
        booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=world.admin, at=AT)
    approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    assert set(CreditEntry.objects.values_list("posting_period", "origin_period")) == {(august.pk, july.pk)}
