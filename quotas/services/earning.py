"""What a close pays: what is earned as now known, less what was paid before. Append-only, safe to ask for twice. RULES 16."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple

from django.db import connection, transaction
from django.db.models import Min, Sum
from psycopg import sql

from config import bulk
from config.refusals import Conflict
from quotas.crediting.earning import drawn, earned
from quotas.models import (
    CloseState,
    Draw,
    EarningEntry,
    EarningKind,
    PayBy,
    Period,
    PeriodClose,
    PeriodState,
    TeamMembership,
)
from quotas.selectors.earning_terms import NO_PLAN, NO_RATE, Months, Pay, Terms, origins_of
from quotas.selectors.earnings import balances
from quotas.selectors.periods import Calendars

COLUMNS: Final = (
    *(
        "close_id",
        "rep_id",
        "kind",
        "plan_id",
        "plan_version_id",
        "measure_id",
        "draw_id",
        "origin_period_id",
    ),
    *("amount_minor", "currency_id", "cost_centre", "worked_out"),
)
# A fact may be recorded a while before its transaction ends: whoever looks for what is new looks back a day further.
OVERLAP: Final = timedelta(days=1)

Key = tuple[int, int, int, int, str]  # rep, plan, measure, month of origin, currency


class Paid(NamedTuple):
    amount: int
    version_id: int


@dataclass(frozen=True, slots=True)
class Reach:
    """Which credit and which months a close looks at.

    posting   Months whose postings count: those up to the close's own, and any later one that is closed already.
    opening   Months that were over before the first close: paid elsewhere, by what had been credited in them.
    """

    months: Months
    month: Period
    posting: Sequence[int]
    opening: frozenset[int]


@transaction.atomic
def post_earnings(*, close: PeriodClose, at: datetime) -> str:
    """Write what a close pays and return the digest for its payments_digest. Asked again, it writes nothing and returns the same.

    Looks at the credit that the close's mark knows, the close's month and every earlier one of the same calendar whose
    credit, quota, plan, assignment, team or rate moved since the close before.
    Raises  Conflict if the close has no mark.
    """
    if close.mark_id is None:
        raise Conflict.of("close_without_mark", f"{close} has no mark: nothing says which postings it knows.")
    reach = _reach(close)
    moved = _moved(close, reach)
    rows = list(_earned(close, reach, moved))
    bulk.copy(EarningEntry, COLUMNS, rows)
    bulk.copy(EarningEntry, COLUMNS, list(_drawn(close, reach)))
    return digest_of(close)


def digest_of(close: PeriodClose) -> str:
    """SHA-256 over the close's earning entries, whatever their order and ids. 1 query."""
    with connection.cursor() as cursor:
        cursor.execute(_DIGEST, {"close": close.pk})
        return str(cursor.fetchone()[0])


_DIGEST: Final = r"""
SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\n' ORDER BY line COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT encode(sha256(convert_to(concat_ws('|', rep_id, kind, coalesce(plan_id::text, '-'), coalesce(plan_version_id::text, '-'),
                 coalesce(measure_id::text, '-'), coalesce(draw_id::text, '-'), origin_period_id, amount_minor, currency_id,
                 cost_centre, worked_out::text), 'UTF8')), 'hex') AS line
          FROM quotas_earningentry WHERE close_id = %(close)s) lines
"""


# --- what a close looks at --------------------------------------------------------------------------------


def _reach(close: PeriodClose) -> Reach:
    """3 queries."""
    month = close.period
    months = Months(month.calendar_id)
    made = PeriodClose.objects.filter(
        period__calendar=month.calendar_id,
        state__in=[CloseState.CLOSING, CloseState.CLOSED, CloseState.REOPENED],
    )
    first = min(made.aggregate(first=Min("period__starts"))["first"] or month.starts, month.starts)
    return Reach(
        months=months,
        month=month,
        posting=[m.pk for m in months.months if m.starts <= month.starts or m.state == PeriodState.CLOSED],
        opening=frozenset(m.pk for m in months.months if m.starts < first),
    )


