"""The parity report of a period: two verdicts, and what stands behind each."""

from collections.abc import Mapping
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Role
from config.refusals import Invalid, NotFound
from config.rest.fields import MONEY_SCHEMA, decimal, money
from config.rest.problems import BadQuery
from config.rest.views import Computed
from quotas.api.measured import MEASURED_SCHEMA, Measured, percent_of_ppm
from quotas.api.queries import asked_period
from quotas.api.resources import Out
from quotas.api.viewer import Seen
from quotas.models import ParityVerdict
from quotas.selectors.parity import Between, current_report, is_of

READS: Final = (Role.COMP_ADMIN, Role.AUDITOR, Role.MANAGER, Role.SOURCING_LEAD)
READS_ALL: Final = (Role.COMP_ADMIN, Role.AUDITOR)
VERDICTS: Final = ParityVerdict.choices


@extend_schema_field(MEASURED_SCHEMA)
class FoundAmount(serializers.Field[Any, Any, Measured, Any]):
    """A member of a finding in minor units, with the finding's own currency and exponent."""

    def __init__(self, member: str) -> None:
        self.member = member
        super().__init__(source="*", read_only=True)

    def to_representation(self, value: Mapping[str, Any]) -> Measured:
        minor, code = value[self.member], value["currency"]
        if code is None:
            return decimal(minor, value["exponent"]).rstrip("0").rstrip(".")
        return money(minor, code, value["exponent"]) or ""


@extend_schema_field({**MONEY_SCHEMA, "type": ["object", "null"]})
class FoundValue(FoundAmount):
    """Deal value; null where no measure has a currency to compare it in."""

    def to_representation(self, value: Mapping[str, Any]) -> Any:
        return None if value["currency"] is None else super().to_representation(value)


@extend_schema_field({"type": ["string", "null"], "pattern": r"^\d+\.\d{4}$"})
class Percent(serializers.Field[Any, Any, str, Any]):
    """Parts per million as per cent; null where there is nothing to divide by, or nothing was decided."""

    def to_representation(self, value: int) -> str:
        return percent_of_ppm(value)


class ExceptionResource(Out):
    id = serializers.IntegerField()
    reason = serializers.CharField()
    starts = serializers.DateField(allow_null=True)
    ends = serializers.DateField(allow_null=True, help_text="First credit date that it does not cover.")
    asked_by = serializers.CharField()
    approved_by = serializers.CharField()


class ClauseResource(Out):
    name = serializers.CharField(
        help_text="The condition: publishers, offerings, families, paths, task_areas or pricing_forms."
    )
    values = serializers.ListField(child=serializers.CharField())


class ParityRuleResource(Out):
    id = serializers.IntegerField()
    name = serializers.CharField()
    plan_version_id = serializers.IntegerField()


class OutcomeResource(Out):
    own = serializers.CharField()
    twin = serializers.CharField()
    combinations = serializers.IntegerField()


class ParityAmounts(Out):
    measure = serializers.SlugField()
    own = FoundAmount("own_minor")
    twin = FoundAmount("twin_minor")


class ParityLine(ParityAmounts):
    deal = serializers.IntegerField(source="deal_id")
    line_no = serializers.IntegerField()
    offering = serializers.SlugField(source="offering.slug")
    credit_date = serializers.DateField()


class RuleFindingResource(Out):
    """One rule that treats offerings and their twins differently, and the clauses that do it."""

    rule = ParityRuleResource()
    clauses = ClauseResource(many=True)
    says = serializers.CharField()
    exception = ExceptionResource(allow_null=True)
    outcomes = OutcomeResource(
        many=True, help_text="What the offering and its twin earn, most combinations first."
    )
    combinations = serializers.IntegerField()
    offerings = serializers.IntegerField(source="offerings_in_all")
    lines = serializers.IntegerField()
    deals = serializers.IntegerField()
    amounts = ParityAmounts(many=True)
    shown = ParityLine(
        many=True, help_text="The lines that differ most; empty for those who read verdicts alone."
    )


class ProxySide(Out):
    side = serializers.CharField()
    matched = serializers.IntegerField()
    of = serializers.IntegerField()


class ProxyResource(Out):
    rule = ParityRuleResource()
    clause = ClauseResource()
    sides = ProxySide(many=True)
    says = serializers.CharField()


class ParityRules(Out):
    verdict = serializers.ChoiceField(VERDICTS)
    lines_checked = serializers.IntegerField()
    combinations_checked = serializers.IntegerField()
    offerings_checked = serializers.IntegerField(help_text="Offerings and plans of them that count.")
    findings = RuleFindingResource(many=True)
    proxies = ProxyResource(
        many=True, help_text="Conditions that match offerings of one side alone, though no twin moves."
    )


class DecisionReference(Out):
    id = serializers.IntegerField()
    about = serializers.CharField()
    rate = Percent(source="rate_ppm")
    starts = serializers.DateField(allow_null=True)
    ends = serializers.DateField(allow_null=True)
    reason = serializers.CharField()
    made_by = serializers.CharField()
    checked_by = serializers.CharField(allow_null=True)


class UnequalOffering(Out):
    slug = serializers.SlugField()
    plan = serializers.CharField(allow_blank=True)
    publisher = serializers.CharField()
    lines = serializers.IntegerField()


