"""The catalog over REST. Every queryset starts at what the caller may know of; what is not theirs is 404."""

from datetime import date
from functools import cached_property
from typing import Any

from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.fields import empty
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from config import clock
from config.rest.filters import StrictFilters, known_to
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Computed, Resources
from marketplace.api import resources as shapes
from marketplace.api.filters import ModelFilters, OfferingFilters, PublisherFilters
from marketplace.models import (
    AiModel,
    Customer,
    EligibilityDecision,
    ModelVersion,
    Offering,
    Plan,
    Publisher,
    ScopeLevel,
)
from marketplace.selectors.answer import answer
from marketplace.selectors.eligibility import bulk_treatments, in_force, treatments
from marketplace.selectors.evidence import evidence_of
from marketplace.selectors.facets import counted
from marketplace.selectors.prices import WORLD, price_versions
from marketplace.selectors.private_offers import may_see_customers
from marketplace.selectors.resources import plan_body, with_facts
from marketplace.selectors.search import ORDERINGS
from marketplace.selectors.spelling import read_as
from marketplace.selectors.substitutes import substitutes
from marketplace.selectors.visibility import offerings_for, publishers_for


@extend_schema_view(retrieve=extend_schema(summary="One publisher"))
class Publishers(Resources):
    """Who makes what is sold."""

    queryset = Publisher.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = shapes.PublisherResource
    filterset_class = PublisherFilters
    lookup_field = "slug"
    keyset = ("name", "id")

    def get_queryset(self) -> QuerySet[Publisher]:
        seen = offerings_for(self.caller).values("pk")
        return publishers_for(self.caller).annotate(
            offerings_seen=Count("offerings", filter=Q(offerings__in=seen), distinct=True)
        )

    def represent(self, row: Any) -> dict[str, Any]:
        return _publisher(row)

    @extend_schema(summary="Publishers, by name", responses=shapes.PublisherResource(many=True))
    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([_publisher(row) for row in rows or []])


def _publisher(row: Any) -> dict[str, Any]:
    return {
        **shapes.publisher_body(row),
        "about": row.about,
        "website": row.website,
        "offerings": row.offerings_seen,
    }


class Day(serializers.DateField):
    """A day; an empty value is none, as an empty field of a form is."""

    def run_validation(self, data: Any = empty) -> Any:
        return None if data == "" else super().run_validation(data)


def slug_field(**more: Any) -> serializers.SlugField:
    return serializers.SlugField(required=False, default="", allow_blank=True, **more)


def listed(shape: type[serializers.Serializer[Any]]) -> Any:
    """The schema of {"results": [...]}."""
    name = shape.__name__.removesuffix("Resource")
    return inline_serializer(f"{name}List", {"results": shape(many=True)})


class DayQuery(Strict):
    as_of = Day(required=False)


@extend_schema_view(
    list=extend_schema(summary="Offerings that you may know of"),
    retrieve=extend_schema(summary="One offering, as of a day"),
)
class Offerings(Resources):
    """What is on sale. as_of says which day's lifecycle, eligibility and prices are meant."""

    queryset = Offering.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = shapes.OfferingResource
    filterset_class = OfferingFilters
    lookup_field = "slug"
    keyset = ("name", "id")
    orderings = ORDERINGS
    parameters = ("as_of",)

    @cached_property
    def on(self) -> date:
        given = DayQuery(data={k: v for k, v in self.request.query_params.items() if k == "as_of"})
        if not given.is_valid():
            raise BadQuery(("as_of", "invalid", "Write a day as 2026-08-14."))
        return given.validated_data.get("as_of") or clock.today()

    def get_queryset(self) -> QuerySet[Offering]:
        return with_facts(offerings_for(self.caller))

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        self.treated = bulk_treatments(rows, self.on)
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)


