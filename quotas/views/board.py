"""The quota board of a team, for those in it, those above it and those beside it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import calls, charts, clock, exporting, formats
from config.exports import Column, Table, ratio
from config.language import _, later, ngettext, spoken
from config.paging import PAGE, paged
from quotas.models import ONE, Period, QuotaRelief, Team
from quotas.selectors import exports, pace, periods, teams
from quotas.selectors.boards import BANDS, Board, Flow, Row, Rows, team_board
from quotas.selectors.kept import BeingWorkedOut
from quotas.selectors.statements import pending_for
from quotas.selectors.targets import reliefs_of
from quotas.selectors.visibility import calendars_of, rep_of
from quotas.selectors.weighted import WeightedAttainment, WeightedComponent, weighted_attainments
from quotas.services import keeping
from quotas.views import HtmxRequest, Writer, chosen_measure, chosen_period, sales_user, wants_part
from quotas.views import making as being_made
from quotas.views.approvals import waiting_count
from quotas.views.versions import asked_for, chosen_version, said, versions
from quotas.views.whatif import gap_card

FILTERS: Final = (("", later("All")), ("behind", later("Behind pace")), ("pending", later("Has pending")))
PUBLISHERS_SHOWN: Final = 5
SORTS: Final = ("attainment", "name", "credited", "quota", "landing")
SEGMENT_TONES: Final[Sequence[charts.Tone]] = ("c1", "c2", "c3", "c4", "c5")
PUBLISHER_TONES: Final[Sequence[charts.Tone]] = ("c5", "c4", "c1", "c3", "c2")
ORIGINS: Final = {"first": later("First party"), "third": later("Third party")}


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the board as it is shown."""

    row: Row
    landing: str
    trend_label: str
    relief: str = ""

    @property
    def quota(self) -> int:
        return self.row.quota_minor or 0


@require_safe
@login_required
@vary_on_headers("HX-Request")
def board(request: HtmxRequest, slug: str = "") -> HttpResponseBase:
    user = sales_user(request)
    at = clock.now()
    today = clock.today()
    if not slug:
        return redirect(_home(user) + ("?" + request.GET.urlencode() if request.GET else ""))
    team = get_object_or_404(Team, slug=slug)
    known = periods.Calendars()
    period = chosen_period(request.GET, today, lambda: known.of_team(team.pk, today))
    measure, measures = chosen_measure(request.GET)
    reading, closes, wrong = chosen_version(request, period, at)
    try:
        shown = team_board(team=team, period=period, measure=measure, at=at, viewer=user, reading=reading)
    except BeingWorkedOut as waits:
        return being_made.answer(
            request,
            "quotas/making.html",
            {
                "making": being_made.making(waits, at=at),
                "title": team.name,
                "path": reading.path_to(team.pk, reading.day(today)),
                "period": period,
                "reading": reading,
                "measure": measure,
                "measures": measures,
                "switch": periods.switch(period, today, calendars_of(user, today, first=team, known=known)),
                "versions": versions(
                    *(request, reading, closes, wrong), measure=measure, within=None, money=False, at=at
                ),
            },
        )
    keeping.looked_at(shown.look, at=at)
    rows = _filtered(shown, request.GET.get("q", ""), request.GET.get("show", ""))
    if form := exporting.asked(request):
        table = _table(_sorted(rows, request.GET.get("sort", ""), shown), shown)
        kind = "" if reading.plain else f" {reading.name}"
        name, title = (
            f"board {team.slug} {measure.slug} {period}{kind}",
            f"{team.name}, quota board",
        )
        return exporting.answer(request, form, name=name, title=title, table=table, said=_told(shown))
    ordered = _sorted(rows, request.GET.get("sort", ""), shown)
    page = paged(request, ordered)
    lines = _lines(list(page.object_list), shown)
    mine_at = (
        ordered.my_place
        if isinstance(ordered, Rows)
        else next((at for at, row in enumerate(ordered) if row.you), None)
    )
    counts = {"behind": shown.behind, "pending": shown.waiting}
    context = {
        "board": shown,
        "page": page,
        "my_page": None if mine_at is None or mine_at // PAGE + 1 == page.number else mine_at // PAGE + 1,
        "team": team,
        "measure": measure,
        "measures": measures,
        "switch": periods.switch(period, today, calendars_of(user, today, first=team, known=known)),
        "lines": lines,
        "found": len(rows),
        "sort": request.GET.get("sort", "")
        if request.GET.get("sort", "").lstrip("-") in SORTS
        else "-attainment",
        "narrowed": len(rows) < len(shown.rows),
        "chips": [(key, text, counts.get(key, 0)) for key, text in FILTERS],
        "chosen": request.GET.get("show", ""),
        "q": request.GET.get("q", ""),
    }
    if wants_part(request) and request.htmx.target == "rows":
        return render(request, "quotas/board.html#rows", context)
    write = Writer.of(measure)
    waiting = waiting_count(request)
    context |= {
        "kpis": kpis(shown, write, waiting),
        "waiting": waiting,
        "credit_chart": _credit_chart(shown, write),
        "credit_table": _credit_table(shown, write),
        "spread": spread(shown),
        "spread_table": spread_table(shown),
        "flow": _flow(shown, write),
        "may_log": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
        "over": formats.percent(shown.assigned_minor, shown.quota_minor or 0),
        "weighted": _weighted(shown),
        "versions": versions(
            *(request, reading, closes, wrong),
            measure=measure,
            within=shown.inside,
            shown_minor=shown.credited_minor,
            money=shown.money,
            at=at,
        ),
    }
    context["call"] = calls.reading(
        request,
        reverse("attainment-list"),
        {"period": period.name, "measure": measure.slug, "team": team.slug} | asked_for(request),
    )
    if shown.reading.plain and shown.rows.mine is not None:
        context["to_do"] = pending_for(user, today)
        if period.ends > today:
            context |= gap_card(user, measure=measure, period=period, on=today)
    return being_made.instead(request, render(request, "quotas/board.html", context))


