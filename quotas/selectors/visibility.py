"""Who may see what. Everything that reads deals, entries or people for somebody starts here, so that no query can forget it.

What is not yours answers as if it did not exist.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from accounts.models import Role, User
from marketplace.models import PublisherMembership
from quotas.models import (
    AccountOwnership,
    CreditEntry,
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    Delegation,
    FiscalCalendar,
    Rep,
    Team,
    TeamMembership,
)
from quotas.selectors.hierarchy import Hierarchy
from quotas.selectors.periods import Calendars

SEES_EVERYTHING = (Role.COMP_ADMIN, Role.AUDITOR)


def rep_of(user: User) -> Rep | None:
    """The rep that this user is, if any. 1 query for each object of the user, which pages have one of."""
    known: Rep | None = user.__dict__.get("_rep_of")
    if known is None:
        known = user.__dict__["_rep_of"] = Rep.objects.filter(user=user).first()
    return known


def publisher_of(user: User) -> int | None:
    """The publisher that a partner acts for."""
    if not user.has_role(Role.PARTNER):
        return None
    return PublisherMembership.objects.filter(user=user).values_list("publisher_id", flat=True).first()


def managed_teams(user: User, on: date) -> set[int]:
    """Every team whose numbers this user answers for, from the teams led downwards."""
    return Hierarchy(on).teams_of_user(user.pk) if user.has_role(Role.MANAGER) else set()


def relieved_teams(user: User, on: date) -> set[int]:
    """Every team of managers for whom this manager stands in: what waits there, and what was decided on there, may be read. 1 query, or 3."""
    if not user.has_role(Role.MANAGER):
        return set()
    principals = list(
        Delegation.objects.filter(to=user, superseded_at=None, effective__contains=on).values_list(
            "of_id", flat=True
        )
    )
    if not principals:
        return set()
    tree = Hierarchy(on)
    return set().union(*(tree.teams_of_user(principal) for principal in principals))


def _members(teams: set[int], on: date) -> QuerySet[TeamMembership]:
    return TeamMembership.objects.filter(team__in=teams, superseded_at=None, effective__contains=on)


def deals_for(user: User, on: date) -> QuerySet[Deal]:
    """The deals that a person may read: all, the managed teams', the own and shared ones, or a publisher's; a service what it brought.

    Of an amendment both count, what stands and what is to come. Consumption is also its account's owner's, whoever it was kept under.
    """
    deals = Deal.objects.all()
    if user.has_role(*SEES_EVERYTHING):
        return deals
    # Each part is found along an index of its own; an OR of them would be looked at deal by deal.
    parts: list[QuerySet[Any, Any]] = []
    mine = rep_of(user)
    if mine is not None and user.has_role(Role.REP, Role.MANAGER):
        parts += _kept_by([mine.pk])
    teams = managed_teams(user, on)
    if teams:
        parts += _kept_by(_members(teams, on).values("rep"))
    relieved = relieved_teams(user, on)
    if relieved:
        waits = Q(state=DealState.SUBMITTED) | Q(amended_at__isnull=False) | Q(decided_by=user)
        parts.append(deals.filter(waits, owner__in=_members(relieved, on).values("rep")).values("pk"))
    publisher = publisher_of(user)
    if publisher is not None:
        sold = DealLine.objects.filter(
            Q(version=OuterRef("credited_version"), version__deal__amended_at__isnull=False)
            | Q(version=OuterRef("latest_version"), version__deal__amended_at=None),
            offering__publisher=publisher,
        )
        seen = [DealState.SUBMITTED, DealState.APPROVED, DealState.CANCELLED]
        parts.append(deals.filter(Exists(sold), state__in=seen).values("pk"))
    elif user.is_service:
        parts.append(deals.filter(created_by=user).values("pk"))
    if not parts:
        return deals.none()
    return deals.filter(pk__in=parts[0].union(*parts[1:]) if len(parts) > 1 else parts[0])


def _kept_by(reps: Iterable[int] | QuerySet[TeamMembership, Any]) -> list[QuerySet[Any, Any]]:
    """Ids of deals: those they own, those they share in what stands or is to come, and usage of customers who were theirs on its credit date."""
    shared = DealShare.objects.filter(
        Q(version=F("version__deal__latest_version")) | Q(version=F("version__deal__credited_version")),
        rep__in=reps,
    )
    theirs = AccountOwnership.objects.filter(rep__in=reps, superseded_at=None)
    on_its_day = theirs.filter(
        customer=OuterRef("customer"), credits__contains=OuterRef("credited_version__close_date")
    )
    used = Deal.objects.filter(
        Exists(on_its_day),
        credited_version__kind=DealKind.CONSUMPTION,
        customer__in=theirs.values("customer"),
    )
    return [
        Deal.objects.filter(owner__in=reps).values("pk"),
        shared.values("version__deal"),
        used.values("pk"),
    ]


def entries_for(user: User, on: date) -> QuerySet[CreditEntry]:
    """The ledger entries that a person may read. A rep's read never holds another rep's entries."""
    entries = CreditEntry.objects.all()
    if user.has_role(*SEES_EVERYTHING):
        return entries
    allowed = Q(pk__in=[])
    mine = rep_of(user)
    if mine is not None:
        allowed |= Q(rep=mine)
    teams = managed_teams(user, on)
    if teams:
        allowed |= Q(team__in=teams)
    return entries.filter(allowed)


def reps_for(user: User, on: date) -> QuerySet[Rep]:
    """The reps whose numbers a person may see in money."""
    if user.has_role(*SEES_EVERYTHING):
        return Rep.objects.all()
    teams = managed_teams(user, on)
    return Rep.objects.filter(Q(user=user) | Q(pk__in=_members(teams, on).values("rep")))


def calendars_of(
    user: User, on: date, *, first: Team | None = None, known: Calendars | None = None
) -> list[FiscalCalendar]:
    """The fiscal calendars whose periods matter to a person: of the own team and the managed ones; all for who sells nowhere.

    first  A team whose calendar comes before them.
    1 query for one calendar; 4 to 7 where there are several.
    """
    known = known or Calendars()
    if not known.several:
        return known.every
    found = [known.of_team(first.pk, on)] if first is not None else []
    mine = rep_of(user) if user.has_role(Role.REP, Role.MANAGER) else None
    if mine is not None:
        found.append(known.of_member(list(mine.memberships.filter(superseded_at=None)), on))
    found += [known.of_team(team, on) for team in sorted(managed_teams(user, on))]
    if user.has_role(*SEES_EVERYTHING) or mine is None:
        found += known.every
    return list(dict.fromkeys(each for each in found if each is not None))


def money_visible(user: User, rep: Rep, on: date) -> bool:
    """Whether this person may see that rep's amounts; rank and per cent are for every colleague."""
    return reps_for(user, on).filter(pk=rep.pk).exists()


def may_log_for(user: User, rep_id: int, on: date) -> bool:
    """A rep logs own deals, a manager those of the teams below, a comp admin anybody's."""
    if user.has_role(Role.COMP_ADMIN):
        return True
    if user.has_role(Role.REP) and Rep.objects.filter(user=user, pk=rep_id).exists():
        return True
    return user.has_role(Role.MANAGER) and reps_for(user, on).filter(pk=rep_id).exists()
