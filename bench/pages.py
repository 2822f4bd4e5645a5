"""Pages of selling at 100,000 reps: whole answers through Django's test client, middleware, template and all.

The floor is a bare view that reads one row by its key. Large boards are kept by a worker: the first look is answered at once, and
says so. Before a page is measured what the worker would have kept of it is built, and how long that took is a figure too: its
floor is the page worked out for the look.
"""

import statistics
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from importlib import import_module
from time import perf_counter
from unittest.mock import patch

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory

from accounts.models import Role, User
from bench import data
from bench.figures import Figure, seconds
from config import clock
from quotas.crediting import loading
from quotas.models import CreditEntry, KeptBoard, Measure, Period, Rep
from quotas.selectors import kept
from quotas.services import keeping
from tests import make

RUNS = 15
TODAY = date(2026, 8, 14)
MANY = 3_000  # reps of the largest team
PERIOD = "period=FY27-Q1&measure=ai-bookings"
LEADERBOARDS = (
    f"/quotas/leaderboard/?{PERIOD}&by=attainment",
    f"/quotas/leaderboard/?{PERIOD}&by=credit",
    f"/quotas/leaderboard/?{PERIOD}&by=attainment&around=me",
    f"/quotas/leaderboard/?{PERIOD}&group=team",
    f"/quotas/leaderboard/?{PERIOD}&group=offering",
    f"/quotas/leaderboard/wall/?{PERIOD}",
)
BOARDS = (
    f"/quotas/board/company/?{PERIOD}",
    f"/quotas/board/t-1/?{PERIOD}",
    f"/quotas/board/t-1/?{PERIOD}&page=30",
    f"/quotas/board/t-1/?{PERIOD}&q=rep+4",
    f"/quotas/board/t-5/?{PERIOD}",
)
VERSIONS = (
    f"/quotas/leaderboard/?{PERIOD}&by=attainment&view=restated",
    f"/quotas/leaderboard/?{PERIOD}&by=attainment&as_of=2026-08-13T10:00:00",
    f"/quotas/board/company/?{PERIOD}&view=restated",
    f"/quotas/board/company/?{PERIOD}&as_of=2026-08-13T10:00:00",
)
LISTS = (
    "/quotas/deals/",
    "/quotas/deals/?state=approved",
    f"/quotas/ledger/?{PERIOD}",
    "/quotas/ledger/?period=all",
)


def pages(_lines: int) -> dict[str, Figure]:
    """The figures. Ends with a ledger, quotas for everybody in the first quarter, and one team of 3,000."""
    before, settings.DEMO_TODAY = settings.DEMO_TODAY, TODAY
    try:
        return _measured()
    finally:
        settings.DEMO_TODAY = before


def _measured() -> dict[str, Figure]:
    _stage()
    rep, admin = _people()
    looking, auditing = Client(), Client()
    looking.force_login(rep)
    auditing.force_login(admin)
    floor = partial(_bare, RequestFactory().get("/"))
    every = [partial(_get, looking, page) for page in (*LEADERBOARDS, *BOARDS, *VERSIONS)]
    with patch.object(kept, "LARGE", 10**9), patch.object(kept, "LARGE_ENTRIES", 10**9):
        live = [1000 * seconds(page) for page in every]
    first = [1000 * seconds(page) for page in every]
    _send(looking)
    built: list[float] = []
    keeping.foresee(at=clock.now())
    for board in keeping.due(at=clock.now()):
        keeping.keep(board_id=board, at=clock.now())
        built.append(KeptBoard.objects.get(pk=board).took_ms)
    data.owner("vacuum analyze quotas_keptplace")
    import_module("config.wsgi")  # loads and settles everything as for serving
    return {
        "leaderboard_page_ms": _told([partial(_get, looking, page) for page in LEADERBOARDS], floor),
        "board_page_ms": _told([partial(_get, looking, page) for page in BOARDS], floor),
        "estimate_page_ms": _told([partial(_send, looking)], floor),
        "ledger_and_deals_page_ms": _told([partial(_get, auditing, page) for page in LISTS], floor),
        "version_page_ms": _told([partial(_get, looking, page) for page in VERSIONS], floor),
        "rep_home_page_ms": _told([partial(_get, looking, "/")], floor),
        "first_look_ms": _once(first, 1000 * seconds(floor)),
        "kept_board_ms": _once(built, statistics.median(live)),
    }


