"""What the sales endpoints answer with."""

from fractions import Fraction
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.rest.fields import MONEY_SCHEMA, MoneyField, money
from quotas.api.measured import MeasuredField, MeasuredOrNull, percent, percent_of_ppm
from quotas.models import Component, Deal, DealKind, DealState, Grain, PeriodState, Reason, ReceiverClass
from quotas.selectors import asof
from quotas.selectors.periods import WORDS

PERCENT: dict[str, Any] = {"type": "string", "pattern": r"^-?\d+\.\d{4}$", "examples": ["33.3333"]}
PERCENT_OR_NULL: dict[str, Any] = {**PERCENT, "type": ["string", "null"]}
MONEY_OR_NULL: dict[str, Any] = {**MONEY_SCHEMA, "type": ["object", "null"]}
COMPONENTS = {
    Component.CREDIT: "credit",
    Component.UPLIFT: "uplift",
    Component.SPIFF: "spiff",
    Component.CAP_CUT: "cap_cut",
    Component.ADJUSTMENT: "adjustment",
}
ESTIMATED = [name for component, name in COMPONENTS.items() if component != Component.ADJUSTMENT]
RECEIVERS = {ReceiverClass.DIRECT: "direct", ReceiverClass.OVERLAY: "overlay"}


@extend_schema_field(PERCENT)
class PercentField(serializers.Field[Any, Any, str, Any]):
    """Parts per million as per cent with four decimals."""

    def to_representation(self, value: int) -> str:
        return percent_of_ppm(value)


@extend_schema_field(PERCENT)
class FractionField(serializers.Field[Any, Any, str, Any]):
    """An exact ratio as per cent with four decimals, halves away from zero."""

    def to_representation(self, value: Fraction) -> str:
        return percent(value.numerator, value.denominator) or ""


STANDINGS = [(s, s) for s in ("ahead", "on_pace", "behind", "at_risk", "no_quota")]


class Out(serializers.Serializer[Any]):
    """Only ever written."""


# Deals.


class DealLineResource(Out):
    line_no = serializers.IntegerField(help_text="From 1. Pointers of problems count from 0, as JSON does.")
    offering = serializers.SlugField(source="offering.slug")
    plan = serializers.SerializerMethodField()
    amount = MoneyField(minor="amount_minor", currency="version.currency")
    billed = serializers.SerializerMethodField(
        help_text="Of a month's consumption, once that is known; amount is what was metered."
    )
    quantity = serializers.DecimalField(
        max_digits=16, decimal_places=4, normalize_output=True, allow_null=True
    )
    term_months = serializers.IntegerField(allow_null=True)

    def get_plan(self, line: Any) -> str | None:
        return line.plan.slug if line.plan else None

    @extend_schema_field(MONEY_OR_NULL)
    def get_billed(self, line: Any) -> dict[str, str] | None:
        currency = line.version.currency
        return money(line.billed_minor, currency.code, currency.exponent)


class DealShareResource(Out):
    rep = serializers.SlugField(source="rep.slug")
    percent = PercentField(source="ppm")


class AmendmentResource(Out):
    """New facts of an approved deal that wait for approval. Until then what stands is credited."""

    version = serializers.IntegerField(source="latest.number")
    reason = serializers.CharField(source="latest.reason")
    amended_at = serializers.DateTimeField()
    title = serializers.CharField(source="latest.title")
    kind = serializers.ChoiceField(DealKind.choices, source="latest.kind")
    close_date = serializers.DateField(source="latest.close_date")
    currency = serializers.CharField(source="latest.currency_id")
    new_customer = serializers.BooleanField(source="latest.new_customer")
    lines = DealLineResource(many=True, source="latest.lines.all")
    shares = DealShareResource(many=True, source="latest.shares.all")


class DealLinks(Out):
    self = serializers.CharField()
    explanation = serializers.CharField(
        required=False, help_text="Why each credit is what it is, and why there is none."
    )
    credits = serializers.CharField(required=False, help_text="The ledger's entries of this deal.")


