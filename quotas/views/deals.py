"""Deals: the list, one deal with its history and credit, and what may be done with it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import calls, clock, exporting, formats
from config.given import given, written
from config.language import _, later, spoken
from config.ordering import Orders, Page
from config.posted import posted_from
from config.refusals import NotFound, Problem, Refusal
from marketplace.models import Currency
from quotas.crediting.telling import missing, missing_unsaved
from quotas.forms import minor
from quotas.models import (
    ENDED,
    CreditEntry,
    Deal,
    DealEvent,
    DealKind,
    DealLine,
    DealState,
    DealVersion,
    Measure,
    Period,
    Rep,
    UncreditedLine,
)
from quotas.selectors import adjustments, exports, periods
from quotas.selectors.deals import (
    Counted,
    Criteria,
    Duplicate,
    complete,
    counted,
    credit_of,
    duplicates_of,
    expected_credit,
    latest_versions,
    narrowed,
    refunds_of,
    with_facts,
    with_facts_of,
)
from quotas.selectors.finding import Word, looked_up, readings
from quotas.selectors.visibility import (
    SEES_EVERYTHING,
    calendars_of,
    deals_for,
    entries_for,
    may_log_for,
    publisher_of,
    rep_of,
    reps_for,
)
from quotas.services import approving, booking
from quotas.services.booking import EDITABLE
from quotas.views import HtmxRequest, sales_user, wants_part
from quotas.views.deal_history import amendments, timeline

STATES: Final = (
    DealState.DRAFT,
    DealState.SUBMITTED,
    DealState.RETURNED,
    DealState.APPROVED,
    DealState.REJECTED,
    DealState.CANCELLED,
)


BY_CLOSING: Final = Orders(DealVersion, "closed", closed=("close_date", "deal_id"))
MOST_COUNTED: Final = 5_000  # of what a search finds
ORDERS: Final = Orders(
    Deal,
    filled=(exports.CLOSED,),
    closed=(exports.CLOSED,),
    customer=("customer__name",),
    owner=("owner__name",),
)


# --- the list ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """A deal as the list shows it. For a partner: his own lines, and no names.

    amount_minor, value_minor   As entered or metered; as billed, of consumption whose bill is known.
    """

    deal: Deal
    lines: Sequence[DealLine]
    amount_minor: int
    value_minor: int
    credit: Sequence[tuple[Measure, int]]

    @property
    def first(self) -> DealLine | None:
        return self.lines[0] if self.lines else None


@require_safe
@login_required
@vary_on_headers("HX-Request")
def deals(request: HtmxRequest) -> HttpResponseBase:
    user = sales_user(request, Role.PARTNER)
    today = clock.today()
    publisher = _only_publisher(user)
    names = publisher is None
    me = rep_of(user)
    criteria = _criteria(request.GET, me.pk if me else None, names=names)
    whose = Rep.objects.filter(slug=criteria.rep).first() if criteria.rep else None
    entries = entries_for(user, today)
    if whose is not None:
        entries = entries.filter(rep=whose)
    visible = deals_for(user, today)
    order = ORDERS.of(request.GET, free=names)
    words, read_as = _meant(visible, criteria, publisher)
    found = narrowed(visible, criteria, words=words, names=names)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=" ".join(filter(None, ["deals", str(criteria.period or ""), request.GET.get("state", "")])),
            title="Deals",
            table=exports.deals(found, entries=entries, publisher=publisher, order=order.fields),
            total=found.count(),
        )
    # What nearly every deal meets is not counted, and what is searched for only to a bound.
    uncounted = bool(words) and all(word.dense for word in words)
    counts = (
        None
        if uncounted
        else counted(
            narrowed(visible, criteria, words=words, but_state=True, names=names),
            MOST_COUNTED if words else None,
        )
    )
    page = (
        _by_closing(request, found)
        if exports.CLOSED in order.paths
        else order.page_of(found, with_facts_of())
    )
    complete(page.rows)
    credit = credit_of([deal.pk for deal in page.rows], entries) if names else {}
    context: dict[str, Any] = {
        "rows": [_row(deal, publisher, credit.get(deal.pk, ())) for deal in page.rows],
        "total": _total(counts, criteria)
        if counts and not counts.more
        else None
        if page.previous or page.next
        else len(page.rows),
        "chips": _chips(counts, criteria, names=names),
        "read_as": read_as,
        "chosen": "held" if criteria.held else "amended" if criteria.amended else criteria.state,
        "criteria": criteria,
        "whose": whose,
        "choices": _periods(user, criteria.period),
        "names": names,
        "me": me,
        "scopes": me is not None and user.has_role(Role.MANAGER, *SEES_EVERYTHING),
        "may_log": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
        "today": today,
    } | page.context
    if wants_part(request) and request.htmx.target == "deals":
        return render(request, "quotas/deals.html#list", context)
    context["call"] = calls.reading(
        request,
        reverse("deal-list"),
        {
            "state": criteria.state,
            "amended": "true" if criteria.amended else "",
            "period": criteria.period.name if criteria.period else "",
            "source": criteria.source,
        },
    )
    return render(request, "quotas/deals.html", context)


def _by_closing(request: HtmxRequest, found: QuerySet[Deal]) -> Page:
    """Versions have an index by the day on which their deal closes; deals are read once their place is known. 2 queries."""
    page = BY_CLOSING.of(request.GET).page(latest_versions(found))
    known = {each.pk: each for each in with_facts_of([version.deal_id for version in page.rows])}
    return replace(page, rows=[known[version.deal_id] for version in page.rows])


def _meant(visible: QuerySet[Deal], criteria: Criteria, publisher: int | None) -> tuple[list[Word], str]:
    """What the words of a search mean, and how they were read where a misspelt one found nothing. 2 queries, 4 to 15 where something is misspelt."""
    words = looked_up(criteria.words, publisher=publisher)
    for reading in readings(words):
        meant = looked_up(reading, publisher=publisher)
        if narrowed(visible, criteria, words=meant, but_state=True, names=publisher is None).exists():
            return meant, reading
    return words, ""


def _total(counts: Counted, criteria: Criteria) -> int:
    if criteria.held:
        return counts.held
    if criteria.amended:
        return counts.amended
    return counts.by_state.get(criteria.state, 0) if criteria.state else counts.all


def _chips(counts: Counted | None, criteria: Criteria, *, names: bool) -> list[tuple[str, str, int | None]]:
    """(state, label, how many): of what is not counted every state, without a number."""
    exact = counts is not None and not counts.more
    known = counts if counts is not None and exact else Counted({}, 0, 0)
    chips = [("", _("All"), known.all if exact else None)]
    chips += [
        (state.value, spoken(state.label), known.by_state.get(state.value, 0) if exact else None)
        for state in STATES
        if not exact or known.by_state.get(state.value)
    ]
    if names and (known.held or criteria.held):
        chips.append(("held", _("Held"), known.held if exact else None))
    if names and (known.amended or criteria.amended):
        chips.append(("amended", _("Amendment waits"), known.amended if exact else None))
    return chips


def _criteria(asked: Mapping[str, str], me: int | None, *, names: bool) -> Criteria:
    """What the address narrows the list to. Without names nothing that would let a partner find one out by trying."""
    state, period = asked.get("state", ""), None
    if state and state not in (*DealState.values, *(("held", "amended") if names else ())):
        raise Http404
    if name := given(asked, "period"):
        period = periods.period_named(name)
        if period is None:
            raise Http404
    own = me if asked.get("whose") == "mine" else None
    return Criteria(
        state=state if state in DealState.values else "",
        held=state == "held",
        amended=state == "amended",
        period=period,
        words=given(asked, "q"),
        rep=given(asked, "rep") if names else "",
        source=given(asked, "source") if names else "",
        own_rep=own,
    )


def _periods(user: User, chosen: Period | None) -> list[Period]:
    on = clock.today()
    every = reversed(periods.all_periods(calendars_of(user, on)[::-1]))
    return [p for p in every if (p.grain in "QY" and p.starts <= on) or p == chosen]


def _row(deal: Deal, publisher: int | None, credit: Sequence[tuple[Measure, int]] = ()) -> Row:
    lines = [line for line in deal.in_force.lines.all() if publisher in (None, line.offering.publisher_id)]
    return Row(
        deal,
        lines,
        sum(line.amount_minor for line in lines),
        sum(line.value_minor for line in lines),
        credit,
    )


def _only_publisher(user: User) -> int | None:
    """The publisher that limits what a partner sees, whatever else he is; None for everybody who sells."""
    return None if user.has_role(*SEES_EVERYTHING) else publisher_of(user)


# --- one deal ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """Something this person may do with the deal now.

    asks  What it does; said in the dialog that asks why. Without it there is no dialog.
    form  The template of what is asked.
    """

    name: str
    text: str
    icon: str
    css: str = ""
    asks: str = ""
    form: str = "quotas/_reason_form.html"

    @property
    def needs_reason(self) -> bool:
        return bool(self.asks)


@dataclass
class Entries:
    """The ledger's entries of a deal in one measure, newest posting last."""

    measure: Measure
    entries: list[CreditEntry] = field(default_factory=list)
    reversed_by: dict[int, int] = field(default_factory=dict)

    @property
    def net_minor(self) -> int:
        return sum(entry.amount_minor for entry in self.entries)


