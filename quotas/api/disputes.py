"""Disputes over REST: read with their evidence, opened, answered; and the numbers that moved."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import NumberFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import Invalid, NotFound, Problem
from config.rest.filters import Choices, Flag, Words
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.adjustments import MeasuredInput, NewAdjustment, amount_of, draft_of
from quotas.api.filters import PeriodFilter
from quotas.api.measured import MEASURED_OR_NULL, MeasuredField, measured
from quotas.api.resources import Out
from quotas.api.viewer import Seen
from quotas.models import (
    AdjustmentState,
    Discrepancy,
    Dispute,
    DisputeKind,
    DisputeMessage,
    DisputeState,
    Measure,
    Period,
    Rep,
)
from quotas.selectors import adjustments as adjusting
from quotas.selectors import discrepancies as moved
from quotas.selectors import disputes as selectors
from quotas.services import disputes as services
from quotas.services.disputes import DisputeDraft

LARGEST_ID = 2**63 - 1


class DisputeMessageResource(Out):
    by = serializers.CharField(source="by.name")
    at = serializers.DateTimeField()
    text = serializers.CharField()
    became = serializers.ChoiceField(
        DisputeState.choices, allow_blank=True, help_text="The state that it went into; empty if it did not."
    )


class DisputeAdjustmentResource(Out):
    id = serializers.IntegerField()
    reference = serializers.CharField()
    state = serializers.ChoiceField(AdjustmentState.choices)


class DisputeResource(Out):
    """A dispute with its thread and what stood when it was opened."""

    id = serializers.IntegerField()
    reference = serializers.CharField()
    kind = serializers.ChoiceField(DisputeKind.choices)
    state = serializers.ChoiceField(DisputeState.choices)
    rep = serializers.SlugField(source="rep.slug", help_text="Whose number it is about.")
    deal = serializers.IntegerField(source="deal_id", allow_null=True)
    credit = serializers.IntegerField(source="entry_id", allow_null=True, help_text="The credit entry.")
    period = serializers.CharField(source="period.name", default=None, allow_null=True)
    measure = serializers.SlugField(source="measure.slug", default=None, allow_null=True)
    claimed = serializers.SerializerMethodField(help_text="What it ought to be, if that was said.")
    text = serializers.CharField()
    opened_by = serializers.CharField(source="opened_by.name")
    opened_at = serializers.DateTimeField()
    due_at = serializers.DateTimeField(help_text="When an answer is owed.")
    assigned_to = serializers.CharField(source="assigned_to.name", default=None, allow_null=True)
    taken_at = serializers.DateTimeField(allow_null=True)
    resolved_by = serializers.CharField(source="resolved_by.name", default=None, allow_null=True)
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.CharField(allow_blank=True)
    evidence = serializers.JSONField(
        help_text="Frozen. People by id; amounts in minor units of their measure."
    )
    evidence_digest = serializers.CharField(
        help_text="SHA-256 of the evidence as JSON with sorted keys, no spaces and no escapes beyond JSON's own."
    )
    messages = DisputeMessageResource(many=True, source="messages.all")
    adjustments = DisputeAdjustmentResource(many=True, source="adjustments.all")
    revision = serializers.IntegerField(help_text="Counts every change.")

    @extend_schema_field(MEASURED_OR_NULL)
    def get_claimed(self, dispute: Dispute) -> Any:
        return None if dispute.measure is None else measured(dispute.claimed_minor, dispute.measure)


class NewDispute(Strict):
    """What is wrong with which number."""

    rep = serializers.SlugField(
        required=False, max_length=80, help_text="Whose number; one's own if it is left out."
    )
    kind = serializers.ChoiceField(DisputeKind.choices)
    text = serializers.CharField(max_length=services.LONGEST)
    credit = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=LARGEST_ID
    )
    deal = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=LARGEST_ID
    )
    quota = serializers.IntegerField(
        required=False, allow_null=True, default=None, min_value=1, max_value=LARGEST_ID
    )
    period = serializers.CharField(required=False, allow_null=True, default=None, max_length=10)
    measure = serializers.SlugField(required=False, allow_null=True, default=None, max_length=40)
    claimed = MeasuredInput(required=False, allow_null=True, default=None, help_text="What it ought to be.")


class Said(Strict):
    text = serializers.CharField(max_length=services.LONGEST)


class Answer(Strict):
    """accept with an adjustment asks for it; without one it was corrected at the source."""

    text = serializers.CharField(max_length=services.LONGEST)
    adjustment = NewAdjustment(required=False, allow_null=True, default=None)


class Leaving(Strict):
    text = serializers.CharField(max_length=services.LONGEST, required=False, allow_blank=True, default="")


class Nothing(Strict):
    """No content."""


class DisputeFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(choices=DisputeState.choices)
    kind = Choices(choices=DisputeKind.choices)
    rep = Words(field_name="rep__slug")
    deal = NumberFilter(field_name="deal_id", decimal_places=0, max_digits=18)
    period = PeriodFilter(field_name="period")

    class Meta:
        model = Dispute
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Disputes that you may see, the latest first"),
    retrieve=extend_schema(summary="One dispute, with its thread and evidence"),
)
class Disputes(Seen, Resources):
    """A rep's own, a manager's reps', all for comp admins; auditors read."""

    serializer_class = DisputeResource
    filterset_class = DisputeFilters
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*selectors.READERS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Dispute]:
        if self.described:
            return Dispute.objects.none()
        user, on = self.viewer.user, self.viewer.on
        return selectors.with_names(selectors.disputes_for(user, on)).prefetch_related(
            Prefetch("messages", DisputeMessage.objects.select_related("by").order_by("pk")),
            Prefetch("adjustments", adjusting.adjustments_for(user, on).order_by("pk")),
        )

    @extend_schema(summary="Open a dispute", request=NewDispute, responses={201: DisputeResource})
    def create(self, request: Request) -> Response:
        """What stands is frozen with it. About a credit, a deal, a quota or a period."""
        asked = self.body(NewDispute).validated_data
        rep = Rep.objects.filter(slug=asked["rep"]).first() if asked.get("rep") else self.viewer.rep
        if rep is None:
            raise NotFound.of("nothing_to_dispute", "There is no such number that is yours to dispute.")
        measure = (
            Measure.objects.select_related("currency").filter(slug=asked["measure"]).first()
            if asked["measure"]
            else None
        )
        period = Period.objects.filter(name=asked["period"]).first() if asked["period"] else None
        missing = [
            Problem(f"unknown_{name}", f"There is no {name} of that name.", f"/{name}")
            for name, found in (("measure", measure), ("period", period))
            if asked[name] and found is None
        ]
        if missing:
            raise Invalid(*missing)
        claimed = None
        if asked["claimed"] is not None:
            if measure is None:
                raise Invalid.of("measure_missing", "Say in which measure you mean the amount.", "/measure")
            claimed = amount_of(asked["claimed"], measure, "/claimed")
        return self.created(
            services.open_dispute(
                draft=DisputeDraft(
                    rep_id=rep.pk,
                    kind=asked["kind"],
                    text=asked["text"],
                    entry_id=asked["credit"],
                    deal_id=asked["deal"],
                    quota_id=asked["quota"],
                    period_id=period.pk if period else None,
                    measure_id=measure.pk if measure else None,
                    claimed_minor=claimed,
                ),
                by=self.caller,
                at=self.at,
            )
        )

    @extend_schema(summary="Write into the thread", request=Said, responses=DisputeResource)
    @action(detail=True, methods=["post"])
    def say(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.matched(row)
        services.say(
            dispute_id=row.pk, text=self.body(Said).validated_data["text"], by=self.caller, at=self.at
        )
        return self.answer(self.get_queryset().get(pk=row.pk))

    @extend_schema(summary="Look into it", request=Nothing, responses=DisputeResource)
    @action(detail=True, methods=["post"])
    def take(self, request: Request, pk: str) -> Response:
        return self.act(services.take, "dispute_id")

    @extend_schema(summary="Accept it", request=Answer, responses=DisputeResource)
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        asked = self.body(Answer).validated_data
        given = asked["adjustment"]
        draft = draft_of(given, at="/adjustment") if given is not None else None
        return self.act(services.resolve, "dispute_id", accept=True, text=asked["text"], adjustment=draft)

    @extend_schema(summary="Reject it", request=Said, responses=DisputeResource)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        return self.act(
            services.resolve, "dispute_id", accept=False, text=self.body(Said).validated_data["text"]
        )

    @extend_schema(summary="Withdraw it", request=Leaving, responses=DisputeResource)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        return self.act(services.withdraw, "dispute_id", text=self.body(Leaving).validated_data["text"])


# Numbers that moved.


class DiscrepancyResource(Out):
    """A month's credit, restated, as it had been shown and as it is."""

    id = serializers.IntegerField()
    rep = serializers.SlugField(source="rep.slug")
    measure = serializers.SlugField(source="measure.slug")
    period = serializers.CharField(source="period.name")
    shown = MeasuredField(minor="shown_minor", help_text="Before the posting.")
    now = MeasuredField(minor="now_minor", help_text="After it.")
    cause = serializers.SerializerMethodField(help_text="What the posting followed from.")
    reason = serializers.CharField(source="posting.reason", allow_blank=True)
    posting = serializers.IntegerField(source="posting_id")
    posted_at = serializers.DateTimeField(source="posting.recorded_at")
    seen_at = serializers.DateTimeField(allow_null=True)

    def get_cause(self, row: Discrepancy) -> str:
        return moved.cause_of(row.posting).text


class DiscrepancyFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    rep = Words(field_name="rep__slug")
    measure = Words(field_name="measure__slug")
    period = PeriodFilter(field_name="period")
    posting = NumberFilter(field_name="posting_id", decimal_places=0, max_digits=18)
    seen = Flag(field_name="seen_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Discrepancy
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Numbers that moved after they had been shown, the latest first"),
    retrieve=extend_schema(summary="One number that moved"),
)
class Discrepancies(Seen, Resources):
    """A rep's own, a manager's reps', all for comp admins and auditors."""

    serializer_class = DiscrepancyResource
    filterset_class = DiscrepancyFilters
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*selectors.READERS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Discrepancy]:
        if self.described:
            return Discrepancy.objects.none()
        return moved.with_names(moved.discrepancies_for(self.viewer.user, self.viewer.on))
