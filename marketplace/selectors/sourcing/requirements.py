"""Whether a model version has what a feature asks: the one place where context, modalities and zone are compared.

None is not recorded: it is no failure, and whoever decides has to speak to it.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from django.db.models import Exists, OuterRef

from marketplace.models import Feature, ModelVersion, Plan, PriceVersion, PricingForm


@dataclass(frozen=True, slots=True)
class Way:
    """A public plan as which a version can be bought. zone: empty is not recorded."""

    pk: int
    zone: str
    priced: bool


def ways_to_buy(version_ids: Collection[int], on: date) -> dict[int, list[Way]]:
    """Public plans that may still be ordered, in the order in which the catalog shows them. 1 query.

    priced   By tokens, at a list price.
    """
    listed = PriceVersion.objects.filter(plan=OuterRef("pk"), superseded_at=None, private_offer=None)
    found: dict[int, list[Way]] = defaultdict(list)
    for version, pk, zone, form, withdrawn, priced in (
        Plan.objects.filter(offering__model_version__in=version_ids, is_public=True)
        .annotate(priced=Exists(listed))
        .order_by("offering_id", "position", "id")
        .values_list("offering__model_version", "pk", "zone", "pricing_form", "withdrawn_on", "priced")
    ):
        if withdrawn is None or on < withdrawn:
            found[version or 0].append(Way(pk, zone, priced and form == PricingForm.TOKENS))
    return found


def context_met(feature: Feature, version: ModelVersion) -> bool | None:
    if feature.min_context is None:
        return True
    return None if version.context_window is None else version.context_window >= feature.min_context


@dataclass(frozen=True, slots=True)
class Modalities:
    """lacking: (modality, "in" or "out"); unknown: the ways of which nothing is recorded, though something is asked."""

    lacking: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]

    @property
    def met(self) -> bool | None:
        return False if self.lacking else None if self.unknown else True


def modalities(feature: Feature, version: ModelVersion) -> Modalities:
    lacking: list[tuple[str, str]] = []
    unknown: list[str] = []
    for way, asked, has in (
        ("in", feature.modalities_in, version.modalities_in),
        ("out", feature.modalities_out, version.modalities_out),
    ):
        if asked and has is None:
            unknown.append(way)
        else:
            lacking += [(name, way) for name in sorted(set(asked) - set(has or ()))]
    return Modalities(tuple(lacking), tuple(unknown))


def zone_met(zone: str, zones: Collection[str]) -> bool | None:
    """zones: of every plan as which the version can be bought; an empty one is not recorded."""
    if not zone or zone in zones:
        return True
    return None if not zones or "" in zones else False


def fails(feature: Feature, version: ModelVersion, zones: Collection[str]) -> bool:
    """Whether something that the feature asks is known not to be there."""
    return False in (
        context_met(feature, version),
        modalities(feature, version).met,
        zone_met(feature.zone, zones),
    )