def _home(user: User) -> str:
    """A rep's own team, a manager's, or the top of the tree. 2 queries."""
    today = clock.today()
    me = rep_of(user)
    membership = teams.membership_of(me, today) if me else None
    team = membership.team if membership else teams.top_team(today)
    if team is None:
        raise Http404
    return reverse("quotas:board", args=[team.slug])


def _lines(rows: Sequence[Row], shown: Board) -> list[Line]:
    """Rows as a page shows them. 1 query, none for teams."""
    reliefs, label = _reliefs(rows, shown), _("%(name)s, ten weeks")
    return [
        Line(row, _landing_of(row, shown), label % {"name": row.name}, reliefs.get(row.id, ""))
        for row in rows
    ]


def _reliefs(rows: Sequence[Row], shown: Board) -> dict[int, str]:
    """Ramp and leave of the rows whose amounts the viewer may see, in words; of the figures of now alone. 1 query, none for teams."""
    ids = [row.id for row in rows if row.kind == "rep" and row.money]
    if not ids or not shown.reading.live:
        return {}
    return {
        rep: ", ".join(_relief(each) for each in found)
        for rep, found in reliefs_of(ids, shown.period).items()
    }


def _relief(relief: QuotaRelief) -> str:
    until = (
        _(" until %(upper)s") % {"upper": formats.day(relief.effective.upper - timedelta(days=1))}
        if relief.effective.upper
        else ""
    )
    return _("%(relief)s at %(factor_ppm)s%(until)s") % {
        "relief": spoken(relief.get_kind_display()),
        "factor_ppm": formats.percent(relief.factor_ppm, ONE, 0),
        "until": until,
    }


def _lands(row: Row, shown: Board) -> Fraction | None:
    """The share of quota that the run-rate leads to."""
    so_far = shown.progress
    if not row.quota_minor or not so_far.elapsed:
        return None
    return Fraction(row.attained_minor * so_far.days, so_far.elapsed * row.quota_minor)


