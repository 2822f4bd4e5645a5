"""What a home page shows beside what other pages have: all measures of a rep at once, and who of a team moves or falls behind."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from django.db import connection
from django.db.models import F, Q, QuerySet, Sum
from psycopg import sql

from accounts.models import User
from quotas.models import (
    AccountOwnership,
    Adjustment,
    AdjustmentState,
    CreditEntry,
    CreditTotal,
    Deal,
    DealAction,
    DealEvent,
    DealState,
    Dispute,
    DisputeState,
    Grain,
    Measure,
    ParityException,
    Period,
    PeriodState,
    PlanState,
    PlanVersion,
    Rep,
    StraightThroughPolicy,
    TotalBasis,
)
from quotas.selectors import pace, targets
from quotas.selectors.accounts import Renewal, renewals
from quotas.selectors.adjustments import with_people
from quotas.selectors.boards import pending_of

WEEKS: Final = 10
WEEK: Final = 7
LATEST: Final = 5
LATEST_MONTHS: Final = 6  # posting periods in which the newest credits are looked for
BEHIND_PPM: Final = 30_000  # under pace by more than this is behind, as on a board
MOVERS: Final = 3
AT_RISK: Final = 6
ANSWERED_DAYS: Final = 14  # for so long an answered dispute is news
RENEWALS_DAYS: Final = 90


# --- a rep ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """A rep in one measure and period: direct and overlay, in whatever team; minor units of the measure.

    pending_minor    Estimated value of submitted deals, as on a board.
    by_day           Credit of each elapsed day of the period; adds up to credited_minor.
    weeks            Credit of each of the last ten weeks, oldest first, whatever the period.
    forecast         None before the period's first day.
    """

    measure: Measure
    credited_minor: int
    quota_minor: int | None
    pending_minor: int
    by_day: Sequence[int]
    weeks: Sequence[int]
    forecast: pace.Forecast | None

    @property
    def last_week_minor(self) -> int:
        return self.weeks[-1] if self.weeks else 0

    @property
    def trend(self) -> list[int]:
        """The weeks, running."""
        return list(accumulate(self.weeks))

    @property
    def gap_minor(self) -> int | None:
        return max(0, self.quota_minor - self.credited_minor) if self.quota_minor else None


_QUOTAS: Final = sql.SQL(
    """
    SELECT q.measure_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.superseded_at IS NULL AND q.rep_id = %(rep)s
    """
).format(effective=targets.EFFECTIVE)
# One row per measure and credit date: what was posted in the period, and what is dated in the last ten weeks.
_DAYS: Final = sql.SQL(
    """
    SELECT e.measure_id, e.credit_date, coalesce(sum(e.amount_minor) FILTER (WHERE e.posting_period_id = ANY(%(months)s)), 0)::bigint,
           sum(e.amount_minor)::bigint
      FROM quotas_creditentry e
     WHERE e.rep_id = %(rep)s
       AND e.posting_period_id IN (SELECT id FROM quotas_period WHERE calendar_id = %(calendar)s AND grain = 'M' AND (ends > %(since)s::date OR id = ANY(%(months)s)))
     GROUP BY e.measure_id, e.credit_date
    """
)


def standings(
    rep: Rep, *, team_id: int | None, period: Period, measures: Sequence[Measure], on: date
) -> list[Standing]:
    """One for each measure, in their order. 4 queries, and 1 a measure for what is pending."""
    so_far = pace.progress(period.starts, period.ends, on)
    credited = dict(
        CreditTotal.objects.filter(rep=rep, period=period, basis=TotalBasis.REPORTED)
        .order_by()
        .values_list("measure_id")
        .annotate(together=Sum(F("direct_minor") + F("overlay_minor")))
    )
    months = list(_months(period))
    since = on - timedelta(days=WEEKS * WEEK)
    given = {
        "rep": rep.pk,
        "period": period.pk,
        "months": months,
        "calendar": period.calendar_id,
        "since": since,
    }
    quotas = dict(_read(_QUOTAS, given))
    by_day: dict[int, list[int]] = defaultdict(lambda: [0] * so_far.elapsed)
    weeks: dict[int, list[int]] = defaultdict(lambda: [0] * WEEKS)
    for measure, day, posted, dated in _read(_DAYS, given):
        if posted and so_far.elapsed:
            by_day[measure][min(max((day - period.starts).days, 0), so_far.elapsed - 1)] += posted
        if since < day <= on:
            weeks[measure][WEEKS - 1 - (on - day).days // WEEK] += dated
    waiting = pending_of(rep.pk, team_id, period=period, measures=measures, on=on) if team_id else {}
    return [
        Standing(
            measure=each,
            credited_minor=int(credited.get(each.pk, 0)),
            quota_minor=quotas.get(each.pk),
            pending_minor=waiting.get(each.pk, 0),
            by_day=by_day[each.pk],
            weeks=weeks[each.pk],
            forecast=pace.forecast(int(credited.get(each.pk, 0)), by_day[each.pk], so_far),
        )
        for each in measures
    ]


def _months(period: Period) -> QuerySet[Period, int]:
    """Ids of the months of a period; a month is its own. No query by itself."""
    within = Q(pk=period.pk) | Q(quarter=period) | Q(half=period) | Q(year=period)
    return Period.objects.filter(within, grain=Grain.MONTH).values_list("pk", flat=True)


def newest_entries(rep: Rep, on: date) -> list[CreditEntry]:
    """The last credits of a rep in the open and the latest months, newest first, with what a line of a feed names. 9 queries at most.

    What they name is fetched apart: to plan one join over all partitions of the ledger takes longer than all of these.
    """
    recent = Period.objects.filter(
        grain=Grain.MONTH, starts__lte=on, ends__gt=on - timedelta(days=31 * LATEST_MONTHS)
    ).values_list("pk", flat=True)
    return list(
        CreditEntry.objects.filter(rep=rep, posting_period__in=list(recent))
        .prefetch_related("measure__currency", "posting", "rule_version", "deal__customer", "adjustment")
        .order_by("-pk")[:LATEST]
    )


@dataclass(frozen=True, slots=True)
class Returned:
    """A deal that came back to the rep, and why."""

    deal: Deal
    at: datetime | None
    reason: str


def returned_to(rep: Rep) -> list[Returned]:
    """The deals that a rep is to mend, the longest waiting first. 2 queries."""
    found = list(
        Deal.objects.filter(owner=rep, state=DealState.RETURNED).select_related("customer").order_by("pk")
    )
    said: dict[int, DealEvent] = {}
    if found:
        for event in DealEvent.objects.filter(
            deal__in=[deal.pk for deal in found], action=DealAction.RETURNED
        ).order_by("pk"):
            said[event.deal_id] = event
    told = [
        Returned(deal, said[deal.pk].at, said[deal.pk].reason)
        if deal.pk in said
        else Returned(deal, None, "")
        for deal in found
    ]
    return sorted(told, key=lambda each: (each.at is not None, each.at, each.deal.pk))


def disputes_of(rep: Rep, at: datetime) -> list[Dispute]:
    """What the rep said is wrong: what waits for an answer, and what was answered lately. 1 query."""
    waits = Q(state__in=[DisputeState.OPEN, DisputeState.IN_REVIEW])
    news = Q(
        state__in=[DisputeState.ACCEPTED, DisputeState.REJECTED],
        resolved_at__gte=at - timedelta(days=ANSWERED_DAYS),
    )
    return list(Dispute.objects.filter(waits | news, rep=rep).select_related("deal").order_by("due_at", "pk"))


def renewals_of(rep: Rep, user: User, on: date) -> list[tuple[Renewal, str]]:
    """Terms of the rep's own accounts that end soon and that no open deal renews, with the customer's name. 3 queries; those of deals_for come on top."""
    owned = dict(
        AccountOwnership.objects.filter(rep=rep, superseded_at=None, effective__contains=on).values_list(
            "customer_id", "customer__name"
        )
    )
    if not owned:
        return []
    until = on + timedelta(days=RENEWALS_DAYS)
    return [
        (each, owned[each.customer_id])
        for each in renewals(list(owned), user, on)
        if each.by is None and each.ends <= until
    ]


def plan_in_force(on: date) -> PlanVersion | None:
    """The published version that stands on a board's figures. 1 query."""
    return (
        PlanVersion.objects.filter(state=PlanState.PUBLISHED, effective__contains=on)
        .select_related("plan")
        .order_by("-number")
        .first()
    )