@dataclass(frozen=True, slots=True)
class Moved:
    """The earliest day from which something is to be worked out again: for everybody, and for single reps."""

    everybody: date
    reps: dict[int, date]


_LATE: Final = """
SELECT e.rep_id, min(p.starts) FROM quotas_creditentry e JOIN quotas_period p ON p.id = e.origin_period_id
 WHERE e.posting_period_id = %(month)s AND e.origin_period_id <> %(month)s GROUP BY 1
"""
# What a rep's pay rests on and was recorded or superseded since the close before: (rep, first day that it is about).
_FACTS: Final = """
SELECT rep_id, greatest(min(coalesce(starts, %(earliest)s)), %(earliest)s) FROM (
  SELECT q.rep_id, p.starts FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
   WHERE q.rep_id IS NOT NULL AND p.calendar_id = %(calendar)s AND (q.recorded_at >= %(since)s OR q.superseded_at >= %(since)s)
  UNION ALL
  SELECT rep_id, lower(effective) FROM quotas_quotarelief
   WHERE recorded_at >= %(since)s OR superseded_at >= %(since)s
  UNION ALL
  SELECT rep_id, lower(effective) FROM quotas_teammembership
   WHERE recorded_at >= %(since)s OR superseded_at >= %(since)s
  UNION ALL
  SELECT coalesce(rep_id, 0), lower(effective) FROM quotas_planassignment
   WHERE recorded_at >= %(since)s OR superseded_at >= %(since)s
  UNION ALL
  SELECT 0, lower(effective) FROM quotas_planversion WHERE published_at >= %(since)s
  UNION ALL
  SELECT 0, lower(f.effective) FROM quotas_fxrate f
   WHERE (f.recorded_at >= %(since)s OR f.superseded_at >= %(since)s)
     AND EXISTS (SELECT 1 FROM quotas_payscale s JOIN quotas_plancomponent c ON c.id = s.component_id
                   JOIN quotas_measure m ON m.id = c.measure_id
                  WHERE s.by = 'amount' AND m.currency_id = f.from_currency_id AND c.currency_id = f.to_currency_id)
) facts WHERE starts IS NULL OR starts < %(ends)s GROUP BY 1
"""


def _moved(close: PeriodClose, reach: Reach) -> Moved:
    """2 queries, 1 more after the first close."""
    month = reach.month
    found: dict[int, date] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LATE, {"month": month.pk})
        found.update(cursor.fetchall())
        since = _known_before(close)
        if since is not None:
            given: dict[str, Any] = {
                "calendar": month.calendar_id,
                "since": since,
                "earliest": reach.months.months[0].starts,
                "ends": month.ends,
            }
            cursor.execute(_FACTS, given)
            for rep, starts in cursor.fetchall():
                found[rep] = min(starts, found.get(rep, starts))
    everybody = min(found.pop(0, month.starts), month.starts)
    return Moved(everybody, {rep: day for rep, day in found.items() if day < everybody})


def _known_before(close: PeriodClose) -> datetime | None:
    """Since when facts are new to this close: from when the one before in the same calendar was approved, or earlier. 1 query."""
    before = (
        PeriodClose.objects.filter(
            period__calendar=close.period.calendar_id,
            state__in=[CloseState.CLOSED, CloseState.REOPENED],
        )
        .exclude(pk=close.pk)
        .order_by("-approved_at")
        .values_list("approved_at", flat=True)
        .first()
    )
    return None if before is None else before - OVERLAP


# --- what is earned ---------------------------------------------------------------------------------------


