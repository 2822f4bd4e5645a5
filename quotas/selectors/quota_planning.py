"""Quotas down the hierarchy: what each team has, what its people add up to, what was credited before. RULES 11.4 to 11.8."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any, Final, Literal

from django.conf import settings
from django.db import connection
from django.db.models import F, Sum
from psycopg import sql

from accounts.models import AuditEvent, Role, User
from quotas.models import (
    CreditTotal,
    Grain,
    Measure,
    Period,
    PeriodState,
    Quota,
    QuotaRelief,
    SalesRole,
    Team,
    TeamMembership,
    Territory,
    TerritoryAssignment,
    TotalBasis,
)
from quotas.selectors import periods, targets, teams
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.teams import Step
from quotas.selectors.visibility import SEES_EVERYTHING

GOOD_OVER_ASSIGNMENT_PPM: Final = (0, 100_000)  # unless settings.OVER_ASSIGNMENT_PPM says otherwise
MONTHS_A_YEAR: Final = 12
SELLERS: Final = (SalesRole.ACCOUNT_EXECUTIVE, SalesRole.SPECIALIST, SalesRole.CUSTOMER_SUCCESS)
CLOSED: Final = (PeriodState.CLOSING, PeriodState.CLOSED)

Kind = Literal["team", "rep"]
Band = Literal["good", "short", "over", "none"]
HistoryKind = Literal["year_before", "last_four_quarters"]


class Authority:
    """Whose quotas a person sees and sets: a comp admin everybody's, a manager those below the teams led and never the own.

    3 queries for a manager, whatever is asked of it afterwards; none for a comp admin or an auditor.
    """

    def __init__(self, user: User, on: date) -> None:
        self.sees_everything = user.has_role(*SEES_EVERYTHING)
        self.sets_everything = user.has_role(Role.COMP_ADMIN)
        self.teams: set[int] = set()
        self.reps: set[int] = set()
        self.led: set[int] = set()
        self._own: set[int] = set()
        if self.sees_everything or not user.has_role(Role.MANAGER):
            return
        tree = Hierarchy(on)
        self.led = {
            team for team, managers in tree.managers_of.items() if any(m.user_id == user.pk for m in managers)
        }
        # Who leads a team under another one that is led too does not set its quota: it is counted in the own.
        self.teams = set().union(*(tree.below(team) for team in self.led)) if self.led else set()
        self._own = {m.rep_id for team in self.led for m in tree.managers_of[team]}
        self.reps = set(
            TeamMembership.objects.filter(
                team__in=self.teams, superseded_at=None, effective__contains=on
            ).values_list("rep_id", flat=True)
        )

    @property
    def plans(self) -> bool:
        """Whether there is anything to set at all."""
        return self.sets_everything or bool(self.teams)

    def sees(self, kind: Kind, pk: int) -> bool:
        return self.sees_everything or pk in (self.teams if kind == "team" else self.reps)

    def sets(self, kind: Kind, pk: int) -> bool:
        own = self.led if kind == "team" else self._own
        return self.sets_everything or (self.sees(kind, pk) and not self.sees_everything and pk not in own)


@dataclass(frozen=True, slots=True)
class History:
    """What is held against a quota: what was credited in these periods, times share for a period of another length.

    words  Such as: credited in FY26-Q1.
    """

    kind: HistoryKind
    periods: Sequence[Period]
    share: Fraction
    words: str


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A team or a rep directly in the team of the sheet, or that team itself.

    quota_minor      As set: the amount of the version in force. None without one.
    effective_minor  By method, ramp and leave.
    version          0 without a quota.
    as_set_minor     What the reps' quotas below add up to as they were set; of a rep the own. assigned_minor: effective.
    parts_minor      What is set for the teams and people directly in it; of a rep nothing.
    history_minor    Credited before; None where nothing is known.
    people           Who sells below.
    vacant           A house rep: the seat of nobody. territories: those without anybody that it keeps.
    may_set          Whether the viewer sets this quota.
    """

    kind: Kind
    id: int
    slug: str
    name: str
    detail: str
    quota_minor: int | None = None
    effective_minor: int | None = None
    version: int = 0
    method: str = ""
    starts: date | None = None
    as_set_minor: int = 0
    assigned_minor: int = 0
    history_minor: int | None = None
    people: int = 0
    vacant: bool = False
    manages: bool = False
    territories: Sequence[str] = ()
    reliefs: Sequence[QuotaRelief] = ()
    may_set: bool = False

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.id}"

    @property
    def whose(self) -> tuple[int, int]:
        return (self.id, 0) if self.kind == "rep" else (0, self.id)

    @property
    def over(self) -> Fraction | None:
        """Over-assignment: by how much the reps' effective quotas exceed the team's, as a ratio. None without anything to compare."""
        if self.kind == "rep" or not self.effective_minor:
            return None
        return Fraction(self.assigned_minor - self.effective_minor, self.effective_minor)

    @property
    def band(self) -> Band:
        return "none" if self.over is None else band(self.over)

    @property
    def growth(self) -> Fraction | None:
        """Against what was credited before; None without."""
        if self.effective_minor is None or not self.history_minor or self.history_minor < 0:
            return None
        return Fraction(self.effective_minor - self.history_minor, self.history_minor)

    @property
    def relieved(self) -> bool:
        """Whether ramp or leave takes anything off."""
        return bool(self.reliefs)


