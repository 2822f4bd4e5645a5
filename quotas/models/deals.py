"""Deals: an identity with a state, and versions of its facts that are never overwritten.

Foreign keys of large tables have no index of their own: what is looked up by them is served by a named index, and each one
less makes booking and posting faster.
"""

from django.conf import settings
from django.contrib.postgres.fields import DateRangeField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models import Currency, Customer, Offering, OfferingRevision, Plan, PriceVersion
from quotas.models.people import Rep
from quotas.models.periods import FiscalCalendar

LARGEST_AMOUNT_MINOR = 9_000_000_000_000
ONE = 1_000_000  # all of something, in parts per million


class DealState(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    SUBMITTED = "submitted", marked("Submitted")
    APPROVED = "approved", marked("Approved")
    REJECTED = "rejected", marked("Rejected")
    RETURNED = "returned", marked("Returned")
    CANCELLED = "cancelled", marked("Cancelled")


ENDED = (DealState.CANCELLED, DealState.REJECTED)  # nothing comes of them any more


class DealKind(models.TextChoices):
    NEW_BUSINESS = "new_business", marked("New business")
    EXPANSION = "expansion", marked("Expansion")
    RENEWAL = "renewal", marked("Renewal")
    REFUND = "refund", marked("Refund")
    CONSUMPTION = "consumption", marked("Consumption of a month")


class Deal(models.Model):
    """A deal's identity and state. What was sold, to whom, by whom is in its versions."""

    source = models.CharField(
        max_length=20, default="parity", help_text="Where it was logged: parity, api, or an import's name."
    )
    external_id = models.CharField(max_length=80, blank=True, help_text="The source's own id.")
    owner = models.ForeignKey(Rep, models.PROTECT, related_name="owned_deals", db_index=False)
    customer = models.ForeignKey(Customer, models.PROTECT, related_name="+", db_index=False)
    calendar = models.ForeignKey(
        FiscalCalendar,
        models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="Of the owner's business unit; its periods take the credit.",
    )
    state = models.CharField(max_length=10, choices=DealState, default=DealState.DRAFT)
    held = models.BooleanField(default=False, help_text="Approved, but out of attainment until released.")
    latest_version = models.ForeignKey(
        "DealVersion",
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="What an editor sees.",
        db_index=False,
    )
    credited_version = models.ForeignKey(
        "DealVersion",
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="What the engine credits: the last approved one.",
        db_index=False,
    )
    revision = models.PositiveIntegerField(
        default=1, help_text="Counts every change; the strong part of the ETag."
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    created_at = models.DateTimeField()
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    submitted_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False
    )
    decided_at = models.DateTimeField(null=True)
    approved_under = models.ForeignKey(
        "StraightThroughPolicy",
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="The policy that approved it instead of a person.",
    )
    amended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        db_index=False,
        help_text="Set while an amendment of an approved deal waits for its approval; until then the old version stays credited.",
    )
    amended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_id"],
                condition=~Q(external_id=""),
                name="deal_unique_in_its_source",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved") | Q(credited_version__isnull=False),
                name="approved_deal_has_a_credited_version",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved")
                | Q(decided_by=None)
                | Q(submitted_by=None)
                | ~Q(decided_by=F("submitted_by")),
                name="deal_not_approved_by_its_submitter",
            ),
            models.CheckConstraint(
                condition=Q(amended_by=None, amended_at=None)
                | Q(state="approved", amended_by__isnull=False, amended_at__isnull=False),
                name="only_an_approved_deal_has_an_amendment",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "state", "-id"], name="deal_by_owner"),
            models.Index(fields=["state", "-id"], name="deal_by_state"),
            models.Index(fields=["customer", "-id"], name="deal_by_customer"),
            models.Index(fields=["id"], condition=Q(amended_at__isnull=False), name="deal_with_an_amendment"),
            models.Index(fields=["id"], condition=Q(held=True), name="deal_that_is_held"),
            # deal_by_external_id_in_any_case is made in SQL, and so are those of parts of names and titles: see selectors/finding.
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def reference(self) -> str:
        return f"D-{self.pk:06d}"

    @property
    def latest(self) -> "DealVersion":
        """The latest version; every deal is written with its first one, in one transaction."""
        if self.latest_version is None:
            raise ValueError(f"{self.reference} has no version")
        return self.latest_version

    @property
    def in_force(self) -> "DealVersion":
        """The version that counts: the credited one while an amendment waits, else the latest."""
        return (
            self.latest if self.amended_at is None or self.credited_version is None else self.credited_version
        )


