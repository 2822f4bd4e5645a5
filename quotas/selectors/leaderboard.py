"""Who stands where. Reads kept totals; only the groups that totals do not know read entries.

A page of a board that is worked out for the look is one pass over the totals, a heap sort of its best, and a second pass for the
ranks of a week ago: nothing ranks everybody. That is half a second at 100,000 reps and more of another version, so a large board
is kept by a worker, with everybody's rank, and a page reads its lines or says that they are being worked out; see kept.py.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, Final, Literal, Self, get_args
from zoneinfo import ZoneInfo

from psycopg import sql

from config import charts
from config.refusals import Problem, refuse_if_any
from config.sealed import seal, unseal
from quotas.models import KeptBoard, KeptGroup, Measure, Period, Team
from quotas.selectors import asof, kept, pace, periods, targets
from quotas.selectors.asof import Reading
from quotas.selectors.kept import BeingWorkedOut, Look, Place

By = Literal["credit", "attainment"]
Group = Literal["rep", "team", "publisher", "offering"]
BYS: Final[tuple[By, ...]] = get_args(By)
GROUPS: Final[tuple[Group, ...]] = get_args(Group)
MOVEMENT_DAYS: Final = 7
LARGEST_PAGE: Final = 200
PAGE_OF_A_FILE: Final = 5_000


@dataclass(frozen=True, slots=True)
class Standing:
    """One line of a leaderboard.

    rank            Competition rank (1, 1, 3); None where there is nothing to rank by: no quota, or a quota of zero.
    previous_rank   The rank that credit dated up to a week ago gave; None for who had none then.
    team            A rep's team on the day, the team above a team, the publisher of an offering.
    credited_minor  Minor units of the measure.
    status          ahead, on_pace, behind, at_risk or no_quota: attainment against linear pace.
    reached_at      When a shared rank was reached; None where it is not shared or was never asked.
    """

    rank: int | None
    previous_rank: int | None
    subject: Group
    id: int
    slug: str
    name: str
    team: str
    team_slug: str
    credited_minor: int
    quota_minor: int | None
    status: str
    reached_at: datetime | None = None

    @property
    def attainment(self) -> tuple[int, int] | None:
        """Credited and quota; None without a quota above zero."""
        return (self.credited_minor, self.quota_minor) if self.quota_minor else None

    @property
    def movement(self) -> int | None:
        """Places won since a week ago, negative for places lost; None for who was not on the board."""
        if self.rank is None or self.previous_rank is None:
            return None
        return self.previous_rank - self.rank


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """One page.

    as_of     The moment it is worked out, or that of the kept board it was read from.
    cursor    Where the next page starts; None on the last, and around a rep.
    look      Which board it is, whether it is one to keep, and what it was read from.
    on        The day as at which it is read: the period's last, or today if that is earlier.
    seen_on   The same of now: as at which it is decided who sees what, whatever version is read.
    pace_ppm  Linear pace on that day.
    """

    measure: Measure
    period: Period
    by: By
    group: Group
    team: Team | None
    as_of: datetime
    on: date
    pace_ppm: int
    reading: Reading
    seen_on: date
    entries: Sequence[Standing] = field(default_factory=tuple)
    cursor: str | None = None
    look: Look | None = None

    @property
    def kept(self) -> bool:
        """Whether it is of the moment as_of and not of now; what can never change is of neither."""
        return self.look is not None and self.look.kept is not None and not self.look.settled

    @property
    def old(self) -> bool:
        """Whether a newer one is due."""
        return self.look is not None and self.look.old

    @property
    def sum_minor(self) -> int | None:
        """What it adds up to in direct credit; None where that is not kept with it."""
        kept_board = self.look.kept if self.look is not None else None
        return (kept_board.body or {}).get("direct_minor") if kept_board is not None else None


def leaderboard(
    *,
    measure: Measure,
    period: Period,
    by: By = "credit",
    group: Group = "rep",
    team: Team | None = None,
    limit: int = 50,
    after: str | None = None,
    around_rep: int | None = None,
    at: datetime,
    reading: Reading | None = None,
) -> Leaderboard:
    """One page of the board, best first; ties share a rank (1, 1, 3): the earlier to reach it first, then the lower id.

    by          credit, or attainment (credited / quota, compared as integers). Publishers and offerings have no quota.
    group       rep: own credit, overlay included. team: direct credit of the teams without teams below. publisher and
                offering: direct credit by what was sold; these read every entry of the period, the others kept totals.
    team        Only this team's subtree, as the tree stood at the end of the period or at `at`, whichever is earlier.
    limit       Rows of a page, 1 to 200.
    after       The cursor of the page before.
    reading     Another version of the period than the one reported now.
    around_rep  Instead of a page: half of `limit` above this rep and half below; empty if he is not ranked.
    Who has nothing to rank by is listed last, without a rank. previous_rank leaves out credit dated in the last seven
    days; for attainment it compares doubles.
    A large board is read from what is kept of it, and as_of says of when that is.
    At most 10 queries, whatever the number of reps. Raises Invalid, and BeingWorkedOut for a large one that is not kept yet.
    """
    start = _check(by, group, limit, after, around_rep)
    read = reading or asof.now(period)
    look = kept.looked_up(Look(KeptGroup(group), by, read, measure, team), on=day_of(period, at, read), at=at)
    if look.kept is not None:
        return _kept_page(look, look.kept, limit, start, around_rep, at)
    if is_large(look, at=at):
        raise BeingWorkedOut(replace(look, large=True))
    return replace(_read_page(measure, read, by, group, team, limit, start, around_rep, at), look=look)


def whole_leaderboard(
    *,
    measure: Measure,
    period: Period,
    by: By,
    group: Group,
    team: Team | None,
    at: datetime,
    reading: Reading | None = None,
) -> Iterator[Leaderboard]:
    """All of it, in large pages, for a file. At most 8 queries a page. Raises Invalid at the first."""
    start = _check(by, group, LARGEST_PAGE, None, None)
    while True:
        page = _read_page(
            measure, reading or asof.now(period), by, group, team, PAGE_OF_A_FILE, start, None, at
        )
        yield page
        if page.cursor is None:
            return
        start = _Cursor.read(page.cursor)


def _read_page(
    measure: Measure,
    reading: Reading,
    by: By,
    group: Group,
    team: Team | None,
    limit: int,
    start: "_Cursor | None",
    around_rep: int | None,
    at: datetime,
) -> Leaderboard:
    period = reading.period
    today = at.astimezone(ZoneInfo(period.calendar.time_zone)).date()
    on = reading.day(today)
    board = _Board(measure, reading, by, group, on, _members(reading, group, team, on))
    if around_rep is not None:
        rows, more = board.around(around_rep, limit // 2), False
    else:
        rows = board.page(start, limit + 1)
        rows, more = rows[:limit], len(rows) > limit
    ids = [row.id for row in rows]
    names, quotas = _names(reading, group, ids, on), _quotas(reading, group, ids, measure)
    so_far = pace.progress(period.starts, period.ends, on)
    return Leaderboard(
        measure=measure,
        period=period,
        by=by,
        group=group,
        team=team,
        as_of=at,
        on=on,
        pace_ppm=so_far.pace_ppm,
        reading=reading,
        seen_on=periods.last_day(period, today),
        entries=[_standing(row, group, names[row.id], quotas.get(row.id), so_far.pace_ppm) for row in rows],
        cursor=rows[-1].cursor().written() if more else None,
    )


def _kept_page(
    look: Look, board: KeptBoard, limit: int, start: "_Cursor | None", around_rep: int | None, at: datetime
) -> Leaderboard:
    """The page as it is kept, which says its day. Up to 4 queries."""
    period, group, reading = look.period, _group(look.group), look.reading
    on = board.on or day_of(period, at, reading)
    places, more = _kept_places(board, limit, start, around_rep)
    names = _names(reading, group, [each.subject_id for each in places], on)
    so_far = pace.progress(period.starts, period.ends, on)
    rows = [
        (
            _Row(
                *(each.subject_id, each.credited_minor, each.key, each.reached_at),
                *(each.previous_rank, each.rank, each.tail),
            ),
            each.quota_minor,
        )
        for each in places
        if each.subject_id in names
    ]
    return Leaderboard(
        measure=look.measure,
        period=period,
        by="attainment" if look.by == "attainment" else "credit",
        group=group,
        team=look.team,
        as_of=board.built_at or at,
        on=on,
        pace_ppm=so_far.pace_ppm,
        reading=reading,
        seen_on=day_of(period, at),
        entries=[_standing(row, group, names[row.id], quota, so_far.pace_ppm) for row, quota in rows],
        cursor=rows[-1][0].cursor().written() if more and rows else None,
        look=look,
    )


def _kept_places(
    board: KeptBoard, limit: int, start: "_Cursor | None", around_rep: int | None
) -> tuple[list[Place], bool]:
    """The lines of a page, and whether there are more below it."""
    if around_rep is not None:
        mine = kept.place_of(board, around_rep)
        if mine is None:
            return [], False
        half = limit // 2
        after = max(mine - half - 1, 0)
        found = kept.places(board, after=after, size=mine + half - after)
        ranked = [each for each in found if not each.tail]
        return (ranked if any(each.place == mine for each in ranked) else []), False
    after = 0
    if start is not None:
        after = kept.place_after(
            board, key=start.key, reached_at=start.reached_at, subject_id=start.id, tail=start.tail
        )
    found = kept.places(board, after=after, size=limit + 1)
    return found[:limit], len(found) > limit


def _group(group: str) -> Group:
    return next(each for each in GROUPS if each == group)


def is_large(look: Look, *, at: datetime) -> bool:
    """Whether a leaderboard is one to keep. Up to 3 queries."""
    if look.group in (KeptGroup.PUBLISHER, KeptGroup.OFFERING):
        return kept.many_entries(list(periods.months_in(look.period)))
    if not kept.many_reps():
        return False
    if look.team is None:
        return True
    on = day_of(look.period, at, look.reading)
    return kept.many_members(list(look.reading.below(look.team.pk, on)), on)


def every_place(look: Look, *, at: datetime) -> tuple[sql.Composable, Mapping[str, Any], date]:
    """The statement that yields all lines of a board as KeptPlace has them, what it is given, and the day as at which it reads. Up to 3 queries."""
    reading, on, group = look.reading, day_of(look.period, at, look.reading), _group(look.group)
    by: By = "attainment" if look.by == "attainment" else "credit"
    whole = _Board(look.measure, reading, by, group, on, _members(reading, group, look.team, on))
    return reading.through(whole.whole()), {**whole.given, **reading.given()}, on


def sums(look: Look, on: date) -> dict[str, int]:
    """What is kept beside the lines of another version, which is dear to add up again: its direct credit. 1 or 2 queries."""
    within = None if look.team is None else list(look.reading.below(look.team.pk, on))
    return {"direct_minor": look.reading.total(look.measure, within)}


def day_of(period: Period, at: datetime, reading: Reading | None = None) -> date:
    """The day as at which a board is read: the period's last, or that of the figures if it is earlier."""
    return (reading or asof.now(period)).day(at.astimezone(ZoneInfo(period.calendar.time_zone)).date())


