"""Where reps stand, so that what would be can be laid beside what is. RULES 17."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from django.db import connection
from psycopg import sql

from quotas.models import Measure, Period, Rep
from quotas.selectors.targets import EFFECTIVE


class Place(NamedTuple):
    """Whose number in which measure and period; ids."""

    rep_id: int
    measure_id: int
    period_id: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Credited as reported, direct and overlay, in minor units of the measure; rank by attainment among all reps with a quota."""

    credited: int = 0
    quota: int | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Shift:
    """A rep in a measure and period: where they stand, and where they would."""

    rep: Rep
    measure: Measure
    period: Period
    before: Standing
    after: Standing

    @property
    def change(self) -> int:
        return self.after.credited - self.before.credited

    @property
    def places(self) -> int | None:
        """Places won, negative for places lost; None for who is not ranked on both sides."""
        if self.before.rank is None or self.after.rank is None:
            return None
        return self.before.rank - self.after.rank


# Competition ranks by attainment, compared exactly: two quotients of such integers that differ do so within forty decimals.
_STANDINGS: Final = sql.SQL(
    """
    WITH asked AS (SELECT * FROM unnest(%(reps)s::bigint[], %(measures)s::bigint[]) a(rep_id, measure_id)),
    total AS MATERIALIZED (
      SELECT rep_id, measure_id, sum(direct_minor + overlay_minor)::bigint AS credited FROM quotas_credittotal
       WHERE period_id = %(period)s AND basis = 1 AND measure_id IN (SELECT measure_id FROM asked) GROUP BY rep_id, measure_id),
    target AS MATERIALIZED (
      SELECT q.rep_id, q.measure_id, {effective} AS amount FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
       WHERE q.period_id = %(period)s AND q.superseded_at IS NULL AND q.rep_id IS NOT NULL AND q.measure_id IN (SELECT measure_id FROM asked)),
    ranked AS MATERIALIZED (
      SELECT t.rep_id, t.measure_id,
             rank() OVER (PARTITION BY t.measure_id ORDER BY div(coalesce(c.credited, 0)::numeric * 1e40, t.amount) DESC) AS place
        FROM target t LEFT JOIN total c ON c.rep_id = t.rep_id AND c.measure_id = t.measure_id WHERE t.amount > 0)
    SELECT a.rep_id, a.measure_id, coalesce(c.credited, 0), t.amount, r.place
      FROM asked a
      LEFT JOIN total c ON c.rep_id = a.rep_id AND c.measure_id = a.measure_id
      LEFT JOIN target t ON t.rep_id = a.rep_id AND t.measure_id = a.measure_id
      LEFT JOIN ranked r ON r.rep_id = a.rep_id AND r.measure_id = a.measure_id
    """
).format(effective=EFFECTIVE)


def standings(places: Iterable[Place]) -> dict[Place, Standing]:
    """Where each of them stands as the ledger and the quotas are now; inside a savepoint, as they are there. 1 query a period."""
    wanted = sorted(set(places))
    found: dict[Place, Standing] = {}
    for period in sorted({place.period_id for place in wanted}):
        of = [place for place in wanted if place.period_id == period]
        with connection.cursor() as cursor:
            cursor.execute(
                _STANDINGS,
                {
                    "reps": [place.rep_id for place in of],
                    "measures": [place.measure_id for place in of],
                    "period": period,
                },
            )
            for rep, measure, credited, quota, rank in cursor.fetchall():
                found[Place(rep, measure, period)] = Standing(credited, quota, rank)
    return found


def places_moved(postings: Sequence[int]) -> set[Place]:
    """Whose number the entries of some postings move, by the quarter in which they are posted. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT e.rep_id, e.measure_id, p.quarter_id FROM quotas_creditentry e JOIN quotas_period p ON p.id = e.posting_period_id
             WHERE e.posting_id = ANY(%s) GROUP BY 1, 2, 3
            """,
            [list(postings)],
        )
        return {Place(*row) for row in cursor.fetchall()}


def shifts(before: dict[Place, Standing], after: dict[Place, Standing]) -> list[Shift]:
    """Who would stand elsewhere: the largest change of credit first, then of quota and rank. 3 queries."""
    moved = [place for place in after if before.get(place, Standing()) != after[place]]
    reps = Rep.objects.in_bulk({place.rep_id for place in moved})
    measures = Measure.objects.select_related("currency").in_bulk({place.measure_id for place in moved})
    periods = Period.objects.in_bulk({place.period_id for place in moved})
    found = [
        Shift(
            reps[place.rep_id],
            measures[place.measure_id],
            periods[place.period_id],
            before.get(place, Standing()),
            after[place],
        )
        for place in moved
    ]
    found.sort(key=lambda s: (-abs(s.change), s.measure.position, s.period.starts, s.rep.name, s.rep.pk))
    return found
