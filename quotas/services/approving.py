"""Deciding on deals and their amendments: approve, reject, return, cancel, hold, release. Whatever changes credit posts it in the same transaction.

Who decides is in selectors/approvers.py; the rules are RULES.md 8 and 12.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from django.db import transaction
from django.db.models import Max

from accounts.audit import acting
from accounts.models import Role, User
from config import bulk, outbox
from config import house as formats
from config.clock import day_of
from config.refusals import Conflict, Forbidden, Problem, Refusal, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    ENDED,
    Deal,
    DealAction,
    DealApproval,
    DealEvent,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Rep,
    StraightThroughPolicy,
)
from quotas.selectors.approvers import (
    Approvers,
    above_the_limit,
    approvals_waiting_for,
    count_waiting_for,
    may_approve,
    waiting_since,
    waits,
)
from quotas.selectors.deals import refunded_by, refunds_of
from quotas.selectors.visibility import deals_for, reps_for
from quotas.services import discrepancies
from quotas.services.adjusting import follow_cancellation
from quotas.services.booking import (
    below_refunds,
    deal_for_change,
    problems_in_deciding,
    refuse_without_reason,
)

__all__ = [
    "Approvers",
    "Decided",
    "Decision",
    "approvals_waiting_for",
    "approve_deal",
    "approve_deals",
    "cancel_deal",
    "cancel_part",
    "count_waiting_for",
    "decide_deals",
    "hold_deal",
    "may_approve",
    "may_cancel",
    "reject_deal",
    "release_deal",
    "return_deal",
    "waits",
    "withdraw_amendment",
]

MOST_AT_ONCE = 200


class Decision(StrEnum):
    """What can be decided on many deals at once."""

    APPROVE = "approve"
    RETURN = "return"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one of many deals.

    outcome  approved, first_approved (it waits for a second person now), returned, rejected, or refused: then problem says why.
    """

    deal_id: int
    reference: str
    outcome: str
    problem: Problem | None = None


