"""Loads our products and what powers them: adds what is missing and never changes what is there, because people have decided it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from django.db import transaction

from accounts.audit import acting
from accounts.models import User
from marketplace.importers.products import StagedBinding, StagedFeature, StagedPortfolio, StagedProduct, read
from marketplace.models import (
    AiModel,
    Binding,
    Evaluation,
    Feature,
    ModelVersion,
    Offering,
    Product,
    PublicFact,
    Publisher,
    TaskArea,
)
from marketplace.services.sourcing.access import must_lead_sourcing
from marketplace.services.sourcing.binding import MixRow, set_mix
from marketplace.services.sourcing.company_data import companies_of

# The day of the article that says whose models power what; it states no earlier one.
STATED_ON: Final = date(2026, 1, 14)
MAKER_STATED: Final = "anthropic"


@dataclass(slots=True)
class Loaded:
    """How much was added, by kind of record; left names products whose features state a mix already."""

    added: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@transaction.atomic
def load_portfolio(*, by: User, at: datetime, staged: StagedPortfolio | None = None) -> Loaded:
    """Add what the project's own files say and is not there yet. A feature that states any mix keeps what it states.

    Raises   Forbidden; importers.own.BadRow if a file cannot be read; Invalid from set_mix if a mix is wrong.
    """
    must_lead_sourcing(by)
    acting(by=by, at=at, reason="Products loaded from the data files")
    staged = staged or read()
    done = Loaded()
    _models(done, staged)
    names = _Names()
    for product in staged.products:
        made = _product(done, product)
        for feature in product.features:
            _mixes(done, names, product, feature, _feature(done, made, feature, names), by=by, at=at)
    return done


def _count(done: Loaded, kind: str, number: int) -> None:
    done.added[kind] = done.added.get(kind, 0) + number


def _models(done: Loaded, staged: StagedPortfolio) -> None:
    """Makers, models and versions that the catalog does not have; they have no offering. 6 queries."""
    there = set(Publisher.objects.values_list("slug", flat=True))
    new = [Publisher(**row) for row in staged.publishers if row["slug"] not in there]
    Publisher.objects.bulk_create(new)
    companies_of(new)
    publishers = dict(Publisher.objects.values_list("slug", "pk"))
    known = set(AiModel.objects.values_list("slug", flat=True))
    models = [
        AiModel(slug=m.slug, publisher_id=publishers[m.publisher], **m.facts)
        for m in staged.models
        if m.slug not in known and m.publisher in publishers
    ]
    AiModel.objects.bulk_create(models)
    made = {model.slug: model for model in models}
    versions = [
        ModelVersion(model=made[m.slug], label=v.label, **v.facts)
        for m in staged.models
        if m.slug in made
        for v in m.versions
    ]
    ModelVersion.objects.bulk_create(versions)
    for kind, rows in (("publishers", new), ("models", models), ("model versions", versions)):
        _count(done, f"{kind} not for sale", len(rows))


class _Names:
    """What the files call by a slug, read once: 4 queries."""

    def __init__(self) -> None:
        self.areas = dict(TaskArea.objects.values_list("slug", "pk"))
        self.facts = dict(PublicFact.objects.values_list("slug", "pk"))
        self.versions: dict[str, list[ModelVersion]] = {}
        for version in ModelVersion.objects.select_related("model__publisher").order_by("id"):
            self.versions.setdefault(version.model.slug, []).append(version)
        self.results: dict[tuple[int, int], list[Evaluation]] = {}
        self.findings: dict[int, list[Evaluation]] = {}
        for found in Evaluation.objects.order_by("id"):
            if found.model_version_id is not None and found.score is not None:
                self.results.setdefault((found.model_version_id, found.task_area_id), []).append(found)
            elif found.score is None and found.subject.startswith("Claude"):
                self.findings.setdefault(found.task_area_id, []).append(found)

    def version(self, row: StagedBinding) -> ModelVersion | None:
        """Of several versions without a label the newest that we know."""
        found = [v for v in self.versions.get(row.model, ()) if not row.version or v.label == row.version]
        return found[-1] if found else None

    def evidence(self, version: ModelVersion, area: int, on: date) -> int | None:
        """The version's own public result at the task; else, of the maker that the article names, its finding.

        Nothing that was not out yet on the day justifies what began on it.
        """
        found = list(self.results.get((version.pk, area), ()))
        if version.model.publisher.slug == MAKER_STATED:
            found += self.findings.get(area, ())
        return next((e.pk for e in found if e.dated is None or e.dated <= on), None)


def _product(done: Loaded, row: StagedProduct) -> Product:
    made, new = Product.objects.get_or_create(
        slug=row.slug,
        defaults={**row.facts, "offering": Offering.objects.filter(slug=row.offering).first()},
    )
    _count(done, "products", int(new))
    return made


def _feature(done: Loaded, product: Product, row: StagedFeature, names: _Names) -> Feature:
    made, new = Feature.objects.get_or_create(
        slug=row.slug,
        defaults={**row.facts, "product": product, "task_area_id": names.areas[row.task]},
    )
    _count(done, "features", int(new))
    return made


def _mixes(
    done: Loaded,
    names: _Names,
    product: StagedProduct,
    row: StagedFeature,
    feature: Feature,
    *,
    by: User,
    at: datetime,
) -> None:
    """Latest first: each then ends where the next begins, and nothing has to be cut."""
    if Binding.objects.filter(feature=feature).exists():
        done.left.append(row.slug)
        return
    ends: Mapping[date, date | None] = dict(
        zip([m.start for m in row.mixes], [*(m.start for m in row.mixes[1:]), None], strict=True)
    )
    for mix in reversed(row.mixes):
        bound = [(b, v) for b in mix.bindings if (v := names.version(b)) is not None]
        if len(bound) < len(mix.bindings):
            continue  # the catalog at hand lacks one of its models: the mix would not be the one stated
        end = ends[mix.start]
        is_stated = end is None or end > STATED_ON
        set_mix(
            feature_id=feature.pk,
            from_day=mix.start,
            rows=[
                MixRow(
                    model_version_id=version.pk,
                    role=b.role,
                    share_ppm=b.share_ppm,
                    evaluation_id=names.evidence(version, feature.task_area_id, mix.start),
                    fact_id=names.facts.get(product.fact)
                    if is_stated and version.model.publisher.slug == MAKER_STATED
                    else None,
                    assumed=not (mix.source and b.share_ppm is None),
                )
                for b, version in bound
            ],
            reason=mix.reason,
            source=mix.source,
            by=by,
            at=at,
        )
        _count(done, "mixes", 1)
        _count(done, "bindings", len(bound))
