"""Every change of an offering makes a revision: how it reads from then on, in the shape of the REST resource."""

from datetime import datetime

from accounts.models import User
from config.refusals import NotFound, Problem, Stale
from marketplace.models import Offering, OfferingRevision
from marketplace.selectors.resources import offering_body, with_facts
from marketplace.services.indexing import reindex


def locked(offering_id: int, expected_revision: int | None) -> Offering:
    """The offering, locked until the transaction ends. Raises NotFound, or Stale if it is not at that revision any more."""
    offering = Offering.objects.select_for_update().filter(pk=offering_id).first()
    if offering is None:
        raise NotFound.of("unknown_offering", "There is no such offering.")
    if expected_revision is not None and offering.revision != expected_revision:
        raise Stale(
            Problem(
                "stale",
                f"{offering.name} is at revision {offering.revision} by now. Read it again, then decide.",
            )
        )
    return offering


def record_revision(offering: Offering, *, by: User | None, at: datetime) -> Offering:
    """Save *offering* as its next revision and keep how it reads. It must be locked. by: nobody where its own dates did it."""
    offering.revision += 1
    offering.save()
    fresh = with_facts(Offering.objects.filter(pk=offering.pk)).get()
    OfferingRevision.objects.create(
        offering=fresh, number=fresh.revision, body=offering_body(fresh), recorded_at=at, recorded_by=by
    )
    reindex([fresh.pk])
    return fresh


def first_revision(offering: Offering, *, by: User, at: datetime) -> OfferingRevision:
    """Of an offering that has just been made."""
    fresh = with_facts(Offering.objects.filter(pk=offering.pk)).get()
    reindex([fresh.pk])
    return OfferingRevision.objects.create(
        offering=fresh, number=fresh.revision, body=offering_body(fresh), recorded_at=at, recorded_by=by
    )