def is_cursor(text: str) -> bool:
    """Whether a page has given it out."""
    try:
        _Cursor.read(text)
    except ValueError:
        return False
    return True


def _check(by: str, group: str, limit: int, after: str | None, around_rep: int | None) -> "_Cursor | None":
    wrong: list[Problem] = []
    if by not in BYS:
        wrong.append(Problem("invalid_choice", f"by is one of {', '.join(BYS)}.", "/by"))
    if group not in GROUPS:
        wrong.append(Problem("invalid_choice", f"group is one of {', '.join(GROUPS)}.", "/group"))
    if by == "attainment" and group in ("publisher", "offering"):
        wrong.append(Problem("no_quota", "Publishers and offerings have no quota: ask for by=credit.", "/by"))
    if not 1 <= limit <= LARGEST_PAGE:
        wrong.append(Problem("out_of_range", f"A page has 1 to {LARGEST_PAGE} rows.", "/limit"))
    if around_rep is not None and group != "rep":
        wrong.append(Problem("not_a_rep", "Only a board of reps can be read around a rep.", "/around"))
    start = None
    if after:
        try:
            start = _Cursor.read(after)
        except ValueError:
            wrong.append(
                Problem("invalid_cursor", "This cursor is none that a page has given out.", "/cursor")
            )
    refuse_if_any(wrong)
    return start


