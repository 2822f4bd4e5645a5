"""A board that nothing is kept of yet: the page says so at once, how far it has come, and is replaced by the board by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import reselect, reswap, retarget
from django_htmx.middleware import HtmxDetails

from config.language import _, ngettext
from quotas.models import KeptBoard, KeptGroup
from quotas.selectors.boards import STEPS
from quotas.selectors.kept import BeingWorkedOut, Look
from quotas.services import keeping

PART: Final = "making"


@dataclass(frozen=True, slots=True)
class Making:
    """How far a worker is with a board, as components/job.html shows a job. It is finished when its board is shown in its place.

    out_of  Steps, where a board has several; None where there is nothing to count.
    left    How long it usually takes; empty where that is not known.
    """

    state: str
    title: str
    so_far: int
    out_of: int | None
    started_at: datetime | None
    left: str
    failed: bool
    unit: str = ""
    error: str = ""
    finished: bool = False
    finished_at: datetime | None = None
    cancel_asked_at: datetime | None = None


def making(waits: BeingWorkedOut, *, at: datetime) -> Making:
    """Asks for the board, and says how far it is. 3 queries at most."""
    board = keeping.looked_at(waits.look, at=at)
    begun = board.begun_at if board else None
    counted = waits.look.group == KeptGroup.BOARD and begun is not None
    return Making(
        state="running" if begun else "waiting",
        title=_("Working out the board"),
        so_far=min(board.done, STEPS) if board and begun else 0,
        out_of=STEPS if counted else None,
        started_at=begun,
        left=_usually(waits.look) if begun else "",
        failed=bool(board and board.failed_at and not begun),
        unit=_("steps"),
    )


def _usually(look: Look) -> str:
    """What boards of this kind took. 1 query."""
    took = KeptBoard.objects.filter(group=look.group, view=look.reading.view).aggregate(ms=Max("took_ms"))[
        "ms"
    ]
    if not took:
        return ""
    seconds = max(1, -(-took // 1000))
    return ngettext("takes about %(n)s second", "takes about %(n)s seconds", seconds) % {"n": seconds}


def asks_again(request: HttpRequest) -> bool:
    """Whether it is the page itself that looks whether its board is there by now."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return bool(htmx) and htmx is not None and htmx.target == PART and not htmx.history_restore_request


def answer(request: HttpRequest, template: str, context: Mapping[str, Any]) -> HttpResponse:
    """The page that says that its board is being worked out; where it is the page that asks, no more than how far that is."""
    response = render(request, "quotas/_making.html" if asks_again(request) else template, dict(context))
    patch_vary_headers(response, ["HX-Request"])
    return response


def instead(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The whole page; where a waiting one has asked, in the place of its contents."""
    patch_vary_headers(response, ["HX-Request"])
    if not asks_again(request):
        return response
    return reswap(reselect(retarget(response, "#main"), "#main"), "outerHTML")
