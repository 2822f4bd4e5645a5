"""What a feature runs on, and what a move makes of it. Plain arithmetic in parts per million: no query, no price."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Final

from config.formats import rounded
from marketplace.models import Binding, BindingRole

ONE: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """One model version in a mix.

    share_ppm   Of the feature's traffic; a fallback has none.
    plan_id     As what it is bought; None: nothing sells it.
    stated      False where the binding does not state its share, and an equal part of what is left is taken.
    binding     The live statement that it goes back to; None for one that a move brings in.
    """

    version_id: int
    role: str
    share_ppm: int
    plan_id: int | None
    stated: bool = True
    binding: Binding | None = None

    @property
    def fallback(self) -> bool:
        return self.role == BindingRole.FALLBACK


@dataclass(frozen=True, slots=True)
class Mix:
    """What a feature runs on over [start, end)."""

    start: date
    end: date
    parts: tuple[Part, ...]

    @property
    def uncovered_ppm(self) -> int:
        """Traffic that no model takes."""
        return ONE - sum(part.share_ppm for part in self.parts)

    def part(self, version_id: int) -> Part | None:
        return next((part for part in self.parts if part.version_id == version_id), None)

    def says(self) -> tuple[tuple[int, str, int, int | None], ...]:
        """Version, role, share and plan of every part: two mixes that say the same are the same."""
        return tuple(sorted((p.version_id, p.role, p.share_ppm, p.plan_id or 0) for p in self.parts))


@dataclass(frozen=True, slots=True)
class Taken:
    """Traffic of a feature that went from one version to another. how: fallback, bound or qualified."""

    source_id: int
    target_id: int
    share_ppm: int
    how: str


def spread(total: int, weights: Mapping[int, int]) -> dict[int, int]:
    """*total* by weight, so that the parts add up to it; odd units go to the largest remainder, on a tie to the lower key.

    Weights that are all zero count as equal. Without any key the answer is empty.
    """
    if not weights:
        return {}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    whole = sum(weights.values())
    parts = {key: divmod(total * weight, whole) for key, weight in weights.items()}
    left = total - sum(quotient for quotient, _rest in parts.values())
    order = sorted(parts, key=lambda key: (-parts[key][1], key))
    extra = set(order[:left])
    return {key: quotient + (key in extra) for key, (quotient, _rest) in parts.items()}


def of_bindings(bindings: Sequence[Binding], bought_as: Mapping[int, int]) -> tuple[Part, ...]:
    """The parts of the bindings that hold on one day. Shares that are not stated divide evenly what the others leave."""
    takes = [b for b in bindings if b.role != BindingRole.FALLBACK]
    known = sum(b.share_ppm for b in takes if b.share_ppm is not None)
    left = spread(max(ONE - known, 0), {b.pk: 1 for b in takes if b.share_ppm is None})
    return tuple(
        Part(
            b.model_version_id,
            b.role,
            left.get(b.pk, b.share_ppm or 0),
            b.plan_id if b.plan_id is not None else bought_as.get(b.model_version_id),
            stated=b.share_ppm is not None,
            binding=b,
        )
        for b in sorted(bindings, key=lambda b: b.pk)
    )


def move_share(mix: Mix, source_id: int, target_id: int, share_ppm: int, plan_id: int | None) -> Mix:
    """Part of the source's own share goes over to the target. The same mix where the source takes no traffic.

    plan_id   As what the target is bought where it is not bound already.

    A source that is left without traffic goes; if it was the default, the target becomes it. A fallback that takes
    traffic becomes selectable.
    """
    source = mix.part(source_id)
    if source is None or source.fallback or not source.share_ppm:
        return mix
    moved = rounded(Fraction(source.share_ppm * share_ppm, ONE))
    if not moved:
        return mix
    parts = []
    for part in mix.parts:
        if part.version_id == source_id:
            if part.share_ppm > moved:
                parts.append(replace(part, share_ppm=part.share_ppm - moved))
        else:
            parts.append(part)
    parts = _given(parts, {target_id: moved}, {target_id: plan_id})
    if source.share_ppm == moved and source.role == BindingRole.DEFAULT:
        parts = [
            replace(p, role=BindingRole.DEFAULT.value) if p.version_id == target_id else p for p in parts
        ]
    return replace(mix, parts=tuple(parts))


def without(
    mix: Mix,
    gone: Callable[[int], bool],
    alternatives: Callable[[int], Sequence[tuple[int, int | None]]],
    alive: Callable[[int], bool],
) -> tuple[Mix, list[Taken]]:
    """The mix once every version for which *gone* holds has left; what nobody can take stays uncovered.

    alternatives   A version to (version, plan) of those qualified to take over from it, the best first.
    alive          Whether a version can be run in these days.

    Its traffic goes to the fallbacks that are left, in equal parts; without one to the other bound models, by their
    shares; without any of them to the qualified substitution of each version.
    """
    leaving = [part for part in mix.parts if gone(part.version_id)]
    if not leaving:
        return mix, []
    left = [part for part in mix.parts if not gone(part.version_id)]
    able = [part for part in left if alive(part.version_id)]
    fallbacks = {part.version_id: 1 for part in able if part.fallback}
    bound = {part.version_id: part.share_ppm for part in able if not part.fallback and part.share_ppm}
    taken: list[Taken] = []
    given: dict[int, int] = {}
    plans: dict[int, int | None] = {}
    for part in leaving:
        if fallbacks or bound:
            how, weights = ("fallback", fallbacks) if fallbacks else ("bound", bound)
            shares = spread(part.share_ppm, weights)
        else:
            how, shares = "qualified", {}
            for version_id, plan_id in alternatives(part.version_id):
                if alive(version_id) and not gone(version_id):
                    shares, plans[version_id] = {version_id: part.share_ppm}, plan_id
                    break
        for version_id, share in shares.items():
            if share:
                given[version_id] = given.get(version_id, 0) + share
                taken.append(Taken(part.version_id, version_id, share, how))
    parts = _given(left, given, plans)
    takes = [part for part in parts if not part.fallback and part.share_ppm]
    if takes and not any(part.role == BindingRole.DEFAULT for part in parts):
        first = max(takes, key=lambda part: (part.share_ppm, -part.version_id)).version_id
        parts = [replace(p, role=BindingRole.DEFAULT.value) if p.version_id == first else p for p in parts]
    return replace(mix, parts=tuple(parts)), taken


def _given(parts: Sequence[Part], shares: Mapping[int, int], plans: Mapping[int, int | None]) -> list[Part]:
    """With these shares on top; who had none becomes selectable, who was not there comes in."""
    found = []
    for part in parts:
        more = shares.get(part.version_id, 0)
        if more:
            role = BindingRole.SELECTABLE.value if part.fallback else part.role
            part = replace(part, role=role, share_ppm=part.share_ppm + more)
        found.append(part)
    there = {part.version_id for part in parts}
    found += [
        Part(version_id, BindingRole.SELECTABLE.value, share, plans.get(version_id))
        for version_id, share in shares.items()
        if version_id not in there
    ]
    return found


def cut(mixes: Sequence[Mix], days: Sequence[date]) -> list[Mix]:
    """The same mixes, cut at each of *days* that lies inside one."""
    found = []
    for mix in mixes:
        edges = [mix.start, *sorted({day for day in days if mix.start < day < mix.end}), mix.end]
        found += [replace(mix, start=start, end=end) for start, end in pairwise(edges)]
    return found
