"""Text that travels through a browser unread: a page's cursor knows amounts that its reader may not.

AES-SIV, so the same text seals to the same letters and a page's ETag holds. The key is derived from SECRET_KEY.
"""

import base64
import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from django.conf import settings


def seal(text: str, *, purpose: str) -> str:
    """Letters, digits, - and _ only. What is sealed for one purpose does not open for another."""
    return base64.urlsafe_b64encode(_cipher().encrypt(text.encode(), [purpose.encode()])).decode().rstrip("=")


def unseal(sealed: str, *, purpose: str) -> str:
    """Raises ValueError for whatever seal() has not made."""
    try:
        raw = base64.b64decode(
            sealed.encode("ascii") + b"=" * (-len(sealed) % 4), altchars=b"-_", validate=True
        )
        return _cipher().decrypt(raw, [purpose.encode()]).decode()
    except (InvalidTag, ValueError) as wrong:
        raise ValueError("not sealed here") from wrong


def _cipher() -> AESSIV:
    return AESSIV(hashlib.sha512(b"parity.sealed:" + settings.SECRET_KEY.encode()).digest())
