"""Small parts of a page that stand in loops, and numbers as text. Bigger parts are components: templates/cotton/."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from django import template
from django.conf import settings
from django.forms import BoundField
from django.http import QueryDict
from django.templatetags.static import static
from django.utils.html import escape, format_html, format_html_join
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify

from config import charts, formats

register = template.Library()

_NOTHING: Final = mark_safe("")

# What a state is called, and how it feels. A state nobody listed here is shown as it is, in grey.
STATES: Final[Mapping[str, tuple[str, charts.Tone]]] = {
    # deals
    "draft": ("Draft", "muted"),
    "submitted": ("Submitted", "warn"),
    "approved": ("Approved", "good"),
    "rejected": ("Rejected", "bad"),
    "returned": ("Returned", "warn"),
    "cancelled": ("Cancelled", "muted"),
    "held": ("Held", "warn"),
    # credits
    "pending": ("Pending", "warn"),
    "credited": ("Credited", "good"),
    "reversed": ("Reversed", "muted"),
    "clawed_back": ("Clawed back", "bad"),
    "disputed": ("Disputed", "warn"),
    # periods and plans
    "future": ("Future", "muted"),
    "open": ("Open", "accent"),
    "closing": ("Closing", "warn"),
    "closed": ("Closed", "muted"),
    "reopened": ("Reopened", "warn"),
    "published": ("Published", "good"),
    "superseded": ("Superseded", "muted"),
    # disputes and adjustments
    "asked": ("Waits for a second person", "warn"),
    "posted": ("Posted", "good"),
    # change sets
    "applied": ("Applied", "good"),
    "withdrawn": ("Withdrawn", "muted"),
    # jobs
    "waiting": ("Waiting", "muted"),
    "running": ("Running", "accent"),
    "done": ("Done", "good"),
    "failed": ("Failed", "bad"),
    # private offers
    "sent": ("Sent", "accent"),
    "accepted": ("Accepted", "good"),
    "declined": ("Declined", "bad"),
    "expired": ("Expired", "muted"),
    # deliveries
    "delivered": ("Delivered", "good"),
    "given_up": ("Given up", "bad"),
    # publication
    "in_review": ("In review", "warn"),
    "changes_requested": ("Changes requested", "warn"),
    "scheduled": ("Scheduled", "accent"),
    "live": ("Live", "good"),
    "stopped": ("Stopped", "bad"),
    "suspended": ("Suspended", "bad"),
    "archived": ("Archived", "muted"),
    # lifecycle
    "preview": ("Preview", "accent"),
    "generally_available": ("Generally available", "good"),
    "legacy": ("Legacy", "warn"),
    "deprecated": ("Deprecated", "warn"),
    "retired": ("Retired", "muted"),
    # substitutions
    "proposed": ("Proposed", "warn"),
    "qualified": ("Qualified", "good"),
    # evidence and amounts
    "reported": ("Reported", "muted"),
    "assumed": ("Assumed", "warn"),
    "synthetic": ("Synthetic", "muted"),
    "confirmed": ("Confirmed", "good"),
    "planned": ("Planned", "accent"),
    "announced": ("Announced", "accent"),
    "signed": ("Signed", "good"),
    "in force": ("In force", "good"),
    "ended": ("Ended", "muted"),
}
TONE_ICONS: Final = {
    "good": "circle-check",
    "accent": "circle-dot",
    "warn": "clock-alert",
    "bad": "circle-x",
    "muted": "circle-minus",
}
MESSAGE_ICONS: Final = {
    "success": "circle-check",
    "info": "info",
    "debug": "info",
    "warning": "triangle-alert",
    "error": "circle-alert",
}
ROLE_ICONS: Final = {
    "rep": "handshake",
    "manager": "users",
    "comp_admin": "scale",
    "catalog_manager": "layout-grid",
    "partner": "building-2",
    "sourcing_lead": "network",
    "auditor": "shield-check",
    "engineer": "code",
}
_MESSAGE_TONES: Final = {"success": "good", "warning": "warn", "error": "bad"}


class Currency(Protocol):
    """Anything with a code and an exponent."""

    code: str
    exponent: int


# --- assets -----------------------------------------------------------------------------------------------


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite; decoration unless it has a label."""
    return _icon(f"{_sprite()}#{name}", label)


