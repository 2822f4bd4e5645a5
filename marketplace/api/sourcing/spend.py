"""Over REST: what our own products used of which models, recorded by programs too, and what it costs. For who reads sourcing."""

from datetime import date
from typing import Any, Final

from django.db.models import QuerySet
from django.http import Http404
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.formats import iso
from config.months import add_months, month_of
from config.rest.fields import MONEY_SCHEMA, money
from config.rest.filters import Words
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Computed, Resources
from marketplace.api.resources import DAY, TEXT
from marketplace.importers.usage import UsageRow, month_in
from marketplace.models import Bound, FeatureUsage
from marketplace.selectors.costs import LARGEST, plain
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.costing import USD
from marketplace.selectors.sourcing.spend import WAYS, RunRate, Standing, monthly, run_rate
from marketplace.selectors.sourcing.usage_lines import Line, lines_in_force, priced
from marketplace.services.sourcing.usage import LONGEST_SOURCE, Outcome, record_usage

MONTH: Final = r"^\d{4}-\d{2}$"
MOST_ROWS: Final = 5_000
MOST_MONTHS: Final = 60
FIRST_YEAR, LAST_YEAR = 2000, 2100
BY_ID: Final = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


@extend_schema_field({**MONEY_SCHEMA, "type": ["object", "null"]})
class Amount(serializers.JSONField):
    """{"amount", "currency"}; null is not known."""


def _usd(minor: int | None) -> dict[str, str] | None:
    return money(minor, USD, 2)


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _readers_only(user: Any) -> None:
    """Who may not read it, learns of nothing."""
    if not reads_sourcing(user):
        raise Http404


# --- usage -------------------------------------------------------------------------------------------------


class UsageLineResource(serializers.Serializer[Any]):
    """What a feature used of a model version in a month. cost is null where no price is in effect or known, and why says so."""

    id = serializers.IntegerField()
    month = TEXT(help_text="2026-07")
    product = TEXT()
    feature = TEXT()
    supplier = TEXT(help_text="Slug of the model's maker.")
    model = TEXT()
    version = TEXT()
    offering = TEXT(allow_null=True)
    plan = TEXT(allow_null=True, help_text="As what it was bought; null: nothing sells it.")
    host = TEXT(allow_null=True, help_text="Where it ran; null is unknown.")
    input_tokens = serializers.IntegerField(help_text="Cached ones included.")
    cached_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    requests = serializers.IntegerField(allow_null=True)
    list_price = Amount()
    cost = Amount()
    why = TEXT(help_text="Why it has no cost; empty where it has one.")
    source = TEXT()  # type: ignore[assignment]
    synthetic = serializers.BooleanField(help_text="Made up for the demo.")
    recorded_at = serializers.DateTimeField()

    def to_representation(self, instance: Line) -> dict[str, Any]:
        row, cost, version, plan = (
            instance.row,
            instance.cost,
            instance.row.model_version,
            instance.row.plan,
        )
        return {
            "id": row.pk,
            "month": _month(row.month),
            "product": row.feature.product.slug,
            "feature": row.feature.slug,
            "supplier": version.model.publisher.slug,
            "model": version.model.slug,
            "version": version.label,
            "offering": plan.offering.slug if plan is not None else None,
            "plan": plan.slug if plan is not None else None,
            "host": row.host.slug if row.host is not None else None,
            "input_tokens": row.input_tokens,
            "cached_tokens": row.cached_tokens,
            "output_tokens": row.output_tokens,
            "requests": row.requests,
            "list_price": money(cost.listed_minor, cost.currency, 2),
            "cost": money(cost.minor, cost.currency, 2),
            "why": cost.why,
            "source": row.source,
            "synthetic": row.synthetic,
            "recorded_at": row.recorded_at.isoformat(),
        }


def _tokens(**more: Any) -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=LARGEST, **more)


