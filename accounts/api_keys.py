"""API keys: how a program comes in. Shown once, kept as a hash, compared without telling by the time it takes."""

import hashlib
import hmac
import re
import secrets
import string
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounts.models import ApiKey, User
from config import clock

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
