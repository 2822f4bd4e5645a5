"""One shape of an offering: what REST answers, what a revision keeps, what two of them are compared by."""

from typing import Any

from django.db.models import Prefetch, QuerySet

from config.formats import iso
from marketplace.models import ModelVersion, Offering, Plan, TaskArea
from marketplace.selectors.on_sale import named_replacement

PLANS = Prefetch("plans", queryset=Plan.objects.order_by("position", "id"))
TASKS = Prefetch("task_areas", queryset=TaskArea.objects.order_by("position", "id"))


def with_facts(offerings: QuerySet[Offering]) -> QuerySet[Offering]:
    """What offering_body reads: 3 queries, whatever the number of offerings."""
    return offerings.select_related("publisher", "model_version__model", "replacement").prefetch_related(
        PLANS, TASKS
    )


def plan_body(plan: Plan) -> dict[str, Any]:
    return {
        "slug": plan.slug,
        "name": plan.name,
        "deployment": plan.deployment,
        "processing_tier": plan.processing_tier,
        "zone": plan.zone,
        "regions": plan.regions,
        "pricing_form": plan.pricing_form,
        "is_public": plan.is_public,
        "withdrawn_on": iso(plan.withdrawn_on),
    }


def model_body(offering: Offering) -> dict[str, Any] | None:
    version = offering.model_version
    if version is None:
        return None
    return {
        "slug": version.model.slug,
        "name": version.model.name,
        "version": version.label,
        "open_weights": version.model.open_weights,
        **version_facts(version),
    }


def offering_body(offering: Offering) -> dict[str, Any]:
    """Every fact of an offering as plain JSON. Of an offering of with_facts: no query."""
    instead = named_replacement(offering)
    return {
        "slug": offering.slug,
        "name": offering.name,
        "kind": offering.kind,
        "publisher": {
            "slug": offering.publisher.slug,
            "name": offering.publisher.name,
            "origin": offering.publisher.origin,
        },
        "family": offering.family,
        "summary": offering.summary,
        "model": model_body(offering),
        "commercial_path": offering.commercial_path,
        "path_basis": offering.path_basis,
        "path_assumed": offering.path_assumed,
        "publication": offering.publication,
        "billing_countries": offering.billing_countries,
        "preview_on": iso(offering.preview_on),
        "available_on": iso(offering.available_on),
        "legacy_on": iso(offering.legacy_on),
        "deprecated_on": iso(offering.deprecated_on),
        "retires_on": iso(offering.retires_on),
        "replacement": instead.slug if instead is not None else None,
        "task_areas": [area.slug for area in offering.task_areas.all()],
        "plans": [plan_body(plan) for plan in offering.plans.all()],
        "revision": offering.revision,
    }


def version_facts(version: ModelVersion) -> dict[str, Any]:
    """What is known of a model version; unknown is null."""
    return {
        "context_window": version.context_window,
        "max_output": version.max_output,
        "modalities_in": version.modalities_in,
        "modalities_out": version.modalities_out,
        "capabilities": version.capabilities,
        "languages": version.languages,
        "knowledge_cutoff": version.knowledge_cutoff or None,
        "released_on": iso(version.released_on),
    }