def _landing_of(row: Row, shown: Board) -> str:
    lands = _lands(row, shown)
    return formats.NO_VALUE if lands is None else formats.percent(lands.numerator, lands.denominator, 0)


def _filtered(shown: Board, words: str, show: str) -> Sequence[Row]:
    wanted, pace_ppm = words.split(), shown.pace_ppm
    rows = shown.rows.matching(wanted) if wanted else shown.rows
    if show == "behind":
        return [row for row in rows if row.behind(pace_ppm)]
    if show == "pending":
        return [row for row in rows if row.pending_minor]
    return rows


def _sorted(rows: Sequence[Row], sort: str, shown: Board) -> Sequence[Row]:
    """Rows come by attainment; what a viewer may not see is no order either."""
    name, down = sort.lstrip("-"), sort.startswith("-")
    if name == "attainment":
        return rows if down else rows[::-1]
    keys: dict[str, Callable[[Row], Any]] = {
        "name": lambda row: row.name.casefold(),
        "credited": lambda row: row.credited_minor if row.money else -1,
        "quota": lambda row: (row.quota_minor or 0) if row.money else -1,
        "landing": lambda row: (_lands(row, shown) is not None, _lands(row, shown) or 0),
    }
    return sorted(rows, key=keys[name], reverse=down) if name in keys else rows


# --- as a file --------------------------------------------------------------------------------------------


def _table(found: Sequence[Row], shown: Board) -> Table:
    """A row a line of the board; an amount that the viewer may not see is empty."""
    columns = [
        Column("rank", "Rank", "whole"),
        Column("movement", "Places won in a week", "whole"),
        Column("name", "Team" if shown.of_teams else "Rep"),
        Column("slug", "Slug"),
        Column("detail", "What"),
        Column("attainment_percent", "Attainment %", "percent", key="attainment"),
        *(
            Column(name, label, "money", exports.SHARED, key)
            for name, label, key in (
                ("attained", _("Attained"), "attainment"),
                ("credited", _("Credited"), "credited"),
                ("overlay", _("Overlay"), "credited"),
                ("elsewhere", _("In other teams"), "credited"),
                ("pending", _("Pending"), "credited"),
                ("last_week", _("Credited in the last week"), "credited"),
                ("quota", _("Quota"), "quota"),
            )
        ),
        Column("against_pace_percent", "Against pace, % points", "percent", key="pace"),
        Column("landing_percent", "Landing %", "percent", key="landing"),
        Column("status", "Status"),
    ]
    write = exports.of_measure(shown.measure)

    def rows() -> Iterator[Sequence[Any]]:
        for row in found:
            quota = row.quota_minor or 0
            amounts = (
                *(row.attained_minor, row.credited_minor, row.overlay_minor, row.elsewhere_minor),
                *(row.pending_minor, row.last_week_minor, row.quota_minor),
            )
            attained = ratio(row.attained_minor, quota)
            stands = charts.standing(row.attained_minor, quota, shown.pace_ppm)
            yield (
                *(row.rank, row.movement, row.name, row.slug, row.detail, attained),
                *(write(minor) if row.money else None for minor in amounts),
                exports.against_pace(attained, shown.pace_ppm),
                _lands(row, shown),
                stands.word,
            )

    return Table(columns, rows)


def _told(shown: Board) -> list[tuple[str, str]]:
    """What stands round the rows of the board."""
    write = Writer.of(shown.measure)
    told = [
        (_("Measure"), shown.measure.name),
        (_("Period"), shown.period.name),
        *said(shown.reading),
        (_("Linear pace"), formats.percent(shown.pace_ppm, ONE)),
    ]
    if shown.plan_version:
        told.append((_("Plan"), shown.plan_version))
    if shown.money:
        told.append((_("Credited together"), write(shown.credited_minor)))
        if shown.quota_minor is not None:
            told.append((_("Quota of the team"), write(shown.quota_minor)))
    else:
        told.append((_("Amounts"), _("Those of others are not shown to you.")))
    return told


