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
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connection, connections

from accounts.models import User
from config.refusals import Conflict, Problem
from quotas.models import DealKind, Posting, SalesRole

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
    """Deals whose credited version closes in [starts, ends), of every fiscal calendar or of one."""

    starts: date
    ends: date
    calendar_id: int | None = None
    lines: ClassVar[str] = "lines_by_span"
    few: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        return {"starts": self.starts, "ends": self.ends, "calendar": self.calendar_id}


@dataclass(frozen=True)
class Unsaved:
    """Deals that are not saved, as dicts in the shape of lines_from_json.sql; ids count from 1."""

    deals: Sequence[Mapping[str, Any]]
    lines: ClassVar[str] = "lines_from_json"
    few: ClassVar[bool] = True

    def parameters(self) -> dict[str, Any]:
        return {"document": json.dumps(list(self.deals), default=str)}


@dataclass(frozen=True)
class Combinations:
    """Nothing sold: every combination that rules can tell apart in [starts, ends), for the parity proof alone.

    segments, regions  Those that rules name; the empty one, which is always there, stands for all others.
    """

    starts: date
    ends: date
    segments: Sequence[str]
    regions: Sequence[str]
    lines: ClassVar[str] = "lines_by_combination"
    few: ClassVar[bool] = False

    def parameters(self) -> dict[str, Any]:
        return {
            "starts": self.starts,
            "ends": self.ends,
            "kinds": DealKind.values,
            "segments": ["", *sorted(set(self.segments) - {""})],
            "regions": ["", *sorted(set(self.regions) - {""})],
        }


