"""The project's own statement of companies and what binds them (marketplace/data/companies.toml): rows in, plain records out."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marketplace.importers.own import OWN_DATA, BadRow

FILE = "companies.toml"


@dataclass(frozen=True, slots=True)
class StagedCompany:
    slug: str
    name: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class StagedTie:
    """Of the fact of that slug, which has amount, bound and qualifier."""

    fact: str
    kind: str
    payer: str
    payee: str


@dataclass(frozen=True, slots=True)
class StagedRisk:
    fact: str
    company: str
    severity: str
    title: str


@dataclass(frozen=True, slots=True)
class StagedCompanies:
    companies: tuple[StagedCompany, ...]
    ties: tuple[StagedTie, ...]
    risks: tuple[StagedRisk, ...]


def read(path: Path = OWN_DATA / FILE) -> StagedCompanies:
    """Raises BadRow that names the row and what is wrong with it."""
    content = tomllib.loads(path.read_text())
    return StagedCompanies(
        tuple(_rows(content, "company", StagedCompany)),
        tuple(_rows(content, "relationship", StagedTie)),
        tuple(_rows(content, "risk", StagedRisk)),
    )


def _rows(content: dict[str, Any], name: str, kind: type[Any]) -> list[Any]:
    found = []
    for number, row in enumerate(content.get(name, ()), start=1):
        try:
            found.append(kind(**row))
        except TypeError as wrong:
            raise BadRow(f"{FILE}, {name} {number}: {wrong}") from wrong
    return found
