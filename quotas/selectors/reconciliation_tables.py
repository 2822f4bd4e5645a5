"""The reconciliation as a file: by rep, or difference by difference with the reason of each."""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, Final

from accounts.models import User
from config.exports import Column, Table
from quotas.selectors.exports import SHARED, of_measure
from quotas.selectors.reconciliation import Reconciliation, all_told

_MONEY: Final = (
    Column("said", "The source says", "money", SHARED),
    Column("credited", "Credited", "money", SHARED),
    Column("difference", "Difference", "money", SHARED),
)


def by_rep(found: Reconciliation, *, only_differences: bool) -> Table:
    """A row a rep, the largest difference first."""
    columns = [
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        *_MONEY,
        Column("differ", "Deals that differ", "whole"),
        Column("agree", "Deals that agree", "whole"),
    ]
    amount = of_measure(found.measure)

    def rows() -> Iterator[Sequence[Any]]:
        for standing in found.standings:
            sums = standing.sums
            if sums.differ or not only_differences:
                yield (
                    *(standing.who.name, standing.who.slug),
                    *(amount(sums.said), amount(sums.credited), amount(sums.difference)),
                    *(sums.differ, sums.agree),
                )

    return Table(columns, rows)


def differences(found: Reconciliation, *, viewer: User, on: date) -> Table:
    """A row a deal and rep that differ, the largest difference first. A fixed number of queries a slice."""
    columns = [
        Column("rep", "Rep"),
        Column("rep_slug", "Slug of the rep"),
        Column("external_id", "External id"),
        Column("deal", "Deal"),
        Column("account", "Account"),
        *_MONEY,
        Column("reason", "Reason"),
        Column("explanation", "Explanation"),
        Column("source_state", "State in the source"),
        Column("source_owner", "Owner in the source"),
        Column("source_closed", "Closed in the source", "date"),
        Column("closed", "Closed here", "date"),
    ]
    amount = of_measure(found.measure)

    def rows() -> Iterator[Sequence[Any]]:
        for each in all_told(found, viewer=viewer, on=on):
            record, deal = each.record, each.deal
            external = (
                record.external_id if record is not None else deal.external_id if deal is not None else ""
            )
            yield (
                *(each.who.name, each.who.slug, external, deal.reference if deal is not None else ""),
                *(each.account, amount(each.said), amount(each.credited)),
                amount(each.difference),
                *(each.cause.label, each.sentence),
                record.get_state_display() if record is not None else "",
                record.owner_name if record is not None else "",
                record.close_date if record is not None else None,
                deal.in_force.close_date if deal is not None else None,
            )

    return Table(columns, rows)
