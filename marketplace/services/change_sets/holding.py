"""While a change set is under review it holds what it changes: a second one on the same entity is told who has it."""

from collections.abc import Collection, Iterable
from datetime import datetime

from config.refusals import Conflict, Problem
from marketplace.models import ChangeSet, ChangeSetState, Hold, Operation
from marketplace.services.change_sets.desk import Item
from marketplace.services.change_sets.shapes import entity_of

S = ChangeSetState
# Evidence is only ever added: two sets of results do not stand in each other's way.
HOLDS_NOTHING = (Operation.EVALUATION_ADD,)


def entities_of(items: Iterable[Item], *, new_models: Collection[str]) -> list[str]:
    """What items hold, in the one order in which everybody takes it.

    new_models   Slugs of models that are not there yet: a model that is there is not changed by a new offering of it.
    """
    held = set()
    for item in items:
        if item.operation in HOLDS_NOTHING:
            continue
        held.add(entity_of(item.operation, item.body))
        model = item.values.get("model")
        if item.operation == Operation.OFFERING_CREATE and isinstance(model, dict):
            slug = model.get("slug", "")
            if slug in new_models:
                held.add(f"model:{slug}")
    return sorted(held - {""})


def take(change_set: ChangeSet, entities: Collection[str], *, at: datetime, sees_all: bool) -> None:
    """Hold all of *entities* and nothing else. 3 queries. Raises Conflict (held): who holds each, as far as the caller may know.

    Two who want the same one meet at its primary key: the second waits until the first is done, and then sees its hold.
    """
    Hold.objects.filter(change_set=change_set).exclude(entity__in=entities).delete()
    Hold.objects.bulk_create(
        [Hold(entity=entity, change_set=change_set, at=at) for entity in sorted(entities)],
        ignore_conflicts=True,
    )
    if found := others(entities, change_set_id=change_set.pk):
        raise Conflict(
            *(
                Problem("held", words(hold, publisher_id=change_set.publisher_id, sees_all=sees_all))
                for hold in found[:20]
            )
        )


def others(entities: Collection[str], *, change_set_id: int | None) -> list[Hold]:
    """Holds of other change sets on *entities*. 1 query."""
    if not entities:
        return []
    return list(
        Hold.objects.filter(entity__in=entities)
        .exclude(change_set=change_set_id)
        .select_related("change_set__made_by")
        .order_by("entity")
    )


def words(hold: Hold, *, publisher_id: int | None, sees_all: bool) -> str:
    """Who holds an entity; a publisher learns nothing of a set that is not its own but that there is one."""
    what = hold.entity.partition(":")[2]
    by = hold.change_set
    if sees_all or (publisher_id is not None and by.publisher_id == publisher_id):
        state = S(by.state).label.lower()
        return f"{by.reference} ({by.title}) by {by.made_by.name} holds {what}: it is {state}."[:500]
    return f"Another change set that is under review holds {what}."


def let_go(change_set: ChangeSet) -> None:
    Hold.objects.filter(change_set=change_set).delete()
