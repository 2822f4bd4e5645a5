"""Substitutions, the leverage sheet and the drill as tables to be written to a file. Whoever asks may read what is in them."""

from collections.abc import Iterator, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, Final

from django.db.models import QuerySet

from config.exports import Amount, Column, Table
from marketplace.models import Substitution
from marketplace.selectors.sourcing.costing import USD
from marketplace.selectors.sourcing.leverage import Drill, Supplier, minor
from marketplace.selectors.sourcing.substitution import Standings
from marketplace.selectors.sourcing.verdicts import Need

CENTS: Final = 2


def _money(cents: int | None) -> Amount | None:
    return None if cents is None else Amount(cents, USD, CENTS)


def substitutions(found: QuerySet[Substitution], on: date, *, prices: bool) -> Table:
    """A row a substitution with its verdicts as on a day. prices: whether its reader may know what things cost us."""
    needs = [need for need in Need if prices or need != Need.PRICE]
    columns = [
        Column("number", "Substitution", "whole"),
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("replaced", "Would be replaced"),
        Column("replaced_supplier", "Its supplier"),
        Column("alternative", "Alternative"),
        Column("alternative_supplier", "Supplier of the alternative"),
        Column("state", "State"),
        *(Column(need.value, need.value.capitalize()) for need in needs),
        *([Column("price_percent", "Price, more or less %", "percent")] if prices else []),
        Column("reason", "Reason"),
        Column("proposed_by", "Proposed by"),
        Column("proposed_at", "Proposed", "instant"),
        Column("decided_by", "Decided by"),
        Column("decided_at", "Decided", "instant"),
        Column("note", "Note of the decision"),
        Column("withdrawn_at", "Withdrawn", "instant"),
        Column("synthetic", "Made up for the demo", "flag"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        listed = list(found)
        sheet = Standings(
            on,
            {row.feature_id for row in listed},
            {pk for row in listed for pk in (row.replaced_id, row.alternative_id)},
        )
        for row in listed:
            verdicts = sheet.verdicts(row.feature_id, row.replaced_id, row.alternative_id)
            yield (
                row.pk,
                row.feature.product.name,
                row.feature.name,
                str(row.replaced),
                row.replaced.model.publisher.name,
                str(row.alternative),
                row.alternative.model.publisher.name,
                "Withdrawn" if row.superseded_at else row.get_state_display(),
                *(verdicts[need].word for need in needs),
                *([verdicts.change.ratio] if prices else []),
                row.reason,
                row.proposed_by.name if row.proposed_by is not None else "",
                row.proposed_at,
                row.decided_by.name if row.decided_by is not None else "",
                row.decided_at,
                row.decision_note,
                row.superseded_at,
                row.synthetic,
            )

    return Table(columns, rows)


def leverage(found: Sequence[Supplier]) -> Table:
    """A row a supplier."""
    columns = [
        Column("supplier", "Supplier"),
        Column("spent", "Spend, 12 months", "money", "Currency"),
        Column("unpriced", "Lines without a price", "whole"),
        Column("switchable", "Switchable", "money", "Currency of switchable"),
        Column("features", "Features that run on it", "whole"),
        Column("movable", "Covered without it", "whole"),
        Column("price_percent", "Best alternative price, more or less %", "percent"),
        Column("extra", "A month, more or less", "money", "Currency of a month"),
        Column("uncompared", "Covered without a price to compare", "whole"),
        Column("agreement", "Agreement"),
        Column("renews_on", "Renews on", "date"),
        Column("notice_by", "Notice by", "date"),
        Column("days", "Days to notice", "whole"),
        Column("synthetic", "Agreement made up for the demo", "flag"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in found:
            notice = each.notice
            yield (
                each.publisher.name,
                _money(each.spent),
                each.unpriced,
                _money(each.switchable),
                each.features,
                each.movable,
                each.ratio,
                _money(minor(each.extra)),
                each.uncompared,
                notice.agreement.name if notice is not None else "",
                notice.agreement.renews_on if notice is not None else None,
                notice.by if notice is not None else None,
                notice.days if notice is not None else None,
                notice.agreement.synthetic if notice is not None else None,
            )

    return Table(columns, rows)


def leverage_lines(found: Sequence[Supplier]) -> Table:
    """A row a version of a supplier in a feature."""
    columns = [
        Column("supplier", "Supplier"),
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("version", "Runs on"),
        Column("in_use", "In use today", "flag"),
        Column("spent", "Spend, 12 months", "money", "Currency"),
        Column("switchable", "Switchable", "money", "Currency of switchable"),
        Column("best", "Best alternative price"),
        Column("how", "By what it covers"),
        Column("now", "A month now", "money", "Currency of now"),
        Column("extra", "A month, more or less", "money", "Currency of a month"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for each in found:
            for line in each.lines:
                best = line.best
                yield (
                    each.publisher.name,
                    line.feature.product.name,
                    line.feature.name,
                    str(line.version),
                    line.exposure is not None,
                    _money(line.spent),
                    _money(line.switchable),
                    str(best.version) if best is not None else "",
                    best.how.value if best is not None else "",
                    _money(minor(line.now)),
                    _money(minor(line.extra)),
                )

    return Table(columns, rows)


def drill(found: Drill) -> Table:
    """A row a taker of a version in a feature; one without a taker where nothing covers it."""
    columns = [
        Column("product", "Product"),
        Column("feature", "Feature"),
        Column("left", "Feature is"),
        Column("version", "Runs on"),
        Column("share", "Share of traffic", "percent"),
        Column("share_stated", "Share is stated", "flag"),
        Column("taker", "Taken over by"),
        Column("how", "As"),
        Column("part", "Part of it", "percent"),
        Column("now", "A month now", "money", "Currency"),
        Column("then", "A month then", "money", "Currency of then"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for cover in found.covers:
            for exposure in cover.exposures:
                shared = (
                    cover.feature.product.name,
                    cover.feature.name,
                    cover.left.value,
                    str(exposure.version),
                    exposure.share,
                    exposure.stated,
                )
                for taker in exposure.takers:
                    yield (
                        *shared,
                        str(taker.alternative.version),
                        taker.alternative.how.value,
                        taker.part,
                        _money(minor(_part(exposure.now.amount, taker.part))),
                        _money(minor(_part(taker.cost.amount, taker.part))),
                    )
                if not exposure.takers:
                    yield (*shared, "", "", None, _money(minor(exposure.now.amount)), None)

    return Table(columns, rows)


def _part(amount: Fraction | None, part: Fraction) -> Fraction | None:
    return None if amount is None else amount * part
