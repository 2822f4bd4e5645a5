"""Pay over REST: what closes paid, entry by entry, and what they charge to cost centres with the control totals."""

from typing import Any

from django.db.models import QuerySet
from django_filters import CharFilter, NumberFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import NotFound
from config.rest.fields import MONEY_SCHEMA, MoneyField, money
from config.rest.filters import Choices, Words
from config.rest.problems import BadQuery
from config.rest.views import Computed, Resources
from quotas.api.filters import PeriodFilter
from quotas.api.resources import Out
from quotas.api.viewer import Internal
from quotas.models import EarningEntry, EarningKind, PeriodClose
from quotas.selectors.earnings import PAID, SEES_PAY, Sums, accrual, control_totals, earnings_for


class EarningResource(Out):
    """Pay that one close adds or takes back, of one component and month of origin. Never changes."""

    id = serializers.IntegerField()
    rep = serializers.SlugField(source="rep.slug")
    employee_no = serializers.CharField(source="rep.employee_no")
    kind = serializers.ChoiceField(EarningKind.choices)
    plan = serializers.SlugField(
        source="plan.slug", default=None, allow_null=True, help_text="Null for a draw."
    )
    plan_version = serializers.IntegerField(source="plan_version.number", default=None, allow_null=True)
    measure = serializers.SlugField(
        source="measure.slug", default=None, allow_null=True, help_text="Null for a draw."
    )
    amount = MoneyField(minor="amount_minor")
    period = serializers.CharField(source="close.period.name", help_text="The month whose close pays it.")
    close = serializers.IntegerField(source="close_id")
    version = serializers.IntegerField(
        source="close.version", help_text="Of the close; a second one pays differences."
    )
    origin_period = serializers.CharField(
        source="origin_period.name", help_text="The month in which it was earned."
    )
    cost_centre = serializers.CharField(help_text="Empty where no team above names one.")
    worked_out = serializers.JSONField(
        help_text="What it came from, in minor units: amount = earned - earned_before - paid_before."
    )


class EarningFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    close = NumberFilter(field_name="close_id", decimal_places=0, max_digits=18)
    period = PeriodFilter(field_name="close__period", help_text="The month whose close pays it.")
    origin_period = PeriodFilter(field_name="origin_period", help_text="The month in which it was earned.")
    rep = Words(field_name="rep__slug")
    kind = Choices(choices=EarningKind.choices)
    measure = Words(field_name="measure__slug")
    cost_centre = CharFilter(field_name="cost_centre")

    class Meta:
        model = EarningEntry
        fields: list[str] = []


class ForThosePaid(Internal):
    """For reps, managers of theirs, comp admins and auditors."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*SEES_PAY):
            raise NotFound.of("not_found", "There is nothing here that you can see.")


@extend_schema_view(
    list=extend_schema(summary="What closes paid, entry by entry: the payment file"),
    retrieve=extend_schema(
        summary="One earning entry with how it was worked out",
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
    ),
)
class Earnings(ForThosePaid, Resources):
    """One's own, those of the managed teams' people, or all. 1 query a page."""

    serializer_class = EarningResource
    filterset_class = EarningFilters
    keyset = ("id",)

    def get_queryset(self) -> QuerySet[EarningEntry]:
        if self.described:
            return EarningEntry.objects.none()
        return earnings_for(self.viewer.user, self.viewer.on).select_related(
            "rep", "plan", "plan_version", "measure", "currency", "close__period", "origin_period"
        )


AMOUNTS = ("earned", "of_earlier_months", "draw", "recovery", "total")
SUMS_SCHEMA: dict[str, Any] = {
    "currency": {"type": "string"},
    "entries": {"type": "integer"},
    **dict.fromkeys(AMOUNTS, MONEY_SCHEMA),
}
ACCRUAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["close", "period", "version", "payments_digest", "cost_centres", "control_totals"],
    "properties": {
        "close": {"type": "integer"},
        "period": {"type": "string"},
        "version": {"type": "integer"},
        "payments_digest": {"type": "string", "description": "SHA-256 of the close's earning entries."},
        "cost_centres": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "cost_centre": {"type": "string"},
                    "people": {"type": "integer"},
                    **SUMS_SCHEMA,
                },
            },
        },
        "control_totals": {
            "type": "array",
            "description": "By currency; the payment file and the cost centres each add up to them.",
            "items": {"type": "object", "properties": SUMS_SCHEMA},
        },
    },
}


def _written(sums: Sums) -> dict[str, Any]:
    code, exponent = sums.currency.code, sums.currency.exponent
    amounts = (sums.earned, sums.prior, sums.draw, sums.recovery, sums.total)
    return {
        "currency": code,
        "entries": sums.entries,
        **{name: money(minor, code, exponent) for name, minor in zip(AMOUNTS, amounts, strict=True)},
    }


class Accruals(ForThosePaid, Computed):
    """By cost centre; for comp admins and auditors."""

    parameters = ("close",)

    @extend_schema(
        summary="What a close charges to each cost centre, with control totals",
        parameters=[OpenApiParameter("close", OpenApiTypes.INT, description="The last close if left out.")],
        responses={200: ACCRUAL_SCHEMA},
    )
    def get(self, request: Request) -> Response:
        if not self.viewer.sees_everything:
            raise NotFound.of("not_found", "There is nothing here that you can see.")
        asked = request.query_params.get("close")
        closes = PeriodClose.objects.filter(state__in=PAID).select_related("period")
        if asked is not None:
            known = asked.isdecimal() and len(asked) < 16
            found = closes.filter(pk=int(asked)).first() if known else None
            if found is None:
                raise BadQuery(("close", "unknown_close", "There is no such close."))
        else:
            found = closes.order_by("-approved_at", "-pk").first()
        if found is None:
            raise NotFound.of("no_close", "No month has been closed yet.")
        entries = EarningEntry.objects.filter(close=found)
        return Response(
            {
                "close": found.pk,
                "period": found.period.name,
                "version": found.version,
                "payments_digest": found.payments_digest,
                "cost_centres": [
                    {"cost_centre": each.code, "people": each.people, **_written(each.sums)}
                    for each in accrual(entries)
                ],
                "control_totals": [_written(sums) for sums in control_totals(entries)],
            }
        )
