"""Pages of the catalog and of sourcing."""

from django.urls import path

from marketplace.views import (
    catalog,
    change_sets,
    changes,
    compare,
    costs,
    decisions,
    evidence,
    feeds,
    footing,
    imports,
    offering,
    prices,
    private_offers,
    recommend,
    requests,
    retirement,
    spreadsheets,
)
from marketplace.views.console import home as console
from marketplace.views.console import items, keys, sets, webhooks
from marketplace.views.console import offerings as own
from marketplace.views.sourcing import brief as sourcing_brief
from marketplace.views.sourcing import commitments as sourcing_commitments
from marketplace.views.sourcing import companies as sourcing_companies
from marketplace.views.sourcing import concentration as sourcing_concentration
from marketplace.views.sourcing import facts
from marketplace.views.sourcing import flows as sourcing_flows
from marketplace.views.sourcing import judging as sourcing_judging
from marketplace.views.sourcing import overview as sourcing_overview
from marketplace.views.sourcing import plans as sourcing_plans
from marketplace.views.sourcing import portfolio as sourcing_portfolio
from marketplace.views.sourcing import products as sourcing_products
from marketplace.views.sourcing import relationships as sourcing_relationships
from marketplace.views.sourcing import scenarios as sourcing_scenarios
from marketplace.views.sourcing import spend as sourcing_spend
from marketplace.views.sourcing import substitution as sourcing_substitution

app_name = "marketplace"

