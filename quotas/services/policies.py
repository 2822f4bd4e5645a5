"""Straight-through policies: which deals of a trusted source are approved without a person looking at each.

One comp admin drafts a version, another publishes it. What is published stays as it was read when deals were approved under
it: a change is a new version, and a policy that shall not be used any more is withdrawn.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Max

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config import house as formats
from config.locks import one_at_a_time
from config.outbox import promise
from config.refusals import Conflict, Forbidden, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import Currency
from quotas.models import LARGEST_AMOUNT_MINOR, StraightThroughPolicy
from quotas.selectors import policies

__all__ = ["draft_policy", "in_force", "publish_policy", "why_not", "withdraw_policy"]

NAME: Final = 80
SOURCE: Final = 20
MOST_SOURCES: Final = 20
LONGEST_REASON: Final = 500
LATEST: Final = 3650  # days: a source that is ten years late is not trusted, it is forgotten
BY_HAND: Final = ("parity",)  # what people log themselves is approved by people

in_force = policies.in_force


def why_not(
    policy: StraightThroughPolicy,
    *,
    source: str,
    amount_minor: int,
    currency: str,
    close_date: date,
    today: date,
    alone: bool,
) -> str:
    """Why a deal waits for its approver in spite of *policy*, as a sentence; nothing where the policy approves it. No query.

    amount_minor  Of all its lines, minor units of *currency*; a refund's counts by its size.
    alone         The whole credit is the owner's.
    policy        With its currency at hand (as in_force gives it).
    """
    if source.casefold() not in (each.casefold() for each in policy.sources):
        return f"{policy} does not trust {source or 'a deal without a source'}."
    if policy.most_minor is not None:
        limit = policy.currency
        if limit is None or limit.code != currency:
            return f"{policy} has its limit in {policy.currency_id}; a deal in {currency} waits for its approver."
        if abs(amount_minor) > policy.most_minor:
            most = formats.money(policy.most_minor, limit.code, limit.exponent, trim=True)
            return f"It is {formats.money(abs(amount_minor), limit.code, limit.exponent)}; {policy} approves up to {most}."
    if close_date > today:
        return f"It closes on {formats.day(close_date)}, which lies ahead."
    if policy.late_after_days is not None and close_date < today - timedelta(days=policy.late_after_days):
        days = (today - close_date).days
        return f"It closed {days:,} days ago, on {formats.day(close_date)}; {policy} approves up to {policy.late_after_days:,}."
    if policy.default_share and not alone:
        return f"Its credit is split; {policy} approves deals that are the owner's alone."
    return ""


@transaction.atomic
def draft_policy(
    *,
    name: str,
    sources: Sequence[str],
    by: User,
    at: datetime,
    currency: str = "",
    most_minor: int | None = None,
    late_after_days: int | None = None,
    default_share: bool = True,
) -> StraightThroughPolicy:
    """Write the next version down; a draft that nobody has published yet is written anew, under its number.

    most_minor       Minor units of *currency*; None is any amount.
    late_after_days  None is never too late.
    Raises           Forbidden, Invalid with everything that is wrong, Conflict where the version in force says the same.
    """
    _must_be_comp_admin(by)
    name = " ".join(name.split())
    trusted = tuple(dict.fromkeys(" ".join(each.split()) for each in sources if each.strip()))
    refuse_if_any(_problems(name, trusted, currency, most_minor, late_after_days))
    one_at_a_time("quotas.policy")
    acting(by=by, at=at)
    known = StraightThroughPolicy.objects.filter(name__iexact=name).order_by("-version")
    latest = known.first()
    name = latest.name if latest is not None else name
    facts = {
        "sources": list(trusted),
        "currency_id": currency if most_minor is not None else None,
        "most_minor": most_minor,
        "late_after_days": late_after_days,
        "default_share": default_share,
    }
    standing = known.filter(published_at__isnull=False, ended_at=None).first()
    if standing is not None and all(getattr(standing, field) == value for field, value in facts.items()):
        raise Conflict.of("nothing_changed", f"This is what {standing} says already.")
    draft = known.filter(published_at=None, ended_at=None).first()
    if draft is None:
        last = known.aggregate(last=Max("version"))["last"] or 0
        draft = StraightThroughPolicy(name=name, version=last + 1)
    for field, value in facts.items():
        setattr(draft, field, value)
    draft.drafted_by, draft.drafted_at = by, at
    draft.save()
    return draft


@transaction.atomic
def publish_policy(
    *, policy_id: int, by: User, at: datetime, drafted_at: datetime | None = None
) -> StraightThroughPolicy:
    """Put a draft in force; the version before it ends with the same moment.

    drafted_at  Of the draft that was read: one that was written anew since is not published unseen.
    Raises      Forbidden, NotFound, Conflict (own_draft, already_published, withdrawn, drafted_anew).
    """
    _must_be_comp_admin(by)
    policy = _locked(policy_id)
    if policy.published_at is not None:
        raise Conflict.of("already_published", f"{policy} is published already.")
    if policy.ended_at is not None:
        raise Conflict.of("withdrawn", f"{policy} was dropped: draft it anew.")
    if drafted_at is not None and policy.drafted_at != drafted_at:
        raise Conflict.of(
            "drafted_anew", f"{policy} was drafted anew since you read it: look at it again, then publish it."
        )
    if policy.drafted_by_id == by.pk:
        raise Conflict.of("own_draft", "Another comp admin publishes what you drafted.")
    acting(by=by, at=at)
    StraightThroughPolicy.objects.filter(name=policy.name, published_at__isnull=False, ended_at=None).update(
        ended_at=at
    )
    policy.published_by, policy.published_at = by, at
    policy.save(update_fields=["published_by", "published_at"])
    _notify(policy, f"{by.name} has published {policy}, which you drafted.", by=by, at=at)
    return policy


@transaction.atomic
def withdraw_policy(*, policy_id: int, by: User, at: datetime, reason: str) -> StraightThroughPolicy:
    """Take a policy out of force, or drop a draft; what was approved under it stays approved. Needs a reason.

    Raises   Forbidden, NotFound, Invalid, Conflict (already_ended).
    """
    _must_be_comp_admin(by)
    reason = reason.strip()
    if not reason or len(reason) > LONGEST_REASON:
        raise Invalid.of(
            "reason_too_long" if reason else "reason_missing",
            f"Say why, in at most {LONGEST_REASON} characters: it stays in the audit trail.",
            "/reason",
        )
    policy = _locked(policy_id)
    if policy.ended_at is not None:
        raise Conflict.of("already_ended", f"{policy} has ended already.")
    acting(by=by, at=at, reason=reason)
    policy.ended_at = at
    policy.save(update_fields=["ended_at"])
    _notify(policy, f"{by.name} has withdrawn {policy}, which you drafted: {reason}", by=by, at=at)
    return policy


def _must_be_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only comp admins say what is approved without a person.")


def _problems(
    name: str, sources: Sequence[str], currency: str, most_minor: int | None, late_after_days: int | None
) -> Iterable[Problem]:
    if not name:
        yield Problem("name_missing", "Give it a name: maps and imports ask for it.", "/name")
    elif len(name) > NAME or "\x00" in name:
        yield Problem("name_too_long", f"A name has at most {NAME} characters.", "/name")
    if not sources:
        yield Problem(
            "sources_missing", "Name at least one source that it trusts, such as salesforce.", "/sources"
        )
    elif len(sources) > MOST_SOURCES:
        yield Problem("too_many_sources", f"A policy trusts at most {MOST_SOURCES} sources.", "/sources")
    for source in sources:
        if len(source) > SOURCE or "\x00" in source:
            yield Problem(
                "source_too_long",
                f"A source's name has at most {SOURCE} characters: {source[:30]}.",
                "/sources",
            )
        elif source.casefold() in BY_HAND:
            yield Problem(
                "source_by_hand",
                "What people log in Parity is approved by people: name the sources of imports.",
                "/sources",
            )
    if most_minor is not None and not 0 <= most_minor <= LARGEST_AMOUNT_MINOR:
        yield Problem("limit_out_of_range", "A limit is zero or more.", "/most")
    if most_minor is not None and not Currency.objects.filter(code=currency).exists():
        yield Problem("unknown_currency", "Say the currency of the limit.", "/currency")
    if late_after_days is not None and not 0 <= late_after_days <= LATEST:
        yield Problem("days_out_of_range", f"Days are between 0 and {LATEST:,}.", "/late_after_days")


def _locked(policy_id: int) -> StraightThroughPolicy:
    one_at_a_time("quotas.policy")
    policy = StraightThroughPolicy.objects.select_for_update().filter(pk=policy_id).first()
    if policy is None:
        raise NotFound.of("unknown_policy", "There is no such policy.")
    return policy


def _notify(policy: StraightThroughPolicy, text: str, *, by: User, at: datetime) -> None:
    if policy.drafted_by_id != by.pk:
        promise(
            topic=NOTIFY,
            key=f"policy:{policy.pk}:{at.isoformat()}",
            payload={
                "user_ids": [policy.drafted_by_id],
                "key": f"policy:{policy.pk}:{at.isoformat()}",
                "text": text[:300],
                "url": "/quotas/policies/",
            },
            at=at,
        )
