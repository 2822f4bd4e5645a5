"""What other apps add to the catalog, without the catalog knowing them. They register in their AppConfig.ready().

panel     shows something of theirs on an offering's page, to one user, as of one day
impacts   says what a change of an offering would hit
listen    hears of a change once it is made; called by the outbox, at least once
sales     says what was sold of each offering in a span of days, as far as one user may see it; whole or by month
buyers    says what each customer bought of whom in a span of days, as far as one user may see it
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal, TypeVar

from accounts.models import User
from marketplace.models import Offering

F = TypeVar("F")
ChangeKind = Literal["offering", "price", "eligibility", "lifecycle"]


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
    until          First day on which it no longer holds, where that is known; None is until further notice.
    facts          Names of the offering's or its plan's facts that are others now, whatever the day.
    program        The program that a decision of eligibility is about, else nothing.
    publisher_id, commercial_path   Where offering_ids is None: whose, or which path's.
    key            Names the change: who is told twice hears the same key. Empty for one that is not made yet.
    """

    kind: ChangeKind
    what: str
    offering_ids: tuple[int, ...] | None
    first_day: date
    program: str = ""
    key: str = ""
    publisher_id: int | None = None
    commercial_path: str = ""
    until: date | None = None
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sales:
    """What was sold of one offering in a span of days, as far as one user may see it.

    deals    Approved deals with a line on it.
    value    Their lines' value by currency, minor units.
    month    First day of the month it was sold in, where it is told by month.
    """

    offering_id: int
    deals: int
    value_minor: dict[str, int] = field(default_factory=dict)
    month: date | None = None


@dataclass(frozen=True, slots=True)
class Buyer:
    """What one customer spent with each publisher in a span of days, as far as one user may see it.

    value_minor   Publisher id to the value by currency, minor units; what was refunded whole is not there.
    url           Its account, where this user has one to look at.
    """

    customer_id: int
    slug: str
    name: str
    value_minor: dict[int, dict[str, int]]
    url: str = ""

    @property
    def publishers(self) -> int:
        return len(self.value_minor)

    @property
    def total_minor(self) -> dict[str, int]:
        """By currency; amounts in different ones are never added."""
        total: dict[str, int] = {}
        for value in self.value_minor.values():
            for code, minor in value.items():
                total[code] = total.get(code, 0) + minor
        return total


@dataclass(frozen=True, slots=True)
class Impact:
    """One thing that a change hits. kind: open deal, credit, recredit, customer, or what the app that knows it calls it."""

    kind: str
    title: str
    detail: str
    day: date | None = None
    url: str = ""


PanelMaker = Callable[[Offering, User, date], Panel | None]
ImpactFinder = Callable[[Change, User, date], Iterable[Impact]]
Listener = Callable[[Change, datetime], None]
SalesFinder = Callable[[User, date, date], Iterable[Sales]]
BuyersFinder = Callable[[User, date, date], Iterable[Buyer]]

_panels: Final[list[PanelMaker]] = []
_impacts: Final[list[ImpactFinder]] = []
_listeners: Final[list[Listener]] = []
_sales: Final[list[SalesFinder]] = []
_sales_by_month: Final[list[SalesFinder]] = []
_buyers: Final[list[BuyersFinder]] = []


def panel(maker: PanelMaker) -> PanelMaker:
    """Register a panel; it answers None where it has nothing to show to this user."""
    return _once(_panels, maker)


def impacts(finder: ImpactFinder) -> ImpactFinder:
    """Register what finds impacts; it yields only what this user may see."""
    return _once(_impacts, finder)


def listen(listener: Listener) -> Listener:
    """Register a listener; it must bear being called twice for the same change."""
    return _once(_listeners, listener)


def sales(finder: SalesFinder) -> SalesFinder:
    """Register what knows of sales: finder(user, first, end) for the half-open span, a fixed number of queries."""
    return _once(_sales, finder)


def sales_by_month(finder: SalesFinder) -> SalesFinder:
    """Register what knows of sales month by month: as sales, with the month of each."""
    return _once(_sales_by_month, finder)


def buyers(finder: BuyersFinder) -> BuyersFinder:
    """Register what knows who buys: finder(user, first, end) for the half-open span, a fixed number of queries."""
    return _once(_buyers, finder)


def sales_between(user: User, first: date, end: date) -> list[Sales]:
    return [sold for find in _sales for sold in find(user, first, end)]


def monthly_sales_between(user: User, first: date, end: date) -> list[Sales]:
    return [sold for find in _sales_by_month for sold in find(user, first, end)]


def buyers_between(user: User, first: date, end: date) -> list[Buyer]:
    return [buyer for find in _buyers for buyer in find(user, first, end)]


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
