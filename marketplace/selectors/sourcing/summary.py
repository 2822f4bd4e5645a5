"""The whole of sourcing on a day, for its overview and its one-page brief: each figure is the one that its own page shows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from accounts.models import User
from marketplace.models import Company, Product, Relationship, RiskEvent, RiskSeverity
from marketplace.selectors.sourcing import commitments, leverage, spend
from marketplace.selectors.sourcing.companies import risk_events
from marketplace.selectors.sourcing.concentration import Exposure, FeatureSourcing, Sourced, shares
from marketplace.selectors.sourcing.costing import SpendLines
from marketplace.selectors.sourcing.flows import in_force
from marketplace.selectors.sourcing.outlook import Coming, MustMove, Task, coming, must_move, tasks


@dataclass(frozen=True, slots=True)
class ProductMix:
    """A product on the day. votes: supplier id to the mean share of its features' traffic, parts per million, largest first."""

    product: Product
    features: int
    sole: int
    unbound: int
    votes: dict[int, int]
    unknown: int


class Summary:
    """Each part is read once, when it is first asked for; a fixed number of queries, whatever there is."""

    def __init__(self, user: User, on: date, months: int = 24) -> None:
        self.on = on
        self.spent = SpendLines()
        self.exposure = Exposure(user, on, months, read=self.spent)

    @cached_property
    def operator(self) -> Company | None:
        """1 query."""
        return Company.objects.filter(is_operator=True).first()

    # Money that goes out.

    @cached_property
    def rates(self) -> list[spend.RunRate]:
        """8 queries besides the lines."""
        _ = self.exposure.lines  # the widest span first
        return spend.run_rate(self.on, self.spent)

    @property
    def run_rate(self) -> int | None:
        """The last whole month of every supplier times twelve, USD cents; None where nothing that has a price was used."""
        known = [rate.annual for rate in self.rates if rate.annual is not None]
        return sum(known) if known else None

    @property
    def unpriced(self) -> int:
        """Lines of the last three whole months that are in no figure."""
        return sum(rate.unpriced for rate in self.rates)

    # What could move.

    @cached_property
    def leverage(self) -> list[leverage.Supplier]:
        """18 queries at most besides the lines."""
        _ = self.exposure.lines
        return leverage.leverage(self.on, self.spent)

    @property
    def switchable(self) -> tuple[int, int]:
        """Switchable and spent in twelve months with others than ourselves, USD cents."""
        spent, switchable = leverage.summed(self.leverage)
        return switchable, spent

    # What is owed.

    @cached_property
    def standings(self) -> list[commitments.Standing]:
        """Of the compute commitments in which we are one side. 4 queries."""
        return [each for each in commitments.commitments_on(self.on) if self._ours(each.relationship)]

    @cached_property
    def ties(self) -> list[Relationship]:
        """Money between us and others, in force on the day. 1 query."""
        kinds = ("spend", "compute_commitment", "equity", "infrastructure")
        return [tie for tie in in_force(self.on) if tie.kind in kinds and self._ours(tie)]

    def _ours(self, tie: Relationship) -> bool:
        return self.operator is not None and self.operator.pk in (tie.payer_id, tie.payee_id)

    # What comes.

    @cached_property
    def moving(self) -> list[MustMove]:
        """3 queries."""
        return must_move(self.on)

    @cached_property
    def coming(self) -> list[Coming]:
        """2 queries."""
        return coming(self.on, self.standings, self.moving)

    def next(self, kind: str) -> Coming | None:
        return next((each for each in self.coming if each.kind == kind), None)

    @cached_property
    def tasks(self) -> list[Task]:
        """2 queries."""
        return tasks(self.exposure, self.standings, self.moving, self.coming)

    @cached_property
    def risks(self) -> list[RiskEvent]:
        """The gravest first. 1 query."""
        order = {RiskSeverity.HIGH: 0, RiskSeverity.MEDIUM: 1, RiskSeverity.LOW: 2}
        return sorted(risk_events(), key=lambda event: order[RiskSeverity(event.severity)])

    # What runs on what.

    @property
    def mixes(self) -> list[ProductMix]:
        by_product: dict[int, list[FeatureSourcing]] = {}
        for each in self.exposure.sourcing:
            by_product.setdefault(each.feature.product_id, []).append(each)
        return [mix_of(found) for found in by_product.values()]


def mix_of(found: Sequence[FeatureSourcing]) -> ProductMix:
    """Of one product's features; those that run on nothing have no vote."""
    votes: Counter[int] = Counter()
    for each in found:
        votes.update(each.votes)
    unknown = sum(each.unknown for each in found)
    parts = shares({**dict(sorted(votes.items(), key=lambda item: (-item[1], item[0]))), 0: unknown})
    return ProductMix(
        found[0].feature.product,
        len(found),
        sum(each.state == Sourced.SOLE for each in found),
        sum(each.state == Sourced.UNBOUND for each in found),
        {pk: part for pk, part in parts.items() if pk and part},
        parts.get(0, 0) if unknown else 0,
    )
