"""What people see to by hand: adjustments of credit, disputes about it, and what moved after somebody had seen it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from config.language import marked
from quotas.models.deals import LARGEST_AMOUNT_MINOR, Deal
from quotas.models.ledger import Posting
from quotas.models.people import Rep, Team
from quotas.models.periods import Period
from quotas.models.quotas import Measure


class DisputeKind(models.TextChoices):
    MISSING_CREDIT = "missing_credit", marked("Credit is missing")
    WRONG_AMOUNT = "wrong_amount", marked("The amount is wrong")
    SPLIT = "split", marked("The split is wrong")
    PERIOD = "period", marked("It belongs to another period")
    OWNER = "owner", marked("It belongs to somebody else")
    QUOTA = "quota", marked("The quota is wrong")


class DisputeState(models.TextChoices):
    OPEN = "open", marked("Open")
    IN_REVIEW = "in_review", marked("In review")
    ACCEPTED = "accepted", marked("Accepted")
    REJECTED = "rejected", marked("Rejected")
    WITHDRAWN = "withdrawn", marked("Withdrawn")


class Dispute(models.Model):
    """A rep says that a number is wrong. What it was when they said so is frozen with it; the thread is seen by both sides."""

    kind = models.CharField(max_length=15, choices=DisputeKind)
    state = models.CharField(max_length=10, choices=DisputeState, default=DisputeState.OPEN)
    rep = models.ForeignKey(
        Rep, models.PROTECT, related_name="disputes", help_text="Whose number it is about."
    )
    deal = models.ForeignKey(Deal, models.PROTECT, null=True, blank=True, related_name="disputes")
    entry_id = models.BigIntegerField(
        null=True, blank=True, help_text="The credit entry, if it is about one."
    )
    measure = models.ForeignKey(Measure, models.PROTECT, null=True, blank=True, related_name="+")
    period = models.ForeignKey(Period, models.PROTECT, null=True, blank=True, related_name="disputes")
    claimed_minor = models.BigIntegerField(
        null=True, blank=True, help_text="What it ought to be, in minor units of the measure."
    )
    text = models.CharField(max_length=2000)
    evidence = models.JSONField(
        help_text="As it stood when the dispute was opened: deal version, shares, credits, reasons, quota, totals."
    )
    evidence_digest = models.CharField(max_length=64, help_text="SHA-256 of the evidence's canonical JSON.")
    opened_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    opened_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="When an answer is owed.")
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    taken_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(max_length=2000, blank=True)
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        # dispute_keeps_its_evidence is a trigger, made in SQL.
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["open", "in_review"], resolved_at=None)
                | (Q(resolved_at__isnull=False) & ~Q(state__in=["open", "in_review"])),
                name="dispute_resolved_at_some_time",
            ),
        ]
        indexes = [
            models.Index(fields=["rep", "-id"], name="dispute_by_rep"),
            models.Index(fields=["state", "due_at"], name="dispute_by_state"),
        ]

    @property
    def reference(self) -> str:
        return f"DIS-{self.pk:05d}"


class DisputeMessage(models.Model):
    """One contribution to a dispute's thread: what somebody wrote, or what was done."""

    application_may = "SELECT, INSERT"

    dispute = models.ForeignKey(Dispute, models.PROTECT, related_name="messages")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    text = models.CharField(max_length=2000, blank=True)
    became = models.CharField(
        max_length=10, choices=DisputeState, blank=True, help_text="The state that it went into, if it did."
    )


class AdjustmentReason(models.TextChoices):
    MISSING_CREDIT = "missing_credit", marked("Credit was missing")
    WRONG_AMOUNT = "wrong_amount", marked("The amount was wrong")
    WRONG_SPLIT = "wrong_split", marked("The split was wrong")
    WRONG_PERIOD = "wrong_period", marked("It belonged to another period")
    WRONG_OWNER = "wrong_owner", marked("It belonged to somebody else")
    CLAWBACK = "clawback", marked("Clawback")
    GOODWILL = "goodwill", marked("Goodwill")
    CORRECTION = "correction", marked("Correction of an adjustment")
    DEAL_CANCELLED = "deal_cancelled", marked("Its deal was cancelled")


