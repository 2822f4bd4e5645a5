"""Disputes: a rep says that a number is wrong, the other side answers, both read one thread. RULES 13."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import User
from config import mailing
from config.clock import day_of
from config.given import tidy
from config.language import marked
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, Stale, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    Dispute,
    DisputeKind,
    DisputeMessage,
    DisputeState,
    Measure,
    Period,
    Rep,
)
from quotas.selectors import evidence as evidences
from quotas.selectors.disputes import (
    OPEN,
    answerers,
    disputes_for,
    due_after,
    may_answer,
    may_dispute,
    may_speak,
    subject,
)
from quotas.services.adjusting import AdjustmentDraft, ask_adjustment

LONGEST: Final = 2000
REMIND_BEFORE: Final = timedelta(days=1)


@dataclass(frozen=True)
class DisputeDraft:
    """What somebody says is wrong, about one of entry, deal, quota or period, or about a number of a period in general.

    claimed_minor  What it ought to be, in minor units of the measure.
    """

    rep_id: int
    kind: str
    text: str
    entry_id: int | None = None
    deal_id: int | None = None
    quota_id: int | None = None
    period_id: int | None = None
    measure_id: int | None = None
    claimed_minor: int | None = None


@transaction.atomic
def open_dispute(*, draft: DisputeDraft, by: User, at: datetime) -> Dispute:
    """Open it and freeze what stands. For the rep, a manager above or a comp admin. Raises NotFound, Invalid, Conflict.

    Whose number it is not, or who cannot see what it is about, learns no more than that it is not there.
    """
    on = day_of(at)
    rep = Rep.objects.select_related("user").filter(pk=draft.rep_id).first()
    period = Period.objects.filter(pk=draft.period_id).first() if draft.period_id else None
    found = (
        subject(
            by,
            on,
            entry_id=draft.entry_id,
            deal_id=draft.deal_id if draft.entry_id is None else None,
            quota_id=draft.quota_id,
            period=period,
            rep=rep,
        )
        if rep is not None and may_dispute(by, rep, on)
        else None
    )
    if rep is None or found is None or rep.pk not in {each.pk for each in found.reps}:
        raise NotFound.of("nothing_to_dispute", "There is no such number that is yours to dispute.")
    measure = (
        found.measure
        if found.measure is not None
        else Measure.objects.filter(pk=draft.measure_id).select_related("currency").first()
        if draft.measure_id
        else None
    )
    refuse_if_any(_problems(draft, measure, about=bool(found.deal or found.entry or found.quota or period)))
    deal, entry = found.deal, found.entry
    period = period or found.period
    Rep.objects.select_for_update().get(
        pk=rep.pk
    )  # one after the other, so that the same is not opened twice
    same = Dispute.objects.filter(
        state__in=OPEN,
        rep=rep,
        kind=draft.kind,
        deal=deal,
        entry_id=draft.entry_id,
        measure=measure,
        period=period,
    ).first()
    if same is not None:
        raise Conflict.of("open_already", f"{same.reference} is open about the same: write there.")
    kept = evidences.gather(rep=rep, deal=deal, entry=entry, period=period, measure=measure, at=at, on=on)
    acting(by=by, at=at, reason=draft.text.strip()[:500])
    dispute = Dispute.objects.create(
        kind=draft.kind,
        rep=rep,
        deal=deal,
        entry_id=draft.entry_id,
        measure=measure,
        period=period,
        claimed_minor=draft.claimed_minor,
        text=draft.text.strip(),
        evidence=kept,
        evidence_digest=evidences.digest(kept),
        opened_by=by,
        opened_at=at,
        due_at=due_after(at, settings.DISPUTE_ANSWER_DAYS),
    )
    who = rep.name if rep.user_id == by.pk else f"{by.name} for {rep.name}"
    _tell(
        dispute,
        answerers(dispute, on),
        f"{who} opened {dispute.reference}: {_kind(dispute)}.",
        "opened",
        at=at,
    )
    if rep.user_id is not None and rep.user_id != by.pk:
        _tell(
            dispute,
            {rep.user_id},
            f"{by.name} opened {dispute.reference} for you: {_kind(dispute)}.",
            "opened",
            at=at,
        )
    return dispute


@transaction.atomic
def say(*, dispute_id: int, text: str, by: User, at: datetime) -> DisputeMessage:
    """Write into the thread of an open dispute; both sides read it. Raises NotFound, Forbidden, Invalid, Conflict."""
    dispute = _locked(dispute_id, by=by, at=at)
    if not may_speak(by, dispute, day_of(at)):
        raise Forbidden.of("reads_only", "You can read this dispute, not answer it.")
    said = _text(text)
    _refuse_ended(dispute)
    acting(by=by, at=at)
    message = DisputeMessage.objects.create(dispute=dispute, by=by, at=at, text=said)
    _bump(dispute)
    own = by.pk in (dispute.rep.user_id, dispute.opened_by_id)
    others = answerers(dispute, day_of(at)) if own else {dispute.rep.user_id, dispute.opened_by_id}
    _tell(
        dispute, {*others} - {by.pk}, f"{by.name} wrote in {dispute.reference}.", f"said:{message.pk}", at=at
    )
    return message


@transaction.atomic
def take(*, dispute_id: int, by: User, at: datetime, expected_revision: int | None = None) -> Dispute:
    """Say that one looks into it; from another answerer it can be taken over. Raises NotFound, Forbidden, Conflict, Stale."""
    dispute = _locked(dispute_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_unless_answerer(dispute, by=by, at=at)
    _refuse_ended(dispute)
    if dispute.assigned_to_id == by.pk:
        raise Conflict.of("taken_already", f"You look into {dispute.reference} already.")
    acting(by=by, at=at)
    dispute.state = DisputeState.IN_REVIEW
    dispute.assigned_to, dispute.taken_at = by, at
    _bump(dispute, "state", "assigned_to", "taken_at")
    DisputeMessage.objects.create(
        dispute=dispute, by=by, at=at, text=f"{by.name} looks into it.", became=DisputeState.IN_REVIEW
    )
    _tell(
        dispute,
        {dispute.rep.user_id, dispute.opened_by_id} - {by.pk},
        f"{by.name} looks into {dispute.reference}.",
        f"taken:{dispute.revision}",
        at=at,
    )
    return dispute


@transaction.atomic
def resolve(
    *,
    dispute_id: int,
    accept: bool,
    text: str,
    by: User,
    at: datetime,
    adjustment: AdjustmentDraft | None = None,
    expected_revision: int | None = None,
) -> Dispute:
    """Answer it. Accepted, either with an adjustment that is asked for in the same step, or because it was corrected at the source.

    adjustment  Of the same rep; another comp admin decides on it, and the thread says how. Turned down, the dispute is in review again.
    Raises      NotFound, Forbidden (own number), Invalid, Conflict (answered already, by whom), Stale.
    """
    if adjustment is not None and adjustment.deal_id is not None:
        engine.lock(
            engine.ByDeal([adjustment.deal_id])
        )  # before the dispute, as deciding on an adjustment does
    dispute = _locked(dispute_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_unless_answerer(dispute, by=by, at=at)
    said = _text(text)
    _refuse_ended(dispute)
    if adjustment is not None and not accept:
        raise Invalid.of("rejected_with_adjustment", "What is rejected is not adjusted.", "/adjustment")
    if adjustment is not None and adjustment.rep_id != dispute.rep_id:
        raise Invalid.of(
            "other_rep",
            "The adjustment is of the rep whose dispute it is; ask for another one by itself.",
            "/adjustment/rep",
        )
    became = DisputeState.ACCEPTED if accept else DisputeState.REJECTED
    acting(by=by, at=at, reason=said[:500])
    dispute.state = became
    dispute.resolved_by, dispute.resolved_at, dispute.resolution = by, at, said
    _bump(dispute, "state", "resolved_by", "resolved_at", "resolution")
    DisputeMessage.objects.create(dispute=dispute, by=by, at=at, text=said, became=became)
    if adjustment is not None:
        asked = ask_adjustment(draft=replace(adjustment, dispute_id=dispute.pk), by=by, at=at)
        DisputeMessage.objects.create(
            dispute=dispute,
            by=by,
            at=at,
            text=f"{asked.reference} is asked for. It counts once another comp admin has approved it.",
        )
    _tell(
        dispute,
        {dispute.rep.user_id, dispute.opened_by_id},
        f"{dispute.reference} was {'accepted' if accept else 'rejected'} by {by.name}: {said}",
        f"resolved:{dispute.revision}",
        at=at,
    )
    people = {dispute.rep.user_id, dispute.opened_by_id} - {None}
    _mail(
        dispute,
        {p for p in people if p},
        mailing.say(
            marked("%(dispute)s was accepted") if accept else marked("%(dispute)s was rejected"),
            dispute=dispute.reference,
        ),
        said,
        f"resolved:{dispute.revision}",
        at=at,
    )
    return dispute


@transaction.atomic
def withdraw(
    *, dispute_id: int, by: User, at: datetime, text: str = "", expected_revision: int | None = None
) -> Dispute:
    """Take it back: the rep, or whoever opened it. Raises NotFound, Forbidden, Conflict, Stale."""
    dispute = _locked(dispute_id, by=by, at=at, expected_revision=expected_revision)
    if by.pk not in (dispute.rep.user_id, dispute.opened_by_id):
        raise Forbidden.of("not_yours", "Whoever opened a dispute withdraws it, or the rep that it is about.")
    said = _text(text, needed=False)
    _refuse_ended(dispute)
    acting(by=by, at=at, reason=said[:500])
    dispute.state = DisputeState.WITHDRAWN
    dispute.resolved_by, dispute.resolved_at, dispute.resolution = by, at, said
    _bump(dispute, "state", "resolved_by", "resolved_at", "resolution")
    DisputeMessage.objects.create(
        dispute=dispute, by=by, at=at, text=said or "Withdrawn.", became=DisputeState.WITHDRAWN
    )
    if dispute.assigned_to_id is not None:
        _tell(
            dispute,
            {dispute.assigned_to_id} - {by.pk},
            f"{dispute.reference} was withdrawn.",
            "withdrawn",
            at=at,
        )
    return dispute


@transaction.atomic
def remind(*, at: datetime) -> int:
    """Tell those who owe an answer that it is due within a day, or late: each dispute once. How many are due."""
    due = list(
        Dispute.objects.filter(state__in=OPEN, due_at__lte=at + REMIND_BEFORE)
        .select_related("rep")
        .order_by("due_at", "pk")[:500]
    )
    for dispute in due:
        users = answerers(dispute, day_of(at))
        late = dispute.due_at <= at
        values = {
            "dispute": dispute.reference,
            "rep": dispute.rep.name,
            "due": mailing.moment(dispute.due_at),
        }
        text = mailing.say(
            marked("%(dispute)s of %(rep)s waits for an answer since %(due)s.")
            if late
            else marked("%(dispute)s of %(rep)s wants an answer by %(due)s."),
            **values,
        )
        _tell(dispute, users, mailing.in_english(text), "due", at=at)
        _mail(
            dispute,
            users,
            mailing.say(
                marked("%(dispute)s: an answer is late") if late else marked("%(dispute)s: an answer is due"),
                **values,
            ),
            text,
            "due",
            at=at,
        )
    return len(due)


# --- what is checked ----------------------------------------------------------------------------------------------


def _problems(draft: DisputeDraft, measure: Measure | None, *, about: bool) -> Iterable[Problem]:
    if draft.kind not in DisputeKind.values:
        yield Problem("unknown_kind", "Choose what is wrong.", "/kind")
    text = draft.text.strip()
    if not text or len(text) > LONGEST or "\x00" in text:
        yield Problem(
            "text_missing" if not text else "text_too_long",
            f"Say what is wrong and why, in at most {LONGEST:,} characters.",
            "/text",
        )
    if not about:
        yield Problem("about_nothing", "Say which deal it is about, or which period.", "/deal")
    if draft.measure_id is not None and measure is None:
        yield Problem("unknown_measure", "Choose a measure.", "/measure")
    if draft.claimed_minor is not None:
        if measure is None:
            yield Problem("measure_missing", "Say in which measure you mean the amount.", "/measure")
        if abs(draft.claimed_minor) > LARGEST_AMOUNT_MINOR:
            yield Problem("too_large", "This is beyond what Parity counts exactly.", "/claimed")


def _text(text: str, *, needed: bool = True) -> str:
    said = tidy(text)
    if (needed and not said) or len(said) > LONGEST:
        raise Invalid.of(
            "text_too_long" if said else "text_missing",
            f"Write something, in at most {LONGEST:,} characters: both sides read it.",
            "/text",
        )
    return said


def _locked(dispute_id: int, *, by: User, at: datetime, expected_revision: int | None = None) -> Dispute:
    if not disputes_for(by, day_of(at)).filter(pk=dispute_id).exists():
        raise NotFound.of("unknown_dispute", "There is no such dispute.")
    dispute = (
        Dispute.objects.select_for_update(of=("self",))
        .select_related("rep", "opened_by", "assigned_to", "resolved_by", "deal", "measure", "period")
        .get(pk=dispute_id)
    )
    if expected_revision is not None and dispute.revision != expected_revision:
        if dispute.state not in OPEN:
            _refuse_ended(dispute)
        raise Stale(Problem("stale", f"{dispute.reference} has changed since you read it: read it again."))
    return dispute


def _refuse_ended(dispute: Dispute) -> None:
    if dispute.state not in OPEN:
        who = f" by {dispute.resolved_by.name}" if dispute.resolved_by else ""
        raise Conflict.of(
            "answered_already",
            f"{dispute.reference} was {dispute.get_state_display().lower()} already{who}: open another one if something is still wrong.",
        )


def _refuse_unless_answerer(dispute: Dispute, *, by: User, at: datetime) -> None:
    if by.pk in (dispute.rep.user_id, dispute.opened_by_id):
        raise Forbidden.of("own_dispute", "Somebody else answers a dispute of yours.")
    if not may_answer(by, dispute, day_of(at)):
        raise Forbidden.of("reads_only", "Comp admins answer disputes, and the managers above the rep.")


def _bump(dispute: Dispute, *fields: str) -> None:
    dispute.revision += 1
    dispute.save(update_fields=[*fields, "revision"])


# --- who hears of it ----------------------------------------------------------------------------------------------


def _kind(dispute: Dispute) -> str:
    label = dispute.get_kind_display()
    about = (
        f" on {dispute.deal.reference}"
        if dispute.deal
        else f" in {dispute.period.name}"
        if dispute.period
        else ""
    )
    return f"{label[0].lower()}{label[1:]}{about}"


def _tell(dispute: Dispute, users: Iterable[int | None], text: str, what: str, *, at: datetime) -> None:
    told = sorted({user for user in users if user is not None})
    if told:
        key = f"dispute-{what}:{dispute.pk}"
        promise(
            topic=NOTIFY,
            key=f"{key}:{'-'.join(map(str, told[:3]))}",
            payload={
                "user_ids": told,
                "key": key,
                "text": text[:300],
                "url": f"/quotas/disputes/{dispute.pk}/",
            },
            at=at,
        )


def _mail(
    dispute: Dispute, users: Iterable[int], subject: str, text: str, what: str, *, at: datetime
) -> None:
    mailing.promise_mail(
        key=f"dispute-{what}:{dispute.pk}",
        to=sorted(set(users)),
        subject=subject,
        text=text,
        link=f"/quotas/disputes/{dispute.pk}/",
        at=at,
    )
