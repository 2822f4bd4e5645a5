"""Statements over REST: what each says, line by line, with the digest that proves it."""

from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.rest.fields import MONEY_SCHEMA, money
from config.rest.filters import Flag, Numbers, Words
from config.rest.views import Resources
from quotas.api.filters import PeriodFilter
from quotas.api.measured import MEASURED_OR_NULL, MEASURED_SCHEMA, Measured, measured, percent
from quotas.api.resources import PERCENT_OR_NULL, Out
from quotas.api.viewer import Internal
from quotas.models import EarningKind, Statement
from quotas.selectors import statement_digests
from quotas.selectors.statements import (
    SECTIONS,
    Account,
    Earned,
    Line,
    ToDate,
    content_of,
    statements_for,
    with_heads,
)
from quotas.services.statements import acknowledge


class StatementResource(Out):
    """The head of a statement: whose, of which close, and its proof."""

    id = serializers.IntegerField()
    period = serializers.CharField(source="close.period.name")
    version = serializers.IntegerField(source="close.version", help_text="Of the close.")
    replaced = serializers.SerializerMethodField(
        help_text="Whether its month was reopened: the next close issues another one."
    )
    rep = serializers.SlugField(source="rep.slug")
    entries = serializers.IntegerField(help_text="Credit entries that it states.")
    digest = serializers.CharField(
        help_text="SHA-256 over its entries, frozen totals and quotas and earnings, hexadecimal."
    )
    issued_at = serializers.DateTimeField()
    acknowledged_at = serializers.DateTimeField(allow_null=True)
    acknowledged_by = serializers.CharField(source="acknowledged_by.name", default=None, allow_null=True)

    def get_replaced(self, statement: Statement) -> bool:
        return statement.close.state == "reopened"


class StatementLineResource(Out):
    entry = serializers.IntegerField(
        source="entry_id", help_text="Its explanation: /credits/{id}/explanation/"
    )
    section = serializers.ChoiceField(
        list(SECTIONS.items()), help_text="Of this month, of earlier months, or given by hand."
    )
    deal = serializers.IntegerField(source="deal_id", allow_null=True, help_text="Null for an adjustment.")
    line_no = serializers.IntegerField(allow_null=True)
    adjustment = serializers.CharField(help_text="Its reference, if it is one.")
    customer = serializers.CharField()
    offering = serializers.CharField()
    rule = serializers.CharField()
    what = serializers.CharField(help_text="Rule and component, or the reason of an adjustment.")
    overlay = serializers.BooleanField()
    credit_date = serializers.DateField()
    origin_period = serializers.CharField(source="origin")
    reverses = serializers.IntegerField(source="reverses_id", allow_null=True)
    amount = serializers.SerializerMethodField()

    @extend_schema_field(MEASURED_SCHEMA)
    def get_amount(self, line: Line) -> Measured | None:
        return measured(line.amount_minor, line.measure)


class StatementToDateResource(Out):
    period = serializers.CharField(source="period.name")
    credited = serializers.SerializerMethodField()
    quota = serializers.SerializerMethodField(help_text="As the close froze it; null where there is none.")
    attainment_percent = serializers.SerializerMethodField()

    @extend_schema_field(MEASURED_SCHEMA)
    def get_credited(self, each: ToDate) -> Measured | None:
        return measured(each.credited_minor, self.context["measure"])

    @extend_schema_field(MEASURED_OR_NULL)
    def get_quota(self, each: ToDate) -> Measured | None:
        return measured(each.quota_minor, self.context["measure"])

    @extend_schema_field(PERCENT_OR_NULL)
    def get_attainment_percent(self, each: ToDate) -> str | None:
        return percent(each.credited_minor, each.quota_minor)


