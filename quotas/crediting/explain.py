"""Why a credit is what it is, and why there is none, in English and the house's style whoever asks: for records, files and REST.

The same words are told to whoever reads a page, in the own language, by telling.py.
"""

from typing import Final

from config.locales import as_data
from quotas.crediting import telling
from quotas.crediting.explanation import credits
from quotas.crediting.explanation.credits import Explanation, Fact, Part, Step
from quotas.crediting.explanation.missing import Missing
from quotas.crediting.telling import DealExplanation, entries_to_explain

__all__ = (
    "DealExplanation",
    "Explanation",
    "Fact",
    "Missing",
    "Part",
    "Step",
    "entries_to_explain",
    "explain_deal",
    "explain_entries",
    "explain_entry",
    "missing",
    "missing_pending",
    "missing_unsaved",
    "rate_of",
    "scope",
    "why_nothing",
)

explain_deal: Final = as_data(telling.explain_deal)
explain_entries: Final = as_data(telling.explain_entries)
explain_entry: Final = as_data(telling.explain_entry)
missing: Final = as_data(telling.missing)
missing_pending: Final = as_data(telling.missing_pending)
missing_unsaved: Final = as_data(telling.missing_unsaved)
why_nothing: Final = as_data(telling.why_nothing)
rate_of: Final = as_data(credits.rate_of)
scope: Final = as_data(credits.scope)