# --- weighted attainment ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WeightShown:
    """A component of the viewer's plan: its measure's own bar, and what it brings."""

    of: WeightedComponent
    weight: str
    attainment: str
    contribution: str


@dataclass(frozen=True, slots=True)
class WeightedShown:
    """A plan of the viewer's: one figure, what it is made of, and which measures are left out of it."""

    of: WeightedAttainment
    figure: str
    counted: str
    components: Sequence[WeightShown]
    left_out: str


def _weighted(shown: Board) -> list[WeightedShown]:
    """The viewer's own, on the board of a team that he is in; one for each of his plans that weighs measures."""
    mine = shown.rows.mine
    if mine is None or not shown.reading.plain:
        return []
    found = weighted_attainments([mine.id], period=shown.period, on=shown.on).get(mine.id, [])
    return [
        WeightedShown(
            each,
            _ratio(each.weighted),
            "" if each.weight_counted_ppm == ONE else formats.percent(each.weight_counted_ppm, ONE, 0),
            [
                WeightShown(
                    c, formats.percent(c.weight_ppm, ONE, 0), _ratio(c.attainment), _ratio(c.contribution)
                )
                for c in each.components
            ],
            _(" and ").join(c.measure.name for c in each.without_quota),
        )
        for each in found
    ]


def _ratio(value: Fraction | None) -> str:
    return formats.NO_VALUE if value is None else formats.percent(value.numerator, value.denominator)


# --- key figures ------------------------------------------------------------------------------------------


def kpis(shown: Board, write: Writer, waiting: int) -> list[dict[str, Any]]:
    """The team's figures; a rep who may not see its money gets his own, because his are what he came for."""
    mine = shown.rows.mine
    if mine is not None and not shown.money:
        return _own(mine, shown, write)
    return [
        _credited(shown, write),
        _attainment(shown),
        _landing(shown, write),
        _pending(shown, write, waiting),
    ]


def _own(mine: Row, shown: Board, write: Writer) -> list[dict[str, Any]]:
    quota, credited, so_far = mine.quota_minor or 0, mine.attained_minor, shown.progress
    stands = charts.standing(credited, quota, shown.pace_ppm)
    gap = Fraction(credited, quota) - Fraction(shown.pace_ppm, 1_000_000) if quota else Fraction(0)
    landing = pace.run_rate(credited, so_far)
    return [
        {
            "label": _("Your credit"),
            "value": write.compact(credited),
            "sub": _("of %(quota)s quota") % {"quota": write.compact(quota)}
            if quota
            else _("no quota in this measure"),
            "spark": charts.sparkline(mine.trend, label=_("Your credit of the last ten weeks, running")),
            "delta": write.compact(mine.last_week_minor),
            "note": _("dated in the last seven days"),
            "tone": "accent",
            "icon": "calendar-check",
        },
        {
            "label": _("Your attainment"),
            "value": formats.percent(credited, quota),
            "sub": _("linear pace asks for %(pace_ppm)s")
            % {"pace_ppm": formats.percent(shown.pace_ppm, 1000000)},
            "delta": _("%(gap)s pts") % {"gap": formats.points(gap)} if quota else "",
            "note": _("against linear pace") if quota else "",
            "tone": stands.tone,
            "icon": "arrow-up-right" if gap >= 0 else "arrow-down-right",
        },
        {
            "label": _("Your landing"),
            "value": formats.percent(landing, quota, 0)
            if landing is not None and quota
            else formats.NO_VALUE,
            "sub": _("%(landing)s by the last day") % {"landing": write.compact(landing)}
            if landing is not None
            else _("The period has not begun"),
            "note": _("Linear run-rate of %(elapsed)s of %(days)s days")
            % {"elapsed": so_far.elapsed, "days": so_far.days},
            "tone": "muted",
            "icon": "chart-line",
        },
        {
            "label": _("Your rank in the team"),
            "value": _("%(rank)s of %(ranked)s") % {"rank": mine.rank, "ranked": shown.ranked}
            if mine.rank
            else formats.NO_VALUE,
            "sub": _("%(pending_minor)s pending approval")
            % {"pending_minor": write.compact(mine.pending_minor)}
            if mine.pending_minor
            else _("nothing pending"),
            "note": _goal_gap(credited, quota, so_far, write),
            "tone": "muted",
            "icon": "target",
        },
    ]


