"""Statements: issued by a close, acknowledged by their reps, handed out by the file; and plan documents that reps accept. RULES 15."""

import io
from collections.abc import Iterator
from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from psycopg import sql

from accounts.audit import acting
from accounts.models import Notification, Role, User
from config import job_files, jobs, outbox
from config.clock import day_of
from config.exports import Export, Format, Table, format_named, write
from config.house import day
from config.models import Job
from config.refusals import Conflict, Forbidden, Invalid, NotFound
from quotas.models import (
    CloseState,
    PeriodClose,
    PlanAcceptance,
    PlanState,
    PlanVersion,
    Rep,
    Statement,
)
from quotas.selectors import plan_documents, statement_tables
from quotas.selectors.statement_digests import (
    Wrong,
    digest_of,
    digests_sql,
    together,
    wrong,
)
from quotas.selectors.statements import contents_of, statements_for, with_heads
from quotas.selectors.visibility import SEES_EVERYTHING, rep_of

__all__ = ["Wrong", "accept_plan", "acknowledge", "digest_of", "issue", "remind", "start_pack", "wrong"]

PACK: Final = "quotas.statements"
PACKED: Final = 100  # statements a step
SEES: Final = (Role.MANAGER, *SEES_EVERYTHING)

_ISSUE: Final = sql.SQL(
    """
    INSERT INTO quotas_statement (close_id, rep_id, entries, digest, issued_at)
    SELECT %(close)s, rep_id, entries, digest, %(at)s FROM ({worked}) worked ORDER BY rep_id
    ON CONFLICT (close_id, rep_id) DO NOTHING
    """
)


# --- issuing ----------------------------------------------------------------------------------------------


@transaction.atomic
def issue(*, close: PeriodClose, at: datetime) -> str:
    """Issue the statements of a close out of what it froze; returns what proves them all. Issuing again changes nothing. 6 queries.

    Each rep with a log-in is told once the close is through.
    """
    worked, given = digests_sql(close)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('work_mem')")
        ((before,),) = cursor.fetchall()
        # One pass over a million entries, sorted by rep, in memory.
        cursor.execute("SELECT set_config('work_mem', '256MB', true)")
        cursor.execute(_ISSUE.format(worked=worked), {**given, "at": at})
        cursor.execute("SELECT set_config('work_mem', %s, true)", [before])
    outbox.promise(
        topic="quotas.statements_issued", key=f"statements:{close.pk}", payload={"close_id": close.pk}, at=at
    )
    return together(Statement.objects.filter(close=close).values_list("rep_id", "digest"))


class NotThroughYet(Exception):
    """The close is not through: its reps are told a little later."""


_TELL: Final = """
INSERT INTO accounts_notification (user_id, key, text, url, created_at)
SELECT u.id, %(key)s, %(text)s, %(url)s || s.id || '/', %(at)s
  FROM quotas_statement s JOIN quotas_rep r ON r.id = s.rep_id JOIN accounts_user u ON u.id = r.user_id AND u.is_active
 WHERE s.close_id = %(close)s AND (%(every)s OR s.acknowledged_at IS NULL) AND (%(reps)s::bigint[] IS NULL OR s.rep_id = ANY(%(reps)s::bigint[]))
ON CONFLICT (user_id, key) DO NOTHING
"""


def tell_reps(*, close_id: int, at: datetime) -> int:
    """One line for each rep with a log-in; returns how many were told. 2 queries. Raises NotThroughYet."""
    close = PeriodClose.objects.select_related("period").get(pk=close_id)
    if close.state == CloseState.CLOSING:
        raise NotThroughYet(f"{close} is being closed.")
    if close.state != CloseState.CLOSED:
        return 0
    name = close.period.name
    return _tell(
        close,
        at=at,
        key=f"statement:{name}:v{close.version}",
        text=f"Your statement of {name} is ready."
        if close.version == 1
        else f"Your statement of {name} was issued anew: version {close.version}.",
        every=True,
    )


def _tell(
    close: PeriodClose, *, at: datetime, key: str, text: str, every: bool, reps: list[int] | None = None
) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            _TELL,
            {
                "close": close.pk,
                "key": key,
                "text": text,
                "url": "/quotas/statements/",
                "at": at,
                "every": every,
                "reps": reps,
            },
        )
        return int(cursor.rowcount)


# --- acknowledging ----------------------------------------------------------------------------------------