class DealVersion(models.Model):
    """The facts of a deal as somebody recorded them once. Its lines and shares belong to it and never change."""

    application_may = "SELECT, INSERT"

    deal = models.ForeignKey(Deal, models.PROTECT, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=15, choices=DealKind)
    title = models.CharField(max_length=160, blank=True)
    close_date = models.DateField(help_text="A day in the fiscal calendar's time zone; the credit date.")
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+", db_index=False)
    segment = models.CharField(max_length=30, help_text="The customer's, as it was recorded.")
    region = models.CharField(max_length=20, help_text="The customer's, as it was recorded.")
    new_customer = models.BooleanField(default=False, help_text="Confirmed at approval.")
    refunds = models.ForeignKey(
        Deal,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="refunds",
        help_text="The original of a refund.",
    )
    recorded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False
    )
    recorded_at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["deal", "number"], name="deal_version_number_unique"),
            models.CheckConstraint(
                condition=Q(kind="refund", refunds__isnull=False) | (~Q(kind="refund") & Q(refunds=None)),
                name="refund_names_its_original",
            ),
        ]
        indexes = [models.Index(fields=["close_date"], name="deal_version_by_close_date")]


class DealLine(models.Model):
    """What was sold: an offering, as it read then, for an amount in the deal's currency."""

    application_may = "SELECT, INSERT"

    version = models.ForeignKey(DealVersion, models.PROTECT, related_name="lines", db_index=False)
    line_no = models.PositiveSmallIntegerField()
    offering = models.ForeignKey(Offering, models.PROTECT, related_name="+")
    offering_revision = models.ForeignKey(
        OfferingRevision, models.PROTECT, null=True, related_name="+", db_index=False
    )
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="+", db_index=False)
    price_version = models.ForeignKey(
        PriceVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The quoted one.",
        db_index=False,
    )
    amount_minor = models.BigIntegerField(
        help_text="Minor units of the deal's currency; negative on a refund only."
    )
    quantity = models.DecimalField(max_digits=16, decimal_places=4, null=True, blank=True)
    term_months = models.PositiveSmallIntegerField(null=True, blank=True)
    billed_minor = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="What was billed for a month's consumption, once that is known; amount_minor is the estimate.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["version", "line_no"], name="deal_line_number_unique"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=-LARGEST_AMOUNT_MINOR, amount_minor__lte=LARGEST_AMOUNT_MINOR),
                name="deal_line_amount_within_bounds",
            ),
            models.CheckConstraint(
                condition=Q(billed_minor=None)
                | Q(billed_minor__gte=-LARGEST_AMOUNT_MINOR, billed_minor__lte=LARGEST_AMOUNT_MINOR),
                name="deal_line_billed_within_bounds",
            ),
            models.CheckConstraint(
                condition=Q(quantity=None) | Q(quantity__gte=0), name="deal_line_quantity_not_negative"
            ),
            models.CheckConstraint(
                condition=Q(term_months=None) | Q(term_months__gt=0), name="deal_line_term_positive"
            ),
        ]

    @property
    def value_minor(self) -> int:
        """What was billed, once that is known; else the amount, which of a month's consumption is an estimate."""
        return self.amount_minor if self.billed_minor is None else self.billed_minor


