"""What the frame round every page shows: navigation, business date, theme, operator. Nothing is asked before it is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, get_urlconf, reverse

from config import clock, locales
from config.first_steps import Step, steps_for
from config.language import later
from config.pages import ROLE_LABELS, STARTS

THEMES: Final = ("light", "dark")
THEME_COOKIE: Final = "theme"
DENSITY_COOKIE: Final = "density"
CLOSE: Final = "close"

SALES: Final = frozenset({"rep", "manager", "comp_admin", "auditor", "sourcing_lead"})
STAFF: Final = SALES | {"catalog_manager", "engineer"}
REVIEWERS: Final = frozenset({"comp_admin", "auditor"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A place to go to. It is shown once its URL name resolves, to *roles* (None: to everybody who is logged in).

    go    The letter that leads there after G.
    bar   Belongs to the bar at the bottom of a phone, under this short name.
    also  Beginnings of other addresses whose pages belong to it.
    alone Only its own address is it: what lies below belongs to others.
    """

    name: str
    text: str
    icon: str
    group: str = ""
    roles: frozenset[str] | None = None
    go: str = ""
    bar: str = ""
    also: tuple[str, ...] = ()
    alone: bool = False


ENTRIES: Final = (
    Entry("home", later("Home"), icon="house", go="h", bar=later("Home")),
    Entry("quotas:board", later("Quota board"), icon="chart-column", roles=SALES, go="b", bar=later("Board")),
    Entry("quotas:leaderboard", later("Leaderboard"), icon="trophy", go="l"),
    Entry(
        "quotas:deals",
        later("Deals"),
        icon="handshake",
        roles=SALES | {"partner"},
        go="d",
        bar=later("Deals"),
    ),
    Entry(
        *("quotas:accounts", later("Accounts")),
        icon="building-2",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor", "sourcing_lead"}),
    ),
    Entry(
        *("quotas:planning", later("Quotas")),
        icon="goal",
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="q",
    ),
    Entry(
        *("quotas:approvals", later("Approvals")),
        icon="clipboard-check",
        roles=frozenset({"manager", "comp_admin"}),
        go="a",
    ),
    Entry(
        *("quotas:statements", later("Statements")),
        icon="file-text",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry(
        "quotas:disputes",
        later("Disputes"),
        icon="message-square",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry(
        *("quotas:earnings", later("Earnings")),
        icon="wallet",
        roles=frozenset({"rep", "manager", "comp_admin", "auditor"}),
    ),
    Entry("marketplace:catalog", later("Catalog"), icon="layout-grid", go="c", bar=later("Catalog")),
    Entry("marketplace:changes", later("What is new"), icon="megaphone", group=later("Catalog"), go="w"),
    Entry("marketplace:recommend", later("Which model"), icon="list-filter", group=later("Catalog"), go="m"),
    Entry(
        *("marketplace:change-sets", later("Change sets")),
        icon="git-pull-request-arrow",
        group=later("Catalog desk"),
        roles=frozenset({"catalog_manager", "auditor"}),
        go="s",
    ),
    Entry("marketplace:footing", later("Equal footing"), icon="equal", group=later("Catalog")),
    Entry("marketplace:policy", later("What counts"), icon="scale", group=later("Catalog")),
    Entry(
        "marketplace:decisions",
        later("Decisions"),
        icon="stamp",
        group=later("Catalog desk"),
        roles=frozenset({"catalog_manager", "auditor", "comp_admin"}),
        go="x",
    ),
    Entry("marketplace:calculator", later("Cost calculator"), icon="calculator", group=later("Catalog")),
    Entry(
        "marketplace:private-offers",
        later("Private offers"),
        icon="file-pen-line",
        group=later("Catalog"),
        roles=frozenset({"catalog_manager", "auditor", "rep", "manager", "comp_admin", "partner"}),
    ),
    Entry(
        "marketplace:imports",
        later("Imports"),
        icon="file-input",
        group=later("Catalog desk"),
        roles=frozenset({"catalog_manager", "auditor"}),
    ),
    Entry(
        *("marketplace:requests", later("Requests")),
        icon="message-square-plus",
        group=later("Catalog desk"),
        roles=frozenset({"catalog_manager", "auditor"}),
    ),
    Entry(
        "quotas:plans",
        later("Crediting rules"),
        icon="scale",
        group=later("Compensation"),
        roles=SALES,
        go="r",
    ),
    Entry(
        *("quotas:parity", later("Parity")),
        icon="shield-check",
        group=later("Compensation"),
        roles=frozenset({"comp_admin", "auditor", "manager", "sourcing_lead"}),
        go="y",
    ),
    Entry(
        "quotas:periods",
        later("Periods"),
        icon="calendar-range",
        group=later("Compensation"),
        roles=REVIEWERS,
        go="p",
    ),
    Entry(
        "quotas:usage",
        later("Usage"),
        icon="gauge",
        group=later("Compensation"),
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="u",
    ),
    Entry(
        *("quotas:imports", later("Data in")),
        icon="file-input",
        group=later("Compensation"),
        roles=frozenset({"manager", "comp_admin", "auditor"}),
        go="t",
    ),
    Entry(
        *("quotas:reconciliation", later("Reconciliation")),
        icon="git-compare",
        group=later("Compensation"),
        roles=frozenset({"manager", "comp_admin", "auditor"}),
    ),
    Entry("quotas:draws", later("Draws"), icon="hand-coins", group=later("Compensation"), roles=REVIEWERS),
    Entry(
        "quotas:policies", later("Policies"), icon="badge-check", group=later("Compensation"), roles=REVIEWERS
    ),
    Entry(
        "quotas:exports", later("Data out"), icon="file-output", group=later("Compensation"), roles=REVIEWERS
    ),
    Entry("quotas:ledger", later("Ledger"), icon="book-open", group=later("Compensation"), roles=REVIEWERS),
    Entry(
        *("quotas:adjustments", later("Adjustments")),
        icon="sliders-horizontal",
        group=later("Compensation"),
        roles=REVIEWERS,
    ),
    Entry(
        "quotas:recredits",
        later("Recredit"),
        icon="rotate-ccw",
        group=later("Compensation"),
        roles=REVIEWERS,
        go="e",
    ),
    Entry(
        "quotas:facts", later("Changes"), icon="file-pen-line", group=later("Compensation"), roles=REVIEWERS
    ),
    Entry(
        *("quotas:whatif", later("What if")),
        icon="split",
        group=later("Compensation"),
        roles=frozenset({"manager", "comp_admin"}),
    ),
    Entry("quotas:gap", later("My gap"), icon="target", roles=frozenset({"rep"})),
    Entry("quotas:audit", later("Audit"), icon="shield-check", group=later("Compensation"), roles=REVIEWERS),
    Entry(
        "accounts:audit", later("Audit trail"), icon="history", group=later("Compensation"), roles=REVIEWERS
    ),
    Entry(
        *("marketplace:console", later("Publisher console")),
        icon="building-2",
        group=later("Publisher"),
        roles=frozenset({"partner"}),
        go="o",
        bar=later("Console"),
    ),
    Entry(
        *("marketplace:sourcing", later("Overview")),
        icon="network",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor"}),
        go="i",
        alone=True,
        also=("/sourcing/brief/",),
    ),
    Entry(
        *("marketplace:products", later("Products")),
        icon="blocks",
        group=later("Sourcing"),
        roles=STAFF,
        also=("/sourcing/features/",),
    ),
    Entry(
        *("marketplace:concentration", later("Concentration")),
        icon="chart-pie",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor"}),
    ),
    Entry(
        *("marketplace:spend", later("Spend")),
        icon="coins",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor"}),
        also=("/sourcing/usage/", "/sourcing/plans/"),
    ),
    Entry(
        *("marketplace:companies", later("Companies")),
        icon="building-2",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor"}),
        also=("/sourcing/relationships/", "/sourcing/commitments/", "/sourcing/flows/", "/sourcing/risks/"),
    ),
    Entry(
        "marketplace:judge",
        later("Judge models"),
        icon="thumbs-up",
        group=later("Sourcing"),
        roles=frozenset({"engineer", "sourcing_lead", "auditor"}),
        go="j",
    ),
    Entry(
        "marketplace:task-matrix", later("Task matrix"), icon="grid-3x3", group=later("Sourcing"), roles=STAFF
    ),
    Entry(
        *("marketplace:substitutions", later("Substitution")),
        icon="replace",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor", "engineer"}),
        also=("/sourcing/leverage/", "/sourcing/drill/"),
    ),
    Entry(
        *("marketplace:scenarios", later("Scenarios")),
        icon="git-branch",
        group=later("Sourcing"),
        roles=frozenset({"sourcing_lead", "auditor"}),
        go="k",
    ),
    Entry("marketplace:facts", later("Public facts"), icon="landmark", group=later("Sourcing"), go="f"),
    Entry(
        "marketplace:webhooks",
        later("Webhooks"),
        icon="webhook",
        group=later("Build"),
        roles=frozenset({"partner", "catalog_manager"}),
    ),
    Entry("api-docs", later("API reference"), icon="code", group=later("Build")),
    Entry("styleguide", later("Style guide"), icon="palette", group=later("Build")),
)

# Things to do, for the palette only. Key: the single letter that does it.
ACTIONS: Final = (
    Entry("quotas:deal-new", later("Log a deal"), icon="plus", roles=frozenset({"rep", "manager"}), go="n"),
    Entry(
        *("quotas:dispute-new", later("Dispute a number")),
        icon="message-square-plus",
        roles=frozenset({"rep", "manager", "comp_admin"}),
    ),
    Entry(
        *("quotas:adjustment-new", later("Propose an adjustment")),
        icon="sliders-horizontal",
        roles=frozenset({"comp_admin"}),
    ),
    Entry(
        *("marketplace:decision-new", later("Propose what counts")),
        icon="stamp",
        roles=frozenset({"catalog_manager"}),
    ),
    Entry(
        *("marketplace:leverage", later("See what happens if a supplier leaves")),
        icon="network",
        roles=frozenset({"sourcing_lead", "auditor"}),
    ),
    Entry("marketplace:compare", later("Compare offerings"), icon="columns-2"),
    Entry("accounts:preferences", later("Preferences"), icon="languages"),
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
    def close(self) -> bool:
        """Rows of lists stand close together."""
        return self._request.COOKIES.get(DENSITY_COOKIE) == CLOSE

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
        found = [(_belongs(path, entry, urls[entry.name]), entry) for entry in seen]
        here = max((each for each in found if each[0]), key=lambda each: each[0], default=(0, None))[1]
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
    def locale(self) -> str:
        """Of numbers, for scripts that read and write them; empty where it is the house's."""
        tag = locales.current().tag
        return "" if tag == locales.HOUSE_TAG else tag

    @property
    def preferences_url(self) -> str:
        return _urls(get_urlconf() or settings.ROOT_URLCONF).get("accounts:preferences", "")

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


def _belongs(path: str, entry: Entry, url: str) -> int:
    """How closely a page belongs to an entry with this address: the length of the beginning that they share; zero is not at all."""
    if path == url:
        return len(url)
    below = entry.also if entry.alone or url == "/" else (url, *entry.also)
    return max((len(each) for each in below if path.startswith(each)), default=0)


@lru_cache(maxsize=8)
def _urls(_urlconf: str | None) -> dict[str, str]:
    """Address of every URL name that this project's URLs know; worked out once a process."""
    known = {}
    extra = ("accounts:notifications", "accounts:preferences", "accounts:logout", "quotas:find", "theme")
    for name in (*(entry.name for entry in (*ENTRIES, *ACTIONS)), *extra):
        try:
            known[name] = reverse(name)
        except NoReverseMatch:
            continue
    return known
