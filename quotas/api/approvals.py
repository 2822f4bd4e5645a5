"""Approvals over REST: the caller's queue, deciding on many deals at once, who stands in for whom, and the limits."""

from datetime import date
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from accounts.models import Role, User
from config.refusals import Invalid, NotFound
from config.rest.fields import Money, MoneyField, money
from config.rest.filters import Choices
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.models import Currency
from quotas.api.resources import MONEY_OR_NULL, Out
from quotas.api.viewer import Seen
from quotas.models import ApprovalLimit, Deal, Delegation
from quotas.selectors.approval_queue import Asked, Queue, Waiting, Why, places_of, rows_of
from quotas.selectors.approvers import deals_among, waiting_since
from quotas.selectors.delegations import Standing, delegations_for, may_read_delegations, standing_of
from quotas.services.approving import MOST_AT_ONCE, Decision, decide_deals
from quotas.services.delegating import delegate, end_delegation, set_limit

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
OUTCOMES = [
    (word, word.replace("_", " "))
    for word in ("approved", "first_approved", "returned", "rejected", "refused")
]


class ApprovalResource(Out):
    """A deal, or an amendment of one, that waits for the caller."""

    id = serializers.IntegerField(help_text="Of the deal.")
    reference = serializers.CharField()
    revision = serializers.IntegerField(
        help_text="To send with the decision, so that what was read is decided on."
    )
    deal = serializers.SerializerMethodField(help_text="Address of the deal.")
    owner = serializers.CharField(source="owner.slug")
    customer = serializers.CharField(source="customer.slug")
    amount = serializers.SerializerMethodField()
    waiting_since = serializers.SerializerMethodField()
    business_days = serializers.SerializerMethodField()
    due = serializers.SerializerMethodField(help_text="It waits longer than it should.")
    why = serializers.SerializerMethodField(help_text="Why it waits for a person.")
    amendment = serializers.SerializerMethodField()
    standing_in_for = serializers.SerializerMethodField(
        help_text="Whose approval it is, where the caller stands in for somebody."
    )
    limit = serializers.SerializerMethodField(help_text="The approval limit that it is above.")
    first_approved_by = serializers.SerializerMethodField(
        help_text="Who gave the first of two approvals; null while nobody has."
    )

    def _row(self, deal: Deal) -> Waiting:
        row: Waiting = self.context["waiting"][deal.pk]
        return row

    @extend_schema_field(OpenApiTypes.URI)
    def get_deal(self, deal: Deal) -> str:
        return str(reverse("deal-detail", kwargs={"pk": deal.pk}, request=self.context.get("request")))

    @extend_schema_field(MONEY_OR_NULL)
    def get_amount(self, deal: Deal) -> dict[str, str] | None:
        return money(self._row(deal).minor, deal.latest.currency_id, self._row(deal).decimals)

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_waiting_since(self, deal: Deal) -> str:
        return serializers.DateTimeField().to_representation(waiting_since(deal)) or ""

    def get_business_days(self, deal: Deal) -> int:
        return self._row(deal).days

    def get_due(self, deal: Deal) -> bool:
        return self._row(deal).due

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(Why.choices)))
    def get_why(self, deal: Deal) -> list[str]:
        return [str(why) for why in self._row(deal).why]

    def get_amendment(self, deal: Deal) -> bool:
        return deal.amended_at is not None

    def get_standing_in_for(self, deal: Deal) -> str | None:
        return self._row(deal).standing_in or None

    @extend_schema_field(MONEY_OR_NULL)
    def get_limit(self, deal: Deal) -> dict[str, str] | None:
        two = self._row(deal).two
        if two is None or two.most_minor is None or two.currency is None or two.exponent is None:
            return None
        return money(two.most_minor, two.currency, two.exponent)

    def get_first_approved_by(self, deal: Deal) -> str | None:
        return self._row(deal).first or None


class DecidedDealBody(Strict):
    id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    revision = serializers.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        allow_null=True,
        default=None,
        help_text="As it was read; a deal that has moved on since is refused.",
    )


class DecisionBody(Strict):
    decision = serializers.ChoiceField([(each.value, each.value) for each in Decision])
    deals = serializers.ListField(child=DecidedDealBody(), min_length=1, max_length=MOST_AT_ONCE)
    reason = serializers.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        default="",
        help_text="Needed to return and to reject.",
    )


