"""Disputes as their two sides may see them: the rep, and those who answer for the rep's numbers."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Case, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce

from accounts.models import Role, RoleGrant, User
from config import formats
from config.language import _, ngettext
from quotas.models import (
    CreditEntry,
    Deal,
    Dispute,
    DisputeKind,
    DisputeMessage,
    DisputeState,
    Grain,
    Measure,
    Period,
    Quota,
    Rep,
    TeamMembership,
)
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.visibility import (
    SEES_EVERYTHING,
    deals_for,
    entries_for,
    managed_teams,
    rep_of,
    reps_for,
)

READERS: Final = (Role.REP, Role.MANAGER, *SEES_EVERYTHING)
OPEN: Final = (DisputeState.OPEN, DisputeState.IN_REVIEW)
MOST_NAMED: Final = 500  # people to choose from in a form


def disputes_for(user: User, on: date) -> QuerySet[Dispute]:
    """The disputes that a person may read: all, those about reps whose numbers they answer for, the own ones."""
    found = Dispute.objects.all()
    if user.has_role(*SEES_EVERYTHING):
        return found
    if not user.has_role(*READERS):
        return found.none()
    return found.filter(Q(rep__in=reps_for(user, on)) | Q(opened_by=user))


def with_names(found: QuerySet[Dispute]) -> QuerySet[Dispute]:
    return found.select_related(
        *("rep", "deal__customer", "measure__currency", "period", "opened_by", "assigned_to", "resolved_by")
    )


def with_last_word(found: QuerySet[Dispute]) -> QuerySet[Dispute]:
    """Each with last_at and last_by: when its thread went on last, and by whom. Opening it is the first word."""
    thread = DisputeMessage.objects.filter(dispute=OuterRef("pk")).order_by("-pk")
    return found.annotate(
        last_at=Coalesce(Subquery(thread.values("at")[:1]), F("opened_at")),
        last_by=Coalesce(Subquery(thread.values("by__name")[:1]), F("opened_by__name")),
    )


def most_urgent_first(found: QuerySet[Dispute]) -> QuerySet[Dispute]:
    """What waits, by when an answer is owed, so that what is late comes first; then what is done, the latest first."""
    return found.order_by(
        Case(When(state__in=OPEN, then=Value(0)), default=Value(1)),
        Case(When(state__in=OPEN, then="due_at")),
        "-pk",
    )


def waiting_for(user: User, on: date) -> QuerySet[Dispute]:
    """What this person can answer and nobody has: not about the own numbers, and not opened by them."""
    found = disputes_for(user, on).filter(state__in=OPEN)
    if not user.has_role(Role.COMP_ADMIN, Role.MANAGER):
        return found.none()
    return found.exclude(rep__user=user).exclude(opened_by=user)


def may_dispute(user: User, rep: Rep, on: date) -> bool:
    """The rep about the own numbers; managers above and comp admins in their name. 4 queries at most."""
    if user.has_role(Role.REP, Role.MANAGER) and rep.user_id == user.pk:
        return True
    if user.has_role(Role.COMP_ADMIN):
        return True
    return user.has_role(Role.MANAGER) and reps_for(user, on).filter(pk=rep.pk).exists()


def may_answer(user: User, dispute: Dispute, on: date) -> bool:
    """A comp admin or a manager above the rep, who is not the rep and did not open it. 4 queries at most."""
    if user.pk in (dispute.rep.user_id, dispute.opened_by_id):
        return False
    if user.has_role(Role.COMP_ADMIN):
        return True
    return user.has_role(Role.MANAGER) and reps_for(user, on).filter(pk=dispute.rep_id).exists()


def may_speak(user: User, dispute: Dispute, on: date) -> bool:
    """Both sides; auditors only read."""
    if user.pk in (dispute.rep.user_id, dispute.opened_by_id) or user.has_role(Role.COMP_ADMIN):
        return True
    return may_answer(user, dispute, on)


def answerers(dispute: Dispute, on: date) -> set[int]:
    """Users who are told of it: who took it, else the nearest managers above the rep and the comp admins. 4 queries."""
    admins = RoleGrant.objects.filter(role=Role.COMP_ADMIN, withdrawn_at=None, user__is_active=True)
    users = set(admins.values_list("user_id", flat=True))
    if dispute.assigned_to_id is not None:
        users.add(dispute.assigned_to_id)
    else:
        team = (
            TeamMembership.objects.filter(rep=dispute.rep_id, superseded_at=None, effective__contains=on)
            .values_list("team_id", flat=True)
            .first()
        )
        users |= Hierarchy(on).approvers(
            team_id=team, but_not_reps={dispute.rep_id}, but_not_users={dispute.opened_by_id}
        )
    return users - {dispute.rep.user_id, dispute.opened_by_id}


# --- the clock ----------------------------------------------------------------------------------------------------


def due_after(at: datetime, days: int) -> datetime:
    """The same time of day so many business days later, Monday to Friday of the operator."""
    zone = ZoneInfo(settings.TIME_ZONE)
    local = at.astimezone(zone)
    on, left = local.date(), days
    while left:
        on += timedelta(days=1)
        left -= on.weekday() < 5
    return datetime.combine(on, local.time(), zone)


@dataclass(frozen=True, slots=True)
class Clock:
    """How long there is to answer: words, and how urgent it is (good, warn, bad; muted once it is answered)."""

    words: str
    tone: str


def clock_of(dispute: Dispute, at: datetime) -> Clock:
    """Time left in days or hours, or how late it is; of an answered one whether it was in time. No query."""
    if dispute.resolved_at is not None:
        late = dispute.resolved_at - dispute.due_at
        if dispute.state == DisputeState.WITHDRAWN:
            return Clock(_("Withdrawn"), "muted")
        return (
            Clock(_("Answered %(span)s late") % {"span": _length(late)}, "warn")
            if late > timedelta(0)
            else Clock(_("Answered in time"), "muted")
        )
    left = dispute.due_at - at
    if left < timedelta(0):
        return Clock(_("%(span)s late") % {"span": _length(-left)}, "bad")
    return Clock(
        _("%(span)s left") % {"span": _length(left)}, "warn" if left <= timedelta(days=1) else "good"
    )


def _length(span: timedelta) -> str:
    hours = int(span.total_seconds() // 3600)
    if not hours:
        return _("less than an hour")
    if hours < 48:
        return ngettext("%(count)s hour", "%(count)s hours", hours) % {"count": formats.whole(hours)}
    days = hours // 24
    return ngettext("%(count)s day", "%(count)s days", days) % {"count": formats.whole(days)}


# --- what one can be about ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Subject:
    """What a dispute is about to be opened about, as far as its address says. reps: whose number it can be."""

    reps: list[Rep]
    entry: CreditEntry | None = None
    deal: Deal | None = None
    quota: Quota | None = None
    period: Period | None = None
    measure: Measure | None = None

    @property
    def likely_kind(self) -> str:
        if self.entry is not None:
            return DisputeKind.WRONG_AMOUNT
        return DisputeKind.QUOTA if self.quota is not None else DisputeKind.MISSING_CREDIT


def subject(
    user: User,
    on: date,
    *,
    entry_id: int | None = None,
    deal_id: int | None = None,
    quota_id: int | None = None,
    period: Period | None = None,
    rep: Rep | None = None,
) -> Subject | None:
    """None where the address names something that this person cannot see, or nobody's number that is theirs to dispute."""
    if entry_id is not None:
        months = list(Period.objects.filter(grain=Grain.MONTH).values_list("pk", flat=True))
        found = (
            entries_for(user, on)
            .filter(pk=entry_id, posting_period__in=months)
            .select_related("rep", "deal__customer", "measure__currency", "origin_period", "posting_period")
            .first()
        )
        if found is None or not may_dispute(user, found.rep, on):
            return None
        return Subject(
            [found.rep], entry=found, deal=found.deal, period=found.origin_period, measure=found.measure
        )
    if quota_id is not None:
        return _of_quota(user, on, quota_id)
    if deal_id is not None:
        deal = deals_for(user, on).filter(pk=deal_id).select_related("customer", "latest_version").first()
        mine = _disputable(user, on, rep=rep, deal=deal) if deal is not None else []
        return Subject(_likely_first(mine, deal), deal=deal) if deal is not None and mine else None
    mine = _disputable(user, on, rep=rep)
    return Subject(mine, period=period) if mine else None


