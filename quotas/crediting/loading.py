"""The first load: whole months of an empty ledger, built beside it and attached. The same entries, totals and reasons as posting, sooner.

Posting pays for every entry in the indexes of a table that others read. A month that holds nothing yet can be built as a
table of its own, indexed once it is full, and put in the place of the empty partition: that takes a moment, all months
at once. It runs as the owner, who alone may make tables, and keeps every posting out until it is done.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import OperationalError, connections, transaction

from accounts.models import User
from config.refusals import Conflict, Problem
from quotas.crediting import engine
from quotas.models import Grain, Period, PeriodState, Posting, PostingCount

OWNER: Final = "owner"
LEDGER: Final = "quotas_creditentry"
BUILDING: Final = "quotas_load_"  # a schema for each month that is being built
PATIENCE: Final = "5s"  # how long readers are held back at most, while the swap waits for those before it
TRIES: Final = 12


class PeriodNotLoadable(Conflict):
    """A month that is not open, or that holds credit already."""


@dataclass(frozen=True)
class _Month:
    id: int
    starts: date
    ends: date

    @property
    def schema(self) -> str:
        return f"{BUILDING}{self.id}"

    @property
    def partition(self) -> str:
        return f"{LEDGER}_p{self.id}"


def load(
    *,
    starts: date,
    ends: date,
    key: str,
    by: User | None,
    at: datetime,
    reason: str = "",
    sessions: int = 2,
) -> engine.Outcome:
    """Credit every deal that closes in [starts, ends), whole months that are open and empty. One posting, as engine.post would make it.

    sessions  How many months are built at a time.
    Nothing is written until everything is built; killed before that, it leaves tables behind that the next load removes.
    A refund that closes later is left to the load or posting of its own month.
    Raises PeriodNotLoadable, and PostingKeyReused for a key that came with something else.
    """
    if connections[OWNER].in_atomic_block:
        raise RuntimeError(
            "loading.load commits by itself: other sessions build, and have to see what it did."
        )
    source = engine.BySpan(starts, ends)
    with _alone():
        if Posting.objects.using(OWNER).filter(key=key).exists():
            return engine._replay(key, engine._digest("load", source))
        months = _months(starts, ends)
        _refuse_what_is_credited(source, months)
        _clear()
        ((posting_id,),) = _sql("select nextval(pg_get_serial_sequence('quotas_posting', 'id'))")
        _build(months, posting_id, sessions)
        counts = _count(months)
        for left in reversed(range(TRIES)):
            try:
                with transaction.atomic(using=OWNER):
                    Posting.objects.using(OWNER).create(
                        id=posting_id,
                        key=key,
                        digest=engine._digest("load", source),
                        kind="load",
                        by_id=by.pk if by else None,
                        recorded_at=at,
                        reason=reason,
                    )
                    PostingCount.objects.using(OWNER).bulk_create(
                        [PostingCount(posting_id=posting_id, outcome=o, count=c) for o, c in counts.items()]
                    )
                    _write_reasons(source, months)
                    _write_totals(months)
                    _swap(months)  # last, because readers wait from here to the commit
                break
            except OperationalError as failure:
                if not left or getattr(failure.__cause__, "sqlstate", "") != "55P03":  # lock not available
                    raise
        _clear()
    return engine.Outcome(posting_id, counts)


def _sql(text: str, parameters: Mapping[str, object] | None = None) -> list[tuple[int, ...]]:
    return engine._execute(text, parameters or {}, prepare=False, using=OWNER)


@contextmanager
def _alone() -> Iterator[None]:
    """No posting, opening or closing beside it. The lock is the session's: it ends with the session, whatever happens."""
    _sql("select pg_advisory_lock(%(lock)s, 0)", {"lock": engine.PERIOD_LOCK})
    try:
        yield
    finally:
        if connections[OWNER].is_usable():
            _sql("select pg_advisory_unlock(%(lock)s, 0)", {"lock": engine.PERIOD_LOCK})


