"""Reconciliation: what the source says, what is credited, and that the reasons of the differences are the whole of them."""

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Role, User
from quotas.crediting.arithmetic import value_in_measure
from quotas.models import (
    Component,
    CreditEntry,
    CreditTotal,
    Deal,
    ReceiverClass,
    Rep,
    SourceRecord,
    StraightThroughPolicy,
    TotalBasis,
)
from quotas.selectors import reconciliation
from quotas.selectors.reconciliation import Cause, Chosen, Difference, Reconciliation
from quotas.services import approving, booking, importing
from quotas.services.booking import DealDraft, ShareDraft
from tests import make
from tests.quotas.importing import test_deals as files
from tests.quotas.importing.test_import_pages import as_user, text
from tests.quotas.ledger import broken

pytestmark = pytest.mark.django_db

HEAD = (*files.HEAD, "Currency")
MAP = (
    files.MAP.replace('[constants]\ncurrency = "USD"', 'currency = "Currency"')
    + "[rows]\nseveral_lines = true\n"
)
RATE = 1_083_700_000


@pytest.fixture
def market() -> make.World:
    world = make.world()
    StraightThroughPolicy.objects.create(
        name="CRM imports",
        version=1,
        sources=["crm"],
        currency=make.currency(),
        most_minor=1_000_000_00,
        drafted_by=world.admin,
        drafted_at=make.AT,
        published_by=make.user(role=Role.COMP_ADMIN),
        published_at=make.AT,
    )
    make.fx(code="EUR", rate="1.0837")
    make.decision(offering=make.offering(name="Free model"), rate_ppm=0)
    make.decision(offering=make.offering(name="Half model"), rate_ppm=333_333)
    return world


def won(market: make.World, number: int, **changed: Any) -> dict[str, Any]:
    return files.sold(market, number, Currency="USD") | changed


