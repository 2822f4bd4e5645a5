"""Imports of deals under attack: by managers who cheat, by people who work meanwhile, by files as they really are."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Sum
from django.test.utils import CaptureQueriesContext

from accounts.models import Role, User
from config import jobs
from config.models import Job
from config.refusals import Forbidden, Refusal
from quotas.models import (
    CreditEntry,
    Deal,
    DealLine,
    DealShare,
    DealState,
    Rep,
    SalesImport,
    SalesImportState,
    SourceRecord,
    SourceState,
    Team,
)
from quotas.services import approving, booking, importing
from quotas.services.importing import Options
from quotas.services.importing.deals import parts_of
from quotas.services.policies import in_force
from tests import make
from tests.quotas.importing.test_deals import (
    BY_POLICY,
    HEAD,
    MAP,
    admin,
    checked,
    credited,
    file_of,
    imported,
    market,
    policy,
    reasons,
    sold,
    the_ledger_holds,
    uploaded,
)
from tests.quotas.ledger import broken

__all__ = ["admin", "market", "policy", "the_ledger_holds"]

pytestmark = pytest.mark.django_db

SNAPSHOT = Options(policy="CRM imports", cancel_gone=True)
QUEUED = Options()
REFUNDING = MAP.replace('title = "Name"', 'title = "Name"\nrefunds = "Refunds"')


def deal_of(external_id: str) -> Deal:
    return Deal.objects.select_related("latest_version", "credited_version").get(
        source="crm", external_id=external_id
    )


def proposed(deal: Deal, amount: int, *, by: User, reason: str = "By hand") -> Deal:
    draft = booking.draft_of(deal, version=deal.in_force)
    (line,) = draft.lines
    changed = replace(draft, lines=(replace(line, amount_minor=amount),))
    return booking.amend_deal(deal_id=deal.pk, draft=changed, by=by, at=make.AT, reason=reason)


def test_a_manager_neither_takes_nor_loses_nor_learns_of_another_teams_deals(
    market: make.World, admin: User
) -> None:
    stranger = make.rep(team=make.team())
    rows = [sold(market, n, Owner=stranger.name) for n in range(1, 5)]
    imported(file_of(rows[:3]), by=admin)
    imported(file_of(rows[3:]), by=admin, options=QUEUED)
    before = list(SourceRecord.objects.order_by("pk").values())
    manager = make.login(market.mia)
    mine = [
        sold(market, 1, Amount="1.00"),  # an approved deal as one of his team's
        sold(market, 4),  # one that waits
        sold(market, 2, Stage="Lost"),
        sold(market, 3, Changed="9999-12-31T00:00:00Z", Stage="New"),
        sold(market, 50),
    ]
    run = imported(file_of(mine), by=manager, options=Options(cancel_gone=True))
    assert run.counts == {"new": 1, "refused": 4}
    assert set(reasons(run).values()) == {"not_your_deal"}
    assert "D-" not in str(list(run.report.values_list("message", flat=True))) + str(run.preview["examples"])
    assert {d.owner_id for d in Deal.objects.filter(source="crm").exclude(external_id="006-50")} == {
        stranger.pk
    }
    assert not Deal.objects.filter(state=DealState.CANCELLED).exists()
    assert list(SourceRecord.objects.exclude(external_id="006-50").order_by("pk").values()) == before

    # A snapshot of a manager's is one of his teams' deals; nobody else's are gone with it, nor counted.
    run = imported(file_of([sold(market, 51)]), by=manager, options=Options(cancel_gone=True))
    assert run.reasons == {"gone_from_source": 1}
    assert list(Deal.objects.filter(state=DealState.CANCELLED).values_list("external_id", flat=True)) == [
        "006-50"
    ]
    # What refunds another team's deal is told nothing of it.
    run = checked(
        file_of([sold(market, 60, Amount="-5000.00") | {"Refunds": "006-2"}], (*HEAD, "Refunds")),
        by=manager,
        options=QUEUED,
        text=REFUNDING,
    )
    assert reasons(run) == {"006-60": "refund_needs_its_original"}


def test_an_import_acts_for_whoever_starts_it(market: make.World, admin: User) -> None:
    seller = make.user(role=Role.COMP_ADMIN)
    market.ana.user = seller
    market.ana.save()
    run = uploaded(file_of([sold(market, 1)]), by=admin)
    steps: list[Callable[[], Job]] = [
        lambda: importing.check(run_id=run.pk, options=BY_POLICY, by=seller, at=make.AT),
        lambda: importing.carry_out(run_id=run.pk, by=seller, at=make.AT),
    ]
    for start in steps:
        assert jobs.work_off(job_id=start().pk, now=lambda: make.AT).state == "done"
    deal = deal_of("006-1")
    assert (deal.state, deal.created_by, deal.submitted_by) == (DealState.SUBMITTED, seller, seller)


def test_rights_and_policies_that_went_since_the_check_import_nothing(
    market: make.World, admin: User
) -> None:
    run = checked(file_of([sold(market, 1)]), by=admin)
    standing = in_force("CRM imports")
    assert standing is not None
    standing.ended_at = make.AT
    standing.save()
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    assert jobs.work_off(job_id=job.pk, now=lambda: make.AT).state == "done"
    run.refresh_from_db()
    assert run.state == SalesImportState.REFUSED
    assert "CRM imports" in run.problem
    assert not Deal.objects.filter(source="crm").exists()


def test_nobody_else_changes_a_saved_map(market: make.World, admin: User) -> None:
    manager = make.login(market.mia)
    importing.save_map(name="CRM", kind="deals", text=MAP, by=admin, at=make.AT)
    with pytest.raises(Forbidden):
        importing.save_map(name="CRM", kind="deals", text=MAP.replace('"Open"', '"Opened"'), by=manager, at=make.AT)  # fmt: skip
    with pytest.raises(Forbidden):
        importing.remove_map(name="CRM", by=manager, at=make.AT)
    importing.save_map(name="Mine", kind="deals", text=MAP, by=manager, at=make.AT)
    importing.remove_map(name="Mine", by=manager, at=make.AT)


def test_cells_beyond_all_bounds_are_refused_by_row(market: make.World, admin: User) -> None:
    text = MAP.replace('title = "Name"', 'title = "Name"\nquantity = "Quantity"')
    rows = [
        sold(market, 1),
        sold(market, 2, Id="x" * 200),
        sold(market, 3, Name="y" * 5_000),
        sold(market, 4, Amount="9" * 39),
        sold(market, 5, Quantity="9" * 39),
        sold(market, 6, Quantity="1.23456789"),
        sold(market, 9, Close="0001-01-01"),
        sold(market, 11, Id=""),
    ]
    run = checked(file_of(rows, (*HEAD, "Quantity")), by=admin, text=text)
    assert run.counts == {"new": 3, "refused": 5}
    imported(file_of(rows, (*HEAD, "Quantity")), by=admin, text=text)
    lines = "\n".join(json.dumps(row | {"Changed": "", "Quantity": ""}) for row in [
        sold(market, 1), sold(market, 7, Owner="\x00"), sold(market, 8, Id="a\x00b"), sold(market, 9, Account="\x00", Product="\x00")
    ])  # fmt: skip
    run = checked(lines.encode(), by=admin, text=text, name="deals.jsonl")
    assert run.counts == {"new": 1, "refused": 2, "unchanged": 1}  # a NUL is no character of any text
    snapshot = checked(file_of([sold(market, 1), sold(market, 2, Id="", Amount="?")]), by=admin, options=SNAPSHOT)  # fmt: skip
    assert snapshot.state == SalesImportState.REFUSED
    assert "no id" in snapshot.problem


def test_refunds_of_one_original_in_one_slice_and_in_several(
    market: make.World, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = (*HEAD, "Refunds")

    def refund(number: int, amount: str) -> dict[str, Any]:
        return sold(market, number, Amount=amount, Close="2026-08-11") | {"Refunds": "006-1"}

    together = [sold(market, 1), refund(2, "-100.00")]
    run = imported(file_of(together, head), by=admin, text=REFUNDING)
    assert reasons(run) == {"006-2": "refund_needs_its_original"}
    rows = [sold(market, 1), refund(2, "-400.00"), refund(3, "-500.00"), refund(4, "-200.00"), refund(5, "-100.00")]  # fmt: skip
    for size in (4_000, 1):
        monkeypatch.setattr("quotas.services.importing.deals.SLICE", size)
        run = checked(file_of(rows, head), by=admin, text=REFUNDING)
        assert reasons(run) == {"006-4": "more_than_is_left"}
    run = imported(file_of(rows, head), by=admin, text=REFUNDING)
    assert reasons(run) == {"006-4": "more_than_is_left"}
    assert [credited(f"006-{n}") for n in (1, 2, 3, 5)] == [100_000, -40_000, -50_000, -10_000]
    # Lost together with its refunds, the original goes after them.
    lost = [row | {"Stage": "Lost"} for row in rows]
    assert imported(file_of(lost, head), by=admin, text=REFUNDING).counts == {"cancelled": 4, "left_out": 1}
    assert {credited(f"006-{n}") for n in (1, 2, 3, 5)} == {0}


def test_what_the_source_proposed_it_takes_back_and_what_people_changed_waits(
    market: make.World, admin: User
) -> None:
    first = file_of([sold(market, 1), sold(market, 2)])
    changed = file_of([sold(market, 1, Amount="1500.00"), sold(market, 2)])
    imported(first, by=admin)
    imported(changed, by=admin, options=QUEUED)
    assert deal_of("006-1").amended_at is not None
    assert imported(changed, by=admin, options=QUEUED).counts == {"unchanged": 2}
    assert imported(first, by=admin, options=QUEUED).counts == {"changed": 1, "unchanged": 1}
    assert deal_of("006-1").amended_at is None
    assert credited("006-1") == 100_000
    assert imported(first, by=admin).counts == {"unchanged": 2}

    imported(changed, by=admin, options=QUEUED)
    assert imported(changed, by=admin).counts == {
        "changed": 1,
        "unchanged": 1,
    }  # it waited; now by the policy
    assert credited("006-1") == 150_000

    # A person's amendment stands against the same row, and waits for a person against another.
    by_hand = proposed(deal_of("006-2"), 70_000, by=admin)
    assert imported(changed, by=admin).counts == {"unchanged": 2}
    approving.approve_deal(deal_id=by_hand.pk, by=make.login(market.mia), at=make.AT)
    assert imported(changed, by=admin).counts == {"unchanged": 2}
    assert credited("006-2") == 70_000
    newer = file_of([sold(market, 2, Amount="90.00")])
    run = imported(newer, by=admin)
    assert run.counts == {"changed": 1}
    assert imported(newer, by=admin).counts == {"unchanged": 1}
    assert credited("006-2") == 70_000
    assert deal_of("006-2").amended_at is not None
    assert run.preview["waits"] == [{"why": "It was changed by hand since it came in.", "deals": 1}]


def test_an_amendment_between_the_reading_and_the_approval_is_not_let_through(
    market: make.World, admin: User
) -> None:
    imported(file_of([sold(market, 1)]), by=admin)
    run = checked(file_of([sold(market, 1, Amount="1100.00")]), by=admin)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    assert jobs.step_once(job_id=job.pk, at=make.AT)
    proposed(deal_of("006-1"), 99_000_00, by=make.login(market.ana))
    assert jobs.work_off(job_id=job.pk, now=lambda: make.AT).state == "done"
    assert deal_of("006-1").amended_at is not None
    assert credited("006-1") == 100_000


def test_a_reopened_deal_says_so_and_a_gone_one_that_returns_too(market: make.World, admin: User) -> None:
    rows = [sold(market, 1), sold(market, 2)]
    imported(file_of(rows), by=admin)
    run = imported(file_of([sold(market, 1, Stage="Open"), sold(market, 2)]), by=admin)
    assert reasons(run) == {"006-1": "open_again"}
    assert imported(file_of(rows), by=admin).counts == {"unchanged": 2}
    imported(file_of(rows[:1]), by=admin, options=SNAPSHOT)
    assert deal_of("006-2").state == DealState.CANCELLED
    assert reasons(imported(file_of(rows), by=admin)) == {"006-2": "ended_here"}


def test_an_import_stopped_before_it_cancelled_is_made_good_by_the_next(
    market: make.World, admin: User
) -> None:
    imported(file_of([sold(market, 1), sold(market, 2)]), by=admin)
    run = checked(file_of([sold(market, 1)]), by=admin, options=SNAPSHOT)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    assert jobs.step_once(job_id=job.pk, at=make.AT)
    jobs.cancel(job_id=job.pk, at=make.AT)
    assert jobs.work_off(job_id=job.pk, now=lambda: make.AT).state == "cancelled"
    assert SourceRecord.objects.get(external_id="006-2").state == SourceState.GONE
    assert deal_of("006-2").state == DealState.APPROVED
    # The same run again without cancelling what is gone does not do it after all; another snapshot does.
    importing.check(run_id=run.pk, options=BY_POLICY, by=admin, at=make.AT)
    run.refresh_from_db()
    assert run.job is not None
    jobs.work_off(job_id=run.job.pk, now=lambda: make.AT)
    again = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    assert jobs.work_off(job_id=again.pk, now=lambda: make.AT).state == "done"
    assert deal_of("006-2").state == DealState.APPROVED
    assert imported(file_of([sold(market, 1)]), by=admin, options=SNAPSHOT).reasons == {"gone_from_source": 1}
    assert deal_of("006-2").state == DealState.CANCELLED


def test_a_cancellation_that_was_refused_is_reported(market: make.World, admin: User) -> None:
    head = (*HEAD, "Refunds")
    imported(file_of([sold(market, 1)], head), by=admin, text=REFUNDING)
    back = sold(market, 2, Amount="-5.00") | {"Refunds": "006-1"}
    imported(file_of([back], head), by=admin, text=REFUNDING)
    run = checked(file_of([sold(market, 1, Stage="Lost")]), by=admin)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    run.refresh_from_db()
    assert {k: n for k, n in run.counts.items() if n} == {"refused": 1}
    assert reasons(run) == {"006-1": "deal_has_refunds"}


def test_ids_repeated_across_slices_and_all_or_nothing_leave_nothing_behind(
    market: make.World, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quotas.services.importing.deals.SLICE", 2)
    rows = [sold(market, n) for n in (1, 2, 3, 2, 4, 1)]
    run = checked(file_of(rows), by=admin)
    assert run.counts == {"new": 4, "refused": 2}
    options = Options(policy="CRM imports", all_or_nothing=True, create_missing=True)
    before = Rep.objects.count(), Team.objects.count()
    run = checked(file_of([sold(market, 7, Owner="Somebody New"), *rows]), by=admin, options=options)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    assert (Rep.objects.count(), Team.objects.count()) == before
    assert not Deal.objects.filter(source="crm").exists()


def test_thirds_add_up_and_what_is_wrong_does_not() -> None:
    assert sum(parts_of([Decimal("33.3333")] * 3)) == 1_000_000
    assert parts_of([Decimal("33.33"), Decimal("33.33"), Decimal("33.34")]) == [333_300, 333_300, 333_400]
    assert sum(parts_of([Decimal("33.33")] * 3)) == 1_000_000
    assert sum(parts_of([Decimal(70), Decimal(20)])) == 900_000
    assert sum(parts_of([Decimal("66.5"), Decimal("33.0")])) == 995_000
    assert parts_of([]) == []


def _checked_and_run(content: bytes, by: User, options: Options) -> SalesImport:
    run = checked(content, by=by, options=options)
    if run.state == SalesImportState.CHECKED:
        job = importing.carry_out(run_id=run.pk, by=by, at=make.AT)
        job = jobs.work_off(job_id=job.pk, now=lambda: make.AT)
        assert job.state == "done", job.error
        run.refresh_from_db()
    assert sum(run.counts.values()) == run.rows
    return run


@pytest.mark.parametrize("seed", [20])
def test_any_history_of_a_source_keeps_the_ledger_and_the_deals_right(
    seed: int, market: make.World, admin: User
) -> None:
    """Dozens of deals come, change, are lost, go and return, while people amend, approve and cancel in between."""
    chance = random.Random(seed)
    manager = make.login(market.mia)
    rows: dict[str, dict[str, Any]] = {}
    touched: set[str] = set()
    number = 0
    for round_ in range(4):
        for _ in range(20):
            number += 1
            rows[f"006-{number}"] = sold(
                market,
                number,
                Stage=chance.choice(["Won", "Won", "Won", "Open", "New"]),
                Amount=f"{chance.randint(1, 2_000_000)}.{chance.randint(0, 99):02}",
                Close=f"2026-08-{chance.randint(1, 12):02}",
                Owner=chance.choice([market.ana.name, market.ana.name, "Nobody"]),
            )
        for external_id in chance.sample(sorted(rows), min(len(rows), 27)):
            row = rows[external_id]
            match chance.randint(0, 4):
                case 0:
                    row["Amount"] = f"{chance.randint(1, 5000)}.50"
                case 1:
                    row["Stage"] = chance.choice(["Won", "Lost", "Open"])
                case 2:
                    row["Close"] = f"2026-07-{chance.randint(1, 28):02}"
                case 3 if round_:
                    del rows[external_id]
                case _:
                    row["Owner"] = market.ana.name
        options = Options(
            policy=chance.choice(["CRM imports", "CRM imports", ""]), cancel_gone=round_ % 2 == 1
        )
        content = file_of(rows.values())
        if round_ == 2:
            strict = Options(policy="CRM imports", all_or_nothing=True)
            kept = list(SourceRecord.objects.order_by("pk").values())
            _checked_and_run(content, admin, strict)
            assert list(SourceRecord.objects.order_by("pk").values()) == kept
        _checked_and_run(content, admin, options)
        again = _checked_and_run(content, admin, Options(policy=options.policy))
        assert not {key for key in ("new", "changed", "cancelled") if again.counts.get(key)}
        assert broken() == {}
        standing = dict(
            SourceRecord.objects.filter(
                state=SourceState.WON, code="", deal__state=DealState.APPROVED, deal__amended_at=None
            )
            .exclude(external_id__in=touched)
            .values_list("deal_id", "amount_minor")
        )
        assert standing
        sold_for = DealLine.objects.filter(
            version__deal__in=standing, version=F("version__deal__latest_version")
        )
        assert (
            dict(sold_for.order_by().values_list("version__deal").annotate(Sum("amount_minor"))) == standing
        )
        entries = CreditEntry.objects.filter(deal__in=standing).order_by()
        assert dict(entries.values_list("deal").annotate(Sum("amount_minor"))) == standing
        booked = list(Deal.objects.filter(source="crm").order_by("pk"))
        for deal in chance.sample(booked, min(len(booked), 10)):
            try:
                match chance.randint(0, 2):
                    case 0:
                        approving.cancel_deal(deal_id=deal.pk, by=admin, at=make.AT, reason="A mistake")
                    case 1:
                        approving.approve_deal(deal_id=deal.pk, by=manager, at=make.AT)
                    case _:
                        proposed(deal_of(deal.external_id), chance.randint(1, 9_000_00), by=admin)
                        touched.add(deal.external_id)
            except Refusal:
                continue
            finally:
                if deal.state != DealState.APPROVED:
                    touched.discard(deal.external_id)
    assert not DealShare.objects.exclude(rep=market.ana).filter(version__deal__source="crm").exists()


def test_a_job_that_failed_for_good_can_be_started_again(
    market: make.World, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = checked(file_of([sold(market, 1)]), by=admin)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    with monkeypatch.context() as broken_disk:
        broken_disk.setattr("quotas.services.importing.records.bulk.copy", lambda *_: 1 / 0)
        for _ in range(jobs.LAST_ATTEMPT):
            jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    job.refresh_from_db()
    assert (job.state, Deal.objects.filter(source="crm").exists()) == ("failed", False)
    for start in (importing.check, importing.carry_out):
        options = {"options": BY_POLICY} if start is importing.check else {}
        again: Job = start(run_id=run.pk, by=admin, at=make.AT, **options)
        assert jobs.work_off(job_id=again.pk, now=lambda: make.AT).state == "done"
    assert credited("006-1") == 100_000
    with pytest.raises(Refusal, match="imported already"):
        importing.carry_out(run_id=run.pk, by=admin, at=make.AT)


def test_a_slice_takes_as_many_statements_whatever_it_holds(market: make.World, admin: User) -> None:
    def statements(rows: list[dict[str, Any]]) -> int:
        run = checked(file_of(rows), by=admin)
        job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
        with CaptureQueriesContext(connection) as queries:
            jobs.step_once(job_id=job.pk, at=make.AT)
        assert jobs.work_off(job_id=job.pk, now=lambda: make.AT).state == "done"
        return len(queries)

    few, many = range(1, 4), range(100, 112)
    assert statements([sold(market, n) for n in few]) == statements([sold(market, n) for n in many])
    assert statements([sold(market, n, Amount="5.00") for n in few]) == statements(
        [sold(market, n, Amount="5.00") for n in many]
    )
