"""Statements: what a close issues, that it adds up and is proved, who reads it, and every way in which it leaves the house."""

import csv
import hashlib
import io
import json
import re
import zipfile
from datetime import date
from html import unescape
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.utils import IntegrityError
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from openpyxl import load_workbook

from accounts.models import Notification, Role, User
from config import job_files, jobs, outbox
from config.models import Job, JobFile
from config.refusals import Conflict, Forbidden, NotFound
from quotas import tasks  # noqa: F401 -- its handlers register themselves
from quotas.models import (
    AdjustmentReason,
    EarningEntry,
    EarningKind,
    PeriodClose,
    Rep,
    Statement,
)
from quotas.selectors import statement_digests as digests
from quotas.selectors.statements import Content, change_of, content_of, pending_for
from quotas.services import statements
from quotas.services.statements import acknowledge, issue, remind, start_pack
from tests import make
from tests.quotas.api import client as rest
from tests.quotas.api import problems, signed_in
from tests.quotas.closing.months import AT, Months, late_credit, later

pytestmark = pytest.mark.django_db


@pytest.fixture
def july() -> tuple[Months, PeriodClose]:
    return late_credit()


def of(rep: Rep, close: PeriodClose) -> Statement:
    return Statement.objects.select_related("close__period", "rep__user").get(rep=rep, close=close)


def carried_out() -> None:
    for message in outbox.lease(at=AT):
        outbox.carry_out(message_id=message, at=AT)


def told(user: User) -> list[str]:
    return list(
        Notification.objects.filter(user=user, text__icontains="statement")
        .order_by("pk")
        .values_list("text", flat=True)
    )


def as_user(who: Rep | User) -> Client:
    return signed_in(Client(), who)


