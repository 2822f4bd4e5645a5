"""What customers commit to spend: recorded and ended by one comp admin with a reason, never edited. RULES 19 of quotas."""

from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import Role, User
from config import house as formats
from config.given import tidy
from config.locks import one_at_a_time
from config.refusals import Conflict, Forbidden, NotFound, Problem, refuse_if_any
from marketplace.models import Currency, Customer, CustomerCommitment

LARGEST_MINOR: Final = 9_000_000_000_000
LONGEST_NAME: Final = 120
LONGEST_REASON: Final = 500


@transaction.atomic
def record_commitment(
    *,
    customer_id: int,
    name: str,
    amount_minor: int,
    currency: str,
    starts: date,
    ends: date,
    reason: str,
    by: User,
    at: datetime,
) -> CustomerCommitment:
    """Write down that a customer spends so much in [starts, ends).

    amount_minor  Minor units of the currency.
    Raises        Forbidden; Invalid with pointers; NotFound; Conflict where one of that name runs on some of these days.
    """
    _refuse_unless_comp_admin(by)
    called = " ".join(tidy(name).split())
    problems = _reason_problems(reason)
    if not called:
        problems.append(Problem("name_needed", "Say what the contract calls it.", "/name"))
    elif len(called) > LONGEST_NAME:
        problems.append(Problem("name_too_long", f"A name has at most {LONGEST_NAME} characters.", "/name"))
    if not 0 < amount_minor <= LARGEST_MINOR:
        problems.append(
            Problem("amount_out_of_bounds", "Enter what is committed, an amount above 0.", "/amount")
        )
    if ends <= starts:
        problems.append(Problem("ends_before_it_starts", "The last day is before the first.", "/ends"))
    if not Currency.objects.filter(code=currency).exists():
        problems.append(Problem("currency_unknown", "Choose a currency.", "/currency"))
    refuse_if_any(problems)
    one_at_a_time("marketplace.commitments")
    if not Customer.objects.filter(pk=customer_id).exists():
        raise NotFound.of("customer_not_found", "There is no such customer.", "/customer")
    other = (
        CustomerCommitment.objects.filter(
            customer=customer_id,
            name=called,
            superseded_at=None,
            effective__overlap=DateRange(starts, ends),
        )
        .order_by("effective")
        .first()
    )
    if other is not None:
        raise Conflict.of(
            "commitment_runs",
            f"{called} runs from {formats.day(other.effective.lower)} already: end it first, begin later, or give it another name.",
            "/starts",
        )
    acting(by=by, at=at, reason=reason.strip())
    return CustomerCommitment.objects.create(
        customer_id=customer_id,
        name=called,
        amount_minor=amount_minor,
        currency_id=currency,
        effective=DateRange(starts, ends),
        recorded_by=by,
        recorded_at=at,
    )


@transaction.atomic
def end_commitment(
    *, commitment_id: int, ends: date, reason: str, by: User, at: datetime, customer_id: int | None = None
) -> CustomerCommitment | None:
    """Let a commitment hold no longer than until *ends*, its amount unchanged; None where nothing is left of it.

    customer_id  Whose it has to be, where the address says so.
    Raises       Forbidden, Invalid, NotFound; Conflict where it is over by then.
    """
    _refuse_unless_comp_admin(by)
    refuse_if_any(_reason_problems(reason))
    one_at_a_time("marketplace.commitments")
    found = CustomerCommitment.objects.select_for_update().filter(pk=commitment_id, superseded_at=None)
    if customer_id is not None:
        found = found.filter(customer=customer_id)
    standing = found.first()
    if standing is None:
        raise NotFound.of("commitment_not_found", "This commitment does not stand any more.")
    span = standing.effective
    if span.upper is not None and ends >= span.upper:
        raise Conflict.of("commitment_over_by_then", "It ends earlier than that as it is.", "/ends")
    acting(by=by, at=at, reason=reason.strip())
    standing.superseded_at = at
    standing.save(update_fields=["superseded_at"])
    if span.lower is not None and ends <= span.lower:
        return None
    return CustomerCommitment.objects.create(
        customer_id=standing.customer_id,
        name=standing.name,
        amount_minor=standing.amount_minor,
        currency_id=standing.currency_id,
        effective=DateRange(span.lower, ends),
        recorded_by=by,
        recorded_at=at,
    )


def _reason_problems(reason: str) -> list[Problem]:
    if not reason.strip() or "\x00" in reason:
        return [Problem("reason_needed", "Say why: it is kept with the commitment.", "/reason")]
    if len(reason) > LONGEST_REASON:
        return [Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")]
    return []


def _refuse_unless_comp_admin(by: User) -> None:
    if not by.has_role(Role.COMP_ADMIN):
        raise Forbidden.of("not_a_comp_admin", "Only a comp admin records what customers commit to.")
