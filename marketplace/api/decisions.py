"""Eligibility decisions over REST: everybody reads what concerns them, catalog managers propose, and another one checks."""

from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Q, QuerySet
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
from config.refusals import Invalid, Problem, refuse_if_any
from config.rest.filters import Choice, Choices, Day
from config.rest.problems import BadQuery
from config.rest.serializers import Strict
from config.rest.views import Resources
from marketplace.api.resources import DAY, TEXT, rate
from marketplace.models import (
    CommercialPath,
    EligibilityDecision,
    Offering,
    Plan,
    Program,
    Publisher,
)
from marketplace.selectors import decisions as register
from marketplace.selectors.decisions import LEVELS, STATES, DecisionState, about, state_of
from marketplace.selectors.eligibility import ONE
from marketplace.selectors.visibility import offerings_for
from marketplace.services.access import must_keep_the_catalog
from marketplace.services.eligibility import (
    LONGEST,
    MOST_AT_ONCE,
    Scope,
    check_decision,
    propose_decisions,
    withdraw_decision,
)

BY_ID = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)
LEVEL_NAMES = {number: name for name, number in LEVELS.items()}


class DecisionRecord(serializers.Serializer[Any]):
    """Exactly one of commercial_path, publisher, offering (with or without a plan) is set. Partners read names of people as null."""

    id = serializers.IntegerField()
    state = serializers.ChoiceField(choices=DecisionState.choices, help_text="On the day of as_of.")
    program = serializers.ChoiceField(choices=Program.choices)
    level = serializers.ChoiceField(choices=["path", "publisher", "offering", "plan"])
    decided_for = TEXT(help_text="The scope in words.")
    commercial_path = TEXT(allow_null=True)
    publisher = TEXT(allow_null=True)
    offering = TEXT(allow_null=True)
    plan = TEXT(allow_null=True)
    rate = TEXT(help_text="Share of the value that counts, as a decimal: 0 is not eligible.")
    effective_from = DAY(allow_null=True)
    effective_until = DAY(allow_null=True, help_text="First day on which it no longer holds.")
    reason = TEXT()
    evidence = TEXT()
    assumed = serializers.BooleanField()
    proposal = TEXT(allow_null=True, help_text="Names what was proposed, and is checked, together.")
    made_by = TEXT(allow_null=True)
    made_at = serializers.DateTimeField()
    checked_by = TEXT(allow_null=True)
    checked_at = serializers.DateTimeField(allow_null=True)
    superseded_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: EligibilityDecision) -> dict[str, Any]:
        view = self.context["view"]
        inside = not view.caller.has_role("partner")
        plan = instance.plan
        offering = plan.offering if plan is not None else instance.offering
        return {
            "id": instance.pk,
            "state": state_of(instance, view.on).value,
            "program": instance.program,
            "level": LEVEL_NAMES[instance.level],
            "decided_for": about(instance),
            "commercial_path": instance.commercial_path or None,
            "publisher": instance.publisher.slug if instance.publisher is not None else None,
            "offering": offering.slug if offering is not None else None,
            "plan": plan.slug if plan is not None else None,
            "rate": rate(instance.rate_ppm),
            "effective_from": iso(instance.effective.lower),
            "effective_until": iso(instance.effective.upper),
            "reason": instance.reason,
            "evidence": instance.evidence,
            "assumed": instance.assumed,
            "proposal": instance.proposal or None,
            "made_by": instance.made_by.name if inside else None,
            "made_at": instance.made_at.isoformat(),
            "checked_by": instance.checked_by.name if inside and instance.checked_by is not None else None,
            "checked_at": instance.checked_at.isoformat() if instance.checked_at else None,
            "superseded_at": instance.superseded_at.isoformat() if instance.superseded_at else None,
        }


class ProposalResource(serializers.Serializer[Any]):
    proposal = TEXT(allow_null=True)
    results = DecisionRecord(many=True)


class PlanOfOffering(Strict):
    offering = serializers.SlugField(max_length=80)
    plan = serializers.SlugField(max_length=60)


