"""What is measured, and the targets."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import Q

from config.language import marked
from marketplace.models import Currency
from quotas.models.people import Rep, Team
from quotas.models.periods import Period


class ValueBasis(models.TextChoices):
    CONTRACT_VALUE = "contract_value", marked("Contract value")
    ANNUALISED_VALUE = "annualised_value", marked("Annualised value")
    BILLED = "billed", marked("Billed")
    CONSUMED = "consumed", marked("Consumed")
    UNITS = "units", marked("Units")
    NEW_CUSTOMERS = "new_customers", marked("New customers")


class Measure(models.Model):
    """What a quota counts: money of one currency, or a count (exponent 6)."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    basis = models.CharField(max_length=20, choices=ValueBasis)
    currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, blank=True, related_name="+", help_text="Empty for a count."
    )
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(basis__in=["units", "new_customers"], currency=None)
                | (~Q(basis__in=["units", "new_customers"]) & Q(currency__isnull=False)),
                name="measure_of_money_has_a_currency",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class QuotaMethod(models.TextChoices):
    LAST = "last", marked("The last version counts for the whole period")
    WEIGHTED = "weighted", marked("Versions are weighted by their days")


class Quota(models.Model):
    """The target of a rep or a team in one measure and period. A change is a new version; the old one is superseded."""

    measure = models.ForeignKey(Measure, models.PROTECT, related_name="quotas")
    period = models.ForeignKey(Period, models.PROTECT, related_name="quotas")
    rep = models.ForeignKey(Rep, models.PROTECT, null=True, blank=True, related_name="quotas")
    team = models.ForeignKey(Team, models.PROTECT, null=True, blank=True, related_name="quotas")
    version = models.PositiveIntegerField(default=1)
    amount_minor = models.BigIntegerField(
        help_text="Minor units of the measure; parts per million of one for a count."
    )
    starts = models.DateField(
        null=True, blank=True, help_text="First day of this version; empty is the whole period."
    )
    method = models.CharField(max_length=10, choices=QuotaMethod, default=QuotaMethod.LAST)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(rep=None, team__isnull=False) | Q(rep__isnull=False, team=None),
                name="quota_of_a_rep_or_of_a_team",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gte=0), name="quota_not_negative"),
            models.UniqueConstraint(
                fields=["measure", "period", "rep", "team", "version"],
                nulls_distinct=False,
                name="quota_version_unique",
            ),
            models.UniqueConstraint(
                fields=["measure", "period", "rep", "team"],
                condition=Q(superseded_at=None),
                nulls_distinct=False,
                name="quota_has_one_last_version",
            ),
        ]
        indexes = [
            models.Index(fields=["period", "measure"], condition=Q(superseded_at=None), name="quota_in_force")
        ]


class ReliefKind(models.TextChoices):
    RAMP = "ramp", marked("Ramp")
    LEAVE = "leave", marked("Leave")


class QuotaRelief(models.Model):
    """Days on which only a part of a rep's quotas counts: while somebody new ramps up, or is on leave. Quotas shrink by days."""

    rep = models.ForeignKey(Rep, models.PROTECT, related_name="reliefs")
    kind = models.CharField(max_length=5, choices=ReliefKind)
    effective = DateRangeField()
    factor_ppm = models.PositiveIntegerField(
        help_text="Parts per million of the quota that count on such a day."
    )
    reason = models.CharField(max_length=500)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # rep_has_one_relief_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(condition=Q(factor_ppm__lt=1_000_000), name="relief_lessens_a_quota")
        ]
        indexes = [
            models.Index(fields=["rep"], condition=Q(superseded_at=None), name="relief_in_force_by_rep")
        ]
