"""What the command palette finds besides pages: deals, accounts, offerings, people and teams that this person may see."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

from django.contrib.auth.decorators import login_required
from django.db.models import Model, QuerySet
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock
from config.given import given
from config.language import _
from marketplace.selectors.visibility import offerings_for
from quotas.models import Deal, Team
from quotas.selectors.accounts import found_by
from quotas.selectors.finding import called, named, number_of, one_of
from quotas.selectors.visibility import deals_for, publisher_of, reps_for
from quotas.views import SALES, HtmxRequest, signed_in

FEW: Final = 5
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Found:
    """One thing to go to."""

    text: str
    kind: str
    icon: str
    url: str


@require_safe
@login_required
def find(request: HtmxRequest) -> HttpResponse:
    """By parts of names, or a deal by its number. 5 queries at most, besides those of what one may see; none for a single letter."""
    words = given(request.GET, "q")
    found = list(_found(signed_in(request), words)) if len(words) > 1 else []
    return render(request, "quotas/_palette_found.html", {"found": found})


def _found(user: User, words: str) -> Iterator[Found]:
    on = clock.today()
    sells = user.has_role(*SALES)
    if sells or user.has_role(Role.PARTNER):
        for deal in _deals(user, words, on):
            yield Found(
                _deal_name(deal, user), _("Deal"), "handshake", reverse("quotas:deal", args=[deal.pk])
            )
    for customer in found_by(words, user, on, FEW):
        yield Found(
            customer.name, _("Account"), "building-2", reverse("quotas:account", args=[customer.slug])
        )
    for offering in _named(offerings_for(user).select_related("publisher"), words):
        yield Found(
            offering.name,
            offering.publisher.name,
            "layout-grid",
            reverse("marketplace:offering", args=[offering.slug]),
        )
    if not sells:
        return
    for rep in named(reps_for(user, on), words).order_by("name", "pk")[:FEW]:
        yield Found(rep.name, _("Their deals"), "user-round", f"{reverse('quotas:deals')}?rep={rep.slug}")
    for team in _named(Team.objects.all(), words):
        yield Found(team.name, _("Quota board"), "chart-column", reverse("quotas:board", args=[team.slug]))


def _deals(user: User, words: str, on: date) -> list[Deal]:
    """One by its number; else by an external id or a part of the title, the latest first. What is a customer's or a rep's own page has is found as theirs."""
    number = number_of(words)
    found = deals_for(user, on).select_related("customer", "latest_version")
    by_number = list(found.filter(pk=number)) if number is not None else []
    if by_number or publisher_of(user) is not None:
        return by_number
    known = called(words)
    return list(found.filter(one_of("pk", known)).order_by("-pk")[:FEW]) if known else []


def _deal_name(deal: Deal, user: User) -> str:
    """A partner never reads a customer's name."""
    if publisher_of(user) is not None:
        return deal.reference
    return ", ".join(filter(None, (deal.reference, deal.customer.name, deal.latest.title)))


def _named(rows: QuerySet[M], words: str) -> Iterable[M]:
    for word in words.split()[:6]:
        rows = rows.filter(name__icontains=word)
    return rows.order_by("name", "pk")[:FEW]
