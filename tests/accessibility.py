"""What axe finds on a page in the browser."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Only what is broken is told: to describe everything that passed, node by node, takes longer than to look at it.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = "rules => axe.run(document, rules).then(found => found.violations)"


@lru_cache(maxsize=1)
def _script() -> str:
    return str(Axe().axe_script)


def violations(page: "Page", *only: str) -> list[str]:
    """Each broken rule with the first node that breaks it, in words; none on a page that everybody can use.

    only    Rules to look at alone, such as those that a theme or a width can break: a page was looked at whole before.
    """
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(_script())
    rules = {"type": "rule", "values": list(only)} if only else {"type": "tag", "values": TAGS}
    found: list[dict[str, Any]] = page.evaluate(RUN, {"runOnly": rules, "resultTypes": ["violations"]})
    return [
        f"{v['id']}: {v['help']}, {len(v['nodes'])} times, such as {v['nodes'][0]['html']}" for v in found
    ]
