"""Deals from a file, through the same steps as in the page: uploaded, checked, carried out by a worker, approved under a policy."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from accounts.models import Notification, Role, User
from config import jobs
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from marketplace.models import EligibilityDecision
from quotas.models import (
    CreditEntry,
    Deal,
    DealState,
    ImportRow,
    Reason,
    SalesImport,
    SalesImportState,
    SourceRecord,
    SourceState,
    SourceTodo,
    StraightThroughPolicy,
)
from quotas.services import importing
from quotas.services.approving import approve_deal, cancel_deal
from quotas.services.delegating import set_limit
from quotas.services.importing import Options
from quotas.services.importing.records import do_some
from quotas.tasks import tell_of_an_import
from tests import make
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

HEAD = ("Id", "Name", "Stage", "Close", "Amount", "Owner", "Account", "Product", "Changed")
MAP = """
kind = "deals"
source = "crm"
[columns]
external_id = "Id"
title = "Name"
stage = "Stage"
close_date = "Close"
amount = "Amount"
owner = "Owner"
account = "Account"
offering = "Product"
changed_on = "Changed"
[constants]
currency = "USD"
[values.stage]
"Won" = "approved"
"Open" = "draft"
"Lost" = "cancelled"
"*" = "skip"
"""
BY_POLICY = Options(policy="CRM imports")


@pytest.fixture
def market() -> make.World:
    return make.world()


@pytest.fixture
def admin() -> User:
    return make.user(role=Role.COMP_ADMIN)


@pytest.fixture(autouse=True)
def policy(admin: User) -> StraightThroughPolicy:
    return StraightThroughPolicy.objects.create(
        name="CRM imports",
        version=1,
        sources=["crm"],
        currency=make.currency(),
        most_minor=1_000_000_00,
        drafted_by=make.user(role=Role.COMP_ADMIN),
        drafted_at=make.AT,
        published_by=admin,
        published_at=make.AT,
    )


@pytest.fixture(autouse=True)
def the_ledger_holds(db: None) -> Iterator[None]:
    """After each test, whatever was imported."""
    yield
    if Deal.objects.exists():
        assert broken() == {}


def file_of(rows: Iterable[Mapping[str, Any] | Sequence[str]], head: Sequence[str] = HEAD) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(head)
    for row in rows:
        writer.writerow([row.get(name, "") for name in head] if isinstance(row, Mapping) else row)
    return out.getvalue().encode()


def sold(market: make.World, number: int, **changed: Any) -> dict[str, Any]:
    return {
        "Id": f"006-{number}",
        "Name": f"Opportunity {number}",
        "Stage": "Won",
        "Close": "2026-08-10",
        "Amount": "1000.00",
        "Owner": market.ana.name,
        "Account": market.customer.name,
        "Product": market.third.name,
    } | changed


def uploaded(content: bytes, *, by: User, text: str = MAP, name: str = "export.csv") -> SalesImport:
    run = importing.upload(kind="deals", file_name=name, pieces=[content], by=by, at=make.AT)
    return importing.set_map(run_id=run.pk, text=text, by=by, at=make.AT)


def checked(
    content: bytes, *, by: User, options: Options = BY_POLICY, text: str = MAP, name: str = "export.csv"
) -> SalesImport:
    run = uploaded(content, by=by, text=text, name=name)
    job = importing.check(run_id=run.pk, options=options, by=by, at=make.AT)
    job = jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    assert job.state == "done", job.error
    run.refresh_from_db()
    assert sum(run.counts.values()) == run.rows
    return run


def imported(content: bytes, *, by: User, options: Options = BY_POLICY, text: str = MAP) -> SalesImport:
    run = checked(content, by=by, options=options, text=text)
    expected = dict(run.counts)
    job = importing.carry_out(run_id=run.pk, by=by, at=make.AT)
    job = jobs.work_off(job_id=job.pk, now=lambda: make.AT)
    assert job.state == "done", job.error
    run.refresh_from_db()
    assert run.counts == expected  # the check is the import, rolled back
    return run


def credited(external_id: str) -> int:
    deal = Deal.objects.get(source="crm", external_id=external_id)
    return CreditEntry.objects.filter(deal=deal).aggregate(x=Sum("amount_minor"))["x"] or 0


def reasons(run: SalesImport) -> dict[str, str]:
    return {row.external_id: row.code for row in ImportRow.objects.filter(run=run)}


def test_a_check_writes_nothing_and_the_import_credits_once(market: make.World, admin: User) -> None:
    content = file_of(
        [sold(market, n, Amount=f"{n}00.00") for n in range(1, 13)] + [sold(market, 99, Stage="New")]
    )
    run = checked(content, by=admin)
    assert run.state == SalesImportState.CHECKED
    assert run.counts == {"new": 12, "left_out": 1}
    assert len(run.preview["examples"]) == 10
    assert run.preview["credit"] == [
        {"measure": market.bookings.name, "amount": 780_000, "currency": "USD", "deals": 12}
    ]
    assert not Deal.objects.filter(source="crm").exists()

    run = imported(content, by=admin)
    assert run.state == SalesImportState.DONE
    deals = list(Deal.objects.filter(source="crm").select_related("approved_under"))
    assert {d.state for d in deals} == {DealState.APPROVED}
    assert {str(d.approved_under) for d in deals} == {"CRM imports v1"}
    assert all(d.decided_by is None and d.submitted_by == admin for d in deals)
    assert credited("006-3") == 300_00

    before = list(CreditEntry.objects.order_by("pk").values_list("pk", flat=True))
    again = imported(content, by=admin)
    assert again.counts == {"unchanged": 12, "left_out": 1}
    assert list(CreditEntry.objects.order_by("pk").values_list("pk", flat=True)) == before


def test_a_check_says_which_deals_would_earn_nothing_and_why(market: make.World, admin: User) -> None:
    EligibilityDecision.objects.all().delete()
    run = checked(file_of([sold(market, 1), sold(market, 2)]), by=admin)
    assert run.preview["credit"] == []
    assert run.preview["nothing"] == [{"why": Reason.NOT_ELIGIBLE.label, "deals": 2}]


def test_a_changed_row_amends_the_deal_and_its_credit(market: make.World, admin: User) -> None:
    other = make.rep(team=market.team)
    imported(file_of([sold(market, 1), sold(market, 2)]), by=admin)
    run = imported(file_of([sold(market, 1, Amount="1500.00"), sold(market, 2, Owner=other.name)]), by=admin)
    assert run.counts == {"changed": 2}
    assert credited("006-1") == 150_000
    moved = Deal.objects.get(external_id="006-2")
    assert moved.amended_at is not None  # credit that goes from one person to another waits for the approver
    approve_deal(deal_id=moved.pk, by=make.login(market.mia), at=make.AT)
    assert moved.versions.count() == 2
    nets = CreditEntry.objects.filter(deal=moved).values("rep").annotate(x=Sum("amount_minor"))
    assert {row["rep"]: row["x"] for row in nets} == {market.ana.pk: 0, other.pk: 100_000}


def test_what_waits_for_a_person_and_what_the_policy_lets_through(market: make.World, admin: User) -> None:
    rows = [
        sold(market, 1),
        sold(market, 2, Amount="2000000.00"),
        sold(market, 3, Stage="Open", Close="2026-09-20"),
    ]
    run = imported(file_of(rows), by=admin)
    states = dict(Deal.objects.filter(source="crm").values_list("external_id", "state"))
    assert states == {"006-1": "approved", "006-2": "submitted", "006-3": "draft"}
    assert [row["deals"] for row in run.preview["waits"]] == [1]

    imported(file_of([sold(market, 3, Stage="Won")]), by=admin)  # the draft is won
    assert Deal.objects.get(external_id="006-3").state == DealState.APPROVED
    assert credited("006-3") == 100_000


def test_no_policy_passes_a_deal_above_the_approval_limit(market: make.World, admin: User) -> None:
    set_limit(amount_minor=999_99, currency="USD", starts=make.TODAY, reason="Two", by=admin, at=make.AT)
    run = imported(file_of([sold(market, 1), sold(market, 2, Amount="999.99")]), by=admin)
    states = dict(Deal.objects.filter(source="crm").values_list("external_id", "state"))
    assert states == {"006-1": "submitted", "006-2": "approved"}
    assert run.preview["waits"] == [
        {"why": "It is above the approval limit of $999.99: two people approve it.", "deals": 1}
    ]
    large = Deal.objects.get(external_id="006-1")
    SourceRecord.objects.filter(deal=large).update(
        todo=SourceTodo.APPROVE
    )  # the limit came after the reading
    do_some(run, by=admin, at=make.AT)
    large.refresh_from_db()
    assert large.state == DealState.SUBMITTED


def test_without_a_policy_everything_queues_and_comes_through_with_one_later(
    market: make.World, admin: User
) -> None:
    content = file_of([sold(market, 1)])
    run = imported(content, by=admin, options=Options())
    assert Deal.objects.get(external_id="006-1").state == DealState.SUBMITTED
    tell_of_an_import({"run_id": run.pk}, make.AT)
    told: dict[str | None, str] = dict(Notification.objects.values_list("user__rep__name", "text"))
    assert told["Mia"] == "A deal of an import waits for your approval."
    assert told[None].startswith("export.csv was imported: 1 of its 1 rows")
    assert imported(content, by=admin).counts == {"changed": 1}
    assert credited("006-1") == 100_000


def test_lost_and_gone_deals_are_cancelled_on_request(market: make.World, admin: User) -> None:
    imported(file_of([sold(market, n) for n in range(1, 6)]), by=admin)
    left = [sold(market, n) for n in (1, 2, 3)]
    run = imported(file_of([*left, sold(market, 4, Stage="Lost")]), by=admin)
    assert run.counts == {"unchanged": 3, "cancelled": 1}
    assert Deal.objects.get(external_id="006-4").state == DealState.CANCELLED
    assert credited("006-4") == 0
    assert Deal.objects.get(external_id="006-5").state == DealState.APPROVED

    run = imported(file_of(left), by=admin, options=Options(policy="CRM imports", cancel_gone=True))
    assert run.counts == {"unchanged": 3}
    assert run.reasons == {"gone_from_source": 1}
    assert Deal.objects.get(external_id="006-5").state == DealState.CANCELLED
    assert SourceRecord.objects.get(external_id="006-5").state == SourceState.GONE
    again = imported(file_of(left), by=admin, options=Options(policy="CRM imports", cancel_gone=True))
    assert again.reasons == {}


def test_a_part_of_the_source_is_no_full_snapshot(market: make.World, admin: User) -> None:
    imported(file_of([sold(market, n) for n in range(40)]), by=admin)
    run = checked(file_of([sold(market, 1)]), by=admin, options=Options(cancel_gone=True))
    assert run.state == SalesImportState.REFUSED
    assert "39 of the 40 deals" in run.problem
    with pytest.raises(Conflict):
        importing.carry_out(run_id=run.pk, by=admin, at=make.AT)


def test_each_refused_row_says_why_and_the_others_come_in(market: make.World, admin: User) -> None:
    closed = make.fiscal_year(year=2026, states=dict.fromkeys(range(1, 13), "closed"))
    assert closed.months
    rows = [
        sold(market, 1),
        sold(market, 2, Owner="Nobody"),
        sold(market, 3, Account="No such account"),
        sold(market, 4, Product="No such product"),
        sold(market, 5, Amount="-5.00"),
        sold(market, 6, Close="2025-09-01"),
        sold(market, 7, Close="2031-01-01"),
        sold(market, 8, Close="00:00.0"),
        sold(market, 1, Name="Again"),
        sold(market, 9, Close="2026-12-24"),
        sold(market, 10, Amount="a lot"),
        sold(market, 11, Stage="Lost", Amount="", Close=""),
    ]
    run = imported(file_of(rows), by=admin)
    assert run.counts == {"new": 1, "refused": 10, "left_out": 1}
    found = reasons(run)
    assert found["006-2"] == "unknown_rep"
    assert found["006-3"] == "unknown_account"
    assert found["006-4"] == "unknown_offering"
    assert found["006-5"] == "negative_amount"
    assert found["006-6"] == "period_closed"
    assert found["006-7"] == "no_period"
    assert found["006-8"] == "date_destroyed"
    assert found["006-1"] == "id_twice"
    assert found["006-9"] == "close_date_in_future"
    refused = ImportRow.objects.get(run=run, external_id="006-3")
    assert (refused.line, refused.column) == (4, "Account")
    assert refused.cells[6] == "No such account"
    record = SourceRecord.objects.get(external_id="006-3")
    assert (record.code, record.amount_minor, record.state) == ("unknown_account", 100_000, "won")
    make.customer(name="No such account")
    assert imported(file_of(rows), by=admin).counts["new"] == 1  # what was mended comes in by the same file


def test_all_or_nothing(market: make.World, admin: User) -> None:
    content = file_of([sold(market, 1), sold(market, 2, Owner="Nobody")])
    options = Options(policy="CRM imports", all_or_nothing=True)
    run = checked(content, by=admin, options=options)
    importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    assert run.job is not None
    run.refresh_from_db()
    assert run.job is not None
    jobs.work_off(job_id=run.job.pk, now=lambda: make.AT)
    run.refresh_from_db()
    assert (run.state, run.counts) == (SalesImportState.REFUSED, {"new": 1, "refused": 1})
    assert not Deal.objects.filter(source="crm").exists()
    assert not SourceRecord.objects.exists()
    assert reasons(run) == {"006-2": "unknown_rep"}


def test_an_older_state_of_a_deal_is_left_out(market: make.World, admin: User) -> None:
    imported(file_of([sold(market, 1, Amount="900.00", Changed="2026-08-12T10:00:00Z")]), by=admin)
    run = imported(file_of([sold(market, 1, Amount="700.00", Changed="2026-08-11T10:00:00Z")]), by=admin)
    assert run.counts == {"left_out": 1}
    assert reasons(run) == {"006-1": "older_than_known"}
    assert credited("006-1") == 90_000


def test_a_deal_cancelled_here_is_not_brought_back_and_says_so(market: make.World, admin: User) -> None:
    imported(file_of([sold(market, 1)]), by=admin)
    deal = Deal.objects.get(external_id="006-1")
    cancel_deal(deal_id=deal.pk, by=admin, at=make.AT, reason="Booked twice")
    assert imported(file_of([sold(market, 1)]), by=admin).counts == {"unchanged": 1}
    run = imported(file_of([sold(market, 1, Amount="5.00")]), by=admin)
    assert reasons(run) == {"006-1": "ended_here"}


def test_rows_of_one_deal_are_its_lines_and_splits_its_shares(market: make.World, admin: User) -> None:
    other, more = make.rep(team=market.team), make.offering(publisher=market.third.publisher)
    text = (
        MAP
        + '[[splits]]\nrep = "Split 1"\npercent = "Part 1"\n[[splits]]\nrep = "Split 2"\npercent = "Part 2"\n'
    )
    text += "[rows]\nseveral_lines = true\n"
    head = (*HEAD, "Split 1", "Part 1", "Split 2", "Part 2")
    split = {"Split 1": market.ana.name, "Part 1": "70", "Split 2": other.name, "Part 2": "30"}
    rows = [
        sold(market, 1) | split,
        sold(market, 1, Product=more.name, Amount="500.00") | split,
        sold(market, 2),
        sold(market, 3) | split | {"Part 2": "20"},
    ]
    run = imported(file_of(rows, head), by=admin, text=text, options=Options())
    assert run.counts == {"new": 3, "refused": 1}
    assert reasons(run) == {"006-3": "shares_do_not_add_up"}
    deal = Deal.objects.get(external_id="006-1")
    assert deal.latest_version is not None
    assert list(deal.latest_version.lines.order_by("line_no").values_list("offering", "amount_minor")) == [
        (market.third.pk, 100_000),
        (more.pk, 50_000),
    ]
    assert list(deal.latest_version.shares.order_by("ordinal").values_list("rep", "ppm")) == [
        (market.ana.pk, 700_000),
        (other.pk, 300_000),
    ]


def test_who_may_import(market: make.World, admin: User) -> None:
    manager, rep = make.login(market.mia), make.login(market.ana)
    stranger = make.rep(team=make.team())
    with pytest.raises(Forbidden):
        uploaded(file_of([sold(market, 1)]), by=rep)
    run = checked(
        file_of([sold(market, 1), sold(market, 2, Owner=stranger.name)]), by=manager, options=Options()
    )
    assert run.counts == {"new": 1, "refused": 1}
    with pytest.raises(Invalid, match="comp admin"):
        importing.check(run_id=run.pk, options=BY_POLICY, by=manager, at=make.AT)
    with pytest.raises(NotFound):
        importing.carry_out(run_id=run.pk, by=rep, at=make.AT)
    with pytest.raises(NotFound):
        importing.carry_out(run_id=run.pk, by=make.login(market.zed), at=make.AT)


def test_an_importer_with_a_share_does_not_let_it_through_himself(market: make.World) -> None:
    seller = make.user(role=Role.COMP_ADMIN)
    market.ana.user = seller
    market.ana.save()
    imported(file_of([sold(market, 1)]), by=seller)
    assert Deal.objects.get(external_id="006-1").state == DealState.SUBMITTED


def test_a_worker_that_dies_in_between_leaves_no_half(market: make.World, admin: User, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    content = file_of([sold(market, n) for n in range(7)])
    run = checked(content, by=admin)
    job = importing.carry_out(run_id=run.pk, by=admin, at=make.AT)
    monkeypatch.setattr("quotas.services.importing.records.APPROVED_AT_ONCE", 3)
    assert jobs.step_once(job_id=job.pk, at=make.AT)
    assert Deal.objects.filter(source="crm", state="submitted").count() == 7
    assert jobs.step_once(job_id=job.pk, at=make.AT)
    assert Deal.objects.filter(source="crm", state="approved").count() == 3
    later = make.AT + timedelta(minutes=5)
    assert jobs.work_off(job_id=job.pk, now=lambda: later).state == "done"
    assert Deal.objects.filter(source="crm", state="approved").count() == 7
    assert broken() == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"Id;Name\r\n", "no row"),
        (bytes(range(256)) * 40, ""),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 200, "picture"),
        (",".join(f"c{n}" for n in range(500)).encode() + b"\n" + b"1," * 499 + b"1\n", "columns"),
    ],
)
def test_what_is_no_table_is_told_in_one_message_and_kept_nowhere(
    content: bytes, said: str, admin: User
) -> None:
    with pytest.raises(Invalid) as refused:
        uploaded(content, by=admin)
    (problem,) = refused.value.problems
    assert said in problem.message
    assert not SalesImport.objects.exists()


def test_amounts_are_rounded_to_the_currencys_unit_half_away_from_zero(
    market: make.World, admin: User
) -> None:
    imported(file_of([sold(market, 1, Amount="880.3450"), sold(market, 2, Amount="0.005")]), by=admin)
    assert [credited("006-1"), credited("006-2")] == [88_035, 1]
    assert Decimal("880.35") * 100 == 88_035
    assert date(2026, 8, 10) == Deal.objects.get(external_id="006-1").latest.close_date
