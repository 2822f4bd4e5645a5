"""ETags and what a caller says about them: If-None-Match saves sending a thing again, If-Match saves it from being overwritten.

An ETag is a digest of the very bytes that are sent, so it is strong and different callers who see different things get
different ones. The compressed form of the same bytes is another representation: its tag ends in -gzip.
"""

import hashlib
from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.middleware.gzip import GZipMiddleware
from django.utils.http import parse_etags

GZIPPED: Final = "-gzip"
COMPRESSED: Final = (
    "application/vnd.openxmlformats-",
    "application/zip",
)  # a second time costs and brings nothing


def etag(content: bytes) -> str:
    """Quoted, as it stands in the header."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def plain(tag: str) -> str:
    """The tag of the bytes before compression."""
    return f'{tag[: -len(GZIPPED) - 1]}"' if tag.endswith(f'{GZIPPED}"') else tag


def not_modified(request: HttpRequest, tag: str) -> HttpResponse | None:
    """304 if If-None-Match names *tag* in whatever encoding (weak comparison, RFC 9110 13.1.2)."""
    given = parse_etags(request.headers.get("If-None-Match", ""))
    known = next((g for g in given if plain(g.removeprefix("W/")) == tag or g == "*"), None)
    if known is None:
        return None
    answer = HttpResponseNotModified()
    answer["ETag"] = tag if known == "*" else known.removeprefix("W/")
    return answer


def asks_for_match(request: HttpRequest) -> bool:
    return "If-Match" in request.headers


def matches(request: HttpRequest, tag: str) -> bool:
    """Whether If-Match names *tag* (strong comparison: a weak tag never matches), or any by "*"."""
    given = parse_etags(request.headers.get("If-Match", ""))
    return "*" in given or any(plain(g) == tag for g in given)


class _Exactly(GZipMiddleware):
    """The same bytes for the same content; Django pads a page at random, which protects the secrets that pages have in them."""

    max_random_bytes = 0


class CompressWithStrongTags(GZipMiddleware):
    """Django's compression weakens ETags, and a weak one cannot be sent back in If-Match. A tag per encoding stays strong."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self._exactly = _Exactly(get_response)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.get("Content-Type", "").startswith(COMPRESSED):
            return response
        strong = response.get("ETag", "")
        if not strong.startswith('"'):
            return super().process_response(request, response)
        answer = self._exactly.process_response(request, response)
        if answer.get("Content-Encoding") == "gzip":
            answer["ETag"] = f'{strong[:-1]}{GZIPPED}"'
        return answer