class EligibilityFinding(Out):
    """Offerings that count for less than the best of the other side, by one decision or by none."""

    side = serializers.CharField()
    other_side = serializers.CharField()
    rate = Percent(source="rate_ppm")
    other_rate = Percent(source="other_ppm")
    since = serializers.DateField(allow_null=True)
    until = serializers.DateField(
        help_text="First day of the period on which it is otherwise, or the period's end."
    )
    decision = DecisionReference(allow_null=True)
    publishers = serializers.ListField(child=serializers.CharField())
    offerings = UnequalOffering(many=True)
    offerings_in_all = serializers.IntegerField()
    lines = serializers.IntegerField()
    deals = serializers.IntegerField()
    value = FoundValue("value_minor")
    exception = ExceptionResource(allow_null=True)


class RateResource(Out):
    publisher = serializers.SlugField(source="slug")
    side = serializers.CharField()
    offerings = serializers.IntegerField()
    full = serializers.IntegerField()
    part = serializers.IntegerField()
    none = serializers.IntegerField()
    lowest = Percent(source="lowest_ppm")
    highest = Percent(source="highest_ppm")
    value = FoundValue("value_minor")


class ParityEligibility(Out):
    verdict = serializers.ChoiceField(VERDICTS)
    as_of = serializers.DateField()
    rates = RateResource(many=True)
    findings = EligibilityFinding(many=True)


class BeforeAfter(Out):
    before = Percent(source="before_ppm")
    after = Percent(source="after_ppm")


class PolicyPublisher(Out):
    publisher = serializers.SlugField(source="slug")
    concerned = serializers.BooleanField(help_text="The decision is about it.")
    deals = BeforeAfter()
    value = BeforeAfter()
    credit = BeforeAfter()


class PolicyResource(Out):
    """Each publisher's share of deals, value and credit over equally long spans before and after a day of decisions."""

    day = serializers.DateField()
    days = serializers.IntegerField(source="length")
    decisions = serializers.ListField(child=serializers.CharField())
    publishers = PolicyPublisher(many=True)


class BehaviourResource(Out):
    side = serializers.CharField()
    publisher = serializers.SlugField(source="slug", allow_null=True, help_text="Null: the whole side.")
    deals = serializers.IntegerField()
    approval_minutes = serializers.IntegerField(
        source="minutes", allow_null=True, help_text="Median from submission to approval."
    )
    rejected = serializers.IntegerField()
    returned = serializers.IntegerField()
    held = serializers.IntegerField()


class ParityResource(Out):
    """Two verdicts, neither alone called parity."""

    period = serializers.CharField()
    between = serializers.CharField()
    sides = serializers.ListField(child=serializers.CharField())
    starts = serializers.DateField()
    ends = serializers.DateField(help_text="First day that is no longer in it.")
    on = serializers.DateField()
    proof = serializers.IntegerField(
        allow_null=True, help_text="The kept proof that says the same; null if none does."
    )
    rules_digest = serializers.CharField(help_text="SHA-256 of the rules that were proved.")
    rules = ParityRules()
    eligibility = ParityEligibility()
    policy = PolicyResource(many=True)
    behaviour = BehaviourResource(
        many=True, help_text="Part of no verdict; empty for those who read verdicts alone."
    )


class Parity(Seen, Computed):
    """For comp admins and auditors in full, for managers and executives without lines and behaviour; for nobody else."""

    parameters = ("period", "between")

    @extend_schema(
        summary="The parity report of a period",
        operation_id="parity_retrieve",
        parameters=[
            OpenApiParameter(
                "period", OpenApiTypes.STR, description="Such as FY27-Q1; the current quarter if left out."
            ),
            OpenApiParameter(
                "between",
                OpenApiTypes.STR,
                description="origin (if left out), path, or publisher:a,b with the slugs of two publishers.",
            ),
        ],
        responses=ParityResource,
    )
    def get(self, request: Request) -> Response:
        if not self.caller.has_role(*READS):
            raise NotFound.of("not_found", "There is nothing here that you can see.")
        period = asked_period(request.query_params.get("period"), self.viewer.on)
        try:
            between = Between.parse(request.query_params.get("between", "origin"))
        except Invalid as unknown:
            raise BadQuery(("between", "unknown_comparison", unknown.problems[0].message)) from unknown
        report, kept = current_report(period, between=between, on=self.viewer.on)
        return Response(ParityResource(_body(report, kept, sees_all=self.caller.has_role(*READS_ALL))).data)


def _body(report: Any, kept: Any, *, sees_all: bool) -> dict[str, Any]:
    found = report.findings
    unit = {name: found["eligibility"][name] for name in ("currency", "exponent")}
    rules, eligibility = found["rules"], found["eligibility"]
    return {
        **{name: found[name] for name in ("between", "sides", "on")},
        "period": found["subject"]["period"],
        "starts": report.starts,
        "ends": report.ends,
        "proof": kept.pk if is_of(kept, report) else None,
        "rules_digest": report.rules_digest,
        "rules": {
            "verdict": report.rules_verdict,
            "lines_checked": report.lines_checked,
            "combinations_checked": report.combinations_checked,
            "offerings_checked": rules["offerings"],
            "findings": [f if sees_all else {**f, "shown": []} for f in rules["findings"]],
            "proxies": rules["proxies"],
        },
        "eligibility": {
            "verdict": report.eligibility_verdict,
            "as_of": eligibility["as_of"],
            "rates": [{**row, **unit} for row in eligibility["rates"]],
            "findings": [{**group, **unit} for group in eligibility["findings"]],
        },
        "policy": [
            {**event, "decisions": [f"{d['about']}: {d['rate']}" for d in event["decisions"]]}
            for event in found["policy"]
        ],
        "behaviour": found["behaviour"] if sees_all else [],
    }
