"""Files of sales data: what was uploaded, how it is read, what became of every row, and what a source last said of each deal."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from config.language import marked
from config.models import Job
from marketplace.models import Currency
from quotas.models.deals import Deal
from quotas.models.people import Rep


class ImportKind(models.TextChoices):
    """What a file is about."""

    DEALS = "deals", marked("Deals")
    QUOTAS = "quotas", marked("Quotas")
    REPS = "reps", marked("Reps and teams")
    TERRITORIES = "territories", marked("Territories")


class StraightThroughPolicy(models.Model):
    """Which deals of a trusted source are approved without a person looking at each. A change is a new version; a published one stays as it is.

    A deal that does not meet every condition waits for its approver.
    """

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    sources = ArrayField(models.CharField(max_length=20), help_text="Names of the sources that it trusts.")
    currency = models.ForeignKey(
        Currency, models.PROTECT, null=True, blank=True, related_name="+", help_text="Of the limit."
    )
    most_minor = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The largest deal, in minor units of the currency; empty is any amount.",
    )
    late_after_days = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="A deal that closed longer ago than this waits; empty is never too late.",
    )
    default_share = models.BooleanField(default=True, help_text="Only deals that are the owner's alone.")
    drafted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    drafted_at = models.DateTimeField()
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    published_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Withdrawn, or replaced by a later version."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="policy_version_unique"),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(published_at__isnull=False, ended_at=None),
                name="policy_has_one_version_in_force",
            ),
            models.CheckConstraint(
                condition=Q(published_by=None) | ~Q(published_by=models.F("drafted_by")),
                name="policy_published_by_another_person",
            ),
            models.CheckConstraint(
                condition=Q(most_minor=None) | Q(most_minor__gte=0, currency__isnull=False),
                name="policy_limit_has_a_currency",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"


class ImportMap(models.Model):
    """How the columns of a kind of file are read, under a name. The text is TOML, as importers/maps.py defines it."""

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=12, choices=ImportKind)
    text = models.TextField()
    saved_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    saved_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class SalesImportState(models.TextChoices):
    UPLOADED = "uploaded", marked("Uploaded")
    CHECKING = "checking", marked("Checking")
    CHECKED = "checked", marked("Checked")
    IMPORTING = "importing", marked("Importing")
    DONE = "done", marked("Done")
    REFUSED = "refused", marked("Nothing imported")
    FAILED = "failed", marked("Failed")


class SalesImport(models.Model):
    """One file, from its upload to what became of it. Its counts by outcome add up to its rows.

    options  What was asked for: create_missing, eligibility_reason, all_or_nothing, cancel_gone, policy.
    look     What the file is seen to be: encoding, delimiter, sheets, columns with sample values.
    preview  Of the last check: ten rows as they would become deals, the estimated credit, what would be created.
    """

    kind = models.CharField(max_length=12, choices=ImportKind)
    file_name = models.CharField(max_length=200)
    bytes = models.BigIntegerField()
    digest = models.CharField(max_length=64, help_text="SHA-256 of the file, hexadecimal.")
    map_name = models.CharField(max_length=80, blank=True)
    map_text = models.TextField(blank=True, help_text="TOML.")
    options = models.JSONField(default=dict)
    look = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=SalesImportState, default=SalesImportState.UPLOADED)
    problem = models.CharField(
        max_length=500, blank=True, help_text="Why nothing was imported, where that is so."
    )
    rows = models.PositiveBigIntegerField(default=0)
    counts = models.JSONField(default=dict, help_text="Outcome to number of rows.")
    reasons = models.JSONField(default=dict, help_text="Code of a refusal or omission to number of rows.")
    preview = models.JSONField(default=dict)
    job = models.ForeignKey(Job, models.SET_NULL, null=True, blank=True, related_name="+")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["kind", "-id"], name="sales_import_by_kind")]

    @property
    def reference(self) -> str:
        return f"I-{self.pk:05d}"


class ImportPiece(models.Model):
    """A piece of an uploaded file, compressed. Kept in the database so that any worker can read it."""

    run = models.ForeignKey(SalesImport, models.CASCADE, related_name="pieces", db_index=False)
    ordinal = models.PositiveIntegerField()
    content = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "ordinal"], name="import_piece_unique")]


class ImportOutcome(models.TextChoices):
    """What becomes of a row. Rows of one deal share its outcome."""

    NEW = "new", marked("New")
    CHANGED = "changed", marked("Changed")
    UNCHANGED = "unchanged", marked("Unchanged")
    CANCELLED = "cancelled", marked("Cancelled")
    LEFT_OUT = "left_out", marked("Left out")
    REFUSED = "refused", marked("Refused")


class ImportRow(models.Model):
    """A row that needs somebody's attention, for the error report: refused, or left out for a reason that the map does not give."""

    run = models.ForeignKey(SalesImport, models.CASCADE, related_name="report", db_index=False)
    line = models.PositiveBigIntegerField(help_text="Where the row begins in the file; the head is line 1.")
    external_id = models.CharField(max_length=80, blank=True)
    outcome = models.CharField(max_length=10, choices=ImportOutcome)
    code = models.CharField(max_length=60)
    message = models.CharField(max_length=500)
    column = models.CharField(max_length=200, blank=True, help_text="Which column is to blame.")
    cells = ArrayField(
        models.TextField(), help_text="The row as it stands in the file, in its columns' order."
    )

    class Meta:
        indexes = [models.Index(fields=["run", "line"], name="import_row_in_order")]


