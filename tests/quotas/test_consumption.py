"""Monthly usage: estimate until billed, a true-up after, and nothing when nothing changed."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from config.refusals import Conflict, Forbidden, Invalid, Refusal
from marketplace.models import Customer, Offering, Plan
from quotas.models import (
    CreditEntry,
    Deal,
    DealEvent,
    DealVersion,
    Measure,
    Period,
    Posting,
    Rep,
    SalesRole,
    UncreditedLine,
)
from quotas.services import approving, booking
from quotas.services.consumption import UsageRow, record_usage
from tests import make
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

AUGUST = datetime(2026, 8, 14, 19, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 3, 19, tzinfo=UTC)
JULY_DAY = date(2026, 7, 1)


class Metered:
    """A world in which what is consumed and what is billed are measured, and Ana owns the account."""

    def __init__(self) -> None:
        self.world = make.world(rules=[])
        self.consumed = make.measure(basis="consumed")
        self.billed = make.measure(basis="billed")
        make.plan_version(rules=[make.Rule(self.consumed, slug="c"), make.Rule(self.billed, slug="b")])
        self.customer = self.world.customer
        make.ownership(customer=self.customer, rep=self.world.ana)

    def row(
        self,
        consumed: int,
        billed: int | None = None,
        *,
        month: date = JULY_DAY,
        offering: Offering | None = None,
        customer: Customer | None = None,
        currency: str = "USD",
        plan: Plan | None = None,
        quantity: Decimal | None = None,
    ) -> UsageRow:
        return UsageRow(
            customer_id=(customer or self.customer).pk,
            offering_id=(offering or self.world.house).pk,
            month=month,
            currency=currency,
            consumed_minor=consumed,
            billed_minor=billed,
            plan_id=plan.pk if plan else None,
            quantity=quantity,
        )

    def record(self, *rows: UsageRow, at: datetime = AUGUST, source: str = "metering") -> dict[str, int]:
        return record_usage(rows=rows, source=source, by=self.world.admin, at=at)

    def net(self, measure: Measure, rep: Rep | None = None, **only: object) -> int:
        return (
            CreditEntry.objects.filter(measure=measure, rep=rep or self.world.ana, **only).aggregate(
                n=Sum("amount_minor")
            )["n"]
            or 0
        )


@pytest.fixture
def metered() -> Metered:
    return Metered()


def codes(refusal: Refusal) -> set[tuple[str, str]]:
    return {(p.code, p.pointer) for p in refusal.problems}


def counts(new: int = 0, changed: int = 0, unchanged: int = 0) -> dict[str, int]:
    return {"new": new, "changed": changed, "unchanged": unchanged}


def test_usage_is_one_deal_a_month_credited_at_once_to_the_accounts_owner(metered: Metered) -> None:
    rows = (metered.row(100_00), metered.row(50_00, offering=metered.world.third))
    assert metered.record(*rows) == counts(new=2)
    deal = Deal.objects.select_related("credited_version").get()
    version = deal.in_force
    assert (deal.state, deal.source, deal.owner_id, deal.decided_by_id) == (
        "approved",
        "metering",
        metered.world.ana.pk,
        None,
    )
    assert (version.kind, version.close_date) == ("consumption", date(2026, 7, 31))
    assert list(version.lines.order_by("line_no").values_list("line_no", "amount_minor", "billed_minor")) == [
        (1, 100_00, None),
        (2, 50_00, None),
    ]
    assert (metered.net(metered.consumed), metered.net(metered.billed)) == (150_00, 150_00)
    assert Posting.objects.get().kind == "usage"
    assert list(DealEvent.objects.order_by("id").values_list("action", "reason")) == [
        ("logged", ""),
        ("approved", "Usage, straight-through v1: estimate"),
    ]
    assert broken() == {}


def test_the_same_rows_again_change_nothing(metered: Metered) -> None:
    rows = (metered.row(100_00, 99_00), metered.row(50_00, offering=metered.world.third))
    metered.record(*rows)
    assert metered.record(*reversed(rows)) == counts(unchanged=2)
    assert metered.record(metered.row(100_00)) == counts(unchanged=1)  # a bill that is known stays
    assert (DealVersion.objects.count(), Posting.objects.count(), Deal.objects.get().revision) == (1, 1, 2)


def test_the_bill_posts_the_difference_to_the_estimate_and_no_more(metered: Metered) -> None:
    metered.record(metered.row(100_00), metered.row(50_00, offering=metered.world.third))
    before = CreditEntry.objects.count()
    assert metered.record(metered.row(100_00, 97_50)) == counts(changed=1)
    assert (metered.net(metered.consumed), metered.net(metered.billed)) == (150_00, 147_50)
    assert CreditEntry.objects.count() == before + 2  # one reversal, one new entry, of the billed line alone
    assert DealEvent.objects.latest("id").action == "amendment_approved"
    assert [v.lines.count() for v in DealVersion.objects.order_by("number")] == [2, 2]
    assert broken() == {}


def test_a_line_that_comes_later_gets_the_next_number(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    plan = make.plan(offering=metered.world.house)
    assert metered.record(metered.row(30_00, plan=plan), metered.row(100_00)) == counts(new=1, unchanged=1)
    lines = Deal.objects.get().latest.lines.order_by("line_no")
    assert [(x.line_no, x.plan_id, x.amount_minor) for x in lines] == [(1, None, 100_00), (2, plan.pk, 30_00)]


def test_the_running_month_is_dated_today_and_its_end_once_it_is_over(metered: Metered) -> None:
    now = metered.row(10_00, month=date(2026, 8, 1))
    metered.record(now, at=AUGUST)
    deal = Deal.objects.select_related("credited_version").get()
    assert (deal.in_force.close_date, deal.in_force.title) == (
        date(2026, 8, 14),
        "Consumption of August 2026, to date",
    )
    assert metered.record(now, at=AUGUST.replace(day=20)) == counts(unchanged=1)
    make.fiscal_year(states={3: "open"})
    assert metered.record(now, at=SEPTEMBER) == counts(unchanged=1)
    deal = Deal.objects.select_related("credited_version").get()
    assert (deal.in_force.close_date, deal.in_force.title) == (
        date(2026, 8, 31),
        "Consumption of August 2026",
    )
    assert CreditEntry.objects.count() == 2  # still in August, so nothing was touched
    assert metered.record(now, at=SEPTEMBER) == counts(unchanged=1)
    assert DealVersion.objects.count() == 2


def test_the_owner_of_the_month_is_credited_after_a_transfer_too(metered: Metered) -> None:
    customer = make.customer()
    make.ownership(customer=customer, rep=metered.world.bo, effective=(make.LONG_AGO, date(2026, 7, 15)))
    make.ownership(customer=customer, rep=metered.world.cy, effective=(date(2026, 7, 15), None))
    metered.record(
        metered.row(10_00, customer=customer),
        metered.row(20_00, customer=customer, month=date(2026, 6, 1)),
    )
    assert metered.net(metered.consumed, metered.world.cy) == 10_00
    assert metered.net(metered.consumed, metered.world.bo) == 20_00
    assert set(Deal.objects.values_list("owner", flat=True)) == {metered.world.cy.pk, metered.world.bo.pk}


def test_usage_of_an_account_that_nobody_owns_then_is_kept_with_the_reason(metered: Metered) -> None:
    customer = make.customer()
    with pytest.raises(Invalid) as refused:
        metered.record(metered.row(10_00, customer=customer))
    assert codes(refused.value) == {("no_account_owner", "/0/customer")}
    make.rep(team=metered.world.team, role=SalesRole.HOUSE)
    metered.record(metered.row(10_00, customer=customer))
    assert set(UncreditedLine.objects.values_list("reason", flat=True)) == {"no_receiver"}
    assert not CreditEntry.objects.exists()
    assert broken() == {}


def test_usage_of_a_closed_month_is_posted_into_the_open_one(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    july, august = metered.world.year.month(1), metered.world.year.month(2)
    Period.objects.filter(pk=july.pk).update(state="closed")
    metered.record(metered.row(100_00, 104_00))
    assert metered.net(metered.billed, posting_period=july) == 100_00
    assert metered.net(metered.billed, posting_period=august) == 4_00
    assert metered.net(metered.billed, origin_period=july) == 104_00
    assert broken() == {}


def test_held_usage_counts_when_it_is_released(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    deal = Deal.objects.get()
    approving.hold_deal(deal_id=deal.pk, by=metered.world.admin, at=AUGUST, reason="Meter is checked")
    metered.record(metered.row(120_00))
    assert metered.net(metered.consumed) == 0
    approving.release_deal(deal_id=deal.pk, by=metered.world.admin, at=AUGUST)
    assert metered.net(metered.consumed) == 120_00
    assert broken() == {}


def test_everything_that_is_wrong_is_said_by_row_and_nothing_is_recorded(metered: Metered) -> None:
    make.currency(code="EUR")  # known, but without a rate
    good = metered.row(1_00)
    wrong = [
        UsageRow(0, 0, date(2019, 1, 1), "XXX", -1, billed_minor=-1),
        metered.row(1, month=date(2026, 9, 1)),
        metered.row(1, currency="EUR"),
        metered.row(9_000_000_000_001),
        metered.row(1, plan=make.plan(), offering=metered.world.third),
        metered.row(1, offering=make.offering(), quantity=Decimal(-1)),
    ]
    with pytest.raises(Invalid) as refused:
        metered.record(good, *wrong, good)
    assert codes(refused.value) == {
        ("unknown_customer", "/1/customer"),
        ("unknown_offering", "/1/offering"),
        ("no_period", "/1/month"),
        ("unknown_currency", "/1/currency"),
        ("negative_amount", "/1/consumed"),
        ("negative_amount", "/1/billed"),
        ("month_ahead", "/2/month"),
        ("no_fx_rate", "/3/currency"),
        ("amount_too_large", "/4/consumed"),
        ("row_twice", "/4"),  # the amount is part of no row's identity
        ("unknown_plan", "/5/plan"),
        ("quantity_out_of_range", "/6/quantity"),
        ("row_twice", "/7"),
    }
    assert (Deal.objects.count(), CreditEntry.objects.count()) == (0, 0)


def test_usage_that_another_deal_holds_is_not_counted_twice(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    with pytest.raises(Invalid) as refused:
        metered.record(metered.row(100_00), source="billing")
    assert codes(refused.value) == {("usage_held_elsewhere", "/0/offering")}
    assert metered.record(metered.row(1_00, offering=metered.world.third), source="billing") == counts(new=1)


def test_cancelled_usage_does_not_come_back_unasked(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    deal = Deal.objects.get()
    approving.cancel_deal(deal_id=deal.pk, by=metered.world.admin, at=AUGUST, reason="Wrong meter")
    with pytest.raises(Invalid) as refused:
        metered.record(metered.row(100_00))
    assert codes(refused.value) == {("usage_cancelled", "/0/month")}
    assert metered.net(metered.consumed) == 0
    assert broken() == {}


def test_only_comp_admins_and_services_record_usage(metered: Metered) -> None:
    row = metered.row(1_00)
    service = make.user(service=True)
    partner = make.user(service=True, role=Role.PARTNER)
    for who in (make.login(metered.world.mia), metered.world.auditor, partner):
        with pytest.raises(Forbidden):
            record_usage(rows=[row], source="metering", by=who, at=AUGUST)
    assert record_usage(rows=[row], source="metering", by=service, at=AUGUST) == counts(new=1)


def test_consumption_is_neither_amended_nor_cancelled_in_part(metered: Metered) -> None:
    metered.record(metered.row(100_00))
    deal = Deal.objects.select_related("latest_version").get()
    draft = booking.draft_of(deal)
    with pytest.raises(Conflict):
        booking.amend_deal(deal_id=deal.pk, draft=draft, by=metered.world.admin, at=AUGUST, reason="x")
    with pytest.raises(Conflict):
        approving.cancel_part(deal_id=deal.pk, amounts={1: 1}, by=metered.world.admin, at=AUGUST, reason="x")


def test_many_rows_take_as_many_statements_as_few(metered: Metered) -> None:
    costs = []
    assert metered.world.admin.has_role(Role.COMP_ADMIN)  # asked once
    for n in (2, 12):
        customers = [make.customer() for _ in range(n)]
        for customer in customers:
            make.ownership(customer=customer, rep=metered.world.ana)
        rows = [metered.row(100, customer=c) for c in customers]
        metered.record(*rows)
        with CaptureQueriesContext(connection) as captured:
            metered.record(*(metered.row(200, customer=c) for c in customers))
        costs.append(len(captured))
    assert costs[0] == costs[1]
