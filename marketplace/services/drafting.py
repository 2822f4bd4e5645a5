"""Writing a change set item by item: what a form adds to a draft, puts in the place of what is there, or takes out again."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from django.db import transaction

from accounts.models import User
from config.refusals import NotFound, Problem
from marketplace.models import ChangeItem, ChangeSet, Channel, Operation
from marketplace.services.change_sets import ItemDraft, draft_change_set, drafts_of, save_items

# Of these a set holds one for each thing: asked for again, the later one takes the place of the earlier.
_ONE_OF: Final = {
    Operation.OFFERING_UPDATE: ("slug",),
    Operation.OFFERING_PUBLISH: ("slug",),
    Operation.OFFERING_STOP: ("slug",),
    Operation.OFFERING_RETIRE: ("slug",),
    Operation.PLAN_UPDATE: ("offering", "plan"),
    Operation.PRICE_CORRECT: ("offering", "price_version"),
    Operation.MODEL_UPDATE: ("model", "version"),
}


def place_of(items: Sequence[ItemDraft], item: ItemDraft) -> int | None:
    """Where in a draft the item stands that *item* would take the place of."""
    names = _ONE_OF.get(Operation(item.operation))
    if names is None:
        return None
    wanted = [item.body.get(name) for name in names]
    return next(
        (
            place
            for place, one in enumerate(items)
            if one.operation == item.operation and [one.body.get(name) for name in names] == wanted
        ),
        None,
    )


def with_item(
    items: Sequence[ItemDraft], item: ItemDraft, place: int | None = None
) -> tuple[list[ItemDraft], int]:
    """The items of a draft with one more, or with one replaced; and where it stands."""
    put = list(items)
    where = place if place is not None and place < len(put) else place_of(put, item)
    if where is None:
        return [*put, item], len(put)
    put[where] = item
    return put, where


@transaction.atomic
def put_item(
    *,
    publisher_id: int,
    change_set: ChangeSet | None,
    item: ItemDraft,
    place: int | None,
    title: str,
    by: User,
    at: datetime,
) -> tuple[ChangeSet, int]:
    """Keep *item* in a draft, or in a new one under *title*. Returns the set and where the item stands.

    Raises   As draft_change_set and save_items.
    """
    if change_set is None:
        made = draft_change_set(
            title=title, items=[item], by=by, at=at, publisher_id=publisher_id, channel=Channel.BROWSER
        )
        return made, 0
    items, where = with_item(drafts_of(change_set), item, place)
    saved = save_items(
        change_set_id=change_set.pk, items=items, by=by, at=at, expected_revision=change_set.revision
    )
    return saved, where


@transaction.atomic
def take_out(
    *, change_set_id: int, place: int, by: User, at: datetime, expected_revision: int | None
) -> ChangeSet:
    """Remove one item; what a reviewer said to the items behind it moves with them. Raises NotFound, and as save_items."""
    rows = list(ChangeItem.objects.filter(change_set=change_set_id).order_by("position"))
    if not 0 <= place < len(rows):
        raise NotFound(Problem("not_found", "There is no such item."))
    left = [ItemDraft(r.operation, r.body, r.expected_revision) for r in rows]
    del left[place]
    saved = save_items(
        change_set_id=change_set_id, items=left, by=by, at=at, expected_revision=expected_revision
    )
    for finding in saved.findings.exclude(by=None).filter(resolved_at=None):
        parts = finding.pointer.split("/")
        if len(parts) < 3 or parts[1] != "items" or not parts[2].isdecimal():
            continue
        said_to = int(parts[2])
        if said_to == place:
            finding.resolved_at, finding.pointer = at, ""
        elif said_to > place:
            finding.pointer = "/".join(["", "items", str(said_to - 1), *parts[3:]])
        else:
            continue
        finding.save(update_fields=["resolved_at", "pointer"])
    return saved


def day_or_none(text: str) -> date | None:
    """A day as a form sends it; None for nothing. Raises ValueError for a day that there is not."""
    return date.fromisoformat(text.strip()) if text.strip() else None
