"""The catalog as it is on the day for which a source speaks, in the shape in which rows are looked up. Reads only."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final

from django.db.models import Q

from marketplace.importers.providers import Place, Seller, maker_of
from marketplace.importers.rows import PlanFacts, day_in, slug
from marketplace.models import (
    AiModel,
    Alias,
    Evaluation,
    ModelVersion,
    Offering,
    Plan,
    PriceVersion,
    Publisher,
    TaskArea,
)
from marketplace.selectors.prices import WORLD

BY_USE: Final = ("tokens", "metered", "free")


@dataclass(slots=True)
class Price:
    """One list price in USD, of the whole world. lines: (meter, tier, above context) to (per, unit, amount)."""

    id: int
    start: date | None
    end: date | None
    source: str
    lines: dict[tuple[str, int, int], tuple[int, str, Decimal | None]]

    def holds(self, on: date) -> bool:
        return (self.start is None or self.start <= on) and (self.end is None or on < self.end)


@dataclass(slots=True)
class Snapshot:
    """What rows are compared with. Built with a fixed number of queries; prices are read for the offerings that rows met."""

    source: str
    on: date
    offerings: dict[int, Offering] = field(default_factory=dict)
    by_slug: dict[str, int] = field(default_factory=dict)
    plans: dict[int, list[Plan]] = field(default_factory=lambda: defaultdict(list))
    publishers: dict[str, Publisher] = field(default_factory=dict)
    models: dict[str, AiModel] = field(default_factory=dict)
    versions: dict[tuple[str, str], ModelVersion] = field(default_factory=dict)
    prices: dict[int, list[Price]] = field(default_factory=lambda: defaultdict(list))
    areas: set[str] = field(default_factory=set)
    area_of: dict[str, str] = field(default_factory=dict)
    results: dict[tuple[str, ...], list[Evaluation]] = field(default_factory=lambda: defaultdict(list))
    aliases: dict[str, Alias] = field(default_factory=dict)
    _named: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    _meant: dict[str, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    _sold: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def take(cls, *, source: str, on: date, evaluations: bool) -> "Snapshot":
        """7 queries, 9 with evaluations."""
        self = cls(source, on)
        for publisher in Publisher.objects.all():
            self.publishers[publisher.slug] = publisher
        for model in AiModel.objects.select_related("publisher"):
            self.models[model.slug] = model
        for version in ModelVersion.objects.select_related("model"):
            self.versions[version.model.slug, version.label] = version
            its = slug(f"{version.model.slug}-{version.label}")
            self._meant[its].add((version.model.slug, version.label))
            if _only_dated(version):
                self._meant[version.model.slug].add((version.model.slug, version.label))
        for offering in Offering.objects.select_related("publisher", "model_version__model").order_by("pk"):
            self._learn(offering)
        for plan in Plan.objects.order_by("offering_id", "position", "id"):
            self.plans[plan.offering_id].append(plan)
        for alias in Alias.objects.filter(Q(used_by=source) | Q(used_by=""), effective__contains=on).order_by(
            "used_by"
        ):  # the source's own name of it comes last and wins
            self.aliases[alias.name.lower()] = alias
        if evaluations:
            self.areas = set(TaskArea.objects.values_list("slug", flat=True))
            for result in Evaluation.objects.select_related("task_area"):
                self.area_of.setdefault(slug(result.benchmark), result.task_area.slug)
                self.results[result_key(result)].append(result)
        return self

    def _learn(self, offering: Offering) -> None:
        self.offerings[offering.pk] = offering
        self.by_slug[offering.slug] = offering.pk
        names = {offering.slug, slug(offering.name)}
        version = offering.model_version
        if version is not None:
            names.add(slug(f"{version.model.slug}-{version.label}"))
            if _only_dated(version):
                names.add(version.model.slug)
            self._sold[version.pk].append(offering.pk)
            self._meant[offering.slug].add((version.model.slug, version.label))
            self._meant[slug(offering.name)].add((version.model.slug, version.label))
        for name in names:
            self._named[offering.publisher.slug, name].add(offering.pk)

    def read_prices(self, offering_ids: Iterable[int]) -> None:
        """List prices in USD that hold on the day or begin later, of these offerings. 2 queries."""
        plan_ids = [p.pk for pk in set(offering_ids) for p in self.plans.get(pk, ())]
        if not plan_ids:
            return
        versions = (
            PriceVersion.objects.filter(
                plan__in=plan_ids, market=WORLD, currency="USD", superseded_at=None, private_offer=None
            )
            .prefetch_related("rows")
            .order_by("plan_id", "effective")
        )
        for v in versions:
            if v.effective.upper is not None and v.effective.upper <= self.on:
                continue
            self.prices[v.plan_id].append(
                Price(
                    v.pk,
                    v.effective.lower,
                    v.effective.upper,
                    v.source,
                    {
                        (r.meter, r.tier_from, r.above_context): (r.per, r.unit, r.amount)
                        for r in v.rows.all()
                    },
                )
            )

    # Looking up

    def alias_of(self, name: str) -> tuple[int | None, int | None]:
        """(offering, plan) that the name stands for on the day; a model version stands for its one offering."""
        alias = self.aliases.get(name.lower())
        if alias is None:
            return None, None
        if alias.plan_id is not None:
            return next(
                (
                    (o, alias.plan_id)
                    for o, its in self.plans.items()
                    if any(p.pk == alias.plan_id for p in its)
                ),
                (None, None),
            )
        if alias.offering_id is not None:
            return alias.offering_id, None
        sold = self._sold.get(alias.model_version_id or 0, [])
        return (sold[0] if len(sold) == 1 else None), None

    def offering_named(self, seller: Seller, place: Place) -> int | None:
        """The offering of the seller (of any publisher for the operator's own cloud) that the name can mean, if it is only one.

        A name without a day means the one offering of that name; a day in it must be the version's.
        """
        key = slug(place.key)
        last = slug(place.key.rsplit("/", 1)[-1])
        names = [key, last, last.removesuffix("-latest")]
        if (its_day := day_in(last)) is not None:
            compact = f"{its_day:%Y%m%d}"
            names.append(last.replace(compact, its_day.isoformat()))
        publishers = [seller.slug]
        if seller.own_cloud:
            maker = maker_of(place.key)
            publishers = [maker] if maker else list(self.publishers)
            names += [f"{maker}-{last}"] if maker else []
        for name in names:
            found = set().union(*(self._named.get((p, name), set()) for p in publishers))
            if len(found) == 1:
                return found.pop()
        return None

    def version_named(self, subject: str, maker: str = "") -> tuple[str, str] | None:
        """The one model version that a name can mean. A name that several versions share means none."""
        last = slug(subject.rsplit("/", 1)[-1])
        for name in (slug(subject), last):
            if len(found := self._meant.get(name, set())) == 1:
                model, label = next(iter(found))
                if not maker or self.models[model].publisher.slug == maker:
                    return model, label
        alias = self.aliases.get(subject.lower())
        if alias is not None and alias.offering_id is not None:
            version = self.offerings[alias.offering_id].model_version
            return (version.model.slug, version.label) if version is not None else None
        return None

    def plan_like(self, offering_id: int, facts: PlanFacts, zone: str) -> Plan | None:
        """The public plan with the same processing tier and zone; without a zone the plain or worldwide one."""
        for plan in self.plans.get(offering_id, ()):
            if plan.slug == facts.slug and facts.slug != "standard":
                return plan
        for plan in self.plans.get(offering_id, ()):
            if (
                plan.is_public
                and plan.pricing_form in BY_USE
                and plan.processing_tier == facts.processing_tier
                and (plan.zone == zone if zone else plan.zone in ("", "global"))
                and not facts.deployment
                and (plan.withdrawn_on is None or plan.withdrawn_on > self.on)
            ):
                return plan
        return None

    def price_of(self, plan_id: int, on: date) -> Price | None:
        return next((p for p in self.prices.get(plan_id, ()) if p.holds(on)), None)


def _only_dated(version: ModelVersion) -> bool:
    """It has no name of its own: the model's name means it, as far as no other version is there."""
    return day_in(version.label) is not None or version.label == "as listed"


def result_key(result: Evaluation) -> tuple[str, ...]:
    """One model in one setting of one benchmark of one source."""
    return tuple(
        part.lower()
        for part in (
            result.subject,
            result.benchmark,
            result.benchmark_version,
            result.metric,
            result.harness,
            result.variant,
            result.source,
        )
    )
