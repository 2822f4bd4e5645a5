"""Plans: versions of crediting rules with effective dates. Published is immutable."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField, DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models import Currency, EligibilityDecision
from quotas.models.people import Rep, SalesRole
from quotas.models.periods import Period
from quotas.models.quotas import Measure


class CompPlan(models.Model):
    """A compensation plan, whatever its version."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)

    def __str__(self) -> str:
        return self.name


class PlanState(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    IN_REVIEW = "in_review", marked("In review")
    PUBLISHED = "published", marked("Published")
    SUPERSEDED = "superseded", marked("Superseded")


class PlanVersion(models.Model):
    """A plan's rules over a span of credit dates. Where published versions overlap, the higher number counts."""

    plan = models.ForeignKey(CompPlan, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=PlanState, default=PlanState.DRAFT)
    effective = DateRangeField()
    note = models.CharField(max_length=500, blank=True)
    drafted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    drafted_at = models.DateTimeField()
    review_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    review_asked_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # published_plan_version_is_immutable is a trigger, made in SQL.
        constraints = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number_unique"),
            models.CheckConstraint(
                condition=~Q(published_by=F("drafted_by")), name="plan_published_by_another_person"
            ),
            models.CheckConstraint(
                condition=Q(published_by=None)
                | Q(review_asked_by=None)
                | ~Q(published_by=F("review_asked_by")),
                name="plan_not_published_by_who_asked_for_it",
            ),
            models.CheckConstraint(
                condition=~Q(state="published") | Q(published_by__isnull=False, published_at__isnull=False),
                name="published_by_somebody_at_some_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.plan.name} v{self.number}"


class CreditingRule(models.Model):
    """A rule's stable identity: kept from one plan version to the next, it is the same rule."""

    plan = models.ForeignKey(CompPlan, models.PROTECT, related_name="rules")
    slug = models.SlugField(max_length=80)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["plan", "slug"], name="rule_slug_unique_in_its_plan")]


class PlanAssignment(models.Model):
    """Whom a plan's rules look at over a half-open span of credit dates: one rep, everybody in a role, or, both empty, everybody.

    Assignments add: a rep has the plans of everybody, of their role and their own.
    """

    plan = models.ForeignKey(CompPlan, models.PROTECT, related_name="assignments")
    role = models.CharField(max_length=20, choices=SalesRole, blank=True)
    rep = models.ForeignKey(Rep, models.PROTECT, null=True, blank=True, related_name="plan_assignments")
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # plan_is_assigned_once_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=Q(role="") | Q(rep=None), name="plan_assigned_to_a_role_or_a_rep"
            )
        ]


class PlanComponent(models.Model):
    """A measure that a plan pays for: how much it weighs in the attainment, and what reaching the quota is worth.

    The weights of a plan version add up to one million.
    """

    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="components")
    measure = models.ForeignKey(Measure, models.PROTECT, related_name="+")
    weight_ppm = models.PositiveIntegerField(help_text="Parts per million.")
    target_incentive_minor = models.BigIntegerField(
        null=True, blank=True, help_text="A year's pay at 100 %, in minor units of its currency."
    )
    currency = models.ForeignKey(Currency, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["plan_version", "measure"], name="measure_once_in_a_plan_version"
            ),
            models.CheckConstraint(
                condition=Q(weight_ppm__gt=0, weight_ppm__lte=1_000_000),
                name="component_weight_between_nothing_and_all",
            ),
            models.CheckConstraint(
                condition=Q(target_incentive_minor=None, currency=None)
                | Q(target_incentive_minor__gte=0, currency__isnull=False),
                name="target_incentive_has_a_currency",
            ),
        ]


class Receivers(models.IntegerChoices):
    """Who earns under a rule. All but the first are overlay."""

    SHARES = 1, marked("The deal's own shares")
    TERRITORY = 2, marked("Those who cover the customer's territory")
    ROLE = 3, marked("Everybody who holds the role")


