"""Private offers: who may see which, and which accepted price holds for a customer on a day.

The operator's people make them, because a publisher never learns which customers there are: a publisher's own people see
the offers of their plans from the day they are sent, with the price and the state, and never for whom.
"""

from collections.abc import Collection
from datetime import date

from django.db.models import Q, QuerySet

from accounts.models import User
from marketplace.models import Customer, PrivateOffer, PrivateOfferState, PublisherMembership

KEEPERS = ("catalog_manager", "auditor")
READERS = ("rep", "manager", "comp_admin")
KNOWN = tuple(state for state in PrivateOfferState if state != PrivateOfferState.DRAFT)


def private_offers_for(user: User) -> QuerySet[PrivateOffer]:
    """Newest first. Keepers see all, sales and a publisher's own people what has left the draft, others nothing. 1 query,
    with the rows of the prices 2.
    """
    rows = (
        PrivateOffer.objects.select_related(
            "plan__offering__publisher", "customer", "made_by", "price__currency", "price__plan"
        )
        .prefetch_related("price__rows")
        .order_by("-id")
    )
    if user.has_role(*KEEPERS):
        return rows
    seen = Q(pk__in=[])
    if user.has_role(*READERS):
        seen |= Q(state__in=KNOWN)
    own = PublisherMembership.objects.filter(user=user).values("publisher")
    return rows.filter(seen | Q(state__in=KNOWN, plan__offering__publisher__in=own))


def may_see_customers(user: User) -> bool:
    """Partners never learn who buys; the people of a first-party publisher that log in as such neither."""
    return user.has_role(*KEEPERS, *READERS)


def accepted_offers(
    plan_ids: Collection[int], customer: Customer | None, on: date
) -> dict[int, PrivateOffer]:
    """The offer that *customer* has accepted for each plan and that holds on *on*, with its price. 2 queries, without a customer none."""
    if customer is None or not plan_ids:
        return {}
    return {
        offer.plan_id: offer
        for offer in PrivateOffer.objects.filter(
            plan__in=plan_ids,
            customer=customer,
            state=PrivateOfferState.ACCEPTED,
            effective__contains=on,
        )
        .select_related("price__currency", "price__plan")
        .prefetch_related("price__rows")
    }
