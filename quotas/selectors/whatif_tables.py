"""What previews, questions and gaps found, as tables to be written to a file."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from config.exports import Column, Table
from config.models import Job
from config.slices import in_slices
from quotas.models import PlanVersion
from quotas.selectors import impact
from quotas.selectors.exports import SHARED, of_measure, plan_impact
from quotas.selectors.gap import GapPlan

EVERYTHING = "everything"


def differences(run: Job, by: str, *, names: PlanVersion | None = None) -> Table:
    """A row whatever would move, by one of impact.BYS, or by all of them one after the other. At most 4 queries each."""
    if by == impact.REPS:
        return plan_impact(run)
    columns = [
        Column("measure", "Measure"),
        *([Column("by", "By")] if by == EVERYTHING else []),
        Column("name", "Name"),
        Column("slug", "Slug"),
        Column("of", "Of"),
        Column("before", "Before", "money", SHARED),
        Column("after", "After", "money", SHARED),
        Column("change", "Change", "money", SHARED),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in impact.BYS if by == EVERYTHING else [by]:
            kind = [impact.BYS[each]] if by == EVERYTHING else []
            for measure, movers in impact.taken_apart(run, each, names=names):
                amount = of_measure(measure)
                for mover in movers:
                    yield (
                        *(measure.name, *kind, mover.name, mover.slug, mover.detail),
                        *(amount(mover.before), amount(mover.after), amount(mover.change)),
                    )

    return Table(columns, rows)


def runs(found: QuerySet[Job]) -> Table:
    """A row a preview, the latest first."""
    columns = [
        Column("run", "Run", "whole"),
        Column("version", "Plan version"),
        Column("starts", "Credit dates from", "date"),
        Column("ends", "To before", "date"),
        Column("asked_by", "Asked by"),
        Column("asked_at", "Asked", "instant"),
        Column("finished_at", "Finished", "instant"),
        Column("state", "State"),
        Column("outcome", "Outcome"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("-id",)):
            for run in impact.told(page):
                job = run.job
                yield (
                    *(job.pk, str(run.version or ""), run.starts, run.last + timedelta(days=1)),
                    *(job.requested_by.name if job.requested_by else "Parity", job.requested_at),
                    *(job.finished_at, job.get_state_display(), run.outcome),
                )

    return Table(columns, rows)


def side_by_side(one: Job, other: Job, by: str) -> Table:
    """A row whatever moves under either of two drafts, whatever differs most first."""
    columns = [
        Column("measure", "Measure"),
        Column("name", impact.BYS[by]),
        Column("of", "Of"),
        Column("first", "Change under the first", "money", SHARED),
        Column("second", "Change under the second", "money", SHARED),
        Column("apart", "Second less first", "money", SHARED),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in impact.side_by_side(one, other, by):
            amount = of_measure(each.measure)
            for pair in each.pairs:
                yield (
                    *(each.measure.name, pair.name, pair.detail),
                    *(amount(pair.one), amount(pair.other), amount(pair.apart)),
                )

    return Table(columns, rows)


def gap(plan: GapPlan) -> Table:
    """A row an open deal, in the order in which they close the gap."""
    columns = [
        Column("place", "Place", "whole"),
        Column("deal", "Deal"),
        Column("customer", "Customer"),
        Column("state", "State"),
        Column("close_date", "Close date", "date"),
        Column("credit", "Credit", "money", SHARED),
        Column("running", "Credited with it", "money", SHARED),
        Column("left", "Left of the gap", "money", SHARED),
    ]
    amount = of_measure(plan.measure)

    def rows() -> Iterator[Sequence[Any]]:
        for place, step in enumerate(plan.steps, start=1):
            yield (
                *(place, step.open.reference, step.open.deal.customer.name, step.open.state),
                *(step.open.close_date, amount(step.open.credit_minor)),
                *(amount(step.running_minor), amount(step.left_minor)),
            )

    return Table(columns, rows)
