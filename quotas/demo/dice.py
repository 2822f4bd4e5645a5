"""Chance that can be repeated: every part of the demo throws its own dice, so that one more throw here moves nothing there."""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A stream of throws that depends on its names alone."""

    def __init__(self, *names: object) -> None:
        self._random = random.Random("/".join(str(name) for name in names))  # noqa: S311 -- to be repeatable, not secret

    def part(self) -> float:
        """From 0 up to, never including, 1."""
        return self._random.random()

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def pick(self, things: Sequence[T]) -> T:
        return things[int(self._random.random() * len(things))]

    def weighted(self, things: Sequence[T], sums: Sequence[float]) -> T:
        """One of *things* by its running sum of weights."""
        return things[min(bisect(sums, self._random.random() * sums[-1]), len(things) - 1)]

    def several(self, things: Sequence[T], count: int) -> list[T]:
        """*count* different ones, or all there are."""
        left = list(things)
        taken: list[T] = []
        while left and len(taken) < count:
            taken.append(left.pop(int(self._random.random() * len(left))))
        return taken

    def around(self, middle: float, spread: float) -> float:
        """A positive number: its logarithm is normal, *spread* wide, around that of *middle*."""
        return middle * math.exp(self._random.gauss(0, spread))


def apportion(total: int, weights: Sequence[float], least: int = 0) -> list[int]:
    """Whole numbers in proportion to *weights* that add up to *total*, none below *least* (largest remainder)."""
    free = total - least * len(weights)
    if free < 0:
        raise ValueError(f"{total} cannot give {least} to each of {len(weights)}")
    whole = sum(weights)
    exact = [free * weight / whole for weight in weights]
    parts = [int(part) for part in exact]
    order = sorted(range(len(weights)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: free - sum(parts)]:
        parts[i] += 1
    return [least + part for part in parts]
