"""Addresses of the catalog under /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from marketplace.api import (
    change_sets,
    changes,
    costs,
    decisions,
    imports,
    private_offers,
    recommendations,
    views,
    webhooks,
)
from marketplace.api.sourcing import bindings as sourcing_bindings
from marketplace.api.sourcing import companies as sourcing_companies
from marketplace.api.sourcing import evaluations as sourcing_evaluations
from marketplace.api.sourcing import exposure as sourcing_exposure
from marketplace.api.sourcing import scenarios as sourcing_scenarios
from marketplace.api.sourcing import spend as sourcing_spend
from marketplace.api.sourcing import substitutions as sourcing_substitutions

router = SimpleRouter()
router.register("publishers", views.Publishers, basename="publisher")
router.register("offerings", views.Offerings, basename="offering")
router.register("models", views.Models, basename="model")
router.register("imports", imports.Imports, basename="import")
router.register("eligibility-decisions", decisions.Decisions, basename="eligibility-decision")
router.register("changes", changes.Changes, basename="change")
router.register("change-sets", change_sets.ChangeSets, basename="change-set")
router.register("webhook-endpoints", webhooks.WebhookEndpoints, basename="webhook-endpoint")
router.register("webhook-deliveries", webhooks.WebhookDeliveries, basename="webhook-delivery")
router.register("sourcing/relationships", sourcing_companies.Relationships, basename="sourcing-relationship")
router.register("sourcing/commitments", sourcing_companies.Commitments, basename="sourcing-commitment")
router.register("private-offers", private_offers.PrivateOffers, basename="private-offer")
router.register("sourcing/bindings", sourcing_bindings.Bindings, basename="sourcing-binding")
router.register("sourcing/evaluations", sourcing_evaluations.Evaluations, basename="sourcing-evaluation")
router.register("sourcing/scenarios", sourcing_scenarios.Scenarios, basename="sourcing-scenario")
router.register("sourcing/usage", sourcing_spend.UsageLines, basename="sourcing-usage")
router.register(
    "sourcing/substitutions", sourcing_substitutions.Substitutions, basename="sourcing-substitution"
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("offerings/facets/", views.Facets.as_view(), name="offering-facets"),
    path("offerings/<slug:slug>/plans/", views.Plans.as_view(), name="offering-plans"),
    path("offerings/<slug:slug>/prices/", views.Prices.as_view(), name="offering-prices"),
    path("offerings/<slug:slug>/eligibility/", views.Eligibility.as_view(), name="offering-eligibility"),
    path("offerings/<slug:slug>/evaluations/", views.Evaluations.as_view(), name="offering-evaluations"),
    path("offerings/<slug:slug>/substitutes/", views.Substitutes.as_view(), name="offering-substitutes"),
    path("offerings/<slug:slug>/answer/", views.TheAnswer.as_view(), name="offering-answer"),
    path("costs/", costs.Costs.as_view(), name="costs"),
    path("sourcing/spend/", sourcing_spend.SpendView.as_view(), name="sourcing-spend"),
    path("sourcing/exposure/", sourcing_exposure.ExposureView.as_view(), name="sourcing-exposure"),
    path("recommendations/", recommendations.Recommendations.as_view(), name="recommendations"),
    path(
        "change-sets/<int:pk>/items/",
        change_sets.ChangeSetItems.as_view({"get": "list"}),
        name="change-set-items",
    ),
    *router.urls,
]
