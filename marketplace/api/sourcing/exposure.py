"""How concentrated we are, by basis and month, and what has one supplier only."""

from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Computed
from marketplace.api.views import Day
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.concentration import (
    END_OF_DAYS,
    FIRST_DAY,
    ONE,
    Basis,
    Exposure,
    FeatureSourcing,
    Sourced,
    Spread,
    grade,
)
from marketplace.selectors.sourcing.costing import USD

BASIS_CHOICES: Final = Basis.choices
SOURCED_CHOICES: Final = Sourced.choices
WORDS: Final = ("low", "moderate", "high", "unknown")


class ExposureQuery(Strict):
    basis = serializers.ChoiceField(
        choices=BASIS_CHOICES, required=False, help_text="Of what the shares are; all four unless given."
    )
    months = serializers.IntegerField(
        required=False, default=24, min_value=1, max_value=36, help_text="Whole months before that of as_of."
    )
    as_of = Day(required=False)


class SupplierShare(serializers.Serializer[Any]):
    supplier = serializers.CharField(help_text="Slug of the publisher that makes the model.")
    name = serializers.CharField()
    own = serializers.BooleanField(help_text="Whether that is ourselves.")
    share = serializers.CharField(help_text="A decimal from 0 to 1; the shares of a month add up to 1.")
    amount = serializers.CharField(
        help_text="Decimal: of spend and deals in currency, of features votes, of tokens a count."
    )


class SpreadResource(serializers.Serializer[Any]):
    """One month of one basis. hhi is null, and shares are empty, where nothing is known: that is no zero."""

    basis = serializers.ChoiceField(choices=BASIS_CHOICES)
    month = serializers.DateField(help_text="Its first day.")
    hhi = serializers.IntegerField(allow_null=True, help_text="0 to 10,000.")
    concentration = serializers.ChoiceField(choices=[(word, word) for word in WORDS])
    currency = serializers.CharField(allow_null=True)
    in_no_share = serializers.CharField(
        help_text="Of spend and deals lines without a price or rate; of features votes of which nobody states whose."
    )
    shares = SupplierShare(many=True)


class FeatureExposure(serializers.Serializer[Any]):
    feature = serializers.CharField()
    product = serializers.CharField()
    sourcing = serializers.ChoiceField(choices=SOURCED_CHOICES)
    suppliers = serializers.ListField(
        child=serializers.CharField(), help_text="Slugs of those with traffic, the largest first."
    )
    could_take_over = serializers.ListField(
        child=serializers.CharField(), help_text="Others: bound without traffic, or qualified."
    )


class ThresholdsShape(serializers.Serializer[Any]):
    hhi_moderate = serializers.IntegerField()
    hhi_high = serializers.IntegerField()
    largest_supplier = serializers.CharField(
        help_text="Share of spend above which one supplier is warned of."
    )


class ExposureResource(serializers.Serializer[Any]):
    as_of = serializers.DateField()
    thresholds = ThresholdsShape()
    results = SpreadResource(many=True)
    features = FeatureExposure(many=True)


class ExposureView(Computed):
    """Shares and the Herfindahl-Hirschman index by supplier, basis by basis and month by month, and features on the day."""

    parameters = ("basis", "months", "as_of")

    @extend_schema(
        operation_id="sourcing_exposure_retrieve",
        summary="Concentration by supplier and month",
        description="Deal value holds the sums that you may read. The running month is there for features alone, as on the day.",
        parameters=[ExposureQuery],
        responses=ExposureResource,
    )
    def get(self, request: Request) -> Response:
        if not reads_sourcing(self.caller):
            raise Http404
        asked = self.query(ExposureQuery)
        on = asked.get("as_of") or clock.today()
        if not FIRST_DAY <= on < END_OF_DAYS:
            raise BadQuery(("as_of", "out_of_range", "Ask for a day from 2000 to 2099."))
        found = Exposure(self.caller, on, asked["months"])
        bases = [Basis(asked["basis"])] if "basis" in asked else list(Basis)
        limits = settings.SOURCING_THRESHOLDS
        return Response(
            {
                "as_of": on.isoformat(),
                "thresholds": {
                    "hhi_moderate": limits["hhi_moderate"],
                    "hhi_high": limits["hhi_high"],
                    "largest_supplier": _part(limits["largest_supplier_ppm"]),
                },
                "results": [
                    _spread(found, basis, spread) for basis in bases for spread in found.series(basis).spreads
                ],
                "features": [_feature(found, each) for each in found.sourcing],
            }
        )


def _part(ppm: int) -> str:
    return f"{Decimal(ppm) / ONE:.6f}"


def _amount(basis: Basis, value: int) -> str:
    if basis in (Basis.SPEND, Basis.DEALS):
        return f"{Decimal(value) / 100:.2f}"
    return _part(value) if basis == Basis.FEATURES else str(value)


def _spread(found: Exposure, basis: Basis, spread: Spread) -> dict[str, Any]:
    return {
        "basis": basis.value,
        "month": spread.month.isoformat(),
        "hhi": spread.hhi,
        "concentration": grade(spread.hhi).word.lower(),
        "currency": USD if basis in (Basis.SPEND, Basis.DEALS) else None,
        "in_no_share": _part(spread.unknown) if basis == Basis.FEATURES else str(spread.unknown),
        "shares": [
            {
                "supplier": found.suppliers[pk].slug,
                "name": found.name(pk),
                "own": found.suppliers[pk].own,
                "share": _part(share),
                "amount": _amount(basis, spread.amounts[pk]),
            }
            for pk, share in spread.shares.items()
        ],
    }


def _feature(found: Exposure, each: FeatureSourcing) -> dict[str, Any]:
    return {
        "feature": each.feature.slug,
        "product": each.feature.product.slug,
        "sourcing": each.state.value,
        "suppliers": [found.suppliers[pk].slug for pk in each.carriers],
        "could_take_over": [found.suppliers[pk].slug for pk in each.ready],
    }
