"""Words as search knows them: lower case, without accents, of letters and digits. The index and what is looked for are cut alike."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

WORD: Final = re.compile(r"[^\W_]+")
LONGEST_WORD: Final = 80  # of the index; nobody types more


def words(text: str) -> list[str]:
    """ "GPT-5.1 Réal" is gpt, 5, 1, real."""
    lower = unicodedata.normalize("NFKD", text).lower()
    plain = "".join(c for c in lower if not unicodedata.combining(c))
    return [word[:LONGEST_WORD] for word in WORD.findall(plain)]


def run_together(parts: list[str]) -> Iterable[str]:
    """From each word on to the end without a gap, so that gpt4o finds GPT-4o and sonnet45 Claude Sonnet 4.5."""
    return ("".join(parts[start:])[:LONGEST_WORD] for start in range(len(parts) - 1))


def trigrams(word: str) -> list[str]:
    """Three letters each, with two blanks before and one behind: the beginning of a word weighs most."""
    padded = f"  {word} "
    return sorted({padded[i : i + 3] for i in range(len(padded) - 2)})
