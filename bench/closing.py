"""Closing a month beside a bare copy of what the close writes.

At a million lines: 100,000 reps, each with a quota in two measures, and 1,000,000 entries in the month; fewer in proportion.
The floor copies the rows of every table that the close filled into tables like them, with their constraints and indexes, in
one transaction.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from django.db import connection

from accounts.models import Role
from bench import data
from bench.figures import Figure, _posting, _steps, in_sessions, seconds
from config import jobs
from config.models import JobState
from quotas.models import Period, PeriodClose, PeriodState
from quotas.selectors.closing import checklist, to_acknowledge
from quotas.services import closing, parity, sealing
from tests import make

ROUNDS: Final = 3
TABLES: Final = (
    "quotas_closedtotal",
    "quotas_closedquota",
    "quotas_statement",
    "quotas_earningentry",
    "quotas_seal",
    "quotas_sealblock",
    "quotas_markedposting",
)
AT: Final = datetime(2026, 8, 17, 17, tzinfo=UTC)


def closing_month(lines: int) -> dict[str, Figure]:
    """Ask, approve, freeze, earn, issue, seal, close; reopened between the rounds. What is measured is from the approval to the end."""
    month = Period.objects.select_related("calendar").get(name="FY27-M01")
    Period.objects.filter(name="FY27-M02").update(state=PeriodState.OPEN)
    _fill(month, lines)
    asks, approves = (make.user(role=Role.COMP_ADMIN) for _ in range(2))
    ours: list[float] = []
    floors: list[float] = []
    for nth in range(ROUNDS if lines < 1_000_000 else 1):
        at = AT + timedelta(days=nth)
        parity.prove_period(period_id=month.pk, by=asks, at=at)
        close = closing.ask_close(period_id=month.pk, by=asks, at=at)
        seen = {item.slug: "Measured" for item in to_acknowledge(checklist(month, at=at))}

        steps: list[tuple[str, float]] = []

        def whole(
            close: PeriodClose = close,
            at: datetime = at,
            seen: dict[str, str] = seen,
            steps: list[tuple[str, float]] = steps,
        ) -> None:
            job = closing.approve_close(close_id=close.pk, by=approves, at=at, acknowledged=seen)
            one = partial(jobs.step_once, job_id=job.pk, at=at)
            steps.extend((name, seconds(one)) for name in closing.STEPS)
            job.refresh_from_db()
            if job.state != JobState.DONE:
                raise RuntimeError(f"The close has not worked: {job.error}")

        ours.append(seconds(whole))
        print("  " + ", ".join(f"{step} {taken:.1f} s" for step, taken in steps), flush=True)
        floors.append(_floor(close))
        if nth == 0:
            found = sealing.verify(invariants_too=False)
            if not found.holds:
                raise RuntimeError(f"The close that was measured is wrong: {found.wrong}")
        closing.ask_reopen(period_id=month.pk, reason="Measured again", by=asks, at=at)
        closing.reopen(close_id=close.pk, by=approves, at=at)
    value, floor = sorted(ours)[len(ours) // 2], sorted(floors)[len(floors) // 2]
    return {"close_100k": Figure(value, "s", floor, floor / value, len(ours))}


def _fill(month: Period, entries: int) -> None:
    """As many entries in the month, of all reps in turn, by one posting; totals of what is in the ledger; quotas, and what they pay.

    They are copies of entries that the engine has posted, for other reps, and so are not what it would want: nothing is recredited here.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM quotas_creditentry WHERE posting_period_id = %s", [month.pk])
        ((there,),) = cursor.fetchall()
    if not there:
        in_sessions([_posting(step, "close") for step in _steps(min(entries, 100_000))])
    data.owner(
        "insert into quotas_posting (key, digest, kind, recorded_at, reason) values ('bench-close', '', 'load', %s, '')",
        AT.isoformat(),
    )
    data.owner(
        f"""
        with sample as (
          select row_number() over () - 1 k, e.* from (
            select * from quotas_creditentry where posting_period_id = {month.pk} and origin_period_id = {month.pk} and reverses_id is null
            limit 50000) e),
        who as (select row_number() over (order by rep_id) - 1 k, rep_id, team_id from quotas_teammembership),
        n as (select generate_series(1, {entries} - (select count(*) from quotas_creditentry where posting_period_id = {month.pk})) n)
        insert into quotas_creditentry (posting_id, deal_id, deal_version_id, amount_minor, rep_id, team_id, rule_id, rule_version_id,
          plan_version_id, decision_id, fx_rate_id, posting_period_id, origin_period_id, credit_date, measure_id, line_no, component, receiver_class)
        select (select max(id) from quotas_posting), s.deal_id, s.deal_version_id, s.amount_minor, w.rep_id, w.team_id, s.rule_id, s.rule_version_id,
          s.plan_version_id, s.decision_id, s.fx_rate_id, s.posting_period_id, s.origin_period_id, s.credit_date, s.measure_id, s.line_no,
          s.component, s.receiver_class
        from n join sample s on s.k = n.n %% (select count(*) from sample) join who w on w.k = n.n %% (select count(*) from who)""".replace(
            "%%", "%"
        )
    )
    data.owner("delete from quotas_credittotal")
    data.owner(
        """
        insert into quotas_credittotal (period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
        select g.period_id, e.measure_id, 1, e.team_id, e.rep_id,
          coalesce(sum(e.amount_minor) filter (where e.receiver_class = 1), 0), coalesce(sum(e.amount_minor) filter (where e.receiver_class = 2), 0)
        from quotas_creditentry e join quotas_period p on p.id = e.posting_period_id
        cross join lateral (values (p.id), (p.quarter_id), (p.half_id), (p.year_id)) g(period_id)
        group by g.period_id, e.measure_id, e.team_id, e.rep_id"""
    )
    quarter = f"(select quarter_id from quotas_period where id = {month.pk})"
    data.owner(f"delete from quotas_quota where period_id = {quarter}")
    data.owner(
        "insert into quotas_quota (measure_id, period_id, rep_id, version, amount_minor, method, recorded_at)"
        f" select m.id, {quarter}, r.id, 1, 20000000 + r.id %% 7 * 1000000, 'last', now() from quotas_rep r, quotas_measure m".replace(
            "%%", "%"
        )
    )
    _pays()
    data.owner("analyze")