def brought(market: make.World, *rows: Mapping[str, Any]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        Path(file.name).write_bytes(files.file_of(rows, HEAD))
        importing.carry_out_file(
            kind="deals",
            path=Path(file.name),
            map_text=MAP,
            options=files.BY_POLICY,
            by=market.admin,
            at=make.AT,
        )


def looked(market: make.World, *, period: str = "FY27-Q1", reps: list[int] | None = None, chosen: Chosen | None = Chosen()) -> Reconciliation:  # noqa: B008 # fmt: skip
    """With every difference, unless something else is chosen."""
    return reconciliation.reconcile(
        source=reconciliation.sources()[0],
        period=market.year.named(period),
        measure=market.bookings,
        reps=reps,
        chosen=chosen,
    )


def told(found: Reconciliation, viewer: User) -> list[Difference]:
    return reconciliation.told(found, viewer=viewer, on=make.TODAY)


def deal(number: int) -> Deal:
    return Deal.objects.select_related("latest_version", "credited_version", "owner").get(
        source="crm", external_id=f"006-{number}"
    )


def amended(market: make.World, number: int, change: Callable[[DealDraft], DealDraft], *, approve: bool = True) -> None:  # fmt: skip
    there = deal(number)
    booking.amend_deal(
        deal_id=there.pk,
        draft=change(booking.draft_of(there)),
        by=market.admin,
        at=make.AT,
        reason="As signed",
    )
    if approve:
        leader = market.zed if there.owner_id == market.cy.pk else market.mia
        approving.approve_deal(deal_id=there.pk, by=make.login(leader), at=make.AT)


def at_amount(minor: int) -> Callable[[DealDraft], DealDraft]:
    return lambda draft: replace(draft, lines=(replace(draft.lines[0], amount_minor=minor), *draft.lines[1:]))


def on_day(day: date) -> Callable[[DealDraft], DealDraft]:
    return lambda draft: replace(draft, close_date=day)


def shared(*parts: tuple[Rep, int]) -> Callable[[DealDraft], DealDraft]:
    return lambda draft: replace(draft, shares=tuple(ShareDraft(rep.pk, ppm) for rep, ppm in parts))


def test_every_difference_has_its_one_reason(market: make.World) -> None:
    rows = [won(market, number) for number in range(1, 8)]
    rows += [
        won(market, 8, Amount="2000000.00"),
        won(market, 9, Owner="Mark Miller"),
        won(market, 10, Product="Nobody knows it"),
        won(market, 11, Product="Free model"),
        won(market, 12, Product="Half model"),
        won(market, 13),
        won(market, 14),
        won(market, 15, Amount="3000000.00"),
        won(market, 16, Close="last Tuesday"),
        won(market, 17, Close="2026-06-30"),
        won(market, 18, Stage="Open", Close="2026-09-20"),
        *(won(market, 19, Amount="0.05", Currency="EUR") for _line in range(3)),
    ]
    brought(market, *rows)
    amended(market, 2, at_amount(150_000))
    amended(market, 3, on_day(date(2026, 6, 30)))
    amended(market, 4, shared((market.ana, 700_000), (market.bo, 300_000)))
    amended(market, 5, shared((market.bo, 1_000_000)))
    approving.hold_deal(deal_id=deal(6).pk, by=market.admin, at=make.AT, reason="In doubt")
    approving.cancel_deal(deal_id=deal(7).pk, by=market.admin, at=make.AT, reason="Never signed")
    approving.return_deal(deal_id=deal(15).pk, by=make.login(market.mia), at=make.AT, reason="Which plan?")
    amended(market, 17, on_day(date(2026, 7, 1)))
    approving.approve_deal(deal_id=deal(19).pk, by=make.login(market.mia), at=make.AT)
    brought(market, won(market, 13, Owner="Bo"), won(market, 14, Stage="Someday"))  # waits; open again
    api = booking.log_deal(
        draft=make.draft(
            owner=market.bo, source="crm", external_id="api-1", lines=[make.Line(market.house, 7_00)]
        ),
        by=market.admin,
        at=make.AT,
    )
    booking.submit_deal(deal_id=api.pk, by=market.admin, at=make.AT)
    approving.approve_deal(deal_id=api.pk, by=make.login(market.mia), at=make.AT)

    found = looked(market)
    every = {(each.who.name, each.record.external_id if each.record else "api-1"): each for each in told(found, market.admin)}  # fmt: skip
    seen = {(who, key.removeprefix("006-")): (d.cause, d.said, d.credited) for (who, key), d in every.items()}
    assert seen == {
        ("Ana", "2"): (Cause.AMOUNT, 100_000, 150_000),
        ("Ana", "3"): (Cause.CLOSE_DATE, 100_000, 0),
        ("Ana", "4"): (Cause.SHARED, 100_000, 70_000),
        ("Bo", "4"): (Cause.SHARED, 0, 30_000),
        ("Ana", "5"): (Cause.OWNER, 100_000, 0),
        ("Bo", "5"): (Cause.OWNER, 0, 100_000),
        ("Ana", "6"): (Cause.HELD, 100_000, 0),
        ("Ana", "7"): (Cause.CANCELLED, 100_000, 0),
        ("Ana", "8"): (Cause.NOT_APPROVED, 200_000_000, 0),
        ("Mark Miller", "9"): (Cause.REFUSED, 100_000, 0),
        ("Ana", "10"): (Cause.REFUSED, 100_000, 0),
        ("Ana", "11"): (Cause.RATE_ZERO, 100_000, 0),
        ("Ana", "12"): (Cause.RATE, 100_000, 33_333),
        ("Ana", "13"): (Cause.AMENDMENT, 0, 100_000),
        ("Bo", "13"): (Cause.AMENDMENT, 100_000, 0),
        ("Ana", "14"): (Cause.SAYS_OPEN, 0, 100_000),
        ("Ana", "15"): (Cause.RETURNED, 300_000_000, 0),
        ("Ana", "17"): (Cause.CLOSE_DATE, 0, 100_000),
        ("Ana", "19"): (Cause.ROUNDING, 16, 15),
        ("Bo", "api-1"): (Cause.NOT_IN_SOURCE, 0, 700),
    }
    assert (found.undated, found.total.agree) == (1, 1)
    said = {key: d.sentence for key, d in every.items()}
    assert "$1,500.00 here, $1,000.00 in the source. Amended on" in said["Ana", "006-2"]
    assert said["Ana", "006-3"].startswith("It closes on 30 Jun 2026 here, on 10 Aug 2026 in the source.")
    assert said["Bo", "006-4"] == "Bo has 30% of it here; the source gives all of it to Ana."
    assert "No rep is called Mark Miller" in said["Mark Miller", "006-9"]
    assert "33.33%" in said["Ana", "006-12"]
    june = {(d.cause, d.said, d.credited) for d in told(looked_at_june(market), market.admin)}
    assert june == {(Cause.CLOSE_DATE, 100_000, 0), (Cause.CLOSE_DATE, 0, 100_000)}


def looked_at_june(market: make.World) -> Reconciliation:
    quarter = make.fiscal_year(year=2026).named("FY26-Q4")
    return reconciliation.reconcile(
        source=reconciliation.sources()[0],
        period=quarter,
        measure=market.bookings,
        reps=None,
        chosen=Chosen(),
    )


def expected(market: make.World, period: Any) -> tuple[Counter[Any], Counter[Any]]:
    """Said and credited by person, worked out row by row."""
    said: Counter[Any] = Counter()
    credited: Counter[Any] = Counter()
    for record in SourceRecord.objects.filter(state="won", amount_minor__isnull=False):
        if record.close_date and period.starts <= record.close_date < period.ends:
            who = record.owner_id or record.owner_name
            if record.currency in ("USD", "EUR"):
                said[who] += value_in_measure(
                    record.amount_minor or 0, RATE if record.currency == "EUR" else None, 2, 2
                )
    months = [m.pk for m in market.year.months if period.starts <= m.starts < period.ends]
    for entry in CreditEntry.objects.filter(
        measure=market.bookings,
        component=Component.CREDIT,
        receiver_class=ReceiverClass.DIRECT,
        deal__source="crm",
        origin_period__in=months,
    ):
        credited[entry.rep_id] += entry.amount_minor
    return said, credited


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.soak)])
def test_the_parts_add_up_to_the_difference_of_everybody_in_any_world(seed: int) -> None:
    dice = random.Random(seed)
    base = make.measure(name="AI bookings")
    market = make.world(
        rules=[
            make.Rule(base, slug="base", name="Every deal", factor_ppm=1_100_000, cap_minor=900_00),
            make.Rule(base, slug="spiff", name="SPIFF", factor_ppm=50_000, exclusive=False),
        ]
    )
    market = replace(market, bookings=base)
    StraightThroughPolicy.objects.create(
        name="CRM imports", version=1, sources=["crm"], drafted_by=market.admin, drafted_at=make.AT, published_by=make.user(role=Role.COMP_ADMIN), published_at=make.AT,
    )  # fmt: skip
    make.fx(code="EUR", rate="1.0837")
    make.currency(code="GBP")
    make.decision(offering=make.offering(name="Free model"), rate_ppm=0)
    make.decision(offering=make.offering(name="Half model"), rate_ppm=333_333)

    def row(number: int) -> list[dict[str, Any]]:
        day = date(2026, 6, 20) + timedelta(days=dice.randrange(56))
        one = won(
            market,
            number,
            Stage=dice.choice(["Won"] * 8 + ["Open", "Lost", "Someday"]),
            Owner=dice.choice(["Ana", "Ana", "Bo", "Cy", "Mark Miller"]),
            Product=dice.choice(
                ["House model"] * 4 + ["Third-party model", "Free model", "Half model", "Nobody knows it"]
            ),
            Currency=dice.choice(["USD", "USD", "EUR", "GBP"]),
            Close=dice.choice([day.isoformat()] * 12 + ["soon"]),
        )
        lines = dice.choice([1, 1, 1, 3])
        return [one | {"Amount": f"{dice.randrange(1, 200_000) / 100:.2f}"} for _line in range(lines)]

    others = [(market.ana, 333_333), (market.bo, 333_333), (market.cy, 333_334)]
    numbers = range(1, 31)
    brought(market, *(each for number in numbers for each in row(number)))
    again = dice.sample(numbers, 10)
    for number in dice.sample(numbers, 14):
        there = Deal.objects.filter(
            external_id=f"006-{number}", state="approved", amended_at=None, held=False
        ).first()
        if there is None:
            continue
        what = dice.choice(["amount", "day", "shares", "hold", "cancel"])
        if what == "amount":
            amended(market, number, at_amount(dice.randrange(1, 200_000)))
        elif what == "day":
            amended(market, number, on_day(date(2026, 6, 25) + timedelta(days=dice.randrange(20))))
        elif what == "shares":
            amended(market, number, shared(*others), approve=dice.random() < 0.7)
        elif what == "hold":
            approving.hold_deal(deal_id=there.pk, by=market.admin, at=make.AT, reason="In doubt")
        else:
            approving.cancel_deal(deal_id=there.pk, by=market.admin, at=make.AT, reason="Never signed")
    brought(market, *(each for number in again for each in row(number)))
    own = make.deal(owner=market.ana, state="submitted", lines=[make.Line(market.house, 12_34)])
    approving.approve_deal(deal_id=own.pk, by=make.login(market.mia), at=make.AT)

    assert broken() == {}
    for name in ("FY27-Q1", "FY27-M01", "FY27-M02", "FY27"):
        period = market.year.named(name)
        found = looked(market, period=name)
        said, credited = expected(market, period)
        stood = {each.who.rep_id or each.who.name: each.sums for each in found.standings}
        assert {who: sums.said for who, sums in stood.items() if sums.said} == {
            w: n for w, n in said.items() if n
        }
        assert {who: s.credited for who, s in stood.items() if s.credited} == {
            w: n for w, n in credited.items() if n
        }

        every = told(found, market.admin)
        parts: Counter[Any] = Counter()
        for each in every:
            parts[each.who.rep_id or each.who.name] += each.difference
            assert each.sentence
            assert each.cause != Cause.OTHER
        assert parts == {who: sums.difference for who, sums in stood.items() if sums.differ}
        keys = [
            (each.who, each.record.pk if each.record else 0, each.deal.pk if each.deal else 0)
            for each in every
        ]
        assert len(keys) == len(set(keys)) == found.total.differ
        assert sum(part.difference for part in found.parts) == found.total.difference
        assert sum(part.differ for part in found.parts) == found.total.differ

        # What is credited here, beside it and elsewhere is what the ledger has; what was posted elsewhere leads to the board.
        ledger = CreditEntry.objects.filter(
            measure=market.bookings, receiver_class=1,
            origin_period__in=[m.pk for m in market.year.months if period.starts <= m.starts < period.ends],
        )  # fmt: skip
        assert found.restated == (ledger.aggregate(x=Sum("amount_minor"))["x"] or 0)
        total = CreditTotal.objects.filter(period=period, measure=market.bookings, basis=TotalBasis.REPORTED)
        assert found.reported == (total.aggregate(x=Sum("direct_minor"))["x"] or 0)


