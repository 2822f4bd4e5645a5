"""How numbers, days and times are written for whoever reads: one Style for each locale, and the one in effect.

Nothing is in effect outside a page and a mail: what is recorded, computed, exported or answered over REST is in the house's
style, whoever asks. The data comes from Unicode's locale data as Babel carries it, and is taken apart once for each locale,
so that writing a number costs what it costs without. Digits are Latin everywhere. Why so: docs/decisions/0025-locale.md.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache, wraps
from typing import Any, Final, Literal, ParamSpec, Protocol, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core import checks
from django.http import HttpRequest
from django.utils import timezone, translation

MINUS: Final = "\N{MINUS SIGN}"
GAP: Final = "\N{NO-BREAK SPACE}"
HOUSE_TAG: Final = "en"

Form = Literal[
    "day", "day_long", "day_short", "month", "month_long", "month_short", "month_name", "month_name_long",
    "moment", "moment_short", "moment_exact", "clock", "clock_exact",
]  # fmt: skip
Tier = tuple[int, str, str]
Affixes = tuple[str, str, str, str]
Piece = tuple[str, str]

OFFERED: Final = (
    *("en-US", "en-GB", "en-CA", "en-AU", "en-IN", "en-IE", "de-DE", "de-AT", "de-CH", "fr-FR", "fr-CA", "fr-CH"),
    *("es-ES", "es-MX", "it-IT", "nl-NL", "pt-BR", "pt-PT", "sv-SE", "da-DK", "nb-NO", "fi-FI", "pl-PL", "cs-CZ"),
    *("tr-TR", "ja-JP", "ko-KR", "zh-CN", "zh-TW", "hi-IN"),
)  # fmt: skip
REGIONS: Final = frozenset(
    ("Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
)

_SYMBOLS: Final = {
    "USD": "$",
    "EUR": "€",
    "GBP": "£",
    "JPY": "¥",
    "CNY": "CN¥",
    "INR": "₹",
    "KRW": "₩",
    "BRL": "R$",
    "CAD": "CA$",
    "AUD": "A$",
    "NZD": "NZ$",
    "MXN": "MX$",
    "SGD": "S$",
    "HKD": "HK$",
}
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_HOUSE_FORMS: Final[Mapping[Form, str]] = {
    "day": "d MMM y",
    "day_long": "d MMMM y",
    "day_short": "d MMM",
    "month": "MMM y",
    "month_long": "MMMM y",
    "month_short": "MMM yy",
    "month_name": "MMM",
    "month_name_long": "MMMM",
    "moment": "d MMM y, HH:mm",
    "moment_short": "d MMM, HH:mm",
    "moment_exact": "d MMM y, HH:mm:ss",
    "clock": "HH:mm",
    "clock_exact": "HH:mm:ss",
}
_LETTERS: Final = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']+")
_HIDDEN: Final = re.compile("[\u061c\u200e\u200f]")  # marks of direction: a page runs from left to right


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """One locale, taken apart.

    sizes     Digits of the last group, and of those before it: (3, 3), in India (3, 2).
    money     What stands before and behind a positive amount, and a negative one; ¤ is the currency, - the sign.
    percent   The same round a percentage.
    symbols   Code to symbol; a code without one stands for itself.
    tiers     For 10^3, 10^4 and so on: the power of ten that is left out, and what stands before and behind instead.
    forms     Taken apart: pairs of a letter as Unicode's patterns have it, or "" and a text.
    names     Of months: "MMM" short and "MMMM" long within a date, "LLL" and "LLLL" alone; "a" before noon and after it.
    """

    tag: str
    name: str
    decimal: str
    group: str
    sizes: tuple[int, int]
    money: Affixes
    percent: Affixes
    symbols: Mapping[str, str]
    tiers: tuple[Tier, ...]
    forms: Mapping[Form, tuple[Piece, ...]]
    names: Mapping[str, tuple[str, ...]]


def _pieces(pattern: str) -> tuple[Piece, ...]:
    """A pattern such as d MMM 'de' y as letters and texts."""
    found: list[Piece] = []
    for match in _LETTERS.finditer(_HIDDEN.sub("", pattern)):
        if match[2]:
            found.append((match[0], ""))
        else:
            found.append(("", match[0] if match[1] is None else match[1].replace("''", "'") or "'"))
    return tuple(found)


HOUSE: Final = Style(
    tag=HOUSE_TAG,
    name="English",
    decimal=".",
    group=",",
    sizes=(3, 3),
    money=("¤", "", "-¤", ""),
    percent=("", "%", "-", "%"),
    symbols=_SYMBOLS,
    tiers=(*[(3, "", "K")] * 3, *[(6, "", "M")] * 3, *[(9, "", "B")] * 3, (12, "", "T")),
    forms={form: _pieces(pattern) for form, pattern in _HOUSE_FORMS.items()},
    names={
        "MMM": tuple(month[:3] for month in _MONTHS),
        "MMMM": _MONTHS,
        "LLL": tuple(month[:3] for month in _MONTHS),
        "LLLL": _MONTHS,
        "a": ("AM", "PM"),
    },
)
"""What Parity itself writes: $1,234.56, 71.3%, 14 Aug 2026, 16:05."""

in_effect: ContextVar[Style] = ContextVar("locale", default=HOUSE)
current: Final[Callable[[], Style]] = in_effect.get
"""The style in effect: of the person who reads this page or mail, else the house's."""


