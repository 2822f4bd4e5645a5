"""What the parity page writes: days out of JSON, shares of a whole before and after."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config import formats
from config.language import _, spoken
from quotas.models import ParityVerdict

register = template.Library()

VERDICT_ICONS: Final = {
    ParityVerdict.CLEAN: "shield-check",
    ParityVerdict.EXCEPTED: "shield-alert",
    ParityVerdict.REFUSED: "shield-x",
}
_TONES: Final = {ParityVerdict.CLEAN: "good", ParityVerdict.EXCEPTED: "warn", ParityVerdict.REFUSED: "bad"}


@register.filter
def from_iso(iso: str | None) -> date | None:
    """A day that JSON keeps as text."""
    return date.fromisoformat(iso[:10]) if iso else None


@register.filter
def instant(iso: str | None) -> datetime | None:
    return datetime.fromisoformat(iso) if iso else None


@register.filter
def tone(verdict: str) -> str:
    return _TONES[ParityVerdict(verdict)]


@register.filter
def look(verdict: str) -> str:
    """The verdict's icon: its shape says the same as its colour and its word."""
    return VERDICT_ICONS[ParityVerdict(verdict)]


@register.filter
def word(verdict: str) -> str:
    return spoken(ParityVerdict(verdict).label)


@register.filter
def hours(minutes: int | None) -> str:
    """A length of time as people say it: 95 is "1 h 35 min", 4,658 is "3 d 5 h"."""
    if minutes is None:
        return formats.NO_VALUE
    if minutes < 60:
        return _("%(minutes)s min") % {"minutes": minutes}
    if minutes < 24 * 60:
        said = _("%(hours)s h") if not minutes % 60 else _("%(hours)s h %(minutes)s min")
        return said % {"hours": minutes // 60, "minutes": minutes % 60}
    said = _("%(days)s d") if minutes % 1440 < 60 else _("%(days)s d %(hours)s h")
    return said % {"days": minutes // 1440, "hours": minutes % 1440 // 60}


@register.filter
def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return (
        _("%(first)s and %(last)s") % {"first": ", ".join(words[:-1]), "last": words[-1]}
        if len(words) > 1
        else "".join(words)
    )


@register.simple_tag
def part(ppm: int | None, tone: str = "muted") -> SafeString:
    """A share of a whole as a small bar beside its number; the number says it, the bar is decoration."""
    return format_html(
        '<svg class="part t-{}" aria-hidden="true"><rect class="track" width="100%" height="100%" rx="3"/>'
        '<rect class="fill" width="{}%" height="100%" rx="3"/></svg>',
        tone,
        _width(ppm),
    )


@register.simple_tag
def moved(figures: Mapping[str, Any]) -> SafeString:
    """A share before (pale) and after (full), one under the other, with both numbers."""
    before, after = figures["before_ppm"], figures["after_ppm"]
    gap = None if before is None or after is None else after - before
    return format_html(
        '<div class="moved"><svg aria-hidden="true"><rect class="was" y="0" width="{}%" height="6" rx="3"/><rect class="is" y="9" width="{}%" height="6" rx="3"/></svg>'
        '<span class="dim">{}</span><b>{}</b><small>{}</small></div>',
        _width(before),
        _width(after),
        _share(before),
        _share(after),
        "" if gap is None else _("%(points)s pts") % {"points": formats.points(Fraction(gap, 1_000_000))},
    )


def _share(ppm: int | None) -> str:
    return formats.NO_VALUE if ppm is None else formats.percent(ppm, 1_000_000)


def _width(ppm: int | None) -> str:
    return f"{min(max(ppm or 0, 0), 1_000_000) / 10_000:.2f}"
