"""API keys: how a program comes in. Shown once, kept as a hash, compared without telling by the time it takes."""

import hashlib
import hmac
import re
import secrets
import string
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db.models import Q
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiKey, User
from accounts.scopes import Scope, scope_for, within
from config import clock
from config.refusals import Forbidden, Problem

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports what the settings name, and they name this

SHAPE: Final = re.compile(r"pk_([a-z0-9]{12})_([A-Za-z0-9]{43})")
USED_EVERY: Final = timedelta(minutes=1)
_NOBODY: Final = "0" * 64
_LETTERS: Final = string.ascii_letters + string.digits


def new_key() -> tuple[str, str]:
    """A key and its prefix. 43 letters and digits: 256 bits."""
    prefix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
    secret = "".join(secrets.choice(_LETTERS) for _ in range(43))
    return f"pk_{prefix}_{secret}", prefix


def digest(key: str) -> str:
    """A plain SHA-256 is enough: what it hides is long and random, unlike a password."""
    return hashlib.sha256(key.encode()).hexdigest()


def find(key: str, at: datetime) -> ApiKey | None:
    """The key if it is right and may be used at *at*. 1 query."""
    shape = SHAPE.fullmatch(key)
    if shape is None:
        return None
    known = ApiKey.objects.select_related("user").filter(prefix=shape[1]).first()
    right = hmac.compare_digest(known.key_hash if known else _NOBODY, digest(key))
    return known if known and right and known.usable(at) else None


def note_use(key: ApiKey, at: datetime) -> None:
    """When it was last used, to the minute, so that a busy program does not write at every request."""
    long_ago = Q(last_used_at=None) | Q(last_used_at__lte=at - USED_EVERY) | Q(last_used_at__gt=at)
    if key.last_used_at is None or not key.last_used_at <= at < key.last_used_at + USED_EVERY:
        ApiKey.objects.filter(long_ago, pk=key.pk).update(last_used_at=at)


class ApiKeyAuthentication(BaseAuthentication):
    """Authorization: Bearer pk_... Nothing tells a wrong key from an expired, a withdrawn or a sleeping one."""

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        words = get_authorization_header(request).split()
        if not words or words[0].lower() != b"bearer":
            return None
        at = clock.now()
        key = find(words[1].decode("ascii", "replace"), at) if len(words) == 2 else None
        if key is None:
            raise AuthenticationFailed("This key is not valid.", code="invalid_key")
        note_use(key, at)
        return key.user, key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Parity"'


@dataclass(frozen=True)
class MissingScope(Problem):
    """scope   What the key would need; empty where a key with scopes never reaches."""

    scope: str = ""


class WithinScopes(BasePermission):
    """A key narrowed to scopes does nothing outside them. Asked before any row is looked for, so it tells nothing about rows.

    Raises Forbidden (scope_missing, with the scope). A person's session and a key without scopes pass.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if getattr(view, (request.method or "").lower(), None) is not None:  # else there is no such method
            self._ask(request, getattr(view, "scope_place", type(view).__module__))
        return True

    def has_object_permission(self, request: Request, view: "APIView", obj: Any) -> bool:
        """For rows that belong to one app or another: the view says which, by scope_place_of(row)."""
        place_of = getattr(view, "scope_place_of", None)
        if place_of is not None:
            self._ask(request, place_of(obj))
        return True

    def _ask(self, request: Request, place: str | None) -> None:
        key = request.auth
        if place is None or not isinstance(key, ApiKey):
            return
        needed = scope_for(place, request.method or "")
        if not within(key.scopes, needed):
            raise Forbidden(missing(needed))


def missing(needed: Scope | None) -> MissingScope:
    """What is said to a key that lacks *needed*."""
    if needed is None:
        return MissingScope("scope_missing", "A key with scopes does not reach this: use one without.")
    return MissingScope(
        "scope_missing", f"This key does not have the scope {needed.value}.", scope=needed.value
    )
