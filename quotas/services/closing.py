"""Closing a month: asked for by one comp admin, approved by another, carried out as a job; reopened by two. See quotas/RULES.md 14.

Each step of the job is one transaction: what the month came to is frozen, what it earned is posted, statements are issued,
the ledger is sealed, and then the month is closed. Killed anywhere, the next worker goes on with the step that was not done.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Max
from django.urls import reverse
from psycopg import sql

from accounts.audit import acting
from accounts.models import Role, User
from config import jobs, outbox
from config.language import marked
from config.mailing import in_english, promise_mail, say
from config.models import Job
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    ClosedQuota,
    CloseState,
    Component,
    Grain,
    Measure,
    Period,
    PeriodClose,
    PeriodState,
    ReceiverClass,
    Seal,
)
from quotas.selectors import closing as selectors
from quotas.selectors import snapshots
from quotas.selectors.closing import ACKNOWLEDGE, KIND, Item, checklist
from quotas.selectors.targets import EFFECTIVE
from quotas.services import earning, marking, recredit, sealing, statements

LONGEST_NOTE: Final = 500
STEPS: Final = ("freeze", "earnings", "statements", "seal", "close")
SAID: Final[Mapping[str, str]] = {
    "freeze": "Totals and quotas frozen",
    "earnings": "Earnings posted",
    "statements": "Statements issued",
    "seal": "Ledger sealed",
    "close": "Month closed",
}

_FREEZE: Final = sql.SQL(
    """
    , frozen AS (
      INSERT INTO quotas_closedtotal (close_id, period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor)
      SELECT %(close)s, t.period_id, t.measure_id, t.basis, t.team_id, t.rep_id, t.direct_minor, t.overlay_minor
        FROM quotas_credittotal t
       WHERE t.period_id = ANY(%(periods)s) AND (t.basis = 1 OR t.period_id = %(month)s) AND (t.direct_minor <> 0 OR t.overlay_minor <> 0)
       ORDER BY t.period_id, t.measure_id, t.basis, t.team_id, t.rep_id),
    wanted AS (
      INSERT INTO quotas_closedquota (close_id, period_id, measure_id, rep_id, team_id, quota_minor)
      SELECT %(close)s, q.period_id, q.measure_id, q.rep_id, q.team_id, {effective}
        FROM quotas_quota q JOIN quotas_period p ON p.id = q.period_id
       WHERE q.period_id = ANY(%(periods)s) AND q.superseded_at IS NULL)
    """
).format(effective=EFFECTIVE)


# --- asking, approving, calling back ----------------------------------------------------------------------


@transaction.atomic
def ask_close(*, period_id: int, by: User, at: datetime, note: str = "") -> PeriodClose:
    """Ask another comp admin to close a month. From now on nothing posts into it.

    Raises Forbidden, NotFound, Invalid, or Conflict: it is not open, somebody was first, or blockers, each by name.
    """
    _refuse_unless_comp_admin(by)
    note = note.strip()
    refuse_if_any(_too_long(note, "note"))
    acting(by=by, at=at, reason=note or "Close asked for")
    engine.lock_periods_exclusively()  # whoever is posting into the month comes first
    month = _month(period_id)
    if month.state != PeriodState.OPEN:
        raise Conflict(_not_open(month))
    _refuse_blocked(checklist(month, at=at))
    version = month.closes.exclude(state=CloseState.CALLED_BACK).aggregate(last=Max("version"))["last"] or 0
    close = PeriodClose.objects.create(period=month, version=version + 1, note=note, asked_by=by, asked_at=at)
    _become(month, PeriodState.CLOSING)
    _tell(
        close,
        others_than=by,
        key=f"close-asked:{close.pk}",
        text=say(marked("%(who)s asks you to close %(month)s"), who=by.name, month=month.name),
        more=say(marked("Its checklist has no blockers. Note: %(note)s"), note=note)
        if note
        else say(marked("Its checklist has no blockers.")),
        at=at,
    )
    return close


@transaction.atomic
def approve_close(
    *,
    close_id: int,
    by: User,
    at: datetime,
    acknowledged: Mapping[str, str] | None = None,
) -> Job:
    """Let the close begin, in the background. The checklist is made anew and kept with the close.

    acknowledged  Slug of each thing that is to be acknowledged to what is said about it; a reason where the item asks for one.
    Raises        Forbidden for whoever asked, NotFound, or Conflict: decided already, a blocker that has come since, or something
                  that nobody has acknowledged, each by name.
    """
    _refuse_unless_comp_admin(by)
    acting(by=by, at=at, reason="Close approved")
    engine.lock_periods_exclusively()
    close = _locked(close_id)
    month = _month(close.period_id)
    if close.state != CloseState.ASKED:
        raise Conflict.of("close_decided", f"This request was {close.get_state_display().lower()} already.")
    if close.asked_by_id == by.pk:
        raise Forbidden.of("own_close", "You asked for this close: another comp admin approves it.")
    items = checklist(month, at=at)
    _refuse_blocked(items)
    close.checklist = _answered(items, acknowledged or {}, by)
    close.approved_by, close.approved_at, close.state = by, at, CloseState.CLOSING
    close.job = _start(close, by=by, at=at)
    close.save(update_fields=["checklist", "approved_by", "approved_at", "state", "job"])
    return close.job


@transaction.atomic
def call_back(*, close_id: int, by: User, at: datetime, note: str = "") -> PeriodClose:
    """Take back what nobody has approved yet: the request to close a month, which is open again, or the one to reopen it.

    Any comp admin may. Raises Forbidden, NotFound, Invalid, Conflict.
    """
    _refuse_unless_comp_admin(by)
    note = note.strip()
    refuse_if_any(_too_long(note, "note"))
    acting(by=by, at=at, reason=note or "Called back")
    engine.lock_periods_exclusively()
    close = _locked(close_id)
    month = _month(close.period_id)
    if close.state == CloseState.CLOSED and close.reopen_asked_by_id is not None:
        close.reopen_asked_by, close.reopen_asked_at, close.reopen_reason = None, None, ""
        close.save(update_fields=["reopen_asked_by", "reopen_asked_at", "reopen_reason"])
        return close
    if close.state != CloseState.ASKED:
        raise Conflict.of(
            "nothing_to_call_back",
            f"Nothing about this close waits: it is {close.get_state_display().lower()}.",
        )
    close.state, close.ended_at = CloseState.CALLED_BACK, at
    close.save(update_fields=["state", "ended_at"])
    _become(month, PeriodState.OPEN)
    if close.asked_by_id != by.pk:
        _notify(
            [close.asked_by_id],
            close,
            f"close-back:{close.pk}",
            f"{by.name} called your request to close {month.name} back.",
            at,
        )
    return close


@transaction.atomic
def go_on(*, close_id: int, by: User, at: datetime) -> Job:
    """Start the job of an approved close again that has failed or was stopped; what it has done stays done. Raises Forbidden, NotFound, Conflict."""
    _refuse_unless_comp_admin(by)
    acting(by=by, at=at, reason="Close continued")
    close = _locked(close_id)
    if close.state != CloseState.CLOSING or close.job is None or not close.job.finished:
        raise Conflict.of("nothing_to_go_on", "This close is not one that has stopped half way.")
    before = close.job
    close.job = _start(close, by=by, at=at)
    close.job.cursor, close.job.done, close.job.counts = before.cursor, before.done, before.counts
    close.job.save(update_fields=["cursor", "done", "counts"])
    close.save(update_fields=["job"])
    return close.job


# --- the job ----------------------------------------------------------------------------------------------


@jobs.carries_out(KIND)
def step(job: Job, at: datetime) -> bool:
    """The next step of a close, in the transaction that moves its job on."""
    close = PeriodClose.objects.select_for_update(of=("self",)).get(pk=job.parameters["close"])
    acting(by=close.approved_by, at=at, reason=f"Close of {close.period.name}, version {close.version}")
    nth = int(job.cursor.get("next", 0))
    _STEPS[STEPS[nth]](close, job, at)
    job.cursor, job.done = {"next": nth + 1}, nth + 1
    return nth + 1 < len(STEPS)


def _freeze(close: PeriodClose, job: Job, at: datetime) -> None:
    """Totals of the month and of what holds it, and quotas, all in the snapshot of the mark; postings elsewhere go on meanwhile."""
    month = close.period
    close.mark = marking.mark_with(
        at=at, beside=_FREEZE, close=close.pk, periods=snapshots.holding(month), month=month.pk
    )
    close.entries, close.totals = _came_to(month)
    close.frozen_digest = snapshots.frozen_digest(close)
    close.save(update_fields=["mark", "entries", "totals", "frozen_digest"])
    quotas = ClosedQuota.objects.filter(close=close).count()
    jobs.count(job, {"entries": close.entries, "quotas": quotas})


def _came_to(month: Period) -> tuple[int, dict[str, dict[str, int]]]:
    """How many entries are posted in a month, and by measure what they come to. 2 queries."""
    slugs = dict(Measure.objects.values_list("pk", "slug"))
    totals: dict[str, dict[str, int]] = {}
    entries = 0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT measure_id, count(*), coalesce(sum(amount_minor) FILTER (WHERE receiver_class = %s), 0)::bigint,
                   coalesce(sum(amount_minor) FILTER (WHERE receiver_class = %s), 0)::bigint,
                   coalesce(sum(amount_minor) FILTER (WHERE component = %s), 0)::bigint
              FROM quotas_creditentry WHERE posting_period_id = %s GROUP BY measure_id ORDER BY measure_id""",
            [ReceiverClass.DIRECT, ReceiverClass.OVERLAY, Component.ADJUSTMENT, month.pk],
        )
        for measure, count, direct, overlay, adjusted in cursor.fetchall():
            entries += count
            totals[slugs[measure]] = {"direct": direct, "overlay": overlay, "adjusted": adjusted}
    return entries, totals