class NewUsageRow(Strict):
    """Other figures for the same feature, model version, plan, host and month correct what was stated."""

    month = serializers.RegexField(MONTH, help_text="2026-07")
    feature = serializers.SlugField(max_length=80)
    model = serializers.SlugField(max_length=80)
    version = serializers.CharField(
        max_length=60,
        required=False,
        default="",
        allow_blank=True,
        help_text="Its label; may be left out where the model has one.",
    )
    plan = serializers.CharField(
        max_length=160,
        required=False,
        default="",
        allow_blank=True,
        help_text="offering/plan; left out, the first public plan by tokens with a price.",
    )
    host = serializers.CharField(
        max_length=60, required=False, default="", allow_blank=True, help_text="Slug of a company."
    )
    input_tokens = _tokens()
    cached_tokens = _tokens(required=False, default=0)
    output_tokens = _tokens()
    requests = _tokens(required=False, default=None, allow_null=True)

    def validate_month(self, value: str) -> date:
        month = month_in(value)
        if month is None:
            raise serializers.ValidationError("Write the month as 2026-07.", code="not_a_month")
        return month


class NewUsage(Strict):
    """All rows are recorded, or none."""

    source = serializers.CharField(  # type: ignore[assignment]
        max_length=LONGEST_SOURCE - 20, help_text="The system that it comes from."
    )
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Say what would come of it.")
    rows = NewUsageRow(many=True, allow_empty=False, max_length=MOST_ROWS)  # type: ignore[call-arg]


class NotPricedShape(serializers.Serializer[Any]):
    model = TEXT()
    plan = TEXT(help_text="offering/plan; empty: nothing sells it.")
    why = TEXT()
    rows = serializers.IntegerField()


class RecordedUsageResource(serializers.Serializer[Any]):
    recorded = serializers.BooleanField(help_text="Something was written.")
    new = serializers.IntegerField()
    corrected = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    cost = Amount(help_text="Of the new and corrected lines that have a price.")
    cost_before = Amount(help_text="Of the lines that these correct.")
    unpriced = NotPricedShape(many=True)


def _recorded(done: Outcome, *, dry_run: bool) -> dict[str, Any]:
    return {
        "recorded": done.recorded and not dry_run,
        **{name: done.counts.get(name, 0) for name in ("new", "corrected", "unchanged")},
        "cost": _usd(done.minor),
        "cost_before": _usd(done.before_minor),
        "unpriced": [
            {"model": each.model, "plan": each.plan, "why": each.why, "rows": each.rows}
            for each in done.unpriced
        ],
    }


class UsageFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    first = CharFilter(method="since", label="From this month on, such as 2026-01.")
    last = CharFilter(method="up_to", label="Up to this month, itself included.")
    supplier = Words(field_name="model_version__model__publisher__slug", lookup_expr="in", label="Slugs.")
    product = Words(field_name="feature__product__slug", lookup_expr="in", label="Slugs.")
    feature = Words(field_name="feature__slug", lookup_expr="in", label="Slugs.")
    model = Words(field_name="model_version__model__slug", lookup_expr="in", label="Slugs.")
    host = Words(field_name="host__slug", lookup_expr="in", label="Slugs of companies.")

    class Meta:
        model = FeatureUsage
        fields: list[str] = []

    def since(self, rows: QuerySet[FeatureUsage], name: str, value: str) -> QuerySet[FeatureUsage]:
        return rows.filter(month__gte=_asked(name, value))

    def up_to(self, rows: QuerySet[FeatureUsage], name: str, value: str) -> QuerySet[FeatureUsage]:
        return rows.filter(month__lte=_asked(name, value))


def _asked(name: str, value: str) -> date:
    month = month_in(value)
    if month is None:
        raise BadQuery((name, "invalid", "Write a month as 2026-07."))
    return month


