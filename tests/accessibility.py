"""What axe finds on a page in the browser."""

from typing import TYPE_CHECKING, Any

from bench.accessibility import RUN, TAGS, axe_script

if TYPE_CHECKING:
    from playwright.sync_api import Page

# What another theme or width can break; the rest was looked at.
LOOKS = ("color-contrast", "target-size", "scrollable-region-focusable")
WIDE: Any = {"width": 1440, "height": 900}
PHONE: Any = {"width": 390, "height": 844}


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


def accessible(page: "Page") -> None:
    """Light and wide by every rule, dark and on a phone by what they can break; and nothing sticks out of the page."""
    for scheme, size, rules in (("light", WIDE, ()), ("dark", PHONE, LOOKS)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of its words
        page.set_viewport_size(size)
        assert violations(page, *rules) == [], f"{page.url}, {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    page.set_viewport_size(WIDE)