def _earnings(close: PeriodClose, _job: Job, at: datetime) -> None:
    close.payments_digest = earning.post_earnings(close=close, at=at)
    close.save(update_fields=["payments_digest"])


def _statements(close: PeriodClose, job: Job, at: datetime) -> None:
    close.statements_digest = statements.issue(close=close, at=at)
    close.save(update_fields=["statements_digest"])
    jobs.count(job, {"statements": close.statements.count()})


def _seal(close: PeriodClose, job: Job, at: datetime) -> None:
    made = sealing.seal(close=close, at=at)
    if made is not None:
        jobs.count(job, {"sealed": made.entries})


def _close(close: PeriodClose, _job: Job, at: datetime) -> None:
    engine.lock_periods_exclusively()
    month = _month(close.period_id)
    close.state, close.ended_at = CloseState.CLOSED, at
    close.save(update_fields=["state", "ended_at"])
    _become(month, PeriodState.CLOSED)
    _mail_digest(close, at)


_STEPS: Final[Mapping[str, Callable[[PeriodClose, Job, datetime], None]]] = {
    "freeze": _freeze,
    "earnings": _earnings,
    "statements": _statements,
    "seal": _seal,
    "close": _close,
}


def _start(close: PeriodClose, *, by: User, at: datetime) -> Job:
    job = jobs.start(
        kind=KIND,
        title=f"Close of {close.period.name}" + (f", version {close.version}" if close.version > 1 else ""),
        parameters={"close": close.pk},
        by_id=by.pk,
        at=at,
        unit="steps",
    )
    job.total = len(STEPS)
    job.save(update_fields=["total"])
    return job


