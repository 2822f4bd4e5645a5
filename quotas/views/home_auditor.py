"""The home of an auditor: whether the ledger is as it was sealed, whether two people were two, what changed last, a sample."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from accounts import trail
from accounts.models import AuditEvent
from config import clock
from config.models import Job, JobState
from config.pages import Homes
from quotas.selectors import audit as auditing_selectors
from quotas.selectors import closing, duties, periods
from quotas.selectors import home as selectors
from quotas.services import auditing
from quotas.views import signed_in, wants_part

SEALS: Final = 3
CLOSES: Final = 3
EVENTS: Final = 6
PACKS: Final = 3
DUTIES: Final = "duties-part"  # the part of the page that asks for itself


def auditor_home(request: HttpRequest, homes: Homes) -> HttpResponse:
    """A fixed number of queries. The proofs of duties pass over all approvals: the page asks for them apart."""
    signed_in(request)
    if _wants_duties(request):
        return render(request, "quotas/_home_duties.html", {"report": duties.report()})
    today = clock.today()
    verified = (
        Job.objects.filter(kind=auditing.VERIFICATION).select_related("requested_by").order_by("-pk").first()
    )
    newest = list(trail.events().order_by("-pk")[:EVENTS])
    context: dict[str, Any] = {
        "homes": homes,
        "today": today,
        "seals": auditing_selectors.newest_seals(SEALS),
        "closes": auditing_selectors.newest_closes(CLOSES),
        "verified": verified,
        "result": verified.result if verified and verified.state == JobState.DONE else {},
        "events": [_told(event) for event in newest],
        "packs": Job.objects.filter(kind=auditing.PACK)
        .select_related("requested_by")
        .order_by("-pk")[:PACKS],
        "months": selectors.months_at_work(today),
        "last": [closed for each in periods.Calendars().every if (closed := closing.last_closed(each.pk))],
        "period": periods.current_period(today),
    }
    return render(request, "quotas/home_auditor.html", context)


def _wants_duties(request: Any) -> bool:
    return wants_part(request) and request.htmx.target == DUTIES


def _told(event: AuditEvent) -> tuple[AuditEvent, str, str]:
    """With what its row is called, and the page of it."""
    return event, trail.called(event.table), trail.page_of(event)
