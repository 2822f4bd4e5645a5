"""How strong each contender is, from who did better than whom: the Bradley-Terry model, by hand.

A comparison says only better, level or worse within one ranking, so no two scales meet. To beat a strong contender says
more than to beat a weak one, and a contender of two rankings ties their fields together. Every contender is taken to have
won once and lost once against a middling one, which keeps who was compared little near the middle, and all that is
reached finite and unique: the order in which results are read cannot matter.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from marketplace.selectors.evidence import Contender, Ranking, Z

SWEEPS: Final = 500
RELAXED: Final = 1.6  # steps a little too long settle three times sooner here than exact ones
CLOSE: Final = 1e-9
DIGITS: Final = 4  # shares that agree so far are level


@dataclass(frozen=True, slots=True)
class Strength:
    """share: of all contenders, how many it would be expected to do better than, had it met each; with its 95 % range."""

    share: float
    low: float
    high: float


def strengths(rankings: Iterable[Ranking]) -> dict[Contender, Strength]:
    """By contender. The range counts a contender's own comparisons and takes the strengths of the others as they are."""
    return _remembered(_ordered(_met(rankings)))


def strengths_of_records(
    met: Mapping[Contender, Mapping[Contender, tuple[float, int]]],
) -> dict[Contender, Strength]:
    """The same from each contender's record against each other one: won (level counts half), and how often they met."""
    return _solved(_ordered(met))


Record = tuple[float, int]  # won, level counts half; and how often
Met = tuple[tuple[Contender, tuple[tuple[Contender, Record], ...]], ...]


def _ordered(met: Mapping[Contender, Mapping[Contender, Record]]) -> Met:
    return tuple((name, tuple(sorted(met[name].items()))) for name in sorted(met))


@lru_cache(maxsize=64)
def _remembered(met: Met) -> dict[Contender, Strength]:
    """Worked out once a process for the same records."""
    return _solved(met)


def _solved(met: Met) -> dict[Contender, Strength]:
    """What makes the records most likely."""
    number = {name: at for at, (name, _records) in enumerate(met)}
    others = [[(number[other], times) for other, (_won, times) in records] for _name, records in met]
    won = [math.fsum(record[0] for _other, record in records) for _name, records in met]
    times = [sum(record[1] for _other, record in records) for _name, records in met]
    logits = [2 * math.log((w + 1) / (n - w + 1)) for w, n in zip(won, times, strict=True)]
    for _sweep in range(SWEEPS):
        moved = 0.0
        for at, faced in enumerate(others):
            expected, bend = _expected(logits[at], faced, logits)
            step = max(-1.0, min(1.0, RELAXED * (won[at] + 1 - expected) / bend))
            logits[at] += step
            moved = max(moved, abs(step))
        if moved < CLOSE:
            break
    found = {}
    for at, (name, _records) in enumerate(met):
        reach = Z / math.sqrt(_expected(logits[at], others[at], logits)[1])
        found[name] = Strength(
            *(round(_share(logits[at] + by, at, logits), DIGITS) for by in (0.0, -reach, reach))
        )
    return found


def _expected(
    logit: float,
    faced: Sequence[tuple[int, int]],
    logits: Sequence[float],
    exp: Callable[[float], float] = math.exp,
) -> tuple[float, float]:
    """Wins to be expected, and how fast they grow with the logit; with the two comparisons against a middling contender."""
    chance = 1 / (1 + exp(-logit))
    expected, bend = 2 * chance, 2 * chance * (1 - chance)
    for other, times in faced:
        chance = 1 / (1 + exp(logits[other] - logit))
        expected += times * chance
        bend += times * chance * (1 - chance)
    return expected, bend


def _share(logit: float, own: int, logits: Sequence[float]) -> float:
    others = [1 / (1 + math.exp(theirs - logit)) for at, theirs in enumerate(logits) if at != own]
    return math.fsum(others) / len(others)


def _met(rankings: Iterable[Ranking]) -> dict[Contender, dict[Contender, Record]]:
    """Contender to its record against each that it was compared with."""
    faced: dict[Contender, dict[Contender, Record]] = defaultdict(dict)
    for ranking in sorted(rankings, key=lambda r: r.key):
        merits = sorted((name, ranking.merit(result)) for name, result in ranking.best.items())
        if len(merits) < 2:
            continue
        for one, own in merits:
            met = faced[one]
            for other, theirs in merits:
                if other != one:
                    won, times = met.get(other, (0.0, 0))
                    met[other] = (won + (1.0 if own > theirs else 0.5 if own == theirs else 0.0), times + 1)
    return faced
