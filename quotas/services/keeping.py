"""Keeping large boards: a worker works them out, for pages to read. See quotas/selectors/kept.py.

A board is kept because somebody looked at it, or because many will. While it is looked at it is worked out again as soon as
anything changed, though not more often than it can bear; once nobody does, it is left alone, and in the end it is thrown away.
What a close froze and what was known at a moment never changes, and is worked out once.
"""

from dataclasses import asdict
from datetime import datetime, timedelta
from time import monotonic, perf_counter
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, connections, transaction
from django.db.models import Max, Q
from django.db.models.functions import Greatest
from psycopg import sql

from config.celery import ask
from config.locks import unless_another
from config.snapshot import one_state
from quotas.models import AsOf, KeptBoard, KeptGroup, KeptPlace
from quotas.selectors import asof, boards, home, kept, leaderboard
from quotas.selectors.asof import Reading
from quotas.selectors.foreseen import foreseen
from quotas.selectors.kept import Look

SHORTEST: Final = timedelta(minutes=1)  # between two times
EASE: Final = 20  # times as long as it took is a board left alone at least
LOOKED_AT: Final = timedelta(hours=1)
UNSEEN: Final = timedelta(hours=1)  # between two times while nobody looks at a board that is kept ahead
UNSEEN_EASE: Final = 500  # and times as long as it took
FORESEEN: Final = timedelta(minutes=10)  # between two times of finding out which these are
FORGOTTEN: Final = timedelta(days=30)
MOMENTS_FORGOTTEN: Final = timedelta(days=2)
MOST_MOMENTS: Final = 40  # boards as of a moment, whoever chose it
MORNINGS: Final = timedelta(days=3)  # for so long a board is ready each morning
NOTED: Final = timedelta(minutes=10)
LONGEST_MS: Final = 120_000  # of one statement; what takes longer is not kept
TRIED_AGAIN: Final = timedelta(minutes=5)

_WRITE: Final = sql.SQL(
    """
    INSERT INTO quotas_keptplace (board_id, place, subject_id, rank, previous_rank, credited_minor, quota_minor, key, reached_at, tail)
    SELECT %(kept_board)s, x.* FROM ({every}) x
    """
)


def looked_at(look: Look | None, *, at: datetime) -> KeptBoard | None:
    """Somebody looks at a board: a large one is kept from now on. The first look asks a worker for it, and those beside it find that asked.

    No query where all of that is known already, 1 where it is being worked out.
    """
    if look is None or not look.large:
        return None
    board, made = look.kept, False
    if board is None:
        board, made = KeptBoard.objects.get_or_create(**look.key, defaults={"asked_at": at})
    if made or not (board.asked_at and board.asked_at <= at <= board.asked_at + NOTED):
        noted = KeptBoard.objects.filter(pk=board.pk, asked_at=board.asked_at).update(asked_at=at)
        if made or (noted and (look.old or look.kept is None)):
            transaction.on_commit(lambda: ask("quotas.keep_boards"), robust=True)
    return board


def foresee(*, at: datetime) -> None:
    """See to it that the boards that many will look at are kept before anybody does. 1 query where that was seen to lately."""
    last = KeptBoard.objects.aggregate(last=Max("foreseen_at"))["last"]
    if last is not None and last <= at < last + FORESEEN:
        return
    for look in foreseen(at=at):
        KeptBoard.objects.update_or_create(**look.key, defaults={"foreseen_at": at})


def forget(*, at: datetime) -> None:
    """Throw away what nobody has looked at for long, and of the moments that people chose all but the last; never what a close froze. 2 queries, 4 where there is any."""
    boards_of_now = KeptBoard.objects.exclude(view="closed").annotate(
        seen_at=Greatest("asked_at", "foreseen_at")
    )
    old = set(
        boards_of_now.filter(
            Q(seen_at__lt=at - FORGOTTEN) | Q(moment__isnull=False, seen_at__lt=at - MOMENTS_FORGOTTEN)
        ).values_list("pk", flat=True)
    )
    moments = KeptBoard.objects.exclude(moment=None).order_by("-asked_at", "-pk")
    old.update(moments.values_list("pk", flat=True)[MOST_MOMENTS:])
    if old:
        with transaction.atomic():
            KeptPlace.objects.filter(board__in=old).delete()
            KeptBoard.objects.filter(pk__in=old).delete()


def due(*, at: datetime) -> list[int]:
    """The boards to be worked out now: first what somebody waits for, then what was looked at last. 2 queries."""
    facts = kept.stamp()
    found = (
        KeptBoard.objects.filter(
            Q(asked_at__gte=at - MORNINGS) | Q(foreseen_at__gte=at - 3 * FORESEEN) | Q(built_at=None)
        )
        .select_related("period__calendar", "close__mark")
        .defer("body")
    )
    ordered = sorted(found, key=lambda b: (b.asked_at is None, b.built_at is not None, -_seconds(b), b.pk))
    return [board.pk for board in ordered if _is_due(board, facts, at)]


def _seconds(board: KeptBoard) -> float:
    return board.asked_at.timestamp() if board.asked_at else 0.0


