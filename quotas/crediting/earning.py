"""What credit earns: a function of the credit of a window. Exact integers, rounded once, half away from zero. RULES 16.

What a month earns is f(credit of the window so far) - f(credit of the window before it), and what is paid is what was
earned less what was paid already. So neither the order of credits nor how they were batched ever matters, and a
claw-back comes out by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from quotas.crediting.arithmetic import ONE_PPM, round_div, split

WINDOWS_A_YEAR = {"M": 12, "Q": 4, "H": 2, "Y": 1}


class Tier(NamedTuple):
    """From *starts_at* on this rate, in parts per million."""

    starts_at: int
    rate_ppm: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How credit pays.

    tiers         Rising, the first from 0.
    hundred       Credit at which one million of starts_at and threshold is reached: the quota. Where these are amounts
                  of credit themselves: one million.
    worth         (numerator, denominator): pay for one unit of credit at a rate of one. Target incentive / quota; for a
                  commission the exchange rate, 1 / 1 in the same currency.
    threshold     Below it nothing, from it on everything; in the unit of starts_at.
    whole_amount  The rate that is reached counts for everything.
    cap_minor     Most that a window pays.
    """

    tiers: tuple[Tier, ...]
    hundred: int
    worth: tuple[int, int] = (1, 1)
    threshold: int = 0
    whole_amount: bool = False
    cap_minor: int | None = None

    @property
    def edges(self) -> list[tuple[int, int]]:
        """(beginning of the tier in millionths of a unit of credit, rate)."""
        return [(tier.starts_at * self.hundred, tier.rate_ppm) for tier in self.tiers]


def earned(x: int, scale: Scale) -> int:
    """What *x* units of credit in a window earn, in minor units of pay. Nothing or less earns nothing."""
    if x <= 0 or scale.hundred <= 0:
        return 0
    reached = x * ONE_PPM
    if reached < scale.threshold * scale.hundred:
        return 0
    paid_ppm = 0
    if scale.whole_amount:
        rate = 0
        for start, of in scale.tiers:
            if reached < start * scale.hundred:
                break
            rate = of
        paid_ppm = reached * rate
    else:
        above, rate = 0, 0
        for start, of in scale.tiers:
            edge = start * scale.hundred
            if reached <= edge:
                break
            paid_ppm += (edge - above) * rate
            above, rate = edge, of
        paid_ppm += (reached - above) * rate
    times, per = scale.worth
    pay = round_div(paid_ppm * times, ONE_PPM * ONE_PPM * per)
    return pay if scale.cap_minor is None else min(pay, scale.cap_minor)


def by_month(credits: Sequence[int], scale: Scale) -> list[int]:
    """What each month of a window earns, given the credit of each in order. They add up to what the window earns."""
    before, so_far, found = 0, 0, []
    for credit in credits:
        so_far += credit
        now = earned(so_far, scale)
        found.append(now - before)
        before = now
    return found


def part_of_year(target_minor: int, window: str, number: int) -> int:
    """A window's part of a year's target incentive; the parts add up to it, odd units go to the earlier windows.

    window  Grain of the window, M, Q, H or Y.
    number  Its number in the year, from 1.
    """
    parts = WINDOWS_A_YEAR[window]
    return split(target_minor, [1] * parts)[number - 1]


@dataclass(frozen=True, slots=True)
class Band:
    """A part of the credit and what it pays, exact but for the rounding of the whole.

    starts, ends  Units of credit, rounded; ends is None for the last.
    credit        Of it in this band.
    """

    starts: int
    ends: int | None
    rate_ppm: int
    credit: int
    pays: int


