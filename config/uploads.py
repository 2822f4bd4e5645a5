"""What is larger than may be uploaded is refused before anything of it is kept."""

from contextlib import suppress
from typing import Final

from django.http import HttpRequest, UnreadablePostError

SLACK: Final = 64 * 1024  # what a form adds to its file
PIECE: Final = 64 * 1024
MOST_LET_GO_BY: Final = 512 * 1024**2


def too_long(request: HttpRequest, most: int) -> bool:
    """The body is for a file of more than *most* bytes. What still comes is let go by in small pieces, so that the sender hears the answer."""
    given = request.META.get("CONTENT_LENGTH") or "0"
    length = int(given) if given.isdecimal() and len(given) < 16 else 0
    if length <= most + SLACK:
        return False
    with suppress(UnreadablePostError):  # the sender has given up
        for _ in range(min(length, MOST_LET_GO_BY) // PIECE + 1):
            if not request.read(PIECE):
                break
    return True
