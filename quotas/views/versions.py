"""The strip that says in which version a board is read, offers the others, and says what lies between them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from config import formats, locales
from config.language import _
from config.paging import with_query
from config.refusals import Refusal
from quotas.models import CloseState, Measure, Period, PeriodClose
from quotas.selectors import asof
from quotas.selectors.asof import Beside, Reading
from quotas.selectors.closing import sees_closes
from quotas.services.reading import asked_reading
from quotas.views import Writer, signed_in


@dataclass(frozen=True, slots=True)
class Choice:
    """A version that can be read, and the address of this page in it."""

    text: str
    url: str
    chosen: bool
    title: str = ""


@dataclass(frozen=True, slots=True)
class ClosedShown:
    """A close beside the others, as its figures are written."""

    name: str
    state: str
    closed_at: datetime | None
    figure: str
    moved: str
    url: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Versions:
    """What the strip shows.

    wrong     Why what the address asks for cannot be shown; as reported stands instead.
    moved     What restating adds, in a sentence; empty where amounts are not shown to the viewer.
    entries   Where the entries behind it are listed; empty for whom there is no such page.
    since     How the version differs from the same view of now, in a sentence; empty for one of now.
    """

    reading: Reading
    choices: Sequence[Choice]
    wrong: str
    moved: str
    entries: str
    since: str
    closed: Sequence[ClosedShown]
    as_of: str
    today: str
    zone: str


def asked_for(request: HttpRequest) -> dict[str, str]:
    """The version as pages and endpoints name it alike in their addresses."""
    return {**{name: request.GET.get(name, "") for name in ("view", "close")}, "as_of": _as_of(request)}


def _as_of(request: HttpRequest) -> str:
    """The moment of the address. Somebody elsewhere types it by the own clock, and the address says by which."""
    text, zone = request.GET.get("as_of", "").strip(), request.GET.get("zone", "")
    if "T" not in text or zone not in locales.zones():
        return text
    try:
        typed = datetime.fromisoformat(text)
    except ValueError:
        return text
    return text if typed.tzinfo else typed.replace(tzinfo=ZoneInfo(zone)).isoformat()


def chosen_version(
    request: HttpRequest, period: Period, at: datetime
) -> tuple[Reading, Sequence[PeriodClose], str]:
    """The version of the address, the closes that can be read, and what is wrong with what it asks for. 1 query for as reported."""
    closes = asof.closes_of(period)
    try:
        return asked_reading(asked_for(request), period=period, at=at, closes=closes), closes, ""
    except Refusal as refused:
        return asof.now(period), closes, " ".join(problem.message for problem in refused.problems)


def versions(
    request: HttpRequest,
    reading: Reading,
    closes: Sequence[PeriodClose],
    wrong: str,
    *,
    measure: Measure,
    within: Collection[int] | None,
    money: bool,
    at: datetime,
    shown_minor: int | None = None,
) -> Versions:
    """The strip. 2 queries, 3 for another time than now, none for whom no amounts are shown.

    within       The teams whose direct credit is compared; None for everybody.
    shown_minor  What that comes to in the version shown, where the page knows.
    """
    if shown_minor is None and money and not reading.live:
        shown_minor = reading.total(measure, within)
    write = Writer.of(measure)
    compared = (
        asof.beside(reading.period, measure, within=within, closes=closes, reported=not reading.live)
        if money
        else None
    )
    own = timezone.get_current_timezone()
    elsewhere = locales.elsewhere(own)
    zone = own if elsewhere else ZoneInfo(reading.period.calendar.time_zone)
    return Versions(
        reading=reading,
        choices=_choices(request, reading, closes),
        wrong=wrong,
        moved=_moved(compared, write, reading) if compared else "",
        entries=f"{reverse('quotas:ledger')}?period={reading.period.name}&measure={measure.slug}&by=moved"
        if compared and compared.moved and reading.live and sees_closes(signed_in(request))
        else "",
        since=_since(reading, compared, shown_minor, write) if compared else "",
        closed=_closed(request, reading, compared, write) if compared else (),
        as_of=f"{reading.moment.astimezone(zone):%Y-%m-%dT%H:%M:%S}" if reading.moment else "",
        today=f"{at.astimezone(zone):%Y-%m-%dT%H:%M}",
        zone=str(own) if elsewhere else "",
    )


def said(reading: Reading) -> list[tuple[str, str]]:
    """For a file: which version it is."""
    return [(_("Version"), f"{reading.name}. {reading.meaning}")]


def _choices(request: HttpRequest, reading: Reading, closes: Sequence[PeriodClose]) -> list[Choice]:
    asked = request.GET
    offered = [
        Choice(
            _("As reported"),
            with_query(asked, view=None, close=None),
            reading.view == "reported",
            asof.REPORTED,
        ),
        Choice(
            _("Restated"),
            with_query(asked, view="restated", close=None),
            reading.view == "restated",
            asof.RESTATED,
        ),
    ]
    for close in closes:
        text = (
            _("Closed v%(version)s") % {"version": close.version}
            if close.period_id == reading.period.pk
            else _("Closed, %(close)s") % {"close": close}
        )
        offered.append(
            Choice(
                text,
                with_query(asked, view="closed", close=str(close.version), as_of=None),
                reading.close == close,
                _("What %(close)s froze") % {"close": close},
            )
        )
    return offered


def _moved(compared: Beside, write: Writer, reading: Reading) -> str:
    if not reading.live:
        return ""
    name = reading.period.name
    if not compared.moved:
        return _(
            "Restated and as reported are the same in %(name)s: what was posted in it is dated in it, in sum."
        ) % {"name": name}
    more = "more" if compared.moved > 0 else "less"
    why = (
        _("credit dated in it that was posted into a later month")
        if compared.moved > 0
        else _("credit posted in it that is dated earlier, or taken back later")
    )
    return _("%(name)s restated is %(moved)s %(more)s than as reported: %(why)s.") % {
        "name": name,
        "moved": write(abs(compared.moved)),
        "more": more,
        "why": why,
    }


def _since(reading: Reading, compared: Beside, shown_minor: int | None, write: Writer) -> str:
    if reading.live or shown_minor is None:
        return ""
    now = compared.restated if reading.view == "restated" else compared.reported
    of = _("restated") if reading.view == "restated" else _("as reported")
    difference = now - shown_minor
    if not difference:
        return _("Nothing has changed since: %(of)s now it is %(now)s too.") % {"of": of, "now": write(now)}
    said = (
        _("%(shown)s here; %(of)s now it is %(now)s, %(difference)s more.")
        if difference > 0
        else _("%(shown)s here; %(of)s now it is %(now)s, %(difference)s less.")
    )
    return said % {
        "shown": write(shown_minor),
        "of": of,
        "now": write(now),
        "difference": write(abs(difference)),
    }


def _closed(request: HttpRequest, reading: Reading, compared: Beside, write: Writer) -> list[ClosedShown]:
    return [
        ClosedShown(
            name=str(each.close),
            state=_("Stands") if each.close.state == CloseState.CLOSED else _("Reopened since"),
            closed_at=each.close.ended_at,
            figure=write(each.minor),
            moved=""
            if each.moved is None
            else f"{formats.MINUS if each.moved < 0 else '+'}{write(abs(each.moved))}"
            if each.moved
            else _("no difference"),
            url=with_query(request.GET, view="closed", close=str(each.close.version), as_of=None),
            chosen=reading.close == each.close,
        )
        for each in compared.closed
    ]
