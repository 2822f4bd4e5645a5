"""Keeping large boards: a worker works them out, for pages to read. See quotas/selectors/kept.py.

A board is kept because somebody looked at it. While it is looked at it is worked out again as soon as anything changed,
though not more often than it can bear; once nobody does, it is left alone, and in the end it is thrown away.
"""

from datetime import datetime, timedelta
from time import perf_counter
from typing import Final

from django.db import connection, transaction
from psycopg import sql

from config.celery import ask
from config.locks import one_at_a_time
from quotas.models import KeptBoard, KeptGroup, KeptPlace
from quotas.selectors import boards, kept, leaderboard
from quotas.selectors.kept import Look

SHORTEST: Final = timedelta(minutes=1)  # between two times
EASE: Final = 20  # times as long as it took is a board left alone at least
LOOKED_AT: Final = timedelta(hours=1)
FORGOTTEN: Final = timedelta(days=30)
MORNINGS: Final = timedelta(days=3)  # for so long a board is ready each morning
NOTED: Final = timedelta(minutes=10)
LONGEST_MS: Final = 120_000  # of one statement; what takes longer is not kept

_WRITE: Final = sql.SQL(
    """
    INSERT INTO quotas_keptplace (board_id, place, subject_id, rank, previous_rank, credited_minor, quota_minor, key, reached_at, tail)
    SELECT %(kept_board)s, x.* FROM ({every}) x
    """
)


def looked_at(look: Look | None, *, at: datetime) -> None:
    """Somebody was shown a board: a large one is kept from now on. No query where that is known already."""
    if look is None or not look.large:
        return
    if look.kept is not None:
        if not look.kept.asked_at <= at <= look.kept.asked_at + NOTED:
            KeptBoard.objects.filter(pk=look.kept.pk).update(asked_at=at)
        return
    _board, made = KeptBoard.objects.update_or_create(
        group=look.group,
        by=look.by,
        period=look.period,
        measure=look.measure,
        team=look.team,
        defaults={"asked_at": at},
    )
    if made:
        transaction.on_commit(lambda: ask("quotas.keep_boards"), robust=True)


def due(*, at: datetime) -> list[int]:
    """The boards to be worked out now, those looked at last first; what nobody has looked at for long is thrown away. 3 queries, 5 in the latter case."""
    old = list(KeptBoard.objects.filter(asked_at__lt=at - FORGOTTEN).values_list("pk", flat=True))
    if old:
        with transaction.atomic():
            KeptPlace.objects.filter(board__in=old).delete()
            KeptBoard.objects.filter(pk__in=old).delete()
    facts = kept.stamp()
    found = KeptBoard.objects.filter(asked_at__gte=at - MORNINGS).select_related("period__calendar", "team")
    return [board.pk for board in found.order_by("-asked_at", "pk") if _is_due(board, facts, at)]


def _is_due(board: KeptBoard, facts: str, at: datetime) -> bool:
    if board.built_at is None or board.on != leaderboard.day_of(board.period, at):
        return True
    age = at - board.built_at
    if age < timedelta():  # the demo's clock goes back at midnight
        return True
    if at - board.asked_at > LOOKED_AT:
        return False
    if age > kept.FRESH:
        return True
    return board.stamp != facts and age >= max(SHORTEST, EASE * timedelta(milliseconds=board.took_ms))


@transaction.atomic
def keep(*, board_id: int, at: datetime) -> bool:
    """Work one board out and put it in the place of what was kept; pages read the old one until then. False if it is not there any more.

    All of it is of one snapshot of the facts, taken no earlier than `at`.
    """
    one_at_a_time("quotas.keep", str(board_id))
    board = (
        KeptBoard.objects.select_related("period__calendar", "measure", "team").filter(pk=board_id).first()
    )
    if board is None:
        return False
    if (
        board.built_at
        and at - SHORTEST < board.built_at <= at
        and board.on == leaderboard.day_of(board.period, at)
    ):
        return True  # another worker has just done it, while this one waited
    started = perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(LONGEST_MS)])
    board.stamp = kept.stamp()
    if board.group == KeptGroup.BOARD:
        board.body, board.on = boards.figures_to_keep(board, at=at)
    else:
        board.places = _rank(board, at)
    board.built_at = at
    board.took_ms = round((perf_counter() - started) * 1000)
    board.save(update_fields=["stamp", "body", "on", "places", "built_at", "took_ms"])
    return True


def _rank(board: KeptBoard, at: datetime) -> int:
    """Write the lines of a leaderboard anew; how many there are."""
    every, given, board.on = leaderboard.every_place(board, at=at)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM quotas_keptplace WHERE board_id = %s", [board.pk])
        cursor.execute(_WRITE.format(every=every), {**given, "kept_board": board.pk})
        return int(cursor.rowcount)
