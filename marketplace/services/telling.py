"""Changes reach readers and other apps by the outbox: once the change is committed, it gets its number, whoever listens
hears of it, and every webhook that wants it is owed a delivery.

Numbers are given here and not where the change is made, so that a reader who has seen one has seen all before it: a
transaction that takes long can no longer slip a smaller number in behind a reader.
"""

import logging
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Max

from config.locks import one_at_a_time
from config.outbox import handles, promise, promise_each
from marketplace.extension import Change, Listener, listeners
from marketplace.models import CatalogChange, Offering, Publisher
from marketplace.selectors.visibility import PUBLISHED
from marketplace.services import webhooks

TOPIC: Final = "marketplace.changed"
AGAIN: Final = "marketplace.changed.again"
NAME: Final = "{offering}"

log = logging.getLogger(__name__)


def tell(change: Change, *, key: str, at: datetime) -> None:
    """Promise that every listener hears of *change*. In the transaction that makes it.

    what   May say {offering}: each offering's own name takes its place, so that one promise can be about thousands.
    """
    tell_each({key: change}, at=at)


def tell_each(changes: Mapping[str, Change], *, at: datetime) -> None:
    """Many changes by key, in one statement."""
    promise_each(
        topic=TOPIC,
        payloads={
            key: {
                "kind": change.kind,
                "what": change.what,
                "offering_ids": list(change.offering_ids) if change.offering_ids is not None else None,
                "first_day": change.first_day.isoformat(),
                "program": change.program,
                "publisher_id": change.publisher_id,
                "commercial_path": change.commercial_path,
                "facts": list(change.facts),
                "key": key,
                "at": at.isoformat(),
            }
            for key, change in changes.items()
        },
        at=at,
    )


@handles(TOPIC)
def pass_on(payload: dict[str, Any], at: datetime) -> None:
    """Carries out the promise; may come twice.

    Numbering comes last, because whoever numbers makes everybody else who numbers wait until the commit.
    """
    change = _read(payload)
    for listener in listeners():
        try:
            with transaction.atomic():
                listener(change, at)
        except (
            Exception
        ):  # one listener that fails must not keep the change from its readers; it hears of it again
            log.exception("%s did not take %s", _name(listener), change.key or change.what)
            promise(
                topic=AGAIN,
                key=f"{change.key or change.what}:{_name(listener)}"[:120],
                payload={**payload, "listener": _name(listener)},
                at=at,
            )
    _write_down(change, datetime.fromisoformat(payload["at"]) if "at" in payload else at, at)


@handles(AGAIN)
def pass_on_again(payload: dict[str, Any], at: datetime) -> None:
    """For the one listener that failed; the outbox tries until it gives up and a person has to look."""
    change = _read(payload)
    for listener in listeners():
        if _name(listener) == payload["listener"]:
            listener(change, at)


def _read(payload: Mapping[str, Any]) -> Change:
    ids = payload["offering_ids"]
    return Change(
        kind=payload["kind"],
        what=payload["what"],
        offering_ids=tuple(ids) if ids is not None else None,
        first_day=date.fromisoformat(payload["first_day"]),
        program=payload.get("program", ""),  # a promise of an older release has neither
        key=payload.get("key", ""),
        publisher_id=payload.get("publisher_id"),
        commercial_path=payload.get("commercial_path", ""),
        facts=tuple(payload.get("facts", ())),
    )


def _name(listener: Listener) -> str:
    return f"{listener.__module__}.{getattr(listener, '__qualname__', type(listener).__qualname__)}"


def _write_down(change: Change, made_at: datetime, at: datetime) -> None:
    """Give the change the next numbers, one for each offering; a key that is there already gets none. 5 queries and a lock.

    The lock is held until the commit, so the next number is not given before this one can be read.
    """
    if not change.key or change.offering_ids == ():
        return
    one_at_a_time("marketplace.catalog_change")
    if CatalogChange.objects.filter(key=change.key).exists():
        return
    number = CatalogChange.objects.aggregate(last=Max("number"))["last"] or 0
    ids = sorted(set(change.offering_ids)) if change.offering_ids is not None else None
    offerings = Offering.objects.select_related("publisher").in_bulk(ids) if ids is not None else {}
    publisher = Publisher.objects.filter(pk=change.publisher_id).first() if change.publisher_id else None
    about = [offerings[pk] for pk in ids if pk in offerings] if ids is not None else [None]
    written = CatalogChange.objects.bulk_create(
        [
            CatalogChange(
                number=number + place,
                key=change.key,
                kind=change.kind,
                what=(change.what.replace(NAME, offering.name) if offering else change.what)[:300],
                offering=offering,
                publisher=publisher,
                commercial_path=change.commercial_path,
                program=change.program,
                first_day=change.first_day,
                at=made_at,
                is_public=_is_public(change, offering),
            )
            for place, offering in enumerate(about, start=1)
        ]
    )
    webhooks.owe_changes(written, at=at)


def _is_public(change: Change, offering: Offering | None) -> bool:
    """Whether everybody may know of what it is about; decided once, so that a reader's past does not change."""
    if offering is not None:
        return offering.publication in PUBLISHED
    if change.publisher_id is not None:
        return Offering.objects.filter(publisher=change.publisher_id, publication__in=PUBLISHED).exists()
    return True
