"""What a month of use costs, plan by plan, side by side."""

from dataclasses import fields
from typing import Any, Final

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Computed
from marketplace.api.resources import PublisherShape, publisher_body
from marketplace.api.views import Day, customer_known_to, listed, slug_field
from marketplace.models import Offering
from marketplace.selectors.costs import LARGEST, CostLine, OfferingCost, Usage, costs_of, plain
from marketplace.selectors.resources import with_facts
from marketplace.selectors.visibility import offerings_for

MOST: Final = 20
USAGE: Final = tuple(each.name for each in fields(Usage))


def _amount() -> serializers.IntegerField:
    return serializers.IntegerField(required=False, default=0, min_value=0, max_value=LARGEST)


class CostsQuery(Strict):
    offerings = serializers.RegexField(
        r"^[a-z0-9_,.-]+$", help_text=f"SKUs, separated by commas, at most {MOST}."
    )
    as_of = Day(required=False)
    country = serializers.RegexField(r"^([A-Za-z]{2})?$", required=False, default="", allow_blank=True)
    customer = slug_field(max_length=80)
    input_tokens = _amount()
    cached_input_tokens = _amount()
    cache_write_tokens = _amount()
    output_tokens = _amount()
    requests = _amount()
    provisioned_units = _amount()
    seats = _amount()


class CostLineShape(serializers.Serializer[Any]):
    meter = serializers.CharField()
    quantity = serializers.IntegerField()
    price = serializers.CharField(help_text="In words.")
    amount = serializers.CharField(allow_null=True, help_text="Null is unknown.")


class CostResource(serializers.Serializer[Any]):
    """A month on one plan. total is exact to ten decimals and null where a price is not known, never 0 for that."""

    offering = serializers.CharField()
    publisher = PublisherShape()
    plan = serializers.CharField()
    price_version = serializers.IntegerField(allow_null=True)
    private_offer = serializers.CharField(allow_null=True)
    currency = serializers.CharField(allow_null=True)
    total = serializers.CharField(allow_null=True)
    unknown = serializers.ListField(child=serializers.CharField())
    why = serializers.CharField(help_text="Why the total is not known; empty where it is.")
    notes = serializers.ListField(child=serializers.CharField())
    refusal = serializers.CharField(help_text="Why it cannot be sold on that day; empty where it can.")
    lines = CostLineShape(many=True)


class Costs(Computed):
    """Known costs first, the cheapest leading; whose model it is plays no part."""

    parameters = ("offerings", "as_of", "country", "customer", *USAGE)

    @extend_schema(
        summary="Monthly cost of a usage profile",
        description="Cached input and cache writes are part of the input tokens. Prices above a context size go by the average "
        "request; tiers by the month. A month has 730 hours.",
        parameters=[CostsQuery],
        responses=listed(CostResource),
    )
    def get(self, request: Request) -> Response:
        asked = self.query(CostsQuery)
        usage = Usage(**{name: asked[name] for name in USAGE})
        if wrong := usage.problems():
            raise BadQuery(*wrong)
        customer = customer_known_to(self.caller, asked["customer"])
        found = costs_of(
            self._offerings(asked["offerings"]),
            usage,
            on=asked.get("as_of") or clock.today(),
            country=asked["country"] or (customer.country if customer is not None else ""),
            customer=customer,
        )
        return Response({"results": [_cost(each) for each in found]})

    def _offerings(self, listed: str) -> list[Offering]:
        slugs = list(dict.fromkeys(slug for slug in listed.split(",") if slug))
        if len(slugs) > MOST:
            raise BadQuery(("offerings", "too_many", f"At most {MOST} offerings at a time."))
        found = {o.slug: o for o in with_facts(offerings_for(self.caller)).filter(slug__in=slugs)}
        unknown = [slug for slug in slugs if slug not in found]
        if unknown:
            raise BadQuery(("offerings", "unknown_offering", f"There is no offering {', '.join(unknown)}."))
        return [found[slug] for slug in slugs]


def _cost(found: OfferingCost) -> dict[str, Any]:
    cost = found.cost
    return {
        "offering": found.offering.slug,
        "publisher": publisher_body(found.offering.publisher),
        "plan": cost.plan.slug,
        "price_version": cost.version.pk if cost.version is not None else None,
        "private_offer": found.private_offer or None,
        "currency": cost.currency.code if cost.currency is not None else None,
        "total": plain(cost.total),
        "unknown": list(cost.unknown),
        "why": cost.why_unknown,
        "notes": list(cost.notes),
        "refusal": found.refusal,
        "lines": [_line(line) for line in cost.lines],
    }


def _line(line: CostLine) -> dict[str, Any]:
    return {
        "meter": line.meter,
        "quantity": line.quantity,
        "price": line.text,
        "amount": plain(line.amount),
    }
