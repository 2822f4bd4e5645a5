"""Private offers: a price for one customer, made by the operator, locked when the customer accepts it.

draft -> sent -> accepted | declined | expired, and withdrawn from draft or sent. What is decided never changes again; the
database refuses to change the price of an accepted offer and to let two of them overlap. A private offer is no change of
the catalog: nobody hears of it but who may see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config import house as formats
from config import outbox
from config.refusals import Conflict, Invalid, NotFound, Problem, Stale, refuse_if_any
from marketplace.models import Customer, Plan, PriceRow, PriceVersion, PrivateOffer, PrivateOfferState
from marketplace.selectors.on_sale import why_not, why_not_plan
from marketplace.selectors.prices import WORLD
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.pricing import RowDraft, price_problems

S = PrivateOfferState
LONGEST_NAME: Final = 160
LONGEST_NOTE: Final = 500
OVERLAP: Final = "accepted_offers_do_not_overlap"


@dataclass(frozen=True, slots=True)
class OfferDraft:
    """What is offered: the price of a plan for one customer in [start, end), to be accepted up to and with open_until."""

    plan_id: int
    customer_id: int
    currency: str
    start: date
    end: date | None
    open_until: date
    rows: Sequence[RowDraft]
    note: str = ""


@transaction.atomic
def draft_offer(*, draft: OfferDraft, by: User, at: datetime) -> PrivateOffer:
    """Write an offer down that nobody else hears of yet. Raises Forbidden, Invalid with every problem at once."""
    acting(by=by, at=at, reason=draft.note)
    must_keep_the_catalog(by)
    refuse_if_any(_problems(draft))
    offer = PrivateOffer.objects.create(
        plan_id=draft.plan_id,
        customer_id=draft.customer_id,
        effective=DateRange(draft.start, draft.end),
        open_until=draft.open_until,
        note=draft.note.strip(),
        made_by=by,
        made_at=at,
    )
    version = PriceVersion.objects.create(
        plan_id=draft.plan_id,
        market=WORLD,
        currency_id=draft.currency,
        effective=offer.effective,
        private_offer=offer,
        source=f"Private offer {offer.reference}",
        recorded_at=at,
        recorded_by=by,
    )
    _write_rows(version, draft.rows)
    return offer


@transaction.atomic
def revise_offer(
    *,
    private_offer_id: int,
    draft: OfferDraft,
    by: User,
    at: datetime,
    expected_revision: int | None = None,
) -> PrivateOffer:
    """Write other terms into an offer that has not been sent. Raises Forbidden, NotFound, Stale, Conflict, Invalid."""
    acting(by=by, at=at, reason=draft.note)
    must_keep_the_catalog(by)
    offer = _locked(private_offer_id, expected_revision)
    if offer.state != S.DRAFT:
        raise Conflict(
            Problem("not_a_draft", f"{offer.reference} has left the draft: withdraw it and make a new one.")
        )
    refuse_if_any(_problems(draft))
    offer.plan_id, offer.customer_id = draft.plan_id, draft.customer_id
    offer.effective = DateRange(draft.start, draft.end)
    offer.open_until, offer.note = draft.open_until, draft.note.strip()
    version = offer.price
    version.plan_id, version.currency_id, version.effective = draft.plan_id, draft.currency, offer.effective
    version.recorded_at, version.recorded_by = at, by
    version.save()
    version.rows.all().delete()
    _write_rows(version, draft.rows)
    return _saved(offer)


@transaction.atomic
def send_offer(
    *, private_offer_id: int, on: date, by: User, at: datetime, expected_revision: int | None = None
) -> PrivateOffer:
    """Let the customer have it: from now on its terms stand.

    Raises   Forbidden, NotFound, Stale, Conflict (no_such_step, or why the plan cannot be sold), Invalid (open_until_past).
    """
    acting(by=by, at=at)
    must_keep_the_catalog(by)
    offer = _locked(private_offer_id, expected_revision)
    _must_be(offer, (S.DRAFT,), S.SENT)
    if offer.open_until < on:
        raise Invalid(
            Problem(
                "open_until_past",
                f"It could be accepted until {formats.day(offer.open_until, 'further notice')} only, which is over.",
                "/open_until",
            )
        )
    _must_be_sellable(offer, on)
    offer.state, offer.sent_at = S.SENT, at
    return _saved(offer)


@transaction.atomic
def accept_offer(
    *,
    private_offer_id: int,
    decided_by: str,
    on: date,
    by: User,
    at: datetime,
    expected_revision: int | None = None,
) -> PrivateOffer:
    """Record that the customer took it; its price is locked from now on.

    decided_by   Who accepted for the customer.
    Raises       Forbidden, NotFound, Stale, Invalid (decided_by_missing), Conflict (no_such_step, expired, overlaps: names the
                 other offer, or why the plan cannot be sold).
    """
    acting(by=by, at=at, reason=decided_by)
    must_keep_the_catalog(by)
    offer = _locked(private_offer_id, expected_revision)
    _must_be(offer, (S.SENT,), S.ACCEPTED)
    refuse_if_any(_who(decided_by))
    if offer.open_until < on:
        raise Conflict(
            Problem(
                "expired",
                f"{offer.reference} could be accepted until {formats.day(offer.open_until, 'further notice')} only.",
            )
        )
    _must_be_sellable(offer, on)
    _must_not_overlap(offer)
    _decide(offer, S.ACCEPTED, decided_by, by, at)
    try:
        with transaction.atomic():
            saved = _saved(offer)
    except IntegrityError as error:
        if OVERLAP not in str(error):
            raise
        _must_not_overlap(offer)  # two were accepted at the same moment, and the other was first
        raise
    _tell_the_maker(saved, f"{saved.customer.name} accepted {saved.reference}.", by, at)
    return saved


@transaction.atomic
def decline_offer(
    *, private_offer_id: int, decided_by: str, by: User, at: datetime, expected_revision: int | None = None
) -> PrivateOffer:
    """Record that the customer does not want it. Raises Forbidden, NotFound, Stale, Invalid (decided_by_missing), Conflict."""
    acting(by=by, at=at, reason=decided_by)
    must_keep_the_catalog(by)
    offer = _locked(private_offer_id, expected_revision)
    _must_be(offer, (S.SENT,), S.DECLINED)
    refuse_if_any(_who(decided_by))
    _decide(offer, S.DECLINED, decided_by, by, at)
    saved = _saved(offer)
    _tell_the_maker(saved, f"{saved.customer.name} declined {saved.reference}.", by, at)
    return saved


@transaction.atomic
def withdraw_offer(
    *, private_offer_id: int, by: User, at: datetime, reason: str = "", expected_revision: int | None = None
) -> PrivateOffer:
    """Take a draft or a sent offer back. Raises Forbidden, NotFound, Stale, Conflict (no_such_step)."""
    acting(by=by, at=at, reason=reason)
    must_keep_the_catalog(by)
    offer = _locked(private_offer_id, expected_revision)
    _must_be(offer, (S.DRAFT, S.SENT), S.WITHDRAWN)
    offer.state, offer.recorded_by = S.WITHDRAWN, by
    return _saved(offer)


@transaction.atomic
def expire_due(*, on: date, at: datetime) -> int:
    """Let every sent offer expire whose last day is before *on*, and tell who made it. Safe to run twice; answers how many."""
    acting(by=None, at=at, reason="The last day on which it could be accepted is over.")
    due = list(
        PrivateOffer.objects.select_for_update(of=("self",), skip_locked=True)
        .filter(state=S.SENT, open_until__lt=on)
        .select_related("customer")
        .order_by("pk")
    )
    for offer in due:
        offer.state = S.EXPIRED
        saved = _saved(offer)
        _tell_the_maker(
            saved, f"{saved.reference} for {saved.customer.name} expired without an answer.", None, at
        )
    return len(due)


def _locked(private_offer_id: int, expected_revision: int | None) -> PrivateOffer:
    offer = (
        PrivateOffer.objects.select_for_update(of=("self",))
        .filter(pk=private_offer_id)
        .select_related("plan__offering__replacement", "customer", "price")
        .first()
    )
    if offer is None:
        raise NotFound.of("unknown_private_offer", "There is no such private offer.")
    if expected_revision is not None and offer.revision != expected_revision:
        raise Stale(
            Problem(
                "stale",
                f"{offer.reference} is at revision {offer.revision} by now. Read it again, then decide.",
            )
        )
    return offer


def _saved(offer: PrivateOffer) -> PrivateOffer:
    offer.revision += 1
    offer.save()
    return offer


def _decide(offer: PrivateOffer, state: PrivateOfferState, decided_by: str, by: User, at: datetime) -> None:
    offer.state, offer.decided_at, offer.decided_by, offer.recorded_by = state, at, decided_by.strip(), by


def _write_rows(version: PriceVersion, rows: Sequence[RowDraft]) -> None:
    PriceRow.objects.bulk_create(
        [
            PriceRow(
                version=version,
                meter=r.meter,
                per=r.per,
                unit=r.unit,
                tier_from=r.tier_from,
                above_context=r.above_context,
                amount=r.amount,
            )
            for r in rows
        ]
    )


def _must_be(offer: PrivateOffer, states: Sequence[PrivateOfferState], to: PrivateOfferState) -> None:
    if offer.state not in states:
        raise Conflict(
            Problem(
                "no_such_step",
                f"{offer.reference} is {offer.get_state_display().lower()}; it cannot be {to.label.lower()} any more."
                if offer.state != S.DRAFT
                else f"{offer.reference} is a draft: send it first.",
            )
        )


def _must_be_sellable(offer: PrivateOffer, on: date) -> None:
    reason = why_not(offer.plan.offering, on, offer.customer.country) or why_not_plan(offer.plan, on)
    if reason is not None:
        raise Conflict(Problem(reason.code, reason.message, "/plan"))


def _must_not_overlap(offer: PrivateOffer) -> None:
    other = (
        PrivateOffer.objects.filter(
            plan=offer.plan_id,
            customer=offer.customer_id,
            state=S.ACCEPTED,
            effective__overlap=offer.effective,
        )
        .exclude(pk=offer.pk)
        .order_by("pk")
        .first()
    )
    if other is not None:
        raise Conflict(
            Problem(
                "overlaps",
                f"{offer.customer.name} has accepted {other.reference} for the same plan from"
                f" {formats.day(other.effective.lower, 'further notice')} to {formats.day(other.effective.upper, 'further notice')}.",
                "/start",
            )
        )


def _who(decided_by: str) -> list[Problem]:
    if not decided_by.strip():
        return [Problem("decided_by_missing", "Say who decided for the customer.", "/decided_by")]
    if len(decided_by.strip()) > LONGEST_NAME:
        return [Problem("too_long", f"A name has at most {LONGEST_NAME} characters.", "/decided_by")]
    return []


def _problems(draft: OfferDraft) -> list[Problem]:
    found = []
    if not Plan.objects.filter(pk=draft.plan_id).exists():
        found.append(Problem("unknown_plan", "There is no such plan.", "/plan"))
    if not Customer.objects.filter(pk=draft.customer_id).exists():
        found.append(Problem("unknown_customer", "There is no such customer.", "/customer"))
    if len(draft.note) > LONGEST_NOTE:
        found.append(
            Problem("too_long", f"A note has at most {formats.whole(LONGEST_NOTE)} characters.", "/note")
        )
    if draft.end is not None and draft.open_until >= draft.end:
        found.append(
            Problem("open_after_its_end", "It must be accepted before its price ends.", "/open_until")
        )
    return [*found, *price_problems(draft.currency, draft.start, draft.end, draft.rows, "private offer")]


def _tell_the_maker(offer: PrivateOffer, text: str, by: User | None, at: datetime) -> None:
    if by is not None and by.pk == offer.made_by_id:
        return
    outbox.promise(
        topic="accounts.notify",
        key=f"private-offer-{offer.pk}-{offer.revision}",
        payload={
            "user_ids": [offer.made_by_id],
            "text": text,
            "url": f"/catalog/private-offers/{offer.pk}/",
            "key": f"private-offer:{offer.pk}:{offer.revision}",
        },
        at=at,
    )