def bands(x: int, scale: Scale) -> list[Band]:
    """*x* taken apart by tier, as a page shows it. Under whole_amount the tier that is reached has all of it."""
    ends = [after for _, (after, _) in pairwise(scale.edges)]
    found = []
    for (edge, rate), end in zip(scale.edges, [*ends, None], strict=True):
        reached = max(x, 0) * ONE_PPM
        if scale.whole_amount:
            inside = reached if reached >= edge and (end is None or reached < end) else 0
        else:
            inside = max(0, (reached if end is None else min(reached, end)) - edge)
        times, per = scale.worth
        found.append(
            Band(
                starts=round_div(edge, ONE_PPM),
                ends=None if end is None else round_div(end, ONE_PPM),
                rate_ppm=rate,
                credit=round_div(inside, ONE_PPM),
                pays=round_div(inside * rate * times, ONE_PPM * ONE_PPM * per),
            )
        )
    return found


def credit_needed(at: int, scale: Scale) -> int:
    """Units of credit at which *at*, in the unit of starts_at, is reached: the next whole one."""
    return -(-at * scale.hundred // ONE_PPM)


class Ahead(NamedTuple):
    """The next place at which more is paid: where the threshold or a tier begins.

    at       In the unit of starts_at.
    more     Units of credit that are missing.
    gain     What these would add to the pay of the window.
    rate_ppm From there on.
    """

    at: int
    more: int
    gain: int
    rate_ppm: int


def ahead(x: int, scale: Scale) -> Ahead | None:
    """What comes next from *x* on; None past the last tier, at the cap, or without a quota."""
    if scale.hundred <= 0:
        return None
    now = earned(x, scale)
    if scale.cap_minor is not None and now >= scale.cap_minor:
        return None
    places = sorted({scale.threshold, *(tier.starts_at for tier in scale.tiers)} - {0})
    for at in places:
        need = credit_needed(at, scale)
        if need > x:
            rate = next(rate for start, rate in reversed(scale.tiers) if start <= at)
            return Ahead(at, need - x, earned(need, scale) - now, rate)
    return None


def digest_form(scale: Scale) -> dict[str, Any]:
    """The scale as it is kept beside an entry, so that the entry can be worked out again from itself."""
    return {
        "tiers": [list(tier) for tier in scale.tiers],
        "threshold": scale.threshold,
        "whole_amount": scale.whole_amount,
        "cap": scale.cap_minor,
    }


def scale_of(worked_out: Mapping[str, Any]) -> Scale:
    """The scale of an entry, out of what is kept beside it."""
    kept = worked_out["scale"]
    return Scale(
        tiers=tuple(Tier(*tier) for tier in kept["tiers"]),
        hundred=worked_out["hundred"],
        worth=(worked_out["worth"][0], worked_out["worth"][1]),
        threshold=kept["threshold"],
        whole_amount=kept["whole_amount"],
        cap_minor=kept["cap"],
    )


def worked_out_again(worked_out: Mapping[str, Any]) -> int:
    """The amount that an entry must have by what is kept beside it: earned, less what was paid before."""
    if "scale" not in worked_out:
        return -int(worked_out["paid_before"])
    scale = scale_of(worked_out)
    return (
        earned(worked_out["credit"], scale)
        - earned(worked_out["credit_before"], scale)
        - int(worked_out["paid_before"])
    )


# --- draws ------------------------------------------------------------------------------------------------


class Drawn(NamedTuple):
    """What a month adds to the earnings as a draw, and what it takes back of earlier ones; neither is below nothing."""

    draw: int
    recovery: int


def drawn(earned_minor: int, draw_minor: int, balance: int) -> Drawn:
    """A month's draw, given what is earned in it.

    draw_minor  The least pay of the month; 0 without a draw.
    balance     What is still to be taken back of earlier months.
    """
    short = draw_minor - earned_minor
    if draw_minor and short > 0:
        return Drawn(short, 0)
    return Drawn(0, min(max(balance, 0), max(-short, 0)))


def total(amounts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums by currency, in the order of their codes."""
    found: dict[str, int] = {}
    for code, amount in amounts:
        found[code] = found.get(code, 0) + amount
    return dict(sorted(found.items()))
