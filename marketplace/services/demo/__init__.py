"""What the demo adds to the catalog: change sets under way, offers, imports. Each part goes through the real services."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from accounts.models import User
from marketplace.services.demo import (
    change_sets,
    console,
    decisions,
    finding,
    imports,
    prices,
    sourcing,
    telling,
)

Part = Callable[..., dict[str, int]]

# Each is called as stage(people=..., at=...) in this order and answers what it made, by kind of record.
PARTS: Final[tuple[Part, ...]] = (
    prices.stage,
    decisions.stage,
    console.stage,
    finding.stage,
    change_sets.stage,
    imports.stage,
    telling.stage,
    sourcing.stage,
)


def stage_demo(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Everything the demo adds. people: by log-in name. In the transaction that loads the demo, once."""
    made: dict[str, int] = {}
    for stage in PARTS:
        made |= stage(people=people, at=at)
    return made
