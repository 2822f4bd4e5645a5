"""Deciding on deals and their amendments: approve, reject, return, cancel, hold, release. Whatever changes credit posts it in the same transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from accounts.audit import acting
from accounts.models import Role, RoleGrant, User
from config import bulk, formats, outbox
from config.clock import day_of
from config.refusals import Conflict, Forbidden, Problem, refuse_if_any
from quotas.crediting import engine
from quotas.models import (
    Deal,
    DealAction,
    DealEvent,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    Rep,
    StraightThroughPolicy,
    TeamMembership,
)
from quotas.selectors.deals import refunded_by, refunds_of
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.visibility import deals_for, reps_for
from quotas.services.booking import (
    below_refunds,
    deal_for_change,
    problems_in_deciding,
    refuse_without_reason,
)

MOST_AT_ONCE = 200


class Approvers:
    """Who may approve which of a set of deals. A fixed number of queries, whatever the number of deals."""

    def __init__(self, deals: Sequence[Deal], on: date) -> None:
        self.tree = Hierarchy(on)
        owners = {deal.owner_id for deal in deals}
        self.team_of = dict(
            TeamMembership.objects.filter(
                rep__in=owners, superseded_at=None, effective__contains=on
            ).values_list("rep_id", "team_id")
        )
        self.shares_of: dict[int | None, set[int]] = {}
        versions = {d.latest_version_id for d in deals} | {d.credited_version_id for d in deals}
        for version_id, rep_id in DealShare.objects.filter(version__in=versions - {None}).values_list(
            "version_id", "rep_id"
        ):
            self.shares_of.setdefault(version_id, set()).add(rep_id)
        sharing = owners.union(*self.shares_of.values()) if self.shares_of else owners
        self.user_of = dict(
            Rep.objects.filter(pk__in=sharing).exclude(user=None).values_list("pk", "user_id")
        )
        self.comp_admins = set(
            RoleGrant.objects.filter(
                role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True
            ).values_list("user_id", flat=True)
        )

    def _participants(self, deal: Deal) -> set[int]:
        """The owner and everybody with a share; of an amendment, in what stands or in what is to come."""
        reps = self.shares_of.get(deal.latest_version_id, set()) | {deal.owner_id}
        return reps | self.shares_of.get(deal.credited_version_id, set())

    def interested(self, deal: Deal) -> set[int]:
        """Users who must not decide, because they submitted or amended it, or have a share in it."""
        users = {self.user_of[rep] for rep in self._participants(deal) if rep in self.user_of}
        proposed_by = deal.submitted_by_id if deal.amended_at is None else deal.amended_by_id
        return users | ({proposed_by} if proposed_by else set())

    def of(self, deal: Deal) -> set[int]:
        """Users who may approve: the nearest managers above the owner without an interest; at the top, the comp admins."""
        interested = self.interested(deal)
        nearest = self.tree.approvers(
            team_id=self.team_of.get(deal.owner_id),
            but_not_reps=self._participants(deal),
            but_not_users=interested,
        )
        return nearest or self.comp_admins - interested


def waits(deal: Deal) -> bool:
    """Whether the deal, or an amendment of it, waits for a decision."""
    return deal.state == DealState.SUBMITTED or deal.amended_at is not None


def may_approve(user: User, deal: Deal, on: date) -> bool:
    """Whether this person is the one to decide on a submitted deal, or on the amendment that waits."""
    return waits(deal) and user.pk in Approvers([deal], on).of(deal)


def approvals_waiting_for(user: User, on: date) -> QuerySet[Deal]:
    """The submitted deals and the amendments that this person is to decide on. A fixed number of queries."""
    waiting = list(deals_for(user, on).filter(Q(state=DealState.SUBMITTED) | Q(amended_at__isnull=False)))
    approvers = Approvers(waiting, on)
    return Deal.objects.filter(pk__in=[deal.pk for deal in waiting if user.pk in approvers.of(deal)])


@transaction.atomic
def approve_deal(
    *, deal_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Deal:
    """Approve one submitted deal, or the amendment that waits, and post what changes. Raises NotFound, Stale, Conflict, Forbidden, Invalid."""
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_unless_waiting([deal])
    _refuse_unless_approver([deal], by=by, on=day_of(at))
    refuse_if_any(problems_in_deciding([deal], at=at)[0])
    _approve([deal], by=by, at=at, reason=reason)
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
    """Approve many submitted deals and waiting amendments, all or none, in one posting.

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
    else:
        if len(deals) > MOST_AT_ONCE:
            raise Conflict.of("too_many_at_once", f"Approve at most {MOST_AT_ONCE} deals at once.")
        _refuse_unless_approver(deals, by=by, on=day_of(at))
        refuse_if_any(
            Problem(p.code, f"{deal.reference}: {p.message}", f"/{place}{p.pointer}")
            for place, (deal, found_wrong) in enumerate(
                zip(deals, problems_in_deciding(deals, at=at), strict=True)
            )
            for p in found_wrong
        )
    return _approve(
        deals,
        by=by,
        at=at,
        reason=f"{policy}: {reason}".strip(": ") if policy else reason,
        under=under,
        decided_at_each=decided_at_each,
    )


