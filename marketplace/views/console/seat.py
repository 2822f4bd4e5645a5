"""For whom a page of the console is: the publisher that one acts for, or one that the operator only looks at."""

from dataclasses import dataclass

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts.models import User
from config.given import written
from marketplace.models import Publisher, PublisherMembership
from marketplace.selectors.visibility import SEES_EVERYTHING


@dataclass(frozen=True)
class Seat:
    """own   One acts for the publisher; else one sees what it sees and changes nothing."""

    user: User
    publisher: Publisher
    own: bool

    @property
    def suffix(self) -> str:
        """What keeps the look at another's console from page to page."""
        return "" if self.own else f"?as={self.publisher.slug}"

    def to(self, name: str, *args: object) -> str:
        return reverse(f"marketplace:{name}", args=args) + self.suffix


def person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def membership(user: User) -> PublisherMembership | None:
    """1 query."""
    return PublisherMembership.objects.filter(user=user).select_related("publisher").first()


def seat(request: HttpRequest) -> Seat:
    """404 for whoever acts for no publisher; ?as= is for those who keep the catalog, and does not exist for others."""
    user = person(request)
    mine = membership(user)
    wanted = written(request.GET, "as")
    if wanted and user.has_role(*SEES_EVERYTHING) and (mine is None or mine.publisher.slug != wanted):
        return Seat(user, get_object_or_404(Publisher, slug=wanted), own=False)
    if mine is None:
        raise Http404
    return Seat(user, mine.publisher, own=True)


def own_seat(request: HttpRequest) -> Seat:
    """For whatever changes something: 404 without a publisher of one's own."""
    user = person(request)
    mine = membership(user)
    if mine is None:
        raise Http404
    return Seat(user, mine.publisher, own=True)
