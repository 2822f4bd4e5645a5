"""Prices by date. A new price ends the open one before it; a correction supersedes and never edits what was quoted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config import house as formats
from config.refusals import Conflict, NotFound, Problem, refuse_if_any
from marketplace.extension import Change
from marketplace.models import Currency, Plan, PriceRow, PriceVersion
from marketplace.selectors.prices import WORLD
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.indexing import reindex
from marketplace.services.telling import tell

MOST_DECIMALS: Final = 10
LARGEST: Final = Decimal(10) ** 10


@dataclass(frozen=True, slots=True)
class RowDraft:
    """One line of a price list. amount None is an unknown price; zero is free."""

    meter: str
    per: int
    unit: str
    amount: Decimal | None
    tier_from: int = 0
    above_context: int = 0


@transaction.atomic
def add_price_version(
    *,
    plan_id: int,
    currency: str,
    start: date,
    end: date | None,
    rows: Sequence[RowDraft],
    source: str,
    by: User,
    at: datetime,
    market: str = WORLD,
    ends_previous: bool = False,
) -> PriceVersion:
    """Record what a plan costs in [start, end).

    ends_previous   Let the price before it, open-ended or ending on the same day as it, end on *start*; else an overlap is
                    a Conflict.
    Raises          Forbidden, NotFound, Invalid, Conflict (overlaps: names the price version).
    """
    acting(by=by, at=at, reason=source)
    must_keep_the_catalog(by)
    plan = Plan.objects.select_for_update().filter(pk=plan_id).select_related("offering").first()
    if plan is None:
        raise NotFound.of("unknown_plan", "There is no such plan.")
    refuse_if_any(price_problems(currency, start, end, rows, source))
    for other in PriceVersion.objects.filter(
        plan=plan,
        market=market,
        currency=currency,
        superseded_at=None,
        private_offer=None,
        effective__overlap=DateRange(start, end),
    ).order_by("id"):
        open_before = (
            other.effective.upper in (None, end)  # or it takes the rest of a span that ends with it
            and other.effective.lower is not None
            and other.effective.lower < start
        )
        if not (ends_previous and open_before):
            raise Conflict(
                Problem(
                    "overlaps",
                    f"Price version {other.pk} holds from {formats.day(other.effective.lower, 'further notice')} to {formats.day(other.effective.upper, 'further notice')}:"
                    " choose other days, end it, or correct it.",
                    "/start",
                )
            )
        other.effective = DateRange(other.effective.lower, start)
        other.save(update_fields=["effective"])
    return _record(plan, market, currency, DateRange(start, end), rows, source, by=by, at=at)


@transaction.atomic
def correct_price_version(
    *, price_version_id: int, rows: Sequence[RowDraft], source: str, by: User, at: datetime
) -> PriceVersion:
    """Put other figures in the place of a price version, for the same days. Deals keep naming the one they were quoted.

    Raises   Forbidden, NotFound, Invalid, Conflict (superseded).
    """
    acting(by=by, at=at, reason=source)
    must_keep_the_catalog(by)
    wrong = PriceVersion.objects.select_for_update().filter(pk=price_version_id).first()
    if wrong is None:
        raise NotFound.of("unknown_price_version", "There is no such price version.")
    if wrong.private_offer_id is not None:
        raise Conflict(Problem("private_offer", "The price of a private offer is changed through its offer."))
    if wrong.superseded_at is not None:
        raise Conflict(Problem("superseded", "A correction has already taken its place."))
    span = wrong.effective
    refuse_if_any(price_problems(wrong.currency_id, span.lower, span.upper, rows, source))
    wrong.superseded_at = at
    wrong.save(update_fields=["superseded_at"])
    return _record(wrong.plan, wrong.market, wrong.currency_id, span, rows, source, by=by, at=at)


def _record(
    plan: Plan,
    market: str,
    currency: str,
    span: DateRange,
    rows: Sequence[RowDraft],
    source: str,
    *,
    by: User,
    at: datetime,
) -> PriceVersion:
    version = PriceVersion.objects.create(
        plan=plan,
        market=market,
        currency_id=currency,
        effective=span,
        source=source.strip(),
        recorded_at=at,
        recorded_by=by,
    )
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=version,
                meter=r.meter,
                per=r.per,
                unit=r.unit,
                tier_from=r.tier_from,
                above_context=r.above_context,
                amount=r.amount,
            )
            for r in rows
        ]
    )
    reindex([plan.offering_id])
    change = Change("price", f"{plan} has a new price.", (plan.offering_id,), span.lower or date.min)
    tell(change, key=f"price-{version.pk}", at=at)
    return version


def price_problems(
    currency: str, start: date | None, end: date | None, rows: Sequence[RowDraft], source: str
) -> list[Problem]:
    """Everything that is wrong with the days, the source and the rows of a price; pointers /currency, /end, /source, /rows/0/... 1 query."""
    found = []
    if not Currency.objects.filter(pk=currency).exists():
        found.append(Problem("unknown_currency", f"{currency or 'It'} is not a known currency.", "/currency"))
    if start is not None and end is not None and end <= start:
        found.append(Problem("ends_before_it_starts", "It ends before it starts.", "/end"))
    if not source.strip():
        found.append(Problem("source_missing", "Say where the figures come from.", "/source"))
    if not rows:
        found.append(
            Problem("no_rows", "A price has at least one row; an unknown amount stays empty.", "/rows")
        )
    seen = set()
    for number, row in enumerate(rows):
        if row.per <= 0:
            found.append(
                Problem("per_not_positive", "A price is per at least one unit.", f"/rows/{number}/per")
            )
        if row.tier_from < 0:
            found.append(
                Problem("tier_negative", "A tier starts at 0 or later.", f"/rows/{number}/tier_from")
            )
        if row.amount is not None and not _payable(row.amount):
            found.append(
                Problem(
                    "amount_out_of_range",
                    f"An amount is not negative and has at most {MOST_DECIMALS} decimals.",
                    f"/rows/{number}/amount",
                )
            )
        if (row.meter, row.tier_from, row.above_context) in seen:
            found.append(
                Problem("row_twice", "The same meter and tier is there already.", f"/rows/{number}/meter")
            )
        seen.add((row.meter, row.tier_from, row.above_context))
    return found


def _payable(amount: Decimal) -> bool:
    return amount.is_finite() and 0 <= amount < LARGEST and amount == round(amount, MOST_DECIMALS)
