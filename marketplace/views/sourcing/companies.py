"""Companies: the list, one of them with all its roles, and what a sourcing lead records about it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.forms import BoundField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Role as UserRole
from accounts.models import User
from config import clock, exporting, formats
from config.charts import Tone
from config.choosing import OneOf, suggested
from config.exports import Column, Table
from config.given import tidy
from config.language import _
from config.months import add_months
from config.refusals import Refusal
from marketplace.models import (
    Company,
    Currency,
    Offering,
    PublicFact,
    RiskEvent,
    RiskSeverity,
    SupplierAgreement,
)
from marketplace.models.sourcing.companies import MONEY_KINDS
from marketplace.selectors.sourcing import companies as known
from marketplace.selectors.sourcing import flows
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.companies import Deadline, Dependence, Ours, Role
from marketplace.selectors.sourcing.flows import Position
from marketplace.selectors.visibility import offerings_for
from marketplace.services.sourcing import companies as service
from marketplace.views import day_asked, signed_in
from marketplace.views.sourcing.company_forms import (
    AgreementForm,
    CompanyChoice,
    CompanyForm,
    FactChoice,
    Refusable,
    RiskForm,
    WithdrawForm,
    agreement_initial,
    source_of,
)

MOST_OFFERINGS: Final = 8
FOUND: Final = 12  # suggestions for a part of a name
AGREEMENT_ROWS: Final = (
    ("name",),
    ("starts_on", "ends_on"),
    ("access",),
    ("pricing", "discount"),
    ("exclusivity",),
    ("roadmap_asks",),
    ("renews_on", "renews_by_itself", "notice_days"),
    ("source",),
    ("reason",),
)
SEVERITY: Final[dict[str, Tone]] = {
    RiskSeverity.HIGH: "bad",
    RiskSeverity.MEDIUM: "warn",
    RiskSeverity.LOW: "muted",
}


def reader(request: HttpRequest) -> User:
    """Raises Http404 for who may not read sourcing: it does not exist for them."""
    user = signed_in(request)
    if not reads_sourcing(user):
        raise Http404
    return user


def leader(request: HttpRequest) -> User:
    """Raises Http404 as reader(), and PermissionDenied for who reads and may not write."""
    user = reader(request)
    if not user.has_role(UserRole.SOURCING_LEAD):
        raise PermissionDenied
    return user


@dataclass(frozen=True, slots=True)
class Line:
    """A company as the list shows it."""

    company: Company
    roles: list[Role]
    others: list[Role]
    ours: Ours | None
    deadline: Deadline | None
    passed: bool
    agreed: list[SupplierAgreement]
    risks: int
    worst: Tone

    @property
    def share(self) -> str:
        return spend_text(self.ours) if self.ours is not None else formats.NO_VALUE

    @property
    def traffic(self) -> str:
        return share_text(self.ours.tokens_share if self.ours is not None else None)


def share_text(share: Fraction | None) -> str:
    return formats.NO_VALUE if share is None else formats.percent(share.numerator, share.denominator)


def spend_text(ours: Ours) -> str:
    """The share of our spend; what has no price at all has no share, and not a share of zero."""
    return _("Unpriced") if ours.unpriced and not ours.spend_minor else share_text(ours.spend_share)


@require_safe
@login_required
def companies(request: HttpRequest) -> HttpResponseBase:
    """11 queries, whatever the number of companies."""
    user, on = reader(request), clock.today()
    lines = _lines(on)
    role = request.GET.get("role", "")
    chosen = [line for line in lines if not role or role in {_word(each) for each in line.roles}]
    if form := exporting.asked(request):
        return exporting.answer(
            request, form, name="companies", title="Companies", table=_table(chosen, on), total=len(chosen)
        )
    deadlines = sorted(
        (line.deadline for line in lines if line.deadline is not None), key=lambda each: each.day
    )
    return render(
        request,
        "marketplace/sourcing/companies.html",
        {
            "lines": chosen,
            "related": known.RELATED,
            "roles": sorted({_word(each) for line in lines for each in line.roles}),
            "role": role,
            "on": on,
            "next": deadlines[0] if deadlines else None,
            "passed": [line for line in lines if line.passed],
            "may_write": user.has_role(UserRole.SOURCING_LEAD),
            "suppliers": sum(any(_word(r) == "Supplier" for r in line.roles) for line in lines),
            "high": sum(line.worst == "bad" for line in lines),
            "total": len(lines),
            "looked_back": known.LOOKED_BACK,
            "synthetic": any(line.ours is not None and line.ours.synthetic for line in lines),
        },
    )


def _word(role: Role) -> str:
    return role.short if role.ours else ""


def _lines(on: date) -> list[Line]:
    ties = list(flows.in_force(on))
    depends = known.dependence(on)
    agreed: dict[int, list[SupplierAgreement]] = defaultdict(list)
    for agreement in known.agreements(on):
        agreed[agreement.supplier_id].append(agreement)
    risks: dict[int, list[RiskEvent]] = defaultdict(list)
    for risk in known.risk_events():
        risks[risk.company_id].append(risk)
    everyone = list(known.companies())
    us = next((company for company in everyone if company.is_operator), None)
    lines = []
    for company in everyone:
        ours = depends.on(company)
        mine = agreed.get(company.pk, [])
        deadlines = [found for found in (known.next_deadline(each, on) for each in mine) if found is not None]
        roles = known.roles_of(company, ties, us, known.supplier_bases(ours, mine))
        its_risks = risks.get(company.pk, [])
        lines.append(
            Line(
                company,
                [role for role in roles if role.ours],
                [role for role in roles if not role.ours],
                ours,
                min(deadlines, key=lambda each: each.day, default=None),
                any(known.notice_passed(each, on) for each in mine),
                mine,
                len(its_risks),
                worst(its_risks),
            )
        )
    return lines


def worst(risks: Sequence[RiskEvent]) -> Tone:
    found = {SEVERITY[risk.severity] for risk in risks}
    order: tuple[Tone, ...] = ("bad", "warn")
    return next((tone for tone in order if tone in found), "muted")


def _table(lines: Sequence[Line], on: date) -> Table:
    columns = [
        Column("company", "Company"),
        Column("roles", "Roles toward us"),
        Column("other_roles", "Other roles"),
        Column("spend_percent", "Share of our spend, %", "percent"),
        Column("traffic_percent", "Share of our tokens, %", "percent"),
        Column("features", "Features on its models", "whole"),
        Column("sole_features", "Features on nobody else's", "whole"),
        Column("deadline", "Next deadline", "date"),
        Column("deadline_of", "What is due"),
        Column("risk_events", "Risk events", "whole"),
    ]

    def rows() -> Iterator[Sequence[Any]]:
        for line in lines:
            ours = line.ours
            yield (
                line.company.name,
                "; ".join(role.short for role in line.roles),
                "; ".join(role.short for role in line.others),
                ours.spend_share if ours is not None else None,
                ours.tokens_share if ours is not None else None,
                len(ours.features) if ours is not None else 0,
                ours.sole if ours is not None else 0,
                line.deadline.day if line.deadline is not None else None,
                f"{line.deadline.what}, {line.deadline.agreement.name}" if line.deadline is not None else "",
                line.risks,
            )

    return Table(columns, rows)


@require_safe
@login_required
def find(request: HttpRequest, what: str) -> HttpResponse:
    """Suggestions for a field by a part of a name. 1 query."""
    reader(request)
    fields: dict[str, OneOf] = {"companies": CompanyChoice(""), "facts": FactChoice()}
    if what not in fields:
        raise Http404
    asked = tidy(next(iter(request.GET.values()), None))[:100]
    rows: QuerySet[Any] = Company.objects.all() if what == "companies" else PublicFact.objects.all()
    rows = rows.order_by("name" if what == "companies" else "paragraph", "id")
    for word in asked.split()[:6]:
        word = word.strip("(),:")
        within = Q(slug__icontains=word)
        for name in ("name",) if what == "companies" else ("subject", "counterpart", "kind"):
            within |= Q(**{f"{name}__icontains": word})
        rows = rows.filter(within)
    return render(
        request, "components/suggestions.html", {"suggestions": suggested(fields[what], rows[:FOUND])}
    )


@dataclass(frozen=True, slots=True)
class Agreed:
    """An agreement with where it stands on the day."""

    row: SupplierAgreement
    state: str
    tone: Tone
    in_effect: bool
    deadline: Deadline | None
    notice_by: date | None
    passed: bool


@require_safe
@login_required
def company(request: HttpRequest, slug: str) -> HttpResponse:
    """About 20 queries, whatever is known of it."""
    user, on = reader(request), day_asked(request)
    found = get_object_or_404(known.companies(), slug=slug)
    ties = list(flows.in_force(on))
    depends = known.dependence(on)
    ours = depends.on(found)
    agreements = [_agreed(row, on) for row in known.stated_agreements().filter(supplier=found)]
    in_effect = [each.row for each in agreements if each.in_effect]
    us = known.operator()
    roles = known.roles_of(found, ties, us, known.supplier_bases(ours, in_effect))
    facts = known.facts_of(found)
    money = [tie for tie in ties if tie.kind in MONEY_KINDS]
    usual = Currency.objects.filter(code="USD").first()
    offerings = (
        offerings_for(user).filter(publisher=found.publisher_id).order_by("name", "id")
        if found.publisher_id is not None
        else Offering.objects.none()
    )
    deadlines = [each.deadline for each in agreements if each.in_effect and each.deadline]
    theirs = [
        tie
        for tie in ties
        if us is not None and tie.payer_id == found.pk and tie.payee_id == us.pk and tie.kind == "dependence"
    ]
    return render(
        request,
        "marketplace/sourcing/company.html",
        {
            "company": found,
            "us": us,
            "on": on,
            "today": clock.today(),
            "roles": roles,
            "bases": [(role, basis, not n) for role in roles for n, basis in enumerate(role.bases)],
            "ours": ours,
            "depends": depends,
            "their_dependence": theirs,
            "their_money": [
                (tie, flows.amount_text(tie))
                for tie in money
                if us is not None and {tie.payer_id, tie.payee_id} == {found.pk, us.pk}
            ],
            "agreements": agreements,
            "next": min(deadlines, key=lambda each: each.day, default=None),
            "risks": [(risk, SEVERITY[risk.severity]) for risk in known.risk_events().filter(company=found)],
            "facts": facts,
            "shares": _shares(depends, ours),
            "positions": [
                (each, *position_texts(each))
                for each in (flows.positions(money, usual) if usual else ())
                if each.company.pk == found.pk
            ],
            "cycles": [
                cycle
                for cycle in flows.cycles(money, us.pk if us is not None else None).found
                if found.pk in {each.pk for each in cycle.companies}
            ],
            "offerings": list(offerings[:MOST_OFFERINGS]),
            "offerings_total": offerings.count(),
            "may_write": user.has_role(UserRole.SOURCING_LEAD),
        },
    )


def position_texts(position: Position) -> tuple[str, str, str]:
    """Received, paid and net, in words of the currency."""
    code, exponent = position.currency.code, position.currency.exponent
    return (
        position.received.text(code, exponent),
        position.paid.text(code, exponent),
        position.net.text(code, exponent),
    )


def _shares(depends: Dependence, ours: Ours | None) -> dict[str, str]:
    """What hangs on the company in words; unknown where there is nothing to divide by."""
    span = _("%(first)s to %(end)s") % {
        "first": formats.month_name(depends.first),
        "end": formats.month(add_months(depends.end, -1)),
    }
    ours = ours or Ours()
    spend_sub = f"{formats.money(ours.spend_minor, compact=True)}, {span}"
    return {
        "spend": spend_text(ours) if ours.tokens else "0%" if depends.spent else _("Unknown"),
        "spend_sub": spend_sub if depends.spent else _("No use has a price"),
        "unpriced": formats.whole(ours.unpriced) if ours.unpriced else "",
        "tokens": share_text(ours.tokens_share)
        if ours.tokens_share is not None
        else "0%"
        if depends.used
        else _("Unknown"),
        "span": span if depends.used else _("No use is recorded"),
        "features": formats.whole(len(ours.features)),
        "features_sub": (_("of %(features)s") % {"features": formats.whole(depends.features)})
        + (_("; %(sole)s on nobody else's") % {"sole": ours.sole} if ours.sole else ""),
    }


def _agreed(row: SupplierAgreement, on: date) -> Agreed:
    lower, upper = row.effective.lower, row.effective.upper
    state, tone = _("In effect"), "good"
    if lower is not None and on < lower:
        state, tone = _("To come"), "accent"
    elif upper is not None and on >= upper:
        state, tone = _("Ended"), "muted"
    return Agreed(
        row,
        state,
        tone,  # type: ignore[arg-type]  # one of those above
        tone == "good",
        known.next_deadline(row, on),
        known.notice_by(row),
        known.notice_passed(row, on),
    )


# --- recording ----------------------------------------------------------------------------------------------


def form_page(
    request: HttpRequest,
    form: Refusable,
    *,
    title: str,
    back: str,
    rows: Sequence[Sequence[str]] = (),
    more: dict[str, Any] | None = None,
) -> HttpResponse:
    """A form on a page of its own; 422 where something is wrong with it."""
    return render(
        request,
        "marketplace/sourcing/company_form.html",
        {"form": form, "page_title": title, "back": back, "laid_out": _laid_out(form, rows), **(more or {})},
        status=422 if form.errors else 200,
    )


def withdrawing(request: HttpRequest, take_away: Callable[[str], object], *, done: str) -> None:
    """Does it with the reason that was given; a message says done, or what stands in the way."""
    form = WithdrawForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Say why it is withdrawn."))
        return
    try:
        take_away(form.cleaned_data["reason"])
    except Refusal as refused:
        messages.error(request, str(refused))
    else:
        messages.success(request, done)


def _laid_out(form: Refusable, rows: Sequence[Sequence[str]]) -> list[list[BoundField]]:
    """The fields in rows of names; without rows each in one of its own."""
    laid = [[form[name] for name in row if name in form.fields] for row in rows or [[n] for n in form.fields]]
    return [row for row in laid if row]


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    user = leader(request)
    form = CompanyForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        publisher = given["publisher"]
        try:
            made = service.record_company(
                name=given["name"],
                about=given["about"],
                publisher_id=publisher.pk if publisher else None,
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(
                request,
                _("%(made_name)s is recorded: say what ties it to others.") % {"made_name": made.name},
            )
            return redirect("marketplace:company", made.slug)
    return form_page(request, form, title=_("Record a company"), back=reverse("marketplace:companies"))


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def agreement(request: HttpRequest, slug: str) -> HttpResponse:
    """?corrects= names the agreement whose place it takes."""
    user = leader(request)
    supplier = get_object_or_404(Company, slug=slug)
    old = _corrected(request, supplier)
    form = AgreementForm(
        request.POST if request.method == "POST" else None,
        correcting=old is not None,
        initial=agreement_initial(old) if old is not None else None,
    )
    if request.method == "POST" and form.is_valid():
        try:
            made = service.record_agreement(
                draft=form.draft(supplier),
                corrects=old.pk if old is not None else None,
                reason=form.cleaned_data.get("reason", ""),
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(
                request,
                _("%(made_name)s with %(supplier_name)s is recorded.")
                % {"made_name": made.name, "supplier_name": supplier.name},
            )
            return redirect("marketplace:company", supplier.slug)
    return form_page(
        request,
        form,
        rows=AGREEMENT_ROWS,
        title=_("Correct %(old_name)s") % {"old_name": old.name}
        if old is not None
        else _("Agreement with %(supplier_name)s") % {"supplier_name": supplier.name},
        back=reverse("marketplace:company", args=[supplier.slug]),
        more={"company": supplier},
    )


def _corrected(request: HttpRequest, supplier: Company) -> SupplierAgreement | None:
    written = request.GET.get("corrects", "")
    if not written:
        return None
    if not (written.isascii() and written.isdecimal() and len(written) < 16):
        raise Http404
    return get_object_or_404(SupplierAgreement, pk=int(written), supplier=supplier, superseded_at=None)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def risk(request: HttpRequest, slug: str) -> HttpResponse:
    user = leader(request)
    about = get_object_or_404(Company, slug=slug)
    form = RiskForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        fact = given["fact"]
        try:
            service.record_risk_event(
                company_id=about.pk,
                severity=given["severity"],
                title=given["title"],
                dated=given["dated"],
                detail=given["detail"],
                fact_id=fact.pk if fact else None,
                source=given["source"] or source_of(fact),
                by=user,
                at=clock.now(),
            )
        except Refusal as refused:
            form.refuse(refused)
        else:
            messages.success(request, _("The event is recorded."))
            return redirect("marketplace:company", about.slug)
    return form_page(
        request,
        form,
        rows=(("title",), ("dated", "severity"), ("detail",), ("fact", "source")),
        title=_("Risk event of %(about_name)s") % {"about_name": about.name},
        back=reverse("marketplace:company", args=[about.slug]),
        more={"company": about},
    )


@require_POST
@login_required
def withdraw_risk(request: HttpRequest, pk: int) -> HttpResponse:
    user = leader(request)
    found = get_object_or_404(RiskEvent.objects.select_related("company"), pk=pk)
    withdrawing(
        request,
        lambda reason: service.withdraw_risk_event(
            risk_event_id=found.pk, reason=reason, by=user, at=clock.now()
        ),
        done=_("Withdrawn: %(found_title)s.") % {"found_title": found.title},
    )
    return redirect("marketplace:company", found.company.slug)