class AdjustmentState(models.TextChoices):
    ASKED = "asked", marked("Waits for a second person")
    POSTED = "posted", marked("Posted")
    REJECTED = "rejected", marked("Rejected")
    WITHDRAWN = "withdrawn", marked("Withdrawn")


class Adjustment(models.Model):
    """Credit given or taken by hand, direct, with a reason code; a second person approves it. Undone by another one that names it."""

    state = models.CharField(max_length=9, choices=AdjustmentState, default=AdjustmentState.ASKED)
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="adjustments")
    measure = models.ForeignKey(Measure, models.PROTECT, related_name="+")
    amount_minor = models.BigIntegerField(help_text="Minor units of the measure; negative takes credit away.")
    credit_date = models.DateField(
        help_text="A day in the fiscal calendar's time zone; picks team and origin period."
    )
    team = models.ForeignKey(
        Team, models.PROTECT, related_name="+", help_text="The rep's on the credit date; pinned."
    )
    origin_period = models.ForeignKey(
        Period, models.PROTECT, related_name="adjustments", help_text="The month of the credit date; pinned."
    )
    reason_code = models.CharField(max_length=15, choices=AdjustmentReason)
    note = models.CharField(max_length=1000)
    deal = models.ForeignKey(
        Deal,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="adjustments",
        help_text="What it is about. It goes with the deal: cancelling that undoes it.",
    )
    dispute = models.ForeignKey(Dispute, models.PROTECT, null=True, blank=True, related_name="adjustments")
    undoes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="undone_by", help_text="Negated exactly."
    )
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decision_note = models.CharField(max_length=1000, blank=True)

    class Meta:
        # posted_adjustment_is_immutable is a trigger, made in SQL.
        constraints = [
            models.CheckConstraint(condition=~Q(amount_minor=0), name="adjustment_not_zero"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=-LARGEST_AMOUNT_MINOR, amount_minor__lte=LARGEST_AMOUNT_MINOR),
                name="adjustment_within_bounds",
            ),
            models.CheckConstraint(
                condition=~Q(state="posted")
                | ~Q(decided_by=F("asked_by"))
                | Q(reason_code="deal_cancelled", undoes__isnull=False),
                name="adjustment_approved_by_another_person",
            ),
            models.CheckConstraint(
                condition=~Q(state="posted") | Q(decided_by__isnull=False, decided_at__isnull=False),
                name="adjustment_posted_by_somebody_at_some_time",
            ),
        ]
        indexes = [
            models.Index(fields=["rep", "-id"], name="adjustment_by_rep"),
            models.Index(fields=["state"], condition=Q(state="asked"), name="adjustment_that_waits"),
        ]

    @property
    def reference(self) -> str:
        return f"ADJ-{self.pk:05d}"


class Discrepancy(models.Model):
    """A number that a person had been shown moved afterwards: what it was, what it is, which posting moved it."""

    posting = models.ForeignKey(Posting, models.PROTECT, related_name="discrepancies")
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="discrepancies")
    measure = models.ForeignKey(Measure, models.PROTECT, related_name="+", db_index=False)
    period = models.ForeignKey(
        Period,
        models.PROTECT,
        related_name="discrepancies",
        db_index=False,
        help_text="The month whose credit, restated, moved.",
    )
    shown_minor = models.BigIntegerField(help_text="Restated credit before the posting.")
    now_minor = models.BigIntegerField(help_text="Restated credit after it.")
    made_at = models.DateTimeField()
    seen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["posting", "rep", "measure", "period"], name="discrepancy_told_once"
            )
        ]
        indexes = [
            models.Index(fields=["rep"], condition=Q(seen_at=None), name="discrepancy_not_seen"),
        ]
