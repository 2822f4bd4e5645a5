"""Change sets: the queue of those that wait for review, and one of them with what it would change."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, formats
from config.language import _, later, spoken
from config.paging import paged
from config.posted import posted_from
from config.refusals import Invalid, NotFound, Problem, Refusal
from marketplace.extension import Impact, impacts_of
from marketplace.models import ChangeSet, ChangeSetState, PublisherMembership, Severity
from marketplace.selectors.change_sets import (
    SEES_ALL,
    TABS,
    change_sets_for,
    corrections_of,
    counts_by_tab,
    findings_of,
    holds_of,
    listed,
    waiting_for,
)
from marketplace.services import change_sets as service
from marketplace.services.change_sets import Found, differences, may_review, may_write
from marketplace.views import signed_in

ITEMS: Final = 25
SHOWN_HOLDS: Final = 12
FINDING: Final = re.compile(r"finding:/items/[0-9]{1,6}(/|$)")
S = ChangeSetState


@dataclass(frozen=True, slots=True)
class Step:
    """What somebody may do with a set. needs_note: a reason is asked for; day: a day may be given."""

    name: str
    text: str
    said: str
    service: Callable[..., ChangeSet]
    css: str = ""
    icon: str = ""
    needs_note: bool = False


STEPS: Final = {
    step.name: step
    for step in (
        Step(
            "submit", later("Submit for review"), later("{} is submitted."), service.submit, "primary", "send"
        ),
        Step("withdraw", later("Withdraw"), later("{} is withdrawn."), service.withdraw, "ghost", "undo-2"),
        Step("take-up", later("Take up the review"), later("You review {} now."), service.take_up, "", "eye"),
        Step("approve", later("Approve"), later("{} is approved."), service.approve, "primary", "check"),
        Step(
            *("request-changes", later("Request changes"), later("{} goes back to be mended.")),
            service.request_changes,
            icon="message-square",
            needs_note=True,
        ),
        Step(
            *("reject", later("Reject"), later("{} is rejected.")),
            service.reject,
            css="danger",
            icon="x",
            needs_note=True,
        ),
    )
}


def _reader(request: HttpRequest) -> User:
    """Who keeps the catalog, reads all, or acts for a publisher; for others there is no such page."""
    user = signed_in(request)
    if user.has_role(*SEES_ALL) or PublisherMembership.objects.filter(user=user).exists():
        return user
    raise Http404


@require_safe
@login_required
def change_sets(request: HttpRequest) -> HttpResponse:
    user = _reader(request)
    rows = change_sets_for(user)
    counts = counts_by_tab(rows)
    tab = request.GET.get("tab", "")
    if tab not in TABS:
        tab = next((name for name in TABS if counts[name]), "waiting")
    oldest_first = tab == "waiting"
    found = listed(rows.filter(state__in=TABS[tab][1])).order_by(
        "submitted_at" if oldest_first else "-pk", "pk"
    )
    page = paged(request, found)
    context = {
        "tab": tab,
        "tabs": [(name, spoken(label), counts[name]) for name, (label, _states) in TABS.items()],
        "page": page,
        "inside": user.has_role(*SEES_ALL),
        "keeps": user.has_role(Role.CATALOG_MANAGER),
        "user_pk": user.pk,
    }
    return render(request, "marketplace/change_sets.html", context)


@require_safe
@login_required
def change_set(request: HttpRequest, pk: int) -> HttpResponse:
    return _page(request, _found(_reader(request), pk))


@posted_from("marketplace:change-set", "pk")
@login_required
def act(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """Take one step; what is refused comes back with the page as it was filled in."""
    user = _reader(request)
    step = STEPS.get(name)
    if step is None:
        raise Http404
    seen = _found(user, pk)
    given: dict[str, Any] = {"change_set_id": pk, "by": user, "at": clock.now()}
    revision = request.POST.get("revision", "")
    if revision.isdecimal() and len(revision) < 10:
        given["expected_revision"] = int(revision)
    try:
        if name in ("approve", "request-changes", "reject", "withdraw"):
            given["note"] = request.POST.get("note", "")
        if name == "approve":
            given["apply_on"] = _day(request.POST.get("apply_on", ""))
        if name == "request-changes":
            given["findings"] = list(_said(request))
        done = step.service(**given)
    except NotFound:
        raise Http404 from None
    except Refusal as refused:
        return _page(request, seen, refused)
    said = step.said.format(done.reference)
    if done.state == S.SCHEDULED:
        said = _("%(done_reference)s is approved: it is applied on %(apply_on)s.") % {
            "done_reference": done.reference,
            "apply_on": formats.day(done.apply_on),
        }
    elif done.state == S.APPLIED:
        said = _("%(done_reference)s is approved and applied.") % {"done_reference": done.reference}
    messages.success(request, said)
    return redirect("marketplace:change-set", pk)


def _day(text: str) -> date | None:
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(Problem("invalid", _("Write a day, such as 2026-08-14."), "/apply_on")) from None


def _said(request: HttpRequest) -> Iterator[Found]:
    """The reviewer's findings: one text for each field that got one."""
    for name, text in request.POST.items():
        if FINDING.match(name) and isinstance(text, str) and text.strip():
            yield Found(name.removeprefix("finding:"), "reviewer", text.strip()[:500], Severity.ERROR)


