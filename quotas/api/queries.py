"""Parameters that name a period, a measure or a team. One that does not exist is an error that says so."""

from datetime import date, datetime

from config.rest.problems import BadQuery
from quotas.models import Measure, Period, Posting, Team
from quotas.selectors import periods


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


def last_posting() -> datetime | None:
    """When the ledger last grew: what figures that are read now are as of. 1 query."""
    return Posting.objects.order_by("-id").values_list("recorded_at", flat=True).first()
