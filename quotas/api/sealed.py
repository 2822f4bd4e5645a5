"""Cursors that say nothing: the place of a leaderboard's row is the credit of whoever stands there."""

import base64
import hashlib
import hmac

from django.utils.crypto import salted_hmac

TAG = 16


def seal(text: str) -> str:
    """Unreadable without the server's key; the same for the same text, so that a page's ETag holds.

    A synthetic-IV construction from HMAC-SHA256 alone: the tag over the text is also the nonce of the key stream.
    """
    content = text.encode()
    tag = _mac("tag", content)[:TAG]
    return base64.urlsafe_b64encode(tag + _masked(content, tag)).decode().rstrip("=")


def unseal(sealed: str) -> str | None:
    """None for whatever seal() has not made."""
    try:
        raw = base64.b64decode(
            sealed.encode("ascii") + b"=" * (-len(sealed) % 4), altchars=b"-_", validate=True
        )
    except ValueError:
        return None
    tag, content = raw[:TAG], _masked(raw[TAG:], raw[:TAG])
    if len(raw) <= TAG or not hmac.compare_digest(_mac("tag", content)[:TAG], tag):
        return None
    return content.decode()


def _masked(content: bytes, nonce: bytes) -> bytes:
    stream = b"".join(
        _mac("stream", nonce + block.to_bytes(4, "big"))
        for block in range(-(-len(content) // hashlib.sha256().digest_size))
    )
    return bytes(a ^ b for a, b in zip(content, stream, strict=False))


def _mac(purpose: str, content: bytes) -> bytes:
    return salted_hmac(f"quotas.api.sealed.{purpose}", content, algorithm="sha256").digest()
