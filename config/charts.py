"""Server-rendered SVG charts: text in, safe markup out, no script and no inline style.

The outer <svg> has no viewBox, so its text keeps its size; a nested, stretched one holds the geometry in
percent. Colours come from CSS classes (t-good, t-c1 ...). Every label is escaped here, whatever it is.
"""

import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config import formats

Tone = Literal["accent", "good", "warn", "bad", "muted", "c1", "c2", "c3", "c4", "c5"]
Point = tuple[float, float]

SCALE: Final = Fraction(140, 100)  # every attainment bar ends at 140 % of quota
_ALL: Final = Fraction(1)
_AHEAD: Final = Fraction(10, 100)
_TOLERANCE: Final = Fraction(3, 100)
_AT_RISK: Final = Fraction(72, 100)
_NOTHING: Final = mark_safe("")
_MILLION: Final = 1_000_000

_serial = itertools.count(1)


def _unique() -> str:
    """An id no other chart of this page has, also when a part rendered by another process is swapped in."""
    return f"g{os.getpid():x}-{next(_serial):x}"


def _n(value: float) -> str:
    """A coordinate with at most two decimals and no negative zero."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


# --- attainment -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands against pace: a tone for the eye and the word that says the same."""

    tone: Tone
    word: str


def standing(credited: int, quota: int, pace_ppm: int | None) -> Standing:
    """Ahead from 10 points over pace, on pace down to 3 under, at risk below 72 % of pace.

    pace_ppm   The share of quota that pace asks for today, in parts per million; None where none is defined.
    """
    if quota <= 0:
        return Standing("muted", "No quota")
    reached = Fraction(credited, quota)
    if pace_ppm is None:
        return Standing("good", "Met") if reached >= 1 else Standing("accent", "Open")
    pace = Fraction(pace_ppm, _MILLION)
    if reached >= pace + _AHEAD:
        return Standing("good", "Ahead")
    if reached >= pace - _TOLERANCE:
        return Standing("accent", "On pace")
    if reached >= pace * _AT_RISK:
        return Standing("warn", "Behind")
    return Standing("bad", "At risk")


def attainment_label(credited: int, quota: int, *, pending: int = 0, pace_ppm: int | None = None) -> str:
    """The bar in words, for those who do not see it."""
    if quota <= 0:
        return "No quota"
    said = f"{formats.percent(credited, quota)} of quota credited"
    if pending:
        said += f", {formats.percent(pending, quota)} pending"
    if pace_ppm is not None:
        gap = Fraction(credited, quota) - Fraction(pace_ppm, _MILLION)
        said += f", {formats.points(abs(gap)).lstrip('+')} points {'behind' if gap < 0 else 'ahead of'} pace"
    return said


def attainment_bar(
    credited: int, quota: int, *, pending: int = 0, pace_ppm: int | None = None, tone: Tone | None = None
) -> SafeString:
    """One bar on the common 0 to 140 % scale: fill = credited, pale tail = pending, tick = pace, dashed = quota.

    A zero quota shows an empty track, a negative credit no fill, and more than 140 % an arrow at the end.
    """
    tone = tone or standing(credited, quota, pace_ppm).tone
    parts = [_rect("track", _ALL)]
    if quota > 0:
        reached, hoped = Fraction(credited, quota), Fraction(credited + max(pending, 0), quota)
        if pending > 0 and hoped > 0:
            parts.append(_rect("pend", min(hoped / SCALE, _ALL)))
        if reached > 0:
            parts.append(_rect("fill", min(reached / SCALE, _ALL)))
        if reached > SCALE:
            over = '<svg class="over" x="100%" overflow="visible"><path d="M-9 7l3 3-3 3"/></svg>'
            parts.append(mark_safe(over))  # noqa: S308 -- a constant
        parts.append(_mark("goal", 1 / SCALE, 2, 18))
        if pace_ppm is not None:
            parts.append(_mark("pace", min(Fraction(pace_ppm, _MILLION) / SCALE, _ALL), 1, 19))
    return format_html(
        '<svg class="att t-{}" role="img" aria-label="{}">{}</svg>',
        tone,
        attainment_label(credited, quota, pending=pending, pace_ppm=pace_ppm),
        _join(parts),
    )