@dataclass(frozen=True, slots=True)
class Sheet:
    """One team's quotas in a measure and period.

    own       The team's line.
    lines     Directly below: teams by name, then people; house reps last.
    on        The day as at which tree and members are read.
    closed    The months of the period that are closed.
    """

    team: Team
    measure: Measure
    period: Period
    on: date
    path: Sequence[Step]
    own: PlanLine
    lines: Sequence[PlanLine]
    history: History | None
    closed: Sequence[Period] = field(default_factory=tuple)

    @property
    def parts_minor(self) -> int:
        """What is set directly below: the teams' own quotas and the people's, as set."""
        return sum(line.quota_minor or 0 for line in self.lines)

    @property
    def difference_minor(self) -> int | None:
        """By how much that exceeds the team's quota; negative while it falls short. None without a quota."""
        return None if self.own.quota_minor is None else self.parts_minor - self.own.quota_minor

    @property
    def all_closed(self) -> bool:
        return (
            bool(self.closed)
            and sum((m.ends - m.starts).days for m in self.closed)
            == (self.period.ends - self.period.starts).days
        )


def band(over: Fraction) -> Band:
    """Where an over-assignment stands to what the operator holds for good."""
    least, most = getattr(settings, "OVER_ASSIGNMENT_PPM", GOOD_OVER_ASSIGNMENT_PPM)
    if over * 1_000_000 < least:
        return "short"
    return "over" if over * 1_000_000 > most else "good"


def sheet(
    *,
    team: Team,
    measure: Measure,
    period: Period,
    today: date,
    authority: Authority,
    history: HistoryKind = "year_before",
) -> Sheet:
    """A team and what is directly below it. At most 15 queries, whatever its size."""
    on = periods.last_day(period, today)
    tree = teams.below(team.pk, on)
    before = history_of(period, history)
    months = periods.leaves_of(period)
    given = {"period": period.pk, "measure": measure.pk, "teams": list(tree), "team": team.pk, "on": on}
    own = {row[0]: row[1:] for row in _read(_OWN, given)}
    below = {row[0]: row[1:] for row in _read(_BELOW, given)}
    members = _read(_MEMBERS, given)
    credited = _credited_by_team(tree, measure, before)
    reps = [row[0] for row in members]
    of_reps = _credited_by_rep(reps, measure, before)
    reliefs = targets.reliefs_of(reps, period)
    vacant = _vacant([row[0] for row in members if row[3] == SalesRole.HOUSE], on)
    branches: dict[int, list[int]] = defaultdict(list)
    for each, branch in tree.items():
        if branch is not None:
            branches[branch].append(each)
    names = {each.pk: each for each in Team.objects.filter(pk__in=branches)}
    lines = [
        _team_line(names[pk], inside, own, below, credited, before, authority)
        for pk, inside in sorted(branches.items(), key=lambda item: (names[item[0]].name, item[0]))
    ]
    for pk, slug, name, role, *quota in members:
        if quota[0] is None and role == SalesRole.MANAGER:
            continue
        amount, effective, version, method, starts = quota
        lines.append(
            PlanLine(
                kind="rep",
                id=pk,
                slug=slug,
                name=name,
                detail=SalesRole(role).label,
                quota_minor=amount,
                effective_minor=effective,
                version=version or 0,
                method=method or "",
                starts=starts,
                as_set_minor=amount or 0,
                assigned_minor=effective or 0,
                history_minor=_scaled(of_reps.get(pk), before),
                vacant=role == SalesRole.HOUSE,
                manages=role == SalesRole.MANAGER,
                territories=vacant.get(pk, ()),
                reliefs=reliefs.get(pk, ()),
                may_set=authority.sets("rep", pk),
            )
        )
    return Sheet(
        team=team,
        measure=measure,
        period=period,
        on=on,
        path=teams.path_to(team.pk, on),
        own=_team_line(team, list(tree), own, below, credited, before, authority),
        lines=lines,
        history=before,
        closed=[month for month in months if month.state in CLOSED],
    )


