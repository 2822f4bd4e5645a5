"""The figures. Each is measured beside its floor, in turns, and told as a median and a ratio."""

import json
import statistics
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any
from unittest.mock import patch

import psycopg
from django.db import connection, connections, transaction
from django.db.models.functions import Mod
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.models import Role
from bench import data, row_by_row
from quotas.crediting import engine, loading
from quotas.crediting.invariants import broken
from quotas.models import Deal, Period, PlanState, PlanVersion
from quotas.services import crediting as crediting_service
from quotas.services.booking import draft_of
from tests import make

AT = datetime(2026, 8, 14, 19, tzinfo=UTC)


@dataclass(frozen=True)
class Figure:
    """value and floor in the same unit; ratio is how near ours comes to the floor, 1 being as good."""

    value: float
    unit: str
    floor: float
    ratio: float
    n: int
    p95: float | None = None

    def as_json(self) -> dict[str, float | str | int]:
        told: dict[str, float | str | int] = {
            "value": round(self.value, 3),
            "unit": self.unit,
            "floor": round(self.floor, 3),
            "ratio": round(self.ratio, 3),
            "n": self.n,
        }
        if self.p95 is not None:
            told["p95"] = round(self.p95, 3)
        return told


def seconds(job: Callable[[], object]) -> float:
    started = perf_counter()
    job()
    return perf_counter() - started


def database_ms(job: Callable[[], object]) -> float:
    """Milliseconds of *job*, in this thread, from sending each statement (COMMIT is one) until the database has answered, planning included."""
    spent = 0.0
    wait = psycopg.Connection.wait

    def timed(*given: Any, **named: Any) -> Any:
        nonlocal spent
        started = perf_counter()
        try:
            return wait(*given, **named)
        finally:
            spent += perf_counter() - started

    with patch.object(psycopg.Connection, "wait", timed):
        job()
    return 1000 * spent


def in_sessions(jobs: list[Callable[[], object]]) -> None:
    """Run every job on a connection of its own, all at once; the database works, Python waits."""
    failures: list[BaseException] = []

    def run(job: Callable[[], object]) -> None:
        try:
            job()
        except BaseException as failure:
            failures.append(failure)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)


def crediting(lines: int) -> dict[str, Figure]:
    """The first load, live posting and recrediting, each beside the floors of the same round. Ends with a full ledger.

    Floors: a bare INSERT ... SELECT of the same entries into a partitioned table with the same indexes, in the same two
    sessions by half-year; and the same into tables of a month each that are indexed once they are full (deferred).
    """
    rounds = 3 if lines <= 1_000_000 else 1
    months = list(Period.objects.filter(grain="M").order_by("starts"))
    year = (months[0].starts, months[-1].ends)
    steps = _steps(lines)
    chosen = Deal.objects.filter(source="bench").annotate(rest=Mod("pk", 100)).filter(rest=7)
    halves = [
        list(chosen.filter(credited_version__close_date__lt=data.MIDDLE).values_list("pk", flat=True)),
        list(chosen.filter(credited_version__close_date__gte=data.MIDDLE).values_list("pk", flat=True)),
    ]
    told: dict[str, list[float]] = defaultdict(list)
    for n in range(rounds):
        _empty_the_ledger()
        told["load"].append(
            seconds(lambda: loading.load(starts=year[0], ends=year[1], key="load", by=None, at=AT))
        )
        if n == 0:
            _check("The load")
        told["bare"].append(_bare(months))
        told["deferred"].append(_deferred(months))
        _empty_the_ledger()
        told["post"].append(seconds(partial(in_sessions, [_posting(s, f"first-{n}") for s in steps])))
        if n == 0 and rounds > 1:  # else the correction's check, of all that stands then, has to do
            _check("The posting")
        stored = _entries()
        told["again"].append(seconds(partial(in_sessions, [_posting(s, f"again-{n}") for s in steps])))
        if _entries() != stored:
            raise RuntimeError("Recrediting without a change wrote entries.")
        data.owner("update quotas_deal set held = true where source = 'bench' and id % 100 = 7")
        told["some"].append(
            seconds(
                partial(
                    in_sessions, [_posting([engine.ByDeal(half)], f"some-{n}") for half in halves if half]
                )
            )
        )
        if n == 0:
            _check("The correction")
        data.owner("update quotas_deal set held = false where source = 'bench' and id % 100 = 7")
    in_sessions([_posting([engine.ByDeal(half)], "some-back") for half in halves if half])
    load, bare, deferred, post, again, few = (
        _median(told[k]) for k in ("load", "bare", "deferred", "post", "again", "some")
    )
    changed = 3 * sum(map(len, halves))
    return {
        "credit_load_vs_bare_insert": _speed(lines, load, bare, rounds),
        "credit_load_vs_deferred": _speed(lines, load, deferred, rounds),
        "credit_post_vs_bare_insert": _speed(lines, post, bare, rounds),
        "recredit_unchanged_vs_first": Figure(lines / again, "lines/s", lines / post, again / post, rounds),
        "recredit_1pct_vs_unchanged": Figure(changed / few, "lines/s", lines / again, few / again, rounds),
        "credit_vs_row_by_row": _against_rows(lines / post, lines),
    }