def _of_quota(user: User, on: date, quota_id: int) -> Subject | None:
    quota = (
        Quota.objects.filter(pk=quota_id).select_related("rep", "measure__currency", "period", "team").first()
    )
    if quota is None:
        return None
    if quota.rep is not None:
        whose: Rep | None = quota.rep if may_dispute(user, quota.rep, on) else None
    else:
        whose = rep_of(user) if quota.team_id in managed_teams(user, on) else None
    if whose is None:
        return None
    return Subject([whose], quota=quota, period=quota.period, measure=quota.measure)


def _disputable(user: User, on: date, *, rep: Rep | None = None, deal: Deal | None = None) -> list[Rep]:
    """Oneself first. A comp admin opens one in somebody's name from a row of theirs, or names the rep.

    Only *rep*, if one is named. Of more people than can be chosen from, who has to do with the deal is never left out.
    """
    own = rep_of(user) if user.has_role(Role.REP, Role.MANAGER) else None
    others = Rep.objects.none()
    if user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        others = reps_for(user, on).order_by("name", "pk")
    if rep is not None:
        return [own] if own is not None and own.pk == rep.pk else list(others.filter(pk=rep.pk))
    listed = list(others[:MOST_NAMED])
    if deal is not None and len(listed) == MOST_NAMED:
        involved = {*_sharers(deal), deal.owner_id}
        listed += others.filter(pk__in=involved - {each.pk for each in listed})
    return [*([own] if own is not None else []), *(each for each in listed if own is None or each != own)]


def _sharers(deal: Deal) -> set[int]:
    version = deal.latest_version
    return set(version.shares.values_list("rep_id", flat=True)) if version is not None else set()


def _likely_first(reps: list[Rep], deal: Deal) -> list[Rep]:
    """Who has a share in the deal, or owns it, before the others."""
    shares = _sharers(deal)
    return sorted(reps, key=lambda rep: (rep.pk not in shares, rep.pk != deal.owner_id))
