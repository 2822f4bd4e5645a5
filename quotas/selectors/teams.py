"""The tree of teams as it stood on a day: what is below a team, what is above it, who is in it."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from django.db import connection

from quotas.models import Rep, Team, TeamMembership, TeamPlacement

BELOW: Final = """
WITH RECURSIVE below (team_id, branch_id, depth) AS (
  SELECT %(top)s::bigint, NULL::bigint, 0
  UNION ALL
  SELECT p.team_id, coalesce(b.branch_id, p.team_id), b.depth + 1
    FROM quotas_teamplacement p JOIN below b ON p.parent_id = b.team_id
   WHERE p.superseded_at IS NULL AND p.effective @> %(on)s::date AND b.depth < 32
)
SELECT team_id, branch_id FROM below
"""
ABOVE: Final = """
WITH RECURSIVE above (team_id, depth) AS (
  SELECT %(team)s::bigint, 0
  UNION ALL
  SELECT p.parent_id, a.depth + 1
    FROM quotas_teamplacement p JOIN above a ON p.team_id = a.team_id
   WHERE p.superseded_at IS NULL AND p.effective @> %(on)s::date AND p.parent_id IS NOT NULL AND a.depth < 32
)
SELECT t.id, t.slug, t.name FROM above a JOIN quotas_team t ON t.id = a.team_id ORDER BY a.depth DESC
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One team on the way down from the top."""

    id: int
    slug: str
    name: str


def below(team_id: int, on: date) -> dict[int, int | None]:
    """Every team of a subtree to the direct child it is under; the team itself to None. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(BELOW, {"top": team_id, "on": on})
        return dict(cursor.fetchall())


def path_to(team_id: int, on: date) -> list[Step]:
    """From the top down to a team. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(ABOVE, {"team": team_id, "on": on})
        return [Step(*row) for row in cursor.fetchall()]


def top_team(on: date) -> Team | None:
    """The first team that stands under none. 1 query."""
    return (
        Team.objects.filter(
            pk__in=TeamPlacement.objects.filter(
                parent=None, superseded_at=None, effective__contains=on
            ).values("team_id")
        )
        .order_by("pk")
        .first()
    )


def leaf_teams(on: date) -> list[int]:
    """Ids of the teams that no other team stands under. 1 query."""
    placed = TeamPlacement.objects.filter(superseded_at=None, effective__contains=on)
    parents = placed.exclude(parent=None).values("parent_id")
    return list(placed.exclude(team_id__in=parents).values_list("team_id", flat=True))


def membership_of(rep: Rep, on: date) -> TeamMembership | None:
    """The team and role of a rep on a day; the last one before it if there is none, so that who left still lands somewhere. 1 query."""
    return (
        TeamMembership.objects.filter(rep=rep, superseded_at=None, effective__startswith__lte=on)
        .select_related("team")
        .order_by("-effective")
        .first()
    )


def members_of(teams: list[int], on: date) -> list[int]:
    """Ids of the reps who are in any of these teams on a day. 1 query."""
    return list(
        TeamMembership.objects.filter(team_id__in=teams, superseded_at=None, effective__contains=on)
        .order_by("rep_id")
        .values_list("rep_id", flat=True)
    )
