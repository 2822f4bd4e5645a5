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
from config.language import marked
from config.locks import one_at_a_time
from config.mailing import amount, in_english, promise_mail, say, say_many
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
            say_many(
                "%(number)s deal waits for your approval",
                "%(number)s deals wait for your approval",
                len(deals),
            ),
            marked("%(deals)s, %(age)s."),
            _for_days(deals, ages),
            _lines(deals, ages, amounts),
            why=marked("You get this mail because you approve deals, or stand in for somebody who does."),
            at=at,
        )
    for user, deals in sorted(late.items()):
        _tell(
            user,
            f"approvals-overdue:{today.isoformat()}",
            say_many(
                "%(number)s deal waits for people below you",
                "%(number)s deals wait for people below you",
                len(deals),
            ),
            marked("%(deals)s, %(age)s. Ask them, or have somebody stand in."),
            _for_days(deals, ages),
            _lines(deals, ages, amounts, who),
            why=marked(
                "You get this mail because you are the next manager above whoever approves these deals."
            ),
            at=at,
        )
    return Reminded(len(due), len(late))


def _tell(
    user: int, key: str, deals: str, message: str, age: str, lines: str, *, why: str, at: datetime
) -> None:
    text = say(message, deals=deals, age=age)
    outbox.promise(
        topic=NOTIFY,
        key=f"{key}:{user}",
        payload={"user_ids": [user], "key": key, "text": in_english(text), "url": QUEUE},
        at=at,
    )
    promise_mail(
        key=key,
        to=[user],
        subject=deals,
        text=f"{text}\n\n{lines}",
        link=QUEUE,
        why=why,
        at=at,
    )


def _for_days(deals: Sequence[Deal], ages: Mapping[int, int]) -> str:
    longest = max(ages[deal.pk] for deal in deals)
    if len(deals) == 1:
        return say_many("for %(number)s business day", "for %(number)s business days", longest)
    return say_many(
        "the oldest for %(number)s business day", "the oldest for %(number)s business days", longest
    )


def _lines(
    deals: Sequence[Deal],
    ages: Mapping[int, int],
    amounts: Mapping[int, int],
    who: Mapping[int, str] | None = None,
) -> str:
    """A line a deal, the longest waiting first; of very many the first."""
    said = []
    for deal in deals[:MOST_LISTED]:
        currency = deal.latest.currency
        waits = {
            "deal": deal.reference,
            "customer": deal.customer.name,
            "owner": deal.owner.name,
            "amount": amount(amounts.get(deal.latest.pk, 0), currency.code, currency.exponent),
            "days": say_many("%(number)s business day", "%(number)s business days", ages[deal.pk]),
        }
        if who and who[deal.pk]:
            message = marked("%(deal)s  %(customer)s, %(owner)s: %(amount)s, %(days)s, waits for %(who)s")
            said.append(say(message, **waits, who=who[deal.pk]))
        else:
            said.append(say(marked("%(deal)s  %(customer)s, %(owner)s: %(amount)s, %(days)s"), **waits))
    if len(deals) > MOST_LISTED:
        said.append(say(marked("and %(number)s more"), number=len(deals) - MOST_LISTED))
    return "\n".join(said)
