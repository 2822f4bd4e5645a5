"""Where a sourcing lead's day begins: the figures, what waits for a decision, what comes, and how we stand with each supplier."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from config import clock, formats
from config.charts import Tone
from config.language import _, later, ngettext
from marketplace.selectors.sourcing import commitments, leverage, spend
from marketplace.selectors.sourcing.concentration import ONE, Basis
from marketplace.selectors.sourcing.costing import USD
from marketplace.selectors.sourcing.flows import amount_text
from marketplace.selectors.sourcing.outlook import Coming, Task
from marketplace.selectors.sourcing.summary import Summary
from marketplace.views.sourcing.concentration import card, day_of, reader
from marketplace.views.sourcing.plans import said_plan

MOST_TASKS: Final = 8
MOST_COMING: Final = 8
MOST_SUPPLIERS: Final = 8
KINDS: Final[dict[str, tuple[str, Tone]]] = {
    "notice": (later("Notice"), "warn"),
    "renewal": (later("Renewal"), "accent"),
    "agreement ends": (later("Agreement"), "accent"),
    "retirement": (later("Retirement"), "bad"),
    "commitment ends": (later("Commitment"), "muted"),
    "plan ends": (later("Plan"), "muted"),
}


@require_safe
@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """A fixed number of queries, whatever there is."""
    user, on = reader(request), day_of(request)
    found = Summary(user, on)
    exposure = found.exposure
    return render(
        request,
        "marketplace/sourcing/overview.html",
        {
            "on": on,
            "today": clock.today(),
            "last_month": formats.month(exposure.months[-1]),
            "kpis": kpis(found),
            "index": card(exposure, Basis.SPEND),
            "tasks": [_task(task) for task in found.tasks[:MOST_TASKS]],
            "task_total": len(found.tasks),
            "coming": [_coming(each, on) for each in found.coming[:MOST_COMING]],
            "coming_total": len(found.coming),
            "suppliers": [supplier(rate, exposure) for rate in found.rates[:MOST_SUPPLIERS]],
            "supplier_total": len(found.rates),
            "run_rate": money(found.run_rate),
            "unpriced": found.unpriced,
            "standings": [standing(each) for each in found.standings],
            "leverage": [sheet_row(each) for each in found.leverage[:MOST_SUPPLIERS]],
            "findings": exposure.findings,
            "synthetic": any(line.synthetic for line in exposure.lines),
            "empty": not (exposure.features or found.rates or found.ties),
        },
    )


def money(minor: int | None) -> str:
    return formats.money(minor, USD, 2, compact=True) if minor is not None else _("Unknown")


def percent(part: int, whole: int) -> str:
    return formats.percent(part, whole, 0)


def in_days(days: int) -> str:
    if days == 0:
        return _("today")
    return ngettext("in %(count)s day", "in %(count)s days", days) % {"count": formats.whole(days)}


# --- the figures --------------------------------------------------------------------------------------------------


def kpis(found: Summary) -> list[dict[str, Any]]:
    """Label, value, what stands under it, note with its tone, and where it comes from."""
    return [
        _run_rate(found),
        _sole(found),
        _switchable(found),
        _next(
            found,
            "notice",
            _("Next notice deadline"),
            _("No notice deadline is stated"),
            "marketplace:companies",
        ),
        _next(
            found,
            "retirement",
            _("Next retirement that hits"),
            _("Nothing bound retires"),
            "marketplace:products",
        ),
        *_shortfalls(found),
    ]


def _kpi(
    label: str, value: str, sub: str, url: str, *, note: str = "", tone: Tone = "muted", word: str = ""
) -> dict[str, Any]:
    return {
        "label": label,
        "value": value,
        "sub": sub,
        "url": url,
        "note": note,
        "tone": tone,
        "word": word,
    }


def _run_rate(found: Summary) -> dict[str, Any]:
    planned = [rate for rate in found.rates if rate.plan is not None]
    note = ""
    for rate in planned[:1]:
        plan = rate.plan.plan if rate.plan is not None else None
        if plan is not None and rate.annual is not None:
            note = _("%(supplier_name)s %(annual)s of %(plan)s") % {
                "supplier_name": rate.supplier.name,
                "annual": money(rate.annual),
                "plan": said_plan(plan),
            }
    return _kpi(
        _("Run-rate a year"),
        money(found.run_rate),
        _("%(months)s × 12, all suppliers") % {"months": formats.month(found.exposure.months[-1])},
        reverse("marketplace:spend"),
        note=note or _("No plan of spend in effect"),
    )


def _sole(found: Summary) -> dict[str, Any]:
    sole, exposure = found.exposure.sole, found.exposure
    others = [each for each in sole if not exposure.suppliers[each.carriers[0]].own]
    return _kpi(
        _("Sole-sourced features"),
        _("%(sole)s of %(sourcing)s")
        % {"sole": formats.whole(len(sole)), "sourcing": formats.whole(len(exposure.sourcing))},
        _("%(others)s on another supplier's models") % {"others": formats.whole(len(others))},
        f"{reverse('marketplace:concentration')}#features",
        note=_("No traffic, reserve or qualified alternative elsewhere"),
        tone="warn" if others else "good",
        word=_("Exposed") if others else _("None exposed"),
    )


def _switchable(found: Summary) -> dict[str, Any]:
    switchable, spent = found.switchable
    return _kpi(
        _("Switchable spend"),
        percent(switchable, spent) if spent else _("Unknown"),
        _("%(switchable)s of %(spent)s") % {"switchable": money(switchable), "spent": money(spent)}
        if spent
        else _("Nothing spent with others"),
        reverse("marketplace:leverage"),
        note=_("Of twelve months, what another supplier's model could take over today"),
    )


def _next(found: Summary, kind: str, label: str, none: str, page: str) -> dict[str, Any]:
    coming = found.next(kind)
    if coming is None:
        return _kpi(label, _("None"), none, reverse(page), note=_("Within two years"))
    near = coming.near(found.on)
    return _kpi(
        label,
        formats.day(coming.day),
        coming.what.removeprefix("Last day for notice to ").removesuffix(" retires"),
        reverse(coming.url[0], args=coming.url[1:]),
        note=" ".join(
            part for part in (f"{in_days(coming.days(found.on)).capitalize()}.", coming.caveat) if part
        ),
        tone="warn" if near else "muted",
        word=_("Near") if near else "",
    )


def _shortfalls(found: Summary) -> list[dict[str, Any]]:
    """Of the largest commitment; the others stand in the table."""
    page = reverse("marketplace:commitments")
    if not found.standings:
        return [_kpi(_("Commitment shortfall"), _("None"), _("No compute commitment in force"), page)]
    first = max(found.standings, key=lambda each: each.total.low or each.total.high or 0)
    row = standing(first)
    return [
        _kpi(
            _("Commitment shortfall"),
            row["shortfall"].capitalize() if row["shortfall"].startswith("unknown") else row["shortfall"],
            _("%(payer)s to %(payee)s, %(amount)s")
            % {"payer": row["payer"], "payee": row["payee"], "amount": row["amount"]},
            row["url"],
            note=row["term"],
            tone="warn" if row["short"] else "muted",
            word=_("Behind") if row["short"] else "",
        )
    ]


# --- lists --------------------------------------------------------------------------------------------------------


def _task(task: Task) -> dict[str, Any]:
    icons = {"bad": "circle-alert", "warn": "triangle-alert"}
    return {
        "task": task,
        "url": reverse(task.url[0], args=task.url[1:]),
        "icon": icons.get(task.tone, "circle-dot"),
    }


def _coming(each: Coming, on: date) -> dict[str, Any]:
    word, tone = KINDS[each.kind]
    return {
        "each": each,
        "word": word,
        "tone": tone if each.near(on) or tone != "warn" else "accent",
        "url": reverse(each.url[0], args=each.url[1:]),
        "days": in_days(each.days(on)),
    }


def supplier(rate: spend.RunRate, exposure: Any) -> dict[str, Any]:
    """A row of run-rate against plan; actual and forecast stand apart."""
    plan = rate.plan
    last = exposure.series(Basis.SPEND).last
    known = exposure.suppliers.get(rate.supplier.pk)
    landing = plan.landing if plan is not None else None
    return {
        "name": known.name if known is not None else rate.supplier.name,
        "url": reverse("marketplace:company", args=[rate.company.slug]) if rate.company is not None else "",
        "own": known is not None and known.own,
        "annual": money(rate.annual),
        "trailing": money(rate.annual_trailing),
        "share": formats.percent(last.share(rate.supplier.pk), ONE)
        if last is not None and rate.last_minor is not None
        else _("Unknown"),
        "plan": said_plan(plan.plan) if plan is not None else "",
        "until": plan.plan.effective.upper - timedelta(days=1) if plan is not None else None,
        "spent": money(plan.spent) if plan is not None else "",
        "to_date": money(plan.to_date) if plan is not None and plan.to_date is not None else "",
        "over": _over(plan) if plan is not None else "",
        "tone": _tone(plan) if plan is not None else "muted",
        "landing": money(landing[1]) if landing is not None else "",
        "range": _("%(low)s to %(high)s") % {"low": money(landing[0]), "high": money(landing[2])}
        if landing is not None
        else "",
        "why_none": plan.why_none if plan is not None else "",
        "unpriced": rate.unpriced,
    }


def _over(plan: spend.Standing) -> str:
    """How far what was spent is from the plan's part."""
    if plan.over is None or not plan.to_date:
        return ""
    return _("%(over)s of plan to date") % {"over": formats.percent(plan.over, plan.to_date, 0, signed=True)}


