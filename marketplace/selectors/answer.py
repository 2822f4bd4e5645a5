"""The answer: may it be sold here and on that date, what does it cost, does it count, until when, what replaces it, and why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from config import house
from config.refusals import NotFound
from marketplace.models import Customer, Lifecycle, Offering, Plan, PriceVersion, PrivateOffer, Program
from marketplace.selectors.eligibility import STRIP, Chip, Treatment, strip, treatments_by_plan
from marketplace.selectors.on_sale import NotSellable, named_replacement, why_not, why_not_plan
from marketplace.selectors.prices import WORLD, prices_on
from marketplace.selectors.private_offers import accepted_offers

ZONES: Final = ("global", "eu", "us")


@dataclass(frozen=True, slots=True)
class Caution:
    """Does not stop a sale, but should be known: no_price_in_effect, price_unknown, legacy, preview, private_plan, region_unknown."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Quoted:
    """A price in effect and why it is that one.

    private_offer   The accepted offer whose price it is; None for a list price.
    until           First day on which it no longer holds; None is until further notice.
    """

    version: PriceVersion
    why: str
    until: date | None
    private_offer: PrivateOffer | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """Something of the answer that ends on a known day, with what it rests on.

    of   sale, price, or the program whose treatment changes.
    """

    of: str
    day: date
    why: str
    plan: Plan | None = None
    price_version_id: int | None = None
    private_offer_id: int | None = None
    decision_id: int | None = None

    @property
    def label(self) -> str:
        return {"sale": "Sale", "price": "Price"}.get(self.of) or Program(self.of).label


@dataclass(frozen=True, slots=True)
class Answer:
    """One offering (or one of its plans) on one day, in one country and region, for one customer.

    refusal      Why it cannot be sold: the one stable reason; None where it can.
    plans        What the answer is about: the plan asked for, else all that could be bought there and then.
    quoted       Prices in effect, by plan.
    treated      Quota, commitment, credits, resale and co-sell of the plan asked for, else of the offering as such, each
                 with the decision behind it.
    by_plan      The same for each of *plans*, by plan id.
    until        First day on which it can no longer be sold; None is not announced.
    endings      Every end that is known, the nearest first: of the sale, of a price, of a treatment.
    """

    offering: Offering
    on: date
    plan: Plan | None
    country: str
    region: str
    customer: Customer | None
    stage: Lifecycle
    refusal: NotSellable | None
    until: date | None
    until_why: str
    endings: list[Ending]
    replacement: Offering | None
    plans: list[Plan]
    quoted: list[Quoted]
    treated: dict[Program, Treatment]
    by_plan: dict[int, dict[Program, Treatment]]
    warnings: list[Caution] = field(default_factory=list)

    @property
    def sellable(self) -> bool:
        return self.refusal is None

    @property
    def prices(self) -> list[PriceVersion]:
        return [quoted.version for quoted in self.quoted]

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
    region: str = "",
    customer: Customer | None = None,
) -> Answer:
    """Everything a seller asks about *offering* on *on*. 4 queries and 2 for a customer; of an offering with its plans and
    replacement at hand 1 less.

    country   ISO 3166-1 alpha-2; empty is the customer's, or any.
    region    A data zone (global, eu, us) or one of the cloud's regions in which it has to run; empty is anywhere.
    Raises    NotFound if *plan* is not one of the offering's.
    """
    if plan is not None and plan.offering_id != offering.pk:
        raise NotFound.of("unknown_plan", f"{offering.name} has no such plan.", "/plan")
    country = (country or (customer.country if customer is not None else "")).upper()
    region = region.strip().lower()
    every = list(offering.plans.all())
    offers = accepted_offers([p.pk for p in every], customer, on)
    public = [p for p in every if p.is_public or p.pk in offers]
    refusal = why_not(offering, on, country)
    if plan is not None:
        asked = [plan]
        refusal = refusal or why_not_plan(plan, on) or _not_there(plan, region)
    else:
        on_sale = [p for p in public if why_not_plan(p, on) is None]
        asked = [p for p in on_sale if _not_there(p, region) is None]
        if refusal is None and public and not asked:
            refusal = (
                NotSellable("region_unavailable", f"No plan of {offering.name} runs in {region}.")
                if on_sale
                else NotSellable("plan_withdrawn", f"Every plan of {offering.name} is withdrawn by that day.")
            )
    quoted = _quoted(asked, offers, on, country)
    treated = treatments_by_plan(offering, asked, on)
    until, until_why = _until(offering, asked)
    own = treated[plan.pk] if plan is not None else treated[None]
    by_plan = {p.pk: treated[p.pk] for p in asked}
    return Answer(
        offering=offering,
        on=on,
        plan=plan,
        country=country,
        region=region,
        customer=customer,
        stage=offering.lifecycle_on(on),
        refusal=refusal,
        until=until,
        until_why=until_why,
        endings=_endings(on, (until, until_why), quoted, own),
        replacement=named_replacement(offering),
        plans=asked,
        quoted=quoted,
        treated=own,
        by_plan=by_plan,
        warnings=[]
        if refusal is not None
        else _warnings(offering, on, plan, region, asked, offers, [q.version for q in quoted]),
    )


