"""Who stands in for whom, and the limits above which two people approve, as they are read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Q, QuerySet, TextChoices

from accounts.models import AuditEvent, Role, RoleGrant, User
from config.given import tidy
from config.language import marked
from quotas.models import ApprovalLimit, Delegation

SEES_EVERYBODY = (Role.COMP_ADMIN, Role.AUDITOR)


class Standing(TextChoices):
    """Where a delegation, or a limit, stands on a day."""

    IN_FORCE = "in_force", marked("In force")
    AHEAD = "ahead", marked("Ahead")
    OVER = "over", marked("Over")
    ENDED = "ended", marked("Ended early")


@dataclass(frozen=True, slots=True)
class Span:
    """A delegation with where it stands. last is its last day."""

    delegation: Delegation
    standing: Standing
    last: date


@dataclass(frozen=True, slots=True)
class LimitSpan:
    """A limit with where it stands, and why it was set; last is empty where it has no end."""

    limit: ApprovalLimit
    standing: Standing
    reason: str
    last: date | None


def may_read_delegations(user: User) -> bool:
    return user.has_role(Role.MANAGER, *SEES_EVERYBODY)


def delegations_for(user: User) -> QuerySet[Delegation]:
    """A manager's own, from and to; everybody's for comp admins and auditors."""
    found = Delegation.objects.select_related("of", "to", "recorded_by")
    if user.has_role(*SEES_EVERYBODY):
        return found
    if user.has_role(Role.MANAGER):
        return found.filter(Q(of=user) | Q(to=user))
    return found.none()


def standing_of(delegation: Delegation, on: date) -> Standing:
    if delegation.superseded_at is not None:
        return Standing.ENDED
    if delegation.effective.lower > on:
        return Standing.AHEAD
    return Standing.IN_FORCE if on < delegation.effective.upper else Standing.OVER


def standing(user: User, on: date) -> QuerySet[Delegation]:
    """What is in force, by its first day, then what is ahead."""
    found = delegations_for(user).filter(superseded_at=None, effective__endswith__gt=on)
    return found.order_by("effective", "-id")


def over(user: User, on: date) -> QuerySet[Delegation]:
    """What was ended or is over, the latest first."""
    found = delegations_for(user).filter(Q(superseded_at__isnull=False) | Q(effective__endswith__lte=on))
    return found.order_by("-id")


def span_of(delegation: Delegation, on: date) -> Span:
    return Span(delegation, standing_of(delegation, on), delegation.effective.upper - timedelta(days=1))


def principals(user: User) -> QuerySet[User]:
    """For whom this person may delegate: a manager for himself, a comp admin for every manager."""
    managers = RoleGrant.objects.filter(role=Role.MANAGER, withdrawn_at=None).values("user")
    found = User.objects.filter(pk__in=managers, is_active=True, is_service=False).order_by("name", "pk")
    return found if user.has_role(Role.COMP_ADMIN) else found.filter(pk=user.pk)


def named_people(people: QuerySet[User], text: str) -> list[User]:
    """Whom a text means: by e-mail, in brackets behind a name or alone, by number, or by the whole name. 1 query."""
    text = tidy(text)
    email = text[text.rindex("(") + 1 : -1] if text.endswith(")") and "(" in text else text
    meant = Q(email__iexact=email) | Q(name__iexact=text)
    if text.isascii() and text.isdigit() and len(text) < 18:
        meant = Q(pk=int(text))
    return list(people.filter(meant)[:3])


def people_like(people: QuerySet[User], words: str, most: int) -> list[tuple[str, str]]:
    """What may be chosen for a part of a name: how a person is entered, and the e-mail. 1 query."""
    for word in words.split():
        people = people.filter(Q(name__icontains=word.strip("()")) | Q(email__icontains=word.strip("()")))
    return [(f"{each.name} ({each.email})", "") for each in people[:most]]


def deciders(user: User) -> QuerySet[User]:
    """Whom a delegation may name: managers and comp admins, but not whoever makes it."""
    able = RoleGrant.objects.filter(role__in=[Role.MANAGER, Role.COMP_ADMIN], withdrawn_at=None).values(
        "user"
    )
    return (
        User.objects.filter(pk__in=able, is_active=True, is_service=False)
        .exclude(pk=user.pk)
        .order_by("name", "pk")
    )


def limits(on: date) -> list[LimitSpan]:
    """Those that stand, in force and ahead, then the latest that are over. 2 queries."""
    rows: Sequence[ApprovalLimit] = list(
        ApprovalLimit.objects.select_related("currency", "recorded_by").order_by("-effective", "-id")[:30]
    )
    reasons = dict(
        AuditEvent.objects.filter(
            table="quotas_approvallimit", row__in=[row.pk for row in rows], action="insert"
        ).values_list("row", "reason")
    )
    found = []
    for row in rows:
        upper = row.effective.upper
        if row.superseded_at is not None:
            standing = Standing.ENDED
        elif row.effective.lower > on:
            standing = Standing.AHEAD
        else:
            standing = Standing.IN_FORCE if upper is None or on < upper else Standing.OVER
        last = upper - timedelta(days=1) if upper is not None else None
        found.append(LimitSpan(row, standing, reasons.get(row.pk, ""), last))
    order = list(Standing)
    return sorted(found, key=lambda span: order.index(span.standing))
