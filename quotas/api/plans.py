"""Plan versions through REST: rules as sentences and as data. Drafts are for comp admins and auditors."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from django.db.models import QuerySet
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.rest.fields import money
from config.rest.filters import Choices, Day
from config.rest.views import Resources
from marketplace.models import Offering, Publisher, TaskArea
from quotas.api.measured import MEASURED_OR_NULL, measured, percent_of_ppm
from quotas.api.resources import MONEY_OR_NULL, Out, PercentField
from quotas.api.viewer import Internal
from quotas.models import PayBy, PlanComponent, PlanState, PlanVersion, Receivers, RuleVersion, Territory
from quotas.selectors.pay_words import sentences, terms_of
from quotas.selectors.rules import names_in, sentence

RECEIVERS = {Receivers.SHARES: "shares", Receivers.TERRITORY: "territory", Receivers.ROLE: "role"}
BY_SLUG = {"offerings": Offering, "publishers": Publisher, "task_areas": TaskArea, "territories": Territory}
VALUES = {"type": ["array", "null"], "items": {"type": "string"}}
CONDITIONS: dict[str, Any] = {
    "type": "object",
    "description": "Null is any. Offerings, publishers, task areas and territories by slug.",
    "properties": dict.fromkeys(RuleVersion.CONDITIONS, VALUES),
    "required": list(RuleVersion.CONDITIONS),
}


GRAIN_WORDS = {"M": "month", "Q": "quarter", "H": "half", "Y": "year"}
PLACE: dict[str, Any] = {
    "type": ["object", "null"],
    "description": "percent of quota, or an amount of credit",
    "properties": {"percent": {"type": "string"}, "credit": MEASURED_OR_NULL},
}
PAYS: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "by": {"type": "string", "enum": PayBy.values},
        "window": {"type": "string", "enum": list(GRAIN_WORDS.values())},
        "whole_amount": {"type": "boolean"},
        "threshold": PLACE,
        "cap": MONEY_OR_NULL,
        "rates": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"from": PLACE, "rate_percent": {"type": "string"}},
            },
        },
        "words": {"type": "array", "items": {"type": "string"}},
    },
}


class RuleResource(Out):
    id = serializers.IntegerField(help_text="Of the rule in this version; credits name it.")
    slug = serializers.SlugField(
        source="rule.slug", help_text="The rule's identity: the same in every version that keeps it."
    )
    name = serializers.CharField()
    sentence = serializers.SerializerMethodField(help_text="The rule in words, but for its measure.")
    measure = serializers.SlugField(source="measure.slug")
    receivers = serializers.SerializerMethodField(
        help_text="shares: the deal's own; territory and role are overlay."
    )
    exclusive = serializers.BooleanField(help_text="Of exclusive rules one wins; the others add.")
    factor_percent = PercentField(source="factor_ppm")
    cap = serializers.SerializerMethodField()
    starts = serializers.SerializerMethodField(help_text="Null: as long as the version.")
    ends = serializers.SerializerMethodField(help_text="The first day on which it no longer holds.")
    priority = serializers.IntegerField()
    conditions = serializers.SerializerMethodField()

    def get_sentence(self, rule: RuleVersion) -> str:
        return sentence(rule, self.context["names"])

    @extend_schema_field({"type": "string", "enum": list(RECEIVERS.values())})
    def get_receivers(self, rule: RuleVersion) -> str:
        return RECEIVERS[Receivers(rule.receivers)]

    @extend_schema_field(MEASURED_OR_NULL)
    def get_cap(self, rule: RuleVersion) -> Any:
        return measured(rule.cap_minor, rule.measure)

    def get_starts(self, rule: RuleVersion) -> date | None:
        return rule.effective.lower if rule.effective else None

    def get_ends(self, rule: RuleVersion) -> date | None:
        return rule.effective.upper if rule.effective else None

    @extend_schema_field(CONDITIONS)
    def get_conditions(self, rule: RuleVersion) -> dict[str, list[str] | None]:
        slugs: Mapping[str, Mapping[int, str]] = self.context["slugs"]
        found: dict[str, list[str] | None] = {}
        for name in RuleVersion.CONDITIONS:
            values = getattr(rule, name)
            known = slugs.get(name)
            if values is not None and known is not None:
                values = [known.get(pk, str(pk)) for pk in values]
            found[name] = values
        return found


class ComponentResource(Out):
    measure = serializers.SlugField(source="measure.slug")
    weight_percent = PercentField(source="weight_ppm")
    target_incentive = serializers.SerializerMethodField(help_text="A year's pay at 100%.")
    pays = serializers.SerializerMethodField(help_text="Its rates; null where it only counts.")

    @extend_schema_field(MONEY_OR_NULL)
    def get_target_incentive(self, component: PlanComponent) -> dict[str, str] | None:
        if component.target_incentive_minor is None or component.currency is None:
            return None
        return money(component.target_incentive_minor, component.currency.code, component.currency.exponent)

    @extend_schema_field(PAYS)
    def get_pays(self, component: PlanComponent) -> dict[str, Any] | None:
        terms = terms_of(component)
        if terms is None:
            return None
        attained = terms.by == PayBy.ATTAINMENT

        def place(at: int) -> Any:
            return (
                {"percent": percent_of_ppm(at)} if attained else {"credit": measured(at, component.measure)}
            )

        paid_in = terms.currency
        return {
            "by": terms.by,
            "window": GRAIN_WORDS[terms.window],
            "whole_amount": terms.whole_amount,
            "threshold": place(terms.threshold) if terms.threshold else None,
            "cap": None
            if terms.cap_minor is None or paid_in is None
            else money(terms.cap_minor, paid_in.code, paid_in.exponent),
            "rates": [
                {"from": place(start), "rate_percent": percent_of_ppm(rate)} for start, rate in terms.tiers
            ],
            "words": sentences(terms),
        }


class PlanVersionResource(Out):
    """A version of a compensation plan. Published ones never change."""

    id = serializers.IntegerField()
    plan = serializers.SlugField(source="plan.slug")
    plan_name = serializers.CharField(source="plan.name")
    number = serializers.IntegerField(
        help_text="Where published versions of a plan overlap, the higher number counts."
    )
    state = serializers.ChoiceField(PlanState.choices)
    starts = serializers.DateField(source="effective.lower", allow_null=True)
    ends = serializers.DateField(
        source="effective.upper", allow_null=True, help_text="The first day on which it no longer holds."
    )
    note = serializers.CharField()
    drafted_at = serializers.DateTimeField()
    published_at = serializers.DateTimeField(allow_null=True)
    components = serializers.SerializerMethodField()
    rules = serializers.SerializerMethodField()

    @extend_schema_field(ComponentResource(many=True))
    def get_components(self, version: PlanVersion) -> Any:
        return ComponentResource(version.components.all(), many=True).data

    @extend_schema_field(RuleResource(many=True))
    def get_rules(self, version: PlanVersion) -> Any:
        return RuleResource(version.rules.all(), many=True, context=self.context).data


class PlanVersionFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    plan = CharFilter(field_name="plan__slug")
    state = Choices(choices=PlanState.choices)
    on = Day(field_name="effective", lookup_expr="contains", help_text="Whose span holds this day.")

    class Meta:
        model = PlanVersion
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Plan versions with their rules, in sentences and as data"),
    retrieve=extend_schema(
        summary="One plan version",
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
    ),
)
class PlanVersions(Internal, Resources):
    """What is published, or was; drafts for comp admins and auditors. 12 queries a page."""

    serializer_class = PlanVersionResource
    filterset_class = PlanVersionFilters
    keyset = ("id",)

    def get_queryset(self) -> QuerySet[PlanVersion]:
        versions = PlanVersion.objects.select_related("plan").prefetch_related(
            "rules__rule",
            "rules__measure__currency",
            "components__measure__currency",
            "components__currency",
            "components__pay_scale__tiers",
        )
        if self.described or self.viewer.sees_everything:
            return versions
        return versions.exclude(published_at=None)

    def named(self, versions: list[PlanVersion]) -> dict[str, Any]:
        """What the conditions of these versions name. 8 queries."""
        rules = [rule for version in versions for rule in version.rules.all()]
        slugs = {
            name: dict(
                model._default_manager.filter(
                    pk__in={pk for rule in rules for pk in getattr(rule, name) or ()}
                ).values_list("pk", "slug")
            )
            for name, model in BY_SLUG.items()
        }
        return {**self.get_serializer_context(), "names": names_in(rules), "slugs": slugs}

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        shown = PlanVersionResource(rows, many=True, context=self.named(list(rows)))
        return self.get_paginated_response(shown.data)

    def represent(self, row: Any) -> dict[str, Any]:
        return dict(PlanVersionResource(row, context=self.named([row])).data)
