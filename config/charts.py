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

from django.utils.html import conditional_escape, escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from config import formats
from config.language import _, marked

Tone = Literal["accent", "good", "warn", "bad", "muted", "c1", "c2", "c3", "c4", "c5"]
Point = tuple[float, float]

SCALE: Final = Fraction(140, 100)  # every attainment bar ends at 140 % of quota
_AHEAD: Final = 100_000  # parts per million of quota
_TOLERANCE: Final = 30_000
_AT_RISK: Final = 72  # per cent of pace
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


def stands(credited: int, quota: int, pace_ppm: int | None) -> str:
    """ahead, on_pace, behind, at_risk or no_quota; met or open where no pace is defined.

    Ahead from 10 points over pace, on pace down to 3 under, at risk below 72 % of pace.
    pace_ppm   The share of quota that pace asks for today, in parts per million.
    """
    if quota <= 0:
        return "no_quota"
    if pace_ppm is None:
        return "met" if credited >= quota else "open"
    reached = credited * _MILLION
    if reached >= quota * (pace_ppm + _AHEAD):
        return "ahead"
    if reached >= quota * (pace_ppm - _TOLERANCE):
        return "on_pace"
    return "behind" if reached * 100 >= quota * pace_ppm * _AT_RISK else "at_risk"


_STANDINGS: Final[Mapping[str, tuple[Tone, str]]] = {
    "ahead": ("good", marked("Ahead")),
    "on_pace": ("accent", marked("On pace")),
    "behind": ("warn", marked("Behind")),
    "at_risk": ("bad", marked("At risk")),
    "no_quota": ("muted", marked("No quota")),
    "met": ("good", marked("Met")),
    "open": ("accent", marked("Open")),
}


def standing(credited: int, quota: int, pace_ppm: int | None) -> Standing:
    """The same for the eye, and in a word, which the page speaks: files and the API have it as it is."""
    return Standing(*_STANDINGS[stands(credited, quota, pace_ppm)])


def attainment_label(credited: int, quota: int, *, pending: int = 0, pace_ppm: int | None = None) -> str:
    """The bar in words, for those who do not see it."""
    if quota <= 0:
        return _("No quota")
    said = _("%(credited)s of quota credited") % {"credited": formats.percent(credited, quota)}
    if pending:
        said += _(", %(pending)s pending") % {"pending": formats.percent(pending, quota)}
    if pace_ppm is not None:
        ahead = credited * _MILLION - pace_ppm * quota
        gap = Fraction(abs(ahead), quota * _MILLION)
        said += (
            _(", %(points)s points behind pace") if ahead < 0 else _(", %(points)s points ahead of pace")
        ) % {"points": formats.points(gap).lstrip("+")}
    return said


def attainment_bar(
    credited: int, quota: int, *, pending: int = 0, pace_ppm: int | None = None, tone: Tone | None = None
) -> SafeString:
    """One bar on the common 0 to 140 % scale: fill = credited, pale tail = pending, tick = pace, dashed = quota.

    A zero quota shows an empty track, a negative credit no fill, and more than 140 % an arrow at the end.
    """
    tone = tone or standing(credited, quota, pace_ppm).tone
    parts = [_TRACK]
    if quota > 0:
        if pending > 0 and credited + pending > 0:
            parts.append(_rect("pend", credited + pending, quota))
        if credited > 0:
            parts.append(_rect("fill", credited, quota))
        if credited * SCALE.denominator > quota * SCALE.numerator:
            parts.append('<svg class="over" x="100%" overflow="visible"><path d="M-9 7l3 3-3 3"/></svg>')
        parts.append(_GOAL)
        if pace_ppm is not None:
            parts.append(_mark("pace", pace_ppm, _MILLION, 1, 19))
    label = escape(attainment_label(credited, quota, pending=pending, pace_ppm=pace_ppm))
    return mark_safe(f'<svg class="att t-{tone}" role="img" aria-label="{label}">{"".join(parts)}</svg>')  # noqa: S308 -- names of ours, numbers and what is escaped


def _rect(name: str, part: int, whole: int) -> str:
    return f'<rect class="{name}" y="6" width="{_on_scale(part, whole)}%" height="8" rx="4"/>'


def _mark(name: str, part: int, whole: int, top: int, bottom: int) -> str:
    x = _on_scale(part, whole)
    return f'<line class="{name}" x1="{x}%" x2="{x}%" y1="{top}" y2="{bottom}"/>'