class Facets(Computed):
    """How many offerings each value of each filter would leave, under the other filters given."""

    # For the schema, which says what can be filtered by.
    queryset = Offering.objects.none()
    filter_backends = (StrictFilters,)
    filterset_class = OfferingFilters

    def known_parameters(self) -> frozenset[str]:
        return known_to(OfferingFilters)

    @extend_schema(
        summary="Counts for each filter of the offerings", filters=True, responses=shapes.FacetsResource
    )
    def get(self, request: Request) -> Response:
        filters = OfferingFilters(request.query_params, queryset=Offering.objects.none(), request=request)
        if not filters.is_valid():
            raise BadQuery(
                *(
                    (name, found["code"] or "invalid", found["message"])
                    for name, several in filters.errors.get_json_data().items()
                    for found in several
                )
            )
        visible = offerings_for(self.caller)
        criteria, read = read_as(visible, filters.criteria)
        found = counted(visible, criteria)
        return Response(
            {
                "total": found.total,
                "search_read_as": read or None,
                "facets": {
                    facet.name: [{"value": v.value, "label": v.label, "count": v.count} for v in facet.values]
                    for facet in found.facets
                },
            }
        )


class PartOfOffering(Computed):
    """Something of one offering that the caller may know of."""

    def offering(self) -> Offering:
        return get_object_or_404(with_facts(offerings_for(self.caller)), slug=self.kwargs["slug"])

    def plan(self, offering: Offering, slug: str) -> Plan | None:
        """Raises BadQuery for a plan that the offering does not have."""
        if not slug:
            return None
        found = next((p for p in offering.plans.all() if p.slug == slug), None)
        if found is None:
            known = ", ".join(p.slug for p in offering.plans.all()) or "none"
            raise BadQuery(
                ("plan", "unknown_plan", f"{offering.name} has no such plan. Its plans are: {known}.")
            )
        return found


class Plans(PartOfOffering):
    @extend_schema(summary="Plans of an offering", responses=listed(shapes.PlanResource))
    def get(self, request: Request, slug: str) -> Response:
        return Response({"results": [plan_body(plan) for plan in self.offering().plans.all()]})


class PricesQuery(Strict):
    as_of = Day(required=False)
    plan = slug_field()
    market = serializers.CharField(required=False, default="", max_length=10, allow_blank=True)


class Prices(PartOfOffering):
    """Price versions that no correction has replaced; with as_of those in effect on that day."""

    parameters = ("as_of", "plan", "market")

    @extend_schema(
        summary="Prices of an offering",
        parameters=[PricesQuery],
        responses=listed(shapes.PriceResource),
    )
    def get(self, request: Request, slug: str) -> Response:
        asked = self.query(PricesQuery)
        offering = self.offering()
        plan = self.plan(offering, asked["plan"])
        found = price_versions([plan.pk] if plan else [p.pk for p in offering.plans.all()])
        if asked.get("as_of"):
            found = found.filter(effective__contains=asked["as_of"])
        if asked["market"]:
            market = asked["market"]
            found = found.filter(market=market if market == WORLD else market.upper())
        return Response({"results": [shapes.price_body(version) for version in found]})


class EligibilityQuery(Strict):
    as_of = Day(required=False)
    plan = slug_field()


class Eligibility(PartOfOffering):
    """How it is treated on a day, and every decision in force that reaches it."""

    parameters = ("as_of", "plan")

    @extend_schema(
        summary="What an offering counts for, and by which decisions",
        parameters=[EligibilityQuery],
        responses=shapes.EligibilityResource,
    )
    def get(self, request: Request, slug: str) -> Response:
        asked = self.query(EligibilityQuery)
        offering = self.offering()
        plan = self.plan(offering, asked["plan"])
        on = asked.get("as_of") or clock.today()
        return Response(
            {
                "offering": offering.slug,
                "plan": plan.slug if plan else None,
                "as_of": on.isoformat(),
                "programs": shapes.programs_body(treatments(offering, on, plan)),
                "decisions": [shapes.decision_body(d) for d in _reaching(offering, on)],
            }
        )


