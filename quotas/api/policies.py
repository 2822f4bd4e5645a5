"""Straight-through policies over REST: what an import may name, and what each version asks for."""

from typing import Any

from django.db.models import Q, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request

from config.refusals import NotFound
from config.rest.fields import money
from config.rest.filters import Choices, Words
from config.rest.views import Resources
from quotas.api.resources import MONEY_OR_NULL, Out
from quotas.api.viewer import Seen
from quotas.models import StraightThroughPolicy
from quotas.selectors.policies import PolicyState, in_words, may_read_policies, state_of


class StraightThroughPolicyResource(Out):
    """One version of a policy; a published one never changes, it ends."""

    id = serializers.IntegerField()
    name = serializers.CharField(help_text="What an import names.")
    version = serializers.IntegerField()
    state = serializers.SerializerMethodField()
    words = serializers.SerializerMethodField(help_text="Everything that it asks for, as a sentence.")
    sources = serializers.ListField(child=serializers.CharField(), help_text="The sources that it trusts.")
    most = serializers.SerializerMethodField(help_text="The largest deal; null is any amount.")
    late_after_days = serializers.IntegerField(
        allow_null=True, help_text="A deal that closed longer ago waits; null is never too late."
    )
    default_share = serializers.BooleanField(help_text="Only deals that are the owner's alone.")
    drafted_by = serializers.CharField(source="drafted_by.name")
    drafted_at = serializers.DateTimeField()
    published_by = serializers.CharField(source="published_by.name", default=None, allow_null=True)
    published_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.ChoiceField(PolicyState.choices))
    def get_state(self, policy: StraightThroughPolicy) -> str:
        return state_of(policy)

    def get_words(self, policy: StraightThroughPolicy) -> str:
        return in_words(policy)

    @extend_schema_field(MONEY_OR_NULL)
    def get_most(self, policy: StraightThroughPolicy) -> dict[str, str] | None:
        if policy.most_minor is None or policy.currency is None:
            return None
        return money(policy.most_minor, policy.currency.code, policy.currency.exponent)


class PolicyFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    name = Words(field_name="name")
    state = Choices(choices=PolicyState.choices, method="in_state")

    class Meta:
        model = StraightThroughPolicy
        fields: list[str] = []

    def in_state(
        self, policies: QuerySet[StraightThroughPolicy], _name: str, states: list[str]
    ) -> QuerySet[StraightThroughPolicy]:
        wanted = Q(pk__in=[])
        for state in states:
            wanted |= {
                PolicyState.DRAFT: Q(published_at=None, ended_at=None),
                PolicyState.IN_FORCE: Q(published_at__isnull=False, ended_at=None),
                PolicyState.ENDED: Q(ended_at__isnull=False),
            }[PolicyState(state)]
        return policies.filter(wanted)


@extend_schema_view(
    list=extend_schema(summary="Straight-through policies, every version, the latest first"),
    retrieve=extend_schema(summary="One version of a straight-through policy"),
)
class Policies(Seen, Resources):
    """For comp admins; auditors read. Drafted and published in the browser, by two people."""

    serializer_class = StraightThroughPolicyResource
    filterset_class = PolicyFilters
    keyset = ("-id",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not may_read_policies(self.caller):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[StraightThroughPolicy]:
        return StraightThroughPolicy.objects.select_related("currency", "drafted_by", "published_by")
