"""Webhook endpoints and what became of each delivery, for the programs of a publisher and of the operator."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.rest.filters import Choices, Numbers
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.models import DeliveryState, WebhookDelivery, WebhookEndpoint, WebhookSecret
from marketplace.selectors.webhooks import KINDS, PING, deliveries_for, endpoints_for
from marketplace.services import webhooks

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class SecretShape(serializers.Serializer[Any]):
    """When a secret was made and when it ends; the secret itself is told once."""

    made_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


class EndpointResource(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    publisher = serializers.CharField(
        source="publisher.slug",
        default=None,
        allow_null=True,
        help_text="Whose changes it hears of; null is the operator's, which hears of all.",
    )
    url = serializers.URLField()
    about = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField(), help_text="Event types; empty is all.")
    enabled = serializers.SerializerMethodField()
    disabled_at = serializers.DateTimeField(allow_null=True)
    disabled_why = serializers.CharField()
    failing_since = serializers.DateTimeField(allow_null=True)
    made_at = serializers.DateTimeField()
    secrets = SecretShape(many=True)

    def get_enabled(self, endpoint: WebhookEndpoint) -> bool:
        return endpoint.disabled_at is None


class NewEndpointResource(EndpointResource):
    secret = serializers.CharField(help_text="Told this once: deliveries are signed with it.")


class EndpointBody(Strict):
    url = serializers.CharField(max_length=500, help_text="https, on the public internet.")
    about = serializers.CharField(max_length=200, required=False, allow_blank=True)
    kinds = serializers.ListField(
        child=serializers.CharField(max_length=40),
        required=False,
        max_length=len(KINDS),
        help_text=f"Any of {', '.join(KINDS)}; empty or left out is all.",
    )


class AttemptShape(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="HTTP; null when nothing came back.")
    error = serializers.CharField()
    milliseconds = serializers.IntegerField()


class DeliveryResource(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    endpoint = serializers.IntegerField(source="endpoint_id")
    message = serializers.CharField(help_text="The webhook-id: the same in every attempt and replay.")
    kind = serializers.CharField()
    state = serializers.ChoiceField(choices=DeliveryState.choices)
    payload = serializers.DictField()
    attempts = serializers.IntegerField()
    next_at = serializers.DateTimeField(allow_null=True, help_text="When it is tried next.")
    made_at = serializers.DateTimeField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    replay_of = serializers.IntegerField(source="replay_of_id", allow_null=True)
    tries = AttemptShape(many=True)


class SinceBody(Strict):
    since = serializers.DateTimeField(help_text="Messages made from this moment on.")


class ReplayedResource(serializers.Serializer[Any]):
    replayed = serializers.IntegerField()


class DeliveryFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    endpoint = Numbers(field_name="endpoint", lookup_expr="in", label="Ids.")
    state = Choices(field_name="state", lookup_expr="in", choices=DeliveryState.choices)
    kind = Choices(field_name="kind", lookup_expr="in", choices=[(k, k) for k in (*KINDS, PING)])
    message = CharFilter(field_name="message", label="A webhook-id.")

    class Meta:
        model = WebhookDelivery
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="Webhook endpoints of your publisher"),
    retrieve=extend_schema(summary="One webhook endpoint", parameters=[BY_ID]),
)
class WebhookEndpoints(Resources):
    """Deliveries are signed as Standard Webhooks say, come at least once, and are tried for some three days."""

    queryset = WebhookEndpoint.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = EndpointResource
    filter_backends = ()
    keyset = ("id",)

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        secrets = WebhookSecret.objects.order_by("id")
        return endpoints_for(self.caller).order_by().prefetch_related(Prefetch("secrets", queryset=secrets))

    @extend_schema(
        summary="Register an endpoint; its secret is told this once",
        request=EndpointBody,
        responses={201: NewEndpointResource},
    )
    def create(self, request: Request) -> Response:
        given = self.body(EndpointBody).validated_data
        endpoint, secret = webhooks.register_endpoint(
            url=given["url"],
            kinds=given.get("kinds", []),
            about=given.get("about", ""),
            by=self.caller,
            at=self.at,
        )
        answer = self.created(endpoint)
        answer.data = {**answer.data, "secret": secret}
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(
        summary="Change its address, what it is about, or what it hears of",
        request=EndpointBody(partial=True),
        responses=EndpointResource,
        parameters=[BY_ID],
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        revision = self.matched(row)
        given = self.body(EndpointBody, partial=True).validated_data
        webhooks.edit_endpoint(
            endpoint_id=row.pk, by=self.caller, at=self.at, expected_revision=revision, **given
        )
        return self.answer(self.get_queryset().get(pk=row.pk))

    @extend_schema(summary="Remove an endpoint for good", responses={204: None}, parameters=[BY_ID])
    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        revision = self.matched(row)
        webhooks.remove_endpoint(endpoint_id=row.pk, by=self.caller, at=self.at, expected_revision=revision)
        return Response(status=204)

    @extend_schema(
        summary="Make a new secret; the one before it signs too for a day",
        request=None,
        responses=NewEndpointResource,
        parameters=[BY_ID],
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret", url_name="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        _endpoint, secret = webhooks.rotate_secret(
            endpoint_id=row.pk, by=self.caller, at=self.at, expected_revision=self.matched(row)
        )
        answer = self.answer(self.get_queryset().get(pk=row.pk))
        answer.data = {**answer.data, "secret": secret}
        answer["Cache-Control"] = "no-store"
        return answer

    @extend_schema(
        summary="Send nothing more to it", request=None, responses=EndpointResource, parameters=[BY_ID]
    )
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        return self.act(webhooks.disable_endpoint, "endpoint_id")

    @extend_schema(
        summary="Send to it again from now on", request=None, responses=EndpointResource, parameters=[BY_ID]
    )
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        return self.act(webhooks.enable_endpoint, "endpoint_id")

    @extend_schema(
        summary="Owe it a test message", request=None, responses={202: DeliveryResource}, parameters=[BY_ID]
    )
    @action(detail=True, methods=["post"])
    def ping(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        delivery = webhooks.ping(
            endpoint_id=row.pk, by=self.caller, at=self.at, expected_revision=self.matched(row)
        )
        return Response(DeliveryResource(delivery).data, status=202)

    @extend_schema(
        summary="Owe again what was given up since a moment",
        request=SinceBody,
        responses={202: ReplayedResource},
        parameters=[BY_ID],
    )
    @action(detail=True, methods=["post"], url_path="replay-failed", url_name="replay-failed")
    def replay_failed(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        since = self.body(SinceBody).validated_data["since"]
        count = webhooks.replay_failed(
            endpoint_id=row.pk, since=since, by=self.caller, at=self.at, expected_revision=self.matched(row)
        )
        return Response({"replayed": count}, status=202)


@extend_schema_view(
    list=extend_schema(summary="Webhook deliveries, the latest first"),
    retrieve=extend_schema(summary="One webhook delivery with its attempts", parameters=[BY_ID]),
)
class WebhookDeliveries(Resources):
    """What was sent to your publisher's endpoints, what came back, and what is still to be tried."""

    queryset = WebhookDelivery.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = DeliveryResource
    filterset_class = DeliveryFilters
    keyset = ("-id",)

    def get_queryset(self) -> QuerySet[WebhookDelivery]:
        return deliveries_for(self.caller)

    @extend_schema(
        summary="Owe the message once more, under the same webhook-id",
        request=None,
        responses={202: DeliveryResource},
        parameters=[BY_ID],
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.matched(row)
        again = webhooks.replay(delivery_id=row.pk, by=self.caller, at=self.at)
        return Response(DeliveryResource(self.get_queryset().get(pk=again.pk)).data, status=202)
