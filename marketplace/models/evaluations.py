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
    metric = models.CharField(max_length=60, blank=True)
    higher_is_better = models.BooleanField(default=True)
    harness = models.CharField(max_length=80, blank=True)
    variant = models.CharField(max_length=80, blank=True)
    sample_size = models.PositiveIntegerField(null=True, blank=True)
    score = models.DecimalField(
        max_digits=14, decimal_places=4, null=True, help_text="Empty for a finding without figures."
    )
    finding = models.CharField(max_length=300, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    latency_s = models.DecimalField(max_digits=10, decimal_places=2, null=True, blank=True)
    dated = models.DateField(null=True, blank=True)
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
