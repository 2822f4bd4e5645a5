"""Disputes, adjustments and numbers that moved, as files."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from config.exports import Column, Table
from config.slices import in_slices
from quotas.models import Adjustment, Discrepancy, Dispute
from quotas.selectors import adjustments as adjusting
from quotas.selectors import discrepancies as moved
from quotas.selectors.disputes import clock_of, with_names
from quotas.selectors.exports import SHARED, measures, of_measure


def disputes(found: QuerySet[Dispute], *, at: datetime, order: Sequence[str] = ("-id",)) -> Table:
    """A row a dispute, in the order of the list."""
    columns = [
        Column("dispute", "Dispute"),
        Column("kind", "What is wrong"),
        Column("state", "State"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("deal", "Deal", key="about"),
        Column("customer", "Customer", key="about"),
        Column("entry", "Entry", "whole", key="about"),
        Column("period", "Period", key="about"),
        Column("measure", "Measure", key="about"),
        Column("claimed", "Claimed", "money", SHARED, key="claimed"),
        Column("text", "Said"),
        Column("opened_by", "Opened by", key="opened"),
        Column("opened_at", "Opened", "instant", key="opened"),
        Column("due_at", "Answer due", "instant"),
        Column("clock", "Clock"),
        Column("assigned_to", "Looked into by", key="by"),
        Column("resolved_by", "Answered by"),
        Column("resolved_at", "Answered", "instant"),
        Column("resolution", "Answer"),
        Column("evidence_digest", "SHA-256 of the evidence"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        write = {m.pk: of_measure(m) for m in measures()}
        for page in in_slices(with_names(found), order):
            for each in page:
                yield (
                    *(each.reference, each.get_kind_display(), each.get_state_display()),
                    *(each.rep.name, each.rep.slug),
                    each.deal.reference if each.deal else None,
                    each.deal.customer.name if each.deal else None,
                    each.entry_id,
                    each.period.name if each.period else None,
                    each.measure.name if each.measure else None,
                    write[each.measure.pk](each.claimed_minor) if each.measure else None,
                    *(each.text, each.opened_by.name, each.opened_at, each.due_at, clock_of(each, at).words),
                    each.assigned_to.name if each.assigned_to else None,
                    each.resolved_by.name if each.resolved_by else None,
                    *(each.resolved_at, each.resolution, each.evidence_digest),
                )

    return Table(columns, rows)


def adjustments(found: QuerySet[Adjustment]) -> Table:
    """A row an adjustment, the latest first."""
    columns = [
        Column("adjustment", "Adjustment"),
        Column("state", "State"),
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("team", "Team"),
        Column("measure", "Measure"),
        Column("amount", "Amount", "money", SHARED),
        Column("credit_date", "Credit date", "date"),
        Column("origin_period", "Origin period"),
        Column("reason", "Reason"),
        Column("note", "Note"),
        Column("deal", "Deal"),
        Column("dispute", "Dispute"),
        Column("undoes", "Undoes"),
        Column("asked_by", "Asked by"),
        Column("asked_at", "Asked", "instant"),
        Column("decided_by", "Decided by"),
        Column("decided_at", "Decided", "instant"),
        Column("decision_note", "Note of the decision"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        write = {m.pk: of_measure(m) for m in measures()}
        for page in in_slices(adjusting.with_people(found), ("-id",)):
            for each in page:
                yield (
                    *(each.reference, each.get_state_display(), each.rep.name, each.rep.slug, each.team.name),
                    *(each.measure.name, write[each.measure.pk](each.amount_minor), each.credit_date),
                    *(each.origin_period.name, each.get_reason_code_display(), each.note),
                    each.deal.reference if each.deal else None,
                    each.dispute.reference if each.dispute else None,
                    each.undoes.reference if each.undoes else None,
                    *(each.asked_by.name, each.asked_at),
                    each.decided_by.name if each.decided_by else None,
                    *(each.decided_at, each.decision_note),
                )

    return Table(columns, rows)


def discrepancies(found: QuerySet[Discrepancy], *, order: Sequence[str] = ("-id",)) -> Table:
    """A row a number that moved, in the order of the list."""
    columns = [
        Column("rep", "Rep", key="rep"),
        Column("rep_slug", "Slug of the rep", key="rep"),
        Column("measure", "Measure"),
        Column("period", "Period"),
        Column("shown", "Shown", "money", SHARED, key="shown"),
        Column("now", "Now", "money", SHARED, key="now"),
        Column("change", "Change", "money", SHARED, key="change"),
        Column("cause", "Cause"),
        Column("reason", "Reason"),
        Column("posting", "Posting", "whole"),
        Column("posted_at", "Posted", "instant"),
        Column("seen_by", "Seen by"),
        Column("seen_at", "Seen", "instant"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        write = {m.pk: of_measure(m) for m in measures()}
        for page in in_slices(moved.with_names(found), order):
            for each in page:
                amount = write[each.measure.pk]
                yield (
                    *(each.rep.name, each.rep.slug, each.measure.name, each.period.name),
                    *(amount(each.shown_minor), amount(each.now_minor)),
                    amount(each.now_minor - each.shown_minor),
                    *(moved.cause_of(each.posting).text, each.posting.reason, each.posting_id),
                    each.posting.recorded_at,
                    each.seen_by.name if each.seen_by else None,
                    each.seen_at,
                )

    return Table(columns, rows)
