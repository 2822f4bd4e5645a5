"""The one price that a row of a list shows: of the first public plan with a price on the day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db import connection

from config import formats
from marketplace.selectors.prices import WORLD, amount_text, units

# The rows in question, an offering's best list first. In SQL because putting it together takes longer than reading it.
FOUND: Final = """
SELECT p.offering_id, v.id, r.meter, CASE r.unit WHEN 'token' THEN round(r.amount * 1000000 / r.per, 10) ELSE r.amount END,
  r.unit, CASE r.unit WHEN 'token' THEN 1000000 ELSE r.per END, c.symbol, c.code, c.exponent
FROM marketplace_plan p
JOIN marketplace_priceversion v ON v.plan_id = p.id AND v.superseded_at IS NULL AND v.private_offer_id IS NULL
  AND v.effective @> %(on)s::date
JOIN marketplace_pricerow r ON r.version_id = v.id AND r.tier_from = 0 AND r.above_context = 0
JOIN marketplace_currency c ON c.code = v.currency_id
WHERE p.offering_id = ANY(%(offerings)s::bigint[]) AND p.is_public
  AND (p.withdrawn_on IS NULL OR p.withdrawn_on > %(on)s::date)
ORDER BY p.offering_id, p.position, p.id,
  CASE WHEN v.market <> %(world)s THEN 2 WHEN v.currency_id <> 'USD' THEN 1 ELSE 0 END, v.id, r.id
"""


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
    with connection.cursor() as cursor:
        cursor.execute(FOUND, {"offerings": list(offering_ids), "on": on, "world": WORLD})
        found = cursor.fetchall()
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
    return Headline(_amount(row), f"per {units(str(row[1]), row[2])}")  # type: ignore[arg-type]  # as they are read


def _amount(row: tuple[object, ...]) -> str:
    amount, _unit, _per, symbol, code, exponent = row
    return amount_text(amount, str(symbol or f"{code} "), exponent)  # type: ignore[arg-type]  # as they are read
