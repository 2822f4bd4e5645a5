"""Addresses of the sales endpoints, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from quotas.api.credits import Credits
from quotas.api.deals import Deals
from quotas.api.estimates import CreditEstimates
from quotas.api.imports import SalesImports
from quotas.api.leaderboards import LeaderboardOf, Leaderboards
from quotas.api.parity import Parity
from quotas.api.plans import PlanVersions
from quotas.api.policies import Policies
from quotas.api.recredits import Recredits
from quotas.api.targets import Attainments, Customers, Periods, Quotas
from quotas.api.usage import Usage

router = SimpleRouter()
router.register("recredits", Recredits, basename="recredit")
router.register("sales-imports", SalesImports, basename="sales-import")
router.register("deals", Deals, basename="deal")
router.register("credits", Credits, basename="credit")
router.register("straight-through-policies", Policies, basename="straight-through-policy")
router.register("plan-versions", PlanVersions, basename="plan-version")
router.register("quotas", Quotas, basename="quota")
router.register("periods", Periods, basename="period")
router.register("customers", Customers, basename="customer")

urlpatterns = [
    *router.urls,
    path("attainments/", Attainments.as_view({"get": "list"}), name="attainment-list"),
    path("leaderboards/", Leaderboards.as_view({"get": "list"}), name="leaderboard-list"),
    path("leaderboards/<slug:measure>/", LeaderboardOf.as_view(), name="leaderboard"),
    path("usage/", Usage.as_view({"get": "list", "post": "create"}), name="usage"),
    path("parity/", Parity.as_view(), name="parity"),
    path("credit-estimates/", CreditEstimates.as_view(), name="credit-estimates"),
]
