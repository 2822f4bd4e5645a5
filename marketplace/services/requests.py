"""Requests for what the catalog does not have: asked for by anybody, answered or declined by a catalog manager."""

from datetime import datetime

from django.db import transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import RoleGrant, User
from config.outbox import promise
from config.refusals import Conflict, Invalid, NotFound, Problem, refuse_if_any
from marketplace.models import Customer, Offering, OfferingRequest, RequestState
from marketplace.selectors.requests import names_customers
from marketplace.selectors.visibility import offerings_for
from marketplace.services.access import must_keep_the_catalog

QUEUE = "/catalog/requests/"


@transaction.atomic
def ask_for_offering(
    *, wanted: str, by: User, at: datetime, why: str = "", searched: str = "", customer: str = ""
) -> OfferingRequest:
    """Ask the catalog's managers for an offering. Asked again by the same person while it is open, it is the same request.

    searched   The query string that found nothing.
    customer   For whom: slug or whole name; only who may know of customers names one, nobody learns by trying which there are.
    Raises     Invalid (wanted_missing, too_long, unknown_customer).
    """
    wanted = " ".join(wanted.split())
    acting(by=by, at=at, reason=f"Asked for {wanted}"[:500])
    problems = []
    if not wanted:
        problems.append(Problem("wanted_missing", "Say what you look for.", "/wanted"))
    if len(wanted) > 200:
        problems.append(
            Problem("too_long", "At most 200 letters; the rest can go into the reason.", "/wanted")
        )
    if len(why) > 500:
        problems.append(Problem("too_long", "At most 500 letters.", "/why"))
    named = _customer(customer, by)
    if customer.strip() and named is None:
        problems.append(Problem("unknown_customer", "There is no customer of that name.", "/customer"))
    refuse_if_any(problems)
    User.objects.select_for_update().get(pk=by.pk)
    there = OfferingRequest.objects.filter(
        made_by=by, state=RequestState.OPEN, wanted__iexact=wanted, customer=named
    ).first()
    if there is not None:
        return there
    made = OfferingRequest.objects.create(
        wanted=wanted, why=why.strip(), customer=named, searched=searched[:500], made_by=by, made_at=at
    )
    keepers = RoleGrant.objects.filter(role="catalog_manager", withdrawn_at=None).exclude(user=by)
    _notify(
        sorted(keepers.values_list("user_id", flat=True)),
        f"{by.name} asks for an offering: {wanted}.",
        f"offering-request:{made.pk}",
        at,
    )
    return made


@transaction.atomic
def answer_request(
    *, request_id: int, offering: str, by: User, at: datetime, note: str = ""
) -> OfferingRequest:
    """Name the offering, by its slug, that meets the request.

    Raises   Forbidden, NotFound, Conflict (decided_already), Invalid (unknown_offering, not_seen_by_asker, too_long).
    """
    must_keep_the_catalog(by)
    acting(by=by, at=at, reason=note)
    request = _open(request_id)
    found = Offering.objects.filter(slug=offering.strip().lower()).first()
    if found is None:
        raise Invalid(Problem("unknown_offering", "There is no offering with this SKU.", "/offering"))
    if not offerings_for(request.made_by).filter(pk=found.pk).exists():
        raise Invalid(
            Problem(
                "not_seen_by_asker",
                f"{found.name} is not published yet: {request.made_by.name} could not see it.",
                "/offering",
            )
        )
    return _decided(
        request,
        RequestState.ANSWERED,
        note or f"{found.name} is in the catalog.",
        by=by,
        at=at,
        offering=found,
    )


@transaction.atomic
def decline_request(*, request_id: int, reason: str, by: User, at: datetime) -> OfferingRequest:
    """Say no, and why. Raises Forbidden, NotFound, Conflict (decided_already), Invalid (reason_missing, too_long)."""
    must_keep_the_catalog(by)
    acting(by=by, at=at, reason=reason)
    request = _open(request_id)
    if not reason.strip():
        raise Invalid(Problem("reason_missing", "Say why, so that the asker knows what to do.", "/reason"))
    return _decided(request, RequestState.DECLINED, reason, by=by, at=at)


def _decided(
    request: OfferingRequest,
    state: RequestState,
    answer: str,
    *,
    by: User,
    at: datetime,
    offering: Offering | None = None,
) -> OfferingRequest:
    answer = answer.strip()
    if len(answer) > 500:
        raise Invalid(
            Problem("too_long", "At most 500 letters.", "/note" if offering is not None else "/reason")
        )
    request.state, request.answer, request.offering = state, answer, offering
    request.answered_by, request.answered_at = by, at
    request.save()
    verb = "has been met" if state == RequestState.ANSWERED else "was declined"
    _notify(
        [request.made_by_id],
        f"Your request for {request.wanted} {verb}: {answer}"[:300],
        f"offering-request:{request.pk}:{state}",
        at,
        url=f"/catalog/{offering.slug}/" if offering is not None else QUEUE,
    )
    return request


def _open(request_id: int) -> OfferingRequest:
    request = (
        OfferingRequest.objects.select_for_update(of=("self",))
        .select_related("made_by")
        .filter(pk=request_id)
        .first()
    )
    if request is None:
        raise NotFound.of("unknown_request", "There is no such request.")
    if request.state != RequestState.OPEN:
        raise Conflict(
            Problem(
                "decided_already", f"It is {request.get_state_display().lower()} already: read the answer."
            )
        )
    return request


def _customer(named: str, by: User) -> Customer | None:
    if not named.strip() or not names_customers(by):
        return None
    return (
        Customer.objects.filter(slug=named.strip().lower()).first()
        or Customer.objects.filter(name__iexact=" ".join(named.split())).order_by("id").first()
    )


def _notify(users: list[int], text: str, key: str, at: datetime, *, url: str = QUEUE) -> None:
    payload = {"user_ids": users, "text": text[:300], "url": url, "key": key}
    if users:
        promise(topic=NOTIFY, key=key, payload=payload, at=at)