def _earned(close: PeriodClose, reach: Reach, moved: Moved) -> Iterator[tuple[Any, ...]]:
    """Entries of kind earned: everybody's months that are looked at together, then the earlier ones of those who moved."""
    together = _from(reach, moved.everybody)
    terms = Terms(reach.months, together)
    yield from _differences(close, reach, terms, None, {})
    if moved.reps:
        first = {rep: _from(reach, day)[0].starts for rep, day in moved.reps.items()}
        earlier = [m for m in _from(reach, min(first.values())) if m.starts < together[0].starts]
        if earlier:
            reps = sorted(moved.reps)
            terms = Terms(reach.months, earlier, reps=reps)
            yield from _differences(close, reach, terms, reps, first)


def _from(reach: Reach, day: date) -> list[Period]:
    """The months from the one that holds a day up to the last that counts; never empty."""
    counted = [m for m in reach.months.months if m.pk in set(reach.posting)]
    return [m for m in counted if m.ends > day] or counted[-1:]


def _differences(
    close: PeriodClose, reach: Reach, terms: Terms, reps: Collection[int] | None, first: dict[int, date]
) -> Iterator[tuple[Any, ...]]:
    """One row for each rep, plan, measure, month and currency whose pay is not what was paid.

    reps   Whom it is about; None is everybody.
    first  The first day that is looked at for a rep; all the months asked about where it is missing.
    """
    origins = [m.pk for m in terms.asked]
    paid = _paid(origins, reps)
    needed = origins_of(terms.every_pay)
    credit, before = _credit(close, reach, sorted(needed), sorted(terms.measures), reps)
    who = credit.keys() | {(rep, measure) for rep, _, measure, _, _ in paid}
    starts = {m.pk: m.starts for m in terms.asked}
    fragments: dict[Pay, tuple[str, str]] = {}
    seen: set[Key] = set()
    nothing: dict[int, int] = {}
    for rep, measure in who:
        of_rep = credit.get((rep, measure), nothing)
        since = first.get(rep)
        for month in origins:
            if since is not None and starts[month] < since:
                continue
            for pay in terms.pays(rep, month).get(measure, ()):
                key = (rep, pay.plan_id, measure, month, pay.currency)
                seen.add(key)
                already = paid.get(key)
                posted = already.amount if already else 0
                scale = terms.scale(rep, pay)
                so_far, last = _so_far(of_rep, pay)
                if isinstance(scale, str):
                    if scale == NO_RATE or not posted:
                        continue
                    yield _row(
                        close,
                        terms,
                        key,
                        pay.version_id,
                        -posted,
                        _without(pay.window.name, scale, so_far, posted),
                    )
                    continue
                now, then = earned(so_far, scale), earned(last, scale)
                elsewhere = 0
                if month in reach.opening:
                    known, known_last = _so_far(before.get((rep, measure), nothing), pay)
                    elsewhere = earned(known, scale) - earned(known_last, scale)
                amount = now - then - posted - elsewhere
                if not amount:
                    continue
                head, tail = fragments.get(pay) or fragments.setdefault(pay, _fragment(pay))
                if pay.by == PayBy.ATTAINMENT:
                    tail = f'"worth":[{scale.worth[0]},{scale.worth[1]}],{tail}'
                worked_out = (
                    f'{{{head}"credit":{so_far},"credit_before":{last},"hundred":{scale.hundred},'
                    f'"earned":{now},"earned_before":{then},"paid_before":{posted + elsewhere},'
                    + (f'"paid_elsewhere":{elsewhere},' if elsewhere else "")
                    + f"{tail}}}"
                )
                yield _row(close, terms, key, pay.version_id, amount, worked_out)
    for key, already in paid.items():
        rep, _, measure, month, _ = key
        since = first.get(rep)
        if key in seen or not already.amount or (since is not None and starts[month] < since):
            continue
        so_far = credit.get((rep, measure), nothing).get(month, 0)
        name = reach.months.by_id[month].name
        worked_out = _without(name, NO_PLAN, so_far, already.amount)
        yield _row(close, terms, key, already.version_id, -already.amount, worked_out)


