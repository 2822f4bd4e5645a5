"""Who stands where, among all or in a team."""

from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import User
from config import calls, clock, exporting
from config.given import given
from config.language import _, later
from config.refusals import Refusal
from quotas.models import Team
from quotas.selectors import exports, periods, teams
from quotas.selectors.boards import sees_all_money
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.leaderboard import BYS, GROUPS, By, Leaderboard, leaderboard, whole_leaderboard
from quotas.selectors.visibility import calendars_of, managed_teams, rep_of, reps_for
from quotas.services import keeping
from quotas.views import HtmxRequest, chosen_measure, chosen_period, signed_in, wants_part
from quotas.views import making as being_made
from quotas.views.versions import asked_for, chosen_version, said, versions

PAGE: Final = 50
AROUND: Final = 20
TABS: Final = (
    ("rep", later("Reps")),
    ("team", later("Teams")),
    ("publisher", later("Publishers")),
    ("offering", later("Offerings")),
)
SOLD: Final = ("publisher", "offering")


@require_safe
@login_required
@vary_on_headers("HX-Request")
def board(request: HtmxRequest) -> HttpResponseBase:
    """Everybody may look at the ranks; people's names are for those who sell."""
    user = signed_in(request)
    inside = user.has_role("rep", "manager", "comp_admin", "auditor", "sourcing_lead")
    group = request.GET.get("group", "") or ("rep" if inside else "publisher")
    by = request.GET.get("by", "") or ("credit" if group in SOLD else "attainment")
    if group not in GROUPS or by not in BYS or not (inside or group in SOLD):
        raise Http404
    today = clock.today()
    team = (
        get_object_or_404(Team, slug=given(request.GET, "team"))
        if request.GET.get("team") and inside
        else None
    )
    calendars = calendars_of(user, today, first=team)
    period = chosen_period(request.GET, today, lambda: calendars[0] if calendars else None)
    measure, measures = chosen_measure(request.GET)
    ranked: By = "credit" if group in SOLD or by == "credit" else "attainment"
    at = clock.now()
    reading, closes, wrong = chosen_version(request, period, at)
    if form := exporting.asked(request):
        table = exports.standings(
            lambda: whole_leaderboard(
                measure=measure, period=period, by=ranked, group=group, team=team, at=at, reading=reading
            ),
            measure,
            group=group,
            seen=lambda page: _money(user, page),
            money_shown=_may_show_money(user, group),
        )
        kind = "" if reading.plain else f" {reading.name}"
        name = f"leaderboard {group}s {measure.slug} {period} {team.slug if team else ''}{kind}"
        told = [
            (_("Measure"), measure.name),
            (_("Period"), period.name),
            (_("Ranked by"), ranked),
            *said(reading),
        ]
        return exporting.answer(request, form, name=name, title="Leaderboard", table=table, said=told)
    me = rep_of(user)
    around = request.GET.get("around") == "me" and me is not None and group == "rep"
    try:
        shown = leaderboard(
            measure=measure,
            period=period,
            by=ranked,
            group=group,
            team=team,
            limit=AROUND if around else PAGE,
            after=request.GET.get("cursor") or None,
            around_rep=me.pk if around and me else None,
            at=at,
            reading=reading,
        )
    except Refusal as refused:
        raise Http404 from refused
    except BeingWorkedOut as waits:
        return being_made.answer(
            request,
            "quotas/making.html",
            {
                "making": being_made.making(waits, at=at),
                "title": _("Leaderboard"),
                "team": team,
                "period": period,
                "reading": reading,
                "measure": measure,
                "measures": measures,
                "switch": periods.switch(period, today, calendars),
                "versions": versions(
                    *(request, reading, closes, wrong), measure=measure, within=None, money=False, at=at
                ),
            },
        )
    keeping.looked_at(shown.look, at=at)
    context: dict[str, Any] = {
        "board": shown,
        "measure": measure,
        "measures": measures,
        "switch": periods.switch(period, today, calendars),
        "tabs": TABS if inside else [tab for tab in TABS if tab[0] in SOLD],
        "team": team,
        "path": teams.path_to(team.pk, shown.on) if team else [],
        "me": me,
        "my_team": teams.membership_of(me, today) if me else None,
        "around": around,
        "money": _money(user, shown),
        "sold": group in SOLD,
        "first_page": not request.GET.get("cursor"),
    }
    if wants_part(request) and request.htmx.target == "ranks":
        return render(request, "quotas/leaderboard.html#ranks", context)
    within = list(reading.below(team.pk, shown.on)) if team else None
    wide = within is None or bool(managed_teams(user, shown.seen_on).issuperset(within))
    context["versions"] = versions(
        *(request, reading, closes, wrong),
        measure=measure,
        within=within,
        money=sees_all_money(user) or (wide and user.has_role("manager", "sourcing_lead")),
        shown_minor=shown.sum_minor,
        at=at,
    )
    context["call"] = calls.reading(
        request,
        reverse("leaderboard", args=[measure.slug]),
        {
            "period": period.name,
            "by": ranked,
            "group": group,
            "team": team.slug if team else "",
            "around": "me" if around else "",
        }
        | asked_for(request),
    )
    return being_made.instead(request, render(request, "quotas/leaderboard.html", context))


def _may_show_money(user: User, group: str) -> bool:
    """Whether a column of amounts can have any: a publisher's or offering's are the organisation's as a whole."""
    return group not in SOLD or sees_all_money(user) or user.has_role("manager", "sourcing_lead")


def _money(user: User, shown: Leaderboard) -> set[int]:
    """Ids of the entries whose amounts this person may see. What was sold is a matter of the organisation as a whole."""
    ids = {entry.id for entry in shown.entries}
    if sees_all_money(user):
        return ids
    if shown.group == "rep":
        return set(reps_for(user, shown.seen_on).filter(pk__in=ids).values_list("pk", flat=True))
    if shown.group == "team":
        return ids & managed_teams(user, shown.seen_on)
    return ids if user.has_role("manager", "sourcing_lead") else set()