def _tone(plan: spend.Standing) -> Tone:
    """More than a tenth above its part is too fast; nothing is wrong with less."""
    if plan.over is None or not plan.to_date:
        return "muted"
    return "warn" if Fraction(plan.over, plan.to_date) > Fraction(1, 10) else "good"


def standing(each: commitments.Standing) -> dict[str, Any]:
    """A compute commitment in words; what rests on an assumption says so."""
    tie, pace = each.relationship, each.pace
    code, exponent = (tie.currency.code, tie.currency.exponent) if tie.currency is not None else (USD, 2)
    if each.term is None:
        term = _("Term unknown until somebody states an assumption")
    else:
        term = _("%(start)s to %(end)s, term %(basis)s") % {
            "start": formats.day(each.term.start),
            "end": formats.day(each.term.end),
            "basis": each.term.basis,
        }
    short = pace is not None and pace.shortfall.low is not None and pace.shortfall.low > 0
    return {
        "payer": tie.payer.name,
        "payee": tie.payee.name,
        "amount": amount_text(tie),
        "drawn": formats.money(each.drawn, code, exponent, compact=True)
        if each.months
        else _("nothing billed"),
        "share": formats.percent(each.drawn, each.total.high)
        if each.months and each.total.high
        else formats.NO_VALUE,
        "pace": _against_pace(pace, code, exponent),
        "shortfall": _shortfall(pace, code, exponent),
        "short": short,
        "term": term,
        "synthetic": each.synthetic,
        "url": reverse("marketplace:relationship", args=[tie.pk]),
    }


