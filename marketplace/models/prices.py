"""What it costs, by date. A correction supersedes and never edits; a gap means that no price is in effect."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from marketplace.models.models_on_offer import Plan
from marketplace.models.private_offers import PrivateOffer


class Currency(models.Model):
    code = models.CharField(max_length=3, primary_key=True, help_text="ISO 4217.")
    name = models.CharField(max_length=60)
    exponent = models.PositiveSmallIntegerField(help_text="Digits of the minor unit: JPY 0, USD 2, KWD 3.")
    symbol = models.CharField(max_length=4, blank=True)

    def __str__(self) -> str:
        return self.code


class PriceVersion(models.Model):
    """The prices of one plan in one market and currency over a half-open span of days."""

    plan = models.ForeignKey(Plan, models.PROTECT, related_name="price_versions")
    market = models.CharField(
        max_length=10,
        default="world",
        help_text="Where the list applies; world unless a country has its own.",
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    effective = DateRangeField()
    private_offer = models.OneToOneField(
        PrivateOffer,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="price",
        help_text="The private offer whose price it is; empty for a list price.",
    )
    source = models.CharField(max_length=200, help_text="Where the figures come from, and of when.")
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    superseded_at = models.DateTimeField(
        null=True, blank=True, help_text="Set when a correction took its place."
    )

    class Meta:
        # price_versions_of_a_plan_do_not_overlap is an exclusion constraint, made in SQL.
        indexes = [
            models.Index(fields=["plan"], condition=Q(superseded_at=None), name="price_in_force_by_plan")
        ]


class PriceRow(models.Model):
    """One line of a price list: so much per so many units of a meter, from a tier upwards."""

    version = models.ForeignKey(PriceVersion, models.CASCADE, related_name="rows")
    meter = models.SlugField(
        max_length=40, help_text="Such as input-tokens, output-tokens, cached-input-tokens, seats."
    )
    per = models.PositiveIntegerField(
        help_text="How many units the amount buys: 1000000 for a price per million tokens."
    )
    unit = models.CharField(max_length=20, help_text="token, seat-month, unit-hour ...")
    tier_from = models.BigIntegerField(
        default=0, help_text="First unit of the month to which this row applies."
    )
    above_context = models.PositiveIntegerField(
        default=0,
        help_text="Applies to the whole of a request with more input tokens than this, in place of a row with less.",
    )
    amount = models.DecimalField(
        max_digits=20,
        decimal_places=10,
        null=True,
        help_text="In the currency's major unit. Empty is unknown; zero is free.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "meter", "tier_from", "above_context"],
                name="price_row_unique_in_its_version",
            ),
            models.CheckConstraint(condition=Q(amount=None) | Q(amount__gte=0), name="price_not_negative"),
            models.CheckConstraint(condition=Q(per__gt=0), name="price_is_per_something"),
        ]
