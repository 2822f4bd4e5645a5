"""Pages of the catalog and of sourcing."""

from django.urls import path

from marketplace.views import catalog, offering, sourcing

app_name = "marketplace"

urlpatterns = [
    path("catalog/", catalog.catalog, name="catalog"),
    path("catalog/publishers/<slug:slug>/", catalog.publisher, name="publisher"),
    path("catalog/<slug:slug>/", offering.offering, name="offering"),
    path("sourcing/facts/", sourcing.facts, name="facts"),
]
