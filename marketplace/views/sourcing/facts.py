"""What is publicly known of suppliers: each statement with its bound, its place in the source, and what rests on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

from config import exporting, formats
from config.exports import Column, Table
from config.language import _, later, marked
from config.paging import paged
from marketplace.models import PublicFact
from marketplace.selectors.sourcing.access import reads_bindings, reads_sourcing
from marketplace.selectors.sourcing.facts import Use, uses
from marketplace.views import signed_in

KINDS: Final = {
    "spend": marked("Spend"),
    "compute_commitment": marked("Compute commitments"),
    "equity": marked("Equity"),
    "infrastructure": marked("Infrastructure"),
    "relationship": marked("Relationships"),
    "structure": marked("Relationships"),
    "feature_binding": marked("Products and the models they run on"),
    "incentive_policy": marked("Sales incentives"),
    "catalog_policy": marked("Catalog"),
    "task_evaluation": marked("Findings per task"),
    "strategy": marked("Strategy"),
    "vertical_integration": marked("Strategy"),
    "market": marked("Market"),
}
BOUNDS: Final = {
    "about": later("About"),
    "at most": later("At most"),
    "at least": later("At least"),
    "exact": "",
    "": "",
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A statement as the page has it. uses: words and address of what rests on it, as far as this reader may see it."""

    fact: PublicFact
    amount: str
    uses: list[tuple[str, str]]


def title_of(fact: PublicFact) -> str:
    return KINDS.get(fact.kind, fact.kind.replace("_", " ").capitalize())


@require_safe
@login_required
def facts(request: HttpRequest) -> HttpResponseBase:
    """Anybody who is logged in reads what is public. 6 queries at most, whatever the number of statements."""
    user = signed_in(request)
    order = {title: place for place, title in enumerate(dict.fromkeys(KINDS.values()))}
    every = sorted(
        PublicFact.objects.order_by("paragraph", "id"), key=lambda f: order.get(title_of(f), len(order))
    )
    kind, words = request.GET.get("kind", ""), request.GET.get("search", "").strip().lower()[:80]
    found = [
        fact for fact in every if (not kind or title_of(fact) == kind) and (not words or words in _told(fact))
    ]
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name="public facts", title="Public facts", table=_table(found), total=len(found)
        )
    page = paged(request, found)
    shown = list(page.object_list)
    rests = uses(shown, sourcing=reads_sourcing(user), bindings=reads_bindings(user))
    return render(
        request,
        "marketplace/facts.html",
        {
            "groups": [
                (
                    title,
                    [Shown(fact, amount_of(fact), _addresses(rests.get(fact.pk, ()))) for fact in group],
                )
                for title, group in groupby(shown, key=title_of)
            ],
            "page": page,
            "total": len(every),
            "shown": len(found),
            "kinds": list(dict.fromkeys(title_of(fact) for fact in every)),
            "kind": kind,
            "words": request.GET.get("search", ""),
            "source": every[0].source if every else "",
        },
    )


def _told(fact: PublicFact) -> str:
    return " ".join(
        (fact.subject, fact.counterpart, fact.note, fact.task, fact.detail, fact.status, amount_of(fact))
    ).lower()


def _addresses(found: Sequence[Use]) -> list[tuple[str, str]]:
    """What has no page is left out."""
    addresses = []
    for use in found:
        try:
            address = reverse(f"marketplace:{use.page}", args=use.args)
        except NoReverseMatch:
            continue
        addresses.append((use.words, f"{address}#{use.anchor}" if use.anchor else address))
    return addresses


def amount_of(fact: PublicFact) -> str:
    """The amount with its bound in words; a bound is part of the figure."""
    if fact.amount is None:
        return _("Unknown") if fact.bound == "unknown" else formats.NO_VALUE
    amount = formats.money(
        int(fact.amount * Decimal(100)), fact.currency or "USD", 2, compact=True, trim=True
    )
    said = f"{BOUNDS.get(fact.bound, fact.bound)} {amount}".strip()
    return f"{said} a {fact.per}" if fact.per else said


def _table(found: Sequence[PublicFact]) -> Table:
    columns = [
        Column("fact", "Fact"),
        Column("kind", "Kind"),
        Column("from", "From"),
        Column("to", "To"),
        Column("amount", "Amount, with its bound"),
        Column("status", "Status"),
        Column("statement", "Statement"),
        Column("task", "Task"),
        Column("source", "Source"),
        Column("paragraph", "Paragraph", "whole"),
        Column("references", "References"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for fact in found:
            yield (
                fact.slug,
                title_of(fact),
                fact.subject,
                fact.counterpart,
                amount_of(fact),
                fact.status,
                fact.note,
                fact.task,
                fact.source,
                fact.paragraph,
                ", ".join(str(number) for number in fact.cited),
            )

    return Table(columns, rows)