def _mail_digest(close: PeriodClose, at: datetime) -> None:
    """The digest leaves the database: whoever keeps the mail can have the ledger checked against it."""
    seal = Seal.objects.get(close=close)
    name = close.period.name
    named = (
        name
        if close.version == 1
        else say(marked("%(month)s, version %(version)s"), month=name, version=close.version)
    )
    people = selectors.people_with(Role.COMP_ADMIN, Role.AUDITOR)
    where = reverse("quotas:period", args=[name])
    _notify(
        people,
        close,
        f"close-done:{close.pk}",
        f"{in_english(named)} is closed. Seal {seal.number}: {seal.digest[:12]}…",
        at,
    )
    promise_mail(
        key=f"close-done:{close.pk}",
        to=people,
        subject=say(marked("%(month)s is closed: digest %(digest)s"), month=named, digest=seal.digest[:12]),
        text="\n".join(
            [
                say(
                    marked("%(month)s is closed. Asked for by %(asker)s, approved by %(approver)s."),
                    month=named,
                    asker=close.asked_by.name,
                    approver=close.approved_by.name if close.approved_by else "",
                ),
                "",
                *(
                    f"{say(label)}: {value}"
                    for label, value in (
                        (marked("Seal"), seal.number),
                        (marked("Digest"), seal.digest),
                        (marked("Frozen"), close.frozen_digest),
                        (marked("Statements"), close.statements_digest),
                        (marked("Payments"), close.payments_digest),
                    )
                ),
                say(
                    marked("Entries: %(posted)s posted in the month, %(sealed)s sealed by this close"),
                    posted=close.entries,
                    sealed=seal.entries,
                ),
                "",
                say(
                    marked(
                        "Keep this mail: the digest says what the ledger was. It is checked with the following, or on the page below."
                    )
                ),
                f"    manage.py verify_ledger --against {seal.digest}",
            ]
        ),
        link=where,
        at=at,
    )


