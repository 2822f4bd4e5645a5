"""make accessibility: every page of the demo is looked at by axe and measured, light and dark, 1440 and 320 px wide.

Uses the list and the demo of make screenshots (ONLY=, BASE_URL= as there). 320 px is 1280 px at 400 % zoom: nothing may
stick out or be cut off. A target is 24 px or more, a focus is seen, nothing moves for who asked for less motion, and no
control is dead without scripts. One line for each thing found, with the pages it is on; exit 1 if there is any.
"""

import sys
from collections import defaultdict
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Literal

import django
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Error, Page, sync_playwright

from bench.screenshots import CHROMIUM, PAGES, SIZES, given, log_in, running, visit

NARROW = 320
MOST_WAITED = 10_000  # milliseconds
OTHERS = "reference"  # Swagger UI's page, which we show and did not make: small targets, pale words, nested controls
SPECIMENS = "styleguide"  # its buttons show how buttons look, and do nothing
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

# axe gives up a whole rule at a colour that it cannot read, and 3.6e-11, a zero of color-mix(), is such a one; and it reads
# the same two dozen colours thousands of times: each is read once.
READ_COLOURS = r"""
(() => {
  const known = new Map(), color = axe.commons.color.Color.prototype, parse = color.parseString;
  color.parseString = function (text) {
    if (!known.has(text)) {
      parse.call(this, text.replace(/-?[\d.]+e-\d+/g, "0"));
      known.set(text, [this.r, this.g, this.b, this.alpha]);
    }
    [this.r, this.g, this.b, this.alpha] = known.get(text);
    return this;
  };
})();
"""
# What is broken; and a rule that axe gave up, which would pass for one that nothing breaks.
RUN = """rules => axe.run(document, rules).then(found => [...found.violations,
  ...found.incomplete.filter(rule => rule.error).map(rule => ({ ...rule, help: `axe gave up, ${rule.error.message}` }))])"""
AXE = RUN + ".then(found => found.map(rule => [rule.id, rule.nodes.map(node => node.html)]))"

# What a person meets: shown, not only there for a screen reader, not turned off.
SHARED = """() => {
window.seen = node => {
  if (!node.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false;
  if (node.closest(".sr, .skip, dialog:not([open])")) return false;
  const box = node.getBoundingClientRect();
  return box.width > 1 && box.height > 1;
};
window.said = node => {
  const name = node.localName + (node.className && node.getAttribute("class") ? "." + node.getAttribute("class").trim().split(/\\s+/).join(".") : "");
  const around = node.parentElement?.closest("[class]");
  return `${around ? "." + around.getAttribute("class").trim().split(/\\s+/)[0] + " " : ""}${name} "${(node.textContent || node.getAttribute("aria-label") || node.name || "").trim().replace(/\\s+/g, " ").slice(0, 40)}"`;
};
window.scrolls = node => {
  for (let at = node.parentElement; at && at !== document.body; at = at.parentElement)
    if (/auto|scroll/.test(getComputedStyle(at).overflowX) && at.scrollWidth > at.clientWidth) return true;
  return false;
};
}"""

WIDE = """width => document.documentElement.scrollWidth > width
  ? [...document.querySelectorAll("body *")].filter(n => seen(n) && n.getBoundingClientRect().right > width + 1 && !scrolls(n)
      && ![...n.children].some(c => c.getBoundingClientRect().right > width + 1)).slice(0, 3).map(said) : []"""

# Text that a box without a scroll bar cuts off, or that lies beyond an edge of the page.
CUT = """width => [...document.querySelectorAll("main *, .top *, .foot *, .bar *")].filter(node => {
  if (!seen(node) || ![...node.childNodes].some(c => c.nodeType === 3 && c.textContent.trim())) return false;
  if (node.closest("svg, select, option, .crumbs")) return false;
  if (scrolls(node)) return false;
  const range = document.createRange(), own = [...node.childNodes].filter(c => c.nodeType === 3 && c.textContent.trim());
  return own.some(text => {
    range.selectNodeContents(text);
    const box = range.getBoundingClientRect();
    if (box.width < 1) return false;
    if (box.right > width + 1 || box.left < -1) return true;
    for (let at = node; at && at !== document.body; at = at.parentElement) {
      const s = getComputedStyle(at);
      if (s.overflowX === "visible") continue;
      if (box.right > at.getBoundingClientRect().right + 1 && s.textOverflow !== "ellipsis") return !/auto|scroll/.test(s.overflowX);
    }
  });
}).map(said)"""

