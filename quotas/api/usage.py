"""Monthly usage by customer and offering: sent in rows, and read as it is credited."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from django.db.models import F, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import Forbidden, Invalid, NotFound, Problem, refuse_if_any
from config.rest.fields import MoneyField
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.bodies import API, SOURCE
from quotas.api.filters import UsageFilters
from quotas.api.resources import UsageRecorded, UsageResource
from quotas.api.viewer import KNOWS_CUSTOMERS, Seen
from quotas.models import DealKind, DealLine, DealState
from quotas.selectors.visibility import deals_for
from quotas.services.consumption import NamedUsage, may_record_usage, month_of, record_named_usage

MOST_ROWS = 1000


class UsageRowBody(Strict):
    customer = serializers.SlugField(max_length=80)
    offering = serializers.SlugField(max_length=80)
    plan = serializers.SlugField(max_length=60, required=False, allow_null=True, default=None)
    month = serializers.RegexField(r"^[12][0-9]{3}-(0[1-9]|1[0-2])$", help_text="Such as 2026-07.")
    consumed = MoneyField(help_text="What was metered: the estimate until the bill is known.")
    billed = MoneyField(
        required=False,
        allow_null=True,
        default=None,
        help_text="What was billed. A bill that is known stays if it is left out.",
    )
    quantity = serializers.DecimalField(
        max_digits=16, decimal_places=4, required=False, allow_null=True, default=None
    )


class UsageBody(Strict):
    source = serializers.CharField(  # type: ignore[assignment]  # a field of that name, not the attribute
        max_length=20,
        required=False,
        default=API,
        validators=[SOURCE],
        help_text="Where it comes from; api if left out. Usage of a month that came from one source does not come from another.",
    )
    rows = serializers.ListField(child=UsageRowBody(), min_length=1, max_length=MOST_ROWS)


@extend_schema_view(list=extend_schema(summary="Usage as it is credited, by customer, offering and month"))
class Usage(Seen, Resources):
    """Everybody's for comp admins and auditors, a manager's teams' accounts, a rep's own, and to a service what it has sent."""

    serializer_class = UsageResource
    filterset_class = UsageFilters
    keyset = ("-version__close_date", "-id")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*KNOWS_CUSTOMERS) and not may_record_usage(self.caller):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[DealLine]:
        """1 query, whatever the number of rows; those of deals_for come on top."""
        if self.described:
            return DealLine.objects.none()
        seen = deals_for(self.viewer.user, self.viewer.on).filter(state=DealState.APPROVED)
        return DealLine.objects.filter(
            version__kind=DealKind.CONSUMPTION,
            version=F("version__deal__credited_version"),
            version__deal__in=seen,
        ).select_related("version__deal__customer", "version__currency", "offering", "plan")

    @extend_schema(
        summary="Record usage, all rows or none; the same rows again change nothing",
        request=UsageBody,
        responses={200: UsageRecorded},
    )
    def create(self, request: Request) -> Response:
        if not may_record_usage(self.caller):
            raise Forbidden.of(
                "usage_needs_comp_admin", "Usage is recorded by comp admins and metering services."
            )
        read = self.body(UsageBody).validated_data
        rows, found = _named(read["rows"])
        counts: dict[str, int] = {}
        try:
            counts = record_named_usage(
                rows=rows, source=read["source"], by=self.caller, at=self.at, dry_run=bool(found)
            )
        except Invalid as wrong:
            found += [replace(problem, pointer=f"/rows{problem.pointer}") for problem in wrong.problems]
        refuse_if_any(found)
        return Response(UsageRecorded(counts).data)


def _named(sent: Sequence[Any]) -> tuple[list[NamedUsage], list[Problem]]:
    found = [
        Problem(
            "currency_differs",
            f"It was metered in {row['consumed'].currency}: that is what it is billed in.",
            f"/rows/{place}/billed/currency",
        )
        for place, row in enumerate(sent)
        if row["billed"] is not None and row["billed"].currency != row["consumed"].currency
    ]
    rows = [
        NamedUsage(
            customer=row["customer"],
            offering=row["offering"],
            month=month_of(row["month"]) or date.min,
            currency=row["consumed"].currency,
            consumed=row["consumed"].amount,
            billed=None if row["billed"] is None else row["billed"].amount,
            plan=row["plan"] or "",
            quantity=row["quantity"],
        )
        for row in sent
    ]
    return rows, found
