"""Customer accounts over REST: whose they are, and how far what they committed to is drawn down. RULES 19."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.refusals import Invalid, NotFound
from config.rest.fields import MoneyField
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.models import Currency, Customer
from marketplace.services.commitments import LONGEST_NAME, LONGEST_REASON, end_commitment, record_commitment
from quotas.api.filters import CustomerFilters
from quotas.api.resources import Out
from quotas.api.viewer import Internal
from quotas.selectors import accounts as selectors

PK = [OpenApiParameter("slug", OpenApiTypes.STR, OpenApiParameter.PATH)]


class CommitmentResource(Out):
    """What a customer has committed to spend in [starts, ends), and how far that is drawn down today."""

    id = serializers.IntegerField(source="commitment.pk")
    name = serializers.CharField(source="commitment.name")
    starts = serializers.DateField(source="commitment.effective.lower")
    ends = serializers.DateField(
        source="commitment.effective.upper", help_text="The first day on which nothing draws it any more."
    )
    amount = MoneyField(minor="commitment.amount_minor", currency="commitment.currency")
    drawn = MoneyField(minor="drawn", currency="commitment.currency")
    estimated = MoneyField(
        minor="estimated",
        currency="commitment.currency",
        help_text="The part of what is drawn that is not billed yet.",
    )
    left = MoneyField(minor="left", currency="commitment.currency")
    beyond = MoneyField(
        minor="beyond",
        currency="commitment.currency",
        help_text="Eligible spend for which no commitment had room.",
    )
    expected = MoneyField(
        minor="expected",
        currency="commitment.currency",
        help_text="What even spending would have drawn by now.",
    )
    shortfall = MoneyField(
        minor="shortfall",
        currency="commitment.currency",
        help_text="What would be left on its last day if it goes on as so far.",
    )
    standing = serializers.CharField(source="standing.word")


class AccountResource(Out):
    slug = serializers.SlugField(source="customer.slug")
    name = serializers.CharField(source="customer.name")
    segment = serializers.CharField(source="customer.segment")
    region = serializers.CharField(source="customer.region")
    country = serializers.CharField(source="customer.country")
    owner = serializers.CharField(
        allow_blank=True, help_text="Empty where nobody owns it, or whose it is may not be seen."
    )
    open_deals = serializers.IntegerField(help_text="Of those that you may see.")
    won_deals = serializers.IntegerField(help_text="Of those that you may see.")
    next_renewal = serializers.DateField(source="renews", allow_null=True)
    commitments = CommitmentResource(source="draws", many=True)


class CommitmentBody(Strict):
    name = serializers.CharField(max_length=LONGEST_NAME)
    amount = MoneyField()
    starts = serializers.DateField()
    ends = serializers.DateField(help_text="The first day on which nothing draws it any more.")
    reason = serializers.CharField(max_length=LONGEST_REASON)


class CommitmentEnd(Strict):
    ends = serializers.DateField(help_text="The first day on which nothing draws it any more.")
    reason = serializers.CharField(max_length=LONGEST_REASON)


@extend_schema_view(
    list=extend_schema(summary="Accounts that you may see, with what they have committed to"),
    retrieve=extend_schema(summary="One account"),
)
class Accounts(Internal, Resources):
    """One's own and one's teams', or all. A fixed number of queries a page."""

    serializer_class = AccountResource
    filterset_class = CustomerFilters
    keyset = ("name", "id")
    lookup_field = "slug"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*selectors.READERS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[Customer]:
        if self.described:
            return Customer.objects.none()
        return selectors.accounts_for(self.viewer.user, self.viewer.on)

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Customers are given their figures, all of a page at once."""
        if not args:
            return super().get_serializer(*args, **kwargs)
        page: Sequence[Customer] = args[0] if kwargs.get("many") else [args[0]]
        found = selectors.rows(page, self.viewer.user, self.viewer.on)
        return super().get_serializer(found if kwargs.get("many") else found[0], *args[1:], **kwargs)

    @extend_schema(
        summary="Record a commitment of the customer",
        request=CommitmentBody,
        responses={201: AccountResource},
    )
    @action(detail=True, methods=["post"])
    def commitments(self, request: Request, slug: str) -> Response:
        customer = self.get_object()
        self.matched(customer)
        sent = self.body(CommitmentBody).validated_data
        currency = Currency.objects.filter(code=sent["amount"].currency).first()
        if currency is None:
            raise Invalid.of("currency_unknown", "There is no such currency.", "/amount/currency")
        record_commitment(
            customer_id=customer.pk,
            name=sent["name"],
            amount_minor=sent["amount"].minor(currency.exponent, pointer="/amount"),
            currency=currency.code,
            starts=sent["starts"],
            ends=sent["ends"],
            reason=sent["reason"],
            by=self.caller,
            at=self.at,
        )
        return self.answer(customer, status=201)

    @extend_schema(
        summary="Let a commitment end sooner",
        parameters=[*PK, OpenApiParameter("commitment", OpenApiTypes.INT, OpenApiParameter.PATH)],
        request=CommitmentEnd,
        responses=AccountResource,
    )
    @action(detail=True, methods=["post"], url_path="commitments/(?P<commitment>[0-9]{1,18})/end")
    def end_commitment(self, request: Request, slug: str, commitment: str) -> Response:
        customer = self.get_object()
        self.matched(customer)
        sent = self.body(CommitmentEnd).validated_data
        end_commitment(
            commitment_id=int(commitment),
            customer_id=customer.pk,
            ends=sent["ends"],
            reason=sent["reason"],
            by=self.caller,
            at=self.at,
        )
        return self.answer(customer)
