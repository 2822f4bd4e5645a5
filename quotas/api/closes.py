"""Closes of a month over REST: its checklist, asking, approving, reopening; and the seals with their digests."""

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.models import Role
from config.refusals import NotFound, Stale
from config.rest import preconditions
from config.rest.representation import PlainJson
from config.rest.serializers import Strict
from config.rest.views import Computed, Resources
from quotas.api.resources import Out, PeriodResource
from quotas.api.viewer import Seen
from quotas.models import CloseState, Grain, Period, PeriodClose, Seal
from quotas.selectors import closing as selectors
from quotas.services import closing

STATES = [
    (selectors.OK, "Fine"),
    (selectors.BLOCKER, "Blocks the close"),
    (selectors.ACKNOWLEDGE, "Has to be acknowledged"),
]
NAME = OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH, description="Of a month: FY27-M01.")
ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class CheckResource(Out):
    slug = serializers.SlugField(help_text="By which it is acknowledged.")
    title = serializers.CharField()
    state = serializers.ChoiceField(STATES)
    sentence = serializers.CharField()
    count = serializers.IntegerField()
    needs_reason = serializers.BooleanField(source="reason")


class ChecklistResource(Out):
    """What stands in the way of closing a month, as it is now."""

    period = serializers.CharField()
    closable = serializers.BooleanField(help_text="Nothing blocks it.")
    items = CheckResource(many=True)


class KeptCheck(Out):
    slug = serializers.SlugField()
    title = serializers.CharField()
    state = serializers.ChoiceField(STATES)
    sentence = serializers.CharField()
    count = serializers.IntegerField()
    acknowledged_by = serializers.CharField(default=None, allow_null=True)
    reason = serializers.CharField(default="", allow_blank=True)


class SealResource(Out):
    """A link of the chain. Whoever keeps a digest can have the ledger checked against it."""

    number = serializers.IntegerField(help_text="From 1, without gaps.")
    digest = serializers.CharField(help_text="HMAC-SHA-256, hexadecimal; the key is outside the database.")
    before = serializers.CharField(
        source="content.before", help_text="Digest of the seal before; empty for the first."
    )
    key_name = serializers.CharField(help_text="The first digits of a hash of the key.")
    entries = serializers.IntegerField(help_text="Ledger entries that it adds to the chain.")
    made_at = serializers.DateTimeField()
    period = serializers.CharField(
        source="close.period.name", default=None, allow_null=True, help_text="Null for a nightly one."
    )
    version = serializers.IntegerField(source="close.version", default=None, allow_null=True)


class CloseResource(Out):
    """One close of a month: asked for by one comp admin, approved by another."""

    id = serializers.IntegerField()
    period = serializers.CharField(source="period.name")
    version = serializers.IntegerField()
    state = serializers.ChoiceField(CloseState.choices)
    note = serializers.CharField()
    asked_by = serializers.CharField(source="asked_by.name")
    asked_at = serializers.DateTimeField()
    approved_by = serializers.CharField(source="approved_by.name", default=None, allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True, help_text="Closed, or called back.")
    entries = serializers.IntegerField(allow_null=True, help_text="Entries posted in the month.")
    totals = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        help_text="By measure, in its minor units: direct, overlay, and what adjustments are of direct.",
    )
    frozen_digest = serializers.CharField(help_text="SHA-256 of the frozen totals and quotas.")
    statements_digest = serializers.CharField(help_text="SHA-256 over the digests of the statements.")
    payments_digest = serializers.CharField(help_text="SHA-256 of the earning entries.")
    digest = serializers.SerializerMethodField(help_text="Of its seal; null until it is sealed.")
    checklist = KeptCheck(many=True, help_text="As it stood when the close was approved.")
    reopen_asked_by = serializers.CharField(source="reopen_asked_by.name", default=None, allow_null=True)
    reopen_reason = serializers.CharField()
    reopened_by = serializers.CharField(source="reopened_by.name", default=None, allow_null=True)
    reopened_at = serializers.DateTimeField(allow_null=True)
    job = serializers.SerializerMethodField(help_text="Address of its progress; null until it is approved.")

    @extend_schema_field({"type": ["string", "null"]})
    def get_digest(self, close: PeriodClose) -> str | None:
        return next((seal.digest for seal in close.seals.all()), None)

    @extend_schema_field({"type": ["string", "null"], "format": "uri"})
    def get_job(self, close: PeriodClose) -> str | None:
        if close.job_id is None:
            return None
        return str(reverse("job-detail", kwargs={"pk": close.job_id}, request=self.context.get("request")))


class NewClose(Strict):
    note = serializers.CharField(
        max_length=500, required=False, default="", allow_blank=True, help_text="For the one who approves."
    )


class Approval(Strict):
    acknowledged = serializers.DictField(
        child=serializers.CharField(max_length=500, allow_blank=True),
        required=False,
        default=dict,
        help_text="Slug of each thing on the checklist that is to be acknowledged, to what is said about it.",
    )


class Why(Strict):
    reason = serializers.CharField(max_length=500, help_text="Stands beside the version that is reopened.")


