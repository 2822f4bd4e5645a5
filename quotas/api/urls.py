"""Addresses of the sales endpoints, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from quotas.api.credits import Credits
from quotas.api.deals import Deals
from quotas.api.estimates import CreditEstimates
from quotas.api.leaderboards import LeaderboardOf, Leaderboards
from quotas.api.targets import Attainments, Customers, Periods, Quotas

router = SimpleRouter()
router.register("deals", Deals, basename="deal")
router.register("credits", Credits, basename="credit")
router.register("quotas", Quotas, basename="quota")
router.register("periods", Periods, basename="period")
router.register("customers", Customers, basename="customer")

urlpatterns = [
    *router.urls,
    path("attainments/", Attainments.as_view({"get": "list"}), name="attainment-list"),
    path("leaderboards/", Leaderboards.as_view({"get": "list"}), name="leaderboard-list"),
    path("leaderboards/<slug:measure>/", LeaderboardOf.as_view(), name="leaderboard"),
    path("credit-estimates/", CreditEstimates.as_view(), name="credit-estimates"),
]
