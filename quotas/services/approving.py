"""Deciding on deals: approve, reject, return, cancel, hold, release. Whatever changes credit posts it in the same transaction."""

import hashlib
from collections.abc import Sequence
from datetime import date, datetime

from django.db import transaction
from django.db.models import QuerySet

from accounts.audit import acting
from accounts.models import Role, RoleGrant, User
from config import bulk, outbox
from config.clock import day_of
from config.refusals import Conflict, Forbidden, Problem, refuse_if_any
from quotas.crediting import engine
from quotas.models import Deal, DealAction, DealEvent, DealShare, DealState, Rep, TeamMembership
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.visibility import deals_for, reps_for
from quotas.services.booking import deal_for_change, draft_of, problems

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
        for version_id, rep_id in DealShare.objects.filter(
            version__in=[d.latest_version_id for d in deals]
        ).values_list("version_id", "rep_id"):
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

    def interested(self, deal: Deal) -> set[int]:
        """Users who must not decide, because they submitted it or have a share in it."""
        reps = self.shares_of.get(deal.latest_version_id, set()) | {deal.owner_id}
        users = {self.user_of[rep] for rep in reps if rep in self.user_of}
        return users | ({deal.submitted_by_id} if deal.submitted_by_id else set())

    def of(self, deal: Deal) -> set[int]:
        """Users who may approve: the nearest managers above the owner without an interest; at the top, the comp admins."""
        interested = self.interested(deal)
        reps = self.shares_of.get(deal.latest_version_id, set()) | {deal.owner_id}
        nearest = self.tree.approvers(
            team_id=self.team_of.get(deal.owner_id), but_not_reps=reps, but_not_users=interested
        )
        return nearest or self.comp_admins - interested


def may_approve(user: User, deal: Deal, on: date) -> bool:
    """Whether this person is the one to decide on a submitted deal."""
    return deal.state == DealState.SUBMITTED and user.pk in Approvers([deal], on).of(deal)


def approvals_waiting_for(user: User, on: date) -> QuerySet[Deal]:
    """The submitted deals that this person is to decide on. A fixed number of queries."""
    waiting = list(deals_for(user, on).filter(state=DealState.SUBMITTED))
    approvers = Approvers(waiting, on)
    return Deal.objects.filter(pk__in=[deal.pk for deal in waiting if user.pk in approvers.of(deal)])


@transaction.atomic
def approve_deal(
    *, deal_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Deal:
    """Approve one submitted deal and post its credits. Raises NotFound, Stale, Conflict, Forbidden, Invalid."""
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_unless_submitted([deal])
    _refuse_unless_approver([deal], by=by, on=day_of(at))
    refuse_if_any(problems(draft_of(deal), at=at))
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
    decided_at_each: Sequence[datetime] | None = None,
) -> engine.Outcome:
    """Approve many submitted deals, all or none, in one posting.

    policy           Names the straight-through policy under which a comp admin approves what a trusted source brought,
                     instead of each deal's own approver.
    decided_at_each  When each was decided, in the order of *deal_ids*; *at* for all of them otherwise.
    Raises           Conflict, Forbidden or Invalid that names the deals; then none is approved.
    """
    engine.lock(engine.ByDeal(deal_ids))
    found = Deal.objects.select_related("latest_version").in_bulk(list(deal_ids))
    deals = [found[pk] for pk in deal_ids if pk in found]
    if not policy:
        seen = set(deals_for(by, day_of(at)).filter(pk__in=list(deal_ids)).values_list("pk", flat=True))
        deals = [deal for deal in deals if deal.pk in seen]
    if len(deals) < len(deal_ids):
        raise Conflict.of(
            "deal_not_found", "One of these deals does not exist any more: load the list again."
        )
    _refuse_unless_submitted(deals)
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
            for place, deal in enumerate(deals)
            for p in problems(draft_of(deal), at=at)
        )
    return _approve(
        deals,
        by=by,
        at=at,
        reason=f"{policy}: {reason}".strip(": ") if policy else reason,
        decided_at_each=decided_at_each,
    )


