"""What an import cannot show: foreign keys by name, links in templates, reads that forget who is asking."""

import re
from pathlib import Path

from django.apps import apps

ROOT = Path(__file__).resolve().parent.parent
GUARDED = (
    "Deal",
    "DealVersion",
    "DealEvent",
    "CreditEntry",
    "UncreditedLine",
)  # lines and shares are prefetched from these


def sources(*folders: str) -> list[tuple[Path, str]]:
    return [(path, path.read_text()) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def test_the_catalog_has_no_foreign_key_into_crediting() -> None:
    for model in apps.get_app_config("marketplace").get_models():
        for field in model._meta.get_fields():
            if field.is_relation and not field.auto_created and field.related_model is not None:
                assert field.related_model._meta.app_label != "quotas", f"{model.__name__}.{field.name}"


def test_templates_of_the_catalog_link_to_nothing_in_crediting() -> None:
    for page in (ROOT / "templates" / "marketplace").rglob("*.html"):
        assert not re.search(r"quotas[:/]", page.read_text()), page.name


def test_pages_and_rest_never_read_deals_or_entries_past_visibility() -> None:
    pattern = re.compile(
        rf"\b({'|'.join(GUARDED)})\.(objects|_base_manager|_default_manager)\b(?!\.none\(\))"
    )
    found = [
        f"{path.relative_to(ROOT)}: {m[0]}"
        for path, text in sources("quotas/views", "quotas/api")
        for m in [pattern.search(text)]
        if m
    ]
    assert found == []


def test_only_the_clock_reads_the_time() -> None:
    pattern = re.compile(r"timezone\.now\(|datetime\.now\(|date\.today\(|\.utcnow\(|localdate\(")
    found = [
        str(path.relative_to(ROOT))
        for path, text in sources("config", "accounts", "marketplace", "quotas")
        if pattern.search(text) and path != ROOT / "config" / "clock.py" and "migrations" not in path.parts
    ]
    assert found == []


def test_money_is_never_a_float() -> None:
    pattern = re.compile(r"\bfloat\(|FloatField")
    found = [
        str(path.relative_to(ROOT))
        for path, text in sources(
            "accounts",
            "marketplace/models",
            "marketplace/services",
            "quotas/models",
            "quotas/crediting",
            "quotas/services",
            "quotas/selectors",
        )
        if pattern.search(text)
    ]
    assert found == []


def test_every_sql_file_says_what_it_yields_and_what_it_costs() -> None:
    for path in (ROOT / "quotas" / "crediting" / "sql").glob("*.sql"):
        assert path.read_text().startswith("-- "), path.name