def _on_scale(part: int, whole: int) -> str:
    """Where part / whole lies on the scale, in per cent of its length; beyond it at its end."""
    return _n(min(part * 100 * SCALE.denominator / (whole * SCALE.numerator), 100.0))


_TRACK: Final = _rect("track", SCALE.numerator, SCALE.denominator)
_GOAL: Final = _mark("goal", 1, 1, 2, 18)


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
        _stretched(mark_safe(f'<path class="area" d="{path}L100 100L0 100Z"/><path class="ln" d="{path}"/>')),  # noqa: S308 -- numbers
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


# --- steps ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """A value that holds from one place of the axis up to another; None is nothing in effect, or not known."""

    start: float
    end: float
    value: float | None


def step_chart(
    series: Sequence[tuple[Tone, Sequence[Held]]],
    *,
    length: float,
    now: float | None,
    label: str,
    ticks: Sequence[tuple[float, str]] = (),
    top: float | None = None,
    write: Callable[[float], str],
) -> SafeString:
    """What held when: level lines with upright steps between them, a gap where nothing held, dashed from *now* on.

    series   Each with its tone, in order of time and without overlap.
    length   The end of the axis, which starts at 0.
    now      Where what is to come begins; None draws no line for it.
    top      The end of an upright axis from 0 in four parts, such as 100 for shares; None fits it to the values.
    Raises   ValueError for a length of nothing, or for spans that are out of order or reach over the axis.
    """
    if length <= 0:
        raise ValueError("a chart of steps needs an axis")
    for _tone, spans in series:
        edges = [edge for span in spans for edge in (span.start, span.end)]
        if edges != sorted(edges) or (edges and (edges[0] < 0 or edges[-1] > length)):
            raise ValueError("the spans of a chart of steps follow one another on its axis")
    values = [span.value for _tone, spans in series for span in spans if span.value is not None]
    low, high, step = axis([value * 1.1 for value in values], rows=3)  # no level lies on the top edge
    if top is not None:
        low, high, step = 0.0, top, top / 4

    def y(value: float) -> float:
        return 100 - (value - low) / (high - low) * 100

    def x(at: float) -> float:
        return at / length * 100

    levels = [low + step * row for row in range(round((high - low) / step) + 1)]
    grid = format_html_join(
        "",
        '<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (("grid" if v else "zero", _n(y(v)), _n(y(v)), _n(y(v)), write(v) if v else "") for v in levels),
    )
    under = format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="{}">{}</text>',
        (
            (_n(x(at)), "start" if at <= 0 else "end" if at >= length else "middle", text)
            for at, text in ticks
        ),
    )
    drawn = []
    border = length if now is None else now
    for tone, spans in series:
        past, ahead = _stairs(spans, border, x, y)
        if past:
            drawn.append(format_html('<path class="ln t-{}" d="{}"/>', tone, past))
        if ahead:
            drawn.append(format_html('<path class="ln ahead t-{}" d="{}"/>', tone, ahead))
    line = (
        [format_html('<line class="now" x1="{}%" x2="{}%" y1="0" y2="100%"/>', _n(x(now)), _n(x(now)))]
        if now is not None and 0 < now < length
        else []
    )
    return _chart("steps", label, [grid, under, *line, _stretched(_join(drawn))])


def _stairs(
    spans: Sequence[Held], now: float, x: Callable[[float], float], y: Callable[[float], float]
) -> tuple[str, str]:
    """Path data up to *now* and from it on; a step is drawn where two values meet, and belongs to the later one."""
    paths = ["", ""]
    before: Held | None = None
    for span in spans:
        if span.value is None:
            before = None
            continue
        joined = before is not None and before.end == span.start
        for side, start, end in ((0, span.start, min(span.end, now)), (1, max(span.start, now), span.end)):
            if end <= start:
                continue
            here = _n(y(span.value))
            if joined and before is not None and before.value is not None and start == span.start:
                paths[side] += f"M{_n(x(start))} {_n(y(before.value))}V{here}H{_n(x(end))}"
            else:
                paths[side] += f"M{_n(x(start))} {here}H{_n(x(end))}"
        before = span
    return paths[0], paths[1]


# --- a function -------------------------------------------------------------------------------------------


