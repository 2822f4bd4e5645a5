"""What a source last said of each deal, kept beside the deals; and what an import has still to do with them after the reading."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import F, Q

from accounts.models import User
from config import bulk
from config.clock import day_of
from config.refusals import Refusal
from quotas.crediting import engine
from quotas.importers.tables import Unreadable
from quotas.importers.values import scaled
from quotas.models import (
    ENDED,
    Deal,
    DealState,
    ImportOutcome,
    ImportRow,
    SalesImport,
    SourceRecord,
    SourceState,
    SourceTodo,
    StraightThroughPolicy,
)
from quotas.selectors.approvers import Approvers, above_the_limit
from quotas.services import policies
from quotas.services.approving import approve_deals, cancel_deal
from quotas.services.booking import DealDraft, by_hand, drafts_of
from quotas.services.importing.context import SEEN, Context
from quotas.services.importing.naming import Names
from quotas.services.importing.sales import Sale

APPROVED_AT_ONCE: Final = 2_000
CANCELLED_AT_ONCE: Final = 100
MOST_TOLD: Final = 5_000
FEW_GONE: Final = 20  # so many may go whatever their share
LARGEST_SAID: Final = 2**62  # what a source says may be beyond what Parity takes, and is kept all the same

STATE_OF: Final = {
    "approved": SourceState.WON,
    "submitted": SourceState.WON,
    "draft": SourceState.OPEN,
    "cancelled": SourceState.LOST,
    "skip": SourceState.OPEN,
}
_RECORD: Final = {
    "source": "text",
    "external_id": "text",
    "deal_id": "bigint",
    "digest": "bytea",
    "version": "text",
    "state": "text",
    "owner_id": "bigint",
    "owner_name": "text",
    "customer_name": "text",
    "close_date": "date",
    "currency": "text",
    "amount_minor": "bigint",
    "todo": "text",
    "code": "text",
    "message": "text",
    "run_id": "bigint",
    "line": "bigint",
    "seen_at": "timestamptz",
}


def remember(context: Context, sales: Sequence[Sale], *, names: Names, exponents: Mapping[str, int]) -> None:
    """Keep what the source says of each. 2 statements at most; imports of one source follow each other.

    exponents  Currency to the number of its decimals.
    """
    new = [sale for sale in sales if sale.record is None]
    known = [sale for sale in sales if sale.record is not None]
    if new:
        bulk.copy(SourceRecord, list(_RECORD), (_said(context, sale, names, exponents) for sale in new))
    if known:
        columns = zip(*(_said(context, sale, names, exponents) for sale in known), strict=True)
        bulk.update(
            SourceRecord,
            [sale.record.pk for sale in known if sale.record is not None],
            {
                name: (kind, list(values))
                for (name, kind), values in zip(_RECORD.items(), columns, strict=True)
            },
        )


def _said(context: Context, sale: Sale, names: Names, exponents: Mapping[str, int]) -> tuple[Any, ...]:
    values, problem = sale.first, sale.problem
    owner = names.owner(values["owner"]) if values.get("owner") else None
    day = values.get("close_date")
    return (
        context.mapping.source,
        sale.external_id,
        sale.deal_id,
        sale.digest,
        sale.version,
        str(STATE_OF.get(sale.stage, SourceState.OPEN)),
        owner if isinstance(owner, int) else None,
        str(values.get("owner") or "")[:150],
        str(values.get("account") or "")[:160],
        day if isinstance(day, date) else None,
        str(values.get("currency") or "")[:3],
        _amount(sale, exponents.get(values.get("currency") or "", 2)),
        str(sale.todo),
        problem.code[:60] if problem is not None else "",
        problem.message[:500] if problem is not None else "",
        context.run.pk,
        sale.rows[0].line,
        context.at,
    )


def _amount(sale: Sale, exponent: int) -> int | None:
    amounts = [row.values.get("amount") for row in sale.rows]
    known = [amount for amount in amounts if isinstance(amount, Decimal)]
    if not known:
        return None
    together = scaled(sum(known, Decimal(0)), exponent)
    return together if abs(together) < LARGEST_SAID else None


def note_gone(context: Context, *, theirs: Collection[int] | None = None) -> int:
    """Note what the source had and this full snapshot of it has not, to be cancelled. 3 statements; returns how many.

    theirs   Owners whose deals a manager's file can be a snapshot of; None is everybody.
    Raises   Unreadable where so many are gone, or so few rows can be told apart, that the file is no snapshot.
    """
    source = context.mapping.source
    if not context.read or context.without_id:
        raise Unreadable(
            "not_a_full_snapshot",
            f"{context.without_id:,} rows have no id that can be read, so nobody can tell what is gone. Mend them, or import the file without cancelling what is gone."
            if context.read
            else "There is no row below the head of this file.",
        )
    # What was gone before and still stands here, because its cancellation was stopped or refused, is gone still.
    known = SourceRecord.objects.filter(
        source=source, state__in=[SourceState.WON, SourceState.OPEN, SourceState.GONE], deal__isnull=False
    ).exclude(deal__state__in=ENDED)
    if theirs is not None:
        known = known.filter(deal__owner__in=theirs)
    # On a dry run nothing was remembered: what came is known by the ids that were seen.
    gone = known.extra(  # noqa: S610 -- a name of ours
        where=[f"NOT EXISTS (SELECT FROM {SEEN} s WHERE s.key = quotas_sourcerecord.external_id)"]
    )
    missing, whole = gone.count(), known.count()
    if missing > FEW_GONE and missing * 2 > whole:
        raise Unreadable(
            "not_a_full_snapshot",
            f"{missing:,} of the {whole:,} deals known from {source} are not in this file: it is not all that the source has. Import it without cancelling what is gone.",
        )
    if not context.dry_run:
        gone.update(
            state=SourceState.GONE,
            todo=SourceTodo.CANCEL,
            code="",
            message="",
            run=context.run,
            seen_at=context.at,
        )
    return missing


# --- what follows the reading --------------------------------------------------------------------------------


def drop_leftovers(run: SalesImport) -> None:
    """What this import had still to do when it was stopped: the new reading says anew what there is to do. 1 statement."""
    SourceRecord.objects.filter(run=run).exclude(todo="").update(todo="")


def left_to_do(run: SalesImport) -> int:
    """Deals of this import that are still to be approved or cancelled."""
    return SourceRecord.objects.filter(run=run).exclude(todo="").count()


def do_some(run: SalesImport, *, by: User, at: datetime) -> int:
    """Cancel, then approve, some of what the reading noted; in the caller's transaction. Returns how many are done with.

    Refunds are cancelled before what they refund. A deal that people have changed since the reading is left to its approver.
    """
    todo = SourceRecord.objects.filter(run=run).order_by("pk")
    refunds_first = F("deal__latest_version__refunds").asc(nulls_last=True)
    gone = list(
        todo.filter(todo=SourceTodo.CANCEL)
        .select_related("deal")
        .order_by(refunds_first, "pk")[:CANCELLED_AT_ONCE]
    )
    if gone:
        for record in gone:
            _cancel(record, run, by, at)
        return len(gone)
    waiting = list(todo.filter(todo=SourceTodo.APPROVE).values_list("pk", "deal_id")[:APPROVED_AT_ONCE])
    ids = [deal_id for _, deal_id in waiting]
    policy = policies.in_force(run.options.get("policy", ""))
    engine.lock(engine.ByDeal(ids))
    still = [
        deal
        for deal in Deal.objects.filter(bulk.any_of("pk", ids))
        .filter(Q(state=DealState.SUBMITTED) | Q(amended_at__isnull=False))
        .select_related("latest_version")
        .order_by("pk")
        if not by_hand(deal.latest, deal.source)
    ]
    if policy is not None and (now := _let_through(still, policy, day_of(at))):
        approve_deals(deal_ids=now, by=by, at=at, under=policy, reason=run.reference)
    SourceRecord.objects.filter(pk__in=[pk for pk, _ in waiting]).update(todo="")
    return len(waiting)


def why_waits(policy: StraightThroughPolicy, draft: DealDraft, *, today: date) -> str:
    """Why a draft waits for its approver in spite of the policy, as a sentence; nothing where the policy approves it. No query."""
    return policies.why_not(
        policy,
        source=draft.source,
        amount_minor=sum(line.amount_minor for line in draft.lines),
        currency=draft.currency,
        close_date=draft.close_date,
        today=today,
        alone=len(draft.shares) == 1 and draft.shares[0].rep_id == draft.owner_id,
    )


def _let_through(deals: Sequence[Deal], policy: StraightThroughPolicy, today: date) -> list[int]:
    """Those that the policy approves as it is now: another version of it, or another limit, may be in force than at the reading. 3 queries."""
    large = above_the_limit([deal.pk for deal in deals])
    return [
        deal.pk
        for deal, draft in zip(deals, drafts_of(deals), strict=True)
        if deal.pk not in large and not why_waits(policy, draft, today=today)
    ]


def _cancel(record: SourceRecord, run: SalesImport, by: User, at: datetime) -> None:
    deal = record.deal
    record.todo = ""
    if deal is not None and deal.state not in ENDED:
        said = "is not in its file any more" if record.state == SourceState.GONE else "is lost there"
        try:
            cancel_deal(
                deal_id=deal.pk,
                by=by,
                at=at,
                reason=f"{record.source}: {record.external_id} {said} ({run.reference})",
            )
        except Refusal as refusal:
            problem = refusal.problems[0]
            record.code, record.message = problem.code[:60], problem.message[:500]
            _say_refused(record, run)
    record.save(update_fields=["todo", "code", "message"])


def _say_refused(record: SourceRecord, run: SalesImport) -> None:
    """A cancellation that was counted on did not happen: the counts and the report say so. Saved with the run's last step."""
    if record.state == SourceState.LOST:
        run.counts[ImportOutcome.CANCELLED] -= 1
        run.counts[ImportOutcome.REFUSED] = run.counts.get(ImportOutcome.REFUSED, 0) + 1
    else:
        run.reasons["gone_from_source"] -= 1
    run.reasons[record.code] = run.reasons.get(record.code, 0) + 1
    run.save(update_fields=["counts", "reasons"])
    ImportRow.objects.create(
        run=run,
        line=record.line if record.state == SourceState.LOST else 0,
        external_id=record.external_id,
        outcome=ImportOutcome.REFUSED,
        code=record.code,
        message=record.message,
        cells=[record.external_id],
    )


def waiting_by_approver(run: SalesImport, on: date) -> Counter[int]:
    """Users to how many deals of this import they are to decide on. A fixed number of queries; of very many, the first are looked at."""
    waiting = list(
        Deal.objects.filter(pk__in=SourceRecord.objects.filter(run=run).values("deal"))
        .filter(Q(state=DealState.SUBMITTED) | Q(amended_at__isnull=False))
        .order_by("pk")[:MOST_TOLD]
    )
    approvers = Approvers(waiting, on)
    return Counter(user for deal in waiting for user in approvers.of(deal))