def _is_due(board: KeptBoard, facts: str, at: datetime) -> bool:
    if board.failed_at and timedelta() <= at - board.failed_at < TRIED_AGAIN:
        return False
    if board.built_at is None:
        return True
    if board.moment is not None or board.close is not None:
        return False
    if board.on != leaderboard.day_of(board.period, at):
        return True
    age = at - board.built_at
    if age < timedelta():  # the demo's clock goes back at midnight
        return True
    took = timedelta(milliseconds=board.took_ms)
    if board.asked_at is None or at - board.asked_at > LOOKED_AT:
        ahead = board.foreseen_at is not None and at - board.foreseen_at <= 3 * FORESEEN
        return ahead and board.stamp != facts and age >= max(UNSEEN, UNSEEN_EASE * took)
    if age > kept.FRESH:
        return True
    return board.stamp != facts and age >= max(SHORTEST, EASE * took)


def keep(*, board_id: int, at: datetime) -> bool:
    """Work one board out and put it in the place of what was kept; pages read the old one until then. False if somebody else is at it or it is gone.

    All of it is of one snapshot of the facts, taken no earlier than `at`. Raises DatabaseError if the database gives up; it is then tried again later.
    """
    with unless_another("quotas.keep", str(board_id)) as alone:
        return alone and _keep(board_id, at)


def _keep(board_id: int, at: datetime) -> bool:
    board = (
        KeptBoard.objects.select_related(
            "period__calendar", "measure", "team", "close__mark", "close__period"
        )
        .defer("body")
        .filter(pk=board_id)
        .first()
    )
    if board is None:
        return False
    look = Look(KeptGroup(board.group), board.by, reading_of(board), board.measure, board.team, large=True)
    if (
        board.built_at
        and at - SHORTEST < board.built_at <= at
        and board.on == leaderboard.day_of(board.period, at, look.reading)
    ):
        return True  # another worker has just done it
    this = KeptBoard.objects.filter(pk=board_id)
    this.update(begun_at=at, done=0)
    started = perf_counter()
    try:
        if board.group == KeptGroup.BOARD:
            found = _add_up(look, board_id, at)
            this.update(**found, **_ended(started, at))
        else:
            with transaction.atomic():
                found = _rank(look, board_id, at)
                this.update(**found, **_ended(started, at))
    except DatabaseError:
        this.update(begun_at=None, failed_at=at)
        raise
    return True


def _ended(started: float, at: datetime) -> dict[str, Any]:
    took = round((perf_counter() - started) * 1000)
    return {"built_at": at, "took_ms": took, "begun_at": None, "failed_at": None}


def reading_of(board: KeptBoard) -> Reading:
    """The version that a board is kept of. 1 query, none for one of now, 2 as of a moment."""
    period = board.period
    if board.close is not None:
        return asof.reading(period, view=board.view, close=board.close.version, closes=[board.close])
    if board.moment is not None:
        mark = AsOf.objects.select_related("mark").get(moment=board.moment).mark
        return asof.reading(period, view=board.view, moment=board.moment, mark=mark)
    return asof.now(period) if board.view == "reported" else asof.reading(period, view=board.view)


def _add_up(look: Look, board_id: int, at: datetime) -> dict[str, Any]:
    """The figures of a quota board; who of its people moves and falls behind is what the home of who leads it says."""
    with _Steps(board_id) as steps, one_state():
        _limit()
        stamp = kept.stamp()
        body, on = boards.figures_to_keep(look, at=at, told=steps.tell)
        if look.reading.plain:
            work = home.team_at_work(
                [int(team) for team in body["tree"]], period=look.period, measure=look.measure, on=on
            )
            body["work"] = asdict(work)
    return {"stamp": stamp, "body": body, "on": on}


def _rank(look: Look, board_id: int, at: datetime) -> dict[str, Any]:
    """Write the lines of a leaderboard anew, in one statement."""
    _limit()
    stamp = kept.stamp()
    every, given, on = leaderboard.every_place(look, at=at)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM quotas_keptplace WHERE board_id = %s", [board_id])
        cursor.execute(_WRITE.format(every=every), {**given, "kept_board": board_id})
        places = int(cursor.rowcount)
    body = leaderboard.sums(look, on) if look.settled else None
    return {"stamp": stamp, "places": places, "body": body, "on": on}


def _limit() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(LONGEST_MS)])


class _Steps:
    """Tells whoever waits how many statements have been, through a session of its own: what is worked out is one transaction."""

    EVERY: Final = 0.5

    def __init__(self, board_id: int) -> None:
        self._board_id = board_id
        self._done = 0
        self._next = monotonic() + self.EVERY
        self._told = not connection.in_atomic_block
        self._session: Any = None

    def __enter__(self) -> "_Steps":
        return self

    def tell(self) -> None:
        self._done += 1
        moment = monotonic()
        if not self._told or moment < self._next:
            return
        self._next = moment + self.EVERY
        self._session = self._session or connections.create_connection(DEFAULT_DB_ALIAS)
        with self._session.cursor() as cursor:
            cursor.execute(
                "UPDATE quotas_keptboard SET done = %s WHERE id = %s", [self._done, self._board_id]
            )

    def __exit__(self, *_failure: object) -> None:
        if self._session is not None:
            self._session.close()
