"""A reader without scripts: pages as they are sent, forms with what stands in them, buttons as they stand in their form."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from django.test import Client

from tests.ui.pseudo import Forms


class Reader:
    """said  The page that is open, as it was sent. at  Its address."""

    def __init__(self, user: Any) -> None:
        self.client = Client()
        self.client.force_login(user)
        self.at = self.said = ""

    def open(self, address: str) -> None:
        self._came(self.client.get(address, follow=True), address)

    def send(
        self, places: Mapping[str, str] | None = None, button: tuple[str, str] = ("", ""), *, to: str = ""
    ) -> None:
        """Fill in places of a form, by name, and press its button: of the first form that has those places and that button."""
        filled = dict(places or {})
        form, goes = next(
            (form, elsewhere or form.action)
            for form in Forms(self.said).forms
            for name, value, elsewhere in form.buttons
            if (name, value) == button
            and to in (elsewhere or form.action)
            and set(filled) <= {each.name for each in form.fields}
        )
        sent = form.sent() | {name: [text] for name, text in filled.items()}
        if button[0]:
            sent[button[0]] = [button[1]]
        address = urljoin(self.at, goes)
        self._came(self.client.post(address, sent, follow=True), address)

    def _came(self, answer: Any, address: str) -> None:
        self.at = answer.redirect_chain[-1][0] if answer.redirect_chain else address
        self.said = answer.content.decode()
