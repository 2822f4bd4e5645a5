"""What search, filters and counts read. Empty until manage.py reindex_catalog, or a load, fills it."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.contrib.postgres.search
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("marketplace", "0007_decided_together")]

    operations = [
        migrations.CreateModel(
            name="FacetTerm",
            fields=[
                ("number", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("term", models.CharField(max_length=100, unique=True)),
            ],
        ),
        migrations.CreateModel(
            name="SearchWord",
            fields=[
                ("word", models.CharField(max_length=80, primary_key=True, serialize=False)),
                (
                    "grams",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=3), size=None
                    ),
                ),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(fields=["grams"], name="search_word_grams")
                ],
            },
        ),
        migrations.CreateModel(
            name="OfferingIndex",
            fields=[
                (
                    "offering",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="index",
                        serialize=False,
                        to="marketplace.offering",
                    ),
                ),
                ("context", models.PositiveIntegerField(null=True)),
                ("released_on", models.DateField(null=True)),
                (
                    "bits",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(),
                        default=list,
                        help_text="The terms by number, for counting.",
                        size=None,
                    ),
                ),
                (
                    "input_from",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DateField(), default=list, size=None
                    ),
                ),
                (
                    "input_usd",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.DecimalField(decimal_places=10, max_digits=26, null=True),
                        default=list,
                        help_text="USD for a million input tokens of the first public plan with such a price.",
                        size=None,
                    ),
                ),
                (
                    "called",
                    models.CharField(
                        blank=True,
                        help_text="Its name in lower case, without anything but letters and digits.",
                        max_length=120,
                    ),
                ),
                (
                    "terms",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        default=list,
                        help_text="dimension:value, such as task:coding.",
                        size=None,
                    ),
                ),
                ("document", django.contrib.postgres.search.SearchVectorField(null=True)),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.GinIndex(
                        fields=["document"], name="offering_index_words"
                    ),
                    django.contrib.postgres.indexes.GinIndex(fields=["terms"], name="offering_index_terms"),
                ],
            },
        ),
    ]