def _stage() -> None:
    if not CreditEntry.objects.exists():
        months = list(Period.objects.filter(grain="M").order_by("starts"))
        loading.load(starts=months[0].starts, ends=months[-1].ends, key="pages", by=None, at=clock.now())
    measure, quarter = Measure.objects.get(slug="ai-bookings"), Period.objects.get(name="FY27-Q1")
    data.owner(
        "insert into quotas_quota (measure_id, period_id, rep_id, version, amount_minor, method, recorded_at)"
        f" select {measure.pk}, {quarter.pk}, id, 1, 200000000 + id % 7 * 100000000, 'last', now() from quotas_rep r"
        " where not exists (select from quotas_quota q where q.rep_id = r.id)"
    )
    data.owner(
        "update quotas_teammembership set team_id = (select id from quotas_team where slug = 't-1')"
        f" where rep_id in (select id from quotas_rep where slug like 'r-%' order by id desc limit {MANY})"
    )
    data.owner("vacuum analyze")


def _people() -> tuple[User, User]:
    rep, admin = make.user(role=Role.REP), make.user(role=Role.COMP_ADMIN)
    Rep.objects.filter(slug=f"r-{data.REPS // 2}").update(user=rep)
    return rep, admin


def _get(client: Client, page: str) -> None:
    response = client.get(page)
    if response.status_code != 200:
        raise RuntimeError(f"{page} answered {response.status_code}")


def _send(client: Client) -> None:
    """A deal of three lines and two shares, as its form sends it while somebody types."""
    response = client.post(
        "/quotas/deals/estimate/",
        {
            "customer": "Customer 7",
            "kind": "new_business",
            "close_date": "2026-08-10",
            "currency": "USD",
            "lines": "3",
            **{f"lines-{n}-offering": f"Offering {n + 11}" for n in range(3)},
            **{f"lines-{n}-amount": f"{n + 1}0000.00" for n in range(3)},
            "shares": "2",
            "shares-0-rep": f"Rep {data.REPS // 2}",
            "shares-0-percent": "70",
            "shares-1-rep": f"Rep {data.REPS // 2 + 1}",
            "shares-1-percent": "30",
        },
    )
    if response.status_code != 200 or "Estimated credit" not in response.content.decode():
        raise RuntimeError(f"The estimate answered {response.status_code}: {response.content[:300]!r}")


def _once(taken: Sequence[float], floor: float) -> Figure:
    """Of what can be measured once: the median, and the longest in the place of p95."""
    middle = statistics.median(taken)
    return Figure(middle, "ms", floor, floor / middle, len(taken), p95=max(taken))


def _bare(_request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM quotas_rep WHERE id = 1")
        return HttpResponse(repr(cursor.fetchone()))


def _told(jobs: Sequence[Callable[[], object]], floor: Callable[[], object]) -> Figure:
    """Median and p95 over all of the addresses, each as often, in turns with the floor."""
    for job in jobs:
        job()
    ours: list[float] = []
    floors: list[float] = []
    for _ in range(RUNS):
        for job in jobs:
            for what, times in ((job, ours), (floor, floors)):
                started = perf_counter()
                what()
                times.append(1000 * (perf_counter() - started))
    mine, low = statistics.median(ours), statistics.median(floors)
    return Figure(mine, "ms", low, low / mine, len(ours), p95=statistics.quantiles(ours, n=20)[-1])


GROUPS: dict[Callable[[int], dict[str, Figure]], tuple[str, ...]] = {
    pages: (
        "leaderboard_page_ms",
        "board_page_ms",
        "estimate_page_ms",
        "ledger_and_deals_page_ms",
        "version_page_ms",
        "rep_home_page_ms",
        "first_look_ms",
        "kept_board_ms",
    ),
}
