"""Adjustments as their readers may see them, and where one would go."""

from dataclasses import dataclass
from datetime import date

from django.db.models import Q, QuerySet

from accounts.models import Role, User
from quotas.models import (
    Adjustment,
    AdjustmentState,
    CreditEntry,
    Deal,
    Grain,
    Period,
    PeriodState,
    Rep,
    Team,
    TeamMembership,
)
from quotas.selectors.periods import Calendars
from quotas.selectors.visibility import SEES_EVERYTHING, managed_teams, rep_of, reps_for

READERS = (Role.REP, Role.MANAGER, *SEES_EVERYTHING)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where credit of a rep and a day belongs, and where it would be posted now: another month, where its own is closed; None where none is open."""

    team: Team
    origin: Period
    posting: Period | None

    @property
    def moved(self) -> bool:
        return self.posting is not None and self.posting.pk != self.origin.pk


def adjustments_for(user: User, on: date) -> QuerySet[Adjustment]:
    """The adjustments that a person may read: all; those of the teams managed; of one's own credit what was posted, or answers a dispute. 1 to 4 queries."""
    found = Adjustment.objects.all()
    if user.has_role(*SEES_EVERYTHING):
        return found
    allowed = Q(pk__in=[])
    mine = rep_of(user)
    if mine is not None and user.has_role(Role.REP, Role.MANAGER):
        allowed |= Q(rep=mine) & (Q(state=AdjustmentState.POSTED) | Q(dispute__isnull=False))
    teams = managed_teams(user, on)
    if teams:
        allowed |= Q(team__in=teams) | Q(rep__in=_members(teams, on))
        if mine is not None:
            allowed &= ~Q(rep=mine) | Q(state=AdjustmentState.POSTED) | Q(dispute__isnull=False)
    return found.filter(allowed)


def _members(teams: set[int], on: date) -> list[int]:
    return list(
        TeamMembership.objects.filter(team__in=teams, superseded_at=None, effective__contains=on).values_list(
            "rep_id", flat=True
        )
    )


def with_people(found: QuerySet[Adjustment]) -> QuerySet[Adjustment]:
    """With whatever a row names, in the same query."""
    return found.select_related(
        *("rep", "team", "measure__currency", "origin_period", "asked_by", "decided_by"),
        *("deal__customer", "dispute", "undoes", "undone_by"),
    )


def may_ask(user: User) -> bool:
    return user.has_role(Role.COMP_ADMIN, Role.MANAGER)


def adjustable_reps(user: User, on: date) -> QuerySet[Rep]:
    """Whose credit a person may ask to adjust: a comp admin everybody's, a manager that of the teams below; never one's own."""
    if not may_ask(user):
        return Rep.objects.none()
    return reps_for(user, on).exclude(user=user)


def waiting_for(user: User) -> QuerySet[Adjustment]:
    """What this comp admin can decide on: what waits, was not asked for by them and is not about their own credit."""
    if not user.has_role(Role.COMP_ADMIN):
        return Adjustment.objects.none()
    return (
        Adjustment.objects.filter(state=AdjustmentState.ASKED).exclude(asked_by=user).exclude(rep__user=user)
    )


def destination(*, rep_id: int, on: date) -> Destination | None:
    """Team and month of a rep's credit of a day; None where the rep was in no team or the calendar has no such month. At most 7 queries."""
    membership = (
        TeamMembership.objects.filter(rep=rep_id, superseded_at=None, effective__contains=on)
        .select_related("team")
        .first()
    )
    if membership is None:
        return None
    calendar = Calendars().of_team(membership.team_id, on)
    origin = Period.objects.filter(calendar=calendar, grain=Grain.MONTH, starts__lte=on, ends__gt=on).first()
    return None if origin is None else Destination(membership.team, origin, open_month(origin))


def open_month(origin: Period) -> Period | None:
    """The month itself if it is open, else the earliest open one after it. 1 query."""
    return (
        Period.objects.filter(
            calendar=origin.calendar_id,
            grain=Grain.MONTH,
            state=PeriodState.OPEN,
            starts__gte=origin.starts,
        )
        .order_by("starts")
        .first()
    )


def entries_of(adjustment: Adjustment) -> list[CreditEntry]:
    """What it wrote: its own entry, or of one that undoes another the reversal of that one's. 1 query."""
    found = CreditEntry.objects.filter(
        adjustment=adjustment.undoes_id or adjustment.pk, reverses_id__isnull=adjustment.undoes_id is None
    ).select_related("posting", "posting_period", "origin_period")
    return list(found.order_by("id"))


def about(deal: Deal, user: User, on: date) -> list[Adjustment]:
    """Adjustments about a deal that this person may see, in their order. 1 to 5 queries."""
    return list(with_people(adjustments_for(user, on).filter(deal=deal)).order_by("pk"))
