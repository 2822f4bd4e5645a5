"""Recredit runs: only differences, whole or not at all, however often they are told, stopped, killed or started beside each other."""

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import Notification, Role
from config import jobs, outbox
from config.models import Job, JobState, OutboxMessage
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.services import eligibility
from marketplace.services.eligibility import Scope
from quotas.crediting import engine
from quotas.crediting.invariants import broken
from quotas.models import (
    CreditEntry,
    CreditTotal,
    Deal,
    DealState,
    FxRate,
    Period,
    Posting,
    Reversal,
    UncreditedLine,
)
from quotas.selectors import recredits as selectors
from quotas.services import approving, booking, facts, recredit
from tests import make
from tests.test_worker import broker, worker

pytestmark = pytest.mark.django_db

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
JUL, AUG, SEP = date(2026, 7, 1), date(2026, 8, 1), date(2026, 9, 1)
EVER = engine.BySpan(date(2000, 1, 1), date(2100, 1, 1))


def sold(world: make.World, day: date, amount: int = 100_00, lines: int = 1, **facts_of: Any) -> Deal:
    """An approved deal that nobody has credited yet."""
    return make.deal(
        **{"owner": world.ana, "customer": world.customer, **facts_of},
        lines=[make.Line(world.house, amount)] * lines,
        close_date=day,
        state=DealState.APPROVED,
    )


def run(
    *, starts: date = JUL, ends: date = SEP, deals: list[int] | None = None, by: Any = None, once: str = ""
) -> Job:
    return recredit.start_run(
        starts=starts,
        ends=ends,
        cause="manual",
        what="Started by a test.",
        reason="Because",
        by=by,
        at=AT,
        deals=deals,
        once=once,
    )


def finish(job: Job) -> Job:
    done = jobs.work_off(job_id=job.pk, now=lambda: AT)
    assert done.state == JobState.DONE, done.error
    return done


def written() -> list[Any]:
    """Everything that a posting writes, to the last column."""
    return [
        sorted(CreditEntry.objects.values_list("pk", "posting_id", "amount_minor", "reverses_id")),
        sorted(Reversal.objects.values_list("entry_id", "reversed_by_id")),
        sorted(CreditTotal.objects.values_list("period", "measure", "basis", "team", "rep", "direct_minor", "overlay_minor")),
        sorted(UncreditedLine.objects.values_list("pk", "deal", "line_no", "reason")),
    ]  # fmt: skip


def net() -> Counter[tuple[Any, ...]]:
    """What stands, by everything that makes an entry what it is."""
    sums: Counter[tuple[Any, ...]] = Counter()
    keys = (
        "deal_id",
        "line_no",
        "rep_id",
        "team_id",
        "measure_id",
        "component",
        "rule_id",
        "origin_period_id",
    )
    for *key, amount in CreditEntry.objects.values_list(*keys, "amount_minor"):
        sums[tuple(key)] += amount
    return Counter({key: amount for key, amount in sums.items() if amount})


def wanted() -> Counter[tuple[Any, ...]]:
    """What a ledger that starts empty would come to."""
    entries, _ = engine.desired(EVER)
    return Counter(
        {
            (
                e.deal_id,
                e.line_no,
                e.rep_id,
                e.team_id,
                e.measure_id,
                e.component,
                e.rule_id,
                e.period_id,
            ): e.amount
            for e in entries
        }
    )


def test_a_second_run_on_unchanged_facts_writes_zero_rows() -> None:
    world = make.world()
    held = sold(world, JUL)
    for day in (JUL, date(2026, 7, 20), AUG):
        sold(world, day, lines=2)
    Deal.objects.filter(pk=held.pk).update(held=True)
    unsold = make.offering()
    make.deal(owner=world.ana, lines=[make.Line(unsold)], close_date=AUG, state=DealState.APPROVED)
    make.decision(offering=unsold, rate_ppm=0)
    first = finish(run())
    assert first.counts == {"credited": 6, "held": 1, "rate_zero": 1, "posted_to_open_period": 0}
    assert (first.total, first.done, first.unit) == (5, 5, "deals")
    before = written()
    second = finish(run())
    assert second.counts == {"unchanged": 6, "held": 1, "rate_zero": 1}
    assert written() == before
    assert broken() == {}


