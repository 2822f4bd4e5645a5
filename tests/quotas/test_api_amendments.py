"""Amendments, partial cancellation and usage through REST."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import Role
from marketplace.models import Origin
from quotas.models import Deal, DealVersion
from tests import make
from tests.quotas.api import approved, client, credited_at_once, logged, problems, usd

pytestmark = pytest.mark.django_db
DEALS, USAGE = "/api/v1/deals/", "/api/v1/usage/"


@pytest.fixture
def world() -> make.World:
    return make.world()


def two_lines(world: make.World) -> list[dict[str, Any]]:
    return [
        {"offering": world.third.slug, "amount": usd("100.00")},
        {"offering": world.house.slug, "amount": usd("50.00")},
    ]


# --- deals ------------------------------------------------------------------------------------------------


def test_an_amendment_is_proposed_shown_beside_what_stands_and_approved(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, lines=two_lines(world))
    lines = [{"line_no": 2, "offering": world.house.slug, "amount": usd("60.00")}]
    sent = client(world.ana).post(f"{DEALS}{deal.pk}/amend/", {"lines": lines, "reason": "One line less"})
    assert sent.status_code == 200, sent.content
    body = sent.json()
    assert (body["state"], body["amount"], body["version"]) == ("approved", usd("150.00"), 1)
    assert (body["amendment"]["version"], body["amendment"]["reason"]) == (2, "One line less")
    assert [(x["line_no"], x["amount"]) for x in body["amendment"]["lines"]] == [(2, usd("60.00"))]
    listed = client(world.ana).get(f"{DEALS}?amended=true").json()["results"]
    assert [row["id"] for row in listed] == [deal.pk]
    assert client(world.ana).get(f"{DEALS}?amended=false").json()["results"] == []
    done = client(world.mia).post(f"{DEALS}{deal.pk}/approve/").json()
    assert (done["amendment"], done["amount"], done["version"]) == (None, usd("60.00"), 2)


def test_members_that_are_left_out_of_an_amendment_stay(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, lines=two_lines(world), title="As it was")
    shares = [{"rep": world.ana.slug, "percent": "60"}, {"rep": world.bo.slug, "percent": "40"}]
    body = client(world.ana).post(f"{DEALS}{deal.pk}/amend/", {"shares": shares, "reason": "Split"}).json()
    assert body["amendment"]["title"] == "As it was"
    assert [x["line_no"] for x in body["amendment"]["lines"]] == [1, 2]
    assert [x["percent"] for x in body["amendment"]["shares"]] == ["60.0000", "40.0000"]


def test_an_amendment_honours_if_match_and_says_what_is_wrong(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia)
    at = f"{DEALS}{deal.pk}/amend/"
    stale = client(world.ana).post(at, {"title": "x", "reason": "y"}, headers={"If-Match": '"old"'})
    assert stale.status_code == 412
    nameless = client(world.ana).post(at, {"title": "x"})
    assert (nameless.status_code, problems(nameless)) == (409, [("reason_needed", "/reason")])
    wrong = client(world.ana).post(
        at,
        {
            "customer": make.customer().slug,
            "lines": [{"line_no": 9, "offering": world.third.slug, "amount": usd("1.00")}],
            "reason": "y",
        },
    )
    assert wrong.status_code == 422
    assert set(problems(wrong)) == {("customer_stays", "/customer"), ("unknown_line", "/lines/0/line_no")}
    assert client(world.zed).post(at, {"title": "x", "reason": "y"}).status_code == 404
    assert client(world.auditor).post(at, {"title": "x", "reason": "y"}).status_code == 403
    assert DealVersion.objects.filter(deal=deal).count() == 1


def test_an_amendment_is_rejected_or_withdrawn(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia)
    at = f"{DEALS}{deal.pk}/"
    for who, step in ((world.mia, "reject"), (world.ana, "withdraw-amendment")):
        client(world.ana).post(f"{at}amend/", {"title": "New", "reason": "y"})
        answer = client(who).post(f"{at}{step}/", {"reason": "No"})
        assert (answer.status_code, answer.json()["amendment"]) == (200, None)
    assert client(world.ana).get(at).json()["title"] == ""


def test_a_partner_sees_what_stands_and_nothing_of_an_amendment() -> None:
    world = make.world()
    mine = make.publisher(origin=Origin.THIRD)
    sold, new = make.offering(publisher=mine), make.offering(publisher=mine)
    partner = make.user(role=Role.PARTNER, publisher=mine)
    deal = approved(world, world.ana, world.mia, lines=[{"offering": sold.slug, "amount": usd("9.00")}])
    other = approved(world, world.ana, world.mia, lines=two_lines(world))
    for pk in (deal.pk, other.pk):
        lines = [{"offering": new.slug, "amount": usd("5.00")}]
        assert (
            client(world.ana).post(f"{DEALS}{pk}/amend/", {"lines": lines, "reason": "y"}).status_code == 200
        )
    (seen,) = client(partner).get(DEALS).json()["results"]
    assert (seen["id"], seen["amount"], seen["amendment"]) == (deal.pk, usd("9.00"), None)
    assert [line["offering"] for line in seen["lines"]] == [sold.slug]
    assert client(partner).get(f"{DEALS}{other.pk}/").status_code == 404


def test_a_part_is_cancelled_with_what_is_left_of_its_lines(world: make.World) -> None:
    deal = approved(world, world.ana, world.mia, lines=two_lines(world))
    at = f"{DEALS}{deal.pk}/cancel/"
    left = {"lines": [{"line_no": 2, "remaining": usd("20.00")}], "reason": "Fewer seats"}
    assert client(world.ana).post(at, left).status_code == 403
    body = client(world.mia).post(at, left).json()
    assert (body["state"], body["amount"], body["version"]) == ("approved", usd("120.00"), 2)
    wrong = client(world.mia).post(
        at,
        {
            "lines": [
                {"line_no": 1, "remaining": usd("100.01")},
                {"line_no": 7, "remaining": usd("1.00")},
            ],
            "reason": "x",
        },
    )
    assert problems(wrong) == [
        ("unknown_line", "/lines/1/remaining"),
        ("not_less", "/lines/0/remaining"),
    ]
    other = client(world.mia).post(
        at, {"lines": [{"line_no": 1, "remaining": {"amount": "1", "currency": "EUR"}}], "reason": "x"}
    )
    assert problems(other) == [("currency_differs", "/lines/0/remaining/currency")]
    whole = client(world.mia).post(at, {"reason": "All of it"})
    assert whole.json()["state"] == "cancelled"


def test_a_list_with_amendments_takes_as_many_queries_as_it_has_kinds_of_rows(world: make.World) -> None:
    sale = make.Sale(owner=world.ana, customer=world.customer, lines=[make.Line(world.third)])
    asking, costs = client(world.ana), []
    for n in (1, 2):
        for deal in credited_at_once(*[sale] * n):
            asking.post(f"{DEALS}{deal.pk}/amend/", {"title": f"T{deal.pk}", "reason": "y"})
        assert len(asking.get(f"{DEALS}?amended=true").json()["results"]) == n * 2 - 1
        with CaptureQueriesContext(connection) as captured:
            assert asking.get(DEALS).status_code == 200
        costs.append(len(captured))
    assert costs[0] == costs[1]


def test_a_deal_cannot_be_logged_with_numbered_lines(world: make.World) -> None:
    answer = client(world.ana).post(
        DEALS,
        {
            "customer": world.customer.slug,
            "close_date": "2026-08-03",
            "currency": "USD",
            "lines": [{"line_no": 3, "offering": world.third.slug, "amount": usd("1.00")}],
        },
    )
    assert problems(answer) == [("unknown_field", "/lines/0/line_no")]


# --- usage ------------------------------------------------------------------------------------------------


@pytest.fixture
def metered(world: make.World) -> make.World:
    make.ownership(customer=world.customer, rep=world.ana)
    return world


def row(world: make.World, consumed: str = "100.00", **changes: Any) -> dict[str, Any]:
    return {
        "customer": world.customer.slug,
        "offering": world.third.slug,
        "month": "2026-07",
        "consumed": usd(consumed),
        **changes,
    }


def test_usage_is_sent_in_rows_and_read_as_it_is_credited(metered: make.World) -> None:
    plan = make.plan(offering=metered.house)
    rows = [row(metered), row(metered, "7.50", offering=metered.house.slug, plan=plan.slug, quantity="3")]
    sent = client(metered.admin).post(USAGE, {"source": "metering", "rows": rows})
    assert (sent.status_code, sent.json()) == (200, {"new": 2, "changed": 0, "unchanged": 0})
    again = client(metered.admin).post(
        USAGE, {"source": "metering", "rows": [row(metered, billed=usd("98.00")), rows[1]]}
    )
    assert again.json() == {"new": 0, "changed": 1, "unchanged": 1}
    read = client(metered.admin).get(USAGE).json()["results"]
    deal = Deal.objects.get()
    recorded = read[0].pop("recorded_at")
    assert recorded.startswith("2026-08-14T")
    assert read[0] == {
        "deal": deal.pk,
        "line_no": 2,
        "customer": metered.customer.slug,
        "offering": metered.house.slug,
        "plan": plan.slug,
        "credit_date": "2026-07-31",
        "consumed": usd("7.50"),
        "billed": None,
        "quantity": "3",
        "source": "metering",
        "version": 2,
    }
    assert (read[1]["billed"], read[1]["plan"]) == (usd("98.00"), None)


def test_usage_is_filtered_and_seen_by_those_alone_whose_account_it_is(metered: make.World) -> None:
    other = make.customer()
    make.ownership(customer=other, rep=metered.cy)
    rows = [
        row(metered),
        row(metered, customer=other.slug, billed=usd("1.00")),
        row(metered, month="2026-06"),
    ]
    assert client(metered.admin).post(USAGE, {"rows": rows}).status_code == 200

    def seen(who: Any, query: str = "") -> list[tuple[str, str]]:
        found = client(who).get(f"{USAGE}{query}").json()["results"]
        return [(each["customer"], each["credit_date"]) for each in found]

    mine, theirs = metered.customer.slug, other.slug
    assert seen(metered.ana) == [(mine, "2026-07-31"), (mine, "2026-06-30")]
    assert seen(metered.zed) == [(theirs, "2026-07-31")]
    assert len(seen(metered.auditor)) == 3
    assert seen(metered.admin, f"?customer={theirs}") == [(theirs, "2026-07-31")]
    assert seen(metered.admin, "?month=FY26-M12") == [(mine, "2026-06-30")]
    assert seen(metered.admin, "?billed=true") == [(theirs, "2026-07-31")]
    assert client(metered.admin).get(f"{USAGE}?nonsense=1").status_code == 400
    assert client(metered.admin).get(f"{USAGE}?billed=yes").status_code == 400
    for role in (Role.PARTNER, Role.ENGINEER, Role.CATALOG_MANAGER):
        assert client(make.user(role=role)).get(USAGE).status_code == 404
        assert client(make.user(role=role)).post(USAGE, {"rows": rows}).status_code == 404


def test_usage_that_is_wrong_says_every_row_and_is_not_recorded(metered: make.World) -> None:
    make.currency(code="JPY")
    make.fx(code="JPY", rate="0.0067")
    rows = [
        row(metered),
        row(metered, customer="nobody", offering="nothing", plan="no-plan"),
        row(metered, consumed="-1.00", month="2026-06"),
        row(metered, offering=metered.house.slug, billed={"amount": "1", "currency": "JPY"}),
        row(metered, consumed="1", month="2019-01"),
        {**row(metered, month="2026-05"), "consumed": {"amount": "1.5", "currency": "JPY"}},
    ]
    answer = client(metered.admin).post(USAGE, {"rows": rows})
    assert answer.status_code == 422
    assert set(problems(answer)) == {
        ("unknown_customer", "/rows/1/customer"),
        ("unknown_offering", "/rows/1/offering"),
        ("negative_amount", "/rows/2/consumed"),
        ("currency_differs", "/rows/3/billed/currency"),
        ("no_period", "/rows/4/month"),
        ("too_many_digits", "/rows/5/consumed"),
    }
    assert not Deal.objects.exists()
    for bad in ([], [row(metered, month="2026-13")], [row(metered)] * 1001):
        assert client(metered.admin).post(USAGE, {"rows": bad}).status_code == 422
    assert client(metered.mia).post(USAGE, {"rows": [row(metered)]}).status_code == 403
    assert not Deal.objects.exists()


def test_usage_sent_again_under_its_key_is_answered_again(metered: make.World) -> None:
    asking = client(metered.admin)
    sent = {"rows": [row(metered)]}
    first, again = (asking.post(USAGE, sent, headers={"Idempotency-Key": "july"}) for _ in range(2))
    assert first.json() == again.json() == {"new": 1, "changed": 0, "unchanged": 0}
    assert again["Idempotent-Replayed"] == "true"


def test_a_service_sends_usage_and_reads_what_it_has_sent(metered: make.World) -> None:
    meter, other = make.user(service=True), make.user(service=True)
    assert client(meter).post(USAGE, {"source": "metering", "rows": [row(metered)]}).status_code == 200
    assert len(client(meter).get(USAGE).json()["results"]) == 1
    assert client(other).get(USAGE).json()["results"] == []


# --- files ------------------------------------------------------------------------------------------------


def test_a_file_of_usage_is_recorded_or_refused_line_by_line(
    metered: make.World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "july.csv"
    good = f"2026-07,{metered.customer.slug},{metered.third.slug},USD,100.00,99.50"
    file.write_text(f"month,customer,offering,currency,consumed,billed\n{good}\n", encoding="utf-8-sig")
    call_command("import_usage", str(file), by=metered.admin.email, dry_run=True)
    assert "Would record 1 rows: 1 new" in capsys.readouterr().out
    assert not Deal.objects.exists()
    call_command("import_usage", str(file), by=metered.admin.email)
    line = Deal.objects.select_related("latest_version").get().latest.lines.get()
    assert (line.amount_minor, line.billed_minor) == (100_00, 99_50)
    file.write_text(
        "month,customer,offering,currency,consumed,billed\n"
        f"{good}\n"
        f"July,{metered.customer.slug},{metered.third.slug},USD,ten,\n"
        f"2026-06,nobody,{metered.third.slug},USD,1.00,\n"
        "2026-06,,,,,\n"
    )
    with pytest.raises(CommandError, match="Nothing was recorded"):
        call_command("import_usage", str(file), by=metered.admin.email)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "line 3, month: A month is written as 2026-07.",
        "line 3, consumed: A number is written as 1234.50.",
        "line 4, customer: There is no such customer.",
        "line 5, customer: Customer is missing.",
        "line 5, offering: Offering is missing.",
        "line 5, currency: Currency is missing.",
        "line 5, consumed: Consumed is missing.",
    ]
    assert DealVersion.objects.count() == 1


def test_what_is_no_file_of_usage_is_said(
    metered: make.World, tmp_path: Path, capsys: pytest.CaptureFixture[str], subtests: pytest.Subtests
) -> None:
    file = tmp_path / "x.csv"
    for text, said in (
        ("", "Without month"),
        ("month,customer,offering,currency,consumed,colour\n", "Unknown: colour"),
        ("month,customer,offering,currency,consumed\n", "no row"),
        ("month,customer,offering,currency,consumed\n2026-07,a,b,USD,1,2,3\n", "more on this line"),
    ):
        with subtests.test(said=said):
            file.write_text(text)
            with pytest.raises(CommandError):
                call_command("import_usage", str(file), by=metered.admin.email)
            assert said in capsys.readouterr().err


def test_a_running_months_usage_is_dated_today(metered: make.World) -> None:
    client(metered.admin).post(USAGE, {"rows": [row(metered, month="2026-08")]})
    assert Deal.objects.select_related("latest_version").get().latest.close_date == date(2026, 8, 14)


def test_a_logged_deal_that_waits_is_not_amended(world: make.World) -> None:
    deal = logged(world, world.ana)
    answer = client(world.ana).post(f"{DEALS}{deal.pk}/amend/", {"title": "x", "reason": "y"})
    assert (answer.status_code, problems(answer)) == (409, [("deal_not_amendable", "")])
