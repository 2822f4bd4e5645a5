"""What a month of use costs on a plan. Exact: fractions inside, rounded once, and what is not known is never taken for 0.

How a price list is read
- Cached input and cache writes are part of the input tokens. A list without a price of their own charges them as input.
- Tiers (tier_from) are graduated by month: each unit costs what its own tier says.
- above_context is a rate for the whole of a request with more input tokens than that. The average request decides; where
  the number of requests is not given, requests are taken to be small, and the cost says so.
- A unit that is charged by the hour is charged for 730 hours a month.
- A plan without any price of tokens does not meter them; a plan by the seat or unit needs to know how many.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Final

from config import formats
from marketplace.models import Currency, Customer, Offering, Plan, PriceRow, PriceVersion, PricingForm
from marketplace.selectors.on_sale import why_not, why_not_plan
from marketplace.selectors.prices import METERS, prices_on, row_text
from marketplace.selectors.private_offers import accepted_offers

HOURS_A_MONTH: Final = 730
LARGEST: Final = 10**15
INPUT, CACHED, CACHE_WRITE, OUTPUT = (
    "input-tokens",
    "cached-input-tokens",
    "cache-write-tokens",
    "output-tokens",
)
TOKENS: Final = (INPUT, CACHED, CACHE_WRITE, OUTPUT)
UNITS: Final = ("provisioned-units", "security-compute-units")
SEATS: Final = "seats"
REQUESTS: Final = "requests"
MONTHS: Final[Mapping[str, int]] = {
    "unit-hour": HOURS_A_MONTH,
    "unit-month": 1,
    "seat-month": 1,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What is used in a month. cached_input_tokens and cache_write_tokens are part of input_tokens."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    provisioned_units: int = 0
    seats: int = 0

    def problems(self) -> list[tuple[str, str, str]]:
        """Field, code and message of everything that makes no sense."""
        found = []
        for each in fields(self):
            value = getattr(self, each.name)
            if not 0 <= value <= LARGEST:
                found.append((each.name, "out_of_range", f"Between 0 and {formats.whole(LARGEST)}."))
        if self.cached_input_tokens + self.cache_write_tokens > self.input_tokens:
            found.append(
                (
                    "cached_input_tokens",
                    "more_cached_than_input",
                    "Cached tokens and cache writes are part of the input: together they cannot be more.",
                )
            )
        return found

    @property
    def request_size(self) -> Fraction | None:
        """Input tokens of the average request; None where the number of requests is not given."""
        return Fraction(self.input_tokens, self.requests) if self.requests else None


@dataclass(frozen=True, slots=True)
class CostLine:
    """One meter's part. amount in the currency's major unit, exact; None is unknown."""

    meter: str
    quantity: int
    text: str
    amount: Fraction | None

    @property
    def name(self) -> str:
        return METERS.get(self.meter, self.meter.replace("-", " "))


@dataclass(frozen=True, slots=True)
class Cost:
    """A month on one plan.

    total     Exact, in the currency's major unit; None where it is not known, and unknown or missing says why.
    unknown   Meters whose price is not known.
    missing   What has to be asked before it can be said: no price in effect, number of seats, number of units.
    notes     What was taken for granted.
    """

    plan: Plan
    version: PriceVersion | None
    lines: tuple[CostLine, ...]
    total: Fraction | None
    unknown: tuple[str, ...] = ()
    missing: str = ""
    notes: tuple[str, ...] = ()

    @property
    def currency(self) -> Currency | None:
        return self.version.currency if self.version is not None else None

    @property
    def minor(self) -> int | None:
        """Rounded once, half away from zero, to minor units of its currency."""
        if self.total is None or self.currency is None:
            return None
        return formats.rounded(self.total * 10**self.currency.exponent)

    @property
    def why_unknown(self) -> str:
        if self.unknown:
            names = ", ".join(METERS.get(m, m.replace("-", " ")) for m in self.unknown)
            return f"The price of {names} is not known."
        return self.missing


@dataclass(frozen=True, slots=True)
class OfferingCost:
    """A plan of an offering with its month's cost. refusal: why it cannot be sold on that day, if so."""

    offering: Offering
    cost: Cost
    private_offer: str = ""
    refusal: str = ""


def monthly_cost(
    plan_prices: Sequence[PriceVersion], usage: Usage, plan: Plan, currency: str = "USD"
) -> Cost:
    """What *usage* costs on *plan*. No query.

    plan_prices   Price versions in effect, with their rows and currency at hand; of several the one in *currency* is taken.
    """
    version = next((v for v in plan_prices if v.currency_id == currency), None) or next(
        iter(plan_prices), None
    )
    if version is None:
        if plan.pricing_form == PricingForm.BYOL:
            return Cost(
                plan, None, (), None, missing="Your own licence: its price is between you and its publisher."
            )
        return Cost(plan, None, (), None, missing="No price is in effect.")
    rows: dict[str, list[PriceRow]] = defaultdict(list)
    for row in version.rows.all():
        rows[row.meter].append(row)
    notes: list[str] = []
    lines = [*_token_lines(rows, usage, version, notes), *_other_lines(rows, usage, version, notes)]
    unmetered = sorted(set(rows) - {*TOKENS, *UNITS, SEATS, REQUESTS})
    if unmetered:
        names = ", ".join(METERS.get(m, m.replace("-", " ")) for m in unmetered)
        notes.append(f"Without {names}, which it charges besides.")
    if not lines:
        return Cost(plan, version, (), None, missing=_wanted(rows), notes=tuple(notes))
    unknown = tuple(line.meter for line in lines if line.amount is None)
    total = None if unknown else sum((line.amount or Fraction(0) for line in lines), Fraction(0))
    return Cost(plan, version, tuple(lines), total, unknown, notes=tuple(notes))


