"""The answer as the offering page shows it."""

import re
from datetime import date
from typing import Any

from django.http import HttpRequest

from accounts.models import User
from marketplace.models import Offering
from marketplace.selectors.answer import answer
from marketplace.selectors.private_offers import may_see_customers
from marketplace.views import country_code
from marketplace.views.costs import find_customer
from marketplace.views.sections.prices import texts


def answer_section(offering: Offering, user: User, on: date, request: HttpRequest) -> dict[str, Any]:
    """What was asked stands in the address; what makes no sense there counts as not asked."""
    plan = next((p for p in offering.plans.all() if p.slug == request.GET.get("plan")), None)
    customer, customer_error = find_customer(request.GET.get("customer", ""), user)
    given = answer(
        offering,
        on=on,
        plan=plan,
        country=country_code(request.GET.get("country", "")),
        region=_region(request.GET.get("region", "")),
        customer=customer,
    )
    plans = given.plans if plan is None else []
    return {
        "answer": given,
        "answer_prices": [(quoted, texts(quoted.version)) for quoted in given.quoted],
        "answer_plans": [(p, given.by_plan[p.pk]) for p in plans if given.by_plan[p.pk] != given.treated],
        "asked_plan": plan,
        "asked_country": country_code(request.GET.get("country", "")),
        "asks_customers": may_see_customers(user),
        "customer_text": customer.slug if customer is not None else request.GET.get("customer", ""),
        "customer_error": customer_error,
        "regions": sorted(
            {p.zone for p in offering.plans.all() if p.zone}
            | {region for p in offering.plans.all() for region in p.regions or ()}
        ),
    }


def _region(written: str) -> str:
    name = written.strip().lower()
    return name if re.fullmatch(r"[a-z0-9_-]{1,40}", name) else ""
