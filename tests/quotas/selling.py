"""Deals as logging, submitting and approving leave them, written as rows: for tests of what comes after."""

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from quotas.crediting import engine
from quotas.models import Deal, DealAction, DealEvent, DealState, Rep
from tests import kept, make


@transaction.atomic
def handed_in(*, owner: Rep, at: datetime = make.AT, **facts: Any) -> Deal:
    """Submitted by its owner, who logs in. facts: what make.deal() takes."""
    deal = make.deal(owner=owner, by=make.login(owner), at=at, state=DealState.SUBMITTED, **facts)
    deal.revision += 1
    deal.save(update_fields=["revision"])
    _happened(deal, DealAction.SUBMITTED, make.login(owner), at)
    return deal


@transaction.atomic
def credited(*, owner: Rep, leader: Rep, at: datetime = make.AT, **facts: Any) -> Deal:
    """Submitted by its owner, approved by *leader*, and its credit in the ledger."""
    deal = handed_in(owner=owner, at=at, **facts)
    by = make.login(leader)
    deal.state = DealState.APPROVED
    deal.credited_version = deal.latest_version
    deal.decided_by, deal.decided_at = by, at
    deal.revision += 1
    deal.save(update_fields=["state", "credited_version", "decided_by", "decided_at", "revision"])
    _happened(deal, DealAction.APPROVED, by, at)
    engine.post(
        engine.ByDeal([deal.pk]),
        key=f"approve:{deal.reference}:r{deal.revision}",
        kind="approve",
        by=by,
        at=at,
    )
    return deal


def _happened(deal: Deal, action: str, by: Any, at: datetime) -> None:
    DealEvent.objects.create(deal=deal, version=deal.latest, action=action, by=by, at=at)


# A team that sells.


@kept.world
def busy() -> make.World:
    """Credit of two days, today's and what waits; two who tie, and one with credit and nothing to rank it by."""
    world = make.world()
    for owner, leader, amount, days_ago in (
        (world.ana, world.mia, 500_00, 20),
        (world.cy, world.zed, 300_00, 20),
        (world.cy, world.zed, 300_00, 6),
        (world.bo, world.mia, 550_00, 0),
    ):
        credited(owner=owner, leader=leader, **sale(world, owner, amount, days_ago=days_ago))
    handed_in(owner=world.ana, **sale(world, world.ana, 70_00))
    for _ in range(2):
        make.quota(measure=world.bookings, period=world.year.quarters[0], rep=make.rep(team=world.other))
    make.total(
        rep=make.rep(team=world.other),
        team=world.other,
        measure=world.bookings,
        month=world.year.month(1),
        direct_minor=12_00,
    )
    return world


def sale(world: make.World, owner: Rep, amount: int, *, days_ago: int = 0) -> dict[str, Any]:
    """Of both offerings, a tenth of it somebody else's."""
    return {
        "customer": world.customer,
        "lines": [make.Line(world.house, amount), make.Line(world.third, amount // 3)],
        "shares": {owner: 900_000, world.cy if owner != world.cy else world.bo: 100_000},
        "close_date": make.TODAY - timedelta(days=days_ago),
    }