# A link in running text is as tall as its line; a control that the browser draws has a label that is part of the target.
SMALL = """() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [role=option], [tabindex='0']")].filter(node => {
  if (!seen(node) || node.closest("svg")) return false;
  let box = node.getBoundingClientRect();
  if (node.matches("input[type=checkbox], input[type=radio], input[type=file]")) {
    const label = node.closest("label") ?? node.labels?.[0];
    if (label) { const l = label.getBoundingClientRect(); box = { width: Math.max(box.width + 6, l.width), height: Math.max(box.height + 6, l.height) }; }
    else box = { width: box.width + 6, height: box.height + 6 };
  }
  if (node.matches(".find input")) return false;
  if (box.width >= 23.5 && box.height >= 23.5) return false;
  if (node.localName === "a" && getComputedStyle(node).display === "inline") {
    const line = node.closest("p, li, dd, td, th, small, blockquote, figcaption, legend, label, h1, h2, h3");
    const own = node.textContent.trim().length;
    if (line && line.textContent.trim().length > own + 3) return false;
  }
  return true;
}).map(said)"""

# The drawing of each focusable, or of the label or box around it, changes when the keyboard comes to it.
FOCUS = """() => {
  const look = node => { const s = getComputedStyle(node); return [s.outlineStyle, s.outlineWidth, s.outlineColor, s.boxShadow, s.borderColor, s.backgroundColor, s.translate].join(); };
  const all = () => [...document.querySelectorAll("a[href], button:not(:disabled), input:not([type=hidden], :disabled), select:not(:disabled), textarea:not(:disabled), summary, [tabindex='0']")];
  const kinds = new Map();
  for (const node of all()) if (seen(node) || node.matches(".chip input")) { const k = said(node).replace(/ "[^]*/, ""); if (!kinds.has(k)) kinds.set(k, node); }
  const bad = [];
  for (const [kind, node] of kinds) {
    const ring = [node, node.parentElement, node.closest("label, .find, .chip, tr") ?? node];
    document.activeElement?.blur();
    const before = ring.map(look).join("|");
    node.focus({ focusVisible: true, preventScroll: true });
    if (document.activeElement !== node) { bad.push(`${kind} takes no focus`); continue; }
    if (ring.map(look).join("|") === before) bad.push(kind);
  }
  document.activeElement?.blur();
  for (const node of all()) if (node.tabIndex > 0) bad.push(`${said(node)} jumps the order`);
  return bad;
}"""

MOVES = "() => document.getAnimations().map(a => a.animationName ?? a.transitionProperty ?? 'moves')"

# What only a script brings to life must not be seen where there are none; a form is sent by a button that is seen.
DEAD = """() => {
  const seen = node => node.checkVisibility({ visibilityProperty: true });
  const said = node => `${node.localName} "${(node.textContent || node.getAttribute("aria-label") || node.name || "").trim().replace(/\\s+/g, " ").slice(0, 40)}"`;
  const buttons = [...document.querySelectorAll("button, [role=button]")].filter(node => seen(node) && !node.disabled
    && !node.matches("[popovertarget], [commandfor]") && (node.type === "button" || !node.form));
  const links = [...document.querySelectorAll("a[href='#'], a:not([href]), [data-open]:not(button)")].filter(node => seen(node)
    && !node.matches("[aria-current], [aria-disabled], [data-open][href]:not([href='#'])"));
  const forms = [...document.forms].filter(form => {
    const parts = [...form.elements].filter(part => seen(part) && part.type !== "hidden");
    const one = parts.filter(part => part.matches("input")).length === 1 && parts.some(part => /text|search/.test(part.type)); // Enter sends it
    return parts.some(part => part.matches("input, select, textarea")) && !parts.some(part => part.type === "submit") && !(one && !parts.some(part => part.matches("select, textarea")));
  });
  return [...buttons, ...links, ...forms].map(said);
}"""


