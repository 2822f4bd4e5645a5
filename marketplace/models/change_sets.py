"""Change sets: what a publisher, an import or the operator wants to change, together, and what a second person said to it."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.publishers import Publisher


class ChangeSetState(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    SUBMITTED = "submitted", marked("Submitted")
    IN_REVIEW = "in_review", marked("In review")
    CHANGES_REQUESTED = "changes_requested", marked("Changes requested")
    SCHEDULED = "scheduled", marked("Scheduled")
    APPLIED = "applied", marked("Applied")
    REJECTED = "rejected", marked("Rejected")
    WITHDRAWN = "withdrawn", marked("Withdrawn")


class Channel(models.TextChoices):
    BROWSER = "browser", marked("Browser")
    API = "api", marked("REST API")
    SPREADSHEET = "spreadsheet", marked("Spreadsheet")
    IMPORT = "import", marked("Import")


class Operation(models.TextChoices):
    """What an item does. The shape of each one's body is in services/change_sets."""

    MODEL_UPDATE = "model.update", marked("Change facts of a model version")
    OFFERING_CREATE = "offering.create", marked("New offering")
    OFFERING_UPDATE = "offering.update", marked("Change an offering")
    OFFERING_PUBLISH = "offering.publish", marked("Publish an offering")
    OFFERING_STOP = "offering.stop", marked("Take an offering off sale")
    OFFERING_RETIRE = "offering.retire", marked("Retire an offering")
    PLAN_CREATE = "plan.create", marked("New plan")
    PLAN_UPDATE = "plan.update", marked("Change a plan")
    PRICE_ADD = "price.add", marked("New price")
    PRICE_CORRECT = "price.correct", marked("Correct a price")
    ALIAS_ADD = "alias.add", marked("New alias")
    EVALUATION_ADD = "evaluation.add", marked("New evaluation result")


class ChangeSet(models.Model):
    """Some changes that are checked, reviewed by a second person and applied together or not at all."""

    publisher = models.ForeignKey(
        Publisher,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="change_sets",
        help_text="Whose catalog it changes; empty where the operator changes several.",
    )
    title = models.CharField(max_length=200)
    note = models.CharField(max_length=1000, blank=True)
    channel = models.CharField(max_length=12, choices=Channel)
    source = models.CharField(
        max_length=200, blank=True, help_text="Where the figures come from, for an import."
    )
    state = models.CharField(max_length=20, choices=ChangeSetState, default=ChangeSetState.DRAFT)
    revision = models.PositiveIntegerField(default=1)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    submitted_at = models.DateTimeField(null=True, blank=True)
    reviewed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    reviewed_at = models.DateTimeField(null=True, blank=True)
    review_note = models.CharField(max_length=1000, blank=True)
    apply_on = models.DateField(
        null=True, blank=True, help_text="Day on which it is applied; empty: as soon as it is approved."
    )
    applied_at = models.DateTimeField(null=True, blank=True)
    problem = models.CharField(
        max_length=1000, blank=True, help_text="Why a scheduled set could not be applied when its day came."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=~Q(reviewed_by=F("made_by")) | ~Q(state__in=["scheduled", "applied"]),
                name="change_set_approved_by_another_person",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["scheduled", "applied"]) | Q(reviewed_by__isnull=False),
                name="change_set_approved_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(state="scheduled") | Q(apply_on__isnull=False),
                name="change_set_scheduled_for_a_day",
            ),
        ]
        indexes = [
            models.Index(fields=["publisher", "-id"], name="change_set_by_publisher"),
            models.Index(fields=["state", "id"], name="change_set_by_state"),
        ]

    def __str__(self) -> str:
        return f"{self.reference}: {self.title}"

    @property
    def reference(self) -> str:
        return f"CS-{self.pk}"


class ChangeItem(models.Model):
    """One change of a set. before is how the entity read when the change was applied, for the record."""

    change_set = models.ForeignKey(ChangeSet, models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    operation = models.CharField(max_length=20, choices=Operation)
    entity = models.CharField(
        max_length=120, help_text="What it holds while it is open: offering:SLUG or model:SLUG."
    )
    body = models.JSONField()
    expected_revision = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of the offering when the change was written; it must still be that."
    )
    before = models.JSONField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["change_set", "position"], name="change_item_position_unique_in_its_set"
            )
        ]
        indexes = [models.Index(fields=["entity"], name="change_item_by_entity")]


class Severity(models.TextChoices):
    ERROR = "error", marked("Error")
    WARNING = "warning", marked("Warning")
    NOTE = "note", marked("Note")


class Finding(models.Model):
    """What validation or the reviewer says about one field of a change set."""

    change_set = models.ForeignKey(ChangeSet, models.CASCADE, related_name="findings")
    pointer = models.CharField(
        max_length=200, blank=True, help_text="JSON pointer, such as /items/0/body/name."
    )
    code = models.CharField(max_length=60)
    message = models.CharField(max_length=500)
    severity = models.CharField(max_length=8, choices=Severity)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="The reviewer; empty for what validation found.",
    )
    at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True, blank=True)


class Hold(models.Model):
    """An entity that an open change set keeps to itself: a second set on it is told who holds it."""

    entity = models.CharField(max_length=120, primary_key=True)
    change_set = models.ForeignKey(ChangeSet, models.CASCADE, related_name="holds")
    at = models.DateTimeField()