def curve_chart(
    points: Sequence[Point],
    *,
    length: float,
    label: str,
    ticks: Sequence[tuple[float, str]] = (),
    write: Callable[[int], str] = formats.whole,
    at: Point | None = None,
) -> SafeString:
    """A function of straight pieces through *points*, in order; two of one place are a jump.

    length  The end of the axis, which starts at 0.
    ticks   (place, text) under the chart.
    at      A point of it to mark: where somebody stands.
    Raises  ValueError for an axis of nothing.
    """
    if length <= 0:
        raise ValueError("a curve needs an axis")
    low, high, step = axis([value * 1.05 for _rest, value in points], rows=3)

    def y(value: float) -> float:
        return 100 - (value - low) / (high - low) * 100

    def x(place: float) -> float:
        return min(place / length, 1) * 100

    levels = [low + step * row for row in range(round((high - low) / step) + 1)]
    grid = format_html_join(
        "",
        '<line class="{}" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (
            ("grid" if v else "zero", _n(y(v)), _n(y(v)), _n(y(v)), write(round(v)) if v else "")
            for v in levels
        ),
    )
    under = format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="{}">{}</text>',
        (
            (_n(x(place)), "start" if place <= 0 else "end" if place >= length else "middle", text)
            for place, text in ticks
        ),
    )
    line = _straight([(x(place), y(value)) for place, value in points]) if len(points) > 1 else ""
    drawn = _stretched(format_html('<path class="ln" d="{}"/>', line)) if line else _NOTHING
    dot = (
        format_html('<circle class="dot" cx="{}%" cy="{}%" r="4"/>', _n(x(at[0])), _n(y(at[1])))
        if at is not None
        else _NOTHING
    )
    return _chart("lines", label, [grid, under, drawn, dot])


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
    nodes = [
        _node(node, boxes[node.key], write(value[node.key]), near=node.key in near)
        for column in shown
        for near in [_near([(each.key, *boxes[each.key]) for each in column])]
        for node in column
    ]
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
        (ax, ay, _rest), (bx, by, _rest), height = boxes[link.source], boxes[link.target], link.value * unit
        ay, by, middle = ay + left[link.source], by + right[link.target], (ax + bx) / 2
        left[link.source] += height
        right[link.target] += height
        a, b, m = _n(ax), _n(bx), _n(middle)
        top_a, top_b, low_a, low_b = _n(ay), _n(by), _n(ay + height), _n(by + height)
        path = (
            f"M{a} {top_a}C{m} {top_a} {m} {top_b} {b} {top_b}V{low_b}C{m} {low_b} {m} {low_a} {a} {low_a}Z"
        )
        said = _("%(source)s to %(target)s: %(value)s") % {
            "source": names[link.source],
            "target": names[link.target],
            "value": write(link.value),
        }
        bands.append(
            format_html(
                '<path class="band t-{}" d="{}"><title>{}</title></path>', tones[link.source], path, said
            )
        )
    return _join(bands)


_TWO_LINES: Final = 10.0  # percent of the height: a name with its amount below, where the drawing is smallest


def _near(column: Sequence[tuple[str, float, float, float]]) -> set[str]:
    """Whose name and amount would run into those above or below."""
    middles = [(key, top + height / 2) for key, _x, top, height in column]
    close = [(one, other) for (one, a), (other, b) in itertools.pairwise(middles) if b - a < _TWO_LINES]
    return {key for pair in close for key in pair}


def _node(node: Node, box: tuple[float, float, float], value: str, *, near: bool) -> SafeString:
    """near   The amount stands beside the name, not below it."""
    x, y, height = box
    last, middle = x > 99, _n(y + height / 2)
    shift, away, anchor = (-6, -12, "end") if last else (-3 if x > 1 else 0, 12, "start")
    if near:
        return format_html(
            '<g class="t-{}"><rect class="node" x="{}%" y="{}%" width="6" height="{}%" rx="2" transform="translate({})"/>'
            '<text class="lb" x="{}%" y="{}%" dx="{}" dy="4" text-anchor="{}">{} <tspan class="ax">{}</tspan></text></g>',
            *(node.tone, _n(x), _n(y), _n(height), shift),
            *(_n(x), middle, away, anchor, node.text, value),
        )
    return format_html(
        '<g class="t-{}"><rect class="node" x="{}%" y="{}%" width="6" height="{}%" rx="2" transform="translate({})"/>'
        '<text class="lb" x="{}%" y="{}%" dx="{}" dy="-1" text-anchor="{}">{}</text>'
        '<text class="ax" x="{}%" y="{}%" dx="{}" dy="13" text-anchor="{}">{}</text></g>',
        *(node.tone, _n(x), _n(y), _n(height), shift),
        *(_n(x), middle, away, anchor, node.text),
        *(_n(x), middle, away, anchor, value),
    )