def test_a_run_takes_as_many_days_at_a_time_as_their_lines_allow_and_a_long_day_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recredit, "LINES_A_STEP", 4)
    monkeypatch.setattr(recredit, "DEALS_A_STEP", 2)
    world = make.world()
    for day, deals, lines in (
        (date(2026, 6, 30), 3, 1),
        (JUL, 1, 2),
        (date(2026, 7, 2), 1, 2),
        (date(2026, 7, 3), 1, 1),
        (date(2026, 7, 10), 5, 1),
        (date(2026, 7, 11), 2, 2),
        (AUG, 3, 1),
    ):
        for _ in range(deals):
            sold(world, day, lines=lines)
    job = run(starts=JUL, ends=AUG)
    assert jobs.step_once(job_id=job.pk, at=AT)
    job.refresh_from_db()
    assert [(part["starts"], part["count"]) for part in job.cursor["parts"]] == [
        ("2026-07-01", 2),
        ("2026-07-03", 1),
        ("2026-07-10", 2),
        ("2026-07-10", 2),
        ("2026-07-10", 1),
        ("2026-07-11", 2),
    ]
    assert (job.total, job.done, job.counts) == (10, 0, {})
    done = []
    while jobs.step_once(job_id=job.pk, at=AT):
        job.refresh_from_db()
        done.append(job.done)
    assert done == [2, 3, 5, 7, 8]
    job.refresh_from_db()
    assert (job.state, job.done, job.counts["credited"]) == ("done", 10, 5 + 5 + 4)
    assert set(CreditEntry.objects.values_list("credit_date", flat=True)) == {
        date(2026, 7, n) for n in (1, 2, 3, 10, 11)
    }
    assert Posting.objects.filter(kind="recredit").count() == 6
    finish(run(starts=date(2026, 6, 1)))
    assert net() == wanted()
    assert broken() == {}


def test_a_run_over_very_many_lines_takes_longer_steps_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recredit, "LINES_A_STEP", 2)
    monkeypatch.setattr(recredit, "STEPS", 2)
    world = make.world()
    for day in range(1, 7):
        sold(world, date(2026, 7, day), lines=2)

    def days_of_steps() -> list[int]:
        job = run(starts=JUL, ends=AUG)
        assert jobs.step_once(job_id=job.pk, at=AT)
        job.refresh_from_db()
        counts = [part["count"] for part in job.cursor["parts"]]
        finish(job)
        return counts

    assert days_of_steps() == [3, 3]
    monkeypatch.setattr(recredit, "MOST_LINES_A_STEP", 5)
    assert days_of_steps() == [2, 2, 2]
    monkeypatch.setattr(recredit, "STEPS", 50)
    assert days_of_steps() == [1] * 6
    assert net() == wanted()


def test_a_run_over_named_deals_leaves_the_others_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recredit, "DEALS_A_STEP", 2)
    world = make.world()
    deals = [sold(world, JUL) for _ in range(6)]
    chosen = [deal.pk for deal in deals[1:6]]
    job = finish(run(deals=[*chosen, chosen[0]]))
    assert (job.total, job.done, job.counts["credited"]) == (5, 5, 5)
    assert set(CreditEntry.objects.values_list("deal_id", flat=True)) == set(chosen)
    assert finish(run(deals=[])).counts == {}


