"""Which feature runs on which model version, by date, and from when until when a version can be run at all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from django.db.models import Q, QuerySet

from marketplace.models import Binding, Feature, ModelVersion, Offering, Plan, PricingForm


def bindings() -> QuerySet[Binding]:
    """Those in force, with what their pages show, in the order of product, feature, day, share. 1 query."""
    return (
        Binding.objects.filter(superseded_at=None)
        .select_related(
            "feature__product",
            "feature__task_area",
            "model_version__model__publisher",
            "plan__offering",
            "evaluation",
            "run__suite",
            "fact",
        )
        .order_by(
            "feature__product__position",
            "feature__position",
            "feature_id",
            "effective",
            "role",
            "-share_ppm",
            "id",
        )
    )


def bindings_on(on: date) -> QuerySet[Binding]:
    """Those that hold on a day. 1 query."""
    return bindings().filter(effective__contains=on)


def features_on(on: date) -> QuerySet[Feature]:
    """Those that have not ended by a day, in the order of products. 1 query."""
    return (
        Feature.objects.filter(Q(ends_on=None) | Q(ends_on__gt=on))
        .select_related("product", "task_area")
        .order_by("product__position", "product_id", "position", "pk")
    )


@dataclass(frozen=True, slots=True)
class Life:
    """A version can be run in [first, end). None: not known, or no end is known."""

    first: date | None
    end: date | None

    def why_not(self, start: date, end: date | None) -> str:
        """released or retired: what speaks against a binding over [start, end); nothing else."""
        if self.first is not None and start < self.first:
            return "released"
        if self.end is not None and (end is None or end > self.end):
            return "retired"
        return ""


def lives(version_ids: Iterable[int]) -> dict[int, Life]:
    """From the release of a version to the day on which its last offering retires; no end while one has none. 2 queries."""
    wanted = set(version_ids)
    ends: dict[int, list[date | None]] = {}
    for version, retires in Offering.objects.filter(model_version__in=wanted).values_list(
        "model_version", "retires_on"
    ):
        ends.setdefault(version or 0, []).append(retires)
    released = dict(ModelVersion.objects.filter(pk__in=wanted).values_list("pk", "released_on"))
    return {pk: Life(released.get(pk), _last(ends.get(pk, ()))) for pk in wanted}


def _last(ends: Sequence[date | None]) -> date | None:
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def plans_to_buy(version_ids: Iterable[int]) -> dict[int, int]:
    """Version id to the plan as which it is bought unless a binding says else. 1 query.

    The first public plan by tokens that has list prices, of its first offering, in the
    order in which the catalog shows them. A version that nothing sells is absent.
    """
    found: dict[int, int] = {}
    for version, plan in (
        Plan.objects.filter(
            offering__model_version__in=set(version_ids),
            pricing_form=PricingForm.TOKENS,
            is_public=True,
            price_versions__superseded_at=None,
            price_versions__private_offer=None,
            price_versions__isnull=False,
        )
        .order_by("offering_id", "position", "id")
        .values_list("offering__model_version", "pk")
    ):
        found.setdefault(version, plan)
    return found
