"""What happens at once: real threads, real transactions, one ledger."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import psycopg
import pytest
from django.db import connection, connections, transaction
from django.db.models import Sum

from quotas.crediting import engine
from quotas.crediting.invariants import broken
from quotas.models import CreditEntry, Deal, DealEvent, DealLine, Posting
from quotas.services import approving, booking
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
SPAN = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


def at_once(*jobs: Callable[[], object]) -> Counter[str]:
    """Run every job in a thread of its own, all starting together; the names of what came of them."""
    start, outcomes = threading.Barrier(len(jobs)), []

    def run(job: Callable[[], object]) -> None:
        start.wait()
        try:
            job()
            outcomes.append("done")
        except Exception as refused:
            outcomes.append(type(refused).__name__)

        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    return Counter(outcomes)


def submitted(world: make.World) -> Deal:
    draft = make.draft(
        owner=world.ana,
        lines=[make.Line(world.house, 100_00)],
        shares={world.ana: 500_000, world.bo: 500_000},
    )
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    return booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)


def test_twenty_approvals_of_one_deal_post_it_exactly_once() -> None:
    world = make.world()
    deal = submitted(world)
    outcomes = at_once(
        *[lambda: approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)] * 20
    )
    assert outcomes == {"done": 1, "Conflict": 19}
    assert CreditEntry.objects.count() == 2
    assert Posting.objects.count() == 1
    assert broken() == {}


def test_a_batch_beside_live_approvals_and_cancellations_neither_deadlocks_nor_doubles() -> None:
    world = make.world()
    deals = [submitted(world) for _ in range(12)]
    for deal in deals[:6]:
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)

    def recredit(n: int) -> Callable[[], object]:
        def job() -> None:
            with transaction.atomic():
                engine.post(SPAN, key=f"run-{n}", kind="recredit", by=None, at=AT)

        return job

    def approve(deal: Deal) -> Callable[[], object]:
        return lambda: approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)

    def cancel(deal: Deal) -> Callable[[], object]:
        return lambda: approving.cancel_deal(
            deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="At once"
        )

    outcomes = at_once(
        *[recredit(n) for n in range(4)], *[approve(d) for d in deals[6:]], *[cancel(d) for d in deals[:6]]
    )
    assert outcomes == {"done": 16}
    assert CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] == 6 * 100_00
    assert broken() == {}


def test_approving_and_cancelling_the_same_deal_at_once_leaves_one_consistent_story() -> None:
    world = make.world()
    deal = submitted(world)
    at_once(
        lambda: approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT),
        lambda: approving.cancel_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT, reason="At once"),
    )
    deal.refresh_from_db()
    standing = CreditEntry.objects.aggregate(n=Sum("amount_minor"))["n"] or 0
    assert standing == (100_00 if deal.state == "approved" else 0)
    assert broken() == {}


def test_twenty_threads_approving_amending_and_cancelling_the_same_deals_leave_each_in_one_consistent_state() -> (
    None
):
    world = make.world()
    deals = [submitted(world) for _ in range(4)]
    for deal in deals[:2]:
        approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
    ana, mia = make.login(world.ana), make.login(world.mia)

    def approve(deal: Deal) -> Callable[[], object]:
        return lambda: approving.approve_deal(deal_id=deal.pk, by=mia, at=AT)

    def amend(deal: Deal, amount: int) -> Callable[[], object]:
        draft = booking.draft_of(deal)
        draft = replace(draft, lines=(replace(draft.lines[0], amount_minor=amount),))
        return lambda: booking.amend_deal(deal_id=deal.pk, draft=draft, by=ana, at=AT, reason="At once")

    def cancel(deal: Deal) -> Callable[[], object]:
        return lambda: approving.cancel_deal(deal_id=deal.pk, by=mia, at=AT, reason="At once")

    def take_out(deal: Deal) -> Callable[[], object]:
        return lambda: approving.cancel_part(
            deal_id=deal.pk, amounts={1: 40_00}, by=mia, at=AT, reason="Less"
        )

    jobs = [
        job
        for n, deal in enumerate(deals)
        for job in (approve(deal), amend(deal, 70_00 + n), approve(deal), take_out(deal), cancel(deal) if n % 2 else approve(deal))
    ]  # fmt: skip
    outcomes = at_once(*jobs)
    assert set(outcomes) <= {"done", "Conflict"}
    for deal in deals:
        deal.refresh_from_db()
        credited = CreditEntry.objects.filter(deal=deal).aggregate(n=Sum("amount_minor"))["n"] or 0
        if deal.state == "approved":
            line = DealLine.objects.get(version=deal.credited_version_id or 0)
            assert credited == line.amount_minor
            assert (deal.amended_at is None) == (deal.latest_version_id == deal.credited_version_id)
        else:
            assert (deal.state, deal.amended_at, credited) == ("cancelled", None, 0)
        steps = Counter(deal.events.values_list("action", flat=True))
        assert steps["approved"] <= 1
        assert steps["cancelled"] == (deal.state == "cancelled")
        assert deal.versions.count() == 1 + steps["amended"] + steps["partly_cancelled"]
    kinds = Counter(Posting.objects.values_list("kind", flat=True))
    told = Counter(DealEvent.objects.values_list("action", flat=True))
    assert kinds["approve"] + kinds["amend"] == told["approved"] + told["amendment_approved"]
    with transaction.atomic():
        counts = engine.post(SPAN, key="afterwards", kind="recredit", by=None, at=AT).counts
    assert {"credited", "reversed"}.isdisjoint(counts)
    assert broken() == {}


@pytest.mark.parametrize("statement", ["UPDATE {} SET amount_minor = 1", "DELETE FROM {}", "TRUNCATE {}"])
@pytest.mark.parametrize("where", ["parent", "partition"])
def test_the_ledger_refuses_change_to_the_application_and_to_the_owner(
    statement: str, where: str, owner_connection: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    world = make.world()
    approving.approve_deal(deal_id=submitted(world).pk, by=make.login(world.mia), at=AT)
    month = CreditEntry.objects.values_list("posting_period_id", flat=True).first()
    table = "quotas_creditentry" if where == "parent" else f"quotas_creditentry_p{month}"
    with pytest.raises(Exception, match="permission denied"), connection.cursor() as cursor:
        cursor.execute(statement.format(table))
    with pytest.raises(psycopg.Error, match="append-only"):
        owner_connection.execute(statement.format(table))
    assert CreditEntry.objects.count() == 2


@pytest.mark.soak
@pytest.mark.parametrize("run", range(25))
def test_races_end_well_again_and_again(run: int) -> None:
    if run % 2:
        test_a_batch_beside_live_approvals_and_cancellations_neither_deadlocks_nor_doubles()
    else:
        test_twenty_threads_approving_amending_and_cancelling_the_same_deals_leave_each_in_one_consistent_state()
