"""Commitments between companies: how much is drawn, at what pace, and what would be left at the end of the term.

- A pace and a shortfall need a term: stated, or assumed by somebody with a reason. Without one they are unknown.
- What is drawn is known to the end of the last month that was billed; a month without a bill before it is a gap, not zero.
- Even pace spreads the commitment over the days of its term.
- The expected draw by the end goes on at the mean daily rate of the last three billed months; its range takes the slowest
  and the fastest of the last six. Nothing is expected of what is not committed: a shortfall is never negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

from django.db.models import Prefetch, QuerySet

from config.formats import rounded
from config.months import add_months, months_between
from marketplace.models import CommitmentDraw, Relationship, RelationshipKind, TermAssumption
from marketplace.selectors.sourcing.flows import Amount, amount_of, in_force, relationships

USUAL: Final = 3  # months that the expected pace is the mean of
RANGE: Final = 6  # months among which the slowest and the fastest make the range
TERMS: Final = (3, 4, 5, 7, 10)  # years that a page tries where no term is stated
LIVE_DRAWS: Final = CommitmentDraw.objects.filter(superseded_at=None).order_by("month")
LIVE_ASSUMPTIONS: Final = TermAssumption.objects.filter(superseded_at=None).select_related("stated_by")
LIVE: Final = (
    Prefetch("draws", LIVE_DRAWS, to_attr="live_draws"),
    Prefetch("assumptions", LIVE_ASSUMPTIONS, to_attr="live_assumptions"),
)


@dataclass(frozen=True, slots=True)
class Term:
    """[start, end). assumption: who takes it for granted and why; None where the source states it."""

    start: date
    end: date
    assumption: TermAssumption | None = None
    tried: bool = False

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def basis(self) -> str:
        """stated, assumed, or tried: on paper only."""
        return "tried" if self.tried else "stated" if self.assumption is None else "assumed"


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the draw stands against its term. Amounts in minor units of the commitment's currency.

    at         The end of the last billed month: the first day after it.
    even       What even pace asks for by then.
    behind     even less what is drawn: negative where it is ahead.
    needed     A month, from then on to the end, to draw all of it; None once the term is over.
    expected   Drawn by the end of the term: low and high of the range; middle is the mean pace's.
    shortfall  What would not be drawn.
    """

    at: date
    elapsed: Fraction
    even: Amount
    behind: Amount
    needed: Amount | None
    expected: Amount
    middle: int
    shortfall: Amount


@dataclass(frozen=True, slots=True)
class Drawn:
    """A billed month with what was drawn up to its end."""

    draw: CommitmentDraw
    total: int


@dataclass(frozen=True, slots=True)
class Standing:
    """One commitment as of a day.

    remaining  Total less drawn; an interval where the total is one. Never below zero.
    over       Drawn beyond the most that is committed.
    gaps       Months without a bill between the first billed one and the last.
    pace       None without a term, or before the first bill.
    """

    relationship: Relationship
    on: date
    total: Amount
    drawn: int
    remaining: Amount
    over: int
    months: tuple[Drawn, ...]
    gaps: tuple[date, ...]
    term: Term | None
    pace: Pace | None

    @property
    def synthetic(self) -> bool:
        return any(month.draw.synthetic for month in self.months)

    @property
    def mean_month(self) -> int | None:
        """Mean of the last three billed months."""
        last = [month.draw.amount_minor for month in self.months[-USUAL:]]
        return rounded(Fraction(sum(last), len(last))) if last else None


def commitments() -> "QuerySet[Relationship]":
    """Compute commitments that stand, each with live_draws and live_assumptions. 3 queries."""
    return relationships().filter(kind=RelationshipKind.COMPUTE_COMMITMENT).prefetch_related(*LIVE)


def in_force_on(on: date) -> "QuerySet[Relationship]":
    """Those of commitments() that have not ended before a day. 3 queries."""
    return in_force(on).filter(kind=RelationshipKind.COMPUTE_COMMITMENT).prefetch_related(*LIVE)