@transaction.atomic
def approve_deal(
    *, deal_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Deal:
    """Approve one submitted deal, or the amendment that waits, and post what changes. Raises NotFound, Stale, Conflict, Forbidden, Invalid.

    Above the limit the first approval is only noted: the deal goes on waiting, for somebody outside the first one's chain.
    """
    _refuse_too_long(reason)
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_unless_waiting([deal])
    approvers = _refuse_unless_approver([deal], by=by, on=day_of(at))
    refuse_if_any(problems_in_deciding([deal], at=at)[0])
    _approve_or_begin([deal], approvers, by=by, at=at, reason=reason)
    return deal


@transaction.atomic
def approve_deals(
    *,
    deal_ids: Sequence[int],
    by: User,
    at: datetime,
    reason: str = "",
    policy: str = "",
    under: StraightThroughPolicy | None = None,
    decided_at_each: Sequence[datetime] | None = None,
) -> engine.Outcome:
    """Approve many submitted deals and waiting amendments, all or none, in one posting. Those above the limit wait for a second person then.

    policy           Names the straight-through policy under which a comp admin approves what a trusted source brought,
                     instead of each deal's own approver.
    under            The published policy that decides, where what it asks for was looked at: nobody has approved the deals then,
                     the deals and their history name the policy.
    decided_at_each  When each was decided, in the order of *deal_ids*; *at* for all of them otherwise.
    Raises           Conflict, Forbidden or Invalid that names the deals; then none is approved.
    """
    policy = f"Policy {under}" if under is not None else policy
    engine.lock(engine.ByDeal(deal_ids))
    found = Deal.objects.select_related("latest_version", "credited_version", "amended_by").in_bulk(
        list(deal_ids)
    )
    deals = [found[pk] for pk in deal_ids if pk in found]
    if not policy:
        seen = set(deals_for(by, day_of(at)).filter(pk__in=list(deal_ids)).values_list("pk", flat=True))
        deals = [deal for deal in deals if deal.pk in seen]
    if len(deals) < len(deal_ids):
        raise Conflict.of(
            "deal_not_found", "One of these deals does not exist any more: load the list again."
        )
    _refuse_unless_waiting(deals)
    if policy:
        if not by.has_role(Role.COMP_ADMIN):
            raise Forbidden.of(
                "policy_needs_comp_admin", "Only a comp admin approves under a straight-through policy."
            )
        if large := above_the_limit(list(deal_ids)):
            raise Conflict(*(_above(deal) for deal in deals if deal.pk in large))
    else:
        if len(deals) > MOST_AT_ONCE:
            raise Conflict.of("too_many_at_once", f"Approve at most {MOST_AT_ONCE} deals at once.")
        approvers = _refuse_unless_approver(deals, by=by, on=day_of(at))
        refuse_if_any(
            Problem(p.code, f"{deal.reference}: {p.message}", f"/{place}{p.pointer}")
            for place, (deal, found_wrong) in enumerate(
                zip(deals, problems_in_deciding(deals, at=at), strict=True)
            )
            for p in found_wrong
        )
        return _approve_or_begin(deals, approvers, by=by, at=at, reason=reason)
    return _approve(
        deals,
        by=by,
        at=at,
        reason=f"{policy}: {reason}".strip(": "),
        under=under,
        decided_at_each=decided_at_each,
    )


@transaction.atomic
def decide_deals(
    *,
    decision: str,
    deal_ids: Sequence[int],
    by: User,
    at: datetime,
    reason: str = "",
    revisions: Mapping[int, int] | None = None,
) -> list[Decided]:
    """Decide on up to 200 deals, each by itself: what cannot be decided is refused and says why, and the others are done.

    decision   approve, return or reject; the latter two need a reason.
    revisions  Deal to the revision that was read; one that has moved on since is refused.
    Returns    In the order of *deal_ids*. Raises Conflict where nothing can be done at all. A fixed number of queries.
    """
    wanted = list(dict.fromkeys(deal_ids))
    kind = Decision(decision)
    if not wanted:
        raise Conflict.of("nothing_chosen", "Choose at least one deal.", "/deals")
    if len(wanted) > MOST_AT_ONCE:
        raise Conflict.of("too_many_at_once", f"Decide on at most {MOST_AT_ONCE} deals at once.", "/deals")
    if kind is not Decision.APPROVE:
        refuse_without_reason(reason)
    _refuse_too_long(reason)
    engine.lock(engine.ByDeal(wanted))
    refused: dict[int, Problem] = {}
    deals = _to_decide(wanted, by=by, at=at, revisions=revisions or {}, refused=refused)
    approvers = Approvers(deals, day_of(at))
    refused |= _not_theirs(deals, approvers, by)
    deals = [deal for deal in deals if deal.pk not in refused]
    if kind is Decision.APPROVE:
        for deal, wrong in zip(deals, problems_in_deciding(deals, at=at) if deals else [], strict=True):
            if wrong:
                refused[deal.pk] = Problem(
                    wrong[0].code, f"{deal.reference}: {wrong[0].message}", wrong[0].pointer
                )
    elif kind is Decision.RETURN:
        refused |= {deal.pk: _not_returnable(deal) for deal in deals if deal.amended_at is not None}
    deals = [deal for deal in deals if deal.pk not in refused]
    begun = {deal.pk for deal in deals if approvers.needs_second(deal)}
    if deals and kind is Decision.APPROVE:
        refused |= _approve_each(deals, approvers, by=by, at=at, reason=reason)
    elif deals:
        _turn_down_all(deals, kind, approvers, by=by, at=at, reason=reason)
    done = {Decision.APPROVE: "approved", Decision.RETURN: "returned", Decision.REJECT: "rejected"}[kind]
    return [
        Decided(
            pk,
            f"D-{pk:06d}",
            "refused"
            if pk in refused
            else "first_approved"
            if kind is Decision.APPROVE and pk in begun
            else done,
            refused.get(pk),
        )
        for pk in wanted
    ]


def _to_decide(
    wanted: Sequence[int],
    *,
    by: User,
    at: datetime,
    revisions: Mapping[int, int],
    refused: dict[int, Problem],
) -> list[Deal]:
    """Those of the deals that this person sees, that wait, and that are as they were read; the others are refused. 2 queries and deals_for's."""
    found = Deal.objects.select_related("latest_version", "credited_version", "amended_by").in_bulk(
        list(wanted)
    )
    seen = set(deals_for(by, day_of(at)).filter(pk__in=list(wanted)).values_list("pk", flat=True))
    deals = []
    for pk in wanted:
        if pk not in seen or pk not in found:
            refused[pk] = Problem("deal_not_found", f"D-{pk:06d}: there is no such deal.")
        elif not waits(found[pk]):
            refused[pk] = _not_waiting(found[pk])
        elif revisions.get(pk, found[pk].revision) != found[pk].revision:
            refused[pk] = Problem(
                "deal_changed",
                f"{found[pk].reference} changed since you read it: read it again, then decide.",
            )
        else:
            deals.append(found[pk])
    return deals


def _approve_each(
    deals: Sequence[Deal], approvers: Approvers, *, by: User, at: datetime, reason: str
) -> dict[int, Problem]:
    """Approve them in one posting; where that is refused, one by one. Returns what is refused."""
    try:
        with transaction.atomic():
            _approve_or_begin(deals, approvers, by=by, at=at, reason=reason)
        return {}
    except Refusal as refusal:
        if len(deals) == 1:
            return {deals[0].pk: refusal.problems[0]}
    refused: dict[int, Problem] = {}
    again = Deal.objects.select_related("latest_version", "credited_version", "amended_by").in_bulk(
        [deal.pk for deal in deals]
    )
    for deal in again.values():
        refused |= _approve_each([deal], approvers, by=by, at=at, reason=reason)
    return refused


@transaction.atomic
def reject_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Turn a submitted deal down for good, or an amendment: then what stands goes on standing. Needs a reason."""
    return _turn_down(
        deal_id,
        Decision.REJECT,
        by=by,
        at=at,
        reason=reason,
        expected_revision=expected_revision,
    )


@transaction.atomic
def return_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Hand a submitted deal back to be mended. Needs a reason."""
    return _turn_down(
        deal_id,
        Decision.RETURN,
        by=by,
        at=at,
        reason=reason,
        expected_revision=expected_revision,
    )


@transaction.atomic
def withdraw_amendment(
    *, deal_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Deal:
    """Take back an amendment that waits. For whoever proposed it."""
    _refuse_too_long(reason)
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if deal.amended_at is None:
        raise Conflict.of("no_amendment", f"No amendment of {deal.reference} waits.")
    if deal.amended_by_id != by.pk:
        raise Forbidden.of("not_your_amendment", "An amendment is withdrawn by whoever proposed it.")
    acting(by=by, at=at, reason=reason)
    _drop_amendment(deal, by=by, at=at, reason=reason)
    return deal


@transaction.atomic
def cancel_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Take a deal out. An approved one nets to zero in every measure by exact reversals; needs a reason.

    Before approval its owner or whoever logged it may; afterwards a manager above the owner without a share in it, a comp admin,
    or the service that brought it: what was deleted in its source is cancelled here. An original is cancelled after its refunds.
    """
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    refuse_without_reason(reason)
    if deal.state in ENDED:
        raise Conflict.of(
            "deal_not_cancellable", f"{deal.reference} is {deal.get_state_display().lower()} already."
        )
    approved = deal.state == DealState.APPROVED
    _refuse_unless_may_cancel(deal, by=by, at=at)
    refunds = refunds_of(deal.pk) if approved else []
    if refunds:
        names = ", ".join(refund.reference for refund in refunds)
        raise Conflict.of(
            "deal_has_refunds",
            f"{deal.reference} is refunded by {names}: cancel {'that' if len(refunds) == 1 else 'those'} first, then the deal.",
        )
    acting(by=by, at=at, reason=reason)
    if deal.amended_at is not None:
        _drop_amendment(deal, by=by, at=at, reason="The deal is cancelled.")
    _move(deal, DealState.CANCELLED, DealAction.CANCELLED, by=by, at=at, reason=reason)
    if approved:
        outcome = engine.post(
            engine.ByDeal([deal.pk]),
            key=f"cancel:{deal.reference}:r{deal.revision}",
            kind="cancel",
            by=by,
            at=at,
            reason=reason,
        )
        discrepancies.follow(outcome, deals=[deal.pk], at=at)
        follow_cancellation(deal=deal, by=by, at=at)
        _tell(deal, DealAction.CANCELLED, at=at)
    return deal


@transaction.atomic
def cancel_part(
    *,
    deal_id: int,
    amounts: Mapping[int, int],
    by: User,
    at: datetime,
    reason: str,
    quantities: Mapping[int, Decimal] | None = None,
    expected_revision: int | None = None,
) -> Deal:
    """Take out a part of an approved deal: a version with smaller amounts on the same lines, credited at once; needs a reason.

    amounts     Line number to what remains of it, in minor units of the deal's currency; the other lines stay.
    quantities  Line number to the quantity that remains; otherwise it is reduced in proportion to the amount.
    What is cancelled had the pins and shares of the deal, so all that is posted is the difference. Decided on like a cancellation.
    """
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    refuse_without_reason(reason)
    old = deal.in_force
    if deal.state != DealState.APPROVED or old.kind == DealKind.CONSUMPTION:
        raise Conflict.of(
            "deal_not_partly_cancellable",
            f"{deal.reference} is a month's consumption: record its usage again."
            if old.kind == DealKind.CONSUMPTION
            else f"{deal.reference} is {deal.get_state_display().lower()}; only a part of an approved deal is cancelled.",
        )
    _refuse_unless_may_cancel(deal, by=by, at=at)
    if deal.amended_at is not None:
        raise Conflict.of(
            "amendment_waits",
            f"An amendment of {deal.reference} waits: decide on it first, then cancel a part.",
        )
    lines = list(old.lines.order_by("line_no"))
    left = _what_is_left(deal, lines, amounts, quantities or {})
    acting(by=by, at=at, reason=reason)
    newest = DealVersion.objects.filter(deal=deal).aggregate(newest=Max("number"))["newest"]
    version = _copy(old, number=newest + 1, by=by, at=at, reason=reason)
    for line in left:
        line.pk, line.version_id = None, version.pk
    bulk.insert(left)
    bulk.insert(
        [
            DealShare(version_id=version.pk, ordinal=share.ordinal, rep_id=share.rep_id, ppm=share.ppm)
            for share in old.shares.order_by("ordinal")
        ]
    )
    deal.latest_version = deal.credited_version = version
    deal.revision += 1
    deal.save(update_fields=["latest_version", "credited_version", "revision"])
    DealEvent.objects.create(
        deal=deal, version=version, action=DealAction.PARTLY_CANCELLED, by=by, at=at, reason=reason
    )
    outcome = engine.post(
        engine.ByDeal([deal.pk]),
        key=f"cancel-part:{deal.reference}:r{deal.revision}",
        kind="cancel",
        by=by,
        at=at,
        reason=reason,
    )
    discrepancies.follow(outcome, deals=[deal.pk], at=at)
    _tell(deal, DealAction.PARTLY_CANCELLED, at=at)
    return deal


def _what_is_left(
    deal: Deal, lines: Sequence[DealLine], amounts: Mapping[int, int], quantities: Mapping[int, Decimal]
) -> list[DealLine]:
    """The deal's lines with what remains of each. Raises Invalid, its pointers by line number, and Conflict where nothing is cancelled."""
    known = {line.line_no: line for line in lines}
    found = [
        Problem("unknown_line", f"{deal.reference} has no line {number}.", f"/lines/{number}")
        for number in sorted({*amounts, *quantities} - set(known))
    ]
    currency = deal.in_force.currency
    remaining: dict[int, int] = {}
    for number, line in known.items():
        amount, whole = amounts.get(number, line.amount_minor), line.amount_minor
        if not min(0, whole) <= amount <= max(0, whole):
            found.append(
                Problem(
                    "not_less",
                    f"What remains of line {number} is between nothing and {formats.money(whole, currency.code, currency.exponent)}.",
                    f"/lines/{number}",
                )
            )
        given = quantities.get(number)
        if given is not None and not 0 <= given <= (line.quantity or 0):
            found.append(
                Problem(
                    "quantity_not_less",
                    f"The quantity that remains of line {number} is not above what was sold.",
                    f"/lines/{number}/quantity",
                )
            )
        line.quantity = given if given is not None else _in_proportion(line.quantity, amount, whole)
        line.amount_minor = amount
        remaining[line.offering_id] = remaining.get(line.offering_id, 0) + amount
    taken: dict[int, int] = {}
    for _original, offering, _refund, amount in refunded_by([deal.pk]):
        taken[offering] = taken.get(offering, 0) - amount
    found.extend(below_refunds(deal, remaining, taken, currency))
    refuse_if_any(found)
    before = {line.line_no: line.amount_minor for line in deal.in_force.lines.all()}
    if all(line.amount_minor == before[line.line_no] for line in lines):
        raise Conflict.of("nothing_changed", f"Nothing of {deal.reference} would be cancelled.", "/lines")
    if not any(remaining.values()):
        raise Conflict.of(
            "nothing_is_left", f"Nothing of {deal.reference} would remain: cancel the whole deal.", "/lines"
        )
    return list(lines)


def _in_proportion(quantity: Decimal | None, amount: int, whole: int) -> Decimal | None:
    return quantity if quantity is None or not whole else round(quantity * amount / whole, 4)


def _copy(old: DealVersion, *, number: int, by: User, at: datetime, reason: str) -> DealVersion:
    return DealVersion.objects.create(
        deal_id=old.deal_id,
        number=number,
        kind=old.kind,
        title=old.title,
        close_date=old.close_date,
        currency_id=old.currency_id,
        segment=old.segment,
        region=old.region,
        new_customer=old.new_customer,
        refunds_id=old.refunds_id,
        recorded_by=by,
        recorded_at=at,
        reason=reason,
    )


def _refuse_unless_may_cancel(deal: Deal, *, by: User, at: datetime) -> None:
    if not may_cancel(by, deal, day_of(at)):
        raise Forbidden.of(
            "not_your_deal",
            "An approved deal is cancelled by a manager above its owner who has no share in it, or by a comp admin."
            if deal.state == DealState.APPROVED
            else "A deal that is not approved is cancelled by its owner, by whoever logged it, or by a manager.",
        )


def may_cancel(user: User, deal: Deal, on: date) -> bool:
    """Whether this person may cancel the deal, or a part of it, in its present state."""
    if user.has_role(Role.COMP_ADMIN) or (user.is_service and deal.created_by_id == user.pk):
        return True
    above = user.has_role(Role.MANAGER) and reps_for(user, on).filter(pk=deal.owner_id).exists()
    if deal.state == DealState.APPROVED:
        return above and user.pk not in Approvers([deal], on).interested(deal)
    return above or deal.created_by_id == user.pk or Rep.objects.filter(pk=deal.owner_id, user=user).exists()


@transaction.atomic
def hold_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Keep an approved deal's credit out of attainment until it is released. For comp admins; needs a reason."""
    return _hold(deal_id, True, by=by, at=at, reason=reason, expected_revision=expected_revision)


@transaction.atomic
def release_deal(
    *, deal_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Deal:
    """Let a held deal's credit count again."""
    return _hold(deal_id, False, by=by, at=at, reason=reason, expected_revision=expected_revision)


def _approve_or_begin(
    deals: Sequence[Deal], approvers: Approvers, *, by: User, at: datetime, reason: str
) -> engine.Outcome:
    """Approve what this person's word is enough for; note the first of two approvals of the rest (RULES.md 12.4)."""
    begun = [deal for deal in deals if approvers.needs_second(deal)]
    enough = [deal for deal in deals if not approvers.needs_second(deal)]
    acting(by=by, at=at, reason=reason)
    bulk.insert(
        [
            DealApproval(
                deal_id=deal.pk,
                version_id=deal.latest.pk,
                ordinal=1 if deal.pk not in approvers.two or approvers.needs_second(deal) else 2,
                by_id=by.pk,
                on_behalf_of_id=stands_in_for,
                at=at,
                submitted_at=waiting_since(deal),
            )
            for deal in deals
            if (stands_in_for := approvers.able(deal).get(by.pk)) is not None or deal.pk in approvers.two
        ]
    )
    if begun:
        _begin(begun, by=by, at=at, reason=reason)
    if not enough:
        return engine.Outcome(posting_id=0, counts={})
    return _approve(enough, by=by, at=at, reason=reason)


def _begin(deals: Sequence[Deal], *, by: User, at: datetime, reason: str) -> None:
    """The first of two approvals: nothing is credited, and those who may give the second are told. 3 statements."""
    for deal in deals:
        deal.revision += 1
    bulk.update(Deal, [deal.pk for deal in deals], {"revision": ("int", [deal.revision for deal in deals])})
    bulk.insert(
        [
            DealEvent(
                deal_id=deal.pk,
                version_id=deal.latest.pk,
                action=DealAction.FIRST_APPROVED,
                by_id=by.pk,
                at=at,
                reason=reason,
            )
            for deal in deals
        ]
    )
    outbox.promise_each(
        topic="quotas.deal_submitted",
        payloads={
            f"deal-first-approved:{deal.pk}:{deal.revision}": {"deal_id": deal.pk, "first_by": by.pk}
            for deal in deals
        },
        at=at,
    )


def _approve(
    deals: Sequence[Deal],
    *,
    by: User,
    at: datetime,
    reason: str,
    under: StraightThroughPolicy | None = None,
    decided_at_each: Sequence[datetime] | None = None,
) -> engine.Outcome:
    acting(by=by, at=at, reason=reason)
    when = decided_at_each or [at] * len(deals)
    amended = {deal.pk for deal in deals if deal.amended_at is not None}
    for deal, moment in zip(deals, when, strict=True):
        if deal.pk in amended:  # whoever proposed what stands from now on has submitted it
            deal.submitted_by_id, deal.submitted_at = deal.amended_by_id, deal.amended_at
            deal.amended_by, deal.amended_at = None, None
        deal.state = DealState.APPROVED
        deal.credited_version = deal.latest_version
        deal.decided_by, deal.decided_at = None if under is not None else by, moment
        deal.approved_under = under
        deal.revision += 1
    ids = [deal.pk for deal in deals]
    bulk.update(
        Deal,
        ids,
        {
            "state": ("text", [deal.state for deal in deals]),
            "credited_version_id": ("bigint", [deal.credited_version_id for deal in deals]),
            "submitted_by_id": ("bigint", [deal.submitted_by_id for deal in deals]),
            "submitted_at": ("timestamptz", [deal.submitted_at for deal in deals]),
            "amended_by_id": ("bigint", [None] * len(deals)),
            "amended_at": ("timestamptz", [None] * len(deals)),
            "decided_by_id": ("bigint", [deal.decided_by_id for deal in deals]),
            "approved_under_id": ("bigint", [deal.approved_under_id for deal in deals]),
            "decided_at": ("timestamptz", when),
            "revision": ("int", [deal.revision for deal in deals]),
        },
    )
    bulk.insert(
        [
            DealEvent(
                deal_id=deal.pk,
                version_id=deal.latest.pk,
                action=DealAction.AMENDMENT_APPROVED if deal.pk in amended else DealAction.APPROVED,
                by_id=by.pk,
                at=moment,
                reason=reason,
            )
            for deal, moment in zip(deals, when, strict=True)
        ]
    )
    kind = "load" if len(deals) > MOST_AT_ONCE else "amend" if len(amended) == len(deals) else "approve"
    one = deals[0] if len(deals) == 1 else None
    name = (
        f"{one.reference}:r{one.revision}"
        if one
        else hashlib.sha256(repr([(d.pk, d.revision) for d in deals]).encode()).hexdigest()[:40]
    )
    outcome = engine.post(
        engine.ByDeal([deal.pk for deal in deals]),
        key=f"{'amend' if kind == 'amend' else 'approve'}:{name}",
        kind=kind,
        by=by,
        at=at,
        reason=reason,
    )
    if amended:
        discrepancies.follow(outcome, deals=sorted(amended), at=at)
    if len(deals) <= MOST_AT_ONCE:
        outbox.promise_each(
            topic="quotas.deal_decided",
            payloads={
                f"deal-decided:{deal.pk}:{deal.revision}": {
                    "deal_id": deal.pk,
                    "action": "amendment_approved" if deal.pk in amended else "approved",
                    "revision": deal.revision,
                }
                for deal in deals
            },
            at=at,
        )
    return outcome


def _turn_down(
    deal_id: int,
    decision: Decision,
    *,
    by: User,
    at: datetime,
    reason: str,
    expected_revision: int | None,
) -> Deal:
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    refuse_without_reason(reason)
    _refuse_unless_waiting([deal])
    if deal.amended_at is not None and decision is Decision.RETURN:
        raise Conflict(_not_returnable(deal))
    approvers = _refuse_unless_approver([deal], by=by, on=day_of(at))
    _turn_down_all([deal], decision, approvers, by=by, at=at, reason=reason)
    return deal


def _turn_down_all(
    deals: Sequence[Deal],
    decision: Decision,
    approvers: Approvers,
    *,
    by: User,
    at: datetime,
    reason: str,
) -> None:
    """Return or reject what waits; of an amendment what stands goes on standing. Who stands in for somebody says so. 4 statements at most."""
    acting(by=by, at=at, reason=reason)
    relieved = {
        deal.pk: principal for deal in deals if (principal := approvers.able(deal).get(by.pk)) is not None
    }
    names = (
        dict(User.objects.filter(pk__in=set(relieved.values())).values_list("pk", "name")) if relieved else {}
    )
    events, told = [], {}
    state, action = (
        (DealState.RETURNED, DealAction.RETURNED)
        if decision is Decision.RETURN
        else (DealState.REJECTED, DealAction.REJECTED)
    )
    for deal in deals:
        proposed, done = deal.latest, action
        if deal.amended_at is not None:
            done = DealAction.AMENDMENT_REJECTED
            deal.latest_version = deal.credited_version
            deal.amended_by, deal.amended_at = None, None
        else:
            deal.state = state
            deal.decided_by, deal.decided_at = by, at
        deal.revision += 1
        events.append(
            DealEvent(
                deal_id=deal.pk,
                version_id=proposed.pk,
                action=done,
                by_id=by.pk,
                at=at,
                reason=f"For {names[relieved[deal.pk]]}: {reason}"[:500] if deal.pk in relieved else reason,
            )
        )
        told[f"deal-decided:{deal.pk}:{deal.revision}"] = {
            "deal_id": deal.pk,
            "action": str(done),
            "revision": deal.revision,
        }
    bulk.update(
        Deal,
        [deal.pk for deal in deals],
        {
            "state": ("text", [deal.state for deal in deals]),
            "latest_version_id": ("bigint", [deal.latest_version_id for deal in deals]),
            "amended_by_id": ("bigint", [deal.amended_by_id for deal in deals]),
            "amended_at": ("timestamptz", [deal.amended_at for deal in deals]),
            "decided_by_id": ("bigint", [deal.decided_by_id for deal in deals]),
            "decided_at": ("timestamptz", [deal.decided_at for deal in deals]),
            "revision": ("int", [deal.revision for deal in deals]),
        },
    )
    bulk.insert(events)
    outbox.promise_each(topic="quotas.deal_decided", payloads=told, at=at)


def _hold(
    deal_id: int, held: bool, *, by: User, at: datetime, reason: str, expected_revision: int | None
) -> Deal:
    _refuse_too_long(reason)
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("hold_needs_comp_admin", "Only a comp admin holds and releases credit.")
    if held:
        refuse_without_reason(reason)
    if deal.state != DealState.APPROVED or deal.held == held:
        raise Conflict.of(
            "deal_not_holdable",
            f"{deal.reference} is {'held' if deal.held else deal.get_state_display().lower()} already.",
        )
    acting(by=by, at=at, reason=reason)
    deal.held = held
    deal.revision += 1
    deal.save(update_fields=["held", "revision"])
    action = DealAction.HELD if held else DealAction.RELEASED
    DealEvent.objects.create(deal=deal, version=deal.in_force, action=action, by=by, at=at, reason=reason)
    kind = "hold" if held else "release"
    outcome = engine.post(
        engine.ByDeal([deal.pk]),
        key=f"{kind}:{deal.reference}:r{deal.revision}",
        kind=kind,
        by=by,
        at=at,
        reason=reason,
    )
    discrepancies.follow(outcome, deals=[deal.pk], at=at)
    return deal


def _move(deal: Deal, state: DealState, action: DealAction, *, by: User, at: datetime, reason: str) -> None:
    """Change the state, and leave a step in the history. Who approved stays with an approved deal that is cancelled: its events say the rest."""
    deal.state = state
    deal.decided_by, deal.decided_at = by, at
    deal.revision += 1
    deal.save(update_fields=["state", "decided_by", "decided_at", "revision"])
    DealEvent.objects.create(deal=deal, version=deal.latest, action=action, by=by, at=at, reason=reason)


def _refuse_too_long(reason: str) -> None:
    """Where a reason may be left out, one that is given is as long as any."""
    if reason.strip():
        refuse_without_reason(reason)


def _drop_amendment(deal: Deal, *, by: User, at: datetime, reason: str) -> None:
    """What stands goes on standing; the version that waited stays in the history."""
    proposed = deal.latest
    deal.latest_version = deal.credited_version
    deal.amended_by, deal.amended_at = None, None
    deal.revision += 1
    deal.save(update_fields=["latest_version", "amended_by", "amended_at", "revision"])
    DealEvent.objects.create(
        deal=deal, version=proposed, action=DealAction.AMENDMENT_REJECTED, by=by, at=at, reason=reason
    )


def _tell(deal: Deal, action: str, *, at: datetime) -> None:
    """Let the participants know, once the transaction is through."""
    outbox.promise(
        topic="quotas.deal_decided",
        key=f"deal-decided:{deal.pk}:{deal.revision}",
        payload={"deal_id": deal.pk, "action": str(action), "revision": deal.revision},
        at=at,
    )


def _refuse_unless_waiting(deals: Sequence[Deal]) -> None:
    others = [deal for deal in deals if not waits(deal)]
    if others:
        raise Conflict(*(_not_waiting(deal) for deal in others))


def _refuse_unless_approver(deals: Sequence[Deal], *, by: User, on: date) -> Approvers:
    """Who may decide on these deals; raises Forbidden, with a problem for each that this person may not decide on."""
    approvers = Approvers(deals, on)
    found = _not_theirs(deals, approvers, by)
    if found:
        raise Forbidden(*found.values())
    return approvers


def _not_theirs(deals: Sequence[Deal], approvers: Approvers, by: User) -> dict[int, Problem]:
    """By deal, why this person is not the one to decide on it; those that are theirs are missing. 1 query, or none."""
    able = {deal.pk: approvers.able(deal) for deal in deals}
    others = [deal for deal in deals if by.pk not in able[deal.pk]]
    if not others:
        return {}
    deciders = {user for deal in others for user in able[deal.pk]}
    names = dict(User.objects.filter(pk__in=deciders).values_list("pk", "name"))
    found = {}
    for deal in others:
        two = approvers.two.get(deal.pk)
        whose = _listed(sorted(names[user] for user in able[deal.pk] if user in names))
        if by.pk in approvers.interested(deal):
            found[deal.pk] = Problem(
                "self_approval",
                f"You {'submitted' if deal.amended_at is None else 'amended'} {deal.reference} or have a share in it, so somebody else has to decide on it.",
            )
        elif two is not None and by.pk in two.first:
            found[deal.pk] = Problem(
                "second_approver_is_first",
                f"The first approval of {deal.reference} is yours already; the second comes from somebody outside your chain: {whose}.",
            )
        else:
            found[deal.pk] = Problem("not_the_approver", f"{deal.reference} is decided on by {whose}.")
    return found


def _listed(names: Sequence[str]) -> str:
    """Names in a sentence; of very many the first three."""
    if not names:
        return "a comp admin"
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def _not_waiting(deal: Deal) -> Problem:
    return Problem(
        "deal_not_submitted",
        f"{deal.reference} is {deal.get_state_display().lower()}, not waiting for a decision.",
    )


def _not_returnable(deal: Deal) -> Problem:
    return Problem(
        "amendment_not_returnable",
        f"{deal.reference}: an amendment is approved or rejected; whoever proposed it can propose another one.",
    )


def _above(deal: Deal) -> Problem:
    return Problem(
        "above_the_limit",
        f"{deal.reference} is above the approval limit: two people approve it, and no policy does.",
    )