Source = ByDeal | BySpan | Unsaved | Combinations
SINKS = {
    "return": ("return",),
    "post": ("difference", "write", "post", "told"),
    "preview": ("difference", "preview"),
    "compare": ("compare",),
    "twin": ("twin",),
    "combinations": ("combinations",),
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


class RuleMove(NamedTuple):
    """What a rule would give in a measure and month of origin on either side."""

    measure_id: int
    period_id: int
    rule_id: int
    before: int
    after: int


class OfferingMove(NamedTuple):
    """What an offering would bring in a measure and month of origin on either side."""

    measure_id: int
    period_id: int
    offering_id: int
    before: int
    after: int


@dataclass(frozen=True)
class Comparison:
    """What differs between two sets of plan versions: the same difference by standing, by rule and by offering, in no order."""

    standings: list[Move]
    rules: list[RuleMove]
    offerings: list[OfferingMove]


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
    """What one receiver would not earn on a line of its twin as on the line. own_by, twin_by: lists of [rule_version_id, amount]."""

    deal_id: int
    line_no: int
    measure_id: int
    receiver_class: int
    rep_id: int
    offering_id: int
    credit_date: date
    rules: list[int]
    own: int
    twin: int
    own_by: list[list[int]]
    twin_by: list[list[int]]


class UnequalLines(NamedTuple):
    """Lines of one measure, offering and day to which the same rule versions give another amount than to their twins; lines as (deal, line number)."""

    measure_id: int
    offering_id: int
    credit_date: date
    rules: list[int]
    lines: list[tuple[int, int]]
    own: int
    twin: int


@dataclass(frozen=True)
class TwinReport:
    """How many lines were looked at, all that differ in what they earn, and of each sort the entitlements that differ most."""

    lines: int
    unequal: list[UnequalLines]
    shown: list[Unequal]


class CombinationClass(NamedTuple):
    """Offerings that, from a day on, the same rules match and whose twins the same rules match."""

    day: date
    offerings: list[int]
    plan_id: int


class UnequalRules(NamedTuple):
    """From a day on, combinations in which an offering and its twin meet other rules; ids are of rule versions.

    example  A combination that shows it: kind, segment, region, role, receiver_class, territories; empty texts stand for any other.
    """

    day: date
    of: CombinationClass
    measure_id: int
    combinations: int
    own_winner: int | None
    twin_winner: int | None
    own_spiffs: list[int]
    twin_spiffs: list[int]
    example: Mapping[str, Any]


@dataclass(frozen=True)
class CombinationReport:
    """How many offerings (with each of their plans) and combinations were evaluated, and those in which other rules are met."""

    offerings: int
    combinations: int
    unequal: list[UnequalRules]


@dataclass(frozen=True)
class Outcome:
    """What a posting came to: entries credited, reversed, unchanged, and reasons for missing credit, by name."""

    posting_id: int
    counts: Mapping[str, int]
    replayed: bool = False


@cache
def statement(lines: str, sink: str) -> str:
    """The SQL of one source, the body and one sink."""
    return "with " + "\n".join(
        (SQL / f"{name}.sql").read_text() for name in (lines, "desired", *SINKS.get(sink, (sink,)))
    )


def desired(
    source: ByDeal | BySpan | Unsaved, *, plan_versions: Sequence[int] | None = None
) -> tuple[list[Desired], list[Uncredited]]:
    """What ought to stand for these deals, and why not for the rest. Nothing is written.

    plan_versions  Ids of the versions to credit under; None means those that are published.
    """
    rows = _run(source, "return", _scenarios(plan_versions))
    return (
        [Desired(*row[:-1]) for row in rows if row[-1] is None],
        [Uncredited(row[0], row[2], row[10], row[3], row[-1]) for row in rows if row[-1] is not None],
    )


def compare(source: ByDeal | BySpan | Unsaved, *, before: Sequence[int], after: Sequence[int]) -> Comparison:
    """What would move if *after* were the plan versions instead of *before*. Nothing is written.

    A rule that says the same in a version of either side is the same rule; its lines are worked out once.
    """
    rows = _run(source, "compare", {**_scenarios(before, after), "together": True})
    return Comparison(
        standings=[Move(*row[:4], *row[6:]) for row in rows if row[3] is not None],
        rules=[RuleMove(row[0], row[1], row[4], row[6], row[7]) for row in rows if row[4] is not None],
        offerings=[OfferingMove(*row[:2], *row[5:]) for row in rows if row[5] is not None],
    )


def preview(source: ByDeal | BySpan) -> Preview:
    """What post() would change, by standing, by deal and by outcome. Nothing is written.

    Called in a savepoint after a fact was changed, it tells what the change would do; the savepoint is then rolled back.
    """
    rows = _run(source, "preview", {**_scenarios(None), "look_up": _looks_up(source)})
    return Preview(
        standings=[Move(*row[1:5], *row[7:9]) for row in rows if row[0] == "standing"],
        deals=[DealMove(row[1], row[5], *row[7:9]) for row in rows if row[0] == "deal"],
        counts={row[6]: row[8] for row in rows if row[0] == "count"},
    )


def twins(
    source: ByDeal | BySpan | Unsaved, *, twin: Twin, plan_versions: Sequence[int], most: int = 25
) -> TwinReport:
    """What every line earns under these plan versions, against what its twin would. Nothing is written.

    most  How many entitlements are shown of each measure and set of rules, the largest differences first.
    """
    unequal: list[UnequalLines] = []
    shown: list[Unequal] = []
    lines = 0
    for (
        what,
        measure,
        offering,
        day,
        rules,
        marks,
        n,
        own,
        twins_own,
        deal,
        line,
        receiver,
        rep,
        by,
        twin_by,
    ) in _run(source, "twin", {**_scenarios(plan_versions, plan_versions), **_twin(twin), "most": most}):
        if what == "count":
            lines = n
        elif what == "group":
            pairs = [divmod(mark, 65_536) for mark in marks]
            unequal.append(UnequalLines(measure, offering, day, rules, pairs, own, twins_own))
        else:
            shown.append(
                Unequal(deal, line, measure, receiver, rep, offering, day, rules, own, twins_own, by, twin_by)
            )
    shown.sort(
        key=lambda u: (-abs(u.own - u.twin), u.deal_id, u.line_no, u.measure_id, u.receiver_class, u.rep_id)
    )
    return TwinReport(lines, unequal, shown)


def combinations(
    source: Combinations, *, twin: Twin, plan_versions: Sequence[int], assumed: Sequence[int] = ()
) -> CombinationReport:
    """Every offering that counts and every combination that rules can tell apart, against its twin. Nothing is written.

    assumed  Ids of plans that are taken to be assigned to somebody, because nobody has them yet.
    """
    rows = _run(
        source,
        "combinations",
        {**_scenarios(plan_versions, plan_versions), **_twin(twin), "assumed": list(assumed)},
    )
    classes = {row[2]: CombinationClass(row[1], row[5], row[6]) for row in rows if row[0] == "class"}
    offerings, covered = next((row[6], row[4]) for row in rows if row[0] == "count")
    unequal = [
        UnequalRules(day, classes[nth], measure, n, own, twins_own, spiffs, twin_spiffs, json.loads(example))
        for what, day, nth, measure, n, _, _, own, twins_own, spiffs, twin_spiffs, example in rows
        if what == "cell"
    ]
    unequal.sort(key=lambda u: (u.day, u.measure_id, u.own_winner or 0, u.twin_winner or 0, u.of.offerings))
    return CombinationReport(offerings, covered, unequal)


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
    digest = _digest(kind, source)
    posting_id = _claim(key=key, digest=digest, kind=kind, by=by, at=at, reason=reason)
    if posting_id is None:
        return _replay(key, digest)
    with _somewhere_to_go():
        rows = _run(source, "post", {**_scenarios(None), "posting": posting_id, "look_up": _looks_up(source)})
    return Outcome(posting_id, dict(rows))


def adjust(
    adjustments: Sequence[int], *, key: str, by: User | None, at: datetime, reason: str = ""
) -> Outcome:
    """Write approved adjustments that the ledger does not hold yet, in this transaction: each an entry, or the exact reversal of the one it undoes.

    One whose month is closed goes into the earliest open one. Raises PostingKeyReused, NoOpenPeriod.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("engine.adjust belongs in the transaction that approves the adjustments.")
    _execute("select pg_advisory_xact_lock_shared(%(lock)s, 0)", {"lock": PERIOD_LOCK}, prepare=False)
    asked = sorted(set(adjustments))
    digest = hashlib.sha256(json.dumps(["adjust", asked]).encode()).hexdigest()
    posting_id = _claim(key=key, digest=digest, kind="adjust", by=by, at=at, reason=reason)
    if posting_id is None:
        return _replay(key, digest)
    parts = ("adjusted", "write", "counted", "told")
    text = "with " + "\n".join((SQL / f"{name}.sql").read_text() for name in parts)
    with _somewhere_to_go():
        rows = _execute(text, {"adjustments": asked, "posting": posting_id}, prepare=False)
    return Outcome(posting_id, dict(rows))


def lock(source: ByDeal | BySpan) -> None:
    """Take this transaction's locks in the one order everybody keeps: the periods, shared; then the deals with their refunds and originals, by id.

    Totals are locked last, by the posting statement, in key order with coarser grains last.
    """
    _execute("select pg_advisory_xact_lock_shared(%(lock)s, 0)", {"lock": PERIOD_LOCK}, prepare=False)
    if isinstance(source, ByDeal):
        text = """
            with asked as materialized (select unnest(%(deals)s::bigint[]) id),
            root as materialized (
              select distinct coalesce(v.refunds_id, a.id) id from asked a join quotas_dealversion v on v.deal_id = a.id)
            select count(*) from (select id from quotas_deal where id in (
              select id from asked union select id from root
              union select v.deal_id from root r join quotas_dealversion v on v.refunds_id = r.id) order by id for update) locked"""
    else:
        text = """
            with asked as materialized (
              select d.id, coalesce(v.refunds_id, d.id) root_id from quotas_deal d join quotas_dealversion v on v.id = d.credited_version_id
              where v.close_date >= %(starts)s and v.close_date < %(ends)s
                and (%(calendar)s::bigint is null or d.calendar_id = %(calendar)s::bigint))
            select count(*) from (select id from quotas_deal where id in (
              select id from asked union select root_id from asked
              union select v.deal_id from quotas_dealversion v where v.refunds_id in (select root_id from asked)) order by id for update) locked"""
    _execute(text, source.parameters(), prepare=False)


def _looks_up(source: ByDeal | BySpan) -> bool:
    """Whether the stored entries of these deals are found faster deal by deal, once in each partition, than in one pass over the ledger."""
    if source.few:
        return True
    ((entries, partitions),) = _execute(
        "select coalesce(sum(pg_relation_size(inhrelid)), 0)::bigint / 110, count(*) from pg_inherits where inhparent = 'quotas_creditentry'::regclass",
        {},
        prepare=False,
    )
    if isinstance(source, ByDeal):
        deals = len(source.deals)
    else:
        ((deals,),) = _execute(
            "select count(*) from quotas_dealversion where close_date >= %(starts)s and close_date < %(ends)s",
            source.parameters(),
            prepare=False,
        )
    return bool(12 * deals * partitions < entries)  # one look-up takes as long as reading a dozen entries


def lock_periods_exclusively() -> None:
    """What opening and closing take: waits for every posting in flight, and holds back new ones until the end."""
    _execute("select pg_advisory_xact_lock(%(lock)s, 0)", {"lock": PERIOD_LOCK}, prepare=False)


@contextmanager
def _somewhere_to_go() -> Iterator[None]:
    """An entry without a month to be posted in is told apart from every other failure."""
    try:
        yield
    except IntegrityError as failure:
        if "posting_period_id" in str(failure):
            raise NoOpenPeriod(
                Problem(
                    "no_open_period",
                    "The correction has no open period to go to: open the next month, then try again.",
                )
            ) from failure
        raise


def _claim(*, key: str, digest: str, kind: str, by: User | None, at: datetime, reason: str) -> int | None:
    """The id of a new posting, or None where the key was used before. Waits for one that is being written."""
    rows = _execute(
        "insert into quotas_posting (key, digest, kind, by_id, recorded_at, reason)"
        " values (%(key)s, %(digest)s, %(kind)s, %(by)s, %(at)s, %(reason)s) on conflict (key) do nothing returning id",
        {"key": key, "digest": digest, "kind": kind, "by": by.pk if by else None, "at": at, "reason": reason},
        prepare=False,
    )
    return rows[0][0] if rows else None


def _digest(kind: str, source: ByDeal | BySpan) -> str:
    asked = {name: value for name, value in source.parameters().items() if value is not None}
    return hashlib.sha256(json.dumps([kind, asked], default=str).encode()).hexdigest()


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


def _twin(twin: Twin) -> dict[str, Any]:
    return {"twin": twin.kind, "twin_publishers": list(twin.publishers) if twin.publishers else None}


def _run(
    source: Source, sink: str, parameters: Mapping[str, Any], *, using: str = DEFAULT_DB_ALIAS
) -> list[Any]:
    common = {
        "roles": SalesRole.values,
        "twin": None,
        "twin_publishers": None,
        "many": not source.few,
        "together": False,
    }
    with _planned(
        few=source.few, hashed=not isinstance(source, Unsaved), sorts=sink != "compare", using=using
    ):
        return _execute(
            statement(source.lines, sink),
            {**source.parameters(), **common, **parameters},
            prepare=source.few,
            using=using,
        )


_FEW = {
    "plan_cache_mode": "force_generic_plan",
    "enable_nestloop": "on",
    "enable_seqscan": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}
_MANY = {
    "plan_cache_mode": "force_custom_plan",
    "enable_nestloop": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "work_mem": "256MB",
}


@contextmanager
def _planned(
    *, few: bool, hashed: bool = True, sorts: bool = True, using: str = DEFAULT_DB_ALIAS
) -> Iterator[None]:
    """Plan for look-ups (a generic plan, made once) or for passes over tables, for this statement alone.

    A generic plan saves two thirds of a live posting's time; without nested loops a batch is not fooled by estimates.

    hashed  False for documents: the planner takes each list in one for a hundred long and would read all there is for them.
    sorts   False where a batch ends in sums: expecting few rows, the planner would sort many of them three times over.
    """
    wanted = _MANY if not few else _FEW if hashed else {**_FEW, "enable_hashjoin": "off"}
    if not few and not sorts:
        wanted = {**wanted, "enable_sort": "off"}
    local = connections[using].in_atomic_block
    (before,) = _execute(
        "select "
        + ", ".join(f"current_setting('{name}')" for name in wanted)
        + ", "
        + ", ".join(f"set_config('{name}', '{value}', {local})" for name, value in wanted.items()),
        {},
        prepare=False,
        using=using,
    )
    yield
    _execute(
        "select "
        + ", ".join(
            f"set_config('{name}', '{old}', {local})" for name, old in zip(wanted, before, strict=False)
        ),
        {},
        prepare=False,
        using=using,
    )


def _execute(
    text: str, parameters: Mapping[str, Any], *, prepare: bool, using: str = DEFAULT_DB_ALIAS
) -> list[Any]:
    """Run on Django's connection with parameters bound by the server, so that a plan can be kept; seen by query logging."""
    connection = connections[using]
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