def _members(reading: Reading, group: Group, team: Team | None, on: date) -> list[int] | None:
    """Ids the board is limited to; None is everybody. Up to 2 queries."""
    if group == "team":
        leaves = reading.leaf_teams(on)
        return leaves if team is None else sorted(reading.below(team.pk, on).keys() & set(leaves))
    if team is None:
        return None
    inside = list(reading.below(team.pk, on))
    return reading.members_of(inside, on) if group == "rep" else inside


# --- rows and cursors -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Cursor:
    """The last row shown: exact key, tie-break, id; and whether it was in the tail without ranks. Sealed, because the
    key is the credit of whoever stands there."""

    key: int
    reached_at: datetime | None
    id: int
    tail: bool

    def written(self) -> str:
        reached = self.reached_at.isoformat() if self.reached_at else None
        return seal(json.dumps([str(self.key), reached, self.id, int(self.tail)]), purpose="leaderboard")

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises ValueError for what no page has given out."""
        key, reached, subject, tail = json.loads(unseal(text, purpose="leaderboard"))
        return cls(int(key), datetime.fromisoformat(reached) if reached else None, subject, bool(tail))


@dataclass(frozen=True, slots=True)
class _Row:
    id: int
    credited: int
    key: int
    reached_at: datetime | None
    previous: int | None
    rank: int | None = None
    tail: bool = False

    def cursor(self) -> _Cursor:
        return _Cursor(self.key, self.reached_at, self.id, self.tail)


def _ranked(rows: list[_Row], above: int, shared: int) -> list[_Row]:
    """Competition ranks of a page: *above* stand before its first row, *shared* have its first row's key."""
    ranked: list[_Row] = []
    rank = above + 1
    for at, (_key, tied) in enumerate(groupby(rows, key=lambda row: row.key)):
        group = [replace(row, rank=rank) for row in tied]
        ranked += group
        rank += len(group) if at else max(shared, len(group))
    return ranked