def _against_pace(pace: commitments.Pace | None, code: str, exponent: int) -> str:
    if pace is None:
        return _("unknown without a term")
    behind = pace.behind
    if behind.high is not None and behind.high <= 0:
        return _("%(code)s ahead") % {"code": (-behind).text(code, exponent)}
    return (
        _("%(code)s behind") % {"code": behind.text(code, exponent)}
        if (behind.low or 0) >= 0
        else behind.text(code, exponent)
    )


def _shortfall(pace: commitments.Pace | None, code: str, exponent: int) -> str:
    if pace is None:
        return "unknown"
    return _("none expected") if pace.shortfall.high == 0 else pace.shortfall.text(code, exponent)


def sheet_row(each: leverage.Supplier) -> dict[str, Any]:
    """A line of the leverage sheet in words."""
    notice = each.notice
    ratio = each.ratio
    return {
        "name": each.company.name if each.company is not None else each.publisher.name,
        "url": f"{reverse('marketplace:leverage')}",
        "spent": money(each.spent),
        "switchable": money(each.switchable),
        "share": percent(each.switchable, each.spent) if each.spent else "",
        "features": each.features,
        "movable": each.movable,
        "price": (
            formats.percent(ratio.numerator, ratio.denominator, 0, signed=True)
            if ratio is not None
            else _("nothing to compare")
        ),
        "cheaper": ratio is not None and ratio < 0,
        "notice": _notice(notice),
        "near": notice is not None
        and notice.days is not None
        and 0 <= notice.days <= settings.SOURCING_THRESHOLDS["notice_days_ahead"],
    }


def _notice(notice: leverage.Notice | None) -> str:
    if notice is None:
        return _("no agreement known")
    if notice.days is None:
        return _("not stated")
    return in_days(notice.days) if notice.days >= 0 else _("passed %(by)s") % {"by": formats.day(notice.by)}
