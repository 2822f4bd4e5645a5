"""What roles are called, and the start page: the home of a role where an app shows one, else the page where the role's day begins."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import NoReverseMatch, reverse
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from config.language import later

HOME: Final = "home"

ROLE_LABELS: Final = {
    "comp_admin": later("Comp admin"),
    "manager": later("Sales manager"),
    "rep": later("Sales rep"),
    "catalog_manager": later("Catalog manager"),
    "sourcing_lead": later("Sourcing lead"),
    "partner": later("Partner"),
    "auditor": later("Auditor"),
    "engineer": later("Engineer"),
}

# Where a role's day begins; the first role that one has decides. Somebody without any reads the catalog.
STARTS: Final = (
    ("comp_admin", HOME),
    ("manager", HOME),
    ("rep", HOME),
    ("catalog_manager", HOME),
    ("partner", "marketplace:console"),
    ("sourcing_lead", "marketplace:sourcing"),
    ("auditor", HOME),
    ("engineer", "marketplace:judge"),
)
ELSEWHERE: Final = ("marketplace:catalog", "api-docs")


@dataclass(frozen=True, slots=True)
class Homes:
    """Which homes somebody has, and which of them is shown; where there are several the page has tabs for them."""

    roles: Sequence[str]
    role: str

    @property
    def tabs(self) -> list[tuple[str, str]]:
        """Role and what it is called; nothing where there is one home only."""
        return [(role, ROLE_LABELS[role]) for role in self.roles] if len(self.roles) > 1 else []


View = Callable[[HttpRequest, Homes], HttpResponseBase]
_views: dict[str, View] = {}


def home_of(role: str, view: View) -> None:
    """Let an app show the home of a role; call it in AppConfig.ready."""
    _views[role] = view


def homes(roles: Collection[str]) -> list[str]:
    """Which of these roles have a home, in the order in which one is chosen."""
    return [role for role, start in STARTS if role in roles and start == HOME and role in _views]


@require_safe
@login_required
@vary_on_headers("HX-Request")
def home(request: HttpRequest) -> HttpResponseBase:
    roles = request.user.role_names if request.user.is_authenticated else frozenset()
    shown = homes(roles)
    asked = request.GET.get("role", "")
    if asked in shown:
        return _views[asked](request, Homes(shown, asked))
    for role, start in STARTS:
        if role in roles and role in shown:
            return _views[role](request, Homes(shown, role))
        if role in roles and start != HOME and (url := _url(start)):
            return HttpResponseRedirect(url)
    for start in ELSEWHERE:
        if url := _url(start):
            return HttpResponseRedirect(url)
    raise Http404


def _url(name: str) -> str:
    """Nothing while the page does not exist."""
    try:
        return reverse(name)
    except NoReverseMatch:
        return ""
