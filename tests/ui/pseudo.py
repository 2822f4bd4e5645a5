"""A language that nobody speaks: every message comes back accented, longer and in ⟦brackets⟧, so that what is not marked shows.

It is worked out when it is asked for: there is no catalog to keep. en-xa is what the field calls it.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, Final

from django.utils import translation
from django.utils.translation import trans_real

LANGUAGE: Final = "en-xa"
OPEN, CLOSE = "⟦", "⟧"
LONGER: Final = 0.35
ACCENTED: Final = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "åƀçđéƒğĥîĵķļɱñöþqŕšţûṽŵẋýžÅƁÇĐÉƑĞĤÎĴĶĻṀÑÖÞQŔŠŢÛṼŴẊÝŽ",
)
# What is no text within a message: places for values, tags, entities, addresses.
KEPT: Final = re.compile(r"%\(\w+\)[a-z]|%%|%[sdr]|\{\w*\}|<[^>]*>|&#?\w+;|https?://\S+")


def say(message: str) -> str:
    """The message in the language that nobody speaks; whitespace at its ends stays outside."""
    text = message.strip()
    if not text:
        return message
    start = message.index(text)
    letters, parts, at = 0, [], 0
    for kept in KEPT.finditer(text):
        parts += [text[at : kept.start()].translate(ACCENTED), kept[0]]
        letters += kept.start() - at
        at = kept.end()
    parts.append(text[at:].translate(ACCENTED))
    letters += len(text) - at
    more = " ~" + "~" * max(int(letters * LONGER) - 2, 0)
    longer = "".join(parts) + re.sub(r"~{9}", "~~~~~~~~ ", more)
    return f"{message[:start]}{OPEN}{longer}{CLOSE}{message[start + len(text) :]}"


class Catalog:
    """Stands where Django keeps a language's catalog, and remembers what was asked of it.

    asked   Messages as they stand in the source.
    twice   Messages that came back already said: somebody translates a translation.
    """

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.twice: set[str] = set()
        self._said: dict[str, str] = {}

    def _say(self, message: str) -> str:
        if found := self._said.get(message):
            return found
        _context, _separator, text = message.rpartition("\x04")
        if OPEN in text:
            self.twice.add(text)
            return text
        self.asked.add(text)
        self._said[message] = said = say(text)
        return said

    def gettext(self, message: str) -> str:
        return self._say(message)

    def ngettext(self, singular: str, plural: str, number: int) -> str:
        return self._say(singular if number == 1 else plural)

    def language(self) -> str:
        return LANGUAGE

    def to_language(self) -> str:
        return LANGUAGE


@contextmanager
def known() -> Iterator[Catalog]:
    """Within, somebody may choose the language that nobody speaks."""
    catalogs: dict[str, Any] = trans_real._translations  # type: ignore[attr-defined]  # where Django keeps them
    catalog = Catalog()
    catalogs[LANGUAGE] = catalog
    try:
        yield catalog
    finally:
        del catalogs[LANGUAGE]


@contextmanager
def spoken_here() -> Iterator[Catalog]:
    """Within, everything is said in it where no other language is asked for."""
    with known() as catalog, translation.override(LANGUAGE):
        yield catalog


# Attributes that are read out, shown, or told by a script.
SPOKEN: Final = frozenset(
    {"aria-label", "aria-description", "title", "placeholder", "alt", "label", "hx-confirm", "data-label"}
    | {"data-copied", "data-by-hand", "data-forbidden", "data-failed", "data-offline", "data-late"}
    | {"data-kept", "data-unread", "data-even", "data-over", "data-under"}
)
SILENT: Final = frozenset({"script", "style", "code", "kbd", "samp", "pre", "textarea"})


@dataclass
class Field:
    """A place of a form: what it sends as the page stands, and what it offers; hidden ones are not for people to fill."""

    name: str
    kind: str
    values: list[str] = field(default_factory=list)

    @property
    def typed(self) -> bool:
        return self.kind not in ("hidden", "button", "checkbox", "radio", "file")


@dataclass
class Form:
    """A form that a page sends, and the buttons that send it: the name and value of each, and where it goes instead."""

    action: str
    fields: list[Field] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)

    def sent(self, *, spoilt: bool = False) -> dict[str, list[str]]:
        data: dict[str, list[str]] = {}
        for each in self.fields:
            if each.values or (spoilt and each.typed):
                data.setdefault(each.name, []).extend(
                    ["no such thing"] if spoilt and each.typed else each.values
                )
        return data


ASKED: Final = frozenset({"form", "option", "input", "select", "textarea", "button"})


class Forms(HTMLParser):
    """The forms of a page that are sent by POST."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._named: dict[str, Form] = {}
        self._choice: Field | None = None
        self._offered: list[str] = []
        self._text: Field | None = None
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ASKED:
            return
        has = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._open = Form(has.get("action", ""))
            if has.get("method", "").lower() == "post":
                self.forms.append(self._open)
            self._named[has.get("id", "")] = self._open
        elif tag == "option" and self._choice is not None:
            self._offered.append(has.get("value", ""))
            if "selected" in has:
                self._choice.values.append(self._offered[-1])
        form = self._named.get(has["form"]) if "form" in has else self._open
        if form is None or tag not in ("input", "select", "textarea", "button"):
            return
        kind = has.get("type", "text" if tag == "input" else "submit" if tag == "button" else tag).lower()
        name = has.get("name", "")
        if kind in ("submit", "image"):
            form.buttons.append((name, has.get("value", ""), has.get("formaction", "")))
        if not name or "disabled" in has or kind in ("submit", "image", "button", "reset"):
            return
        found = Field(name, kind)
        form.fields.append(found)
        if tag == "select":
            self._choice, self._offered = found, []
        elif tag == "textarea":
            self._text = found
        elif kind not in ("checkbox", "radio") or "checked" in has:
            found.values += [] if kind == "file" else [has.get("value", "on" if kind == "checkbox" else "")]

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "textarea" and self._text is not None:
            self._text.values = ["".join(self._text.values).removeprefix("\n")]
            self._text = None
        elif tag == "select" and self._choice is not None:
            if not self._choice.values:
                self._choice.values = self._offered[:1]
            self._choice = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.values.append(data)


