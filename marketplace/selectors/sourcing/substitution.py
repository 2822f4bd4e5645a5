"""What could take over in a feature: bound beside it already, proposed, qualified or rejected; and what a supplier's end would leave.

Covered is what another supplier's model can take over: the feature's fallback, another model that it runs on, or a
qualified alternative, in this order. A model that runs in the feature has shown that it can; it needs no qualification.
A qualification holds no longer than its grounds: one that fails a hard requirement today covers nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final

from django.db.models import Q, QuerySet

from accounts.models import User
from config.clock import first_moment
from marketplace.models import (
    Binding,
    BindingRole,
    Feature,
    ModelVersion,
    Offering,
    Substitution,
    SubstitutionState,
    TaskArea,
)
from marketplace.selectors.costs import Usage
from marketplace.selectors.sourcing.access import JUDGES, reads_sourcing
from marketplace.selectors.sourcing.costing import Priced
from marketplace.selectors.sourcing.verdicts import Verdicts, Worksheet, traffic
from marketplace.selectors.visibility import PUBLISHED

STANDING: Final = (SubstitutionState.PROPOSED, SubstitutionState.QUALIFIED)
SPECIAL: Final = ("retrieval", "images")  # what gives only vectors or pictures does no other feature's work
Edge = tuple[int, int]  # replaced, alternative: ids of versions


def reads_substitutions(user: User) -> bool:
    """Who buys, who audits, and who judges models. What it would cost is only for who reads sourcing."""
    return reads_sourcing(user) or user.has_role(*JUDGES)


def substitutions() -> QuerySet[Substitution]:
    """Those that stand, with what their pages show: in the order of features, newest first. 1 query."""
    return substitutions_ever().filter(superseded_at=None)


def substitutions_ever() -> QuerySet[Substitution]:
    """Withdrawn ones and those that another proposal followed too. 1 query."""
    return Substitution.objects.select_related(
        "feature__product",
        "feature__task_area",
        "replaced__model__publisher",
        "alternative__model__publisher",
        "run__suite",
        "evaluation",
        "proposed_by",
        "decided_by",
    ).order_by("feature__product__position", "feature__position", "feature_id", "-id")


def substitutions_on(on: date, feature_ids: Collection[int] | None = None) -> list[Substitution]:
    """As they stood at the end of a day: one that was decided later is proposed then. 1 query."""
    end = first_moment(on + timedelta(days=1))
    rows = (
        Substitution.objects.filter(Q(superseded_at=None) | Q(superseded_at__gte=end), proposed_at__lt=end)
        .select_related(
            "feature__product",
            "replaced__model__publisher",
            "alternative__model__publisher",
            "proposed_by",
            "decided_by",
        )
        .order_by("feature_id", "replaced_id", "id")
    )
    found = list(rows if feature_ids is None else rows.filter(feature__in=feature_ids))
    for row in found:
        if row.decided_at is not None and row.decided_at >= end:
            row.state, row.decided_at, row.decided_by, row.decision_note = (
                *(SubstitutionState.PROPOSED, None, None),
                "",
            )
    return found


def chain(edges: Iterable[Edge], replaced: int, alternative: int) -> list[int]:
    """The shortest way round that one more edge would close: replaced, alternative, ..., replaced. Empty: none.

    edges   Of one feature; the first of equally short ones in their order is taken.
    """
    following: dict[int, list[int]] = defaultdict(list)
    for one, other in edges:
        following[one].append(other)
    before: dict[int, int] = {alternative: replaced}
    waiting = [alternative]
    for here in waiting:
        if here == replaced:
            break
        for there in following[here]:
            if there not in before:
                before[there] = here
                waiting.append(there)
    if replaced not in before:
        return []
    way = [replaced]
    while len(way) == 1 or way[-1] != replaced:
        way.append(before[way[-1]])
    return way[::-1]


class How(StrEnum):
    """By what an alternative stands in for another version."""

    FALLBACK = "fallback"
    BOUND = "bound"
    QUALIFIED = "qualified"
    PROPOSED = "proposed"
    REJECTED = "rejected"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A version beside the one it could replace in a feature.

    covers   Could take over today if the supplier of the replaced one left: of another supplier, fallback, bound or
             qualified, and failing nothing hard.
    named    The catalog names it as the replacement of what it would replace.
    """

    feature: Feature
    replaced: ModelVersion
    version: ModelVersion
    how: How
    verdicts: Verdicts
    covers: bool
    other_supplier: bool
    substitution: Substitution | None = None
    binding: Binding | None = None
    named: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A version that a feature runs on, with everything that could take over from it, best first. share: None is not stated."""

    version: ModelVersion
    binding: Binding
    alternatives: tuple[Alternative, ...]

    @property
    def covered(self) -> bool:
        return any(alternative.covers for alternative in self.alternatives)


_ORDER: Final = {how: place for place, how in enumerate(How)}


class Standings(Worksheet):
    """A worksheet with the substitutions of its features: 14 queries, then none."""

    def __init__(
        self, on: date, feature_ids: Collection[int] | None = None, versions: Iterable[int] = ()
    ) -> None:
        self.substitutions: dict[int, list[Substitution]] = defaultdict(list)
        stated = substitutions_on(on, feature_ids)
        for row in stated:
            self.substitutions[row.feature_id].append(row)
        named = {pk for row in stated for pk in (row.replaced_id, row.alternative_id)}
        self._beside_each: dict[Edge, list[Alternative]] = {}
        self._covers: dict[Edge, Cover] = {}
        super().__init__(on, feature_ids, named | set(versions))

    def running(self, feature_id: int) -> list[Running]:
        """The feature's mix, fallbacks last, with the alternatives of each."""
        held = self.bindings.get(feature_id, ())
        return [
            Running(
                self.versions[binding.model_version_id],
                binding,
                tuple(self.alternatives(feature_id, binding.model_version_id)),
            )
            for binding in sorted(held, key=lambda b: b.role == BindingRole.FALLBACK)
        ]

    def alternatives(self, feature_id: int, replaced_id: int) -> list[Alternative]:
        """Bound beside it, then what is stated of others; within each the best first."""
        if (feature_id, replaced_id) not in self._beside_each:
            self._beside_each[feature_id, replaced_id] = self._alternatives(feature_id, replaced_id)
        return self._beside_each[feature_id, replaced_id]

    def _alternatives(self, feature_id: int, replaced_id: int) -> list[Alternative]:
        found = [
            self._beside(
                feature_id,
                replaced_id,
                binding.model_version_id,
                How.FALLBACK if binding.role == BindingRole.FALLBACK else How.BOUND,
                binding=binding,
            )
            for binding in self.bindings.get(feature_id, ())
            if binding.model_version_id != replaced_id
        ]
        there = {alternative.version.pk: alternative.how for alternative in found}
        found += [
            self._beside(feature_id, replaced_id, row.alternative_id, How(row.state), substitution=row)
            for row in self.substitutions.get(feature_id, ())
            if row.replaced_id == replaced_id and row.alternative_id not in there
        ]
        return sorted(found, key=_place)

    def candidate(self, feature_id: int, replaced_id: int, version_id: int, *, named: bool) -> Alternative:
        return self._beside(feature_id, replaced_id, version_id, How.CANDIDATE, named=named)

    def _beside(
        self,
        feature_id: int,
        replaced_id: int,
        version_id: int,
        how: How,
        *,
        substitution: Substitution | None = None,
        binding: Binding | None = None,
        named: bool = False,
    ) -> Alternative:
        verdicts = self.verdicts(feature_id, replaced_id, version_id)
        other = self.supplier(version_id) != self.supplier(replaced_id)
        runs = how in (How.FALLBACK, How.BOUND) and self.alive(version_id)
        return Alternative(
            self.features[feature_id],
            self.versions[replaced_id],
            self.versions[version_id],
            how,
            verdicts,
            other and (runs or (how == How.QUALIFIED and not verdicts.failed)),
            other,
            substitution,
            binding,
            named,
        )

    # A supplier's end.

    def cover(self, feature_id: int, supplier_id: int) -> "Cover":
        """What is left of a feature without a supplier."""
        if (feature_id, supplier_id) not in self._covers:
            self._covers[feature_id, supplier_id] = self._cover(feature_id, supplier_id)
        return self._covers[feature_id, supplier_id]

    def _cover(self, feature_id: int, supplier_id: int) -> "Cover":
        held = self.bindings.get(feature_id, ())
        shares = traffic(held)
        gone = [pk for pk in shares if self.supplier(pk) == supplier_id]
        lost = [
            b.model_version_id
            for b in held
            if b.role == BindingRole.FALLBACK and self.supplier(b.model_version_id) == supplier_id
        ]
        exposures = tuple(self._exposure(feature_id, pk, shares) for pk in gone)
        return Cover(self.features[feature_id], exposures, tuple(self.versions[pk] for pk in lost))

    def _exposure(
        self, feature_id: int, version_id: int, shares: Mapping[int, tuple[Fraction, bool]]
    ) -> "Exposure":
        share, stated = shares[version_id]
        usage = self.usage(feature_id, version_id)
        options = [a for a in self.alternatives(feature_id, version_id) if a.covers]
        taking = self._taking(options, shares)
        now = self.cost(feature_id, version_id, usage) if usage is not None else Priced(Fraction(0))
        return Exposure(
            self.features[feature_id],
            self.versions[version_id],
            share,
            stated,
            usage,
            now,
            tuple(
                Taker(
                    option,
                    part,
                    self.cost(feature_id, option.version.pk, usage)
                    if usage is not None
                    else Priced(Fraction(0)),
                )
                for option, part in taking
            ),
            tuple(options),
        )

    def _taking(
        self, options: Sequence[Alternative], shares: Mapping[int, tuple[Fraction, bool]]
    ) -> list[tuple[Alternative, Fraction]]:
        """Who takes over at once, and which part: the fallbacks evenly, else the others in proportion, else the best qualified one."""
        for how in (How.FALLBACK, How.BOUND, How.QUALIFIED):
            found = [option for option in options if option.how == how]
            if not found:
                continue
            if how == How.QUALIFIED:
                return [(found[0], Fraction(1))]
            weights = [
                shares.get(o.version.pk, (Fraction(0), True))[0] if how == How.BOUND else Fraction(1)
                for o in found
            ]
            if not sum(weights):
                weights = [Fraction(1)] * len(found)
            whole = sum(weights, Fraction(0))
            return [(o, weight / whole) for o, weight in zip(found, weights, strict=True) if weight]
        return []


