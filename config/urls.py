"""Every address of the site: pages, REST, health."""

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView

from config import health, pages
from config.rest.docs import ApiReference

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", pages.home, name="home"),
    path("", include("config.ui_urls")),
    path("accounts/", include("accounts.urls")),
    path("", include("marketplace.urls")),
    path("", include("quotas.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", ApiReference.as_view(), name="api-docs"),
    path("api/v1/", include("config.api.urls")),
    path("api/v1/", include("marketplace.api.urls")),
    path("api/v1/", include("quotas.api.urls")),
]

handler400 = "config.rest.problems.bad_request"
handler403 = "config.rest.problems.permission_denied"
handler404 = "config.rest.problems.page_not_found"
handler500 = "config.rest.problems.server_error"