def history_of(period: Period, kind: HistoryKind = "year_before") -> History | None:
    """What a quota of this period is compared with: the same period a year before, else the last twelve months. 2 queries at most."""
    if kind == "year_before":
        begins = periods.a_year_before(period.starts)
        same = Period.objects.filter(
            calendar_id=period.calendar_id, grain=period.grain, starts=begins
        ).first()
        if same is not None:
            return History("year_before", [same], Fraction(1), f"credited in {same.name}")
    quarters = list(
        Period.objects.filter(
            calendar_id=period.calendar_id, grain=Grain.QUARTER, ends__lte=period.starts
        ).order_by("-starts")[:4]
    )
    if not quarters:
        return None
    share = Fraction(_months(period), 3 * len(quarters))
    named = f"{quarters[-1].name} to {quarters[0].name}" if len(quarters) > 1 else quarters[0].name
    return History("last_four_quarters", quarters, share, f"average of {named}, for as many months")


def versions_of(quota: Quota) -> list[Quota]:
    """Every version of the same quota, the latest first. 1 query."""
    return list(
        Quota.objects.filter(
            measure=quota.measure_id, period=quota.period_id, rep=quota.rep_id, team=quota.team_id
        )
        .select_related("measure__currency", "period__calendar", "rep", "team", "recorded_by")
        .order_by("-version")
    )


def reasons_of(quotas: Iterable[Quota]) -> dict[int, str]:
    """Quota id to the reason that was given when it was written. 1 query."""
    return dict(
        AuditEvent.objects.filter(
            table="quotas_quota", row__in=[quota.pk for quota in quotas], action="insert"
        )
        .exclude(reason="")
        .values_list("row", "reason")
    )


def reliefs_for(authority: Authority) -> Any:
    """Ramp and leave that a person may see, those in force and those that were. A queryset."""
    rows = QuotaRelief.objects.select_related("rep", "recorded_by")
    return rows if authority.sees_everything else rows.filter(rep__in=authority.reps)


def counted_ppm(reliefs: Sequence[QuotaRelief], period: Period) -> Fraction:
    """How much of a whole quota counts in a period: the days, each by its factor."""
    days = (period.ends - period.starts).days
    off = Fraction(0)
    for relief in reliefs:
        first = max(relief.effective.lower or period.starts, period.starts)
        last = min(relief.effective.upper or period.ends, period.ends)
        off += Fraction((1_000_000 - relief.factor_ppm) * max((last - first).days, 0), 1_000_000)
    return 1 - off / days


@dataclass(frozen=True, slots=True)
class Attained:
    """A quota as it is now, and what is credited against it."""

    quota_minor: int | None
    credited_minor: int


def attained(
    *, reps: Sequence[int], of_teams: Sequence[int], measure: Measure, period: Period, on: date
) -> dict[tuple[int, int], Attained]:
    """By rep and team (one of them 0): effective quota and credit as reported, a team's with all that is below. 6 queries at most."""
    quotas = {
        **{(pk, 0): v for pk, v in targets.quotas_of_reps(reps, measure=measure, period=period).items()},
        **{(0, pk): v for pk, v in targets.quotas_of_teams(of_teams, measure=measure, period=period).items()},
    }
    now = CreditTotal.objects.filter(period=period, measure=measure, basis=TotalBasis.REPORTED)
    credited: dict[tuple[int, int], int] = {}
    if reps:
        for pk, amount in (
            now.filter(rep__in=reps)
            .values_list("rep_id")
            .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
        ):
            credited[pk, 0] = int(amount)
    if of_teams:
        tree = Hierarchy(on)
        earned = {pk: int(v) for pk, v in now.values_list("team_id").annotate(together=Sum("direct_minor"))}
        for pk in of_teams:
            credited[0, pk] = sum(earned.get(each, 0) for each in tree.below(pk))
    keys = [*((pk, 0) for pk in reps), *((0, pk) for pk in of_teams)]
    return {key: Attained(quotas.get(key), credited.get(key, 0)) for key in keys}


# What is read.

