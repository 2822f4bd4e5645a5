"""Reconciliation: what a source says was sold against what is credited, by rep and period; each difference with its reason and its fix."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from accounts.models import Role, User
from config import clock, exporting
from config.given import given
from config.language import _, later, spoken
from config.paging import paged, with_query
from quotas.models import Measure, Period, Rep, SourceRecord, SourceState
from quotas.selectors import periods, reconciliation_tables
from quotas.selectors import reconciliation as selectors
from quotas.selectors.imports import SEES_EVERY as SEES_EVERY_IMPORT
from quotas.selectors.reconciliation import Cause, Chosen, Difference, Reconciliation, Source, Standing
from quotas.selectors.visibility import SEES_EVERYTHING, calendars_of
from quotas.views import HtmxRequest, chosen_period, signed_in, wants_part

PAGE: Final = 50
EVERY: Final = "all"
CURSOR: Final = "cursor"


@dataclass(frozen=True, slots=True)
class Fix:
    url: str
    text: str
    icon: str


@dataclass(frozen=True, slots=True)
class Line:
    """A difference as the page shows it."""

    difference: Difference
    fix: Fix | None


@dataclass(frozen=True, slots=True)
class Person:
    standing: Standing
    query: str


@require_safe
@login_required
@vary_on_headers("HX-Request")
def reconciliation(request: HtmxRequest) -> HttpResponseBase:
    """By rep; of a rep, a cause or all=reason the differences themselves. A fixed number of queries.

    Behind the last page is the last page: it is no answer that nothing differs.
    """
    user = signed_in(request)
    if not selectors.may_reconcile(user):
        raise Http404
    today, asked = clock.today(), request.GET
    sources, measures = selectors.sources(), selectors.measures()
    if not sources or not measures:
        context = {"sources": sources, "may_import": not user.has_role(Role.AUDITOR), "today": today}
        return render(request, "quotas/reconciliation.html", context)
    source = _named(sources, given(asked, "source"))
    measure = _measured(measures, given(asked, "measure"))
    period = _period(asked, source, today)
    reps = selectors.seen_reps(user, today)
    chosen = _chosen(asked, reps)
    page = _page(asked)
    form = exporting.asked(request)
    read = partial(
        selectors.reconcile, source=source, period=period, measure=measure, reps=reps, chosen=chosen
    )
    found = read() if form else read(most=PAGE, after=(page - 1) * PAGE)
    if chosen is not None and not form and page > (last := max(1, -(-found.found.differ // PAGE))):
        page, found = last, read(most=PAGE, after=(last - 1) * PAGE)
    only = bool(found.total.differ) and asked.get("show") != EVERY
    if form:
        return exporting.answer(
            request,
            form,
            name=f"reconciliation {source.name} {period.name}",
            title="Reconciliation",
            table=reconciliation_tables.by_rep(found, only_differences=only)
            if chosen is None
            else reconciliation_tables.differences(found, viewer=user, on=today),
            said=[("Source", source.name), ("Period", period.name), ("Measure", measure.name)],
        )
    context = {
        "sources": sources,
        "source": source,
        "measures": measures,
        "measure": measure,
        "found": found,
        "chosen": chosen,
        "only": only,
        "everybody": reps is None,
        "sees_run": user.has_role(*SEES_EVERY_IMPORT),
        "switch": periods.switch(period, today, calendars_of(user, today)),
        "at": clock.now(),
        **(
            _people(request, found, asked, only)
            if chosen is None
            else _differences(found, chosen, asked, user, reps, page)
        ),
    }
    if wants_part(request) and request.htmx.target == "reconciled":
        return render(request, "quotas/reconciliation.html#part", context)
    return render(request, "quotas/reconciliation.html", context)


# --- what the address asks for ------------------------------------------------------------------------------------


def _named(sources: Sequence[Source], name: str) -> Source:
    """The source of the address, else the one imported last."""
    if not name:
        return sources[0]
    found = next((source for source in sources if source.name == name), None)
    if found is None:
        raise Http404
    return found


def _measured(measures: Sequence[Measure], slug: str) -> Measure:
    found = next((measure for measure in measures if not slug or measure.slug == slug), None)
    if found is None:
        raise Http404
    return found


def _period(asked: QueryDict, source: Source, today: date) -> Period:
    """The period of the address, else the quarter in which the source last has something won. 2 queries at most."""
    if given(asked, "period"):
        return chosen_period(asked, today)
    last = (
        SourceRecord.objects.filter(source=source.name, state=SourceState.WON, close_date__lte=today)
        .order_by("-close_date")
        .values_list("close_date", "deal__calendar")
        .first()
    )
    found = periods.current_period(last[0], calendar_id=last[1]) if last is not None and last[0] else None
    return found or chosen_period(asked, today)


def _chosen(asked: QueryDict, reps: Sequence[int] | None) -> Chosen | None:
    """Whose differences are looked at, and of which cause; None is nobody's. A rep whom one may not see does not exist."""
    slug, cause = given(asked, "rep"), given(asked, "reason")
    if cause not in ("", EVERY, *Cause.values) or ("owner" in asked and reps is not None):
        raise Http404
    if not (slug or cause or "owner" in asked):
        return None
    rep_id = None
    if slug:
        rep_id = get_object_or_404(Rep, slug=slug).pk
        if reps is not None and rep_id not in reps:
            raise Http404
    nobody = str(asked["owner"]).replace("\x00", "")[:150] if "owner" in asked and not slug else None
    return Chosen(rep_id, nobody, "" if cause == EVERY else cause)


