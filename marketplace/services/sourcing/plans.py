"""Plans of spend with a supplier: stated by a sourcing lead with a source, corrected by superseding, never edited."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from accounts.audit import acting
from accounts.models import User
from config import house
from config.locks import one_at_a_time
from config.refusals import Conflict, NotFound, Problem, refuse_if_any
from marketplace.models import Bound, Company, Currency, PublicFact, SpendPlan
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.reasons import clean, reason_problems

LARGEST: Final = 10**18  # minor units
LONGEST_SOURCE: Final = 200
MOST_DAYS: Final = 3660
EARLIEST, LATEST = date(1970, 1, 1), date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """What is planned to be spent with a supplier over [starts_on, ends_on), evenly by days.

    amount_minor   Of the whole span, minor units of *currency*; None where none was given, which is refused.
    """

    supplier_id: int
    starts_on: date
    ends_on: date
    amount_minor: int | None
    currency: str
    source: str
    bound: str = Bound.EXACT
    fact_id: int | None = None


@transaction.atomic
def record_spend_plan(
    *, draft: PlanDraft, by: User, at: datetime, corrects: int | None = None, reason: str = ""
) -> SpendPlan:
    """Plans of one supplier never share a day: a figure stands against one plan.

    corrects   The plan whose place it takes; then a reason is needed. Its supplier stays.
    Raises     Forbidden, NotFound; Invalid with every problem (amount_missing, amount_without_currency ...); Conflict
               (plans_overlap: names the other; superseded, other_supplier).
    """
    acting(by=by, at=at, reason=reason.strip()[:500] or "Plan of spend recorded")
    must_lead_sourcing(by)
    one_at_a_time("marketplace.spend_plans")
    problems = _problems(draft)
    if corrects is not None:
        problems += reason_problems(reason)
    refuse_if_any(problems)
    if corrects is not None:
        old = _locked(corrects)
        if old.supplier_id != draft.supplier_id:
            raise Conflict.of("other_supplier", "A correction stays with its supplier.", "/supplier")
        old.superseded_at = at
        old.save(update_fields=["superseded_at"])
    span = DateRange(draft.starts_on, draft.ends_on)
    other = (
        SpendPlan.objects.filter(supplier=draft.supplier_id, superseded_at=None, effective__overlap=span)
        .order_by("effective")
        .first()
    )
    if other is not None:
        raise Conflict.of(
            "plans_overlap",
            f"A plan holds from {house.day(other.effective.lower)} to before {house.day(other.effective.upper)}:"
            " correct that one, or choose other days.",
            "/starts_on",
        )
    return SpendPlan.objects.create(
        supplier_id=draft.supplier_id,
        effective=span,
        amount_minor=draft.amount_minor or 0,
        currency_id=draft.currency,
        bound=draft.bound,
        fact_id=draft.fact_id,
        source=clean(draft.source),
        recorded_by=by,
        recorded_at=at,
    )


@transaction.atomic
def withdraw_spend_plan(*, plan_id: int, reason: str, by: User, at: datetime) -> SpendPlan:
    """It no longer stands; the trail keeps it. Raises Forbidden, NotFound, Invalid, Conflict (superseded)."""
    acting(by=by, at=at, reason=reason.strip()[:500])
    must_lead_sourcing(by)
    refuse_if_any(reason_problems(reason))
    found = _locked(plan_id)
    found.superseded_at = at
    found.save(update_fields=["superseded_at"])
    return found


def _locked(plan_id: int) -> SpendPlan:
    found = SpendPlan.objects.select_for_update().filter(pk=plan_id).first()
    if found is None:
        raise NotFound.of("unknown_plan", "There is no such plan.")
    if found.superseded_at is not None:
        raise Conflict.of("superseded", "Another statement has taken its place: look at that one.")
    return found


def _problems(draft: PlanDraft) -> list[Problem]:
    found = [*_amount_problems(draft), *_day_problems(draft)]
    supplier = Company.objects.filter(pk=draft.supplier_id).first()
    if supplier is None:
        found.append(Problem("unknown_company", "There is no such company.", "/supplier"))
    elif supplier.publisher_id is None:
        found.append(
            Problem(
                "sells_no_model",
                "It makes no model of the catalog: nothing would stand against the plan.",
                "/supplier",
            )
        )
    source = clean(draft.source)
    if not source:
        found.append(Problem("source_missing", "Say where it is known from.", "/source"))
    elif len(source) > LONGEST_SOURCE:
        found.append(Problem("source_too_long", f"At most {LONGEST_SOURCE} characters.", "/source"))
    if draft.fact_id is not None and not PublicFact.objects.filter(pk=draft.fact_id).exists():
        found.append(Problem("unknown_fact", "There is no such public fact.", "/fact"))
    return found


def _amount_problems(draft: PlanDraft) -> list[Problem]:
    found = []
    if draft.amount_minor is None:
        found.append(Problem("amount_missing", "Enter the amount of the whole span.", "/amount"))
    elif not 0 < draft.amount_minor <= LARGEST:
        found.append(Problem("amount_out_of_range", "Enter an amount above zero.", "/amount"))
    if not draft.currency:
        found.append(
            Problem("amount_without_currency", "An amount needs its currency, such as USD.", "/currency")
        )
    elif not Currency.objects.filter(code=draft.currency).exists():
        found.append(Problem("unknown_currency", "That currency is not known here.", "/currency"))
    if draft.bound not in Bound.values or draft.bound == Bound.UNKNOWN:
        found.append(
            Problem("unknown_bound", "Say what the amount is: exact, about, at most or at least.", "/bound")
        )
    return found


def _day_problems(draft: PlanDraft) -> list[Problem]:
    found = [
        Problem("day_out_of_range", "Enter a day between 1970 and 2099.", f"/{name}")
        for name, day in (("starts_on", draft.starts_on), ("ends_on", draft.ends_on))
        if not EARLIEST <= day < LATEST
    ]
    if draft.ends_on <= draft.starts_on:
        found.append(
            Problem(
                "ends_before_it_starts",
                "It ends before it starts: the end is the first day after it.",
                "/ends_on",
            )
        )
    elif (draft.ends_on - draft.starts_on).days > MOST_DAYS:
        found.append(Problem("too_long_a_span", "A plan spans ten years at most.", "/ends_on"))
    return found