urlpatterns = [
    path("catalog/", catalog.catalog, name="catalog"),
    path("catalog/compare/", compare.comparison, name="compare"),
    path("catalog/requests/", requests.requests, name="requests"),
    path("catalog/requests/<int:pk>/", requests.decide, name="request-decide"),
    path("catalog/changes/", changes.changes, name="changes"),
    path("catalog/changes/feed-address/", changes.renew_feed, name="feed-renew"),
    path("feeds/catalog.atom", feeds.atom, name="feed-atom"),
    path("feeds/catalog.json", feeds.json_feed, name="feed-json"),
    path("publisher/", console.home, name="console"),
    path("publisher/team/", console.team, name="console-team"),
    path("publisher/developers/", console.developers, name="console-developers"),
    path("publisher/keys/", keys.keys, name="console-keys"),
    path("publisher/keys/<int:pk>/<slug:action>/", keys.act, name="console-key-act"),
    path("publisher/offerings/<slug:slug>/", own.offering, name="console-offering"),
    path("publisher/change/<str:operation>/", items.change, name="console-change"),
    path("publisher/upload/", sets.upload, name="console-upload"),
    path("publisher/change-sets/<int:pk>/", sets.show, name="console-set"),
    path("publisher/change-sets/<int:pk>/<slug:action>/", sets.act, name="console-set-act"),
    path("publisher/webhooks/", webhooks.index, name="webhooks"),
    path("publisher/webhooks/new/", webhooks.new, name="webhook-new"),
    path("publisher/webhooks/<int:pk>/", webhooks.endpoint, name="webhook"),
    path("publisher/webhooks/<int:pk>/<slug:action>/", webhooks.act, name="webhook-act"),
    path("publisher/webhooks/deliveries/<int:pk>/", webhooks.delivery, name="webhook-delivery"),
    path("publisher/webhooks/deliveries/<int:pk>/replay/", webhooks.replay, name="webhook-replay"),
    path("catalog/publishers/<slug:slug>/", catalog.publisher, name="publisher"),
    path("catalog/publishers/<slug:slug>/scorecard/", footing.publisher_scorecard, name="scorecard"),
    path("tasks/", evidence.tasks, name="tasks"),
    path("tasks/<slug:slug>/", evidence.task, name="task"),
    path("recommend/", recommend.recommendation, name="recommend"),
    path("equal-footing/", footing.equal_footing, name="footing"),
    path("catalog/calculator/find/", costs.find, name="offering-find"),
    path("catalog/calculator/", costs.calculator, name="calculator"),
    path("catalog/private-offers/", private_offers.offers, name="private-offers"),
    path("catalog/private-offers/new/", private_offers.choose, name="private-offer-plan"),
    path("catalog/private-offers/new/<slug:slug>/<slug:plan>/", private_offers.new, name="private-offer-new"),
    path("catalog/private-offers/<int:pk>/", private_offers.offer, name="private-offer"),
    path("catalog/private-offers/<int:pk>/edit/", private_offers.edit, name="private-offer-edit"),
    path("catalog/private-offers/<int:pk>/<slug:name>/", private_offers.step, name="private-offer-step"),
    path("catalog/change-sets/", change_sets.change_sets, name="change-sets"),
    path("catalog/change-sets/<int:pk>/", change_sets.change_set, name="change-set"),
    path("catalog/change-sets/<int:pk>/<slug:name>/", change_sets.act, name="change-set-act"),
    path("catalog/spreadsheet/", spreadsheets.export, name="spreadsheet-export"),
    path("catalog/spreadsheet/upload/", spreadsheets.upload, name="spreadsheet-upload"),
    path("catalog/<slug:slug>/prices/", prices.prices, name="prices"),
    path("catalog/policy/", decisions.policy, name="policy"),
    path("catalog/decisions/", decisions.decisions, name="decisions"),
    path("catalog/decisions/new/", decisions.propose, name="decision-new"),
    path("catalog/decisions/find/", decisions.find_offerings, name="decision-find"),
    path("catalog/decisions/<int:pk>/", decisions.decision, name="decision"),
    path("catalog/decisions/<int:pk>/check/", decisions.check, name="decision-check"),
    path("catalog/decisions/<int:pk>/withdraw/", decisions.withdraw, name="decision-withdraw"),
    path("catalog/<slug:slug>/retire/", retirement.retire, name="retire"),
    path("catalog/<slug:slug>/sale/", retirement.sale, name="sale"),
    path("catalog/imports/", imports.imports, name="imports"),
    path("catalog/imports/discrepancies/", imports.discrepancies, name="discrepancies"),
    path("catalog/imports/discrepancies/<int:pk>/", imports.discrepancy_decide, name="discrepancy-decide"),
    path("catalog/imports/<int:pk>/", imports.import_run, name="import"),
    path("catalog/imports/<int:pk>/rows.csv", imports.import_report, name="import-report"),
    path("catalog/imports/<int:pk>/propose/", imports.import_propose, name="import-propose"),
    path("catalog/imports/<int:pk>/stop/", imports.import_stop, name="import-stop"),
    path("catalog/<slug:slug>/", offering.offering, name="offering"),
    path("sourcing/facts/", facts.facts, name="facts"),
    path("sourcing/products/", sourcing_products.products, name="products"),
    path("sourcing/products/new/", sourcing_portfolio.product_new, name="product-new"),
    path("sourcing/products/<slug:slug>/change/", sourcing_portfolio.product_change, name="product-change"),
    path("sourcing/products/<slug:slug>/end/", sourcing_portfolio.product_end, name="product-end"),
    path("sourcing/products/<slug:slug>/features/new/", sourcing_portfolio.feature_new, name="feature-new"),
    path("sourcing/features/<slug:slug>/change/", sourcing_portfolio.feature_change, name="feature-change"),
    path("sourcing/features/<slug:slug>/end/", sourcing_portfolio.feature_end, name="feature-end"),
    path("sourcing/products/<slug:slug>/", sourcing_products.product, name="product"),
    path("sourcing/features/<slug:slug>/", sourcing_products.feature, name="feature"),
    path("sourcing/features/<slug:slug>/mix/", sourcing_products.feature_mix, name="feature-mix"),
    path("sourcing/scenarios/", sourcing_scenarios.scenarios, name="scenarios"),
    path("sourcing/scenarios/new/", sourcing_scenarios.new, name="scenario-new"),
    path("sourcing/scenarios/compare/", sourcing_scenarios.compare, name="scenario-compare"),
    path("sourcing/scenarios/<int:pk>/", sourcing_scenarios.scenario, name="scenario"),
    path("sourcing/scenarios/<int:pk>/change/", sourcing_scenarios.change, name="scenario-change"),
    path("sourcing/scenarios/<int:pk>/<slug:action>/", sourcing_scenarios.act, name="scenario-act"),
    path("sourcing/spend/", sourcing_spend.spend, name="spend"),
    path("sourcing/plans/", sourcing_plans.plans, name="spend-plans"),
    path("sourcing/plans/new/", sourcing_plans.new, name="spend-plan-new"),
    path("sourcing/plans/<int:pk>/withdraw/", sourcing_plans.withdraw, name="spend-plan-withdraw"),
    path("sourcing/usage/", sourcing_spend.lines, name="sourcing-usage"),
    path("sourcing/usage/import/", sourcing_spend.usage_import, name="usage-import"),
    path("sourcing/substitutions/", sourcing_substitution.substitutions, name="substitutions"),
    path(
        "sourcing/substitutions/features/",
        sourcing_substitution.substitution_features,
        name="substitution-features",
    ),
    path(
        "sourcing/substitutions/features/<slug:slug>/",
        sourcing_substitution.substitution_feature,
        name="substitution-feature",
    ),
    path("sourcing/substitutions/<int:pk>/", sourcing_substitution.substitution, name="substitution"),
    path(
        "sourcing/substitutions/<int:pk>/decide/",
        sourcing_substitution.substitution_decide,
        name="substitution-decide",
    ),
    path(
        "sourcing/substitutions/<int:pk>/withdraw/",
        sourcing_substitution.substitution_withdraw,
        name="substitution-withdraw",
    ),
    path("sourcing/leverage/", sourcing_substitution.leverage, name="leverage"),
    path("sourcing/drill/<slug:slug>/", sourcing_substitution.drill, name="drill"),
    path("judging/", sourcing_judging.overview, name="judge"),
    path("judging/matrix/", sourcing_judging.matrix, name="task-matrix"),
    path("judging/rounds/<int:pk>/<slug:action>/", sourcing_judging.end_a_round, name="round-end"),
    path("judging/<slug:slug>/", sourcing_judging.suite, name="suite"),
    path("judging/<slug:slug>/vote/", sourcing_judging.vote, name="vote"),
    path("judging/<slug:slug>/round/", sourcing_judging.open_a_round, name="round-open"),
    path("judging/<slug:slug>/runs/new/", sourcing_judging.new_run, name="run-new"),
    path("sourcing/", sourcing_overview.overview, name="sourcing"),
    path("sourcing/find/<slug:what>/", sourcing_companies.find, name="sourcing-find"),
    path("sourcing/brief/", sourcing_brief.brief, name="brief"),
    path("sourcing/concentration/", sourcing_concentration.concentration, name="concentration"),
    path("sourcing/concentration/accounts/", sourcing_concentration.buyers, name="buyers"),
    path("sourcing/companies/", sourcing_companies.companies, name="companies"),
    path("sourcing/companies/new/", sourcing_companies.new, name="company-new"),
    path("sourcing/companies/<slug:slug>/", sourcing_companies.company, name="company"),
    path("sourcing/companies/<slug:slug>/agreement/", sourcing_companies.agreement, name="company-agreement"),
    path("sourcing/companies/<slug:slug>/risk/", sourcing_companies.risk, name="company-risk"),
    path("sourcing/risks/<int:pk>/withdraw/", sourcing_companies.withdraw_risk, name="risk-withdraw"),
    path("sourcing/relationships/new/", sourcing_relationships.new, name="relationship-new"),
    path("sourcing/relationships/<int:pk>/", sourcing_relationships.relationship, name="relationship"),
    path(
        "sourcing/relationships/<int:pk>/correct/",
        sourcing_relationships.correct,
        name="relationship-correct",
    ),
    path(
        "sourcing/relationships/<int:pk>/<slug:action>/", sourcing_relationships.act, name="relationship-act"
    ),
    path("sourcing/commitments/", sourcing_commitments.commitments, name="commitments"),
    path("sourcing/flows/", sourcing_flows.flows, name="flows"),
]
