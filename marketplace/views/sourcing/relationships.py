"""One tie between two companies: what is stated, what rests on it, and its changes; of a commitment its draw-down too."""

from datetime import date
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Role, User
from config import clock, formats
from config.language import _
from config.months import add_months
from config.posted import posted_from
from config.refusals import Refusal
from marketplace.models import Relationship, RelationshipKind
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.selectors.sourcing import commitments, flows
from marketplace.selectors.sourcing.commitments import TERMS, Standing, Term
from marketplace.selectors.sourcing.companies import operator
from marketplace.services.sourcing import companies as service
from marketplace.views.sourcing.commitments import shown, tried, usual_start
from marketplace.views.sourcing.companies import form_page, leader, reader
from marketplace.views.sourcing.company_forms import (
    DrawForm,
    EndForm,
    Refusable,
    RelationshipForm,
    TermForm,
    WithdrawForm,
    initial_of,
)

COMMITMENT = RelationshipKind.COMPUTE_COMMITMENT
ROWS = (
    ("kind", "payer", "payee"),
    ("amount", "currency", "bound", "per"),
    ("status", "starts_on", "ends_on", "stake"),
    ("note",),
    ("fact", "source"),
    ("reason",),
)


@require_safe
@login_required
def relationship(request: HttpRequest, pk: int) -> HttpResponse:
    user = reader(request)
    return page(request, user, _row(pk))


def _row(pk: int) -> Relationship:
    """Superseded ones too: what was once stated keeps its address."""
    return get_object_or_404(
        Relationship.objects.select_related("payer", "payee", "currency", "fact", "recorded_by"), pk=pk
    )


def page(
    request: HttpRequest, user: User, found: Relationship, wrong: dict[str, Refusable] | None = None
) -> HttpResponse:
    """wrong: the form of an action that was refused, by the action's name."""
    today = clock.today()
    standing = commitments.standing(found, today) if found.kind == COMMITMENT else None
    paper = _on_paper(request, found, today, standing) if standing is not None else None
    ties = flows.money_ties(today)
    us = operator()
    may_write = user.has_role(Role.SOURCING_LEAD) and found.superseded_at is None
    forms = _forms(found, paper or standing) if may_write else {}
    forms |= wrong or {}
    return render(
        request,
        "marketplace/sourcing/relationship.html",
        {
            "tie": found,
            "amount": flows.amount_text(found),
            "today": today,
            "standing": standing,
            "is_money": found.kind in MONEY_KINDS,
            "shown": shown(paper or standing) if standing is not None else None,
            "latest_first": standing.months[::-1] if standing is not None else (),
            "paper": paper,
            "years": request.GET.get("years", ""),
            "tried": tried(standing) if standing is not None else (),
            "withdrawn": list(
                found.assumptions.exclude(superseded_at=None)
                .select_related("stated_by")
                .order_by("-stated_at")
            ),
            "cycles": [
                cycle
                for cycle in flows.cycles(ties, us.pk if us is not None else None).found
                if any(found.pk == tie.pk for step in cycle.steps for tie in step)
            ],
            "before": [(other, flows.amount_text(other)) for other in _other_statements(found)],
            "may_write": may_write,
            "forms": forms,
            "wrong": bool(wrong),
        },
        status=422 if wrong else 200,
    )


def _on_paper(request: HttpRequest, found: Relationship, today: date, standing: Standing) -> Standing | None:
    """?years=5 looks at a term that nobody has assumed."""
    years = request.GET.get("years", "")
    if years not in {str(each) for each in TERMS} or (found.starts_on and found.ends_on):
        return None
    start = usual_start(standing)
    term = Term(start, add_months(start, 12 * int(years)), tried=True)
    return commitments.standing(found, today, term)


def _other_statements(found: Relationship) -> QuerySet[Relationship]:
    """What was stated of the same two companies and the same kind before, or since. 1 query."""
    return (
        Relationship.objects.filter(Q(payer=found.payer_id, payee=found.payee_id), kind=found.kind)
        .exclude(pk=found.pk)
        .filter(Q(superseded_at__isnull=False) | Q(fact=found.fact_id) & ~Q(fact=None))
        .select_related("payer", "payee", "currency", "recorded_by")
        .order_by("-recorded_at", "-id")
    )