def _place(alternative: Alternative) -> tuple[int, tuple[bool, int, bool, bool, Fraction], str, int]:
    version = alternative.version
    return _ORDER[alternative.how], alternative.verdicts.rank, version.model.name, version.pk


def alternatives(feature: Feature, on: date) -> list[Running]:
    """Every version that a feature runs on, with what could take over from it and each requirement's verdict. 14 queries."""
    return Standings(on, [feature.pk]).running(feature.pk)


def candidates(sheet: Standings, feature: Feature, replaced_id: int) -> list[Alternative]:
    """What is not bound, proposed, qualified or rejected yet, best first. *sheet* knows the versions of looked_at(). 1 query.

    Ranked by the verdicts alone; what fails a hard requirement comes last.
    """
    taken = {a.version.pk for a in sheet.alternatives(feature.pk, replaced_id)} | {replaced_id}
    named = set(
        Offering.objects.filter(model_version=replaced_id, replacement__isnull=False).values_list(
            "replacement__model_version", flat=True
        )
    )
    found = [
        sheet.candidate(feature.pk, replaced_id, pk, named=pk in named)
        for pk in sheet.versions
        if pk not in taken and sheet.alive(pk)
    ]
    return sorted(found, key=_place)


def looked_at(feature: Feature) -> list[int]:
    """Versions that may be candidates: of published offerings, made for more than vectors or pictures. 1 query.

    Candidates that have retired are left out by candidates().
    """
    general = TaskArea.objects.exclude(slug__in=SPECIAL)
    return list(
        ModelVersion.objects.filter(
            Q(offerings__task_areas=None)
            | Q(offerings__task_areas__in=general)
            | Q(offerings__task_areas=feature.task_area_id),
            offerings__publication__in=PUBLISHED,
        )
        .order_by("pk")
        .values_list("pk", flat=True)
        .distinct()
    )