def _standing(row: _Row, group: Group, named: Sequence[str], quota: int | None, pace_ppm: int) -> Standing:
    slug, name, team, team_slug = named
    return Standing(
        rank=row.rank,
        previous_rank=row.previous,
        subject=group,
        id=row.id,
        slug=slug,
        name=name,
        team=team,
        team_slug=team_slug,
        credited_minor=row.credited,
        quota_minor=quota,
        status=charts.stands(row.credited, quota or 0, pace_ppm),
        reached_at=row.reached_at,
    )


# --- the statements ---------------------------------------------------------------------------------------
# standing (id, v credited, q quota, s key to sort by): one row per subject of the board. From it a page is taken.

# A rep has one row for each team that earned something. Grouping everybody is dear, so only who has several rows is
# summed, and found by a sort of ids, which count(DISTINCT ...) asks for.
_REPS: Final = sql.SQL(
    """part AS NOT MATERIALIZED (
      SELECT rep_id, team_id, direct_minor + overlay_minor AS v FROM quotas_credittotal
       WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {within}
    ), several AS MATERIALIZED (
      SELECT rep_id FROM part GROUP BY rep_id HAVING count(DISTINCT team_id) > 1
    ), credited AS (
      SELECT rep_id AS id, v FROM part WHERE NOT EXISTS (SELECT FROM several s WHERE s.rep_id = part.rep_id)
      UNION ALL
      SELECT rep_id, sum(v)::bigint FROM part JOIN several USING (rep_id) GROUP BY rep_id
    )"""
)
_TEAMS: Final = sql.SQL(
    """credited AS (
      SELECT team_id AS id, sum(direct_minor)::bigint AS v FROM quotas_credittotal
       WHERE period_id = %(period)s AND measure_id = %(measure)s AND basis = 1 AND {within} GROUP BY team_id
    )"""
)
_SOLD: Final = sql.SQL(
    """credited AS (
      SELECT {subject} AS id, sum(e.amount_minor)::bigint AS v FROM {sold}
       WHERE e.posting_period_id = ANY(%(months)s) AND e.measure_id = %(measure)s AND {only} AND {within} GROUP BY 1
    )"""
)
_ENTRIES: Final = sql.SQL("quotas_creditentry e")
_ENTRIES_SOLD: Final = sql.SQL(
    """quotas_creditentry e
        JOIN quotas_dealline l ON l.version_id = e.deal_version_id AND l.line_no = e.line_no
        JOIN marketplace_offering o ON o.id = l.offering_id"""
)
_ALL: Final = sql.SQL("true")
_DIRECT: Final = sql.SQL("e.receiver_class = 1")

_TARGETS: Final = sql.SQL(
    """target AS (
      SELECT q.{owner} AS id, {effective} AS q FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
       WHERE q.period_id = %(period)s AND q.measure_id = %(measure)s AND q.superseded_at IS NULL
         AND q.{owner} IS NOT NULL AND {within}
    )"""
)
_NO_TARGETS: Final = sql.SQL("target AS (SELECT NULL::bigint AS id, NULL::bigint AS q WHERE false)")

