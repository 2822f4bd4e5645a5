"""Everything that a scenario is worked out from, read once: live bindings, usage, prices, lives, evidence, decisions, plans."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

from django.db.models import Count, Q, Sum

from config.formats import rounded, whole
from config.months import add_months, month_of, months_between
from marketplace.models import (
    Binding,
    Company,
    FeatureUsage,
    ModelVersion,
    Offering,
    Program,
    Relationship,
    RelationshipStatus,
    ScenarioMove,
    SpendPlan,
    Substitution,
    SubstitutionState,
    SupplierAgreement,
)
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.selectors.eligibility import Treatment, bulk_treatments
from marketplace.selectors.sourcing.binding import Life, features_on, lives, plans_to_buy
from marketplace.selectors.sourcing.costing import PriceBook
from marketplace.selectors.sourcing.judging import Entries, Key, comparable
from marketplace.selectors.sourcing.requirements import context_met, modalities, ways_to_buy, zone_met
from marketplace.selectors.sourcing.verdicts import Worksheet

ONE: Final = 1_000_000
LOOKED_BACK: Final = 3  # whole months whose mean is what is expected


@dataclass(frozen=True, slots=True)
class Volume:
    """What a feature is expected to use in a month: tokens, whatever the model.

    months      How many its mean is made of. synthetic: made up.
    factor      What it is of the mean, parts per million, where use grows.
    """

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    requests: int
    months: int
    synthetic: bool = False
    factor: int = ONE

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def times(self, factor: int) -> "Volume":
        """factor: parts per million. In whole tokens."""
        taken, cached, given, asked = (
            rounded(Fraction(amount * factor, ONE))
            for amount in (self.input_tokens, self.cached_tokens, self.output_tokens, self.requests)
        )
        return replace(
            self,
            input_tokens=taken,
            cached_tokens=min(cached, taken),
            output_tokens=given,
            requests=asked,
            factor=factor,
        )


def grown(growth_ppm: int, now: date, month: date) -> int:
    """What a month's use is of the present month's, parts per million, where it grows by so much a year; never before now."""
    ahead = (month.year - now.year) * 12 + month.month - now.month
    if not growth_ppm or ahead <= 0:
        return ONE
    return round(ONE * math.pow(1 + growth_ppm / ONE, ahead / 12))


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the horizon; end is the first day after it."""

    start: date
    end: date

    @property
    def days(self) -> int:
        return (self.end - self.start).days


