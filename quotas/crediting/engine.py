"""The one engine: three sources of lines, one body, three sinks.

Live approval, batch recredit, what-if, the estimator and the proof all run desired.sql. A source is a list of deals, a
span of credit dates or deals that are not saved; a sink returns what is desired, posts the difference to the ledger or
compares two sets of plan versions. How amounts come about is said in quotas/RULES.md.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar, NamedTuple

import psycopg
from django.db import IntegrityError, connection

from accounts.models import User
from config.refusals import Conflict, Problem
from quotas.models import Posting, PostingCount, SalesRole

SQL = Path(__file__).parent / "sql"
A_FEW = 200  # up to so many deals, look-ups by index beat passes over whole tables
PERIOD_LOCK = 0x50455249  # class of the advisory lock that close takes exclusively and every posting shares


class PostingKeyReused(Conflict):
    """The same key came with other content."""


class NoOpenPeriod(Conflict):
    """A correction has to be posted, and no open period can take it."""


@dataclass(frozen=True)
class ByDeal:
    """Deals by id. Those that are not approved are wanted to net to zero."""

    deals: Sequence[int]
    lines: ClassVar[str] = "lines_by_deal"

    @property
    def few(self) -> bool:
        return len(self.deals) <= A_FEW

    def parameters(self) -> dict[str, Any]:
        return {"deals": sorted(set(self.deals))}


@dataclass(frozen=True)
class BySpan:
    """Deals whose credited version closes in [starts, ends)."""

    starts: date
    ends: date
    lines: ClassVar[str] = "lines_by_span"
    few: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        return {"starts": self.starts, "ends": self.ends}


@dataclass(frozen=True)
class Unsaved:
    """Deals that are not saved, as dicts in the shape of lines_from_json.sql; ids count from 1."""

    deals: Sequence[Mapping[str, Any]]
    lines: ClassVar[str] = "lines_from_json"
    few: ClassVar[bool] = True

    def parameters(self) -> dict[str, Any]:
        return {"document": json.dumps(list(self.deals), default=str)}


Source = ByDeal | BySpan | Unsaved
SINKS = {
    "return": ("return",),
    "post": ("difference", "post"),
    "preview": ("difference", "preview"),
    "compare": ("compare",),
    "twin": ("twin",),
}


class Desired(NamedTuple):
    """One entry that ought to stand. Amounts in minor units of the measure; the rest are ids and pins."""

    deal_id: int
    version_id: int
    line_no: int
    rep_id: int
    team_id: int
    credit_date: date
    period_id: int
    posting_period_id: int
    fx_rate_id: int | None
    decision_id: int
    measure_id: int
    plan_version_id: int
    rule_id: int
    rule_version_id: int
    component: int
    receiver_class: int
    amount: int


class Uncredited(NamedTuple):
    """Why something earns nothing; an empty measure or rep means all of them."""

    deal_id: int
    line_no: int
    measure_id: int | None
    rep_id: int | None
    reason: str


class Move(NamedTuple):
    """What a rep would have in a measure and month under one set of plan versions and under another."""

    measure_id: int
    period_id: int
    team_id: int
    rep_id: int
    before: int
    after: int


class DealMove(NamedTuple):
    """What stands for a deal in a measure, and what would."""

    measure_id: int
    deal_id: int
    before: int
    after: int


@dataclass(frozen=True)
class Preview:
    """What a posting would change. deals holds the 200 that move most; counts are by outcome, as the posting would give them."""

    standings: list[Move]
    deals: list[DealMove]
    counts: Mapping[str, int]


class Twin(NamedTuple):
    """What the parity proof compares a line's offering with.

    kind        origin: unknown to every rule by name, publisher and family, of the other commercial path. path: the other
                commercial path alone. publisher: of the other one of two publishers.
    publishers  The two ids, for publisher.
    """

    kind: str
    publishers: tuple[int, int] | None = None


class Unequal(NamedTuple):
    """A line that would not earn for its twin what it earns. own_by, twin_by: lists of [rule_version_id, component, amount]."""

    deal_id: int
    line_no: int
    measure_id: int
    receiver_class: int
    rep_id: int
    own: int
    twin: int
    own_by: list[list[int]]
    twin_by: list[list[int]]


@dataclass(frozen=True)
class TwinReport:
    """The lines that were looked at, how many entitlements differ from their twin's, and the ones that differ most."""

    lines: int
    differing: int
    unequal: list[Unequal]


