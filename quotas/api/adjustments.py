"""Adjustments over REST: read, asked for, decided by a second person, undone."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django_filters import NumberFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.formats import COUNT_EXPONENT
from config.refusals import Invalid, NotFound, Problem, refuse_if_any
from config.rest.fields import PLAIN, Money, MoneyField
from config.rest.filters import Choices, Words
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.filters import PeriodFilter
from quotas.api.measured import MEASURED_SCHEMA, MeasuredField
from quotas.api.resources import Out
from quotas.api.viewer import Seen
from quotas.models import Adjustment, AdjustmentReason, AdjustmentState, Measure, Rep
from quotas.selectors import adjustments as selectors
from quotas.services import adjusting
from quotas.services.adjusting import BY_HAND, AdjustmentDraft


@extend_schema_field(MEASURED_SCHEMA)
class MeasuredInput(serializers.Field[Any, Any, Any, Any]):
    """Reads money, or a decimal string of a count; amount_of() brings it into the measure."""

    default_error_messages = {
        "not_a_decimal": 'Write a count as a plain decimal in a string, such as "2.5", and money as {{"amount": "3.00", "currency": "USD"}}.'
    }

    def to_internal_value(self, data: Any) -> Money | Decimal:
        if isinstance(data, Mapping):
            return MoneyField().to_internal_value(data)
        if not isinstance(data, str) or not PLAIN.fullmatch(data):
            self.fail("not_a_decimal")
        return Decimal(data)


def amount_of(value: Money | Decimal, measure: Measure, pointer: str) -> int:
    """Minor units of the measure. Raises Invalid where it is of another currency, or finer than that one."""
    if isinstance(value, Money):
        if measure.currency is None or measure.currency.code != value.currency:
            asks = f"is in {measure.currency.code}" if measure.currency else "counts: write a decimal string"
            raise Invalid.of("currency_mismatch", f"{measure.name} {asks}.", f"{pointer}/currency")
        return value.minor(measure.currency.exponent, pointer=pointer)
    if measure.currency is not None:
        raise Invalid.of(
            "currency_missing",
            f'{measure.name} is in {measure.currency.code}: write {{"amount": "3.00", "currency": "{measure.currency.code}"}}.',
            pointer,
        )
    scaled = value.scaleb(COUNT_EXPONENT)
    if scaled != scaled.to_integral_value():
        raise Invalid.of(
            "too_many_digits", f"A count has at most {COUNT_EXPONENT} digits after the point.", pointer
        )
    return int(scaled)


class AdjustmentResource(Out):
    """Credit given or taken by hand. A decided one never changes; it is undone by another one."""

    id = serializers.IntegerField()
    reference = serializers.CharField()
    state = serializers.ChoiceField(AdjustmentState.choices)
    rep = serializers.SlugField(source="rep.slug")
    team = serializers.SlugField(source="team.slug", help_text="The rep's on the credit date.")
    measure = serializers.SlugField(source="measure.slug")
    amount = MeasuredField(help_text="Negative takes credit away.")
    credit_date = serializers.DateField()
    origin_period = serializers.CharField(
        source="origin_period.name", help_text="The month of the credit date."
    )
    reason_code = serializers.ChoiceField(AdjustmentReason.choices)
    note = serializers.CharField()
    deal = serializers.IntegerField(
        source="deal_id", allow_null=True, help_text="What it is about; cancelling the deal undoes it."
    )
    dispute = serializers.IntegerField(source="dispute_id", allow_null=True)
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    undone_by = serializers.SerializerMethodField(
        help_text="The posted or waiting one that negates it exactly."
    )
    asked_by = serializers.CharField(source="asked_by.name")
    asked_at = serializers.DateTimeField()
    decided_by = serializers.CharField(source="decided_by.name", default=None, allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decision_note = serializers.CharField(allow_blank=True)

    def get_undone_by(self, adjustment: Adjustment) -> int | None:
        undo = getattr(adjustment, "undone_by", None)
        return undo.pk if undo is not None else None


class NewAdjustment(Strict):
    """What is asked for. Another comp admin decides; nothing is posted before."""

    rep = serializers.SlugField(max_length=80)
    measure = serializers.SlugField(max_length=40)
    amount = MeasuredInput(help_text="Negative takes credit away.")
    credit_date = serializers.DateField()
    reason_code = serializers.ChoiceField([(each.value, each.label) for each in BY_HAND])
    note = serializers.CharField(max_length=adjusting.LONGEST_NOTE)
    deal = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=2**63 - 1
    )
    dispute = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=2**63 - 1
    )
    confirmed = serializers.BooleanField(
        required=False, default=False, help_text="That a credit date longer than a year ago is meant."
    )


def draft_of(asked: Mapping[str, Any], *, at: str = "") -> AdjustmentDraft:
    """What was sent, as the service takes it. at: where in the body it stands. Raises Invalid."""
    rep = Rep.objects.filter(slug=asked["rep"]).first()
    measure = Measure.objects.select_related("currency").filter(slug=asked["measure"]).first()
    refuse_if_any(
        Problem(f"unknown_{name}", f"There is no {name} of that name.", f"{at}/{name}")
        for name, found in (("rep", rep), ("measure", measure))
        if found is None
    )
    if rep is None or measure is None:
        raise Invalid.of("unknown_rep", "There is no rep of that name.", f"{at}/rep")
    return AdjustmentDraft(
        rep_id=rep.pk,
        measure_id=measure.pk,
        amount_minor=amount_of(asked["amount"], measure, f"{at}/amount"),
        credit_date=asked["credit_date"],
        reason_code=asked["reason_code"],
        note=asked["note"],
        deal_id=asked["deal"],
        dispute_id=asked["dispute"],
        confirmed=asked["confirmed"],
    )


class Note(Strict):
    note = serializers.CharField(
        max_length=adjusting.LONGEST_NOTE, required=False, allow_blank=True, default=""
    )


class AdjustmentFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(choices=AdjustmentState.choices)
    reason_code = Choices(choices=AdjustmentReason.choices)
    rep = Words(field_name="rep__slug")
    measure = Words(field_name="measure__slug")
    deal = NumberFilter(field_name="deal_id", decimal_places=0, max_digits=18)
    dispute = NumberFilter(field_name="dispute_id", decimal_places=0, max_digits=18)
    origin_period = PeriodFilter(field_name="origin_period")

    class Meta:
        model = Adjustment
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Adjustments that you may see, the latest first"),
    retrieve=extend_schema(summary="One adjustment"),
)
class Adjustments(Seen, Resources):
    """All for comp admins and auditors; a manager's teams'; of one's own credit what was posted."""

    serializer_class = AdjustmentResource
    filterset_class = AdjustmentFilters
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*selectors.READERS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Adjustment]:
        if self.described:
            return Adjustment.objects.none()
        return selectors.with_people(selectors.adjustments_for(self.viewer.user, self.viewer.on))

    @extend_schema(
        summary="Ask for an adjustment", request=NewAdjustment, responses={201: AdjustmentResource}
    )
    def create(self, request: Request) -> Response:
        """For comp admins, and for managers of the rep. Another comp admin approves it."""
        draft = draft_of(self.body(NewAdjustment).validated_data)
        return self.created(adjusting.ask_adjustment(draft=draft, by=self.caller, at=self.at))

    @extend_schema(summary="Approve and post it", request=Note, responses=AdjustmentResource)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        return self._decide(approve=True)

    @extend_schema(summary="Turn it down", request=Note, responses=AdjustmentResource)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self._decide(approve=False)

    @extend_schema(summary="Withdraw what you asked for", request=Note, responses=AdjustmentResource)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.matched(row)
        note = self.body(Note).validated_data["note"]
        adjusting.withdraw_adjustment(adjustment_id=row.pk, by=self.caller, at=self.at, note=note)
        return self.answer(self.get_queryset().get(pk=row.pk))

    @extend_schema(summary="Ask for its exact opposite", request=Note, responses={201: AdjustmentResource})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.matched(row)
        note = self.body(Note).validated_data["note"]
        return self.created(
            adjusting.undo_adjustment(adjustment_id=row.pk, by=self.caller, at=self.at, note=note)
        )

    def _decide(self, *, approve: bool) -> Response:
        row = self.get_object()
        self.matched(row)
        note = self.body(Note).validated_data["note"]
        adjusting.decide_adjustment(
            adjustment_id=row.pk, approve=approve, by=self.caller, at=self.at, note=note
        )
        return self.answer(self.get_queryset().get(pk=row.pk))