def _goal_gap(credited: int, quota: int, so_far: pace.Progress, write: Writer) -> str:
    if not quota:
        return _("Without a quota there is no rank")
    if credited >= quota:
        return _("Quota reached")
    return _("%(quota)s to go in %(left)s days") % {
        "quota": write.compact(quota - credited),
        "left": so_far.left,
    }


def _credited(shown: Board, write: Writer) -> dict[str, Any]:
    quota = shown.quota_minor or 0
    kpi: dict[str, Any] = {
        "label": _("Credited to date"),
        "spark": charts.sparkline(shown.trend, label=_("Credit of the last ten weeks, running")),
    }
    kpi |= (
        {
            "value": write.compact(shown.credited_minor),
            "sub": _("of %(quota)s team quota") % {"quota": write.compact(quota)}
            if quota
            else _("no team quota"),
        }
        if shown.money
        else {"value": formats.percent(shown.credited_minor, quota), "sub": _("of the team's quota")}
    )
    if shown.year_ago is not None and shown.year_ago_minor and shown.year_ago_minor > 0:
        change = shown.credited_minor - shown.year_ago_minor
        kpi |= {
            "delta": formats.percent(change, shown.year_ago_minor, signed=True),
            "note": _("vs. the same day of %(year_ago_name)s") % {"year_ago_name": shown.year_ago.name},
            "tone": "good" if change >= 0 else "bad",
            "icon": "arrow-up-right" if change >= 0 else "arrow-down-right",
        }
    else:
        kpi["note"] = _("No year before to compare with")
    return kpi


def _attainment(shown: Board) -> dict[str, Any]:
    quota = shown.quota_minor or 0
    due = formats.percent(shown.pace_ppm, 1_000_000)
    kpi: dict[str, Any] = {
        "label": _("Attainment"),
        "value": formats.percent(shown.credited_minor, quota),
        "sub": _("linear pace asks for %(due)s") % {"due": due},
    }
    if not quota:
        return kpi | {"note": _("Nobody below has a quota")}
    gap = Fraction(shown.credited_minor, quota) - Fraction(shown.pace_ppm, 1_000_000)
    stands = charts.standing(shown.credited_minor, quota, shown.pace_ppm)
    return kpi | {
        "delta": _("%(gap)s pts") % {"gap": formats.points(gap)},
        "note": _("against linear pace"),
        "tone": stands.tone,
        "icon": "arrow-up-right" if gap >= 0 else "arrow-down-right",
        "spark": charts.sparkline(
            running(shown.by_day), label=_("Credit of the period so far, running"), tone=stands.tone
        ),
    }


def _landing(shown: Board, write: Writer) -> dict[str, Any]:
    quota, landing = shown.quota_minor or 0, shown.forecast
    kpi: dict[str, Any] = {"label": _("Projected landing")}
    if landing is None:
        return kpi | {"value": formats.NO_VALUE, "sub": _("The period has not begun")}
    if quota:
        middle = formats.percent(landing.middle_minor, quota, 0)
    else:
        middle = write.compact(landing.middle_minor) if shown.money else formats.NO_VALUE
    kpi["value"] = middle
    if landing.low_minor is None or landing.high_minor is None or not quota:
        kpi["sub"] = _("too early for a range")
    elif shown.progress.left == 0:
        kpi["sub"] = _("final")
    else:
        low, high = (formats.percent(end, quota, 0) for end in (landing.low_minor, landing.high_minor))
        kpi["sub"] = _("80%% range %(low)s to %(high)s") % {"low": low, "high": high}
    return kpi | {
        "note": _("Linear run-rate of %(elapsed)s of %(days)s days")
        % {"elapsed": shown.progress.elapsed, "days": shown.progress.days},
        "icon": "chart-line",
        "tone": "muted",
    }


