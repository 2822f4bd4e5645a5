"""Evidence per task. Different harnesses never share one ranking; missing is not zero."""

from django.db import models
from django.db.models import Q

from marketplace.models.models_on_offer import ModelVersion, TaskArea


class Evaluation(models.Model):
    """One result of one benchmark, or a published finding that gives no figures."""

    task_area = models.ForeignKey(TaskArea, models.PROTECT, related_name="evaluations")
    model_version = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="evaluations"
    )
    subject = models.CharField(max_length=120, help_text="The model as the source names it.")
    benchmark = models.CharField(max_length=80)
    benchmark_version = models.CharField(max_length=40, blank=True)
    metric = models.CharField(max_length=60, blank=True)
    higher_is_better = models.BooleanField(default=True)
    harness = models.CharField(max_length=80, blank=True)
    variant = models.CharField(max_length=80, blank=True)
    sample_size = models.PositiveIntegerField(null=True, blank=True)
    score = models.DecimalField(
        max_digits=14, decimal_places=4, null=True, help_text="Empty for a finding without figures."
    )
    interval_low = models.DecimalField(max_digits=14, decimal_places=4, null=True, blank=True)
    interval_high = models.DecimalField(
        max_digits=14,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="95 % confidence unless it says else.",
    )
    finding = models.CharField(max_length=300, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    latency_s = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    dated = models.DateField(null=True, blank=True)
    evaluator = models.CharField(
        max_length=120, blank=True, help_text="Who ran it, where the source says so."
    )
    source = models.CharField(max_length=200)
    licence = models.CharField(max_length=60, blank=True)
    synthetic = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(score__isnull=False) | ~Q(finding=""), name="evaluation_has_a_score_or_a_finding"
            ),
        ]
        indexes = [models.Index(fields=["model_version", "task_area"], name="evaluation_of_a_version")]
