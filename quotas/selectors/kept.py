"""Kept boards: which there are, whether one still says what is so, and what its lines are.

A leaderboard of a hundred thousand people ranks all of them, and a company's board adds all of their credit up. A worker does
that; a page reads its fifty lines, and says of which moment they are. No page does: where nothing is kept yet it says that too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final

from django.db import connection

from quotas.models import KeptBoard, KeptGroup, Measure, Period, Team
from quotas.selectors.asof import Reading

LARGE: Final = 1_000  # people; a board of fewer is worked out for each look
LARGE_ENTRIES: Final = 20_000  # of the ledger; what was sold is read from these
FRESH: Final = timedelta(minutes=15)
UNCHANGED: Final = timedelta(hours=24)
SHOWN: Final = timedelta(days=3)  # older than fresh it is shown until the next one is there, and says so

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
  SELECT n, board_id, places, rep_id, minor
    FROM unnest(%(boards)s::bigint[], %(places)s::int[], %(reps)s::bigint[], %(minors)s::bigint[]) WITH ORDINALITY a(board_id, places, rep_id, minor, n)
), halved (n, board_id, minor, low, high) AS (
  SELECT n, board_id, minor, 0, places FROM asked
  UNION ALL
  SELECT h.n, h.board_id, h.minor, CASE WHEN p.credited_minor > h.minor THEN p.place ELSE h.low END,
         CASE WHEN p.credited_minor > h.minor THEN h.high ELSE p.place - 1 END
    FROM halved h JOIN quotas_keptplace p ON p.board_id = h.board_id AND p.place = (h.low + h.high + 1) / 2
   WHERE h.low < h.high
)
SELECT 1 + h.low - (own.credited_minor IS NOT NULL AND own.credited_minor > a.minor)::int
  FROM asked a JOIN halved h ON h.n = a.n AND h.low >= h.high
  LEFT JOIN quotas_keptplace own ON own.board_id = a.board_id AND own.subject_id = a.rep_id ORDER BY a.n
"""


@dataclass(frozen=True, slots=True)
class Look:
    """That somebody looks at a board.

    large  Whether it is one to keep.
    kept   What it was read from; None where it was worked out for this look.
    old    Whether a newer one is due.
    """

    group: KeptGroup
    by: str
    reading: Reading
    measure: Measure
    team: Team | None
    large: bool = False
    kept: KeptBoard | None = None
    old: bool = False

    @property
    def period(self) -> Period:
        return self.reading.period

    @property
    def settled(self) -> bool:
        """Whether it can never change: what a close froze, or what was known at a moment."""
        return not self.reading.live

    @property
    def key(self) -> dict[str, Any]:
        """The fields of quotas.models.KeptBoard that say which one it is."""
        return {
            "group": self.group,
            "by": self.by,
            "period": self.period,
            "measure": self.measure,
            "team": self.team,
            "view": self.reading.view,
            "close": self.reading.close,
            "moment": self.reading.moment,
        }


class BeingWorkedOut(Exception):
    """Nothing is kept yet of a board of many people. Whoever looks asks a worker for it, and looks again."""

    def __init__(self, look: Look) -> None:
        self.look = look
        super().__init__(f"{look.group} of {look.period} is being worked out.")


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


def looked_up(look: Look, *, on: date, at: datetime) -> Look:
    """The look with what is kept, if there is anything that may be shown at a moment. 1 query, 2 where it is not of lately.

    on  The day as at which it is read now. One of another day, or of long ago, is old.
    """
    return looked_up_together([look], on=on, at=at)[0]


def looked_up_together(looks: Sequence[Look], *, on: date, at: datetime) -> list[Look]:
    """looked_up of several that differ in their measure alone. As many queries as for one."""
    if not looks:
        return []
    key = looks[0].key
    del key["measure"]
    boards = KeptBoard.objects.filter(
        **key, measure__in=[look.measure.pk for look in looks], built_at__isnull=False
    )
    by_measure = {board.measure_id: board for board in boards}
    facts = cache(stamp)
    return [_with(look, by_measure.get(look.measure.pk), on, at, facts) for look in looks]


def _with(look: Look, board: KeptBoard | None, on: date, at: datetime, facts: Callable[[], str]) -> Look:
    if board is None or board.built_at is None:
        return look
    if look.settled:
        return replace(look, large=True, kept=board)
    age = at - board.built_at
    if not timedelta() <= age <= SHOWN:
        return look
    fresh = board.on == on and (age <= FRESH or (age <= UNCHANGED and board.stamp == facts()))
    return replace(look, large=True, kept=board, old=not fresh)


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


def ranks_by_credit(credited: Sequence[tuple[KeptBoard, int, int]]) -> list[int]:
    """The rank that each of these credits would give a rep on a kept leaderboard by credit: 1 and how many others have more.

    credited  Leaderboard, rep and credit in minor units, in any order; the rep's own line is left out of account.
    1 query, which halves the places some seventeen times for each.
    """
    rows = _read(
        _RANKS_BY_CREDIT,
        boards=[board.pk for board, _, _ in credited],
        places=[board.places for board, _, _ in credited],
        reps=[rep for _, rep, _ in credited],
        minors=[minor for _, _, minor in credited],
    )
    return [row[0] for row in rows]


def _more(statement: str, than: int, **given: Any) -> bool:
    rows = _read(f"SELECT count(*) FROM ({statement} LIMIT %(most)s) x", most=than + 1, **given)  # noqa: S608 -- our own statements
    return int(rows[0][0]) > than


def _read(statement: str, **given: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
