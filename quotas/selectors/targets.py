"""What a quota comes to, by its own method. Used wherever an attainment is worked out."""

from collections.abc import Iterable
from typing import Final

from django.db import connection
from psycopg import sql

from quotas.models import Measure, Period

# Of a row q of quotas_quota in period p. Version n counts from its first day until the first day of any later one.
EFFECTIVE: Final = sql.SQL(
    """
    CASE q.method WHEN 'weighted' THEN (
      SELECT round(sum(piece.amount_minor::numeric * greatest(piece.until - piece.since, 0)) / (p.ends - p.starts))::bigint
        FROM (SELECT w.amount_minor,
                     greatest(coalesce(w.starts, p.starts), p.starts) AS since,
                     coalesce(min(greatest(coalesce(w.starts, p.starts), p.starts))
                       OVER (ORDER BY w.version ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), p.ends) AS until
                FROM quotas_quota w
               WHERE w.measure_id = q.measure_id AND w.period_id = q.period_id
                 AND w.rep_id IS NOT DISTINCT FROM q.rep_id AND w.team_id IS NOT DISTINCT FROM q.team_id) piece)
    ELSE q.amount_minor END
    """
)

_OF_REPS: Final = sql.SQL(
    """
    SELECT q.rep_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.rep_id = ANY(%(ids)s)
    """
).format(effective=EFFECTIVE)
_OF_TEAMS: Final = sql.SQL(
    """
    SELECT q.team_id, {effective} FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
     WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL AND q.team_id = ANY(%(ids)s)
    """
).format(effective=EFFECTIVE)


def quotas_of_reps(reps: Iterable[int], *, measure: Measure, period: Period) -> dict[int, int]:
    """Rep id to quota in minor units of the measure; who has none is missing. 1 query."""
    return _read(_OF_REPS, reps, measure, period)


def quotas_of_teams(teams: Iterable[int], *, measure: Measure, period: Period) -> dict[int, int]:
    """Team id to the team's own quota; a team that has none is missing. 1 query."""
    return _read(_OF_TEAMS, teams, measure, period)


def _read(statement: sql.Composed, ids: Iterable[int], measure: Measure, period: Period) -> dict[int, int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"period": period.pk, "measure": measure.pk, "ids": list(ids)})
        return dict(cursor.fetchall())
