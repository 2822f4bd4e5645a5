"""Who may come in and in which role; each change with its actor in the audit trail."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q

from accounts import audit
from accounts.api_keys import digest, new_key
from accounts.models import ApiKey, Role, RoleGrant, SavedView, User
from accounts.scopes import Scope
from config import locales
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any

COMMAND_LINE = "command-line@parity.invalid"


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
def command_line(*, at: datetime) -> User:
    """The account of whoever operates the server: what a command checks without naming a person is on its record, not on somebody's.

    It has no password and no key. Made the first time that it is asked for.
    """
    known = User.objects.filter(email=COMMAND_LINE).first()
    return known or create_user(
        email=COMMAND_LINE,
        name="Command line",
        by=None,
        at=at,
        roles=[Role.CATALOG_MANAGER],
        is_service=True,
        reason="Decisions that a command brings along",
    )


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
    *,
    user_id: int,
    name: str,
    by: User | None,
    at: datetime,
    expires_at: datetime | None = None,
    scopes: Iterable[str] = (),
    two_at_most: bool = False,
) -> tuple[ApiKey, str]:
    """The row and the key itself, which nobody can read again.

    scopes        Of accounts.scopes; none is everything that the account may do.
    two_at_most   Refuse a third key of that name that would work at the same time.
    Raises        NotFound, Invalid (expired_already, unknown_scope), Conflict (two_keys_already).
    """
    audit.acting(by=by, at=at)
    wanted = sorted(set(scopes))
    problems = [
        Problem("unknown_scope", f"{s} is not a scope: choose among {', '.join(Scope.values)}.", "/scopes")
        for s in wanted
        if s not in Scope.values
    ]
    if expires_at is not None and expires_at <= at:
        problems.append(
            Problem("expired_already", "The key would have ended before it began.", "/expires_at")
        )
    refuse_if_any(problems)
    user = User.objects.select_for_update().filter(pk=user_id).first()
    if user is None:
        raise NotFound(Problem("not_found", "There is no such account."))
    if two_at_most:
        _room_for_another(user, name, at)
    return _new_key(user, name, wanted, at, expires_at)


@transaction.atomic
def rotate_api_key(*, key_id: int, by: User | None, at: datetime, overlap: timedelta) -> tuple[ApiKey, str]:
    """Another key of the same account, name, scopes and length of life; the present one ends after *overlap*.

    Raises   NotFound, Conflict (not_usable: it has ended; two_keys_already: one of the two has to go first).
    """
    audit.acting(by=by, at=at, reason="rotated")
    user = User.objects.select_for_update().filter(api_keys=key_id).first()
    old = ApiKey.objects.select_for_update().select_related("user").filter(pk=key_id).first()
    if user is None or old is None:
        raise NotFound(Problem("not_found", "There is no such key."))
    if not old.usable(at):
        raise Conflict(Problem("not_usable", "This key has ended: make a new one."))
    _room_for_another(user, old.name, at)
    length = old.expires_at - old.created_at if old.expires_at else None
    made = _new_key(user, old.name, old.scopes, at, at + length if length else None)
    ends = at + overlap
    if old.expires_at is None or ends < old.expires_at:
        old.expires_at = ends
        old.save(update_fields=["expires_at"])
    return made


def _room_for_another(user: User, name: str, at: datetime) -> None:
    """Two of one name at once are enough to change over; a third would be one that nobody remembers."""
    usable = Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=at))
    if user.api_keys.filter(usable, name=name).count() >= 2:
        raise Conflict(
            Problem("two_keys_already", f"{name} has two keys that work. Revoke one of them first.", "/name")
        )


def _new_key(
    user: User, name: str, scopes: list[str], at: datetime, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    key, prefix = new_key()
    row = ApiKey.objects.create(
        user=user,
        name=name,
        prefix=prefix,
        key_hash=digest(key),
        created_at=at,
        expires_at=expires_at,
        scopes=scopes,
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


@transaction.atomic
def set_preferences(*, by: User, at: datetime, locale: str, time_zone: str, language: str = "") -> None:
    """How a person reads numbers, days and texts; what is empty follows the operator.

    Raises   Invalid (unknown_locale, unknown_time_zone, unknown_language).
    """
    audit.acting(by=by, at=at, reason="Preferences")
    problems = []
    if locale and locale != locales.HOUSE_TAG and locale not in locales.OFFERED:
        problems.append(Problem("unknown_locale", f"{locale} is not a locale on offer.", "/locale"))
    if time_zone and time_zone not in locales.zones():
        problems.append(Problem("unknown_time_zone", f"{time_zone} is not a time zone.", "/time_zone"))
    if language and language not in dict(settings.LANGUAGES):
        problems.append(Problem("unknown_language", f"{language} is not a language on offer.", "/language"))
    refuse_if_any(problems)
    User.objects.filter(pk=by.pk).update(locale=locale, time_zone=time_zone, language=language)


MOST_VIEWS = 30  # of one page: more than a menu can hold


@transaction.atomic
def save_view(*, page: str, name: str, query: str, by: User, at: datetime) -> SavedView:
    """Keep a page's query string under a name of one's own; the same name again takes the new one.

    Raises   Invalid (name_missing, name_too_long, query_too_long), Conflict (too_many_views).
    """
    name = " ".join(name.split())
    problems = []
    if not name:
        problems.append(Problem("name_missing", "Give the view a name.", "/name"))
    if len(name) > 80:
        problems.append(Problem("name_too_long", "A name has at most 80 letters.", "/name"))
    if len(query) > 2000:
        problems.append(Problem("query_too_long", "These are too many filters to keep.", "/query"))
    refuse_if_any(problems)
    User.objects.select_for_update().get(pk=by.pk)
    own = SavedView.objects.filter(user=by, page=page)
    if not own.filter(name=name).exists() and own.count() >= MOST_VIEWS:
        raise Conflict(
            Problem("too_many_views", f"You have {MOST_VIEWS} views of this page. Remove one first.", "/name")
        )
    return SavedView.objects.update_or_create(
        user=by, page=page, name=name, defaults={"query": query, "made_at": at}
    )[0]


@transaction.atomic
def remove_view(*, view_id: int, by: User) -> None:
    """Raises NotFound; somebody else's view is not there."""
    if not SavedView.objects.filter(pk=view_id, user=by).delete()[0]:
        raise NotFound(Problem("not_found", "There is no such view."))


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
