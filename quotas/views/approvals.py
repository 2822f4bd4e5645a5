"""The queue of what waits for this person, why it does, and deciding on it one by one or together (RULES.md 12)."""

from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.given import written
from config.language import _, later, ngettext, spoken
from config.paging import with_query
from config.posted import posted_from
from config.refusals import Problem, Refusal
from quotas.crediting.telling import missing_unsaved
from quotas.models import Deal, Measure
from quotas.selectors import exports
from quotas.selectors.approval_queue import (
    LONGEST_FIRST,
    ORDERS,
    SAYS,
    Asked,
    Queue,
    Waiting,
    Why,
    places_of,
    queue_of,
    taken_by_policies,
)
from quotas.selectors.deals import Duplicate, Expected, complete, duplicates_of, expected_credit
from quotas.selectors.visibility import reps_for
from quotas.services.approving import (
    MOST_AT_ONCE,
    Decided,
    Decision,
    count_waiting_for,
    decide_deals,
)
from quotas.views import HtmxRequest, sales_user
from quotas.views.deal_history import Amendment, amendments

PAGE: Final = 50
SIZES: Final = (PAGE, MOST_AT_ONCE)
REFUSED: Final = "approvals_not_decided"  # in the session, until the queue has shown them once, with whether others were decided on
FILTERS: Final = ("team", "due", "why", "least")
ORDERED: Final = {
    "-waits": later("Oldest first"),
    "waits": later("Latest first"),
    "customer": later("By customer"),
    "-customer": later("By customer"),
    "owner": later("By owner"),
    "-owner": later("By owner"),
    "closed": later("By close date, the earliest first"),
    "-closed": later("By close date, the latest first"),
    "value": later("The smallest first, at the rates of the close dates"),
    "-value": later("The largest first, at the rates of the close dates"),
}
DONE: Final = {
    "approved": (
        later("is approved and its credit is posted"),
        later("are approved and their credit is posted"),
    ),
    "first_approved": (
        later("waits for its second approver now: nothing is credited yet"),
        later("wait for their second approver now: nothing is credited yet"),
    ),
    "returned": (later("is returned to its owner"), later("are returned to their owners")),
    "rejected": (later("is rejected"), later("are rejected")),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A deal or an amendment that waits; amendment says what would change."""

    deal: Deal
    waiting: Waiting
    amount_minor: int
    expected: Expected
    credit_minor: int
    reasons: list[str]
    duplicates: list[Duplicate]
    amendment: Amendment | None = None
    chosen: bool = False

    @property
    def why(self) -> list[tuple[str, str, str]]:
        """(label, what it means, tone) of each reason why it waits; that no policy covers it is said where nothing else is."""
        loud = (Why.SECOND, Why.LARGE, Why.LATE)
        shown = [why for why in self.waiting.why if why != Why.NO_POLICY] or self.waiting.why
        tones = {why: "warn" if why in loud else "" if why == Why.NO_POLICY else "muted" for why in shown}
        return [(spoken(why.label), SAYS[why], tones[why]) for why in shown]

    @property
    def value(self) -> str:
        """What its tick sends: the deal and the revision that is shown."""
        return f"{self.deal.pk}:{self.deal.revision}"


@require_safe
@login_required
def approvals(request: HtmxRequest) -> HttpResponseBase:
    user = _approver(request)
    if form := exporting.asked(request):
        now, measure = clock.now(), _measure()
        queue = places_of(user, at=now, **_how(request.GET))
        why = {place.deal_id: "; ".join(each.label for each in place.why) for place in queue.places}
        table = exports.approvals(why, measure, now)
        return exporting.answer(
            request, form, name="approvals", title="Approvals", table=table, total=queue.found
        )
    refused, others = request.session.pop(REFUSED, ([], False))
    return _page(request, user, refused=refused, others=others)


def _measure() -> Measure | None:
    """In which credit is told."""
    return Measure.objects.select_related("currency").order_by("position", "pk").first()


def _how(asked: QueryDict) -> dict[str, Any]:
    """How the address looks at the queue."""
    return {"due_after": settings.APPROVAL_REMINDER_DAYS, "asked": _asked(asked), "order": _order(asked)}


def _order(asked: QueryDict) -> str:
    sort = asked.get("sort", "")
    return sort if sort in ORDERS else LONGEST_FIRST


def _shown(user: User, asked: QueryDict, size: int) -> tuple[Queue, int]:
    """One page of the queue and its number: the last one, where the address names one behind it."""
    number, at = asked.get("page", "1"), clock.now()
    page = max(1, int(number)) if _is_number(number) else 1
    queue = queue_of(user, at=at, **_how(asked), first=(page - 1) * size, most=size)
    last = max(1, -(-queue.found // size))
    if page <= last:
        return queue, page
    return queue_of(user, at=at, **_how(asked), first=(last - 1) * size, most=size), last


def _asked(given: QueryDict) -> Asked:
    """What the address narrows the queue to; what nobody could have chosen is no page. Raises Http404."""
    team, why = given.get("team", ""), given.get("why", "")
    least = formats.whole_typed(given.get("least", ""))
    known = (not team or _is_number(team)) and (not why or why in Why.values)
    if not known or (least and not _is_number(least)):
        raise Http404
    return Asked(
        team=int(team) if team else None,
        due=given.get("due") == "1",
        why=why,
        least=int(least) if least else 0,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 16


def _page(
    request: HtmxRequest,
    user: User,
    *,
    refused: list[tuple[int, str, str]],
    others: bool = False,
    wrong: tuple[Problem, ...] = (),
    reason: str = "",
    chosen: frozenset[int] = frozenset(),
) -> HttpResponse:
    asked, measure = _asked(request.GET), _measure()
    together = request.GET.get("choose") == "all"  # whatever can be decided on at once, on one page
    size = MOST_AT_ONCE if together or request.GET.get("per") == str(MOST_AT_ONCE) else PAGE
    queue, page = _shown(user, request.GET, size)
    counted(request, queue.total)
    if together and not wrong:
        chosen = frozenset(row.deal.pk for row in queue.rows)
    rows = _rows(user, queue.rows, measure, chosen)
    under, by_people = taken_by_policies(user, at=clock.now())
    context: dict[str, Any] = {
        "rows": rows,
        "queue": queue,
        "found": queue.found,
        "sort": _order(request.GET),
        "ordered": ORDERED[_order(request.GET)],
        "asked": asked,
        "narrowed": any(request.GET.get(name) for name in FILTERS),
        "whys": [(why, queue.counts.get(why, 0), SAYS[why]) for why in Why if why in queue.counts],
        "measure": measure,
        "credit": sum(_new_credit(row, measure) for row in rows),
        "size": size,
        "sizes": SIZES,
        "together": together,
        "more": max(0, queue.found - len(rows)),
        "most": MOST_AT_ONCE,
        "first": (page - 1) * size + 1,
        "last": (page - 1) * size + len(rows),
        "previous": with_query(request.GET, page=str(page - 1)) if page > 1 else "",
        "next": with_query(request.GET, page=str(page + 1)) if page * size < queue.found else "",
        "under": under,
        "approved": under + by_people,
        "refused": refused,
        "others": others,
        "wrong": wrong,
        "reason": reason,
        "due_after": settings.APPROVAL_REMINDER_DAYS,
        "today": clock.today(),
        "may_delegate": user.has_role(Role.MANAGER, Role.COMP_ADMIN),
    }
    return render(request, "quotas/approvals.html", context, status=422 if wrong else 200)


def _rows(user: User, waiting: list[Waiting], measure: Measure | None, chosen: frozenset[int]) -> list[Row]:
    """In their order. A fixed number of queries, and three runs of the engine."""
    page = [each.deal for each in waiting]
    complete(page)
    expected = expected_credit(page, why=missing_unsaved)
    same = duplicates_of([deal for deal in page if deal.amended_at is None])
    proposed = amendments(
        page,
        Measure.objects.select_related("currency").in_bulk(),
        people=reps_for(user, clock.today()),
    )
    return [
        Row(
            deal=each.deal,
            waiting=each,
            amount_minor=each.minor,
            expected=expected[each.deal.pk],
            credit_minor=expected[each.deal.pk].by_measure.get(measure.pk, 0) if measure else 0,
            reasons=expected[each.deal.pk].reasons,
            duplicates=same.get(each.deal.pk, []),
            amendment=proposed.get(each.deal.pk),
            chosen=each.deal.pk in chosen,
        )
        for each in waiting
    ]


def _new_credit(row: Row, measure: Measure | None) -> int:
    """What approving it would add: of an amendment the difference."""
    if row.amendment is None:
        return row.credit_minor
    return sum(change.difference for change in row.amendment.credit if change.measure == measure)


@posted_from("quotas:approvals")
@login_required
def decide(request: HtmxRequest, decision: str) -> HttpResponse:
    """Approve, return or reject what was chosen, each deal by itself: what cannot be decided says why."""
    user = _approver(request)
    if decision not in set(Decision):
        raise Http404
    only = request.GET.get("only")  # the button of one row, whatever else is ticked
    chosen = _chosen([only] if only else request.POST.getlist("deal"))
    reason = "" if only else written(request.POST, "reason")
    back = reverse("quotas:approvals") + with_query(request.GET, only=None, choose=None)
    if not chosen:
        messages.warning(request, _("Choose at least one deal."))
        return redirect(back)
    try:
        done = decide_deals(
            decision=decision,
            deal_ids=list(chosen),
            by=user,
            at=clock.now(),
            reason=reason,
            revisions={pk: revision for pk, revision in chosen.items() if revision is not None},
        )
    except Refusal as refusal:
        return _page(
            request,
            user,
            refused=[],
            wrong=refusal.problems,
            reason=reason,
            chosen=frozenset(chosen),
        )
    _say(request, done)
    return redirect(back)


def _chosen(values: list[str]) -> dict[int, int | None]:
    """Deal to the revision that was shown, where the page said it; what is no number was not chosen here."""
    found: dict[int, int | None] = {}
    for value in values:
        deal, _rest, revision = value.partition(":")
        if _is_number(deal) and (not revision or _is_number(revision)):
            found[int(deal)] = int(revision) if revision else None
    return found


def _say(request: HttpRequest, done: list[Decided]) -> None:
    for outcome, (one, several) in DONE.items():
        deals = [each for each in done if each.outcome == outcome]
        if deals:
            said = (
                _("1 deal %(one)s.") % {"one": one}
                if len(deals) == 1
                else _("%(deals)s deals %(several)s.")
                % {"deals": formats.whole(len(deals)), "several": several}
            )
            messages.success(request, said)
    refused = [
        (each.deal_id, each.reference, each.problem.message)
        for each in done
        if each.outcome == "refused" and each.problem is not None
    ]
    if refused:
        count = len(refused)
        messages.error(
            request,
            ngettext(
                "%(count)s deal was not decided on: the page says why.",
                "%(count)s deals were not decided on: the page says why.",
                count,
            )
            % {"count": formats.whole(count)},
        )
        request.session[REFUSED] = refused, count < len(done)


def waiting_count(request: HttpRequest) -> int:
    """For the navigation and whatever else of a page says it: how many deals wait for this person. Asked once a request."""
    user = request.user
    if not isinstance(user, User) or not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        return 0
    if request not in _counted:
        _counted[request] = count_waiting_for(user, clock.today())
    return _counted[request]


def counted(request: HttpRequest, deals: int) -> None:
    """So many wait for this person: a page that has looked already spares its navigation the question."""
    _counted[request] = deals


_counted: Final[WeakKeyDictionary[HttpRequest, int]] = WeakKeyDictionary()


def _approver(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        raise Http404
    return user
