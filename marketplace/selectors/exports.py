"""The lists of the catalog as tables to be written to a file. Each takes the rows that somebody may see, filtered as the page has them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, Final

from django.db.models import F, QuerySet

from config.exports import Column, Table
from config.slices import in_slices
from marketplace.models import (
    CatalogChange,
    CatalogImport,
    Discrepancy,
    EligibilityDecision,
    Offering,
    PriceVersion,
    PrivateOffer,
    Program,
    RowOutcome,
    StagedRow,
)
from marketplace.selectors import imports
from marketplace.selectors.changes import KINDS
from marketplace.selectors.decisions import about, state_of
from marketplace.selectors.eligibility import ONE, bulk_treatments
from marketplace.selectors.evidence import Result, TaskEvidence
from marketplace.selectors.prices import METERS, headline, row_text

SLICE: Final = 500


def offerings(found: QuerySet[Offering], order: Sequence[str], on: date) -> Table:
    """A row an offering, as it is on a day. 2 queries a slice; publisher and index are read with it."""
    columns = [
        Column("offering", "Offering"),
        Column("sku", "SKU"),
        Column("publisher", "Publisher"),
        Column("origin", "Origin"),
        Column("kind", "Kind"),
        Column("family", "Family"),
        Column("commercial_path", "Sold"),
        Column("lifecycle", "Lifecycle", key="lifecycle"),
        Column("available_on", "Available from", "date", key="lifecycle"),
        Column("retires_on", "Retires on", "date", key="lifecycle"),
        Column("context_tokens", "Context, tokens", "whole", key="window"),
        Column("input_price_usd", "Input, USD per million tokens", "number", key="price"),
        Column("output_price_usd", "Output, USD per million tokens", "number", key="price"),
        *(
            Column(f"{program.value}_percent", f"{program.label} %", "percent", key="treatment")
            for program in Program
        ),
    ]
    read = found.annotate(
        window=F("index__context"),
        in_usd=headline("input-tokens", on),
        out_usd=headline("output-tokens", on),
    ).select_related("publisher")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, order, SLICE):
            treated = bulk_treatments(page, on)
            for each in page:
                rates = treated[each.pk]
                yield (
                    each.name,
                    each.slug,
                    each.publisher.name,
                    each.publisher.get_origin_display(),
                    each.get_kind_display(),
                    each.family,
                    each.get_commercial_path_display(),
                    str(each.lifecycle_on(on).label),
                    each.available_on,
                    each.retires_on,
                    each.window,
                    _short(each.in_usd),
                    _short(each.out_usd),
                    *(_of_a_million(rates[program].rate_ppm) for program in Program),
                )

    return Table(columns, rows)


def prices(found: QuerySet[PriceVersion]) -> Table:
    """A row a line of a list price, corrected ones too: what was quoted stays to be seen. 2 queries a slice."""
    columns = [
        Column("sku", "SKU"),
        Column("offering", "Offering"),
        Column("plan", "Plan"),
        Column("market", "Market"),
        Column("meter", "Meter"),
        Column("amount", "Price", "number"),
        Column("currency", "Currency"),
        Column("per", "Per", "whole"),
        Column("unit", "Unit"),
        Column("tier_from", "From unit", "whole"),
        Column("above_context", "Requests above, tokens", "whole"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("source", "Source"),
        Column("recorded_at", "Recorded", "instant"),
        Column("superseded_at", "Corrected", "instant"),
    ]
    read = found.select_related("plan__offering").prefetch_related("rows")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, ("plan__offering__name", "plan__position", "plan_id", "id"), SLICE):
            for version in page:
                plan, span = version.plan, version.effective
                for row in sorted(version.rows.all(), key=lambda r: r.pk):
                    yield (
                        plan.offering.slug,
                        plan.offering.name,
                        plan.name,
                        version.market,
                        METERS.get(row.meter, row.meter.replace("-", " ")),
                        _short(row.amount),
                        version.currency_id,
                        row.per,
                        row.unit,
                        row.tier_from,
                        row.above_context,
                        span.lower,
                        span.upper,
                        version.source,
                        version.recorded_at,
                        version.superseded_at,
                    )

    return Table(columns, rows)


def decisions(found: QuerySet[EligibilityDecision], on: date, *, people: bool) -> Table:
    """A row a decision. people: whether its reader may know who made and who checked it."""
    columns = [
        Column("number", "Decision", "whole"),
        Column("program", "Program"),
        Column("scope", "Decided for a"),
        Column("about", "Decided for"),
        Column("rate_percent", "Counts %", "percent"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("state", "State"),
        Column("reason", "Reason"),
        Column("evidence", "Evidence"),
        Column("assumed", "Assumed", "flag"),
    ]
    if people:
        columns += [
            Column("made_by", "Made by"),
            Column("made_at", "Made", "instant"),
            Column("checked_by", "Checked by"),
            Column("checked_at", "Checked", "instant"),
        ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("-id",), SLICE):
            for each in page:
                row = (
                    each.pk,
                    each.get_program_display(),
                    each.get_level_display(),
                    about(each),
                    _of_a_million(each.rate_ppm),
                    each.effective.lower,
                    each.effective.upper,
                    str(state_of(each, on).label),
                    each.reason,
                    each.evidence,
                    each.assumed,
                )
                by = (each.made_by.name, each.made_at, each.checked_by and each.checked_by.name)
                yield (*row, *by, each.checked_at) if people else row

    return Table(columns, rows)


def private_offers(found: QuerySet[PrivateOffer], *, customers: bool) -> Table:
    """A row an offer, with its price in words. customers: whether its reader may know for whom it is."""
    columns = [
        Column("offer", "Offer"),
        *([Column("customer", "Customer")] if customers else []),
        Column("offering", "Offering"),
        Column("publisher", "Publisher"),
        Column("plan", "Plan"),
        Column("price", "Price"),
        Column("starts", "From", "date"),
        Column("ends", "To before", "date"),
        Column("open_until", "Open until", "date"),
        Column("state", "State"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found.order_by(), ("-id",), SLICE):
            for each in page:
                plan = each.plan
                yield (
                    each.reference,
                    *([each.customer.name] if customers else []),
                    plan.offering.name,
                    plan.offering.publisher.name,
                    plan.name,
                    "; ".join(row_text(row, each.price) for row in each.price.rows.all()),
                    each.effective.lower,
                    each.effective.upper,
                    each.open_until,
                    each.get_state_display(),
                )

    return Table(columns, rows)


def changes(found: QuerySet[CatalogChange]) -> Table:
    """A row a change, the latest first."""
    columns = [
        Column("number", "Number", "whole"),
        Column("at", "Made", "instant"),
        Column("first_day", "From", "date"),
        Column("kind", "Kind"),
        Column("what", "What changed"),
        Column("offering", "Offering"),
        Column("publisher", "Publisher"),
    ]
    read = found.select_related("offering", "publisher")

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(read, ("-at", "-number")):
            for each in page:
                yield (
                    each.number,
                    each.at,
                    each.first_day,
                    KINDS.get(each.kind, each.kind),
                    each.what,
                    each.offering.name if each.offering else "",
                    each.publisher.name if each.publisher else "",
                )

    return Table(columns, rows)


def evaluations(known: TaskEvidence) -> Table:
    """A row a result of one task, ranking by ranking, best first; then what stands alone and what gives no figures."""
    columns = [
        Column("ranking", "Ranking"),
        Column("place", "Place", "whole"),
        Column("of", "Of", "whole"),
        Column("model", "Model"),
        Column("sold_as", "Sold as"),
        Column("metric", "Metric"),
        Column("score", "Score", "number"),
        Column("interval_low", "Interval from", "number"),
        Column("interval_high", "Interval to", "number"),
        Column("sample_size", "Cases", "whole"),
        Column("harness", "Harness"),
        Column("variant", "Variant"),
        Column("finding", "Finding"),
        Column("dated", "Dated", "date"),
        Column("evaluator", "Evaluator"),
        Column("source", "Source"),
        Column("synthetic", "Synthetic", "flag"),
    ]

    def told(title: str, result: Result) -> Sequence[Any]:
        each, interval = result.evaluation, result.interval
        sold = known.sold_as.get(each.model_version_id or 0, [])
        return (
            title,
            result.place if result.of > 1 else None,
            result.of,
            each.subject,
            "; ".join(offering.name for offering in sold),
            each.metric,
            _short(each.score),
            _short(interval.low) if interval else None,
            _short(interval.high) if interval else None,
            each.sample_size,
            each.harness,
            each.variant,
            "",
            each.dated,
            each.evaluator,
            each.source,
            each.synthetic,
        )

    def rows() -> Iterator[Sequence[Any]]:
        for ranking in (*known.rankings, *known.others):
            for result in ranking.in_order:
                yield told(f"{ranking.key.title}, {ranking.key.conditions}", result)
        for result in known.alone:
            yield told(result.evaluation.benchmark, result)
        for finding in known.findings:
            each = finding.evaluation
            sold = known.sold_as.get(each.model_version_id or 0, [])
            yield (
                *(each.benchmark, None, None, each.subject, "; ".join(o.name for o in sold), each.metric),
                *(None, None, None, each.sample_size, each.harness, each.variant, each.finding),
                *(each.dated, each.evaluator, each.source, each.synthetic),
            )

    return Table(columns, rows)


def import_runs(found: QuerySet[CatalogImport]) -> Table:
    """A row an import, the latest first, with its counts by outcome."""
    columns = [
        Column("import", "Import", "whole"),
        Column("source", "Source"),
        Column("file", "File"),
        Column("stated_on", "As of", "date"),
        Column("asked_by", "Asked by"),
        Column("asked_at", "Asked", "instant"),
        Column("state", "State"),
        Column("rows", "Rows", "whole"),
        *(Column(outcome.value, imports.SHORT[outcome], "whole") for outcome in imports.ORDER),
        Column("problem", "Problem"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("-id",)):
            for run in page:
                yield (
                    run.pk,
                    run.get_source_display(),
                    run.file_name,
                    run.stated_on,
                    run.requested_by.name,
                    run.requested_at,
                    run.get_state_display(),
                    run.rows,
                    *(run.counts.get(outcome.value, 0) for outcome in imports.ORDER),
                    run.problem,
                )

    return Table(columns, rows)


def import_rows(found: QuerySet[StagedRow]) -> Table:
    """The report of one import: a row a row of the source, each with the original as the file had it."""
    columns = [
        Column("row", "Row", "whole"),
        Column("provider", "Provider"),
        Column("key", "Key"),
        Column("outcome", "Outcome"),
        Column("reason", "Reason"),
        Column("message", "Message"),
        Column("proposes", "Proposes"),
        Column("change_set", "Change set"),
        Column("original", "Original"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for page in in_slices(found, ("number",), SLICE):
            for row in page:
                yield (
                    row.number,
                    row.provider,
                    row.key,
                    RowOutcome(row.outcome).label,
                    row.code,
                    row.message,
                    imports.proposes(row),
                    f"CS-{row.change_set_id}" if row.change_set_id else "",
                    json.dumps(row.original, ensure_ascii=False),
                )

    return Table(columns, rows)


def discrepancies(found: Iterable[Discrepancy]) -> Table:
    """A row a disagreement, in the order given."""
    columns = [
        Column("number", "Number", "whole"),
        Column("offering", "Offering"),
        Column("sku", "SKU"),
        Column("plan", "Plan"),
        Column("field", "Field"),
        Column("ours", "Ours"),
        Column("ours_from", "Ours is from"),
        Column("theirs", "Theirs"),
        Column("theirs_from", "Theirs is from"),
        Column("difference_percent", "Difference %", "percent"),
        Column("state", "State"),
        Column("found_at", "Found", "instant"),
        Column("decided_by", "Decided by"),
        Column("decided_at", "Decided", "instant"),
        Column("reason", "Reason"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in found:
            yield (
                each.pk,
                each.offering.name,
                each.offering.slug,
                each.plan.name if each.plan else "",
                each.field,
                each.ours,
                each.ours_from,
                each.theirs,
                each.theirs_from,
                _of_a_million(each.difference_ppm),
                each.get_state_display(),
                each.found_at,
                each.decided_by.name if each.decided_by else "",
                each.decided_at,
                each.reason,
            )

    return Table(columns, rows)


def _of_a_million(ppm: int | None) -> Fraction | None:
    return None if ppm is None else Fraction(ppm, ONE)


def _short(value: Any) -> Any:
    """Without the zeros with which a column of the database fills up; 0 stays 0."""
    return None if value is None else value.normalize() + 0
