"""Prices that move in the demo: a change announced, a correction kept beside what it corrected, private offers in three states."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

from accounts.models import User
from config.clock import day_of
from config.months import add_months
from marketplace.models import Customer, Plan, PriceVersion
from marketplace.selectors.prices import prices_on
from marketplace.services import private_offers
from marketplace.services.pricing import RowDraft, add_price_version, correct_price_version
from marketplace.services.private_offers import OfferDraft

MADE_UP = "Made up for the demo"
CHEAPER = ("phi-4", "standard")
CORRECTED = ("phi-3-5-moe-instruct", "standard")
# Offering, plan and discount in per cent, for the first customers by name: accepted, sent, and still a draft.
OFFERED = (
    ("claude-opus-4-5", "standard", 12),
    ("gpt-4-1", "global-standard", 15),
    ("mistral-medium-2505", "standard", 8),
)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Nothing where the catalog of the demo has none of these plans."""
    by, on = people["catalog"], day_of(at)
    made = {"announced prices": 0, "corrected prices": 0, "private offers": 0}
    for version in _in_effect(*CHEAPER, on):
        add_price_version(
            plan_id=version.plan_id,
            currency=version.currency_id,
            market=version.market,
            start=add_months(on, 2),
            end=version.effective.upper,
            rows=_rows(version, Decimal("0.8")),
            source=f"{MADE_UP}: announced, a fifth less",
            ends_previous=version.effective.upper is None,
            by=by,
            at=at - timedelta(days=3),
        )
        made["announced prices"] += 1
    for version in _in_effect(*CORRECTED, on):
        correct_price_version(
            price_version_id=version.pk,
            rows=[*_rows(version), RowDraft("cached-input-tokens", 1_000_000, "token", None)],
            source=f"{version.source}; corrected: what cached input costs is not known"[:200],
            by=by,
            at=at - timedelta(days=2),
        )
        made["corrected prices"] += 1
    customers = Customer.objects.order_by("name", "id")[: len(OFFERED)]
    for nth, ((offering, plan, discount), customer) in enumerate(zip(OFFERED, customers, strict=False)):
        for version in _in_effect(offering, plan, on):
            _offer(nth, version, discount, customer, by, at)
            made["private offers"] += 1
    return made


def _offer(
    nth: int, version: PriceVersion, discount: int, customer: Customer, by: User, at: datetime
) -> None:
    """nth: 0 is accepted, 1 sent, any other stays a draft."""
    on = day_of(at)
    offer = private_offers.draft_offer(
        draft=OfferDraft(
            plan_id=version.plan_id,
            customer_id=customer.pk,
            currency=version.currency_id,
            start=on - timedelta(days=12),
            end=version.effective.upper,
            open_until=on + timedelta(days=30),
            rows=_rows(version, 1 - Decimal(discount) / 100),
            note="A year's volume was promised. Made up for the demo.",
        ),
        by=by,
        at=at - timedelta(days=14),
    )
    if nth < 2:
        private_offers.send_offer(
            private_offer_id=offer.pk, on=on - timedelta(days=13), by=by, at=at - timedelta(days=13)
        )
    if nth == 0:
        private_offers.accept_offer(
            private_offer_id=offer.pk,
            decided_by="Head of procurement",
            on=on - timedelta(days=12),
            by=by,
            at=at - timedelta(days=12),
        )


def _in_effect(offering: str, plan: str, on: date) -> list[PriceVersion]:
    found = Plan.objects.filter(offering__slug=offering, slug=plan).first()
    return prices_on([found.pk], on).get(found.pk, [])[:1] if found is not None else []


def _rows(version: PriceVersion, times: Decimal = Decimal(1)) -> list[RowDraft]:
    return [
        RowDraft(
            r.meter,
            r.per,
            r.unit,
            None if r.amount is None else (r.amount * times).normalize(),
            r.tier_from,
            r.above_context,
        )
        for r in version.rows.all()
    ]
