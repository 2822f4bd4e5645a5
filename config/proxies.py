"""Where a request comes from, as the proxies before the web server say it."""

import re
from typing import Final

from django.conf import settings
from django.http import HttpRequest

_WITHOUT_PORT: Final = re.compile(r"\[([^\]]*)\](?::\d+)?|([^:]*):\d+")


def address_of(request: HttpRequest) -> str:
    """The entry of the outermost proxy of ours; what stands before it in X-Forwarded-For anybody could have written."""
    direct = str(request.META.get("REMOTE_ADDR", ""))
    if not settings.PROXIES:
        return direct
    said = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    entry = said[-settings.PROXIES :][0].strip()[:100]
    found = _WITHOUT_PORT.fullmatch(entry)  # some write the port along, which is another one each time
    return (found[1] or found[2] if found else entry) or direct