class Reviewed(Seen):
    """For comp admins; auditors read."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not selectors.sees_closes(self.caller):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def month(self) -> Period:
        """The month of the address."""
        return get_object_or_404(
            Period.objects.select_related("calendar"), name=self.kwargs["name"], grain=Grain.MONTH
        )

    def checklist(self, month: Period) -> dict[str, Any]:
        items = selectors.checklist(month, at=self.at)
        shown = {"period": month.name, "closable": not selectors.blockers(items), "items": items}
        return dict(ChecklistResource(shown).data)


@extend_schema_view(
    list=extend_schema(summary="Closes of a month, the latest first", parameters=[NAME]),
    retrieve=extend_schema(summary="One close of a month", parameters=[NAME, ID]),
)
class Closes(Reviewed, Resources):
    serializer_class = CloseResource
    filter_backends = ()
    keyset = ("-id",)

    def get_queryset(self) -> QuerySet[PeriodClose]:
        if self.described:
            return PeriodClose.objects.none()
        return selectors.closes().filter(period=self.month()).order_by().prefetch_related("seals")

    @extend_schema(
        summary="Ask for a month to be closed",
        parameters=[NAME],
        request=NewClose,
        responses={201: CloseResource},
    )
    def create(self, request: Request, name: str) -> Response:
        """Another comp admin approves. From now on nothing posts into the month. 409 names every blocker."""
        given = self.body(NewClose).validated_data
        made = closing.ask_close(period_id=self.month().pk, by=self.caller, at=self.at, note=given["note"])
        where = reverse("close-detail", kwargs={"name": name, "pk": made.pk}, request=request)
        return self.answer(self.get_queryset().get(pk=made.pk), status=201, headers={"Location": str(where)})

    @extend_schema(
        summary="Approve a close", parameters=[NAME, ID], request=Approval, responses=CloseResource
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, name: str, pk: str) -> Response:
        """By another person than the one who asked. The close runs in the background: see its job."""
        return self._act(
            lambda close: closing.approve_close(
                close_id=close.pk,
                by=self.caller,
                at=self.at,
                acknowledged=self.body(Approval).validated_data["acknowledged"],
            )
        )

    @extend_schema(
        summary="Call back a request to close or to reopen",
        parameters=[NAME, ID],
        request=NewClose,
        responses=CloseResource,
    )
    @action(detail=True, methods=["post"])
    def call_back(self, request: Request, name: str, pk: str) -> Response:
        given = self.body(NewClose).validated_data
        return self._act(
            lambda close: closing.call_back(close_id=close.pk, by=self.caller, at=self.at, note=given["note"])
        )

    @extend_schema(
        summary="Let a close that stopped half way go on",
        parameters=[NAME, ID],
        request=None,
        responses=CloseResource,
    )
    @action(detail=True, methods=["post"])
    def go_on(self, request: Request, name: str, pk: str) -> Response:
        return self._act(lambda close: closing.go_on(close_id=close.pk, by=self.caller, at=self.at))

    @extend_schema(
        summary="Ask for a closed month to be reopened",
        parameters=[NAME, ID],
        request=Why,
        responses=CloseResource,
    )
    @action(detail=True, methods=["post"])
    def ask_reopen(self, request: Request, name: str, pk: str) -> Response:
        """The last closed month of its calendar alone; another comp admin reopens it."""
        given = self.body(Why).validated_data
        return self._act(
            lambda close: closing.ask_reopen(
                period_id=close.period_id, reason=given["reason"], by=self.caller, at=self.at
            )
        )

    @extend_schema(
        summary="Reopen a closed month", parameters=[NAME, ID], request=None, responses=CloseResource
    )
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, name: str, pk: str) -> Response:
        """By another person than the one who asked. What was closed stays beside the next version."""
        return self._act(lambda close: closing.reopen(close_id=close.pk, by=self.caller, at=self.at))

    def _act(self, service: Any) -> Response:
        close = self.get_object()
        self.matched(close)
        service(close)
        return self.answer(self.get_queryset().get(pk=close.pk))


class Checklist(Reviewed, Computed):
    @extend_schema(
        summary="What stands in the way of closing a month",
        operation_id="periods_checklist_retrieve",
        parameters=[NAME],
        responses=ChecklistResource,
    )
    def get(self, request: Request, name: str) -> Response:
        month = self.month()
        return Response(self.checklist(month))


class Opening(Reviewed, Computed):
    @extend_schema(
        summary="Open a future month",
        operation_id="periods_open_create",
        parameters=[NAME],
        request=None,
        responses=ChecklistResource,
    )
    def post(self, request: Request, name: str) -> Response:
        """It takes credit from now on. Answers with its checklist; If-Match takes the ETag of the period or of its checklist."""
        month = self.month()
        self._refuse_if_stale(month)
        month = closing.open_month(period_id=month.pk, by=self.caller, at=self.at)
        return Response(self.checklist(month))

    def _refuse_if_stale(self, month: Period) -> None:
        if not preconditions.asks_for_match(self.request._request):
            return
        known = (PeriodResource(month).data, self.checklist(month))
        tags = [preconditions.etag(PlainJson().render(body)) for body in known]
        if not any(preconditions.matches(self.request._request, tag) for tag in tags):
            raise Stale.of("stale", "It has changed since you read it: read it again and decide anew.")


class SealFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    digest = CharFilter(
        field_name="digest",
        lookup_expr="istartswith",
        help_text="As somebody kept it; its beginning is enough.",
    )
    period = CharFilter(field_name="close__period__name")

    class Meta:
        model = Seal
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Seals of the ledger, the latest first"),
    retrieve=extend_schema(
        summary="One seal", parameters=[OpenApiParameter("number", OpenApiTypes.INT, OpenApiParameter.PATH)]
    ),
)
class Seals(Seen, Resources):
    """For comp admins, auditors and executives: the digest is meant to be kept elsewhere."""

    serializer_class = SealResource
    filterset_class = SealFilters
    keyset = ("-number",)
    lookup_field = "number"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(Role.COMP_ADMIN, Role.AUDITOR, Role.SOURCING_LEAD):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Seal]:
        return Seal.objects.select_related("close__period")