def test_what_belongs_to_closed_months_is_posted_to_the_open_one_and_counted() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    for day in (date(2026, 6, 10), date(2026, 6, 20), AUG):
        sold(world, day, code="EUR")
    finish(run(starts=date(2026, 6, 1)))
    make.fiscal_year(year=2026, states={12: "closed"})
    change = facts.correct_rate(
        from_currency="EUR", to_currency="USD", rate_e9=1_200_000_000, starts=date(2026, 6, 1), ends=SEP,
        by=world.admin, at=AT, reason="The bank sent another rate",
    )  # fmt: skip
    assert change.job is not None
    job = finish(change.job)
    assert job.counts == {"credited": 3, "reversed": 3, "posted_to_open_period": 4}
    moved = CreditEntry.objects.filter(pk__gte=job.result["entries"][0]).values_list(
        "posting_period__name", "origin_period__name", "amount_minor"
    )
    assert sorted(moved) == [
        ("FY27-M01", "FY26-M12", -110_00),
        ("FY27-M01", "FY26-M12", -110_00),
        ("FY27-M01", "FY26-M12", 120_00),
        ("FY27-M01", "FY26-M12", 120_00),
        ("FY27-M02", "FY27-M02", -110_00),
        ("FY27-M02", "FY27-M02", 120_00),
    ]
    assert broken() == {}
    # The page reads the same by the run's own marks.
    assert [(s.rep.pk, s.period.name, s.amount) for s in selectors.moved_standings(job)] == [
        (world.ana.pk, "FY26-M12", 20_00),
        (world.ana.pk, "FY27-M02", 10_00),
    ]
    assert [d.amount for d in selectors.moved_deals(job)] == [10_00, 10_00, 10_00]
    assert [t.name for t in selectors.told(job.counts)] == ["credited", "reversed", "posted_to_open_period"]


def test_counting_what_was_posted_later_reads_by_index_and_not_the_ledger() -> None:
    world = make.world()
    sold(world, JUL)
    job = run()
    with CaptureQueriesContext(connection) as queries:
        finish(job)
    (counting,) = [q["sql"] for q in queries if "quotas_creditentry" in q["sql"] and "COUNT(*)" in q["sql"]]
    assert '"posting_period_id" IN' in counting
    assert '"id" >' in counting


def test_a_step_that_cannot_be_done_is_tried_again_and_in_the_end_says_why_and_has_written_nothing() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    sold(world, JUL, code="EUR")
    finish(run())
    change = facts.correct_rate(
        from_currency="EUR",
        to_currency="USD",
        rate_e9=1_200_000_000,
        starts=JUL,
        by=world.admin,
        at=AT,
        reason="Late",
    )
    assert change.job is not None
    Period.objects.filter(state="open").update(state="closed")
    before = written()
    job = change.job
    for attempt in range(1, 6):
        job = jobs.work_off(job_id=job.pk, now=lambda: AT)
        assert job.attempts == attempt
        assert "open the next month" in job.error
        assert job.state == (JobState.FAILED if attempt == 5 else JobState.RUNNING)
    assert written() == before
    assert job.counts == {}
    Period.objects.filter(name="FY27-M02").update(state="open")
    again = finish(run())
    assert again.counts == {"credited": 1, "reversed": 1, "posted_to_open_period": 2}


def test_a_run_that_is_stopped_keeps_what_it_posted_and_another_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recredit, "LINES_A_STEP", 1)
    world = make.world()
    for n in range(4):
        sold(world, JUL + timedelta(days=n))
    job = run(by=world.admin)
    assert jobs.step_once(job_id=job.pk, at=AT)
    assert jobs.step_once(job_id=job.pk, at=AT)
    recredit.cancel_run(job_id=job.pk, by=world.admin, at=AT)
    stopped = jobs.work_off(job_id=job.pk, now=lambda: AT)
    assert (stopped.state, stopped.done, stopped.total) == (JobState.CANCELLED, 1, 4)
    assert CreditEntry.objects.count() == 1
    assert finish(run()).counts == {"credited": 3, "unchanged": 1, "posted_to_open_period": 0}
    with pytest.raises(Conflict):
        recredit.cancel_run(job_id=job.pk, by=world.admin, at=AT)