# --- quality against cost ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dot:
    """One thing that has a cost and a worth. edge: nothing that costs no more is worth more; those are named."""

    text: str
    cost: float
    worth: float
    edge: bool = False


# The smallest that the drawing gets, on a phone: what is apart there is apart everywhere.
_NOMINAL: Final = (296.0, 270.0)
_LETTER: Final = 6.9
_LINE: Final = 14.0
_DOT: Final = 5.0
_DECADES: Final = 20.0  # from this ratio on the cost axis is logarithmic


def scatter(
    dots: Sequence[Dot],
    *,
    label: str,
    write_cost: Callable[[float], str],
    write_worth: Callable[[float], str],
    ends: tuple[float, float] | None = None,
) -> SafeString:
    """Worth (upwards) against cost (to the right), with the best that each cost buys as a line in steps.

    ends     The lowest and the highest worth of the axis; else round ones that hold every dot.
    Raises   ValueError for a negative cost.

    Costs of very different size stand on a logarithmic axis, with what is free at its left end. A name that would touch
    another one or a dot is left out: every dot has its title, and the table says all.
    """
    if any(dot.cost < 0 for dot in dots):
        raise ValueError("a cost cannot be negative")
    if not dots:
        return _chart(
            "scatter",
            label,
            [mark_safe('<text class="ax" x="50%" y="50%" text-anchor="middle">Nothing to draw yet</text>')],
        )
    across, cost_ticks = _cost_axis([dot.cost for dot in dots])
    low, high, step = _worth_axis([dot.worth for dot in dots], ends)

    def place(dot: Dot) -> Point:
        return across(dot.cost), 100 - (dot.worth - low) / (high - low) * 100

    rows = format_html_join(
        "",
        '<line class="grid" x1="0" x2="100%" y1="{}%" y2="{}%"/><text class="ax" x="0" y="{}%" dy="-5">{}</text>',
        (
            (*(_n(100 - (value - low) / (high - low) * 100),) * 3, write_worth(value))
            for value in (low + step * row for row in range(round((high - low) / step) + 1))
        ),
    )
    under = format_html_join(
        "",
        '<text class="ax" x="{}%" y="100%" dy="19" text-anchor="middle">{}</text>',
        ((_n(across(cost)), write_cost(cost)) for cost in cost_ticks),
    )
    edge = sorted((place(dot) for dot in dots if dot.edge), key=lambda point: (point[0], -point[1]))
    path = ""
    if edge:
        path = f"M{_n(edge[0][0])} 100V{_n(edge[0][1])}"
        path += "".join(f"H{_n(x)}V{_n(y)}" for x, y in edge[1:]) + "H100"
    marks = format_html_join(
        "",
        '<circle class="{}" cx="{}%" cy="{}%" r="{}"><title>{}: {}, {}</title></circle>',
        (
            (
                "dot" if dot.edge else "other",
                *(_n(at) for at in place(dot)),
                *("5" if dot.edge else "4", dot.text, write_worth(dot.worth), write_cost(dot.cost)),
            )
            for dot in sorted(dots, key=lambda dot: dot.edge)
        ),
    )
    names = format_html_join(
        "",
        '<text class="lb" x="{}%" y="{}%" dx="{}" dy="{}" text-anchor="{}">{}</text>',
        _placed_names(dots, [place(dot) for dot in dots]),
    )
    line = _stretched(format_html('<path class="steps" d="{}"/>', path)) if path else _NOTHING
    return _chart("scatter", label, [rows, under, line, marks, names])


