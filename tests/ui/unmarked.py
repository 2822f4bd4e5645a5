"""Finds text of pages that no translator would ever see: in templates, and in the Python that speaks to people."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

from django.template.base import Lexer, Token, TokenType


@dataclass(frozen=True)
class Found:
    file: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}: {self.text}"


# --- templates --------------------------------------------------------------------------------------------

WORD: Final = re.compile(r"[^\W\d_]{2,}")
# What reads like text: a word with a capital, or several words.
READ: Final = re.compile(r"^[^\W\d_]*[A-Z][a-z]+(?:[ ,.:;!?]|$)|[a-z]{2,},? [a-z]{2,}")
CODE: Final = frozenset({"code", "kbd", "samp", "script", "style", "pre", "c-vars", "c-code"})
SPOKEN: Final = frozenset(
    {
        "aria-label",
        "aria-description",
        "aria-roledescription",
        "aria-valuetext",
        "title",
        "placeholder",
        "alt",
    }
    | {"label", "abbr", "summary", "hx-confirm", "hx-prompt", "data-label", "data-said", "data-confirm"}
)
# Of a component every attribute is text, save those that name something.
NAMES: Final = frozenset(
    {"class", "icon", "tone", "level", "name", "role", "id", "as", "href", "flush", "field", "current"}
    | {"action", "method", "period", "version", "previous", "next", "size"}
)
# Tags whose words are addresses, files, blocks and modes, and never text.
MUTE: Final = frozenset(
    {"url", "static", "load", "extends", "block", "endblock", "partialdef", "partial", "endpartialdef"}
    | {"translate", "blocktranslate", "plural", "endblocktranslate", "for", "query", "field", "comment"}
)
LITERAL: Final = re.compile(r"""(_\()?("[^"]*"|'[^']*')""")
TEXT_OF_PART: Final = re.compile(r"""\b(label|hint|said|title|text|what|help|empty)=("[^"]*"|'[^']*')""")
ARGUMENT: Final = re.compile(r"""\|(default|default_if_none|yesno|pluralize|add|join):("[^"]*"|'[^']*')""")


