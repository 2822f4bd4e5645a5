"""Lists as files: exactly what the page shows this person, every page of it; and the night's files."""

import csv
import fcntl
import hashlib
import io
import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from accounts.models import Role, User
from config import exports as formats
from quotas import tasks
from quotas.models import CreditEntry, Deal, DealState, Rep
from quotas.selectors import exports, ledger
from quotas.services import approving, exporting
from quotas.services.exporting import DATASETS, export_night
from tests import make
from tests.make import Line, World
from tests.quotas import selling

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make.world()


def browser(who: Rep | User) -> Client:
    user = make.login(who) if isinstance(who, Rep) else who
    client = Client()
    client.force_login(user)
    return client


def table(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"), newline="")))


def approved(world: World, owner: Rep, amount: int = 1_000_00, **facts: Any) -> Deal:
    leader = world.mia if owner in (world.ana, world.bo) else world.zed
    return selling.credited(
        owner=owner, leader=leader, customer=world.customer, lines=[Line(world.house, amount)], **facts
    )


# --- the lists --------------------------------------------------------------------------------------------


def test_deals_come_as_the_page_would_list_them_page_after_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "DEALS", 2)
    first = approved(world, world.ana, title="=HYPERLINK(1)")
    shared = make.deal(
        owner=world.ana,
        customer=world.customer,
        lines=[Line(world.house, 70_00), Line(world.third, 30_00)],
        shares={world.ana: 700_000, world.bo: 300_000},
    )
    others = [make.deal(owner=world.ana, customer=world.customer) for _ in range(3)]
    make.deal(owner=world.cy, customer=world.customer)
    answer = browser(world.mia).get("/quotas/deals/?format=csv")
    assert answer["Content-Disposition"] == 'attachment; filename="deals-2026-08-14.csv"'
    assert answer["Cache-Control"] == "private, no-store"
    rows = table(answer)
    assert [row["Deal"] for row in rows] == [d.reference for d in (*others[::-1], shared, first)]
    assert rows[-1] == {
        "Deal": first.reference,
        "Customer": world.customer.name,
        "Title": "'=HYPERLINK(1)",
        "What was sold": "House model",
        "Publisher": world.house.publisher.name,
        "Kind": "New business",
        "Owner": "Ana",
        "Shares": "",
        "Closed": "2026-08-14",
        "Value": "1000.00",
        "Currency": "USD",
        "Credit, AI bookings": "1000.00",
        "Credit, AI bookings currency": "USD",
        "State": "Approved",
        "Held": "false",
        "Amendment waits": "false",
        "Source": "parity",
        "External id": "",
    }
    assert (rows[-2]["What was sold"], rows[-2]["Value"]) == ("House model; Third-party model", "100.00")
    assert rows[-2]["Shares"] == "Ana 70%; Bo 30%"
    narrowed = browser(world.mia).get("/quotas/deals/?format=csv&state=approved&q=house&cursor=rubbish")
    assert [row["Deal"] for row in table(narrowed)] == [first.reference]


def test_each_person_exports_what_that_person_sees(world: World) -> None:
    mine, other = approved(world, world.ana), approved(world, world.cy)
    partner = make.user(role=Role.PARTNER, publisher=world.house.publisher)
    stranger = make.user(role=Role.PARTNER)
    assert [row["Deal"] for row in table(browser(world.ana).get("/quotas/deals/?format=csv"))] == [
        mine.reference
    ]
    assert table(browser(stranger).get("/quotas/deals/?format=csv")) == []
    seen = browser(partner).get("/quotas/deals/?format=jsonl").getvalue().decode()
    assert [json.loads(line)["deal"] for line in seen.splitlines()] == [other.reference, mine.reference]
    make.deal(
        owner=world.cy,
        customer=world.customer,
        lines=[Line(world.house, 70_00), Line(world.third, 30_00)],
        state=DealState.SUBMITTED,
    )
    both = table(browser(partner).get("/quotas/deals/?format=csv&state=submitted"))
    assert [(row["What was sold"], row["Value"]) for row in both] == [("House model", "70.00")]
    assert set(json.loads(seen.splitlines()[0])) == {
        *("deal", "segment", "region", "offerings", "publishers", "kind", "close_date", "value", "state")
    }
    for name in (world.customer.name, "Ana", "Cy"):
        assert name not in seen
    for path in ("/quotas/ledger/", "/quotas/exports/", "/quotas/exports/deals/?format=csv"):
        for who in (world.ana, world.mia, partner):
            assert browser(who).get(path).status_code == 404
    assert Client().get("/quotas/deals/?format=csv").status_code == 302