def test_a_second_calendar_has_its_own_deals(market: make.World) -> None:
    years = make.calendar_years()
    year = make.fiscal_year(year=2026, of=years)
    unit = make.team(name="Second unit")
    unit.calendar = years
    unit.save()
    make.rep(team=unit, name="Dee")
    brought(
        market, won(market, 1), won(market, 2, Owner="Dee"), won(market, 3, Owner="Dee", Product="Unknown")
    )
    source = reconciliation.sources()[0]

    def by_name(period: Any) -> dict[str, tuple[int, int, int]]:
        found = reconciliation.reconcile(source=source, period=period, measure=market.bookings, reps=None)
        return {s.who.name: (s.sums.said, s.sums.credited, s.sums.differ) for s in found.standings}

    assert by_name(market.year.named("FY27-Q1")) == {"Ana": (100_000, 100_000, 0)}
    assert by_name(year.named("CY26-Q3")) == {"Dee": (200_000, 100_000, 1)}


def file_of(client: Client, **asked: str) -> str:
    answer: Any = client.get(reverse("quotas:reconciliation"), asked)
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def test_the_page_says_whom_what_and_why_and_hands_it_out(market: make.World) -> None:
    address = reverse("quotas:reconciliation")
    admin = as_user(market.admin)
    assert "No deals were imported yet" in text(admin.get(address))
    brought(
        market,
        won(market, 1),
        won(market, 2, Product="Free model"),
        won(market, 3, Owner="Cy", Amount="2000000.00"),
        won(market, 4, Owner="<b>Mark & Co</b>"),
    )
    amended(market, 1, shared((market.ana, 500_000), (market.cy, 500_000)))

    page = admin.get(address)
    body = text(page)
    assert "What crm says against what is credited" in body
    assert "<b>Mark & Co</b>" in body
    assert "not a rep here" in body
    assert [str(person.standing.who.name) for person in page.context["people"]] == [
        "Cy",
        "Ana",
        "<b>Mark & Co</b>",
    ]
    everything = admin.get(address, {"reason": "all"})
    fixes = {line.fix.text: line.fix.url for line in everything.context["lines"]}
    assert fixes.keys() == {"Decide on it", "See the file", "Amend it", "Its decisions"}
    for url in fixes.values():
        assert admin.get(url).status_code == 200
    for person in page.context["people"]:
        one = admin.get(address + person.query)
        assert one.context["count"] == person.standing.sums.differ
        assert len(one.context["lines"]) == person.standing.sums.differ
    assert "Waits for approval" in text(admin.get(address, {"reason": "submitted"}))
    part = admin.get(address, {"show": "all"}, headers={"HX-Request": "true", "HX-Target": "reconciled"})
    assert part.content.lstrip().startswith(b'<div class="grid aside loose" id="reconciled"')

    rows = file_of(admin, format="csv").splitlines()
    assert [row.split(",")[0] for row in rows] == ["Rep", "Cy", "Ana", "<b>Mark & Co</b>"]
    named = file_of(admin, reason="all", format="csv")
    assert named.count("Waits for approval") == 1
    assert "the source gives all of it to Ana" in named

    # A manager sees the own reps, nobody else's names on deals that are none of his business, and what is not his is not there.
    zed = as_user(make.login(market.zed))
    page = zed.get(address)
    assert [person.standing.who.name for person in page.context["people"]] == ["Cy"]
    assert "Mark" not in text(page)
    assert zed.get(address, {"rep": market.ana.slug}).status_code == 404
    assert zed.get(address, {"owner": "<b>Mark & Co</b>"}).status_code == 404
    his = zed.get(address, {"reason": "all"})
    assert {line.difference.who.name for line in his.context["lines"]} == {"Cy"}
    assert sum(line.difference.credited for line in his.context["lines"]) == 50_000
    assert as_user(market.auditor).get(address, {"reason": "all"}).status_code == 200
    assert as_user(make.login(market.ana)).get(address).status_code == 404
    assert admin.get(address, {"reason": "nonsense"}).status_code == 404
    assert admin.get(address, {"source": "elsewhere"}).status_code == 404


