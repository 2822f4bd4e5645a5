"""What has happened to the catalog, in an order without gaps, and who is told of it."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from config.language import marked
from marketplace.models.models_on_offer import Lifecycle, Offering
from marketplace.models.publishers import Customer, Publisher


class CatalogChange(models.Model):
    """One change as its readers see it. Numbers are given one after another, so a reader who has seen n has seen all up to n."""

    application_may = "SELECT, INSERT"

    number = models.BigIntegerField(primary_key=True)
    key = models.CharField(max_length=120, help_text="Names the change; told twice, it is written once.")
    kind = models.CharField(max_length=20, help_text="offering, price, eligibility or lifecycle.")
    what = models.CharField(max_length=300)
    offering = models.ForeignKey(
        Offering,
        models.PROTECT,
        null=True,
        related_name="changes",
        help_text="Empty for a change of a whole publisher or commercial path.",
    )
    publisher = models.ForeignKey(Publisher, models.PROTECT, null=True, related_name="changes")
    commercial_path = models.CharField(max_length=20, blank=True)
    program = models.CharField(max_length=10, blank=True)
    first_day = models.DateField(help_text="From this day on.")
    at = models.DateTimeField(help_text="When it was made; its number may come a little later.")
    is_public = models.BooleanField(
        default=True,
        help_text="What it is about was published by then: everybody may read of it. Else its publisher and the catalog's keepers.",
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["key", "offering"], nulls_distinct=False, name="catalog_change_written_once"
            )
        ]
        indexes = [
            models.Index(fields=["offering", "-number"], name="catalog_change_of_an_offering"),
            models.Index(fields=["-at", "-number"], name="catalog_change_latest_first"),
        ]


class LifecycleMove(models.Model):
    """A stage that an offering entered by its dates, once the schedule has carried it out and told of it."""

    application_may = "SELECT, INSERT"

    offering = models.ForeignKey(Offering, models.PROTECT, related_name="lifecycle_moves")
    stage = models.CharField(max_length=20, choices=Lifecycle)
    day = models.DateField(help_text="First day of the stage.")
    carried_out_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["offering", "stage", "day"], name="lifecycle_move_carried_out_once"
            )
        ]


class FeedAddress(models.Model):
    """One person's own address of the feeds, which a reader without a browser session can ask. A new number voids the old one."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="feed_address")
    number = models.PositiveIntegerField(default=1)
    made_at = models.DateTimeField()


class WebhookEndpoint(models.Model):
    """Where a publisher, or a service of the operator, wants to be told. Signed as Standard Webhooks say."""

    publisher = models.ForeignKey(
        Publisher,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="webhook_endpoints",
        help_text="Whose changes it hears of; empty for the operator's own services, which hear of all.",
    )
    url = models.URLField(max_length=500)
    about = models.CharField(max_length=200, blank=True)
    kinds = ArrayField(models.CharField(max_length=40), help_text="Event types it wants; empty is all.")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_why = models.CharField(max_length=200, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(
        null=True, blank=True, help_text="First failure after the last success; empty while it answers."
    )
    revision = models.PositiveIntegerField(default=1)


class WebhookSecret(models.Model):
    """What deliveries are signed with. Two hold at once while one is rotated out."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="secrets")
    sealed = models.TextField(help_text="The secret, encrypted with the application's key.")
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)


class DeliveryState(models.TextChoices):
    WAITING = "waiting", marked("Waiting")
    DELIVERED = "delivered", marked("Delivered")
    GIVEN_UP = "given_up", marked("Given up")


class WebhookDelivery(models.Model):
    """One message to one endpoint, with its attempts. A replay is a delivery of its own with the same message id."""

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries")
    message = models.CharField(
        max_length=60, help_text="The webhook-id: the same in every attempt and replay."
    )
    kind = models.CharField(max_length=40)
    payload = models.JSONField()
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True)
    made_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True, blank=True)
    replay_of = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="replays")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["endpoint", "message"],
                condition=Q(replay_of=None),
                name="webhook_message_owed_once_to_an_endpoint",
            )
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="webhook_delivery_due"),
            models.Index(fields=["endpoint", "-id"], name="webhook_delivery_of_endpoint"),
        ]


class WebhookAttempt(models.Model):
    """One try: when, what came back, how long it took."""

    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="tries")
    at = models.DateTimeField()
    status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="HTTP; empty when nothing came back."
    )
    error = models.CharField(max_length=300, blank=True)
    milliseconds = models.PositiveIntegerField()


class RequestState(models.TextChoices):
    OPEN = "open", marked("Open")
    ANSWERED = "answered", marked("Answered")
    DECLINED = "declined", marked("Declined")


class OfferingRequest(models.Model):
    """Somebody looked for an offering that the catalog does not have, and asked for it."""

    wanted = models.CharField(max_length=200)
    why = models.CharField(max_length=500, blank=True)
    customer = models.ForeignKey(Customer, models.PROTECT, null=True, blank=True, related_name="+")
    searched = models.CharField(max_length=500, blank=True, help_text="The query string that found nothing.")
    state = models.CharField(max_length=10, choices=RequestState, default=RequestState.OPEN)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    made_at = models.DateTimeField()
    answer = models.CharField(max_length=500, blank=True)
    offering = models.ForeignKey(Offering, models.PROTECT, null=True, blank=True, related_name="+")
    answered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+"
    )
    answered_at = models.DateTimeField(null=True, blank=True)
