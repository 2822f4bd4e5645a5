"""A partner's webhook endpoint whose receiver is not there yet, and an address of the feeds."""

from collections.abc import Mapping
from datetime import datetime

from accounts.models import User
from marketplace.services import feeds, webhooks

URL = "https://hooks.example.com/parity"


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Disabled, because nobody answers at example.com: the log shows a ping that was given up."""
    partner = people["partner"]
    kinds = ["catalog.eligibility.changed", "catalog.price.changed", "change_set.decided"]
    endpoint, _secret = webhooks.register_endpoint(
        url=URL, kinds=kinds, about="Billing system", by=partner, at=at
    )
    webhooks.ping(endpoint_id=endpoint.pk, by=partner, at=at)
    webhooks.disable_endpoint(
        endpoint_id=endpoint.pk, by=partner, at=at, reason="The receiver is not deployed yet"
    )
    feeds.renew_address(by=partner, at=at)
    return {"webhook endpoints": 1}
