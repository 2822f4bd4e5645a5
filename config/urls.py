"""Every address of the site: pages, REST, health."""

from importlib.util import find_spec

from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView

from config import health, pages
from config.rest.docs import ApiReference


def _app(prefix: str, module: str) -> list[URLResolver]:
    """An app's addresses once its module is there; the apps of this first slice arrive one after the other."""
    package, _dot, name = module.rpartition(".")
    return [path(prefix, include(module))] if find_spec(package) and find_spec(f"{package}.{name}") else []


urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", pages.home, name="home"),
    path("", include("config.ui_urls")),
    path("accounts/", include("accounts.urls")),
    *_app("", "marketplace.urls"),
    *_app("", "quotas.urls"),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", ApiReference.as_view(), name="api-docs"),
    *_app("api/v1/", "marketplace.api.urls"),
    *_app("api/v1/", "quotas.api.urls"),
]

handler400 = "config.rest.problems.bad_request"
handler403 = "config.rest.problems.permission_denied"
handler404 = "config.rest.problems.page_not_found"
handler500 = "config.rest.problems.server_error"
