"""Deals that wait too long: whoever decides is reminded once a business day, and the manager above hears of it later (RULES.md 12.6)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.handlers import NOTIFY
from accounts.models import User
from config import outbox
from config.clock import day_of
from config.locks import one_at_a_time
from config.mailing import amount, promise_mail
from quotas.models import Deal
from quotas.selectors.approval_queue import amounts_of, business_days
from quotas.selectors.approvers import WAITING, Approvers, waiting_since

QUEUE: Final = "/quotas/approvals/"
MOST_LISTED: Final = 30
SATURDAY: Final = 5


@dataclass(frozen=True, slots=True)
class Reminded:
    """How many people were reminded, and how many managers above were told."""

    reminded: int = 0
    escalated: int = 0


@transaction.atomic
def remind(*, at: datetime, after: int, escalate_after: int) -> Reminded:
    """Promise a notification and a mail to each person with deals that wait too long, once for each day. Nothing on a weekend.

    after           Business days from which on whoever decides is reminded.
    escalate_after  From which on the nearest manager above them is told, at the top the comp admins.
    A fixed number of queries, and two promises for each person.
    """
    today = day_of(at)
    if today.weekday() >= SATURDAY:
        return Reminded()
    one_at_a_time("quotas.remind_approvers")
    old = [
        deal
        for deal in Deal.objects.filter(WAITING)
        .select_related("customer", "owner", "latest_version__currency")
        .order_by("id")
        if waiting_since(deal) <= at - timedelta(days=min(after, escalate_after))
    ]
    ages = {deal.pk: business_days(day_of(waiting_since(deal)), today) for deal in old}
    old = sorted(
        (deal for deal in old if ages[deal.pk] >= min(after, escalate_after)),
        key=lambda deal: (waiting_since(deal), deal.pk),
    )
    approvers = Approvers(old, today)
    due: dict[int, list[Deal]] = defaultdict(list)
    late: dict[int, list[Deal]] = defaultdict(list)
    for deal in old:
        if ages[deal.pk] >= after:
            for user in approvers.asked(deal):
                due[user].append(deal)
        if ages[deal.pk] >= escalate_after:
            for user in approvers.next_above(deal):
                late[user].append(deal)
    amounts = amounts_of([deal.latest.pk for deal in old])
    asked = {deal.pk: approvers.asked(deal) for deal in old}
    names = dict(
        User.objects.filter(pk__in=set().union(*asked.values()) if asked else ()).values_list("pk", "name")
    )
    who = {
        pk: ", ".join(sorted(names[user] for user in users if user in names)) for pk, users in asked.items()
    }
    for user, deals in sorted(due.items()):
        _tell(
            user,
            f"approvals-due:{today.isoformat()}",
            f"{_deals(len(deals))} for your approval, {_for_days(deals, ages)}.",
            _lines(deals, ages, amounts),
            why="You get this mail because you approve deals, or stand in for somebody who does.",
            at=at,
        )
    for user, deals in sorted(late.items()):
        _tell(
            user,
            f"approvals-overdue:{today.isoformat()}",
            f"{_deals(len(deals))} for people below you, {_for_days(deals, ages)}. Ask them, or have somebody stand in.",
            _lines(deals, ages, amounts, who),
            why="You get this mail because you are the next manager above whoever approves these deals.",
            at=at,
        )
    return Reminded(len(due), len(late))


def _tell(user: int, key: str, text: str, lines: str, *, why: str, at: datetime) -> None:
    outbox.promise(
        topic=NOTIFY,
        key=f"{key}:{user}",
        payload={"user_ids": [user], "key": key, "text": text, "url": QUEUE},
        at=at,
    )
    promise_mail(
        key=key,
        to=[user],
        subject=text.partition(",")[0],
        text=f"{text}\n\n{lines}",
        link=QUEUE,
        why=why,
        at=at,
    )


def _deals(count: int) -> str:
    return "1 deal waits" if count == 1 else f"{count:,} deals wait"


def _for_days(deals: Sequence[Deal], ages: Mapping[int, int]) -> str:
    longest = max(ages[deal.pk] for deal in deals)
    days = f"{longest} business day{'' if longest == 1 else 's'}"
    return f"for {days}" if len(deals) == 1 else f"the oldest for {days}"


def _lines(
    deals: Sequence[Deal],
    ages: Mapping[int, int],
    amounts: Mapping[int, int],
    who: Mapping[int, str] | None = None,
) -> str:
    """A line a deal, the longest waiting first; of very many the first."""
    said = [
        f"{deal.reference}  {deal.customer.name}, {deal.owner.name}: "
        f"{amount(amounts.get(deal.latest.pk, 0), deal.latest.currency.code, deal.latest.currency.exponent)}, {ages[deal.pk]} business days"
        + (f", waits for {who[deal.pk]}" if who and who[deal.pk] else "")
        for deal in deals[:MOST_LISTED]
    ]
    if len(deals) > MOST_LISTED:
        said.append(f"and {len(deals) - MOST_LISTED:,} more")
    return "\n".join(said)