# Without a supplier.


class Left(StrEnum):
    """What is left of a feature when a supplier goes."""

    UNTOUCHED = "untouched"
    COVERED = "covered"
    PARTLY = "partly"
    UNCOVERED = "uncovered"


@dataclass(frozen=True, slots=True)
class Taker:
    """Who takes over which part of a version's traffic, and what a whole month of that traffic costs there."""

    alternative: Alternative
    part: Fraction
    cost: Priced

    @property
    def share(self) -> int:
        """Parts per million."""
        return int(self.part * 1_000_000)


@dataclass(frozen=True, slots=True)
class Exposure:
    """A version of the supplier in a feature.

    share    Part of the feature's traffic; stated: False where the rest was split evenly.
    usage    An average month; None where it was not used lately.
    options  Everything that covers it; takers: who takes over at once.
    """

    feature: Feature
    version: ModelVersion
    share: Fraction
    stated: bool
    usage: Usage | None
    now: Priced
    takers: tuple[Taker, ...]
    options: tuple[Alternative, ...]

    @property
    def covered(self) -> bool:
        return bool(self.takers)

    @property
    def then(self) -> Fraction | None:
        """Dollars a month afterwards; None where a price of it is not known."""
        costs = [taker.cost.amount for taker in self.takers]
        if not costs or None in costs:
            return None
        return sum((t.part * (t.cost.amount or 0) for t in self.takers), Fraction(0))

    @property
    def extra(self) -> Fraction | None:
        """Dollars a month more; less than nothing is a saving. None where nobody takes over or a price is not known."""
        if self.then is None or self.now.amount is None:
            return None
        return self.then - self.now.amount

    @property
    def best(self) -> Alternative | None:
        """The cheapest of what covers it; where no price can be compared, the first."""
        priced = [o for o in self.options if o.verdicts.change.extra is not None]
        if priced:
            return min(priced, key=lambda o: (o.verdicts.change.extra or Fraction(0), o.verdicts.rank))
        return self.options[0] if self.options else None


