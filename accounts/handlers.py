"""What the outbox does for accounts."""

from datetime import datetime
from typing import Any, Final

from accounts.models import Notification
from config import outbox

NOTIFY: Final = "accounts.notify"


@outbox.handles(NOTIFY)
def notify(payload: dict[str, Any], at: datetime) -> None:
    """One line for each of some people.

    payload   user_ids, text, url (a path of ours or nothing), and key: what it is about, delivered once to each.
    """
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user_id,
                key=payload["key"],
                text=payload["text"],
                url=payload.get("url", ""),
                created_at=at,
            )
            for user_id in sorted(set(payload["user_ids"]))
        ],
        ignore_conflicts=True,
    )