NARROW_RULES = ["target-size", "scrollable-region-focusable", "color-contrast", "link-name", "button-name"]


@lru_cache(maxsize=1)
def axe_script() -> str:
    """What puts axe into a page."""
    return str(Axe().axe_script) + READ_COLOURS


def look(page: Page) -> list[str]:
    """Everything that is wrong with the open page."""
    found: list[str] = []
    with suppress(Error):  # what is still loading, such as the reference of the API, is not there yet
        page.wait_for_function(f"!({MOVES})().length", timeout=MOST_WAITED)
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(axe_script())
        page.evaluate(SHARED)
    wide = SIZES["desktop"][0]
    runs: tuple[tuple[Literal["light", "dark"], int, list[str], str], ...] = (
        ("light", wide, TAGS, "tag"),
        ("dark", wide, ["color-contrast"], "rule"),
        ("light", NARROW, NARROW_RULES, "rule"),
    )
    for theme, width, rules, kind in runs:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        rules_of_run = {"runOnly": {"type": kind, "values": rules}, "resultTypes": ["violations"]}
        for rule, nodes in page.evaluate(AXE, rules_of_run):
            found += [f"axe {rule}, {theme} at {width}: {node[:220]}" for node in nodes[:3]]
        if theme == "light":
            found += [f"target under 24 px at {width}: {said}" for said in page.evaluate(SMALL)]
            found += [f"cut off at {width}: {said}" for said in page.evaluate(CUT, width)]
            found += [f"sticks out at {width}: {said}" for said in page.evaluate(WIDE, width)]
    found += [f"focus not seen: {said}" for said in page.evaluate(FOCUS)]
    found += [f"moves: {said}" for said in page.evaluate(MOVES)]
    return found


def without_scripts(browser: Browser, address: str, came: dict[str, str], told: dict[str, list[str]]) -> None:
    """came  Name of each page to where it was found, so that nobody has to go there link by link again."""
    seats: dict[str, Page] = {}
    for name, role, _where in PAGES:
        if name not in came or name == SPECIMENS:
            continue
        if role not in seats:
            seats[role] = browser.new_context(java_script_enabled=False).new_page()
            if role:
                log_in(seats[role], address, role)
        try:
            seats[role].goto(came[name])
            for said in seats[role].evaluate(DEAD):
                told[f"dead without scripts: {said}"].append(name)
        except Error as problem:
            told[f"does not come without scripts: {problem}".splitlines()[0]].append(name)
    for page in seats.values():
        page.context.close()


def main() -> int:
    if not Path(CHROMIUM).exists():
        print(f"There is no Chromium at {CHROMIUM}: install Debian's, or set CHROMIUM.", file=sys.stderr)
        return 1
    wanted = given("ONLY")
    told: dict[str, list[str]] = defaultdict(list)
    django.setup()
    seen = 0
    came: dict[str, str] = {}
    with running() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for name, page in visit(browser, address, wanted):
            seen += 1
            print(f"{seen} {name}", file=sys.stderr)
            if page is None:
                told["does not come"].append(name)
                continue
            came[name] = page.url
            if name == OTHERS:
                continue
            for said in {said.split(' "')[0]: said for said in look(page)}.values():
                told[said].append(name)
        without_scripts(browser, address, came, told)
        browser.close()
    for said, names in sorted(told.items()):
        print(f"{said}  [{len(names)}: {', '.join(names[:4])}]")
    print(f"{seen} pages, {len(told)} things found")
    return 1 if told else 0


if __name__ == "__main__":
    raise SystemExit(main())