def _cost_axis(costs: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """Cost to per cent of the width, and the costs that are written under it."""
    paid = [cost for cost in costs if cost > 0]
    free = len(paid) < len(costs)
    if not paid:
        return (lambda _cost: 50.0), [0.0]
    low, high = min(paid), max(paid)
    if high / low < _DECADES:
        start, end, step = axis([high])
        return (lambda cost: 6 + cost / end * 88), [
            start + step * at for at in range(round((end - start) / step) + 1)
        ]
    first, last = math.log10(low), math.log10(high)
    left = 14.0 if free else 6.0

    def across(cost: float) -> float:
        return 3.0 if cost <= 0 else left + (math.log10(cost) - first) / (last - first) * (94 - left)

    ticks = [10.0**power for power in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]
    return across, [*([0.0] if free else []), *ticks]


def _worth_axis(values: Sequence[float], ends: tuple[float, float] | None) -> tuple[float, float, float]:
    if ends is not None:
        return ends[0], ends[1], (ends[1] - ends[0]) / 4
    low, high = min(values), max(values)
    if low == high:
        return low - 1, low + 1, 0.5
    raw = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _placed_names(dots: Sequence[Dot], places: Sequence[Point]) -> list[tuple[str, str, int, int, str, str]]:
    """The names of the edge where they touch nothing, reckoned at the nominal size: x, y, dx, dy, anchor, text."""
    width, height = _NOMINAL
    spots = [(x / 100 * width, y / 100 * height) for x, y in places]
    taken: list[tuple[float, float, float, float]] = [
        (x - _DOT, y - _DOT, x + _DOT, y + _DOT) for x, y in spots
    ]
    placed = []
    order = sorted(range(len(dots)), key=lambda at: (spots[at][1], spots[at][0], dots[at].text))
    for at in (at for at in order if dots[at].edge):
        (x, y), wide = spots[at], len(dots[at].text) * _LETTER
        for dx, dy, anchor in (
            (-9, -8, "end"),
            (9, -8, "start"),
            (0, -11, "middle"),
            (9, 16, "start"),
            (-9, 4, "end"),
            (9, 4, "start"),
            (0, 21, "middle"),
        ):
            start = x + dx - (wide if anchor == "end" else wide / 2 if anchor == "middle" else 0)
            box = (start, y + dy - _LINE + 3, start + wide, y + dy + 3)
            own = (x - _DOT, y - _DOT, x + _DOT, y + _DOT)
            free = not any(_touch(box, other) for other in taken if other != own)
            if free and box[0] >= 0 and box[2] <= width and box[1] >= -_LINE and box[3] <= height:
                taken.append(box)
                placed.append((_n(places[at][0]), _n(places[at][1]), dx, dy, anchor, dots[at].text))
                break
    return placed


def _touch(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def range_bar(low: float, at: float, high: float, *, label: str, tone: Tone = "accent") -> SafeString:
    """A share of 0 to 1 as a tick, with the range in which it may lie."""
    return format_html(
        '<svg class="range t-{}" role="img" aria-label="{}"><rect class="track" y="6" width="100%" height="8" rx="4"/>'
        '<rect class="pend" x="{}%" y="6" width="{}%" height="8" rx="4"/><line class="at" x1="{}%" x2="{}%" y1="2" y2="18"/></svg>',
        *(tone, label, _n(low * 100), _n((high - low) * 100), _n(at * 100), _n(at * 100)),
    )


# --- who pays whom ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Arrow:
    """A tie from one node to another. weight: its size in any one unit; None is unknown, and drawn dashed.

    lines   What stands at it, a line each: the kind, then the amount with its bound.
    """

    source: str
    target: str
    lines: tuple[str, ...]
    weight: int | None = None
    tone: Tone = "c1"


_FIELD: Final = (900.0, 500.0)  # the drawing keeps its shape, so its text grows and shrinks with it
_NODE_HALF: Final = 19.0
_PLACES: Final = (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8)
_THIN, _THICK = 1.75, 8.0


def network(nodes: Sequence[Node], arrows: Sequence[Arrow], *, label: str) -> SafeString:
    """Stations on a ring with bent arrows between them: as thick as the logarithm of the weight, dashed where that is unknown.

    The first node lies at the left, the others follow so that few arrows cross.
    Raises   ValueError for an arrow to itself, to no node, or of a weight below zero.
    """
    known = {node.key for node in nodes}
    for arrow in arrows:
        if arrow.source == arrow.target or not {arrow.source, arrow.target} <= known:
            raise ValueError(f"the arrow from {arrow.source} to {arrow.target} does not tie two nodes")
        if arrow.weight is not None and arrow.weight < 0:
            raise ValueError(f"the arrow from {arrow.source} to {arrow.target} is negative")
    if not nodes:
        return _chart(
            "network",
            label,
            [mark_safe('<text class="ax" x="50%" y="50%" text-anchor="middle">Nothing to draw yet</text>')],
        )
    places = _ring([node.key for node in _untangled(nodes, arrows)], arrows)
    names = {node.key: node.text for node in nodes}
    boxes = {
        node.key: (
            places[node.key][0] - len(node.text) * 4.2 - 16,
            places[node.key][1] - _NODE_HALF,
            places[node.key][0] + len(node.text) * 4.2 + 16,
            places[node.key][1] + _NODE_HALF,
        )
        for node in nodes
    }
    thick = _thickness([arrow.weight for arrow in arrows if arrow.weight])
    beside: dict[tuple[str, str], int] = {}
    curves = []
    for arrow in arrows:
        nth = beside.get((arrow.source, arrow.target), 0)
        beside[arrow.source, arrow.target] = nth + 1
        alone = sum({arrow.source, arrow.target} == {other.source, other.target} for other in arrows) == 1
        curves.append(_bent(boxes, places, arrow, 0.02 if alone else 0.14 + 0.26 * nth))
    drawn = [
        _arrow(arrow, curve, thick(arrow.weight), names) for arrow, curve in zip(arrows, curves, strict=True)
    ]
    stations = format_html_join(
        "",
        '<g class="t-{}"><rect class="station" x="{}" y="{}" width="{}" height="{}" rx="9"/>'
        '<text class="lb" x="{}" y="{}" dy="5" text-anchor="middle">{}</text></g>',
        (
            (
                node.tone,
                *(_n(boxes[node.key][0]), _n(boxes[node.key][1])),
                *(_n(boxes[node.key][2] - boxes[node.key][0]), _n(2 * _NODE_HALF)),
                *(_n(places[node.key][0]), _n(places[node.key][1]), node.text),
            )
            for node in nodes
        ),
    )
    return format_html(
        '<svg class="chart network" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}{}</svg>',
        *(_n(_FIELD[0]), _n(_FIELD[1]), label),
        *(_join(drawn), stations, _labels(arrows, curves, list(boxes.values()))),
    )


def _untangled(nodes: Sequence[Node], arrows: Sequence[Arrow]) -> Sequence[Node]:
    """The order on the ring in which the fewest chords cross, and many ties have a long way; of many nodes, as they came."""
    if not 4 <= len(nodes) <= 7:
        return nodes
    first, *others = nodes
    pairs = {frozenset((arrow.source, arrow.target)) for arrow in arrows}

    def tangle(order: tuple[Node, ...]) -> tuple[int, int]:
        at = {node.key: place for place, node in enumerate((first, *order))}
        chords = sorted(tuple(sorted(at[key] for key in pair)) for pair in pairs)
        apart = [abs(at[arrow.source] - at[arrow.target]) for arrow in arrows]
        return (
            sum(a < c < b < d for (a, b), (c, d) in itertools.combinations(chords, 2)),
            -sum(min(gap, len(nodes) - gap) for gap in apart),
        )

    return (first, *min(itertools.permutations(others), key=tangle))


def _ring(keys: Sequence[str], arrows: Sequence[Arrow]) -> dict[str, Point]:
    """Places on an ellipse, the first at the left; neighbours with many ties between them get more room."""
    width, height = _FIELD
    if len(keys) == 1:
        return {keys[0]: (width / 2, height / 2)}
    between: dict[frozenset[str], int] = {}
    for arrow in arrows:
        pair = frozenset((arrow.source, arrow.target))
        between[pair] = between.get(pair, 0) + 1
    gaps = [
        1 + 0.5 * max(between.get(frozenset((key, keys[(at + 1) % len(keys)])), 0) - 1, 0)
        for at, key in enumerate(keys)
    ]
    turns = [sum(gaps[:at]) / sum(gaps) for at in range(len(keys))]
    return {
        key: (
            width / 2 - math.cos(2 * math.pi * turn) * (width / 2 - 90),
            height / 2 - math.sin(2 * math.pi * turn) * (height / 2 - 40),
        )
        for key, turn in zip(keys, turns, strict=True)
    }


def _thickness(weights: Sequence[int]) -> Callable[[int | None], float]:
    logs = [math.log10(weight) for weight in weights]
    low, high = min(logs, default=0.0), max(logs, default=0.0)

    def thick(weight: int | None) -> float:
        if not weight:
            return _THIN
        share = (math.log10(weight) - low) / (high - low) if high > low else 0.5
        return _THIN + 1 + share * (_THICK - _THIN - 1)

    return thick


def _bent(
    boxes: Mapping[str, tuple[float, float, float, float]],
    places: Mapping[str, Point],
    arrow: Arrow,
    bend: float,
) -> list[Point]:
    """Points of the arrow from the edge of one station to the edge of the other. bend: to its left, in parts of its length."""
    (ax, ay), (bx, by) = places[arrow.source], places[arrow.target]
    cx, cy = (ax + bx) / 2 + (by - ay) * bend, (ay + by) / 2 - (bx - ax) * bend
    points = [
        (
            (1 - t) ** 2 * ax + 2 * t * (1 - t) * cx + t * t * bx,
            (1 - t) ** 2 * ay + 2 * t * (1 - t) * cy + t * t * by,
        )
        for t in (step / 80 for step in range(81))
    ]
    inside = [*(_grown(boxes[key], 4) for key in (arrow.source, arrow.target))]
    free = [point for point in points if not any(_holds(box, point) for box in inside)]
    return free if len(free) > 2 else points


def _grown(box: tuple[float, float, float, float], by: float) -> tuple[float, float, float, float]:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _holds(box: tuple[float, float, float, float], point: Point) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]


def _arrow(arrow: Arrow, curve: Sequence[Point], thick: float, names: Mapping[str, str]) -> SafeString:
    (tx, ty), length = curve[-1], 8 + thick
    back = next((p for p in reversed(curve) if math.dist(p, curve[-1]) >= length), curve[0])
    far = math.dist(back, curve[-1]) or 1
    ux, uy = (tx - back[0]) / far, (ty - back[1]) / far
    half = 4 + thick * 0.55
    base = tx - ux * length, ty - uy * length
    shaft = [p for p in curve if math.dist(p, curve[-1]) > length] or [curve[0]]
    shaft.append((base[0] + ux, base[1] + uy))
    return format_html(
        '<g class="t-{}"><path class="{}" d="{}" stroke-width="{}"><title>{}</title></path><path class="head" d="{}"/></g>',
        *(arrow.tone, "tie" if arrow.weight is not None else "tie unsure"),
        *(_straight(shaft), _n(thick)),
        _("%(source)s to %(target)s: %(value)s")
        % {"source": names[arrow.source], "target": names[arrow.target], "value": ", ".join(arrow.lines)},
        f"M{_n(tx)} {_n(ty)}L{_n(base[0] - uy * half)} {_n(base[1] + ux * half)}L{_n(base[0] + uy * half)} {_n(base[1] - ux * half)}Z",
    )


def _labels(
    arrows: Sequence[Arrow],
    curves: Sequence[Sequence[Point]],
    taken: list[tuple[float, float, float, float]],
) -> SafeString:
    """Each beside the middle of its arrow, or where along it the least is covered."""
    parts = []
    for arrow, curve in zip(arrows, curves, strict=True):
        half = max(map(len, arrow.lines), default=0) * 3.2 + 3
        high = len(arrow.lines) * 15 / 2

        def box(
            place: float, along: Sequence[Point] = curve, w: float = half, h: float = high
        ) -> tuple[float, float, float, float]:
            x, y = along[round(place * (len(along) - 1))]
            x, y = min(max(x, w), _FIELD[0] - w), min(max(y, h), _FIELD[1] - h)
            return x - w, y - h, x + w, y + h

        others = [point for other in curves if other is not curve for point in other]

        def covered(one: tuple[float, float, float, float], lines: Sequence[Point] = others) -> float:
            return sum(_overlap(one, other) for other in taken) + 40 * sum(_holds(one, at) for at in lines)

        best = min(map(box, _PLACES), key=covered)
        taken.append(best)
        middle = (best[0] + best[2]) / 2
        parts.append(
            format_html_join(
                "",
                '<text class="{}" x="{}" y="{}" text-anchor="middle">{}</text>',
                (
                    ("what" if line else "what kind", _n(middle), _n(best[1] + 12 + 15 * line), text)
                    for line, text in enumerate(arrow.lines)
                ),
            )
        )
    return _join(parts)


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


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
        '<details class="twin"><summary>{}</summary><div class="scroll" tabindex="0" role="region" aria-label="{}"><table class="dense"><caption class="sr">{}</caption>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div></details>",
        *(_("Show as table"), _("%(caption)s, a table") % {"caption": caption}, caption, columns, body),
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
    return mark_safe("".join(map(conditional_escape, parts)))  # noqa: S308 -- what is not safe is escaped
