"""The burn-down of a commitment: what is left month by month, even pace dashed, and where it may stand at the end of its term."""

from collections.abc import Sequence
from datetime import date

from django.utils.safestring import SafeString

from config import charts, formats
from config.charts import Landing
from config.language import _
from config.months import add_months, month_of, months_between
from marketplace.selectors.sourcing.commitments import Standing

YEAR_TICKS = 6


def _writer(found: Standing) -> tuple[str, int]:
    currency = found.relationship.currency
    return (currency.code, currency.exponent) if currency is not None else ("USD", 2)


def burn_down(found: Standing) -> SafeString:
    """Of a commitment with a term and at least one billed month."""
    term, pace, top = found.term, found.pace, found.total.high or found.total.low or 0
    if term is None or pace is None:
        raise ValueError("a burn-down needs a term and a bill")
    code, exponent = _writer(found)
    first = min(month_of(term.start), found.months[0].draw.month)
    end = max(add_months(month_of(term.end), 1 if term.end.day > 1 else 0), pace.at)
    axis = [*months_between(first, end), end]
    drawn = {add_months(month.draw.month, 1): month.total for month in found.months}
    actual, total = [], 0
    for day in axis:
        if day > pace.at:
            break
        total = drawn.get(day, total)
        actual.append(float(top - total))
    even = [float(top) * max(0.0, 1 - max((day - term.start).days, 0) / term.days) for day in axis]
    return charts.line_chart(
        actual,
        length=len(axis) - 1,
        plan=even,
        landing=Landing(
            float(max(top - pace.middle, 0)),
            float(max(top - (pace.expected.high or 0), 0)),
            float(max(top - (pace.expected.low or 0), 0)),
        )
        if pace.at < term.end
        else None,
        ticks=_ticks(axis),
        write=lambda minor: formats.money(minor, code, exponent, compact=True, trim=True),
        label=_("What is left of the commitment by month, from %(first)s to %(end)s")
        % {"first": formats.month_long(first), "end": formats.day(term.end)},
    )


def drawn_so_far(found: Standing) -> SafeString:
    """Of a commitment without a term: what has been drawn in all, up to the last bill."""
    code, exponent = _writer(found)
    first, last = found.months[0].draw.month, add_months(found.months[-1].draw.month, 1)
    axis = [*months_between(first, last), last]
    drawn = {add_months(month.draw.month, 1): month.total for month in found.months}
    actual, total = [], 0
    for day in axis:
        total = drawn.get(day, total)
        actual.append(float(total))
    return charts.line_chart(
        actual,
        length=len(axis) - 1,
        ticks=_ticks(axis),
        write=lambda minor: formats.money(minor, code, exponent, compact=True, trim=True),
        label=_("Drawn in all, from %(first)s to the end of %(month)s")
        % {"first": formats.month_long(first), "month": formats.month_long(found.months[-1].draw.month)},
    )


def _ticks(axis: Sequence[date]) -> list[tuple[int, str]]:
    """A handful, evenly; the year alone where the months are many."""
    step = max(1, -(-(len(axis) - 1) // YEAR_TICKS))
    places = list(range(0, len(axis), step))
    return [(at, formats.month(axis[at])) for at in places]