def test_who_may_start_and_stop_a_run() -> None:
    world = make.world()
    for who in (make.user(role=Role.MANAGER), world.auditor):
        with pytest.raises(Forbidden):
            run(by=who)
    assert Job.objects.count() == 0
    job = run(by=world.admin)
    with pytest.raises(Forbidden):
        recredit.cancel_run(job_id=job.pk, by=world.auditor, at=AT)
    with pytest.raises(NotFound):
        recredit.cancel_run(job_id=job.pk, by=make.user(role=Role.MANAGER), at=AT)
    job.refresh_from_db()
    assert job.cancel_asked_at is None


def test_a_run_needs_a_span_a_cause_and_a_reason() -> None:
    given: dict[str, Any] = {
        "starts": JUL,
        "ends": AUG,
        "cause": "fx",
        "what": "x",
        "reason": "y",
        "by": None,
        "at": AT,
    }
    for change, pointer in (
        ({"ends": JUL}, "/ends"),
        ({"cause": "mood"}, "/cause"),
        ({"reason": " "}, "/reason"),
    ):
        with pytest.raises(Invalid) as refused:
            recredit.start_run(**{**given, **change})
        assert [p.pointer for p in refused.value.problems] == [pointer]
    assert Job.objects.count() == 0


def test_who_asked_for_a_run_is_told_when_it_is_through() -> None:
    world = make.world()
    sold(world, JUL)
    job = finish(run(by=world.admin))
    for message in OutboxMessage.objects.filter(topic="accounts.notify"):
        outbox.carry_out(message_id=message.pk, at=AT)
    (told,) = Notification.objects.filter(user=world.admin)
    assert told.text == "Recredited: Started by a test. 1 entry written."
    assert told.url == f"/quotas/recredits/{job.pk}/"


# Decisions of the catalog.


def decide(world: make.World, *, program: str = "quota", rate_ppm: int = 500_000, **scope: Any) -> None:
    """50 % or so from 1 July on, proposed and checked; what was promised is carried out, twice over."""
    maker, checker = make.user(role=Role.CATALOG_MANAGER), make.user(role=Role.CATALOG_MANAGER)
    decision = eligibility.propose_decision(
        program=program,
        scope=Scope(**scope),
        rate_ppm=rate_ppm,
        start=JUL,
        end=None,
        reason="Half",
        by=maker,
        at=AT,
    )
    eligibility.check_decision(decision_id=decision.pk, by=checker, at=AT, replacing=True)
    promised = OutboxMessage.objects.filter(topic="marketplace.changed").latest("pk")
    for _ in range(2):
        OutboxMessage.objects.filter(pk=promised.pk).update(done_at=None)
        assert outbox.carry_out(message_id=promised.pk, at=AT)


def test_a_decision_with_a_first_day_in_the_past_starts_one_run_for_its_deals_however_often_it_is_told() -> (
    None
):
    world = make.world()
    june, july = sold(world, date(2026, 6, 30)), sold(world, JUL)
    other = make.deal(
        owner=world.ana, lines=[make.Line(world.third)], close_date=JUL, state=DealState.APPROVED
    )
    finish(run(starts=date(2026, 6, 1)))
    decide(world, offering_id=world.house.pk)
    (job,) = Job.objects.filter(parameters__cause="eligibility")
    assert job.parameters["deals"] == [july.pk]
    assert (job.parameters["starts"], job.parameters["ends"]) == ("2026-07-01", "2026-07-02")
    assert finish(job).counts == {"credited": 1, "reversed": 1, "posted_to_open_period": 0}
    sums = {key[0]: amount for key, amount in net().items()}
    assert sums == {june.pk: 100_00, july.pk: 50_00, other.pk: 10_000_00}
    decide(world, program="commitment", offering_id=world.house.pk)  # no program of ours
    assert Job.objects.filter(parameters__cause="eligibility").count() == 1


