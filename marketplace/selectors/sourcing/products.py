"""Our products as their pages show them: what each feature runs on, since when and why, and which features must move by when."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from itertools import groupby
from typing import Any, Final

from django.db.models import Q, QuerySet

from config.exports import Column, Table
from marketplace.models import Binding, BindingRole, Feature, ModelVersion, Offering, Product
from marketplace.selectors.sourcing.binding import bindings, features_on, lives

ONE: Final = 1_000_000
ROLE_ORDER: Final = {BindingRole.DEFAULT: 0, BindingRole.SELECTABLE: 1, BindingRole.FALLBACK: 2}
SLICE: Final = 500


@dataclass(frozen=True, slots=True)
class Mix:
    """What a feature runs on from start until end, which it does not include; the default first, then by share.

    end   None is until further notice.
    """

    start: date
    end: date | None
    bindings: tuple[Binding, ...]

    @property
    def known_ppm(self) -> int:
        return sum(b.share_ppm or 0 for b in self.bindings)

    @property
    def is_open(self) -> bool:
        """Whether a part of the traffic is not stated."""
        return any(b.share_ppm is None for b in self.bindings)

    @property
    def supplier_ids(self) -> set[int]:
        """Makers of the models that take traffic, or may; a fallback alone makes no supplier."""
        return {
            b.model_version.model.publisher_id
            for b in self.bindings
            if b.role != BindingRole.FALLBACK and b.share_ppm != 0
        }

    @property
    def reason(self) -> str:
        return self.bindings[0].reason

    @property
    def source(self) -> str:
        return self.bindings[0].source

    def holds(self, on: date) -> bool:
        return self.start <= on and (self.end is None or on < self.end)


def mixes(rows: Iterable[Binding]) -> list[Mix]:
    """Bindings in force of one feature as mixes that follow one another; days on which nothing holds are in none."""
    every = list(rows)
    edges = sorted(
        {edge for b in every for edge in (b.effective.lower, b.effective.upper) if edge is not None}
    )
    found = []
    for start, end in zip(edges, [*edges[1:], None], strict=True):
        holding = [
            b
            for b in every
            if b.effective.lower <= start and (b.effective.upper is None or start < b.effective.upper)
        ]
        if holding:
            found.append(Mix(start, end, tuple(sorted(holding, key=_place))))
    return found


def _place(binding: Binding) -> tuple[int, int, str]:
    return (
        ROLE_ORDER[BindingRole(binding.role)],
        -1 if binding.share_ppm is None else -binding.share_ppm,
        binding.model_version.model.name,
    )


def mixes_by_feature(rows: Iterable[Binding]) -> dict[int, list[Mix]]:
    """Feature id to its mixes, earliest first."""
    by_feature: dict[int, list[Binding]] = {}
    for binding in rows:
        by_feature.setdefault(binding.feature_id, []).append(binding)
    return {pk: mixes(its) for pk, its in by_feature.items()}


# --- what must move ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MustMove:
    """A feature that is bound to a version on a day on which the version no longer answers.

    retires_on    First day on which it does not.
    share_ppm     Of the feature's traffic, on the eve or, where it has retired, now; None is not stated.
    offering      That retires last; replacement is what its publisher or the operator names instead.
    """

    binding: Binding
    retires_on: date
    offering: Offering | None

    @property
    def feature(self) -> Feature:
        return self.binding.feature

    @property
    def version(self) -> ModelVersion:
        return self.binding.model_version

    @property
    def share_ppm(self) -> int | None:
        return self.binding.share_ppm

    @property
    def role(self) -> str:
        return self.binding.role

    @property
    def replacement(self) -> Offering | None:
        return self.offering.replacement if self.offering is not None else None

    def days(self, on: date) -> int:
        """Left to move; below zero it is too late."""
        return (self.retires_on - on).days


def must_move(rows: Sequence[Binding], on: date) -> list[MustMove]:
    """Of bindings in force those that outlive their version, on or after a day, the soonest first. 3 queries.

    A feature whose later mix leaves the version in time is not among them.
    """
    late = [b for b in rows if b.effective.upper is None or b.effective.upper > on]
    life = lives({b.model_version_id for b in late})
    found: dict[tuple[int, int], tuple[Binding, date]] = {}
    for binding in late:
        end = life[binding.model_version_id].end
        if end is None or not (binding.effective.upper is None or binding.effective.upper > end):
            continue
        key = (binding.feature_id, binding.model_version_id)
        if key not in found or binding.effective.lower < found[key][0].effective.lower:
            found[key] = (binding, end)
    sold = _last_sold({version for _feature, version in found})
    return sorted(
        (MustMove(b, end, sold.get(b.model_version_id)) for b, end in found.values()),
        key=lambda m: (m.retires_on, m.version.model.name, -(m.share_ppm or 0), m.feature.position),
    )


def _last_sold(version_ids: Collection[int]) -> dict[int, Offering]:
    """Version id to the offering of it that retires last. 1 query."""
    if not version_ids:
        return {}
    offerings = (
        Offering.objects.filter(model_version__in=version_ids)
        .select_related("replacement")
        .order_by("retires_on", "id")
    )
    return {o.model_version_id: o for o in offerings if o.model_version_id is not None}


def by_retirement(moves: Sequence[MustMove]) -> list[tuple[date, ModelVersion, list[MustMove]]]:
    """Moves of one version together, in the order of the days."""
    return [
        (day, its[0].version, its)
        for (day, _name, _version), group in groupby(
            moves, key=lambda m: (m.retires_on, m.version.model.name, m.version.pk)
        )
        for its in [list(group)]
    ]


def moves_if_retired(offering: Offering, day: date, on: date) -> tuple[list[MustMove], list[Offering]]:
    """The features that would have to move if *offering* retired on a day, and what else still sells its version then. 3 queries.

    Where something else sells it on that day, no feature has to.
    """
    version = offering.model_version_id
    if version is None:
        return [], []
    others = [
        o
        for o in Offering.objects.filter(model_version=version).exclude(pk=offering.pk).order_by("name")
        if o.retires_on is None or o.retires_on > day
    ]
    found = [
        MustMove(b, day, offering)
        for b in bindings().filter(model_version=version)
        if b.effective.upper is None or b.effective.upper > max(day, on)
    ]
    first: dict[int, MustMove] = {}
    for move in sorted(found, key=lambda m: m.binding.effective.lower):
        first.setdefault(move.feature.pk, move)
    return list(first.values()), others


# --- one product, one feature -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """A feature with what it runs on; mix is None where nothing is stated for the day.

    following   The next mix that is stated, if any.
    """

    feature: Feature
    mix: Mix | None
    following: Mix | None
    moves: tuple[MustMove, ...] = ()

    @property
    def is_sole(self) -> bool:
        """All traffic goes to one maker's models."""
        return self.mix is not None and len(self.mix.supplier_ids) == 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A product with its features."""

    product: Product
    lines: tuple[Line, ...]

    @property
    def supplier_ids(self) -> set[int]:
        return {pk for line in self.lines if line.mix is not None for pk in line.mix.supplier_ids}


def products_on(on: date, products: QuerySet[Product] | None = None) -> list[Shown]:
    """Every product that has not ended by a day, with its features and their mixes on it. 6 queries, whatever their number."""
    every = list(
        (products if products is not None else Product.objects.filter(Q(ends_on=None) | Q(ends_on__gt=on)))
        .select_related("offering")
        .order_by("position", "name")
    )
    features: dict[int, list[Feature]] = {}
    for feature in features_on(on).filter(product__in=every).order_by("position", "name"):
        features.setdefault(feature.product_id, []).append(feature)
    rows = list(bindings().filter(feature__product__in=every))
    stated = mixes_by_feature(rows)
    moves: dict[int, list[MustMove]] = {}
    for move in must_move(rows, on):
        moves.setdefault(move.feature.pk, []).append(move)
    return [
        Shown(
            product,
            tuple(
                Line(
                    feature,
                    next((m for m in stated.get(feature.pk, ()) if m.holds(on)), None),
                    next((m for m in stated.get(feature.pk, ()) if m.start > on), None),
                    tuple(moves.get(feature.pk, ())),
                )
                for feature in features.get(product.pk, ())
            ),
        )
        for product in every
    ]


def suppliers_by_share(shown: Sequence[Shown]) -> list[tuple[int, str]]:
    """Makers of what the features run on, those first that take most of the features' traffic, each feature counted once."""
    weight: dict[tuple[str, int], Fraction] = {}
    for line in (line for each in shown for line in each.lines if line.mix is not None):
        for binding in line.mix.bindings if line.mix is not None else ():
            maker = binding.model_version.model.publisher
            key = (maker.name, maker.pk)
            weight[key] = weight.get(key, Fraction(0)) + (binding.share_ppm or 0)
    return [(pk, name) for name, pk in sorted(weight, key=lambda key: (-weight[key], key[0]))]