_OWN: Final = sql.SQL(
    """
    SELECT q.team_id, q.amount_minor, {effective}, q.version, q.method, q.starts
      FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.team_id = ANY(%(teams)s)
    """
).format(effective=targets.EFFECTIVE)
_BELOW: Final = sql.SQL(
    """
    SELECT m.team_id, count(*) FILTER (WHERE m.role IN ('account_executive', 'specialist', 'customer_success')),
           coalesce(sum(t.amount), 0)::bigint, coalesce(sum(t.effective), 0)::bigint
      FROM quotas_teammembership m
      LEFT JOIN LATERAL (
        SELECT q.amount_minor AS amount, {effective} AS effective FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
         WHERE q.rep_id = m.rep_id AND q.team_id IS NULL AND q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL) t ON true
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s) GROUP BY m.team_id
    """
).format(effective=targets.EFFECTIVE)
_MEMBERS: Final = sql.SQL(
    """
    SELECT r.id, r.slug, r.name, m.role, t.amount, t.effective, t.version, t.method, t.starts
      FROM quotas_teammembership m JOIN quotas_rep r ON r.id = m.rep_id
      LEFT JOIN LATERAL (
        SELECT q.amount_minor AS amount, {effective} AS effective, q.version, q.method, q.starts
          FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
         WHERE q.rep_id = m.rep_id AND q.team_id IS NULL AND q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL) t ON true
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = %(team)s
     ORDER BY m.role = 'house', r.name, r.id
    """
).format(effective=targets.EFFECTIVE)


def _read(statement: sql.Composable, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())


def _team_line(
    team: Team,
    inside: Sequence[int],
    own: Mapping[int, tuple[Any, ...]],
    below: Mapping[int, tuple[Any, ...]],
    credited: Mapping[int, int] | None,
    before: History | None,
    authority: Authority,
) -> PlanLine:
    amount, effective, version, method, starts = own.get(team.pk, (None, None, 0, "", None))
    people, as_set, assigned = (sum(below[each][n] for each in inside if each in below) for n in range(3))
    known = None if credited is None else [credited[each] for each in inside if each in credited]
    return PlanLine(
        kind="team",
        id=team.pk,
        slug=team.slug,
        name=team.name,
        detail=f"{people:,} {'person' if people == 1 else 'people'}",
        quota_minor=amount,
        effective_minor=effective,
        version=version,
        method=method,
        starts=starts,
        as_set_minor=as_set,
        assigned_minor=assigned,
        history_minor=_scaled(sum(known), before) if known else None,
        people=people,
        may_set=authority.sets("team", team.pk),
    )


def _scaled(amount: int | None, before: History | None) -> int | None:
    if amount is None or before is None:
        return None
    value = amount * before.share
    return -_half_up(-value) if value < 0 else _half_up(value)


def _half_up(value: Fraction) -> int:
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _credited_by_team(tree: Iterable[int], measure: Measure, before: History | None) -> dict[int, int] | None:
    """Direct credit by team. 1 query."""
    if before is None:
        return None
    rows = CreditTotal.objects.filter(
        period__in=before.periods, measure=measure, basis=TotalBasis.REPORTED, team__in=list(tree)
    )
    return {pk: int(v) for pk, v in rows.values_list("team_id").annotate(together=Sum("direct_minor"))}


def _credited_by_rep(reps: Sequence[int], measure: Measure, before: History | None) -> dict[int, int]:
    """Direct and overlay credit by rep, in whatever team. 1 query."""
    if before is None or not reps:
        return {}
    rows = CreditTotal.objects.filter(
        period__in=before.periods, measure=measure, basis=TotalBasis.REPORTED, rep__in=reps
    )
    return {
        pk: int(v)
        for pk, v in rows.values_list("rep_id").annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
    }


def _vacant(houses: Sequence[int], on: date) -> dict[int, list[str]]:
    """House rep to the names of its territories that nobody covers on a day. 1 query where there is a house rep."""
    if not houses:
        return {}
    covered = TerritoryAssignment.objects.filter(superseded_at=None, effective__contains=on).exclude(
        rep__in=houses
    )
    found: dict[int, list[str]] = defaultdict(list)
    for rep_id, name in (
        Territory.objects.filter(house_rep__in=houses)
        .exclude(pk__in=covered.values("territory"))
        .order_by("name")
        .values_list("house_rep_id", "name")
    ):
        found[rep_id].append(name)
    return dict(found)


def _months(period: Period) -> int:
    return {Grain.MONTH: 1, Grain.QUARTER: 3, Grain.HALF: 6, Grain.YEAR: MONTHS_A_YEAR}[Grain(period.grain)]
