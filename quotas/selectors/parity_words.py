"""Words that every part of the parity report uses."""

from collections.abc import Sequence
from typing import Any

from quotas.models import ONE, ParityException, ParityVerdict


def verdict(covered: Sequence[bool]) -> ParityVerdict:
    """Of what was found: whether each is covered by a live exception."""
    if not covered:
        return ParityVerdict.CLEAN
    return ParityVerdict.EXCEPTED if all(covered) else ParityVerdict.REFUSED


def share(ppm: int) -> str:
    """1_100_000 is "110%"; as many decimals as it has."""
    whole, part = divmod(ppm, ONE // 100)
    return f"{whole:,}" + (f".{part:04d}".rstrip("0") if part else "") + "%"


def either(words: Sequence[str]) -> str:
    """a, b or c; of many the first three."""
    if len(words) > 4:
        return f"{', '.join(words[:3])} or one of {len(words) - 3} more"
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else "".join(words) or "none"


def exception_written(exception: ParityException) -> dict[str, Any]:
    """An exception as a report keeps it. Reads asked_by and approved_by: select_related them."""
    lower, upper = exception.effective.lower, exception.effective.upper
    return {
        "id": exception.pk,
        "reason": exception.reason,
        "starts": lower.isoformat() if lower else None,
        "ends": upper.isoformat() if upper else None,
        "asked_by": exception.asked_by.name,
        "approved_by": exception.approved_by.name if exception.approved_by else None,
        "approved_at": exception.approved_at.isoformat() if exception.approved_at else None,
    }