class _Page(HTMLParser):
    """What a browser would show of a template whose tags were blanked out."""

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []
        self.found: list[tuple[int, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag in CODE:
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"meta", "c-vars"}:
            return
        for name, value in attrs:
            if value and WORD.search(value) and (name in SPOKEN or (tag[:2] == "c-" and _is_text(name))):
                self.found.append((self.getpos()[0], value.strip(), f"attribute {name}"))

    def handle_endtag(self, tag: str) -> None:
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside and WORD.search(data):
            above = data[: len(data) - len(data.lstrip())].count("\n")
            self.found.append((self.getpos()[0] + above, " ".join(data.split()), "text"))


def _is_text(name: str) -> bool:
    return name not in NAMES and not name.startswith((":", "hx-", "data-", "aria-"))


def in_template(name: str, source: str) -> Iterator[Found]:
    """Text nodes and spoken attributes outside of messages, and literal arguments of tags and filters."""
    shown, within, skipped = [], False, False
    for token in Lexer(source).tokenize():
        word = (token.contents.split() or [""])[0]
        block = token.token_type is TokenType.BLOCK
        if block and word in {"comment", "endcomment"}:
            skipped = word == "comment"
        elif block and word in {"blocktranslate", "endblocktranslate"}:
            within = word == "blocktranslate"
        if token.token_type is TokenType.TEXT and not within and not skipped:
            shown.append(token.contents)
            continue
        place = "{}" if token.token_type is TokenType.VAR and not within else " "
        shown.append(place + "\n" * token.contents.count("\n"))
        if token.token_type is not TokenType.TEXT and not skipped:
            yield from (Found(name, token.lineno or 0, text, why) for text, why in _in_tag(token, word))
    page = _Page()
    page.feed("".join(shown))
    page.close()
    yield from (Found(name, line, text, why) for line, text, why in page.found)


def _in_tag(token: Token, word: str) -> Iterator[tuple[str, str]]:
    if token.token_type is TokenType.COMMENT:
        return
    for which, text in ARGUMENT.findall(token.contents):
        if (WORD if which in {"yesno", "pluralize", "join"} else READ).search(text[1:-1]):
            yield text, f"argument of {which}"
    if token.token_type is not TokenType.BLOCK or word in MUTE:
        return
    for name, text in TEXT_OF_PART.findall(token.contents) if word == "include" else ():
        if WORD.search(text):
            yield text, f"{name} of a part"
    for marked, text in LITERAL.findall(token.contents):
        if not marked and READ.search(text[1:-1]):
            yield text, "compared with text" if word in {"if", "elif"} else f"argument of {word}"


# --- Python -----------------------------------------------------------------------------------------------

MARKERS: Final = {"_": 1, "later": 1, "marked": 1, "ngettext": 2}
"""What marks a message, and how many of its arguments it marks."""
# Calls whose text no page shows: files for programs, records, patterns, statements, addresses, the log.
SILENT: Final = frozenset(
    {"Column", "answer", "acting", "Amount"}
    | {
        "compile",
        "search",
        "sub",
        "split",
        "match",
        "fullmatch",
        "findall",
        "finditer",
        "removeprefix",
        "removesuffix",
    }
    | {"reswap", "reselect", "retarget"}
    | {"getLogger", "info", "warning", "error", "exception", "startswith", "endswith", "replace", "partition"}
    | {"execute", "RawSQL", "Value", "cast", "patch_vary_headers", "get", "set_cookie", "delete_cookie"}
)
UNSAID: Final = frozenset({"class_name", "classes", "icon", "tone", "name", "template_name", "extra_tags"})
SAID: Final = re.compile(
    r"^[A-Z][a-z]+(?:[ ,.:;!?'\N{RIGHT SINGLE QUOTATION MARK}]|$)|[A-Za-z]{2,},? [a-z]{2,}"
)
WORDS: Final = re.compile(r"^[A-Z][a-z]+(?: |$)")
CODED: Final = re.compile(r"[<>{}\\/#=_]|^[a-z0-9 -]+$")
PIECES: Final = re.compile(r"[<>=/\\#_]")


class _Speech(ast.NodeVisitor):
    """Literals that look as if somebody would read them."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for each in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, *node.body):
            if each:
                self.visit(each)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SILENT:
            return
        self.visit(node.func)
        for argument in node.args[MARKERS.get(name, 0) :]:
            self.visit(argument)
        for keyword in node.keywords:
            if keyword.arg not in UNSAID:
                self.visit(keyword.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Only what a form says of its fields is read by people as it is raised."""
        if isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") == "ValidationError":
            self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Compared with a text that is shown: that never holds in another language."""
        for side in (node.left, *node.comparators):
            if isinstance(side, ast.Constant) and isinstance(side.value, str) and WORDS.search(side.value):
                self.found.append((node.lineno, f"compared with {side.value!r}"))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.visit(node.value)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if isinstance(key, ast.Call) and getattr(key.func, "id", "") in MARKERS:
                self.found.append((key.lineno, f"a key in words: {ast.unparse(key)}"))
        for key, value in zip(node.keys, node.values, strict=True):
            if not (isinstance(key, ast.Constant) and str(key.value).startswith("hx-")):
                self.visit(value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "%" for part in node.values)
        if re.search(r"[A-Za-z]{2,}", text) and " " in text.strip() and not PIECES.search(text):
            self.found.append((node.lineno, text))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self.visit(part.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and SAID.search(node.value) and not CODED.search(node.value):
            self.found.append((node.lineno, node.value))


def in_python(name: str, source: str) -> Iterator[Found]:
    """Literals that look as if somebody would read them, where nothing marks them."""
    speech = _Speech()
    speech.visit(ast.parse(source))
    yield from (Found(name, line, text, "literal") for line, text in speech.found)


def speaking(root: Path) -> list[Path]:
    """The modules whose text is for pages."""
    found = {path for app in ("marketplace", "quotas") for path in (root / app / "views").rglob("*.py")}
    found |= {path for path in root.glob("*/*forms.py") if path.parent.name != "tests"}
    found |= {path for app in ("config", "quotas") for path in (root / app / "templatetags").glob("*.py")}
    found |= {
        root / "accounts" / "views.py",
        root / "accounts" / "sessions.py",
        root / "quotas" / "panels.py",
    }
    found |= set((root / "quotas" / "crediting" / "explanation").glob("*.py"))
    found |= {root / "config" / f"{name}.py" for name in ("context", "first_steps", "views", "timelines")}
    found |= set((root / "config").glob("*charts.py"))
    return sorted(path for path in found if path.exists())