class RuleVersion(models.Model):
    """What a rule says in one plan version. An empty condition means any; a set means one of these."""

    rule = models.ForeignKey(CreditingRule, models.PROTECT, related_name="versions")
    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="rules")
    name = models.CharField(max_length=160)
    measure = models.ForeignKey(Measure, models.PROTECT, related_name="+")
    receivers = models.PositiveSmallIntegerField(choices=Receivers, default=Receivers.SHARES)
    exclusive = models.BooleanField(help_text="One exclusive rule wins; all stackable ones (SPIFFs) add.")
    factor_ppm = models.PositiveIntegerField(
        help_text="Multiplier of an exclusive rule (1100000 is 110 %), own factor of a stackable one (50000 adds 5 %)."
    )
    cap_minor = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="Most credit and uplift of one deal under this rule; minor units of the measure.",
    )
    effective = DateRangeField(
        null=True, blank=True, help_text="Credit dates; empty is as long as the plan version."
    )
    priority = models.IntegerField(default=0, help_text="The higher wins; then the one with more conditions.")
    offerings = ArrayField(models.BigIntegerField(), null=True, blank=True)
    publishers = ArrayField(models.BigIntegerField(), null=True, blank=True)
    families = ArrayField(models.CharField(max_length=60), null=True, blank=True)
    paths = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    task_areas = ArrayField(models.BigIntegerField(), null=True, blank=True)
    pricing_forms = ArrayField(models.CharField(max_length=12), null=True, blank=True)
    deal_kinds = ArrayField(models.CharField(max_length=15), null=True, blank=True)
    segments = ArrayField(models.CharField(max_length=30), null=True, blank=True)
    regions = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    roles = ArrayField(
        models.CharField(max_length=20), null=True, blank=True, help_text="The receiver's, not the owner's."
    )
    territories = ArrayField(
        models.BigIntegerField(),
        null=True,
        blank=True,
        help_text="The customer's; only where those who cover it receive.",
    )

    CONDITIONS = (
        "offerings",
        "publishers",
        "families",
        "paths",
        "task_areas",
        "pricing_forms",
        "deal_kinds",
        "segments",
        "regions",
        "roles",
        "territories",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "rule"], name="rule_once_in_a_plan_version"),
            # An empty list would match nothing, where no list matches everything.
            models.CheckConstraint(
                condition=~(
                    Q(offerings=[])
                    | Q(publishers=[])
                    | Q(families=[])
                    | Q(paths=[])
                    | Q(task_areas=[])
                    | Q(pricing_forms=[])
                    | Q(deal_kinds=[])
                    | Q(segments=[])
                    | Q(regions=[])
                    | Q(roles=[])
                    | Q(territories=[])
                ),
                name="rule_condition_names_something",
            ),
            models.CheckConstraint(
                condition=Q(cap_minor=None) | Q(cap_minor__gte=0), name="rule_cap_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(cap_minor=None) | Q(exclusive=True), name="only_an_exclusive_rule_has_a_cap"
            ),
            models.CheckConstraint(
                condition=Q(factor_ppm__lte=100_000_000), name="rule_factor_at_most_one_hundred"
            ),
            models.CheckConstraint(
                condition=Q(territories=None) | Q(receivers=2),
                name="territories_only_where_who_covers_them_earns",
            ),
            models.CheckConstraint(
                condition=~Q(receivers=3) | Q(roles__isnull=False), name="overlay_by_role_names_the_role"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class ParityException(models.Model):
    """An unequal treatment that is allowed for a while, with a reason: of one rule, or of one eligibility decision. Two people."""

    rule = models.ForeignKey(
        CreditingRule, models.PROTECT, null=True, blank=True, related_name="parity_exceptions"
    )
    decision = models.ForeignKey(EligibilityDecision, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=500)
    effective = DateRangeField(help_text="Credit dates.")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rule=None, decision__isnull=False) | Q(rule__isnull=False, decision=None),
                name="parity_exception_of_a_rule_or_a_decision",
            ),
            models.CheckConstraint(
                condition=~Q(approved_by=F("asked_by")), name="parity_exception_approved_by_another_person"
            ),
        ]


class ParityVerdict(models.TextChoices):
    CLEAN = "clean", marked("Clean")
    EXCEPTED = "excepted", marked("Clean but for exceptions")
    REFUSED = "refused", marked("Not equal")


class ParityProof(models.Model):
    """What a run of the parity proof found, kept as evidence: for a period, or for a plan version before it is published."""

    application_may = "SELECT, INSERT"

    period = models.ForeignKey(Period, models.PROTECT, null=True, blank=True, related_name="+")
    plan_version = models.ForeignKey(
        PlanVersion, models.PROTECT, null=True, blank=True, related_name="proofs"
    )
    between = models.CharField(
        max_length=200, default="origin", help_text="origin, path, or publisher:a,b with two slugs."
    )
    starts = models.DateField()
    ends = models.DateField()
    rules_verdict = models.CharField(max_length=10, choices=ParityVerdict)
    eligibility_verdict = models.CharField(max_length=10, choices=ParityVerdict)
    lines_checked = models.BigIntegerField()
    combinations_checked = models.BigIntegerField()
    findings = models.JSONField(help_text="As the report shows them.")
    rules_digest = models.CharField(
        max_length=64,
        help_text="SHA-256 of the rules that were proved; a draft changed since needs a new proof.",
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["plan_version", "-id"], name="parity_proof_of_a_plan")]
