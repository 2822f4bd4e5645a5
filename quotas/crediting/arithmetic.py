"""Exact integer arithmetic, the same as the engine's SQL: rounding half away from zero, f(-x) = -f(x)."""

from collections.abc import Sequence

ONE_PPM = 1_000_000


def round_div(numerator: int, denominator: int) -> int:
    """numerator / denominator, rounded half away from zero; the denominator is positive."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def mul_ppm(value: int, ppm: int) -> int:
    """*value* times parts per million."""
    return round_div(value * ppm, ONE_PPM)


def split(total: int, weights: Sequence[int]) -> list[int]:
    """Divide *total* by weight so that the parts add up to it exactly.

    total    Minor units; negative for a refund.
    weights  Not negative, in participant order, with a sum above zero: parts per million, or amounts for a cap cut.
    Returns  Minor units in the same order. Odd units go to the largest remainder, on a tie to the earlier participant.
    Source   quotas/RULES.md 4.2 (largest remainder).
    """
    sign, size, whole = (-1 if total < 0 else 1), abs(total), sum(weights)
    parts = [size * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % whole), i))
    for i in by_remainder[: size - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


def value_in_measure(
    amount: int,
    rate_e9: int | None,
    deal_exponent: int,
    measure_exponent: int,
    *,
    times: int = 1,
    per: int = 1,
) -> int:
    """A deal's minor units x times / per in the measure's, converted once and rounded once. No rate: the currencies are the same."""
    if rate_e9 is None:
        return round_div(amount * times, per)
    return round_div(
        amount * times * rate_e9 * 10 ** max(0, measure_exponent - deal_exponent),
        10**9 * 10 ** max(0, deal_exponent - measure_exponent) * per,
    )
