"""Why a credit is what it is: in the drawer of any page, and as a page of its own."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock
from quotas.crediting.telling import explain_entry
from quotas.models import Reversal
from quotas.selectors.disputes import may_dispute
from quotas.selectors.visibility import entries_for
from quotas.views import HtmxRequest, sales_user, wants_part


@require_safe
@login_required
@vary_on_headers("HX-Request")
def explanation(request: HtmxRequest, pk: int) -> HttpResponse:
    user = sales_user(request)
    if not entries_for(user, clock.today()).filter(pk=pk).exists():
        raise Http404
    told = explain_entry(pk)
    undone = Reversal.objects.filter(entry_id=pk).values_list("reversed_by_id", flat=True).first()
    context = {
        "told": told,
        "entry": told.entry,
        "undone": undone,
        "customer": told.entry.deal and told.entry.deal.customer,
        "may_dispute": may_dispute(user, told.entry.rep, clock.today()),
    }
    template = "quotas/credit.html#drawer" if wants_part(request) else "quotas/credit.html"
    return render(request, template, context)
