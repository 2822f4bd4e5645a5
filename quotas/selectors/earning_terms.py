"""What pays whom in a month: the components of the plans that a rep has on its last day, with quota, rate and cost centre. RULES 16."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

from django.db import connection
from django.db.models import Prefetch, Q
from psycopg import sql

from quotas.crediting.arithmetic import ONE_PPM
from quotas.crediting.earning import Scale, Tier, digest_form, part_of_year
from quotas.models import (
    FxRate,
    Grain,
    PayBy,
    Period,
    PlanAssignment,
    PlanComponent,
    PlanState,
    PlanVersion,
    RateTier,
    Team,
    TeamPlacement,
)
from quotas.selectors.targets import EFFECTIVE

NO_QUOTA: Final = "no_quota"
NO_RATE: Final = "no_rate"
NO_PLAN: Final = "no_plan"
WHY: Final[Mapping[str, str]] = {
    NO_QUOTA: "There is no quota for the window: attainment cannot be worked out.",
    NO_RATE: "There is no exchange rate on the last day of the month: it is held until there is one.",
    NO_PLAN: "No plan of the rep pays for it on the last day of the month.",
}
ONE_DAY: Final = timedelta(days=1)


class Months:
    """The periods of one fiscal calendar, by what lies in what. 1 query."""

    def __init__(self, calendar_id: int) -> None:
        self.by_id = {p.pk: p for p in Period.objects.filter(calendar=calendar_id)}
        self.months = sorted(
            (p for p in self.by_id.values() if p.grain == Grain.MONTH), key=lambda p: p.starts
        )
        self._within: dict[int, list[Period]] = defaultdict(list)
        for month in self.months:
            for pk in {month.pk, month.quarter_id, month.half_id, month.year_id}:
                if pk is not None:
                    self._within[pk].append(month)

    def window(self, month: Period, grain: str) -> Period:
        """The period of a grain that holds a month."""
        pk = {
            Grain.MONTH: month.pk,
            Grain.QUARTER: month.quarter_id,
            Grain.HALF: month.half_id,
            Grain.YEAR: month.year_id,
        }[Grain(grain)]
        return self.by_id[pk]  # type: ignore[index]  # a month knows what it lies in: month_knows_its_quarter_half_and_year

    def number(self, window: Period) -> int:
        """Which of its grain a window is in its year, from 1."""
        year = window.year_id or window.pk
        same = [p for p in self.by_id.values() if p.grain == window.grain and (p.year_id or p.pk) == year]
        return 1 + sum(p.starts < window.starts for p in same)

    def of(self, window: Period) -> list[Period]:
        """The months of a window, oldest first."""
        return self._within[window.pk]

    def holding(self, day: date) -> Period | None:
        return next((month for month in self.months if month.starts <= day < month.ends), None)


@dataclass(frozen=True, slots=True, eq=False)
class Pay:
    """A component with a scale as it pays in one month.

    months   Ids of the months of the window up to this one, oldest first.
    target   The window's part of the target incentive, minor units of the currency; None where a commission is paid.
    worth    For a commission: the exchange rate; None if there is no rate on the month's last day.
    kept     What an entry keeps of the scale.
    """

    component: PlanComponent
    plan_id: int
    version_id: int
    measure_id: int
    currency: str
    by: str
    window: Period
    months: tuple[int, ...]
    target: int | None
    worth: tuple[int, int] | None
    template: Scale
    kept: Mapping[str, Any]

    def scale(self, quota: int | None) -> Scale | str:
        """How it pays a rep with that quota; else why it does not."""
        if self.by == PayBy.AMOUNT:
            if self.worth is None:
                return NO_RATE
            hundred, worth = ONE_PPM, self.worth
        else:
            if not quota or self.target is None:
                return NO_QUOTA
            hundred, worth = quota, (self.target, quota)
        like = self.template
        return Scale(like.tiers, hundred, worth, like.threshold, like.whole_amount, like.cap_minor)


Membership = tuple[date | None, date | None, int, str]  # first day, first day after, team, role


class Terms:
    """What pays whom in some months of one calendar. 9 queries at most, whatever the number of reps.

    reps  Whom it will be asked about; None is anybody.
    """

    def __init__(
        self, months: Months, asked: Iterable[Period], *, reps: Collection[int] | None = None
    ) -> None:
        self.months = months
        self.asked = sorted(asked, key=lambda p: p.starts)
        self.reps = None if reps is None else list(reps)
        self.last_days = {month.pk: month.ends - ONE_DAY for month in self.asked}
        self._pays: dict[int, dict[int, list[Pay]]] = {}  # month, plan
        self._together: dict[tuple[int, str, tuple[int, ...]], dict[int, list[Pay]]] = {}
        self._versions()
        self._assignments()

    # --- who has what -------------------------------------------------------------------------------------

    def pays(self, rep: int, month: int) -> dict[int, list[Pay]]:
        """Measure to the components with a scale that the rep's plans have in a month."""
        day = self.last_days[month]
        own = tuple(plan for plan, span in self._own.get(rep, ()) if day in span)
        role = self.role(rep, day) if self._of_roles else ""
        key = (month, role, own)
        found = self._together.get(key)
        if found is None:
            plans = {plan for plan, of, span in self._of_many if of in ("", role) and day in span} | set(own)
            found = defaultdict(list)
            for plan in sorted(plans):
                for pay in self._pays[month].get(plan, ()):
                    found[pay.measure_id].append(pay)
            self._together[key] = found
        return found

    @cached_property
    def measures(self) -> set[int]:
        """Everything that is paid for in these months."""
        return {pay.measure_id for by_plan in self._pays.values() for of in by_plan.values() for pay in of}

    @property
    def every_pay(self) -> list[Pay]:
        return [pay for by_plan in self._pays.values() for of in by_plan.values() for pay in of]

    def role(self, rep: int, day: date) -> str:
        for starts, ends, _, role in self._memberships.get(rep, ()):
            if (starts is None or starts <= day) and (ends is None or day < ends):
                return role
        return ""

    def cost_centre(self, rep: int, month: int) -> str:
        """Of the team on the month's last day, or the last one before it: the nearest one above that names one."""
        day = self.last_days[month]
        team, since = 0, date.min
        for starts, _, of, _ in self._memberships.get(rep, ()):
            begun = starts or date.min
            if since <= begun <= day:
                team, since = of, begun
        if not team:
            return ""
        key = (team, month)
        if key not in self._centres:
            self._centres[key] = self._centre_above(team, day)
        return self._centres[key]

    def quota(self, rep: int, pay: Pay) -> int | None:
        return self._quotas.get((rep, pay.measure_id, pay.window.pk))

    def scale(self, rep: int, pay: Pay) -> Scale | str:
        return pay.scale(self.quota(rep, pay) if pay.by == PayBy.ATTAINMENT else None)

    # --- how it is read -----------------------------------------------------------------------------------

    def _versions(self) -> None:
        """Of each plan and month the published version in force on the last day. 4 queries, 1 more for exchange rates."""
        for month in self.asked:
            self._pays[month.pk] = {}
        if not self.asked:
            return
        components = Prefetch(
            "components",
            PlanComponent.objects.filter(pay_scale__isnull=False)
            .select_related("measure__currency", "currency", "pay_scale")
            .prefetch_related(Prefetch("pay_scale__tiers", RateTier.objects.order_by("starts_at"))),
        )
        versions = list(
            PlanVersion.objects.filter(state=PlanState.PUBLISHED)
            .prefetch_related(components)
            .order_by("number")
        )
        for month in self.asked:
            day = self.last_days[month.pk]
            in_force = {version.plan_id: version for version in versions if day in version.effective}
            for plan, version in in_force.items():
                self._pays[month.pk][plan] = [
                    self._pay(component, version, month) for component in version.components.all()
                ]

    def _pay(self, component: PlanComponent, version: PlanVersion, month: Period) -> Pay:
        given = component.pay_scale
        window = self.months.window(month, given.window)
        currency = component.currency or component.measure.currency
        code = currency.code if currency else ""
        template = Scale(
            tiers=tuple(Tier(tier.starts_at, tier.rate_ppm) for tier in given.tiers.all()),
            hundred=ONE_PPM,
            threshold=given.threshold,
            whole_amount=given.whole_amount,
            cap_minor=given.cap_minor,
        )
        attained = given.by == PayBy.ATTAINMENT
        target = None
        if attained and component.target_incentive_minor is not None:
            target = part_of_year(component.target_incentive_minor, window.grain, self.months.number(window))
        return Pay(
            component=component,
            plan_id=version.plan_id,
            version_id=version.pk,
            measure_id=component.measure_id,
            currency=code,
            by=given.by,
            window=window,
            months=tuple(m.pk for m in self.months.of(window) if m.starts <= month.starts),
            target=target,
            worth=None if attained else self._worth(component, self.last_days[month.pk]),
            template=template,
            kept=digest_form(template),
        )

    def _worth(self, component: PlanComponent, day: date) -> tuple[int, int] | None:
        """Minor units of pay for one of credit, at the rate of a day; None without a rate, or for a count."""
        of, to = component.measure.currency, component.currency or component.measure.currency
        if of is None or to is None:
            return None
        if of.code == to.code:
            return 1, 1
        for source, target, rate_e9, span in self._rates:
            if (source, target) == (of.code, to.code) and day in span:
                return (
                    rate_e9 * 10 ** max(0, to.exponent - of.exponent),
                    10**9 * 10 ** max(0, of.exponent - to.exponent),
                )
        return None

    @cached_property
    def _rates(self) -> list[tuple[str, str, int, Any]]:
        days = self.last_days.values()
        return list(
            FxRate.objects.filter(
                superseded_at=None, effective__overlap=(min(days), max(days) + ONE_DAY)
            ).values_list("from_currency_id", "to_currency_id", "rate_e9", "effective")
        )

    def _assignments(self) -> None:
        """1 query."""
        plans = {plan for by_plan in self._pays.values() for plan, of in by_plan.items() if of}
        self._own: dict[int, list[tuple[int, Any]]] = defaultdict(list)
        self._of_many: list[tuple[int, str, Any]] = []
        rows = PlanAssignment.objects.filter(plan__in=plans, superseded_at=None)
        if self.reps is not None:
            rows = rows.filter(Q(rep=None) | Q(rep__in=self.reps))
        for each in rows:
            if each.rep_id is None:
                self._of_many.append((each.plan_id, each.role, each.effective))
            else:
                self._own[each.rep_id].append((each.plan_id, each.effective))
        self._of_roles = any(role for _, role, _ in self._of_many)

    @cached_property
    def _memberships(self) -> dict[int, list[Membership]]:
        """1 query."""
        asked = sql.SQL("" if self.reps is None else " AND rep_id = ANY(%(reps)s)")
        found: dict[int, list[Membership]] = defaultdict(list)
        with connection.cursor() as cursor:
            cursor.execute(
                sql.SQL(
                    "SELECT rep_id, lower(effective), upper(effective), team_id, role FROM quotas_teammembership"
                    " WHERE superseded_at IS NULL{}"
                ).format(asked),
                {"reps": self.reps},
            )
            for rep, starts, ends, team, role in cursor.fetchall():
                found[rep].append((starts, ends, team, role))
        return found

    @cached_property
    def _centres(self) -> dict[tuple[int, int], str]:
        return {}

    @cached_property
    def _named_centres(self) -> dict[int, str]:
        """1 query."""
        return dict(Team.objects.exclude(cost_centre="").values_list("pk", "cost_centre"))

    @cached_property
    def _placements(self) -> dict[int, list[tuple[Any, int | None]]]:
        """1 query."""
        found: dict[int, list[tuple[Any, int | None]]] = defaultdict(list)
        for team, parent, span in TeamPlacement.objects.filter(superseded_at=None).values_list(
            "team_id", "parent_id", "effective"
        ):
            found[team].append((span, parent))
        return found

    def _centre_above(self, team: int, day: date) -> str:
        at: int | None = team
        passed: set[int] = set()
        while at is not None and at not in passed:
            passed.add(at)
            if at in self._named_centres:
                return self._named_centres[at]
            at = next((parent for span, parent in self._placements.get(at, ()) if day in span), None)
        return ""

    @cached_property
    def _quotas(self) -> dict[tuple[int, int, int], int]:
        """By their own method, of every window that pays by attainment. 1 query."""
        attained = [pay for pay in self.every_pay if pay.by == PayBy.ATTAINMENT]
        if not attained:
            return {}
        asked = sql.SQL("q.rep_id IS NOT NULL" if self.reps is None else "q.rep_id = ANY(%(reps)s)")
        statement = sql.SQL(
            "SELECT q.rep_id, q.measure_id, q.period_id, {} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id"
            " WHERE q.period_id = ANY(%(periods)s) AND q.measure_id = ANY(%(measures)s) AND q.superseded_at IS NULL AND {}"
        ).format(EFFECTIVE, asked)
        given = {
            "periods": sorted({pay.window.pk for pay in attained}),
            "measures": sorted({pay.measure_id for pay in attained}),
            "reps": self.reps,
        }
        with connection.cursor() as cursor:
            cursor.execute(statement, given)
            return {(rep, measure, period): int(amount) for rep, measure, period, amount in cursor.fetchall()}


def origins_of(pays: Sequence[Pay]) -> set[int]:
    """Months whose credit has to be known."""
    return {month for pay in pays for month in pay.months}