def _sprite() -> str:
    files = settings.STORAGES["staticfiles"]["BACKEND"], settings.STATIC_URL, str(settings.STATIC_ROOT)
    return _sprite_of(*files, settings.DEBUG)


@lru_cache(maxsize=8)
def _sprite_of(*_files: str | bool) -> str:
    """Worked out once for a set of static files: a page names it a hundred times."""
    return static("ui/icons.svg")


@lru_cache(maxsize=1024)
def _icon(href: str, label: str) -> SafeString:
    if label:
        return format_html('<svg class="i" role="img" aria-label="{}"><use href="{}"/></svg>', label, href)
    return format_html('<svg class="i" aria-hidden="true"><use href="{}"/></svg>', href)


@register.simple_tag
def font_preload() -> SafeString:
    """The regular weight early, where set-up found one."""
    if not _font_exists(str(settings.LOCAL_DIR)):
        return _NOTHING
    url = static("ui/fonts/inter-400.woff2")
    return format_html('<link rel="preload" href="{}" as="font" type="font/woff2" crossorigin>', url)


@lru_cache(maxsize=4)
def _font_exists(local: str) -> bool:
    return (Path(local) / "assets" / "ui" / "fonts" / "inter-400.woff2").is_file()


# --- numbers ----------------------------------------------------------------------------------------------


@register.simple_tag
def money(
    minor: int | None,
    currency: str | Currency = "USD",
    exponent: int | None = None,
    compact: bool = False,
    signed: bool = False,
) -> str:
    """{% money deal.value_minor deal.currency compact=True %}: a code ("EUR", exponent 2 unless given) or a currency."""
    if minor is None:
        return formats.NO_VALUE
    code, places = (currency, 2) if isinstance(currency, str) else (currency.code, currency.exponent)
    return formats.money(
        minor, code, places if exponent is None else exponent, compact=compact, signed=signed
    )


@register.simple_tag
def count(
    value: int | None, exponent: int = formats.COUNT_EXPONENT, compact: bool = False, signed: bool = False
) -> str:
    return (
        formats.NO_VALUE if value is None else formats.count(value, exponent, compact=compact, signed=signed)
    )


@register.simple_tag
def measured(
    value: int | None, code: str | None, exponent: int, compact: bool = False, signed: bool = False
) -> str:
    """A value of a measure: money with a code, a count without."""
    if value is None:
        return formats.NO_VALUE
    return formats.measured(value, code, exponent, compact=compact, signed=signed)


@register.simple_tag
def percent(part: int | None, whole: int | None, places: int = 1, signed: bool = False) -> str:
    if part is None or not whole:
        return formats.NO_VALUE
    return formats.percent(part, whole, places, signed=signed)


@register.filter
def ppm(value: int | None, places: int = 1) -> str:
    """Parts per million as a percentage: 500000 is "50%", 333333 is "33.3%"."""
    if value is None:
        return formats.NO_VALUE
    exact = value % 10_000 == 0
    return formats.percent(value, 1_000_000, 0 if exact else places)


@register.filter
def factor(value: int | None) -> str:
    """Parts per million as a multiplier."""
    return formats.NO_VALUE if value is None else formats.multiplier(value)


@register.filter
def grouped(value: int | None) -> str:
    """An ordinary integer with separators."""
    return formats.NO_VALUE if value is None else formats.whole(value)


@register.filter
def score(value: Decimal | None, places: int | None = None) -> str:
    """A measured figure as its source gives it, without zeros at its end; rounded to *places* where given."""
    return formats.NO_VALUE if value is None else formats.decimal(value, places)


@register.filter
def usd(value: Fraction | None) -> str:
    """An exact amount of dollars, in cents; unknown is a dash."""
    return formats.NO_VALUE if value is None else formats.usd(value)


# --- parts that stand in rows -----------------------------------------------------------------------------


@register.simple_tag
def attainment(credited: int, quota: int, pending: int = 0, pace_ppm: int | None = None) -> SafeString:
    """Percent, bar and word; the content of a cell with class c-att."""
    at = charts.standing(credited, quota, pace_ppm)
    bar = charts.attainment_bar(credited, quota, pending=pending, pace_ppm=pace_ppm, tone=at.tone)
    return format_html(
        '<div class="attain t-{}"><b class="pct">{}</b>{}<span class="tag">{}</span></div>',
        *(at.tone, formats.percent(credited, quota) if quota > 0 else formats.NO_VALUE, bar, at.word),
    )


