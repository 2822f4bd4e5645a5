"""Quotas as they are set through REST, and the ramp and leave that lessen them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Role, User
from config.formats import COUNT_EXPONENT
from config.refusals import Forbidden, Invalid, NotFound, Problem, refuse_if_any
from config.rest.fields import Money, MoneyField
from config.rest.filters import Choices, Day, Flag, Words
from config.rest.serializers import Strict
from config.rest.views import Resources
from quotas.api.measured import MEASURED_SCHEMA
from quotas.api.resources import Out, PercentField, QuotaResource
from quotas.api.viewer import Seen
from quotas.models import Measure, Period, Quota, QuotaMethod, QuotaRelief, ReliefKind, Rep, Team
from quotas.selectors import periods
from quotas.selectors.quota_planning import Authority, reliefs_for
from quotas.services import quota_planning
from quotas.services.quota_planning import MOST_TARGETS, QuotasSet, ReliefStep, Target, Whose

READS = (Role.MANAGER, Role.COMP_ADMIN, Role.AUDITOR)
NOBODY = 0


@extend_schema_field(MEASURED_SCHEMA)
class MeasuredIn(serializers.Field[Money | Decimal, Any, Any, Any]):
    """Money, or a plain decimal in a string where the measure counts."""

    _count = serializers.DecimalField(max_digits=19, decimal_places=COUNT_EXPONENT)

    def to_internal_value(self, data: Any) -> Money | Decimal:
        if isinstance(data, Mapping):
            found: Money = MoneyField().to_internal_value(data)
            return found
        if isinstance(data, str) and len(data) <= 40:
            count: Decimal = self._count.run_validation(data)
            return count
        raise serializers.ValidationError(
            'Write money as {"amount": "3.00", "currency": "USD"}, and a count as "12".', "not_an_amount"
        )


class TargetBody(Strict):
    """A rep's or a team's quota."""

    rep = serializers.SlugField(max_length=80, required=False)
    team = serializers.SlugField(max_length=80, required=False)
    amount = MeasuredIn(help_text="Zero or more.")
    version = serializers.IntegerField(
        min_value=0,
        max_value=2**31 - 1,
        required=False,
        help_text="The version that you read, 0 for none: another one in force is a 412. Left out, it is not checked.",
    )


class QuotasBody(Strict):
    measure = serializers.SlugField(max_length=40)
    period = serializers.CharField(max_length=10, help_text="Such as FY27-Q2.")
    starts = serializers.DateField(
        required=False, allow_null=True, default=None, help_text="First day; null is the whole period."
    )
    method = serializers.ChoiceField(
        QuotaMethod.choices,
        required=False,
        default="",
        help_text="As it was if left out.",
        allow_blank=True,
    )
    reason = serializers.CharField(
        max_length=quota_planning.LONGEST_REASON,
        required=False,
        allow_blank=True,
        default="",
        help_text="Needed once the period has begun.",
    )
    targets = serializers.ListField(child=TargetBody(), min_length=1, max_length=MOST_TARGETS)


class QuotasWritten(Out):
    """What became of them: only what changed has a new version."""

    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    quotas = QuotaResource(many=True, help_text="Each as it is in force now.")


def set_all(read: Mapping[str, Any], *, by: User, at: Any) -> dict[str, Any]:
    """Set what a valid body names, all or nothing. Raises Invalid with every problem and its pointer, and what the service raises."""
    measure = Measure.objects.select_related("currency").filter(slug=read["measure"]).first()
    period = periods.period_named(read["period"])
    refuse_if_any(
        [
            *([] if measure else [Problem("unknown_measure", "There is no such measure.", "/measure")]),
            *([] if period else [Problem("unknown_period", "There is no such period.", "/period")]),
        ]
    )
    assert measure is not None  # noqa: S101 -- refused above
    assert period is not None  # noqa: S101
    targets, expected, problems = _targets(read["targets"], measure)
    if problems:
        raise Invalid(*problems)
    done = quota_planning.set_quotas(
        measure_id=measure.pk,
        period_id=period.pk,
        targets=targets,
        starts=read["starts"],
        method=read["method"],
        reason=read["reason"],
        by=by,
        at=at,
        expected_versions=expected,
    )
    return _written(done, targets, measure, period)


def _targets(
    sent: Sequence[Mapping[str, Any]], measure: Measure
) -> tuple[list[Target], dict[Whose, int], list[Problem]]:
    """2 queries, whatever their number. A name that nobody has is an id that nobody has: the service answers alike for both."""
    reps = dict(Rep.objects.filter(slug__in=[t["rep"] for t in sent if "rep" in t]).values_list("slug", "pk"))
    teams = dict(
        Team.objects.filter(slug__in=[t["team"] for t in sent if "team" in t]).values_list("slug", "pk")
    )
    found: list[Target] = []
    expected: dict[Whose, int] = {}
    problems: list[Problem] = []
    for n, each in enumerate(sent):
        amount = _minor(each["amount"], measure)
        if amount is None:
            problems.append(Problem("other_measure", _wanted(measure), f"/targets/{n}/amount"))
        target = Target(
            amount or 0,
            rep_id=reps.get(each["rep"], -1 - n) if "rep" in each else None,
            team_id=teams.get(each["team"], -1 - n) if "team" in each else None,
        )
        found.append(target)
        if "version" in each:
            expected[target.whose] = each["version"]
    return found, expected, problems


def _minor(given: Money | Decimal, measure: Measure) -> int | None:
    currency = measure.currency
    if isinstance(given, Money):
        if currency is None or given.currency != currency.code:
            return None
        value, exponent = given.amount, currency.exponent
    else:
        if currency is not None:
            return None
        value, exponent = given, COUNT_EXPONENT
    scaled = value.scaleb(exponent)
    return int(scaled) if scaled == scaled.to_integral_value() else None


def _wanted(measure: Measure) -> str:
    if measure.currency is None:
        return f'{measure.name} is counted: write a decimal in a string, such as "12".'
    return f"{measure.name} is measured in {measure.currency.code}, with at most {measure.currency.exponent} decimals."


def _written(done: QuotasSet, targets: Sequence[Target], measure: Measure, period: Period) -> dict[str, Any]:
    now = Quota.objects.filter(measure=measure, period=period, superseded_at=None)
    rows = now.filter(rep__in=[t.rep_id for t in targets if t.rep_id]) | now.filter(
        team__in=[t.team_id for t in targets if t.team_id]
    )
    return {
        "changed": len(done.changed),
        "unchanged": done.unchanged,
        "quotas": rows.select_related("measure__currency", "period", "rep", "team").order_by("pk"),
    }


# Ramp and leave.


class QuotaReliefResource(Out):
    """Days on which only a part of a rep's quotas counts. Never changed: one that ends earlier is superseded by another."""

    id = serializers.IntegerField()
    rep = serializers.SlugField(source="rep.slug")
    kind = serializers.ChoiceField(ReliefKind.choices)
    starts = serializers.DateField(source="effective.lower", allow_null=True)
    ends = serializers.DateField(
        source="effective.upper",
        allow_null=True,
        help_text="First day that counts in full; null is until further notice.",
    )
    counts_percent = PercentField(source="factor_ppm", help_text="Of the quota, on such a day.")
    reason = serializers.CharField()
    recorded_by = serializers.CharField(source="recorded_by.name")
    recorded_at = serializers.DateTimeField()
    superseded_at = serializers.DateTimeField(allow_null=True)