def _row(
    close: PeriodClose, terms: Terms, key: Key, version: int, amount: int, worked_out: str
) -> tuple[Any, ...]:
    rep, plan, measure, month, currency = key
    return (
        *(close.pk, rep, EarningKind.EARNED.value, plan, version, measure, None, month),
        *(amount, currency, terms.cost_centre(rep, month), worked_out),
    )


def _so_far(by_month: dict[int, int], pay: Pay) -> tuple[int, int]:
    """Credit of the window up to the month, and up to the month before it."""
    sums = list(accumulate((by_month.get(month, 0) for month in pay.months), initial=0))
    return sums[-1], sums[-2]


def _fragment(pay: Pay) -> tuple[str, str]:
    """The beginning and the end of what entries of a component keep, as JSON: written once."""
    head = f'"by":{json.dumps(pay.by)},"window":{json.dumps(pay.window.name)},'
    worth = "" if pay.worth is None else f'"worth":[{pay.worth[0]},{pay.worth[1]}],'
    return head, f'{worth}"scale":{json.dumps(pay.kept)}'


def _without(window: str, why: str, credit: int, posted: int) -> str:
    return json.dumps({"window": window, "why": why, "credit": credit, "paid_before": posted})


def _paid(origins: Sequence[int], reps: Collection[int] | None) -> dict[Key, Paid]:
    """What was paid for these months so far, by whichever close. 1 query."""
    statement = sql.SQL(
        "SELECT rep_id, plan_id, measure_id, origin_period_id, currency_id, sum(amount_minor)::bigint, max(plan_version_id)"
        " FROM quotas_earningentry WHERE kind = 'earned' AND origin_period_id = ANY(%(origins)s){} GROUP BY 1, 2, 3, 4, 5"
    ).format(sql.SQL("" if reps is None else " AND rep_id = ANY(%(reps)s)"))
    given: dict[str, Any] = {"origins": list(origins), "reps": None if reps is None else list(reps)}
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return {
            (rep, plan, measure, month, currency): Paid(amount, version)
            for rep, plan, measure, month, currency, amount, version in cursor.fetchall()
        }


Credits = dict[tuple[int, int], dict[int, int]]  # (rep, measure) to month of origin to minor units


def _credit(
    close: PeriodClose,
    reach: Reach,
    origins: Sequence[int],
    measures: Sequence[int],
    reps: Collection[int] | None,
) -> tuple[Credits, Credits]:
    """Restated credit as the close knows it, direct and overlay; and what of it had been posted before the first close. 1 query."""
    if not origins or not measures:
        return {}, {}
    earliest = min(reach.months.by_id[pk].starts for pk in origins)
    posting = [pk for pk in reach.posting if reach.months.by_id[pk].starts >= earliest]
    statement = sql.SQL(
        "SELECT e.rep_id, e.measure_id, e.origin_period_id, sum(e.amount_minor)::bigint,"
        " sum(e.amount_minor) FILTER (WHERE e.posting_period_id = ANY(%(opening)s))::bigint"
        " FROM quotas_creditentry e JOIN quotas_markedposting k ON k.posting_id = e.posting_id"
        " WHERE e.posting_period_id = ANY(%(posting)s) AND k.mark_id <= %(mark)s"
        " AND e.origin_period_id = ANY(%(origins)s) AND e.measure_id = ANY(%(measures)s){} GROUP BY 1, 2, 3"
    ).format(sql.SQL("" if reps is None else " AND e.rep_id = ANY(%(reps)s)"))
    given: dict[str, Any] = {
        "opening": sorted(reach.opening),
        "posting": posting,
        "mark": close.mark_id,
        "origins": list(origins),
        "measures": list(measures),
        "reps": None if reps is None else list(reps),
    }
    found: Credits = {}
    before: Credits = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        for rep, measure, month, amount, known in cursor.fetchall():
            found.setdefault((rep, measure), {})[month] = amount
            if known:
                before.setdefault((rep, measure), {})[month] = known
    return found, before


# --- draws ------------------------------------------------------------------------------------------------


