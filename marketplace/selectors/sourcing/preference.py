"""What blind votes say: the strength of each model version as the share of the others it would be preferred to.

Strength is Bradley-Terry's (selectors/strength.py); a tie is half a win. "Neither is good enough" compares nothing: it
is counted apart. Votes on one case, and votes of one person, resemble each other, so the interval comes from drawing
cases and people anew, and is never narrower than what the number of votes alone allows.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from marketplace.models import Choice
from marketplace.selectors.evidence import Contender
from marketplace.selectors.strength import Strength, strengths_of_records

DRAWS: Final = 200
SEED: Final = 20_260_814  # fixed: the same votes give the same interval
WON: Final = {Choice.FIRST: 1.0, Choice.TIE: 0.5, Choice.SECOND: 0.0}


@dataclass(frozen=True, slots=True)
class Ballot:
    """One vote. first and second: model version ids; left: the one that stood on the left."""

    case: int
    voter: int
    first: int
    second: int
    choice: str
    left: int


@dataclass(frozen=True, slots=True)
class Record:
    """A model version's votes. neither: with another that was not good enough either."""

    won: int
    tied: int
    lost: int
    neither: int

    @property
    def compared(self) -> int:
        """Votes that compare it with another."""
        return self.won + self.tied + self.lost


@dataclass(frozen=True, slots=True)
class Preference:
    """share: of the others, how many it would be preferred to, with its 95 % interval."""

    share: float
    low: float
    high: float
    record: Record


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of all twos of people who voted on the same two answers, how many chose the same."""

    same: int
    of: int


def preferences(ballots: Sequence[Ballot], contenders: Collection[int]) -> dict[int, Preference]:
    """By model version id. Needs two contenders or more; one that nobody compared lies in the middle, with a wide interval."""
    counted = [ballot for ballot in ballots if ballot.choice != Choice.NEITHER]
    cells: dict[tuple[int, int], list[Ballot]] = defaultdict(list)
    for ballot in counted:
        cells[ballot.case, ballot.voter].append(ballot)
    point = _strengths(((ballot, 1) for ballot in counted), contenders)
    drawn = [_shares(cells, contenders, dice) for dice in _dice(DRAWS if cells else 0)]
    votes = records(ballots, contenders)
    found = {}
    for version in contenders:
        at = point["version", version]
        shares = sorted(draw["version", version] for draw in drawn) or [at.share]
        cut = len(shares) // 40  # 2.5 % at each end
        found[version] = Preference(
            at.share, min(at.low, shares[cut]), max(at.high, shares[-1 - cut]), votes[version]
        )
    return found


def _dice(draws: int) -> Iterable[random.Random]:
    return (random.Random(SEED + draw) for draw in range(draws))  # noqa: S311 -- drawn anew, not drawn in secret


def _shares(
    cells: dict[tuple[int, int], list[Ballot]], contenders: Collection[int], dice: random.Random
) -> dict[Contender, float]:
    """Strengths after drawing as many cases and as many people as there are, each with replacement."""
    cases, voters = (sorted({key[at] for key in cells}) for at in (0, 1))
    of_case, of_voter = (Counter(dice.choices(names, k=len(names))) for names in (cases, voters))
    weighted = (
        (ballot, weight)
        for (case, voter), ballots in cells.items()
        if (weight := of_case[case] * of_voter[voter])
        for ballot in ballots
    )
    return {name: found.share for name, found in _strengths(weighted, contenders).items()}


def _strengths(
    weighted: Iterable[tuple[Ballot, int]], contenders: Collection[int]
) -> dict[Contender, Strength]:
    won: dict[tuple[int, int], float] = defaultdict(float)
    met: dict[tuple[int, int], int] = defaultdict(int)
    for ballot, weight in weighted:
        one, other = ballot.first, ballot.second
        first = WON[Choice(ballot.choice)] * weight
        won[one, other] += first
        won[other, one] += weight - first
        met[one, other] += weight
        met[other, one] += weight
    records: dict[Contender, dict[Contender, tuple[float, int]]] = {
        ("version", version): {} for version in contenders
    }
    for (one, other), times in met.items():
        records["version", one]["version", other] = (won[one, other], times)
    return strengths_of_records(records)


def records(ballots: Iterable[Ballot], contenders: Collection[int]) -> dict[int, Record]:
    """By model version id."""
    tally: Counter[tuple[int, str]] = Counter()
    for ballot in ballots:
        for version, mine in ((ballot.first, Choice.FIRST), (ballot.second, Choice.SECOND)):
            decided = ballot.choice in (Choice.FIRST, Choice.SECOND)
            tally[version, ("won" if ballot.choice == mine else "lost") if decided else ballot.choice] += 1
    return {
        version: Record(
            tally[version, "won"],
            tally[version, Choice.TIE],
            tally[version, "lost"],
            tally[version, Choice.NEITHER],
        )
        for version in contenders
    }


def agreement(ballots: Iterable[Ballot]) -> Agreement:
    """Each two people who voted on the same two answers are counted once."""
    by_pair: dict[tuple[int, int, int], list[str]] = defaultdict(list)
    for ballot in ballots:
        by_pair[ballot.case, ballot.first, ballot.second].append(ballot.choice)
    same = of = 0
    for choices in by_pair.values():
        for one, other in combinations(choices, 2):
            same += one == other
            of += 1
    return Agreement(same, of)


def left_preferred(ballots: Iterable[Ballot]) -> tuple[int, int]:
    """How often the left one was preferred, of the votes that preferred one: half of them, unless the side misleads."""
    left = of = 0
    for ballot in ballots:
        if ballot.choice in (Choice.FIRST, Choice.SECOND):
            better = ballot.first if ballot.choice == Choice.FIRST else ballot.second
            left += better == ballot.left
            of += 1
    return left, of