class SourceState(models.TextChoices):
    """What a source says of a deal."""

    WON = "won", marked("Won")
    OPEN = "open", marked("Open")
    LOST = "lost", marked("Lost")
    GONE = "gone", marked("Gone from its source")


class SourceTodo(models.TextChoices):
    APPROVE = "approve", marked("Approve under the import's policy")
    CANCEL = "cancel", marked("Cancel")


class SourceRecord(models.Model):
    """What a source last said of one deal, whether or not Parity could take it. One row per deal of a source; kept up, not a history."""

    source = models.CharField(max_length=20)
    external_id = models.CharField(max_length=80)
    deal = models.ForeignKey(Deal, models.PROTECT, null=True, related_name="+", db_index=False)
    digest = models.BinaryField(help_text="Of everything that the map reads of it, 16 bytes.")
    version = models.CharField(
        max_length=40, blank=True, help_text="The source's own version or time of change; sorts as text."
    )
    state = models.CharField(max_length=4, choices=SourceState)
    owner = models.ForeignKey(Rep, models.PROTECT, null=True, related_name="+", db_index=False)
    owner_name = models.CharField(max_length=150, help_text="As the source writes it.")
    customer_name = models.CharField(max_length=160, blank=True)
    close_date = models.DateField(null=True)
    currency = models.CharField(max_length=3, blank=True)
    amount_minor = models.BigIntegerField(null=True, help_text="Minor units of the currency.")
    todo = models.CharField(
        max_length=7,
        choices=SourceTodo,
        blank=True,
        help_text="What the import that is under way has still to do with the deal.",
    )
    code = models.CharField(max_length=60, blank=True, help_text="Why it was refused, where it was.")
    message = models.CharField(max_length=500, blank=True)
    run = models.ForeignKey(
        SalesImport,
        models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The last import that had it.",
    )
    line = models.PositiveBigIntegerField(help_text="Where it stood in that file.")
    seen_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "external_id"], name="source_record_unique")]
        indexes = [
            models.Index(fields=["deal"], name="source_record_by_deal"),
            models.Index(fields=["close_date"], name="source_record_by_close_date"),
            models.Index(fields=["run", "id"], condition=~Q(todo=""), name="source_record_to_do"),
        ]
