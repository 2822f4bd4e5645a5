"""The project's own data files (marketplace/data): rows in, staged records out."""

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

OWN_DATA = Path(__file__).resolve().parent.parent / "data"
SCOPES = ("plan", "offering", "publisher", "commercial_path")
PPM = 1_000_000


class BadRow(Exception):
    """A row that cannot be read: names the file, the row and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class StagedVersion:
    label: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StagedModel:
    slug: str
    publisher: str
    facts: dict[str, Any]
    versions: tuple[StagedVersion, ...]


@dataclass(frozen=True, slots=True)
class StagedPriceRow:
    """amount is None where the price is unknown; zero is free."""

    meter: str
    per: int
    unit: str
    tier_from: int
    amount: Decimal | None


@dataclass(frozen=True, slots=True)
class StagedPrice:
    market: str
    currency: str
    start: date
    end: date | None
    source: str
    rows: tuple[StagedPriceRow, ...]


@dataclass(frozen=True, slots=True)
class StagedPlan:
    slug: str
    facts: dict[str, Any]
    prices: tuple[StagedPrice, ...]


@dataclass(frozen=True, slots=True)
class StagedOffering:
    slug: str
    publisher: str
    model: str
    version: str
    replacement: str
    task_areas: tuple[str, ...]
    facts: dict[str, Any]
    plans: tuple[StagedPlan, ...]


@dataclass(frozen=True, slots=True)
class StagedDecision:
    """scope is one of SCOPES; of a plan, target is "offering/plan"."""

    program: str
    scope: str
    target: str
    rate_ppm: int
    start: date
    end: date | None
    reason: str
    evidence: str
    assumed: bool


@dataclass(frozen=True, slots=True)
class StagedEvaluation:
    task_area: str
    model: str
    version: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StagedCatalog:
    """Everything one source says, linked by slugs and not yet compared with what is there."""

    publishers: list[dict[str, Any]] = field(default_factory=list)
    task_areas: list[dict[str, Any]] = field(default_factory=list)
    currencies: list[dict[str, Any]] = field(default_factory=list)
    models: list[StagedModel] = field(default_factory=list)
    offerings: list[StagedOffering] = field(default_factory=list)
    decisions: list[StagedDecision] = field(default_factory=list)
    evaluations: list[StagedEvaluation] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)


def read(folder: Path = OWN_DATA) -> StagedCatalog:
    """All files of *folder*. Raises BadRow for the first row that cannot be read; the files are ours, so nothing is skipped."""
    facts = _toml(folder / "facts.toml")
    return StagedCatalog(
        publishers=_toml(folder / "publishers.toml")["publisher"],
        task_areas=[
            {**area, "position": position}
            for position, area in enumerate(_toml(folder / "task_areas.toml")["task_area"])
        ],
        currencies=_toml(folder / "currencies.toml")["currency"],
        models=[_model(row) for row in _toml(folder / "models.toml")["model"]],
        offerings=[_offering(row) for row in _toml(folder / "offerings.toml")["offering"]],
        decisions=[_decision(row) for row in _toml(folder / "decisions.toml")["decision"]],
        evaluations=list(_evaluations(folder / "evaluations.csv")),
        facts=[
            {**row, "amount": _decimal(row.get("amount"), f"fact {row['slug']}"), "source": facts["source"]}
            for row in facts["fact"]
        ],
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as wrong:
        raise BadRow(f"{path.name}: {wrong}") from wrong


def _decimal(written: str | None, where: str) -> Decimal | None:
    if not written:
        return None
    try:
        return Decimal(written)
    except InvalidOperation as wrong:
        raise BadRow(f"{where}: {written!r} is not a number") from wrong


def _model(row: dict[str, Any]) -> StagedModel:
    rest = {k: v for k, v in row.items() if k not in ("slug", "publisher", "version")}
    versions = tuple(
        StagedVersion(v["label"], {k: x for k, x in v.items() if k != "label"}) for v in row["version"]
    )
    return StagedModel(row["slug"], row["publisher"], rest, versions)


def _offering(row: dict[str, Any]) -> StagedOffering:
    linked = ("slug", "publisher", "model", "version", "replacement", "task_areas", "plan")
    return StagedOffering(
        slug=row["slug"],
        publisher=row["publisher"],
        model=row.get("model", ""),
        version=row.get("version", ""),
        replacement=row.get("replacement", ""),
        task_areas=tuple(row.get("task_areas", ())),
        facts={k: v for k, v in row.items() if k not in linked},
        plans=tuple(
            StagedPlan(
                slug=plan["slug"],
                facts={**{k: v for k, v in plan.items() if k not in ("slug", "price")}, "position": position},
                prices=tuple(_price(p, f"{row['slug']}/{plan['slug']}") for p in plan.get("price", ())),
            )
            for position, plan in enumerate(row.get("plan", ()))
        ),
    )


def _price(row: dict[str, Any], where: str) -> StagedPrice:
    return StagedPrice(
        market=row.get("market", "world"),
        currency=row["currency"],
        start=row["start"],
        end=row.get("end"),
        source=row["source"],
        rows=tuple(
            StagedPriceRow(
                r["meter"], r["per"], r["unit"], r.get("tier_from", 0), _decimal(r.get("amount"), where)
            )
            for r in row["rows"]
        ),
    )


def _decision(row: dict[str, Any]) -> StagedDecision:
    scopes = [scope for scope in SCOPES if scope in row]
    if len(scopes) != 1:
        raise BadRow(
            f"decision of {row['program']} since {row['start']}: names {len(scopes)} scopes instead of one"
        )
    rate = _decimal(row["rate"], f"decision of {row['program']}")
    if rate is None or not 0 <= rate <= 1:
        raise BadRow(f"decision of {row['program']} for {row[scopes[0]]}: the rate is not between 0 and 1")
    return StagedDecision(
        program=row["program"],
        scope=scopes[0],
        target=row[scopes[0]],
        rate_ppm=int(rate * PPM),
        start=row["start"],
        end=row.get("end"),
        reason=row["reason"],
        evidence=row.get("evidence", ""),
        assumed=row.get("assumed", False),
    )


def _evaluations(path: Path) -> Iterator[StagedEvaluation]:
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            where = f"{path.name}, row {number}"
            if row["higher_is_better"] not in ("yes", "no"):
                raise BadRow(f"{where}: higher_is_better says neither yes nor no")
            yield StagedEvaluation(
                task_area=row["task_area"],
                model=row["model"],
                version=row["version"],
                facts={
                    "subject": row["subject"],
                    "benchmark": row["benchmark"],
                    "metric": row["metric"],
                    "higher_is_better": row["higher_is_better"] == "yes",
                    "harness": row["harness"],
                    "variant": row["variant"],
                    "sample_size": int(row["sample_size"]) if row["sample_size"] else None,
                    "score": _decimal(row["score"], where),
                    "finding": row["finding"],
                    "cost_usd": _decimal(row["cost_usd"], where),
                    "latency_s": _decimal(row["latency_s"], where),
                    "dated": date.fromisoformat(row["dated"]) if row["dated"] else None,
                    "source": row["source"],
                    "licence": row["licence"],
                },
            )
