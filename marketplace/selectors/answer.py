"""The answer: may it be sold here and on that date, what does it cost, does it count, until when, what replaces it, and why."""

from dataclasses import dataclass, field
from datetime import date

from config.refusals import NotFound
from marketplace.models import Customer, Lifecycle, Offering, Plan, PriceVersion, Program
from marketplace.selectors.eligibility import Chip, Treatment, strip, treatments
from marketplace.selectors.on_sale import NotSellable, named_replacement, why_not
from marketplace.selectors.prices import prices_on


@dataclass(frozen=True, slots=True)
class Caution:
    """Does not stop a sale, but should be known: no_price_in_effect, price_unknown, legacy, preview, private_plan."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One offering (or one of its plans) on one day, in one country, for one customer.

    refusal      Why it cannot be sold: the one stable reason; None where it can.
    prices       Price versions in effect, by plan.
    treated      Quota, commitment, credits, resale and co-sell, each with the decision behind it.
    until        First day on which it can no longer be sold; None is not announced.
    """

    offering: Offering
    on: date
    plan: Plan | None
    country: str
    customer: Customer | None
    stage: Lifecycle
    refusal: NotSellable | None
    until: date | None
    until_why: str
    replacement: Offering | None
    prices: list[PriceVersion]
    treated: dict[Program, Treatment]
    warnings: list[Caution] = field(default_factory=list)

    @property
    def sellable(self) -> bool:
        return self.refusal is None

    @property
    def why(self) -> str:
        if self.refusal is not None:
            return self.refusal.message
        where = f" in {self.country}" if self.country else ""
        return f"{self.offering.name} may be sold{where} on {self.on:%-d %b %Y}."

    @property
    def quota(self) -> Treatment:
        return self.treated[Program.QUOTA]

    @property
    def commitment(self) -> Treatment:
        return self.treated[Program.COMMITMENT]

    @property
    def strip(self) -> list[Chip]:
        return strip(self.offering, self.treated)


def answer(
    offering: Offering,
    *,
    on: date,
    plan: Plan | None = None,
    country: str = "",
    customer: Customer | None = None,
) -> Answer:
    """Everything a seller asks about *offering* on *on*. 4 queries; of an offering with its plans and replacement at hand 3.

    country   ISO 3166-1 alpha-2; empty is the customer's, or any.
    Raises    NotFound if *plan* is not one of the offering's.
    """
    if plan is not None and plan.offering_id != offering.pk:
        raise NotFound.of("unknown_plan", f"{offering.name} has no such plan.", "/plan")
    country = (country or (customer.country if customer is not None else "")).upper()
    asked = [plan] if plan is not None else [p for p in offering.plans.all() if p.is_public]
    in_effect = prices_on([p.pk for p in asked], on, country)
    prices = [version for p in asked for version in in_effect.get(p.pk, [])]
    refusal = why_not(offering, on, country)
    until, until_why = _until(offering)
    return Answer(
        offering=offering,
        on=on,
        plan=plan,
        country=country,
        customer=customer,
        stage=offering.lifecycle_on(on),
        refusal=refusal,
        until=until,
        until_why=until_why,
        replacement=named_replacement(offering),
        prices=prices,
        treated=treatments(offering, on, plan),
        warnings=[] if refusal is not None else _warnings(offering, on, plan, prices),
    )


def _until(offering: Offering) -> tuple[date | None, str]:
    if offering.deprecated_on is not None:
        return offering.deprecated_on, "From that day on it takes no new deals."
    if offering.retires_on is not None:
        return offering.retires_on, "On that day it is retired."
    return None, "No retirement has been announced."


def _warnings(offering: Offering, on: date, plan: Plan | None, prices: list[PriceVersion]) -> list[Caution]:
    found = []
    stage = offering.lifecycle_on(on)
    if stage == Lifecycle.PREVIEW:
        found.append(Caution("preview", "It is in preview: its terms and price may still change."))
    if stage == Lifecycle.LEGACY and offering.deprecated_on is not None:
        found.append(Caution("legacy", f"It takes new deals only until {offering.deprecated_on:%-d %b %Y}."))
    if plan is not None and not plan.is_public:
        found.append(Caution("private_plan", "This plan is sold by private offer only."))
    if not prices:
        found.append(
            Caution("no_price_in_effect", "No price is in effect on that day: agree on one in the deal.")
        )
    elif all(row.amount is None for version in prices for row in version.rows.all()):
        found.append(Caution("price_unknown", "Its price is not known here."))
    return found
