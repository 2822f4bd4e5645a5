"""Views of the catalog that people keep, and a request for what it does not have."""

from collections.abc import Mapping
from datetime import datetime

from accounts.models import User
from accounts.services import save_view
from marketplace.models import Customer
from marketplace.services.requests import ask_for_offering

PAGE = "marketplace:catalog"


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Two views and one open request."""
    save_view(
        page=PAGE,
        name="Ending within reach",
        query="lifecycle=legacy,deprecated&ordering=-available_on",
        by=people["catalog"],
        at=at,
    )
    save_view(
        page=PAGE,
        name="Coding, counts, by price",
        query="task=coding&eligible=quota&ordering=input_price",
        by=people["rep"],
        at=at,
    )
    customer = Customer.objects.order_by("name").first()
    ask_for_offering(
        wanted="A speech model for German dialects",
        why="Transcripts of service calls; today they buy it elsewhere.",
        searched="search=speech+german",
        customer=customer.name if customer else "",
        by=people["rep"],
        at=at,
    )
    return {"saved views": 2, "requests for offerings": 1}
