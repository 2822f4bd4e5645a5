"""Once a business day, what happened to somebody and was not read yet, as one mail."""

from collections import defaultdict
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Max

from accounts.models import Notification, User
from config import mailing
from config.clock import day_of
from config.language import marked
from config.locks import one_at_a_time
from config.models import Mail

KIND: Final = "digest"
MOST_TOLD: Final = 20
WHY: Final = marked(
    "You get this once a business day while there is something that you have not read. Switch it off under Notifications."
)
SATURDAY: Final = 5


@transaction.atomic
def promise_digests(*, at: datetime) -> int:
    """Promise a mail to everybody with unread notifications that no digest has told yet; returns how many. Nothing on a weekend.

    Safe to call again and again: a day's digest reaches a person once. A fixed number of queries, and a promise for each person.
    """
    today = day_of(at)
    if today.weekday() >= SATURDAY:
        return 0
    one_at_a_time("accounts.promise_digests")
    key = f"{KIND}:{today.isoformat()}"
    told_until: dict[int, datetime] = dict(
        Mail.objects.filter(key__startswith=f"{KIND}:").values_list("user").annotate(Max("created_at"))
    )
    had_today = set(Mail.objects.filter(key=key).values_list("user", flat=True))
    new: dict[int, list[Notification]] = defaultdict(list)
    for notification in (
        Notification.objects.filter(
            read_at=None, created_at__lte=at, user__is_active=True, user__is_service=False
        )
        .exclude(user__mails_off__contains=[KIND])
        .order_by("-created_at", "-id")
    ):
        since = told_until.get(notification.user_id)
        if notification.user_id not in had_today and (since is None or notification.created_at > since):
            new[notification.user_id].append(notification)
    for user, notifications in sorted(new.items()):
        mailing.promise_mail(
            key=key,
            to=[user],
            subject=_subject(notifications),
            text=_text(notifications),
            link="/accounts/notifications/",
            why=WHY,
            at=at,
        )
    return len(new)


def set_mail(*, by: User, kinds: dict[str, bool]) -> None:
    """Switch mails of some kinds on or off for oneself; kinds that are not optional stay as they are."""
    user = User.objects.select_for_update().get(pk=by.pk)
    off = set(user.mails_off)
    for kind in mailing.OPTIONAL:
        if kind in kinds:
            off = off - {kind} if kinds[kind] else off | {kind}
    user.mails_off = sorted(off)
    user.save(update_fields=["mails_off"])


def _subject(notifications: list[Notification]) -> str:
    if len(notifications) == 1:
        return notifications[0].text
    return mailing.say_many(
        "%(number)s thing since you last looked",
        "%(number)s things since you last looked",
        len(notifications),
    )


def _text(notifications: list[Notification]) -> str:
    lines = [
        f"- {mailing.moment(n.created_at)}: {n.text}" + (f"\n  {mailing.absolute(n.url)}" if n.url else "")
        for n in notifications[:MOST_TOLD]
    ]
    if len(notifications) > MOST_TOLD:
        more = mailing.say(marked("and %(number)s more"), number=len(notifications) - MOST_TOLD)
        lines.append(f"- {more}")
    return "\n".join(lines)
