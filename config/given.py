"""What a reader gave, in an address or in a form: without what PostgreSQL cannot hold, and without the spaces round it."""

from collections.abc import Mapping


def tidy(text: object) -> str:
    """The text of *text*, without zero bytes and trimmed; nothing for None."""
    return "" if text is None else str(text).replace("\x00", "").strip()


def given(asked: Mapping[str, str], name: str, longest: int = 100) -> str:
    """One parameter as it may be looked for: tidy and of bearable length. Nothing where it is missing."""
    return tidy(asked.get(name))[:longest]


def written(asked: Mapping[str, str], name: str) -> str:
    """One text as it may be kept: tidy and whole, because whoever keeps it says how long it may be. Nothing where it is missing."""
    return tidy(asked.get(name))
