"""Keys of the services that act for a publisher: its own people make, change over and revoke them, and nobody else's."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import ApiKey, Role, User
from accounts.scopes import Scope
from accounts.services import create_api_key, create_user, revoke_api_key, rotate_api_key
from config.clock import day_of, first_moment
from config.refusals import Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import Publisher, PublisherMembership

# A publisher logs no deals, so its keys are never given that.
SCOPES: Final = (Scope.CATALOG_READ, Scope.CATALOG_WRITE, Scope.DEALS_READ, Scope.WEBHOOKS_MANAGE)
OVERLAP: Final = timedelta(days=7)
LONGEST: Final = timedelta(days=366)
NAME: Final = r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?"


@transaction.atomic
def make_key(
    *, publisher_id: int, name: str, scopes: Sequence[str], last_day: date | None, by: User, at: datetime
) -> tuple[ApiKey, str]:
    """A key of the publisher's service *name*, which is made if there is none yet. The key itself is told this once.

    last_day   On which it still works.
    Raises     Forbidden, Invalid (name, scopes, last_day), Conflict (two_keys_already).
    """
    publisher = _own(publisher_id, by)
    refuse_if_any(_problems(name, scopes, last_day, day_of(at)))
    user = _service(publisher, name, by, at)
    ends = first_moment(last_day + timedelta(days=1)) if last_day else None
    return create_api_key(
        user_id=user.pk, name=name, by=by, at=at, expires_at=ends, scopes=scopes, two_at_most=True
    )


@transaction.atomic
def rotate_key(*, publisher_id: int, key_id: int, by: User, at: datetime) -> tuple[ApiKey, str]:
    """A second key like it; the first ends a week later. Raises Forbidden, NotFound, Conflict."""
    _own(publisher_id, by)
    _key_of(publisher_id, key_id)
    return rotate_api_key(key_id=key_id, by=by, at=at, overlap=OVERLAP)


@transaction.atomic
def revoke_key(*, publisher_id: int, key_id: int, by: User, at: datetime) -> None:
    """At once and for good. Raises Forbidden, NotFound."""
    _own(publisher_id, by)
    _key_of(publisher_id, key_id)
    revoke_api_key(key_id=key_id, by=by, at=at, reason="revoked in the publisher console")


def _own(publisher_id: int, by: User) -> Publisher:
    """The publisher that *by* acts for, as a person: a key that makes keys would outlive its own revocation."""
    member = PublisherMembership.objects.filter(user=by).select_related("publisher").first()
    if member is None or member.publisher_id != publisher_id or by.is_service:
        raise Forbidden.of("not_your_publisher", "Only the publisher's own people manage its keys.")
    return member.publisher


def _key_of(publisher_id: int, key_id: int) -> None:
    mine = ApiKey.objects.filter(
        pk=key_id, user__is_service=True, user__publisher_membership__publisher=publisher_id
    )
    if not mine.exists():
        raise NotFound.of("not_found", "There is no such key.")


def _service(publisher: Publisher, name: str, by: User, at: datetime) -> User:
    email = f"{name}@{publisher.slug}.service.invalid"
    found = User.objects.filter(email__iexact=email, is_service=True).first()
    if found is not None:
        return found
    user = create_user(
        email=email,
        name=name,
        roles=[Role.PARTNER],
        is_service=True,
        by=by,
        at=at,
        reason="service of a publisher",
    )
    acting(by=by, at=at, reason="service of a publisher")
    PublisherMembership.objects.create(user=user, publisher=publisher)
    return user


def _problems(name: str, scopes: Sequence[str], last_day: date | None, today: date) -> list[Problem]:
    found = []
    if not re.fullmatch(NAME, name):
        found.append(
            Problem("name_invalid", "Name the program in small letters, digits and hyphens.", "/name")
        )
    if not scopes:
        found.append(
            Problem("scope_needed", "Choose at least one thing that the key is good for.", "/scopes")
        )
    found += [
        Problem("unknown_scope", f"{scope} is nothing a publisher's key has.", "/scopes")
        for scope in scopes
        if scope not in SCOPES
    ]
    if last_day is not None and last_day < today:
        found.append(Problem("expired_already", "The key would have ended already.", "/last_day"))
    if last_day is not None and last_day > today + LONGEST:
        found.append(Problem("too_long", "A key lasts a year at most: then it is changed over.", "/last_day"))
    return found