def _found(user: User, pk: int) -> ChangeSet:
    found = listed(change_sets_for(user)).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _moved_by(seen: ChangeSet, user: User, today: date) -> tuple[list[tuple[str, Impact]], list[Impact]]:
    """What a set that is not applied yet would move of what is credited, each with the fact that does it; and what follows on all of it.

    2 queries, and 4 for each fact that credit goes by.
    """
    if not user.has_role(*SEES_ALL) or seen.applied_at is not None or seen.state not in service.OPEN:
        return [], []
    moved: list[tuple[str, Impact]] = []
    follows: dict[Impact, None] = {}
    for fact, change in corrections_of(seen, today).items():
        for impact in impacts_of(change, user, today):
            if impact.kind == "recredit":
                follows[impact] = None
            else:
                moved.append((service.FACTS.get(fact, fact), impact))
    return moved, list(follows)


def _page(request: HttpRequest, seen: ChangeSet, refused: Refusal | None = None) -> HttpResponse:
    """27 queries at most, whatever the number of items, and what _moved_by asks."""
    user = signed_in(request)
    today = clock.today()
    page = paged(request, seen.items.order_by("position"), size=ITEMS)
    shown = differences(seen, list(page.object_list), on=max(today, seen.apply_on or today))
    writes, reviews = may_write(seen, user), may_review(seen, user)
    holds = holds_of(seen)
    general = [f for f in findings_of(seen, []) if not f.pointer.startswith("/items/")]
    problems = refused.problems if refused is not None else ()
    moved, follows = _moved_by(seen, user, today)
    context = {
        "set": seen,
        "items": shown,
        "page": page,
        "general": general,
        "holds": holds[:SHOWN_HOLDS],
        "moved": moved,
        "follows": follows,
        "more_holds": max(0, len(holds) - SHOWN_HOLDS),
        "inside": user.has_role(*SEES_ALL),
        "today": today,
        "editable": writes and seen.state in service.EDITABLE,
        "may_submit": writes and seen.state in service.EDITABLE,
        "may_withdraw": writes and seen.state in service.OPEN,
        "may_take_up": reviews and seen.state == S.SUBMITTED,
        "may_decide": reviews and seen.state in service.UNDER_REVIEW,
        "may_hand_back": reviews and seen.state in (*service.UNDER_REVIEW, S.SCHEDULED),
        "own_review": user.has_role(Role.CATALOG_MANAGER)
        and not reviews
        and seen.state in service.UNDER_REVIEW,
        "problems": problems,
        "entered": request.POST if refused is not None else {},
        "said": {name: text for name, text in request.POST.items() if name.startswith("finding:")}
        if refused is not None
        else {},
    }
    status = refused.status if refused is not None else 200
    return render(request, "marketplace/change_set.html", context, status=status)


def waiting_count(request: HttpRequest) -> int:
    """For the navigation: how many sets wait for this reviewer."""
    user = request.user
    if not isinstance(user, User) or not user.has_role(Role.CATALOG_MANAGER):
        return 0
    return waiting_for(user)
