"""What a close froze: totals and quotas of its month and of the quarter, half and year that hold it. See quotas/RULES.md 14.4."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from django.db import connection
from psycopg import sql

from quotas.models import Grain, Measure, Period, PeriodClose

GRAINS: Final = (Grain.MONTH, Grain.QUARTER, Grain.HALF, Grain.YEAR)

# The totals of a close worked out again: of entries that its mark knows, by posting month as reported, and by origin month
# what restating adds. Only the months of the close's year can hold any.
_AGAIN: Final = """
  SELECT g.period_id, e.measure_id, 1 basis, e.team_id, e.rep_id,
         sum(CASE e.receiver_class WHEN 1 THEN e.amount_minor ELSE 0 END)::bigint direct,
         sum(CASE e.receiver_class WHEN 1 THEN 0 ELSE e.amount_minor END)::bigint overlay
    FROM quotas_creditentry e
    JOIN quotas_markedposting k ON k.posting_id = e.posting_id AND k.mark_id <= %(mark)s
    JOIN quotas_period p ON p.id = e.posting_period_id
    CROSS JOIN LATERAL (VALUES (p.id), (p.quarter_id), (p.half_id), (p.year_id)) g(period_id)
   WHERE e.posting_period_id = ANY(%(months)s) AND g.period_id = ANY(%(periods)s)
   GROUP BY g.period_id, e.measure_id, e.team_id, e.rep_id
  UNION ALL
  SELECT %(month)s, e.measure_id, 2, e.team_id, e.rep_id,
         sum(CASE e.receiver_class WHEN 1 THEN x.sign * e.amount_minor ELSE 0 END)::bigint,
         sum(CASE e.receiver_class WHEN 1 THEN 0 ELSE x.sign * e.amount_minor END)::bigint
    FROM quotas_creditentry e
    JOIN quotas_markedposting k ON k.posting_id = e.posting_id AND k.mark_id <= %(mark)s
    CROSS JOIN LATERAL (VALUES (CASE WHEN e.origin_period_id = %(month)s THEN 1 ELSE -1 END)) x(sign)
   WHERE (e.posting_period_id = %(month)s) <> (e.origin_period_id = %(month)s)
   GROUP BY e.measure_id, e.team_id, e.rep_id
"""
_DIFFERING: Final = f"""
  WITH again AS ({_AGAIN}),
  frozen AS (SELECT * FROM quotas_closedtotal WHERE close_id = %(close)s)
  SELECT coalesce(a.period_id, f.period_id), coalesce(a.measure_id, f.measure_id), coalesce(a.basis, f.basis),
         coalesce(a.team_id, f.team_id), coalesce(a.rep_id, f.rep_id),
         coalesce(f.direct_minor, 0), coalesce(f.overlay_minor, 0), coalesce(a.direct, 0), coalesce(a.overlay, 0)
    FROM again a FULL JOIN frozen f ON f.period_id = a.period_id AND f.measure_id = a.measure_id AND f.basis = a.basis
      AND f.team_id = a.team_id AND f.rep_id = a.rep_id
   WHERE coalesce(a.direct, 0) <> coalesce(f.direct_minor, 0) OR coalesce(a.overlay, 0) <> coalesce(f.overlay_minor, 0)
   ORDER BY 1, 2, 3, 4, 5 LIMIT %(limit)s
"""  # noqa: S608 -- our own statements
_FROZEN: Final = (
    """
    COPY (SELECT 'total', period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor
            FROM quotas_closedtotal WHERE close_id = {close} ORDER BY period_id, measure_id, basis, team_id, rep_id) TO STDOUT
    """,
    """
    COPY (SELECT 'quota', period_id, measure_id, team_id, rep_id, quota_minor
            FROM quotas_closedquota WHERE close_id = {close} ORDER BY period_id, measure_id, team_id, rep_id) TO STDOUT
    """,
)


@dataclass(frozen=True, slots=True)
class Different:
    """A total that was frozen as one thing and is another by the ledger; minor units of the measure."""

    period: str
    measure: str
    basis: int
    team_id: int
    rep_id: int
    frozen_direct: int
    frozen_overlay: int
    direct: int
    overlay: int


def holding(month: Period) -> list[int]:
    """The month and the quarter, half and year that hold it, by id."""
    return [pk for pk in (month.pk, month.quarter_id, month.half_id, month.year_id) if pk is not None]


def differing(close: PeriodClose, *, limit: int) -> Sequence[Different]:
    """Frozen totals that are not what the entries known to the close come to. 4 queries, one of them a pass over the year's entries."""
    month = close.period
    months = Period.objects.filter(grain=Grain.MONTH, year=month.year_id).values_list("pk", flat=True)
    asked = {
        "close": close.pk,
        "mark": close.mark_id,
        "month": month.pk,
        "months": list(months),
        "periods": holding(month),
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERING, asked)
        rows = cursor.fetchall()
    if not rows:
        return []
    periods = dict(Period.objects.filter(pk__in={row[0] for row in rows}).values_list("pk", "name"))
    measures = dict(Measure.objects.values_list("pk", "slug"))
    return [
        Different(periods.get(row[0], str(row[0])), measures.get(row[1], str(row[1])), *row[2:])
        for row in rows
    ]


def frozen_digest(close: PeriodClose) -> str:
    """SHA-256 over what the close froze, in the order of its keys. 2 queries, streamed."""
    hashed = hashlib.sha256()
    for statement in _FROZEN:
        copied = sql.SQL(statement).format(close=sql.Literal(close.pk))
        with connection.cursor() as cursor, cursor.cursor.copy(copied) as lines:
            for line in lines:
                hashed.update(line)
    return hashed.hexdigest()
