"""Make what pages need and the repository does not hold: the icon sprite and a subset of the typeface."""

import ast
import hashlib
import importlib.util
import re
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

SOURCES: Final = ("templates", "static", "config", "accounts", "marketplace", "quotas")
WEIGHTS: Final = {"Regular": 400, "SemiBold": 600}
# Western and Central European names, punctuation, currencies, arrows and the signs of arithmetic.
CHARACTERS: Final = (
    *((0x20, 0x7E), (0xA0, 0x17F), (0x218, 0x21B), (0x1E9E, 0x1E9E), (0x2010, 0x2027), (0x2030, 0x203A)),
    *(
        (0x20A0, 0x20BF),
        (0x2122, 0x2122),
        (0x2190, 0x2199),
        (0x21B5, 0x21B5),
        (0x2212, 0x2212),
        (0x2248, 0x2265),
    ),
    *((0x2318, 0x2318), (0x25B2, 0x25B2), (0x25BC, 0x25BC), (0x2713, 0x2717)),
)
FEATURES: Final = ("calt", "case", "ccmp", "cv11", "kern", "locl", "mark", "mkmk", "tnum")

_IN_TEMPLATES: Final = re.compile(
    r"""\{%\s*icon\s+["']([a-z0-9-]+)["']|(?<![\w:-])icon=["']([a-z0-9-]+)["']"""
)
_IN_SCRIPTS: Final = re.compile(r"""\bicon\(\s*["']([a-z0-9-]+)["']""")


class Command(BaseCommand):
    help = __doc__
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        root, out = Path(settings.BASE_DIR), Path(settings.LOCAL_DIR) / "assets" / "ui"
        (out / "fonts").mkdir(parents=True, exist_ok=True)
        names = icon_names(root)
        recipe = (
            Path(__file__).read_bytes()
            + "\n".join(sorted(names)).encode()
            + installed("lucide", "django-unfold", "fonttools")
        )
        stamp, digest = out / ".stamp", hashlib.sha256(recipe).hexdigest()
        made = [out / "icons.svg", out / "fonts.css"]
        if all(path.exists() for path in made) and stamp.exists() and stamp.read_text() == digest:
            self.stdout.write("Assets are up to date.")
            return
        write(out / "icons.svg", sprite(names))
        faces = fonts(out / "fonts")
        write(out / "fonts.css", "".join(faces).encode())
        if faces:
            stamp.write_text(digest)
        else:
            # Not stamped, so that the next set-up tries again.
            self.stderr.write(
                "Inter was not found (django-unfold and fonttools): pages use the system's typeface."
            )
        self.stdout.write(f"{len(names)} icons, {len(faces)} weights of Inter.")


def installed(*packages: str) -> bytes:
    """The versions of *packages*, with a mark for a missing one."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} missing")
    return "\n".join(found).encode()


def write(path: Path, content: bytes) -> None:
    """Replace the file at once: a server may be reading the old one."""
    new = path.with_suffix(path.suffix + ".new")
    new.write_bytes(content)
    new.replace(path)


# --- icons ------------------------------------------------------------------------------------------------


def icon_names(root: Path) -> dict[str, Path]:
    """Every icon that templates, Python and scripts name, each with a file that names it."""
    names: dict[str, Path] = {}
    for folder in SOURCES:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".html", ".svg", ".js", ".py"):
                text = path.read_text(encoding="utf-8")
                if "icon" in text:
                    for name in named_in(path.suffix, text):
                        names.setdefault(name, path.relative_to(root))
    return names


def named_in(suffix: str, text: str) -> Iterator[str]:
    if suffix == ".py":
        yield from _named_in_python(ast.parse(text))
    else:
        for found in (_IN_SCRIPTS if suffix == ".js" else _IN_TEMPLATES).finditer(text):
            yield next(group for group in found.groups() if group)


def _named_in_python(tree: ast.AST) -> Iterator[str]:
    """icon="name" as an argument, icon("name"), {"icon": "name"}, and the values of a dictionary named ..._ICONS."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "icon":
            yield from _texts(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "icon":
            yield from _texts(node.args[0] if node.args else None)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "icon":
                    yield from _texts(value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id.endswith("_ICONS") for target in targets):
                for value in node.value.values:
                    yield from _texts(value)


def _texts(value: ast.expr | None) -> Iterator[str]:
    """The text, or both texts of a conditional expression; a variable is somebody else's to name."""
    if isinstance(value, ast.IfExp):
        yield from _texts(value.body)
        yield from _texts(value.orelse)
    elif isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
        yield value.value


def sprite(names: dict[str, Path]) -> bytes:
    """One SVG with a symbol for each name. Raises CommandError for a name that the icon set does not have."""
    symbols = []
    with zipfile.ZipFile(BytesIO(files("lucide").joinpath("lucide.zip").read_bytes())) as icons:
        known = set(icons.namelist())
        unknown = [f"{name} (in {names[name]})" for name in sorted(names) if f"{name}.svg" not in known]
        if unknown:
            raise CommandError(f"No such icon: {', '.join(unknown)}")
        for name in sorted(names):
            drawing = icons.read(f"{name}.svg").decode()
            inner = drawing[drawing.index(">", drawing.index("<svg")) + 1 : drawing.rindex("</svg>")]
            symbols.append(
                f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" '
                f'stroke-linecap="round" stroke-linejoin="round">{_tight(inner)}</symbol>'
            )
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(symbols)}</svg>'.encode()


def _tight(markup: str) -> str:
    return re.sub(r">\s+<", "><", re.sub(r"\s+", " ", markup)).replace(" />", "/>").strip()


# --- typeface ---------------------------------------------------------------------------------------------


def fonts(folder: Path) -> list[str]:
    """Write a subset of each weight into *folder*; their @font-face rules, or nothing if a source is missing."""
    package = importlib.util.find_spec("unfold")
    if (
        package is None
        or not package.submodule_search_locations
        or importlib.util.find_spec("fontTools") is None
    ):
        return []
    source = Path(package.submodule_search_locations[0]) / "static" / "unfold" / "fonts" / "inter"
    originals = {weight: source / f"Inter-{name}.woff2" for name, weight in WEIGHTS.items()}
    if not all(path.is_file() for path in originals.values()):
        return []
    for weight, original in originals.items():
        write(folder / f"inter-{weight}.woff2", subset(original))
    if (source / "LICENSE").is_file():
        write(folder / "LICENSE.txt", (source / "LICENSE").read_bytes())
    return [
        f'@font-face{{font-family:Inter;src:url("fonts/inter-{weight}.woff2") format("woff2");'
        f"font-weight:{reach};font-display:swap}}\n"
        for weight, reach in ((400, "100 500"), (600, "501 900"))
    ]


def subset(original: Path) -> bytes:
    """The font with only the characters and features that pages use."""
    from fontTools import subset as tool
    from fontTools.ttLib import TTFont

    options = tool.Options(flavor="woff2", layout_features=list(FEATURES), hinting=False, desubroutinize=True)
    font: Any = TTFont(original)
    chosen = tool.Subsetter(options)
    chosen.populate(unicodes=list(_expanded(CHARACTERS)))
    chosen.subset(font)
    font.flavor = "woff2"
    made = BytesIO()
    font.save(made)
    return made.getvalue()


def _expanded(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)
