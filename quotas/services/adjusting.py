"""Adjustments: credit given or taken by hand. One person asks for it, a comp admin who is another one decides. RULES 13.

A decided adjustment never changes. It is undone by another one that names it, which goes the same way; only what follows the
cancellation of its deal is posted at once.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, RoleGrant, User
from config import house as formats
from config.clock import day_of
from config.given import tidy
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    LARGEST_AMOUNT_MINOR,
    Adjustment,
    AdjustmentReason,
    AdjustmentState,
    Deal,
    DealState,
    Dispute,
    DisputeMessage,
    DisputeState,
    Measure,
    PeriodState,
    Rep,
)
from quotas.selectors.adjustments import Destination, adjustable_reps, adjustments_for, destination, may_ask
from quotas.selectors.visibility import deals_for
from quotas.services import discrepancies

LONGEST_NOTE: Final = 900  # beside what is put before it: the column holds 1,000
FAR_OFF: Final = 366  # days: a credit date longer ago has to be meant
BY_HAND: Final = tuple(
    each
    for each in AdjustmentReason
    if each not in (AdjustmentReason.CORRECTION, AdjustmentReason.DEAL_CANCELLED)
)
"""Reasons that somebody chooses; the others follow from what is undone."""


@dataclass(frozen=True)
class AdjustmentDraft:
    """What is asked for. amount_minor is in minor units of the measure; negative takes credit away.

    confirmed  That a credit date longer than a year ago is meant.
    """

    rep_id: int
    measure_id: int
    amount_minor: int
    credit_date: date
    reason_code: str
    note: str
    deal_id: int | None = None
    dispute_id: int | None = None
    confirmed: bool = False


def check(draft: AdjustmentDraft, *, by: User, at: datetime) -> Destination:
    """Where it would go. Raises Forbidden, and Invalid with everything that is wrong. Writes nothing."""
    if not may_ask(by):
        raise Forbidden.of(
            "not_for_adjusting",
            "Managers and comp admins ask for adjustments; open a dispute about a number of yours.",
        )
    found = _place(draft)
    refuse_if_any(_problems(draft, found, by=by, today=day_of(at)))
    if found is None:
        raise Invalid.of("no_team", "The rep was in no team on that day.", "/credit_date")
    if found.posting is None:
        raise Conflict.of(
            "no_open_period",
            f"{found.origin.name} is closed and no later month is open: open the next month, then ask again.",
        )
    return found


@transaction.atomic
def ask_adjustment(*, draft: AdjustmentDraft, by: User, at: datetime) -> Adjustment:
    """Ask for it; a comp admin who is somebody else decides. Nothing is posted. Raises Forbidden, Invalid, Conflict."""
    found = check(draft, by=by, at=at)
    if draft.deal_id is not None:
        engine.lock(engine.ByDeal([draft.deal_id]))  # it cannot be cancelled between the look and the asking
        if Deal.objects.values_list("state", flat=True).get(pk=draft.deal_id) != DealState.APPROVED:
            raise Conflict.of("deal_not_approved", "The deal is not approved any more: read it again.")
    same = Adjustment.objects.filter(
        state=AdjustmentState.ASKED,
        rep=draft.rep_id,
        measure=draft.measure_id,
        amount_minor=draft.amount_minor,
        credit_date=draft.credit_date,
        deal=draft.deal_id,
        dispute=draft.dispute_id,
    ).first()
    if same is not None:
        raise Conflict.of(
            "asked_already", f"{same.reference} asks for exactly this and waits for its decision."
        )
    acting(by=by, at=at, reason=draft.note.strip()[:500])
    made = Adjustment.objects.create(
        rep_id=draft.rep_id,
        measure_id=draft.measure_id,
        amount_minor=draft.amount_minor,
        credit_date=draft.credit_date,
        team=found.team,
        origin_period=found.origin,
        reason_code=draft.reason_code,
        note=draft.note.strip(),
        deal_id=draft.deal_id,
        dispute_id=draft.dispute_id,
        asked_by=by,
        asked_at=at,
    )
    _tell_deciders(made, by=by, at=at)
    return made


@transaction.atomic
def decide_adjustment(
    *, adjustment_id: int, approve: bool, by: User, at: datetime, note: str = ""
) -> Adjustment:
    """Approve it and post it, or turn it down, which needs a note. For a comp admin who neither asked for it nor is its rep.

    Raises NotFound, Forbidden, Invalid, Conflict (decided already, its deal was cancelled, no open month, no team any more).
    """
    note = _note(note, needed=not approve)
    adjustment = _locked(adjustment_id, by=by, at=at)
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "A comp admin decides on adjustments.")
    _refuse_decided(adjustment)
    if adjustment.asked_by_id == by.pk:
        raise Forbidden.of("same_person", "Another comp admin decides on what you asked for.")
    if adjustment.rep.user_id == by.pk:
        raise Forbidden.of("own_credit", "Somebody else decides on an adjustment of your own credit.")
    acting(by=by, at=at, reason=note[:500])
    if not approve:
        _end(adjustment, AdjustmentState.REJECTED, by=by, at=at, note=note)
        _answer_dispute(adjustment, by=by, at=at)
        _tell_people(adjustment, by=by, at=at)
        return adjustment
    if adjustment.undoes_id is None:
        _pin_again(adjustment)
    adjustment.state = AdjustmentState.POSTED
    adjustment.decided_by, adjustment.decided_at, adjustment.decision_note = by, at, note
    adjustment.save(
        update_fields=["state", "decided_by", "decided_at", "decision_note", "team", "origin_period"]
    )
    _post([adjustment], key=f"adjust:{adjustment.reference}", by=by, at=at, reason=adjustment.note)
    _answer_dispute(adjustment, by=by, at=at)
    _tell_people(adjustment, by=by, at=at)
    return adjustment


@transaction.atomic
def withdraw_adjustment(*, adjustment_id: int, by: User, at: datetime, note: str = "") -> Adjustment:
    """Take back what one asked for and nobody has decided on. Raises NotFound, Forbidden, Conflict."""
    note = _note(note, needed=False)
    adjustment = _locked(adjustment_id, by=by, at=at)
    _refuse_decided(adjustment)
    if adjustment.asked_by_id != by.pk:
        raise Forbidden.of("not_yours", "Whoever asked for it withdraws it; a comp admin can turn it down.")
    acting(by=by, at=at, reason=note[:500])
    _end(adjustment, AdjustmentState.WITHDRAWN, by=by, at=at, note=note)
    _answer_dispute(adjustment, by=by, at=at)
    return adjustment


@transaction.atomic
def undo_adjustment(*, adjustment_id: int, by: User, at: datetime, note: str) -> Adjustment:
    """Ask for the exact opposite of what was posted; it is decided on by another person, like everything. Raises NotFound, Forbidden, Invalid, Conflict."""
    note = _note(note, needed=True)
    first = _locked(adjustment_id, by=by, at=at)
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "A comp admin asks for an adjustment to be undone.")
    if first.rep.user_id == by.pk:
        raise Forbidden.of(
            "own_credit", "Somebody else asks for an adjustment of your own credit to be undone."
        )
    if first.state != AdjustmentState.POSTED or first.undoes_id is not None:
        raise Conflict.of(
            "not_undoable",
            f"{first.reference} undoes another one: ask for a new adjustment instead."
            if first.undoes_id is not None
            else f"{first.reference} is not posted: there is nothing to undo.",
        )
    undo = Adjustment.objects.filter(undoes=first).first()
    if undo is not None:
        raise Conflict.of(
            "undone_already",
            f"{undo.reference} {'undid it already' if undo.state == AdjustmentState.POSTED else 'asks for that and waits for its decision'}.",
        )
    acting(by=by, at=at, reason=note[:500])
    made = _opposite(first, AdjustmentReason.CORRECTION, f"Undoes {first.reference}: {note}", by=by, at=at)
    made.save()
    _tell_deciders(made, by=by, at=at)
    return made


def follow_cancellation(*, deal: Deal, by: User, at: datetime) -> list[Adjustment]:
    """Undo what was posted about a deal that has just been cancelled, and end what waits. In the transaction that cancels it, which holds its lock."""
    about = list(Adjustment.objects.select_for_update(of=("self",)).filter(deal=deal).order_by("pk"))
    if not about:
        return []
    undos = {each.undoes_id: each for each in about if each.undoes_id is not None}
    for each in about:
        if each.state == AdjustmentState.ASKED:
            _end(each, AdjustmentState.WITHDRAWN, by=by, at=at, note=f"{deal.reference} was cancelled.")
            _answer_dispute(each, by=by, at=at)
    made = []
    for each in about:
        undo = undos.get(each.pk)
        gone = undo is not None and undo.state == AdjustmentState.POSTED
        if each.state != AdjustmentState.POSTED or each.undoes_id is not None or gone:
            continue
        opposite = _opposite(
            each,
            AdjustmentReason.DEAL_CANCELLED,
            f"Undoes {each.reference}: {deal.reference} was cancelled.",
            by=by,
            at=at,
        )
        opposite.state = AdjustmentState.POSTED
        opposite.decided_by, opposite.decided_at = by, at
        opposite.save()
        made.append(opposite)
    if made:
        _post(
            made,
            key=f"adjust:{deal.reference}:r{deal.revision}",
            by=by,
            at=at,
            reason=f"{deal.reference} was cancelled.",
        )
        for each in made:
            _tell_people(each, by=by, at=at)
    return made


# --- what is checked ----------------------------------------------------------------------------------------------


def _place(draft: AdjustmentDraft) -> Destination | None:
    return destination(rep_id=draft.rep_id, on=draft.credit_date)


def _problems(
    draft: AdjustmentDraft, found: Destination | None, *, by: User, today: date
) -> Iterable[Problem]:
    rep = adjustable_reps(by, today).filter(pk=draft.rep_id).first()
    if rep is None:
        own = Rep.objects.filter(pk=draft.rep_id, user=by).exists()
        yield Problem(
            "own_credit" if own else "unknown_rep",
            "Somebody else asks for an adjustment of your own credit: open a dispute about it."
            if own
            else "There is no such rep among those whose credit you may adjust.",
            "/rep",
        )
    if not Measure.objects.filter(pk=draft.measure_id).exists():
        yield Problem("unknown_measure", "Choose a measure.", "/measure")
    if draft.amount_minor == 0:
        yield Problem(
            "amount_zero", "An amount above or below zero: this one would change nothing.", "/amount"
        )
    elif abs(draft.amount_minor) > LARGEST_AMOUNT_MINOR:
        yield Problem("too_large", "This is beyond what Parity counts exactly.", "/amount")
    if draft.reason_code not in BY_HAND:
        yield Problem("unknown_reason", "Choose a reason.", "/reason_code")
    note = draft.note.strip()
    if not note or len(note) > LONGEST_NOTE or "\x00" in note:
        yield Problem(
            "note_missing" if not note else "note_too_long",
            f"Say why, in at most {LONGEST_NOTE} characters: the rep and the auditors read it.",
            "/note",
        )
    yield from _date_problems(draft, found, rep, today)
    yield from _links(draft, by, today)


def _date_problems(
    draft: AdjustmentDraft, found: Destination | None, rep: Rep | None, today: date
) -> Iterable[Problem]:
    on = draft.credit_date
    if on > today:
        yield Problem(
            "credit_date_ahead",
            f"{formats.day(on)} lies ahead: credit is given for days that have been.",
            "/credit_date",
        )
    elif rep is not None and found is None:
        yield Problem(
            "no_team",
            f"{rep.name} was in no team on {formats.day(on)}, or the fiscal calendar has no such month.",
            "/credit_date",
        )
    elif found is not None and found.origin.state == PeriodState.FUTURE:
        yield Problem(
            "period_not_open", f"{found.origin.name} is not open yet: open it first.", "/credit_date"
        )
    elif (today - on).days > FAR_OFF and not draft.confirmed:
        yield Problem(
            "credit_date_far_off",
            f"{formats.day(on)} is {(today - on).days:,} days ago. Confirm that you mean it.",
            "/confirmed",
        )


def _links(draft: AdjustmentDraft, by: User, today: date) -> Iterable[Problem]:
    if draft.deal_id is not None:
        deal = deals_for(by, today).filter(pk=draft.deal_id).first()
        if deal is None:
            yield Problem("unknown_deal", "There is no such deal that you may see.", "/deal")
        elif deal.state != DealState.APPROVED:
            yield Problem(
                "deal_not_approved",
                f"{deal.reference} is {deal.get_state_display().lower()}: only an approved deal has credit to adjust.",
                "/deal",
            )
    if draft.dispute_id is not None:
        dispute = Dispute.objects.filter(pk=draft.dispute_id).first()
        if dispute is None or dispute.rep_id != draft.rep_id:
            yield Problem("other_rep", "It answers a dispute about this rep's numbers alone.", "/dispute")


def _note(text: str, *, needed: bool) -> str:
    note = tidy(text)
    if (needed and not note) or len(note) > LONGEST_NOTE:
        raise Invalid.of(
            "note_too_long" if note else "note_missing",
            f"Say why, in at most {LONGEST_NOTE} characters: it stays with the adjustment.",
            "/note",
        )
    return note


def _locked(adjustment_id: int, *, by: User, at: datetime) -> Adjustment:
    """The row, in the order of locks that postings keep: periods, the deal, then it. Raises NotFound."""
    seen = adjustments_for(by, day_of(at)).filter(pk=adjustment_id).first()
    if seen is None:
        raise NotFound.of("unknown_adjustment", "There is no such adjustment.")
    if seen.deal_id is not None:
        engine.lock(engine.ByDeal([seen.deal_id]))
    return (
        Adjustment.objects.select_for_update(of=("self",))
        .select_related("rep", "team", "origin_period", "measure__currency", "asked_by", "dispute", "deal")
        .get(pk=adjustment_id)
    )


def _refuse_decided(adjustment: Adjustment) -> None:
    if adjustment.state != AdjustmentState.ASKED:
        who = f" by {adjustment.decided_by.name}" if adjustment.decided_by else ""
        raise Conflict.of(
            "decided_already",
            f"{adjustment.reference} is {adjustment.get_state_display().lower()} already{who}.",
        )


def _pin_again(adjustment: Adjustment) -> None:
    """The team and month as they are known now: a rep may have been moved since it was asked for. Raises Conflict."""
    if adjustment.deal is not None and adjustment.deal.state != DealState.APPROVED:
        raise Conflict.of(
            "deal_not_approved", f"{adjustment.deal.reference} is not approved any more: turn it down."
        )
    found = destination(rep_id=adjustment.rep_id, on=adjustment.credit_date)
    if found is None:
        raise Conflict.of(
            "no_team",
            f"{adjustment.rep.name} is in no team on {formats.day(adjustment.credit_date)} any more: turn it down.",
        )
    adjustment.team, adjustment.origin_period = found.team, found.origin


# --- what is written ----------------------------------------------------------------------------------------------


def _opposite(
    first: Adjustment, reason: AdjustmentReason, note: str, *, by: User, at: datetime
) -> Adjustment:
    return Adjustment(
        rep_id=first.rep_id,
        measure_id=first.measure_id,
        amount_minor=-first.amount_minor,
        credit_date=first.credit_date,
        team_id=first.team_id,
        origin_period_id=first.origin_period_id,
        reason_code=reason,
        note=note,
        deal_id=first.deal_id,
        dispute_id=first.dispute_id,
        undoes=first,
        asked_by=by,
        asked_at=at,
    )


def _post(adjustments: Sequence[Adjustment], *, key: str, by: User, at: datetime, reason: str) -> None:
    outcome = engine.adjust([each.pk for each in adjustments], key=key, by=by, at=at, reason=reason[:500])
    discrepancies.follow(outcome, adjustments=[each.undoes_id or each.pk for each in adjustments], at=at)


def _end(adjustment: Adjustment, state: AdjustmentState, *, by: User, at: datetime, note: str) -> None:
    """Without effect. One that would have undone another lets go of it, so that it can be undone after all; its note still names it."""
    adjustment.state = state
    adjustment.decided_by, adjustment.decided_at, adjustment.decision_note = by, at, note
    adjustment.undoes = None
    adjustment.save(update_fields=["state", "decided_by", "decided_at", "decision_note", "undoes"])


def _answer_dispute(adjustment: Adjustment, *, by: User, at: datetime) -> None:
    """The thread says what became of it; a dispute that was accepted for its sake is in review again where it did not come to be."""
    if adjustment.dispute_id is None:
        return
    dispute = Dispute.objects.select_for_update().get(pk=adjustment.dispute_id)
    posted = adjustment.state == AdjustmentState.POSTED
    undone = posted and adjustment.undoes_id is not None
    again = (
        not posted
        and dispute.state == DisputeState.ACCEPTED
        and adjustment.reason_code != AdjustmentReason.CORRECTION
    )
    why = f": {adjustment.decision_note}" if adjustment.decision_note else "."
    text = (
        f"{adjustment.reference} was approved by {by.name}: the adjustment is undone{why}"
        if undone
        else f"{adjustment.reference} was approved by {by.name} and posted{why}"
        if posted
        else f"{adjustment.reference} was {adjustment.get_state_display().lower()} by {by.name}{why}"
    )
    if again:
        dispute.state = DisputeState.IN_REVIEW
        dispute.resolved_by, dispute.resolved_at, dispute.resolution = None, None, ""
    dispute.revision += 1
    dispute.save(update_fields=["state", "resolved_by", "resolved_at", "resolution", "revision"])
    DisputeMessage.objects.create(
        dispute=dispute, by=by, at=at, text=text, became=DisputeState.IN_REVIEW if again else ""
    )


# --- who hears of it ----------------------------------------------------------------------------------------------


def _tell_deciders(adjustment: Adjustment, *, by: User, at: datetime) -> None:
    able = RoleGrant.objects.filter(role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True)
    users = set(able.values_list("user_id", flat=True)) - {by.pk, adjustment.rep.user_id}
    _tell(
        adjustment,
        users,
        f"{by.name} asks for {adjustment.reference}, {_amount(adjustment)} for {adjustment.rep.name}.",
        at=at,
    )


def _tell_people(adjustment: Adjustment, *, by: User, at: datetime) -> None:
    """Whoever asked, and once it is posted the rep whose credit it is."""
    posted = adjustment.state == AdjustmentState.POSTED
    users = {adjustment.asked_by_id} | ({adjustment.rep.user_id} if posted else set())
    did = "posted" if posted else adjustment.get_state_display().lower()
    text = f"{adjustment.reference}, {_amount(adjustment)} for {adjustment.rep.name}, was {did} by {by.name}."
    _tell(adjustment, users - {by.pk}, text, at=at)


def _amount(adjustment: Adjustment) -> str:
    measure = adjustment.measure
    code, exponent = (
        (measure.currency.code, measure.currency.exponent)
        if measure.currency
        else (None, formats.COUNT_EXPONENT)
    )
    return formats.measured(adjustment.amount_minor, code, exponent, signed=True)


def _tell(adjustment: Adjustment, users: Iterable[int | None], text: str, *, at: datetime) -> None:
    told = sorted(user for user in users if user is not None)
    if told:
        key = f"adjustment-{adjustment.state}:{adjustment.pk}"
        promise(
            topic=NOTIFY,
            key=key,
            payload={
                "user_ids": told,
                "key": key,
                "text": text[:300],
                "url": f"/quotas/adjustments/{adjustment.pk}/",
            },
            at=at,
        )
