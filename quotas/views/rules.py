"""The rules of crediting, and the periods they work in. To be read by everybody who is measured by them."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Role
from config import clock
from quotas.models import Grain, PlanState
from quotas.selectors import periods as period_selectors
from quotas.selectors.rules import versions_for
from quotas.views import HtmxRequest, sales_user


@require_safe
@login_required
def plans(request: HtmxRequest) -> HttpResponse:
    user = sales_user(request)
    drafts = user.has_role(Role.COMP_ADMIN, Role.AUDITOR)
    today = clock.today()
    versions = versions_for(drafts=drafts)
    in_force = [
        shown
        for shown in versions
        if shown.version.state == PlanState.PUBLISHED and today in shown.version.effective
    ]
    current = {shown.version.plan_id: shown for shown in reversed(in_force)}  # the higher number counts
    return render(
        request,
        "quotas/plans.html",
        {
            "versions": versions,
            "current": {shown.version.pk for shown in current.values()},
            "drafts": drafts,
            "today": today,
        },
    )


@require_safe
@login_required
def periods(request: HtmxRequest) -> HttpResponse:
    sales_user(request)
    every = period_selectors.all_periods()
    years = [
        {
            "year": year,
            "quarters": [
                {
                    "quarter": quarter,
                    "months": [m for m in every if m.grain == Grain.MONTH and m.quarter_id == quarter.pk],
                }
                for quarter in every
                if quarter.grain == Grain.QUARTER and quarter.year_id == year.pk
            ],
        }
        for year in reversed(every)
        if year.grain == Grain.YEAR
    ]
    return render(
        request,
        "quotas/periods.html",
        {"years": years, "today": clock.today(), "calendar": period_selectors.calendar()},
    )
