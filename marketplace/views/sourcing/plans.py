"""Plans of spend: by supplier and span, every version of them, and the form that states or corrects one."""

from datetime import date

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Role
from config import clock, formats
from config.charts import Tone
from config.language import _
from config.refusals import Refusal
from marketplace.models import SpendPlan
from marketplace.selectors.sourcing.spend import plans_ever, run_rate
from marketplace.services.sourcing import plans as service
from marketplace.views.sourcing.companies import form_page, leader, reader, withdrawing
from marketplace.views.sourcing.company_forms import PlanForm, plan_initial

ROWS = (
    ("supplier",),
    ("starts_on", "ends_on"),
    ("amount", "currency", "bound"),
    ("fact", "source"),
    ("reason",),
)


@require_safe
@login_required
def plans(request: HttpRequest) -> HttpResponse:
    """12 queries at most, whatever the number of plans."""
    user, today = reader(request), clock.today()
    standing = {
        each.plan.pk: each
        for rate in run_rate(today)
        for each in (*([rate.plan] if rate.plan is not None else []), *rate.ended)
    }
    rows = list(plans_ever())
    return render(
        request,
        "marketplace/sourcing/plans.html",
        {
            "today": today,
            "rows": [
                {
                    "plan": plan,
                    "amount": said_plan(plan),
                    "state": _state(plan, today),
                    "standing": standing.get(plan.pk),
                }
                for plan in rows
                if plan.superseded_at is None
            ],
            "replaced": [(plan, said_plan(plan)) for plan in rows if plan.superseded_at is not None],
            "may_write": user.has_role(Role.SOURCING_LEAD),
        },
    )


def said_plan(plan: SpendPlan) -> str:
    """A plan of spend with its bound: "about $500M"."""
    bound = {"about": _("about "), "at most": _("at most "), "at least": _("at least ")}.get(plan.bound, "")
    return bound + formats.money(
        plan.amount_minor, plan.currency.code, plan.currency.exponent, compact=True, trim=True
    )


def _state(plan: SpendPlan, today: date) -> tuple[str, Tone]:
    if today < plan.effective.lower:
        return _("To come"), "accent"
    return (_("Ended"), "muted") if today >= plan.effective.upper else (_("In effect"), "good")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """?corrects= names the plan whose place it takes; ?supplier= the supplier that is meant."""
    user = leader(request)
    old = _corrected(request)
    form = PlanForm(
        request.POST if request.method == "POST" else None,
        correcting=old is not None,
        initial=plan_initial(old)
        if old is not None
        else {"supplier": request.GET.get("supplier", ""), "currency": "USD"},
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = service.record_spend_plan(
                draft=form.draft(),
                corrects=old.pk if old is not None else None,
                reason=form.cleaned_data.get("reason", ""),
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(
                request,
                _("The plan of spend with %(supplier_name)s is recorded.")
                % {"supplier_name": made.supplier.name},
            )
            return redirect("marketplace:spend-plans")
    back = reverse("marketplace:spend-plans")
    return form_page(
        request,
        form,
        rows=ROWS,
        title=_("Correct the plan") if old is not None else _("Plan of spend"),
        back=back,
        more={
            "trail": [(reverse("marketplace:spend"), _("Spend")), (back, _("Plans"))],
            "meta": _("A plan counts evenly by days; what is spent stands against its part to date"),
        },
    )


def _corrected(request: HttpRequest) -> SpendPlan | None:
    written = request.GET.get("corrects", "")
    if not written:
        return None
    if not (written.isascii() and written.isdecimal() and len(written) < 16):
        raise Http404
    return get_object_or_404(
        SpendPlan.objects.select_related("supplier", "currency", "fact"), pk=int(written), superseded_at=None
    )


@require_POST
@login_required
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    user = leader(request)
    found = get_object_or_404(SpendPlan.objects.select_related("supplier"), pk=pk)
    withdrawing(
        request,
        lambda reason: service.withdraw_spend_plan(plan_id=found.pk, reason=reason, by=user, at=clock.now()),
        done=_("The plan of spend with %(supplier_name)s is withdrawn.")
        % {"supplier_name": found.supplier.name},
    )
    return redirect("marketplace:spend-plans")
