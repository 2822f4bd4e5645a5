"""What other apps add to the catalog, without the catalog knowing them. They register in their AppConfig.ready().

panel     shows something of theirs on an offering's page, to one user, as of one day
impacts   says what a change of an offering would hit
listen    hears of a change once it is made; called by the outbox, at least once
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal, TypeVar

from accounts.models import User
from marketplace.models import Offering

F = TypeVar("F")
ChangeKind = Literal["offering", "price", "eligibility"]


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of an offering's page: *template* is rendered with *context* inside a card of its own."""

    title: str
    template: str
    context: dict[str, Any] = field(default_factory=dict)
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Something in the catalog that has changed, or is about to.

    offering_ids   The offerings it touches; None is every one that a decision of a path or publisher reaches.
    first_day      From this day on.
    program        The program that a decision of eligibility is about, else nothing.
    key            Names the change: who is told twice hears the same key. Empty for one that is not made yet.
    """

    kind: ChangeKind
    what: str
    offering_ids: tuple[int, ...] | None
    first_day: date
    program: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Impact:
    """One thing that a change hits, such as an open deal."""

    kind: str
    title: str
    detail: str
    day: date | None = None
    url: str = ""


PanelMaker = Callable[[Offering, User, date], Panel | None]
ImpactFinder = Callable[[Change, User, date], Iterable[Impact]]
Listener = Callable[[Change, datetime], None]

_panels: Final[list[PanelMaker]] = []
_impacts: Final[list[ImpactFinder]] = []
_listeners: Final[list[Listener]] = []


def panel(maker: PanelMaker) -> PanelMaker:
    """Register a panel; it answers None where it has nothing to show to this user."""
    return _once(_panels, maker)


def impacts(finder: ImpactFinder) -> ImpactFinder:
    """Register what finds impacts; it yields only what this user may see."""
    return _once(_impacts, finder)


def listen(listener: Listener) -> Listener:
    """Register a listener; it must bear being called twice for the same change."""
    return _once(_listeners, listener)


def panels_for(offering: Offering, user: User, on: date) -> list[Panel]:
    return [made for make in _panels if (made := make(offering, user, on)) is not None]


def impacts_of(change: Change, user: User, on: date) -> list[Impact]:
    """Everything that *change* hits as far as *user* may see it, by day; without a day last."""
    found = [impact for find in _impacts for impact in find(change, user, on)]
    return sorted(found, key=lambda impact: (impact.day is None, impact.day or on, impact.title))


def listeners() -> Sequence[Listener]:
    return tuple(_listeners)


def _once(registered: list[F], added: F) -> F:
    if added not in registered:
        registered.append(added)
    return added