def _page(asked: QueryDict) -> int:
    number = given(asked, CURSOR)
    return max(1, int(number)) if number.isascii() and number.isdecimal() and len(number) < 7 else 1


# --- what the page shows ------------------------------------------------------------------------------------------


def _people(request: HtmxRequest, found: Reconciliation, asked: QueryDict, only: bool) -> dict[str, object]:
    every = [each for each in found.standings if each.sums.differ or not only]
    page = paged(request, every, by=CURSOR, size=PAGE)
    return {
        "people": [
            Person(
                each,
                with_query(asked, rep=each.who.slug, owner=None, show=None)
                if each.who.rep_id is not None
                else with_query(asked, rep=None, show=None, owner=None)
                + "&"
                + urlencode({"owner": each.who.name}),
            )
            for each in page
        ],
        "count": len(every),
        **_pages(asked, page.number, len(every)),
    }


def _differences(
    found: Reconciliation, chosen: Chosen, asked: QueryDict, user: User, reps: Sequence[int] | None, page: int
) -> dict[str, object]:
    told = selectors.told(found, viewer=user, on=clock.today())
    whose = None
    if chosen.rep_id is not None or chosen.nobody is not None:
        whose = next((each for each in found.standings if chosen.has(each.who.rep_id, each.who.name)), None)
    return {
        "lines": [Line(each, _fix(each, found, user, reps)) for each in told],
        "count": found.found.differ,
        "whose": whose,
        "name": whose.who.name
        if whose
        else get_object_or_404(Rep, pk=chosen.rep_id).name
        if chosen.rep_id
        else chosen.nobody,
        "cause": spoken(Cause(chosen.cause).label) if chosen.cause else "",
        **_pages(asked, page, found.found.differ),
    }


def _pages(asked: QueryDict, page: int, count: int) -> dict[str, str]:
    return {
        "previous": with_query(asked, cursor=str(page - 1) if page > 2 else None) if page > 1 else "",
        "next": with_query(asked, cursor=str(page + 1)) if page * PAGE < count else "",
    }


# --- one click from its fix ---------------------------------------------------------------------------------------

_OF_THE_DEAL: Final = {
    Cause.NOT_IN_SOURCE: later("See the deal"),
    Cause.NOT_APPROVED: later("Decide on it"),
    Cause.AMENDMENT: later("Decide on it"),
    Cause.DRAFT: later("Hand it in"),
    Cause.RETURNED: later("Hand it in"),
    Cause.REJECTED: later("See why"),
    Cause.CANCELLED: later("See why"),
    Cause.SAYS_OPEN: later("Cancel it here"),
    Cause.SAYS_LOST: later("Cancel it here"),
    Cause.SAYS_GONE: later("Cancel it here"),
    Cause.HELD: later("Release it"),
    Cause.ADJUSTED: later("See why"),
}
_DEAL_ICONS: Final = {
    Cause.NOT_IN_SOURCE: "handshake",
    Cause.NOT_APPROVED: "clipboard-check",
    Cause.AMENDMENT: "clipboard-check",
    Cause.DRAFT: "send",
    Cause.RETURNED: "send",
    Cause.REJECTED: "history",
    Cause.CANCELLED: "history",
    Cause.SAYS_OPEN: "circle-x",
    Cause.SAYS_LOST: "circle-x",
    Cause.SAYS_GONE: "circle-x",
    Cause.HELD: "lock-open",
    Cause.ADJUSTED: "history",
}
_ONLY_SEEN: Final = frozenset({Cause.NOT_IN_SOURCE, Cause.REJECTED, Cause.CANCELLED, Cause.ADJUSTED})
_AMENDED: Final = (
    Cause.CLOSE_DATE,
    Cause.CURRENCY,
    Cause.AMOUNT,
    Cause.SHARED,
    Cause.OWNER,
    Cause.TOO_LARGE,
)


