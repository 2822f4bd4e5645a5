"""Where a public statement is put to use: the tie, the risk, the binding, the finding or the policy that rests on it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from marketplace.models import Binding, Evaluation, PublicFact, Relationship, RiskEvent, SpendPlan
from marketplace.selectors.public_facts import fact_behind
from marketplace.selectors.sourcing.companies import ABOUT_US, operator

POLICIES: Final = {"incentive_policy": "The policy", "catalog_policy": "Equal footing"}


@dataclass(frozen=True, slots=True)
class Use:
    """Something that rests on a fact. page: the name of its address in the marketplace's URLs, with args and an anchor."""

    words: str
    page: str
    args: tuple[Any, ...] = ()
    anchor: str = ""


def uses(facts: Sequence[PublicFact], *, sourcing: bool, bindings: bool) -> dict[int, list[Use]]:
    """Fact id to what rests on it and this reader may see: one each of a place. 7 queries at most.

    sourcing, bindings   Whether the reader may see companies and money, and what runs on what.
    """
    found: dict[int, dict[tuple[object, ...], Use]] = defaultdict(dict)

    def add(fact_id: int | None, use: Use) -> None:
        found[fact_id or 0].setdefault((use.page, use.args), use)

    if sourcing:
        for tie in Relationship.objects.filter(superseded_at=None, fact__in=facts).select_related(
            "payer", "payee", "currency"
        ):
            add(
                tie.fact_id,
                Use(
                    f"{tie.get_kind_display()}: {tie.payer.name} → {tie.payee.name}",
                    "relationship",
                    (tie.pk,),
                ),
            )
        for risk in RiskEvent.objects.filter(superseded_at=None, fact__in=facts).select_related("company"):
            add(risk.fact_id, Use(f"Risk: {risk.company.name}", "company", (risk.company.slug,), "risks"))
        for plan in SpendPlan.objects.filter(superseded_at=None, fact__in=facts).select_related("supplier"):
            add(plan.fact_id, Use(f"Spend plan: {plan.supplier.name}", "spend-plans"))
    if bindings:
        for binding in (
            Binding.objects.filter(superseded_at=None, fact__in=facts)
            .select_related("feature__product")
            .order_by("feature__position", "feature_id", "id")
        ):
            add(binding.fact_id, Use(str(binding.feature), "feature", (binding.feature.slug,)))
    us = operator() if sourcing and any(fact.kind in ABOUT_US for fact in facts) else None
    for fact in facts:
        if us is not None and fact.kind in ABOUT_US:
            add(fact.pk, Use(f"Company: {us.name}", "company", (us.slug,), "said"))
        if fact.kind in POLICIES:
            page = "policy" if fact.kind == "incentive_policy" else "footing"
            add(fact.pk, Use(POLICIES[fact.kind], page))
    said = [fact for fact in facts if fact.kind == "task_evaluation"]
    if said:
        for evaluation in Evaluation.objects.filter(score=None).select_related("task_area").order_by("id"):
            behind = fact_behind(evaluation, said)
            if behind is not None:
                add(
                    behind.pk,
                    Use(f"Evidence: {evaluation.task_area.name}", "task", (evaluation.task_area.slug,)),
                )
    return {pk: list(rows.values()) for pk, rows in found.items()}
