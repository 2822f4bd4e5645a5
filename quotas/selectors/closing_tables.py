"""What closes froze, as tables to be written to a file."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from django.db import connection

from config.exports import Column, Table
from config.slices import in_slices
from quotas.models import Measure, Period, PeriodClose, Rep, Team, TotalBasis
from quotas.selectors import closing, snapshots
from quotas.selectors.exports import SHARED, of_measure

ROWS: Final = 5_000  # a slice


def frozen(close: PeriodClose) -> Table:
    """A row a total that a close froze: of its month, then of the quarter, half and year that hold it. 4 queries, and one a slice."""
    columns = [
        Column("period", "Period"),
        Column("measure", "Measure"),
        Column("basis", "Basis"),
        Column("team", "Team"),
        Column("team_slug", "Team slug"),
        Column("rep", "Rep"),
        Column("rep_slug", "Rep slug"),
        Column("direct", "Direct", "money", currency=SHARED),
        Column("overlay", "Overlay", "money", currency=SHARED),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        measures = {m.pk: m for m in Measure.objects.select_related("currency")}
        write = {pk: of_measure(measure) for pk, measure in measures.items()}
        teams = {team.pk: team for team in Team.objects.all()}
        periods = dict(
            Period.objects.filter(pk__in=snapshots.holding(close.period)).values_list("pk", "name")
        )
        for page in _pages(close):
            reps = Rep.objects.in_bulk({row[4] for row in page})
            for period, measure, basis, team, rep, direct, overlay in page:
                yield (
                    *(periods[period], measures[measure].name, TotalBasis(basis).label),
                    *(teams[team].name, teams[team].slug, reps[rep].name, reps[rep].slug),
                    *(write[measure](direct), write[measure](overlay)),
                )

    return Table(columns, rows)


def _pages(close: PeriodClose) -> Iterator[list[tuple[Any, ...]]]:
    """By key, a query each, so that no transaction stays open while a slow reader reads."""
    for period in snapshots.holding(close.period):
        after: tuple[int, ...] = (0, 0, 0, 0)
        while True:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT period_id, measure_id, basis, team_id, rep_id, direct_minor, overlay_minor FROM quotas_closedtotal"
                    " WHERE close_id = %s AND period_id = %s AND (measure_id, basis, team_id, rep_id) > (%s, %s, %s, %s)"
                    " ORDER BY measure_id, basis, team_id, rep_id LIMIT %s",
                    [close.pk, period, *after, ROWS],
                )
                page = cursor.fetchall()
            if page:
                yield page
            if len(page) < ROWS:
                break
            after = page[-1][1:5]


def closes() -> Table:
    """A row a close, the latest first."""
    columns = [
        Column("period", "Period"),
        Column("version", "Version", "whole"),
        Column("state", "State"),
        Column("asked_by", "Asked by"),
        Column("asked_at", "Asked at", "instant"),
        Column("approved_by", "Approved by"),
        Column("approved_at", "Approved at", "instant"),
        Column("ended_at", "Ended at", "instant"),
        Column("entries", "Entries", "whole"),
        Column("digest", "Digest"),
        Column("frozen", "Frozen"),
        Column("statements", "Statements"),
        Column("payments", "Payments"),
        Column("reopened_by", "Reopened by"),
        Column("reopened_at", "Reopened at", "instant"),
        Column("reopen_reason", "Why reopened"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(closing.closes().prefetch_related("seals").order_by(), ("-id",)):
            for each in page:
                seal = next(iter(each.seals.all()), None)
                yield (
                    *(each.period.name, each.version, each.get_state_display()),
                    *(each.asked_by.name, each.asked_at),
                    *(each.approved_by.name if each.approved_by else "", each.approved_at, each.ended_at),
                    *(each.entries, seal.digest if seal else ""),
                    *(each.frozen_digest, each.statements_digest, each.payments_digest),
                    *(
                        each.reopened_by.name if each.reopened_by else "",
                        each.reopened_at,
                        each.reopen_reason,
                    ),
                )

    return Table(columns, rows)
