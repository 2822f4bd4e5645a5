"""One offering as its publisher sees it: what there is, what is on its way, and a form for each change."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from config.calls import call
from config.language import spoken
from marketplace.models import (
    Alias,
    ChangeItem,
    Evaluation,
    Hold,
    Offering,
    Operation,
    Plan,
    PriceVersion,
    Publication,
)
from marketplace.selectors.console import OPEN, insiders
from marketplace.selectors.prices import price_versions, row_text
from marketplace.services.change_sets.shapes import STAGES
from marketplace.services.publishing import WAYS
from marketplace.views import day_asked
from marketplace.views.console.seat import seat

P = Publication


@dataclass(slots=True)
class PriceLine:
    version: PriceVersion
    texts: list[str]
    when: str


@dataclass(slots=True)
class PlanLine:
    plan: Plan
    prices: list[PriceLine] = field(default_factory=list)


@require_safe
@login_required
def offering(request: HttpRequest, slug: str) -> HttpResponse:
    at_desk = seat(request)
    on = day_asked(request)
    found = (
        Offering.objects.filter(publisher=at_desk.publisher, slug=slug)
        .select_related("model_version__model", "replacement", "publisher")
        .prefetch_related("task_areas")
        .first()
    )
    if found is None:
        raise Http404
    entity = f"offering:{found.slug}"
    hold = Hold.objects.filter(entity=entity).select_related("change_set__made_by").first()
    under_way = (
        ChangeItem.objects.filter(
            entity=entity, change_set__publisher=at_desk.publisher, change_set__state__in=OPEN
        )
        .select_related("change_set__made_by")
        .order_by("-change_set_id", "position")[:50]
    )
    context = {
        "seat": at_desk,
        "tab": "home",
        "offering": found,
        "insiders": insiders(at_desk.publisher),
        "stage": found.lifecycle_on(on),
        "on": on,
        "stages": [(spoken(f.label), getattr(found, f.name)) for f in STAGES],
        "plans": _plans(found, on),
        "hold": hold,
        "hold_is_own": hold is not None and hold.change_set.publisher_id == at_desk.publisher.pk,
        "under_way": [(item, spoken(Operation(item.operation).label)) for item in under_way],
        "aliases": Alias.objects.filter(offering=found).order_by("name"),
        "results": Evaluation.objects.filter(model_version=found.model_version).count()
        if found.model_version_id
        else 0,
        "may": _may(found),
        "call": call(request, "GET", f"/api/v1/offerings/{found.slug}/"),
    }
    return render(request, "marketplace/console/offering.html", context)


def _may(found: Offering) -> dict[str, bool]:
    """Which steps of publication make sense from where it is; validation has the last word."""
    ways = WAYS[found.publication]
    return {
        "publish": P.LIVE in ways or P.SCHEDULED in ways,
        "stop": P.STOPPED in ways,
        "retire": found.retires_on is None and found.publication not in (P.DRAFT, P.REJECTED, P.ARCHIVED),
    }


def _plans(found: Offering, on: date) -> list[PlanLine]:
    """With the prices in effect and to come. 3 queries."""
    lines = {plan.pk: PlanLine(plan) for plan in found.plans.order_by("position", "id")}
    for version in price_versions(lines):
        span: Any = version.effective
        if span.upper is not None and span.upper <= on:
            continue
        when = "coming" if span.lower is not None and span.lower > on else "now"
        texts = [row_text(row, version) for row in version.rows.all()]
        lines[version.plan_id].prices.append(PriceLine(version, texts, when))
    return list(lines.values())
