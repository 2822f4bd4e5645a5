"""Recredit runs: what was credited is worked out again after facts or rules changed, and only the differences are posted.

A run is a job. Each step posts one span of days, or one slice of deals, in the transaction that moves the job on: a worker
that is killed loses nothing, and a step that is delivered twice finds nothing left to write.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import F, Max, Min

from accounts.models import Role, User
from config import jobs, outbox
from config.locks import one_at_a_time
from config.models import Job
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.extension import Change
from marketplace.models import Offering
from quotas.crediting import engine
from quotas.models import CreditEntry, Period, PeriodState
from quotas.selectors import recredits
from quotas.selectors.recredits import KIND, POSTED_LATER, RULES_LOOK_AT, Cause, written
from quotas.services import discrepancies

__all__ = [
    "Cause",
    "cancel_run",
    "follow_catalog",
    "follow_eligibility",
    "follow_opening",
    "start_run",
    "wait_for_postings",
]

# A step takes so many lines, and more of them in a run of very many: each step also costs a pass over all deals.
LINES_A_STEP: Final = 50_000
MOST_LINES_A_STEP: Final = 200_000
STEPS: Final = 50  # of a run as long as its steps may still grow
DEALS_A_STEP: Final = 10_000


@transaction.atomic
def start_run(
    *,
    starts: date,
    ends: date,
    cause: str,
    what: str,
    reason: str,
    by: User | None,
    at: datetime,
    deals: Sequence[int] | None = None,
    once: str = "",
) -> Job:
    """Recredit the deals with a credit date in [starts, ends), in the background.

    cause   One of Cause.
    what    What changed, as a sentence for the list of runs; a full stop at its end is left out.
    deals   These deals alone (with the refunds and originals of their families), whatever their dates; None is everything in the span.
    once    Names the occasion: a second run for the same one is not started, the first is returned.
    Raises  Invalid; Forbidden where a person who is no comp admin starts one by hand.
    """
    what = what.strip().rstrip(".")
    if cause == Cause.MANUAL and by is not None and not by.has_role(Role.COMP_ADMIN):
        raise Forbidden(Problem("not_a_comp_admin", "Only comp admins recredit."))
    refuse_if_any(_problems(starts, ends, cause, reason))
    if once:
        one_at_a_time("quotas.recredit", once)
        first = Job.objects.filter(kind=KIND, parameters__once=once).order_by("pk").first()
        if first is not None:
            return first
    return jobs.start(
        kind=KIND,
        title=what[:200],
        parameters={
            "cause": cause,
            "what": what,
            "reason": reason.strip(),
            "starts": starts.isoformat(),
            "ends": ends.isoformat(),
            "deals": None if deals is None else sorted(set(deals)),
            "once": once,
        },
        by_id=by.pk if by else None,
        at=at,
        unit="deals",
    )


def cancel_run(*, job_id: int, by: User, at: datetime) -> Job:
    """Stop a run after its present step; what is posted stays posted. Raises NotFound, Forbidden, Conflict."""
    job = Job.objects.filter(pk=job_id, kind=KIND).first()
    if job is None or not by.has_role(Role.COMP_ADMIN, Role.AUDITOR):
        raise NotFound.of("unknown_run", "There is no such run.")
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden(Problem("not_a_comp_admin", "Only comp admins cancel a run."))
    if job.finished:
        raise Conflict(Problem("run_finished", "The run has finished already."))
    return jobs.cancel(job_id=job_id, at=at)


@transaction.atomic
def follow_eligibility(*, change: Change, at: datetime) -> Job | None:
    """Start the run that a decision with credit dates behind it asks for, once however often it is told; None where nothing is credited."""
    return _follow(
        change, change.what, change.first_day, cause=Cause.ELIGIBILITY, reason="Follows the decision", at=at
    )


@transaction.atomic
def follow_catalog(*, change: Change, at: datetime) -> Job | None:
    """Start the run over whatever was sold of an offering when a fact of it that rules look at is another now, once however often it is told.

    Such facts have no dates: the engine reads them as they are. None where nothing is credited, or rules look at no fact that changed.
    """
    if not RULES_LOOK_AT.intersection(change.facts) or not change.offering_ids:
        return None
    about = Offering.objects.filter(pk__in=change.offering_ids).order_by("pk").first()
    others = len(change.offering_ids) - 1
    name = f"{about}" if not others else f"{about} (and {others:,} more)"
    what = change.what.replace("{offering}", name)
    return _follow(change, what, date.min, cause=Cause.CATALOG, reason="Follows the catalog", at=at)


@transaction.atomic
def follow_opening(*, calendar_id: int, what: str, by: User, at: datetime) -> Job | None:
    """Start the run that credits what waited for a month to be opened; None where nothing did."""
    wait_for_postings()
    waiting = recredits.waiting_for_a_month(calendar_id)
    days = waiting.aggregate(
        first=Min("credited_version__close_date"), last=Max("credited_version__close_date")
    )
    if days["first"] is None:
        return None
    return start_run(
        starts=days["first"],
        ends=days["last"] + timedelta(days=1),
        cause=Cause.PERIOD,
        what=what,
        reason="Follows the opening",
        by=by,
        at=at,
        deals=recredits.named(waiting),
    )


def _follow(
    change: Change, what: str, first_day: date, *, cause: str, reason: str, at: datetime
) -> Job | None:
    wait_for_postings()
    starts, ends = recredits.first_day(first_day), recredits.day_after_the_last(first_day)
    if starts is None or ends is None:
        return None
    deals = None
    if change.offering_ids is not None:
        deals = recredits.named(recredits.on_offerings(change.offering_ids, starts, ends))
        if deals == []:
            return None
    return start_run(
        starts=max(starts, first_day),
        ends=ends,
        cause=cause,
        what=what,
        reason=reason,
        by=None,
        at=at,
        deals=deals,
        once=change.key,
    )


def wait_for_postings() -> None:
    """Until this transaction ends no posting is in flight: none can go by what the facts were before it."""
    engine.lock_periods_exclusively()


@jobs.carries_out(KIND)
def step(job: Job, at: datetime) -> bool:
    """Plan the run, or post the next part of it."""
    if "parts" not in job.cursor:
        # Whoever posts by the facts of before has to be through, or the run would not see what they posted.
        wait_for_postings()
        job.cursor = {"parts": _parts(job.parameters), "next": 0}
        job.total = sum(part["count"] for part in job.cursor["parts"])
        return bool(job.cursor["parts"]) or _finish(job, at)
    part = job.cursor["parts"][job.cursor["next"]]
    _post(job, part, at)
    job.done += part["count"]
    job.cursor["next"] += 1
    return job.cursor["next"] < len(job.cursor["parts"]) or _finish(job, at)


def _finish(job: Job, at: datetime) -> bool:
    """Tell who asked for the run. Answers that there is nothing more to do."""
    if job.requested_by_id is not None:
        entries = written(job)
        outbox.promise(
            topic="accounts.notify",
            key=f"recredit:{job.pk}",
            payload={
                "user_ids": [job.requested_by_id],
                "key": f"recredit:{job.pk}",
                "text": f"Recredited: {job.title}. {entries:,} {'entry' if entries == 1 else 'entries'} written.",
                "url": f"/quotas/recredits/{job.pk}/",
            },
            at=at,
        )
    return False


def _problems(starts: date, ends: date, cause: str, reason: str) -> list[Problem]:
    found = []
    if ends <= starts:
        found.append(Problem("ends_before_it_starts", "The last day is before the first.", "/ends"))
    if cause not in Cause.values:
        found.append(Problem("unknown_cause", f"Causes are {', '.join(Cause.values)}.", "/cause"))
    if not reason.strip():
        found.append(
            Problem("reason_missing", "Say why: it is kept with every posting of the run.", "/reason")
        )
    elif len(reason) > 500:
        found.append(Problem("reason_too_long", "Say it in at most 500 characters.", "/reason"))
    return found


def _post(job: Job, part: dict[str, Any], at: datetime) -> None:
    source: engine.ByDeal | engine.BySpan
    first = str(part["starts"])
    if job.parameters["deals"] is not None:
        from_, to = part["slice"]
        source = engine.ByDeal(job.parameters["deals"][from_:to])
        first = f"deals-{from_}"
    elif "ids" in part:
        source = engine.ByDeal(_ids_of(date.fromisoformat(part["starts"]), *part["ids"]))
        first += f"-{part['ids'][0]}"
    else:
        source = engine.BySpan(date.fromisoformat(part["starts"]), date.fromisoformat(part["ends"]))
    before = _last_entry()
    outcome = engine.post(
        source,
        key=f"recredit:{job.pk}:{first}",
        kind="recredit",
        by=job.requested_by,
        at=at,
        reason=job.parameters["reason"],
    )
    jobs.count(job, outcome.counts)
    if outcome.counts.get("credited", 0) + outcome.counts.get("reversed", 0):
        jobs.count(job, {POSTED_LATER: _posted_later(outcome.posting_id, before)})
        first_entry = job.result.get("entries", [before + 1])[0]
        last = _last_entry()
        job.result["entries"] = [first_entry, last]  # between these, to find them by their key
        discrepancies.follow(outcome, between=(before, last), at=at)


def _parts(asked: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of a run, in order: each with how many deals it takes. 1 query, and 1 for each day that is too large for a step."""
    if asked["deals"] is not None:
        ids = asked["deals"]
        return [
            {
                "starts": asked["starts"],
                "slice": [n, n + DEALS_A_STEP],
                "count": len(ids[n : n + DEALS_A_STEP]),
            }
            for n in range(0, len(ids), DEALS_A_STEP)
        ]
    parts: list[dict[str, Any]] = []
    days = _days(asked["starts"], asked["ends"])
    most = max(LINES_A_STEP, min(MOST_LINES_A_STEP, sum(lines for _, _, lines in days) // STEPS))
    lines = most  # so that the first day begins a part
    for day, deals_of_day, lines_of_day in days:
        if lines_of_day > most:
            parts += _parts_of(day)
            lines = most
            continue
        if lines + lines_of_day > most:
            parts.append({"starts": day.isoformat(), "ends": "", "count": 0})
            lines = 0
        lines += lines_of_day
        parts[-1]["ends"] = date.fromordinal(day.toordinal() + 1).isoformat()
        parts[-1]["count"] += deals_of_day
    return parts


def _days(starts: str, ends: str) -> list[tuple[date, int, int]]:
    """Each credit date with the number of its deals and lines. One pass over the span."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT v.close_date, count(*), sum((SELECT count(*) FROM quotas_dealline l WHERE l.version_id = v.id))::bigint
            FROM quotas_deal d JOIN quotas_dealversion v ON v.id = d.credited_version_id
            WHERE v.close_date >= %s AND v.close_date < %s GROUP BY v.close_date ORDER BY v.close_date""",
            [starts, ends],
        )
        return list(cursor.fetchall())


def _parts_of(day: date) -> list[dict[str, Any]]:
    """One day in slices of deals, by the first id of each."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT min(id), max(id), count(*) FROM (
              SELECT d.id, (row_number() OVER (ORDER BY d.id) - 1) / %s nth
              FROM quotas_deal d JOIN quotas_dealversion v ON v.id = d.credited_version_id WHERE v.close_date = %s) x
            GROUP BY nth ORDER BY nth""",
            [DEALS_A_STEP, day],
        )
        return [
            {"starts": day.isoformat(), "ids": [first, last], "count": count}
            for first, last, count in cursor.fetchall()
        ]


def _ids_of(day: date, first: int, last: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.id FROM quotas_deal d JOIN quotas_dealversion v ON v.id = d.credited_version_id"
            " WHERE v.close_date = %s AND d.id BETWEEN %s AND %s ORDER BY d.id",
            [day, first, last],
        )
        return [deal_id for (deal_id,) in cursor.fetchall()]


def _last_entry() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sequence_last_value('quotas_creditentry_id_seq'::regclass)")
        row = cursor.fetchone()
    return (row[0] if row else None) or 0


def _posted_later(posting_id: int, after: int) -> int:
    """Entries of a posting that went to a later month than their own. Reads what was written since entry *after*, by index."""
    months = Period.objects.filter(grain="M", state=PeriodState.OPEN).values_list("pk", flat=True)
    return (
        CreditEntry.objects.filter(posting_period__in=list(months), pk__gt=after, posting=posting_id)
        .exclude(posting_period=F("origin_period"))
        .count()
    )
