"""A person at work: every click and key is counted, at the pace of somebody who is new to the page."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page

CLICK_SECONDS = 0.3
KEYS_A_SECOND = 5


class Hand:
    """Clicks and types, and says how much of it there was. Waiting for the page is not counted: it is the machine's."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.clicks = 0
        self.keys = 0

    def click(self, selector: str, *, shift: bool = False) -> None:
        modifiers: Any = ["Shift"] if shift else []
        self.page.click(selector, modifiers=modifiers)
        self.clicks += 1

    def choose(self, selector: str, label: str) -> None:
        """One of a list: it is opened, and the choice clicked."""
        self.page.select_option(selector, label=label)
        self.clicks += 2

    def enter(self, selector: str, text: str) -> None:
        """Clicked, and what stands there typed over."""
        self.page.click(selector)
        self.page.fill(selector, text)
        self.clicks += 1
        self.keys += len(text)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.keys += len(text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.keys += 1

    @property
    def seconds(self) -> float:
        return self.clicks * CLICK_SECONDS + self.keys / KEYS_A_SECOND