class ReliefStepBody(Strict):
    starts = serializers.DateField()
    ends = serializers.DateField(
        required=False, allow_null=True, default=None, help_text="First day that is no longer in it."
    )
    counts_percent = serializers.DecimalField(
        max_digits=7, decimal_places=4, help_text="From 0 to less than 100."
    )


class ReliefBody(Strict):
    rep = serializers.SlugField(max_length=80)
    kind = serializers.ChoiceField(ReliefKind.choices)
    steps = serializers.ListField(
        child=ReliefStepBody(),
        min_length=1,
        max_length=quota_planning.RAMP_MONTHS,
        help_text="One for a leave, several for a ramp.",
    )
    reason = serializers.CharField(max_length=quota_planning.LONGEST_REASON)


class EndBody(Strict):
    on = serializers.DateField(help_text="First day that counts in full again.")
    reason = serializers.CharField(max_length=quota_planning.LONGEST_REASON)


MADE: Final = {
    "type": "array",
    "items": {"$ref": "#/components/schemas/QuotaReliefResource"},
    "description": "One for each step.",
}


class ReliefFilters(FilterSet):  # type: ignore[misc]  # django-filter is untyped
    rep = Words(field_name="rep__slug")
    kind = Choices(choices=ReliefKind.choices)
    on = Day(field_name="effective", lookup_expr="contains", help_text="Those that hold on this day.")
    superseded = Flag(
        method="with_superseded", help_text="Whether superseded ones are listed too; no if left out."
    )

    class Meta:
        model = QuotaRelief
        fields: list[str] = []

    def with_superseded(self, rows: QuerySet[QuotaRelief], _name: str, value: bool) -> QuerySet[QuotaRelief]:
        return rows

    def filter_queryset(self, queryset: QuerySet[QuotaRelief]) -> QuerySet[QuotaRelief]:
        found: QuerySet[QuotaRelief] = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("superseded") else found.filter(superseded_at=None)