def test_a_decision_on_a_whole_path_takes_the_span_and_one_without_deals_behind_it_nothing() -> None:
    world = make.world()
    sold(world, date(2026, 6, 30))
    decide(world, commercial_path="sold_by_cloud")
    assert Job.objects.count() == 0
    sold(world, AUG)
    finish(run(starts=date(2026, 6, 1)))
    decide(world, publisher_id=world.house.publisher_id, rate_ppm=250_000)
    (job,) = Job.objects.filter(parameters__cause="eligibility")
    assert (job.parameters["deals"], job.parameters["starts"], job.parameters["ends"]) == (
        None,
        "2026-08-01",
        "2026-08-02",
    )
    assert finish(job).counts["credited"] == 1
    assert net() == wanted()


# The command.


def command(**options: Any) -> str:
    out = StringIO()
    call_command("recredit", starts=JUL, ends=SEP, **options, stdout=out)
    return out.getvalue()


def test_the_command_tells_by_reason_what_it_would_write_and_what_it_wrote() -> None:
    world = make.world()
    sold(world, JUL, lines=2)
    dry = command(dry_run=True)
    assert dry.splitlines()[0].split()[:2] == ["credited", "2"]
    assert dry.endswith("Nothing was written.\n")
    assert (CreditEntry.objects.count(), Job.objects.count()) == (0, 0)
    wet = command(reason="Late")
    assert wet.splitlines()[0].split()[:2] == ["credited", "2"]
    assert wet.splitlines()[-1] == f"Run {Job.objects.get().pk}: 1 deals."
    assert Posting.objects.get(kind="recredit").reason == "Late"


def test_the_command_fails_loudly() -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    deal = sold(world, JUL, code="EUR")
    finish(run())
    Deal.objects.filter(pk=deal.pk).update(state=DealState.CANCELLED)
    Period.objects.filter(state="open").update(state="closed")
    with pytest.raises(CommandError, match="failed"):
        command()
    with pytest.raises(CommandError, match="after"):
        call_command("recredit", starts=SEP, ends=JUL)
    assert CreditEntry.objects.count() == 1


# At once.


def at_once(*work: Callable[[], object]) -> list[str]:
    """Every piece of work in a thread of its own, all starting together; the names of what came of them."""
    start, outcomes = threading.Barrier(len(work)), []

    def do(piece: Callable[[], object]) -> None:
        start.wait()
        try:
            piece()
            outcomes.append("done")
        except Exception as failure:
            outcomes.append(repr(failure))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=do, args=(piece,)) for piece in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert not any(thread.is_alive() for thread in threads)
    return outcomes


@pytest.mark.django_db(transaction=True)
def test_runs_over_the_same_days_beside_each_other_neither_deadlock_nor_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recredit, "LINES_A_STEP", 7)
    monkeypatch.setattr(recredit, "DEALS_A_STEP", 5)
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    deals = [
        sold(
            world,
            JUL + timedelta(days=n % 6),
            100_00 + n,
            code="EUR",
            shares={world.ana: 400_000, world.cy: 600_000},
        )
        for n in range(30)
    ]
    finish(run())
    change = facts.correct_rate(
        from_currency="EUR",
        to_currency="USD",
        rate_e9=1_200_000_000,
        starts=JUL,
        by=world.admin,
        at=AT,
        reason="Late",
    )
    assert change.job is not None
    ids = [
        change.job.pk,
        run().pk,
        run(deals=[d.pk for d in reversed(deals)]).pk,
        run(starts=date(2026, 7, 3)).pk,
    ]
    # Two workers at each of four runs.
    assert (
        at_once(*[lambda pk=pk: jobs.work_off(job_id=pk, now=lambda: AT) for pk in ids * 2]) == ["done"] * 8
    )
    for pk in ids:
        finish(Job.objects.get(pk=pk))
    counts: Counter[str] = Counter()
    for job in Job.objects.filter(pk__in=ids):
        counts.update(job.counts)
    assert (counts["credited"], counts["reversed"]) == (60, 60)
    assert net() == wanted()
    assert broken() == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("by_deals", [True, False], ids=["named deals", "span"])
