"""What customers have committed to spend. (What the operator has committed to buy or sell is sourcing's.)"""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from marketplace.models.prices import Currency
from marketplace.models.publishers import Customer


class CustomerCommitment(models.Model):
    """A customer's committed spend over a half-open span of days; offerings whose commitment decision says so draw it down."""

    customer = models.ForeignKey(Customer, models.PROTECT, related_name="commitments")
    name = models.CharField(max_length=120, help_text="What the contract calls it.")
    amount_minor = models.BigIntegerField(help_text="Minor units of its currency.")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    effective = DateRangeField()
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # customer_has_a_commitment_of_a_name_once_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="customer_commitment_is_positive")
        ]
