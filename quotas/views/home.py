"""The page that a rep lives in: where I stand, what closes the gap, what waits for me. Every figure is another page's, asked for once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.safestring import SafeString

from accounts.models import User
from config import charts, clock, formats
from config.language import _, ngettext, spoken
from config.pages import Homes
from quotas.models import Measure, Period, Rep
from quotas.selectors import discrepancies, pace, periods, teams
from quotas.selectors import home as selectors
from quotas.selectors.disputes import OPEN, clock_of
from quotas.selectors.earnings import Estimate, estimates
from quotas.selectors.gap import AMENDED, GapPlan, OpenDeal, closing_the_gap
from quotas.selectors.home import Standing, standings
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.leaderboard import Standing as Place
from quotas.selectors.leaderboard import leaderboard
from quotas.selectors.statements import pending_for
from quotas.selectors.visibility import rep_of
from quotas.services import keeping
from quotas.views import Writer, chosen_measure, signed_in
from quotas.views import making as being_made
from quotas.views.board import running, ticks

AROUND: Final = 6  # besides the rep
DEALS: Final = 5
TO_DO: Final = 5


@dataclass(frozen=True, slots=True)
class ToDo:
    """One thing to do next: a fact, and the page where it is seen to."""

    icon: str
    tone: charts.Tone
    text: str
    detail: str
    url: str


@dataclass(frozen=True, slots=True)
class Opened:
    """An open deal, and what of the gap is left after it; None for one that does not count in the period."""

    open: OpenDeal
    left_minor: int | None = None
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Bar:
    """A measure as its bar says it."""

    of: Standing
    standing: charts.Standing
    chosen: bool

    @property
    def quota(self) -> int:
        return self.of.quota_minor or 0


def rep_home(request: HttpRequest, homes: Homes) -> HttpResponse:
    """A fixed number of queries, one of the engine's runs among them."""
    user, today, at = signed_in(request), clock.today(), clock.now()
    me = rep_of(user)
    if me is None:
        return render(request, "quotas/home.html", {"homes": homes})
    membership = teams.membership_of(me, today)
    calendar = periods.calendar_of_team(membership.team_id if membership else None, today)
    period = periods.current_period(today, calendar_id=calendar.pk if calendar else None)
    if period is None:
        return render(request, "quotas/home.html", {"homes": homes, "rep": me})
    if not Measure.objects.exists():
        return render(request, "quotas/home.html", {"homes": homes, "rep": me})
    asked, measures = chosen_measure(request.GET)
    stands = standings(
        me,
        team_id=membership.team_id if membership else None,
        period=period,
        measures=measures,
        on=today,
    )
    named = bool(request.GET.get("measure"))
    mine = next(
        (each for each in stands if (each.measure == asked if named else each.quota_minor)), stands[0]
    )
    so_far = pace.progress(period.starts, period.ends, today)
    waiting, ranked = None, None
    try:
        ranked = leaderboard(
            measure=mine.measure, period=period, by="attainment", around_rep=me.pk, limit=AROUND, at=at
        )
        keeping.looked_at(ranked.look, at=at)
    except BeingWorkedOut as waits:
        waiting = being_made.making(waits, at=at)
        if being_made.asks_again(request):
            return being_made.answer(request, "", {"making": waiting, "slim": True})
    plan = closing_the_gap(rep=me, measure=mine.measure, period=period, on=today)
    pays = estimates(me, on=today)
    to_do = list(_to_do(me, user, plan, at=at, today=today))
    write = Writer.of(mine.measure)
    opened = _opened(plan)
    context: dict[str, Any] = {
        "homes": homes,
        "rep": me,
        "team": membership.team if membership else None,
        "period": period,
        "progress": so_far,
        "as_of": at,
        "plan_version": selectors.plan_in_force(today),
        "measure": mine.measure,
        "mine": mine,
        "bars": [
            Bar(
                each,
                charts.standing(each.credited_minor, each.quota_minor or 0, so_far.pace_ppm),
                each is mine,
            )
            for each in stands
        ],
        "has_quota": any(each.quota_minor for each in stands),
        "kpis": [
            _to_go(mine, plan, so_far, write),
            _landing(mine, so_far, write),
            _rank(next((each for each in ranked.entries if each.id == me.pk), None))
            if ranked
            else _unranked(),
            _pay(pays),
        ],
        "chart": _chart(mine, period, so_far, write),
        "chart_table": _chart_table(mine, period, write),
        "plan": plan,
        "opened": opened[:DEALS],
        "opened_more": len(opened) - DEALS if len(opened) > DEALS else 0,
        "amended": AMENDED,
        "ranked": ranked.entries if ranked else (),
        "ranked_at": ranked.as_of if ranked and ranked.kept else None,
        "making": waiting,
        "entries": selectors.newest_entries(me, today),
        "pays": pays,
        "pays_together": _together(pays),
        "to_do": to_do[:TO_DO],
        "to_do_more": to_do[TO_DO:],
    }
    return being_made.instead(request, render(request, "quotas/home.html", context))


