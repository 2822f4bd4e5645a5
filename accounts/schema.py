"""How the two ways to come in are called in the API's schema."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from accounts.scopes import Scope, scope_for

KEYS = (
    "A key of the publisher console or of manage.py create_api_key. It may be narrowed to scopes; what is outside them is"
    " refused with 403, scope_missing, and the scope that would be needed. Without scopes it does what its account may.\n\n"
) + "\n".join(f"* `{scope.value}`: {scope.label}." for scope in Scope)


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "accounts.api_keys.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": KEYS}

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[str]]:
        """Which scope the operation asks of a key that has any."""
        place = getattr(auto_schema.view, "scope_place", type(auto_schema.view).__module__)
        needed = scope_for(place, auto_schema.method) if place else None
        return {self.name: [needed.value] if needed else []}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "config.rest.sessions.BrowserSession"
    name = "session"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": "sessionid",
            "description": "The log-in of the pages; changes also need X-CSRFToken.",
        }