@extend_schema_view(
    list=extend_schema(summary="Ramp and leave of the people whose quotas you see"),
    retrieve=extend_schema(
        summary="One span of ramp or leave",
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
    ),
)
class QuotaReliefs(Seen, Resources):
    """Everybody's for comp admins and auditors, the people below for managers."""

    serializer_class = QuotaReliefResource
    filterset_class = ReliefFilters

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.caller.has_role(*READS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")

    def get_queryset(self) -> QuerySet[QuotaRelief]:
        if self.described:
            return QuotaRelief.objects.none()
        found: QuerySet[QuotaRelief] = reliefs_for(Authority(self.caller, self.viewer.on))
        return found

    @extend_schema(
        summary="Record a leave, or a ramp in steps; all steps or none",
        request=ReliefBody,
        responses={201: MADE},
    )
    def create(self, request: Request) -> Response:
        refuse_unless_planner(self.caller)
        read = self.body(ReliefBody).validated_data
        rep = Rep.objects.filter(slug=read["rep"]).first()
        try:
            made = quota_planning.record_relief(
                rep_id=rep.pk if rep else NOBODY,
                kind=read["kind"],
                steps=[
                    ReliefStep(s["starts"], s["ends"], int(s["counts_percent"].scaleb(4)))
                    for s in read["steps"]
                ],
                reason=read["reason"],
                by=self.caller,
                at=self.at,
            )
        except NotFound as unseen:
            raise Invalid.of("unknown_rep", "There is no such rep below you.", "/rep") from unseen
        rows = self.get_queryset().filter(pk__in=[relief.pk for relief in made]).order_by("effective")
        return Response(self.get_serializer(rows, many=True).data, status=201)

    @extend_schema(
        summary="Let it end earlier, or not count at all; what is left of it is another row",
        request=EndBody,
        responses=QuotaReliefResource,
        parameters=[OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH)],
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        relief = self.get_object()
        self.matched(relief)
        refuse_unless_planner(self.caller)
        read = self.body(EndBody).validated_data
        left = quota_planning.end_relief(
            relief_id=relief.pk, on=read["on"], reason=read["reason"], by=self.caller, at=self.at
        )
        return self.answer(self.get_queryset().get(pk=left.pk if left else relief.pk))


def refuse_unless_planner(user: User) -> None:
    """Who sets no quotas learns nothing from how a request is refused. Raises Forbidden."""
    if not user.has_role(Role.MANAGER, Role.COMP_ADMIN):
        raise Forbidden.of(
            "not_a_planner", "Quotas are set by comp admins, and by managers for the people below them."
        )