class DealResource(Out):
    """A deal in its version in force: the latest, or the credited one while an amendment waits.

    To a partner it shows that publisher's own lines, nobody's name and no amendment that is not approved.
    """

    id = serializers.IntegerField()
    reference = serializers.CharField()
    state = serializers.ChoiceField(DealState.choices)
    held = serializers.BooleanField(help_text="Approved, but out of attainment until released.")
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the attribute
    external_id = serializers.CharField(allow_null=True)
    owner = serializers.SlugField(source="owner.slug", allow_null=True, help_text="Null to a partner.")
    customer = serializers.SlugField(source="customer.slug", allow_null=True, help_text="Null to a partner.")
    title = serializers.CharField(source="in_force.title", allow_null=True)
    kind = serializers.ChoiceField(DealKind.choices, source="in_force.kind")
    close_date = serializers.DateField(source="in_force.close_date", help_text="The credit date.")
    currency = serializers.CharField(source="in_force.currency_id")
    amount = serializers.SerializerMethodField(help_text="The sum of the lines shown.")
    new_customer = serializers.BooleanField(source="in_force.new_customer")
    refunds = serializers.IntegerField(
        source="in_force.refunds_id", allow_null=True, help_text="Id of the deal that this one refunds."
    )
    lines = DealLineResource(many=True, source="in_force.lines.all")
    shares = DealShareResource(
        many=True,
        source="in_force.shares.all",
        allow_null=True,
        help_text="In participant order. Null to a partner.",
    )
    version = serializers.IntegerField(source="in_force.number")
    amendment = serializers.SerializerMethodField(
        help_text="New facts that wait for approval; null where none do."
    )
    revision = serializers.IntegerField(help_text="Counts every change.")
    created_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    links = serializers.SerializerMethodField()

    @extend_schema_field(MONEY_SCHEMA)
    def get_amount(self, deal: Deal) -> dict[str, str] | None:
        version = deal.in_force
        shown = sum(line.amount_minor for line in version.lines.all())
        return money(shown, version.currency.code, version.currency.exponent)

    @extend_schema_field(AmendmentResource(allow_null=True))
    def get_amendment(self, deal: Deal) -> dict[str, Any] | None:
        if deal.amended_at is None or self.context["view"].viewer.is_outside:
            return None
        return dict(AmendmentResource(deal).data)

    @extend_schema_field(DealLinks)
    def get_links(self, deal: Deal) -> dict[str, str]:
        view = self.context["view"]
        own = view.reverse_action("detail", kwargs={"pk": deal.pk})
        if view.viewer.is_outside:
            return {"self": own}
        return {
            "self": own,
            "explanation": view.reverse_action("explanation", kwargs={"pk": deal.pk}),
            "credits": f"{view.credits_address()}?deal={deal.pk}",
        }

    def to_representation(self, instance: Deal) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        if self.context["view"].viewer.is_outside:
            # external_id and title are written by sellers and may name the customer.
            shown |= dict.fromkeys(("owner", "customer", "title", "external_id", "shares", "refunds"))
        elif not shown["external_id"]:
            shown["external_id"] = None
        return shown


# Credits.


class RuleReference(Out):
    slug = serializers.SlugField(source="rule.slug")
    name = serializers.CharField()
    plan_version = serializers.CharField(help_text="The compensation plan and the number of its version.")


class CreditResource(Out):
    """One entry of the ledger. It never changes; a correction is another entry that names it in `reverses`.

    An adjustment's has no deal, line and rule: what gave it is named in `adjustment`.
    """

    id = serializers.IntegerField()
    deal = serializers.IntegerField(source="deal_id", allow_null=True)
    line_no = serializers.IntegerField(allow_null=True)
    rep = serializers.SlugField(source="rep.slug")
    team = serializers.SlugField(source="team.slug", help_text="The rep's team on the credit date.")
    measure = serializers.SlugField(source="measure.slug")
    component = serializers.SerializerMethodField()
    receiver = serializers.SerializerMethodField(help_text="direct rolls up to managers, overlay never does.")
    amount = MeasuredField()
    credit_date = serializers.DateField()
    posting_period = serializers.CharField(source="posting_period.name")
    origin_period = serializers.CharField(source="origin_period.name")
    rule = RuleReference(source="rule_version", allow_null=True)
    adjustment = serializers.IntegerField(
        source="adjustment_id", allow_null=True, help_text="What gave or took it by hand."
    )
    reverses = serializers.IntegerField(source="reverses_id", allow_null=True)
    reversed_by = serializers.IntegerField(allow_null=True)
    recorded_at = serializers.DateTimeField(source="posting.recorded_at")

    @extend_schema_field({"type": "string", "enum": list(COMPONENTS.values())})
    def get_component(self, entry: Any) -> str:
        return COMPONENTS[entry.component]

    @extend_schema_field({"type": "string", "enum": list(RECEIVERS.values())})
    def get_receiver(self, entry: Any) -> str:
        return RECEIVERS[entry.receiver_class]