def _months(starts: date, ends: date) -> list[_Month]:
    """The months that make up the span, of the calendar that the engine reads. Raises PeriodNotLoadable."""
    calendar = (
        Period.objects.using(OWNER)
        .filter(grain=Grain.MONTH, starts__lte=starts, ends__gt=starts)
        .order_by("calendar_id")
        .values_list("calendar_id", flat=True)
        .first()
    )
    found = list(
        Period.objects.using(OWNER)
        .filter(grain=Grain.MONTH, calendar_id=calendar, starts__gte=starts, ends__lte=ends)
        .order_by("starts")
    )
    if not found or found[0].starts != starts or found[-1].ends != ends:
        raise PeriodNotLoadable(
            Problem("not_whole_months", f"{starts} to {ends} is not a row of whole months of the calendar.")
        )
    months = [_Month(p.pk, p.starts, p.ends) for p in found]
    problems = [
        Problem("period_not_open", f"{period.name} is {period.state}: open it, or leave it out.")
        for period in found
        if period.state != PeriodState.OPEN
    ] + [
        Problem("period_not_empty", f"{period.name} holds credit already: post into it instead.")
        for period, month in zip(found, months, strict=True)
        if _sql(f"select exists (select from {month.partition})") != [(False,)]  # noqa: S608 -- a number of ours
    ]
    if problems:
        raise PeriodNotLoadable(*problems)
    return months


def _refuse_what_is_credited(source: engine.BySpan, months: Sequence[_Month]) -> None:
    """A deal that closes in the span, but stands in the ledger of another month, needs a difference and not a load."""
    ((credited,),) = _sql(
        f"""select count(*) from (
              select from {LEDGER} e join quotas_deal d on d.id = e.deal_id join quotas_dealversion v on v.id = d.credited_version_id
              where v.close_date >= %(starts)s and v.close_date < %(ends)s limit 1) x""",  # noqa: S608 -- names of ours
        source.parameters(),
    )
    if credited:
        raise PeriodNotLoadable(
            Problem(
                "deals_credited_elsewhere",
                "Deals of these months have credit in another one: post them instead.",
            )
        )


def _clear() -> None:
    """Remove what a load that was killed has left behind, or what this one no longer needs."""
    for (schema,) in _sql(
        "select nspname::text from pg_namespace where starts_with(nspname, %(prefix)s)", {"prefix": BUILDING}
    ):
        _sql(f"drop schema {schema} cascade")


