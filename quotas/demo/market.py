"""What is on sale on a day, and what is in demand: the mix of publishers moves over the two years."""

from bisect import bisect
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from math import exp

from quotas.demo.calendar import FIRST_DAY
from quotas.demo.dice import Dice


@dataclass(frozen=True)
class PlanFact:
    slug: str
    pricing_form: str


@dataclass(frozen=True)
class OfferingFact:
    """One offering as the catalog has it. No countries: wherever the operator bills."""

    slug: str
    name: str
    publisher: str
    kind: str
    available_on: date | None
    deprecated_on: date | None
    retires_on: date | None
    plans: tuple[PlanFact, ...]
    countries: frozenset[str] | None = None

    def on_sale(self, day: date) -> bool:
        """Available, and neither deprecated nor retired: from the day it is deprecated there are no new deals."""
        return (
            self.available_on is not None
            and self.available_on <= day
            and not (self.deprecated_on and day >= self.deprecated_on)
            and not (self.retires_on and day >= self.retires_on)
        )


# Parts of demand on the first day and a year later.
DEMAND = {
    "openai": (54, 38),
    "microsoft": (30, 26),
    "anthropic": (6, 25),
    "deepseek": (3, 2),
    "xai": (2, 3),
    "mistral-ai": (3, 2),
    "meta": (2, 1),
    "cohere": (2, 2),
    "moonshot-ai": (1, 1),
}
A_SEAT = 2.0  # what is bought by the seat does not age
NEWEST_FIRST = 200  # days in which the demand for a model falls to a third


class Market:
    """Draws offerings in proportion to the demand of a day."""

    def __init__(self, offerings: list[OfferingFact]) -> None:
        self.offerings = sorted(offerings, key=lambda offering: (offering.publisher, offering.slug))
        self._days: dict[tuple[date, bool], tuple[list[OfferingFact], list[float]]] = {}

    def draw(self, dice: Dice, day: date, country: str) -> OfferingFact:
        """Something on sale in the country on the day."""
        offerings, sums = self._on(day, used=False)
        while True:
            found = dice.weighted(offerings, sums)
            if found.countries is None or country in found.countries:
                return found

    def used(self, taste: float, day: date, country: str) -> OfferingFact | None:
        """What a workload of that taste, from 0 up to 1, runs on: mostly the same, until the market moves or a model goes."""
        offerings, sums = self._on(day, used=True)
        if not offerings:
            return None
        found = offerings[min(bisect(sums, taste * sums[-1]), len(offerings) - 1)]
        return found if found.countries is None or country in found.countries else None

    def _on(self, day: date, *, used: bool) -> tuple[list[OfferingFact], list[float]]:
        key = (day, used)
        if key not in self._days:
            on_sale = [o for o in self.offerings if o.on_sale(day) and (not used or o.kind == "model")]
            weights = [_appeal(offering, day) for offering in on_sale]
            whole: dict[str, float] = {}
            for offering, weight in zip(on_sale, weights, strict=True):
                whole[offering.publisher] = whole.get(offering.publisher, 0) + weight
            year = (day - FIRST_DAY).days / 365
            shares = [
                (DEMAND.get(o.publisher, (1, 1))[0] * (1 - year) + DEMAND.get(o.publisher, (1, 1))[1] * year)
                * w
                / whole[o.publisher]
                for o, w in zip(on_sale, weights, strict=True)
            ]
            self._days[key] = (on_sale, list(accumulate(max(share, 0.01) for share in shares)))
        return self._days[key]


def _appeal(offering: OfferingFact, day: date) -> float:
    if offering.kind != "model" or offering.available_on is None:
        return A_SEAT
    return 0.05 + exp(-(day - offering.available_on).days / NEWEST_FIRST)
