"""Kept boards: which there are, whether one still says what is so, and what its lines are.

A leaderboard of a hundred thousand people ranks all of them, and a company's board adds all of their credit up. A worker does
that for the boards that are looked at; a page then reads its fifty lines, and says of which moment they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection

from quotas.models import KeptBoard, KeptGroup, Measure, Period, Team

LARGE: Final = 1_000  # people; a board of fewer is worked out for each look
LARGE_ENTRIES: Final = 20_000  # of the ledger; what was sold is read from these
FRESH: Final = timedelta(minutes=15)
UNCHANGED: Final = timedelta(hours=24)

# What the facts behind every board have come to. Numbers are given out before they are committed, so that a difference is
# certain and sameness is not quite: hence FRESH.
STAMP: Final = """
SELECT concat_ws('.', (SELECT max(id) FROM quotas_posting), (SELECT max(id) FROM quotas_quota), (SELECT max(id) FROM quotas_quotarelief),
                 (SELECT max(id) FROM quotas_teammembership), (SELECT max(id) FROM quotas_teamplacement), (SELECT max(id) FROM quotas_dealevent))
"""
_PLACES: Final = """
SELECT place, subject_id, rank, previous_rank, credited_minor, quota_minor, key, reached_at, tail FROM quotas_keptplace
 WHERE board_id = %(board)s AND place > %(after)s ORDER BY place LIMIT %(size)s
"""
# Nearly always the line that a page ended with still stands where it stood.
_PLACE_OF: Final = """
SELECT place FROM quotas_keptplace WHERE board_id = %(board)s AND subject_id = %(subject)s AND (%(key)s::numeric IS NULL OR key = %(key)s::numeric)
"""
_LAST_BEFORE: Final = """
SELECT coalesce(min(place), %(all)s + 1) - 1 FROM quotas_keptplace
 WHERE board_id = %(board)s AND (tail::int, -key, coalesce(reached_at, 'infinity'), subject_id)
       > (%(tail)s::int, -%(key)s::numeric, coalesce(%(reached_at)s::timestamptz, 'infinity'), %(subject)s)
"""


# Places up to low have more, places above high have not.
_RANKS_BY_CREDIT: Final = """
WITH RECURSIVE asked AS (
  SELECT n, rep_id, minor FROM unnest(%(reps)s::bigint[], %(minors)s::bigint[]) WITH ORDINALITY a(rep_id, minor, n)
), halved (n, minor, low, high) AS (
  SELECT n, minor, 0, %(places)s::int FROM asked
  UNION ALL
  SELECT h.n, h.minor, CASE WHEN p.credited_minor > h.minor THEN p.place ELSE h.low END,
         CASE WHEN p.credited_minor > h.minor THEN h.high ELSE p.place - 1 END
    FROM halved h JOIN quotas_keptplace p ON p.board_id = %(board)s AND p.place = (h.low + h.high + 1) / 2
   WHERE h.low < h.high
)
SELECT 1 + h.low - (own.credited_minor IS NOT NULL AND own.credited_minor > a.minor)::int
  FROM asked a JOIN halved h ON h.n = a.n AND h.low >= h.high
  LEFT JOIN quotas_keptplace own ON own.board_id = %(board)s AND own.subject_id = a.rep_id ORDER BY a.n
"""


@dataclass(frozen=True, slots=True)
class Look:
    """That somebody looks at a board.

    large  Whether it is one to keep.
    kept   What it was read from; None where it was worked out for this look.
    """

    group: KeptGroup
    by: str
    period: Period
    measure: Measure
    team: Team | None
    large: bool = False
    kept: KeptBoard | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a kept leaderboard, as quotas.models.KeptPlace has it."""

    place: int
    subject_id: int
    rank: int | None
    previous_rank: int | None
    credited_minor: int
    quota_minor: int | None
    key: int
    reached_at: datetime | None
    tail: bool


def kept_board(
    *, group: KeptGroup, by: str, period: Period, measure: Measure, team: Team | None, on: date, at: datetime
) -> KeptBoard | None:
    """The kept board that may be shown at a moment: built for this day, not long ago or on facts that have not changed. 1 query, 2 where it is old."""
    found = KeptBoard.objects.filter(
        group=group, by=by, period=period, measure=measure, team=team, on=on, built_at__lte=at
    ).first()
    if found is None or found.built_at is None:
        return None
    age = at - found.built_at
    return found if age <= FRESH or (age <= UNCHANGED and found.stamp == stamp()) else None


def stamp() -> str:
    """What the facts behind every board have come to. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(STAMP)
        return str(cursor.fetchall()[0][0])


def many_reps() -> bool:
    """Whether there are more reps than a board ranks for each look. 1 query."""
    return _more("SELECT FROM quotas_rep", LARGE)


def many_members(teams: Sequence[int], on: date) -> bool:
    """The same of those who are in some teams on a day. 1 query."""
    return _more(
        "SELECT FROM quotas_teammembership WHERE superseded_at IS NULL AND team_id = ANY(%(teams)s) AND effective @> %(on)s::date",
        LARGE,
        teams=list(teams),
        on=on,
    )


def many_entries(months: Sequence[int]) -> bool:
    """Whether the months hold more entries than are added up for each look. 1 query."""
    return _more(
        "SELECT FROM quotas_creditentry WHERE posting_period_id = ANY(%(months)s)",
        LARGE_ENTRIES,
        months=list(months),
    )


def places(board: KeptBoard, *, after: int, size: int) -> list[Place]:
    """The lines below a place. 1 query."""
    rows = _read(_PLACES, board=board.pk, after=after, size=size)
    return [
        Place(place, subject, rank, before, credited, quota, int(key), reached, tail)
        for place, subject, rank, before, credited, quota, key, reached, tail in rows
    ]


def place_of(board: KeptBoard, subject_id: int) -> int | None:
    """Where somebody stands; None for who does not. 1 query."""
    rows = _read(_PLACE_OF, board=board.pk, subject=subject_id, key=None)
    return rows[0][0] if rows else None


def place_after(
    board: KeptBoard, *, key: int, reached_at: datetime | None, subject_id: int, tail: bool
) -> int:
    """The place of the line a page ended with, or of the last one before it where that line has moved since. 1 query, or 2."""
    asked = {"board": board.pk, "subject": subject_id, "key": str(key)}
    rows = _read(_PLACE_OF, **asked)
    if not rows:
        rows = _read(_LAST_BEFORE, all=board.places, reached_at=reached_at, tail=int(tail), **asked)
    return int(rows[0][0])


def ranks_by_credit(board: KeptBoard, credited: Sequence[tuple[int, int]]) -> list[int]:
    """The rank that each of these credits would give a rep on a kept leaderboard by credit: 1 and how many others have more.

    credited  Rep and credit in minor units, in any order; the rep's own line is left out of account.
    1 query, which halves the places some seventeen times for each.
    """
    rows = _read(
        _RANKS_BY_CREDIT,
        board=board.pk,
        places=board.places,
        reps=[rep for rep, _ in credited],
        minors=[minor for _, minor in credited],
    )
    return [row[0] for row in rows]


def _more(statement: str, than: int, **given: Any) -> bool:
    rows = _read(f"SELECT count(*) FROM ({statement} LIMIT %(most)s) x", most=than + 1, **given)  # noqa: S608 -- our own statements
    return int(rows[0][0]) > than


def _read(statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