class Facts:
    """Of all features over so many months from the month of a day on. A constant number of queries, then none."""

    def __init__(
        self, moves: Sequence[ScenarioMove], *, starts_on: date, months: int, on: date, growth_ppm: int = 0
    ) -> None:
        self.starts_on, self.on, self.growth_ppm = starts_on, on, growth_ppm
        first = month_of(starts_on)
        self.end = add_months(first, months)
        self.months = [Month(m, add_months(m, 1)) for m in months_between(first, self.end)]
        self.features = {f.pk: f for f in features_on(starts_on)}
        self.bindings: dict[int, list[Binding]] = defaultdict(list)
        for binding in (
            Binding.objects.filter(superseded_at=None, effective__overlap=(first, self.end))
            .defer("made_at", "superseded_at")
            .order_by("effective", "pk")
        ):
            self.bindings[binding.feature_id].append(binding)
        self.volumes = _volumes(on)
        self.factors = [grown(growth_ppm, month_of(on), month.start) for month in self.months]
        self._grown: dict[tuple[int, int], Volume] = {}
        qualified = list(
            Substitution.objects.filter(superseded_at=None, state=SubstitutionState.QUALIFIED).order_by(
                "decided_at", "pk"
            )
        )
        self._read_versions(moves, qualified)
        self._read_suppliers(moves, first)
        self.qualified = self._in_order(qualified)
        self._read_evidence()
        self._read_treatment()

    def _read_versions(self, moves: Sequence[ScenarioMove], qualified: Sequence[Substitution]) -> None:
        wanted = {b.model_version_id for found in self.bindings.values() for b in found}
        wanted |= {pk for move in moves for pk in (move.source_id, move.target_id) if pk is not None}
        wanted |= {s.alternative_id for s in qualified}
        self.versions = {
            v.pk: v for v in ModelVersion.objects.filter(pk__in=wanted).select_related("model__publisher")
        }
        self.lives: dict[int, Life] = lives(wanted)
        self.bought_as = plans_to_buy(wanted)
        self._ways = ways_to_buy(wanted, self.starts_on)
        self._bought_in: dict[tuple[int, str], int] = {}
        for pk, ways in self._ways.items():
            for way in ways:
                if way.priced:
                    self._bought_in.setdefault((pk, way.zone), way.pk)
        stated = {b.plan_id for found in self.bindings.values() for b in found if b.plan_id is not None}
        moved = {move.plan_id for move in moves if move.plan_id is not None}
        zones = {f.zone for f in self.features.values() if f.zone}
        bought = {*self.bought_as.values(), *(p for (_, zone), p in self._bought_in.items() if zone in zones)}
        self.book = PriceBook(stated | moved | bought, self.months[0].start, self.end)
        named = defaultdict(set)
        for version in self.versions.values():
            named[version.model.name].add(version.pk)
        self._names = {
            pk: v.model.name if len(named[v.model.name]) == 1 else f"{v.model.name} {v.label}"
            for pk, v in self.versions.items()
        }

    def _read_suppliers(self, moves: Sequence[ScenarioMove], first: date) -> None:
        companies = list(Company.objects.order_by("pk"))
        self.companies = {c.pk: c for c in companies}
        self.company_of = {c.publisher_id: c for c in companies if c.publisher_id is not None}
        self.operator = next((c for c in companies if c.is_operator), None)
        self.spend_plans = list(
            SpendPlan.objects.filter(superseded_at=None, effective__overlap=(first, self.end))
            .select_related("supplier", "currency", "fact")
            .order_by("supplier__name", "effective", "pk")
        )
        ended = {move.supplier_id for move in moves if move.supplier_id is not None}
        self.agreements = list(
            SupplierAgreement.objects.filter(
                superseded_at=None, supplier__in=ended, effective__contains=self.starts_on
            ).order_by("pk")
        )
        self.ties = list(
            Relationship.objects.filter(
                Q(payer__in=ended, payee__is_operator=True) | Q(payee__in=ended, payer__is_operator=True),
                superseded_at=None,
                kind__in=MONEY_KINDS,
            )
            .exclude(status=RelationshipStatus.ENDED)
            .select_related("payer", "payee", "currency", "fact")
            .order_by("pk")
        )

    def _in_order(self, qualified: Sequence[Substitution]) -> dict[tuple[int, int], list[int]]:
        """(feature id, replaced version id) to the versions that could take over: the best first, as substitution ranks them.

        13 more queries where several could take over from one.
        """
        found: dict[tuple[int, int], list[int]] = defaultdict(list)
        for each in qualified:
            if each.feature_id in self.features:
                found[each.feature_id, each.replaced_id].append(each.alternative_id)
        several = {key: versions for key, versions in found.items() if len(versions) > 1}
        if several:
            named = {pk for (_, replaced), versions in several.items() for pk in (replaced, *versions)}
            sheet = Worksheet(self.on, {feature for feature, _ in several}, named)
            for (feature, replaced), versions in several.items():
                versions.sort(
                    key=lambda pk, f=feature, r=replaced: (  # type: ignore[misc]  # bound while the loop runs
                        sheet.verdicts(f, r, pk).rank,
                        self.versions[pk].model.name,
                        pk,
                    )
                )
        return found

    def _read_evidence(self) -> None:
        areas = {f.task_area_id: f.task_area for f in self.features.values()}
        self.areas = dict(sorted(areas.items(), key=lambda item: (item[1].position, item[0])))
        self.rankings: dict[int, dict[Key, Entries]] = comparable(set(self.versions), set(areas), on=self.on)

    def _read_treatment(self) -> None:
        sold = list(
            Offering.objects.filter(model_version__in=self.versions)
            .select_related("publisher")
            .order_by("pk")
        )
        treated = bulk_treatments(sold, self.starts_on)
        self.treated: dict[int, list[tuple[int, Treatment]]] = defaultdict(list)
        for offering in sold:
            self.treated[offering.model_version_id or 0].append(
                (offering.pk, treated[offering.pk][Program.QUOTA])
            )

    # What is asked of it.

    def volume(self, feature_id: int, number: int) -> Volume | None:
        """What a feature is expected to use in a month of the horizon, by its number."""
        volume, factor = self.volumes.get(feature_id), self.factors[number]
        if volume is None or factor == ONE:
            return volume
        key = feature_id, factor
        if key not in self._grown:
            self._grown[key] = volume.times(factor)
        return self._grown[key]

    def name(self, version_id: int) -> str:
        """Of the model, with its version where two of them are about."""
        return self._names[version_id]

    def supplier_id(self, version_id: int) -> int:
        """The publisher that makes it."""
        return self.versions[version_id].model.publisher_id

    def supplier_name(self, publisher_id: int) -> str:
        company = self.company_of.get(publisher_id)
        if company is not None:
            return company.name
        return next(
            v.model.publisher.name for v in self.versions.values() if v.model.publisher_id == publisher_id
        )

    def plan_for(self, version_id: int, feature_id: int) -> int | None:
        """As what a feature would buy a version: in the zone that it asks for where it is sold there."""
        zone = self.features[feature_id].zone
        there = self._bought_in.get((version_id, zone)) if zone else None
        return there or self.bought_as.get(version_id)

    def unmet(self, feature_id: int, version_id: int, plan_id: int | None) -> Iterator[tuple[str, bool, str]]:
        """What a feature asks and a version does not have: code, whether it fails (else it is not recorded), and words."""
        feature, version = self.features[feature_id], self.versions[version_id]
        if not (met := context_met(feature, version)):
            asked = f"{whole(feature.min_context or 0)} tokens of context are asked"
            has = version.context_window
            yield (
                "context",
                met is False,
                f"holds {whole(has)} tokens; {asked}."
                if has is not None
                else f"has no context window on record; {asked}.",
            )
        found = modalities(feature, version)
        for way, does, asks in (
            ("in", "reads", feature.modalities_in),
            ("out", "writes", feature.modalities_out),
        ):
            missing = [name for name, of in found.lacking if of == way]
            if way in found.unknown:
                said = f"has nothing on record of what it {does}; {', '.join(asks)} is asked."
                yield "modalities", False, said
            elif missing:
                yield "modalities", True, f"{does} no {' and no '.join(missing)}."
        zones = self._zones(version_id, plan_id)
        if not (met := zone_met(feature.zone, zones)):
            asked = f"the feature runs in {feature.zone.upper()}."
            where = " and ".join(sorted(zone.upper() for zone in zones if zone))
            text = f"is bought in {where}; {asked}" if met is False else f"has no zone on record; {asked}"
            yield "zone", met is False, text

    def _zones(self, version_id: int, plan_id: int | None) -> set[str]:
        """Where it can be bought: on the plan that a binding names, else on any public one."""
        plan = self.book.plan(plan_id)
        ways = self._ways.get(version_id, ())
        if plan is not None and plan.pk not in {way.pk for way in ways}:
            return {plan.zone}
        return {way.zone for way in ways}

    def able(self, feature_id: int, version_id: int) -> bool:
        """Whether it fails nothing that the feature asks."""
        plan = self.plan_for(version_id, feature_id)
        return not any(failed for _code, failed, _text in self.unmet(feature_id, version_id, plan))

    def runs(self, version_id: int, day: date) -> bool:
        """Whether it can take over from *day* on: out by then, and not retired by the first day."""
        life = self.lives[version_id]
        return (life.first is None or life.first <= day) and (life.end is None or life.end > self.starts_on)

    def treatment(self, version_id: int, plan_id: int | None) -> Treatment | None:
        """Toward quota on the first day: as it is bought, else the best of what sells it; None where nothing does."""
        found = self.treated.get(version_id)
        if not found:
            return None
        plan = self.book.plan(plan_id)
        own = [t for pk, t in found if plan is not None and pk == plan.offering_id]
        return max(own or [t for _pk, t in found], key=lambda t: t.rate_ppm or 0)


