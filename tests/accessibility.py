"""What axe finds on a page in the browser."""

from typing import TYPE_CHECKING, Any

from bench.accessibility import RUN, TAGS, axe_script

if TYPE_CHECKING:
    from playwright.sync_api import Page


def violations(page: "Page", *only: str) -> list[str]:
    """Each broken rule with the first node that breaks it, in words; none on a page that everybody can use.

    Only what is broken is told: to describe everything that passed, node by node, takes longer than to look at it.
    only    Rules to look at alone, such as those that a theme or a width can break: a page was looked at whole before.
    """
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(axe_script())
    rules = {"type": "rule", "values": list(only)} if only else {"type": "tag", "values": TAGS}
    found: list[dict[str, Any]] = page.evaluate(RUN, {"runOnly": rules, "resultTypes": ["violations"]})
    return [
        f"{v['id']}: {v['help']}, {len(v['nodes'])} times, such as {v['nodes'][0]['html']}" for v in found
    ]