def _opened(plan: GapPlan) -> list[Opened]:
    """Those that count in their order, then what counts later or not at all."""
    return [
        *(Opened(step.open, step.left_minor, step.closes) for step in plan.steps),
        *(Opened(each) for each in (*plan.later, *plan.others)),
    ]


# --- what to do next --------------------------------------------------------------------------------------


def _to_do(me: Rep, user: User, plan: GapPlan, *, at: datetime, today: date) -> Iterator[ToDo]:
    """What came back, what somebody waits for, what is late, what helps most: in this order."""
    for back in selectors.returned_to(me):
        yield ToDo(
            *("undo-2", "warn"),
            _("%(deal)s came back: %(customer)s")
            % {"deal": back.deal.reference, "customer": back.deal.customer.name},
            _("“%(reason)s”") % {"reason": back.reason}
            if back.reason
            else _("Mend it and hand it in again."),
            reverse("quotas:deal-edit", args=[back.deal.pk]),
        )
    late = [each.open for each in _opened(plan) if each.open.late and _to_hand_in(each.open, me)]
    if late:
        yield _not_handed_in(late)
    for waits in pending_for(user, today):
        icon = "file-text" if waits.kind == "statement" else "scale"
        yield ToDo(
            *(icon, "accent", waits.text),
            _("since %(day)s") % {"day": formats.day(clock.day_of(waits.since))},
            waits.url,
        )
    for dispute in selectors.disputes_of(me, at):
        waiting = dispute.state in OPEN
        about = dispute.deal.reference if dispute.deal else spoken(dispute.get_kind_display())
        yield ToDo(
            "message-square",
            "muted" if waiting else "accent",
            _("Your dispute about %(about)s waits for an answer") % {"about": about}
            if waiting
            else _("Your dispute about %(about)s is answered: %(state)s")
            % {"about": about, "state": spoken(dispute.get_state_display()).lower()},
            _("%(reference)s, %(clock)s")
            % {"reference": dispute.reference, "clock": clock_of(dispute, at).words},
            reverse("quotas:dispute", args=[dispute.pk]),
        )
    if moved := discrepancies.own_discrepancies(user).filter(seen_at=None).count():
        yield ToDo(
            *("git-compare", "accent"),
            ngettext("%(n)s number of yours has moved", "%(n)s numbers of yours have moved", moved)
            % {"n": formats.whole(moved)},
            _("Each says what moved it."),
            reverse("quotas:discrepancies"),
        )
    yield from _towards_the_gap(plan)
    for renewal, customer in selectors.renewals_of(me, user, today):
        yield ToDo(
            *("rotate-ccw", "muted"),
            _("%(customer)s comes up for renewal") % {"customer": customer},
            _("%(amount)s, its term ends on %(day)s; no open deal renews it.")
            % {
                "amount": formats.money(
                    renewal.minor, renewal.currency.code, renewal.currency.exponent, compact=True
                ),
                "day": formats.day(renewal.ends),
            },
            f"{reverse('quotas:deal-new')}?renews={renewal.deal_id}",
        )


def _to_hand_in(deal: OpenDeal, me: Rep) -> bool:
    """A draft of one's own: what a colleague shares is theirs to hand in."""
    return deal.state == "draft" and deal.deal.owner_id == me.pk


