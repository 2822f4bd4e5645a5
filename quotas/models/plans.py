"""Plans: versions of crediting rules with effective dates. Published is immutable."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField, DateRangeField
from django.db import models
from django.db.models import F, Q

from quotas.models.quotas import Measure


class CompPlan(models.Model):
    """A compensation plan, whatever its version."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)

    def __str__(self) -> str:
        return self.name


class PlanState(models.TextChoices):
    DRAFT = "draft", "Draft"
    IN_REVIEW = "in_review", "In review"
    PUBLISHED = "published", "Published"
    SUPERSEDED = "superseded", "Superseded"


class PlanVersion(models.Model):
    """A plan's rules over a span of credit dates. Where published versions overlap, the higher number counts."""

    plan = models.ForeignKey(CompPlan, models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=PlanState, default=PlanState.DRAFT)
    effective = DateRangeField()
    note = models.CharField(max_length=500, blank=True)
    drafted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    drafted_at = models.DateTimeField()
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


class ReceiverClass(models.IntegerChoices):
    DIRECT = 1, "Direct"
    OVERLAY = 2, "Overlay"


class RuleVersion(models.Model):
    """What a rule says in one plan version. An empty condition means any; a set means one of these."""

    rule = models.ForeignKey(CreditingRule, models.PROTECT, related_name="versions")
    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="rules")
    name = models.CharField(max_length=160)
    measure = models.ForeignKey(Measure, models.PROTECT, related_name="+")
    receivers = models.PositiveSmallIntegerField(choices=ReceiverClass, default=ReceiverClass.DIRECT)
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
    pricing_forms = ArrayField(models.CharField(max_length=12), null=True, blank=True)
    deal_kinds = ArrayField(models.CharField(max_length=15), null=True, blank=True)
    segments = ArrayField(models.CharField(max_length=30), null=True, blank=True)
    regions = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    roles = ArrayField(models.CharField(max_length=20), null=True, blank=True)

    CONDITIONS = (
        "offerings",
        "publishers",
        "families",
        "paths",
        "pricing_forms",
        "deal_kinds",
        "segments",
        "regions",
        "roles",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "rule"], name="rule_once_in_a_plan_version"),
            models.CheckConstraint(
                condition=Q(cap_minor=None) | Q(cap_minor__gte=0), name="rule_cap_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(cap_minor=None) | Q(exclusive=True), name="only_an_exclusive_rule_has_a_cap"
            ),
            models.CheckConstraint(
                condition=Q(factor_ppm__lte=100_000_000), name="rule_factor_at_most_one_hundred"
            ),
        ]

    def __str__(self) -> str:
        return self.name