@transaction.atomic
def acknowledge(*, statement_id: int, by: User, at: datetime) -> Statement:
    """The rep has read it. Once, by the rep alone. Raises NotFound, Forbidden, Conflict."""
    acting(by=by, at=at)
    statement = (
        statements_for(by, day_of(at))
        .select_for_update(of=("self",))
        .select_related("close__period", "rep")
        .filter(pk=statement_id)
        .first()
    )
    if statement is None:
        raise NotFound.of("not_found", "There is no such statement.")
    name = statement.close.period.name
    if statement.rep.user_id != by.pk:
        raise Forbidden.of("not_your_statement", "Only the rep acknowledges a statement.")
    if statement.acknowledged_at is not None:
        raise Conflict.of("already_acknowledged", f"You acknowledged it on {day(statement.acknowledged_at)}.")
    if statement.close.state != CloseState.CLOSED:
        raise Conflict.of(
            "reopened", f"{name} was reopened: its next close issues a new statement, which you acknowledge."
        )
    statement.acknowledged_by, statement.acknowledged_at = by, at
    statement.save(update_fields=["acknowledged_by", "acknowledged_at"])
    return statement


@transaction.atomic
def remind(*, close_id: int, by: User, at: datetime) -> int:
    """Remind those with a log-in who have not acknowledged, once a day at most; a manager reminds those of the teams.

    Returns how many statements are meant. Raises NotFound, Forbidden, Conflict.
    """
    close = _close_for(close_id, by, at)
    acting(by=by, at=at)
    if close.state != CloseState.CLOSED:
        raise Conflict.of("reopened", f"{close.period.name} was reopened: remind of its next statements.")
    meant = _open(close, by, day_of(at)).count()
    if not meant:
        raise Conflict.of("nobody_left", "Everybody who can has acknowledged already.")
    on = day_of(at)
    outbox.promise(
        topic="quotas.statements_reminded",
        key=f"statements-reminder:{close.pk}:{by.pk}:{on}",
        payload={"close_id": close.pk, "by": by.pk, "on": on.isoformat()},
        at=at,
    )
    return meant


def _close_for(close_id: int, by: User, at: datetime) -> PeriodClose:
    """A close of which this person sees others' statements."""
    if not by.has_role(*SEES):
        raise Forbidden.of("not_yours", "Managers and comp admins do this.")
    seen = statements_for(by, day_of(at)).filter(close=close_id)
    close = PeriodClose.objects.select_related("period").filter(pk=close_id).first()
    if close is None or not seen.exists():
        raise NotFound.of("not_found", "There is no such close.")
    return close


def _open(close: PeriodClose, by: User, on: date) -> QuerySet[Statement]:
    return statements_for(by, on).filter(close=close, acknowledged_at=None, rep__user__is_active=True)


def tell_reminded(*, close_id: int, by: User, on: date, at: datetime) -> int:
    """What remind() promised; returns how many were told. 3 queries."""
    close = PeriodClose.objects.select_related("period").get(pk=close_id)
    if close.state != CloseState.CLOSED:
        return 0
    return _tell(
        close,
        at=at,
        key=f"statement-reminder:{close.pk}:{on}",
        text=f"{by.name} asks you to acknowledge your statement of {close.period.name}.",
        every=False,
        reps=list(_open(close, by, on).values_list("rep_id", flat=True)),
    )


# --- handing out ------------------------------------------------------------------------------------------


@transaction.atomic
def start_pack(*, close_id: int, form: str, by: User, at: datetime) -> Job:
    """A file for each rep of a close, as a ZIP, in the background: of those whom this person may see. Raises NotFound, Forbidden, Invalid."""
    try:
        chosen = format_named(form)
    except ValueError as unknown:
        raise Invalid.of("unknown_format", str(unknown), "/format") from unknown
    close = _close_for(close_id, by, at)
    acting(by=by, at=at)
    return jobs.start(
        kind=PACK,
        title=f"Statements of {close}, a file for each rep",
        parameters={"close": close.pk, "format": chosen, "user": by.pk},
        by_id=by.pk,
        at=at,
        unit="statements",
    )


@jobs.carries_out(PACK)
def _pack(job: Job, at: datetime) -> bool:
    """The next so many statements, by id; the last step adds the list of them all."""
    by = User.objects.get(pk=job.parameters["user"])
    form = format_named(job.parameters["format"])
    found = statements_for(by, day_of(job.requested_at)).filter(close=job.parameters["close"])
    if job.total is None:
        job.total = found.count()
    some = list(with_heads(found.filter(pk__gt=job.cursor.get("after", 0))).order_by("pk")[:PACKED])
    if not some:
        return False
    job_files.keep(job, files(some, form, at=at))
    job.cursor["after"] = some[-1].pk
    job.done += len(some)
    return job.done < job.total


def may_still_see(job: Job, on: date) -> bool:
    """Whether who had a close packed may see every one of these statements today: a role or a team may have gone since. 2 queries."""
    by = job.requested_by
    if by is None:
        return False
    of_close = {"close": job.parameters["close"]}
    now = statements_for(by, on).filter(**of_close)
    then = statements_for(by, day_of(job.requested_at)).filter(**of_close)
    return now.count() >= job.done and not then.exclude(pk__in=now.values("pk")).exists()


