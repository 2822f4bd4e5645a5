"""Statements of a close, packed as a file for each of a thousand reps, beside writing their bare rows down.

The floor reads the same reps' entries of the month with the names that a statement shows, in one statement, and writes each
rep's rows as CSV into a ZIP. What it leaves out: balances, quotas, frozen totals, the digest, workbooks, and that a worker can be killed.
"""

import csv
import io
import statistics
import zipfile
from datetime import UTC, datetime
from itertools import groupby

from django.db import connection

from accounts.models import Role
from bench.data import owner
from bench.figures import Figure, seconds
from config import job_files, jobs
from config.models import Job, JobState
from quotas.crediting import loading
from quotas.models import CloseState, CreditEntry, Period, PeriodClose, Statement
from quotas.services import marking, statements
from tests import make

AT = datetime(2026, 8, 14, 20, tzinfo=UTC)
REPS = 1_000
ROUNDS = 3
MONTH = "FY27-M01"
_BARE = """
SELECT e.rep_id, e.id, m.name, d.id, c.name, o.name, r.name, e.credit_date, e.amount_minor
  FROM quotas_creditentry e JOIN quotas_measure m ON m.id = e.measure_id JOIN quotas_deal d ON d.id = e.deal_id
  JOIN marketplace_customer c ON c.id = d.customer_id JOIN quotas_ruleversion r ON r.id = e.rule_version_id
  JOIN quotas_dealline l ON l.version_id = e.deal_version_id AND l.line_no = e.line_no JOIN marketplace_offering o ON o.id = l.offering_id
 WHERE e.posting_period_id = %s AND e.rep_id = ANY(%s) ORDER BY e.rep_id, e.id
"""


def closed_month() -> PeriodClose:
    """The month with its totals frozen and statements of a thousand reps; for what is measured a close of theirs alone."""
    month = Period.objects.get(name=MONTH)
    asked, approved = make.user(role=Role.COMP_ADMIN), make.user(role=Role.COMP_ADMIN)
    last = PeriodClose.objects.filter(period=month).order_by("-version").first()
    close = PeriodClose.objects.create(
        period=month,
        version=last.version + 1 if last else 1,
        state=CloseState.REOPENED,
        asked_by=asked,
        asked_at=AT,
        approved_by=approved,
        approved_at=AT,
        mark=marking.mark(at=AT),
        reopen_asked_by=asked,
        reopen_reason="Made for a measurement",
        reopened_by=approved,
    )
    owner(
        "insert into quotas_closedtotal (close_id, period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)"
        f" select {close.pk}, t.period_id, t.measure_id, t.basis, t.team_id, t.rep_id, t.direct_minor, t.overlay_minor from quotas_credittotal t"
        f" where t.period_id = {month.pk} and t.basis = 1 and t.rep_id in (select distinct rep_id from quotas_creditentry"
        f" where posting_period_id = {month.pk} order by rep_id limit {REPS})"
    )
    owner(
        "insert into quotas_statement (close_id, rep_id, entries, digest, issued_at)"
        f" select distinct {close.pk}, t.rep_id, 0, md5(t.rep_id::text), now() from quotas_closedtotal t where t.close_id = {close.pk}"
    )
    return close


def pack(close: PeriodClose, form: str) -> int:
    """A job's steps and the archive that is sent; returns its bytes."""
    job = statements.start_pack(close_id=close.pk, form=form, by=close.asked_by, at=AT)
    if jobs.work_off(job_id=job.pk, now=lambda: AT).state != JobState.DONE:
        raise RuntimeError("The statements were not packed.")
    size = sum(map(len, job_files.zipped(job, AT)))
    Job.objects.filter(pk=job.pk).delete()
    return size


def bare(close: PeriodClose) -> int:
    """The floor."""
    reps = list(Statement.objects.filter(close=close).values_list("rep_id", flat=True))
    out = io.BytesIO()
    with connection.cursor() as cursor, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        cursor.execute(_BARE, [close.period_id, reps])
        for rep, rows in groupby(cursor.fetchall(), key=lambda row: row[0]):
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            archive.writestr(f"{rep}.csv", text.getvalue())
    return len(out.getvalue())


def statements_1000(_lines: int) -> dict[str, Figure]:
    """Seconds for the statements of 1,000 reps as workbooks, from the order to the last byte of the archive."""
    if not CreditEntry.objects.exists():  # measured alone
        months = Period.objects.filter(grain="M").order_by("starts")
        starts, ends = months[0].starts, months[len(months) - 1].ends
        loading.load(starts=starts, ends=ends, key="load", by=None, at=AT)
        owner("analyze")
    close = closed_month()
    times = [(seconds(lambda: pack(close, "xlsx")), seconds(lambda: bare(close))) for _ in range(ROUNDS)]
    ours, floor = (statistics.median(each[i] for each in times) for i in (0, 1))
    return {"statements_1000_s": Figure(ours, "s", floor, floor / ours, ROUNDS)}


GROUPS = {statements_1000: ("statements_1000_s",)}
