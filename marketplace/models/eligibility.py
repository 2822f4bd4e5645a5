"""How an offering is treated: dated decisions with a maker, a different checker and a reason."""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.models_on_offer import CommercialPath, Offering, Plan
from marketplace.models.publishers import Publisher


class Program(models.TextChoices):
    QUOTA = "quota", marked("Quota")
    COMMITMENT = "commitment", marked("Commitment")
    CREDITS = "credits", marked("Credits")
    RESALE = "resale", marked("Resale")
    CO_SELL = "co_sell", marked("Co-sell")


class ScopeLevel(models.IntegerChoices):
    """Larger is more specific; the most specific decision in force wins."""

    PATH = 1, marked("Commercial path")
    PUBLISHER = 2, marked("Publisher")
    OFFERING = 3, marked("Offering")
    PLAN = 4, marked("Plan")


class EligibilityDecision(models.Model):
    """Whether something counts for a program, at what rate, from when until when, by whose decision and why."""

    program = models.CharField(max_length=10, choices=Program)
    level = models.PositiveSmallIntegerField(choices=ScopeLevel)
    commercial_path = models.CharField(max_length=20, choices=CommercialPath, blank=True)
    publisher = models.ForeignKey(Publisher, models.PROTECT, null=True, blank=True, related_name="decisions")
    offering = models.ForeignKey(Offering, models.PROTECT, null=True, blank=True, related_name="decisions")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="decisions")
    rate_ppm = models.PositiveIntegerField(
        help_text="Parts per million of the value that count; 0 is not eligible."
    )
    effective = DateRangeField()
    reason = models.CharField(max_length=500)
    evidence = models.CharField(max_length=500, blank=True)
    assumed = models.BooleanField(
        default=False, help_text="A date or rate that is not public and was assumed; the evidence says which."
    )
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    checked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    checked_at = models.DateTimeField(
        null=True, blank=True, help_text="In force from here on, for its span of days."
    )
    superseded_at = models.DateTimeField(null=True, blank=True)
    proposal = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="Names what was proposed together and is checked together; empty for a decision that stands alone.",
    )

    class Meta:
        # decisions_of_one_scope_do_not_overlap is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(level=1, publisher=None, offering=None, plan=None) & ~Q(commercial_path="")
                    | Q(level=2, commercial_path="", publisher__isnull=False, offering=None, plan=None)
                    | Q(level=3, commercial_path="", publisher=None, offering__isnull=False, plan=None)
                    | Q(level=4, commercial_path="", publisher=None, offering=None, plan__isnull=False)
                ),
                name="decision_names_one_scope",
            ),
            models.CheckConstraint(condition=Q(rate_ppm__lte=1_000_000), name="decision_rate_at_most_one"),
            models.CheckConstraint(
                condition=~Q(checked_by=F("made_by")), name="decision_checked_by_another_person"
            ),
            models.CheckConstraint(
                condition=Q(checked_by=None, checked_at=None)
                | Q(checked_by__isnull=False, checked_at__isnull=False),
                name="decision_checked_by_somebody_at_some_time",
            ),
            models.UniqueConstraint(
                fields=[
                    "proposal",
                    "program",
                    "level",
                    "commercial_path",
                    "publisher",
                    "offering",
                    "plan",
                ],
                condition=~Q(proposal=""),
                nulls_distinct=False,
                name="proposal_decides_each_thing_once",
            ),
        ]