class DealShare(models.Model):
    """A participant's part of the whole deal. The shares of a version add up to one million."""

    application_may = "SELECT, INSERT"

    version = models.ForeignKey(DealVersion, models.PROTECT, related_name="shares", db_index=False)
    ordinal = models.PositiveSmallIntegerField(
        help_text="Participant order; the earlier one wins a tie for the odd unit."
    )
    rep = models.ForeignKey(Rep, models.PROTECT, related_name="+", db_index=False)
    ppm = models.PositiveIntegerField(help_text="Parts per million.")

    class Meta:
        # deal_shares_add_up_to_one_million is a deferred constraint trigger, made in SQL.
        constraints = [
            models.UniqueConstraint(fields=["version", "ordinal"], name="deal_share_ordinal_unique"),
            models.UniqueConstraint(fields=["version", "rep"], name="deal_share_once_per_rep"),
            models.CheckConstraint(
                condition=Q(ppm__gt=0, ppm__lte=ONE), name="deal_share_between_nothing_and_all"
            ),
        ]
        indexes = [models.Index(fields=["rep", "version"], name="deal_share_by_rep")]


class DealAction(models.TextChoices):
    LOGGED = "logged", marked("Logged")
    EDITED = "edited", marked("Edited")
    SUBMITTED = "submitted", marked("Submitted")
    FIRST_APPROVED = "first_approved", marked("Approved by the first of two")
    APPROVED = "approved", marked("Approved")
    REJECTED = "rejected", marked("Rejected")
    RETURNED = "returned", marked("Returned")
    CANCELLED = "cancelled", marked("Cancelled")
    HELD = "held", marked("Held")
    RELEASED = "released", marked("Released")
    AMENDED = "amended", marked("Amended")
    AMENDMENT_APPROVED = "amendment_approved", marked("Amendment approved")
    AMENDMENT_REJECTED = "amendment_rejected", marked("Amendment rejected")
    PARTLY_CANCELLED = "partly_cancelled", marked("Partly cancelled")


class DealEvent(models.Model):
    """One step of a deal's history, for its timeline."""

    application_may = "SELECT, INSERT"

    deal = models.ForeignKey(Deal, models.PROTECT, related_name="events", db_index=False)
    version = models.ForeignKey(DealVersion, models.PROTECT, related_name="+", db_index=False)
    action = models.CharField(max_length=20, choices=DealAction)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    at = models.DateTimeField()
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        indexes = [models.Index(fields=["deal", "id"], name="deal_event_by_deal")]


class DealApproval(models.Model):
    """One of the two approvals that a large deal needs, or one given by a delegate for whoever was away."""

    application_may = "SELECT, INSERT"

    deal = models.ForeignKey(Deal, models.PROTECT, related_name="approvals")
    version = models.ForeignKey(DealVersion, models.PROTECT, related_name="approvals", db_index=False)
    ordinal = models.PositiveSmallIntegerField(help_text="1, or 2 for the second approver.")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", db_index=False)
    on_behalf_of = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Who had delegated to them.",
    )
    at = models.DateTimeField()
    submitted_at = models.DateTimeField(
        help_text="Of the submission or amendment that it is about: what is returned and submitted again begins anew."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["version", "submitted_at", "ordinal"], name="deal_approved_once_by_each_of_two"
            ),
            models.UniqueConstraint(
                fields=["version", "submitted_at", "by"], name="deal_approved_by_two_people"
            ),
        ]


class Delegation(models.Model):
    """Somebody decides for somebody else over a half-open span of days. What they decide names both."""

    of = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="delegations")
    to = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="delegated")
    effective = DateRangeField()
    reason = models.CharField(max_length=500)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True, help_text="When it was ended early.")

    class Meta:
        # somebody_delegates_to_one_at_a_time is an exclusion constraint, made in SQL.
        constraints = [models.CheckConstraint(condition=~Q(of=F("to")), name="delegated_to_somebody_else")]


class ApprovalLimit(models.Model):
    """Above this amount a deal needs a second approver outside the chain of the first, over a half-open span of days of submission."""

    amount_minor = models.BigIntegerField(
        help_text="Minor units of its currency; the deal's whole amount is converted."
    )
    currency = models.ForeignKey(Currency, models.PROTECT, related_name="+")
    effective = DateRangeField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()
    superseded_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # one_approval_limit_at_a_time is an exclusion constraint, made in SQL.
        constraints = [
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="approval_limit_is_positive")
        ]
