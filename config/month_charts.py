"""Charts over months: an index against its thresholds with what happened, and how each month divides. Like config.charts: SVG, no script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config.charts import Tone, _chart, _n, _straight, _stretched, axis

MOST_TICKS = 8


@dataclass(frozen=True, slots=True)
class Limit:
    """A level that means something, with its name."""

    value: float
    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened in a month. round: drawn as a circle, else as a square."""

    at: int
    text: str
    round: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a month's column, in any one unit."""

    text: str
    value: int
    tone: Tone


def trend(
    values: Sequence[float | None],
    *,
    label: str,
    names: Sequence[str],
    limits: Sequence[Limit] = (),
    marks: Sequence[Mark] = (),
    unsure: Sequence[bool] = (),
    top: float | None = None,
    write: Callable[[float], str],
) -> SafeString:
    """One value a month, with a gap where none is known, against level lines; what happened stands on the axis.

    names    Of the months, one a value.
    unsure   Months of which the value does not hold all: drawn hollow.
    top      The axis goes no higher, whatever the values.
    Raises   ValueError where names and values are not as many, or a mark lies outside.
    """
    if len(names) != len(values) or any(not 0 <= mark.at < len(values) for mark in marks):
        raise ValueError("every value has its month, and every mark lies in one")
    known = [value for value in values if value is not None]
    _low, high, step = axis([value * 1.08 for value in known] + [limit.value * 1.15 for limit in limits])
    high = min(high, top) if top is not None else high

    def x(at: int) -> float:
        return (at + 0.5) / (len(values) or 1) * 100

    def y(value: float) -> float:
        return 100 - value / high * 100

    grid = format_html_join(
        "",
        '<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (
            (
                "grid" if row else "zero",
                *(_n(y(step * row)),) * 3,
                write(step * row) if row else "",
            )
            for row in range(math.floor(high / step + 1e-9) + 1)
        ),
    )
    levels = format_html_join(
        "",
        '<g class="t-{}"><line class="limit" x1="0" x2="100%" y1="{}%" y2="{}%"/>'
        '<text class="lim" x="100%" y="{}%" dy="-5" text-anchor="end">{}</text></g>',
        ((limit.tone, *(_n(y(limit.value)),) * 3, limit.text) for limit in limits if limit.value <= high),
    )
    runs = [
        [(x(at), y(value)) for at, value in run if value is not None]
        for there, run in groupby(enumerate(values), key=lambda pair: pair[1] is not None)
        if there
    ]
    paths = format_html_join(
        "", '<path class="ln" d="{}"/>', ((_straight(run),) for run in runs if len(run) > 1)
    )
    dots = format_html_join(
        "",
        '<circle class="{}" cx="{}%" cy="{}%" r="3"><title>{}: {}</title></circle>',
        (
            (
                "dot open" if at < len(unsure) and unsure[at] else "dot",
                *(_n(x(at)), _n(y(value)), names[at], write(value)),
            )
            for at, value in enumerate(values)
            if value is not None
        ),
    )
    return _chart(
        "lines trend",
        label,
        [grid, levels, _stretched(paths), dots, _marks(marks, x), _under(names, x)],
    )


def _marks(marks: Sequence[Mark], x: Callable[[int], float]) -> SafeString:
    drawn = []
    for (at, is_round), found in groupby(
        sorted(marks, key=lambda mark: (mark.at, not mark.round)), key=lambda mark: (mark.at, mark.round)
    ):
        here, said = _n(x(at)), "; ".join(mark.text for mark in found)
        shape = (
            format_html('<circle class="ev" cx="{}%" cy="100%" r="4"><title>{}</title></circle>', here, said)
            if is_round
            else format_html(
                '<rect class="ev" x="{}%" y="100%" width="8" height="8" transform="translate(-4 -14)"><title>{}</title></rect>',
                *(here, said),
            )
        )
        drawn.append(
            format_html(
                '<g class="t-{}"><line class="at" x1="{}%" x2="{}%" y1="0" y2="100%"/>{}</g>',
                *("c1" if is_round else "c4", here, here, shape),
            )
        )
    return _joined(drawn)


def columns(
    months: Sequence[Sequence[Part]],
    *,
    label: str,
    names: Sequence[str],
    unsure: Sequence[bool] = (),
    write: Callable[[int, int], str],
) -> SafeString:
    """A column of 100 % a month, cut by value from the ground up; nothing where nothing is known.

    unsure   Months of which a part is in no column: marked above it.
    write    Writes a part of a whole: write(value, total).
    Raises   ValueError for a negative value, or where names and months are not as many.
    """
    if len(names) != len(months) or any(part.value < 0 for parts in months for part in parts):
        raise ValueError("every month has its name, and no part is negative")
    width = 100 / (len(months) or 1)

    def x(at: int) -> float:
        return (at + 0.5) * width

    drawn = []
    for at, parts in enumerate(months):
        total, ground = sum(part.value for part in parts), 100.0
        for part in parts:
            if part.value:
                height = part.value / total * 100
                ground -= height
                drawn.append(
                    format_html(
                        '<g class="t-{}"><rect class="bin" x="{}%" y="{}%" width="{}%" height="{}%"><title>{}, {}: {}</title></rect></g>',
                        *(part.tone, _n(at * width + width * 0.12), _n(ground), _n(width * 0.76)),
                        *(_n(height), names[at], part.text, write(part.value, total)),
                    )
                )
        if (at < len(unsure) and unsure[at]) or not total:
            drawn.append(
                format_html(
                    '<text class="ax" x="{}%" y="{}" dy="{}" text-anchor="middle">{}<title>{}</title></text>',
                    *(_n(x(at)), "0%" if total else "100%", -4, "?", names[at]),
                )
            )
    base = mark_safe('<line class="zero" x1="0" x2="100%" y1="100%" y2="100%"/>')
    return _chart("hist months", label, [*drawn, base, _under(names, x)])


def _under(names: Sequence[str], x: Callable[[int], float]) -> SafeString:
    """As many names as have room, counted from the last."""
    every = math.ceil(len(names) / MOST_TICKS) or 1
    return format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="middle">{}</text>',
        ((_n(x(at)), name) for at, name in enumerate(names) if (len(names) - 1 - at) % every == 0),
    )


def _joined(parts: Sequence[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