@dataclass(frozen=True, slots=True)
class Replaced:
    """Bindings that were superseded at one moment."""

    at: datetime
    bindings: tuple[Binding, ...]


def replaced(feature: Feature, limit: int = 200) -> list[Replaced]:
    """What was stated once and no longer is, latest first. 1 query."""
    rows = (
        Binding.objects.filter(feature=feature, superseded_at__isnull=False)
        .select_related("model_version__model__publisher", "made_by")
        .order_by("-superseded_at", "effective", "role", "-share_ppm", "id")[:limit]
    )
    return [
        Replaced(at, tuple(group))
        for at, group in groupby(rows, key=lambda b: b.superseded_at)
        if at is not None
    ]


def features_run_by(version_id: int | None, on: date) -> list[Binding]:
    """Of one version: what it powers on a day or will power, and what it has powered last, in the order of the pages. 1 query."""
    if version_id is None:
        return []
    last: dict[int, Binding] = {}
    for binding in bindings().filter(model_version=version_id):
        known = last.get(binding.feature_id)
        # What holds on the day goes before what is to come, and that before what has been.
        if known is None or _nearness(binding, on) > _nearness(known, on):
            last[binding.feature_id] = binding
    return list(last.values())


def _nearness(binding: Binding, on: date) -> tuple[int, date]:
    lower, upper = binding.effective.lower, binding.effective.upper
    if lower <= on and (upper is None or on < upper):
        return 2, lower
    return (1, date.max - (lower - on)) if lower > on else (0, lower)