class ExplanationStep(Out):
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name, not the attribute
    detail = serializers.CharField()
    value = serializers.CharField()


class ExplanationFact(Out):
    """A fact that the engine used, in the version that it used."""

    name = serializers.CharField(
        help_text="Stable: credit_date, deal_version, offering, plan, price_version, fx_rate, eligibility_decision, team, share, "
        "account_owner, overlay, rule, plan_assignment; of an adjustment: adjustment, reason_code, credit_date, team, asked_by, "
        "approved_by, deal, dispute, undone_by."
    )
    id = serializers.IntegerField(allow_null=True, help_text="Of the row, where it has one.")
    value = serializers.CharField()
    detail = serializers.CharField(allow_blank=True)


class FailedConditionResource(Out):
    """The first condition of a rule that does not hold, with both sides."""

    condition = serializers.CharField(
        help_text="deal_kinds, regions, ... as in a rule; plan_version, dates or assignment where it is about the plan."
    )
    asks = serializers.CharField()
    has = serializers.CharField(allow_blank=True)


class TriedRuleResource(Out):
    """A rule that was tried: it won, lost to another one, added (stackable), or failed."""

    rule = RuleReference()
    exclusive = serializers.BooleanField(source="rule.exclusive")
    priority = serializers.IntegerField(source="rule.priority")
    conditions = serializers.IntegerField(help_text="How many conditions are not any.")
    result = serializers.ChoiceField([(r, r) for r in ("won", "lost", "added", "failed")])
    detail = serializers.CharField(source="why")
    failed = serializers.SerializerMethodField()

    @extend_schema_field(FailedConditionResource(allow_null=True))
    def get_failed(self, tried: Any) -> dict[str, Any] | None:
        return dict(FailedConditionResource(tried.failed[0]).data) if tried.failed else None


class SplitPartResource(Out):
    """A participant's part of the line: who got the units that rounding down left over, and for which remainder."""

    participant = serializers.IntegerField(source="ordinal", help_text="As in the deal's shares, from 1.")
    own = serializers.BooleanField(help_text="The receiver of this credit.")
    percent = PercentField(source="ppm")
    remainder_ppm = serializers.IntegerField(
        help_text="What rounding down dropped, in parts per million of a minor unit."
    )
    odd_unit = serializers.BooleanField(help_text="Largest remainder; on a tie the earlier participant.")


class CreditExplanationResource(Out):
    """Why one credit is what it is: each step from the line's value to the amount, the facts used, the rules tried.

    An adjustment explains itself: its reason, who asked for it and who approved it; there are no rules and no split then.
    """

    credit = CreditResource()
    sentence = serializers.CharField()
    steps = ExplanationStep(many=True)
    facts = ExplanationFact(many=True)
    rules = TriedRuleResource(
        many=True, help_text="Those that matched first, the closest of the others next."
    )
    split = SplitPartResource(
        many=True, help_text="In participant order; empty for overlay and for consumption."
    )
    evaluated = MeasuredField(
        minor="evaluated_minor", help_text="Computed again from the pins, just now; equal to the amount."
    )
    holds = serializers.BooleanField(help_text="Whether it is.")
    pins = serializers.DictField(child=serializers.JSONField(), help_text="What the engine used, by name.")


class UncreditedResource(Out):
    """Why a line has no credit: a code, one sentence, and where the fact behind it is mended."""

    line_no = serializers.IntegerField()
    measure = serializers.SlugField(allow_null=True, help_text="Null: in every measure.")
    rep = serializers.SlugField(allow_null=True, help_text="Null: for everybody.")
    reason = serializers.ChoiceField(Reason.choices)
    detail = serializers.CharField()
    remedy = serializers.CharField()
    rules = TriedRuleResource(
        many=True, help_text="For no_rule: the rules that were tried, the closest first."
    )


class DealExplanationResource(Out):
    """Every credit of a deal that you may see, and why what earned nothing earned nothing; before approval: would earn nothing."""

    deal = serializers.IntegerField()
    reference = serializers.CharField()
    credits = CreditExplanationResource(many=True)
    uncredited = UncreditedResource(many=True)


# Estimates.


class EstimatedCreditResource(Out):
    line_no = serializers.IntegerField()
    rep = serializers.SlugField()
    team = serializers.SlugField()
    measure = serializers.SlugField(source="measure.slug")
    component = serializers.ChoiceField([(v, v) for v in ESTIMATED])
    amount = MeasuredField()
    rule = RuleReference()
    period = serializers.CharField(help_text="The month whose attainment it would enter.")


