"""Weighted attainment: what a rep's plans pay for, each measure by its weight. RULES 9.4."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from django.db import connection
from django.db.models import F, Prefetch, Q, Sum
from psycopg import sql

from quotas.models import (
    CreditTotal,
    Measure,
    Period,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    TeamMembership,
    TotalBasis,
)
from quotas.selectors import periods
from quotas.selectors.targets import EFFECTIVE

ONE_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class WeightedComponent:
    """A measure of a plan: what it weighs, what is credited and asked for; minor units of the measure, direct and overlay together.

    quota_minor  None, or nothing to reach: the component is named and adds nothing.
    """

    measure: Measure
    weight_ppm: int
    credited_minor: int
    quota_minor: int | None

    @property
    def attainment(self) -> Fraction | None:
        return Fraction(self.credited_minor, self.quota_minor) if self.quota_minor else None

    @property
    def contribution(self) -> Fraction | None:
        """weight x attainment: its part of the weighted attainment."""
        return None if self.attainment is None else Fraction(self.weight_ppm, ONE_PPM) * self.attainment


@dataclass(frozen=True, slots=True)
class WeightedAttainment:
    """A rep's attainment under one plan version: the sum of weight x attainment over the components that have a quota."""

    plan_version: PlanVersion
    components: Sequence[WeightedComponent]

    @property
    def weighted(self) -> Fraction | None:
        """None if no component has a quota."""
        parts = [c.contribution for c in self.components if c.contribution is not None]
        return sum(parts, Fraction(0)) if parts else None

    @property
    def weight_counted_ppm(self) -> int:
        """How much of the whole weight has a quota; all of it is one million."""
        return sum(c.weight_ppm for c in self.components if c.attainment is not None)

    @property
    def without_quota(self) -> list[WeightedComponent]:
        return [c for c in self.components if c.attainment is None]


def weighted_attainments(
    reps: Iterable[int], *, period: Period, on: date
) -> dict[int, list[WeightedAttainment]]:
    """By rep, one for each plan with components that the rep has on the period's last day, or on *on* if that is earlier.

    At most 7 queries, whatever the number of reps. Who has no such plan is missing.
    """
    ids = list(reps)
    day = periods.last_day(period, on)
    plans = _plans(ids, day)
    versions = _versions({plan for of in plans.values() for plan in of}, day)
    measures = {c.measure_id for version in versions.values() for c in version.components.all()}
    if not measures:
        return {}
    credited = _credited(ids, measures, period)
    quotas = _quotas(ids, measures, period)
    found = {}
    for rep, of in plans.items():
        told = [
            WeightedAttainment(
                versions[plan],
                tuple(
                    WeightedComponent(
                        c.measure,
                        c.weight_ppm,
                        credited.get((rep, c.measure_id), 0),
                        quotas.get((rep, c.measure_id)),
                    )
                    for c in versions[plan].components.all()
                ),
            )
            for plan in sorted(of)
            if plan in versions
        ]
        if told:
            found[rep] = told
    return found


def _plans(reps: Collection[int], day: date) -> dict[int, set[int]]:
    """Rep to the plans assigned on a day: in person, to the role, to everybody. 2 queries."""
    roles = dict(
        TeamMembership.objects.filter(rep__in=reps, superseded_at=None, effective__contains=day).values_list(
            "rep_id", "role"
        )
    )
    assigned = PlanAssignment.objects.filter(
        Q(rep=None) | Q(rep__in=reps), superseded_at=None, effective__contains=day
    )
    found: dict[int, set[int]] = {rep: set() for rep in reps}
    for each in assigned:
        if each.rep_id is not None:
            found[each.rep_id].add(each.plan_id)
            continue
        for rep in reps:
            if each.role in ("", roles.get(rep)):
                found[rep].add(each.plan_id)
    return found


def _versions(plans: Collection[int], day: date) -> dict[int, PlanVersion]:
    """Plan to the version in force on a day, where that has components. 2 queries."""
    components = PlanComponent.objects.select_related("measure__currency").order_by(
        "-weight_ppm", "measure__position", "measure_id"
    )
    versions = (
        PlanVersion.objects.filter(plan__in=plans, state=PlanState.PUBLISHED, effective__contains=day)
        .select_related("plan")
        .prefetch_related(Prefetch("components", components))
        .order_by("number")
    )
    latest = {version.plan_id: version for version in versions}
    return {plan: version for plan, version in latest.items() if version.components.all()}


def _credited(reps: Collection[int], measures: Collection[int], period: Period) -> dict[tuple[int, int], int]:
    """As reported, direct and overlay, in whatever team. 1 query."""
    rows = (
        CreditTotal.objects.filter(
            period=period, basis=TotalBasis.REPORTED, rep__in=reps, measure__in=measures
        )
        .values("rep_id", "measure_id")
        .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
        .values_list("rep_id", "measure_id", "together")
    )
    return {(rep, measure): int(together) for rep, measure, together in rows}


_QUOTAS = sql.SQL(
    """
    SELECT q.rep_id, q.measure_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = ANY(%(measures)s) AND q.superseded_at IS NULL AND q.rep_id = ANY(%(reps)s)
    """
).format(effective=EFFECTIVE)


def _quotas(reps: Collection[int], measures: Collection[int], period: Period) -> dict[tuple[int, int], int]:
    """By their own method. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(_QUOTAS, {"period": period.pk, "measures": list(measures), "reps": list(reps)})
        return {(rep, measure): amount for rep, measure, amount in cursor.fetchall()}
