"""Personal addresses of the feeds: a feed reader has no browser session, so the address itself says whose it is."""

from datetime import datetime
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from config.sealed import seal, unseal
from marketplace.models import FeedAddress

PURPOSE: Final = "feed-address"


@transaction.atomic
def renew_address(*, by: User, at: datetime) -> FeedAddress:
    """Make the person's address, or a new one in its place; the old one answers 401 from now on."""
    acting(by=by, at=at)
    address, new = FeedAddress.objects.select_for_update().get_or_create(user=by, defaults={"made_at": at})
    if not new:
        address.number += 1
        address.made_at = at
        address.save(update_fields=["number", "made_at"])
    return address


def token_of(user: User) -> str:
    """What the person's address carries; empty where they have none yet. 1 query."""
    address = FeedAddress.objects.filter(user=user).first()
    return seal(f"{address.user_id}.{address.number}", purpose=PURPOSE) if address else ""


def owner_of(token: str) -> User | None:
    """Whose address carries *token*; None unless it is that person's present one and they may come in. 1 query."""
    try:
        user_id, number = unseal(token, purpose=PURPOSE).split(".")
    except ValueError:
        return None
    address = FeedAddress.objects.select_related("user").filter(user=int(user_id), number=int(number)).first()
    return address.user if address is not None and address.user.is_active else None
