"""Publication and lifecycle of an offering. Every change is checked, locked, recorded as a revision and told."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from config.clock import day_of
from config.refusals import Conflict, Invalid, Problem
from marketplace.extension import Change
from marketplace.models import Offering, Publication
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.revisions import locked, record_revision
from marketplace.services.telling import tell

P = Publication
# Where an offering may go from where it is. First-party offerings walk the same path.
WAYS: Final[Mapping[str, tuple[Publication, ...]]] = {
    P.DRAFT: (P.SUBMITTED,),
    P.SUBMITTED: (P.IN_REVIEW, P.DRAFT),
    P.IN_REVIEW: (P.APPROVED, P.CHANGES_REQUESTED, P.REJECTED),
    P.CHANGES_REQUESTED: (P.SUBMITTED,),
    P.REJECTED: (),
    P.APPROVED: (P.PREVIEW, P.SCHEDULED, P.LIVE),
    P.PREVIEW: (P.SCHEDULED, P.LIVE, P.STOPPED, P.SUSPENDED),
    P.SCHEDULED: (P.LIVE, P.APPROVED),
    P.LIVE: (P.STOPPED, P.SUSPENDED),
    P.SUSPENDED: (P.LIVE, P.STOPPED),
    P.STOPPED: (P.LIVE, P.ARCHIVED),
    P.ARCHIVED: (),
}
NOTICE: Final = timedelta(days=30)  # legacy: still sold, but it is known that it ends
WITHOUT_NEW_DEALS: Final = timedelta(days=90)  # deprecated


@transaction.atomic
def move_publication(
    *,
    offering_id: int,
    to: Publication,
    by: User,
    at: datetime,
    reason: str = "",
    expected_revision: int | None = None,
) -> Offering:
    """Take an offering one step on its way. Raises Forbidden, NotFound, Stale, Conflict (no_such_step), Invalid (no_plan)."""
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    offering = locked(offering_id, expected_revision)
    if to not in WAYS[offering.publication]:
        ways = ", ".join(way.label.lower() for way in WAYS[offering.publication]) or "nowhere"
        raise Conflict(
            Problem(
                "no_such_step",
                f"{offering.name} is {offering.get_publication_display().lower()}; from there it can go to: {ways}.",
                "/publication",
            )
        )
    if to in (P.LIVE, P.PREVIEW) and not offering.plans.exists():
        raise Invalid(Problem("no_plan", f"{offering.name} has no plan: nobody could buy it.", "/plans"))
    offering.publication = to
    return _changed(offering, by=by, at=at, what=f"is now {to.label.lower()}", first_day=day_of(at))


def publish_offering(
    *, offering_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> Offering:
    """Put an approved, previewed, scheduled, stopped or suspended offering on sale. Raises as move_publication."""
    return move_publication(
        offering_id=offering_id,
        to=Publication.LIVE,
        by=by,
        at=at,
        reason=reason,
        expected_revision=expected_revision,
    )


def suspend_offering(
    *, offering_id: int, by: User, at: datetime, reason: str, expected_revision: int | None = None
) -> Offering:
    """Take an offering off sale at once, without a second person: for when waiting would do harm.

    Raises   as move_publication, and Invalid (reason_missing).
    """
    if not reason.strip():
        raise Invalid(
            Problem("reason_missing", "Say why it is suspended: its publisher reads it.", "/reason")
        )
    return move_publication(
        offering_id=offering_id,
        to=Publication.SUSPENDED,
        by=by,
        at=at,
        reason=reason.strip()[:500],
        expected_revision=expected_revision,
    )


@transaction.atomic
def retire_offering(
    *,
    offering_id: int,
    retires_on: date,
    on: date,
    by: User,
    at: datetime,
    replacement_id: int | None = None,
    reason: str = "",
    expected_revision: int | None = None,
) -> Offering:
    """Announce the day on which an offering no longer answers; legacy and deprecation follow from it.

    on       Today; a retirement needs 120 days' notice from then: 30 as legacy, 90 as deprecated.
    Raises   Forbidden, NotFound, Stale, Invalid (too_soon, replaces_itself, unknown_replacement, replacement_retires_first),
             Conflict (already_retired).
    """
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    offering = locked(offering_id, expected_revision)
    if offering.retires_on is not None and offering.retires_on <= on:
        raise Conflict(
            Problem(
                "already_retired", f"{offering.name} has been retired since {offering.retires_on:%-d %b %Y}."
            )
        )
    earliest = on + NOTICE + WITHOUT_NEW_DEALS
    if retires_on < earliest:
        raise Invalid(
            Problem(
                "too_soon",
                f"A retirement needs 120 days' notice: {earliest:%-d %b %Y} is the earliest day.",
                "/retires_on",
            )
        )
    if replacement_id is not None:
        offering.replacement = _replacement(offering, replacement_id, retires_on)
    offering.retires_on = retires_on
    offering.deprecated_on = retires_on - WITHOUT_NEW_DEALS
    offering.legacy_on = offering.deprecated_on - NOTICE
    return _changed(
        offering, by=by, at=at, what=f"retires on {retires_on:%-d %b %Y}", first_day=offering.legacy_on
    )


def _replacement(offering: Offering, replacement_id: int, retires_on: date) -> Offering:
    if replacement_id == offering.pk:
        raise Invalid(Problem("replaces_itself", "An offering cannot replace itself.", "/replacement"))
    found = Offering.objects.filter(pk=replacement_id).first()
    if found is None:
        raise Invalid(Problem("unknown_replacement", "There is no such offering.", "/replacement"))
    if found.retires_on is not None and found.retires_on <= retires_on:
        raise Invalid(
            Problem("replacement_retires_first", f"{found.name} retires no later than it.", "/replacement")
        )
    return found


def _changed(offering: Offering, *, by: User | None, at: datetime, what: str, first_day: date) -> Offering:
    fresh = record_revision(offering, by=by, at=at)
    change = Change("offering", f"{fresh.name} {what}.", (fresh.pk,), first_day)
    tell(change, key=f"offering-{fresh.pk}-{fresh.revision}", at=at)
    return fresh