class StandingResource(Out):
    rep = serializers.SlugField()
    measure = serializers.SlugField(source="measure.slug")
    period = serializers.CharField()
    quota = MeasuredOrNull(minor="quota_minor")
    credited_before = MeasuredField(minor="before_minor")
    credited_after = MeasuredField(minor="after_minor")
    attainment_before = serializers.CharField(allow_null=True, help_text="Per cent of quota.")
    attainment_after = serializers.CharField(allow_null=True, help_text="Per cent of quota.")
    rank_before = serializers.IntegerField(allow_null=True)
    rank_after = serializers.IntegerField(allow_null=True)


class EstimateResource(Out):
    """What the deal would earn if it were approved now, by the engine that posts. Nothing is written."""

    credits = EstimatedCreditResource(many=True)
    uncredited = UncreditedResource(many=True)
    standings = StandingResource(many=True)


# Targets and periods.


class PeriodResource(Out):
    id = serializers.IntegerField()
    name = serializers.CharField()
    calendar = serializers.SlugField(source="calendar.slug")
    grain = serializers.SerializerMethodField()
    starts = serializers.DateField()
    ends = serializers.DateField(help_text="First day that is no longer in it.")
    state = serializers.SerializerMethodField(help_text="Of months alone: they are what closes.")
    quarter = serializers.CharField(source="quarter.name", default=None, allow_null=True)
    half = serializers.CharField(source="half.name", default=None, allow_null=True)
    year = serializers.CharField(source="year.name", default=None, allow_null=True)

    @extend_schema_field({"type": "string", "enum": list(WORDS.values())})
    def get_grain(self, period: Any) -> str:
        return WORDS[period.grain]

    @extend_schema_field({"type": ["string", "null"], "enum": [*PeriodState.values, None]})
    def get_state(self, period: Any) -> str | None:
        return str(period.state) if period.grain == Grain.MONTH else None


class QuotaResource(Out):
    id = serializers.IntegerField()
    measure = serializers.SlugField(source="measure.slug")
    period = serializers.CharField(source="period.name")
    rep = serializers.SlugField(source="rep.slug", default=None, allow_null=True)
    team = serializers.SlugField(source="team.slug", default=None, allow_null=True)
    amount = MeasuredField()
    version = serializers.IntegerField()
    starts = serializers.DateField(
        allow_null=True, help_text="First day of this version; null is the whole period."
    )
    method = serializers.CharField(
        help_text="last: the last version counts; weighted: versions are weighted by their days."
    )
    recorded_at = serializers.DateTimeField()
    superseded_at = serializers.DateTimeField(allow_null=True)


class WeightedComponentResource(Out):
    """A measure of a plan: its contribution is weight x attainment. Without a quota it is named and adds nothing."""

    measure = serializers.SlugField(source="measure.slug")
    weight_percent = PercentField(source="weight_ppm")
    credited = MeasuredField(minor="credited_minor")
    quota = MeasuredOrNull(minor="quota_minor")
    attainment_percent = FractionField(source="attainment", allow_null=True)
    contribution_percent = FractionField(source="contribution", allow_null=True)


class WeightedAttainmentResource(Out):
    """Under one plan version that the rep has on the period's last day, or today: the components' contributions added up."""

    plan_version = serializers.CharField()
    weighted_percent = FractionField(
        source="weighted", allow_null=True, help_text="Null if no component has a quota."
    )
    weight_counted_percent = PercentField(
        source="weight_counted_ppm", help_text="The weight of the components that have one."
    )
    components = WeightedComponentResource(many=True)


VIEWS = [(view, view) for view in asof.VIEWS]


class AttainmentResource(Out):
    """Credited against quota: as reported (by posting period) unless another version was asked for."""

    view = serializers.ChoiceField(VIEWS)
    close = serializers.IntegerField(allow_null=True, help_text="Of the view closed: the close's number.")
    group = serializers.ChoiceField([("rep", "rep"), ("team", "team")])
    id = serializers.IntegerField()
    slug = serializers.SlugField()
    name = serializers.CharField()
    team = serializers.SlugField(allow_null=True, help_text="The rep's team, or the team above.")
    measure = serializers.SlugField(source="measure.slug")
    period = serializers.CharField(source="period.name")
    credited = MeasuredField(minor="credited_minor")
    quota = MeasuredOrNull(minor="quota_minor")
    attainment_percent = serializers.CharField(allow_null=True, help_text="Null without a quota above zero.")
    pace_percent = serializers.CharField(help_text="Linear: the share of the period's days that have begun.")
    gap_to_pace = MeasuredOrNull(minor="gap_minor")
    status = serializers.ChoiceField(STANDINGS)
    as_of = serializers.DateTimeField(allow_null=True, help_text="The last posting that is counted.")
    weighted = WeightedAttainmentResource(
        many=True,
        help_text="Of a rep: by each plan that weighs measures, whatever measure was asked for. Empty for a team.",
    )


