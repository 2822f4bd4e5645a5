"""How the catalog looks in JSON. Shapes are declared once, for the schema; rows become them by plain functions."""

from datetime import date
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from config.formats import iso
from marketplace.models import (
    EligibilityDecision,
    Evaluation,
    Offering,
    Plan,
    PriceRow,
    PriceVersion,
    Program,
)
from marketplace.selectors.answer import Answer
from marketplace.selectors.eligibility import ONE, Treatment, bulk_treatments, scope_name
from marketplace.selectors.evidence import Evidence, Result
from marketplace.selectors.resources import offering_body, version_facts
from marketplace.selectors.substitutes import Substitute

TEXT = serializers.CharField
DAY = serializers.DateField


def rate(ppm: int | None) -> str | None:
    """Parts per million as a decimal: 1, 0.5, 0."""
    return None if ppm is None else f"{(Decimal(ppm) / ONE).normalize():f}"


# --- shapes


class PublisherShape(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    origin = serializers.ChoiceField(choices=["first", "third"])


class PublisherResource(PublisherShape):
    about = TEXT()
    website = TEXT()
    offerings = serializers.IntegerField(help_text="How many of theirs you can see.")


class OfferedModel(serializers.Serializer[Any]):
    """What is unknown is null."""

    slug = TEXT()
    name = TEXT()
    version = TEXT()
    open_weights = serializers.BooleanField(allow_null=True)
    context_window = serializers.IntegerField(allow_null=True, help_text="Tokens.")
    max_output = serializers.IntegerField(allow_null=True, help_text="Tokens.")
    modalities_in = serializers.ListField(child=TEXT(), allow_null=True)
    modalities_out = serializers.ListField(child=TEXT(), allow_null=True)
    capabilities = serializers.DictField(child=serializers.BooleanField(allow_null=True))
    languages = serializers.ListField(child=TEXT(), allow_null=True)
    knowledge_cutoff = TEXT(
        allow_null=True, help_text="As precise as it is known: 2025, 2025-03 or 2025-03-31."
    )
    released_on = DAY(allow_null=True)


class PlanResource(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    deployment = TEXT()
    processing_tier = TEXT()
    zone = TEXT()
    regions = serializers.ListField(child=TEXT(), allow_null=True, help_text="Null is unknown.")
    pricing_form = TEXT()
    is_public = serializers.BooleanField()
    withdrawn_on = DAY(allow_null=True, help_text="First day without new orders.")


class TreatmentShape(serializers.Serializer[Any]):
    counts = serializers.BooleanField(allow_null=True, help_text="Null where nobody has decided.")
    rate = TEXT(allow_null=True, help_text="Share of the value that counts, as a decimal.")
    why = TEXT()
    assumed = serializers.BooleanField()
    decision = serializers.IntegerField(allow_null=True)
    until = DAY(allow_null=True, help_text="First day on which it is treated otherwise.")


class ProgramsShape(serializers.Serializer[Any]):
    quota = TreatmentShape()
    commitment = TreatmentShape()
    credits = TreatmentShape()
    resale = TreatmentShape()
    co_sell = TreatmentShape()


class OfferingResource(serializers.Serializer[Any]):
    """An offering as of a day: its facts, its stage, and how it is treated."""

    slug = TEXT()
    name = TEXT()
    kind = TEXT()
    publisher = PublisherShape()
    family = TEXT()
    summary = TEXT()
    model = OfferedModel(allow_null=True)
    commercial_path = TEXT()
    path_basis = TEXT()
    path_assumed = serializers.BooleanField()
    publication = TEXT()
    billing_countries = serializers.ListField(
        child=TEXT(), allow_null=True, help_text="Null is every country."
    )
    preview_on = DAY(allow_null=True)
    available_on = DAY(allow_null=True)
    legacy_on = DAY(allow_null=True)
    deprecated_on = DAY(allow_null=True)
    retires_on = DAY(allow_null=True)
    replacement = TEXT(allow_null=True)
    task_areas = serializers.ListField(child=TEXT())
    plans = PlanResource(many=True)
    revision = serializers.IntegerField()
    as_of = DAY()
    lifecycle = TEXT()
    eligibility = ProgramsShape()

    def to_representation(self, instance: Offering) -> dict[str, Any]:
        """The view works out how a whole page is treated in one query and leaves it in `treated`."""
        view = self.context["view"]
        on: date = view.on
        treated = (
            getattr(view, "treated", {}).get(instance.pk) or bulk_treatments([instance], on)[instance.pk]
        )
        return {
            **offering_body(instance),
            "as_of": on.isoformat(),
            "lifecycle": instance.lifecycle_on(on).value,
            "eligibility": programs_body(treated),
        }


class PriceShape(serializers.Serializer[Any]):
    amount = TEXT(allow_null=True, help_text="Decimal string; null is unknown, 0 is free.")
    currency = TEXT()
    per = serializers.IntegerField(help_text="How many units the amount buys.")
    unit = TEXT()


class PriceRowShape(serializers.Serializer[Any]):
    meter = TEXT()
    tier_from = serializers.IntegerField(help_text="First unit of the month to which it applies.")
    above_context = serializers.IntegerField(
        help_text="Applies to the whole of a request with more input tokens than this."
    )
    price = PriceShape()


class PriceResource(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    plan = TEXT()
    market = TEXT()
    currency = TEXT()
    effective_from = DAY(allow_null=True)
    effective_until = DAY(allow_null=True, help_text="First day on which it no longer holds.")
    source = TEXT()  # type: ignore[assignment]  # a field called source
    rows = PriceRowShape(many=True)


class DecisionResource(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    program = TEXT()
    level = serializers.ChoiceField(choices=["path", "publisher", "offering", "plan"])
    decided_for = TEXT()
    rate = TEXT()
    effective_from = DAY(allow_null=True)
    effective_until = DAY(allow_null=True)
    reason = TEXT()
    evidence = TEXT()
    assumed = serializers.BooleanField()
    checked_at = serializers.DateTimeField()


class EligibilityResource(serializers.Serializer[Any]):
    offering = TEXT()
    plan = TEXT(allow_null=True)
    as_of = DAY()
    programs = ProgramsShape()
    decisions = DecisionResource(many=True)


class IntervalResource(serializers.Serializer[Any]):
    """95 % interval of a score, in its own unit."""

    low = TEXT()
    high = TEXT()
    computed = serializers.BooleanField(
        help_text="Worked out here from the number of cases (Wilson's), not given by the source."
    )


class EvaluationResource(serializers.Serializer[Any]):
    task_area = TEXT()
    subject = TEXT()
    benchmark = TEXT()
    benchmark_version = TEXT()
    metric = TEXT()
    higher_is_better = serializers.BooleanField()
    harness = TEXT(help_text="Results of different harnesses are never ranked together.")
    variant = TEXT()
    sample_size = serializers.IntegerField(allow_null=True)
    score = TEXT(allow_null=True, help_text="Null for a finding without figures.")
    interval = IntervalResource(allow_null=True)
    finding = TEXT()
    place = serializers.IntegerField(allow_null=True)
    of = serializers.IntegerField(allow_null=True)
    cost_usd = TEXT(allow_null=True)
    latency_s = TEXT(allow_null=True)
    dated = DAY(allow_null=True)
    source = TEXT()  # type: ignore[assignment]  # a field called source
    licence = TEXT()
    evaluator = TEXT()
    synthetic = serializers.BooleanField()


class SubstituteResource(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    publisher = PublisherShape()
    named = serializers.BooleanField()
    shared_tasks = serializers.ListField(child=TEXT())
    why = TEXT()
    context_window = serializers.IntegerField(allow_null=True, help_text="Tokens; null is unknown.")
    quota = TreatmentShape()
    input_price = TEXT(allow_null=True, help_text="USD for a million tokens on the day; null is unknown.")
    output_price = TEXT(allow_null=True, help_text="USD for a million tokens on the day; null is unknown.")
    input_change = TEXT(
        allow_null=True,
        help_text="Per cent more or less than the offering costs, rounded to a tenth; null is unknown.",
    )
    output_change = TEXT(allow_null=True, help_text="Per cent, rounded to a tenth; null is unknown.")
    evidence = TEXT(
        help_text="What results of the same benchmark, version, metric and harness say of the two."
    )


class CodeShape(serializers.Serializer[Any]):
    code = TEXT()
    message = TEXT()


class ReplacementShape(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()


class QuotedShape(PriceResource):
    private_offer = serializers.IntegerField(
        allow_null=True, help_text="The accepted offer whose price it is; null for a list price."
    )
    why = TEXT()


class EndingShape(serializers.Serializer[Any]):
    of = TEXT(help_text="sale, price, or the program that is decided otherwise from that day on.")
    day = DAY()
    why = TEXT()
    plan = TEXT(allow_null=True)
    price_version = serializers.IntegerField(allow_null=True)
    private_offer = serializers.IntegerField(allow_null=True)
    decision = serializers.IntegerField(allow_null=True)


class PlanAnswerShape(ProgramsShape):
    plan = TEXT()


class AnswerResource(serializers.Serializer[Any]):
    offering = TEXT()
    plan = TEXT(allow_null=True)
    on = DAY()
    country = TEXT(allow_null=True)
    region = TEXT(allow_null=True)
    customer = TEXT(allow_null=True)
    sellable = serializers.BooleanField()
    code = TEXT(allow_null=True, help_text="The one stable reason why not; null where it can be sold.")
    why = TEXT()
    warnings = CodeShape(many=True)
    lifecycle = TEXT()
    until = DAY(allow_null=True, help_text="First day on which it can no longer be sold.")
    until_why = TEXT()
    endings = EndingShape(many=True, help_text="Every end that is known, the nearest first.")
    replacement = ReplacementShape(allow_null=True)
    prices = QuotedShape(many=True)
    plans = PlanAnswerShape(
        many=True, help_text="What could be bought there and then, and how each is treated."
    )
    quota = TreatmentShape()
    commitment = TreatmentShape()
    credits = TreatmentShape()
    resale = TreatmentShape()
    co_sell = TreatmentShape()


class FacetValueShape(serializers.Serializer[Any]):
    value = TEXT()
    label = TEXT()  # type: ignore[assignment]  # a field called label
    count = serializers.IntegerField()


class FacetsResource(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    search_read_as = TEXT(
        allow_null=True, help_text="How a misspelt search was read; null where it was taken as written."
    )
    facets = serializers.DictField(child=FacetValueShape(many=True))


class VersionShape(serializers.Serializer[Any]):
    version = TEXT()
    context_window = serializers.IntegerField(allow_null=True)
    max_output = serializers.IntegerField(allow_null=True)
    modalities_in = serializers.ListField(child=TEXT(), allow_null=True)
    modalities_out = serializers.ListField(child=TEXT(), allow_null=True)
    capabilities = serializers.DictField(child=serializers.BooleanField(allow_null=True))
    languages = serializers.ListField(child=TEXT(), allow_null=True)
    knowledge_cutoff = TEXT(allow_null=True)
    released_on = DAY(allow_null=True)
    offerings = serializers.ListField(child=TEXT(), help_text="Those that you can see.")


class ModelResource(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    publisher = PublisherShape()
    family = TEXT()
    open_weights = serializers.BooleanField(allow_null=True)
    versions = VersionShape(many=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return {
            "slug": instance.slug,
            "name": instance.name,
            "publisher": publisher_body(instance.publisher),
            "family": instance.family,
            "open_weights": instance.open_weights,
            "versions": [
                {
                    "version": version.label,
                    **version_facts(version),
                    "offerings": [offering.slug for offering in version.seen_offerings],
                }
                for version in instance.versions.all()
            ],
        }


# --- rows into shapes


def publisher_body(publisher: Any) -> dict[str, Any]:
    return {"slug": publisher.slug, "name": publisher.name, "origin": publisher.origin}


def treatment_body(treatment: Treatment) -> dict[str, Any]:
    return {
        "counts": None if treatment.rate_ppm is None else treatment.counts,
        "rate": rate(treatment.rate_ppm),
        "why": treatment.why,
        "assumed": treatment.assumed,
        "decision": treatment.decision.pk if treatment.decision is not None else None,
        "until": iso(treatment.until),
    }


def programs_body(treated: dict[Program, Treatment]) -> dict[str, Any]:
    return {program.value: treatment_body(treatment) for program, treatment in treated.items()}


def price_row_body(row: PriceRow, version: PriceVersion) -> dict[str, Any]:
    amount = None
    if row.amount is not None:
        digits = max(version.currency.exponent, -int(row.amount.normalize().as_tuple().exponent))
        amount = f"{row.amount:.{digits}f}"
    return {
        "meter": row.meter,
        "tier_from": row.tier_from,
        "above_context": row.above_context,
        "price": {"amount": amount, "currency": version.currency_id, "per": row.per, "unit": row.unit},
    }


def price_body(version: PriceVersion) -> dict[str, Any]:
    return {
        "id": version.pk,
        "plan": version.plan.slug,
        "market": version.market,
        "currency": version.currency_id,
        "effective_from": iso(version.effective.lower),
        "effective_until": iso(version.effective.upper),
        "source": version.source,
        "rows": [price_row_body(row, version) for row in version.rows.all()],
    }


def decision_body(decision: EligibilityDecision) -> dict[str, Any]:
    return {
        "id": decision.pk,
        "program": decision.program,
        "level": {1: "path", 2: "publisher", 3: "offering", 4: "plan"}[decision.level],
        "decided_for": scope_name(decision),
        "rate": rate(decision.rate_ppm),
        "effective_from": iso(decision.effective.lower),
        "effective_until": iso(decision.effective.upper),
        "reason": decision.reason,
        "evidence": decision.evidence,
        "assumed": decision.assumed,
        "checked_at": iso(decision.checked_at),
    }


def evaluations_body(evidence: list[Evidence]) -> list[dict[str, Any]]:
    found = []
    for area in evidence:
        found += [_evaluation(r.evaluation, r) for r in area.results]
        found += [_evaluation(finding.evaluation, None) for finding in area.findings]
    return found


def _evaluation(evaluation: Evaluation, result: Result | None) -> dict[str, Any]:
    interval = result.interval if result is not None else None
    return {
        "task_area": evaluation.task_area.slug,
        "subject": evaluation.subject,
        "benchmark": evaluation.benchmark,
        "benchmark_version": evaluation.benchmark_version,
        "metric": evaluation.metric,
        "higher_is_better": evaluation.higher_is_better,
        "harness": evaluation.harness,
        "variant": evaluation.variant,
        "sample_size": evaluation.sample_size,
        "score": _plain(evaluation.score),
        "interval": None
        if interval is None
        else {"low": _plain(interval.low), "high": _plain(interval.high), "computed": interval.computed},
        "finding": evaluation.finding,
        "place": result.place if result is not None else None,
        "of": result.of if result is not None else None,
        "cost_usd": _plain(evaluation.cost_usd),
        "latency_s": _plain(evaluation.latency_s),
        "dated": iso(evaluation.dated),
        "source": evaluation.source,
        "licence": evaluation.licence,
        "evaluator": evaluation.evaluator,
        "synthetic": evaluation.synthetic,
    }


def substitute_body(substitute: Substitute) -> dict[str, Any]:
    return {
        "slug": substitute.offering.slug,
        "name": substitute.offering.name,
        "publisher": publisher_body(substitute.offering.publisher),
        "named": substitute.named,
        "shared_tasks": list(substitute.tasks),
        "why": substitute.why,
        "context_window": substitute.context,
        "quota": treatment_body(substitute.quota),
        "input_price": _plain(substitute.input_price),
        "output_price": _plain(substitute.output_price),
        "input_change": _tenth(substitute.input_change),
        "output_change": _tenth(substitute.output_change),
        "evidence": substitute.evidence,
    }


def _tenth(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _plain(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"


def answer_body(answer: Answer) -> dict[str, Any]:
    plan: Plan | None = answer.plan
    refusal = answer.refusal
    return {
        "offering": answer.offering.slug,
        "plan": plan.slug if plan is not None else None,
        "on": answer.on.isoformat(),
        "country": answer.country or None,
        "region": answer.region or None,
        "customer": answer.customer.slug if answer.customer is not None else None,
        "sellable": answer.sellable,
        "code": refusal.code if refusal is not None else None,
        "why": answer.why,
        "warnings": [{"code": c.code, "message": c.message} for c in answer.warnings],
        "lifecycle": answer.stage.value,
        "until": iso(answer.until),
        "until_why": answer.until_why,
        "endings": [
            {
                "of": end.of,
                "day": end.day.isoformat(),
                "why": end.why,
                "plan": end.plan.slug if end.plan is not None else None,
                "price_version": end.price_version_id,
                "private_offer": end.private_offer_id,
                "decision": end.decision_id,
            }
            for end in answer.endings
        ],
        "replacement": {"slug": answer.replacement.slug, "name": answer.replacement.name}
        if answer.replacement is not None
        else None,
        "prices": [
            {
                **price_body(quoted.version),
                "private_offer": quoted.private_offer.pk if quoted.private_offer is not None else None,
                "why": quoted.why,
            }
            for quoted in answer.quoted
        ],
        "plans": [{"plan": p.slug, **programs_body(answer.by_plan[p.pk])} for p in answer.plans],
        **programs_body(answer.treated),
    }