def _forms(found: Relationship, standing: Standing | None) -> dict[str, Refusable]:
    forms: dict[str, Refusable] = {}
    if found.status != "ended":
        forms["end"] = EndForm(prefix="end")
    if standing is not None:
        if not (found.starts_on and found.ends_on):
            term = standing.term
            start = found.starts_on or (term.start if term else None)
            if start is None and standing.months:
                start = standing.months[0].draw.month
            forms["assume"] = TermForm(
                prefix="assume",
                initial={"starts_on": start, "ends_on": found.ends_on or (term.end if term else None)},
            )
        if standing.term is not None and standing.term.assumption is not None:
            forms["withdraw"] = WithdrawForm(prefix="withdraw")
        if found.currency is not None:
            following = add_months(standing.months[-1].draw.month, 1) if standing.months else None
            if following is not None and add_months(following, 1) > standing.on:
                following = None  # it is not over yet
            forms["draw"] = DrawForm(
                prefix="draw",
                currency=found.currency,
                initial={"month": f"{following:%Y-%m}" if following else ""},
            )
    return forms


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """?payer=, ?payee= and ?kind= fill it in."""
    user = leader(request)
    asked = {name: request.GET.get(name, "") for name in ("payer", "payee", "kind")}
    form = RelationshipForm(request.POST if request.method == "POST" else None, initial=asked)
    if request.method == "POST" and form.is_valid():
        try:
            made = service.record_relationship(draft=form.draft(), by=user, at=clock.now())
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("It is recorded."))
            return redirect("marketplace:relationship", made.pk)
    return form_page(
        request, form, title=_("Record a relationship"), back=reverse("marketplace:companies"), rows=ROWS
    )


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def correct(request: HttpRequest, pk: int) -> HttpResponse:
    user = leader(request)
    old = _row(pk)
    if old.superseded_at is not None:
        messages.error(request, _("Another statement has taken its place: correct that one."))
        return redirect("marketplace:relationship", old.pk)
    form = RelationshipForm(
        request.POST if request.method == "POST" else None, correcting=True, initial=initial_of(old)
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = service.correct_relationship(
                relationship_id=old.pk,
                draft=form.draft(),
                reason=form.cleaned_data["reason"],
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("It is corrected; what was stated before stays in its history."))
            return redirect("marketplace:relationship", made.pk)
    return form_page(
        request,
        form,
        title=_("Correct a relationship"),
        back=reverse("marketplace:relationship", args=[old.pk]),
        rows=ROWS,
    )


@posted_from("marketplace:relationship", "pk")
@login_required
def act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """end, assume, withdraw (an assumption) or draw; back to the page, with what stands in the way."""
    user = leader(request)
    found = _row(pk)
    form = _sent(action, found, request)
    more: dict[str, Any] = {"relationship_id": found.pk, "by": user, "at": clock.now()}
    if form.is_valid():
        given = form.cleaned_data
        try:
            if action == "end":
                ended = service.end_relationship(ends_on=given["ends_on"], reason=given["reason"], **more)
                messages.success(request, _("It has an end now."))
                return redirect("marketplace:relationship", ended.pk)
            if action == "assume":
                service.state_term_assumption(
                    starts_on=given["starts_on"], ends_on=given["ends_on"], reason=given["reason"], **more
                )
                messages.success(request, _("The term is assumed; every figure that rests on it says so."))
            elif action == "withdraw":
                service.withdraw_term_assumption(reason=given["reason"], **more)
                messages.success(request, _("The term is unknown again."))
            elif isinstance(form, DrawForm):
                service.record_draw(
                    month=given["month"],
                    amount_minor=form.minor or 0,
                    source=given["source"],
                    replacing=given["replacing"],
                    **more,
                )
                messages.success(
                    request, _("%(given)s is recorded.") % {"given": formats.month_long(given["month"])}
                )
        except Refusal as refused:
            form.refuse(refused)
        else:
            return redirect("marketplace:relationship", found.pk)
    return page(request, user, _row(pk), {action: form})


def _sent(action: str, found: Relationship, request: HttpRequest) -> Refusable:
    if action == "end":
        return EndForm(request.POST, prefix="end")
    if action == "assume":
        return TermForm(request.POST, prefix="assume")
    if action == "withdraw":
        return WithdrawForm(request.POST, prefix="withdraw")
    if action == "draw":
        return DrawForm(request.POST, prefix="draw", currency=found.currency)
    raise Http404
