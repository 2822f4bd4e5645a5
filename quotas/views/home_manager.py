"""The home of who leads a team: where it stands, what waits for a decision, who moves, who is behind with nothing open."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from config import charts, clock, formats
from config.language import _, ngettext
from config.pages import Homes
from quotas.models import Deal, Dispute, Measure
from quotas.selectors import disputes as disputing
from quotas.selectors import home as selectors
from quotas.selectors import periods, teams
from quotas.selectors.approval_queue import Queue, queue_of
from quotas.selectors.boards import Board, team_board
from quotas.selectors.disputes import Clock, clock_of
from quotas.selectors.home import TeamAtWork
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.visibility import deals_for, rep_of
from quotas.services import keeping
from quotas.views import Writer, chosen_measure, signed_in
from quotas.views import making as being_made
from quotas.views.approvals import counted
from quotas.views.board import kpis, spread, spread_table

APPROVALS: Final = 5
DISPUTES: Final = 4
HELD: Final = 4
ROWS: Final = 8


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that is counted, what it means, and where it is seen to."""

    text: str
    detail: str
    value: str
    url: str
    tone: charts.Tone = "muted"


@dataclass(frozen=True, slots=True)
class Asked:
    """A dispute and the clock on its answer."""

    dispute: Dispute
    clock: Clock


def manager_home(request: HttpRequest, homes: Homes) -> HttpResponse:
    """A fixed number of queries, whatever waits and however many people there are below."""
    user, today, at = signed_in(request), clock.today(), clock.now()
    me = rep_of(user)
    membership = teams.membership_of(me, today) if me else None
    team = membership.team if membership else teams.top_team(today)
    calendar = periods.calendar_of_team(team.pk if team else None, today)
    period = periods.current_period(today, calendar_id=calendar.pk if calendar else None)
    if team is None or period is None or not Measure.objects.exists():
        return render(request, "quotas/home_manager.html", {"homes": homes})
    measure, measures = chosen_measure(request.GET)
    try:
        shown = team_board(team=team, period=period, measure=measure, at=at, viewer=user)
    except BeingWorkedOut as waits:
        return being_made.answer(
            request,
            "quotas/home_manager.html",
            {
                "homes": homes,
                "making": being_made.making(waits, at=at),
                "team": team,
                "period": period,
                "measure": measure,
                "measures": measures,
            },
        )
    keeping.looked_at(shown.look, at=at)
    work = _work(shown)
    queue = queue_of(user, at=at, due_after=settings.APPROVAL_REMINDER_DAYS, most=APPROVALS)
    counted(request, queue.total)
    held = selectors.held_deals(deals_for(user, today)).select_related("customer", "owner").order_by("-pk")
    waiting = disputing.most_urgent_first(disputing.with_names(disputing.waiting_for(user, today)))
    context: dict[str, Any] = {
        "homes": homes,
        "team": team,
        "board": shown,
        "period": period,
        "measure": measure,
        "measures": measures,
        "kpis": kpis(shown, Writer.of(measure), queue.total),
        "rows": shown.rows[:ROWS],
        "rows_more": max(0, len(shown.rows) - ROWS),
        "spread": spread(shown),
        "spread_table": spread_table(shown),
        "work": work,
        "queue": queue,
        "disputes": asked(waiting[:DISPUTES], at),
        "disputes_all": waiting.count(),
        "facts": _facts(shown, work, queue, list(held[:HELD]), held.count()),
    }
    return being_made.instead(request, render(request, "quotas/home_manager.html", context))


def _work(shown: Board) -> TeamAtWork:
    """Who moves and who falls behind: of many people as it was kept with the board. 3 queries, none then."""
    board = shown.look.kept if shown.look else None
    told = (board.body or {}).get("work") if board else None
    if told is not None:
        return TeamAtWork.of(told)
    return selectors.team_at_work(shown.inside, period=shown.period, measure=shown.measure, on=shown.on)


def asked(found: Iterable[Dispute], at: datetime) -> list[Asked]:
    return [Asked(each, clock_of(each, at)) for each in found]


def _facts(shown: Board, work: TeamAtWork, queue: Queue, held: Sequence[Deal], held_all: int) -> list[Fact]:
    """What is wrong with quotas and what is kept back; only what is so."""
    found = []
    here = f"?period={shown.period.name}&measure={shown.measure.slug}"
    if work.without_quota:
        found.append(
            Fact(
                ngettext("%(n)s rep without a quota", "%(n)s reps without a quota", work.without_quota)
                % {"n": formats.whole(work.without_quota)},
                _("Nobody is ranked or paid against what is not set."),
                formats.whole(work.without_quota),
                reverse("quotas:planning-team", args=[shown.team.slug]) + here,
                "warn",
            )
        )
    if shown.own_quota and shown.quota_minor:
        over = shown.over_assignment_minor
        write = Writer.of(shown.measure)
        if over < 0 and shown.money:
            found.append(
                Fact(
                    _("Quotas of the reps fall short of the team's"),
                    _("%(assigned)s of %(quota)s is handed down.")
                    % {
                        "assigned": write.compact(shown.assigned_minor),
                        "quota": write.compact(shown.quota_minor),
                    },
                    write.compact(over),
                    reverse("quotas:planning-team", args=[shown.team.slug]) + here,
                    "warn",
                )
            )
    if held_all:
        found.append(
            Fact(
                ngettext("%(n)s deal is held", "%(n)s deals are held", held_all)
                % {"n": formats.whole(held_all)},
                ", ".join(f"{deal.reference} {deal.customer.name}" for deal in held),
                formats.whole(held_all),
                reverse("quotas:deals") + "?state=held",
                "warn",
            )
        )
    if queue.due:
        found.append(
            Fact(
                ngettext("%(n)s approval waits too long", "%(n)s approvals wait too long", queue.due)
                % {"n": formats.whole(queue.due)},
                _("%(days)s business days or more.") % {"days": settings.APPROVAL_REMINDER_DAYS},
                formats.whole(queue.due),
                reverse("quotas:approvals") + "?due=1",
                "bad",
            )
        )
    return found