def test_a_rep_gets_the_whole_leaderboard_with_only_the_amounts_that_are_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quotas.selectors.leaderboard.PAGE_OF_A_FILE", 1)
    approved(world, world.ana, 50_000_00)
    approved(world, world.cy, 120_000_00)
    rows = table(browser(world.ana).get("/quotas/leaderboard/?format=csv&around=me&cursor=x"))
    assert [(r["Rank"], r["Rep"], r["Attainment %"], r["Credited"], r["Status"]) for r in rows] == [
        ("1", "Cy", "120.0000", "", "Ahead"),
        ("2", "Ana", "50.0000", "50000.00", "On pace"),
        ("3", "Bo", "0.0000", "", "At risk"),
    ]
    assert [r["Credited"] for r in table(browser(world.auditor).get("/quotas/leaderboard/?format=csv"))] == [
        *("120000.00", "50000.00", "0.00")
    ]
    board = reverse("quotas:board", args=[world.team.slug])
    rows = table(browser(world.ana).get(f"{board}?format=csv&sort=name"))
    assert [(r["Rep"], r["Attainment %"], r["Credited"], r["Quota"], r["Currency"]) for r in rows] == [
        ("Ana", "50.0000", "50000.00", "100000.00", "USD"),
        ("Bo", "0.0000", "", "", ""),
    ]
    assert [r["Rep"] for r in table(browser(world.mia).get(f"{board}?format=csv&q=bo"))] == ["Bo"]
    publishers = browser(world.ana).get("/quotas/leaderboard/?format=csv&group=publisher")
    assert "Credited" not in table(publishers)[0]  # a rep sees no column of amounts there


def test_every_list_answers_in_every_format(world: World) -> None:
    approved(world, world.ana)
    make.deal(owner=world.ana, customer=world.customer, state=DealState.SUBMITTED)
    make.price(plan=make.plan(offering=world.house))
    make.territory()
    make.task_area(slug="coding")
    keeper = make.user(roles=[Role.COMP_ADMIN, Role.CATALOG_MANAGER])
    client = browser(keeper)
    pages = [
        *("/quotas/deals/", "/quotas/leaderboard/", "/quotas/usage/", "/quotas/plans/", "/quotas/periods/"),
        *("/quotas/recredits/", "/quotas/parity/", "/quotas/facts/", "/quotas/ledger/", "/quotas/approvals/"),
        reverse("quotas:board", args=[world.company.slug]),
        *(f"/quotas/exports/{each.slug}/" for each in DATASETS if not each.catalog),
        *("/catalog/", f"/catalog/{world.house.slug}/prices/", "/catalog/decisions/", "/catalog/changes/"),
        *(
            "/catalog/private-offers/",
            "/catalog/imports/",
            "/catalog/imports/discrepancies/",
            "/tasks/coding/",
        ),
    ]
    for path in pages:
        rows = table(client.get(path, {"format": "csv"}))
        if path.startswith(("/quotas/deals", "/quotas/board", "/quotas/ledger", "/catalog/")):
            lines = client.get(path, {"format": "jsonl"}).getvalue().splitlines()
            sheet = load_workbook(io.BytesIO(client.get(path, {"format": "xlsx"}).getvalue())).worksheets[0]
            assert len(rows) == len(lines) == sheet.max_row - 1, path
            assert client.get(path, {"format": "pdf"}).status_code == 404
    assert table(client.get("/quotas/facts/?format=csv")) != []
    prices = table(client.get(f"/catalog/{world.house.slug}/prices/?format=csv"))
    assert [(row["Meter"], row["Price"], row["Currency"]) for row in prices] == [
        ("input tokens", "3", "USD"),
        ("output tokens", "15", "USD"),
    ]
    assert "format=xlsx" in client.get("/quotas/deals/?q=house").content.decode()