def text(response: Any) -> str:
    assert response.status_code == 200
    body = re.sub(r"<(script|style).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


# --- issued -----------------------------------------------------------------------------------------------


def test_a_close_issues_a_statement_for_everybody_with_credit_or_a_quota_and_one_digest_proves_them(
    july: tuple[Months, PeriodClose],
) -> None:
    made, close = july
    world = made.world
    issued = {each.rep: each for each in Statement.objects.filter(close=close).select_related("rep")}
    assert set(issued) == {
        world.ana,
        world.bo,
        world.cy,
    }  # Cy has a quota and no credit; managers have neither
    assert [issued[rep].entries for rep in (world.ana, world.bo, world.cy)] == [2, 1, 0]
    one_by_one = "\n".join(each.digest for rep, each in sorted(issued.items(), key=lambda pair: pair[0].pk))
    assert close.statements_digest == hashlib.sha256(one_by_one.encode()).hexdigest()
    assert digests.digest_of(close) == close.statements_digest
    assert digests.wrong(close) == []
    assert issue(close=close, at=later(hours=1)) == close.statements_digest
    assert Statement.objects.filter(close=close).count() == 3


def test_the_digest_is_that_of_the_canonical_text_of_form_1(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    bo, quarter = made.world.bo, close.period.quarter_id
    entry = digests_entry(bo, close)
    year, half, measure = close.period.year_id, close.period.half_id, made.world.bookings.pk
    holding = sorted(pk for pk in (close.period_id, quarter, half, year) if pk is not None)
    lines = [
        "parity statement 1",
        "FY27-M01 v1",
        f"rep {bo.pk}",
        f"entry ({entry})",
        *(f"total ({period},{measure},1,{made.world.team.pk},3000,0)" for period in holding),
        f"quota ({quarter},{measure},10000000)",
    ]
    assert of(bo, close).digest == hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digests_entry(rep: Rep, close: PeriodClose) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, posting_id, posting_period_id, origin_period_id, credit_date, deal_id, deal_version_id, line_no, rep_id, team_id,"
            " receiver_class, measure_id, component, rule_id, rule_version_id, plan_version_id, decision_id, fx_rate_id, amount_minor,"
            " reverses_id, adjustment_id FROM quotas_creditentry WHERE rep_id = %s AND posting_period_id = %s",
            [rep.pk, close.period_id],
        )
        (row,) = cursor.fetchall()
    return ",".join("" if value is None else str(value) for value in row)


def test_what_a_statement_says_adds_up_and_keeps_late_credit_apart(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    found = content_of(of(made.world.ana, close))
    (account,) = found.accounts
    assert [(part.section, part.amount_minor) for part in account.parts] == [
        ("credited", 100_00),
        ("earlier", 40_00),
    ]
    assert account.parts[1].lines[0].origin == "FY26-M12"
    assert (account.opening_minor, account.month_minor, account.closing_minor) == (0, 140_00, 140_00)
    assert account.adds_up
    # August's 7.00 was posted before July was closed: the frozen quarter holds it, what July's statement says does not.
    assert [(each.period.name, each.credited_minor, each.quota_minor) for each in account.to_date] == [
        ("FY27-M01", 140_00, None),
        ("FY27-Q1", 140_00, 100_000_00),
        ("FY27-H1", 140_00, None),
        ("FY27", 140_00, None),
    ]
    assert (found.team, [str(v) for v in found.plans]) == (made.world.team, [str(made.world.plan_version)])


def test_the_next_month_opens_where_the_one_before_closed_and_shows_adjustments_by_hand_apart(
    july: tuple[Months, PeriodClose],
) -> None:
    made, _close = july
    make.adjustment(
        rep=made.world.ana,
        measure=made.world.bookings,
        amount_minor=5_00,
        on=date(2026, 8, 5),
        reason_code=AdjustmentReason.GOODWILL,
        note="As promised",
    )
    account = account_of(made, made.world.ana, closed_by_hand(made))
    assert account.opening_minor == 140_00
    assert [(part.section, part.amount_minor) for part in account.parts] == [
        ("credited", 7_00),
        ("by_hand", 5_00),
    ]
    (by_hand,) = account.parts[1].lines
    assert (by_hand.component, by_hand.note, by_hand.deal_id) == ("Goodwill", "As promised", None)
    assert account.closing_minor == 152_00
    assert account.adds_up


def closed_by_hand(made: Months) -> PeriodClose:
    """August, which is not over: frozen, issued and closed past the checklist."""
    from quotas.services import closing

    close = PeriodClose.objects.create(
        period=made.august,
        version=1,
        state="closing",
        asked_by=made.admin,
        asked_at=AT,
        approved_by=made.checker,
        approved_at=AT,
        job=Job.objects.create(kind="quotas.close", title="", parameters={}, requested_at=AT),
    )
    assert close.job is not None
    closing._freeze(close, close.job, AT)
    close.statements_digest = issue(close=close, at=AT)
    close.state = "closed"
    close.save()
    return close


def account_of(made: Months, rep: Rep, close: PeriodClose) -> Any:
    (account,) = content_of(of(rep, close)).accounts
    return account


def test_earnings_are_part_of_the_statement_and_of_its_digest(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    before = of(made.world.bo, close).digest
    for kind, amount in ((EarningKind.EARNED, 12_34), (EarningKind.DRAW, 5_00)):
        EarningEntry.objects.create(
            close=close,
            rep=made.world.bo,
            kind=kind,
            measure=made.world.bookings if kind == EarningKind.EARNED else None,
            origin_period=close.period,
            amount_minor=amount,
            currency=make.currency(),
            worked_out={"window": "FY27-Q1", "credit": 30_00, "why": "no_plan", "paid_before": -amount}
            if kind == EarningKind.EARNED
            else dict.fromkeys(("earned", "draw", "balance_before", "balance", "paid_before"), 0),
        )
    found = content_of(of(made.world.bo, close))
    (pay,) = found.pay
    assert pay.amount_minor == 17_34
    assert pay.entries[0].told[0] == ("Credit of FY27-Q1", "$30.00")
    assert not digests.holds(of(made.world.bo, close))
    assert [each.rep_id for each in digests.wrong(close)] == [made.world.bo.pk]
    assert digests.wrong(close)[0].issued == before


# --- another version --------------------------------------------------------------------------------------


def test_a_second_close_issues_anew_and_says_what_changed_while_the_first_stays(
    july: tuple[Months, PeriodClose],
) -> None:
    made, first = july
    acknowledge(statement_id=of(made.world.ana, first).pk, by=make.login(made.world.ana), at=AT)
    made.reopen(first)
    with pytest.raises(Conflict) as over:
        acknowledge(statement_id=of(made.world.bo, first).pk, by=make.login(made.world.bo), at=AT)
    assert over.value.problems[0].code == "reopened"
    made.sold(amount=9_00, at=later(minutes=1))
    second = made.close(at=later(minutes=2))
    assert second.version == 2
    old, new = (content_of(of(made.world.ana, close)) for close in (first, second))
    assert (closing(old), closing(new)) == (140_00, 149_00)
    change = change_of(new)
    assert change is not None
    assert [(each.what, each.was_minor, each.is_minor) for each in change.moved] == [
        ("Closing balance", 140_00, 149_00)
    ]
    assert [line.amount_minor for line in change.added] == [9_00]
    assert change_of(old) is None
    unchanged = change_of(content_of(of(made.world.bo, second)))
    assert unchanged is not None
    assert not unchanged.any
    for close in (first, second):
        assert digests.wrong(close) == []
    page = text(as_user(made.world.ana).get(reverse("quotas:statement", args=[of(made.world.ana, first).pk])))
    assert "Version 2 takes the place of this one" in page
    assert "Checked just now: it holds" in page
    carried_out()
    assert told(make.login(made.world.ana)) == ["Your statement of FY27-M01 was issued anew: version 2."]


def test_a_second_close_that_moves_pay_alone_says_so(july: tuple[Months, PeriodClose]) -> None:
    made, first = july
    bo = made.world.bo
    made.reopen(first)
    second = made.close(at=later(minutes=2))
    for close, amount in ((first, 12_34), (second, -2_00)):
        EarningEntry.objects.create(
            close=close,
            rep=bo,
            kind=EarningKind.EARNED,
            measure=made.world.bookings,
            origin_period=close.period,
            amount_minor=amount,
            currency=make.currency(),
            worked_out={"window": "FY27-Q1", "credit": 30_00, "why": "no_plan", "paid_before": -amount},
        )
    change = change_of(content_of(of(bo, second)))
    assert change is not None
    assert [(each.what, each.was_minor, each.is_minor, each.by_minor) for each in change.moved] == [
        ("Paid with the closes of FY27-M01", 12_34, 10_34, -2_00)
    ]
    page = text(as_user(bo).get(reverse("quotas:statement", args=[of(bo, second).pk])))
    assert "Paid with the closes of FY27-M01 USD $12.34 $10.34 \N{MINUS SIGN}$2.00" in page


def closing(content: Content) -> int:
    return int(content.accounts[0].closing_minor)


# --- acknowledged -----------------------------------------------------------------------------------------


def test_the_rep_alone_acknowledges_and_once(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    mine = of(made.world.ana, close)
    for who, refusal in (
        (make.login(made.world.mia), Forbidden),
        (made.admin, Forbidden),
        (make.login(made.world.bo), NotFound),
        (make.login(made.world.zed), NotFound),
    ):
        with pytest.raises(refusal):
            acknowledge(statement_id=mine.pk, by=who, at=AT)
    ana = make.login(made.world.ana)
    acknowledge(statement_id=mine.pk, by=ana, at=AT)
    with pytest.raises(Conflict) as again:
        acknowledge(statement_id=mine.pk, by=ana, at=later(days=1))
    assert again.value.problems[0].message == "You acknowledged it on 14 Aug 2026."
    mine.refresh_from_db()
    assert (mine.acknowledged_by, mine.acknowledged_at) == (ana, AT)
    with pytest.raises(IntegrityError, match="stays as it was issued"):
        Statement.objects.filter(pk=mine.pk).update(acknowledged_at=None, acknowledged_by=None)


def test_reps_are_told_when_the_close_is_through_and_reminded_once_a_day(
    july: tuple[Months, PeriodClose],
) -> None:
    made, close = july
    ana, bo, cy = (make.login(rep) for rep in (made.world.ana, made.world.bo, made.world.cy))
    PeriodClose.objects.filter(pk=close.pk).update(state="closing")
    with pytest.raises(statements.NotThroughYet):
        statements.tell_reps(close_id=close.pk, at=AT)
    assert told(ana) == []
    PeriodClose.objects.filter(pk=close.pk).update(state="closed")
    assert statements.tell_reps(close_id=close.pk, at=AT) == 3
    assert statements.tell_reps(close_id=close.pk, at=AT) == 0
    assert told(ana) == ["Your statement of FY27-M01 is ready."]
    acknowledge(statement_id=of(made.world.ana, close).pk, by=ana, at=AT)
    mia = make.login(made.world.mia)
    for _twice in range(2):
        assert remind(close_id=close.pk, by=mia, at=AT) == 1  # Bo: Ana has, and Cy is not hers
        carried_out()
    assert told(bo)[1:] == ["Mia asks you to acknowledge your statement of FY27-M01."]
    assert (len(told(ana)), len(told(cy))) == (1, 1)
    with pytest.raises(Forbidden):
        remind(close_id=close.pk, by=bo, at=AT)


def test_what_waits_for_somebody_is_named(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    ana = make.login(made.world.ana)
    mine = of(made.world.ana, close)
    assert [(each.kind, each.url) for each in pending_for(ana, make.TODAY) if each.kind == "statement"] == [
        ("statement", f"/quotas/statements/{mine.pk}/")
    ]
    acknowledge(statement_id=mine.pk, by=ana, at=AT)
    assert [each.kind for each in pending_for(ana, make.TODAY)] == ["plan"]
    assert pending_for(made.admin, make.TODAY) == []


# --- read -------------------------------------------------------------------------------------------------


def test_pages_show_each_person_their_own_and_nobody_elses(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    world = made.world
    seen: dict[Rep | User, set[Rep]] = {
        world.ana: {world.ana},
        world.cy: {world.cy},
        world.mia: {world.ana, world.bo},
        world.zed: {world.cy},
        made.admin: {world.ana, world.bo, world.cy},
        world.auditor: {world.ana, world.bo, world.cy},
    }
    addresses = {
        rep: reverse("quotas:statement", args=[of(rep, close).pk]) for rep in (world.ana, world.bo, world.cy)
    }
    for who, theirs in seen.items():
        asking = as_user(who)
        for rep, address in addresses.items():
            assert asking.get(address).status_code == (200 if rep in theirs else 404)
            if rep not in theirs:
                assert asking.get(f"{address}?format=csv").status_code == 404
    assert as_user(make.user(role=Role.PARTNER)).get("/quotas/statements/").status_code == 404
    page = text(as_user(world.ana).get(reverse("quotas:statement", args=[of(world.ana, close).pk])))
    for said in (
        "Opening balance",
        "Adjustments of earlier months +$40.00",
        "Credited this month +$100.00",
        "Closing balance $0.00 and +$140.00",
        "$140.00 of $100,000.00, 0.1%",
        of(world.ana, close).digest,
        "Adds up to the frozen total",
    ):
        assert said in page
    listed = text(as_user(world.mia).get("/quotas/statements/"))
    assert "Remind 2" in listed
    assert ("Ana" in listed, "Cy " in listed) == (True, False)
    admin, ana = as_user(made.admin), as_user(world.ana)
    one, three = (queries(admin, f"/quotas/statements/{narrowed}") for narrowed in ("?q=Ana", ""))
    assert one == three
    short = queries(as_user(world.bo), reverse("quotas:statement", args=[of(world.bo, close).pk]))
    long = queries(ana, reverse("quotas:statement", args=[of(world.ana, close).pk]))
    assert short == long


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as caught:
        assert client.get(address).status_code == 200
    return len(caught)


def test_one_statement_and_all_of_them_leave_as_files(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    mine = of(made.world.ana, close)
    client = as_user(made.world.ana)
    address = reverse("quotas:statement", args=[mine.pk])
    rows = list(
        csv.DictReader(io.StringIO(client.get(f"{address}?format=csv").getvalue().decode("utf-8-sig")))
    )
    assert [(row["Section"], row["Amount"]) for row in rows] == [
        ("Opening balance", "0.00"),
        ("Credited this month", "100.00"),
        ("Adjustments of earlier months", "40.00"),
        ("Closing balance", "140.00"),
        ("Month to date", "140.00"),
        ("Quarter to date", "140.00"),
        ("Half to date", "140.00"),
        ("Year to date", "140.00"),
    ]
    assert {row["Digest of the statement"] for row in rows} == {mine.digest}
    assert rows[5]["Attainment %"] == "0.1400"
    book = load_workbook(io.BytesIO(client.get(f"{address}?format=xlsx").getvalue()), read_only=True)
    about = {row[0]: row[1] for row in book["About"].iter_rows(values_only=True)}
    assert (about["Digest"], about["Team"]) == (mine.digest, "Team")
    lines = (
        as_user(made.world.mia)
        .get("/quotas/statements/?what=lines&format=jsonl")
        .getvalue()
        .decode()
        .splitlines()
    )
    told = [json.loads(line) for line in lines]
    assert {(row["rep"], row["section"]) for row in told if row["section"] == "Closing balance"} == {
        ("Ana", "Closing balance"),
        ("Bo", "Closing balance"),
    }
    listed = (
        as_user(made.admin).get("/quotas/statements/?format=csv&state=open").getvalue().decode("utf-8-sig")
    )
    assert [row["Rep"] for row in csv.DictReader(io.StringIO(listed))] == ["Ana", "Bo", "Cy"]


def test_a_zip_with_a_file_for_each_rep_is_packed_in_steps_for_who_asked(
    july: tuple[Months, PeriodClose], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, close = july
    monkeypatch.setattr(statements, "PACKED", 1)
    mia = make.login(made.world.mia)
    client = as_user(mia)
    answer = client.post(reverse("quotas:statements-pack", args=[close.pk]), {"format": "csv"})
    job = Job.objects.get(kind=statements.PACK)
    assert answer["Location"] == reverse("quotas:statement-pack", args=[job.pk])
    assert client.get(reverse("quotas:statement-pack-file", args=[job.pk])).status_code == 404
    assert jobs.step_once(job_id=job.pk, at=AT)
    assert JobFile.objects.filter(job=job).count() == 1
    jobs.work_off(job_id=job.pk, now=lambda: AT)
    page = text(client.get(reverse("quotas:statement-pack", args=[job.pk])))
    assert "Download the ZIP" in page
    got = client.get(reverse("quotas:statement-pack-file", args=[job.pk]))
    assert got["Content-Disposition"] == 'attachment; filename="statements-fy27-m01-v1-csv.zip"'
    with zipfile.ZipFile(io.BytesIO(got.getvalue())) as archive:
        assert archive.testzip() is None
        ana, bo = made.world.ana, made.world.bo
        assert archive.namelist() == [f"FY27-M01-v1/{rep.slug}-{rep.pk}.csv" for rep in (ana, bo)]
        assert b"Closing balance" in archive.read(archive.namelist()[0])
    for other in (made.admin, make.login(made.world.zed)):
        assert as_user(other).get(reverse("quotas:statement-pack-file", args=[job.pk])).status_code == 404
    with pytest.raises(Forbidden):
        start_pack(close_id=close.pk, form="csv", by=make.login(bo), at=AT)
    assert job_files.forget(before=later(days=1)) == 2
    assert client.get(reverse("quotas:statement-pack-file", args=[job.pk])).status_code == 404


def test_a_zip_is_fetched_only_while_all_that_is_in_it_may_be_seen(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    whole = start_pack(close_id=close.pk, form="csv", by=made.admin, at=AT)
    jobs.work_off(job_id=whole.pk, now=lambda: AT)
    client, file = as_user(made.admin), reverse("quotas:statement-pack-file", args=[whole.pk])
    assert client.get(file).status_code == 200
    made.admin.role_grants.filter(role=Role.COMP_ADMIN).update(role=Role.MANAGER)
    assert client.get(file).status_code == 404
    assert "no longer kept, or not all in them is yours to see now" in text(
        client.get(reverse("quotas:statement-pack", args=[whole.pk]))
    )


def test_rest_hands_out_statements_with_their_lines(july: tuple[Months, PeriodClose]) -> None:
    made, close = july
    mine = of(made.world.ana, close)
    listed = rest(made.world.ana).get("/api/v1/statements/").json()["results"]
    assert [(row["id"], row["period"], row["digest"]) for row in listed] == [
        (mine.pk, "FY27-M01", mine.digest)
    ]
    body = rest(made.admin).get(f"/api/v1/statements/{mine.pk}/").json()
    (account,) = body["accounts"]
    assert body["holds"] is True
    assert account["opening"] == {"amount": "0.00", "currency": "USD"}
    assert account["closing"] == {"amount": "140.00", "currency": "USD"}
    assert [(line["section"], line["amount"]["amount"]) for line in account["lines"]] == [
        ("credited", "100.00"),
        ("earlier", "40.00"),
    ]
    assert account["to_date"][1] == {
        "period": "FY27-Q1",
        "credited": {"amount": "140.00", "currency": "USD"},
        "quota": {"amount": "100000.00", "currency": "USD"},
        "attainment_percent": "0.1400",
    }
    assert rest(made.world.bo).get(f"/api/v1/statements/{mine.pk}/").status_code == 404
    assert problems(rest(made.admin).post(f"/api/v1/statements/{mine.pk}/acknowledge/")) == [
        ("not_your_statement", "")
    ]
    done = rest(made.world.ana).post(f"/api/v1/statements/{mine.pk}/acknowledge/")
    assert done.json()["acknowledged_at"] is not None
    assert (
        len(rest(made.admin).get("/api/v1/statements/?acknowledged=false&period=FY27-M01").json()["results"])
        == 2
    )


# --- what was changed behind the application's back is found ------------------------------------------------


def test_a_frozen_quota_changed_by_the_owner_of_the_database_is_found(
    owner_connection: psycopg.Connection,
) -> None:
    made, close = late_credit()
    mine = of(made.world.ana, close)
    assert digests.holds(mine)
    with owner_connection.transaction():
        owner_connection.execute("ALTER TABLE quotas_closedquota DISABLE TRIGGER USER")
        owner_connection.execute(
            "UPDATE quotas_closedquota SET quota_minor = quota_minor - 1 WHERE close_id = %s AND rep_id = %s",
            [close.pk, made.world.ana.pk],
        )
        owner_connection.execute("ALTER TABLE quotas_closedquota ENABLE TRIGGER USER")
    assert not digests.holds(mine)
    assert [each.rep_id for each in digests.wrong(close)] == [made.world.ana.pk]
    assert digests.digest_of(close) != close.statements_digest
    page = text(as_user(made.world.ana).get(reverse("quotas:statement", args=[mine.pk])))
    assert "This statement no longer holds." in page