@transaction.atomic
def reject_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Turn a submitted deal down for good, or an amendment: then what stands goes on standing. Needs a reason."""
    return _turn_down(
        deal_id,
        DealState.REJECTED,
        DealAction.REJECTED,
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
        DealState.RETURNED,
        DealAction.RETURNED,
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
    if deal.state in (DealState.CANCELLED, DealState.REJECTED):
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
        engine.post(
            engine.ByDeal([deal.pk]),
            key=f"cancel:{deal.reference}:r{deal.revision}",
            kind="cancel",
            by=by,
            at=at,
            reason=reason,
        )
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
    engine.post(
        engine.ByDeal([deal.pk]),
        key=f"cancel-part:{deal.reference}:r{deal.revision}",
        kind="cancel",
        by=by,
        at=at,
        reason=reason,
    )
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
    state: DealState,
    action: DealAction,
    *,
    by: User,
    at: datetime,
    reason: str,
    expected_revision: int | None,
) -> Deal:
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    refuse_without_reason(reason)
    _refuse_unless_waiting([deal])
    if deal.amended_at is not None and state == DealState.RETURNED:
        raise Conflict.of(
            "amendment_not_returnable",
            "An amendment is approved or rejected; whoever proposed it can propose another one.",
        )
    _refuse_unless_approver([deal], by=by, on=day_of(at))
    acting(by=by, at=at, reason=reason)
    if deal.amended_at is not None:
        _drop_amendment(deal, by=by, at=at, reason=reason)
        _tell(deal, DealAction.AMENDMENT_REJECTED, at=at)
        return deal
    _move(deal, state, action, by=by, at=at, reason=reason)
    _tell(deal, action, at=at)
    return deal


def _hold(
    deal_id: int, held: bool, *, by: User, at: datetime, reason: str, expected_revision: int | None
) -> Deal:
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
    engine.post(
        engine.ByDeal([deal.pk]),
        key=f"{kind}:{deal.reference}:r{deal.revision}",
        kind=kind,
        by=by,
        at=at,
        reason=reason,
    )
    return deal


def _move(deal: Deal, state: DealState, action: DealAction, *, by: User, at: datetime, reason: str) -> None:
    """Change the state, and leave a step in the history. Who approved stays with an approved deal that is cancelled: its events say the rest."""
    deal.state = state
    deal.decided_by, deal.decided_at = by, at
    deal.revision += 1
    deal.save(update_fields=["state", "decided_by", "decided_at", "revision"])
    DealEvent.objects.create(deal=deal, version=deal.latest, action=action, by=by, at=at, reason=reason)


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
        raise Conflict(
            *(
                Problem(
                    "deal_not_submitted",
                    f"{deal.reference} is {deal.get_state_display().lower()}, not waiting for a decision.",
                )
                for deal in others
            )
        )


def _refuse_unless_approver(deals: Sequence[Deal], *, by: User, on: date) -> None:
    approvers = Approvers(deals, on)
    found = []
    for deal in deals:
        able = approvers.of(deal)
        if by.pk in able:
            continue
        if by.pk in approvers.interested(deal):
            found.append(
                Problem(
                    "self_approval",
                    f"You {'submitted' if deal.amended_at is None else 'amended'} {deal.reference} or have a share in it, so somebody else has to decide on it.",
                )
            )
        else:
            names = ", ".join(
                User.objects.filter(pk__in=able).order_by("name").values_list("name", flat=True)
            )
            found.append(
                Problem("not_the_approver", f"{deal.reference} is decided on by {names or 'a comp admin'}.")
            )
    if found:
        raise Forbidden(*found)