_CREDITED: Final = sql.SQL("SELECT id, v, NULL::bigint AS q, v AS s FROM credited")
_EVERYBODY: Final = sql.SQL(
    """SELECT coalesce(c.id, t.id) AS id, coalesce(c.v, 0) AS v, t.q, coalesce(c.v, 0) AS s
        FROM credited c FULL JOIN target t ON t.id = c.id"""
)
_RATED: Final = sql.SQL(
    """SELECT t.id, coalesce(c.v, 0) AS v, t.q, coalesce(c.v, 0)::float8 / t.q AS s
        FROM target t LEFT JOIN credited c ON c.id = t.id WHERE t.q > 0"""
)
_UNRATED: Final = sql.SQL(
    """SELECT coalesce(c.id, t.id) AS id, coalesce(c.v, 0) AS v, t.q, coalesce(c.v, 0) AS s
        FROM credited c FULL JOIN target t ON t.id = c.id WHERE coalesce(t.q, 0) = 0"""
)

# The cheap key s and the exact key k. Attainment: a double is off by less than one part in 10**14 after a division,
# and 38 digits keep any two ratios of 63-bit integers apart.
_PLAIN_KEY: Final = sql.SQL("v::numeric")
_RATIO_KEY: Final = sql.SQL("div(v::numeric * 100000000000000000000000000000000000000, q)")
_RATIO_DIGITS: Final = 38
_NO_SLACK: Final = sql.SQL("0")
_SLACK: Final = sql.SQL("1e-14::float8")

