"""The leaderboard for a screen on a wall: ranks and per cent, never money, and it keeps itself up to date."""

from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from config import clock
from config.given import given
from config.language import later
from quotas.models import Team
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.leaderboard import Leaderboard, leaderboard
from quotas.selectors.visibility import calendars_of
from quotas.services import keeping
from quotas.views import HtmxRequest, chosen_measure, chosen_period, signed_in
from quotas.views import making as being_made

INSIDE: Final = ("rep", "manager", "comp_admin", "auditor", "sourcing_lead")
GROUPS: Final = {"rep": later("Reps"), "team": later("Teams")}
PLACES: Final = 10
EVERY: Final = 60  # seconds
SOON: Final = 2  # while the ranks are being worked out


@require_safe
@login_required
def wall(request: HtmxRequest) -> HttpResponse:
    """The first ten by attainment. rotate=1 shows the next measure each time it renews itself. Not for partners: it names people."""
    user = signed_in(request)
    group = request.GET.get("group", "") or "rep"
    if not user.has_role(*INSIDE) or group not in GROUPS:
        raise Http404
    at, today = clock.now(), clock.today()
    team = get_object_or_404(Team, slug=given(request.GET, "team")) if request.GET.get("team") else None
    calendars = calendars_of(user, today, first=team)
    period = chosen_period(request.GET, today, lambda: calendars[0] if calendars else None)
    measure, measures = chosen_measure(request.GET)
    shown: Leaderboard | None = None
    waiting: being_made.Making | None = None
    try:
        shown = leaderboard(
            measure=measure,
            period=period,
            by="attainment",
            group="rep" if group == "rep" else "team",
            team=team,
            limit=PLACES,
            at=at,
        )
        keeping.looked_at(shown.look, at=at)
    except BeingWorkedOut as waits:
        waiting = being_made.making(waits, at=at)
    rotates = request.GET.get("rotate") == "1" and len(measures) > 1
    following = measures[(measures.index(measure) + 1) % len(measures)] if rotates else measure
    asked = request.GET.dict() | {"measure": following.slug}
    return render(
        request,
        "quotas/wall.html",
        {
            "board": shown,
            "making": waiting,
            "period": period,
            "measure": measure,
            "team": team,
            "group": GROUPS[group],
            "every": SOON if waiting else EVERY,
            "next": request.get_full_path() if waiting else f"{request.path}?{urlencode(asked)}",
            "rotates": rotates,
        },
    )
