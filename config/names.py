"""Names as people write them, and what counts when two of them are compared."""


def tidy(text: str) -> str:
    """Nothing around it, and one space between its words."""
    return " ".join(text.split())


def fold(text: str) -> str:
    """What two ways of writing one name have in common: neither spaces nor letter case count."""
    return tidy(text).casefold()
