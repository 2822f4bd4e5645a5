"""Closing: the order in which postings became known, closes of months with what they froze, seals, statements."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from config.models import Job
from quotas.models.ledger import Posting, TotalBasis
from quotas.models.people import Rep, Team
from quotas.models.periods import Period
from quotas.models.quotas import Measure


class LedgerMark(models.Model):
    """A moment at which every posting that had been committed was written down. What is known as of a mark never changes.

    Neither numbers nor times of postings are in the order of their commits; marks are.
    """

    application_may = "SELECT, INSERT"

    taken_at = models.DateTimeField()
    settled_id = models.BigIntegerField(
        default=0,
        help_text="Every posting up to this one is marked or will never be: none of them was in flight any more.",
    )


class MarkedPosting(models.Model):
    """The first mark that knew a posting."""

    application_may = "SELECT, INSERT"

    posting = models.OneToOneField(Posting, models.PROTECT, primary_key=True, related_name="marked")
    mark = models.ForeignKey(LedgerMark, models.PROTECT, related_name="postings")


class AsOf(models.Model):
    """A moment that somebody asked about, and the mark that answers for it ever after."""

    application_may = "SELECT, INSERT"

    moment = models.DateTimeField(unique=True)
    mark = models.ForeignKey(LedgerMark, models.PROTECT, related_name="+")


class CloseState(models.TextChoices):
    ASKED = "asked", marked("Waits for a second person")
    CLOSING = "closing", marked("Being closed")
    CLOSED = "closed", marked("Closed")
    CALLED_BACK = "called_back", marked("Called back")
    REOPENED = "reopened", marked("Reopened")


class PeriodClose(models.Model):
    """One close of a month: asked for by one person, approved by another. Reopened by two, it stays beside the next version."""

    period = models.ForeignKey(Period, models.PROTECT, related_name="closes")
    version = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=11, choices=CloseState, default=CloseState.ASKED)
    note = models.CharField(max_length=500, blank=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    asked_at = models.DateTimeField()
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="When the month was closed, or the request called back."
    )
    checklist = models.JSONField(
        default=list, help_text="What was checked, as it stood when the close was approved."
    )
    job = models.ForeignKey(Job, models.PROTECT, null=True, blank=True, related_name="+")
    mark = models.ForeignKey(
        LedgerMark,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The postings that the close knows.",
    )
    entries = models.BigIntegerField(null=True, blank=True, help_text="Entries posted in the month.")
    totals = models.JSONField(
        default=dict, help_text="By measure slug, minor units: direct, overlay and adjusted."
    )
    frozen_digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the frozen totals and quotas."
    )
    statements_digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the statements' digests, by rep."
    )
    payments_digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the close's earning entries."
    )
    reopen_asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    reopen_asked_at = models.DateTimeField(null=True, blank=True)
    reopen_reason = models.CharField(max_length=500, blank=True)
    reopened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    reopened_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["period", "version"],
                condition=~Q(state="called_back"),
                name="close_version_unique_in_its_month",
            ),
            models.UniqueConstraint(
                fields=["period"],
                condition=Q(state__in=["asked", "closing", "closed"]),
                name="month_closed_once_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(approved_by=F("asked_by")), name="close_approved_by_another_person"
            ),
            models.CheckConstraint(
                condition=~Q(reopened_by=F("reopen_asked_by")), name="reopened_by_another_person"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["closing", "closed", "reopened"]) | Q(approved_by__isnull=False),
                name="close_was_approved",
            ),
            models.CheckConstraint(
                condition=~Q(state="reopened")
                | Q(reopened_by__isnull=False, reopen_asked_by__isnull=False) & ~Q(reopen_reason=""),
                name="reopened_by_two_people_with_a_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period} v{self.version}"


class ClosedTotal(models.Model):
    """A total as a close froze it, for its month and each quarter, half and year that holds the month."""

    application_may = "SELECT, INSERT"

    pk = models.CompositePrimaryKey("close", "period", "measure", "basis", "team", "rep")
    close = models.ForeignKey(
        PeriodClose, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    period = models.ForeignKey(
        Period, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    measure = models.ForeignKey(
        Measure, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    basis = models.SmallIntegerField(choices=TotalBasis)
    team = models.ForeignKey(Team, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    rep = models.ForeignKey(Rep, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False)
    direct_minor = models.BigIntegerField()
    overlay_minor = models.BigIntegerField()


class ClosedQuota(models.Model):
    """What a quota came to when a month was closed, ramp, leave and days counted; of the month and each period that holds it."""

    application_may = "SELECT, INSERT"

    close = models.ForeignKey(
        PeriodClose, models.DO_NOTHING, db_constraint=False, related_name="quotas", db_index=False
    )
    period = models.ForeignKey(
        Period, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    measure = models.ForeignKey(
        Measure, models.DO_NOTHING, db_constraint=False, related_name="+", db_index=False
    )
    rep = models.ForeignKey(
        Rep, models.DO_NOTHING, db_constraint=False, null=True, related_name="+", db_index=False
    )
    team = models.ForeignKey(
        Team, models.DO_NOTHING, db_constraint=False, null=True, related_name="+", db_index=False
    )
    quota_minor = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["close", "period", "measure", "rep", "team"],
                nulls_distinct=False,
                name="closed_quota_frozen_once",
            )
        ]


class Seal(models.Model):
    """A link of the chain of seals. Its digest is a keyed hash over the one before and all that it covers; the key lies outside the database."""

    application_may = "SELECT, INSERT"

    number = models.PositiveIntegerField(unique=True, help_text="From 1, without gaps.")
    close = models.ForeignKey(
        PeriodClose,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="seals",
        help_text="Empty for the nightly one.",
    )
    mark = models.ForeignKey(LedgerMark, models.PROTECT, related_name="seals")
    made_at = models.DateTimeField()
    entries = models.BigIntegerField(help_text="How many entries it adds to the chain.")
    content = models.JSONField(
        help_text="What is hashed: the digest before, the chain over the entries, the close's own digests."
    )
    digest = models.CharField(max_length=64, unique=True, help_text="HMAC-SHA-256, hexadecimal.")
    key_name = models.CharField(
        max_length=16, help_text="Which key: the first digits of its own hash, never the key."
    )


class SealBlock(models.Model):
    """Some entries in the order of the chain, each with a keyed hash of its own, so that the first one that was changed can be named."""

    application_may = "SELECT, INSERT"

    seal = models.ForeignKey(Seal, models.PROTECT, related_name="blocks", db_index=False)
    position = models.PositiveIntegerField()
    entries = ArrayField(models.BigIntegerField(), help_text="Ids.")
    tags = models.BinaryField(help_text="Eight bytes an entry, in the same order.")
    chain = models.CharField(
        max_length=64, help_text="Keyed hash over the block before and these entries, hexadecimal."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["seal", "position"], name="seal_block_position_unique")
        ]


class Statement(models.Model):
    """What a rep was credited, and earned, in a month as one close left it. Its content is read from what that close froze; this is its proof."""

    close = models.ForeignKey(PeriodClose, models.PROTECT, related_name="statements", db_index=False)
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="statements")
    entries = models.PositiveIntegerField()
    digest = models.CharField(
        max_length=64, help_text="SHA-256 over the entries, frozen totals and quotas and earnings of the rep."
    )
    issued_at = models.DateTimeField()
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", db_index=False
    )
    acknowledged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # statement_stays_as_issued is a trigger, made in SQL.
        constraints = [
            models.UniqueConstraint(fields=["close", "rep"], name="statement_once_in_a_close"),
            models.CheckConstraint(
                condition=Q(acknowledged_by=None, acknowledged_at=None)
                | Q(acknowledged_by__isnull=False, acknowledged_at__isnull=False),
                name="statement_acknowledged_by_somebody_at_some_time",
            ),
        ]
