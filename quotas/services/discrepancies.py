"""Numbers that moved after somebody had been shown them: what each was, what it is, and which posting moved it. RULES 13.

Each posting that may move such a number promises to look, in its own transaction; the looking is done by the outbox.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction

from accounts.audit import acting
from accounts.models import User
from config.clock import day_of
from config.outbox import promise
from config.refusals import NotFound
from quotas.crediting.engine import Outcome
from quotas.models import Discrepancy, Posting
from quotas.selectors.discrepancies import own_discrepancies

MOVED: Final = "quotas.numbers_moved"

# One row a rep, measure and origin month whose credit the posting changed and that had been shown: of a month that was closed then (so that
# something was posted later than it belongs) or had been closed once, or, by a recredit, of one that has begun. Before and after count what was posted up to this posting, so that looking later finds the same.
# Cost: the posting's entries, by deal, by adjustment or by the range of their ids; then those of the reps that moved, by index.
_FOUND: Final = """
WITH posted AS MATERIALIZED (
  SELECT e.rep_id, e.measure_id, e.origin_period_id, sum(e.amount_minor)::bigint AS change, bool_or(e.posting_period_id <> e.origin_period_id) AS later
  FROM quotas_creditentry e
  WHERE e.posting_id = %(posting)s AND {which}
  GROUP BY e.rep_id, e.measure_id, e.origin_period_id HAVING sum(e.amount_minor) <> 0),
shown AS MATERIALIZED (
  SELECT x.* FROM posted x JOIN quotas_period p ON p.id = x.origin_period_id
  WHERE x.later
    OR EXISTS (SELECT FROM quotas_periodclose c WHERE c.period_id = p.id AND c.state IN ('closed', 'reopened') AND c.ended_at <= %(posted_at)s)
    OR %(recredit)s AND p.starts <= %(today)s::date),
now AS (
  SELECT s.rep_id, s.measure_id, s.origin_period_id, s.change, sum(e.amount_minor)::bigint AS amount
  FROM shown s JOIN quotas_creditentry e
    ON e.rep_id = s.rep_id AND e.measure_id = s.measure_id AND e.origin_period_id = s.origin_period_id AND e.posting_id <= %(posting)s
  GROUP BY s.rep_id, s.measure_id, s.origin_period_id, s.change)
INSERT INTO quotas_discrepancy (posting_id, rep_id, measure_id, period_id, shown_minor, now_minor, made_at)
SELECT %(posting)s, rep_id, measure_id, origin_period_id, amount - change, amount, %(at)s FROM now
ORDER BY rep_id, measure_id, origin_period_id
ON CONFLICT (posting_id, rep_id, measure_id, period_id) DO NOTHING
"""
# A cap is the original's and its refunds' together: what is posted for one can move the others.
_BY_DEAL: Final = """e.deal_id IN (
    SELECT unnest(%(deals)s::bigint[])
    UNION SELECT v.refunds_id FROM quotas_dealversion v WHERE v.deal_id = ANY(%(deals)s) AND v.refunds_id IS NOT NULL
    UNION SELECT r.deal_id FROM quotas_dealversion r WHERE r.refunds_id = ANY(%(deals)s) OR r.refunds_id IN (
      SELECT v.refunds_id FROM quotas_dealversion v WHERE v.deal_id = ANY(%(deals)s)))"""
_BY_ADJUSTMENT: Final = "e.adjustment_id = ANY(%(adjustments)s)"
_BY_ID: Final = "e.id > %(after)s AND e.id <= %(last)s AND e.posting_period_id IN (SELECT id FROM quotas_period WHERE grain = 'M')"

# One line for each rep who logs in, once for each run or posting.
_TOLD: Final = """
INSERT INTO accounts_notification (user_id, key, text, url, created_at)
SELECT r.user_id, %(key)s, CASE count(*) WHEN 1 THEN 'A number of yours moved' ELSE count(*) || ' numbers of yours moved' END || ': ' || %(why)s,
  '/quotas/discrepancies/', %(at)s
FROM quotas_discrepancy d JOIN quotas_rep r ON r.id = d.rep_id JOIN accounts_user u ON u.id = r.user_id AND u.is_active
WHERE d.posting_id = %(posting)s
GROUP BY r.user_id
ON CONFLICT (user_id, key) DO NOTHING
"""


def follow(
    outcome: Outcome,
    *,
    at: datetime,
    deals: Sequence[int] = (),
    adjustments: Sequence[int] = (),
    between: tuple[int, int] | None = None,
) -> None:
    """Promise to look at what a posting moved, in its transaction; nothing where it wrote nothing. 1 query.

    deals, adjustments  What it was about; between: or the ids that its entries lie between, the first excluded.
    """
    if outcome.replayed or not (outcome.counts.get("credited") or outcome.counts.get("reversed")):
        return
    promise(
        topic=MOVED,
        key=f"moved:{outcome.posting_id}",
        payload={
            "posting_id": outcome.posting_id,
            "deals": sorted(set(deals)),
            "adjustments": sorted(set(adjustments)),
            "between": list(between) if between is not None else None,
        },
        at=at,
    )


def look(payload: dict[str, Any], at: datetime) -> int:
    """Write down what moved and tell whose it is. How many were found; looking again finds nothing. 3 queries."""
    posting = Posting.objects.get(pk=payload["posting_id"])
    between = payload["between"] or [0, 0]
    which = _BY_DEAL if payload["deals"] else _BY_ADJUSTMENT if payload["adjustments"] else _BY_ID
    with connection.cursor() as cursor:
        cursor.execute(
            _FOUND.format(which=which),
            {
                "posting": posting.pk,
                "deals": payload["deals"],
                "adjustments": payload["adjustments"],
                "after": between[0],
                "last": between[1],
                "recredit": posting.kind == "recredit",
                "today": day_of(posting.recorded_at),
                "posted_at": posting.recorded_at,
                "at": at,
            },
        )
        found = cursor.rowcount
        if found:
            cursor.execute(
                _TOLD,
                {"posting": posting.pk, "key": _told_once(posting), "why": _why(posting)[:200], "at": at},
            )
    return int(found)


def _told_once(posting: Posting) -> str:
    """A recredit run posts in parts, and is one event for whoever reads of it."""
    parts = posting.key.split(":")
    return f"moved:{':'.join(parts[:2])}" if posting.kind == "recredit" else f"moved:{posting.pk}"


def _why(posting: Posting) -> str:
    reason = posting.reason.strip()
    return reason or posting.get_kind_display().lower()


@transaction.atomic
def mark_seen(*, discrepancy_ids: Sequence[int], by: User, at: datetime) -> int:
    """Say that one has seen them; only one's own. How many were new. Raises NotFound where one of them is not the person's."""
    acting(by=by, at=at)
    wanted = set(discrepancy_ids)
    mine = own_discrepancies(by).filter(pk__in=wanted)
    if mine.count() < len(wanted):
        raise NotFound.of("unknown_discrepancy", "There is no such number of yours.")
    return Discrepancy.objects.filter(pk__in=wanted, seen_at=None).update(seen_by=by, seen_at=at)