def _not_handed_in(late: Sequence[OpenDeal]) -> ToDo:
    """Drafts whose close date has passed: one by its name, several together."""
    first = min(late, key=lambda deal: (deal.close_date, deal.deal.pk))
    if len(late) == 1:
        return ToDo(
            *("clock-alert", "warn"),
            _("%(deal)s is not handed in: %(customer)s")
            % {"deal": first.reference, "customer": first.deal.customer.name},
            _("Its close date, %(day)s, has passed.") % {"day": formats.day(first.close_date)},
            reverse("quotas:deal", args=[first.deal.pk]),
        )
    return ToDo(
        *("clock-alert", "warn"),
        ngettext("%(n)s deal is not handed in", "%(n)s deals are not handed in", len(late))
        % {"n": formats.whole(len(late))},
        _("Their close dates have passed, the first on %(day)s.") % {"day": formats.day(first.close_date)},
        reverse("quotas:deals") + "?state=draft&sort=closed",
    )


def _towards_the_gap(plan: GapPlan) -> Iterator[ToDo]:
    """The draft that adds most, as long as there is a gap: handed in once it is won. Without an open deal, that one is missing."""
    if not plan.gap_minor:
        return
    write = Writer.of(plan.measure)
    step = next((s for s in plan.steps if _to_hand_in(s.open, plan.rep) and not s.open.late), None)
    if step is not None:
        title = (
            _("%(deal)s closes on %(day)s: %(customer)s")
            if step.open.close_date > plan.on
            else _("Hand in %(deal)s: %(customer)s")
        )
        yield ToDo(
            *("target", "good"),
            title
            % {
                "deal": step.open.reference,
                "customer": step.open.deal.customer.name,
                "day": formats.day(step.open.close_date),
            },
            _("It would add %(credit)s to %(measure)s.")
            % {"credit": write.compact(step.open.credit_minor), "measure": plan.measure.name},
            reverse("quotas:deal", args=[step.open.deal.pk]),
        )
    elif not plan.steps:
        yield ToDo(
            *("target", "warn"),
            _("No open deal adds to %(measure)s") % {"measure": plan.measure.name},
            _("%(gap)s to go in %(period)s.")
            % {"gap": write.compact(plan.gap_minor), "period": plan.period.name},
            reverse("quotas:deal-new"),
        )


# --- figures ----------------------------------------------------------------------------------------------


def _to_go(mine: Standing, plan: GapPlan, so_far: pace.Progress, write: Writer) -> dict[str, Any]:
    kpi: dict[str, Any] = {
        "label": _("To go"),
        "spark": charts.sparkline(mine.trend, label=_("Your credit of the last ten weeks, running")),
        "icon": "target",
    }
    if mine.gap_minor is None:
        return kpi | {"value": formats.NO_VALUE, "sub": _("no quota in this measure"), "tone": "muted"}
    days = ngettext("%(n)s day left", "%(n)s days left", so_far.left) % {"n": so_far.left}
    if not mine.gap_minor:
        above = mine.credited_minor - (mine.quota_minor or 0)
        note = _("%(above)s above quota") % {"above": write.compact(above)}
        return kpi | {
            "value": write.compact(0),
            "sub": _("the quota is reached"),
            "note": note,
            "tone": "good",
        }
    kpi |= {"value": write.compact(mine.gap_minor), "sub": days}
    if plan.needed:
        note = ngettext("%(n)s open deal closes it", "the first %(n)s open deals close it", plan.needed) % {
            "n": plan.needed
        }
        return kpi | {"note": note, "tone": "good"}
    if plan.steps:
        note = _("all open deals leave %(short)s") % {"short": write.compact(plan.short_minor)}
        return kpi | {"note": note, "tone": "warn"}
    return kpi | {"note": _("no open deal adds to it"), "tone": "warn"}


def _landing(mine: Standing, so_far: pace.Progress, write: Writer) -> dict[str, Any]:
    quota, landing = mine.quota_minor or 0, mine.forecast
    kpi: dict[str, Any] = {"label": _("Projected landing"), "icon": "chart-line", "tone": "muted"}
    if landing is None:
        return kpi | {"value": formats.NO_VALUE, "sub": _("The period has not begun")}
    if quota:
        kpi["value"] = formats.percent(landing.middle_minor, quota, 0)
        kpi["sub"] = _("%(landing)s by the last day") % {"landing": write.compact(landing.middle_minor)}
    else:
        kpi["value"] = write.compact(landing.middle_minor)
        kpi["sub"] = _("by the last day")
    if not so_far.left:
        return kpi | {"note": _("final")}
    if landing.low_minor is None or landing.high_minor is None:
        return kpi | {"note": _("too early for a range")}
    low, high = (
        formats.percent(end, quota, 0) if quota else write.compact(end)
        for end in (landing.low_minor, landing.high_minor)
    )
    return kpi | {"note": _("80%% range %(low)s to %(high)s") % {"low": low, "high": high}}


