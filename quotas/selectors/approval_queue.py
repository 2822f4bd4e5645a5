"""The queue of approvals: why each deal is in it, how long it waits, and how many the policies spared (RULES.md 12.2 and 12.6)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import QuerySet, Sum, TextChoices

from accounts.models import User
from config.clock import day_of
from config.language import marked
from quotas.models import (
    Deal,
    DealKind,
    DealLine,
    DealShare,
    DealState,
    DealVersion,
    StraightThroughPolicy,
    Team,
)
from quotas.selectors.approvers import Approvers, Two, waiting_for, waiting_since
from quotas.selectors.visibility import deals_for

LATE_AFTER: Final = 30  # days from the close date, where no policy says another number
POLICY_DAYS: Final = 30  # over which the share of the policies is told
LATEST_DEALS: Final = 50_000  # that are looked at for it


class Why(TextChoices):
    """Why a deal waits for a person. One can wait for several of these."""

    SECOND = "second", marked("Second approval")
    LARGE = "large", marked("Above the limit")
    AMENDMENT = "amendment", marked("Amendment")
    REFUND = "refund", marked("Refund")
    LATE = "late", marked("Late")
    SPLIT = "split", marked("Split")
    POLICY = "policy", marked("Above a policy")
    NO_POLICY = "no_policy", marked("No policy")


# What it is about, for whoever reads the word.
SAYS: Final = {
    Why.SECOND: "One person has approved it; somebody outside their chain is the second.",
    Why.LARGE: "Its amount is above the approval limit: two people approve it.",
    Why.AMENDMENT: "It changes an approved deal; what stands stays credited until it is approved.",
    Why.REFUND: "It takes credit back.",
    Why.LATE: "It was handed in long after it closed.",
    Why.SPLIT: "Its credit is not the owner's alone.",
    Why.POLICY: "Its source is trusted, but it is larger than the policy lets through.",
    Why.NO_POLICY: "No straight-through policy covers where it comes from: what people log, people approve.",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A deal or an amendment that waits for this person.

    minor       Of all its lines, in the deal's currency, which has so many decimals.
    days        Business days since it was handed in.
    standing_in The name of whom this person stands in for; empty in their own right.
    first       Who gave the first of two approvals.
    """

    deal: Deal
    team_id: int | None
    minor: int
    decimals: int
    days: int
    due: bool
    why: tuple[Why, ...]
    two: Two | None = None
    standing_in: str = ""
    first: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the queue is narrowed to; empty is everything.

    due    Only what waits longer than it should.
    least  Smallest size in whole units of the deal's own currency, of a refund too.
    """

    team: int | None = None
    due: bool = False
    why: str = ""
    least: int = 0


@dataclass(slots=True)
class Queue:
    """What waits for one person, the longest waiting first.

    rows     As narrowed.
    counts   Reason to how many wait for it, before the reason itself narrows.
    teams    Of the owners of everything that waits, by name.
    """

    rows: list[Waiting] = field(default_factory=list)
    total: int = 0
    due: int = 0
    counts: dict[Why, int] = field(default_factory=dict)
    teams: dict[int, str] = field(default_factory=dict)


def deals_in(rows: Iterable[Waiting]) -> QuerySet[Deal]:
    """The deals of a queue, which holds only what its reader may decide on."""
    return Deal.objects.filter(pk__in=[row.deal.pk for row in rows])


def business_days(since: date, until: date) -> int:
    """Mondays to Fridays after *since*, up to and with *until*."""
    if until <= since:
        return 0
    weeks, rest = divmod((until - since).days, 7)
    return weeks * 5 + sum((since + timedelta(days=n)).weekday() < 5 for n in range(1, rest + 1))


def amounts_of(versions: Collection[int]) -> dict[int, int]:
    """Version to the sum of its lines, in minor units of its currency. 1 query."""
    return dict(
        DealLine.objects.filter(version__in=list(versions))
        .order_by()
        .values_list("version_id")
        .annotate(Sum("amount_minor"))
    )


def queue_of(user: User, *, at: datetime, due_after: int, asked: Asked | None = None) -> Queue:
    """What this person is to decide on. A fixed number of queries, whatever waits.

    due_after  Business days after which it waits too long.
    """
    today = day_of(at)
    deals, approvers = waiting_for(user, today)
    rows = _rows(user, deals, approvers, today, due_after)
    narrow = asked or Asked()
    queue = Queue(total=len(rows), due=sum(row.due for row in rows))
    queue.teams = dict(
        Team.objects.filter(pk__in={row.team_id for row in rows if row.team_id is not None})
        .order_by("name")
        .values_list("pk", "name")
    )
    found = [row for row in rows if _meets(row, narrow)]
    for row in found:
        for why in row.why:
            queue.counts[why] = queue.counts.get(why, 0) + 1
    queue.rows = [row for row in found if not narrow.why or narrow.why in row.why]
    return queue


def _rows(
    user: User, deals: Sequence[Deal], approvers: Approvers, today: date, due_after: int
) -> list[Waiting]:
    if not deals:
        return []
    versions = {
        version.pk: version
        for version in DealVersion.objects.filter(
            pk__in=[deal.latest_version_id for deal in deals]
        ).select_related("currency")
    }
    amounts = amounts_of(versions)
    alone = _owners_alone(deals)
    policies = list(
        StraightThroughPolicy.objects.filter(published_at__isnull=False, ended_at=None).select_related(
            "currency"
        )
    )
    able = {deal.pk: approvers.able(deal).get(user.pk) for deal in deals}
    people = {pk for pk in able.values() if pk is not None} | {
        two.first_by for deal in deals if (two := approvers.two.get(deal.pk)) is not None and two.first_by
    }
    names = dict(User.objects.filter(pk__in=people).values_list("pk", "name")) if people else {}
    rows = []
    for deal in deals:
        version = versions[deal.latest_version_id or 0]
        minor = amounts.get(version.pk, 0)
        two = approvers.two.get(deal.pk)
        days = business_days(day_of(waiting_since(deal)), today)
        principal = able[deal.pk]
        rows.append(
            Waiting(
                deal=deal,
                team_id=approvers.team_of.get(deal.owner_id),
                minor=minor,
                decimals=version.currency.exponent,
                days=days,
                due=days >= due_after,
                why=tuple(_why(deal, version, minor, two, policies, alone=deal.pk in alone)),
                two=two,
                standing_in=names.get(principal, "") if principal is not None else "",
                first=names.get(two.first_by, "") if two is not None and two.first_by else "",
            )
        )
    return rows


def _owners_alone(deals: Sequence[Deal]) -> set[int]:
    """Deals whose whole credit is their owner's. 1 query."""
    whose: dict[int, set[int]] = {}
    for version_id, rep_id in DealShare.objects.filter(
        version__in=[deal.latest_version_id for deal in deals]
    ).values_list("version_id", "rep_id"):
        whose.setdefault(version_id, set()).add(rep_id)
    return {deal.pk for deal in deals if whose.get(deal.latest_version_id or 0) == {deal.owner_id}}


