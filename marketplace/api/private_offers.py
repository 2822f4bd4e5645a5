"""Private offers over REST. Catalog managers make and decide them; who else sees which is selectors/private_offers.py."""

from decimal import Decimal
from typing import Any

from django.db.models import QuerySet
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config import clock
from config.formats import iso
from config.refusals import Forbidden, Invalid, Problem, refuse_if_any
from config.rest.filters import Choices
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT, PriceRowShape, price_row_body
from marketplace.models import Customer, Plan, PrivateOffer, PrivateOfferState
from marketplace.selectors.private_offers import may_see_customers, private_offers_for
from marketplace.services import private_offers
from marketplace.services.pricing import RowDraft
from marketplace.services.private_offers import OfferDraft

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class PrivateOfferResource(serializers.Serializer[Any]):
    """A price for one customer. A publisher's own people read customer, note and the names of people as null."""

    id = serializers.IntegerField()
    reference = TEXT()
    offering = TEXT()
    plan = TEXT()
    customer = TEXT(allow_null=True)
    currency = TEXT()
    effective_from = DAY()
    effective_until = DAY(allow_null=True, help_text="First day on which it no longer holds.")
    open_until = DAY(help_text="Last day on which it can be accepted.")
    state = serializers.ChoiceField(choices=PrivateOfferState.choices)
    note = TEXT(allow_null=True)
    rows = PriceRowShape(many=True)
    price_version = serializers.IntegerField()
    made_at = serializers.DateTimeField()
    sent_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decided_by = TEXT(allow_null=True, help_text="Who accepted or declined for the customer.")
    revision = serializers.IntegerField()

    def to_representation(self, instance: PrivateOffer) -> dict[str, Any]:
        inside = may_see_customers(self.context["view"].caller)
        return {
            "id": instance.pk,
            "reference": instance.reference,
            "offering": instance.plan.offering.slug,
            "plan": instance.plan.slug,
            "customer": instance.customer.slug if inside else None,
            "currency": instance.price.currency_id,
            "effective_from": iso(instance.effective.lower),
            "effective_until": iso(instance.effective.upper),
            "open_until": iso(instance.open_until),
            "state": instance.state,
            "note": instance.note if inside else None,
            "rows": [price_row_body(row, instance.price) for row in instance.price.rows.all()],
            "price_version": instance.price.pk,
            "made_at": instance.made_at.isoformat(),
            "sent_at": instance.sent_at.isoformat() if instance.sent_at else None,
            "decided_at": instance.decided_at.isoformat() if instance.decided_at else None,
            "decided_by": (instance.decided_by or None) if inside else None,
            "revision": instance.revision,
        }


class RowBody(Strict):
    meter = serializers.SlugField(max_length=40)
    per = serializers.IntegerField(min_value=1, max_value=2_000_000_000)
    unit = serializers.CharField(max_length=20)
    tier_from = serializers.IntegerField(required=False, default=0, min_value=0, max_value=10**15)
    above_context = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2_000_000_000)
    amount = serializers.DecimalField(
        max_digits=20, decimal_places=10, min_value=Decimal(0), allow_null=True, help_text="Null is unknown."
    )


class NewPrivateOffer(Strict):
    offering = serializers.SlugField(max_length=80)
    plan = serializers.SlugField(max_length=60)
    customer = serializers.SlugField(max_length=80)
    currency = serializers.CharField(max_length=3, default="USD")
    effective_from = serializers.DateField()
    effective_until = serializers.DateField(allow_null=True, required=False, default=None)
    open_until = serializers.DateField()
    note = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)
    rows = RowBody(many=True)

    def draft(self) -> OfferDraft:
        """Raises Invalid for names that stand for nothing."""
        read = self.validated_data
        plan = Plan.objects.filter(slug=read["plan"], offering__slug=read["offering"]).first()
        customer = Customer.objects.filter(slug=read["customer"]).first()
        wrong = []
        if plan is None:
            wrong.append(Problem("unknown_plan", "There is no such plan of this offering.", "/plan"))
        if customer is None:
            wrong.append(Problem("unknown_customer", "There is no such customer.", "/customer"))
        refuse_if_any(wrong)
        if plan is None or customer is None:
            raise Invalid  # not reached: the line above has said so
        return OfferDraft(
            plan_id=plan.pk,
            customer_id=customer.pk,
            currency=read["currency"].upper(),
            start=read["effective_from"],
            end=read["effective_until"],
            open_until=read["open_until"],
            rows=[RowDraft(**row) for row in read["rows"]],
            note=read["note"],
        )


class DecidedBody(Strict):
    decided_by = serializers.CharField(max_length=160, help_text="Who decided for the customer.")


class WithdrawBody(Strict):
    reason = serializers.CharField(max_length=500, required=False, default="", allow_blank=True)


class PrivateOfferFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(choices=PrivateOfferState.choices)
    offering = CharFilter(field_name="plan__offering__slug")


@extend_schema_view(
    list=extend_schema(summary="Private offers that you may see"),
    retrieve=extend_schema(summary="One private offer", parameters=[BY_ID]),
)
class PrivateOffers(Resources):
    """A price for one customer: draft, sent, then accepted, declined, expired or withdrawn. Accepted, it is locked."""

    queryset = PrivateOffer.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = PrivateOfferResource
    filterset_class = PrivateOfferFilters
    keyset = ("-id",)

    def get_queryset(self) -> QuerySet[PrivateOffer]:
        return private_offers_for(self.caller)

    @extend_schema(
        summary="Draft a private offer", request=NewPrivateOffer, responses={201: PrivateOfferResource}
    )
    def create(self, request: Request) -> Response:
        if not self.caller.has_role("catalog_manager"):  # before a name in the body is looked up
            raise Forbidden.of("not_a_catalog_manager", "Only a catalog manager may do that.")
        draft = self.body(NewPrivateOffer).draft()
        return self.created(private_offers.draft_offer(draft=draft, by=self.caller, at=self.at))

    @extend_schema(
        summary="Send a draft to its customer",
        parameters=[BY_ID],
        request=None,
        responses=PrivateOfferResource,
    )
    @action(detail=True, methods=["post"])
    def send(self, request: Request, pk: str) -> Response:
        return self.act(private_offers.send_offer, "private_offer_id", on=clock.today())

    @extend_schema(
        summary="Record that the customer accepted",
        parameters=[BY_ID],
        request=DecidedBody,
        responses=PrivateOfferResource,
    )
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        read = self.body(DecidedBody).validated_data
        return self.act(private_offers.accept_offer, "private_offer_id", on=clock.today(), **read)

    @extend_schema(
        summary="Record that the customer declined",
        parameters=[BY_ID],
        request=DecidedBody,
        responses=PrivateOfferResource,
    )
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, pk: str) -> Response:
        read = self.body(DecidedBody).validated_data
        return self.act(private_offers.decline_offer, "private_offer_id", **read)

    @extend_schema(
        summary="Take a draft or sent offer back",
        parameters=[BY_ID],
        request=WithdrawBody,
        responses=PrivateOfferResource,
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        read = self.body(WithdrawBody).validated_data
        return self.act(private_offers.withdraw_offer, "private_offer_id", **read)
