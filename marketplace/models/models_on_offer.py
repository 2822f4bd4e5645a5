"""Model -> model version -> offering -> plan: what is made, and how it is sold."""

from datetime import date

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from config.language import marked
from marketplace.models.publishers import Publisher


class CommercialPath(models.TextChoices):
    SOLD_BY_CLOUD = "sold_by_cloud", marked("Sold by the cloud")
    MARKETPLACE = "marketplace", marked("Marketplace")
    INTERNAL = "internal_only", marked("Internal use only")


class Lifecycle(models.TextChoices):
    ANNOUNCED = "announced", marked("Announced")
    PREVIEW = "preview", marked("Preview")
    GENERALLY_AVAILABLE = "generally_available", marked("Generally available")
    LEGACY = "legacy", marked("Legacy")
    DEPRECATED = "deprecated", marked("Deprecated")
    RETIRED = "retired", marked("Retired")


class Publication(models.TextChoices):
    DRAFT = "draft", marked("Draft")
    SUBMITTED = "submitted", marked("Submitted")
    IN_REVIEW = "in_review", marked("In review")
    CHANGES_REQUESTED = "changes_requested", marked("Changes requested")
    REJECTED = "rejected", marked("Rejected")
    APPROVED = "approved", marked("Approved")
    PREVIEW = "preview", marked("Preview")
    SCHEDULED = "scheduled", marked("Scheduled")
    LIVE = "live", marked("Live")
    STOPPED = "stopped", marked("Stopped")
    SUSPENDED = "suspended", marked("Suspended")
    ARCHIVED = "archived", marked("Archived")


class TaskArea(models.Model):
    """What a model is used for: coding, office documents, reasoning ..."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80)
    position = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return self.name


class AiModel(models.Model):
    """What a lab calls one model, whatever its versions."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=120)
    publisher = models.ForeignKey(Publisher, models.PROTECT, related_name="models")
    family = models.SlugField(max_length=60)
    open_weights = models.BooleanField(null=True, help_text="Empty is unknown.")

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One version of a model and its facts. Unknown is null, never zero and never an empty list."""

    model = models.ForeignKey(AiModel, models.PROTECT, related_name="versions")
    label = models.CharField(max_length=80, help_text="What tells it from the other versions of its model.")
    context_window = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    max_output = models.PositiveIntegerField(null=True, blank=True, help_text="Tokens.")
    modalities_in = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    modalities_out = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    capabilities = models.JSONField(default=dict, help_text="Capability to true, false or null for unknown.")
    languages = ArrayField(models.CharField(max_length=20), null=True, blank=True)
    knowledge_cutoff = models.CharField(
        max_length=10, blank=True, help_text="As precise as it is known: 2025, 2025-03 or 2025-03-31."
    )
    released_on = models.DateField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "label"], name="model_version_label_unique")]

    def __str__(self) -> str:
        return f"{self.model.name} {self.label}"


class OfferingKind(models.TextChoices):
    MODEL = "model", marked("Model")
    SEAT = "seat", marked("Seat")
    AGENT = "agent", marked("Agent")
    SERVICE = "service", marked("Service")


class Offering(models.Model):
    """A model version on sale by a publisher on a commercial path; or a seat, an agent, a service that has no model."""

    slug = models.SlugField(
        max_length=80, unique=True, help_text="The SKU. Never used again for anything else."
    )
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=OfferingKind)
    publisher = models.ForeignKey(Publisher, models.PROTECT, related_name="offerings")
    model_version = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="offerings"
    )
    family = models.SlugField(
        max_length=60,
        help_text="Groups offerings in rules and filters; a model's own family where there is one.",
    )
    summary = models.CharField(max_length=400, blank=True)
    commercial_path = models.CharField(max_length=20, choices=CommercialPath)
    path_basis = models.CharField(
        max_length=200,
        blank=True,
        help_text="Where the commercial path is known from; says so where it is assumed.",
    )
    path_assumed = models.BooleanField(default=False)
    publication = models.CharField(max_length=20, choices=Publication, default=Publication.DRAFT)
    billing_countries = ArrayField(
        models.CharField(max_length=2),
        null=True,
        blank=True,
        help_text="Empty: every country the operator bills in.",
    )
    preview_on = models.DateField(null=True, blank=True)
    available_on = models.DateField(null=True, blank=True, help_text="First day of general availability.")
    legacy_on = models.DateField(null=True, blank=True)
    deprecated_on = models.DateField(null=True, blank=True, help_text="First day without new deals.")
    retires_on = models.DateField(null=True, blank=True, help_text="First day on which it no longer answers.")
    replacement = models.ForeignKey("self", models.PROTECT, null=True, blank=True, related_name="replaces")
    task_areas = models.ManyToManyField(TaskArea, blank=True, related_name="offerings")
    goes_live_on = models.DateField(
        null=True, blank=True, help_text="Of a scheduled one: the day on which it goes on sale by itself."
    )
    revision = models.PositiveIntegerField(default=1)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="model", model_version__isnull=False)
                | (~Q(kind="model") & Q(model_version__isnull=True)),
                name="offering_has_a_model_version_when_it_is_a_model",
            ),
            models.CheckConstraint(
                condition=~Q(replacement=F("pk")), name="offering_does_not_replace_itself"
            ),
        ]
        indexes = [
            models.Index(fields=["name", "id"], name="offering_by_name"),
            models.Index(fields=["publisher", "id"], name="offering_by_publisher"),
        ]

    def __str__(self) -> str:
        return self.name

    def lifecycle_on(self, on: date) -> Lifecycle:
        """Derived from the dates alone, so that any day's answer can be given on any other day."""
        for first_day, stage in (
            (self.retires_on, Lifecycle.RETIRED),
            (self.deprecated_on, Lifecycle.DEPRECATED),
            (self.legacy_on, Lifecycle.LEGACY),
            (self.available_on, Lifecycle.GENERALLY_AVAILABLE),
            (self.preview_on, Lifecycle.PREVIEW),
        ):
            if first_day is not None and on >= first_day:
                return stage
        return Lifecycle.ANNOUNCED


