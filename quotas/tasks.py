"""Background work of crediting. Tasks carry ids, and are safe to deliver twice."""

import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery import shared_task
from django.conf import settings
from django.urls import reverse

from accounts.models import Notification, Role, RoleGrant
from config import clock
from config.exports import format_named
from config.outbox import handles
from marketplace.extension import Change, listen
from marketplace.models import Program
from quotas.crediting.invariants import broken
from quotas.models import Deal, DealAction, DealShare, ImportOutcome, PlanVersion, SalesImport
from quotas.services import ending, exporting, recredit, simulating  # noqa: F401 -- their steps register themselves with the jobs
from quotas.services.approving import Approvers, waits
from quotas.services.importing.desk import forget_files
from quotas.services.importing.records import waiting_by_approver

log = logging.getLogger(__name__)

DECIDED = {
    "amendment_approved": "approved",
    "amendment_rejected": "rejected",
    "partly_cancelled": "cancelled in part",
}
FILES_KEPT: Final = timedelta(days=30)  # of imports, from their upload
AMENDMENT = ("amendment_approved", "amendment_rejected")


@shared_task(name="quotas.verify_ledger")
def verify_ledger() -> None:
    """Check every invariant of the ledger, and say loudly which does not hold."""
    for name, rows in broken().items():
        log.error("ledger invariant broken: %s, first at %s", name, rows[0])


@shared_task(name="quotas.export_night", acks_late=True)
def export_night(**_newer: object) -> None:
    """Write the night's files, once a day. It is asked for every quarter of an hour, so that a night missed is caught up with."""
    at = clock.now()
    if settings.EXPORT_DIR and at.astimezone(ZoneInfo(settings.TIME_ZONE)).hour >= settings.EXPORT_HOUR:
        exporting.export_night(
            directory=Path(settings.EXPORT_DIR),
            at=at,
            keep_days=settings.EXPORT_DAYS_KEPT,
            form=format_named(settings.EXPORT_FORMAT),
        )


@listen
def recredit_what_is_decided(change: Change, at: datetime) -> None:
    """Whether an offering counts toward quota was decided with effect on days that have been credited."""
    if change.kind == "eligibility" and change.program in ("", Program.QUOTA):
        recredit.follow_eligibility(change=change, at=at)


@listen
def tell_the_owners_of_open_deals(change: Change, at: datetime) -> None:
    """An offering has begun to end: whoever has an open deal on it hears of it, with what may still be sold and what instead."""
    if change.kind == "lifecycle" and change.offering_ids:
        ending.tell_owners(offering_ids=change.offering_ids, on=change.first_day, at=at)


@handles("quotas.deal_submitted")
def tell_the_approvers(payload: dict[str, Any], at: datetime) -> None:
    """A deal or an amendment waits for a decision: tell those who may decide."""
    deal = Deal.objects.select_related("owner", "customer", "latest_version", "amended_by").get(
        pk=payload["deal_id"]
    )
    if not waits(deal):
        return
    what = (
        f"{deal.owner.name} submitted {deal.reference}"
        if deal.amended_by is None
        else f"{deal.amended_by.name} amended {deal.reference}"
    )
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"deal-submitted:{deal.pk}:{deal.revision}",
                text=f"{what} for {deal.customer.name}.",
                url=f"/quotas/deals/{deal.pk}/",
                created_at=at,
            )
            for user in sorted(Approvers([deal], clock.today()).of(deal))
        ],
        ignore_conflicts=True,
    )


@handles("quotas.deal_decided")
def tell_the_participants(payload: dict[str, Any], at: datetime) -> None:
    """A deal or an amendment was decided on: tell its owner and everybody with a share, and of an amendment whoever proposed it."""
    deal = Deal.objects.select_related("customer", "owner").get(pk=payload["deal_id"])
    shares = DealShare.objects.filter(version__in=[deal.latest_version_id, deal.credited_version_id])
    users = set(shares.exclude(rep__user=None).values_list("rep__user_id", flat=True))
    if deal.owner.user_id:
        users.add(deal.owner.user_id)
    action = payload["action"]
    if action in AMENDMENT:
        proposed = deal.events.filter(action=DealAction.AMENDED).order_by("-id").first()
        users |= {proposed.by_id} if proposed else set()
    again = f":r{payload['revision']}" if action in AMENDMENT or action == DealAction.PARTLY_CANCELLED else ""
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"deal-{action}:{deal.pk}{again}",
                text=f"An amendment of {deal.reference} for {deal.customer.name} was {DECIDED[action]}."
                if action in AMENDMENT
                else f"{deal.reference} for {deal.customer.name} was {DECIDED.get(action, action)}.",
                url=f"/quotas/deals/{deal.pk}/",
                created_at=at,
            )
            for user in sorted(users)
        ],
        ignore_conflicts=True,
    )


@handles("quotas.plan_reviewed")
def tell_the_reviewers(payload: dict[str, Any], at: datetime) -> None:
    """A review of a plan version is asked for, or was answered: tell those named, else every other comp admin."""
    version = PlanVersion.objects.select_related("plan").get(pk=payload["plan_version_id"])
    users = payload["users"] or RoleGrant.objects.filter(role=Role.COMP_ADMIN, withdrawn_at=None).exclude(
        user=payload["by"]
    ).values_list("user_id", flat=True)
    Notification.objects.bulk_create(
        [
            Notification(
                user_id=user,
                key=f"plan-review:{payload['key']}",
                text=payload["text"],
                url=reverse("quotas:plan-version", args=[version.plan.slug, version.number]),
                created_at=at,
            )
            for user in sorted(set(users))
        ],
        ignore_conflicts=True,
    )


@handles("quotas.import_done")
def tell_of_an_import(payload: dict[str, Any], at: datetime) -> None:
    """A file was imported: tell who asked for it, and, each once, those who have deals of it to decide on."""
    run = SalesImport.objects.get(pk=payload["run_id"])
    rows = sum(
        run.counts.get(each, 0)
        for each in (ImportOutcome.NEW, ImportOutcome.CHANGED, ImportOutcome.CANCELLED)
    )
    told = [
        Notification(
            user_id=run.requested_by_id,
            key=f"import-done:{run.pk}",
            text=f"{run.file_name[:100]} was imported: {rows:,} of its {run.rows:,} rows changed something.",
            url=reverse("quotas:import", args=[run.pk]),
            created_at=at,
        )
    ]
    for user, waiting in waiting_by_approver(run, clock.today()).items():
        one = waiting == 1
        told.append(
            Notification(
                user_id=user,
                key=f"import-waits:{run.pk}",
                text=f"{'A deal' if one else f'{waiting:,} deals'} of an import {'waits' if one else 'wait'} for your approval.",
                url=reverse("quotas:approvals"),
                created_at=at,
            )
        )
    Notification.objects.bulk_create(told, ignore_conflicts=True)


@shared_task(name="quotas.forget_import_files", acks_late=True)
def forget_import_files(**_newer: object) -> None:
    """What a file said stays in its report and in the deals; the file itself is not kept for ever."""
    forget_files(before=clock.now() - FILES_KEPT)