def _fix(each: Difference, found: Reconciliation, user: User, reps: Sequence[int] | None) -> Fix | None:
    """Where this reader mends it; the deal where the place itself is not theirs, and nothing where not even that is."""
    cause, deal = each.cause, each.deal
    reviewer, admin = user.has_role(*SEES_EVERYTHING), user.has_role(Role.COMP_ADMIN)
    fix: Fix | None = None
    if cause == Cause.REFUSED and each.record is not None:
        if user.has_role(*SEES_EVERY_IMPORT) or each.record.run.requested_by_id == user.pk:
            fix = Fix(
                reverse("quotas:import", args=[each.record.run_id]), _("See the file"), icon="file-input"
            )
    elif cause == Cause.NOT_HERE:
        fix = Fix(reverse("quotas:imports"), _("Import it again"), icon="file-input")
    elif cause in _OF_THE_DEAL and deal is not None:
        text = _OF_THE_DEAL[cause]
        mends = admin or reps is not None or cause in _ONLY_SEEN
        fix = Fix(reverse("quotas:deal", args=[deal.pk]), text, _DEAL_ICONS[cause]) if mends else None
    elif cause in _AMENDED and deal is not None:
        if admin or (reps is not None and deal.owner_id in reps):
            fix = Fix(reverse("quotas:deal-amend", args=[deal.pk]), _("Amend it"), icon="file-pen-line")
    elif reviewer:
        fix = _of_reviewers(each, found, admin)
    if fix is None and deal is not None:
        fix = Fix(reverse("quotas:deal", args=[deal.pk]), _("See the deal"), icon="handshake")
    return fix


def _of_reviewers(each: Difference, found: Reconciliation, admin: bool) -> Fix | None:
    """Facts, rules and decisions, which are the comp admins' to change and the auditors' to read."""
    cause, deal = each.cause, each.deal
    day = (
        deal.in_force.close_date if deal else each.record.close_date if each.record else None
    ) or found.period.starts
    if each.decision_id is not None:
        return Fix(
            reverse("marketplace:decision", args=[each.decision_id]), _("See the decision"), icon="stamp"
        )
    if cause in (Cause.NOT_ELIGIBLE, Cause.RATE_ZERO, Cause.RATE) and each.offering is not None:
        words = urlencode({"program": "quota", "search": each.offering.name})
        return Fix(f"{reverse('marketplace:decisions')}?{words}", _("Its decisions"), icon="stamp")
    if cause == Cause.NO_RULE:
        return Fix(reverse("quotas:plans"), _("Crediting rules"), icon="scale")
    if cause == Cause.NO_PERIOD:
        return Fix(reverse("quotas:periods"), _("Open a period"), icon="calendar-range")
    if cause == Cause.NO_TEAM and admin:
        return _fact("move", _("Put into a team"), rep=each.who.slug, starts=day.isoformat())
    if cause == Cause.NO_RECEIVER and admin and deal is not None:
        return _fact("transfer", _("Give it an owner"), customer=deal.customer.slug, starts=day.isoformat())
    if cause == Cause.NO_FX_RATE and admin:
        code = each.record.currency if each.record else deal.in_force.currency_id if deal else ""
        return _fact(
            "rate",
            _("Enter the rate"),
            from_currency=code,
            to_currency=found.measure.currency_id or "",
            starts=day.isoformat(),
        )
    if cause == Cause.OTHER and deal is not None:
        words = urlencode({"deal": deal.reference, "period": "all"})
        return Fix(f"{reverse('quotas:ledger')}?{words}", _("See its entries"), icon="book-open")
    return None


def _fact(kind: str, text: str, **filled: str) -> Fix:
    return Fix(f"{reverse('quotas:fact', args=[kind])}?{urlencode(filled)}", text, icon="file-pen-line")
