"""Other names of the same thing, each for a span of days: what a price file, an older page or a customer calls it."""

from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from marketplace.models.models_on_offer import ModelVersion, Offering, Plan


class Alias(models.Model):
    """One name in one place of use. On any day it means one thing at most; the database sees to it.

    The most specific thing that the name stands for is stated: a plan, else an offering, else a model version.
    """

    used_by = models.SlugField(
        max_length=40,
        blank=True,
        help_text="The source that uses the name, such as litellm; empty where people do.",
    )
    name = models.CharField(max_length=200)
    model_version = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="aliases"
    )
    offering = models.ForeignKey(Offering, models.PROTECT, null=True, blank=True, related_name="aliases")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="aliases")
    effective = DateRangeField()

    class Meta:
        # aliases_mean_one_thing_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(model_version__isnull=False, offering=None, plan=None)
                    | Q(model_version=None, offering__isnull=False, plan=None)
                    | Q(model_version=None, offering=None, plan__isnull=False)
                ),
                name="alias_means_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return self.name