def _volumes(on: date) -> dict[int, Volume]:
    """By feature: the mean of those of the last three whole months that have usage. 1 query."""
    end = month_of(on)
    rows = (
        FeatureUsage.objects.filter(
            superseded_at=None, month__gte=add_months(end, -LOOKED_BACK), month__lt=end
        )
        .values("feature_id")
        .annotate(
            tokens_in=Sum("input_tokens"),
            cached=Sum("cached_tokens"),
            tokens_out=Sum("output_tokens"),
            asked=Sum("requests"),
            silent=Count("pk", filter=Q(requests=None)),
            seen=Count("month", distinct=True),
            made_up=Count("pk", filter=Q(synthetic=True)),
        )
        .order_by("feature_id")
    )
    found = {}
    for row in rows:
        totals = row["tokens_in"], row["cached"], row["tokens_out"], 0 if row["silent"] else row["asked"]
        a, b, c, d = (rounded(Fraction(int(total or 0), row["seen"])) for total in totals)
        found[row["feature_id"]] = Volume(a, b, c, d, row["seen"], bool(row["made_up"]))
    return found


def looked_back(on: date) -> tuple[date, date]:
    """First and last day of the months whose mean is what is expected."""
    end = month_of(on)
    return add_months(end, -LOOKED_BACK), end - timedelta(days=1)