# --- a team -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who sells in the teams below, with a quota.

    moved   Places won in a week among them; None in a period's first week.
    open    Open deals with a share of theirs.
    """

    id: int
    slug: str
    name: str
    team: str
    credited_minor: int
    quota_minor: int
    last_week_minor: int
    rank: int
    moved: int | None
    open: int


@dataclass(frozen=True, slots=True)
class TeamAtWork:
    """up and down: who won or lost most places in a week. risky: behind pace with no open deal, the furthest behind first."""

    up: Sequence[Member]
    down: Sequence[Member]
    risky: Sequence[Member]
    risks: int
    without_quota: int

    @classmethod
    def of(cls, told: dict[str, Any]) -> "TeamAtWork":
        """As dataclasses.asdict tells it, which is how a kept board has it."""
        lists = {name: [Member(**each) for each in told[name]] for name in ("up", "down", "risky")}
        return cls(risks=told["risks"], without_quota=told["without_quota"], **lists)


# One row per member who is among the first movers or risks. Attainment is compared as a quotient of numerics, forty digits long.
_MEMBERS: Final = sql.SQL(
    """
    WITH member AS MATERIALIZED (
      SELECT m.rep_id, r.slug, r.name, t.name AS team FROM quotas_teammembership m
        JOIN quotas_rep r ON r.id = m.rep_id JOIN quotas_team t ON t.id = m.team_id
       WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s)
         AND m.role IN ('account_executive', 'specialist', 'customer_success')
    ), target AS (
      SELECT q.rep_id, {effective} AS quota FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
       WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.rep_id IN (SELECT rep_id FROM member)
    ), credited AS (
      SELECT rep_id, sum(direct_minor + overlay_minor)::bigint AS v FROM quotas_credittotal
       WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND rep_id IN (SELECT rep_id FROM member) GROUP BY rep_id
    ), week AS (
      SELECT rep_id, sum(amount_minor)::bigint AS v FROM quotas_creditentry
       WHERE posting_period_id = ANY(%(months)s) AND measure_id = %(measure)s AND rep_id IN (SELECT rep_id FROM member)
         AND credit_date > %(week_ago)s AND credit_date <= %(on)s GROUP BY rep_id
    ), open AS (
      SELECT s.rep_id, count(DISTINCT d.id) AS n FROM quotas_deal d
        JOIN quotas_dealversion v ON v.id = d.latest_version_id AND v.kind <> 'consumption'
        JOIN quotas_dealshare s ON s.version_id = v.id
       WHERE d.state IN ('draft', 'submitted', 'returned') AND s.rep_id IN (SELECT rep_id FROM member) GROUP BY s.rep_id
    ), stands AS (
      SELECT m.*, coalesce(c.v, 0) AS v, t.quota, coalesce(w.v, 0) AS week, coalesce(o.n, 0) AS open,
             rank() OVER (ORDER BY div(coalesce(c.v, 0)::numeric * 1e40, t.quota) DESC) AS place,
             rank() OVER (ORDER BY div((coalesce(c.v, 0) - coalesce(w.v, 0))::numeric * 1e40, t.quota) DESC) AS was,
             coalesce(o.n, 0) = 0 AND coalesce(c.v, 0)::numeric * 1000000 < t.quota::numeric * (%(pace)s - %(behind)s) AS risky
        FROM member m JOIN target t ON t.rep_id = m.rep_id AND t.quota > 0
        LEFT JOIN credited c ON c.rep_id = m.rep_id LEFT JOIN week w ON w.rep_id = m.rep_id LEFT JOIN open o ON o.rep_id = m.rep_id
    ), chosen AS (
      SELECT *, row_number() OVER (ORDER BY was - place DESC, place, rep_id) AS up,
             row_number() OVER (ORDER BY place - was DESC, place DESC, rep_id) AS down,
             row_number() OVER (PARTITION BY risky ORDER BY place DESC, rep_id) AS risk, count(*) FILTER (WHERE risky) OVER () AS risks
        FROM stands
    )
    SELECT rep_id, slug, name, team, v, quota, week, place, was, open, up, down, risky, risk, risks FROM chosen
     WHERE up <= %(movers)s OR down <= %(movers)s OR (risky AND risk <= %(most)s)
     ORDER BY risk
    """
).format(effective=targets.EFFECTIVE)
_WITHOUT: Final = sql.SQL(
    """
    SELECT count(*) FROM quotas_teammembership m
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s)
       AND m.role IN ('account_executive', 'specialist', 'customer_success')
       AND NOT EXISTS (SELECT FROM quotas_quota q WHERE q.rep_id = m.rep_id AND q.period_id = %(period)s AND q.superseded_at IS NULL)
    """
)


def team_at_work(teams: Collection[int], *, period: Period, measure: Measure, on: date) -> TeamAtWork:
    """The people of some teams, whoever stands between. 3 queries, whatever their number."""
    so_far = pace.progress(period.starts, period.ends, on)
    week_ago = on - timedelta(days=WEEK)
    given = {
        "teams": list(teams),
        "period": period.pk,
        "measure": measure.pk,
        "months": list(_months(period)),
        "on": on,
        "week_ago": week_ago,
        "pace": so_far.pace_ppm,
        "behind": BEHIND_PPM,
        "movers": MOVERS,
        "most": AT_RISK,
    }
    moves = week_ago >= period.starts
    up: list[tuple[int, Member]] = []
    down: list[tuple[int, Member]] = []
    risky: list[Member] = []
    risks = 0
    for row in _read(_MEMBERS, given):
        pk, slug, name, team, credited, quota, week, place, was, opened = row[:10]
        nth_up, nth_down, at_risk, nth_risk, risks = row[10:]
        moved = was - place if moves else None
        member = Member(pk, slug, name, team, credited, quota, week, place, moved, opened)
        if moved is not None and moved > 0 and nth_up <= MOVERS:
            up.append((nth_up, member))
        if moved is not None and moved < 0 and nth_down <= MOVERS:
            down.append((nth_down, member))
        if at_risk and nth_risk <= AT_RISK:
            risky.append(member)
    ((without,),) = _read(_WITHOUT, given)
    return TeamAtWork(_in_order(up), _in_order(down), risky, risks, without)


def _in_order(found: Iterable[tuple[int, Member]]) -> list[Member]:
    return [member for _nth, member in sorted(found, key=lambda pair: pair[0])]


# --- who keeps the plan -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Months:
    """Of each calendar: the months that are over and not closed, oldest first, and the last that was closed."""

    due: Sequence[Period]
    running: Sequence[Period]


def months_at_work(on: date) -> Months:
    """Months to be closed, and those that run, of every calendar. 1 query."""
    found = list(
        Period.objects.filter(grain=Grain.MONTH, starts__lte=on)
        .exclude(state=PeriodState.CLOSED)
        .select_related("calendar")
        .order_by("starts", "calendar_id")
    )
    return Months([m for m in found if m.ends <= on], [m for m in found if m.ends > on])


def plans_at_work() -> list[PlanVersion]:
    """Drafts and what waits for its review, the latest first. 1 query."""
    return list(
        PlanVersion.objects.filter(state__in=[PlanState.DRAFT, PlanState.IN_REVIEW])
        .select_related("plan", "drafted_by", "review_asked_by")
        .order_by("-pk")
    )


def adjustments_asked() -> QuerySet[Adjustment]:
    """Those that wait for a second person, the oldest first."""
    return with_people(Adjustment.objects.filter(state=AdjustmentState.ASKED)).order_by("pk")


def exceptions_asked() -> QuerySet[ParityException]:
    return ParityException.objects.filter(approved_at=None, withdrawn_at=None).select_related("asked_by")


def policies_drafted() -> QuerySet[StraightThroughPolicy]:
    """Drafts that nobody has published, or dropped."""
    return StraightThroughPolicy.objects.filter(published_at=None, ended_at=None).select_related("drafted_by")


def held_deals(deals: QuerySet[Deal]) -> QuerySet[Deal]:
    """Of the deals that somebody may read, those that are approved and kept out of attainment."""
    return deals.filter(state=DealState.APPROVED, held=True)


def _read(statement: sql.Composable, given: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
