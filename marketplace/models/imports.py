"""What other sources say, staged: read, compared with the catalog, reported row by row; never live by itself."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from config.language import marked
from config.models import Job
from marketplace.models.change_sets import ChangeSet
from marketplace.models.models_on_offer import Offering, Plan


class ImportSource(models.TextChoices):
    GENAI_PRICES = "genai-prices", marked("genai-prices package")
    LITELLM = "litellm", marked("LiteLLM price file")
    MODELS_DEV = "models-dev", marked("models.dev")
    EVALUATIONS = "evaluations", marked("Benchmark table (CSV)")
    AIDER = "aider", marked("Aider leaderboard (YAML)")


class ImportState(models.TextChoices):
    WAITING = "waiting", marked("Waiting")
    READING = "reading", marked("Reading")
    STAGED = "staged", marked("Staged")
    FAILED = "failed", marked("Failed")


class CatalogImport(models.Model):
    """One reading of one source. Its counts by outcome add up to the rows of the file."""

    source = models.CharField(max_length=20, choices=ImportSource)
    file_name = models.CharField(max_length=200, blank=True)
    digest = models.CharField(max_length=64, help_text="SHA-256 of what was read, hexadecimal.")
    content = models.BinaryField(
        null=True, help_text="What was uploaded, compressed, until it is staged; a package needs none."
    )
    stated_on = models.DateField(help_text="The day for which the source is taken to speak.")
    state = models.CharField(max_length=10, choices=ImportState, default=ImportState.WAITING)
    problem = models.CharField(max_length=500, blank=True)
    rows = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict, help_text="Outcome to number of rows.")
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    staged_at = models.DateTimeField(null=True, blank=True)


class RowOutcome(models.TextChoices):
    NEW = "new", marked("New")
    CHANGED = "changed", marked("Changed")
    UNCHANGED = "unchanged", marked("Unchanged")
    DISAGREES = "disagrees", marked("Disagrees with another source")
    REFUSED = "refused", marked("Refused")
    LEFT_OUT = "left_out", marked("Left out")


class StagedRow(models.Model):
    """One row of a source: as it stood there, as it is understood, and what became of it.

    original   The row as the file has it; what is too long is cut and says so.
    staged     Change set items (operation, body) that would bring the catalog to what the row says; empty where none.
    """

    run = models.ForeignKey(CatalogImport, models.CASCADE, related_name="staged_rows")
    number = models.PositiveIntegerField(help_text="Place in the file, from 1.")
    key = models.CharField(max_length=200, help_text="How the source names the row.")
    provider = models.CharField(max_length=80, blank=True, help_text="Under whom the source lists it.")
    outcome = models.CharField(max_length=10, choices=RowOutcome)
    code = models.CharField(max_length=60, blank=True, help_text="Stable reason of a refusal or omission.")
    message = models.CharField(max_length=500, blank=True)
    original = models.JSONField()
    staged = models.JSONField(default=list)
    offering = models.ForeignKey(Offering, models.PROTECT, null=True, blank=True, related_name="+")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="+")
    change_set = models.ForeignKey(
        ChangeSet, models.SET_NULL, null=True, blank=True, related_name="staged_rows"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="staged_row_number_unique_in_its_run")
        ]
        indexes = [models.Index(fields=["run", "outcome", "number"], name="staged_row_by_outcome")]


class DiscrepancyState(models.TextChoices):
    OPEN = "open", marked("Open")
    KEPT = "kept", marked("Ours was kept")
    TAKEN = "taken", marked("Theirs was taken")


class Discrepancy(models.Model):
    """Two sources that say different things about one field; a person decides. The same one is open once only."""

    offering = models.ForeignKey(Offering, models.PROTECT, related_name="discrepancies")
    plan = models.ForeignKey(Plan, models.PROTECT, null=True, blank=True, related_name="discrepancies")
    field = models.CharField(max_length=80, help_text="Such as price:input-tokens or context_window.")
    ours = models.CharField(max_length=200)
    ours_from = models.CharField(max_length=200)
    theirs = models.CharField(max_length=200)
    theirs_from = models.CharField(max_length=200)
    difference_ppm = models.BigIntegerField(
        null=True, help_text="Theirs against ours in parts per million, where both are numbers."
    )
    items = models.JSONField(default=list, help_text="Change set items that would take theirs.")
    found_in = models.ForeignKey(CatalogImport, models.PROTECT, related_name="discrepancies")
    state = models.CharField(max_length=6, choices=DiscrepancyState, default=DiscrepancyState.OPEN)
    found_at = models.DateTimeField()
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["offering", "plan", "field", "theirs_from"],
                condition=Q(state="open"),
                nulls_distinct=False,
                name="discrepancy_open_once",
            )
        ]