def _pending(shown: Board, write: Writer, waiting: int) -> dict[str, Any]:
    deals = ngettext("%(count)s deal", "%(count)s deals", shown.pending_deals) % {
        "count": shown.pending_deals
    }
    age = (shown.as_of - shown.oldest_pending).days if shown.oldest_pending else 0
    sub = (
        ngettext("%(deals)s, oldest %(age)s day", "%(deals)s, oldest %(age)s days", age)
        % {"deals": deals, "age": age}
        if shown.pending_deals
        else _("nothing waits for approval")
    )
    value = (
        write.compact(shown.pending_minor)
        if shown.money
        else formats.percent(shown.pending_minor, shown.quota_minor or 0)
    )
    kpi: dict[str, Any] = {"label": _("Pending approval"), "value": value, "sub": sub}
    if waiting:
        return kpi | {
            "delta": ngettext("%(count)s deal", "%(count)s deals", waiting)
            % {"count": formats.whole(waiting)},
            "note": _("waiting on you"),
            "tone": "warn",
            "icon": "clock",
        }
    return kpi | {"note": _("Estimate: line value x share"), "tone": "muted", "icon": "info"}


# --- charts -----------------------------------------------------------------------------------------------


def running(by_day: Sequence[int]) -> list[int]:
    total, running = 0, [0]
    for amount in by_day:
        total += amount
        running.append(total)
    return running


def _credit_chart(shown: Board, write: Writer) -> SafeString:
    """In money where it may be seen; else in per cent of the team's quota."""
    quota, landing = shown.quota_minor or 0, shown.forecast

    def scaled(minor: int) -> float:
        return float(minor) if shown.money else minor * 100 / (quota or 1)

    cone = None
    if (
        landing is not None
        and landing.low_minor is not None
        and landing.high_minor is not None
        and shown.progress.left
    ):
        cone = charts.Landing(
            scaled(landing.middle_minor), scaled(landing.low_minor), scaled(landing.high_minor)
        )
    period, so_far = shown.period, shown.progress
    return charts.line_chart(
        [scaled(minor) for minor in running(shown.by_day)],
        length=so_far.days,
        label=_("Credit of %(team_name)s by day against a linear plan: %(credited_minor)s of quota")
        % {"team_name": shown.team.name, "credited_minor": formats.percent(shown.credited_minor, quota)},
        plan=(0, scaled(quota)) if quota else (),
        landing=cone,
        ticks=ticks(period, so_far.elapsed),
        write=write.axis if shown.money else (lambda share: formats.percent(share, 100, 0)),
    )


def ticks(period: Period, elapsed: int) -> list[tuple[int, str]]:
    """First and last day, today, and the first day of a month where it does not touch them."""
    days = (period.ends - period.starts).days
    marks = {0: formats.day_short(period.starts), days: formats.day_short(period.ends - timedelta(days=1))}
    if 0 < elapsed < days:
        marks[elapsed] = _("Today")
    step = 1 if days <= 100 else 3
    month = period.starts
    while (month := _next_month(month, step)) < period.ends:
        at = (month - period.starts).days
        if all(abs(at - other) > days * 0.09 for other in marks):
            marks[at] = formats.day_short(month)
    if 0 < elapsed < days * 0.09:
        del marks[elapsed]
    if days * 0.91 < elapsed < days:
        del marks[elapsed]
    return sorted(marks.items())


