"""Relationships between companies and commitments over REST: amounts with their bounds, terms stated or assumed, sources."""

from datetime import date
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from django_filters import CharFilter
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request

from config import clock
from config.formats import iso
from config.rest.fields import money
from config.rest.filters import Choices, Day
from config.rest.problems import BadQuery
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT, rate
from marketplace.models import (
    Bound,
    Company,
    Currency,
    Relationship,
    RelationshipKind,
    RelationshipStatus,
)
from marketplace.selectors.sourcing import commitments
from marketplace.selectors.sourcing.access import reads_sourcing
from marketplace.selectors.sourcing.commitments import Standing
from marketplace.selectors.sourcing.flows import Amount, in_force, relationships

BASES = [("stated", "stated"), ("assumed", "assumed"), ("unknown", "unknown")]
BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)


class CompanyShape(serializers.Serializer[Any]):
    slug = TEXT()
    name = TEXT()
    is_operator = serializers.BooleanField(help_text="We ourselves.")


class SourceShape(serializers.Serializer[Any]):
    text = TEXT(help_text="Where it is known from.")
    fact = TEXT(allow_null=True, help_text="Slug of the public statement behind it.")
    paragraph = serializers.IntegerField(allow_null=True, help_text="Of the source.")
    references = serializers.ListField(
        child=serializers.IntegerField(), help_text="The source's own reference numbers."
    )


class StatedMoney(serializers.Serializer[Any]):
    amount = TEXT()
    currency = TEXT()


