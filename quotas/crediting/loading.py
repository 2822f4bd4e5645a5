"""The first load: whole months of an empty ledger, built beside it and attached. The same entries, totals and reasons as posting, sooner.

Posting pays for every entry in the indexes of a table that others read. A month that holds nothing yet can be built as a
table of its own, indexed once it is full, and put in the place of the empty partition: that takes a moment, all months
at once. It runs as the owner, who alone may make tables, and keeps every posting out until it is done.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from queue import SimpleQueue
from typing import ClassVar, Final

from django.db import OperationalError, connections, transaction

from accounts.models import User
from config.refusals import Conflict, Problem
from quotas.crediting import engine
from quotas.models import FiscalCalendar, Grain, Period, PeriodState, Posting, PostingCount

OWNER: Final = "owner"
LEDGER: Final = "quotas_creditentry"
BUILDING: Final = "quotas_load_"  # a schema for each month that is being built
PATIENCE: Final = "5s"  # how long readers are held back at most, while the swap waits for those before it
TRIES: Final = 12
_counting: Final = threading.Lock()


class PeriodNotLoadable(Conflict):
    """A month that is not open, or that holds credit already."""


# Sums without what comes to nothing, in the order of the totals' key, so that their index is written along its end.
ADDED_UP: Final = """
  select * from (
    select measure_id, team_id, rep_id, sum_minor({direct}) direct, sum_minor({overlay}) overlay
    from {parts} group by measure_id, team_id, rep_id) x
  where direct <> 0 or overlay <> 0 order by measure_id, team_id, rep_id"""


@dataclass(frozen=True)
class _Month:
    id: int
    starts: date
    ends: date
    parts: ClassVar[tuple[int, ...]] = ()

    @property
    def schema(self) -> str:
        return f"{BUILDING}{self.id}"

    @property
    def partition(self) -> str:
        return f"{LEDGER}_p{self.id}"


@dataclass(frozen=True)
class _Sum:
    """A quarter, half or year, and the finer periods of the load that it is the sum of."""

    id: int
    parts: tuple[int, ...]

    @property
    def schema(self) -> str:
        return f"{BUILDING}{self.id}"


def load(
    *,
    starts: date,
    ends: date,
    key: str,
    by: User | None,
    at: datetime,
    reason: str = "",
    sessions: int = 2,
    calendar_id: int | None = None,
) -> engine.Outcome:
    """Credit every deal that closes in [starts, ends), whole months that are open and empty. One posting, as engine.post would make it.

    sessions     How many months are built at a time.
    calendar_id  Whose months; the operator's calendar if none is given. Deals of other calendars are left to these.
    Nothing is written until everything is built; killed before that, it leaves tables behind that the next load removes.
    A refund that closes later is left to the load or posting of its own month.
    Raises PeriodNotLoadable, and PostingKeyReused for a key that came with something else.
    """
    if connections[OWNER].in_atomic_block:
        raise RuntimeError(
            "loading.load commits by itself: other sessions build, and have to see what it did."
        )
    operators = FiscalCalendar.objects.using(OWNER).order_by("pk").values_list("pk", flat=True).first() or 0
    source = engine.BySpan(starts, ends, calendar_id or operators)
    # Named as whoever posts these days of the operator's would name them.
    digest = engine._digest(
        "load", replace(source, calendar_id=None) if source.calendar_id == operators else source
    )
    with _alone():
        if Posting.objects.using(OWNER).filter(key=key).exists():
            return engine._replay(key, digest)
        months = _months(source)
        _refuse_what_is_credited(source, months)
        _clear()
        ((posting_id,),) = _sql("select nextval(pg_get_serial_sequence('quotas_posting', 'id'))")
        with transaction.atomic(using=OWNER):
            _sql("set local idle_in_transaction_session_timeout = 0")  # it waits for what others build
            Posting.objects.using(OWNER).create(
                id=posting_id,
                key=key,
                digest=digest,
                kind="load",
                by_id=by.pk if by else None,
                recorded_at=at,
                reason=reason,
            )
            counts = _build(source, months, posting_id, sessions)
            PostingCount.objects.using(OWNER).bulk_create(
                [PostingCount(posting_id=posting_id, outcome=o, count=c) for o, c in counts.items()]
            )
            _write_reasons(source, months)
            _swap_when_possible(months)  # last, because readers wait from here to the commit
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


def _months(source: engine.BySpan) -> list[_Month]:
    """The months of the calendar that make up the span. Raises PeriodNotLoadable."""
    starts, ends = source.starts, source.ends
    found = list(
        Period.objects.using(OWNER)
        .filter(grain=Grain.MONTH, calendar_id=source.calendar_id, starts__gte=starts, ends__lte=ends)
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
              where v.close_date >= %(starts)s and v.close_date < %(ends)s and d.calendar_id = %(calendar)s limit 1) x""",  # noqa: S608 -- names of ours
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