def _drawn(close: PeriodClose, reach: Reach) -> Iterator[tuple[Any, ...]]:
    """Draws and recoveries of the close's month, less what its earlier closes wrote. About 8 queries."""
    month = reach.month
    draws = {
        draw.rep_id: draw
        for draw in Draw.objects.filter(superseded_at=None, effective__contains=month.starts).select_related(
            "rep"
        )
        if draw.rep.left_on is None or draw.rep.left_on > month.starts
    }
    owed = balances(but=month)
    latest = _latest_recoverable(owed)
    posted: dict[tuple[int, str, str], tuple[int, int | None]] = {}
    for rep, currency, kind, of, amount in (
        EarningEntry.objects.filter(kind__in=[EarningKind.DRAW, EarningKind.RECOVERY], origin_period=month)
        .order_by("pk")
        .values_list("rep_id", "currency_id", "kind", "draw_id", "amount_minor")
    ):
        posted[rep, currency, kind] = posted.get((rep, currency, kind), (0, None))[0] + amount, of
    who = {(rep, draw.currency_id) for rep, draw in draws.items()} | owed.keys()
    who |= {(rep, currency) for rep, currency, _ in posted}
    who = _of_calendar(who, month)
    if not who:
        return
    sums = {
        (rep, currency): int(together)
        for rep, currency, together in EarningEntry.objects.filter(
            close__period=month, kind=EarningKind.EARNED, rep__in={rep for rep, _ in who}
        )
        .order_by()
        .values_list("rep_id", "currency_id")
        .annotate(together=Sum("amount_minor"))
    }
    terms = Terms(reach.months, [month], reps={rep for rep, _ in who})
    for rep, currency in sorted(who):
        draw = draws.get(rep)
        amount = draw.amount_minor if draw is not None and draw.currency_id == currency else 0
        made = sums.get((rep, currency), 0)
        balance = owed.get((rep, currency), 0)
        wanted = drawn(made, amount, balance)
        for kind, value, pin in (
            (EarningKind.DRAW, wanted.draw, draw.pk if amount and draw is not None else None),
            (EarningKind.RECOVERY, -wanted.recovery, latest.get((rep, currency))),
        ):
            before, of_before = posted.get((rep, currency, kind.value), (0, None))
            if value == before:
                continue
            worked_out = {
                "earned": made,
                "draw": amount,
                "balance_before": balance,
                "balance": balance + wanted.draw * (draw is None or draw.recoverable) - wanted.recovery,
                "paid_before": before,
            }
            yield (
                *(close.pk, rep, kind.value, None, None, None, of_before or pin, month.pk),
                *(value - before, currency, terms.cost_centre(rep, month.pk), json.dumps(worked_out)),
            )


def _latest_recoverable(owed: Collection[tuple[int, str]]) -> dict[tuple[int, str], int]:
    """(Rep, currency) to the last recoverable draw that paid. 1 query."""
    entries = EarningEntry.objects.filter(
        kind=EarningKind.DRAW, draw__recoverable=True, rep__in={rep for rep, _ in owed}
    )
    return {
        (rep, currency): draw
        for rep, currency, draw in entries.order_by("pk").values_list("rep_id", "currency_id", "draw__id")
    }


def _of_calendar(who: Collection[tuple[int, str]], month: Period) -> set[tuple[int, str]]:
    """Those whose calendar the month is of: a rep has one draw a month, whoever else sells with them. 1 query, 4 where there are several calendars."""
    calendars = Calendars()
    if not calendars.several or not who:
        return set(who)
    members: dict[int, list[TeamMembership]] = defaultdict(list)
    for membership in TeamMembership.objects.filter(rep__in={rep for rep, _ in who}, superseded_at=None):
        members[membership.rep_id].append(membership)
    day = month.ends - timedelta(days=1)
    kept = set()
    for rep, currency in who:
        own = calendars.of_member(members.get(rep, []), day)
        if own is not None and own.pk == month.calendar_id:
            kept.add((rep, currency))
    return kept
