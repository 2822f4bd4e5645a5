"""Who makes what is sold, and who buys it."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Upper

from config.language import marked


class Origin(models.TextChoices):
    FIRST = "first", marked("First party")
    THIRD = "third", marked("Third party")


class Publisher(models.Model):
    """Who makes a model or a product. Its origin is a fact about it, never a condition of a rule."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    origin = models.CharField(max_length=5, choices=Origin)
    about = models.CharField(max_length=300, blank=True)
    website = models.URLField(blank=True)

    def __str__(self) -> str:
        return self.name


class PublisherMembership(models.Model):
    """Lets a user act for one publisher, and see nobody else's."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="publisher_membership")
    publisher = models.ForeignKey(Publisher, models.PROTECT, related_name="memberships")


class Customer(models.Model):
    """An account that buys. Its owner among the reps is a dated fact in quotas."""

    slug = models.SlugField(max_length=80, unique=True)
    name = models.CharField(max_length=160)
    segment = models.CharField(max_length=30, help_text="Such as enterprise, corporate, public-sector.")
    region = models.CharField(max_length=20, help_text="Sales region, such as emea or americas.")
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2 of the billing address.")
    industry = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [
            models.Index(fields=["name"], name="customer_by_name"),
            models.Index(Upper("name"), name="customer_by_name_in_any_case"),
        ]

    def __str__(self) -> str:
        return self.name