def _build(source: engine.BySpan, months: Sequence[_Month], posting_id: int, sessions: int) -> Counter[str]:
    """Build every month beside the ledger, and write the totals of each period, in this transaction, as soon as it is built. Returns the outcomes."""
    counts: Counter[str] = Counter()
    jobs: list[tuple[_Month | _Sum, Callable[[], None]]] = [
        (m, partial(_build_month, m, engine.BySpan(m.starts, m.ends, source.calendar_id), posting_id, counts))
        for m in months
    ]
    for total in _coarser(months):
        place = 1 + max(n for n, (earlier, _) in enumerate(jobs) if earlier.id in total.parts)
        jobs.insert(place, (total, partial(_add_up, total)))
    for period in _Builders(jobs, sessions):
        _write_totals(period)
    return counts


class _Builders:
    """Does every job once what it is the sum of is done, so many at a time, each thread in a session of its own.

    Iterating gives each period when it is built; the first failure ends all and is raised.
    """

    def __init__(self, jobs: Sequence[tuple[_Month | _Sum, Callable[[], None]]], sessions: int) -> None:
        self._left = list(jobs)
        self._done: set[int] = set()
        self._changed = threading.Condition()
        self._built: SimpleQueue[_Month | _Sum | BaseException] = SimpleQueue()
        self._expected = len(jobs)
        self._threads = [threading.Thread(target=self._work) for _ in range(min(sessions, len(jobs)))]

    def __iter__(self) -> Iterator[_Month | _Sum]:
        for thread in self._threads:
            thread.start()
        try:
            for _ in range(self._expected):
                built = self._built.get()
                if isinstance(built, BaseException):
                    raise built
                yield built
        finally:
            with self._changed:
                self._left.clear()
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        try:
            while found := self._next():
                period, job = found
                job()
                with self._changed:
                    self._done.add(period.id)
                    self._changed.notify_all()
                self._built.put(period)
        except BaseException as failure:
            self._built.put(failure)
        finally:
            connections[OWNER].close()

    def _next(self) -> tuple[_Month | _Sum, Callable[[], None]] | None:
        """The first job whose parts are done, which is waited for; None when none is left."""
        with self._changed:
            while self._left:
                for n, (period, _) in enumerate(self._left):
                    if self._done.issuperset(period.parts):
                        return self._left.pop(n)
                self._changed.wait()
        return None


def _build_month(month: _Month, deals: engine.BySpan, posting_id: int, counts: Counter[str]) -> None:
    """A month's entries, reasons and totals in tables of their own: filled first, indexed then. Adds its outcomes to *counts*."""
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
            deals,
            "load",
            {**engine._scenarios(None), "posting": posting_id, "month": month.id},
            using=OWNER,
        )
        summed = ADDED_UP.format(
            direct="case receiver_class when 1 then amount_minor else 0 end",
            overlay="case receiver_class when 1 then 0 else amount_minor end",
            parts="built_entry",
        )
        _sql(f"create table built_total as {summed}")
        outcomes = _sql(
            "select 'credited', count(*) from built_entry union all select reason, count(*) from built_reason group by reason"
        )
        for primary, definition in indexes():
            if primary:
                _sql(f"alter table built_entry add {definition}")
            else:
                _sql(f"create index on built_entry using {definition}")
    with _counting:
        counts.update({str(outcome): count for outcome, count in outcomes if count})