class StatementAccountResource(Out):
    """One measure: the quarter's balance before the month, what was credited in it, and the balance then."""

    measure = serializers.SlugField(source="measure.slug")
    opening = serializers.SerializerMethodField()
    credited = serializers.SerializerMethodField(help_text="What the lines come to.")
    closing = serializers.SerializerMethodField()
    adds_up = serializers.BooleanField(help_text="Whether the lines come to the total that the close froze.")
    to_date = serializers.SerializerMethodField(
        help_text="The month and each period that holds it, up to the month's end."
    )
    lines = StatementLineResource(many=True)

    @extend_schema_field(MEASURED_SCHEMA)
    def get_opening(self, account: Account) -> Measured | None:
        return measured(account.opening_minor, account.measure)

    @extend_schema_field(MEASURED_SCHEMA)
    def get_credited(self, account: Account) -> Measured | None:
        return measured(account.month_minor, account.measure)

    @extend_schema_field(MEASURED_SCHEMA)
    def get_closing(self, account: Account) -> Measured | None:
        return measured(account.closing_minor, account.measure)

    @extend_schema_field(StatementToDateResource(many=True))
    def get_to_date(self, account: Account) -> list[dict[str, Any]]:
        shown = StatementToDateResource(account.to_date, many=True, context={"measure": account.measure})
        return [dict(each) for each in shown.data]


class StatementEarningResource(Out):
    kind = serializers.ChoiceField(EarningKind.choices, source="entry.kind")
    plan_version = serializers.SerializerMethodField()
    measure = serializers.SerializerMethodField()
    origin_period = serializers.CharField(source="entry.origin_period.name")
    amount = serializers.SerializerMethodField()

    def get_plan_version(self, each: Earned) -> str | None:
        return str(each.entry.plan_version) if each.entry.plan_version else None

    def get_measure(self, each: Earned) -> str | None:
        return each.entry.measure.slug if each.entry.measure else None

    @extend_schema_field(MONEY_SCHEMA)
    def get_amount(self, each: Earned) -> dict[str, str]:
        currency = each.entry.currency
        return money(each.entry.amount_minor, currency.code, currency.exponent) or {}


class StatementInFull(StatementResource):
    """A statement with everything that it says, read from what its close froze."""

    holds = serializers.SerializerMethodField(
        help_text="Whether the digest, worked out again from the ledger just now, is the one that was issued."
    )
    team = serializers.SerializerMethodField(help_text="The rep's on the month's last day.")
    plan_versions = serializers.SerializerMethodField()
    accounts = serializers.SerializerMethodField()
    earnings = serializers.SerializerMethodField()

    def get_holds(self, statement: Statement) -> bool:
        return statement_digests.holds(statement)

    def get_team(self, statement: Statement) -> str | None:
        team = self._content(statement).team
        return team.slug if team else None

    def get_plan_versions(self, statement: Statement) -> list[str]:
        return [str(version) for version in self._content(statement).plans]

    @extend_schema_field(StatementAccountResource(many=True))
    def get_accounts(self, statement: Statement) -> list[dict[str, Any]]:
        shown = StatementAccountResource(self._content(statement).accounts, many=True)
        return [dict(each) for each in shown.data]

    @extend_schema_field(StatementEarningResource(many=True))
    def get_earnings(self, statement: Statement) -> list[dict[str, Any]]:
        paid = [each for pay in self._content(statement).pay for each in pay.entries]
        return [dict(each) for each in StatementEarningResource(paid, many=True).data]

    def _content(self, statement: Statement) -> Any:
        if not hasattr(self, "_read"):
            self._read = content_of(statement)
        return self._read


class StatementFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    period = PeriodFilter(field_name="close__period")
    version = Numbers(field_name="close__version", help_text="Of the close.")
    rep = Words(field_name="rep__slug")
    acknowledged = Flag(field_name="acknowledged_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = Statement
        fields: list[str] = []


@extend_schema_view(list=extend_schema(summary="Statements that you may see, the latest first"))
class Statements(Internal, Resources):
    """A rep's own, a manager's teams', all for comp admins and auditors."""

    serializer_class = StatementResource
    filterset_class = StatementFilters
    keyset = ("-id",)

    def get_queryset(self) -> QuerySet[Statement]:
        if self.described:
            return Statement.objects.none()
        return with_heads(statements_for(self.viewer.user, self.viewer.on))

    @extend_schema(summary="One statement, line by line", responses=StatementInFull)
    def retrieve(self, request: Request, *_args: Any, **_kwargs: Any) -> Response:
        return self.answer(self.get_object())

    def represent(self, row: Any) -> dict[str, Any]:
        return dict(StatementInFull(row, context=self.get_serializer_context()).data)

    @extend_schema(summary="Acknowledge your own statement", request=None, responses=StatementInFull)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Says that you have read it. Once; only the rep."""
        statement = self.get_object()
        self.matched(statement)
        acknowledge(statement_id=statement.pk, by=self.caller, at=self.at)
        return self.answer(self.get_object())
