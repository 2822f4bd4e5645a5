"""What things cost on a day. A gap means that no price is in effect; a row without an amount has an unknown price."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Final

from django.db.models import DecimalField, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery

from config import formats
from config.language import marked
from marketplace.models import PriceRow, PriceVersion

WORLD: Final = "world"
MILLION: Final = 1_000_000
METERS: Final = {
    "input-tokens": marked("input tokens"),
    "output-tokens": marked("output tokens"),
    "cached-input-tokens": marked("cached input tokens"),
    "cache-write-tokens": marked("cache write tokens"),
    "provisioned-units": marked("provisioned units"),
    "security-compute-units": marked("security compute units"),
    "seats": marked("seats"),
}


def price_versions(plan_ids: Iterable[int]) -> QuerySet[PriceVersion]:
    """List prices that no correction has replaced, with their rows, oldest first; private offers are not among them. 2 queries."""
    return (
        PriceVersion.objects.filter(plan__in=plan_ids, superseded_at=None, private_offer=None)
        .select_related("currency", "plan")
        .prefetch_related("rows")
        .order_by("plan__position", "plan_id", "market", "currency_id", "effective", "id")
    )


def prices_on(plan_ids: Iterable[int], on: date, country: str = "") -> dict[int, list[PriceVersion]]:
    """In effect on *on*, by plan id; a plan without one is absent. 2 queries.

    country   Where it is bought; a list of that market takes the place of the world's in the same currency. Without one
              the world's lists stand first.
    """
    found: dict[int, list[PriceVersion]] = {}
    for version in price_versions(plan_ids).filter(effective__contains=on):
        if version.market in (WORLD, country.upper()) or not country:
            found.setdefault(version.plan_id, []).append(version)
    if country:
        for plan_id, versions in found.items():
            own = {v.currency_id for v in versions if v.market != WORLD}
            found[plan_id] = [v for v in versions if v.market != WORLD or v.currency_id not in own]
        return found
    for versions in found.values():
        versions.sort(key=lambda v: v.market != WORLD)
    return found


def headline(meter: str, on: date) -> Subquery:
    """USD for a million units of *meter* on the first public plan that can be ordered and has such a price, as SQL over Offering."""
    amount = ExpressionWrapper(
        F("amount") * MILLION / F("per"), output_field=DecimalField(max_digits=24, decimal_places=10)
    )
    return Subquery(
        PriceRow.objects.filter(
            Q(version__plan__withdrawn_on=None) | Q(version__plan__withdrawn_on__gt=on),
            version__plan__offering=OuterRef("pk"),
            version__plan__is_public=True,
            version__market=WORLD,
            version__currency="USD",
            version__superseded_at=None,
            version__private_offer=None,
            version__effective__contains=on,
            meter=meter,
            tier_from=0,
            above_context=0,
        )
        .order_by("version__plan__position", "version_id")
        .annotate(per_million=amount)
        .values("per_million")[:1]
    )


def amount_text(amount: Decimal | None, symbol: str, exponent: int) -> str:
    """A price with at least the currency's digits and all it has: $0.125, $3.00, unknown, free."""
    if amount is None:
        return "unknown"
    if amount == 0:
        return "free"
    digits = max(exponent, -int(amount.normalize().as_tuple().exponent))
    return formats.price(amount, symbol, digits)


def units(unit: str, per: int) -> str:
    """What an amount buys: unit and hour, thousand requests, million tokens."""
    count = {1: "", 1000: "thousand ", MILLION: "million "}.get(per, f"{formats.whole(per)} ")
    return f"{count}{unit.replace('-', ' and ')}{'s' if per > 1 else ''}"


def row_text(row: PriceRow, version: PriceVersion) -> str:
    """One line of a price list in words: $3.00 per million input tokens."""
    currency = version.currency
    amount = amount_text(
        row.amount, currency.symbol or f"{currency.code}\N{NO-BREAK SPACE}", currency.exponent
    )
    meter = METERS.get(row.meter, row.meter.replace("-", " "))
    count = {1: "", 1000: "thousand ", MILLION: "million "}.get(row.per, f"{formats.whole(row.per)} ")
    if row.unit == "token" or row.per > 1:
        said = f"per {count}{meter}"
    else:
        said = f"per {row.unit.replace('-', ' and ')}"
        said += f" of {meter}" if row.unit != "seat-month" else ""
    from_tier = f", from {formats.whole(row.tier_from)} on" if row.tier_from else ""
    large = f", in requests of more than {formats.whole(row.above_context)}" if row.above_context else ""
    return f"{amount} {said}{from_tier}{large}"
