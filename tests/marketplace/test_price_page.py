"""The price page: history, gaps, corrections and what is announced, as of any day, on a constant number of queries."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from html import unescape

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from marketplace.models import Currency, Offering, Plan, PriceRow, PriceVersion
from marketplace.selectors.price_history import PriceList, price_lists
from marketplace.services.pricing import RowDraft, correct_price_version
from tests import make

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 19, tzinfo=UTC)
Browser = Callable[[User], Client]

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dollars(db: None) -> None:
    Currency.objects.filter(pk=make.currency().pk).update(symbol="$")


def only(offering: Offering, on: date = ON) -> PriceList:
    (found,) = price_lists(offering, on)
    return found


def text(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200, path
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode())))


def path(offering: Offering, query: str = "") -> str:
    return f"/catalog/{offering.slug}/prices/{query}"


@pytest.fixture
def plan() -> Plan:
    """From 2026 on $3 and from October on $2.50, input; output unknown and then $12.50."""
    plan = make.plan()
    make.price(
        plan=plan,
        effective=(date(2026, 1, 1), date(2026, 10, 1)),
        rows={"input-tokens": "3", "output-tokens": None},
    )
    make.price(
        plan=plan,
        effective=(date(2026, 10, 1), None),
        rows={"input-tokens": "2.5", "output-tokens": "12.5"},
    )
    return plan


def test_a_change_to_come_is_announced_in_words(plan: Plan) -> None:
    found = only(plan.offering)
    said = {meter.name: [str(change) for change in meter.announced] for meter in found.meters}
    assert said == {
        "Input tokens": ["from 1 Oct 2026: $2.50, \N{MINUS SIGN}17%"],
        "Output tokens": ["from 1 Oct 2026: $12.50"],
    }
    assert [meter.now for meter in found.meters] == ["$3.00", "unknown"]
    after = only(plan.offering, date(2026, 10, 1))
    assert [meter.now for meter in after.meters] == ["$2.50", "$12.50"]
    assert after.announced == []


def test_an_end_without_a_price_behind_it_is_announced_as_a_gap() -> None:
    plan = make.plan()
    make.price(plan=plan, effective=(date(2026, 1, 1), date(2026, 9, 1)), rows={"seats": "30"})
    make.price(plan=plan, effective=(date(2026, 11, 1), None), rows={"seats": "31"})
    found = only(plan.offering)
    assert [notice.text for notice in found.announced] == [
        "from 1 Sep 2026: no price in effect",
        "from 1 Nov 2026: $31.00",
    ]
    assert [(gap.start, gap.end) for gap in found.gaps] == [(date(2026, 9, 1), date(2026, 11, 1))]
    assert only(plan.offering, date(2026, 10, 1)).meters[0].now == "no price in effect"


def test_unknown_is_unknown_free_is_free_and_neither_is_a_gap() -> None:
    plan = make.plan()
    make.price(plan=plan, effective=(date(2026, 1, 1), date(2026, 2, 1)), rows={"input-tokens": None})
    make.price(plan=plan, effective=(date(2026, 2, 1), date(2026, 3, 1)), rows={"input-tokens": "0"})
    found = only(plan.offering)
    nows = [only(plan.offering, date(2026, m, 15)).meters[0].now for m in (1, 2, 3)]
    assert nows == ["unknown", "free", "no price in effect"]
    assert [(s.amount, s.version is None) for s in found.meters[0].stretches] == [
        (None, False),
        (Decimal(0), False),
        (None, True),
    ]


def test_a_correction_stands_beside_what_it_corrected(plan: Plan, browser_of: Browser) -> None:
    wrong = PriceVersion.objects.order_by("id")[0]
    keeper = make.user(role="catalog_manager", name="Mara Maker")
    right = correct_price_version(
        price_version_id=wrong.pk,
        rows=[RowDraft("input-tokens", 1_000_000, "token", Decimal("2.75"))],
        source="The list of 14 August",
        by=keeper,
        at=AT,
    )
    lines = {line.version.pk: line for line in only(plan.offering).versions}
    assert (lines[wrong.pk].replaced_by, lines[right.pk].corrects) == (right.pk, (wrong.pk,))
    client = browser_of(make.user(role="rep"))
    html = client.get(path(plan.offering)).content.decode()
    assert "<s>$3.00 per million input tokens</s>" in html
    seen = text(client, path(plan.offering))
    assert f"corrected by version {right.pk} on 14 Aug 2026" in seen
    assert f"by Mara Maker; corrects version {wrong.pk}" in seen
    outside = text(browser_of(make.user(role="partner")), path(plan.offering))
    assert "Mara Maker" not in outside


def test_the_page_draws_what_is_to_come_dashed_and_has_a_table_of_it(plan: Plan, browser_of: Browser) -> None:
    html = browser_of(make.user(role="rep")).get(path(plan.offering)).content.decode()
    assert html.count('class="chart steps"') == 2
    assert 'class="ln ahead' in html
    seen = text(browser_of(make.user(role="rep")), path(plan.offering))
    assert "from 1 Oct 2026: $2.50, \N{MINUS SIGN}17%" in seen
    assert "1 Jan 2026 1 Oct 2026 unknown" in seen


def test_tiers_long_requests_markets_and_currencies_stand_apart(browser_of: Browser) -> None:
    plan = make.plan()
    version = make.price(plan=plan, rows={"input-tokens": "3"})
    PriceRow.objects.bulk_create(
        PriceRow(
            version=version,
            meter="input-tokens",
            per=1_000_000,
            unit="token",
            amount=Decimal(amount),
            **{name: value},
        )
        for amount, name, value in (("2", "tier_from", 10_000_000), ("6", "above_context", 200_000))
    )
    make.price(plan=plan, market="DE", code="EUR", rows={"input-tokens": "2.80"})
    seen = text(browser_of(make.user(role="rep")), path(plan.offering))
    assert "$2.00 per million input tokens, from 10,000,000 on" in seen
    assert "$6.00 per million input tokens, in requests of more than 200,000" in seen
    assert "market DE" in seen
    rows = (
        browser_of(make.user(role="rep"))
        .get(f"/api/v1/offerings/{plan.offering.slug}/prices/?market=world")
        .json()["results"][0]["rows"]
    )
    assert {(r["tier_from"], r["above_context"], r["price"]["amount"]) for r in rows} == {
        (0, 0, "3.00"),
        (10_000_000, 0, "2.00"),
        (0, 200_000, "6.00"),
    }


def test_another_day_is_another_page_and_says_so(plan: Plan, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    assert "now $3.00" in text(client, path(plan.offering, "?as_of=2026-09-30"))
    later = text(client, path(plan.offering, "?as_of=2026-10-01"))
    assert "Announced" not in later
    assert "as on 1 Oct 2026" in later
    offering = f"/catalog/{plan.offering.slug}/"
    assert "$2.50 per million input tokens" in text(client, f"{offering}?as_of=2026-10-01")
    assert "As on 1 Oct 2026. Everything on this page is as on that day, as far as it is decided" in text(
        client, f"{offering}?as_of=2026-10-01"
    )
    assert "Everything on this page" not in text(client, offering)
    assert client.get(path(plan.offering, "?as_of=soon")).status_code == 200


def test_nobody_reads_the_prices_of_what_is_not_published(plan: Plan, browser_of: Browser) -> None:
    Offering.objects.filter(pk=plan.offering_id).update(publication="draft")
    assert browser_of(make.user(role="rep")).get(path(plan.offering)).status_code == 404
    own = make.user(role="partner", publisher=plan.offering.publisher)
    assert browser_of(own).get(path(plan.offering)).status_code == 200


def test_a_plan_without_a_price_is_named_and_an_offering_without_a_plan_says_what_to_do(
    browser_of: Browser,
) -> None:
    client = browser_of(make.user(role="rep"))
    without = make.plan()
    assert f"{without.name} Per token: no price recorded" in text(client, path(without.offering))
    assert "No plan yet" in text(client, path(make.offering()))


def test_few_prices_cost_as_many_queries_as_many(plan: Plan, browser_of: Browser) -> None:
    client = browser_of(make.user(role="rep"))
    client.get(path(plan.offering))
    with CaptureQueriesContext(connection) as few:
        client.get(path(plan.offering))
    for _ in range(6):
        make.price(plan=make.plan(offering=plan.offering))
    with CaptureQueriesContext(connection) as many:
        client.get(path(plan.offering))
    assert len(many) == len(few)
