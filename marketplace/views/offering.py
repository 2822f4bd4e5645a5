"""One offering: the answer, its facts, plans, prices, treatment, evidence, lifecycle and history."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config import clock
from marketplace.extension import panels_for
from marketplace.models import EligibilityDecision, Offering, Plan, PriceVersion, ScopeLevel
from marketplace.selectors.answer import Answer, answer
from marketplace.selectors.eligibility import scope_name
from marketplace.selectors.evidence import evidence_of
from marketplace.selectors.history import history_of
from marketplace.selectors.prices import price_versions, row_text
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for
from marketplace.views import HtmxRequest, signed_in, wants_part

CAPABILITIES: Final = {
    "reasoning": "Reasoning",
    "tool_call": "Tool calls",
    "structured_output": "Structured output",
    "attachment": "Attachments",
    "temperature": "Temperature can be set",
}


@dataclass(frozen=True, slots=True)
class PriceLine:
    version: PriceVersion
    texts: list[str]
    in_effect: bool


@dataclass(frozen=True, slots=True)
class PlanLines:
    plan: Plan
    prices: list[PriceLine]


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """An eligibility decision as the page shows it; names of people only inside the operator."""

    decision: EligibilityDecision
    scope: str
    in_effect: bool
    holds: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """One date of the lifecycle."""

    label: str
    day: date
    note: str
    past: bool


@require_safe
@login_required
@vary_on_headers("HX-Request")
def offering(request: HtmxRequest, slug: str) -> HttpResponse:
    user = signed_in(request)
    found = get_object_or_404(with_facts(offerings_for(user)), slug=slug)
    today = clock.today()
    plan = next((p for p in found.plans.all() if p.slug == request.GET.get("plan")), None)
    on = _day(request.GET.get("on", "")) or today
    given = answer(found, on=on, plan=plan, country=_country(request.GET.get("country", "")))
    context: dict[str, Any] = {
        "offering": found,
        "today": today,
        "answer": given,
        "answer_prices": [(v, _texts(v)) for v in given.prices],
        "asked_plan": plan,
    }
    if wants_part(request):
        return render(request, "marketplace/offering.html#answer", context)
    outside = user.has_role("partner")
    context |= {
        "facts": _facts(found),
        "plans": _plans(found, today),
        "decisions": _decisions(found, given),
        "outside": outside,
        "evidence": evidence_of(found),
        "stages": _stages(found, today),
        "history": history_of(found),
        "panels": panels_for(found, user, today),
        "replaces": offerings_for(user).filter(replacement=found).order_by("name"),
    }
    return render(request, "marketplace/offering.html", context)


def _facts(offering: Offering) -> list[tuple[str, str]]:
    """Label and text; what is unknown says so."""
    facts = [("SKU", offering.slug), ("Kind", offering.get_kind_display()), ("Family", offering.family)]
    version = offering.model_version
    if version is None:
        return facts
    unknown = "Unknown"
    open_weights = version.model.open_weights
    return [
        *facts,
        ("Model", f"{version.model.name}, version {version.label}"),
        ("Context", f"{version.context_window:,} tokens" if version.context_window else unknown),
        ("Longest output", f"{version.max_output:,} tokens" if version.max_output else unknown),
        ("Takes in", ", ".join(version.modalities_in) if version.modalities_in else unknown),
        ("Gives out", ", ".join(version.modalities_out) if version.modalities_out else unknown),
        *(
            (label, {True: "Yes", False: "No"}.get(version.capabilities.get(name), unknown))
            for name, label in CAPABILITIES.items()
        ),
        ("Knowledge up to", version.knowledge_cutoff or unknown),
        ("Weights", unknown if open_weights is None else "Open" if open_weights else "Not published"),
    ]


def _plans(offering: Offering, today: date) -> list[PlanLines]:
    """Every plan with all its price versions, in effect or not. 2 queries."""
    versions: dict[int, list[PriceLine]] = {}
    for version in price_versions([p.pk for p in offering.plans.all()]):
        span = version.effective
        now = (span.lower is None or span.lower <= today) and (span.upper is None or today < span.upper)
        versions.setdefault(version.plan_id, []).append(PriceLine(version, _texts(version), now))
    return [PlanLines(plan, versions.get(plan.pk, [])) for plan in offering.plans.all()]


def _texts(version: PriceVersion) -> list[str]:
    return [row_text(row, version) for row in version.rows.all()]


def _decisions(offering: Offering, given: Answer) -> list[DecisionLine]:
    """Every checked decision that reaches the offering, whatever its dates; most specific first. 1 query."""
    reaching = (
        EligibilityDecision.objects.filter(checked_at__isnull=False, superseded_at=None)
        .filter(
            Q(level=ScopeLevel.PATH, commercial_path=offering.commercial_path)
            | Q(publisher=offering.publisher_id)
            | Q(offering=offering.pk)
            | Q(plan__offering=offering.pk)
        )
        .select_related("publisher", "offering", "plan", "made_by", "checked_by")
        .order_by("-level", "effective", "id")
    )
    deciding = {t.decision.pk for t in given.treated.values() if t.decision is not None}
    order = {program.value: place for place, program in enumerate(given.treated)}
    lines = []
    for decision in reaching:
        span = decision.effective
        now = (span.lower is None or span.lower <= given.on) and (span.upper is None or given.on < span.upper)
        lines.append(DecisionLine(decision, scope_name(decision), now, decision.pk in deciding))
    return sorted(lines, key=lambda line: (order[line.decision.program], -line.decision.level))


def _stages(offering: Offering, today: date) -> list[Stage]:
    stages = (
        ("Preview", offering.preview_on, "May be sold; terms may still change."),
        ("Generally available", offering.available_on, "May be sold."),
        ("Legacy", offering.legacy_on, "30 days' notice: may still be sold."),
        ("Deprecated", offering.deprecated_on, "No new deals for the last 90 days."),
        ("Retired", offering.retires_on, "No longer answers."),
    )
    return [Stage(label, day, note, day <= today) for label, day, note in stages if day is not None]


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written)
    except ValueError:
        return None


def _country(written: str) -> str:
    code = written.strip().upper()
    return code if len(code) == 2 and code.isascii() and code.isalpha() else ""