class OfferingRevision(models.Model):
    """How an offering read when it was published or changed. Deal lines pin one."""

    application_may = "SELECT, INSERT"

    offering = models.ForeignKey(Offering, models.PROTECT, related_name="revisions")
    number = models.PositiveIntegerField()
    body = models.JSONField(help_text="Every fact of the offering, in the shape of the REST resource.")
    recorded_at = models.DateTimeField()
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["offering", "number"], name="offering_revision_number_unique")
        ]


class PricingForm(models.TextChoices):
    TOKENS = "tokens", marked("Per token")
    PROVISIONED = "provisioned", marked("Provisioned throughput")
    SUBSCRIPTION = "subscription", marked("Subscription")
    SEAT = "seat", marked("Per seat")
    METERED = "metered", marked("Metered")
    FREE = "free", marked("Free")
    BYOL = "byol", marked("Bring your own licence")


class Plan(models.Model):
    """One way to buy an offering: where it runs, how fast, how it is charged."""

    offering = models.ForeignKey(Offering, models.PROTECT, related_name="plans")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    deployment = models.CharField(
        max_length=30, blank=True, help_text="Such as global-standard or data-zone-provisioned."
    )
    processing_tier = models.CharField(
        max_length=10,
        choices=[(t, t.title()) for t in ("standard", "batch", "priority", "flex")],
        default="standard",
    )
    zone = models.CharField(
        max_length=10, blank=True, help_text="Where data is processed: global, eu, us ..."
    )
    regions = ArrayField(
        models.CharField(max_length=40),
        null=True,
        blank=True,
        help_text="The cloud's regions that run it; empty is unknown.",
    )
    pricing_form = models.CharField(max_length=12, choices=PricingForm)
    is_public = models.BooleanField(default=True)
    withdrawn_on = models.DateField(null=True, blank=True, help_text="First day without new orders.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["offering", "slug"], name="plan_slug_unique_in_its_offering")
        ]

    def __str__(self) -> str:
        return f"{self.offering.name}, {self.name}"
