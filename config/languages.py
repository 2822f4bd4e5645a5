"""The languages that pages can be read in: English, and each folder under locale/ that has been compiled."""

from pathlib import Path

from django.conf.locale import LANG_INFO

ENGLISH = ("en", "English")


def offered_languages(folder: Path) -> list[tuple[str, str]]:
    """Code and own name, English first. A folder is named as Django names them: de, pt_BR."""
    found = sorted(
        one.parent.parent.name.replace("_", "-").lower() for one in folder.glob("*/LC_MESSAGES/django.mo")
    )
    return [ENGLISH, *((code, _own_name(code)) for code in found if code != "en")]


def _own_name(code: str) -> str:
    known = LANG_INFO.get(code) or LANG_INFO.get(code.partition("-")[0]) or {}
    return str(known.get("name_local", code)).capitalize()
