"""Why something of sourcing is changed: asked for in one way, and kept as one line."""

from typing import Final

from config.given import tidy
from config.refusals import Problem

LONGEST_REASON: Final = 300


def clean(text: str) -> str:
    """On one line, without what PostgreSQL cannot hold."""
    return " ".join(tidy(text).split())


def reason_problems(reason: str, missing: str = "Say why: it stands beside the figure.") -> list[Problem]:
    """reason_missing, reason_too_long, or nothing. missing: what to say where there is none."""
    if not clean(reason):
        return [Problem("reason_missing", missing, "/reason")]
    if len(clean(reason)) > LONGEST_REASON:
        return [Problem("reason_too_long", f"A reason has at most {LONGEST_REASON} characters.", "/reason")]
    return []
