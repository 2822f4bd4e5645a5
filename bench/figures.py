"""The figures. Each is measured beside its floor, in turns, and told as a median and a ratio."""

import json
import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from time import perf_counter

from django.db import connection, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.models import Role
from bench import data
from quotas.crediting import engine
from quotas.crediting.invariants import broken
from quotas.models import Deal, Measure, Period
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

    def as_json(self) -> dict[str, float | str | int]:
        return {
            "value": round(self.value, 3),
            "unit": self.unit,
            "floor": round(self.floor, 3),
            "ratio": round(self.ratio, 3),
            "n": self.n,
        }


def seconds(job: Callable[[], object]) -> float:
    started = perf_counter()
    job()
    return perf_counter() - started


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


def credit_post_vs_bare_insert() -> Figure:
    """Lines a second posted into existing partitions, totals included, in two sessions; the floor is a bare
    INSERT ... SELECT of the same entries into a partitioned table with the same indexes, in the same two sessions by half-year."""
    middle = date(
        2027, 1, 1
    )  # sessions that share no period meet only in the totals of the year, which are locked last
    bench = Deal.objects.filter(source="bench").order_by("pk")
    halves = (
        bench.filter(credited_version__close_date__lt=middle),
        bench.filter(credited_version__close_date__gte=middle),
    )
    parts = [list(half.values_list("pk", flat=True)) for half in halves]
    lines = 3 * bench.count()

    def post(part: list[int], run: int) -> Callable[[], object]:
        def job() -> None:
            with transaction.atomic():
                engine.post(engine.ByDeal(part), key=f"bench-{run}-{part[0]}", kind="load", by=None, at=AT)

        return job

    def bare(half: str) -> Callable[[], object]:
        def job() -> None:
            with connections["owner"].cursor() as cursor:
                cursor.execute(
                    f"insert into bare_entry select * from bench_entry where credit_date {half} date '{middle}'"
                )

        return job

    ours, floors = [], []
    for run in range(3):
        _empty_the_ledger()
        ours.append(seconds(lambda run=run: in_sessions([post(part, run) for part in parts])))  # type: ignore[misc]
        if run == 0:
            wrong = broken()
            if wrong:
                raise RuntimeError(f"The posting that was measured is wrong: {wrong}")
            data.owner("create table bench_entry as select * from quotas_creditentry")
            data.owner(
                "create table bare_entry (like quotas_creditentry including defaults including constraints) partition by list (posting_period_id)"
            )
            for month in Period.objects.filter(grain="M").values_list("pk", flat=True):
                data.owner(f"create table bare_{month} partition of bare_entry for values in ({month})")
            data.owner("alter table bare_entry add primary key (posting_period_id, id)")
            data.owner("create index on bare_entry (deal_id)")
            data.owner("create index on bare_entry (rep_id, measure_id, credit_date)")
        data.owner("truncate bare_entry")
        floors.append(seconds(lambda: in_sessions([bare("<"), bare(">=")])))
    mine, floor = statistics.median(ours), statistics.median(floors)
    return Figure(lines / mine, "lines/s", lines / floor, floor / mine, len(ours))


def _empty_the_ledger() -> None:
    """The owner switches the guards off on a throw-away database; no other code may."""
    tables = ["quotas_creditentry", "quotas_reversal", "quotas_postingcount", "quotas_posting"]
    partitions = [
        f"quotas_creditentry_p{pk}" for pk in Period.objects.filter(grain="M").values_list("pk", flat=True)
    ]
    for table in tables + partitions:
        data.owner(f"alter table {table} disable trigger user")
    data.owner(f"truncate {', '.join(tables)}, quotas_credittotal, quotas_uncreditedline")
    for table in tables + partitions:
        data.owner(f"alter table {table} enable trigger user")


def leaderboard_page_ms() -> Figure:
    """Milliseconds of the first leaderboard page by attainment with 100,000 reps in it, page and all; the floor is the selector's work alone
    reduced to reading the top fifty of one sorted column."""
    measure, quarter = Measure.objects.get(slug="ai-bookings"), Period.objects.get(name="FY27-Q1")
    data.owner(
        "insert into quotas_credittotal (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)"
        f" select {quarter.pk}, {measure.pk}, 1, m.team_id, m.rep_id, (m.rep_id * 7919) % 40000000, 0 from quotas_teammembership m"
        " on conflict do nothing"
    )
    data.owner(
        "insert into quotas_quota (measure_id, period_id, rep_id, version, amount_minor, method, recorded_at)"
        f" select {measure.pk}, {quarter.pk}, id, 1, 20000000 + id % 7 * 1000000, 'last', now() from quotas_rep"
    )
    data.owner("analyze quotas_credittotal, quotas_quota")
    viewer = make.user(role=Role.COMP_ADMIN)
    client = Client()
    client.force_login(viewer)

    def page() -> None:
        response = client.get(
            "/quotas/leaderboard/", {"period": "FY27-Q1", "measure": "ai-bookings", "by": "attainment"}
        )
        if response.status_code != 200:
            raise RuntimeError(f"The leaderboard answered {response.status_code}")

    def floor() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "select rep_id, direct_minor from quotas_credittotal where period_id = %s and measure_id = %s and basis = 1 order by direct_minor desc limit 50",
                [quarter.pk, measure.pk],
            )
            cursor.fetchall()

    return _in_turns(page, floor, runs=15)


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


FIGURES: dict[str, Callable[[], Figure]] = {
    "credit_post_vs_bare_insert": credit_post_vs_bare_insert,
    "leaderboard_page_ms": leaderboard_page_ms,
    "catalog_list_hot_vs_floor": catalog_list_hot_vs_floor,
}
