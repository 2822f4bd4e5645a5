"""Rules that every template keeps, and the parts of a page."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.conf import settings
from django.template import Context, Template, engines
from django.template.loader import render_to_string
from django.test import RequestFactory

from config import gallery
from config.context import Shell

TEMPLATES = Path(settings.BASE_DIR) / "templates"
FILES = sorted(TEMPLATES.rglob("*.html"))


def render(source: str, **context: Any) -> str:
    """A piece of template as a page would have it, cotton's tags included."""
    engine: Any = engines["django"]
    from django_cotton.compiler_regex import CottonCompiler

    return str(engine.from_string(CottonCompiler().process(source)).render(context)).strip()


class Strict(HTMLParser):
    """Finds what the content security policy would refuse, ids used twice, and tags left open."""

    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or "style" in names or any(name.startswith("on") for name in names):
            self.wrong.append(self.get_starttag_text() or tag)
        if tag == "script" and "src" not in names:
            self.wrong.append("script without src")
        if names.get("id"):
            self.ids.append(str(names["id"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()  # <rect/> and its like inside of an SVG

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at line {self.getpos()[0]}")


def check(markup: str) -> None:
    parser = Strict()
    parser.feed(markup)
    assert parser.wrong == []
    assert parser.open == []
    assert sorted(parser.ids) == sorted(set(parser.ids))


def test_no_template_has_what_the_content_security_policy_refuses() -> None:
    assert len(FILES) > 200
    for path in FILES:
        text, name = path.read_text(), str(path.relative_to(TEMPLATES))
        assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=\s*[\"']|javascript:", text), name
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), name
        assert "|safe" not in text, name
        assert "autoescape off" not in text, name


def test_the_rules_above_can_fail() -> None:
    for bad in ('<p style="x">', "<style>", '<p onclick="x()">', "<script>x()</script>", "<div><p></div>"):
        parser = Strict()
        parser.feed(bad)
        assert parser.wrong, bad


@pytest.mark.urls("tests.ui.urls")
@pytest.mark.parametrize("both", [False, True])
def test_the_style_guide_is_sound_markup_in_one_and_in_two_themes(both: bool, person: Any) -> None:
    request = RequestFactory().get("/styleguide/")
    request.user = person
    markup = render_to_string("styleguide/index.html", gallery.samples(both=both), request)
    check(markup)
    assert markup.count("Helvetia Re") >= (4 if both else 2)


@pytest.mark.urls("tests.ui.urls")
@pytest.mark.parametrize("name", ["400", "403", "403_csrf", "404", "500"])
def test_an_error_page_needs_no_context_at_all(name: str) -> None:
    check(render_to_string(f"{name}.html"))


def test_a_part_of_a_page_may_hold_components(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "page.html").write_text(
        '{% partialdef row %}<c-empty title="No deals yet" icon="inbox">Log one.</c-empty>{% endpartialdef %}'
        "<main>{% partial row %}</main>"
    )
    templates = [{**settings.TEMPLATES[0], "DIRS": [tmp_path, *settings.TEMPLATES[0]["DIRS"]]}]
    settings.TEMPLATES = templates
    part, page = render_to_string("page.html#row"), render_to_string("page.html")
    assert "No deals yet</h3>" in part
    assert "<c-" not in part
    assert "<main>" not in part
    assert part.strip() in page


class Sample(forms.Form):
    amount = forms.DecimalField(help_text="Before tax.")
    note = forms.CharField(required=False)
    kind = forms.ChoiceField(choices=[("a", "A")], widget=forms.RadioSelect)
    renewal = forms.BooleanField(required=False)


def test_a_field_ties_label_help_and_error_to_its_input() -> None:
    form = Sample({"amount": "<b>", "kind": "a"})
    markup = render('{% field form.amount prefix="$" %}', form=form)
    check(markup)
    assert 'for="id_amount"' in markup
    assert 'aria-describedby="id_amount_helptext id_amount_error"' in markup
    assert 'aria-invalid="true"' in markup
    assert 'id="id_amount_helptext">Before tax.' in markup
    assert 'id="id_amount_error"' in markup
    assert 'value="&lt;b&gt;"' in markup, "what was entered is kept"


def test_only_optional_fields_say_so_and_choices_stand_in_a_fieldset() -> None:
    form = Sample()
    assert "(optional)" in render("{% field form.note %}", form=form)
    assert "(optional)" not in render("{% field form.amount %}", form=form)
    assert "<legend>Kind</legend>" in render("{% field form.kind %}", form=form)
    assert 'class="field choice"' in render("{% field form.renewal %}", form=form)


def test_a_field_can_ask_to_be_checked_when_it_is_left() -> None:
    markup = render('{% field form.note validate="/deals/new/" %}', form=Sample())
    assert 'hx-post="/deals/new/"' in markup
    assert '"validate": "note"' in markup


def test_tags_escape_what_they_are_given() -> None:
    nasty = "<script>alert(1)</script>"
    for source in (
        "{% state x %}",
        "{% badge x %}",
        "{% avatar x %}",
        "{% progress 1 2 x %}",
        "{% spark values x %}",
        '{% icon "house" x %}',
    ):
        assert "<script" not in render(source, x=nasty, values=[1, 2])
    answers = [{"label": nasty, "value": nasty, "tone": "good", "why": nasty}]
    for source in ("{% eligibility x %}", "{% eligibility x compact=True %}"):
        markup = render(source, x=answers)
        assert "<script" not in markup
        assert markup.count("&lt;script&gt;") == 3


def test_a_known_state_has_a_word_a_tone_and_an_icon_and_an_unknown_one_is_shown_as_it_is() -> None:
    assert 't-bad"' in render('{% state "clawed_back" %}')
    assert "Clawed back</span>" in render('{% state "clawed_back" %}')
    assert "Half baked</span>" in render('{% state "half_baked" %}')


def test_the_reason_of_an_answer_can_be_read_in_the_strip_and_in_a_row() -> None:
    markup = render("{% eligibility x %}", x=gallery.ELIGIBILITY)
    assert markup.count("<details") == 5
    row = render("{% eligibility x compact=True %}", x=gallery.ELIGIBILITY)
    assert "<details" not in row
    assert all(answer["why"].replace("'", "&#x27;") in row for answer in gallery.ELIGIBILITY)


def test_movement_is_said_in_words() -> None:
    assert "1 place up" in re.sub(r"<[^>]+>", "", render("{% movement 1 %}")).replace("▲", "").replace(
        "  ", " "
    )
    assert " places down" in render("{% movement x %}", x=-3)
    assert "no change" in render("{% movement 0 %}")
    assert " new" in render("{% movement None %}")


def test_the_query_tag_changes_one_parameter_keeps_the_others_and_starts_paging_anew() -> None:
    request = RequestFactory().get("/", {"team": ["a", "b"], "cursor": "x", "sort": "name"})
    source = Template('{% query sort="-credit" state="" %}')
    assert source.render(Context({"request": request})) == "?team=a&amp;team=b&amp;sort=-credit"


def test_numbers_in_templates_say_nothing_where_there_is_nothing() -> None:
    assert (
        render("{% money None %}{% count None %}{% percent 1 None %}{{ x|ppm }}", x=None) == "\N{EN DASH}" * 4
    )
    assert render('{% money 1250 "EUR" %}') == "€12.50"
    assert render("{{ 500000|ppm }} {{ 333333|ppm }}") == "50% 33.3%"


@pytest.mark.urls("tests.ui.urls")
def test_only_an_address_of_ours_can_be_undone_to() -> None:
    from config.templatetags.ui import undo_url

    assert undo_url("undo:/deals/7/undo/ other") == "/deals/7/undo/"
    for bad in (
        "undo:https://evil.example/",
        "undo://evil.example/",
        "undo:javascript:alert(1)",
        "",
        "/deals/",
    ):
        assert undo_url(bad) == ""


@pytest.mark.urls("tests.ui.urls")
def test_the_login_page_offers_one_form_for_each_demo_role_and_keeps_where_one_was_going() -> None:
    from tests.ui.urls import DEMO, LogIn

    request = RequestFactory().get("/accounts/login/")
    markup = render_to_string(
        "accounts/login.html", {"form": LogIn(), "demo_logins": DEMO, "next": "/deals/?a=1&b=2"}, request
    )
    check(markup)
    assert (
        markup.count('name="csrfmiddlewaretoken"') == len(DEMO) + 2
    )  # each role, the form, the theme switch
    assert markup.count('value="/deals/?a=1&amp;b=2"') == len(DEMO) + 1
    assert "rep@demo.example" in markup
    without = render_to_string(
        "accounts/login.html", {"form": LogIn(), "demo_logins": [], "next": ""}, request
    )
    assert "Demo log-ins" not in without


def test_the_frame_offers_nothing_to_a_stranger(person: Any) -> None:
    from django.contrib.auth.models import AnonymousUser

    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert Shell(request).links == []
    assert Shell(request).actions == []
    assert Shell(request).unread == 0