@dataclass(frozen=True, slots=True)
class Cover:
    """A feature without a supplier. lost: its fallbacks that go too."""

    feature: Feature
    exposures: tuple[Exposure, ...]
    lost: tuple[ModelVersion, ...] = ()

    @property
    def left(self) -> Left:
        if not self.exposures:
            return Left.UNTOUCHED
        covered = [exposure.covered for exposure in self.exposures]
        return Left.COVERED if all(covered) else Left.PARTLY if any(covered) else Left.UNCOVERED

    @property
    def exposed(self) -> Fraction:
        """Part of the feature's traffic that the supplier serves."""
        return sum((e.share for e in self.exposures), Fraction(0))

    @property
    def uncovered(self) -> Fraction:
        """Part of the feature's traffic that nothing would serve."""
        return sum((e.share for e in self.exposures if not e.covered), Fraction(0))

    @property
    def stated(self) -> bool:
        return all(exposure.stated for exposure in self.exposures)

    @property
    def extra(self) -> Fraction:
        """Dollars a month more, of what is known; unpriced names the rest."""
        return sum((e.extra for e in self.exposures if e.extra is not None), Fraction(0))

    @property
    def unpriced(self) -> tuple[ModelVersion, ...]:
        """Versions that something takes over at a price that cannot be compared."""
        return tuple(e.version for e in self.exposures if e.covered and e.extra is None)
