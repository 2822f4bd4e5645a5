"""Everything at once: what the demo loads."""

import hashlib
from dataclasses import dataclass
from datetime import date

from quotas.demo import calendar
from quotas.demo.customers import CustomerFact, customers
from quotas.demo.market import OfferingFact
from quotas.demo.organisation import Organisation, organisation
from quotas.demo.scale import SCALES
from quotas.demo.selling import DealFact, Selling
from quotas.demo.targets import ReliefFact, Targets, reliefs, targets
from quotas.demo.territories import Overlay, overlay


@dataclass(frozen=True)
class World:
    """The demo as plain data. Everything names everything else by slug."""

    today: date
    organisation: Organisation
    overlay: Overlay
    customers: list[CustomerFact]
    rates: list[calendar.RateFact]
    targets: Targets
    reliefs: list[ReliefFact]
    deals: list[DealFact]

    def digest(self) -> str:
        """SHA-256 over every fact: the same seed, anchor date, scale and offerings give the same."""
        parts = (
            *(self.organisation.teams, self.organisation.people, self.rates, self.deals),
            *(self.overlay.territories, self.reliefs),
            *(sorted(self.targets.reps.items()), sorted(self.targets.teams.items())),
            [
                (c.slug, c.name, c.segment, c.country, c.currency, c.industry, c.uses_from)
                for c in self.customers
            ],
        )
        return hashlib.sha256("\n".join(repr(fact) for part in parts for fact in part).encode()).hexdigest()


def world(*, seed: int, today: date, scale: str, offerings: list[OfferingFact]) -> World:
    """The whole demo from a seed, the anchor date, the name of a scale and what the catalog has."""
    size = SCALES[scale]
    people = organisation(size, seed)
    accounts = customers(people, size, seed, today)
    rates = calendar.rates(seed, today)
    asked = targets(people, accounts, seed, today)
    selling = Selling(
        found=people,
        customers=accounts,
        asked=asked,
        rates=rates,
        offerings=offerings,
        scale=size,
        seed=seed,
        today=today,
    )
    return World(
        today, people, overlay(people, seed), accounts, rates, asked, reliefs(people), selling.deals()
    )
