"""What our own products used of which models, by month. What it cost follows from the price in effect; it is never stored."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from marketplace.models.models_on_offer import ModelVersion, Plan
from marketplace.models.sourcing.companies import Company
from marketplace.models.sourcing.products import Feature


class UsageImport(models.Model):
    """One file of usage. The same file twice adds nothing."""

    file_name = models.CharField(max_length=200)
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file.")
    counts = models.JSONField(default=dict, help_text="Rows by what became of them.")
    errors = models.JSONField(default=list, help_text="Row number, code and message of what was refused.")
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    imported_at = models.DateTimeField()


class FeatureUsage(models.Model):
    """Tokens that a feature used of a model version in a month. A correction supersedes and never edits."""

    feature = models.ForeignKey(Feature, models.PROTECT, related_name="usage")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="usage")
    plan = models.ForeignKey(
        Plan,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="usage",
        help_text="As what it was bought; empty: nothing sells it, and it has no price.",
    )
    host = models.ForeignKey(
        Company,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Where it ran; empty is unknown.",
    )
    month = models.DateField(help_text="Its first day.")
    input_tokens = models.BigIntegerField(help_text="Cached ones included.")
    cached_tokens = models.BigIntegerField(default=0, help_text="Part of the input.")
    output_tokens = models.BigIntegerField()
    requests = models.BigIntegerField(null=True, blank=True)
    source = models.CharField(max_length=200)
    synthetic = models.BooleanField(default=False)
    brought_by = models.ForeignKey(UsageImport, models.PROTECT, null=True, blank=True, related_name="rows")
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["feature", "model_version", "plan", "host", "month"],
                condition=Q(superseded_at=None),
                nulls_distinct=False,
                name="usage_stated_once",
            ),
            models.CheckConstraint(condition=Q(month__day=1), name="usage_is_of_a_month"),
            models.CheckConstraint(
                condition=Q(input_tokens__gte=0, output_tokens__gte=0, cached_tokens__gte=0)
                & Q(cached_tokens__lte=F("input_tokens")),
                name="usage_makes_sense",
            ),
        ]
        indexes = [
            models.Index(fields=["month"], condition=Q(superseded_at=None), name="usage_in_force_by_month")
        ]
