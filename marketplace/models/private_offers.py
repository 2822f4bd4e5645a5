"""Private offers: a price for one customer, locked when the customer accepts it."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from config.language import marked
from marketplace.models.models_on_offer import Plan
from marketplace.models.publishers import Customer


class PrivateOfferState(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    SENT = "sent", marked("Sent")
    ACCEPTED = "accepted", marked("Accepted")
    DECLINED = "declined", marked("Declined")
    EXPIRED = "expired", marked("Expired")
    WITHDRAWN = "withdrawn", marked("Withdrawn")


class PrivateOffer(models.Model):
    """What one plan costs one customer over a span of days, and whether the customer took it.

    Its prices are a PriceVersion of its own, made when it is drafted; from acceptance on neither changes.
    """

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="private_offers")
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="private_offers")
    effective = DateRangeField(help_text="Days on which its price holds once accepted.")
    open_until = models.DateField(help_text="Last day on which it can be accepted.")
    note = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=10, choices=PrivateOfferState, default=PrivateOfferState.DRAFT)
    revision = models.PositiveIntegerField(default=1)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(
        max_length=160, blank=True, help_text="Who accepted or declined for the customer."
    )
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        # accepted_offers_do_not_overlap (plan, customer, days) is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=~Q(state__in=["accepted", "declined"])
                | Q(decided_at__isnull=False) & ~Q(decided_by=""),
                name="private_offer_decided_by_somebody",
            ),
        ]
        indexes = [models.Index(fields=["customer", "-id"], name="private_offer_by_customer")]

    @property
    def reference(self) -> str:
        return f"PO-{self.pk}"
