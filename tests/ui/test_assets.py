"""What set-up builds, and how it is served."""

import gzip
import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as live
from django.contrib.staticfiles import finders
from django.core.management import CommandError, call_command

from config.management.commands import build_assets

ROOT = Path(live.BASE_DIR)
STATIC = ROOT / "static" / "ui"
SCRIPTS_OF_EVERY_PAGE = {"app.js", "dialogs.js", "keys.js", "palette.js", "toast.js"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Assets as they were prepared, or built anew if what they are made of has changed."""
    from django.test.utils import override_settings

    local, prepared = tmp_path_factory.mktemp("local"), live.LOCAL_DIR / "assets"
    if prepared.is_dir():
        shutil.copytree(prepared, local / "assets")
    with override_settings(LOCAL_DIR=local):
        call_command("build_assets", stdout=StringIO())
    return local


def test_every_icon_that_is_named_exists_and_is_in_the_sprite(place: Path) -> None:
    names = build_assets.icon_names(ROOT)
    sprite = (place / "assets" / "ui" / "icons.svg").read_text()
    assert {"house", "git-branch", "circle-check", "chevron-down"} <= set(names)
    assert set(re.findall(r'<symbol id="([^"]+)"', sprite)) == set(names)
    assert len(sprite) < 48_000


def test_an_unknown_icon_stops_the_build_and_says_where_it_is_named() -> None:
    with pytest.raises(CommandError, match=r"No such icon: unicorn-horn \(in templates/x.html\)"):
        build_assets.sprite({"house": Path("a.html"), "unicorn-horn": Path("templates/x.html")})


@pytest.mark.parametrize(
    ("suffix", "text", "names"),
    [
        (
            ".html",
            '{% icon "house" %}<c-empty icon="inbox" />{% icon name %} data-icon="no"',
            ["house", "inbox"],
        ),
        (".js", 'icon("x"); silicon("no")', ["x"]),
        (".py", 'Entry("a", icon="house")\nicon("bell")\n{"icon": "code"}', ["house", "bell", "code"]),
        (
            ".py",
            'row(icon="check" if ok == "no" else "x")\nTONE_ICONS: X = {"no": "info"}',
            ["check", "x", "info"],
        ),
    ],
)
def test_names_are_found_in_templates_scripts_and_python(suffix: str, text: str, names: list[str]) -> None:
    assert sorted(build_assets.named_in(suffix, text)) == sorted(names)


def test_a_second_build_finds_nothing_to_do(place: Path, settings: Any) -> None:
    settings.LOCAL_DIR = place
    made = place / "assets" / "ui" / "icons.svg"
    before, said = made.stat().st_mtime_ns, StringIO()
    call_command("build_assets", stdout=said)
    assert "up to date" in said.getvalue()
    assert made.stat().st_mtime_ns == before


def test_the_font_is_small_and_has_what_names_and_numbers_need(place: Path) -> None:
    from fontTools.ttLib import TTFont

    for weight in (400, 600):
        path = place / "assets" / "ui" / "fonts" / f"inter-{weight}.woff2"
        assert path.stat().st_size < 30_000
        font: Any = TTFont(path)
        assert {
            ord(letter)
            for letter in "AzéŁšß€…↵▲\N{MINUS SIGN}\N{EN DASH}\N{MULTIPLICATION SIGN}\N{RIGHT SINGLE QUOTATION MARK}"
        } <= set(font.getBestCmap())
        assert "tnum" in {record.FeatureTag for record in font["GSUB"].table.FeatureList.FeatureRecord}


def test_without_a_source_of_the_font_set_up_goes_on(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LOCAL_DIR = tmp_path
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    warned = StringIO()
    call_command("build_assets", stdout=StringIO(), stderr=warned)
    assert "Inter was not found" in warned.getvalue()
    assert (tmp_path / "assets" / "ui" / "fonts.css").read_text() == ""
    assert (tmp_path / "assets" / "ui" / "icons.svg").exists()


def test_real_storage_hashes_our_imports_and_leaves_other_scripts_alone(
    place: Path, tmp_path: Path, settings: Any
) -> None:
    """Prepared for everything that is installed before the suite begins; here for what is ours and a script that is not."""
    theirs = tmp_path / "theirs" / "library.js"
    theirs.parent.mkdir()
    theirs.write_text('import "./left-out-of-the-package.js"')
    settings.LOCAL_DIR = place
    settings.STATICFILES_FINDERS = [
        each for each in settings.STATICFILES_FINDERS if "AppDirectories" not in each
    ]
    settings.STATICFILES_DIRS = [*settings.STATICFILES_DIRS, theirs.parent]
    settings.STATIC_ROOT = root = tmp_path / "root"
    settings.STORAGES = {**settings.STORAGES, "staticfiles": {"BACKEND": "config.storage.HashedStorage"}}
    finders.get_finder.cache_clear()  # type: ignore[attr-defined]  # an lru_cache
    try:
        call_command("collectstatic", interactive=False, verbosity=0)
    finally:
        finders.get_finder.cache_clear()  # type: ignore[attr-defined]  # an lru_cache
    (left_alone,) = root.glob("library.*.js")
    assert left_alone.read_text() == theirs.read_text()
    ours = sorted((root / "ui").glob("*.js"))
    assert {re.sub(r"\.[0-9a-f]{12}", "", path.name) for path in ours} == {
        path.name for path in STATIC.glob("*.js")
    }
    assert all(re.search(r"\.[0-9a-f]{12}\.js$", path.name) for path in ours), "only hashed names are kept"
    entry = next(path for path in ours if path.name.startswith("app."))
    imports = re.findall(r'from ?"([^"]+)"|import ?"([^"]+)"', entry.read_text())
    assert len(imports) == 5
    for found in imports:
        target = next(name for name in found if name)
        assert (
            root / target.removeprefix(settings.STATIC_URL)
            if target.startswith("/")
            else entry.parent / target
        ).is_file()
    faces = next((root / "ui").glob("fonts.*.css")).read_text()
    for url in re.findall(r'url\("([^"]+)"\)', faces):
        assert (root / "ui" / url).is_file()
    assert next((root / "ui").glob("app.*.css.br")).stat().st_size < 12_000


def _loaded_by_templates() -> dict[str, set[str]]:
    """What a page loads beside what every page does."""
    found = {}
    for path in (ROOT / "templates").rglob("*.html"):
        names = set(re.findall(r"static 'ui/([\w.]+\.(?:css|js))'", path.read_text()))
        names -= {"app.css", "app.js", "fonts.css"}
        if names:
            found[str(path)] = names
    return found


def test_the_first_visit_weighs_less_than_100_kilobytes(place: Path) -> None:
    import brotli  # type: ignore[import-untyped]
    import django_htmx

    def packed(path: Path) -> int:
        return len(brotli.compress(path.read_bytes()))

    htmx = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
    sprite = place / "assets" / "ui" / "icons.svg"
    weights = {path.name: packed(path) for path in STATIC.iterdir() if path.suffix in (".css", ".js")}
    weight = (
        packed(htmx) + packed(sprite) + sum(weights[name] for name in ("app.css", *SCRIPTS_OF_EVERY_PAGE))
    )
    weight += sum(path.stat().st_size for path in (place / "assets" / "ui" / "fonts").glob("*.woff2"))
    more = {
        template: sum(weights[name] for name in names) for template, names in _loaded_by_templates().items()
    }
    assert len(more) > 50
    heaviest = max(more, key=lambda template: more[template])
    assert weight + more[heaviest] < 90_000, f"{heaviest}: leaves 10 kB for the page itself"


def _sent(text: str) -> int:
    """Bytes that go over the wire."""
    return len(gzip.compress(text.encode(), mtime=0))


def test_our_scripts_are_few_and_use_nothing_the_policy_forbids() -> None:
    scripts = {path.name: path.read_text() for path in STATIC.glob("*.js")}
    assert sum(len(scripts[name]) for name in SCRIPTS_OF_EVERY_PAGE) < 14_000
    assert sum(_sent(scripts[name]) for name in SCRIPTS_OF_EVERY_PAGE) < 7_000
    own = {name for names in _loaded_by_templates().values() for name in names if name.endswith(".js")}
    assert set(scripts) == SCRIPTS_OF_EVERY_PAGE | own
    assert all(_sent(scripts[name]) < 2_000 for name in own)
    for name, text in scripts.items():
        assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|\.style\b", text), name


def test_every_rule_stands_in_a_declared_layer_and_every_token_in_use_exists() -> None:
    text = (STATIC / "app.css").read_text()
    code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    assert code.count("{") == code.count("}")
    declared = re.match(r"@layer ([^;]+);", code)
    assert declared
    layers = [name.strip() for name in declared[1].split(",")]
    assert re.findall(r"^@layer (\w+) \{", code, flags=re.MULTILINE) == layers
    depth, outside = 0, ""
    for sign in code:
        depth += (sign == "{") - (sign == "}")
        outside += sign if depth == 0 else ""
    assert set(re.findall(r"@[\w-]+", outside)) == {"@layer", "@view-transition"}
    both = code + (STATIC / "door.css").read_text()
    used, made = set(re.findall(r"var\((--[\w-]+)", both)), set(re.findall(r"(--[\w-]+)\s*:", both))
    assert used <= made
    assert made <= used | {"--from"}
