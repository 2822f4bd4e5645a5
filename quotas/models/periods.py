"""Fiscal calendars, their periods, and what currencies were worth in them."""

from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models import Currency


class FiscalCalendar(models.Model):
    """The fiscal years of a business unit. Months are the leaf grain and the only thing that closes; quarters, halves and years contain them."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80)
    time_zone = models.CharField(max_length=64, help_text="IANA name; a close date is a day in it.")
    prefix = models.CharField(
        max_length=4,
        unique=True,
        default="FY",
        help_text="What the names of its periods begin with, so that a name says whose period it is: FY27-Q2, CY17-Q3.",
    )
    first_month = models.PositiveSmallIntegerField(
        default=7,
        help_text="The month in which a year begins, 1 to 12; a year is named after the one in which it ends.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(first_month__gte=1, first_month__lte=12), name="fiscal_year_begins_in_a_month"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Grain(models.TextChoices):
    MONTH = "M", marked("Month")
    QUARTER = "Q", marked("Quarter")
    HALF = "H", marked("Half")
    YEAR = "Y", marked("Year")


class PeriodState(models.TextChoices):
    FUTURE = "future", marked("Future")
    OPEN = "open", marked("Open")
    CLOSING = "closing", marked("Closing")
    CLOSED = "closed", marked("Closed")


class Period(models.Model):
    """A half-open span of days, [starts, ends), named FY27, FY27-H1, FY27-Q2 or FY27-M05."""

    calendar = models.ForeignKey(FiscalCalendar, models.PROTECT, related_name="periods")
    grain = models.CharField(max_length=1, choices=Grain)
    name = models.CharField(max_length=10)
    starts = models.DateField()
    ends = models.DateField(help_text="First day that is no longer in it.")
    quarter = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", help_text="Of a month."
    )
    half = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", help_text="Of a month or quarter."
    )
    year = models.ForeignKey(
        "self", models.PROTECT, null=True, blank=True, related_name="+", help_text="Of everything shorter."
    )
    state = models.CharField(
        max_length=8, choices=PeriodState, default=PeriodState.FUTURE, help_text="Kept for months alone."
    )

    class Meta:
        # periods_of_a_grain_do_not_overlap is an exclusion constraint, made in SQL.
        constraints = [
            models.UniqueConstraint(fields=["calendar", "name"], name="period_name_unique_in_its_calendar"),
            models.CheckConstraint(condition=Q(starts__lt=F("ends")), name="period_is_not_empty"),
            models.CheckConstraint(
                condition=~Q(grain="M") | Q(quarter__isnull=False, half__isnull=False, year__isnull=False),
                name="month_knows_its_quarter_half_and_year",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class FxRate(models.Model):
    """How many units of one currency one unit of another was worth, over a half-open span of days."""

    from_currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    to_currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    rate_e9 = models.BigIntegerField(help_text="The rate in units of 0.000000001.")
    effective = DateRangeField()
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(
        null=True, blank=True, help_text="Set when a correction took its place."
    )

    class Meta:
        # one_fx_rate_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=Q(rate_e9__gt=0, rate_e9__lte=10**15),
                name="fx_rate_is_positive_and_at_most_a_million",
            ),
            models.CheckConstraint(
                condition=~Q(from_currency=F("to_currency")), name="fx_rate_between_two_currencies"
            ),
        ]