@dataclass(frozen=True)
class Outcome:
    """What a posting came to: entries credited, reversed, unchanged, and reasons for missing credit, by name."""

    posting_id: int
    counts: Mapping[str, int]
    replayed: bool = False


@cache
def statement(lines: str, sink: str) -> str:
    """The SQL of one source, the body and one sink."""
    return "with " + "\n".join((SQL / f"{name}.sql").read_text() for name in (lines, "desired", *SINKS[sink]))


def desired(
    source: Source, *, plan_versions: Sequence[int] | None = None
) -> tuple[list[Desired], list[Uncredited]]:
    """What ought to stand for these deals, and why not for the rest. Nothing is written.

    plan_versions  Ids of the versions to credit under; None means those that are published.
    """
    rows = _run(source, "return", _scenarios(plan_versions))
    return (
        [Desired(*row[:-1]) for row in rows if row[-1] is None],
        [Uncredited(row[0], row[2], row[10], row[3], row[-1]) for row in rows if row[-1] is not None],
    )


def compare(source: Source, *, before: Sequence[int], after: Sequence[int]) -> list[Move]:
    """What would move if *after* were the plan versions instead of *before*. Nothing is written."""
    return [Move(*row) for row in _run(source, "compare", _scenarios(before, after))]


def preview(source: ByDeal | BySpan) -> Preview:
    """What post() would change, by standing, by deal and by outcome. Nothing is written.

    Called in a savepoint after a fact was changed, it tells what the change would do; the savepoint is then rolled back.
    """
    rows = _run(source, "preview", _scenarios(None))
    return Preview(
        standings=[Move(*row[1:5], *row[7:9]) for row in rows if row[0] == "standing"],
        deals=[DealMove(row[1], row[5], *row[7:9]) for row in rows if row[0] == "deal"],
        counts={row[6]: row[8] for row in rows if row[0] == "count"},
    )


def twins(source: Source, *, twin: Twin, plan_versions: Sequence[int], most: int = 500) -> TwinReport:
    """What every line earns under these plan versions, against what its twin would. Nothing is written.

    most  How many of the lines that differ are told, the largest differences first.
    """
    *unequal, (_, _, _, _, _, lines, differing, _, _) = _run(
        source,
        "twin",
        {
            **_scenarios(plan_versions, plan_versions),
            "twin": twin.kind,
            "twin_publishers": list(twin.publishers) if twin.publishers else None,
            "most": most,
        },
    )
    return TwinReport(lines, differing, [Unequal(*row) for row in unequal])


