"""What proves a statement: a digest over everything that its close left for a rep, worked out by the database. RULES 15.2.

The canonical text of a statement, form 1, in UTF-8, lines ended by a line feed but the last:

    parity statement 1
    FY27-M01 v1
    rep 17
    entry (id,posting,posting month,origin month,credit date,deal,version,line,rep,team,class,measure,component,rule,rule version,
          plan version,decision,rate,amount,reverses,adjustment)              by id
    total (period,measure,basis,team,direct,overlay)                          by the first four
    quota (period,measure,quota)                                              by the first two
    earning (kind,plan,plan version,measure,draw,origin month,amount,currency,cost centre,how it was worked out)
                                                                              by kind, plan, measure, origin month, currency, draw

Values are ids, days as 2026-07-31, amounts in minor units; empty is nothing; a text is quoted where PostgreSQL quotes one in a
row. Names of people, customers and rules are no part of it: an erased name changes no digest.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.db import connection
from psycopg import sql

from quotas.models import PeriodClose, Statement

FORM: Final = "parity statement 1"

# One row a rep: id, number of entries, digest. Cost: one pass over what is posted in the month, sorted by rep.
_DIGESTS: Final = sql.SQL(
    """
    WITH part AS (
      SELECT e.rep_id::bigint rep_id, 1 place, count(*) entries, true stated,
        string_agg('entry ' || row(e.id, e.posting_id, e.posting_period_id, e.origin_period_id, to_char(e.credit_date, 'YYYY-MM-DD'), e.deal_id,
          e.deal_version_id, e.line_no, e.rep_id, e.team_id, e.receiver_class, e.measure_id, e.component, e.rule_id, e.rule_version_id,
          e.plan_version_id, e.decision_id, e.fx_rate_id, e.amount_minor, e.reverses_id, e.adjustment_id)::text, E'\\n' ORDER BY e.id) body
        FROM quotas_creditentry e JOIN quotas_markedposting m ON m.posting_id = e.posting_id
       WHERE e.posting_period_id = %(month)s AND m.mark_id <= %(mark)s {of_entry} GROUP BY e.rep_id
      UNION ALL
      SELECT t.rep_id, 2, 0, bool_or(t.period_id = %(quarter)s),
        string_agg('total ' || row(t.period_id, t.measure_id, t.basis, t.team_id, t.direct_minor, t.overlay_minor)::text, E'\\n'
          ORDER BY t.period_id, t.measure_id, t.basis, t.team_id)
        FROM quotas_closedtotal t WHERE t.close_id = %(close)s {of_total} GROUP BY t.rep_id
      UNION ALL
      SELECT q.rep_id, 3, 0, true,
        string_agg('quota ' || row(q.period_id, q.measure_id, q.quota_minor)::text, E'\\n' ORDER BY q.period_id, q.measure_id)
        FROM quotas_closedquota q WHERE q.close_id = %(close)s AND q.rep_id IS NOT NULL {of_quota} GROUP BY q.rep_id
      UNION ALL
      SELECT p.rep_id, 4, 0, true,
        string_agg('earning ' || row(p.kind, p.plan_id, p.plan_version_id, p.measure_id, p.draw_id, p.origin_period_id, p.amount_minor,
          p.currency_id, p.cost_centre, p.worked_out)::text, E'\\n'
          ORDER BY p.kind COLLATE "C", p.plan_id, p.measure_id, p.origin_period_id, p.currency_id COLLATE "C", p.draw_id)
        FROM quotas_earningentry p WHERE p.close_id = %(close)s {of_earning} GROUP BY p.rep_id)
    SELECT rep_id, sum(entries)::int entries,
      encode(sha256(convert_to(%(head)s || rep_id || E'\\n' || string_agg(body, E'\\n' ORDER BY place), 'UTF8')), 'hex') digest
      FROM part GROUP BY rep_id HAVING bool_or(stated)
    """
)


class Worked(NamedTuple):
    """A rep's digest worked out again."""

    rep_id: int
    entries: int
    digest: str


class Wrong(NamedTuple):
    """A statement that does not hold: issued is empty where there ought to be one, now where there ought to be none."""

    rep_id: int
    issued: str
    now: str


def digests_sql(
    close: PeriodClose, *, reps: Iterable[int] | None = None
) -> tuple[sql.Composed, dict[str, Any]]:
    """The statement above and its parameters: of every rep of a close, or of some."""
    some = sql.SQL("AND {}.rep_id = ANY(%(reps)s::bigint[])")
    of = {
        name: sql.SQL("") if reps is None else some.format(sql.SQL(alias))
        for name, alias in (("of_entry", "e"), ("of_total", "t"), ("of_quota", "q"), ("of_earning", "p"))
    }
    if close.mark_id is None:
        raise ValueError("A close that has frozen nothing has no statements.")
    return _DIGESTS.format(**of), {
        "month": close.period_id,
        "quarter": close.period.quarter_id,
        "mark": close.mark_id,
        "close": close.pk,
        "head": f"{FORM}\n{close.period.name} v{close.version}\nrep ",
        **({} if reps is None else {"reps": list(reps)}),
    }


def worked_out(close: PeriodClose, *, reps: Iterable[int] | None = None) -> dict[int, Worked]:
    """By rep, out of the ledger and the frozen tables as they are now. 1 query."""
    text, given = digests_sql(close, reps=reps)
    with connection.cursor() as cursor:
        cursor.execute(text, given)
        return {row[0]: Worked(*row) for row in cursor.fetchall()}


def together(digests: Iterable[tuple[int, str]]) -> str:
    """SHA-256 over the digests of a close's statements, in the order of the reps' ids, a line each."""
    found = hashlib.sha256()
    for at, (_rep, digest) in enumerate(sorted(digests)):
        found.update(f"{chr(10) if at else ''}{digest}".encode())
    return found.hexdigest()


def digest_of(close: PeriodClose) -> str:
    """What close.statements_digest has to be, recomputed from the ledger and the frozen tables. 1 query."""
    return together((each.rep_id, each.digest) for each in worked_out(close).values())


def wrong(close: PeriodClose, limit: int = 10) -> list[Wrong]:
    """Statements whose digest no longer holds, are missing, or are too many, by rep. 2 queries."""
    now = {each.rep_id: each.digest for each in worked_out(close).values()}
    issued = dict(Statement.objects.filter(close=close).values_list("rep_id", "digest"))
    found = [
        Wrong(rep, issued.get(rep, ""), now.get(rep, ""))
        for rep in sorted(now.keys() | issued.keys())
        if issued.get(rep) != now.get(rep)
    ]
    return found[:limit]


def holds(statement: Statement) -> bool:
    """Whether the statement is proved by what the ledger and the frozen tables say now. 1 query."""
    now = worked_out(statement.close, reps=[statement.rep_id]).get(statement.rep_id)
    return now is not None and now.digest == statement.digest