def indexes() -> list[tuple[bool, str]]:
    """The ledger's own indexes as its partitions have them: whether it is the primary key, and its definition."""
    found = _sql(
        f"""select i.indisprimary, case when i.indisprimary then pg_get_constraintdef(c.oid)
              else split_part(pg_get_indexdef(i.indexrelid), ' USING ', 2) end
            from pg_index i left join pg_constraint c on c.conindid = i.indexrelid and c.contype = 'p' and c.conrelid = i.indrelid
            where i.indrelid = 'public.{LEDGER}'::regclass"""  # noqa: S608 -- a name of ours
    )
    return [(bool(primary), str(definition)) for primary, definition in found]


def _coarser(months: Sequence[_Month]) -> list[_Sum]:
    """Quarters before halves before years of these months, each with the finer periods that it is the sum of. 1 query."""
    rows = (
        Period.objects.using(OWNER)
        .filter(pk__in=[month.id for month in months])
        .order_by("starts")
        .values_list("pk", "quarter_id", "half_id", "year_id")
    )
    found = []
    for finer, coarser in pairwise(zip(*rows, strict=True)):
        parts: dict[int, dict[int, None]] = {}
        for part, whole in zip(finer, coarser, strict=True):
            parts.setdefault(whole, {})[part] = None
        found += [_Sum(whole, tuple(of)) for whole, of in parts.items()]
    return found


def _add_up(period: _Sum) -> None:
    """The totals of a coarser period, from those of the finer ones."""
    parts = " union all ".join(f"select * from {BUILDING}{part}.built_total" for part in period.parts)  # noqa: S608 -- numbers of ours
    summed = ADDED_UP.format(direct="direct", overlay="overlay", parts=f"({parts}) finer")
    with transaction.atomic(using=OWNER):
        _sql(f"create schema {period.schema}")
        _sql("set local work_mem = '256MB'")
        _sql(f"create table {period.schema}.built_total as {summed}")


def _write_reasons(source: engine.BySpan, months: Sequence[_Month]) -> None:
    _sql(
        """delete from quotas_uncreditedline u using quotas_deal d, quotas_dealversion v
           where d.id = u.deal_id and v.id = d.credited_version_id and v.close_date >= %(starts)s and v.close_date < %(ends)s
             and d.calendar_id = %(calendar)s""",
        source.parameters(),
    )
    for month in months:
        columns = "deal_id, line_no, measure_id, rep_id, reason"
        _sql(
            f"insert into quotas_uncreditedline ({columns}) select {columns} from {month.schema}.built_reason"  # noqa: S608 -- names of ours
        )


def _write_totals(period: _Month | _Sum) -> None:
    """As reported, in key order. Nothing is moved between months: each entry is posted in its own.

    A period that has totals already, such as the year of months that were loaded before, is added to; that costs twice as
    much a row, so the others are written without looking.
    """
    ((kept,),) = _sql(
        "select exists (select from quotas_credittotal where period_id = %(period)s and basis = 1)",
        {"period": period.id},
    )
    adding = (
        """ on conflict (period_id, measure_id, basis, team_id, rep_id)
            do update set direct_minor = t.direct_minor + excluded.direct_minor, overlay_minor = t.overlay_minor + excluded.overlay_minor"""
        if kept
        else ""
    )
    _sql(
        f"""insert into quotas_credittotal as t (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
            select {period.id}, measure_id, 1, team_id, rep_id, direct, overlay from {period.schema}.built_total{adding}"""  # noqa: S608 -- names of ours
    )


def _swap_when_possible(months: Sequence[_Month]) -> None:
    """As often as it takes for those who read the empty partitions to let go of them."""
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(using=OWNER):
                _swap(months)
            break
        except OperationalError as failure:
            if not left or getattr(failure.__cause__, "sqlstate", "") != "55P03":  # lock not available
                raise


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