def post(
    source: ByDeal | BySpan, *, key: str, kind: str, by: User | None, at: datetime, reason: str = ""
) -> Outcome:
    """Write the difference between what is desired and what the ledger nets to, for these deals, in this transaction.

    key    Names the intention. The same key again writes nothing and returns the first outcome.
    Raises PostingKeyReused for a key that came with other deals, NoOpenPeriod where a correction has no place to go.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("engine.post belongs in the transaction of the facts that it credits.")
    lock(source)
    digest = hashlib.sha256(json.dumps([kind, source.parameters()], default=str).encode()).hexdigest()
    posting_id = _claim(key=key, digest=digest, kind=kind, by=by, at=at, reason=reason)
    if posting_id is None:
        return _replay(key, digest)
    try:
        rows = _run(source, "post", {**_scenarios(None), "posting": posting_id})
    except IntegrityError as failure:
        if "posting_period_id" in str(failure):
            raise NoOpenPeriod(
                Problem(
                    "no_open_period",
                    "The correction has no open period to go to: open the next month, then try again.",
                )
            ) from failure
        raise
    counts: dict[str, int] = dict(rows)
    PostingCount.objects.bulk_create(
        [PostingCount(posting_id=posting_id, outcome=o, count=c) for o, c in counts.items()]
    )
    return Outcome(posting_id, counts)


def lock(source: ByDeal | BySpan) -> None:
    """Take this transaction's locks in the one order everybody keeps: the periods, shared; then the deals with their refunds and originals, by id.

    Totals are locked last, by the posting statement, in key order with coarser grains last.
    """
    _execute("select pg_advisory_xact_lock_shared(%(lock)s, 0)", {"lock": PERIOD_LOCK}, prepare=False)
    if isinstance(source, ByDeal):
        text = """
            with asked as materialized (select unnest(%(deals)s::bigint[]) id),
            root as materialized (
              select distinct coalesce(v.refunds_id, d.id) id from asked a join quotas_deal d on d.id = a.id
              join quotas_dealversion v on v.id = coalesce(d.credited_version_id, d.latest_version_id))
            select id from quotas_deal where id in (
              select id from asked union select id from root
              union select v.deal_id from root r join quotas_dealversion v on v.refunds_id = r.id) order by id for update"""
    else:
        text = """
            with asked as materialized (
              select d.id, coalesce(v.refunds_id, d.id) root_id from quotas_deal d join quotas_dealversion v on v.id = d.credited_version_id
              where v.close_date >= %(starts)s and v.close_date < %(ends)s)
            select id from quotas_deal where id in (
              select id from asked union select root_id from asked
              union select v.deal_id from quotas_dealversion v where v.refunds_id in (select root_id from asked)) order by id for update"""
    _execute(text, source.parameters(), prepare=False)


def lock_periods_exclusively() -> None:
    """What opening and closing take: waits for every posting in flight, and holds back new ones until the end."""
    _execute("select pg_advisory_xact_lock(%(lock)s, 0)", {"lock": PERIOD_LOCK}, prepare=False)


def _claim(*, key: str, digest: str, kind: str, by: User | None, at: datetime, reason: str) -> int | None:
    """The id of a new posting, or None where the key was used before. Waits for one that is being written."""
    rows = _execute(
        "insert into quotas_posting (key, digest, kind, by_id, recorded_at, reason)"
        " values (%(key)s, %(digest)s, %(kind)s, %(by)s, %(at)s, %(reason)s) on conflict (key) do nothing returning id",
        {"key": key, "digest": digest, "kind": kind, "by": by.pk if by else None, "at": at, "reason": reason},
        prepare=False,
    )
    return rows[0][0] if rows else None


def _replay(key: str, digest: str) -> Outcome:
    first = Posting.objects.get(key=key)
    if first.digest != digest:
        raise PostingKeyReused(
            Problem("posting_key_reused", f"The posting key {key} was used for something else.")
        )
    return Outcome(first.pk, dict(first.counts.values_list("outcome", "count")), replayed=True)


def _scenarios(first: Sequence[int] | None, second: Sequence[int] | None = None) -> dict[str, Any]:
    """Plan versions and the scenario that each belongs to; none at all means: those that are published."""
    if first is None:
        return {"plan_versions": None, "scenarios": None}
    pairs = [(version, 1) for version in first] + [(version, 2) for version in second or ()]
    return {
        "plan_versions": [version for version, _ in pairs],
        "scenarios": [scenario for _, scenario in pairs],
    }


def _run(source: Source, sink: str, parameters: Mapping[str, Any]) -> list[Any]:
    common = {"roles": SalesRole.values, "twin": None, "twin_publishers": None, "many": not source.few}
    with _planned(few=source.few):
        return _execute(
            statement(source.lines, sink),
            {**source.parameters(), **common, **parameters},
            prepare=source.few,
        )


_FEW = {"plan_cache_mode": "force_generic_plan", "enable_nestloop": "on", "jit": "off"}
_MANY = {"plan_cache_mode": "force_custom_plan", "enable_nestloop": "off", "jit": "off", "work_mem": "256MB"}


@contextmanager
def _planned(*, few: bool) -> Iterator[None]:
    """Plan for look-ups (a generic plan, made once) or for passes over tables, for this statement alone.

    A generic plan saves two thirds of a live posting's time; without nested loops a batch is not fooled by estimates.
    """
    wanted = _FEW if few else _MANY
    local = connection.in_atomic_block
    (before,) = _execute(
        "select "
        + ", ".join(f"current_setting('{name}')" for name in wanted)
        + ", "
        + ", ".join(f"set_config('{name}', '{value}', {local})" for name, value in wanted.items()),
        {},
        prepare=False,
    )
    yield
    _execute(
        "select "
        + ", ".join(
            f"set_config('{name}', '{old}', {local})" for name, old in zip(wanted, before, strict=False)
        ),
        {},
        prepare=False,
    )


def _execute(text: str, parameters: Mapping[str, Any], *, prepare: bool) -> list[Any]:
    """Run on Django's connection with parameters bound by the server, so that a plan can be kept; seen by query logging."""
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    raw = connection.connection
    started = monotonic()
    threshold = raw.prepare_threshold
    try:
        with connection.wrap_database_errors, psycopg.Cursor(raw) as cursor:
            if prepare:
                raw.prepare_threshold = 1
            cursor.execute(text, parameters, prepare=prepare)
            return cursor.fetchall() if cursor.description else []
    finally:
        raw.prepare_threshold = threshold
        if connection.queries_logged:
            connection.queries_log.append({"sql": text, "time": f"{monotonic() - started:.3f}"})