# --- reopening and opening --------------------------------------------------------------------------------


@transaction.atomic
def ask_reopen(*, period_id: int, reason: str, by: User, at: datetime) -> PeriodClose:
    """Ask another comp admin to reopen the last closed month of its calendar. Raises Forbidden, NotFound, Invalid, Conflict."""
    _refuse_unless_comp_admin(by)
    reason = reason.strip()
    refuse_if_any(
        _too_long(reason, "reason")
        if reason
        else [Problem("reason_missing", "Say why it has to be opened again.", "/reason")]
    )
    acting(by=by, at=at, reason=reason)
    engine.lock_periods_exclusively()
    month = _month(period_id)
    close = _reopenable(month)
    if close.reopen_asked_by is not None:
        raise Conflict.of(
            "reopening_asked",
            f"{close.reopen_asked_by.name} has asked for it already: another comp admin than they reopens it.",
        )
    close.reopen_asked_by, close.reopen_asked_at, close.reopen_reason = by, at, reason
    close.save(update_fields=["reopen_asked_by", "reopen_asked_at", "reopen_reason"])
    _tell(
        close,
        others_than=by,
        key=f"reopen-asked:{close.pk}:{at.isoformat()}",
        text=say(marked("%(who)s asks you to reopen %(month)s"), who=by.name, month=month.name),
        more=say(marked("Reason: %(reason)s"), reason=reason),
        at=at,
    )
    return close


@transaction.atomic
def reopen(*, close_id: int, by: User, at: datetime) -> PeriodClose:
    """Open a closed month again. What its close froze, issued and sealed stays; the next close is the next version beside it.

    Raises Forbidden for whoever asked for it, NotFound, Conflict.
    """
    _refuse_unless_comp_admin(by)
    engine.lock_periods_exclusively()
    close = _locked(close_id)
    acting(by=by, at=at, reason=close.reopen_reason or "Reopened")
    month = _month(close.period_id)
    if close.state != CloseState.CLOSED or _reopenable(month).pk != close.pk:
        raise Conflict.of("not_closed", f"{month.name} is not closed by this close.")
    if close.reopen_asked_by_id is None:
        raise Conflict.of("reopening_not_asked", "Nobody has asked to reopen it: one asks, another reopens.")
    if close.reopen_asked_by_id == by.pk:
        raise Forbidden.of("own_reopening", "You asked to reopen it: another comp admin does it.")
    close.state, close.reopened_by, close.reopened_at = CloseState.REOPENED, by, at
    close.save(update_fields=["state", "reopened_by", "reopened_at"])
    _become(month, PeriodState.OPEN)
    told = [pk for pk in selectors.people_with(Role.COMP_ADMIN, Role.AUDITOR) if pk != by.pk]
    _notify(
        told,
        close,
        f"reopened:{close.pk}",
        f"{by.name} reopened {month.name}: {close.reopen_reason}"[:300],
        at,
    )
    return close


@transaction.atomic
def open_month(*, period_id: int, by: User, at: datetime) -> Period:
    """Let a future month take credit; those before it come first. What waited for it is credited by a run. Raises Forbidden, NotFound, Conflict."""
    _refuse_unless_comp_admin(by)
    engine.lock_periods_exclusively()
    month = _month(period_id)
    acting(by=by, at=at, reason=f"{month.name} opened")
    if month.state != PeriodState.FUTURE:
        raise Conflict.of("not_future", f"{month.name} is {month.get_state_display().lower()} already.")
    earlier = (
        Period.objects.filter(
            calendar=month.calendar_id, grain=Grain.MONTH, state=PeriodState.FUTURE, starts__lt=month.starts
        )
        .order_by("starts")
        .first()
    )
    if earlier is not None:
        raise Conflict.of("earlier_month_future", f"Open {earlier.name} first: it comes before {month.name}.")
    _become(month, PeriodState.OPEN)
    recredit.follow_opening(calendar_id=month.calendar_id, what=f"{month.name} opened", by=by, at=at)
    return month


