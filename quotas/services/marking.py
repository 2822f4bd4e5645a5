"""Marks: in which order postings became known. See quotas/RULES.md 14.1 and 18.

A posting takes its number when it begins and its time from a clock; both say little about when it was committed. A mark is
written by one transaction at a time and takes in every posting that is committed by then and has none yet: what a mark
knows never changes, whatever commits later.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from psycopg import sql

from config.locks import one_at_a_time
from config.refusals import Invalid
from quotas.crediting.engine import PERIOD_LOCK
from quotas.models import AsOf, LedgerMark

# Nothing older than what an earlier mark found settled is looked at again: the cost is that of what was posted since.
_TAKE: Final = sql.SQL(
    """
    WITH before AS (SELECT id, settled_id FROM quotas_ledgermark ORDER BY id DESC LIMIT 1),
    later AS MATERIALIZED (
      SELECT p.id FROM quotas_posting p
       WHERE p.id > coalesce((SELECT settled_id FROM before), 0)
         AND NOT EXISTS (SELECT FROM quotas_markedposting k WHERE k.posting_id = p.id)),
    taken AS (
      INSERT INTO quotas_ledgermark (taken_at, settled_id)
      SELECT %(at)s, greatest(%(settled)s::bigint, coalesce((SELECT settled_id FROM before), 0))
       WHERE EXISTS (SELECT FROM later) OR NOT EXISTS (SELECT FROM before) RETURNING id),
    marked AS (INSERT INTO quotas_markedposting (posting_id, mark_id) SELECT l.id, t.id FROM later l CROSS JOIN taken t)
    {beside}
    SELECT coalesce((SELECT id FROM taken), (SELECT id FROM before))
    """
)


@transaction.atomic
def mark(*, at: datetime) -> LedgerMark:
    """The mark that knows every posting committed by now: a new one, or the last one where nothing was posted since. 5 queries."""
    return mark_with(at=at)


def mark_with(*, at: datetime, beside: sql.Composable | None = None, **parameters: Any) -> LedgerMark:
    """mark(), and in the very same snapshot of the database what else is to be written of it, with nobody held back.

    beside  Common table expressions, each with a comma before it; parameters are theirs.
    """
    one_at_a_time("quotas.marks")
    settled = _settled()
    with connection.cursor() as cursor:
        cursor.execute(
            _TAKE.format(beside=beside or sql.SQL("")), {**parameters, "at": at, "settled": settled}
        )
        ((pk,),) = cursor.fetchall()
    return LedgerMark.objects.get(pk=pk)


@transaction.atomic
def as_of(moment: datetime, *, at: datetime) -> LedgerMark:
    """The mark that answers for a moment, ever after the same one: taken when it is first asked about.

    What was known at the moment is what the mark knows and was recorded by then. Raises Invalid for a moment in the future.
    1 query for a moment that was asked about before.
    """
    if moment > at:
        raise Invalid.of("in_the_future", "That moment has not come yet: choose one up to now.", "/as_of")
    known = AsOf.objects.select_related("mark").filter(moment=moment).first()
    if known is None:
        one_at_a_time("quotas.as_of")
        known, _ = AsOf.objects.select_related("mark").get_or_create(
            moment=moment, defaults={"mark": mark(at=at)}
        )
    return known.mark


def _settled() -> int:
    """The last posting number before which none is in flight; 0 if somebody is posting just now.

    Whoever posts holds the lock of the periods, shared, before taking a number and until the commit: where it can be had
    alone for a moment, every number that was given out is committed or never will be. Nobody waits for that moment.
    """
    with connection.cursor() as cursor:
        alone: Mapping[str, Any] = {"lock": PERIOD_LOCK}
        cursor.execute("SELECT pg_try_advisory_lock(%(lock)s, 0)", alone)
        ((had,),) = cursor.fetchall()
        if not had:
            return 0
        try:
            cursor.execute("SELECT coalesce(pg_sequence_last_value('quotas_posting_id_seq'::regclass), 0)")
            ((last,),) = cursor.fetchall()
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%(lock)s, 0)", alone)
        return int(last)
