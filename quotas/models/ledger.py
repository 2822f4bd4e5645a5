"""The ledger and what is kept beside it. Entries are inserted and read, never changed; the database refuses anything else."""

from typing import NamedTuple

from django.conf import settings
from django.db import models

from config.language import marked
from quotas.models.deals import Deal
from quotas.models.people import Rep, Team
from quotas.models.periods import Period
from quotas.models.quotas import Measure


class Posting(models.Model):
    """One call of the engine that may have written. Its key makes a retry harmless."""

    application_may = "SELECT, INSERT"

    key = models.CharField(
        max_length=120, unique=True, help_text="Names the intention, such as approve:D-000017:v1."
    )
    digest = models.CharField(
        max_length=64,
        help_text="SHA-256 of what was asked for; the same key with another digest is an error.",
    )
    kind = models.CharField(
        max_length=12,
        choices=[
            (k, k.title())
            for k in ("load", "approve", "amend", "cancel", "hold", "release", "usage", "recredit", "adjust")
        ],
    )
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    recorded_at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)


class PostingCount(models.Model):
    """What a posting came to, by outcome: entries credited, reversed, unchanged, and lines without credit by reason."""

    application_may = "SELECT, INSERT"

    posting = models.ForeignKey(Posting, models.PROTECT, related_name="counts", db_index=False)
    outcome = models.CharField(max_length=24)
    count = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["posting", "outcome"], name="posting_counts_an_outcome_once")
        ]


class ReceiverClass(models.IntegerChoices):
    """Direct credit adds up to 100 % and rolls up the tree of teams; overlay stands outside it and never does."""

    DIRECT = 1, marked("Direct")
    OVERLAY = 2, marked("Overlay")


class Component(models.IntegerChoices):
    CREDIT = 1, marked("Credit")
    UPLIFT = 2, marked("Uplift")
    SPIFF = 3, marked("SPIFF")
    CAP_CUT = 4, marked("Cap cut")
    ADJUSTMENT = 5, marked("Adjustment")


class Pins(NamedTuple):
    """Ids of what the engine used for an entry."""

    deal_id: int
    deal_version_id: int
    line_no: int
    rule_id: int
    rule_version_id: int
    plan_version_id: int
    decision_id: int


class CreditEntry(models.Model):
    """One person's part of one deal line in one measure and component, or an adjustment. Append-only: triggers refuse any change.

    An adjustment's entry has neither deal nor rule, and every other one has both: the engine never sees what was given by hand.
    The table is partitioned by posting period and made in SQL; it has no foreign keys, because it outlives what it names.
    """

    application_may = "SELECT, INSERT"

    id = models.BigIntegerField(primary_key=True)
    posting = models.ForeignKey(Posting, models.DO_NOTHING, db_constraint=False, related_name="entries")
    posting_period = models.ForeignKey(Period, models.DO_NOTHING, db_constraint=False, related_name="+")
    origin_period = models.ForeignKey(Period, models.DO_NOTHING, db_constraint=False, related_name="+")
    credit_date = models.DateField()
    deal = models.ForeignKey(Deal, models.DO_NOTHING, null=True, db_constraint=False, related_name="entries")
    deal_version_id = models.BigIntegerField(null=True)
    line_no = models.SmallIntegerField(null=True)
    rep = models.ForeignKey(Rep, models.DO_NOTHING, db_constraint=False, related_name="+")
    team = models.ForeignKey(Team, models.DO_NOTHING, db_constraint=False, related_name="+")
    receiver_class = models.SmallIntegerField(choices=ReceiverClass)
    measure = models.ForeignKey(Measure, models.DO_NOTHING, db_constraint=False, related_name="+")
    component = models.SmallIntegerField(choices=Component)
    rule_id = models.BigIntegerField(null=True, help_text="The rule's stable identity.")
    rule_version = models.ForeignKey(
        "RuleVersion", models.DO_NOTHING, null=True, db_constraint=False, related_name="+"
    )
    plan_version_id = models.BigIntegerField(null=True)
    decision_id = models.BigIntegerField(null=True)
    fx_rate_id = models.BigIntegerField(null=True, help_text="Empty where nothing was converted.")
    amount_minor = models.BigIntegerField(
        help_text="Minor units of the measure; negative for a reversal of a positive entry."
    )
    reverses_id = models.BigIntegerField(null=True, help_text="The entry that this one negates exactly.")
    adjustment = models.ForeignKey(
        "Adjustment", models.DO_NOTHING, null=True, db_constraint=False, related_name="entries"
    )

    class Meta:
        managed = False
        db_table = "quotas_creditentry"

    @property
    def pins(self) -> Pins:
        """Raises ValueError for an adjustment's entry: the engine had no part in it."""
        pins = (
            self.deal_id,
            self.deal_version_id,
            self.line_no,
            self.rule_id,
            self.rule_version_id,
            self.plan_version_id,
            self.decision_id,
        )
        if None in pins:
            raise ValueError(f"Entry {self.pk} is an adjustment's.")
        return Pins(*(pin for pin in pins if pin is not None))


