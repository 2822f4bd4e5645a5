"""What every app needs and none owns: the outbox and the memory of idempotent requests."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from config.language import marked


class OutboxMessage(models.Model):
    """An effect promised by the transaction that wrote it, carried out afterwards at least once, by one worker at a time."""

    topic = models.CharField(max_length=60, help_text="Which handler carries it out.")
    key = models.CharField(
        max_length=120, unique=True, help_text="Names the effect; promising it again changes nothing."
    )
    payload = models.JSONField(help_text="Ids, never copies of rows.")
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    leased_until = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(
        null=True, blank=True, help_text="Given up after the last attempt; a person has to look."
    )
    last_error = models.TextField(blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(done_at=None, failed_at=None), name="outbox_pending")
        ]


class Mail(models.Model):
    """A mail to one person, from its promise until it is sent. The same key never reaches the same person twice."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200, help_text="What it is about, its kind before the first colon.")
    subject = models.CharField(max_length=200)
    text = models.TextField(help_text="The whole body; emptied some time after it was sent.")
    created_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(null=True, blank=True, help_text="Of the next attempt.")
    begun_at = models.DateTimeField(
        null=True, blank=True, help_text="Of the attempt that runs; committed before anything is sent."
    )
    sent_at = models.DateTimeField(null=True, blank=True)
    failed_at = models.DateTimeField(null=True, blank=True, help_text="Given up; a person has to look.")
    last_error = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="mail_sent_once")]
        indexes = [
            models.Index(fields=["id"], condition=Q(sent_at=None, failed_at=None), name="mail_pending")
        ]


class IdempotencyRecord(models.Model):
    """The first answer to one Idempotency-Key of one caller, so that a retry gets it again and does nothing."""

    caller = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    request_digest = models.CharField(max_length=64, help_text="SHA-256 over method, path, query and body.")
    created_at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(
        null=True, help_text="Empty while the first request is still in flight."
    )
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["caller", "key"], name="idempotency_key_used_once")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_by_age")]


class JobState(models.TextChoices):
    WAITING = "waiting", marked("Waiting")
    RUNNING = "running", marked("Running")
    DONE = "done", marked("Done")
    FAILED = "failed", marked("Failed")
    CANCELLED = "cancelled", marked("Cancelled")


class Job(models.Model):
    """Long work in the background, done step by step. Each step is one transaction that also moves the progress, so it happens once."""

    kind = models.CharField(max_length=40, help_text="Which steps carry it out.")
    title = models.CharField(max_length=200)
    parameters = models.JSONField(help_text="What was asked for; never changed.")
    cursor = models.JSONField(default=dict, help_text="Where the next step goes on; the steps' own.")
    state = models.CharField(max_length=10, choices=JobState, default=JobState.WAITING)
    total = models.BigIntegerField(null=True, blank=True, help_text="Empty until the first step knows.")
    done = models.BigIntegerField(default=0)
    unit = models.CharField(max_length=20, default="", help_text="What is counted, such as deals.")
    counts = models.JSONField(default=dict, help_text="Outcomes by name.")
    result = models.JSONField(default=dict, help_text="What a page or a client shows at the end.")
    error = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Failures of the present step in a row.")
    cancel_asked_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=["waiting", "running"]), name="job_unfinished"),
            models.Index(fields=["kind", "-id"], name="job_by_kind"),
        ]

    @property
    def so_far(self) -> int:
        """Of total, what is done: the steps that ended, and how far a long one has come that has not."""
        told = getattr(self, "progress", None)
        return max(self.done, told.done) if told is not None and not self.finished else self.done

    @property
    def out_of(self) -> int | None:
        told = getattr(self, "progress", None)
        return told.total if self.total is None and told is not None else self.total

    @property
    def finished(self) -> bool:
        return self.state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class JobProgress(models.Model):
    """How far a long step has come, written beside its transaction so that others see it before it ends."""

    job = models.OneToOneField(Job, models.CASCADE, primary_key=True, related_name="progress")
    done = models.BigIntegerField()
    total = models.BigIntegerField(null=True)


class JobFile(models.Model):
    """A file that a job made, compressed. Kept in the database for a while, so that any web process hands out what any worker wrote."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="files", db_index=False)
    ordinal = models.PositiveIntegerField()
    name = models.CharField(max_length=200, help_text="In the archive, with its folders.")
    content = models.BinaryField(help_text="As zlib compresses it.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "ordinal"], name="job_file_ordinal_unique")]