@lru_cache(maxsize=64)
def style(tag: str) -> Style:
    """By BCP 47 tag; "en" is the house's. Raises ValueError for one that there is no data for."""
    if tag == HOUSE_TAG:
        return HOUSE
    from babel import Locale, UnknownLocaleError  # here: what never leaves the house's style never loads it

    try:
        data = Locale.parse(tag, sep="-")
    except UnknownLocaleError as unknown:
        raise ValueError(f"{tag} is not a locale that there is data for.") from unknown
    signs = data.number_symbols.get("latn") or data.number_symbols[data.default_numbering_system]
    short, medium, joined = (
        data.time_formats["short"],
        data.time_formats["medium"],
        data.datetime_formats["medium"],
    )
    day, day_short = data.date_formats["medium"].pattern, _skeleton(data, "MMMd")
    month, month_long = _skeleton(data, "yMMM"), _skeleton(data, "yMMMM")
    patterns: dict[Form, str] = {
        "day": day,
        "day_long": data.date_formats["long"].pattern,
        "day_short": day_short,
        "month": month,
        "month_long": month_long,
        "month_short": re.sub(r"(?<!y)y(?!y)", "yy", month),
        "month_name": "LLL",
        "month_name_long": "LLLL",
        "moment": _joined(joined, day, short.pattern),
        "moment_short": _joined(joined, day_short, short.pattern),
        "moment_exact": _joined(joined, day, medium.pattern),
        "clock": short.pattern,
        "clock_exact": medium.pattern,
    }
    months = data.months
    within, alone = months["format"], months["stand-alone"]
    noon = data.day_periods["format"]["abbreviated"]
    sizes = data.decimal_formats[None].grouping
    return Style(
        tag=tag,
        name=_upper_first(str(data.get_display_name(data))),
        decimal=_HIDDEN.sub("", signs["decimal"]),
        group=_HIDDEN.sub("", signs["group"]),
        sizes=(sizes[0], sizes[1]),
        money=_affixes(data.currency_formats["standard"]),
        percent=_affixes(data.percent_formats[None]),
        symbols=dict(data.currency_symbols),
        tiers=_tiers(data.compact_decimal_formats["short"]["other"]),
        forms={form: _pieces(pattern) for form, pattern in patterns.items()},
        names={
            "MMM": tuple(str(within["abbreviated"][at]) for at in range(1, 13)),
            "MMMM": tuple(str(within["wide"][at]) for at in range(1, 13)),
            "LLL": tuple(
                str((_own(alone, "abbreviated") or within["abbreviated"])[at]) for at in range(1, 13)
            ),
            "LLLL": tuple(str((_own(alone, "wide") or within["wide"])[at]) for at in range(1, 13)),
            "a": (str(noon["am"]), str(noon["pm"])),
        },
    )


def _own(alone: Any, width: str) -> Any:
    """Names of months that stand alone, where the locale has its own; an alias to another language's is none."""
    found = alone.get(width) if hasattr(alone, "get") else None
    return found if found and not re.fullmatch(r"8月|M08|8", str(found[8])) else None


def _upper_first(name: str) -> str:
    return name[:1].upper() + name[1:]


def _skeleton(data: Any, name: str) -> str:
    return str(data.datetime_skeletons[name].pattern)


def _joined(pattern: Any, day: str, clock: str) -> str:
    return str(getattr(pattern, "pattern", pattern)).replace("{1}", day).replace("{0}", clock)


def _affixes(pattern: Any) -> Affixes:
    (before, before_negative), (behind, behind_negative) = pattern.prefix, pattern.suffix
    plain = (_HIDDEN.sub("", part) for part in (before, behind, before_negative, behind_negative))
    return tuple(plain)  # type: ignore[return-value]  # four of them


def _tiers(patterns: Mapping[str, Any]) -> tuple[Tier, ...]:
    """Of "1000": 0K, "10000": 00K and so on. The number of zeros says how much of the number is left before the letters."""
    found = []
    for thousand, pattern in sorted(patterns.items(), key=lambda each: len(each[0])):
        written = _HIDDEN.sub("", str(pattern.pattern)).replace("'", "")
        zeros = written.count("0")
        before, _zeros, behind = written.partition("0" * zeros)
        power = len(thousand) - zeros if before or behind else 0
        found.append((power, before, behind))
    return tuple(found)


# --- days and times ---------------------------------------------------------------------------------------


def write(form: Form, at: date, written: Style | None = None) -> str:
    """A day, or a moment as its own zone has it, in one of a style's forms."""
    own = written or current()
    parts = []
    for letters, text in own.forms[form]:
        parts.append(_part(own, letters, at) if letters else text)
    return "".join(parts)


