"""Background work of crediting. Tasks carry ids, and are safe to deliver twice."""

import logging
from datetime import datetime
from typing import Any

from celery import shared_task

from accounts.models import Notification
from config import clock
from config.outbox import handles
from quotas.crediting.invariants import broken
from quotas.models import Deal
from quotas.services.approving import Approvers

log = logging.getLogger(__name__)


@shared_task(name="quotas.verify_ledger")
def verify_ledger() -> None:
    """Check every invariant of the ledger, and say loudly which does not hold."""
    for name, rows in broken().items():
        log.error("ledger invariant broken: %s, first at %s", name, rows[0])


@handles("quotas.deal_submitted")
def tell_the_approvers(payload: dict[str, Any], at: datetime) -> None:
    """A deal waits for a decision: tell those who may decide."""
    deal = Deal.objects.select_related("owner", "customer", "latest_version").get(pk=payload["deal_id"])
    if deal.state != "submitted":
        return
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"deal-submitted:{deal.pk}:{deal.revision}",
                text=f"{deal.owner.name} submitted {deal.reference} for {deal.customer.name}.",
                url=f"/quotas/deals/{deal.pk}/",
                created_at=at,
            )
            for user in sorted(Approvers([deal], clock.today()).of(deal))
        ],
        ignore_conflicts=True,
    )


@handles("quotas.deal_decided")
def tell_the_participants(payload: dict[str, Any], at: datetime) -> None:
    """A deal was decided on: tell its owner and everybody with a share."""
    deal = Deal.objects.select_related("customer", "latest_version").get(pk=payload["deal_id"])
    version = deal.latest_version
    users = (
        set(version.shares.exclude(rep__user=None).values_list("rep__user_id", flat=True))
        if version
        else set()
    )
    if deal.owner.user_id:
        users.add(deal.owner.user_id)
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"deal-{payload['action']}:{deal.pk}",
                text=f"{deal.reference} for {deal.customer.name} was {payload['action']}.",
                url=f"/quotas/deals/{deal.pk}/",
                created_at=at,
            )
            for user in sorted(users)
        ],
        ignore_conflicts=True,
    )
