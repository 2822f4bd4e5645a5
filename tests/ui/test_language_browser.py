"""In a language a third longer than English nothing is cut, nothing overlaps and no page scrolls sideways."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from accounts.models import User
from tests import make
from tests.quotas.test_pages import approved, submitted
from tests.ui import pseudo

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.django_db(transaction=True)
SIZES = ((1440, 900), (390, 844))
CUT = """
() => {
  const found = [], name = e => `${e.tagName.toLowerCase()}.${[...e.classList].join(".")}: ${e.textContent.trim().slice(0, 60)}`
  const seen = e => e.checkVisibility({opacityProperty: true, visibilityProperty: true}) && !e.closest(".sr, [aria-hidden=true]")
  if (document.documentElement.scrollWidth > innerWidth + 1) found.push(`page: ${document.documentElement.scrollWidth} of ${innerWidth}`)
  for (const e of document.querySelectorAll("body *")) {
    const style = getComputedStyle(e)
    const own = [...e.childNodes].filter(n => n.nodeType === 3 && n.textContent.trim())
    if (!own.length || !seen(e) || e.closest("svg, select, textarea") || e.matches("input, option")) continue
    if (["hidden", "clip"].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && style.position !== "absolute" && !e.closest("[title]"))
      found.push(`cut: ${name(e)}`)
    const frame = e.closest(".scroll") ? null : e.closest(".btn, .chip, .badge, .kpi, .card, .note, dialog")
    const right = Math.max(...own.map(n => { const text = document.createRange(); text.selectNode(n); return text.getBoundingClientRect().right }))
    if (frame && right > frame.getBoundingClientRect().right + 1) found.push(`out of its frame: ${name(e)}`)
  }
  const buttons = [...document.querySelectorAll("main a.btn, main button.btn")].filter(seen).map(e => [e, e.getBoundingClientRect()])
  for (const [a, one] of buttons) for (const [b, other] of buttons)
    if (a !== b && one.width && other.width && one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1)
      found.push(`overlap: ${name(a)} and ${name(b)}`)
  for (const [e, box] of buttons) if (box.right > innerWidth + 1 && !e.closest(".scroll, .tabs")) found.push(`outside: ${name(e)}`)
  return [...new Set(found)]
}
"""


def test_longer_words_fit_on_a_desk_and_on_a_phone(
    page: "Page", sign_in: Callable[[Any], None], settings: Any, tmp_path: Any
) -> None:
    settings.LANGUAGES = [*settings.LANGUAGES, (pseudo.LANGUAGE, "Nobody's")]
    world = make.world()
    deal = approved(world)
    submitted(world)
    admin, rep = make.user(roles=["comp_admin", "manager", "sourcing_lead"]), make.login(world.ana)
    User.objects.update(language=pseudo.LANGUAGE)
    wrong: dict[str, list[str]] = {}
    with pseudo.known():
        for user, addresses in (
            (
                rep,
                ["/", reverse("quotas:board", args=[world.team.slug]), reverse("quotas:deal", args=[deal.pk])]
                + [reverse(f"quotas:{name}") for name in ("leaderboard", "deal-new", "gap")]
                + [reverse("marketplace:catalog"), reverse("marketplace:offering", args=[world.third.slug])],
            ),
            (
                admin,
                ["/"]
                + [reverse(f"quotas:{name}") for name in ("approvals", "plans", "parity", "periods")]
                + [reverse("marketplace:sourcing")],
            ),
        ):
            page.context.clear_cookies()
            sign_in(user)
            for address in addresses:
                page.goto(address)
                for width, height in SIZES:
                    page.set_viewport_size({"width": width, "height": height})
                    if found := page.evaluate(CUT):
                        wrong[f"{address} at {width}"] = found
    assert wrong == {}
