"""How a component pays, in words that anybody can read."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from config import house as formats
from marketplace.models import Currency
from quotas.models import ONE, Grain, Measure, PayBy, PlanComponent, PlanVersion

WINDOWS: Final = {Grain.MONTH: "month", Grain.QUARTER: "quarter", Grain.HALF: "half-year", Grain.YEAR: "year"}


@dataclass(frozen=True, slots=True)
class PayTerms:
    """A scale as it is entered or stored. Amounts of credit are minor units of the measure, the cap of the currency."""

    measure: Measure
    currency: Currency | None
    by: str
    window: str
    tiers: Sequence[tuple[int, int]]
    threshold: int = 0
    whole_amount: bool = False
    cap_minor: int | None = None


def terms_of(component: PlanComponent) -> PayTerms | None:
    """None for a component without a scale. Reads pay_scale and tiers: prefetch them."""
    scale = getattr(component, "pay_scale", None)
    if scale is None:
        return None
    return PayTerms(
        measure=component.measure,
        currency=component.currency or component.measure.currency,
        by=scale.by,
        window=scale.window,
        tiers=[(tier.starts_at, tier.rate_ppm) for tier in scale.tiers.all()],
        threshold=scale.threshold,
        whole_amount=scale.whole_amount,
        cap_minor=scale.cap_minor,
    )


def percent(ppm: int) -> str:
    """Parts per million as per cent, with as many decimals as it has: 333333 is "33.3333%"."""
    return formats.percent(ppm, ONE, 4).rstrip("%").rstrip("0").rstrip(".") + "%"


def place(at: int, terms: PayTerms) -> str:
    """Where a tier begins: "50%" of quota, or an amount of credit."""
    if terms.by == PayBy.ATTAINMENT:
        return percent(at)
    currency = terms.measure.currency
    if currency is None:
        return formats.count(at)
    return formats.money(at, currency.code, currency.exponent, trim=True)


def sentences(terms: PayTerms) -> list[str]:
    """One for each tier, then threshold and cap: "0% to 50% of quota: nothing"."""
    of = " of quota" if terms.by == PayBy.ATTAINMENT else " of credit"
    found = []
    ends = [start for start, _ in terms.tiers[1:]]
    for nth, ((start, rate), end) in enumerate(zip(terms.tiers, [*ends, None], strict=True)):
        unit = of if nth == 0 else ""
        span = (
            f"From {place(start, terms)}{unit} on"
            if end is None
            else f"{place(start, terms)} to {place(end, terms)}{unit}"
        )
        found.append(f"{span}: {_rate(rate, terms)}")
    if terms.whole_amount:
        found.append("The rate that is reached counts for everything, not only for what lies above.")
    if terms.threshold:
        found.append(
            f"Below {place(terms.threshold, terms)}{of} nothing is paid; from there on everything counts."
        )
    if terms.cap_minor is not None and terms.currency is not None:
        cap = formats.money(terms.cap_minor, terms.currency.code, terms.currency.exponent, trim=True)
        found.append(f"At most {cap} a {WINDOWS[Grain(terms.window)]}.")
    return found


def _rate(rate: int, terms: PayTerms) -> str:
    if not rate:
        return "nothing"
    if terms.by == PayBy.ATTAINMENT:
        return f"{percent(rate)} of target for each 100% of quota" if rate % 10_000 else _for_each(rate)
    return f"{percent(rate)} of the credit"


def _for_each(rate: int) -> str:
    """1_500_000 is "1.5% of target for each 1%"."""
    return f"{formats.percent(rate, 100 * ONE, 4).rstrip('%').rstrip('0').rstrip('.')}% of target for each 1%"


def in_short(terms: PayTerms) -> str:
    """All of it in one line, as a difference or a list shows it."""
    return "; ".join(sentences(terms)) + f", by {WINDOWS[Grain(terms.window)]}"


def problems_of_order(starts: Sequence[int]) -> tuple[int, str] | None:
    """The first tier that is out of place and how; None where all are in order."""
    if starts and starts[0] != 0:
        return 0, "first_not_at_nothing"
    for nth, (before, after) in enumerate(pairwise(starts), start=1):
        if after <= before:
            return nth, "not_rising"
    return None


# --- what differs from one version to the next ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ComponentChange:
    """A component that came, went or says something else; empty where there was or is none."""

    measure: Measure
    before: Sequence[str] = field(default_factory=tuple)
    after: Sequence[str] = field(default_factory=tuple)


def components_of(version: PlanVersion) -> list[PlanComponent]:
    """With all that pays. 3 queries."""
    return list(
        version.components.select_related("measure__currency", "currency", "pay_scale")
        .prefetch_related("pay_scale__tiers")
        .order_by("measure__position", "pk")
    )


def component_changes(new: Sequence[PlanComponent], old: Sequence[PlanComponent]) -> list[ComponentChange]:
    """What is different, in the order of the measures."""
    before = {component.measure_id: component for component in old}
    after = {component.measure_id: component for component in new}
    measures = sorted({component.measure for component in (*new, *old)}, key=lambda m: (m.position, m.pk))
    found = []
    for measure in measures:
        was, now = (said_of(of[measure.pk]) if measure.pk in of else [] for of in (before, after))
        if was != now:
            found.append(ComponentChange(measure, was, now))
    return found


def said_of(component: PlanComponent) -> list[str]:
    """Weight, target incentive and scale of a component in words."""
    said = [f"Weighs {percent(component.weight_ppm)}"]
    if component.target_incentive_minor is not None and component.currency is not None:
        target = formats.money(
            component.target_incentive_minor, component.currency.code, component.currency.exponent, trim=True
        )
        said.append(f"Target incentive {target} a year")
    terms = terms_of(component)
    if terms is None:
        said.append("Pays nothing: it has no rates")
    else:
        said += [*sentences(terms), f"Adds up by {WINDOWS[Grain(terms.window)]}"]
    return said


def kept_of(component: PlanComponent) -> list[Any]:
    """Everything that a component says, for a fingerprint."""
    scale = getattr(component, "pay_scale", None)
    said: list[Any] = [
        *(component.measure_id, component.weight_ppm, component.target_incentive_minor, component.currency_id)
    ]
    if scale is not None:
        said += [scale.by, scale.window, scale.whole_amount, scale.threshold, scale.cap_minor]
        said += [[tier.starts_at, tier.rate_ppm] for tier in scale.tiers.all()]
    return said
