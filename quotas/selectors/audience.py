"""How many people are behind a figure. What is about too few of them is not told to outsiders."""

from collections.abc import Collection
from datetime import date
from typing import Final, Literal

from django.db import connection
from django.db.models import Count
from psycopg import sql

from quotas.models import Measure, Period, TeamMembership
from quotas.selectors.periods import leaves_of

_SELLERS: Final = sql.SQL(
    """
    SELECT {subject}, count(DISTINCT e.rep_id)
      FROM quotas_creditentry e
      JOIN quotas_dealline l ON l.version_id = e.deal_version_id AND l.line_no = e.line_no
      JOIN marketplace_offering o ON o.id = l.offering_id
     WHERE e.posting_period_id = ANY(%(months)s) AND e.measure_id = %(measure)s AND e.receiver_class = 1 AND {subject} = ANY(%(ids)s)
     GROUP BY 1
    """
)
_SUBJECTS: Final = {"publisher": sql.SQL("o.publisher_id"), "offering": sql.SQL("l.offering_id")}


def members_by_team(teams: Collection[int] | None, on: date) -> dict[int, int]:
    """Team id to the number of its reps on a day; None asks for every team. 1 query."""
    members = TeamMembership.objects.filter(superseded_at=None, effective__contains=on)
    if teams is not None:
        members = members.filter(team__in=teams)
    return dict(members.order_by().values("team_id").annotate(n=Count("rep_id")).values_list("team_id", "n"))


def sellers_of(
    group: Literal["publisher", "offering"], ids: Collection[int], *, measure: Measure, period: Period
) -> dict[int, int]:
    """Publisher or offering id to the number of reps with direct credit for it. 2 queries."""
    with connection.cursor() as cursor:
        given = {"months": [month.pk for month in leaves_of(period)], "measure": measure.pk, "ids": list(ids)}
        cursor.execute(_SELLERS.format(subject=_SUBJECTS[group]), given)  # type: ignore[arg-type]
        return dict(cursor.fetchall())
