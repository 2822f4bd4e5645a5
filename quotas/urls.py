"""Pages of selling: boards, leaderboards, deals, approvals, rules, periods."""

from django.urls import path

from quotas.views import approvals, board, credits, deal_form, deals, leaderboard, rules

app_name = "quotas"

urlpatterns = [
    path("quotas/board/", board.board, name="board"),
    path("quotas/board/<slug:slug>/", board.board, name="board"),
    path("quotas/leaderboard/", leaderboard.board, name="leaderboard"),
    path("quotas/deals/", deals.deals, name="deals"),
    path("quotas/deals/new/", deal_form.new, name="deal-new"),
    path("quotas/deals/estimate/", deal_form.live, name="deal-estimate"),
    path("quotas/deals/find/<slug:what>/", deal_form.find, name="deal-find"),
    path("quotas/deals/<int:pk>/", deals.deal, name="deal"),
    path("quotas/deals/<int:pk>/edit/", deal_form.edit, name="deal-edit"),
    path("quotas/deals/<int:pk>/<slug:action>/", deals.act, name="deal-act"),
    path("quotas/approvals/", approvals.approvals, name="approvals"),
    path("quotas/approvals/approve/", approvals.approve, name="approve"),
    path("quotas/credits/<int:pk>/explanation/", credits.explanation, name="credit-explanation"),
    path("quotas/plans/", rules.plans, name="plans"),
    path("quotas/periods/", rules.periods, name="periods"),
]