def _token_lines(
    rows: Mapping[str, list[PriceRow]], usage: Usage, version: PriceVersion, notes: list[str]
) -> Iterable[CostLine]:
    if not any(meter in rows for meter in TOKENS):
        if usage.input_tokens or usage.output_tokens:
            notes.append("Tokens are not metered on this plan.")
        return
    fresh = usage.input_tokens
    for meter, quantity in ((CACHED, usage.cached_input_tokens), (CACHE_WRITE, usage.cache_write_tokens)):
        if not quantity:
            continue
        if meter in rows:
            fresh -= quantity
            yield _line(meter, quantity, rows, usage, version)
        else:
            notes.append(f"{METERS[meter].capitalize()} have no price of their own: charged as input.")
    for meter, quantity in ((INPUT, fresh), (OUTPUT, usage.output_tokens)):
        if quantity:
            yield _line(meter, quantity, rows, usage, version)
    if usage.request_size is None and any(
        row.above_context for meter in TOKENS for row in rows.get(meter, ())
    ):
        notes.append(
            "Long requests cost more here; without the number of requests all are taken to be short."
        )


def _other_lines(
    rows: Mapping[str, list[PriceRow]], usage: Usage, version: PriceVersion, notes: list[str]
) -> Iterable[CostLine]:
    if REQUESTS in rows and usage.requests:
        yield _line(REQUESTS, usage.requests, rows, usage, version)
    asked = {**dict.fromkeys(UNITS, usage.provisioned_units), SEATS: usage.seats}
    for meter, quantity in asked.items():
        if meter in rows and quantity:
            yield _line(meter, quantity, rows, usage, version)
            if any(row.unit == "unit-hour" for row in rows[meter]):
                notes.append(f"A month has {HOURS_A_MONTH} hours.")


def _wanted(rows: Mapping[str, list[PriceRow]]) -> str:
    if SEATS in rows:
        return "Say how many seats."
    if any(meter in rows for meter in UNITS):
        return "Say how many units."
    if any(meter in rows for meter in TOKENS):
        return "Say how many tokens."
    return "It is charged by something that is not asked for here."


def _line(
    meter: str, quantity: int, rows: Mapping[str, list[PriceRow]], usage: Usage, version: PriceVersion
) -> CostLine:
    own = rows.get(meter, [])
    size = usage.request_size
    reached = [
        row.above_context for row in own if not row.above_context or (size and size > row.above_context)
    ]
    if not reached:
        return CostLine(meter, quantity, "no price in its list", None)
    tiers = sorted((r for r in own if r.above_context == max(reached)), key=lambda r: r.tier_from)
    text = "; ".join(row_text(row, version) for row in tiers if row.tier_from < quantity)
    return CostLine(meter, quantity, text, graduated(tiers, quantity))


def graduated(tiers: Sequence[PriceRow], quantity: int) -> Fraction | None:
    """Each unit at the price of its own tier; None where a tier that is reached has no known price, or no tier holds the first unit."""
    if not tiers or tiers[0].tier_from > 0:
        return None
    total = Fraction(0)
    ends = [*(row.tier_from for row in tiers[1:]), quantity]
    for row, end in zip(tiers, ends, strict=True):
        units = min(end, quantity) - row.tier_from
        if units <= 0:
            break
        times = MONTHS.get(row.unit, 1) if row.meter in (*UNITS, SEATS) else 1
        if row.amount is None or (row.meter in (*UNITS, SEATS) and row.unit not in MONTHS):
            return None
        total += Fraction(row.amount) * units * times / row.per
    return total


def costs_of(
    offerings: Iterable[Offering],
    usage: Usage,
    *,
    on: date,
    country: str = "",
    customer: Customer | None = None,
) -> list[OfferingCost]:
    """A month on every plan of *offerings* that can be ordered, known costs first and ascending, currency by currency.

    A price that *customer* has accepted takes the place of the list's; private plans are there for who has such a price.
    Whose model it is plays no part. offerings with their plans and replacement at hand. 2 queries, for a customer 4.
    """
    listed = list(offerings)
    plan_ids = [p.pk for o in listed for p in o.plans.all()]
    offers = accepted_offers(plan_ids, customer, on)
    prices = prices_on(plan_ids, on, country)
    found = []
    for offering in listed:
        refusal = why_not(offering, on, country)
        for plan in offering.plans.all():
            offer = offers.get(plan.pk)
            if (not plan.is_public and offer is None) or why_not_plan(plan, on) is not None:
                continue
            in_effect = [offer.price] if offer is not None else prices.get(plan.pk, [])
            found.append(
                OfferingCost(
                    offering,
                    monthly_cost(in_effect, usage, plan),
                    offer.reference if offer is not None else "",
                    refusal.message if refusal is not None else "",
                )
            )
    return sorted(found, key=_place)


def _place(found: OfferingCost) -> tuple[bool, bool, str, Fraction, str, int, int]:
    cost = found.cost
    code = cost.currency.code if cost.currency is not None else ""
    known = cost.total is not None
    return (
        bool(found.refusal),
        not known,
        "" if code == "USD" else code,
        cost.total if cost.total is not None else Fraction(0),
        found.offering.name,
        cost.plan.position,
        cost.plan.pk,
    )


def plain(total: Fraction | None, places: int = 10) -> str | None:
    """An exact amount as a decimal string with at most *places* decimals, for programs."""
    if total is None:
        return None
    scaled = formats.rounded(total * 10**places)
    text = f"{Decimal(scaled).scaleb(-places):.{places}f}"
    whole, _point, part = text.partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"
