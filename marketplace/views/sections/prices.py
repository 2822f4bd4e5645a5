"""The plans of an offering: what each costs on the day, and what is announced."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from accounts.models import User
from marketplace.models import Offering, Plan, PriceVersion
from marketplace.selectors.price_history import Notice, price_lists
from marketplace.selectors.prices import row_text


@dataclass(frozen=True, slots=True)
class PriceLine:
    """What a plan costs in one market and currency. version None: no price in effect on the day."""

    market: str
    version: PriceVersion | None
    texts: list[str]
    announced: list[Notice]


@dataclass(frozen=True, slots=True)
class PlanLines:
    plan: Plan
    withdrawn: bool
    prices: list[PriceLine]


def prices_section(offering: Offering, user: User, on: date) -> dict[str, Any]:
    """Every plan with the list price in effect, the rest of its history is on the price page. 2 queries."""
    lines: dict[int, list[PriceLine]] = {}
    for listed in price_lists(offering, on):
        version = next((line.version for line in listed.versions if line.in_effect), None)
        shown = PriceLine(
            listed.market, version, texts(version) if version is not None else [], listed.announced
        )
        lines.setdefault(listed.plan.pk, []).append(shown)
    return {
        "plans": [
            PlanLines(plan, plan.withdrawn_on is not None and plan.withdrawn_on <= on, lines.get(plan.pk, []))
            for plan in offering.plans.all()
        ],
        "slug": offering.slug,
        "on": on,
    }


def texts(version: PriceVersion) -> list[str]:
    return [row_text(row, version) for row in version.rows.all()]