def _reaching(offering: Offering, on: date) -> QuerySet[EligibilityDecision]:
    return (
        in_force(on)
        .filter(
            Q(level=ScopeLevel.PATH, commercial_path=offering.commercial_path)
            | Q(publisher=offering.publisher_id)
            | Q(offering=offering.pk)
            | Q(plan__offering=offering.pk)
        )
        .select_related("publisher", "offering", "plan")
        .order_by("program", "-level", "-id")
    )


class Evaluations(PartOfOffering):
    """Evidence per task as known on a day. place and of are among those tested by the same benchmark, version, metric and harness."""

    parameters = ("as_of",)

    @extend_schema(
        summary="Evidence for an offering, by task",
        parameters=[DayQuery],
        responses=listed(shapes.EvaluationResource),
    )
    def get(self, request: Request, slug: str) -> Response:
        on = self.query(DayQuery).get("as_of") or clock.today()
        return Response({"results": shapes.evaluations_body(evidence_of(self.offering(), on))})


class Substitutes(PartOfOffering):
    """What is on sale for the same tasks, best match first; whose model it is plays no part."""

    parameters = ("as_of",)

    @extend_schema(
        summary="What could take its place",
        parameters=[DayQuery],
        responses=listed(shapes.SubstituteResource),
    )
    def get(self, request: Request, slug: str) -> Response:
        on = self.query(DayQuery).get("as_of") or clock.today()
        found = substitutes(self.offering(), offerings_for(self.caller), on)
        return Response({"results": [shapes.substitute_body(s) for s in found]})


def customer_known_to(caller: User, slug: str) -> Customer | None:
    """None where none is asked for. Http404 for one that is not there, and for who may not learn which there are."""
    if not slug:
        return None
    found = Customer.objects.filter(slug=slug).first() if may_see_customers(caller) else None
    if found is None:
        raise Http404
    return found


class AnswerQuery(Strict):
    on = Day(required=False)
    as_of = Day(required=False, help_text="The same as on.")
    plan = slug_field()
    country = serializers.RegexField(r"^([A-Za-z]{2})?$", required=False, default="", allow_blank=True)
    region = slug_field(max_length=40)
    customer = slug_field(max_length=80)


class TheAnswer(PartOfOffering):
    """May it be sold here and then, at which price, does it count, until when, what replaces it, and why."""

    parameters = ("on", "as_of", "plan", "country", "region", "customer")

    @extend_schema(
        summary="May it be sold, at which price, and does it count",
        parameters=[AnswerQuery],
        responses=shapes.AnswerResource,
    )
    def get(self, request: Request, slug: str) -> Response:
        asked = self.query(AnswerQuery)
        on, as_of = asked.get("on"), asked.get("as_of")
        if on and as_of and on != as_of:
            raise BadQuery(("as_of", "given_twice", "on and as_of name the same day: give one of them."))
        offering = self.offering()
        given = answer(
            offering,
            on=on or as_of or clock.today(),
            plan=self.plan(offering, asked["plan"]),
            country=asked["country"],
            region=asked["region"],
            customer=customer_known_to(self.caller, asked["customer"]),
        )
        return Response(shapes.answer_body(given))


@extend_schema_view(
    list=extend_schema(summary="Models, by name"), retrieve=extend_schema(summary="One model")
)
class Models(Resources):
    """Models with their versions, and the offerings that sell them."""

    queryset = AiModel.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = shapes.ModelResource
    filterset_class = ModelFilters
    lookup_field = "slug"
    keyset = ("name", "id")

    def get_queryset(self) -> QuerySet[AiModel]:
        seen = offerings_for(self.caller)
        versions = ModelVersion.objects.order_by("released_on", "id").prefetch_related(
            Prefetch("offerings", queryset=seen.order_by("slug"), to_attr="seen_offerings")
        )
        return (
            AiModel.objects.filter(
                Q(versions__offerings__in=seen.values("pk")) | Q(publisher__memberships__user=self.caller)
            )
            .distinct()
            .select_related("publisher")
            .prefetch_related(Prefetch("versions", queryset=versions))
        )
