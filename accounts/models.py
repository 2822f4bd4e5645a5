"""Who may come in, as whom, with which key; and the trail of who changed what."""

from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from config.language import marked


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)

    def create_user(self, *, email: str, name: str, password: str | None = None, **extra: Any) -> "User":
        """A person or a service; without a password nobody can log in as it."""
        user = self.model(email=email.strip(), name=name, **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person, or a service that only has API keys. Logs in by e-mail, whatever its letter case."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=150)
    is_active = models.BooleanField(default=True)
    is_service = models.BooleanField(default=False, help_text="A program: it has API keys and no password.")
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="IANA name; empty means the operator's."
    )
    locale = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text="BCP 47 tag of how numbers and days are written; empty means the operator's.",
    )
    language = models.CharField(
        max_length=20,
        blank=True,
        default="",
        db_default="",
        help_text="Of texts; empty means the operator's.",
    )
    mails_off = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        db_default=[],
        help_text="Kinds of mail that this person does not want, of those that can be switched off.",
    )
    first_steps = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        db_default=[],
        help_text="What this person has done of what one does first.",
    )
    first_steps_hidden = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_whatever_its_case")]

    def __str__(self) -> str:
        return self.name

    @cached_property
    def role_names(self) -> frozenset[str]:
        """The roles granted and not withdrawn. 1 query, once per request."""
        return frozenset(self.role_grants.filter(withdrawn_at=None).values_list("role", flat=True))

    def has_role(self, *roles: str) -> bool:
        return not self.role_names.isdisjoint(roles)


class Role(models.TextChoices):
    REP = "rep", marked("Sales rep")
    MANAGER = "manager", marked("Sales manager")
    COMP_ADMIN = "comp_admin", marked("Comp admin")
    CATALOG_MANAGER = "catalog_manager", marked("Catalog manager")
    PARTNER = "partner", marked("Partner")
    SOURCING_LEAD = "sourcing_lead", marked("Sourcing lead")
    AUDITOR = "auditor", marked("Auditor")
    ENGINEER = "engineer", marked("Engineer")


class RoleGrant(models.Model):
    """One role of one user, from a moment until it is withdrawn."""

    user = models.ForeignKey(User, models.CASCADE, related_name="role_grants")
    role = models.CharField(max_length=20, choices=Role)
    granted_by = models.ForeignKey(User, models.PROTECT, null=True, related_name="+")
    granted_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role"], condition=Q(withdrawn_at=None), name="role_granted_once_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(withdrawn_at=None) | Q(withdrawn_at__gte=F("granted_at")),
                name="role_withdrawn_after_it_was_granted",
            ),
        ]


class ApiKey(models.Model):
    """A program's way in: shown once, kept as a hash, found by its prefix. Acts as its user, no wider."""

    user = models.ForeignKey(User, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, unique=True)
    scopes = ArrayField(
        models.CharField(max_length=40),
        default=list,
        blank=True,
        help_text="What it is good for, such as catalog:write; empty is everything its user may do.",
    )
    key_hash = models.CharField(max_length=64, help_text="SHA-256 of the whole key, hexadecimal.")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def usable(self, at: datetime) -> bool:
        return (
            self.revoked_at is None
            and (self.expires_at is None or at < self.expires_at)
            and self.user.is_active
        )


class Notification(models.Model):
    """One line for one person: what happened, and where to look. Written by the outbox, never inside a posting."""

    user = models.ForeignKey(User, models.CASCADE, related_name="notifications")
    key = models.CharField(
        max_length=100, help_text="What it is about; the same key is never delivered twice."
    )
    text = models.CharField(max_length=300)
    url = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField()
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="notification_delivered_once")]
        indexes = [models.Index(fields=["user"], condition=Q(read_at=None), name="notification_unread")]


class SavedView(models.Model):
    """The filters, order and columns of one page under a name of one's own."""

    user = models.ForeignKey(User, models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=60, help_text="URL name of the page.")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000, help_text="The query string, without the question mark.")
    made_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "page", "name"], name="saved_view_name_unique_on_its_page"
            )
        ]


class AuditEvent(models.Model):
    """One change of one row of a fact, rule or role: who, when, before, after, why. Written by a trigger, kept for ever."""

    application_may = "SELECT"

    at = models.DateTimeField()
    actor = models.ForeignKey(User, models.DO_NOTHING, null=True, db_constraint=False, related_name="+")
    action = models.CharField(
        max_length=6, choices=[("insert", "Added"), ("update", "Changed"), ("delete", "Removed")]
    )
    table = models.CharField(max_length=63, db_column="table_name")
    row = models.BigIntegerField(db_column="row_id")
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    reason = models.CharField(max_length=500, blank=True)
    request_id = models.CharField(max_length=40, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["table", "row", "id"], name="audit_of_one_row"),
            models.Index(fields=["actor", "-id"], name="audit_of_one_person"),
            models.Index(
                fields=["request_id", "id"], condition=~models.Q(request_id=""), name="audit_of_one_request"
            ),
            models.Index(fields=["id"], condition=~models.Q(reason=""), name="audit_with_a_reason"),
        ]