@register.simple_tag
def attainment_bar(credited: int, quota: int, pending: int = 0, pace_ppm: int | None = None) -> SafeString:
    """The bar alone."""
    return charts.attainment_bar(credited, quota, pending=pending, pace_ppm=pace_ppm)


@register.simple_tag
def attainment_scale(pace_ppm: int | None = None) -> SafeString:
    """Where pace and quota lie, for the head of a column of bars."""
    marks = [(_percent(100 / 1.4), "", "Quota")]
    if pace_ppm is not None:
        marks.insert(0, (_percent(min(pace_ppm / 10_000, 140) / 1.4), "now", "Pace"))
        if abs(pace_ppm - 1_000_000) < 220_000:  # the two words would touch: the quota's line needs none then
            marks.pop()
    texts = format_html_join("", '<text x="{}" y="16" text-anchor="middle" class="{}">{}</text>', marks)
    return format_html('<svg class="scale" aria-hidden="true">{}</svg>', texts)


def _percent(value: float) -> str:
    return f"{value:.2f}%"


@register.simple_tag
def spark(values: Sequence[float], label: str, tone: charts.Tone = "accent") -> SafeString:
    return charts.sparkline(values, label=label, tone=tone)


@register.simple_tag
def state(name: str, text: str = "") -> SafeString:
    """A state as a badge: icon, word, tone."""
    word, tone = STATES.get(name, (name.replace("_", " ").capitalize(), "muted"))
    return _state(text or word, tone, icon(TONE_ICONS[tone]))


@lru_cache(maxsize=256)
def _state(text: str, tone: str, picture: SafeString) -> SafeString:
    return format_html('<span class="badge t-{}">{}{}</span>', tone, picture, text)


@register.simple_tag
def badge(text: str, tone: str = "muted", icon_name: str = "") -> SafeString:
    return format_html(
        '<span class="badge t-{}">{}{}</span>', tone, icon(icon_name) if icon_name else "", text
    )


@register.simple_tag
@lru_cache(maxsize=4)
def origin(name: str) -> SafeString:
    """Whose model it is. Both look alike on purpose: origin is a fact, not a rank."""
    first = name in ("first", "first_party")
    return format_html(
        '<span class="origin {}"><svg viewBox="0 0 10 10" aria-hidden="true"><circle cx="5" cy="5" r="3.5"/></svg>{}</span>',
        *("first" if first else "third", "First party" if first else "Third party"),
    )


@register.simple_tag
def avatar(name: str) -> SafeString:
    """Initials on a hue that belongs to the name; decoration beside the name itself."""
    words = [word for word in name.replace("-", " ").split() if word[0].isalpha()]
    initials = "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper() or "?"
    return format_html('<b class="av h{}" aria-hidden="true">{}</b>', sum(map(ord, name)) % 6, initials)


@register.simple_tag
def movement(places: int | None) -> SafeString:
    """Places won (positive) or lost since the last look."""
    if not places:
        said = "new" if places is None else "no change"
        return format_html(
            '<span class="mv"><span aria-hidden="true">{}</span><span class="sr"> {}</span></span>',
            formats.NO_VALUE,
            said,
        )
    up = places > 0
    return format_html(
        '<span class="mv {}"><span aria-hidden="true">{}</span>{}<span class="sr"> {} {}</span></span>',
        *("up" if up else "down", "▲" if up else "▼", abs(places)),
        *("place" if abs(places) == 1 else "places", "up" if up else "down"),
    )


@register.simple_tag
def eligibility(answers: Iterable[Mapping[str, str]], compact: bool = False) -> SafeString:
    """The strip: one chip a program, each with its word, tone and reason.

    answers   Mappings with label ("Quota"), value ("Counts 100%"), tone, why; why may be empty.
    compact   For rows: chips only, the reason is read out but does not unfold.
    """
    chips = [
        _chip(answer["label"], answer["value"], answer["tone"], answer.get("why", ""), compact)
        for answer in answers
    ]
    return format_html(
        '<ul class="strip{}">{}</ul>', " compact" if compact else "", SafeString("".join(chips))
    )


