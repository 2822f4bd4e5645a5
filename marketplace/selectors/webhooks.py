"""Webhooks as their owners see them: what can be heard of, whose endpoints one may see, what became of each delivery."""

from collections.abc import Mapping
from typing import Final

from django.db.models import Prefetch, Q, QuerySet

from accounts.models import User
from marketplace.models import PublisherMembership, WebhookAttempt, WebhookDelivery, WebhookEndpoint

PING: Final = "ping"
CHANGE_SET_DECIDED: Final = "change_set.decided"
OF_A_CHANGE: Final[Mapping[str, str]] = {
    "offering": "catalog.offering.changed",
    "price": "catalog.price.changed",
    "eligibility": "catalog.eligibility.changed",
    "lifecycle": "catalog.lifecycle.changed",
}
# What an endpoint may ask for, and what it is told by it. A ping is always sent to whoever asks for one.
KINDS: Final[Mapping[str, str]] = {
    OF_A_CHANGE["offering"]: "An offering was added, published, stopped or edited.",
    OF_A_CHANGE["price"]: "A price was announced or corrected.",
    OF_A_CHANGE["eligibility"]: "Somebody decided what counts for a program.",
    OF_A_CHANGE["lifecycle"]: "An offering entered the next stage of its lifecycle.",
    CHANGE_SET_DECIDED: "A change set was approved, sent back, rejected or applied.",
}


def endpoints_for(user: User) -> QuerySet[WebhookEndpoint]:
    """Those of the user's own publisher; for a catalog manager those of the operator. Removed ones are gone."""
    own = Q(publisher__in=PublisherMembership.objects.filter(user=user).values("publisher"))
    if user.has_role("catalog_manager"):
        own |= Q(publisher=None)
    return (
        WebhookEndpoint.objects.filter(own, removed_at=None)
        .select_related("publisher", "made_by")
        .order_by("id")
    )


def deliveries_for(user: User) -> QuerySet[WebhookDelivery]:
    """Deliveries to endpoints_for(user) with their attempts, the first one first. 2 queries."""
    tries = WebhookAttempt.objects.order_by("id")
    return (
        WebhookDelivery.objects.filter(endpoint__in=endpoints_for(user).order_by().values("pk"))
        .select_related("endpoint", "replay_of")
        .prefetch_related(Prefetch("tries", queryset=tries))
    )