class NewProposal(Strict):
    """One decision for each program and each thing that is named; of commercial_path, publisher, and offerings with plans one kind."""

    programs = serializers.ListField(
        child=serializers.ChoiceField(choices=Program.choices), min_length=1, max_length=len(Program)
    )
    commercial_path = serializers.ChoiceField(choices=CommercialPath.choices, required=False)
    publisher = serializers.SlugField(max_length=60, required=False)
    offerings = serializers.ListField(
        child=serializers.SlugField(max_length=80), required=False, max_length=MOST_AT_ONCE
    )
    plans = serializers.ListField(child=PlanOfOffering(), required=False, max_length=MOST_AT_ONCE)
    rate = serializers.DecimalField(
        max_digits=7, decimal_places=6, min_value=Decimal(0), max_value=Decimal(1), help_text="0 to 1."
    )
    effective_from = serializers.DateField()
    effective_until = serializers.DateField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=LONGEST)
    evidence = serializers.CharField(max_length=LONGEST, required=False, allow_blank=True, default="")
    assumed = serializers.BooleanField(required=False, default=False)

    def scopes(self) -> list[Scope]:
        """Raises Invalid with every name that stands for nothing, and unless exactly one kind is named."""
        given = self.validated_data
        kinds = [
            name
            for name, there in (
                ("commercial_path", given.get("commercial_path")),
                ("publisher", given.get("publisher")),
                ("offerings", given.get("offerings") or given.get("plans")),
            )
            if there
        ]
        if len(kinds) != 1:
            raise Invalid(
                Problem(
                    "one_scope",
                    "Name one of commercial_path and publisher, or offerings and plans.",
                    "/commercial_path" if not kinds else f"/{kinds[-1]}",
                )
            )
        if kinds == ["commercial_path"]:
            return [Scope(commercial_path=given["commercial_path"])]
        if kinds == ["publisher"]:
            found = Publisher.objects.filter(slug=given["publisher"]).first()
            if found is None:
                raise Invalid(Problem("unknown_publisher", "There is no such publisher.", "/publisher"))
            return [Scope(publisher_id=found.pk)]
        return self._offerings()

    def _offerings(self) -> list[Scope]:
        given = self.validated_data
        slugs, pairs = given.get("offerings") or [], given.get("plans") or []
        visible = offerings_for(self.context["view"].caller)
        offerings: dict[str, Offering] = {o.slug: o for o in visible.filter(slug__in=slugs)}
        plans = {
            (p.offering.slug, p.slug): p
            for p in Plan.objects.filter(
                offering__in=visible, offering__slug__in={pair["offering"] for pair in pairs}
            ).select_related("offering")
        }
        refuse_if_any(
            [
                Problem("unknown_offering", "There is no such offering.", f"/offerings/{place}")
                for place, slug in enumerate(slugs)
                if slug not in offerings
            ]
            + [
                Problem("unknown_plan", "There is no such plan of this offering.", f"/plans/{place}")
                for place, pair in enumerate(pairs)
                if (pair["offering"], pair["plan"]) not in plans
            ]
        )
        return [
            *(Scope(offering_id=offerings[slug].pk) for slug in slugs),
            *(Scope(plan_id=plans[pair["offering"], pair["plan"]].pk) for pair in pairs),
        ]


class CheckBody(Strict):
    replaces = serializers.ListField(
        child=serializers.IntegerField(),
        required=False,
        default=list,
        max_length=MOST_AT_ONCE,
        help_text="Ids of the decisions in force that it may take the place of. One that overlaps and is not named is a conflict.",
    )
    reason = serializers.CharField(max_length=LONGEST, required=False, allow_blank=True, default="")


class WithdrawDecisionBody(Strict):
    reason = serializers.CharField(max_length=LONGEST)


class DecisionFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    program = Choices(field_name="program", lookup_expr="in", choices=Program.choices)
    level = Choice(choices=[(name, name) for name in LEVELS], method="of_level")
    publisher = CharFilter(method="of_publisher", label="Slug: decisions about it and about its offerings.")
    offering = CharFilter(method="of_offering", label="Slug: decisions about it and about its plans.")
    state = Choice(
        choices=[(name, name) for name in STATES],
        method="being",
        label="On the day of as_of; ended holds what was superseded or withdrawn too.",
    )
    as_of = Day(method="unfiltered", label="The day that is looked at; today unless given.")

    class Meta:
        model = EligibilityDecision
        fields: list[str] = []

    def of_level(self, rows: QuerySet[EligibilityDecision], _name: str, value: str) -> Any:
        return rows.filter(level=LEVELS[value])

    def of_publisher(self, rows: QuerySet[EligibilityDecision], _name: str, value: str) -> Any:
        return rows.filter(
            Q(publisher__slug=value)
            | Q(offering__publisher__slug=value)
            | Q(plan__offering__publisher__slug=value)
        )

    def of_offering(self, rows: QuerySet[EligibilityDecision], _name: str, value: str) -> Any:
        return rows.filter(Q(offering__slug=value) | Q(plan__offering__slug=value))

    def being(self, rows: QuerySet[EligibilityDecision], _name: str, value: str) -> Any:
        return register.in_state(rows, value, self.form.cleaned_data.get("as_of") or clock.today())

    def unfiltered(self, rows: QuerySet[EligibilityDecision], _name: str, _value: date) -> Any:
        return rows


@extend_schema_view(
    list=extend_schema(summary="Eligibility decisions that you may see"),
    retrieve=extend_schema(summary="One decision", parameters=[BY_ID]),
)
class Decisions(Resources):
    """What counts for which program, from when, by whose decision. Never edited: another one takes its place from a day on."""

    queryset = EligibilityDecision.objects.none()  # for the schema; get_queryset() is what answers
    serializer_class = DecisionRecord
    filterset_class = DecisionFilters
    keyset = ("-id",)
    parameters = ("as_of",)

    @cached_property
    def on(self) -> date:
        written = self.request.query_params.get("as_of", "")
        try:
            return date.fromisoformat(written) if written else clock.today()
        except ValueError:
            raise BadQuery(("as_of", "invalid", "Write a day as 2026-08-14.")) from None

    def get_queryset(self) -> QuerySet[EligibilityDecision]:
        return register.decisions_for(self.caller)

    @extend_schema(summary="Propose decisions", request=NewProposal, responses={201: ProposalResource})
    def create(self, request: Request) -> Response:
        """They hold once another catalog manager has checked them. With an Idempotency-Key a retry proposes nothing new."""
        must_keep_the_catalog(self.caller)  # before a name in the body is looked up
        body = self.body(NewProposal)
        given = body.validated_data
        made = propose_decisions(
            programs=given["programs"],
            scopes=body.scopes(),
            rate_ppm=int(given["rate"] * ONE),
            start=given["effective_from"],
            end=given["effective_until"],
            reason=given["reason"],
            evidence=given["evidence"],
            assumed=given["assumed"],
            by=self.caller,
            at=self.at,
        )
        rows = list(self.get_queryset().filter(pk__in=[d.pk for d in made]).order_by("id"))
        return Response(
            {"proposal": made[0].proposal or None, "results": [self.represent(row) for row in rows]},
            status=201,
            headers={"Location": self.reverse_action("detail", kwargs={"pk": made[0].pk})},
        )

    @extend_schema(
        summary="Check a proposal", parameters=[BY_ID], request=CheckBody, responses=DecisionRecord
    )
    @action(detail=True, methods=["post"])
    def check(self, request: Request, pk: str) -> Response:
        """Puts it in force with everything proposed together with it. Not for who proposed it."""
        given = self.body(CheckBody).validated_data
        return self._decided(
            check_decision,
            replacing=bool(given["replaces"]),
            only=given["replaces"],
            reason=given["reason"],
        )

    @extend_schema(
        summary="Withdraw a decision or a proposal",
        parameters=[BY_ID],
        request=WithdrawDecisionBody,
        responses=DecisionRecord,
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        return self._decided(
            withdraw_decision, reason=self.body(WithdrawDecisionBody).validated_data["reason"]
        )

    def _decided(self, service: Any, **more: Any) -> Response:
        row = self.get_object()
        self.matched(row)
        service(decision_id=row.pk, by=self.caller, at=self.at, **more)
        return self.answer(self.get_queryset().get(pk=row.pk))
