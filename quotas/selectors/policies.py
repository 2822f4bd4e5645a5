"""Straight-through policies as they are read: the one in force, and every version in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db.models import Count, TextChoices

from accounts.models import Role, User
from config import house as formats
from config.language import marked
from quotas.models import Deal, StraightThroughPolicy

SEES: Final = (Role.COMP_ADMIN, Role.AUDITOR)


class PolicyState(TextChoices):
    """Where a version stands."""

    DRAFT = "draft", marked("Draft")
    IN_FORCE = "in_force", marked("In force")
    ENDED = "ended", marked("Ended")


def may_read_policies(user: User) -> bool:
    return user.has_role(*SEES)


def in_force(name: str) -> StraightThroughPolicy | None:
    """The published version of that name, whatever its letter case, that nothing has ended. 1 query."""
    return (
        StraightThroughPolicy.objects.filter(
            name__iexact=" ".join(name.split()), published_at__isnull=False, ended_at=None
        )
        .select_related("currency")
        .first()
    )


def names_in_force() -> list[str]:
    """For whoever chooses one. 1 query."""
    return list(
        StraightThroughPolicy.objects.filter(published_at__isnull=False, ended_at=None)
        .order_by("name")
        .values_list("name", flat=True)
    )


def conditions(policy: StraightThroughPolicy) -> list[str]:
    """What a deal has to be, one condition each, as parts of a sentence."""
    said = [f"deals from {_listed(policy.sources)}"]
    if policy.most_minor is not None and policy.currency is not None:
        most = formats.money(policy.most_minor, policy.currency.code, policy.currency.exponent, trim=True)
        said.append(f"up to {most}")
    else:
        said.append("of any amount")
    if policy.late_after_days is not None:
        days = policy.late_after_days
        said.append(
            f"closed at most {days:,} {'day' if days == 1 else 'days'} ago"
            if days
            else "closed on the same day"
        )
    else:
        said.append("however long ago they closed")
    said.append("the owner's alone" if policy.default_share else "split or not")
    return said


def in_words(policy: StraightThroughPolicy) -> str:
    """The conditions as a sentence: "Deals from salesforce, up to $100,000, closed at most 30 days ago, the owner's alone."."""
    said = ", ".join(conditions(policy))
    return f"{said[:1].upper()}{said[1:]}."


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else "".join(names)


@dataclass(frozen=True, slots=True)
class Version:
    """deals: how many were approved under it. state: draft, in_force, or how it ended: replaced, withdrawn, dropped."""

    policy: StraightThroughPolicy
    words: str
    state: str
    deals: int


@dataclass(slots=True)
class Named:
    """A policy with its versions: the one in force, a draft that waits, and those that have ended, the latest first."""

    name: str
    current: Version | None = None
    draft: Version | None = None
    ended: list[Version] = field(default_factory=list)
    deals: int = 0


def state_of(policy: StraightThroughPolicy) -> PolicyState:
    if policy.ended_at is not None:
        return PolicyState.ENDED
    return PolicyState.DRAFT if policy.published_at is None else PolicyState.IN_FORCE


def _how_it_ended(policy: StraightThroughPolicy, newest: int) -> str:
    """newest: number of the newest version that was ever published."""
    if policy.published_at is None:
        return "dropped"
    return "withdrawn" if policy.version == newest else "replaced"


def every_policy() -> list[Named]:
    """By name, those in force first. 2 queries."""
    rows = list(
        StraightThroughPolicy.objects.select_related("currency", "drafted_by", "published_by").order_by(
            "name", "-version"
        )
    )
    if not rows:
        return []
    counted = dict(
        Deal.objects.exclude(approved_under=None)
        .order_by()
        .values_list("approved_under")
        .annotate(deals=Count("pk"))
    )
    newest: dict[str, int] = {}
    for row in rows:
        if row.published_at is not None:
            newest.setdefault(row.name, row.version)
    found: dict[str, Named] = {}
    for row in rows:
        named = found.setdefault(row.name, Named(row.name))
        state = state_of(row)
        how = _how_it_ended(row, newest.get(row.name, 0)) if state == PolicyState.ENDED else str(state)
        version = Version(row, in_words(row), how, counted.get(row.pk, 0))
        named.deals += version.deals
        if state == PolicyState.IN_FORCE:
            named.current = version
        elif state == PolicyState.DRAFT:
            named.draft = version
        else:
            named.ended.append(version)
    return sorted(found.values(), key=lambda each: (each.current is None, each.draft is None, each.name))