class Reversal(models.Model):
    """That an entry was reversed, and by which. Its primary key is what makes a second reversal impossible."""

    application_may = "SELECT, INSERT"

    entry_id = models.BigIntegerField(primary_key=True, help_text="The entry reversed.")
    reversed_by_id = models.BigIntegerField(unique=True, help_text="The entry that negates it.")


class TotalBasis(models.IntegerChoices):
    REPORTED = 1, marked("As reported: by posting period")
    MOVED = 2, marked("What restating by origin period adds to that")


class CreditTotal(models.Model):
    """The sum of a rep's entries in a team, measure and period, as reported; for every grain of period.

    What a posting into a later month moved back to the months of origin is kept beside it, by month: what both rows of a
    month add up to is the month restated. Most months have no such row, because most credit is posted where it belongs.
    """

    application_may = "SELECT, INSERT, UPDATE"

    pk = models.CompositePrimaryKey("period", "measure", "basis", "team", "rep")
    period = models.ForeignKey(
        Period, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    measure = models.ForeignKey(
        Measure, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    basis = models.SmallIntegerField(choices=TotalBasis)
    team = models.ForeignKey(Team, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    rep = models.ForeignKey(Rep, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    direct_minor = models.BigIntegerField(help_text="Rolls up the tree of teams.")
    overlay_minor = models.BigIntegerField(help_text="Never rolls up.")


class Reason(models.TextChoices):
    """Why a line of an approved deal earned nothing."""

    NOT_ELIGIBLE = (
        "not_eligible",
        marked("No quota decision was in force for the offering on the credit date"),
    )
    RATE_ZERO = "rate_zero", marked("The quota decision in force says that it does not count")
    NO_RULE = "no_rule", marked("No exclusive crediting rule matched")
    NO_TEAM = "no_team", marked("The rep was in no team on the credit date")
    NO_RECEIVER = "no_receiver", marked("Nobody owned the account on the credit date")
    NO_FX_RATE = "no_fx_rate", marked("There is no exchange rate for the credit date")
    NO_PERIOD = "no_period", marked("No open period can take the credit")
    HELD = "held", marked("The deal is held")
    TOO_LARGE = "too_large", marked("The amount is beyond what Parity counts exactly")
    NOTHING = "nothing", marked("The credit is zero")


class UncreditedLine(models.Model):
    """Why a line has no credit, now: for one receiver and measure, or for all of them where these are empty."""

    deal = models.ForeignKey(Deal, models.PROTECT, related_name="uncredited_lines", db_index=False)
    line_no = models.SmallIntegerField()
    measure = models.ForeignKey(Measure, models.PROTECT, null=True, related_name="+", db_index=False)
    rep = models.ForeignKey(Rep, models.PROTECT, null=True, related_name="+", db_index=False)
    reason = models.CharField(max_length=15, choices=Reason)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["deal", "line_no", "measure", "rep"],
                nulls_distinct=False,
                name="one_reason_for_a_missing_credit",
            )
        ]
