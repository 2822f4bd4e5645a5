"""What credit is worth: how a component pays, draws, and what was earned."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from config.language import marked
from marketplace.models import Currency
from quotas.models.closing import PeriodClose
from quotas.models.people import Rep
from quotas.models.periods import Grain, Period
from quotas.models.plans import CompPlan, PlanComponent, PlanVersion
from quotas.models.quotas import Measure


class PayBy(models.TextChoices):
    ATTAINMENT = (
        "attainment",
        marked("Attainment: a rate is a part of the target incentive for each part of the quota"),
    )
    AMOUNT = "amount", marked("Credit: a rate is a part of the credited amount itself")


class PayScale(models.Model):
    """How a component pays over a window of months: f(credit of the window so far), and what a month earns is the difference.

    Rates are marginal unless whole_amount says that the rate reached counts for everything.
    """

    component = models.OneToOneField(PlanComponent, models.CASCADE, related_name="pay_scale")
    by = models.CharField(max_length=10, choices=PayBy, default=PayBy.ATTAINMENT)
    window = models.CharField(
        max_length=1,
        choices=Grain,
        default=Grain.QUARTER,
        help_text="Credit adds up from the start of this period; its quota counts, and its part of the year's target incentive.",
    )
    whole_amount = models.BooleanField(
        default=False,
        help_text="The rate that is reached counts for the whole amount, not only for what lies above.",
    )
    threshold = models.BigIntegerField(
        default=0,
        help_text="Below it nothing is paid, from it on everything; parts per million of the quota, or minor units of the measure.",
    )
    cap_minor = models.BigIntegerField(
        null=True, blank=True, help_text="Most that a window pays; minor units of the component's currency."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(threshold__gte=0), name="pay_threshold_not_negative"),
            models.CheckConstraint(
                condition=Q(cap_minor=None) | Q(cap_minor__gte=0), name="pay_cap_not_negative"
            ),
        ]


class RateTier(models.Model):
    """From here on this rate. A rate above one over attainment is an accelerator."""

    scale = models.ForeignKey(PayScale, models.CASCADE, related_name="tiers")
    starts_at = models.BigIntegerField(
        help_text="Parts per million of the quota, or minor units of the measure; the first is 0."
    )
    rate_ppm = models.PositiveIntegerField(help_text="Parts per million.")

    class Meta:
        ordering = ["starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["scale", "starts_at"], name="rate_tier_starts_once"),
            models.CheckConstraint(condition=Q(starts_at__gte=0), name="rate_tier_starts_at_nothing_or_more"),
            models.CheckConstraint(
                condition=Q(rate_ppm__lte=100_000_000), name="rate_tier_at_most_a_hundred"
            ),
        ]


class Draw(models.Model):
    """A least amount of pay a month over a half-open span of days; what it adds to the earnings is taken back from later ones, if it is recoverable."""

    rep = models.ForeignKey(Rep, models.PROTECT, related_name="draws")
    amount_minor = models.BigIntegerField(help_text="A month; minor units of its currency.")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    recoverable = models.BooleanField(default=True)
    effective = DateRangeField(help_text="Months that begin in it.")
    reason = models.CharField(max_length=500)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # rep_has_one_draw_at_a_time is an exclusion constraint, made in SQL.
        constraints = [models.CheckConstraint(condition=Q(amount_minor__gt=0), name="draw_is_positive")]


class EarningKind(models.TextChoices):
    EARNED = "earned", marked("Earned")
    DRAW = "draw", marked("Draw")
    RECOVERY = "recovery", marked("Draw taken back")


class EarningEntry(models.Model):
    """Pay that one close adds or takes back: the difference between what is earned as now known and what was paid before. Append-only."""

    application_may = "SELECT, INSERT"

    close = models.ForeignKey(PeriodClose, models.PROTECT, related_name="earnings")
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="earnings")
    kind = models.CharField(max_length=8, choices=EarningKind)
    plan = models.ForeignKey(
        CompPlan, models.PROTECT, null=True, related_name="+", db_index=False, help_text="Empty for a draw."
    )
    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, null=True, related_name="+", db_index=False)
    measure = models.ForeignKey(Measure, models.PROTECT, null=True, related_name="+", db_index=False)
    draw = models.ForeignKey(Draw, models.PROTECT, null=True, related_name="+", db_index=False)
    origin_period = models.ForeignKey(
        Period,
        models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The month in which it was earned.",
    )
    amount_minor = models.BigIntegerField(help_text="Minor units of its currency; negative takes pay back.")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", db_index=False)
    cost_centre = models.CharField(max_length=40, blank=True)
    worked_out = models.JSONField(
        default=dict,
        help_text="What it came from: credit of the window before and after, quota, target incentive, earned and paid before.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(condition=~Q(amount_minor=0), name="earning_not_zero"),
            models.UniqueConstraint(
                fields=["close", "rep", "kind", "plan", "measure", "origin_period", "currency"],
                nulls_distinct=False,
                name="earning_once_in_a_close",
            ),
        ]


class PlanAcceptance(models.Model):
    """A rep accepted a plan version's document, as it read then."""

    application_may = "SELECT, INSERT"

    plan_version = models.ForeignKey(PlanVersion, models.PROTECT, related_name="acceptances")
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="plan_acceptances")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    document_digest = models.CharField(max_length=64, help_text="SHA-256 of the document's text.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan_version", "rep"], name="plan_accepted_once_by_a_rep")
        ]
