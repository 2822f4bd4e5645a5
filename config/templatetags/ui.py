"""Small parts of a page that stand in loops, and numbers as text. Bigger parts are components: templates/cotton/."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
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
from config.language import _, later, ngettext, spoken
from config.paging import PAGE, Part, paged

register = template.Library()
register.filter(
    "spoken", spoken
)  # {{ deal.get_state_display|spoken }}: marked in the model, said by the page

_NOTHING: Final = mark_safe("")

# What a state is called, and how it feels. A state nobody listed here is shown as it is, in grey.
STATES: Final[Mapping[str, tuple[str, charts.Tone]]] = {
    # deals
    "draft": (later("Draft"), "muted"),
    "submitted": (later("Submitted"), "warn"),
    "approved": (later("Approved"), "good"),
    "rejected": (later("Rejected"), "bad"),
    "returned": (later("Returned"), "warn"),
    "cancelled": (later("Cancelled"), "muted"),
    "held": (later("Held"), "warn"),
    # credits
    "pending": (later("Pending"), "warn"),
    "credited": (later("Credited"), "good"),
    "reversed": (later("Reversed"), "muted"),
    "clawed_back": (later("Clawed back"), "bad"),
    "disputed": (later("Disputed"), "warn"),
    # periods and plans
    "future": (later("Future"), "muted"),
    "open": (later("Open"), "accent"),
    "closing": (later("Closing"), "warn"),
    "closed": (later("Closed"), "muted"),
    "reopened": (later("Reopened"), "warn"),
    "published": (later("Published"), "good"),
    "superseded": (later("Superseded"), "muted"),
    # disputes and adjustments
    "asked": (later("Waits for a second person"), "warn"),
    "posted": (later("Posted"), "good"),
    # change sets
    "applied": (later("Applied"), "good"),
    "withdrawn": (later("Withdrawn"), "muted"),
    # jobs
    "waiting": (later("Waiting"), "muted"),
    "running": (later("Running"), "accent"),
    "done": (later("Done"), "good"),
    "failed": (later("Failed"), "bad"),
    # private offers
    "sent": (later("Sent"), "accent"),
    "accepted": (later("Accepted"), "good"),
    "declined": (later("Declined"), "bad"),
    "expired": (later("Expired"), "muted"),
    # deliveries
    "delivered": (later("Delivered"), "good"),
    "given_up": (later("Given up"), "bad"),
    # publication
    "in_review": (later("In review"), "warn"),
    "changes_requested": (later("Changes requested"), "warn"),
    "scheduled": (later("Scheduled"), "accent"),
    "live": (later("Live"), "good"),
    "stopped": (later("Stopped"), "bad"),
    "suspended": (later("Suspended"), "bad"),
    "archived": (later("Archived"), "muted"),
    # lifecycle
    "preview": (later("Preview"), "accent"),
    "generally_available": (later("Generally available"), "good"),
    "legacy": (later("Legacy"), "warn"),
    "deprecated": (later("Deprecated"), "warn"),
    "retired": (later("Retired"), "muted"),
    # substitutions
    "proposed": (later("Proposed"), "warn"),
    "qualified": (later("Qualified"), "good"),
    # evidence and amounts
    "reported": (later("Reported"), "muted"),
    "assumed": (later("Assumed"), "warn"),
    "synthetic": (later("Synthetic"), "muted"),
    "confirmed": (later("Confirmed"), "good"),
    "planned": (later("Planned"), "accent"),
    "announced": (later("Announced"), "accent"),
    "signed": (later("Signed"), "good"),
    "in force": (later("In force"), "good"),
    "ended": (later("Ended"), "muted"),
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
def moved(value: Decimal) -> str:
    """So many per cent more or less: "+12%"."""
    return formats.percent(formats.rounded(Fraction(value)), 100, 0, signed=True)


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
def usd(value: Fraction | Decimal | None) -> str:
    """An exact amount of dollars, in cents; unknown is a dash."""
    return formats.NO_VALUE if value is None else formats.usd(Fraction(value))


# --- parts that stand in rows -----------------------------------------------------------------------------


@register.simple_tag
def attainment(credited: int, quota: int, pending: int = 0, pace_ppm: int | None = None) -> SafeString:
    """Percent, bar and word; the content of a cell with class c-att."""
    at = charts.standing(credited, quota, pace_ppm)
    bar = charts.attainment_bar(credited, quota, pending=pending, pace_ppm=pace_ppm, tone=at.tone)
    return format_html(
        '<div class="attain t-{}"><b class="pct">{}</b>{}<span class="tag">{}</span></div>',
        *(at.tone, formats.percent(credited, quota) if quota > 0 else formats.NO_VALUE, bar, spoken(at.word)),
    )


@register.simple_tag
def attainment_bar(credited: int, quota: int, pending: int = 0, pace_ppm: int | None = None) -> SafeString:
    """The bar alone."""
    return charts.attainment_bar(credited, quota, pending=pending, pace_ppm=pace_ppm)


@register.simple_tag
def attainment_scale(pace_ppm: int | None = None) -> SafeString:
    """Where pace and quota lie, for the head of a column of bars."""
    marks = [(_percent(100 / 1.4), "", _("Quota"))]
    if pace_ppm is not None:
        marks.insert(0, (_percent(min(pace_ppm / 10_000, 140) / 1.4), "now", _("Pace")))
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
    return _state(str(text or word), tone)  # what is kept is kept by language


@lru_cache(maxsize=256)
def _state(text: str, tone: str) -> SafeString:
    """One element: a list has hundreds, and the style sheet draws the icon of a tone."""
    return format_html('<span class="badge toned t-{}">{}</span>', tone, text)


@register.simple_tag
def badge(text: str, tone: str = "muted", icon_name: str = "") -> SafeString:
    return format_html(
        '<span class="badge t-{}">{}{}</span>', tone, icon(icon_name) if icon_name else "", text
    )


@register.simple_tag
def origin(name: str) -> SafeString:
    """Whose model it is. Both look alike on purpose: origin is a fact, not a rank."""
    first = name in ("first", "first_party")
    return _origin("first" if first else "third", _("First party") if first else _("Third party"))


@lru_cache(maxsize=16)
def _origin(kind: str, said: str) -> SafeString:
    return format_html('<span class="origin {}">{}</span>', kind, said)


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
        said = _("new") if places is None else _("no change")
        return format_html(
            '<span class="mv"><span aria-hidden="true">{}</span><span class="sr"> {}</span></span>',
            formats.NO_VALUE,
            said,
        )
    up, many = places > 0, abs(places)
    return format_html(
        '<span class="mv {}"><span aria-hidden="true">{}</span>{}<span class="sr"> {}</span></span>',
        *("up" if up else "down", "▲" if up else "▼", many),
        ngettext("place up", "places up", many) if up else ngettext("place down", "places down", many),
    )


@register.simple_tag
def eligibility(answers: Iterable[Mapping[str, str]], compact: bool = False) -> SafeString:
    """The strip: one chip a program, each with its word, tone and reason.

    answers   Mappings with label ("Quota"), value ("Counts 100%"), tone, why; why may be empty.
    compact   For rows: two elements a chip, the reason shows when it is pointed at.
    """
    chips = [
        _chip(
            spoken(answer["label"]),
            answer.get("said") or spoken(answer["value"]),
            answer["tone"],
            answer.get("why", ""),
            compact,
        )
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
def choices(values: Iterable[Choice]) -> SafeString:
    """Filters as chips with their counts: real links; an element around them says what their answer takes the place of."""
    return format_html_join(
        "",
        '<a class="chip" href="{0}"{1} hx-get="{0}">{2}<em>{3}</em></a>',
        (
            (
                SafeString(escape(value.href)),
                SafeString(' aria-current="true"') if value.chosen else _NOTHING,
                value.label,
                formats.whole(value.count),
            )
            for value in values
        ),
    )


@lru_cache(maxsize=1024)
def _chip(label: str, value: str, tone: str, why: str, compact: bool) -> SafeString:
    """The rows of a list mostly share theirs."""
    if compact:
        said = format_html(' title="{}"', why) if why else _NOTHING
        return format_html('<li class="elig toned t-{}"{}>{} <b>{}</b></li>', tone, said, label, value)
    face = format_html("{}<span>{}</span><b>{}</b>", icon(TONE_ICONS[tone]), label, value)
    if not why:
        return format_html('<li class="elig t-{}"><span>{}</span></li>', tone, face)
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


# --- days and moments -------------------------------------------------------------------------------------


def _said(write: Callable[[Any], str], kind: type[date]) -> Callable[[object], str]:
    """Nothing for what is no day, or no moment: a template asks for many an open end."""
    return lambda value: write(value) if isinstance(value, kind) else ""


for _name, _write, _kind in (
    ("day", formats.day, date),
    ("day_short", formats.day_short, date),
    ("month", formats.month, date),
    ("month_long", formats.month_long, date),
    ("month_short", formats.month_short, date),
    ("month_name", formats.month_name, date),
    ("month_name_long", formats.month_name_long, date),
    ("moment", formats.moment, datetime),
    ("moment_short", formats.moment_short, datetime),
    ("moment_exact", formats.moment_exact, datetime),
    ("clock", formats.clock, datetime),
    ("clock_exact", formats.clock_exact, datetime),
):
    register.filter(_name, _said(_write, _kind))


@register.simple_tag
def term(first: date | None, end: date | None, last: bool = False) -> str:
    """Days in words: {% term row.effective.lower row.effective.upper %}; with last=True the second day still counts."""
    if end is None:
        return _("%(first)s to further notice") % {"first": formats.day(first)} if first else _("Always")
    if first is None:
        return (_("Until %(last)s") if last else _("Until before %(last)s")) % {"last": formats.day(end)}
    said = _("%(first)s to %(last)s") if last else _("%(first)s to before %(last)s")
    return said % {"first": formats.day(first), "last": formats.day(end)}


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
    name, _rest, value = pair.partition("=")
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
    for paging in ("cursor", "page"):
        current.pop(paging, None)
    for name, value in changes.items():
        current.pop(name, None)
        if value not in (None, ""):
            current[name] = str(value)
    return "?" + urlencode(list(current.lists()), doseq=True)


@register.inclusion_tag("components/pages.html", takes_context=True)
def pages(
    context: template.Context,
    page: Part | Sequence[Any],
    label: str,
    at: str = "",
    here: str = "",
    to: str = "",
) -> dict[str, Any]:
    """Links to the pages before and after one of config.paging, if there are several.

    at    The id that they lead to.
    here  The query of the list; that of the address by itself.
    to    The list's path, where its page also answers a form of another one.
    """
    request = context.get("request")
    if not isinstance(page, Part):
        return {}

    def address(number: int) -> str:
        asked = QueryDict(here, mutable=True)
        if not here and request is not None:
            asked = request.GET.copy()
        asked[page.by] = str(number)
        return f"{to}?{asked.urlencode()}{f'#{at}' if at else ''}"

    return {
        "page": page,
        "label": label,
        "previous": address(page.previous_page_number()) if page.has_previous() else "",
        "next": address(page.next_page_number()) if page.has_next() else "",
    }


@register.simple_tag(takes_context=True)
def part(context: template.Context, rows: Any, by: str, size: int = PAGE) -> Part | Sequence[Any]:
    """{% part roles by="roles" as shown %}: the part of a list that the address asks for, fifty rows; {% pages shown ... %} goes on."""
    request = context.get("request")
    return rows if request is None else paged(request, rows, by=by, size=size)
