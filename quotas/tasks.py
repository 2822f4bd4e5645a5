"""Background work of crediting. Tasks carry ids, and are safe to deliver twice."""

import logging
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any, Final
from zoneinfo import ZoneInfo

from celery import shared_task
from django.conf import settings
from django.db import DatabaseError
from django.urls import reverse

from accounts.models import Notification, Role, RoleGrant, User
from config import clock
from config.exports import format_named
from config.outbox import handles
from marketplace.extension import Change, listen
from marketplace.models import Program
from quotas.models import Deal, DealAction, DealShare, ImportOutcome, PlanVersion, SalesImport
from quotas.services import (  # noqa: F401 -- their steps register themselves with the jobs
    auditing,
    discrepancies,
    disputes,
    ending,
    exporting,
    keeping,
    recredit,
    reminding,
    sealing,
    simulating,
)
from quotas.services import closing as _closing  # noqa: F401 -- like these
from quotas.services import statements as statement_services
from quotas.services.approving import Approvers, waits
from quotas.services.importing.desk import forget_files
from quotas.services.importing.records import waiting_by_approver

BOARDS_AT_A_TIME = 20  # seconds

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
    """Check the seals, the closes and every invariant of the ledger; say loudly, and to whom it concerns, what does not hold."""
    found = sealing.verify()
    auditing.keep(found, at=clock.now())
    for sentence in found.wrong:
        log.error("the ledger does not hold: %s", sentence)
    if not found.holds:
        sealing.tell_of_a_break(found, at=clock.now())


@shared_task(name="quotas.seal_night", acks_late=True)
def seal_night(**_newer: object) -> None:
    """Seal what was posted, once a day. It is asked for every quarter of an hour, so that a night missed is caught up with."""
    sealing.seal_night(at=clock.now())


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
def recredit_what_the_catalog_says_anew(change: Change, at: datetime) -> None:
    """A fact of an offering that conditions of rules look at is another now, for what was credited too."""
    if change.kind == "offering":
        recredit.follow_catalog(change=change, at=at)


@listen
def tell_the_owners_of_open_deals(change: Change, at: datetime) -> None:
    """An offering has begun to end: whoever has an open deal on it hears of it, with what may still be sold and what instead."""
    if change.kind == "lifecycle" and change.offering_ids:
        ending.tell_owners(offering_ids=change.offering_ids, on=change.first_day, at=at)


@handles("quotas.deal_submitted")
def tell_the_approvers(payload: dict[str, Any], at: datetime) -> None:
    """A deal or an amendment waits for a decision, or for the second of two: tell those who may decide."""
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
    first = User.objects.filter(pk=payload["first_by"]).first() if "first_by" in payload else None
    if first is not None:
        what = f"{first.name} approved {deal.reference} first: it waits for a second approver,"
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


@handles("quotas.statements_issued")
def tell_of_statements(payload: dict[str, Any], at: datetime) -> None:
    """A month was closed: each rep with a log-in hears that the statement is ready. While the close still runs it is tried again."""
    statement_services.tell_reps(close_id=payload["close_id"], at=at)


@handles("quotas.statements_reminded")
def remind_of_statements(payload: dict[str, Any], at: datetime) -> None:
    """Somebody asks those who have not acknowledged to do so."""
    statement_services.tell_reminded(
        close_id=payload["close_id"],
        by=User.objects.get(pk=payload["by"]),
        on=date.fromisoformat(payload["on"]),
        at=at,
    )


@handles("quotas.plan_acceptance_asked")
def ask_for_acceptance(payload: dict[str, Any], at: datetime) -> None:
    """A comp admin asks those who have a plan version and have not accepted it to read it."""
    statement_services.tell_asked(
        version_id=payload["plan_version_id"], on=date.fromisoformat(payload["on"]), at=at
    )


@shared_task(name="quotas.remind_approvers", acks_late=True)
def remind_approvers(**_newer: object) -> None:
    """Remind of what waits too long, once a business day. It is asked for every quarter of an hour, so that a morning missed is caught up with."""
    at = clock.now()
    if at.astimezone(ZoneInfo(settings.TIME_ZONE)).hour >= settings.APPROVAL_REMINDER_HOUR:
        reminding.remind(
            at=at,
            after=settings.APPROVAL_REMINDER_DAYS,
            escalate_after=settings.APPROVAL_ESCALATION_DAYS,
        )


@shared_task(name="quotas.keep_boards", acks_late=True)
def keep_boards(**_newer: object) -> None:
    """Work large boards out that are looked at, or that many will look at, and that something has changed on.

    It is asked for every minute, and by whoever finds nothing kept: what somebody waits for comes before the rest of them.
    """
    keeping.forget(at=clock.now())
    keeping.foresee(at=clock.now())
    tried: set[int] = set()
    began = monotonic()
    while left := [board for board in keeping.due(at=clock.now()) if board not in tried]:
        if monotonic() - began > BOARDS_AT_A_TIME:
            return  # others have work for this worker too; the rest comes with the next minute
        tried.add(left[0])
        try:
            keeping.keep(board_id=left[0], at=clock.now())
        except DatabaseError:  # one that takes too long must not stand in the way of the others
            log.exception("board %s could not be worked out", left[0])


@shared_task(name="quotas.forget_import_files", acks_late=True)
def forget_import_files(**_newer: object) -> None:
    """What a file said stays in its report and in the deals; the file itself is not kept for ever."""
    forget_files(before=clock.now() - FILES_KEPT)


@handles(discrepancies.MOVED)
def look_at_what_moved(payload: dict[str, Any], at: datetime) -> None:
    """A posting may have moved numbers that people had been shown: write down which, and tell them."""
    discrepancies.look(payload, at)


@shared_task(name="quotas.remind_of_disputes", acks_late=True)
def remind_of_disputes(**_newer: object) -> None:
    """Whoever owes an answer that is due hears of it once."""
    disputes.remind(at=clock.now())
