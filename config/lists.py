"""How somebody likes a list: which columns, how close the rows, and views of it under names of one's own.

Columns stand in the address (?hide=owner,closed), so that they can be shared and are kept with a view; how close the
rows stand is a cookie. A template says its columns once: {% columns owner=_("Owner") closed=_("Closed") as cols %};
the cells of the first carry class k1, of the second k2, and the table class {{ cols.css }}.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import Resolver404, resolve
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.services import remove_view, save_view
from config import clock
from config.context import CLOSE, DENSITY_COOKIE
from config.language import _
from config.refusals import NotFound, Refusal

HIDE: Final = "hide"
MOST_COLUMNS: Final = 8  # the classes k1 to k8 of app.css
LONGEST_PAGE: Final = 60
YEAR: Final = 365 * 24 * 3600
_PASSING: Final = (
    "cursor",
    "page",
    "format",
    "choose",
)  # of an address, but no part of how a list is looked at


class View(Protocol):
    """A saved view as the menu shows it."""

    @property
    def pk(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def query(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column that can be left out."""

    key: str
    label: str
    shown: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """One list as this person looks at it now. css: for its table. here: path and query to come back to."""

    columns: Sequence[Column]
    css: str
    hidden: str
    here: str
    page: str
    query: str
    views: Sequence[View]
    close: bool

    @property
    def keys(self) -> str:
        return ",".join(column.key for column in self.columns)


def layout(request: HttpRequest, labels: Mapping[str, str]) -> Layout:
    """labels: key to label, in the order of the classes k1, k2, ...; a column without a label is not there now. 1 query."""
    if len(labels) > MOST_COLUMNS:
        raise ValueError(f"A list has {MOST_COLUMNS} columns to choose at most.")
    wanted = hidden_in(request.GET)
    hidden = [key for key, label in labels.items() if label and key in wanted]
    places = {key: number for number, key in enumerate(labels, 1)}
    page = page_of(request.path)
    query = kept(request.GET)
    return Layout(
        columns=[Column(key, label, key not in hidden) for key, label in labels.items() if label],
        css=" ".join(f"no-k{places[key]}" for key in hidden),
        hidden=",".join(hidden),
        here=f"{request.path}?{query}" if query else request.path,
        page=page,
        query=query,
        views=_views(request, page),
        close=request.COOKIES.get(DENSITY_COOKIE) == CLOSE,
    )


def hidden_in(asked: QueryDict) -> set[str]:
    """The keys that an address hides; a list leaves aside those that it does not have."""
    return {key for key in asked.get(HIDE, "").split(",") if key}


def _views(request: HttpRequest, page: str) -> list[View]:
    user = getattr(request, "user", None)
    if not page or not isinstance(user, User):
        return []
    return list(user.saved_views.filter(page=page).order_by("name"))


def page_of(path: str) -> str:
    """What the views of a page belong to: its URL name, with what distinguishes it; empty where that is too long to keep."""
    try:
        match = resolve(path)
    except Resolver404:
        return ""
    name = "/".join([match.view_name, *map(str, match.kwargs.values())])
    return name if len(name) <= LONGEST_PAGE else ""


def kept(asked: QueryDict) -> str:
    """The part of a query string that says how a list is looked at: nothing empty, and no page of it."""
    return urlencode(
        [(name, v) for name, values in asked.lists() if name not in _PASSING for v in values if v], safe=","
    )


@require_POST
@login_required
def arrange(request: HttpRequest) -> HttpResponse:
    """Choose columns and density of a list: the columns go into its address, the density into a cookie."""
    path, query = _back(request)
    shown = set(request.POST.getlist("show"))
    every = [key for key in request.POST.get("columns", "").split(",") if key]
    hidden = [] if "reset" in request.POST else [key for key in every if key not in shown]
    answer = HttpResponseRedirect(
        _address(path, [*((k, v) for k, v in query if k != HIDE), (HIDE, ",".join(hidden))])
    )
    if request.POST.get("close") and "reset" not in request.POST:
        answer.set_cookie(DENSITY_COOKIE, CLOSE, max_age=YEAR, samesite="Lax", secure=request.is_secure())
    else:
        answer.delete_cookie(DENSITY_COOKIE, samesite="Lax")
    return answer


@require_POST
@login_required
def keep(request: HttpRequest) -> HttpResponse:
    """Save how a list is looked at under a name of one's own."""
    path, query = _back(request)
    page, user = page_of(path), request.user
    if not page or not isinstance(user, User):
        raise Http404
    address = _address(path, query)
    try:
        view = save_view(
            page=page,
            name=request.POST.get("name", ""),
            query=address.partition("?")[2],
            by=user,
            at=clock.now(),
        )
        messages.success(request, _("Saved as %(view_name)s.") % {"view_name": view.name})
    except Refusal as refused:
        for problem in refused.problems:
            messages.error(request, problem.message)
    return HttpResponseRedirect(address)


@require_POST
@login_required
def drop(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a view of one's own; somebody else's is not there."""
    user = request.user
    if not isinstance(user, User):
        raise Http404
    try:
        remove_view(view_id=pk, by=user)
    except NotFound as missing:
        raise Http404 from missing
    messages.success(request, _("The view is removed."))
    return HttpResponseRedirect(_address(*_back(request)))


def _back(request: HttpRequest) -> tuple[str, list[tuple[str, str]]]:
    """The list that the menu stands on: path, and what of its query is kept. Raises Http404 for what is no page of ours."""
    here = request.POST.get("here", "")
    if not here.startswith("/") or not url_has_allowed_host_and_scheme(here, allowed_hosts=None):
        raise Http404
    parts = urlsplit(here)
    if not page_of(parts.path):
        raise Http404
    return parts.path, [(k, v) for k, v in parse_qsl(parts.query) if k not in _PASSING]


def _address(path: str, query: list[tuple[str, str]]) -> str:
    said = urlencode([(k, v) for k, v in query if v], safe=",")
    return f"{path}?{said}" if said else path
