"""Which offerings somebody may know of. Every list, facet, search and page of the catalog starts here."""

from django.db.models import Q, QuerySet

from accounts.models import User
from marketplace.models import Offering, Publication, Publisher, PublisherMembership

# Once published, never hidden again: deals name it.
PUBLISHED = (
    Publication.LIVE,
    Publication.PREVIEW,
    Publication.STOPPED,
    Publication.SUSPENDED,
    Publication.ARCHIVED,
)
SEES_EVERYTHING = ("catalog_manager", "auditor")


def offerings_for(user: User) -> QuerySet[Offering]:
    """Published ones for everybody, the others for their own publisher and the catalog's keepers."""
    if user.has_role(*SEES_EVERYTHING):
        return Offering.objects.all()
    own = PublisherMembership.objects.filter(user=user).values("publisher")
    return Offering.objects.filter(Q(publication__in=PUBLISHED) | Q(publisher__in=own))


def publishers_for(user: User) -> QuerySet[Publisher]:
    """Those with something on sale that *user* may know of, and their own."""
    own = PublisherMembership.objects.filter(user=user).values("publisher")
    return Publisher.objects.filter(Q(pk__in=offerings_for(user).values("publisher")) | Q(pk__in=own))