def _build(months: Sequence[_Month], posting_id: int, sessions: int) -> None:
    """Build every month, the next one by whoever is free; the first failure ends all and is raised."""
    left = list(reversed(months))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while left and not failures:
                _build_month(left.pop(), posting_id)
        except IndexError:  # the other one took the last month
            pass
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections[OWNER].close()

    threads = [threading.Thread(target=work) for _ in range(min(sessions, len(months)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _build_month(month: _Month, posting_id: int) -> None:
    """A month's entries, reasons and totals in tables of their own: filled first, indexed then."""
    with transaction.atomic(using=OWNER):
        _sql(f"create schema {month.schema}")
        _sql(
            f"select set_config('search_path', '{month.schema}, public', true), set_config('maintenance_work_mem', '256MB', true)"
        )
        _sql(f"create table built_entry (like {LEDGER} including defaults including constraints)")
        _sql(f"alter table built_entry add constraint of_its_month check (posting_period_id = {month.id})")
        _sql(
            "create table built_reason (deal_id bigint, line_no smallint, measure_id bigint, rep_id bigint, reason text)"
        )
        engine._run(
            engine.BySpan(month.starts, month.ends),
            "load",
            {**engine._scenarios(None), "posting": posting_id},
            using=OWNER,
        )
        _sql(
            "create table built_total as select measure_id, team_id, rep_id,"
            " sum_minor(case receiver_class when 1 then amount_minor else 0 end) direct,"
            " sum_minor(case receiver_class when 1 then 0 else amount_minor end) overlay"
            " from built_entry group by measure_id, team_id, rep_id"
        )
        for primary, definition in _sql(
            f"""select i.indisprimary, case when i.indisprimary then pg_get_constraintdef(c.oid)
                  else split_part(pg_get_indexdef(i.indexrelid), ' USING ', 2) end
                from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.contype = 'p' and c.conrelid = i.indrelid
                where i.indrelid = 'public.{LEDGER}'::regclass"""  # noqa: S608 -- a name of ours
        ):
            if primary:
                _sql(f"alter table built_entry add {definition}")
            else:
                _sql(f"create index on built_entry using {definition}")


def _count(months: Sequence[_Month]) -> dict[str, int]:
    """Outcomes as a posting counts them."""
    entries = " union all ".join(f"select count(*) n from {m.schema}.built_entry" for m in months)  # noqa: S608
    reasons = " union all ".join(f"select reason from {m.schema}.built_reason" for m in months)  # noqa: S608
    rows = _sql(
        f"select 'credited', sum(n)::bigint from ({entries}) x union all select reason, count(*) from ({reasons}) x group by reason order by 1"  # noqa: S608
    )
    return {str(outcome): count for outcome, count in rows if count}


def _write_reasons(source: engine.BySpan, months: Sequence[_Month]) -> None:
    _sql(
        """delete from quotas_uncreditedline u using quotas_deal d, quotas_dealversion v
           where d.id = u.deal_id and v.id = d.credited_version_id and v.close_date >= %(starts)s and v.close_date < %(ends)s""",
        source.parameters(),
    )
    for month in months:
        columns = "deal_id, line_no, measure_id, rep_id, reason"
        _sql(
            f"insert into quotas_uncreditedline ({columns}) select {columns} from {month.schema}.built_reason"  # noqa: S608 -- names of ours
        )


def _write_totals(months: Sequence[_Month]) -> None:
    """As reported, at every grain, in key order. Nothing is moved between months: each entry is posted in its own."""
    leaves = " union all ".join(f"select {m.id} period_id, * from {m.schema}.built_total" for m in months)  # noqa: S608
    _sql("set local work_mem = '256MB'")
    for grain in ("p.id", "p.quarter_id", "p.half_id", "p.year_id"):
        _sql(
            f"""insert into quotas_credittotal as t (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
                select what >> 16, what & 65535, 1, who >> 32, who & 4294967295, direct, overlay from (
                  select ({grain}::bigint << 16) + l.measure_id what, (l.team_id::bigint << 32) + l.rep_id who,
                    sum_minor(l.direct) direct, sum_minor(l.overlay) overlay
                  from ({leaves}) l join quotas_period p on p.id = l.period_id group by 1, 2
                  having sum_minor(l.direct) <> 0 or sum_minor(l.overlay) <> 0 order by 1, 2) x
                on conflict (period_id, measure_id, basis, team_id, rep_id)
                do update set direct_minor = t.direct_minor + excluded.direct_minor, overlay_minor = t.overlay_minor + excluded.overlay_minor"""  # noqa: S608
        )


def _swap(months: Sequence[_Month]) -> None:
    """Put the tables in the place of the empty partitions, as the ledger's own trigger would have made these."""
    _sql(f"set local lock_timeout = '{PATIENCE}'")
    for month in months:
        _sql(f"drop table {month.partition}")
        _sql(f"alter table {month.schema}.built_entry set schema public")
        _sql(f"alter table built_entry rename to {month.partition}")
        _sql(f"alter table {LEDGER} attach partition {month.partition} for values in ({month.id})")
        _sql(f"alter table {month.partition} drop constraint of_its_month")
        _sql(
            f"create trigger entries_never_truncated before truncate on {month.partition} execute function refuse_change()"
        )
        for (index,) in _sql(
            f"select relname::text from pg_class c join pg_index i on i.indexrelid = c.oid where i.indrelid = '{month.partition}'::regclass"  # noqa: S608
        ):
            _sql(f"alter index {index} rename to {str(index).replace('built_entry', month.partition)}")
