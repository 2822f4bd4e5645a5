"""Task suites out of a TOML file: cases, and what models answered to them; rows in, staged records out."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from marketplace.importers.own import BadRow

MOST_CASES: Final = 1_000
LONGEST: Final = 50_000  # of a prompt or an answer
TEXTS: Final = {"slug": 60, "name": 120, "about": 300, "criteria": 300}


@dataclass(frozen=True, slots=True)
class StagedCase:
    """answers: what a model is called (its slug, or slug@label of a version) to what it answered."""

    prompt: str
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StagedSuite:
    """produced_on: when the answers were made; None: with none, or the day of the import."""

    slug: str
    version: str
    name: str
    task_area: str
    about: str
    criteria: str
    harness: str
    produced_on: date | None
    cases: tuple[StagedCase, ...]


def read(content: bytes) -> list[StagedSuite]:
    """Every [[suite]] of a file. Raises BadRow with the place of the first thing that cannot be read."""
    try:
        facts = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as unreadable:
        raise BadRow(f"The file is no TOML: {unreadable}.") from unreadable
    rows = facts.get("suite")
    if not isinstance(rows, list) or not rows:
        raise BadRow("The file has no [[suite]].")
    return [_suite(row, f"suite {place}", facts) for place, row in enumerate(rows, start=1)]


def read_file(path: Path) -> list[StagedSuite]:
    return read(path.read_bytes())


def _suite(row: Any, where: str, facts: Mapping[str, Any]) -> StagedSuite:
    if not isinstance(row, dict):
        raise BadRow(f"{where}: write it as a table.")
    texts = {name: _text(row, name, where, longest) for name, longest in TEXTS.items()}
    where = f"suite {texts['slug']}"
    harness = row.get("harness", facts.get("harness", ""))
    if not isinstance(harness, str) or not 0 < len(harness.strip()) <= 80:
        raise BadRow(f"{where}: name the harness, with 80 characters at most.")
    produced = row.get("produced_on", facts.get("produced_on"))
    if produced is not None and not isinstance(produced, date):
        raise BadRow(f"{where}: produced_on is a day, such as 2026-05-20.")
    cases = row.get("case")
    if not isinstance(cases, list) or not 0 < len(cases) <= MOST_CASES:
        raise BadRow(f"{where}: it needs 1 to {MOST_CASES} [[suite.case]].")
    return StagedSuite(
        **texts,
        version=str(row.get("version", "1"))[:20],
        task_area=_text(row, "task_area", where, 80),
        harness=harness.strip(),
        produced_on=produced,
        cases=tuple(_case(case, f"{where}, case {number}") for number, case in enumerate(cases, start=1)),
    )


def _case(row: Any, where: str) -> StagedCase:
    if not isinstance(row, dict):
        raise BadRow(f"{where}: write it as a table.")
    answers = row.get("answers", {})
    if not isinstance(answers, dict):
        raise BadRow(f"{where}: answers are a table of models and texts.")
    return StagedCase(
        _text(row, "prompt", where, LONGEST),
        {name: _text(answers, name, f"{where}, answer of", LONGEST) for name in answers},
    )


def _text(row: Mapping[str, Any], name: str, where: str, longest: int) -> str:
    text = row.get(name, "")
    if not isinstance(text, str) or not text.strip() or "\x00" in text:
        raise BadRow(f"{where} {name}: text is missing.")
    if len(text.strip()) > longest:
        raise BadRow(f"{where} {name}: at most {longest} characters.")
    return text.strip()