@transaction.atomic
def reject_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Turn a submitted deal down for good. Needs a reason."""
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
def cancel_deal(
    *, deal_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Deal:
    """Take a deal out. An approved one nets to zero in every measure by exact reversals; needs a reason.

    Before approval its owner or whoever logged it may; afterwards a manager above the owner without a share in it, or a comp admin.
    """
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    _refuse_without_reason(reason)
    if deal.state in (DealState.CANCELLED, DealState.REJECTED):
        raise Conflict.of(
            "deal_not_cancellable", f"{deal.reference} is {deal.get_state_display().lower()} already."
        )
    approved = deal.state == DealState.APPROVED
    if not may_cancel(by, deal, day_of(at)):
        raise Forbidden.of(
            "not_your_deal",
            "An approved deal is cancelled by a manager above its owner who has no share in it, or by a comp admin."
            if approved
            else "A deal that is not approved is cancelled by its owner, by whoever logged it, or by a manager.",
        )
    acting(by=by, at=at, reason=reason)
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
        outbox.promise(
            topic="quotas.deal_decided",
            key=f"deal-decided:{deal.pk}:{deal.revision}",
            payload={"deal_id": deal.pk, "action": "cancelled"},
            at=at,
        )
    return deal


def may_cancel(user: User, deal: Deal, on: date) -> bool:
    """Whether this person may cancel the deal in its present state."""
    if user.has_role(Role.COMP_ADMIN):
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
    decided_at_each: Sequence[datetime] | None = None,
) -> engine.Outcome:
    acting(by=by, at=at, reason=reason)
    when = decided_at_each or [at] * len(deals)
    for deal, moment in zip(deals, when, strict=True):
        deal.state = DealState.APPROVED
        deal.credited_version_id = deal.latest_version_id
        deal.decided_by, deal.decided_at = by, moment
        deal.revision += 1
    bulk.update(
        Deal,
        [deal.pk for deal in deals],
        {
            "state": ("text", [deal.state for deal in deals]),
            "credited_version_id": ("bigint", [deal.credited_version_id for deal in deals]),
            "decided_by_id": ("bigint", [by.pk] * len(deals)),
            "decided_at": ("timestamptz", when),
            "revision": ("int", [deal.revision for deal in deals]),
        },
    )
    bulk.insert(
        [
            DealEvent(
                deal_id=deal.pk,
                version_id=deal.latest.pk,
                action=DealAction.APPROVED,
                by_id=by.pk,
                at=moment,
                reason=reason,
            )
            for deal, moment in zip(deals, when, strict=True)
        ]
    )
    one = deals[0] if len(deals) == 1 else None
    name = (
        f"{one.reference}:r{one.revision}"
        if one
        else hashlib.sha256(repr([(d.pk, d.revision) for d in deals]).encode()).hexdigest()[:40]
    )
    outcome = engine.post(
        engine.ByDeal([deal.pk for deal in deals]),
        key=f"approve:{name}",
        kind="approve" if len(deals) <= MOST_AT_ONCE else "load",
        by=by,
        at=at,
        reason=reason,
    )
    if len(deals) <= MOST_AT_ONCE:
        outbox.promise_each(
            topic="quotas.deal_decided",
            payloads={
                f"deal-decided:{deal.pk}:{deal.revision}": {"deal_id": deal.pk, "action": "approved"}
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
    _refuse_without_reason(reason)
    _refuse_unless_submitted([deal])
    _refuse_unless_approver([deal], by=by, on=day_of(at))
    acting(by=by, at=at, reason=reason)
    _move(deal, state, action, by=by, at=at, reason=reason)
    outbox.promise(
        topic="quotas.deal_decided",
        key=f"deal-decided:{deal.pk}:{deal.revision}",
        payload={"deal_id": deal.pk, "action": str(action)},
        at=at,
    )
    return deal


def _hold(
    deal_id: int, held: bool, *, by: User, at: datetime, reason: str, expected_revision: int | None
) -> Deal:
    engine.lock(engine.ByDeal([deal_id]))
    deal = deal_for_change(deal_id=deal_id, by=by, at=at, expected_revision=expected_revision)
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("hold_needs_comp_admin", "Only a comp admin holds and releases credit.")
    if held:
        _refuse_without_reason(reason)
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
    DealEvent.objects.create(deal=deal, version=deal.latest, action=action, by=by, at=at, reason=reason)
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


def _refuse_without_reason(reason: str) -> None:
    if not reason.strip():
        raise Conflict.of(
            "reason_needed", "Say why: the owner will read it, and so will an auditor.", "/reason"
        )
    if len(reason) > 500:
        raise Conflict.of("reason_too_long", "A reason has at most 500 characters.", "/reason")


def _refuse_unless_submitted(deals: Sequence[Deal]) -> None:
    others = [deal for deal in deals if deal.state != DealState.SUBMITTED]
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
                    f"You submitted {deal.reference} or have a share in it, so somebody else has to decide on it.",
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
