"""What the parity proof concludes from rules alone: which clause tells an offering from its twin, and whether two outcomes can ever differ.

Whether a rule wins is worked out by the engine's own SQL; nothing here does that again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from marketplace.models import CommercialPath
from quotas.crediting.engine import Twin
from quotas.models import ONE, RuleVersion

OTHER_PATH: Final = {
    str(CommercialPath.SOLD_BY_CLOUD): str(CommercialPath.MARKETPLACE),
    str(CommercialPath.MARKETPLACE): str(CommercialPath.SOLD_BY_CLOUD),
}
TELLING: Final = ("publishers", "offerings", "families", "paths")
"""Conditions in which an offering and its twin can differ; in everything else that rules look at they are alike."""
OF_THE_OFFERING: Final = (*TELLING, "task_areas", "pricing_forms")

T = TypeVar("T")


class Facts(NamedTuple):
    """What rules can know of an offering or its twin, by the name of the condition; None is known to no rule."""

    publishers: int | None
    offerings: int | None
    families: str | None
    paths: str


def of_twin(own: Facts, twin: Twin) -> Facts:
    """The twin's facts, as the CTE facts of desired.sql has them."""
    other = OTHER_PATH.get(own.paths, own.paths)
    if twin.kind == "path":
        return own._replace(paths=other)
    if twin.kind == "origin":
        return Facts(None, None, None, other)
    if twin.publishers is None or own.publishers not in twin.publishers:
        return own
    first, second = twin.publishers
    return Facts(second if own.publishers == first else first, None, None, own.paths)


def clauses(rule: RuleVersion, own: Facts, twin: Facts) -> list[str]:
    """The conditions by which this rule meets one of the two and not the other; none if it meets both or neither."""
    meets = [{name: _meets(rule, name, facts) for name in TELLING} for facts in (own, twin)]
    if all(meets[0].values()) == all(meets[1].values()):
        return []
    missed = meets[1] if all(meets[0].values()) else meets[0]
    return [name for name in TELLING if not missed[name]]


def _meets(rule: RuleVersion, name: str, facts: Facts) -> bool:
    named: Sequence[int | str] | None = getattr(rule, name)
    return named is None or getattr(facts, name) in named


class Worth(NamedTuple):
    """What a winner and SPIFFs make of any credit: equal if and only if no credit tells them apart.

    capped  (rule id, factor, cap) of a winner with a cap. The rule too: two rules with the same cap limit a deal twice.
    whole   How many times the credit itself.
    parts   Factors that are rounded apart, in parts per million.
    """

    capped: tuple[int, int, int] | None
    whole: int
    parts: tuple[int, ...]


def worth(winner: RuleVersion | None, spiffs: Sequence[RuleVersion]) -> Worth:
    capped, factors = None, [spiff.factor_ppm for spiff in spiffs]
    if winner is not None and winner.cap_minor is not None:
        if winner.factor_ppm and winner.cap_minor:
            capped = (winner.rule_id, winner.factor_ppm, winner.cap_minor)
    elif winner is not None:
        factors += [ONE, winner.factor_ppm - ONE]
    whole, parts = 0, Counter[int]()
    for factor in factors:
        times, rest = divmod(factor, ONE) if factor > 0 else (0, factor)
        if rest == -ONE:
            times, rest = -1, 0
        whole += times
        if rest and parts[-rest]:
            parts[-rest] -= 1  # what one adds the other takes, rounded alike
        elif rest:
            parts[rest] += 1
    return Worth(capped, whole, tuple(sorted(parts.elements())))


def separates(named: Sequence[T], sides: Sequence[Mapping[int, Sequence[T]]]) -> tuple[int, int] | None:
    """How many offerings of either side have one of *named*, if that tells the sides apart: some of one and none of the other.

    sides  Per side, offering id to what it has: its task areas, its plans' pricing forms, its publisher ...
    """
    wanted = set(named)
    first, second = (sum(not wanted.isdisjoint(has) for has in side.values()) for side in sides)
    apart = (first == 0) != (second == 0)
    return (first, second) if apart and all(sides) else None
