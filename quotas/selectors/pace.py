"""Where somebody should stand today, and where the way so far leads. Both say how they know."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import isqrt
from typing import Final

from config.formats import rounded

MILLION: Final = 1_000_000
WEEK: Final = 7
SHORTEST: Final = 3  # whole weeks that a spread can be read from
EIGHTY: Final = Fraction(
    12816, 10000
)  # of a normal distribution, 80 % lie within this many standard deviations


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a period has come on a day. Today counts as elapsed, because its deals do.

    elapsed   Days from the first to today; 0 before the period, all of them after it.
    days      Days of the whole period.
    """

    elapsed: int
    days: int

    @property
    def pace_ppm(self) -> int:
        """The linear share of quota that is due today, in parts per million."""
        return rounded(Fraction(self.elapsed * MILLION, self.days))

    @property
    def left(self) -> int:
        return self.days - self.elapsed


def progress(starts: date, ends: date, on: date) -> Progress:
    """The progress of the half-open span [starts, ends) on a day."""
    days = (ends - starts).days
    return Progress(min(max((on - starts).days + 1, 0), days), days)


def due(quota_minor: int, so_far: Progress) -> int:
    """What linear pace asks for today, in the quota's unit."""
    return rounded(Fraction(quota_minor * so_far.elapsed, so_far.days))


def run_rate(credited_minor: int, so_far: Progress) -> int | None:
    """Credit at the end of the period if each day left brings what each day so far did; None before the first day."""
    if so_far.elapsed == 0:
        return None
    return rounded(Fraction(credited_minor * so_far.days, so_far.elapsed))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where credited credit alone leads: pending and open deals are no part of it.

    middle_minor         The run-rate.
    low_minor high_minor The 80 % range, from the spread of the whole weeks so far; None while those are too few.
    method               The same in a sentence.
    """

    middle_minor: int
    low_minor: int | None
    high_minor: int | None
    method: str


def forecast(credited_minor: int, by_day: Sequence[int], so_far: Progress) -> Forecast | None:
    """Landing of what was credited.

    by_day   Credit of each elapsed day, first day first.
    Returns  None before the period's first day.
    """
    middle = run_rate(credited_minor, so_far)
    if middle is None:
        return None
    if so_far.left == 0:
        return Forecast(middle, middle, middle, "The period is over: this is what was credited.")
    weeks = [sum(by_day[at : at + WEEK]) for at in range(0, so_far.elapsed - WEEK + 1, WEEK)]
    if len(weeks) < SHORTEST:
        return Forecast(
            middle,
            None,
            None,
            f"Linear run-rate of {so_far.elapsed} days; no range before {SHORTEST} whole weeks.",
        )
    mean = Fraction(sum(weeks), len(weeks))
    variance = sum(((week - mean) ** 2 for week in weeks), Fraction(0)) / (len(weeks) - 1)
    half = rounded(EIGHTY * isqrt(rounded(variance * so_far.left / WEEK)))
    return Forecast(
        middle,
        min(middle, max(middle - half, min(credited_minor, middle))),
        middle + half,
        f"Linear run-rate of {so_far.elapsed} days; 80% range from the spread of {len(weeks)} whole weeks.",
    )
