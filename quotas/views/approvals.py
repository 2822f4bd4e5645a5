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
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Role, User
from config import clock, exporting, formats
from config.language import _, later, ngettext, spoken
from config.refusals import Problem, Refusal
from quotas.models import Deal, Measure
from quotas.selectors import exports
from quotas.selectors.approval_queue import (
    SAYS,
    Asked,
    Queue,
    Waiting,
    Why,
    deals_in,
    queue_of,
    taken_by_policies,
)
from quotas.selectors.deals import (
    Duplicate,
    Expected,
    complete,
    duplicates_of,
    expected_credit,
    with_facts,
)
from quotas.selectors.visibility import reps_for
from quotas.services.approving import (
    MOST_AT_ONCE,
    Decided,
    Decision,
    count_waiting_for,
    decide_deals,
)
from quotas.views import HtmxRequest, sales_user, with_query
from quotas.views.deal_history import Amendment, amendments

PAGE: Final = 50
SIZES: Final = (PAGE, MOST_AT_ONCE)
REFUSED: Final = "approvals_refused"  # in the session, until the queue has shown them once
FILTERS: Final = ("team", "due", "why", "least", "per")
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
        now = clock.now()
        queue = _queue(user, request.GET)
        measure = Measure.objects.select_related("currency").order_by("position", "pk").first()
        why = {row.deal.pk: "; ".join(each.label for each in row.why) for row in queue.rows}
        table = exports.approvals(deals_in(queue.rows), measure, now, why)
        return exporting.answer(request, form, name="approvals", title="Approvals", table=table)
    return _page(request, user, refused=request.session.pop(REFUSED, []))


def _queue(user: User, asked: QueryDict) -> Queue:
    return queue_of(user, at=clock.now(), due_after=settings.APPROVAL_REMINDER_DAYS, asked=_asked(asked))


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
    wrong: tuple[Problem, ...] = (),
    reason: str = "",
    chosen: frozenset[int] = frozenset(),
) -> HttpResponse:
    today, asked = clock.today(), _asked(request.GET)
    queue = _queue(user, request.GET)
    size = MOST_AT_ONCE if request.GET.get("per") == str(MOST_AT_ONCE) else PAGE
    number = request.GET.get("page", "1")
    pages = max(1, -(-len(queue.rows) // size))
    page = min(max(1, int(number)), pages) if _is_number(number) else 1
    measure = Measure.objects.select_related("currency").order_by("position", "pk").first()
    rows = _rows(user, queue.rows[(page - 1) * size : page * size], measure, chosen)
    under, by_people = taken_by_policies(user, at=clock.now())
    context: dict[str, Any] = {
        "rows": rows,
        "queue": queue,
        "found": len(queue.rows),
        "asked": asked,
        "narrowed": any(request.GET.get(name) for name in FILTERS if name != "per"),
        "whys": [(why, queue.counts.get(why, 0), SAYS[why]) for why in Why if why in queue.counts],
        "measure": measure,
        "together": sum(_new_credit(row, measure) for row in rows),
        "size": size,
        "sizes": SIZES,
        "first": (page - 1) * size + 1,
        "last": (page - 1) * size + len(rows),
        "previous": with_query(request.GET, page=str(page - 1)) if page > 1 else "",
        "next": with_query(request.GET, page=str(page + 1)) if page < pages else "",
        "under": under,
        "approved": under + by_people,
        "refused": refused,
        "wrong": wrong,
        "reason": reason,
        "due_after": settings.APPROVAL_REMINDER_DAYS,
        "today": today,
        "may_delegate": user.has_role(Role.MANAGER, Role.COMP_ADMIN),
    }
    return render(request, "quotas/approvals.html", context, status=422 if wrong else 200)


def _rows(user: User, waiting: list[Waiting], measure: Measure | None, chosen: frozenset[int]) -> list[Row]:
    """In their order. A fixed number of queries, and three runs of the engine."""
    known = {deal.pk: deal for deal in with_facts(deals_in(waiting))}
    page = [known[each.deal.pk] for each in waiting if each.deal.pk in known]
    complete(page)
    expected = expected_credit(page)
    same = duplicates_of([deal for deal in page if deal.amended_at is None])
    proposed = amendments(
        page,
        Measure.objects.select_related("currency").in_bulk(),
        people=reps_for(user, clock.today()),
    )
    return [
        Row(
            deal=known[each.deal.pk],
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
        if each.deal.pk in known
    ]


def _new_credit(row: Row, measure: Measure | None) -> int:
    """What approving it would add: of an amendment the difference."""
    if row.amendment is None:
        return row.credit_minor
    return sum(change.difference for change in row.amendment.credit if change.measure == measure)


@require_POST
@login_required
def decide(request: HtmxRequest, decision: str) -> HttpResponse:
    """Approve, return or reject what was chosen, each deal by itself: what cannot be decided says why."""
    user = _approver(request)
    if decision not in set(Decision):
        raise Http404
    only = request.GET.get("only")  # the button of one row, whatever else is ticked
    chosen = _chosen([only] if only else request.POST.getlist("deal"))
    reason = "" if only else request.POST.get("reason", "").replace("\x00", "").strip()
    back = reverse("quotas:approvals") + with_query(request.GET, only=None)
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
        request.session[REFUSED] = refused


def waiting_count(request: HttpRequest) -> int:
    """For the navigation and whatever else of a page says it: how many deals wait for this person. Asked once a request."""
    user = request.user
    if not isinstance(user, User) or not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        return 0
    if request not in _counted:
        _counted[request] = count_waiting_for(user, clock.today())
    return _counted[request]


_counted: Final[WeakKeyDictionary[HttpRequest, int]] = WeakKeyDictionary()


def _approver(request: HtmxRequest) -> User:
    user = sales_user(request)
    if not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        raise Http404
    return user
