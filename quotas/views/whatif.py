"""What if: questions that need no plan, previews of drafts side by side, and, for a rep, what closes the gap. RULES 17."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.db.models import Prefetch
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import Role, User
from config import clock, exporting
from config.given import given
from config.language import _, later
from config.models import Job
from config.refusals import Refusal
from quotas.models import DealShare, DealState, Grain, Measure, Period
from quotas.selectors import impact as impacts
from quotas.selectors import periods, whatif_tables
from quotas.selectors.gap import GapPlan, closing_the_gap, whose_gap
from quotas.selectors.visibility import calendars_of, deals_for, rep_of
from quotas.services import whatif
from quotas.views import HtmxRequest, chosen_measure, chosen_period, sales_user
from quotas.views.whatif_forms import AccountForm, Question, QuotaForm, SplitForm

ASKS: Final = (Role.COMP_ADMIN, Role.MANAGER)
READS: Final = (Role.COMP_ADMIN, Role.AUDITOR)
PAGE: Final = 30
PARTS: Final = 50
SHOWN: Final = 30
ASKED: Final[Mapping[str, str]] = {
    "split": later("A deal, split otherwise"),
    "account": later("An account, somebody else's"),
    "quota": later("Another quota"),
}


@dataclass(frozen=True, slots=True)
class InEarnest:
    """Where the thing that was asked about is really done."""

    text: str
    url: str


# --- questions --------------------------------------------------------------------------------------------


@require_safe
@login_required
def questions(request: HtmxRequest) -> HttpResponse:
    """One form a question; with try= the answer beside what is. Nothing is written."""
    user = _of(request, ASKS)
    what = given(request.GET, "what") or "split"
    if what not in ASKED:
        raise Http404
    asked = "try" in request.GET
    form = _form(request, user, what, asked=asked)
    answer = None
    if asked and form.is_valid():
        try:
            answer = _answer(form, what, user)
        except Refusal as refused:
            form.refuse(refused)
    context: dict[str, Any] = {
        "what": what,
        "kinds": ASKED,
        "form": form,
        "lists": _lists(form),
        "reads_runs": user.has_role(*READS),
        "today": clock.today(),
    }
    if answer is not None:
        context |= {
            "answer": answer,
            "sides": [(_("Who gains"), answer.winners[:SHOWN]), (_("Who loses"), answer.losers[:SHOWN])],
            "level": [shift for shift in answer.shifts if not shift.change][:SHOWN],
            "in_earnest": _in_earnest(form, what, user),
        }
    return render(request, "quotas/whatif.html", context, status=422 if form.errors else 200)


def _form(request: HtmxRequest, user: User, what: str, *, asked: bool) -> Question:
    sent = request.GET if asked else None
    start = {name: given(request.GET, name) for name in request.GET if name not in ("what", "try")}
    if what == "split":
        return SplitForm(sent, initial=_split_to_start_from(user, start.get("deal", "")) or start)
    if what == "account":
        return AccountForm(sent, initial={"starts": clock.today().replace(day=1), **start})
    on = clock.today()
    own = calendars_of(user, on)
    every = periods.all_periods(own)
    current = periods.current_period(on, calendar_id=own[0].pk if own else None)
    measures = list(Measure.objects.select_related("currency").order_by("position", "pk"))
    chosen = [p for p in every if p.grain in (Grain.QUARTER, Grain.HALF, Grain.YEAR, Grain.MONTH)]
    return QuotaForm(
        sent,
        measures=measures,
        periods=chosen,
        initial={"period": str(current.pk) if current else "", **start},
    )


def _split_to_start_from(user: User, text: str) -> dict[str, str]:
    """The shares of the deal that is asked about, once it is named."""
    digits = text.upper().removeprefix("D-").lstrip("0")
    if not digits.isdecimal() or not digits.isascii() or len(digits) > 15:
        return {}
    shares = Prefetch("shares", DealShare.objects.select_related("rep").order_by("ordinal"))
    deal = (
        whatif.deals_asked_about(user, clock.today())
        .select_related("latest_version", "credited_version")
        .filter(pk=int(digits))
        .first()
    )
    if deal is None:
        return {}
    version = type(deal.latest).objects.prefetch_related(shares).get(pk=deal.in_force.pk)
    return SplitForm.starting_with(deal, [(s.rep.name, s.ppm) for s in version.shares.all()])


def _answer(form: Question, what: str, user: User) -> whatif.Answer:
    entered, at = form.cleaned_data, clock.now()
    if what == "split":
        return whatif.split_otherwise(deal_id=entered["deal"], shares=entered["shares"], by=user, at=at)
    if what == "account":
        return whatif.owned_otherwise(
            customer_id=entered["customer"].pk,
            rep_id=entered["rep"].pk,
            starts=entered["starts"],
            holdover_until=entered["holdover_until"],
            by=user,
            at=at,
        )
    return whatif.aiming_otherwise(
        rep_id=entered["rep"].pk,
        measure_id=int(entered["measure"]),
        period_id=int(entered["period"]),
        amount_minor=entered["amount_minor"],
        starts=entered["starts"],
        method=entered["method"] or "last",
        by=user,
        at=at,
    )


def _in_earnest(form: Question, what: str, user: User) -> InEarnest | None:
    """The page that does it, as far as this person may."""
    entered = form.cleaned_data
    if what == "split":
        deal = deals_for(user, clock.today()).get(pk=entered["deal"])
        if deal.state == DealState.APPROVED:
            return InEarnest(_("Amend the deal"), reverse("quotas:deal-amend", args=[deal.pk]))
        return InEarnest(_("Open the deal"), reverse("quotas:deal", args=[deal.pk]))
    if not user.has_role(Role.COMP_ADMIN):
        return None
    if what == "account":
        filled = {name: form[name].value() or "" for name in form.fields}
        return InEarnest(
            _("Transfer the account"), f"{reverse('quotas:fact', args=['transfer'])}?{urlencode(filled)}"
        )
    return InEarnest(_("Plan quotas"), reverse("quotas:planning"))


def _lists(form: Question) -> list[Any]:
    """The fields that offer names, one of each kind."""
    return list({field.find: field for field in form.fields.values() if hasattr(field, "find")}.values())


# --- previews of drafts -----------------------------------------------------------------------------------


@require_safe
@login_required
def runs(request: HtmxRequest) -> HttpResponseBase:
    """Every preview of a draft on history: who, when, which days, what it came to. Two of them can be laid side by side."""
    _of(request, READS)
    found = impacts.runs()
    if form := exporting.asked(request):
        table = whatif_tables.runs(found)
        return exporting.answer(request, form, name="previews", title="Previews of drafts", table=table)
    before = given(request.GET, "before")
    if before.isdecimal() and len(before) < 18:
        found = found.filter(pk__lt=int(before))
    page = list(found[: PAGE + 1])
    context = {
        "runs": impacts.told(page[:PAGE]),
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "first_page": not before,
    }
    return render(request, "quotas/whatif_runs.html", context)


@require_safe
@login_required
def side_by_side(request: HtmxRequest) -> HttpResponseBase:
    """Two previews: what each draft would change, and how far they are apart."""
    _of(request, READS)
    one, other = (_run(request, name) for name in ("one", "other"))
    by = given(request.GET, "by") or impacts.REPS
    if by not in impacts.BYS:
        raise Http404
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"side by side {one.pk} {other.pk} {by}",
            title=f"{one.title} beside {other.title}",
            table=whatif_tables.side_by_side(one, other, by),
        )
    first, second = impacts.told([one, other])
    pairs = impacts.side_by_side(one, other, by, most=PARTS + 1)
    context = {
        "one": first,
        "other": second,
        "comparable": impacts.comparable(one, other),
        "pairs": [(each, each.pairs[:PARTS], len(each.pairs) > PARTS) for each in pairs],
        "by": by,
        "bys": impacts.BYS,
        "by_text": impacts.BYS[by],
    }
    return render(request, "quotas/whatif_side_by_side.html", context)


def _run(request: HtmxRequest, name: str) -> Job:
    asked = given(request.GET, name)
    found = impacts.runs().filter(pk=int(asked)).first() if asked.isdecimal() and len(asked) < 16 else None
    if found is None or "moves" not in found.result:
        raise Http404
    return found


# --- a rep's gap ------------------------------------------------------------------------------------------


@require_safe
@login_required
def gap(request: HtmxRequest) -> HttpResponseBase:
    """What closes the gap of the person who asks, or with rep= of somebody whose amounts they may see."""
    user = sales_user(request)
    on = clock.today()
    slug = given(request.GET, "rep")
    rep = whose_gap(user, slug, on)
    if rep is None:
        if slug or not user.has_role(*ASKS):
            raise Http404
        return redirect("quotas:board")  # who sells nothing has no gap
    own = calendars_of(user, on)
    period = chosen_period(request.GET, on, lambda: own[0] if own else None)
    measure, measures = chosen_measure(request.GET)
    plan = closing_the_gap(rep=rep, measure=measure, period=period, on=on)
    if form := exporting.asked(request):
        return exporting.answer(
            request,
            form,
            name=f"gap {rep.slug} {measure.slug} {period}",
            title=f"What closes the gap of {rep.name}",
            table=whatif_tables.gap(plan),
        )
    context = {
        "plan": plan,
        "mine": (me := rep_of(user)) is not None and me.pk == rep.pk,
        "measures": measures,
        "measure": measure,
        "switch": periods.switch(period, on, own),
        "may_log": user.has_role(Role.REP, Role.MANAGER, Role.COMP_ADMIN),
    }
    return render(request, "quotas/gap.html", context)


def gap_card(user: User, *, measure: Measure, period: Period, on: date) -> dict[str, Any]:
    """Context of quotas/_gap.html, for a page that already knows measure and period; empty for who is no rep."""
    rep = rep_of(user) if user.has_role(Role.REP) else None
    if rep is None:
        return {}
    plan: GapPlan = closing_the_gap(rep=rep, measure=measure, period=period, on=on)
    steps: Sequence[Any] = plan.steps[: max(3, min(plan.needed or 3, 5))]
    return {"gap_plan": plan, "gap_steps": steps, "gap_more": len(plan.steps) - len(steps)}


# --- who --------------------------------------------------------------------------------------------------


def _of(request: HtmxRequest, roles: Sequence[str]) -> User:
    """For everybody else these pages do not exist."""
    user = sales_user(request)
    if not user.has_role(*roles):
        raise Http404
    return user
