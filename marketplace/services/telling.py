"""Changes reach other apps by the outbox: once the change is committed, whoever listens hears of it."""

from datetime import date, datetime
from typing import Any

from config.outbox import handles, promise
from marketplace.extension import Change, listeners

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
    )
    for listener in listeners():
        listener(change, at)