def test_a_change_waits_for_an_approval_in_flight_that_went_by_the_fact_before(by_deals: bool) -> None:
    world = make.world()
    make.fx(code="EUR", rate="1.1")
    draft = make.draft(owner=world.ana, lines=[make.Line(world.house, 100_00)], close_date=JUL, code="EUR")
    deal = booking.log_deal(draft=draft, by=make.login(world.ana), at=AT)
    booking.submit_deal(deal_id=deal.pk, by=make.login(world.ana), at=AT)
    approved, go_on, changed = threading.Event(), threading.Event(), threading.Event()

    def approve() -> None:
        with transaction.atomic():
            approving.approve_deal(deal_id=deal.pk, by=make.login(world.mia), at=AT)
            approved.set()
            assert go_on.wait(30)

    def correct() -> None:
        assert approved.wait(30)
        if by_deals:
            facts.correct_rate(
                from_currency="EUR", to_currency="USD", rate_e9=1_200_000_000, starts=JUL,
                by=world.admin, at=AT, reason="Late",
            )  # fmt: skip
            changed.set()
        else:  # a fact that was changed elsewhere, and the run that follows it
            FxRate.objects.update(rate_e9=1_200_000_000)
            job = run()
            changed.set()
            finish(job)

    def release() -> None:
        assert approved.wait(30)
        time.sleep(0.5)
        # By deals the change itself waits, because it names them; by span its run does.
        assert changed.is_set() == (not by_deals)
        go_on.set()

    assert at_once(approve, correct, release) == ["done"] * 3
    for job in Job.objects.all():
        finish(job)
    assert [amount for _, amount in net().items()] == [120_00]
    assert net() == wanted()


@pytest.mark.soak
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_killed_ten_times_loses_nothing_and_doubles_nothing(
    tmp_path: Path, worker_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recredit, "DEALS_A_STEP", 1)
    world = make.world(rules=[])
    measures = [world.bookings, make.measure(basis="annualised_value", code="EUR")]
    make.plan_version(rules=[make.Rule(m, factor_ppm=1_100_000, cap_minor=80_00) for m in measures])
    make.fx(code="EUR", rate="1.1")
    make.fx(code="USD", to="EUR", rate="0.9")
    shares = {world.ana: 333_333, world.bo: 333_333, world.cy: 333_334}
    deals = [
        sold(
            world,
            JUL + timedelta(days=n % 40),
            100_00 + n,
            lines=3,
            code="EUR" if n % 2 else "USD",
            shares=shares,
        )
        for n in range(600)
    ]
    job = run(deals=[deal.pk for deal in deals])
    assert jobs.step_once(job_id=job.pk, at=AT)  # planned here, in 600 steps; done by the workers

    def progress() -> int:
        return Job.objects.values_list("done", flat=True).get(pk=job.pk)

    kills = 0
    dice = random.Random(20260814)
    with broker("filesystem", tmp_path) as address:
        while kills < 10:
            before, deadline = progress(), time.monotonic() + 90
            with worker(address, worker_database, tmp_path) as running:
                while progress() == before:
                    assert time.monotonic() < deadline, "the worker does nothing"
                    time.sleep(0.005)
                time.sleep(dice.random() * 0.1)
                os.killpg(running.pid, signal.SIGKILL)
                running.wait(30)
            kills += 1
            assert not Job.objects.get(pk=job.pk).finished, (
                "done before it was killed often enough: give it more deals"
            )
            assert Posting.objects.filter(kind="recredit").count() == progress()
        with worker(address, worker_database, tmp_path):
            deadline = time.monotonic() + 180
            while not Job.objects.get(pk=job.pk).finished:
                assert time.monotonic() < deadline, "the last worker does not finish"
                time.sleep(0.2)
    job.refresh_from_db()
    assert (job.state, job.done, job.total) == (JobState.DONE, 600, 600)
    assert Posting.objects.filter(kind="recredit").count() == 600
    assert net() == wanted()
    assert job.counts["credited"] == CreditEntry.objects.count()
    assert Reversal.objects.count() == 0
    assert broken() == {}
