"""Over REST: which feature runs on which model version, by date. For everybody who works here; publishers' people find nothing."""

from datetime import date
from typing import Any

from django.db.models import Exists, Max, OuterRef, QuerySet, Subquery
from django.http import Http404
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from config import clock
from config.formats import iso
from config.rest.filters import Choices, Day, Flag, Words
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT, rate
from marketplace.models import Binding, BindingRole, Offering
from marketplace.selectors.sourcing.access import reads_bindings
from marketplace.selectors.sourcing.binding import bindings

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class BindingResource(serializers.Serializer[Any]):
    """A feature runs on a model version over a span of days. share is null where it is not stated."""

    id = serializers.IntegerField()
    product = TEXT()
    feature = TEXT()
    task = TEXT()
    publisher = TEXT(help_text="Slug of the model's maker: the supplier.")
    model = TEXT()
    version = TEXT()
    role = serializers.ChoiceField(choices=BindingRole.choices)
    share = TEXT(
        allow_null=True, help_text="Of the feature's traffic, as a decimal: 0.4; null is not stated."
    )
    effective_from = DAY()
    effective_until = DAY(allow_null=True, help_text="First day on which it no longer holds.")
    version_retires_on = DAY(
        allow_null=True,
        help_text="First day on which nothing here sells the version any more; null where none is known.",
    )
    offering = TEXT(
        allow_null=True, help_text="As what it is bought; null: the first plan by tokens with a price."
    )
    plan = TEXT(allow_null=True)
    evaluation = serializers.IntegerField(allow_null=True, help_text="A public result that justifies it.")
    run = serializers.IntegerField(allow_null=True, help_text="A run of our own that justifies it.")
    fact = TEXT(allow_null=True, help_text="Slug of the public statement that says so.")
    reason = TEXT()
    source = TEXT()  # type: ignore[assignment]
    assumed = serializers.BooleanField(help_text="Version, share or day is not public.")
    made_at = serializers.DateTimeField()

    def to_representation(self, instance: Binding) -> dict[str, Any]:
        version, plan = instance.model_version, instance.plan
        return {
            "id": instance.pk,
            "product": instance.feature.product.slug,
            "feature": instance.feature.slug,
            "task": instance.feature.task_area.slug,
            "publisher": version.model.publisher.slug,
            "model": version.model.slug,
            "version": version.label,
            "role": instance.role,
            "share": None if instance.share_ppm is None else rate(instance.share_ppm),
            "effective_from": iso(instance.effective.lower),
            "effective_until": iso(instance.effective.upper),
            "version_retires_on": None if instance.lives_on else iso(instance.last_day),  # type: ignore[attr-defined]
            "offering": plan.offering.slug if plan is not None else None,
            "plan": plan.slug if plan is not None else None,
            "evaluation": instance.evaluation_id,
            "run": instance.run_id,
            "fact": instance.fact.slug if instance.fact is not None else None,
            "reason": instance.reason,
            "source": instance.source,
            "assumed": instance.assumed,
            "made_at": instance.made_at.isoformat(),
        }


class BindingFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    product = Words(field_name="feature__product__slug", lookup_expr="in", label="Slugs.")
    feature = Words(field_name="feature__slug", lookup_expr="in", label="Slugs.")
    task = Words(field_name="feature__task_area__slug", lookup_expr="in", label="Slugs of task areas.")
    publisher = Words(
        field_name="model_version__model__publisher__slug",
        lookup_expr="in",
        label="Slugs of the models' makers, the suppliers.",
    )
    model = Words(field_name="model_version__model__slug", lookup_expr="in", label="Slugs.")
    version = CharFilter(field_name="model_version__label", label="Label of a version; best with its model.")
    role = Choices(field_name="role", lookup_expr="in", choices=BindingRole.choices)
    as_of = Day(method="on_a_day", label="Those that hold on this day; today unless given.")
    history = Flag(
        method="with_history", label="true: whatever stands, past and to come; as_of is left aside then."
    )

    class Meta:
        model = Binding
        fields: list[str] = []

    def on_a_day(self, rows: QuerySet[Binding], _name: str, value: date) -> QuerySet[Binding]:
        return rows  # filter_queryset() looks at both together

    def with_history(self, rows: QuerySet[Binding], _name: str, value: bool) -> QuerySet[Binding]:
        return rows

    def filter_queryset(self, queryset: QuerySet[Binding]) -> Any:
        rows = super().filter_queryset(queryset)
        if self.form.cleaned_data.get("history"):
            return rows
        return rows.filter(effective__contains=self.form.cleaned_data.get("as_of") or clock.today())


@extend_schema_view(
    list=extend_schema(summary="What our features run on"),
    retrieve=extend_schema(summary="One binding", parameters=[BY_ID]),
)
class Bindings(Resources):
    """Which feature of our products runs on which model version, with role and share of traffic, on a day."""

    queryset = Binding.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = BindingResource
    filterset_class = BindingFilters
    keyset = ("feature_id", "id")

    def get_queryset(self) -> QuerySet[Binding]:
        if not reads_bindings(self.caller):
            raise Http404
        sold = Offering.objects.filter(model_version=OuterRef("model_version")).order_by()
        return bindings().annotate(
            lives_on=Exists(sold.filter(retires_on=None)),
            last_day=Subquery(
                sold.values("model_version").annotate(last=Max("retires_on")).values("last")[:1]
            ),
        )
