"""What finding offerings needs at hand: derived from the catalog, kept by services/indexing.py, never a source of anything."""

from typing import Final

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from marketplace.models.models_on_offer import Offering

BITS: Final = 62  # of each element of OfferingIndex.bits that are used


class OfferingIndex(models.Model):
    """One offering as search, filters, counts and orders read it, without any join.

    The words of the document weigh A (name, SKU, aliases), B (model, family, publisher) or C (summary, plans). A price
    holds from its day on until the next one's day; an empty amount is a gap, or unknown.
    """

    offering = models.OneToOneField(Offering, models.CASCADE, primary_key=True, related_name="index")
    # What every list reads comes first and the widest last: a row is unpacked up to the last column asked for.
    context = models.PositiveIntegerField(null=True)
    released_on = models.DateField(null=True)
    bits = ArrayField(models.BigIntegerField(), default=list, help_text="The terms by number, for counting.")
    input_from = ArrayField(models.DateField(), default=list)
    input_usd = ArrayField(
        models.DecimalField(max_digits=26, decimal_places=10, null=True),
        default=list,
        help_text="USD for a million input tokens of the first public plan with such a price.",
    )
    called = models.CharField(
        max_length=120,
        blank=True,
        help_text="Its name in lower case, without anything but letters and digits.",
    )
    terms = ArrayField(
        models.CharField(max_length=100), default=list, help_text="dimension:value, such as task:coding."
    )
    document = SearchVectorField(null=True)

    class Meta:
        indexes = [
            GinIndex(fields=["document"], name="offering_index_words"),
            GinIndex(fields=["terms"], name="offering_index_terms"),
        ]


class FacetTerm(models.Model):
    """The number of a term: its bit in OfferingIndex.bits. Given once and kept."""

    number = models.PositiveIntegerField(primary_key=True)
    term = models.CharField(max_length=100, unique=True)


class SearchWord(models.Model):
    """A word that some name has or had, with its trigrams, to find out what a misspelt one was meant to be."""

    word = models.CharField(max_length=80, primary_key=True)
    grams = ArrayField(models.CharField(max_length=3))

    class Meta:
        indexes = [GinIndex(fields=["grams"], name="search_word_grams")]