# Leaderboards.


class BoardReference(Out):
    id = serializers.IntegerField()
    measure = serializers.SlugField(source="slug")
    name = serializers.CharField()
    currency = serializers.CharField(source="currency_id", allow_null=True, help_text="Null: it counts.")
    basis = serializers.CharField()
    url = serializers.SerializerMethodField()

    def get_url(self, measure: Any) -> str:
        return str(self.context["view"].board_address(measure))


class LeaderboardEntry(Out):
    rank = serializers.IntegerField(
        allow_null=True, help_text="Competition rank (1, 1, 3); null where there is nothing to rank by."
    )
    previous_rank = serializers.IntegerField(allow_null=True, help_text="A week ago.")
    id = serializers.IntegerField(allow_null=True)
    slug = serializers.SlugField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    team = serializers.SlugField(
        allow_null=True, help_text="The rep's team, the team above a team, the publisher of an offering."
    )
    value = MeasuredOrNull(minor="value_minor")
    quota = MeasuredOrNull(minor="quota_minor")
    attainment_percent = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(STANDINGS)
    as_of = serializers.DateTimeField(allow_null=True)


class LeaderboardResource(Out):
    measure = serializers.SlugField()
    period = serializers.CharField()
    by = serializers.ChoiceField([("credit", "credit"), ("attainment", "attainment")])
    group = serializers.ChoiceField([(g, g) for g in ("rep", "team", "publisher", "offering")])
    team = serializers.SlugField(allow_null=True)
    on = serializers.DateField(help_text="The day as at which it is read.")
    as_of = serializers.DateTimeField(
        allow_null=True, help_text="The last posting that is counted, or the moment that was asked for."
    )
    view = serializers.ChoiceField(VIEWS)
    close = serializers.IntegerField(allow_null=True, help_text="Of the view closed: the close's number.")
    pace_percent = serializers.CharField()
    suppressed = serializers.BooleanField(
        help_text="Something is left out because too few people are behind it."
    )
    results = LeaderboardEntry(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class UsageResource(Out):
    """What one customer used of one offering in one month, as it is credited now."""

    deal = serializers.IntegerField(source="version.deal_id", help_text="The deal that holds the month.")
    line_no = serializers.IntegerField()
    customer = serializers.SlugField(source="version.deal.customer.slug")
    offering = serializers.SlugField(source="offering.slug")
    plan = serializers.SerializerMethodField()
    credit_date = serializers.DateField(
        source="version.close_date", help_text="The month's last day; today while it is still running."
    )
    consumed = MoneyField(minor="amount_minor", currency="version.currency")
    billed = serializers.SerializerMethodField(help_text="Null while it is an estimate.")
    quantity = serializers.DecimalField(
        max_digits=16, decimal_places=4, normalize_output=True, allow_null=True
    )
    source = serializers.CharField(source="version.deal.source")  # type: ignore[assignment]  # a field of that name, not the attribute
    version = serializers.IntegerField(source="version.number")
    recorded_at = serializers.DateTimeField(source="version.recorded_at")

    def get_plan(self, line: Any) -> str | None:
        return line.plan.slug if line.plan else None

    @extend_schema_field(MONEY_OR_NULL)
    def get_billed(self, line: Any) -> dict[str, str] | None:
        currency = line.version.currency
        return money(line.billed_minor, currency.code, currency.exponent)


class UsageRecorded(Out):
    """How many of the rows that were sent are new, changed what was known, or said it again."""

    new = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()


class CustomerResource(Out):
    id = serializers.IntegerField()
    slug = serializers.SlugField()
    name = serializers.CharField()
    segment = serializers.CharField()
    region = serializers.CharField()
    country = serializers.CharField(help_text="ISO 3166-1 alpha-2 of the billing address.")
    industry = serializers.CharField(allow_blank=True)
