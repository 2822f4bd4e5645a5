"""The start page: each to where their work is."""

from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe

# Where a role's day begins; the first role that one has decides. Somebody without any reads the catalog.
STARTS: Final = (
    ("comp_admin", "quotas:board"),
    ("manager", "quotas:board"),
    ("rep", "quotas:board"),
    ("catalog_manager", "marketplace:catalog"),
    ("partner", "marketplace:console"),
    ("sourcing_lead", "marketplace:sourcing"),
    ("auditor", "accounts:audit"),
    ("engineer", "marketplace:judge"),
)
ELSEWHERE: Final = ("marketplace:catalog", "api-docs")


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    roles = request.user.role_names if request.user.is_authenticated else frozenset()
    for name in (*(start for role, start in STARTS if role in roles), *ELSEWHERE):
        try:
            return HttpResponseRedirect(reverse(name))
        except NoReverseMatch:
            continue
    raise Http404
