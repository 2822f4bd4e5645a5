"""Who may come in and in which role; each change with its actor in the audit trail."""

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, transaction

from accounts import audit
from accounts.api_keys import digest, new_key
from accounts.models import ApiKey, Role, RoleGrant, User
from config.refusals import Conflict, Invalid, NotFound, Problem


@transaction.atomic
def create_user(
    *,
    email: str,
    name: str,
    by: User | None,
    at: datetime,
    password: str | None = None,
    roles: Iterable[str] = (),
    is_service: bool = False,
    reason: str = "",
) -> User:
    """A person, or a program that only has keys. Raises Conflict (email_taken), Invalid (unknown_role)."""
    audit.acting(by=by, at=at, reason=reason)
    wanted = sorted(set(roles))
    for role in wanted:
        _known(role)
    try:
        with transaction.atomic():
            user = User.objects.create_user(email=email, name=name, password=password, is_service=is_service)
    except IntegrityError as failure:
        raise Conflict(Problem("email_taken", f"{email} has an account already.", "/email")) from failure
    RoleGrant.objects.bulk_create(
        [RoleGrant(user=user, role=role, granted_by=by, granted_at=at) for role in wanted]
    )
    return user


@transaction.atomic
def grant_role(*, user_id: int, role: str, by: User | None, at: datetime, reason: str = "") -> RoleGrant:
    """Raises NotFound, Invalid (unknown_role), Conflict (role_granted_already)."""
    audit.acting(by=by, at=at, reason=reason)
    _known(role)
    user = _user(user_id)
    try:
        with transaction.atomic():
            return RoleGrant.objects.create(user=user, role=role, granted_by=by, granted_at=at)
    except IntegrityError as failure:
        raise Conflict(
            Problem("role_granted_already", f"{user.name} has the role {Role(role).label} already.", "/role")
        ) from failure


@transaction.atomic
def withdraw_role(*, user_id: int, role: str, by: User | None, at: datetime, reason: str = "") -> None:
    """Takes effect with the next request. Raises Conflict (role_not_granted)."""
    audit.acting(by=by, at=at, reason=reason)
    _known(role)
    if not RoleGrant.objects.filter(user_id=user_id, role=role, withdrawn_at=None).update(withdrawn_at=at):
        raise Conflict(
            Problem("role_not_granted", f"This account does not have the role {Role(role).label}.", "/role")
        )


@transaction.atomic
def create_api_key(
    *, user_id: int, name: str, by: User | None, at: datetime, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """The row and the key itself, which nobody can read again. Raises NotFound, Invalid (expired_already)."""
    audit.acting(by=by, at=at)
    if expires_at is not None and expires_at <= at:
        raise Invalid(Problem("expired_already", "The key would have ended before it began.", "/expires_at"))
    user = _user(user_id)
    key, prefix = new_key()
    row = ApiKey.objects.create(
        user=user, name=name, prefix=prefix, key_hash=digest(key), created_at=at, expires_at=expires_at
    )
    return row, key


@transaction.atomic
def revoke_api_key(*, key_id: int, by: User | None, at: datetime, reason: str = "") -> None:
    """For good and at once. Revoking again changes nothing. Raises NotFound."""
    audit.acting(by=by, at=at, reason=reason)
    row = ApiKey.objects.select_for_update().filter(pk=key_id).first()
    if row is None:
        raise NotFound(Problem("not_found", "There is no such key."))
    if row.revoked_at is None:
        row.revoked_at = at
        row.save(update_fields=["revoked_at"])


def _user(user_id: int) -> User:
    user = User.objects.filter(pk=user_id).first()
    if user is None:
        raise NotFound(Problem("not_found", "There is no such account."))
    return user


def _known(role: str) -> None:
    if role not in Role.values:
        raise Invalid(
            Problem("unknown_role", f"{role} is not a role: choose one of {', '.join(Role.values)}.", "/role")
        )
