"""Slows down whoever guesses passwords: failures are counted for an account and for where they come from.

Counted in the cache of the process, so with N web processes somebody has at most N times as many tries.
"""

import hashlib
from typing import Final

from django.core.cache import cache

WINDOW_SECONDS: Final = 15 * 60
FAILURES_OF_AN_ACCOUNT: Final = 10
FAILURES_FROM_AN_ADDRESS: Final = 50


def _places(email: str, address: str) -> dict[str, int]:
    account = hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:32]
    return {
        f"log-in:account:{account}": FAILURES_OF_AN_ACCOUNT,
        f"log-in:address:{address}": FAILURES_FROM_AN_ADDRESS,
    }


def blocked(email: str, address: str) -> bool:
    """Whether there were too many failures; the right password does not help then, or guessing would just go on."""
    return any(cache.get(place, 0) >= most for place, most in _places(email, address).items())


def failed(email: str, address: str) -> None:
    for place in _places(email, address):
        cache.add(place, 0, timeout=WINDOW_SECONDS)
        try:
            cache.incr(place)
        except ValueError:  # it ended in between
            cache.set(place, 1, timeout=WINDOW_SECONDS)


def succeeded(email: str, address: str) -> None:
    """Forgets the account's failures, not those of the address: there, other accounts are guessed."""
    cache.delete(next(iter(_places(email, address))))
