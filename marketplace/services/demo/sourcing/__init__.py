"""What the demo adds to sourcing. Public statements keep their source; what is made up says so (synthetic)."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from accounts.models import User
from marketplace.services.demo.sourcing import companies, judging, products, scenarios, substitution, usage

Part = Callable[..., dict[str, int]]

# Each is called as stage(people=..., at=...) in this order: later ones stand on what earlier ones made.
PARTS: Final[tuple[Part, ...]] = (
    companies.stage,
    products.stage,
    judging.stage,
    usage.stage,
    substitution.stage,
    scenarios.stage,
)


def stage(*, people: Mapping[str, User], at: datetime) -> dict[str, int]:
    """Everything the demo has of sourcing, and how much of it, by kind of record."""
    made: dict[str, int] = {}
    for part in PARTS:
        made |= part(people=people, at=at)
    return made