ACTIONS: Final[Mapping[str, Action]] = {
    action.name: action
    for action in (
        Action("submit", later("Submit"), icon="send", css="primary"),
        Action("approve", later("Approve"), icon="check", css="primary"),
        Action(
            "return",
            later("Return"),
            icon="undo-2",
            asks=later("It goes back to its owner to be mended, with your reason."),
        ),
        Action(
            "reject",
            later("Reject"),
            icon="x",
            css="danger",
            asks=later("It is turned down for good, with your reason."),
        ),
        Action(
            "hold",
            later("Hold"),
            icon="pause",
            asks=later("Its credit leaves attainment until it is released."),
        ),
        Action("release", later("Release"), icon="play"),
        Action("take-back", later("Take back"), icon="undo-2"),
        Action("withdraw", later("Withdraw the amendment"), icon="undo-2"),
        Action(
            "cancel-part",
            later("Cancel a part"),
            icon="scissors",
            asks=later(
                "Say what is left of each line. What is cancelled loses its credit at once, in the deal's own split."
            ),
            form="quotas/_deal_part_form.html",
        ),
        Action(
            "cancel",
            later("Cancel deal"),
            icon="ban",
            css="danger",
            asks=later("It is taken out. Credit that was posted is reversed exactly, entry by entry."),
        ),
    )
}


