"""Our own products, their features, and the models that power them by date. A model may power a feature and not be for sale."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField, DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.evaluations import Evaluation
from marketplace.models.models_on_offer import ModelVersion, Offering, Plan, TaskArea
from marketplace.models.sourcing.facts import PublicFact
from marketplace.models.sourcing.judging import SuiteRun


class Product(models.Model):
    """What we sell that runs on models: a code assistant, an office assistant."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    about = models.CharField(max_length=300, blank=True)
    offering = models.ForeignKey(
        Offering,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="products",
        help_text="As what it is sold.",
    )
    position = models.PositiveSmallIntegerField(default=0)
    ends_on = models.DateField(null=True, blank=True, help_text="First day on which it is no more.")

    def __str__(self) -> str:
        return self.name


class Feature(models.Model):
    """A part of a product that a model does the work of, and what it asks of that model."""

    product = models.ForeignKey(Product, models.PROTECT, related_name="features")
    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    about = models.CharField(max_length=300, blank=True)
    task_area = models.ForeignKey(TaskArea, models.PROTECT, related_name="features")
    min_context = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens; empty asks nothing.")
    modalities_in = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    modalities_out = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    zone = models.CharField(
        max_length=10, blank=True, help_text="Where data has to be processed: eu, us ...; empty is anywhere."
    )
    position = models.PositiveSmallIntegerField(default=0)
    ends_on = models.DateField(null=True, blank=True, help_text="First day on which it is no more.")

    def __str__(self) -> str:
        return f"{self.product.name}: {self.name}"


class BindingRole(models.TextChoices):
    DEFAULT = "default", marked("Default")
    SELECTABLE = "selectable", marked("Selectable")
    FALLBACK = "fallback", marked("Fallback")


class Binding(models.Model):
    """A feature runs on a model version over a half-open span of days, with a share of its traffic.

    The shares of a feature's default and selectable models add up to one on every day, unless one is not stated.
    """

    feature = models.ForeignKey(Feature, models.PROTECT, related_name="bindings")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="bindings")
    role = models.CharField(max_length=10, choices=BindingRole)
    share_ppm = models.PositiveIntegerField(
        null=True, blank=True, help_text="Parts per million of the feature's traffic; empty is not stated."
    )
    effective = DateRangeField()
    plan = models.ForeignKey(
        Plan,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bindings",
        help_text="As what it is bought; empty: the first plan by tokens that has a price.",
    )
    evaluation = models.ForeignKey(
        Evaluation,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bindings",
        help_text="What justifies it.",
    )
    run = models.ForeignKey(
        SuiteRun,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bindings",
        help_text="What justifies it.",
    )
    fact = models.ForeignKey(PublicFact, models.PROTECT, null=True, blank=True, related_name="bindings")
    reason = models.CharField(max_length=300)
    source = models.CharField(max_length=200, blank=True)
    assumed = models.BooleanField(default=False, help_text="Version, share or date is not public.")
    scenario = models.ForeignKey(
        "Scenario",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="bindings",
        help_text="That was promoted.",
    )
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    made_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # a_feature_runs_on_a_version_once_at_a_time is an exclusion constraint, and binding_shares_add_up a trigger
        # that looks at the end of the transaction; both are made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=Q(share_ppm=None) | Q(share_ppm__lte=1_000_000), name="binding_share_at_most_one"
            ),
            models.CheckConstraint(
                condition=~Q(role=BindingRole.FALLBACK) | Q(share_ppm=0), name="fallback_has_no_share"
            ),
        ]
        indexes = [
            models.Index(
                fields=["model_version"], condition=Q(superseded_at=None), name="binding_in_force_by_version"
            )
        ]


class SubstitutionState(models.TextChoices):
    PROPOSED = "proposed", marked("Proposed")
    QUALIFIED = "qualified", marked("Qualified")
    REJECTED = "rejected", marked("Rejected")


class Substitution(models.Model):
    """In one feature, the model version that could take over from another, and whether that has been shown."""

    feature = models.ForeignKey(Feature, models.PROTECT, related_name="substitutions")
    replaced = models.ForeignKey(ModelVersion, models.PROTECT, related_name="substituted_by")
    alternative = models.ForeignKey(ModelVersion, models.PROTECT, related_name="substitutes_for")
    state = models.CharField(max_length=10, choices=SubstitutionState, default=SubstitutionState.PROPOSED)
    reason = models.CharField(max_length=300)
    evaluation = models.ForeignKey(Evaluation, models.PROTECT, null=True, blank=True, related_name="+")
    run = models.ForeignKey(SuiteRun, models.PROTECT, null=True, blank=True, related_name="+")
    synthetic = models.BooleanField(default=False)
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    proposed_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=300, blank=True)
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(replaced=F("alternative")), name="substitution_is_by_another_version"
            ),
            models.UniqueConstraint(
                fields=["feature", "replaced", "alternative"],
                condition=Q(superseded_at=None),
                name="substitution_stated_once",
            ),
            models.CheckConstraint(
                condition=Q(state="proposed", decided_at=None)
                | ~Q(state="proposed") & Q(decided_at__isnull=False),
                name="substitution_decided_at_some_time",
            ),
        ]