def commitments_on(on: date) -> list[Standing]:
    """Of every commitment that has not ended. 3 queries."""
    return [standing(each, on) for each in in_force_on(on)]


def standing(relationship: Relationship, on: date, trying: Term | None = None) -> Standing:
    """How one commitment stands on a day. No query for a row of commitments(), else 2.

    trying   A term to look at on paper in place of the stated or assumed one.
    """
    draws = [draw for draw in _draws(relationship) if draw.month < on]
    total, drawn = amount_of(relationship), 0
    months = []
    for draw in draws:
        drawn += draw.amount_minor
        months.append(Drawn(draw, drawn))
    billed = {draw.month for draw in draws}
    gaps = (
        tuple(m for m in months_between(draws[0].month, draws[-1].month) if m not in billed) if draws else ()
    )
    term = trying or term_of(relationship)
    return Standing(
        relationship=relationship,
        on=on,
        total=total,
        drawn=drawn,
        remaining=_not_negative(total - Amount(drawn, drawn)),
        over=max(0, drawn - total.high) if total.high is not None else 0,
        months=tuple(months),
        gaps=gaps,
        term=term,
        pace=_pace(total, drawn, draws, term) if term is not None and draws else None,
    )


def term_of(relationship: Relationship) -> Term | None:
    """The stated one; else the assumed one; else none. A start that is not stated may be assumed together with the end."""
    if relationship.starts_on is not None and relationship.ends_on is not None:
        return Term(relationship.starts_on, relationship.ends_on)
    assumed = _assumptions(relationship)
    return Term(assumed[0].starts_on, assumed[0].ends_on, assumed[0]) if assumed else None


def tried(relationship: Relationship, on: date, start: date) -> list[tuple[int, Standing]]:
    """What the pace would be over terms of so many years from *start*: (years, standing). For a page that asks for one."""
    return [
        (years, standing(relationship, on, Term(start, add_months(start, 12 * years), tried=True)))
        for years in TERMS
    ]


def _draws(relationship: Relationship) -> list[CommitmentDraw]:
    found: list[CommitmentDraw] | None = getattr(relationship, "live_draws", None)
    return list(LIVE_DRAWS.filter(relationship=relationship)) if found is None else found


def _assumptions(relationship: Relationship) -> list[TermAssumption]:
    found: list[TermAssumption] | None = getattr(relationship, "live_assumptions", None)
    return list(LIVE_ASSUMPTIONS.filter(relationship=relationship)) if found is None else found


def _pace(total: Amount, drawn: int, draws: Sequence[CommitmentDraw], term: Term) -> Pace:
    at = add_months(draws[-1].month, 1)
    passed = Fraction(min(max((at - term.start).days, 0), term.days), term.days)
    even = _part(total, passed)
    rates = [_daily(draw) for draw in draws]
    usual = sum(rates[-USUAL:], Fraction(0)) / len(rates[-USUAL:])
    slow, fast = min(rates[-RANGE:]), max(rates[-RANGE:])
    left = max((term.end - at).days, 0)
    low, middle, high = (drawn + rounded(rate * left) for rate in (min(slow, usual), usual, max(fast, usual)))
    expected = Amount(low, high)
    remaining = _not_negative(total - Amount(drawn, drawn))
    return Pace(
        at=at,
        elapsed=passed,
        even=even,
        behind=even - Amount(drawn, drawn),
        needed=_part(remaining, _MONTH / left) if left else None,
        expected=expected,
        middle=middle,
        shortfall=_not_negative(total - expected),
    )


_MONTH: Final = Fraction(1461, 48)  # days, on average


def _daily(draw: CommitmentDraw) -> Fraction:
    return Fraction(draw.amount_minor, (add_months(draw.month, 1) - draw.month).days)


def _part(amount: Amount, part: Fraction) -> Amount:
    return Amount(
        None if amount.low is None else rounded(amount.low * part),
        None if amount.high is None else rounded(amount.high * part),
        amount.about,
    )


def _not_negative(amount: Amount) -> Amount:
    return Amount(max(amount.low or 0, 0), None if amount.high is None else max(amount.high, 0), amount.about)