class DecisionResult(Out):
    id = serializers.IntegerField(source="deal_id")
    reference = serializers.CharField()
    outcome = serializers.ChoiceField(OUTCOMES)
    code = serializers.CharField(source="problem.code", default=None, allow_null=True)
    message = serializers.CharField(source="problem.message", default=None, allow_null=True)


class DecisionResults(Out):
    """What became of each deal, in the order in which they were sent."""

    results = DecisionResult(many=True)


@extend_schema_view(
    list=extend_schema(
        summary="What waits for your decision",
        parameters=[
            OpenApiParameter(
                "why", OpenApiTypes.STR, enum=Why.values, description="Only what waits for this."
            ),
            OpenApiParameter("due", OpenApiTypes.BOOL, description="Only what waits longer than it should."),
        ],
    ),
    retrieve=extend_schema(summary="One deal that waits for your decision"),
)
class Approvals(Seen, Resources):
    """For managers, whoever stands in for them, and comp admins."""

    serializer_class = ApprovalResource
    keyset = ("id",)
    list_parameters = ("why", "due")

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(Role.MANAGER, Role.COMP_ADMIN):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    @cached_property
    def queue(self) -> Queue:
        """Without reading the deals: a page reads its own. A fixed number of queries."""
        why, due = self.request.query_params.get("why", ""), self.request.query_params.get("due", "false")
        if why and why not in Why.values:
            raise BadQuery(("why", "invalid_choice", f"Reasons are {', '.join(Why.values)}."))
        if due not in ("true", "false"):
            raise BadQuery(("due", "invalid", "Either true or false."))
        return places_of(
            self.caller,
            at=self.at,
            due_after=settings.APPROVAL_REMINDER_DAYS,
            asked=Asked(why=why, due=due == "true"),
        )

    def get_queryset(self) -> QuerySet[Deal]:
        if self.described:
            return Deal.objects.none()
        found = deals_among([place.deal_id for place in self.queue.places])
        return found.select_related("owner", "customer", "latest_version__currency")

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """With what the queue says of the deals that are written out, which are those of a page."""
        if args:
            rows = rows_of(self.queue, args[0] if kwargs.get("many") else args[:1])
            waiting = {row.deal.pk: row for row in rows}
            kwargs["context"] = {**self.get_serializer_context(), "waiting": waiting}
        return super().get_serializer(*args, **kwargs)

    @extend_schema(
        summary="Decide on up to 200 deals, each by itself",
        description="What cannot be decided is refused with a code and a message, and the others are done. Above the limit an approval is the first of two.",
        request=DecisionBody,
        responses=DecisionResults,
    )
    @action(detail=False, methods=["post"])
    def decide(self, request: Request) -> Response:
        read = self.body(DecisionBody).validated_data
        done = decide_deals(
            decision=read["decision"],
            deal_ids=[deal["id"] for deal in read["deals"]],
            by=self.caller,
            at=self.at,
            reason=read["reason"],
            revisions={
                deal["id"]: deal["revision"] for deal in read["deals"] if deal["revision"] is not None
            },
        )
        return Response(DecisionResults({"results": done}).data)


# --- who stands in for whom ----------------------------------------------------------------------------------


class DelegationResource(Out):
    id = serializers.IntegerField()
    of = serializers.EmailField(source="of.email", help_text="Whose approvals.")
    to = serializers.EmailField(source="to.email", help_text="Who decides meanwhile.")
    starts = serializers.DateField(source="effective.lower")
    ends = serializers.DateField(source="effective.upper", help_text="The first day that is no longer in it.")
    state = serializers.SerializerMethodField()
    reason = serializers.CharField()
    recorded_by = serializers.CharField(source="recorded_by.name")
    recorded_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(source="superseded_at", allow_null=True)

    @extend_schema_field(serializers.ChoiceField(Standing.choices))
    def get_state(self, delegation: Delegation) -> str:
        return standing_of(delegation, self.context["today"])


class DelegationBody(Strict):
    of = serializers.EmailField(required=False, help_text="A manager; yourself if left out.")
    to = serializers.EmailField(help_text="A manager or a comp admin.")
    starts = serializers.DateField()
    ends = serializers.DateField(help_text="The first day that is no longer in it.")
    reason = serializers.CharField(max_length=500)


class DelegationFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    state = Choices(choices=Standing.choices, method="in_state")

    class Meta:
        model = Delegation
        fields: list[str] = []

    def in_state(self, rows: QuerySet[Delegation], _name: str, states: list[str]) -> QuerySet[Delegation]:
        today: date = self.request.parser_context["view"].viewer.on
        wanted = Q(pk__in=[])
        for state in states:
            wanted |= {
                Standing.IN_FORCE: Q(superseded_at=None, effective__contains=today),
                Standing.AHEAD: Q(superseded_at=None, effective__startswith__gt=today),
                Standing.OVER: Q(superseded_at=None, effective__endswith__lte=today),
                Standing.ENDED: Q(superseded_at__isnull=False),
            }[Standing(state)]
        return rows.filter(wanted)


class _Standing(Seen, Resources):
    """What managers, comp admins and auditors read."""

    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not may_read_delegations(self.caller):
            raise NotFound.of("not_found", "There is nothing here that you can see.")


@extend_schema_view(
    list=extend_schema(summary="Who stands in for whom, the latest first"),
    retrieve=extend_schema(summary="One delegation", parameters=[BY_ID]),
)
class Delegations(_Standing):
    """A manager's own, from and to; everybody's for comp admins and auditors."""

    serializer_class = DelegationResource
    filterset_class = DelegationFilters

    def get_queryset(self) -> QuerySet[Delegation]:
        return Delegation.objects.none() if self.described else delegations_for(self.caller)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "today": self.viewer.on if not self.described else None}

    @extend_schema(
        summary="Let somebody decide for a manager",
        request=DelegationBody,
        responses={201: DelegationResource},
    )
    def create(self, request: Request) -> Response:
        read = self.body(DelegationBody).validated_data
        made = delegate(
            of_id=_named(read["of"]) if "of" in read else self.caller.pk,
            to_id=_named(read["to"]),
            starts=read["starts"],
            ends=read["ends"],
            reason=read["reason"],
            by=self.caller,
            at=self.at,
        )
        return self.created(made)

    @extend_schema(
        summary="End a delegation early", parameters=[BY_ID], request=None, responses=DelegationResource
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.matched(row)
        end_delegation(delegation_id=row.pk, by=self.caller, at=self.at)
        return self.answer(self.get_queryset().get(pk=row.pk))


def _named(email: str) -> int:
    """The user of an address; for an unknown one a number that nobody has, so that the service says what is wrong."""
    return User.objects.filter(email__iexact=email).values_list("pk", flat=True).first() or -1


# --- the limit -----------------------------------------------------------------------------------------------


class ApprovalLimitResource(Out):
    id = serializers.IntegerField()
    amount = serializers.SerializerMethodField()
    starts = serializers.DateField(source="effective.lower")
    ends = serializers.DateField(
        source="effective.upper",
        allow_null=True,
        help_text="The first day on which it does not count any more.",
    )
    recorded_by = serializers.CharField(source="recorded_by.name")
    recorded_at = serializers.DateTimeField()
    superseded_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(MONEY_OR_NULL)
    def get_amount(self, limit: ApprovalLimit) -> dict[str, str] | None:
        return money(limit.amount_minor, limit.currency_id, limit.currency.exponent)


class ApprovalLimitBody(Strict):
    amount = MoneyField(allow_null=True, help_text="Above it two people approve; null lifts the limit.")
    starts = serializers.DateField(help_text="Today or later.")
    reason = serializers.CharField(max_length=500)


@extend_schema_view(
    list=extend_schema(summary="The limits above which two people approve, the latest first"),
    retrieve=extend_schema(summary="One limit", parameters=[BY_ID]),
)
class ApprovalLimits(_Standing):
    """Set by comp admins."""

    serializer_class = ApprovalLimitResource

    def get_queryset(self) -> QuerySet[ApprovalLimit]:
        return ApprovalLimit.objects.select_related("currency", "recorded_by")

    @extend_schema(
        summary="Set or lift the limit from a day on",
        description="Answers with the limit, or with 204 where it was lifted.",
        request=ApprovalLimitBody,
        responses={201: ApprovalLimitResource, 204: None},
    )
    def create(self, request: Request) -> Response:
        read = self.body(ApprovalLimitBody).validated_data
        amount: Money | None = read["amount"]
        minor = None
        if amount is not None:
            currency = Currency.objects.filter(code=amount.currency).first()
            if currency is None:
                raise Invalid.of(
                    "unknown_currency", f"{amount.currency} is not known here.", "/amount/currency"
                )
            minor = amount.minor(currency.exponent, pointer="/amount")
        made = set_limit(
            amount_minor=minor,
            currency=amount.currency if amount is not None else "",
            starts=read["starts"],
            reason=read["reason"],
            by=self.caller,
            at=self.at,
        )
        return self.created(made) if made is not None else Response(status=204)
