"""What the frame round every page shows: navigation, business date, theme, operator. Nothing is asked before it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, get_urlconf, reverse

from config import clock
from config.first_steps import Step, steps_for
from config.pages import STARTS

THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "theme"

SALES: Final = frozenset({"rep", "manager", "comp_admin", "auditor", "sourcing_lead"})
STAFF: Final = SALES | {"catalog_manager", "engineer"}
REVIEWERS: Final = frozenset({"comp_admin", "auditor"})

ROLE_LABELS: Final = {
    "comp_admin": "Comp admin",
    "manager": "Sales manager",
    "rep": "Sales rep",
    "catalog_manager": "Catalog manager",
    "sourcing_lead": "Sourcing lead",
    "partner": "Partner",
    "auditor": "Auditor",
    "engineer": "Engineer",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A place to go to. It is shown once its URL name resolves, to *roles* (None: to everybody who is logged in).

    go    The letter that leads there after G.
    bar   Belongs to the bar at the bottom of a phone, under this short name.
    """

    name: str
    text: str
    icon: str
    group: str = ""
    roles: frozenset[str] | None = None
    go: str = ""
    bar: str = ""


ENTRIES: Final = (
    Entry("home", "Home", icon="house", go="h", bar="Home"),
    Entry("quotas:board", "Quota board", icon="chart-column", roles=SALES, go="b", bar="Board"),
    Entry("quotas:leaderboard", "Leaderboard", icon="trophy", go="l"),
    Entry("quotas:deals", "Deals", icon="handshake", roles=SALES | {"partner"}, go="d", bar="Deals"),
    Entry(
        *("quotas:accounts", "Accounts"),
        icon="building-2",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor", "sourcing_lead"}),
    ),
    Entry(
        *("quotas:planning", "Quotas"),
        icon="goal",
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="q",
    ),
    Entry(
        *("quotas:approvals", "Approvals"),
        icon="clipboard-check",
        roles=frozenset({"manager", "comp_admin"}),
        go="a",
    ),
    Entry(
        *("quotas:statements", "Statements"),
        icon="file-text",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry(
        "quotas:disputes",
        "Disputes",
        icon="message-square",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry(
        *("quotas:earnings", "Earnings"),
        icon="wallet",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry("marketplace:catalog", "Catalog", icon="layout-grid", go="c", bar="Catalog"),
    Entry("marketplace:changes", "What is new", icon="megaphone", group="Catalog", go="w"),
    Entry("marketplace:recommend", "Which model", icon="list-filter", group="Catalog", go="m"),
    Entry(
        *("marketplace:change-sets", "Change sets"),
        icon="git-pull-request",
        group="Catalog desk",
        roles=frozenset({"catalog_manager", "auditor"}),
        go="s",
    ),
    Entry("marketplace:footing", "Equal footing", icon="equal", group="Catalog"),
    Entry("marketplace:policy", "What counts", icon="scale", group="Catalog"),
    Entry(
        "marketplace:decisions",
        "Decisions",
        icon="stamp",
        group="Catalog desk",
        roles=frozenset({"catalog_manager", "auditor", "comp_admin"}),
        go="x",
    ),
    Entry("marketplace:calculator", "Cost calculator", icon="calculator", group="Catalog"),
    Entry(
        "marketplace:private-offers",
        "Private offers",
        icon="file-pen-line",
        group="Catalog",
        roles=frozenset({"catalog_manager", "auditor", "rep", "manager", "comp_admin", "partner"}),
    ),
    Entry(
        "marketplace:imports",
        "Imports",
        icon="file-input",
        group="Catalog desk",
        roles=frozenset({"catalog_manager", "auditor"}),
    ),
    Entry(
        *("marketplace:requests", "Requests"),
        icon="message-square-plus",
        group="Catalog desk",
        roles=frozenset({"catalog_manager", "auditor"}),
    ),
    Entry("quotas:plans", "Crediting rules", icon="scale", group="Compensation", roles=SALES, go="r"),
    Entry(
        *("quotas:parity", "Parity"),
        icon="shield-check",
        group="Compensation",
        roles=frozenset({"comp_admin", "auditor", "manager", "sourcing_lead"}),
        go="y",
    ),
    Entry("quotas:periods", "Periods", icon="calendar-range", group="Compensation", roles=REVIEWERS, go="p"),
    Entry(
        "quotas:usage",
        "Usage",
        icon="gauge",
        group="Compensation",
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="u",
    ),
    Entry(
        *("quotas:imports", "Data in"),
        icon="file-input",
        group="Compensation",
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="t",
    ),
    Entry(
        *("quotas:reconciliation", "Reconciliation"),
        icon="git-compare",
        group="Compensation",
        roles=frozenset({"manager", "comp_admin", "auditor"}),
    ),
    Entry("quotas:draws", "Draws", icon="hand-coins", group="Compensation", roles=REVIEWERS),
    Entry("quotas:policies", "Policies", icon="badge-check", group="Compensation", roles=REVIEWERS),
    Entry("quotas:exports", "Data out", icon="file-output", group="Compensation", roles=REVIEWERS),
    Entry("quotas:ledger", "Ledger", icon="book-open", group="Compensation", roles=REVIEWERS),
    Entry(
        *("quotas:adjustments", "Adjustments"),
        icon="sliders-horizontal",
        group="Compensation",
        roles=REVIEWERS,
    ),
    Entry("quotas:recredits", "Recredit", icon="rotate-ccw", group="Compensation", roles=REVIEWERS, go="e"),
    Entry("quotas:facts", "Changes", icon="file-pen-line", group="Compensation", roles=REVIEWERS),
    Entry(
        *("quotas:whatif", "What if"),
        icon="split",
        group="Compensation",
        roles=frozenset({"manager", "comp_admin"}),
    ),
    Entry("quotas:gap", "My gap", icon="target", roles=frozenset({"rep"})),
    Entry("quotas:audit", "Audit", icon="shield-check", group="Compensation", roles=REVIEWERS),
    Entry("accounts:audit", "Audit trail", icon="history", group="Compensation", roles=REVIEWERS),
    Entry(
        *("marketplace:console", "Publisher console"),
        icon="building-2",
        group="Publisher",
        roles=frozenset({"partner"}),
        go="o",
        bar="Console",
    ),
    Entry(
        *("marketplace:sourcing", "Overview"),
        icon="network",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor"}),
        go="i",
    ),
    Entry(
        *("marketplace:products", "Products"),
        icon="blocks",
        group="Sourcing",
        roles=STAFF,
    ),
    Entry(
        *("marketplace:concentration", "Concentration"),
        icon="chart-pie",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor"}),
    ),
    Entry(
        *("marketplace:spend", "Spend"),
        icon="coins",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor"}),
    ),
    Entry(
        *("marketplace:companies", "Companies"),
        icon="building",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor"}),
    ),
    Entry(
        "marketplace:judge",
        "Judge models",
        icon="thumbs-up",
        group="Sourcing",
        roles=frozenset({"engineer", "sourcing_lead", "auditor"}),
        go="j",
    ),
    Entry("marketplace:task-matrix", "Task matrix", icon="grid-3x3", group="Sourcing", roles=STAFF),
    Entry(
        *("marketplace:substitutions", "Substitution"),
        icon="replace",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor", "engineer"}),
    ),
    Entry(
        *("marketplace:scenarios", "Scenarios"),
        icon="git-branch",
        group="Sourcing",
        roles=frozenset({"sourcing_lead", "auditor"}),
        go="k",
    ),
    Entry("marketplace:facts", "Public facts", icon="landmark", group="Sourcing", go="f"),
    Entry(
        "marketplace:webhooks",
        "Webhooks",
        icon="webhook",
        group="Build",
        roles=frozenset({"partner", "catalog_manager"}),
    ),
    Entry("api-docs", "API reference", icon="code", group="Build"),
    Entry("styleguide", "Style guide", icon="palette", group="Build"),
)

# Things to do, for the palette only. Key: the single letter that does it.
ACTIONS: Final = (
    Entry("quotas:deal-new", "Log a deal", icon="plus", roles=frozenset({"rep", "manager"}), go="n"),
)


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """What to do first, and whether it is done."""

    list: Sequence[tuple[Step, bool]]

    @property
    def done(self) -> int:
        return sum(done for _step, done in self.list)

    @property
    def of(self) -> int:
        return len(self.list)


Counter = Callable[[HttpRequest], int]
_counters: dict[str, Counter] = {}


def count_for(name: str, counter: Counter) -> None:
    """Let an app say how many things wait behind the entry *name*; call it in AppConfig.ready. 1 query a page at most."""
    _counters[name] = counter


@dataclass(frozen=True, slots=True)
class Link:
    """An entry as this user sees it on this page."""

    entry: Entry
    url: str
    active: bool
    count: int


class Shell:
    """The frame's data; each part is worked out when the template asks for it."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @cached_property
    def theme(self) -> str:
        """light or dark as chosen, or nothing: then the system decides."""
        chosen = self._request.COOKIES.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else ""

    @property
    def other_theme(self) -> str:
        """What the switch offers without a script."""
        return "light" if self.theme == "dark" else "dark"

    @property
    def demo(self) -> bool:
        return bool(settings.DEMO_MODE)

    @property
    def today(self) -> date:
        return clock.today()

    @property
    def operator(self) -> str:
        return str(settings.OPERATOR["name"])

    @property
    def known(self) -> bool:
        """Somebody is logged in."""
        user = getattr(self._request, "user", None)
        return bool(user is not None and user.is_authenticated)

    @cached_property
    def roles(self) -> frozenset[str]:
        return frozenset(getattr(self._request.user, "role_names", ())) if self.known else frozenset()

    @cached_property
    def first_steps(self) -> FirstSteps | None:
        """On the home of a role, in the demo, until all are done or hidden. No query."""
        match = self._request.resolver_match
        start = next((start for start in STARTS if start[0] in self.roles), None) if self.known else None
        user = self._request.user
        if not (self.demo and start and match and match.view_name == start[1]) or not user.is_authenticated:
            return None
        found = [(step, step.slug in user.first_steps) for step in steps_for(start[0])]
        if user.first_steps_hidden or all(done for _step, done in found):
            return None
        return FirstSteps(found)

    @property
    def person(self) -> str:
        return str(self._request.user) if self.known else ""

    @property
    def role(self) -> str:
        """The role that says most about the person."""
        return next((label for role, label in ROLE_LABELS.items() if role in self.roles), "")

    @cached_property
    def links(self) -> list[Link]:
        """1 query for each counter behind an entry that this user sees."""
        if not self.known:
            return []
        path, urls = self._request.path, _urls(get_urlconf() or settings.ROOT_URLCONF)
        seen = [entry for entry in ENTRIES if entry.name in urls and self._may(entry)]
        inside = [entry for entry in seen if path == urls[entry.name] or _under(path, urls[entry.name])]
        here = max(inside, key=lambda entry: len(urls[entry.name]), default=None)
        return [Link(entry, urls[entry.name], entry is here, self._count(entry.name)) for entry in seen]

    @cached_property
    def groups(self) -> list[tuple[str, list[Link]]]:
        grouped: dict[str, list[Link]] = {}
        for link in self.links:
            grouped.setdefault(link.entry.group, []).append(link)
        return list(grouped.items())

    @property
    def bar(self) -> list[Link]:
        return [link for link in self.links if link.entry.bar]

    @cached_property
    def actions(self) -> list[Link]:
        urls = _urls(get_urlconf() or settings.ROOT_URLCONF)
        return [
            Link(e, urls[e.name], False, 0) for e in ACTIONS if self.known and e.name in urls and self._may(e)
        ]

    @cached_property
    def unread(self) -> int:
        """Notifications not yet read. 1 query."""
        notifications = getattr(self._request.user, "notifications", None) if self.known else None
        return notifications.filter(read_at=None).count() if notifications is not None else 0

    @property
    def inbox_url(self) -> str:
        return _urls(get_urlconf() or settings.ROOT_URLCONF).get("accounts:notifications", "")

    @property
    def search_url(self) -> str:
        return _urls(get_urlconf() or settings.ROOT_URLCONF).get("quotas:find", "") if self.known else ""

    @property
    def logout_url(self) -> str:
        return _urls(get_urlconf() or settings.ROOT_URLCONF).get("accounts:logout", "")

    @property
    def theme_url(self) -> str:
        return _urls(get_urlconf() or settings.ROOT_URLCONF).get("theme", "")

    @property
    def here(self) -> str:
        """This page, for forms that come back to it."""
        return self._request.get_full_path() if self._request.method == "GET" else "/"

    def _may(self, entry: Entry) -> bool:
        return entry.roles is None or not entry.roles.isdisjoint(self.roles)

    def _count(self, name: str) -> int:
        return _counters[name](self._request) if name in _counters else 0


def shell(request: HttpRequest) -> dict[str, Shell]:
    """Context processor: `shell` in every template. No query for an anonymous visitor or a template that shows no frame."""
    return {"shell": Shell(request)}


def _under(path: str, url: str) -> bool:
    return url != "/" and path.startswith(url)


@lru_cache(maxsize=8)
def _urls(_urlconf: str | None) -> dict[str, str]:
    """Address of every URL name that this project's URLs know; worked out once a process."""
    known = {}
    extra = ("accounts:notifications", "accounts:logout", "quotas:find", "theme")
    for name in (*(entry.name for entry in (*ENTRIES, *ACTIONS)), *extra):
        try:
            known[name] = reverse(name)
        except NoReverseMatch:
            continue
    return known