def _pays() -> None:
    """The published plan pays for both measures; the guard against that is switched off on a throw-away database."""
    guarded = ("quotas_plancomponent", "quotas_payscale", "quotas_ratetier")
    for table in guarded:
        data.owner(f"alter table {table} disable trigger user")
    data.owner(
        "insert into quotas_plancomponent (plan_version_id, measure_id, weight_ppm, target_incentive_minor, currency_id)"
        " select v.id, m.id, 500000, 4000000, 'USD' from quotas_planversion v, quotas_measure m where v.state = 'published'"
    )
    data.owner(
        'insert into quotas_payscale (component_id, by, "window", whole_amount, threshold)'
        " select id, 'attainment', 'Q', false, 0 from quotas_plancomponent"
    )
    data.owner(
        "insert into quotas_ratetier (scale_id, starts_at, rate_ppm)"
        " select s.id, t.starts_at, t.rate_ppm from quotas_payscale s, (values (0, 800000), (1000000, 1500000)) t(starts_at, rate_ppm)"
    )
    for table in guarded:
        data.owner(f"alter table {table} enable trigger user")


def _floor(close: PeriodClose) -> float:
    """Seconds of copying what the close has written, constraints and indexes included."""
    for table in TABLES:
        data.owner(f"drop table if exists floor_{table}")
        data.owner(
            f"create table floor_{table} (like {table} including defaults including constraints including indexes)"
        )
    taken = seconds(
        lambda: data.owner(
            "; ".join(f"insert into floor_{t} select * from {t} where {_own(t, close)}" for t in TABLES)
        )
    )
    for table in TABLES:
        data.owner(f"drop table floor_{table}")
    return taken


def _own(table: str, close: PeriodClose) -> str:
    if table == "quotas_sealblock":
        return f"seal_id in (select id from quotas_seal where close_id = {close.pk})"
    if table == "quotas_markedposting":
        with connection.cursor() as cursor:
            cursor.execute("select mark_id from quotas_periodclose where id = %s", [close.pk])
            ((mark,),) = cursor.fetchall()
        return f"mark_id = {mark}"
    return f"close_id = {close.pk}"


GROUPS: Final = {closing_month: ("close_100k",)}