def _reopenable(month: Period) -> PeriodClose:
    """The close that would be undone. Raises Conflict."""
    close = selectors.standing(month)
    if month.state != PeriodState.CLOSED:
        raise Conflict.of("not_closed", f"{month.name} is {month.get_state_display().lower()}, not closed.")
    if close is None:
        raise Conflict.of(
            "closed_before_parity",
            f"{month.name} was closed before Parity had it: there is no close to undo. Corrections go to the first open month.",
        )
    later = (
        Period.objects.filter(
            calendar=month.calendar_id,
            grain=Grain.MONTH,
            starts__gt=month.starts,
            state__in=[PeriodState.CLOSED, PeriodState.CLOSING],
        )
        .order_by("-starts")
        .first()
    )
    if later is not None:
        raise Conflict.of(
            "not_the_last_closed",
            f"{later.name} comes after it and is {later.get_state_display().lower()}: only the last closed month is reopened.",
        )
    return (
        PeriodClose.objects.select_related("reopen_asked_by").select_for_update(of=("self",)).get(pk=close.pk)
    )


# --- parts ------------------------------------------------------------------------------------------------


def _month(period_id: int) -> Period:
    month = (
        Period.objects.select_related("calendar")
        .select_for_update(of=("self",))
        .filter(pk=period_id, grain=Grain.MONTH)
        .first()
    )
    if month is None:
        raise NotFound.of("unknown_month", "There is no such month: months are what closes.")
    return month


def _locked(close_id: int) -> PeriodClose:
    close = (
        PeriodClose.objects.select_related("period", "asked_by", "job")
        .select_for_update(of=("self",))
        .filter(pk=close_id)
        .first()
    )
    if close is None:
        raise NotFound.of("unknown_close", "There is no such close.")
    return close


def _become(month: Period, state: PeriodState) -> None:
    Period.objects.filter(pk=month.pk).update(state=state)
    month.state = state


def _not_open(month: Period) -> Problem:
    standing = selectors.standing(month)
    if month.state == PeriodState.CLOSING and standing is not None:
        who = standing.approved_by or standing.asked_by
        did = "approved its close" if standing.approved_by else "asked for its close"
        return Problem("close_under_way", f"{month.name} is being closed: {who.name} {did} already.")
    return Problem(
        "not_open", f"{month.name} is {month.get_state_display().lower()}: only an open month is closed."
    )


def _refuse_blocked(items: Iterable[Item]) -> None:
    found = selectors.blockers(items)
    if found:
        raise Conflict(*(Problem(f"blocked_{item.slug.replace('-', '_')}", item.sentence) for item in found))


def _answered(items: Iterable[Item], acknowledged: Mapping[str, str], by: User) -> list[dict[str, Any]]:
    """The checklist as it is kept. Raises Conflict with everything that nobody has acknowledged."""
    kept, missing = [], []
    for item in items:
        told = item.told()
        if item.state == ACKNOWLEDGE:
            said = acknowledged.get(item.slug)
            pointer = f"/acknowledged/{item.slug}"
            if said is None:
                missing.append(
                    Problem("not_acknowledged", f"{item.title}: acknowledge it. {item.sentence}", pointer)
                )
            elif item.reason and not said.strip():
                missing.append(
                    Problem("reason_missing", f"{item.title}: say why it is closed all the same.", pointer)
                )
            elif len(said) > LONGEST_NOTE:
                missing += _too_long(said, pointer.removeprefix("/"))
            else:
                told |= {"acknowledged_by": by.name, "acknowledged_by_id": by.pk, "reason": said.strip()}
        kept.append(told)
    if missing:
        raise Conflict(*missing)
    return kept


def _too_long(text: str, field: str) -> list[Problem]:
    if len(text) <= LONGEST_NOTE:
        return []
    return [Problem("too_long", f"Say it in at most {LONGEST_NOTE} characters.", f"/{field}")]


def _tell(close: PeriodClose, *, others_than: User, key: str, text: str, more: str, at: datetime) -> None:
    """The other comp admins, on their pages and by mail."""
    people = [pk for pk in selectors.people_with(Role.COMP_ADMIN) if pk != others_than.pk]
    _notify(people, close, key, f"{in_english(text)}.", at)
    promise_mail(
        key=key,
        to=people,
        subject=text,
        text=f"{text}.\n\n{more}",
        link=reverse("quotas:period", args=[close.period.name]),
        at=at,
    )


def _notify(people: list[int], close: PeriodClose, key: str, text: str, at: datetime) -> None:
    if not people:
        return
    outbox.promise(
        topic="accounts.notify",
        key=f"notify:{key}"[:120],
        payload={
            "user_ids": people,
            "key": key[:80],
            "text": text,
            "url": reverse("quotas:period", args=[close.period.name]),
        },
        at=at,
    )


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Months are closed and opened by comp admins.")