def _unranked() -> dict[str, Any]:
    """Of a kept leaderboard that is not there yet."""
    return {
        "label": _("Your rank"),
        "icon": "trophy",
        "tone": "muted",
        "value": formats.NO_VALUE,
        "sub": _("being worked out"),
    }


def _rank(place: Place | None) -> dict[str, Any]:
    kpi: dict[str, Any] = {"label": _("Your rank"), "icon": "trophy", "tone": "muted"}
    if place is None or place.rank is None:
        return kpi | {"value": formats.NO_VALUE, "sub": _("without a quota there is no rank")}
    kpi |= {"value": f"#{formats.whole(place.rank)}", "sub": _("by attainment, of all with a quota")}
    won = place.movement
    if won is None:
        return kpi | {"note": _("not ranked a week ago")}
    if not won:
        return kpi | {"note": _("as a week ago")}
    if won > 0:
        said = ngettext("%(n)s place won in a week", "%(n)s places won in a week", won)
        return kpi | {"note": said % {"n": won}, "tone": "good", "icon": "arrow-up-right"}
    said = ngettext("%(n)s place lost in a week", "%(n)s places lost in a week", -won)
    return kpi | {"note": said % {"n": -won}, "tone": "warn", "icon": "arrow-down-right"}


def _pay(pays: Sequence[Estimate]) -> dict[str, Any]:
    """Of the first currency; the card has them all."""
    kpi: dict[str, Any] = {"label": _("Earned so far"), "icon": "wallet", "tone": "muted"}
    together = _together(pays)
    if not together:
        return kpi | {"value": formats.NO_VALUE, "sub": _("no plan pays you today")}
    currency, earned, left = together[0]
    return kpi | {
        "value": formats.money(earned, currency.code, currency.exponent, compact=True),
        "sub": _("an estimate on the credit of today"),
        "note": _("%(left)s not yet paid")
        % {"left": formats.money(left, currency.code, currency.exponent, compact=True)},
    }


def _chart(mine: Standing, period: Period, so_far: pace.Progress, write: Writer) -> SafeString:
    """Credit by day against a linear plan, and where it leads."""
    quota, landing = mine.quota_minor or 0, mine.forecast
    cone = None
    if landing and landing.low_minor is not None and landing.high_minor is not None and so_far.left:
        cone = charts.Landing(
            float(landing.middle_minor), float(landing.low_minor), float(landing.high_minor)
        )
    return charts.line_chart(
        [float(minor) for minor in running(mine.by_day)],
        length=so_far.days,
        label=_("Your credit by day in %(measure)s: %(credited)s")
        % {"measure": mine.measure.name, "credited": write(mine.credited_minor)},
        plan=(0, float(quota)) if quota else (),
        landing=cone,
        ticks=ticks(period, so_far.elapsed),
        write=write.axis,
    )


def _chart_table(mine: Standing, period: Period, write: Writer) -> SafeString:
    """The last ten weeks, one a line."""
    last = clock.today()
    rows = [
        (
            _("to %(day)s") % {"day": formats.day(last - timedelta(days=7 * (len(mine.weeks) - 1 - nth)))},
            write(minor),
        )
        for nth, minor in enumerate(mine.weeks)
    ]
    return charts.table_twin(_("Credit of the last ten weeks"), (_("Seven days"), _("Credited")), rows)


def _together(pays: Sequence[Estimate]) -> list[tuple[Any, int, int]]:
    """(Currency, earned so far, of it not yet paid) over the components, by currency."""
    sums: dict[str, tuple[Any, int, int]] = {}
    for each in pays:
        if not each.why:
            _known, earned, left = sums.get(each.currency.code, (each.currency, 0, 0))
            sums[each.currency.code] = (each.currency, earned + each.earned, left + each.still_to_come)
    return list(sums.values())