def test_a_list_that_no_sheet_holds_sends_back_to_its_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_XLSX_ROWS", 1)
    for _ in range(2):
        make.deal(owner=world.ana, customer=world.customer)
    answer = browser(world.ana).get("/quotas/deals/?format=xlsx&q=ana", follow=True)
    assert answer.redirect_chain == [("/quotas/deals/?q=ana", 302)]
    assert "take CSV or JSON Lines, or narrow it" in answer.content.decode()


def test_writing_deals_and_entries_takes_a_fixed_number_of_queries_a_slice(world: World) -> None:
    def queries(found: Callable[[], Any]) -> int:
        with CaptureQueriesContext(connection) as counted:
            assert list(found().rows())
        return len(counted)

    def deals() -> Any:
        return exports.deals(Deal.objects.all(), entries=CreditEntry.objects.all(), publisher=None)

    def entries() -> Any:
        return exports.ledger(CreditEntry.objects.all(), until=10**9)

    approved(world, world.ana)
    before = queries(deals), queries(entries)
    for _ in range(3):
        approved(world, world.cy)
    assert (queries(deals), queries(entries)) == before


# --- the ledger -------------------------------------------------------------------------------------------


def test_a_span_of_the_ledger_is_counted_browsed_and_written(world: World) -> None:
    early = approved(world, world.ana, 500_00, close_date=date(2026, 7, 2))
    late = approved(world, world.cy, 700_00, close_date=date(2026, 8, 3))
    boss = world.mia.user
    assert boss is not None
    approving.cancel_deal(deal_id=early.pk, by=boss, at=make.AT, reason="Not taken")
    client = browser(world.auditor)
    page = client.get("/quotas/ledger/").content.decode()
    assert "$700.00" in page
    assert "1 of them reversals" in page
    entry = CreditEntry.objects.get(deal=late)
    assert reverse("quotas:credit-explanation", args=[entry.pk]) in page
    rows = table(client.get("/quotas/ledger/?format=csv"))
    assert [(r["Deal"], r["Rep"], r["Amount"], r["Currency"], r["By"]) for r in rows] == [
        (early.reference, "Ana", "-500.00", "USD", "Cancel"),
        (late.reference, "Cy", "700.00", "USD", "Approve"),
        (early.reference, "Ana", "500.00", "USD", "Approve"),
    ]
    assert (rows[0]["Reverses entry"], rows[0]["Reason"]) == (rows[2]["Entry"], "Not taken")
    july, august = world.year.month(1).name, world.year.month(2).name
    for narrowed, found in (
        (f"period={july}", [early, early]),
        (f"period={august}", [late]),
        (f"period={august}&by=origin", [late]),
        (f"period={july}&by=origin", [early, early]),
        ("period=all&rep=cy", [late]),
        (f"team={world.region.slug}", [early, late, early]),
        (f"team={world.other.slug}", [late]),
        (f"deal={late.reference.lower()}", [late]),
        ("from=2026-08-14&to=2026-08-14", [early, late, early]),
        ("from=2026-08-15", []),
        ("to=2026-08-13", []),
        ("from=rubbish", [early, late, early]),
        (f"measure={world.bookings.slug}&period=FY26", []),
    ):
        rows = table(client.get(f"/quotas/ledger/?format=csv&{narrowed}"))
        assert [row["Deal"] for row in rows] == [deal.reference for deal in found], narrowed
    for nothing in ("period=FY99", "measure=no", "team=no"):
        assert client.get(f"/quotas/ledger/?{nothing}").status_code == 404
    assert "No entry here" in client.get("/quotas/ledger/?rep=nobody").content.decode()


def test_what_is_posted_while_the_ledger_is_written_is_no_part_of_the_file(world: World) -> None:
    approved(world, world.ana)
    found = CreditEntry.objects.all()
    begun = exports.ledger(found, until=ledger.last_entry(found))
    approved(world, world.cy)
    assert len(list(begun.rows())) == 1


