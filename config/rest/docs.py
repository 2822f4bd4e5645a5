"""The API's reference: the schema as a page that works offline and under the content security policy."""

from drf_spectacular.views import SpectacularSwaggerSplitView

from accounts import schema  # noqa: F401 -- registers how the two ways to come in are called


class ApiReference(SpectacularSwaggerSplitView):
    """Swagger UI from our own server. Its template is ours, because the packaged one has styles in the page."""

    template_name = "api/reference.html"
