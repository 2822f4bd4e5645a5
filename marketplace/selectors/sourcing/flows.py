"""Money between companies: amounts as intervals, net positions, and the circles that money goes in.

Bounds are never summed as exact. What is paid once and what is paid by the year are never added together, nor are two
currencies. An unknown amount makes an open end.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from django.db.models import Q, QuerySet

from config import formats
from marketplace.models import Bound, Company, Currency, Relationship, RelationshipStatus
from marketplace.models.sourcing.companies import MONEY_KINDS

MONTHS: Final = 12
MOST_CYCLES: Final = 40
LONGEST_CYCLE: Final = 6
MOST_STEPS: Final = 50_000
_SAID: Final = {Bound.ABOUT: "about ", Bound.AT_MOST: "at most ", Bound.AT_LEAST: "at least "}


@dataclass(frozen=True, slots=True)
class Amount:
    """Minor units that lie in [low, high]; None is an open end.

    about   An end is only about right.
    """

    low: int | None
    high: int | None
    about: bool = False

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(_plus(self.low, other.low), _plus(self.high, other.high), self.about or other.about)

    def __neg__(self) -> "Amount":
        return Amount(_minus(self.high), _minus(self.low), self.about)

    def __sub__(self, other: "Amount") -> "Amount":
        return self + -other

    def times(self, number: int) -> "Amount":
        """Of a positive number."""
        return Amount(
            None if self.low is None else self.low * number,
            None if self.high is None else self.high * number,
            self.about,
        )

    @property
    def exact(self) -> bool:
        return self.low is not None and self.low == self.high and not self.about

    @property
    def unknown(self) -> bool:
        """Nothing is known but, perhaps, that it is not negative."""
        return self.high is None and not self.low

    def text(self, code: str = "USD", exponent: int = 2) -> str:
        """In words: "$30B", "about $500M", "at most $5B", "$1B to $6B", "unknown". From nothing up to X reads "at most X"."""

        def money(minor: int) -> str:
            return formats.money(minor, code, exponent, compact=True, trim=True)

        about = "about " if self.about else ""
        if self.unknown:
            return "unknown"
        if self.high is None:
            return f"at least {about}{money(self.low or 0)}"
        if self.low is None or (self.low == 0 and self.high > 0):
            return f"at most {about}{money(self.high)}"
        if self.low == self.high:
            return f"{about}{money(self.low)}"
        return f"{about}{money(self.low)} to {money(self.high)}"


NOTHING: Final = Amount(0, 0)
UNKNOWN: Final = Amount(0, None)


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _minus(value: int | None) -> int | None:
    return None if value is None else -value


def bounded(minor: int | None, bound: str) -> Amount:
    """A stated amount as an interval; without an amount anything from zero on."""
    if minor is None or bound == Bound.UNKNOWN:
        return UNKNOWN
    if bound == Bound.AT_MOST:
        return Amount(0, minor)
    if bound == Bound.AT_LEAST:
        return Amount(minor, None)
    return Amount(minor, minor, bound == Bound.ABOUT)


def amount_of(relationship: Relationship) -> Amount:
    return bounded(relationship.amount_minor, relationship.bound)


def amount_text(relationship: Relationship) -> str:
    """As its source has it: "about $500M a year", "at most $5B", "unknown amount"."""
    if relationship.amount_minor is None or relationship.currency is None:
        return "unknown amount"
    currency = relationship.currency
    written = formats.money(
        relationship.amount_minor, currency.code, currency.exponent, compact=True, trim=True
    )
    said = f"{_SAID.get(Bound(relationship.bound), '')}{written}"
    return f"{said} {relationship.get_per_display()}" if relationship.per else said


# --- the ties -----------------------------------------------------------------------------------------------


def relationships() -> "QuerySet[Relationship]":
    """Those that stand, corrections in place of what they correct, with what their pages show. 1 query."""
    return (
        Relationship.objects.filter(superseded_at=None)
        .select_related("payer", "payee", "currency", "fact", "recorded_by")
        .order_by("id")
    )


def in_force(on: date) -> "QuerySet[Relationship]":
    """Those that have not ended before a day. 1 query."""
    return (
        relationships()
        .filter(Q(ends_on=None) | Q(ends_on__gt=on))
        .exclude(status=RelationshipStatus.ENDED, ends_on=None)
    )


def money_ties(on: date) -> list[Relationship]:
    """Those in force along which money goes. 1 query."""
    return list(in_force(on).filter(kind__in=MONEY_KINDS))


# --- net positions ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Position:
    """What a company gets and pays, once or by the year, in one currency.

    per     "" once, "year" by the year; rates by the month are counted as twelve times that.
    ties    Those that it is made of; of an unknown amount with no currency stated, in every currency.
    """

    company: Company
    per: str
    currency: Currency
    received: Amount
    paid: Amount
    ties: tuple[Relationship, ...] = ()

    @property
    def net(self) -> Amount:
        return self.received - self.paid

    @property
    def unknowns(self) -> int:
        """How many of its amounts are unknown."""
        return sum(tie.amount_minor is None for tie in self.ties)


def positions(ties: Sequence[Relationship], usual: Currency) -> list[Position]:
    """One for each company, rate and currency, in the order of name; nothing is added across rates or currencies. No query.

    usual   The currency in which an unknown amount stands where its company has no other amount of that rate.
    """
    grouped: dict[tuple[int, str], list[Relationship]] = defaultdict(list)
    companies: dict[int, Company] = {}
    for tie in ties:
        for company in (tie.payer, tie.payee):
            companies[company.pk] = company
            grouped[company.pk, "year" if tie.per else ""].append(tie)
    found = []
    for (pk, per), mine in grouped.items():
        currencies = {tie.currency.code: tie.currency for tie in mine if tie.currency is not None} or {
            usual.code: usual
        }
        for code, currency in sorted(currencies.items()):
            counted = tuple(tie for tie in mine if tie.currency is None or tie.currency.code == code)
            found.append(
                Position(
                    companies[pk],
                    per,
                    currency,
                    _sum(tie for tie in counted if tie.payee_id == pk),
                    _sum(tie for tie in counted if tie.payer_id == pk),
                    counted,
                )
            )
    return sorted(found, key=lambda each: (each.company.name, each.company.pk, each.per, each.currency.code))


def _sum(ties: Iterable[Relationship]) -> Amount:
    total = NOTHING
    for tie in ties:
        total += amount_of(tie).times(MONTHS if tie.per == "month" else 1)
    return total


# --- circles ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cycle:
    """Companies along which money comes back to where it started; steps holds the ties of each leg."""

    companies: tuple[Company, ...]
    steps: tuple[tuple[Relationship, ...], ...]

    @property
    def start(self) -> Company:
        return self.companies[0]

    @property
    def legs(self) -> "list[tuple[Company, list[tuple[Relationship, str]]]]":
        """Each company with the ties along which it pays the next one, and their amounts in words."""
        return [
            (company, [(tie, amount_text(tie)) for tie in ties])
            for company, ties in zip(self.companies, self.steps, strict=True)
        ]

    @property
    def name(self) -> str:
        """Microsoft → Anthropic (equity at most $5B, spend about $500M a year) → Microsoft (compute commitment $30B)."""
        text = self.companies[0].name
        for company, ties in zip((*self.companies[1:], self.companies[0]), self.steps, strict=True):
            said = ", ".join(f"{tie.get_kind_display().lower()} {amount_text(tie)}" for tie in ties)
            text += f" → {company.name} ({said})"
        return text


@dataclass(slots=True)
class Cycles:
    """more: there are others, or longer ones than LONGEST_CYCLE might exist, that were not looked for."""

    found: list[Cycle] = field(default_factory=list)
    more: bool = False


def cycles(ties: Sequence[Relationship], first: int | None = None) -> Cycles:
    """Every elementary circle of money once, whichever of its companies is met first; the shortest first. No query.

    first   The company at which a circle is told from, where it is in it; else the one of the lowest name.
    """
    edges: dict[tuple[int, int], list[Relationship]] = defaultdict(list)
    companies: dict[int, Company] = {}
    for tie in ties:
        edges[tie.payer_id, tie.payee_id].append(tie)
        companies |= {tie.payer_id: tie.payer, tie.payee_id: tie.payee}
    ranks = {
        pk: rank
        for rank, pk in enumerate(sorted(companies, key=lambda pk: (pk != first, companies[pk].name, pk)))
    }
    onward: dict[int, list[int]] = defaultdict(list)
    for payer, payee in edges:
        onward[payer].append(payee)
    for targets in onward.values():
        targets.sort(key=ranks.__getitem__)
    circles, more = _elementary(sorted(companies, key=ranks.__getitem__), onward, ranks)
    return Cycles(
        [
            Cycle(
                tuple(companies[pk] for pk in circle),
                tuple(
                    tuple(edges[here, there])
                    for here, there in zip(circle, (*circle[1:], circle[0]), strict=True)
                ),
            )
            for circle in circles
        ],
        more,
    )


def _elementary(
    nodes: Sequence[int], onward: Mapping[int, Sequence[int]], ranks: Mapping[int, int]
) -> tuple[list[tuple[int, ...]], bool]:
    """Circles, each beginning at its node of lowest rank, and whether the search was cut off."""
    found: list[tuple[int, ...]] = []
    steps, more = 0, False
    for start in nodes:
        paths: list[tuple[int, ...]] = [(start,)]
        while paths:
            path = paths.pop()
            steps += 1
            if steps > MOST_STEPS or len(found) >= MOST_CYCLES:
                return sorted(found, key=len), True
            for node in reversed(onward.get(path[-1], ())):
                if node == start:
                    found.append(path)
                elif ranks[node] > ranks[start] and node not in path:
                    if len(path) < LONGEST_CYCLE:
                        paths.append((*path, node))
                    else:
                        more = True
    return sorted(found, key=len), more