class Choice(Protocol):
    """One value of a filter, with the address that chooses it or lets go of it."""

    @property
    def label(self) -> str: ...
    @property
    def href(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def chosen(self) -> bool: ...


@register.simple_tag
def choices(values: Iterable[Choice], target: str) -> SafeString:
    """Filters as chips with their counts: real links, whose answer takes the place of *target*."""
    return format_html_join(
        "",
        '<a class="chip" href="{0}"{1} hx-get="{0}" hx-target="{2}" hx-swap="outerHTML" hx-push-url="true">{3}<em>{4}</em></a>',
        (
            (
                SafeString(escape(value.href)),
                SafeString(' aria-current="true"') if value.chosen else _NOTHING,
                target,
                value.label,
                formats.whole(value.count),
            )
            for value in values
        ),
    )


@lru_cache(maxsize=1024)
def _chip(label: str, value: str, tone: str, why: str, compact: bool) -> SafeString:
    """The rows of a list mostly share theirs."""
    face = format_html("{}<span>{}</span><b>{}</b>", icon(TONE_ICONS[tone]), label, value)
    if compact or not why:
        said = format_html('<span class="sr">: {}</span>', why) if why else _NOTHING
        return format_html('<li class="elig t-{}"><span>{}{}</span></li>', tone, face, said)
    return format_html(
        '<li class="elig t-{}"><details name="eligibility"><summary>{}{}</summary><p>{}</p></details></li>',
        *(tone, face, icon("chevron-down"), why),
    )


@register.simple_tag
def progress(done: int, total: int, label: str) -> SafeString:
    """A bar with its words: 1,250 of 5,000."""
    share = _percent(min(max(done / total, 0), 1) * 100) if total > 0 else "0%"
    return format_html(
        '<div class="progress"><svg role="img" aria-label="{}: {} of {}"><rect class="track" width="100%" height="100%" rx="3"/>'
        '<rect class="fill" width="{}" height="100%" rx="3"/></svg><small>{} of {}</small></div>',
        *(label, formats.whole(done), formats.whole(total), share, formats.whole(done), formats.whole(total)),
    )


# --- forms ------------------------------------------------------------------------------------------------


@register.inclusion_tag("components/field.html")
def field(
    bound: BoundField,
    prefix: str = "",
    suffix: str = "",
    validate: str = "",
    hide_label: bool = False,
) -> dict[str, Any]:
    """A form field with label, help and error beside it.

    prefix, suffix   A unit in the box ("$", "%").
    validate         An address that answers this field anew, checked, when it is left.
    """
    widget = bound.field.widget
    kind = getattr(widget, "input_type", "select" if bound.widget_type == "select" else bound.widget_type)
    return {
        "field": bound,
        "kind": kind,
        "prefix": prefix,
        "suffix": suffix,
        "validate": validate,
        "hide_label": hide_label,
        "choice": kind in ("checkbox", "radio") and not bound.use_fieldset,
    }


@register.filter
def attr(bound: BoundField, pair: str) -> SafeString:
    """The widget with one more attribute: {{ form.amount|attr:"inputmode=decimal" }}."""
    name, _, value = pair.partition("=")
    return bound.as_widget(attrs={name: value})


# --- messages, addresses ----------------------------------------------------------------------------------


@register.filter
def message_tone(tag: str) -> str:
    return _MESSAGE_TONES.get(tag, "accent")


@register.filter
def message_icon(tag: str) -> str:
    return MESSAGE_ICONS.get(tag, "info")


@register.filter
def role_icon(role: str) -> str:
    return ROLE_ICONS.get(role, "user-round")


@register.filter
def undo_url(tags: str) -> str:
    """The address in a message's extra tag "undo:/deals/7/undo/", if it is one of ours."""
    for tag in (tags or "").split():
        path = tag.removeprefix("undo:")
        if path != tag and url_has_allowed_host_and_scheme(path, allowed_hosts=None):
            return path
    return ""


@register.filter
def anchor(text: str) -> str:
    """A text as an id."""
    return slugify(text) or "part"


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: Any) -> str:
    """This page's query string with *changes*; an empty value takes the parameter away. Paging starts anew."""
    request = context.get("request")
    current = request.GET.copy() if request is not None else QueryDict(mutable=True)
    current.pop("cursor", None)
    for name, value in changes.items():
        current.pop(name, None)
        if value not in (None, ""):
            current[name] = str(value)
    return "?" + urlencode(list(current.lists()), doseq=True)
