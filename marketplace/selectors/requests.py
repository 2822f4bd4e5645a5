"""Who sees which request for an offering."""

from django.db.models import QuerySet

from accounts.models import User
from marketplace.models import OfferingRequest
from marketplace.selectors.private_offers import may_see_customers
from marketplace.selectors.visibility import SEES_EVERYTHING


def requests_for(user: User) -> QuerySet[OfferingRequest]:
    """Their own for everybody, all of them for the catalog's keepers."""
    every = OfferingRequest.objects.select_related("made_by", "answered_by", "offering", "customer")
    return every if user.has_role(*SEES_EVERYTHING) else every.filter(made_by=user)


def names_customers(user: User) -> bool:
    """Whether they may say for which customer: whoever may know which customers there are, as nobody is told by trying."""
    return may_see_customers(user) or user.has_role("sourcing_lead")
