"""The cost calculator: a month of use, plan by plan, side by side. Everything that was entered stands in the address."""

import re
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import User
from config import clock, formats
from config.given import tidy, written
from config.language import _, later
from marketplace.models import Currency, Customer, Offering, TaskArea
from marketplace.selectors.costs import CostLine, OfferingCost, Usage, costs_of
from marketplace.selectors.prices import amount_text
from marketplace.selectors.private_offers import may_see_customers
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for
from marketplace.views import HtmxRequest, country_code, day_asked, signed_in, wants_part

MOST_CHOSEN: Final = 8
MOST_OF_A_TASK: Final = 150
FOUND: Final = 12  # suggestions for a part of a name
USUAL: Final = {"input_tokens": "100M", "output_tokens": "20M"}
FIELDS: Final = (
    ("input_tokens", later("Input tokens"), later("A month, such as 250M or 1,500,000.")),
    ("cached_input_tokens", later("of them cached"), later("Read from a cache.")),
    ("cache_write_tokens", later("of them written to a cache"), ""),
    ("output_tokens", later("Output tokens"), ""),
    ("requests", later("Requests"), later("For prices by request, and by its size.")),
    ("provisioned_units", later("Provisioned units"), later("All month long.")),
    ("seats", later("Seats"), ""),
)
_TIMES: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "bn": 10**9, "t": 10**12}
_NUMBER: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(k|m|bn?|t)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of the usage profile as it was entered."""

    name: str
    label: str
    help: str
    value: str
    error: str


@dataclass(frozen=True, slots=True)
class Row:
    """One plan's month."""

    found: OfferingCost

    @property
    def minor(self) -> int | None:
        return self.found.cost.minor

    @property
    def parts(self) -> list[tuple[CostLine, str]]:
        """Each meter with what it costs, as precise as it is."""
        currency = self.found.cost.currency
        return [(line, _money(line, currency)) for line in self.found.cost.lines]


def _money(line: CostLine, currency: Currency | None) -> str:
    if line.amount is None or currency is None:
        return "unknown"
    symbol = currency.symbol or f"{currency.code}\N{NO-BREAK SPACE}"
    minor = formats.rounded(line.amount * 10**currency.exponent)
    if minor == 0 and line.amount > 0:
        return _("under %(value)s") % {
            "value": amount_text(Decimal(1).scaleb(-currency.exponent), symbol, currency.exponent)
        }
    return formats.money(minor, currency.code, currency.exponent)


@require_safe
@login_required
def find(request: HttpRequest) -> HttpResponse:
    """Names of offerings for a field, by a part of one. 1 query."""
    asked = tidy(next(iter(request.GET.values()), None))[:80]
    found = offerings_for(signed_in(request)).order_by("name", "id")
    for word in asked.split()[:6]:
        found = found.filter(Q(name__icontains=word) | Q(slug__icontains=word))
    names = found.values_list("name", flat=True)[:FOUND]
    return render(request, "components/suggestions.html", {"suggestions": list(dict.fromkeys(names))})


@require_safe
@login_required
@vary_on_headers("HX-Request")
def calculator(request: HtmxRequest) -> HttpResponse:
    user = signed_in(request)
    if added := _added(request, user):
        return redirect(added)
    on = day_asked(request)
    entries, usage = _entered(request)
    chosen = _chosen(request, user)
    tasks = list(TaskArea.objects.order_by("position", "id"))
    task = next((t for t in tasks if t.slug == request.GET.get("task")), None)
    if not chosen and task is None and tasks:
        task = tasks[0]
    customer, customer_error = _customer(request, user)
    country = country_code(request.GET.get("country", "")) or (customer.country if customer else "")
    compared = chosen or _of_task(user, task)
    found = (
        costs_of(compared, usage, on=on, country=country, customer=customer)
        if usage is not None and compared
        else []
    )
    if not chosen:
        found = _cheapest(found)
    context: dict[str, Any] = {
        "on": on,
        "today": clock.today(),
        "entries": entries,
        "rows": [Row(each) for each in found],
        "chosen": [(o, _without(request, o)) for o in chosen],
        "may_add": len(chosen) < MOST_CHOSEN,
        "not_found": request.GET.get("add", "").strip(),
        "tasks": tasks,
        "task": None if chosen else task,
        "cut": not chosen and len(compared) == MOST_OF_A_TASK,
        "country": country,
        "inside": may_see_customers(user),
        "customer": customer,
        "customer_text": customer.slug if customer else request.GET.get("customer", ""),
        "customer_error": customer_error,
        "wrong": usage is None,
    }
    if wants_part(request):
        return render(request, "marketplace/calculator.html#costs", context)
    return render(request, "marketplace/calculator.html", context)