def _why(
    deal: Deal,
    version: DealVersion,
    minor: int,
    two: Two | None,
    policies: Sequence[StraightThroughPolicy],
    *,
    alone: bool,
) -> Iterable[Why]:
    if two is not None:
        yield Why.SECOND if two.first_by is not None else Why.LARGE
    if deal.amended_at is not None:
        yield Why.AMENDMENT
    if version.kind == DealKind.REFUND:
        yield Why.REFUND
    trusting = [
        policy
        for policy in policies
        if deal.source.casefold() in (source.casefold() for source in policy.sources)
    ]
    days = [policy.late_after_days for policy in trusting or policies if policy.late_after_days is not None]
    if version.close_date < day_of(waiting_since(deal)) - timedelta(days=max(days, default=LATE_AFTER)):
        yield Why.LATE
    if not alone:
        yield Why.SPLIT
    if not trusting:
        yield Why.NO_POLICY
    elif all(
        policy.most_minor is not None
        and (policy.currency_id != version.currency_id or abs(minor) > policy.most_minor)
        for policy in trusting
    ):
        yield Why.POLICY


def _meets(row: Waiting, asked: Asked) -> bool:
    if asked.team is not None and row.team_id != asked.team:
        return False
    if asked.due and not row.due:
        return False
    return abs(row.minor) >= asked.least * int(10**row.decimals)


# --- what did not have to wait -------------------------------------------------------------------------------


def taken_by_policies(user: User, *, at: datetime) -> tuple[int, int]:
    """(under a policy, by people): deals approved lately, of those that this person may read. 1 query and deals_for's.

    Of the latest deals alone: what was approved lately was logged not long before.
    """
    since = at - timedelta(days=POLICY_DAYS)
    with connection.cursor() as cursor:
        cursor.execute("SELECT max(id) FROM quotas_deal")
        (newest,) = cursor.fetchone()
    approved = deals_for(user, day_of(at)).filter(
        state=DealState.APPROVED, decided_at__gte=since, pk__gt=(newest or 0) - LATEST_DEALS
    )
    under = approved.exclude(approved_under=None).count()
    return under, approved.filter(approved_under=None).count()