def _speed(lines: int, ours: float, floor: float, rounds: int) -> Figure:
    return Figure(lines / ours, "lines/s", lines / floor, floor / ours, rounds)


def _steps(lines: int) -> list[list[engine.BySpan]]:
    """What each of two sessions posts, one transaction after another: half a year, in steps of at most some 200,000 lines."""
    months = list(Period.objects.filter(grain="M").order_by("starts").values_list("starts", "ends"))
    together = next((n for n in (6, 3, 2) if lines * n / 12 <= 200_000), 1)
    parts = max(1, round(lines / 12 / 200_000))
    sessions = []
    for half in (months[:6], months[6:]):
        spans = [(half[i][0], half[i + together - 1][1]) for i in range(0, 6, together)]
        edges = [[a + (b - a) * n // parts for n in range(parts)] + [b] for a, b in spans]
        sessions.append([engine.BySpan(a, b) for edge in edges for a, b in pairwise(edge)])
    return sessions


def _posting(sources: Sequence[engine.BySpan | engine.ByDeal], key: str) -> Callable[[], None]:
    def job() -> None:
        for n, source in enumerate(sources):
            with transaction.atomic():
                engine.post(source, key=f"{key}-{n}-{_digest(source)}", kind="load", by=None, at=AT)

    return job


def _digest(source: engine.BySpan | engine.ByDeal) -> str:
    return str(source.starts) if isinstance(source, engine.BySpan) else f"{source.deals[0]}"


def _check(what: str) -> None:
    data.owner(
        "analyze quotas_creditentry, quotas_credittotal, quotas_uncreditedline"
    )  # autovacuum is off here
    with connection.cursor() as cursor:  # as fast as it goes: nobody measures it
        cursor.execute("set max_parallel_workers_per_gather = 2; set work_mem = '256MB'")
        wrong = broken()
        cursor.execute("reset max_parallel_workers_per_gather; reset work_mem")
    if wrong:
        raise RuntimeError(f"{what} that was measured is wrong: {wrong}")


def _entries() -> int:
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from quotas_creditentry")
        row = cursor.fetchone()
        return int(row[0]) if row else 0


def _as_owner(statements: Sequence[str]) -> Callable[[], None]:
    def job() -> None:
        for statement in statements:
            data.owner(statement)

    return job


def _indexed(table: str) -> list[str]:
    """The statements that give *table* all the indexes that the ledger has."""
    return [
        f"alter table {table} add {definition}" if primary else f"create index on {table} using {definition}"
        for primary, definition in loading.indexes()
    ]


def _bare(months: Sequence[Period]) -> float:
    """Seconds of the floor with live indexes, two sessions by half-year. Reads the ledger as it stands."""
    _bare_table()
    halves = [
        ", ".join(str(m.pk) for m in part)
        for part in (
            [m for m in months if m.starts < data.MIDDLE],
            [m for m in months if m.starts >= data.MIDDLE],
        )
    ]
    taken = seconds(
        lambda: in_sessions(
            [
                _as_owner(
                    [
                        f"insert into bare_entry select * from quotas_creditentry where posting_period_id in ({half})"
                    ]
                )
                for half in halves
            ]
        )
    )
    data.owner("drop table bare_entry")
    return taken


def _bare_table() -> None:
    data.owner("drop table if exists bare_entry")
    data.owner(
        "create table bare_entry (like quotas_creditentry including defaults including constraints) partition by list (posting_period_id)"
    )
    for month in Period.objects.filter(grain="M").values_list("pk", flat=True):
        data.owner(f"create table bare_{month} partition of bare_entry for values in ({month})")
    for statement in _indexed("bare_entry"):
        data.owner(statement)


def _deferred(months: Sequence[Period]) -> float:
    """Seconds of the floor with indexes built afterwards, two sessions by month."""
    work = [
        [
            f"create table deferred_{m.pk} (like quotas_creditentry including defaults including constraints)",
            f"insert into deferred_{m.pk} select * from quotas_creditentry where posting_period_id = {m.pk}",
            "set maintenance_work_mem = '256MB'",
            *_indexed(f"deferred_{m.pk}"),
        ]
        for m in months
    ]
    taken = seconds(
        lambda: in_sessions(
            [_as_owner([s for month in half for s in month]) for half in (work[:6], work[6:])]
        )
    )
    for m in months:
        data.owner(f"drop table deferred_{m.pk}")
    return taken


def _empty_the_ledger() -> None:
    """The owner switches the guards off on a throw-away database; no other code may."""
    tables = [
        "quotas_creditentry",
        "quotas_reversal",
        "quotas_postingcount",
        "quotas_markedposting",
        "quotas_discrepancy",
        "quotas_posting",
    ]
    partitions = [
        f"quotas_creditentry_p{pk}" for pk in Period.objects.filter(grain="M").values_list("pk", flat=True)
    ]
    for table in tables + partitions:
        data.owner(f"alter table {table} disable trigger user")
    data.owner(f"truncate {', '.join(tables)}, quotas_credittotal, quotas_uncreditedline")
    for table in tables + partitions:
        data.owner(f"alter table {table} enable trigger user")


def _against_rows(ours: float, ours_at: int) -> Figure:
    """Our lines a second against crediting through the ORM, a row at a time, over 3,000 lines; the ratio is how many times faster."""
    deals = list(
        Deal.objects.filter(source="bench")
        .order_by("pk")
        .values_list("pk", flat=True)[: 1_000 if ours_at >= 100_000 else 100]
    )
    expected = row_by_row.standing(deals)
    with transaction.atomic():
        taken = seconds(lambda: row_by_row.credit(deals))
        if row_by_row.credited(deals) != expected:
            raise RuntimeError("Crediting row by row gives something else than the engine.")
        transaction.set_rollback(True)
    floor = 3 * len(deals) / taken
    return Figure(ours, "lines/s", floor, ours / floor, 1)


def live(lines: int) -> dict[str, Figure]:
    """One deal of three lines and four shares, approved, and one that is not saved, estimated; milliseconds of database time.

    At 10,000,000 stored entries (at a tenth of that below a million lines): the ledger's are copied under other deals until it holds them.
    The floor of approving is a bare insert of the same entries, in a transaction of its own; of estimating, an empty statement.
    """
    wanted, copies = (10_000_000 if lines >= 1_000_000 else 1_000_000), 0
    if not _entries():
        in_sessions([_posting(s, "live") for s in _steps(lines)])
    have = each = _entries()
    while have < wanted and each:
        copies += 1
        take = min(each, wanted - have)
        data.owner(
            "insert into quotas_creditentry select nextval('quotas_creditentry_id_seq'), posting_id, deal_id + "
            f"{copies * 1_000_000_000}, deal_version_id, amount_minor, null, rep_id, team_id, rule_id, rule_version_id, plan_version_id, decision_id,"
            " fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class"
            f" from quotas_creditentry where deal_id < 1000000000 limit {take}"
        )
        have += take
    data.owner("vacuum analyze quotas_creditentry")
    data.owner("vacuum analyze quotas_credittotal")
    data.owner(
        "update quotas_deal set state = 'approved', credited_version_id = latest_version_id where source = 'live'"
    )
    data.owner("vacuum analyze quotas_deal")
    data.owner(
        "checkpoint"
    )  # ten million rows were written just now: their way to the disk is not what is measured
    _bare_table()
    deals = list(Deal.objects.filter(source="live").order_by("pk").values_list("pk", flat=True))
    documents = [
        crediting_service.document(draft_of(deal)) for deal in Deal.objects.filter(pk__in=deals[:100])
    ]
    engine.desired(engine.Unsaved([documents[0]]))
    estimates = [database_ms(partial(engine.desired, engine.Unsaved([d]))) for d in documents * 3]
    nothing = [database_ms(_select_one) for _ in estimates]
    connections.close_all()  # planning is included: a new connection plans once, like a worker that was just started
    ours, floors = [], []
    for deal in deals:
        ours.append(database_ms(_posting([engine.ByDeal([deal])], "approve")))
        bare = f"insert into bare_entry select * from quotas_creditentry where deal_id = {deal}"
        floors.append(database_ms(partial(data.owner, bare)))
    data.owner("drop table bare_entry")
    return {"approve_db_ms": _latency(ours, floors), "estimate_db_ms": _latency(estimates, nothing)}


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")


def _latency(ours: Sequence[float], floors: Sequence[float]) -> Figure:
    mine, floor = _median(ours), _median(floors)
    return Figure(mine, "ms", floor, floor / mine, len(ours), p95=statistics.quantiles(ours, n=20)[-1])


def whatif(lines: int) -> dict[str, Figure]:
    """Comparing what is published with a draft of fifty rules, over every deal; the floor is crediting them live, totals included.

    Both in two sessions by half-year, in the same steps and in turns. The first draft pays more by every fifth rule, the second by every one.
    """
    rounds = 3 if lines <= 1_000_000 else 1
    steps = _steps(lines)
    published = PlanVersion.objects.get(state=PlanState.PUBLISHED)
    drafts = [data.draft_of(published, every=every) for every in (5, 1)]
    told: dict[str, list[float]] = defaultdict(list)
    for n in range(rounds):
        _empty_the_ledger()
        told["post"].append(seconds(partial(in_sessions, [_posting(s, f"whatif-{n}") for s in steps])))
        for name, draft in zip(("some", "every"), drafts, strict=True):
            moved: list[engine.Comparison] = []
            told[name].append(
                seconds(partial(in_sessions, [_comparing(s, published.pk, draft.pk, moved) for s in steps]))
            )
            if not any(found.standings for found in moved):
                raise RuntimeError("The drafts that were compared move nobody.")
    post, some, every = (_median(told[k]) for k in ("post", "some", "every"))
    return {
        "whatif_vs_credit": Figure(lines / some, "lines/s", lines / post, some / post, rounds),
        "whatif_every_rule_vs_credit": Figure(lines / every, "lines/s", lines / post, every / post, rounds),
    }


def _comparing(
    sources: Sequence[engine.BySpan], published: int, draft: int, found: list[engine.Comparison]
) -> Callable[[], None]:
    def job() -> None:
        found.extend(
            engine.compare(source, before=[published], after=[published, draft]) for source in sources
        )

    return job


def worker(lines: int) -> dict[str, Figure]:
    """Peak memory of the process that carries out a recredit job over the whole year; the floor is the same process before it begins."""
    done = subprocess.run([sys.executable, "-m", "bench.worker"], check=True, capture_output=True, text=True)
    before, after = (float(word) for word in done.stdout.split())
    return {"worker_memory_mb": Figure(after, "MB", before, before / after, 1)}


def catalog_list_hot_vs_floor() -> Figure:
    """Milliseconds of a hot REST list page of fifty offerings; the floor is a bare view that reads the same fifty rows and writes plain JSON."""
    client = Client()
    client.force_login(make.user(role=Role.CATALOG_MANAGER))
    rows = "select o.id, o.slug, o.name, o.family, p.slug from marketplace_offering o join marketplace_publisher p on p.id = o.publisher_id order by o.name, o.id limit 51"

    def bare_view(request: HttpRequest) -> HttpResponse:
        with connection.cursor() as cursor:
            cursor.execute(rows)
            return HttpResponse(json.dumps(cursor.fetchall()), content_type="application/json")

    def page() -> None:
        response = client.get("/api/v1/offerings/", {"page_size": 50})
        if response.status_code != 200:
            raise RuntimeError(f"The catalog answered {response.status_code}: {response.content[:200]!r}")

    return _in_turns(page, lambda: bare_view(RequestFactory().get("/")), runs=25)


def _in_turns(ours: Callable[[], object], floor: Callable[[], object], *, runs: int) -> Figure:
    ours(), floor()
    times = [(seconds(ours), seconds(floor)) for _ in range(runs)]
    mine, low = (statistics.median(1000 * t[i] for t in times) for i in (0, 1))
    return Figure(mine, "ms", low, low / mine, runs)


def catalog(_lines: int) -> dict[str, Figure]:
    return {"catalog_list_hot_vs_floor": catalog_list_hot_vs_floor()}


# What is measured together, in this order: each group leaves the ledger as the next one can use it.
GROUPS: dict[Callable[[int], dict[str, Figure]], tuple[str, ...]] = {
    crediting: (
        "credit_load_vs_bare_insert",
        "credit_load_vs_deferred",
        "credit_post_vs_bare_insert",
        "recredit_unchanged_vs_first",
        "recredit_1pct_vs_unchanged",
        "credit_vs_row_by_row",
    ),
    whatif: ("whatif_vs_credit", "whatif_every_rule_vs_credit"),
    worker: ("worker_memory_mb",),
    live: ("approve_db_ms", "estimate_db_ms"),
    catalog: ("catalog_list_hot_vs_floor",),
}
