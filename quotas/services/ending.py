"""What the owners of open deals hear when an offering of theirs begins to end."""

from collections.abc import Collection
from datetime import date, datetime
from typing import Final

from django.db import transaction
from django.db.models import F

from accounts.models import Notification
from marketplace.models import Lifecycle, Offering
from marketplace.selectors.on_sale import named_replacement
from quotas.models import DealLine, DealState

OPEN: Final = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)
ENDING: Final = (Lifecycle.LEGACY, Lifecycle.DEPRECATED, Lifecycle.RETIRED)


@transaction.atomic
def tell_owners(*, offering_ids: Collection[int], on: date, at: datetime) -> int:
    """Notify the owner of each open deal on offerings that end, once for each stage. Returns how many lines are meant.

    on   The first day of the stage.
    3 queries, whatever the number of deals.
    """
    offerings = {
        offering.pk: offering
        for offering in Offering.objects.filter(pk__in=offering_ids).select_related("replacement")
        if offering.lifecycle_on(on) in ENDING
    }
    lines = list(
        DealLine.objects.filter(
            offering__in=list(offerings),
            version=F("version__deal__latest_version"),
            version__deal__state__in=OPEN,
            version__deal__owner__user__isnull=False,
        )
        .select_related("version__deal__owner", "version__deal__customer")
        .order_by("version__close_date", "pk")
    )
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=line.version.deal.owner.user_id,
                key=f"{offerings[line.offering_id].lifecycle_on(on).value}:{line.offering_id}:{line.version.deal_id}",
                text=_said(offerings[line.offering_id], line, on)[:300],
                url=f"/quotas/deals/{line.version.deal_id}/",
                created_at=at,
            )
            for line in lines
            if line.version.deal.owner.user_id is not None
        ],
        ignore_conflicts=True,
    )
    return len(lines)


def _said(offering: Offering, line: DealLine, on: date) -> str:
    """What ends when, what it means for this deal, and what may be sold instead."""
    closes, deal = line.version.close_date, line.version.deal
    stage, last = offering.lifecycle_on(on), offering.deprecated_on or offering.retires_on
    said = {
        Lifecycle.LEGACY: f"{offering.name} ends",
        Lifecycle.DEPRECATED: f"{offering.name} takes no new deals any more",
        Lifecycle.RETIRED: f"{offering.name} is retired",
    }[stage]
    said += f": {deal.reference} for {deal.customer.name} closes on {closes:%-d %b %Y}"
    if last is not None and closes >= last:
        said += f", but it is sold only until before {last:%-d %b %Y}"
    elif last is not None:
        said += f", in time: it is sold until before {last:%-d %b %Y}"
    instead = named_replacement(offering)
    return f"{said}. {instead.name} replaces it." if instead is not None else f"{said}."
