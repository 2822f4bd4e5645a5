"""What a month of use costs: exact, tier by tier, unknown where a price is, and as the genai-prices package works it out."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import genai_prices
import pytest
from django.db.backends.postgresql.psycopg_any import DateRange
from django.test import Client
from genai_prices.data import providers
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from config import formats
from marketplace.importers.genai_prices import rows as package_rows
from marketplace.importers.rows import ListingFacts
from marketplace.models import Offering, Plan, PriceRow, PriceVersion
from marketplace.selectors.costs import Usage, costs_of, graduated, monthly_cost, plain
from marketplace.selectors.prices import prices_on
from marketplace.selectors.resources import with_facts
from marketplace.views.costs import read_number
from tests import make
from tests.marketplace.conftest import Catalog

ON = date(2026, 8, 14)
AT = datetime(2026, 8, 14, 20, tzinfo=UTC)  # outside the special hours that a few models have
Row = tuple[str, str | None, int, int]  # meter, amount for a million, tier_from, above_context

pytestmark = pytest.mark.django_db


def priced(*rows: Row, form: str = "tokens", unit: str = "token", per: int = 1_000_000) -> PriceVersion:
    version = make.price(plan=make.plan(pricing_form=form), rows={})
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=version,
                meter=meter,
                per=per,
                unit=unit,
                tier_from=tier,
                above_context=above,
                amount=None if amount is None else Decimal(amount),
            )
            for meter, amount, tier, above in rows
        ]
    )
    return version


def total(version: PriceVersion, usage: Usage) -> Fraction | None:
    return monthly_cost([version], usage, version.plan).total


def test_tokens_cost_what_the_list_says_and_cached_ones_are_part_of_the_input() -> None:
    version = priced(
        ("input-tokens", "3", 0, 0), ("cached-input-tokens", "0.30", 0, 0), ("output-tokens", "15", 0, 0)
    )
    usage = Usage(input_tokens=10_000_000, cached_input_tokens=4_000_000, output_tokens=1_000_000)
    assert total(version, usage) == 18 + Fraction(12, 10) + 15
    assert monthly_cost([version], usage, version.plan).minor == 34_20


def test_cached_tokens_without_a_price_of_their_own_are_charged_as_input_and_that_is_said() -> None:
    version = priced(("input-tokens", "3", 0, 0))
    cost = monthly_cost([version], Usage(input_tokens=2_000_000, cached_input_tokens=1_000_000), version.plan)
    assert cost.total == 6
    assert cost.notes == ("Cached input tokens have no price of their own: charged as input.",)


def test_tiers_are_graduated_by_month() -> None:
    version = priced(
        ("input-tokens", "3", 0, 0), ("input-tokens", "2", 1_000_000, 0), ("input-tokens", "1", 5_000_000, 0)
    )
    assert total(version, Usage(input_tokens=1_000_000)) == 3
    assert total(version, Usage(input_tokens=1_000_001)) == 3 + Fraction(2, 1_000_000)
    assert total(version, Usage(input_tokens=7_000_000)) == 3 + 8 + 2


def test_a_long_request_is_charged_as_a_whole_and_the_average_decides() -> None:
    version = priced(
        ("input-tokens", "3", 0, 0),
        ("input-tokens", "6", 0, 200_000),
        ("output-tokens", "15", 0, 0),
        ("output-tokens", "22.5", 0, 200_000),
    )
    at_the_edge = Usage(input_tokens=2_000_000, output_tokens=100_000, requests=10)
    assert total(version, at_the_edge) == 6 + Fraction(3, 2)
    over = Usage(input_tokens=2_000_010, output_tokens=100_000, requests=10)
    assert total(version, over) == Fraction(2_000_010 * 6, 1_000_000) + Fraction(9, 4)
    unsaid = monthly_cost([version], Usage(input_tokens=2_000_000), version.plan)
    assert unsaid.total == 6
    assert "taken to be short" in unsaid.notes[0]


def test_an_unknown_price_makes_the_cost_unknown_and_never_nothing() -> None:
    version = priced(("input-tokens", "3", 0, 0), ("output-tokens", None, 0, 0))
    cost = monthly_cost([version], Usage(input_tokens=1_000_000, output_tokens=1), version.plan)
    assert (cost.total, cost.minor, cost.unknown) == (None, None, ("output-tokens",))
    assert cost.why_unknown == "The price of output tokens is not known."
    assert total(version, Usage(input_tokens=1_000_000)) == 3
    absent = priced(("input-tokens", "3", 0, 0))
    assert total(absent, Usage(input_tokens=1, output_tokens=1)) is None


def test_free_is_zero_and_no_price_in_effect_is_not() -> None:
    free = priced(("input-tokens", "0", 0, 0), ("output-tokens", "0", 0, 0))
    assert total(free, Usage(input_tokens=10, output_tokens=10)) == 0
    plan = make.plan()
    gap = monthly_cost([], Usage(input_tokens=10), plan)
    assert (gap.total, gap.missing) == (None, "No price is in effect.")


def test_units_are_charged_by_the_hour_all_month_and_seats_by_the_month() -> None:
    units = priced(("provisioned-units", "2", 0, 0), form="provisioned", unit="unit-hour", per=1)
    assert total(units, Usage(input_tokens=10**9, provisioned_units=3)) == 3 * 730 * 2
    asked = monthly_cost([units], Usage(input_tokens=10**9), units.plan)
    assert (asked.total, asked.missing) == (None, "Say how many units.")
    seats = priced(("seats", "30", 0, 0), form="seat", unit="seat-month", per=1)
    assert total(seats, Usage(seats=12)) == 360
    assert monthly_cost([seats], Usage(input_tokens=5), seats.plan).missing == "Say how many seats."


@given(
    st.integers(0, 10**12), st.integers(0, 10**12), st.lists(st.integers(1, 10**11), unique=True, max_size=4)
)
def test_tiers_never_lose_a_unit(first: int, more: int, starts: list[int]) -> None:
    rows = [
        PriceRow(meter="input-tokens", per=1_000_000, unit="token", tier_from=start, amount=Decimal("2.5"))
        for start in [0, *sorted(starts)]
    ]
    one, both = (graduated(rows, n) or 0 for n in (first, first + more))
    assert one == Fraction(5, 2) * first / 1_000_000
    assert both - one == Fraction(5, 2) * more / 1_000_000


def test_more_cached_than_input_makes_no_sense() -> None:
    wrong = Usage(input_tokens=1, cached_input_tokens=1, cache_write_tokens=1, seats=-1).problems()
    assert {(name, code) for name, code, _ in wrong} == {
        ("seats", "out_of_range"),
        ("cached_input_tokens", "more_cached_than_input"),
    }


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("", 0),
        ("250M", 250_000_000),
        ("1.5bn", 1_500_000_000),
        ("1,500 000", 1_500_000),
        ("2k", 2000),
        ("1.5", None),
        ("-1", None),
        ("1e9", None),
        ("NaN", None),
        ("9" * 40, None),
    ],
)
def test_numbers_are_read_as_people_write_them(written: str, number: int | None) -> None:
    assert read_number(written) == number


def test_several_offerings_stand_in_order_of_cost_with_the_unknown_last() -> None:
    dear, cheap, unknown, retired = (make.offering(name=n) for n in ("Dear", "Cheap", "Unknown", "Retired"))
    for offering, amount in ((dear, "9"), (cheap, "1"), (unknown, None), (retired, "0.5")):
        make.price(plan=make.plan(offering=offering), rows={"input-tokens": amount})
    Offering.objects.filter(pk=retired.pk).update(retires_on=ON)
    found = costs_of(_read([dear, cheap, unknown, retired]), Usage(input_tokens=1_000_000), on=ON)
    assert [(f.offering.name, plain(f.cost.total)) for f in found] == [
        ("Cheap", "1.00"),
        ("Dear", "9.00"),
        ("Unknown", None),
        ("Retired", "0.50"),
    ]
    assert found[-1].refusal == "Retired has been retired since 14 Aug 2026."


@pytest.mark.parametrize(("country", "amount"), [("", "3.00"), ("IN", "1.00"), ("DE", "3.00")])
def test_another_markets_list_is_the_price_only_there(country: str, amount: str) -> None:
    plan = make.plan()
    make.price(plan=plan, rows={"input-tokens": "1"}, market="IN")
    make.price(plan=plan, rows={"input-tokens": "3"})
    (found,) = costs_of(_read([plan.offering]), Usage(input_tokens=1_000_000), on=ON, country=country)
    assert plain(found.cost.total) == amount


def test_publishers_play_no_part_in_the_order(django_assert_num_queries: Any) -> None:
    offerings = [make.offering(name=f"Same {n}") for n in range(4)]
    for offering in offerings:
        make.price(plan=make.plan(offering=offering), rows={"input-tokens": "2"})
    read = _read(offerings)
    with django_assert_num_queries(2):
        first = costs_of(read, Usage(input_tokens=5), on=ON)
    publishers = [o.publisher for o in read]
    for offering, publisher in zip(read, [*publishers[1:], publishers[0]], strict=True):
        offering.publisher = publisher
    again = costs_of(read[::-1], Usage(input_tokens=5), on=ON)
    assert [f.offering.pk for f in again] == [f.offering.pk for f in first]


def _read(offerings: list[Offering]) -> list[Offering]:
    found = with_facts(Offering.objects.filter(pk__in=[o.pk for o in offerings])).in_bulk()
    return [found[o.pk] for o in offerings]


# --- the package's own calculator

# Requests, and of each: input, cached, written to a cache, output.
AGREE = 2_250
PROFILES = (
    (1_000, 2_000, 0, 0, 500),
    (333, 12_345, 6_789, 0, 1_111),
    (77, 150_000, 100_000, 20_000, 8_000),
    (9, 250_000, 10_000, 1_000, 3_333),
    (3, 600_001, 0, 599_999, 64_000),
    (12, 4_096, 0, 0, 0),
)


def test_a_sample_of_the_package_costs_what_its_own_calculator_says() -> None:
    seen = _agreed(step=10)
    assert seen["agree"] >= AGREE // 10, seen
    assert seen["calc_price"] > 1_200, seen


@pytest.mark.soak
def test_every_model_of_the_package_costs_what_its_own_calculator_says() -> None:
    seen = _agreed(step=1)
    assert seen["agree"] >= AGREE, seen
    assert seen["calc_price"] > 12_000, seen


def _agreed(*, step: int) -> Counter[str]:
    """To the cent, on all profiles; a model without a price for what a profile uses is unknown here and nothing there."""
    imported = _import_the_package(step)
    prices = prices_on([plan.pk for plan, _, _ in imported], ON)
    seen: Counter[str] = Counter()
    for plan, provider, model in imported:
        known = 0
        for requests, tokens, cached, written, output in PROFILES:
            cost = monthly_cost(
                prices.get(plan.pk, []),
                Usage(requests * tokens, requests * cached, requests * written, requests * output, requests),
                plan,
            )
            if cost.total is None:
                continue
            asked = genai_prices.Usage(
                input_tokens=tokens,
                cache_read_tokens=cached,
                cache_write_tokens=written,
                output_tokens=output,
            )
            theirs, found_by = _theirs(asked, provider, model)
            seen[found_by] += 1
            cents = formats.rounded(Fraction(theirs) * requests * 100)
            assert cost.minor == cents, (provider, model, tokens, cost.notes)
            known += 1
        seen["agree" if known else "not by tokens"] += 1
    return seen


def _theirs(usage: genai_prices.Usage, provider: str, model: str) -> tuple[Decimal, str]:
    """What one request costs: by name, or by the model itself where the package finds another one under its id, or none."""
    try:
        found = genai_prices.calc_price(usage, model, provider_id=provider, genai_request_timestamp=AT)
        if (found.provider.id, found.model.id) == (provider, model):
            return found.total_price, "calc_price"
    except LookupError:
        pass
    known = next(m for p in providers if p.id == provider for m in p.models if m.id == model)
    return known.get_prices(AT).calc_price(usage)["total_price"], "the model itself"


def _import_the_package(step: int) -> list[tuple[Plan, str, str]]:
    """The standard plan of every, or every so many, models that it has a price for, as list prices."""
    currency, offering = make.currency(), make.offering()
    made: list[tuple[Plan, str, str]] = []
    spans: list[tuple[PriceVersion, Any]] = []
    listings = [(row, row.facts) for row in package_rows() if isinstance(row.facts, ListingFacts)]
    for row, listing in listings[::step]:
        for facts in listing.plans:
            if facts.slug not in ("standard", "free"):
                continue
            plan = Plan(offering=offering, slug=f"p-{row.number}", name=row.key[:120], pricing_form="tokens")
            made.append((plan, row.provider, row.key))
            for span in facts.prices:
                version = PriceVersion(
                    plan=plan,
                    currency=currency,
                    effective=DateRange(span.start, span.end),
                    source="genai-prices",
                    recorded_at=AT,
                )
                spans.append((version, span))
    Plan.objects.bulk_create([plan for plan, _, _ in made])
    PriceVersion.objects.bulk_create([version for version, _ in spans])
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=version,
                meter=line.meter,
                per=line.per,
                unit=line.unit,
                above_context=line.above_context,
                amount=line.amount,
            )
            for version, span in spans
            for line in span.lines
        ]
    )
    return made


# --- the page and the endpoint


def test_page_and_endpoint_say_the_same(catalog: Catalog, browser_of: Callable[[User], Client]) -> None:
    client = browser_of(make.user(role="rep"))
    query = "offerings=gpt-4-1,claude-sonnet-4-5&input_tokens=1000000&output_tokens=1000000&as_of=2026-08-14"
    body = client.get(f"/api/v1/costs/?{query}").json()["results"]
    html = client.get(f"/catalog/calculator/?{query}").content.decode()
    known = [row for row in body if row["total"] is not None]
    assert len(known) >= 2
    assert [Decimal(r["total"]) for r in known] == sorted(Decimal(r["total"]) for r in known)
    for row in known:
        assert f"${Decimal(row['total']):,.2f}" in html
    assert {r["offering"] for r in body} == {"gpt-4-1", "claude-sonnet-4-5"}


def test_the_endpoint_names_what_is_wrong(catalog: Catalog, browser_of: Callable[[User], Client]) -> None:
    client = browser_of(make.user(role="rep"))
    for query, parameter, code in (
        ("input_tokens=1", "offerings", "required"),
        ("offerings=gpt-4-1&input_tokens=-1", "input_tokens", "min_value"),
        (
            "offerings=gpt-4-1&input_tokens=1&cached_input_tokens=2",
            "cached_input_tokens",
            "more_cached_than_input",
        ),
        ("offerings=no-such-one", "offerings", "unknown_offering"),
    ):
        answer = client.get(f"/api/v1/costs/?{query}")
        assert answer.status_code == 400, query
        (error,) = answer.json()["errors"]
        assert (error["parameter"], error["code"]) == (parameter, code)


def test_the_calculators_state_stands_in_its_address(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    client = browser_of(make.user(role="rep"))
    added = client.get("/catalog/calculator/?add=GPT-4.1&input_tokens=5M&task=coding")
    assert added.status_code == 302
    assert added["Location"] == "/catalog/calculator/?offerings=gpt-4-1&input_tokens=5M&task=coding"
    html = client.get(added["Location"]).content.decode()
    assert 'value="5M"' in html
    assert "Plans side by side" in html
    assert (
        "There is no offering of that name" in client.get("/catalog/calculator/?add=nothing").content.decode()
    )
    wrong = client.get("/catalog/calculator/?input_tokens=x&offerings=gpt-4-1").content.decode()
    assert "That usage makes no sense" in wrong


def test_an_unpublished_offering_is_in_nobody_elses_calculator(
    catalog: Catalog, browser_of: Callable[[User], Client]
) -> None:
    Offering.objects.filter(slug="gpt-4-1").update(publication="draft")
    client = browser_of(make.user(role="partner"))
    assert client.get("/api/v1/costs/?offerings=gpt-4-1").status_code == 400
    assert "GPT-4.1" not in client.get("/catalog/calculator/?offerings=gpt-4-1").content.decode().replace(
        "GPT-4.1 ", ""
    )
