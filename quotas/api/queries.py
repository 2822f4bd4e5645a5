"""Parameters that name a period, a measure or a team. One that does not exist is an error that says so."""

from collections.abc import Mapping
from datetime import date, datetime

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from config.refusals import Invalid
from config.rest.problems import BadQuery
from quotas.models import Measure, Period, Posting, Team
from quotas.selectors import asof, periods
from quotas.selectors.asof import Reading
from quotas.services.reading import asked_reading

VIEW = OpenApiParameter(
    "view",
    OpenApiTypes.STR,
    enum=list(asof.VIEWS),
    description="reported (by the month of posting; if left out), restated (by the month in which credit is dated) or closed (as a close froze it).",
)
CLOSE = OpenApiParameter(
    "close",
    OpenApiTypes.INT,
    description="With view=closed: the number of the close; the last one if left out.",
)
AS_OF = OpenApiParameter(
    "as_of",
    OpenApiTypes.DATETIME,
    description="What was known at that moment, to the second. An answer once given never changes.",
)


def asked_period(name: str | None, today: date, team: Team | None = None) -> Period:
    """The period of that name; without one the current quarter, of the team's calendar if one is given. 1 query, 5 at most. Raises BadQuery."""
    if name:
        found = periods.period_named(name)
    else:
        own = periods.calendar_of_team(team.pk, today) if team is not None else None
        found = periods.current_period(today, calendar_id=own.pk if own else None)
    if found is None or (name and found.name != name):
        raise BadQuery(("period", "unknown_period", "There is no period of that name, such as FY27-Q2."))
    return found


def asked_measure(slug: str | None) -> Measure:
    """The measure of that slug; without one the first. 1 query. Raises BadQuery."""
    measures = Measure.objects.select_related("currency").order_by("position", "id")
    found = measures.filter(slug=slug).first() if slug else measures.first()
    if found is None:
        raise BadQuery(("measure", "unknown_measure", "There is no measure of that name."))
    return found


def asked_team(slug: str | None) -> Team | None:
    """The team of that slug, None where none is asked for. 1 query. Raises BadQuery."""
    if slug is None:
        return None
    found = Team.objects.filter(slug=slug).first()
    if found is None:
        raise BadQuery(("team", "unknown_team", "There is no team of that name."))
    return found


def asked_version(asked: Mapping[str, str], period: Period, at: datetime) -> Reading:
    """The version that view, close and as_of ask for. 8 queries at most, none without any of them. Raises BadQuery."""
    try:
        return asked_reading(asked, period=period, at=at)
    except Invalid as wrong:
        raise BadQuery(*((p.pointer.lstrip("/"), p.code, p.message) for p in wrong.problems)) from wrong


def last_posting() -> datetime | None:
    """When the ledger last grew: what figures that are read now are as of. 1 query."""
    return Posting.objects.order_by("-id").values_list("recorded_at", flat=True).first()