def _rect(name: str, share: Fraction) -> SafeString:
    return format_html('<rect class="{}" y="6" width="{}%" height="8" rx="4"/>', name, _n(float(share * 100)))


def _mark(name: str, share: Fraction, top: int, bottom: int) -> SafeString:
    x = _n(float(share * 100))
    return format_html('<line class="{}" x1="{}%" x2="{}%" y1="{}" y2="{}"/>', name, x, x, top, bottom)


# --- lines ------------------------------------------------------------------------------------------------


def sparkline(values: Sequence[float], *, label: str, tone: Tone = "accent") -> SafeString:
    """A trend without axes. One value is a level line; none is nothing at all."""
    if not values:
        return _NOTHING
    low, high = min(values), max(values)
    line = _spread([values[0], values[0]] if len(values) == 1 else values, low, high, top=12, bottom=88)
    path = smooth(line)
    return format_html(
        '<svg class="spark t-{}" role="img" aria-label="{}">{}<circle cx="100%" cy="{}%" r="2.5"/></svg>',
        tone,
        label,
        _stretched(
            format_html('<path class="area" d="{}L100 100L0 100Z"/><path class="ln" d="{}"/>', path, path),
        ),
        _n(line[-1][1]),
    )


@dataclass(frozen=True, slots=True)
class Landing:
    """Where the line may end: the value at the end of the period, with the ends of its range."""

    middle: float
    low: float
    high: float


def line_chart(
    actual: Sequence[float],
    *,
    length: int,
    label: str,
    plan: Sequence[float] = (),
    landing: Landing | None = None,
    ticks: Sequence[tuple[int, str]] = (),
    write: Callable[[int], str] = formats.whole,
) -> SafeString:
    """The way so far, with the plan (dashed) and the landing range.

    actual   One value a step, from step 0 to today; may be negative, may be a single value or none.
    length   The last step of the period; actual may not be longer than length + 1.
    plan     Values spread evenly over the whole period; two make a straight line.
    ticks    (step, text) under the chart.
    write    Writes a value of the axis.
    Raises   ValueError if actual does not fit into the period.
    """
    if length < 1 or len(actual) > length + 1:
        raise ValueError(f"{len(actual)} values do not fit into {length} steps")
    low, high, step = axis([*actual, *plan, *((landing.low, landing.high) if landing else ())])
    rows = range(round((high - low) / step) + 1)

    def y(value: float) -> float:
        return 100 - (value - low) / (high - low) * 100

    def x(at: float) -> float:
        return at / length * 100

    grid = format_html_join(
        "",
        '<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (
            (
                "zero" if value == 0 else "grid",
                _n(y(value)),
                _n(y(value)),
                _n(y(value)),
                write(round(value)) if value else "",
            )
            for value in (low + step * row for row in rows)
        ),
    )
    under = format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="{}">{}</text>',
        (
            (_n(x(at)), "start" if at <= 0 else "end" if at >= length else "middle", text)
            for at, text in ticks
        ),
    )
    drawn: list[SafeString] = []
    over: list[SafeString] = []
    if len(plan) > 1:
        drawn.append(format_html('<path class="plan" d="{}"/>', _straight(_spread(plan, low, high))))
    if actual:
        line = [(x(at), y(value)) for at, value in enumerate(actual)]
        end_x, end_y = line[-1]
        if landing and len(actual) <= length:
            cone = [(end_x, end_y), (100.0, y(landing.high)), (100.0, y(landing.low))]
            drawn.append(format_html('<path class="cone" d="{}Z"/>', _straight(cone)))
            drawn.append(
                format_html('<path class="proj" d="{}"/>', _straight([line[-1], (100.0, y(landing.middle))]))
            )
        if len(line) > 1:
            gradient, path, floor = _unique(), smooth(line), _n(y(max(low, 0.0)))
            drawn.append(
                format_html(
                    '<defs><linearGradient id="{}" x1="0" y1="0" x2="0" y2="1"><stop/><stop offset="1"/></linearGradient></defs>'
                    '<path fill="url(#{})" d="{}L{} {}L{} {}Z"/><path class="ln" d="{}"/>',
                    *(gradient, gradient, path, _n(end_x), floor, _n(line[0][0]), floor, path),
                )
            )
        over.append(
            format_html(
                '<line class="now" x1="{}%" x2="{}%" y1="0" y2="100%"/><circle class="dot" cx="{}%" cy="{}%" r="4"/>',
                *(_n(end_x), _n(end_x), _n(end_x), _n(end_y)),
            )
        )
    return _chart("lines", label, [grid, under, _stretched(_join(drawn)), *over])


