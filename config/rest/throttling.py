"""How much one caller may ask of one class of endpoints, and the headers that say how much is left.

Fixed windows of real time, counted in the cache. The cache of this first slice is each process's own, so a caller gets
the rate once per web process; with a shared cache it becomes exact without a change here.
"""

import math
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Final

from django.core.cache import cache
from django.http import HttpResponseBase
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from config.proxies import address_of

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports the throttles that the settings name

SECONDS: Final = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one caller has of one class: *quota* requests in *window* seconds, *left* of them until *reset* seconds from now."""

    name: str
    quota: int
    window: int
    left: int
    reset: int

    def describe(self, response: HttpResponseBase) -> None:
        """RateLimit-Policy and RateLimit as in the IETF's draft (structured fields)."""
        response["RateLimit-Policy"] = f'"{self.name}";q={self.quota};w={self.window}'
        response["RateLimit"] = f'"{self.name}";r={self.left};t={self.reset}'


def rate(text: str) -> tuple[int, int]:
    """ "300/min" as (300, 60). Raises ValueError for anything else."""
    quota, _slash, unit = text.partition("/")
    if unit not in SECONDS:
        raise ValueError(f"A rate is a number, a slash and one of {', '.join(SECONDS)}: not {text!r}.")
    return int(quota), SECONDS[unit]


class PerCallerThrottle(BaseThrottle):
    """By API key, else by user, else by address; reading and writing are counted apart. A rate of None is no limit."""

    _reset = 0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        name = getattr(view, "throttle_class_name", None) or ("read" if request.method in READS else "write")
        written = api_settings.DEFAULT_THROTTLE_RATES.get(name)
        if written is None:
            return True
        quota, window = rate(str(written))
        moment = time()  # a window measures real time, also where the business date stands still
        number = int(moment // window)
        self._reset = math.ceil((number + 1) * window - moment)
        place = f"rate:{name}:{self._caller(request)}:{number}"
        cache.add(place, 0, timeout=window + 1)
        try:
            used = cache.incr(place)
        except ValueError:  # it ended in between
            used = 1
        request.allowance = Allowance(name, quota, window, max(quota - used, 0), self._reset)  # type: ignore[attr-defined]
        return used <= quota

    def wait(self) -> float:
        return float(self._reset)

    def _caller(self, request: Request) -> str:
        if (key := getattr(request.auth, "prefix", None)) is not None:
            return f"key:{key}"
        if request.user.is_authenticated:
            return f"user:{request.user.pk}"
        return f"address:{address_of(request._request)}"
