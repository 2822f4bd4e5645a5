"""Public facts about suppliers, each with its bound and its source."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class PublicFact(models.Model):
    """One published statement about companies and models. A bound is not an exact figure and is never summed as one."""

    slug = models.SlugField(max_length=60, unique=True)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=120, help_text="From whom.")
    counterpart = models.CharField(max_length=120, help_text="To whom.")
    amount = models.DecimalField(max_digits=20, decimal_places=2, null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True)
    bound = models.CharField(
        max_length=8,
        blank=True,
        choices=[(b, b.capitalize()) for b in ("exact", "about", "at most", "at least", "unknown")],
    )
    per = models.CharField(max_length=10, blank=True, help_text="year where the amount is a rate.")
    status = models.CharField(max_length=12, blank=True)
    task = models.CharField(max_length=80, blank=True)
    detail = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=300, blank=True)
    paragraph = models.PositiveSmallIntegerField(help_text="Of the article.")
    cited = ArrayField(
        models.PositiveSmallIntegerField(), default=list, help_text="The article's own reference numbers."
    )
    source = models.CharField(max_length=120)