OF_AMENDMENTS: Final[Mapping[str, Action]] = {
    "approve": Action("approve", later("Approve the amendment"), icon="check", css="primary"),
    "reject": Action(
        "reject",
        later("Reject the amendment"),
        icon="x",
        css="danger",
        asks=later("What stands goes on standing. Whoever proposed it reads your reason."),
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A line of which a part may be cancelled, and what is entered as left of it."""

    line: DealLine
    remaining: str


@dataclass(frozen=True, slots=True)
class RefundShown:
    deal: Deal
    version: DealVersion
    amount_minor: int


def _refund(deal: Deal) -> RefundShown:
    version = deal.in_force if deal.state == DealState.APPROVED else deal.latest
    return RefundShown(deal, version, sum(line.amount_minor for line in version.lines.all()))


def _plain(amount_minor: int, currency: Currency) -> str:
    return formats.entered(Decimal(amount_minor).scaleb(-currency.exponent), currency.exponent, grouped=True)


@require_safe
@login_required
@vary_on_headers("HX-Request")
def deal(request: HtmxRequest, pk: int) -> HttpResponse:
    user = sales_user(request, Role.PARTNER)
    return _deal_page(request, user, pk, asked=request.GET.get("do", ""))


def _deal_page(
    request: HtmxRequest,
    user: User,
    pk: int,
    *,
    asked: str = "",
    wrong: Sequence[Problem] = (),
    reason: str = "",
    remaining: Mapping[int, str] | None = None,
) -> HttpResponse:
    today = clock.today()
    found = (
        with_facts(deals_for(user, today).filter(pk=pk))
        .select_related("submitted_by", "decided_by", "created_by")
        .first()
    )
    if found is None:
        raise Http404
    complete([found])
    publisher = _only_publisher(user)
    row = _row(found, publisher)
    actions = _actions(user, found) if publisher is None else []
    context: dict[str, Any] = {
        "deal": found,
        "version": found.in_force,
        "row": row,
        "names": publisher is None,
        "actions": actions,
        "may_edit": publisher is None
        and found.state in EDITABLE
        and may_log_for(user, found.owner_id, today),
        "asked": next((action for action in actions if action.name == asked and action.needs_reason), None),
        "may_amend": publisher is None
        and found.state == DealState.APPROVED
        and found.in_force.kind != DealKind.CONSUMPTION
        and may_log_for(user, found.owner_id, today),
        "wrong": wrong,
        "reason": reason,
        "parts": [
            Part(
                line, (remaining or {}).get(line.line_no, _plain(line.amount_minor, found.in_force.currency))
            )
            for line in row.lines
        ],
        "next": _next(request, ""),
        "may_log": user.has_role(Role.REP, Role.MANAGER),
        "duplicates": [],
    }
    if publisher is None:
        events = list(found.events.select_related("by", "version").order_by("id"))
        credit = _credit(user, found)
        given = list(found.approvals.exclude(on_behalf_of=None).select_related("on_behalf_of"))
        steps = timeline(found, events, [entry for measured in credit for entry in measured.entries], given)
        context |= {
            "remark": remark_of(found, events),
            "timeline": steps,
            "held_by": next((step for step in reversed(steps) if step.action == "held"), None)
            if found.held
            else None,
            "credit": credit,
            "refunds": [_refund(refund) for refund in refunds_of(found.pk)]
            if found.credited_version_id
            else [],
            "gaps": missing(_gaps(user, found)),
            "adjustments": adjustments.about(found, user, today),
            "may_dispute": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN)
            and found.state in (DealState.APPROVED, DealState.CANCELLED),
            "partial": not user.has_role(*SEES_EVERYTHING),
        }
        if found.state in (*EDITABLE, DealState.SUBMITTED):
            same = duplicates_of([found]).get(found.pk, [])
            context |= {
                "expected": _expected(user, found),
                "duplicates": same,
                "readable": may_open(user, same),
            }
        if found.amended_at is not None:
            measures = Measure.objects.select_related("currency").in_bulk()
            context["amendment"] = amendments([found], measures, people=reps_for(user, today))[found.pk]
        if approving.waits(found):
            approvers = approving.Approvers([found], today)
            deciders = approvers.of(found)
            two = approvers.two.get(found.pk)
            context |= {
                "two": two,
                "first_approver": User.objects.get(pk=two.first_by) if two and two.first_by else None,
            }
            context["deciders"] = list(User.objects.filter(pk__in=deciders).order_by("name", "pk")[:3])
    if wants_part(request) and request.htmx.target == "drawer":
        return render(request, "quotas/_deal_review.html", context)
    return render(request, "quotas/deal.html", context, status=422 if wrong else 200)


def _credit(user: User, found: Deal) -> list[Entries]:
    """What this person may see of the deal's entries, by measure. 1 query."""
    entries = list(
        entries_for(user, clock.today())
        .filter(deal=found)
        .select_related("rep", "rule_version", "posting", "measure__currency", "posting_period")
        .order_by("id")
    )
    undone = {entry.reverses_id: entry.pk for entry in entries if entry.reverses_id}
    shown: dict[int, Entries] = {}
    for entry in entries:
        shown.setdefault(entry.measure_id, Entries(entry.measure, reversed_by=undone)).entries.append(entry)
    return sorted(shown.values(), key=lambda each: (each.measure.position, each.measure.pk))


def remark_of(found: Deal, events: Sequence[DealEvent] | None = None) -> DealEvent | None:
    """With what it came back or was turned down: it stands until the deal is handed in again, however often it is edited. 1 query without events."""
    if found.state not in (DealState.RETURNED, DealState.REJECTED):
        return None
    if events is None:
        events = list(found.events.filter(action=found.state).select_related("by").order_by("id"))
    last = next((event for event in reversed(events) if event.action == found.state), None)
    return last if last is not None and last.reason else None


def may_open(user: User, same: Iterable[Duplicate]) -> frozenset[int]:
    """Those of them that this person may open. 1 query, none without any."""
    found = {each.deal_id for each in same}
    return (
        frozenset(deals_for(user, clock.today()).filter(pk__in=found).values_list("pk", flat=True))
        if found
        else frozenset()
    )


def _gaps(user: User, found: Deal) -> list[UncreditedLine]:
    """Why lines earned nothing, except what is another rep's own business."""
    gaps = list(found.uncredited_lines.select_related("measure", "rep").order_by("line_no", "measure", "rep"))
    if user.has_role(Role.MANAGER, *SEES_EVERYTHING):
        return gaps
    me = rep_of(user)
    return [gap for gap in gaps if gap.rep_id is None or (me is not None and gap.rep_id == me.pk)]


def _expected(user: User, found: Deal) -> dict[str, Any]:
    """As the form's estimate said it: without overlay credit of reps whose numbers this person may not see."""
    expected = expected_credit([found], seen_by=user, on=clock.today(), why=missing_unsaved)[found.pk]
    measures = Measure.objects.select_related("currency").in_bulk(expected.by_measure)
    return {
        "amounts": [(measures[pk], amount) for pk, amount in sorted(expected.by_measure.items())],
        "reasons": expected.reasons,
    }


def _actions(user: User, found: Deal) -> list[Action]:
    """What may be done now, by whom; the services refuse the rest whatever this says."""
    today = clock.today()
    allowed: list[str] = []
    if found.state in EDITABLE and may_log_for(user, found.owner_id, today):
        allowed.append("submit")
    if booking.may_recall(user, found, today):
        allowed.append("take-back")
    if approving.may_approve(user, found, today):
        allowed += ["approve", "reject"] if found.amended_at else ["approve", "return", "reject"]
    if found.amended_at is not None and found.amended_by_id == user.pk:
        allowed.append("withdraw")
    if found.state == DealState.APPROVED and user.has_role(Role.COMP_ADMIN):
        allowed.append("release" if found.held else "hold")
    if found.state not in ENDED and approving.may_cancel(user, found, today):
        sold = found.state == DealState.APPROVED and found.in_force.kind != DealKind.CONSUMPTION
        if sold and found.amended_at is None:
            allowed.append("cancel-part")
        allowed.append("cancel")
    actions = [ACTIONS[name] for name in allowed]
    return [OF_AMENDMENTS.get(each.name, each) for each in actions] if found.amended_at else actions


# --- what is done with it ---------------------------------------------------------------------------------

_SERVICES: Final[Mapping[str, Callable[..., Deal]]] = {
    "submit": booking.submit_deal,
    "take-back": booking.recall_deal,
    "approve": approving.approve_deal,
    "return": approving.return_deal,
    "reject": approving.reject_deal,
    "hold": approving.hold_deal,
    "release": approving.release_deal,
    "cancel": approving.cancel_deal,
    "cancel-part": approving.cancel_part,
    "withdraw": approving.withdraw_amendment,
}
_DONE: Final[Mapping[str, str]] = {
    "submit": later("{} is submitted and waits for approval."),
    "take-back": later("{} is with you again, as a draft."),
    "approve": later("{} is approved and its credit is posted."),
    "return": later("{} is returned to its owner."),
    "reject": later("{} is rejected."),
    "hold": later("The credit of {} is held."),
    "release": later("The credit of {} counts again."),
    "cancel": later("{} is cancelled."),
    "cancel-part": later("A part of {} is cancelled and its credit is reversed."),
    "withdraw": later("The amendment of {} is withdrawn."),
}


UNDONE_BY: Final[Mapping[str, str]] = {"submit": "take-back", "take-back": "submit", "hold": "release"}
_DECIDED: Final[Mapping[str, str]] = {
    "approve": later("The amendment of {} is approved and the difference in credit is posted."),
    "reject": later("The amendment of {} is rejected."),
}


def _remaining(
    request: HtmxRequest, user: User, pk: int
) -> tuple[dict[int, str], dict[int, int], list[Problem]]:
    """What was entered as left of each line, as text and in minor units, and what of it cannot be read."""
    found = (
        deals_for(user, clock.today())
        .select_related("latest_version__currency", "credited_version__currency")
        .filter(pk=pk)
        .first()
    )
    if found is None:
        raise Http404
    currency = found.in_force.currency
    entered: dict[int, str] = {}
    amounts: dict[int, int] = {}
    wrong: list[Problem] = []
    for number in found.in_force.lines.values_list("line_no", flat=True):
        text = request.POST.get(f"remaining-{number}")
        if text is None:
            continue
        entered[number] = text
        amount = minor(text, currency.exponent)
        if amount is None:
            wrong.append(
                Problem(
                    "not_an_amount",
                    formats.misread(text)
                    or _("Line %(number)s: enter what is left, such as %(plain)s.")
                    % {"number": number, "plain": _plain(12345, currency)},
                    f"/lines/{number}",
                )
            )
        else:
            amounts[number] = amount
    return entered, amounts, wrong


@posted_from("quotas:deal", "pk")
@login_required
def act(request: HtmxRequest, pk: int, action: str) -> HttpResponse:
    """Do one thing with one deal, as it was when the page was read; then back to where one was."""
    user = sales_user(request)
    if action not in _SERVICES:
        raise Http404
    revision = request.POST.get("revision", "")
    order: dict[str, Any] = {
        "deal_id": pk,
        "by": user,
        "at": clock.now(),
        "expected_revision": int(revision) if revision.isdecimal() and len(revision) < 10 else None,
    }
    reason = written(request.POST, "reason")
    if action not in ("submit", "take-back"):
        order["reason"] = reason
    remaining: dict[int, str] = {}
    if action == "cancel-part":
        remaining, amounts, unreadable = _remaining(request, user, pk)
        if unreadable:
            return _deal_page(
                request, user, pk, asked=action, wrong=unreadable, reason=reason, remaining=remaining
            )
        order["amounts"] = amounts
    seen = deals_for(user, clock.today()).filter(pk=pk, amended_at__isnull=False)
    waited = action in ("approve", "reject") and seen.exists()
    try:
        done = _SERVICES[action](**order)
    except NotFound as missing:
        raise Http404 from missing
    except Refusal as refused:
        if any(problem.pointer.startswith(("/reason", "/lines")) for problem in refused.problems) and (
            ACTIONS[action].needs_reason
        ):
            return _deal_page(
                request, user, pk, asked=action, wrong=refused.problems, reason=reason, remaining=remaining
            )
        for problem in refused.problems:
            messages.error(request, problem.message)
        return redirect("quotas:deal", pk)
    said = _DECIDED[action] if waited else _DONE[action]
    if action == "approve" and approving.waits(done):
        said = _("Your approval of {} is noted: it is above the limit and waits for its second approver.")
    messages.success(request, said.format(done.reference), extra_tags=undo_of(action, pk))
    return redirect(_next(request, reverse("quotas:deal", args=[pk])))


def undo_of(action: str, pk: int) -> str:
    """The message tag that offers to undo what was done, where it can be."""
    return f"undo:{reverse('quotas:deal-act', args=[pk, UNDONE_BY[action]])}" if action in UNDONE_BY else ""


def _next(request: HtmxRequest, otherwise: str) -> str:
    """A page of ours to go on to."""
    path = request.POST.get("next") or request.GET.get("next") or ""
    return (
        path
        if path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
        else otherwise
    )
