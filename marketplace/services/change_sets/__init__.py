"""Change sets: what a publisher, an import or the operator wants to change, applied together or not at all.

One engine behind browser, REST, spreadsheets and imports:

shapes       what each operation's body may hold
desk         the part of the catalog that a set is about, in memory
validating   the rules of each operation; the same for a dry run and for the application
holding      who keeps what to himself while it is under review
applying     writes the desk down, set-based
reviewing    the way of a set from draft to applied, and who may take which step
differences  what an item would change or has changed, for people
"""

from marketplace.services.change_sets.differences import Difference, ItemDifference, differences
from marketplace.services.change_sets.reviewing import (
    EDITABLE,
    OPEN,
    UNDER_REVIEW,
    apply_due,
    approve,
    describe,
    draft_change_set,
    drafts_of,
    may_review,
    may_write,
    reject,
    request_changes,
    save_items,
    submit,
    take_up,
    validate,
    withdraw,
)
from marketplace.services.change_sets.shapes import FACTS, MOST_ITEMS, SHAPES, Field, Found, ItemDraft

__all__ = [
    "EDITABLE",
    "FACTS",
    "MOST_ITEMS",
    "OPEN",
    "SHAPES",
    "UNDER_REVIEW",
    "Difference",
    "Field",
    "Found",
    "ItemDifference",
    "ItemDraft",
    "apply_due",
    "approve",
    "describe",
    "differences",
    "draft_change_set",
    "drafts_of",
    "may_review",
    "may_write",
    "reject",
    "request_changes",
    "save_items",
    "submit",
    "take_up",
    "validate",
    "withdraw",
]