# --- as a table -------------------------------------------------------------------------------------------


def table(rows: QuerySet[Binding]) -> Table:
    """A row a binding; 1 query a slice."""
    columns = [
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("task", "Task"),
        Column("supplier", "Supplier"),
        Column("model", "Model"),
        Column("version", "Version"),
        Column("role", "Role"),
        Column("share_percent", "Share %", "percent"),
        Column("effective_from", "From", "date"),
        Column("effective_until", "Until before", "date"),
        Column("plan", "Bought as"),
        Column("reason", "Reason"),
        Column("source", "Source"),
        Column("evidence", "Evidence"),
        Column("fact", "Public fact"),
        Column("assumed", "Assumed", "flag"),
    ]

    def values() -> Iterator[Sequence[Any]]:
        for binding in rows:
            yield [
                binding.feature.product.name,
                binding.feature.name,
                binding.feature.task_area.name,
                binding.model_version.model.publisher.name,
                binding.model_version.model.name,
                binding.model_version.label,
                binding.get_role_display(),
                None if binding.share_ppm is None else Fraction(binding.share_ppm, ONE),
                binding.effective.lower,
                binding.effective.upper,
                f"{binding.plan.offering.slug}/{binding.plan.slug}" if binding.plan is not None else "",
                binding.reason,
                binding.source,
                evidence_text(binding),
                binding.fact.slug if binding.fact is not None else "",
                binding.assumed,
            ]

    return Table(columns, values)


def evidence_text(binding: Binding) -> str:
    """What justifies it, in words; empty where nothing is cited."""
    said = []
    if binding.run is not None:
        said.append(
            f"{binding.run.suite}: {binding.run.metric} {binding.run.score.normalize():f}"
            f" ({binding.run.interval_low.normalize():f} to {binding.run.interval_high.normalize():f},"
            f" n = {binding.run.sample_size})"
        )
    if binding.evaluation is not None:
        result = binding.evaluation
        said.append(
            result.finding
            if result.score is None
            else f"{result.benchmark}: {result.metric} {result.score.normalize():f}".replace(":  ", ": ")
        )
    return "; ".join(said)
