"""Our own products and what powers them (marketplace/data: copilot.toml, products.toml): rows in, staged records out."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any

from marketplace.importers.own import OWN_DATA, PPM, BadRow, StagedModel, StagedVersion

ROLES = ("default", "selectable", "fallback")


@dataclass(frozen=True, slots=True)
class Called:
    """How the documentation calls a model, and which version that is. mode: the same model asked in another way."""

    name: str
    model: str
    version: str
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Documented:
    """What the documentation states of one model of a product; None and empty are not stated.

    retires_on   From the product, not of the model itself.
    multiplier   Premium requests that one request counts for, on a paid plan.
    automatic    Surface to whether the automatic selection may choose it there.
    """

    called: Called
    uses: tuple[str, ...] = ()
    retires_on: date | None = None
    alternative: str = ""
    multiplier: Decimal | None = None
    automatic: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Documentation:
    """Everything that is documented of the models of one product, by name as documented."""

    product: str
    source: str
    licence: str
    note: str
    models: tuple[Documented, ...]


@dataclass(frozen=True, slots=True)
class StagedBinding:
    """One model of a mix. version is empty where its model has one version only; share_ppm None is not stated."""

    model: str
    version: str
    role: str
    share_ppm: int | None


@dataclass(frozen=True, slots=True)
class StagedMix:
    start: date
    reason: str
    source: str
    bindings: tuple[StagedBinding, ...]


@dataclass(frozen=True, slots=True)
class StagedFeature:
    slug: str
    task: str
    facts: dict[str, Any]
    mixes: tuple[StagedMix, ...]


@dataclass(frozen=True, slots=True)
class StagedProduct:
    """fact: slug of the public statement that says whose models power it."""

    slug: str
    offering: str
    fact: str
    facts: dict[str, Any]
    features: tuple[StagedFeature, ...]


@dataclass(frozen=True, slots=True)
class StagedPortfolio:
    """Makers and models that are not for sale here, and the products that run on models."""

    publishers: list[dict[str, Any]] = field(default_factory=list)
    models: list[StagedModel] = field(default_factory=list)
    products: list[StagedProduct] = field(default_factory=list)


def read(folder: Path = OWN_DATA) -> StagedPortfolio:
    """Both files of *folder*. Raises BadRow for the first row that cannot be read; the files are ours, so nothing is skipped."""
    stated = _toml(folder / "copilot.toml")
    return StagedPortfolio(
        publishers=stated["publisher"],
        models=[_model(row) for row in stated["model"]],
        products=[
            _product(row, place) for place, row in enumerate(_toml(folder / "products.toml")["product"])
        ],
    )


@lru_cache(maxsize=2)
def documentation(folder: Path = OWN_DATA) -> Documentation:
    """What is documented of the code assistant's models, in the order of the file. Raises BadRow for an unknown name."""
    stated = _toml(folder / "copilot.toml")
    called = {row["name"]: Called(**row) for row in stated["called"]}
    uses: dict[str, list[str]] = {}
    for use in stated["use"]:
        for name in use["models"]:
            uses.setdefault(name, []).append(use["task"])
    retired = {row["name"]: row for row in stated["retirement"]}
    paid = {row["name"]: Decimal(row["paid"]) for row in stated["multiplier"]}
    automatic = {row["name"]: {k: v for k, v in row.items() if k != "name"} for row in stated["automatic"]}
    _known(called, (*uses, *retired, *(row["alternative"] for row in retired.values()), *paid, *automatic))
    return Documentation(
        product=stated["product"],
        source=stated["source"],
        licence=stated["licence"],
        note=stated["note"],
        models=tuple(
            Documented(
                called=its,
                uses=tuple(uses.get(name, ())),
                retires_on=retired.get(name, {}).get("retires_on"),
                alternative=retired.get(name, {}).get("alternative", ""),
                multiplier=paid.get(name),
                automatic=automatic.get(name, {}),
            )
            for name, its in called.items()
        ),
    )


def _known(called: dict[str, Called], names: Iterable[str]) -> None:
    for name in names:
        if name not in called:
            raise BadRow(f"copilot.toml: {name} is not among the models that are called something")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as wrong:
        raise BadRow(f"{path.name}: {wrong}") from wrong


def _model(row: dict[str, Any]) -> StagedModel:
    rest = {k: v for k, v in row.items() if k not in ("slug", "publisher", "version")}
    versions = tuple(
        StagedVersion(v["label"], {k: x for k, x in v.items() if k != "label"}) for v in row["version"]
    )
    return StagedModel(row["slug"], row["publisher"], rest, versions)


def _product(row: dict[str, Any], position: int) -> StagedProduct:
    linked = ("slug", "offering", "fact", "feature")
    return StagedProduct(
        slug=row["slug"],
        offering=row.get("offering", ""),
        fact=row.get("fact", ""),
        facts={**{k: v for k, v in row.items() if k not in linked}, "position": position},
        features=tuple(_feature(feature, place) for place, feature in enumerate(row["feature"])),
    )


def _feature(row: dict[str, Any], position: int) -> StagedFeature:
    linked = ("slug", "task", "mix")
    days = [mix["from"] for mix in row["mix"]]
    if days != sorted(set(days)):
        raise BadRow(f"products.toml: the mixes of {row['slug']} are not in the order of their days")
    return StagedFeature(
        slug=row["slug"],
        task=row["task"],
        facts={**{k: v for k, v in row.items() if k not in linked}, "position": position},
        mixes=tuple(_mix(mix, row["slug"]) for mix in row["mix"]),
    )


def _mix(row: dict[str, Any], feature: str) -> StagedMix:
    return StagedMix(
        start=row["from"],
        reason=row["reason"],
        source=row.get("source", ""),
        bindings=tuple(
            _binding(name, said, f"products.toml: {feature} from {row['from']}")
            for name, said in row["models"].items()
        ),
    )


def _binding(name: str, said: str, where: str) -> StagedBinding:
    model, _slash, version = name.partition("/")
    role, _space, share = said.partition(" ")
    try:
        ppm = int(Decimal(share) * PPM / 100) if share else None
    except InvalidOperation as wrong:
        raise BadRow(f"{where}: {share!r} is not a share") from wrong
    if role not in ROLES:
        raise BadRow(f"{where}: {role!r} is not a role")
    return StagedBinding(model, version, role, 0 if role == "fallback" else ppm)