def _part(own: Style, letters: str, at: date) -> str:
    kind, wide = letters[0], len(letters)
    if kind in "ML":
        return own.names[letters][at.month - 1] if wide > 2 else f"{at.month:0{wide}d}"
    if kind == "y":
        return f"{at.year % 100:02d}" if wide == 2 else str(at.year)
    if kind == "d":
        return f"{at.day:0{wide}d}"
    if not isinstance(at, datetime):
        raise TypeError(f"a day has no {letters}")
    if kind in "aB":
        return own.names["a"][at.hour >= 12]
    hour = {"H": at.hour, "h": at.hour % 12 or 12, "K": at.hour % 12, "k": at.hour or 24}
    return f"{hour[kind] if kind in hour else {'m': at.minute, 's': at.second}[kind]:0{wide}d}"


def zone_name(at: datetime) -> str:
    """CEST; where a zone has no letters of its own, UTC−3."""
    name = at.tzname() or ""
    return name if name[:1].isalpha() else offset(at)


def offset(at: datetime) -> str:
    """UTC+2, UTC+5:30."""
    minutes = int((at.utcoffset() or timedelta()).total_seconds() // 60)
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{MINUS if minutes < 0 else '+'}{hours}{f':{rest:02d}' if rest else ''}"


def elsewhere(zone: tzinfo) -> bool:
    """Whether times are shown in another zone than the operator's, and have to say so."""
    return str(zone) != settings.TIME_ZONE


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """The zones that one may choose: a region's cities, and UTC. Old names and bare offsets are left out."""
    named = (name for name in available_timezones() if name.partition("/")[0] in REGIONS)
    return (*sorted(named), "UTC")


@checks.register()
def operators_locale_is_on_offer(app_configs: Any, **_newer: Any) -> list[checks.CheckMessage]:
    """Where it is not, everybody would read the house's style, and nobody would know why."""
    if settings.LOCALE in (HOUSE_TAG, *OFFERED):
        return []
    hint = f"Choose one of {', '.join((HOUSE_TAG, *OFFERED))}."
    return [
        checks.Error(
            f"PARITY_LOCALE is {settings.LOCALE}, which is not on offer.", hint=hint, id="config.E001"
        )
    ]


# --- whose style is in effect -----------------------------------------------------------------------------


class Reader(Protocol):
    """Somebody with preferences; empty ones are the operator's."""

    locale: str
    language: str
    time_zone: str


def offered(tag: str) -> Style:
    """The style of a tag; the operator's where the tag is empty or not offered (any more)."""
    known = (HOUSE_TAG, *OFFERED)
    return style(next((one for one in (tag, settings.LOCALE) if one in known), HOUSE_TAG))


def accepted(header: str) -> Style:
    """What a browser asks for by Accept-Language, for somebody whom we do not know yet.

    A browser says en-US whatever its owner's habits are: where the operator's style is English that is no wish.
    """
    wishes = []
    for at, part in enumerate(header.split(",")[:20]):
        tag, _semicolon, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), at, tag))
        except ValueError:
            continue
    own = offered("")
    for _quality, _at, tag in sorted(wishes):
        language = tag.partition("-")[0].lower()
        if tag.lower() in ("en", "en-us") and own.tag.partition("-")[0] == "en":
            return own
        same = [one for one in OFFERED if one.lower() == tag.lower()] or [
            one for one in OFFERED if one.partition("-")[0] == language != "en"
        ]
        if same:
            return style(same[0])
    return own


@contextmanager
def using(written: Style) -> Iterator[None]:
    """Write in this style within."""
    token = in_effect.set(written)
    try:
        yield
    finally:
        in_effect.reset(token)


P = ParamSpec("P")
R = TypeVar("R")


@contextmanager
def house() -> Iterator[None]:
    """As no particular person reads it: the house's style and language, the operator's zone. For what is kept or sent to programs."""
    with (
        using(HOUSE),
        translation.override(settings.LANGUAGE_CODE),
        timezone.override(ZoneInfo(settings.TIME_ZONE)),
    ):
        yield


def as_data(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: what it makes is a file or a record, not a page, and is the same whoever asks."""

    @wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with house():
            return function(*args, **kwargs)

    return within


@contextmanager
def read_by(person: Reader) -> Iterator[None]:
    """As this person reads: style, zone and language of the preferences, the operator's where there are none."""
    with ExitStack() as stack:
        stack.enter_context(using(offered(person.locale)))
        stack.enter_context(timezone.override(zone_of(person)))
        if person.language in dict(settings.LANGUAGES):
            stack.enter_context(translation.override(person.language))
        yield


def zone_of(person: Reader) -> ZoneInfo:
    """The zone that a person chose; the operator's where it is none of ours (any more)."""
    return ZoneInfo(person.time_zone if person.time_zone in zones() else settings.TIME_ZONE)


@contextmanager
def answering(request: HttpRequest, person: Reader | None) -> Iterator[None]:
    """For a page: as *person* reads, or by what the browser of an unknown visitor says."""
    if person is not None:
        with read_by(person):
            yield
        return
    with using(accepted(request.headers.get("Accept-Language", ""))):
        yield
