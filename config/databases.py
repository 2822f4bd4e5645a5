"""Database addresses to Django settings, for two roles: an owner that migrates and an application that cannot rewrite the ledger."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

APPLICATION_ROLE = "parity_app"
OWNER_ROLE = "parity_owner"


def from_url(url: str) -> dict[str, Any]:
    """Django's settings for postgres://user:password@host:port/name?option=value. Raises ImproperlyConfigured for another scheme."""
    parts = urlsplit(url)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(
            f"DATABASE_URL must start with postgresql://, not {parts.scheme or 'nothing'}://"
        )
    try:
        port = str(parts.port or "")
    except ValueError as error:
        raise ImproperlyConfigured("DATABASE_URL: the port must be a number up to 65535.") from error
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": port,
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }


def embedded(local: Path, role: str) -> dict[str, Any]:
    """The embedded server's socket lives in a short path of its own, because a socket's path is limited to 107 bytes."""
    return from_url(f"postgresql://{role}@/parity?host={socket_dir(local)}")


def socket_dir(local: Path) -> Path:
    """Where the embedded server listens; made and guarded by config.embedded."""
    direct = local / "run"
    if len(str(direct)) < 85:
        return direct
    import hashlib

    return Path("/tmp") / f"parity-{hashlib.sha256(str(local).encode()).hexdigest()[:12]}"  # noqa: S108 -- created 0700 by config.embedded


def django_database(local: Path) -> dict[str, Any]:
    """What web, worker and tests connect with: always limited to the application role."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        return embedded(local, APPLICATION_ROLE)
    database = from_url(url)
    if not os.environ.get("DATABASE_OWNER_URL"):
        database["OPTIONS"]["assume_role"] = APPLICATION_ROLE
    return database


def owner_database(local: Path) -> dict[str, Any]:
    """What migrates."""
    url = os.environ.get("DATABASE_OWNER_URL") or os.environ.get("DATABASE_URL")
    database = from_url(url) if url else embedded(local, OWNER_ROLE)
    return {**database, "CONN_MAX_AGE": 0, "TEST": {"MIRROR": "default"}}