# All that can be on the page: the best below where it starts, with everything that ties with its end or its start.
_NEXT: Final = sql.SQL(
    """edge AS (
      SELECT coalesce(min(s), {start}) AS s FROM (
        SELECT s FROM standing WHERE s < {start} - abs({start}) * {slack} ORDER BY s DESC LIMIT %(size)s) best
    ), candidate AS (
      SELECT id, v, q, {key} AS k FROM standing, (SELECT s AS least FROM edge) e
       WHERE s >= e.least - abs(e.least) * {slack} AND s <= {start} + abs({start}) * {slack}
    )"""
)
_FIRST: Final = sql.SQL(
    """edge AS (SELECT min(s) AS s FROM (SELECT s FROM standing ORDER BY s DESC LIMIT %(size)s) best),
    candidate AS (
      SELECT id, v, q, {key} AS k FROM standing, (SELECT s AS least FROM edge) e WHERE s >= e.least - abs(e.least) * {slack}
    )"""
)
_AROUND: Final = sql.SQL(
    """me AS (SELECT s AS mine FROM standing WHERE id = %(around)s),
    edge AS (
      SELECT (SELECT max(s) FROM (SELECT s FROM standing, me WHERE s > mine + abs(mine) * {slack} ORDER BY s LIMIT %(half)s) x) AS high,
             (SELECT min(s) FROM (SELECT s FROM standing, me WHERE s < mine - abs(mine) * {slack} ORDER BY s DESC LIMIT %(half)s) x) AS low
    ), edge_or_me AS (
      SELECT coalesce(high, mine) AS high, coalesce(low, mine) AS low FROM edge, me
    ), candidate AS (
      SELECT id, v, q, {key} AS k FROM standing, edge_or_me e
       WHERE s >= e.low - abs(e.low) * {slack} AND s <= e.high + abs(e.high) * {slack}
    )"""
)
# Ties are looked up in the ledger, and nobody else.
_TIMED: Final = sql.SQL(
    """timed AS (
      SELECT c.id, c.v, c.q, c.k, r.reached_at
        FROM (SELECT *, count(*) OVER (PARTITION BY k) > 1 AS tied FROM candidate) c
        LEFT JOIN LATERAL (
          SELECT max(p.recorded_at) AS reached_at FROM quotas_creditentry e JOIN quotas_posting p ON p.id = e.posting_id
           WHERE c.tied AND c.v <> 0 AND e.{owner} = c.id AND e.measure_id = %(measure)s
             AND e.posting_period_id = ANY(%(months)s)) r ON true
    )"""
)
_UNTIMED: Final = sql.SQL("timed AS (SELECT id, v, q, k, NULL::timestamptz AS reached_at FROM candidate)")
_PAGE: Final = sql.SQL(
    "page AS (SELECT * FROM timed WHERE {after} ORDER BY k DESC, reached_at NULLS LAST, id LIMIT %(size)s)"
)
_AFTER: Final = sql.SQL(
    """(k < %(key)s::numeric OR k = %(key)s::numeric
        AND (coalesce(reached_at, 'infinity'), id) > (coalesce(%(reached_at)s::timestamptz, 'infinity'), %(id)s))"""
)
_WINDOW: Final = sql.SQL(
    """numbered AS (SELECT *, row_number() OVER (ORDER BY k DESC, reached_at NULLS LAST, id) AS n FROM timed),
    page AS (
      SELECT id, v, q, k, reached_at FROM numbered WHERE abs(n - (SELECT n FROM numbered WHERE id = %(around)s)) <= %(half)s
    )"""
)
# Everybody in one go, for what is kept: the same order and ranks that pages have.
_EVERY_ONE: Final = sql.SQL(
    """recent AS (
      SELECT {subject} AS id, sum(e.amount_minor)::bigint AS d FROM {sold}
       WHERE e.posting_period_id = ANY(%(recent)s) AND e.measure_id = %(measure)s AND e.credit_date > %(since)s AND {only}
       GROUP BY 1
    ), before AS (
      SELECT st.id, {earlier} AS s FROM standing st LEFT JOIN recent r ON r.id = st.id WHERE {moves}
    ), ranked AS (
      SELECT t.id, t.v, t.q, t.k, t.reached_at, rank() OVER (ORDER BY t.k DESC) AS rank,
             CASE WHEN b.s > 0 THEN rank() OVER (ORDER BY b.s DESC NULLS LAST) END AS previous,
             row_number() OVER (ORDER BY t.k DESC, t.reached_at NULLS LAST, t.id) AS place
        FROM timed t LEFT JOIN before b ON b.id = t.id
    )"""
)
_KEPT: Final = sql.SQL(
    """WITH {parts}
    SELECT place, id, rank, previous, v, q, k, reached_at, false AS tail FROM ranked"""
)
_KEPT_TAIL: Final = sql.SQL(
    """
    UNION ALL
    SELECT (SELECT count(*) FROM ranked) + row_number() OVER (ORDER BY s DESC, id), id, NULL, NULL, v, q, s, NULL, true FROM ({unrated}) rest"""
)
# How many stand before the page's first row and how many share its key; all other ranks follow from these.
_COUNTED: Final = sql.SQL(
    """lead AS (SELECT st.s AS high, p.k AS best FROM page p JOIN standing st USING (id) ORDER BY p.k DESC LIMIT 1),
    counted AS (
      SELECT count(*) FILTER (WHERE s > high + abs(high) * {slack} OR {key} > best) AS above,
             count(*) FILTER (WHERE s <= high + abs(high) * {slack} AND {key} = best) AS shared
        FROM standing, lead WHERE s >= high - abs(high) * {slack}
    )"""
)
_TOP: Final = sql.SQL("counted AS (SELECT 0 AS above, 0 AS shared)")
# Ranks a week ago: everybody's credit less what is dated since, counted between the old values of the page's rows.
_WAS: Final = sql.SQL(
    """recent AS (
      SELECT {subject} AS id, sum(e.amount_minor)::bigint AS d FROM {sold}
       WHERE e.posting_period_id = ANY(%(recent)s) AND e.measure_id = %(measure)s AND e.credit_date > %(since)s AND {only}
       GROUP BY 1
    ), old AS MATERIALIZED (
      SELECT * FROM (SELECT st.id, {earlier} AS s FROM page st LEFT JOIN recent r ON r.id = st.id) x WHERE s > 0
    ), mark AS MATERIALIZED (
      SELECT array_agg(DISTINCT s ORDER BY s) AS marks FROM old
    ), earlier AS (
      SELECT st.s FROM standing st
       WHERE st.s >= (SELECT marks[1] FROM mark) AND NOT EXISTS (SELECT FROM recent r WHERE r.id = st.id)
      UNION ALL
      SELECT {earlier} FROM recent r JOIN standing st ON st.id = r.id
    ), band AS (
      SELECT width_bucket(e.s, m.marks) AS b, count(*) AS n, count(*) FILTER (WHERE e.s > m.marks[width_bucket(e.s, m.marks)]) AS over
        FROM earlier e, mark m WHERE e.s >= m.marks[1] GROUP BY 1
    ), was AS (
      SELECT o.id, 1 + coalesce(sum(CASE WHEN band.b = width_bucket(o.s, m.marks) THEN band.over ELSE band.n END), 0) AS rank
        FROM old o CROSS JOIN mark m LEFT JOIN band ON band.b >= width_bucket(o.s, m.marks) GROUP BY o.id
    )"""
)
_WAS_NOT: Final = sql.SQL("was AS (SELECT NULL::bigint AS id, NULL::bigint AS rank WHERE false)")
_EARLIER_CREDIT: Final = sql.SQL("st.v - coalesce(r.d, 0)")
_EARLIER_RATIO: Final = sql.SQL("(st.v - coalesce(r.d, 0))::float8 / st.q")
_SHOW: Final = sql.SQL(
    """WITH {parts}
    SELECT p.id, p.v, p.k, p.reached_at, w.rank::bigint, c.above, c.shared
      FROM page p LEFT JOIN was w ON w.id = p.id CROSS JOIN counted c ORDER BY p.k DESC, p.reached_at NULLS LAST, p.id"""
)
_SUBJECTS: Final[Mapping[Group, sql.SQL]] = {
    "rep": sql.SQL("e.rep_id"),
    "team": sql.SQL("e.team_id"),
    "publisher": sql.SQL("o.publisher_id"),
    "offering": sql.SQL("l.offering_id"),
}


