"""Pages of selling: boards, leaderboards, deals, approvals, rules, periods."""

from django.urls import path

from quotas.views import (
    approvals,
    board,
    credits,
    deal_form,
    deals,
    facts,
    leaderboard,
    parity,
    plans,
    recredits,
    rules,
    usage,
)

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
    path("quotas/deals/<int:pk>/amend/", deal_form.amend, name="deal-amend"),
    path("quotas/deals/<int:pk>/<slug:action>/", deals.act, name="deal-act"),
    path("quotas/usage/", usage.usage, name="usage"),
    path("quotas/usage/record/", usage.record, name="usage-record"),
    path("quotas/approvals/", approvals.approvals, name="approvals"),
    path("quotas/approvals/approve/", approvals.approve, name="approve"),
    path("quotas/credits/<int:pk>/explanation/", credits.explanation, name="credit-explanation"),
    path("quotas/plans/", rules.plans, name="plans"),
    path("quotas/plans/new/", plans.new_plan, name="plan-new"),
    path("quotas/plans/<slug:slug>/new/", plans.new_version, name="plan-version-new"),
    path("quotas/plans/<slug:slug>/<int:number>/", plans.version, name="plan-version"),
    path("quotas/plans/<slug:slug>/<int:number>/edit/", plans.edit, name="plan-edit"),
    path("quotas/plans/<slug:slug>/<int:number>/rules/new/", plans.rule_new, name="plan-rule-new"),
    path("quotas/plans/<slug:slug>/<int:number>/rules/live/", plans.rule_live, name="plan-rule-live"),
    path("quotas/plans/<slug:slug>/<int:number>/rules/<int:pk>/", plans.rule_edit, name="plan-rule"),
    path(
        "quotas/plans/<slug:slug>/<int:number>/rules/<int:pk>/remove/",
        plans.rule_remove,
        name="plan-rule-remove",
    ),
    path("quotas/plans/<slug:slug>/<int:number>/components/", plans.components, name="plan-components"),
    path("quotas/plans/<slug:slug>/<int:number>/assignments/", plans.assignments, name="plan-assignments"),
    path("quotas/plans/<slug:slug>/<int:number>/try/", plans.try_deal, name="plan-try"),
    path("quotas/plans/<slug:slug>/<int:number>/impact/", plans.impact, name="plan-impact"),
    path("quotas/plans/<slug:slug>/<int:number>/impact/start/", plans.impact_start, name="plan-impact-start"),
    path(
        "quotas/plans/<slug:slug>/<int:number>/impact/<int:run>.csv", plans.impact_csv, name="plan-impact-csv"
    ),
    path("quotas/plans/<slug:slug>/<int:number>/prove/", plans.prove, name="plan-prove"),
    path("quotas/plans/<slug:slug>/<int:number>/do/<slug:action>/", plans.act, name="plan-act"),
    path("quotas/periods/", rules.periods, name="periods"),
    path("quotas/recredits/", recredits.recredits, name="recredits"),
    path("quotas/recredits/new/", facts.recredit_by_hand, name="recredit-new"),
    path("quotas/recredits/<int:pk>/", recredits.recredit, name="recredit"),
    path("quotas/recredits/<int:pk>/cancel/", recredits.cancel, name="recredit-cancel"),
    path("quotas/facts/", facts.index, name="facts"),
    path("quotas/facts/<slug:kind>/", facts.change, name="fact"),
    path("quotas/parity/", parity.parity, name="parity"),
    path("quotas/parity/prove/", parity.prove, name="parity-prove"),
    path("quotas/parity/exceptions/", parity.ask, name="parity-ask"),
    path(
        "quotas/parity/exceptions/<int:pk>/approve/",
        parity.decide,
        {"action": "approve"},
        name="parity-approve",
    ),
    path(
        "quotas/parity/exceptions/<int:pk>/withdraw/",
        parity.decide,
        {"action": "withdraw"},
        name="parity-withdraw",
    ),
]
