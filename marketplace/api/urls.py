"""Addresses of the catalog under /api/v1/."""

from django.urls import URLPattern, URLResolver, path
from rest_framework.routers import SimpleRouter

from marketplace.api import views

router = SimpleRouter()
router.register("publishers", views.Publishers, basename="publisher")
router.register("offerings", views.Offerings, basename="offering")
router.register("models", views.Models, basename="model")

urlpatterns: list[URLPattern | URLResolver] = [
    path("offerings/facets/", views.Facets.as_view(), name="offering-facets"),
    path("offerings/<slug:slug>/plans/", views.Plans.as_view(), name="offering-plans"),
    path("offerings/<slug:slug>/prices/", views.Prices.as_view(), name="offering-prices"),
    path("offerings/<slug:slug>/eligibility/", views.Eligibility.as_view(), name="offering-eligibility"),
    path("offerings/<slug:slug>/evaluations/", views.Evaluations.as_view(), name="offering-evaluations"),
    path("offerings/<slug:slug>/substitutes/", views.Substitutes.as_view(), name="offering-substitutes"),
    path("offerings/<slug:slug>/answer/", views.TheAnswer.as_view(), name="offering-answer"),
    *router.urls,
]
