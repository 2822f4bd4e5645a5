"""Numbers that moved after they had been shown: found once, exact, told to whose they are."""

from datetime import date

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification
from config import jobs, outbox
from config.models import OutboxMessage
from config.refusals import NotFound
from quotas.crediting.invariants import broken
from quotas.models import Deal, Discrepancy, FxRate, PeriodState, Rep
from quotas.selectors.discrepancies import cause_of, discrepancies_for
from quotas.services import approving, recredit
from quotas.services.discrepancies import look, mark_seen
from tests import make
from tests.make import AT, Line, World
from tests.quotas.api import credited_at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    make.fx(rate="1.10")
    return make.world()


def carry_out() -> None:
    for pk in OutboxMessage.objects.filter(done_at=None).order_by("id").values_list("id", flat=True):
        outbox.carry_out(message_id=pk, at=AT)


def approved(world: World, on: date, code: str = "USD", shares: dict[Rep, int] | None = None) -> Deal:
    (deal,) = credited_at_once(
        make.Sale(
            owner=world.ana,
            customer=world.customer,
            lines=[Line(world.house, 100_00)],
            close_date=on,
            code=code,
            shares=shares,
        )
    )
    return deal


def told(world: World) -> list[tuple[str, str, int, int]]:
    found = Discrepancy.objects.annotate(name=F("period__name"), who=F("rep__name")).order_by("pk")
    return list(found.values_list("who", "name", "shown_minor", "now_minor"))


def test_what_moves_a_closed_month_is_told_and_what_moves_an_open_one_is_not(world: World) -> None:
    july = approved(world, date(2026, 7, 10), shares={world.ana: 600_000, world.bo: 400_000})
    august = approved(world, date(2026, 8, 3))
    make.fiscal_year(states={1: PeriodState.CLOSED})
    approving.cancel_deal(deal_id=august.pk, by=world.admin, at=AT, reason="Twice")
    carry_out()
    assert told(world) == []

    approving.cancel_deal(deal_id=july.pk, by=world.admin, at=AT, reason="Customer withdrew")
    carry_out()

    assert told(world) == [("Ana", "FY27-M01", 60_00, 0), ("Bo", "FY27-M01", 40_00, 0)]
    note = Notification.objects.get(user=world.ana.user, url="/quotas/discrepancies/")
    assert note.text == "A number of yours moved: Customer withdrew"
    found = Discrepancy.objects.all()[0]
    assert cause_of(found.posting).text == f"the cancellation of {july.reference}"
    assert broken() == {}


def test_an_adjustment_into_a_closed_month_moves_it_restated(world: World) -> None:
    approved(world, date(2026, 7, 10))
    make.fiscal_year(states={1: PeriodState.CLOSED})
    given = make.adjustment(rep=world.ana, measure=world.bookings, amount_minor=-30_00, on=date(2026, 7, 20))
    carry_out()
    assert told(world) == [("Ana", "FY27-M01", 100_00, 70_00)]
    assert cause_of(Discrepancy.objects.get().posting).url == f"/quotas/adjustments/{given.pk}/"


def test_a_recredit_tells_of_open_months_too_and_looking_twice_finds_nothing_new(world: World) -> None:
    approved(world, date(2026, 8, 3), code="EUR")
    approved(world, date(2026, 8, 4))
    FxRate.objects.update(rate_e9=1_200_000_000)
    job = recredit.start_run(
        starts=date(2026, 8, 1), ends=date(2026, 9, 1), cause="manual", what="By hand", reason="Rate of August",
        by=world.admin, at=AT,
    )  # fmt: skip
    jobs.work_off(job_id=job.pk, now=lambda: AT)
    carry_out()
    assert told(world) == [("Ana", "FY27-M02", 210_00, 220_00)]
    payloads = OutboxMessage.objects.filter(topic="quotas.numbers_moved").values_list("payload", flat=True)
    for payload in payloads:
        assert look(payload, AT) == 0
    assert Notification.objects.filter(user=world.ana.user, url="/quotas/discrepancies/").count() == 1


def test_looking_late_counts_no_more_than_what_was_posted_until_then(world: World) -> None:
    first, second = (approved(world, date(2026, 7, day)) for day in (10, 11))
    make.fiscal_year(states={1: PeriodState.CLOSED})
    for deal in (first, second):
        approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew")
    carry_out()  # both looks come after both postings
    assert told(world) == [("Ana", "FY27-M01", 200_00, 100_00), ("Ana", "FY27-M01", 100_00, 0)]


def test_one_marks_only_ones_own_as_seen_and_sees_no_others(world: World) -> None:
    deal = approved(world, date(2026, 7, 10))
    make.fiscal_year(states={1: PeriodState.CLOSED})
    approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew")
    carry_out()
    moved = Discrepancy.objects.get()
    for other in (make.login(world.bo), make.login(world.mia), world.admin):
        with pytest.raises(NotFound):
            mark_seen(discrepancy_ids=[moved.pk], by=other, at=AT)
    assert mark_seen(discrepancy_ids=[moved.pk], by=make.login(world.ana), at=AT) == 1
    assert mark_seen(discrepancy_ids=[moved.pk], by=make.login(world.ana), at=AT) == 0
    readers = {
        who.name: discrepancies_for(who, make.TODAY).exists()
        for who in (*map(make.login, (world.ana, world.bo, world.mia, world.zed)), world.auditor)
    }
    assert readers == {"Ana": True, "Bo": False, "Mia": True, "Zed": False, world.auditor.name: True}


def test_looking_takes_as_many_queries_for_many_reps_as_for_one(world: World) -> None:
    many = approved(
        world, date(2026, 7, 10), shares={world.ana: 400_000, world.bo: 300_000, world.cy: 300_000}
    )
    one = approved(world, date(2026, 7, 11))
    make.fiscal_year(states={1: PeriodState.CLOSED})
    counts = []
    for deal in (one, many):
        approving.cancel_deal(deal_id=deal.pk, by=world.admin, at=AT, reason="Customer withdrew")
        message = OutboxMessage.objects.filter(topic="quotas.numbers_moved").latest("id")
        with CaptureQueriesContext(connection) as queries:
            look(message.payload, AT)
        counts.append(len(queries))
    assert counts == [3, 3]