class RelationshipRecord(serializers.Serializer[Any]):
    """One tie as it is stated. Money goes from payer to payee; who depends is the payer. A bound is not a figure."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(choices=RelationshipKind.choices)
    payer = CompanyShape()
    payee = CompanyShape()
    amount = StatedMoney(allow_null=True, help_text="Null is unknown, never zero.")
    bound = serializers.ChoiceField(choices=Bound.choices)
    per = serializers.ChoiceField(choices=[("year", "year"), ("month", "month")], allow_null=True)
    status = serializers.ChoiceField(
        choices=RelationshipStatus.choices, allow_null=True, help_text="Null is not stated."
    )
    starts_on = DAY(allow_null=True, help_text="Null is not stated.")
    ends_on = DAY(allow_null=True, help_text="First day after it; null is not stated.")
    stake = TEXT(
        allow_null=True, help_text="Of equity or dependence, as a decimal from 0 to 1; null is unknown."
    )
    note = TEXT(help_text="The source's qualifier, in its words.")
    source = SourceShape()  # type: ignore[assignment]  # a field called source
    synthetic = serializers.BooleanField(help_text="Made up for the demo.")
    recorded_at = serializers.DateTimeField()

    def to_representation(self, instance: Relationship) -> dict[str, Any]:
        return relationship_body(instance)


def relationship_body(row: Relationship) -> dict[str, Any]:
    currency, fact = row.currency, row.fact
    return {
        "id": row.pk,
        "kind": row.kind,
        "payer": _company(row.payer),
        "payee": _company(row.payee),
        "amount": money(row.amount_minor, currency.code, currency.exponent) if currency is not None else None,
        "bound": row.bound,
        "per": row.per or None,
        "status": row.status or None,
        "starts_on": iso(row.starts_on),
        "ends_on": iso(row.ends_on),
        "stake": rate(row.stake_ppm),
        "note": row.note,
        "source": {
            "text": row.source,
            "fact": fact.slug if fact is not None else None,
            "paragraph": fact.paragraph if fact is not None else None,
            "references": list(fact.cited) if fact is not None else [],
        },
        "synthetic": row.synthetic,
        "recorded_at": row.recorded_at.isoformat(),
    }


def _company(company: Company) -> dict[str, Any]:
    return {"slug": company.slug, "name": company.name, "is_operator": company.is_operator}


class IntervalShape(serializers.Serializer[Any]):
    """It lies between the two; null is an open end. about: an end is only about right."""

    low = StatedMoney(allow_null=True)
    high = StatedMoney(allow_null=True)
    about = serializers.BooleanField()


class AssumptionShape(serializers.Serializer[Any]):
    reason = TEXT()
    stated_by = TEXT()
    stated_at = serializers.DateTimeField()


class TermShape(serializers.Serializer[Any]):
    basis = serializers.ChoiceField(choices=BASES)
    starts_on = DAY(allow_null=True)
    ends_on = DAY(allow_null=True, help_text="First day after it.")
    assumption = AssumptionShape(allow_null=True)


class DrawShape(serializers.Serializer[Any]):
    month = DAY(help_text="Its first day.")
    amount = StatedMoney()
    source = TEXT()  # type: ignore[assignment]  # a field called source
    synthetic = serializers.BooleanField()


class PaceShape(serializers.Serializer[Any]):
    """Against even pace over the days of the term; what is expected goes on at the mean of the last three billed months."""

    known_until = DAY(help_text="First day after the last billed month.")
    behind_even_pace = IntervalShape(help_text="Below zero is ahead.")
    needed_a_month = IntervalShape(allow_null=True, help_text="Null once the term is over.")
    expected_by_the_end = IntervalShape()
    shortfall = IntervalShape()


class CommitmentRecord(RelationshipRecord):
    """A compute commitment as of a day: drawn, left, and its pace where a term is stated or assumed."""

    as_of = DAY()
    drawn = StatedMoney(allow_null=True)
    remaining = IntervalShape(allow_null=True)
    term = TermShape()
    pace = PaceShape(allow_null=True, help_text="Null without a term, or before the first bill.")
    draws = DrawShape(many=True)
    months_without_a_bill = serializers.ListField(child=DAY(), help_text="Unknown, not zero.")

    def to_representation(self, instance: Relationship) -> dict[str, Any]:
        return commitment_body(commitments.standing(instance, self.context["view"].on))


def commitment_body(found: Standing) -> dict[str, Any]:
    row, pace = found.relationship, found.pace
    currency = row.currency
    return {
        **relationship_body(row),
        "as_of": found.on.isoformat(),
        "drawn": money(found.drawn, currency.code, currency.exponent) if currency is not None else None,
        "remaining": _interval(found.remaining, currency),
        "term": _term(found),
        "pace": None
        if pace is None
        else {
            "known_until": pace.at.isoformat(),
            "behind_even_pace": _interval(pace.behind, currency),
            "needed_a_month": _interval(pace.needed, currency) if pace.needed is not None else None,
            "expected_by_the_end": _interval(pace.expected, currency),
            "shortfall": _interval(pace.shortfall, currency),
        },
        "draws": [
            {
                "month": month.draw.month.isoformat(),
                "amount": money(month.draw.amount_minor, currency.code, currency.exponent),
                "source": month.draw.source,
                "synthetic": month.draw.synthetic,
            }
            for month in found.months
            if currency is not None
        ],
        "months_without_a_bill": [month.isoformat() for month in found.gaps],
    }


def _interval(amount: Amount, currency: Currency | None) -> dict[str, Any] | None:
    if currency is None:
        return None
    return {
        "low": money(amount.low, currency.code, currency.exponent),
        "high": money(amount.high, currency.code, currency.exponent),
        "about": amount.about,
    }


def _term(found: Standing) -> dict[str, Any]:
    term = found.term
    if term is None:
        row = found.relationship
        return {
            "basis": "unknown",
            "starts_on": iso(row.starts_on),
            "ends_on": iso(row.ends_on),
            "assumption": None,
        }
    assumption = term.assumption
    return {
        "basis": term.basis,
        "starts_on": term.start.isoformat(),
        "ends_on": term.end.isoformat(),
        "assumption": None
        if assumption is None
        else {
            "reason": assumption.reason,
            "stated_by": assumption.stated_by.name,
            "stated_at": assumption.stated_at.isoformat(),
        },
    }


class CompanyFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    company = CharFilter(method="of_company", label="Slug: what it pays and what it is paid.")
    payer = CharFilter(field_name="payer__slug", label="Slug of who pays, or depends.")
    payee = CharFilter(field_name="payee__slug", label="Slug of who is paid, or depended on.")
    as_of = Day(method="unfiltered", label="The day that is looked at; today unless given.")

    class Meta:
        model = Relationship
        fields: list[str] = []

    def of_company(self, rows: QuerySet[Relationship], _name: str, value: str) -> Any:
        return rows.filter(Q(payer__slug=value) | Q(payee__slug=value))

    def unfiltered(self, rows: QuerySet[Relationship], _name: str, _value: date) -> Any:
        return rows


class RelationshipFilters(CompanyFilters):
    kind = Choices(field_name="kind", lookup_expr="in", choices=RelationshipKind.choices)
    bound = Choices(field_name="bound", lookup_expr="in", choices=Bound.choices)
    status = Choices(field_name="status", lookup_expr="in", choices=RelationshipStatus.choices)


class Sourced(Resources):
    """For who reads sourcing; it does not exist for anybody else."""

    queryset = Relationship.objects.none()  # for the schema; get_queryset() is what answers
    keyset = ("id",)
    parameters = ("as_of",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not reads_sourcing(self.caller):
            raise Http404

    @cached_property
    def on(self) -> date:
        written = self.request.query_params.get("as_of", "")
        try:
            return date.fromisoformat(written) if written else clock.today()
        except ValueError:
            raise BadQuery(("as_of", "invalid", "Write a day as 2026-08-14.")) from None


@extend_schema_view(
    list=extend_schema(operation_id="sourcing_relationships_list", summary="Ties between companies"),
    retrieve=extend_schema(
        operation_id="sourcing_relationships_retrieve", summary="One tie", parameters=[BY_ID]
    ),
)
class Relationships(Sourced):
    """Spend, commitments, equity, infrastructure, dependence and competition, as stated; those that have not ended."""

    serializer_class = RelationshipRecord
    filterset_class = RelationshipFilters

    def get_queryset(self) -> QuerySet[Relationship]:
        return relationships() if self.action == "retrieve" else in_force(self.on)


@extend_schema_view(
    list=extend_schema(operation_id="sourcing_commitments_list", summary="Commitments with their draw-down"),
    retrieve=extend_schema(
        operation_id="sourcing_commitments_retrieve", summary="One commitment", parameters=[BY_ID]
    ),
)
class Commitments(Sourced):
    """What companies have committed to buy, drawn month by month. No pace and no shortfall without a term."""

    serializer_class = CommitmentRecord
    filterset_class = CompanyFilters

    def get_queryset(self) -> QuerySet[Relationship]:
        return commitments.commitments() if self.action == "retrieve" else commitments.in_force_on(self.on)
