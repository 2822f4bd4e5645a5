"""What is publicly known of suppliers, each statement with its bound and its place in the source."""

from decimal import Decimal
from itertools import groupby
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from config import formats
from marketplace.models import PublicFact

KINDS: Final = {
    "spend": "Spend",
    "compute_commitment": "Compute commitments",
    "equity": "Equity",
    "infrastructure": "Infrastructure",
    "relationship": "Relationships",
    "structure": "Relationships",
    "feature_binding": "Products and the models they run on",
    "incentive_policy": "Sales incentives",
    "catalog_policy": "Catalog",
    "task_evaluation": "Findings per task",
    "strategy": "Strategy",
    "vertical_integration": "Strategy",
    "market": "Market",
}
BOUNDS: Final = {"about": "About", "at most": "At most", "at least": "At least", "exact": "", "": ""}


@require_safe
@login_required
def facts(request: HttpRequest) -> HttpResponse:
    order = {title: place for place, title in enumerate(dict.fromkeys(KINDS.values()))}
    found = sorted(
        PublicFact.objects.order_by("paragraph", "id"),
        key=lambda f: order.get(KINDS.get(f.kind, f.kind), len(order)),
    )
    groups = [
        (title, [(fact, amount_of(fact)) for fact in group])
        for title, group in groupby(
            found, key=lambda f: KINDS.get(f.kind, f.kind.replace("_", " ").capitalize())
        )
    ]
    return render(
        request,
        "marketplace/facts.html",
        {"groups": groups, "total": len(found), "source": found[0].source if found else ""},
    )


def amount_of(fact: PublicFact) -> str:
    """The amount with its bound in words; a bound is part of the figure."""
    if fact.amount is None:
        return "Unknown" if fact.bound == "unknown" else formats.NO_VALUE
    amount = formats.money(
        int(fact.amount * Decimal(100)), fact.currency or "USD", 2, compact=True, trim=True
    )
    said = f"{BOUNDS.get(fact.bound, fact.bound)} {amount}".strip()
    return f"{said} a {fact.per}" if fact.per else said
