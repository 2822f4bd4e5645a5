"""What an API key may be narrowed to. A scope never widens: behind it, a key does what its user may and no more.

Which scope an endpoint asks for follows from where its code is and whether the method only reads, so that a new
endpoint cannot forget to ask. A key without scopes is not narrowed.
"""

from collections.abc import Collection
from typing import Final

from django.db.models import TextChoices

from config.language import marked

READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(TextChoices):
    CATALOG_READ = "catalog:read", marked("Read the catalog, its changes and one's own change sets")
    CATALOG_WRITE = (
        "catalog:write",
        marked("Change the catalog by change sets, imports and offers; reading included"),
    )
    DEALS_READ = "deals:read", marked("Read deals, credits, quotas and leaderboards")
    DEALS_WRITE = "deals:write", marked("Log and change deals and usage; reading included")
    SOURCING_READ = (
        "sourcing:read",
        marked("Read what our own products run on, what it costs and what is agreed"),
    )
    SOURCING_WRITE = "sourcing:write", marked("Record usage and scenarios; reading included")
    WEBHOOKS_MANAGE = "webhooks:manage", marked("Set up webhooks and read their deliveries")


_READS_TOO: Final = {
    Scope.CATALOG_WRITE: Scope.CATALOG_READ,
    Scope.DEALS_WRITE: Scope.DEALS_READ,
    Scope.SOURCING_WRITE: Scope.SOURCING_READ,
}
_AREAS: Final = {"marketplace": "catalog", "quotas": "deals"}


def scope_for(place: str, method: str) -> Scope | None:
    """What an endpoint whose code is in the module *place* asks of a key; None: no scope reaches it."""
    if place.split(".")[-1].startswith("webhook"):
        return Scope.WEBHOOKS_MANAGE
    area = "sourcing" if ".sourcing" in place else _AREAS.get(place.split(".")[0])
    return Scope(f"{area}:{'read' if method in READS else 'write'}") if area else None


def within(scopes: Collection[str], needed: Scope | None) -> bool:
    """Whether a key of *scopes* may do what *needed* is asked for. To write implies to read."""
    if not scopes:
        return True
    return needed in scopes or any(_READS_TOO.get(Scope(s)) == needed for s in scopes if s in _READS_TOO)