class _Board:
    """One board and the statements that read a part of it."""

    def __init__(
        self,
        measure: Measure,
        reading: Reading,
        by: By,
        group: Group,
        on: date,
        members: list[int] | None,
    ) -> None:
        period = reading.period
        self.reading = reading
        self.group = group
        self.by = by
        self.limited = members is not None
        months = periods.leaves_of(period)
        since = on - timedelta(days=MOVEMENT_DAYS)
        self.moves = since >= period.starts
        self.given: dict[str, Any] = {
            "period": period.pk,
            "measure": measure.pk,
            "members": members,
            "months": [month.pk for month in months],
            "recent": [month.pk for month in months if month.ends > since],
            "since": since,
        }

    def page(self, start: _Cursor | None, size: int) -> list[_Row]:
        """The next *size* rows, the tail without ranks included. Up to 2 queries."""
        if self.by == "credit":
            # Who has credit fills a page nearly always, and reads no quota; the others stand below zero credit.
            if self.group == "rep" and (start is None or start.key > 0):
                rows = self._read(_CREDITED, start, size)
                if len(rows) == size and rows[-1].key > 0:
                    return rows
            return self._read(_EVERYBODY, start, size)
        rows = [] if start and start.tail else self._read(_RATED, start, size)
        if len(rows) < size:
            tail = self._read(_UNRATED, start if start and start.tail else None, size - len(rows))
            rows += [replace(row, rank=None, previous=None, tail=True) for row in tail]
        return rows

    def whole(self) -> sql.Composable:
        """All lines, with their places, in one statement."""
        ratio = self.by == "attainment"
        standing = _RATED if ratio else _EVERYBODY
        key, earlier = (_RATIO_KEY, _EARLIER_RATIO) if ratio else (_PLAIN_KEY, _EARLIER_CREDIT)
        parts = [
            *self._credited(),
            self._target(),
            sql.SQL("standing AS MATERIALIZED ({})").format(standing),
            sql.SQL("candidate AS (SELECT id, v, q, {key} AS k FROM standing)").format(key=key),
            self._timed(standing),
            _EVERY_ONE.format(**self._dated(earlier), moves=_ALL if self.moves else sql.SQL("false")),
        ]
        whole = _KEPT.format(parts=sql.SQL(",\n    ").join(parts))
        return whole + _KEPT_TAIL.format(unrated=_UNRATED) if ratio else whole

    def around(self, subject: int, half: int) -> list[_Row]:
        """Rows on both sides of one; none if it is not ranked. 1 query."""
        standing = _RATED if self.by == "attainment" else _EVERYBODY
        return self._read(standing, None, 0, around=subject, half=half)

    def _read(
        self, standing: sql.SQL, start: _Cursor | None, size: int, *, around: int | None = None, half: int = 0
    ) -> list[_Row]:
        ratio = standing is _RATED
        key, slack = (_RATIO_KEY, _SLACK) if ratio else (_PLAIN_KEY, _NO_SLACK)
        origin = sql.SQL("%(start)s::float8" if ratio else "%(start)s::bigint")
        given = {**self.given, "size": size, "around": around, "half": half}
        if start is not None:
            given |= {
                "start": start.key / 10**_RATIO_DIGITS if ratio else start.key,
                "key": str(start.key),
                "reached_at": start.reached_at,
                "id": start.id,
            }
        if around is not None:
            taken = [_AROUND.format(key=key, slack=slack), self._timed(standing), _WINDOW]
        elif start is not None:
            choice = _NEXT.format(key=key, slack=slack, start=origin)
            taken = [choice, self._timed(standing), _PAGE.format(after=_AFTER)]
        else:
            taken = [_FIRST.format(key=key, slack=slack), self._timed(standing), _PAGE.format(after=_ALL)]
        first_page = start is None and around is None
        parts = [
            *self._credited(),
            *([] if standing is _CREDITED else [self._target()]),
            sql.SQL("standing AS MATERIALIZED ({})").format(standing),
            *taken,
            _TOP if first_page or standing is _UNRATED else _COUNTED.format(key=key, slack=slack),
            self._was(_EARLIER_RATIO if ratio else _EARLIER_CREDIT)
            if self.moves and standing is not _UNRATED
            else _WAS_NOT,
        ]
        statement = _SHOW.format(parts=sql.SQL(",\n    ").join(parts))
        found = self.reading.read(statement, given)
        rows = [
            _Row(subject, v, int(k), reached, was) for subject, v, k, reached, was, _above, _shared in found
        ]
        return _ranked(rows, found[0][5], found[0][6]) if found else []

    def _within(self, column: str) -> sql.Composable:
        return sql.SQL("{} = ANY(%(members)s)").format(sql.SQL(column)) if self.limited else _ALL

    def _credited(self) -> list[sql.Composable]:
        if self.group == "rep":
            return [_REPS.format(within=self._within("rep_id"))]
        if self.group == "team":
            return [_TEAMS.format(within=self._within("team_id"))]
        return [
            _SOLD.format(
                subject=_SUBJECTS[self.group],
                sold=_ENTRIES_SOLD,
                only=_DIRECT,
                within=self._within("e.team_id"),
            )
        ]

    def _target(self) -> sql.Composable:
        if self.group not in ("rep", "team"):
            return _NO_TARGETS
        owner = sql.SQL("rep_id" if self.group == "rep" else "team_id")
        within = self._within("q.rep_id" if self.group == "rep" else "q.team_id")
        return _TARGETS.format(owner=owner, effective=targets.EFFECTIVE, within=within)

    def _timed(self, standing: sql.SQL) -> sql.Composable:
        if self.group not in ("rep", "team") or standing is _UNRATED:
            return _UNTIMED
        return _TIMED.format(owner=sql.SQL("rep_id" if self.group == "rep" else "team_id"))

    def _was(self, earlier: sql.SQL) -> sql.Composable:
        return _WAS.format(**self._dated(earlier))

    def _dated(self, earlier: sql.SQL) -> dict[str, sql.Composable]:
        """What a statement on ranks of a week ago is made up with."""
        return {
            "subject": _SUBJECTS[self.group],
            "sold": _ENTRIES_SOLD if self.group in ("publisher", "offering") else _ENTRIES,
            "only": _ALL if self.group == "rep" else _DIRECT,
            "earlier": earlier,
        }


