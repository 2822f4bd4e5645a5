"""Why a credit is what it is, and why there is none, told to whoever reads a page: in the language and locale in effect.

Only pages import this. What is kept, exported or answered over REST comes from explain.py, which is in English whoever asks.
What is computed again comes from the entry's own pins; the words are explanation's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from quotas.crediting.explanation.adjustments import Adjustments
from quotas.crediting.explanation.credits import Credits, Explanation
from quotas.crediting.explanation.missing import (
    Missing,
    missing,
    missing_pending,
    missing_unsaved,
    why_nothing,
)
from quotas.models import Component, CreditEntry, Deal, DealState, UncreditedLine

__all__ = (
    "DealExplanation",
    "entries_to_explain",
    "explain_deal",
    "explain_entries",
    "explain_entry",
    "missing",
    "missing_pending",
    "missing_unsaved",
    "why_nothing",
)

WAITING = (DealState.DRAFT, DealState.SUBMITTED, DealState.RETURNED)


@dataclass(frozen=True)
class DealExplanation:
    """Every entry of a deal with its explanation, and why the rest earned nothing, or would if it were approved now."""

    deal: Deal
    credits: list[Explanation]
    uncredited: list[Missing]


def explain_entry(entry_id: int) -> Explanation:
    """Explain one ledger entry. Raises CreditEntry.DoesNotExist. At most 35 queries."""
    return explain_entries([entries_to_explain().get(pk=entry_id)])[0]


def explain_entries(entries: Sequence[CreditEntry]) -> list[Explanation]:
    """Explain entries read with what entries_to_explain() selects, adjustments among them, in their order. At most 39 queries."""
    given = [e for e in entries if e.component == Component.ADJUSTMENT]
    earned = [e for e in entries if e.component != Component.ADJUSTMENT]
    told = [*(Adjustments(given).all() if given else ()), *(Credits(earned).all() if earned else ())]
    by_entry = {each.entry.pk: each for each in told}
    return [by_entry[entry.pk] for entry in entries]


def explain_deal(deal_id: int) -> DealExplanation:
    """Explain every entry of a deal, in the order of posting, and every missing one. Queries do not grow with its entries."""
    deal = Deal.objects.get(pk=deal_id)
    gaps = (
        UncreditedLine.objects.select_related("measure__currency", "rep", "deal")
        .filter(deal=deal_id)
        .order_by("line_no", "measure_id", "rep_id")
    )
    entries = list(entries_to_explain().filter(deal=deal_id).order_by("id"))
    uncredited = missing_pending(deal) if deal.state in WAITING else missing(list(gaps))
    return DealExplanation(deal, explain_entries(entries), uncredited)


def entries_to_explain() -> QuerySet[CreditEntry]:
    return CreditEntry.objects.select_related(
        "deal", "rep", "team", "measure__currency", "posting", "posting_period", "origin_period"
    )
