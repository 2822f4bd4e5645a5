"""Whose offerings are seen, worked out from the lists themselves; nothing is recorded about anybody who looks.

The place of an offering in a list weighs 1 / log2(1 + place): the first weighs 1, the third a half, the hundredth 0.15.
The weights of a list add up to one. Equal places share what they take together.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from random import Random
from typing import Final

from django.db.models import QuerySet

from marketplace.models import Offering, TaskArea
from marketplace.selectors.recommender import Constraints, Field, Recommendation, rank
from marketplace.selectors.search import Criteria, ordered

SHUFFLES: Final = 20
SEED: Final = 7
Shares = dict[int, float]


@dataclass(frozen=True, slots=True)
class Exposure:
    """Shares of exposure by publisher id, each adding up to one or empty: in the list by name, by price, in recommendations."""

    by_name: Shares
    by_price: Shares
    recommended: Shares

    def of(self, publisher_id: int) -> float | None:
        """The mean of the lists that there are."""
        lists = [shares for shares in (self.by_name, self.by_price, self.recommended) if shares]
        return sum(shares.get(publisher_id, 0.0) for shares in lists) / len(lists) if lists else None


@dataclass(frozen=True, slots=True)
class ShuffleCheck:
    """Whether recommendations stay as they are when publishers' labels, and with them treatment, are dealt out anew.

    shuffles   How often; with random numbers that begin at *seed*, so that anybody gets the same.
    tasks, places   How much was compared each time.
    changed    Tasks whose order was another one in some shuffle; empty is as it should be.
    """

    shuffles: int
    seed: int
    tasks: int
    places: int
    changed: tuple[str, ...]

    @property
    def held(self) -> bool:
        return not self.changed


def exposure(sold: QuerySet[Offering], recommendations: Iterable[Recommendation], on: date) -> Exposure:
    """Of what is on sale, in the catalog's own orders and in *recommendations*. 2 queries."""
    lists = []
    for ordering in ("name", "input_price"):
        publishers = ordered(sold, ordering, Criteria(on=on)).values_list("publisher_id", flat=True)
        lists.append(shares_of([[publisher] for publisher in publishers]))
    by_task = [shares for shares in (_recommended(r) for r in recommendations) if shares]
    mean: Shares = defaultdict(float)
    for shares in by_task:
        for publisher, share in shares.items():
            mean[publisher] += share / len(by_task)
    return Exposure(lists[0], lists[1], dict(mean))


def shares_of(places: Sequence[Sequence[int]]) -> Shares:
    """Publisher ids in the order of a list; those at one place share what their places weigh."""
    weights: Shares = defaultdict(float)
    at = 0
    for tied in places:
        if len(tied) == 1:
            at += 1
            weights[tied[0]] += _weight(at)
            continue
        together = sum(_weight(at + offset) for offset in range(1, len(tied) + 1))
        at += len(tied)
        for publisher in tied:
            weights[publisher] += together / len(tied)
    total = math.fsum(weights.values())
    return {publisher: weight / total for publisher, weight in weights.items()} if total else {}


@lru_cache(maxsize=1 << 15)
def _weight(place: int) -> float:
    return 1 / math.log2(1 + place)


def _recommended(found: Recommendation) -> Shares:
    places: dict[int, list[int]] = defaultdict(list)
    for candidate in found.ranked:
        places[candidate.place or 0].append(candidate.offering.publisher_id)
    return shares_of([places[place] for place in sorted(places)])


def shuffle_check(
    field: Field, tasks: Sequence[TaskArea], *, shuffles: int = SHUFFLES, seed: int = SEED
) -> ShuffleCheck:
    """Deal the labels out anew so many times and rank again. No query."""
    before = {task.pk: _order(field, task) for task in tasks}
    ordered_ones = [task for task in tasks if before[task.pk]]
    dice = Random(seed)  # noqa: S311 -- repeatable on purpose
    changed: dict[str, None] = {}
    copies = [copy(offering) for offering in field.offerings]
    for _shuffle in range(shuffles):
        dealt = relabelled(field, dice, copies)
        for task in ordered_ones:
            if _order(dealt, task) != before[task.pk]:
                changed[task.name] = None
    return ShuffleCheck(
        shuffles,
        seed,
        len(ordered_ones),
        sum(map(len, before.values())),
        tuple(changed),
    )


def relabelled(field: Field, dice: Random, copies: Sequence[Offering] | None = None) -> Field:
    """The same offerings with publishers, and what depends on them, dealt out among them at random.

    copies   Of the field's offerings, to be written on: a copy takes longer than all else of a deal.
    """
    copies = copies or [copy(offering) for offering in field.offerings]
    labels = list(field.offerings)
    dice.shuffle(labels)
    treated = dict(field.treated)
    for dealt, label in zip(copies, labels, strict=True):
        dealt.publisher = label.publisher
        treated[dealt.pk] = field.treated[label.pk]
    return replace(field, offerings=tuple(copies), treated=treated)


def _order(field: Field, task: TaskArea) -> list[tuple[int | None, str]]:
    return [(c.place, c.offering.slug) for c in rank(field, task, Constraints()).ranked]
