"""Every text of a page can be translated, and nothing that is not text changes with the language: docs/decisions/0024-language.md."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.utils.functional import Promise

from config.language import later, marked, spoken, spoken_choices
from tests.ui import pseudo, unmarked
from tests.ui.unmarked import in_python, in_template, speaking

ROOT = Path(settings.BASE_DIR)
TEMPLATES = ROOT / "templates"
# Nothing that a reader has another word for.
ALLOWED_IN_TEMPLATES = {
    *(
        "Parity",
        "· Parity",
        "Parity · Parity",
        "ADJ-{}",
        "webhook-id",
    ),  # names: of the product, of a reference, of a header
    "bare",  # a class of the body
    '"not sealed yet"',  # as the evidence pack keeps it, which is English whoever reads
}
ALLOWED_IN_PYTHON = {
    *("Maven Computers", "CRM imports", "salesforce, hubspot", "Calendar years"),  # examples of names
    *("board % % %%", "%, quota board", "leaderboard %s % % %%"),  # names of files and titles within them
    *("private, no-store", "private, no-cache"),  # headers
    "compared with 'Supplier'",  # a role in the selectors' own English
}


def _templates() -> list[Path]:
    """Without the style guide, which shows parts with invented text to those who build pages."""
    return [path for path in sorted(TEMPLATES.rglob("*.html")) if "styleguide" not in path.parts]


def test_every_text_of_a_template_is_marked_for_translation() -> None:
    found = [
        str(each)
        for path in _templates()
        for each in in_template(str(path.relative_to(TEMPLATES)), path.read_text())
        if each.text not in ALLOWED_IN_TEMPLATES
    ]
    assert found == []


def test_every_text_of_the_views_is_marked_for_translation() -> None:
    found = [
        str(each)
        for path in speaking(ROOT)
        for each in in_python(str(path.relative_to(ROOT)), path.read_text())
        if each.text not in ALLOWED_IN_PYTHON
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "<p>Log a deal</p>",
        '<a title="Log a deal" href="/">{% icon "plus" %}</a>',
        '<c-kpi label="Deals" value="1" />',
        '{% badge "Open" "good" %}',
        '{{ name|default:"Nobody yet" }}',
        "{{ n }} deal{{ n|pluralize:'s,ses' }}",
        '{% include "x.html" with label="From" %}',
        '{% if state == "In effect" %}{% endif %}',
        "{% blocktranslate %}A{% endblocktranslate %} deals",
    ],
)
def test_unmarked_text_of_a_template_is_found(source: str) -> None:
    assert list(in_template("x", source)) != []


@pytest.mark.parametrize(
    "source",
    [
        '{# A comment #}<p class="big">{% translate "Log a deal" %} <code>amount</code></p>',
        "<a title=\"{% translate 'Log a deal' %}\">{% blocktranslate trimmed %}{{ n }} deals{% endblocktranslate %}</a>",
        '{% if state == "in_effect" %}{% badge _("Open") "good" %}{% endif %}',
        "<c-code label=\"{% translate 'Python' %}\">import json</c-code>",
    ],
)
def test_marked_text_of_a_template_is_left_alone(source: str) -> None:
    assert list(in_template("x", source)) == []


def test_unmarked_text_of_a_view_is_found_and_marked_text_is_left_alone() -> None:
    bad = """
def view(request):
    messages.success(request, f"{deal} is approved.")
    label = "Approved deals"
    if state == "In effect":
        return {_("Open"): 1}
"""
    good = '''
def view(request):
    """A docstring."""
    messages.success(request, _("%(deal)s is approved.") % {"deal": deal})
    label, kind = later("Approved deals"), "approved"
    return exporting.answer(request, form, title="Deals")
'''
    assert len(list(in_python("x", bad))) == 4
    assert list(in_python("x", good)) == []


# --- messages as a translator meets them ------------------------------------------------------------------


def messages() -> list[tuple[str, str]]:
    """Messages of templates with the file they stand in."""
    found = []
    for path in _templates():
        name, within = str(path.relative_to(TEMPLATES)), None
        for token in Lexer(path.read_text()).tokenize():
            word = (token.contents.split() or [""])[0]
            block = token.token_type is TokenType.BLOCK
            if block and word == "translate":
                if literal := re.match(r"""translate\s+(["'])(.*?)\1""", token.contents):
                    found.append((name, literal[2]))
            elif block and word == "blocktranslate":
                within = ""
            elif block and word in {"endblocktranslate", "plural"} and within is not None:
                found.append((name, within))
                within = "" if word == "plural" else None
            elif within is not None:
                within += (
                    token.contents if token.token_type is TokenType.TEXT else f"{{{{ {token.contents} }}}}"
                )
    return found


def test_a_message_names_its_values_and_holds_no_code() -> None:
    wrong = [
        (name, text)
        for name, text in messages()
        if re.search(
            r"\{\{ \w+_\d+ \}\}|\{\{ (?:counter|count)_value \}\}", text
        )  # says nothing of what it is
        or not re.search(r"[^\W\d_]{2,}", re.sub(r"\{\{.*?\}\}", "", text))  # nothing to translate
        or re.fullmatch(r"[a-z]+(?:[-_:][a-z]+)+", text)  # the name of a class or a key
        or re.search(r"^(?:import|from) \w+ import|[\"']\w+[\"']:", text)  # an example of a program
    ]
    assert wrong == []


def test_values_of_a_message_in_python_have_names_that_say_what_they_are() -> None:
    wrong = []
    for path in speaking(ROOT):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in unmarked.MARKERS:
                for text in node.args[: unmarked.MARKERS[getattr(node.func, "id", "")]]:
                    if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
                        wrong.append(f"{path.name}:{node.lineno}: not a literal")
                    elif re.search(r"%\(\w+_\d\)|%s|%d", text.value):
                        wrong.append(f"{path.name}:{node.lineno}: {text.value}")
    assert wrong == []


# --- the language that nobody speaks ----------------------------------------------------------------------


def test_the_language_that_nobody_speaks_keeps_what_is_not_text() -> None:
    said = pseudo.say('<a href="/x">%(count)s deals</a> of {name}, 100%% &amp; more')
    assert said.startswith("⟦")
    assert said.endswith("⟧")
    for kept in ('<a href="/x">', "%(count)s", "</a>", "{name}", "%%", "&amp;"):
        assert kept in said
    assert len(said) > 1.3 * len("deals of , & more")
    assert pseudo.unsaid(f"{pseudo.say('Of %(who)s') % {'who': pseudo.say('a rep')}}, Kairos AG") == [
        "Kairos AG"
    ]


def test_a_marked_word_stays_english_until_a_page_speaks_it() -> None:
    choices = [("open", marked("Open")), ("", "")]
    with pseudo.spoken_here() as catalog:
        assert choices[0][1] == "Open"
        assert spoken("Open") == pseudo.say("Open")
        assert [str(label) for _value, label in spoken_choices(choices)] == [pseudo.say("Open"), ""]
        assert isinstance(later("Open"), Promise)
        assert spoken("") == spoken(None) == ""
        assert catalog.twice == set()
        spoken(spoken("Open"))
        assert catalog.twice == {pseudo.say("Open")}
    assert spoken("Open") == "Open"
