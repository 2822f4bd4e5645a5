"""The queue of deals that wait for this person, and deciding on them one by one or together."""

from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting
from config.refusals import Refusal
from quotas.models import Deal, Measure
from quotas.selectors import exports
from quotas.selectors.deals import (
    Duplicate,
    Expected,
    complete,
    duplicates_of,
    expected_credit,
    with_facts,
)
from quotas.selectors.visibility import reps_for
from quotas.services.approving import approvals_waiting_for, approve_deals
from quotas.views import HtmxRequest, sales_user
from quotas.views.deal_history import Amendment, amendments

PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A deal or an amendment that waits; amendment says what would change."""

    deal: Deal
    amount_minor: int
    expected: Expected
    credit_minor: int
    reasons: list[str]
    duplicates: list[Duplicate]
    days: int
    amendment: Amendment | None = None


@require_safe
@login_required
def approvals(request: HtmxRequest) -> HttpResponseBase:
    user = _approver(request)
    now = clock.now()
    measure = Measure.objects.select_related("currency").order_by("position", "pk").first()
    if form := exporting.asked(request):
        table = exports.approvals(approvals_waiting_for(user, clock.today()), measure, now)
        return exporting.answer(request, form, name="approvals", title="Approvals", table=table)
    waiting = with_facts(approvals_waiting_for(user, clock.today()))
    total = waiting.count()
    page = list(waiting.order_by(Coalesce("amended_at", "submitted_at"), "pk")[:PAGE])
    complete(page)
    expected = expected_credit(page)
    same = duplicates_of([deal for deal in page if deal.amended_at is None])
    proposed = amendments(
        page,
        Measure.objects.select_related("currency").in_bulk(),
        people=reps_for(user, clock.today()),
    )
    rows = [
        Row(
            deal=deal,
            amount_minor=sum(line.amount_minor for line in deal.latest_version.lines.all())
            if deal.latest_version
            else 0,
            expected=expected[deal.pk],
            credit_minor=expected[deal.pk].by_measure.get(measure.pk, 0) if measure else 0,
            reasons=expected[deal.pk].reasons,
            duplicates=same.get(deal.pk, []),
            days=(now - since).days if (since := deal.amended_at or deal.submitted_at) else 0,
            amendment=proposed.get(deal.pk),
        )
        for deal in page
    ]
    together = sum(_new_credit(row, measure) for row in rows)
    context: dict[str, Any] = {
        "rows": rows,
        "total": total,
        "measure": measure,
        "together": together,
        "page": PAGE,
    }
    return render(request, "quotas/approvals.html", context)


def _new_credit(row: Row, measure: Measure | None) -> int:
    """What approving it would add: of an amendment the difference."""
    if row.amendment is None:
        return row.credit_minor
    return sum(change.difference for change in row.amendment.credit if change.measure == measure)


@require_POST
@login_required
def approve(request: HtmxRequest) -> HttpResponse:
    """Approve the chosen deals, all or none."""
    user = _approver(request)
    only = request.GET.get("only")  # the button of one row, whatever else is ticked
    chosen = [
        int(text)
        for text in ([only] if only else request.POST.getlist("deal"))
        if text.isdecimal() and len(text) < 16
    ]
    if not chosen:
        messages.warning(request, "Choose at least one deal.")
        return redirect("quotas:approvals")
    try:
        approve_deals(deal_ids=list(dict.fromkeys(chosen)), by=user, at=clock.now())
    except Refusal as refused:
        for problem in refused.problems[:3]:
            messages.error(request, problem.message)
        messages.error(request, "None of the chosen deals was approved.")
        return redirect("quotas:approvals")
    count = len(set(chosen))
    messages.success(
        request,
        "1 deal is approved and its credit is posted."
        if count == 1
        else f"{count} deals are approved and their credit is posted.",
    )
    return redirect("quotas:approvals")


def waiting_count(request: HttpRequest) -> int:
    """For the navigation: how many deals wait for this person."""
    user = request.user
    if not isinstance(user, User) or not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        return 0
    return approvals_waiting_for(user, clock.today()).count()


def _approver(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        raise Http404
    return user
