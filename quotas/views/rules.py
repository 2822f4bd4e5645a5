"""The rules of crediting. To be read by everybody who is measured by them."""

from datetime import date, timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.models import Role
from config import clock, exporting
from config.language import _, ngettext
from quotas.models import PlanAssignment, PlanVersion
from quotas.selectors import exports
from quotas.selectors.plans import in_force
from quotas.selectors.rules import VersionShown, versions_for, word
from quotas.views import HtmxRequest, sales_user


@require_safe
@login_required
def plans(request: HtmxRequest) -> HttpResponseBase:
    """Every plan with the version in force today, for whom it is, and its other versions. A fixed number of queries."""
    user = sales_user(request)
    today = clock.today()
    versions = versions_for(drafts=user.has_role(Role.COMP_ADMIN, Role.AUDITOR))
    if form := exporting.asked(request):
        table = exports.rules(versions)
        return exporting.answer(request, form, name="crediting rules", title="Crediting rules", table=table)
    current = {version.pk for version in in_force(today, [shown.version for shown in versions]).values()}
    whom = _whom(today)
    grouped: dict[int, list[VersionShown]] = {}
    for shown in versions:
        grouped.setdefault(shown.version.plan_id, []).append(shown)
    context = {
        "plans": [
            {
                "plan": group[0].version.plan,
                "whom": whom.get(plan_id, _("nobody yet")),
                "current": next((shown for shown in group if shown.version.pk in current), None),
                "last": next(
                    (last_day(shown.version) for shown in group if shown.version.pk in current), None
                ),
                "others": [
                    (shown.version, last_day(shown.version))
                    for shown in group
                    if shown.version.pk not in current
                ],
            }
            for plan_id, group in grouped.items()
        ],
        "may_write": user.has_role(Role.COMP_ADMIN),
        "today": today,
    }
    return render(request, "quotas/plans.html", context)


def last_day(version: PlanVersion) -> date | None:
    upper = version.effective.upper
    return upper - timedelta(days=1) if upper else None


def _whom(on: date) -> dict[int, str]:
    """Plan to who has it on a day, in words. 1 query."""
    given: dict[int, list[tuple[str, int | None]]] = {}
    for plan_id, role, rep_id in (
        PlanAssignment.objects.filter(superseded_at=None, effective__contains=on)
        .order_by("plan_id", "role", "rep_id")
        .values_list("plan_id", "role", "rep_id")
    ):
        given.setdefault(plan_id, []).append((role, rep_id))
    found = {}
    for plan_id, each in given.items():
        roles = [word("roles", role) for role, _rep in each if role]
        reps = sum(rep is not None for _role, rep in each)
        single = (
            [ngettext("%(count)s rep in person", "%(count)s reps in person", reps) % {"count": reps}]
            if reps
            else []
        )
        everybody = any(not role and rep is None for role, rep in each)
        found[plan_id] = _("everybody") if everybody else ", ".join([*roles, *single])
    return found
