"""What a quota comes to, by its own method and by its rep's ramp and leave. Used wherever an attainment is worked out. RULES 11.2 and 11.3."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateRange
from psycopg import sql

from config.among import among
from quotas.models import Measure, Period, QuotaRelief

# Of a row q of quotas_quota in period p. Version n counts from its first day until the first day of any later one; a day of
# relief counts by its factor. What is added up is millionths of a minor unit times days, rounded once and exactly.
# Who ever had relief is a hashed set, so that a quota of anybody else costs a look-up; a rep's and a team's versions are asked
# for apart and reliefs by rep, not by span, because that is what an index finds.
EFFECTIVE: Final = sql.SQL(
    """
    CASE
    WHEN q.rep_id IS NOT NULL AND q.method = 'weighted'
      OR q.rep_id IN (SELECT r.rep_id FROM quotas_quotarelief r WHERE r.superseded_at IS NULL)
         AND EXISTS (SELECT FROM quotas_quotarelief r
                      WHERE r.rep_id = q.rep_id AND r.superseded_at IS NULL
                        AND coalesce(lower(r.effective) < p.ends, true) AND coalesce(upper(r.effective) > p.starts, true)) THEN (
      SELECT div(2 * sum(piece.amount_minor * (greatest(piece.until - piece.since, 0) * 1000000::numeric - piece.off)) + (p.ends - p.starts) * 1000000::numeric,
                 (p.ends - p.starts) * 2000000::numeric)::bigint
        FROM (SELECT v.amount_minor, v.since, v.until,
                     (SELECT coalesce(sum((1000000 - r.factor_ppm)::numeric * greatest(least(upper(r.effective), v.until) - greatest(lower(r.effective), v.since), 0)), 0)
                        FROM quotas_quotarelief r WHERE r.rep_id = q.rep_id AND r.superseded_at IS NULL) AS off
                FROM (SELECT w.amount_minor, s.since,
                             coalesce(min(s.since) OVER (ORDER BY w.version ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), p.ends) AS until
                        FROM quotas_quota w
                       CROSS JOIN LATERAL (SELECT CASE q.method WHEN 'weighted' THEN greatest(coalesce(w.starts, p.starts), p.starts) ELSE p.starts END AS since) s
                       WHERE w.measure_id = q.measure_id AND w.period_id = q.period_id AND w.rep_id = q.rep_id AND w.team_id IS NULL
                         AND (q.method = 'weighted' OR w.version = q.version)) v) piece)
    WHEN q.method = 'weighted' THEN (
      SELECT div(2 * sum(piece.amount_minor::numeric * greatest(piece.until - piece.since, 0)) + (p.ends - p.starts), 2::numeric * (p.ends - p.starts))::bigint
        FROM (SELECT w.amount_minor, s.since,
                     coalesce(min(s.since) OVER (ORDER BY w.version ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), p.ends) AS until
                FROM quotas_quota w CROSS JOIN LATERAL (SELECT greatest(coalesce(w.starts, p.starts), p.starts) AS since) s
               WHERE w.measure_id = q.measure_id AND w.period_id = q.period_id AND w.rep_id IS NULL AND w.team_id = q.team_id) piece)
    ELSE q.amount_minor END
    """
)

_OF_REPS: Final = sql.SQL(
    """
    SELECT q.rep_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.rep_id = ANY(%(ids)s)
    """
).format(effective=EFFECTIVE)
_BY_MEASURE: Final = sql.SQL(
    """
    SELECT q.measure_id, q.rep_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = ANY(%(measures)s) AND q.superseded_at IS NULL AND q.rep_id = ANY(%(ids)s)
    """
).format(effective=EFFECTIVE)
_OF_TEAMS: Final = sql.SQL(
    """
    SELECT q.team_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.team_id = ANY(%(ids)s)
    """
).format(effective=EFFECTIVE)


def quotas_of_reps(reps: Iterable[int], *, measure: Measure, period: Period) -> dict[int, int]:
    """Rep id to quota in minor units of the measure, ramp and leave counted; who has none is missing. 1 query."""
    return _read(_OF_REPS, reps, measure, period)


def quotas_by_measure(
    reps: Iterable[int], *, measures: Iterable[int], period: Period
) -> dict[tuple[int, int], int]:
    """The same of several measures: by measure id and rep id. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_MEASURE, {"period": period.pk, "measures": list(measures), "ids": list(reps)})
        return {(measure, rep): amount for measure, rep, amount in cursor.fetchall()}


def quotas_of_teams(teams: Iterable[int], *, measure: Measure, period: Period) -> dict[int, int]:
    """Team id to the team's own quota; a team that has none is missing. 1 query."""
    return _read(_OF_TEAMS, teams, measure, period)


def reliefs_of(reps: Iterable[int], period: Period) -> dict[int, list[QuotaRelief]]:
    """Rep id to the ramp and leave in force that touches a period, the earliest first; who has none is missing. 1 query."""
    found: dict[int, list[QuotaRelief]] = defaultdict(list)
    for relief in QuotaRelief.objects.filter(
        rep__in=among(reps), superseded_at=None, effective__overlap=DateRange(period.starts, period.ends)
    ).order_by("effective", "pk"):
        found[relief.rep_id].append(relief)
    return dict(found)


def _read(statement: sql.Composed, ids: Iterable[int], measure: Measure, period: Period) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"period": period.pk, "measure": measure.pk, "ids": list(ids)})
        return dict(cursor.fetchall())