def _not_there(plan: Plan, region: str) -> NotSellable | None:
    return (
        NotSellable("region_unavailable", f"{plan.name} does not run in {region}.")
        if _runs_in(plan, region) is False
        else None
    )


def _runs_in(plan: Plan, region: str) -> bool | None:
    """Whether *plan* runs in a zone or region; None where nothing is recorded that says so."""
    if not region:
        return True
    if plan.regions is not None and region in plan.regions:
        return True
    if region in ZONES:
        return plan.zone == region if plan.zone else None
    return False if plan.regions is not None else None


def _quoted(plans: Sequence[Plan], offers: dict[int, PrivateOffer], on: date, country: str) -> list[Quoted]:
    """The accepted offer's price where there is one, else the list's. 2 queries."""
    listed = prices_on([p.pk for p in plans], on, country)
    found: list[Quoted] = []
    for plan in plans:
        if offer := offers.get(plan.pk):
            ends = offer.effective.upper
            why = f"Private offer {offer.reference}, accepted by {offer.customer.name}"
            if offer.decided_at is not None:
                why += f" on {house.day(offer.decided_at)}"
            found.append(Quoted(offer.price, f"{why}: it takes the place of the list price.", ends, offer))
            continue
        for version in listed.get(plan.pk, []):
            since, ends = version.effective.lower, version.effective.upper
            why = "List price" if version.market == WORLD else f"List price of the market {version.market}"
            why += f" since {since:%-d %b %Y}" if since else ""
            why += f", until before {ends:%-d %b %Y}" if ends else ""
            found.append(Quoted(version, f"{why}. {version.source}", ends))
    return found


def _until(offering: Offering, plans: Sequence[Plan]) -> tuple[date | None, str]:
    ends = [
        (offering.deprecated_on, "From that day on it takes no new deals."),
        (offering.retires_on, "On that day it is retired."),
    ]
    withdrawn = [p.withdrawn_on for p in plans if p.withdrawn_on is not None]
    if plans and len(withdrawn) == len(plans):
        said = "The plan is" if len(plans) == 1 else "The last of its plans is"
        ends.append((max(withdrawn), f"{said} withdrawn from that day on."))
    known = [(day, why) for day, why in ends if day is not None]
    return min(known, key=lambda end: end[0]) if known else (None, "No retirement has been announced.")


def _endings(
    on: date, sale: tuple[date | None, str], quoted: Sequence[Quoted], treated: dict[Program, Treatment]
) -> list[Ending]:
    """What ends after *on*; of several prices that end on one day each."""
    found = []
    if sale[0] is not None and sale[0] > on:
        found.append(Ending("sale", sale[0], sale[1]))
    found += [
        Ending(
            "price",
            quote.until,
            f"Until then the price of {quote.version.plan.name} holds.",
            plan=quote.version.plan,
            price_version_id=quote.version.pk,
            private_offer_id=quote.private_offer.pk if quote.private_offer else None,
        )
        for quote in quoted
        if quote.until is not None
    ]
    for program in (*STRIP, Program.CO_SELL):
        treatment = treated[program]
        if treatment.until is not None:
            decision = treatment.decision
            found.append(
                Ending(
                    program.value,
                    treatment.until,
                    f"Decision {decision.pk} no longer decides."
                    if decision
                    else "From then on it is decided.",
                    decision_id=decision.pk if decision else None,
                )
            )
    return sorted(found, key=lambda end: end.day)


def _warnings(
    offering: Offering,
    on: date,
    plan: Plan | None,
    region: str,
    asked: Sequence[Plan],
    offers: dict[int, PrivateOffer],
    prices: list[PriceVersion],
) -> list[Caution]:
    found = []
    stage = offering.lifecycle_on(on)
    if stage == Lifecycle.PREVIEW:
        found.append(Caution("preview", "It is in preview: its terms and price may still change."))
    if stage == Lifecycle.LEGACY and offering.deprecated_on is not None:
        found.append(Caution("legacy", f"It takes new deals only until {offering.deprecated_on:%-d %b %Y}."))
    if plan is not None and not plan.is_public and plan.pk not in offers:
        found.append(Caution("private_plan", "This plan is sold by private offer only."))
    if asked and all(_runs_in(p, region) is None for p in asked):
        found.append(Caution("region_unknown", f"Whether it runs in {region} is not recorded."))
    if not prices:
        found.append(
            Caution("no_price_in_effect", "No price is in effect on that day: agree on one in the deal.")
        )
    elif all(row.amount is None for version in prices for row in version.rows.all()):
        found.append(Caution("price_unknown", "Its price is not known here."))
    return found
