"""Sourcing leads hear of it when a model that our features run on gets a day on which it retires. Told once a day that is named."""

from datetime import date, datetime
from typing import Final

from accounts.handlers import NOTIFY
from accounts.models import Role, User
from config.clock import day_of
from config.house import day as day_text
from config.outbox import promise
from marketplace.extension import Change, listen
from marketplace.models import Binding, ModelVersion, Offering
from marketplace.selectors.sourcing.binding import bindings
from marketplace.selectors.sourcing.products import MustMove, by_retirement, must_move

PAGE: Final = "/sourcing/products/#must-move"


@listen
def tell_who_leads_sourcing(change: Change, at: datetime) -> None:
    """For each version of the changed offerings that retires under a feature: a line to every sourcing lead. 7 queries at most."""
    if change.kind not in ("offering", "lifecycle") or not change.offering_ids:
        return
    versions = set(
        Offering.objects.filter(
            pk__in=change.offering_ids,
            retires_on__isnull=False,
            model_version__in=Binding.objects.filter(superseded_at=None).values("model_version"),
        ).values_list("model_version", flat=True)
    )
    if not versions:
        return
    moves = must_move(list(bindings().filter(model_version__in=versions)), day_of(at))
    if not moves:
        return
    leads = sorted(
        User.objects.filter(
            role_grants__role=Role.SOURCING_LEAD, role_grants__withdrawn_at=None, is_active=True
        )
        .values_list("pk", flat=True)
        .distinct()
    )
    for retires_on, version, its in by_retirement(moves):
        key = f"must-move:{version.pk}:{retires_on.isoformat()}"
        promise(
            topic=NOTIFY,
            key=key,
            payload={"user_ids": leads, "key": key, "text": _text(version, retires_on, its), "url": PAGE},
            at=at,
        )


def _text(version: ModelVersion, retires_on: date, moves: list[MustMove]) -> str:
    """Names what fits into a line."""
    names = [str(move.feature) for move in moves]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    verb = "has to move" if len(names) == 1 else "have to move"
    return f"{version.model.name} retires on {day_text(retires_on)}: {shown} {verb} by then."[:300]
