"""Over REST: what our own evaluations came to. For everybody who works here; publishers' people find nothing."""

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers

from config.formats import iso
from config.rest.filters import Day, Flag, Words
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT
from marketplace.models import SuiteRun
from marketplace.selectors.sourcing.access import reads_bindings

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
FIGURE = serializers.DecimalField


class EvaluationRun(serializers.Serializer[Any]):
    """What one model version came to on a suite. Only runs of the same suite, version, metric, harness and round are compared."""

    id = serializers.IntegerField()
    suite = TEXT()
    suite_version = TEXT()
    task = TEXT()
    publisher = TEXT()
    model = TEXT()
    version = TEXT()
    metric = TEXT(
        help_text="preference: the share of the round's other models that it would be preferred to."
    )
    higher_is_better = serializers.BooleanField()
    harness = TEXT()
    round = serializers.IntegerField(
        allow_null=True, help_text="Of a preference: the round of blind votes. null: scored by a program."
    )
    sample_size = serializers.IntegerField(help_text="Cases, or votes.")
    score = FIGURE(max_digits=14, decimal_places=4)
    interval_low = FIGURE(max_digits=14, decimal_places=4)
    interval_high = FIGURE(max_digits=14, decimal_places=4, help_text="95 %.")
    cost_usd = FIGURE(max_digits=12, decimal_places=4, allow_null=True)
    latency_s = FIGURE(max_digits=10, decimal_places=2, allow_null=True)
    evaluator = TEXT()
    dated = DAY()
    synthetic = serializers.BooleanField(help_text="Made up for the demo.")

    def to_representation(self, instance: SuiteRun) -> dict[str, Any]:
        version = instance.model_version
        return {
            "id": instance.pk,
            "suite": instance.suite.slug,
            "suite_version": instance.suite.version,
            "task": instance.suite.task_area.slug,
            "publisher": version.model.publisher.slug,
            "model": version.model.slug,
            "version": version.label,
            "metric": instance.metric,
            "higher_is_better": instance.higher_is_better,
            "harness": instance.harness,
            "round": instance.round_id,
            "sample_size": instance.sample_size,
            "score": str(instance.score),
            "interval_low": str(instance.interval_low),
            "interval_high": str(instance.interval_high),
            "cost_usd": None if instance.cost_usd is None else str(instance.cost_usd),
            "latency_s": None if instance.latency_s is None else str(instance.latency_s),
            "evaluator": instance.evaluator,
            "dated": iso(instance.dated),
            "synthetic": instance.synthetic,
        }


class EvaluationFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    suite = Words(field_name="suite__slug", lookup_expr="in", label="Slugs.")
    task = Words(field_name="suite__task_area__slug", lookup_expr="in", label="Slugs of task areas.")
    publisher = Words(
        field_name="model_version__model__publisher__slug", lookup_expr="in", label="Slugs of the makers."
    )
    model = Words(field_name="model_version__model__slug", lookup_expr="in", label="Slugs.")
    metric = Words(field_name="metric", lookup_expr="in", label="Such as preference.")
    since = Day(field_name="dated", lookup_expr="gte", label="Dated on this day or later.")
    as_of = Day(field_name="dated", lookup_expr="lte", label="Dated on this day or before.")
    synthetic = Flag(field_name="synthetic")

    class Meta:
        model = SuiteRun
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Runs of our own evaluations"),
    retrieve=extend_schema(summary="One run", parameters=[BY_ID]),
)
class Evaluations(Resources):
    """What our own evaluations came to, out of blind votes or scored by a program. An open round has none."""

    queryset = SuiteRun.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = EvaluationRun
    filterset_class = EvaluationFilters
    keyset = ("-dated", "-id")

    def get_queryset(self) -> QuerySet[SuiteRun]:
        """1 query a page."""
        if not reads_bindings(self.caller):
            raise Http404
        return SuiteRun.objects.select_related("suite__task_area", "model_version__model__publisher")
