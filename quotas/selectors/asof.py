"""Which of its versions a figure is read in: as reported, restated, as a close froze it, or as it was known at a moment. See quotas/RULES.md 18.

A board's statements name the tables of now. For another version they are read through common table expressions of the same
names, which yield what that version knows: so there is one set of statements, and every figure of a page is of one version.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from django.db import connection
from django.utils import timezone
from psycopg import sql

from config import formats, locales
from config.language import marked
from config.refusals import Invalid
from quotas.models import CloseState, Grain, LedgerMark, Measure, Period, PeriodClose
from quotas.selectors import periods, targets, teams
from quotas.selectors.teams import Step

View = Literal["reported", "restated", "closed"]
VIEWS: Final[tuple[View, ...]] = get_args(View)
REPORTED: Final = "By the month in which credit was posted"
RESTATED: Final = "By the month in which credit is dated"

_ENTRY: Final = sql.SQL(
    """e.id, e.posting_id, {month} AS posting_period_id, e.origin_period_id, e.credit_date, e.deal_id, e.deal_version_id, e.line_no,
       e.rep_id, e.team_id, e.receiver_class, e.measure_id, e.component, e.rule_id, e.rule_version_id, e.plan_version_id,
       e.decision_id, e.fx_rate_id, e.amount_minor, e.reverses_id, e.adjustment_id"""
)
_ENTRIES: Final = sql.SQL("SELECT {columns} FROM quotas_creditentry e{known}")
# What the mark knows, and of that what had been recorded by the moment.
_MARKED: Final = sql.SQL(
    """
      JOIN quotas_markedposting k ON k.posting_id = e.posting_id AND k.mark_id <= %(reading_mark)s"""
)
_RECORDED: Final = sql.SQL(
    """
      JOIN quotas_posting g ON g.id = e.posting_id AND g.recorded_at <= %(reading_moment)s"""
)
_RESTATED_TOTALS: Final = sql.SQL(
    """
    SELECT %(reading_period)s::bigint AS period_id, measure_id, 1 AS basis, team_id, rep_id,
           sum(direct_minor)::bigint AS direct_minor, sum(overlay_minor)::bigint AS overlay_minor
      FROM quotas_credittotal WHERE period_id = ANY(%(reading_months)s) GROUP BY measure_id, team_id, rep_id"""
)
_FROZEN_TOTALS: Final = sql.SQL(
    """
    SELECT period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor FROM quotas_closedtotal
     WHERE close_id = %(reading_close)s AND period_id = %(reading_period)s AND basis = 1"""
)
# Of the entries that are known: the table above shadows the ledger here too.
_SUMMED_TOTALS: Final = sql.SQL(
    """
    SELECT %(reading_period)s::bigint AS period_id, measure_id, 1 AS basis, team_id, rep_id,
           sum(CASE receiver_class WHEN 1 THEN amount_minor ELSE 0 END)::bigint AS direct_minor,
           sum(CASE receiver_class WHEN 1 THEN 0 ELSE amount_minor END)::bigint AS overlay_minor
      FROM quotas_creditentry WHERE posting_period_id = ANY(%(reading_months)s) GROUP BY measure_id, team_id, rep_id"""
)
_FROZEN_QUOTAS: Final = sql.SQL(
    """
    SELECT id, measure_id, period_id, rep_id, team_id, 1 AS version, quota_minor AS amount_minor, NULL::date AS starts,
           'last' AS method, NULL::timestamptz AS superseded_at
      FROM quotas_closedquota WHERE close_id = %(reading_close)s AND period_id = %(reading_period)s"""
)
# A version that was superseded later was the last one then. Superseded ones stay: the weighted method counts their days.
_QUOTAS_THEN: Final = sql.SQL(
    """
    SELECT id, measure_id, period_id, rep_id, team_id, version, amount_minor, starts, method,
           CASE WHEN superseded_at <= %(reading_moment)s THEN superseded_at END AS superseded_at
      FROM quotas_quota WHERE recorded_at <= %(reading_moment)s"""
)
_THEN: Final = sql.SQL(
    """
    SELECT {columns}, NULL::timestamptz AS superseded_at FROM {table}
     WHERE recorded_at <= %(reading_moment)s AND (superseded_at IS NULL OR superseded_at > %(reading_moment)s)"""
)
_DATED: Final = (
    ("quotas_teamplacement", "id, team_id, parent_id, effective"),
    ("quotas_teammembership", "id, rep_id, team_id, role, effective"),
)
_RELIEFS: Final = ("quotas_quotarelief", "id, rep_id, kind, effective, factor_ppm")


@dataclass(frozen=True, slots=True)
class Reading:
    """A version of the figures of one period.

    view    reported (by posting month), restated (by month of origin), closed (what a close froze).
    close   Of the view closed: which one. Of a quarter, half or year it is a close of its last closed month.
    moment  As of then; None is now. mark answers for it.
    """

    period: Period
    view: View = "reported"
    close: PeriodClose | None = None
    moment: datetime | None = None
    mark: LedgerMark | None = None
    months: Sequence[int] = field(default_factory=tuple)

    @property
    def live(self) -> bool:
        """Whether facts beside the ledger, such as deals that wait, are of the same time as the figures."""
        return self.view != "closed" and self.moment is None

    @property
    def plain(self) -> bool:
        return self.view == "reported" and self.moment is None

    @property
    def facts_of(self) -> datetime | None:
        """The moment as of which quotas, teams and memberships are read; None is now."""
        if self.close is not None:
            return self.close.mark.taken_at if self.close.mark else self.close.ended_at
        return self.moment

    @property
    def name(self) -> str:
        """Such as "Restated, as of 14 Aug 2026, 09:30"."""
        if self.view == "closed":
            return f"As closed, {self.close}"
        said = marked("Restated") if self.view == "restated" else marked("As reported")
        if self.moment is None:
            return said
        return f"{said}, as of {self._moment(self.moment)}"

    def _moment(self, moment: datetime) -> str:
        """On the calendar's clock; on the reader's, which says so, where that is not the operator's."""
        if locales.elsewhere(timezone.get_current_timezone()):
            return formats.moment_exact(moment)
        return locales.write("moment_exact", moment.astimezone(ZoneInfo(self.period.calendar.time_zone)))

    @property
    def meaning(self) -> str:
        """In a sentence."""
        if self.view == "closed" and self.close is not None:
            return f"What the close {self.close} froze: totals, quotas and teams as they were known to it. It never changes."
        by = RESTATED if self.view == "restated" else REPORTED
        return (
            f"{by}{', from what had been recorded by that moment: it never changes' if self.moment else ''}."
        )

    def day(self, today: date) -> date:
        """The day as at which the tree of teams is read: the period's last, or that of the figures if it is earlier."""
        last = periods.last_day(self.period, today)
        if self.facts_of is None:
            return last
        return min(last, self.facts_of.astimezone(ZoneInfo(self.period.calendar.time_zone)).date())

    def through(self, statement: sql.Composable) -> sql.Composable:
        """The statement as it reads this version. What is read now and as reported is read from the tables themselves."""
        shadows = self._shadows()
        if not shadows:
            return statement
        named = [
            sql.SQL("{} AS NOT MATERIALIZED ({})").format(sql.Identifier(name), body)
            for name, body in shadows
        ]
        return sql.SQL("WITH {} SELECT * FROM ({}) version").format(sql.SQL(",\n").join(named), statement)

    def read(self, statement: sql.Composable, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement in this version. 1 query."""
        with connection.cursor() as cursor:
            cursor.execute(self.through(statement), {**given, **self.given()})
            return list(cursor.fetchall())

    def given(self) -> dict[str, Any]:
        mark = self.mark or (self.close.mark if self.close else None)
        return {
            "reading_period": self.period.pk,
            "reading_months": list(self.months),
            "reading_close": self.close.pk if self.close else None,
            "reading_mark": mark.pk if mark else None,
            "reading_moment": self.facts_of,
        }

    def _shadows(self) -> list[tuple[str, sql.Composable]]:
        if self.plain:
            return []
        month = sql.SQL("e.origin_period_id" if self.view == "restated" else "e.posting_period_id")
        known: sql.Composable = sql.SQL("")
        if self.moment is not None:
            known = _MARKED + _RECORDED
        elif self.view == "closed":
            known = _MARKED
        entries = _ENTRIES.format(columns=_ENTRY.format(month=month), known=known)
        shadows: list[tuple[str, sql.Composable]] = [("quotas_creditentry", entries)]
        if self.view == "closed":
            shadows += [("quotas_credittotal", _FROZEN_TOTALS), ("quotas_quota", _FROZEN_QUOTAS)]
            shadows += [
                ("quotas_quotarelief", sql.SQL("SELECT * FROM quotas_quotarelief WHERE false")),
                *_facts(_DATED),
            ]
        elif self.moment is not None:
            shadows += [("quotas_credittotal", _SUMMED_TOTALS), ("quotas_quota", _QUOTAS_THEN)]
            shadows += _facts((*_DATED, _RELIEFS))
        else:
            shadows.append(("quotas_credittotal", _RESTATED_TOTALS))
        return shadows

    # --- teams and quotas of the version ------------------------------------------------------------------

    def below(self, team_id: int, on: date) -> dict[int, int | None]:
        """As teams.below. 1 query."""
        if self.facts_of is None:
            return teams.below(team_id, on)
        return dict(self.read(sql.SQL(teams.BELOW), {"top": team_id, "on": on}))

    def path_to(self, team_id: int, on: date) -> list[Step]:
        """As teams.path_to. 1 query."""
        if self.facts_of is None:
            return teams.path_to(team_id, on)
        return [Step(*row) for row in self.read(sql.SQL(teams.ABOVE), {"team": team_id, "on": on})]

    def leaf_teams(self, on: date) -> list[int]:
        """As teams.leaf_teams. 1 query."""
        if self.facts_of is None:
            return teams.leaf_teams(on)
        return [row[0] for row in self.read(_LEAVES, {"on": on})]

    def members_of(self, inside: Sequence[int], on: date) -> list[int]:
        """As teams.members_of. 1 query."""
        if self.facts_of is None:
            return teams.members_of(list(inside), on)
        return [row[0] for row in self.read(_MEMBERS, {"on": on, "teams": list(inside)})]

    def parents(self, on: date) -> dict[int, int | None]:
        """Every team that stands somewhere on a day to the one above it. 1 query."""
        return dict(self.read(_PARENTS, {"on": on}))

    def teams_of(self, reps: Iterable[int], on: date) -> dict[int, str]:
        """Rep id to the slug of the team on a day. 1 query."""
        return dict(self.read(_TEAMS_OF, {"on": on, "reps": list(reps)}))

    def quotas_of_reps(self, ids: Iterable[int], measure: Measure) -> dict[int, int]:
        """As targets.quotas_of_reps. 1 query."""
        if self.facts_of is None:
            return targets.quotas_of_reps(ids, measure=measure, period=self.period)
        return self._quotas("rep_id", ids, measure)

    def quotas_of_teams(self, ids: Iterable[int], measure: Measure) -> dict[int, int]:
        """As targets.quotas_of_teams. 1 query."""
        if self.facts_of is None:
            return targets.quotas_of_teams(ids, measure=measure, period=self.period)
        return self._quotas("team_id", ids, measure)

    def total(self, measure: Measure, within: Collection[int] | None) -> int:
        """Direct credit of some teams, or of everybody, in minor units. 1 query."""
        statement = _TOTAL.format(within=sql.SQL("true" if within is None else "team_id = ANY(%(within)s)"))
        asked = {"period": self.period.pk, "measure": measure.pk, "within": list(within or ())}
        return int(self.read(statement, asked)[0][0])

    def _quotas(self, owner: str, ids: Iterable[int], measure: Measure) -> dict[int, int]:
        asked = {"period": self.period.pk, "measure": measure.pk, "ids": list(ids)}
        return dict(self.read(_QUOTAS.format(owner=sql.SQL(owner), effective=targets.EFFECTIVE), asked))

    def credited(
        self, measure: Measure, *, by: Literal["rep", "team"], ids: Collection[int] | None
    ) -> dict[int, int]:
        """What counts for each: of a rep direct and overlay credit together, of a team the direct credit in itself. 1 query.

        ids  None is everybody.
        """
        value = "direct_minor + overlay_minor" if by == "rep" else "direct_minor"
        key = sql.SQL("rep_id" if by == "rep" else "team_id")
        within = sql.SQL("true") if ids is None else sql.SQL("{} = ANY(%(ids)s)").format(key)
        statement = _CREDITED.format(key=key, value=sql.SQL(value), within=within)
        asked = {"period": self.period.pk, "measure": measure.pk, "ids": list(ids or ())}
        return dict(self.read(statement, asked))


_LEAVES: Final = sql.SQL(
    """
    SELECT p.team_id FROM quotas_teamplacement p WHERE p.superseded_at IS NULL AND p.effective @> %(on)s::date
       AND NOT EXISTS (SELECT FROM quotas_teamplacement c WHERE c.parent_id = p.team_id AND c.superseded_at IS NULL AND c.effective @> %(on)s::date)
    """
)
_MEMBERS: Final = sql.SQL(
    """
    SELECT m.rep_id FROM quotas_teammembership m
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.team_id = ANY(%(teams)s) ORDER BY m.rep_id
    """
)
_PARENTS: Final = sql.SQL(
    "SELECT team_id, parent_id FROM quotas_teamplacement WHERE superseded_at IS NULL AND effective @> %(on)s::date"
)
_TEAMS_OF: Final = sql.SQL(
    """
    SELECT m.rep_id, t.slug FROM quotas_teammembership m JOIN quotas_team t ON t.id = m.team_id
     WHERE m.superseded_at IS NULL AND m.effective @> %(on)s::date AND m.rep_id = ANY(%(reps)s)
    """
)
_QUOTAS: Final = sql.SQL(
    """
    SELECT q.{owner}, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.{owner} = ANY(%(ids)s)
    """
)
_TOTAL: Final = sql.SQL(
    """
    SELECT coalesce(sum(direct_minor), 0)::bigint FROM quotas_credittotal
     WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {within}
    """
)
_CREDITED: Final = sql.SQL(
    """
    SELECT {key}, sum({value})::bigint FROM quotas_credittotal
     WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {within} GROUP BY {key}
    """
)


def _facts(tables: Iterable[tuple[str, str]]) -> list[tuple[str, sql.Composable]]:
    return [
        (table, _THEN.format(columns=sql.SQL(columns), table=sql.Identifier(table)))
        for table, columns in tables
    ]


def now(period: Period) -> Reading:
    """As reported, now. No query."""
    return Reading(period)


def closes_of(period: Period) -> list[PeriodClose]:
    """The closes that have a frozen version of a period, oldest first: of a month its own, of a longer one those of its last month that was ever closed. 1 query."""
    found = PeriodClose.objects.filter(state__in=[CloseState.CLOSED, CloseState.REOPENED])
    if period.grain == Grain.MONTH:
        found = found.filter(period=period)
    else:
        found = found.filter(
            **{f"period__{periods.PARTS[Grain(period.grain)]}": period, "period__grain": Grain.MONTH}
        )
    every = list(found.select_related("period", "mark").order_by("period__starts", "version"))
    return [close for close in every if close.period_id == every[-1].period_id]


def reading(
    period: Period,
    *,
    view: str = "reported",
    close: int | None = None,
    moment: datetime | None = None,
    mark: LedgerMark | None = None,
    closes: Sequence[PeriodClose] | None = None,
) -> Reading:
    """The version that is asked for.

    close   Its version number; the last one if none is given.
    mark    What answers for the moment; both or neither.
    closes  What closes_of says, where that is known. 2 queries at most.
    Raises Invalid for a view that is none, a close that is not there, and a moment of what a close froze.
    """
    if view not in VIEWS:
        raise Invalid.of("invalid_choice", f"view is one of {', '.join(VIEWS)}.", "/view")
    if view != "closed":
        if close is not None:
            raise Invalid.of("not_closed", "close goes with view=closed alone.", "/close")
        months = list(periods.months_in(period))
        return Reading(period, view, moment=moment, mark=mark, months=months)
    if moment is not None:
        raise Invalid.of(
            "frozen",
            "What a close froze is the same at every moment: leave as_of or view=closed out.",
            "/as_of",
        )
    known = closes_of(period) if closes is None else closes
    found = [each for each in known if close is None or each.version == close]
    if not found:
        there = f"has the closes {', '.join(str(each) for each in known)}" if known else "was never closed"
        raise Invalid.of("no_such_close", f"{period} {there}: choose another view or close.", "/close")
    return Reading(period, "closed", close=found[-1], months=list(periods.months_in(period)))


# --- versions beside each other ---------------------------------------------------------------------------

_BESIDE: Final = sql.SQL(
    """
    SELECT 0 AS which, coalesce(sum(direct_minor), 0)::bigint, coalesce(sum(overlay_minor), 0)::bigint FROM quotas_credittotal
     WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {reported} AND {within}
    UNION ALL
    SELECT -1, coalesce(sum(direct_minor), 0)::bigint, coalesce(sum(overlay_minor), 0)::bigint FROM quotas_credittotal
     WHERE period_id = ANY(%(months)s) AND measure_id = %(measure)s AND basis = 2 AND {within}
    UNION ALL
    SELECT close_id, sum(direct_minor)::bigint, sum(overlay_minor)::bigint FROM quotas_closedtotal
     WHERE close_id = ANY(%(closes)s) AND period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {within}
     GROUP BY close_id
    """
)


@dataclass(frozen=True, slots=True)
class Closed:
    """What one close froze, and by how much it differs from the close before it; minor units."""

    close: PeriodClose
    minor: int
    moved: int | None


@dataclass(frozen=True, slots=True)
class Beside:
    """Direct credit of a period in its versions, now; minor units of the measure.

    moved   What restating adds to what was reported: credit dated in the period and posted later, less what was posted in it and is dated earlier.
    """

    reported: int
    moved: int
    closed: Sequence[Closed]

    @property
    def restated(self) -> int:
        return self.reported + self.moved


def beside(
    period: Period,
    measure: Measure,
    *,
    within: Collection[int] | None,
    closes: Sequence[PeriodClose],
    reported: bool = True,
) -> Beside:
    """The versions beside each other, of some teams or of everybody. 2 queries.

    reported  Whether what was reported is asked for, which is a sum over everybody; else it is 0.
    """
    of = sql.SQL("true" if within is None else "team_id = ANY(%(within)s)")
    asked: dict[str, Any] = {
        "period": period.pk,
        "months": list(periods.months_in(period)),
        "measure": measure.pk,
        "within": None if within is None else list(within),
        "closes": [close.pk for close in closes],
    }
    with connection.cursor() as cursor:
        wanted = sql.SQL("true" if reported else "false")
        cursor.execute(_BESIDE.format(within=of, reported=wanted), asked)
        sums = {which: direct for which, direct, _overlay in cursor.fetchall()}
    frozen: list[Closed] = []
    for close in closes:
        minor = sums.get(close.pk, 0)
        frozen.append(Closed(close, minor, minor - frozen[-1].minor if frozen else None))
    return Beside(sums[0], sums[-1], frozen)