# --- names and quotas of a page ---------------------------------------------------------------------------

_NAMES: Final[Mapping[Group, sql.SQL]] = {
    "rep": sql.SQL("""
        SELECT r.id, r.slug, r.name, coalesce(t.name, ''), coalesce(t.slug, '') FROM quotas_rep r
          LEFT JOIN quotas_teammembership m ON m.rep_id = r.id AND m.superseded_at IS NULL AND m.effective @> %(on)s::date
          LEFT JOIN quotas_team t ON t.id = m.team_id WHERE r.id = ANY(%(ids)s)"""),
    "team": sql.SQL("""
        SELECT t.id, t.slug, t.name, coalesce(u.name, ''), coalesce(u.slug, '') FROM quotas_team t
          LEFT JOIN quotas_teamplacement p ON p.team_id = t.id AND p.superseded_at IS NULL AND p.effective @> %(on)s::date
          LEFT JOIN quotas_team u ON u.id = p.parent_id WHERE t.id = ANY(%(ids)s)"""),
    "publisher": sql.SQL("SELECT id, slug, name, '', '' FROM marketplace_publisher WHERE id = ANY(%(ids)s)"),
    "offering": sql.SQL("""
        SELECT o.id, o.slug, o.name, p.name, p.slug FROM marketplace_offering o
          JOIN marketplace_publisher p ON p.id = o.publisher_id WHERE o.id = ANY(%(ids)s)"""),
}


def _names(reading: Reading, group: Group, ids: list[int], on: date) -> dict[int, tuple[str, ...]]:
    return {row[0]: row[1:] for row in reading.read(_NAMES[group], {"ids": ids, "on": on})}


def _quotas(reading: Reading, group: Group, ids: list[int], measure: Measure) -> dict[int, int]:
    if group == "rep":
        return reading.quotas_of_reps(ids, measure)
    if group == "team":
        return reading.quotas_of_teams(ids, measure)
    return {}