# --- the night --------------------------------------------------------------------------------------------


def test_a_night_is_written_once_whole_and_with_a_manifest(world: World, tmp_path: Path) -> None:
    approved(world, world.ana)
    at, tomorrow = make.AT + timedelta(days=1), make.AT + timedelta(days=2)
    made = export_night(directory=tmp_path, at=at, keep_days=2)
    assert made is not None
    assert {path.name for path in tmp_path.iterdir()} == {
        *(f"{each.slug}-2026-08-15.csv" for each in DATASETS),
        *("manifest-2026-08-15.json", ".lock"),
    }
    manifest = json.loads((tmp_path / "manifest-2026-08-15.json").read_text())
    told = {file["dataset"]: file for file in manifest["files"]}
    for file in manifest["files"]:
        content = (tmp_path / file["name"]).read_bytes()
        assert (file["sha256"], file["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert len(list(csv.reader(io.StringIO(content.decode("utf-8-sig"))))) == file["rows"] + 1
    rows = {name: told[name]["rows"] for name in ("ledger", "deals", "attainment", "quotas")}
    assert rows == {"ledger": 1, "deals": 1, "attainment": 3, "quotas": 3}
    assert manifest["ledger"] == {"from": None, "until": "2026-08-15T00:00:00-07:00"}
    assert (tmp_path / "deals-2026-08-15.csv").stat().st_mode & 0o007 == 0
    assert export_night(directory=tmp_path, at=at, keep_days=2) is None

    later = export_night(directory=tmp_path, at=tomorrow, keep_days=2)
    assert later is not None
    assert {file.dataset: file.rows for file in later.files}["ledger"] == 0  # the first night has it
    assert later.ledger_from == made.ledger_until

    kept = tmp_path / "deals-by-hand.csv"
    kept.touch()
    export_night(directory=tmp_path, at=tomorrow + timedelta(days=1), keep_days=2)
    assert kept.exists()
    assert not list(tmp_path.glob("*-2026-08-15*"))
    assert len(list(tmp_path.glob("manifest-*"))) == 2


def test_a_night_that_fails_leaves_no_manifest_and_is_begun_again(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(exporting, "write", lambda *_given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            export_night(directory=tmp_path, at=make.AT, keep_days=2)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    with (tmp_path / ".lock").open("w") as another_worker:
        fcntl.flock(another_worker, fcntl.LOCK_EX)
        assert export_night(directory=tmp_path, at=make.AT, keep_days=2) is None
    assert export_night(directory=tmp_path, at=make.AT, keep_days=2) is not None


def test_the_schedule_writes_where_the_setting_says_and_nowhere_without_it(
    world: World, tmp_path: Path, settings: Any
) -> None:
    settings.EXPORT_DIR = ""
    tasks.export_night()
    settings.EXPORT_DIR, settings.EXPORT_FORMAT, settings.EXPORT_HOUR = str(tmp_path), "jsonl", 0
    tasks.export_night()
    assert len(list(tmp_path.glob("deals-*.jsonl"))) == 1
    page = browser(world.admin).get("/quotas/exports/").content.decode()
    assert f"{len(DATASETS)} files" in page


def test_the_command_writes_what_is_named_and_says_how_much(
    world: World, tmp_path: Path, settings: Any
) -> None:
    approved(world, world.ana)
    said = io.StringIO()
    given = ["deals", "ledger", "--to", str(tmp_path), "--from", "2026-08-15"]
    call_command("export", *given, stdout=said)
    assert "1 rows in 2 files" in said.getvalue()
    assert len(list(tmp_path.glob("ledger-*.csv"))) == len(list(tmp_path.glob("manifest-*.json"))) == 1
    with pytest.raises(CommandError, match="There is no dataset people-i-like; there are deals"):
        call_command("export", "people-i-like", "--to", str(tmp_path))
    settings.EXPORT_DIR = str(tmp_path)
    with pytest.raises(CommandError, match="The nights are written there"):
        call_command("export", "--to", str(tmp_path))