def test_behind_the_last_page_is_the_last_page(market: make.World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quotas.views.reconciliation.PAGE", 1)
    brought(
        market,
        won(market, 1, Product="Free model"),
        won(market, 2, Owner="Cy", Product="Free model", Amount="2000.00"),
    )
    admin, address = as_user(market.admin), reverse("quotas:reconciliation")
    people = admin.get(address, {"cursor": "9"})
    assert [each.standing.who.name for each in people.context["people"]] == ["Ana"]
    assert (people.context["previous"], people.context["next"]) == ("?", "")
    behind = admin.get(address, {"reason": "all", "cursor": "9"})
    assert [line.difference.who.name for line in behind.context["lines"]] == ["Ana"]
    assert "Nothing differs here" not in text(behind)


def test_everything_agrees_and_it_takes_no_more_queries_for_many_reps(market: make.World) -> None:
    brought(market, won(market, 1))
    admin = Client()
    admin.force_login(market.admin)
    address = reverse("quotas:reconciliation")

    def queries(**asked: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as caught:
            assert admin.get(address, asked).status_code == 200
        return len(caught)

    said = text(admin.get(address))
    assert "Everything agrees." in said
    assert "$1,000.00" in said
    few, one = queries(), queries(reason="all")
    assert few < 35
    names = [make.rep(team=market.team, name=f"Rep {n}").name for n in range(6)]
    rows = [won(market, 100 + n, Owner=name, Amount=f"{n + 1}0.00") for n, name in enumerate(names)]
    rows += [won(market, 200 + n, Owner=name, Product="Free model") for n, name in enumerate(names)]
    rows += [won(market, 300 + n, Owner=name, Product="Half model") for n, name in enumerate(names)]
    rows += [won(market, 400 + n, Owner=f"Nobody {n}") for n in range(5)]
    brought(market, *rows)
    assert queries() == few
    first = queries(reason="all")
    assert first <= one + 10  # deals, records, lines, shares, decisions: each once
    brought(
        market, *(won(market, 500 + n, Owner=name, Product="Half model") for n, name in enumerate(names[:4]))
    )
    assert queries(reason="all") == first
