"""Carries out what the dates of offerings say: stages that begin, and sales that open on their day.

Stages themselves are derived from the dates, so nothing has to be switched; what happens here is that a stage that began
is written down once and told. After any downtime the next run catches up, in the order of the days. A run beside another
one does nothing twice: what it writes is unique, and whoever wrote it tells of it.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from django.db import connection, transaction

from accounts.audit import acting
from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config.clock import day_of
from config.outbox import promise
from marketplace.extension import Change
from marketplace.models import Lifecycle, LifecycleMove, Offering, Publication
from marketplace.selectors.on_sale import named_replacement
from marketplace.selectors.visibility import PUBLISHED
from marketplace.services.revisions import record_revision
from marketplace.services.telling import tell_each

# One row per stage of a published offering that has begun and is not written down yet; told says that its day is not
# from before the catalog knew the offering. Reads the offerings once, and of the moves what matches.
_MOVES: Final = """
INSERT INTO marketplace_lifecyclemove (offering_id, stage, day, carried_out_at)
SELECT o.id, s.stage, s.day, %(at)s
FROM marketplace_offering o
CROSS JOIN LATERAL (VALUES
  (1, 'preview', o.preview_on), (2, 'generally_available', o.available_on), (3, 'legacy', o.legacy_on),
  (4, 'deprecated', o.deprecated_on), (5, 'retired', o.retires_on)
) AS s (position, stage, day)
WHERE o.publication = ANY (%(published)s) AND s.day <= %(on)s
  AND NOT EXISTS (
    SELECT FROM marketplace_lifecyclemove m WHERE m.offering_id = o.id AND m.stage = s.stage AND m.day = s.day
  )
ORDER BY s.day, s.position, o.id
ON CONFLICT DO NOTHING
RETURNING id
"""
SAID: Final = {
    Lifecycle.PREVIEW: "is in preview",
    Lifecycle.GENERALLY_AVAILABLE: "is generally available",
    Lifecycle.LEGACY: "is legacy: it is known that it ends",
    Lifecycle.DEPRECATED: "is deprecated: it takes no new deals",
    Lifecycle.RETIRED: "is retired: it no longer answers",
}

ENDING: Final = (Lifecycle.LEGACY, Lifecycle.DEPRECATED, Lifecycle.RETIRED)


@transaction.atomic
def carry_out_due(*, on: date, at: datetime) -> Counter[str]:
    """Publish what is scheduled up to *on*, then write down and tell every stage that has begun by then.

    What began before the catalog knew the offering is written down in silence, and so is everything that lies behind the
    very first run: that is history and no news.
    Returns   Counts: published, not_published, each stage that was told, and silent. 0 queries more where nothing is due.
    """
    acting(by=None, at=at, reason="By its dates")
    done: Counter[str] = Counter()
    _publish_due(done, on=on, at=at)
    first_run = not LifecycleMove.objects.exists()
    moves = _write_down(on=on, at=at)
    if not moves:
        return done
    known_since = _known_since({move.offering_id for move in moves})
    told: dict[str, Change] = {}
    for move in moves:
        if (first_run and move.day < on) or move.day < known_since[move.offering_id]:
            done["silent"] += 1
            continue
        stage = Lifecycle(move.stage)
        done[stage.value] += 1
        key = f"lifecycle-{move.offering_id}-{stage.value}-{move.day.isoformat()}"
        told[key] = Change("lifecycle", _said(move.offering, stage), (move.offering_id,), move.day)
    if told:
        tell_each(told, at=at)
    return done


def _publish_due(done: Counter[str], *, on: date, at: datetime) -> None:
    """Whatever is scheduled for a day up to *on* goes on sale; what nobody could buy stays, and its keepers hear of it."""
    due = (
        Offering.objects.select_for_update(skip_locked=True)
        .filter(publication=Publication.SCHEDULED, goes_live_on__lte=on)
        .order_by("goes_live_on", "id")
    )
    opened: dict[str, Change] = {}
    for offering in due:
        if not offering.plans.exists():
            done["not_published"] += 1
            _warn(offering, at)
            continue
        day = offering.goes_live_on or on
        offering.publication, offering.goes_live_on = Publication.LIVE, None
        fresh = record_revision(offering, by=None, at=at)
        done["published"] += 1
        opened[f"offering-{fresh.pk}-{fresh.revision}"] = Change(
            "offering", f"{fresh.name} is now live.", (fresh.pk,), day
        )
    if opened:
        tell_each(opened, at=at)


def _warn(offering: Offering, at: datetime) -> None:
    keepers = User.objects.filter(
        role_grants__role=Role.CATALOG_MANAGER, role_grants__withdrawn_at=None, is_active=True
    )
    key = f"not-published:{offering.pk}:{offering.goes_live_on}"
    promise(
        topic=NOTIFY,
        key=key,
        payload={
            "user_ids": list(keepers.values_list("pk", flat=True)),
            "key": key,
            "text": f"{offering.name} was to go on sale but has no plan: nobody could buy it.",
            "url": f"/catalog/{offering.slug}/",
        },
        at=at,
    )


def _write_down(*, on: date, at: datetime) -> Sequence[LifecycleMove]:
    """The moves that this run has written, in the order in which they happened. 2 queries."""
    with connection.cursor() as cursor:
        cursor.execute(_MOVES, {"at": at, "on": on, "published": [state.value for state in PUBLISHED]})
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return []
    return list(
        LifecycleMove.objects.filter(pk__in=ids).select_related("offering__replacement").order_by("day", "pk")
    )


def _known_since(offering_ids: set[int]) -> dict[int, date]:
    """Offering id to the operator's day of its first revision; the beginning of time for one without any. 1 query."""
    found = dict.fromkeys(offering_ids, date.min)
    first = Offering.objects.filter(pk__in=offering_ids, revisions__number=1).values_list(
        "pk", "revisions__recorded_at"
    )
    found.update({pk: day_of(recorded_at) for pk, recorded_at in first})
    return found


def _said(offering: Offering, stage: Lifecycle) -> str:
    said = f"{offering.name} {SAID[stage]}"
    ends = offering.deprecated_on if stage == Lifecycle.LEGACY else None
    said += f", and takes new deals until before {ends:%-d %b %Y}" if ends else ""
    instead = named_replacement(offering) if stage in ENDING else None
    return f"{said}. {instead.name} replaces it." if instead else f"{said}."
