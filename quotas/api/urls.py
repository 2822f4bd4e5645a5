"""Addresses of the sales endpoints, below /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from quotas.api.accounts import Accounts
from quotas.api.adjustments import Adjustments
from quotas.api.approvals import ApprovalLimits, Approvals, Delegations
from quotas.api.closes import Checklist, Closes, Opening, Seals
from quotas.api.credits import Credits
from quotas.api.deals import Deals
from quotas.api.disputes import Discrepancies, Disputes
from quotas.api.earnings import Accruals, Earnings
from quotas.api.estimates import CreditEstimates
from quotas.api.gap import MyGap
from quotas.api.imports import SalesImports
from quotas.api.leaderboards import LeaderboardOf, Leaderboards
from quotas.api.parity import Parity
from quotas.api.plans import PlanVersions
from quotas.api.policies import Policies
from quotas.api.quota_planning import QuotaReliefs
from quotas.api.recredits import Recredits
from quotas.api.statements import Statements
from quotas.api.targets import Attainments, Customers, Periods, Quotas
from quotas.api.usage import Usage

router = SimpleRouter()
router.register("recredits", Recredits, basename="recredit")
router.register("sales-imports", SalesImports, basename="sales-import")
router.register("accounts", Accounts, basename="account")
router.register("deals", Deals, basename="deal")
router.register("disputes", Disputes, basename="dispute")
router.register("adjustments", Adjustments, basename="adjustment")
router.register("discrepancies", Discrepancies, basename="discrepancy")
router.register("approvals", Approvals, basename="approval")
router.register("delegations", Delegations, basename="delegation")
router.register("approval-limits", ApprovalLimits, basename="approval-limit")
router.register("credits", Credits, basename="credit")
router.register("earnings", Earnings, basename="earning")
router.register("straight-through-policies", Policies, basename="straight-through-policy")
router.register("plan-versions", PlanVersions, basename="plan-version")
router.register("quotas", Quotas, basename="quota")
router.register("quota-reliefs", QuotaReliefs, basename="quota-relief")
router.register("periods", Periods, basename="period")
router.register("seals", Seals, basename="seal")
router.register("statements", Statements, basename="statement")
router.register("customers", Customers, basename="customer")

urlpatterns = [
    path("earnings/accruals/", Accruals.as_view(), name="earning-accruals"),
    *router.urls,
    path("periods/<str:name>/checklist/", Checklist.as_view(), name="period-checklist"),
    path("periods/<str:name>/open/", Opening.as_view(), name="period-open"),
    path("periods/<str:name>/closes/", Closes.as_view({"get": "list", "post": "create"}), name="close-list"),
    path("periods/<str:name>/closes/<int:pk>/", Closes.as_view({"get": "retrieve"}), name="close-detail"),
    *(
        path(
            f"periods/<str:name>/closes/<int:pk>/{name.replace('_', '-')}/",
            Closes.as_view({"post": name}),
            name=f"close-{name}",
        )
        for name in ("approve", "call_back", "go_on", "ask_reopen", "reopen")
    ),
    path("attainments/", Attainments.as_view({"get": "list"}), name="attainment-list"),
    path("leaderboards/", Leaderboards.as_view({"get": "list"}), name="leaderboard-list"),
    path("leaderboards/<slug:measure>/", LeaderboardOf.as_view(), name="leaderboard"),
    path("usage/", Usage.as_view({"get": "list", "post": "create"}), name="usage"),
    path("parity/", Parity.as_view(), name="parity"),
    path("me/gap/", MyGap.as_view(), name="me-gap"),
    path("credit-estimates/", CreditEstimates.as_view(), name="credit-estimates"),
]
