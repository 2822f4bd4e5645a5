"""A life drawn by its dates: one bar, a part for each stage, the day that is looked at. The list beside it says the same in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from config.charts import Tone

MOST_YEARS: Final = 8
BEFORE: Final = timedelta(days=60)
_NOTHING: Final = mark_safe("")
_TRACK: Final = mark_safe('<rect class="track" width="100%" y="8" height="14" rx="4"/>')


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stage from its first day until the next one begins."""

    label: str
    first: date
    tone: Tone


def timeline(stretches: Sequence[Stretch], *, on: date, label: str) -> SafeString:
    """The stages in the order of their days, with the years below and a mark on *on*; nothing without a stage."""
    if not stretches:
        return _NOTHING
    first = min(stretches[0].first, on) - BEFORE
    after = max(stretches[-1].first, on)
    last = after + max(BEFORE, (after - first) // 8)
    whole = (last - first).days

    def place(day: date) -> float:
        return (day - first).days / whole * 100

    parts: list[SafeString] = [_TRACK]
    for stretch, following in zip(stretches, [*stretches[1:], None], strict=True):
        start, end = place(stretch.first), place(following.first) if following else 100.0
        parts.append(
            format_html(
                '<rect class="fill t-{}" x="{}%" width="{}%" y="8" height="14"><title>{}</title></rect>',
                *(stretch.tone, _n(start), _n(max(end - start, 0.4)), stretch.label),
            )
        )
    for year in _years(first, last):
        x = _n(place(date(year, 1, 1)))
        parts.append(
            format_html(
                '<line class="grid" x1="{}%" x2="{}%" y1="24" y2="29"/><text class="ax" x="{}%" y="42" text-anchor="middle">{}</text>',
                *(x, x, x, year),
            )
        )
    x = _n(place(on))
    parts.append(format_html('<line class="now" x1="{}%" x2="{}%" y1="2" y2="28"/>', x, x))
    return format_html(
        '<svg class="life" width="100%" height="46" role="img" aria-label="{}">{}</svg>',
        label,
        mark_safe("".join(parts)),  # noqa: S308 -- each part was escaped when it was made
    )


def _years(first: date, last: date) -> list[int]:
    years = [year for year in range(first.year + 1, last.year + 1) if date(year, 1, 1) <= last]
    return years[:: -(-len(years) // MOST_YEARS)] if years else []


def _n(value: float) -> str:
    return f"{value:.2f}"