@extend_schema_view(
    list=extend_schema(summary="Usage of models by our own products, the latest month first"),
    retrieve=extend_schema(summary="One line of usage", parameters=[BY_ID]),
)
class UsageLines(Resources):
    """Lines in force: a correction stands in place of what it corrects."""

    queryset = FeatureUsage.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = UsageLineResource
    filterset_class = UsageFilters
    keyset = ("-month", "-id")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        _readers_only(request.user)

    def get_queryset(self) -> QuerySet[FeatureUsage]:
        return lines_in_force()

    def list(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(self.get_serializer(priced(list(rows)), many=True).data)

    def represent(self, row: FeatureUsage) -> dict[str, Any]:
        [line] = priced([row])
        return dict(self.get_serializer(line).data)

    @extend_schema(
        summary="Record usage",
        request=NewUsage,
        responses={200: RecordedUsageResource, 201: RecordedUsageResource},
    )
    def create(self, request: Request) -> Response:
        """The same rows again change nothing; with an Idempotency-Key a retry is not even looked at. 201 where something was written."""
        given = self.body(NewUsage).validated_data
        done = record_usage(
            rows=[UsageRow(line=at, **row) for at, row in enumerate(given["rows"])],
            source=f"REST: {given['source']}",
            by=self.caller,
            at=self.at,
            dry_run=given["dry_run"],
        )
        body = _recorded(done, dry_run=given["dry_run"])
        return Response(body, status=201 if body["recorded"] else 200)


# --- spend -------------------------------------------------------------------------------------------------


class SpendQuery(Strict):
    by = serializers.ChoiceField(choices=WAYS, required=False, default="supplier")
    first = serializers.RegexField(
        MONTH, required=False, help_text="Such as 2025-07; twelve months up to last unless given."
    )
    last = serializers.RegexField(MONTH, required=False, help_text="The last whole month unless given.")
    as_of = serializers.DateField(required=False, help_text="The day that run-rates are of.")


class SpendMonthShape(serializers.Serializer[Any]):
    month = TEXT()
    amount = Amount(help_text="Null: nothing that has a price was used.")
    unpriced_lines = serializers.IntegerField()


class SpendRowShape(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    under = TEXT(help_text="The product of a feature, the supplier of a model; else empty.")
    total = Amount()
    list_price = Amount(help_text="What the same costs before agreed discounts.")
    tokens = serializers.IntegerField()
    lines = serializers.IntegerField()
    unpriced_lines = serializers.IntegerField(help_text="In no amount.")
    months = SpendMonthShape(many=True)


class UnpricedShape(serializers.Serializer[Any]):
    model = TEXT()
    version = TEXT()
    offering = TEXT(allow_null=True)
    plan = TEXT(allow_null=True)
    why = TEXT()
    first = TEXT()
    last = TEXT()
    lines = serializers.IntegerField()
    tokens = serializers.IntegerField()


class OtherCurrencyShape(serializers.Serializer[Any]):
    currency = TEXT()
    amount = TEXT(help_text="In no other amount of this answer.")


class ForecastShape(serializers.Serializer[Any]):
    """Of the months of the plan that are not over; what was spent is not in it."""

    rest = Amount()
    low = Amount()
    high = Amount()
    months = serializers.IntegerField()
    method = TEXT()


class SpendPlanShape(serializers.Serializer[Any]):
    amount = Amount()
    bound = serializers.ChoiceField(choices=Bound.choices)
    effective_from = DAY()
    effective_until = DAY(help_text="First day after it.")
    source = TEXT()  # type: ignore[assignment]
    fact = TEXT(allow_null=True, help_text="Slug of the public statement behind it.")
    spent = Amount(help_text="In its whole months so far.")
    to_date = Amount(help_text="The plan's part of those months, evenly by days; null: in another currency.")
    unpriced_lines = serializers.IntegerField(help_text="Of those months, not in spent.")
    forecast = ForecastShape(allow_null=True)
    why_no_forecast = TEXT()


class RunRateShape(serializers.Serializer[Any]):
    supplier = TEXT()
    month = TEXT(help_text="The last whole month.")
    amount = Amount()
    annual = Amount(help_text="Times twelve.")
    annual_by_three_months = Amount(help_text="The last three whole months times four.")
    unpriced_lines = serializers.IntegerField(help_text="Of those three months.")
    plan = SpendPlanShape(allow_null=True)


class SpendResource(serializers.Serializer[Any]):
    """Amounts in USD at the price in effect in each month, less what is agreed. What has no price is counted, never zero."""

    by = serializers.ChoiceField(choices=WAYS)
    first = TEXT()
    last = TEXT()
    as_of = DAY()
    total = Amount()
    rows = SpendRowShape(many=True)
    months = SpendMonthShape(many=True)
    unpriced = UnpricedShape(many=True)
    other_currencies = OtherCurrencyShape(many=True)
    run_rates = RunRateShape(many=True)


class SpendView(Computed):
    """Actual amounts by month, run-rates beside their plans, and forecasts apart."""

    parameters = ("by", "first", "last", "as_of")

    @extend_schema(
        summary="Spend on models by supplier, product, feature or model and month",
        parameters=[SpendQuery],
        responses=SpendResource,
    )
    def get(self, request: Request) -> Response:
        _readers_only(self.caller)
        asked = self.query(SpendQuery)
        on = asked.get("as_of") or clock.today()
        if not FIRST_YEAR < on.year < LAST_YEAR:
            raise BadQuery(("as_of", "invalid", f"Between {FIRST_YEAR + 1} and {LAST_YEAR - 1}."))
        last = _asked("last", asked["last"]) if "last" in asked else add_months(month_of(on), -1)
        first = _asked("first", asked["first"]) if "first" in asked else add_months(last, -11)
        if not first <= last < add_months(first, MOST_MONTHS):
            raise BadQuery(("first", "invalid", f"From first to last are 1 to {MOST_MONTHS} months."))
        found = monthly(first, add_months(last, 1), asked["by"])
        months = [
            {
                "month": _month(month),
                "amount": _usd(total),
                "unpriced_lines": sum(row.unpriced_by_month[at] for row in found.rows),
            }
            for at, (month, total) in enumerate(zip(found.months, found.totals, strict=True))
        ]
        body = {
            "by": found.by,
            "first": _month(first),
            "last": _month(last),
            "as_of": on.isoformat(),
            "total": _usd(found.total),
            "rows": [
                {
                    "slug": row.slug,
                    "name": row.name,
                    "under": row.under,
                    "total": _usd(row.total),
                    "list_price": _usd(row.listed if row.total is not None else None),
                    "tokens": row.tokens,
                    "lines": row.lines,
                    "unpriced_lines": row.unpriced,
                    "months": [
                        {"month": _month(month), "amount": _usd(amount), "unpriced_lines": open_}
                        for month, amount, open_ in zip(
                            found.months, row.amounts, row.unpriced_by_month, strict=True
                        )
                    ],
                }
                for row in found.rows
            ],
            "months": months,
            "unpriced": [
                {
                    "model": each.version.model.slug,
                    "version": each.version.label,
                    "offering": each.plan.offering.slug if each.plan is not None else None,
                    "plan": each.plan.slug if each.plan is not None else None,
                    "why": each.why,
                    "first": _month(each.first),
                    "last": _month(each.last),
                    "lines": each.lines,
                    "tokens": each.tokens,
                }
                for each in found.unpriced
            ],
            "other_currencies": [
                {"currency": code, "amount": plain(amount)} for code, amount in sorted(found.apart.items())
            ],
            "run_rates": [_rate(rate) for rate in run_rate(on)],
        }
        return Response(body)


def _rate(rate: RunRate) -> dict[str, Any]:
    return {
        "supplier": rate.supplier.slug,
        "month": _month(rate.last),
        "amount": _usd(rate.last_minor),
        "annual": _usd(rate.annual),
        "annual_by_three_months": _usd(rate.annual_trailing),
        "unpriced_lines": rate.unpriced,
        "plan": _plan(rate.plan) if rate.plan is not None else None,
    }


def _plan(standing: Standing) -> dict[str, Any]:
    plan, forecast = standing.plan, standing.forecast
    return {
        "amount": money(plan.amount_minor, plan.currency.code, plan.currency.exponent),
        "bound": plan.bound,
        "effective_from": iso(plan.effective.lower),
        "effective_until": iso(plan.effective.upper),
        "source": plan.source,
        "fact": plan.fact.slug if plan.fact is not None else None,
        "spent": _usd(standing.spent),
        "to_date": _usd(standing.to_date),
        "unpriced_lines": standing.unpriced,
        "forecast": None
        if forecast is None
        else {
            "rest": _usd(forecast.rest),
            "low": _usd(forecast.low),
            "high": _usd(forecast.high),
            "months": forecast.months,
            "method": forecast.method,
        },
        "why_no_forecast": standing.why_none,
    }
