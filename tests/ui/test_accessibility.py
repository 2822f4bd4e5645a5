"""Every page is one that make screenshots and make accessibility look at, and none waits for its scripts one by one."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from bench.screenshots import NOWHERE, PAGES

# Addresses that answer GET and that nobody looks at, each with why.
NOT_LOOKED_AT = {
    "a machine reads it": {"healthz", "readyz", "schema", "marketplace:feed-atom", "marketplace:feed-json"},
    "it is a file": {
        "marketplace:import-report",
        "marketplace:spreadsheet-export",
        "quotas:audit-pack-file",
        "quotas:export",
        "quotas:import-map-text",
        "quotas:import-report",
        "quotas:plan-impact-csv",
        "quotas:statement-pack-file",
    },
    "it is a part of a page": {
        "marketplace:decision-find",
        "marketplace:offering-find",
        "marketplace:sourcing-find",
        "quotas:deal-find",
        "quotas:find",
    },
}


def _addresses(resolver: URLResolver, namespace: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}", pattern.callback
        elif not str(pattern.pattern).startswith("api/v1"):
            yield from _addresses(pattern, f"{pattern.namespace}:" if pattern.namespace else namespace)


def _answers_get(view: Callable[..., Any] | None) -> bool:
    """What require_POST and its like wrapped around the view say."""
    while view is not None:
        code, cells = getattr(view, "__code__", None), getattr(view, "__closure__", None)
        for name, cell in zip(code.co_freevars if code else (), cells or (), strict=True):
            if name == "request_method_list" and "GET" not in cell.cell_contents:
                return False
        view = getattr(view, "__wrapped__", None)
    return True


def test_every_page_is_looked_at_or_it_is_said_why_not() -> None:
    pages = {name for name, view in _addresses(get_resolver()) if _answers_get(view)}
    looked_at = set()
    for _picture, _who, where in PAGES:
        *followed, path = where.split(" in ")
        looked_at |= set(followed)
        if path != NOWHERE:
            looked_at.add(resolve(path.partition("?")[0]).view_name)
    excused = set().union(*NOT_LOOKED_AT.values())
    assert sorted(pages - looked_at - excused) == []
    assert sorted((looked_at | excused) - pages) == [], "these are no pages, or none any more"
    assert sorted(looked_at & excused) == []
    assert len({name for name, _who, _where in PAGES}) == len(PAGES), "each picture has a name of its own"


def test_what_the_script_of_every_page_imports_is_fetched_beside_it() -> None:
    scripts, frame = settings.BASE_DIR / "static" / "ui", settings.BASE_DIR / "templates" / "base.html"

    def imported(name: str) -> set[str]:
        direct = set(re.findall(r'^import .*?"\./([\w-]+\.js)"', (scripts / name).read_text(), re.MULTILINE))
        return direct.union(*map(imported, direct))

    fetched = re.findall(r"rel=\"modulepreload\" href=\"\{% static 'ui/([\w-]+\.js)' %\}", frame.read_text())
    assert sorted(fetched) == sorted(imported("app.js"))