def _next_month(day: Any, step: int) -> Any:
    months = day.year * 12 + day.month - 1 + step
    return day.replace(year=months // 12, month=months % 12 + 1, day=1)


def _credit_table(shown: Board, write: Writer) -> SafeString:
    """Each week's last day."""
    totals, quota, days = running(shown.by_day), shown.quota_minor or 0, shown.progress.days
    said = write if shown.money else (lambda minor: formats.percent(minor, quota))
    at = [*range(7, len(totals), 7)]
    if len(totals) > 1 and (not at or at[-1] != len(totals) - 1):
        at.append(len(totals) - 1)
    return charts.table_twin(
        _("Credit against plan"),
        (_("To the end of"), _("Credited"), _("Linear plan")),
        [
            (
                formats.day_short(shown.period.starts + timedelta(days=day - 1)),
                said(totals[day]),
                said(quota * day // days),
            )
            for day in at
        ],
    )


def _band_names() -> list[str]:
    edges = [0, *BANDS]
    return [f"{low}\N{EN DASH}{high}" for low, high in pairwise(edges)] + [f"{BANDS[-1]}+"]


def spread(shown: Board) -> SafeString:
    middles = [edge + 10 for edge in (0, *BANDS)]
    tones = [charts.standing(middle, 100, shown.pace_ppm).tone for middle in middles]
    bins = [
        charts.Bin(name, count, tone)
        for name, count, tone in zip(_band_names(), shown.bands, tones, strict=True)
    ]
    return charts.histogram(bins, label=_("Reps by per cent of quota"))


def spread_table(shown: Board) -> SafeString:
    return charts.table_twin(
        _("Attainment spread"),
        (_("Per cent of quota"), _("Reps")),
        list(zip(_band_names(), shown.bands, strict=True)),
    )


def _flow(shown: Board, write: Writer) -> dict[str, SafeString] | None:
    """Segment to publisher to origin; the smaller publishers of an origin together. None without anything to show."""
    if not shown.flows:
        return None
    sold: dict[str, int] = defaultdict(int)
    for flow in shown.flows:
        sold[flow.publisher] += flow.amount_minor
    named = set(sorted(sold, key=lambda name: -sold[name])[:PUBLISHERS_SHOWN])
    into: dict[tuple[str, str], int] = defaultdict(int)
    out: dict[tuple[str, str], int] = defaultdict(int)
    for flow in shown.flows:
        publisher = _publisher(flow, named)
        into[flow.segment, publisher] += flow.amount_minor
        out[publisher, flow.origin] += flow.amount_minor
    total = sum(into.values())
    said = write.compact if shown.money else (lambda minor: formats.percent(minor, total, 0))
    segments, publishers = _by_size(into, 0), _by_size(out, 0)
    origins = _by_size(out, 1)
    columns = [
        [
            charts.Node(f"s:{s}", s.replace("-", " ").capitalize(), SEGMENT_TONES[n % 5])
            for n, s in enumerate(segments)
        ],
        [charts.Node(f"p:{p}", p, PUBLISHER_TONES[n % 5]) for n, p in enumerate(publishers)],
        [charts.Node(f"o:{o}", ORIGINS[o], "c3" if o == "first" else "c2") for o in origins],
    ]
    links = [charts.Link(f"s:{s}", f"p:{p}", v) for (s, p), v in into.items()]
    links += [charts.Link(f"p:{p}", f"o:{o}", v) for (p, o), v in out.items()]
    rows = [
        (
            _("%(segment)s to %(publisher)s") % {"segment": s.replace("-", " ").capitalize(), "publisher": p},
            said(v),
        )
        for (s, p), v in sorted(into.items(), key=lambda x: -x[1])
    ]
    return {
        "chart": charts.sankey(
            columns, links, label=_("Credit from customer segment over publisher to its origin"), write=said
        ),
        "table": charts.table_twin(_("Where the credit comes from"), (_("Flow"), _("Credit")), rows),
    }


def _publisher(flow: Flow, named: set[str]) -> str:
    return (
        flow.publisher
        if flow.publisher in named
        else _("Other, %(ORIGINS)s") % {"ORIGINS": ORIGINS[flow.origin].lower()}
    )


def _by_size(flows: dict[tuple[str, str], int], place: int) -> list[str]:
    sizes: dict[str, int] = defaultdict(int)
    for key, value in flows.items():
        sizes[key[place]] += value
    return sorted(sizes, key=lambda name: (-sizes[name], name))
