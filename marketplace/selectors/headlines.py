"""The one price that a row of a list shows: of the first public plan with a price on the day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from django.db.models import Case, IntegerField, Q, Value, When

from config import formats
from marketplace.models import PriceRow
from marketplace.selectors.prices import WORLD, amount_text

READ = (
    *("version__plan__offering", "version", "meter", "amount", "unit"),
    *("version__currency__symbol", "version__currency", "version__currency__exponent"),
)


@dataclass(frozen=True, slots=True)
class Headline:
    """$3.00 / $15.00, and what that is per."""

    text: str
    per: str


NONE = Headline(formats.NO_VALUE, "no price in effect")


def headlines(offering_ids: Iterable[int], on: date) -> dict[int, Headline]:
    """By offering; one without a price in effect is absent. 1 query.

    USD of the world's list where there is one, else the plan's first list; the first tier and the shortest context.
    """
    first: dict[int, int] = {}
    rows: dict[int, dict[str, tuple[object, ...]]] = {}
    other_list = Case(
        When(version__market=WORLD, version__currency="USD", then=Value(0)),
        When(version__market=WORLD, then=Value(1)),
        default=Value(2),
        output_field=IntegerField(),
    )
    found = (
        PriceRow.objects.filter(
            Q(version__plan__withdrawn_on=None) | Q(version__plan__withdrawn_on__gt=on),
            version__plan__offering__in=list(offering_ids),
            version__plan__is_public=True,
            version__superseded_at=None,
            version__private_offer=None,
            version__effective__contains=on,
            tier_from=0,
            above_context=0,
        )
        .order_by(
            *("version__plan__offering", "version__plan__position", "version__plan", other_list),
            *("version", "id"),
        )
        .values_list(*READ)
    )
    for offering, version, meter, *price in found:
        if first.setdefault(offering, version) == version:
            rows.setdefault(offering, {})[meter] = tuple(price)
    return {offering: _said(by_meter) for offering, by_meter in rows.items()}


def _said(by_meter: dict[str, tuple[object, ...]]) -> Headline:
    tokens = [by_meter[meter] for meter in ("input-tokens", "output-tokens") if meter in by_meter]
    if "input-tokens" in by_meter:
        return Headline(
            " / ".join(_amount(row) for row in tokens),
            "million tokens in / out" if len(tokens) > 1 else "million tokens in",
        )
    row = next(iter(by_meter.values()))
    return Headline(_amount(row), f"per {str(row[1]).replace('-', ' and ')}")


def _amount(row: tuple[object, ...]) -> str:
    amount, _unit, symbol, code, exponent = row
    return amount_text(amount, str(symbol or f"{code} "), exponent)  # type: ignore[arg-type]  # as READ has them
