"""Amounts by month as columns of parts. Like config.charts: SVG, no script; every part has its title, and a table says the same."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from config.charts import Tone, _chart, _n, axis
from config.language import _

MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Series:
    """One part of every column, in any one unit; None is nothing known."""

    text: str
    values: Sequence[int | None]
    tone: Tone


def stacked(
    series: Sequence[Series],
    *,
    names: Sequence[str],
    label: str,
    write: Callable[[int], str],
    unsure: Sequence[bool] = (),
) -> SafeString:
    """A column a month, its parts from the ground up in the order of *series*.

    names    Of the months.
    unsure   Months of which a part is in no column: a question mark stands above those.
    Raises   ValueError for a negative part, or a series that has not one value a month.
    """
    if any(len(each.values) != len(names) for each in series):
        raise ValueError("every series has one value a month")
    if any(value is not None and value < 0 for each in series for value in each.values):
        raise ValueError("a part of a column cannot be negative")
    sums = [sum(each.values[at] or 0 for each in series) for at in range(len(names))]
    _low, high, step = axis([total * 1.06 for total in sums])
    width = 100 / (len(names) or 1)

    def y(value: float) -> float:
        return 100 - value / high * 100

    grid = format_html_join(
        "",
        '<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (
            ("grid" if row else "zero", *(_n(y(step * row)),) * 3, write(round(step * row)) if row else "")
            for row in range(round(high / step) + 1)
        ),
    )
    drawn = []
    for at, name in enumerate(names):
        ground = 0
        for each in series:
            value = each.values[at]
            if not value:
                continue
            ground += value
            drawn.append(
                format_html(
                    '<g class="t-{}"><rect class="bin" x="{}%" y="{}%" width="{}%" height="{}%"><title>{}, {}: {}</title></rect></g>',
                    *(each.tone, _n(at * width + width * 0.14), _n(y(ground)), _n(width * 0.72)),
                    *(_n(value / high * 100), name, each.text, write(value)),
                )
            )
        if at < len(unsure) and unsure[at]:
            drawn.append(
                format_html(
                    '<text class="ax" x="{}%" y="{}%" dy="-4" text-anchor="middle">?<title>{}</title></text>',
                    *(
                        _n((at + 0.5) * width),
                        _n(y(ground)),
                        _("%(name)s: a part has no price") % {"name": name},
                    ),
                )
            )
    every = math.ceil(len(names) / MOST_TICKS) or 1
    under = format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="middle">{}</text>',
        (
            (_n((at + 0.5) * width), name)
            for at, name in enumerate(names)
            if (len(names) - 1 - at) % every == 0
        ),
    )
    return _chart("hist stacked", label, [grid, format_html_join("", "{}", ((d,) for d in drawn)), under])