def axis(values: Iterable[float], rows: int = 4) -> tuple[float, float, float]:
    """Round ends and step of an axis that holds *values* and zero: (low, high, step), never empty."""
    known = [0.0, *values]
    low, high = min(known), max(known)
    if low == high:
        return 0.0, 1.0, 1.0
    raw = (high - low) / rows
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def smooth(points: Sequence[Point]) -> str:
    """A curve through *points* that never overshoots them (monotone cubic), as path data."""
    if len(points) < 3:
        return _straight(points)
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(points)]
    inner = (0 if a * b <= 0 else 2 * a * b / (a + b) for a, b in itertools.pairwise(slopes))
    tangents = [slopes[0], *inner, slopes[-1]]
    path = [f"M{_n(points[0][0])} {_n(points[0][1])}"]
    for (ax, ay), (bx, by), out, into in zip(points, points[1:], tangents, tangents[1:], strict=False):
        third = (bx - ax) / 3
        path.append(
            f"C{_n(ax + third)} {_n(ay + out * third)} {_n(bx - third)} {_n(by - into * third)} {_n(bx)} {_n(by)}"
        )
    return "".join(path)


def _straight(points: Iterable[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _spread(
    values: Sequence[float], low: float, high: float, *, top: float = 0, bottom: float = 100
) -> list[Point]:
    """Values evenly over the width; a flat series lies in the middle."""
    last = len(values) - 1 or 1
    if low == high:
        return [(100 * at / last, (top + bottom) / 2) for at in range(len(values))]
    return [
        (100 * at / last, bottom - (value - low) / (high - low) * (bottom - top))
        for at, value in enumerate(values)
    ]


# --- counts and shares ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bin:
    """A band of a histogram; count is how many fall into it."""

    text: str
    count: int
    tone: Tone = "accent"


def histogram(bins: Sequence[Bin], *, label: str) -> SafeString:
    """Bars over bands. Raises ValueError for a negative count."""
    if any(band.count < 0 for band in bins):
        raise ValueError("a histogram counts; a count cannot be negative")
    if not bins:
        return _NOTHING
    most = max(band.count for band in bins) or 1
    width = 100 / len(bins)
    bars = []
    for at, band in enumerate(bins):
        height, middle = band.count / most * 86, _n(at * width + width / 2)
        top = _n(100 - height)
        bars.append(
            format_html(
                '<g class="t-{}"><rect class="bin" x="{}%" y="{}%" width="{}%" height="{}%" rx="3"/></g>'
                '<text class="val" x="{}%" y="{}%" dy="-7" text-anchor="middle">{}</text>'
                '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="middle">{}</text>',
                *(band.tone, _n(at * width + width * 0.1), top, _n(width * 0.8), _n(height)),
                *(middle, top, formats.whole(band.count), middle, band.text),
            )
        )
    return _chart(
        "hist", label, [mark_safe('<line class="zero" x1="0" x2="100%" y1="100%" y2="100%"/>'), *bars]
    )


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a stacked bar; value is in any one unit."""

    text: str
    value: int
    tone: Tone = "c1"


def share_bar(shares: Sequence[Share], *, label: str) -> SafeString:
    """One bar of 100 %, cut by value; the words go into a legend beside it. Raises ValueError for a negative value."""
    if any(share.value < 0 for share in shares):
        raise ValueError("a share of a whole cannot be negative")
    total = sum(share.value for share in shares)
    said = ", ".join(f"{share.text} {formats.percent(share.value, total)}" for share in shares)
    parts, before = [mark_safe('<rect class="track" width="100%" height="100%"/>')], 0
    for share in shares:
        if share.value:
            start, width = _n(before / total * 100), _n(share.value / total * 100)
            parts.append(
                format_html(
                    '<rect class="part t-{}" x="{}%" width="{}%" height="100%"><title>{}: {}</title></rect>',
                    *(share.tone, start, width, share.text, formats.percent(share.value, total)),
                )
            )
            before += share.value
    return format_html(
        '<svg class="share" role="img" aria-label="{}">{}</svg>',
        f"{label}: {said}" if said else label,
        _join(parts),
    )


def legend(entries: Iterable[tuple[str, str, Tone]]) -> SafeString:
    """The words of a share bar: (text, value as written, tone)."""
    items = format_html_join(
        "",
        '<li class="t-{}"><svg class="key" aria-hidden="true"><rect class="fill" width="100%" height="100%" rx="3"/></svg>'
        "<span>{}</span><b>{}</b></li>",
        ((tone, text, value) for text, value, tone in entries),
    )
    return format_html('<ul class="shares">{}</ul>', items)


# --- flows ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """A station of a flow; the key ties links to it."""

    key: str
    text: str
    tone: Tone = "c1"


@dataclass(frozen=True, slots=True)
class Link:
    """An amount that goes from a node to one of the next column, in any one unit."""

    source: str
    target: str
    value: int


def sankey(
    columns: Sequence[Sequence[Node]],
    links: Sequence[Link],
    *,
    label: str,
    write: Callable[[int], str] = formats.whole,
) -> SafeString:
    """Who passes how much on to whom, column by column.

    Raises   ValueError for a negative link, one that does not lead to the next column, or a node that
             passes on another amount than it gets: what is drawn always adds up.
    """
    place = {node.key: at for at, column in enumerate(columns) for node in column}
    into, out = dict.fromkeys(place, 0), dict.fromkeys(place, 0)
    for link in links:
        if link.value < 0:
            raise ValueError(f"the flow from {link.source} to {link.target} is negative")
        if place.get(link.target, -1) != place.get(link.source, -2) + 1:
            raise ValueError(f"the flow from {link.source} to {link.target} skips a column")
        out[link.source] += link.value
        into[link.target] += link.value
    for key, at in place.items():
        if 0 < at < len(columns) - 1 and into[key] != out[key]:
            raise ValueError(f"{key} gets {into[key]} and passes on {out[key]}")
    value = {key: max(into[key], out[key]) for key in place}
    shown = [[node for node in column if value[node.key]] for column in columns]
    total = max((sum(value[node.key] for node in column) for column in shown), default=0)
    if total == 0:
        return _chart(
            "sankey",
            label,
            [mark_safe('<text class="ax" x="50%" y="50%" text-anchor="middle">No flow yet</text>')],
        )

    unit = (100 - 5 * (max(map(len, shown)) - 1)) / total
    across = 100 / (len(columns) - 1 or 1)
    boxes: dict[str, tuple[float, float, float]] = {}
    tones: dict[str, Tone] = {}
    for at, column in enumerate(shown):
        free = (100 - sum(value[node.key] * unit for node in column)) / (len(column) or 1)
        top = free / 2
        for node in column:
            boxes[node.key] = (at * across, top, value[node.key] * unit)
            tones[node.key] = node.tone
            top += value[node.key] * unit + free
    names = {node.key: node.text for column in shown for node in column}
    nodes = [_node(node, boxes[node.key], write(value[node.key])) for column in shown for node in column]
    return _chart("sankey", label, [_stretched(_bands(links, boxes, tones, names, unit, write)), *nodes])


def _bands(
    links: Sequence[Link],
    boxes: Mapping[str, tuple[float, float, float]],
    tones: Mapping[str, Tone],
    names: Mapping[str, str],
    unit: float,
    write: Callable[[int], str],
) -> SafeString:
    left, right = dict.fromkeys(boxes, 0.0), dict.fromkeys(boxes, 0.0)
    bands = []
    drawn = (link for link in links if link.value)
    for link in sorted(drawn, key=lambda each: (boxes[each.source][1], boxes[each.target][1])):
        (ax, ay, _), (bx, by, _), height = boxes[link.source], boxes[link.target], link.value * unit
        ay, by, middle = ay + left[link.source], by + right[link.target], (ax + bx) / 2
        left[link.source] += height
        right[link.target] += height
        a, b, m = _n(ax), _n(bx), _n(middle)
        top_a, top_b, low_a, low_b = _n(ay), _n(by), _n(ay + height), _n(by + height)
        path = (
            f"M{a} {top_a}C{m} {top_a} {m} {top_b} {b} {top_b}V{low_b}C{m} {low_b} {m} {low_a} {a} {low_a}Z"
        )
        said = f"{names[link.source]} to {names[link.target]}: {write(link.value)}"
        bands.append(
            format_html(
                '<path class="band t-{}" d="{}"><title>{}</title></path>', tones[link.source], path, said
            )
        )
    return _join(bands)


def _node(node: Node, box: tuple[float, float, float], value: str) -> SafeString:
    x, y, height = box
    last, middle = x > 99, _n(y + height / 2)
    shift, away, anchor = (-6, -12, "end") if last else (-3 if x > 1 else 0, 12, "start")
    return format_html(
        '<g class="t-{}"><rect class="node" x="{}%" y="{}%" width="6" height="{}%" rx="2" transform="translate({})"/>'
        '<text class="lb" x="{}%" y="{}%" dx="{}" dy="-1" text-anchor="{}">{}</text>'
        '<text class="ax" x="{}%" y="{}%" dx="{}" dy="13" text-anchor="{}">{}</text></g>',
        *(node.tone, _n(x), _n(y), _n(height), shift),
        *(_n(x), middle, away, anchor, node.text),
        *(_n(x), middle, away, anchor, value),
    )


# --- what all share ---------------------------------------------------------------------------------------


def table_twin(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> SafeString:
    """The chart's numbers as a table behind a summary: first column names the row, the others are right-aligned."""
    columns = format_html_join(
        "", '<th scope="col"{}>{}</th>', ((_right(at), text) for at, text in enumerate(head))
    )
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        (
            (
                format_html_join(
                    "",
                    "<{} {}>{}</{}>",
                    (
                        ("th", mark_safe('scope="row"'), cell, "th")
                        if not at
                        else ("td", _right(at), cell, "td")
                        for at, cell in enumerate(row)
                    ),
                ),
            )
            for row in rows
        ),
    )
    return format_html(
        '<details class="twin"><summary>Show as table</summary><div class="scroll"><table class="dense"><caption class="sr">{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></details>",
        *(caption, columns, body),
    )


def _right(column: int) -> SafeString:
    return mark_safe(' class="r"') if column else _NOTHING


def _chart(kind: str, label: str, parts: Iterable[SafeString]) -> SafeString:
    return format_html('<svg class="chart {}" role="img" aria-label="{}">{}</svg>', kind, label, _join(parts))


def _stretched(content: SafeString) -> SafeString:
    return format_html(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">{}</svg>',
        content,
    )


def _join(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
