"""Changes reach other apps by the outbox: once the change is committed, it gets its number and whoever listens hears of it.

Numbers are given here and not where the change is made, so that a reader who has seen one has seen all before it: a
transaction that takes long can no longer slip a smaller number in behind a reader.
"""

from datetime import date, datetime
from typing import Any

from django.db import connection
from django.db.models import Max

from config.outbox import handles, promise
from marketplace.extension import Change, listeners
from marketplace.models import CatalogChange

TOPIC = "marketplace.changed"


def tell(change: Change, *, key: str, at: datetime) -> None:
    """Promise that every listener hears of *change*. In the transaction that makes it."""
    promise(
        topic=TOPIC,
        key=key,
        payload={
            "kind": change.kind,
            "what": change.what,
            "offering_ids": list(change.offering_ids) if change.offering_ids is not None else None,
            "first_day": change.first_day.isoformat(),
            "program": change.program,
            "publisher_id": change.publisher_id,
            "commercial_path": change.commercial_path,
            "key": key,
        },
        at=at,
    )


@handles(TOPIC)
def pass_on(payload: dict[str, Any], at: datetime) -> None:
    """Carries out the promise; may come twice."""
    ids = payload["offering_ids"]
    change = Change(
        kind=payload["kind"],
        what=payload["what"],
        offering_ids=tuple(ids) if ids is not None else None,
        first_day=date.fromisoformat(payload["first_day"]),
        program=payload.get("program", ""),  # a promise of an older release has neither
        key=payload.get("key", ""),
        publisher_id=payload.get("publisher_id"),
        commercial_path=payload.get("commercial_path", ""),
    )
    _write_down(change, at)
    for listener in listeners():
        listener(change, at)


def _write_down(change: Change, at: datetime) -> None:
    """Give the change the next numbers, one for each offering; a key that is there already gets none."""
    if not change.key:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('marketplace.catalog_change'))")
    if CatalogChange.objects.filter(key=change.key).exists():
        return
    number = CatalogChange.objects.aggregate(last=Max("number"))["last"] or 0
    CatalogChange.objects.bulk_create(
        [
            CatalogChange(
                number=number + place,
                key=change.key,
                kind=change.kind,
                what=change.what[:300],
                offering_id=offering_id,
                publisher_id=change.publisher_id,
                commercial_path=change.commercial_path,
                program=change.program,
                first_day=change.first_day,
                at=at,
            )
            for place, offering_id in enumerate(change.offering_ids or (None,), start=1)
        ]
    )
