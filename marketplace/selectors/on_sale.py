"""May it be sold on that day? The one short answer that booking asks for; answer.py gives the long one."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from django.db.models import Q, QuerySet

from config import house as formats
from marketplace.models import CommercialPath, Lifecycle, Offering, Plan, Publication
from marketplace.selectors.visibility import PUBLISHED

REPLACED = ("not_published", "deprecated", "retired", "region_unavailable")
ON_SALE = (Publication.LIVE, Publication.PREVIEW)


@dataclass(frozen=True, slots=True)
class NotSellable:
    """Why an offering or one of its plans cannot be sold.

    code              Stable word: not_published, not_yet_available, deprecated, retired, internal_only,
                      region_unavailable, plan_withdrawn, unknown_offering, unknown_plan.
    message           A sentence for people.
    replacement_id    Offering to sell instead, where one is named.
    replacement_slug  The same for programs.
    """

    code: str
    message: str
    replacement_id: int | None = None
    replacement_slug: str = ""
    replacement_name: str = ""


def named_replacement(offering: Offering) -> Offering | None:
    """What replaces it, once that is published: nobody learns of an unpublished offering through another one."""
    found = offering.replacement
    return found if found is not None and found.publication in PUBLISHED else None


def why_not(offering: Offering, on: date, country: str = "") -> NotSellable | None:
    """The one reason why *offering* cannot be sold on *on*, or None. Reads its replacement: select_related it."""
    reason: tuple[str, str] | None = None
    stage = offering.lifecycle_on(on)
    if offering.publication not in ON_SALE:
        reason = "not_published", f"{offering.name} is not published."
    elif offering.commercial_path == CommercialPath.INTERNAL:
        reason = "internal_only", f"{offering.name} is for internal use only; it is not for sale."
    elif stage == Lifecycle.RETIRED:
        reason = (
            "retired",
            f"{offering.name} has been retired since {formats.day(offering.retires_on, 'an unknown day')}.",
        )
    elif stage == Lifecycle.DEPRECATED:
        reason = (
            "deprecated",
            f"{offering.name} takes no new deals since {formats.day(offering.deprecated_on, 'an unknown day')}.",
        )
    elif stage == Lifecycle.ANNOUNCED:
        first = min((d for d in (offering.preview_on, offering.available_on) if d is not None), default=None)
        reason = (
            "not_yet_available",
            f"{offering.name} is not on sale before {formats.day(first, 'an unknown day')}."
            if first
            else f"{offering.name} has no date of availability yet.",
        )
    elif country and offering.billing_countries is not None and country not in offering.billing_countries:
        reason = "region_unavailable", f"{offering.name} is not sold in {country}."
    if reason is None:
        return None
    code, message = reason
    instead = named_replacement(offering)
    if instead is None or code not in REPLACED:
        return NotSellable(code, message)
    return NotSellable(
        code, f"{message} It is replaced by {instead.name}.", instead.pk, instead.slug, instead.name
    )


def on_sale(offerings: QuerySet[Offering], on: date) -> QuerySet[Offering]:
    """Those that may be sold on *on*: why_not as SQL, without regard to a country."""
    begun = Q(preview_on__lte=on) | Q(available_on__lte=on) | Q(legacy_on__lte=on)
    return offerings.filter(begun, publication__in=ON_SALE).exclude(
        Q(commercial_path=CommercialPath.INTERNAL) | Q(deprecated_on__lte=on) | Q(retires_on__lte=on)
    )


def why_not_plan(plan: Plan, on: date) -> NotSellable | None:
    """Why one plan of an offering that is on sale takes no new orders on *on*, or None. No query."""
    if plan.withdrawn_on is None or on < plan.withdrawn_on:
        return None
    return NotSellable(
        "plan_withdrawn",
        f"{plan.name} takes no new orders since {formats.day(plan.withdrawn_on, 'an unknown day')}.",
    )


def not_sellable(
    offering_ids: Collection[int], on: date, *, plan_ids: Collection[int] = ()
) -> dict[int, NotSellable]:
    """Those of *offering_ids* that cannot be sold on *on*, with the reason; an empty answer is a yes. 1 query, with plans 2.

    A plan of *plan_ids* that belongs to none of the offerings is reported under minus its own id.
    """
    found = Offering.objects.select_related("replacement").in_bulk(list(offering_ids))
    answer = {
        pk: NotSellable("unknown_offering", "There is no such offering.")
        for pk in offering_ids
        if pk not in found
    }
    for offering in found.values():
        reason = why_not(offering, on)
        if reason is not None:
            answer[offering.pk] = reason
    if plan_ids:
        known = set(
            Plan.objects.filter(pk__in=plan_ids, offering__in=list(offering_ids)).values_list("pk", flat=True)
        )
        for pk in set(plan_ids) - known:
            answer[-pk] = NotSellable("unknown_plan", "There is no such plan of this offering.")
    return answer