def _entered(request: HttpRequest) -> tuple[list[Entry], Usage | None]:
    """The usage profile, or None where a field of it makes no sense; then its entry says what is wrong."""
    names = [each.name for each in fields(Usage)]
    given = {n: request.GET[n] for n in names if n in request.GET} or USUAL
    numbers: dict[str, int] = {}
    errors: dict[str, str] = {}
    for name in names:
        number = read_number(given.get(name, ""))
        if number is None:
            errors[name] = _("Write a whole number, such as 250M or 1,500,000.")
        else:
            numbers[name] = number
    usage = Usage(**numbers)
    errors |= {name: message for name, _code, message in usage.problems() if name not in errors}
    entries = [Entry(n, label, text, given.get(n, ""), errors.get(n, "")) for n, label, text in FIELDS]
    return entries, None if errors else usage


def read_number(written: str) -> int | None:
    """250M, 1.5bn, 1,500,000 and 1 500 000 as whole numbers; nothing is 0, and what cannot be one None."""
    text = formats.whole_typed(written.replace("_", ""))
    if not text:
        return 0
    match = _NUMBER.fullmatch(text) if len(text) <= 30 else None
    if match is None:
        return None
    number = Decimal(match[1]) * _TIMES[(match[2] or "").lower()]
    return int(number) if number == number.to_integral_value() else None


def _chosen(request: HttpRequest, user: User) -> list[Offering]:
    slugs = list(dict.fromkeys(s for s in written(request.GET, "offerings").split(",") if s))[:MOST_CHOSEN]
    if not slugs:
        return []
    found = {o.slug: o for o in with_facts(offerings_for(user)).filter(slug__in=slugs)}
    return [found[slug] for slug in slugs if slug in found]


def _of_task(user: User, task: TaskArea | None) -> list[Offering]:
    if task is None:
        return []
    return list(
        with_facts(offerings_for(user)).filter(task_areas=task).order_by("name", "id")[:MOST_OF_A_TASK]
    )


def _cheapest(found: list[OfferingCost]) -> list[OfferingCost]:
    """The first of each offering that can be sold; they come in order of cost."""
    seen: set[int] = set()
    kept = []
    for each in found:
        if each.refusal or each.offering.pk in seen:
            continue
        seen.add(each.offering.pk)
        kept.append(each)
    return kept


def _added(request: HttpRequest, user: User) -> str:
    """The address with one more offering, where one was named that there is."""
    text = written(request.GET, "add")
    if not text:
        return ""
    known = offerings_for(user)
    slug = (
        known.filter(slug=text).values_list("slug", flat=True).first()
        or known.filter(name__iexact=text).order_by("id").values_list("slug", flat=True).first()
    )
    if slug is None:
        return ""
    before = [s for s in request.GET.get("offerings", "").split(",") if s]
    return _address(request, [*before, slug][-MOST_CHOSEN:] if slug not in before else before)


def _without(request: HttpRequest, offering: Offering) -> str:
    before = [s for s in request.GET.get("offerings", "").split(",") if s]
    return _address(request, [slug for slug in before if slug != offering.slug])


def _address(request: HttpRequest, slugs: list[str]) -> str:
    kept = [(k, str(v)) for k, v in request.GET.items() if v and k not in ("add", "offerings")]
    chosen = [("offerings", ",".join(slugs))] if slugs else []
    return f"{reverse('marketplace:calculator')}?{urlencode([*chosen, *kept], safe=',')}"


def _customer(request: HttpRequest, user: User) -> tuple[Customer | None, str]:
    return find_customer(request.GET.get("customer", ""), user)


def find_customer(text: str, user: User) -> tuple[Customer | None, str]:
    """By slug or whole name, and what to say where that is nobody, or several. Partners are never asked."""
    text = tidy(text)
    if not text or not may_see_customers(user):
        return None, ""
    found = Customer.objects.filter(slug=text).first()
    if found is not None:
        return found, ""
    named = list(Customer.objects.filter(name__iexact=text).order_by("id")[:2])
    if len(named) == 1:
        return named[0], ""
    return None, _("Several have that name: write the slug.") if named else _("There is no such customer.")