class Page(Forms):
    """A page, read once: its text as it stands and as it is read out, piece by piece; what else it is made of, and where it leads."""

    def __init__(self, markup: str) -> None:
        self.texts: list[str] = []
        self.made: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self._inside: list[str] = []
        super().__init__(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        super().handle_starttag(tag, attrs)
        if tag in SILENT:
            self._inside.append(tag)
        for name, value in attrs:
            if name in SPOKEN:
                self._heard(value or "")
            elif value:
                self.made.append((tag, name, value))
                if (tag, name) == ("a", "href"):
                    self.links.append(value)

    def handle_endtag(self, tag: str) -> None:
        super().handle_endtag(tag)
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        super().handle_data(data)
        if not self._inside:
            self._heard(data)

    def _heard(self, text: str) -> None:
        if plain := " ".join(text.split()):
            self.texts.append(plain)


BRACKETS: Final = re.compile(f"([{OPEN}{CLOSE}])")
WORD: Final = re.compile(r"[^\W\d_]{2,}")


def unsaid(text: str) -> list[str]:
    """What of a text stands outside of all brackets; those of a value within a message are nested."""
    depth = 0
    found: list[str] = []
    for piece in BRACKETS.split(text):
        if piece == OPEN:
            depth += 1
        elif piece == CLOSE:
            depth -= 1
        elif depth == 0:
            found.append(piece)
    return [each for each in (part.strip(" ,.;:·()–-/|") for part in found) if WORD.search(each)]