def files(statements: list[Statement], form: Format, *, at: datetime) -> Iterator[tuple[str, bytes]]:
    """Each statement of one close as a file with its name."""
    for content in contents_of(statements):
        file = io.BytesIO()
        write(export_of([content], at=at), form, file)
        statement = content.statement
        yield (
            f"{statement.close.period.name}-v{statement.close.version}/{statement.rep.slug}-{statement.rep_id}.{form}",
            file.getvalue(),
        )


def export_of(contents: list[statement_tables.Content], *, at: datetime) -> Export:
    """One statement as a file."""
    statement = contents[0].statement
    name = f"{statement.close.period.name} v{statement.close.version}"
    table = statement_tables.rows_of(contents)
    rows = list(table.rows())
    return Export(
        name=f"statement {statement.rep.slug} {name}",
        title=f"Statement of {statement.rep.name}, {name}",
        table=Table(table.columns, lambda: rows),
        at=at.astimezone(ZoneInfo(settings.TIME_ZONE)),
        said=statement_tables.said_of(contents[0]),
        total=len(rows),
    )


# --- plan documents ---------------------------------------------------------------------------------------


@transaction.atomic
def accept_plan(*, version_id: int, digest: str, by: User, at: datetime) -> PlanAcceptance:
    """A rep accepts the document of a plan version that the rep has, as it read. Once. Raises NotFound, Forbidden, Conflict.

    digest  Of the document that was read.
    """
    acting(by=by, at=at)
    version = (
        PlanVersion.objects.select_related("plan").filter(pk=version_id, published_at__isnull=False).first()
    )
    if version is None:
        raise NotFound.of("not_found", "There is no such plan version.")
    rep = rep_of(by)
    if rep is None:
        raise Forbidden.of("not_a_rep", "A plan is accepted by those whom it pays.")
    Rep.objects.select_for_update(no_key=True).get(pk=rep.pk)
    done = PlanAcceptance.objects.filter(plan_version=version, rep=rep).first()
    if done is not None:
        raise Conflict.of("already_accepted", f"You accepted it on {day(done.at)}.")
    on = day_of(at)
    if version.state != PlanState.PUBLISHED or plan_documents.day_of(version, on) is None:
        raise Conflict.of("plan_is_over", f"{version} is no longer in force: accept the version that is.")
    if not plan_documents.who_has(version, on).filter(pk=rep.pk).exists():
        raise Forbidden.of("not_your_plan", f"{version} is not assigned to you.")
    now = plan_documents.document_of(version).digest
    if digest != now:
        raise Conflict.of(
            "document_changed", "A name in the document has changed: read it again, then accept it."
        )
    return PlanAcceptance.objects.create(plan_version=version, rep=rep, by=by, at=at, document_digest=now)


@transaction.atomic
def ask_acceptance(*, version_id: int, by: User, at: datetime) -> int:
    """Remind those with a log-in who have the plan and have not accepted it, once a day at most. Returns how many are meant.

    Raises NotFound, Forbidden, Conflict.
    """
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_yours", "Comp admins ask for acceptance.")
    version = PlanVersion.objects.filter(pk=version_id, state=PlanState.PUBLISHED).first()
    if version is None:
        raise NotFound.of("not_found", "There is no such plan version.")
    acting(by=by, at=at)
    on = day_of(at)
    meant = _unaccepted(version, on).count()
    if not meant:
        raise Conflict.of("nobody_left", "Everybody who can has accepted it already.")
    outbox.promise(
        topic="quotas.plan_acceptance_asked",
        key=f"plan-acceptance:{version.pk}:{on}",
        payload={"plan_version_id": version.pk, "on": on.isoformat()},
        at=at,
    )
    return meant


def _unaccepted(version: PlanVersion, on: date) -> QuerySet[Rep]:
    done = PlanAcceptance.objects.filter(plan_version=version).values("rep")
    return plan_documents.who_has(version, on).filter(~Q(pk__in=done), user__is_active=True)


def tell_asked(*, version_id: int, on: date, at: datetime) -> int:
    """What ask_acceptance() promised; returns how many are meant. 3 queries."""
    version = PlanVersion.objects.select_related("plan").get(pk=version_id)
    users = list(_unaccepted(version, on).values_list("user_id", flat=True))
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"plan-acceptance:{version.pk}:{on}",
                text=f"Read and accept {version}.",
                url=f"/quotas/plans/{version.plan.slug}/{version.number}/document/",
                created_at=at,
            )
            for user in users
        ],
        ignore_conflicts=True,
        batch_size=1_000,
    )
    return len(users)
